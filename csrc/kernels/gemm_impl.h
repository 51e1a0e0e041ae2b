/* Matrix products: C = A B with a start (bias, zero) and an end (activation, derivative) fused, any of A, B transposed.
 *
 * a) One micro-kernel for all: mr rows by nv vectors of C in registers, one multiply-add per element and k, in order.
 *    It is instantiated for every (mr, nv) up to the instruction set's tile (FN_MR, FN_NV(mr), set by isa_<isa>.c), so
 *    edges in m cost no wasted rows; the edge in n is a part vector.
 * b) Every element of C is start, then k multiply-adds in order of k, in FN_T: blocking, packing and the number of
 *    parts change where a sum pauses in memory, never its bits. Only the narrow forms (fn_dots, gemm_quads_impl.h) sum
 *    along vectors, and the matrix unit (gemm_amx_impl.h) by 32 k; they are chosen by the whole problem's shape. Where
 *    zeros of A may be left out (gemm_sparse_impl.h) a zero of C has lost its sign.
 * c) Strides do the transposition of A: element (i, p) is a[i*ra + p*ca], one of them 1. B is read as rows of vectors:
 *    copied into panels where it is transposed, large, or its rows lie badly, read in place otherwise. A panel is used at
 *    once, while the caches have it, as long as they also hold all rows of A (FN_ROWS_BYTES). Else A is copied too, and
 *    where each k of a transposed A lies on another page: into tiles that are read along. Where A is not copied the last
 *    panel is a vector wider if a panel of one vector would be left: that has too few sums for its loads (FN_ODD_ROWS).
 * d) Loops from outside: columns NC, k KC, rows MC, panels of B, tiles of A. Of a single block of A panels of B are packed
 *    by eights and used at once (1.04 to 1.13 of 100 to 200 rows of float64, Granite Rapids, 2026-11-24). During the last
 *    panels of a block of A the tiles ask for the rows of the next (fn_asked), which halves the time of packing them.
 * e) A result of few rows or columns is a set of dot products or a sum of rows: forms of their own at the end.
 *
 * Tried without gain on Zen 5 (2026-11-21; at 1024^3 the tiles take 102 % of the multiply-adds' time, packing B 2.4 %,
 * packing A 1 to 3 %): huge pages for scratch, blocks of A as high as there is room for at smaller k, half the k for
 * weight gradients, the next panel of B asked for in the micro-kernel, KC of 256 to 768, 16 or
 * 32 panels packed side by side, rows asked for further ahead in packing. Narrow results of short rows (k below 16 for each
 * column) by vectors that are not full instead of dot products: 0.6 to 1.05 of their speed.
 * On Cascade Lake (2026-11-22): blocks of B in L2 below which the tiles of A pass through L1, k of 192 to 768: 0.93 to 0.97
 * at 1024^3, where a tile whose B comes from L2 takes 1.03 of the multiply-adds' time, from L3 1.2; tiles that ask for the
 * next panel of B before it is copied: 1.00; that ask for C ahead where two threads write it: 0.95 to 1.02; at 4096x512x512
 * blocks of A as high as L2 has room for, a transposed A copied row by row of memory: 0.98 to 1.03.
 * On Granite Rapids (2026-11-24): panels packed by eights and used at once for the first of several blocks of A: 0.97 to
 * 1.01; tiles of 6 rows by 4 vectors where k is 16 (FN_SHORT_K): 0.75 to 1.05. */

