"""Callbacks that set the learning rate: on a plateau, and by a function of the epoch.

Read by nobody but the package's `__init__`. Schedules that the engine evaluates step by step are in schedules.py; what
is set here overrides them.
"""

import inspect

from fusednet import errors
from fusednet.callbacks._base import Callback, say
from fusednet.callbacks._monitor import Monitor


class ReduceLROnPlateau(Monitor):
    """Multiply the learning rate by a factor when a loss or metric gets no better.

    Parameters
    ----------
    monitor : str, default "val_loss"
        Key of the logs.
    factor : float, default 0.1
        In (0, 1): the new rate is ``factor * rate``, but not below ``min_lr``.
    patience : int, default 10
        Reduce after this many epochs without a better one.
    verbose : int, default 0
        1: print each change.
    mode : {"auto", "min", "max"}, default "auto"
        Whether smaller or larger is better; "auto" knows the usual names.
    min_delta : float, default 1e-4
        A change counts as better only if it is larger.
    cooldown : int, default 0
        Epochs after a change during which patience is not used up.
    min_lr : float, default 0
        The rate goes no lower.

    Raises
    ------
    ValueError
        If a number is out of its range; when the training begins, if there is no such key.

    Notes
    -----
    As Keras 3 [1]_. Each training starts with no best value.

    References
    ----------
    .. [1] https://keras.io/api/callbacks/reduce_lr_on_plateau
    """

    def __init__(self, monitor="val_loss", factor=0.1, patience=10, verbose=0, mode="auto", min_delta=1e-4, cooldown=0,
                 min_lr=0.0):
        super().__init__(monitor, mode, min_delta)
        name = "ReduceLROnPlateau"
        self.factor = errors.real(name, "factor", factor, 0, 1, open_low=True, open_high=True)
        self.patience = errors.integer(name, "patience", patience, 0)
        self.verbose = errors.integer(name, "verbose", verbose, 0)
        self.cooldown = errors.integer(name, "cooldown", cooldown, 0)
        self.min_lr = errors.real(name, "min_lr", min_lr, 0)
        self._forget()

    def _forget(self) -> None:
        self.best = None
        self.wait = 0
        self.cooldown_counter = 0

    def in_cooldown(self) -> bool:
        """Whether the last change is so near that patience is not used up."""
        return self.cooldown_counter > 0

    def on_train_check(self, logs=None):
        """Check the key."""
        self.check_monitor()

    def on_train_begin(self, logs=None):
        """Forget the training before."""
        self._forget()

    def on_epoch_end(self, epoch, logs=None):
        """Compare, and reduce the rate where patience is used up."""
        current = self.current(logs)
        if current is None:
            return
        if self.in_cooldown():
            self.cooldown_counter -= 1
        if self.better(current, self.best):
            self.best = current
            self.wait = 0
        elif not self.in_cooldown():
            self.wait += 1
            rate = float(self.model.learning_rate)
            if self.wait >= self.patience and rate > self.min_lr:
                rate = max(rate * self.factor, self.min_lr)
                self.model.learning_rate = rate
                if self.verbose:
                    say(f"Epoch {epoch + 1}: ReduceLROnPlateau reducing learning rate to {rate:.6g}.")
                self.cooldown_counter = self.cooldown
                self.wait = 0

    def state_dict(self):
        """The best value and the counters; the rate itself is the model's."""
        return {"best": self.best, "wait": self.wait, "cooldown_counter": self.cooldown_counter}

    def load_state_dict(self, state):
        """Go on from what `state_dict` gave."""
        for name in ("best", "wait", "cooldown_counter"):
            setattr(self, name, state[name])


class LearningRateScheduler(Callback):
    """Set the learning rate before each epoch.

    Parameters
    ----------
    schedule : callable
        ``schedule(epoch, rate)`` or ``schedule(epoch)`` gives the new rate; epoch counts from 0, rate is that in use.
    verbose : int, default 0
        1: print each rate.

    Raises
    ------
    TypeError
        If the schedule is no function; during the training, if it does not give a number.
    ValueError
        During the training, if it gives a negative number, NaN or infinity.
    """

    def __init__(self, schedule, verbose=0):
        super().__init__()
        if not callable(schedule):
            raise TypeError(f"LearningRateScheduler: schedule is {schedule!r}; wanted a function of (epoch, rate)")
        self.schedule = schedule
        self.verbose = errors.integer("LearningRateScheduler", "verbose", verbose, 0)
        self._takes_rate = _takes_two(schedule)
        self._asked: tuple | None = None

    def on_train_begin(self, logs=None):
        """Forget the training before."""
        self._asked = None

    def on_epoch_begin(self, epoch, logs=None):
        """Ask for the rate and set it."""
        before = float(self.model.learning_rate)
        if self._asked is not None and self._asked[0] == epoch and self._asked[2] == before:
            before = self._asked[1]  # the training was left before the epoch's first step
        rate = self.schedule(epoch, before) if self._takes_rate else self.schedule(epoch)
        if getattr(rate, "ndim", None) == 0:
            rate = rate.item()
        rate = errors.real("LearningRateScheduler", f"what schedule gave for epoch {epoch}", rate, 0)
        self.model.learning_rate = rate
        self._asked = (epoch, before, rate)
        if self.verbose:
            say(f"Epoch {epoch + 1}: LearningRateScheduler setting learning rate to {rate:.6g}.")

    def state_dict(self):
        """What was asked last."""
        return {} if self._asked is None else {"asked": list(self._asked)}

    def load_state_dict(self, state):
        """Go on from what `state_dict` gave."""
        self._asked = tuple(state["asked"])


def _takes_two(function) -> bool:
    """Whether a function can be called with two values; seen from its signature: its own TypeErrors are not hidden."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return True  # one of C that does not tell
    try:
        signature.bind(0, 0.0)
    except TypeError:
        return False
    return True
