/* transpose(to, ldt, from, ldf): a square of lanes by lanes, to[i*ldt + j] = from[j*ldf + i]; no overlap. */
#ifndef FN_TRANSPOSE_SCALAR_H
#define FN_TRANSPOSE_SCALAR_H

static inline void v_transpose_f32(float *to, int64_t ldt, const float *from, int64_t ldf)
{
    (void)ldt;
    (void)ldf;
    *to = *from;
}

static inline void v_transpose_f64(double *to, int64_t ldt, const double *from, int64_t ldf)
{
    (void)ldt;
    (void)ldf;
    *to = *from;
}

#endif
