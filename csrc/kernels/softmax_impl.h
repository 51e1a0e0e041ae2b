/* Softmax and the cross entropies of softmax, forward and backward, for one dtype.
 *
 * a) A row of up to four vectors is one read, its powers stay in registers, and it is written once; the number of
 *    vectors is a constant of the code. Longer rows take three passes over a row that stays in cache: the largest
 *    element, powers and their sums, the result.
 *    Rows of few columns are computed in transposed blocks (columns_impl.h).
 * b) Sums over a row run in up to four vectors, then across lanes: an order given by n alone. Rows are divided among
 *    parts, sums are not.
 * c) Lanes behind the end of a row hold -infinity, whose power is 0. The part vector at the end of a long row stays in
 *    a register between the passes: what was stored in part cannot be loaded before it has left for the cache.
 * d) The logarithms of the sums are taken for 64 rows at a time.
 * e) Rows of a large output that is not in place are computed in scratch, and go past the caches in whole lines, however
 *    they lie, a few at a time: blocks of 8 KB were no gain, because while they are written nothing is read (2026-11,
 *    Zen 5: 57 % of the floor, of 1 KB 89 %).
 * f) e^(z - max) is at most 1 and the sum at least 1. A row with a NaN, with +infinity, or of -infinity only, is NaN
 *    throughout, as the formula is; -infinity among finite elements is a probability of 0. */
#undef FN_ROW_GRAIN
#undef FN_ROW_SWITCH
#undef FN_ROW_SUMS
#undef FN_ROW_BLOCK
#undef FN_ROW_BYTES

/* Rows that go to one part together: a cache line of the row's results, where rows are short. */
#define FN_ROW_GRAIN(n) ((n) < 256 ? FN_LINE : 1)

/* Rows whose logarithms are taken together. */
#define FN_ROW_BLOCK 64

/* Bytes of rows that go past the caches together. */
#define FN_ROW_BYTES 1024

/* Chooses a call by the vectors that hold a row of n: VECTORS is 1 to 4, or 0 where the row is longer. */
#define FN_ROW_SWITCH(n, call)                                                                          \
    switch (((n) + LANES - 1) / LANES) {                                                                \
    case 0:                                                                                             \
    case 1: { enum { VECTORS = 1 }; call; break; }                                                      \
    case 2: { enum { VECTORS = 2 }; call; break; }                                                      \
    case 3: { enum { VECTORS = 3 }; call; break; }                                                      \
    case 4: { enum { VECTORS = 4 }; call; break; }                                                      \
    default: { enum { VECTORS = 0 }; call; }                                                            \
    }

/* Runs a statement over the whole vectors of a row: the one at element i is summed up in place k < 4. */
#define FN_ROW_SUMS(n, ...)                                                                             \
    do {                                                                                                \
        int64_t row_i = 0;                                                                              \
        for (; row_i + 4 * LANES <= (n); row_i += 4 * LANES) {                                          \
            { enum { k = 0 }; const int64_t i = row_i; __VA_ARGS__; }                                   \
            { enum { k = 1 }; const int64_t i = row_i + LANES; __VA_ARGS__; }                           \
            { enum { k = 2 }; const int64_t i = row_i + 2 * LANES; __VA_ARGS__; }                       \
            { enum { k = 3 }; const int64_t i = row_i + 3 * LANES; __VA_ARGS__; }                       \
        }                                                                                               \
        for (; row_i + LANES <= (n); row_i += LANES) {                                                  \
            enum { k = 0 };                                                                             \
            const int64_t i = row_i;                                                                    \
            __VA_ARGS__;                                                                                \
        }                                                                                               \
    } while (0)

/* count elements from p, the other lanes -infinity. */
FN_INLINE V FN_NAME(fn_load_row)(const FN_T *p, int64_t count)
{
    return count == LANES ? VF(load)(p) : VF(load_fill)(p, count, FN_V(-INFINITY));
}

/* x in the first count lanes, 0 in the others. */
FN_INLINE V FN_NAME(fn_first)(V x, int64_t count)
{
    return count == LANES ? x : VF(select)(VF(first)(count), x, FN_V(0));
}

