"""Batch normalisation of training and of inference, and its gradients.

Reads _door.py for the checks and calls the five `batch_norm_*` kernels.

a) Data of more than two axes is flattened to (m, -1), so that every place of an image has statistics of its own, as in
   "Deep Learning from Scratch" (Saito 2016, chapter 6). Statistics per channel: bring the channels to the last axis and
   reshape to (-1, channels) before the call.
"""

import math

from numpy import ndarray

from fusednet.backends import current
from fusednet.ops._door import (
    INF,
    convert,
    empty,
    finish,
    in_place,
    kind_of,
    misfit,
    outputs,
    ready2,
    ready3,
    real,
    saved_by,
    write_back,
)


def _matrix(function, x):
    """`x` as (rows, columns): the first axis, and all others as one."""
    shape = x.shape
    if len(shape) == 2:
        return x
    if len(shape) < 2:
        raise misfit(function, "2 or more axes, (m, ...)", x=x)
    return x.reshape(shape[0], math.prod(shape[1:]))


def _per_column(function, x, n, **arrays):
    for name, a in arrays.items():
        if a.shape != (n,):
            raise misfit(function, f"({n},) for {name}, one for each column of x", x=x, **{name: a})


def _made(table, inputs, running_mean, running_var, momentum, unbiased, epsilon, kind, alpha):
    """What `batch_norm` returns, where all arrays are as kernels take them; else None, and nothing is changed."""
    x, gamma, beta = inputs
    running = running_mean is not None or running_var is not None
    if running:
        rows = len(x) if type(x) is ndarray and x.ndim == 2 else 0
        if rows <= bool(unbiased):
            return None
        factor = rows / (rows - 1) if unbiased else 1.0
    statistics = table.made.batch_norm_stats(..., ..., x)
    if statistics is None:
        return None
    mean, var = statistics
    y = table.made.batch_norm_fwd(..., None, x, mean, var, gamma, beta, epsilon, kind, alpha)
    if y is not None and running:
        arrays = running_mean, running_var, mean, var
        if table.made.batch_norm_running.update(arrays, (momentum, factor), inputs) is None:
            return None
    return None if y is None else (y, mean, var)


