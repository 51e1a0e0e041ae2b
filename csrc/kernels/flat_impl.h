/* The loop of an elementwise kernel over a flat range, for one dtype: whole vectors, a part vector at the end, and
 * stores past the caches where the output is large. Included by all_impl.h before every kernel.
 *
 *   int64_t begin, end;
 *   fn_split_rows(a->n, FN_LINE, part, &begin, &end);
 *   FN_FLAT(a->y, begin, end, FN_STREAMS(a->n, a->y != a->x), VF(add)(FN_LOAD(a->x), FN_LOAD(a->z)));
 *
 * a) The value is an expression of a vector, evaluated for the elements from i on, of which there are `count`; both
 *    names may be used in it. FN_LOAD(p) are those elements of p. What is read may be y itself.
 * b) An element's value is the same arithmetic wherever it lies, so its bits depend neither on the split nor on
 *    alignment: a part vector is loaded with zeros, computed like a whole one, and stored in part.
 * c) A store past the caches saves reading the line it writes, but loses what the next kernel could find in the cache:
 *    only for outputs beyond FN_STREAM_BYTES (kernels.h), and never in place, where the line is there already.
 * d) Where a vector takes long, a processor that has many under way sees too few lines ahead, and its prefetchers slow
 *    down with it: of arrays beyond the caches what is FN_AHEAD_BYTES further is asked for (FN_LOAD_ASKING). 2026-11,
 *    Granite Rapids, 256 MB of float32, 1 thread: gelu 112 -> 37 ms, sigmoid 39 -> 21, tanh 27 -> 20.
 * e) FN_FLAT_OPEN is the same for a row of many: the caller ends its last row with v_fence() if it streamed. */
#undef FN_LINE
#undef FN_STREAMS
#undef FN_REACH
#undef FN_LOAD
#undef FN_LOAD_ASKING
#undef FN_FLAT
#undef FN_FLAT_OPEN

/* Elements of a cache line: the grain of splitting. */
#define FN_LINE ((int64_t)(64 / sizeof(FN_T)))

/* Whether an output of n elements goes past the caches; `apart`: it is none of the inputs. */
#define FN_STREAMS(n, apart) ((apart) && (n) > (int64_t)(FN_STREAM_BYTES / sizeof(FN_T)))

/* Where the arrays of an elementwise kernel of n elements lie, and where its output goes. */
#ifndef FN_AHEAD_BYTES
#define FN_AHEAD_BYTES 2048
enum fn_reach { FN_NEAR, FN_FAR, FN_FAR_PAST };
#endif
#define FN_REACH(n, apart) (FN_STREAMS(n, 1) ? (apart) ? FN_FAR_PAST : FN_FAR : FN_NEAR)

/* count elements from p, 0 <= count <= LANES; no test remains where count is the constant LANES. */
FN_INLINE V FN_NAME(fn_load)(const FN_T *p, int64_t count)
{
    return count == LANES ? VF(load)(p) : VF(load_part)(p, count);
}

/* The first count lanes of a to p; likewise. */
FN_INLINE void FN_NAME(fn_store)(FN_T *p, V a, int64_t count)
{
    if (count == LANES)
        VF(store)(p, a);
    else
        VF(store_part)(p, a, count);
}

/* Elements until p is aligned to the vector, at most n. */
FN_INLINE int64_t FN_NAME(fn_unaligned)(const FN_T *p, int64_t n)
{
    const int64_t head = (int64_t)((0 - (uintptr_t)p / sizeof(FN_T)) & (uintptr_t)(LANES - 1));
    return head < n ? head : n;
}

#define FN_LOAD(p) FN_NAME(fn_load)((p) + i, count)

/* The same, `ahead` elements further asked for; 0 asks for what is loaded anyway, which costs less than a loop more. */
#define FN_LOAD_ASKING(p, ahead) (__builtin_prefetch((p) + i + (ahead)), FN_LOAD(p))

#define FN_FLAT_OPEN(y, begin, end, past, value)                                                        \
    do {                                                                                                \
        FN_T *const flat_y = (y);                                                                       \
        const int64_t flat_end = (end);                                                                 \
        int64_t i = (begin);                                                                            \
        if (past) {                                                                                     \
            const int64_t count = FN_NAME(fn_unaligned)(flat_y + i, flat_end - i);                      \
            if (count) VF(store_part)(flat_y + i, (value), count);                                      \
            i += count;                                                                                 \
            for (; i + LANES <= flat_end; i += LANES) {                                                 \
                enum { count = LANES };                                                                 \
                VF(stream)(flat_y + i, (value));                                                        \
            }                                                                                           \
        } else {                                                                                        \
            for (; i + LANES <= flat_end; i += LANES) {                                                 \
                enum { count = LANES };                                                                 \
                VF(store)(flat_y + i, (value));                                                         \
            }                                                                                           \
        }                                                                                               \
        if (i < flat_end) {                                                                             \
            const int64_t count = flat_end - i;                                                         \
            VF(store_part)(flat_y + i, (value), count);                                                 \
        }                                                                                               \
    } while (0)

#define FN_FLAT(y, begin, end, past, value)                                                             \
    do {                                                                                                \
        FN_FLAT_OPEN(y, begin, end, past, value);                                                       \
        if (past) v_fence();                                                                            \
    } while (0)
