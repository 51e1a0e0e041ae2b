/* Batch normalisation of an m by n matrix, per column: statistics, apply, and the two passes of backward.
 *
 * a) Sums go down columns and are never divided: parts of the statistics and of the reduction are columns, parts of
 *    the two elementwise passes are rows. A column is summed in one order, whatever the part or the strip it is in.
 * b) A strip is as many columns as keep their sums in the first-level cache. Six rows (four of two matrices, two of
 *    three) are added at a time, so that sums are loaded and stored less often, and they lie FN_BN_RUN rows apart: each
 *    is then one of a few long runs of memory, which hardware prefetch follows. Neighbouring rows took twice as long
 *    from the second-level cache (2026-11, Zen 5). Sums of such a block of rows are taken in FN_T, those of blocks in
 *    double.
 * c) The variance needs one pass: a block is shifted by k, the mean of the rows before it (the first, a short one, by
 *    that of its first rows), and gives sum(x - k) and sum((x - k)^2); mean and squares about it are joined by the
 *    formula of Chan, Golub & LeVeque 1983. What cancels in a block is rows * (mean of the block - k)^2, and at least a
 *    sixteenth of that is in the result: hardly a digit is lost, however far the mean is from 0 and however it drifts.
 * d) Of a narrow matrix `fold` rows are taken for one wide row: every fold-th row is summed apart, as if it had columns
 *    of its own, and the sums are joined at the end. The arithmetic follows from the shape; a part that has not all
 *    columns, or finds gaps between rows, copies them together first.
 * e) linear and relu (backward: leaky_relu too) are fused into the loops, the others applied to pieces in the cache.
 *    The slope is a factor: a selection would become a masked load, which starts no hardware prefetch.
 * f) What is applied takes FN_BN_FAR rows side by side, so that what belongs to a column is loaded once for both. They
 *    too are far apart, each in a run of its own, and their distance is kept from being a multiple of 4 KB, or they
 *    would meet in the same sets of the first-level cache: neighbours, and four rows, were no faster than one. The pass
 *    of backward has twice the streams and gained nothing (2026-11, Zen 5). */
#undef FN_BN_STRIP
#define FN_BN_STRIP ((int64_t)(4096 / sizeof(FN_T)))

#ifndef FN_BN_RUN
#define FN_BN_RUN 127 /* (wide) rows; odd, which spreads the runs over the sets of the cache */
#define FN_BN_SIDE 6  /* rows added at a time, at most */
#define FN_BN_FAR 2   /* rows that are applied at a time */
#define FN_BN_HEAD 8  /* rows that give the first shift, and a sixteenth of the first block */
#define FN_BN_FOLD 64      /* wide rows from which on they pay: 256x40 took 2.3 us for 1.1 (Granite Rapids, 2026-11) */
#define FN_BN_FOLD_PART 16 /* the same of columns that do not fill a line: 1024x10 1.1 us for 2.0 */

/* What is summed; the constant that selects the code of a loop. */
enum fn_bn_sums { FN_BN_SQUARES, FN_BN_GRADIENT, FN_BN_GRADIENT_SLOPE };
#endif

/* A part's scratch. The first ones are by (wide) column of a strip. */
typedef struct {
    FN_T sum[FN_BN_STRIP], product[FN_BN_STRIP]; /* of one block */
    FN_T shift[FN_BN_STRIP], scale[FN_BN_STRIP], slope[FN_BN_STRIP], offset[FN_BN_STRIP];
    double total[FN_BN_STRIP], total_product[FN_BN_STRIP];
    FN_T rows_x[(FN_BN_SIDE + 1) * FN_BN_STRIP]; /* copies, and dz; one row more than is used, see fn_bn_copy */
    FN_T rows_dy[(FN_BN_SIDE + 1) * FN_BN_STRIP];
    FN_T rows_s[(FN_BN_SIDE + 1) * FN_BN_STRIP];
} FN_NAME(fn_bn_scratch);

/* Some rows: x, and dy and s where the sums are of them. */
typedef struct {
    const FN_T *x, *dy, *s;
    int64_t ldx, lddy, lds;
} FN_NAME(fn_bn_rows);

