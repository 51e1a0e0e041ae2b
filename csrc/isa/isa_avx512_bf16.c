/* The AVX-512 products with multiply-adds of bfloat16 numbers: what this instruction set has of its own. Its other
 * kernels are fn_table_avx512's (isa.c). */
#include "vec_avx512.h"

/* Everything is included, and what the products do not use is left out. */
#pragma GCC diagnostic ignored "-Wunused-function"

/* Two vectors of floats rounded to bfloat16 and put in words of 32 bits: neighbours together (words of low, then those of
 * high), or the two of the same place (pairs). */
static inline v_f32 v_words_f32(v_f32 low, v_f32 high) { return (v_f32)_mm512_cvtne2ps_pbh(high, low); }
static inline v_f32 v_pairs_f32(v_f32 first, v_f32 second)
{
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6, 21, 5,
                                           20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return (v_f32)_mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh(second, first));
}

/* c + the two products of each pair of words */
static inline v_f32 v_dot_f32(v_f32 a, v_f32 b, v_f32 c) { return _mm512_dpbf16_ps(c, (__m512bh)a, (__m512bh)b); }

#define FN_BF16 1
#define FN_UKR_LIST_WORDS(U)                                                          \
    U(1, 1) U(1, 2) U(2, 1) U(2, 2) U(3, 1) U(3, 2) U(4, 1) U(4, 2) U(5, 1) U(5, 2)   \
    U(6, 1) U(6, 2) U(7, 1) U(7, 2) U(8, 1) U(8, 2) U(9, 1) U(9, 2) U(10, 1) U(10, 2) \
    U(11, 1) U(11, 2) U(12, 1) U(12, 2) U(13, 1) U(13, 2) U(14, 1) U(14, 2)

#define FN_ISA avx512_bf16
#include "isa_avx512.c"
