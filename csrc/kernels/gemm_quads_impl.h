/* Products of few columns, by fours of k: 16 lanes are four columns by four values of p. Read by gemm_impl.h, for
 * floats of instruction sets that have FN_QUADS (vec_avx512.h).
 *
 * a) With lanes as columns, 4 of 100 columns cost a vector in each p, 10 a whole one. Here four neighbours of a row of
 *    A stand in all quarters of a vector and multiply B in quads: B(p..p+3, j) in a quarter. Of n columns that are
 *    (n + 3) / 4 multiply-adds for four p, and as many fewer loads of A.
 * b) The order of a sum is s0 + s2 + (s1 + s3), then the bias, where s_q takes the p with p % 4 = q in turn. Rows that
 *    are too few to pay for the packing of B keep four sums instead: the same bits, however many rows there are.
 * c) A vector's quarters are columns `quads` apart (spread), so that packing takes rows of B as they lie and the sums
 *    of a row end up side by side (compact).
 * d) Up to seven rows lose by it where columns are left of a vector: 1 by 784 by 100 takes 2.30 us and not 1.90, 4 rows
 *    4.2 and not 3.7 (2026-11, Zen 5). Asking for rows of B ahead did not help; turns of 64 k did, 4 rows took 4.8. */
enum { FN_QUADS_MOST = 3, FN_QUADS_LEFT = 8, FN_QUADS_ROWS = 12, FN_QUADS_FEW = 8, FN_QUADS_BYTES = 16,
       FN_QUADS_STEP = 64 };

/* Vectors of quads of so many columns. */
static inline int FN_NAME(fn_quads)(int64_t columns) { return (int)((columns + 3) / 4); }

/* Columns [j, j + count) of B as quads: quarter l of vector c of a row of quads is column j + quads*l + c; 0 where B
 * ends. */
static void FN_NAME(fn_pack_quads)(FN_T *to, const FN_NAME(fn_product) *g, int64_t j, int64_t count)
{
    const int quads = FN_NAME(fn_quads)(count);
    const FN_T *b = g->b + j * g->cb;
    if (g->cb == 1) {
        for (int64_t p = 0; p < g->k; p += 4, to += quads * LANES) {
            V row[4];
            for (int64_t q = 0; q < 4; q++)
                row[q] = VF(spread)(p + q < g->k ? VF(load_part)(b + (p + q) * g->rb, count) : FN_V(0), quads);
            VF(turn)(row);
            for (int c = 0; c < quads; c++) VF(store)(to + c * LANES, row[c]);
        }
        return;
    }
    for (int64_t p = 0; p < g->k; p += 4, to += quads * LANES)
        for (int64_t x = 0; x < 4 * quads; x++) {
            FN_T *const quarter = to + x % quads * LANES + x / quads * 4;
            for (int64_t q = 0; q < 4; q++) quarter[q] = x < count && p + q < g->k ? b[x * g->cb + p + q] : 0;
        }
}

/* The end of a row's sums, columns [j, j + count): bias, floor, mask. */
FN_INLINE void FN_NAME(fn_end_quads)(const FN_NAME(fn_product) *g, int64_t i, int64_t j, int64_t count, V sum)
{
    if (g->bias) sum = VF(add)(sum, VF(load_part)(g->bias + j, count));
    sum = VF(max)(VF(set1)(g->floor), sum);
    if (g->mask) {
        const V kept = VF(mul)(VF(set1)(g->scale), sum);
        sum = VF(select)(VF(gt)(VF(load_part)(g->mask + i * g->ldmask + j, count), FN_V(0)), kept, FN_V(0));
    }
    VF(store_part)(g->c + i * g->ldc + j, sum, count);
}

