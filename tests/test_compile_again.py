"""``compile`` of a model that has been trained: what begins anew, what goes on, and which numbers are refused."""

import numpy as np
import pytest
from fits import blobs, classifier, full

import fusednet as fn

X, Y = blobs()
LOSS = "sparse_categorical_crossentropy"


@pytest.mark.parametrize("again", [lambda: fn.SGD(fn.schedules.CosineDecay(0.1, 10)), lambda: fn.SGD(0.2)])
def test_an_optimizer_begins_anew_be_it_equal_or_not(again):
    """A schedule that has ended would train nothing."""
    model = classifier(fn.SGD(fn.schedules.CosineDecay(0.1, 10)))
    model.fit(X, Y, epochs=5)
    assert model.learning_rate == 0
    model.compile(again(), LOSS)
    assert model.step == 0 and model.learning_rate == again().learning_rate(np.zeros(1, np.int64))[0]
    assert not model.memory.state
    before = model.get_weights()
    model.fit(X, Y, epochs=1)
    assert not np.array_equal(before[0], model.get_weights()[0])


def test_its_own_optimizer_goes_on_with_other_metrics_and_in_a_new_epoch():
    """The sums of the epoch that was left are of other things."""
    model = full(fn.Adam(1e-2))
    model.fit(X, Y, epochs=4, steps_per_epoch=6, callbacks=[_Stop(4)])
    moments = {name: array.copy() for name, array in model.memory.state.items()}
    model.compile(model.optimizer, LOSS, ["accuracy", "accuracy"][:0])
    assert model.step == 4 and all(np.array_equal(moments[name], array) for name, array in model.memory.state.items())
    history = model.fit(X, Y, epochs=1, steps_per_epoch=6, resume=True)
    assert model.step == 10 and list(history.history) == ["loss", "learning_rate"]


def test_the_same_metrics_keep_the_place():
    model, other = full(fn.Adam(1e-2)), full(fn.Adam(1e-2))
    model.fit(X, Y, epochs=2, steps_per_epoch=6, callbacks=[_Stop(4)])
    model.compile(model.optimizer, LOSS, ["accuracy"])
    model.fit(X, Y, epochs=2, steps_per_epoch=6, resume=True)
    other.fit(X, Y, epochs=2, steps_per_epoch=6)
    assert all(np.array_equal(a, b) for a, b in zip(model.get_weights(), other.get_weights(), strict=True))


class _Stop(fn.callbacks.Callback):
    def __init__(self, step):
        self.step = step

    def on_train_batch_end(self, batch, logs):
        self.model.stop_training = self.model.step == self.step


@pytest.mark.parametrize(("made", "dtype"), [(fn.Adam, "float32"), (fn.RMSprop, "float32"), (fn.AdaGrad, "float64")])
def test_an_epsilon_that_is_none_is_refused(made, dtype):
    epsilon = {"float32": 1e-40, "float64": 1e-310}[dtype]
    model = fn.Sequential([fn.Dense(2)], dtype=dtype)
    with pytest.raises(ValueError, match=rf"{made.__name__}: epsilon is .*, which {dtype} takes for 0; wanted"):
        model.compile(made(epsilon=epsilon), "mse")
    assert model.optimizer is None
    model.compile(made(epsilon=1e-30), "mse")


def test_a_copy_has_layers_of_its_own():
    import copy

    one = fn.Sequential([fn.Dense(4)])
    other = copy.copy(one)
    other.add(fn.Dense(3))
    one.add(fn.Dense(5))
    assert [layer.units for layer in one.layers] == [4, 5] and [layer.units for layer in other.layers] == [4, 3]


def test_several_labels_of_a_row():
    """Each output says yes or no for itself, be it a probability or a logit."""
    x, y = X.astype(np.float32), np.stack([X[:, 0] > 0, X[:, 1] > 0, X[:, 2] > 9], axis=1).astype(np.float32)
    for last in ("sigmoid", None):
        model = fn.Sequential([fn.Dense(3, last)], seed=0)
        model.compile(fn.Adam(0.1), "binary_crossentropy")
        model.fit(x, y, epochs=60)
        found = model.predict_classes(x)
        assert found.shape == y.shape and found.dtype == np.int64
        assert np.array_equal(found, model.predict(x) > (0.5 if last else 0))
        assert (found == y).mean() > 0.95 and not found[:, 2].any()


@pytest.mark.parametrize("power", [-42, -30, 30, 38])
def test_only_the_ratios_of_weights_count(power):
    weight = np.linspace(0.5, 1, len(X))
    histories, weights = [], []
    for factor in (1.0, 2.0 ** round(power * np.log2(10))):
        model = classifier(dtype="float32")
        histories.append(model.fit(X, Y, epochs=3, sample_weight=weight * factor).history)
        weights.append(model.get_weights())
    assert np.allclose(histories[0]["loss"], histories[1]["loss"], rtol=1e-6)
    assert all(np.allclose(a, b, rtol=1e-5) for a, b in zip(*weights, strict=True))


@pytest.mark.parametrize("unit", [1e-30, 1e-23, 1e-10, 1e10, 1e19, 1e30])
@pytest.mark.parametrize("rows", [200, 5000])
def test_normalisation_is_learnt_in_any_unit(unit, rows):
    x = np.random.default_rng(0).standard_normal((rows, 2)) * [1, unit]
    model = fn.Sequential([fn.Normalization(), fn.Dense(2)])
    model.build(2)
    model.adapt(x)
    scale = model.memory.normalization["normalization/scale"]
    np.testing.assert_allclose(scale * x.std(axis=0), 1, rtol=1e-5)


def test_a_unit_that_float32_cannot_divide_by_is_refused():
    model = fn.Sequential([fn.Normalization(), fn.Dense(2)])
    model.build(2)
    with pytest.raises(ValueError, match=r"column 1 of x has a standard deviation of .*, too large for a network of f"):
        model.adapt(np.array([[0, 3e38], [1, -3e38]]))


def test_steps_of_an_evaluation_are_batches_of_those_that_were_asked_for():
    x, y = blobs(rows=3000)
    model = classifier()
    history = model.fit(x, y, 16, validation_data=(x, y), validation_steps=2).history
    assert history["val_loss"][0] == pytest.approx(model.evaluate(x[:32], y[:32])[0], rel=1e-12)
    assert model.evaluate(x, y, steps=2)[0] == pytest.approx(model.evaluate(x[:64], y[:64])[0], rel=1e-12)
    assert len(model.predict(x, steps=2)) == 64


@pytest.mark.parametrize("listener", [fn.callbacks.ModelCheckpoint, fn.callbacks.BackupAndRestore])
def test_what_cannot_be_saved_is_refused_before_the_first_step(listener, tmp_path):
    def loss(y, z):
        return np.square(z - y).sum(axis=1), 2 * (z - y)

    model = fn.Sequential([fn.Dense(1)], seed=0)
    model.compile("sgd", loss)
    with pytest.raises(TypeError, match=r"cannot save .* is code, .* or save what get_weights\(\) gives"):
        model.fit(X, Y.astype(float), callbacks=[listener(tmp_path / "there" / "file")])
    assert model.step == 0 and model.memory is None and not (tmp_path / "there").exists()
