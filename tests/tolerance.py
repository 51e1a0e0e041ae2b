"""How far an output may be from the exact result: one rule per kernel, each with its reason.

Read by harness.py. A rule takes the unit roundoff and the exact arguments and results, and gives the largest error
allowed, element by element. It knows the formula, not the code: any order of summation and any grouping of terms
passes, an algorithm that cancels where the formula does not fails.

a) The terms of a formula are bounded, not its value: c u (|a| + |b|) for a + b, c a few roundings. Where terms do not
   cancel that is a few units in the last place of the result.
b) A sum of n terms in any order gets (4 + sqrt(n)) u sum|term|: rounding errors of a sum act as if random (Higham &
   Mary 2019, A new approach to probabilistic rounding error analysis); the certain bound n u would hide lost terms.
c) An error in z goes through f to the values of f around z, so a kink or a flat place of f counts as it is.
d) What lies below the smallest normal number may be lost where a power e^-x made it, and in Adam's m.
"""

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np

from fusednet.backends import ref_numpy
from fusednet.backends.table import PRECISIONS, Activation

RULES: dict[str, Callable[[SimpleNamespace, SimpleNamespace, SimpleNamespace], dict]] = {}
"""rule(t, a, r): t.u, t.tiny, t.least (unit roundoff, smallest normal and subnormal number) of the output's dtype, the
arguments and sizes a, absent ones None, and the exact outputs r; gives the allowed error by output."""


def _rule(function):
    RULES[function.__name__] = function
    return function


def _sum(n) -> float:
    return 4 + np.sqrt(float(n))


def _absolute_product(x, w):
    # double is enough for a bound, and long double has no BLAS
    return np.abs(x).astype(np.float64) @ np.abs(w).astype(np.float64)


def _bfloat16(x):
    """Floats rounded to bfloat16, ties to even; what is subnormal is 0."""
    bits = np.ascontiguousarray(x, np.float32).view(np.uint32)
    rounded = ((bits + (0x7FFF + ((bits >> 16) & 1))) & 0xFFFF0000).astype(np.uint32).view(np.float32)
    return np.where(np.abs(rounded) < np.finfo(np.float32).tiny, 0, rounded).astype(np.float64)


def _product(t, a, x, w, n):
    """The error of x w, sums of n terms; with the rounding of x and w where `precision` allows it."""
    error = _sum(n) * t.u * _absolute_product(x, w) + n * t.least
    if PRECISIONS[a.precision] == "medium" and t.u > 1e-10:
        x, w = x.astype(np.float64), w.astype(np.float64)
        error += np.abs(_bfloat16(x) @ _bfloat16(w) - x @ w) + n * t.tiny
    elif PRECISIONS[a.precision] == "high" and t.u > 1e-10:
        # two parts leave 2^-16 of a factor at most, and the product of the second parts is left out
        error += 3 * 2.0**-16 * _absolute_product(x, w) + n * t.tiny
    return error


# ---- activations -----------------------------------------------------------------------------------------------------


def _forward(z, a):
    y = np.empty_like(z)
    ref_numpy.activation_fwd(y.reshape(-1), np.ascontiguousarray(z).reshape(-1), a.kind, a.alpha)
    return y


def _derivative(s, a):
    dx = np.empty_like(s)
    ref_numpy.activation_bwd(dx, np.ones_like(s), s, a.kind, a.alpha)
    return dx


_EXACT = (Activation.LINEAR, Activation.RELU)
_GELUS = (Activation.GELU, Activation.GELU_TANH)
_VANISHING = (Activation.SIGMOID, Activation.SWISH, Activation.SOFTPLUS, *_GELUS)  # as e^z, where z is far below 0


def _gate(z, a):
    """Of f(z) = z p(z), swish and the gelus: p, |z p'|, and the exponent in p where it is not z itself."""
    gate = np.where(z == 0, 0.5, _forward(z, a) / np.where(z == 0, 1, z))
    exponent = {
        Activation.SWISH: 0 * z,
        Activation.GELU: z * z / 2,
        Activation.GELU_TANH: np.abs(1.6 * z * (1 + 0.044715 * z * z)),
    }[a.kind]
    return gate, np.abs(_derivative(z, a) - gate), np.where(exponent < 1e3, exponent, 0)


