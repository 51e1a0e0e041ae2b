"""Products of few columns, and of columns that do not fill a vector: right, and the same bits for any rows and threads.

a) A row of a product forward has the same bits among any number of other rows: the form is chosen by columns and k.
b) The shapes are those at which native forms begin and end (csrc/kernels/gemm_impl.h, gemm_quads_impl.h); k of every
   rest by four. The other tables are asked for the numbers alone.
"""

import numpy as np
import pytest
from conftest import rows_keep_their_bits

from fusednet.backends.table import Activation

COLUMNS = (1, 3, 4, 5, 8, 9, 12, 13, 16, 17, 20, 24, 25, 100, 253, 260)
INNER = (15, 16, 17, 18, 19, 100)
ROWS = 29
FEWER = (1, 2, 3, 4, 7, 8, 9, 12, 13)


@pytest.mark.parametrize("k", INNER)
@pytest.mark.parametrize("n", COLUMNS)
def test_rows_forward(table, n, k):
    """relu(x w + b) against float64, and each row alone and among few against the same row among all."""
    rng = np.random.default_rng(n * 1000 + k)
    x, w, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((ROWS, k), (k, n), n))

    def forward(rows):
        y = np.full((rows, n), np.nan, np.float32)
        table.affine_fwd(y, None, x[:rows], w, b, Activation.RELU, 0.0, 0)
        return y

    whole = forward(ROWS)
    exact = np.maximum(x.astype(np.float64) @ w + b, 0)
    scale = np.abs(x).astype(np.float64) @ np.abs(w) + np.abs(b)
    assert np.all(np.abs(whole - exact) <= (k + 2) * 2.0**-24 * scale)
    if table.backend == "native":
        for rows in FEWER:
            assert np.array_equal(forward(rows), whole[:rows]), rows


@pytest.mark.parametrize("k", INNER)
@pytest.mark.parametrize("n", COLUMNS)
def test_turned(table, n, k):
    """dy w^T with relu's derivative against float64, in few rows and many."""
    rng = np.random.default_rng(n * 1000 + k)
    dy, w, s = (rng.standard_normal(shape).astype(np.float32) for shape in ((ROWS, k), (n, k), (ROWS, n)))
    exact = np.where(s > 0, dy.astype(np.float64) @ w.T, 0)
    scale = np.abs(dy).astype(np.float64) @ np.abs(w.T)
    for rows in (*FEWER, ROWS):
        dx = np.full((rows, n), np.nan, np.float32)
        table.affine_bwd_dx(dx, dy[:rows], w, s[:rows], Activation.RELU, 0.0, 1.0, 0)
        assert np.all(np.abs(dx - exact[:rows]) <= (k + 2) * 2.0**-24 * scale[:rows]), rows


LARGE = [(400, 520), (1030, 200), (1024, 224)]  # k, n: more than L2 holds beside rows; two blocks of k; rows 4 KB apart


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("k, n", LARGE)
def test_any_rows_of_a_large_product(table, k, n, dtype):
    """x w + b against wider sums, and few rows, whose w is read where it lies, against the same rows of more."""
    rng = np.random.default_rng(k)
    x, w, b = (rng.standard_normal(shape).astype(dtype) for shape in ((100, k), (k, n), n))

    def forward(rows):
        y = np.full((rows, n), np.nan, dtype)
        table.affine_fwd(y, None, x[:rows], w, b, Activation.LINEAR, 0.0, 0)
        return y

    whole = forward(100)
    exact = x.astype(np.longdouble) @ w + b
    scale = np.abs(x).astype(np.float64) @ np.abs(w) + np.abs(b)
    assert np.all(np.abs(whole - exact) <= (k + 2) * np.finfo(dtype).eps / 2 * scale)
    if rows_keep_their_bits(table) or (table.backend == "native" and dtype is np.float64):
        for rows in (5, 8, 15, 29, 41, 43, 64):
            assert np.array_equal(forward(rows), whole[:rows]), rows


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [7, 13, 15])
def test_few_columns_of_a_large_gradient(table, n, dtype):
    """x^T dy of many rows of x, which the transpose reads as the large factor."""
    rng = np.random.default_rng(n)
    x, dy = (rng.standard_normal(shape).astype(dtype) for shape in ((320, 784), (320, n)))
    dw, db = np.full((784, n), np.nan, dtype), np.full(n, np.nan, dtype)
    table.affine_bwd_dw(dw, db, x, dy, 0)
    exact = x.T.astype(np.longdouble) @ dy
    scale = np.abs(x.T).astype(np.float64) @ np.abs(dy)
    assert np.all(np.abs(dw - exact) <= 322 * np.finfo(dtype).eps / 2 * scale)
    sums, spread = dy.astype(np.longdouble).sum(axis=0), np.abs(dy).sum(axis=0, dtype=np.float64)
    assert np.all(np.abs(db - sums) <= 321 * np.finfo(dtype).eps / 2 * spread)
