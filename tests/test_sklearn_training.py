"""The estimators' training: the same numbers as scikit-learn's, bit for bit nearly, and what is beyond it.

a) scikit-learn is the reference: same seed, same first weights, same order of rows, so that losses and weights after
   many epochs have to agree to rounding in float64. The comparison is shown to fail where a parameter is a little off.
b) What scikit-learn has not is held against differences, against definitions, or against the same job done otherwise.
"""

import pickle
import threading
import time
import warnings

import numpy as np
import pytest

pytest.importorskip("sklearn")

from scipy import sparse
from sklearn import base as sklearn_base
from sklearn import neural_network as theirs
from sklearn.datasets import load_digits, make_classification, make_multilabel_classification, make_regression
from sklearn.exceptions import ConvergenceWarning, NotFittedError

import fusednet as fn
import fusednet.sklearn as ours
from fusednet import callbacks, pool
from fusednet.objective import Objective

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

TIGHT = 1e-11
"""Largest difference of losses and weights after some hundred steps in float64."""


def _digits(classes: int):
    x, y = load_digits(return_X_y=True)
    return x[:400] / 16, y[:400] if classes > 2 else y[:400] > 4


X_REG, Y_REG = make_regression(250, 10, noise=5, random_state=0)
Y_REG = Y_REG / 100
MANY = make_multilabel_classification(200, random_state=0)


def _pair(kind: str, x, y, fit=None, **parameters):
    made = [getattr(module, f"MLP{kind}")(**{"random_state": 3, "max_iter": 15} | parameters)
            for module in (theirs, ours)]
    return [estimator.fit(x, y, **fit or {}) for estimator in made]


def _difference(a, b) -> float:
    """Largest difference of losses and weights."""
    assert a.n_iter_ == b.n_iter_
    assert a.t_ == b.t_
    losses = np.abs(np.subtract(getattr(a, "loss_curve_", [a.loss_]), getattr(b, "loss_curve_", [b.loss_]))).max()
    weights = max(np.abs(p - q).max() for p, q in zip(a.coefs_ + a.intercepts_, b.coefs_ + b.intercepts_, strict=True))
    return max(losses, weights)


SETTINGS = [
    {}, {"solver": "sgd"}, {"solver": "sgd", "nesterovs_momentum": False}, {"solver": "sgd", "momentum": 0.0},
    {"solver": "sgd", "learning_rate": "invscaling", "learning_rate_init": 0.1},
    {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 0.2, "tol": 0.02, "n_iter_no_change": 2},
    {"activation": "tanh"}, {"activation": "logistic"}, {"activation": "identity"}, {"early_stopping": True},
    {"shuffle": False}, {"batch_size": 64, "alpha": 0.1}, {"hidden_layer_sizes": (20, 10)}, {"beta_1": 0.8},
    {"beta_2": 0.99}, {"epsilon": 1e-5},
]  # fmt: skip


@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize("parameters", SETTINGS, ids=str)
def test_classifier_trains_as_scikit_learns(parameters, classes):
    assert _difference(*_pair("Classifier", *_digits(classes), **parameters)) < TIGHT


@pytest.mark.parametrize("parameters", SETTINGS[::3], ids=str)
@pytest.mark.parametrize("outputs", [1, 3])
def test_regressor_trains_as_scikit_learns(parameters, outputs):
    y = Y_REG if outputs == 1 else np.stack([Y_REG, Y_REG**2, -Y_REG], axis=1)
    assert _difference(*_pair("Regressor", X_REG, y, **parameters)) < TIGHT


def test_several_labels_train_as_scikit_learns():
    a, b = _pair("Classifier", *MANY)
    assert _difference(a, b) < TIGHT
    assert np.array_equal(a.predict(MANY[0]), b.predict(MANY[0]))


@pytest.mark.parametrize(("kind", "classes"), [("Classifier", 10), ("Regressor", 0)])
def test_lbfgs_goes_the_same_way(kind, classes):
    x, y = _digits(classes) if classes else (X_REG, Y_REG)
    assert _difference(*_pair(kind, x, y, solver="lbfgs")) < 1e-6  # a line search amplifies rounding


@pytest.mark.parametrize("off", [{"alpha": 1.01e-4}, {"epsilon": 1.1e-8}, {"learning_rate_init": 0.0010001},
                                 {"random_state": 4}])  # fmt: skip
def test_comparison_fails_where_a_parameter_is_off(off):
    x, y = _digits(10)
    a, b = theirs.MLPClassifier(random_state=3, max_iter=15).fit(x, y), ours.MLPClassifier(
        **{"random_state": 3, "max_iter": 15} | off).fit(x, y)
    assert _difference(a, b) > 10 * TIGHT


def test_saturated_rows_count_in_the_loss_as_scikit_learns_do():
    x, y = _digits(10)
    a, b = _pair("Classifier", 1e4 * x, y)
    assert max(a.loss_curve_) > 30
    assert np.abs(np.subtract(a.loss_curve_, b.loss_curve_)).max() < 1e-6 * max(a.loss_curve_)


def test_equal_weights_change_nothing():
    plain, weighted = (ours.MLPRegressor(random_state=0, max_iter=10).fit(X_REG, Y_REG, w)
                       for w in (None, np.full(len(X_REG), 2.0)))
    # twice the weight is half the penalty
    same = ours.MLPRegressor(random_state=0, max_iter=10, alpha=2e-4).fit(X_REG, Y_REG, np.full(len(X_REG), 2.0))
    assert np.abs(plain.coefs_[0] - same.coefs_[0]).max() < TIGHT
    assert np.abs(plain.coefs_[0] - weighted.coefs_[0]).max() > TIGHT


