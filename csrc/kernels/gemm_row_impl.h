/* One row of C. Included by gemm_impl.h. The order of each sum is the micro-kernel's. */

/* Ends sums at c, columns [j, j + width) of row i of C. */
FN_INLINE void FN_NAME(fn_end_of_row)(const FN_NAME(fn_product) *g, FN_T *c, int64_t i, int64_t j, int64_t width)
{
    for (int64_t x = 0; x < width; x++) {
        c[x] = c[x] < g->floor ? g->floor : c[x];
        if (g->may_be_sparse) c[x] += 0;
        if (g->mask) c[x] = g->mask[i * g->ldmask + j + x] > 0 ? g->scale * c[x] : 0;
    }
}

/* Columns [j0, j1) of row i: the rows of B are read as they lie, several at a time, while a strip of C stays in
 * L1. What is asked for ahead turns to the next rows at the end of the strip: beyond it lies another part's share (two
 * threads took up to twice as long). */
static void FN_NAME(fn_far_row)(const FN_NAME(fn_product) *g, int64_t i, int64_t j0, int64_t j1)
{
    enum { strip = 8192 / sizeof(FN_T), rows = 8, ahead = FN_STREAM_AHEAD / sizeof(FN_T) };
    const FN_T *const a = g->a + i * g->ra;
    for (int64_t j = j0; j < j1; j += strip) {
        const int64_t width = j1 - j < strip ? j1 - j : strip;
        FN_T *const c = g->c + i * g->ldc + j;
        for (int64_t x = 0; x < width; x++) c[x] = g->bias ? g->bias[j + x] : 0;
        for (int64_t p = 0; p < g->k;) {
            const FN_T *b = g->b + p * g->rb + j;
            const int64_t count = g->k - p < rows ? 1 : rows;
            int64_t x = 0;
            if (count == rows) {
                V w[rows];
#pragma GCC unroll 8
                for (int r = 0; r < rows; r++) w[r] = VF(set1)(a[(p + r) * g->ca]);
                for (; x + LANES <= width; x += LANES) {
                    V sum = VF(load)(c + x);
                    const int64_t beyond = x + ahead - width;
                    const FN_T *const next = beyond < 0 ? b + x + ahead : b + rows * g->rb + (beyond < x ? beyond : x);
#pragma GCC unroll 8
                    for (int r = 0; r < rows; r++) {
                        __builtin_prefetch(next + r * g->rb);
                        sum = VF(fma)(w[r], VF(load)(b + r * g->rb + x), sum);
                    }
                    VF(store)(c + x, sum);
                }
            }
            for (; x < width; x += LANES) {
                const int64_t left = width - x < LANES ? width - x : LANES;
                V sum = FN_NAME(fn_load)(c + x, left);
                for (int64_t r = 0; r < count; r++)
                    sum = VF(fma)(VF(set1)(a[(p + r) * g->ca]), FN_NAME(fn_load)(b + r * g->rb + x, left), sum);
                if (left < LANES)
                    VF(store_part)(c + x, sum, left);
                else
                    VF(store)(c + x, sum);
            }
            p += count;
        }
        FN_NAME(fn_end_of_row)(g, c, i, j, width);
    }
}

/* The same where L2 has B: sums stay in registers, and nothing is asked for. As many columns as are whole strips; returns
 * where those end. On Granite Rapids (2026-11) 157 GB/s instead of 135 from L2; from L3, where a network's other layers
 * have pushed B out, 26 instead of 30, so that a row of nine layers of 512 takes 1.05 of the time on one thread. */
FN_INLINE int64_t FN_NAME(fn_near_row)(const FN_NAME(fn_product) *g, int64_t i, int64_t j0, int64_t j1)
{
    enum { vectors = 16, strip = vectors * LANES };
    const FN_T *const a = g->a + i * g->ra;
    int64_t j = j0;
    for (; j + strip <= j1; j += strip) {
        V sum[vectors];
#pragma GCC unroll 16
        for (int v = 0; v < vectors; v++) sum[v] = g->bias ? VF(load)(g->bias + j + v * LANES) : VF(set1)(0);
        const FN_T *b = g->b + j;
        for (int64_t p = 0; p < g->k; p++, b += g->rb) {
            const V w = VF(set1)(a[p * g->ca]);
#pragma GCC unroll 16
            for (int v = 0; v < vectors; v++) sum[v] = VF(fma)(w, VF(load)(b + v * LANES), sum[v]);
        }
        FN_T *const c = g->c + i * g->ldc + j;
#pragma GCC unroll 16
        for (int v = 0; v < vectors; v++) VF(store)(c + v * LANES, sum[v]);
        FN_NAME(fn_end_of_row)(g, c, i, j, strip);
    }
    return j;
}
