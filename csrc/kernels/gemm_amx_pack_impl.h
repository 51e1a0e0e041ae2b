/* Rows of A and columns of B as the matrix unit's registers (gemm_amx_impl.h): squares of 16 rows of 16 words. A word is
 * a pair of bfloat16 numbers, here of k and k + 16: so whole vectors are split in parts, and no number moves along its
 * vector. A's squares have rows of C, 32 k side by side; B's have pairs of k, 16 columns side by side.
 *
 * They are packed beside the unit's work: strips of two squares for each 32 k, in the order in which they are used first,
 * into a ring of places, as far ahead as there are free ones. The processor looks ahead of what its unit has to do no more
 * than some four products of registers, and the unit's loads wait until the addresses of all stores before them are known
 * (Granite Rapids, 2026-11). So after each four a few rows are packed, whose addresses were known when the loop began: that
 * costs nothing as long as L1 holds all of it, half of what it takes alone where L2 does. A whole square after 24 products,
 * or addresses that have to be looked up, cost what they take alone. */

#include <immintrin.h>

enum {
    FN_SQUARE = FN_AMX_ROWS, /* 16: rows, and words of a row, of a register */
    FN_DEEP = 32,            /* k of one */
    FN_WORDS = 256,          /* of one */
    FN_ACROSS = 32,          /* rows, columns of a strip */
    FN_TASK_SQUARES = 8,     /* that are packed beside the unit between two looks at what is next */
    FN_AT_ONCE = 2           /* strips that are packed together where memory has lines of k: 256 bytes of each line */
};

/* ---- a square ---- */

/* Pairs of low and high rounded to nearest even, as words. */
FN_INLINE __m512i fn_rounded_pairs(__m512 low, __m512 high)
{
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21,
                                           5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(high, low));
}

/* Pairs of the upper halves of low and high as words. */
FN_INLINE __m512i fn_upper_pairs(__m512i low, __m512i high)
{
    const __m512i upper = _mm512_set4_epi32(0x0f0e0f0e, 0x0b0a0b0a, 0x07060706, 0x03020302);
    return _mm512_mask_shuffle_epi8(high, 0x3333333333333333, low, upper);
}

/* Pairs of low and high as words, one vector for each part, `apart` floats from part to part. parts: constant. The last of
 * one or two parts is rounded as everybody's bfloat16, those before by half a unit, and of three the last has no more
 * than 8 bits: it is exact. What is NaN is so in the last. */
FN_INLINE void fn_parts_of(const int parts, float *to, int64_t apart, __m512 low, __m512 high)
{
    const __m512i half = _mm512_set1_epi32(0x8000), upper = _mm512_set1_epi32((int)0xffff0000);
#pragma GCC unroll 2
    for (int p = 0; p + 1 < parts; p++) {
        const __m512i l = _mm512_add_epi32(_mm512_castps_si512(low), half);
        const __m512i h = _mm512_add_epi32(_mm512_castps_si512(high), half);
        _mm512_storeu_si512(to + p * apart, fn_upper_pairs(l, h));
        low = _mm512_sub_ps(low, _mm512_castsi512_ps(_mm512_and_si512(l, upper)));
        high = _mm512_sub_ps(high, _mm512_castsi512_ps(_mm512_and_si512(h, upper)));
    }
    _mm512_storeu_si512(to + (parts - 1) * apart,
                        parts == 3 ? fn_upper_pairs(_mm512_castps_si512(low), _mm512_castps_si512(high))
                                   : fn_rounded_pairs(low, high));
}

/* The largest magnitudes, NaN left out. */
FN_INLINE __m512 fn_larger(__m512 limit, __m512 low, __m512 high)
{
    enum { magnitude = 0x0b }; /* the larger magnitude, without its sign */
    return _mm512_range_ps(_mm512_range_ps(limit, low, magnitude), high, magnitude);
}

/* How a side lies in memory: its lines are of the index, k side by side, or of k; and whether registers have rows of what
 * memory has side by side. */
enum fn_form { FN_ROWS, FN_ROWS_TURNED, FN_COLUMNS, FN_COLUMNS_TURNED, FN_FORMS };
#define FN_TURNED(form) ((form) % 2)
#define FN_BY_K(form) ((form) >= FN_COLUMNS)
#define FN_OF_ROWS(parts, form) ((parts) > 1 && (form) == FN_ROWS) /* the largest are found row by row of registers */

