/* exp, log, tanh and what activations and losses make of them, on vectors of one dtype. Included by all_impl.h before
 * the kernels; reads math_coef.h.
 *
 * a) One source for all instruction sets and both types; the scalar one rounds its multiply-adds twice, and the bounds
 *    hold there too. No branch and no table: a lane's result depends on that lane alone.
 * b) Infinities, NaN, signed zeros and subnormal results are those of the exact function. min and max return their
 *    second operand where one is NaN, so x comes second.
 * c) Largest errors found, in units in the last place of the exact result (2^-149 and 2^-1074 where that is subnormal);
 *    the bounds of exp and tanh are FN_ULP_* in kernels.h:
 *                 exp    tanh   expm1  log    log1p  sigmoid  softplus  Phi
 *        float    0.93   2.88   0.95   0.94   1.29   2.41     2.1       6.8
 *        double   0.86   2.58   0.91   1.01   1.32   1.9      1.6       6.9
 *    float exp and tanh: all 2^32 arguments against the C library's double, on scalar, AVX2 and AVX-512; the others,
 *    and NEON, 4e7 and 4e5 of them. double exp and tanh: 1e8 random arguments against the 80-bit functions (the bound
 *    of exp is derived below); the others 1e7; sigmoid, softplus and Phi 5e3 against 40 digits. */

#include "math_coef.h"

#undef FN_V
/* A constant in all lanes. */
#define FN_V(x) VF(set1)(FN_C(x))

/* sum_i c[i] x^i, i < n, by Horner's rule; n is a constant, so it is straight code. */
FN_INLINE V FN_NAME(fn_polynomial)(V x, const FN_T *c, int n)
{
    V sum = VF(set1)(c[n - 1]);
    for (int i = n - 2; i >= 0; i--) sum = VF(fma)(sum, x, VF(set1)(c[i]));
    return sum;
}
#undef FN_POLYNOMIAL
#define FN_POLYNOMIAL(x, c) FN_NAME(fn_polynomial)(x, c, (int)(sizeof(c) / sizeof((c)[0])))

/* x = n ln2 + high + low with high exact: x and n times the first part of ln2 are multiples of a power of two that is
 * small enough. |high + low| <= ln2 / 2 and a little. */
FN_INLINE V FN_NAME(fn_exp_reduce)(V x, V *n, V *low)
{
    const V integer = VF(set1)(FN_NAME(fn_c_integer));
    *n = VF(sub)(VF(fma)(x, FN_V(1.4426950408889634), integer), integer);
    *low = VF(mul)(*n, VF(set1)(-FN_NAME(fn_c_ln2_low)));
    return VF(fnma)(*n, VF(set1)(FN_NAME(fn_c_ln2_high)), x);
}

/* e^(high + low) - 1 for a reduced sum: high enters the result unrounded.
 *
 * The bound of e^x = 2^n (1 + this), in units of a sum in [0.7, 1), at the ends of the interval: the last rounding
 * 0.5, that of high + (...), a number below 0.5, 0.25; what r's own rounding does to the result 0.08; r^2, the
 * polynomial and their product, below 0.06, 0.13; the polynomial's error 0.003 in double. Together below 1; a sum in
 * [1, 1.42) has units twice as large, and a subnormal result is rounded once more, but in units of which all that is at
 * most half. */
FN_INLINE V FN_NAME(fn_expm1_reduced)(V high, V low)
{
    const V r = VF(add)(high, low);
    return VF(add)(high, VF(fma)(VF(mul)(r, r), FN_POLYNOMIAL(r, FN_NAME(fn_c_exp)), low));
}

/* e^x */
FN_INLINE V FN_NAME(fn_exp)(V x)
{
    V n, low;
    x = VF(max)(VF(set1)(FN_NAME(fn_c_exp_low)), VF(min)(VF(set1)(FN_NAME(fn_c_exp_high)), x));
    const V high = FN_NAME(fn_exp_reduce)(x, &n, &low);
    return VF(ldexp)(VF(add)(FN_V(1), FN_NAME(fn_expm1_reduced)(high, low)), n);
}

/* e^(x + rest) for x in the range where e^x is finite or a little below, |rest| <= 0.029 (double: 2^-15). */
FN_INLINE V FN_NAME(fn_exp_sum)(V x, V rest)
{
    V n, low;
    const V high = FN_NAME(fn_exp_reduce)(x, &n, &low);
    return VF(ldexp)(VF(add)(FN_V(1), FN_NAME(fn_expm1_reduced)(high, VF(add)(low, rest))), n);
}

/* e^x - 1 for x <= 88 (double: 709); beyond that any result. */
FN_INLINE V FN_NAME(fn_expm1)(V x)
{
    V n, low;
    x = VF(max)(VF(set1)(-FN_NAME(fn_c_one)), x);
    const V high = FN_NAME(fn_exp_reduce)(x, &n, &low);
    const V scale = VF(exp2i)(n);
    return VF(fma)(scale, FN_NAME(fn_expm1_reduced)(high, low), VF(sub)(scale, FN_V(1)));
}

