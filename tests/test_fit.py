"""`fit` means what Keras means by each argument, and what the library adds is what its words say.

Trainings are held against one by hand (fits.py), in float64, where a difference of 1e-9 is a mistake: 1e-9 is far above
what another order of sums gives (1e-13 after these few steps) and far below what another row, weight or rate would.
"""

import io
import time
from contextlib import redirect_stderr, redirect_stdout

import numpy as np
import pytest
from fits import blobs, by_hand, classifier, close, forward, full, outcome, softmax_loss

import fusednet as fn
from fusednet import runner

X, Y = blobs()
WEIGHT = np.random.default_rng(1).uniform(0, 3, len(X))


def started(**options):
    """A model with weights, which no step has changed."""
    model = classifier(fn.SGD(0.1), **options)
    model.build(X.shape[1])
    return model


def slow(step):
    return 0.1


# ---- rows of a step, steps of an epoch -------------------------------------------------------------------------------


@pytest.mark.parametrize("batch, steps", [(None, 1), (1, 96), (32, 3), (40, 3), (500, 1), (95, 2)])
def test_batch_size_is_rows_of_a_step_and_the_last_is_short(batch, steps):
    model = started()
    rows = min(batch or len(X), len(X))
    hand = by_hand(model, X, Y, steps=3 * steps, batch=rows, epoch_steps=steps, rate=slow)
    history = model.fit(X, Y, batch_size=batch, epochs=3)
    assert close(model, history, hand)
    assert model.step == 3 * steps and history.params["steps"] == steps


def test_hand_made_training_is_told_apart_from_a_wrong_one():
    model = started()
    hand = by_hand(model, X, Y, steps=6, batch=32, epoch_steps=3, rate=lambda step: 0.1 + 1e-7 * (step == 5))
    other = by_hand(model, X, Y, steps=6, batch=32, epoch_steps=3, rate=slow, shuffle=False)
    history = model.fit(X, Y, epochs=2)
    assert not close(model, history, hand) and not close(model, history, other)
    assert not close(model, history, ([0 * w for w in hand[0]], hand[1]))


def test_rows_come_in_their_order_without_shuffle():
    model = started()
    hand = by_hand(model, X, Y, steps=6, batch=40, epoch_steps=3, rate=slow, shuffle=False)
    assert close(model, model.fit(X, Y, batch_size=40, epochs=2, shuffle=False), hand)


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("steps", [1, 2, 3, 4, 7])
def test_steps_per_epoch_goes_on_over_the_rows(steps, shuffle):
    model = started()
    hand = by_hand(model, X, Y, steps=6 * steps, batch=40, epoch_steps=steps, rate=slow, shuffle=shuffle)
    history = model.fit(X, Y, batch_size=40, epochs=6, steps_per_epoch=steps, shuffle=shuffle)
    assert close(model, history, hand)
    assert history.steps == [steps * (i + 1) for i in range(6)]


def test_each_pass_has_every_row_once_in_a_new_order():
    seen = []

    def spy(y_true, y_pred):
        seen.extend(y_true[:, 0].tolist())
        return np.zeros(len(y_pred), y_pred.dtype), np.zeros_like(y_pred)

    model = fn.Sequential([fn.Dense(1)], seed=1)
    model.compile("sgd", spy)
    rows = np.arange(37.0)
    model.fit(rows[:, None], rows, batch_size=5, epochs=6, steps_per_epoch=4)  # 24 steps are 3 passes of 8
    passes = np.array(seen).reshape(3, 37)
    assert (np.sort(passes) == rows).all()
    assert len({p.tobytes() for p in passes}) == 3 and not (passes[0] == rows).all()


def test_initial_epoch_counts_on():
    model, other = started(), started()
    history = model.fit(X, Y, epochs=5, initial_epoch=3)
    assert history.epoch == [3, 4] and model.step == 6
    other.fit(X, Y, epochs=2)
    assert model.memory.params.tobytes() == other.memory.params.tobytes()
    assert model.fit(X, Y, epochs=3, initial_epoch=3).epoch == []
    assert model.step == 6


@pytest.mark.parametrize("given", [{}, {"validation_split": 0.25}, {"validation_data": (X, Y), "verbose": 2}])
def test_no_epochs_are_a_model_that_stands_ready(given, monkeypatch):
    bound = []
    made = runner.Runner._make
    monkeypatch.setattr(runner.Runner, "_make", lambda self, *a: (bound.append(self.plan.mode), made(self, *a)))
    model, other = full(), full()
    history = model.fit(X, Y, batch_size=20, epochs=0, **given)
    assert "train" not in bound
    assert history.epoch == [] and history.history.get("loss", []) == [] and not history.stopped
    assert model.step == 0 and model.memory.normalized and not model.memory.trained
    for one in (model, other):
        one.fit(X, Y, batch_size=20, epochs=2, **given)
    assert outcome(model) == outcome(other)
    with pytest.raises(ValueError, match="x has 96 rows, y has 95"):
        full().fit(X, Y[:-1], epochs=0)


