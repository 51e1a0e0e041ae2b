/* A small team of threads that share the parts of one call.
 *
 * a) Parts are claimed, not assigned: a thread that the system has put aside holds nobody up but in the part it has
 *    begun, and in a forked child, where the helpers do not exist, the caller simply does all parts itself.
 * b) Helpers spin for a short while after a job, because the next one usually comes within microseconds, then park.
 * c) One job at a time; a second caller waits. Calls of one part do not come here. */
#ifndef FN_TEAM_H
#define FN_TEAM_H

#include "part.h"

#define FN_MAX_PARTS 32767

typedef struct fn_team fn_team;

/* A team of `threads` >= 1 threads, the caller counted. NULL if memory or threads cannot be had. */
fn_team *fn_team_new(int threads);

/* Stops the helpers and frees the team. No call may be running. */
void fn_team_free(fn_team *team);

/* With more = 1: helpers wait awake for longer, because jobs will follow one another; with -1: no more. Calls come in
 * pairs; several runs may hold the team at once. Waking a thread that sleeps takes tens of microseconds in a virtual
 * machine, more than most ops (2026-11: with 2 threads the job `book` took 1.16 of the time of one without this). */
void fn_team_hold(fn_team *team, int more);

/* Runs kernel(args, part) for every part of `parts` (1 to FN_MAX_PARTS); returns when all are done. */
void fn_team_run(fn_team *team, fn_kernel kernel, const void *args, int parts);

/* This thread's scratch of FN_SCRATCH_BYTES, made at its first use and freed with the thread; NULL if memory is out, or
 * the process has no key left for what is a thread's own. */
void *fn_scratch(void);

#endif