def _underflow(z, t, kind):
    vanishing = (z < -10) & (kind in _VANISHING)
    return np.where(vanishing, t.tiny * (1 + np.minimum(np.abs(z), 1e4)), 2 * t.least)


def _forward_error(t, z, y, a):
    """Error of f at an exact z: 4 units in the last place; of the gelus 6, and 3 of an argument within."""
    if a.kind in _EXACT:
        return np.zeros_like(y)
    terms = 8 * np.abs(y)
    if a.kind in _GELUS:
        terms = 12 * np.abs(y) + 6 * np.abs(z) * _gate(z, a)[1]
    return np.where(y == 0, 0, t.u * terms) + _underflow(z, t, a.kind)


def _through(t, z, error, a):
    """Error of f(z) where z is known up to an error."""
    y = _forward(z, a)
    around = [np.abs(_forward(z + side * error, a) - y) for side in (-1, 1)]
    return np.maximum(*around) + _forward_error(t, z, y, a)


def _derivative_error(t, s, a):
    """Error of f'(s) at an exact s: the terms of each formula, a few roundings of each."""
    slope = np.abs(_derivative(s, a))
    size = np.abs(s)
    kind = Activation(a.kind)
    if kind in _EXACT:
        return np.zeros_like(s)
    if kind == Activation.LEAKY_RELU:
        terms = 2 * slope
    elif kind == Activation.ELU:
        terms = np.where(s > 0, 0, 2 * (size + a.alpha))
    elif kind == Activation.SELU:
        terms = 2 * np.where(s > 0, slope, size + ref_numpy.SELU_SCALE * ref_numpy.SELU_ALPHA)
    elif kind == Activation.SIGMOID:
        terms = 2 * size * (1 + size)
    elif kind == Activation.TANH:
        terms = 2 * (1 + size * size)
    elif kind == Activation.SOFTPLUS:
        terms = 8 * slope
    else:
        gate, steep, exponent = _gate(s, a)
        terms = 12 * (gate + steep) + 6 * steep * (1 + exponent)
    return t.u * terms + _underflow(s, t, a.kind)


def _backward_error(t, dy, s, a):
    """Error of dy f'(s), of an exact dy."""
    return np.abs(dy) * (_derivative_error(t, s, a) + 2 * t.u * np.abs(_derivative(s, a))) + 2 * t.least


@_rule
def activation_fwd(t, a, r):
    return {"y": _forward_error(t, a.x, r.y, a)}


@_rule
def activation_bwd(t, a, r):
    return {"dx": _backward_error(t, a.dy, a.s, a)}


# ---- rows in ---------------------------------------------------------------------------------------------------------


@_rule
def gather_rows(t, a, r):
    """One rounding for each operation, two for a conversion (integers may pass through another float dtype)."""
    rows = a.x[: a.m] if a.index is None else a.x[a.index]
    size = np.abs(rows.astype(r.y.dtype))
    exactly_held = a.x.dtype.itemsize < t.dtype.itemsize or a.x.dtype == t.dtype
    roundings = 0 if exactly_held else 2
    if a.shift is not None:
        size, roundings = size + np.abs(a.shift), roundings + 1
    if a.scale is not None:
        size, roundings = size * np.abs(a.scale), roundings + 1
    return {"y": 1.01 * roundings * t.u * size + (t.least if roundings else 0)}


@_rule
def find_outside(t, a, r):
    return {"first": np.zeros(1)}


@_rule
def gather_labels(t, a, r):
    return {"label": np.zeros(a.m)}


@_rule
def find_nonfinite(t, a, r):
    return {"first": np.zeros(1)}


# ---- affine layer ----------------------------------------------------------------------------------------------------


@_rule
def affine_fwd(t, a, r):
    """The sum over k, then the activation of it."""
    error = _product(t, a, a.x, a.w, a.k) + t.least
    if a.b is not None:
        error = error + _sum(a.k) * t.u * np.abs(a.b)
    pre = a.x @ a.w + (0 if a.b is None else a.b)
    return {"z": error, "y": _through(t, pre, error, a)}


