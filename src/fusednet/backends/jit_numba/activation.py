"""Activations and softmax.

Uses base.py and powers.py; affine.py and batch_norm.py use `activate` and `derive`, loss.py the steps of softmax.

In place on one array, because an output may be an input: a loop over two arrays that are one is not vectorised.
"""

import math

import numpy as np

from fusednet.backends.jit_numba.base import (
    POWER,
    copy,
    helper,
    kernel,
    largest_of,
    muladd,
    number_helper,
    row_of,
    split,
    sum_of,
    sum_products,
)
from fusednet.backends.jit_numba.powers import exp, expm1, log1p, normal
from fusednet.backends.table import Activation

_RELU, _LEAKY_RELU, _ELU, _SELU = (int(Activation[k]) for k in ("RELU", "LEAKY_RELU", "ELU", "SELU"))
_SIGMOID, _TANH, _SWISH, _SOFTPLUS = (int(Activation[k]) for k in ("SIGMOID", "TANH", "SWISH", "SOFTPLUS"))
_GELU, _GELU_TANH = int(Activation.GELU), int(Activation.GELU_TANH)
_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772  # Klambauer et al. 2017
_GELU_SLOPE, _GELU_CUBE = math.sqrt(2 / math.pi), math.sqrt(2 / math.pi) * 0.044715  # Hendrycks & Gimpel 2016


@number_helper
def sigmoid(z):
    one = type(z)(1)
    e = exp(-abs(z))
    return (one if z >= 0 else e) / (one + e)


@helper
def activate(y, kind, alpha):
    """y = f(y), on a row or a piece of one."""
    real = y.dtype.type
    zero, one, two = real(0), real(1), real(2)
    if kind == _RELU:
        for j in range(y.size):
            y[j] = zero if y[j] < zero else y[j]
    elif kind == _LEAKY_RELU:
        slope = real(alpha)
        for j in range(y.size):
            y[j] = y[j] if y[j] > zero else slope * y[j]
    elif kind in (_ELU, _SELU):
        scale = one if kind == _ELU else real(_SELU_SCALE)
        low = real(alpha) if kind == _ELU else real(_SELU_ALPHA)
        for j in range(y.size):
            power = low * expm1(y[j])
            y[j] = scale * (y[j] if y[j] > zero else power)
    elif kind == _SIGMOID:
        for j in range(y.size):
            y[j] = sigmoid(y[j])
    elif kind == _TANH:
        for j in range(y.size):
            power = expm1(two * abs(y[j]))
            size = power / (power + two)
            y[j] = -size if y[j] < zero else size
    elif kind == _SWISH:
        for j in range(y.size):
            y[j] = y[j] * sigmoid(y[j])
    elif kind == _SOFTPLUS:
        for j in range(y.size):
            tail = log1p(exp(-abs(y[j])))
            y[j] = (zero if y[j] < zero else y[j]) + tail
    elif kind == _GELU:
        for j in range(y.size):
            y[j] = y[j] * normal(y[j])[0]
    elif kind == _GELU_TANH:
        slope, cube = real(_GELU_SLOPE), real(_GELU_CUBE)
        for j in range(y.size):
            a = y[j] * muladd(cube, y[j] * y[j], slope)
            y[j] = y[j] * sigmoid(two * a)  # 1 + tanh(a) = 2 sigmoid(2 a), without the cancellation


@helper
def derive(dx, s, kind, alpha):
    """dx = dx f'(s); s is another array."""
    real = dx.dtype.type
    zero, one, two = real(0), real(1), real(2)
    if kind == _RELU:
        for j in range(dx.size):
            dx[j] = dx[j] if s[j] > zero else zero
    elif kind == _LEAKY_RELU:
        slope = real(alpha)
        for j in range(dx.size):
            dx[j] = dx[j] * (one if s[j] > zero else slope)
    elif kind in (_ELU, _SELU):
        high = one if kind == _ELU else real(_SELU_SCALE)
        low = real(alpha) if kind == _ELU else real(_SELU_SCALE * _SELU_ALPHA)
        for j in range(dx.size):
            dx[j] = dx[j] * (high if s[j] > zero else s[j] + low)
    elif kind == _SIGMOID:
        for j in range(dx.size):
            dx[j] = dx[j] * (s[j] * (one - s[j]))
    elif kind == _TANH:
        for j in range(dx.size):
            dx[j] = dx[j] * ((one - s[j]) * (one + s[j]))
    elif kind == _SWISH:
        for j in range(dx.size):
            e = exp(-abs(s[j]))
            up, down = (one if s[j] >= zero else e) / (one + e), (e if s[j] >= zero else one) / (one + e)
            dx[j] = dx[j] * muladd(s[j] * up, down, up)
    elif kind == _SOFTPLUS:
        for j in range(dx.size):
            dx[j] = -dx[j] * expm1(-s[j])
    elif kind == _GELU:
        for j in range(dx.size):
            below, density = normal(s[j])
            dx[j] = dx[j] * muladd(s[j], density, below)
    elif kind == _GELU_TANH:
        slope, cube = real(_GELU_SLOPE), real(_GELU_CUBE)
        for j in range(dx.size):
            square = s[j] * s[j]
            a = s[j] * muladd(cube, square, slope)
            e = exp(-two * abs(a))
            up, down = (one if a >= zero else e) / (one + e), (e if a >= zero else one) / (one + e)
            steep = two * s[j] * muladd(real(3) * cube, square, slope) * (up * down)
            dx[j] = dx[j] * (up + (steep if up * down > zero else zero))


_PIECE = 2048  # elements of a flat array that are worked on at a time, so that a second pass finds them in cache


@kernel(POWER)
def activation_fwd(y, x, kind, alpha, part, parts):
    begin, end = split(y.size, 16, part, parts)
    for i in range(begin, end, _PIECE):
        piece = y[i : min(i + _PIECE, end)]
        copy(piece, x[i : min(i + _PIECE, end)])
        activate(piece, kind, alpha)


@kernel(POWER)
def activation_bwd(dx, dy, s, kind, alpha, part, parts):
    begin, end = split(dx.size, 16, part, parts)
    saved = np.empty(min(_PIECE, end - begin), dx.dtype)  # dx may be s
    for i in range(begin, end, _PIECE):
        piece = dx[i : min(i + _PIECE, end)]
        copy(saved[: piece.size], s[i : i + piece.size])
        copy(piece, dy[i : i + piece.size])
        derive(piece, saved[: piece.size], kind, alpha)


@helper
def exponentials(t):
    """t = e^t; the sum, in double."""
    for j in range(t.size):
        t[j] = exp(t[j])
    return sum_of(t)


@helper
def subtract(t, shift):
    for j in range(t.size):
        t[j] -= shift


@kernel(POWER)
def softmax_fwd(y, x, part, parts):
    begin, end = split(y.shape[0], 1, part, parts)
    for i in range(begin, end):
        row = row_of(y, i)
        copy(row, row_of(x, i))
        subtract(row, largest_of(row))
        total = y.dtype.type(exponentials(row))
        for j in range(row.size):
            row[j] /= total


@kernel(POWER)
def softmax_bwd(dx, dy, y, part, parts):
    begin, end = split(dx.shape[0], 1, part, parts)
    for i in range(begin, end):
        row, power = row_of(dx, i), row_of(y, i)
        copy(row, row_of(dy, i))
        mean = dx.dtype.type(sum_products(row, power))
        for j in range(row.size):
            row[j] = power[j] * (row[j] - mean)
