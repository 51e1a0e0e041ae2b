"""Rows by index, and the check of an index.

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
