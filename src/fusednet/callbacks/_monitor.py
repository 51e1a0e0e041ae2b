"""What `EarlyStopping`, `ReduceLROnPlateau` and `ModelCheckpoint` share: a key of the logs, and what better means.

Reads errors.py; read by those three and by the searches' results (search/results.py).

a) A key that no epoch will have is an error when the training begins. One that only this epoch lacks (validation every
   third epoch) is passed over: the epoch does not count.
b) NaN is never better than anything; in Keras a first NaN is the best ever since.
"""

import re

from fusednet import errors
from fusednet.callbacks._base import Callback

_UP = re.compile(r"(\w+_)?(accuracy|acc|auc|precision|recall|f1(_score)?|r2(_score)?|iou|similarity)(_\w+)?")
_DOWN = re.compile(r"(\w+_)?(loss|error|mse|mae|rmse|mape|msle|crossentropy|huber|hinge|divergence|deviance)(_\w+)?")
_MODES = ("auto", "min", "max")
_USUAL = ("loss", "accuracy", "learning_rate")


class Monitor(Callback):
    """A callback that looks at one key of the logs."""

    def __init__(self, monitor: str, mode: str, min_delta: float = 0.0, *, used: bool = True):
        super().__init__()
        name = type(self).__name__
        if not isinstance(monitor, str):
            raise TypeError(f"{name}: monitor is {monitor!r}; wanted the name of a loss or metric")
        if mode not in _MODES:
            raise errors.unknown(name, "mode", mode, _MODES)
        self.monitor = monitor
        self.mode = mode
        self.min_delta = abs(errors.real(name, "min_delta", min_delta))
        self.best: float | None = None
        self._upwards = self._direction() if used else False

    def _direction(self) -> bool:
        if self.mode != "auto":
            return self.mode == "max"
        metric = self.monitor.removeprefix("val_").lower()
        if _DOWN.fullmatch(metric) or metric == "learning_rate":
            return False
        if _UP.fullmatch(metric):
            return True
        near = errors.nearest(metric, _USUAL)
        hint = f" (did you mean {self.monitor[: -len(metric)] + near!r}?)" if near else ""
        raise ValueError(
            f"{type(self).__name__}: whether {self.monitor!r} is better when smaller or when larger is not known; "
            f"wanted mode='min' or mode='max'{hint}"
        )

    def check_monitor(self) -> None:
        """Raise where no epoch will have the key."""
        metrics = self.params.get("metrics")
        if metrics is not None and self.monitor not in metrics:
            raise self._unknown(metrics)

    def _unknown(self, keys) -> ValueError:
        error = str(errors.unknown(type(self).__name__, "monitor", self.monitor, keys))
        if self.monitor.startswith("val_") and not any(key.startswith("val_") for key in keys):
            error += "; there is no validation without validation_data or validation_split"
        return ValueError(error)

    def current(self, logs: dict | None) -> float | None:
        """The key's value; None where only this epoch has none."""
        logs = logs or {}
        if self.monitor in logs:
            return float(logs[self.monitor])
        if self.monitor in (self.params.get("metrics") or ()):
            return None
        raise self._unknown(logs)

    def better(self, value: float, reference: float | None) -> bool:
        """Whether the value beats the reference by more than ``min_delta``; None is beaten by any number."""
        if reference is None:
            return value == value
        if self._upwards:
            return value - self.min_delta > reference
        return value + self.min_delta < reference
