/* Vectors for AVX2 and FMA. The API is the one of vec_scalar.h, which describes it.
 *
 * a) A mask is a vector of all-ones and all-zeros lanes.
 * b) Part stores are made of whole 16-, 8- and 4-byte stores: the masked store is microcode on many processors.
 * c) Powers of two are made in the exponent field: n + magic has n in its low bits (|n| < 2^22). */
#ifndef FN_VEC_AVX2_H
#define FN_VEC_AVX2_H

#include <immintrin.h>
#include <stdint.h>

#define FN_LANES_f32 8
#define FN_LANES_f64 4
#define FN_SPARSE 1
typedef __m256 v_f32;
typedef __m256d v_f64;
typedef __m256 m_f32;
typedef __m256d m_f64;

/* A window of 8 words that begins at 8 - count has its first `count` words set. */
static const int32_t fn_part_mask[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
static inline __m256i fn_part_words(int64_t count)
{
    return _mm256_loadu_si256((const __m256i *)(fn_part_mask + 8 - count));
}

/* ---- float ---- */
static inline v_f32 v_load_f32(const float *p) { return _mm256_loadu_ps(p); }
static inline void v_store_f32(float *p, v_f32 a) { _mm256_storeu_ps(p, a); }
static inline void v_stream_f32(float *p, v_f32 a) { _mm256_stream_ps(p, a); }
static inline m_f32 v_first_f32(int64_t count) { return _mm256_castsi256_ps(fn_part_words(count)); }
static inline v_f32 v_load_part_f32(const float *p, int64_t count)
{
    return _mm256_maskload_ps(p, fn_part_words(count));
}
static inline void v_store_part_f32(float *p, v_f32 a, int64_t count)
{
    if (count >= 8) {
        _mm256_storeu_ps(p, a);
        return;
    }
    __m128 rest = _mm256_castps256_ps128(a);
    if (count & 4) {
        _mm_storeu_ps(p, rest);
        rest = _mm256_extractf128_ps(a, 1);
        p += 4;
    }
    if (count & 2) {
        _mm_storel_pi((__m64 *)p, rest);
        rest = _mm_movehl_ps(rest, rest);
        p += 2;
    }
    if (count & 1) _mm_store_ss(p, rest);
}
static inline v_f32 v_set1_f32(float a) { return _mm256_set1_ps(a); }
static inline v_f32 v_iota_f32(void) { return _mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7); }
static inline v_f32 v_add_f32(v_f32 a, v_f32 b) { return _mm256_add_ps(a, b); }
static inline v_f32 v_sub_f32(v_f32 a, v_f32 b) { return _mm256_sub_ps(a, b); }
static inline v_f32 v_mul_f32(v_f32 a, v_f32 b) { return _mm256_mul_ps(a, b); }
static inline v_f32 v_div_f32(v_f32 a, v_f32 b) { return _mm256_div_ps(a, b); }
static inline v_f32 v_fma_f32(v_f32 a, v_f32 b, v_f32 c) { return _mm256_fmadd_ps(a, b, c); }
static inline v_f32 v_fnma_f32(v_f32 a, v_f32 b, v_f32 c) { return _mm256_fnmadd_ps(a, b, c); }
static inline v_f32 v_sqrt_f32(v_f32 a) { return _mm256_sqrt_ps(a); }
static inline v_f32 v_min_f32(v_f32 a, v_f32 b) { return _mm256_min_ps(a, b); }
static inline v_f32 v_max_f32(v_f32 a, v_f32 b) { return _mm256_max_ps(a, b); }
static inline v_f32 v_abs_f32(v_f32 a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
static inline v_f32 v_copysign_f32(v_f32 a, v_f32 sign)
{
    const __m256 bit = _mm256_set1_ps(-0.0f);
    return _mm256_or_ps(_mm256_andnot_ps(bit, a), _mm256_and_ps(bit, sign));
}
static inline v_f32 v_round_f32(v_f32 a) { return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline v_f32 v_exp2i_f32(v_f32 n)
{
    const __m256 shifted = _mm256_add_ps(n, _mm256_set1_ps(12582912.0f + 127.0f));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(shifted), 23));
}
static inline v_f32 v_ldexp_f32(v_f32 a, v_f32 n)
{
    const __m256 half = v_round_f32(_mm256_mul_ps(n, _mm256_set1_ps(0.5f)));
    return _mm256_mul_ps(_mm256_mul_ps(a, v_exp2i_f32(half)), v_exp2i_f32(_mm256_sub_ps(n, half)));
}
static inline v_f32 v_frexp_f32(v_f32 a, v_f32 *exponent)
{
    /* from 0.75 up the biased exponent of a + (1.0's bits - 0.75's bits) is that of the result's scale */
    const __m256i bits = _mm256_add_epi32(_mm256_castps_si256(a), _mm256_set1_epi32(0x00400000));
    *exponent = _mm256_cvtepi32_ps(_mm256_sub_epi32(_mm256_srai_epi32(bits, 23), _mm256_set1_epi32(127)));
    const __m256i fraction = _mm256_and_si256(bits, _mm256_set1_epi32(0x007fffff));
    return _mm256_castsi256_ps(_mm256_add_epi32(fraction, _mm256_set1_epi32(0x3f400000)));
}
static inline m_f32 v_gt_f32(v_f32 a, v_f32 b) { return _mm256_cmp_ps(a, b, _CMP_GT_OQ); }
static inline m_f32 v_ge_f32(v_f32 a, v_f32 b) { return _mm256_cmp_ps(a, b, _CMP_GE_OQ); }
static inline m_f32 v_eq_f32(v_f32 a, v_f32 b) { return _mm256_cmp_ps(a, b, _CMP_EQ_OQ); }
static inline v_f32 v_select_f32(m_f32 m, v_f32 a, v_f32 b) { return _mm256_blendv_ps(b, a, m); }
static inline v_f32 v_normal_f32(v_f32 a)
{
    const __m256i exponent = _mm256_and_si256(_mm256_castps_si256(a), _mm256_set1_epi32(0x7F800000));
    return _mm256_andnot_ps(_mm256_castsi256_ps(_mm256_cmpeq_epi32(exponent, _mm256_setzero_si256())), a);
}
static inline int v_all_f32(m_f32 m) { return _mm256_movemask_ps(m) == 0xFF; }
static inline uint64_t v_bits_f32(m_f32 m) { return (uint64_t)_mm256_movemask_ps(m); }
static inline v_f32 v_load_fill_f32(const float *p, int64_t count, v_f32 fill)
{
    return v_select_f32(v_first_f32(count), v_load_part_f32(p, count), fill);
}
static inline float v_sum_f32(v_f32 a)
{
    __m128 x = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    x = _mm_add_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)));
}
static inline float v_largest_f32(v_f32 a)
{
    __m128 x = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    x = _mm_max_ps(x, _mm_movehl_ps(x, x));
    return _mm_cvtss_f32(_mm_max_ss(x, _mm_movehdup_ps(x)));
}