#ifndef FN_GEMM_SHARED
#define FN_GEMM_SHARED
#ifndef FN_BF16
#define FN_BF16 0
#endif
#ifndef FN_AMX
#define FN_AMX 0
#endif
#ifndef FN_QUADS
#define FN_QUADS 0
#endif
#ifndef FN_SPARSE
#define FN_SPARSE 0
#endif
#ifndef FN_ODD_ROWS
#define FN_ODD_ROWS 0
#endif
#ifndef FN_UKR_LIST_AHEAD
#define FN_UKR_LIST_AHEAD(U)
#endif
#ifndef FN_KC
#define FN_KC 1024                             /* k of a block: C is read and written seldom */
#define FN_KC_TURNED FN_KC                     /* the same where A is transposed */
#define FN_MC_TILES ((int64_t)(4 + 8 / sizeof(FN_T))) /* tiles of A in a block of FN_KC: half of L2 */
#endif
#ifndef FN_ASK_A
#define FN_ASK_A 0                             /* k of a packed tile of A that are asked for ahead */
#endif
#ifndef FN_SHORT_K
#define FN_SHORT_K 0                           /* k of a transposed A up to which C, row after row, costs most: tiles */
#define FN_SHORT_ROWS FN_MR                    /* are so many rows, of more columns */
#endif
#define FN_SHORT_BYTES (32 << 10)              /* of C up to which L1 holds it, and tiles may be high */
#ifndef FN_FAR_BYTES
#define FN_FAR_BYTES (256 << 10)               /* bytes of C from which on it is asked for ahead */
#endif
#define FN_PANEL_K 1024                        /* k of a panel of B that is used at once */
#define FN_NC_BYTES (4 << 20)                  /* bytes of packed B: wide enough that A is seldom copied twice */
#define FN_ROW_PAD 16                          /* elements after each copied column, each row of words */
#define FN_PACK_ROWS 64                        /* rows of C from which on a copy of B pays whose lines do not fit */
#define FN_CROSS_BYTES (16 << 10)              /* bytes of B above which rows that cross lines cost more than a copy */
#define FN_LARGE_BYTES (768 << 10)             /* bytes of B above which a copy pays from two tiles on */
#define FN_MANY_TILES 3                        /* of rows: from here on it pays above FN_DIRECT_BYTES */
#define FN_WAY_BYTES 4096                      /* of L1: rows that are so far apart share its sets */
#define FN_FAR_ROW_BYTES 1000                  /* bytes from row to row from which on rows share sets of L1, and pages few */
#define FN_ASK_B 16                            /* rows of a panel of B that are asked for ahead */
#define FN_PACK_PANELS 8                       /* panels of B that are packed side by side */
#ifndef FN_NEAR_ROW_BYTES
#define FN_NEAR_ROW_BYTES 0                    /* of B up to which one row's product expects it in L2 */
#endif
#define FN_STREAM_AHEAD 512                    /* bytes asked for ahead in rows that are read once */
#define FN_NEXT_TILE 4096                      /* bytes of rows of A that L1 holds eight of: the next four are asked for */
#define FN_AHEAD_PANELS 2                      /* panels of B in whose tiles the next block of A is asked for */
#define FN_ASK_BYTES (1 << 20)                 /* bytes of A up to which L2 holds it anyway */
#define FN_SORT_K 512                          /* k above which tiles are sorted: blocks of tiles of one height gain 2 to
                                                  3 % at k = 1024, lose 1 % at 256 */
#define FN_NARROW 4                            /* columns up to which a result is narrow */
#define FN_NARROW_TRANSPOSED 15                /* the same where A is transposed and k is long */
#define FN_NARROW_ROWS 64                      /* grain of rows in which a narrow result is divided */
#define FN_FEW_ROWS 8                          /* rows up to which B is not transposed for them */
#define FN_AMX_ROWS 16                         /* of a register of the matrix unit */
#define FN_SPARSE_K 48                         /* k of a strip of a sparse product: whole vectors, fewer than a word's bits */
#define FN_SPARSE_VECTORS 12                   /* of a panel of it, the widest there is: 3/4 of L1 with AVX-512 */
#ifndef FN_SPARSE_ASK                          /* whether the row after the next, and the next sums, are asked for: */
#define FN_SPARSE_ASK FN_IS_f32                /* twice as many lines of doubles cost 5 % on Zen 5 and bring nothing */
#define FN_SPARSE_ASK_SUMS 0
#endif
#define FN_SPARSE_LEAST_K 16                   /* k of the shortest: a whole vector to look at */
#define FN_SPARSE_LEAST (1 << 17)              /* multiply-adds of vectors below which looking for zeros takes too long */

