/* Large products of floats on the processor's matrix unit (AMX), which multiplies bfloat16 numbers and sums in float, at
 * sixteen times the rate of float multiply-adds. Read after gemm_impl.h for instruction sets that have FN_AMX.
 *
 * a) A float is the sum of three bfloat16 numbers, 8 significant bits each: its parts, the largest first, each the rest
 *    rounded. Of the nine products of parts the six largest are taken: what is left out is below 2^-23 of the product, as
 *    the rounding of a float sum is, and sums pause in float only twice in 32 terms. So all of "highest" is as exact as
 *    float multiply-adds ([docs/precision.md], measured); "high" takes two parts and three products, "medium" one.
 * b) The unit's registers are squares of 16 rows of 16 words: 16 by 16 sums; of A, 16 rows by 32 k; of B, 32 k by 16
 *    columns. A word is a pair of bfloat16 numbers, here of k and k + 16: so whole vectors are split in parts, and no
 *    number moves along its vector. Both operands are always packed so.
 * c) Parts of a small number fall below what the unit takes for 0 (2^-126), those of a large one overflow, those of what
 *    is not finite are NaN. So the largest number of each row of A and column of B is found while they are packed; rows
 *    and columns in which it is not between FN_LEAST and FN_MOST (or 0) are computed again by float multiply-adds. That
 *    is said of whole rows and columns: no part of a call sees it otherwise, so the bits do not depend on their number.
 * d) k goes in blocks that only the whole k decides, and each block's sums are added to C in order. */

#include <immintrin.h>

enum {
    FN_SQUARE = 16,            /* rows, and words of a row, of a register */
    FN_DEEP = 32,              /* k of one */
    FN_WORDS = 256,            /* of one */
    FN_ACROSS = 32,            /* rows and columns of C that are summed at once: two registers of A, two of B, four of C */
    FN_SIDE_BY_SIDE = 8,       /* registers that are packed side by side where memory has no k side by side */
    FN_UNIT_KC = 1536,         /* k of a block, times parts */
    FN_UNIT_B_BYTES = 3 << 19, /* of packed B: what L2 holds beside FN_ACROSS rows of A */
    FN_UNIT_A_BYTES = FN_UNIT_KC * FN_ACROSS * 2,
    FN_UNIT_ROWS = 8192,       /* of which the largest numbers are kept at once */
    FN_UNIT_COLUMNS = 8192
};
_Static_assert(FN_UNIT_B_BYTES + FN_UNIT_A_BYTES + 4 * (FN_UNIT_ROWS + FN_UNIT_COLUMNS) <= FN_SCRATCH_BYTES, "");
_Static_assert(FN_UNIT_ROWS % FN_ACROSS == 0 && FN_UNIT_COLUMNS % FN_ACROSS == 0, "");
#define FN_LEAST 0x1p-48f
#define FN_MOST 0x1p56f

/* ---- packing ---- */

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

/* Packs `count` of the index by k: groups of FN_ACROSS of the index, one after the other; of each, for each 32 k and each
 * part the group's one or two registers. largest: of each of the index, in whole squares (bits, as fn_larger).
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
                const float *const source = from + (by_k ? s * FN_DEEP * ld + q * FN_SQUARE : q * FN_SQUARE * ld + s * FN_DEEP);
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

/* ---- the unit ---- */

#define FN_UNIT_TIMES(mt, nt)                         \
    do {                                                      \
        _tile_dpbf16ps(0, 4, 6);                              \
        if ((nt) > 1) _tile_dpbf16ps(1, 4, 7);                \
        if ((mt) > 1) _tile_dpbf16ps(2, 5, 6);                \
        if ((mt) > 1 && (nt) > 1) _tile_dpbf16ps(3, 5, 7);    \
    } while (0)
#define FN_UNIT_A(mt, part)                                                            \
    do {                                                                               \
        _tile_loadd(4, a + (part) * (mt) * FN_WORDS, 64);                              \
        if ((mt) > 1) _tile_loadd(5, a + ((part) * (mt) + 1) * FN_WORDS, 64);          \
    } while (0)
#define FN_UNIT_B(nt, part)                                                            \
    do {                                                                               \
        _tile_loadd(6, b + (part) * (nt) * FN_WORDS, 64);                              \
        if ((nt) > 1) _tile_loadd(7, b + ((part) * (nt) + 1) * FN_WORDS, 64);          \
    } while (0)