@_rule
def affine_bwd_dx(t, a, r):
    """The sum over n, then the derivative and `scale`, itself rounded, as factors."""
    error = _product(t, a, a.dy, a.w.T, a.n)
    if a.s is not None:
        error = error * np.abs(_derivative(a.s, a)) + _backward_error(t, a.dy @ a.w.T, a.s, a)
    scaling = 2 * t.u * np.abs(r.dx) + t.least if a.scale != 1 else 0
    return {"dx": a.scale * error + scaling}


@_rule
def affine_bwd_dw(t, a, r):
    """Sums over m."""
    return {
        "dw": _product(t, a, a.x.T, a.dy, a.m),
        "db": _sum(a.m) * t.u * np.abs(a.dy).sum(axis=0),
    }


# ---- softmax and losses ----------------------------------------------------------------------------------------------


def _finite(array):
    return np.where(np.isfinite(array), array, 0)


def _softmax_error(t, z, p):
    """Of p, relative: the rounding of z - max is that of an exponent, in p's own power and in those of the sum."""
    n = z.shape[1]
    distance = np.abs(_finite(z - z.max(axis=1, keepdims=True, initial=-np.inf)))
    return t.u * (8 + _sum(n) + distance + (p * distance).sum(axis=1, keepdims=True))


def _softmax(z):
    p = np.empty_like(z)
    ref_numpy.softmax_fwd(p, z)
    return p


@_rule
def softmax_fwd(t, a, r):
    return {"y": r.y * _softmax_error(t, a.x, r.y) + t.tiny}


@_rule
def softmax_bwd(t, a, r):
    """y dy, and y times a sum over n."""
    weighted = np.abs(a.dy * a.y).sum(axis=1, keepdims=True)
    return {"dx": t.u * np.abs(a.y) * (4 * np.abs(a.dy) + _sum(a.n) * weighted) + a.n * t.least}


def _weighted(a, loss, dz):
    """Errors of a row's value and gradient weighted as they are; where the weight is 0, none."""
    weight = np.ones(a.m, loss.dtype) if a.weight is None else a.weight
    column = weight[:, None]
    return {
        "loss": np.where(weight == 0, 0, np.abs(weight) * loss),
        "dz": np.where(column == 0, 0, np.abs(a.scale * column) * dz),
    }


def _softmax_xent(t, a, target):
    """The loss as if each z_j were rounded; the gradient as softmax, whose largest z is taken out exactly."""
    p = _softmax(a.z)
    total = np.abs(target).sum(axis=1, keepdims=True)
    largest = a.z.max(axis=1, keepdims=True, initial=-np.inf)
    sizes = np.abs(_finite(a.z)) + np.abs(_finite(largest)) + np.log(1.0 + a.n) + 1
    loss = _sum(a.n) * t.u * (np.abs(target) * sizes).sum(axis=1)
    softmax_error = p * _softmax_error(t, a.z, p) + t.tiny
    return _weighted(a, loss, total * (softmax_error + _sum(a.n) * t.u * p) + 6 * t.u * np.abs(target))


@_rule
def softmax_xent_labels(t, a, r):
    onehot = (np.arange(a.n) == a.label[:, None]).astype(a.z.dtype)
    return _softmax_xent(t, a, (1 - a.smoothing) * onehot + a.smoothing / max(a.n, 1))


@_rule
def softmax_xent_targets(t, a, r):
    return _softmax_xent(t, a, (1 - a.smoothing) * a.target + a.smoothing / max(a.n, 1))


@_rule
def sigmoid_xent(t, a, r):
    """Three terms for each column, summed."""
    target = (1 - a.smoothing) * a.target + a.smoothing / 2
    softplus = np.log1p(np.exp(-np.abs(a.z)))
    sigmoid = _forward(a.z, SimpleNamespace(kind=Activation.SIGMOID, alpha=0.0))
    terms = (np.maximum(a.z, 0) + np.abs(a.z * target) + softplus).sum(axis=1)
    return _weighted(
        a,
        a.factor * ((4 + _sum(a.n)) * t.u * terms + a.n * t.tiny),
        a.factor * (t.u * (10 * sigmoid + 6 * np.abs(target)) + t.tiny),
    )