def test_weights_without_penalty_train_as_scikit_learns():
    weight = np.random.default_rng(0).random(len(X_REG))
    made = [module.MLPRegressor(random_state=0, max_iter=10, alpha=0.0) for module in (theirs, ours)]
    try:
        made[0].fit(X_REG, Y_REG, sample_weight=weight)
    except TypeError:
        pytest.skip("this scikit-learn has no sample_weight")
    made[1].fit(X_REG, Y_REG, sample_weight=weight)
    assert np.abs(made[0].coefs_[0] - made[1].coefs_[0]).max() < TIGHT


# ---- the objective ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["squared_error", "poisson", "huber", "quantile"])
def test_objective_is_the_gradient_of_its_loss(loss):
    x, y = X_REG[:30], np.abs(Y_REG[:30])
    estimator = ours.MLPRegressor(loss, (7,), "tanh", solver="lbfgs", max_iter=1, alpha=0.3, random_state=0).fit(x, y)
    weight = np.linspace(0.5, 1.5, 30)
    objective = Objective(estimator.model_, x, y.reshape(-1, 1), weight)
    at = objective.weights
    _, gradient = objective(at)
    used = np.flatnonzero(np.any([at != 0, gradient != 0], axis=0))
    assert len(used) >= 10 * 7 + 7 + 7 + 1
    for i in used[::5]:
        step = np.zeros_like(at)
        step[i] = 1e-6
        numeric = (objective(at + step)[0] - objective(at - step)[0]) / 2e-6
        assert numeric == pytest.approx(gradient[i], abs=1e-7)


@pytest.mark.parametrize("parameters", [{"dropout": 0.1}, {"batch_norm": True}])
def test_lbfgs_refuses_what_is_not_a_fixed_function(parameters):
    with pytest.raises(ValueError, match="wanted layers whose output is a fixed function"):
        ours.MLPRegressor(solver="lbfgs", **parameters).fit(X_REG, Y_REG)


LONG = {"solver": "lbfgs", "max_iter": 10**6, "max_fun": 10**7, "tol": 0.0, "random_state": 0}


def test_lbfgs_tells_callbacks_and_stops_where_they_say():
    seen = []
    each = callbacks.LambdaCallback(
        on_train_begin=lambda logs: seen.append("train"), on_train_end=lambda logs: seen.append("end"),
        on_epoch_begin=lambda epoch, logs=None: seen.append(epoch),
        on_epoch_end=lambda epoch, logs: seen.append(logs["loss"]))
    few = ours.MLPRegressor(**LONG | {"max_iter": 4}, callbacks=[each]).fit(X_REG, Y_REG)
    assert seen[0] == "train" and seen[-1] == "end" and seen[1:-1:2] == [0, 1, 2, 3] and seen[-2] == few.loss_
    stop = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: setattr(each.model, "stop_training", epoch == 3))
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        stopped = ours.MLPRegressor(**LONG, callbacks=[each, stop]).fit(X_REG, Y_REG)
    assert stopped.n_iter_ == 4 and stopped.loss_ == few.loss_
    assert np.array_equal(stopped.coefs_[0], few.coefs_[0])
    best = callbacks.EarlyStopping("loss", patience=2, min_delta=1e9, restore_best_weights=True)
    early = ours.MLPRegressor(**LONG, callbacks=[best]).fit(X_REG, Y_REG)
    one = ours.MLPRegressor(**LONG | {"max_iter": 1}).fit(X_REG, Y_REG)
    assert early.n_iter_ == 3 and np.array_equal(early.coefs_[0], one.coefs_[0])


def test_lbfgs_ends_when_its_time_is_over():
    x = np.random.default_rng(0).standard_normal((300, 20))
    assert ours.MLPRegressor(**LONG, max_time=0.0).fit(x, x[:, 0] * x[:, 1]).n_iter_ == 1


