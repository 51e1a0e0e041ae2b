"""Dropout, with the words of the counter-based generator that csrc/base/rng.h describes.

Uses base.py.
"""

import numpy as np

from fusednet.backends.jit_numba.base import POWER, copy, helper, kernel, split

_M0, _M1, _W0, _W1 = (np.uint64(x) for x in (0xD2511F53, 0xCD9E8D57, 0x9E3779B9, 0xBB67AE85))
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


@helper
def _random_words(words, group, seed, step, op):
    """words[64]: Philox4x32-7 (Salmon et al. 2011) at 16 counters; csrc/base/rng.h says which word is whose."""
    key_0, key_1 = np.uint64(seed) & _LOW, np.uint64(seed) >> _HALF
    high = np.uint64(op & 0xFFFF) << np.uint64(16)
    step_0, step_1 = np.uint64(step) & _LOW, np.uint64(step) >> _HALF
    for lane in range(16):
        block = np.uint64(group * 16 + lane)
        c0, c1, c2, c3 = block & _LOW, (block >> _HALF) | high, step_0, step_1
        for turn in range(7):
            k0, k1 = (key_0 + np.uint64(turn) * _W0) & _LOW, (key_1 + np.uint64(turn) * _W1) & _LOW
            p0, p1 = _M0 * c0, _M1 * c2
            c0, c1, c2, c3 = (p1 >> _HALF) ^ c1 ^ k0, p1 & _LOW, (p0 >> _HALF) ^ c3 ^ k1, p0 & _LOW
        words[lane] = c0
        words[16 + lane] = c1
        words[32 + lane] = c2
        words[48 + lane] = c3


@kernel(POWER)
def dropout(y, x, rate, scale, seed, step, op, part, parts):
    begin, end = split(y.size, 64, part, parts)
    threshold = np.uint64(min(round(rate * 4294967296.0), 4294967296.0))
    factor, zero = y.dtype.type(scale), y.dtype.type(0)
    words = np.empty(64, np.uint32)
    for i in range(begin, end, 64):
        _random_words(words, i // 64, seed, step, op)
        piece = y[i : min(i + 64, end)]
        copy(piece, x[i : min(i + 64, end)])
        for j in range(piece.size):
            piece[j] = factor * piece[j] if np.uint64(words[j]) >= threshold else zero
