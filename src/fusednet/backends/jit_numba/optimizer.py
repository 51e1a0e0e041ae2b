"""Optimizer steps: one pass over a flat range of parameters, their state and their gradient.

Uses base.py. Hyperparameters become the arrays' dtype once, differences such as 1 - beta are taken in double before;
the decay joins the step before the step joins p, so p is rounded once.
"""

import math

from fusednet.backends.jit_numba.base import COPY, kernel, muladd, number_helper, split


@number_helper
def _effective(g, p, l2, scale, clip):
    h = scale * g
    h = clip if h > clip else h
    h = -clip if h < -clip else h
    return muladd(l2, p, h)


@kernel(COPY)
def sgd_step(p, g, lr, l2, decay, scale, clip, part, parts):
    begin, end = split(p.size, 16, part, parts)
    real, p, g = p.dtype.type, p[begin:end], g[begin:end]
    rate, l2_, decay_, scale_, clip_ = real(lr), real(l2), real(decay), real(scale), real(clip)
    for i in range(p.size):
        down = rate * _effective(g[i], p[i], l2_, scale_, clip_)
        p[i] -= muladd(decay_, p[i], down)


@kernel(COPY)
def momentum_step(p, v, g, lr, momentum, l2, decay, scale, clip, part, parts):
    begin, end = split(p.size, 16, part, parts)
    real, p, v, g = p.dtype.type, p[begin:end], v[begin:end], g[begin:end]
    rate, keep, l2_, decay_, scale_, clip_ = real(lr), real(momentum), real(l2), real(decay), real(scale), real(clip)
    for i in range(p.size):
        h = _effective(g[i], p[i], l2_, scale_, clip_)
        v[i] = keep * v[i] - rate * h
        p[i] += muladd(-decay_, p[i], v[i])


@kernel(COPY)
def nesterov_step(p, v, g, lr, momentum, l2, decay, scale, clip, part, parts):
    begin, end = split(p.size, 16, part, parts)
    real, p, v, g = p.dtype.type, p[begin:end], v[begin:end], g[begin:end]
    rate, keep, l2_, decay_, scale_, clip_ = real(lr), real(momentum), real(l2), real(decay), real(scale), real(clip)
    for i in range(p.size):
        h = _effective(g[i], p[i], l2_, scale_, clip_)
        v[i] = keep * v[i] - rate * h
        p[i] += muladd(-decay_, p[i], keep * v[i] - rate * h)


@kernel(COPY)
def adagrad_step(p, v, g, lr, epsilon, l2, decay, scale, clip, part, parts):
    begin, end = split(p.size, 16, part, parts)
    real, p, v, g = p.dtype.type, p[begin:end], v[begin:end], g[begin:end]
    rate, tiny, l2_, decay_, scale_, clip_ = real(lr), real(epsilon), real(l2), real(decay), real(scale), real(clip)
    for i in range(p.size):
        h = _effective(g[i], p[i], l2_, scale_, clip_)
        v[i] += h * h
        p[i] -= muladd(decay_, p[i], rate * h / (math.sqrt(v[i]) + tiny))


@kernel(COPY)
def rmsprop_step(p, v, g, lr, rho, epsilon, l2, decay, scale, clip, part, parts):
    begin, end = split(p.size, 16, part, parts)
    real, p, v, g = p.dtype.type, p[begin:end], v[begin:end], g[begin:end]
    rate, tiny, l2_, decay_, scale_, clip_ = real(lr), real(epsilon), real(l2), real(decay), real(scale), real(clip)
    keep, take = real(rho), real(1 - rho)
    for i in range(p.size):
        h = _effective(g[i], p[i], l2_, scale_, clip_)
        v[i] = keep * v[i] + take * (h * h)
        p[i] -= muladd(decay_, p[i], rate * h / (math.sqrt(v[i]) + tiny))


@kernel(COPY)
def adam_step(p, m, v, g, lr, beta1, beta2, epsilon, v_scale, l2, decay, scale, clip, part, parts):
    begin, end = split(p.size, 16, part, parts)
    real, p, m, v, g = p.dtype.type, p[begin:end], m[begin:end], v[begin:end], g[begin:end]
    rate, tiny, l2_, decay_, scale_, clip_ = real(lr), real(epsilon), real(l2), real(decay), real(scale), real(clip)
    keep_1, take_1, keep_2, take_2, factor = real(beta1), real(1 - beta1), real(beta2), real(1 - beta2), real(v_scale)
    for i in range(p.size):
        h = _effective(g[i], p[i], l2_, scale_, clip_)
        m[i] = keep_1 * m[i] + take_1 * h
        v[i] = keep_2 * v[i] + take_2 * (h * h)
        p[i] -= muladd(decay_, p[i], rate * m[i] / muladd(factor, math.sqrt(v[i]), tiny))
