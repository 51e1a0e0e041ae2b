"""THE list of calls of fusednet.ops, with plain NumPy formulas in float64 for what they return.

Read by test_ops.py. The formulas are written out again, on purpose: ref_numpy.py is under test as well where it is the
table. Values are multiples of 1/8, which every floating dtype holds exactly, so that a call in another dtype or memory
layout must give the same bits as the plain one.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from fusednet import ops

TOLERANCE = {"float32": dict(rtol=2e-5, atol=2e-6), "float64": dict(rtol=1e-12, atol=1e-13)}


# ---- plain formulas --------------------------------------------------------------------------------------------------

SELU_ALPHA, SELU_SCALE = 1.6732632423543772, 1.0507009873554805
_erf = np.vectorize(math.erf, otypes=[np.float64])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def phi(x):
    return 0.5 * (1 + _erf(x / math.sqrt(2)))


def gelu_tanh(x):
    return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def derivative(f, x, h=1e-5):
    """Good to about 1e-11: enough here, where it stands for formulas that are tested as gradients elsewhere."""
    return (8 * (f(x + h) - f(x - h)) - (f(x + 2 * h) - f(x - 2 * h))) / (12 * h)


def softmax(x):
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def flat(x):
    return x.reshape(len(x), -1)


def batch_norm(x, gamma, beta, epsilon):
    z = flat(x)
    mean, var = z.mean(axis=0), z.var(axis=0)
    return (gamma * (z - mean) / np.sqrt(var + epsilon) + beta).reshape(x.shape), mean, var


def batch_norm_backward(dy, x, gamma, mean, var, epsilon):
    d, z = flat(dy), flat(x)
    inverse = 1 / np.sqrt(var + epsilon)
    xhat = (z - mean) * inverse
    dgamma, dbeta = (d * xhat).sum(axis=0), d.sum(axis=0)
    dx = gamma * inverse * (d - dbeta / len(z) - xhat * dgamma / len(z))
    return dx.reshape(x.shape), dgamma, dbeta


def one_hot(labels, n):
    return np.eye(n)[np.asarray(labels, dtype=np.int64)]


def cross_entropy(z, t, weights=None, smoothing=0.0):
    t = (1 - smoothing) * t + smoothing / z.shape[-1]
    w = np.ones(z.shape[:-1]) if weights is None else weights
    logsumexp = np.log(np.exp(z).sum(axis=-1))
    loss = w * (t.sum(axis=-1) * logsumexp - (t * z).sum(axis=-1))
    gradient = w[..., None] * (t.sum(axis=-1, keepdims=True) * softmax(z) - t)
    return loss.sum() / w.sum(), gradient / w.sum()


def rowwise(loss, slope, weights=None):
    """Mean over the elements of a row, weighted mean over rows."""
    loss, slope = flat(loss), flat(slope)
    w = np.ones(len(loss)) if weights is None else weights
    return (w * loss.mean(axis=1)).sum() / w.sum(), slope * w[:, None] / w.sum() / loss.shape[1]


# ---- the list --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Op:
    """One call: the function, the shapes of its array arguments in order, other arguments, and its formula.

    `labels` are drawn below the last size of the first shape. `positive` arguments are above 0. `out` names the results
    that can be written to; `same` the inputs that the first of them may be.
    """

    function: Callable
    shapes: dict[str, tuple[int, ...]]
    expect: Callable
    options: dict = field(default_factory=dict)
    positive: frozenset = frozenset()
    out: int = 1
    same: tuple[str, ...] = ()
    name: str = ""

    def __str__(self):
        return self.name or self.function.__name__

    def arguments(self, dtype):
        rng = np.random.default_rng(len(str(self)))
        drawn = {}
        for name, shape in self.shapes.items():
            if name == "labels":
                drawn[name] = rng.integers(0, next(iter(self.shapes.values()))[-1], shape)
            else:
                eighths = rng.integers(1 if name in self.positive else -24, 24, shape)
                drawn[name] = (eighths / 8).astype(dtype)
        return drawn

    def call(self, arguments, **more):
        return as_tuple(self.function(*arguments.values(), **self.options, **more))


def as_tuple(results):
    return results if isinstance(results, tuple) else (results,)


def elementwise(function, formula, **options):
    name = f"{function.__name__}{options or ''}"
    return Op(function, {"x": (5, 9)}, lambda x: formula(x), options, same=("x",), name=name)


def elementwise_backward(function, saved, forward, formula, **options):
    """`saved` is what the function takes beside dy: y is computed from x here, so that it is an output."""

    def call(dy, x, **more):
        return function(dy, x if saved == "x" else forward(x).astype(x.dtype), **options, **more)

    call.__name__ = f"{function.__name__}{options or ''}"
    return Op(call, {"dy": (5, 9), "x": (5, 9)}, lambda dy, x: dy * derivative(formula, x), out=0)


def elu(x, alpha=1.0):
    return np.where(x > 0, x, alpha * np.expm1(x))


ACTIVATIONS = {
    "linear": (lambda x: x, "y", {}),
    "relu": (lambda x: np.maximum(x, 0), "y", {}),
    "leaky_relu": (lambda x: np.where(x > 0, x, 0.25 * x), "y", {"alpha": 0.25}),
    "elu": (lambda x: elu(x, 0.5), "y", {"alpha": 0.5}),
    "selu": (lambda x: SELU_SCALE * elu(x, SELU_ALPHA), "y", {}),
    "sigmoid": (sigmoid, "y", {}),
    "tanh": (np.tanh, "y", {}),
    "swish": (lambda x: x * sigmoid(x), "x", {}),
    "softplus": (lambda x: np.log1p(np.exp(x)), "y", {}),
    "gelu": (lambda x: x * phi(x), "x", {}),
    "gelu_tanh": (gelu_tanh, "x", {}),
}
FORWARD = [
    elementwise(getattr(ops, name), formula, **options)
    for name, (formula, _, options) in ACTIVATIONS.items()
    if name != "gelu_tanh"
] + [elementwise(ops.gelu, gelu_tanh, approximate="tanh"), elementwise(ops.gelu, gelu_tanh, approximate=True)]

IMAGES = {"x": (4, 2, 3, 2), "gamma": (12,), "beta": (12,)}
NORM = {"dy": (6, 5), "x": (6, 5), "gamma": (5,), "mean": (5,), "var": (5,)}

OPS = [
    *FORWARD,
    Op(ops.affine, {"x": (6, 5), "w": (5, 7), "b": (7,)}, lambda x, w, b: x @ w + b),
    Op(ops.affine, {"x": (6, 5), "w": (5, 7)}, lambda x, w: x @ w, name="affine without b"),
    Op(ops.affine, {"x": (2, 3, 5), "w": (5, 7), "b": (7,)}, lambda x, w, b: x @ w + b, name="affine 3-D"),
    *(
        Op(
            ops.affine,
            {"x": (6, 5), "w": (5, 7), "b": (7,)},
            lambda x, w, b, formula=formula: (formula(x @ w + b), x @ w + b),
            {"activation": name, "return_z": True, **options},
            out=2,
            name=f"affine {name}",
        )
        for name, (formula, _, options) in ACTIVATIONS.items()
    ),
    Op(
        ops.affine_backward,
        {"dy": (6, 7), "x": (6, 5), "w": (5, 7)},
        lambda dy, x, w: (dy @ w.T, x.T @ dy, dy.sum(axis=0)),
        out=3,
    ),
    Op(
        ops.affine_backward,
        {"dy": (2, 3, 7), "x": (2, 3, 5), "w": (5, 7)},
        lambda dy, x, w: (dy @ w.T, x.reshape(6, 5).T @ dy.reshape(6, 7), dy.sum(axis=(0, 1))),
        out=3,
        name="affine_backward 3-D",
    ),
    Op(
        ops.affine_backward,
        {"dy": (6, 7), "x": (6, 5), "w": (5, 7)},
        lambda dy, x, w: (dy @ w.T * (x > 0), x.T @ dy, dy.sum(axis=0)),
        {"input_activation": "relu"},
        out=3,
        name="affine_backward relu",
    ),
    Op(ops.softmax, {"x": (5, 9)}, softmax, same=("x",)),
    Op(ops.softmax, {"x": (9,)}, softmax, same=("x",), name="softmax 1-D"),
    Op(ops.softmax, {"x": (2, 3, 4)}, softmax, same=("x",), name="softmax 3-D"),
    Op(
        ops.softmax_backward,
        {"dy": (2, 3, 4), "y": (2, 3, 4)},
        lambda dy, y: y * (dy - (dy * y).sum(axis=-1, keepdims=True)),
        same=("dy",),
    ),
    Op(ops.batch_norm, {"x": (6, 5), "gamma": (5,), "beta": (5,)}, lambda x, g, b: batch_norm(x, g, b, 1e-3), out=3,
       same=("x",)),
    Op(ops.batch_norm, IMAGES, lambda x, g, b: batch_norm(x, g, b, 0.5), {"epsilon": 0.5}, out=3, same=("x",),
       name="batch_norm 4-D"),
    Op(
        ops.batch_norm,
        IMAGES,
        lambda x, g, b: (
            sigmoid(batch_norm(x, g, b, 1e-3)[0]), *batch_norm(x, g, b, 1e-3)[1:], batch_norm(x, g, b, 1e-3)[0]
        ),
        {"activation": "sigmoid", "return_z": True},
        out=4,
        name="batch_norm sigmoid",
    ),
    Op(
        ops.batch_norm_inference,
        {**IMAGES, "mean": (12,), "var": (12,)},
        lambda x, g, b, mean, var: np.maximum(g * (flat(x) - mean) / np.sqrt(var + 1e-3) + b, 0).reshape(x.shape),
        {"activation": "relu"},
        positive=frozenset({"var"}),
        same=("x",),
    ),
    Op(
        ops.batch_norm_backward,
        NORM,
        lambda dy, x, g, mean, var: batch_norm_backward(dy, x, g, mean, var, 1e-3),
        positive=frozenset({"var"}),
        out=3,
        same=("dy",),
    ),
    Op(
        ops.batch_norm_backward,
        {"dy": (4, 2, 3, 2), "x": (4, 2, 3, 2), "gamma": (12,), "mean": (12,), "var": (12,)},
        lambda dy, x, g, mean, var: batch_norm_backward(dy, x, g, mean, var, 1e-5),
        {"epsilon": 1e-5},
        positive=frozenset({"var"}),
        out=3,
        same=("dy",),
        name="batch_norm_backward 4-D",
    ),
    Op(
        ops.softmax_cross_entropy,
        {"logits": (6, 5), "labels": (6,), "weights": (6,)},
        lambda z, labels, w: cross_entropy(z, one_hot(labels, 5), w, 0.25),
        {"label_smoothing": 0.25},
        positive=frozenset({"weights"}),
        same=("logits",),
    ),
    Op(
        ops.softmax_cross_entropy,
        {"logits": (2, 3, 5), "labels": (2, 3)},
        lambda z, labels: cross_entropy(z, one_hot(labels, 5)),
        same=("logits",),
        name="softmax_cross_entropy 3-D",
    ),
    Op(
        ops.softmax_cross_entropy,
        {"logits": (6, 5), "targets": (6, 5), "weights": (6,)},
        lambda z, t, w: cross_entropy(z, t, w, 0.5),
        {"label_smoothing": 0.5},
        positive=frozenset({"targets", "weights"}),
        same=("logits",),
        name="softmax_cross_entropy targets",
    ),
    Op(
        ops.sigmoid_cross_entropy,
        {"logits": (6, 5), "targets": (6, 5), "weights": (6,)},
        lambda z, t, w: rowwise(np.log1p(np.exp(z)) - z * (0.5 * t + 0.25), sigmoid(z) - (0.5 * t + 0.25), w),
        {"label_smoothing": 0.5},
        positive=frozenset({"targets", "weights"}),
        same=("logits",),
    ),
    Op(
        ops.squared_error,
        {"predictions": (6, 5), "targets": (6, 5), "weights": (6,)},
        lambda z, t, w: rowwise((z - t) ** 2, 2 * (z - t), w),
        positive=frozenset({"weights"}),
        same=("predictions",),
    ),
    Op(
        ops.absolute_error,
        {"predictions": (6, 5), "targets": (6, 5)},
        lambda z, t: rowwise(np.abs(z - t), np.sign(z - t)),
        same=("predictions",),
    ),
    Op(
        ops.huber,
        {"predictions": (6, 5), "targets": (6, 5)},
        lambda z, t: rowwise(
            np.where(np.abs(z - t) <= 0.5, (z - t) ** 2 / 2, 0.5 * (np.abs(z - t) - 0.25)), np.clip(z - t, -0.5, 0.5)
        ),
        {"delta": 0.5},
        same=("predictions",),
    ),
    Op(
        ops.pinball_loss,
        {"predictions": (6, 5), "targets": (6, 5)},
        lambda z, t: rowwise(np.where(z > t, 0.3, -0.7) * (z - t), np.where(z > t, 0.3, -0.7)),
        {"quantile": 0.7},
        same=("predictions",),
    ),
    Op(
        ops.poisson_loss,
        {"predictions": (6, 5), "targets": (6, 5)},
        lambda z, t: rowwise(np.exp(z) - t * z, np.exp(z) - t),
        same=("predictions",),
    ),
    Op(ops.sum_of_squares, {"x": (5, 9)}, lambda x: (x**2).sum(), out=0),
    Op(ops.global_norm, {"x": (5, 9)}, lambda x: math.sqrt((x**2).sum()), out=0),
    Op(ops.count_correct, {"scores": (6, 5), "labels": (6,)}, lambda z, t: (z.argmax(axis=1) == t).sum(), out=0),
    Op(
        ops.accuracy,
        {"scores": (2, 3, 5), "targets": (2, 3, 5), "weights": (2, 3)},
        lambda z, t, w: (w * (z.argmax(axis=-1) == t.argmax(axis=-1))).sum() / w.sum(),
        positive=frozenset({"weights"}),
        out=0,
    ),
    Op(
        ops.binary_accuracy,
        {"scores": (6, 5), "targets": (6, 5), "weights": (6,)},
        lambda z, t, w: (w * ((z > 0.25) == (t > 0.5)).mean(axis=1)).sum() / w.sum(),
        {"threshold": 0.25},
        positive=frozenset({"weights"}),
        out=0,
    ),
]  # fmt: skip

BACKWARD = [
    elementwise_backward(getattr(ops, f"{name}_backward"), saved, formula, formula, **options)
    for name, (formula, saved, options) in ACTIVATIONS.items()
    if name not in ("linear", "relu", "gelu_tanh")
] + [elementwise_backward(ops.gelu_backward, "x", gelu_tanh, gelu_tanh, approximate=True)]
