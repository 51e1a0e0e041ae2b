"""Optimizers in words: which kernel takes the step, with which numbers at which step.

Reads errors.py and schedules.py; read by planner.py, blocks.py, memory.py, io.py. Owns no array of parameters.

a) What changes from step to step is a few numbers (learning rate, bias corrections). `Optimizer.scalars` computes them
   for many steps at once; the engine copies them into the kernels' arguments, so that no Python runs per step.
b) Names and defaults are Keras's. Where the arithmetic of others differs it is an option (`Adam.epsilon_inside`).
"""

import math
from dataclasses import dataclass, field

import numpy as np

from fusednet import errors, schedules


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """What all optimizers have.

    Parameters
    ----------
    weight_decay : float, optional
        Decoupled (Loshchilov & Hutter 2019): each step multiplies all weights by ``1 - learning_rate * weight_decay``.
    clipnorm : float, optional
        The gradient of each weight array is scaled down to at most this L2 norm.
    global_clipnorm : float, optional
        The gradient of all weights together is (Pascanu et al. 2013).
    clipvalue : float, optional
        Each element of the gradient is cut to [-clipvalue, clipvalue], after clipping by norm.
    use_ema : bool, default False
        Keep an exponential moving average of the weights, ``average = m average + (1 - m) weight`` after each step, and
        put it in the weights' place at the end of ``fit``.
    ema_momentum : float, default 0.99
        m above; in [0, 1].
    """

    weight_decay: float | None = None
    clipnorm: float | None = None
    global_clipnorm: float | None = None
    clipvalue: float | None = None
    use_ema: bool = False
    ema_momentum: float = 0.99

    kernel = ""
    state = ()
    name = ""

    def __post_init__(self):
        where = type(self).__name__
        values = {"learning_rate": schedules.resolve(self.learning_rate)}
        if self.weight_decay is not None:
            values["weight_decay"] = errors.real(where, "weight_decay", self.weight_decay, 0)
        for name in ("clipnorm", "global_clipnorm", "clipvalue"):
            if getattr(self, name) is not None:
                values[name] = errors.real(where, name, getattr(self, name), 0, open_low=True)
        if self.clipnorm is not None and self.global_clipnorm is not None:
            raise ValueError(f"{where}: clipnorm and global_clipnorm are both given; wanted one of them")
        values["use_ema"] = errors.boolean(where, "use_ema", self.use_ema)
        values["ema_momentum"] = errors.real(where, "ema_momentum", self.ema_momentum, 0, 1)
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _check(self, **ranges) -> None:
        # name=(low, high, open_low, open_high)
        for name, (low, high, open_low, open_high) in ranges.items():
            value = errors.real(type(self).__name__, name, getattr(self, name), low, high, open_low=open_low,
                                open_high=open_high)
            object.__setattr__(self, name, value)

    def without_rate(self) -> "Optimizer":
        """The same with a learning rate of 1: all that a plan depends on."""
        copy = object.__new__(type(self))  # all else has been checked
        copy.__dict__.update(self.__dict__, learning_rate=_RATE_1)
        return copy

    def scalars(self, step: np.ndarray, rate: np.ndarray) -> dict[str, np.ndarray]:
        """The numbers of the steps, by name.

        Parameters
        ----------
        step : ndarray of int64
            Numbers of the steps, counted from 1.
        rate : ndarray of float64
            Learning rate at each.

        Returns
        -------
        dict of str to ndarray of float64
            "lr" and what else `arguments` names; "decay" is the learning rate times the weight decay.
        """
        return {"lr": rate, "decay": rate * (self.weight_decay or 0.0)}

    def initial(self, name: str) -> float:
        """First value of the state array `name`."""
        return 0.0

    def arguments(self) -> tuple:
        """The kernel's parameters from the learning rate on to those that all have; text names a scalar."""
        return ("lr",)


_RATE_1 = schedules.resolve(1.0)
_UNIT = (0, 1, False, True)
_POSITIVE = (0, math.inf, True, False)


