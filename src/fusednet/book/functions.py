"""The book's functions on arrays: plain NumPy, in float64 or whatever comes in.

Reads nothing; read by layers.py and by users. The layers have kernels of their own.

a) What is said of a loss is the book's: ``-log(y + 1e-7)``, one-hot rows stand for the place of their largest element.
b) Mended, because it only crashed: ``np.int`` in `step_function`, ``np.zeros(x)`` in `relu_grad`.
"""

import numpy as np

TINY = 1e-7
"""Added to a probability before its logarithm is taken."""


def identity_function(x):
    """``x``."""
    return x


def step_function(x):
    """1 where ``x > 0``, else 0; integers."""
    return np.array(x > 0, dtype=int)


def sigmoid(x):
    """``1 / (1 + e^-x)``."""
    return 1 / (1 + np.exp(-x))


def sigmoid_grad(x):
    """The derivative of `sigmoid` at x."""
    y = sigmoid(x)
    return (1.0 - y) * y


def relu(x):
    """``max(x, 0)``."""
    return np.maximum(0, x)


def relu_grad(x):
    """1 where ``x >= 0``, else 0, as the book has it (`Relu.backward` gives 0 at 0)."""
    grad = np.zeros_like(x)
    grad[x >= 0] = 1
    return grad


def softmax(x):
    """``e^x / sum(e^x)`` over the last axis, shifted by the largest so that nothing overflows."""
    e = np.exp(x - np.max(x, axis=-1, keepdims=True))
    return e / np.sum(e, axis=-1, keepdims=True)


def squared_error(y, t):
    """``sum((y - t)^2) / 2``."""
    return 0.5 * np.sum((y - t) ** 2)


sum_squared_error = squared_error
"""The same under the name of the book's first edition."""


def mean_squared_error(y, t):
    """``sum((y - t)^2) / rows``."""
    return np.sum((y - t) ** 2) / len(y)


def cross_entropy_error(y, t):
    """Mean over rows of ``-log(y[label] + 1e-7)``.

    Parameters
    ----------
    y : ndarray, (classes,) or (rows, classes)
        Probabilities.
    t : ndarray
        Labels, or rows of which the largest element counts.
    """
    if y.ndim == 1:
        t = t.reshape(1, t.size)
        y = y.reshape(1, y.size)
    if t.size == y.size:
        t = t.argmax(axis=1)
    rows = y.shape[0]
    return -np.sum(np.log(y[np.arange(rows), t.reshape(-1)] + TINY)) / rows


def softmax_loss(X, t):
    """`cross_entropy_error` of `softmax`."""
    return cross_entropy_error(softmax(X), t)
