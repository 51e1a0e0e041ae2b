"""`fit_many`: the same bits as one training after the other, one copy of the data, errors before anything is trained.

a) What is compared with `fit_many` is a plain ``fit`` of the same network: in bits, whatever the number of workers.
b) Ctrl-C is sent to a process of its own: the signal comes to a main thread, as it does in a shell.
"""

import gc
import subprocess
import sys
import threading
import time
import warnings
import weakref
from types import SimpleNamespace

import numpy as np
import pytest

import fusednet as fn
from fusednet import feed, folds, pool, threads
from fusednet.many import fit_many, seed_of

RNG = np.random.default_rng(0)
X = RNG.standard_normal((120, 6)).astype(np.float32)
Y = np.arange(120) % 3


def build(units=8, rate=1e-2, seed=0):
    layers = [fn.Normalization(), fn.Dense(units, activation="relu"), fn.Dropout(0.2), fn.Dense(3)]
    model = fn.Sequential(layers, seed)
    model.compile(fn.Adam(rate), "sparse_categorical_crossentropy", ["accuracy"])
    return model


CONFIGS = [{"units": units, "rate": rate, "batch_size": 16} for units in (4, 8, 16) for rate in (1e-3, 1e-2)]


def bits(fitted):
    return [one.model.memory.params.tobytes() for one in fitted]


# ---- results ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2, 5, None])
def test_networks_are_those_of_single_trainings(workers):
    fitted = fit_many(CONFIGS, X, Y, build=build, seed=3, epochs=4, workers=workers)
    assert [one.config for one in fitted] == CONFIGS and [one.index for one in fitted] == list(range(6))
    for i, (one, config) in enumerate(zip(fitted, CONFIGS, strict=True)):
        alone = build(config["units"], config["rate"], seed_of(3, i))
        history = alone.fit(X, Y, batch_size=16, epochs=4)
        assert one.model.memory.params.tobytes() == alone.memory.params.tobytes()
        assert one.history.history == history.history
    assert len(set(bits(fit_many(CONFIGS[:1] * 2, X, Y, build=build, seed=3)))) == 2  # other seeds, other bits


def test_each_backend_trains_many(backend, table):
    fitted = fit_many(CONFIGS[:3], X, Y, build=build, seed=0, epochs=2, workers=3)
    assert bits(fitted) == bits(fit_many(CONFIGS[:3], X, Y, build=build, seed=0, epochs=2, workers=1))


def test_folds_are_trained_without_their_validation_rows():
    fitted = fit_many(CONFIGS[:2], X, Y, build=build, seed=5, folds=3, epochs=3)
    assert [(one.index, one.fold) for one in fitted] == [(i, fold) for i in range(2) for fold in range(3)]
    for one, (train, held) in zip(fitted[:3], folds.divide(120, 3, 5, Y), strict=True):
        alone = build(CONFIGS[0]["units"], CONFIGS[0]["rate"], seed_of(5, 0, one.fold))
        alone.fit(X[train], Y[train], batch_size=16, epochs=3, validation_data=(X[held], Y[held]))
        now = alone.evaluate(X[held], Y[held], return_dict=True)
        assert one.scores == pytest.approx({f"val_{key}": value for key, value in now.items()}, rel=1e-5)


def test_validation_split_and_data_give_scores_of_the_weights_in_the_end():
    restore = fn.EarlyStopping("val_loss", patience=2, restore_best_weights=True)
    options = {"build": build, "seed": 0, "epochs": 40, "callbacks": [restore]}
    for given in ({"validation_split": 0.25}, {"validation_data": (X[:30] + 1, Y[:30])}):
        for one in fit_many(CONFIGS, X, Y, **given, **options):
            assert one.scores["val_loss"] == pytest.approx(min(one.history.history["val_loss"]), rel=1e-6)
    assert restore.best is None  # each network had a copy
    made = []
    fit_many(CONFIGS[:2], X, Y, build=build, callbacks=lambda: made.append(fn.LambdaCallback(
        on_epoch_end=lambda epoch, logs: None)) or made[-1:])
    assert len(made) == 2


