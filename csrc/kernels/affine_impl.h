/* The three products of an affine layer, as problems for gemm_impl.h.
 *
 * a) relu and its derivative end the product in registers, the derivative with a factor: that of dropout behind relu. The
 *    other activations are applied by the part to its own rectangle afterwards, row by row, while it is in cache. */

/* Applies f (forward) or f' (backward) to this part's rectangle of an m by n result. */
static void FN_NAME(fn_end_fwd)(const FN_NAME(fn_affine_fwd_args) *a, const FN_T *z, int64_t ldz, const fn_part *part)
{
    int64_t i0 = 0, i1 = a->m, j0 = 0, j1 = a->n;
    if (part->count > 1) FN_NAME(fn_rectangle)(a->m, a->n, part, &i0, &i1, &j0, &j1);
    for (int64_t i = i0; i < i1 && j0 < j1; i++)
        FN_NAME(fn_act_fwd_range)(a->y + i * a->ld_y + j0, z + i * ldz + j0, j1 - j0, (int)a->kind, (FN_T)a->alpha);
}

FN_INLINE void FN_NAME(fn_scale_range)(FN_T *x, int64_t n, FN_T factor)
{
    const V by = VF(set1)(factor);
    FN_FLAT(x, 0, n, 0, VF(mul)(by, FN_LOAD(x)));
}

static void FN_NAME(fn_end_bwd)(const FN_NAME(fn_affine_bwd_dx_args) *a, const fn_part *part)
{
    int64_t i0 = 0, i1 = a->m, j0 = 0, j1 = a->k;
    if (part->count > 1) FN_NAME(fn_rectangle)(a->m, a->k, part, &i0, &i1, &j0, &j1);
    for (int64_t i = i0; i < i1 && j0 < j1; i++) {
        FN_T *const dx = a->dx + i * a->ld_dx + j0;
        if (a->s && a->kind != FN_ACT_linear)
            FN_NAME(fn_act_bwd_range)(dx, dx, a->s + i * a->ld_s + j0, j1 - j0, (int)a->kind, (FN_T)a->alpha);
        if (a->scale != 1) FN_NAME(fn_scale_range)(dx, j1 - j0, FN_C(a->scale));
    }
}

FN_DEFINE(affine_fwd)
{
    FN_T *const c = a->z ? a->z : a->y;
    const int64_t ldc = a->z ? a->ld_z : a->ld_y;
    const int relu_in_registers = a->kind == FN_ACT_relu && !a->z;
    const FN_NAME(fn_product) g = {
        .m = a->m, .n = a->n, .k = a->k, .a = a->x, .ra = a->ld_x, .ca = 1, .b = a->w, .rb = a->ld_w, .cb = 1, .c = c,
        .ldc = ldc, .bias = a->b, .floor = relu_in_registers ? 0 : -(FN_T)INFINITY, .precision = (int)a->precision,
        .may_be_sparse = FN_NAME(fn_may_be_sparse)(a->m, a->n, a->k)};
    FN_NAME(fn_multiply)(&g, part);
    if (a->z || (a->kind != FN_ACT_linear && a->kind != FN_ACT_relu)) FN_NAME(fn_end_fwd)(a, c, ldc, part);
}

FN_DEFINE(affine_bwd_dx)
{
    const int mask = a->s && a->kind == FN_ACT_relu;
    const FN_NAME(fn_product) g = {
        .m = a->m, .n = a->k, .k = a->n, .a = a->dy, .ra = a->ld_dy, .ca = 1, .b = a->w, .rb = 1, .cb = a->ld_w,
        .c = a->dx, .ldc = a->ld_dx, .floor = -(FN_T)INFINITY, .mask = mask ? a->s : NULL, .ldmask = a->ld_s,
        .scale = FN_C(a->scale), .precision = (int)a->precision,
        .may_be_sparse = FN_NAME(fn_may_be_sparse)(a->m, a->k, a->n)};
    FN_NAME(fn_multiply)(&g, part);
    if (!mask && ((a->s && a->kind != FN_ACT_linear) || a->scale != 1)) FN_NAME(fn_end_bwd)(a, part);
}

/* db[j] of `vectors` vectors of columns, the last of `count` elements, in the order of the rows. vectors: constant. */
FN_INLINE void FN_NAME(fn_column_sums)(const int vectors, FN_T *db, const FN_T *dy, int64_t ld, int64_t m,
                                       int64_t count)
{
    V sum[4] = {VF(set1)(0), VF(set1)(0), VF(set1)(0), VF(set1)(0)};
    const int whole = count == LANES ? vectors : vectors - 1;
    if (whole == vectors) {
        for (int64_t i = 0; i < m; i++, dy += ld)
            for (int v = 0; v < vectors; v++) sum[v] = VF(add)(sum[v], VF(load)(dy + v * LANES));
    } else {
        for (int64_t i = 0; i < m; i++, dy += ld) {
            for (int v = 0; v < vectors - 1; v++) sum[v] = VF(add)(sum[v], VF(load)(dy + v * LANES));
            sum[vectors - 1] = VF(add)(sum[vectors - 1], VF(load_part)(dy + (vectors - 1) * LANES, count));
        }
    }
    for (int v = 0; v < whole; v++) VF(store)(db + v * LANES, sum[v]);
    if (whole < vectors) VF(store_part)(db + whole * LANES, sum[whole], count);
}

/* db[j] for this part's columns. */
static void FN_NAME(fn_bias_gradient)(const FN_NAME(fn_affine_bwd_dw_args) *a, const fn_part *part)
{
    int64_t j0, j1;
    fn_split(a->n, 64 / (int64_t)sizeof(FN_T), part->index, part->count, &j0, &j1);
    for (int64_t j = j0; j < j1; j += 4 * LANES) {
        const int64_t width = j1 - j < 4 * LANES ? j1 - j : 4 * LANES, vectors = (width + LANES - 1) / LANES;
        const int64_t count = width - (vectors - 1) * LANES;
        switch (vectors) {
        case 1: FN_NAME(fn_column_sums)(1, a->db + j, a->dy + j, a->ld_dy, a->m, count); break;
        case 2: FN_NAME(fn_column_sums)(2, a->db + j, a->dy + j, a->ld_dy, a->m, count); break;
        case 3: FN_NAME(fn_column_sums)(3, a->db + j, a->dy + j, a->ld_dy, a->m, count); break;
        default: FN_NAME(fn_column_sums)(4, a->db + j, a->dy + j, a->ld_dy, a->m, count); break;
        }
    }
}

FN_DEFINE(affine_bwd_dw)
{
    const FN_NAME(fn_product) g = {
        .m = a->k, .n = a->n, .k = a->m, .a = a->x, .ra = 1, .ca = a->ld_x, .b = a->dy, .rb = a->ld_dy, .cb = 1,
        .c = a->dw, .ldc = a->ld_dw, .floor = -(FN_T)INFINITY, .precision = (int)a->precision,
        .may_be_sparse = FN_NAME(fn_may_be_sparse)(a->k, a->n, a->m)};
    FN_NAME(fn_multiply)(&g, part);
    if (a->db) FN_NAME(fn_bias_gradient)(a, part);
}
