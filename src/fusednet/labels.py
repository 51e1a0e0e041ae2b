"""What users have as classes and weights of rows, as codes and numbers.

Reads arrays.py and the backends (`find_outside`); read by datasets.py and the classifier (sklearn/_classifier.py).

a) Integers are codes as they are. Everything else is counted in the sorted order of its values, which the model keeps
   and gives back when it predicts.
b) A set of classes that is given is never added to: an unknown one is an error, which names the row.
"""

import contextlib
import math

import numpy as np

from fusednet import backends
from fusednet.arrays import as_array, as_targets, targets

_SMALL = 1e-20  # a weight below which sums of weighted losses would leave float32
_ROUNDING = 1e-5  # by which a probability may pass 0 or 1: means of float32 numbers do

# ---- classes ---------------------------------------------------------------------------------------------------------


def _listed(values, most: int = 6) -> str:
    items = [repr(value.item() if isinstance(value, np.generic) else value) for value in values[:most]]
    return ", ".join(items) + (", ..." if len(values) > most else "")


def _plain(a: np.ndarray, what: str) -> np.ndarray:
    """Objects and text in the simplest dtype that holds them: text as str, numbers as numbers."""
    if a.dtype.kind == "T":
        a = a.astype(object)
    if a.dtype.kind != "O":
        return a
    flat = a.ravel()
    missing = np.array([value is None or type(value).__name__ == "NAType" or value != value for value in flat], bool)
    if missing.any():
        raise ValueError(f"{what} has no class in row {int(np.argmax(missing)) // max(1, _width(a))}")
    kinds = {_kind(value) for value in flat}
    if kinds == {"whole numbers", "numbers"}:
        kinds = {"numbers"}
    if len(kinds) > 1:
        raise TypeError(f"{what} holds {' and '.join(sorted(kinds))}; wanted classes of one kind")
    kind = kinds.pop() if kinds else ""
    dtypes = {"text": np.str_, "bytes": np.bytes_, "True and False": np.bool_, "whole numbers": np.int64,
              "numbers": np.float64}
    dtype = dtypes.get(kind)
    return a if dtype is None else a.astype(dtype)


def _kind(value) -> str:
    if isinstance(value, str):
        return "text"
    if isinstance(value, bytes):
        return "bytes"
    if isinstance(value, (bool, np.bool_)):
        return "True and False"
    if isinstance(value, (int, np.integer)):
        return "whole numbers"
    if isinstance(value, (float, np.floating)):
        return "numbers"
    return f"objects of type {type(value).__name__}"


def _width(a: np.ndarray) -> int:
    return math.prod(a.shape[1:])


def _column(a: np.ndarray) -> np.ndarray:
    return a.reshape(a.shape[0]) if a.ndim == 2 and a.shape[1] == 1 else a


def _encoded(a: np.ndarray, classes: np.ndarray, what: str) -> np.ndarray:
    """The place of each value among the classes."""
    order = np.argsort(classes, kind="stable")
    ordered = classes[order]
    known = np.zeros(len(a), bool)
    codes = np.zeros(len(a), np.int64)
    if (a.dtype.kind in "biuf") == (classes.dtype.kind in "biuf"):
        with contextlib.suppress(TypeError):  # kinds that do not compare
            codes = np.minimum(np.searchsorted(ordered, a), len(classes) - 1)
            known = np.asarray(ordered[codes] == a)
    if not known.all():
        row = int(np.argmin(known))
        raise ValueError(
            f"{what} has {_listed(a[row : row + 1])} in row {row}, which is none of the {len(classes)} classes "
            f"({_listed(classes)})"
        )
    return order[codes].astype(np.int32)


def _whole(a: np.ndarray, what: str) -> np.ndarray:
    """Floats that are whole numbers, as int64."""
    a = a.astype(np.float64)
    if np.isnan(a).any():
        raise ValueError(f"{what} has no class in row {int(np.argmax(np.isnan(a)))} (it is NaN)")
    wrong = ~np.isfinite(a) | (a != np.rint(a)) | (np.abs(a) > 2**53)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(
            f"{what} has {a[row]} in row {row}; wanted whole numbers (one class for each row), or a column for each "
            "class"
        )
    return a.astype(np.int64)


def _one_hot(a: np.ndarray, what: str) -> np.ndarray:
    """The column of the one in each row of zeros and one 1."""
    right = ((a == 0) | (a == 1)).all(axis=1) & (np.count_nonzero(a, axis=1) == 1)
    if not right.all():
        row = int(np.argmin(right))
        raise ValueError(
            f"{what} has {_listed(a[row])} in row {row}; wanted one-hot rows, of zeros and one 1 "
            "(rows of probabilities need the loss 'categorical_crossentropy')"
        )
    return np.argmax(a, axis=1).astype(np.int32)