/* sums[i*FN_ACROSS + j] of mt by nt registers over `steps` times 32 k. All but steps are constants. */
FN_INLINE void fn_unit_body(const int parts, const int mt, const int nt, float *sums, const float *a, const float *b,
                            int64_t steps)
{
    __asm__ volatile("" ::: "memory"); /* what is loaded below has been written: the compiler does not see the loads */
    _tile_zero(0);
    if (nt > 1) _tile_zero(1);
    if (mt > 1) _tile_zero(2);
    if (mt > 1 && nt > 1) _tile_zero(3);
    for (int64_t s = 0; s < steps; s++, a += parts * mt * FN_WORDS, b += parts * nt * FN_WORDS) {
        if (parts == 3) {
            FN_UNIT_A(mt, 2); FN_UNIT_B(nt, 0); FN_UNIT_TIMES(mt, nt);
            FN_UNIT_A(mt, 1); FN_UNIT_TIMES(mt, nt);
            FN_UNIT_B(nt, 1); FN_UNIT_TIMES(mt, nt);
            FN_UNIT_A(mt, 0); FN_UNIT_TIMES(mt, nt);
            FN_UNIT_B(nt, 2); FN_UNIT_TIMES(mt, nt);
            FN_UNIT_B(nt, 0); FN_UNIT_TIMES(mt, nt);
        } else if (parts == 2) {
            FN_UNIT_A(mt, 1); FN_UNIT_B(nt, 0); FN_UNIT_TIMES(mt, nt);
            FN_UNIT_A(mt, 0); FN_UNIT_TIMES(mt, nt);
            FN_UNIT_B(nt, 1); FN_UNIT_TIMES(mt, nt);
        } else {
            FN_UNIT_A(mt, 0); FN_UNIT_B(nt, 0); FN_UNIT_TIMES(mt, nt);
        }
    }
    _tile_stored(0, sums, FN_ACROSS * 4);
    if (nt > 1) _tile_stored(1, sums + FN_SQUARE, FN_ACROSS * 4);
    if (mt > 1) _tile_stored(2, sums + FN_SQUARE * FN_ACROSS, FN_ACROSS * 4);
    if (mt > 1 && nt > 1) _tile_stored(3, sums + FN_SQUARE * FN_ACROSS + FN_SQUARE, FN_ACROSS * 4);
}

FN_INLINE void fn_unit(const int parts, int64_t mt, int64_t nt, float *sums, const float *a, const float *b, int64_t steps)
{
    if (mt > 1 && nt > 1)
        fn_unit_body(parts, 2, 2, sums, a, b, steps);
    else if (mt > 1)
        fn_unit_body(parts, 2, 1, sums, a, b, steps);
    else if (nt > 1)
        fn_unit_body(parts, 1, 2, sums, a, b, steps);
    else
        fn_unit_body(parts, 1, 1, sums, a, b, steps);
}

/* A row of C: = its start, or C, and sums; then its end. vectors of them, the last of `count` elements if part. All but the
 * pointers and count are constants. */
FN_INLINE void fn_take_row(const int vectors, const int part, const int masked, const float *sums, const float *start,
                           float *c, const float *mask, v_f32 floor, v_f32 scale, int64_t count)
{
    const v_f32 zero = v_set1_f32(0);
#pragma GCC unroll 2
    for (int x = 0; x < vectors; x++) {
        const int ends = part && x == vectors - 1;
        v_f32 sum = v_load_f32(sums + x * 16);
        sum = v_add_f32(sum, ends ? v_load_part_f32(start + x * 16, count) : v_load_f32(start + x * 16));
        sum = v_max_f32(floor, sum);
        if (masked) {
            const v_f32 s = ends ? v_load_part_f32(mask + x * 16, count) : v_load_f32(mask + x * 16);
            sum = v_select_f32(v_gt_f32(s, zero), v_mul_f32(scale, sum), zero);
        }
        if (ends)
            v_store_part_f32(c + x * 16, sum, count);
        else
            v_store_f32(c + x * 16, sum);
    }
}

