"""Rows and labels by index, and the checks of labels and numbers.

Uses base.py.
"""

import numpy as np

from fusednet.backends.jit_numba.base import COPY, kernel, row_of, split


@kernel(COPY)
def gather_rows(y, x, index, shift, scale, part, parts):
    begin, end = split(y.shape[0], 1, part, parts)
    for i in range(begin, end):
        row, source = row_of(y, i), row_of(x, index[i] if index.size else i)
        for j in range(row.size):
            row[j] = source[j]
        if shift.size:
            for j in range(row.size):
                row[j] -= shift[j]
        if scale.size:
            for j in range(row.size):
                row[j] *= scale[j]


@kernel(0)
def find_outside(first, index, limit, part, parts):
    first[0] = -1
    for i in range(index.size):
        value = np.int64(index[i])  # a uint64 past the int64s comes out negative: outside, as it should
        if value < 0 or value >= limit:
            first[0] = i
            break


@kernel(COPY)
def gather_labels(label, y, index, part, parts):
    begin, end = split(label.size, 16, part, parts)
    for i in range(begin, end):
        label[i] = y[index[i] if index.size else i]


@kernel(0)
def find_nonfinite(first, x, part, parts):
    first[0] = -1
    zero = x.dtype.type(0)
    for i in range(x.shape[0]):
        row, found = row_of(x, i), 0
        for j in range(row.size):  # without a way out, so that it becomes vectors
            found += row[j] - row[j] != zero
        for j in range(row.size if found else 0):
            if row[j] - row[j] != zero:
                first[0] = i * row.size + j
                return
