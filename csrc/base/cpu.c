/* Processor features by CPUID, and XGETBV for what the operating system saves at a task switch: an instruction set whose
 * registers are not saved must not be used, whatever CPUID says of it. */
#include "cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>

static unsigned long long saved_state(void)
{
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return ((unsigned long long)high << 32) | low;
}

/* AMX's registers are 8 KB that a task switch saves only for a process that has asked for them: arch_prctl's
 * ARCH_REQ_XCOMP_PERM of state 18. It holds for all threads; Linux refuses where a signal stack is too small. */
static int amx_is_granted(void)
{
#if defined(__linux__)
    long result;
    __asm__ volatile("syscall" : "=a"(result) : "0"(158L), "D"(0x1023L), "S"(18L) : "rcx", "r11", "memory");
    return result == 0;
#else
    return 0;
#endif
}

unsigned fn_cpu_features(void)
{
    unsigned a, b, c, d, features = 0;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
    const unsigned osxsave = 1u << 27, avx = 1u << 28, fma = 1u << 12;
    if ((c & (osxsave | avx | fma)) != (osxsave | avx | fma)) return 0;
    const unsigned long long saved = saved_state();
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    const unsigned avx2 = 1u << 5;
    const unsigned avx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; /* F, DQ, BW, VL */
    const unsigned long long ymm = 0x6, zmm = 0xE6;
    if ((b & avx2) && (saved & ymm) == ymm) features |= FN_CPU_AVX2;
    const unsigned amx = 1u << 22 | 1u << 24; /* of d: BF16, TILE */
    const unsigned long long tiles = 0x60000;
    const int has_amx = (d & amx) == amx && (saved & tiles) == tiles;
    if ((features & FN_CPU_AVX2) && (b & avx512) == avx512 && (saved & zmm) == zmm) features |= FN_CPU_AVX512;
    if (__get_cpuid_count(7, 1, &a, &b, &c, &d) && (features & FN_CPU_AVX512) && (a & 1u << 5)) features |= FN_CPU_AVX512_BF16;
    if (has_amx && (features & FN_CPU_AVX512_BF16) && amx_is_granted()) features |= FN_CPU_AMX_BF16;
    return features;
}

#elif defined(__aarch64__)

unsigned fn_cpu_features(void) { return FN_CPU_NEON; }

#else

unsigned fn_cpu_features(void) { return 0; }

#endif
