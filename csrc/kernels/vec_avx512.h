/* Vectors for AVX-512 (F, BW, DQ, VL). The API is the one of vec_scalar.h, which describes it. */
#ifndef FN_VEC_AVX512_H
#define FN_VEC_AVX512_H

#include <immintrin.h>
#include <stdint.h>

#define FN_LANES_f32 16
#define FN_LANES_f64 8
#define FN_RSQRT 1
#define FN_QUADS 1
#define FN_SPARSE 1
#define FN_DEALS 1
typedef __m512 v_f32;
typedef __m512d v_f64;
typedef __mmask16 m_f32;
typedef __mmask8 m_f64;

/* ---- float ---- */
static inline v_f32 v_load_f32(const float *p) { return _mm512_loadu_ps(p); }
static inline void v_store_f32(float *p, v_f32 a) { _mm512_storeu_ps(p, a); }
static inline void v_stream_f32(float *p, v_f32 a) { _mm512_stream_ps(p, a); }
static inline m_f32 v_first_f32(int64_t count) { return (m_f32)((1u << count) - 1u); }
static inline v_f32 v_load_part_f32(const float *p, int64_t count)
{
    return _mm512_maskz_loadu_ps(v_first_f32(count), p);
}
static inline v_f32 v_load_fill_f32(const float *p, int64_t count, v_f32 fill)
{
    return _mm512_mask_loadu_ps(fill, v_first_f32(count), p);
}
static inline void v_store_part_f32(float *p, v_f32 a, int64_t count)
{
    _mm512_mask_storeu_ps(p, v_first_f32(count), a);
}
static inline v_f32 v_set1_f32(float a) { return _mm512_set1_ps(a); }
static inline v_f32 v_iota_f32(void)
{
    return _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
}
static inline v_f32 v_add_f32(v_f32 a, v_f32 b) { return _mm512_add_ps(a, b); }
static inline v_f32 v_sub_f32(v_f32 a, v_f32 b) { return _mm512_sub_ps(a, b); }
static inline v_f32 v_mul_f32(v_f32 a, v_f32 b) { return _mm512_mul_ps(a, b); }
static inline v_f32 v_div_f32(v_f32 a, v_f32 b) { return _mm512_div_ps(a, b); }
static inline v_f32 v_fma_f32(v_f32 a, v_f32 b, v_f32 c) { return _mm512_fmadd_ps(a, b, c); }
static inline v_f32 v_fnma_f32(v_f32 a, v_f32 b, v_f32 c) { return _mm512_fnmadd_ps(a, b, c); }
static inline v_f32 v_sqrt_f32(v_f32 a) { return _mm512_sqrt_ps(a); }
static inline v_f32 v_rsqrt_f32(v_f32 a) { return _mm512_min_ps(_mm512_set1_ps(0x1p76f), _mm512_rsqrt14_ps(a)); }
static inline v_f32 v_min_f32(v_f32 a, v_f32 b) { return _mm512_min_ps(a, b); }
static inline v_f32 v_max_f32(v_f32 a, v_f32 b) { return _mm512_max_ps(a, b); }
static inline v_f32 v_abs_f32(v_f32 a) { return _mm512_abs_ps(a); }
static inline v_f32 v_copysign_f32(v_f32 a, v_f32 sign)
{
    const __m512 bit = _mm512_set1_ps(-0.0f);
    return _mm512_or_ps(_mm512_andnot_ps(bit, a), _mm512_and_ps(bit, sign));
}
static inline v_f32 v_round_f32(v_f32 a)
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
static inline v_f32 v_exp2i_f32(v_f32 n) { return _mm512_scalef_ps(_mm512_set1_ps(1.0f), n); }
static inline v_f32 v_ldexp_f32(v_f32 a, v_f32 n) { return _mm512_scalef_ps(a, n); }
static inline v_f32 v_frexp_f32(v_f32 a, v_f32 *exponent)
{
    const v_f32 one = _mm512_set1_ps(1.0f);
    const v_f32 m = _mm512_getmant_ps(a, _MM_MANT_NORM_p75_1p5, _MM_MANT_SIGN_src);
    const v_f32 floor = _mm512_getexp_ps(a);
    *exponent = _mm512_mask_add_ps(floor, _mm512_cmp_ps_mask(m, one, _CMP_LT_OQ), floor, one);
    return m;
}
static inline m_f32 v_gt_f32(v_f32 a, v_f32 b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
static inline m_f32 v_ge_f32(v_f32 a, v_f32 b) { return _mm512_cmp_ps_mask(a, b, _CMP_GE_OQ); }
static inline m_f32 v_eq_f32(v_f32 a, v_f32 b) { return _mm512_cmp_ps_mask(a, b, _CMP_EQ_OQ); }
static inline v_f32 v_select_f32(m_f32 m, v_f32 a, v_f32 b) { return _mm512_mask_blend_ps(m, b, a); }
static inline v_f32 v_normal_f32(v_f32 a)
{
    const __m512i exponent = _mm512_set1_epi32(0x7F800000);
    return _mm512_maskz_mov_ps(_mm512_test_epi32_mask(_mm512_castps_si512(a), exponent), a);
}
static inline int v_all_f32(m_f32 m) { return m == 0xFFFF; }
static inline uint64_t v_bits_f32(m_f32 m) { return m; }
static inline float v_sum_f32(v_f32 a) /* by halves, as v_sums_f32; the order of _mm512_reduce_add_ps is the compiler's */
{
    const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(a), _mm512_extractf32x8_ps(a, 1));
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
static inline float v_largest_f32(v_f32 a) { return _mm512_reduce_max_ps(a); }
static inline v_f32 v_quad_f32(const float *p) { return _mm512_broadcast_f32x4(_mm_loadu_ps(p)); }
static inline v_f32 v_quad_part_f32(const float *p, int64_t count)
{
    return _mm512_broadcast_f32x4(_mm_maskz_loadu_ps((__mmask8)((1u << count) - 1u), p));
}
static inline void v_turn_f32(v_f32 *r)
{
    const __m512d a = _mm512_castps_pd(_mm512_unpacklo_ps(r[0], r[1]));
    const __m512d b = _mm512_castps_pd(_mm512_unpackhi_ps(r[0], r[1]));
    const __m512d c = _mm512_castps_pd(_mm512_unpacklo_ps(r[2], r[3]));
    const __m512d d = _mm512_castps_pd(_mm512_unpackhi_ps(r[2], r[3]));
    r[0] = _mm512_castpd_ps(_mm512_unpacklo_pd(a, c));
    r[1] = _mm512_castpd_ps(_mm512_unpackhi_pd(a, c));
    r[2] = _mm512_castpd_ps(_mm512_unpacklo_pd(b, d));
    r[3] = _mm512_castpd_ps(_mm512_unpackhi_pd(b, d));
}
/* lane 4 l + c to or from place quads l + c */
static inline v_f32 v_spread_f32(v_f32 a, int quads)
{
    const __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i quarter = _mm512_srli_epi32(lane, 2), rest = _mm512_and_si512(lane, _mm512_set1_epi32(3));
    return _mm512_permutexvar_ps(_mm512_add_epi32(_mm512_mullo_epi32(quarter, _mm512_set1_epi32(quads)), rest), a);
}
static inline v_f32 v_compact_f32(v_f32 a, int quads)
{
    const __m512i from = quads == 1   ? _mm512_setr_epi32(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)
                         : quads == 2 ? _mm512_setr_epi32(0, 1, 4, 5, 8, 9, 12, 13, 0, 0, 0, 0, 0, 0, 0, 0)
                                      : _mm512_setr_epi32(0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, 0, 0, 0, 0);
    return _mm512_permutexvar_ps(from, a);
}
/* n, j and q are constants where these are inlined. Element e = r n + j of the rows is lane e % 16 of v[e / 16]; a
 * permutation of two vectors heeds 5 bits of e. */
static inline __attribute__((always_inline)) v_f32 v_deal_f32(const v_f32 *v, const int n, const int j)
{
#define FN_E(r) ((r) * n + j)
    const __m512i e = _mm512_setr_epi32(FN_E(0), FN_E(1), FN_E(2), FN_E(3), FN_E(4), FN_E(5), FN_E(6), FN_E(7), FN_E(8),
                                        FN_E(9), FN_E(10), FN_E(11), FN_E(12), FN_E(13), FN_E(14), FN_E(15));
#undef FN_E
    if (n == 1) return v[0];
    const __m512 near = _mm512_permutex2var_ps(v[0], e, v[1]);
    if (n == 2) return near;
    return _mm512_mask_blend_ps(_mm512_cmpge_epi32_mask(e, _mm512_set1_epi32(32)), near,
                                _mm512_permutex2var_ps(v[2], e, v[n - 1]));
}
static inline __attribute__((always_inline)) v_f32 v_collect_f32(const v_f32 *c, const int n, const int q)
{
#define FN_E(l) ((16 * q + (l)) / n + 16 * ((16 * q + (l)) % n))
    const __m512i e = _mm512_setr_epi32(FN_E(0), FN_E(1), FN_E(2), FN_E(3), FN_E(4), FN_E(5), FN_E(6), FN_E(7), FN_E(8),
                                        FN_E(9), FN_E(10), FN_E(11), FN_E(12), FN_E(13), FN_E(14), FN_E(15));
#undef FN_E
    if (n == 1) return c[0];
    const __m512 first = _mm512_permutex2var_ps(c[0], e, c[1]);
    if (n == 2) return first;
    return _mm512_mask_blend_ps(_mm512_cmpge_epi32_mask(e, _mm512_set1_epi32(32)), first,
                                _mm512_permutex2var_ps(c[2], e, c[n - 1]));
}
/* By halves, as v_sum_f32: each step adds the halves of pairs of vectors, and leaves the sums of one beside the
 * other's. Taken in this order the vectors' sums end in theirs. */
static inline __attribute__((always_inline)) v_f32 v_sums_f32(const v_f32 *a)
{
    static const int order[16] = {0, 2, 1, 3, 8, 10, 9, 11, 4, 6, 5, 7, 12, 14, 13, 15};
    __m512 r[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
        const __m512 x = a[order[i]], y = a[order[i + 8]];
        r[i] = _mm512_add_ps(_mm512_shuffle_f32x4(x, y, 0x44), _mm512_shuffle_f32x4(x, y, 0xee));
    }
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++)
        r[i] = _mm512_add_ps(_mm512_shuffle_f32x4(r[i], r[i + 4], 0x88), _mm512_shuffle_f32x4(r[i], r[i + 4], 0xdd));
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++) {
        const __m512d x = _mm512_castps_pd(r[i]), y = _mm512_castps_pd(r[i + 2]);
        r[i] = _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(x, y)), _mm512_castpd_ps(_mm512_unpackhi_pd(x, y)));
    }
    return _mm512_add_ps(_mm512_shuffle_ps(r[0], r[1], 0x88), _mm512_shuffle_ps(r[0], r[1], 0xdd));
}

