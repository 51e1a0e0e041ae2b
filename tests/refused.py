"""How a bad call at fusednet.ops is written down, for bad_layers.py and bad_training.py; test_ops_errors.py runs them.

a) Every call's message begins with the name of the function; every array in the call, the outputs above all, has the
   same bytes afterwards.
b) Arrays are made once: a call that is refused leaves them as they are.
"""

from collections.abc import Callable

import numpy as np
import pytest

F32 = np.float32


def ones(*shape, dtype=np.float64):
    return np.ones(shape, dtype)


def locked(*shape):
    a = np.ones(shape)
    a.setflags(write=False)
    return a


def windows(*shape):
    """A writable array whose rows overlap."""
    step = np.dtype(float).itemsize
    strides = (step,) * len(shape)
    return np.lib.stride_tricks.as_strided(np.ones(sum(shape)), shape, strides)


def shifted(rows, columns, by=1):
    """Two matrices in one buffer, the second some elements after the first."""
    buffer = np.ones(rows * columns + by)
    return buffer[:-by].reshape(rows, columns), buffer[by:].reshape(rows, columns)


class Call:
    """Arguments of a call; arrays anywhere in them are watched."""

    def __init__(self, *args, **options):
        self.args = args
        self.options = options

    def arrays(self):
        for value in (*self.args, *self.options.values()):
            for a in value if isinstance(value, tuple) else (value,):
                if isinstance(a, np.ndarray):
                    yield a


BAD: list = []


def bad(function: Callable, what: str, error: type, message: str, *args, **options):
    """Add a call: `message` is a regular expression that the text after the function's name begins with."""
    call = args[0] if args and isinstance(args[0], Call) else Call(*args, **options)
    BAD.append(pytest.param(function, error, message, call, id=f"{function.__name__}: {what}"))


def overlapping(function, name, call_with_out, same=False):
    """Add calls whose argument `name` is x, for `call_with_out(x, out)`; `same`: out may be that argument itself."""
    itself = f", or {name} itself" if same else ""
    message = rf"out\S* overlaps {name}; wanted memory of its own{itself}$"
    bad(function, f"out over {name}", ValueError, message, call_with_out(*shifted(4, 3)))
    if not same:
        x = ones(4, 3)
        bad(function, f"out is {name}", ValueError, message, call_with_out(x, x))
