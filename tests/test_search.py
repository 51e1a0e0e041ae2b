"""The searches: what they sample, how they narrow, that they find, what they refuse; the same with any workers.

a) Whether a search finds is tried on a score that is a known function of the hyperparameters: a network's would hide a
   wrong sign in noise. Real networks are for everything else.
b) Optuna and matplotlib may not be there: those tests are skipped then, the messages are tested without.
"""

import math
import os
import signal
import sys
import threading

import numpy as np
import pytest

import fusednet as fn
from fusednet import pool
from fusednet.search import BayesianSearch, Choice, Float, Int, RandomSearch, Results, Trial, narrowed
from fusednet.search import plot as search_plot
from fusednet.search import random as random_search

RNG = np.random.default_rng(2)
X = RNG.standard_normal((120, 6)).astype(np.float32)
Y = (X[:, 0] > 0).astype(int) + (X[:, 1] > 0.5)
SPACE = {"units": Int(2, 32, log=True), "rate": Float(1e-5, 1.0, log=True), "kind": ["relu", "tanh"],
         "batch_size": [8, 16, 32]}


def build(units=8, rate=1e-2, kind="relu"):
    model = fn.Sequential([fn.Normalization(), fn.Dense(units, activation=kind), fn.Dense(3)], seed=0)
    model.compile(fn.Adam(rate), "sparse_categorical_crossentropy", ["accuracy"])
    return model


def told(results):
    """All that a search says, but times."""
    return [(t.number, t.params, t.score if t.score == t.score else None, t.state, t.curve, t.training_curve)
            for t in results.trials]


def bayesian(*arguments, **options):
    pytest.importorskip("optuna")
    return BayesianSearch(*arguments, **options)


# ---- spaces ----------------------------------------------------------------------------------------------------------


def test_samples_are_even_on_their_scale():
    rng = np.random.default_rng(0)
    linear = np.array([Float(2, 6).sample(rng) for _ in range(4000)])
    scaled = np.log10([Float(1e-4, 1, log=True).sample(rng) for _ in range(4000)])
    for share, values, low, high in ((linear, linear, 2, 6), (scaled, scaled, -4, 0)):
        assert share.min() >= low and share.max() <= high
        counts = np.histogram(values, 8, (low, high))[0]
        assert abs(counts - 500).max() < 110  # 5 standard deviations
    whole = np.bincount([Int(3, 6).sample(rng) for _ in range(4000)])
    assert whole[:3].sum() == 0 and len(whole) == 7 and abs(whole[3:] - 1000).max() < 140
    logs = [Int(1, 255, log=True).sample(rng) for _ in range(4000)]
    assert min(logs) == 1 and max(logs) == 255
    below = np.mean(np.array(logs) < 16)  # half of the way on the scale
    assert abs(below - math.log(15.5 / 0.5) / math.log(255.5 / 0.5)) < 0.04
    taken = [Choice(["a", None, 3]).sample(rng) for _ in range(3000)]
    assert {taken.count(value) > 850 for value in ("a", None, 3)} == {True}


@pytest.mark.parametrize(("make", "error", "message"), [
    (lambda: Float(1, 0.1), ValueError, "low is 1, high is 0.1; wanted low below high (the range is upside down)"),
    (lambda: Int(9, 3), ValueError, "upside down"),
    (lambda: Float(1, 1), ValueError, "both 1"),
    (lambda: Float(0, 1, log=True), ValueError, "above 0"),
    (lambda: Int(0, 9, log=True), ValueError, "1 or more"),
    (lambda: Float("a", 1), TypeError, "low is 'a'"),
    (lambda: Int(1.5, 3), TypeError, "low is 1.5"),
    (lambda: Float(math.nan, 1), ValueError, "low is nan"),
    (lambda: Choice([]), ValueError, "no values"),
    (lambda: Choice(["a", "a"]), ValueError, "twice"),
    (lambda: Choice("abc"), TypeError, "wanted a list"),
    (lambda: RandomSearch({}, 3), ValueError, "the space is empty"),
    (lambda: RandomSearch([], 3), TypeError, "space is list"),
    (lambda: RandomSearch({"a": (1, 2)}, 3), TypeError, "a range or two values"),
    (lambda: RandomSearch({"a": []}, 3), ValueError, "search: a: Choice: there are no values"),
    (lambda: RandomSearch({"a": 3}, 3), TypeError, "search: a"),
    (lambda: RandomSearch(SPACE, 0), ValueError, "n_trials is 0"),
    (lambda: RandomSearch(SPACE, 3, rounds=4), ValueError, "a trial in each round"),
    (lambda: BayesianSearch({}, 3), ValueError, "the space is empty"),
    (lambda: BayesianSearch(SPACE, 3, storage="sqlite:///x.db"), ValueError, "no name"),
    (lambda: BayesianSearch(SPACE, 3, sampler="tpe"), TypeError, "sampler is 'tpe'; wanted an object of optuna."),
    (lambda: BayesianSearch(SPACE, 3, sampler="median"), TypeError, "sampler is 'median'"),
    (lambda: BayesianSearch(SPACE, 3, pruner=dict), TypeError, "pruner is <class 'dict'>"),
    (lambda: BayesianSearch(SPACE, 3, pruner="medium"), ValueError, "did you mean 'median'"),
])  # fmt: skip
def test_wrong_spaces_and_searches_are_refused(make, error, message):
    with pytest.raises(error) as caught:
        make()
    assert message in str(caught.value)