/* C(i, j) of `rows` by `width` from i, j on: = start or C, and sums; and its end. */
static void fn_take_sums(const fn_product_f32 *g, const float *sums, int64_t i, int64_t rows, int64_t j, int64_t width,
                         int first, int last)
{
    const v_f32 floor = v_set1_f32(last ? g->floor : -INFINITY), scale = v_set1_f32(g->scale);
    const int masked = last && g->mask;
    float *c = g->c + i * g->ldc + j;
    const float *start = !first ? c : g->bias ? g->bias + j : fn_zeros_f32;
    const int64_t ldstart = first ? 0 : g->ldc, ldmask = masked ? g->ldmask : 0;
    const float *mask = masked ? g->mask + i * ldmask + j : NULL;
#define FN_TAKE(vectors, part, masked)                                                                           \
    for (int64_t y = 0; y < rows; y++, sums += FN_ACROSS, start += ldstart, c += g->ldc, mask += ldmask)         \
        fn_take_row(vectors, part, masked, sums, start, c, mask, floor, scale, (width - 1) % 16 + 1)
    if (width == FN_ACROSS && !masked) {
        FN_TAKE(2, 0, 0);
    } else if (width == FN_ACROSS) {
        FN_TAKE(2, 0, 1);
    } else if (width > 16) {
        if (masked)
            FN_TAKE(2, 1, 1);
        else
            FN_TAKE(2, 1, 0);
    } else if (masked) {
        FN_TAKE(1, 1, 1);
    } else {
        FN_TAKE(1, 1, 0);
    }
#undef FN_TAKE
}

/* ---- the product ---- */

FN_INLINE int fn_is_out(uint32_t limit)
{
    const __m128i bits = _mm_cvtsi32_si128((int)limit);
    const float largest = _mm_cvtss_f32(_mm_castsi128_ps(bits));
    return limit != 0 && !(largest >= FN_LEAST && largest <= FN_MOST);
}

/* Rows and columns that are out of the unit's range, in a rectangle that has been computed. */
static void fn_again(const fn_product_f32 *g, int64_t i0, int64_t i1, int64_t j0, int64_t j1, const uint32_t *of_rows,
                     const uint32_t *of_columns, float *scratch)
{
    for (int64_t i = i0, end; i < i1; i = end + 1) {
        for (; i < i1 && !fn_is_out(of_rows[i - i0]); i++) {}
        for (end = i; end < i1 && fn_is_out(of_rows[end - i0]); end++) {}
        if (i < end) fn_direct_f32(g, i, end, j0, j1, scratch);
    }
    for (int64_t j = j0, end; j < j1; j = end + 1) {
        for (; j < j1 && !fn_is_out(of_columns[j - j0]); j++) {}
        for (end = j; end < j1 && fn_is_out(of_columns[end - j0]); end++) {}
        if (j < end) fn_direct_f32(g, i0, i1, j, end, scratch);
    }
}

