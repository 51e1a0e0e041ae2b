"""Products whose factors have many zeros: right, and the same bits as those of forms that do not leave zeros out.

a) Few rows, or few columns of a weight gradient, are never taken as sparse (csrc/kernels/gemm_sparse_impl.h), and a row
   has the same bits among any number of others: so a product in slices is the reference, to the bit, but for the sign
   of a zero, which small products keep.
b) Sizes around what the sparse form counts in: strips of 48 k, blocks of 512 rows, panels of 12 vectors, and more k
   than there is scratch for, in each of the three products.
c) A part decides by what it finds in its own rows; the bytes, the sign of a zero included, must not show it.
d) Results lie in wider arrays, whose other columns must stay as they were.
"""

import numpy as np
import pytest

from fusednet import backends
from fusednet.backends.table import Activation

SHAPES = (
    (100, 192, 240), (130, 209, 97), (560, 300, 270), (64, 130, 2300), (2300, 130, 144), (64, 2300, 144),
    (300, 96, 144), (49, 1030, 145), (24, 300, 400), (16, 401, 900),
)  # fmt: skip
"""Rows, columns, k; each in one of the products at least taken as sparse by every instruction set."""

SHARES = (0.3, 0.5, 0.9, 1.0)
ROWS, COLUMNS = 26, 24
"""Of a slice: fewer than the sparse form takes, more than other forms are made for."""

NUMBERS = {"ordinary": None, "infinite": np.inf, "not a number": np.nan}


def sparse(rng, shape, share, dtype):
    """Normal numbers of which `share` are 0, some of them -0, in an array with columns to spare."""
    values = np.full((shape[0], shape[1] + 3), np.nan, dtype)
    some = rng.standard_normal(shape)
    some[rng.random(shape) < share] = 0.0
    values[:, : shape[1]] = np.where(rng.random(shape) < 0.1, -some, some)
    return values[:, : shape[1]]


def normal(rng, shape, number, dtype):
    """Normal numbers, a few of them `number`."""
    values = rng.standard_normal(shape)
    if number is not None:
        values.reshape(-1)[rng.integers(0, values.size, 3)] = number
    return values.astype(dtype)


def result_of(shape, dtype, compute):
    """What `compute` writes into an array with columns to spare, and into nothing else of it."""
    whole = np.full((shape[0], shape[1] + 3), 7.0, dtype)
    compute(whole[:, : shape[1]])
    assert np.all(whole[:, shape[1] :] == 7.0)
    return whole[:, : shape[1]]


def forward(table, x, w, b, kind=Activation.RELU):
    def compute(y):
        table.affine_fwd(y, None, x, w, b, kind, 0.0, 0)

    return result_of((len(x), w.shape[1]), x.dtype, compute)


def backward(table, dy, w, s):
    def compute(dx):
        table.affine_bwd_dx(dx, dy, w, s, Activation.RELU, 0.0, 1.0, 0)

    return result_of((len(dy), len(w)), dy.dtype, compute)


def weight_gradient(table, x, dy):
    def compute(dw):
        table.affine_bwd_dw(dw, None, x, dy, 0)

    return result_of((x.shape[1], dy.shape[1]), x.dtype, compute)


def assert_near(result, a, b, start=0.0, end=lambda exact: exact):
    """As near to NumPy's product in float64 as two sums of rounded terms are."""
    exact = end(a.astype(np.float64) @ b.astype(np.float64) + start)
    scale = np.abs(a).astype(np.float64) @ np.abs(b).astype(np.float64) + np.abs(start)
    bound = (a.shape[1] + 2) * np.finfo(result.dtype).eps * scale + np.finfo(result.dtype).smallest_subnormal
    assert np.all(np.abs(result - exact) <= bound)


