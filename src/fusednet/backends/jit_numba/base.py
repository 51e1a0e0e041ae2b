"""What the kernels of the Numba table share: how they are registered, and what Numba has no word for.

Read by the other files of this package.

a) `row_of` turns a row of a matrix into a contiguous array: Numba knows matrices either without padding or with any
   stride between neighbours, and the vectoriser can do nothing with the second.
b) Strict arithmetic, no fast-math: what the compiler may not reorder is written in the order that is wanted. Sums go
   through vectors written in LLVM's own language (`_over_lanes`), multiply-adds are explicit (`muladd`).
"""

from collections.abc import Callable

import llvmlite.ir as ir
import numpy as np
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.arrayobj import make_array, populate_array

OPTIONS = {"error_model": "numpy", "nogil": True, "fastmath": False}
helper = njit(**OPTIONS)
"""For functions that kernels call. They are compiled into the kernels, whose files on disk hold them too."""

number_helper = njit(forceinline=True, **OPTIONS)
"""The same for functions of numbers, always inlined: a loop is not vectorised around a call."""

PRODUCT, COPY, POWER = 1 << 22, 1 << 17, 1 << 16
"""Multiply-adds, or elements of cheap and of dear arithmetic, that are worth a thread: 15 to 35 us of work.

A parallel region costs 1 us where Numba's threads still spin and some 20 where they sleep.
"""

BODIES: dict[str, tuple[Callable[..., None], int]] = {}
"""The kernels by name, each with the work that is worth a thread; 0: never divided."""


def kernel(grain: int):
    """Register a kernel: the arguments of its list entry without the sizes, then `part` and `parts`."""

    def register(function):
        BODIES[function.__name__] = helper(function), grain
        return BODIES[function.__name__][0]

    return register


@intrinsic
def muladd(context, a, b, c):
    """a b + c, rounded once where the processor has the instruction."""

    def emit(context, builder, signature, args):
        real = args[0].type
        function = builder.module.declare_intrinsic("llvm.fmuladd", [real], ir.FunctionType(real, [real] * 3))
        return builder.call(function, args)

    return a(a, a, a), emit


@intrinsic
def word_of(context, x):
    """The bits of a float as an unsigned integer of its size."""
    word = types.uint32 if x == types.float32 else types.uint64
    return word(x), lambda context, builder, signature, args: builder.bitcast(args[0], ir.IntType(word.bitwidth))


@intrinsic
def real_of(context, x):
    """The float that has these bits."""
    real = types.float32 if x == types.uint32 else types.float64
    return real(x), lambda context, builder, signature, args: builder.bitcast(args[0], context.get_value_type(real))


def _address(context, builder, kind, array, i, j):
    parts = make_array(kind)(context, builder, array)
    strides = cgutils.unpack_tuple(builder, parts.strides)
    offset = builder.add(builder.mul(i, strides[0]), builder.mul(j, strides[1]))
    return parts, builder.gep(builder.bitcast(parts.data, cgutils.voidptr_t), [offset])


@intrinsic
def at(context, x, i, j):
    """Address of x[i, j]."""

    def emit(context, builder, signature, args):
        return _address(context, builder, x, *args)[1]

    return types.voidptr(x, types.intp, types.intp), emit


@intrinsic
def row_of(context, x, i):
    """x[i, :] as a contiguous array: what Numba cannot know of a matrix with padding, and the vectoriser must."""
    row = x.copy(ndim=1, layout="C")

    def emit(context, builder, signature, args):
        zero = ir.Constant(args[1].type, 0)
        matrix, start = _address(context, builder, x, *args, zero)
        result = make_array(row)(context, builder)
        populate_array(
            result,
            data=builder.bitcast(start, result.data.type),
            shape=cgutils.unpack_tuple(builder, matrix.shape)[1:],
            strides=[matrix.itemsize],
            itemsize=matrix.itemsize,
            meminfo=None,
        )
        return result._getvalue()

    return row(x, types.intp), emit


@helper
def split(n, grain, part, parts):
    """The share `part` of `parts` in n items, in whole grains; fn_split in C."""
    grains = (n + grain - 1) // grain
    each, rest = grains // parts, grains % parts
    first = part * each + min(part, rest)
    last = first + each + (1 if part < rest else 0)
    return min(first * grain, n), min(last * grain, n)


