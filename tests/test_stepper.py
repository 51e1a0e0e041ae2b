"""Steps on batches, one after the other: a bound plan that is kept gives what a new one gives, whatever is changed
between two steps.

Reads stepper.py. What one step does is held against the reference in test_fit.py and test_parity.py.
"""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

import fusednet as fn
from fusednet import backends, stepper

ROWS, FEATURES, OUTPUTS = 40, 7, 3


pytestmark = pytest.mark.usefixtures("native_on_one_thread")


@pytest.fixture
def made(monkeypatch) -> list:
    """The runners that steppers have made."""
    runners = []

    class Counted(stepper.Runner):
        def __init__(self, *given, **named):
            super().__init__(*given, **named)
            runners.append(self)

    monkeypatch.setattr(stepper, "Runner", Counted)
    return runners


def network() -> fn.Sequential:
    model = fn.Sequential([fn.Normalization(), fn.Dense(12), fn.BatchNormalization(), fn.ReLU(), fn.Dropout(0.3),
                           fn.Dense(OUTPUTS, kernel_regularizer=fn.L2(1e-3))], seed=4)
    model.compile(fn.Adam(fn.CosineDecay(0.05, 30)), "sparse_categorical_crossentropy", ["accuracy"])
    return model


def batch(number: int, rows: int = ROWS) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(number)
    return rng.standard_normal((rows, FEATURES)).astype(np.float32), rng.integers(0, OUTPUTS, rows)


def state(model: fn.Sequential) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in model.memory.arrays().items()
            if not name.startswith("grads")} | {"step": bytes([model.step])}


def anew(model: fn.Sequential) -> None:
    """Let it keep nothing."""
    model._stepper = stepper.Stepper()