/* Part loads and stores do not teach the processor where to read next: where rows consist of them, what lies a kilobyte
 * ahead is asked for (Zen 5, 10 columns from memory: 3 times faster). And where a vector takes long (flat_impl.h d): 1.05
 * to 1.15 of long rows from memory (Granite Rapids). An address behind the array is no error. */
FN_INLINE void FN_NAME(fn_prefetch)(const FN_T *row)
{
    __builtin_prefetch((const void *)((uintptr_t)row + 1024));
}

FN_INLINE void FN_NAME(fn_prefetch_out)(FN_T *row)
{
    __builtin_prefetch((const void *)((uintptr_t)row + 1024), 1);
}

/* Where a part's rows of an output are written, in order. With a block they are gathered there without gaps, and `rows`
 * of them at a time go past the caches to `to`; without one they are written where they belong. */
typedef struct {
    FN_T *row; /* the next row's place; NULL where there is no output */
    FN_T *block, *to;
    int64_t step, rows, left; /* elements from row to row; rows until the block is full */
} FN_NAME(fn_rows_out);

/* From row `first` on. out may be NULL; `apart`: it is none of the inputs. */
FN_INLINE FN_NAME(fn_rows_out) FN_NAME(fn_rows_begin)(FN_T *out, int64_t ld, int64_t m, int64_t n, int apart,
                                                      int64_t first, const fn_part *part)
{
    FN_NAME(fn_rows_out) o = {.row = out ? out + first * ld : NULL, .step = out ? ld : 0};
    if (out && ld == n && FN_STREAMS(m * n, apart) && n <= FN_SCRATCH_BYTES / (int64_t)sizeof(FN_T)) {
        const int64_t grain = n % FN_LINE ? FN_ROW_GRAIN(n) : 1;
        const int64_t grains = FN_ROW_BYTES / (int64_t)sizeof(FN_T) / (grain * n);
        o.to = o.row;
        o.row = o.block = part->scratch;
        o.left = o.rows = grain * (grains < 1 ? 1 : grains);
    }
    return o;
}

/* Not inlined: it is called from every kernel's every length of rows. */
static __attribute__((noinline)) void FN_NAME(fn_stream)(FN_T *to, const FN_T *from, int64_t n)
{
    FN_FLAT_OPEN(to, 0, n, 1, FN_LOAD(from));
}

FN_INLINE void FN_NAME(fn_rows_flush)(FN_NAME(fn_rows_out) *o)
{
    const int64_t count = o->row - o->block;
    FN_NAME(fn_stream)(o->to, o->block, count);
    o->to += count;
    o->row = o->block;
    o->left = o->rows;
}

/* The row is written. past: there is a block; a constant where that costs in the cache. */
FN_INLINE void FN_NAME(fn_row_done)(FN_NAME(fn_rows_out) *o, int past)
{
    o->row += o->step;
    if (past && --o->left == 0) FN_NAME(fn_rows_flush)(o);
}

/* All rows are written. */
FN_INLINE void FN_NAME(fn_rows_end)(FN_NAME(fn_rows_out) *o)
{
    if (!o->block) return;
    FN_NAME(fn_rows_flush)(o);
    v_fence();
}

/* Rows that lie in blocks (columns_impl.h) are written, row by row. */
static __attribute__((noinline)) void FN_NAME(fn_columns_store)(FN_NAME(fn_rows_out) *o, const FN_T *columns,
                                                               int64_t rows, int64_t n)
{
#if FN_DEALT
    if (n <= FN_DEALT && o->step == n && !o->block) {
        FN_NAME(fn_collect)(o->row, columns, LANES, LANES * LANES, rows, n);
        o->row += rows * n;
        return;
    }
#endif
    FN_T near[FN_COLUMNS_MOST * LANES];
    for (int64_t r = 0; r < rows; r += LANES) {
        for (int64_t c = 0; c < n; c += LANES, columns += LANES * LANES)
            VF(transpose)(near + c, FN_COLUMNS_MOST, columns, LANES);
        const int64_t side = rows - r < LANES ? rows - r : LANES, count = n < LANES ? n : LANES, rest = n - count;
        for (int64_t q = 0; q < side; q++) {
            const FN_T *const row = near + q * FN_COLUMNS_MOST;
            if (!o->block) FN_NAME(fn_prefetch_out)(o->row);
            VF(store_part)(o->row, VF(load)(row), count);
            if (rest) VF(store_part)(o->row + LANES, VF(load)(row + LANES), rest);
            FN_NAME(fn_row_done)(o, o->block != NULL);
        }
    }
}

