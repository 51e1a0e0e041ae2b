/* Products whose A is sparse, as behind relu and dropout: its zeros are skipped. Read by gemm_impl.h, for instruction
 * sets that have FN_SPARSE (vec_<isa>.h). The result is that of the tiles to the bit, so a part may decide by what it finds
 * in its own rows.
 *
 * a) One row of A at a time: the sums of up to FN_SPARSE_VECTORS vectors of columns stand in registers, and each number
 *    of the row that is not 0 multiplies a row of B. That is a load for each multiply-add, so B has to come from L1: k
 *    goes in strips of FN_SPARSE_K, of which B is packed. From strip to strip the sums lie in scratch, side by side: at
 *    their places in C, often a power of two apart, they would push one another out of L2.
 * b) Loads bound it: 0.65 of the multiply-adds' rate where tiles reach 0.9, so it pays from about 30 % zeros on.
 *    Tried without gain (2026-11, Zen 5): the next strip of B asked for ahead, strips of 40 to 62 k by 8 to 14 vectors,
 *    rows of 4 vectors, which save no more than what finding the zeros costs. On Granite Rapids doubles reach 0.5: there
 *    the sums' way to L2 and back takes a third of the time, with strips of 32 to 48 k by 8 to 12 vectors alike; so from
 *    half zeros on (1.1 to 1.3 of the tiles), and only if rows and sums are asked for (FN_SPARSE_ASK): without,
 *    512x1024x1024 takes 1.27 of the time.
 * c) Which numbers are 0 is found once for all panels, a bit for each. A number of B that is not finite makes a NaN of 0
 *    as well: in its strip nothing is skipped.
 * d) Of a weight gradient x^T dy it may be dy that is sparse: then the transpose is computed, and turned at the end. */
#ifndef FN_GEMM_SPARSE_SHARED
#define FN_GEMM_SPARSE_SHARED
enum {
    FN_SPARSE_ROWS = 512, /* of a block: the sums of a panel take 3/8 of L2 with AVX-512 */
    FN_SPARSE_SUMS = FN_SPARSE_ROWS * FN_SPARSE_VECTORS * 64,
    FN_SPARSE_PANEL = FN_SPARSE_K * FN_SPARSE_VECTORS * 64,
    FN_SPARSE_LOOKS = 8,          /* rows, and vectors of each, by which a matrix is judged */
    FN_SPARSE_LEAST_ROWS = 32,    /* 16 do not pay for the packing of B (0.9 with 50 % zeros), 32 do (1.2) */
    FN_SPARSE_LEAST_VECTORS = 8   /* of columns */
};
#define FN_SPARSE_SHARE 0.375 /* of zeros, from which on it pays with a margin */
#define FN_SPARSE_TURN 0.1    /* so many more zeros of B pay for turning the result: 5 to 17 % of the time (2026-11) */
/* strips of FN_T for which there is scratch */
#define FN_SPARSE_STRIPS                                      \
    ((FN_SCRATCH_BYTES - FN_SPARSE_SUMS - FN_SPARSE_PANEL) / \
     (FN_SPARSE_ROWS * (FN_SPARSE_K * (int64_t)sizeof(FN_T) + (int64_t)sizeof(uint64_t))))
/* vectors of a panel: 8 or more, divided evenly among panels of 12 at most */
#define FN_SPARSE_LIST(U) U(6) U(7) U(8) U(9) U(10) U(11) U(12)
#endif

/* Rows of a panel: where sums come from and go to, and how many elements of the last vector there are; `ends`: with floor
 * and mask. */
typedef struct {
    const FN_T *from;
    int64_t ld_from, count_from;
    FN_T *to;
    int64_t ld_to, count_to;
    int ends;
    FN_T floor;
    const FN_T *mask;
    int64_t ldmask;
    FN_T scale;
} FN_NAME(fn_sums);

_Static_assert(FN_SPARSE_K % LANES == 0, "strips of A are packed as panels");

/* to = from + sum over q with bit q of the row's `kept` of a[q] b[q*nv*LANES + .], q upwards. Rows of a are ra apart,
 * words of kept `step`. nv: constant. */
