/* Products whose A is sparse, as behind relu and dropout: its zeros are skipped. Read by gemm_impl.h, for instruction
 * sets that have FN_SPARSE (vec_<isa>.h). The result is that of all other forms to the bit, so a part may decide by what
 * it finds in its own rows.
 *
 * a) One row of A at a time: the sums of up to FN_SPARSE_VECTORS vectors of columns stand in registers, and each number
 *    of the row that is not 0 multiplies a row of B. That is a load for each multiply-add, so B has to come from L1: k
 *    goes in strips of FN_SPARSE_K, of which B is packed. From strip to strip the sums lie in scratch, side by side: at
 *    their places in C, often a power of two apart, they would push one another out of L2.
 * b) Loads bound it: 0.65 of the multiply-adds' rate where tiles reach 0.9, so it pays from about 30 % zeros on.
 * c) Which numbers are 0 is found while A is packed, a bit for each. A number of B that is not finite makes a NaN of 0
 *    as well: in its strip nothing is skipped.
 * d) Of a weight gradient x^T dy it may be dy that is sparse: then the transpose is computed, and turned at the end. */
#ifndef FN_GEMM_SPARSE_SHARED
#define FN_GEMM_SPARSE_SHARED
enum {
    FN_SPARSE_VECTORS = 12, /* of a panel: a strip of it takes 3/4 of L1 */
    FN_SPARSE_ROWS = 512,   /* of a block: the sums of a panel take 3/8 of L2 */
    FN_SPARSE_SUMS = FN_SPARSE_ROWS * FN_SPARSE_VECTORS * 64,
    FN_SPARSE_PANEL = FN_SPARSE_K * FN_SPARSE_VECTORS * 64,
    FN_SPARSE_LOOKS = 8,          /* rows, and vectors of each, by which a matrix is judged */
    FN_SPARSE_LEAST_ROWS = 48,    /* fewer do not pay for the packing of B */
    FN_SPARSE_LEAST_VECTORS = 8   /* of columns */
};
#define FN_SPARSE_SHARE 0.375 /* of zeros, from which on it pays with a margin */
/* strips of FN_T for which there is scratch */
#define FN_SPARSE_STRIPS                                      \
    ((FN_SCRATCH_BYTES - FN_SPARSE_SUMS - FN_SPARSE_PANEL) / \
     (FN_SPARSE_ROWS * (FN_SPARSE_K * (int64_t)sizeof(FN_T) + (int64_t)sizeof(uint64_t))))
#define FN_SPARSE_LIST(U) U(1) U(2) U(3) U(4) U(5) U(6) U(7) U(8) U(9) U(10) U(11) U(12)
#endif

/* Rows of a panel: where sums come from (rows ldi apart) and go to (ldt), `count` elements of the last vector; `ends`: with
 * floor and mask. */
typedef struct {
    const FN_T *init;
    int64_t ldi;
    FN_T *to;
    int64_t ldt;
    int64_t count;
    int ends;
    FN_T floor;
    const FN_T *mask;
    int64_t ldmask;
} FN_NAME(fn_sums);

/* to = init + sum over q with bit q of the row's `kept` of a[q] b[q*nv*LANES + .], q upwards. Rows of a are ra apart,
 * words of kept `step`. nv: constant. */