/* rstd[c] = 1 / sqrt(var[c] + epsilon) */
static void FN_NAME(fn_bn_rstd)(FN_T *rstd, const FN_T *var, double epsilon, int64_t cols)
{
    const V e = VF(set1)(FN_C(epsilon)), one = VF(set1)(1);
    for (int64_t c = 0; c < cols; c += LANES) {
        const V v = VF(load_part)(var + c, cols - c < LANES ? cols - c : LANES);
        VF(store)(rstd + c, VF(div)(one, VF(sqrt)(VF(add)(v, e))));
    }
}

/* p[0 ... wide - 1] = the first `cols` elements of p, again and again. */
static void FN_NAME(fn_bn_repeat)(FN_T *p, int64_t cols, int64_t wide)
{
    for (int64_t c = cols; c < wide; c++) p[c] = p[c - cols];
}

/* ---- sums down columns --------------------------------------------------------------------------------------- */

/* Adds `side` rows (a constant) of columns c to c + count - 1: with d = x - shift, sum += d and product += d^2
 * (FN_BN_SQUARES), or sum += dz and product += dz d, where dz is dy, or dy times 1 or alpha (FN_BN_GRADIENT_SLOPE).
 * -d is what is computed: x is then an operand in memory, and the fewer instructions a line takes, the more lines the
 * processor has under way. */
FN_INLINE void FN_NAME(fn_bn_add_at)(FN_NAME(fn_bn_scratch) *t, const FN_NAME(fn_bn_rows) *rows, enum fn_bn_sums what,
                                     int side, V alpha, int64_t c, int64_t count)
{
    const V shift = VF(load)(t->shift + c), zero = VF(set1)(0);
    V sum[2] = {VF(load)(t->sum + c), zero}, product[2] = {VF(load)(t->product + c), zero};
#pragma GCC unroll 6
    for (int r = 0; r < side; r++) {
        const V minus = VF(sub)(shift, FN_NAME(fn_load)(rows->x + r * rows->ldx + c, count));
        if (what == FN_BN_SQUARES) {
            sum[r % 2] = VF(sub)(sum[r % 2], minus);
            product[r % 2] = VF(fma)(minus, minus, product[r % 2]);
            continue;
        }
        V dz = FN_NAME(fn_load)(rows->dy + r * rows->lddy + c, count);
        if (what == FN_BN_GRADIENT_SLOPE)
            dz = VF(mul)(FN_NAME(fn_act_slope)(FN_NAME(fn_load)(rows->s + r * rows->lds + c, count), FN_ACT_leaky_relu,
                                               alpha), dz);
        sum[r % 2] = VF(add)(sum[r % 2], dz);
        product[r % 2] = VF(fnma)(dz, minus, product[r % 2]);
    }
    FN_NAME(fn_store)(t->sum + c, side > 1 ? VF(add)(sum[0], sum[1]) : sum[0], count);
    FN_NAME(fn_store)(t->product + c, side > 1 ? VF(add)(product[0], product[1]) : product[0], count);
}

FN_INLINE void FN_NAME(fn_bn_add)(FN_NAME(fn_bn_scratch) *t, FN_NAME(fn_bn_rows) rows, enum fn_bn_sums what, int side,
                                  FN_T alpha, int64_t cols)
{
    const V a = VF(set1)(alpha);
    int64_t c = 0;
    for (; c + LANES <= cols; c += LANES) FN_NAME(fn_bn_add_at)(t, &rows, what, side, a, c, LANES);
    if (c < cols) FN_NAME(fn_bn_add_at)(t, &rows, what, side, a, c, cols - c);
}

/* m rows of `cols` elements, without gaps between them. Each row is stored in whole vectors, whose excess the next row
 * overwrites. */
static void FN_NAME(fn_bn_copy)(FN_T *to, const FN_T *from, int64_t ld, int64_t m, int64_t cols)
{
    for (int64_t i = 0; i < m; i++)
        for (int64_t c = 0; c < cols; c += LANES)
            VF(store)(to + i * cols + c, VF(load_part)(from + i * ld + c, cols - c < LANES ? cols - c : LANES));
}

