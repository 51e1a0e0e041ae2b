"""What users have as features and targets, as arrays that kernels read: any container, dtype, order and stride.

Reads the backends (`find_nonfinite`) and the list of dtypes; read by labels.py, datasets.py and whoever takes data.

a) Nothing is copied that a kernel can read as it is: a memmap larger than memory stays on disk, and dtypes are
   converted row by row when batches are gathered.
b) pandas, polars and others are known by what their objects offer, and never imported here.
c) Messages begin with the name of the user's argument, and name the row and the column.
"""

import math
import numbers
from dataclasses import dataclass

import numpy as np

from fusednet import backends
from fusednet.backends.table import TYPES

_READABLE = frozenset(np.dtype(name) for name in TYPES)
_BLOCK_BYTES = 1 << 26  # what is looked at in one call of `check_finite`: tens of milliseconds, so that Ctrl-C is heard


@dataclass(frozen=True)
class Features:
    """Rows that kernels can read.

    Attributes
    ----------
    array : ndarray, shape (rows, columns)
        Of a dtype in the kernel list, each row contiguous; the user's own memory where that can be.
    names : tuple of str or None
        Of the columns, where they have any.
    shape : tuple of int
        As it was given, before all axes but the first became one.
    """

    array: np.ndarray
    names: tuple[str, ...] | None
    shape: tuple[int, ...]


# ---- containers ------------------------------------------------------------------------------------------------------


def _library(x) -> str:
    """The name of the data frame library that `x` is of, or nothing."""
    for cls in type(x).__mro__:
        name = cls.__module__.split(".")[0]
        if name in ("pandas", "polars"):
            return name
    return ""


def is_frame(x) -> bool:
    """Whether `x` is a data frame of pandas or polars; raises for one of polars that is not there yet."""
    if type(x).__name__ == "LazyFrame" and _library(x) == "polars":
        raise TypeError("a LazyFrame of polars was given; wanted a data frame (use its collect())")
    return bool(_library(x)) and hasattr(x, "columns") and hasattr(x, "dtypes")


def is_batches(x) -> bool:
    """Whether `x` gives batches one after the other, instead of being data itself.

    Parameters
    ----------
    x : object

    Returns
    -------
    bool
        True for iterators, generators and iterable objects; False for arrays, sparse ones too, frames, lists, tuples,
        buffers and whatever converts itself to an array.
    """
    if isinstance(x, (str, bytes, list, tuple, dict, set, frozenset, range, np.ndarray)) or _library(x):
        return False
    if any(hasattr(x, name) for name in ("__array__", "__array_interface__", "__dlpack__")) or _is_sparse(x):
        return False
    try:
        memoryview(x)
    except TypeError:
        return hasattr(type(x), "__iter__")
    return False


def _is_sparse(x) -> bool:
    return hasattr(x, "toarray") and hasattr(x, "nnz")


def as_array(x, what: str) -> np.ndarray:
    """`x` as an ndarray of whatever dtype, its memory shared where that can be; frames are for `features`.

    Raises
    ------
    TypeError
        If it is masked, sparse, an iterator, or cannot be made an array.
    ValueError
        If its rows have different lengths.
    """
    if isinstance(x, np.ndarray) and hasattr(x, "mask"):  # asking for np.ma would import it
        raise TypeError(f"{what} is a masked array; wanted one without a mask (use its filled())")
    if _is_sparse(x):
        raise TypeError(f"{what} is a sparse {type(x).__name__}; wanted a dense array (use its toarray())")
    if isinstance(x, (str, bytes, dict, set, frozenset)) or x is None or is_batches(x):
        raise TypeError(f"{what} is {_brief(x)}; wanted an array, a list or a data frame")
    try:
        if not hasattr(x, "__array__") and hasattr(x, "__dlpack__"):
            return np.from_dlpack(x)
        return np.asarray(x)
    except (TypeError, ValueError, BufferError, RuntimeError) as error:
        raise ValueError(f"{what} cannot be made an array: {error}") from error


def _brief(value) -> str:
    """A value in a message: itself if it is short, else its type."""
    if value is None or isinstance(value, (numbers.Number, np.bool_)):
        return repr(value)
    if isinstance(value, (str, bytes)) and len(value) <= 40:
        return repr(value)
    return f"of type {type(value).__name__}"


def _frame_columns(frame, what: str) -> tuple[list[np.ndarray], tuple[str, ...]]:
    """The columns of a frame as arrays of numbers, missing values NaN, and their names."""
    names = tuple(str(name) for name in frame.columns)
    pandas = _library(frame) == "pandas"
    columns = []
    for j, name in enumerate(names):
        column = frame.iloc[:, j] if pandas else frame[name]
        kind = _number_kind(column.dtype, pandas)
        if kind is None:
            raise TypeError(
                f"{what}: column {name!r} has dtype {column.dtype}; wanted numbers (encode it first, or leave it out)"
            )
        if not pandas:
            columns.append((column.cast(float) if column.null_count() else column).to_numpy())
        elif isinstance(column.dtype, np.dtype):
            columns.append(column.to_numpy())
        elif column.isna().any():
            columns.append(column.to_numpy(dtype=np.float64, na_value=np.nan))
        else:
            columns.append(column.to_numpy(dtype=column.dtype.numpy_dtype))
    return [_readable(column, what) for column in columns], names