def test_lbfgs_is_stopped_with_other_trainings():
    """Ctrl-C goes the same way as an error in another network."""
    begun, alive = threading.Event(), threading.active_count()

    class Broken(ours.MLPRegressor):
        def fit(self, X, y, **others):
            begun.wait(20)
            raise ValueError("broken")

    class Hold(callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            begun.set()
            end = time.monotonic() + 20
            while not self.model.stop_training and time.monotonic() < end:
                time.sleep(0.001)

    long = ours.MLPRegressor(**LONG, callbacks=[Hold()])
    x = np.random.default_rng(0).standard_normal((300, 20))
    with pytest.raises(ValueError, match="broken"):
        fn.fit_many([long, Broken()], x, x[:, 0] * x[:, 1], workers=2)
    assert begun.is_set() and threading.active_count() == alive
    assert long.n_iter_ == 1


# ---- what scikit-learn has not ---------------------------------------------------------------------------------------


def test_quantile_is_above_its_share_of_rows():
    rng = np.random.default_rng(0)
    x = rng.random((2000, 1))
    y = rng.standard_normal(2000)
    for q in (0.1, 0.9):
        estimator = ours.MLPRegressor("quantile", (8,), quantile=q, learning_rate_init=0.01, random_state=0).fit(x, y)
        assert np.mean(y < estimator.predict(x)) == pytest.approx(q, abs=0.03)


@pytest.mark.parametrize("loss", ["absolute_error", "huber"])
def test_robust_losses_do_not_follow_outliers(loss):
    x = np.linspace(-1, 1, 200).reshape(-1, 1)
    y = x[:, 0].copy()
    y[::20] += 50
    scores = [ours.MLPRegressor(name, (16,), learning_rate_init=0.01, random_state=0, max_iter=300).fit(x, y)
              .score(x, x[:, 0]) for name in (loss, "squared_error")]
    assert scores[0] > 0.9 > scores[1]


def test_several_targets_of_several_classes():
    x, y = make_classification(300, 10, n_informative=6, n_classes=3, random_state=0)
    names = np.array(["a", "b", "c"])[y]
    both = np.stack([names, np.where(x[:, 0] > 0, "up", "down")], axis=1)
    estimator = ours.MLPClassifier(learning_rate_init=0.01, random_state=0, early_stopping=True).fit(x, both)
    assert [list(known) for known in estimator.classes_] == [["a", "b", "c"], ["down", "up"]]
    assert estimator.score(x, both) > 0.8
    probabilities = estimator.predict_proba(x)
    assert [p.shape for p in probabilities] == [(300, 3), (300, 2)]
    assert all(np.allclose(p.sum(axis=1), 1) for p in probabilities)
    assert np.array_equal(estimator.predict(x)[:, 0], estimator.classes_[0][probabilities[0].argmax(axis=1)])


def test_class_weight_is_weight_of_rows():
    x, y = _digits(10)
    given = {digit: 1.0 + digit for digit in range(10)}
    a = ours.MLPClassifier(random_state=0, max_iter=5, class_weight=given).fit(x, y)
    b = ours.MLPClassifier(random_state=0, max_iter=5).fit(x, y, sample_weight=1.0 + y)
    assert np.array_equal(a.coefs_[0], b.coefs_[0])


def test_layers_are_as_the_parameters_say():
    x, y = _digits(10)
    estimator = ours.MLPClassifier((16, 8), ["gelu", "tanh"], dropout=[0.1, 0], batch_norm=[True, False],
                                   normalize=True, alpha=0, max_iter=1).fit(x, y)
    kinds = [type(layer).__name__ for layer in estimator.model_.layers]
    assert kinds == ["Normalization", "Dense", "BatchNormalization", "Activation", "Dropout", "Dense", "Dense"]
    assert isinstance(estimator.model_, fn.Sequential)


def test_optimizer_object_and_schedules():
    x, y = _digits(10)
    named = ours.MLPClassifier(optimizer=fn.AdamW(0.01), max_iter=5, random_state=0).fit(x, y)
    assert named.model_.optimizer.name == "adamw"
    cosine = ours.MLPClassifier(learning_rate="cosine", max_iter=5, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        cosine.fit(x, y)
    assert cosine.model_.learning_rate == pytest.approx(0, abs=1e-9)


def test_validation_rows_of_the_users_own():
    x, y = _digits(10)
    estimator = ours.MLPClassifier(max_iter=8, random_state=0).fit(x[:300], y[:300], X_val=x[300:], y_val=y[300:])
    assert len(estimator.validation_scores_) == len(estimator.validation_loss_curve_) == 8
    assert estimator.validation_scores_[-1] == pytest.approx(estimator.score(x[300:], y[300:]))
    p = estimator.predict_proba(x[300:])
    assert estimator.validation_loss_curve_[-1] == pytest.approx(-np.log(p[np.arange(100), y[300:]]).mean())


@pytest.mark.parametrize("metric", ["score", "loss"])
def test_early_stopping_takes_the_best_weights(metric):
    x, y = _digits(10)
    rows = {"X_val": x[300:], "y_val": y[300:]}
    estimator = ours.MLPClassifier(learning_rate_init=0.05, early_stopping=True, validation_metric=metric, max_iter=60,
                                   random_state=0).fit(x[:300], y[:300], **rows)
    if metric == "score":
        assert estimator.score(x[300:], y[300:]) == max(estimator.validation_scores_)
    else:
        p = estimator.predict_proba(x[300:])
        assert -np.log(p[np.arange(100), y[300:]]).mean() == pytest.approx(min(estimator.validation_loss_curve_))
        assert estimator.best_validation_score_ == -min(estimator.validation_loss_curve_)


def test_partial_fit_records_validation_rows():
    x, y = _digits(10)
    estimator = ours.MLPClassifier(early_stopping=True, random_state=0)
    for _ in range(3):
        estimator.partial_fit(x[:300], y[:300], classes=range(10), X_val=x[300:], y_val=y[300:])
    assert len(estimator.validation_scores_) == 3
    assert estimator.validation_scores_[-1] == estimator.score(x[300:], y[300:])


@pytest.mark.parametrize("learning_rate", ["constant", "invscaling", "adaptive"])
def test_partial_fit_counts_as_scikit_learns(learning_rate):
    x, y = _digits(10)
    options = {"solver": "sgd", "learning_rate": learning_rate, "random_state": 0}
    estimators = ours.MLPClassifier(**options), theirs.MLPClassifier(**options)
    for rows in (slice(0, 150), slice(150, 300), slice(300, 400)):
        for one in estimators:
            one.partial_fit(x[rows], y[rows], classes=range(10))
        a, b = estimators
        assert (a.n_iter_, a.t_, len(a.loss_curve_)) == (b.n_iter_, b.t_, len(b.loss_curve_)) and a.n_iter_ == 1
        assert a.loss_ == pytest.approx(b.loss_, rel=1e-11)


def test_warm_start_keeps_the_moments():
    x, y = _digits(10)
    estimator = ours.MLPClassifier(warm_start=True, max_iter=3, random_state=0).fit(x, y)
    steps, moment = estimator.model_.step, estimator.model_.memory.state["m"].copy()
    estimator.fit(x, y)
    assert estimator.model_.step == 2 * steps
    assert not np.array_equal(estimator.model_.memory.state["m"], moment)
    estimator.set_params(alpha=0.1).fit(x, y)  # another network, what was learnt goes over
    assert estimator.model_.step == 3 * steps


@pytest.mark.parametrize("order", [("float32", "float64"), ("float64", "float32")])
def test_partial_fit_goes_on_with_rows_of_another_dtype(order):
    """Where arrays lie in the vector of weights depends on the dtype."""
    x, y = _digits(10)
    estimator = ours.MLPClassifier(random_state=0)
    for dtype in order:
        estimator.partial_fit(x.astype(dtype), y, classes=range(10))
    assert estimator.coefs_[0].dtype == order[0]
    same = ours.MLPClassifier(random_state=0)
    for _ in order:
        same.partial_fit(x.astype(order[0]), y, classes=range(10))
    assert np.allclose(estimator.coefs_[0], same.coefs_[0], atol=1e-6)


def test_warm_start_in_another_dtype_keeps_what_was_learnt():
    x, y = _digits(10)
    estimator = ours.MLPClassifier((7,), warm_start=True, early_stopping=True, max_iter=40, tol=1.0, random_state=0)
    before = [w.copy() for w in estimator.fit(x, y).coefs_ + estimator.intercepts_]
    steps = estimator.model_.step
    estimator.set_params(dtype="float32", learning_rate_init=1e-30).fit(x, y)
    for w, kept in zip(estimator.coefs_ + estimator.intercepts_, before, strict=True):
        assert w.dtype == np.float32 and np.allclose(w, kept, atol=1e-6)
    assert estimator.model_.step > steps
    assert estimator.model_.memory.state["m"].dtype == np.float32


@pytest.mark.parametrize("wrong", [np.zeros((3, 3)), "words"])
def test_weights_that_do_not_fit_change_none(wrong):
    x, y = _digits(10)
    estimator = ours.MLPClassifier((7,), max_iter=2, random_state=0).fit(x, y)
    wanted, own = estimator.predict_proba(x), estimator.coefs_
    wrong = np.full_like(own[1], wrong, dtype=object) if isinstance(wrong, str) else wrong
    estimator.coefs_ = [own[0] * 0, wrong]
    with pytest.raises(ValueError, match=r"coefs_ has an array of shape|could not convert"):
        estimator.predict_proba(x)
    estimator.coefs_ = own
    assert np.array_equal(estimator.predict_proba(x), wanted)
    first = own[0].copy()
    estimator.coefs_ = [own[0][::-1], own[1]]  # a view of the network's own
    estimator.predict_proba(x)
    assert np.array_equal(estimator.coefs_[0], first[::-1])


def test_a_cosine_begins_anew_in_a_warm_start():
    x, y = _digits(10)
    rates = []
    each = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: rates.append(logs["learning_rate"]))
    estimator = ours.MLPClassifier(learning_rate="cosine", warm_start=True, max_iter=4, callbacks=[each],
                                   random_state=0)
    for _ in range(3):
        estimator.fit(x, y)
    assert rates[4:8] == pytest.approx(rates[:4]) and rates[8:] == pytest.approx(rates[:4])
    assert rates[0] > 0.5e-3 and estimator.model_.step == 3 * 4 * 2
    estimator.set_params(solver="sgd").fit(x, y)  # whose steps are counted from 0
    assert rates[12:] == pytest.approx(rates[:4])


EARLY, LATE, LBFGS = {"early_stopping": True}, {"early_stopping": False}, {"solver": "lbfgs"}


@pytest.mark.parametrize(("first", "then"), [(LATE, EARLY), (EARLY, LATE), (LBFGS, EARLY), (LBFGS, LATE)], ids=str)
@pytest.mark.parametrize("incremental", [False, True])
def test_going_on_with_other_settings(first, then, incremental):
    x, y = _digits(10)
    estimator = ours.MLPClassifier(warm_start=not incremental, max_iter=3, random_state=0, **first).fit(x, y)
    epochs = len(getattr(estimator, "loss_curve_", []))
    estimator.set_params(**{"solver": "adam"} | then)
    if incremental:
        rows = {"X_val": x, "y_val": y} if then is EARLY else {}
        estimator.partial_fit(x, y, **rows)
    else:
        estimator.fit(x, y)
    assert len(estimator.loss_curve_) == epochs + (1 if incremental else 3)
    if then is EARLY:
        assert estimator.best_loss_ is None and estimator.best_validation_score_ == max(estimator.validation_scores_)
    else:
        assert estimator.best_validation_score_ is None and estimator.best_loss_ in estimator.loss_curve_[epochs:]


def test_lbfgs_leaves_no_curves_of_a_training_before():
    x, y = _digits(10)
    for networks in (1, 2):
        estimator = ours.MLPClassifier(max_iter=2, random_state=0, n_estimators=networks).fit(x, y)
        estimator.set_params(solver="lbfgs").fit(x, y)
        assert not hasattr(estimator, "loss_curve_") and not hasattr(estimator, "best_loss_")


@pytest.mark.parametrize("incremental", [False, True])
def test_going_on_with_one_of_several_networks(incremental):
    x, y = _digits(10)
    estimator = ours.MLPClassifier(n_estimators=3, max_iter=3, random_state=0).fit(x, y)
    estimator.set_params(n_estimators=1, warm_start=not incremental)
    (estimator.partial_fit if incremental else estimator.fit)(x, y)
    assert not hasattr(estimator, "estimators_")
    assert np.array_equal(estimator.predict_proba(x), estimator.model_.predict(x))


def test_another_optimizer_begins_with_its_first_step():
    """Else Adam would not correct its moments, which are 0 then."""
    x, y = _digits(10)
    estimator = ours.MLPClassifier(solver="sgd", warm_start=True, max_iter=20, random_state=0).fit(x, y)
    estimator.set_params(solver="adam", max_iter=1).fit(x, y)
    assert estimator.model_.step == 2


def test_batch_norm_that_is_put_in_begins_as_if_new():
    x, y = _digits(10)
    estimator = ours.MLPClassifier((7,), warm_start=True, early_stopping=True, max_iter=2, random_state=0).fit(x, y)
    estimator.set_params(batch_norm=True, learning_rate_init=1e-30).fit(x, y)
    assert np.allclose(estimator.model_.memory.parameters["batch_normalization/gamma"], 1)


def test_warm_start_of_other_layers_is_refused():
    x, y = _digits(10)
    estimator = ours.MLPClassifier((8,), warm_start=True, max_iter=1).fit(x, y)
    with pytest.raises(ValueError, match=r"layers of \[64, 8, 10\] units; wanted the same, not \[64, 9, 10\]"):
        estimator.set_params(hidden_layer_sizes=(9,)).fit(x, y)


@pytest.mark.parametrize("networks", [1, 2])
def test_wrong_layers_leave_what_was_learnt(networks):
    x, y = _digits(10)
    estimator = ours.MLPClassifier((8,), n_estimators=networks, max_iter=2, random_state=0).fit(x, y)
    before = estimator.predict_proba(x)
    for wrong in ({"dropout": [0.1, 0.2]}, {"activation": ["relu", "tanh"]}):
        again = sklearn_base.clone(estimator).set_params(**wrong)
        with pytest.raises(ValueError, match="has 2 entries, hidden_layer_sizes has 1") as caught:
            again.fit(x, y)
        assert not hasattr(again, "coefs_") and not hasattr(caught.value, "__notes__")  # not a member's fault
        with pytest.raises(ValueError, match="has 2 entries"):
            estimator.set_params(**wrong).fit(x, y)
        estimator.set_params(**{name: getattr(ours.MLPClassifier(), name) for name in wrong})
        assert np.array_equal(estimator.predict_proba(x), before)


def test_members_are_averaged():
    x, y = _digits(10)
    estimator = ours.MLPClassifier(n_estimators=3, max_iter=4, random_state=0).fit(x, y)
    assert len(estimator.estimators_) == 3
    mean = np.mean([member.predict_proba(x) for member in estimator.estimators_], axis=0)
    assert np.array_equal(estimator.predict_proba(x), mean)
    again = ours.MLPClassifier(n_estimators=3, max_iter=4, random_state=0).fit(x, y)
    assert np.array_equal(again.predict_proba(x), mean)


def test_float16_rows_whose_sum_overflows_are_predicted_without_a_warning():
    x, y = _digits(10)
    estimator = ours.MLPClassifier(max_iter=2, random_state=0).fit(x, y)
    large = (1000 * x[:20]).astype(np.float16)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.array_equal(estimator.predict(large), estimator.predict(large.astype(float)))


def test_arrays_put_in_the_place_of_weights():
    x, y = _digits(10)
    for again in (lambda one: one, lambda one: pickle.loads(pickle.dumps(one))):
        estimator = again(ours.MLPClassifier(n_estimators=2, max_iter=2, random_state=0).fit(x, y))
        estimator.estimators_[1].coefs_ = [np.zeros_like(w) for w in estimator.estimators_[1].coefs_]
        estimator.coefs_ = [np.ones_like(w) for w in estimator.coefs_]
        probabilities = estimator.predict_proba(x)
        assert not estimator.estimators_[1].model_.memory.parameters["dense/kernel"].any()
        assert (estimator.model_.memory.parameters["dense/kernel"] == 1).all()
        assert np.array_equal(estimator.predict_proba(x), probabilities)
    estimator = ours.MLPClassifier(max_iter=2, random_state=0).fit(x, y)
    estimator.coefs_ = estimator.coefs_[:1]
    with pytest.raises(ValueError, match="coefs_ has 1 arrays; wanted 2, one for each layer"):
        estimator.predict(x)


def test_what_is_averaged_are_rates_and_probabilities_of_each_target():
    counts = np.round(np.abs(3 * Y_REG))
    rates = ours.MLPRegressor("poisson", n_estimators=3, max_iter=3, random_state=0).fit(X_REG, counts)
    mean = np.mean([member.predict(X_REG) for member in rates.estimators_], axis=0)
    assert np.allclose(rates.predict(X_REG), mean, rtol=1e-12)
    x, y = _digits(10)
    several = ours.MLPClassifier(n_estimators=3, max_iter=3, random_state=0).fit(x, np.stack([y, y % 3], axis=1))
    members = [member.predict_proba(x) for member in several.estimators_]
    for i, block in enumerate(several.predict_proba(x)):
        assert np.allclose(block, np.mean([one[i] for one in members], axis=0), rtol=1e-12)
        assert np.array_equal(several.predict(x)[:, i], several.classes_[i][block.argmax(axis=1)])


@pytest.mark.parametrize("early", [False, True])
def test_members_are_the_same_bits_for_any_number_of_threads(early, monkeypatch):
    """Side by side, and one after the other where their steps are large."""
    x, y = _digits(10)
    weight = np.linspace(0.5, 1.5, len(x))
    found = []
    for threads, large in ((1, pool.LARGE_STEP), (2, pool.LARGE_STEP), (4, 1)):
        monkeypatch.setattr(pool, "LARGE_STEP", large)
        with fn.threads.limit(threads):
            estimator = ours.MLPClassifier((24,), n_estimators=3, max_iter=4, early_stopping=early, random_state=0)
            estimator.fit(x, y, weight)
        found.append([member.model_.memory.params.tobytes() for member in estimator.estimators_])
    assert found[1] == found[0] and found[2] == found[0]
    assert len(set(found[0])) == 3
    alone = ours.MLPClassifier(**estimator.estimators_[1].get_params()).fit(x, y, weight)
    assert alone.model_.memory.params.tobytes() == found[0][1]


def test_members_share_the_rows(monkeypatch):
    pandas = pytest.importorskip("pandas")
    x, y = _digits(10)
    given, fit = [], ours.MLPClassifier._fit

    def seen(self, X, *rest, **named):
        if self.n_estimators == 1:
            given.append((X, rest[2][0]))
        return fit(self, X, *rest, **named)

    monkeypatch.setattr(ours.MLPClassifier, "_fit", seen)
    columns = [f"c{i}" for i in range(x.shape[1])]
    frames = [pandas.DataFrame(part, columns=columns) for part in (x[100:], x[:100])]
    estimator = ours.MLPClassifier(n_estimators=3, max_iter=2, random_state=0)
    estimator.fit(frames[0], y[100:], X_val=frames[1], y_val=y[:100])
    assert len(given) == 3
    for X, X_val in given:
        assert X is given[0][0] and type(X) is np.ndarray and X_val is given[0][1] and type(X_val) is np.ndarray
    assert list(estimator.feature_names_in_) == columns
    assert all(len(member.validation_scores_) == 2 for member in estimator.estimators_)


def test_members_share_the_time():
    x, y = _digits(10)
    listener = callbacks.LambdaCallback()  # so that they are trained one after the other
    several = ours.MLPClassifier(n_estimators=4, max_iter=1, max_time=80.0, callbacks=[listener]).fit(x, y)
    assert [member.max_time for member in several.estimators_] == [20.0] * 4 and several.max_time == 80.0


def test_members_see_callbacks_one_after_the_other():
    x, y = _digits(10)
    seen = []
    each = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    estimator = ours.MLPClassifier(max_iter=2, n_estimators=3, callbacks=[each]).fit(x, y)
    assert seen == [0, 1] * 3
    assert [member.callbacks for member in estimator.estimators_] == [[each]] * 3


@pytest.mark.parametrize("incremental", [False, True])
def test_a_loss_that_is_not_finite_is_an_error_with_validation_rows_too(incremental):
    estimator = ours.MLPRegressor(solver="sgd", early_stopping=incremental, learning_rate_init=1e30, batch_size=10)
    fit = estimator.partial_fit if incremental else estimator.fit
    with pytest.warns(fn.TrainingWarning), pytest.raises(ValueError, match="non-finite"):
        fit(X_REG, Y_REG, X_val=X_REG, y_val=Y_REG)


def test_a_member_that_fails_ends_the_training():
    with pytest.raises(ValueError, match="non-finite") as caught:
        ours.MLPRegressor(n_estimators=3, solver="sgd", learning_rate_init=1e30, max_iter=20).fit(X_REG, Y_REG)
    assert "while training network" in caught.value.__notes__[0]


def test_normalised_targets_come_back():
    y = 1e5 * Y_REG + 3e5
    estimator = ours.MLPRegressor(normalize=True, normalize_y=True, learning_rate_init=0.01, random_state=0)
    assert estimator.fit(X_REG, y).score(X_REG, y) > 0.95
    for changed in ({"normalize_y": False}, {"preset": "strong"}):  # of the next fit, not of this
        assert estimator.set_params(**changed).score(X_REG, y) > 0.95
    strong = ours.MLPRegressor(preset="strong", n_estimators=2, max_iter=30, random_state=0).fit(X_REG, y)
    score = strong.score(X_REG, y)
    assert score > 0.5 and strong.set_params(preset=None).score(X_REG, y) == score
    estimator.set_params(preset=None, warm_start=True).fit(X_REG, y)
    assert estimator.score(X_REG, y) > 0.95


def test_preset_stands_back_where_a_parameter_is_given():
    x, y = _digits(10)
    estimator = ours.MLPClassifier(preset="strong", n_estimators=2, max_iter=3, random_state=0).fit(x, y)
    assert len(estimator.estimators_) == 2
    assert estimator.n_iter_ == 3
    assert isinstance(estimator.model_.layers[0], fn.Normalization)
    assert estimator.get_params()["hidden_layer_sizes"] == (100,)


def test_callbacks_that_cannot_do_for_an_estimator_what_they_do_for_a_network_are_refused(tmp_path):
    logs = callbacks.CSVLogger(tmp_path / "log.csv")
    checkpoint = callbacks.ModelCheckpoint(tmp_path / "best.safetensors")
    backup = callbacks.BackupAndRestore(tmp_path / "kept")
    for given, networks in ((backup, 1), ([logs, backup], 1), ([backup], 2)):
        model = ours.MLPRegressor(hidden_layer_sizes=(4,), max_iter=3, n_estimators=networks, callbacks=given)
        with pytest.raises(ValueError, match=r"BackupAndRestore puts back a network, but not .*; wanted"):
            model.fit(X_REG, Y_REG)
        assert not hasattr(model, "coefs_")
    for given in (logs, checkpoint):
        with pytest.raises(ValueError, match=r"writes '.*', and each of n_estimators=3 .*; wanted n_estimators=1"):
            ours.MLPRegressor(hidden_layer_sizes=(4,), max_iter=3, n_estimators=3, callbacks=[given]).fit(X_REG, Y_REG)
    assert not list(tmp_path.iterdir())
    ours.MLPRegressor(hidden_layer_sizes=(4,), max_iter=3, callbacks=[logs]).fit(X_REG, Y_REG)
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 4


def test_callbacks_and_time():
    x, y = _digits(10)
    seen = []
    each = callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: seen.append(epoch))
    ours.MLPClassifier(max_iter=4, callbacks=[each]).fit(x, y)
    assert seen == [0, 1, 2, 3]
    assert ours.MLPClassifier(max_iter=10**6, tol=0, n_iter_no_change=10**6, max_time=0.05).fit(x, y).n_iter_ < 10**6