/* A reduction over m rows of `cols` columns, as `fold` times as many columns of every fold-th row. */
typedef struct {
    FN_NAME(fn_bn_rows) from; /* row 0 of the matrices */
    int64_t m, cols, fold;
    int64_t wide, whole, rest; /* columns, rows, and elements of a last part of a row, when folded */
    int kind;
    FN_T alpha;
} FN_NAME(fn_bn_sum_job);

static void FN_NAME(fn_bn_fold)(FN_NAME(fn_bn_sum_job) *job, int64_t n)
{
    /* whole lines of some 256 elements, from less than four lines of columns; of so many rows that joining them pays */
    int64_t fold = 1;
    if (n < 4 * FN_LINE) {
        fold = 256 / (FN_LINE * n);
        fold = FN_LINE * (fold > 1 ? fold : 1);
        if (job->m < (n < FN_LINE ? FN_BN_FOLD_PART : FN_BN_FOLD) * fold) fold = 1;
    }
    job->fold = fold;
    job->wide = fold * job->cols;
    job->whole = job->m / fold;
    job->rest = job->m % fold * job->cols;
}

/* Wide rows i, i + step, ..., without gaps in them: as they lie in `from`, or copied to `to`. Sets *ld, the elements
 * from one to the next. */
FN_INLINE const FN_T *FN_NAME(fn_bn_wide_rows)(FN_T *to, const FN_T *from, int64_t *ld,
                                               const FN_NAME(fn_bn_sum_job) *job, int side, int64_t i, int64_t step,
                                               int64_t cols)
{
    const int64_t fold = job->fold, row = *ld;
    from += i * fold * row;
    if (fold == 1 || row == job->cols) {
        *ld = step * fold * row;
        return from;
    }
    for (int r = 0; r < side; r++)
        FN_NAME(fn_bn_copy)(to + r * job->wide, from + r * step * fold * row, row, cols / job->cols, job->cols);
    *ld = job->wide;
    return to;
}

/* dz of the same rows, by any activation. */
static const FN_T *FN_NAME(fn_bn_wide_dz)(FN_T *to, const FN_NAME(fn_bn_sum_job) *job, int side, int64_t i,
                                          int64_t step, int64_t cols)
{
    const FN_NAME(fn_bn_rows) *from = &job->from;
    for (int r = 0; r < side; r++) {
        for (int64_t k = 0; k < cols / job->cols; k++) {
            const int64_t row = (i + r * step) * job->fold + k;
            FN_NAME(fn_act_bwd_flat)(to + r * job->wide + k * job->cols, from->dy + row * from->lddy,
                                     from->s + row * from->lds, job->cols, job->kind, job->alpha, FN_NEAR);
        }
    }
    return to;
}

/* `side` wide rows, i, i + step, ..., or the `cols` first elements of them. */
FN_INLINE void FN_NAME(fn_bn_add_rows)(FN_NAME(fn_bn_scratch) *t, const FN_NAME(fn_bn_sum_job) *job,
                                       enum fn_bn_sums what, int side, int64_t i, int64_t step, int64_t cols)
{
    FN_NAME(fn_bn_rows) rows = job->from;
    rows.x = FN_NAME(fn_bn_wide_rows)(t->rows_x, rows.x, &rows.ldx, job, side, i, step, cols);
    if (what == FN_BN_GRADIENT && job->kind != FN_ACT_linear) {
        rows.dy = FN_NAME(fn_bn_wide_dz)(t->rows_dy, job, side, i, step, cols);
        rows.lddy = job->wide;
    } else if (what != FN_BN_SQUARES) {
        rows.dy = FN_NAME(fn_bn_wide_rows)(t->rows_dy, rows.dy, &rows.lddy, job, side, i, step, cols);
    }
    if (what == FN_BN_GRADIENT_SLOPE)
        rows.s = FN_NAME(fn_bn_wide_rows)(t->rows_s, rows.s, &rows.lds, job, side, i, step, cols);
    FN_NAME(fn_bn_add)(t, rows, what, side, job->alpha, cols);
}

