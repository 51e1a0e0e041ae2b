/* Squares of 16 floats and 8 doubles transposed in registers; the contract is in transpose_scalar.h.
 *
 * Pairs of rows are interleaved by 1, by 2, then by 4 elements inside 128-bit lanes, then whole lanes move: 64 shuffles
 * for 256 floats. */
#ifndef FN_TRANSPOSE_AVX512_H
#define FN_TRANSPOSE_AVX512_H

static inline void v_transpose_f64(double *to, int64_t ldt, const double *from, int64_t ldf)
{
    __m512d r[8], t[8];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) r[i] = _mm512_loadu_pd(from + i * ldf);
#pragma GCC unroll 4
    for (int i = 0; i < 8; i += 2) {
        t[i] = _mm512_unpacklo_pd(r[i], r[i + 1]);     /* columns 0 2 4 6 of rows i, i+1 */
        t[i + 1] = _mm512_unpackhi_pd(r[i], r[i + 1]); /* columns 1 3 5 7 */
    }
#pragma GCC unroll 2
    for (int odd = 0; odd < 2; odd++) {
        const __m512d a = _mm512_shuffle_f64x2(t[odd], t[2 + odd], 0x88), b = _mm512_shuffle_f64x2(t[odd], t[2 + odd], 0xdd);
        const __m512d c = _mm512_shuffle_f64x2(t[4 + odd], t[6 + odd], 0x88);
        const __m512d d = _mm512_shuffle_f64x2(t[4 + odd], t[6 + odd], 0xdd);
        _mm512_storeu_pd(to + (0 + odd) * ldt, _mm512_shuffle_f64x2(a, c, 0x88));
        _mm512_storeu_pd(to + (4 + odd) * ldt, _mm512_shuffle_f64x2(a, c, 0xdd));
        _mm512_storeu_pd(to + (2 + odd) * ldt, _mm512_shuffle_f64x2(b, d, 0x88));
        _mm512_storeu_pd(to + (6 + odd) * ldt, _mm512_shuffle_f64x2(b, d, 0xdd));
    }
}

static inline void v_transpose_f32(float *to, int64_t ldt, const float *from, int64_t ldf)
{
    __m512 r[16], t[16];
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) r[i] = _mm512_loadu_ps(from + i * ldf);
#pragma GCC unroll 8
    for (int i = 0; i < 16; i += 2) {
        t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
        t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
    }
#pragma GCC unroll 4
    for (int i = 0; i < 16; i += 4) { /* r[i + c]: column c of each 128-bit lane, rows i .. i+3 */
        r[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(t[i]), _mm512_castps_pd(t[i + 2])));
        r[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(t[i]), _mm512_castps_pd(t[i + 2])));
        r[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(t[i + 1]), _mm512_castps_pd(t[i + 3])));
        r[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(t[i + 1]), _mm512_castps_pd(t[i + 3])));
    }
#pragma GCC unroll 4
    for (int c = 0; c < 4; c++) { /* lane l of r[4g + c] is column 4l + c of rows 4g .. 4g+3 */
        const __m512 a = _mm512_shuffle_f32x4(r[c], r[4 + c], 0x88), b = _mm512_shuffle_f32x4(r[c], r[4 + c], 0xdd);
        const __m512 d = _mm512_shuffle_f32x4(r[8 + c], r[12 + c], 0x88), e = _mm512_shuffle_f32x4(r[8 + c], r[12 + c], 0xdd);
        _mm512_storeu_ps(to + (0 + c) * ldt, _mm512_shuffle_f32x4(a, d, 0x88));
        _mm512_storeu_ps(to + (8 + c) * ldt, _mm512_shuffle_f32x4(a, d, 0xdd));
        _mm512_storeu_ps(to + (4 + c) * ldt, _mm512_shuffle_f32x4(b, e, 0x88));
        _mm512_storeu_ps(to + (12 + c) * ldt, _mm512_shuffle_f32x4(b, e, 0xdd));
    }
}

#endif
