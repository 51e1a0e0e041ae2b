"""THE list of cases: for every kernel of the list its sizes, values, optional arguments, aliases and layouts.

Reads backends/table.py (the kernels' signatures); read by harness.py, by every kernel test and by bench/. Cases are
data: nothing here runs a kernel. Their numbers are drawn by recipes.py.

a) A case is of no dtype: it is drawn for the one that is asked for, always the same from the case's name.
b) Sizes are chosen for the code that they reach: 0 and 1, every remainder around vectors (16 floats, unrolled by
   4) and GEMM tiles (6 x 16, 14 x 32), both sides of the blocking over k (256), primes, and enough for several threads.
c) Layouts go round in turns through each sweep instead of multiplying it.
"""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

from fusednet.backends.table import CHUNK, KERNELS, PRECISIONS, SAVES_Z, TYPES, Activation, Argument

LAYOUTS = ("plain", "padded", "offset", "padded offset")
"""padded: rows longer than what is used of them. offset: the first element one element past an aligned address."""


@dataclass(frozen=True, eq=False)
class Case:
    """One call of one kernel.

    Attributes
    ----------
    kernel, name : str
        The name is unique within the kernel and seeds the values.
    sizes : dict of str to int
        All sizes of the kernel.
    parameters : dict of str to int or float
        All scalar arguments.
    values : dict of str to str
        By input, the recipe that draws it (a key of recipes.RECIPES) where it is not the usual one.
    absent : frozenset of str
        Optional arguments that are None.
    alias : tuple of str or None
        (output, input) that are the same array.
    layout : str
        One of `LAYOUTS`.
    types : dict of str to str
        By argument of any dtype, its dtype.
    big : bool
        Worth several threads in every table.
    """

    kernel: str
    name: str
    sizes: dict[str, int]
    parameters: dict[str, float] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    absent: frozenset[str] = frozenset()
    alias: tuple[str, str] | None = None
    layout: str = "plain"
    types: dict[str, str] = field(default_factory=dict)
    big: bool = False

    def __str__(self) -> str:
        return f"{self.kernel}-{self.name}"

    def shape(self, argument: Argument) -> tuple[int, ...]:
        return tuple(self.sizes[size] for size in argument.shape)

    def dtype(self, argument: Argument, dtype: np.dtype) -> np.dtype:
        """The dtype of an argument in a call of a table of `dtype`."""
        name = {"T": np.dtype(dtype).name, "any": self.types.get(argument.name)}.get(argument.dtype, argument.dtype)
        return np.dtype(name)


# ---- sizes -----------------------------------------------------------------------------------------------------------

FLAT = (*range(68), 95, 96, 97, 127, 128, 129, 131, 191, 193, 255, 257, 509, 997, CHUNK - 1, CHUNK + 3)
FLAT_FEW = (0, 1, 3, 7, 8, 9, 15, 16, 17, 31, 33, 63, 65, 131, 997)
FLAT_BIG = 65536 + 3

MATRIX = (
    *((0, 0), (0, 5), (5, 0), (1, 1)),
    *((5, n) for n in (*range(1, 36), 47, 48, 49, *range(63, 68), 95, 97, 127, 128, 129, 131, 257, 1000)),
    *((m, 17) for m in (*range(1, 5), *range(6, 20), 31, 32, 33, 63, 64, 65, 127, 129, 257)),
)
MATRIX_FEW = ((1, 1), (3, 7), (4, 8), (7, 16), (5, 17), (9, 33), (13, 64), (16, 65), (33, 31), (61, 131))
MATRIX_BIG = (997, 131)

_ROWS = (*range(31), 41, 42, 43, 55, 57, 71)
_COLUMNS = (*range(68), 95, 96, 97, 127, 129)
_DEPTHS = (*range(10), 15, 16, 17, 31, 33, 63, 65, 127, 129, *range(254, 259), 511, 512, 513, 769)
PRODUCTS = (
    *((rows, 33, 19) for rows in _ROWS),
    *((15, columns, 11) for columns in _COLUMNS),
    *((15, 35, depth) for depth in _DEPTHS),
    *itertools.product((1, 2, 6, 7, 13, 14), (1, 8, 16, 31, 32), (1, 4, 257)),
    *((1030, 70, 40), (30, 4200, 20), (19, 41, 1100), (1, 1, 2000), (1, 997, 131), (997, 1, 131), (211, 223, 227)),
)
"""(rows, columns, depth) of a matrix product: of its output, and what is summed over."""

ROUNDED = (
    (64, 64, 64), (42, 64, 64), (43, 65, 66), (45, 79, 67), (97, 203, 301), (57, 129, 95), (90, 97, 2051), (14, 64, 64),
)  # fmt: skip
"""The same, of what products of bfloat16 are made for: their edges, and less than that."""

PRODUCT_BIG = (211, 199, 307)
SPARSE = ((64, 155, 240), (155, 64, 240))
"""Large enough for zeros to be left out: of rows of A, of columns of a weight gradient's dy."""

