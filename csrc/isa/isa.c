/* The instruction sets that were built, best first, and whether this machine has them. */
#include "cpu.h"
#include "fusednet.h"

#include <stddef.h>

static const struct {
    const char *name;
    unsigned needs; /* fn_cpu_feature */
    const fn_table *table;
    const fn_bf16 *own; /* what takes the place of the table's; NULL: nothing */
} isas[] = {
#ifdef FN_BUILD_AMX_BF16
    {"amx_bf16", FN_CPU_AVX512 | FN_CPU_AVX512_BF16 | FN_CPU_AMX_BF16, &fn_table_avx512, &fn_own_amx_bf16},
#endif
#ifdef FN_BUILD_AVX512_BF16
    {"avx512_bf16", FN_CPU_AVX512 | FN_CPU_AVX512_BF16, &fn_table_avx512, &fn_own_avx512_bf16},
#endif
#ifdef FN_BUILD_AVX512
    {"avx512", FN_CPU_AVX512, &fn_table_avx512, NULL},
#endif
#ifdef FN_BUILD_AVX2
    {"avx2", FN_CPU_AVX2, &fn_table_avx2, NULL},
#endif
#ifdef FN_BUILD_NEON
    {"neon", FN_CPU_NEON, &fn_table_neon, NULL},
#endif
    {"scalar", 0, &fn_table_scalar, NULL},
};

int fn_isa_count(void) { return (int)(sizeof isas / sizeof isas[0]); }

const char *fn_isa_name(int i) { return isas[i].name; }

int fn_isa_supported(int i) { return (fn_cpu_features() & isas[i].needs) == isas[i].needs; }

/* The table with the instruction set's own, made when it is first asked for; all who ask hold Python's lock. */
static const fn_table *with_own(fn_table *made, const fn_table *table, const fn_bf16 *own)
{
    if (made->isa) return made;
    *made = *table;
    for (int type = 0; type < 2; type++)
        for (int k = 0; k < FN_KERNEL_COUNT; k++)
            if (own->kernel[type][k]) made->kernel[type][k] = own->kernel[type][k];
    made->probe[0].dot = own->dot;
    made->probe[0].dot_flop = own->dot_flop;
    made->isa = own->isa;
    return made;
}

const fn_table *fn_isa_table(int i)
{
    static fn_table made[sizeof isas / sizeof isas[0]];
    return isas[i].own ? with_own(&made[i], isas[i].table, isas[i].own) : isas[i].table;
}
