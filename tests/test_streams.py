"""`fit` on batches that come one after the other: the same training as on arrays, and what is refused."""

import numpy as np
import pytest
from fits import blobs, classifier, outcome

import fusednet as fn
from fusednet import trainer

X, Y = blobs(rows=90)
WEIGHT = np.linspace(0.5, 2, 90)
SIZE = 20  # four batches of it and one of 10


class Batches:
    """Can be iterated again; `length` says whether it knows its length."""

    def __init__(self, weighted=False):
        self.weighted, self.begun = weighted, 0

    def __iter__(self):
        self.begun += 1
        for i in range(0, len(X), SIZE):
            rows = slice(i, i + SIZE)
            yield (X[rows], Y[rows], WEIGHT[rows]) if self.weighted else (X[rows], Y[rows])


class Counted(Batches):
    def __len__(self):
        return -(-len(X) // SIZE)


def endless():
    while True:
        yield from Batches()


def _arrays(**options):
    model = classifier()
    return model, model.fit(X, Y, batch_size=SIZE, shuffle=False, **options)


def _same(one, other):
    assert one[1].history == other[1].history
    assert all((a == b).all() for a, b in zip(one[0].get_weights(), other[0].get_weights(), strict=True))


def _stream(batches, **options):
    model = classifier()
    return model, model.fit(batches, **options)


@pytest.mark.parametrize("batches", [Batches, Counted])
def test_an_iterable_trains_as_its_rows_do(batches):
    given = batches()
    _same(_arrays(epochs=3), _stream(given, epochs=3))
    assert given.begun >= 3


def test_a_generator_goes_on_where_it_is():
    _same(_arrays(epochs=3), _stream(endless(), epochs=3, steps_per_epoch=5))


def test_epochs_of_other_lengths_than_the_data():
    _same(_arrays(epochs=4, steps_per_epoch=3), _stream(endless(), epochs=4, steps_per_epoch=3))


def test_weights_and_validation():
    held = (X[:30], Y[:30])
    arrays = _arrays(epochs=2, sample_weight=WEIGHT, validation_data=held)
    stream = _stream(Batches(weighted=True), epochs=2, validation_data=held)
    _same(arrays, stream)
    assert stream[1].history["val_loss"] != _stream(Batches(), epochs=2, validation_data=held)[1].history["val_loss"]


def test_class_weight():
    weight = {0: 1.0, 1: 3.0, 2: 0.5}
    _same(_arrays(epochs=2, class_weight=weight), _stream(Batches(), epochs=2, class_weight=weight))


def test_normalization_learnt_beforehand():
    def model():
        made = fn.Sequential([fn.Normalization(), fn.Dense(3)], seed=1)
        made.compile("sgd", "sparse_categorical_crossentropy")
        return made

    one, other = model(), model()
    history = one.fit(X, Y, batch_size=SIZE, shuffle=False, epochs=2).history
    other.adapt(X)
    np.testing.assert_allclose(other.fit(Batches(), epochs=2).history["loss"], history["loss"], rtol=1e-5)


def test_left_within_an_epoch_and_gone_on_with():
    class Stop(fn.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = self.model.step == 7

    whole = _stream(Counted(), epochs=3)
    model = classifier()
    model.fit(Counted(), epochs=3, callbacks=[Stop()])
    assert model.step == 7 and len(model.history.epoch) == 1
    _same(whole, (model, model.fit(Counted(), epochs=3, resume=True)))


def test_callbacks_see_every_batch():
    seen = []
    call = fn.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append((batch, logs["loss"])))
    _, history = _stream(Batches(), epochs=2, callbacks=[call])
    assert [batch for batch, _ in seen] == [0, 1, 2, 3, 4] * 2
    assert [loss for _, loss in seen][4::5] == history.history["loss"]


@pytest.mark.parametrize(
    ("given", "options", "error", "words"),
    [
        (lambda: iter([(X, Y)]), {"epochs": 3}, ValueError, "x ended after 1 epochs; it can be iterated only once"),
        (lambda: iter(()), {}, ValueError, "x gave no batch"),
        (lambda: iter([X]), {}, TypeError, r"batch 0 of x is ndarray; wanted \(x, y\)"),
        (lambda: [(X[:5], Y[:5])].__iter__(), {"y": Y}, ValueError, "y is given, but x is an iterable of batches"),
        (lambda: iter([(X, Y)]), {"validation_split": 0.2}, ValueError, "validation_split needs arrays"),
        (lambda: iter([(X, Y)]), {"class_weight": "balanced"}, ValueError, "nobody has counted"),
        (lambda: iter([(X, Y), (X, Y, WEIGHT)]), {"steps_per_epoch": 2}, ValueError, "weights with all batches or"),
        (lambda: iter([(X, Y), (X[:, :3], Y)]), {"steps_per_epoch": 2}, ValueError, "x has 3 features"),
        (lambda: iter([(np.full((4, 5), np.nan), Y[:4])]), {}, ValueError, "batch 0 of x: x has NaN in row 0, col"),
        (lambda: iter([(X, Y), (X, Y[:3])]), {"steps_per_epoch": 2}, ValueError, "batch 1 of x: x has 90 rows"),
        (lambda: iter([(X, None)]), {}, TypeError, "batch 0 of x has None as its y"),
        (lambda: iter([(X, Y)]), {"shuffle": np.arange}, ValueError, "shuffle is a function, which orders rows"),
    ],
)
def test_bad_batches_are_refused(given, options, error, words):
    with pytest.raises(error, match=words):
        classifier().fit(given(), **options)


def test_targets_of_another_width_are_not_spread():
    def squares(y, z):
        return ((z - y) ** 2).sum(1), 2 * (z - y)

    model = fn.Sequential([fn.Dense(3)], seed=0)
    model.compile("sgd", squares)
    with pytest.raises(ValueError, match=r"batch 1 of x has y of shape \(90, 1\); wanted as many columns as the first"):
        model.fit(iter([(X, np.zeros((90, 3))), (X, np.zeros((90, 1)))]))


@pytest.mark.parametrize("batches", [Batches, Counted])
def test_an_epoch_that_ends_early_is_a_mean_over_its_own_steps(batches):
    seen = []
    note = fn.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append((batch, logs["loss"])))
    for options in ({}, {"steps_per_epoch": 8}, {"steps_per_epoch": 8, "callbacks": [note]}):
        model = classifier(fn.SGD(1e-9), kernel_regularizer=fn.L2(5.0))
        loss = model.fit(batches(), epochs=2, **options).history["loss"]
        assert np.allclose(loss, model.evaluate(X, Y)[0], rtol=1e-6)
    assert [batch for batch, _ in seen] == [0, 1, 2, 3, 4] * 2 and np.allclose(seen[4][1], loss[0])


