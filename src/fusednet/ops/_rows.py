"""Rows of a data set by index, converted and normalised on the way.

Reads _door.py for the checks and calls the kernel `gather_rows`.
"""

import math

import numpy as np

from fusednet.backends import current
from fusednet.backends.table import TYPES
from fusednet.ops._door import (
    F32,
    F64,
    I64,
    array,
    empty,
    finish,
    first_outside,
    fits,
    layout,
    misfit,
    outputs,
    outside,
)

_TYPES = frozenset(np.dtype(name) for name in TYPES)


def _row_numbers(index, r):
    if not (type(index) is np.ndarray and index.dtype is I64 and index.flags.carray):
        index = array("take_rows", "index", index)
        if index.dtype.kind not in "iu":
            if index.size:
                raise TypeError(f"take_rows: index has dtype {index.dtype}; wanted integers")
            index = index.astype(I64)
        index = layout(index, index.dtype.newbyteorder("="), True)
    if index.ndim != 1:
        raise misfit("take_rows", "1 axis, (m,)", index=index)
    first = first_outside(index, r)
    if first >= 0:
        raise outside("take_rows", "index", index, index.shape, first, r, "rows")
    return index if index.dtype is I64 else layout(index, I64, True)


def _per_column(name, value, x, n, dtype):
    if value is None:
        return None
    value = array("take_rows", name, value)
    if value.ndim and value.shape != (n,):
        raise misfit("take_rows", f"a number or ({n},) for {name}", x=x, **{name: value})
    return np.full(n, value, dtype) if value.ndim == 0 else layout(value, dtype, True)


def take_rows(x, index=None, *, shift=None, scale=None, dtype=None, out=None):
    """Rows of `x` by index: ``y[i] = (x[index[i]] - shift) * scale``.

    Only the rows that are asked for are read, so `x` may be a memory map larger than the memory.

    Parameters
    ----------
    x : array_like, shape (r, ...)
        At least 1-D. float32, float64 and 8- to 64-bit integers are read as they are.
    index : array_like of int, shape (m,), optional
        Row numbers from 0 to r - 1, in any order, repeated or not. By default all rows.
    shift, scale : float or array_like, shape (n,), optional
        Per column, n being the elements of a row. Normalisation is the mean and one over the standard deviation.
    dtype : dtype, optional
        float32 or float64, of the result and the arithmetic. By default float64 if a floating argument is, or if none
        is floating; else float32. Python numbers do not count.
    out : ndarray, shape (m, ...), optional
        Where to write the result; may not overlap an input.

    Returns
    -------
    y : ndarray, shape (m, ...)

    Raises
    ------
    ValueError
        If an index is outside of 0 .. r - 1, shapes do not fit, or `out` has another shape, is read-only or overlaps.
    TypeError
        If `index` is not of integers, an argument is not numeric, `dtype` is another, or `out` is not of it.

    Examples
    --------
    >>> import numpy as np
    >>> from fusednet import ops
    >>> counts = np.array([[0, 8], [2, 5]], dtype=np.uint8)
    >>> ops.take_rows(counts, [1, 0, 1], shift=1, scale=0.5, dtype=np.float32)
    array([[ 0.5,  2. ],
           [-0.5,  3.5],
           [ 0.5,  2. ]], dtype=float32)
    """
    checked = None
    if out is None and dtype is None and index is not None and type(x) is np.ndarray and x.ndim == 2:
        index = checked = _row_numbers(index, len(x))
        table = current()
        y = table.made.gather_rows(..., x, index, shift, scale)
        if y is not None:
            return y
    given = None if out is None else {"x": x, "index": index, "shift": shift, "scale": scale}
    x = array("take_rows", "x", x)
    if x.ndim < 1:
        raise misfit("take_rows", "1 or more axes, (r, ...)", x=x)
    if dtype is not None:
        wanted = np.dtype(dtype)
        if wanted not in (F32, F64):
            raise TypeError(f"take_rows: dtype is {wanted}; wanted float32 or float64")
        dtype = F32 if wanted == F32 else F64
    elif shift is None and scale is None and (x.dtype is F32 or x.dtype is F64):
        dtype = x.dtype
    else:
        counted = [x] + [np.asarray(a) for a in (shift, scale) if a is not None and not isinstance(a, (int, float))]
        widths = [a.dtype.itemsize for a in counted if a.dtype.kind == "f"]
        dtype = F32 if widths and max(widths) <= 4 else F64
    r, n = x.shape[0], math.prod(x.shape[1:])
    if index is not None and checked is None:
        index = _row_numbers(index, r)
    shift, scale = _per_column("shift", shift, x, n, dtype), _per_column("scale", scale, x, n, dtype)
    shape = (r if index is None else len(index), *x.shape[1:])
    if out is None:
        users, y = None, empty(shape, dtype)
    else:
        users, (y,) = outputs("take_rows", out, {"y": shape}, dtype, given, flat=False)
    source = x if x.ndim == 2 else x.reshape(r, n) if x.flags.c_contiguous else None
    if source is None or source.dtype not in _TYPES or not fits(source, flat=False):
        # the rows alone are copied, not the whole of x
        chosen, index = x if index is None else x[index], None
        readable = chosen.dtype.newbyteorder("=")
        if readable not in _TYPES:
            readable = {"b": np.uint8, "f": F32 if readable.itemsize < 4 else F64}[readable.kind]
        source = np.array(chosen, dtype=readable, order="C").reshape(shape[0], n)
    current().gather_rows(y.reshape(shape[0], n), source, index, shift, scale)
    return y if users is None else finish(users, (y,))[0]
