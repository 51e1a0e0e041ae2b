"""The estimators as scikit-learn's tools use them: its checks, names, pickles, searches with workers of every kind.

a) `check_estimator` runs without expected failures. What it skips it skips for scikit-learn's own classes too.
b) Results in workers are those of one process: parallel work may change the time, not the numbers.
"""

import copy
import inspect
import itertools
import pickle
import threading

import numpy as np
import pytest

pytest.importorskip("sklearn")

import joblib
import scipy.sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.ensemble import VotingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingRandomSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from fusednet import threads
from fusednet.sklearn import MLPClassifier, MLPRegressor, _threads

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

CLASSES = (MLPClassifier, MLPRegressor)
X, Y = load_iris(return_X_y=True)


@parametrize_with_checks([MLPClassifier(max_iter=100), MLPRegressor(max_iter=100)])
def test_scikit_learns_checks(estimator, check):
    check(estimator)


# ---- copies ----------------------------------------------------------------------------------------------------------

FORMS = {
    "pickle": lambda e, path: pickle.loads(pickle.dumps(e)),
    "deepcopy": lambda e, path: copy.deepcopy(e),
    "joblib": lambda e, path: (joblib.dump(e, path / "e.joblib"), joblib.load(path / "e.joblib"))[1],
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("parameters", [{}, {"n_estimators": 2}, {"batch_norm": True, "normalize": True}], ids=str)
def test_copy_predicts_the_same_and_trains_on(form, parameters, tmp_path):
    estimator = MLPClassifier(max_iter=5, random_state=0, **parameters).fit(X, Y)
    estimator.predict(X[:1])
    again = FORMS[form](estimator, tmp_path)
    assert np.array_equal(again.predict_proba(X), estimator.predict_proba(X))
    if "n_estimators" not in parameters:
        before = again.coefs_[0].copy()
        for one in (estimator, again):
            one.partial_fit(X, Y)
        assert np.array_equal(again.coefs_[0], estimator.coefs_[0])
        assert not np.array_equal(again.coefs_[0], before)


@pytest.mark.parametrize("loss", ["poisson", "quantile"])
def test_losses_can_be_pickled(loss):
    estimator = MLPRegressor(loss, max_iter=2).fit(X, Y)
    assert np.array_equal(FORMS["pickle"](estimator, None).predict(X), estimator.predict(X))


# ---- weights and inputs ----------------------------------------------------------------------------------------------


def test_weights_that_a_user_sets_are_taken_over():
    estimator = MLPClassifier((5,), max_iter=2, random_state=0).fit(X, Y)
    estimator.coefs_[0][:] = 0  # in place
    estimator.intercepts_[0] = np.zeros(5)  # another array
    estimator.coefs_[1] = np.zeros((5, 3))
    estimator.intercepts_[1] = np.array([0.0, 1.0, 0.0])
    for rows in (1, 7, len(X)):
        assert np.array_equal(estimator.predict(X[:rows]), np.ones(rows))
    estimator.coefs_[0] = np.zeros((4, 6))
    with pytest.raises(ValueError, match=r"coefs_ has an array of shape \(4, 6\); wanted \(4, 5\)"):
        estimator.predict(X)


@pytest.mark.parametrize("rows", [1, 2, 16, 17, 150])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_few_rows_are_predicted_as_many(rows, dtype):
    estimator = MLPClassifier(max_iter=5, random_state=0).fit(X.astype(dtype), Y)
    whole = estimator.predict_proba(np.vstack([X] * 10))[:rows]
    x = X[:rows].astype(dtype)
    for given in (x, np.asfortranarray(x), x.tolist(), x.astype("float32" if dtype == "float64" else "float64")):
        assert np.allclose(estimator.predict_proba(given), whole, rtol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_few_rows_are_checked_too(bad):
    estimator = MLPClassifier(max_iter=2).fit(X, Y)
    x = X[:1].copy()
    x[0, 2] = bad
    with pytest.raises(ValueError, match="NaN" if np.isnan(bad) else "infinity"):
        estimator.predict(x)
    with pytest.raises(ValueError, match="X has 3 features, but MLPClassifier is expecting 4"):
        estimator.predict(X[:1, :3])


def test_predictions_of_several_threads_do_not_mix():
    estimator = MLPClassifier(max_iter=20, random_state=0).fit(X, Y)
    whole = [estimator.predict_proba(X[i : i + 1]) for i in range(len(X))]
    wrong = []

    def work(begin):
        for turn in range(300):
            i = (begin + turn) % len(X)
            if not np.array_equal(estimator.predict_proba(X[i : i + 1]), whole[i]):
                wrong.append(i)

    workers = [threading.Thread(target=work, args=(37 * k,)) for k in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []


@pytest.mark.parametrize("form", [scipy.sparse.csr_matrix, scipy.sparse.csc_matrix, scipy.sparse.csr_array])
def test_sparse_rows_give_what_dense_rows_do(form):
    a, b = (MLPClassifier(max_iter=5, random_state=0).fit(x, Y) for x in (X, form(X)))
    assert np.array_equal(a.coefs_[0], b.coefs_[0])
    assert np.array_equal(a.predict_proba(X), b.predict_proba(form(X)))


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_names_of_columns_are_known(library):
    frames = pytest.importorskip(library)
    frame = frames.DataFrame({name: X[:, i] for i, name in enumerate("abcd")})
    estimator = MLPClassifier(max_iter=2).fit(frame, Y)
    assert list(estimator.feature_names_in_) == list("abcd")
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        estimator.predict(X[:1])


@pytest.mark.parametrize("y", [np.arange(60) % 2, np.arange(60) % 3, np.eye(3, dtype=int)[np.arange(60) % 3],
                               np.stack([np.arange(60) % 3, np.arange(60) % 4], axis=1)])  # fmt: skip
@pytest.mark.parametrize("networks", [1, 2])
def test_a_fitted_estimator_is_shown_in_a_notebook(y, networks):
    X = np.random.default_rng(0).standard_normal((60, 4))
    for cls in (MLPClassifier, MLPRegressor):
        estimator = cls(max_iter=2, n_estimators=networks).fit(X, y)
        assert {"coefs_", "n_iter_", "predict"} <= set(dir(estimator))
        assert cls.__name__ in estimator._repr_html_()


def test_weights_are_routed():
    with config_context(enable_metadata_routing=True):
        estimator = MLPClassifier(max_iter=2).set_fit_request(sample_weight=True, X_val=True, y_val=True)
        pipeline = make_pipeline(StandardScaler().set_fit_request(sample_weight=False), estimator)
        pipeline.fit(X, Y, sample_weight=np.ones(150), X_val=X, y_val=Y)
        assert len(pipeline[-1].validation_scores_) == 2


class Watcher:
    """A callback of scikit-learn's protocol; ends the training after `epochs`."""

    def __init__(self, epochs):
        self.epochs, self.calls, self.copies = epochs, [], []

    def setup(self, estimator, context):
        self.calls.append("setup")

    def teardown(self, estimator, context):
        self.calls.append("teardown")

    def on_fit_task_begin(self, estimator, context):
        self.calls.append(f"begin {context.task_name}")

    def on_fit_task_end(self, estimator, context, *, fitted_estimator=None):
        self.calls.append(f"end {context.task_name}")
        self.copies.append(fitted_estimator)
        return len(self.copies) == self.epochs


def test_scikit_learns_callbacks_are_told():
    pytest.importorskip("sklearn.callback")
    watcher = Watcher(3)
    estimator = MLPClassifier(max_iter=10, random_state=0).set_callbacks(watcher).fit(X, Y)
    assert estimator.n_iter_ == 3
    assert watcher.calls[:2] == ["setup", "begin fit"]
    assert watcher.calls[-2:] == ["end fit", "teardown"]
    assert [call for call in watcher.calls if "epoch" in call] == [
        f"{what} epoch {i}" for i in range(3) for what in ("begin", "end")]
    scores = [one.predict_proba(X) for one in watcher.copies[:3]]
    assert np.array_equal(scores[2], estimator.predict_proba(X))
    assert not np.array_equal(scores[0], scores[1])


class Measured(Watcher):
    """Notes how many rows it is told of."""

    def on_fit_task_end(self, estimator, context, *, X=None, y=None):
        self.calls.append((len(X), len(y)))


def test_scikit_learns_callbacks_see_the_rows_as_given():
    pytest.importorskip("sklearn.callback")
    watcher = Measured(3)
    MLPClassifier(max_iter=2, early_stopping=True, random_state=0).set_callbacks(watcher).fit(X, Y)
    assert [call for call in watcher.calls if isinstance(call, tuple)] == [(len(X), len(Y))] * 3


# ---- workers ---------------------------------------------------------------------------------------------------------


def _cross(n_jobs=None):
    return cross_val_score(MLPClassifier((20,), max_iter=15, random_state=0), X, Y, cv=3, n_jobs=n_jobs)


@pytest.mark.parametrize("workers", ["loky", "multiprocessing", "threading"])
def test_workers_give_the_same_scores(workers):
    alone = _cross()  # the team of threads is there when workers are forked
    with joblib.parallel_config(workers):
        assert np.array_equal(_cross(n_jobs=2), alone)


def test_searches_and_committees_work():
    estimator = MLPClassifier((8,), max_iter=5, random_state=0)
    grid = GridSearchCV(estimator, {"alpha": [1e-4, 1e-2], "dropout": [0.0, 0.2]}, cv=2, n_jobs=2).fit(X, Y)
    assert len(grid.cv_results_["params"]) == 4
    halving = HalvingRandomSearchCV(estimator, {"alpha": [1e-4, 1e-3, 1e-2]}, resource="max_iter", max_resources=9,
                                    min_resources=3, cv=2, n_jobs=2, random_state=0).fit(X, Y)
    assert halving.best_estimator_.n_iter_ <= 9
    members = [(str(seed), clone(estimator).set_params(random_state=seed)) for seed in range(3)]
    assert VotingClassifier(members, voting="soft", n_jobs=2).fit(X, Y).predict(X).shape == (150,)


def _granted(_=None):
    return _threads.granted(None)


@pytest.mark.parametrize("workers", ["loky", "multiprocessing", "threading"])
def test_workers_use_their_share_of_the_cores(workers, monkeypatch):
    monkeypatch.delenv(threads.ENVIRONMENT, raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert _granted() is None
    assert _threads.granted(3) == 3
    with joblib.parallel_config(workers):
        found = joblib.Parallel(n_jobs=2)(joblib.delayed(_granted)(i) for i in range(4))
    most = max(1, joblib.cpu_count() // 2)
    assert all(n is not None and 1 <= n <= most for n in found)


# ---- docstrings ------------------------------------------------------------------------------------------------------


def _entries(docstring: str, section: str) -> dict[str, str]:
    """Names in a section of a numpydoc docstring, each with what is said of it."""
    lines = inspect.cleandoc(docstring).splitlines()
    if section not in lines:
        return {}
    found: dict[str, str] = {}
    names: list[str] = []
    for line, below in itertools.pairwise([*lines[lines.index(section) + 2 :], ""]):
        if below.startswith("---") or (not line and not below):
            break
        if line and not line.startswith(" "):
            names = line.split(" : ")[0].split(", ")
            found |= dict.fromkeys(names, "")
        for name in names if line.startswith(" ") else ():
            found[name] += line.strip()
    return found


def _said(docstring: str | None, section: str, names: list[str]) -> bool:
    found = _entries(docstring or "", section)
    return list(found) == names and all(found.values())


@pytest.mark.parametrize("cls", CLASSES)
def test_docstrings_say_something_of_every_parameter_in_order(cls):
    assert _said(cls.__doc__, "Parameters", list(inspect.signature(cls).parameters))
    methods = [name for name in vars(cls) if not name.startswith(("_", "set_"))]  # set_fit_request is scikit-learn's
    assert {"fit", "partial_fit", "predict"} <= set(methods)
    for name in methods:
        function = inspect.unwrap(vars(cls)[name].fn if hasattr(vars(cls)[name], "fn") else vars(cls)[name])
        names = [parameter for parameter in inspect.signature(function).parameters if parameter != "self"]
        assert _said(function.__doc__, "Parameters", names), name
        assert all(_entries(function.__doc__, "Returns").values()) and _entries(function.__doc__, "Returns"), name
    missing = cls.__doc__.replace("Most calls of loss and gradient by \"lbfgs\".", "")
    assert not _said(missing, "Parameters", list(inspect.signature(cls).parameters))
    assert not _said(cls.__doc__.replace("max_fun", "max_fum"), "Parameters", list(inspect.signature(cls).parameters))


@pytest.mark.parametrize("cls", CLASSES)
@pytest.mark.parametrize(
    "parameters", [{}, {"early_stopping": True}, {"n_estimators": 2}, {"solver": "lbfgs"}], ids=str)
def test_docstrings_say_something_of_every_attribute(cls, parameters):
    x = np.random.default_rng(0).standard_normal((60, 3))
    fitted = cls(max_iter=2, **parameters).fit(x, x[:, 0] > 0)
    said = _entries(cls.__doc__, "Attributes")
    there = {name for name in vars(fitted) if name.endswith("_") and not name.startswith("_")}
    assert there <= said.keys() and all(said.values())
    if parameters.get("early_stopping"):
        assert said.keys() - there == {"estimators_", "feature_names_in_"}
