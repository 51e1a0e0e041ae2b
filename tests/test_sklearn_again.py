"""Estimators that are fitted again with other settings, and targets that strain their dtype."""

import numpy as np
import pytest

pytest.importorskip("sklearn")

from sklearn import neural_network

import fusednet as fn
from fusednet.sklearn import MLPClassifier, MLPRegressor

RNG = np.random.default_rng(3)
X = RNG.standard_normal((90, 4))
RATES = np.exp(X[:, 0])
CLASSES = (X[:, 0] > 0).astype(int)


@pytest.mark.parametrize(("before", "after"), [("squared_error", "poisson"), ("poisson", "huber")])
@pytest.mark.parametrize("normalize_y", [False, True])
def test_another_link_is_refused(before, after, normalize_y):
    """The network's outputs are logarithms with one loss, y itself with the other."""
    fitted = MLPRegressor(before, random_state=0, max_iter=5, warm_start=True, tol=0, normalize_y=normalize_y)
    with pytest.warns(match="hasn't converged"):
        fitted.fit(X, RATES)
    predicted = fitted.predict(X)
    fitted.set_params(loss=after)
    for again in (fitted.fit, fitted.partial_fit):
        with pytest.raises(ValueError, match=f"the loss is '{after}', whose outputs are .*warm_start=False"):
            again(X, RATES)
        assert np.array_equal(fitted.predict(X), predicted)
    with pytest.warns(match="hasn't converged"):
        fitted.set_params(warm_start=False).fit(X, RATES)
    assert fitted.out_activation_ == ("exp" if after == "poisson" else "identity")


@pytest.mark.parametrize(("dtype", "scale"), [(np.float16, 500.0), (np.float32, 1e20)])
def test_units_have_more_digits_than_y(dtype, scale):
    y = (X[:, 0] * scale + 2 * scale).astype(dtype)
    fitted = MLPRegressor(normalize_y=True, random_state=0, max_iter=300, learning_rate_init=0.01).fit(X, y)
    assert fitted.score(X, y.astype(np.float64)) > 0.9


def test_units_of_many_rows():
    y = np.random.default_rng(0).standard_normal((300_000, 2)).astype(np.float32) + 3000
    fitted = MLPRegressor(normalize_y=True)
    target = fitted._target(y, fitted.get_params(), True)
    assert np.allclose(fitted._units, [y.mean(axis=0, dtype=np.float64), y.std(axis=0, dtype=np.float64)], rtol=1e-12)
    assert np.allclose(target.mean(axis=0), 0, atol=1e-9)
    assert np.allclose(target.std(axis=0), 1, rtol=1e-9)


def test_scores_of_another_metric_are_not_compared():
    settings = {"warm_start": True, "early_stopping": True, "random_state": 0, "max_iter": 3}
    fitted = MLPClassifier(**settings)
    with pytest.warns(match="hasn't converged"):
        fitted.fit(X, CLASSES)
    before = fitted.coefs_[0].copy()
    fitted.set_params(validation_metric="loss", max_iter=60, n_iter_no_change=60)
    with pytest.warns(match="hasn't converged"):
        fitted.fit(X, CLASSES)
    assert fitted.best_validation_score_ == -min(fitted.validation_loss_curve_[3:])
    assert fitted.n_iter_ == 60
    assert not np.array_equal(before, fitted.coefs_[0])


def test_score_of_several_targets_wants_the_shape_of_predictions():
    y = np.c_[CLASSES, CLASSES + 5]
    with pytest.warns(match="hasn't converged"):
        fitted = MLPClassifier(random_state=0, max_iter=5).fit(X, y)
    for given, wanted in ((X[:1], y), (X, y[:, :1]), (X, y[:-1])):
        with pytest.raises(ValueError, match=r"y has shape .*wanted"):
            fitted.score(given, wanted)


@pytest.mark.parametrize("warm_start", [False, True])
def test_what_the_network_refuses_leaves_the_estimator_as_it_was(warm_start):
    fitted = MLPClassifier(random_state=0, max_iter=5, warm_start=warm_start)
    with pytest.warns(match="hasn't converged"):
        fitted.fit(X, CLASSES)
    before = dict(vars(fitted))
    predicted = fitted.predict_proba(X)
    fitted.set_params(callbacks=[fn.EarlyStopping("val_loss")])
    given = X if warm_start else X[:, :2]
    with pytest.raises(ValueError, match="there is no validation"):
        fitted.fit(given, CLASSES)
    assert np.array_equal(fitted.predict_proba(X), predicted)
    assert vars(fitted) == before | {"callbacks": fitted.callbacks}
    fresh = MLPClassifier(callbacks=[fn.EarlyStopping("val_loss")])
    with pytest.raises(ValueError, match="there is no validation"):
        fresh.fit(X, CLASSES)
    assert not hasattr(fresh, "coefs_")