/* ---- double ---- */
static inline v_f64 v_load_f64(const double *p) { return _mm512_loadu_pd(p); }
static inline void v_store_f64(double *p, v_f64 a) { _mm512_storeu_pd(p, a); }
static inline void v_stream_f64(double *p, v_f64 a) { _mm512_stream_pd(p, a); }
static inline m_f64 v_first_f64(int64_t count) { return (m_f64)((1u << count) - 1u); }
static inline v_f64 v_load_part_f64(const double *p, int64_t count)
{
    return _mm512_maskz_loadu_pd(v_first_f64(count), p);
}
static inline v_f64 v_load_fill_f64(const double *p, int64_t count, v_f64 fill)
{
    return _mm512_mask_loadu_pd(fill, v_first_f64(count), p);
}
static inline void v_store_part_f64(double *p, v_f64 a, int64_t count)
{
    _mm512_mask_storeu_pd(p, v_first_f64(count), a);
}
static inline v_f64 v_set1_f64(double a) { return _mm512_set1_pd(a); }
static inline v_f64 v_iota_f64(void) { return _mm512_setr_pd(0, 1, 2, 3, 4, 5, 6, 7); }
static inline v_f64 v_add_f64(v_f64 a, v_f64 b) { return _mm512_add_pd(a, b); }
static inline v_f64 v_sub_f64(v_f64 a, v_f64 b) { return _mm512_sub_pd(a, b); }
static inline v_f64 v_mul_f64(v_f64 a, v_f64 b) { return _mm512_mul_pd(a, b); }
static inline v_f64 v_div_f64(v_f64 a, v_f64 b) { return _mm512_div_pd(a, b); }
static inline v_f64 v_fma_f64(v_f64 a, v_f64 b, v_f64 c) { return _mm512_fmadd_pd(a, b, c); }
static inline v_f64 v_fnma_f64(v_f64 a, v_f64 b, v_f64 c) { return _mm512_fnmadd_pd(a, b, c); }
static inline v_f64 v_sqrt_f64(v_f64 a) { return _mm512_sqrt_pd(a); }
static inline v_f64 v_rsqrt_f64(v_f64 a) { return _mm512_min_pd(_mm512_set1_pd(0x1p538), _mm512_rsqrt14_pd(a)); }
static inline v_f64 v_min_f64(v_f64 a, v_f64 b) { return _mm512_min_pd(a, b); }
static inline v_f64 v_max_f64(v_f64 a, v_f64 b) { return _mm512_max_pd(a, b); }
static inline v_f64 v_abs_f64(v_f64 a) { return _mm512_abs_pd(a); }
static inline v_f64 v_copysign_f64(v_f64 a, v_f64 sign)
{
    const __m512d bit = _mm512_set1_pd(-0.0);
    return _mm512_or_pd(_mm512_andnot_pd(bit, a), _mm512_and_pd(bit, sign));
}
static inline v_f64 v_round_f64(v_f64 a)
{
    return _mm512_roundscale_pd(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
static inline v_f64 v_exp2i_f64(v_f64 n) { return _mm512_scalef_pd(_mm512_set1_pd(1.0), n); }
static inline v_f64 v_ldexp_f64(v_f64 a, v_f64 n) { return _mm512_scalef_pd(a, n); }
static inline v_f64 v_frexp_f64(v_f64 a, v_f64 *exponent)
{
    const v_f64 one = _mm512_set1_pd(1.0);
    const v_f64 m = _mm512_getmant_pd(a, _MM_MANT_NORM_p75_1p5, _MM_MANT_SIGN_src);
    const v_f64 floor = _mm512_getexp_pd(a);
    *exponent = _mm512_mask_add_pd(floor, _mm512_cmp_pd_mask(m, one, _CMP_LT_OQ), floor, one);
    return m;
}
static inline m_f64 v_gt_f64(v_f64 a, v_f64 b) { return _mm512_cmp_pd_mask(a, b, _CMP_GT_OQ); }
static inline m_f64 v_ge_f64(v_f64 a, v_f64 b) { return _mm512_cmp_pd_mask(a, b, _CMP_GE_OQ); }
static inline m_f64 v_eq_f64(v_f64 a, v_f64 b) { return _mm512_cmp_pd_mask(a, b, _CMP_EQ_OQ); }
static inline v_f64 v_select_f64(m_f64 m, v_f64 a, v_f64 b) { return _mm512_mask_blend_pd(m, b, a); }
static inline v_f64 v_normal_f64(v_f64 a)
{
    const __m512i exponent = _mm512_set1_epi64(0x7FF0000000000000);
    return _mm512_maskz_mov_pd(_mm512_test_epi64_mask(_mm512_castpd_si512(a), exponent), a);
}
static inline int v_all_f64(m_f64 m) { return m == 0xFF; }
static inline uint64_t v_bits_f64(m_f64 m) { return m; }
static inline double v_sum_f64(v_f64 a)
{
    const __m256d half = _mm256_add_pd(_mm512_castpd512_pd256(a), _mm512_extractf64x4_pd(a, 1));
    const __m128d two = _mm_add_pd(_mm256_castpd256_pd128(half), _mm256_extractf128_pd(half, 1));
    return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}
static inline double v_largest_f64(v_f64 a) { return _mm512_reduce_max_pd(a); }
static inline __attribute__((always_inline)) v_f64 v_deal_f64(const v_f64 *v, const int n, const int j)
{
#define FN_E(r) ((r) * n + j)
    const __m512i e = _mm512_setr_epi64(FN_E(0), FN_E(1), FN_E(2), FN_E(3), FN_E(4), FN_E(5), FN_E(6), FN_E(7));
#undef FN_E
    if (n == 1) return v[0];
    const __m512d near = _mm512_permutex2var_pd(v[0], e, v[1]);
    if (n == 2) return near;
    return _mm512_mask_blend_pd(_mm512_cmpge_epi64_mask(e, _mm512_set1_epi64(16)), near,
                                _mm512_permutex2var_pd(v[2], e, v[n - 1]));
}
static inline __attribute__((always_inline)) v_f64 v_collect_f64(const v_f64 *c, const int n, const int q)
{
#define FN_E(l) ((8 * q + (l)) / n + 8 * ((8 * q + (l)) % n))
    const __m512i e = _mm512_setr_epi64(FN_E(0), FN_E(1), FN_E(2), FN_E(3), FN_E(4), FN_E(5), FN_E(6), FN_E(7));
#undef FN_E
    if (n == 1) return c[0];
    const __m512d first = _mm512_permutex2var_pd(c[0], e, c[1]);
    if (n == 2) return first;
    return _mm512_mask_blend_pd(_mm512_cmpge_epi64_mask(e, _mm512_set1_epi64(16)), first,
                                _mm512_permutex2var_pd(c[2], e, c[n - 1]));
}
static inline __attribute__((always_inline)) v_f64 v_sums_f64(const v_f64 *a)
{
    static const int order[8] = {0, 1, 4, 5, 2, 3, 6, 7};
    __m512d r[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; i++) {
        const __m512d x = a[order[i]], y = a[order[i + 4]];
        r[i] = _mm512_add_pd(_mm512_shuffle_f64x2(x, y, 0x44), _mm512_shuffle_f64x2(x, y, 0xee));
    }
#pragma GCC unroll 2
    for (int i = 0; i < 2; i++)
        r[i] = _mm512_add_pd(_mm512_shuffle_f64x2(r[i], r[i + 2], 0x88), _mm512_shuffle_f64x2(r[i], r[i + 2], 0xdd));
    return _mm512_add_pd(_mm512_unpacklo_pd(r[0], r[1]), _mm512_unpackhi_pd(r[0], r[1]));
}

/* ---- float to double, and the 32-bit words of the random generator ---- */
static inline v_f64 v_low_f64(v_f32 a) { return _mm512_cvtps_pd(_mm512_castps512_ps256(a)); }
static inline v_f64 v_high_f64(v_f32 a) { return _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1)); }
static inline v_f64 v_widen_f64(const float *p) { return _mm512_cvtps_pd(_mm256_loadu_ps(p)); }
#define FN_SHRUNK 1
static inline v_f64 v_shrunk_f64(v_f32 a, v_f64 *odd)
{
    const __m512i x = _mm512_castps_si512(a), fields = _mm512_set1_epi64(0x0fffffffe0000000LL);
    *odd = _mm512_castsi512_pd(_mm512_and_si512(_mm512_srli_epi64(x, 3), fields));
    return _mm512_castsi512_pd(_mm512_and_si512(_mm512_slli_epi64(x, 29), fields));
}

