"""The Numba table: the kernels of the list as Python loops, compiled for this processor at their first call.

Reads table.py and the other files here, one for each family of kernels, named as the families are in csrc/kernels.
Loaded by backends/__init__.py, and only if the table is asked for.

a) One signature for each kernel and dtype: whatever the layout of the arrays, whether they may be written, and whether
   optional ones are there, nothing compiles anew. An absent array is passed as an empty one: an array that is there and
   empty is never touched either.
b) As in C, a kernel does the share `part` of `parts` of its outputs and divides no sum, so the bits do not depend on
   the number of threads. What is compiled and kept on disk are two callers of it made from its list entry: one part,
   and a prange over parts. Small calls take the first and never enter a parallel region.
c) Numba's threads are not safe from every side: two regions at once abort the process in its workqueue layer, and a
   region after a fork does in its OpenMP layer. A call that finds another one in a region, or itself in a forked child,
   does without threads, which changes no bit.
d) Numba discards a file of its cache on disk when the function's source file has changed, and looks at no other. So the
   callers are said to lie in whichever of the files here, table.py and kernels.def changed last.
"""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import numba
import numpy as np
from numba import njit, prange, types

from fusednet.backends.jit_numba import (  # noqa: F401 - they register their kernels
    activation,
    affine,
    batch_norm,
    dropout,
    gather,
    loss,
    mersenne,
    optimizer,
    reduce,
    training,
)
from fusednet.backends.jit_numba.base import BODIES, OPTIONS
from fusednet.backends.table import KERNELS, LIST, Kernel, Table

_CALLERS = """
def {name}({arguments}):
    body({arguments}, 0, 1)

def {name}_parts({arguments}, parts):
    for part in prange(parts):
        body({arguments}, int64(part), parts)
"""
_SOURCES = [Path(LIST), Path(LIST).with_name("table.py"), *Path(__file__).parent.glob("*.py")]
_NEWEST = str(max(_SOURCES, key=lambda path: path.stat().st_mtime_ns))

_threads = numba.config.NUMBA_NUM_THREADS
_forced_parts = 0
_alone = False  # in a forked child
_region = threading.Lock()
_compiling = threading.RLock()


def _leave_team():
    global _alone
    _alone = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_team)


def set_threads(n: int) -> None:
    """Use up to `n` threads from now on; at first, as many as Numba finds processors.

    Numba's own number, which holds for all its functions, is set for each region and put back: it is the user's.

    Parameters
    ----------
    n : int
        At least 1. Calls are divided into up to `n` parts even where Numba has fewer threads to do them.
    """
    global _threads
    if n < 1:
        raise ValueError(f"n is {n}; wanted 1 or more")
    _threads = n


def force_parts(parts: int) -> None:
    """Divide every call into `parts` parts whatever its size (0: as many as it is worth). For tests."""
    global _forced_parts
    if parts < 0:
        raise ValueError(f"parts is {parts}; wanted 0 or more")
    _forced_parts = parts


def _signature(kernel: Kernel, dtype: np.dtype, any_dtype: np.dtype | None) -> list[types.Type]:
    signature = []
    for a in kernel.parameters:
        scalar = numba.from_dtype({"T": dtype, "any": any_dtype}.get(a.dtype) or np.dtype(a.dtype))
        if a.shape:
            layout = "C" if len(a.shape) == 1 else "A"
            scalar = types.Array(scalar, len(a.shape), layout, readonly=a.role in ("in", "any"))
        signature.append(scalar)
    return signature


def _compiled(function: Callable[..., None], signature: list[types.Type], parallel: bool):
    """Compiled now, or read from disk; one signature, to which arguments are converted."""
    try:
        return njit([tuple(signature)], cache=True, parallel=parallel, **OPTIONS)(function)
    except RuntimeError as error:  # no directory to keep files in: a read-only container with no home
        if "cannot cache" not in str(error):
            raise
        return njit([tuple(signature)], parallel=parallel, **OPTIONS)(function)


class _Variant:
    """A kernel for one dtype: compiled callers, and what stands for absent arrays."""

    def __init__(self, kernel: Kernel, dtype: np.dtype, any_dtype: np.dtype | None):
        self.signature = _signature(kernel, dtype, any_dtype)
        text = _CALLERS.format(name=kernel.name, arguments=", ".join(a.name for a in kernel.parameters))
        scope = {"body": BODIES[kernel.name][0], "prange": prange, "int64": np.int64, "__name__": __name__}
        exec(compile(text, _NEWEST, "exec"), scope)
        self.serial = _compiled(scope[kernel.name], self.signature, parallel=False)
        self._parts = scope[f"{kernel.name}_parts"]
        self._parallel: Callable[..., None] | None = None
        self.absent = [
            (i, np.empty((0,) * len(a.shape), dtype if a.dtype == "T" else a.dtype))
            for i, a in enumerate(kernel.parameters)
            if a.optional
        ]

    def divided(self, args, parts: int) -> None:
        """The call in `parts` parts, by as many of Numba's threads."""
        if self._parallel is None:
            with _compiling:
                self._parallel = self._parallel or _compiled(self._parts, [*self.signature, types.intp], parallel=True)
        before = numba.get_num_threads()
        numba.set_num_threads(min(parts, numba.config.NUMBA_NUM_THREADS))
        try:
            self._parallel(*args, parts)
        finally:
            numba.set_num_threads(before)


def _function(kernel: Kernel) -> Callable[..., None]:
    """What the table holds: finds the variant, fills in absent arrays, decides how many threads the call is worth."""
    grain = BODIES[kernel.name][1]
    parameters = kernel.parameters
    lead = next((i for i, a in enumerate(parameters) if a.dtype == "T"), None)
    any_ = next((i for i, a in enumerate(parameters) if a.dtype == "any"), None)
    needed = {a.name: i for i, a in enumerate(parameters) if a.shape and not a.optional}
    places = {
        size: (i, parameters[i].shape.index(size))
        for i in needed.values()
        for size in parameters[i].shape
        if size in ("m", "n", "k")
    }
    sizes = tuple(places.values())
    variants: dict[object, _Variant] = {}

    def make(key, dtype, any_dtype):
        with _compiling:
            if key not in variants:
                variants[key] = _Variant(kernel, dtype, any_dtype)
            return variants[key]

    def call(*args):
        dtype = None if lead is None else args[lead].dtype
        any_dtype = None if any_ is None else args[any_].dtype
        key = dtype if any_dtype is None else (dtype, any_dtype)
        variant = variants.get(key) or make(key, dtype, any_dtype)
        if variant.absent:
            args = list(args)
            for i, empty in variant.absent:
                if args[i] is None:
                    args[i] = empty
        parts = 1
        if grain:
            work = 1
            for i, axis in sizes:
                work *= args[i].shape[axis]
            parts = _forced_parts or min(_threads, work // grain)
        if parts < 2 or _alone or not _region.acquire(blocking=False):
            variant.serial(*args)
            return
        try:
            variant.divided(args, parts)
        finally:
            _region.release()

    call.__name__ = call.__qualname__ = kernel.name
    return call


_table: list[Table] = []


def table() -> Table:
    """The kernels as a table; each compiles at its first call with a dtype, or is read from Numba's cache."""
    with _compiling:
        if not _table:
            _table.append(Table("numba", {name: _function(KERNELS[name]) for name in BODIES}, set_threads=set_threads))
    return _table[0]
