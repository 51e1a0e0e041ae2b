/* Vectors of one lane: the description of the API that every vec_<isa>.h offers, and its plainest implementation.
 *
 * One set of names for float (_f32) and one for double (_f64); kernels are written once against VF(op), which appends
 * the suffix of FN_T (kernel_impl.h). No header reads past what it is asked for.
 *
 *   FN_LANES_f32                    lanes of a vector; v_f32 the vector, m_f32 a mask with one truth value a lane
 *   load, store                     any alignment                  stream  aligned to the vector, past the caches
 *   load_part, store_part (count)   the first 0 <= count <= lanes elements; the other lanes are 0 and are not touched
 *   load_fill (p, count, fill)      load_part, but the other lanes are those of fill
 *   first (count)                   the mask that is true in the first 0 <= count <= lanes lanes
 *   set1 add sub mul div sqrt abs   as named                       copysign(a, s)  |a| with the sign of s
 *   iota()                          0, 1, 2, ... by lane
 *   fma(a,b,c) a b + c   fnma(a,b,c) c - a b                       rounded once where the processor has it (not scalar)
 *   rsqrt(a)                        only where FN_RSQRT is defined: 1/sqrt(a) up to 2^-14 of it; of 0 a large finite
 *                                   number, of infinity 0
 *   min(a,b) max(a,b)               b where either is NaN          round  to nearest, ties to even
 *   exp2i(n)                        2^n for integral n, -emax <= n <= emax (127, 1023); 2^-emax: 0 or itself
 *   ldexp(a,n)                      a 2^n for integral n, |n| <= 2 emax, 0.5 <= |a| < 2; rounded once
 *   frexp(a,&e)                     m in [0.75, 1.5), a = m 2^e, for normal a > 0 (other a: any result)
 *   gt ge eq, select(m,a,b)         ordered comparisons; m ? a : b                 all(m)  1 where every lane is true
 *   normal(a)                       a, but 0 where it is smaller than the smallest normal number
 *   sum, largest                    across lanes, in an order fixed by the instruction set; largest: no NaN
 *   low_f64, high_f64               lower and upper half of a float vector as double vectors (lanes_f32 = 2 lanes_f64;
 *                                   with one lane, low is the lane and high is 0)
 *   widen (p)                       the FN_LANES_f64 floats from p on as a double vector
 *   shrunk(a, &odd)                 only where FN_SHRUNK is defined: 2^-896 |a| of a float vector's even and odd lanes, by
 *                                   moving bits; of infinity and NaN something from 2^-768 on
 *   quad (p), quad_part (p, count)  only where FN_QUADS is defined: the four floats from p on, or the first count of
 *                                   them and 0, in each quarter of a vector of 16
 *   turn (r[4])                     likewise: lane 4 l + q of r[c] and lane 4 l + c of r[q] change places
 *   spread(a,n) compact(a,n)        likewise: lane 4 l + c of the spread one is lane n l + c of the compact one, for
 *                                   c < n <= 3
 *   deal (v, n, j)                  only where FN_DEALS is defined: of rows of n <= 4 numbers that lie one after the other
 *                                   in v[0] to v[n - 1], a row for each lane, those of column j
 *   collect (c, n, q)               likewise: v[q] of the rows that have columns c[0] to c[n - 1]
 *   sums (a)                        likewise: lane l is sum(a[l]), to the bit
 *   bits(m)                         only where FN_SPARSE is defined: bit l is 1 where lane l is true
 *   v_u32                           FN_LANES_f32 words: load store set1 add xor, below (unsigned);
 *                                   mul(a, c, *high), the low words of a times the scalar c
 *   v_fence()                       streamed stores are visible to other threads after it
 */
#ifndef FN_VEC_SCALAR_H
#define FN_VEC_SCALAR_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define FN_LANES_f32 1
#define FN_LANES_f64 1
typedef float v_f32;
typedef double v_f64;
typedef int m_f32;
typedef int m_f64;