def test_a_second_fit_goes_on_with_new_orders_and_the_same_moments():
    one, two = full(), full()
    one.fit(X, Y, epochs=4)
    two.fit(X, Y, epochs=2)
    history = two.fit(X, Y, epochs=2)
    assert history.epoch == [0, 1]
    assert one.memory.params.tobytes() == two.memory.params.tobytes()


# ---- weights ---------------------------------------------------------------------------------------------------------


def test_sample_weight_is_the_weighted_mean_of_the_batch():
    model = started()
    hand = by_hand(model, X, Y, steps=9, batch=40, epoch_steps=3, rate=slow, weight=WEIGHT)
    assert close(model, model.fit(X, Y, batch_size=40, epochs=3, sample_weight=WEIGHT), hand)


def test_a_row_of_weight_0_is_as_if_it_were_not_there():
    weight = (np.arange(len(X)) % 3 > 0).astype(float)
    model = started()
    hand = by_hand(model, X, Y, steps=192, batch=1, epoch_steps=96, rate=slow, weight=weight)
    history = model.fit(X, Y, batch_size=1, epochs=2, sample_weight=weight)  # whole batches of weight 0
    assert close(model, history, hand)
    kept = weight > 0
    assert np.allclose(model.evaluate(X, Y, sample_weight=weight), model.evaluate(X[kept], Y[kept]), rtol=1e-12)


def test_weights_of_2_are_rows_given_twice_to_a_full_batch():
    one, two = started(), started()
    one.fit(X, Y, batch_size=None, epochs=3, sample_weight=np.where(Y == 1, 2, 1))
    twice = np.concatenate([np.arange(len(X)), np.flatnonzero(Y == 1)])
    two.fit(X[twice], Y[twice], batch_size=None, epochs=3)
    assert np.allclose(one.memory.params, two.memory.params, rtol=1e-11, atol=1e-14)


def test_class_weight_is_the_weight_of_each_row_of_the_class():
    by_class = {0: 0.5, 2: 3.0}
    weight = np.array([by_class.get(label, 1.0) for label in Y.tolist()])
    one, two, three = started(), started(), started()
    one.fit(X, Y, epochs=2, class_weight=by_class)
    two.fit(X, Y, epochs=2, sample_weight=weight)
    assert outcome(one) == outcome(two)
    one.fit(X, Y, epochs=2, class_weight=by_class, sample_weight=WEIGHT)
    two.fit(X, Y, epochs=2, sample_weight=WEIGHT * weight)
    assert np.allclose(one.memory.params, two.memory.params, rtol=1e-12)
    three.fit(X, Y, epochs=2)
    assert not np.allclose(two.memory.params, three.memory.params, rtol=1e-3)


def test_balanced_class_weight_gives_each_class_the_same_sum():
    one, two = started(), started()
    counts = np.bincount(Y)
    one.fit(X, Y, epochs=2, class_weight="balanced")
    two.fit(X, Y, epochs=2, class_weight={c: len(Y) / (3 * n) for c, n in enumerate(counts.tolist())})
    assert outcome(one) == outcome(two)


@pytest.mark.parametrize("size", [None, 7, 1])
def test_validation_and_metrics_are_weighted_means(size):
    model = started()
    x, y = blobs(50, seed=9)
    weight = np.random.default_rng(2).uniform(0, 2, 50)
    history = model.fit(X, Y, epochs=2, validation_data=(x, y, weight), validation_batch_size=size)
    z = forward(model.get_weights(), x)[-1]
    total = weight.sum()
    assert np.isclose(history.history["val_loss"][-1], (softmax_loss(z, y)[0] * weight).sum() / total, rtol=1e-12)
    right = ((z.argmax(axis=1) == y) * weight).sum() / total
    assert np.isclose(history.history["val_accuracy"][-1], right, rtol=1e-12)
    assert np.allclose(model.evaluate(x, y, sample_weight=weight, batch_size=11), [
        history.history[key][-1] for key in ("val_loss", "val_accuracy")], rtol=1e-12)


def test_class_weight_weighs_validation_too():
    model = started()
    x, y = blobs(50, seed=9)
    history = model.fit(X, Y, epochs=1, validation_data=(x, y), class_weight={1: 5.0})
    again = model.evaluate(x, y, sample_weight=np.where(y == 1, 5.0, 1.0))
    assert np.allclose(again, [history.history["val_loss"][-1], history.history["val_accuracy"][-1]], rtol=1e-12)