BAD = [
    ({}, ValueError, "there are no validation rows"),
    ({"validation_data": (X[:, :3], Y)}, ValueError, "validation x"),
    ({"validation_split": 0.2, "folds": 3}, ValueError, "wanted one way to validate"),
    ({"folds": [(np.flatnonzero(Y), np.flatnonzero(Y == 0))]}, ValueError, "none of class 0"),
    ({"folds": 100}, ValueError, "too few for each of 100 folds"),
    ({"validation_split": 0.2, "test_data": (X, Y)}, ValueError, "no test rows in a search"),
    ({"validation_split": 0.2, "X_test": X, "y_test": Y}, ValueError, "no test rows in a search"),
    ({"validation_split": 0.2, "epoch": 3}, TypeError, "did you mean 'epochs'"),
    ({"validation_split": 0.2, "monitor": "val_acc"}, ValueError, "did you mean 'val_accuracy'"),
    ({"validation_split": 0.2, "build": 3}, TypeError, "build is int"),
    ({"validation_split": 0.2, "build": lambda units: build(units)}, TypeError, "unexpected keyword"),
    ({"validation_split": 0.2, "on_error": "no"}, ValueError, "on_error"),
]


@pytest.mark.parametrize("kind", [RandomSearch, bayesian])
@pytest.mark.parametrize(("options", "error", "message"), BAD)
def test_what_is_wrong_is_said_before_anything_is_trained(kind, options, error, message, monkeypatch):
    monkeypatch.setattr(pool, "run", lambda *a, **k: pytest.fail("something was trained"))
    options = {"build": build, **options}
    search = kind(SPACE, 3, monitor=options.pop("monitor", None))
    with pytest.raises(error) as caught:
        search.run(options.pop("build"), X, Y, **options)
    assert message in str(caught.value)


# ---- random search ---------------------------------------------------------------------------------------------------


def trials(*params):
    return [Trial(i, one, 1.0 - i / 10) for i, one in enumerate(params)]


def test_ranges_are_narrowed_round_the_best():
    space = {"rate": Float(1e-6, 1.0, log=True), "drop": Float(0, 1), "units": Int(1, 1000),
             "kind": Choice(["a", "b", "c"])}
    best = trials({"rate": 1e-3, "drop": 0.5, "units": 100, "kind": "a"},
                  {"rate": 1e-1, "drop": 0.5, "units": 300, "kind": "c"})
    made = narrowed(space, best, 9)
    assert math.log10(made["rate"].low) == pytest.approx(-3.6) and math.log10(made["rate"].high) == pytest.approx(-0.4)
    assert (made["drop"].low, made["drop"].high) == (pytest.approx(0.4), pytest.approx(0.6))
    assert (made["units"].low, made["units"].high) == (1, 400) and made["kind"].values == ("a", "c")
    again = narrowed(made, trials({"rate": 10**-0.6, "drop": 0.45, "units": 51, "kind": "a"}), 9)
    for name in ("rate", "drop", "units"):  # never wider
        assert made[name].low <= again[name].low < again[name].high <= made[name].high
    assert narrowed(space, best, 99)["drop"].low == pytest.approx(0.49)  # more trials, less doubt
    assert narrowed(space, [], 9) is space


def test_a_search_finds_the_valley_and_narrowing_finds_it_better(monkeypatch):
    def fake_train(self, chosen, results, *, round=0, **_):
        for number, params in chosen:
            results.add(Trial(number, params, abs(math.log10(params["rate"]) + 2.3) + 3 * (params["kind"] == "tanh"),
                              round=round), [number])

    monkeypatch.setattr(random_search.objective.Objective, "train", fake_train)
    space = {"rate": Float(1e-8, 1e2, log=True), "kind": ["relu", "tanh"]}
    wide, narrow = [], []
    for seed in range(20):
        for rounds, best in ((1, wide), (4, narrow)):
            search = RandomSearch(space, 40, rounds=rounds, monitor="val_loss", seed=seed)
            results = search.run(build, X, Y, validation_split=0.2)
            assert [t.round for t in results.trials] == sorted(t.round for t in results.trials)
            assert results.best_params["kind"] == "relu" and results.best_models == [results.best.number]
            assert len(results.spaces) == rounds
            best.append(results.best_score)
    assert np.mean(narrow) < np.mean(wide) / 2 and np.median(narrow) < np.median(wide) / 4


def test_random_search_is_the_same_for_any_number_of_workers():
    first = None
    for workers in (1, 3, None):
        results = RandomSearch(SPACE, 9, rounds=2, seed=1).run(build, X, Y, folds=3, epochs=3, workers=workers)
        first = first or told(results)
        assert told(results) == first
    assert results.monitor == "val_accuracy" and results.upwards
    best = results.best
    assert best.score == max(t.score for t in results.trials) == pytest.approx(np.mean(best.fold_scores))
    assert len(results.best_models) == 3 and results.best_model.memory is not None
    assert len(best.curve) == 3 and best.curve[-1] == pytest.approx(best.score)
    assert told(RandomSearch(SPACE, 9, seed=2).run(build, X, Y, folds=3, epochs=1)) != first


