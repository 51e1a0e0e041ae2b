"""The book's optimizers: ``update(params, grads)`` on dictionaries of arrays, in place, one kernel call for each array,
or one for all, where they lie in one vector.

Reads _arrays.py, _weights.py, the kernels (fusednet.backends); read by trainer.py and by users.

a) State is the book's: `v`, `h`, `m` are dictionaries like params, made at the first update; `iter` counts.
b) Numbers in place of arrays (the two-dimensional toy problems) go by the same formulas in Python.
c) `Nesterov` is the book's, which moves by the new velocity where Bengio et al. 2012 have the old one.
"""

import math
import numbers

import numpy as np

from fusednet import backends
from fusednet.book._arrays import F32, F64
from fusednet.book._weights import Weights

_INF = math.inf
_TINY = 1e-7  # added to a root before it divides


def _flat(array, dtype):
    """An array as one row for a kernel; None where it cannot be one without a copy."""
    if type(array) is np.ndarray and array.dtype is dtype and array.flags.c_contiguous:
        return array if array.ndim == 1 else array.reshape(-1)
    return None


class _Optimizer:
    """Goes through the arrays; the rules are the subclasses'."""

    _states: tuple[str, ...] = ()

    def update(self, params, grads):
        """Take a step: change the arrays of `params` in place by those of `grads`.

        Parameters
        ----------
        params : dict
            Arrays of floats, any shape, or numbers (which are replaced); any keys.
        grads : dict
            The same keys; further ones are not used.

        Raises
        ------
        KeyError, ValueError, TypeError
            If a gradient is missing, has another shape or holds no numbers, a parameter holds no floats or is none that
            the first update had; nothing has been changed then.
        """
        packed = type(params) is Weights and params.whole()
        one = packed and isinstance(grads, Weights) and grads.layout is params.layout and grads.whole()
        if not one:
            # one state stands for all: the first update makes them with the same keys and shapes
            self._check(params, grads, getattr(self, self._states[0]) if self._states else None)
        for name in self._states:
            if getattr(self, name) is None:
                zeros = params.like(0) if packed else {key: np.zeros_like(value) for key, value in params.items()}
                setattr(self, name, zeros)
        states = [getattr(self, name) for name in self._states]
        table, arguments = backends.current(), self._numbers()
        if one and all(type(s) is Weights and s.layout is params.layout and s.whole() for s in states):
            self._step(table, params.vector, [s.vector for s in states], grads.vector, *arguments)
            return
        for key, value in params.items():
            if type(value) is np.ndarray:
                dtype = value.dtype
                if dtype is F64 or dtype is F32 or dtype in (F64, F32):
                    dtype = F64 if dtype is F64 or dtype == F64 else F32
                    self._update_array(table, key, value, grads[key], states, arguments, dtype)
                    continue
            self._update_plain(params, key, grads[key], states, arguments)

    def _check(self, params, grads, state) -> None:
        """Raise where an update would fail, before it changes anything."""
        array = np.ndarray
        for key, value in params.items():
            if key in grads and type(value) is array is type(gradient := grads[key]):
                shape, dtype = value.shape, value.dtype
                if (dtype.kind == "f" and gradient.shape == shape and value.flags.writeable
                        and (gradient.dtype is dtype or gradient.dtype.kind in "biuf")
                        and (state is None or (type(held := state.get(key)) is array and held.shape == shape))):
                    continue  # what most ever are: no more is looked at
            self._check_one(key, value, grads, state)

    def _check_one(self, key, value, grads, state) -> None:
        where = type(self).__name__
        if key not in grads:
            raise KeyError(f"{where}: params has {key!r}, grads has not; wanted a gradient for each")
        gradient = grads[key]
        if np.asarray(gradient).dtype.kind not in "biuf":
            raise TypeError(f"{where}: grads[{key!r}] is {gradient!r}; wanted numbers")
        if not isinstance(value, np.ndarray):
            if not isinstance(value, numbers.Real):
                raise TypeError(f"{where}: params[{key!r}] is {value!r}; wanted an array of floats or a number")
            if np.size(gradient) != 1:
                raise ValueError(f"{where}: grads[{key!r}] has shape {np.shape(gradient)}; wanted a number, as "
                                 f"params[{key!r}]")
        elif value.dtype.kind != "f":
            raise TypeError(f"{where}: params[{key!r}] has dtype {value.dtype}; wanted floats")
        elif not value.flags.writeable:
            raise ValueError(f"{where}: params[{key!r}] is read-only; wanted an array to write to")
        elif np.shape(gradient) != value.shape:
            raise ValueError(f"{where}: grads[{key!r}] has shape {np.shape(gradient)}; wanted {value.shape}, as "
                             f"params[{key!r}]")
        if state is None:
            return
        if key not in state:
            raise KeyError(f"{where}: params has {key!r}, which the first update had not; wanted the same keys")
        if np.shape(state[key]) != np.shape(value):
            raise ValueError(f"{where}: params[{key!r}] has shape {np.shape(value)}, at the first update it had "
                             f"{np.shape(state[key])}; wanted the same each time")

    def _update_array(self, table, key, value, gradient, states, arguments, dtype) -> None:
        p = _flat(value, dtype)
        copied = p is None
        if copied:
            p = np.array(value, dtype, order="C").reshape(-1)
        g = _flat(gradient, dtype)
        if g is None:
            g = np.array(gradient, dtype, order="C").reshape(-1)
        rows = []
        for state in states:
            row = _flat(state[key], dtype)
            if row is None:
                state[key] = np.array(state[key], dtype, order="C")
                row = state[key].reshape(-1)
            rows.append(row)
        self._step(table, p, rows, g, *arguments)
        if copied:
            value[...] = p.reshape(value.shape)

    def _update_plain(self, params, key, gradient, states, arguments) -> None:
        """The same by NumPy's float64, for numbers and for what kernels do not take."""
        value = params[key]
        p = np.array(value, np.float64).reshape(-1)
        g = np.array(gradient, np.float64).reshape(-1)
        rows = [np.array(state[key], np.float64).reshape(-1) for state in states]
        self._plain_step(p, rows, g, *arguments)
        if isinstance(value, np.ndarray):
            value[...] = p.reshape(value.shape)
        else:
            params[key] = p[0]
        for state, row in zip(states, rows, strict=True):
            state[key] = row.reshape(np.shape(value)) if np.ndim(value) else row[0]

    def _numbers(self) -> tuple:
        """What the rules take; called once for each update."""
        return (self.lr,)


