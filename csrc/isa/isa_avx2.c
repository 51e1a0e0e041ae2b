/* The AVX2 and FMA kernels, as one table: fn_table_avx2. */
#include "vec_avx2.h"
#include "transpose_avx2.h"

/* 16 registers: 12 sums, 2 of B, 1 or 2 of A; see isa_avx512.c. */
#define FN_MR 6
#define FN_NV_MAX 8
#define FN_NV(mr) ((mr) == 1 ? 8 : (mr) <= 3 ? 4 : (mr) == 4 ? 3 : 2)
#define FN_UKR_LIST(U)                                                                  \
    U(1, 1) U(1, 2) U(1, 3) U(1, 4) U(1, 5) U(1, 6) U(1, 7) U(1, 8)                     \
    U(2, 1) U(2, 2) U(2, 3) U(2, 4) U(3, 1) U(3, 2) U(3, 3) U(3, 4)                     \
    U(4, 1) U(4, 2) U(4, 3) U(5, 1) U(5, 2) U(6, 1) U(6, 2)
#define FN_DIRECT_BYTES (64 * 1024)
#define FN_ROWS_BYTES (192 * 1024) /* of A that L2 holds beside a panel of B */

#define FN_ISA avx2
#include "table_impl.h"
