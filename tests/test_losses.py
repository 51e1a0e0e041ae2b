"""Losses of counts and quantiles: trainings with their kernels against trainings with the formula in Python.

a) The formula is a function, `fusednet.losses.Custom`, and all else is the same, so the losses of all epochs agree.
b) What a loss is for is looked at too: rates that are the means of counts, a prediction that a share of the rows is
   below.
"""

import numpy as np
import pytest
from fits import blobs

import fusednet as fn
from fusednet.losses import HalfPoissonDeviance

X, _ = blobs(120)
NUMBERS = X[:, :2] + 0.5 * X[:, 2:4] ** 2
COUNTS = np.random.default_rng(1).poisson(np.exp(0.3 * X[:, :2]))


def _poisson(t, z):
    return (np.exp(z) - t * z).mean(axis=1), (np.exp(z) - t) / z.shape[1]


def _deviance(t, z):
    constant = t * np.log(np.where(t > 0, t, 1)) - t
    return (constant - t * z + np.exp(z)).sum(axis=1), np.exp(z) - t


def _quantile(t, z):
    slope = np.where(z > t, 0.2, -0.8)
    return (slope * (z - t)).mean(axis=1), slope / z.shape[1]


def trained(loss, y, **options):
    model = fn.Sequential([fn.Dense(6, activation="tanh"), fn.Dense(y.shape[1])], seed=3, dtype="float64")
    model.compile(fn.Adam(0.03), loss)
    model.fit(X, y, batch_size=25, validation_split=0.2, **{"epochs": 6} | options)
    return model


@pytest.mark.parametrize(("loss", "formula", "y"), [
    ("poisson", _poisson, COUNTS),
    (HalfPoissonDeviance(), _deviance, COUNTS),
    (fn.Quantile(0.8), _quantile, NUMBERS),
], ids=["poisson", "deviance", "quantile"])  # fmt: skip
@pytest.mark.parametrize("weighted", [False, True])
def test_kernel_is_the_formula(table, loss, formula, y, weighted):
    options = {"sample_weight": np.linspace(0, 2, len(X))} if weighted else {}
    kernel, python = trained(loss, y, **options), trained(formula, y, **options)
    for key in ("loss", "val_loss"):
        np.testing.assert_allclose(kernel.history.history[key], python.history.history[key], rtol=1e-10)


def test_rates_are_the_means_of_counts():
    model = trained("poisson", COUNTS, epochs=200)
    np.testing.assert_allclose(np.exp(model.predict(X)).mean(axis=0), COUNTS.mean(axis=0), rtol=0.1)


@pytest.mark.parametrize("share", [0.2, 0.8])
def test_constant_is_the_quantile(share):
    model = fn.Sequential([fn.Dense(2)], seed=0)
    model.compile(fn.Adam(0.01), fn.Quantile(share))
    model.fit(np.zeros_like(X), NUMBERS, batch_size=None, epochs=1000)
    assert (model.predict(X[:1] * 0) >= NUMBERS).mean(axis=0) == pytest.approx(share, abs=0.02)


def test_names_and_errors():
    model = fn.Sequential([fn.Dense(1)])
    for name in ("quantile", "pinball"):
        model.compile("sgd", name)
        assert model.loss == fn.Quantile(0.5)
    with pytest.raises(ValueError, match="quantile is 1"):
        fn.Quantile(1)
    model.compile("sgd", "poisson")
    with pytest.raises(ValueError, match="y has values below 0; the loss 'poisson' wants counts"):
        model.fit(X, -COUNTS[:, 0])
    assert model.memory is None
