"""The NumPy table: every kernel of the list written as its formula.

Reads table.py; read by backends/__init__.py (the fallback that is always there) and by the tests, whose oracle it is.

a) Obvious before fast: one expression per line of the contract in kernels.def, temporaries are free. Whole networks
   train on it, in float32 and in float64.
b) The arithmetic is done in the dtype of the arrays (sums that the list wants in double in the dtype of their output),
   so that the same lines run on wider arrays, long double too, when the tests ask for the exact result.
c) Stable forms throughout: log-sum-exp, log1p, expm1, erfc; no intermediate result overflows where the final one does
   not.
"""

import math
import threading
from collections.abc import Callable

import numpy as np

from fusednet.backends.table import CHUNK, Activation, Table

FUNCTIONS: dict[str, Callable[..., None]] = {}
"""The kernels by name; filled by `_kernel`."""


def _kernel(function: Callable[..., None]) -> Callable[..., None]:
    # Infinity and NaN are results here, as they are in C; a library prints no warnings about them.
    FUNCTIONS[function.__name__] = np.errstate(all="ignore")(function)
    return FUNCTIONS[function.__name__]


def table() -> Table:
    """The kernels as a table; every call gives an equal one."""
    return Table("numpy", FUNCTIONS)


# ---- rows in ---------------------------------------------------------------------------------------------------------


@_kernel
def gather_rows(y, x, index, shift, scale):
    rows = (x[: len(y)] if index is None else x[index]).astype(y.dtype)
    if shift is not None:
        rows = rows - shift
    if scale is not None:
        rows = rows * scale
    y[...] = rows


@_kernel
def find_outside(first, index, limit):
    outside = np.flatnonzero((index < 0) | (index >= limit))
    first[0] = outside[0] if outside.size else -1


@_kernel
def gather_labels(label, y, index):
    label[...] = y[: len(label)] if index is None else y[index]


@_kernel
def find_nonfinite(first, x):
    found = np.flatnonzero(~np.isfinite(x))
    first[0] = found[0] if found.size else -1


# ---- activations -----------------------------------------------------------------------------------------------------
# One function f(z, alpha) and one derivative f'(s, alpha) for each; s is y or z, as the list says.

SELU_SCALE = 1.0507009873554804934193349852946  # Klambauer et al. 2017, equation 14
SELU_ALPHA = 1.6732632423543772848170429916717
_GELU_TANH_SCALE = math.sqrt(2 / math.pi)
_GELU_TANH_CUBE = 0.044715  # Hendrycks & Gimpel 2016
_SQRT_HALF = math.sqrt(0.5)
_SQRT_TWO_PI = math.sqrt(2 * math.pi)

# erfc has no counterpart in NumPy. The one of the standard library is right to the last place, in double.
_normal_cdf = np.frompyfunc(lambda z: 0.5 * math.erfc(-z * _SQRT_HALF), 1, 1)


def _sigmoid(z):
    e = np.exp(-np.abs(z))  # at most 1: nothing overflows
    return np.where(z >= 0, 1, e) / (1 + e)


def _elu(z, alpha):
    return np.where(z > 0, z, alpha * np.expm1(np.minimum(z, 0)))


def _elu_derivative(y, alpha):
    return np.where(y > 0, 1, y + alpha).astype(y.dtype)


def _softplus(z, _):
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))


def _swish_derivative(z, _):
    sigmoid = _sigmoid(z)
    return sigmoid + z * sigmoid * _sigmoid(-z)


def _gelu(z, _):
    return z * _normal_cdf(z).astype(z.dtype)


def _gelu_derivative(z, _):
    density = np.exp(-z * z / 2) / _SQRT_TWO_PI
    return _normal_cdf(z).astype(z.dtype) + z * density


# z/2 (1 + tanh(a)) = z sigmoid(2a), which does not cancel where tanh(a) is near -1; a = z (c + c 0.044715 z^2).
def _gelu_tanh(z, _):
    a = z * (_GELU_TANH_SCALE + _GELU_TANH_SCALE * _GELU_TANH_CUBE * z * z)
    return z * _sigmoid(2 * a)