/* What dot products ask for ahead of its use; the constant that selects the code of a loop. */
enum fn_ahead { FN_AHEAD_NOTHING, FN_AHEAD_ROWS, FN_AHEAD_COLUMNS };

/* n items over `tiles` tiles as evenly as can be: the first item of tile i. fn_sorted: the larger tiles come first. */
static inline int64_t fn_even(int64_t n, int64_t tiles, int64_t i) { return fn_quotient(n * i, tiles); }
static inline int64_t fn_sorted(int64_t n, int64_t tiles, int64_t i)
{
    const int64_t each = fn_quotient(n, tiles), rest = n - each * tiles;
    return each * i + (i < rest ? i : rest);
}
#endif

#include "gemm_tile_impl.h"

/* One product. C(i,j) = end(start(j) + sum_p A(i,p) B(p,j)); A(i,p) = a[i*ra + p*ca], B(p,j) = b[p*rb + j*cb], one of
 * rb, cb is 1. bias may be NULL; mask as in the tile; C overlaps no input. */
typedef struct {
    int64_t m, n, k;
    const FN_T *a;
    int64_t ra, ca;
    const FN_T *b;
    int64_t rb, cb;
    FN_T *c;
    int64_t ldc;
    const FN_T *bias;
    FN_T floor;
    const FN_T *mask;
    int64_t ldmask;
    FN_T scale; /* with a mask */
    int precision; /* fn_precision */
    int may_be_sparse; /* fn_may_be_sparse: a zero of a tile is 0, never -0 */
} FN_NAME(fn_product);

static const FN_T FN_NAME(fn_zeros)[FN_SPARSE_VECTORS * 64 / sizeof(FN_T)] __attribute__((aligned(64))) = {0};

/* Whether an m by n product over k is so large that zeros of A may be left out of its sums. */
FN_INLINE int FN_NAME(fn_may_be_sparse)(int64_t m, int64_t n, int64_t k)
{
    return FN_SPARSE && k >= FN_SPARSE_LEAST_K && m * n * k >= FN_SPARSE_LEAST * LANES;
}

/* What tiles ask ahead for: a line with each k, `step` apart; the next tile begins `tile` further; `tiles` are left. */
typedef struct {
    const FN_T *next;
    int64_t step, tile, tiles;
} FN_NAME(fn_asked);

#include "gemm_pack_impl.h"

/* All tiles of rows [i0, i1) by one panel of columns [j, j + width) over k values, from a (its row i0) and b (row 0 of
 * the panel). first: starts from the bias; last: ends with floor and mask. asked: may be NULL. */