class SGD(_Optimizer):
    """``p = p - lr g``.

    Parameters
    ----------
    lr : float, default 0.01
    """

    def __init__(self, lr=0.01):
        self.lr = lr

    def _step(self, table, p, rows, g, lr):
        table.sgd_step(p, g, lr, 0.0, 0.0, 1.0, _INF)

    def _plain_step(self, p, rows, g, lr):
        p -= lr * g


class Momentum(_Optimizer):
    """``v = momentum v - lr g, p = p + v`` (Polyak 1964).

    Parameters
    ----------
    lr : float, default 0.01
    momentum : float, default 0.9

    Attributes
    ----------
    v : dict or None
    """

    _states = ("v",)

    def __init__(self, lr=0.01, momentum=0.9):
        self.lr = lr
        self.momentum = momentum
        self.v = None

    def _numbers(self):
        return self.lr, self.momentum

    def _step(self, table, p, rows, g, lr, momentum):
        table.momentum_step(p, rows[0], g, lr, momentum, 0.0, 0.0, 1.0, _INF)

    def _plain_step(self, p, rows, g, lr, momentum):
        v = rows[0]
        v *= momentum
        v -= lr * g
        p += v


class Nesterov(Momentum):
    """``v = momentum v - lr g, p = p + momentum^2 v - (1 + momentum) lr g``, as the book has it.

    Bengio et al. 2012 (arXiv 1212.0901) have the v of before the step in the second formula.

    Parameters
    ----------
    lr : float, default 0.01
    momentum : float, default 0.9

    Attributes
    ----------
    v : dict or None
    """

    def _step(self, table, p, rows, g, lr, momentum):
        v = rows[0]
        table.sgd_step(v, g, lr, 0.0, 1.0 - momentum, 1.0, _INF)
        table.sgd_step(p, v, -momentum * momentum, 0.0, 0.0, 1.0, _INF)
        table.sgd_step(p, g, (1.0 + momentum) * lr, 0.0, 0.0, 1.0, _INF)

    def _plain_step(self, p, rows, g, lr, momentum):
        v = rows[0]
        v *= momentum
        v -= lr * g
        p += momentum * momentum * v
        p -= (1 + momentum) * lr * g