def _gelu_tanh_derivative(z, _):
    a = z * (_GELU_TANH_SCALE + _GELU_TANH_SCALE * _GELU_TANH_CUBE * z * z)
    slope = _GELU_TANH_SCALE + 3 * _GELU_TANH_SCALE * _GELU_TANH_CUBE * z * z
    saturation = _sigmoid(2 * a) * _sigmoid(-2 * a)
    return _sigmoid(2 * a) + np.where(saturation > 0, 2 * z * slope * saturation, 0)


_FORWARD = {
    Activation.LINEAR: lambda z, _: z,
    Activation.RELU: lambda z, _: np.maximum(z, 0),
    Activation.LEAKY_RELU: lambda z, alpha: np.where(z > 0, z, alpha * z),
    Activation.ELU: _elu,
    Activation.SELU: lambda z, _: SELU_SCALE * _elu(z, SELU_ALPHA),
    Activation.SIGMOID: lambda z, _: _sigmoid(z),
    Activation.TANH: lambda z, _: np.tanh(z),
    Activation.SWISH: lambda z, _: z * _sigmoid(z),
    Activation.SOFTPLUS: _softplus,
    Activation.GELU: _gelu,
    Activation.GELU_TANH: _gelu_tanh,
}

_DERIVATIVE = {
    Activation.LINEAR: lambda y, _: np.ones_like(y),
    Activation.RELU: lambda y, _: (y > 0).astype(y.dtype),
    Activation.LEAKY_RELU: lambda y, alpha: np.where(y > 0, 1, alpha).astype(y.dtype),
    Activation.ELU: _elu_derivative,
    Activation.SELU: lambda y, _: np.where(y > 0, SELU_SCALE, y + SELU_SCALE * SELU_ALPHA).astype(y.dtype),
    Activation.SIGMOID: lambda y, _: y * (1 - y),
    Activation.TANH: lambda y, _: 1 - y * y,
    Activation.SWISH: _swish_derivative,
    Activation.SOFTPLUS: lambda y, _: -np.expm1(-y),
    Activation.GELU: _gelu_derivative,
    Activation.GELU_TANH: _gelu_tanh_derivative,
}


@_kernel
def activation_fwd(y, x, kind, alpha):
    y[...] = _FORWARD[kind](x, alpha)


def _back(dy, s, kind, alpha):
    """dy f'(s); where relu is 0 so is that, whatever dy."""
    return np.where(s > 0, dy, 0) if kind == Activation.RELU else dy * _DERIVATIVE[kind](s, alpha)


@_kernel
def activation_bwd(dx, dy, s, kind, alpha):
    dx[...] = _back(dy, s, kind, alpha)


# ---- affine layer ----------------------------------------------------------------------------------------------------


@_kernel
def affine_fwd(y, z, x, w, b, kind, alpha, precision):
    pre = x @ w
    if b is not None:
        pre = pre + b
    if z is not None:
        z[...] = pre
    y[...] = _FORWARD[kind](pre, alpha)


@_kernel
def affine_bwd_dx(dx, dy, w, s, kind, alpha, scale, precision):
    product = dy @ w.T * dx.dtype.type(scale)
    dx[...] = product if s is None else _back(product, s, kind, alpha)


@_kernel
def affine_bwd_dw(dw, db, x, dy, precision):
    dw[...] = x.T @ dy
    if db is not None:
        db[...] = dy.sum(axis=0)


# ---- softmax ---------------------------------------------------------------------------------------------------------


def _softmax_and_surprise(z):
    """Rows of p = e^z / sum e^z, and of -log p. The largest z is taken out first, so no power is above 1."""
    shifted = z - z.max(axis=1, keepdims=True, initial=-np.inf)
    power = np.exp(shifted)
    total = power.sum(axis=1, keepdims=True)
    return power / total, np.log(total) - shifted


@_kernel
def softmax_fwd(y, x):
    y[...] = _softmax_and_surprise(x)[0]


@_kernel
def softmax_bwd(dx, dy, y):
    dx[...] = y * (dy - (dy * y).sum(axis=1, keepdims=True))


# ---- batch normalisation, per column ---------------------------------------------------------------------------------


def _normalized(x, mean, var, epsilon):
    return (x - mean) / np.sqrt(var + epsilon)


def _through_activation(dy, s, kind, alpha):
    return dy if s is None else dy * _DERIVATIVE[kind](s, alpha)