def test_configs_may_be_functions_models_and_pairs():
    own = build(seed=1)
    fitted = fit_many([build, own, lambda: (build(), {"epochs": 3})], X, Y)
    assert fitted[1].model is own and own.memory is not None
    assert [len(one.history.epoch) for one in fitted] == [1, 1, 3]
    assert fit_many(CONFIGS, X, Y, build=build, keep_models=False)[0].model is None


def test_data_are_prepared_once(monkeypatch):
    calls, seen, before = [], [], feed.prepare
    monkeypatch.setattr(feed, "prepare", lambda x, *a, **k: calls.append(x) or before(x, *a, **k))

    class Look(fn.Callback):
        def on_train_begin(self, logs=None):
            seen.append(self.model.training._rows._source.x)

    strided = np.asfortranarray(X.astype(np.float64))  # not as kernels want it: a copy is made
    fit_many(CONFIGS, strided, Y, build=build, folds=3, callbacks=lambda: [Look()])
    assert len(seen) == 18 and all(x is seen[0] for x in seen) and not np.shares_memory(seen[0], strided)
    assert len(calls) == 2  # for the rows, and once more with the labels


def test_sample_and_class_weights_reach_all():
    weight = np.where(Y == 0, 0.0, 1.0)
    for one in fit_many(CONFIGS[-2:], X, Y, build=build, seed=0, epochs=3, sample_weight=weight):
        alone = build(one.config["units"], one.config["rate"], seed_of(0, one.index))
        alone.fit(X, Y, batch_size=16, epochs=3, sample_weight=weight)
        assert one.model.memory.params.tobytes() == alone.memory.params.tobytes()
    weights = [{"class_weight": w} for w in (None, "balanced", {0: 9.0, 1: 1.0, 2: 1.0})]
    some = Y.copy()
    some[:20] = 0
    assert len(set(bits(fit_many(weights, X, some, build=build)))) == 3


# ---- who trains what when --------------------------------------------------------------------------------------------


def test_arrangement():
    small, large = 1000, pool.LARGE_STEP * 8
    assert pool.arrange([small] * 20, 8) == (8, 1) and pool.arrange([large] * 20, 8) == (8, 1)
    assert pool.arrange([small] * 3, 8) == (3, 1) and pool.arrange([large] * 3, 8) == (1, 8)
    assert pool.arrange([small], 8) == (1, 8) and pool.arrange([small] * 3, 1) == (1, 1)


def test_threads_are_shared_out():
    seen = []

    def watched():
        note = fn.LambdaCallback(on_train_begin=lambda logs: seen.append(threads.get_num_threads()))
        return build(), {"callbacks": lambda: [note]}

    with threads.limit(1):
        fit_many([watched] * 3, X, Y)
    assert seen == [1, 1, 1] and threading.active_count() == 1


def test_progress_and_told(capsys):
    told = []
    fit_many(CONFIGS, X, Y, build=build, told=lambda one: told.append(one.index), progress=True)
    assert sorted(told) == list(range(6)) and "6/6" in capsys.readouterr().err


# ---- errors ----------------------------------------------------------------------------------------------------------


class Broken(Exception):
    pass


def broken():
    def fail(epoch, logs):
        raise Broken("no more")

    return build(), {"callbacks": [fn.LambdaCallback(on_epoch_end=fail)], "epochs": 2}


def test_an_exception_names_its_config_and_ends_all_or_is_kept():
    with pytest.raises(Broken) as caught:
        fit_many([build, broken, *[build] * 4], X, Y, epochs=2)
    assert any("network 1" in note and "broken" in note for note in caught.value.__notes__)
    assert threading.active_count() == 1
    fitted = fit_many([build, broken, build], X, Y, on_error="keep")
    assert isinstance(fitted[1].error, Broken) and fitted[0].error is None and fitted[2].history.epoch == [0]


def test_a_training_that_diverges_is_told_of_once():
    configs = [{"rate": 1e30}, {"rate": 1e-3}, {"rate": 1e35}]
    with pytest.warns(fn.TrainingWarning, match=r"of 3 trainings were stopped") as seen:
        fitted = fit_many(configs, X, Y, build=plain, epochs=20)
    assert len(seen) == 1 and fitted[0].history.stopped and not fitted[1].history.stopped