static void FN_NAME(fn_panel)(const FN_NAME(fn_product) *g, const FN_NAME(fn_ukr) (*ukrs)[FN_NV_MAX][2], int64_t i0,
                              int64_t i1, int64_t j, int64_t width, int64_t k, const FN_T *a, int64_t ra, int64_t ca,
                              const FN_T *b, int64_t rb, int first, int last, int packed, FN_NAME(fn_asked) *asked)
{
    FN_NAME(fn_tile) t;
    const int64_t nv = (width + LANES - 1) / LANES, rest = width - (nv - 1) * LANES;
    enum { odd_rows = FN_ODD_ROWS > 0 ? FN_ODD_ROWS : FN_MR };
    const int64_t rows = i1 - i0; /* constants divide at the price of a multiplication */
    const int64_t tiles = !packed && rows >= FN_MR && nv > FN_NV(FN_MR) ? (rows + odd_rows - 1) / odd_rows
                                                                        : (rows + FN_MR - 1) / FN_MR;
    t.count = rest;
    t.floor = last ? g->floor : -(FN_T)INFINITY;
    t.ldmask = g->ldmask;
    t.scale = g->scale;
    t.far = g->m * g->ldc * (int64_t)sizeof(FN_T) > FN_FAR_BYTES;
    t.unsigned_zero = last && g->may_be_sparse;
    for (int64_t tile = 0, from = 0, to; tile < tiles; tile++, from = to) {
        to = tile + 1 == tiles ? rows : FN_NAME(fn_tile_begin)(rows, tiles, tile + 1, k);
        const int64_t i = i0 + from;
        FN_T *c = g->c + i * g->ldc + j;
        if (first) {
            t.init = g->bias ? g->bias + j : FN_NAME(fn_zeros);
            t.ldi = 0;
        } else {
            t.init = c;
            t.ldi = g->ldc;
        }
        t.mask = last && g->mask ? g->mask + i * g->ldmask + j : NULL;
        if (asked && t.mask) /* of large products it has to come from afar */
            for (int64_t y = 0; y < to - from; y++)
                for (int64_t x = 0; x < nv; x++) __builtin_prefetch(t.mask + y * t.ldmask + x * LANES);
        FN_NAME(fn_ukr) ukr = ukrs[to - from - 1][nv - 1][rest < LANES];
        if (asked && asked->tiles > 0 && rest == LANES && nv == FN_NV(FN_MR) && FN_NAME(fn_ukrs_ahead)[to - from - 1]) {
            ukr = FN_NAME(fn_ukrs_ahead)[to - from - 1];
            t.next = asked->next;
            t.step = asked->step;
            asked->next += asked->tile;
            asked->tiles--;
        }
        ukr(k, packed ? a + tile * k * FN_TILE_LD : a + from * ra, ra, ca, b, rb, c, g->ldc, &t);
    }
}

#include "gemm_row_impl.h"

/* Rows [i0, i1) by columns [j0, j1), A in place, B too or copied panel by panel. Without scratch (NULL) it is not copied,
 * and its rows have to be contiguous. */
static void FN_NAME(fn_direct)(const FN_NAME(fn_product) *g, int64_t i0, int64_t i1, int64_t j0, int64_t j1, FN_T *scratch)
{
    const int64_t rows = i1 - i0;
    const int64_t nr = (rows < FN_MR ? FN_NV(rows) : FN_NV(FN_MR)) * LANES;
    const int64_t widest = rows >= FN_MR && FN_ODD_ROWS > 0 ? nr + LANES : nr;
    const FN_T *a = g->a + i0 * g->ra;
    if (rows == 1 && g->cb == 1 && j1 - j0 > nr) {
        if (g->k * (j1 - j0) * (int64_t)sizeof(FN_T) > FN_NEAR_ROW_BYTES) {
            FN_NAME(fn_far_row)(g, i0, j0, j1);
            return;
        }
        j0 = FN_NAME(fn_near_row)(g, i0, j0, j1);
    }
    /* rows of B that cross lines are read as two, those far apart share sets of L1, and many push each other out of L2 */
    const int64_t apart = g->rb * (int64_t)sizeof(FN_T);
    const int crosses = apart % 64 && apart * g->k > FN_CROSS_BYTES && rows >= FN_PACK_ROWS;
    const int far = apart >= FN_FAR_ROW_BYTES && rows >= 3 * FN_PACK_ROWS;
    const int64_t most = rows >= FN_MANY_TILES * FN_MR ? FN_DIRECT_BYTES : FN_LARGE_BYTES;
    const int large = rows > FN_MR && g->k * (j1 - j0) * (int64_t)sizeof(FN_T) > most;
    const int packs = g->cb != 1 || (scratch && (crosses || far || large));
    for (int64_t j = j0, width; j < j1; j += width) {
        width = j1 - j <= widest ? j1 - j : nr;
        if (!packs) {
            FN_NAME(fn_panel)(g, FN_NAME(fn_ukrs), i0, i1, j, width, g->k, a, g->ra, g->ca, g->b + j, g->rb, 1, 1,
                              0, NULL);
            continue;
        }
        int64_t p = 0;
        do {
            const int64_t k = g->k - p < FN_PANEL_K ? g->k - p : FN_PANEL_K, packed = (width + LANES - 1) / LANES * LANES;
            FN_NAME(fn_pack_b)(scratch, g, j, width, packed, p, k);
            FN_NAME(fn_panel)(g, FN_NAME(fn_ukrs), i0, i1, j, width, k, a + p * g->ca, g->ra, g->ca, scratch, packed,
                              p == 0, p + k >= g->k, 0, NULL);
            p += k;
        } while (p < g->k);
    }
}

