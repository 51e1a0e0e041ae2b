"""The tester tested: what the comparison and the poisoned surroundings must refuse, for every kernel and output."""

import numpy as np
import pytest
from cases import CASES, LAYOUTS
from harness import POISON, Call, compare, embed, exact

from fusednet.backends import ref_numpy
from fusednet.backends.table import KERNELS

DTYPES = ("float32", "float64")
NOTHING_BUT_ROUNDING = {"softmax_bwd-constant", "softmax_bwd-constant-narrow"}
"""Cases whose exact result would be 0 if their inputs were: zeros pass there, and only there."""
OUTPUTS = [(kernel.name, a.name) for kernel in KERNELS.values() for a in kernel.parameters if a.role in ("out", "io")]


def _cases_with(kernel, output):
    """Those that have the output, without the ones too big to be run for each output."""
    return [
        case
        for case in CASES
        if case.kernel == kernel and output not in case.absent and np.prod(list(case.sizes.values())) < 10**5
    ]


def _of_dtype(expected, kernel, output, case, dtype):
    argument = next(a for a in KERNELS[kernel].parameters if a.name == output)
    with np.errstate(over="ignore", under="ignore"):
        return expected.astype(case.dtype(argument, dtype))


def _refuses(got, expected, allowed):
    try:
        compare(got, expected, allowed)
    except AssertionError:
        return True
    return False


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("kernel", "output"), OUTPUTS)
def test_comparison_refuses_zeros_wherever_they_are_wrong(kernel, output, dtype):
    """An output of zeros passes where the exact result is zero, to the last subnormal number, and nowhere else."""
    refused = 0
    for case in _cases_with(kernel, output):
        expected, allowed = (part[output] for part in exact(case, dtype))
        got = _of_dtype(expected, kernel, output, case, dtype)
        if not got.any() or (np.abs(got) <= 4 * np.finfo(dtype).tiny).all():
            continue
        assert _refuses(np.zeros_like(got), expected, allowed) == (str(case) not in NOTHING_BUT_ROUNDING), str(case)
        refused += 1
    assert refused > 5


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("kernel", "output"), OUTPUTS)
def test_comparison_refuses_one_element_a_few_ulp_beyond_its_tolerance(kernel, output, dtype):
    """One element at a time, up and down; within the tolerance it passes."""
    moved = 0
    for case in _cases_with(kernel, output)[:: 1 if kernel == "find_outside" else 3]:
        expected, allowed = (part[output] for part in exact(case, dtype))
        got = _of_dtype(expected, kernel, output, case, dtype)
        if not np.isfinite(got).all() or not got.size:
            continue
        compare(got, expected, np.maximum(allowed, np.abs(got - expected)))
        flat, exact_flat, allowed_flat = got.reshape(-1), expected.reshape(-1), allowed.reshape(-1)
        for place in {0, flat.size // 2, flat.size - 1}:
            for sign in (-1, 1):
                right = flat[place]
                edge = exact_flat[place] + sign * allowed_flat[place]
                ulp = np.spacing(got.dtype.type(abs(edge))) if got.dtype.kind == "f" else 1
                flat[place] = edge + sign * 3 * ulp
                assert _refuses(got, expected, allowed), f"{case}: [{place}] {exact_flat[place]} as {flat[place]}"
                flat[place] = right
                moved += 1
    assert moved > 5


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("kernel", "output"), OUTPUTS)
def test_tolerance_is_a_few_roundings(kernel, output, dtype):
    """The allowed errors are a small part of an output, so that what they hide is nothing but rounding."""
    roundoff = np.finfo(dtype).eps / 2
    shares = []
    for case in _cases_with(kernel, output):
        expected, allowed = (part[output] for part in exact(case, dtype))
        if np.isfinite(expected).all() and np.abs(expected).sum() > np.finfo(dtype).tiny * 1e6:
            shares.append(float(np.median(allowed) / np.abs(expected).mean()) / roundoff)
    assert np.median(shares) < 128


@pytest.mark.parametrize(
    ("got", "expected", "allowed"),
    [
        ([1.0, np.nan], [1.0, 2.0], [0.1, 0.1]),
        ([1.0, 2.0], [1.0, np.nan], [0.1, 0.1]),
        ([1.0, np.inf], [1.0, 2.0], [0.1, 0.1]),
        ([1.0, 1e308], [1.0, np.inf], [0.1, 0.1]),
        ([1.0, -np.inf], [1.0, np.inf], [0.1, 0.1]),
        ([1.0, 2.0], [1.0, 2.5], [0.1, np.inf]),
        ([1.0, 2.0], [1.0, 2.5], [0.1, np.nan]),
        ([1.0, 2.0], [1.0, 2.5], [0.1, -0.1]),
        ([1.0], [1.0, 2.5], [0.1, 0.1]),
        ([1.0, 0.0], [1.0, 5e-324], [0.1, 0.0]),
    ],
)
def test_comparison_refuses_what_is_not_finite_or_not_there(got, expected, allowed):
    assert _refuses(np.array(got), np.array(expected), np.array(allowed))


