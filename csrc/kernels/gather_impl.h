/* Rows in: gathered by index from any listed dtype, converted, shifted and scaled; labels by the same index; and what
 * is looked for in them beforehand, a label outside of a range, a number that is none.
 *
 * a) One plain loop for each source dtype, made by a macro; the compiler turns it into vectors of the instruction set.
 *    The conversion is that of a C cast, before the arithmetic.
 * b) Rows of a shuffled index lie anywhere: while one is converted, the one that comes FN_GATHER_AHEAD bytes of rows
 *    later is prefetched; of wide rows a block of the one before a block of the other. 128 rows of 784 floats out of
 *    60 MB: 30 GB/s read and written without, 44 with the whole row prefetched first, 49 so (2026-11, Zen 5).
 * c) Only a shift or only a scale is given together with zeros or ones for the other, which change no value. */
#undef FN_GATHER_STRIP
#define FN_GATHER_STRIP 2048 /* columns, of which zeros or ones fit into scratch */

#ifndef FN_GATHER_AHEAD
#define FN_GATHER_AHEAD 4096 /* bytes, but at least 3 rows and at most 32 */
#define FN_GATHER_BYTES 4096 /* of a row that are prefetched; beyond, the processor has seen the pattern */
#define FN_GATHER_WIDE 2048  /* rows from so many bytes on are prefetched block by block */
#define FN_GATHER_BLOCK 512  /* bytes */

static inline int64_t fn_gather_ahead(int64_t bytes)
{
    const int64_t rows = fn_quotient(FN_GATHER_AHEAD, bytes + 1);
    return rows < 3 ? 3 : rows > 32 ? 32 : rows;
}

/* Fetches bytes into the cache. Always inlined: to gcc 12 a call of it has no effect, and is left out. */
FN_INLINE void fn_gather_prefetch(const void *row, int64_t bytes)
{
    const char *p = row;
    for (int64_t at = 0; at < bytes; at += 64) __builtin_prefetch(p + at);
}
#endif

#undef FN_GATHER_SHORT
#define FN_GATHER_SHORT (4 * LANES) /* elements up to which a row is copied here: a call takes longer */

FN_INLINE void FN_NAME(fn_gather_copy)(FN_T *restrict y, const FN_T *restrict x, int64_t n)
{
    int64_t c = 0;
    if (n > FN_GATHER_SHORT) {
        memcpy(y, x, (size_t)n * sizeof(FN_T));
        return;
    }
    for (; c + LANES <= n; c += LANES) VF(store)(y + c, VF(load)(x + c));
    if (c < n) VF(store_part)(y + c, VF(load_part)(x + c, n - c), n - c);
}

/* Of rows [begin, end) of y columns j to j + cols - 1; shift and scale, of `cols` elements, both or neither. */
#define FN_GATHER(type, TYPE)                                                                           \
    FN_INLINE void FN_NAME(fn_convert_##type)(FN_T *restrict y, const TYPE *restrict x, int64_t n,      \
                                              const FN_T *restrict shift, const FN_T *restrict scale)   \
    {                                                                                                   \
        if (shift)                                                                                      \
            for (int64_t c = 0; c < n; c++) y[c] = ((FN_T)x[c] - shift[c]) * scale[c];                  \
        else if (_Generic((TYPE)0, FN_T: 1, default: 0))                                                \
            FN_NAME(fn_gather_copy)(y, (const FN_T *)(const void *)x, n);                               \
        else                                                                                            \
            for (int64_t c = 0; c < n; c++) y[c] = (FN_T)x[c];                                          \
    }                                                                                                   \
    static void FN_NAME(fn_gather_##type)(const FN_NAME(fn_gather_rows_args) *a, int64_t begin,         \
                                          int64_t end, int64_t j, int64_t cols,                         \
                                          const FN_T *restrict shift, const FN_T *restrict scale)       \
    {                                                                                                   \
        enum { BLOCK = FN_GATHER_BLOCK / sizeof(TYPE) };                                                \
        const TYPE *const source = (const TYPE *)a->x + j;                                              \
        const int64_t size = sizeof(TYPE), ahead = fn_gather_ahead(cols * size);                        \
        for (int64_t i = begin; i < end; i++) {                                                         \
            const TYPE *const x = source + (a->index ? a->index[i] : i) * a->ld_x;                      \
            FN_T *const y = a->y + i * a->ld_y + j;                                                     \
            int64_t c = 0;                                                                              \
            if (a->index && i + ahead < end) {                                                          \
                const TYPE *const later = source + a->index[i + ahead] * a->ld_x;                       \
                if (cols * size < FN_GATHER_WIDE) fn_gather_prefetch(later, cols * size);               \
                else for (; c + BLOCK <= cols && c * size < FN_GATHER_BYTES; c += BLOCK) {              \
                    fn_gather_prefetch(later + c, FN_GATHER_BLOCK);                                     \
                    FN_NAME(fn_convert_##type)(y + c, x + c, BLOCK, shift ? shift + c : NULL,           \
                                               shift ? scale + c : NULL);                               \
                }                                                                                       \
            }                                                                                           \
            FN_NAME(fn_convert_##type)(y + c, x + c, cols - c, shift ? shift + c : NULL,                \
                                       shift ? scale + c : NULL);                                       \
        }                                                                                               \
    }
