/* Rows of few columns, with rows as lanes: what softmax and the losses need of up to FN_COLUMNS_ROWS rows. Included by
 * all_impl.h before softmax_impl.h and loss_impl.h; reads transpose_<isa>.h, deal_impl.h.
 *
 * a) A row of few columns leaves lanes idle, and its largest element and its sum go across lanes, step after step. In a
 *    block of LANES rows that is transposed every lane is busy, and there is no step across.
 *    Up to FN_DEALT columns that lie without gaps are dealt out and collected by permutations (deal_impl.h); else each
 *    row has a load and a store of its own.
 * b) One block's steps wait for each other, so its callers do each step for several blocks before the next.
 * c) Sums are taken in the order of VF(sum): a row has the same bits in a block and alone, so the rest of the rows
 *    may be done row by row. */
#undef FN_COLUMNS_ROWS
#undef FN_COLUMNS_MOST
#undef FN_COLUMNS_SIZE
#undef FN_COLUMNS

/* Rows, columns that are held at most. */
#define FN_COLUMNS_ROWS 64
#define FN_COLUMNS_MOST (2 * LANES)
#define FN_COLUMNS_SIZE (FN_COLUMNS_ROWS * FN_COLUMNS_MOST)

/* Whether rows of n columns are taken in blocks: two whole vectors are as quick in their row. */
#define FN_COLUMNS(n) (LANES > 1 && (n) > 0 && (n) < FN_COLUMNS_MOST)

/* How many of the next rows are taken in blocks: whole ones, and the last if it is nearly whole. */
FN_INLINE int64_t FN_NAME(fn_columns_rows)(int64_t rows, int64_t n)
{
    if (!FN_COLUMNS(n)) return 0;
    if (rows > FN_COLUMNS_ROWS) rows = FN_COLUMNS_ROWS;
    return rows % LANES >= LANES * 3 / 4 ? rows : rows / LANES * LANES;
}

/* Elements of a block of n columns: whole squares. */
FN_INLINE int64_t FN_NAME(fn_columns_block)(int64_t n)
{
    return (n + LANES - 1) / LANES * LANES * LANES;
}

/* Blocks of rows: column j of the one that begins with row r is the vector at to + r / LANES * block + j * LANES. Lanes
 * behind the last row repeat it, or are 0. The rows after these are asked for (softmax_impl.h, fn_prefetch). */
static __attribute__((noinline)) void FN_NAME(fn_columns_load)(FN_T *to, const FN_T *x, int64_t ld, int64_t rows,
                                                              int64_t n)
{
#if FN_DEALT
    if (n <= FN_DEALT && ld == n) {
        FN_NAME(fn_deal)(to, LANES, LANES * LANES, x, rows, n);
        return;
    }
#endif
    const uintptr_t ahead = FN_COLUMNS_ROWS * sizeof(FN_T) * (uintptr_t)ld;
    for (int64_t r = 0; r < rows; r += LANES)
        for (int64_t c = 0; c < n; c += LANES, to += LANES * LANES) {
            const int64_t count = n - c < LANES ? n - c : LANES;
            FN_T near[LANES * LANES];
#pragma GCC unroll 16
            for (int64_t q = 0; q < LANES; q++) {
                const FN_T *const row = x + (r + q < rows ? r + q : rows - 1) * ld + c;
                __builtin_prefetch((const void *)((uintptr_t)row + ahead));
                VF(store)(near + q * LANES, VF(load_part)(row, count));
            }
            VF(transpose)(to, LANES, near, LANES);
        }
}

/* The largest of n columns, NaN left aside. */
FN_INLINE V FN_NAME(fn_columns_largest)(const FN_T *columns, int64_t n)
{
    V largest = FN_V(-INFINITY);
    for (int64_t j = 0; j < n; j++) largest = VF(max)(VF(load)(columns + j * LANES), largest);
    return largest;
}

/* The sum of n columns, as VF(sum) adds a row. */
FN_INLINE V FN_NAME(fn_columns_sum)(const FN_T *columns, int64_t n)
{
    if (n <= FN_DEALT) { /* what is left of the same steps; -0 would be 0 after the first */
        V few[4] = {FN_V(0), FN_V(0), FN_V(0), FN_V(0)};
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++)
            if (j < n) few[j] = VF(load)(columns + j * LANES);
        return VF(add)(VF(add)(VF(add)(few[0], few[2]), VF(add)(few[1], few[3])), FN_V(0));
    }
    V sum[LANES];
#pragma GCC unroll 16
    for (int j = 0; j < LANES; j++) {
        sum[j] = j < n ? VF(load)(columns + j * LANES) : FN_V(0);
        if (j + LANES < n) sum[j] = VF(add)(sum[j], VF(load)(columns + (j + LANES) * LANES));
    }
#pragma GCC unroll 4
    for (int half = LANES / 2; half > 0; half /= 2)
#pragma GCC unroll 8
        for (int j = 0; j < half; j++) sum[j] = VF(add)(sum[j], sum[j + half]);
    return sum[0];
}