FN_INLINE void FN_NAME(fn_kept_body)(const int nv, int64_t rows, const FN_T *a, int64_t ra, const uint64_t *kept,
                                     int64_t step, const FN_T *b, const FN_NAME(fn_sums) *s)
{
    const FN_T *from = s->from, *mask = s->mask;
    FN_T *to = s->to;
    const int64_t ld_from = s->ld_from, ld_to = s->ld_to, count_from = s->count_from, count_to = s->count_to;
    const int64_t last = (nv - 1) * LANES;
    for (int64_t i = 0; i < rows; i++, a += ra, kept += step, from += ld_from, to += ld_to) {
        V acc[FN_SPARSE_VECTORS];
        if (FN_SPARSE_ASK)
            for (int64_t q = 0; q < FN_SPARSE_K; q += FN_LINE) __builtin_prefetch(a + 2 * ra + q);
        if (FN_SPARSE_ASK_SUMS)
#pragma GCC unroll 12
            for (int v = 0; v < nv; v++) __builtin_prefetch(from + ld_from + v * LANES);
#pragma GCC unroll 12
        for (int v = 0; v < nv - 1; v++) acc[v] = VF(load)(from + v * LANES);
        acc[nv - 1] = VF(load_part)(from + last, count_from);
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
                const V scale = VF(set1)(s->scale);
#pragma GCC unroll 12
                for (int v = 0; v < nv; v++) {
                    const V by = v < nv - 1 ? VF(load)(mask + v * LANES) : VF(load_part)(mask + last, count_to);
                    acc[v] = VF(select)(VF(gt)(by, FN_V(0)), VF(mul)(scale, acc[v]), FN_V(0));
                }
                mask += s->ldmask;
            }
        }
#pragma GCC unroll 12
        for (int v = 0; v < nv - 1; v++) VF(store)(to + v * LANES, acc[v]);
        VF(store_part)(to + last, acc[nv - 1], count_to);
    }
}

#define FN_KEPT(nv)                                                                                         \
    static void FN_NAME(fn_kept_##nv)(int64_t rows, const FN_T *a, int64_t ra, const uint64_t *kept,        \
                                      int64_t step, const FN_T *b, const FN_NAME(fn_sums) *s)               \
    {                                                                                                       \
        FN_NAME(fn_kept_body)(nv, rows, a, ra, kept, step, b, s);                                           \
    }
FN_SPARSE_LIST(FN_KEPT)
#undef FN_KEPT

/* [nv - 1] */
static void (*const FN_NAME(fn_kept)[FN_SPARSE_VECTORS])(int64_t, const FN_T *, int64_t, const uint64_t *, int64_t,
                                                        const FN_T *, const FN_NAME(fn_sums) *) = {
#define FN_KEPT(nv) [nv - 1] = FN_NAME(fn_kept_##nv),
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

/* The share of zeros in `rows` rows of `length` numbers, of those that are looked at: from the first row to the last, and
 * others in each. */
static double FN_NAME(fn_zeros_share)(const FN_T *x, int64_t ld, int64_t rows, int64_t length)
{
    const int64_t vectors = length / LANES, looks = vectors < FN_SPARSE_LOOKS ? vectors : FN_SPARSE_LOOKS;
    int64_t zeros = 0;
    for (int64_t r = 0; r < FN_SPARSE_LOOKS; r++)
        for (int64_t v = 0; v < looks; v++) {
            const int64_t at = fn_even(vectors, FN_SPARSE_LOOKS * looks, FN_SPARSE_LOOKS * v + r) * LANES;
            const V seen = VF(load)(x + fn_even(rows - 1, FN_SPARSE_LOOKS - 1, r) * ld + at);
            zeros += __builtin_popcountll(VF(bits)(VF(eq)(seen, FN_V(0))));
        }
    return (double)zeros / (double)(FN_SPARSE_LOOKS * looks * LANES);
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
            for (int64_t y = 0; y < wide; y++) VF(store_part)(c + y * g->ldc, VF(load)(square + y * LANES), high);
        }
}

/* Rows [i, i + rows) of A, strips [first, first + strips) of k: copied where it is A's columns that lie in rows. */
typedef struct {
    int64_t i, rows, first, strips;
    const FN_T *a; /* of a strip: rows ra apart, strips `apart` */
    int64_t ra, apart;
    uint64_t *kept; /* [strips][rows] */
} FN_NAME(fn_sparse_block);

