"""Each kernel as somebody who knows NumPy writes it, to compare with: plain, vectorised, no tricks.

One function for each kernel of the list, with the kernel's arguments in the kernel's order; read by jobs.py. What a
neutral parameter would cost (no clipping, no decay, no smoothing, weight absent) is left out here and is paid by the
kernel. Results are returned or written, whichever is less work for NumPy.
"""

import numpy as np

from fusednet.backends.table import CHUNK, Activation

SQRT_2_PI = float(np.sqrt(2 / np.pi))
SELU_SCALE, SELU_ALPHA = 1.0507009873554805, 1.6732632423543772

# ---- activations -----------------------------------------------------------------------------------------------------


def _gelu_tanh(x):
    return 0.5 * x * (1 + np.tanh(SQRT_2_PI * (x + 0.044715 * x * x * x)))


def _gelu_tanh_slope(x):
    t = np.tanh(SQRT_2_PI * (x + 0.044715 * x * x * x))
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * SQRT_2_PI * (1 + 3 * 0.044715 * x * x)


def _swish_slope(z):
    s = 1 / (1 + np.exp(-z))
    return s * (1 + z * (1 - s))


FORWARD = {
    Activation.LINEAR: lambda x, alpha: x.copy(),
    Activation.RELU: lambda x, alpha: np.maximum(x, 0),
    Activation.LEAKY_RELU: lambda x, alpha: np.where(x > 0, x, alpha * x),
    Activation.ELU: lambda x, alpha: np.where(x > 0, x, alpha * np.expm1(x)),
    Activation.SELU: lambda x, alpha: SELU_SCALE * np.where(x > 0, x, SELU_ALPHA * np.expm1(x)),
    Activation.SIGMOID: lambda x, alpha: 1 / (1 + np.exp(-x)),
    Activation.TANH: lambda x, alpha: np.tanh(x),
    Activation.SWISH: lambda x, alpha: x / (1 + np.exp(-x)),
    Activation.SOFTPLUS: lambda x, alpha: np.logaddexp(x, 0),
    Activation.GELU_TANH: lambda x, alpha: _gelu_tanh(x),
}
"""By kind, of (x, alpha). The exact gelu is absent: NumPy has no erf."""

SLOPE = {
    Activation.RELU: lambda s, alpha: s > 0,
    Activation.LEAKY_RELU: lambda s, alpha: np.where(s > 0, 1, s.dtype.type(alpha)),
    Activation.ELU: lambda s, alpha: np.where(s > 0, 1, s + alpha),
    Activation.SELU: lambda s, alpha: np.where(s > 0, SELU_SCALE, s + SELU_SCALE * SELU_ALPHA),
    Activation.SIGMOID: lambda s, alpha: s * (1 - s),
    Activation.TANH: lambda s, alpha: 1 - s * s,
    Activation.SWISH: lambda s, alpha: _swish_slope(s),
    Activation.SOFTPLUS: lambda s, alpha: -np.expm1(-s),
    Activation.GELU_TANH: lambda s, alpha: _gelu_tanh_slope(s),
}
"""By kind, of (s, alpha)."""


def activation_fwd(y, x, kind, alpha):
    return FORWARD[kind](x, alpha)


def activation_bwd(dx, dy, s, kind, alpha):
    return dy.copy() if kind == Activation.LINEAR else dy * SLOPE[kind](s, alpha)


def has_activation(kind: int) -> bool:
    """Whether NumPy has an expression for it."""
    return kind in FORWARD


# ---- affine ----------------------------------------------------------------------------------------------------------


def affine_fwd(y, z, x, w, b, kind, alpha, precision):
    np.matmul(x, w, y)
    if b is not None:
        y += b
    return y if kind == Activation.LINEAR else FORWARD[kind](y, alpha)


def affine_bwd_dx(dx, dy, w, s, kind, alpha, scale, precision):
    np.matmul(dy, w.T, dx)
    if scale != 1:
        dx *= scale
    if s is not None:
        dx *= SLOPE[kind](s, alpha)


