"""The gradient of a function by central differences, as the book takes it: ``(f(x + h) - f(x - h)) / 2h``, h = 1e-4.

Reads nothing; read by the networks' `numerical_gradient` and by users. The array is changed in place, one element at a
time, and is as before afterwards: f may look at it through any reference.
"""

import numpy as np

_H = 1e-4


def numerical_gradient(f, x):
    """The gradient of ``f(x)``, x of any shape.

    Parameters
    ----------
    f : callable
        Takes x, returns a number.
    x : ndarray of floats

    Returns
    -------
    ndarray, like x

    Raises
    ------
    TypeError
        If x is not an array of floats: the small steps would be lost.
    """
    _check("numerical_gradient: x", x)
    grad = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        value = x[index]
        x[index] = float(value) + _H
        above = f(x)
        x[index] = value - _H
        below = f(x)
        grad[index] = (above - below) / (2 * _H)
        x[index] = value
    return grad


def numerical_gradient_2d(f, X):
    """The gradient of f at each row of X, as in the book's chapter 4.

    Parameters
    ----------
    f : callable
        Takes a row, returns a number.
    X : ndarray of floats, (columns,) or (rows, columns)

    Returns
    -------
    ndarray, like X

    Raises
    ------
    TypeError
        If X is not an array of floats: the small steps would be lost.
    """
    _check("numerical_gradient_2d: X", X)
    if X.ndim < 2:
        return numerical_gradient(f, X)
    grad = np.zeros_like(X)
    for i, row in enumerate(X):
        grad[i] = numerical_gradient(f, row)
    return grad


def _check(what: str, x) -> None:
    if not isinstance(x, np.ndarray) or x.dtype.kind != "f":
        given = f"an array of {x.dtype}" if isinstance(x, np.ndarray) else f"a {type(x).__name__}"
        raise TypeError(f"{what} is {given}; wanted a NumPy array of floats")