def batch_norm(
    x,
    gamma,
    beta,
    running_mean=None,
    running_var=None,
    *,
    momentum=0.99,
    epsilon=1e-3,
    unbiased=False,
    activation="linear",
    alpha=None,
    return_z=False,
    out=None,
):
    """Batch normalisation with the statistics of the batch, for training (Ioffe & Szegedy 2015, algorithm 1).

    ``z = gamma (x - mean) / sqrt(var + epsilon) + beta`` per column, ``y = f(z)``. `batch_norm_inference` is for the
    time after.

    Parameters
    ----------
    x : array_like, shape (m, n) or (m, ...)
        More than two axes are flattened to (m, n).
    gamma, beta : array_like of float, shape (n,)
        Scale and shift.
    running_mean, running_var : ndarray, shape (n,), optional
        Of the result's dtype; both or neither. Changed in place to ``momentum running + (1 - momentum) batch``, and
        left alone where m = 0.
    momentum : float, default 0.99
        In [0, 1]; how much of the running statistics stays (Keras's meaning; PyTorch's momentum is 1 minus this).
    epsilon : float, default 1e-3
        Added to the variance; not negative. Keras's default; PyTorch's is 1e-5, the book's 1e-6.
    unbiased : bool, default False
        Whether `running_var` takes the variance divided by m - 1 (PyTorch) or by m (Keras, the book).
    activation, alpha
        Of what follows, in the same pass; see `affine`.
    return_z : bool, default False
        Also return the input of the activation, for the backward of swish and gelu.
    out : ndarray, or tuple of ndarray or None, optional
        Where to write y, or y, mean, var (and z). y may be `x`, but then `batch_norm_backward` cannot be called.

    Returns
    -------
    y : ndarray, shape of x
    mean, var : ndarray, shape (n,)
        Of the batch; var is divided by m. `batch_norm_backward` needs them.
    z : ndarray, shape of x
        Only if `return_z`.

    Raises
    ------
    ValueError
        If the shapes do not fit, a number is out of its range, `unbiased` with m = 1, only one running statistic is
        given, or an array to be written is read-only, of another shape or overlaps.
    TypeError
        If `gamma` or `beta` is of an integer dtype, an argument is not numeric, or an array to be written has another
        dtype.
    """
    kind, alpha = kind_of("batch_norm", activation, alpha)
    if not type(momentum) is type(epsilon) is float or not (0.0 <= momentum <= 1.0 and 0.0 <= epsilon < INF):
        momentum = real("batch_norm", "momentum", momentum, "[0, 1]")
        epsilon = real("batch_norm", "epsilon", epsilon)
    inputs = x, gamma, beta
    table = current()
    if out is None and not return_z:
        made = _made(table, inputs, running_mean, running_var, momentum, unbiased, epsilon, kind, alpha)
        if made is not None:
            return made
    dtype = ready3(x, gamma, beta)
    if dtype is None:
        dtype, x, gamma, beta = convert("batch_norm", False, x=x, gamma=gamma, beta=beta)
    shape = x.shape
    matrix = len(shape) == 2
    if not matrix:
        x = _matrix("batch_norm", x)
    m, n = shape if matrix else x.shape
    column = (n,)
    if gamma.shape != column or beta.shape != column:
        _per_column("batch_norm", x, n, gamma=gamma, beta=beta)
    running = None
    if running_mean is not None or running_var is not None:
        if running_mean is None or running_var is None:
            missing, there = ("mean", "var") if running_mean is None else ("var", "mean")
            raise ValueError(f"batch_norm: running_{missing} is None; wanted an array, since running_{there} is one")
        if unbiased and m == 1:
            raise ValueError("batch_norm: x has 1 row and unbiased is True; wanted 2 or more, to divide by m - 1")
        statistics = {"running_mean": running_mean, "running_var": running_var}
        given = dict(zip(("x", "gamma", "beta"), inputs, strict=True))
        running = in_place("batch_norm", statistics, given, column, dtype)
    if out is None:
        users, y, mean, var = None, empty(shape, dtype), empty(column, dtype), empty(column, dtype)
        z = empty(shape, dtype) if return_z else None
    else:
        given = dict(zip(("x", "gamma", "beta"), inputs, strict=True))
        if running is not None:
            given.update(running_mean=running_mean, running_var=running_var)
        results = {"y": shape, "mean": column, "var": column}
        if return_z:
            results["z"] = shape
        users, targets = outputs("batch_norm", out, results, dtype, given, same=("x",), flat=False)
        y, mean, var, z = targets if return_z else (*targets, None)
    table.batch_norm_stats(mean, var, x)
    if matrix:
        table.batch_norm_fwd(y, z, x, mean, var, gamma, beta, epsilon, kind, alpha)
    else:
        z_rows = z.reshape(m, n) if return_z else None
        table.batch_norm_fwd(y.reshape(m, n), z_rows, x, mean, var, gamma, beta, epsilon, kind, alpha)
    if running is not None and m > 0:
        table.batch_norm_running(running[0], running[1], mean, var, momentum, m / (m - 1) if unbiased else 1.0)
        write_back(running_mean, running[0])
        write_back(running_var, running[1])
    results = (y, mean, var, z) if return_z else (y, mean, var)
    return results if users is None else finish(users, results)


def batch_norm_inference(x, gamma, beta, mean, var, *, epsilon=1e-3, activation="linear", alpha=None, out=None):
    """Batch normalisation with given statistics: ``y = f(gamma (x - mean) / sqrt(var + epsilon) + beta)``.

    Parameters
    ----------
    x : array_like, shape (m, n) or (m, ...)
        More than two axes are flattened to (m, n).
    gamma, beta, mean, var : array_like of float, shape (n,)
        Scale, shift, and the statistics that training gathered.
    epsilon : float, default 1e-3
        Added to the variance; not negative.
    activation, alpha
        Of what follows, in the same pass; see `affine`.
    out : ndarray, optional
        Where to write the result; may be `x`.

    Returns
    -------
    y : ndarray, shape of x

    Raises
    ------
    ValueError, TypeError
        As `batch_norm`.
    """
    function = "batch_norm_inference"
    kind, alpha = kind_of(function, activation, alpha)
    epsilon = real(function, "epsilon", epsilon)
    table = current()
    if out is None:
        y = table.made.batch_norm_fwd(..., None, x, mean, var, gamma, beta, epsilon, kind, alpha)
        if y is not None:
            return y
    given = {"x": x, "gamma": gamma, "beta": beta, "mean": mean, "var": var}
    dtype = ready3(x, gamma, beta)
    if dtype is None or ready2(mean, var) is not dtype:
        dtype, x, gamma, beta, mean, var = convert(function, False, **given)
    shape = x.shape
    x = _matrix(function, x)
    n = x.shape[1]
    if not gamma.shape == beta.shape == mean.shape == var.shape == (n,):
        _per_column(function, x, n, gamma=gamma, beta=beta, mean=mean, var=var)
    if out is None:
        users, y = None, empty(shape, dtype)
    else:
        users, (y,) = outputs(function, out, {"y": shape}, dtype, given, same=("x",), flat=False)
    table.batch_norm_fwd(_matrix(function, y), None, x, mean, var, gamma, beta, epsilon, kind, alpha)
    return y if users is None else finish(users, (y,))[0]


