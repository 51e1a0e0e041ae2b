"""A job: one kernel call that is timed, as data, with what it has to move and to compute.

Reads the list of kernels (fusednet/backends/table.py) and expressions.py; read by every bench_*.py, which list jobs,
and by timing.py, which times them.

a) The arrays follow from the kernel's entry in the list and the sizes; so do the bytes: an input is read once, an
   output written once, an array that is changed in place counts as updated.
b) The arrays of a job lie one behind the other in one block, 64-byte aligned, as in an engine's arena, each a few
   cache lines further into its page than the one before.
"""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import expressions
import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))  # cases.py, the list of shapes

from fusednet.backends.table import KERNELS, Argument, Table

ALIGNMENT, SKEW = 64, 17 * 64


@dataclass(frozen=True)
class Job:
    """One kernel call.

    Attributes
    ----------
    kernel, dtype : str
    sizes : dict of str to int
    parameters : dict of str to float
        Scalar arguments; those that are not named are 0.
    name : str
        Of the variant, "relu" for example; empty where there is one.
    level : str
        Where its data lie: "L2", "memory", or empty where that does not matter.
    absent : frozenset of str
        Optional arguments that are None.
    types : dict of str to str
        Dtypes of arguments of any dtype.
    flop : float
        Multiply-adds count twice. 0: the job is bound by what it moves.
    share, ratio : float or None
        Wanted share of the floor, and wanted speed relative to NumPy; None: told, not judged.
    arithmetic : bool
        Transcendental functions: in a cache it is arithmetic that bounds it, for which there is no probe, so the share
        of the bytes' floor is told and not judged there. In memory the job's own speed in the cache is a second floor.
    """

    kernel: str
    dtype: str
    sizes: dict[str, int]
    parameters: dict[str, float] = field(default_factory=dict)
    name: str = ""
    level: str = ""
    absent: frozenset[str] = frozenset()
    types: dict[str, str] = field(default_factory=dict)
    flop: float = 0.0
    share: float | None = None
    ratio: float | None = None
    arithmetic: bool = False

    @property
    def title(self) -> str:
        return f"{self.kernel} {self.name}".strip()

    @property
    def size(self) -> str:
        sizes = "x".join(str(self.sizes[s]) for s in self.sizes if s not in ("one", "chunks", "r", "words"))
        return f"{sizes} ({self.level})" if self.level else sizes

    def __str__(self) -> str:
        return re.sub(r"[ ()]+", "-", f"{self.title} {self.dtype} {self.size}").strip("-")

    def _array_dtype(self, argument: Argument) -> np.dtype:
        if argument.dtype == "any":
            return np.dtype(self.types.get(argument.name, self.dtype))
        return np.dtype(self.dtype if argument.dtype == "T" else argument.dtype)

    def _arrays(self) -> list[tuple[Argument, tuple[int, ...], np.dtype]]:
        return [
            (a, tuple(self.sizes[s] for s in a.shape), self._array_dtype(a))
            for a in KERNELS[self.kernel].parameters
            if a.shape and a.name not in self.absent
        ]

    def bytes(self) -> dict[str, int]:
        """Bytes that must be moved at least, by probe: {"read": ..., "write": ..., "update": ...}."""
        moved = {"read": 0, "write": 0, "update": 0}
        what = {"in": "read", "any": "read", "out": "write", "io": "update"}
        for argument, shape, dtype in self._arrays():
            size = int(np.prod(shape)) * dtype.itemsize
            if self.kernel == "gather_rows" and argument.name == "x":
                size = self.sizes["m"] * self.sizes["n"] * dtype.itemsize
            moved[what[argument.role]] += size
        return moved

    @property
    def footprint(self) -> int:
        return sum(int(np.prod(shape)) * dtype.itemsize for _, shape, dtype in self._arrays())

    def shrunk(self, total: int) -> "Job":
        """The same job on so many bytes: fewer rows of the same length, or a shorter range."""
        size = "m" if "m" in self.sizes else "n"
        fewer = max(1, int(self.sizes[size] * total / self.footprint))
        if size == "n":
            fewer = -(-fewer // 1024) * 1024
        return replace(self, sizes={**self.sizes, size: fewer}, level="L2")

    @property
    def elements(self) -> int:
        return self.sizes.get("m", 1) * self.sizes["n"]

    def arguments(self) -> tuple:
        """Fresh arguments for the kernel's function."""
        rng = np.random.default_rng(0)
        arrays = self._arrays()
        block = np.empty(sum(int(np.prod(s)) * d.itemsize + ALIGNMENT + SKEW for _, s, d in arrays) + 64, np.uint8)
        place = -block.ctypes.data % ALIGNMENT
        made = {}
        for argument, shape, dtype in arrays:
            size = int(np.prod(shape)) * dtype.itemsize
            array = block[place : place + size].view(dtype).reshape(shape)
            array[...] = self._values(argument, shape, dtype, rng)  # outputs too: their pages are there
            made[argument.name] = array
            place += -(-size // ALIGNMENT) * ALIGNMENT + SKEW
        return tuple(
            made.get(a.name) if a.shape else (int if a.role == "int" else float)(self.parameters.get(a.name, 0))
            for a in KERNELS[self.kernel].parameters
        )

    def _values(self, argument: Argument, shape, dtype: np.dtype, rng) -> np.ndarray:
        limit = {"label": self.sizes.get("n"), "index": self.sizes.get("r", 100)}.get(argument.name)
        if limit is not None:
            return rng.integers(0, limit, shape)
        if dtype.kind != "f":
            return rng.integers(0, 100, shape)
        count = int(np.prod(shape))
        drawn = rng.standard_normal(min(count, 1 << 20))
        if argument.name in ("v", "var", "running_var", "scale", "y", "target"):
            drawn = np.abs(drawn) % 1 + 0.01
        return np.resize(drawn.astype(dtype), count).reshape(shape)

    def numpy(self) -> Callable | None:
        """The expression to compare with, of the kernel's arguments; None where NumPy has none."""
        kind = self.parameters.get("kind")
        if kind is not None and not expressions.has_activation(kind):
            return None
        return getattr(expressions, self.kernel)

    def function(self, table: Table) -> Callable:
        return getattr(table, self.kernel)


def flat(kernel: str, level: str, total: int, dtype: str, **others) -> Job:
    """A job over n elements whose arrays have about `total` bytes together, or, in memory, the largest alone."""
    arrays = sum(a.shape == ("n",) and a.name not in others.get("absent", ()) for a in KERNELS[kernel].parameters)
    if level == "memory":
        arrays = 1
    n = max(total // arrays // np.dtype(dtype).itemsize // 1024, 1) * 1024
    sizes = {size: n if size == "n" else 1 for size in KERNELS[kernel].sizes}
    return Job(kernel, dtype, sizes, level=level, **others)


def matrix(kernel: str, level: str, total: int, dtype: str, n: int, **others) -> Job:
    """The same over rows of n elements; `total` is that of the matrices."""
    absent = others.get("absent", ())
    arrays = sum(len(a.shape) == 2 and a.name not in absent for a in KERNELS[kernel].parameters)
    if level == "memory":
        arrays = 1
    m = max(total // arrays // np.dtype(dtype).itemsize // n, 1)
    return Job(kernel, dtype, {"m": m, "n": n}, level=level, **others)


TARGETS = {"L2": 0.60, "memory": 0.85}
"""Wanted share of the measured rate of the level."""

DTYPES = ("float32", "float64")