FN_INLINE void FN_NAME(fn_kept_body)(const int nv, int64_t rows, const FN_T *a, int64_t ra, const uint64_t *kept,
                                     int64_t step, const FN_T *b, const FN_NAME(fn_sums) *s)
{
    const FN_T *from = s->init, *mask = s->mask;
    FN_T *to = s->to;
    const int64_t ldi = s->ldi, ldt = s->ldt, count = s->count, last = (nv - 1) * LANES;
    for (int64_t i = 0; i < rows; i++, a += ra, kept += step, from += ldi, to += ldt) {
        V acc[FN_SPARSE_VECTORS];
        for (int64_t q = 0; FN_IS_f32 && q < FN_SPARSE_K; q += 16) __builtin_prefetch(a + 2 * ra + q);
#pragma GCC unroll 12
        for (int v = 0; v < nv - 1; v++) acc[v] = VF(load)(from + v * LANES);
        acc[nv - 1] = VF(load_part)(from + last, count);
#pragma GCC unroll 1
        for (uint64_t left = *kept; left; left &= left - 1) {
            const int64_t q = __builtin_ctzll(left);
            const FN_T *row = b + q * nv * LANES;
            const V x = VF(set1)(a[q]);
#pragma GCC unroll 12
            for (int v = 0; v < nv; v++) acc[v] = VF(fma)(x, VF(load)(row + v * LANES), acc[v]);
        }
        if (s->ends) {
            const V floor = VF(set1)(s->floor);
#pragma GCC unroll 12
            for (int v = 0; v < nv; v++) acc[v] = VF(max)(floor, VF(add)(acc[v], FN_V(0)));
            if (mask) {
#pragma GCC unroll 12
                for (int v = 0; v < nv; v++) {
                    const V by = v < nv - 1 ? VF(load)(mask + v * LANES) : VF(load_part)(mask + last, count);
                    acc[v] = VF(select)(VF(gt)(by, FN_V(0)), acc[v], FN_V(0));
                }
                mask += s->ldmask;
            }
        }
#pragma GCC unroll 12
        for (int v = 0; v < nv - 1; v++) VF(store)(to + v * LANES, acc[v]);
        VF(store_part)(to + last, acc[nv - 1], count);
    }
}

#define FN_KEPT(nv)                                                                                              \
    static void FN_NAME(fn_kept_##nv)(int64_t rows, const FN_T *a, int64_t ra, const uint64_t *kept, int64_t step, \
                                      const FN_T *b, const FN_NAME(fn_sums) *s)                                  \
    {                                                                                                            \
        FN_NAME(fn_kept_body)(nv, rows, a, ra, kept, step, b, s);                                                \
    }
FN_SPARSE_LIST(FN_KEPT)
#undef FN_KEPT

/* [nv - 1] */
static void (*const FN_NAME(fn_kept)[FN_SPARSE_VECTORS])(int64_t, const FN_T *, int64_t, const uint64_t *, int64_t,
                                                        const FN_T *, const FN_NAME(fn_sums) *) = {
#define FN_KEPT(nv) FN_NAME(fn_kept_##nv),
    FN_SPARSE_LIST(FN_KEPT)
#undef FN_KEPT
};

/* Bit q: element q of the k at `from` is not 0; NaN is not. */
FN_INLINE uint64_t FN_NAME(fn_kept_bits)(const FN_T *from, int64_t k)
{
    uint64_t zeros = 0;
    int64_t q = 0;
    for (; q + LANES <= k; q += LANES) zeros |= VF(bits)(VF(eq)(VF(load)(from + q), FN_V(0))) << q;
    if (q < k) zeros |= VF(bits)(VF(eq)(VF(load_part)(from + q, k - q), FN_V(0))) << q;
    return ~zeros & (((uint64_t)1 << k) - 1);
}

/* Whether all numbers of n vectors are finite. */
static int FN_NAME(fn_finite)(const FN_T *b, int64_t n)
{
    V sum[4] = {FN_V(0), FN_V(0), FN_V(0), FN_V(0)};
    int64_t x = 0;
    for (; x + 4 <= n; x += 4)
#pragma GCC unroll 4
        for (int v = 0; v < 4; v++) sum[v] = VF(fma)(VF(load)(b + (x + v) * LANES), FN_V(0), sum[v]);
    for (; x < n; x++) sum[0] = VF(fma)(VF(load)(b + x * LANES), FN_V(0), sum[0]);
    return VF(all)(VF(eq)(VF(add)(VF(add)(sum[0], sum[1]), VF(add)(sum[2], sum[3])), FN_V(0)));
}

