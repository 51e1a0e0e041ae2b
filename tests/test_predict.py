"""`predict`: the same bits however it is asked, by whomever, and nothing left over from the call before.

Reads predictor.py and both walkers through the door. What is compared with is a prediction in small batches, which is
bound anew at each call.

a) "Kept" is a prediction of as many rows as one before, whose plan is still bound: so most predictions go.
b) What may not go that way (NaN, other columns, other layouts) is asked for after such a prediction.
"""

import gc
import os
import signal
import threading
import tracemalloc
import weakref

import numpy as np
import pytest
from conftest import rows_keep_their_bits
from trainings import FEATURES, TRAININGS, data, model

import fusednet as fn
from fusednet import backends, predictor
from fusednet.backends import interp

ROWS = (1, 2, 17, 1024, 1025, 5000)
DTYPES = ("float32", "float64", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
NETWORKS = {
    "softmax": (fn.Dense(16, activation="relu"), fn.Dense(3, activation="softmax")),
    "logits": (fn.Dense(16, activation="relu"), fn.Dense(3)),
    "everything": (fn.Normalization(mean=1.5, variance=4.0), fn.Dense(9), fn.BatchNormalization(),
                   fn.Activation("gelu"), fn.Dropout(0.3), fn.Dense(5), fn.Activation("softmax")),
    "one layer": (fn.Dense(2),),
    "wide": (fn.Dense(200, activation="swish"), fn.Dense(150, activation="tanh"), fn.Dense(70)),
}


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch):
    monkeypatch.setattr(backends, "_current", None)
    before = fn.get_num_threads()
    fn.set_num_threads(1)
    yield
    fn.set_num_threads(before)


def network(name="softmax", dtype="float32", features=FEATURES, seed=0):
    made = fn.Sequential(NETWORKS[name], seed=seed, dtype=dtype)
    made.compile("sgd", "mse")
    made.build(features)
    rng = np.random.default_rng(seed)
    for array in made.memory.parameters.values():
        array[...] = rng.uniform(0.5, 1.5, array.shape) * rng.choice([-1, 1], array.shape) / len(array)
    return made


def rows(n, dtype="float32", features=FEATURES, seed=0):
    x = np.random.default_rng(seed).uniform(0, 60, (n, features))
    return (x if np.dtype(dtype).kind == "f" else x.astype(np.int64)).astype(dtype)


def anew(made, x):
    """Outputs that owe nothing to a prediction before."""
    return made.predict(x, batch_size=min(len(x), 100))


def like(found, wanted) -> bool:
    """The same bits; of a table whose products' bits depend on the number of rows, the same numbers."""
    if rows_keep_their_bits(backends.current()):
        return found.tobytes() == wanted.tobytes()
    tolerance = 1e-5 if found.dtype == np.float32 else 1e-13
    return np.abs(found - wanted).max() <= tolerance * np.abs(wanted).max()


def same(made, x):
    """Assert that x is predicted as it should be: the first time, and when it is asked for again."""
    wanted = anew(made, x)
    for _ in range(3):
        found = made.predict(x)
        assert found.dtype == made.dtype and found.shape == wanted.shape
        assert like(found, wanted)


def keeps(made, x) -> bool:
    """Whether x goes the short way."""
    return made._predictor.again(x, made.memory) is not None


# ---- the same bits ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_predictions_are_those_in_small_batches(name, dtype):
    made = network(name, dtype)
    for n in ROWS:
        same(made, rows(n, dtype))
        assert keeps(made, rows(n, dtype, seed=1))
        same(made, rows(n, dtype, seed=1))


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_of_every_dtype(dtype):
    made = network("everything")
    for n in (1, 40):
        same(made, rows(n, dtype))
        assert keeps(made, rows(n, dtype))
        assert not keeps(made, rows(n, "float32" if dtype != "float32" else "float64"))


@pytest.mark.parametrize("training", TRAININGS, ids=str)
def test_trained_networks(training):
    made = model(training, "float32")
    x = data(training)[0]
    same(made, x)
    same(made, x[:1])


@pytest.mark.parametrize("table", ["native", "numba", "numpy"])
def test_every_table(table):
    if table not in backends.available():
        pytest.skip(f"the {table} backend is not installed")
    backends.select(table)
    for name in ("everything", "logits"):
        made = network(name)
        for n in (1, 5, 1030):
            same(made, rows(n))
            assert keeps(made, rows(n))