/* Rows [i0, i1) by columns [j0, j1) through packed blocks of A and B. */
static void FN_NAME(fn_blocked)(const FN_NAME(fn_product) *g, int64_t i0, int64_t i1, int64_t j0, int64_t j1, FN_T *scratch)
{
    const int64_t nr = FN_NV(FN_MR) * LANES, line = 64 / sizeof(FN_T);
    const int64_t kc = g->ra == 1 ? FN_KC_TURNED : FN_KC, mc_tiles = FN_MC_TILES * FN_KC / kc;
    const int64_t nc = FN_NC_BYTES / (kc * (int64_t)sizeof(FN_T)) / nr * nr;
    const int64_t tiles = (i1 - i0 + FN_MR - 1) / FN_MR, mblocks = (tiles + mc_tiles - 1) / mc_tiles;
    const int64_t kblocks = g->k > 0 ? (g->k + kc - 1) / kc : 1; /* of none, too, C is written: its sums are 0 */
    const int large = (i1 - i0) * g->k * (int64_t)sizeof(FN_T) > FN_ASK_BYTES;
    const int at_once = mblocks == 1; /* a few panels, which L2 then still has */
    const int64_t group = at_once ? FN_PACK_PANELS * nr : nc;
    FN_T *const packed_b = scratch, *const packed_a = scratch + FN_NC_BYTES / sizeof(FN_T);
    _Static_assert(FN_MC_TILES * FN_KC * FN_TILE_LD * sizeof(FN_T) <= FN_SCRATCH_BYTES - FN_NC_BYTES, "room for blocks of A");
    for (int64_t jc = j0; jc < j1; jc += nc) {
        const int64_t jend = j1 - jc < nc ? j1 : jc + nc;
        for (int64_t kb = 0; kb < kblocks; kb++) {
            const int64_t p = fn_even(g->k, kblocks, kb), k = fn_even(g->k, kblocks, kb + 1) - p;
            if (!at_once) FN_NAME(fn_pack_b)(packed_b, g, jc, jend - jc, nr, p, k);
            for (int64_t mb = 0, i = i0, iend; mb < mblocks; mb++, i = iend) {
                iend = i0 + (k > FN_SORT_K ? fn_sorted(i1 - i0, tiles, fn_sorted(tiles, mblocks, mb + 1))
                                           : fn_even(i1 - i0, mblocks, mb + 1));
                FN_NAME(fn_pack_a)(packed_a, g, i, iend, p, k);
                FN_NAME(fn_asked) asked = {.next = g->a + iend * g->ra + p * g->ca};
                asked.step = g->ca == 1 ? line : g->ca;
                asked.tile = g->ca == 1 ? k * line : line;
                const int asks = large && mb + 1 < mblocks && (g->ca != 1 || g->ra == k);
                const int64_t near = jend - FN_AHEAD_PANELS * nr; /* from here on L2 has room for the next rows */
                for (int64_t j = jc; j < jend; j += nr) {
                    if (asks && j >= near && j < near + nr) asked.tiles = (iend - i) / line + 1;
                    if (at_once && (j - jc) % group == 0)
                        FN_NAME(fn_pack_b)(packed_b, g, j, jend - j < group ? jend - j : group, nr, p, k);
                    FN_NAME(fn_panel)(g, FN_NAME(fn_ukrs), i, iend, j, jend - j < nr ? jend - j : nr, k, packed_a, 1,
                                      FN_TILE_LD, packed_b + (j - jc) % group * k, nr, kb == 0, kb == kblocks - 1, 1, &asked);
                }
            }
        }
    }
}

