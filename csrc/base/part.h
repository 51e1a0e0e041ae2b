/* A part of a call: what every kernel is given beside its arguments, and what the team hands out.
 *
 * Reads nothing; is read by team.h and by kernels.h, which need not know each other. */
#ifndef FN_PART_H
#define FN_PART_H

#include <stdint.h>

/* Bytes of scratch each part may use, 64-byte aligned, content undefined before and after. */
#define FN_SCRATCH_BYTES (5 * 1024 * 1024)

/* The share of a call: part `index` of `count`; scratch as above. */
typedef struct {
    int64_t index, count;
    void *scratch;
} fn_part;

/* args: the kernel's own struct; see kernels.def for formula, shapes and aliasing. */
typedef void (*fn_kernel)(const void *args, const fn_part *part);

#endif
