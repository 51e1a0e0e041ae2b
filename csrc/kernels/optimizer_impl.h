/* Optimizer steps: one pass over a flat range of parameters, their state and their gradient.
 *
 * a) One loop, written once; the rule is a constant of the call, so every kernel is its own straight loop.
 * b) Hyperparameters become FN_T once, outside the loop; differences such as 1 - beta are taken in double before.
 * c) The weight decay joins the step before the step joins p: p is rounded once, by an error of half a unit in its own
 *    last place, and a decay far below that unit still counts in the sum.
 * d) A plain step, with no scale, clipping, penalty or decay, has a loop of its own without the arithmetic for them: in
 *    the second-level cache the multiply-adds count. There averages move by take (h - m), one operation less (accurate
 *    where they keep half or more).
 * e) A first part vector aligns the others, if all arrays lie alike: a vector across two lines takes twice as long.
 * f) A root of the divider keeps a multiplier as long as the estimate and its series do, a quotient half as long (Zen
 *    5, 2026-11): so with VF(rsqrt) the root is a series, and the quotient the divider's. 1 / lr is in the series' and
 *    epsilon's factors. What then counts is how much is under way at once: a few vectors go through side by side. With
 *    doubles it is still the multipliers that bound: 6.2 cycles a vector of RMSprop, as many in L1 as in L2.
 * g) Adam's m of a unit that no row reaches any more shrinks, and stays at a subnormal number for ever, by which the
 *    divider takes three times as long (Zen 5, 2026-11): such an m is 0. The same for RMSprop's and Adam's v took 11 to
 *    21 % longer in L2, for Nesterov's 2 to 3 %.
 * h) Nothing is asked for ahead: from memory 8 to 64 lines ahead took 3 to 11 % longer, and the steps in order already
 *    move 65 GB/s there, as much as two threads do (Zen 5, 2026-11). On Granite Rapids 32 lines ahead brought `mnist`
 *    1.007 and cost `tabular`, whose weights are in L2, 0.96 of the speed. */

#ifndef FN_RULES
#define FN_RULES
enum fn_rule { FN_RULE_sgd, FN_RULE_momentum, FN_RULE_nesterov, FN_RULE_adagrad, FN_RULE_rmsprop, FN_RULE_adam };

/* What a step leaves out: nothing; the divider's root; that, and what hyperparameters at rest would do. */
enum fn_step_form { FN_STEP_exact, FN_STEP_series, FN_STEP_plain };

/* Vectors side by side. */
#define FN_STEP_SIDE 4
#define FN_STEP_EACH _Pragma("GCC unroll 4") for (int k = 0; k < side; k++)
#endif

/* Hyperparameters as scalars of FN_T; what a rule has no use for stays 0. */
typedef struct {
    FN_T lr, scale, clip, l2, decay;
    FN_T keep1, take1; /* first moment: momentum or beta1, and 1 - beta1 */
    FN_T keep2, take2; /* second moment: rho or beta2, and 1 - that */
    FN_T epsilon, v_scale;
    FN_T epsilon_by_lr, v_scale_by_lr;
} FN_NAME(fn_hyper);

/* d = factor sqrt(v) + add, of `side` vectors. With y near 1/sqrt(v) and r = 1 - v y^2 the root is v y (1 - r)^(-1/2),
 * of which as many terms are taken as an estimate good to 2^-14 asks for: off by less than 2.5 u in all. Of v = 0 it is
 * add. Of infinity it is minus that, a quotient by which is 0; whether there is one is asked beside the sums. */