/* ---- float ---- */
static inline v_f32 v_load_f32(const float *p) { return *p; }
static inline void v_store_f32(float *p, v_f32 a) { *p = a; }
static inline void v_stream_f32(float *p, v_f32 a) { *p = a; }
static inline m_f32 v_first_f32(int64_t count) { return count > 0; }
static inline v_f32 v_load_part_f32(const float *p, int64_t count) { return count > 0 ? *p : 0.0f; }
static inline v_f32 v_load_fill_f32(const float *p, int64_t count, v_f32 fill) { return count > 0 ? *p : fill; }
static inline void v_store_part_f32(float *p, v_f32 a, int64_t count)
{
    if (count > 0) *p = a;
}
static inline v_f32 v_set1_f32(float a) { return a; }
static inline v_f32 v_iota_f32(void) { return 0.0f; }
static inline v_f32 v_add_f32(v_f32 a, v_f32 b) { return a + b; }
static inline v_f32 v_sub_f32(v_f32 a, v_f32 b) { return a - b; }
static inline v_f32 v_mul_f32(v_f32 a, v_f32 b) { return a * b; }
static inline v_f32 v_div_f32(v_f32 a, v_f32 b) { return a / b; }
static inline v_f32 v_fma_f32(v_f32 a, v_f32 b, v_f32 c) { return a * b + c; }
static inline v_f32 v_fnma_f32(v_f32 a, v_f32 b, v_f32 c) { return c - a * b; }
static inline v_f32 v_sqrt_f32(v_f32 a) { return sqrtf(a); }
static inline v_f32 v_min_f32(v_f32 a, v_f32 b) { return a < b ? a : b; }
static inline v_f32 v_max_f32(v_f32 a, v_f32 b) { return a > b ? a : b; }
static inline v_f32 v_abs_f32(v_f32 a) { return fabsf(a); }
static inline v_f32 v_copysign_f32(v_f32 a, v_f32 sign) { return copysignf(a, sign); }
static inline v_f32 v_round_f32(v_f32 a)
{
    /* exact for |a| < 2^23, beyond which every float is integral */
    const float big = copysignf(8388608.0f, a);
    return fabsf(a) < 8388608.0f ? copysignf((a + big) - big, a) : a;
}
static inline v_f32 v_exp2i_f32(v_f32 n)
{
    /* n + magic has n in its low bits; no branch, so that the compiler may use its own vectors */
    const float shifted = n + (12582912.0f + 127.0f);
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits <<= 23;
    float r;
    memcpy(&r, &bits, sizeof r);
    return r;
}
static inline v_f32 v_ldexp_f32(v_f32 a, v_f32 n)
{
    /* two factors, each a normal number, of which only the last can make the product round */
    const float half = (n * 0.5f + 12582912.0f) - 12582912.0f;
    return a * v_exp2i_f32(half) * v_exp2i_f32(n - half);
}
static inline v_f32 v_frexp_f32(v_f32 a, v_f32 *exponent)
{
    /* from 0.75 up the biased exponent of a + (1.0's bits - 0.75's bits) is that of the result's scale */
    uint32_t bits;
    memcpy(&bits, &a, sizeof bits);
    bits += 0x00400000u;
    *exponent = (float)((int32_t)(bits >> 23) - 127);
    bits = (bits & 0x007fffffu) + 0x3f400000u;
    float m;
    memcpy(&m, &bits, sizeof m);
    return m;
}
static inline m_f32 v_gt_f32(v_f32 a, v_f32 b) { return a > b; }
static inline m_f32 v_ge_f32(v_f32 a, v_f32 b) { return a >= b; }
static inline m_f32 v_eq_f32(v_f32 a, v_f32 b) { return a == b; }
static inline v_f32 v_select_f32(m_f32 m, v_f32 a, v_f32 b) { return m ? a : b; }
static inline v_f32 v_normal_f32(v_f32 a) { return fabsf(a) < 0x1p-126f ? 0.0f : a; }
static inline int v_all_f32(m_f32 m) { return m; }
static inline float v_sum_f32(v_f32 a) { return a; }
static inline float v_largest_f32(v_f32 a) { return a; }

