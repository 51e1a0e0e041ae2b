/* Sums in double, and counts of what was predicted right.
 *
 * a) A sum over FN_CHUNK elements keeps several vectors of double, so it is exact to a few units of double whatever the
 *    dtype; conversion and all are hidden behind the memory traffic. Chunks are the grain of splitting and of order.
 *    |x| of floats needs no conversion where bits can be moved (v_shrunk_f64); for squares that is slower, alone or in
 *    turns with conversions, of which there is one a cycle: two cycles a line of floats, from L1 as from L2 (2026-11,
 *    Zen 5).
 * b) The prediction is the first largest element of a row; the first NaN counts as the largest, as in NumPy. Whether it
 *    is at the label needs no search: all before are less than it, all after at most equal. */

#ifndef FN_SUM_SIDE
/* Vectors of double added side by side: at least 32 sums, and enough to hide the latency of one. */
#define FN_SUM_SIDE (FN_LANES_f64 >= 4 ? 8 : 32 / FN_LANES_f64)

static inline v_f64 fn_load_double_f32(const float *p) { return v_widen_f64(p); }
static inline v_f64 fn_load_double_f64(const double *p) { return v_load_f64(p); }

/* What is summed: x, x^2 or |x|. */
enum fn_term { FN_TERM_x, FN_TERM_square, FN_TERM_absolute };

/* One after the other: of chunks' sums there are few. */
static double fn_sum_in_order(const double *partial, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += partial[i];
    return sum;
}
#endif

/* Adds FN_SUM_SIDE vectors of terms. A multiply-add by 1 leaves the adders to the conversions. */
FN_INLINE void FN_NAME(fn_add_side)(v_f64 *sum, const FN_T *x, enum fn_term term)
{
    const v_f64 one = v_set1_f64(1);
#pragma GCC unroll 32
    for (int k = 0; k < FN_SUM_SIDE; k++) {
        v_f64 v = FN_NAME(fn_load_double)(x + k * FN_LANES_f64);
        if (term == FN_TERM_absolute) v = v_abs_f64(v);
        sum[k] = v_fma_f64(v, term == FN_TERM_square ? v : one, sum[k]);
    }
}

/* The sum of the terms (a constant) of n elements. */
FN_INLINE double FN_NAME(fn_sum_of)(const FN_T *x, int64_t n, enum fn_term term)
{
    enum { SIDE = FN_SUM_SIDE * FN_LANES_f64 };
    v_f64 sum[FN_SUM_SIDE];
    for (int k = 0; k < FN_SUM_SIDE; k++) sum[k] = v_set1_f64(0);
    int64_t i = 0;
    for (; i + SIDE <= n; i += SIDE) FN_NAME(fn_add_side)(sum, x + i, term);
    if (i < n) {
        FN_T rest[SIDE] = {0};
        memcpy(rest, x + i, (size_t)(n - i) * sizeof(FN_T));
        FN_NAME(fn_add_side)(sum, rest, term);
    }
    for (int half = FN_SUM_SIDE / 2; half > 0; half /= 2)
        for (int k = 0; k < half; k++) sum[k] = v_add_f64(sum[k], sum[k + half]);
    return v_sum_f64(sum[0]);
}

#if FN_IS_f32 && defined(FN_SHRUNK)
/* Adds 2^-896 |x| of four vectors. */
static inline __attribute__((always_inline)) void fn_add_shrunk(v_f64 *sum, const float *x)
{
    const v_f64 one = v_set1_f64(1);
#pragma GCC unroll 4
    for (int k = 0; k < 4; k++) {
        v_f64 odd;
        const v_f64 even = v_shrunk_f64(v_load_f32(x + k * FN_LANES_f32), &odd);
        sum[2 * k] = v_fma_f64(even, one, sum[2 * k]);
        sum[2 * k + 1] = v_fma_f64(odd, one, sum[2 * k + 1]);
    }
}

/* 2^-896 times the sum of |x| of n elements, without conversions; from 2^-768 on it may be anything. */
static double fn_sum_of_shrunk(const float *x, int64_t n)
{
    enum { SIDE = 4 * FN_LANES_f32 };
    v_f64 sum[8];
    for (int k = 0; k < 8; k++) sum[k] = v_set1_f64(0);
    int64_t i = 0;
    for (; i + SIDE <= n; i += SIDE) fn_add_shrunk(sum, x + i);
    if (i < n) {
        float rest[SIDE] = {0};
        memcpy(rest, x + i, (size_t)(n - i) * sizeof(float));
        fn_add_shrunk(sum, rest);
    }
    for (int half = 4; half > 0; half /= 2)
        for (int k = 0; k < half; k++) sum[k] = v_add_f64(sum[k], sum[k + half]);
    return v_sum_f64(sum[0]);
}
#endif

/* The sum of |x| of n elements. */
FN_INLINE double FN_NAME(fn_sum_of_absolute)(const FN_T *x, int64_t n)
{
#if FN_IS_f32 && defined(FN_SHRUNK)
    const double shrunk = fn_sum_of_shrunk(x, n);
    if (shrunk < 0x1p-768) return shrunk * 0x1p896;
#endif
    return FN_NAME(fn_sum_of)(x, n, FN_TERM_absolute);
}

/* The sums of the chunks of a part's share. */
FN_INLINE void FN_NAME(fn_sums_of_chunks)(double *partial, int64_t chunks, const FN_T *x, int64_t n, enum fn_term term,
                                          const fn_part *part)
{
    int64_t begin, end;
    fn_split(chunks, 8, part->index, part->count, &begin, &end);
    for (int64_t c = begin; c < end; c++) {
        const int64_t i = c * FN_CHUNK, left = n - i;
        const int64_t count = left < FN_CHUNK ? left : FN_CHUNK;
        partial[c] = term == FN_TERM_absolute ? FN_NAME(fn_sum_of_absolute)(x + i, count)
                                              : FN_NAME(fn_sum_of)(x + i, count, term);
    }
}

