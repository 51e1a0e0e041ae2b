/* The kernels in plain C for any processor, as one table: fn_table_scalar. */
#include "vec_scalar.h"
#include "transpose_scalar.h"

/* A tile of 4 by 4 single elements; see isa_avx512.c. */
#define FN_MR 4
#define FN_NV_MAX 4
#define FN_NV(mr) 4
#define FN_UKR_LIST(U)                                                                  \
    U(1, 1) U(1, 2) U(1, 3) U(1, 4) U(2, 1) U(2, 2) U(2, 3) U(2, 4)                     \
    U(3, 1) U(3, 2) U(3, 3) U(3, 4) U(4, 1) U(4, 2) U(4, 3) U(4, 4)
#define FN_DIRECT_BYTES (32 * 1024)
#define FN_ROWS_BYTES (192 * 1024) /* of A that L2 holds beside a panel of B */

#define FN_ISA scalar
#include "table_impl.h"