/* Elements of a row's vector v, which is one of `vectors`. */
FN_INLINE int64_t FN_NAME(fn_row_count)(int64_t n, const int vectors, int v)
{
    return v < vectors - 1 ? LANES : n - (int64_t)(vectors - 1) * LANES;
}

FN_INLINE FN_T FN_NAME(fn_sum4)(const V *s)
{
    return VF(sum)(VF(add)(VF(add)(s[0], s[1]), VF(add)(s[2], s[3])));
}

/* The largest element, NaN left aside; -infinity where there is none. */
FN_INLINE FN_T FN_NAME(fn_row_largest)(const FN_T *x, int64_t n)
{
    V m[4] = {FN_V(-INFINITY), FN_V(-INFINITY), FN_V(-INFINITY), FN_V(-INFINITY)};
    FN_ROW_SUMS(n, m[k] = VF(max)(VF(load)(x + i), m[k]));
    const int64_t rest = n % LANES;
    if (rest) m[0] = VF(max)(FN_NAME(fn_load_row)(x + n - rest, rest), m[0]);
    return VF(largest)(VF(max)(VF(max)(m[0], m[1]), VF(max)(m[2], m[3])));
}

/* ---- softmax ---- */

FN_INLINE void FN_NAME(fn_softmax_short)(FN_T *y, const FN_T *x, int64_t n, const int vectors)
{
    V e[4], largest = FN_V(-INFINITY);
    for (int v = 0; v < vectors; v++) {
        e[v] = FN_NAME(fn_load_row)(x + v * LANES, FN_NAME(fn_row_count)(n, vectors, v));
        largest = VF(max)(e[v], largest);
    }
    largest = VF(set1)(VF(largest)(largest));
    V sum = FN_V(0);
    for (int v = 0; v < vectors; v++) {
        e[v] = FN_NAME(fn_exp)(VF(sub)(e[v], largest));
        sum = VF(add)(sum, e[v]);
    }
    const V share = VF(set1)(1 / VF(sum)(sum));
    for (int v = 0; v < vectors; v++)
        FN_NAME(fn_store)(y + v * LANES, VF(mul)(e[v], share), FN_NAME(fn_row_count)(n, vectors, v));
}

FN_INLINE void FN_NAME(fn_softmax_long)(FN_T *y, const FN_T *x, int64_t n)
{
    const int64_t rest = n % LANES, whole = n - rest;
    const V largest = VF(set1)(FN_NAME(fn_row_largest)(x, n));
    V sum[4] = {FN_V(0), FN_V(0), FN_V(0), FN_V(0)}, last = FN_V(0);
    FN_ROW_SUMS(whole, {
        FN_NAME(fn_prefetch)(x + i);
        const V power = FN_NAME(fn_exp)(VF(sub)(VF(load)(x + i), largest));
        sum[k] = VF(add)(sum[k], power);
        VF(store)(y + i, power);
    });
    if (rest) last = FN_NAME(fn_exp)(VF(sub)(FN_NAME(fn_load_row)(x + whole, rest), largest));
    sum[0] = VF(add)(sum[0], last);
    const V share = VF(set1)(1 / FN_NAME(fn_sum4)(sum));
    for (int64_t i = 0; i < whole; i += LANES) VF(store)(y + i, VF(mul)(VF(load)(y + i), share));
    if (rest) VF(store_part)(y + whole, VF(mul)(last, share), rest);
}

