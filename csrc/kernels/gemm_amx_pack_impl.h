/* Rows of A and columns of B as the matrix unit's registers (gemm_amx_impl.h): squares of 16 rows of 16 words. A word is
 * a pair of bfloat16 numbers, here of k and k + 16: so whole vectors are split in parts, and no number moves along its
 * vector. A's squares have rows of C, 32 k side by side; B's have pairs of k, 16 columns side by side. */

#include <immintrin.h>

enum {
    FN_SQUARE = FN_AMX_ROWS, /* 16: rows, and words of a row, of a register */
    FN_DEEP = 32,            /* k of one */
    FN_WORDS = 256,          /* of one */
    FN_SIDE_BY_SIDE = 8      /* registers that are packed side by side where memory has no k side by side */
};

/* Pairs of low and high as words, one vector for each part, `apart` floats from part to part. parts: constant. A single
 * part is rounded to nearest even as everybody's bfloat16; of more the last takes up the difference. */
FN_INLINE void fn_parts_of(const int parts, float *to, int64_t apart, __m512 low, __m512 high)
{
    if (parts == 1) {
        const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                                               21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
        _mm512_storeu_si512(to, _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(high, low)));
        return;
    }
    const __m512i half = _mm512_set1_epi32(0x8000), upper = _mm512_set1_epi32((int)0xffff0000);
#pragma GCC unroll 3
    for (int p = 0; p < parts; p++) {
        const __m512i l = _mm512_add_epi32(_mm512_castps_si512(low), half);
        const __m512i h = _mm512_add_epi32(_mm512_castps_si512(high), half);
        const __m512i l_part = _mm512_and_si512(l, upper), h_part = _mm512_and_si512(h, upper);
        _mm512_storeu_si512(to + p * apart, _mm512_or_si512(h_part, _mm512_srli_epi32(l_part, 16)));
        if (p + 1 < parts) {
            low = _mm512_sub_ps(low, _mm512_castsi512_ps(l_part));
            high = _mm512_sub_ps(high, _mm512_castsi512_ps(h_part));
        }
    }
}

/* The larger magnitudes, as bits: those of numbers are ordered as they are, and NaN is above them. */
FN_INLINE __m512i fn_larger(__m512i limit, __m512 low, __m512 high)
{
    const __m512i sign = _mm512_set1_epi32((int)0x80000000);
    const __m512i l = _mm512_andnot_si512(sign, _mm512_castps_si512(low));
    const __m512i h = _mm512_andnot_si512(sign, _mm512_castps_si512(high));
    return _mm512_max_epu32(limit, _mm512_max_epu32(l, h));
}

/* One register of each part, `apart` floats from part to part: 16 of the index by 32 k from `from` on. Lines of memory
 * are ld apart; `next` is where those lines go on that have the second half of k. Lines are of the index, its k side by
 * side, or of k (by_k). turned: the register's rows are what memory has side by side. largest: of each of the index, by
 * vector where memory or the register has the index side by side, else a vector for each. */
FN_INLINE void fn_pack_square(const int parts, const int by_k, const int turned, float *to, int64_t apart,
                              const float *from, int64_t ld, int64_t next, uint32_t *largest)
{
    float low[FN_WORDS] __attribute__((aligned(64))), high[FN_WORDS] __attribute__((aligned(64)));
    if (turned) {
        v_transpose_f32(low, FN_SQUARE, from, ld);
        v_transpose_f32(high, FN_SQUARE, from + next, ld);
    }
    const int rows_are_index = !by_k && !turned;
    __m512i limit = parts > 1 && !rows_are_index ? _mm512_loadu_si512(largest) : _mm512_setzero_si512();
#pragma GCC unroll 4
    for (int r = 0; r < FN_SQUARE; r++) {
        const __m512 l = turned ? _mm512_load_ps(low + r * FN_SQUARE) : _mm512_loadu_ps(from + r * ld);
        const __m512 h = turned ? _mm512_load_ps(high + r * FN_SQUARE) : _mm512_loadu_ps(from + r * ld + next);
        fn_parts_of(parts, to + r * FN_SQUARE, apart, l, h);
        if (parts == 1) continue;
        if (rows_are_index) {
            uint32_t *const of_row = largest + r * FN_SQUARE;
            _mm512_storeu_si512(of_row, fn_larger(_mm512_loadu_si512(of_row), l, h));
        } else if (by_k && turned) {
            limit = fn_larger(limit, _mm512_loadu_ps(from + r * ld), _mm512_loadu_ps(from + r * ld + next));
        } else {
            limit = fn_larger(limit, l, h);
        }
    }
    if (parts > 1 && !rows_are_index) _mm512_storeu_si512(largest, limit);
}

