/* Activations for one dtype: f(z) and f'(s) on a vector, the switch that lets other kernels fuse them, and the two
 * kernels over flat ranges.
 *
 * How to fuse one: write the loop as an FN_INLINE function with `const int kind` among its arguments, call
 * FN_NAME(fn_act)(z, kind, alpha) and FN_NAME(fn_act_slope)(s, kind, alpha) in it, and choose once, outside:
 *
 *   FN_ACT_SWITCH(a->kind, FN_NAME(fn_rows)(a, begin, end, KIND));
 *
 * a) KIND is a constant in each of the switch's copies of the call, so the loop holds one activation and no branch.
 * b) alpha is a vector of FN_T: VF(set1)(FN_C(a->alpha)).
 * c) s is what the list says is saved: y of most, z of swish and gelu. The slope at the kink of relu and its like is
 *    the left one (y > 0 ? 1 : ...); a NaN in z is one in y.
 * d) swish and both gelu keep their relative accuracy for negative z, where 1 + tanh and 1 + erf would lose it. In
 *    float, as long as the factor of z is a normal number: swish 3.3 units in the last place, gelu 10, gelu_tanh
 *    3 (1 + |v|) with v the argument of its sigmoid, whose rounding is magnified. */
#undef FN_ACT_CASE
#undef FN_ACT_SWITCH

#define FN_ACT_CASE(name, call)                                                                         \
    case FN_ACT_##name: {                                                                               \
        enum { KIND = FN_ACT_##name };                                                                  \
        call;                                                                                           \
        break;                                                                                          \
    }
#define FN_ACT_SWITCH(kind, call)                                                                       \
    switch (kind) {                                                                                     \
        FN_ACT_CASE(linear, call)                                                                       \
        FN_ACT_CASE(relu, call)                                                                         \
        FN_ACT_CASE(leaky_relu, call)                                                                   \
        FN_ACT_CASE(elu, call)                                                                          \
        FN_ACT_CASE(selu, call)                                                                         \
        FN_ACT_CASE(sigmoid, call)                                                                      \
        FN_ACT_CASE(tanh, call)                                                                         \
        FN_ACT_CASE(swish, call)                                                                        \
        FN_ACT_CASE(softplus, call)                                                                     \
        FN_ACT_CASE(gelu, call)                                                                         \
        FN_ACT_CASE(gelu_tanh, call)                                                                    \
    default: break;                                                                                     \
    }

/* Klambauer et al. 2017, equation 14, to the precision of double. */
#undef FN_SELU_SCALE
#undef FN_SELU_ALPHA
#define FN_SELU_SCALE 1.0507009873554804935
#define FN_SELU_ALPHA 1.6732632423543772848

/* gelu_tanh is z sigmoid(FN_GELU_1 z + FN_GELU_3 z^3): twice sqrt(2/pi), and 0.044715 times that. */
#undef FN_GELU_1
#undef FN_GELU_3
#define FN_GELU_1 1.5957691216057308
#define FN_GELU_3 0.07135481627260025

FN_INLINE V FN_NAME(fn_act)(V z, const int kind, V alpha)
{
    const V zero = FN_V(0);
    switch (kind) {
    case FN_ACT_relu: return VF(max)(zero, z);
    case FN_ACT_leaky_relu: return VF(select)(VF(gt)(z, zero), z, VF(mul)(alpha, z));
    case FN_ACT_elu: return VF(select)(VF(gt)(z, zero), z, VF(mul)(alpha, FN_NAME(fn_expm1)(z)));
    case FN_ACT_selu: {
        const V below = VF(mul)(FN_V(FN_SELU_SCALE * FN_SELU_ALPHA), FN_NAME(fn_expm1)(z));
        return VF(select)(VF(gt)(z, zero), VF(mul)(FN_V(FN_SELU_SCALE), z), below);
    }
    case FN_ACT_sigmoid: return FN_NAME(fn_sigmoid)(z);
    case FN_ACT_tanh: return FN_NAME(fn_tanh)(z);
    case FN_ACT_swish: return VF(mul)(z, FN_NAME(fn_sigmoid)(z));
    case FN_ACT_softplus: return FN_NAME(fn_softplus)(z);
    case FN_ACT_gelu: {
        V density;
        return VF(mul)(z, FN_NAME(fn_normal)(z, &density));
    }
    case FN_ACT_gelu_tanh: {
        const V v = VF(mul)(z, VF(fma)(VF(mul)(z, z), FN_V(FN_GELU_3), FN_V(FN_GELU_1)));
        return VF(mul)(z, FN_NAME(fn_sigmoid)(v));
    }
    default: return z;
    }
}

FN_INLINE V FN_NAME(fn_act_slope)(V s, const int kind, V alpha)
{
    const V zero = FN_V(0), one = FN_V(1);
    switch (kind) {
    case FN_ACT_relu: return VF(select)(VF(gt)(s, zero), one, zero);
    case FN_ACT_leaky_relu: return VF(select)(VF(gt)(s, zero), one, alpha);
    case FN_ACT_elu: return VF(select)(VF(gt)(s, zero), one, VF(add)(s, alpha));
    case FN_ACT_selu: {
        const V below = VF(add)(s, FN_V(FN_SELU_SCALE * FN_SELU_ALPHA));
        return VF(select)(VF(gt)(s, zero), FN_V(FN_SELU_SCALE), below);
    }
    case FN_ACT_sigmoid: return VF(mul)(s, VF(sub)(one, s));
    case FN_ACT_tanh: return VF(fnma)(s, s, one);
    case FN_ACT_softplus: return VF(sub)(zero, FN_NAME(fn_expm1)(VF(sub)(zero, s)));
    case FN_ACT_swish: {
        V both;
        const V sigmoid = FN_NAME(fn_sigmoid_slope)(s, &both);
        return VF(fma)(s, both, sigmoid);
    }
    case FN_ACT_gelu: {
        V density;
        const V phi = FN_NAME(fn_normal)(s, &density);
        return VF(fma)(s, density, phi);
    }
    case FN_ACT_gelu_tanh: {
        /* beyond 1000 the sigmoid is 0 or 1 and its slope 0: z^3 need not overflow there */
        const V z = VF(max)(FN_V(-1000), VF(min)(FN_V(1000), s));
        const V square = VF(mul)(z, z);
        const V v = VF(mul)(z, VF(fma)(square, FN_V(FN_GELU_3), FN_V(FN_GELU_1)));
        V both;
        const V sigmoid = FN_NAME(fn_sigmoid_slope)(v, &both);
        const V inner = VF(fma)(square, FN_V(3 * FN_GELU_3), FN_V(FN_GELU_1));
        return VF(fma)(VF(mul)(z, inner), both, sigmoid);
    }
    default: return one;
    }
}

