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
 * f) Roots and quotients share one unit of the processor, which a root holds twice as long: in the plain loop VF(root)
 *    leaves it to the quotients. In the full loop it was slower, and so were quotients from an estimate, with either
 *    root, in both (2026-11, Zen 5). */

#ifndef FN_RULES
#define FN_RULES
enum fn_rule { FN_RULE_sgd, FN_RULE_momentum, FN_RULE_nesterov, FN_RULE_adagrad, FN_RULE_rmsprop, FN_RULE_adam };
#endif

/* Hyperparameters as scalars of FN_T; what a rule has no use for stays 0. */
typedef struct {
    FN_T lr, scale, clip, l2, decay;
    FN_T keep1, take1; /* first moment: momentum or beta1, and 1 - beta1 */
    FN_T keep2, take2; /* second moment: rho or beta2, and 1 - that */
    FN_T epsilon, v_scale;
} FN_NAME(fn_hyper);

FN_INLINE V FN_NAME(fn_step_root)(V v, int plain)
{
    return plain ? VF(root)(v) : VF(sqrt)(v);
}

/* keep v + take h^2, keep + take = 1 */
FN_INLINE V FN_NAME(fn_step_squares)(V v, V h, V keep, V take, int plain)
{
    if (plain) return VF(fnma)(take, VF(fnma)(h, h, v), v);
    return VF(fma)(keep, v, VF(mul)(take, VF(mul)(h, h)));
}

/* One vector of parameters: *p, *m, *v before, and after. rule, plain: constants. */
FN_INLINE void FN_NAME(fn_step_vector)(enum fn_rule rule, int plain, const FN_NAME(fn_hyper) *c, V *p, V *m, V *v, V g)
{
    const V lr = VF(set1)(c->lr), keep1 = VF(set1)(c->keep1), keep2 = VF(set1)(c->keep2);
    /* x is the second operand of min and max: a NaN in the gradient stays one */
    const V clipped = VF(max)(VF(set1)(-c->clip), VF(min)(VF(set1)(c->clip), VF(mul)(VF(set1)(c->scale), g)));
    const V h = plain ? g : VF(fma)(VF(set1)(c->l2), *p, clipped);
    V down = VF(mul)(lr, h); /* what is subtracted from p */

    switch (rule) {
    case FN_RULE_momentum:
    case FN_RULE_nesterov: {
        /* v is kept as the list states it, with its sign: v = momentum v - lr h, p + v */
        *v = VF(fnma)(lr, h, VF(mul)(keep1, *v));
        const V step = rule == FN_RULE_nesterov ? VF(fnma)(lr, h, VF(mul)(keep1, *v)) : *v;
        *p = VF(add)(*p, plain ? step : VF(fnma)(VF(set1)(c->decay), *p, step));
        return;
    }
    case FN_RULE_adagrad:
        *v = VF(fma)(h, h, *v);
        down = VF(div)(down, VF(add)(FN_NAME(fn_step_root)(*v, plain), VF(set1)(c->epsilon)));
        break;
    case FN_RULE_rmsprop:
        *v = FN_NAME(fn_step_squares)(*v, h, keep2, VF(set1)(c->take2), plain);
        down = VF(div)(down, VF(add)(FN_NAME(fn_step_root)(*v, plain), VF(set1)(c->epsilon)));
        break;
    case FN_RULE_adam:
        *m = plain ? VF(fma)(VF(set1)(c->take1), VF(sub)(h, *m), *m)
                   : VF(fma)(keep1, *m, VF(mul)(VF(set1)(c->take1), h));
        *v = FN_NAME(fn_step_squares)(*v, h, keep2, VF(set1)(c->take2), plain);
        down = VF(div)(VF(mul)(lr, *m), VF(fma)(VF(set1)(c->v_scale), FN_NAME(fn_step_root)(*v, plain),
                                                VF(set1)(c->epsilon)));
        break;
    default:
        break;
    }
    *p = VF(sub)(*p, plain ? down : VF(fma)(VF(set1)(c->decay), *p, down));
}

