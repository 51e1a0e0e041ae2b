/* Large products of floats on the processor's matrix unit (AMX), which multiplies bfloat16 numbers and sums in float, at up
 * to sixteen times the rate of float multiply-adds. Read by gemm_impl.h for instruction sets that have FN_AMX.
 *
 * a) A float is the sum of three bfloat16 numbers of 8 significant bits: its parts, each the rounded rest of those before.
 *    Of the nine products of parts the six largest are taken: the others are below 2^-23 of the product, as the rounding of
 *    a float sum is, and the unit's sums are rounded only a few times in 32 terms. So "highest" is as exact as float
 *    multiply-adds, or more (docs/precision.md); "high" takes two parts and three products, "medium" one.
 * b) Parts of a small number fall below what the unit takes for 0 (2^-126), those of a large one overflow, those of what
 *    is not finite are NaN. So the largest number of each row of A and column of B is found while they are packed; rows and
 *    columns in which it is not from FN_LEAST to FN_MOST, nor 0, are computed again by float multiply-adds. That is said of
 *    whole rows and columns: every part of a call finds the same, so the bits do not depend on the number of parts.
 * c) Blocks of k, which only the whole k decides, are summed in order; from one to the next sums wait in C.
 * d) Loops from outside: blocks of the side that stays in L2, blocks of k, blocks of the side that passes, strips of
 *    FN_ACROSS rows, FN_UNIT_NEAR of k, so that L1 holds A of a strip, registers of B.
 *
 * The unit's speed depends on the numbers: of zeros, or of the same registers again and again, it multiplies 3.7 TFLOP/s on
 * Granite Rapids, of random numbers 3.05 (2026-11); from L1 it reaches 93 % of that so. Tried there without gain: B in L3
 * (0.75), panels asked for ahead in the unit's loop, lines of C and rows to be packed asked for ahead (0.9 to 1.0), 384 and
 * 512 k of three parts (0.96, 0.9), columns of C as strips (0.8: their lines share sets of L2), more registers packed side by
 * side, huge pages. */
#include "gemm_amx_pack_impl.h"

enum {
    FN_ACROSS = 32,                /* rows, columns of C that are summed at once: two registers of A, two of B, four of C */
    FN_UNIT_KC = 768,              /* k of a block, times parts: two or three times what is near */
    FN_UNIT_NEAR = 12,             /* steps of 32 k, times parts, of which L1 holds FN_ACROSS rows of A beside some of B */
    FN_UNIT_NEAR_1 = 8,            /* of one part alone, which is loaded again for each product: less of A, more of B */
    FN_UNIT_PASS_ROWS = 64,        /* of A or B, packed at once where the other stays */
    FN_UNIT_PASS_COLUMNS = 128,
    FN_UNIT_MOST = 8192,           /* rows and columns of which the largest numbers are kept at once */
    FN_UNIT_STAYS_BYTES = 5 << 18, /* of the side that stays: five eighths of L2, where there is AMX */
    FN_UNIT_PASSES_BYTES = FN_UNIT_KC * FN_UNIT_PASS_COLUMNS * 2,
    FN_UNIT_SUMS_BYTES = FN_UNIT_MOST * FN_ACROSS * 4
};
_Static_assert(FN_UNIT_STAYS_BYTES + FN_UNIT_PASSES_BYTES + FN_UNIT_SUMS_BYTES + 2 * FN_UNIT_MOST * 4 <= FN_SCRATCH_BYTES,
               "scratch has room for what is packed, sums, and the largest numbers");
_Static_assert(FN_UNIT_MOST % FN_ACROSS == 0 && FN_UNIT_PASS_ROWS % FN_ACROSS == 0, "blocks are whole strips");
#define FN_UNIT_ZEROS 0.65 /* share of zeros from which on fn_multiply_sparse is faster than three parts: 512x2048x2048 */
#define FN_LEAST 0x1p-48f
#define FN_MOST 0x1p56f

/* ---- the unit ---- */

