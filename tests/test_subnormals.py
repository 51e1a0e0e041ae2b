"""Numbers below the smallest normal one: 0 in what a native training computes, as they are everywhere else.

The C loop sets the mode of each thread that works for it, and puts it back (csrc/base/subnormals.h).
"""

import threading

import numpy as np
import pytest

import fusednet as fn
from fusednet import backends, ops

SMALL = 1e-20  # float32; its square is subnormal
ROWS, FEATURES, UNITS = 512, 64, 128  # enough for the helpers of a team to come to their parts


def _squares() -> np.ndarray:
    """In the caller's thread: subnormal, unless it flushes them."""
    return np.full(3, SMALL, np.float32) * np.full(3, SMALL, np.float32)


def _steps(*, loss="mse", epochs: int = 1, **fit) -> np.ndarray:
    """The kernel of a layer whose gradient is subnormal, after steps of rate 1 from 0."""
    model = fn.Sequential([fn.Dense(UNITS, kernel_initializer="zeros", use_bias=False)])
    model.compile(fn.SGD(1.0), loss)
    x, y = np.full((ROWS, FEATURES), 1e-18, np.float32), np.full((ROWS, UNITS), SMALL, np.float32)
    model.fit(x, y, batch_size=ROWS, epochs=epochs, **fit)
    return model.get_weights()[0]


def _products() -> np.ndarray:
    """In the threads of the team: subnormal, unless one of them flushes them."""
    return ops.affine(np.full((ROWS, FEATURES), SMALL, np.float32), np.full((FEATURES, UNITS), SMALL, np.float32))


pytestmark = pytest.mark.usefixtures("native_on_one_thread")


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_a_training_flushes_them(threads, forced_parts):
    forced_parts(16, team=threads)
    assert (_steps(epochs=500) == 0).all()


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_the_mode_is_put_back(threads, forced_parts):
    forced_parts(16, team=threads)
    _steps(epochs=100)
    assert (_squares() > 0).all()
    assert all((_products() > 0).all() for _ in range(10))


def test_it_is_the_trainings_thread_alone():
    seen = []
    stop = threading.Event()
    other = threading.Thread(target=lambda: [seen.append(_squares().min()) for _ in iter(stop.is_set, True)])
    other.start()
    for _ in range(20):
        _steps()
    stop.set()
    other.join()
    assert min(seen) > 0


def test_python_within_a_step_has_its_own_mode():
    seen = []

    def loss(y_true, y_pred):
        seen.append(_squares().min())
        return np.zeros(len(y_true)), np.zeros_like(y_pred)

    _steps(loss=fn.losses.Custom(loss))
    assert seen and min(seen) > 0


def test_callbacks_have_it_too():
    seen = []

    class Look(fn.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(_squares().min())

    _steps(callbacks=[Look()])
    assert seen and min(seen) > 0


def test_a_run_that_ends_with_an_error_puts_it_back():
    model = fn.Sequential([fn.Dense(UNITS)])
    model.compile(fn.SGD(1e30), "mse")
    x = np.ones((ROWS, FEATURES), np.float32)
    with pytest.warns(fn.TrainingWarning, match="not finite|overflowed"):
        model.fit(x, np.ones((ROWS, UNITS), np.float32), batch_size=8, epochs=3)
    assert (_squares() > 0).all()


def test_predictions_and_evaluations_keep_them():
    model = fn.Sequential([fn.Dense(UNITS, use_bias=False)])
    model.compile("sgd", "mse")
    model.build(FEATURES)
    model.set_weights([np.full((FEATURES, UNITS), SMALL, np.float32)])
    x = np.full((ROWS, FEATURES), SMALL, np.float32)
    assert (model.predict(x) > 0).all()
    assert (model.predict(x[:1]) > 0).all()


def test_without_native_code_they_stay():
    backends.select("numpy")  # the fixture puts back what was chosen
    assert (_steps() != 0).all()