def test_comparison_takes_infinity_where_the_result_does_not_fit():
    expected = np.array([1e39, -1e39, 1e38])
    compare(np.array([np.inf, -np.inf, 1e38], np.float32), expected, np.full(3, 1e32))
    for wrong in ([-np.inf, -np.inf, 1e38], [np.inf, -np.inf, np.inf], [np.nan, -np.inf, 1e38]):
        assert _refuses(np.array(wrong, np.float32), expected, np.full(3, 1e32))


def test_comparison_takes_the_same_nan_and_infinity():
    same = np.array([np.nan, np.inf, -np.inf, -0.0])
    compare(same, np.array([np.nan, np.inf, -np.inf, 0.0]), np.array([np.nan, np.nan, np.nan, 0.0]))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("kernel", "output"), OUTPUTS)
def test_comparison_refuses_an_output_that_was_not_written(kernel, output, dtype):
    case = next(c for c in _cases_with(kernel, output) if c.alias is None and min(c.sizes.values()) > 0)
    expected, allowed = (part[output] for part in exact(case, dtype))
    call = Call(case, dtype)
    with np.errstate(invalid="ignore"):
        assert _refuses(call.collect()[output], expected, allowed)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "uint8", "int16", "int32", "int64"])
@pytest.mark.parametrize("shape", [(5,), (3, 4), (0,), (0, 4), (3, 0)])
def test_arrays_lie_in_poison(shape, dtype, layout):
    embedded = embed(shape, np.dtype(dtype), layout, 2, np.ones(shape))
    array = embedded.array
    assert array.shape == shape and (array == 1).all()
    start = array.ctypes.data - embedded.buffer.ctypes.data
    assert embedded.buffer.ctypes.data % 64 == 0
    if array.size:
        assert (start % 64 == 0) == ("offset" not in layout)
        assert start >= 1024 and embedded.buffer.size - start - array.nbytes >= 1024
    if shape == (3, 4):
        assert array.strides == ((4 + 5 if "padded" in layout else 4) * array.itemsize, array.itemsize)
    array[...] = embed(shape, np.dtype(dtype), layout, 2, None).array
    assert (embedded.buffer.reshape(-1, 8) == POISON).all()


def test_poison_is_nan_or_beyond_any_index():
    assert np.isnan(POISON.view(np.float32)).all() and np.isnan(POISON.view(np.float64)).all()
    assert (POISON.view(np.int32) > 2**30).all() and (POISON.view(np.int64) > 2**62).all()


def _bytes_beside(call, name):
    """Offsets in the buffer of an array: just before it, just behind it, behind its first row, the buffer's ends."""
    embedded = call.arrays[name]
    start = embedded.array.ctypes.data - embedded.buffer.ctypes.data
    extent = embedded.array.nbytes
    yield from (0, start - 1, embedded.buffer.size - 1)
    if embedded.array.ndim == 2 and len(embedded.array) > 1:
        yield start + embedded.array.shape[1] * embedded.array.itemsize
        extent = (len(embedded.array) - 1) * embedded.array.strides[0] + extent // len(embedded.array)
    yield start + extent


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_changed_byte_beside_any_array_is_seen(kernel):
    def sizes(case):
        return [size for name, size in case.sizes.items() if name != "one"]

    case = (
        next(c for c in CASES if c.kernel == kernel and "padded" in c.layout and min(sizes(c)) > 1)
        if any(a.role != "size" and len(a.shape) == 2 for a in KERNELS[kernel].arguments)
        else next(c for c in CASES if c.kernel == kernel and max(sizes(c)) > 3)
    )
    for name in Call(case, "float32").arrays:
        for offset in _bytes_beside(Call(case, "float32"), name):
            call = Call(case, "float32")
            ref_numpy.FUNCTIONS[kernel](*call.arguments)
            call.arrays[name].buffer[offset] ^= 1
            with pytest.raises(AssertionError, match="not the kernel's to write"):
                call.collect()


@pytest.mark.parametrize("kernel", KERNELS)
def test_a_changed_input_is_seen(kernel):
    case = next(c for c in CASES if c.kernel == kernel and c.alias is None and min(c.sizes.values()) > 0)
    inputs = [a.name for a in KERNELS[kernel].parameters if a.role in ("in", "any") and a.name not in case.absent]
    for name in inputs:
        call = Call(case, "float64")
        array = call.arrays[name].array
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
        array.setflags(write=True)
        array.reshape(-1).view(np.uint8)[-1] ^= 1
        with pytest.raises(AssertionError, match="not the kernel's to write"):
            call.collect()