/* ---- double ---- */
static inline v_f64 v_load_f64(const double *p) { return *p; }
static inline void v_store_f64(double *p, v_f64 a) { *p = a; }
static inline void v_stream_f64(double *p, v_f64 a) { *p = a; }
static inline m_f64 v_first_f64(int64_t count) { return count > 0; }
static inline v_f64 v_load_part_f64(const double *p, int64_t count) { return count > 0 ? *p : 0.0; }
static inline v_f64 v_load_fill_f64(const double *p, int64_t count, v_f64 fill) { return count > 0 ? *p : fill; }
static inline void v_store_part_f64(double *p, v_f64 a, int64_t count)
{
    if (count > 0) *p = a;
}
static inline v_f64 v_set1_f64(double a) { return a; }
static inline v_f64 v_iota_f64(void) { return 0.0; }
static inline v_f64 v_add_f64(v_f64 a, v_f64 b) { return a + b; }
static inline v_f64 v_sub_f64(v_f64 a, v_f64 b) { return a - b; }
static inline v_f64 v_mul_f64(v_f64 a, v_f64 b) { return a * b; }
static inline v_f64 v_div_f64(v_f64 a, v_f64 b) { return a / b; }
static inline v_f64 v_fma_f64(v_f64 a, v_f64 b, v_f64 c) { return a * b + c; }
static inline v_f64 v_fnma_f64(v_f64 a, v_f64 b, v_f64 c) { return c - a * b; }
static inline v_f64 v_sqrt_f64(v_f64 a) { return sqrt(a); }
static inline v_f64 v_min_f64(v_f64 a, v_f64 b) { return a < b ? a : b; }
static inline v_f64 v_max_f64(v_f64 a, v_f64 b) { return a > b ? a : b; }
static inline v_f64 v_abs_f64(v_f64 a) { return fabs(a); }
static inline v_f64 v_copysign_f64(v_f64 a, v_f64 sign) { return copysign(a, sign); }
static inline v_f64 v_round_f64(v_f64 a)
{
    const double big = copysign(4503599627370496.0, a);
    return fabs(a) < 4503599627370496.0 ? copysign((a + big) - big, a) : a;
}
static inline v_f64 v_exp2i_f64(v_f64 n)
{
    const double shifted = n + (6755399441055744.0 + 1023.0);
    uint64_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits <<= 52;
    double r;
    memcpy(&r, &bits, sizeof r);
    return r;
}
static inline v_f64 v_ldexp_f64(v_f64 a, v_f64 n)
{
    const double half = (n * 0.5 + 6755399441055744.0) - 6755399441055744.0;
    return a * v_exp2i_f64(half) * v_exp2i_f64(n - half);
}
static inline v_f64 v_frexp_f64(v_f64 a, v_f64 *exponent)
{
    uint64_t bits;
    memcpy(&bits, &a, sizeof bits);
    bits += 0x0008000000000000u;
    *exponent = (double)((int32_t)(bits >> 52) - 1023);
    bits = (bits & 0x000fffffffffffffu) + 0x3fe8000000000000u;
    double m;
    memcpy(&m, &bits, sizeof m);
    return m;
}
static inline m_f64 v_gt_f64(v_f64 a, v_f64 b) { return a > b; }
static inline m_f64 v_ge_f64(v_f64 a, v_f64 b) { return a >= b; }
static inline m_f64 v_eq_f64(v_f64 a, v_f64 b) { return a == b; }
static inline v_f64 v_select_f64(m_f64 m, v_f64 a, v_f64 b) { return m ? a : b; }
static inline v_f64 v_normal_f64(v_f64 a) { return fabs(a) < 0x1p-1022 ? 0.0 : a; }
static inline int v_all_f64(m_f64 m) { return m; }
static inline double v_sum_f64(v_f64 a) { return a; }
static inline double v_largest_f64(v_f64 a) { return a; }

/* ---- float to double, and the 32-bit words of the random generator ---- */
static inline v_f64 v_low_f64(v_f32 a) { return (double)a; }
static inline v_f64 v_high_f64(v_f32 a)
{
    (void)a;
    return 0.0;
}
static inline v_f64 v_widen_f64(const float *p) { return (double)*p; }

typedef uint32_t v_u32;
static inline v_u32 v_load_u32(const uint32_t *p) { return *p; }
static inline void v_store_u32(uint32_t *p, v_u32 a) { *p = a; }
static inline v_u32 v_set1_u32(uint32_t a) { return a; }
static inline v_u32 v_add_u32(v_u32 a, v_u32 b) { return a + b; }
static inline v_u32 v_xor_u32(v_u32 a, v_u32 b) { return a ^ b; }
static inline v_u32 v_mul_u32(v_u32 a, uint32_t c, v_u32 *high)
{
    const uint64_t product = (uint64_t)a * c;
    *high = (uint32_t)(product >> 32);
    return (uint32_t)product;
}
static inline m_f32 v_below_u32(v_u32 a, v_u32 b) { return a < b; }
static inline void v_fence(void) {}

#endif
