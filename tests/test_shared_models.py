"""Models that are evaluated, copied and reloaded while or after others use them."""

import copy
import pickle
import threading

import numpy as np
import pytest

import fusednet as fn
from fusednet import backends

RNG = np.random.default_rng(5)
X = RNG.standard_normal((64, 6)).astype(np.float32)
Y = RNG.integers(0, 3, 64)


def made(optimizer=None):
    model = fn.Sequential([fn.Dense(8, "relu"), fn.Dense(3)], seed=0)
    model.compile(optimizer or fn.Adam(0.01), "sparse_categorical_crossentropy")
    return model


def made_for(x):
    model = made()
    model.build(x.shape[1])
    return model


def same(some, others) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(some.get_weights(), others.get_weights(), strict=True))


def test_an_evaluation_in_another_thread_leaves_the_training_alone():
    alone, watched = made(), made()
    epochs = 20_000 if backends.current().backend == "native" else 200
    alone.fit(X, Y, epochs=epochs)
    watched.build(X.shape[1])
    training = threading.Thread(target=lambda: watched.fit(X, Y, epochs=epochs))
    training.start()
    while training.is_alive():
        assert np.isfinite(watched.evaluate(X[:32], Y[:32]))
    training.join()
    assert same(alone, watched)


def test_evaluations_in_two_threads():
    model = fn.Sequential([fn.Dense(64, "relu"), fn.Dense(3)], seed=0)
    model.compile("sgd", "sparse_categorical_crossentropy")
    rows = [RNG.standard_normal((600, 20)).astype(np.float32) for _ in range(2)]
    labels = [RNG.integers(0, 3, 600) for _ in range(2)]
    model.build(20)
    right = [model.evaluate(x, y) for x, y in zip(rows, labels, strict=True)]
    found: list[set] = [set(), set()]

    def ask(i: int) -> None:
        found[i].update(model.evaluate(rows[i], labels[i]) for _ in range(300))

    threads = [threading.Thread(target=ask, args=(i,)) for i in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [{right[0]}, {right[1]}]


def test_a_step_within_a_step_is_refused():
    def loss(y_true, y_pred):
        if asks:
            model.train_on_batch(X, X[:, :3])
        return ((y_pred - y_true) ** 2).sum(axis=1), 2 * (y_pred - y_true)

    asks = False
    model = fn.Sequential([fn.Dense(3)], seed=0)
    model.compile("sgd", loss)
    model.train_on_batch(X, X[:, :3])
    before, asks = model.get_weights(), True
    with pytest.raises(RuntimeError, match="a step of this model is under way"):
        model.train_on_batch(X, X[:, :3])
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    asks = False
    model.train_on_batch(X, X[:, :3])
    assert model.step == 2


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))])
@pytest.mark.parametrize(("when", "step"), [("on_epoch_end", 6), ("on_train_batch_end", 7)])
def test_a_copy_from_within_a_training_goes_on_as_the_training(copied, when, step, tmp_path):
    class Copy(fn.Callback):
        def __init__(self):
            super().__init__()
            self.found = []

    def take(self, number, logs=None):
        if self.model.step == step:
            self.found.append(copied(self.model))
            self.model.save(tmp_path / "model", training_state=True)

    setattr(Copy, when, take)
    def train(model, *others, **options):
        early = fn.EarlyStopping("loss", patience=4, min_delta=10.0)
        return model.fit(X, Y, epochs=12, batch_size=32, callbacks=[early, *others], **options)

    copies = Copy()
    straight = made()
    history = train(straight, copies)
    saved = made()
    saved.load_training_state(tmp_path / "model")
    for again in (*copies.found, saved):
        resumed = train(again, resume=True)
        assert resumed.epoch == history.epoch
        assert resumed.history["loss"] == history.history["loss"]
        assert same(straight, again)


def test_a_copy_as_a_training_begins():
    class Copy(fn.Callback):
        def on_train_begin(self, logs=None):
            self.found = copy.deepcopy(self.model)

    copies = Copy()
    model = made()
    model.fit(X, Y, epochs=2, callbacks=[copies])
    copies.found.fit(X, Y, epochs=2)
    assert same(model, copies.found)


