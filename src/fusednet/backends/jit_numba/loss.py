"""Losses: value per row and gradient in one pass.

Uses base.py, powers.py and activation.py. The gradient's row is where z is copied to and worked on, so dz may be z; a
scratch row takes its place where dz is absent.
"""

import math

import numpy as np

from fusednet.backends.jit_numba.activation import exponentials, subtract
from fusednet.backends.jit_numba.base import COPY, POWER, copy, helper, kernel, largest_of, row_of, split, sum_of
from fusednet.backends.jit_numba.powers import exp, log1p


@kernel(POWER)
def softmax_xent_labels(loss, dz, z, label, weight, smoothing, scale, part, parts):
    m, n = z.shape
    real = z.dtype.type
    begin, end = split(m, 1, part, parts)
    scratch = np.empty(n, z.dtype)
    floor = smoothing / max(n, 1)
    for i in range(begin, end):
        factor = weight[i] if weight.size else real(1)
        row = row_of(dz, i) if dz.size else scratch
        if factor == 0 or n == 0:
            row[:] = 0
            loss[i] = 0
            continue
        copy(row, row_of(z, i))
        subtract(row, largest_of(row))
        right = np.int64(label[i])
        picked = (1 - smoothing) * row[right]
        if floor != 0:
            picked += floor * sum_of(row)
        total = exponentials(row)
        loss[i] = factor * (math.log(total) - picked)
        if dz.size:
            at_right = row[right] / total - ((1 - smoothing) + floor)
            size, base, below = real(scale * factor), real(floor), real(total)
            for j in range(n):
                row[j] = size * (row[j] / below - base)
            row[right] = scale * factor * at_right


@kernel(POWER)
def softmax_xent_targets(loss, dz, z, target, weight, smoothing, scale, part, parts):
    m, n = z.shape
    real = z.dtype.type
    begin, end = split(m, 1, part, parts)
    scratch, wanted, terms = np.empty(n, z.dtype), np.empty(n, z.dtype), np.empty(n, z.dtype)
    zero, rest, floor = real(0), real(1 - smoothing), real(smoothing / max(n, 1))
    for i in range(begin, end):
        factor = weight[i] if weight.size else real(1)
        row = row_of(dz, i) if dz.size else scratch
        if factor == 0 or n == 0:
            row[:] = 0
            loss[i] = 0
            continue
        given = row_of(target, i)
        copy(row, row_of(z, i))
        subtract(row, largest_of(row))
        for j in range(n):
            wanted[j] = rest * given[j] + floor
        for j in range(n):
            terms[j] = zero if wanted[j] == zero else wanted[j] * row[j]
        mass, picked, total = sum_of(wanted), sum_of(terms), exponentials(row)
        loss[i] = factor * (mass * math.log(total) - picked)
        if dz.size:
            size, share = real(scale * factor), real(mass / total)
            for j in range(n):
                row[j] = size * (share * row[j] - wanted[j])


_CROSS_ENTROPY, _SQUARED, _ABSOLUTE, _HUBER, _PINBALL, _POISSON = range(6)


@helper
def _error_terms(rule, row, terms, target, parameter):
    """Of a row z: the terms of the loss, and in its place the derivatives."""
    real = row.dtype.type
    zero, one, two, half = real(0), real(1), real(2), real(0.5)
    if rule == _CROSS_ENTROPY:
        rest, floor = real(1 - parameter), real(parameter / 2)
        for j in range(row.size):
            z, t = row[j], rest * target[j] + floor
            e = exp(-abs(z))
            terms[j] = ((zero if z < zero else z) - z * t) + log1p(e)
            row[j] = (one if z >= zero else e) / (one + e) - t
    elif rule == _SQUARED:
        for j in range(row.size):
            d = row[j] - target[j]
            terms[j], row[j] = d * d, two * d
    elif rule == _ABSOLUTE:
        for j in range(row.size):
            d = row[j] - target[j]
            terms[j] = abs(d)
            row[j] = one if d > zero else (-one if d < zero else d)
    elif rule == _PINBALL:
        above, below = real(1 - parameter), real(-parameter)
        for j in range(row.size):
            d = row[j] - target[j]
            slope = above if d > zero else (below if d < zero else d)
            terms[j], row[j] = d * slope, slope
    elif rule == _POISSON:
        constant = real(parameter)
        for j in range(row.size):
            z, t = row[j], target[j]
            rate = exp(z)
            terms[j], row[j] = rate - t * z, rate - t
            if constant != zero and t != zero:
                terms[j] += constant * t * (real(math.log(t)) - one)
    else:
        delta = real(parameter)
        for j in range(row.size):
            d = row[j] - target[j]
            size = abs(d)
            terms[j] = half * d * d if size <= delta else delta * (size - half * delta)
            row[j] = delta if d > delta else (-delta if d < -delta else d)


@helper
def _errors(rule, loss, dz, z, target, weight, parameter, factor, scale, part, parts):
    m, n = z.shape
    real = z.dtype.type
    begin, end = split(m, 1, part, parts)
    scratch, terms = np.empty(n, z.dtype), np.empty(n, z.dtype)
    for i in range(begin, end):
        share = weight[i] if weight.size else real(1)
        row = row_of(dz, i) if dz.size else scratch
        if share == 0:
            row[:] = 0
            loss[i] = 0
            continue
        copy(row, row_of(z, i))
        _error_terms(rule, row, terms, row_of(target, i), parameter)
        loss[i] = share * factor * sum_of(terms)
        if dz.size:
            size = real(scale * share * factor)
            for j in range(n):
                row[j] *= size


@kernel(POWER)
def sigmoid_xent(loss, dz, z, target, weight, smoothing, factor, scale, part, parts):
    _errors(_CROSS_ENTROPY, loss, dz, z, target, weight, smoothing, factor, scale, part, parts)


@kernel(COPY)
def squared_error(loss, dz, z, target, weight, factor, scale, part, parts):
    _errors(_SQUARED, loss, dz, z, target, weight, 0.0, factor, scale, part, parts)


@kernel(COPY)
def absolute_error(loss, dz, z, target, weight, factor, scale, part, parts):
    _errors(_ABSOLUTE, loss, dz, z, target, weight, 0.0, factor, scale, part, parts)


@kernel(COPY)
def huber_error(loss, dz, z, target, weight, delta, factor, scale, part, parts):
    _errors(_HUBER, loss, dz, z, target, weight, delta, factor, scale, part, parts)


@kernel(COPY)
def pinball_loss(loss, dz, z, target, weight, quantile, factor, scale, part, parts):
    _errors(_PINBALL, loss, dz, z, target, weight, quantile, factor, scale, part, parts)


@kernel(POWER)
def poisson_loss(loss, dz, z, target, weight, constant, factor, scale, part, parts):
    _errors(_POISSON, loss, dz, z, target, weight, constant, factor, scale, part, parts)