@pytest.mark.parametrize(("parameters", "match"), [
    ({"dropout": [0.1, 0.2]}, "dropout has 2 entries, hidden_layer_sizes has 1"),
    ({"activation": ["relu"] * 3}, "activation has 3 entries"),
    ({"n_estimators": 2, "warm_start": True}, "n_estimators is 2; wanted 1 with warm_start"),
    ({"preset": "strong", "warm_start": True}, "the preset 'strong' trains 5 networks, .* wanted no preset with warm"),
    ({"activation": "rleu"}, "The 'activation' parameter"),
    ({"loss": "poisson"}, "values below 0"),
])  # fmt: skip
def test_wrong_parameters_are_told_of(parameters, match):
    with pytest.raises(ValueError, match=match):
        ours.MLPRegressor(**parameters).fit(X_REG, Y_REG)


def test_wrong_validation_rows_are_told_of():
    x, y = _digits(10)
    with pytest.raises(ValueError, match="y_val is None"):
        ours.MLPClassifier().fit(x, y, X_val=x)
    with pytest.raises(ValueError, match="63 features"):
        ours.MLPClassifier().fit(x, y, X_val=x[:, :63], y_val=y)
    with pytest.raises(ValueError, match=r"^`y_val` has classes not in"):
        ours.MLPClassifier().fit(x[y < 5], y[y < 5], X_val=x, y_val=y)
    with pytest.raises(ValueError, match=r"^`y_val` has classes not in"):
        ours.MLPClassifier().fit(x, np.stack([y, y], axis=1), X_val=x, y_val=np.stack([y, y + 1], axis=1))
    with pytest.raises(ValueError, match=r"^y_val has 2 columns; wanted 1, as y has"):
        ours.MLPRegressor().fit(x, y, X_val=x, y_val=np.stack([y, y], axis=1))
    with pytest.raises(ValueError, match=r"^y_val has values below 0"):
        ours.MLPRegressor("poisson").fit(x, y, X_val=x, y_val=-y)
    with pytest.raises(ValueError, match="'lbfgs' looks at no validation data"):
        ours.MLPClassifier(solver="lbfgs").fit(x, y, X_val=x, y_val=y)


