/* How a range of work is divided among parts. Only begin and end depend on the number of parts; what is computed for
 * one element must not. */
#ifndef FN_SPLIT_H
#define FN_SPLIT_H

#include "part.h"

#include <stdint.h>

/* n / d of n >= 0 and d > 0. A division of 64 bits takes 40 to 90 cycles on many processors, one of 32 bits 26. */
static inline int64_t fn_quotient(int64_t n, int64_t d)
{
    return (n | d) >> 32 ? n / d : (int64_t)((uint32_t)n / (uint32_t)d);
}

/* [*begin, *end): the share of part `index` of `count` in n items, in whole grains (the last one may be short).
 * A grain of a cache line of outputs keeps two parts from writing the same line. */
static inline void fn_split(int64_t n, int64_t grain, int64_t index, int64_t count, int64_t *begin, int64_t *end)
{
    if (count == 1) {
        *begin = 0;
        *end = n;
        return;
    }
    const int64_t grains = fn_quotient(n + grain - 1, grain);
    const int64_t each = fn_quotient(grains, count), rest = grains - each * count;
    const int64_t first = index * each + (index < rest ? index : rest);
    const int64_t last = first + each + (index < rest ? 1 : 0);
    *begin = first * grain < n ? first * grain : n;
    *end = last * grain < n ? last * grain : n;
}

/* The same of items that belong to rows, as many to each: the part's rows, where it has been given some. */
static inline void fn_split_rows(int64_t n, int64_t grain, const fn_part *part, int64_t *begin, int64_t *end)
{
    if (part->rows > 0) {
        const int64_t each = fn_quotient(n, part->rows);
        *begin = part->first * each;
        *end = part->last * each;
    } else {
        fn_split(n, grain, part->index, part->count, begin, end);
    }
}

#endif
