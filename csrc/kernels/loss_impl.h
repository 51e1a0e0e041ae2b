/* Losses that are sums over elements, with the gradient in the same pass, for one dtype: sigmoid cross entropy and
 * squared, absolute and Huber error, pinball and Poisson loss.
 *
 * a) One loop over rows; the loss is a constant of the call, so each is its own straight code. Rows are read, summed
 *    and divided among parts as in softmax_impl.h, whose helpers are used.
 * b) One column, the usual case of regression and of yes or no, is computed with rows as lanes. Where an exponential is
 *    taken, elements of few columns are computed as they lie, without idle lanes, and only summed with rows as lanes
 *    (columns_impl.h). Squares and the like are quicker so only up to FN_DEALT columns (6 to 20: 0.84 to 1.1; 2026-11,
 *    Zen 5).
 * c) Rows of a large gradient that is not in place go past the caches, by way of scratch. */

#ifndef FN_LOSSES
#define FN_LOSSES
enum fn_loss { FN_LOSS_sigmoid, FN_LOSS_squared, FN_LOSS_absolute, FN_LOSS_huber, FN_LOSS_pinball,
               FN_LOSS_poisson, FN_LOSS_deviance };
#endif

typedef struct {
    FN_T *loss, *dz;
    const FN_T *z, *target, *weight;
    int64_t ld_dz, ld_z, ld_target, m, n;
    FN_T keep, rest; /* t = keep * target + rest */
    FN_T delta, quantile, constant;
    double factor, scale; /* of the loss; of the gradient, with the factor in it */
} FN_NAME(fn_loss);

/* The loss of elements, and its gradient. */
FN_INLINE V FN_NAME(fn_loss_term)(const FN_NAME(fn_loss) *c, V z, V target, V *gradient, const enum fn_loss kind)
{
    const V zero = FN_V(0), one = FN_V(1);
    if (kind == FN_LOSS_sigmoid) {
        const V t = VF(fma)(target, VF(set1)(c->keep), VF(set1)(c->rest));
        const V e = FN_NAME(fn_exp)(VF(copysign)(z, FN_V(-1)));
        const V sigmoid = VF(div)(VF(select)(VF(ge)(z, zero), one, e), VF(add)(one, e));
        *gradient = VF(sub)(sigmoid, t);
        return VF(add)(VF(fnma)(z, t, VF(max)(zero, z)), FN_NAME(fn_log1p)(e));
    }
    if (kind == FN_LOSS_poisson || kind == FN_LOSS_deviance) {
        const V rate = FN_NAME(fn_exp)(z), value = VF(fnma)(target, z, rate);
        *gradient = VF(sub)(rate, target);
        if (kind == FN_LOSS_poisson) return value;
        const V log = FN_NAME(fn_log)(VF(select)(VF(gt)(target, zero), target, one)); /* 0 log 0 = 0 */
        return VF(fma)(VF(set1)(c->constant), VF(mul)(target, VF(sub)(log, one)), value);
    }
    const V d = VF(sub)(z, target), size = VF(abs)(d);
    if (kind == FN_LOSS_pinball) {
        const V below = VF(set1)(-c->quantile), above = VF(set1)(1 - c->quantile);
        *gradient = VF(select)(VF(gt)(d, zero), above, VF(select)(VF(gt)(zero, d), below, d)); /* else 0 or NaN */
        return VF(mul)(d, *gradient);
    }
    if (kind == FN_LOSS_squared) {
        *gradient = d;
        return VF(mul)(d, d);
    }
    if (kind == FN_LOSS_absolute) {
        *gradient = VF(select)(VF(gt)(size, zero), VF(copysign)(one, d), d); /* else 0 or NaN */
        return size;
    }
    const V delta = VF(set1)(c->delta), low = VF(set1)(-c->delta), half = FN_V(0.5);
    *gradient = VF(max)(low, VF(min)(delta, d));
    const V near = VF(mul)(VF(mul)(d, d), half), far = VF(mul)(delta, VF(fnma)(half, delta, size));
    return VF(select)(VF(ge)(delta, size), near, far);
}

