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
 * c) C is computed in blocks whose sums half of L2 has room for, over blocks of k so short that L1 holds a strip of A: from
 *    one block of k to the next sums wait there, not in C, whose lines would come from L3 and share sets of the caches. They
 *    are added in order of k, whatever the blocks.
 * d) Loops from outside: blocks of C, blocks of k, pieces of the side that passes, strips of FN_ACROSS rows of A, strips of
 *    columns of B. The side of which a block has fewer strips stays packed for a block of k.
 * e) While the unit multiplies, what it needs next is packed (gemm_amx_pack_impl.h), and the sums before are ended.
 *
 * The unit's speed depends on the numbers: of zeros, or of the same registers again and again, it multiplies 3.7 TFLOP/s on
 * Granite Rapids, of random numbers 3.05 (2026-11); from L1 it reaches 93 % of that so. Tried there without gain: B in L3
 * (0.75), panels asked for ahead in the unit's loop (0.9 to 1.0), rows to be packed asked for ahead (0.95, and 1.05 of large
 * products alone), sums of 3/4 of L2 (1.0, and 0.9 of cold operands), columns of C as strips (0.8: their lines share sets of
 * L2), huge pages (1.03 to 1.08 of large products, 1.0 of others). Of one part a product of 512x2048x1024 takes three times
 * what the unit does: eight steps of four registers 345 ns with B from L2, for 172; a square packed beside them 85 ns more
 * from L3 and 40 from L2, at whatever pace. Tried for it: blocks of k of 16 to 32 steps (0.8 to 1.05), sums of 3/8 and 1/4
 * of L2 (1.0; 0.95), sources asked for ahead (0.87 to 1.0), four or eight strips packed at once (0.97 to 1.03). */
#include "gemm_amx_pack_impl.h"

enum {
    FN_UNIT_NEAR = 12,             /* steps of 32 k, times parts, at a time: L1 holds a strip of A beside some of B */
    FN_UNIT_NEAR_1 = 8,            /* of one part alone, which is loaded again for each product: less of A, more of B */
    FN_UNIT_PIECE = 4,             /* strips of B that pass together where A stays */
    FN_UNIT_MOST = 8192,           /* rows and columns of which the largest numbers are kept at once */
    FN_UNIT_SUMS = 1 << 18,        /* sums that wait from one block of k to the next: half of L2, where there is AMX */
    FN_UNIT_WHOLE_1 = 24,          /* steps of one part that are one block of k: its sums would wait too often */
    FN_UNIT_STAYS_BYTES = 5 << 18, /* of the side that stays: five eighths of L2 */
    FN_UNIT_PASSING = 2 * FN_UNIT_PIECE,
    FN_UNIT_PASSES_BYTES = FN_UNIT_PASSING * FN_UNIT_WHOLE_1 * FN_ACROSS * FN_DEEP * 2
};
_Static_assert(FN_UNIT_SUMS * 4 + FN_UNIT_STAYS_BYTES + FN_UNIT_PASSES_BYTES + 2 * FN_UNIT_MOST * 4 <= FN_SCRATCH_BYTES,
               "scratch has room for sums, what is packed, and the largest numbers");
_Static_assert(FN_UNIT_MOST % FN_ACROSS == 0, "blocks are whole strips");
#define FN_UNIT_NEAR_OF(parts) ((parts) == 1 ? FN_UNIT_NEAR_1 : FN_UNIT_NEAR / (parts))
#define FN_UNIT_ZEROS 0.65 /* share of zeros from which on fn_multiply_sparse is faster than three parts: 512x2048x2048 */
#define FN_LEAST 0x1p-48f
#define FN_MOST 0x1p56f

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

/* ---- what is done beside the unit ---- */

/* A square of sums whose rows are not yet all in C. */
typedef struct {
    const fn_product_f32 *g;
    const float *sums;
    int64_t i, rows, j, width;
} fn_ending;

static void fn_end_rest(fn_ending *e)
{
    if (e->rows > 0) fn_end_sums(e->g, e->sums, e->i, e->rows, e->j, e->width);
    e->rows = 0;
}

