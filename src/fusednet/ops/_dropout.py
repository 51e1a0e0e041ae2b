"""Dropout from a counter-based generator.

Reads _door.py for the checks and calls the kernel `dropout`.

a) No mask is stored or returned: it is a function of (seed, step, op, place), so the backward pass makes it again.
"""

from fusednet.backends import current
from fusednet.ops._door import convert, empty, finish, integer, outputs, ready1, real


def _dropout(function, name, x, rate, seed, step, op, scale, out):
    rate = real(function, "rate", rate, "[0, 1]")
    if scale is None:
        scale = 1.0 / (1.0 - rate) if rate < 1.0 else 0.0
    scale = real(function, "scale", scale)
    seed = integer(function, "seed", seed)
    step = integer(function, "step", step)
    op = integer(function, "op", op)
    if not 0 <= op < 1 << 16:
        raise ValueError(f"{function}: op is {op}; wanted 0 to {(1 << 16) - 1}")
    table = current()
    if out is None:
        y = table.made.dropout(..., x, rate, scale, seed, step, op)
        if y is not None:
            return y
    given = x
    dtype = ready1(x)
    if dtype is None:
        dtype, x = convert(function, True, **{name: x})
    if out is None:
        users, y = None, empty(x.shape, dtype)
    else:
        users, (y,) = outputs(function, out, {"out": x.shape}, dtype, {name: given}, same=(name,))
    table.dropout(y.ravel(), x.ravel(), rate, scale, seed, step, op)
    return y if users is None else finish(users, (y,))[0]


def dropout(x, rate, seed, step=0, op=0, *, scale=None, out=None):
    """Set a random share of the elements to zero and scale the others (Srivastava et al. 2014).

    ``y = scale x`` where ``u >= rate``, else 0, with u uniform in [0, 1), a function of seed, step, op and the place of
    the element alone: the same mask on every machine, backend and number of threads.

    Parameters
    ----------
    x : array_like
        Of any shape.
    rate : float
        The share that becomes zero, in [0, 1].
    seed, step, op : int
        What the mask is made from: seed and step from 0 to 2^63 - 1, op to 65535. Count `step` up with each batch, and
        give every dropout layer of a network an `op` of its own.
    scale : float, optional
        By default ``1 / (1 - rate)``, "inverted" dropout, which needs nothing at inference. 1 for the dialect that
        multiplies by ``1 - rate`` at inference instead.
    out : ndarray, optional
        Where to write the result; may be `x`.

    Returns
    -------
    y : ndarray, shape of x

    Raises
    ------
    ValueError
        If a number is out of its range, or `out` has another shape, is read-only or overlaps `x` other than element on
        element.
    TypeError
        If `x` is not numeric, seed, step or op is no integer, or `out` has another dtype than the result.
    """
    return _dropout("dropout", "x", x, rate, seed, step, op, scale, out)


def dropout_backward(dy, rate, seed, step=0, op=0, *, scale=None, out=None):
    """Gradient of `dropout`: the same mask and scale on `dy`.

    Parameters
    ----------
    dy : array_like
        Gradient with respect to the output.
    rate, seed, step, op, scale
        What `dropout` was given.
    out : ndarray, optional
        Where to write the result; may be `dy`.

    Returns
    -------
    dx : ndarray, shape of dy

    Raises
    ------
    ValueError, TypeError
        As `dropout`.
    """
    return _dropout("dropout_backward", "dy", dy, rate, seed, step, op, scale, out)