static inline int64_t FN_NAME(fn_strip_k)(const FN_NAME(fn_product) *g, int64_t strip)
{
    return g->k - strip * FN_SPARSE_K < FN_SPARSE_K ? g->k - strip * FN_SPARSE_K : FN_SPARSE_K;
}

/* Finds the zeros of the block; copies go to `copy`. */
static void FN_NAME(fn_find_zeros)(const FN_NAME(fn_product) *g, FN_NAME(fn_sparse_block) *block, FN_T *copy)
{
    const FN_NAME(fn_product) as_b = {.b = g->a, .rb = g->ra, .cb = g->ca};
    const int in_place = g->ca == 1;
    block->a = in_place ? g->a + block->i * g->ra + block->first * FN_SPARSE_K : copy;
    block->ra = in_place ? g->ra : FN_SPARSE_K;
    block->apart = in_place ? FN_SPARSE_K : block->rows * FN_SPARSE_K;
    for (int64_t s = 0; s < block->strips; s++) {
        const int64_t k = FN_NAME(fn_strip_k)(g, block->first + s);
        const FN_T *a = block->a + s * block->apart;
        uint64_t *kept = block->kept + s * block->rows;
        if (!in_place)
            FN_NAME(fn_pack_b)(copy + s * block->apart, &as_b, (block->first + s) * FN_SPARSE_K, k, FN_SPARSE_K,
                               block->i, block->rows);
        for (int64_t r = 0; r < block->rows; r++) kept[r] = FN_NAME(fn_kept_bits)(a + r * block->ra, k);
    }
}

/* The block by `nv` vectors of columns from j on, which are `width` columns; turned: as fn_sparse. */
static void FN_NAME(fn_sparse_panel)(const FN_NAME(fn_product) *g, const FN_NAME(fn_sparse_block) *block, const int turned,
                                     int64_t j, int64_t width, int64_t nv, FN_T *sums, FN_T *packed)
{
    const int64_t count = width - (nv - 1) * LANES;
    FN_T *const c = turned ? NULL : g->c + block->i * g->ldc + j;
    for (int64_t s = 0; s < block->strips; s++) {
        const int64_t p = (block->first + s) * FN_SPARSE_K, k = FN_NAME(fn_strip_k)(g, block->first + s);
        const uint64_t all = ((uint64_t)1 << k) - 1, *kept = block->kept + s * block->rows;
        FN_NAME(fn_sums) t = {.from = sums, .ld_from = nv * LANES, .count_from = LANES,
                              .to = sums, .ld_to = nv * LANES, .count_to = LANES,
                              .ends = p + k == g->k, .floor = g->floor, .ldmask = g->ldmask, .scale = g->scale,
                              .mask = g->mask ? g->mask + block->i * g->ldmask + j : NULL};
        if (p == 0) {
            t.from = g->bias ? g->bias + j : FN_NAME(fn_zeros);
            t.ld_from = 0;
            t.count_from = count;
        } else if (s == 0) { /* not turned: fn_multiply_sparse sees to it */
            t.from = c;
            t.ld_from = g->ldc;
            t.count_from = count;
        }
        if (s == block->strips - 1 && !turned) {
            t.to = c;
            t.ld_to = g->ldc;
            t.count_to = count;
        }
        FN_NAME(fn_pack_b)(packed, g, j, width, nv * LANES, p, k);
        const int skips = FN_NAME(fn_finite)(packed, k * nv);
        FN_NAME(fn_kept)[nv - 1](block->rows, block->a + s * block->apart, block->ra, skips ? kept : &all, skips, packed,
                                 &t);
    }
    if (turned) FN_NAME(fn_turn_back)(g, sums, nv * LANES, block->i, block->rows, j, width);
}

/* Rows [i0, i1) by columns [j0, j1). turned: the product is a transpose, C(i, j) = c[j*ldc + i]; it has no bias, floor or
 * mask then, and k is at most FN_SPARSE_STRIPS strips. */