/* The same, if it is as wide as a square is, while the unit works: where its next row is. */
typedef struct {
    const float *sums, *bias, *mask;
    float *c;
    int64_t rows, ldc, ldmask;
    v_f32 floor, scale;
} fn_rows_left;

FN_INLINE fn_rows_left fn_resume(const fn_ending *e)
{
    const fn_product_f32 *const g = e->g;
    fn_rows_left left = {.sums = e->sums, .ldc = g->ldc, .ldmask = g->ldmask};
    left.rows = e->width == FN_ACROSS ? e->rows : 0;
    left.bias = g->bias ? g->bias + e->j : fn_zeros_f32;
    left.mask = g->mask ? g->mask + e->i * g->ldmask + e->j : NULL;
    left.c = g->c + e->i * g->ldc + e->j;
    left.floor = v_set1_f32(g->floor);
    left.scale = v_set1_f32(g->scale);
    return left;
}

FN_INLINE void fn_end_some(const int rows, fn_rows_left *left)
{
    if (left->rows < rows) return;
#pragma GCC unroll 8
    for (int y = 0; y < rows; y++) {
        if (left->mask) {
            fn_end_row(2, 0, 1, left->sums, left->bias, left->c, left->mask, left->floor, left->scale, FN_SQUARE);
            left->mask += left->ldmask;
        } else {
            fn_end_row(2, 0, 0, left->sums, left->bias, left->c, NULL, left->floor, left->scale, FN_SQUARE);
        }
        left->sums += FN_ACROSS;
        left->c += left->ldc;
    }
    left->rows -= rows;
}

FN_INLINE void fn_pause(fn_ending *e, const fn_rows_left *left)
{
    if (e->width != FN_ACROSS) return;
    e->sums = left->sums;
    e->i += e->rows - left->rows;
    e->rows = left->rows;
}

/* ---- the unit ---- */

/* The products of a part of A and one of B, of which those that are not 0 to 2 are there already. Each register is loaded
 * just before its first use (1.06 of loading all before, B in L2). mt, nt: constants. */
#define FN_UNIT_TIMES(mt, nt, of_a, of_b)                                               \
    do {                                                                                \
        if ((of_b) >= 0) _tile_loadd(6, b + (of_b) * (nt) * FN_WORDS, 64);              \
        if ((of_a) >= 0) _tile_loadd(4, a + (of_a) * (mt) * FN_WORDS, 64);              \
        _tile_dpbf16ps(0, 4, 6);                                                        \
        if ((mt) > 1 && (of_a) >= 0) _tile_loadd(5, a + ((of_a) * (mt) + 1) * FN_WORDS, 64); \
        if ((mt) > 1) _tile_dpbf16ps(2, 5, 6);                                          \
        if ((nt) > 1 && (of_b) >= 0) _tile_loadd(7, b + ((of_b) * (nt) + 1) * FN_WORDS, 64); \
        if ((nt) > 1) _tile_dpbf16ps(1, 4, 7);                                          \
        if ((mt) > 1 && (nt) > 1) _tile_dpbf16ps(3, 5, 7);                              \
    } while (0)

#define FN_ENDED_AT_ONCE(parts) ((parts) == 1 ? 6 : (parts) == 2 ? 3 : 2) /* rows of sums, beside four products */

/* sums (if begins: 0) += products over `steps` times 32 k, mt by nt registers of sums, rows FN_ACROSS apart. form: of the
 * squares that are packed beside it, or FN_FORMS: none is. Only if all four registers are used something is done beside it.
 * mt, nt, parts and form are constants. */