FN_GATHER(float32, float)
FN_GATHER(float64, double)
FN_GATHER(int8, int8_t)
FN_GATHER(uint8, uint8_t)
FN_GATHER(int16, int16_t)
FN_GATHER(uint16, uint16_t)
FN_GATHER(int32, int32_t)
FN_GATHER(uint32, uint32_t)
FN_GATHER(int64, int64_t)
FN_GATHER(uint64, uint64_t)
#undef FN_GATHER

FN_DEFINE(gather_rows)
{
    FN_T *const filler = part->scratch;
    const int plain = !a->shift && !a->scale;
    int64_t begin, end;
    fn_split_rows(a->m, 1, part, &begin, &end);
    if (!plain)
        for (int64_t c = 0; c < FN_GATHER_STRIP; c++) filler[c] = a->shift ? 1 : 0;
    for (int64_t j = 0; j < a->n; j += FN_GATHER_STRIP) {
        const int64_t cols = plain || a->n - j < FN_GATHER_STRIP ? a->n - j : FN_GATHER_STRIP;
        const FN_T *const shift = plain ? NULL : a->shift ? a->shift + j : filler;
        const FN_T *const scale = plain ? NULL : a->scale ? a->scale + j : filler;
        switch (a->type_x) {
#define FN_TYPE(name) \
    case FN_TYPE_##name: FN_NAME(fn_gather_##name)(a, begin, end, j, cols, shift, scale); break;
#include "kernels.def"
        default: break;
        }
        if (plain) break;
    }
}

/* ---- labels -------------------------------------------------------------------------------------------------- */

FN_DEFINE(gather_labels)
{
    int64_t begin, end;
    fn_split_rows(a->m, 16, part, &begin, &end);
    switch (a->type_y) {
#define FN_LABELS(name, TYPE)                                                                           \
    case FN_TYPE_##name:                                                                                \
        for (int64_t i = begin; i < end; i++)                                                           \
            a->label[i] = (int32_t)((const TYPE *)a->y)[a->index ? a->index[i] : i];                    \
        break;
        FN_LABELS(int8, int8_t)
        FN_LABELS(uint8, uint8_t)
        FN_LABELS(int16, int16_t)
        FN_LABELS(uint16, uint16_t)
        FN_LABELS(int32, int32_t)
        FN_LABELS(uint32, uint32_t)
        FN_LABELS(int64, int64_t)
        FN_LABELS(uint64, uint64_t)
#undef FN_LABELS
    default: break;
    }
}

#ifndef FN_OUTSIDE
#define FN_OUTSIDE_BLOCK 1024 /* labels of which the largest is found before any is looked for */

/* The lowest i with (unsigned)index[i] > last, or -1: a negative label is a large one when it is taken as unsigned. The
 * largest of a block needs no branch, so the compiler makes vectors of it. What was seen in a block need not be there any
 * more when it is looked for: another thread may write, so the search ends with the block. */
#define FN_OUTSIDE(name, TYPE, UNSIGNED)                                                                \
    static int64_t fn_outside_##name(const TYPE *index, int64_t m, UNSIGNED last)                       \
    {                                                                                                   \
        for (int64_t begin = 0; begin < m; begin += FN_OUTSIDE_BLOCK) {                                 \
            const int64_t end = m - begin < FN_OUTSIDE_BLOCK ? m : begin + FN_OUTSIDE_BLOCK;            \
            UNSIGNED largest = 0;                                                                       \
            for (int64_t i = begin; i < end; i++) {                                                     \
                const UNSIGNED label = (UNSIGNED)index[i];                                              \
                largest = label > largest ? label : largest;                                            \
            }                                                                                           \
            for (int64_t i = begin; largest > last && i < end; i++)                                     \
                if ((UNSIGNED)index[i] > last) return i;                                                \
        }                                                                                               \
        return -1;                                                                                      \
    }
FN_OUTSIDE(int8, int8_t, uint8_t)
FN_OUTSIDE(uint8, uint8_t, uint8_t)
FN_OUTSIDE(int16, int16_t, uint16_t)
FN_OUTSIDE(uint16, uint16_t, uint16_t)
FN_OUTSIDE(int32, int32_t, uint32_t)
FN_OUTSIDE(uint32, uint32_t, uint32_t)
FN_OUTSIDE(int64, int64_t, uint64_t)
FN_OUTSIDE(uint64, uint64_t, uint64_t)
#endif