FN_INLINE void FN_NAME(fn_step_roots)(V *d, const V *v, V factor, V add, const enum fn_step_form form, const int side)
{
#ifdef FN_RSQRT
    if (form != FN_STEP_exact) {
        V y[FN_STEP_SIDE], r[FN_STEP_SIDE], sum[FN_STEP_SIDE], largest = FN_V(0);
        FN_STEP_EACH largest = VF(max)(v[k], largest);
        FN_STEP_EACH y[k] = VF(rsqrt)(v[k]);
        if (__builtin_expect(!VF(all)(VF(gt)(FN_V(INFINITY), largest)), 0))
            FN_STEP_EACH y[k] = VF(select)(VF(eq)(v[k], FN_V(INFINITY)), FN_V(1), y[k]);
        FN_STEP_EACH d[k] = VF(mul)(v[k], y[k]);
        FN_STEP_EACH r[k] = VF(fnma)(d[k], y[k], FN_V(1));
        FN_STEP_EACH sum[k] = VF(mul)(factor, FN_V(0.5));
        if (!FN_IS_f32) {
            FN_STEP_EACH sum[k] = VF(fma)(r[k], VF(mul)(factor, FN_V(0.3125)), VF(mul)(factor, FN_V(0.375)));
            FN_STEP_EACH sum[k] = VF(fma)(r[k], sum[k], VF(mul)(factor, FN_V(0.5)));
        }
        FN_STEP_EACH sum[k] = VF(fma)(r[k], sum[k], factor);
        FN_STEP_EACH d[k] = VF(fma)(d[k], sum[k], add);
        return;
    }
#endif
    (void)form;
    FN_STEP_EACH d[k] = VF(fma)(factor, VF(sqrt)(v[k]), add);
}

/* keep v + take h^2, keep + take = 1 */
FN_INLINE V FN_NAME(fn_step_squares)(V v, V h, V keep, V take, const enum fn_step_form form)
{
    if (form == FN_STEP_plain) return VF(fnma)(take, VF(fnma)(h, h, v), v);
    return VF(fma)(keep, v, VF(mul)(take, VF(mul)(h, h)));
}

/* The moments of a vector after h, and what the step is in proportion to. */
FN_INLINE V FN_NAME(fn_step_moments)(const enum fn_rule rule, const enum fn_step_form form, const FN_NAME(fn_hyper) *c,
                                     V *m, V *v, V h)
{
    const V keep2 = VF(set1)(c->keep2), take1 = VF(set1)(c->take1), take2 = VF(set1)(c->take2);
    if (rule == FN_RULE_adagrad) {
        *v = VF(fma)(h, h, *v);
        return h;
    }
    *v = FN_NAME(fn_step_squares)(*v, h, keep2, take2, form);
    if (rule == FN_RULE_rmsprop) return h;
    *m = VF(normal)(form == FN_STEP_plain ? VF(fma)(take1, VF(sub)(h, *m), *m)
                                          : VF(fma)(VF(set1)(c->keep1), *m, VF(mul)(take1, h)));
    return *m;
}

/* Parameters i to i + count - 1: `side` whole vectors, or one of count elements. m, v: not touched where the rule has
 * none. rule, form, side: constants. */