#define FN_UNIT_TIMES(mt, nt)                              \
    do {                                                   \
        _tile_dpbf16ps(0, 4, 6);                           \
        if ((nt) > 1) _tile_dpbf16ps(1, 4, 7);             \
        if ((mt) > 1) _tile_dpbf16ps(2, 5, 6);             \
        if ((mt) > 1 && (nt) > 1) _tile_dpbf16ps(3, 5, 7); \
    } while (0)
#define FN_UNIT_A(mt, part)                                                   \
    do {                                                                      \
        _tile_loadd(4, a + (part) * (mt) * FN_WORDS, 64);                     \
        if ((mt) > 1) _tile_loadd(5, a + ((part) * (mt) + 1) * FN_WORDS, 64); \
    } while (0)
#define FN_UNIT_B(nt, part)                                                   \
    do {                                                                      \
        _tile_loadd(6, b + (part) * (nt) * FN_WORDS, 64);                     \
        if ((nt) > 1) _tile_loadd(7, b + ((part) * (nt) + 1) * FN_WORDS, 64); \
    } while (0)

/* Where the sums of a block of C are: rows of FN_ACROSS, ld floats apart. NULL: they begin at 0. */
typedef struct {
    float *at;
    int64_t ld;
} fn_unit_sums;

/* to = from + products over `steps` times 32 k, mt by nt registers of sums. mt, nt, parts and begins (from is 0) are
 * constants; from may be to. */
FN_INLINE void fn_unit_body(const int parts, const int mt, const int nt, const int begins, fn_unit_sums from,
                            fn_unit_sums to, const float *a, const float *b, int64_t steps)
{
    __asm__ volatile("" ::: "memory"); /* what is loaded below has been written: the compiler does not see the loads */
    if (begins) {
        _tile_zero(0);
        if (nt > 1) _tile_zero(1);
        if (mt > 1) _tile_zero(2);
        if (mt > 1 && nt > 1) _tile_zero(3);
    } else {
        const float *const below = from.at + FN_SQUARE * from.ld;
        _tile_loadd(0, from.at, from.ld * 4);
        if (nt > 1) _tile_loadd(1, from.at + FN_SQUARE, from.ld * 4);
        if (mt > 1) _tile_loadd(2, below, from.ld * 4);
        if (mt > 1 && nt > 1) _tile_loadd(3, below + FN_SQUARE, from.ld * 4);
    }
    for (int64_t s = 0; s < steps; s++, a += parts * mt * FN_WORDS, b += parts * nt * FN_WORDS) {
        if (parts == 3) { /* the small products first; each turn loads one side */
            FN_UNIT_A(mt, 2);
            FN_UNIT_B(nt, 0);
            FN_UNIT_TIMES(mt, nt);
            FN_UNIT_A(mt, 1);
            FN_UNIT_TIMES(mt, nt);
            FN_UNIT_B(nt, 1);
            FN_UNIT_TIMES(mt, nt);
            FN_UNIT_A(mt, 0);
            FN_UNIT_TIMES(mt, nt);
            FN_UNIT_B(nt, 2);
            FN_UNIT_TIMES(mt, nt);
            FN_UNIT_B(nt, 0);
            FN_UNIT_TIMES(mt, nt);
        } else if (parts == 2) {
            FN_UNIT_A(mt, 1);
            FN_UNIT_B(nt, 0);
            FN_UNIT_TIMES(mt, nt);
            FN_UNIT_A(mt, 0);
            FN_UNIT_TIMES(mt, nt);
            FN_UNIT_B(nt, 1);
            FN_UNIT_TIMES(mt, nt);
        } else {
            FN_UNIT_A(mt, 0);
            FN_UNIT_B(nt, 0);
            FN_UNIT_TIMES(mt, nt);
        }
    }
    float *const below = to.at + FN_SQUARE * to.ld;
    _tile_stored(0, to.at, to.ld * 4);
    if (nt > 1) _tile_stored(1, to.at + FN_SQUARE, to.ld * 4);
    if (mt > 1) _tile_stored(2, below, to.ld * 4);
    if (mt > 1 && nt > 1) _tile_stored(3, below + FN_SQUARE, to.ld * 4);
}