def test_the_best_model_is_that_of_the_best_trial():
    results = RandomSearch(SPACE, 6, monitor="val_loss").run(build, X[:90], Y[:90], epochs=4,
                                                             validation_data=(X[90:], Y[90:]))
    assert not results.upwards and results.best_score == min(t.score for t in results.trials)
    assert results.best_model.evaluate(X[90:], Y[90:])[0] == pytest.approx(results.best_score, rel=1e-5)


def test_trials_that_fail_or_diverge_are_kept_without_a_score():
    def some(rate):
        def fail(epoch, logs):
            raise RuntimeError("no")

        model = fn.Sequential([fn.Dense(8, activation="relu"), fn.Dense(3)], seed=0)
        model.compile(fn.SGD(rate), "sparse_categorical_crossentropy", ["accuracy"])
        return model, {"callbacks": [fn.LambdaCallback(on_epoch_end=fail)] if rate == 0.1 else []}

    search = RandomSearch({"rate": [0.1, 1e-3, 1e30]}, 12)
    with pytest.warns(fn.TrainingWarning, match="were stopped"):
        results = search.run(some, X, Y, validation_split=0.2, epochs=9, on_error="keep")
    states = {t.params["rate"]: (t.state, math.isnan(t.score)) for t in results.trials}
    assert states == {0.1: ("failed", True), 1e-3: ("complete", False), 1e30: ("diverged", True)}
    assert results.best_params == {"rate": 1e-3} and len(results.rows()) == 12
    assert "RuntimeError: no" in {t.error for t in results.trials}
    with pytest.raises(RuntimeError, match="no") as caught:
        search.run(some, X, Y, validation_split=0.2, epochs=2)
    assert any("'rate': 0.1" in note for note in caught.value.__notes__)


def narrow(units):
    if units > 8:
        raise ValueError("too many units")
    return build(units)


@pytest.mark.parametrize("make", [RandomSearch, bayesian])
def test_trials_that_cannot_be_built_are_kept_as_failed(make):
    said = []
    results = make({"units": Int(1, 16)}, 16).run(narrow, X, Y, validation_split=0.2, on_error="keep", told=said.append)
    assert sorted(t.number for t in said) == [t.number for t in results.trials] == list(range(16))
    for trial in results.trials:
        bad = trial.params["units"] > 8
        assert (trial.state, trial.error) == (("failed", "ValueError: too many units") if bad else ("complete", ""))
    assert {t.state for t in results.trials} == {"failed", "complete"}
    with pytest.raises(ValueError, match="too many units"):  # nothing will do
        make({"units": Int(9, 16)}, 16).run(narrow, X, Y, validation_split=0.2, on_error="keep")
    with pytest.raises(ValueError, match="too many units"):
        make({"units": Int(1, 16)}, 16).run(narrow, X, Y, validation_split=0.2)


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
def test_an_interrupted_search_keeps_its_trials():
    search, before = RandomSearch(SPACE, 500), threading.active_count()
    seen = []

    def count(trial):
        seen.append(trial)
        if len(seen) == 5:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        search.run(build, X, Y, validation_split=0.2, epochs=20, told=count)
    assert 5 <= len(search.results.trials) < 500 and search.results.best
    assert threading.active_count() == before


# ---- estimators ------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::UserWarning")  # not converged
def test_what_an_estimator_does_not_tell_is_no_monitor():
    pytest.importorskip("sklearn")
    from sklearn.pipeline import make_pipeline

    from fusednet.sklearn import MLPClassifier

    space = {"mlpclassifier__alpha": [0.1, 1.0]}
    with pytest.raises(ValueError, match="monitor is 'val_loss'; known: val_score"):
        RandomSearch(space, 2, monitor="val_loss").run(make_pipeline(MLPClassifier()), X, Y, validation_split=0.2)
    space = {"solver": ["lbfgs", "adam"], "max_iter": [3]}  # of the two only one has a loss of validation rows
    results = RandomSearch(space, 6, monitor="val_loss").run(MLPClassifier(), X, Y, validation_split=0.2)
    assert {trial.params["solver"] for trial in results.ranked()} == {"adam"} and len(results.trials) == 6


def test_estimators_are_searched():
    pytest.importorskip("sklearn")
    from fusednet.sklearn import MLPClassifier

    space = {"learning_rate_init": Float(1e-4, 1e-1, log=True), "hidden_layer_sizes": [(4,), (8, 8)]}
    first = None
    for workers in (1, 3):
        with pytest.warns(Warning, match="hasn't converged"):
            results = RandomSearch(space, 5).run(MLPClassifier(max_iter=8), X, Y, folds=3, workers=workers)
        first = first or told(results)
        assert told(results) == first
    assert results.monitor == "val_score" and results.best_model.hidden_layer_sizes in ((4,), (8, 8))
    assert len(results.best.curve) == 8
    with pytest.raises(TypeError, match="max_iter"):
        RandomSearch(space, 2).run(MLPClassifier(), X, Y, folds=3, epochs=3)
    with pytest.raises(ValueError, match="Invalid parameter 'alphabet'"):
        RandomSearch({"alphabet": [1, 2]}, 2).run(MLPClassifier(), X, Y, folds=3)
    with pytest.raises(ValueError, match="validation x has"):
        RandomSearch(space, 2).run(MLPClassifier(), X, Y, validation_data=(X[:, :2], Y))