/* Rows of few columns, from x to where rows are written. */
static void FN_NAME(fn_softmax_columns)(FN_NAME(fn_rows_out) *o, const FN_T *x, int64_t ld, int64_t rows, int64_t n)
{
    const int64_t block = FN_NAME(fn_columns_block)(n);
    FN_T e[FN_COLUMNS_SIZE], share[FN_COLUMNS_ROWS];
    FN_NAME(fn_columns_load)(e, x, ld, rows, n);
    for (int64_t r = 0; r < rows; r += LANES) {
        FN_T *const column = e + r / LANES * block;
        const V largest = FN_NAME(fn_columns_largest)(column, n);
        for (FN_T *at = column; at < column + n * LANES; at += LANES)
            VF(store)(at, FN_NAME(fn_exp)(VF(sub)(VF(load)(at), largest)));
    }
    for (int64_t r = 0; r < rows; r += LANES)
        VF(store)(share + r, VF(div)(FN_V(1), FN_NAME(fn_columns_sum)(e + r / LANES * block, n)));
    for (int64_t r = 0; r < rows; r += LANES) {
        FN_T *const column = e + r / LANES * block;
        for (FN_T *at = column; at < column + n * LANES; at += LANES)
            VF(store)(at, VF(mul)(VF(load)(at), VF(load)(share + r)));
    }
    FN_NAME(fn_columns_store)(o, e, rows, n);
}

FN_INLINE void FN_NAME(fn_softmax_rows)(const FN_NAME(fn_softmax_fwd_args) *a, const fn_part *part, const int vectors)
{
    int64_t begin, end;
    fn_split_rows(a->m, FN_ROW_GRAIN(a->n), part, &begin, &end);
    FN_NAME(fn_rows_out) o = FN_NAME(fn_rows_begin)(a->y, a->ld_y, a->m, a->n, a->y != a->x, begin, part);
    int64_t r = begin;
    for (int64_t rows; vectors && (rows = FN_NAME(fn_columns_rows)(end - r, a->n)) > 0; r += rows)
        FN_NAME(fn_softmax_columns)(&o, a->x + r * a->ld_x, a->ld_x, rows, a->n);
    for (; r < end; r++) {
        FN_T *const y = o.row;
        const FN_T *const x = a->x + r * a->ld_x;
        if (vectors) {
            FN_NAME(fn_prefetch)(x);
            if (!o.block) FN_NAME(fn_prefetch_out)(y);
            FN_NAME(fn_softmax_short)(y, x, a->n, vectors);
        } else {
            FN_NAME(fn_softmax_long)(y, x, a->n);
        }
        FN_NAME(fn_row_done)(&o, o.block != NULL);
    }
    FN_NAME(fn_rows_end)(&o);
}

FN_DEFINE(softmax_fwd)
{
    if (a->n) FN_ROW_SWITCH(a->n, FN_NAME(fn_softmax_rows)(a, part, VECTORS));
}

/* One row; past: dx is in scratch. */
FN_INLINE void FN_NAME(fn_softmax_bwd_row)(FN_T *dx, const FN_T *dy, const FN_T *y, int64_t n, int past,
                                           const int vectors)
{
    const int64_t rest = n % LANES, whole = n - rest;
    if (vectors) {
        V g[4], p[4], sum = FN_V(0);
        FN_NAME(fn_prefetch)(dy);
        FN_NAME(fn_prefetch)(y);
        if (!past) FN_NAME(fn_prefetch_out)(dx);
        for (int v = 0; v < vectors; v++) {
            const int64_t count = FN_NAME(fn_row_count)(n, vectors, v);
            g[v] = FN_NAME(fn_load)(dy + v * LANES, count);
            p[v] = FN_NAME(fn_load)(y + v * LANES, count);
            sum = VF(fma)(g[v], p[v], sum);
        }
        const V mean = VF(set1)(VF(sum)(sum));
        for (int v = 0; v < vectors; v++) {
            const int64_t count = FN_NAME(fn_row_count)(n, vectors, v);
            FN_NAME(fn_store)(dx + v * LANES, VF(mul)(p[v], VF(sub)(g[v], mean)), count);
        }
    } else {
        V sum[4] = {FN_V(0), FN_V(0), FN_V(0), FN_V(0)};
        FN_ROW_SUMS(whole, sum[k] = VF(fma)(VF(load)(dy + i), VF(load)(y + i), sum[k]));
        const V last_dy = VF(load_part)(dy + whole, rest), last_y = VF(load_part)(y + whole, rest);
        sum[0] = VF(fma)(last_dy, last_y, sum[0]);
        const V mean = VF(set1)(FN_NAME(fn_sum4)(sum));
        for (int64_t i = 0; i < whole; i += LANES)
            VF(store)(dx + i, VF(mul)(VF(load)(y + i), VF(sub)(VF(load)(dy + i), mean)));
        VF(store_part)(dx + whole, VF(mul)(last_y, VF(sub)(last_dy, mean)), rest);
    }
}

