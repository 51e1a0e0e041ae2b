/* The probes of an instruction set on the thread team: ceilings for as many threads as kernels run on, woken and joined
 * as kernels are. */
#include "fusednet.h"
#include "split.h"

#include <stddef.h>

/* A probe as the team sees a kernel: its arguments. */
typedef struct {
    const fn_probe *probe;
    int what, size; /* fn_probe_what; bytes of an element */
    char *array;
    int64_t n, repeat;
} probe_args;

static void run_part(const void *args, const fn_part *part)
{
    const probe_args *a = args;
    int64_t begin, end;
    fn_split(a->n, 1024, part->index, part->count, &begin, &end);
    char *slice = a->array + begin * a->size;
    switch (a->what) {
    case FN_PROBE_FMA: a->probe->fma(a->repeat); break;
    case FN_PROBE_DOT: a->probe->dot(a->repeat); break;
    case FN_PROBE_READ: a->probe->read(slice, end - begin, a->repeat); break;
    case FN_PROBE_WRITE: a->probe->write(slice, end - begin, a->repeat); break;
    default: a->probe->update(slice, end - begin, a->repeat); break;
    }
}

void fn_probe_run(const fn_table *table, int is_double, int what, void *array, int64_t n, int64_t repeat, fn_team *team,
                  int parts)
{
    const probe_args args = {&table->probe[is_double], what, is_double ? 8 : 4, array, n, repeat};
    if (parts > 1) {
        fn_team_run(team, run_part, &args, parts);
    } else {
        const fn_part all = {.count = 1};
        run_part(&args, &all);
    }
}
