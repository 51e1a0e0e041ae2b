/* Products with few columns or few rows, for which tiles would be mostly empty: dot products of rows of A and columns of
 * B, or the transpose of C, computed as a few rows. Included by gemm_impl.h; fn_multiply chooses among them. */

/* mr by nc dot products of rows of A (ca == 1) and columns of B (rb == 1), summed along vectors. Of the two, what is read
 * once and does not stay in L1 is asked for ahead: the next tile's rows, or what is a little further in the columns. */
FN_INLINE void FN_NAME(fn_dot_tile)(const int mr, const int nc, const enum fn_ahead ahead, const FN_NAME(fn_product) *g,
                                    int64_t i, int64_t j)
{
    enum { near = FN_STREAM_AHEAD / sizeof(FN_T) };
    const FN_T *a = g->a + i * g->ra, *b = g->b + j * g->cb;
    V acc[4][4];
#pragma GCC unroll 4
    for (int r = 0; r < mr; r++)
#pragma GCC unroll 4
        for (int c = 0; c < nc; c++) acc[r][c] = VF(set1)(0);
    int64_t p = 0;
    for (; p + LANES <= g->k; p += LANES) {
        const int64_t beyond = p + near - g->k;
        const FN_T *const next = beyond < 0 ? b + p + near : b + nc * g->cb + (beyond < p ? beyond : p);
        V y[4];
#pragma GCC unroll 4
        for (int c = 0; c < nc; c++) {
            if (ahead == FN_AHEAD_COLUMNS) __builtin_prefetch(next + c * g->cb);
            y[c] = VF(load)(b + c * g->cb + p);
        }
#pragma GCC unroll 4
        for (int r = 0; r < mr; r++) {
            if (ahead == FN_AHEAD_ROWS) __builtin_prefetch(a + (r + mr) * g->ra + p);
            const V x = VF(load)(a + r * g->ra + p);
#pragma GCC unroll 4
            for (int c = 0; c < nc; c++) acc[r][c] = VF(fma)(x, y[c], acc[r][c]);
        }
    }
    if (p < g->k) {
        const int64_t count = g->k - p;
#pragma GCC unroll 4
        for (int r = 0; r < mr; r++)
#pragma GCC unroll 4
            for (int c = 0; c < nc; c++)
                acc[r][c] = VF(fma)(VF(load_part)(a + r * g->ra + p, count), VF(load_part)(b + c * g->cb + p, count),
                                    acc[r][c]);
    }
    FN_T sums[16]; /* whole vectors */
#ifdef FN_DEALS
    if (mr > 1 && mr * nc >= LANES / 2) {
        for (int first = 0; first < mr * nc; first += LANES) {
            V of[LANES];
#pragma GCC unroll 16
            for (int l = 0; l < LANES; l++) {
                const int at = first + l;
                of[l] = at < mr * nc ? acc[at / nc][at % nc] : FN_V(0);
            }
            VF(store)(sums + first, VF(sums)(of));
        }
    } else
#endif
        for (int at = 0; at < mr * nc; at++) sums[at] = VF(sum)(acc[at / nc][at % nc]);
    for (int r = 0; r < mr; r++)
        for (int c = 0; c < nc; c++) {
            const FN_T sum = sums[r * nc + c] + (g->bias ? g->bias[j + c] : 0);
            FN_T value = sum < g->floor ? g->floor : sum;
            if (g->mask) value = g->mask[(i + r) * g->ldmask + j + c] > 0 ? g->scale * value : 0;
            g->c[(i + r) * g->ldc + j + c] = value;
        }
}

FN_INLINE void FN_NAME(fn_dots)(const FN_NAME(fn_product) *g, int64_t i0, int64_t i1, int64_t j0, int64_t j1,
                               const enum fn_ahead ahead)
{
    for (int64_t i = i0; i < i1;) {
        const int64_t rows = i1 - i0 == 1 ? 1 : i1 - i < 4 ? i1 - i : 4;
        int64_t j = j0;
        if (rows == 4) {
            for (; j + 4 <= j1; j += 4) FN_NAME(fn_dot_tile)(4, 4, ahead, g, i, j);
            switch (j1 - j) {
            case 1: FN_NAME(fn_dot_tile)(4, 1, ahead, g, i, j); break;
            case 2: FN_NAME(fn_dot_tile)(4, 2, ahead, g, i, j); break;
            case 3: FN_NAME(fn_dot_tile)(4, 3, ahead, g, i, j); break;
            default: break;
            }
        } else {
            for (int64_t r = i; r < i + rows; r++) {
                for (j = j0; j + 4 <= j1; j += 4) FN_NAME(fn_dot_tile)(1, 4, ahead, g, r, j);
                for (; j < j1; j++) FN_NAME(fn_dot_tile)(1, 1, ahead, g, r, j);
            }
        }
        i += rows;
    }
}

