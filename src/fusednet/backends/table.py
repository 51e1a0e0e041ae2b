"""What a backend is: a table of the kernels listed in ``kernels.def``, under their names.

Reads ``kernels.def``; read by the three tables, the native border, the tests and the benchmarks.

a) The list is parsed, not repeated: a kernel added there is asked of every table at import.
b) A table's function takes the list's arguments in order without the sizes, which the arrays carry; ``None`` stands for
   an absent optional array. It writes its outputs and returns nothing. Arrays are of the table's dtype, C-contiguous in
   their last axis, and have been checked: a table is not a door (``fusednet.ops`` is).
"""

import os.path
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from types import SimpleNamespace

LIST = os.path.join(os.path.dirname(__file__), "kernels.def")  # no Path: to import pathlib takes milliseconds
CHUNK = 4096  # elements that `square_sums` adds up as one; FN_CHUNK in C, a test holds them together
CYCLES_PER_PART = 2000  # of an op in a run, whose team is awake: csrc/engine/share.c may choose fewer parts


@dataclass(frozen=True)
class Argument:
    """One argument of a kernel, as the list states it.

    Attributes
    ----------
    name : str
    role : {"out", "io", "in", "any", "real", "int", "size"}
        "any" is an input of any dtype in `TYPES`.
    shape : tuple of str
        Names of the sizes, outermost first; empty for scalars.
    dtype : str
        "T" for the table's dtype, else "float64", "int64", "int32", or "any".
    optional : bool
    """

    name: str
    role: str
    shape: tuple[str, ...] = ()
    dtype: str = "T"
    optional: bool = False

    @property
    def written(self) -> bool:
        return self.role in ("out", "io")


@dataclass(frozen=True)
class Kernel:
    """One row of the list: a name and its arguments in order, sizes last."""

    name: str
    number: int
    arguments: tuple[Argument, ...]
    cost_expression: str = "0"

    @cached_property
    def cost(self) -> Callable[[Mapping[str, int]], int]:
        """``cost(values)``: about how many processor cycles a call takes; values are its sizes and integers by name."""
        codes = {f"FN_ACT_{name}": str(code) for code, name in enumerate(_ACTIVATIONS)}
        text = re.sub(r"SIZE\((\w+)\)", r"v['\1']", self.cost_expression).replace("/", "//")
        text = re.sub(r"FN_ACT_\w+", lambda name: codes[name[0]], text)
        if match := re.fullmatch(r"(.*)\?(.*):(.*)", text):
            text = f"({match[2].strip()}) if ({match[1].strip()}) else ({match[3].strip()})"
        return eval(f"lambda v: {text}", {"__builtins__": {}})  # the package's own list, no user's text

    @cached_property
    def parameters(self) -> tuple[Argument, ...]:
        """What a table's function takes, in order: all but the sizes."""
        return tuple(a for a in self.arguments if a.role != "size")

    @property
    def split(self) -> bool:
        """Whether a call can be divided in parts."""
        return self.cost_expression != "0"

    @cached_property
    def rows(self) -> str | None:
        """The size by which the kernel works row by row: row i of its outputs depends on row i of the inputs that have
        that size, and on all of the others. None: it does not.

        It is the first of every output and of an input, and nowhere else.
        """
        arrays = [a for a in self.arguments if a.shape]
        size = next(a.shape[0] for a in arrays if a.written)
        first = [a for a in arrays if a.shape[0] == size]
        by_rows = (
            self.split
            and all(a in first for a in arrays if a.written)
            and any(a.role != "out" for a in first)
            and not any(size in a.shape[1:] for a in arrays)
        )
        return size if by_rows else None

    @cached_property
    def sizes(self) -> tuple[str, ...]:
        return tuple(a.name for a in self.arguments if a.role == "size")


_ROLES = {"OUT": "out", "IO": "io", "IN": "in", "ANY": "any"}
_DTYPES = {"F64": "float64", "I64": "int64", "I32": "int32", None: "T"}
_ARRAY = re.compile(r"(OUT|IO|IN|ANY)([12])(_OPT)?(?:_(F64|I64|I32))?")


def _argument(kind: str, words: list[str]) -> Argument:
    name, *shape = words
    if kind in ("REAL", "INT", "SIZE"):
        return Argument(name, kind.lower(), dtype={"REAL": "float64"}.get(kind, "int64"))
    match = _ARRAY.fullmatch(kind)
    if match is None or len(shape) != int(match[2]):
        raise ValueError(f"kernels.def: FN_{kind}({', '.join(words)}) is not an argument that the list knows")
    role = _ROLES[match[1]]
    dtype = "any" if role == "any" else _DTYPES[match[4]]
    return Argument(name, role, tuple(shape), dtype, optional=match[3] is not None)