def labels(y, outputs: int, classes=None, what: str = "y") -> tuple[np.ndarray, np.ndarray | None]:
    """Classes of rows as codes.

    Parameters
    ----------
    y : array_like, shape (n,), (n, 1) or (n, outputs)
        Integers 0 to outputs - 1 are codes as they are; so are floats that are whole. Text, booleans and other objects
        are counted in sorted order. Rows of zeros and one 1 say the class by its column.
    outputs : int
        Outputs of the network, one for each class.
    classes : array_like, optional
        The classes by code, where they are known already.
    what : str
        The argument's name, for messages.

    Returns
    -------
    codes : ndarray of int32, shape (n,)
    classes : ndarray or None
        The value of each code; None where the codes are the values.

    Raises
    ------
    ValueError
        If a label is out of range, unknown, missing or not whole; there are more classes than outputs, no rows, or
        another shape.
    TypeError
        If labels are of several kinds, or of a kind without an order.
    """
    a = _column(_plain(as_targets(y, what), what))
    if a.ndim and a.shape[0] == 0:
        raise ValueError(f"{what} has no rows (shape {a.shape})")
    if a.ndim == 2 and a.shape[1] == outputs and a.dtype.kind in "biuf":
        return _one_hot(a, what), None if classes is None else np.asarray(classes)
    if a.ndim != 1:
        raise ValueError(
            f"{what} has shape {a.shape}; wanted (n,), one class for each row, or (n, {outputs}), a column for each "
            "class"
        )
    if a.dtype.kind not in "biufSUO":
        raise TypeError(f"{what} has dtype {a.dtype}; wanted integers, text or booleans")
    if classes is not None:
        classes = _plain(np.asarray(classes), "classes")
        return _encoded(a, classes, what), classes
    if a.dtype.kind == "f":
        a = _whole(a, what)
    if a.dtype.kind in "iu":
        return _in_range(a, outputs, what), None
    try:
        found = np.array([False, True]) if a.dtype.kind == "b" else np.unique(a)
    except TypeError as error:
        raise TypeError(f"{what} holds classes that cannot be sorted: {error}") from error
    if len(found) > outputs:
        raise ValueError(f"{what} has {len(found)} classes ({_listed(found)}), the model has {outputs} outputs")
    return _encoded(a, found, what), found


def _in_range(a: np.ndarray, outputs: int, what: str) -> np.ndarray:
    """Integers as int32, each in 0 .. outputs - 1."""
    a = np.require(a, a.dtype.newbyteorder("="), "CA")
    check_codes(a, outputs, what)
    return a.astype(np.int32)


def check_codes(codes: np.ndarray, outputs: int, what: str = "y") -> None:
    """Raise unless all codes are in 0 .. outputs - 1: kernels find elements by them.

    Parameters
    ----------
    codes : ndarray of int, shape (n,), contiguous
    outputs : int
    what : str
        The argument's name, for the message.
    """
    first = np.empty(1, np.int64)
    backends.current().find_outside(first, codes, outputs)
    if first[0] >= 0:
        row = int(first[0])
        raise ValueError(
            f"{what} has {codes[row]} in row {row}; wanted classes from 0 to {outputs - 1} (the model has {outputs} "
            "outputs)"
        )


# ---- yes and no ------------------------------------------------------------------------------------------------------


def binary(y, columns: int, dtype=np.float32, classes=None, what: str = "y") -> tuple[np.ndarray, np.ndarray | None]:
    """Zeros and ones for sigmoid outputs.

    Parameters
    ----------
    y : array_like, shape (n, columns); (n,) where columns is 1
        0 and 1, numbers between (probabilities), or booleans. For one column also two classes of text or other
        objects: the second in sorted order is 1.
    columns : int
        Outputs of the network.
    dtype : dtype
        Of the result.
    classes : array_like of 2, optional
        The classes for 0 and 1, where they are known already.
    what : str
        The argument's name, for messages.

    Returns
    -------
    targets : ndarray of dtype, shape (n, columns), C-contiguous
    classes : ndarray or None
        What 0 and 1 stand for; None where they are the values.

    Raises
    ------
    ValueError
        If a number is not in [0, 1], there are not two classes, one is unknown or missing, or the shape does not fit.
    TypeError
        If y holds classes for several outputs, or values of several kinds.
    """
    a = _column(_plain(as_targets(y, what), what))
    one = a.ndim == 1 and columns == 1
    if classes is None and a.dtype.kind in "biuf" and not (one and a.dtype.kind == "b"):
        values = targets(a, columns, dtype, what)
        wrong = (values < -_ROUNDING) | (values > 1 + _ROUNDING)
        if wrong.any():
            row, column = (int(i) for i in np.argwhere(wrong)[0])
            where = f"row {row}" + (f", column {column}" if columns > 1 else "")
            raise ValueError(f"{what} has {values[row, column]:g} in {where}; wanted 0 and 1, or numbers between")
        return values, None
    if not one:
        raise ValueError(
            f"{what} has shape {a.shape} and dtype {a.dtype}; wanted (n, {columns}), 0 and 1 for each output"
            + (", or (n,)" if columns == 1 else "")
        )
    if len(a) == 0:
        raise ValueError(f"{what} has no rows (shape {a.shape})")
    if classes is not None:
        known = _plain(np.asarray(classes), "classes")
        if len(known) != 2:
            raise ValueError(f"classes has {len(known)} values; wanted 2")
    else:
        known = np.array([False, True]) if a.dtype.kind == "b" else np.unique(a)
        if len(known) == 1:
            raise ValueError(f"{what} has one class only ({_listed(known)}); wanted two")
        if len(known) > 2:
            raise ValueError(
                f"{what} has {len(known)} classes ({_listed(known)}), but one output tells two apart; wanted two "
                f"classes, or Dense({len(known)}) with the loss 'sparse_categorical_crossentropy'"
            )
    return _encoded(a, known, what).astype(dtype).reshape(-1, 1), known