def test_a_validation_of_training_rows_keeps_their_weights():
    model = started()
    history = model.fit(X, Y, epochs=2, validation_split=0.25, sample_weight=WEIGHT)
    held = model.validation_indices_
    again = model.evaluate(X[held], Y[held], sample_weight=WEIGHT[held])
    assert np.allclose(again, [history.history["val_loss"][-1], history.history["val_accuracy"][-1]], rtol=1e-12)
    train = np.setdiff1d(np.arange(len(X)), held)
    fresh = started()
    hand = by_hand(fresh, X, Y, steps=6, batch=32, epoch_steps=3, rate=slow, weight=WEIGHT, chosen=train)
    assert close(model, history, hand)


# ---- validation ------------------------------------------------------------------------------------------------------


def test_validation_split_is_random_stratified_and_told():
    y = np.array([0] * 60 + [1] * 24 + [2] * 12)
    model = classifier()
    model.fit(X, y, validation_split=0.25)
    held = model.validation_indices_
    assert held.dtype == np.int64 and (np.diff(held) > 0).all()
    assert np.bincount(y[held]).tolist() == [15, 6, 3]
    other = classifier(seed=5)
    other.fit(X, y, validation_split=0.25)
    assert other.validation_indices_.tolist() != held.tolist()
    model.fit(X, y)
    assert model.validation_indices_ is None


def test_tail_split_is_keras_last_rows():
    model, other = started(), started()
    one = model.fit(X, Y, epochs=3, validation_split=0.3, split="tail")
    assert model.validation_indices_.tolist() == list(range(67, 96))  # floor(96 * 0.7) rows to train on
    two = other.fit(X[:67], Y[:67], epochs=3, validation_data=(X[67:], Y[67:]))
    assert one.history == two.history
    assert model.memory.params.tobytes() == other.memory.params.tobytes()


def test_validation_data_takes_the_place_of_the_split():
    model = started()
    history = model.fit(X, Y, validation_split=0.5, validation_data=(X[:10], Y[:10]))
    assert model.validation_indices_ is None and model.step == 3
    assert history.history["val_loss"][0] == model.evaluate(X[:10], Y[:10])[0]


@pytest.mark.parametrize("freq, epochs", [(1, [0, 1, 2, 3, 4]), (2, [1, 3]), ([1, 5], [0, 4]), ({2}, [1]), (9, [])])
def test_validation_freq_is_a_number_or_the_epochs_from_1(freq, epochs):
    history = started().fit(X, Y, epochs=5, validation_split=0.2, validation_freq=freq)
    assert len(history.history["loss"]) == 5
    assert len(history.history.get("val_loss", [])) == len(epochs)
    if epochs:
        assert history.epochs_of("val_loss") == epochs


def test_validation_steps_are_the_first_batches():
    x, y = blobs(50, seed=9)
    model = started()
    history = model.fit(X, Y, epochs=1, validation_data=(x, y), validation_batch_size=8, validation_steps=3)
    assert history.history["val_loss"] == [model.evaluate(x[:24], y[:24], batch_size=8)[0]]
    more = model.fit(X, Y, epochs=1, validation_data=(x, y), validation_batch_size=8, validation_steps=300)
    assert more.history["val_loss"] == [model.evaluate(x, y, batch_size=8)[0]]