@_rule
def squared_error(t, a, r):
    """z and target are exact, so their difference is off by its own rounding only."""
    d = np.abs(a.z - a.target)
    return _weighted(
        a,
        a.factor * ((2 + _sum(a.n)) * t.u * (d * d).sum(axis=1) + a.n * t.least),
        8 * t.u * a.factor * d + t.least / a.scale,
    )


@_rule
def absolute_error(t, a, r):
    d = np.abs(a.z - a.target)
    return _weighted(a, (2 + _sum(a.n)) * t.u * a.factor * d.sum(axis=1), 4 * t.u * a.factor * np.sign(d))


@_rule
def huber_error(t, a, r):
    """Both branches meet with the same slope, so it does not matter which one a rounding chooses."""
    d = np.abs(a.z - a.target)
    terms = np.where(d <= a.delta, d * d / 2, a.delta * (d + a.delta / 2))
    return _weighted(
        a,
        a.factor * ((4 + _sum(a.n)) * t.u * terms.sum(axis=1) + a.n * t.least),
        6 * t.u * a.factor * np.minimum(d, a.delta) + t.least / a.scale,
    )


@_rule
def pinball_loss(t, a, r):
    d = a.z - a.target
    slope = np.where(d > 0, 1 - a.quantile, np.where(d < 0, a.quantile, 0))
    terms = (np.abs(d) * slope).sum(axis=1)
    return _weighted(a, (4 + _sum(a.n)) * t.u * a.factor * terms, 6 * t.u * a.factor * slope)


@_rule
def poisson_loss(t, a, r):
    """Terms that may cancel, each off by its own rounding; the power by a few more."""
    rate = np.exp(a.z)
    log = np.abs(np.log(np.where(a.target == 0, 1, a.target)))
    terms = 4 * rate + np.abs(a.z) * a.target + 4 * a.constant * a.target * (1 + log)
    return _weighted(
        a,
        a.factor * ((4 + _sum(a.n)) * t.u * terms.sum(axis=1) + a.n * t.tiny),
        a.factor * (t.u * (10 * rate + 6 * a.target) + t.tiny),
    )


# ---- batch normalisation ---------------------------------------------------------------------------------------------


@_rule
def batch_norm_stats(t, a, r):
    """The mean is as good as the root mean square, which is what it is used with (a sum may start from any row).

    The variance's error grows with mean/deviation, not with its square: sum(x^2)/m - mean^2 fails here.
    """
    root_mean_square = np.sqrt(r.var + r.mean**2)
    mean = _sum(a.m) * t.u * root_mean_square
    var = _sum(a.m) * t.u * np.sqrt(r.var) * root_mean_square + mean**2 + a.m * t.least
    return {"mean": mean + t.least, "var": 2 * var}


def _normalized_error(t, a):
    """Of xhat; x and mean may be scaled before they are subtracted."""
    return 4 * t.u * (np.abs(a.x) + np.abs(a.mean)) / np.sqrt(a.var + a.epsilon)


@_rule
def batch_norm_fwd(t, a, r):
    xhat = (a.x - a.mean) / np.sqrt(a.var + a.epsilon)
    error = 2 * np.abs(a.gamma) * _normalized_error(t, a) + 4 * t.u * np.abs(a.beta) + t.least
    return {"z": error, "y": _through(t, a.gamma * xhat + a.beta, error, a)}


def _dz(t, a):
    """dz and its error."""
    if a.s is None:
        return a.dy, np.zeros_like(a.dy)
    return a.dy * _derivative(a.s, a), _backward_error(t, a.dy, a.s, a)


@_rule
def batch_norm_bwd_reduce(t, a, r):
    """Sums over m of products, each factor with its own error."""
    dz, dz_error = _dz(t, a)
    xhat = np.abs(a.x - a.mean) / np.sqrt(a.var + a.epsilon)
    product = _sum(a.m) * t.u * np.abs(dz) * xhat + dz_error * xhat + np.abs(dz) * _normalized_error(t, a) + t.least
    return {
        "dgamma": product.sum(axis=0) + t.least,
        "dbeta": (_sum(a.m) * t.u * np.abs(dz) + dz_error + t.least).sum(axis=0),
    }


