/* What a kernel is: its arguments, its part of the work, its place in a table.
 *
 * Reads kernels.def (the list) and base/part.h; is read by every instruction set's translation unit, by the engine
 * and by fusednet.h.
 *
 * a) A kernel is void(args, part). The arguments are one struct of 8-byte fields in the order of the list, so a caller
 *    that knows the list (the Cython border, an op record of a plan) can fill it as an array of slots.
 * b) A part says which share of the outputs this call writes: index of count. Outputs are divided, sums are not: the
 *    bits of the result do not depend on count. Every part may run at the same time as every other part.
 * c) A kernel cannot fail, allocates nothing and calls nothing outside its translation unit but memcpy and memset.
 *    Shapes, ranges of labels and aliasing are checked at the door, once.
 */
#ifndef FN_KERNELS_H
#define FN_KERNELS_H

#include "part.h"

#include <stdint.h>

/* Elements whose sum is taken as one: the grain of square_sums. */
#define FN_CHUNK 4096

/* Outputs beyond this many bytes, of which no next kernel would find much in the caches, are stored past them. With
 * 32 MiB of third-level cache one relu after the other gains from it above 12 MiB, a relu that reads what the last one
 * wrote above 18 MiB. */
#define FN_STREAM_BYTES (16 * 1024 * 1024)

/* Bounds of the error of exp and tanh in units in the last place, on every instruction set (math_impl.h). */
#define FN_ULP_EXP_f32 0.95
#define FN_ULP_EXP_f64 1.0
#define FN_ULP_TANH_f32 3.0
#define FN_ULP_TANH_f64 3.0

/* Codes of the list: FN_TYPE_uint8, ...; FN_ACT_relu, ...; FN_K_affine_fwd, ... */
enum fn_type {
#define FN_TYPE(name) FN_TYPE_##name,
#include "kernels.def"
    FN_TYPE_COUNT
};
enum fn_act {
#define FN_ACTIVATION(name) FN_ACT_##name,
#include "kernels.def"
    FN_ACT_COUNT
};
enum fn_precision {
#define FN_PRECISION(name) FN_PRECISION_##name,
#include "kernels.def"
    FN_PRECISION_COUNT
};
enum fn_kernel_id {
#define FN_KERNEL(name, cost, ...) FN_K_##name,
#include "kernels.def"
    FN_KERNEL_COUNT
};

/* Ceilings of this machine, measured with the table's own instructions (fusednet/bench/ceilings.py).
 * Each runs `repeat` times over n elements of x and y and returns a value that depends on all of the work, so that
 * nothing can be left out. x and y are 64-byte aligned; n a multiple of 1024. */
typedef struct {
    double (*fma)(int64_t repeat);                                    /* multiply-adds in registers */
    int64_t fma_flop;                                                 /* floating-point operations of one repeat */
    double (*dot)(int64_t repeat);                                    /* of bfloat16, sums in float; NULL: no such units */
    int64_t dot_flop;
    double (*read)(const void *x, int64_t n, int64_t repeat);         /* x once */
    double (*write)(void *y, int64_t n, int64_t repeat);              /* y once, past the caches where it is large */
    double (*update)(void *y, int64_t n, int64_t repeat);             /* y read and written in place */
} fn_probe;

/* The library's own vector functions on n contiguous elements, for their tests, and their stated error bounds. */
typedef struct {
    void (*exp)(void *y, const void *x, int64_t n);
    void (*tanh)(void *y, const void *x, int64_t n);
    double ulp_exp, ulp_tanh;
} fn_math;

/* One instruction set's kernels. No slot is ever empty: the kernels are the list. */
typedef struct {
    const char *isa;
    fn_kernel kernel[2][FN_KERNEL_COUNT]; /* [0] float, [1] double */
    fn_probe probe[2];
    fn_math math[2];
} fn_table;

/* What an instruction set with multiply-adds of bfloat16 numbers has of its own. */
typedef struct {
    const char *isa;
    fn_kernel kernel[2][FN_KERNEL_COUNT]; /* NULL: the table's */
    double (*dot)(int64_t repeat); /* as in fn_probe */
    int64_t dot_flop;
} fn_bf16;

extern const fn_table fn_table_scalar, fn_table_avx2, fn_table_avx512, fn_table_neon;
extern const fn_bf16 fn_own_avx512_bf16, fn_own_amx_bf16;

#endif

/* The argument structs, once for each FN_T: define FN_T and FN_ARGS_T(name) (the struct's name) and include again. */
#ifdef FN_ARGS_T
#define FN_OUT1(x, n)         FN_T *x;
#define FN_OUT1_OPT(x, n)     FN_T *x;
#define FN_OUT2(x, m, n)      FN_T *x; int64_t ld_##x;
#define FN_OUT2_OPT(x, m, n)  FN_T *x; int64_t ld_##x;
#define FN_IO1(x, n)          FN_T *x;
#define FN_IO1_F64(x, n)      double *x;
#define FN_IO1_I32(x, n)      int32_t *x;
#define FN_IN1(x, n)          const FN_T *x;
#define FN_IN1_OPT(x, n)      const FN_T *x;
#define FN_IN2(x, m, n)       const FN_T *x; int64_t ld_##x;
#define FN_IN2_OPT(x, m, n)   const FN_T *x; int64_t ld_##x;
#define FN_OUT1_F64(x, n)     double *x;
#define FN_OUT1_I64(x, n)     int64_t *x;
#define FN_OUT1_I32(x, n)     int32_t *x;
#define FN_IN1_F64(x, n)      const double *x;
#define FN_IN1_I32(x, n)      const int32_t *x;
#define FN_IN1_OPT_I64(x, n)  const int64_t *x;
#define FN_ANY1(x, n)         const void *x; int64_t type_##x;
#define FN_ANY2(x, m, n)      const void *x; int64_t ld_##x; int64_t type_##x;
#define FN_REAL(x)            double x;
#define FN_INT(x)             int64_t x;
#define FN_SIZE(x)            int64_t x;
#define FN_KERNEL(name, cost, ...) typedef struct { __VA_ARGS__ } FN_ARGS_T(name);
#include "kernels.def"
#undef FN_OUT1
#undef FN_OUT1_OPT
#undef FN_OUT2
#undef FN_OUT2_OPT
#undef FN_IO1
#undef FN_IO1_F64
#undef FN_IN1
#undef FN_IN1_OPT
#undef FN_IN2
#undef FN_IN2_OPT
#undef FN_OUT1_F64
#undef FN_OUT1_I64
#undef FN_OUT1_I32
#undef FN_IN1_F64
#undef FN_IN1_I32
#undef FN_IN1_OPT_I64
#undef FN_ANY1
#undef FN_ANY2
#undef FN_REAL
#undef FN_INT
#undef FN_SIZE
#undef FN_ARGS_T
#endif