/* The same of `rows` by `width`. */
FN_INLINE void fn_unit(const int parts, int64_t rows, int64_t width, fn_unit_sums from, fn_unit_sums to, const float *a,
                       const float *b, int64_t steps)
{
#define FN_UNIT_OF(mt, nt)                                                   \
    do {                                                                     \
        if (from.at)                                                         \
            fn_unit_body(parts, mt, nt, 0, from, to, a, b, steps);           \
        else                                                                 \
            fn_unit_body(parts, mt, nt, 1, from, to, a, b, steps);           \
    } while (0)
    if (rows > FN_SQUARE && width > FN_SQUARE)
        FN_UNIT_OF(2, 2);
    else if (rows > FN_SQUARE)
        FN_UNIT_OF(2, 1);
    else if (width > FN_SQUARE)
        FN_UNIT_OF(1, 2);
    else
        FN_UNIT_OF(1, 1);
#undef FN_UNIT_OF
}

/* ---- C ---- */

/* A row of C: the end of sums and bias. vectors of them, the last of `count` elements if part. All but the pointers and
 * count are constants. */
FN_INLINE void fn_end_row(const int vectors, const int part, const int masked, const float *sums, const float *bias,
                          float *c, const float *mask, v_f32 floor, v_f32 scale, int64_t count)
{
    const v_f32 zero = v_set1_f32(0);
#pragma GCC unroll 2
    for (int x = 0; x < vectors; x++) {
        const int ends = part && x == vectors - 1;
        v_f32 sum = v_load_f32(sums + x * 16);
        sum = v_add_f32(sum, ends ? v_load_part_f32(bias + x * 16, count) : v_load_f32(bias + x * 16));
        sum = v_max_f32(floor, sum);
        if (masked) {
            const v_f32 s = ends ? v_load_part_f32(mask + x * 16, count) : v_load_f32(mask + x * 16);
            sum = v_select_f32(v_gt_f32(s, zero), v_mul_f32(scale, sum), zero);
        }
        if (ends)
            v_store_part_f32(c + x * 16, sum, count);
        else
            v_store_f32(c + x * 16, sum);
    }
}

/* C(i, j) of `rows` by `width` from i, j on: the end of sums and bias. */
static void fn_end_sums(const fn_product_f32 *g, const float *sums, int64_t i, int64_t rows, int64_t j, int64_t width)
{
    const v_f32 floor = v_set1_f32(g->floor), scale = v_set1_f32(g->scale);
    const float *const bias = g->bias ? g->bias + j : fn_zeros_f32;
    const float *mask = g->mask ? g->mask + i * g->ldmask + j : NULL;
    const int64_t ldmask = g->mask ? g->ldmask : 0;
    float *c = g->c + i * g->ldc + j;
#define FN_END(vectors, part, masked)                                               \
    for (int64_t y = 0; y < rows; y++, sums += FN_ACROSS, c += g->ldc, mask += ldmask) \
        fn_end_row(vectors, part, masked, sums, bias, c, mask, floor, scale, (width - 1) % FN_SQUARE + 1)
    if (width == FN_ACROSS && mask)
        FN_END(2, 0, 1);
    else if (width == FN_ACROSS)
        FN_END(2, 0, 0);
    else if (width > FN_SQUARE && mask)
        FN_END(2, 1, 1);
    else if (width > FN_SQUARE)
        FN_END(2, 1, 0);
    else if (mask)
        FN_END(1, 1, 1);
    else
        FN_END(1, 1, 0);
#undef FN_END
}

/* to = from, `rows` by `width` of FN_ACROSS by FN_ACROSS. */
static void fn_copy_sums(fn_unit_sums to, fn_unit_sums from, int64_t rows, int64_t width)
{
    for (int64_t y = 0; y < rows; y++)
        for (int64_t x = 0; x < width; x += 16) {
            const int64_t left = width - x < 16 ? width - x : 16;
            v_store_part_f32(to.at + y * to.ld + x, v_load_part_f32(from.at + y * from.ld + x, left), left);
        }
}