# ---- weights ---------------------------------------------------------------------------------------------------------


def weights(n: int, sample_weight=None, class_weight=None, codes=None, classes=None, dtype=np.float32,
            outputs: int | None = None, what: str = "sample_weight", *, all_zero: bool = False) -> np.ndarray | None:
    """What each row counts: its own weight times that of its class.

    Parameters
    ----------
    n : int
        Rows.
    sample_weight : array_like, shape (n,) or (n, 1), optional
        0 or more, not all 0 unless `all_zero`.
    class_weight : dict or "balanced", optional
        Weight by class, by its value where classes have values, else by its code; a class that is not named counts 1.
        "balanced" is ``n / (k n_c)`` for each of k classes of n_c rows, as in scikit-learn.
    codes : ndarray of int, shape (n,), optional
        The class of each row.
    classes : ndarray, optional
        The value of each code.
    dtype : dtype
        Of the result.
    outputs : int, optional
        Outputs of the network, one for each class; one output alone tells two classes apart. By default as many codes
        as the largest says. Not read where there are `classes`.
    what : str
        The argument's name, for messages.
    all_zero : bool
        Whether all weights may be 0: those of one batch of many, beside which others count.

    Returns
    -------
    ndarray of dtype, shape (n,), or None
        None if neither weight is given.

    Raises
    ------
    ValueError
        If a weight is negative, NaN, infinite or too large for `dtype`, all are 0, the length is not n, a class in
        `class_weight` is unknown, or y has no classes.
    TypeError
        If weights are not numbers, or `class_weight` is neither a dict nor "balanced".
    """
    if sample_weight is None and class_weight is None:
        return None
    total = np.ones(n)
    if sample_weight is not None:
        given = as_array(sample_weight, what)
        if _column(given).shape != (n,):
            raise ValueError(f"{what} has shape {given.shape}; wanted ({n},), one for each row")
        total = targets(given, 1, np.float64, what).reshape(n)
        if (total < 0).any():
            row = int(np.argmax(total < 0))
            raise ValueError(f"{what} has {total[row]:g} in row {row}; wanted 0 or more")
    if class_weight is not None:
        total = total * class_weights(class_weight, codes, classes, outputs)[codes]
    largest = total.max(initial=0)
    if all_zero and 0 < largest < np.finfo(dtype).tiny:
        raise ValueError(f"{what} has {largest:g} at most; wanted {np.finfo(dtype).tiny:.2g} or more in some row, "
                         "since those of other batches count beside them")
    if all_zero:  # those of other batches count beside them
        largest = 0
    if 0 < largest <= np.finfo(dtype).max and not _SMALL < largest < 1 / _SMALL:
        total = np.ldexp(total, -np.frexp(largest)[1])  # exact, and only their ratios count
    with np.errstate(over="ignore"):
        result = total.astype(dtype)
    if not np.isfinite(result).all():
        row = int(np.argmin(np.isfinite(result)))
        raise ValueError(f"the weight of row {row} is {total[row]:g}, more than {result.dtype} can hold")
    if not all_zero and not result.any():
        raise ValueError("the weights of all rows are 0; wanted some above 0")
    return result


def class_weights(class_weight, codes, classes=None, outputs: int | None = None) -> np.ndarray:
    """Weight of each code; arguments as for `weights`.

    Returns
    -------
    ndarray of float64, shape (classes,)
    """
    if codes is None:
        raise ValueError("class_weight is given, but y holds numbers, not classes")
    if classes is not None:
        known = list(classes.tolist())
    else:
        known = list(range(max(2, outputs) if outputs is not None else int(codes.max()) + 1))
    if isinstance(class_weight, str) and class_weight == "balanced":
        counts = np.bincount(codes, minlength=len(known))
        present = np.count_nonzero(counts)
        return np.divide(len(codes), present * counts, out=np.ones(len(counts)), where=counts > 0)
    if not isinstance(class_weight, dict):
        raise TypeError(f"class_weight is {class_weight!r}; wanted a dict from class to weight, or 'balanced'")
    result = np.ones(len(known))
    for name, value in class_weight.items():
        if name not in known:
            raise ValueError(f"class_weight names {name!r}, which is none of the classes ({_listed(known)})")
        code = known.index(name)
        if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
            raise TypeError(f"class_weight[{name!r}] is {value!r}; wanted a number")
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"class_weight[{name!r}] is {value}; wanted a finite number of at least 0")
        result[code] = value
    return result
