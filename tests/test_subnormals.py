"""Numbers below the smallest normal one: 0 in what a native training computes, as they are everywhere else.

The C loop sets the mode of each thread that works for it, and puts it back (csrc/base/subnormals.h).
"""

import threading

import numpy as np
import pytest

import fusednet as fn
from fusednet import backends, ops

SMALL = 1e-20  # float32; its square is subnormal
ROWS = 64


def _squares() -> np.ndarray:
    """In the caller's thread: subnormal, unless it flushes them."""
    return np.full(3, SMALL, np.float32) * np.full(3, SMALL, np.float32)


def _steps(*, loss="mse", threads: int = 1, **fit) -> np.ndarray:
    """The kernel of a layer whose gradient is subnormal, after a step of rate 1 from 0."""
    fn.set_num_threads(threads)
    model = fn.Sequential([fn.Dense(4, kernel_initializer="zeros", use_bias=False)])
    model.compile(fn.SGD(1.0), loss)
    x = np.full((ROWS, 8), SMALL, np.float32)
    model.fit(x, np.full((ROWS, 4), SMALL, np.float32), batch_size=ROWS, epochs=1, **fit)
    return model.get_weights()[0]


@pytest.fixture
def native():
    if "native" not in backends.available():
        pytest.skip("no native backend")
    backends.select("native")


@pytest.mark.parametrize("threads", [1, 3])
def test_a_training_flushes_them(native, threads, forced_parts):
    if threads > 1:
        forced_parts(threads)
    assert (_steps(threads=threads) == 0).all()


@pytest.mark.parametrize("threads", [1, 3])
def test_the_mode_is_put_back(native, threads, forced_parts):
    if threads > 1:
        forced_parts(threads)
    _steps(threads=threads)
    assert (_squares() > 0).all()
    # the helpers of the team, too: each part of this call is another thread's
    x = np.full((ROWS, 8), SMALL, np.float32)
    assert (ops.linear(x.reshape(-1)) == x.reshape(-1)).all()
    assert (ops.affine(x, np.full((8, 4), SMALL, np.float32)) > 0).all()


def test_it_is_the_trainings_thread_alone(native):
    seen = []
    stop = threading.Event()
    other = threading.Thread(target=lambda: [seen.append(_squares().min()) for _ in iter(stop.is_set, True)])
    other.start()
    for _ in range(20):
        _steps()
    stop.set()
    other.join()
    assert min(seen) > 0


def test_python_within_a_step_has_its_own_mode(native):
    seen = []

    def loss(y_true, y_pred):
        seen.append(_squares().min())
        return np.zeros(len(y_true)), np.zeros_like(y_pred)

    _steps(loss=fn.losses.Custom(loss))
    assert seen and min(seen) > 0


def test_callbacks_have_it_too(native):
    seen = []

    class Look(fn.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            seen.append(_squares().min())

    _steps(callbacks=[Look()])
    assert seen and min(seen) > 0


def test_a_run_that_ends_with_an_error_puts_it_back(native):
    model = fn.Sequential([fn.Dense(4)])
    model.compile(fn.SGD(1e30), "mse")
    x = np.ones((ROWS, 8), np.float32)
    with pytest.warns(fn.TrainingWarning, match="not finite|overflowed"):
        model.fit(x, np.ones((ROWS, 4), np.float32), batch_size=8, epochs=3)
    assert (_squares() > 0).all()


def test_predictions_and_evaluations_keep_them(native):
    model = fn.Sequential([fn.Dense(4, use_bias=False)])
    model.compile("sgd", "mse")
    model.build(8)
    model.set_weights([np.full((8, 4), SMALL, np.float32)])
    x = np.full((ROWS, 8), SMALL, np.float32)
    assert (model.predict(x) > 0).all()
    assert (model.predict(x[:1]) > 0).all()


def test_without_native_code_they_stay():
    backends.select("numpy")
    assert (_steps() != 0).all()