LAYERS = {
    "tiny": (16, (4, 16, 3)),
    "rl": (64, (17, 64, 64, 6)),
    "default": (200, (20, 100, 10)),
    "tabular": (256, (54, 256, 256, 256, 7)),
    "book": (100, (784, 100, 100, 100, 100, 100, 10)),
    "mnist": (128, (784, 512, 512, 10)),
    "deep": (128, (128, *(128,) * 16, 10)),
    "wide": (512, (1024, 2048, 2048, 2048, 1000)),
    "bigbatch": (4096, (256, 512, 512, 512, 1)),
}
"""Training jobs on which libraries are compared: batch size, widths from input to output."""

GEMM_SHAPES = tuple(
    dict.fromkeys(
        [
            *((size, size, size) for size in (1, 2, 3, 4, 8, 16, 17, 31, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768)),
            *((size, size, size) for size in (67, 131, 257, 509, 1000, 1024)),
            *((1, 784, 100), (1, 256, 256), (1, 1024, 1024), (256, 256, 1), (1024, 1024, 1), (1, 1024, 1)),
            *((2, 64, 64), (8, 256, 256), (16, 16, 16), (128, 256, 256), (256, 784, 10), (1000, 100, 10)),
            *((16, 1024, 16), (1024, 16, 1024), (1024, 4, 64), (37, 53, 71), (97, 101, 103), (997, 131, 61)),
            *(
                (batch, inputs, outputs)
                for batch, widths in LAYERS.values()
                for inputs, outputs in itertools.pairwise(widths)
            ),
        ]
    )
)
"""(m, k, n) of x w in benchmarks: x is m by k, w is k by n."""


# ---- the list --------------------------------------------------------------------------------------------------------

_GENERATORS: dict[str, Callable[[], Iterator[Case]]] = {}


def _cases(*kernels: str):
    """Enter a generator of cases for each of the kernels; it is given the kernel's name."""

    def enter(generator):
        for kernel in kernels:
            _GENERATORS[kernel] = lambda kernel=kernel: generator(kernel)
        return generator

    return enter


def _turn(i: int) -> str:
    return LAYOUTS[i % len(LAYOUTS)]


def _optional(i: int, *names: str) -> frozenset[str]:
    """The i-th subset of optional arguments as absent, going round."""
    return frozenset(name for bit, name in enumerate(names) if i >> bit & 1)


def _dimensions(*sizes: int) -> str:
    return "x".join(map(str, sizes))


def _matrix_sizes(shape: tuple[int, int]) -> dict[str, int]:
    return dict(zip("mn", shape, strict=True))


ALPHA = {Activation.LEAKY_RELU: 0.2, Activation.ELU: 1.3}


def _activation(kind: Activation, **others: float) -> dict[str, float]:
    return {**others, "kind": int(kind), "alpha": ALPHA.get(kind, 0.0)}