FN_DEFINE(square_sums)
{
    FN_NAME(fn_sums_of_chunks)(a->partial, a->chunks, a->x, a->n, FN_TERM_square, part);
}

FN_DEFINE(absolute_sums)
{
    FN_NAME(fn_sums_of_chunks)(a->partial, a->chunks, a->x, a->n, FN_TERM_absolute, part);
}

/* The sum of n elements, chunk by chunk. */
static double FN_NAME(fn_total)(const FN_T *x, int64_t n)
{
    double total = 0;
    for (int64_t i = 0; i < n; i += FN_CHUNK)
        total += FN_NAME(fn_sum_of)(x + i, n - i < FN_CHUNK ? n - i : FN_CHUNK, FN_TERM_x);
    return total;
}

FN_DEFINE(sum)
{
    if (part->index == 0) a->total[0] = FN_NAME(fn_total)(a->x, a->n);
}

FN_DEFINE(accumulate)
{
    if (part->index == 0) a->total[0] += a->factor * FN_NAME(fn_total)(a->x, a->n);
}

FN_DEFINE(accumulate_partial)
{
    if (part->index == 0) a->total[0] += a->factor * fn_sum_in_order(a->partial, a->c);
}

FN_DEFINE(inverse_sum)
{
    if (part->index != 0) return;
    const double total = FN_NAME(fn_total)(a->x, a->n);
    a->scale[0] = total == 0 ? 0 : 1 / total;
}

/* ---- counts -------------------------------------------------------------------------------------------------- */

/* Elements j to j + LANES - 1 of n; -infinity beyond the last. */
FN_INLINE V FN_NAME(fn_row_at)(const FN_T *z, int64_t j, int64_t n)
{
    return FN_NAME(fn_load_row)(z + j, n - j < LANES ? n - j : LANES);
}

/* The place of the first largest of n > 0 elements; one of them even if another thread writes to them meanwhile. */
static int64_t FN_NAME(fn_first_largest)(const FN_T *z, int64_t n)
{
    V best = VF(set1)(-(FN_T)INFINITY);
    int ordered = 1;
    for (int64_t j = 0; j < n; j += LANES) {
        const V x = FN_NAME(fn_row_at)(z, j, n);
        ordered &= VF(all)(VF(eq)(x, x));
        best = VF(max)(best, x);
    }
    int64_t at = 0;
    if (!ordered) {
        while (at < n - 1 && z[at] == z[at]) at++;
        return at;
    }
    const FN_T largest = VF(largest)(best);
    while (at + LANES < n && VF(all)(VF(gt)(VF(set1)(largest), FN_NAME(fn_row_at)(z, at, n)))) at += LANES;
    while (at < n - 1 && z[at] < largest) at++;
    return at;
}

/* Whether all of z[0 ... n - 1] are less than v, or at most v; v > -infinity. */
FN_INLINE int FN_NAME(fn_none_above)(const FN_T *z, int64_t n, V v, int equal)
{
    for (int64_t j = 0; j < n; j += LANES) {
        const V x = FN_NAME(fn_row_at)(z, j, n);
        if (!VF(all)(equal ? VF(ge)(v, x) : VF(gt)(v, x))) return 0;
    }
    return 1;
}

/* Whether the first largest of n elements is at `label`. */
FN_INLINE int FN_NAME(fn_largest_at)(const FN_T *z, int64_t n, int64_t label)
{
    const FN_T v = z[label];
    if (!(v > -(FN_T)INFINITY)) return FN_NAME(fn_first_largest)(z, n) == label;
    const V all = VF(set1)(v);
    return FN_NAME(fn_none_above)(z + label, n - label, all, 1) && FN_NAME(fn_none_above)(z, label, all, 0);
}

FN_DEFINE(correct_labels)
{
    int64_t begin, end;
    fn_split_rows(a->m, FN_LINE, part, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        const int hit = a->n > 0 && FN_NAME(fn_largest_at)(a->z + i * a->ld_z, a->n, a->label[i]);
        const FN_T weight = a->weight ? a->weight[i] : 1;
        a->correct[i] = hit ? weight : 0;
    }
}

FN_DEFINE(correct_targets)
{
    int64_t begin, end;
    fn_split_rows(a->m, FN_LINE, part, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        int hit = 0;
        if (a->n > 0) {
            const int64_t label = FN_NAME(fn_first_largest)(a->target + i * a->ld_target, a->n);
            hit = FN_NAME(fn_largest_at)(a->z + i * a->ld_z, a->n, label);
        }
        const FN_T weight = a->weight ? a->weight[i] : 1;
        a->correct[i] = hit ? weight : 0;
    }
}

FN_DEFINE(correct_binary)
{
    const FN_T threshold = FN_C(a->threshold), half = FN_C(0.5);
    int64_t begin, end;
    fn_split_rows(a->m, FN_LINE, part, &begin, &end);
    for (int64_t i = begin; i < end; i++) {
        const FN_T *restrict z = a->z + i * a->ld_z, *restrict target = a->target + i * a->ld_target;
        int64_t hits = 0;
        for (int64_t j = 0; j < a->n; j += FN_CHUNK) {
            const int64_t stop = a->n - j < FN_CHUNK ? a->n : j + FN_CHUNK;
            int32_t count = 0;
            for (int64_t k = j; k < stop; k++) count += (z[k] > threshold) == (target[k] > half);
            hits += count;
        }
        const double share = a->n > 0 ? (double)hits / (double)a->n : 0;
        a->correct[i] = FN_C(a->weight ? (double)a->weight[i] * share : share);
    }
}
