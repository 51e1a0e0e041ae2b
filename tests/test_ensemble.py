"""`Ensemble`: members differ, their mean is what it says, one file holds all."""

import numpy as np
import pytest

import fusednet as fn
from fusednet.ensemble import Ensemble

RNG = np.random.default_rng(1)
X = RNG.standard_normal((90, 5)).astype(np.float32)
NAMES = np.array(["ash", "elm", "oak"])
Y = NAMES[(X[:, 0] > 0.3).astype(int) + (X[:, 1] > 0)]


def classifier(head=None):
    model = fn.Sequential([fn.Normalization(), fn.Dense(8, activation="relu"), fn.Dense(3, head)], seed=0)
    model.compile(fn.Adam(1e-2), "sparse_categorical_crossentropy", ["accuracy"])
    return model


def binary():
    model = fn.Sequential([fn.Dense(8, activation="tanh"), fn.Dense(1)], seed=0)
    model.compile(fn.Adam(1e-2), "binary_crossentropy")
    return model


def regressor():
    model = fn.Sequential([fn.Dense(8, activation="tanh"), fn.Dense(2)], seed=0)
    model.compile(fn.Adam(1e-2), "mse")
    return model


def softmax(z):
    e = np.exp(z.astype(np.float64) - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def test_probabilities_are_averaged_and_not_logits():
    plain, logits = Ensemble(classifier("softmax"), 3), Ensemble(classifier(), 3)
    plain.fit(X, Y, epochs=4)
    logits.fit(X, Y, epochs=4)
    mean = np.mean([model.predict(X) for model in plain.members], axis=0)
    assert np.allclose(plain.predict(X), mean, rtol=1e-6)
    mean = np.mean([softmax(model.predict(X)) for model in logits.members], axis=0)
    assert np.allclose(softmax(logits.predict(X)), mean, rtol=1e-5)
    of_logits = softmax(np.mean([model.predict(X) for model in logits.members], axis=0))
    assert not np.allclose(softmax(logits.predict(X)), of_logits, rtol=1e-3)  # the mean of logits is another
    assert np.array_equal(plain.predict_classes(X), NAMES[plain.predict(X).argmax(axis=1)])
    assert (plain.predict_classes(X) == Y).mean() > 0.5


def test_sure_members_keep_their_logits():
    """A probability near 1 has no digits left for what is missing to it."""
    z = np.float32([[-100], [-45], [-30], [0.5], [30], [36], [40], [100]])
    members = []
    for slope in (1.0, 1.25):
        model = fn.Sequential([fn.Dense(1)], seed=0)
        model.compile("sgd", "binary_crossentropy")
        model.build(1)
        model.set_weights([np.float32([[slope]]), np.zeros(1, np.float32)])
        members.append(model)
    assert np.allclose(Ensemble.of(members[:1]).predict(z), z, rtol=1e-6, atol=0)
    both = Ensemble.of(members).predict(z)
    assert np.allclose(both, -Ensemble.of(members).predict(-z), rtol=1e-6, atol=0)
    far = z[:, 0] >= 30  # there 1 - p is e^-z: log 2 - log(e^-z + e^-1.25z)
    wide = z[far].astype(np.float64)
    assert np.allclose(both[far], np.log(2) + wide - np.log1p(np.exp(-0.25 * wide)), rtol=1e-6, atol=0)
    several = fn.Sequential([fn.Dense(3)], seed=0)
    several.compile("sgd", "sparse_categorical_crossentropy")
    several.build(1)
    several.set_weights([np.float32([[0, 1, 2]]), np.zeros(3, np.float32)])
    logits = Ensemble.of([several]).predict(np.float32([[500]]))
    assert np.allclose(logits - logits.max(), [[-1000, -500, 0]], rtol=1e-6)


def test_binary_and_numbers():
    ensemble = Ensemble(binary, 3, seed=4)
    labels = Y == "ash"
    ensemble.fit(X, labels, epochs=4)
    mean = np.mean([1 / (1 + np.exp(-model.predict(X).astype(np.float64))) for model in ensemble.members], axis=0)
    assert np.allclose(1 / (1 + np.exp(-ensemble.predict(X).astype(np.float64))), mean, rtol=1e-5)
    assert np.array_equal(ensemble.predict_classes(X), mean[:, 0] > 0.5)
    ensemble = Ensemble(regressor, 2)
    ensemble.fit(X, X[:, :2], epochs=4)
    assert np.allclose(ensemble.predict(X), np.mean([model.predict(X) for model in ensemble.members], axis=0))


def test_members_differ_by_seed_and_are_the_same_again():
    first, again, other = (Ensemble(classifier, 3, seed=seed) for seed in (1, 1, 2))
    for ensemble, workers in ((first, 1), (again, 3), (other, None)):
        ensemble.fit(X, Y, epochs=2, workers=workers)
    bits = [[model.memory.params.tobytes() for model in one.members] for one in (first, again, other)]
    assert bits[0] == bits[1] and len(set(bits[0] + bits[2])) == 6


def test_bootstrap_trains_on_drawn_rows_and_validates_on_the_others():
    rows = {}

    class Look(fn.Callback):
        def on_train_begin(self, logs=None):
            rows[self.model.seed] = self.model.training._rows._source.chosen

    ensemble = Ensemble(classifier(), 2, bootstrap=True, seed=3)
    fitted = ensemble.fit(X, Y, epochs=3, callbacks=lambda: [Look()])
    drawn = []
    for one in fitted:
        held, chosen = one.model.validation_indices_, rows[one.model.seed]
        assert len(chosen) == len(X) and len(np.unique(chosen)) + len(held) == len(X)
        assert 0.2 < len(held) / len(X) < 0.5 and not np.isin(held, chosen).any()
        drawn.append(held)
        assert one.scores["val_loss"] == pytest.approx(one.model.evaluate(X[held], Y[held])[0], rel=1e-5)
        assert one.history.params["steps"] == 3  # of 32 of 90 rows: as many are drawn as there are
    assert not np.array_equal(*drawn)
    rare = np.array(["ash"] * 89 + ["oak"])
    for seed in range(8):  # a class of one row is drawn by every member
        for one in Ensemble(classifier, 1, bootstrap=True, seed=seed).fit(X, rare):
            assert 89 not in one.model.validation_indices_
    several = np.array(["ash"] * 4 + ["elm", "fir", "oak", "yew"])
    rows = fn.Sequential([fn.Dense(5)])
    rows.compile("adam", "sparse_categorical_crossentropy")
    for seed in range(40):  # the row of one class does not take the place of another's only row
        for one in Ensemble(rows, 1, bootstrap=True, seed=seed).fit(X[:8], several):
            assert one.model.validation_indices_ is None or max(one.model.validation_indices_) < 4


def test_one_file_holds_all(tmp_path):
    path = tmp_path / "ensemble.safetensors"
    ensemble = Ensemble(classifier, 3)
    ensemble.fit(X, Y, epochs=2)
    ensemble.save(path)
    loaded = Ensemble.load(path)
    assert len(loaded) == 3 and np.array_equal(loaded.predict(X), ensemble.predict(X))
    assert np.array_equal(loaded.predict_classes(X), ensemble.predict_classes(X))
    with pytest.raises(ValueError, match=r"holds an ensemble.*Ensemble.load"):
        fn.load(path)
    ensemble.members[0].save(path)
    with pytest.raises(ValueError, match="holds one model"):
        Ensemble.load(path)


def test_an_ensemble_of_trained_models():
    models = [classifier(), classifier()]
    for model in models:
        model.fit(X, Y)
    assert np.allclose(softmax(Ensemble.of(models).predict(X)), softmax(models[0].predict(X)), rtol=1e-4)
    narrow = classifier()
    narrow.fit(X[:, :4], Y)
    with pytest.raises(ValueError, match="features of model 1 is 4, of model 0 5"):
        Ensemble.of([models[0], narrow])
    with pytest.raises(ValueError, match="model 1 has no weights"):
        Ensemble.of([models[0], classifier()])
    with pytest.raises(ValueError, match="at least one"):
        Ensemble.of([])


@pytest.mark.parametrize(("make", "error", "message"), [
    (lambda: Ensemble(3), TypeError, "member is int"),
    (lambda: Ensemble(classifier, 0), ValueError, "n is 0"),
    (lambda: Ensemble(classifier).predict(X), ValueError, "no members yet"),
    (lambda: Ensemble(classifier).save("x"), ValueError, "no members yet"),
    (lambda: Ensemble(classifier, bootstrap=True).fit(X, Y, validation_split=0.1), ValueError, "wanted one of the two"),
    (lambda: Ensemble(classifier).fit(X, Y[:-1]), ValueError, "90 rows"),
    (lambda: Ensemble(classifier).fit(X, Y, epoch=3), TypeError, "did you mean 'epochs'"),
])  # fmt: skip
def test_what_is_wrong_is_said(make, error, message):
    with pytest.raises(error) as caught:
        make()
    assert message in str(caught.value)


def test_rows_that_were_not_drawn_may_all_weigh_nothing():
    """They are then no validation rows."""
    weight = np.zeros(len(X))
    weight[:3] = 1
    ensemble = Ensemble(regressor, 12, bootstrap=True)
    ensemble.fit(X, X[:, :2], epochs=1, sample_weight=weight)
    validated = ["val_loss" in one.history.history for one in ensemble.fitted]
    assert any(validated)
    assert not all(validated)


def test_a_bootstrap_draws_a_row_that_counts():
    """Of 90 rows 2 count: every ninth draw has neither."""
    weight = np.zeros(90)
    weight[[7, 70]] = 1
    for y, made in ((Y, classifier), (X[:, :2], regressor)):
        ensemble = Ensemble(made(), 30, bootstrap=True, seed=1)
        ensemble.fit(X, y, epochs=1, sample_weight=weight)
        drawn = [np.random.default_rng([1, i]).integers(0, 90, 90) for i in range(30)]
        assert any(not weight[rows].any() for rows in drawn)  # so this was needed
        for i in range(30):
            rows, _ = ensemble._drawn(i, ensemble.members[0].prepare(X, y, sample_weight=weight), False)
            assert len(rows) == 90 and weight[rows].any()
            assert y is not Y or set(Y[rows]) == set(NAMES)