/* Mean and squares of columns begin to end - 1: joins a block of `rows` rows to the `before` rows before it. */
static void FN_NAME(fn_bn_join)(FN_NAME(fn_bn_scratch) *t, int64_t before, int64_t rows, int64_t begin, int64_t end)
{
    const double share = 1.0 / (double)rows, part = (double)rows / (double)(before + rows);
    const double between = (double)before * part;
    for (int64_t c = begin; c < end; c++) {
        const double shifted = (double)t->sum[c] * share;
        const double within = (double)t->product[c] - (double)t->sum[c] * shifted;
        const double delta = ((double)t->shift[c] - t->total[c]) + shifted;
        t->total[c] += delta * part;
        t->total_product[c] += (within < 0 ? 0 : within) + delta * delta * between;
        t->shift[c] = (FN_T)t->total[c];
    }
}

/* total and total_product of every wide column: mean and squares about it, or the sums of dz and dz (x - shift). */
FN_INLINE void FN_NAME(fn_bn_sum)(FN_NAME(fn_bn_scratch) *t, const FN_NAME(fn_bn_sum_job) *job, enum fn_bn_sums what)
{
    const int side = what == FN_BN_SQUARES ? FN_BN_SIDE : what == FN_BN_GRADIENT ? 4 : 2;
    memset(t->total, 0, (size_t)job->wide * sizeof(double));
    memset(t->total_product, 0, (size_t)job->wide * sizeof(double));
    for (int64_t i = 0, rows; i < job->whole; i += rows) {
        const int64_t block = what == FN_BN_SQUARES && i == 0 ? 16 * FN_BN_HEAD : side * FN_BN_RUN;
        const int last = job->whole - i <= block;
        rows = last ? job->whole - i : block;
        const int64_t rest = last ? job->rest : 0, step = rows / side;
        memset(t->sum, 0, (size_t)job->wide * sizeof(FN_T));
        memset(t->product, 0, (size_t)job->wide * sizeof(FN_T));
        for (int64_t r = 0; r < step; r++) FN_NAME(fn_bn_add_rows)(t, job, what, side, i + r, step, job->wide);
        for (int64_t r = side * step; r < rows; r++) FN_NAME(fn_bn_add_rows)(t, job, what, 1, i + r, 0, job->wide);
        if (rest) FN_NAME(fn_bn_add_rows)(t, job, what, 1, i + rows, 0, rest);
        if (what == FN_BN_SQUARES) {
            FN_NAME(fn_bn_join)(t, i, rows + 1, 0, rest);
            FN_NAME(fn_bn_join)(t, i, rows, rest, job->wide);
        } else {
            for (int64_t c = 0; c < job->wide; c++) {
                t->total[c] += (double)t->sum[c];
                t->total_product[c] += (double)t->product[c];
            }
        }
    }
}

/* shift = mean of the first wide rows, at most FN_BN_HEAD; exactly their value where they are equal. */
static void FN_NAME(fn_bn_first_shift)(FN_NAME(fn_bn_scratch) *t, const FN_NAME(fn_bn_sum_job) *job)
{
    const int64_t rows = job->whole < FN_BN_HEAD ? job->whole : FN_BN_HEAD, ld = job->fold * job->from.ldx;
    const V share = VF(set1)(FN_C(1.0 / (double)rows));
    for (int64_t q = 0; q < job->fold; q++) {
        for (int64_t c = 0; c < job->cols; c += LANES) {
            const int64_t count = job->cols - c < LANES ? job->cols - c : LANES;
            const FN_T *x = job->from.x + q * job->from.ldx + c;
            const V first = FN_NAME(fn_load)(x, count);
            V above = VF(set1)(0);
            for (int64_t i = 1; i < rows; i++)
                above = VF(add)(above, VF(sub)(FN_NAME(fn_load)(x + i * ld, count), first));
            FN_NAME(fn_store)(t->shift + q * job->cols + c, VF(fma)(above, share, first), count);
        }
    }
}

