"""Masks drawn as the book draws them: the numbers of ``np.random.rand``, at a fraction of its time.

Reads the kernels (fusednet.backends); read by layers.py and by the fast roads, _gradient.py and _run.py.

a) The kernel works on the state of NumPy's own generator, where it lies: seeds, states that are set, and whatever else
   the script draws, before, between and after, are the same as ever.
b) NumPy says where the state lies, but promises nothing about what is there. So it is compared with `get_state`, for
   each generator once. Where it is not what is known, or is another generator's (`np.random.set_bit_generator`), NumPy
   draws.
"""

import ctypes

import numpy as np

from fusednet import backends

_WORDS = 625  # 624 of state, then the place of the next


class _State:
    """The state of a bit generator as the kernel takes it; `words` is None where it is not known."""

    def __init__(self, generator):
        self.generator, self.lock = generator, getattr(generator, "lock", None)
        self.words = None
        if type(generator) is np.random.MT19937:
            memory = (ctypes.c_int32 * _WORDS).from_address(generator.ctypes.state_address)
            words, state = np.frombuffer(memory, np.int32), generator.state["state"]
            if np.array_equal(words[:-1].view(np.uint32), state["key"]) and words[-1] == state["pos"]:
                self.words = words


_state = _State(None)


def draw_kept(kept: np.ndarray, ratio: float) -> np.ndarray:
    """Draw a mask: 1 where ``np.random.rand(*kept.shape) > ratio``, 0 elsewhere.

    Parameters
    ----------
    kept : ndarray, C-contiguous, float32 or float64
        Is overwritten.
    ratio : float

    Returns
    -------
    ndarray
        `kept`.
    """
    global _state
    table, state, generator = backends.current(), _state, np.random.get_bit_generator()
    if state.generator is not generator:
        _state = state = _State(generator)
    if state.words is None or table.backend == "numpy":  # whose kernel asks NumPy, and puts the state in and out
        return np.greater(np.random.rand(*kept.shape), ratio, out=kept)
    with state.lock:
        table.uniform_above(kept.ravel(), state.words, ratio)
    return kept