/* ---- double ---- */
static inline v_f64 v_load_f64(const double *p) { return _mm256_loadu_pd(p); }
static inline void v_store_f64(double *p, v_f64 a) { _mm256_storeu_pd(p, a); }
static inline void v_stream_f64(double *p, v_f64 a) { _mm256_stream_pd(p, a); }
static inline m_f64 v_first_f64(int64_t count) { return _mm256_castsi256_pd(fn_part_words(2 * count)); }
static inline v_f64 v_load_part_f64(const double *p, int64_t count)
{
    return _mm256_maskload_pd(p, fn_part_words(2 * count));
}
static inline void v_store_part_f64(double *p, v_f64 a, int64_t count)
{
    if (count >= 4) {
        _mm256_storeu_pd(p, a);
        return;
    }
    __m128d rest = _mm256_castpd256_pd128(a);
    if (count & 2) {
        _mm_storeu_pd(p, rest);
        rest = _mm256_extractf128_pd(a, 1);
        p += 2;
    }
    if (count & 1) _mm_store_sd(p, rest);
}
static inline v_f64 v_set1_f64(double a) { return _mm256_set1_pd(a); }
static inline v_f64 v_iota_f64(void) { return _mm256_setr_pd(0, 1, 2, 3); }
static inline v_f64 v_add_f64(v_f64 a, v_f64 b) { return _mm256_add_pd(a, b); }
static inline v_f64 v_sub_f64(v_f64 a, v_f64 b) { return _mm256_sub_pd(a, b); }
static inline v_f64 v_mul_f64(v_f64 a, v_f64 b) { return _mm256_mul_pd(a, b); }
static inline v_f64 v_div_f64(v_f64 a, v_f64 b) { return _mm256_div_pd(a, b); }
static inline v_f64 v_fma_f64(v_f64 a, v_f64 b, v_f64 c) { return _mm256_fmadd_pd(a, b, c); }
static inline v_f64 v_fnma_f64(v_f64 a, v_f64 b, v_f64 c) { return _mm256_fnmadd_pd(a, b, c); }
static inline v_f64 v_sqrt_f64(v_f64 a) { return _mm256_sqrt_pd(a); }
static inline v_f64 v_min_f64(v_f64 a, v_f64 b) { return _mm256_min_pd(a, b); }
static inline v_f64 v_max_f64(v_f64 a, v_f64 b) { return _mm256_max_pd(a, b); }
static inline v_f64 v_abs_f64(v_f64 a) { return _mm256_andnot_pd(_mm256_set1_pd(-0.0), a); }
static inline v_f64 v_copysign_f64(v_f64 a, v_f64 sign)
{
    const __m256d bit = _mm256_set1_pd(-0.0);
    return _mm256_or_pd(_mm256_andnot_pd(bit, a), _mm256_and_pd(bit, sign));
}
static inline v_f64 v_round_f64(v_f64 a) { return _mm256_round_pd(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
static inline v_f64 v_exp2i_f64(v_f64 n)
{
    const __m256d shifted = _mm256_add_pd(n, _mm256_set1_pd(6755399441055744.0 + 1023.0));
    return _mm256_castsi256_pd(_mm256_slli_epi64(_mm256_castpd_si256(shifted), 52));
}
static inline v_f64 v_ldexp_f64(v_f64 a, v_f64 n)
{
    const __m256d half = v_round_f64(_mm256_mul_pd(n, _mm256_set1_pd(0.5)));
    return _mm256_mul_pd(_mm256_mul_pd(a, v_exp2i_f64(half)), v_exp2i_f64(_mm256_sub_pd(n, half)));
}
static inline v_f64 v_frexp_f64(v_f64 a, v_f64 *exponent)
{
    /* as for float; the exponent becomes a double in the low bits of 2^52 */
    const __m256i bits = _mm256_add_epi64(_mm256_castpd_si256(a), _mm256_set1_epi64x(0x0008000000000000));
    const __m256d two52 = _mm256_set1_pd(4503599627370496.0);
    const __m256i biased = _mm256_or_si256(_mm256_srli_epi64(bits, 52), _mm256_castpd_si256(two52));
    *exponent = _mm256_sub_pd(_mm256_castsi256_pd(biased), _mm256_set1_pd(4503599627370496.0 + 1023.0));
    const __m256i fraction = _mm256_and_si256(bits, _mm256_set1_epi64x(0x000fffffffffffff));
    return _mm256_castsi256_pd(_mm256_add_epi64(fraction, _mm256_set1_epi64x(0x3fe8000000000000)));
}
static inline m_f64 v_gt_f64(v_f64 a, v_f64 b) { return _mm256_cmp_pd(a, b, _CMP_GT_OQ); }
static inline m_f64 v_ge_f64(v_f64 a, v_f64 b) { return _mm256_cmp_pd(a, b, _CMP_GE_OQ); }
static inline m_f64 v_eq_f64(v_f64 a, v_f64 b) { return _mm256_cmp_pd(a, b, _CMP_EQ_OQ); }
static inline v_f64 v_select_f64(m_f64 m, v_f64 a, v_f64 b) { return _mm256_blendv_pd(b, a, m); }
static inline v_f64 v_normal_f64(v_f64 a)
{
    const __m256i exponent = _mm256_and_si256(_mm256_castpd_si256(a), _mm256_set1_epi64x(0x7FF0000000000000));
    return _mm256_andnot_pd(_mm256_castsi256_pd(_mm256_cmpeq_epi64(exponent, _mm256_setzero_si256())), a);
}
static inline int v_all_f64(m_f64 m) { return _mm256_movemask_pd(m) == 0xF; }
static inline uint64_t v_bits_f64(m_f64 m) { return (uint64_t)_mm256_movemask_pd(m); }
static inline v_f64 v_load_fill_f64(const double *p, int64_t count, v_f64 fill)
{
    return v_select_f64(v_first_f64(count), v_load_part_f64(p, count), fill);
}
static inline double v_sum_f64(v_f64 a)
{
    const __m128d x = _mm_add_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1));
    return _mm_cvtsd_f64(_mm_add_sd(x, _mm_unpackhi_pd(x, x)));
}
static inline double v_largest_f64(v_f64 a)
{
    const __m128d x = _mm_max_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1));
    return _mm_cvtsd_f64(_mm_max_sd(x, _mm_unpackhi_pd(x, x)));
}

