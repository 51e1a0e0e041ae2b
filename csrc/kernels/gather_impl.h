/* Rows in: gathered by index from any listed dtype, converted, shifted and scaled; and labels checked against a range.
 *
 * a) One plain loop for each source dtype, made by a macro; the compiler turns it into vectors of the instruction set.
 *    The conversion is that of a C cast, before the arithmetic.
 * b) Rows of a shuffled index lie anywhere: while one is converted, the one that comes FN_GATHER_AHEAD bytes of rows
 *    later is prefetched.
 * c) Only a shift or only a scale is given together with zeros or ones for the other, which change no value. */
#undef FN_GATHER_STRIP
#define FN_GATHER_STRIP 2048 /* columns, of which zeros or ones fit into scratch */

#ifndef FN_GATHER_AHEAD
#define FN_GATHER_AHEAD 4096 /* bytes, but at least 3 rows and at most 32 */
#define FN_GATHER_BYTES 4096 /* of a row that are prefetched; beyond, the processor has seen the pattern */

static inline int64_t fn_gather_ahead(int64_t bytes)
{
    const int64_t rows = FN_GATHER_AHEAD / (bytes + 1);
    return rows < 3 ? 3 : rows > 32 ? 32 : rows;
}

/* Fetches a row, or its beginning, into the cache. */
static inline void fn_gather_prefetch(const void *row, int64_t bytes)
{
    const char *p = row;
    const int64_t end = bytes < FN_GATHER_BYTES ? bytes : FN_GATHER_BYTES;
    for (int64_t at = 0; at < end; at += 64) __builtin_prefetch(p + at);
}
#endif

/* Rows [begin, end) of y, columns j to j + cols - 1; shift and scale, of `cols` elements, both or neither. */
#define FN_GATHER(type, TYPE)                                                                           \
    static void FN_NAME(fn_gather_##type)(const FN_NAME(fn_gather_rows_args) *a, int64_t begin,         \
                                          int64_t end, int64_t j, int64_t cols,                         \
                                          const FN_T *restrict shift, const FN_T *restrict scale)       \
    {                                                                                                   \
        const TYPE *const source = (const TYPE *)a->x + j;                                              \
        const int64_t bytes = cols * (int64_t)sizeof(TYPE), ahead = fn_gather_ahead(bytes);             \
        for (int64_t i = begin; i < end; i++) {                                                         \
            const TYPE *restrict x = source + (a->index ? a->index[i] : i) * a->ld_x;                   \
            FN_T *restrict y = a->y + i * a->ld_y + j;                                                  \
            if (a->index && i + ahead < end)                                                            \
                fn_gather_prefetch(source + a->index[i + ahead] * a->ld_x, bytes);                      \
            if (shift)                                                                                  \
                for (int64_t c = 0; c < cols; c++) y[c] = ((FN_T)x[c] - shift[c]) * scale[c];           \
            else                                                                                        \
                for (int64_t c = 0; c < cols; c++) y[c] = (FN_T)x[c];                                   \
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
    fn_split(a->m, 1, part->index, part->count, &begin, &end);
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

#ifndef FN_OUTSIDE
#define FN_OUTSIDE_BLOCK 1024 /* labels of which the largest is found before any is looked for */

/* The lowest i with (unsigned)index[i] > last, or -1: a negative label is a large one when it is taken as unsigned. The
 * largest of a block needs no branch, so the compiler makes vectors of it. */
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
            for (int64_t i = begin; largest > last; i++)                                                \
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