FN_INLINE void fn_unit_body(const int parts, const int mt, const int nt, const int form, int begins, float *sums,
                            const float *a, const float *b, int64_t steps, const fn_task *task, fn_ending *ending)
{
    enum { row = FN_ACROSS * 4, down = FN_SQUARE * FN_ACROSS };
    const int beside = mt > 1 && nt > 1, packs = beside && form < FN_FORMS;
    float low[FN_WORDS] __attribute__((aligned(64))), high[FN_WORDS] __attribute__((aligned(64)));
    fn_rows_left left;
    if (beside) left = fn_resume(ending);
    __asm__ volatile("" ::: "memory"); /* what is loaded below has been written: the compiler does not see the loads */
    if (begins) {
        _tile_zero(0);
        if (nt > 1) _tile_zero(1);
        if (mt > 1) _tile_zero(2);
        if (mt > 1 && nt > 1) _tile_zero(3);
    } else {
        _tile_loadd(0, sums, row);
        if (nt > 1) _tile_loadd(1, sums + FN_SQUARE, row);
        if (mt > 1) _tile_loadd(2, sums + down, row);
        if (mt > 1 && nt > 1) _tile_loadd(3, sums + down + FN_SQUARE, row);
    }
    const int64_t of_square = packs ? FN_STEPS_OF_SQUARE(parts, form) : 1, last = packs ? task->count * of_square : 0;
    const fn_strides strides = packs ? task->strides : (fn_strides){0};
    fn_square square = {0};
#define FN_FOUR(four, of_a, of_b)                                                                  \
    do {                                                                                           \
        FN_UNIT_TIMES(mt, nt, of_a, of_b);                                                         \
        if (packs && s < last) {                                                                   \
            if (of_square == 1 || s % 2 == 0)                                                      \
                fn_pack_some(parts, form, four, strides, square, low, high);                       \
            else                                                                                   \
                fn_pack_some(parts, form, FN_FOURS(parts) + four, strides, square, low, high);     \
        }                                                                                          \
        if (beside && s > 0) fn_end_some(FN_ENDED_AT_ONCE(parts), &left);                          \
    } while (0)
    for (int64_t s = 0; s < steps; s++, a += parts * mt * FN_WORDS, b += parts * nt * FN_WORDS) {
        if (packs && s < last) square = task->squares[s / of_square];
        if (parts == 3) { /* the small products first; each turn loads one side */
            FN_FOUR(0, 2, 0);
            FN_FOUR(1, 1, -1);
            FN_FOUR(2, -1, 1);
            FN_FOUR(3, 0, -1);
            FN_FOUR(4, -1, 2);
            FN_FOUR(5, -1, 0);
        } else if (parts == 2) {
            FN_FOUR(0, 1, 0);
            FN_FOUR(1, 0, -1);
            FN_FOUR(2, -1, 1);
        } else {
            FN_FOUR(0, 0, 0);
        }
    }
#undef FN_FOUR
    _tile_stored(0, sums, row);
    if (nt > 1) _tile_stored(1, sums + FN_SQUARE, row);
    if (mt > 1) _tile_stored(2, sums + down, row);
    if (mt > 1 && nt > 1) _tile_stored(3, sums + down + FN_SQUARE, row);
    __asm__ volatile("" ::: "memory");
    if (beside) fn_pause(ending, &left);
}

/* Registers side by side of so many rows or columns of a strip. */
FN_INLINE int64_t fn_registers(int64_t there) { return there > FN_SQUARE ? 2 : 1; }

/* The same of `rows` by `width`, beside it the next squares that can be packed. parts: constant. */
FN_INLINE void fn_unit(const int parts, int64_t rows, int64_t width, int begins, float *sums, const float *a,
                       const float *b, int64_t steps, fn_packing *w, fn_ending *ending)
{
    const fn_task *const t = &w->task;
    if (rows <= FN_SQUARE || width <= FN_SQUARE) {
        if (rows > FN_SQUARE)
            fn_unit_body(parts, 2, 1, FN_FORMS, begins, sums, a, b, steps, t, ending);
        else if (width > FN_SQUARE)
            fn_unit_body(parts, 1, 2, FN_FORMS, begins, sums, a, b, steps, t, ending);
        else
            fn_unit_body(parts, 1, 1, FN_FORMS, begins, sums, a, b, steps, t, ending);
        return;
    }
    fn_next_task(w, steps);
    switch (t->count ? t->form : FN_FORMS) {
    case FN_ROWS: fn_unit_body(parts, 2, 2, FN_ROWS, begins, sums, a, b, steps, t, ending); break;
    case FN_ROWS_TURNED: fn_unit_body(parts, 2, 2, FN_ROWS_TURNED, begins, sums, a, b, steps, t, ending); break;
    case FN_COLUMNS: fn_unit_body(parts, 2, 2, FN_COLUMNS, begins, sums, a, b, steps, t, ending); break;
    case FN_COLUMNS_TURNED: fn_unit_body(parts, 2, 2, FN_COLUMNS_TURNED, begins, sums, a, b, steps, t, ending); break;
    default: fn_unit_body(parts, 2, 2, FN_FORMS, begins, sums, a, b, steps, t, ending);
    }
    fn_end_task(w);
}