BAD_FITS = [
    ({"dropout": [0.1, 0.2]}, {}, ValueError, "dropout has 2 entries"),
    ({"batch_norm": ["no"]}, {}, TypeError, r"batch_norm is \['no'\]; wanted True or False for each"),
    ({"activation": ["rleu"]}, {}, ValueError, "^hidden layers: activation is 'rleu'; known: "),
    ({"hidden_layer_sizes": (10.5,)}, {}, TypeError, r"hidden_layer_sizes is \(10.5,\); wanted whole numbers"),
    ({"hidden_layer_sizes": ("a",)}, {}, TypeError, r"hidden_layer_sizes is \('a',\); wanted whole numbers"),
    ({"callbacks": [callbacks.History(), 3]}, {}, TypeError, r"^callbacks\[1\] is 3; wanted a Callback"),
    ({"solver": "lbfgs", "dropout": 0.1}, {}, ValueError, "wanted layers whose output is a fixed function"),
    ({}, {"sample_weight": np.ones(3)}, ValueError, "sample_weight.shape == "),
    ({}, {"sample_weight": np.linspace(1, -1, 400)}, ValueError, r"^sample_weight has -0.0\d+ in row 200; wanted 0"),
    ({"class_weight": dict.fromkeys(range(5, 10), 0)}, {}, ValueError, "the weights of all rows are 0"),
    ({}, {"sample_weight_val": np.ones(3)}, ValueError, "sample_weight_val is given, but no X_val and y_val"),
    ({}, {"X_val": np.ones((2, 64)), "y_val": [5, 6], "sample_weight_val": [1, -1]}, ValueError, "has -1 in row 1"),
    ({"n_estimators": 2}, {"sample_weight": np.ones(3)}, ValueError, "sample_weight.shape == "),
]  # fmt: skip