/* This part's rows, of one column. */
FN_INLINE void FN_NAME(fn_loss_column)(const FN_NAME(fn_loss) *c, const fn_part *part, const enum fn_loss kind)
{
    int64_t begin, end;
    fn_split_rows(c->m, FN_LINE, part, &begin, &end);
    const V zero = FN_V(0), factor = VF(set1)(FN_C(c->factor)), scale = VF(set1)(FN_C(c->scale));
    const int strided = c->ld_z != 1 || c->ld_target != 1 || (c->dz && c->ld_dz != 1);
    for (int64_t r = begin; r < end; r += LANES) {
        const int64_t count = end - r < LANES ? end - r : LANES;
        const FN_T *z = c->z + r * c->ld_z, *target = c->target + r * c->ld_target;
        FN_T near_z[LANES], near_target[LANES], near_dz[LANES];
        if (strided) {
            for (int64_t k = 0; k < count; k++) {
                near_z[k] = z[k * c->ld_z];
                near_target[k] = target[k * c->ld_target];
            }
            z = near_z;
            target = near_target;
        }
        V gradient;
        const V of_z = FN_NAME(fn_load)(z, count), of_target = FN_NAME(fn_load)(target, count);
        const V value = FN_NAME(fn_loss_term)(c, of_z, of_target, &gradient, kind);
        const V weight = c->weight ? FN_NAME(fn_load)(c->weight + r, count) : FN_V(1);
        const VM silent = VF(eq)(weight, zero);
        FN_NAME(fn_store)(c->loss + r, VF(select)(silent, zero, VF(mul)(VF(mul)(weight, factor), value)), count);
        if (!c->dz) continue;
        gradient = VF(select)(silent, zero, VF(mul)(VF(mul)(weight, scale), gradient));
        if (strided) {
            FN_NAME(fn_store)(near_dz, gradient, count);
            for (int64_t k = 0; k < count; k++) c->dz[(r + k) * c->ld_dz] = near_dz[k];
        } else {
            FN_NAME(fn_store)(c->dz + r, gradient, count);
        }
    }
}

/* Rows r to r + rows - 1 of few columns, without gaps and weights. The bits are those of fn_loss_row. */
FN_INLINE void FN_NAME(fn_loss_columns)(const FN_NAME(fn_loss) *c, int64_t r, int64_t rows, const enum fn_loss kind)
{
    const int64_t n = c->n, count = rows * n, block = FN_NAME(fn_columns_block)(n);
    const FN_T *const z = c->z + r * n, *const target = c->target + r * n;
    FN_T *const dz = c->dz ? c->dz + r * n : NULL;
    const V scale = VF(set1)(FN_C(c->scale)), factor = VF(set1)(FN_C(c->factor));
    FN_T values[FN_COLUMNS_SIZE], columns[FN_COLUMNS_SIZE];
    V gradient;
    for (int64_t i = 0; i < count; i += LANES) {
        const int64_t left = count - i < LANES ? count - i : LANES;
        const V of_z = FN_NAME(fn_load)(z + i, left), of_target = FN_NAME(fn_load)(target + i, left);
        VF(store)(values + i, FN_NAME(fn_loss_term)(c, of_z, of_target, &gradient, kind));
        if (dz) FN_NAME(fn_store)(dz + i, VF(mul)(scale, gradient), left);
    }
    FN_NAME(fn_columns_load)(columns, values, n, rows, n);
    for (int64_t q = 0; q < rows; q += LANES) {
        const V sum = FN_NAME(fn_columns_sum)(columns + q / LANES * block, n);
        FN_NAME(fn_store)(c->loss + r + q, VF(mul)(factor, sum), rows - q < LANES ? rows - q : LANES);
    }
}

/* The sum over a row; its gradient, scaled, goes to dz unless that is NULL. past: dz is in scratch. */
FN_INLINE FN_T FN_NAME(fn_loss_row)(const FN_NAME(fn_loss) *c, FN_T *dz, const FN_T *z, const FN_T *target, FN_T scale,
                                    const int past, const enum fn_loss kind, const int vectors)
{
    const int64_t n = c->n, rest = n % LANES, whole = n - rest;
    const V f = VF(set1)(scale);
    V sum[4] = {FN_V(0), FN_V(0), FN_V(0), FN_V(0)}, gradient;
    if (vectors) {
        FN_NAME(fn_prefetch)(z);
        FN_NAME(fn_prefetch)(target);
        if (dz && !past) FN_NAME(fn_prefetch_out)(dz);
        for (int v = 0; v < vectors; v++) {
            const int64_t i = v * LANES, count = FN_NAME(fn_row_count)(n, vectors, v);
            const V of_z = FN_NAME(fn_load)(z + i, count), of_target = FN_NAME(fn_load)(target + i, count);
            const V value = FN_NAME(fn_loss_term)(c, of_z, of_target, &gradient, kind);
            sum[0] = VF(add)(sum[0], FN_NAME(fn_first)(value, count));
            if (dz) FN_NAME(fn_store)(dz + i, VF(mul)(f, gradient), count);
        }
        return VF(sum)(sum[0]);
    }
    FN_ROW_SUMS(whole, {
        const V value = FN_NAME(fn_loss_term)(c, VF(load)(z + i), VF(load)(target + i), &gradient, kind);
        sum[k] = VF(add)(sum[k], value);
        if (dz) VF(store)(dz + i, VF(mul)(f, gradient));
    });
    if (rest) {
        const V value = FN_NAME(fn_loss_term)(c, VF(load_part)(z + whole, rest), VF(load_part)(target + whole, rest),
                                              &gradient, kind);
        sum[0] = VF(add)(sum[0], FN_NAME(fn_first)(value, rest));
        if (dz) VF(store_part)(dz + whole, VF(mul)(f, gradient), rest);
    }
    return FN_NAME(fn_sum4)(sum);
}