@dataclass(frozen=True)
class SGD(Optimizer):
    """Gradient descent, ``w = w - lr g``; with momentum ``v = momentum v - lr g, w = w + v`` (Polyak 1964).

    Parameters
    ----------
    learning_rate : float or Schedule, default 0.01
    momentum : float, default 0
        In [0, 1).
    nesterov : bool, default False
        ``w = w + momentum v - lr g`` (Nesterov 1983, as in Sutskever et al. 2013).
    weight_decay, clipnorm, global_clipnorm, clipvalue, use_ema, ema_momentum
        Keywords: decay and clipping are off by default, so is the average of the weights; see `Optimizer`.
    """

    learning_rate: float | schedules.Schedule = 0.01
    momentum: float = 0.0
    nesterov: bool = field(default=False)
    name = "sgd"

    def __post_init__(self):
        super().__post_init__()
        self._check(momentum=_UNIT)
        object.__setattr__(self, "nesterov", errors.boolean("SGD", "nesterov", self.nesterov))
        if self.nesterov and not self.momentum:
            raise ValueError("SGD: nesterov is True, but momentum is 0; wanted a momentum above 0")

    @property
    def kernel(self) -> str:
        """The kernel that takes the step."""
        return "sgd_step" if not self.momentum else "nesterov_step" if self.nesterov else "momentum_step"

    @property
    def state(self) -> tuple[str, ...]:
        """Names of the arrays that it keeps for each weight array."""
        return ("v",) if self.momentum else ()

    def arguments(self) -> tuple:
        return ("lr", self.momentum) if self.momentum else ("lr",)


@dataclass(frozen=True)
class AdaGrad(Optimizer):
    """``v = v + g^2, w = w - lr g / (sqrt(v) + epsilon)`` (Duchi et al. 2011).

    Parameters
    ----------
    learning_rate : float or Schedule, default 0.001
    initial_accumulator_value : float, default 0.1
        First value of v; 0 or more.
    epsilon : float, default 1e-7
        Above 0.
    weight_decay, clipnorm, global_clipnorm, clipvalue, use_ema, ema_momentum
        Keywords: decay and clipping are off by default, so is the average of the weights; see `Optimizer`.
    """

    learning_rate: float | schedules.Schedule = 0.001
    initial_accumulator_value: float = 0.1
    epsilon: float = 1e-7
    kernel = "adagrad_step"
    state = ("v",)
    name = "adagrad"

    def __post_init__(self):
        super().__post_init__()
        self._check(initial_accumulator_value=(0, math.inf, False, False), epsilon=_POSITIVE)

    def initial(self, name: str) -> float:
        return self.initial_accumulator_value

    def arguments(self) -> tuple:
        return ("lr", self.epsilon)


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """``v = rho v + (1 - rho) g^2, w = w - lr g / (sqrt(v) + epsilon)`` (Tieleman & Hinton 2012).

    Parameters
    ----------
    learning_rate : float or Schedule, default 0.001
    rho : float, default 0.9
        In [0, 1).
    epsilon : float, default 1e-7
        Above 0; outside of the root, as in PyTorch (Keras has it inside).
    weight_decay, clipnorm, global_clipnorm, clipvalue, use_ema, ema_momentum
        Keywords: decay and clipping are off by default, so is the average of the weights; see `Optimizer`.
    """

    learning_rate: float | schedules.Schedule = 0.001
    rho: float = 0.9
    epsilon: float = 1e-7
    kernel = "rmsprop_step"
    state = ("v",)
    name = "rmsprop"

    def __post_init__(self):
        super().__post_init__()
        self._check(rho=_UNIT, epsilon=_POSITIVE)

    def arguments(self) -> tuple:
        return ("lr", self.rho, self.epsilon)


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam (Kingma & Ba 2015).

    ``m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) g^2``; at step t
    ``w = w - lr sqrt(1 - b2^t) / (1 - b1^t) m / (sqrt(v) + epsilon)``, the form at the end of the paper's section 2,
    which Keras has.

    Parameters
    ----------
    learning_rate : float or Schedule, default 0.001
    beta_1, beta_2 : float, default 0.9 and 0.999
        In [0, 1).
    epsilon : float, default 1e-7
        Above 0.
    epsilon_inside : bool, default False
        The form of the paper's algorithm 1, which PyTorch has: epsilon is added to the corrected root,
        ``w = w - lr / (1 - b1^t) m / (sqrt(v / (1 - b2^t)) + epsilon)``.
    weight_decay, clipnorm, global_clipnorm, clipvalue, use_ema, ema_momentum
        Keywords: decay and clipping are off by default, so is the average of the weights; see `Optimizer`.
    """

    learning_rate: float | schedules.Schedule = 0.001
    beta_1: float = 0.9
    beta_2: float = 0.999
    epsilon: float = 1e-7
    epsilon_inside: bool = False
    kernel = "adam_step"
    state = ("m", "v")
    name = "adam"

    def __post_init__(self):
        super().__post_init__()
        self._check(beta_1=_UNIT, beta_2=_UNIT, epsilon=_POSITIVE)
        inside = errors.boolean(type(self).__name__, "epsilon_inside", self.epsilon_inside)
        object.__setattr__(self, "epsilon_inside", inside)

    def scalars(self, step: np.ndarray, rate: np.ndarray) -> dict[str, np.ndarray]:
        first, second = 1 - self.beta_1**step, np.sqrt(1 - self.beta_2**step)
        corrected = rate / first if self.epsilon_inside else rate * second / first
        v_scale = 1 / second if self.epsilon_inside else np.ones(len(step))
        return super().scalars(step, rate) | {"lr": corrected, "v_scale": v_scale}

    def arguments(self) -> tuple:
        return ("lr", self.beta_1, self.beta_2, self.epsilon, "v_scale")


@dataclass(frozen=True)
class AdamW(Adam):
    """`Adam` with decoupled weight decay (Loshchilov & Hutter 2019), by default 0.004.

    Parameters
    ----------
    learning_rate, beta_1, beta_2, epsilon, epsilon_inside
        As for `Adam`.
    weight_decay : float, default 0.004
    clipnorm, global_clipnorm, clipvalue, use_ema, ema_momentum
        Keywords: clipping is off by default, so is the average of the weights; see `Optimizer`.
    """

    weight_decay: float | None = field(default=0.004, kw_only=True)
    name = "adamw"


class InUse:
    """What `Sequential.optimizer` is: the optimizer with the learning rate and the steps as they are now.

    Parameters
    ----------
    model : Sequential
        Whose optimizer it is.
    """

    __slots__ = ("_model",)

    def __init__(self, model):
        object.__setattr__(self, "_model", model)

    @property
    def learning_rate(self) -> float:
        """The next step's; setting it takes the place of the schedule."""
        return self._model.learning_rate

    @property
    def rate_by_hand(self) -> float | None:
        """The learning rate that was set; None where it is the schedule's."""
        return self._model.rate_by_hand

    def is_of(self, model) -> bool:
        """Whether it is this model's."""
        return self._model is model

    @property
    def iterations(self) -> int:
        """Optimizer steps so far."""
        return self._model.step

    @property
    def spec(self) -> Optimizer:
        """What was given to ``compile``."""
        return self._model.optimizer_spec

    def __getattr__(self, name: str):
        if name.startswith("__") or name in self.__slots__:  # what copies and pickles look for
            raise AttributeError(name)
        return getattr(self.spec, name)

    def __setattr__(self, name: str, value) -> None:
        if name != "learning_rate":
            raise AttributeError(f"optimizer.{name} cannot be set; wanted learning_rate, or compile with another one")
        self._model.learning_rate = value

    def __repr__(self) -> str:
        by_hand = self._model.rate_by_hand
        return repr(self.spec) + ("" if by_hand is None else f", with learning_rate set to {by_hand}")

    def __reduce__(self):
        return InUse, (self._model,)