def affine_bwd_dw(dw, db, x, dy, precision):
    np.matmul(x.T, dy, dw)
    if db is not None:
        np.sum(dy, axis=0, out=db)


# ---- rows ------------------------------------------------------------------------------------------------------------


def gather_rows(y, x, index, shift, scale):
    return (x[index].astype(y.dtype, copy=False) - shift) * scale


def find_outside(first, index, limit):
    return ((index < 0) | (index >= limit)).any()


def gather_labels(label, y, index):
    return y[index].astype(np.int32)


def find_nonfinite(first, x):
    return np.isfinite(x).all()


def softmax_fwd(y, x):
    e = np.exp(x - x.max(axis=1, keepdims=True))
    e /= e.sum(axis=1, keepdims=True)
    return e


def softmax_bwd(dx, dy, y):
    return y * (dy - (dy * y).sum(axis=1, keepdims=True))


# ---- batch normalisation ---------------------------------------------------------------------------------------------


def batch_norm_stats(mean, var, x):
    np.mean(x, axis=0, out=mean)
    np.var(x, axis=0, out=var)


def batch_norm_join(mean, var, other_mean, other_var, share):
    delta = other_mean - mean
    mean += share * delta
    var *= 1 - share
    var += share * (other_var + (1 - share) * delta * delta)


def batch_norm_fwd(y, z, x, mean, var, gamma, beta, epsilon, kind, alpha):
    np.multiply(x - mean, gamma / np.sqrt(var + epsilon), out=y)
    y += beta
    return y if kind == Activation.LINEAR else FORWARD[kind](y, alpha)


def batch_norm_bwd_reduce(dgamma, dbeta, dy, x, s, mean, var, epsilon, kind, alpha):
    dz = dy if s is None else dy * SLOPE[kind](s, alpha)
    xhat = (x - mean) / np.sqrt(var + epsilon)
    np.sum(dz * xhat, axis=0, out=dgamma)
    np.sum(dz, axis=0, out=dbeta)


def batch_norm_bwd_dx(dx, dy, x, s, mean, var, gamma, dgamma, dbeta, epsilon, kind, alpha):
    dz = dy if s is None else dy * SLOPE[kind](s, alpha)
    m, inverse = len(x), 1 / np.sqrt(var + epsilon)
    return gamma * inverse * (dz - dbeta / m - (x - mean) * (inverse * dgamma / m))


def batch_norm_running(running_mean, running_var, mean, var, momentum, var_factor):
    running_mean *= momentum
    running_mean += (1 - momentum) * mean
    running_var *= momentum
    running_var += (1 - momentum) * var


# ---- dropout ---------------------------------------------------------------------------------------------------------

_random = np.random.default_rng(0)


def dropout(y, x, rate, scale, seed, step, op):
    keep = _random.random(x.shape, dtype=np.float32) >= rate
    return x * (keep * x.dtype.type(scale))


def uniform_above(y, state, limit):
    return (np.random.rand(*y.shape) > limit).astype(y.dtype)


# ---- losses ----------------------------------------------------------------------------------------------------------


def softmax_xent_labels(loss, dz, z, label, weight, smoothing, scale):
    rows = np.arange(len(z))
    shifted = z - z.max(axis=1, keepdims=True)
    e = np.exp(shifted)
    total = e.sum(axis=1, keepdims=True)
    loss[...] = np.log(total[:, 0]) - shifted[rows, label]
    e /= total
    e[rows, label] -= 1
    e *= scale
    return e


def softmax_xent_targets(loss, dz, z, target, weight, smoothing, scale):
    shifted = z - z.max(axis=1, keepdims=True)
    e = np.exp(shifted)
    total = e.sum(axis=1, keepdims=True)
    np.sum(target * (np.log(total) - shifted), axis=1, out=loss)
    return scale * (e / total - target)


def sigmoid_xent(loss, dz, z, target, weight, smoothing, factor, scale):
    np.sum(np.maximum(z, 0) - z * target + np.log1p(np.exp(-np.abs(z))), axis=1, out=loss)
    return scale * (1 / (1 + np.exp(-z)) - target)