/* ---- the product ---- */

FN_INLINE int fn_is_out(uint32_t limit)
{
    const __m128i bits = _mm_cvtsi32_si128((int)limit);
    const float largest = _mm_cvtss_f32(_mm_castsi128_ps(bits));
    return limit != 0 && !(largest >= FN_LEAST && largest <= FN_MOST);
}

/* Rows and columns that are out of the unit's range, in a rectangle that has been computed. */
static void fn_again(const fn_product_f32 *g, int64_t i0, int64_t i1, int64_t j0, int64_t j1, const uint32_t *of_rows,
                     const uint32_t *of_columns, float *scratch)
{
    for (int64_t i = i0, end; i < i1; i = end + 1) {
        for (; i < i1 && !fn_is_out(of_rows[i - i0]); i++) {}
        for (end = i; end < i1 && fn_is_out(of_rows[end - i0]); end++) {}
        if (i < end) fn_direct_f32(g, i, end, j0, j1, scratch);
    }
    for (int64_t j = j0, end; j < j1; j = end + 1) {
        for (; j < j1 && !fn_is_out(of_columns[j - j0]); j++) {}
        for (end = j; end < j1 && fn_is_out(of_columns[end - j0]); end++) {}
        if (j < end) fn_direct_f32(g, i0, i1, j, end, scratch);
    }
}

/* `rows` rows of C from i on, FN_ACROSS at most, by columns [j0, j1): sums over a block of k, `steps` times 32 of packed
 * A and B. So few steps at a time that L1 holds A beside what passes of B; sums wait in L2, and from block to block of k in
 * C. parts: constant. */
FN_INLINE void fn_unit_strip(const int parts, const fn_product_f32 *g, int64_t i, int64_t rows, int64_t j0, int64_t j1,
                             int64_t steps, const float *a, const float *b, float *scratch, int first, int last)
{
    const int64_t near = parts == 1 ? FN_UNIT_NEAR_1 : FN_UNIT_NEAR / parts, step = parts * FN_ACROSS * FN_SQUARE;
    for (int64_t s = 0; s < steps; s += near) {
        const int64_t deep = steps - s < near ? steps - s : near;
        const int ends = s + deep == steps;
        const float *const from_a = a + (rows > FN_SQUARE ? s * step : s * step / 2);
        for (int64_t j = j0; j < j1; j += FN_ACROSS) {
            const int64_t width = j1 - j < FN_ACROSS ? j1 - j : FN_ACROSS;
            const float *const strip_b = b + (j - j0) / FN_ACROSS * steps * step;
            const float *const from_b = strip_b + (width > FN_SQUARE ? s * step : s * step / 2);
            const fn_unit_sums sums = {scratch + (j - j0) * FN_ACROSS, FN_ACROSS}, c = {g->c + i * g->ldc + j, g->ldc};
            const int whole = rows == FN_ACROSS && width == FN_ACROSS; /* else registers would reach beyond C */
            const fn_unit_sums none = {NULL, 0}, from = s > 0 ? sums : first ? none : whole ? c : sums;
            if (s == 0 && !first && !whole) fn_copy_sums(sums, c, rows, width);
            fn_unit(parts, rows, width, from, ends && !last && whole ? c : sums, from_a, from_b, deep);
            if (ends && !last && !whole) fn_copy_sums(c, sums, rows, width);
        }
    }
    for (int64_t j = j0; last && j < j1; j += FN_ACROSS)
        fn_end_sums(g, scratch + (j - j0) * FN_ACROSS, i, rows, j, j1 - j < FN_ACROSS ? j1 - j : FN_ACROSS);
}

