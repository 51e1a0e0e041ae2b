"""Losses with their gradients, in one pass.

Reads _door.py for the checks and calls the kernels `softmax_xent_labels`, `softmax_xent_targets`, `sigmoid_xent`,
`squared_error`, `absolute_error`, `huber_error`, `pinball_loss`, `poisson_loss` and `sum`.

a) Every loss returns (loss, gradient), because the gradient costs almost nothing where the loss is computed. The
   gradient is of the reduced loss: with "mean" it is already divided.
b) "mean" divides by the sum of the weights (PyTorch's weighted mean), "sum_over_batch_size" by the number of rows
   (Keras's word); without weights they are the same.
"""

import math

from numpy import asarray, ndarray

from fusednet.backends import current
from fusednet.ops._door import (
    INF,
    array,
    class_labels,
    convert,
    empty,
    finish,
    misfit,
    outputs,
    ready1,
    ready2,
    ready3,
    real,
    rows,
    total,
)


def weight_of(function, weights, m) -> float:
    """What a mean over rows is divided by: the sum of the weights, or without them the number of rows."""
    count = m if weights is None else total(weights)
    if not 0.0 < count < INF:
        if weights is None:
            raise ValueError(f"{function}: there are 0 rows; wanted 1 or more, to take their mean")
        raise ValueError(f"{function}: weights sum to {count}; wanted a finite sum above 0, to divide by it")
    return count


def _divisor(function, reduction, weights, m) -> float:
    if reduction == "mean":
        return weight_of(function, weights, m)
    if reduction == "sum_over_batch_size":
        return weight_of(function, None, m)
    if reduction in ("sum", "none"):
        return 1.0
    raise ValueError(f"{function}: reduction is {reduction!r}; wanted 'mean', 'sum', 'none' or 'sum_over_batch_size'")


def _call(function, name, kernel, z, target, weights, numbers, lead, m, n, reduction, gradient, out, given, dtype):
    """What all losses share once shapes are known: z, called `name`, is (*lead, ...) with m rows of n elements."""
    if weights is None and m > 0 and reduction == "mean":
        divisor = m
    else:
        if weights is not None:
            if weights.shape != lead:
                raise misfit(function, f"{lead} for weights, one for each row", **{name: z, "weights": weights})
            weights = weights.ravel()
        divisor = _divisor(function, reduction, weights, m)
    if out is None:
        users, dz = None, empty(z.shape, dtype) if gradient else None
    else:
        results = {"gradient": z.shape if gradient else None}
        users, (dz,) = outputs(function, out, results, dtype, given, same=(name,), flat=False)
    loss = empty(m, dtype)
    kernel = getattr(current(), kernel)
    if z.ndim == 2:
        kernel(loss, dz, z, target, weights, *numbers, 1.0 / divisor)
    else:
        kernel(loss, dz.reshape(m, n) if gradient else None, z.reshape(m, n), target, weights, *numbers, 1.0 / divisor)
    if users is not None:
        (dz,) = finish(users, (dz,))
    return (loss.reshape(lead) if reduction == "none" else total(loss) / divisor), dz