FN_INLINE void FN_NAME(fn_step_at)(const enum fn_rule rule, const enum fn_step_form form, const FN_NAME(fn_hyper) *c,
                                   FN_T *p, FN_T *m, FN_T *v, const FN_T *g, int64_t i, int64_t count, const int side)
{
    const int plain = form == FN_STEP_plain, divided = rule != FN_RULE_sgd && rule != FN_RULE_momentum &&
                                                       rule != FN_RULE_nesterov;
    const V lr = VF(set1)(c->lr), keep1 = VF(set1)(c->keep1), decay = VF(set1)(c->decay);
    V h[FN_STEP_SIDE], u[FN_STEP_SIDE], w[FN_STEP_SIDE], d[FN_STEP_SIDE];
#define FN_AT(x) ((x) + i + k * LANES)
    FN_STEP_EACH {
        h[k] = FN_NAME(fn_load)(FN_AT(g), count);
        if (plain) continue;
        /* x is the second operand of min and max: a NaN in the gradient stays one */
        h[k] = VF(max)(VF(set1)(-c->clip), VF(min)(VF(set1)(c->clip), VF(mul)(VF(set1)(c->scale), h[k])));
        h[k] = VF(fma)(VF(set1)(c->l2), FN_NAME(fn_load)(FN_AT(p), count), h[k]);
    }
    if (divided) {
        FN_STEP_EACH {
            w[k] = FN_NAME(fn_load)(FN_AT(v), count);
            u[k] = rule == FN_RULE_adam ? FN_NAME(fn_load)(FN_AT(m), count) : w[k];
            h[k] = FN_NAME(fn_step_moments)(rule, form, c, u + k, w + k, h[k]);
            FN_NAME(fn_store)(FN_AT(v), w[k], count);
            if (rule == FN_RULE_adam) FN_NAME(fn_store)(FN_AT(m), u[k], count);
        }
        if (form == FN_STEP_exact) {
            FN_NAME(fn_step_roots)(d, w, VF(set1)(c->v_scale), VF(set1)(c->epsilon), form, side);
            FN_STEP_EACH h[k] = VF(mul)(lr, h[k]);
        } else {
            FN_NAME(fn_step_roots)(d, w, VF(set1)(c->v_scale_by_lr), VF(set1)(c->epsilon_by_lr), form, side);
        }
        FN_STEP_EACH h[k] = VF(div)(h[k], d[k]);
    }
    FN_STEP_EACH {
        const V at_p = FN_NAME(fn_load)(FN_AT(p), count);
        V down = divided ? h[k] : VF(mul)(lr, h[k]);
        if (!divided && rule != FN_RULE_sgd) {
            /* v is kept as the list states it, with its sign: v = momentum v - lr h, p + v */
            w[k] = VF(fnma)(lr, h[k], VF(mul)(keep1, FN_NAME(fn_load)(FN_AT(v), count)));
            FN_NAME(fn_store)(FN_AT(v), w[k], count);
            const V step = rule == FN_RULE_nesterov ? VF(fnma)(lr, h[k], VF(mul)(keep1, w[k])) : w[k];
            FN_NAME(fn_store)(FN_AT(p), VF(add)(at_p, plain ? step : VF(fnma)(decay, at_p, step)), count);
            continue;
        }
        if (!plain) down = VF(fma)(decay, at_p, down);
        FN_NAME(fn_store)(FN_AT(p), VF(sub)(at_p, down), count);
    }
#undef FN_AT
}

/* Parameters i to end - 1. */
FN_INLINE void FN_NAME(fn_step_range)(const enum fn_rule rule, const enum fn_step_form form,
                                      const FN_NAME(fn_hyper) *hyper, FN_T *p, FN_T *m, FN_T *v, const FN_T *g,
                                      int64_t i, int64_t end)
{
    enum { SIDE = FN_STEP_SIDE };
    const FN_NAME(fn_hyper) c = *hyper; /* a copy that no store can alias */
    const int64_t head = FN_NAME(fn_unaligned)(p + i, end - i);
    if (head) FN_NAME(fn_step_at)(rule, form, &c, p, m, v, g, i, head, 1);
    i += head;
    for (; i + SIDE * LANES <= end; i += SIDE * LANES) FN_NAME(fn_step_at)(rule, form, &c, p, m, v, g, i, LANES, SIDE);
    for (; i < end; i += LANES)
        FN_NAME(fn_step_at)(rule, form, &c, p, m, v, g, i, end - i < LANES ? end - i : LANES, 1);
}

/* Whether x is so far from overflow and underflow that products with roots are, too. */
static inline int FN_NAME(fn_moderate)(FN_T x)
{
    return x >= FN_C(1e-12) && x <= FN_C(1e12);
}