FN_INLINE void FN_NAME(fn_softmax_bwd_rows)(const FN_NAME(fn_softmax_bwd_args) *a, const fn_part *part,
                                            const int vectors)
{
    const int apart = a->dx != a->dy && a->dx != a->y;
    int64_t begin, end;
    fn_split_rows(a->m, FN_ROW_GRAIN(a->n), part, &begin, &end);
    FN_NAME(fn_rows_out) o = FN_NAME(fn_rows_begin)(a->dx, a->ld_dx, a->m, a->n, apart, begin, part);
    for (int64_t r = begin; r < end; r++) {
        const int past = o.block != NULL;
        FN_NAME(fn_softmax_bwd_row)(o.row, a->dy + r * a->ld_dy, a->y + r * a->ld_y, a->n, past, vectors);
        FN_NAME(fn_row_done)(&o, past);
    }
    FN_NAME(fn_rows_end)(&o);
}

FN_DEFINE(softmax_bwd)
{
    if (a->n) FN_ROW_SWITCH(a->n, FN_NAME(fn_softmax_bwd_rows)(a, part, VECTORS));
}

/* ---- cross entropy ----
 * With s_j = z_j - max:  l = sum(t) log(sum_j e^s_j) - sum_j t_j s_j. Labels and targets differ in where t comes from:
 * keep + spread on the label and spread elsewhere, or keep * target + spread. */

typedef struct {
    FN_T keep, spread; /* 1 - smoothing, smoothing / n */
    int64_t m, n, ld_z, ld_target, ld_dz;
    FN_T *loss, *dz;
    const FN_T *z, *target, *weight;
    const int32_t *label;
    double scale;
} FN_NAME(fn_xent);

/* What a row leaves for its loss. */
typedef struct {
    FN_T sum[FN_ROW_BLOCK];    /* of e^s_j */
    FN_T target[FN_ROW_BLOCK]; /* of t_j */
    FN_T dot[FN_ROW_BLOCK];    /* of t_j s_j */
    FN_T weight[FN_ROW_BLOCK];
} FN_NAME(fn_xent_block);

/* t_j s_j; 0 where t_j is, be s_j -infinity. */
FN_INLINE V FN_NAME(fn_xent_term)(V t, V s)
{
    return VF(select)(VF(eq)(t, FN_V(0)), FN_V(0), VF(mul)(t, s));
}

/* Row r: its sums to place q of the block, its gradient, times factor, to dz unless that is NULL. past: dz is in
 * scratch. */
FN_INLINE void FN_NAME(fn_xent_short)(const FN_NAME(fn_xent) *c, int64_t r, FN_T *dz, FN_NAME(fn_xent_block) *b, int q,
                                      FN_T factor, int past, const int soft, const int vectors)
{
    const int64_t n = c->n;
    const FN_T *const z = c->z + r * c->ld_z;
    const V keep = VF(set1)(c->keep), spread = VF(set1)(c->spread);
    V e[4], t[4], largest = FN_V(-INFINITY);
    FN_NAME(fn_prefetch)(z);
    if (soft) FN_NAME(fn_prefetch)(c->target + r * c->ld_target);
    for (int v = 0; v < vectors; v++) {
        const int64_t count = FN_NAME(fn_row_count)(n, vectors, v);
        e[v] = FN_NAME(fn_load_row)(z + v * LANES, count);
        largest = VF(max)(e[v], largest);
        if (soft) {
            t[v] = VF(fma)(FN_NAME(fn_load)(c->target + r * c->ld_target + v * LANES, count), keep, spread);
        } else {
            const VM here = VF(eq)(VF(iota)(), VF(set1)((FN_T)(c->label[r] - v * LANES)));
            t[v] = VF(select)(here, VF(add)(keep, spread), spread);
        }
        t[v] = FN_NAME(fn_first)(t[v], count);
    }
    largest = VF(set1)(VF(largest)(largest));
    V sum = FN_V(0), target = FN_V(0), dot = FN_V(0);
    for (int v = 0; v < vectors; v++) {
        const V s = VF(sub)(e[v], largest);
        e[v] = FN_NAME(fn_exp)(s);
        sum = VF(add)(sum, e[v]);
        dot = VF(add)(dot, FN_NAME(fn_xent_term)(t[v], s));
        if (soft) target = VF(add)(target, t[v]);
    }
    b->sum[q] = VF(sum)(sum);
    b->dot[q] = VF(sum)(dot);
    b->target[q] = soft ? VF(sum)(target) : 1;
    if (!dz) return;
    const V share = VF(set1)(b->target[q] / b->sum[q]), f = VF(set1)(factor);
    if (!past) FN_NAME(fn_prefetch_out)(dz);
    for (int v = 0; v < vectors; v++)
        FN_NAME(fn_store)(dz + v * LANES, VF(mul)(f, VF(sub)(VF(mul)(e[v], share), t[v])),
                          FN_NAME(fn_row_count)(n, vectors, v));
}