def test_both_walkers_say_the_same(monkeypatch):
    x = {n: rows(n) for n in (1, 3, 1500)}
    native = {n: [network("everything").predict(given) for _ in range(2)] for n, given in x.items()}
    monkeypatch.setattr(interp, "walker", interp.Walker)
    for n, given in x.items():
        made = network("everything")
        for wanted in native[n]:
            assert made.predict(given).tobytes() == wanted.tobytes()
        assert isinstance(made._predictor._kept[given.shape], interp.Forward)


@pytest.mark.parametrize("parts", [0, 2, 3, 7])
def test_any_number_of_threads(parts):
    native = pytest.importorskip("fusednet.backends.native")
    backends.select("native")
    x = {n: rows(n) for n in (1, 3, 64, 3000)}
    wanted = {n: network("wide").predict(given) for n, given in x.items()}
    assert all(like(found, anew(network("wide"), x[n])) for n, found in wanted.items())
    native.force_parts(parts)
    try:
        for threads in (1, 2, 5):
            fn.set_num_threads(threads)
            made = network("wide")
            for n, given in x.items():
                for _ in range(3):
                    assert made.predict(given).tobytes() == wanted[n].tobytes()
    finally:
        native.force_parts(0)


def test_long_predictions_take_larger_steps_where_networks_are_small():
    x = rows(3 * predictor.LEAST_ROWS)
    batches = {}
    for name in ("softmax", "wide"):
        made = network(name)
        made.predict(x)
        batches[name] = max(plan.batch for plan in made._plans.values())
    assert batches == {"softmax": len(x), "wide": predictor.LEAST_ROWS}


# ---- nothing left over -----------------------------------------------------------------------------------------------


def test_outputs_are_the_callers_own():
    made, x = network(), rows(4)
    found = [made.predict(x) for _ in range(4)]
    before = found[1].copy()
    found[2].fill(7)
    made.predict(rows(4, seed=1))
    assert not any(np.shares_memory(a, b) for i, a in enumerate(found) for b in found[:i])
    assert np.array_equal(found[1], before) and found[1].flags.owndata and found[1].flags.writeable


@pytest.mark.parametrize("python", [False, True])
def test_rows_are_not_kept(python, monkeypatch):
    if python:
        monkeypatch.setattr(interp, "walker", interp.Walker)
    made = network()
    for _ in range(2):
        x = rows(6)
        gone = weakref.ref(x)
        out = weakref.ref(made.predict(x))
        del x
        gc.collect()
        assert gone() is None and out() is None
    assert np.array_equal(made.predict(rows(6)), anew(made, rows(6)))


def _fit(made):
    made.fit(rows(40), np.random.default_rng(1).random((40, 5)), epochs=2)


CHANGES = {
    "fit": _fit,
    "train_on_batch": lambda made: made.train_on_batch(rows(9), np.ones((9, 5))),
    "set_weights": lambda made: made.set_weights([w + 1 for w in made.get_weights()]),
    "a weight in its place": lambda made: np.multiply(made.memory.params, 0.5, out=made.memory.params),
    "adapt": lambda made: made.adapt(rows(30) * 3),
    "compile": lambda made: made.compile("adam", "mse", matmul_precision="medium"),
    "threads": lambda made: fn.set_num_threads(3),
    "numpy": lambda made: backends.select("numpy"),
    "another memory": lambda made: setattr(made, "memory", network("everything", seed=5).memory),
}


@pytest.mark.parametrize("change", CHANGES)
def test_predictions_follow_what_is_changed(change):
    made, x, few = network("everything"), rows(50), rows(2)
    before = made.predict(x)
    made.predict(few)
    CHANGES[change](made)
    same(made, x)
    same(made, few)
    if change not in ("compile", "threads", "numpy"):
        assert not np.array_equal(made.predict(x), before)


def test_copies_have_predictions_of_their_own(tmp_path):
    import copy
    import pickle

    made, x = network("everything"), rows(3)
    wanted = made.predict(x)
    for other in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert np.array_equal(other.predict(x), wanted)
        other.set_weights([w * 2 for w in other.get_weights()])
        assert not np.array_equal(other.predict(x), wanted)
        assert np.array_equal(made.predict(x), wanted)


def test_few_plans_are_kept():
    made = network("wide")
    for n in range(1, 60):
        made.predict(rows(n))
    kept = made._predictor._kept
    assert len(kept) <= predictor._KEPT and (59, FEATURES) in kept


def test_kept_plans_share_their_arena():
    made = network("wide")
    tracemalloc.start()
    for n in (200, 400, 600, 800, 1000):
        made.predict(rows(n))
    gc.collect()
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    arena = made.memory.arena(0, "predict").nbytes
    assert arena > 1_000_000 and held < 1.5 * arena


