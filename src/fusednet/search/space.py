"""What a search may try: numbers of a range, on a linear or a logarithmic scale, or one of several values.

Reads errors.py; read by the searches and by plot.py.

a) A scale is where sampling is uniform: learning rates and widths are tried evenly by their order of magnitude.
b) Everything is frozen: narrowing a range makes another one.
"""

import math
from dataclasses import dataclass

import numpy as np

from fusednet import errors


@dataclass(frozen=True)
class Float:
    """Real numbers from `low` to `high`.

    Parameters
    ----------
    low, high : float
    log : bool, default False
        Whether the logarithm is sampled evenly; both ends are then above 0.

    Raises
    ------
    ValueError
        If `high` is not above `low`, or an end is not above 0 on a logarithmic scale.
    """

    low: float
    high: float
    log: bool = False

    def __post_init__(self):
        _check_range(self, "Float", errors.real)
        if self.low == self.high:
            raise ValueError(f"Float: low and high are both {self.low:g}; wanted a range (a single value goes to the "
                             "function that builds)")

    def sample(self, rng: np.random.Generator) -> float:
        """A number at random."""
        return self.at(rng.random())

    def at(self, share: float) -> float:
        """The number at this share of the way from `low` to `high`, on the scale."""
        low, high = self.scaled(self.low), self.scaled(self.high)
        value = low + share * (high - low)
        return float(min(max(math.exp(value) if self.log else value, self.low), self.high))

    def scaled(self, value: float) -> float:
        """The number's place on the scale."""
        return math.log(value) if self.log else float(value)

    def within(self, low: float, high: float) -> "Float":
        """The part of the range between two places on the scale."""
        low, high = (math.exp(low), math.exp(high)) if self.log else (low, high)
        low, high = max(self.low, low), min(self.high, high)
        return Float(low, high, self.log) if low < high else self  # so narrow that rounding leaves nothing of it


@dataclass(frozen=True)
class Int:
    """Whole numbers from `low` to `high`, both included.

    Parameters
    ----------
    low, high : int
    log : bool, default False
        Whether the logarithm is sampled evenly; both ends are then 1 or more.

    Raises
    ------
    ValueError
        If `high` is below `low`, or an end is below 1 on a logarithmic scale.
    """

    low: int
    high: int
    log: bool = False

    def __post_init__(self):
        _check_range(self, "Int", errors.integer)

    def sample(self, rng: np.random.Generator) -> int:
        """A number at random."""
        if not self.log:
            return int(rng.integers(self.low, self.high + 1))
        low, high = math.log(self.low - 0.5), math.log(self.high + 0.5)  # the ends are as likely as their neighbours
        return min(max(round(math.exp(rng.uniform(low, high))), self.low), self.high)

    def scaled(self, value: float) -> float:
        """The number's place on the scale."""
        return math.log(value) if self.log else float(value)

    def within(self, low: float, high: float) -> "Int":
        """The part of the range between two places on the scale, rounded outwards."""
        low, high = (math.exp(low), math.exp(high)) if self.log else (low, high)
        low, high = max(self.low, math.floor(low + 1e-9)), min(self.high, math.ceil(high - 1e-9))
        return Int(low, high, self.log) if low <= high else self  # logarithms of such numbers are all the same


@dataclass(frozen=True)
class Choice:
    """One of several values of any kind.

    Parameters
    ----------
    values : sequence

    Raises
    ------
    ValueError
        If there are none, or one is there twice.
    """

    values: tuple

    def __post_init__(self):
        if isinstance(self.values, str) or not isinstance(self.values, (list, tuple, np.ndarray, range)):
            raise TypeError(f"Choice: values is {self.values!r}; wanted a list of values")
        values = tuple(value.item() if isinstance(value, np.generic) else value for value in self.values)
        if not values:
            raise ValueError("Choice: there are no values; wanted at least one")
        for i, value in enumerate(values):
            if any(same(value, other) for other in values[:i]):
                raise ValueError(f"Choice: {value!r} is there twice; wanted each value once")
        object.__setattr__(self, "values", values)

    def sample(self, rng: np.random.Generator):
        """A value at random."""
        return self.values[int(rng.integers(len(self.values)))]


def same(a, b) -> bool:
    """Whether two values are one choice: 1 and True are not, two NaN are."""
    if type(a) is not type(b) or a is b:
        return a is b
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind in "fc")
    if isinstance(a, float) and math.isnan(a):
        return math.isnan(b)
    try:
        return bool(a == b)
    except ValueError:  # of what has arrays in it
        return False


def _check_range(given, name: str, convert) -> None:
    low, high = (convert(name, end, getattr(given, end)) for end in ("low", "high"))
    if high < low:
        raise ValueError(f"{name}: low is {low:g}, high is {high:g}; wanted low below high (the range is upside down)")
    least = 1 if name == "Int" else 0
    if errors.boolean(name, "log", given.log) and (low < least or low <= 0):
        raise ValueError(f"{name}: low is {low:g} on a logarithmic scale; wanted "
                         f"{'1 or more' if least else 'a number above 0'}")
    object.__setattr__(given, "low", low)
    object.__setattr__(given, "high", high)


COLUMNS = ("number", "round", "score", "state", "seconds")
"""Of a table of results, before the hyperparameters."""


def checked(space) -> dict[str, Float | Int | Choice]:
    """A space of the user's; a list of values is a `Choice`.

    Raises
    ------
    TypeError
        If it is not a dict of such by name.
    ValueError
        If it is empty, or has the name of a column of the results.
    """
    if not isinstance(space, dict):
        raise TypeError(f"search: space is {type(space).__name__}; wanted a dict of Float, Int, Choice or lists by "
                        "name")
    if not space:
        raise ValueError("search: the space is empty; wanted at least one hyperparameter to choose")
    made = {}
    for name, given in space.items():
        if not isinstance(name, str):
            raise TypeError(f"search: a name in the space is {name!r}; wanted text")
        if name in COLUMNS:
            raise ValueError(f"search: a name in the space is {name!r}, which is a column of the results; wanted "
                             "another name")
        if isinstance(given, tuple) and len(given) == 2 and all(isinstance(end, (int, float)) for end in given):
            raise TypeError(f"search: {name} is {given!r}, which could be a range or two values; wanted Float(low, "
                            "high), Int(low, high) or a list")
        try:
            made[name] = given if isinstance(given, (Float, Int, Choice)) else Choice(given)
        except (TypeError, ValueError) as error:
            raise type(error)(f"search: {name}: {error}") from None
    return made