@_kernel
def batch_norm_stats(mean, var, x):
    rows = max(len(x), 1)  # the mean of no rows is 0
    mean[...] = x.sum(axis=0) / rows
    var[...] = np.square(x - mean).sum(axis=0) / rows


@_kernel
def batch_norm_join(mean, var, other_mean, other_var, share):
    delta = other_mean - mean
    mean += share * delta
    var[...] = (1 - share) * var + share * other_var + share * (1 - share) * np.square(delta)


@_kernel
def batch_norm_fwd(y, z, x, mean, var, gamma, beta, epsilon, kind, alpha):
    pre = gamma * _normalized(x, mean, var, epsilon) + beta
    if z is not None:
        z[...] = pre
    y[...] = _FORWARD[kind](pre, alpha)


@_kernel
def batch_norm_bwd_reduce(dgamma, dbeta, dy, x, s, mean, var, epsilon, kind, alpha):
    dz = _through_activation(dy, s, kind, alpha)
    dgamma[...] = (dz * _normalized(x, mean, var, epsilon)).sum(axis=0)
    dbeta[...] = dz.sum(axis=0)


@_kernel
def batch_norm_bwd_dx(dx, dy, x, s, mean, var, gamma, dgamma, dbeta, epsilon, kind, alpha):
    rows = max(len(x), 1)
    dz = _through_activation(dy, s, kind, alpha)
    xhat = _normalized(x, mean, var, epsilon)
    dx[...] = gamma / np.sqrt(var + epsilon) * (dz - dbeta / rows - xhat * dgamma / rows)


@_kernel
def batch_norm_running(running_mean, running_var, mean, var, momentum, var_factor):
    running_mean[...] = momentum * running_mean + (1 - momentum) * mean
    running_var[...] = momentum * running_var + (1 - momentum) * (var_factor * var)


# ---- dropout ---------------------------------------------------------------------------------------------------------

_WORD = 0xFFFFFFFF


def philox4x32(counter, key, rounds=7):
    """The counter-based generator Philox4x32.

    Parameters
    ----------
    counter : sequence of four array_like of int
        The words of the counters, below 2**32; they broadcast together.
    key : tuple of two int
        The words of the key.
    rounds : int, default 7
        7 is the fewest that pass TestU01's BigCrush; Random123's own default is 10.

    Returns
    -------
    tuple of four ndarray of uint64
        The output words, below 2**32.

    References
    ----------
    Salmon, Moraes, Dror & Shaw (2011), Parallel random numbers: as easy as 1, 2, 3.
    """
    c0, c1, c2, c3 = np.broadcast_arrays(*(np.asarray(word, np.uint64) for word in counter))
    k0, k1 = key
    for _ in range(rounds):
        p0 = c0 * np.uint64(0xD2511F53)
        p1 = c2 * np.uint64(0xCD9E8D57)
        shift, low = np.uint64(32), np.uint64(_WORD)
        c0, c1, c2, c3 = (p1 >> shift) ^ c1 ^ np.uint64(k0), p1 & low, (p0 >> shift) ^ c3 ^ np.uint64(k1), p0 & low
        k0 = (k0 + 0x9E3779B9) & _WORD
        k1 = (k1 + 0xBB67AE85) & _WORD
    return c0, c1, c2, c3


