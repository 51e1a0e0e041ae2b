/* How finely a run shares out its ops among the team: tried while it runs, because no constant is right.
 *
 * Handing a part to a thread that is awake takes 0.2 microseconds where the two cores share a cache, 1.5 where they do not,
 * and a virtual machine is moved from the one to the other while it runs; other programs take a core away for a time. What
 * wins 1.4 times in the first case (2026-11, 2 threads, job `default`) loses as much in the second.
 *
 * a) A grain is the cycles that a part must be worth. Every grain that makes a difference to the program is used for a few
 *    steps, the one with the shortest step (the lower quartile: waking up, or an interrupt, spoils some) for more, then
 *    all are tried again: the later, the more often the same one has won.
 * b) What is chosen changes no bit of a result: outputs are divided among parts, sums are not. */
#ifndef FN_SHARE_H
#define FN_SHARE_H

#include <stdint.h>

#define FN_SHARE_GRAINS 5
#define FN_SHARE_STEPS 16 /* of a trial of one grain */

typedef struct {
    int grains[FN_SHARE_GRAINS]; /* indices of those worth trying */
    int count;                   /* of them; 0 before fn_share_begin */
    int at, best;                /* indices into grains: in use; the best tried so far */
    int forced;                  /* parts of every op whatever its size; 0: none are. For tests */
    int sample;                  /* steps of the trial done; -1: none is going on */
    int64_t use, left;           /* steps between two trials; until the next */
    int winner;                  /* of the trial before: at, or -1 */
    double shortest;             /* best's time of a step */
    double spent;                /* on the step that is measured: a long one takes several calls */
    double seconds[FN_SHARE_STEPS];
} fn_share;

struct fn_program;

/* Finds the grains that make a difference to the program. The first trial is some steps ahead. */
void fn_share_begin(fn_share *share, const struct fn_program *program);

/* Into how many parts a phase of `cost` cycles is divided now, at most `most`. */
int64_t fn_share_parts(const fn_share *share, int64_t cost, int64_t most);

/* A step is over. seconds: what it took, if fn_share_measures said so when it began, else -1. */
void fn_share_step(fn_share *share, double seconds);

static inline int fn_share_measures(const fn_share *share) { return share->count > 1 && share->sample >= 0; }

#endif