/* Rows begin to end - 1. */
FN_INLINE void FN_NAME(fn_loss_rows)(const FN_NAME(fn_loss) *c, FN_NAME(fn_rows_out) *out, int64_t begin, int64_t end,
                                     const int past, const enum fn_loss kind, const int vectors)
{
    for (int64_t r = begin; r < end; r++) {
        const FN_T weight = c->weight ? c->weight[r] : 1;
        if (weight == 0 || c->n == 0) {
            c->loss[r] = 0;
            if (out->row) memset(out->row, 0, (size_t)c->n * sizeof(FN_T));
        } else {
            const FN_T sum = FN_NAME(fn_loss_row)(c, out->row, c->z + r * c->ld_z, c->target + r * c->ld_target,
                                                  FN_C(c->scale * weight), past, kind, vectors);
            c->loss[r] = FN_C(c->factor * weight) * sum;
        }
        FN_NAME(fn_row_done)(out, past);
    }
}

FN_INLINE void FN_NAME(fn_loss_part)(const FN_NAME(fn_loss) *c, const fn_part *part, const enum fn_loss kind,
                                     const int vectors)
{
    const int apart = c->dz != c->z && c->dz != c->target;
    int64_t begin, end;
    fn_split_rows(c->m, FN_ROW_GRAIN(c->n), part, &begin, &end);
    FN_NAME(fn_rows_out) out = FN_NAME(fn_rows_begin)(c->dz, c->ld_dz, c->m, c->n, apart, begin, part);
    if (out.block) {
        FN_NAME(fn_loss_rows)(c, &out, begin, end, 1, kind, vectors);
    } else {
        const int gaps = c->ld_z != c->n || c->ld_target != c->n || (c->dz && c->ld_dz != c->n);
        const int costly = kind == FN_LOSS_sigmoid || kind == FN_LOSS_poisson || kind == FN_LOSS_deviance;
        const int in_blocks = (costly || c->n <= FN_DEALT) && (vectors == 1 || vectors == 2) && !gaps && !c->weight;
        int64_t rows;
        while (in_blocks && (rows = FN_NAME(fn_columns_rows)(end - begin, c->n)) > 0) {
            FN_NAME(fn_loss_columns)(c, begin, rows, kind);
            begin += rows;
            out.row += rows * out.step;
        }
        FN_NAME(fn_loss_rows)(c, &out, begin, end, 0, kind, vectors);
    }
    FN_NAME(fn_rows_end)(&out);
}

#undef FN_LOSS
#define FN_LOSS(a, kind, gradient_factor, ...)                                                          \
    do {                                                                                                \
        const FN_NAME(fn_loss) c = {                                                                    \
            .loss = a->loss, .dz = a->dz, .z = a->z, .target = a->target, .weight = a->weight,          \
            .ld_dz = a->ld_dz, .ld_z = a->ld_z, .ld_target = a->ld_target, .m = a->m, .n = a->n,        \
            .factor = a->factor, .scale = a->scale * a->factor * (gradient_factor), __VA_ARGS__};       \
        if (a->n == 1)                                                                                  \
            FN_NAME(fn_loss_column)(&c, part, kind);                                                    \
        else                                                                                            \
            FN_ROW_SWITCH(a->n, FN_NAME(fn_loss_part)(&c, part, kind, VECTORS));                        \
    } while (0)

FN_DEFINE(sigmoid_xent)
{
    FN_LOSS(a, FN_LOSS_sigmoid, 1, .keep = FN_C(1 - a->smoothing), .rest = FN_C(a->smoothing / 2));
}

FN_DEFINE(squared_error)
{
    FN_LOSS(a, FN_LOSS_squared, 2, .keep = 1);
}

FN_DEFINE(absolute_error)
{
    FN_LOSS(a, FN_LOSS_absolute, 1, .keep = 1);
}

FN_DEFINE(huber_error)
{
    FN_LOSS(a, FN_LOSS_huber, 1, .delta = FN_C(a->delta));
}

FN_DEFINE(pinball_loss)
{
    FN_LOSS(a, FN_LOSS_pinball, 1, .quantile = FN_C(a->quantile));
}

FN_DEFINE(poisson_loss)
{
    if (a->constant == 0)
        FN_LOSS(a, FN_LOSS_poisson, 1, .keep = 1);
    else
        FN_LOSS(a, FN_LOSS_deviance, 1, .constant = FN_C(a->constant));
}
