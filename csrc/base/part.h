/* A part of a call: what every kernel is given beside its arguments, and what the team hands out.
 *
 * Reads nothing; is read by team.h and by kernels.h, which need not know each other. */
#ifndef FN_PART_H
#define FN_PART_H

#include <stdint.h>

/* Bytes of scratch each part may use, 64-byte aligned, content undefined before and after. */
#define FN_SCRATCH_BYTES (5 * 1024 * 1024)

/* The share of a call: part `index` of `count`; scratch as above. How a kernel divides its work is its own choice, but
 * with rows > 0 it works row by row on so many rows, and the share is rows [first, last). Kernels that are divided alike
 * can follow each other without waiting: what a part reads of the one before it has written itself. Which kernels can be
 * told to: `rows` in backends/table.py. */
typedef struct {
    int64_t index, count;
    void *scratch;
    int64_t rows, first, last;
} fn_part;

/* args: the kernel's own struct; see kernels.def for formula, shapes and aliasing. */
typedef void (*fn_kernel)(const void *args, const fn_part *part);

#endif