def plain(rate):
    model = fn.Sequential([fn.Dense(8, activation="relu"), fn.Dense(3)], seed=0)
    model.compile(fn.SGD(rate), "sparse_categorical_crossentropy", ["accuracy"])
    return model


def weightless():
    model = fn.Sequential([fn.ReLU()])
    model.compile("sgd", "mse")
    return model


X_NAN = X.copy()
X_NAN[3, 2] = np.nan
BAD = [
    ([], {}, ValueError, "there are no configs"),
    ([{"units": 3}], {"build": None}, TypeError, "wanted the argument build"),
    ([3], {}, TypeError, "config 0 is int"),
    ([{"units": 3}, {"unit": 3}], {}, TypeError, "unit"),
    ([{"units": -3}], {}, ValueError, "units"),
    ([lambda: fn.Sequential([fn.Dense(3)])], {}, ValueError, "not compiled"),
    ([lambda: 3], {}, TypeError, "gave int; wanted a compiled Sequential"),
    ([weightless], {"y": X}, ValueError, "fit_many: no layer has weights"),
    ([{"batch_size": 0}], {}, ValueError, "batch_size is 0"),
    ([{}], {"epochs": "many"}, TypeError, "epochs"),
    ([{}], {"epoch": 3}, TypeError, "did you mean 'epochs'"),
    ([{}], {"on_error": "go on"}, ValueError, "on_error"),
    ([{}], {"workers": 0}, ValueError, "workers is 0"),
    ([{}], {"x": X_NAN}, ValueError, "x"),
    ([{}], {"x": iter([X])}, TypeError, "iterable of batches"),
    ([{}], {"y": None}, TypeError, "y is None"),
    ([{}], {"y": Y[:-1]}, ValueError, "120 rows"),
    ([{}], {"validation_data": (X[:, :4], Y)}, ValueError, "validation x"),
    ([{}], {"validation_data": (X, Y), "validation_split": 0.1}, ValueError, "wanted one way to validate"),
    ([{}], {"seed": -1}, ValueError, "fit_many: seed is -1; wanted 0 or more"),
    ([{}], {"seed": 1.5}, TypeError, "fit_many: seed is 1.5; wanted a whole number"),
    ([{}, {"callbacks": [3]}], {}, TypeError, "callbacks[0] is 3; wanted a Callback"),
    ([{}], {"callbacks": fn.callbacks.EarlyStopping}, TypeError, "is the class EarlyStopping"),
    ([{}], {"folds": 3.0}, TypeError, "folds is 3.0; wanted a number of folds, or a list"),
    ([{}], {"folds": 1}, ValueError, "wanted 2 or more"),
    ([{}], {"folds": 41}, ValueError, "class 0 has 40 rows"),
    ([{}], {"folds": [(np.arange(60), np.arange(50, 120))]}, ValueError, "row 50 is among"),
    ([{}], {"folds": [(np.arange(60), np.arange(60, 121))]}, ValueError, "from 60 to 120"),
    ([{}], {"folds": [(np.flatnonzero(Y), np.flatnonzero(Y == 0))]}, ValueError, "have none of class 0"),
    ([{}], {"folds": [(np.arange(119), [119])]}, ValueError, "validation rows of fold 0 have none of class 0"),
]


@pytest.mark.parametrize(("configs", "options", "error", "message"), BAD)
def test_what_is_wrong_is_said_before_anything_is_trained(configs, options, error, message, monkeypatch):
    monkeypatch.setattr(pool, "run", lambda *a, **k: pytest.fail("something was trained"))
    options = {"x": X, "y": Y, "build": build, **options}
    with pytest.raises(error) as caught:
        fit_many(configs, **options)
    assert message in str(caught.value)