def softmax_cross_entropy(
    logits, labels, weights=None, *, label_smoothing=0.0, reduction="mean", gradient=True, out=None
):
    """Cross entropy of a softmax, and its gradient with respect to the logits.

    ``l = sum(t) logsumexp(z) - sum(t z)`` per row with targets t, ``dl/dz = sum(t) softmax(z) - t``; label smoothing
    replaces t by ``(1 - label_smoothing) t + label_smoothing / n`` (Szegedy et al. 2016). Exact: nothing is added
    inside a logarithm.

    Parameters
    ----------
    logits : array_like, shape (..., n)
        At least 2-D; scores of n classes, before the softmax.
    labels : array_like
        Of integers, shape (...): the class of each row, 0 to n - 1. Or of shape (..., n): a target for each class,
        one-hot or soft; they need not sum to 1.
    weights : array_like, shape (...), optional
        Of the rows.
    label_smoothing : float, default 0
        In [0, 1].
    reduction : {"mean", "sum", "none", "sum_over_batch_size"}, default "mean"
        "mean" divides by the sum of the weights, "sum_over_batch_size" by the number of rows. With "none" the gradient
        is that of the sum.
    gradient : bool, default True
        Whether the gradient is wanted.
    out : ndarray, shape of logits, optional
        Where to write the gradient; may be `logits`.

    Returns
    -------
    loss : float, or ndarray of shape (...) for "none"
    gradient : ndarray, shape of logits, or None
        Of the reduced loss, weights and division included.

    Raises
    ------
    ValueError
        If the shapes do not fit, a label is outside of 0 .. n - 1, a number is out of its range, a mean of no rows or
        of weights that sum to 0 is asked for, or `out` has another shape, is read-only or overlaps other than element
        on element.
    TypeError
        If labels of shape (...) are not integers, an argument is not numeric, or `out` is not of the result's dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from fusednet import ops
    >>> loss, dz = ops.softmax_cross_entropy(np.zeros((2, 4)), [3, 0])
    >>> round(loss, 4), dz[0]
    (1.3863, array([ 0.125,  0.125,  0.125, -0.375]))
    """
    function = "softmax_cross_entropy"
    if type(label_smoothing) is not float or not 0.0 <= label_smoothing <= 1.0:
        label_smoothing = real(function, "label_smoothing", label_smoothing, "[0, 1]")
    given = None if out is None else {"logits": logits, "labels": labels, "weights": weights}
    if type(logits) is not ndarray:
        logits = array(function, "logits", logits)
    if type(labels) is not ndarray:
        labels = array(function, "labels", labels)
    shape = logits.shape
    axes = len(shape)
    checked = None
    if weights is None and out is None and axes == 2 and shape[0] > 0 and reduction == "mean":
        m, n = shape
        if labels.ndim == 2:
            target, kernel = labels, "softmax_xent_targets"
        else:
            target = checked = class_labels(function, labels, (m,), n)
            kernel = "softmax_xent_labels"
        made = getattr(current().made, kernel).mean((logits, target, None), gradient, (label_smoothing,), m)
        if made is not None:
            return made
    if axes < 2:
        raise misfit(function, "2 or more axes, (..., n)", logits=logits)
    lead, n = shape[:-1], shape[-1]
    if labels.ndim == axes:
        dtype = ready2(logits, labels) if weights is None else ready3(logits, labels, weights)
        if dtype is None:
            dtype, logits, labels, weights = convert(function, False, logits=logits, labels=labels, weights=weights)
        if labels.shape != logits.shape:
            raise misfit(
                function, "the same shape, or integer labels (...) for logits (..., n)", logits=logits, labels=labels
            )
        target, kernel = rows(labels), "softmax_xent_targets"
    else:
        dtype = ready1(logits) if weights is None else ready2(logits, weights)
        if dtype is None:
            dtype, logits, weights = convert(function, False, logits=logits, weights=weights)
        target = class_labels(function, labels, lead, n) if checked is None else checked
        kernel = "softmax_xent_labels"
    numbers, m = (label_smoothing,), len(target)
    return _call(
        function, "logits", kernel, logits, target, weights, numbers, lead, m, n, reduction, gradient, out, given, dtype
    )


def _elementwise(function, names, kernel, z, target, weights, numbers, factor, reduction, gradient, out):
    """A loss that is a sum over the elements of a row, a row being all that belongs to one index of the first axis."""
    if weights is None and out is None and reduction == "mean" and type(z) is ndarray and z.ndim == 2 and z.size:
        m, n = z.shape
        each = 1.0 / n if factor is None else real(function, "factor", factor)
        made = getattr(current().made, kernel).mean((z, target, None), gradient, (*numbers, each), m)
        if made is not None:
            return made
    given = None if out is None else {names[0]: z, names[1]: target, "weights": weights}
    dtype = ready2(z, target) if weights is None else ready3(z, target, weights)
    if dtype is None:
        dtype, z, target, weights = convert(function, False, **{names[0]: z, names[1]: target, "weights": weights})
    shape = z.shape
    if not shape or target.shape != shape:
        raise misfit(function, "the same shape (m, ...)", **{names[0]: z, names[1]: target})
    if len(shape) == 2:
        m, n = shape
    else:
        m, n = shape[0], math.prod(shape[1:])
        target = target.reshape(m, n)
    factor = (1.0 / n if n else 1.0) if factor is None else real(function, "factor", factor)
    numbers = *numbers, factor
    return _call(
        function, names[0], kernel, z, target, weights, numbers, (m,), m, n, reduction, gradient, out, given, dtype
    )