OPTIMIZERS: dict[str, type[Optimizer]] = {cls.name: cls for cls in (SGD, AdaGrad, RMSprop, Adam, AdamW)}


def resolve(optimizer, dtype: str = "float64") -> Optimizer:
    """What a user said of an optimizer (a name, a class, an object, a model's) as an `Optimizer`.

    Raises where its epsilon is none among numbers of `dtype`: the step of a weight without gradient would be 0 / 0.
    """
    optimizer = _resolve(optimizer)
    epsilon, least = getattr(optimizer, "epsilon", None), float(np.finfo(dtype).tiny)
    if epsilon is not None and epsilon < least:
        raise ValueError(f"{type(optimizer).__name__}: epsilon is {epsilon:g}, which {dtype} takes for 0; wanted at "
                         f"least {least:.3g}")
    return optimizer


def _resolve(optimizer) -> Optimizer:
    if isinstance(optimizer, Optimizer):
        return optimizer
    if isinstance(optimizer, InUse):
        return optimizer.spec
    if isinstance(optimizer, type) and issubclass(optimizer, Optimizer):
        return optimizer()
    if isinstance(optimizer, str):
        if optimizer.lower() not in OPTIMIZERS:
            raise errors.unknown("compile", "optimizer", optimizer, OPTIMIZERS)
        return OPTIMIZERS[optimizer.lower()]()
    raise TypeError(f"compile: optimizer is {optimizer!r}; wanted a name ({', '.join(OPTIMIZERS)}) or an object")