/* The part's rectangle of an m by n result: its rows, where it has been given some; else parts form a grid, chosen so that
 * the largest rectangle is smallest and, among those, the copies of A and B that the parts read are fewest. Whatever the
 * form of the product, this is what the part writes: affine_impl.h applies activations to it. */
static void FN_NAME(fn_rectangle)(int64_t m, int64_t n, const fn_part *part, int64_t *i0, int64_t *i1, int64_t *j0,
                                  int64_t *j1)
{
    const int64_t nr = FN_NV(FN_MR) * LANES, count = part->count;
    *j0 = 0;
    *j1 = n;
    if (part->rows > 0) {
        *i0 = part->first;
        *i1 = part->last;
        return;
    }
    if (count == 1 || n <= FN_NARROW) {
        fn_split(m, FN_NARROW_ROWS, part->index, count, i0, i1);
        return;
    }
    int64_t best_down = 1, best_area = INT64_MAX, best_edge = INT64_MAX;
    for (int64_t down = 1; down <= count; down++) {
        if (count % down) continue;
        const int64_t across = count / down;
        const int64_t rows = (m + down - 1) / down;
        const int64_t whole = (n + LANES - 1) / LANES * LANES, tiles = (n + nr - 1) / nr;
        const int64_t columns = across == 1 ? whole : (tiles + across - 1) / across * nr;
        const int64_t area = rows * columns, edge = rows + columns;
        if (area < best_area || (area == best_area && edge < best_edge)) {
            best_area = area;
            best_edge = edge;
            best_down = down;
        }
    }
    /* rows are divided to the row: the tiles of a part are as even as can be, whole ones would leave 100 at 56 and 44;
     * registers of the matrix unit are never less than whole */
    const int64_t grain = FN_AMX && m >= 4 * FN_AMX_ROWS * best_down ? FN_AMX_ROWS : 1;
    fn_split(m, grain, part->index % best_down, best_down, i0, i1);
    fn_split(n, nr, part->index / best_down, count / best_down, j0, j1);
}

#include "gemm_narrow_impl.h"
#if FN_BF16 && FN_IS_f32
#include "gemm_bf16_impl.h"
#endif
#if FN_QUADS && FN_IS_f32
#include "gemm_quads_impl.h"
#endif
#if FN_SPARSE
#include "gemm_sparse_impl.h"
#endif
#if FN_AMX && FN_IS_f32
#include "gemm_amx_impl.h"
#endif

/* The part's share of the product. What changes the order of sums is chosen by the whole problem; whether zeros are left
 * out, by the part. */
