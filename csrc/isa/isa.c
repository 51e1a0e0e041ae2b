/* The instruction sets that were built, best first, and whether this machine has them. */
#include "cpu.h"
#include "fusednet.h"

static const struct {
    const char *name;
    unsigned needs; /* fn_cpu_feature */
    const fn_table *table;
} isas[] = {
#if FN_BUILD_X86
    {"avx512_bf16", FN_CPU_AVX512 | FN_CPU_AVX512_BF16, &fn_table_avx512_bf16},
    {"avx512", FN_CPU_AVX512, &fn_table_avx512},
    {"avx2", FN_CPU_AVX2, &fn_table_avx2},
#endif
#if FN_BUILD_NEON
    {"neon", FN_CPU_NEON, &fn_table_neon},
#endif
    {"scalar", 0, &fn_table_scalar},
};

int fn_isa_count(void) { return (int)(sizeof isas / sizeof isas[0]); }

const char *fn_isa_name(int i) { return isas[i].name; }

int fn_isa_supported(int i) { return (fn_cpu_features() & isas[i].needs) == isas[i].needs; }

const fn_table *fn_isa_table(int i) { return isas[i].table; }