/* Mean and squares of the matrix's columns from those of the wide ones. */
static void FN_NAME(fn_bn_join_folds)(FN_NAME(fn_bn_scratch) *t, const FN_NAME(fn_bn_sum_job) *job)
{
    for (int64_t c = 0; c < job->cols; c++) {
        double sum = 0, squares = 0;
        for (int64_t w = c; w < job->wide; w += job->cols)
            sum += (double)(job->whole + (w < job->rest)) * (t->total[w] - t->total[c]);
        const double mean = t->total[c] + sum / (double)job->m;
        for (int64_t w = c; w < job->wide; w += job->cols) {
            const double d = t->total[w] - mean;
            squares += t->total_product[w] + (double)(job->whole + (w < job->rest)) * d * d;
        }
        t->total[c] = mean;
        t->total_product[c] = squares;
    }
}

FN_DEFINE(batch_norm_stats)
{
    FN_NAME(fn_bn_scratch) *const t = part->scratch;
    int64_t j, end;
    fn_split(a->n, FN_LINE, part->index, part->count, &j, &end);
    for (; j < end; j += FN_BN_STRIP) {
        FN_NAME(fn_bn_sum_job) job = {.from = {.x = a->x + j, .ldx = a->ld_x}, .m = a->m, .kind = FN_ACT_linear};
        job.cols = end - j < FN_BN_STRIP ? end - j : FN_BN_STRIP;
        FN_NAME(fn_bn_fold)(&job, a->n);
        if (a->m > 0) FN_NAME(fn_bn_first_shift)(t, &job);
        FN_NAME(fn_bn_sum)(t, &job, FN_BN_SQUARES);
        if (job.fold > 1) FN_NAME(fn_bn_join_folds)(t, &job);
        const double share = a->m > 0 ? 1.0 / (double)a->m : 0;
        for (int64_t c = 0; c < job.cols; c++) {
            a->mean[j + c] = (FN_T)t->total[c];
            a->var[j + c] = (FN_T)(t->total_product[c] * share);
        }
    }
}

FN_DEFINE(batch_norm_join)
{
    const V take = VF(set1)(FN_C(a->share)), keep = VF(set1)(FN_C(1 - a->share));
    const V between = VF(set1)(FN_C(a->share * (1 - a->share)));
    int64_t begin, end;
    fn_split_rows(a->n, FN_LINE, part, &begin, &end);
    for (int64_t j = begin; j < end; j += LANES) {
        const int64_t count = end - j < LANES ? end - j : LANES;
        const V mean = FN_NAME(fn_load)(a->mean + j, count), var = FN_NAME(fn_load)(a->var + j, count);
        const V delta = VF(sub)(FN_NAME(fn_load)(a->other_mean + j, count), mean);
        const V both = VF(fma)(keep, var, VF(mul)(take, FN_NAME(fn_load)(a->other_var + j, count)));
        FN_NAME(fn_store)(a->mean + j, VF(fma)(take, delta, mean), count);
        FN_NAME(fn_store)(a->var + j, VF(fma)(between, VF(mul)(delta, delta), both), count);
    }
}