class AdaGrad(_Optimizer):
    """``h = h + g^2, p = p - lr g / (sqrt(h) + 1e-7)`` (Duchi et al. 2011).

    Parameters
    ----------
    lr : float, default 0.01

    Attributes
    ----------
    h : dict or None
    """

    _states = ("h",)

    def __init__(self, lr=0.01):
        self.lr = lr
        self.h = None

    def _step(self, table, p, rows, g, lr):
        table.adagrad_step(p, rows[0], g, lr, _TINY, 0.0, 0.0, 1.0, _INF)

    def _plain_step(self, p, rows, g, lr):
        h = rows[0]
        h += g * g
        p -= lr * g / (np.sqrt(h) + _TINY)


class RMSprop(_Optimizer):
    """``h = decay_rate h + (1 - decay_rate) g^2, p = p - lr g / (sqrt(h) + 1e-7)`` (Tieleman & Hinton 2012).

    Parameters
    ----------
    lr : float, default 0.01
    decay_rate : float, default 0.99

    Attributes
    ----------
    h : dict or None
    """

    _states = ("h",)

    def __init__(self, lr=0.01, decay_rate=0.99):
        self.lr = lr
        self.decay_rate = decay_rate
        self.h = None

    def _numbers(self):
        return self.lr, self.decay_rate

    def _step(self, table, p, rows, g, lr, decay_rate):
        table.rmsprop_step(p, rows[0], g, lr, decay_rate, _TINY, 0.0, 0.0, 1.0, _INF)

    def _plain_step(self, p, rows, g, lr, decay_rate):
        h = rows[0]
        h *= decay_rate
        h += (1 - decay_rate) * g * g
        p -= lr * g / (np.sqrt(h) + _TINY)


class Adam(_Optimizer):
    """Adam with 1e-7 outside of the bias correction (Kingma & Ba 2015, the form at the end of section 2).

    ``m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2``; at step t
    ``p = p - lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + 1e-7)``.

    Parameters
    ----------
    lr : float, default 0.001
    beta1, beta2 : float, default 0.9 and 0.999

    Attributes
    ----------
    iter : int
        Steps taken.
    m, v : dict or None
    """

    _states = ("m", "v")

    def __init__(self, lr=0.001, beta1=0.9, beta2=0.999):
        self.lr = lr
        self.beta1 = beta1
        self.beta2 = beta2
        self.iter = 0
        self.m = None
        self.v = None

    def _numbers(self):
        self.iter += 1
        rate = self.lr * np.sqrt(1.0 - self.beta2**self.iter) / (1.0 - self.beta1**self.iter)
        return float(rate), self.beta1, self.beta2

    def _step(self, table, p, rows, g, rate, beta1, beta2):
        table.adam_step(p, rows[0], rows[1], g, rate, beta1, beta2, _TINY, 1.0, 0.0, 0.0, 1.0, _INF)

    def _plain_step(self, p, rows, g, rate, beta1, beta2):
        m, v = rows
        m += (1 - beta1) * (g - m)
        v += (1 - beta2) * (g**2 - v)
        p -= rate * m / (np.sqrt(v) + _TINY)
