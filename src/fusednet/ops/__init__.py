"""The kernels as functions on NumPy arrays, for anyone's own code.

Reads the chosen table (fusednet.backends); the modules beside this one hold one family each, `_door` the checks.

What all functions have in common:

a) Any real array is taken, in any memory order, with any strides, of any dtype, read-only or not, and lists too. The
   result is float64 if a floating argument is float64 (or longdouble), or if none is floating; else float32. So integer
   data follow the parameters, float16 becomes float32, and float32 data with float64 weights give float64. Parameters
   (w, b, gamma, beta, mean, var, and all that an optimizer changes) must be floating.
b) C-contiguous arrays of the result's dtype go to the kernel as they are, and so do matrices whose rows are contiguous;
   everything else is copied first.
c) ``out`` is an array of the result's shape and dtype, of any strides: of the first result, or a tuple with an array
   or None for each. It must not overlap an input, except that an elementwise function may be given its input itself.
d) Bad input is a ValueError or TypeError that names function and argument, says what was given and what was wanted,
   and is raised before anything is written. NaN is a number like others here.
e) The first axis counts rows (m); names and order of arguments are: outputs and state, inputs, parameters.
"""

from fusednet.ops._activations import (
    elu,
    elu_backward,
    gelu,
    gelu_backward,
    leaky_relu,
    leaky_relu_backward,
    linear,
    linear_backward,
    relu,
    relu_backward,
    selu,
    selu_backward,
    sigmoid,
    sigmoid_backward,
    silu,
    silu_backward,
    softmax,
    softmax_backward,
    softplus,
    softplus_backward,
    swish,
    swish_backward,
    tanh,
    tanh_backward,
)
from fusednet.ops._affine import affine, affine_backward
from fusednet.ops._dropout import dropout, dropout_backward
from fusednet.ops._losses import (
    absolute_error,
    huber,
    pinball_loss,
    poisson_loss,
    sigmoid_cross_entropy,
    softmax_cross_entropy,
    squared_error,
)
from fusednet.ops._metrics import accuracy, binary_accuracy, count_correct
from fusednet.ops._normalization import batch_norm, batch_norm_backward, batch_norm_inference
from fusednet.ops._optimizers import (
    adagrad_step,
    adam_step,
    adamw_step,
    global_norm,
    momentum_step,
    nesterov_step,
    rmsprop_step,
    sgd_step,
    sum_of_squares,
)
from fusednet.ops._rows import take_rows

__all__ = [
    "absolute_error",
    "accuracy",
    "adagrad_step",
    "adam_step",
    "adamw_step",
    "affine",
    "affine_backward",
    "batch_norm",
    "batch_norm_backward",
    "batch_norm_inference",
    "binary_accuracy",
    "count_correct",
    "dropout",
    "dropout_backward",
    "elu",
    "elu_backward",
    "gelu",
    "gelu_backward",
    "global_norm",
    "huber",
    "leaky_relu",
    "leaky_relu_backward",
    "linear",
    "linear_backward",
    "momentum_step",
    "nesterov_step",
    "pinball_loss",
    "poisson_loss",
    "relu",
    "relu_backward",
    "rmsprop_step",
    "selu",
    "selu_backward",
    "sgd_step",
    "sigmoid",
    "sigmoid_backward",
    "sigmoid_cross_entropy",
    "silu",
    "silu_backward",
    "softmax",
    "softmax_backward",
    "softmax_cross_entropy",
    "softplus",
    "softplus_backward",
    "squared_error",
    "sum_of_squares",
    "swish",
    "swish_backward",
    "take_rows",
    "tanh",
    "tanh_backward",
]