/* ---- the product ---- */

FN_INLINE int fn_is_out(float largest) { return largest != 0 && !(largest >= FN_LEAST && largest <= FN_MOST); }

/* Rows and columns that are out of the unit's range, in a rectangle that has been computed. */
static void fn_again(const fn_product_f32 *g, int64_t i0, int64_t i1, int64_t j0, int64_t j1, const float *of_rows,
                     const float *of_columns, float *scratch)
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

static inline int64_t fn_whole(int64_t n, int64_t of) { return (n + of - 1) / of * of; }
static inline int64_t fn_strips(int64_t n) { return (n + FN_ACROSS - 1) / FN_ACROSS; }

/* The height and width of blocks of C, of `most` sums at most, of which the shorter is `longest` at most: those for which
 * least is packed. */
static void fn_unit_blocks(int64_t m, int64_t n, int64_t most, int64_t longest, int64_t *height, int64_t *width)
{
    int64_t least = INT64_MAX;
    for (int64_t down = 1; down == 1 || (m + down - 1) / down >= 4 * FN_ACROSS; down++) {
        const int64_t high = fn_whole((m + down - 1) / down, FN_ACROSS), there = fn_whole(n, FN_ACROSS);
        int64_t wide = most / high / FN_ACROSS * FN_ACROSS;
        if (wide > there) wide = there;
        if (high > longest && wide > longest) wide = longest;
        if (wide == 0) continue;
        const int64_t along = (n + wide - 1) / wide, packed = m * along + n * down;
        if (packed >= least) continue;
        least = packed;
        *height = high;
        *width = fn_whole((n + along - 1) / along, FN_ACROSS);
    }
}

/* A side of a block, `count` rows of A or columns of B. */
static void fn_begin_side(fn_side *side, int parts, int of_a, const float *from, int64_t index, int64_t k, int64_t count,
                          float *ring, int64_t places, int64_t room, float *largest)
{
    const int form = of_a ? (k == 1 ? FN_ROWS : FN_COLUMNS_TURNED) : index == 1 ? FN_COLUMNS : FN_ROWS_TURNED;
    *side = (fn_side){.from = from, .index = index, .k = k, .form = form, .count = count, .ring = ring, .places = places,
                      .room = room, .largest = largest};
    side->strips = fn_strips(count);
    if (parts > 1) memset(largest, 0, (size_t)fn_whole(count, FN_ACROSS) * sizeof *largest);
}

/* A block of C while it is computed: rows [i0, i1) by columns [j0, j1), over kblocks blocks of k. */
typedef struct {
    const fn_product_f32 *g;
    int64_t i0, i1, j0, j1, kblocks;
    int64_t wide;          /* strips of B of a piece */
    float *sums;           /* FN_UNIT_SUMS of them; where k is one block, those of two pieces at most are used */
    fn_side *a, *b;        /* its packed sides */
    fn_packing packing;
    fn_ending ending;
    int64_t calls, rounds; /* so that sums to be ended are not those that are summed */
} fn_block;

