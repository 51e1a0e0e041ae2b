"""How a case is run and judged: arrays in poisoned surroundings, the exact result, and the one comparison.

Reads cases.py, recipes.py and tolerance.py; read by every kernel test.

a) Every array lies in a larger buffer. What surrounds it, between rows too, is one bit pattern that is NaN as a float
   and huge as an integer: what is read from there spoils the result, what is written there is seen afterwards.
   Outputs hold it too before the call. Inputs are read-only and are compared bit by bit after the call.
b) The exact result is the NumPy table's on the same values in a wider dtype: double for float32, long double for
   float64 and for sums that are double in any table. Where long double is no wider, twice the error is allowed.
c) `compare` is the only comparison there is; test_harness.py shows what it refuses.
"""

from dataclasses import dataclass
from functools import lru_cache
from types import SimpleNamespace

import numpy as np
from cases import Case
from recipes import values
from tolerance import RULES

from fusednet.backends import ref_numpy
from fusednet.backends.table import KERNELS, Argument, Table

POISON = np.frombuffer(bytes.fromhex("a5a5fd7f") * 2, np.uint8)
"""Eight bytes: NaN as float32 and float64, beyond any index as int32 and int64."""
GUARD = 1024
"""Bytes of poison before and behind every array."""
ALIGNMENT = 64

# ---- the exact result ------------------------------------------------------------------------------------------------


def is_output(argument: Argument) -> bool:
    return argument.role in ("out", "io")


def _wide(case: Case, dtype: np.dtype) -> type:
    double_out = any(is_output(a) and case.dtype(a, dtype) == np.float64 for a in KERNELS[case.kernel].arguments)
    return np.longdouble if double_out else np.float64


@lru_cache(maxsize=4)
def inputs(case: Case, dtype: str) -> dict[str, np.ndarray]:
    """The case's inputs, plain and read-only."""
    drawn = values(case, dtype)
    for array in drawn.values():
        array.setflags(write=False)
    return drawn