# ---- Bayesian search -------------------------------------------------------------------------------------------------


def test_bayesian_search_is_the_same_for_any_number_of_workers():
    first = None
    for workers in (1, 3):
        search = bayesian(SPACE, 24, batch=6, seed=1)
        results = search.run(build, X, Y, folds=2, epochs=6, workers=workers)
        first = first or told(results)
        assert told(results) == first
    states = [t.state for t in results.trials]
    assert len(states) == 24 and "pruned" in states and states.count("complete") >= 6
    assert all(len(t.curve) < 6 for t in results.trials if t.state == "pruned")
    assert results.best_model is not None
    kept = bayesian(SPACE, 8, pruner=None).run(build, X, Y, validation_split=0.2, epochs=2)
    assert {t.state for t in kept.trials} == {"complete"}


def test_a_study_goes_on_from_its_storage(tmp_path):
    storage = f"sqlite:///{tmp_path / 'study.db'}"
    space = {**SPACE, "layers": [(8,), (4, 4)]}  # a choice that Optuna cannot store as it is

    def deep(layers, **rest):
        return build(**rest)

    first = bayesian(space, 6, batch=3, storage=storage, name="digits").run(deep, X, Y, validation_split=0.2, epochs=2)
    again = bayesian(space, 9, batch=3, storage=storage, name="digits").run(deep, X, Y, validation_split=0.2, epochs=2)
    assert len(again.trials) == 9 and told(again)[:6] == told(first)
    assert {t.params["layers"] for t in again.trials} <= {(8,), (4, 4)}
    assert len({t.params["rate"] for t in again.trials}) == 9  # nothing is chosen a second time
    none = bayesian(space, 9, storage=storage, name="digits").run(deep, X, Y, validation_split=0.2)
    assert len(none.trials) == 9 and none.best_model is None and none.best.score == again.best_score
    with pytest.raises(ValueError, match="looks for the largest"):
        bayesian(space, 9, storage=storage, name="digits", monitor="val_loss").run(deep, X, Y, validation_split=0.2)


def test_a_search_that_is_refused_keeps_its_results(tmp_path):
    search = bayesian(SPACE, 2, name="kept", storage=f"sqlite:///{tmp_path / 'study.db'}")
    results = search.run(build, X, Y, validation_split=0.2)
    study, search.monitor = search.study, "val_loss"
    with pytest.raises(ValueError, match="looks for the largest"):
        search.run(build, X, Y, validation_split=0.2)
    assert search.results is results and search.study is study and len(results.trials) == 2


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent otherwise there")
def test_an_interrupted_study_has_no_trial_left_running():
    search = bayesian(SPACE, 40, batch=4)

    def interrupt(trial):
        if trial.number >= 5:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        search.run(build, X, Y, validation_split=0.2, epochs=3, told=interrupt)
    assert all(trial.state.is_finished() for trial in search.study.get_trials())
    assert len(search.results.trials) >= 4


def test_optuna_prints_nothing(capfd):
    bayesian(SPACE, 2).run(build, X, Y, validation_split=0.2)
    assert capfd.readouterr() == ("", "")


# ---- results ---------------------------------------------------------------------------------------------------------


def results_of(scores, mode="max"):
    results = Results("val_accuracy", mode, {"rate": Float(1e-4, 1, log=True), "kind": Choice(["a", None])})
    for i, score in enumerate(scores):
        params = {"rate": 10 ** (-4 + i / 10), "kind": ("a", None)[i % 2]}
        curve = list(np.linspace(0.1, score, 5)) if score == score else []
        results.add(Trial(i, params, score, curve=curve, training_curve=curve, round=i % 2), [i])
    return results


@pytest.mark.parametrize(("low", "high", "shown"), [(16, 128, {"20", "50", "100"}), (30, 64, {"50"})])
def test_a_picture_has_plain_numbers_on_short_logarithmic_axes(low, high, shown):
    figure = pytest.importorskip("matplotlib.figure").Figure()
    axes = figure.add_subplot()
    axes.plot([low, high], [0, 1])
    search_plot._scale(axes, Int(low, high, log=True))
    figure.draw_without_rendering()
    texts = {label.get_text() for label in (*axes.get_xticklabels(), *axes.get_xticklabels(minor=True))}
    assert shown <= texts and not any("mathdefault" in text for text in texts)