/* Rows [i, i + mr), columns [j, j + count) from quads. mr, quads: constants. */
FN_INLINE void FN_NAME(fn_quads_tile)(const int mr, const int quads, const FN_NAME(fn_product) *g, int64_t i, int64_t j,
                                      int64_t count, const FN_T *b)
{
    const FN_T *a = g->a + i * g->ra;
    const int64_t ra = g->ra;
    V acc[FN_QUADS_ROWS][FN_QUADS_MOST];
    for (int r = 0; r < mr; r++)
        for (int c = 0; c < quads; c++) acc[r][c] = FN_V(0);
    int64_t p = 0;
    for (; p + 4 <= g->k; p += 4, b += quads * LANES) {
        V y[FN_QUADS_MOST];
        for (int c = 0; c < quads; c++) y[c] = VF(load)(b + c * LANES);
#pragma GCC unroll 12
        for (int r = 0; r < mr; r++) {
            const V x = VF(quad)(a + r * ra + p);
            for (int c = 0; c < quads; c++) acc[r][c] = VF(fma)(x, y[c], acc[r][c]);
        }
    }
    if (p < g->k)
#pragma GCC unroll 12
        for (int r = 0; r < mr; r++) {
            const V x = VF(quad_part)(a + r * ra + p, g->k - p);
            for (int c = 0; c < quads; c++) acc[r][c] = VF(fma)(x, VF(load)(b + c * LANES), acc[r][c]);
        }
#pragma GCC unroll 12
    for (int r = 0; r < mr; r++) {
        V s[4];
        for (int c = 0; c < 4; c++) s[c] = c < quads ? acc[r][c] : FN_V(0);
        VF(turn)(s);
        const V sum = VF(add)(VF(add)(s[0], s[2]), VF(add)(s[1], s[3]));
        FN_NAME(fn_end_quads)(g, i + r, j, count, VF(compact)(sum, quads));
    }
}

/* All rows by tiles of mr; the last tile does some again where they do not come out even. */
FN_INLINE void FN_NAME(fn_quads_rows)(const int mr, const int quads, const FN_NAME(fn_product) *g, int64_t i0,
                                      int64_t i1, int64_t j, int64_t count, const FN_T *b)
{
    for (int64_t i = i0; i < i1; i += mr)
        FN_NAME(fn_quads_tile)(mr, quads, g, i + mr <= i1 ? i : i1 - mr, j, count, b);
}

/* Goes on with the sums of mr rows from row i on, by k values from p; B is read where it lies. mr: constant. */
FN_INLINE void FN_NAME(fn_quads_on)(const int mr, V (*sums)[4], const FN_NAME(fn_product) *g, int64_t i, int64_t j,
                                    int64_t count, int64_t p, int64_t k)
{
    const FN_T *a = g->a + i * g->ra + p, *b = g->b + p * g->rb + j;
    V s[2][4];
    for (int r = 0; r < mr; r++)
        for (int q = 0; q < 4; q++) s[r][q] = sums[r][q];
    for (; k >= 4; k -= 4, a += 4, b += 4 * g->rb)
#pragma GCC unroll 4
        for (int q = 0; q < 4; q++) {
            const V y = VF(load_part)(b + q * g->rb, count);
            for (int r = 0; r < mr; r++) s[r][q] = VF(fma)(VF(set1)(a[r * g->ra + q]), y, s[r][q]);
        }
    if (k > 0) /* what is missing counts as 0, as in packed quads */
#pragma GCC unroll 4
        for (int q = 0; q < 4; q++) {
            const V y = q < k ? VF(load_part)(b + q * g->rb, count) : FN_V(0);
            for (int r = 0; r < mr; r++) s[r][q] = VF(fma)(VF(set1)(q < k ? a[r * g->ra + q] : 0), y, s[r][q]);
        }
    for (int r = 0; r < mr; r++)
        for (int q = 0; q < 4; q++) sums[r][q] = s[r][q];
}