/* Whether `rows` rows of `length` numbers have so many zeros that it pays to skip them, by a look at some. */
static int FN_NAME(fn_is_sparse)(const FN_T *x, int64_t ld, int64_t rows, int64_t length)
{
    const int64_t vectors = length / LANES, looks = vectors < FN_SPARSE_LOOKS ? vectors : FN_SPARSE_LOOKS;
    int64_t zeros = 0;
    for (int64_t r = 0; r < FN_SPARSE_LOOKS; r++)
        for (int64_t v = 0; v < looks; v++) {
            const FN_T *from = x + fn_even(rows, FN_SPARSE_LOOKS, r) * ld + (fn_even(vectors, looks, v) + r) % vectors * LANES;
            zeros += __builtin_popcountll(VF(bits)(VF(eq)(VF(load)(from), FN_V(0))));
        }
    return (double)zeros > FN_SPARSE_SHARE * (double)(FN_SPARSE_LOOKS * looks * LANES);
}

/* C(i, j) of a strip of rows and columns, its transpose in `sums` (row i, rows ld apart): the end of a turned product. */
static void FN_NAME(fn_turn_back)(const FN_NAME(fn_product) *g, const FN_T *sums, int64_t ld, int64_t i0, int64_t rows,
                                  int64_t j, int64_t width)
{
    FN_T square[LANES * LANES] __attribute__((aligned(64)));
    for (int64_t x = 0; x < width; x += LANES)
        for (int64_t i = 0; i < rows; i += LANES) {
            FN_T *const c = g->c + (j + x) * g->ldc + i0 + i;
            const int64_t high = rows - i < LANES ? rows - i : LANES, wide = width - x < LANES ? width - x : LANES;
            if (high == LANES && wide == LANES) {
                VF(transpose)(c, g->ldc, sums + i * ld + x, ld);
                continue;
            }
            VF(transpose)(square, LANES, sums + i * ld + x, ld);
            for (int64_t y = 0; y < wide; y++)
                VF(store_part)(c + y * g->ldc, VF(load)(square + y * LANES), high);
        }
}

/* Rows [i0, i1) by columns [j0, j1). turned: the product is a transpose, C(i, j) = c[j*ldc + i]; it has no bias, floor or
 * mask then, and j1 - j0 rows of C. */
static void FN_NAME(fn_sparse)(const FN_NAME(fn_product) *g, const int turned, int64_t i0, int64_t i1, int64_t j0,
                                      int64_t j1, FN_T *scratch)
{
    const int64_t blocks = (i1 - i0 + FN_SPARSE_ROWS - 1) / FN_SPARSE_ROWS;
    const int64_t vectors = (j1 - j0 + LANES - 1) / LANES, panels = (vectors + FN_SPARSE_VECTORS - 1) / FN_SPARSE_VECTORS;
    const int64_t room = FN_SPARSE_STRIPS;
    const int64_t all = (g->k + FN_SPARSE_K - 1) / FN_SPARSE_K, turns = (all + room - 1) / room;
    const int in_place = g->ca == 1;
    const int64_t ra = in_place ? g->ra : FN_SPARSE_K;
    FN_T *const sums = scratch, *const packed = sums + FN_SPARSE_SUMS / sizeof(FN_T);
    FN_T *const a = packed + FN_SPARSE_PANEL / sizeof(FN_T);
    uint64_t *const kept = (uint64_t *)(void *)(a + room * FN_SPARSE_ROWS * FN_SPARSE_K);
    for (int64_t block = 0; block < blocks; block++) {
        const int64_t i = i0 + fn_even(i1 - i0, blocks, block), rows = i0 + fn_even(i1 - i0, blocks, block + 1) - i;
        for (int64_t turn = 0; turn < turns; turn++) {
            const int64_t first = fn_even(all, turns, turn), strips = fn_even(all, turns, turn + 1) - first;
            const FN_NAME(fn_product) as_b = {.b = g->a, .rb = g->ra, .cb = g->ca};
            for (int64_t s = 0; s < strips; s++) {
                const int64_t p = (first + s) * FN_SPARSE_K, k = g->k - p < FN_SPARSE_K ? g->k - p : FN_SPARSE_K;
                const FN_T *strip = g->a + i * g->ra + p;
                if (!in_place) {
                    FN_NAME(fn_pack_b)(a + s * rows * FN_SPARSE_K, &as_b, p, k, FN_SPARSE_K, i, rows);
                    strip = a + s * rows * FN_SPARSE_K;
                }
                for (int64_t r = 0; r < rows; r++) kept[s * rows + r] = FN_NAME(fn_kept_bits)(strip + r * ra, k);
            }
            for (int64_t panel = 0; panel < panels; panel++) {
                const int64_t x = fn_even(vectors, panels, panel), nv = fn_even(vectors, panels, panel + 1) - x;
                const int64_t j = j0 + x * LANES, width = j1 - j < nv * LANES ? j1 - j : nv * LANES;
                const int64_t count = width - (nv - 1) * LANES;
                for (int64_t s = 0; s < strips; s++) {
                    const int64_t p = (first + s) * FN_SPARSE_K, k = g->k - p < FN_SPARSE_K ? g->k - p : FN_SPARSE_K;
                    const int begins = p == 0, ends = p + k == g->k;
                    const uint64_t whole = ((uint64_t)1 << k) - 1;
                    FN_T *const c = g->c + i * g->ldc + j;
                    FN_NAME(fn_sums) t = {.init = sums, .ldi = nv * LANES, .to = sums, .ldt = nv * LANES, .count = LANES};
                    if (begins) {
                        t.init = g->bias ? g->bias + j : FN_NAME(fn_zeros);
                        t.ldi = 0;
                        t.count = count;
                    } else if (s == 0 && !turned) {
                        t.init = c;
                        t.ldi = g->ldc;
                        t.count = count;
                    }
                    if (s == strips - 1 && !turned) {
                        t.to = c;
                        t.ldt = g->ldc;
                        t.count = count;
                    }
                    if (ends && !turned) {
                        t.ends = 1;
                        t.floor = g->floor;
                        t.mask = g->mask ? g->mask + i * g->ldmask + j : NULL;
                        t.ldmask = g->ldmask;
                    }
                    FN_NAME(fn_pack_b)(packed, g, j, width, nv * LANES, p, k);
                    const int skips = FN_NAME(fn_finite)(packed, k * nv);
                    FN_NAME(fn_kept)[nv - 1](rows, in_place ? g->a + i * g->ra + p : a + s * rows * FN_SPARSE_K, ra,
                                             skips ? kept + s * rows : &whole, skips, packed, &t);
                }
                if (turned) FN_NAME(fn_turn_back)(g, sums, nv * LANES, i, rows, j, width);
            }
        }
    }
}

