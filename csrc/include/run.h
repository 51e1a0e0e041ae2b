/* A run: a plan's steps, many of them in one call.
 *
 * Reads kernels.h, share.h and team.h; is read by fusednet.h. The Python twin of the loop is backends/interp.py.
 *
 * a) A program is a plan bound to arrays and a number of rows: calls of kernels whose arguments stand ready as slots. What
 *    changes from step to step is written into the slots before the call (fn_patch).
 * b) The calls before `commit` write only what the next step writes anew. Up to there a step can be left and begun again,
 *    or gone on with; from there on it is finished. So a run stops between steps, whatever stops it.
 * c) Ops stand in phases, which fusednet/phases.py has found: a thread goes through its parts of all ops of a phase and
 *    waits for nobody, because an op reads of the other ops of its phase only what the same part has written. What
 *    changes from step to step is written into the slots of all of them before the phase begins. Ops of a slice of the
 *    rows (fusednet/slices.py) are done as a whole, by the part that has these rows.
 * d) Nothing is allocated; all memory is the caller's. */
#ifndef FN_RUN_H
#define FN_RUN_H

#include "kernels.h"
#include "share.h"
#include "team.h"

typedef union {
    void *p;
    int64_t i;
    double d;
} fn_slot;

enum fn_patch_kind {
    FN_PATCH_REAL, /* slot.d = step's scalar number `source` */
    FN_PATCH_INT,  /* slot.i = the same, as a whole number */
    FN_PATCH_LOAD, /* slot.d = *(const double *)base */
    FN_PATCH_ROWS, /* slot.p = base + position * source (bytes of a row) */
    FN_PATCH_CELL /* slot.p = *(char *const *)base + source (bytes) */
};

typedef struct {
    fn_slot *slot;
    int64_t kind, source;
    const void *base;
} fn_patch;

enum fn_op_kind {
    FN_OP_KERNEL, /* a call of kernel `kernel` */
    FN_OP_CHECK,  /* the run stops here if the double at `check` is not finite */
    FN_OP_LEAVE   /* the run returns for the caller to do something, and goes on with the next op */
};

typedef struct {
    int64_t kind, kernel;
    fn_kernel call;         /* the kernel's, by fn_run_bind */
    int64_t patch, patches; /* its first one, how many */
    fn_slot *slots;
    int64_t rows;           /* its parts are parts of so many rows; 0: the kernel's own */
    int64_t slices;         /* of which these rows are divided between parts only where one ends; 0: anywhere */
    int64_t slice;          /* the one whose part does this op, as a whole; -1: every part does a part of it */
    int64_t together;       /* whether parts may do it together: no other op of its phase is of its slice */
    int64_t count;          /* ops of its phase, from this one on */
    int64_t work, parts;    /* theirs: cycles, about; parts at most */
    const double *check;
} fn_op;

/* A plan bound to a number of rows. */
typedef struct fn_program {
    fn_op *ops;
    int64_t count, commit; /* ops; the first that may not be done twice */
    const fn_patch *patches;
} fn_program;

/* Where a run is. All that is needed, beside the arrays the programs write, to go on in another process. */
typedef struct {
    int64_t step;       /* steps done */
    int64_t epoch;      /* epochs ended */
    int64_t epoch_step; /* steps done in this epoch */
    int64_t pass;       /* times all rows were used up */
    int64_t position;   /* rows used in this pass */
    int64_t op;         /* next op of the step that was begun; 0: none */
} fn_cursor;

typedef struct {
    fn_program program[2]; /* for `batch` rows; for the `rows` % `batch` rows at the end of a pass */
    int64_t rows, batch, steps_per_epoch;
    int64_t *order;        /* [rows]: the pass's order of rows, made anew at the end of a pass; NULL: it does not change */
    const int64_t *chosen; /* [rows]: what is ordered; NULL: 0, 1, ..., rows - 1 */
    uint64_t seed;
    fn_cursor *cursor;
    double *sums;          /* [sum_count]: [0] seconds, [1] rows of this epoch; the rest is the programs' */
    double *records;       /* [record_capacity][sum_count]: sums at the ends of epochs; sums begin at 0 again */
    int64_t sum_count, record_capacity, record_count;
    const double *scalars; /* [steps][scalar_count], of the steps of one call */
    int64_t scalar_count;
    int flush;             /* whether what comes out below the smallest normal number is 0 (base/subnormals.h) */
    fn_share share;        /* the loop's own; zero in a new run */
} fn_run;

enum fn_run_status {
    FN_RUN_DONE,    /* all steps done, or records full */
    FN_RUN_TIME,    /* time is over; perhaps within a step */
    FN_RUN_CHECK,   /* cursor->op is a check that failed; the step has changed nothing */
    FN_RUN_LEFT,    /* cursor->op is behind an FN_OP_LEAVE */
    FN_RUN_NO_MEMORY
};

/* Lets the ops of both programs call the kernels of a table. Before the first call of fn_run_advance. */
void fn_run_bind(fn_run *run, const fn_table *table, int is_double);

/* Does `steps` steps, or as many as `seconds` allow, at least one op. *done: steps finished; scalars[0] is the first one's.
 * A call after FN_RUN_TIME or FN_RUN_LEFT takes the step up where it was. team NULL: all on the caller's thread, to the same
 * bits, because the number of threads may have been changed since the program was bound. */
int fn_run_advance(fn_run *run, int64_t steps, double seconds, fn_team *team, int64_t *done);

/* order[0..n) = chosen (NULL: 0..n-1) in the order of pass `pass`: a shuffle by Fisher & Yates whose i-th exchange, i from
 * n - 1 down to 1, is with j = (word(i) (i + 1)) / 2^32, word(i) of Philox4x32-7 keyed by seed (base/rng.h). */
void fn_shuffle(int64_t *order, const int64_t *chosen, int64_t n, uint64_t seed, int64_t pass);

#endif