@pytest.mark.parametrize("batches", [Batches, Counted])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_left_within_a_validation_and_gone_on_with(batches, number, monkeypatch):
    options = {"epochs": 3, "validation_data": (X[:30], Y[:30])}

    def new():
        return classifier(kernel_regularizer=fn.L2(0.1))

    whole, model, calls = new(), new(), []
    whole.fit(batches(), **options)
    validate = trainer.Evaluation.__call__

    def interrupted(self, *arguments, **named):
        calls.append(arguments)
        if len(calls) == number:
            raise KeyboardInterrupt
        return validate(self, *arguments, **named)

    with monkeypatch.context() as patch:
        patch.setattr(trainer.Evaluation, "__call__", interrupted)
        with pytest.raises(KeyboardInterrupt):
            model.fit(batches(), **options)
    model.fit(batches(), resume=True, **options)
    assert outcome(model) == outcome(whole)


def test_normalization_that_has_learnt_nothing_is_refused():
    model = fn.Sequential([fn.Normalization(), fn.Dense(3)])
    model.compile("sgd", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match=r"call adapt\(x\) with an array first"):
        model.fit(Batches())


def test_a_list_is_taken_for_rows():
    with pytest.raises(TypeError, match=r"y is None; .* x is a list, which is taken for rows"):
        classifier().fit([(X[:20], Y[:20]), (X[20:], Y[20:])])


def test_the_first_batch_has_all_classes_that_have_names():
    names = np.array(["ash", "elm", "oak"])[Y]
    order = np.argsort(names)
    model = classifier()
    with pytest.raises(ValueError, match="fit: the first batch has no labels but 'ash', the model has 3 outputs"):
        model.fit(rows for rows in [(X[order[:20]], names[order[:20]]), (X[order[20:]], names[order[20:]])])
    with pytest.raises(ValueError, match="train_on_batch: the first batch has no labels but 'ash'"):
        model.train_on_batch(X[order[:20]], names[order[:20]])
    assert model.memory is None
    model.fit(X, names)
    model.train_on_batch(X[order[:20]], names[order[:20]])  # the others are known by now


def test_a_model_says_how_layers_are_frozen():
    model = classifier()
    assert model.trainable
    with pytest.raises(AttributeError, match="learning_rate_factor=0"):
        model.trainable = False
