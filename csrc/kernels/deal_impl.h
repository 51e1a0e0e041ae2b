/* Rows of one to four numbers that lie without gaps, turned into columns and back by permutations of a vector or two.
 * Included by all_impl.h before gemm_impl.h; read by products and losses of few columns.
 *
 * a) Only where the instruction set has such permutations (FN_DEALS, vec_<isa>.h); else FN_DEALT is 0 and neither is
 *    called.
 * b) Column j of rows r to r + LANES - 1 is the vector at place + j * apart + r / LANES * step. */
#undef FN_DEALT
#undef FN_DEALT_SWITCH

#ifdef FN_DEALS
#define FN_DEALT 4 /* columns at most */

/* Elements of the vector that is q vectors on, where `left` are left. */
static inline int64_t FN_NAME(fn_dealt_count)(int64_t left, int64_t q)
{
    const int64_t count = left - q * LANES;
    return count < 0 ? 0 : count < LANES ? count : LANES;
}

FN_INLINE void FN_NAME(fn_deal_few)(const int n, FN_T *to, int64_t apart, int64_t step, const FN_T *x, int64_t rows)
{
    for (int64_t r = 0; r < rows; r += LANES, to += step, x += LANES * n) {
        V v[FN_DEALT];
#pragma GCC unroll 4
        for (int q = 0; q < n; q++) v[q] = VF(load_part)(x + q * LANES, FN_NAME(fn_dealt_count)((rows - r) * n, q));
#pragma GCC unroll 4
        for (int j = 0; j < n; j++) VF(store)(to + j * apart, VF(deal)(v, n, j));
    }
}

FN_INLINE void FN_NAME(fn_collect_few)(const int n, FN_T *to, const FN_T *columns, int64_t apart, int64_t step,
                                       int64_t rows)
{
    for (int64_t r = 0; r < rows; r += LANES, to += LANES * n, columns += step) {
        V c[FN_DEALT];
#pragma GCC unroll 4
        for (int j = 0; j < n; j++) c[j] = VF(load)(columns + j * apart);
#pragma GCC unroll 4
        for (int q = 0; q < n; q++)
            VF(store_part)(to + q * LANES, VF(collect)(c, n, q), FN_NAME(fn_dealt_count)((rows - r) * n, q));
    }
}

/* A call with n as a constant. */
#define FN_DEALT_SWITCH(call, n, ...)                 \
    switch (n) {                                      \
    case 1: FN_NAME(call)(1, __VA_ARGS__); break;     \
    case 2: FN_NAME(call)(2, __VA_ARGS__); break;     \
    case 3: FN_NAME(call)(3, __VA_ARGS__); break;     \
    case 4: FN_NAME(call)(4, __VA_ARGS__); break;     \
    default: break;                                   \
    }

/* Rows of n <= FN_DEALT numbers at x into columns. Whole vectors are written; what is behind the last row is 0. */
static inline void FN_NAME(fn_deal)(FN_T *to, int64_t apart, int64_t step, const FN_T *x, int64_t rows, int64_t n)
{
    FN_DEALT_SWITCH(fn_deal_few, n, to, apart, step, x, rows);
}

/* The inverse: columns into rows at `to`. Whole vectors are read, `rows` rows are written. */
static inline void FN_NAME(fn_collect)(FN_T *to, const FN_T *columns, int64_t apart, int64_t step, int64_t rows,
                                       int64_t n)
{
    FN_DEALT_SWITCH(fn_collect_few, n, to, columns, apart, step, rows);
}

#else
#define FN_DEALT 0
#endif