def sigmoid_cross_entropy(
    logits, targets, weights=None, *, label_smoothing=0.0, factor=None, reduction="mean", gradient=True, out=None
):
    """Binary cross entropy of a sigmoid, for two classes or several labels at once, and its gradient.

    ``l = factor sum_j [max(z, 0) - z t + log(1 + e^-|z|)]`` per row, ``dl/dz = factor (sigmoid(z) - t)``; label
    smoothing replaces t by ``(1 - label_smoothing) t + label_smoothing / 2``. Exact: nothing is added inside a
    logarithm.

    Parameters
    ----------
    logits : array_like, shape (m,) or (m, ...)
        Scores before the sigmoid.
    targets : array_like, shape of logits
        0 and 1, or probabilities.
    weights : array_like, shape (m,), optional
        Of the rows.
    label_smoothing : float, default 0
        In [0, 1].
    factor : float, optional
        Of the sum over a row; by default 1 / n, the mean over its n elements.
    reduction, gradient
        See `softmax_cross_entropy`.
    out : ndarray, shape of logits, optional
        Where to write the gradient; may be `logits`.

    Returns
    -------
    loss : float, or ndarray of shape (m,) for "none"
    gradient : ndarray, shape of logits, or None
        Of the reduced loss, weights and division included.

    Raises
    ------
    ValueError
        If the shapes differ (an (m, 1) and an (m,) are not stretched over each other), a number is out of its range, a
        mean of no rows or of weights that sum to 0 is asked for, or `out` has another shape, is read-only or overlaps
        other than element on element.
    TypeError
        If an argument is not numeric, or `out` has another dtype than the result.
    """
    function = "sigmoid_cross_entropy"
    if type(label_smoothing) is not float or not 0.0 <= label_smoothing <= 1.0:
        label_smoothing = real(function, "label_smoothing", label_smoothing, "[0, 1]")
    numbers = (label_smoothing,)
    names, kernel = ("logits", "targets"), "sigmoid_xent"
    return _elementwise(function, names, kernel, logits, targets, weights, numbers, factor, reduction, gradient, out)


_PREDICTIONS = ("predictions", "targets")


def squared_error(predictions, targets, weights=None, *, factor=None, reduction="mean", gradient=True, out=None):
    """Squared error and its gradient: ``l = factor sum_j d^2`` per row, ``dl/dz = 2 factor d``, d the difference.

    Parameters
    ----------
    predictions : array_like, shape (m,) or (m, ...)
    targets : array_like, shape of predictions
    weights : array_like, shape (m,), optional
        Of the rows.
    factor : float, optional
        Of the sum over a row; by default 1 / n, the mean over its n elements (Keras, PyTorch). The book's sum of
        squares is ``factor=0.5, reduction="sum"``.
    reduction, gradient
        See `softmax_cross_entropy`.
    out : ndarray, shape of predictions, optional
        Where to write the gradient; may be `predictions`.

    Returns
    -------
    loss : float, or ndarray of shape (m,) for "none"
    gradient : ndarray, shape of predictions, or None
        Of the reduced loss, weights and division included.

    Raises
    ------
    ValueError, TypeError
        As `sigmoid_cross_entropy`.
    """
    return _elementwise(
        "squared_error",
        _PREDICTIONS,
        "squared_error",
        predictions,
        targets,
        weights,
        (),
        factor,
        reduction,
        gradient,
        out,
    )


def absolute_error(predictions, targets, weights=None, *, factor=None, reduction="mean", gradient=True, out=None):
    """Absolute error and its gradient: ``l = factor sum_j |d|`` per row, ``dl/dz = factor sign(d)``, 0 where d is 0.

    Parameters, results and errors are those of `squared_error`.

    Parameters
    ----------
    predictions : array_like, shape (m,) or (m, ...)
    targets : array_like, shape of predictions
    weights : array_like, shape (m,), optional
        Of the rows.
    factor : float, optional
        Of the sum over a row; by default 1 / n.
    reduction, gradient
        See `softmax_cross_entropy`.
    out : ndarray, shape of predictions, optional
        Where to write the gradient; may be `predictions`.

    Returns
    -------
    loss : float, or ndarray of shape (m,) for "none"
    gradient : ndarray, shape of predictions, or None

    Raises
    ------
    ValueError, TypeError
        As `sigmoid_cross_entropy`.
    """
    return _elementwise(
        "absolute_error",
        _PREDICTIONS,
        "absolute_error",
        predictions,
        targets,
        weights,
        (),
        factor,
        reduction,
        gradient,
        out,
    )