/* Strip r of A by strips [x0, x1) of B, over block kb of k. parts: constant. */
FN_INLINE void fn_unit_strips(const int parts, fn_block *c, int64_t kb, int64_t r, int64_t x0, int64_t x1)
{
    fn_side *const a = c->a, *const b = c->b;
    fn_packing *const w = &c->packing;
    const int64_t steps = fn_even(w->ksteps, c->kblocks, kb + 1) - fn_even(w->ksteps, c->kblocks, kb);
    const int64_t near = FN_UNIT_NEAR_OF(parts), turns = (steps + near - 1) / near; /* of what L1 holds */
    const int64_t first_a = kb * a->strips, first_b = kb * b->strips;
    const int64_t i = c->i0 + r * FN_ACROSS, rows = c->i1 - i < FN_ACROSS ? c->i1 - i : FN_ACROSS;
    for (int64_t turn = 0; turn < turns; turn++) {
        const int64_t s = fn_even(steps, turns, turn), deep = fn_even(steps, turns, turn + 1) - s;
        for (int64_t x = x0; x < x1; x++, c->calls++) {
            const int64_t j = c->j0 + x * FN_ACROSS, width = c->j1 - j < FN_ACROSS ? c->j1 - j : FN_ACROSS;
            const int64_t wait = c->kblocks > 1 ? r * b->strips + x
                                 : turns > 1    ? c->rounds % 2 * c->wide + x - x0
                                                : c->calls % 2;
            float *const at = c->sums + wait * FN_ACROSS * FN_ACROSS;
            while (a->packed <= first_a + r || b->packed <= first_b + x) fn_pack_now(parts, w);
            fn_unit(parts, rows, width, kb == 0 && turn == 0, at,
                    fn_place(a, first_a + r) + s * parts * fn_registers(rows) * FN_WORDS,
                    fn_place(b, first_b + x) + s * parts * fn_registers(width) * FN_WORDS, deep, w, &c->ending);
            fn_end_rest(&c->ending);
            if (turn + 1 < turns) continue;
            if (kb + 1 == c->kblocks) c->ending = (fn_ending){c->g, at, i, rows, j, width};
            if (r + 1 == a->strips) b->done++;
        }
    }
    c->rounds++;
}

/* The block whose product, place, sums and sides are given. parts: constant. */
FN_INLINE void fn_unit_block(const int parts, fn_block *c)
{
    fn_side *const a = c->a, *const b = c->b;
    const int a_stays = a->strips <= b->strips;
    fn_packing *const w = &c->packing;
    c->ending = (fn_ending){.g = c->g};
    c->calls = c->rounds = 0;
    w->stays = a_stays ? a : b;
    w->passes = a_stays ? b : a;
    w->parts = parts;
    w->piece = a_stays ? b->places / 2 : 1;
    w->k = c->g->k;
    w->ksteps = (c->g->k + FN_DEEP - 1) / FN_DEEP;
    w->kblocks = c->kblocks;
    w->block = w->begun_of_stays = w->begun_of_passes = 0;
    w->side = NULL;
    c->wide = a_stays ? w->piece : b->strips;
    for (int64_t kb = 0; kb < c->kblocks; kb++)
        for (int64_t x0 = 0, x1; x0 < b->strips; x0 = x1) {
            x1 = b->strips - x0 < c->wide ? b->strips : x0 + c->wide;
            for (int64_t r = 0; r < a->strips; r++) {
                fn_unit_strips(parts, c, kb, r, x0, x1);
                if (x1 == b->strips) a->done++;
            }
        }
    fn_end_rest(&c->ending);
}

