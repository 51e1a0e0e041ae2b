"""The checks of ``fusednet.ops``: what comes in, in which dtype and layout; what may be written to.

Read by the modules of this package only; reads the list of activations and dtypes (backends/table.py).

a) Two paths. `ready1` to `ready3` ask in tens of nanoseconds whether arrays can go to a kernel as they are (exactly
   ndarray, one floating dtype, C-contiguous, aligned); everything else goes to `convert`, which takes its time. Shapes
   are checked after either, so no check is written twice.
b) Two arrays whose owners are different arrays cannot overlap: that answers most questions of overlap at a fifth of the
   price of ``np.may_share_memory``.
c) Whoever raises says ``function: argument is what was given; wanted what``. All checks of a call come before its first
   write.
"""

import math
import numbers
import operator

import numpy as np

from fusednet.backends import current
from fusednet.backends.table import NEEDS_POSITIVE_ALPHA, SAVES_Z, TYPES, Activation

F32 = np.dtype(np.float32)
F64 = np.dtype(np.float64)
I32 = np.dtype(np.int32)
I64 = np.dtype(np.int64)
INF = math.inf
empty = np.empty
_ndarray = np.ndarray

PARAMETERS = frozenset({"w", "b", "gamma", "beta", "mean", "var"})
"""Arguments that are learnt or measured: integers in them are a mistake, not data."""

OPTIONAL = frozenset({"b", "weights", "saved", "input_saved"})
"""Arguments that may be None."""


# ---- arrays that come in ---------------------------------------------------------------------------------------------
# flags.carray is C-contiguous, aligned and writable. Inputs need not be writable; those that are not go the slow path,
# where they are found to be good as they are. One flag is half the price of two.


def ready1(a):
    """The dtype of an array that can go to a kernel as it is, else None."""
    if type(a) is _ndarray:
        dtype = a.dtype
        if (dtype is F32 or dtype is F64) and a.flags.carray:
            return dtype
    return None


def ready2(a, b):
    """As `ready1`, for two of the same dtype."""
    if type(a) is _ndarray and type(b) is _ndarray:
        dtype = a.dtype
        if (dtype is F32 or dtype is F64) and b.dtype is dtype and a.flags.carray and b.flags.carray:
            return dtype
    return None


def ready3(a, b, c):
    """As `ready1`, for three of the same dtype."""
    if type(a) is _ndarray and type(b) is _ndarray and type(c) is _ndarray:
        dtype = a.dtype
        if (
            (dtype is F32 or dtype is F64)
            and b.dtype is dtype
            and c.dtype is dtype
            and a.flags.carray
            and b.flags.carray
            and c.flags.carray
        ):
            return dtype
    return None


def array(function: str, name: str, value) -> np.ndarray:
    """`value` as an array of real numbers, its dtype as it is."""
    if type(value) is not _ndarray:
        if isinstance(value, _ndarray) and hasattr(value, "mask"):  # asking for np.ma would import it
            raise TypeError(f"{function}: {name} is a masked array; wanted one without a mask (use its filled())")
        try:
            value = np.asarray(value)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{function}: {name} cannot be made an array: {error}") from error
    if value.dtype.kind not in "fiub":
        what = f"an array of dtype {value.dtype}" if value.ndim else repr(value.item())
        raise TypeError(f"{function}: {name} is {what}; wanted an array of real numbers")
    if name in PARAMETERS and value.dtype.kind != "f":
        raise TypeError(f"{function}: {name} has dtype {value.dtype}; wanted float32 or float64")
    return value


def fits(a: np.ndarray, flat: bool) -> bool:
    """Whether the elements of `a` lie as a kernel wants them."""
    flags = a.flags
    if not flags.aligned:
        return False
    if flags.c_contiguous:
        return True
    if flat or a.ndim != 2:
        return False
    (height, width), (step, inner), size = a.shape, a.strides, a.itemsize
    return (inner == size or width == 1) and (height == 1 or (step >= width * size and step % size == 0))


def layout(a: np.ndarray, dtype: np.dtype, flat: bool) -> np.ndarray:
    """`a` in `dtype`, C-contiguous; unless `flat`, a matrix may keep rows that lie apart. Copies only if it must."""
    return a if (a.dtype is dtype or a.dtype == dtype) and fits(a, flat) else np.array(a, dtype=dtype, order="C")


