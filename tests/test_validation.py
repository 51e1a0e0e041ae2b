"""Validation by the engine, in the call that ends the epoch, against validation from Python.

Reads fits.py; `fit` with ``validation_freq`` as a set of epochs is the one from Python.

a) Both walk the same plans, so all that a training leaves has to be the same to the bit.
b) Time that is up after every op (`runner.SECONDS` of 0) puts the end of a call everywhere, within validations too.
"""

from functools import partial
from itertools import pairwise

import numpy as np
import pytest
from fits import blobs, classifier, full, outcome

import fusednet as fn
from fusednet import runner, trainer

EPOCHS = 5
X, Y = blobs(97)


def fitted(freq, *, python=False, epochs=EPOCHS, **options):
    model = full()
    if python:
        freq = {epoch for epoch in range(1, EPOCHS + 1) if epoch % freq == 0}
    options = {"validation_split": 0.3, "validation_batch_size": 8} | options
    model.fit(X, Y, batch_size=16, epochs=epochs, validation_freq=freq, **options)
    return model


@pytest.fixture
def validations(monkeypatch):
    """How often Python asked for a validation."""
    calls = []
    whole = trainer.Evaluation.__call__
    monkeypatch.setattr(trainer.Evaluation, "__call__",
                        lambda self, *args, **named: calls.append(args) or whole(self, *args, **named))
    return calls


@pytest.mark.parametrize("seconds", [runner.SECONDS, 0])
@pytest.mark.parametrize("freq", [1, 2, 7])
def test_is_the_same_as_from_python(table, freq, seconds, monkeypatch, validations):
    monkeypatch.setattr(runner, "SECONDS", seconds)
    engine = fitted(freq)
    assert not validations
    python = fitted(freq, python=True)
    assert len(validations) == EPOCHS // freq
    assert outcome(engine) == outcome(python)
    assert len(engine.history.history.get("val_loss", [])) == EPOCHS // freq


@pytest.mark.parametrize("options", [{"validation_steps": 2}, {"sample_weight": np.linspace(0, 2, len(X))},
                                     {"callbacks": [fn.EarlyStopping(patience=9)]}, {"validation_interval": 3},
                                     {"steps_per_epoch": 2}, {"initial_epoch": 1}],
                         ids=lambda options: next(iter(options)))
def test_with_options(options, validations):
    engine, asked = fitted(2, **options), len(validations)
    python = fitted(2, python=True, **options)
    assert asked == len(engine.history.validations)
    assert len(validations) > 2 * asked
    assert outcome(engine) == outcome(python)


def test_python_validates_what_has_python_in_it(validations):
    def squares(y, z):
        return ((z - y) ** 2).sum(1), 2 * (z - y)

    for layer, loss in ((fn.Dense(3, kernel_regularizer=fn.L2(0.1)), "sparse_categorical_crossentropy"),
                        (fn.Dense(1), squares)):
        model = fn.Sequential([layer], seed=0)
        model.compile("sgd", loss)
        model.fit(X, Y, epochs=2, validation_split=0.3)
    assert len(validations) == 4


def test_goes_on_where_it_was_interrupted(table, monkeypatch):
    """Ctrl-C at the ends of calls; what has ended by then is not validated again."""
    whole = outcome(fitted(1))
    monkeypatch.setattr(runner, "SECONDS", 0)
    inner, ends = runner.Runner._call, []

    def call(self, *arguments):
        result = inner(self, *arguments)
        ends.append(result)
        if len(ends) == number:
            raise KeyboardInterrupt
        return result

    monkeypatch.setattr(runner.Runner, "_call", call)
    options = {"batch_size": 16, "epochs": EPOCHS, "validation_split": 0.3, "validation_batch_size": 8}
    for number in range(1, 1000, 7):
        model = full()
        ends.clear()
        try:
            model.fit(X, Y, **options)
            break
        except KeyboardInterrupt:
            model.fit(X, Y, resume=True, **options)
        assert outcome(model) == whole, number
    assert len(ends) < number and number > 1


