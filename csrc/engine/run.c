/* The run loop: follows a program's ops, writes what changes into their slots, counts steps, passes and epochs.
 *
 * Decisions (variants, memory, parts at most) have been taken when the program was bound; here is no branch on
 * configuration. How many parts pay is tried while it runs (share.h). */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#include "fusednet.h"
#include "split.h"
#include "subnormals.h"

#include <math.h>
#include <string.h>
#include <time.h>

#define CYCLES_BETWEEN_CLOCKS 100000 /* estimated work after which the time is looked at */

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void apply(const fn_program *program, const fn_op *op, const double *scalars, int64_t position)
{
    const fn_patch *patch = program->patches + op->patch;
    for (int64_t i = 0; i < op->patches; i++, patch++) {
        fn_slot *slot = patch->slot;
        switch (patch->kind) {
        case FN_PATCH_REAL: slot->d = scalars[patch->source]; break;
        case FN_PATCH_INT: slot->i = (int64_t)scalars[patch->source]; break;
        case FN_PATCH_LOAD: slot->d = *(const double *)patch->base; break;
        case FN_PATCH_CELL: slot->p = *(char *const *)patch->base + patch->source; break;
        default: slot->p = (char *)patch->base + position * patch->source; break;
        }
    }
}

static const fn_program *program_of(const fn_run *run, int64_t *rows)
{
    const int64_t left = run->rows - run->cursor->position;
    *rows = left < run->batch ? left : run->batch;
    return &run->program[left < run->batch];
}

/* The step is over: cursor, sums and records move on. 1 where the records are full. */
static int finish_step(fn_run *run, int64_t rows, double *since)
{
    fn_cursor *at = run->cursor;
    at->op = 0;
    at->step++;
    run->sums[1] += (double)rows;
    at->position += rows;
    if (at->position == run->rows) {
        at->position = 0;
        at->pass++;
        if (run->order) fn_shuffle(run->order, run->chosen, run->rows, run->seed, at->pass);
    }
    if (++at->epoch_step < run->steps_per_epoch) return 0;
    const double end = now();
    run->sums[0] += end - *since;
    *since = end;
    memcpy(run->records + run->record_count * run->sum_count, run->sums, sizeof(double) * (size_t)run->sum_count);
    memset(run->sums, 0, sizeof(double) * (size_t)run->sum_count);
    run->record_count++;
    at->epoch++;
    at->epoch_step = 0;
    return run->record_count == run->record_capacity;
}

void fn_run_bind(fn_run *run, const fn_table *table, int is_double)
{
    for (int p = 0; p < 2; p++)
        for (fn_op *op = run->program[p].ops; op < run->program[p].ops + run->program[p].count; op++)
            if (op->kind == FN_OP_KERNEL) op->call = table->kernel[is_double][op->kernel];
}

/* What a part of a phase does of an op: 0 where nothing. */
static int share_of(const fn_op *op, const fn_part *part, fn_part *mine)
{
    *mine = *part;
    if (op->rows == 0) return 1;
    if (op->together && part->count > op->slices) {
        if (part->count % op->slices) return 1; /* all do all slices, one after the other */
        mine->count = fn_quotient(part->count, op->slices);
        mine->index = part->index - op->slice * mine->count;
        return mine->index >= 0 && mine->index < mine->count;
    }
    const int64_t each = op->slices > 0 ? fn_quotient(op->rows + op->slices - 1, op->slices) : 1;
    mine->rows = op->rows;
    fn_split(op->rows, each, part->index, part->count, &mine->first, &mine->last);
    if (op->slice < 0) return 1;
    const int64_t begin = op->slice * each, row = begin < op->rows ? begin : op->rows - 1;
    const int is_mine = mine->first <= row && row < mine->last; /* without rows: the part of the last row does it */
    *mine = (fn_part){.count = 1, .scratch = part->scratch};
    return is_mine;
}

/* The rest of a phase, from op `args` on, as the team sees it: a kernel. Nothing that a helper reads for it is written
 * while the run goes on but the slots. */
