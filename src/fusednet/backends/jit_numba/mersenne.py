"""Draws of the Mersenne Twister that csrc/kernels/mersenne_impl.h describes.

Uses base.py.
"""

import numpy as np

from fusednet.backends.jit_numba.base import helper, kernel

_WORDS, _SHIFT = 624, 397
_UPPER, _LOWER, _MATRIX = (np.uint32(x) for x in (0x80000000, 0x7FFFFFFF, 0x9908B0DF))


@helper
def _renew(state):
    """All words anew: the recurrence of Matsumoto & Nishimura (1998), equation 2.1."""
    for i in range(_WORDS):
        word, following = np.uint32(state[i]), np.uint32(state[(i + 1) % _WORDS])
        twisted = ((word & _UPPER) | (following & _LOWER)) >> np.uint32(1)
        if following & np.uint32(1):
            twisted ^= _MATRIX
        state[i] = np.int32(np.uint32(state[(i + _SHIFT) % _WORDS]) ^ twisted)


@helper
def _draw(state):
    """The next word, tempered."""
    if not 0 <= state[_WORDS] < _WORDS:  # NumPy lets a place be set that there is not
        _renew(state)
        state[_WORDS] = 0
    word = np.uint32(state[state[_WORDS]])
    state[_WORDS] += 1
    word = np.uint32(word ^ (word >> np.uint32(11)))
    word = np.uint32(word ^ ((word << np.uint32(7)) & np.uint32(0x9D2C5680)))
    word = np.uint32(word ^ ((word << np.uint32(15)) & np.uint32(0xEFC60000)))
    return np.uint32(word ^ (word >> np.uint32(18)))


@kernel(0)
def uniform_above(y, state, limit, part, parts):
    one, zero = y.dtype.type(1), y.dtype.type(0)
    for i in range(y.size):
        high, low = _draw(state) >> np.uint32(5), _draw(state) >> np.uint32(6)
        u = (np.float64(high) * 67108864.0 + np.float64(low)) / 9007199254740992.0
        y[i] = one if u > limit else zero