@pytest.mark.parametrize(("parameters", "fit", "kind", "match"), BAD_FITS, ids=[str(bad[3]) for bad in BAD_FITS])
@pytest.mark.parametrize("fitted", [True, False])
def test_an_error_in_what_is_given_changes_nothing(parameters, fit, kind, match, fitted):
    x, y = _digits(10)
    estimator = ours.MLPClassifier(max_iter=2, random_state=0)
    probabilities = estimator.fit(x, y).predict_proba(x) if fitted else None
    known = dict(vars(estimator))
    with pytest.raises(kind, match=match):
        estimator.set_params(**parameters).fit(x, y % 5 + 5, **fit)  # other classes
    estimator.set_params(**{name: known[name] for name in parameters})
    assert vars(estimator) == known
    if fitted:
        assert np.array_equal(estimator.predict_proba(x), probabilities)
        assert estimator.predict(x).max() > 5 and list(estimator.classes_) == list(range(10))
    else:
        with pytest.raises(NotFittedError):
            estimator.predict(x)


def test_a_first_partial_fit_that_fails_leaves_no_classes():
    x, y = _digits(10)
    estimator = ours.MLPClassifier(max_iter=2, random_state=0)
    with pytest.raises(ValueError, match="classes not in"):
        estimator.partial_fit(x, y, classes=range(5))
    assert estimator.partial_fit(x, y, classes=range(10)).predict(x).shape == (400,)


