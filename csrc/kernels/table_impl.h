/* All kernels of one instruction set, for both dtypes, and the table that exports them; of one that only adds products
 * of bfloat16 to another (FN_BF16, FN_AMX), these.
 *
 * Included once by each isa_<isa>.c after its vec_<isa>.h and transpose_<isa>.h, with its tile and FN_ISA defined.
 * Everything here is static but the table: nothing compiled for one instruction set can be linked into another's
 * path. */
#include "kernels.h"
#include "rng.h"
#include "split.h"

#include <math.h>
#include <string.h>

#define FN_T float
#define FN_S f32
#define FN_IS_f32 1
#include "all_impl.h"
#undef FN_T
#undef FN_S
#undef FN_IS_f32

#define FN_T double
#define FN_S f64
#define FN_IS_f32 0
#include "all_impl.h"
#undef FN_T
#undef FN_S
#undef FN_IS_f32

#define FN_STRING2(x) #x
#define FN_STRING(x) FN_STRING2(x)
#define FN_TABLE FN_PASTE(fn_table, FN_ISA)

#if FN_BF16 || FN_AMX
#define FN_PRODUCTS(S)                                                                         \
    {                                                                                          \
        [FN_K_affine_fwd] = fn_affine_fwd_##S, [FN_K_affine_bwd_dx] = fn_affine_bwd_dx_##S,    \
        [FN_K_affine_bwd_dw] = fn_affine_bwd_dw_##S                                            \
    }
const fn_bf16 FN_PASTE(fn_own, FN_ISA) = {
    .isa = FN_STRING(FN_ISA),
    .kernel[0] = FN_PRODUCTS(f32),
#if FN_AMX
    .kernel[1] = FN_PRODUCTS(f64),
#endif
    .dot = fn_probe_dot_f32,
#if FN_AMX
    .dot_flop = FN_PROBE_SQUARES * 2 * FN_SQUARE * FN_SQUARE * FN_DEEP,
#else
    .dot_flop = 2 * FN_PROBE_FLOP(FN_LANES_f32),
#endif
};
#else
const fn_table FN_TABLE = {
    .isa = FN_STRING(FN_ISA),
    .kernel = {
        {
#define FN_KERNEL(name, cost, ...) [FN_K_##name] = fn_##name##_f32,
#include "kernels.def"
        },
        {
#define FN_KERNEL(name, cost, ...) [FN_K_##name] = fn_##name##_f64,
#include "kernels.def"
        },
    },
    .probe = {
        {fn_probe_fma_f32, FN_PROBE_FLOP(FN_LANES_f32), NULL, 0,
         fn_probe_read_f32, fn_probe_write_f32, fn_probe_update_f32},
        {fn_probe_fma_f64, FN_PROBE_FLOP(FN_LANES_f64), NULL, 0,
         fn_probe_read_f64, fn_probe_write_f64, fn_probe_update_f64},
    },
    .math = {
        {fn_math_exp_f32, fn_math_tanh_f32, FN_ULP_EXP_f32, FN_ULP_TANH_f32},
        {fn_math_exp_f64, fn_math_tanh_f64, FN_ULP_EXP_f64, FN_ULP_TANH_f64},
    },
};
#endif