FN_DEFINE(batch_norm_bwd_reduce)
{
    FN_NAME(fn_bn_scratch) *const t = part->scratch;
    const int kind = a->s ? (int)a->kind : FN_ACT_linear;
    const FN_T alpha = kind == FN_ACT_relu ? 0 : FN_C(a->alpha);
    int64_t j, end;
    fn_split(a->n, FN_LINE, part->index, part->count, &j, &end);
    for (; j < end; j += FN_BN_STRIP) {
        FN_NAME(fn_bn_sum_job) job = {.from = {.x = a->x + j, .dy = a->dy + j, .s = kind ? a->s + j : NULL,
                                               .ldx = a->ld_x, .lddy = a->ld_dy, .lds = a->ld_s},
                                      .m = a->m, .kind = kind, .alpha = alpha};
        job.cols = end - j < FN_BN_STRIP ? end - j : FN_BN_STRIP;
        FN_NAME(fn_bn_fold)(&job, a->n);
        memcpy(t->shift, a->mean + j, (size_t)job.cols * sizeof(FN_T));
        FN_NAME(fn_bn_repeat)(t->shift, job.cols, job.wide);
        if (kind == FN_ACT_relu || kind == FN_ACT_leaky_relu)
            FN_NAME(fn_bn_sum)(t, &job, FN_BN_GRADIENT_SLOPE);
        else
            FN_NAME(fn_bn_sum)(t, &job, FN_BN_GRADIENT);
        FN_NAME(fn_bn_rstd)(t->scale, a->var + j, a->epsilon, job.cols);
        for (int64_t w = job.cols; w < job.wide; w++) {
            t->total[w % job.cols] += t->total[w];
            t->total_product[w % job.cols] += t->total_product[w];
        }
        for (int64_t c = 0; c < job.cols; c++) {
            a->dbeta[j + c] = (FN_T)t->total[c];
            a->dgamma[j + c] = (FN_T)(t->total_product[c] * (double)t->scale[c]);
        }
    }
}

/* ---- elementwise --------------------------------------------------------------------------------------------- */

/* Which rows of an m by n matrix are this part's, and how many of them are taken as one row of less than FN_BN_STRIP
 * elements: more than one where n is small and rows follow each other without gaps. */
static int64_t FN_NAME(fn_bn_part_rows)(int64_t m, int64_t n, int gaps, const fn_part *part, int64_t *begin,
                                        int64_t *end)
{
    fn_split_rows(m, n < FN_LINE ? (FN_LINE + n - 1) / n : 1, part, begin, end);
    const int64_t fold = (FN_BN_STRIP - FN_LINE) / n, rows = *end - *begin;
    if (gaps || fold <= 1 || rows <= 1) return 1;
    return fold < rows ? fold : rows;
}

/* How many of `rows` rows are a run, where FN_BN_FAR runs go side by side: an odd number of wide rows. */
static int64_t FN_NAME(fn_bn_run)(int64_t rows, int64_t fold)
{
    const int64_t run = rows / (FN_BN_FAR * fold);
    return (run - (run > 1 && run % 2 == 0)) * fold;
}

/* y = max(floor, scale (x - mean) + beta) for elements c to c + count - 1 of FN_BN_FAR rows, ldy and ldx apart. */
FN_INLINE void FN_NAME(fn_bn_fwd_at)(FN_T *y, int64_t ldy, const FN_T *x, int64_t ldx, const FN_NAME(fn_bn_scratch) *t,
                                     int64_t c, int64_t count, V floor)
{
    const V shift = FN_NAME(fn_load)(t->shift + c, count), scale = FN_NAME(fn_load)(t->scale + c, count);
    const V offset = FN_NAME(fn_load)(t->offset + c, count);
#pragma GCC unroll 2
    for (int r = 0; r < FN_BN_FAR; r++) {
        const V from = VF(sub)(FN_NAME(fn_load)(x + r * ldx + c, count), shift);
        FN_NAME(fn_store)(y + r * ldy + c, VF(max)(floor, VF(fma)(from, scale, offset)), count);
    }
}

/* The same for rows of `cols` elements. */
FN_INLINE void FN_NAME(fn_bn_fwd_far)(FN_T *y, int64_t ldy, const FN_T *x, int64_t ldx,
                                      const FN_NAME(fn_bn_scratch) *t, int64_t cols, V floor)
{
    int64_t c = 0;
    for (; c + LANES <= cols; c += LANES) FN_NAME(fn_bn_fwd_at)(y, ldy, x, ldx, t, c, LANES, floor);
    if (c < cols) FN_NAME(fn_bn_fwd_at)(y, ldy, x, ldx, t, c, cols - c, floor);
}

/* The same for one row. */
FN_INLINE void FN_NAME(fn_bn_fwd_row)(FN_T *y, const FN_T *x, const FN_NAME(fn_bn_scratch) *t, int64_t cols, V floor,
                                      int stream)
{
    FN_FLAT_OPEN(y, 0, cols, stream,
                 VF(max)(floor, VF(fma)(VF(sub)(FN_LOAD(x), FN_LOAD(t->shift)), FN_LOAD(t->scale),
                                        FN_LOAD(t->offset))));
}