def test_partial_fit_does_not_begin_with_several_targets():
    x, y = _digits(10)
    with pytest.raises(ValueError, match="partial_fit: y has several columns of several classes"):
        ours.MLPClassifier().partial_fit(x, np.stack([y, y % 3], axis=1), classes=range(10))


def test_validation_rows_need_not_have_all_classes():
    x, y = _digits(10)
    few = y[300:] < 4
    estimator = ours.MLPClassifier(warm_start=True, max_iter=2, random_state=0)
    for _ in range(2):
        estimator.fit(x[:300], y[:300], X_val=x[300:][few], y_val=y[300:][few])
    assert len(estimator.validation_scores_) == 4


@pytest.mark.parametrize(("y", "y_val", "match"), [
    (Y_REG > 0, np.stack([Y_REG > 0, Y_REG < 0], axis=1), r"y_val has shape \(250, 2\); wanted \(n,\), as y has"),
    (np.stack([Y_REG > 0, Y_REG < 0], axis=1), Y_REG > 0, r"y_val has shape \(250,\); wanted \(n, 2\), as y has"),
    (np.stack([Y_REG > 0, Y_REG < 0], axis=1).astype(int) * [1, 2] + 1, Y_REG > 0, r"wanted \(n, 2\), as y has"),
])  # fmt: skip
def test_validation_rows_of_another_shape_are_told_of(y, y_val, match):
    for networks in (1, 2):
        with pytest.raises(ValueError, match=match):
            ours.MLPClassifier(n_estimators=networks).fit(X_REG, y, X_val=X_REG, y_val=y_val)