/* Whether a vector of f, or of its derivative, takes so long that what comes from afar has to be asked for. */
FN_INLINE int FN_NAME(fn_act_is_long)(const int kind, const int slope)
{
    if (kind == FN_ACT_swish || kind == FN_ACT_softplus || kind == FN_ACT_gelu || kind == FN_ACT_gelu_tanh) return 1;
    return !slope && (kind == FN_ACT_elu || kind == FN_ACT_selu || kind == FN_ACT_sigmoid || kind == FN_ACT_tanh);
}

FN_INLINE void FN_NAME(fn_act_fwd_kind)(FN_T *y, const FN_T *z, int64_t n, FN_T alpha, enum fn_reach reach,
                                        const int kind)
{
    const V a = VF(set1)(alpha);
    const int64_t ahead = reach == FN_NEAR ? 0 : FN_AHEAD_BYTES / sizeof(FN_T);
    if (FN_NAME(fn_act_is_long)(kind, 0))
        FN_FLAT(y, 0, n, reach == FN_FAR_PAST, FN_NAME(fn_act)(FN_LOAD_ASKING(z, ahead), kind, a));
    else
        FN_FLAT(y, 0, n, reach == FN_FAR_PAST, FN_NAME(fn_act)(FN_LOAD(z), kind, a));
}

/* y[i] = f(z[i]), i < n. y may be z, which does not go past the caches. */
static void FN_NAME(fn_act_fwd_flat)(FN_T *y, const FN_T *z, int64_t n, int kind, FN_T alpha, enum fn_reach reach)
{
    FN_ACT_SWITCH(kind, FN_NAME(fn_act_fwd_kind)(y, z, n, alpha, reach, KIND));
}

FN_INLINE void FN_NAME(fn_act_fwd_range)(FN_T *y, const FN_T *z, int64_t n, int kind, FN_T alpha)
{
    FN_NAME(fn_act_fwd_flat)(y, z, n, kind, alpha, FN_NEAR);
}

FN_INLINE void FN_NAME(fn_act_bwd_kind)(FN_T *dx, const FN_T *dy, const FN_T *s, int64_t n, FN_T alpha,
                                        enum fn_reach reach, const int kind)
{
    const V a = VF(set1)(alpha), zero = FN_V(0);
    const int64_t ahead = reach == FN_NEAR ? 0 : FN_AHEAD_BYTES / sizeof(FN_T);
    if (kind == FN_ACT_relu) /* also where dy is infinite */
        FN_FLAT(dx, 0, n, reach == FN_FAR_PAST, VF(select)(VF(gt)(FN_LOAD(s), zero), FN_LOAD(dy), zero));
    else if (FN_NAME(fn_act_is_long)(kind, 1))
        FN_FLAT(dx, 0, n, reach == FN_FAR_PAST,
                VF(mul)(FN_LOAD_ASKING(dy, ahead), FN_NAME(fn_act_slope)(FN_LOAD_ASKING(s, ahead), kind, a)));
    else
        FN_FLAT(dx, 0, n, reach == FN_FAR_PAST, VF(mul)(FN_LOAD(dy), FN_NAME(fn_act_slope)(FN_LOAD(s), kind, a)));
}

/* dx[i] = dy[i] f'(s[i]), i < n. dx may be dy or s, which do not go past the caches. */
static void FN_NAME(fn_act_bwd_flat)(FN_T *dx, const FN_T *dy, const FN_T *s, int64_t n, int kind, FN_T alpha,
                                     enum fn_reach reach)
{
    FN_ACT_SWITCH(kind, FN_NAME(fn_act_bwd_kind)(dx, dy, s, n, alpha, reach, KIND));
}

FN_INLINE void FN_NAME(fn_act_bwd_range)(FN_T *dx, const FN_T *dy, const FN_T *s, int64_t n, int kind, FN_T alpha)
{
    FN_NAME(fn_act_bwd_flat)(dx, dy, s, n, kind, alpha, FN_NEAR);
}

FN_DEFINE(activation_fwd)
{
    int64_t begin, end;
    fn_split_rows(a->n, FN_LINE, part, &begin, &end);
    FN_NAME(fn_act_fwd_flat)(a->y + begin, a->x + begin, end - begin, (int)a->kind, FN_C(a->alpha),
                             FN_REACH(a->n, a->y != a->x));
}

FN_DEFINE(activation_bwd)
{
    int64_t begin, end;
    fn_split_rows(a->n, FN_LINE, part, &begin, &end);
    FN_NAME(fn_act_bwd_flat)(a->dx + begin, a->dy + begin, a->s + begin, end - begin, (int)a->kind, FN_C(a->alpha),
                             FN_REACH(a->n, a->dx != a->dy && a->dx != a->s));
}