/* 16 of the index by 32 k from `from` on, to registers of each part from `to` on. largest: of each of the index, by vector;
 * if FN_OF_ROWS, a vector for each. */
typedef struct {
    float *to;
    const float *from;
    float *largest;
} fn_square;

/* Floats from part to part, from line to line, and to the lines, or places in them, that have the second half of k. */
typedef struct {
    int64_t apart, ld, next;
} fn_strides;

/* Squares of a strip, or of some side by side, to be packed together. */
typedef struct {
    int form, count, ends_strips;
    fn_strides strides;
    fn_square squares[FN_TASK_SQUARES];
} fn_task;

/* Four products of registers, of a step of the unit, and beside how many of them a square is packed. */
#define FN_FOURS(parts) ((parts) == 3 ? 6 : (parts) == 2 ? 3 : 1)
#define FN_STEPS_OF_SQUARE(parts, form) (FN_TURNED(form) && (parts) < 3 ? 2 : 1)

/* Packs what belongs to the `four`th of them. low, high: FN_WORDS floats for the time between. parts, form: constants. */
FN_INLINE void fn_pack_some(const int parts, const int form, const int four, const fn_strides t, const fn_square q,
                            float *low, float *high)
{
    const int all = FN_FOURS(parts) * FN_STEPS_OF_SQUARE(parts, form);
    const int rounded = parts == 1 && FN_TURNED(form); /* words are turned, half as many as floats */
    const int before = rounded ? 0 : FN_TURNED(form) ? 2 : 0;
    if (four < before) {
        v_transpose_f32(four ? high : low, FN_SQUARE, q.from + (four ? t.next : 0), t.ld);
        return;
    }
    if (rounded && four == 1) {
        v_transpose_f32(q.to, FN_SQUARE, low, FN_SQUARE);
        return;
    }
    const int turns = rounded ? 1 : all - before, turn = four - before;
    const int first = turn * FN_SQUARE / turns, end = (turn + 1) * FN_SQUARE / turns;
    const float *const from_low = before ? low : q.from, *const from_high = before ? high : q.from + t.next;
    const int64_t ld = before ? FN_SQUARE : t.ld;
    __m512 limit = parts > 1 && !FN_OF_ROWS(parts, form) ? _mm512_loadu_ps(q.largest) : _mm512_setzero_ps();
#pragma GCC unroll 16
    for (int r = first; r < end; r++) {
        const __m512 l = _mm512_loadu_ps(from_low + r * ld), h = _mm512_loadu_ps(from_high + r * ld);
        if (rounded) {
            _mm512_store_si512(low + r * FN_SQUARE, fn_rounded_pairs(l, h));
            continue;
        }
        fn_parts_of(parts, q.to + r * FN_SQUARE, t.apart, l, h);
        if (parts == 1) continue;
        if (FN_OF_ROWS(parts, form)) {
            float *const of_row = q.largest + r * FN_SQUARE;
            _mm512_storeu_ps(of_row, fn_larger(_mm512_loadu_ps(of_row), l, h));
        } else if (form == FN_COLUMNS_TURNED) {
            const float *const line = q.from + r * t.ld;
            limit = fn_larger(limit, _mm512_loadu_ps(line), _mm512_loadu_ps(line + t.next));
        } else {
            limit = fn_larger(limit, l, h);
        }
    }
    if (parts > 1 && !FN_OF_ROWS(parts, form)) _mm512_storeu_ps(q.largest, limit);
}

/* Packs all, beside nothing. */
FN_INLINE void fn_pack_all(const int parts, const int form, const fn_task *t)
{
    float low[FN_WORDS] __attribute__((aligned(64))), high[FN_WORDS] __attribute__((aligned(64)));
    for (int n = 0; n < t->count; n++)
#pragma GCC unroll 6
        for (int four = 0; four < FN_FOURS(parts) * FN_STEPS_OF_SQUARE(parts, form); four++)
            fn_pack_some(parts, form, four, t->strides, t->squares[n], low, high);
}