def test_results_are_a_table():
    results = results_of([0.5, 0.9, math.nan, 0.9, 0.7])
    assert [t.number for t in results.ranked()] == [1, 3, 4, 0] and results.best_model == 1
    rows = results.rows()
    assert [row["number"] for row in rows] == [1, 3, 4, 0, 2] and rows[0]["kind"] is None
    assert str(results).splitlines()[0] == "5 trials, by val_accuracy" and len(str(results).splitlines()) == 7
    assert results_of([0.5, 0.9, 0.7], "min").best.number == 0
    pandas = pytest.importorskip("pandas")
    frame = results.to_pandas()
    assert isinstance(frame, pandas.DataFrame) and list(frame["score"][:4]) == [0.9, 0.9, 0.7, 0.5]
    with pytest.raises(ValueError, match="no trial has a score"):
        _ = results_of([math.nan]).best


def test_a_picture_shows_curves_and_scores(tmp_path):
    pytest.importorskip("matplotlib")
    results = results_of([*np.linspace(0.2, 0.9, 30), math.nan])
    results.spaces.append(results.space)
    figure = results.plot(tmp_path / "search.png")
    assert (tmp_path / "search.png").stat().st_size > 10_000
    curves, scores = figure.subfigs
    shown = [axes for axes in curves.axes if axes.get_visible()]
    assert len(shown) == 20 and "trial 29" in shown[0].get_title()
    lines = {line.get_label(): line.get_ydata() for line in shown[0].lines}
    assert np.allclose(lines["validation"], results.best.curve)
    points = {axes.get_xlabel(): axes for axes in scores.axes}
    assert points["rate"].get_xscale() == "log" and points["kind"].get_xscale() == "linear"
    drawn = len(points["rate"].collections[0].get_offsets())
    marked = {line.get_label(): len(line.get_xdata()) for line in points["rate"].lines}
    assert drawn + marked["worse"] == 30 and marked["no score"] == 1
    with pytest.raises(FileNotFoundError, match="folder"):
        results.plot(tmp_path / "no" / "search.png")
    with pytest.raises(ValueError, match="nothing to plot"):
        results_of([math.nan]).plot(tmp_path / "a.png")