def convert(function: str, flat: bool, **given):
    """The slow path: the dtype of the result, then each argument in it and in a kernel's layout; absent ones are None.

    The dtype is float64 if a floating argument is wider than float32, or if none is floating; else float32.
    """
    arrays = []
    width = 0
    for name, value in given.items():
        if value is None and name in OPTIONAL:
            arrays.append(None)
            continue
        if type(value) is not _ndarray or (value.dtype is not F32 and value.dtype is not F64):
            value = array(function, name, value)
        if value.dtype.kind == "f":
            width = max(width, value.itemsize)
        arrays.append(value)
    dtype = F32 if 0 < width <= 4 else F64
    return dtype, *[a if a is None or (a.dtype is dtype and a.flags.carray) else layout(a, dtype, flat) for a in arrays]


def rows(a: np.ndarray) -> np.ndarray:
    """`a` as a matrix: all axes but the last become one."""
    return a if a.ndim == 2 else a.reshape(math.prod(a.shape[:-1]), a.shape[-1])


def misfit(function: str, wanted: str, **arrays) -> ValueError:
    """The error for shapes that do not fit each other, or for one of the wrong rank."""
    shapes = " and ".join(f"{name} has shape {np.shape(a)}" for name, a in arrays.items() if a is not None)
    return ValueError(f"{function}: {shapes}; wanted {wanted}")


_LABEL_TYPES = frozenset(np.dtype(name) for name in TYPES if "int" in name)


def class_labels(function: str, labels, shape: tuple[int, ...], classes: int) -> np.ndarray:
    """`labels` as a flat int32 array, each in 0 .. classes - 1."""
    if (
        type(labels) is _ndarray
        and labels.dtype is I32
        and labels.shape == shape
        and current().made.find_outside(..., labels, classes) == -1
    ):
        return labels
    plain = type(labels) is _ndarray and (labels.dtype is I32 or labels.dtype in _LABEL_TYPES) and labels.flags.carray
    if not plain:
        labels = array(function, "labels", labels)
        if labels.dtype.kind == "b":
            labels = labels.astype(np.uint8)
        elif labels.dtype.kind == "f":
            if labels.size:
                raise TypeError(
                    f"{function}: labels of shape {labels.shape} have dtype {labels.dtype}; wanted integers, or "
                    f"rows of targets, {(*shape, classes)}"
                )
            labels = labels.astype(I32)
        labels = layout(labels, labels.dtype.newbyteorder("="), True)
    if labels.shape != shape:
        raise ValueError(
            f"{function}: labels have shape {labels.shape}; wanted {shape}, or rows of targets, {(*shape, classes)}"
        )
    flat = labels if len(shape) == 1 else labels.ravel()
    first = first_outside(flat, classes)
    if first >= 0:
        raise outside(function, "labels", flat, shape, first, classes, "classes")
    return flat if flat.dtype is I32 else flat.astype(I32)


def first_outside(flat: np.ndarray, limit: int) -> int:
    """The place of the first integer of `flat` that is not in 0 .. limit - 1, or -1."""
    table = current()
    first = table.made.find_outside(..., flat, limit)
    if first is None:
        cell = empty(1, I64)
        table.find_outside(cell, flat, limit)
        first = cell.item()
    return first


def outside(function: str, name: str, flat: np.ndarray, shape, place: int, limit: int, things: str) -> ValueError:
    """The error for the integer at `place` of `flat`, an array of `shape`, that is not in 0 .. limit - 1."""
    where = ", ".join(str(int(i)) for i in np.unravel_index(place, shape))
    return ValueError(
        f"{function}: {name}[{where}] is {flat[place]}; wanted 0 <= {name} < {limit} (there are {limit} {things})"
    )


# ---- arrays that are written to --------------------------------------------------------------------------------------


def _owner(a: np.ndarray):
    """The array that owns the memory of `a`, where that is an ndarray; else None.

    Written out again in `_plain`, where its call would cost as much as its work.
    """
    base = a.base
    if base is None:
        return a
    return base if type(base) is _ndarray and base.base is None else None


