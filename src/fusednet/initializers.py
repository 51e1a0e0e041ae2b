"""First values of weights.

Reads errors.py; read by spec.py, memory.py, which draws them, and io.py, which stores them.

a) Names stand for objects (`NAMES`), so there is one way to draw. "auto" alone depends on the activation that follows.
b) Values are drawn in float64 and then converted: a float32 and a float64 network of the same seed start equal.
c) `fill` draws some thousands of values at a time, where they do not depend on each other: the same values, without an
   array as large as a kernel, or two.
d) The fans are those of a kernel of shape (inputs, outputs), ``y = x W``; a vector's are its length, as in Keras.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fusednet import errors

_TRUNCATED_STD = 0.87962566103423978
# Standard deviation of a standard normal variable cut off at -2 and 2; Keras divides by this number.

_BLOCK = 1 << 16
# Values that `fill` draws at a time.

_RELU_LIKE = frozenset({"relu", "leaky_relu", "elu", "selu", "swish", "gelu", "gelu_tanh", "softplus"})
# Before these "auto" is He's: they let about half of the variance through.


class Initializer:
    """What all initializers have: they draw an array."""

    def __call__(self, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
        """Draw.

        Parameters
        ----------
        shape : tuple of int
        rng : numpy.random.Generator

        Returns
        -------
        ndarray of float64
        """
        raise NotImplementedError(f"{type(self).__name__} cannot draw")

    def each(self, shape: tuple[int, ...]) -> "Initializer | None":
        """What draws the values of an array of this shape one by one, each from the next random numbers; None: they
        are drawn together."""
        return None


def _check(initializer, name: str, low: float = -math.inf, *, open_low: bool = False) -> None:
    value = errors.real(type(initializer).__name__, name, getattr(initializer, name), low, open_low=open_low)
    object.__setattr__(initializer, name, value)


@dataclass(frozen=True)
class Constant(Initializer):
    """The same value everywhere.

    Parameters
    ----------
    value : float, default 0
    """

    value: float = 0.0

    def __post_init__(self):
        _check(self, "value")

    def __call__(self, shape, rng):
        return np.full(shape, self.value)


@dataclass(frozen=True)
class RandomNormal(Initializer):
    """Normal values of mean 0.

    Parameters
    ----------
    stddev : float, default 0.05
        Standard deviation; 0 or more.
    """

    stddev: float = 0.05

    def __post_init__(self):
        _check(self, "stddev", 0)

    def __call__(self, shape, rng):
        return self.stddev * rng.standard_normal(shape)

    def each(self, shape):
        return self


@dataclass(frozen=True)
class RandomUniform(Initializer):
    """Uniform values in [-limit, limit).

    Parameters
    ----------
    limit : float, default 0.05
        0 or more.
    """

    limit: float = 0.05

    def __post_init__(self):
        _check(self, "limit", 0)

    def __call__(self, shape, rng):
        values = rng.random(shape)
        values *= 2.0
        values -= 1.0
        values *= self.limit
        return values

    def each(self, shape):
        return self


def fans(shape: tuple[int, ...]) -> tuple[int, int]:
    """Number of inputs and of outputs of weights of this shape, each at least 1."""
    if not shape:
        return 1, 1
    return max(shape[0], 1), max(shape[-1], 1)


@dataclass(frozen=True)
class VarianceScaling(Initializer):
    """Values of mean 0 and variance ``scale / fan``, as Keras's.

    Parameters
    ----------
    scale : float, default 1
        Above 0.
    mode : {"fan_in", "fan_out", "fan_avg"}, default "fan_in"
        Number of inputs, of outputs, or their mean.
    distribution : {"truncated_normal", "untruncated_normal", "uniform"}, default "truncated_normal"
        Truncated: of a normal distribution, drawn again where further than twice its standard deviation from 0, and
        widened such that the variance is as said.
    """

    scale: float = 1.0
    mode: str = "fan_in"
    distribution: str = "truncated_normal"

    def __post_init__(self):
        _check(self, "scale", 0, open_low=True)
        for name, known in (
            ("mode", ("fan_in", "fan_out", "fan_avg")),
            ("distribution", ("truncated_normal", "untruncated_normal", "uniform")),
        ):
            if getattr(self, name) not in known:
                raise errors.unknown("VarianceScaling", name, getattr(self, name), known)

    def _std(self, shape) -> float:
        into, out = fans(shape)
        return math.sqrt(self.scale / {"fan_in": into, "fan_out": out, "fan_avg": (into + out) / 2}[self.mode])

    def each(self, shape):
        if self.distribution == "truncated_normal":
            return None
        std = self._std(shape)
        return RandomUniform(math.sqrt(3.0) * std) if self.distribution == "uniform" else RandomNormal(std)

    def __call__(self, shape, rng):
        each = self.each(shape)
        if each is not None:
            return each(shape, rng)
        values = rng.standard_normal(math.prod(shape))
        while (outside := np.flatnonzero(np.abs(values) > 2.0)).size:
            values[outside] = rng.standard_normal(outside.size)
        return (self._std(shape) / _TRUNCATED_STD) * values.reshape(shape)


@dataclass(frozen=True)
class Custom(Initializer):
    """A user's function.

    Parameters
    ----------
    function : callable
        Takes a shape and a numpy.random.Generator and gives an array of that shape, of finite numbers.
    """

    function: Callable

    def __post_init__(self):
        if not callable(self.function):
            raise TypeError(f"Custom: function is {self.function!r}; wanted a function of a shape and a generator")

    def __call__(self, shape, rng):
        name = getattr(self.function, "__name__", type(self.function).__name__)
        values = np.asarray(self.function(shape, rng))
        if values.dtype.kind not in "fiu":
            raise TypeError(f"initializer {name}: gave an array of dtype {values.dtype}; wanted numbers")
        if values.shape != tuple(shape):
            raise ValueError(f"initializer {name}: gave an array of shape {values.shape}; wanted {tuple(shape)}")
        if not np.isfinite(values).all():
            raise ValueError(f"initializer {name}: gave NaN or infinity; wanted finite numbers")
        return values.astype(np.float64)


NAMES: dict[str, Initializer] = {
    "zeros": Constant(0.0),
    "ones": Constant(1.0),
    "normal": RandomNormal(0.01),
    "xavier": VarianceScaling(1.0, "fan_in", "untruncated_normal"),
    "he": VarianceScaling(2.0, "fan_in", "untruncated_normal"),
    "glorot_uniform": VarianceScaling(1.0, "fan_avg", "uniform"),
    "glorot_normal": VarianceScaling(1.0, "fan_avg", "truncated_normal"),
    "he_uniform": VarianceScaling(2.0, "fan_in", "uniform"),
    "he_normal": VarianceScaling(2.0, "fan_in", "truncated_normal"),
    "lecun_uniform": VarianceScaling(1.0, "fan_in", "uniform"),
    "lecun_normal": VarianceScaling(1.0, "fan_in", "truncated_normal"),
}
"""The initializers by name, but "auto". "xavier" and "he" are plain normal distributions; the others are Keras's of
these names (Glorot & Bengio 2010, He et al. 2015, LeCun et al. 1998)."""


def resolve(initializer, activation: str = "linear", *, where: str = "Dense", name: str = "initializer") -> Initializer:
    """What a user said of first values as an `Initializer`.

    Parameters
    ----------
    initializer : str, float, Initializer or callable
        "auto" or one of `NAMES`; a number, which is the standard deviation of normal values; an object; or a function
        (shape, rng) -> array.
    activation : str, default "linear"
        Name of the activation that follows, for "auto": He's before ReLU-like ones, else Xavier's.
    where, name : str
        Who was told, and as which argument, for the message.

    Returns
    -------
    Initializer

    Raises
    ------
    ValueError
        If the name is unknown; the known ones are listed. If the number is negative or not finite.
    TypeError
        If it is none of these.
    """
    if isinstance(initializer, Initializer):
        return initializer
    if isinstance(initializer, str):
        if initializer == "auto":
            return NAMES["he" if activation in _RELU_LIKE else "xavier"]
        if initializer not in NAMES:
            raise errors.unknown(where, name, initializer, ("auto", *NAMES))
        return NAMES[initializer]
    if isinstance(initializer, type) and issubclass(initializer, Initializer):
        wanted = "an object, like RandomNormal(0.1)"
        raise TypeError(f"{where}: {name} is the class {initializer.__name__}; wanted {wanted}")
    if callable(initializer):
        return Custom(initializer)
    try:
        return RandomNormal(errors.real(where, name, initializer, 0))
    except TypeError:
        raise TypeError(
            f"{where}: {name} is {initializer!r}; wanted a name ({', '.join(('auto', *NAMES))}), a number (the "
            "standard deviation), an object like RandomNormal(0.1), or a function (shape, rng) -> array"
        ) from None


def draw(initializer, shape, rng: np.random.Generator, activation: str = "linear", dtype=np.float32) -> np.ndarray:
    """First values of one array of weights.

    Parameters
    ----------
    initializer
        See `resolve`.
    shape : tuple of int
        (inputs, outputs) of a kernel, or (columns,).
    rng : numpy.random.Generator
        Goes on by as many numbers as are drawn.
    activation : str, default "linear"
        Name of the activation that follows.
    dtype : dtype, default float32
        Of the result; numbers are drawn in float64 whatever it is.

    Returns
    -------
    ndarray of dtype, of that shape, C-contiguous

    Raises
    ------
    ValueError, TypeError
        As `resolve`, and if a user's function gives another shape, or what is not a finite number.
    """
    shape = tuple(int(size) for size in shape)
    return np.ascontiguousarray(resolve(initializer, activation)(shape, rng), dtype=dtype).reshape(shape)


def fill(out: np.ndarray, initializer, rng: np.random.Generator, activation: str = "linear") -> None:
    """Write first values into an array: those of `draw`, to the bit.

    Parameters
    ----------
    out : ndarray
        (inputs, outputs) of a kernel, or (columns,); C-contiguous, writable.
    initializer, rng, activation
        As for `draw`.

    Raises
    ------
    ValueError, TypeError
        As `draw`.
    """
    if not (out.flags.c_contiguous and out.flags.writeable):
        raise ValueError("fill: out is not C-contiguous and writable; wanted an array that is, or draw")
    each = resolve(initializer, activation).each(out.shape)
    if each is None:
        out[...] = draw(initializer, out.shape, rng, activation, out.dtype)
        return
    values = out.reshape(-1)
    for begin in range(0, values.size, _BLOCK):
        block = values[begin : begin + _BLOCK]
        block[...] = each(block.shape, rng)
