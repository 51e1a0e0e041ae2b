# The C library as Cython sees it: csrc/include/fusednet.h and what it includes.
from libc.stdint cimport int64_t

cdef extern from "fusednet.h" nogil:
    enum:
        FN_CHUNK          # elements that square_sums adds up as one
        FN_SCRATCH_BYTES
        FN_KERNEL_COUNT
        FN_MAX_PARTS

    enum:
        FN_PROBE_FMA, FN_PROBE_READ, FN_PROBE_WRITE, FN_PROBE_UPDATE

    ctypedef struct fn_probe:
        int64_t fma_flop                                                    # operations of one repeat

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
