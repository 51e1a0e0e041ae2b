"""Losses in words: which kernel, which kind of target, which final activation it can take from the logits.

Reads errors.py; read by fuse.py, planner.py, metrics.py, feed.py, trainer.py, io.py. Owns no arithmetic.

a) The loss of a data set is the weighted mean over its rows, ``sum w_i l_i / sum w_i``, in training, validation and
   evaluation alike; without weights ``w_i = 1``. Within a row it is the mean over the columns, for cross entropy over
   classes the sum.
b) Cross entropy is computed from logits: a final softmax or sigmoid is left out in training, and the gradient is taken
   with respect to its input. Outputs of any other last activation are taken as logits; a softmax before a loss that
   contains the sigmoid, and the other way round, is refused.
"""

from collections.abc import Callable
from dataclasses import dataclass

from fusednet import errors


@dataclass(frozen=True)
class Loss:
    """What all losses have.

    Attributes
    ----------
    kernel : str
        The kernel of the list for targets; `labels_kernel` for integer labels, where there is one.
    head : str or None
        The final activation that the kernel contains.
    takes : {"classes", "binary", "values"}
        What y is: a class for each row, 0 and 1 for each output, or numbers.
    counts : bool
        Whether these numbers are at least 0.
    most : float or None
        What the value of a row is cut to in the loss that is reported; its gradient is not.
    """

    kernel = ""
    labels_kernel = ""
    head = None
    takes = "values"
    counts = False
    name = ""
    most = None

    def options(self, columns: int) -> tuple[float, ...]:
        """The kernel's parameters before `scale`."""
        return ()


def _most(loss) -> None:
    if loss.most is not None:
        value = errors.real(type(loss).__name__, "most", loss.most, 0, open_low=True)
        object.__setattr__(loss, "most", value)


def _smoothing(loss) -> None:
    value = errors.real(type(loss).__name__, "label_smoothing", loss.label_smoothing, 0, 1)
    object.__setattr__(loss, "label_smoothing", value)


@dataclass(frozen=True)
class CategoricalCrossentropy(Loss):
    """Cross entropy of a class among several, ``-sum_j t_j log softmax(z)_j``.

    y may be integer labels, strings, one-hot rows or rows of probabilities; or of any other numbers t, of which the
    formula holds too: one-hot rows times the advantage of an action are the gradient of a policy (Williams 1992).

    Parameters
    ----------
    label_smoothing : float, default 0
        In [0, 1]: t becomes ``(1 - s) t + s / classes`` (Szegedy et al. 2016).
    most : float, optional
        The value of a row without weight counts at most so much in the loss that is reported, as where probabilities
        are clipped before the logarithm; the gradient is that of the whole. Above 0.
    """

    label_smoothing: float = 0.0
    most: float | None = None
    kernel = "softmax_xent_targets"
    labels_kernel = "softmax_xent_labels"
    head = "softmax"
    takes = "classes"
    name = "categorical_crossentropy"

    def __post_init__(self):
        _smoothing(self)
        _most(self)

    def options(self, columns: int) -> tuple[float, ...]:
        return (self.label_smoothing,)


@dataclass(frozen=True)
class SparseCategoricalCrossentropy(CategoricalCrossentropy):
    """`CategoricalCrossentropy` under the name that Keras has for integer labels.

    Parameters
    ----------
    label_smoothing : float, default 0
    most : float, optional
    """

    name = "sparse_categorical_crossentropy"


@dataclass(frozen=True)
class BinaryCrossentropy(Loss):
    """Mean over outputs of ``-t log sigmoid(z) - (1 - t) log(1 - sigmoid(z))``: two classes, or several labels at once.

    Parameters
    ----------
    label_smoothing : float, default 0
        In [0, 1]: t becomes ``(1 - s) t + s / 2``.
    """

    label_smoothing: float = 0.0
    kernel = "sigmoid_xent"
    head = "sigmoid"
    takes = "binary"
    name = "binary_crossentropy"

    def __post_init__(self):
        _smoothing(self)

    def options(self, columns: int) -> tuple[float, ...]:
        return (self.label_smoothing, 1 / columns)


@dataclass(frozen=True)
class LogLoss(BinaryCrossentropy):
    """`BinaryCrossentropy` summed over outputs, not their mean, as scikit-learn's loss of several labels.

    Parameters
    ----------
    label_smoothing : float, default 0
    most : float, optional
        As for `CategoricalCrossentropy`.
    """

    most: float | None = None
    name = "log_loss"

    def __post_init__(self):
        super().__post_init__()
        _most(self)

    def options(self, columns: int) -> tuple[float, ...]:
        return (self.label_smoothing, 1.0)


