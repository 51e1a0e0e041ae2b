"""Counts of right answers.

Reads _door.py for the checks and calls the kernels `correct_labels`, `correct_targets` and `correct_binary`, which say
for each row what it counts; `sum` adds them up in double precision.
"""

import math

import numpy as np

from fusednet.backends import current
from fusednet.ops._door import array, class_labels, convert, empty, misfit, ready1, ready2, ready3, real, rows, total
from fusednet.ops._losses import weight_of


def _weights(function, weights, shape):
    if weights.shape != shape:
        raise ValueError(f"{function}: weights have shape {weights.shape}; wanted {shape}, one for each row")
    return weights.ravel()


def _count(function, scores, labels, weights):
    """(sum of the weights of the rows that are right, weights, number of rows)."""
    if type(scores) is not np.ndarray:
        scores = array(function, "scores", scores)
    if type(labels) is not np.ndarray:
        labels = array(function, "labels", labels)
    axes = scores.ndim
    if axes < 2:
        raise misfit(function, "2 or more axes, (..., n)", scores=scores)
    table, checked = current(), None
    if weights is None and axes == 2:
        if labels.ndim == 2:
            correct = table.made.correct_targets.summed(..., scores, labels, None)
        else:
            checked = class_labels(function, labels, scores.shape[:1], scores.shape[1])
            correct = table.made.correct_labels.summed(..., scores, checked, None)
        if correct is not None:
            return correct, None, len(scores)
    if labels.ndim == axes:
        dtype = ready2(scores, labels) if weights is None else ready3(scores, labels, weights)
        if dtype is None:
            dtype, scores, labels, weights = convert(function, False, scores=scores, labels=labels, weights=weights)
        if labels.shape != scores.shape:
            raise misfit(
                function, "the same shape, or integer labels (...) for scores (..., n)", scores=scores, labels=labels
            )
        target, kernel = rows(labels), table.correct_targets
    else:
        dtype = ready1(scores) if weights is None else ready2(scores, weights)
        if dtype is None:
            dtype, scores, weights = convert(function, False, scores=scores, weights=weights)
        shape = scores.shape
        target = class_labels(function, labels, shape[:-1], shape[-1]) if checked is None else checked
        kernel = table.correct_labels
    if weights is not None:
        weights = _weights(function, weights, scores.shape[:-1])
    m = len(target)
    correct = empty(m, dtype)
    kernel(correct, scores if axes == 2 else rows(scores), target, weights)
    return total(correct), weights, m


def count_correct(scores, labels, weights=None):
    """How many rows have their largest score at their label.

    Parameters
    ----------
    scores : array_like, shape (..., n)
        At least 2-D; logits or probabilities. The first largest of a row is its answer.
    labels : array_like
        Of integers, shape (...): 0 to n - 1. Or of shape (..., n): the first largest of a row is its label.
    weights : array_like, shape (...), optional
        What each row counts; 1 by default.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the shapes do not fit, or a label is outside of 0 .. n - 1.
    TypeError
        If labels of shape (...) are not integers, or an argument is not numeric.
    """
    return _count("count_correct", scores, labels, weights)[0]


def accuracy(scores, labels, weights=None):
    """Share of rows that have their largest score at their label, weighted.

    Parameters
    ----------
    scores, labels, weights
        See `count_correct`.

    Returns
    -------
    float
        `count_correct` divided by the sum of the weights, or by the number of rows.

    Raises
    ------
    ValueError, TypeError
        As `count_correct`, and if there are no rows or the weights sum to 0.
    """
    correct, weights, m = _count("accuracy", scores, labels, weights)
    return correct / (m if weights is None and m else weight_of("accuracy", weights, m))


def binary_accuracy(scores, targets, weights=None, *, threshold=0.5):
    """Share of elements on the right side of a threshold, weighted by row.

    Parameters
    ----------
    scores : array_like, shape (m,) or (m, ...)
        Probabilities, or logits with ``threshold=0``.
    targets : array_like, shape of scores
        Above 0.5 means yes.
    weights : array_like, shape (m,), optional
        Of the rows.
    threshold : float, default 0.5
        A score above it means yes.

    Returns
    -------
    float
        In [0, 1].

    Raises
    ------
    ValueError
        If the shapes differ, there are no rows, or the weights sum to 0.
    TypeError
        If an argument is not numeric.
    """
    function = "binary_accuracy"
    threshold = real(function, "threshold", threshold, "[-inf, inf]")
    table = current()
    if weights is None:
        correct = table.made.correct_binary.summed(..., scores, targets, None, threshold)
        if correct is not None:
            return correct / weight_of(function, None, len(scores))
    dtype = ready2(scores, targets) if weights is None else ready3(scores, targets, weights)
    if dtype is None:
        dtype, scores, targets, weights = convert(function, False, scores=scores, targets=targets, weights=weights)
    shape = scores.shape
    if not shape or targets.shape != shape:
        raise misfit(function, "the same shape (m, ...)", scores=scores, targets=targets)
    m, n = shape[0], math.prod(shape[1:])
    if len(shape) != 2:
        scores, targets = scores.reshape(m, n), targets.reshape(m, n)
    if weights is not None:
        weights = _weights(function, weights, (m,))
    divisor = weight_of(function, weights, m)
    correct = empty(m, dtype)
    table.correct_binary(correct, scores, targets, weights, threshold)
    return total(correct) / divisor