FN_INLINE void FN_NAME(fn_xent_long)(const FN_NAME(fn_xent) *c, int64_t r, FN_T *dz, FN_NAME(fn_xent_block) *b, int q,
                                     FN_T factor, const int soft)
{
    const int64_t n = c->n, rest = n % LANES, whole = n - rest, label = soft ? 0 : c->label[r];
    const FN_T *const z = c->z + r * c->ld_z, *const target = soft ? c->target + r * c->ld_target : NULL;
    const FN_T highest = FN_NAME(fn_row_largest)(z, n), at_label = z[label] - highest;
    const V largest = VF(set1)(highest), keep = VF(set1)(c->keep), spread = VF(set1)(c->spread);
    V sum[4], total[4], dot[4], last_t = spread;
    for (int k = 0; k < 4; k++) sum[k] = total[k] = dot[k] = FN_V(0);
    FN_ROW_SUMS(whole, {
        FN_NAME(fn_prefetch)(z + i);
        if (soft) FN_NAME(fn_prefetch)(target + i);
        const V s = VF(sub)(VF(load)(z + i), largest);
        const V power = FN_NAME(fn_exp)(s);
        sum[k] = VF(add)(sum[k], power);
        if (soft) {
            const V t = VF(fma)(VF(load)(target + i), keep, spread);
            total[k] = VF(add)(total[k], t);
            dot[k] = VF(add)(dot[k], FN_NAME(fn_xent_term)(t, s));
        } else {
            dot[k] = VF(add)(dot[k], s);
        }
        if (dz) VF(store)(dz + i, power);
    });
    const V last_s = VF(sub)(FN_NAME(fn_load_row)(z + whole, rest), largest);
    const V last = FN_NAME(fn_first)(FN_NAME(fn_exp)(last_s), rest);
    sum[0] = VF(add)(sum[0], last);
    if (soft) {
        last_t = FN_NAME(fn_first)(VF(fma)(FN_NAME(fn_load)(target + whole, rest), keep, spread), rest);
        total[0] = VF(add)(total[0], last_t);
        dot[0] = VF(add)(dot[0], FN_NAME(fn_xent_term)(last_t, last_s));
    } else {
        dot[0] = VF(add)(dot[0], FN_NAME(fn_first)(last_s, rest));
    }
    b->sum[q] = FN_NAME(fn_sum4)(sum);
    b->target[q] = soft ? FN_NAME(fn_sum4)(total) : 1;
    b->dot[q] = FN_NAME(fn_sum4)(dot);
    if (!soft) b->dot[q] = (c->keep ? c->keep * at_label : 0) + (c->spread ? c->spread * b->dot[q] : 0);
    if (!dz) return;
    const V share = VF(set1)(b->target[q] / b->sum[q]), f = VF(set1)(factor);
    for (int64_t i = 0; i < whole; i += LANES) {
        const V t = soft ? VF(fma)(VF(load)(target + i), keep, spread) : spread;
        VF(store)(dz + i, VF(mul)(f, VF(sub)(VF(mul)(VF(load)(dz + i), share), t)));
    }
    VF(store_part)(dz + whole, VF(mul)(f, VF(sub)(VF(mul)(last, share), last_t)), rest);
    if (!soft) dz[label] -= factor * c->keep;
}