/* Computes the part's rectangle if one of A and B is so sparse that it pays; else 0. */
static __attribute__((noinline)) int FN_NAME(fn_multiply_sparse)(const FN_NAME(fn_product) *g, int64_t i0, int64_t i1, int64_t j0, int64_t j1,
                                       FN_T *scratch)
{
    const int64_t rows = i1 - i0, columns = j1 - j0;
    if (rows * columns * g->k < FN_SPARSE_LEAST * LANES) return 0;
    if (rows >= FN_SPARSE_LEAST_ROWS && columns >= FN_SPARSE_LEAST_VECTORS * LANES) {
        const FN_T *const a = g->a + i0 * g->ra;
        if (g->ca == 1 ? FN_NAME(fn_is_sparse)(a, g->ra, rows, g->k) : FN_NAME(fn_is_sparse)(a, g->ca, g->k, rows)) {
            FN_NAME(fn_sparse)(g, 0, i0, i1, j0, j1, scratch);
            return 1;
        }
    }
    const int turns = g->ra == 1 && g->cb == 1 && !g->bias && !g->mask && g->floor == -(FN_T)INFINITY;
    if (turns && g->k <= FN_SPARSE_STRIPS * FN_SPARSE_K && columns >= FN_SPARSE_LEAST_ROWS && rows >= FN_SPARSE_LEAST_VECTORS * LANES &&
        FN_NAME(fn_is_sparse)(g->b + j0, g->rb, g->k, columns)) {
        const FN_NAME(fn_product) h = {.m = g->n, .n = g->m, .k = g->k, .a = g->b, .ra = 1, .ca = g->rb, .b = g->a,
                                       .rb = g->ca, .cb = 1, .c = g->c, .ldc = g->ldc, .floor = g->floor};
        FN_NAME(fn_sparse)(&h, 1, j0, j1, i0, i1, scratch);
        return 1;
    }
    return 0;
}
