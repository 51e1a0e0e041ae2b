"""From what users give to what plans take: rows, labels or targets, weights.

Reads datasets.py, losses.py, plan.py (what a feed is), runner.py (what a source is); read by trainer.py and model.py.

a) Data are looked at once, before anything is changed: shapes, classes, NaN. After that nobody checks. `Data` that
   stand ready can be given to many trainings in place of x and y.
b) Arrays that kernels can read are used where they lie; batches are gathered from them row by row.
"""

from dataclasses import dataclass, replace

import numpy as np

from fusednet import datasets
from fusednet.datasets import is_batches, split
from fusednet.losses import BinaryCrossentropy, CategoricalCrossentropy, Custom, Loss, SparseCategoricalCrossentropy
from fusednet.plan import Feed
from fusednet.runner import Source
from fusednet.spec import Network

__all__ = ["Data", "is_batches", "prepare", "split"]


@dataclass
class Data:
    """Data in the form that plans take.

    Attributes
    ----------
    x : ndarray, (n, features)
    names : tuple of str or None
        Of the columns, where the user's data have names.
    y : ndarray or None
        Labels (n,) int32, or targets (n, outputs) of the network's dtype.
    kind : {"", "labels", "targets"}
    classes : ndarray or None
        The value of each code.
    weight : ndarray or None
    codes : ndarray or None
        The class of each row, where rows have one.
    train, held : ndarray of int64 or None
        The rows to train on and those set aside for validation, where that has been decided; see `divided`.
    """

    x: np.ndarray
    names: tuple[str, ...] | None = None
    y: np.ndarray | None = None
    kind: str = ""
    classes: np.ndarray | None = None
    weight: np.ndarray | None = None
    codes: np.ndarray | None = None
    train: np.ndarray | None = None
    held: np.ndarray | None = None

    def check_weights(self, train: np.ndarray | None, held: np.ndarray | None) -> None:
        """Raise where all rows to train on, or all that are set aside, have the weight 0."""
        if self.weight is None:
            return
        for what, chosen in (("train on", train), ("validate with", held)):
            if chosen is not None and not self.weight[chosen].any():
                raise ValueError(f"the weights of all rows to {what} are 0; wanted some above 0")

    def checked(self, where: str, network: Network | None) -> "Data":
        """These data, which have y, and whose rows and labels are within their arrays and the outputs of a network.

        Who prepares data for a model has them so. But they may be given to another one, and kernels look no more.
        """
        need_y(where, self.y)
        n = len(self.x)
        for name, array in (("y", self.y), ("weight", self.weight)):
            if array is not None and len(array) != n:
                raise ValueError(f"{where}: the data have {n} rows of x and {len(array)} of {name}; wanted as many")
        if self.kind == "labels":
            if self.y.dtype != np.int32:
                raise TypeError(f"{where}: the data have labels of dtype {self.y.dtype}; wanted int32")
            datasets.check_codes(self.y, (network and network.outputs) or self.x.shape[1], f"{where}: y of the data")
        for name, rows in (("train", self.train), ("held", self.held)):
            if rows is None:
                continue
            if not isinstance(rows, np.ndarray) or rows.ndim != 1 or rows.dtype != np.int64 or not rows.size:
                raise TypeError(f"{where}: {name} of the data is {rows!r:.60}; wanted rows, an array of int64")
            if rows.min() < 0 or rows.max() >= n:
                raise ValueError(f"{where}: {name} of the data has rows from {rows.min()} to {rows.max()}; wanted rows "
                                 f"from 0 to {n - 1}")
        return self

    def divided(self, train: np.ndarray | None, held: np.ndarray | None) -> "Data":
        """The same arrays, with the rows to train on (None: all) and those set aside (None: none)."""
        return replace(self, train=train, held=held)

    def feed(self, *, ordered: bool) -> Feed:
        """How a plan finds these data; `ordered`: through an order of rows."""
        columns = self.y.shape[1] if self.kind == "targets" else 0
        return Feed(str(self.x.dtype), self.kind, self.weight is not None, ordered, columns)

    def class_weight(self, given, outputs: int):
        """What was given as class_weight, for other rows: "balanced" as these rows have it."""
        if not isinstance(given, str) or self.codes is None:
            return given
        weights = datasets.class_weights(given, self.codes, self.classes, outputs).tolist()
        known = range(len(weights)) if self.classes is None else self.classes.tolist()
        return dict(zip(known, weights, strict=True))

    def source(self, chosen: np.ndarray | None = None, *, shuffled: bool = False) -> Source:
        """The rows `chosen`, or all."""
        return Source(self.x, self.y, self.weight, chosen, shuffled)