def _overlap(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays share an element; where that takes long to find out, whether their bounds meet."""
    owner, other = _owner(a), _owner(b)
    if owner is not other and owner is not None and other is not None:
        return False
    try:
        return np.shares_memory(a, b, max_work=10_000)
    except np.exceptions.TooHardError:
        return True


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays are element on element the same memory."""
    if a is b:
        return True
    if a.shape != b.shape or a.dtype != b.dtype or a.ctypes.data != b.ctypes.data:
        return False
    return all(i == j for i, j, size in zip(a.strides, b.strides, a.shape, strict=True) if size > 1)


def _writable(function: str, label: str, a, shape, dtype) -> None:
    """Raise unless `a` is a writable array of this shape and dtype whose elements do not overlap."""
    if not isinstance(a, _ndarray):
        raise TypeError(f"{function}: {label} is a {type(a).__name__}; wanted a NumPy array, to be written to")
    if hasattr(a, "mask"):  # its mask would be lost
        raise TypeError(f"{function}: {label} is a masked array; wanted one without a mask, to be written to")
    if a.dtype != dtype:
        raise TypeError(f"{function}: {label} has dtype {a.dtype}; wanted {dtype}")
    if a.shape != shape:
        raise ValueError(f"{function}: {label} has shape {a.shape}; wanted {shape}")
    if not a.flags.writeable:
        raise ValueError(f"{function}: {label} of shape {a.shape} is read-only; wanted a writable array")
    if not a.flags.c_contiguous and a.size:
        # every view made by slicing and transposing passes: each axis steps over all that the finer ones reach
        reach = a.itemsize
        for step, size in sorted((abs(step), size) for step, size in zip(a.strides, a.shape, strict=True)):
            if size > 1:
                if step < reach:
                    raise ValueError(
                        f"{function}: {label} overlaps itself, strides {a.strides}; wanted one that does not"
                    )
                reach += step * (size - 1)


def _plain(users: tuple, results: dict, dtype: np.dtype, given: dict, same: tuple[str, ...]):
    """The fast path of `outputs`: the arrays for the kernel where nothing can be said against `users`, else None."""
    owners = set()
    first = users[0]
    for name in given:
        a = given[name]
        if a is None or (a is first and name in same):
            continue
        if type(a) is not _ndarray:
            return None
        owner = a.base
        if owner is None:
            owner = a
        elif type(owner) is not _ndarray or owner.base is not None:
            return None
        owners.add(id(owner))
    targets = []
    for shape in results.values():
        a = users[len(targets)]
        if a is None:
            targets.append(None if shape is None else empty(shape, dtype))
            continue
        if type(a) is not _ndarray or a.dtype is not dtype or a.shape != shape or not a.flags.carray:
            return None
        owner = a.base
        if owner is None:
            owner = a
        elif type(owner) is not _ndarray or owner.base is not None:
            return None
        if id(owner) in owners:
            return None
        owners.add(id(owner))
        targets.append(a)
    return targets


def outputs(function: str, out, results: dict, dtype: np.dtype, given: dict, same: tuple[str, ...] = (), flat=True):
    """What the user's `out` means: (users' arrays, arrays for the kernel); (None, arrays) where they are the same.

    Parameters
    ----------
    function : str
    out : ndarray or tuple
        An array for the first result, or a tuple of an array or None for each.
    results : dict
        Name to shape, in the order in which they are returned; a shape of None: not computed.
    dtype : dtype
        Of all results.
    given : dict
        The user's inputs by name; none may overlap an out, except that
    same : tuple of str
        the first result may be one of these, element on element.
    flat : bool
        As in `layout`.
    """
    users = out if type(out) is tuple else (out,) + (None,) * (len(results) - 1)
    if len(users) != len(results):
        raise ValueError(f"{function}: out has {len(users)} entries; wanted {len(results)}: {', '.join(results)}")
    targets = _plain(users, results, dtype, given, same)
    if targets is not None:
        return None, targets
    before: dict[str, np.ndarray] = {}
    for number, (name, user) in enumerate(zip(results, users, strict=True)):
        if user is None:
            continue
        label = "out" if out is user else f"out[{number}] ({name})"
        if results[name] is None:
            raise ValueError(f"{function}: {label} is given, but {name} is not asked for")
        _writable(function, label, user, results[name], dtype)
        for other, value in given.items():
            if isinstance(value, (list, tuple)) or value is None:
                continue
            value = np.asarray(value)
            if _overlap(user, value):
                allowed = number == 0 and other in same
                if not (allowed and _same(user, value)):
                    but = f", or {other} itself" if allowed else ""
                    raise ValueError(f"{function}: {label} overlaps {other}; wanted memory of its own{but}")
        for other, value in before.items():
            if _overlap(user, value):
                raise ValueError(f"{function}: {label} overlaps {other}; wanted memory of its own")
        before[label] = user
    targets = tuple(
        None if shape is None else user if type(user) is _ndarray and fits(user, flat) else empty(shape, dtype)
        for user, shape in zip(users, results.values(), strict=True)
    )
    return users, targets


def finish(users, targets) -> tuple:
    """The results in the users' arrays where they gave some."""
    if users is None:
        return targets
    pairs = zip(users, targets, strict=True)
    return tuple(target if user is None else write_back(user, target) for user, target in pairs)


def write_back(user: np.ndarray, work: np.ndarray) -> np.ndarray:
    """Copy what a kernel wrote beside the user's array into it."""
    if user is not work and not np.may_share_memory(user, work):
        user[...] = work.reshape(user.shape)
    return user


def in_place(function: str, arrays: dict, given: dict, shape=None, dtype=None) -> list[np.ndarray]:
    """Flat arrays for a kernel that updates `arrays`; copies (see `write_back`) where they are not contiguous.

    All have one shape and dtype, by default those of the first, and overlap neither each other nor those in `given`.
    """
    first_name, first = next(iter(arrays.items()))
    if shape is None and isinstance(first, _ndarray):
        if first.dtype not in (F32, F64):
            raise TypeError(f"{function}: {first_name} has dtype {first.dtype}; wanted float32 or float64")
        shape, dtype = first.shape, first.dtype
    for name, a in arrays.items():
        _writable(function, name, a, shape, dtype)
    named = list(arrays.items())
    for number, (name, a) in enumerate(named):
        for other, b in named[:number] + [(other, b) for other, b in given.items() if isinstance(b, _ndarray)]:
            if _overlap(a, b):
                raise ValueError(f"{function}: {name} overlaps {other}; wanted memory of its own")
    return [
        a.ravel() if type(a) is _ndarray and a.flags.carray else np.array(a, order="C", subok=False).ravel()
        for a in arrays.values()
    ]


# ---- numbers and names -----------------------------------------------------------------------------------------------


class _Bounds(dict):
    """Lowest and highest number of an interval, worked out when it is first asked for."""

    def __missing__(self, interval: str) -> tuple[float, float]:
        low, high = map(float, interval[1:-1].split(", "))
        # an open end is the closed one at the next number
        self[interval] = bounds = (
            low if interval[0] == "[" else math.nextafter(low, INF),
            high if interval[-1] == "]" else math.nextafter(high, -INF),
        )
        return bounds


_bounds = _Bounds()


def real(function: str, name: str, value, interval: str = "[0, inf)") -> float:
    """`value` as a float in an interval that is written as in mathematics."""
    if type(value) is not float:
        if not isinstance(value, numbers.Real) and not (isinstance(value, _ndarray) and value.ndim == 0):
            raise TypeError(f"{function}: {name} is {value!r}; wanted a number in {interval}")
        try:
            value = float(value)
        except OverflowError:
            value = INF if value > 0 else -INF
    low, high = _bounds[interval]
    if not low <= value <= high:
        raise ValueError(f"{function}: {name} is {value!r}; wanted a number in {interval}")
    return value


def integer(function: str, name: str, value, low: int = -(2**63), high: int = 2**63 - 1) -> int:
    """`value` as an int from low to high."""
    if type(value) is not int:
        try:
            value = operator.index(value)
        except TypeError:
            raise TypeError(f"{function}: {name} is {value!r}; wanted an integer") from None
    if not low <= value <= high:
        raise ValueError(f"{function}: {name} is {value}; wanted an integer from {low} to {high}")
    return value


_DEFAULT_ALPHA = {Activation.LEAKY_RELU: 0.2, Activation.ELU: 1.0}
_KINDS = {kind.name.lower(): (int(kind), _DEFAULT_ALPHA.get(kind, 0.0)) for kind in Activation}
_KINDS["silu"] = _KINDS["swish"]
_KINDS[None] = _KINDS["linear"]


def kind_of(function: str, name, alpha, argument: str = "activation") -> tuple[int, float]:
    """An activation as kernels take it: (kind, alpha)."""
    try:
        kind, default = _KINDS[name]
    except (KeyError, TypeError):
        known = ", ".join(repr(key) for key in _KINDS if key is not None)
        raise ValueError(f"{function}: {argument} is {name!r}; wanted one of {known}, or None for linear") from None
    if alpha is None:
        return kind, default
    if kind not in NEEDS_POSITIVE_ALPHA:
        raise ValueError(f"{function}: alpha is {alpha!r}; wanted none, since {argument} is {name!r}")
    return kind, real(function, "alpha", alpha, "(0, inf)")


def saved_by(function: str, kind: int, saved, argument: str, output=None):
    """The array from which an activation takes its derivative: `saved`, or the output where known and enough."""
    if not kind:
        return None
    if saved is not None:
        return saved
    if output is None or kind in SAVES_Z:
        source = f"the {'input' if kind in SAVES_Z else 'output'} of {Activation(kind).name.lower()}"
        raise ValueError(f"{function}: {argument} is None; wanted {source}, from which its derivative is taken")
    return output


# ---- sums ------------------------------------------------------------------------------------------------------------


def total(a) -> float:
    """The sum of a flat array, in double precision and fixed order."""
    table = current()
    result = table.made.sum(..., a)
    if result is None:
        cell = empty(1, F64)
        table.sum(cell, a)
        result = cell.item()
    return result
