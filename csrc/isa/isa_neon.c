/* The NEON kernels, as one table: fn_table_neon. */
#include "vec_neon.h"
#include "transpose_neon.h"

/* 32 registers: 24 sums, 3 of B, some of A; see isa_avx512.c. */
#define FN_MR 8
#define FN_NV_MAX 8
#define FN_NV(mr) ((mr) <= 2 ? 8 : (mr) <= 4 ? 6 : (mr) <= 6 ? 4 : 3)
#define FN_UKR_LIST(U)                                                                  \
    U(1, 1) U(1, 2) U(1, 3) U(1, 4) U(1, 5) U(1, 6) U(1, 7) U(1, 8)                     \
    U(2, 1) U(2, 2) U(2, 3) U(2, 4) U(2, 5) U(2, 6) U(2, 7) U(2, 8)                     \
    U(3, 1) U(3, 2) U(3, 3) U(3, 4) U(3, 5) U(3, 6)                                     \
    U(4, 1) U(4, 2) U(4, 3) U(4, 4) U(4, 5) U(4, 6)                                     \
    U(5, 1) U(5, 2) U(5, 3) U(5, 4) U(6, 1) U(6, 2) U(6, 3) U(6, 4)                     \
    U(7, 1) U(7, 2) U(7, 3) U(8, 1) U(8, 2) U(8, 3)
#define FN_DIRECT_BYTES (32 * 1024)
#define FN_ROWS_BYTES (192 * 1024) /* of A that L2 holds beside a panel of B */

#define FN_ISA neon
#include "table_impl.h"