/* The same of `count` of the index and `k` k, the rest 0, as floats. */
static void fn_pad_square(float *to, const float *from, int64_t ld, int by_k, int64_t count, int64_t k)
{
    memset(to, 0, 2 * FN_WORDS * sizeof(float));
    for (int half = 0; half < 2; half++, to += FN_WORDS) {
        const int64_t left = k - half * FN_SQUARE, deep = left < 0 ? 0 : left < FN_SQUARE ? left : FN_SQUARE;
        const int64_t lines = by_k ? deep : count, wide = by_k ? count : deep;
        const float *const first = from + half * FN_SQUARE * (by_k ? ld : 1);
        for (int64_t r = 0; r < lines && wide > 0; r++)
            v_store_f32(to + r * FN_SQUARE, v_load_part_f32(first + r * ld, wide));
    }
}

/* ---- sides and their strips ---- */

/* The rows of A, or columns of B, of a block of C, and the ring of places that their strips are packed to. */
typedef struct {
    const float *from; /* of the first row or column, at k = 0 */
    int64_t index, k;  /* floats from one row or column to the next, from one k to the next; one of them is 1 */
    int form;
    int64_t count, strips; /* rows or columns; their strips */
    float *ring;
    int64_t places, room;  /* floats of one place */
    float *largest;        /* of each row or column, in whole squares; of one part it is not asked for */
    int64_t packed, done;  /* strips so far, block of k after block of k: packed, and needed no more */
} fn_side;

FN_INLINE float *fn_place(const fn_side *side, int64_t strip)
{
    return side->ring + (int64_t)((uint32_t)strip % (uint32_t)side->places) * side->room;
}

/* Both sides, packed in the order of first use. The strips of the side that stays are used with each piece, a few strips,
 * of the one that passes, once for each block of k. */
typedef struct {
    fn_side *stays, *passes;
    int parts;
    int64_t piece;
    int64_t k, ksteps, kblocks; /* of the whole product: k, in steps of 32, in blocks of steps */
    int64_t block;              /* of k whose strips are next, and how many of them have been begun */
    int64_t begun_of_stays, begun_of_passes;
    fn_side *side;              /* of the strips that are being packed; NULL: none is */
    int64_t strips, registers;  /* of those: how many, squares of each for 32 k */
    const float *from;
    float *to[FN_AT_ONCE], *largest;
    int64_t there, deep, square, squares; /* rows or columns, k; squares done, and all */
    fn_task task;
    float of_rows[2 * FN_WORDS] __attribute__((aligned(64))); /* vectors of the largest of each */
    float padded[2 * FN_WORDS] __attribute__((aligned(64)));
} fn_packing;

/* The next strips to be packed: 0 if there are none, or no places for them. */
static int fn_begin_strips(fn_packing *w)
{
    if (w->block == w->kblocks) return 0;
    /* some of what passes and of what stays, the rest of the first piece, of what stays, of what passes */
    const int64_t first = w->piece < w->passes->strips ? w->piece : w->passes->strips;
    const int turn_of_stays = w->begun_of_passes > 0 && (w->begun_of_stays == 0 || w->begun_of_passes >= first);
    const int stays = turn_of_stays && w->begun_of_stays < w->stays->strips;
    fn_side *const side = stays ? w->stays : w->passes;
    int64_t *const begun = stays ? &w->begun_of_stays : &w->begun_of_passes;
    const int64_t strip = *begun, there = side->count - strip * FN_ACROSS;
    const int64_t strips = FN_BY_K(side->form) && there >= FN_AT_ONCE * FN_ACROSS ? FN_AT_ONCE : 1;
    if (side->packed - side->done + strips > side->places) return 0;
    const int64_t step = fn_even(w->ksteps, w->kblocks, w->block), end = fn_even(w->ksteps, w->kblocks, w->block + 1);
    w->side = side;
    w->strips = strips;
    w->registers = there > FN_SQUARE ? 2 : 1;
    w->from = side->from + strip * FN_ACROSS * side->index + step * FN_DEEP * side->k;
    for (int64_t s = 0; s < strips; s++) w->to[s] = fn_place(side, side->packed + s);
    w->there = there;
    w->deep = w->k - step * FN_DEEP;
    w->square = 0;
    w->squares = (end - step) * strips * w->registers;
    w->largest = side->largest + strip * FN_ACROSS;
    *begun += strips;
    if (w->begun_of_stays == w->stays->strips && w->begun_of_passes == w->passes->strips) {
        w->begun_of_stays = w->begun_of_passes = 0;
        w->block++;
    }
    return 1;
}

