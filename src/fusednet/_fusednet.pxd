# The C library as Cython sees it: csrc/include/fusednet.h and what it includes.
from libc.stdint cimport int64_t, uint64_t

cdef extern from "fusednet.h" nogil:
    enum:
        FN_CHUNK          # elements that square_sums adds up as one
        FN_SCRATCH_BYTES
        FN_MAX_PARTS

    enum:
        FN_PROBE_FMA, FN_PROBE_DOT, FN_PROBE_READ, FN_PROBE_WRITE, FN_PROBE_UPDATE

    ctypedef struct fn_probe:
        int64_t fma_flop, dot_flop                                          # operations of one repeat; 0: no such units

    ctypedef struct fn_math:
        void (*exp)(void *y, const void *x, int64_t n) noexcept nogil
        void (*tanh)(void *y, const void *x, int64_t n) noexcept nogil
        double ulp_exp, ulp_tanh                                            # stated bounds

    ctypedef struct fn_table:
        const char *isa
        fn_probe probe[2]                                                   # [0] float, [1] double
        fn_math math[2]

    ctypedef struct fn_team:
        pass

    int fn_isa_count()
    const char *fn_isa_name(int i)
    int fn_isa_supported(int i)
    const fn_table *fn_isa_table(int i)

    int64_t fn_kernel_cost(int kernel, const void *args)
    int fn_parts(int64_t cost, int threads)
    int fn_call(const fn_table *table, int is_double, int kernel, const void *args, fn_team *team, int parts)

    fn_team *fn_team_new(int threads)
    void fn_team_free(fn_team *team)

    void fn_probe_run(const fn_table *table, int is_double, int what, void *array, int64_t n, int64_t repeat,
                      fn_team *team, int parts)

    ctypedef union fn_slot:
        void *p
        int64_t i
        double d

    enum:
        FN_PATCH_REAL, FN_PATCH_INT, FN_PATCH_LOAD, FN_PATCH_ROWS, FN_PATCH_CELL
        FN_OP_KERNEL, FN_OP_CHECK, FN_OP_LEAVE
        FN_RUN_DONE, FN_RUN_TIME, FN_RUN_CHECK, FN_RUN_LEFT, FN_RUN_NO_MEMORY

    ctypedef struct fn_patch:
        fn_slot *slot
        int64_t kind, source
        const void *base

    ctypedef struct fn_op:
        int64_t kind, kernel
        int64_t patch, patches
        fn_slot *slots
        int64_t rows, slices, slice, together, count, work, parts
        const double *check

    ctypedef struct fn_program:
        fn_op *ops
        int64_t count, commit
        const fn_patch *patches

    ctypedef struct fn_cursor:
        int64_t step, epoch, epoch_step, at_pass "pass", position, op   # all int64, in this order: an array in Python

    ctypedef struct fn_share:
        int count, forced, sample

    ctypedef struct fn_run:
        fn_program program[2]
        int64_t rows, batch, steps_per_epoch
        int64_t *order
        const int64_t *chosen
        uint64_t seed
        fn_cursor *cursor
        double *sums
        double *records
        int64_t sum_count, record_capacity, record_count
        int flush
        const double *scalars
        int64_t scalar_count
        fn_share share

    void fn_share_begin(fn_share *share, const fn_program *program)
    int64_t fn_share_parts(const fn_share *share, int64_t cost, int64_t most)
    void fn_share_step(fn_share *share, double seconds)
    bint fn_share_measures(const fn_share *share)

    void fn_run_bind(fn_run *run, const fn_table *table, int is_double)
    int fn_run_advance(fn_run *run, int64_t steps, double seconds, fn_team *team, int64_t *done)
    void fn_shuffle(int64_t *order, const int64_t *chosen, int64_t n, uint64_t seed, int64_t number)