FN_DEFINE(batch_norm_fwd)
{
    FN_NAME(fn_bn_scratch) *const t = part->scratch;
    const int64_t n = a->n;
    if (n == 0) return;
    const int gaps = a->ld_x != n || a->ld_y != n || (a->z && a->ld_z != n);
    const int fused = !a->z && (a->kind == FN_ACT_linear || a->kind == FN_ACT_relu);
    const int stream = FN_STREAMS(a->m * n, a->y != a->x);
    const V floor = VF(set1)(fused && a->kind == FN_ACT_relu ? 0 : -(FN_T)INFINITY);
    int64_t begin, end;
    const int64_t fold = FN_NAME(fn_bn_part_rows)(a->m, n, gaps, part, &begin, &end);
    for (int64_t j = 0; j < n && begin < end; j += FN_BN_STRIP) {
        const int64_t width = n - j < FN_BN_STRIP ? n - j : FN_BN_STRIP;
        FN_NAME(fn_bn_rstd)(t->slope, a->var + j, a->epsilon, width);
        for (int64_t c = 0; c < width; c++) {
            t->shift[c] = a->mean[j + c];
            t->scale[c] = a->gamma[j + c] * t->slope[c];
            t->offset[c] = a->beta[j + c];
        }
        FN_NAME(fn_bn_repeat)(t->shift, width, fold * width);
        FN_NAME(fn_bn_repeat)(t->scale, width, fold * width);
        FN_NAME(fn_bn_repeat)(t->offset, width, fold * width);
        const int64_t run = fused && !stream ? FN_NAME(fn_bn_run)(end - begin, fold) : 0;
        for (int64_t i = begin; i < begin + run; i += fold)
            FN_NAME(fn_bn_fwd_far)(a->y + i * a->ld_y + j, run * a->ld_y, a->x + i * a->ld_x + j, run * a->ld_x, t,
                                   fold * width, floor);
        for (int64_t i = begin + FN_BN_FAR * run; i < end; i += fold) {
            const int64_t cols = end - i < fold ? (end - i) * width : fold * width;
            const FN_T *const x = a->x + i * a->ld_x + j;
            FN_T *const y = a->y + i * a->ld_y + j;
            if (fused && stream) {
                FN_NAME(fn_bn_fwd_row)(y, x, t, cols, floor, 1);
            } else if (fused) {
                FN_NAME(fn_bn_fwd_row)(y, x, t, cols, floor, 0);
            } else {
                FN_T *const z = a->z ? a->z + i * a->ld_z + j : t->rows_x;
                FN_NAME(fn_bn_fwd_row)(z, x, t, cols, floor, 0);
                FN_NAME(fn_act_fwd_flat)(y, z, cols, (int)a->kind, FN_C(a->alpha), stream ? FN_FAR_PAST : FN_NEAR);
            }
        }
    }
    if (stream) v_fence();
}

/* dx = scale dz + slope (x - mean) + offset for a row of `cols` elements; dz = dy, or dy times 1 or alpha (sloped, a
 * constant). */
FN_INLINE void FN_NAME(fn_bn_bwd_row)(FN_T *dx, const FN_T *dy, const FN_T *x, const FN_T *s,
                                      const FN_NAME(fn_bn_scratch) *t, int64_t cols, V alpha, int sloped, int stream)
{
#define FN_BN_DZ                                                                                        \
    (sloped ? VF(mul)(FN_NAME(fn_act_slope)(FN_LOAD(s), FN_ACT_leaky_relu, alpha), FN_LOAD(dy)) : FN_LOAD(dy))
    FN_FLAT_OPEN(dx, 0, cols, stream,
                 VF(fma)(FN_BN_DZ, FN_LOAD(t->scale),
                         VF(fma)(VF(sub)(FN_LOAD(x), FN_LOAD(t->shift)), FN_LOAD(t->slope), FN_LOAD(t->offset))));
#undef FN_BN_DZ
}

