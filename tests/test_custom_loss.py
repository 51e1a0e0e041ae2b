"""A loss that is a function of the user's: trained as by hand, left where it fails, and free to ask the model.

Reads fits.py; trainings are held against one by hand as in test_fit.py.
"""

import numpy as np
import pytest
from fits import blobs, by_hand, close, squared_loss

import fusednet as fn

X, _ = blobs()
WEIGHT = np.random.default_rng(1).uniform(0, 3, len(X))


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["plain", "weighted"])
def test_a_function_as_the_loss(weight):
    def mine(y_true, y_pred):
        return squared_loss(y_pred, y_true)

    target = np.c_[X[:, 0], X[:, 1] ** 2]
    models = []
    for loss in (mine, "mse"):
        model = fn.Sequential([fn.Dense(6, activation="tanh"), fn.Dense(2)], seed=4, dtype="float64")
        model.compile(fn.SGD(0.1), loss)
        model.build(X.shape[1])
        hand = by_hand(model, X, target, steps=9, batch=40, epoch_steps=3, rate=lambda step: 0.1, weight=weight,
                       loss=squared_loss)
        given = dict(batch_size=40, epochs=3, sample_weight=weight)
        history = model.fit(X, target, validation_data=(X, target), **given)
        assert close(model, history, hand)
        assert np.isclose(history.history["val_loss"][-1], model.evaluate(X, target), rtol=1e-12)
        models.append(model)
    assert np.allclose(models[0].memory.params, models[1].memory.params, rtol=1e-12)


def test_a_loss_function_that_fails_leaves_the_model_at_the_last_whole_step():
    calls = []

    def breaks(y_true, y_pred):
        calls.append(len(y_true))
        if len(calls) == 5:
            raise KeyError("mine")
        return squared_loss(y_pred, y_true)

    model = fn.Sequential([fn.Dense(1)], seed=4, dtype="float64")
    model.compile(fn.SGD(0.1), breaks)
    with pytest.raises(KeyError, match="mine"):
        model.fit(X, X[:, 0], epochs=3)
    assert model.step == 4 and model.history.epoch == [0]
    history = model.fit(X, X[:, 0], epochs=3, resume=True)
    other = fn.Sequential([fn.Dense(1)], seed=4, dtype="float64")
    other.compile(fn.SGD(0.1), lambda y_true, y_pred: squared_loss(y_pred, y_true))
    assert other.fit(X, X[:, 0], epochs=3).history == history.history


@pytest.mark.parametrize("python", [False, True], ids=["engine", "python"])
@pytest.mark.parametrize("ask", [
    lambda model: model.evaluate(X[:5], X[:5, :1]),
    lambda model: model.evaluate(np.tile(X, (30, 1)), np.tile(X[:, :1], (30, 1))),
    lambda model: model.predict(X),
], ids=["evaluate", "evaluate more", "predict"])
def test_a_loss_function_may_ask_the_model(ask, python, in_python):
    """What the step has made so far stays as it is."""
    in_python(python)

    def trained(asks: bool):
        asking = []

        def mine(y_true, y_pred):
            if asks and not asking:  # an evaluation calls it, too
                asking.append(True)
                ask(model)
                asking.clear()
            return squared_loss(y_pred, y_true)

        model = fn.Sequential([fn.Dense(5, "tanh"), fn.Dense(1)], seed=4)
        model.compile(fn.SGD(0.1), mine)
        model.train_on_batch(X, X[:, :1])
        history = model.fit(X, X[:, :1], epochs=2, validation_split=0.2).history
        return history, model.memory.params.tobytes(), model.evaluate(X, X[:, :1])

    assert trained(True) == trained(False)


@pytest.mark.parametrize("shuffle", [False, True])
def test_a_loss_function_cannot_write_to_targets(shuffle):
    def loss(y_true, y_pred):
        y_true -= 1
        return ((y_pred - y_true) ** 2).sum(1), 2 * (y_pred - y_true)

    x, t = np.ones((8, 2), np.float32), np.ones((8, 1), np.float32)
    model = fn.Sequential([fn.Dense(1)], seed=0)
    model.compile("sgd", loss)
    for call in (lambda: model.fit(x, t, shuffle=shuffle), lambda: model.evaluate(x, t),
                 lambda: model.train_on_batch(x, t)):
        with pytest.raises(ValueError, match="read-only"):
            call()
    assert (t == 1).all()