/* The largest of 16 rows, of which there is a vector each. */
static void fn_limit_rows(float *largest, const float *of_rows)
{
    float turned[FN_WORDS] __attribute__((aligned(64)));
    v_transpose_f32(turned, FN_SQUARE, of_rows, FN_SQUARE);
    __m512 limit = _mm512_loadu_ps(largest);
    for (int r = 0; r < FN_SQUARE; r++) limit = _mm512_max_ps(limit, _mm512_load_ps(turned + r * FN_SQUARE));
    _mm512_storeu_ps(largest, limit);
}

/* Makes a task of the next squares that can be packed beside so many steps of the unit, if there are some and a place for
 * them. A square that is not whole is a task of its own. */
static void fn_next_task(fn_packing *w, int64_t steps)
{
    fn_task *const t = &w->task;
    t->count = 0;
    if (!w->side && !fn_begin_strips(w)) return;
    const fn_side *const side = w->side;
    const int64_t beside = steps / FN_STEPS_OF_SQUARE(w->parts, side->form);
    int64_t most = beside < FN_TASK_SQUARES ? beside : FN_TASK_SQUARES;
    const uint32_t beside_each = (uint32_t)(w->strips * w->registers);
    const int by_k = FN_BY_K(side->form), of_rows = FN_OF_ROWS(w->parts, side->form);
    t->form = side->form;
    t->strides.apart = w->registers * FN_WORDS;
    t->strides.ld = by_k ? side->k : side->index;
    t->strides.next = by_k ? FN_SQUARE * t->strides.ld : FN_SQUARE;
    for (; w->square < w->squares && t->count < most; w->square++) {
        const int64_t step = (uint32_t)w->square / beside_each, across = (uint32_t)w->square % beside_each;
        const int64_t there = w->there - across * FN_SQUARE, deep = w->deep - step * FN_DEEP;
        const int whole = there >= FN_SQUARE && deep >= FN_DEEP;
        if (!whole && t->count > 0) break;
        fn_square *const q = t->squares + t->count++;
        q->to = w->to[across / 2] + (step * w->parts * w->registers + across % 2) * FN_WORDS;
        q->from = w->from + across * FN_SQUARE * side->index + step * FN_DEEP * side->k;
        q->largest = of_rows ? w->of_rows + across * FN_WORDS : w->largest + across * FN_SQUARE;
        if (of_rows && step == 0) memset(q->largest, 0, FN_WORDS * sizeof *q->largest);
        if (!whole) {
            fn_pad_square(w->padded, q->from, t->strides.ld, by_k, there < FN_SQUARE ? there : FN_SQUARE, deep);
            q->from = w->padded;
            t->strides.ld = FN_SQUARE;
            t->strides.next = FN_WORDS;
            most = 1;
        }
    }
    t->ends_strips = w->square == w->squares;
}

/* After the task has been done. */
static void fn_end_task(fn_packing *w)
{
    fn_side *const side = w->side;
    if (!w->task.count || !w->task.ends_strips) return;
    for (int64_t half = 0; half < w->registers && FN_OF_ROWS(w->parts, side->form); half++)
        fn_limit_rows(w->largest + half * FN_SQUARE, w->of_rows + half * FN_WORDS);
    side->packed += w->strips;
    w->side = NULL;
}

/* Packs squares, beside nothing. parts: constant. */
FN_INLINE void fn_pack_now(const int parts, fn_packing *w)
{
    fn_next_task(w, 2 * FN_TASK_SQUARES);
    switch (w->task.form) {
    case FN_ROWS: fn_pack_all(parts, FN_ROWS, &w->task); break;
    case FN_ROWS_TURNED: fn_pack_all(parts, FN_ROWS_TURNED, &w->task); break;
    case FN_COLUMNS: fn_pack_all(parts, FN_COLUMNS, &w->task); break;
    default: fn_pack_all(parts, FN_COLUMNS_TURNED, &w->task);
    }
    fn_end_task(w);
}
