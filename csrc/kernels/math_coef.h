/* Coefficients and constants of math_impl.h, for float and double: its only reader.
 *
 * a) Found for this library: Remez exchange in 50 digits on the relative error of the whole function (rational ones by
 *    Loeb's iteration), coefficients rounded one after the other with the rest fitted again; float ones of exp and the
 *    tail then improved by a search of the neighbouring floats. "Error" is the largest relative one of the whole
 *    function, with the coefficients as they stand and exact arithmetic.
 * b) Lowest order first. One name for both types, with its suffix: FN_NAME(fn_c_exp). */
#ifndef FN_MATH_COEF_H
#define FN_MATH_COEF_H

/* e^r = 1 + r + r^2 q(r). float: |r| <= 0.376, error 2^-27.3 (2^-27.4 for |r| <= ln2/2); the interval has room for the
 * low part of fn_exp_sum. double: |r| <= 0.34664, error 2^-61.7, of e^r - 1 2^-60.4. */
static const float fn_c_exp_f32[] = {0.499999881f, 0.16666469f, 0.0416693278f, 0.00837462395f, 0.00137874798f};
static const double fn_c_exp_f64[] = {
    0.5,                   0.16666666666666677,    0.0416666666666667,     0.008333333333321606,
    0.0013888888888866815, 0.0001984126988618339,  2.480158736060107e-05,  2.7557244154226147e-06,
    2.7557242722257537e-07, 2.510905539646553e-08, 2.0924454659045862e-09};

/* log((1 + s) / (1 - s)) = 2 s + s^3 q(s^2), 0 <= s^2 <= 1/9. Error 2^-27.7, 2^-59.4. */
static const float fn_c_log_f32[] = {0.666664183f, 0.400214374f, 0.280030251f, 0.280067861f};
static const double fn_c_log_f64[] = {
    0.6666666666666631,  0.40000000000155905, 0.2857142854801186,  0.22222223960605292, 0.18181744222287724,
    0.1538655409011916,  0.13301043811412938, 0.12105578966904035, 0.0834211663498521,  0.17015196640379118};

/* e^(a^2/2) Phi(-a) = p(a) / q(a), 0 <= a <= fn_c_tail_end, from where on Phi(-a) is 0. Error 2^-25.9, 2^-54.2. */
static const float fn_c_tail_end_f32 = 14.5f;
static const double fn_c_tail_end_f64 = 39.0;
static const float fn_c_tail_p_f32[] = {0.5f, 0.438295871f, 0.183235824f, 0.0406334661f, 0.00411634613f};
static const float fn_c_tail_q_f32[] = {1.0f, 1.67447662f, 1.20250607f, 0.469472438f, 0.101859435f, 0.0103180306f};
static const double fn_c_tail_p_f64[] = {
    0.5,                  0.8279481368890477,   0.6796464912196065,    0.3573745086645321,
    0.13206104142371913,  0.03567295849163803,  0.007124150407209198,  0.001039939707779404,
    0.00010659991521405747, 6.978057940299432e-06, 2.2426203747995267e-07};
static const double fn_c_tail_q_f64[] = {
    1.0,                  2.453780834580961,    2.8171268259453237,   2.0015621205516747,
    0.9801854645186293,   0.34835673872038947,  0.09199060616785236,  0.01812367891282698,
    0.002624233672970701, 0.0002677685031097336, 1.7491397335197746e-05, 5.621415640734782e-07};

/* ln 2 in two parts: the product of the first with any exponent is exact. */
static const float fn_c_ln2_high_f32 = 0.693145751953125f, fn_c_ln2_low_f32 = 1.42860677e-06f;
static const double fn_c_ln2_high_f64 = 0.6931471805601177, fn_c_ln2_low_f64 = -1.7239444525614835e-13;

/* 1.5 * 2^p: added and subtracted, it rounds to an integer, and to a grid so coarse that squares below
 * fn_c_tail_end^2 are exact. */
static const float fn_c_integer_f32 = 12582912.0f, fn_c_grid_f32 = 49152.0f;
static const double fn_c_integer_f64 = 6755399441055744.0, fn_c_grid_f64 = 6442450944.0;

/* Arguments at which e^x is infinite, and so far below 0 that the power of two in it is 0 (n = -254, -2046): a product
 * that underflows costs many processors a hundred cycles. Those at which tanh(x/2) and e^-x - 1 are 1 and -1. */
static const float fn_c_exp_low_f32 = -176.0f, fn_c_exp_high_f32 = 89.0f, fn_c_one_f32 = 20.0f;
static const double fn_c_exp_low_f64 = -1418.0, fn_c_exp_high_f64 = 710.0, fn_c_one_f64 = 40.0;

#endif