/* ---- float to double, and the 32-bit words of the random generator ---- */
static inline v_f64 v_low_f64(v_f32 a) { return _mm256_cvtps_pd(_mm256_castps256_ps128(a)); }
static inline v_f64 v_high_f64(v_f32 a) { return _mm256_cvtps_pd(_mm256_extractf128_ps(a, 1)); }
static inline v_f64 v_widen_f64(const float *p) { return _mm256_cvtps_pd(_mm_loadu_ps(p)); }

typedef __m256i v_u32;
static inline v_u32 v_load_u32(const uint32_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
static inline void v_store_u32(uint32_t *p, v_u32 a) { _mm256_storeu_si256((__m256i *)p, a); }
static inline v_u32 v_set1_u32(uint32_t a) { return _mm256_set1_epi32((int)a); }
static inline v_u32 v_add_u32(v_u32 a, v_u32 b) { return _mm256_add_epi32(a, b); }
static inline v_u32 v_xor_u32(v_u32 a, v_u32 b) { return _mm256_xor_si256(a, b); }
static inline v_u32 v_mul_u32(v_u32 a, uint32_t c, v_u32 *high)
{
    const __m256i b = _mm256_set1_epi32((int)c);
    const __m256i even = _mm256_mul_epu32(a, b), odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), b);
    *high = _mm256_blend_epi32(_mm256_srli_epi64(even, 32), odd, 0xAA);
    return _mm256_blend_epi32(even, _mm256_slli_epi64(odd, 32), 0xAA);
}
static inline m_f32 v_below_u32(v_u32 a, v_u32 b)
{
    const __m256i bit = _mm256_set1_epi32((int)0x80000000u); /* the comparison is signed */
    return _mm256_castsi256_ps(_mm256_cmpgt_epi32(_mm256_xor_si256(b, bit), _mm256_xor_si256(a, bit)));
}
static inline void v_fence(void) { _mm_sfence(); }

#endif