/* Few rows [i0, i1): columns [j0, j) as they are, count more as quads, in turns along k: their lines are the same. */
static void FN_NAME(fn_few_by_quads)(const FN_NAME(fn_product) *g, int64_t i0, int64_t i1, int64_t j0, int64_t j,
                                     int64_t count)
{
    const int64_t rows = i1 - i0, nr = FN_NV(rows) * LANES;
    V sums[FN_QUADS_FEW][4];
    for (int64_t r = 0; r < rows; r++)
        for (int q = 0; q < 4; q++) sums[r][q] = FN_V(0);
    for (int64_t p = 0; p < g->k; p += FN_QUADS_STEP) {
        const int64_t k = g->k - p < FN_QUADS_STEP ? g->k - p : FN_QUADS_STEP;
        for (int64_t x = j0; x < j; x += nr)
            FN_NAME(fn_panel)(g, FN_NAME(fn_ukrs), i0, i1, x, j - x < nr ? j - x : nr, k, g->a + i0 * g->ra + p, g->ra,
                              1, g->b + p * g->rb + x, g->rb, p == 0, p + k == g->k, 0, NULL);
        int64_t r = 0;
        for (; r + 2 <= rows; r += 2) FN_NAME(fn_quads_on)(2, sums + r, g, i0 + r, j, count, p, k);
        if (r < rows) FN_NAME(fn_quads_on)(1, sums + r, g, i0 + r, j, count, p, k);
    }
    for (int64_t r = 0; r < rows; r++)
        FN_NAME(fn_end_quads)(g, i0 + r, j, count,
                              VF(add)(VF(add)(sums[r][0], sums[r][2]), VF(add)(sums[r][1], sums[r][3])));
}

/* Rows [i0, i1), columns [j, j + count). */
static void FN_NAME(fn_by_quads)(const FN_NAME(fn_product) *g, int64_t i0, int64_t i1, int64_t j, int64_t count,
                                 FN_T *scratch)
{
    FN_NAME(fn_pack_quads)(scratch, g, j, count);
    switch (FN_NAME(fn_quads)(count)) {
    case 1:
        if (i1 - i0 >= FN_QUADS_ROWS)
            FN_NAME(fn_quads_rows)(FN_QUADS_ROWS, 1, g, i0, i1, j, count, scratch);
        else if (i1 - i0 >= 4)
            FN_NAME(fn_quads_rows)(4, 1, g, i0, i1, j, count, scratch);
        else
            FN_NAME(fn_quads_rows)(1, 1, g, i0, i1, j, count, scratch);
        break;
    case 2:
        if (i1 - i0 >= FN_QUADS_FEW)
            FN_NAME(fn_quads_rows)(FN_QUADS_FEW, 2, g, i0, i1, j, count, scratch);
        else
            FN_NAME(fn_quads_rows)(1, 2, g, i0, i1, j, count, scratch);
        break;
    default:
        if (i1 - i0 >= FN_QUADS_FEW)
            FN_NAME(fn_quads_rows)(FN_QUADS_FEW, 3, g, i0, i1, j, count, scratch);
        else
            FN_NAME(fn_quads_rows)(1, 3, g, i0, i1, j, count, scratch);
    }
}

/* How many of the last columns are taken by quads: all of few, or those that fill at most half a vector. Asked of
 * columns and k alone, for a row of a prediction has the same bits among any number of others; not of a turned B in few
 * rows. */
static int64_t FN_NAME(fn_left_to_quads)(const FN_NAME(fn_product) *g)
{
    const int64_t left = g->n % LANES;
    if (g->ca != 1 || g->k < LANES || g->k * FN_QUADS_MOST * FN_QUADS_BYTES > FN_SCRATCH_BYTES / 2) return 0;
    if (g->cb != 1 && (g->rb != 1 || g->m <= FN_FEW_ROWS)) return 0;
    if (g->n <= 4 * FN_QUADS_MOST) return g->n;
    return g->n > LANES && g->n <= 16 * LANES && left <= FN_QUADS_LEFT ? left : 0;
}