def huber(predictions, targets, weights=None, *, delta=1.0, factor=None, reduction="mean", gradient=True, out=None):
    """Huber's loss and its gradient (Huber 1964): squared near 0, linear away from it.

    ``l = factor sum_j h(d)`` per row with ``h = d^2/2`` where ``|d| <= delta``, else ``delta (|d| - delta/2)``;
    ``dl/dz = factor clip(d, -delta, delta)``.

    Parameters
    ----------
    predictions : array_like, shape (m,) or (m, ...)
    targets : array_like, shape of predictions
    weights : array_like, shape (m,), optional
        Of the rows.
    delta : float, default 1
        Where the loss turns linear; above 0.
    factor : float, optional
        Of the sum over a row; by default 1 / n.
    reduction, gradient
        See `softmax_cross_entropy`.
    out : ndarray, shape of predictions, optional
        Where to write the gradient; may be `predictions`.

    Returns
    -------
    loss : float, or ndarray of shape (m,) for "none"
    gradient : ndarray, shape of predictions, or None

    Raises
    ------
    ValueError, TypeError
        As `sigmoid_cross_entropy`, and if `delta` is not a number above 0.
    """
    if type(delta) is not float or not 0.0 < delta < INF:
        delta = real("huber", "delta", delta, "(0, inf)")
    numbers = (delta,)
    return _elementwise(
        "huber",
        _PREDICTIONS,
        "huber_error",
        predictions,
        targets,
        weights,
        numbers,
        factor,
        reduction,
        gradient,
        out,
    )


def pinball_loss(predictions, targets, weights=None, *, quantile=0.5, factor=None, reduction="mean", gradient=True,
                 out=None):
    """The pinball loss and its gradient (Koenker & Bassett 1978), whose minimum is a quantile.

    ``l = factor sum_j max((1 - quantile) d, -quantile d)`` per row; ``dl/dz`` is ``factor (1 - quantile)`` where d is
    above 0, ``-factor quantile`` where it is below, and 0 at 0.

    Parameters
    ----------
    predictions : array_like, shape (m,) or (m, ...)
    targets : array_like, shape of predictions
    weights : array_like, shape (m,), optional
        Of the rows.
    quantile : float, default 0.5
        In [0, 1].
    factor : float, optional
        Of the sum over a row; by default 1 / n.
    reduction, gradient
        See `softmax_cross_entropy`.
    out : ndarray, shape of predictions, optional
        Where to write the gradient; may be `predictions`.

    Returns
    -------
    loss : float, or ndarray of shape (m,) for "none"
    gradient : ndarray, shape of predictions, or None

    Raises
    ------
    ValueError, TypeError
        As `sigmoid_cross_entropy`, and if `quantile` is not a number in [0, 1].
    """
    if type(quantile) is not float or not 0.0 <= quantile <= 1.0:
        quantile = real("pinball_loss", "quantile", quantile, "[0, 1]")
    numbers = (quantile,)
    return _elementwise("pinball_loss", _PREDICTIONS, "pinball_loss", predictions, targets, weights, numbers,
                        factor, reduction, gradient, out)


def poisson_loss(predictions, targets, weights=None, *, deviance=False, factor=None, reduction="mean", gradient=True,
                 out=None):
    """The negative log-likelihood of counts and its gradient; predictions are logarithms of rates.

    ``l = factor sum_j (e^z - t z)`` per row; ``dl/dz = factor (e^z - t)``.

    Parameters
    ----------
    predictions : array_like, shape (m,) or (m, ...)
    targets : array_like, shape of predictions
        Of at least 0.
    weights : array_like, shape (m,), optional
        Of the rows.
    deviance : bool, default False
        Add ``t log t - t``, so that the least loss is 0: half the deviance (McCullagh & Nelder 1989, section 6.2).
    factor : float, optional
        Of the sum over a row; by default 1 / n.
    reduction, gradient
        See `softmax_cross_entropy`.
    out : ndarray, shape of predictions, optional
        Where to write the gradient; may be `predictions`.

    Returns
    -------
    loss : float, or ndarray of shape (m,) for "none"
    gradient : ndarray, shape of predictions, or None

    Raises
    ------
    ValueError, TypeError
        As `sigmoid_cross_entropy`; with `deviance` also if a target is below 0, which has no logarithm.
    """
    if deviance:
        given = asarray(targets)
        least = given.min(initial=0) if given.dtype.kind in "if" else 0
        if least < 0:
            raise ValueError(f"poisson_loss: targets has {least}; wanted at least 0 where deviance is True")
    return _elementwise("poisson_loss", _PREDICTIONS, "poisson_loss", predictions, targets, weights,
                        (float(bool(deviance)),), factor, reduction, gradient, out)
