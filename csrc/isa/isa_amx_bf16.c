/* The AVX-512 products with the matrix unit's multiply-adds of bfloat16 numbers (AMX): what this instruction set has of its
 * own. Its other kernels are fn_table_avx512's (isa.c). */
#include "vec_avx512.h"

/* Everything is included, and what the products do not use is left out. */
#pragma GCC diagnostic ignored "-Wunused-function"

#define FN_AMX 1
#define FN_ISA amx_bf16
#include "isa_avx512.c"