def test_what_goes_wrong_within_a_training_keeps_what_was_learnt():
    class Crash(fn.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 2:
                raise KeyError("power")

    fitted = MLPClassifier(random_state=0, callbacks=[Crash()])
    with pytest.raises(KeyError, match="power"):
        fitted.fit(X, CLASSES)
    assert fitted.n_iter_ == 3
    assert fitted.loss_ == fitted.loss_curve_[-1]


def test_weights_of_rows_that_are_all_0_on_one_side():
    found = set()
    for seed in range(12):
        weight = np.zeros(len(X))
        weight[0] = 1
        fitted = MLPRegressor(random_state=seed, early_stopping=True, max_iter=1)
        with pytest.raises(ValueError, match=r"the weights of all rows to (train on|validate with) are 0") as error:
            fitted.fit(X, RATES, sample_weight=weight)
        found.add(str(error.value).split()[6])
        assert not hasattr(fitted, "coefs_")
    assert found == {"train", "validate"}


def test_a_training_without_time_has_the_loss_of_its_first_weights():
    fitted = MLPClassifier(random_state=0, max_time=0, alpha=0).fit(X, CLASSES)
    p = fitted.predict_proba(X)[np.arange(len(X)), CLASSES]
    assert fitted.n_iter_ == 0
    assert np.isclose(fitted.loss_, -np.log(p).mean(), rtol=1e-6)
    fitted.set_params(max_time=None).fit(X, CLASSES)
    before = fitted.loss_
    assert fitted.set_params(max_time=0).fit(X, CLASSES).loss_ > before


@pytest.mark.parametrize("pair", [(1, 2), (0, 2), (-1, 1)])
def test_columns_of_two_numbers_other_than_0_and_1_are_targets(pair):
    y = np.array(pair)[np.c_[CLASSES, (X[:, 1] > 0).astype(int)]]
    fitted = MLPClassifier(random_state=0, max_iter=400, learning_rate_init=0.01).fit(X, y)
    assert fitted.score(X, y) > 0.9
    assert all(np.array_equal(known, pair) for known in fitted.classes_)
    with pytest.raises(ValueError, match="several columns of several classes"):
        MLPClassifier().partial_fit(X, y, classes=pair)
    labels = MLPClassifier(random_state=0, max_iter=400, learning_rate_init=0.01).fit(X, (y == pair[1]).astype(int))
    assert np.array_equal(labels.classes_, [0, 1])


def test_a_preset_with_dropout_says_that_it_is_none_for_lbfgs():
    with pytest.raises(ValueError, match=r"the preset 'strong' has dropout.* not 'lbfgs'"):
        MLPClassifier(preset="strong", solver="lbfgs").fit(X, CLASSES)


# ---- losses that are shown -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dtype", "scale"), [(np.float32, 1e10), (np.float64, 1e20)])
@pytest.mark.filterwarnings("ignore::UserWarning")  # not converged
def test_a_loss_is_cut_however_large_the_logits(dtype, scale):
    """As where probabilities are clipped before the logarithm: with logits of 10^10, too."""
    far = (X * scale).astype(dtype)
    settings = {"hidden_layer_sizes": (8,), "max_iter": 3, "random_state": 0, "alpha": 0}
    ours = MLPClassifier(**settings).fit(far, CLASSES)
    theirs = neural_network.MLPClassifier(**settings).fit(far, CLASSES)
    assert np.allclose(ours.loss_curve_, theirs.loss_curve_, rtol=0.02)


@pytest.mark.parametrize("outputs", [1, 2, 5])
@pytest.mark.parametrize("loss", ["squared_error", "absolute_error"])
@pytest.mark.filterwarnings("ignore::UserWarning")  # not converged
def test_the_loss_of_validation_rows_is_on_the_scale_of_the_other(outputs, loss):
    y = X[:, :1] + np.arange(outputs)
    fitted = MLPRegressor(loss, max_iter=4, random_state=0, alpha=0, learning_rate_init=1e-12, tol=0)
    fitted.fit(X, y, X_val=X, y_val=y)
    assert np.allclose(fitted.validation_loss_curve_, fitted.loss_curve_, rtol=1e-6)


# ---- settings that change --------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::UserWarning")  # not converged
@pytest.mark.parametrize("how", ["fit", "partial_fit"])
def test_a_normalization_that_comes_later_learns(how):
    far = X * 5 + 100
    fitted = MLPClassifier((4,), max_iter=2, random_state=0, warm_start=True).fit(far, CLASSES)
    getattr(fitted.set_params(normalize=True), how)(far, CLASSES)
    (mean, scale) = fitted.model_.memory.normalization.values()
    assert np.allclose(mean, far.mean(axis=0))
    assert np.allclose(scale, 1 / far.std(axis=0), rtol=1e-3)


@pytest.mark.parametrize("activation", ["relu", "tanh", "identity", "logistic"])
@pytest.mark.filterwarnings("ignore::UserWarning")  # not converged
def test_first_weights_without_hidden_layers_are_scikit_learns(activation):
    settings = {"hidden_layer_sizes": (), "activation": activation, "max_iter": True, "learning_rate_init": 1e-12,
                "random_state": 0, "alpha": 0}
    ours = MLPClassifier(**settings).fit(X, CLASSES)
    theirs = neural_network.MLPClassifier(**settings).fit(X, CLASSES)
    assert np.allclose(ours.coefs_[0], theirs.coefs_[0])


@pytest.mark.filterwarnings("ignore::UserWarning")  # not converged
def test_adaptive_rates_end_with_the_words_of_scikit_learn(capsys):
    settings = {"solver": "sgd", "learning_rate": "adaptive", "learning_rate_init": 1e-5, "tol": 10.0, "verbose": True,
                "n_iter_no_change": 1, "random_state": 0}
    MLPClassifier((4,), **settings).fit(X, CLASSES)
    ours = capsys.readouterr().out.splitlines()
    neural_network.MLPClassifier((4,), **settings).fit(X, CLASSES)
    assert ours[-1] == capsys.readouterr().out.splitlines()[-1]
