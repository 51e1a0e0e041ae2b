"""A plan with arrays in its tensors' places: calls that a walker can make.

Reads plan.py and the kernel list; read by runner.py. The walkers (csrc/engine/run.c through _run.pxi, and
backends/interp.py) take its `BoundOp`s.

a) An argument that changes from step to step is one of four patches; everything else is decided here, once.
b) Threads are shared out here too, from the kernels' cost, so that both walkers and `Plan.dump` say the same.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fusednet.backends.table import KERNELS, parts
from fusednet.plan import (
    Band,
    Chunks,
    Column,
    Columns,
    Flat,
    Loaded,
    OneRow,
    Op,
    Part,
    PerRow,
    Plan,
    Rows,
    Scalar,
    Share,
    Slice,
)


@dataclass(frozen=True)
class StepScalar:
    """The step's number in `column` of what `advance` is given; `whole` where the kernel wants an integer."""

    column: int
    whole: bool
    patch = "scalar"
    stand_in = 0


@dataclass(frozen=True, eq=False)
class Load:
    """What `array`, one float64, holds at the call."""

    array: np.ndarray
    patch = "load"
    stand_in = 0.0


@dataclass(frozen=True, eq=False)
class RowsFrom:
    """The next `rows` rows of `array` from `begin` behind the cursor's position on; `flat`: as one row of elements;
    `columns`: begin and end of those that are meant, else all."""

    array: np.ndarray
    rows: int
    flat: bool
    begin: int = 0
    columns: tuple[int, int] | None = None
    patch = "rows"

    def at(self, position: int) -> np.ndarray:
        """The rows from `position` on."""
        rows = self.array[position + self.begin : position + self.begin + self.rows]
        if self.columns is not None:
            rows = rows[:, slice(*self.columns)]
        return rows.reshape(-1) if self.flat else rows

    @property
    def stand_in(self) -> np.ndarray:
        return self.at(0)

    @property
    def row_bytes(self) -> int:
        return self.array.strides[0]


class Cell:
    """Where an array is found that is another one in each call of the walker: the one that was `put` there last.

    Attributes
    ----------
    array : ndarray
    address : ndarray of int64
        One element: where its elements begin.
    """

    def __init__(self, array: np.ndarray):
        self.address = np.empty(1, np.int64)
        self.put(array)

    def put(self, array: np.ndarray) -> None:
        """`array` is contiguous, of the shape and dtype of the one before."""
        self.array = array
        self.address[0] = array.__array_interface__["data"][0]


@dataclass(frozen=True, eq=False)
class FromCell:
    """What is in `cell`, or the part of it that begins at element `begin` and has this shape."""

    cell: Cell
    shape: tuple[int, ...]
    begin: int = 0
    patch = "cell"

    @property
    def stand_in(self) -> np.ndarray:
        end = self.begin + int(np.prod(self.shape))
        return self.cell.array.reshape(-1)[self.begin : end].reshape(self.shape)

    @property
    def offset(self) -> int:
        return self.begin * self.cell.array.itemsize


class BoundOp(NamedTuple):
    """A call that stands ready.

    Attributes
    ----------
    kernel : str
        Its name, or "check", "leave".
    arguments : tuple
    parts : int
        In which it is divided at most, together with the ops after it in its phase.
    end : int
        The op behind the last of its phase; 0 where it is alone.
    rows : int
        By how many it is divided; 0 where the kernel decides.
    slices : int
        Between which of these rows alone its phase is divided; 0: between any.
    slice : int or None
        Whose part of the phase does it, as a whole.
    together : bool
        Whether more parts than slices do their slice's op together.
    """

    kernel: str
    arguments: tuple
    parts: int = 1
    end: int = 0
    rows: int = 0
    slices: int = 0
    slice: int | None = None
    together: bool = False


@dataclass(frozen=True, eq=False)
class BoundProgram:
    """A plan's ops for a number of rows.

    Attributes
    ----------
    ops : tuple of BoundOp
    commit : int
    rows : int
    """

    ops: tuple[BoundOp, ...]
    commit: int
    rows: int


_PLACES = frozenset({Band, Chunks, Column, Columns, Flat, Loaded, OneRow, Part, PerRow, Rows, Scalar, Share, Slice})
"""Classes of arguments that stand for something else; of all others only names of tensors do."""


_DTYPES = {name: np.dtype(name) for name in ("float32", "float64", "int32", "int64")}