/* f - log(1 + f) for -0.25 <= f <= 1: with s = f / (2 + f) it is s (f - s^2 q(s^2)), and f enters the sum exactly. */
FN_INLINE V FN_NAME(fn_log_rest)(V f)
{
    const V s = VF(div)(f, VF(add)(FN_V(2), f));
    const V u = VF(mul)(s, s);
    return VF(mul)(s, VF(fnma)(u, FN_POLYNOMIAL(u, FN_NAME(fn_c_log)), f));
}

/* log(1 + e) for 0 <= e <= 1 */
FN_INLINE V FN_NAME(fn_log1p)(V e)
{
    return VF(sub)(e, FN_NAME(fn_log_rest)(e));
}

/* log(x) for normal x > 0, infinity and NaN; any other x: any result. */
FN_INLINE V FN_NAME(fn_log)(V x)
{
    V n;
    const V f = VF(sub)(VF(frexp)(x, &n), FN_V(1));
    const V rest = VF(fnma)(n, VF(set1)(FN_NAME(fn_c_ln2_low)), FN_NAME(fn_log_rest)(f));
    const V y = VF(fma)(n, VF(set1)(FN_NAME(fn_c_ln2_high)), VF(sub)(f, rest));
    return VF(select)(VF(gt)(FN_V(INFINITY), x), y, x);
}

/* tanh |x| = t / (t + 2) with t = e^2|x| - 1. One part of ln2 is enough: what n times the rest of it would change in t is
 * gone in t / (t + 2). A polynomial of its own near 0 and ln2 in two parts would bring the error down to 1.1 units, and
 * take one and a half times as long; x p(x^2) / q(x^2) of degrees 4 and 5 takes 0.85 of it, but errs by 6 units. */
FN_INLINE V FN_NAME(fn_tanh)(V x)
{
    const V integer = VF(set1)(FN_NAME(fn_c_integer));
    const V a = VF(min)(VF(set1)(FN_NAME(fn_c_one)), VF(abs)(VF(add)(x, x)));
    const V n = VF(sub)(VF(fma)(a, FN_V(1.4426950408889634), integer), integer);
    const V r = VF(fnma)(n, FN_V(0.6931471805599453), a);
    const V scale = VF(exp2i)(n);
    const V rest = VF(fma)(VF(mul)(r, r), FN_POLYNOMIAL(r, FN_NAME(fn_c_exp)), r);
    const V t = VF(fma)(scale, rest, VF(sub)(scale, FN_V(1)));
    return VF(copysign)(VF(div)(t, VF(add)(t, FN_V(2))), x);
}

/* 1 / (1 + e^-x), through e^-|x|: accurate in relative terms down to the smallest results. */
FN_INLINE V FN_NAME(fn_sigmoid)(V x)
{
    const V e = FN_NAME(fn_exp)(VF(copysign)(x, FN_V(-1)));
    return VF(div)(VF(select)(VF(ge)(x, FN_V(0)), FN_V(1), e), VF(add)(FN_V(1), e));
}

/* sigmoid(x), and its slope sigmoid(x) sigmoid(-x). */
FN_INLINE V FN_NAME(fn_sigmoid_slope)(V x, V *slope)
{
    const V e = FN_NAME(fn_exp)(VF(copysign)(x, FN_V(-1)));
    const V d = VF(div)(FN_V(1), VF(add)(FN_V(1), e));
    const V other = VF(mul)(e, d);
    *slope = VF(mul)(other, d);
    return VF(select)(VF(ge)(x, FN_V(0)), d, other);
}

/* log(1 + e^x) */
FN_INLINE V FN_NAME(fn_softplus)(V x)
{
    const V e = FN_NAME(fn_exp)(VF(copysign)(x, FN_V(-1)));
    return VF(add)(VF(max)(FN_V(0), x), FN_NAME(fn_log1p)(e));
}

/* Phi(x) = (1 + erf(x / sqrt 2)) / 2 and its density: tails are e^(-a^2/2) times a rational function, with a^2 taken in
 * two parts, since a rounding of the exponent would be magnified by it. */
FN_INLINE V FN_NAME(fn_normal)(V x, V *density)
{
    const V grid = VF(set1)(FN_NAME(fn_c_grid));
    const V a = VF(min)(VF(set1)(FN_NAME(fn_c_tail_end)), VF(abs)(x));
    const V head = VF(sub)(VF(add)(a, grid), grid);
    const V square = VF(mul)(VF(mul)(FN_V(-0.5), head), head);
    const V rest = VF(mul)(VF(mul)(FN_V(-0.5), VF(sub)(a, head)), VF(add)(a, head));
    const V e = FN_NAME(fn_exp_sum)(square, rest);
    const V p = FN_POLYNOMIAL(a, FN_NAME(fn_c_tail_p)), q = FN_POLYNOMIAL(a, FN_NAME(fn_c_tail_q));
    const V tail = VF(div)(VF(mul)(e, p), q);
    *density = VF(mul)(e, FN_V(0.3989422804014327));
    return VF(select)(VF(gt)(x, FN_V(0)), VF(sub)(FN_V(1), tail), tail);
}
