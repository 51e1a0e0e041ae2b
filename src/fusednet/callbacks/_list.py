"""`CallbackList`: all callbacks of a training as one.

Read by the trainer.

a) The methods to call are looked up once; a method that nobody overrides is an empty list.
b) What saves the others' state (`Callback.rank`) comes after them, so that it saves what they know by then. Only when a
   training begins it comes first: what it brings back is there before the others look.
c) Of what has happened, the end of a step or an epoch, all hear, also if one of them raises: a training that goes on
   later does not tell them again.
d) A state that is loaded while the training begins is handed out when every ``on_train_begin``, which forgets, is
   through.
"""

import math

from fusednet.callbacks._base import METHODS, Callback, TerminateOnNaN, overrides
from fusednet.history import History

_ALIASES = {"on_train_batch_begin": "on_batch_begin", "on_train_batch_end": "on_batch_end"}
_ENDS = ("on_epoch_end", "on_train_batch_end")


def _rank(callback) -> int:
    return getattr(callback, "rank", 0)


def _interval(callback) -> int | None:
    if hasattr(callback, "interval"):
        return callback.interval
    return Callback.interval.fget(callback)


def wants_batches(callbacks) -> bool:
    """Whether any of the callbacks wants to be called between the steps of an epoch.

    Parameters
    ----------
    callbacks : iterable of Callback

    Returns
    -------
    bool
    """
    return any(_interval(callback) for callback in callbacks)


def _flat(callbacks, name: str) -> list:
    """Callbacks out of one, a list, or lists in lists; refuses what is none."""
    if callbacks is None:
        return []
    if isinstance(callbacks, (list, tuple)):
        return [one for place, inner in enumerate(callbacks) for one in _flat(inner, f"{name}[{place}]")]
    if isinstance(callbacks, type):
        raise TypeError(
            f"{name} is the class {callbacks.__name__}; wanted an object of it, {callbacks.__name__}(...)"
        )
    if not any(overrides(callbacks, method) for method in METHODS) and not isinstance(callbacks, Callback):
        hint = " (LambdaCallback makes one of functions)" if callable(callbacks) else ""
        raise TypeError(f"{name} is {callbacks!r}; wanted a Callback{hint}")
    return [callbacks]


class CallbackList:
    """Callbacks that are called together.

    It has every method of `Callback`, each of which calls those that the callbacks override, by rank. Anything with
    one of the methods will do for a callback.

    Parameters
    ----------
    callbacks : Callback, list of Callback, or None
        Lists in lists are flattened.
    model : object, optional
        What their `Callback.set_model` gets.
    params : dict, optional
        What their `Callback.set_params` gets.

    Attributes
    ----------
    callbacks : list
        In the order given.
    interval : int or None
        After how many steps ``on_train_batch_end`` is wanted: the greatest common divisor of what they want.

    Raises
    ------
    TypeError
        If one is no callback.
    """

    def __init__(self, callbacks=None, model=None, params=None):
        self.callbacks = _flat(callbacks, "callbacks")
        self._beginning = False
        self._waiting: dict | None = None
        first = sorted(self.callbacks, key=lambda callback: -_rank(callback))
        last = sorted(self.callbacks, key=_rank)
        self._calls = {name: _calls(first if name == "on_train_begin" else last, name) for name in METHODS}
        if model is not None:
            self.set_model(model)
        if params is not None:
            self.set_params(params)

    def set_model(self, model) -> None:
        """Give the model to all."""
        for callback in self.callbacks:
            if hasattr(callback, "set_model"):
                callback.set_model(model)

    def set_params(self, params: dict) -> None:
        """Give what ``fit`` was told to all."""
        for callback in self.callbacks:
            if hasattr(callback, "set_params"):
                callback.set_params(params)

    @property
    def interval(self) -> int | None:
        """After how many steps ``on_train_batch_end`` is wanted, None for never."""
        return math.gcd(*(_interval(callback) or 0 for callback in self.callbacks)) or None

    @property
    def terminate_on_nan(self) -> bool:
        """Whether a loss that is not finite ends the training: unless a `TerminateOnNaN` says no."""
        return all(callback.enabled for callback in self.callbacks if isinstance(callback, TerminateOnNaN))

    @property
    def history(self) -> History | None:
        """The first `History` among the callbacks."""
        return next((callback for callback in self.callbacks if isinstance(callback, History)), None)

    def wants(self, *names: str) -> bool:
        """Whether any callback overrides one of the methods."""
        return any(self._calls[name] for name in names)

    # ---- stop and go on ----------------------------------------------------------------------------------------------

    def _named(self):
        """Callbacks by class name; the second of a class has ``_1`` behind it."""
        seen: dict[str, int] = {}
        for callback in self.callbacks:
            name = type(callback).__name__
            seen[name] = seen.get(name, -1) + 1
            yield (f"{name}_{seen[name]}" if seen[name] else name), callback

    def state_dict(self) -> dict[str, dict]:
        """States of the callbacks that have one, by name of class."""
        states = {name: one.state_dict() for name, one in self._named() if hasattr(one, "state_dict")}
        return {name: state for name, state in states.items() if state}

    def load_state_dict(self, states: dict[str, dict]) -> None:
        """Hand states out; a callback without one starts afresh, a state without its callback is let go."""
        if self._beginning:
            self._waiting = states
            return
        for name, callback in self._named():
            if name in states:
                callback.load_state_dict(states[name])

    # ---- the methods -------------------------------------------------------------------------------------------------

    def on_train_begin(self, logs=None) -> None:
        """Before the first epoch, once all have checked that it may begin; a state that is loaded meanwhile is handed
        out at the end."""
        self.on_train_check(logs)
        self._beginning, self._waiting = True, None
        try:
            for method in self._calls["on_train_begin"]:
                method(logs)
        finally:
            self._beginning = False
        if self._waiting is not None:
            self.load_state_dict(self._waiting)
            self._waiting = None


def _calls(callbacks: list, name: str) -> list:
    """The methods to call for a name, aliases for those who override no more than them."""
    alias = _ALIASES.get(name)
    found = []
    for callback in callbacks:
        if overrides(callback, name):
            found.append(getattr(callback, name))
        elif alias is not None and overrides(callback, alias):
            found.append(getattr(callback, alias))
    return found


def _tell(calls: list, *args, **kwargs) -> None:
    for method in calls:
        method(*args, **kwargs)


def _tell_all(calls: list, *args, **kwargs) -> None:
    # also those behind one that raises
    first = None
    for method in calls:
        try:
            method(*args, **kwargs)
        except BaseException as error:
            if first is None or not isinstance(error, Exception):  # Ctrl-C is not to be lost behind another
                first = error
    if first is not None:
        raise first


def _fan_out(name: str):
    tell = _tell_all if name in _ENDS else _tell

    def call(self, *args, **kwargs):
        tell(self._calls[name], *args, **kwargs)

    call.__name__, call.__qualname__ = name, f"CallbackList.{name}"
    call.__doc__ = getattr(Callback, name).__doc__
    return call


for _name in METHODS:
    if _name not in vars(CallbackList):
        setattr(CallbackList, _name, _fan_out(_name))