class Binder:
    """Puts arrays in the places of a plan's tensors.

    Parameters
    ----------
    plan : Plan
    arrays : dict of str to ndarray
        By name: the flat vectors ("params", "grads", "sums", moments), and all other tensors but those in "work",
        "params" and "grads".
    views : dict of str to ndarray
        Tensors in "params" and "grads".
    arena : ndarray of uint8
        At least `plan.arena` bytes, 64-byte aligned.
    threads : int
    """

    def __init__(self, plan: Plan, arrays: dict, views: dict, arena: np.ndarray, threads: int):
        self.plan, self.arrays, self.views, self.arena, self.threads = plan, arrays, views, arena, threads

    def program(self, rows: int) -> BoundProgram:
        """The plan's ops for batches of `rows` rows."""
        self._made: dict[str, np.ndarray] = {}
        self._rows = rows
        ops = bound(self.plan.ops, self._argument, rows, self.threads)
        return BoundProgram(ops, self.plan.commit, rows)

    def _array(self, name: str) -> np.ndarray:
        array = self._made.get(name)
        if array is None:
            array = self._made[name] = self._find(name)
        return array

    def _find(self, name: str) -> np.ndarray:
        tensor = self.plan.tensors[name]
        if tensor.region != "work":
            return self.views[name] if name in self.views else self.arrays[name]
        shape = tuple([self._rows if extent == "m" else extent for extent in tensor.shape])
        return np.ndarray(shape, _DTYPES[tensor.dtype], self.arena, tensor.offset)

    def _argument(self, argument):
        kind = type(argument)
        if kind is str:
            return self._array(argument)
        if kind not in _PLACES:
            return argument
        if kind is PerRow:
            return argument.number / self._rows
        if kind is Share:
            return argument.of(self._rows)
        if kind is Scalar:
            return StepScalar(self.plan.scalars.index(argument), argument.name == "step")
        array = self._array(argument.tensor)
        if kind is Flat:
            return array.reshape(-1)
        if kind is Column:
            return array.reshape(-1, 1)
        if kind is Part or kind is Band:
            return array[argument.begin : argument.end]
        if kind is OneRow:
            row = array[:, argument.begin : argument.end]
            return row.reshape(-1) if argument.flat else row
        if kind is Columns:
            if argument.rows:
                return RowsFrom(array, self._rows, False, columns=(argument.begin, argument.end))
            return array[:, argument.begin : argument.end]
        if kind is Slice:
            begin, end = argument.of(self._rows)
            return RowsFrom(array, end - begin, False, begin) if argument.rows else array[begin:end]
        if kind is Chunks:
            return array[: argument.of(self._rows)]
        if kind is Loaded:
            return Load(array)
        return RowsFrom(array, self._rows, argument.flat)


_LEAST_ROWS = 128
"""Of a block of weights, each part's, for which parts pack dy as often as there are parts (2026-11: 0.6 % at 128)."""


def bound(ops: Sequence[Op], argument: Callable, rows: int, threads: int) -> tuple[BoundOp, ...]:
    """Ops with what ``argument(a)`` gives for each of their arguments, for batches of `rows` rows."""
    made, work, end = [], 0, 0
    for op in reversed(ops):
        arguments = tuple(map(argument, op.arguments))
        if op.kernel not in KERNELS:
            made.append(BoundOp(op.kernel, arguments))
            continue
        alone = 0 < op.rows < _LEAST_ROWS * threads and not op.is_range
        work, end = (work if op.end == end and not alone else 0), op.end
        work += cost(op.kernel, arguments) if threads > 1 else 0
        divided = rows if op.by_rows else 0 if alone else op.rows
        shared = parts(work, op.most(threads))
        made.append(BoundOp(op.kernel, arguments, shared, 0 if alone else end, divided, op.slices, op.slice,
                            op.together))
    return tuple(reversed(made))


def cost(kernel: str, arguments: tuple) -> int:
    """The cost of a call by its arguments' shapes, as the list says it."""
    values: dict[str, int] = {}
    for parameter, argument in zip(KERNELS[kernel].parameters, arguments, strict=True):
        array = getattr(argument, "stand_in", argument)
        if parameter.role == "int" and isinstance(array, int):
            values[parameter.name] = array
        for name, extent in zip(parameter.shape, getattr(array, "shape", ()), strict=False):
            values[name] = extent
    return KERNELS[kernel].cost(values)
