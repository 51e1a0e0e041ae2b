"""What training does around an optimizer step: the gradient of penalties, clipping by norm, averages of parameters.

Uses base.py.
"""

import math

from fusednet.backends.jit_numba.base import COPY, kernel, muladd, split, sum_of


@kernel(COPY)
def penalty_gradient(g, p, l1, l2, part, parts):
    begin, end = split(g.size, 16, part, parts)
    real, g, p = g.dtype.type, g[begin:end], p[begin:end]
    l1_, l2_, one, zero = real(l1), real(l2), real(1), real(0)
    for i in range(g.size):
        sign = (one if p[i] > zero else zero) - (one if p[i] < zero else zero)  # of NaN 0: l2 p is NaN
        g[i] = muladd(l1_, sign, muladd(l2_, p[i], g[i]))


@kernel(0)
def clip_scale(scale, norm, partial, limit, factor, part, parts):
    size = factor * math.sqrt(sum_of(partial))
    norm[0] = size
    scale[0] = factor if size <= limit else factor * limit / size


@kernel(COPY)
def moving_average(average, x, momentum, part, parts):
    begin, end = split(average.size, 16, part, parts)
    real, average, x = average.dtype.type, average[begin:end], x[begin:end]
    keep, take = real(momentum), real(1 - momentum)
    for i in range(average.size):
        average[i] = muladd(keep, average[i], take * x[i])
