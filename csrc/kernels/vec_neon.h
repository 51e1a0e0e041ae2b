/* Vectors for NEON on aarch64. The API is the one of vec_scalar.h, which describes it.
 *
 * a) A mask is a vector of all-ones and all-zeros lanes.
 * b) min and max are comparisons, because the instructions treat NaN and signed zeros otherwise than the API says.
 * c) Powers of two are made in the exponent field: n + magic has n in its low bits (|n| < 2^22). */
#ifndef FN_VEC_NEON_H
#define FN_VEC_NEON_H

#include <arm_neon.h>
#include <stdint.h>

#define FN_LANES_f32 4
#define FN_LANES_f64 2
typedef float32x4_t v_f32;
typedef float64x2_t v_f64;
typedef uint32x4_t m_f32;
typedef uint64x2_t m_f64;

/* ---- float ---- */
static inline v_f32 v_load_f32(const float *p) { return vld1q_f32(p); }
static inline void v_store_f32(float *p, v_f32 a) { vst1q_f32(p, a); }
static inline void v_stream_f32(float *p, v_f32 a) { vst1q_f32(p, a); }
static inline m_f32 v_first_f32(int64_t count)
{
    static const uint32_t lane[4] = {0, 1, 2, 3};
    return vcltq_u32(vld1q_u32(lane), vdupq_n_u32((uint32_t)count));
}
static inline v_f32 v_load_part_f32(const float *p, int64_t count)
{
    const float32x2_t zero = vdup_n_f32(0.0f);
    switch (count) {
    case 0: return vdupq_n_f32(0.0f);
    case 1: return vcombine_f32(vld1_lane_f32(p, zero, 0), zero);
    case 2: return vcombine_f32(vld1_f32(p), zero);
    case 3: return vcombine_f32(vld1_f32(p), vld1_lane_f32(p + 2, zero, 0));
    default: return vld1q_f32(p);
    }
}
static inline void v_store_part_f32(float *p, v_f32 a, int64_t count)
{
    switch (count) {
    case 0: break;
    case 1: vst1q_lane_f32(p, a, 0); break;
    case 2: vst1_f32(p, vget_low_f32(a)); break;
    case 3:
        vst1_f32(p, vget_low_f32(a));
        vst1q_lane_f32(p + 2, a, 2);
        break;
    default: vst1q_f32(p, a);
    }
}
static inline v_f32 v_set1_f32(float a) { return vdupq_n_f32(a); }
static inline v_f32 v_iota_f32(void)
{
    static const float lane[4] = {0, 1, 2, 3};
    return vld1q_f32(lane);
}
static inline v_f32 v_add_f32(v_f32 a, v_f32 b) { return vaddq_f32(a, b); }
static inline v_f32 v_sub_f32(v_f32 a, v_f32 b) { return vsubq_f32(a, b); }
static inline v_f32 v_mul_f32(v_f32 a, v_f32 b) { return vmulq_f32(a, b); }
static inline v_f32 v_div_f32(v_f32 a, v_f32 b) { return vdivq_f32(a, b); }
static inline v_f32 v_fma_f32(v_f32 a, v_f32 b, v_f32 c) { return vfmaq_f32(c, a, b); }
static inline v_f32 v_fnma_f32(v_f32 a, v_f32 b, v_f32 c) { return vfmsq_f32(c, a, b); }
static inline v_f32 v_sqrt_f32(v_f32 a) { return vsqrtq_f32(a); }
static inline v_f32 v_min_f32(v_f32 a, v_f32 b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
static inline v_f32 v_max_f32(v_f32 a, v_f32 b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
static inline v_f32 v_abs_f32(v_f32 a) { return vabsq_f32(a); }
static inline v_f32 v_copysign_f32(v_f32 a, v_f32 sign) { return vbslq_f32(vdupq_n_u32(0x80000000u), sign, a); }
static inline v_f32 v_round_f32(v_f32 a) { return vrndnq_f32(a); }
static inline v_f32 v_exp2i_f32(v_f32 n)
{
    const float32x4_t shifted = vaddq_f32(n, vdupq_n_f32(12582912.0f + 127.0f));
    return vreinterpretq_f32_u32(vshlq_n_u32(vreinterpretq_u32_f32(shifted), 23));
}
static inline v_f32 v_ldexp_f32(v_f32 a, v_f32 n)
{
    const float32x4_t half = vrndnq_f32(vmulq_n_f32(n, 0.5f));
    return vmulq_f32(vmulq_f32(a, v_exp2i_f32(half)), v_exp2i_f32(vsubq_f32(n, half)));
}
static inline v_f32 v_frexp_f32(v_f32 a, v_f32 *exponent)
{
    /* from 0.75 up the biased exponent of a + (1.0's bits - 0.75's bits) is that of the result's scale */
    const uint32x4_t bits = vaddq_u32(vreinterpretq_u32_f32(a), vdupq_n_u32(0x00400000));
    *exponent = vsubq_f32(vcvtq_f32_u32(vshrq_n_u32(bits, 23)), vdupq_n_f32(127.0f));
    const uint32x4_t fraction = vandq_u32(bits, vdupq_n_u32(0x007fffff));
    return vreinterpretq_f32_u32(vaddq_u32(fraction, vdupq_n_u32(0x3f400000)));
}
static inline m_f32 v_gt_f32(v_f32 a, v_f32 b) { return vcgtq_f32(a, b); }
static inline m_f32 v_ge_f32(v_f32 a, v_f32 b) { return vcgeq_f32(a, b); }
static inline m_f32 v_eq_f32(v_f32 a, v_f32 b) { return vceqq_f32(a, b); }
static inline v_f32 v_select_f32(m_f32 m, v_f32 a, v_f32 b) { return vbslq_f32(m, a, b); }
static inline v_f32 v_normal_f32(v_f32 a)
{
    const uint32x4_t bits = vreinterpretq_u32_f32(a);
    return vreinterpretq_f32_u32(vandq_u32(bits, vtstq_u32(bits, vdupq_n_u32(0x7F800000u))));
}
static inline int v_all_f32(m_f32 m) { return vminvq_u32(m) != 0; }
static inline v_f32 v_load_fill_f32(const float *p, int64_t count, v_f32 fill)
{
    return v_select_f32(v_first_f32(count), v_load_part_f32(p, count), fill);
}
static inline float v_sum_f32(v_f32 a) { return vaddvq_f32(a); }
static inline float v_largest_f32(v_f32 a) { return vmaxvq_f32(a); }

/* ---- double ---- */
static inline v_f64 v_load_f64(const double *p) { return vld1q_f64(p); }
static inline void v_store_f64(double *p, v_f64 a) { vst1q_f64(p, a); }
static inline void v_stream_f64(double *p, v_f64 a) { vst1q_f64(p, a); }
static inline m_f64 v_first_f64(int64_t count)
{
    static const uint64_t lane[2] = {0, 1};
    return vcltq_u64(vld1q_u64(lane), vdupq_n_u64((uint64_t)count));
}
static inline v_f64 v_load_part_f64(const double *p, int64_t count)
{
    if (count >= 2) return vld1q_f64(p);
    return count == 1 ? vld1q_lane_f64(p, vdupq_n_f64(0.0), 0) : vdupq_n_f64(0.0);
}
static inline void v_store_part_f64(double *p, v_f64 a, int64_t count)
{
    if (count >= 2)
        vst1q_f64(p, a);
    else if (count == 1)
        vst1q_lane_f64(p, a, 0);
}
static inline v_f64 v_set1_f64(double a) { return vdupq_n_f64(a); }
static inline v_f64 v_iota_f64(void)
{
    static const double lane[2] = {0, 1};
    return vld1q_f64(lane);
}
static inline v_f64 v_add_f64(v_f64 a, v_f64 b) { return vaddq_f64(a, b); }
static inline v_f64 v_sub_f64(v_f64 a, v_f64 b) { return vsubq_f64(a, b); }
static inline v_f64 v_mul_f64(v_f64 a, v_f64 b) { return vmulq_f64(a, b); }
static inline v_f64 v_div_f64(v_f64 a, v_f64 b) { return vdivq_f64(a, b); }
static inline v_f64 v_fma_f64(v_f64 a, v_f64 b, v_f64 c) { return vfmaq_f64(c, a, b); }
static inline v_f64 v_fnma_f64(v_f64 a, v_f64 b, v_f64 c) { return vfmsq_f64(c, a, b); }
static inline v_f64 v_sqrt_f64(v_f64 a) { return vsqrtq_f64(a); }
static inline v_f64 v_min_f64(v_f64 a, v_f64 b) { return vbslq_f64(vcltq_f64(a, b), a, b); }
static inline v_f64 v_max_f64(v_f64 a, v_f64 b) { return vbslq_f64(vcgtq_f64(a, b), a, b); }
static inline v_f64 v_abs_f64(v_f64 a) { return vabsq_f64(a); }
static inline v_f64 v_copysign_f64(v_f64 a, v_f64 sign)
{
    return vbslq_f64(vdupq_n_u64(0x8000000000000000u), sign, a);
}
static inline v_f64 v_round_f64(v_f64 a) { return vrndnq_f64(a); }
static inline v_f64 v_exp2i_f64(v_f64 n)
{
    const float64x2_t shifted = vaddq_f64(n, vdupq_n_f64(6755399441055744.0 + 1023.0));
    return vreinterpretq_f64_u64(vshlq_n_u64(vreinterpretq_u64_f64(shifted), 52));
}
static inline v_f64 v_ldexp_f64(v_f64 a, v_f64 n)
{
    const float64x2_t half = vrndnq_f64(vmulq_n_f64(n, 0.5));
    return vmulq_f64(vmulq_f64(a, v_exp2i_f64(half)), v_exp2i_f64(vsubq_f64(n, half)));
}
static inline v_f64 v_frexp_f64(v_f64 a, v_f64 *exponent)
{
    const uint64x2_t bits = vaddq_u64(vreinterpretq_u64_f64(a), vdupq_n_u64(0x0008000000000000u));
    *exponent = vsubq_f64(vcvtq_f64_u64(vshrq_n_u64(bits, 52)), vdupq_n_f64(1023.0));
    const uint64x2_t fraction = vandq_u64(bits, vdupq_n_u64(0x000fffffffffffffu));
    return vreinterpretq_f64_u64(vaddq_u64(fraction, vdupq_n_u64(0x3fe8000000000000u)));
}
static inline m_f64 v_gt_f64(v_f64 a, v_f64 b) { return vcgtq_f64(a, b); }
static inline m_f64 v_ge_f64(v_f64 a, v_f64 b) { return vcgeq_f64(a, b); }
static inline m_f64 v_eq_f64(v_f64 a, v_f64 b) { return vceqq_f64(a, b); }
static inline v_f64 v_select_f64(m_f64 m, v_f64 a, v_f64 b) { return vbslq_f64(m, a, b); }
static inline v_f64 v_normal_f64(v_f64 a)
{
    const uint64x2_t bits = vreinterpretq_u64_f64(a);
    return vreinterpretq_f64_u64(vandq_u64(bits, vtstq_u64(bits, vdupq_n_u64(0x7FF0000000000000u))));
}
static inline int v_all_f64(m_f64 m) { return vminvq_u32(vreinterpretq_u32_u64(m)) != 0; }
static inline v_f64 v_load_fill_f64(const double *p, int64_t count, v_f64 fill)
{
    return v_select_f64(v_first_f64(count), v_load_part_f64(p, count), fill);
}
static inline double v_sum_f64(v_f64 a) { return vaddvq_f64(a); }
static inline double v_largest_f64(v_f64 a) { return vmaxvq_f64(a); }

/* ---- float to double, and the 32-bit words of the random generator ---- */
static inline v_f64 v_low_f64(v_f32 a) { return vcvt_f64_f32(vget_low_f32(a)); }
static inline v_f64 v_high_f64(v_f32 a) { return vcvt_high_f64_f32(a); }
static inline v_f64 v_widen_f64(const float *p) { return vcvt_f64_f32(vld1_f32(p)); }

typedef uint32x4_t v_u32;
static inline v_u32 v_load_u32(const uint32_t *p) { return vld1q_u32(p); }
static inline void v_store_u32(uint32_t *p, v_u32 a) { vst1q_u32(p, a); }
static inline v_u32 v_set1_u32(uint32_t a) { return vdupq_n_u32(a); }
static inline v_u32 v_add_u32(v_u32 a, v_u32 b) { return vaddq_u32(a, b); }
static inline v_u32 v_xor_u32(v_u32 a, v_u32 b) { return veorq_u32(a, b); }
static inline v_u32 v_mul_u32(v_u32 a, uint32_t c, v_u32 *high)
{
    const uint32x4_t b = vdupq_n_u32(c);
    const uint64x2_t lower = vmull_u32(vget_low_u32(a), vget_low_u32(b));
    const uint64x2_t upper = vmull_high_u32(a, b);
    *high = vuzp2q_u32(vreinterpretq_u32_u64(lower), vreinterpretq_u32_u64(upper));
    return vuzp1q_u32(vreinterpretq_u32_u64(lower), vreinterpretq_u32_u64(upper));
}
static inline m_f32 v_below_u32(v_u32 a, v_u32 b) { return vcltq_u32(a, b); }
static inline void v_fence(void) {}

#endif