@pytest.mark.parametrize(("package", "call"), [
    ("optuna", lambda: BayesianSearch(SPACE, 2).run(build, X, Y, validation_split=0.2)),
    ("matplotlib", lambda: results_of([0.5]).plot()),
    ("pandas", lambda: results_of([0.5]).to_pandas()),
    ("tqdm", lambda: fn.fit_many([build], X, Y, progress=True)),
])
def test_what_is_not_installed_is_said(package, call, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setitem(sys.modules, f"{package}.figure", None)
    with pytest.raises(ImportError, match="pip install"):
        call()


def test_choices_that_are_equal_are_drawn_apart():
    pytest.importorskip("matplotlib")
    one = Choice([1, True, 1.0])
    trials = [Trial(i, {"a": value}, score=0.0) for i, value in enumerate(one.values)]
    assert np.round(search_plot._places(one, trials, "a")).tolist() == [0, 1, 2]


@pytest.mark.parametrize("mode", ["min", "max"])
def test_a_picture_shows_the_best_however_far_from_the_others(mode, tmp_path):
    pytest.importorskip("matplotlib")
    away = 0.1 if mode == "min" else 9.0
    results = results_of([*np.linspace(1, 1.02, 14), away, *np.linspace(1, 1.02, 15)], mode)
    curves, scores = results.plot(tmp_path / "search.png").subfigs
    for axes in curves.axes:
        low, high = axes.get_ylim()
        assert low < away < high
    for axes in scores.axes[:2]:
        low, high = axes.get_ylim()
        marked = {line.get_label(): line for line in axes.lines}
        assert low < away < high and "worse" not in marked
        offsets = np.asarray(axes.collections[0].get_offsets())
        ring = np.column_stack(marked["best"].get_data())
        assert len(offsets) == 30 and (np.abs(offsets - ring).max(axis=1) < 1e-9).any()  # round its own point


@pytest.mark.parametrize(("mode", "far", "word"), [("min", 90.0, "above"), ("max", -90.0, "below")])
def test_a_curve_that_lies_outside_says_where(mode, far, word, tmp_path):
    pytest.importorskip("matplotlib")
    results = results_of(np.linspace(1, 1.02, 14), mode)
    results.add(Trial(14, {"rate": 0.1, "kind": "a"}, far, curve=[far] * 5, training_curve=[far] * 5), [])
    curves, _ = results.plot(tmp_path / "search.png").subfigs
    words = {axes.get_title(): [text.get_text() for text in axes.texts] for axes in curves.axes if axes.get_visible()}
    assert words.pop(f"trial 14: {far:g}") == [word]
    assert len(words) == 14 and not any(words.values())


@pytest.mark.parametrize("search", [RandomSearch, bayesian])
def test_curves_know_their_epochs_where_not_all_are_validated(search, tmp_path):
    storage = {} if search is RandomSearch else {"storage": f"sqlite:///{tmp_path}/study.db", "name": "s"}
    options = {"validation_split": 0.2, "epochs": 7, "validation_freq": 3}
    results = search({"units": Int(2, 8)}, 2, **storage).run(build, X, Y, **options)
    if storage:
        optuna = pytest.importorskip("optuna")

        class Late(optuna.pruners.BasePruner):
            def prune(self, study, trial):
                return trial.number == 2 and trial.last_step == 5

        results = search({"units": Int(2, 8)}, 3, pruner=Late(), **storage).run(build, X, Y, **options)
        assert [trial.state for trial in results.trials] == ["complete", "complete", "pruned"]
    for trial in results.trials:
        assert np.flatnonzero(np.isfinite(trial.curve)).tolist() == [2, 5] and len(trial.curve) == 6
    pytest.importorskip("matplotlib")
    axes = results.plot(tmp_path / "search.png").subfigs[0].axes[0]
    epochs = {line.get_label(): line.get_xdata().tolist() for line in axes.lines}
    assert epochs == {"training": [1, 2, 3, 4, 5, 6, 7], "validation": [3, 6]}


def test_a_picture_has_its_words_beside_each_other(tmp_path):
    pytest.importorskip("matplotlib")
    results = Results("val_loss", "min", {"rate": Float(1e-4, 1, log=True)})
    for i, score in enumerate([3.0, 1.0, math.nan, 1.1]):
        results.add(Trial(i, {"rate": 0.1 + i / 10}, score, curve=[2.0, score]), [])
    figure = results.plot(tmp_path / "search.png")
    curves, scores = figure.subfigs
    assert not scores.legends[0].get_window_extent().overlaps(scores._suptitle.get_window_extent())
    assert all(tick == round(tick) for tick in curves.axes[0].get_xticks())
    assert curves._suptitle.get_text() == "loss of the 3 best of 4 trials, by epoch"
    alone = Results("val_loss", "min", {"rate": Float(1e-4, 1, log=True)})
    alone.add(results.trials[0], [])
    assert alone.plot(tmp_path / "one.png").subfigs[0]._suptitle.get_text() == "loss of the trial, by epoch"


def test_a_study_with_other_choices_is_told_of(tmp_path):
    where = {"storage": f"sqlite:///{tmp_path}/study.db", "name": "s"}
    bayesian({"units": [2, 4]}, 2, **where).run(build, X, Y, validation_split=0.2)
    with pytest.raises(ValueError, match=r"a trial with units=[24], which is none of the values \[8, 16\]"):
        bayesian({"units": [8, 16]}, 4, **where).run(build, X, Y, validation_split=0.2)


def test_a_study_goes_on_after_an_interrupt_with_all_trials(tmp_path):
    calls = []

    def interrupted(units):
        calls.append(units)
        if len(calls) == 6:  # one call to look at, then a batch of 4
            raise KeyboardInterrupt
        if len(calls) == 3:
            raise ValueError("no")
        return build(units)

    where = {"storage": f"sqlite:///{tmp_path}/study.db", "name": "s", "batch": 4}
    search = bayesian({"units": Int(2, 16)}, 8, **where)
    with pytest.raises(KeyboardInterrupt):
        search.run(interrupted, X, Y, validation_split=0.2, on_error="keep")
    assert sorted(trial.state for trial in search.results.trials) == ["complete"] * 3 + ["failed"]
    results = bayesian({"units": Int(2, 16)}, 8, **where).run(interrupted, X, Y, validation_split=0.2, on_error="keep")
    assert sorted(trial.state for trial in results.trials) == ["complete"] * 7 + ["failed"]
    assert [trial.error for trial in results.trials if trial.error] == ["ValueError: no"]


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("name", ["GridSampler", "BruteForceSampler"])
@pytest.mark.filterwarnings("ignore:BruteForceSampler is experimental")
def test_a_search_ends_where_its_sampler_has_tried_all(name, batch, tmp_path):
    space = {"units": [2, 4, 8], "kind": ["relu", "tanh"]}
    samplers = pytest.importorskip("optuna").samplers

    def run():
        sampler = samplers.GridSampler(space) if name == "GridSampler" else samplers.BruteForceSampler(seed=0)
        search = bayesian(space, 100, batch=batch, sampler=sampler, storage=f"sqlite:///{tmp_path}/study.db", name="s")
        return search.run(build, X, Y, validation_split=0.2), search.study

    results, study = run()
    assert len({tuple(trial.params.values()) for trial in results.trials}) == 6 <= len(results.trials) <= 8
    assert all(trial.state.is_finished() for trial in study.get_trials())
    with pytest.raises(RuntimeError, match="inside an objective function"):  # Optuna's own again
        study.stop()
    if name == "GridSampler":
        assert len(run()[0].trials) == len(results.trials)


@pytest.mark.parametrize("monitor", ["val_score", "val_loss"])
def test_a_trial_of_several_networks_is_given_up_by_the_curve_of_the_first(monitor, recwarn):
    optuna = pytest.importorskip("optuna")
    pytest.importorskip("sklearn")
    from fusednet.sklearn import MLPClassifier

    class Second(optuna.pruners.BasePruner):
        def prune(self, study, trial):
            return trial.number == 1 and trial.last_step == 2

    search = bayesian({"alpha": Float(1e-3, 1)}, 2, monitor=monitor, pruner=Second())
    results = search.run(MLPClassifier((4,), max_iter=5, n_estimators=2), X, Y, validation_split=0.2)
    assert [(trial.state, len(trial.curve)) for trial in results.trials] == [("complete", 5), ("pruned", 3)]
    for trial, stored in zip(results.trials, search.study.trials, strict=True):
        assert [stored.intermediate_values[step] for step in range(len(trial.curve))] == trial.curve
    assert not [warning for warning in recwarn if "already reported" in str(warning.message)]


def test_a_score_that_is_not_finite_is_none(tmp_path):
    pytest.importorskip("matplotlib")
    for mode, scores in (("max", [0.5, math.inf, 0.25]), ("min", [0.5, -math.inf, math.nan])):
        results = Results("val_loss", mode, {"rate": Float(1e-4, 1, log=True)})
        for i, score in enumerate(scores):
            results.add(Trial(i, {"rate": 0.1 * (i + 1)}, score), [])
        assert results.best.number == 0
        results.plot(tmp_path / "search.png")


def test_results_have_what_other_processes_have_found_meanwhile(tmp_path):
    where = {"storage": f"sqlite:///{tmp_path}/study.db", "name": "s", "batch": 2}

    def elsewhere(trial):
        if trial.number == 0:
            bayesian(SPACE, 5, seed=7, **where).run(build, X, Y, validation_split=0.2, epochs=8)

    for n_trials in (2, 7):  # the other one is the last to find something, or not
        (tmp_path / "study.db").unlink(missing_ok=True)
        search = bayesian(SPACE, n_trials, **where)
        results = search.run(build, X, Y, validation_split=0.2, told=elsewhere)
        assert [trial.number for trial in results.trials] == list(range(max(n_trials, 5)))
        assert results.best_score == search.study.best_value


# ---- studies that go on, values that are hard to compare -------------------------------------------------------------


def test_a_study_keeps_to_its_monitor(tmp_path):
    where = {"storage": f"sqlite:///{tmp_path}/study.db", "name": "s"}

    def regression(units):
        model = fn.Sequential([fn.Dense(units, activation="relu"), fn.Dense(1)], seed=0)
        model.compile(fn.Adam(), "mse", ["mae"])
        return model

    def run(n_trials, monitor):
        search = bayesian({"units": Int(2, 8)}, n_trials, monitor=monitor, **where)
        return search.run(regression, X, X[:, 0], validation_split=0.2)

    run(2, "val_loss")
    with pytest.raises(ValueError, match="monitor is 'val_mae', the study 's' compares trials by 'val_loss'; wanted"):
        run(4, "val_mae")
    assert len(run(4, "val_loss").trials) == 4


def test_a_study_that_has_not_noted_its_monitor_is_taken_as_it_is():
    optuna = pytest.importorskip("optuna")
    where = {"storage": optuna.storages.InMemoryStorage(), "name": "s"}
    search = bayesian({"units": Int(2, 8)}, 2, monitor="val_loss", **where)
    search.run(build, X, Y, validation_split=0.2)
    where["storage"]._studies[0].user_attrs.clear()
    for n_trials in (3, 4):
        search = bayesian({"units": Int(2, 8)}, n_trials, monitor="val_loss", **where)
        assert len(search.run(build, X, Y, validation_split=0.2).trials) == n_trials and not search.study.user_attrs


@pytest.mark.parametrize(("before", "after", "said"), [
    (Int(2, 8, log=True), Int(2, 8), r"units is Int\(low=2, high=8, log=False\), the study 's' has IntDistribution\("),
    (Int(2, 8), Float(2, 8), r"units is Float\(low=2.0.*, the study 's' has IntDistribution\("),
    ([2, 4], Int(2, 8), r"units is Int\(.*, the study 's' has CategoricalDistribution\("),
    ([2, 4], [2, 4, 8], r"units is Choice\(values=\(2, 4, 8\)\), the study 's' has CategoricalDistribution\("),
])  # fmt: skip
def test_a_space_that_does_not_fit_the_study_is_told_of(before, after, said, tmp_path):
    where = {"storage": f"sqlite:///{tmp_path}/study.db", "name": "s"}

    def whole(units):
        return build(round(units))

    search = bayesian({"units": before}, 2, **where)
    search.run(whole, X, Y, validation_split=0.2)
    with pytest.raises(ValueError, match=f"BayesianSearch: {said}.*wanted another name, or a space that differs in"):
        bayesian({"units": after}, 4, **where).run(whole, X, Y, validation_split=0.2)
    assert [trial.state.name for trial in search.study.get_trials()] == ["COMPLETE"] * 2  # no third was begun


def test_the_ends_of_ranges_may_change_in_a_study(tmp_path):
    where = {"storage": f"sqlite:///{tmp_path}/study.db", "name": "s"}
    bayesian({"units": Int(2, 8), "rate": Float(1e-3, 1e-2, log=True)}, 2, **where).run(build, X, Y, folds=2)
    results = bayesian({"units": Int(9, 16), "rate": Float(1e-2, 1e-1, log=True)}, 6, **where).run(build, X, Y, folds=2)
    assert [trial.params["units"] > 8 for trial in results.trials] == [False] * 2 + [True] * 4


def test_what_was_asked_for_is_not_left_running_where_asking_fails(tmp_path):
    optuna = pytest.importorskip("optuna")

    class Failing(optuna.samplers.RandomSampler):
        left = 5

        def sample_independent(self, *arguments):
            self.left -= 1
            if self.left < 0:
                raise RuntimeError("no more")
            return super().sample_independent(*arguments)

    search = bayesian({"units": Int(2, 8)}, 8, batch=4, sampler=Failing(seed=0))
    with pytest.raises(RuntimeError, match="no more"):
        search.run(build, X, Y, validation_split=0.2)
    assert [trial.state.name for trial in search.study.get_trials()] == ["COMPLETE"] * 4 + ["FAIL"] * 2


class Tag:
    """Its text does not say which."""

    def __init__(self, units):
        self.units = units

    def __repr__(self):
        return "A"


def tagged(tag):
    return build(tag.units if isinstance(tag, Tag) else 4)


@pytest.mark.parametrize("values", [
    [math.nan, -1], [Tag(2), Tag(3), Tag(4)], [Tag(2), "A"], [np.zeros(2), np.ones(2)], [[np.zeros(2)], [np.ones(2)]],
    [np.zeros(2000), np.eye(1, 2000, 1000)[0]],  # of the same text
])  # fmt: skip
def test_any_values_can_be_chosen_from(values, tmp_path):
    def places(results):
        return [next(i for i, value in enumerate(values) if value is trial.params["tag"]) for trial in results.trials]

    found = RandomSearch({"tag": values}, 12, rounds=2).run(tagged, X, Y, validation_split=0.2)
    assert set(places(found)) <= set(range(len(values)))
    where = {"storage": f"sqlite:///{tmp_path}/study.db", "name": "s"}
    first = bayesian({"tag": values}, 12, **where).run(tagged, X, Y, validation_split=0.2)
    assert set(places(first)) == set(range(len(values)))
    again = bayesian({"tag": values}, 14, **where).run(tagged, X, Y, validation_split=0.2)
    assert places(again)[:12] == places(first)


def test_choices_are_stored_under_the_names_of_before():
    search = bayesian({"tag": Choice([(8,), "relu", None, 1, 0.5])}, 1)
    search.run(tagged, X, Y, validation_split=0.2)
    assert search.study.trials[0].distributions["tag"].choices == ("(8,)", "relu", None, 1, 0.5)


@pytest.mark.parametrize("values", [[math.nan, -math.nan], [np.zeros(2), np.zeros(2)], [np.array([math.nan])] * 2])
def test_a_value_that_is_there_twice_is_seen(values):
    with pytest.raises(ValueError, match="is there twice"):
        Choice(values)


def test_arrays_are_told_apart_by_shape_and_dtype():
    assert len(Choice([np.zeros(2), np.zeros(1), np.zeros(2, np.float32), np.zeros((1, 2))]).values) == 4


@pytest.mark.parametrize("one", [Float(1.0, 1.0 + 4e-16), Float(5e-324, 1e-323, log=True),
                                 Int(10**15, 10**15 + 1, log=True)])
def test_ranges_without_room_stay_as_they_are(one):
    assert narrowed({"a": one}, trials({"a": one.low}), 100) == {"a": one}


@pytest.mark.filterwarnings("ignore::UserWarning")  # not converged
def test_a_monitor_that_some_solvers_tell_of_is_known_whatever_the_seed():
    pytest.importorskip("sklearn")
    from fusednet.sklearn import MLPClassifier

    for seed in range(6):
        search = RandomSearch({"solver": ["adam", "lbfgs"]}, 1, monitor="val_loss", seed=seed)
        assert len(search.run(MLPClassifier((2,), max_iter=2), X, Y, validation_split=0.2).trials) == 1
        assert RandomSearch({"solver": ["adam", "lbfgs"]}, 1, seed=seed).run(
            MLPClassifier((2,), max_iter=2), X, Y, validation_split=0.2).monitor == "val_score"
    with pytest.raises(ValueError, match="monitor is 'val_loss'; known: val_score"):
        RandomSearch({"solver": ["lbfgs"]}, 1, monitor="val_loss").run(MLPClassifier(), X, Y, validation_split=0.2)


@pytest.mark.parametrize("name", ["score", "number", "seconds"])
def test_hyperparameters_do_not_take_the_names_of_columns(name):
    with pytest.raises(ValueError, match=f"a name in the space is '{name}', which is a column of the results"):
        RandomSearch({name: [1, 2]}, 2)


def test_a_picture_of_one_epoch_has_points_and_whole_numbers(tmp_path):
    pytest.importorskip("matplotlib")
    long = "a_hyperparameter_with_a_name_that_takes_several_lines"
    results = Results("val_loss", "min", {"layers": Int(1, 3), long: Float(0, 1)})
    for i, score in enumerate([3.0, 1.0, 1.1]):
        results.add(Trial(i, {"layers": 1 + i, long: i / 4}, score, curve=[score], training_curve=[2.0]), [])
    curves, scores = results.plot(tmp_path / "search.png").subfigs
    assert [line.get_marker() for line in curves.axes[0].lines] == ["o", "o"]
    layers, other = scores.axes[:2]
    for axes in (curves.axes[0], layers):
        low, high = axes.get_xlim()
        shown = [tick for tick in axes.get_xticks() if low <= tick <= high]
        assert shown and all(tick == round(tick) for tick in shown)
    assert other.get_xlabel().replace("\n", "") == long and "\n" in other.get_xlabel()