@_cases("gather_rows")
def _gather_rows(kernel):
    for i, (m, n) in enumerate((*MATRIX, MATRIX_BIG)):
        yield Case(
            kernel,
            _dimensions(m, n),
            {"m": m, "n": n, "r": m + i % 3 if m else 0},
            absent=_optional(i, "index", "shift", "scale"),
            layout=_turn(i),
            types={"x": TYPES[i % len(TYPES)]},
            big=(m, n) == MATRIX_BIG,
        )
    for i, type_name in enumerate(TYPES * 8):
        m, n = MATRIX_FEW[i // 8 % len(MATRIX_FEW)]
        absent = _optional(i // len(TYPES), "index", "shift", "scale")
        name = f"{type_name}-{_dimensions(m, n)}-{'without-' + '-'.join(sorted(absent)) if absent else 'all'}"
        yield Case(kernel, name, {"m": m, "n": n, "r": m + 5}, absent=absent, layout=_turn(i), types={"x": type_name})
    for i, type_name in enumerate(TYPES * 2):  # rows that C fetches ahead in blocks, and scales in strips
        n, absent = 2100 + i, _optional(i + i // len(TYPES), "shift", "scale")
        name = f"{type_name}-wide-{'without-' + '-'.join(sorted(absent)) if absent else 'all'}"
        yield Case(kernel, name, {"m": 9, "n": n, "r": 12}, absent=absent, layout=_turn(i), types={"x": type_name})
    sizes = {"m": 40, "n": 19, "r": 3}
    yield Case(kernel, "repeated-rows", sizes, types={"x": "float32"})
    yield Case(kernel, "mixed", sizes, values={"x": "mixed", "scale": "mixed"}, types={"x": "float64"})
    yield Case(kernel, "nan", sizes, values={"x": "not_a_number"}, absent=frozenset({"shift"}), types={"x": "float32"})


@_cases("find_outside")
def _find_outside(kernel):
    def case(name, m, limit, type_name, recipe, **others):
        sizes = {"m": m, "one": 1}
        return Case(kernel, name, sizes, {"limit": limit}, {"index": recipe}, types={"index": type_name}, **others)

    integer_types = TYPES[2:]
    for i, m in enumerate(FLAT):
        yield case(f"inside-{m}", m, 10, integer_types[i % 8], "inside", layout=_turn(i))
        if m:
            yield case(f"last-{m}", m, 10, integer_types[i % 8], "limit_last", layout=_turn(i))
    for type_name in integer_types:
        signed = not type_name.startswith("u")
        for place in ("first", "middle", "last"):
            yield case(f"{type_name}-limit-{place}", 37, 100, type_name, f"limit_{place}")
            yield case(f"{type_name}-most-{place}", 37, 100, type_name, f"most_{place}")
            if signed:
                yield case(f"{type_name}-least-{place}", 37, 100, type_name, f"least_{place}")
                yield case(f"{type_name}-below-{place}", 37, 100, type_name, f"below_{place}")
        yield case(f"{type_name}-limit-unreached", 37, 2**62, type_name, "inside")
        yield case(f"{type_name}-limit-0", 5, 0, type_name, "inside")
    yield case("big", FLAT_BIG, 1000, "int32", "limit_last", big=True)


@_cases("gather_labels")
def _gather_labels(kernel):
    integer_types = TYPES[2:]
    for i, m in enumerate(FLAT):
        sizes = {"m": m, "r": m + i % 3 if m else 0}
        absent = _optional(i // 4, "index")
        yield Case(kernel, f"{m}", sizes, absent=absent, layout=_turn(i), types={"y": integer_types[i % 8]})
    for type_name in integer_types:
        types = {"y": type_name}
        yield Case(kernel, f"{type_name}-all", {"m": 131, "r": 140}, types=types)
        yield Case(kernel, f"{type_name}-in-order", {"m": 131, "r": 140}, absent=frozenset({"index"}), types=types)
    yield Case(kernel, "repeated", {"m": 40, "r": 3}, types={"y": "int64"})
    yield Case(kernel, "big", {"m": FLAT_BIG, "r": 1009}, types={"y": "int32"}, big=True)


@_cases("find_nonfinite")
def _find_nonfinite(kernel):
    def case(name, shape, type_name, recipe=None, **others):
        values = {"x": recipe} if recipe else {}
        return Case(kernel, name, {**_matrix_sizes(shape), "one": 1}, {}, values, types={"x": type_name}, **others)

    found = [f"{value}_{place}" for place in ("last", "middle", "first") for value in ("nan", "inf", "-inf")]
    for i, shape in enumerate((*MATRIX, MATRIX_BIG)):
        type_name = TYPES[i // 4 % 2]
        yield case(_dimensions(*shape), shape, type_name, layout=_turn(i))
        if 0 not in shape:
            yield case(f"{found[i % 9]}-{_dimensions(*shape)}", shape, type_name, found[i % 9], layout=_turn(i))
    for i, type_name in enumerate(TYPES):
        yield case(type_name, (13, 33), type_name, layout=_turn(i))
    for i, type_name in enumerate(("float32", "float64")):
        for recipe in found:
            yield case(f"{type_name}-{recipe}", (9, 1300), type_name, recipe, layout=("plain", "padded")[i])
        for recipe in ("greatest", "subnormal", "signed_zero"):
            yield case(f"{type_name}-{recipe}", (9, 1300), type_name, recipe)
    yield case("big", MATRIX_BIG, "float32", "nan_last", layout="padded", big=True)


def _product_cases(kernel, size_names, optional, kinds, more):
    """The sweep over (rows, columns, depth) named as the kernel names them, then kinds and value ranges."""

    def sizes(shape):
        return dict(zip(size_names, shape, strict=True))

    scales = itertools.cycle([1.0, 4 / 3]) if "scale" in {a.name for a in KERNELS[kernel].parameters} else None

    def parameters(kind, precision=0):
        scale = {"scale": next(scales)} if scales else {}
        return {**(_activation(kind) if kinds else {}), **scale, "precision": precision}

    cycle = (Activation.LINEAR, Activation.RELU, Activation.TANH, Activation.SWISH)
    for i, shape in enumerate(dict.fromkeys(PRODUCTS)):
        absent = _optional(i // 2, *optional)
        yield Case(
            kernel, _dimensions(*shape), sizes(shape), parameters(cycle[i % 4]), absent=absent, layout=_turn(i // 3)
        )
    for kind in Activation if kinds else ():
        for i in range(2 ** len(optional)):
            absent = _optional(i, *optional)
            without = "-without-" + "-".join(sorted(absent)) if absent else ""
            yield Case(
                kernel,
                f"{kind.name.lower()}{without}",
                sizes((29, 37, 23)),
                parameters(kind),
                absent=absent,
                layout=_turn(i),
            )
        yield Case(kernel, f"{kind.name.lower()}-deep", sizes((17, 45, 515)), parameters(kind), layout="padded")
    matrices = [name for name in ("x", "w", "dy") if name in {a.name for a in KERNELS[kernel].parameters}]
    for recipe in ("positive", "mixed", "large", "tiny", "zeros", *more):
        values = dict.fromkeys(matrices, recipe)
        if recipe == "large" and "b" in optional:
            values["b"] = "large"
        yield Case(kernel, recipe, sizes((17, 35, 67)), parameters(Activation.RELU), values, layout="offset")
    for shape in SPARSE:
        values = dict.fromkeys(matrices, "half_zero")
        yield Case(kernel, f"half-zero-{_dimensions(*shape)}", sizes(shape), parameters(Activation.RELU), values,
                   layout="padded")  # fmt: skip
    for matrix in matrices:
        # Through relu forward NaN passes; backward its derivative 0 may be a choice as well as a factor.
        kind = Activation.TANH if "s" in optional else Activation.RELU
        nan = {matrix: "one_not_a_number"}
        yield Case(kernel, f"nan-in-{matrix}", sizes((17, 35, 67)), parameters(kind), nan)
    yield Case(kernel, "subnormal", sizes((17, 35, 67)), parameters(Activation.LINEAR), {matrices[0]: "subnormal"})
    for precision, name in enumerate(PRECISIONS):
        if not precision:
            continue
        for i, shape in enumerate(ROUNDED):
            absent = _optional(i, *optional)
            given = parameters(cycle[i % 4], precision)
            yield Case(kernel, f"{name}-{_dimensions(*shape)}", sizes(shape), given, absent=absent, layout=_turn(i))
        for recipe in ("positive", "mixed", "tiny", "zeros", *more):
            values = dict.fromkeys(matrices, recipe)
            yield Case(kernel, f"{name}-{recipe}", sizes((49, 66, 101)), parameters(Activation.RELU, precision), values)
        nan = {matrices[0]: "one_not_a_number"}
        kind = Activation.TANH if "s" in optional else Activation.RELU
        yield Case(kernel, f"{name}-nan", sizes((49, 66, 101)), parameters(kind, precision), nan)
        few = {matrices[0]: "subnormal"}
        yield Case(kernel, f"{name}-subnormal", sizes((49, 66, 101)), parameters(Activation.LINEAR, precision), few)
        yield Case(kernel, f"{name}-big", sizes(PRODUCT_BIG), parameters(Activation.RELU, precision), big=True)
    yield Case(kernel, "big", sizes(PRODUCT_BIG), parameters(Activation.RELU), layout="padded", big=True)
    for none in range(3):  # where the sums are of none, they are 0 in every form of the product
        shape = tuple(0 if i == none else 300 for i in range(3))
        yield Case(kernel, f"big-{_dimensions(*shape)}", sizes(shape), parameters(Activation.RELU))
    yield Case(kernel, "big-tall", sizes((4003, 10, 33)), parameters(Activation.TANH), big=True)
    yield Case(kernel, "big-flat", sizes((7, 3001, 61)), parameters(Activation.LINEAR), big=True)
    yield Case(kernel, "big-depth", sizes((14, 33, 4001)), parameters(Activation.LINEAR), big=True)


@_cases("affine_fwd")
def _affine_fwd(kernel):
    yield from _product_cases(kernel, "mnk", ("b", "z"), kinds=True, more=())


@_cases("affine_bwd_dx")
def _affine_bwd_dx(kernel):
    yield from _product_cases(kernel, "mkn", ("s",), kinds=True, more=())
    for k in (1, 2, 3, 4):  # one column of dy, whose rows and columns look alike, and of a wider w
        sizes = {"m": 64, "k": k, "n": 1}
        for layout in ("plain", "padded"):
            parameters = {**_activation(Activation.LINEAR), "scale": 1.0, "precision": 0}
            yield Case(kernel, f"one-output-{k}-{layout}", sizes, parameters, absent=frozenset({"s"}), layout=layout)


@_cases("affine_bwd_dw")
def _affine_bwd_dw(kernel):
    yield from _product_cases(kernel, "knm", ("db",), kinds=False, more=("negative",))


@_cases("activation_fwd")
def _activation_fwd(kernel):
    for kind in Activation:
        name = kind.name.lower()
        for i, n in enumerate(FLAT if kind in (Activation.RELU, Activation.TANH) else FLAT_FEW):
            yield Case(kernel, f"{name}-{n}", {"n": n}, _activation(kind), layout=_turn(i))
        recipes = ["saturating", "small", "subnormal", "large", "mixed", "signed_zero", "not_a_number", "negative"]
        if kind not in SAVES_Z:
            recipes.append("infinite")  # of the others the formula is infinity times 0
        for i, recipe in enumerate(recipes):
            yield Case(kernel, f"{name}-{recipe}", {"n": 203}, _activation(kind), {"x": recipe}, layout=_turn(i))
        yield Case(kernel, f"{name}-in-place", {"n": 77}, _activation(kind), alias=("y", "x"), layout="offset")
        yield Case(kernel, f"{name}-big", {"n": FLAT_BIG}, _activation(kind), big=True)


@_cases("activation_bwd")
def _activation_bwd(kernel):
    for kind in Activation:
        name = kind.name.lower()
        for i, n in enumerate(FLAT if kind in (Activation.RELU, Activation.TANH) else FLAT_FEW):
            yield Case(kernel, f"{name}-{n}", {"n": n}, _activation(kind), layout=_turn(i))
        for i, recipe in enumerate(("large", "tiny", "mixed", "signed_zero")):
            yield Case(kernel, f"{name}-{recipe}", {"n": 203}, _activation(kind), {"dy": recipe}, layout=_turn(i))
        yield Case(kernel, f"{name}-saturated", {"n": 203}, _activation(kind), {"s": "saved_saturated"})
        for source in ("dy", "s"):
            parameters = _activation(kind)
            yield Case(kernel, f"{name}-over-{source}", {"n": 77}, parameters, alias=("dx", source), layout="offset")
        yield Case(kernel, f"{name}-big", {"n": FLAT_BIG}, _activation(kind), big=True)


def _row_cases(kernel, alias, recipes, **others):
    """Matrices of all sizes, in place by turns, and value ranges of the first input."""
    source = alias[1]
    for i, shape in enumerate(MATRIX):
        here = alias if i % 3 == 1 else None
        yield Case(kernel, _dimensions(*shape), _matrix_sizes(shape), alias=here, layout=_turn(i), **others)
    for recipe in recipes:
        yield Case(kernel, recipe, {"m": 33, "n": 37}, values={source: recipe}, layout="padded", **others)
        yield Case(kernel, f"{recipe}-narrow", {"m": 33, "n": 3}, values={source: recipe}, **others)
    yield Case(kernel, "big", _matrix_sizes(MATRIX_BIG), layout="padded", big=True, **others)


@_cases("softmax_fwd")
def _softmax_fwd(kernel):
    recipes = ("saturating", "large", "small", "mixed", "integers", "masked", "constant")
    yield from _row_cases(kernel, ("y", "x"), recipes)


@_cases("softmax_bwd")
def _softmax_bwd(kernel):
    yield from _row_cases(kernel, ("dx", "dy"), ("large", "tiny", "mixed", "constant"))


MATRIX_FOLDED = ((521, 10), (771, 5), (1027, 17), (1030, 24), (1101, 47), (4099, 1))
"""So long and narrow that several rows are summed side by side, as one."""


@_cases("batch_norm_stats")
def _batch_norm_stats(kernel):
    for i, shape in enumerate((*MATRIX, *((m, 33) for m in (255, 256, 257, 1021)))):
        yield Case(kernel, _dimensions(*shape), _matrix_sizes(shape), layout=_turn(i))
    for shape, layout in itertools.product(MATRIX_FOLDED, ("plain", "padded")):
        yield Case(kernel, f"folded-{_dimensions(*shape)}-{layout}", _matrix_sizes(shape), layout=layout)
    for recipe in ("far", "constant", "zeros", "large", "tiny", "mixed", "positive", "not_a_number"):
        m = 33 if recipe == "constant" else 131  # roundings of a sum of equal terms are not as if random
        yield Case(kernel, recipe, {"m": m, "n": 37}, values={"x": recipe}, layout="padded")
    yield Case(kernel, "big", _matrix_sizes(MATRIX_BIG), layout="padded", big=True)
    yield Case(kernel, "big-wide", {"m": 61, "n": 1031}, big=True)


def _batch_norm_cases(kernel, optional, output, source, far):
    def case(name, shape, kind, values=None, epsilon=1e-3, **others):
        parameters = _activation(kind, epsilon=epsilon)
        return Case(kernel, name, _matrix_sizes(shape), parameters, values or {}, **others)

    alias = (output, source) if output else None
    for i, shape in enumerate(MATRIX):
        kind = (Activation.RELU, Activation.LINEAR)[i // 4 % 2]
        yield case(
            _dimensions(*shape),
            shape,
            kind,
            absent=_optional(i, optional),
            alias=alias if i % 3 == 1 else None,
            layout=_turn(i),
        )
    for i, shape in enumerate(MATRIX_FOLDED):
        kind = (Activation.RELU, Activation.TANH, Activation.LINEAR)[i % 3]
        for layout in ("plain", "padded"):
            yield case(f"folded-{_dimensions(*shape)}-{layout}", shape, kind, layout=layout)
    for kind in Activation:
        name = kind.name.lower()
        for i, shape in enumerate(MATRIX_FEW[3:6]):
            yield case(f"{name}-{_dimensions(*shape)}", shape, kind, absent=_optional(i, optional), layout=_turn(i))
        if alias:
            yield case(f"{name}-in-place", (19, 37), kind, alias=alias)
    for epsilon in (1e-7, 1e-5):
        yield case(f"var-0-{epsilon:g}", (33, 37), Activation.LINEAR, {"var": "some_zero"}, epsilon)
    for recipe in far:
        values = {name: recipe for name in ("x", "mean")} if recipe == "far" else {source: recipe}
        yield case(recipe, (33, 37), Activation.RELU, values, layout="padded")
    yield case("big", MATRIX_BIG, Activation.RELU, layout="padded", big=True)
    yield case("big-wide", (61, 1031), Activation.TANH, big=True)


@_cases("batch_norm_fwd")
def _batch_norm_fwd(kernel):
    yield from _batch_norm_cases(kernel, "z", "y", "x", ("far", "mixed", "saturating", "not_a_number"))


@_cases("batch_norm_bwd_reduce")
def _batch_norm_bwd_reduce(kernel):
    yield from _batch_norm_cases(kernel, "s", None, "dy", ("far", "mixed", "large", "tiny"))


@_cases("batch_norm_bwd_dx")
def _batch_norm_bwd_dx(kernel):
    yield from _batch_norm_cases(kernel, "s", "dx", "dy", ("far", "mixed", "large", "tiny"))


@_cases("batch_norm_join")
def _batch_norm_join(kernel):
    for i, n in enumerate(FLAT):
        yield Case(kernel, f"{n}", {"n": n}, {"share": (0.5, 1 / 3, 3 / 7, 0.0, 1.0)[i % 5]}, layout=_turn(i))
    for recipe in ("far", "mixed", "large"):
        yield Case(kernel, recipe, {"n": 131}, {"share": 0.25}, {"mean": recipe, "other_mean": recipe})
    yield Case(kernel, "one-row", {"n": 37}, {"share": 0.125}, {"other_var": "zeros"})
    yield Case(kernel, "big", {"n": FLAT_BIG}, {"share": 0.5}, big=True)


@_cases("batch_norm_running")
def _batch_norm_running(kernel):
    for i, n in enumerate(FLAT):
        momentum = (0.9, 0.99, 0.0, 1.0)[i % 4]
        yield Case(kernel, f"{n}", {"n": n}, {"momentum": momentum, "var_factor": 32 / 31}, layout=_turn(i))
    for momentum in (0.9, 0.999):
        parameters = {"momentum": momentum, "var_factor": 1.0}
        values = {"running_mean": "zeros", "running_var": "zeros"}
        yield Case(kernel, f"from-0-{momentum}", {"n": 131}, parameters, values)
    yield Case(kernel, "big", {"n": FLAT_BIG}, {"momentum": 0.9, "var_factor": 1.01}, big=True)


@_cases("dropout")
def _dropout(kernel):
    def case(name, n, rate=0.3, scale=1.5, seed=7, step=11, op=3, **others):
        parameters = {"rate": rate, "scale": scale, "seed": seed, "step": step, "op": op}
        return Case(kernel, name, {"n": n}, parameters, **others)

    for i, n in enumerate((*FLAT, 1023, 1024, 1025)):
        alias = ("y", "x") if i % 3 == 1 else None
        yield case(f"{n}", n, rate=(0.2, 0.5, 0.8)[i % 3], seed=i * 0x123456789, layout=_turn(i), alias=alias)
    for rate in (0.0, 1.0, 2.0**-32, 1 - 2.0**-32, 0.5):
        yield case(f"rate-{rate:.12g}", 331, rate=rate)
    for seed in (0, -1, 2**32, 2**63 - 1, -(2**63)):
        yield case(f"seed-{seed}", 331, seed=seed)
    for step in (0, 2**32 - 1, 2**32, 2**63 - 1):
        yield case(f"step-{step}", 331, step=step)
    for op in (0, 1, 0xFFFF, 0x10000):
        yield case(f"op-{op}", 331, op=op)
    for recipe in ("mixed", "not_a_number", "infinite", "subnormal"):
        yield case(recipe, 331, values={"x": recipe})
    yield case("big", FLAT_BIG, big=True)


@_cases("uniform_above")
def _uniform_above(kernel):
    def case(name, n, limit=0.5, state="twister", **others):
        return Case(kernel, name, {"n": n, "words": 625}, {"limit": limit}, {"state": state}, **others)

    for i, n in enumerate(FLAT):
        yield case(f"{n}", n, (0.2, 0.5, 0.8)[i % 3], layout=_turn(i))
    for place in (0, 1, 226, 227, 228, 396, 397, 622, 623, 624, 625, 1000, 2**31 - 1, -1, -(2**31)):
        yield case(f"from-{place}", 700, state=f"twister_at_{place}")
    for limit in (0.0, 1.0, 1 - 2.0**-53, 2.0**-53, -1.0, np.nan):
        yield case(f"limit-{limit:.17g}", 331, limit)
    drawn = float(np.random.RandomState(0).random_sample(8)[7])
    for name, limit in (("at", drawn), ("below", np.nextafter(drawn, 0)), ("above", np.nextafter(drawn, 1))):
        yield case(f"limit-{name}-what-is-drawn", 331, float(limit), "twister_of_seed_0")
    yield case("seldom", 40000, 2.0**-12)
    yield case("big", FLAT_BIG, big=True)


_LOSSES = {
    "softmax_xent_labels": {"smoothing": 0.0},
    "softmax_xent_targets": {"smoothing": 0.0},
    "sigmoid_xent": {"smoothing": 0.0, "factor": 1.0},
    "squared_error": {"factor": 1.0},
    "absolute_error": {"factor": 1.0},
    "huber_error": {"delta": 1.0, "factor": 1.0},
    "pinball_loss": {"quantile": 0.5, "factor": 1.0},
    "poisson_loss": {"constant": 0.0, "factor": 1.0},
}


@_cases(*_LOSSES)
def _losses(kernel):
    def case(name, shape, values=None, **others):
        own = {key: others.pop(key) for key in ("smoothing", "factor", "delta", "quantile", "constant",
                                                           "scale") if key in others}
        parameters = {**_LOSSES[kernel], "scale": 1 / max(shape[0], 1), **own}
        return Case(kernel, name, _matrix_sizes(shape), parameters, values or {}, **others)

    both = ("weight", "dz")
    for i, shape in enumerate(MATRIX):
        absent = _optional(i // 2, *both)
        alias = ("dz", "z") if i % 3 == 1 and "dz" not in absent else None
        yield case(_dimensions(*shape), shape, absent=absent, alias=alias, layout=_turn(i))
    for i, shape in enumerate(MATRIX_FEW):
        others = {"scale": 0.37}
        if "smoothing" in _LOSSES[kernel]:
            others["smoothing"] = (0.1, 1.0)[i % 2]
        if "factor" in _LOSSES[kernel]:
            others["factor"] = 1 / shape[1]
        if "delta" in _LOSSES[kernel]:
            others["delta"] = (0.7, 1.35)[i % 2]
        if "quantile" in _LOSSES[kernel]:
            others["quantile"] = (0.1, 0.93)[i % 2]
        if "constant" in _LOSSES[kernel]:
            others["constant"] = (1.0, 0.5)[i % 2]
        yield case(f"parameters-{_dimensions(*shape)}", shape, absent=_optional(i, *both), layout=_turn(i), **others)
    recipes = ("saturating", "mixed", "small", "integers")
    if kernel == "poisson_loss":  # e^z of large z has no place in a float32
        recipes = ("mixed", "small", "integers")
    for recipe in recipes:
        yield case(recipe, (33, 37), {"z": recipe}, layout="padded")
        yield case(f"{recipe}-narrow", (33, 3), {"z": recipe})
    for name in ("weight-0", "weight-0-wide"):
        yield case(name, (33, 3 if name == "weight-0" else 67), {"weight": "zeros"})
        yield case(f"{name}-broken-rows", (33, 3 if name == "weight-0" else 67), {"z": "broken_rows"}, layout="padded")
    if kernel == "softmax_xent_labels":
        yield case("masked", (33, 37), {"z": "masked", "label": "unmasked_labels"})
    if kernel == "softmax_xent_targets":
        yield case("unnormalised", (33, 37), {"target": "unit"}, smoothing=0.05)
        yield case("no-target", (33, 37), {"target": "zeros"})
    if kernel == "poisson_loss":
        for recipe in recipes:
            yield case(f"{recipe}-deviance", (33, 37), {"z": recipe}, constant=1.0)
        yield case("counts", (33, 37), {"target": "counts"}, constant=1.0)
        yield case("no-target", (33, 37), {"target": "zeros"}, constant=1.0)
    if kernel in ("squared_error", "absolute_error", "huber_error", "pinball_loss"):
        yield case("equal", (33, 37), {"target": "equal"})
        yield case("near-integers", (33, 37), {"z": "integers", "target": "integers"})
    if kernel == "sigmoid_xent":
        yield case("binary", (33, 37), {"target": "binary"}, smoothing=0.1)
    yield case("big", MATRIX_BIG, layout="padded", big=True)
    yield case("big-narrow", (20011, 3), big=True)


_OPTIMIZERS = {
    "sgd_step": {},
    "momentum_step": {"momentum": 0.9},
    "nesterov_step": {"momentum": 0.9},
    "adagrad_step": {"epsilon": 1e-7},
    "rmsprop_step": {"rho": 0.99, "epsilon": 1e-7},
    "adam_step": {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-7, "v_scale": 1.0},
}


@_cases(*_OPTIMIZERS)
def _optimizers(kernel):
    def case(name, n, values=None, lr=0.01, l2=0.0, decay=0.0, scale=1.0, clip=np.inf, own=None, **others):
        parameters = {"lr": lr, **_OPTIMIZERS[kernel], **(own or {})}
        parameters |= {"l2": l2, "decay": decay, "scale": scale, "clip": clip}
        return Case(kernel, name, {"n": n}, parameters, values or {}, **others)

    state = [argument.name for argument in KERNELS[kernel].parameters if argument.role == "io"]
    for i, n in enumerate(FLAT):
        yield case(f"{n}", n, l2=0.1 * (i % 2), decay=0.01 * (i // 2 % 2), layout=_turn(i))
    yield case("all", 331, lr=0.3, l2=0.1, decay=0.02, scale=0.37, clip=0.4, layout="offset")
    yield case("clip", 331, clip=0.5)
    yield case("clip-after-scale", 331, scale=3.0, clip=0.5, l2=0.3)
    yield case("scale-0", 331, scale=0.0, l2=0.1)
    yield case("first-step", 331, dict.fromkeys(state[1:], "zeros"))
    yield case("zeros", 331, dict.fromkeys([*state, "g"], "zeros"))
    for recipe in ("mixed", "tiny", "subnormal", "not_a_number"):
        yield case(recipe, 331, {"g": recipe})
        yield case(f"first-step-{recipe}", 331, {**dict.fromkeys(state[1:], "zeros"), "g": recipe}, clip=2.0)
    if kernel == "adam_step":
        for step in (1, 7, 1000):
            own = {"v_scale": 1 / np.sqrt(1 - 0.999**step)}
            yield case(f"step-{step}", 331, lr=0.001 / (1 - 0.9**step), own=own)
        for decay in (0.0, 0.01):
            yield case(f"m-subnormal-{decay}", 331, {"m": "subnormal", "g": "zeros"}, decay=decay)
    yield case("big", FLAT_BIG, l2=0.1, decay=0.01, clip=1.0, big=True)


@_cases("penalty_gradient")
def _penalty_gradient(kernel):
    def case(name, n, values=None, l1=0.3, l2=0.1, **others):
        return Case(kernel, name, {"n": n}, {"l1": l1, "l2": l2}, values or {}, **others)

    for i, n in enumerate(FLAT):
        yield case(f"{n}", n, l1=(0.3, 0.0, 0.1)[i % 3], l2=(0.1, 0.01, 0.0)[i // 3 % 3], layout=_turn(i))
    for recipe in ("integers", "signed_zero", "mixed", "large", "subnormal", "not_a_number"):
        yield case(recipe, 331, {"p": recipe}, layout="offset")
        yield case(f"{recipe}-l1-0", 331, {"p": recipe}, l1=0.0)
    for recipe in ("zeros", "mixed", "not_a_number", "infinite"):
        yield case(f"g-{recipe}", 331, {"g": recipe})
    yield case("big", FLAT_BIG, big=True)


@_cases("clip_scale")
def _clip_scale(kernel):
    def case(name, c, recipe="positive", limit=1.0, factor=1.0, **others):
        parameters = {"limit": limit, "factor": factor}
        return Case(kernel, name, {"c": c, "one": 1}, parameters, {"partial": recipe}, **others)

    for i, c in enumerate(FLAT):
        yield case(f"{c}", c, limit=(1.0, 5.0, np.inf)[i % 3], factor=(1.0, 0.5)[i // 3 % 2], layout=_turn(i))
    for limit in (1.0, np.inf):
        for recipe in ("tiny", "zeros", "nan_middle", "inf_middle"):
            yield case(f"{recipe}-{limit}", 37, recipe, limit, factor=0.5)
    yield case("limit-0", 37, limit=0.0)
    yield case("limit-0-zeros", 37, "zeros", limit=0.0)
    yield case("below", 37, limit=100.0, factor=0.25)
    yield case("below-by-the-factor", 37, limit=1.0, factor=1 / 128)
    yield case("big", FLAT_BIG, big=True)


@_cases("moving_average")
def _moving_average(kernel):
    for i, n in enumerate(FLAT):
        yield Case(kernel, f"{n}", {"n": n}, {"momentum": (0.9, 0.99, 0.0, 1.0)[i % 4]}, layout=_turn(i))
    for momentum in (0.9, 0.999, 0.9999):
        yield Case(kernel, f"from-0-{momentum}", {"n": 131}, {"momentum": momentum}, {"average": "zeros"})
    for recipe in ("mixed", "subnormal", "not_a_number"):
        yield Case(kernel, recipe, {"n": 331}, {"momentum": 0.99}, {"x": recipe}, layout="offset")
    yield Case(kernel, "big", {"n": FLAT_BIG}, {"momentum": 0.9}, big=True)


@_cases("square_sums", "absolute_sums", "sum", "accumulate", "inverse_sum")
def _sums(kernel):
    def case(name, n, recipe="normal", **others):
        sizes = {"n": n, "chunks": -(-n // CHUNK)} if kernel.endswith("_sums") else {"n": n, "one": 1}
        parameters = {"factor": 1.7} if kernel == "accumulate" else {}
        return Case(kernel, name, sizes, parameters, {"x": recipe}, **others)

    inverse = kernel == "inverse_sum"  # of a sum that cancels nothing could be said
    usual = "some_zero" if inverse else "normal"
    for i, n in enumerate((*FLAT, CHUNK, CHUNK + 1, 2 * CHUNK - 1, 2 * CHUNK, 3 * CHUNK + 17)):
        yield case(f"{n}", n, usual, layout=_turn(i))
    signed = () if inverse else ("mixed", "large", "huge", "subnormal")
    for recipe in ("positive", "tiny", "zeros", "not_a_number", *signed):
        yield case(recipe, CHUNK + 331, recipe, layout="offset")
    if inverse:
        yield case("negative", CHUNK + 331, "negative")
    yield case("big", FLAT_BIG, usual, big=True)
    yield case("big-positive", 16 * CHUNK, "positive", big=True)


@_cases("accumulate_partial")
def _accumulate_partial(kernel):
    def case(name, c, recipe="positive", factor=0.5, **others):
        return Case(kernel, name, {"c": c, "one": 1}, {"factor": factor}, {"partial": recipe}, **others)

    for i, c in enumerate(FLAT):
        yield case(f"{c}", c, factor=(0.5, 1.7, 1e-4)[i % 3], layout=_turn(i))
    for recipe in ("normal", "mixed", "tiny", "subnormal", "zeros", "not_a_number"):
        yield case(recipe, 331, recipe, layout="offset")
    yield case("big", FLAT_BIG, big=True)


@_cases("correct_labels", "correct_targets", "correct_binary")
def _counts(kernel):
    def case(name, shape, values=None, threshold=0.25, **others):
        parameters = {"threshold": threshold} if kernel == "correct_binary" else {}
        return Case(kernel, name, _matrix_sizes(shape), parameters, values or {}, **others)

    for i, shape in enumerate(MATRIX):
        recipe = ("normal", "integers")[i // 2 % 2]
        yield case(_dimensions(*shape), shape, {"z": recipe}, absent=_optional(i, "weight"), layout=_turn(i))
    for recipe in ("constant", "large", "subnormal", "masked", "negative"):
        yield case(recipe, (33, 37), {"z": recipe}, layout="padded")
        yield case(f"{recipe}-narrow", (33, 3), {"z": recipe})
    if kernel == "correct_binary":
        yield case("at-threshold", (33, 37), {"z": "integers"}, threshold=1.0)
        yield case("threshold-0", (33, 37), {"z": "signed_zero"}, threshold=0.0)
    yield case("big", MATRIX_BIG, layout="padded", big=True)
    yield case("big-narrow", (20011, 3), big=True)


CASES = tuple(case for kernel in KERNELS for case in _GENERATORS[kernel]())
"""All cases, in the order of the list."""