/* Packs rows [i0, i1) of A, or columns of B, k values from p. */
FN_INLINE void fn_pack_rows(const int parts, const fn_product_f32 *g, float *to, int64_t i0, int64_t i1, int64_t p,
                            int64_t k, uint32_t *largest)
{
    const float *const from = g->a + i0 * g->ra + p * g->ca;
    if (g->ca == 1)
        fn_pack_side(parts, 0, 0, to, from, g->ra, i1 - i0, k, largest);
    else
        fn_pack_side(parts, 1, 1, to, from, g->ca, i1 - i0, k, largest);
}

FN_INLINE void fn_pack_columns(const int parts, const fn_product_f32 *g, float *to, int64_t j0, int64_t j1, int64_t p,
                               int64_t k, uint32_t *largest)
{
    const float *const from = g->b + p * g->rb + j0 * g->cb;
    if (g->cb == 1)
        fn_pack_side(parts, 1, 0, to, from, g->rb, j1 - j0, k, largest);
    else
        fn_pack_side(parts, 0, 1, to, from, g->cb, j1 - j0, k, largest);
}

/* Rows [i0, i1) by columns [j0, j1), FN_UNIT_MOST of each at most. The side that has fewer stays packed in L2, as far as
 * it has room, and the other passes. parts: constant. */
FN_INLINE void fn_by_unit_body(const int parts, const fn_product_f32 *g, int64_t i0, int64_t i1, int64_t j0, int64_t j1,
                               float *scratch)
{
    const int64_t ksteps = (g->k + FN_DEEP - 1) / FN_DEEP, deepest = FN_UNIT_KC / parts / FN_DEEP;
    const int64_t kblocks = (ksteps + deepest - 1) / deepest, each = (ksteps + kblocks - 1) / kblocks * parts * FN_DEEP * 2;
    const int64_t room = FN_UNIT_STAYS_BYTES / each / FN_ACROSS * FN_ACROSS;
    const int a_stays = i1 - i0 < j1 - j0;
    const int64_t mc = a_stays ? room : i1 - i0, nc = a_stays ? j1 - j0 : room; /* of a block within which k goes round */
    const int64_t high = a_stays ? room : FN_UNIT_PASS_ROWS, wide = a_stays ? FN_UNIT_PASS_COLUMNS : room;
    float *const stays = scratch, *const passes = stays + FN_UNIT_STAYS_BYTES / 4;
    float *const packed_a = a_stays ? stays : passes, *const packed_b = a_stays ? passes : stays;
    float *const sums = passes + FN_UNIT_PASSES_BYTES / 4;
    uint32_t *const of_rows = (uint32_t *)(scratch + FN_SCRATCH_BYTES / 4) - 2 * FN_UNIT_MOST;
    uint32_t *const of_columns = of_rows + FN_UNIT_MOST;
    for (int64_t ic = i0, iend; ic < i1; ic = iend) {
        iend = i1 - ic < mc ? i1 : ic + mc;
        for (int64_t jc = j0, jend; jc < j1; jc = jend) {
            jend = j1 - jc < nc ? j1 : jc + nc;
            if (parts > 1) {
                memset(of_rows, 0, (size_t)(iend - ic + FN_SQUARE - 1) / FN_SQUARE * FN_SQUARE * sizeof *of_rows);
                memset(of_columns, 0, (size_t)(jend - jc + FN_SQUARE - 1) / FN_SQUARE * FN_SQUARE * sizeof *of_columns);
            }
            for (int64_t kb = 0; kb < kblocks; kb++) {
                const int64_t p = fn_even(ksteps, kblocks, kb) * FN_DEEP;
                const int64_t k = (kb + 1 == kblocks ? g->k : fn_even(ksteps, kblocks, kb + 1) * FN_DEEP) - p;
                const int64_t steps = (k + FN_DEEP - 1) / FN_DEEP, strip = steps * parts * FN_ACROSS * FN_SQUARE;
                /* one of the two loops has one turn: of the side that stays */
                for (int64_t j = jc, j_end; j < jend; j = j_end) {
                    j_end = jend - j < wide ? jend : j + wide;
                    fn_pack_columns(parts, g, packed_b, j, j_end, p, k, of_columns + (j - jc));
                    for (int64_t i = ic, i_end; i < iend; i = i_end) {
                        i_end = iend - i < high ? iend : i + high;
                        if (!a_stays || j == jc) fn_pack_rows(parts, g, packed_a, i, i_end, p, k, of_rows + (i - ic));
                        for (int64_t r = i; r < i_end; r += FN_ACROSS)
                            fn_unit_strip(parts, g, r, i_end - r < FN_ACROSS ? i_end - r : FN_ACROSS, j, j_end, steps,
                                          packed_a + (r - i) / FN_ACROSS * strip, packed_b, sums, kb == 0,
                                          kb + 1 == kblocks);
                    }
                }
            }
            if (parts > 1) fn_again(g, ic, iend, jc, jend, of_rows, of_columns, scratch);
        }
    }
}