static void FN_NAME(fn_sparse)(const FN_NAME(fn_product) *g, const int turned, int64_t i0, int64_t i1, int64_t j0,
                               int64_t j1, FN_T *scratch)
{
    const int64_t blocks = (i1 - i0 + FN_SPARSE_ROWS - 1) / FN_SPARSE_ROWS;
    const int64_t vectors = (j1 - j0 + LANES - 1) / LANES, panels = (vectors + FN_SPARSE_VECTORS - 1) / FN_SPARSE_VECTORS;
    const int64_t strips = (g->k + FN_SPARSE_K - 1) / FN_SPARSE_K;
    const int64_t turns = (strips + FN_SPARSE_STRIPS - 1) / FN_SPARSE_STRIPS;
    FN_T *const sums = scratch, *const packed = sums + FN_SPARSE_SUMS / sizeof(FN_T);
    FN_T *const copy = packed + FN_SPARSE_PANEL / sizeof(FN_T);
    uint64_t *const kept = (uint64_t *)(void *)(copy + FN_SPARSE_STRIPS * FN_SPARSE_ROWS * FN_SPARSE_K);
    for (int64_t b = 0; b < blocks; b++)
        for (int64_t turn = 0; turn < turns; turn++) {
            const int64_t i = i0 + fn_even(i1 - i0, blocks, b), first = fn_even(strips, turns, turn);
            FN_NAME(fn_sparse_block) block = {.i = i, .rows = i0 + fn_even(i1 - i0, blocks, b + 1) - i, .first = first,
                                              .strips = fn_even(strips, turns, turn + 1) - first, .kept = kept};
            FN_NAME(fn_find_zeros)(g, &block, copy);
            for (int64_t panel = 0; panel < panels; panel++) {
                const int64_t x = fn_even(vectors, panels, panel), nv = fn_even(vectors, panels, panel + 1) - x;
                const int64_t j = j0 + x * LANES, width = j1 - j < nv * LANES ? j1 - j : nv * LANES;
                FN_NAME(fn_sparse_panel)(g, &block, turned, j, width, nv, sums, packed);
            }
        }
}

/* Computes the part's rectangle if one of A and B is so sparse that it pays; else 0. Out of line: small products do not
 * come here. */
static __attribute__((noinline)) int FN_NAME(fn_multiply_sparse)(const FN_NAME(fn_product) *g, int64_t i0, int64_t i1,
                                                                 int64_t j0, int64_t j1, FN_T *scratch)
{
    const int64_t rows = i1 - i0, columns = j1 - j0, least = FN_SPARSE_LEAST_VECTORS * LANES;
    if (!FN_NAME(fn_may_be_sparse)(rows, columns, g->k)) return 0;
    const FN_T *const a = g->a + i0 * g->ra;
    double in_a = 0, in_b = 0;
    if (rows >= FN_SPARSE_LEAST_ROWS && columns >= least)
        in_a = g->ca == 1 ? FN_NAME(fn_zeros_share)(a, g->ra, rows, g->k) : FN_NAME(fn_zeros_share)(a, g->ca, g->k, rows);
    const int plain = !g->bias && !g->mask && g->floor == -(FN_T)INFINITY;
    const int turns = plain && g->ra == 1 && g->cb == 1 && g->k <= FN_SPARSE_STRIPS * FN_SPARSE_K;
    if (turns && columns >= FN_SPARSE_LEAST_ROWS && rows >= least)
        in_b = FN_NAME(fn_zeros_share)(g->b + j0, g->rb, g->k, columns);
    if (in_a > FN_SPARSE_SHARE && in_a + FN_SPARSE_TURN >= in_b) {
        FN_NAME(fn_sparse)(g, 0, i0, i1, j0, j1, scratch);
        return 1;
    }
    if (in_b <= FN_SPARSE_SHARE) return 0;
    const FN_NAME(fn_product) h = {.m = g->n, .n = g->m, .k = g->k, .a = g->b, .ra = 1, .ca = g->rb, .b = g->a,
                                   .rb = g->ca, .cb = 1, .c = g->c, .ldc = g->ldc, .floor = g->floor};
    FN_NAME(fn_sparse)(&h, 1, j0, j1, i0, i1, scratch);
    return 1;
}