def random_words(n, seed, step, op):
    """The words of elements 0 to n - 1: a function of (seed, step, op, element) alone.

    Elements come in groups of 64. Group g uses the 16 blocks 16 g ... 16 g + 15, and element i of a group is word
    i // 16 of block i % 16 of the group: a vector of blocks gives runs of neighbouring elements without a shuffle.
    """
    groups = -(-n // 64)
    block = np.arange(16 * groups, dtype=np.uint64)
    high = (block >> np.uint64(32)) | np.uint64((op & 0xFFFF) << 16)
    counter = (block & np.uint64(_WORD), high, step & _WORD, (step >> 32) & _WORD)
    words = philox4x32(counter, (seed & _WORD, (seed >> 32) & _WORD))
    return np.stack(words).reshape(4, groups, 16).swapaxes(0, 1).reshape(-1)[:n]


@_kernel
def dropout(y, x, rate, scale, seed, step, op):
    threshold = min(round(rate * 2**32), 2**32)
    keep = random_words(len(x), seed, step, op) >= np.uint64(threshold)
    y[...] = np.where(keep, scale * x, 0)


class _Twister(threading.local):
    """A generator for each thread: between its state being set and read no other one may draw."""

    def __init__(self):
        self.of_thread = np.random.RandomState()


_twister = _Twister()


@_kernel
def uniform_above(y, state, limit):
    place = state[624] if 0 <= state[624] < 624 else 624  # NumPy would take any, and read there
    twister = _twister.of_thread
    twister.set_state(("MT19937", state[:624].view(np.uint32), place))
    y[...] = twister.random_sample(len(y)) > limit
    _, words, state[624], *_ = twister.get_state()
    state[:624] = words.view(np.int32)


# ---- losses ----------------------------------------------------------------------------------------------------------


def _write_loss(loss, dz, value, gradient, weight, scale):
    """The end that all losses share: rows weighted, gradient scaled. Weight 0 silences a row, be it NaN."""
    if weight is not None:
        column = weight[:, None]
        value = np.where(weight == 0, 0, weight * value)
        gradient = np.where(column == 0, 0, column * gradient)
    loss[...] = value
    if dz is not None:
        dz[...] = scale * gradient


def _softmax_xent(loss, dz, z, target, weight, scale):
    # sum(t) logsumexp(z) - sum_j t_j z_j = -sum_j t_j log softmax(z)_j, with 0 where t_j is 0 and z_j is -infinity
    softmax, surprise = _softmax_and_surprise(z)
    terms = np.where(target == 0, 0, target * surprise)
    total = target.sum(axis=1, keepdims=True)
    _write_loss(loss, dz, terms.sum(axis=1), total * softmax - target, weight, scale)


@_kernel
def softmax_xent_labels(loss, dz, z, label, weight, smoothing, scale):
    n = z.shape[1]
    onehot = (np.arange(n) == label[:, None]).astype(z.dtype)
    _softmax_xent(loss, dz, z, (1 - smoothing) * onehot + smoothing / max(n, 1), weight, scale)


@_kernel
def softmax_xent_targets(loss, dz, z, target, weight, smoothing, scale):
    n = z.shape[1]
    _softmax_xent(loss, dz, z, (1 - smoothing) * target + smoothing / max(n, 1), weight, scale)


@_kernel
def sigmoid_xent(loss, dz, z, target, weight, smoothing, factor, scale):
    t = (1 - smoothing) * target + smoothing / 2
    terms = np.maximum(z, 0) - z * t + np.log1p(np.exp(-np.abs(z)))
    _write_loss(loss, dz, factor * terms.sum(axis=1), factor * (_sigmoid(z) - t), weight, scale)


@_kernel
def squared_error(loss, dz, z, target, weight, factor, scale):
    d = z - target
    _write_loss(loss, dz, factor * np.square(d).sum(axis=1), 2 * factor * d, weight, scale)


@_kernel
def absolute_error(loss, dz, z, target, weight, factor, scale):
    d = z - target
    _write_loss(loss, dz, factor * np.abs(d).sum(axis=1), factor * np.sign(d), weight, scale)


@_kernel
def huber_error(loss, dz, z, target, weight, delta, factor, scale):
    d = z - target
    size = np.abs(d)
    terms = np.where(size <= delta, d * d / 2, delta * (size - delta / 2))
    _write_loss(loss, dz, factor * terms.sum(axis=1), factor * np.clip(d, -delta, delta), weight, scale)


@_kernel
def pinball_loss(loss, dz, z, target, weight, quantile, factor, scale):
    d = z - target
    slope = np.where(d > 0, 1 - quantile, np.where(d < 0, -quantile, d))
    _write_loss(loss, dz, factor * (d * slope).sum(axis=1), factor * slope, weight, scale)


@_kernel
def poisson_loss(loss, dz, z, target, weight, constant, factor, scale):
    rate = np.exp(z)
    terms = rate - target * z
    if constant != 0:
        terms = terms + constant * (target * np.log(np.where(target == 0, 1, target)) - target)
    _write_loss(loss, dz, factor * terms.sum(axis=1), factor * (rate - target), weight, scale)


# ---- optimizer steps -------------------------------------------------------------------------------------------------


def _effective_gradient(p, g, l2, scale, clip):
    return np.clip(scale * g, -clip, clip) + l2 * p


def _apply(p, step, decay):
    p[...] = p * (1 - decay) + step


@_kernel
def sgd_step(p, g, lr, l2, decay, scale, clip):
    h = _effective_gradient(p, g, l2, scale, clip)
    _apply(p, -lr * h, decay)


@_kernel
def momentum_step(p, v, g, lr, momentum, l2, decay, scale, clip):
    h = _effective_gradient(p, g, l2, scale, clip)
    v[...] = momentum * v - lr * h
    _apply(p, v, decay)


@_kernel
def nesterov_step(p, v, g, lr, momentum, l2, decay, scale, clip):
    h = _effective_gradient(p, g, l2, scale, clip)
    v[...] = momentum * v - lr * h
    _apply(p, momentum * v - lr * h, decay)


@_kernel
def adagrad_step(p, v, g, lr, epsilon, l2, decay, scale, clip):
    h = _effective_gradient(p, g, l2, scale, clip)
    v[...] = v + h * h
    _apply(p, -lr * h / (np.sqrt(v) + epsilon), decay)


@_kernel
def rmsprop_step(p, v, g, lr, rho, epsilon, l2, decay, scale, clip):
    h = _effective_gradient(p, g, l2, scale, clip)
    v[...] = rho * v + (1 - rho) * h * h
    _apply(p, -lr * h / (np.sqrt(v) + epsilon), decay)


@_kernel
def adam_step(p, m, v, g, lr, beta1, beta2, epsilon, v_scale, l2, decay, scale, clip):
    h = _effective_gradient(p, g, l2, scale, clip)
    m[...] = beta1 * m + (1 - beta1) * h
    v[...] = beta2 * v + (1 - beta2) * h * h
    _apply(p, -lr * m / (v_scale * np.sqrt(v) + epsilon), decay)


# ---- around a step ---------------------------------------------------------------------------------------------------


@_kernel
def penalty_gradient(g, p, l1, l2):
    g[...] = g + l2 * p + l1 * np.sign(p)


@_kernel
def clip_scale(scale, norm, partial, limit, factor):
    norm[0] = factor * np.sqrt(partial.sum(dtype=norm.dtype))
    scale[0] = factor if norm[0] <= limit else factor * limit / norm[0]


@_kernel
def moving_average(average, x, momentum):
    average[...] = momentum * average + (1 - momentum) * x


# ---- sums and counts -------------------------------------------------------------------------------------------------


@_kernel
def square_sums(partial, x):
    for c in range(len(partial)):
        partial[c] = np.square(x[c * CHUNK : (c + 1) * CHUNK], dtype=partial.dtype).sum()


@_kernel
def absolute_sums(partial, x):
    for c in range(len(partial)):
        partial[c] = np.abs(x[c * CHUNK : (c + 1) * CHUNK]).sum(dtype=partial.dtype)


@_kernel
def sum(total, x):
    total[0] = x.sum(dtype=total.dtype)


@_kernel
def accumulate(total, x, factor):
    total[0] += factor * x.sum(dtype=total.dtype)


@_kernel
def accumulate_partial(total, partial, factor):
    total[0] += factor * partial.sum(dtype=total.dtype)


@_kernel
def inverse_sum(scale, x):
    total = x.sum(dtype=scale.dtype)
    scale[0] = 0 if total == 0 else 1 / total


def _write_counts(correct, hit, weight):
    hit = hit.astype(correct.dtype)
    correct[...] = hit if weight is None else hit * weight


@_kernel
def correct_labels(correct, z, label, weight):
    first_largest = z.argmax(axis=1) if z.shape[1] else np.full(len(z), -1)
    _write_counts(correct, (first_largest == label) & (z.shape[1] > 0), weight)


@_kernel
def correct_targets(correct, z, target, weight):
    hit = z.argmax(axis=1) == target.argmax(axis=1) if z.shape[1] else np.zeros(len(z), bool)
    _write_counts(correct, hit, weight)


@_kernel
def correct_binary(correct, z, target, weight, threshold):
    hits = ((z > threshold) == (target > 0.5)).sum(axis=1)
    _write_counts(correct, hits / max(z.shape[1], 1), weight)
