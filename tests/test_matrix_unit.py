"""Products on the matrix unit (AMX, csrc/kernels/gemm_amx_impl.h): exact as said, of any numbers, the same bits always.

a) What exactness is compared with are the float32 kernels of the same processor: errors against float64, over the sum
   of the absolute values of a product's terms.
b) Numbers that bfloat16 parts cannot hold are computed by those kernels: such rows and columns must have their bits,
   and all others those that they have where no such numbers are.
c) Products of float64, and of few k, are not for the unit: they have the bits of AVX-512.
d) Shapes are around what the code counts in: registers of 16 rows and 32 k, strips of 32 rows, blocks of k and of C,
   one side much shorter than the other, and more rows and columns than there are largest numbers kept for.
"""

import numpy as np
import pytest

from fusednet import threads
from fusednet.backends.table import PRECISIONS, Activation

try:
    from fusednet.backends import native
except ImportError:
    native = None
HAS_UNIT = native is not None and native.isas().get("amx_bf16", False)
pytestmark = pytest.mark.skipif(not HAS_UNIT, reason="the processor has no AMX, or the native backend is not built")

HIGHEST, HIGH, MEDIUM = map(PRECISIONS.index, ("highest", "high", "medium"))
SHAPES = (
    (160, 160, 160), (161, 159, 163), (177, 33 * 5, 31 * 7), (300, 1200, 170), (129, 385, 1031), (1000, 400, 260),
    (250, 260, 2305), (8200, 130, 65), (210, 8300, 40), (1300, 700, 300), (1400, 96, 500), (97, 1410, 515),
)  # fmt: skip
"""(rows, columns, k) of a product on the unit, whatever its precision."""
NAN_OF_ONES = np.uint32(0xFFFFFFFF).view(np.float32)
"""The next number above its upper half, to which parts are rounded, begins with 0."""
OTHER_BLOCKS = (
    (256, 256, 8), (256, 192, 3), (301, 64, 7), (1100, 128, 1), (510, 512, 9),
    (1, 600, 300), (1, 512, 512), (1, 300, 1000),
    (230, 140, 1100), (700, 1100, 300), (130, 515, 2049), (400, 2100, 520),
)  # fmt: skip
"""(rows, columns, k): short k and one row, not for the unit; blocks of k, rows and columns that end on their way."""
DIRECTIONS = ("affine_fwd", "affine_bwd_dx", "affine_bwd_dw")


@pytest.fixture(autouse=True)
def _one_thread():
    before = threads.get_num_threads()
    threads.set_num_threads(1)
    yield
    native.force_parts(0)
    threads.set_num_threads(before)


def product(kernel: str, a, b, precision: int = HIGHEST, isa: str = "amx_bf16"):
    """a b by one of a layer's three products, as their arguments lie in memory there."""
    table, linear = native.table(isa), int(Activation.LINEAR)
    out = np.full((len(a), b.shape[1] + 3), 7.0, a.dtype)
    c = out[:, : b.shape[1]]
    if kernel == "affine_fwd":
        table.affine_fwd(c, None, a, b, None, linear, 0.0, precision)
    elif kernel == "affine_bwd_dx":
        table.affine_bwd_dx(c, a, np.ascontiguousarray(b.T), None, linear, 0.0, 1.0, precision)
    else:
        table.affine_bwd_dw(c, None, np.ascontiguousarray(a.T), b, precision)
    assert (out[:, b.shape[1] :] == 7).all()
    return c.copy()


def drawn(shape, seed=0, scale=1.0):
    m, n, k = shape
    rng = np.random.default_rng(seed)
    return tuple((scale * rng.standard_normal(size)).astype(np.float32) for size in ((m, k), (k, n)))


def error(found, a, b) -> float:
    a, b = a.astype(np.float64), b.astype(np.float64)
    return float((np.abs(found - a @ b) / np.maximum(np.abs(a) @ np.abs(b), 1e-300)).max())