CHANGES = {
    "nothing": lambda model: None,
    "fit": lambda model: model.fit(*batch(9), epochs=2),
    "evaluate": lambda model: model.evaluate(*batch(9, 3000)),
    "predict": lambda model: model.predict(batch(9, 3000)[0]),
    "set_weights": lambda model: model.set_weights([w + 1 for w in model.get_weights()]),
    "adapt": lambda model: model.adapt(batch(9)[0] * 3),
    "learning_rate": lambda model: setattr(model, "learning_rate", 0.3),
    "compile": lambda model: model.compile(fn.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy"),
    "the same optimizer": lambda model: model.compile(model.optimizer, "sparse_categorical_crossentropy"),
    "ema": lambda model: model.compile(fn.Adam(use_ema=True), "sparse_categorical_crossentropy"),
    "clipnorm": lambda model: model.compile(fn.Adam(clipnorm=0.1), "sparse_categorical_crossentropy"),
    "there and back": lambda model: [model.compile(optimizer, "sparse_categorical_crossentropy", ["accuracy"])
                                     for optimizer in (fn.SGD(0.1), model.optimizer_spec)],
    "threads": lambda model: fn.set_num_threads(3),
    "numpy": lambda model: backends.select("numpy"),
    "other rows": lambda model: model.train_on_batch(*batch(9, ROWS + 1)),
    "float64": lambda model: model.train_on_batch(batch(9)[0].astype(np.float64), batch(9)[1]),
    "weights of rows": lambda model: model.train_on_batch(*batch(9), sample_weight=np.linspace(0, 1, ROWS)),
    "many rows": lambda model: model.train_on_batch(*batch(9, stepper._COPIED_BYTES // (4 * FEATURES) + 1)),
    "another memory": lambda model: setattr(model, "memory", grown(5).memory),
}


def grown(seed: int = 4) -> fn.Sequential:
    model = network()
    for number in range(seed):
        model.train_on_batch(*batch(number))
    return model


@pytest.mark.parametrize("change", CHANGES)
def test_steps_follow_what_is_changed(change):
    def trained(keeping: bool):
        backends.select("native")
        fn.set_num_threads(2)  # some changes change them
        model, told = network(), []
        for number in range(6):
            if number == 3:
                CHANGES[change](model)
            if not keeping:
                anew(model)
            told.append(model.train_on_batch(*batch(number), return_dict=True))
        return state(model), told

    assert trained(True) == trained(False)


def test_weights_of_rows_are_those_of_each_step():
    one, other = network(), network()
    for number in range(4):
        given = {"sample_weight": np.random.default_rng(number).random(ROWS)}
        anew(other)
        assert one.train_on_batch(*batch(number), **given) == other.train_on_batch(*batch(number), **given)
    assert state(one) == state(other)


def test_one_plan_is_bound_for_many_steps(made):
    model = network()
    changes = (lambda: None, lambda: model.train_on_batch(*batch(5, ROWS - 1)), lambda: fn.set_num_threads(3),
               lambda: model.evaluate(*batch(9, 3000)), lambda: backends.select("numpy"))
    for bound, change in zip((1, 3, 4, 5, 6), changes, strict=True):
        change()
        for number in range(3):
            model.train_on_batch(*batch(number))
        assert len(made) == bound


def test_many_rows_are_not_copied(made):
    model, (x, y) = network(), batch(0, stepper._COPIED_BYTES // (4 * FEATURES) + 1)
    for _ in range(2):
        model.train_on_batch(x, y)
    assert len(made) == 2 and made[1].source.x is x


@pytest.mark.parametrize("keep", [False, True])
def test_what_is_kept_is_held_against_what_is_asked(keep, monkeypatch):
    """The test of changes can fail: a plan that is kept in spite of another number of rows or another memory."""
    monkeypatch.setattr(stepper, "_same", (lambda some, others: True) if keep else stepper._same)
    model = grown()
    model.memory = grown(5).memory
    before = model.memory.params.copy()
    model.train_on_batch(*batch(9))
    assert np.array_equal(model.memory.params, before) == keep


def test_a_step_that_fails_leaves_nothing(made):
    model = fn.Sequential([fn.Dense(1, kernel_initializer="zeros")])
    model.compile(fn.SGD(0.1), "mse")
    x = np.ones((3, 2), np.float32)
    losses = [model.train_on_batch(x, x[:, 0])]
    with pytest.raises(ArithmeticError, match="train_on_batch: the loss of step 2 is not finite"):
        model.train_on_batch(x, x[:, 0] * 1e38)
    losses += [model.train_on_batch(x, x[:, 0]) for _ in range(2)]
    assert len(made) == 2 and model.step == 3 and losses == sorted(losses, reverse=True)


def test_a_loss_that_raises_and_predicts():
    """After a step that ends in the user's own error the next is what it would have been."""
    calls = []

    def loss(y_true, y_pred):
        calls.append(len(y_true))
        if len(calls) == 2:
            raise KeyError("mine")
        if len(calls) == 4:
            model.predict(x)
        difference = y_pred - y_true
        return (difference**2).sum(axis=1), 2 * difference

    def stepped(steps: int, raising: bool):
        nonlocal model
        calls[:] = [] if raising else [0] * 9
        model = fn.Sequential([fn.Dense(4, "tanh"), fn.Dense(1)], seed=1)
        model.compile(fn.SGD(0.1), loss)
        told = []
        for _ in range(steps):
            try:
                told.append(model.train_on_batch(x, y))
            except KeyError:
                assert raising
        return told, state(model)

    model, x = None, batch(0)[0]
    y = x[:, :1].copy()
    assert stepped(5, True) == stepped(4, False)


def test_the_users_arrays_are_neither_kept_nor_changed():
    model, (x, y) = network(), batch(0)
    model.train_on_batch(x, y)
    model.train_on_batch(*batch(1))
    assert np.array_equal(x, batch(0)[0]) and np.array_equal(y, batch(0)[1])
    gone = weakref.ref(x)
    del x
    assert gone() is None


def test_a_model_is_freed_at_once():
    gc.disable()
    try:
        model = grown()
        gone = weakref.ref(model.memory)
        del model
        assert gone() is None
    finally:
        gc.enable()


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda model: pickle.loads(pickle.dumps(model))],
                         ids=["deepcopy", "pickle"])
def test_copies_step_on_their_own(copied):
    model = grown()
    other, before = copied(model), state(model)
    told = other.train_on_batch(*batch(9))
    assert state(model) == before and model.train_on_batch(*batch(9)) == told and state(model) == state(other)