def _parse(text: str) -> tuple[dict[str, Kernel], *tuple[tuple[str, ...], ...]]:
    text = re.sub(r"/\*.*?\*/|^#.*?$", "", text, flags=re.DOTALL | re.MULTILINE)
    kernels: dict[str, Kernel] = {}
    for entry in text.split("FN_KERNEL(")[1:]:
        name = entry.split(",", 1)[0].strip()
        arguments = tuple(
            _argument(kind, [word.strip() for word in words.split(",")])
            for kind, words in re.findall(r"FN_(\w+)\(([^()]*)\)", entry)
        )
        cost = entry.split(",", 2)[1].strip()
        kernels[name] = Kernel(name, len(kernels), arguments, cost)
    activations = tuple(re.findall(r"FN_ACTIVATION\((\w+)\)", text))
    types = tuple(re.findall(r"FN_TYPE\((\w+)\)", text))
    precisions = tuple(re.findall(r"FN_PRECISION\((\w+)\)", text))
    return kernels, activations, types, precisions


def parts(cost: int, threads: int) -> int:
    """How many of `threads` threads an op of `cost` cycles is worth in a run: more never make it slower."""
    return max(1, min(threads, cost // CYCLES_PER_PART))


def chunks(n: int) -> int:
    """How many sums `square_sums` and `absolute_sums` make of n elements."""
    return -(-n // CHUNK)


with open(LIST, encoding="utf-8") as _file:
    _text = _file.read()
KERNELS, _ACTIVATIONS, TYPES, PRECISIONS = _parse(_text)
"""KERNELS: the list by name, in its order. TYPES: dtype names of "any" arguments, by code. PRECISIONS: names of
`precision` arguments, by code."""

Activation = IntEnum("Activation", [name.upper() for name in _ACTIVATIONS], start=0)  # type: ignore[misc]
Activation.__doc__ = "Codes of `kind` arguments, as the list counts them."

SAVES_Z = frozenset({Activation.SWISH, Activation.GELU, Activation.GELU_TANH})
"""Activations whose derivative is taken from their input; all others' is taken from their output."""

NEEDS_POSITIVE_ALPHA = frozenset({Activation.LEAKY_RELU, Activation.ELU})


class NoMaker:
    """What a table without makers has in their place: it says None, that the caller takes care."""

    def __call__(self, *arguments):
        return None

    update = summed = mean = __call__


NO_MAKERS: Mapping[str, Callable[..., object]] = dict.fromkeys(KERNELS, NoMaker())


class Table:
    """The kernels of one backend, each an attribute under its name.

    Parameters
    ----------
    backend : str
        "native", "numba" or "numpy".
    functions : mapping of str to callable
        One for each name in `KERNELS`.
    isa : str, optional
        Instruction set of a native table.
    set_threads : callable, optional
        Takes the number of threads that the kernels may use; by default a table has none of its own.
    walker : object, optional
        Walks plans natively: `run` and `shuffle` as backends/native.py has them. None: backends/interp.py does.
    makers : mapping of str to callable, optional
        What kernels make of arrays that need no care, in one step (`fusednet._native.Maker`), as attributes of `made`.
        By default each says None: that the caller takes care.

    Raises
    ------
    LookupError
        If a kernel of the list is missing, or a function is not in the list.
    """

    def __init__(
        self,
        backend: str,
        functions: Mapping[str, Callable[..., None]],
        isa: str | None = None,
        set_threads: Callable[[int], None] = lambda number: None,
        walker: object = None,
        makers: Mapping[str, Callable[..., object]] = NO_MAKERS,
    ):
        missing = KERNELS.keys() - functions.keys()
        unknown = functions.keys() - KERNELS.keys()
        if missing or unknown:
            raise LookupError(
                f"the {backend} table does not match kernels.def: "
                f"missing {sorted(missing)}, not in the list {sorted(unknown)}"
            )
        self.backend = backend
        self.isa = isa
        self.set_threads = set_threads
        self.walker = walker
        self.made = SimpleNamespace(**makers)
        self.__dict__.update(functions)

    def __repr__(self) -> str:
        return f"<{self.backend} table{f' {self.isa}' if self.isa else ''}, {len(KERNELS)} kernels>"
