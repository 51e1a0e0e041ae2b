/* Every kernel for one dtype (FN_T, FN_S). The order is that of dependence: math before activations before those that
 * fuse them. */
#include "kernel_impl.h"

#define FN_ARGS_T(name) FN_NAME(fn_##name##_args)
#include "kernels.h"

#include "flat_impl.h"
#include "math_impl.h"
#include "activation_impl.h"
#include "gather_impl.h"
#include "deal_impl.h"
#include "gemm_impl.h"
#include "affine_impl.h"
#include "columns_impl.h"
#include "softmax_impl.h"
#include "loss_impl.h"
#include "batch_norm_impl.h"
#include "dropout_impl.h"
#include "mersenne_impl.h"
#include "optimizer_impl.h"
#include "reduce_impl.h"
#include "training_impl.h"
#include "probe_impl.h"