# ---- what goes the long way ------------------------------------------------------------------------------------------


def _unaligned(x):
    moved = np.empty(x.nbytes + 1, np.uint8)[1:].view(x.dtype).reshape(x.shape)
    moved[...] = x
    return moved


def _read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


LAYOUTS = {
    "fortran": np.asfortranarray,
    "every second row": lambda x: np.repeat(x, 2, axis=0)[::2],
    "some columns": lambda x: np.hstack([x, x])[:, : x.shape[1]],
    "backwards": lambda x: x[::-1].copy()[::-1],
    "unaligned": _unaligned,
    "read-only": _read_only,
    "bytes swapped": lambda x: x.astype(x.dtype.newbyteorder()),
    "float16": lambda x: x.astype("float16").astype("float32").astype("float16"),
    "list": lambda x: x.tolist(),
    "subclass": lambda x: x.view(np.matrix),
    "3-D": lambda x: x.reshape(len(x), 1, -1),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("n", [1, 6])
def test_layouts(layout, n):
    made = network()
    x = np.round(rows(n))
    wanted = anew(made, x)
    made.predict(x)
    for _ in range(2):
        assert np.array_equal(made.predict(LAYOUTS[layout](x)), wanted)


def test_one_row_again_and_again():
    made, row = network(), rows(1)
    x = np.broadcast_to(row, (5, FEATURES))  # rows at a distance of 0
    made.predict(np.ascontiguousarray(x))
    assert like(made.predict(x), np.repeat(made.predict(row), 5, axis=0))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_that_are_not_finite(bad, dtype):
    made, x = network("everything"), rows(30, dtype)
    made.predict(x)
    for place in ((0, 0), (17, 3), (29, FEATURES - 1)):
        broken = x.copy()
        broken[place] = bad
        with pytest.raises(ValueError, match=f"x has .* in row {place[0]}, column {place[1]}; wanted finite numbers"):
            made.predict(broken)
        same(made, x)


@pytest.mark.parametrize("python", [False, True])
@pytest.mark.parametrize("n", [1, 300])
def test_numbers_that_float32_cannot_hold(n, python, monkeypatch):
    if python:
        monkeypatch.setattr(interp, "walker", interp.Walker)
    made, x = network(), rows(n, "float64")
    wanted, said = made.predict(x), f"x has .* in row {n - 1}, column 3; wanted numbers that float32 can hold"
    for bad in (1e39, -1e39):
        broken = x.copy()
        broken[-1, 3] = bad
        for _ in range(2):
            with pytest.raises(ValueError, match=said):
                made.predict(broken)
        broken[-1, 3] = np.sign(bad) * float(np.finfo("f4").max)
        made.predict(broken)
        assert np.array_equal(made.predict(x), wanted)


@pytest.mark.parametrize("given, problem, words", [
    (rows(4)[:, :3], ValueError, "x has 3 features, the model was built for 7"),
    (rows(4)[0], ValueError, r"x has shape \(7,\); wanted 2-D"),
    (rows(4)[:0], ValueError, "x has no rows"),
    (None, TypeError, "x is None"),
    (rows(4) + 1j, TypeError, "x has dtype complex64; wanted real numbers"),
    (np.full((4, 7), "a"), TypeError, "x has dtype <U1; wanted real numbers"),
    (np.ma.masked_array(rows(4)), TypeError, "x is a masked array"),
])
def test_what_is_wrong_is_said_after_a_prediction_too(given, problem, words):
    made = network()
    for n in (4, 1):
        made.predict(rows(n))
    with pytest.raises(problem, match=words):
        made.predict(given)


def test_steps_and_batches_are_the_first_rows():
    made, x = network(), rows(3000)
    whole = made.predict(x)
    assert np.array_equal(made.predict(x, batch_size=70, steps=3), whole[:210])
    assert np.array_equal(made.predict(x, steps=1), whole[:32])
    assert np.array_equal(made.predict(x, batch_size=7000), whole)
    for wrong in ({"batch_size": 0}, {"steps": 0}, {"batch_size": 2.5}):
        with pytest.raises((ValueError, TypeError), match=f"predict: {next(iter(wrong))} is"):
            made.predict(x, **wrong)


def test_without_weights_there_is_nothing_to_predict():
    with pytest.raises(ValueError, match="the model has no weights yet"):
        fn.Sequential(NETWORKS["softmax"]).predict(rows(3))


# ---- company ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["softmax", "wide"])
def test_several_threads_of_python_at_once(name):
    made, wrong = network(name), []
    x = {n: rows(n, seed=n) for n in (1, 2, 3, 50, 700, 2000)}
    wanted = {n: anew(made, given) for n, given in x.items()}
    done = threading.Event()

    def work(begin):
        sizes = list(x)
        for turn in range(120):
            n = sizes[(begin + turn) % len(sizes)]
            if not like(made.predict(x[n]), wanted[n]):
                wrong.append(n)

    def disturb():
        turn = 0
        while not done.is_set():
            turn += 1
            fn.set_num_threads(1 + turn % 3)
            done.wait(0.002)

    workers = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    disturber = threading.Thread(target=disturb)
    for thread in (*workers, disturber):
        thread.start()
    for thread in workers:
        thread.join()
    done.set()
    disturber.join()
    assert wrong == []


def test_weights_that_are_trained_meanwhile():
    made, x = network(), rows(1)
    y = np.zeros((200, 3))
    trained = threading.Thread(target=lambda: made.fit(rows(200), y, epochs=300))
    made.predict(x)
    trained.start()
    while trained.is_alive():
        found = made.predict(x)
        assert found.shape == (1, 3) and abs(float(found.sum()) - 1) < 1e-4
    trained.join()
    same(made, x)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers here")
def test_a_long_prediction_hears_an_interrupt():
    made, x = network("wide"), rows(4)
    wanted = made.predict(x)
    long = rows(200_000)
    whole = made.predict(long)
    assert keeps(made, rows(200_000, seed=1))

    def interrupt(number, frame):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.02)
        with pytest.raises(KeyboardInterrupt):
            for _ in range(10_000):
                made.predict(long)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert np.array_equal(made.predict(x), wanted)
    assert np.array_equal(made.predict(long), whole)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers here")