def test_a_loaded_training_state_takes_the_place_of_moments(tmp_path):
    fresh, used = made(), made()
    fresh.build(X.shape[1])
    fresh.save(tmp_path / "fresh", training_state=True)  # no step: no moments
    used.fit(X, Y, epochs=2)
    used.load_training_state(tmp_path / "fresh")
    assert used.step == 0
    assert not used.memory.state
    for model in (fresh, used):
        model.fit(X, Y, epochs=2)
    assert same(fresh, used)


def test_a_training_state_of_another_optimizer_is_refused(tmp_path):
    by_adam, other = made(), made(fn.RMSprop())
    by_adam.fit(X, Y)
    by_adam.save(tmp_path / "model", training_state=True)
    other.fit(X, Y)
    before = other.get_weights()
    with pytest.raises(ValueError, match="of a training by Adam, this model is compiled with RMSprop"):
        other.load_training_state(tmp_path / "model")
    assert all(np.array_equal(a, b) for a, b in zip(before, other.get_weights(), strict=True))


def test_another_optimizer_forgets_the_weights_of_the_last_step():
    model = made()
    best = fn.EarlyStopping("loss", mode="max", restore_best_weights=True, patience=9)
    model.fit(X, Y, epochs=6, callbacks=[best])
    before = model.get_weights()
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.fit(X, Y, epochs=0, resume=True)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))


@pytest.mark.parametrize("value", [1e39, -1e39])
def test_numbers_that_float32_cannot_hold_are_refused(value):
    x = X.astype(np.float64)
    x[5, 2] = value
    layers = [fn.Normalization(), fn.Dense(3)]
    model = fn.Sequential(layers, seed=0)
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=r"x has -?1e\+39 in row 5, column 2; wanted numbers that float32 can hold"):
        model.fit(x, Y)
    assert model.memory is None
    wide = fn.Sequential(layers, seed=0, dtype="float64")
    wide.compile("sgd", "sparse_categorical_crossentropy")
    wide.fit(x, Y)
    assert wide.memory.finite()
    assert np.isfinite(wide.predict(x)).all()
    assert np.isfinite(fn.Ensemble.of([wide]).predict(x)).all()
    head = fn.Sequential([fn.BatchNormalization()], seed=0, dtype="float64")  # as many outputs as x has columns
    head.compile("sgd", "mse")
    head.fit(x, np.zeros_like(x))
    fresh = fn.Sequential(layers, seed=0, dtype="float64")
    fresh.compile("sgd", "sparse_categorical_crossentropy")
    assert fn.fit_many([fresh], x, Y)[0].model.memory.finite()
    with pytest.raises(ValueError, match="wanted numbers that float32 can hold"):
        fn.Ensemble.of([made_for(X)]).predict(x)


def test_an_interval_of_validations_wants_rows_for_them():
    class Batches:
        def __iter__(self):
            return iter([(X[:32], Y[:32]), (X[32:], Y[32:])])

    model = made()
    for x, y in ((X, Y), (Batches(), None)):
        with pytest.raises(ValueError, match="validation_interval is given, but no validation"):
            model.fit(x, y, validation_interval=1)
    assert model.memory is None


@pytest.mark.parametrize("wrong", [{"callbacks": [fn.EarlyStopping("val_loss")]}, {"batch_size": 7}])
def test_a_refused_fit_with_a_backup_leaves_the_model_as_it_was(wrong, tmp_path):
    class Crash(fn.Callback):
        def on_epoch_end(self, epoch, logs=None):
            self.model.learning_rate = 0.123
            if epoch == 1:
                raise KeyError("power")

    backup = fn.BackupAndRestore(tmp_path, save_freq=3)  # the last one is from within an epoch
    with pytest.raises(KeyError, match="power"):
        made().fit(X, Y, epochs=5, callbacks=[backup, Crash()])
    asked, alone = made(), made()
    for model in (asked, alone):
        model.fit(X, Y)
    with pytest.raises(ValueError, match=r"known: loss|the training that was left"):
        asked.fit(X, Y, **{"epochs": 5, **wrong, "callbacks": [backup, *wrong.get("callbacks", [])]})
    assert asked.step == alone.step
    assert asked.learning_rate == alone.learning_rate
    for model in (asked, alone):
        model.fit(X, Y)
    assert same(asked, alone)
    assert asked.memory.state.keys() == alone.memory.state.keys()
