/* Squares of 4 floats and 2 doubles transposed in registers; the contract is in transpose_scalar.h. */
#ifndef FN_TRANSPOSE_NEON_H
#define FN_TRANSPOSE_NEON_H

static inline void v_transpose_f64(double *to, int64_t ldt, const double *from, int64_t ldf)
{
    const float64x2_t r0 = vld1q_f64(from), r1 = vld1q_f64(from + ldf);
    vst1q_f64(to, vzip1q_f64(r0, r1));
    vst1q_f64(to + ldt, vzip2q_f64(r0, r1));
}

static inline void v_transpose_f32(float *to, int64_t ldt, const float *from, int64_t ldf)
{
    const float32x4x2_t low = vzipq_f32(vld1q_f32(from), vld1q_f32(from + 2 * ldf));
    const float32x4x2_t high = vzipq_f32(vld1q_f32(from + ldf), vld1q_f32(from + 3 * ldf));
    const float32x4x2_t c01 = vzipq_f32(low.val[0], high.val[0]), c23 = vzipq_f32(low.val[1], high.val[1]);
    vst1q_f32(to, c01.val[0]);
    vst1q_f32(to + ldt, c01.val[1]);
    vst1q_f32(to + 2 * ldt, c23.val[0]);
    vst1q_f32(to + 3 * ldt, c23.val[1]);
}

#endif