def squared_error(loss, dz, z, target, weight, factor, scale):
    d = z - target
    np.sum(d * d, axis=1, out=loss)
    d *= 2 * factor * scale
    return d


def absolute_error(loss, dz, z, target, weight, factor, scale):
    d = z - target
    np.sum(np.abs(d), axis=1, out=loss)
    return factor * scale * np.sign(d)


def huber_error(loss, dz, z, target, weight, delta, factor, scale):
    d = z - target
    clipped = np.clip(d, -delta, delta)
    np.sum(clipped * (d - 0.5 * clipped), axis=1, out=loss)
    clipped *= factor * scale
    return clipped


def pinball_loss(loss, dz, z, target, weight, quantile, factor, scale):
    d = z - target
    slope = np.where(d > 0, 1 - quantile, -quantile).astype(z.dtype)
    d *= slope
    np.sum(d, axis=1, out=loss)
    slope *= factor * scale
    return slope


def poisson_loss(loss, dz, z, target, weight, constant, factor, scale):
    rate = np.exp(z)
    np.sum(rate - target * z, axis=1, out=loss)
    rate -= target
    rate *= factor * scale
    return rate


# ---- optimizer steps -------------------------------------------------------------------------------------------------


def sgd_step(p, g, lr, l2, decay, scale, clip):
    p -= lr * g


def momentum_step(p, v, g, lr, momentum, l2, decay, scale, clip):
    v *= momentum
    v -= lr * g
    p += v


def nesterov_step(p, v, g, lr, momentum, l2, decay, scale, clip):
    v *= momentum
    v -= lr * g
    p += momentum * v - lr * g


def adagrad_step(p, v, g, lr, epsilon, l2, decay, scale, clip):
    v += g * g
    p -= lr * g / (np.sqrt(v) + epsilon)


def rmsprop_step(p, v, g, lr, rho, epsilon, l2, decay, scale, clip):
    v *= rho
    v += (1 - rho) * g * g
    p -= lr * g / (np.sqrt(v) + epsilon)


def adam_step(p, m, v, g, lr, beta1, beta2, epsilon, v_scale, l2, decay, scale, clip):
    m += (1 - beta1) * (g - m)
    v += (1 - beta2) * (g * g - v)
    p -= lr * m / (np.sqrt(v) + epsilon)


# ---- around a step ---------------------------------------------------------------------------------------------------


def penalty_gradient(g, p, l1, l2):
    g += l2 * p
    g += l1 * np.sign(p)


def clip_scale(scale, norm, partial, limit, factor):
    norm[0] = size = factor * np.sqrt(partial.sum())
    scale[0] = factor * min(1, limit / size)


def moving_average(average, x, momentum):
    average *= momentum
    average += (1 - momentum) * x


# ---- sums and counts -------------------------------------------------------------------------------------------------


def square_sums(partial, x):
    whole = len(x) // CHUNK * CHUNK
    return np.square(x[:whole], dtype=np.float64).reshape(-1, CHUNK).sum(axis=1)


def absolute_sums(partial, x):
    whole = len(x) // CHUNK * CHUNK
    return np.abs(x[:whole]).reshape(-1, CHUNK).sum(axis=1, dtype=np.float64)


def sum(total, x):
    return np.sum(x, dtype=np.float64)


def accumulate(total, x, factor):
    total[0] += factor * np.sum(x, dtype=np.float64)


def accumulate_partial(total, partial, factor):
    total[0] += factor * np.sum(partial)


def inverse_sum(scale, x):
    scale[0] = 1 / np.sum(x, dtype=np.float64)


def correct_labels(correct, z, label, weight):
    return z.argmax(axis=1) == label


def correct_targets(correct, z, target, weight):
    return z.argmax(axis=1) == target.argmax(axis=1)


def correct_binary(correct, z, target, weight, threshold):
    return ((z > threshold) == (target > 0.5)).mean(axis=1)