FN_DEFINE(batch_norm_bwd_dx)
{
    FN_NAME(fn_bn_scratch) *const t = part->scratch;
    const int64_t n = a->n;
    if (n == 0) return;
    const int kind = a->s ? (int)a->kind : FN_ACT_linear;
    const int gaps = a->ld_dx != n || a->ld_dy != n || a->ld_x != n || (kind != FN_ACT_linear && a->ld_s != n);
    const int stream = FN_STREAMS(a->m * n, a->dx != a->dy && a->dx != a->x);
    const FN_T share = FN_C(-1.0 / (double)(a->m > 0 ? a->m : 1));
    const int sloped = kind == FN_ACT_relu || kind == FN_ACT_leaky_relu;
    const V alpha = VF(set1)(kind == FN_ACT_relu ? 0 : FN_C(a->alpha));
    int64_t begin, end;
    const int64_t fold = FN_NAME(fn_bn_part_rows)(a->m, n, gaps, part, &begin, &end);
    for (int64_t j = 0; j < n && begin < end; j += FN_BN_STRIP) {
        const int64_t width = n - j < FN_BN_STRIP ? n - j : FN_BN_STRIP;
        FN_NAME(fn_bn_rstd)(t->slope, a->var + j, a->epsilon, width);
        for (int64_t c = 0; c < width; c++) {
            const FN_T rstd = t->slope[c], scale = a->gamma[j + c] * rstd;
            t->shift[c] = a->mean[j + c];
            t->scale[c] = scale;
            t->slope[c] = scale * rstd * (a->dgamma[j + c] * share);
            t->offset[c] = scale * (a->dbeta[j + c] * share);
        }
        FN_NAME(fn_bn_repeat)(t->shift, width, fold * width);
        FN_NAME(fn_bn_repeat)(t->scale, width, fold * width);
        FN_NAME(fn_bn_repeat)(t->slope, width, fold * width);
        FN_NAME(fn_bn_repeat)(t->offset, width, fold * width);
        for (int64_t i = begin; i < end; i += fold) {
            const int64_t cols = end - i < fold ? (end - i) * width : fold * width;
            const FN_T *const x = a->x + i * a->ld_x + j, *dy = a->dy + i * a->ld_dy + j;
            const FN_T *const s = kind == FN_ACT_linear ? NULL : a->s + i * a->ld_s + j;
            FN_T *const dx = a->dx + i * a->ld_dx + j;
            if (kind != FN_ACT_linear && !sloped) {
                FN_NAME(fn_act_bwd_flat)(t->rows_dy, dy, s, cols, kind, FN_C(a->alpha), FN_NEAR);
                dy = t->rows_dy;
            }
            if (sloped && stream)
                FN_NAME(fn_bn_bwd_row)(dx, dy, x, s, t, cols, alpha, 1, 1);
            else if (sloped)
                FN_NAME(fn_bn_bwd_row)(dx, dy, x, s, t, cols, alpha, 1, 0);
            else if (stream)
                FN_NAME(fn_bn_bwd_row)(dx, dy, x, NULL, t, cols, alpha, 0, 1);
            else
                FN_NAME(fn_bn_bwd_row)(dx, dy, x, NULL, t, cols, alpha, 0, 0);
        }
    }
    if (stream) v_fence();
}

FN_DEFINE(batch_norm_running)
{
    const V keep = VF(set1)(FN_C(a->momentum)), take = VF(set1)(FN_C(1 - a->momentum));
    const V take_var = VF(set1)(FN_C((1 - a->momentum) * a->var_factor));
    int64_t begin, end;
    fn_split_rows(a->n, FN_LINE, part, &begin, &end);
    FN_FLAT(a->running_mean, begin, end, 0,
            VF(fma)(keep, FN_LOAD(a->running_mean), VF(mul)(take, FN_LOAD(a->mean))));
    FN_FLAT(a->running_var, begin, end, 0,
            VF(fma)(keep, FN_LOAD(a->running_var), VF(mul)(take_var, FN_LOAD(a->var))));
}