@dataclass(frozen=True)
class HalfSquaredError(Loss):
    """Sum over outputs of ``(z - t)^2 / 2``, whose gradient is scikit-learn's."""

    kernel = "squared_error"
    name = "half_squared_error"

    def options(self, columns: int) -> tuple[float, ...]:
        return (0.5,)


@dataclass(frozen=True)
class MeanSquaredError(Loss):
    """Mean over outputs of ``(z - t)^2``."""

    kernel = "squared_error"
    name = "mse"

    def options(self, columns: int) -> tuple[float, ...]:
        return (1 / columns,)


@dataclass(frozen=True)
class MeanAbsoluteError(Loss):
    """Mean over outputs of ``|z - t|``; its gradient at 0 is 0."""

    kernel = "absolute_error"
    name = "mae"

    def options(self, columns: int) -> tuple[float, ...]:
        return (1 / columns,)


@dataclass(frozen=True)
class Huber(Loss):
    """Mean over outputs of ``d^2 / 2`` where ``|d| <= delta``, else ``delta (|d| - delta / 2)``; d = z - t.

    Huber 1964, "Robust estimation of a location parameter".

    Parameters
    ----------
    delta : float, default 1
        Above 0.
    """

    delta: float = 1.0
    kernel = "huber_error"
    name = "huber"

    def __post_init__(self):
        object.__setattr__(self, "delta", errors.real("Huber", "delta", self.delta, 0, open_low=True))

    def options(self, columns: int) -> tuple[float, ...]:
        return (self.delta, 1 / columns)


@dataclass(frozen=True)
class Quantile(Loss):
    """Mean over outputs of the pinball loss ``max((1 - q) d, -q d)``, d = z - t: the minimum is the quantile q.

    Its gradient at 0 is 0. Koenker & Bassett 1978, "Regression quantiles".

    Parameters
    ----------
    quantile : float, default 0.5
        q above, in (0, 1).
    """

    quantile: float = 0.5
    kernel = "pinball_loss"
    name = "quantile"

    def __post_init__(self):
        value = errors.real("Quantile", "quantile", self.quantile, 0, 1, open_low=True, open_high=True)
        object.__setattr__(self, "quantile", value)

    def options(self, columns: int) -> tuple[float, ...]:
        return (self.quantile, 1 / columns)


@dataclass(frozen=True)
class Poisson(Loss):
    """Mean over outputs of ``e^z - t z`` for counts or rates t of at least 0: z is the logarithm of the rate.

    The value is that of Keras's loss at the prediction ``e^z``, which is taken here of the output itself, so that no
    rate is below 0 and none is divided by.
    """

    kernel = "poisson_loss"
    counts = True
    name = "poisson"

    def options(self, columns: int) -> tuple[float, ...]:
        return (0.0, 1 / columns)


@dataclass(frozen=True)
class HalfPoissonDeviance(Poisson):
    """Sum over outputs of ``t log(t / e^z) - t + e^z``, scikit-learn's loss; 0 where ``e^z`` is t.

    McCullagh & Nelder 1989, "Generalized linear models", section 6.2, halved.
    """

    name = "half_poisson_deviance"

    def options(self, columns: int) -> tuple[float, ...]:
        return (1.0, 1.0)


@dataclass(frozen=True)
class Custom(Loss):
    """A Python function as the loss; it is called once per batch.

    Parameters
    ----------
    function : callable
        ``function(y_true, y_pred) -> (loss, gradient)``: y_true and y_pred are (rows, outputs) and cannot be written
        to; loss is (rows,), each row's value, gradient is (rows, outputs), each row's ``d loss / d y_pred``. Weights
        and the mean over rows are the library's.
    """

    function: Callable

    @property
    def name(self) -> str:
        """The function's name."""
        return getattr(self.function, "__name__", "loss")


LOSSES: dict[str, type[Loss]] = {
    cls.name: cls
    for cls in (SparseCategoricalCrossentropy, CategoricalCrossentropy, BinaryCrossentropy, MeanSquaredError,
                MeanAbsoluteError, Huber, Poisson, Quantile)
}
_ALIASES = {"mean_squared_error": "mse", "mean_absolute_error": "mae", "pinball": "quantile"}


def resolve(loss) -> Loss:
    """What a user said of a loss (a name, a `Loss`, a function) as a `Loss`."""
    if isinstance(loss, Loss) and type(loss) is not Loss:
        return loss
    if isinstance(loss, type) and issubclass(loss, Loss) and loss not in (Loss, Custom):
        return loss()
    if isinstance(loss, str):
        name = _ALIASES.get(loss, loss)
        if name not in LOSSES:
            raise errors.unknown("compile", "loss", loss, (*LOSSES, *_ALIASES))
        return LOSSES[name]()
    if callable(loss) and not isinstance(loss, type):
        return Custom(loss)
    raise TypeError(f"compile: loss is {loss!r}; wanted a name ({', '.join(LOSSES)}), a loss object or a function")
