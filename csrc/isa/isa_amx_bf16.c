/* The AVX-512 products with the matrix unit's multiply-adds of bfloat16 numbers (AMX): what this instruction set has of its
 * own. Its other kernels are fn_table_avx512's (isa.c). */
#include "vec_avx512.h"

/* Everything is included, and what the products do not use is left out. */
#pragma GCC diagnostic ignored "-Wunused-function"

#define FN_AMX 1
/* Of float64, and of what the unit is not for. These processors have 2 MB of second-level cache and a slow third: more of
 * A in a block, so that panels of B are fetched for more tiles. A transposed A, each k of it on a page of its own, is
 * packed from no more pages than are known. Their first level's prefetcher does not keep up with A and B. Sums over few k
 * are bound by the writing of C: rows of it in long pieces, and nothing asked for beyond its end. One row's weights come
 * fastest from L2 if they are not asked for, a sparse product's rows and sums if they are (Granite Rapids, 2026-11). */
#define FN_KC ((int64_t)(4096 / sizeof(FN_T)))
#define FN_KC_TURNED ((int64_t)(3072 / sizeof(FN_T)))
#define FN_MC_TILES 12
#define FN_ASK_A 16
#define FN_FAR_BYTES (1 << 20)
#define FN_ROWS_BYTES (1536 << 10)
#define FN_NEAR_ROW_BYTES (1 << 20)
#define FN_SPARSE_ASK 1
#define FN_SPARSE_ASK_SUMS 1
#define FN_SHORT_K 8
#define FN_SHORT_ROWS 6
#define FN_ISA amx_bf16
#include "isa_avx512.c"