static void run_phase(const void *args, const fn_part *part)
{
    const fn_op *const first = args;
    for (const fn_op *op = first; op < first + first->count; op++) {
        fn_part mine;
        if (share_of(op, part, &mine)) op->call(op->slots, &mine);
    }
}

static void run_phase_flushing(const void *args, const fn_part *part)
{
    const uint64_t before = fn_subnormals_flush();
    run_phase(args, part);
    fn_subnormals_restore(before);
}

static int shares_work(const fn_program *program)
{
    for (int64_t i = 0; i < program->count; i++)
        if (program->ops[i].parts > 1) return 1;
    return 0;
}

static int advance(fn_run *run, int64_t steps, double seconds, fn_team *team, int64_t *done);

/* With the team, if there is something to share. */
static int advance_on(fn_run *run, int64_t steps, double seconds, fn_team *team, int64_t *done)
{
    if (!team || !(run->share.forced || shares_work(&run->program[0]))) return advance(run, steps, seconds, NULL, done);
    if (run->share.count == 0) fn_share_begin(&run->share, &run->program[0]);
    fn_team_hold(team, 1);
    const int status = advance(run, steps, seconds, team, done);
    fn_team_hold(team, -1);
    return status;
}

int fn_run_advance(fn_run *run, int64_t steps, double seconds, fn_team *team, int64_t *done)
{
    if (!run->flush) return advance_on(run, steps, seconds, team, done);
    const uint64_t before = fn_subnormals_flush();
    const int status = advance_on(run, steps, seconds, team, done);
    fn_subnormals_restore(before);
    return status;
}

static int advance(fn_run *run, int64_t steps, double seconds, fn_team *team, int64_t *done)
{
    fn_cursor *at = run->cursor;
    void *scratch = fn_scratch();
    const fn_part alone = {.count = 1, .scratch = scratch};
    const double begin = now();
    double since = begin;
    int64_t work = 0;
    int status = FN_RUN_DONE;
    *done = 0;
    if (!scratch) return FN_RUN_NO_MEMORY;
    while (*done < steps && status == FN_RUN_DONE) {
        int64_t rows;
        const fn_program *program = program_of(run, &rows);
        const double *scalars = run->scalars + *done * run->scalar_count;
        const int measured = team && rows == run->batch && fn_share_measures(&run->share);
        const double began = measured ? now() : 0;
        if (at->op == 0) run->share.spent = 0;
        while (at->op < program->count && status == FN_RUN_DONE) {
            const fn_op *const op = program->ops + at->op;
            int64_t count = 1;
            if (op->kind == FN_OP_CHECK) {
                if (!isfinite(*op->check)) {
                    status = FN_RUN_CHECK;
                    break;
                }
            } else if (op->kind == FN_OP_LEAVE) {
                status = FN_RUN_LEFT;
            } else {
                const int64_t parts = team ? fn_share_parts(&run->share, op->work, op->parts) : 1;
                count = parts > 1 ? op->count : 1;
                for (const fn_op *each = op; each < op + count; each++) apply(program, each, scalars, at->position);
                if (parts > 1)
                    fn_team_run(team, run->flush ? run_phase_flushing : run_phase, op, (int)parts);
                else
                    op->call(op->slots, &alone);
                work += parts > 1 || op->count == 1 ? op->work : op->work - op[1].work;
            }
            at->op += count;
            /* within a step only before it begins to change anything, and not at its very end */
            if (work > CYCLES_BETWEEN_CLOCKS && at->op <= program->commit && status == FN_RUN_DONE) {
                work = 0;
                if (now() - begin > seconds) status = FN_RUN_TIME;
            }
        }
        if (measured) run->share.spent += now() - began;
        if (at->op < program->count) break;
        ++*done;
        if (team) fn_share_step(&run->share, measured ? run->share.spent : -1);
        if (finish_step(run, rows, &since)) break;
        if (work > CYCLES_BETWEEN_CLOCKS) {
            work = 0;
            if (now() - begin > seconds && status == FN_RUN_DONE) status = FN_RUN_TIME;
        }
    }
    run->sums[0] += now() - since;
    return status;
}
