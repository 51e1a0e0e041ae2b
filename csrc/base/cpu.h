/* What the processor and the operating system can do. */
#ifndef FN_CPU_H
#define FN_CPU_H

enum fn_cpu_feature {
    FN_CPU_AVX2 = 1,    /* AVX2 and FMA, and the system saves the YMM registers */
    FN_CPU_AVX512 = 2,  /* AVX-512 F, BW, DQ, VL, and the system saves the ZMM and mask registers */
    FN_CPU_NEON = 4,    /* AArch64, where it is always there */
    FN_CPU_AVX512_BF16 = 8, /* AVX-512 BF16 */
    FN_CPU_AMX_BF16 = 16    /* AMX's registers and its bfloat16 products, which the system has granted to this process */
};

/* A set of fn_cpu_feature. */
unsigned fn_cpu_features(void);

#endif