typedef __m512i v_u32;
static inline v_u32 v_load_u32(const uint32_t *p) { return _mm512_loadu_si512(p); }
static inline void v_store_u32(uint32_t *p, v_u32 a) { _mm512_storeu_si512(p, a); }
static inline v_u32 v_set1_u32(uint32_t a) { return _mm512_set1_epi32((int)a); }
static inline v_u32 v_add_u32(v_u32 a, v_u32 b) { return _mm512_add_epi32(a, b); }
static inline v_u32 v_xor_u32(v_u32 a, v_u32 b) { return _mm512_xor_si512(a, b); }
static inline v_u32 v_mul_u32(v_u32 a, uint32_t c, v_u32 *high)
{
    const __m512i b = _mm512_set1_epi32((int)c);
    const __m512i even = _mm512_mul_epu32(a, b), odd = _mm512_mul_epu32(_mm512_srli_epi64(a, 32), b);
    *high = _mm512_mask_shuffle_epi32(odd, 0x5555, even, _MM_PERM_CDAB);
    return _mm512_mask_shuffle_epi32(even, 0xAAAA, odd, _MM_PERM_CDAB);
}
static inline m_f32 v_below_u32(v_u32 a, v_u32 b) { return _mm512_cmplt_epu32_mask(a, b); }
static inline void v_fence(void) { _mm_sfence(); }

#endif
