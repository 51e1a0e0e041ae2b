/* The AVX-512 kernels, as one table: fn_table_avx512. */
#include "vec_avx512.h"
#include "transpose_avx512.h"

/* 32 registers: 28 sums, 2 of B, 1 or 2 of A. Few rows take wider tiles, so that there are always enough sums to cover
 * the latency of a multiply-add. FN_UKR_LIST holds every (rows, vectors) with vectors <= FN_NV(rows). */
#define FN_MR 14
#define FN_NV_MAX 8
#define FN_NV(mr) ((mr) <= 2 ? 8 : (mr) <= 4 ? 6 : (mr) <= 6 ? 4 : (mr) <= 8 ? 3 : 2)
#define FN_UKR_LIST(U)                                                                  \
    U(1, 1) U(1, 2) U(1, 3) U(1, 4) U(1, 5) U(1, 6) U(1, 7) U(1, 8)                     \
    U(2, 1) U(2, 2) U(2, 3) U(2, 4) U(2, 5) U(2, 6) U(2, 7) U(2, 8)                     \
    U(3, 1) U(3, 2) U(3, 3) U(3, 4) U(3, 5) U(3, 6)                                     \
    U(4, 1) U(4, 2) U(4, 3) U(4, 4) U(4, 5) U(4, 6)                                     \
    U(5, 1) U(5, 2) U(5, 3) U(5, 4) U(6, 1) U(6, 2) U(6, 3) U(6, 4)                     \
    U(7, 1) U(7, 2) U(7, 3) U(8, 1) U(8, 2) U(8, 3)                                     \
    U(9, 1) U(9, 2) U(10, 1) U(10, 2) U(11, 1) U(11, 2)                                 \
    U(12, 1) U(12, 2) U(13, 1) U(13, 2) U(14, 1) U(14, 2)
#define FN_UKR_LIST_AHEAD(U) U(10, 2) U(11, 2) U(12, 2) U(13, 2) U(14, 2) /* whole tiles that ask for the next block */
#define FN_ODD_ROWS 8 /* rows of a tile one vector wider than a panel */
/* B is read where it lies while L2 holds it beside A: rows that cross lines, or share sets of L1, still cost less than
 * copies of A and B (2026-11, Zen 5: 12 % of 100 by 784 by 100, 5 % of 256 by 512 by 256). From 800 KB on not. */
#define FN_DIRECT_BYTES (640 * 1024)
#ifndef FN_ROWS_BYTES
#define FN_ROWS_BYTES (832 * 1024) /* of A that L2 holds beside a panel of B */
#endif

#ifndef FN_ISA
#define FN_ISA avx512
#endif
#include "table_impl.h"