/* Rows [i0, i1), FN_UNIT_ROWS at most, by columns [j0, j1). parts: constant. */
FN_INLINE void fn_by_unit_body(const int parts, const fn_product_f32 *g, int64_t i0, int64_t i1, int64_t j0, int64_t j1,
                               float *scratch)
{
    const int64_t ksteps = (g->k + FN_DEEP - 1) / FN_DEEP, most = FN_UNIT_KC / parts / FN_DEEP;
    const int64_t kblocks = (ksteps + most - 1) / most, deepest = (ksteps + kblocks - 1) / kblocks;
    const int64_t fit = FN_UNIT_B_BYTES / (deepest * parts * FN_DEEP * 2) / FN_ACROSS * FN_ACROSS;
    const int64_t nc = fit < FN_UNIT_COLUMNS ? fit : FN_UNIT_COLUMNS;
    float *const packed_b = scratch, *const packed_a = packed_b + FN_UNIT_B_BYTES / 4;
    uint32_t *const of_rows = (uint32_t *)(scratch + FN_SCRATCH_BYTES / 4) - FN_UNIT_ROWS - FN_UNIT_COLUMNS;
    uint32_t *const of_columns = of_rows + FN_UNIT_ROWS;
    float sums[FN_ACROSS * FN_ACROSS] __attribute__((aligned(64)));
    for (int64_t jc = j0; jc < j1; jc += nc) {
        const int64_t jend = j1 - jc < nc ? j1 : jc + nc;
        if (parts > 1) {
            memset(of_rows, 0, (size_t)(i1 - i0 + FN_SQUARE - 1) / FN_SQUARE * FN_SQUARE * sizeof *of_rows);
            memset(of_columns, 0, (size_t)(jend - jc + FN_SQUARE - 1) / FN_SQUARE * FN_SQUARE * sizeof *of_columns);
        }
        for (int64_t kb = 0; kb < kblocks; kb++) {
            const int64_t p = fn_even(ksteps, kblocks, kb) * FN_DEEP;
            const int64_t k = (kb + 1 == kblocks ? g->k : fn_even(ksteps, kblocks, kb + 1) * FN_DEEP) - p;
            const int64_t steps = (k + FN_DEEP - 1) / FN_DEEP, panel = steps * parts * FN_ACROSS * FN_SQUARE;
            if (g->cb == 1)
                fn_pack_side(parts, 1, 0, packed_b, g->b + p * g->rb + jc, g->rb, jend - jc, k, of_columns);
            else
                fn_pack_side(parts, 0, 1, packed_b, g->b + jc * g->cb + p, g->cb, jend - jc, k, of_columns);
            for (int64_t i = i0; i < i1; i += FN_ACROSS) {
                const int64_t rows = i1 - i < FN_ACROSS ? i1 - i : FN_ACROSS;
                if (g->ca == 1)
                    fn_pack_side(parts, 0, 0, packed_a, g->a + i * g->ra + p, g->ra, rows, k, of_rows + (i - i0));
                else
                    fn_pack_side(parts, 1, 1, packed_a, g->a + p * g->ca + i, g->ca, rows, k, of_rows + (i - i0));
                for (int64_t j = jc; j < jend; j += FN_ACROSS) {
                    const int64_t width = jend - j < FN_ACROSS ? jend - j : FN_ACROSS;
                    fn_unit(parts, rows > FN_SQUARE ? 2 : 1, width > FN_SQUARE ? 2 : 1, sums, packed_a,
                            packed_b + (j - jc) / FN_ACROSS * panel, steps);
                    fn_take_sums(g, sums, i, rows, j, width, kb == 0, kb + 1 == kblocks);
                }
            }
        }
        if (parts > 1) fn_again(g, i0, i1, jc, jend, of_rows, of_columns, scratch);
    }
}

/* The unit's settings: palette 1, eight registers of 16 rows of 64 bytes. Those of another library that has called on
 * this thread, and may remember that it has made them, are put back at the end. */
typedef struct {
    uint8_t palette, start, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} fn_unit_settings;

static void fn_unit_begin(fn_unit_settings *before)
{
    fn_unit_settings ours = {.palette = 1};
    for (int r = 0; r < 8; r++) {
        ours.bytes[r] = 64;
        ours.rows[r] = FN_SQUARE;
    }
    _tile_storeconfig(before);
    _tile_loadconfig(&ours);
}

static void fn_unit_end(const fn_unit_settings *before)
{
    if (before->palette)
        _tile_loadconfig(before);
    else
        _tile_release();
}

/* Whether the whole product is faster so, by what its precision allows: a number that is packed has to be multiplied so
 * often that it pays. */
FN_INLINE int fn_unit_pays(const fn_product_f32 *g)
{
    const int64_t least = g->precision == FN_PRECISION_medium ? 20 : g->precision == FN_PRECISION_high ? 40 : 80;
    return g->m >= FN_ACROSS && g->n >= FN_ACROSS && g->k >= FN_DEEP && g->m * g->n >= least * (g->m + g->n);
}

/* Rows [i0, i1) by columns [j0, j1). */
static void fn_by_unit(const fn_product_f32 *g, int64_t i0, int64_t i1, int64_t j0, int64_t j1, float *scratch)
{
    fn_unit_settings before;
    fn_unit_begin(&before);
    for (int64_t i = i0; i < i1; i += FN_UNIT_ROWS) {
        const int64_t end = i1 - i < FN_UNIT_ROWS ? i1 : i + FN_UNIT_ROWS;
        switch (g->precision) {
        case FN_PRECISION_medium: fn_by_unit_body(1, g, i, end, j0, j1, scratch); break;
        case FN_PRECISION_high: fn_by_unit_body(2, g, i, end, j0, j1, scratch); break;
        default: fn_by_unit_body(3, g, i, end, j0, j1, scratch);
        }
    }
    fn_unit_end(&before);
}