FN_DEFINE(find_outside)
{
    if (part->index != 0) return;
    if (a->limit <= 0) {
        a->first[0] = a->m > 0 ? 0 : -1;
        return;
    }
    const uint64_t last = (uint64_t)a->limit - 1; /* and no type's own largest value is outside for being above it */
#define FN_OUTSIDE_CASE(name, UNSIGNED, LARGEST)                                                        \
    case FN_TYPE_##name:                                                                                \
        a->first[0] = fn_outside_##name(a->index, a->m, (UNSIGNED)(last < LARGEST ? last : LARGEST));   \
        return;
    switch (a->type_index) {
        FN_OUTSIDE_CASE(int8, uint8_t, INT8_MAX)
        FN_OUTSIDE_CASE(uint8, uint8_t, UINT8_MAX)
        FN_OUTSIDE_CASE(int16, uint16_t, INT16_MAX)
        FN_OUTSIDE_CASE(uint16, uint16_t, UINT16_MAX)
        FN_OUTSIDE_CASE(int32, uint32_t, INT32_MAX)
        FN_OUTSIDE_CASE(uint32, uint32_t, UINT32_MAX)
        FN_OUTSIDE_CASE(int64, uint64_t, INT64_MAX)
        FN_OUTSIDE_CASE(uint64, uint64_t, UINT64_MAX)
    default: a->first[0] = -1;
    }
#undef FN_OUTSIDE_CASE
}

/* ---- NaN and infinity ---------------------------------------------------------------------------------------- */

#ifndef FN_NONFINITE
#define FN_NONFINITE_BLOCK 1024 /* elements that are tested together before any is looked for */
#define FN_NONFINITE_SIDE 8     /* vectors side by side, to hide the latency of one */

/* The first of n elements that is no finite number, or -1. 0 x is NaN for just those, and a sum with NaN is NaN.
 * The search ends with the block, as above. */
#define FN_NONFINITE(S, TYPE)                                                                           \
    static int64_t fn_nonfinite_##S(const TYPE *x, int64_t n)                                           \
    {                                                                                                   \
        enum { SIDE = FN_NONFINITE_SIDE * FN_LANES_##S };                                               \
        const v_##S zero = v_set1_##S(0);                                                               \
        for (int64_t begin = 0; begin < n; begin += FN_NONFINITE_BLOCK) {                               \
            const int64_t end = n - begin < FN_NONFINITE_BLOCK ? n : begin + FN_NONFINITE_BLOCK;        \
            v_##S sum[FN_NONFINITE_SIDE];                                                               \
            int64_t i = begin;                                                                          \
            for (int k = 0; k < FN_NONFINITE_SIDE; k++) sum[k] = zero;                                  \
            for (; i + SIDE <= end; i += SIDE)                                                          \
                for (int k = 0; k < FN_NONFINITE_SIDE; k++)                                             \
                    sum[k] = v_fma_##S(v_load_##S(x + i + k * FN_LANES_##S), zero, sum[k]);             \
            for (; i < end; i += FN_LANES_##S) {                                                        \
                const int64_t count = end - i < FN_LANES_##S ? end - i : FN_LANES_##S;                  \
                sum[0] = v_fma_##S(v_load_part_##S(x + i, count), zero, sum[0]);                        \
            }                                                                                           \
            for (int k = 1; k < FN_NONFINITE_SIDE; k++) sum[0] = v_add_##S(sum[0], sum[k]);             \
            if (v_all_##S(v_eq_##S(sum[0], zero))) continue;                                            \
            for (i = begin; i < end; i++)                                                               \
                if (x[i] * 0 != 0) return i;                                                            \
        }                                                                                               \
        return -1;                                                                                      \
    }
FN_NONFINITE(f32, float)
FN_NONFINITE(f64, double)
#endif

FN_DEFINE(find_nonfinite)
{
    if (part->index != 0) return;
    a->first[0] = -1;
    if (a->type_x != FN_TYPE_float32 && a->type_x != FN_TYPE_float64) return;
    const int whole = a->ld_x == a->n || a->m == 1; /* without padding it is one long row */
    const int64_t rows = whole ? 1 : a->m, columns = whole ? a->m * a->n : a->n;
    for (int64_t i = 0; i < rows; i++) {
        const int64_t j = a->type_x == FN_TYPE_float32 ? fn_nonfinite_f32((const float *)a->x + i * a->ld_x, columns)
                                                       : fn_nonfinite_f64((const double *)a->x + i * a->ld_x, columns);
        if (j < 0) continue;
        a->first[0] = i * a->n + j;
        return;
    }
}