@pytest.fixture
def native(native_on_one_thread):
    """The native table; the oracle and Numba leave nothing out. Beside a matrix unit, which takes what is not mostly
    zeros, that of the float32 kernels."""
    from fusednet.backends import native

    return native.table("avx512" if backends.current().isa == "amx_bf16" else None)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_right(table, shape, dtype):
    """The three products of a layer."""
    m, n, k = shape
    rng = np.random.default_rng(m)
    x, dy = sparse(rng, (m, k), 0.5, dtype), sparse(rng, (m, n), 0.5, dtype)
    w, b = normal(rng, (k, n), None, dtype), normal(rng, n, None, dtype)
    assert_near(forward(table, x, w, b), x, w, b, lambda exact: np.maximum(exact, 0))
    assert_near(backward(table, dy, w, x), dy, w.T, end=lambda exact: np.where(x > 0, exact, 0))
    assert_near(weight_gradient(table, x, dy), x.T, dy)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_same_as_in_slices(native, shape, share, number, dtype):
    """The three products of a layer, whole and in slices that are too small to be sparse."""
    m, n, k = shape
    rng = np.random.default_rng(m + int(10 * share))
    x, dy = sparse(rng, (m, k), share, dtype), sparse(rng, (m, n), share, dtype)
    w, b = normal(rng, (k, n), NUMBERS[number], dtype), normal(rng, n, None, dtype)
    full_x, full_dy = normal(rng, (m, k), NUMBERS[number], dtype), normal(rng, (m, n), NUMBERS[number], dtype)
    results = {
        "y": forward(native, x, w, b),
        "linear": forward(native, x, w, None, Activation.LINEAR),
        "dx": backward(native, dy, w, x),
        "x^T dy, x sparse": weight_gradient(native, x, full_dy),
        "x^T dy, dy sparse": weight_gradient(native, full_x, dy),
    }
    rows = [slice(i, i + ROWS) for i in range(0, m, ROWS)]
    columns = [slice(j, j + COLUMNS) for j in range(0, n, COLUMNS)]
    slices = {
        "y": np.concatenate([forward(native, x[i], w, b) for i in rows]),
        "linear": np.concatenate([forward(native, x[i], w, None, Activation.LINEAR) for i in rows]),
        "dx": np.concatenate([backward(native, dy[i], w, x[i]) for i in rows]),
        "x^T dy, x sparse": np.concatenate([weight_gradient(native, x, full_dy[:, j]) for j in columns], axis=1),
        "x^T dy, dy sparse": np.concatenate([weight_gradient(native, full_x, dy[:, j]) for j in columns], axis=1),
    }
    for name, result in results.items():
        np.testing.assert_array_equal(result, slices[name], err_msg=name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_not_a_number_in_a(table, dtype):
    """A NaN of the sparse factor is no zero, and reaches all of its row and nothing else."""
    x = sparse(np.random.default_rng(0), (100, 240), 0.5, dtype)
    x[17, 200] = np.nan
    y = forward(table, x, np.ones((240, 192), dtype), None, Activation.LINEAR)
    assert np.isnan(y[17]).all()
    assert np.isnan(y).sum() == y.shape[1]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("share", [0.4, 0.5, 1.0])
def test_same_bytes_in_any_parts(native, forced_parts, share, dtype):
    """In any number of parts, of which some have too few rows to leave zeros out, and with sums that are -0 or 0."""
    rng = np.random.default_rng(3)
    x, dy = sparse(rng, (120, 300), share, dtype), sparse(rng, (120, 200), share, dtype)
    x[::3] = 0
    w, full_x, full_dy = (normal(rng, shape, None, dtype) for shape in ((300, 200), (120, 300), (120, 200)))
    w[:, ::2] = -np.abs(w[:, ::2])
    b = np.full(200, -0.0, dtype)
    tiny = np.sqrt(np.finfo(dtype).tiny) * 1e-10  # a product of two such numbers is 0 or -0

    def results(size):
        return [
            one.tobytes()
            for one in (
                forward(native, x * size, w * size, b),
                forward(native, x * size, w * size, b, Activation.LINEAR),
                backward(native, dy * size, w * size, np.ones_like(x)),
                weight_gradient(native, x * size, full_dy * size),
                weight_gradient(native, full_x * size, dy * size),
            )
        ]

    for size in (np.dtype(dtype).type(1), np.dtype(dtype).type(tiny)):
        forced_parts(1)
        whole = results(size)
        for parts in (2, 3, 8, 120):
            forced_parts(parts, team=1)
            assert results(size) == whole, (parts, size)