def test_a_prediction_ends_although_its_time_is_over(monkeypatch):
    """As one whose last layer takes longer than the time after which an interrupt is looked for."""
    monkeypatch.setattr(predictor, "SECONDS", 0.0)
    made, long = network("wide"), rows(20_000)
    whole = made.predict(long)

    def give_up(number, frame):
        raise AssertionError("the prediction has begun again and again")

    before = signal.signal(signal.SIGALRM, give_up)
    try:
        signal.setitimer(signal.ITIMER_REAL, 20)
        assert keeps(made, long) and np.array_equal(made.predict(long), whole)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_mixed_networks_within_a_step():
    """A loss of one's own asks for a prediction, small or long, in the middle of a step."""
    made, asked = network("softmax"), []

    def loss(y_true, y_pred):
        asked.append(made.predict(rows(3)))
        asked.append(made.predict(rows(1100))[:3])
        return ((y_pred - y_true) ** 2).sum(axis=1), 2 * (y_pred - y_true)

    made.compile("sgd", fn.losses.Custom(loss))
    made.fit(rows(20), np.zeros((20, 3)), batch_size=10, epochs=1)
    assert len(asked) >= 4 and all(np.array_equal(a, b) for a, b in zip(asked[::2], asked[1::2], strict=True))


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no timers that interrupt")
def test_a_prediction_within_one_is_refused():
    made = network("wide")
    few, many = rows(8), rows(200_000)
    expected = made.predict(few)
    problems = []

    def within(*_):
        try:
            made.predict(few)
        except RuntimeError as problem:
            problems.append(str(problem))

    made.predict(many)
    before = signal.signal(signal.SIGALRM, within)
    try:
        for _ in range(100):
            signal.setitimer(signal.ITIMER_REAL, 0.02)
            made.predict(many)
            if problems:
                break
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert problems and "within a prediction of the same model" in problems[0]
    assert made.predict(few).tobytes() == expected.tobytes()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_child_predicts_although_its_parent_was_predicting():
    made = network("wide")
    few, many = rows(8), rows(400_000)
    expected = made.predict(few)
    other = threading.Thread(target=made.predict, args=(many,))
    other.start()
    while not made._predictor._busy and other.is_alive():
        pass
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        os._exit(0 if made.predict(few).tobytes() == expected.tobytes() else 1)
    other.join()
    assert os.waitpid(child, 0)[1] == 0


def test_days_are_refused_after_numbers_of_their_shape():
    made, x = network(), rows(4)
    made.predict(x)
    with pytest.raises(TypeError, match="x has dtype datetime64"):
        made.predict(np.zeros(x.shape, "M8[s]"))
