"""`fit` on batches that come one after the other: the same training as on arrays, and what is refused."""

import numpy as np
import pytest
from fits import blobs, classifier, outcome

import fusednet as fn
from fusednet import streams, trainer
from fusednet.cursor import STEP, fresh

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
        (lambda: iter([(X, Y), (X, Y, WEIGHT)]), {"steps_per_epoch": 2}, ValueError, "has weights, unlike the first"),
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


@pytest.mark.parametrize("sizes", [(64, 128), (32, 64, 200), (128, 512, 1024)])
def test_batches_that_grow_train_as_steps_on_them_do(sizes):
    """Beyond 128 rows the gradients of a small network are made by slices, which the first batch had none of."""
    x, y = blobs(rows=sum(sizes))
    ends = np.cumsum(sizes)[:-1]
    batches = list(zip(np.split(x, ends), np.split(y, ends), strict=True))
    one, other = classifier(hidden=(500,)), classifier(hidden=(500,))
    one.fit((batch for batch in batches), steps_per_epoch=len(sizes))
    for batch in batches:
        other.train_on_batch(*batch)
    assert one.memory.slices
    assert all((a == b).all() for a, b in zip(one.get_weights(), other.get_weights(), strict=True))


def test_batches_of_ever_other_sizes_keep_their_memory_small():
    model = classifier()
    model.build(5)
    x, y = blobs(rows=400)
    order = np.random.default_rng(0).permutation(np.arange(1, 401))
    rows = streams.StreamRows(model, ((x[:n], y[:n]) for n in order), None, None)
    cursor = fresh()
    made = model.plan("train", rows.feed, rows.batch)
    model.memory.prepare(model.optimizer_spec, gradients=made.gradients)
    runner = rows.runner(model, made, cursor, np.zeros(len(made.sums)), True)
    runner.advance(400)
    assert len(runner._runners) <= 64
    assert runner._buffer.rows < 800
    assert all(one.source.x.base is runner._buffer.x for one in runner._runners.values())
    assert cursor[STEP] == 400


def test_who_asks_for_no_checks_has_none_in_larger_batches_either():
    batches = ((X[:rows], Y[:rows]) for rows in (32, 64, 64, 64))
    model = classifier(fn.SGD(1e300), hidden=(6, 6))
    history = model.fit(batches, steps_per_epoch=4, callbacks=[fn.callbacks.TerminateOnNaN(False)])
    assert model.step == 4 and not history.stopped


def _of_rows():
    model = classifier()
    model.compile("sgd", "categorical_crossentropy", metrics=["accuracy"])
    return model


def test_soft_and_hard_rows_take_turns():
    """Of a mixup with the weight 1 come rows of zeros and one 1."""
    hard = np.eye(3)[Y[:SIZE]]
    soft = 0.8 * hard + 0.1
    for first, second in ((hard, soft), (soft, hard)):
        model, other = _of_rows(), _of_rows()
        model.fit(iter([(X[:SIZE], first), (X[SIZE:2 * SIZE], second)]), steps_per_epoch=2)
        other.train_on_batch(X[:SIZE], first)
        other.train_on_batch(X[SIZE:2 * SIZE], second)
        for a, b in zip(model.get_weights(), other.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)
    _of_rows().fit(iter([(X[:SIZE], hard)]), steps_per_epoch=1, class_weight={0: 2.0})
    with pytest.raises(ValueError, match="batch 1 of x has rows of numbers as its y, the first has labels"):
        _of_rows().fit(iter([(X[:SIZE], Y[:SIZE]), (X[:SIZE], soft)]), steps_per_epoch=2)


class Unsure(Batches):
    """A loader that does not know its length says so by an error, or by 0."""

    def __init__(self, error):
        super().__init__()
        self.error = error

    def __len__(self):
        if self.error is not None:
            raise self.error
        return 0


@pytest.mark.parametrize("error", [TypeError("The dataset is infinite."), None])
def test_loaders_that_do_not_know_their_length(error):
    _same(_arrays(epochs=2), _stream(Unsure(error), epochs=2))


def test_none_is_no_end():
    with pytest.raises(TypeError, match=r"batch 1 of x is NoneType; wanted \(x, y\)"):
        classifier().fit(iter([(X[:SIZE], Y[:SIZE]), None, (X[:SIZE], Y[:SIZE])]))


def test_a_batch_may_have_weights_that_are_all_0():
    def batches(weight):
        return iter([(X[:SIZE], Y[:SIZE], weight[:SIZE]), (X[SIZE:2 * SIZE], Y[SIZE:2 * SIZE], weight[SIZE:2 * SIZE])])

    weight = np.repeat([1.0, 0.0], SIZE)
    arrays = classifier()
    with_arrays = arrays.fit(X[:2 * SIZE], Y[:2 * SIZE], SIZE, shuffle=False, sample_weight=weight)
    _same((arrays, with_arrays), _stream(batches(weight), steps_per_epoch=2))
    weight = np.repeat([1.0, 1e-30], SIZE)  # next to nothing in the mean of the epoch
    arrays = classifier()
    with_arrays = arrays.fit(X[:2 * SIZE], Y[:2 * SIZE], SIZE, shuffle=False, sample_weight=weight)
    _same((arrays, with_arrays), _stream(batches(weight), steps_per_epoch=2))
    weight[SIZE + 3] = -1
    with pytest.raises(ValueError, match=r"batch 1 of x: sample_weight has -1 in row 3; wanted 0 or more"):
        classifier().fit(batches(weight), steps_per_epoch=2)


def test_epochs_of_an_unknown_length_are_as_long_as_they_are():
    x, y = blobs(100)

    class Batches:
        epoch = 0

        def __iter__(self):
            self.epoch += 1
            for i in range(0, 10 * (2 + self.epoch), 10):
                yield x[i : i + 10], y[i : i + 10]

    begun, whole, left, batches = [], classifier(), classifier(), Batches()
    history = whole.fit(Batches(), epochs=3, callbacks=fn.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: begun.append(batch)))
    assert history.steps == [3, 7, 12] and begun == [*range(3), *range(4), *range(5)]
    for epochs in (1, 2, 3):
        left.fit(batches, epochs=epochs, resume=True)
    assert all(map(np.array_equal, whole.get_weights(), left.get_weights()))


def test_weights_that_would_be_nothing_are_refused():
    x, y = blobs(100)
    with pytest.raises(ValueError, match=r"batch 0 of x: sample_weight has 1e-40 at most; wanted 1\.2e-38 or more"):
        classifier(dtype="float32").fit(((x, y, np.full(100, 1e-40)) for _ in range(2)), steps_per_epoch=2)
