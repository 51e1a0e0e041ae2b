/* How finely a run shares out its ops among the team; share.h says why. */
#include "run.h"

#include <stdatomic.h>

#define SECONDS_OF_USE 0.2
#define LONGEST_USE 1e12      /* steps: a coarse clock may say that a step takes no time */
#define USES_OF_TRIAL 30      /* steps that a grain is used, over the steps of its trials, in the end */
#define USES_AT_FIRST 1       /* and after a trial that another grain has won than the one before */
#define HOPELESS 1.25         /* a grain this many times slower after so many steps is tried no longer */
#define HOPELESS_AFTER 4
#define MATTERS 50            /* a grain is worth trying if it changes the parts of a 50th of the program's work */
#define STEPS_BEFORE_TRIAL 16 /* of a new run: the shortest are over by then */

static const int64_t grain[FN_SHARE_GRAINS] = {10000, 2000, 50000, 200000, 1000000};

/* What the last trial chose, of whatever run: a new run begins with it. */
static _Atomic int last;

static int64_t parts_by(int64_t cycles, int64_t cost, int64_t most)
{
    const int64_t parts = cost / cycles;
    return parts < 1 ? 1 : parts < most ? parts : most;
}

int64_t fn_share_parts(const fn_share *share, int64_t cost, int64_t most)
{
    return share->forced ? share->forced : parts_by(grain[share->grains[share->at]], cost, most);
}

/* Whether two grains divide phases differently that matter. */
static int differ(const fn_program *program, int64_t a, int64_t b)
{
    int64_t all = 0, changed = 0;
    for (const fn_op *op = program->ops; op < program->ops + program->count; op += op->count) {
        all += op->work;
        if (parts_by(a, op->work, op->parts) != parts_by(b, op->work, op->parts)) changed += op->work;
    }
    return changed > all / MATTERS;
}

static void try_all(fn_share *share)
{
    share->at = share->best = 0;
    share->sample = 0;
    share->shortest = 0;
}

void fn_share_begin(fn_share *share, const fn_program *program)
{
    share->count = 0;
    for (int i = 0; i < FN_SHARE_GRAINS; i++) {
        int is_new = 1;
        for (int k = 0; k < share->count; k++) is_new &= differ(program, grain[i], grain[share->grains[k]]);
        if (is_new) share->grains[share->count++] = i;
    }
    share->at = 0;
    for (int k = 0; k < share->count; k++)
        if (share->grains[k] == atomic_load_explicit(&last, memory_order_relaxed)) share->at = k;
    share->sample = -1;
    share->left = STEPS_BEFORE_TRIAL;
    share->winner = -1;
}

/* Of n times, which are sorted. */
static double lower_quartile(double *x, int n)
{
    for (int i = 1; i < n; i++) {
        const double value = x[i];
        int k = i;
        for (; k > 0 && x[k - 1] > value; k--) x[k] = x[k - 1];
        x[k] = value;
    }
    return x[n / 4];
}

static int64_t steps_of_use(const fn_share *share)
{
    const int64_t trials = (int64_t)FN_SHARE_STEPS * share->count;
    if (share->best != share->winner) return USES_AT_FIRST * trials;
    const double some = SECONDS_OF_USE / share->shortest, most = some < LONGEST_USE ? some : LONGEST_USE;
    const int64_t longest = most > (double)(USES_OF_TRIAL * trials) ? (int64_t)most : USES_OF_TRIAL * trials;
    return 2 * share->use < longest ? 2 * share->use : longest;
}

void fn_share_step(fn_share *share, double seconds)
{
    if (share->count < 2) return;
    if (share->sample < 0) {
        if (--share->left <= 0) try_all(share);
        return;
    }
    if (seconds < 0) return;
    share->seconds[share->sample++] = seconds;
    const int hopeless = share->at > 0 && share->sample == HOPELESS_AFTER &&
                         lower_quartile(share->seconds, HOPELESS_AFTER) > HOPELESS * share->shortest;
    if (share->sample < FN_SHARE_STEPS && !hopeless) return;
    const double took = lower_quartile(share->seconds, share->sample);
    if (share->at == 0 || took < share->shortest) {
        share->best = share->at;
        share->shortest = took;
    }
    share->sample = 0;
    if (++share->at < share->count) return;
    share->at = share->best;
    atomic_store_explicit(&last, share->grains[share->best], memory_order_relaxed);
    share->sample = -1;
    share->use = steps_of_use(share);
    share->left = share->use;
    share->winner = share->best;
}