static void FN_NAME(fn_multiply)(const FN_NAME(fn_product) *g, const fn_part *part)
{
    const int fits = (g->k + LANES + FN_ROW_PAD) * FN_NARROW * (int64_t)sizeof(FN_T) <= FN_SCRATCH_BYTES;
    if (g->n <= FN_NARROW && g->ca == 1 && g->k >= LANES && fits) {
        FN_NAME(fn_narrow)(g, part);
        return;
    }
    const int64_t few = g->k >= 2 * LANES ? FN_NARROW_TRANSPOSED : FN_NARROW;
    if (g->n <= few && g->ra == 1 && g->m >= (g->n <= FN_DEALT ? 1 : 2) * LANES && !g->bias && !g->mask) {
        FN_NAME(fn_narrow_transposed)(g, part);
        return;
    }
    int64_t i0 = 0, i1 = g->m, j0 = 0, j1 = g->n;
    if (part->count > 1) FN_NAME(fn_rectangle)(g->m, g->n, part, &i0, &i1, &j0, &j1);
    if (i0 >= i1 || j0 >= j1) return;
    if (g->cb != 1 && g->m <= FN_FEW_ROWS && g->k >= 2 * LANES) {
        FN_NAME(fn_dots)(g, i0, i1, j0, j1, FN_AHEAD_COLUMNS);
        return;
    }
#if FN_AMX && FN_IS_f32
    if (fn_unit_pays(g)) {
        fn_by_unit(g, i0, i1, j0, j1, part->scratch);
        return;
    }
#endif
#if FN_BF16 && FN_IS_f32
    if (g->precision == FN_PRECISION_medium && g->m >= 3 * FN_MR && g->n >= 4 * LANES && g->k >= 4 * LANES) {
        fn_blocked_words(g, i0, i1, j0, j1, part->scratch);
        return;
    }
#endif
#if FN_QUADS && FN_IS_f32
    const int64_t quads = j1 == g->n ? FN_NAME(fn_left_to_quads)(g) : 0;
    if (quads) {
        j1 -= quads;
        if (i1 - i0 < FN_QUADS_FEW && g->cb == 1) {
            FN_NAME(fn_few_by_quads)(g, i0, i1, j0, j1, quads);
            return;
        }
        FN_NAME(fn_by_quads)(g, i0, i1, j1, quads, part->scratch);
        if (j0 >= j1) return;
    }
#endif
    const int64_t left = j1 == g->n ? FN_NAME(fn_left_over)(g) : 0;
    if (left) {
        j1 -= left;
        FN_NAME(fn_product) h = *g;
        h.n = left;
        h.b += j1;
        h.c += j1;
        FN_NAME(fn_transposed)(&h, i0, i1, part->scratch);
        if (j0 >= j1) return;
    }
#if FN_SPARSE
    if (g->may_be_sparse && FN_NAME(fn_multiply_sparse)(g, i0, i1, j0, j1, part->scratch)) return;
#endif
    const int64_t c_bytes = (i1 - i0) * (j1 - j0) * (int64_t)sizeof(FN_T);
    if (g->k <= FN_SHORT_K && g->ra == 1 && c_bytes > FN_SHORT_BYTES && (j1 - j0) % (FN_NV(FN_SHORT_ROWS) * LANES) == 0) {
        for (int64_t i = i0; i < i1; i += FN_SHORT_ROWS)
            FN_NAME(fn_direct)(g, i, i1 - i < FN_SHORT_ROWS ? i1 : i + FN_SHORT_ROWS, j0, j1, NULL);
        return;
    }
    /* Packing costs a copy of A and of B; it pays where both are read often and neither stays in the caches, or where a
     * tile of A is spread over a page for each k. */
    const int64_t b_bytes = g->k * (j1 - j0) * (int64_t)sizeof(FN_T), a_bytes = (i1 - i0) * g->k * (int64_t)sizeof(FN_T);
    const int64_t apart = g->ra * (int64_t)sizeof(FN_T), beside = apart % FN_WAY_BYTES;
    const int stays = g->ca == 1 && a_bytes <= FN_ROWS_BYTES && beside >= 64 && beside <= FN_WAY_BYTES - 64;
    const int spread = g->ra == 1 && g->ca * (int64_t)sizeof(FN_T) >= FN_FAR_ROW_BYTES && i1 - i0 >= 4 * FN_MR;
    if (i1 - i0 >= FN_MANY_TILES * FN_MR && j1 - j0 >= 4 * LANES && (spread || (b_bytes > FN_DIRECT_BYTES && !stays)))
        FN_NAME(fn_blocked)(g, i0, i1, j0, j1, part->scratch);
    else
        FN_NAME(fn_direct)(g, i0, i1, j0, j1, part->scratch);
}
