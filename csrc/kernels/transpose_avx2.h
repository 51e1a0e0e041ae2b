/* Squares of 8 floats and 4 doubles transposed in registers; the contract is in transpose_scalar.h. */
#ifndef FN_TRANSPOSE_AVX2_H
#define FN_TRANSPOSE_AVX2_H

static inline void v_transpose_f64(double *to, int64_t ldt, const double *from, int64_t ldf)
{
    const __m256d r0 = _mm256_loadu_pd(from), r1 = _mm256_loadu_pd(from + ldf);
    const __m256d r2 = _mm256_loadu_pd(from + 2 * ldf), r3 = _mm256_loadu_pd(from + 3 * ldf);
    const __m256d even0 = _mm256_unpacklo_pd(r0, r1), odd0 = _mm256_unpackhi_pd(r0, r1);
    const __m256d even1 = _mm256_unpacklo_pd(r2, r3), odd1 = _mm256_unpackhi_pd(r2, r3);
    _mm256_storeu_pd(to, _mm256_permute2f128_pd(even0, even1, 0x20));
    _mm256_storeu_pd(to + ldt, _mm256_permute2f128_pd(odd0, odd1, 0x20));
    _mm256_storeu_pd(to + 2 * ldt, _mm256_permute2f128_pd(even0, even1, 0x31));
    _mm256_storeu_pd(to + 3 * ldt, _mm256_permute2f128_pd(odd0, odd1, 0x31));
}

static inline void v_transpose_f32(float *to, int64_t ldt, const float *from, int64_t ldf)
{
    __m256 r[8], t[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) r[i] = _mm256_loadu_ps(from + i * ldf);
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm256_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm256_unpackhi_ps(r[i], r[i + 1]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < 8; i += 4) { /* r[i + c]: column c of each 128-bit lane, rows i .. i+3 */
        r[i] = _mm256_shuffle_ps(t[i], t[i + 2], 0x44);
        r[i + 1] = _mm256_shuffle_ps(t[i], t[i + 2], 0xee);
        r[i + 2] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0x44);
        r[i + 3] = _mm256_shuffle_ps(t[i + 1], t[i + 3], 0xee);
    }
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++) {
        _mm256_storeu_ps(to + c * ldt, _mm256_permute2f128_ps(r[c], r[4 + c], 0x20));
        _mm256_storeu_ps(to + (4 + c) * ldt, _mm256_permute2f128_ps(r[c], r[4 + c], 0x31));
    }
}

#endif