/* Rows r to r + rows - 1, of few columns. */
FN_INLINE void FN_NAME(fn_xent_columns)(const FN_NAME(fn_xent) *c, int64_t r, int64_t rows, FN_NAME(fn_rows_out) *out,
                                       FN_NAME(fn_xent_block) *b, const int soft)
{
    const int64_t n = c->n, block = FN_NAME(fn_columns_block)(n);
    const V keep = VF(set1)(c->keep), spread = VF(set1)(c->spread), hit = VF(add)(keep, spread);
    FN_T e[FN_COLUMNS_SIZE], t[FN_COLUMNS_SIZE], dots[LANES * FN_COLUMNS_MOST];
    FN_T label[FN_ROW_BLOCK] = {0}, factor[FN_ROW_BLOCK];
    for (int64_t q = 0; q < FN_ROW_BLOCK; q++) b->weight[q] = 1;
    if (c->weight) memcpy(b->weight, c->weight + r, (size_t)rows * sizeof(FN_T));
    for (int64_t q = 0; q < FN_ROW_BLOCK; q++) factor[q] = (FN_T)(c->scale * b->weight[q]);
    for (int64_t q = 0; !soft && q < rows; q++) label[q] = (FN_T)c->label[r + q];
    FN_NAME(fn_columns_load)(e, c->z + r * c->ld_z, c->ld_z, rows, n);
    if (soft) FN_NAME(fn_columns_load)(t, c->target + r * c->ld_target, c->ld_target, rows, n);

    for (int64_t q = 0; q < rows; q += LANES) {
        FN_T *const at_e = e + q / LANES * block, *const at_t = t + q / LANES * block;
        const V largest = FN_NAME(fn_columns_largest)(at_e, n), at = VF(load)(label + q);
        V dot = FN_V(0);
        for (int64_t j = 0; j < n; j++) {
            const V s = VF(sub)(VF(load)(at_e + j * LANES), largest);
            VF(store)(at_e + j * LANES, FN_NAME(fn_exp)(s));
            const VM here = VF(eq)(at, VF(set1)((FN_T)j));
            const V of_t = soft ? VF(fma)(VF(load)(at_t + j * LANES), keep, spread) : VF(select)(here, hit, spread);
            const V term = FN_NAME(fn_xent_term)(of_t, s);
            if (soft) VF(store)(at_t + j * LANES, of_t);
            VF(store)(dots + j * LANES, term);
            dot = VF(select)(here, term, dot);
        }
        if (soft || c->spread != 0) dot = FN_NAME(fn_columns_sum)(dots, n);
        VF(store)(b->dot + q, dot);
    }
    for (int64_t q = 0; q < rows; q += LANES) {
        const VM silent = VF(eq)(VF(load)(b->weight + q), FN_V(0));
        const V sum = FN_NAME(fn_columns_sum)(e + q / LANES * block, n);
        const V target = soft ? FN_NAME(fn_columns_sum)(t + q / LANES * block, n) : FN_V(1);
        VF(store)(b->sum + q, VF(select)(silent, FN_V(1), sum));
        VF(store)(b->dot + q, VF(select)(silent, FN_V(0), VF(load)(b->dot + q)));
        VF(store)(b->target + q, VF(select)(silent, FN_V(0), target));
    }
    if (!out->row) return;
    for (int64_t q = 0; q < rows; q += LANES) {
        FN_T *const at_e = e + q / LANES * block, *const at_t = t + q / LANES * block;
        const V share = VF(div)(VF(load)(b->target + q), VF(load)(b->sum + q)), f = VF(load)(factor + q);
        const V at = VF(load)(label + q);
        const VM silent = VF(eq)(VF(load)(b->weight + q), FN_V(0));
        for (int64_t j = 0; j < n; j++) {
            const VM here = VF(eq)(at, VF(set1)((FN_T)j));
            const V of_t = soft ? VF(load)(at_t + j * LANES) : VF(select)(here, hit, spread);
            const V gradient = VF(mul)(f, VF(sub)(VF(mul)(VF(load)(at_e + j * LANES), share), of_t));
            VF(store)(at_e + j * LANES, VF(select)(silent, FN_V(0), gradient));
        }
    }
    FN_NAME(fn_columns_store)(out, e, rows, n);
}