/* Rows [i0, i1) by columns [j0, j1), FN_UNIT_MOST of each at most. parts: constant. */
FN_INLINE void fn_by_unit_body(const int parts, const fn_product_f32 *g, int64_t i0, int64_t i1, int64_t j0, int64_t j1,
                               float *scratch)
{
    const int64_t ksteps = (g->k + FN_DEEP - 1) / FN_DEEP, near = FN_UNIT_NEAR_OF(parts);
    const int64_t down = fn_strips(i1 - i0), across = fn_strips(j1 - j0);
    const int64_t fewer = down < across ? down : across, more = down < across ? across : down;
    /* k is not divided where the one side is short enough to stay so, and the other passes it often */
    const int64_t strip = ksteps * parts * FN_ACROSS * FN_DEEP * 2; /* bytes of one, of all k */
    const int stays_whole = more >= 4 * fewer && (fewer + 2) * strip <= FN_UNIT_STAYS_BYTES && 2 * strip <= FN_UNIT_PASSES_BYTES;
    const int one = stays_whole || (parts == 1 && ksteps <= FN_UNIT_WHOLE_1);
    const int64_t kblocks = one ? 1 : (ksteps + near - 1) / near;
    const int64_t room = (ksteps + kblocks - 1) / kblocks * parts * FN_ACROSS * FN_SQUARE; /* of a strip */
    const int64_t places = FN_UNIT_STAYS_BYTES / 4 / room, most = FN_UNIT_PASSES_BYTES / 4 / room;
    const int64_t passing = most < FN_UNIT_PASSING ? most : FN_UNIT_PASSING;
    float *const sums = scratch, *const stays = sums + FN_UNIT_SUMS, *const passes = stays + places * room;
    float *const of_rows = scratch + FN_SCRATCH_BYTES / 4 - 2 * FN_UNIT_MOST, *const of_columns = of_rows + FN_UNIT_MOST;
    int64_t high = 0, wide = 0;
    fn_unit_blocks(i1 - i0, j1 - j0, kblocks > 1 ? FN_UNIT_SUMS : INT64_MAX, (places - 2) * FN_ACROSS, &high, &wide);
    for (int64_t i = i0, i_end; i < i1; i = i_end) {
        i_end = i1 - i < high ? i1 : i + high;
        for (int64_t j = j0, j_end; j < j1; j = j_end) {
            j_end = j1 - j < wide ? j1 : j + wide;
            const int a_stays = fn_strips(i_end - i) <= fn_strips(j_end - j);
            fn_side a, b;
            fn_begin_side(&a, parts, 1, g->a + i * g->ra, g->ra, g->ca, i_end - i, a_stays ? stays : passes,
                          a_stays ? 0 : passing, room, of_rows);
            fn_begin_side(&b, parts, 0, g->b + j * g->cb, g->cb, g->rb, j_end - j, a_stays ? passes : stays,
                          a_stays ? passing : 0, room, of_columns);
            if (a_stays)
                a.places = a.strips + 2;
            else
                b.places = b.strips + 2;
            fn_block block;
            block.g = g;
            block.i0 = i;
            block.i1 = i_end;
            block.j0 = j;
            block.j1 = j_end;
            block.kblocks = kblocks;
            block.sums = sums;
            block.a = &a;
            block.b = &b;
            fn_unit_block(parts, &block);
            if (parts > 1) fn_again(g, i, i_end, j, j_end, of_rows, of_columns, scratch);
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

/* Whether the whole product is faster so, by what its precision allows. Picoseconds for a multiply-add of the unit, a number
 * that is packed, and a multiply-add without the unit, or a little less: measured on Granite Rapids (2026-11). A gradient
 * of weights (A transposed) may be made block of rows by block of rows, to the bits of the whole: its rows are not asked. */
FN_INLINE int fn_unit_pays(const fn_product_f32 *g)
{
    static const double costs[3][3] = {[FN_PRECISION_highest] = {3.6, 210, 8},
                                       [FN_PRECISION_high] = {2, 200, 8},
                                       [FN_PRECISION_medium] = {1.1, 90, 4.4}};
    if (g->m < FN_ACROSS || g->n < FN_ACROSS || g->k < FN_DEEP) return 0;
    const double *const cost = costs[g->precision];
    const int64_t rows = g->ca == 1 ? g->m : g->n + g->n / 2;
    const int64_t m = fn_whole(rows, FN_SQUARE), n = fn_whole(g->n, FN_SQUARE), k = fn_whole(g->k, FN_DEEP);
    const double unit = cost[0] * (double)(m * n * k) + cost[1] * (double)((m + n) * k);
    return unit < cost[2] * (double)(rows * g->n * g->k) &&
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