def _number_kind(dtype, pandas: bool) -> str | None:
    """"b", "i", "u" or "f" for a frame's dtype of real numbers, else None."""
    if not pandas:
        if dtype.is_integer():
            return "i"
        return "f" if dtype.is_float() else "b" if str(dtype) == "Boolean" else None
    kind = getattr(dtype, "kind", "O")
    return kind if kind in "biuf" and (isinstance(dtype, np.dtype) or hasattr(dtype, "numpy_dtype")) else None


# ---- dtypes and layout -----------------------------------------------------------------------------------------------


def _numbers(a: np.ndarray, what: str) -> np.ndarray:
    """`a`, an array of objects, as float64 if all are real numbers."""
    for place, value in enumerate(a.ravel()):
        if not isinstance(value, (numbers.Real, np.bool_)):
            where = ", ".join(str(int(i)) for i in np.unravel_index(place, a.shape))
            raise TypeError(f"{what}[{where}] is {_brief(value)}; wanted a number")
    return a.astype(np.float64)


def _readable(a: np.ndarray, what: str) -> np.ndarray:
    """`a` in a dtype of the kernel list, in this machine's byte order; copied only if it must be."""
    if a.dtype in _READABLE and a.dtype.isnative:
        return a
    if a.dtype.kind == "O":
        return _numbers(a, what)
    if a.dtype.kind == "b":
        return a.view(np.uint8)
    if a.dtype.kind in "iu":
        return a.astype(a.dtype.newbyteorder("="))
    if a.dtype.kind == "f":
        return a.astype(np.float32 if a.itemsize <= 4 else np.float64)
    raise TypeError(f"{what} has dtype {a.dtype}; wanted real numbers")


def _rows_lie_right(a: np.ndarray) -> bool:
    """Whether a matrix has contiguous rows that follow each other at a distance of whole elements."""
    (height, width), (step, inner), size = a.shape, a.strides, a.itemsize
    if not a.flags.aligned or (inner != size and width > 1):
        return False
    return height <= 1 or (step >= width * size and step % size == 0)


def features(x, *, what: str = "x", width: int | None = None) -> Features:
    """What a user gives as x, as rows that kernels can read.

    Parameters
    ----------
    x : array_like
        2-D, (rows, columns), or of higher rank: all axes but the first become one. Anything of real numbers: arrays of
        any dtype, order, strides and byte order, memmaps, lists, pandas and polars frames, objects with ``__array__``
        or ``__dlpack__``. float16 becomes float32; bool becomes uint8; wider floats float64. Missing values of frames
        become NaN.
    what : str
        The argument's name, for messages.
    width : int, optional
        The number of columns that is wanted.

    Returns
    -------
    Features

    Raises
    ------
    ValueError
        If x is 1-D or a number, has no rows or no columns, rows of different lengths, or not `width` columns.
    TypeError
        If it does not hold real numbers; of a frame, the column is named.
    """
    names = None
    if is_frame(x):
        columns, names = _frame_columns(x, what)
        a = _joined(x, columns)
    else:
        a = as_array(x, what)
    if a.ndim == 0:
        raise TypeError(f"{what} is {_brief(x)}; wanted an array, (rows, columns)")
    if a.ndim == 1:
        raise ValueError(
            f"{what} has shape {a.shape}; wanted 2-D, (rows, columns): {what}.reshape(-1, 1) if it is one column, "
            f"{what}.reshape(1, -1) if it is one row"
        )
    shape = a.shape
    if shape[0] == 0:
        raise ValueError(f"{what} has no rows (shape {shape})")
    columns = math.prod(shape[1:])
    if columns == 0:
        raise ValueError(f"{what} has no columns (shape {shape})")
    if width is not None and columns != width:
        raise ValueError(f"{what} has {columns} features, the model was built for {width}")
    a = _readable(a, what)
    if a.ndim > 2:
        a = a.reshape(shape[0], columns)
    return Features(a if _rows_lie_right(a) else np.array(a, order="C"), names, shape)


def _joined(frame, columns: list[np.ndarray]) -> np.ndarray:
    """Columns of a frame as one matrix; the frame's own memory if it is one already."""
    shape = (len(frame), len(columns))
    if not columns or not shape[0]:
        return np.empty(shape)
    dtype = np.result_type(*columns)
    if _library(frame) == "pandas" and all(d == dtype for d in frame.dtypes) and dtype in _READABLE:
        return frame.to_numpy()
    a = np.empty(shape, dtype)
    for j, column in enumerate(columns):
        a[:, j] = column
    return a


