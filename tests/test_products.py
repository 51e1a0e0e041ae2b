"""Products of few columns, and of columns that do not fill a vector: right, and the same bits for any rows and threads.

a) A row of a product forward has the same bits among any number of other rows: the form is chosen by columns and k.
b) The shapes are those at which native forms begin and end (csrc/kernels/gemm_impl.h, gemm_quads_impl.h); k of every
   rest by four. The other tables are asked for the numbers alone.
"""

import numpy as np
import pytest

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