/* Parameters i to i + count - 1, count at most LANES. m, v: not touched where the rule has none. */
FN_INLINE void FN_NAME(fn_step_at)(enum fn_rule rule, int plain, const FN_NAME(fn_hyper) *c, FN_T *p, FN_T *m, FN_T *v,
                                   const FN_T *g, int64_t i, int64_t count)
{
    const int has_m = rule == FN_RULE_adam, has_v = rule != FN_RULE_sgd;
    V pi = FN_NAME(fn_load)(p + i, count), mi = pi, vi = pi;
    if (has_m) mi = FN_NAME(fn_load)(m + i, count);
    if (has_v) vi = FN_NAME(fn_load)(v + i, count);
    FN_NAME(fn_step_vector)(rule, plain, c, &pi, &mi, &vi, FN_NAME(fn_load)(g + i, count));
    FN_NAME(fn_store)(p + i, pi, count);
    if (has_m) FN_NAME(fn_store)(m + i, mi, count);
    if (has_v) FN_NAME(fn_store)(v + i, vi, count);
}

/* Parameters i to end - 1. */
FN_INLINE void FN_NAME(fn_step_range)(enum fn_rule rule, int plain, const FN_NAME(fn_hyper) *hyper, FN_T *p, FN_T *m,
                                      FN_T *v, const FN_T *g, int64_t i, int64_t end)
{
    const FN_NAME(fn_hyper) c = *hyper; /* a copy that no store can alias */
    const int64_t head = FN_NAME(fn_unaligned)(p + i, end - i);
    if (head) FN_NAME(fn_step_at)(rule, plain, &c, p, m, v, g, i, head);
    i += head;
    for (; i + LANES <= end; i += LANES) FN_NAME(fn_step_at)(rule, plain, &c, p, m, v, g, i, LANES);
    if (i < end) FN_NAME(fn_step_at)(rule, plain, &c, p, m, v, g, i, end - i);
}

/* This part's share of n parameters. */
FN_INLINE void FN_NAME(fn_step)(enum fn_rule rule, const FN_NAME(fn_hyper) *c, FN_T *p, FN_T *m, FN_T *v, const FN_T *g,
                                int64_t n, const fn_part *part)
{
    int64_t begin, end;
    fn_split(n, FN_LINE, part->index, part->count, &begin, &end);
    const int averages = rule == FN_RULE_adam ? c->keep1 >= FN_C(0.5) && c->keep2 >= FN_C(0.5)
                                              : rule != FN_RULE_rmsprop || c->keep2 >= FN_C(0.5);
    if (c->scale == 1 && c->clip == (FN_T)INFINITY && c->l2 == 0 && c->decay == 0 && averages)
        FN_NAME(fn_step_range)(rule, 1, c, p, m, v, g, begin, end);
    else
        FN_NAME(fn_step_range)(rule, 0, c, p, m, v, g, begin, end);
}

/* The hyperparameters that every rule has. */
#define FN_HYPER(...)                                                                                   \
    &(const FN_NAME(fn_hyper)){.lr = FN_C(a->lr), .scale = FN_C(a->scale), .clip = FN_C(a->clip),       \
                               .l2 = FN_C(a->l2), .decay = FN_C(a->decay), __VA_ARGS__}

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
    FN_NAME(fn_step)(FN_RULE_adagrad, FN_HYPER(.epsilon = FN_C(a->epsilon)), a->p, NULL, a->v, a->g, a->n, part);
}

FN_DEFINE(rmsprop_step)
{
    FN_NAME(fn_step)(FN_RULE_rmsprop,
                     FN_HYPER(.epsilon = FN_C(a->epsilon), .keep2 = FN_C(a->rho), .take2 = FN_C(1 - a->rho)),
                     a->p, NULL, a->v, a->g, a->n, part);
}

FN_DEFINE(adam_step)
{
    FN_NAME(fn_step)(FN_RULE_adam,
                     FN_HYPER(.epsilon = FN_C(a->epsilon), .v_scale = FN_C(a->v_scale), .keep1 = FN_C(a->beta1),
                              .take1 = FN_C(1 - a->beta1), .keep2 = FN_C(a->beta2), .take2 = FN_C(1 - a->beta2)),
                     a->p, a->m, a->v, a->g, a->n, part);
}

#undef FN_HYPER