@_rule
def batch_norm_bwd_dx(t, a, r):
    """Three terms, scaled."""
    rows = max(a.m, 1)
    dz, dz_error = _dz(t, a)
    factor = np.abs(a.gamma) / np.sqrt(a.var + a.epsilon)
    xhat_error = 8 * t.u * np.abs(a.x - a.mean) / np.sqrt(a.var + a.epsilon) + _normalized_error(t, a)
    terms = dz_error + 8 * t.u * (np.abs(dz) + np.abs(a.dbeta) / rows) + xhat_error * np.abs(a.dgamma) / rows
    return {"dx": factor * (terms + t.least) + t.least}


@_rule
def batch_norm_join(t, a, r):
    """A difference of means and three terms; 1 - share is a parameter, and no digits of it may be lost."""
    delta = np.abs(a.other_mean - a.mean)
    terms = (1 - a.share) * a.var + a.share * a.other_var + a.share * (1 - a.share) * np.square(delta)
    return {"mean": 2 * t.u * (np.abs(a.mean) + a.share * delta) + t.least, "var": 6 * t.u * terms + 4 * t.least}


@_rule
def batch_norm_running(t, a, r):
    """Two terms; 1 - momentum is a parameter, and no digits of it may be lost."""

    def error(running, batch):
        return 4 * t.u * (np.abs(a.momentum * running) + (1 - a.momentum) * np.abs(batch)) + 2 * t.least

    return {"running_mean": error(a.running_mean, a.mean), "running_var": error(a.running_var, a.var_factor * a.var)}


@_rule
def dropout(t, a, r):
    """Two roundings of what is kept; what is dropped is 0."""
    return {"y": np.where(r.y == 0, 0, 2 * t.u * np.abs(r.y) + t.least)}


@_rule
def uniform_above(t, a, r):
    return {"y": np.zeros(a.n), "state": np.zeros(a.words)}


# ---- optimizer steps -------------------------------------------------------------------------------------------------


def _effective_gradient(t, a):
    """h and its error: clamping adds none of its own."""
    clipped = np.clip(a.scale * a.g, -a.clip, a.clip)
    return clipped + a.l2 * a.p, 4 * t.u * (np.abs(clipped) + np.abs(a.l2 * a.p)) + 2 * t.least


def _parameter(t, a, step, step_error):
    return 4 * t.u * (np.abs(a.p * (1 - a.decay)) + np.abs(step)) + step_error + t.least


@_rule
def sgd_step(t, a, r):
    h, h_error = _effective_gradient(t, a)
    return {"p": _parameter(t, a, a.lr * h, a.lr * h_error)}


@_rule
def momentum_step(t, a, r):
    h, h_error = _effective_gradient(t, a)
    v = a.lr * h_error + 4 * t.u * (np.abs(a.momentum * a.v) + np.abs(a.lr * h)) + 2 * t.least
    return {"v": v, "p": _parameter(t, a, r.v, v)}


@_rule
def nesterov_step(t, a, r):
    h, h_error = _effective_gradient(t, a)
    v = a.lr * h_error + 4 * t.u * (np.abs(a.momentum * a.v) + np.abs(a.lr * h)) + 2 * t.least
    size = np.abs(a.momentum * r.v) + np.abs(a.lr * h)
    return {"v": v, "p": _parameter(t, a, size, a.momentum * v + a.lr * h_error)}


def _quotient(t, a, numerator, numerator_error, v, v_error, epsilon, v_scale=1.0):
    """lr numerator / (v_scale sqrt(v) + epsilon) and its error."""
    denominator = v_scale * np.sqrt(v) + epsilon
    denominator_error = v_scale * (np.sqrt(v + v_error) - np.sqrt(np.maximum(v - v_error, 0))) + 4 * t.u * denominator
    step = a.lr * numerator / denominator
    return step, a.lr * numerator_error / denominator + np.abs(step) * (denominator_error / denominator + 6 * t.u)


def _square_error(t, share, h, h_error):
    return share * (4 * t.u * h * h + 2 * np.abs(h) * h_error + h_error**2) + 2 * t.least


