"""Sums and counts.

Uses base.py.
"""

import numpy as np

from fusednet.backends.jit_numba.base import (
    COPY,
    helper,
    kernel,
    largest_of,
    row_of,
    split,
    sum_absolute,
    sum_of,
    sum_products,
)
from fusednet.backends.table import CHUNK

_BLOCK = 64


@kernel(COPY)
def square_sums(partial, x, part, parts):
    begin, end = split(partial.size, 1, part, parts)
    for c in range(begin, end):
        chunk = x[c * CHUNK : (c + 1) * CHUNK]
        partial[c] = sum_products(chunk, chunk)


@kernel(COPY)
def absolute_sums(partial, x, part, parts):
    begin, end = split(partial.size, 1, part, parts)
    for c in range(begin, end):
        partial[c] = sum_absolute(x[c * CHUNK : (c + 1) * CHUNK])


@kernel(0)
def sum(total, x, part, parts):
    total[0] = sum_of(x)


@kernel(0)
def accumulate(total, x, factor, part, parts):
    total[0] += factor * sum_of(x)


@kernel(0)
def accumulate_partial(total, partial, factor, part, parts):
    total[0] += factor * sum_of(partial)


@kernel(0)
def inverse_sum(scale, x, part, parts):
    total = sum_of(x)
    scale[0] = 0 if total == 0 else 1 / total


@helper
def _first_largest(x):
    # The first NaN, as NumPy has it; else the largest of each block by vectors, then a search in the first block that
    # has the largest of all.
    for j in range(x.size):
        if x[j] != x[j]:
            return j
    largest, start = x.dtype.type(-np.inf), 0
    for i in range(0, x.size, _BLOCK):
        candidate = largest_of(x[i : i + _BLOCK])
        if candidate > largest:
            largest, start = candidate, i
    for j in range(start, x.size):
        if x[j] == largest:
            return j
    return x.size  # none


@kernel(COPY)
def correct_labels(correct, z, label, weight, part, parts):
    begin, end = split(correct.size, 16, part, parts)
    for i in range(begin, end):
        hit = z.shape[1] > 0 and _first_largest(row_of(z, i)) == label[i]
        correct[i] = (weight[i] if weight.size else 1) if hit else 0


@kernel(COPY)
def correct_targets(correct, z, target, weight, part, parts):
    begin, end = split(correct.size, 16, part, parts)
    for i in range(begin, end):
        hit = z.shape[1] > 0 and _first_largest(row_of(z, i)) == _first_largest(row_of(target, i))
        correct[i] = (weight[i] if weight.size else 1) if hit else 0


@kernel(COPY)
def correct_binary(correct, z, target, weight, threshold, part, parts):
    m, n = z.shape
    begin, end = split(m, 16, part, parts)
    limit, half = z.dtype.type(threshold), z.dtype.type(0.5)
    for i in range(begin, end):
        row, wanted, hits = row_of(z, i), row_of(target, i), 0
        for j in range(n):
            hits += (row[j] > limit) == (wanted[j] > half)
        share = hits / max(n, 1)
        correct[i] = weight[i] * share if weight.size else share