@pytest.mark.parametrize("kernel", DIRECTIONS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_highest_is_as_exact_as_float32(shape, kernel):
    a, b = drawn(shape)
    unit, float32 = (error(product(kernel, a, b, isa=isa), a, b) for isa in ("amx_bf16", "avx512"))
    assert 0 < unit <= float32


@pytest.mark.parametrize("kernel", DIRECTIONS)
@pytest.mark.parametrize("scale", [1e-14, 1e-7, 1e7, 1e15])
def test_highest_is_as_exact_in_any_range(scale, kernel):
    for one, other in ((scale, 1.0), (1.0, scale), (scale, 1 / scale), (scale, scale)):
        a, b = drawn((200, 180, 150))
        a, b = np.float32(one) * a, np.float32(other) * b
        unit, float32 = (error(product(kernel, a, b, isa=isa), a, b) for isa in ("amx_bf16", "avx512"))
        assert unit <= float32, (one, other)


@pytest.mark.parametrize("kernel", DIRECTIONS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_words_allow_so_much_error_and_use_it(shape, kernel):
    a, b = drawn(shape)
    errors = [error(product(kernel, a, b, code), a, b) for code in (HIGHEST, HIGH, MEDIUM)]
    assert errors[0] < 2.0**-21 < errors[2] < 2.0**-7
    assert 4 * errors[0] < errors[1] < 3 * 2.0**-16


@pytest.mark.parametrize("kernel", DIRECTIONS)
def test_each_part_counts(kernel):
    """Whole numbers of 24 bits times ones and a few zeros: a sum that lacks a part of any would be another."""
    rng = np.random.default_rng(0)
    a = rng.integers(1 << 23, 1 << 24, (170, 170)).astype(np.float32)
    chosen = np.eye(170, dtype=np.float32)[rng.permutation(170)]
    assert (product(kernel, a, chosen) == a @ chosen).all()
    assert (product(kernel, chosen, a) == chosen @ a).all()
    assert (product(kernel, a, chosen, HIGH) != a @ chosen).any()


@pytest.mark.parametrize("precision", [HIGHEST, HIGH])
@pytest.mark.parametrize("kernel", DIRECTIONS)
@pytest.mark.parametrize("number", [np.inf, -np.inf, np.nan, NAN_OF_ONES, 3e38, 1e20, 1e-20, 1e-42], ids=str)
def test_numbers_that_parts_cannot_hold(number, kernel, precision):
    a, b = drawn((300, 260, 1100))
    plain = product(kernel, a, b, precision)
    rows, columns = [0, 17, 18, 199, 299], [3, 130, 259]
    if abs(number) < 1:  # of a row all numbers are so small, or 0
        a[rows], b[:, columns] = number * np.sign(a[rows]), number * np.sign(b[:, columns])
        a[17, ::3] = 0
    else:
        a[rows, 1090], b[40, columns] = number, number
    with np.errstate(all="ignore"):
        found, float32 = (product(kernel, a, b, precision, isa) for isa in ("amx_bf16", "avx512"))
    np.testing.assert_array_equal(found[rows], float32[rows])
    np.testing.assert_array_equal(found[:, columns], float32[:, columns])
    others = np.delete(np.arange(300), rows), np.delete(np.arange(260), columns)
    assert (found[np.ix_(*others)] == plain[np.ix_(*others)]).all()
    assert (plain[np.ix_(*others)] != float32[np.ix_(*others)]).any()


def test_medium_passes_on_what_is_not_finite():
    a, b = drawn((200, 200, 200))
    a[5, 7], b[9, 11], b[30, 40] = np.inf, np.nan, NAN_OF_ONES
    found = product("affine_fwd", a, b, MEDIUM)
    with np.errstate(invalid="ignore"):
        wanted = a @ b
    assert (np.isnan(found) == np.isnan(wanted)).all() and (np.isinf(found) == np.isinf(wanted)).all()


@pytest.mark.parametrize("precision", [HIGHEST, HIGH, MEDIUM])
@pytest.mark.parametrize("kernel", DIRECTIONS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_same_bits_for_any_number_of_parts(shape, kernel, precision):
    a, b = drawn(shape)
    a[len(a) // 3, 5] = np.inf
    threads.set_num_threads(8)
    found = []
    for parts in (1, 2, 3, 7):
        native.force_parts(parts)
        found.append(product(kernel, a, b, precision))
    for other in found[1:]:
        np.testing.assert_array_equal(other, found[0])


@pytest.mark.parametrize("precision", [HIGHEST, HIGH, MEDIUM])
def test_a_row_has_the_same_bits_among_more_of_them(precision):
    a, b = drawn((700, 520, 400))
    whole = product("affine_fwd", a, b, precision)
    for rows in (100, 101, 128, 255, 256, 257, 699):
        assert (product("affine_fwd", a[:rows], b, precision) == whole[:rows]).all(), rows


@pytest.mark.parametrize("k", [1024, 1030])
def test_bias_relu_and_its_derivative_end_the_product(k):
    """In one block of k and in several; and where C is not whole registers."""
    rng = np.random.default_rng(k)
    x, w = drawn((189, 203, k))
    bias, s = rng.standard_normal(203).astype(np.float32), rng.standard_normal((189, k)).astype(np.float32)
    y, dx = np.empty((189, 203), np.float32), np.empty((189, k), np.float32)
    native.table("amx_bf16").affine_fwd(y, None, x, w, bias, int(Activation.RELU), 0.0, HIGHEST)
    linear = x.astype(np.float64) @ w + bias
    np.testing.assert_allclose(y, np.maximum(linear, 0), atol=1e-4)
    assert (y >= 0).all() and (y == 0).any() and (y > 0).any()
    native.table("amx_bf16").affine_bwd_dx(dx, y, w, s, int(Activation.RELU), 0.0, 1.25, HIGHEST)
    exact = 1.25 * (y.astype(np.float64) @ w.T)
    np.testing.assert_allclose(dx, np.where(s > 0, exact, 0), atol=2e-3)
    assert (dx[s <= 0] == 0).all()


def test_mostly_zeros_are_left_out_instead():
    """The choice is of the whole matrix: a part must not find another."""
    a, b = drawn((600, 300, 400))
    a[np.random.default_rng(1).random(a.shape) < 0.9] = 0
    a[:50] = drawn((50, 1, 400))[0]  # of these rows alone few are 0
    threads.set_num_threads(8)
    found = []
    for parts in (1, 2, 3, 7):
        native.force_parts(parts)
        found.append(product("affine_fwd", a, b))
    assert all((other == found[0]).all() for other in found)
    assert (found[0] == product("affine_fwd", a, b, isa="avx512")).all()
    few = np.tile(a[:50], (4, 1))  # by themselves they are another product
    assert (product("affine_fwd", few, b) != product("affine_fwd", few, b, isa="avx512")).any()


@pytest.mark.parametrize("kernel", DIRECTIONS)
@pytest.mark.parametrize(
    "shape, dtype",
    [(shape, "float64") for shape in OTHER_BLOCKS]
    + [(shape, "float32") for shape in OTHER_BLOCKS if shape[0] == 1 or shape[2] < 10],
    ids=str,
)
def test_without_the_unit_bits_are_those_of_avx512(shape, dtype, kernel):
    """Other blocks and other tiles, but the same sums in the same order."""
    a, b = (factor.astype(dtype) for factor in drawn(shape))
    found = product(kernel, a, b)
    assert (found == product(kernel, a, b, isa="avx512")).all()
    tolerance = 1e-5 if dtype == "float32" else 1e-11
    np.testing.assert_allclose(found, a.astype(np.float64) @ b, rtol=tolerance, atol=tolerance)