@_rule
def adagrad_step(t, a, r):
    h, h_error = _effective_gradient(t, a)
    v = 4 * t.u * a.v + _square_error(t, 1, h, h_error)
    return {"v": v, "p": _parameter(t, a, *_quotient(t, a, h, h_error, r.v, v, a.epsilon))}


@_rule
def rmsprop_step(t, a, r):
    h, h_error = _effective_gradient(t, a)
    v = 4 * t.u * a.rho * a.v + _square_error(t, 1 - a.rho, h, h_error)
    return {"v": v, "p": _parameter(t, a, *_quotient(t, a, h, h_error, r.v, v, a.epsilon))}


@_rule
def adam_step(t, a, r):
    """1 - beta is a parameter, and no digits of it may be lost; below the smallest normal number m can be 0."""
    h, h_error = _effective_gradient(t, a)
    kept, added = np.abs(a.beta1 * a.m), (1 - a.beta1) * np.abs(h)
    m = 4 * t.u * (kept + added) + (1 - a.beta1) * h_error + 2 * t.least
    m = m + np.where(np.abs(r.m) - m < t.tiny, np.abs(r.m), 0)
    v = 4 * t.u * a.beta2 * a.v + _square_error(t, 1 - a.beta2, h, h_error)
    step = _quotient(t, a, r.m, m, r.v, v, a.epsilon, a.v_scale)
    return {"m": m, "v": v, "p": _parameter(t, a, *step)}


# ---- around a step ---------------------------------------------------------------------------------------------------


@_rule
def penalty_gradient(t, a, r):
    """Three terms."""
    return {"g": 4 * t.u * (np.abs(a.g) + np.abs(a.l2 * a.p) + a.l1 * np.sign(np.abs(a.p))) + 2 * t.least}


@_rule
def clip_scale(t, a, r):
    """A root of a sum, whose terms are positive; both sides of the limit meet, so either may be taken there."""
    roundings = (_sum(a.c) + 6) * t.u
    return {"norm": roundings * r.norm, "scale": np.where(np.isfinite(r.norm), roundings, 0) * r.scale}


@_rule
def moving_average(t, a, r):
    """Two terms; 1 - momentum is a parameter, and no digits of it may be lost."""
    return {"average": 4 * t.u * (np.abs(a.momentum * a.average) + (1 - a.momentum) * np.abs(a.x)) + 2 * t.least}


# ---- sums and counts -------------------------------------------------------------------------------------------------


@_rule
def square_sums(t, a, r):
    """In double, whatever the table."""
    return {"partial": _sum(ref_numpy.CHUNK) * t.u * r.partial + ref_numpy.CHUNK * t.least}


@_rule
def absolute_sums(t, a, r):
    """In double, whatever the table."""
    return {"partial": _sum(ref_numpy.CHUNK) * t.u * r.partial}


@_rule
def sum(t, a, r):
    """In double, whatever the table."""
    return {"total": _sum(a.n) * t.u * np.abs(a.x).sum(keepdims=True)}


def _added(t, a, terms):
    """Errors of a sum that is scaled and added to a total."""
    size = np.abs(a.factor) * np.abs(terms).sum(keepdims=True)
    return {"total": t.u * ((_sum(terms.size) + 2) * size + 2 * np.abs(a.total)) + 2 * t.least}


@_rule
def accumulate(t, a, r):
    """In double, whatever the table."""
    return _added(t, a, a.x)


@_rule
def accumulate_partial(t, a, r):
    return _added(t, a, a.partial)


@_rule
def inverse_sum(t, a, r):
    """In double, whatever the table; of a sum off by a share e of itself, the inverse is off by e / (1 - e)."""
    share = (_sum(a.n) + 2) * t.u * np.abs(a.x).sum(keepdims=True) * np.abs(r.scale)
    return {"scale": np.abs(r.scale) * share / (1 - share)}


@_rule
def correct_labels(t, a, r):
    return {"correct": np.zeros(a.m)}


@_rule
def correct_targets(t, a, r):
    return {"correct": np.zeros(a.m)}


@_rule
def correct_binary(t, a, r):
    """A count, divided and weighted."""
    return {"correct": 3 * t.u * r.correct}
