/* One kernel call: what it costs, how many threads it is worth, and the run. */
#include "fusednet.h"

/* A part of a call by itself must be worth about ten times the 1-2 microseconds in which a team that may be asleep takes
 * it up. In a run the team is awake, and far less is worth sharing: backends/table.py decides on the parts of its ops. */
#define CYCLES_PER_PART 30000

/* Every struct holds only 8-byte fields, whatever FN_T, so the float structs serve to find the sizes. */
#define FN_T float
#define FN_ARGS_T(name) fn_##name##_args
#include "kernels.h"
#undef FN_T

_Static_assert(sizeof(void *) == 8, "kernel arguments are 8-byte slots");

#define SIZE(s) (a->s)
#define FN_KERNEL(name, cost, ...)                  \
    static int64_t cost_of_##name(const void *args) \
    {                                               \
        const fn_##name##_args *a = args;           \
        (void)a;                                    \
        return cost;                                \
    }
#include "kernels.def"

static int64_t (*const cost_of[FN_KERNEL_COUNT])(const void *) = {
#define FN_KERNEL(name, cost, ...) [FN_K_##name] = cost_of_##name,
#include "kernels.def"
};

int64_t fn_kernel_cost(int kernel, const void *args) { return cost_of[kernel](args); }

int fn_parts(int64_t cost, int threads)
{
    const int64_t parts = cost / CYCLES_PER_PART;
    return parts < 1 ? 1 : parts < threads ? (int)parts : threads;
}

int fn_call(const fn_table *table, int is_double, int kernel, const void *args, fn_team *team, int parts)
{
    void *scratch = fn_scratch();
    if (!scratch) return -1;
    const fn_kernel run = table->kernel[is_double][kernel];
    if (parts > 1) {
        fn_team_run(team, run, args, parts);
    } else {
        const fn_part part = {.count = 1, .scratch = scratch};
        run(args, &part);
    }
    return 0;
}