/* The unit's settings: palette 1, eight registers of 16 rows of 64 bytes. Those of another library that has called on
 * this thread, and may remember that it has made them, are put back at the end. */
typedef struct {
    uint8_t palette, start, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} fn_unit_settings;

static void fn_unit_begin(fn_unit_settings *before)
{
    fn_unit_settings ours = {.palette = 1};
    for (int r = 0; r < 8; r++) {
        ours.bytes[r] = 64;
        ours.rows[r] = FN_SQUARE;
    }
    _tile_storeconfig(before);
    _tile_loadconfig(&ours);
}

static void fn_unit_end(const fn_unit_settings *before)
{
    if (before->palette)
        _tile_loadconfig(before);
    else
        _tile_release();
}

/* Whether so much of A, or of B where it can be turned, is 0 that leaving zeros out is faster. Of the whole matrices, as
 * every part has to find the same. */
static __attribute__((noinline)) int fn_mostly_zero(const fn_product_f32 *g)
{
    const double in_a = g->ca == 1 ? fn_zeros_share_f32(g->a, g->ra, g->m, g->k)
                                   : fn_zeros_share_f32(g->a, g->ca, g->k, g->m);
    if (in_a > FN_UNIT_ZEROS) return 1;
    return g->ra == 1 && g->cb == 1 && fn_zeros_share_f32(g->b, g->rb, g->k, g->n) > FN_UNIT_ZEROS;
}

/* Whether the whole product is faster so, by what its precision allows: a number that is packed has to be multiplied so
 * often that it pays. */
FN_INLINE int fn_unit_pays(const fn_product_f32 *g)
{
    const int64_t least = g->precision == FN_PRECISION_medium ? 20 : g->precision == FN_PRECISION_high ? 32 : 80;
    return g->m >= FN_ACROSS && g->n >= FN_ACROSS && g->k >= FN_DEEP && g->m * g->n >= least * (g->m + g->n) &&
           !(g->precision == FN_PRECISION_highest && g->may_be_sparse && fn_mostly_zero(g));
}

/* Rows [i0, i1) by columns [j0, j1). */
static __attribute__((noinline)) void fn_by_unit(const fn_product_f32 *g, int64_t i0, int64_t i1, int64_t j0, int64_t j1,
                                                 float *scratch)
{
    fn_unit_settings before;
    fn_unit_begin(&before);
    for (int64_t i = i0, iend; i < i1; i = iend) {
        iend = i1 - i < FN_UNIT_MOST ? i1 : i + FN_UNIT_MOST;
        for (int64_t j = j0, jend; j < j1; j = jend) {
            jend = j1 - j < FN_UNIT_MOST ? j1 : j + FN_UNIT_MOST;
            switch (g->precision) {
            case FN_PRECISION_medium: fn_by_unit_body(1, g, i, iend, j, jend, scratch); break;
            case FN_PRECISION_high: fn_by_unit_body(2, g, i, iend, j, jend, scratch); break;
            default: fn_by_unit_body(3, g, i, iend, j, jend, scratch);
            }
        }
    }
    fn_unit_end(&before);
}
