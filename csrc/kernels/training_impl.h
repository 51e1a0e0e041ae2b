/* What training does around an optimizer step: the gradient of penalties, clipping by norm, averages of parameters.
 *
 * a) One pass over a flat range each; numbers become FN_T once, 1 - momentum is taken in double before.
 * b) The scale of clipping by norm is a number in memory that the step reads: no one has to look at it in between.
 * c) A first part vector aligns the others, if both arrays lie alike, as in optimizer_impl.h. */
#undef FN_FLAT_ALIGNED
#define FN_FLAT_ALIGNED(y, begin, end, value)                                                           \
    do {                                                                                                \
        const int64_t aligned = (begin) + FN_NAME(fn_unaligned)((y) + (begin), (end) - (begin));        \
        FN_FLAT(y, begin, aligned, 0, value);                                                           \
        FN_FLAT(y, aligned, end, 0, value);                                                             \
    } while (0)

FN_DEFINE(penalty_gradient)
{
    const V l1 = VF(set1)(FN_C(a->l1)), l2 = VF(set1)(FN_C(a->l2)), one = VF(set1)(1), zero = VF(set1)(0);
    int64_t begin, end;
    fn_split_rows(a->n, FN_LINE, part, &begin, &end);
/* the sign of NaN need not be NaN: l2 p is */
#define FN_SIGN(p) VF(select)(VF(eq)(p, zero), zero, VF(copysign)(one, p))
    FN_FLAT_ALIGNED(a->g, begin, end,
                    VF(fma)(l1, FN_SIGN(FN_LOAD(a->p)), VF(fma)(l2, FN_LOAD(a->p), FN_LOAD(a->g))));
#undef FN_SIGN
}

FN_DEFINE(moving_average)
{
    const V keep = VF(set1)(FN_C(a->momentum)), take = VF(set1)(FN_C(1 - a->momentum));
    int64_t begin, end;
    fn_split_rows(a->n, FN_LINE, part, &begin, &end);
    FN_FLAT_ALIGNED(a->average, begin, end, VF(fma)(keep, FN_LOAD(a->average), VF(mul)(take, FN_LOAD(a->x))));
}

FN_DEFINE(clip_scale)
{
    if (part->index != 0) return;
    const double norm = a->factor * sqrt(fn_sum_in_order(a->partial, a->c));
    a->norm[0] = norm;
    a->scale[0] = norm <= a->limit ? a->factor : a->factor * a->limit / norm; /* NaN is not below any limit */
}