/* This part's share of n parameters. */
FN_INLINE void FN_NAME(fn_step)(const enum fn_rule rule, FN_NAME(fn_hyper) c, FN_T *p, FN_T *m, FN_T *v, const FN_T *g,
                                int64_t n, const fn_part *part)
{
    int64_t begin, end;
    fn_split_rows(n, FN_LINE, part, &begin, &end);
    const int rooted = rule == FN_RULE_adagrad || rule == FN_RULE_rmsprop || rule == FN_RULE_adam;
    const int averages = rule == FN_RULE_adam ? c.keep1 >= FN_C(0.5) && c.keep2 >= FN_C(0.5)
                                              : rule != FN_RULE_rmsprop || c.keep2 >= FN_C(0.5);
    const int rests = c.scale == 1 && c.clip == (FN_T)INFINITY && c.l2 == 0 && c.decay == 0 && averages;
    const int series = FN_NAME(fn_moderate)(c.v_scale_by_lr) &&
                       (c.epsilon_by_lr == 0 || FN_NAME(fn_moderate)(c.epsilon_by_lr));
    /* 16 floats' root keeps the divider for 4.6 cycles only: beside a full loop's averages the series is no gain */
    const int full_series = series && (rule == FN_RULE_adagrad || (rooted && !FN_IS_f32));
    if (rests && (series || !rooted))
        FN_NAME(fn_step_range)(rule, FN_STEP_plain, &c, p, m, v, g, begin, end);
    else if (full_series)
        FN_NAME(fn_step_range)(rule, FN_STEP_series, &c, p, m, v, g, begin, end);
    else
        FN_NAME(fn_step_range)(rule, FN_STEP_exact, &c, p, m, v, g, begin, end);
}

/* The hyperparameters that every rule has. */
#define FN_HYPER(...)                                                                                   \
    (FN_NAME(fn_hyper)){.lr = FN_C(a->lr), .scale = FN_C(a->scale), .clip = FN_C(a->clip),              \
                        .l2 = FN_C(a->l2), .decay = FN_C(a->decay), __VA_ARGS__}
#define FN_HYPER_ROOT(factor)                                                                           \
    .epsilon = FN_C(a->epsilon), .epsilon_by_lr = FN_C(a->epsilon / a->lr), .v_scale = FN_C(factor),    \
    .v_scale_by_lr = FN_C((factor) / a->lr)

FN_DEFINE(sgd_step)
{
    FN_NAME(fn_step)(FN_RULE_sgd, FN_HYPER(.keep1 = 0), a->p, NULL, NULL, a->g, a->n, part);
}

FN_DEFINE(momentum_step)
{
    FN_NAME(fn_step)(FN_RULE_momentum, FN_HYPER(.keep1 = FN_C(a->momentum)), a->p, NULL, a->v, a->g, a->n, part);
}

FN_DEFINE(nesterov_step)
{
    FN_NAME(fn_step)(FN_RULE_nesterov, FN_HYPER(.keep1 = FN_C(a->momentum)), a->p, NULL, a->v, a->g, a->n, part);
}

FN_DEFINE(adagrad_step)
{
    FN_NAME(fn_step)(FN_RULE_adagrad, FN_HYPER(FN_HYPER_ROOT(1)), a->p, NULL, a->v, a->g, a->n, part);
}

FN_DEFINE(rmsprop_step)
{
    FN_NAME(fn_step)(FN_RULE_rmsprop, FN_HYPER(FN_HYPER_ROOT(1), .keep2 = FN_C(a->rho), .take2 = FN_C(1 - a->rho)),
                     a->p, NULL, a->v, a->g, a->n, part);
}

FN_DEFINE(adam_step)
{
    FN_NAME(fn_step)(FN_RULE_adam,
                     FN_HYPER(FN_HYPER_ROOT(a->v_scale), .keep1 = FN_C(a->beta1), .take1 = FN_C(1 - a->beta1),
                              .keep2 = FN_C(a->beta2), .take2 = FN_C(1 - a->beta2)),
                     a->p, a->m, a->v, a->g, a->n, part);
}

#undef FN_HYPER
#undef FN_HYPER_ROOT