/* Rows begin to begin + rows, a block. */
FN_INLINE void FN_NAME(fn_xent_rows)(const FN_NAME(fn_xent) *c, int64_t begin, int64_t rows, FN_NAME(fn_rows_out) *out,
                                     const int soft, const int vectors)
{
    FN_NAME(fn_xent_block) b;
    const int64_t in_blocks = vectors ? FN_NAME(fn_columns_rows)(rows, c->n) : 0;
    if (in_blocks) FN_NAME(fn_xent_columns)(c, begin, in_blocks, out, &b, soft);
    for (int q = (int)in_blocks; q < rows; q++) {
        const int64_t r = begin + q;
        const FN_T weight = c->weight ? c->weight[r] : 1;
        FN_T *const dz = out->row;
        b.weight[q] = weight;
        if (weight == 0 || c->n == 0) {
            b.sum[q] = 1;
            b.target[q] = b.dot[q] = 0;
            if (dz && c->n) memset(dz, 0, (size_t)c->n * sizeof(FN_T));
        } else if (vectors) {
            FN_NAME(fn_xent_short)(c, r, dz, &b, q, (FN_T)(c->scale * weight), out->block != NULL, soft,
                                   vectors);
        } else {
            FN_NAME(fn_xent_long)(c, r, dz, &b, q, (FN_T)(c->scale * weight), soft);
        }
        FN_NAME(fn_row_done)(out, out->block != NULL);
    }
    for (int64_t i = 0; i < rows; i += LANES) {
        const int64_t count = rows - i < LANES ? rows - i : LANES;
        const V entropy = VF(mul)(FN_LOAD(b.target), FN_NAME(fn_log)(FN_LOAD(b.sum)));
        FN_NAME(fn_store)(c->loss + begin + i, VF(mul)(FN_LOAD(b.weight), VF(sub)(entropy, FN_LOAD(b.dot))), count);
    }
}

FN_INLINE void FN_NAME(fn_xent_part)(const FN_NAME(fn_xent) *c, const fn_part *part, const int soft, const int vectors)
{
    const int apart = c->dz != c->z && c->dz != c->target;
    int64_t begin, end;
    fn_split_rows(c->m, FN_ROW_GRAIN(c->n), part, &begin, &end);
    FN_NAME(fn_rows_out) out = FN_NAME(fn_rows_begin)(c->dz, c->ld_dz, c->m, c->n, apart, begin, part);
    for (int64_t r = begin; r < end; r += FN_ROW_BLOCK)
        FN_NAME(fn_xent_rows)(c, r, end - r < FN_ROW_BLOCK ? end - r : FN_ROW_BLOCK, &out, soft, vectors);
    FN_NAME(fn_rows_end)(&out);
}

FN_DEFINE(softmax_xent_labels)
{
    const FN_NAME(fn_xent) c = {
        .keep = FN_C(1 - a->smoothing), .spread = FN_C(a->smoothing / (double)(a->n ? a->n : 1)), .m = a->m, .n = a->n,
        .ld_z = a->ld_z, .ld_dz = a->ld_dz, .loss = a->loss, .dz = a->dz, .z = a->z, .weight = a->weight,
        .label = a->label, .scale = a->scale};
    FN_ROW_SWITCH(a->n, FN_NAME(fn_xent_part)(&c, part, 0, VECTORS));
}

FN_DEFINE(softmax_xent_targets)
{
    const FN_NAME(fn_xent) c = {
        .keep = FN_C(1 - a->smoothing), .spread = FN_C(a->smoothing / (double)(a->n ? a->n : 1)), .m = a->m, .n = a->n,
        .ld_z = a->ld_z, .ld_target = a->ld_target, .ld_dz = a->ld_dz, .loss = a->loss, .dz = a->dz, .z = a->z,
        .target = a->target, .weight = a->weight, .scale = a->scale};
    FN_ROW_SWITCH(a->n, FN_NAME(fn_xent_part)(&c, part, 1, VECTORS));
}