/* Narrow C of rows of A: its columns of B are copied into rows of scratch first, where they are not such already. */
static void FN_NAME(fn_narrow)(const FN_NAME(fn_product) *g, const fn_part *part)
{
    FN_NAME(fn_product) h = *g;
    int64_t i0, i1, j0, j1;
    FN_NAME(fn_rectangle)(g->m, g->n, part, &i0, &i1, &j0, &j1);
    if (i0 >= i1) return;
    if (g->rb != 1) {
        FN_T *column = part->scratch;
        h.cb = (g->k + LANES - 1) / LANES * LANES + FN_ROW_PAD;
#if FN_DEALT
        if (g->n <= FN_DEALT && g->rb == g->n && g->cb == 1)
            FN_NAME(fn_deal)(column, h.cb, LANES, g->b, g->k, g->n);
        else
#endif
            for (int64_t p = 0; p < g->k; p++)
                for (int64_t j = 0; j < g->n; j++) column[j * h.cb + p] = g->b[p * g->rb + j];
        h.b = column;
        h.rb = 1;
    }
    if (g->k <= FN_NEXT_TILE / (int64_t)sizeof(FN_T))
        FN_NAME(fn_dots)(&h, i0, i1, 0, g->n, FN_AHEAD_ROWS);
    else
        FN_NAME(fn_dots)(&h, i0, i1, 0, g->n, FN_AHEAD_NOTHING);
}

/* Rows [i0, i1) of C of columns of A (ra == 1) and few columns of B: the transpose, few rows, is computed in scratch, in
 * strips. The order of sums is the same. */
static void FN_NAME(fn_transposed)(const FN_NAME(fn_product) *g, int64_t i0, int64_t i1, FN_T *rows)
{
    enum { strip = 1024 };
    for (int64_t i = i0; i < i1; i += strip) {
        const int64_t width = i1 - i < strip ? i1 - i : strip, ld = (width + LANES - 1) / LANES * LANES + FN_ROW_PAD;
        const int in_place = g->n == 1 && g->ldc == 1;
        FN_NAME(fn_product) h = {
            .m = g->n, .n = width, .k = g->k, .a = g->b, .ra = g->cb, .ca = g->rb, .b = g->a + i, .rb = g->ca, .cb = 1,
            .c = in_place ? g->c + i : rows, .ldc = ld, .floor = g->floor, .may_be_sparse = g->may_be_sparse};
        FN_NAME(fn_direct)(&h, 0, h.m, 0, width, NULL);
#if FN_DEALT
        if (g->n <= FN_DEALT && g->ldc == g->n && !in_place) {
            FN_NAME(fn_collect)(g->c + i * g->n, rows, ld, LANES, width, g->n);
            continue;
        }
#endif
        for (int64_t x = 0; x < width && !in_place; x++)
            for (int64_t j = 0; j < g->n; j++) g->c[(i + x) * g->ldc + j] = rows[j * ld + x];
    }
}

/* Narrow C of columns of A. With 10 columns of 16 lanes and k = 256 it takes half the time of vectors that are not full. */
static void FN_NAME(fn_narrow_transposed)(const FN_NAME(fn_product) *g, const fn_part *part)
{
    int64_t i0, i1, j0, j1;
    FN_NAME(fn_rectangle)(g->m, g->n, part, &i0, &i1, &j0, &j1);
    if (j0 >= j1) return; /* a grid of more parts than rows */
    FN_NAME(fn_transposed)(g, i0, i1, part->scratch);
}

/* How many of the last columns fill so little of a vector that they too are better transposed. Half a vector of
 * doubles is not worth it (2026-11, Zen 5: 4 of 100 columns are 7 to 10 % of the time in float, nothing in double). */
static int64_t FN_NAME(fn_left_over)(const FN_NAME(fn_product) *g)
{
    const int64_t left = g->n % LANES, most = FN_IS_f32 ? LANES / 2 : LANES / 4;
    const int turns = g->ra == 1 && g->ca != 1 && g->cb == 1 && !g->bias && !g->mask;
    const int counts = g->n > LANES && g->n <= 16 * LANES && g->m >= LANES && g->k >= 2 * LANES;
    return turns && counts && left <= most ? left : 0;
}
