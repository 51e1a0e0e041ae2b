"""Metrics in words: which kernel gives a value for each row.

Reads losses.py, errors.py; read by planner.py and model.py. A metric of a data set is the weighted mean over its rows,
as the loss is (losses.py).
"""

from dataclasses import dataclass

from fusednet import errors
from fusednet.losses import Loss, MeanAbsoluteError, MeanSquaredError


@dataclass(frozen=True)
class Metric:
    """A value for each row.

    Attributes
    ----------
    name : str
        The key in logs.
    kind : {"classes", "binary", "mse", "mae"}
    needs_output : bool
        Whether it is taken from the network's output, not from the logits.
    """

    name: str
    kind: str

    @property
    def needs_output(self) -> bool:
        return self.kind in ("mse", "mae")

    @property
    def has_gradient(self) -> bool:
        """Whether its kernel is a loss, with a gradient to leave out."""
        return self.kind in ("mse", "mae")

    def call(self, y: str, columns: int, logits: bool) -> tuple[str, tuple[float, ...]]:
        """The kernel and its parameters.

        Parameters
        ----------
        y : {"labels", "targets"}
        columns : int
            Outputs of the network.
        logits : bool
            Whether the values are logits.
        """
        if self.kind == "classes":
            return ("correct_labels" if y == "labels" else "correct_targets"), ()
        if self.kind == "binary":
            return "correct_binary", (0.0 if logits else 0.5,)
        loss = MeanSquaredError() if self.kind == "mse" else MeanAbsoluteError()
        return loss.kernel, loss.options(columns)


_KINDS = {
    "accuracy": None,
    "acc": None,
    "sparse_categorical_accuracy": "classes",
    "categorical_accuracy": "classes",
    "binary_accuracy": "binary",
    "mse": "mse",
    "mean_squared_error": "mse",
    "mae": "mae",
    "mean_absolute_error": "mae",
}


def resolve(metric, loss: Loss) -> Metric:
    """What a user said of a metric (a name, a `Metric`) as a `Metric` that fits the loss."""
    if isinstance(metric, Metric):
        return metric
    if not isinstance(metric, str) or metric not in _KINDS:
        raise errors.unknown("compile", "metric", metric, _KINDS)
    kind = _KINDS[metric] or {"classes": "classes", "binary": "binary"}.get(loss.takes)
    if kind is None:
        raise ValueError(f"compile: metric {metric!r} counts right classes, but the loss {loss.name} is of numbers; "
                         "wanted 'mse' or 'mae'")
    if (kind == "classes") != (loss.takes == "classes") or (kind == "binary" and loss.takes == "values"):
        fit = {"classes": ("accuracy",), "binary": ("accuracy", "mse", "mae"), "values": ("mse", "mae")}[loss.takes]
        raise ValueError(f"compile: metric {metric!r} does not fit the loss {loss.name}; wanted {' or '.join(fit)}")
    return Metric(metric, kind)


def resolve_all(given, loss: Loss) -> tuple[Metric, ...]:
    """What a user said of metrics (None, one, a list), each as a `Metric` that fits the loss."""
    if given is not None and not isinstance(given, (str, Metric, list, tuple)):
        raise TypeError(f"compile: metrics is {given!r}; wanted a list of names")
    given = [given] if isinstance(given, (str, Metric)) else list(given or ())
    resolved = tuple(resolve(metric, loss) for metric in given)
    names = [metric.name for metric in resolved]
    twice = next((name for name in names if names.count(name) > 1 or name == "loss"), None)
    if twice is not None:
        raise ValueError(f"compile: metric {twice!r} is given twice")
    return resolved
