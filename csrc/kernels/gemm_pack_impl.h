/* Copies of A and B in the order in which the tiles of a product read them: A in tiles, k after k; B in panels of as many
 * columns as a tile has. Included by gemm_impl.h. */

/* The first row of a tile, of rows that make so many tiles. */
FN_INLINE int64_t FN_NAME(fn_tile_begin)(int64_t rows, int64_t tiles, int64_t tile, int64_t k)
{
    return k > FN_SORT_K ? fn_sorted(rows, tiles, tile) : fn_even(rows, tiles, tile);
}

/* to = the k elements at from; asks for the line of the same place a few rows on, which the next copies will read. */
static inline void FN_NAME(fn_copy)(FN_T *restrict to, const FN_T *restrict from, int64_t k, int64_t ahead)
{
    int64_t q = 0;
    for (; q + LANES <= k; q += LANES) {
        __builtin_prefetch(from + ahead + q);
        VF(store)(to + q, VF(load)(from + q));
    }
    if (q < k) VF(store_part)(to + q, VF(load_part)(from + q, k - q), k - q);
}

/* to[r*ldt + l] = from[l*ldf + r] for r < rows and all lanes l, 0 where l >= columns; both at most LANES. */
static void FN_NAME(fn_turn_part)(FN_T *to, int64_t ldt, const FN_T *from, int64_t ldf, int64_t columns, int64_t rows)
{
    FN_T square[LANES * LANES] __attribute__((aligned(64))), turned[LANES * LANES] __attribute__((aligned(64)));
    for (int64_t lane = 0; lane < LANES; lane++)
        VF(store)(square + lane * LANES, lane < columns ? VF(load_part)(from + lane * ldf, rows) : VF(set1)(0));
    VF(transpose)(turned, LANES, square, LANES);
    for (int64_t r = 0; r < rows; r++) VF(store)(to + r * ldt, VF(load)(turned + r * LANES));
}

/* Copies rows [i0, i1) of A, k values from p, into tiles, one after the other, k rows of FN_TILE_LD each: tile t has row i
 * of its own and value q at to[(t*k + q)*FN_TILE_LD + i]. What is past its rows is anything. */
static void FN_NAME(fn_pack_a)(FN_T *to, const FN_NAME(fn_product) *g, int64_t i0, int64_t i1, int64_t p, int64_t k)
{
    const int64_t rows = i1 - i0, tiles = (rows + FN_MR - 1) / FN_MR;
    for (int64_t tile = 0; tile < tiles; tile++, to += k * FN_TILE_LD) {
        const int64_t i = i0 + FN_NAME(fn_tile_begin)(rows, tiles, tile, k);
        const FN_T *const a = g->a + i * g->ra + p * g->ca;
        for (int64_t x = 0; x < FN_TILE_LD; x += LANES) {
            const int64_t there = g->m - i - x < LANES ? g->m - i - x : LANES;
            if (there <= 0) continue;
            const FN_T *const from = a + x * g->ra;
            if (g->ca != 1) {
                if (there == LANES)
                    for (int64_t q = 0; q < k; q++) {
                        __builtin_prefetch(from + (q + 4) * g->ca);
                        VF(store)(to + q * FN_TILE_LD + x, VF(load)(from + q * g->ca));
                    }
                else
                    for (int64_t q = 0; q < k; q++)
                        VF(store)(to + q * FN_TILE_LD + x, VF(load_part)(from + q * g->ca, there));
                continue;
            }
            for (int64_t q = 0; q < k; q += LANES) {
                if (there == LANES && k - q >= LANES)
                    VF(transpose)(to + q * FN_TILE_LD + x, FN_TILE_LD, from + q, g->ra);
                else
                    FN_NAME(fn_turn_part)(to + q * FN_TILE_LD + x, FN_TILE_LD, from + q, g->ra, there,
                                          k - q < LANES ? k - q : LANES);
            }
        }
    }
}

/* Copies columns [j, j + width) of B, k values from p, into panels of nr columns, one after the other (panel c at
 * to + c*nr*k, its rows nr apart); what is past width is 0. Several panels at a time, so that B is read along its rows. */
static void FN_NAME(fn_pack_b)(FN_T *to, const FN_NAME(fn_product) *g, int64_t j, int64_t width, int64_t nr, int64_t p,
                               int64_t k)
{
    if (g->cb == 1) {
        enum { whole = FN_NV(FN_MR) * LANES };
        for (int64_t group = 0; group < width; group += FN_PACK_PANELS * nr) {
            const int64_t end = width - group < FN_PACK_PANELS * nr ? width : group + FN_PACK_PANELS * nr;
            const int64_t even = nr == whole ? group + (end - group) / whole * whole : group;
            for (int64_t q = 0; q < k; q++) {
                const FN_T *from = g->b + (p + q) * g->rb + j;
                int64_t x = group;
                for (; x < even; x += whole)
#pragma GCC unroll 2
                    for (int64_t y = 0; y < whole; y += LANES) {
                        __builtin_prefetch(from + x + y + 4 * g->rb);
                        VF(store)(to + x * k + q * whole + y, VF(load)(from + x + y));
                    }
                for (; x < end; x += nr) {
                    FN_T *row = to + x * k + q * nr;
                    const int64_t left = width - x < nr ? width - x : nr;
                    FN_NAME(fn_copy)(row, from + x, left, 4 * g->rb);
                    for (int64_t y = left; y < nr; y++) row[y] = 0;
                }
            }
        }
        return;
    }
    for (int64_t x = 0; x < width; x += LANES) {
        const FN_T *from = g->b + (j + x) * g->cb + p;
        FN_T *column = to + x / nr * nr * k + x % nr;
        const int64_t columns = width - x < LANES ? width - x : LANES;
        for (int64_t q = 0; q < k; q += LANES) {
            const int64_t rows = k - q < LANES ? k - q : LANES;
            if (columns == LANES && rows == LANES) {
                VF(transpose)(column + q * nr, nr, from + q, g->cb);
                continue;
            }
            FN_NAME(fn_turn_part)(column + q * nr, nr, from + q, g->cb, columns, rows);
        }
    }
    for (int64_t x = (width + LANES - 1) / LANES * LANES; x % nr; x += LANES)
        for (int64_t q = 0; q < k; q++) VF(store)(to + x / nr * nr * k + q * nr + x % nr, VF(set1)(0));
}
