"""Whole networks trained with nothing but a table's kernels, to show that each table is complete and hangs together.

No plan and no engine: the kernels are called one by one, as a reader of the list would. Runs on each table in float32
and float64, and holds the tables' losses against each other.
"""

import numpy as np
import pytest

from fusednet.backends import ref_numpy
from fusednet.backends.table import Activation

RELU, TANH = int(Activation.RELU), int(Activation.TANH)
ROWS, FEATURES, HIDDEN, CLASSES, BATCH, EPOCHS = 600, 7, 24, 3, 50, 8
EPSILON = 1e-3


def _data():
    rng = np.random.default_rng(3)
    label = rng.integers(0, CLASSES, ROWS).astype(np.int32)
    centres = rng.standard_normal((CLASSES, FEATURES)) * 40
    pixels = np.clip(128 + centres[label] + rng.standard_normal((ROWS, FEATURES)) * 40, 0, 255).astype(np.uint8)
    return pixels, label, rng


def _train(table, dtype):
    """affine, batch norm + relu, dropout, affine + tanh, affine, softmax cross entropy, adam; the loss by epoch."""
    pixels, label, rng = _data()

    def weights(*shape):
        return (rng.standard_normal(shape) / np.sqrt(shape[0])).astype(dtype)

    w1, w2, w3 = weights(FEATURES, HIDDEN), weights(HIDDEN, HIDDEN), weights(HIDDEN, CLASSES)
    b2, b3 = np.zeros(HIDDEN, dtype), np.zeros(CLASSES, dtype)
    gamma, beta = np.ones(HIDDEN, dtype), np.zeros(HIDDEN, dtype)
    parameters = [w1, gamma, beta, w2, b2, w3, b3]
    moments = [(np.zeros(p.size, dtype), np.zeros(p.size, dtype)) for p in parameters]
    gradients = [np.empty_like(p) for p in parameters]
    dw1, dgamma, dbeta, dw2, db2, dw3, db3 = gradients
    shift, scale = (pixels.mean(axis=0)).astype(dtype), (1 / pixels.std(axis=0)).astype(dtype)

    x = np.empty((BATCH, FEATURES), dtype)
    z1, h1, a1, h2, d1, d2 = (np.empty((BATCH, HIDDEN), dtype) for _ in range(6))
    mean, var = np.empty(HIDDEN, dtype), np.empty(HIDDEN, dtype)
    z3 = np.empty((BATCH, CLASSES), dtype)
    loss, total = np.empty(BATCH, dtype), np.empty(1)
    history, step = [], 0
    for _ in range(EPOCHS):
        order = rng.permutation(ROWS)
        history.append(0.0)
        for start in range(0, ROWS, BATCH):
            index = order[start : start + BATCH]
            table.gather_rows(x, pixels, index, shift, scale)
            table.affine_fwd(z1, None, x, w1, None, 0, 0.0, 0)
            table.batch_norm_stats(mean, var, z1)
            table.batch_norm_fwd(h1, None, z1, mean, var, gamma, beta, EPSILON, RELU, 0.0)
            table.dropout(a1.reshape(-1), h1.reshape(-1), 0.1, 1 / 0.9, 1, step, 0)
            table.affine_fwd(h2, None, a1, w2, b2, TANH, 0.0, 0)
            table.affine_fwd(z3, None, h2, w3, b3, 0, 0.0, 0)
            table.softmax_xent_labels(loss, z3, z3, label[index], None, 0.0, 1 / BATCH)
            table.sum(total, loss)
            history[-1] += total[0] / ROWS

            table.affine_bwd_dw(dw3, db3, h2, z3, 0)
            table.affine_bwd_dx(d2, z3, w3, h2, TANH, 0.0, 1.0, 0)
            table.affine_bwd_dw(dw2, db2, a1, d2, 0)
            table.affine_bwd_dx(d1, d2, w2, None, 0, 0.0, 1.0, 0)
            table.dropout(d1.reshape(-1), d1.reshape(-1), 0.1, 1 / 0.9, 1, step, 0)
            table.batch_norm_bwd_reduce(dgamma, dbeta, d1, z1, h1, mean, var, EPSILON, RELU, 0.0)
            table.batch_norm_bwd_dx(d1, d1, z1, h1, mean, var, gamma, dgamma, dbeta, EPSILON, RELU, 0.0)
            table.affine_bwd_dw(dw1, None, x, d1, 0)

            step += 1
            rate, v_scale = 0.01 / (1 - 0.9**step), 1 / np.sqrt(1 - 0.999**step)
            for p, (m, v), g in zip(parameters, moments, gradients, strict=True):
                adam = (rate, 0.9, 0.999, 1e-7, v_scale, 0.0, 1e-5, 1.0, 5.0)
                table.adam_step(p.reshape(-1), m, v, g.reshape(-1), *adam)
    return np.array(history)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_table_trains_a_network(table, dtype):
    history = _train(table, dtype)
    assert history[0] > 0.4 and history[-1] < 0.25 * history[0]
    exact = _train(ref_numpy.table(), np.float64)
    assert np.allclose(history, exact, rtol=1e-10 if dtype == np.float64 else 1e-3)