# ---- targets ---------------------------------------------------------------------------------------------------------


def as_targets(y, what: str) -> np.ndarray:
    """What a user gives as y, as an array of whatever dtype; several columns of a frame have to be numbers."""
    if not is_frame(y):
        return as_array(y, what)
    if len(y.columns) != 1:
        return features(y, what=what).array
    return as_array(y.iloc[:, 0] if _library(y) == "pandas" else y[y.columns[0]], what)


def targets(y, columns: int, dtype=np.float32, what: str = "y") -> np.ndarray:
    """Numbers that a network's outputs are held against.

    Parameters
    ----------
    y : array_like, shape (n, columns); (n,) where columns is 1; (n, ...) of as many elements in a row
    columns : int
        Outputs of the network.
    dtype : dtype
        Of the result.
    what : str
        The argument's name, for messages.

    Returns
    -------
    ndarray of dtype, shape (n, columns), C-contiguous

    Raises
    ------
    ValueError
        If the shape does not fit, there are no rows, or a value is NaN or infinite.
    TypeError
        If y does not hold real numbers.
    """
    names = None
    if is_frame(y):
        given = features(y, what=what)
        a, names = given.array, given.names
    else:
        a = as_array(y, what)
    wanted = f"(n, {columns}), a column for each output" + (", or (n,)" if columns == 1 else "")
    if a.ndim == 0 or (a.ndim == 1 and columns != 1) or (a.ndim > 1 and math.prod(a.shape[1:]) != columns):
        raise ValueError(f"{what} has shape {a.shape}; wanted {wanted}")
    if a.shape[0] == 0:
        raise ValueError(f"{what} has no rows (shape {a.shape})")
    with np.errstate(over="ignore"):  # what float32 cannot hold is found to be infinite below
        values = np.require(_readable(a, what), dtype, "CA")
    check_finite(values, what, names)
    return values.reshape(len(values), columns)


# ---- NaN and infinity ------------------------------------------------------------------------------------------------


def first_nonfinite(a: np.ndarray) -> int:
    """The place, counted along rows, of the first NaN or infinity in a matrix, or -1."""
    if a.dtype.kind != "f":
        return -1
    height, width = a.shape
    rows = max(1, _BLOCK_BYTES // max(1, width * a.itemsize))
    first = np.empty(1, np.int64)
    for start in range(0, height, rows):
        block = a[start : start + rows]
        if not _rows_lie_right(block) or block.dtype not in _READABLE or not block.dtype.isnative:
            block = np.require(_readable(block, "array"), requirements="CA")
        backends.current().find_nonfinite(first, block)
        if first[0] >= 0:
            return start * width + int(first[0])
    return -1


def first_beyond(a: np.ndarray, dtype: str) -> int:
    """The place, counted along rows, of the first number of a matrix that `dtype` cannot hold, or -1."""
    if a.dtype.kind != "f" or a.itemsize <= np.dtype(dtype).itemsize:
        return -1
    most = float(np.finfo(dtype).max)
    rows = max(1, _BLOCK_BYTES // max(1, a.shape[1] * a.itemsize))
    for start in range(0, len(a), rows):
        block = a[start : start + rows]
        if block.size and (block.max() > most or block.min() < -most):
            return start * a.shape[1] + int(np.argmax(np.abs(block) > most))
    return -1


def check_finite(array, what: str = "x", names: tuple[str, ...] | None = None, dtype: str | None = None) -> None:
    """Raise if there is NaN or infinity in an array, or what would become one.

    Parameters
    ----------
    array : ndarray or Features
        Of real numbers, 1-D or more. It is read once, in blocks, so a memmap larger than memory can be.
    what : str
        The argument's name, for the message.
    names : tuple of str, optional
        Of the columns; those of `Features` are known.
    dtype : str, optional
        In which the numbers will be used: each has to be within its range.

    Raises
    ------
    ValueError
        Names the first such value, its row, its column and the column's name.
    """
    shape = array.shape
    if isinstance(array, Features):
        array, names = array.array, array.names
    if array.ndim != 2:
        array = array.reshape(len(array), math.prod(shape[1:]))
    wanted, place = "finite numbers", first_nonfinite(array)
    if place < 0 and dtype is not None:
        wanted, place = f"numbers that {dtype} can hold", first_beyond(array, dtype)
    if place < 0:
        return
    row, column = divmod(place, array.shape[1])
    value = array[row, column]
    found = "NaN" if np.isnan(value) else {math.inf: "infinity", -math.inf: "-infinity"}.get(value, f"{value:g}")
    where = f"row {row}"
    if len(shape) == 2:
        where += f", column {column}" + (f" ({names[column]!r})" if names else "")
    elif len(shape) > 2:
        inner = ", ".join(str(int(i)) for i in np.unravel_index(column, shape[1:]))
        where += f", at [{row}, {inner}]"
    raise ValueError(f"{what} has {found} in {where}; wanted {wanted}")
