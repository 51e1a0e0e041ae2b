"""The native table: C kernels for one instruction set, chosen at import by what the processor and the system have.

Wraps the compiled border (`fusednet._native`); only backends/__init__.py loads it, and only if it is wanted.
"""

import os
import zlib

import numpy as np

from fusednet import _native
from fusednet.backends.table import CHUNK, KERNELS, LIST, PRECISIONS, Table

with open(LIST, "rb") as file:
    same_list = zlib.crc32(file.read()) == _native.LIST_CRC  # no hashlib: to import it takes milliseconds
if not same_list or _native.CHUNK != CHUNK:
    raise ImportError(
        "the compiled module was built from another kernels.def than the one beside it; build it again (pip install)"
    )

force_parts = _native.force_parts
build_info = _native.build


def _proved(isa: str, number: int) -> bool:
    """Whether bfloat16 products, where an instruction set has them, are what they should be: emulators and hypervisors
    are known to say yes to more than they can do. number: the set's place in the list of those that were built."""
    if not isa.endswith("bf16"):
        return True
    affine_fwd = _native.kernels(number, KERNELS)["affine_fwd"]
    size, depth = 160, 64  # large enough for all words
    numbers = np.arange(size * depth, dtype=np.int32)
    x = (numbers % 7 - 3).astype(np.float32).reshape(size, depth)
    w = (numbers % 5 - 2).astype(np.float32).reshape(depth, size)
    full = (numbers * 1627 % 2**24).astype(np.float32).reshape(size, depth)  # of up to 24 significant bits
    chosen = np.eye(depth, size, dtype=np.float32)

    def product(x, w, word):
        y = np.empty((size, size), np.float32)
        affine_fwd(y, None, x, w, None, 0, 0.0, PRECISIONS.index(word))
        return y

    wanted = x @ w  # whole numbers this small are exact in bfloat16, their sums in float32; "highest" loses no bit
    exact = all((product(x, w, word) == wanted).all() for word in PRECISIONS)
    return bool(exact and (product(full, chosen, "highest")[:, :depth] == full).all())


# Asked once: in a virtual machine the question takes hundreds of microseconds.
_ISAS = {name: has and _proved(name, number) for number, (name, has) in enumerate(_native.isas())}


def isas() -> dict[str, bool]:
    """Instruction sets that were built, best first, and whether this machine has them."""
    return dict(_ISAS)


def _number(isa: str | None) -> int:
    return list(_ISAS).index(isa or chosen_isa())


def chosen_isa() -> str:
    """The best instruction set that this machine has, or the one that ``FUSEDNET_ISA`` names.

    Raises
    ------
    ValueError
        If ``FUSEDNET_ISA`` names none that was built, or one that this machine lacks.
    """
    there = isas()
    supported = [name for name, has in there.items() if has]
    forced = os.environ.get("FUSEDNET_ISA")
    if not forced:
        return supported[0]
    if forced not in there:
        built, here = ", ".join(there), ", ".join(supported)
        raise ValueError(f"FUSEDNET_ISA is {forced!r}; built: {built}; this machine has: {here}")
    if not there[forced]:
        raise ValueError(f"FUSEDNET_ISA is {forced!r}, which this machine lacks; it has: {', '.join(supported)}")
    return forced


class Walker:
    """The C loop for one instruction set; its Python twin is backends/interp.py."""

    shuffle = staticmethod(_native.shuffle)

    def __init__(self, isa: int, kernels: dict):
        self._isa, self._kernels = isa, kernels

    def run(self, full, tail, rows, batch, steps_per_epoch, order, chosen, seed, cursor, sums, records, dtype, flush):
        """What `advance` walks; `full` and `tail` are `fusednet.bind.BoundProgram`, see `_native.Run`."""
        programs = [p and _native.Program(self._kernels, p.ops, p.commit) for p in (full, tail)]
        return _native.Run(self._isa, dtype == "float64", *programs, rows, batch, steps_per_epoch, order, chosen, seed,
                           cursor, sums, records, flush)

    def forward(self, run, x, out, seconds):
        """What `run` gives for other rows than x; see `_native.Forward`."""
        return _native.Forward(run, x, out, self._kernels["find_nonfinite"], np.ndarray, np.empty, seconds)


_tables: dict[str, Table] = {}


def table(isa: str | None = None) -> Table:
    """The kernels of one instruction set.

    Parameters
    ----------
    isa : str, optional
        A name from `isas`; by default `chosen_isa`.
    """
    name = chosen_isa() if isa is None else isa
    if name not in _tables:
        if not isas().get(name, False):
            raise ValueError(f"isa is {name!r}; this machine has: {', '.join(n for n, has in isas().items() if has)}")
        kernels = _native.kernels(_number(name), KERNELS)
        walker = Walker(_number(name), kernels)
        _tables[name] = Table("native", kernels, name, _native.set_threads, walker, _native.makers(kernels))
    return _tables[name]


def probe(what: str, dtype, array, repeat: int, isa: str | None = None) -> int:
    """Run a ceiling probe on as many threads as kernels may use (`fusednet.set_num_threads`).

    Parameters
    ----------
    what : {"fma", "dot", "read", "write", "update"}
        "dot": multiply-adds of bfloat16 numbers, which only instruction sets with units for them have.
    dtype : {"float32", "float64"}
    array : ndarray or None
        What is read or written, the threads sharing it: on a 64-byte boundary, 1024 elements or a multiple a thread.
    repeat : int
        How many times.
    isa : str, optional
        By default `chosen_isa`.

    Returns
    -------
    int
        The operations done for "fma" and "dot", else the bytes that were passed; the time is the caller's to take.
    """
    return _native.probe(_number(isa), str(dtype) == "float64", what, array, repeat)


def math(name: str, y, x, isa: str | None = None) -> None:
    """``y = exp(x)`` or ``tanh(x)`` by the library's own vector function."""
    _native.math(_number(isa), name, y, x)


ULP_BOUNDS = _native.ulp_bounds(0)
"""Stated largest errors in ULP by (function, dtype name); they hold for every instruction set."""