@helper
def copy(y, x):
    if y.ctypes.data != x.ctypes.data:
        for i in range(y.size):
            y[i] = x[i]


_LANES, _RUNNERS = 8, 4  # accumulators: four vectors of eight, on every processor, so that a sum has the same bits


def _over_lanes(wide, start, step):
    """An intrinsic f(x, y, n): the first n // 32 * 32 elements of x (and y) taken together by `step`, lane by lane.

    step(builder, total, x, y) makes the new total of one vector, and of two totals where y is None. `wide`: in double.
    """

    @intrinsic
    def over(context, x, y, n):
        def emit(context, builder, signature, args):
            narrow = context.get_value_type(x.dtype)
            real = ir.DoubleType() if wide else narrow
            vector = ir.VectorType(real, _LANES)
            sources = [make_array(kind)(context, builder, a).data for kind, a in zip((x, y), args, strict=False)]

            def load(source, place):
                pointer = builder.bitcast(builder.gep(source, [place]), ir.VectorType(narrow, _LANES).as_pointer())
                value = builder.load(pointer, align=x.dtype.bitwidth // 8)
                return builder.fpext(value, vector) if value.type != vector else value

            begin = ir.Constant(vector, [start] * _LANES)
            totals = [cgutils.alloca_once_value(builder, begin) for _ in range(_RUNNERS)]
            stride = ir.Constant(args[2].type, _LANES * _RUNNERS)
            with cgutils.for_range(builder, builder.sdiv(args[2], stride)) as loop:
                first = builder.mul(loop.index, stride)
                for i, total in enumerate(totals):
                    place = builder.add(first, ir.Constant(first.type, i * _LANES))
                    values = [load(source, place) for source in sources]
                    builder.store(step(builder, builder.load(total), *values), total)
            a, b, c, d = (builder.load(total) for total in totals)
            total = step(builder, step(builder, a, b, None), step(builder, c, d, None), None)
            lanes = [builder.extract_element(total, ir.IntType(32)(i)) for i in range(_LANES)]
            while len(lanes) > 1:
                lanes = [step(builder, p, q, None) for p, q in zip(lanes[::2], lanes[1::2], strict=True)]
            return lanes[0]

        return (types.float64 if wide else x.dtype)(x, y, n), emit

    return over




def _add_size(builder, total, x, y):
    if y is not None:
        negative = builder.fcmp_ordered("<", x, ir.Constant(x.type, None))
        x = builder.select(negative, builder.fneg(x), x)
    return builder.fadd(total, x)


_add_lanes = _over_lanes(True, 0.0, lambda b, total, x, _: b.fadd(total, x))
_add_products = _over_lanes(True, 0.0, lambda b, total, x, y: b.fadd(total, x if y is None else b.fmul(x, y)))
_add_sizes = _over_lanes(True, 0.0, _add_size)
_keep_larger = _over_lanes(False, -np.inf, lambda b, total, x, _: b.select(b.fcmp_ordered(">", x, total), x, total))


@helper
def sum_of(x):
    """In double."""
    whole = x.size // 32 * 32
    total = _add_lanes(x, x, whole) if whole else 0.0
    for i in range(whole, x.size):
        total += x[i]
    return total


@helper
def sum_products(x, y):
    """sum x[i] y[i], in double."""
    whole = x.size // 32 * 32
    total = _add_products(x, y, whole) if whole else 0.0
    for i in range(whole, x.size):
        total += np.float64(x[i]) * np.float64(y[i])
    return total


@helper
def sum_absolute(x):
    """sum |x[i]|, in double."""
    whole = x.size // 32 * 32
    total = _add_sizes(x, x, whole) if whole else 0.0
    for i in range(whole, x.size):
        total += abs(np.float64(x[i]))
    return total


@helper
def largest_of(x):
    """-infinity for no elements; NaN is passed over."""
    whole = x.size // 32 * 32
    largest = _keep_larger(x, x, whole) if whole else x.dtype.type(-np.inf)
    for i in range(whole, x.size):
        largest = x[i] if x[i] > largest else largest
    return largest