@lru_cache(maxsize=4)
def exact(case: Case, dtype: str) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The exact outputs of a case, and by how much each may be missed."""
    signature = KERNELS[case.kernel]
    wide = _wide(case, np.dtype(dtype))
    given = inputs(case, dtype)
    arguments, outputs, unit = {}, {}, np.dtype(dtype)
    for argument in signature.parameters:
        name = argument.name
        if not argument.shape:
            arguments[name] = case.parameters[name]
        elif name in case.absent:
            arguments[name] = None
        elif argument.dtype == "T" or is_output(argument):
            of = case.dtype(argument, dtype)
            made = given[name].astype(wide) if name in given else np.zeros(case.shape(argument), wide)
            arguments[name] = made if of.kind == "f" else made.astype(of)
            if is_output(argument):
                outputs[name] = arguments[name]
                unit = of if of.kind == "f" else unit
        else:
            arguments[name] = given[name]
    before = SimpleNamespace(**{**case.sizes, **arguments})
    for argument in signature.parameters:
        if argument.role == "io":
            setattr(before, argument.name, arguments[argument.name].copy())
    getattr(ref_numpy, case.kernel)(*(arguments[a.name] for a in signature.parameters))

    info = np.finfo(unit)
    roundoff = float(info.eps) / 2 * (2 if unit == np.dtype(wide) else 1)
    scale = SimpleNamespace(dtype=unit, u=roundoff, tiny=float(info.tiny), least=float(info.smallest_subnormal) * 1.01)
    with np.errstate(all="ignore"):
        allowed = RULES[case.kernel](scale, before, SimpleNamespace(**outputs))
    return outputs, {name: np.broadcast_to(allowed[name], outputs[name].shape) for name in outputs}


# ---- the comparison --------------------------------------------------------------------------------------------------


def compare(got: np.ndarray, expected: np.ndarray, allowed: np.ndarray, name: str = "output") -> None:
    """Raise AssertionError unless `got` is the expected array up to the allowed errors.

    Parameters
    ----------
    got : ndarray
        An output of a kernel, in its own dtype.
    expected, allowed : ndarray, of got's shape
        The exact result and the largest error allowed, element by element. Where the exact result is infinite or NaN,
        or nothing is allowed, `got` has to be the same; where it does not fit in got's dtype, infinity is right.
    name : str
        What the message calls it.
    """
    assert got.shape == expected.shape == allowed.shape, f"{name}: shape {got.shape}, expected {expected.shape}"
    with np.errstate(all="ignore"):
        bounded = (allowed >= 0) & (allowed < np.inf) | ~np.isfinite(expected)
        assert bounded.all(), f"{name}: the allowed error is not a number"
        error = np.abs(got.astype(expected.dtype) - expected)
        good = (error <= allowed) & np.isfinite(expected) | (got == expected) | np.isnan(got) & np.isnan(expected)
        if got.dtype.kind == "f":
            overflow = np.abs(expected) + allowed > np.finfo(got.dtype).max
            good |= overflow & np.isinf(got) & (np.signbit(got) == np.signbit(expected))
        if good.all():
            return
        excess = np.where(good, 0, np.where(np.isnan(error), np.inf, error / allowed))
    worst = np.unravel_index(np.argmax(excess), excess.shape)
    place = f"{name}[{', '.join(map(str, worst))}]"
    raise AssertionError(
        f"{place} is {got[worst]!r}, expected {expected[worst]!r}; the error {error[worst]:.3g} is {excess[worst]:.3g} "
        f"times the allowed {allowed[worst]:.3g}; {good.size - good.sum()} of {good.size} elements are wrong"
    )


# ---- the call --------------------------------------------------------------------------------------------------------


@dataclass
class Embedded:
    """An array in its poisoned buffer."""

    array: np.ndarray
    buffer: np.ndarray
    before: np.ndarray  # the buffer's bytes before the call
    content: np.ndarray  # what the array held before the call, as a copy


def embed(shape: tuple[int, ...], dtype: np.dtype, layout: str, place: int, content: np.ndarray | None) -> Embedded:
    """An array of poison, or of the content, inside of poison.

    Parameters
    ----------
    shape, dtype
        Of the array.
    layout : str
        One of cases.LAYOUTS.
    place : int
        Arguments of different places get different leading dimensions where the layout is padded.
    content : ndarray or None
    """
    rows, columns = shape if len(shape) == 2 else (1, shape[0])
    leading = columns + (3 + place if "padded" in layout else 0)
    size = (GUARD * 2 + (rows * leading + 1) * dtype.itemsize + ALIGNMENT - 1) // 8 * 8 + 8
    memory = np.tile(POISON, size // 8 + ALIGNMENT // 8)
    start = -memory.ctypes.data % ALIGNMENT
    buffer = memory[start : start + size]
    first = GUARD + (dtype.itemsize if "offset" in layout else 0)
    cells = buffer[first : first + rows * leading * dtype.itemsize].view(dtype)
    array = cells.reshape(rows, leading)[:, :columns]
    if len(shape) == 1:
        array = array[0]
    if content is not None:
        array[...] = content
    return Embedded(array, buffer, buffer.copy(), array.copy())


class Call:
    """The arguments of a case for a table of one dtype, and what they must look like afterwards.

    Attributes
    ----------
    arguments : list
        For the kernel's function.
    arrays : dict of str to Embedded
        By argument; an aliased output is its input's.
    """

    def __init__(self, case: Case, dtype: str):
        self.case = case
        self.arrays: dict[str, Embedded] = {}
        self.arguments: list = []
        signature = KERNELS[case.kernel]
        given = inputs(case, dtype)
        alias = dict([case.alias]) if case.alias else {}
        for place, argument in enumerate(signature.parameters):
            if argument.shape and argument.name not in case.absent and argument.name not in alias:
                of = case.dtype(argument, dtype)
                content = given.get(argument.name)
                self.arrays[argument.name] = embed(case.shape(argument), of, case.layout, place, content)
        for output, source in alias.items():
            self.arrays[output] = self.arrays[source]
        self.outputs = [a.name for a in signature.parameters if is_output(a) and a.name in self.arrays]
        for argument in signature.parameters:
            name = argument.name
            if not argument.shape:
                self.arguments.append(case.parameters[name])
            elif name in case.absent:
                self.arguments.append(None)
            else:
                embedded = self.arrays[name]
                embedded.array.setflags(write=self._written(embedded))
                self.arguments.append(embedded.array)

    def _written(self, embedded: Embedded) -> bool:
        return any(self.arrays[name] is embedded for name in self.outputs)

    def collect(self) -> dict[str, np.ndarray]:
        """Copies of the outputs; raises AssertionError if anything else has changed, be it a bit in the padding."""
        outputs = {name: self.arrays[name].array.copy() for name in self.outputs}
        for name, embedded in self.arrays.items():
            if self._written(embedded):
                embedded.array[...] = embedded.content
            changed = np.flatnonzero(embedded.buffer != embedded.before)
            if changed.size:
                array = embedded.array
                place = int(changed[0]) - (array.ctypes.data - embedded.buffer.ctypes.data)
                raise AssertionError(
                    f"{self.case}: {changed.size} bytes around or of {name} were written that are not the kernel's to "
                    f"write, the first {place} bytes from its start (shape {array.shape}, strides {array.strides})"
                )
        return outputs


def run(table: Table, case: Case, dtype: str) -> dict[str, np.ndarray]:
    """The outputs of a case by name; everything but their values has been checked."""
    call = Call(case, dtype)
    getattr(table, case.kernel)(*call.arguments)
    return call.collect()


def check(table: Table, case: Case, dtype: str) -> None:
    """Run a case and compare every output with the exact one."""
    expected, allowed = exact(case, dtype)
    for name, got in run(table, case, dtype).items():
        compare(got, expected[name], allowed[name], f"{case} {dtype}: {name}")