def batch_norm_backward(
    dy, x, gamma, mean, var, *, epsilon=1e-3, activation="linear", alpha=None, saved=None, out=None
):
    """Gradients of `batch_norm`, through its activation (Ioffe & Szegedy 2015, section 3).

    With ``dz = dy f'``, ``xhat = (x - mean) / sqrt(var + epsilon)``: ``dbeta = sum(dz)``, ``dgamma = sum(dz xhat)``,
    ``dx = gamma / sqrt(var + epsilon) (dz - dbeta/m - xhat dgamma/m)``, the sums over rows.

    Parameters
    ----------
    dy : array_like, shape of x
        Gradient with respect to the output.
    x : array_like, shape (m, n) or (m, ...)
        What `batch_norm` was given.
    gamma : array_like of float, shape (n,)
        Its scale.
    mean, var : array_like of float, shape (n,)
        What it returned.
    epsilon, activation, alpha
        What it was given.
    saved : array_like, shape of x
        Needed with an activation: the output y of `batch_norm`, or its z for swish, gelu and gelu_tanh.
    out : ndarray, or tuple of ndarray or None, optional
        Where to write dx, or dx, dgamma and dbeta. dx may be `dy`.

    Returns
    -------
    dx : ndarray, shape of x
    dgamma, dbeta : ndarray, shape (n,)

    Raises
    ------
    ValueError, TypeError
        As `batch_norm`, and if `saved` is missing.
    """
    function = "batch_norm_backward"
    kind, alpha = kind_of(function, activation, alpha)
    if type(epsilon) is not float or not 0.0 <= epsilon < INF:
        epsilon = real(function, "epsilon", epsilon)
    table = current()
    if out is None:
        s = saved_by(function, kind, saved, "saved")
        sums = table.made.batch_norm_bwd_reduce(..., ..., dy, x, s, mean, var, epsilon, kind, alpha)
        if sums is not None:
            dgamma, dbeta = sums
            dx = table.made.batch_norm_bwd_dx(..., dy, x, s, mean, var, gamma, dgamma, dbeta, epsilon, kind, alpha)
            if dx is not None:
                return dx, dgamma, dbeta
    given = None if out is None else {"dy": dy, "x": x, "gamma": gamma, "mean": mean, "var": var, "saved": saved}
    dtype = ready2(dy, x) if saved is None else ready3(dy, x, saved)
    if dtype is None or ready3(gamma, mean, var) is not dtype:
        dtype, dy, x, gamma, mean, var, saved = convert(
            function, False, dy=dy, x=x, gamma=gamma, mean=mean, var=var, saved=saved
        )
    s = saved_by(function, kind, saved, "saved")
    shape = x.shape
    if dy.shape != shape or (s is not None and s.shape != shape):
        raise misfit(function, "the same shape", dy=dy, x=x, saved=s)
    if len(shape) != 2:
        x, dy = _matrix(function, x), _matrix(function, dy)
        s = None if s is None else _matrix(function, s)
    n = x.shape[1]
    column = (n,)
    if gamma.shape != column or mean.shape != column or var.shape != column:
        _per_column(function, x, n, gamma=gamma, mean=mean, var=var)
    if out is None:
        users, dx, dgamma, dbeta = None, empty(shape, dtype), empty(n, dtype), empty(n, dtype)
    else:
        results = {"dx": shape, "dgamma": (n,), "dbeta": (n,)}
        users, (dx, dgamma, dbeta) = outputs(function, out, results, dtype, given, same=("dy",), flat=False)
    table.batch_norm_bwd_reduce(dgamma, dbeta, dy, x, s, mean, var, epsilon, kind, alpha)
    dx_rows = dx if len(shape) == 2 else _matrix(function, dx)
    table.batch_norm_bwd_dx(dx_rows, dy, x, s, mean, var, gamma, dgamma, dbeta, epsilon, kind, alpha)
    return (dx, dgamma, dbeta) if users is None else finish(users, (dx, dgamma, dbeta))