@pytest.mark.parametrize("kind", ["csr_matrix", "csr_array", "csc_matrix"])
def test_sparse_labels_are_learnt_and_given_back_as_by_scikit_learn(kind):
    x, y = MANY
    labels = getattr(sparse, kind)(y)
    a, b = _pair("Classifier", x, labels)
    assert _difference(a, b) < TIGHT
    assert type(b.predict(x)) is type(a.predict(x)) and (b.predict(x) != a.predict(x)).nnz == 0
    assert b.score(x, labels) == a.score(x, labels) == b.score(x, y)
    several = ours.MLPClassifier(n_estimators=2, max_iter=2).fit(x, labels, X_val=x, y_val=labels)
    assert sparse.issparse(several.predict(x))
    begun = ours.MLPClassifier().partial_fit(x, labels, classes=range(5)).partial_fit(x, labels)
    assert sparse.issparse(begun.predict(x))
    assert not sparse.issparse(b.fit(x, y).predict(x))


def test_class_weight_where_rows_of_a_call_lack_classes():
    x, y = _digits(10)
    estimator = ours.MLPClassifier(class_weight={0: 2.0, 7: 3.0}, random_state=0)
    same = ours.MLPClassifier(random_state=0)
    for some in (y < 5, y > 5):
        weight = np.where(y == 0, 2.0, np.where(y == 7, 3.0, 1.0))
        estimator.partial_fit(x[some], y[some], classes=range(10))
        same.partial_fit(x[some], y[some], weight[some], classes=range(10))
    assert np.array_equal(estimator.coefs_[0], same.coefs_[0])
    with pytest.raises(ValueError, match=r"class_weight names 11, which is none of the classes \(0, 1, 2"):
        ours.MLPClassifier(class_weight={11: 2.0}).fit(x, y)
    with pytest.raises(ValueError, match=r"class_weight\[3\] is -1"):
        ours.MLPClassifier(class_weight={3: -1}).fit(x, y)
