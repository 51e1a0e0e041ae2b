"""Batch normalisation, per column.

Uses base.py and activation.py. Sums over rows are divided by columns, never by rows, and are kept in double.
"""

import math

import numpy as np

from fusednet.backends.jit_numba.activation import activate, derive
from fusednet.backends.jit_numba.base import COPY, copy, helper, kernel, muladd, row_of, split

_LINE, _WIDTH, _BLOCK = 16, 256, 64  # columns of a part's grain; columns and rows that are summed at a time, from L2


@helper
def _column_sums(total, x, rows, left):
    total[:] = 0.0
    for i in range(rows[0], rows[1]):
        row = row_of(x, i)[left : left + total.size]
        for j in range(total.size):
            total[j] += row[j]


@kernel(COPY)
def batch_norm_stats(mean, var, x, part, parts):
    m, n = x.shape
    begin, end = split(n, _LINE, part, parts)
    for left in range(begin, end, _WIDTH):
        width = min(_WIDTH, end - left)
        center, spread, block, square = np.zeros(width), np.zeros(width), np.empty(width), np.empty(width)
        for i in range(0, m, _BLOCK):
            count = min(_BLOCK, m - i)
            _column_sums(block, x, (i, i + count), left)
            square[:] = 0.0
            for j in range(width):
                block[j] /= count
            for r in range(i, i + count):
                row = row_of(x, r)[left : left + width]
                for j in range(width):
                    d = row[j] - block[j]
                    square[j] += d * d
            share, both = count / (i + count), i * (count / (i + count))
            for j in range(width):
                d = block[j] - center[j]
                center[j] += d * share
                spread[j] += square[j] + d * d * both
        for j in range(width):
            mean[left + j] = center[j]
            var[left + j] = spread[j] / max(m, 1)


@helper
def _inverse_deviation(var, epsilon):
    inverse = np.empty(var.size)
    for j in range(var.size):
        inverse[j] = 1.0 / math.sqrt(var[j] + epsilon)
    return inverse


@kernel(COPY)
def batch_norm_fwd(y, z, x, mean, var, gamma, beta, epsilon, kind, alpha, part, parts):
    begin, end = split(y.shape[0], 1, part, parts)
    inverse = _inverse_deviation(var, epsilon)
    slope = np.empty(var.size, y.dtype)
    for j in range(slope.size):
        slope[j] = gamma[j] * inverse[j]
    for i in range(begin, end):
        row = row_of(y, i)
        copy(row, row_of(x, i))
        for j in range(row.size):
            row[j] = muladd(row[j] - mean[j], slope[j], beta[j])
        if z.size:
            copy(row_of(z, i), row)
        activate(row, kind, alpha)


@kernel(COPY)
def batch_norm_bwd_reduce(dgamma, dbeta, dy, x, s, mean, var, epsilon, kind, alpha, part, parts):
    m, n = x.shape
    begin, end = split(n, _LINE, part, parts)
    for left in range(begin, end, _WIDTH):
        right = min(left + _WIDTH, end)
        center = mean[left:right]
        dz, moment, total = np.empty(center.size, x.dtype), np.zeros(center.size), np.zeros(center.size)
        for i in range(m):
            copy(dz, row_of(dy, i)[left:right])
            if s.size:
                derive(dz, row_of(s, i)[left:right], kind, alpha)
            row = row_of(x, i)[left:right]
            for j in range(dz.size):
                total[j] += dz[j]
                moment[j] += dz[j] * (row[j] - center[j])
        inverse = _inverse_deviation(var[left:right], epsilon)
        for j in range(dz.size):
            dgamma[left + j] = moment[j] * inverse[j]
            dbeta[left + j] = total[j]


@kernel(COPY)
def batch_norm_bwd_dx(dx, dy, x, s, mean, var, gamma, dgamma, dbeta, epsilon, kind, alpha, part, parts):
    m, n = dx.shape
    begin, end = split(m, 1, part, parts)
    inverse = _inverse_deviation(var, epsilon)
    slope, level, tilt = np.empty(n, dx.dtype), np.empty(n, dx.dtype), np.empty(n, dx.dtype)
    for j in range(n):
        slope[j] = gamma[j] * inverse[j]
        level[j] = np.float64(dbeta[j]) / max(m, 1)
        tilt[j] = dgamma[j] * inverse[j] / max(m, 1)
    for i in range(begin, end):
        row, from_x = row_of(dx, i), row_of(x, i)
        copy(row, row_of(dy, i))
        if s.size:
            derive(row, row_of(s, i), kind, alpha)
        for j in range(n):
            row[j] = slope[j] * (row[j] - level[j] - (from_x[j] - mean[j]) * tilt[j])


@kernel(COPY)
def batch_norm_join(mean, var, other_mean, other_var, share, part, parts):
    begin, end = split(mean.size, _LINE, part, parts)
    take, keep = mean.dtype.type(share), mean.dtype.type(1 - share)
    between = mean.dtype.type(share * (1 - share))
    for j in range(begin, end):
        delta = other_mean[j] - mean[j]
        mean[j] += take * delta
        var[j] = keep * var[j] + take * other_var[j] + between * (delta * delta)


@kernel(COPY)
def batch_norm_running(running_mean, running_var, mean, var, momentum, var_factor, part, parts):
    begin, end = split(mean.size, _LINE, part, parts)
    keep, take, factor = mean.dtype.type(momentum), mean.dtype.type(1 - momentum), mean.dtype.type(var_factor)
    means, variances, mean, var = running_mean[begin:end], running_var[begin:end], mean[begin:end], var[begin:end]
    for j in range(mean.size):
        means[j] = keep * means[j] + take * mean[j]
        variances[j] = keep * variances[j] + take * (factor * var[j])