/* The same of `count` of the index and `k` k, the rest 0. */
static __attribute__((noinline)) void fn_pad_square(float *to, const float *from, int64_t ld, int by_k, int64_t count,
                                                    int64_t k)
{
    memset(to, 0, 2 * FN_WORDS * sizeof(float));
    for (int half = 0; half < 2; half++, to += FN_WORDS) {
        const int64_t left = k - half * FN_SQUARE, deep = left < 0 ? 0 : left < FN_SQUARE ? left : FN_SQUARE;
        const int64_t lines = by_k ? deep : count, wide = by_k ? count : deep;
        const float *const first = from + half * FN_SQUARE * (by_k ? ld : 1);
        for (int64_t r = 0; r < lines && wide > 0; r++)
            v_store_f32(to + r * FN_SQUARE, v_load_part_f32(first + r * ld, wide));
    }
}

/* Packs `count` of the index by k: pairs of registers, one pair after the other (at the end perhaps one alone); of each,
 * for each 32 k, each part of the one or two. largest: of each of the index, in whole squares (bits, as fn_larger).
 * by_k: memory has the index side by side, its lines of k ld apart; else k, lines of the index. turned as above. */
FN_INLINE void fn_pack_side(const int parts, const int by_k, const int turned, float *to, const float *from, int64_t ld,
                            int64_t count, int64_t k, uint32_t *largest)
{
    const int64_t steps = (k + FN_DEEP - 1) / FN_DEEP, squares = (count + FN_SQUARE - 1) / FN_SQUARE;
    const int64_t group = by_k ? FN_SIDE_BY_SIDE : 1, next = FN_SQUARE * (by_k ? ld : 1);
    float padded[2 * FN_WORDS] __attribute__((aligned(64)));
    uint32_t of_rows[FN_WORDS] __attribute__((aligned(64)));
    for (int64_t q0 = 0; q0 < squares; q0 += group) {
        const int64_t q1 = squares - q0 < group ? squares : q0 + group;
        if (parts > 1 && !by_k && !turned) memset(of_rows, 0, sizeof of_rows);
        for (int64_t s = 0; s < steps; s++)
            for (int64_t q = q0; q < q1; q++) {
                const int64_t there = count - q * FN_SQUARE, deep = k - s * FN_DEEP, pair = q / 2;
                const int64_t beside = squares - pair * 2 < 2 ? 1 : 2;
                float *const at = to + (pair * 2 * steps * parts + s * parts * beside + q % 2) * FN_WORDS;
                const int64_t line = by_k ? s * FN_DEEP : q * FN_SQUARE, beside_it = by_k ? q * FN_SQUARE : s * FN_DEEP;
                const float *const source = from + line * ld + beside_it;
                uint32_t *const limits = by_k || turned ? largest + q * FN_SQUARE : of_rows;
                if (there >= FN_SQUARE && deep >= FN_DEEP) {
                    fn_pack_square(parts, by_k, turned, at, beside * FN_WORDS, source, ld, next, limits);
                } else {
                    fn_pad_square(padded, source, ld, by_k, there < FN_SQUARE ? there : FN_SQUARE, deep);
                    fn_pack_square(parts, by_k, turned, at, beside * FN_WORDS, padded, FN_SQUARE, FN_WORDS, limits);
                }
            }
        if (parts > 1 && !by_k && !turned)
            for (int64_t r = 0; r < FN_SQUARE; r++) {
                const uint32_t of_row = _mm512_reduce_max_epu32(_mm512_load_si512(of_rows + r * FN_SQUARE));
                uint32_t *const limit = largest + q0 * FN_SQUARE + r;
                if (of_row > *limit) *limit = of_row;
            }
    }
}