@pytest.mark.filterwarnings("ignore::UserWarning")  # not converged
def test_a_model_is_not_trained_twice():
    model = build()
    with pytest.raises(ValueError, match="given twice"):
        fit_many([model, model], X, Y)
    with pytest.raises(ValueError, match="given twice"):  # two threads would train it at the same time
        fit_many([lambda: model, lambda: model], X, Y)
    with pytest.raises(ValueError, match="given twice"):
        fit_many([{"seed": 3}, {"seed": 3}], X, Y, build=lambda seed: model, seed=0)
    assert len(set(bits(fit_many([lambda: model, lambda: model], X, Y, seed=0)))) == 2  # made anew with other seeds
    estimator = pytest.importorskip("fusednet.sklearn").MLPClassifier(max_iter=2)
    with pytest.raises(ValueError, match="given twice"):
        fit_many([estimator, estimator], X, Y)
    assert len(fit_many([estimator, estimator], X, Y, folds=2)) == 4 and not hasattr(estimator, "coefs_")  # of copies
    model.fit(X, Y)
    with pytest.raises(ValueError, match="has weights already"):
        fit_many([model], X, Y, folds=2)


# ---- folds -----------------------------------------------------------------------------------------------------------


def test_folds_of_an_iterator_are_for_all_kinds_of_data():
    rows = folds.divide(120, 3, codes=Y)
    configs = [{}, {"class_weight": {0: 2.0}}]
    fitted = fit_many(configs, X, Y, build=build, seed=0, folds=iter(rows))
    assert bits(fitted) == bits(fit_many(configs, X, Y, build=build, seed=0, folds=rows)) and len(fitted) == 6


def test_folds_have_each_row_once_and_each_class_its_share():
    codes = np.repeat([0, 1, 2], [50, 31, 9])
    divided = folds.divide(90, 4, 1, codes)
    assert np.array_equal(np.sort(np.concatenate([held for _, held in divided])), np.arange(90))
    for train, held in divided:
        assert np.array_equal(np.sort(np.concatenate([train, held])), np.arange(90))
        assert np.abs(np.bincount(codes[held]) - np.array([50, 31, 9]) / 4).max() < 1
        assert abs(len(held) - 22.5) < 1
    other = folds.divide(90, 4, 2, codes)
    assert not np.array_equal(divided[0][1], other[0][1])
    assert np.array_equal(divided[0][1], folds.divide(90, 4, 1, codes)[0][1])


# ---- memory, Ctrl-C --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [True, False])
def test_models_that_are_not_kept_are_let_go(kept):
    alive = []

    class Look(fn.Callback):
        def on_train_begin(self, logs=None):
            alive.append(weakref.ref(self.model.memory))

    fitted = fit_many(CONFIGS, X, Y, build=build, keep_models=kept, callbacks=lambda: [Look()])
    gc.collect()
    assert len(alive) == 6 and all((one() is not None) == kept for one in alive)
    assert all((one.model is not None) == kept and one.history is not None for one in fitted)