def test_validation_interval_validates_within_epochs():
    seen = {}

    class Spy(fn.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen[self.model.step] = self.model.evaluate(X[:30], Y[:30], return_dict=True)

    model, plain = started(), started()
    given = dict(epochs=3, batch_size=10, validation_data=(X[:30], Y[:30]))
    history = model.fit(X, Y, validation_interval=4, callbacks=[Spy()], **given)
    assert [entry["step"] for entry in history.validations] == [4, 8, 12, 16, 24, 28]  # epochs end at 10, 20, 30
    assert [entry["epoch"] for entry in history.validations] == [0, 0, 1, 1, 2, 2]
    for entry in history.validations:
        assert {key: entry[f"val_{key}"] for key in ("loss", "accuracy")} == seen[entry["step"]]
    again = plain.fit(X, Y, **given)
    assert again.history == history.history and model.memory.params.tobytes() == plain.memory.params.tobytes()


def test_validation_changes_nothing():
    one, two = full(), full()
    one.fit(X, Y, epochs=3, validation_data=(X, Y), validation_interval=2)
    two.fit(X, Y, epochs=3)
    assert one.memory.params.tobytes() == two.memory.params.tobytes()
    assert all((a == b).all() for a, b in zip(one.get_weights(), two.get_weights(), strict=True))


# ---- what is printed, what is kept -----------------------------------------------------------------------------------


def test_verbose_0_prints_nothing_and_1_and_2_do(capfd):
    def fit(verbose):
        model = classifier()
        model.fit(X, Y, epochs=2, validation_split=0.2, verbose=verbose)
        model.evaluate(X, Y, verbose=verbose)
        model.predict(X, verbose=verbose)

    fit(0)
    assert capfd.readouterr() == ("", "")
    fit(2)
    assert capfd.readouterr().out.count("loss") >= 2


def test_the_default_prints_nothing():
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        model = classifier()
        model.fit(X, Y, epochs=2)
    assert not out.getvalue() and not err.getvalue()


def test_history_has_keras_keys_and_more():
    model = started()
    history = model.fit(X, Y, epochs=3, validation_split=0.2)
    assert list(history.history) == ["loss", "accuracy", "learning_rate", "val_loss", "val_accuracy"]
    assert all(len(values) == 3 and all(type(v) is float for v in values) for values in history.history.values())
    assert history.epoch == [0, 1, 2] and history.steps == [3, 6, 9] and len(history.time) == 3
    assert model.history is history and history.unfinished == {} and not history.stopped
    assert started().fit(X, Y, epochs=3).steps == [3, 6, 9]  # also where all epochs are one call


def test_times_of_epochs_add_up():
    model = classifier(hidden=(64, 64))
    began = time.perf_counter()
    history = model.fit(X, Y, epochs=50)
    whole = time.perf_counter() - began
    assert len(history.time) == 50 and all(t > 0 for t in history.time) and sum(history.time) <= whole


# ---- optimizers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("watched", [False, True])
@pytest.mark.parametrize("schedule", [
    fn.ExponentialDecay(0.3, 5, 0.7), fn.StepDecay(0.3, 4, 0.5),
    fn.CosineDecay(0.05, 20, warmup_target=0.3, warmup_steps=5), fn.OneCycle(0.5, 21),
    fn.PiecewiseConstant([3, 10], [0.3, 0.2, 0.1]),
], ids=lambda s: type(s).__name__)
def test_schedules_are_evaluated_at_each_step(schedule, watched):
    model = classifier(fn.SGD(schedule))
    model.build(X.shape[1])
    hand = by_hand(model, X, Y, steps=21, batch=32, epoch_steps=3, rate=lambda step: float(schedule(step)))
    callbacks = [fn.LambdaCallback(on_train_batch_end=lambda batch, logs: None)] if watched else None
    history = model.fit(X, Y, epochs=7, callbacks=callbacks)
    assert close(model, history, hand)
    assert history.history["learning_rate"] == [float(schedule(3 * i)) for i in range(1, 8)]  # that of the next step


@pytest.mark.parametrize("spec", [
    fn.SGD(0.1, momentum=0.9), fn.SGD(0.1, momentum=0.9, nesterov=True), fn.AdaGrad(0.1), fn.RMSprop(0.01),
    fn.Adam(0.01), fn.AdamW(0.01, weight_decay=0.1), fn.Adam(0.01, global_clipnorm=0.1), fn.Adam(0.01, clipvalue=0.01),
    fn.SGD(0.1, clipnorm=0.05),
], ids=repr)
def test_steps_in_one_call_are_steps_one_by_one(spec):
    one, two = classifier(spec), classifier(spec)
    one.fit(X, Y, batch_size=32, epochs=2, shuffle=False)
    for _ in range(2):
        for start in range(0, 96, 32):
            two.train_on_batch(X[start : start + 32], Y[start : start + 32])
    assert one.memory.params.tobytes() == two.memory.params.tobytes() and one.step == two.step == 6


def test_average_of_weights_takes_their_place_at_the_end():
    model = classifier(fn.SGD(0.1, use_ema=True, ema_momentum=0.8))
    model.build(X.shape[1])
    hand = by_hand(model, X, Y, steps=9, batch=32, epoch_steps=3, rate=slow, ema=0.8)
    assert close(model, model.fit(X, Y, epochs=3), hand)


def test_learning_rate_factor_is_of_its_layer():
    layers = [fn.Dense(6, activation="tanh", learning_rate_factor=0.25), fn.Dense(3, learning_rate_factor=0)]
    model = fn.Sequential(layers, seed=4, dtype="float64")
    model.compile(fn.SGD(0.1), "sparse_categorical_crossentropy", ["accuracy"])
    model.build(X.shape[1])
    hand = by_hand(model, X, Y, steps=9, batch=32, epoch_steps=3, rate=slow, factors=(0.25, 0.25, 0, 0))
    history = model.fit(X, Y, epochs=3)
    assert close(model, history, hand)
    assert history.learning_rate == {"dense": [0.025] * 3, "dense_1": [0.0] * 3}


@pytest.mark.parametrize("l1, l2", [(0.0, 0.05), (0.02, 0.0), (0.02, 0.05)])
def test_regularizers_are_in_the_loss(l1, l2):
    model = started(kernel_regularizer=fn.L1L2(l1, l2))
    hand = by_hand(model, X, Y, steps=9, batch=32, epoch_steps=3, rate=slow, l1=l1, l2=l2)
    history = model.fit(X, Y, epochs=3, validation_data=(X, Y))
    assert close(model, history, hand)
    penalty = sum(l1 * np.abs(w).sum() + l2 * (w * w).sum() for w in model.get_weights()[::2])
    plain = softmax_loss(forward(model.get_weights(), X)[-1], Y)[0].mean()
    assert np.isclose(history.history["val_loss"][-1], plain + penalty, rtol=1e-12)
    assert np.isclose(model.evaluate(X, Y)[0], plain + penalty, rtol=1e-12)


def test_learning_rate_can_be_set_between_and_within():
    model = started()
    hand = by_hand(model, X, Y, steps=9, batch=32, epoch_steps=3, rate=lambda step: 0.1 if step < 4 else 0.02)

    class Change(fn.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.step == 4:
                self.model.optimizer.learning_rate = 0.02

    assert close(model, model.fit(X, Y, epochs=3, callbacks=[Change()]), hand)
    assert model.optimizer.learning_rate == 0.02 and model.optimizer.iterations == 9


# ---- known optima ----------------------------------------------------------------------------------------------------


def test_linear_regression_reaches_least_squares():
    rng = np.random.default_rng(3)
    x = rng.standard_normal((80, 4))
    y = x @ rng.standard_normal((4, 2)) + 1 + 0.1 * rng.standard_normal((80, 2))
    model = fn.Sequential([fn.Dense(2)], seed=0, dtype="float64")
    model.compile(fn.SGD(0.3), "mse")
    model.fit(x, y, batch_size=None, epochs=400)
    exact = np.linalg.lstsq(np.c_[x, np.ones(80)], y, rcond=None)[0]
    kernel, bias = model.get_weights()
    assert np.allclose(kernel, exact[:4], atol=1e-10) and np.allclose(bias, exact[4], atol=1e-10)


@pytest.mark.parametrize("loss, last", [("binary_crossentropy", "sigmoid"), ("binary_crossentropy", "linear")])
def test_logistic_regression_reaches_the_maximum_of_likelihood(loss, last):
    x, y = blobs(120, 3, 2, seed=5)
    model = fn.Sequential([fn.Dense(1, activation=last)], seed=0, dtype="float64")
    model.compile(fn.SGD(1.0), loss, ["accuracy"])
    model.fit(x, y, batch_size=None, epochs=3000)
    a, w = np.c_[x, np.ones(120)], np.zeros(4)
    for _ in range(30):  # Newton's method
        p = 1 / (1 + np.exp(-(a @ w)))
        w -= np.linalg.solve((a.T * (p * (1 - p))) @ a, a.T @ (p - y))
    assert np.allclose(np.concatenate([w.ravel() for w in model.get_weights()]), w, atol=1e-6)
    right = ((a @ w > 0) == y).mean()
    assert np.isclose(model.evaluate(x, y)[1], right)
    assert (model.predict_classes(x) == (a @ w > 0)).all()
    inside = model.predict(x)[:, 0]
    assert np.allclose(inside, 1 / (1 + np.exp(-(a @ w))) if last == "sigmoid" else a @ w, atol=1e-5)


def test_softmax_regression_reaches_a_gradient_of_0():
    model = fn.Sequential([fn.Dense(3, activation="softmax")], seed=0, dtype="float64")
    model.compile(fn.SGD(0.5), "sparse_categorical_crossentropy", ["accuracy"])
    y = np.where(np.arange(len(X)) % 4 == 0, (Y + 1) % 3, Y)  # no plane tells these apart
    model.fit(X, y, batch_size=None, epochs=4000)
    z = X @ model.get_weights()[0] + model.get_weights()[1]
    gradient = softmax_loss(z, y)[1] / len(X)
    assert np.abs(np.c_[X, np.ones(len(X))].T @ gradient).max() < 1e-6
    p = model.predict(X)
    assert np.allclose(p.sum(axis=1), 1) and np.allclose(p, np.exp(z) / np.exp(z).sum(axis=1, keepdims=True))


# ---- what x and y may be ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["int8", "uint8", "int32", "uint64", "float16", "float32", "float64", ">f8", "bool"])
def test_x_of_every_dtype(kind):
    x = np.random.default_rng(2).integers(0, 2 if kind == "bool" else 60, (96, 5))
    one, two = classifier(), classifier()
    one.fit(x.astype(kind), Y, epochs=2)
    two.fit(x.astype(np.float64), Y, epochs=2)
    assert outcome(one) == outcome(two)


def test_x_of_every_layout(tmp_path):
    x = X.astype(np.float32)
    wide = np.zeros((96, 11), np.float32)
    wide[:, 3:8] = x
    file = np.memmap(tmp_path / "x", np.float32, "w+", shape=x.shape)
    file[:] = x
    locked = x.copy()
    locked.setflags(write=False)
    several = np.repeat(x, 2, axis=0)
    given = {
        "c": x, "fortran": np.asfortranarray(x), "columns of more": wide[:, 3:8], "every second row": several[::2],
        "backwards": x[::-1].copy()[::-1], "memmap": np.memmap(tmp_path / "x", np.float32, "r", shape=x.shape),
        "read only": locked, "lists": x.tolist(), "3-D": x.reshape(96, 5, 1),
    }
    outcomes = {}
    for name, x in given.items():
        model = classifier(dtype="float32")
        model.fit(x, Y, epochs=2, validation_split=0.25)
        outcomes[name] = outcome(model)
    assert all(result == outcomes["c"] for result in outcomes.values())


def test_labels_of_every_kind():
    names = np.array(["ant", "bee", "cat"])
    one_hot = np.eye(3)[Y]
    plain = classifier()
    plain.fit(X, Y, epochs=2, validation_split=0.2)
    kinds = {"text": names[Y], "objects": names[Y].astype(object).tolist(), "one-hot": one_hot,
             "int8": Y.astype(np.int8), "whole floats": Y.astype(float), "a column": Y[:, None],
             "one-hot bytes": one_hot.astype(np.uint8)}
    for name, y in kinds.items():
        model = classifier()
        model.fit(X, y, epochs=2, validation_split=0.2)
        assert outcome(model) == outcome(plain), name
        predicted = model.predict_classes(X)
        text = name in ("text", "objects")
        assert (model.classes_ is not None) == text
        assert predicted.tolist() == (names[plain.predict_classes(X)] if text else plain.predict_classes(X)).tolist()
        assert model.evaluate(X, y) == plain.evaluate(X, Y)


def test_text_labels_of_two_classes_and_one_output():
    x, y = blobs(60, classes=2)
    model = fn.Sequential([fn.Dense(1, activation="sigmoid")], seed=0)
    model.compile(fn.Adam(0.1), "binary_crossentropy", ["accuracy"])
    model.fit(x, np.array(["no", "yes"])[y], epochs=20, class_weight={"yes": 2.0})
    predicted = model.predict_classes(x)
    assert set(predicted) <= {"no", "yes"}
    text = np.array(["no", "yes"])[y]
    assert np.isclose((predicted == text).mean(), model.evaluate(x, text)[1])


# ---- the other methods -----------------------------------------------------------------------------------------------


def test_train_on_batch_is_a_step():
    model = started()
    hand = by_hand(model, X, Y, steps=1, batch=96, epoch_steps=1, rate=slow, weight=WEIGHT, shuffle=False)
    got = model.train_on_batch(X, Y, sample_weight=WEIGHT, return_dict=True)
    assert np.isclose(got["loss"], hand[1][0, 0], rtol=1e-12) and np.isclose(got["accuracy"], hand[1][0, 1])
    assert all(np.allclose(a, b, rtol=1e-11) for a, b in zip(model.get_weights(), hand[0], strict=True))
    assert isinstance(model.train_on_batch(X, Y), list)


def test_evaluate_and_predict():
    model = started()
    z = forward(model.get_weights(), X)[-1]
    loss, accuracy = model.evaluate(X, Y)
    assert np.isclose(loss, softmax_loss(z, Y)[0].mean(), rtol=1e-12) and accuracy == (z.argmax(axis=1) == Y).mean()
    assert model.evaluate(X, Y, return_dict=True) == {"loss": loss, "accuracy": accuracy}
    assert np.allclose(model.evaluate(X, Y, batch_size=7), [loss, accuracy], rtol=1e-12)
    assert model.evaluate(X, Y, batch_size=10, steps=2) == model.evaluate(X[:20], Y[:20], batch_size=10)
    out = model.predict(X)
    assert np.allclose(out, z, rtol=1e-12) and out.dtype == np.float64
    assert (model.predict(X, batch_size=7) == out).all() and (model.predict_on_batch(X) == out).all()
    assert (model.predict(X, batch_size=10, steps=2) == out[:20]).all()
    only = classifier(metrics=())
    only.build(5)
    assert isinstance(only.evaluate(X, Y), float)


def test_weights_can_be_taken_and_given():
    model, other = full(), full(seed=9)
    model.fit(X, Y, epochs=2)
    other.build(5)
    taken = model.get_weights()
    assert [w.shape for w in taken] == [(5, 12), (12,), (12,), (12,), (12,), (12,), (12, 3), (3,)]
    assert model.count_params() == sum(w.size for w in taken) == 5 * 12 + 5 * 12 + 12 * 3 + 3
    taken[0][:] = 7
    assert not (model.get_weights()[0] == 7).any()
    other.set_weights(model.get_weights())
    other.memory.set_normalization(X.mean(axis=0), X.var(axis=0))
    assert np.allclose(model.predict(X), other.predict(X), atol=1e-5)
    with pytest.raises(ValueError, match=r"7 arrays were given; wanted 8"):
        other.set_weights(taken[1:])
    with pytest.raises(ValueError, match=r"dense/kernel is of shape \(12,\); wanted \(5, 12\)"):
        other.set_weights(taken[1:] + taken[:1])


# ---- callbacks with a real model -------------------------------------------------------------------------------------


def test_stop_training_at_an_epoch_and_within_one():
    class Stop(fn.Callback):
        def __init__(self, step):
            super().__init__()
            self.step = step

    class AtEpoch(Stop):
        def on_epoch_end(self, epoch, logs=None):
            self.model.stop_training = self.model.step == self.step

    class AtBatch(Stop):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = self.model.step == self.step

    model = started()
    assert model.fit(X, Y, epochs=9, callbacks=[AtEpoch(6)]).epoch == [0, 1] and model.step == 6
    model = started()
    hand = by_hand(model, X, Y, steps=5, batch=32, epoch_steps=5, rate=slow)
    history = model.fit(X, Y, epochs=9, callbacks=[AtBatch(5)])
    assert history.epoch == [0] and model.step == 5
    assert all(np.allclose(a, b, rtol=1e-10) for a, b in zip(model.get_weights(), hand[0], strict=True))
    assert set(history.unfinished) == {"loss", "accuracy", "learning_rate"}
    assert model.fit(X, Y, epochs=2).epoch == [0, 1]  # a flag from before does not count


def test_batch_logs_are_means_over_the_epoch_so_far():
    seen = []
    model = started()
    tell = fn.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append((batch, logs["loss"])))
    history = model.fit(X, Y, epochs=2, callbacks=[tell])
    assert [batch for batch, _ in seen] == [0, 1, 2] * 2
    assert [seen[2][1], seen[5][1]] == history.history["loss"]
    fresh = started()
    assert np.isclose(seen[0][1], by_hand(fresh, X, Y, steps=1, batch=32, epoch_steps=1)[1][0, 0], rtol=1e-12)


def test_learning_rate_scheduler_sets_the_rate_of_each_epoch():
    model = started()
    hand = by_hand(model, X, Y, steps=12, batch=32, epoch_steps=3, rate=lambda step: 0.1 / (1 + step // 3))
    history = model.fit(X, Y, epochs=4, callbacks=[fn.LearningRateScheduler(lambda epoch: 0.1 / (1 + epoch))])
    assert close(model, history, hand)
    assert history.history["learning_rate"] == [0.1 / (1 + epoch) for epoch in range(4)]


def test_reduce_on_plateau_reduces_what_the_next_steps_take():
    model = started()
    hand = by_hand(model, X, Y, steps=12, batch=32, epoch_steps=3, rate=lambda step: 0.1 * 0.5 ** max(0, step // 3 - 1))
    plateau = fn.ReduceLROnPlateau(monitor="loss", factor=0.5, patience=1, min_delta=10)
    history = model.fit(X, Y, epochs=4, callbacks=[plateau])
    assert close(model, history, hand)
    assert history.history["learning_rate"] == [0.1, 0.1, 0.05, 0.025] and model.learning_rate == 0.0125


def test_early_stopping_stops_and_restores_the_best():
    weights = {}
    keep = fn.LambdaCallback(on_epoch_end=lambda epoch, logs: weights.update({epoch: model.get_weights()}))
    model = full(fn.Adam(0.1))
    early = fn.EarlyStopping(monitor="val_loss", patience=3, restore_best_weights=True)
    history = model.fit(X[:40], Y[:40], epochs=200, validation_data=(X[40:], Y[40:]), callbacks=[keep, early])
    losses = history.history["val_loss"]
    best = int(np.argmin(losses))
    assert len(losses) == best + 4 < 200 and early.best_epoch == best
    assert all((a == b).all() for a, b in zip(model.get_weights(), weights[best], strict=True))
    assert model.evaluate(X[40:], Y[40:])[0] == losses[best]


def test_callbacks_may_ask_the_model_between_steps():
    class Nosy(fn.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.predict(X)
            self.model.evaluate(X, Y)
            self.model.get_weights()

    one, two = full(), full()
    one.fit(X, Y, epochs=2, callbacks=[Nosy()])
    two.fit(X, Y, epochs=2)
    assert one.memory.params.tobytes() == two.memory.params.tobytes()


def test_max_time_ends_between_two_steps():
    model = classifier(hidden=(64, 64))
    began = time.monotonic()
    history = model.fit(X, Y, batch_size=8, epochs=10**9, max_time=0.3)
    assert 0.3 <= time.monotonic() - began < 5
    assert history.epoch and model.step > 0 and history.steps[-1] <= model.step < history.steps[-1] + 12
    assert classifier().fit(X, Y, epochs=3, max_time=0).epoch == []


# ---- not a number ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("watched", [False, True])
def test_nan_stops_says_the_step_and_keeps_the_last_finite_weights(watched):
    y = X[:, :1] * 1e3
    model, other = (fn.Sequential([fn.Dense(4, activation="tanh"), fn.Dense(1)], seed=2) for _ in range(2))
    model.compile(fn.SGD(5.0), "mse")
    callbacks = [fn.LambdaCallback(on_train_batch_end=lambda batch, logs: None)] if watched else None
    with pytest.warns(fn.TrainingWarning, match=r"training stopped: the \w+ of step \d+ is not finite") as caught:
        history = model.fit(X, y, epochs=50, callbacks=callbacks)
    assert caught[0].filename == __file__
    last = model.step
    assert f"of step {last + 1} is not finite" in str(caught[0].message) and f"step {last + 1}" in history.stopped
    assert last > 0 and all(np.isfinite(w).all() for w in model.get_weights())
    assert len(history.epoch) == last // 3 and model.stop_training
    other.compile(fn.SGD(5.0), "mse")
    if last % 3:
        other.fit(X, y, epochs=1, steps_per_epoch=last)
    else:
        other.fit(X, y, epochs=last // 3)
    assert other.memory.params.tobytes() == model.memory.params.tobytes()


def test_switched_off_it_goes_on():
    model = fn.Sequential([fn.Dense(4, activation="tanh"), fn.Dense(1)], seed=2)
    model.compile(fn.SGD(5.0), "mse")
    history = model.fit(X, X[:, :1] * 1e3, epochs=50, callbacks=[fn.TerminateOnNaN(enabled=False)])
    assert len(history.epoch) == 50 and model.step == 150 and not np.isfinite(history.history["loss"][-1])


def test_train_on_batch_refuses_a_step_that_is_not_finite():
    model = fn.Sequential([fn.Dense(1)], seed=2)
    model.compile(fn.SGD(1e30), "mse")
    model.train_on_batch(X, X[:, 0])
    before = model.get_weights()
    with pytest.raises(ArithmeticError, match="the loss of step 2 is not finite; the weights are those before it"):
        model.train_on_batch(X, X[:, 0])
    assert all((a == b).all() for a, b in zip(model.get_weights(), before, strict=True)) and model.step == 1




# ---- what others found ---------------------------------------------------------------------------------------------


def test_overflow_in_the_update_is_told_of():
    model = fn.Sequential([fn.Dense(3)], seed=0)
    model.compile(fn.SGD(1e38), "mse")
    with pytest.warns(fn.TrainingWarning, match="overflowed the weights"):
        model.fit(np.full((8, 2), 1e3), np.zeros((8, 3)), epochs=1)


def test_balanced_validation_is_weighted_by_the_classes_of_the_training_rows():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((60, 3)), np.r_[np.zeros(50, int), np.ones(10, int)]
    histories = []
    for weight in ("balanced", {0: 60 / 100, 1: 60 / 20}):
        model = fn.Sequential([fn.Dense(2)], seed=0)
        model.compile("sgd", "sparse_categorical_crossentropy")
        given = model.fit(x, y, epochs=2, class_weight=weight, validation_data=(x[45:], y[45:]))
        histories.append(given.history)
    assert histories[0] == histories[1]


def test_a_prediction_within_a_step_leaves_the_step_alone():
    x, y = np.random.default_rng(0).standard_normal((64, 5)), np.zeros((64, 2))

    def train(ask):
        def loss(y_true, y_pred):
            if ask:
                model.predict(x)
            d = y_pred - y_true
            return (d**2).sum(axis=1), 2 * d

        model = fn.Sequential([fn.Dense(16, "tanh"), fn.Dense(16, "tanh"), fn.Dense(2)], seed=0)
        model.compile("sgd", loss)
        model.fit(x, y, batch_size=16, epochs=2)
        return model.get_weights()

    assert all((a == b).all() for a, b in zip(train(False), train(True), strict=True))


def test_max_time_ends_between_steps_that_take_longer_than_a_call(monkeypatch):
    monkeypatch.setattr("fusednet.runner.SECONDS", 0.0)
    model = fn.Sequential([fn.Dense(256, "relu"), fn.Dense(256, "relu"), fn.Dense(2)], seed=0)
    model.compile("sgd", "mse")
    model.fit(np.ones((2000, 256)), np.ones((2000, 2)), batch_size=500, epochs=10**6, max_time=0.1)
    assert 0 < model.step < 4 * 10**6 and model.left.cursor[5] == 0