class Told(fn.Callback):
    """Notes what it is told of validations, evaluations and predictions; of batches too if `batches`."""

    def __init__(self, batches=False):
        super().__init__()
        self.said = []
        for kind in ("test", "predict"):
            for what in ("begin", "end", *(("batch_begin", "batch_end") if batches else ())):
                setattr(self, f"on_{kind}_{what}", partial(self._note, f"{kind} {what}"))

    def _note(self, what, *arguments):
        self.said.append((what, *arguments))

    def names(self):
        return [what for what, *_ in self.said]


@pytest.mark.parametrize("batches", [False, True])
def test_callbacks_are_told_of_validations(batches):
    told, quiet = Told(batches), full()
    options = {"batch_size": 16, "epochs": 4, "validation_split": 0.3, "validation_batch_size": 8, "validation_freq": 2,
               "validation_interval": 3}
    quiet.fit(X, Y, **options)
    model = full()
    history = model.fit(X, Y, callbacks=[told], **options)
    assert outcome(model) == outcome(quiet)
    rounds = len(history.history["val_loss"]) + len(history.validations)
    inner = ["test batch_begin", "test batch_end"] * -(-len(model.validation_indices_) // 8) if batches else []
    assert told.names() == ["test begin", *inner, "test end"] * rounds
    results = [logs for what, *_, logs in told.said if what == "test end"]
    assert {"loss": history.history["val_loss"][-1], "accuracy": history.history["val_accuracy"][-1]} in results
    if batches:
        last = [one[-1] for one, after in pairwise(told.said) if after[0] == "test end"]
        assert last == results


@pytest.mark.parametrize("batches", [False, True])
def test_callbacks_are_told_of_evaluations_and_predictions(batches):
    model, told = full(), Told(batches)
    model.fit(X, Y)
    assert model.evaluate(X, Y, batch_size=40, callbacks=[told]) == model.evaluate(X, Y)
    inner = ["test batch_begin", "test batch_end"] * 3 if batches else []
    assert told.names() == ["test begin", *inner, "test end"] and told.model is model
    told.said.clear()
    for options in ({"batch_size": 40}, {"batch_size": 40, "steps": 2}, {}):
        out = model.predict(X, callbacks=told, **options)
        assert (out == model.predict(X)[: len(out)]).all()
        inner = ["predict batch_begin", "predict batch_end"] * (-(-len(out) // 40) if options else 1) if batches else []
        assert told.names() == ["predict begin", *inner, "predict end"]
        if batches:
            parts = [logs["outputs"] for what, *_, logs in told.said if what == "predict batch_end"]
            assert (np.concatenate(parts) == out).all()
        told.said.clear()


@pytest.mark.parametrize("interval, freq, wanted", [(4, 3, [4, 8, 16, 20]), (4, 1, []), (6, 100, [6, 12, 18, 24]),
                                                    (3, 2, [3, 6, 9, 12, 15, 18, 21])])
@pytest.mark.parametrize("stream", [False, True])
def test_an_interval_counts_where_epochs_end_too(interval, freq, wanted, stream):
    """Six epochs of four steps; what an epoch validates at its end is not validated twice."""
    x, y = blobs(100)

    class Batches:
        def __iter__(self):
            return ((x[i : i + 25], y[i : i + 25]) for i in range(0, 100, 25))

    def fit(model, **more):
        data = (Batches(),) if stream else (x, y)
        return model.fit(*data, batch_size=25, epochs=6, validation_data=(x, y), validation_interval=interval,
                         validation_freq=freq, **more)

    def stop(epoch, logs):
        if epoch in (1, 3):
            raise KeyboardInterrupt

    whole, left = classifier(), classifier()
    steps = [one["step"] for one in fit(whole).validations]
    assert steps == [step for step in wanted if step % 4 or step // 4 % freq]
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            fit(left, resume=True, callbacks=fn.LambdaCallback(on_epoch_end=stop))
    fit(left, resume=True)
    assert outcome(left) == outcome(whole)
