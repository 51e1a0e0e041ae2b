/* All that the Cython border sees of the C library. */
#ifndef FUSEDNET_H
#define FUSEDNET_H

#include "kernels.h"
#include "run.h"
#include "team.h"

/* ---- instruction sets, best first ---- */
int fn_isa_count(void);                   /* how many were built */
const char *fn_isa_name(int i);           /* "avx512", ... */
int fn_isa_supported(int i);              /* whether this processor and system can run it */
const fn_table *fn_isa_table(int i);

/* ---- calls ---- */

/* Processor cycles the call takes on one core, about. */
int64_t fn_kernel_cost(int kernel, const void *args);

/* How many of `threads` threads a call of that cost is worth: more never make it slower. */
int fn_parts(int64_t cost, int threads);

/* One kernel call on `parts` parts; team may be NULL where parts is 1. 0, or -1 if the scratch cannot be had. */
int fn_call(const fn_table *table, int is_double, int kernel, const void *args, fn_team *team, int parts);

/* ---- ceilings ---- */
enum fn_probe_what { FN_PROBE_FMA, FN_PROBE_DOT, FN_PROBE_READ, FN_PROBE_WRITE, FN_PROBE_UPDATE };

/* A probe of the table `repeat` times on each of `parts` parts of an array of n elements (n a multiple of 1024 * parts,
 * 64-byte aligned; not used by FN_PROBE_FMA and FN_PROBE_DOT); team may be NULL where parts is 1. FN_PROBE_DOT needs a
 * table that has it. The caller takes the time. */
void fn_probe_run(const fn_table *table, int is_double, int what, void *array, int64_t n, int64_t repeat, fn_team *team,
                  int parts);

#endif