INTERRUPTED = """
import os, signal, threading, time, numpy as np, fusednet as fn
from fusednet.many import fit_many
x, y = fn.load_digits()
def build():
    model = fn.Sequential([fn.Dense(64, activation="relu"), fn.Dense(10)], seed=0)
    model.compile("adam", "sparse_categorical_crossentropy")
    return model
begun = threading.Event()
def send():
    begun.wait(20)
    sent.append(time.perf_counter())
    os.kill(os.getpid(), signal.SIGINT)
sent = []
threading.Thread(target=send).start()
try:
    fit_many([build] * 8, x, y, epochs=10**9, workers=3,
             callbacks=lambda: [fn.LambdaCallback(on_train_begin=lambda logs: begun.set())])
except KeyboardInterrupt:
    assert threading.active_count() == 1, threading.enumerate()
    print("interrupted", time.perf_counter() - sent[0])
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
def test_ctrl_c_stops_all():
    done = subprocess.run([sys.executable, "-c", INTERRUPTED], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and done.stdout.startswith("interrupted"), done.stderr
    assert float(done.stdout.split()[1]) < 30  # not a bound of time, but of going on to the end


def test_ctrl_c_while_threads_are_started(monkeypatch):
    start = threading.Thread.start

    def interrupted(thread):
        if thread.name == "fusednet-1":
            raise KeyboardInterrupt
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit_many(CONFIGS, X, Y, build=build, workers=2)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fusednet-")]


def test_ctrl_c_while_a_thread_begins(monkeypatch):
    """It exists already, but has not begun when all halt: it is waited for."""
    start = threading.Thread.start

    def interrupted(thread):
        if thread.name == "fusednet-1":
            begin = thread._set_ident
            thread._set_ident = lambda: (time.sleep(0.3), begin())
            thread._started.wait = _interrupt
        start(thread)

    def _interrupt(timeout=None):
        raise KeyboardInterrupt

    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit_many(CONFIGS, X, Y, build=build, workers=2)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("fusednet-")]


def test_warnings_and_times_are_there():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        begin = time.perf_counter()
        fitted = fit_many(CONFIGS, X, Y, build=build)
        assert all(0 < one.seconds < time.perf_counter() - begin for one in fitted)


# ---- estimators ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", ["score", "loss"])
@pytest.mark.filterwarnings("ignore::UserWarning")  # not converged
def test_scores_of_an_estimator_are_those_of_the_weights_it_ends_with(metric):
    sklearn = pytest.importorskip("fusednet.sklearn")
    estimator = sklearn.MLPClassifier(early_stopping=True, validation_metric=metric, learning_rate_init=0.05,
                                      max_iter=60, random_state=0)
    (one,) = fit_many([estimator], X, RNG.permutation(Y), validation_split=0.3)
    losses, scores = one.history.history["val_loss"], one.history.history["val_score"]
    best = np.argmax(scores) if metric == "score" else np.argmin(losses)
    assert one.scores == {"val_loss": losses[best], "val_score": scores[best]} and losses[best] < losses[-1]


@pytest.mark.filterwarnings("ignore::UserWarning")  # not converged
def test_estimators_take_sparse_rows():
    sklearn, sparse = pytest.importorskip("fusednet.sklearn"), pytest.importorskip("scipy.sparse")
    config, some = [{"alpha": 0.1}], sklearn.MLPClassifier(max_iter=3)
    for y in (Y, np.eye(3, dtype=int)[Y]):  # labels, which may be sparse too
        forms = [(X, y), (sparse.csr_matrix(X), y), (sparse.coo_array(X), sparse.coo_matrix(y) if y.ndim == 2 else y)]
        first, *others = [[one.scores for one in fit_many(config, *form, build=some, seed=0, folds=3)]
                          for form in forms]
        assert others == [first, first]
    for train in (lambda x: fit_many([{}], x, Y, build=build), lambda x: build().fit(x, Y)):
        with pytest.raises(TypeError, match="x is a sparse csr_matrix; wanted a dense array"):
            train(sparse.csr_matrix(X))


@pytest.mark.filterwarnings("ignore::UserWarning")  # not converged, and scikit-learn's of a column
def test_labels_in_a_column_are_stratified_too():
    sklearn = pytest.importorskip("fusednet.sklearn")
    y, some = np.repeat([0, 1], [114, 6]), sklearn.MLPClassifier(max_iter=3)
    column = y.reshape(-1, 1)
    first, second = ([one.scores for one in fit_many([{}], X, labels, build=some, seed=0, folds=3)]
                     for labels in (y, column))
    assert first == second


@pytest.mark.filterwarnings("ignore::UserWarning")  # not converged
def test_curves_of_rows_that_an_estimator_sets_aside_itself_are_none_of_the_validation_rows():
    sklearn = pytest.importorskip("sklearn.neural_network")
    estimator = sklearn.MLPClassifier(max_iter=3, early_stopping=True)
    (one,) = fit_many([estimator], X, Y, validation_split=0.3)
    assert sorted(one.history.history) == ["loss"] and sorted(one.scores) == ["val_score"]


@pytest.mark.parametrize("division", [{"folds": 3}, {"validation_split": 0.2, "split": "tail"}])
def test_weights_that_are_all_0_in_a_fold_are_told_of_before_any_training(division):
    begun = []
    weight = np.zeros(len(X))
    weight[0] = 1
    listeners = [fn.LambdaCallback(on_train_begin=lambda logs: begun.append(True))]
    with pytest.raises(ValueError, match=r"the weights of all rows to (train on|validate with) are 0"):
        fit_many([build], X, Y, sample_weight=weight, callbacks=lambda: listeners, on_error="keep", **division)
    assert not begun


def test_a_trained_model_takes_its_columns_in_their_order_only():
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(X, columns=list("abcdef"))
    model = build()
    model.fit(frame, Y, epochs=1)
    before = bits([SimpleNamespace(model=model)])
    with pytest.raises(ValueError, match="x has its columns in the order f, e, d, c, b, a"):
        fit_many([model], frame[list("fedcba")], Y, epochs=1)
    assert bits([SimpleNamespace(model=model)]) == before and model.feature_names_ == tuple("abcdef")
    fit_many([model], X, Y, epochs=1)  # no names, no order


def test_callbacks_may_be_a_function_that_makes_one():
    fitted = fit_many(CONFIGS[:2], X, Y, build=build, epochs=3, callbacks=lambda: Stop(1))
    assert [len(one.history.epoch) for one in fitted] == [1, 1]


def test_networks_that_would_write_one_file_are_refused_before_any_training(tmp_path):
    path = tmp_path / "log.csv"
    with pytest.raises(ValueError, match=r"CSVLogger writes '.*log\.csv' for network 0 and for network 1; wanted"):
        fit_many(CONFIGS[:2], X, Y, build=build, callbacks=fn.CSVLogger(path))
    with pytest.raises(ValueError, match=r"ModelCheckpoint writes '.*' for network 0, fold 0 and for .* fold 1"):
        fit_many(CONFIGS[:1], X, Y, build=build, folds=2, callbacks=[fn.ModelCheckpoint(path)])
    with pytest.raises(ValueError, match=r"BackupAndRestore writes '.*' for network 0 and for network 1"):
        fit_many(CONFIGS[:2], X, Y, build=build, callbacks=lambda: fn.BackupAndRestore(tmp_path / "kept"))
    assert not list(tmp_path.iterdir())
    numbers = iter(range(2))
    fit_many(CONFIGS[:2], X, Y, build=build, callbacks=lambda: fn.CSVLogger(tmp_path / f"{next(numbers)}.csv"))
    assert sorted(one.name for one in tmp_path.iterdir()) == ["0.csv", "1.csv"]
    fit_many(CONFIGS[:1], X, Y, build=build, callbacks=[fn.CSVLogger(path), fn.CSVLogger(path)])  # its own business


def test_estimators_that_would_write_one_file_are_refused_before_any_training(tmp_path):
    ours, pipeline = pytest.importorskip("fusednet.sklearn"), pytest.importorskip("sklearn.pipeline")
    path = tmp_path / "log.csv"

    def estimator(*callbacks):
        return ours.MLPRegressor(hidden_layer_sizes=(4,), max_iter=3, random_state=0, callbacks=list(callbacks))

    logs = estimator(fn.CSVLogger(path))
    with pytest.raises(ValueError, match=r"CSVLogger writes '.*' for network 0, fold 0 and for .* fold 1; wanted"):
        fit_many([logs], X, Y, folds=2)
    with pytest.raises(ValueError, match=r"CSVLogger writes '.*log\.csv' for network 0 and for network 1; wanted"):
        fit_many([logs, pipeline.make_pipeline(estimator(fn.CSVLogger(path)))], X, Y)
    assert not list(tmp_path.iterdir())
    fit_many([logs, estimator(fn.CSVLogger(tmp_path / "other.csv")), estimator()], X, Y)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["log.csv", "other.csv"]


class Stop(fn.callbacks.Callback):
    def __init__(self, epochs):
        self.epochs = epochs

    def on_epoch_end(self, epoch, logs):
        self.model.stop_training = epoch + 1 == self.epochs


def test_a_seed_of_none_is_no_seed():
    said, unsaid = (fit_many([config], X, Y, build=build, seed=5) for config in ({"seed": None}, {}))
    assert bits(said) == bits(unsaid)
