/* Numbers below the smallest normal one, in what a thread computes from now on: as they are, or 0.
 *
 * Multiply-adds that meet such numbers take a hundred times as long on many processors, and a network that fits its data
 * makes them by the thousand: probabilities of e^-90 and what is multiplied by them. The mode is the thread's own, so who
 * changes it puts it back before anybody else's code runs. */
#ifndef FN_SUBNORMALS_H
#define FN_SUBNORMALS_H

#include <stdint.h>

#if defined(__x86_64__)
#include <xmmintrin.h>

/* Results that are subnormal become 0 (MXCSR's FTZ; operands stay as they are). Returns the mode before. */
static inline uint64_t fn_subnormals_flush(void)
{
    const unsigned before = _mm_getcsr();
    _mm_setcsr(before | _MM_FLUSH_ZERO_ON);
    return before;
}

static inline void fn_subnormals_restore(uint64_t mode)
{
    const unsigned flags = _mm_getcsr() & _MM_EXCEPT_MASK; /* which somebody may yet ask for */
    _mm_setcsr((unsigned)mode | flags);
}

#elif defined(__aarch64__)

static inline uint64_t fn_subnormals_flush(void)
{
    uint64_t before;
    __asm__ volatile("mrs %0, fpcr" : "=r"(before));
    __asm__ volatile("msr fpcr, %0" : : "r"(before | (uint64_t)1 << 24)); /* FZ: operands too */
    return before;
}

static inline void fn_subnormals_restore(uint64_t mode) { __asm__ volatile("msr fpcr, %0" : : "r"(mode)); }

#else

static inline uint64_t fn_subnormals_flush(void) { return 0; }
static inline void fn_subnormals_restore(uint64_t mode) { (void)mode; }

#endif
#endif
