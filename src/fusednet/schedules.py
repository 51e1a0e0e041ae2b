"""Learning rates as functions of the optimizer's step.

Reads errors.py; read by optimizers.py and io.py, which stores them.

a) A schedule takes an array of steps and gives an array of rates, so that the engine has the rates of many steps before
   it starts on them, and Python is not asked at each. Steps count from 0.
b) Formulas, argument names and edges are those of the stated source, Keras or PyTorch. After its last step a schedule
   keeps its last rate.
c) A user's function is called with an int for each step, ahead of it and for none behind the training's last. One that
   is stopped before (a time limit, Ctrl-C, `stop_training`) may have asked for some steps that it does not make. It is
   called once more for a rate that is shown; what it gives is checked.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fusednet import errors


def _check(schedule, **ranges) -> None:
    # name=(low, high, open_low): the field becomes a float in that range.
    for name, (low, high, open_low) in ranges.items():
        value = errors.real(type(schedule).__name__, name, getattr(schedule, name), low, high, open_low=open_low)
        object.__setattr__(schedule, name, value)


def _count(schedule, name: str, low: int) -> None:
    value = errors.integer(type(schedule).__name__, name, getattr(schedule, name), low)
    object.__setattr__(schedule, name, value)


_RATE = (0, math.inf, True)
_FACTOR = (0, math.inf, True)
_SHARE = (0, 1, False)


class Schedule:
    """What all schedules have: they are called with steps."""

    def __call__(self, step) -> np.ndarray:
        """Learning rates at steps.

        Parameters
        ----------
        step : array_like of int64
            Steps of the optimizer, the first is 0.

        Returns
        -------
        ndarray of float64, shape of step
        """
        step = np.asarray(step, np.int64)
        return np.asarray(self.rate(step), np.float64)

    def rate(self, step: np.ndarray) -> np.ndarray:
        """The formula; `step` is int64."""
        raise NotImplementedError(f"{type(self).__name__} has no rate(step)")

    def after(self, step: np.ndarray) -> np.ndarray:
        """The rates that are shown when so many steps are made: those of the next ones."""
        return self(step)


@dataclass(frozen=True)
class Constant(Schedule):
    """The same rate at every step.

    Parameters
    ----------
    learning_rate : float
        Above 0.
    """

    learning_rate: float

    def __post_init__(self):
        _check(self, learning_rate=_RATE)

    def rate(self, step):
        return np.full(step.shape, self.learning_rate)


@dataclass(frozen=True)
class StepDecay(Schedule):
    """``initial_learning_rate gamma^floor(step / step_size)``, as PyTorch's StepLR.

    Parameters
    ----------
    initial_learning_rate : float
        Above 0.
    step_size : int
        Steps between two changes; 1 or more.
    gamma : float, default 0.1
        What the rate is multiplied by; above 0.
    """

    initial_learning_rate: float
    step_size: int
    gamma: float = 0.1

    def __post_init__(self):
        _check(self, initial_learning_rate=_RATE, gamma=_FACTOR)
        _count(self, "step_size", 1)

    def rate(self, step):
        return self.initial_learning_rate * self.gamma ** (step // self.step_size).astype(np.float64)


@dataclass(frozen=True)
class PiecewiseConstant(Schedule):
    """``values[i]`` where i boundaries lie below the step, as Keras's PiecewiseConstantDecay.

    So ``values[0]`` up to and at step ``boundaries[0]``, ``values[1]`` from the step after it, and so on.

    Parameters
    ----------
    boundaries : sequence of int, length k
        Rising steps, 0 or more.
    values : sequence of float, length k + 1
        Rates, 0 or more.
    """

    boundaries: tuple[int, ...]
    values: tuple[float, ...]

    def __post_init__(self):
        where = "PiecewiseConstant"
        for name in ("boundaries", "values"):
            if isinstance(getattr(self, name), str) or not hasattr(getattr(self, name), "__iter__"):
                raise TypeError(f"{where}: {name} is {getattr(self, name)!r}; wanted a list")
        boundaries = tuple(errors.integer(where, f"boundaries[{i}]", b, 0) for i, b in enumerate(self.boundaries))
        values = tuple(errors.real(where, f"values[{i}]", v, 0) for i, v in enumerate(self.values))
        if len(values) != len(boundaries) + 1:
            raise ValueError(
                f"{where}: there are {len(boundaries)} boundaries and {len(values)} values; wanted one value more than "
                "boundaries"
            )
        for i, (low, high) in enumerate(itertools.pairwise(boundaries), 1):
            if high <= low:
                raise ValueError(f"{where}: boundaries[{i}] is {high}; wanted more than the {low} before it")
        object.__setattr__(self, "boundaries", boundaries)
        object.__setattr__(self, "values", values)

    def rate(self, step):
        boundaries = np.array(self.boundaries, np.int64)
        return np.array(self.values)[np.searchsorted(boundaries, step, side="left")]


@dataclass(frozen=True)
class ExponentialDecay(Schedule):
    """``initial_learning_rate decay_rate^(step / decay_steps)``, as Keras's.

    Parameters
    ----------
    initial_learning_rate : float
        Above 0.
    decay_steps : int
        Steps in which the rate is multiplied by `decay_rate` once; 1 or more.
    decay_rate : float
        Above 0.
    staircase : bool, default False
        Whether ``step / decay_steps`` is rounded down.
    """

    initial_learning_rate: float
    decay_steps: int
    decay_rate: float
    staircase: bool = False

    def __post_init__(self):
        _check(self, initial_learning_rate=_RATE, decay_rate=_FACTOR)
        _count(self, "decay_steps", 1)
        object.__setattr__(self, "staircase", errors.boolean("ExponentialDecay", "staircase", self.staircase))

    def rate(self, step):
        exponent = (step // self.decay_steps).astype(np.float64) if self.staircase else step / self.decay_steps
        return self.initial_learning_rate * self.decay_rate**exponent


@dataclass(frozen=True)
class CosineDecay(Schedule):
    """Half a cosine from a rate r down to ``alpha r``, after a linear warm-up, as Keras's (Loshchilov & Hutter 2017).

    In the first `warmup_steps` steps ``initial_learning_rate + (warmup_target - initial_learning_rate) step /
    warmup_steps``; then, t steps later, ``r ((1 - alpha) (1 + cos(pi min(t / decay_steps, 1))) / 2 + alpha)``, where r
    is `warmup_target`, or `initial_learning_rate` without one.

    Parameters
    ----------
    initial_learning_rate : float
        0 or more; above 0 without a `warmup_target`.
    decay_steps : int
        Steps of the cosine; 1 or more.
    alpha : float, default 0
        Share of the rate that is left; in [0, 1].
    warmup_steps : int, default 0
    warmup_target : float, optional
        Rate after the warm-up; above 0. Wanted where `warmup_steps` is above 0.
    """

    initial_learning_rate: float
    decay_steps: int
    alpha: float = 0.0
    warmup_steps: int = 0
    warmup_target: float | None = None

    def __post_init__(self):
        _check(self, initial_learning_rate=(0, math.inf, self.warmup_target is None), alpha=_SHARE)
        _count(self, "decay_steps", 1)
        _count(self, "warmup_steps", 0)
        if self.warmup_target is not None:
            _check(self, warmup_target=_RATE)
        elif self.warmup_steps:
            raise ValueError(
                f"CosineDecay: warmup_steps is {self.warmup_steps}, but warmup_target is None; wanted the rate that "
                "the warm-up leads to"
            )

    def rate(self, step):
        start = 0 if self.warmup_target is None else self.warmup_steps
        top = self.initial_learning_rate if self.warmup_target is None else self.warmup_target
        done = np.clip((step - start) / self.decay_steps, 0.0, 1.0)
        cosine = 0.5 * (1.0 + np.cos(np.pi * done))
        rate = top * ((1.0 - self.alpha) * cosine + self.alpha)
        if start:
            rising = self.initial_learning_rate + (top - self.initial_learning_rate) * (step / start)
            rate = np.where(step < start, rising, rate)
        return rate


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Up from ``max_learning_rate / div_factor``, then down, as PyTorch's OneCycleLR in two phases.

    From Smith & Topin 2018. The rate is `max_learning_rate` at step ``pct_start total_steps - 1``, and at the last,
    ``total_steps - 1``, it is ``max_learning_rate / (div_factor final_div_factor)``, which later steps keep; with
    ``pct_start=1`` there is no way down, and they keep `max_learning_rate`.

    Parameters
    ----------
    max_learning_rate : float
        Above 0.
    total_steps : int
        2 or more.
    pct_start : float, default 0.3
        Share of the steps in which the rate rises; in [0, 1].
    div_factor : float, default 25
    final_div_factor : float, default 1e4
        Above 0.
    anneal : {"cos", "linear"}, default "cos"
        The curve between two rates.
    """

    max_learning_rate: float
    total_steps: int
    pct_start: float = 0.3
    div_factor: float = 25.0
    final_div_factor: float = 1e4
    anneal: str = "cos"

    def __post_init__(self):
        _check(self, max_learning_rate=_RATE, pct_start=_SHARE, div_factor=_FACTOR, final_div_factor=_FACTOR)
        _count(self, "total_steps", 2)
        if self.anneal not in ("cos", "linear"):
            raise errors.unknown("OneCycle", "anneal", self.anneal, ("cos", "linear"))

    def _between(self, start: float, end: float, share: np.ndarray) -> np.ndarray:
        if self.anneal == "linear":
            return start + (end - start) * share
        return end + (start - end) / 2.0 * (1.0 + np.cos(np.pi * share))

    def rate(self, step):
        top, last = self.max_learning_rate, self.total_steps - 1
        first = top / self.div_factor
        peak = self.pct_start * self.total_steps - 1.0  # not always a whole step
        if peak >= last:
            down = np.full(step.shape, top)
        else:
            down = self._between(top, first / self.final_div_factor, (np.minimum(step, last) - peak) / (last - peak))
        if peak <= 0:
            return down
        return np.where(step <= peak, self._between(first, top, step / peak), down)