def prepare(x, y=None, *, loss: Loss | None = None, outputs: int | None = None, dtype: str = "float32",
            features: int | None = None, names: tuple[str, ...] | None = None, classes=None, sample_weight=None,
            class_weight=None, prefix: str = "", one_of_many: bool = False) -> Data:
    """Check and convert.

    Parameters
    ----------
    x, y : array_like
        y may be None without a loss; then weights and classes are not used.
    loss : Loss
    outputs : int
        Columns of the network's output.
    dtype : str
    features : int, optional
        Columns that x must have.
    names : tuple of str, optional
        Names that its columns must have, where it has names.
    classes : ndarray, optional
        The classes that are known already.
    sample_weight, class_weight : optional
        See `fusednet.datasets.weights`.
    prefix : str
        Put before the names x and y in messages.
    one_of_many : bool
        Whether x is one batch of many, of which not all is asked that is asked of all rows together: its weights may
        all be 0, and rows of zeros and one 1, if of floats, are probabilities as those of other batches may be
        (labels, where `class_weight` needs the classes).

    Raises
    ------
    ValueError, TypeError
        If something is not valid; says what was given, what was wanted and where.
    """
    what_x, what_y = f"{prefix}x", f"{prefix}y"
    _refuse_several_inputs(x, y, what_x, what_y)
    rows = datasets.features(x, what=what_x, width=features)
    check_names(rows.names, names, what_x)
    datasets.check_finite(rows.array, what_x, rows.names, dtype)
    data = Data(rows.array, rows.names)
    if y is None:
        if loss is not None:
            raise TypeError(f"{what_y} is None; wanted labels or numbers")
        return data
    _prepare_y(data, y, loss, outputs, dtype, classes, what_y, one_of_many and class_weight is None)
    if len(data.y) != len(data.x):
        raise ValueError(f"{what_x} has {len(data.x)} rows, {what_y} has {len(data.y)}; wanted as many")
    data.weight = datasets.weights(len(data.x), sample_weight, class_weight, data.codes, data.classes, dtype, outputs,
                                    f"{prefix}sample_weight", all_zero=one_of_many)
    return data


def _refuse_several_inputs(x, y, what_x: str, what_y: str) -> None:
    """Raise for a list of arrays with as many rows each as y has: what Keras takes for a model of several inputs."""
    if not isinstance(x, (list, tuple)) or not hasattr(y, "__len__") or len(x) == len(y):
        return
    if x and all(np.ndim(one) > 1 and len(one) == len(y) for one in x):
        raise ValueError(f"{what_x} is a list of {len(x)} arrays with as many rows each as {what_y} has; wanted one "
                         "array, since a Sequential has one input")


def need_y(where: str, y, x=None) -> None:
    """Raise where there is no y; `x` is looked at for the reason."""
    if y is None:
        more = ""
        if where == "fit" and isinstance(x, (list, tuple)):
            more = "; x is a list, which is taken for rows: batches come from a generator or an iterable of your own"
        elif x is not None and is_batches(x):
            more = "; x is an iterable of batches, which only fit takes"
        raise TypeError(f"{where}: y is None; wanted labels or numbers{more}")


def need_all_classes(where: str, data: Data, known, outputs: int | None) -> None:
    """Raise where the first of several batches has not all classes: those it has are what the model will know."""
    if known is None and data.classes is not None and len(data.classes) < (outputs or 0):
        names = ", ".join(repr(name) for name in data.classes.tolist())
        raise ValueError(f"{where}: the first batch has no labels but {names}, the model has {outputs} outputs; wanted "
                         f"a row of each class in it, or integers 0 to {outputs - 1} as labels")


def check_names(given, wanted, what: str) -> None:
    """Raise where the columns' names are others than those wanted, or in another order; None are no names."""
    if given is None or wanted is None or given == wanted:
        return
    missing = [name for name in wanted if name not in given]
    if missing:
        raise ValueError(f"{what} lacks the column {missing[0]!r}; the model was trained on {', '.join(wanted)}")
    raise ValueError(f"{what} has its columns in the order {', '.join(given)}; the model was trained on "
                     f"{', '.join(wanted)}")


def _prepare_y(data: Data, y, loss: Loss, outputs: int, dtype: str, classes, what: str, soft: bool) -> None:
    if loss.takes == "classes":
        if not isinstance(loss, SparseCategoricalCrossentropy) and isinstance(loss, CategoricalCrossentropy):
            rows = _soft_targets(y, outputs, what, soft)
            if rows is not None:
                data.kind, data.y = "targets", datasets.targets(rows, outputs, dtype, what)
                return
        data.y, data.classes = datasets.labels(y, outputs, classes, what)
        data.kind, data.codes = "labels", data.y
    elif isinstance(loss, BinaryCrossentropy):
        data.y, data.classes = datasets.binary(y, outputs, dtype, classes, what)
        data.kind = "targets"
        if outputs == 1 and np.isin(data.y, (0, 1)).all():
            data.codes = data.y[:, 0].astype(np.int32)
    elif isinstance(loss, Custom):
        shape = datasets.as_targets(y, what).shape
        data.kind = "targets"
        data.y = datasets.targets(y, shape[1] if len(shape) > 1 else 1, dtype, what)
    else:
        data.y, data.kind = datasets.targets(y, outputs, dtype, what), "targets"
        if loss.counts and (data.y < 0).any():
            raise ValueError(f"{what} has values below 0; the loss {loss.name!r} wants counts or rates of at least 0")


def _soft_targets(y, outputs: int, what: str, soft: bool) -> np.ndarray | None:
    """y as rows of numbers, if that is what it is; None for labels and, unless `soft`, for one-hot rows."""
    array = datasets.as_targets(y, what)
    if array.ndim != 2 or array.shape[1] != outputs or outputs == 1:
        return None
    if array.dtype.kind != "f" or (not soft and ((array == 0) | (array == 1)).all()):
        return None
    return array