@dataclass(frozen=True)
class Custom(Schedule):
    """A user's function.

    Parameters
    ----------
    function : callable
        Takes a step (an int) and gives the rate at it, a finite number of at least 0.
    """

    function: Callable[[int], float]

    def __post_init__(self):
        if not callable(self.function):
            raise TypeError(f"Custom: function is {self.function!r}; wanted a function of the step")

    def after(self, step):
        """The last step's, because there may be no next one for the function to know."""
        return self(np.maximum(step - 1, 0))

    def rate(self, step):
        rates = [self._one(int(s)) for s in step.ravel()]
        return np.array(rates, np.float64).reshape(step.shape)

    def _one(self, step: int) -> float:
        rate = self.function(step)
        if isinstance(rate, np.ndarray) and rate.size == 1:
            rate = rate.item()
        name = getattr(self.function, "__name__", type(self.function).__name__)
        return errors.real(f"learning_rate at step {step}", f"{name}({step})", rate, 0)


SCHEDULES: dict[str, type[Schedule]] = {
    cls.__name__: cls
    for cls in (Constant, StepDecay, PiecewiseConstant, ExponentialDecay, CosineDecay, OneCycle)
}
"""The schedules that can be written down, by name."""


def resolve(value, where: str = "optimizer") -> Schedule:
    """What a user said of a learning rate as a `Schedule`.

    Parameters
    ----------
    value : float, Schedule or callable
        A number above 0, a schedule, or a function from a step (an int) to a rate.
    where : str
        Who was told, for the message.

    Returns
    -------
    Schedule

    Raises
    ------
    ValueError
        If a number is not above 0, or is not finite.
    TypeError
        If it is none of these.
    """
    if isinstance(value, Schedule):
        return value
    if callable(value) and not isinstance(value, type):
        return Custom(value)
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    try:
        return Constant(errors.real(where, "learning_rate", value, 0, open_low=True))
    except TypeError:
        raise TypeError(
            f"{where}: learning_rate is {value!r}; wanted a number above 0, a schedule "
            f"({', '.join(SCHEDULES)}), or a function of the step"
        ) from None
