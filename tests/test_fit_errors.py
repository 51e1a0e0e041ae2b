"""What `fit` and its companions say to what does not do: what was given, what was wanted, where; nothing has changed.

Reads fits.py. Each call is made on a model that has weights and a history, and where it can be on one that has none
yet; `unchanged` compares all that the model has before and after.
"""

import copy
import errno
import json
import os
import pickle
import re
from dataclasses import replace

import numpy as np
import pytest
from fits import blobs, classifier, full, unchanged

import fusednet as fn
from fusednet import io

X, Y = blobs()


def changed(a, place, value):
    a = np.array(a, float)
    a[place] = value
    return a


def bad(message, kind=ValueError, x=X, y=Y, **options):
    return message, kind, x, y, options


MONITOR = "known: loss, accuracy, learning_rate"
FIT = {
    "NaN in x": bad("x has NaN in row 5, column 2; wanted finite numbers", x=changed(X, (5, 2), np.nan)),
    "infinity in x": bad("x has -infinity in row 95, column 4", x=changed(X, (95, 4), -np.inf)),
    "NaN in y": bad("y has no class in row 3 (it is NaN)", y=changed(Y, 3, np.nan)),
    "infinity in y": bad("y has inf in row 3; wanted whole numbers", y=changed(Y, 3, np.inf)),
    "NaN in validation": bad("validation x has NaN in row 5", validation_data=(changed(X, (5, 2), np.nan), Y)),
    "label too large": bad("y has 3 in row 7; wanted classes from 0 to 2", y=changed(Y, 7, 3)),
    "label negative": bad("y has -1 in row 0; wanted classes from 0 to 2", y=changed(Y, 0, -1)),
    "label between": bad("y has 0.5 in row 9; wanted whole numbers", y=changed(Y, 9, 0.5)),
    "labels of rank 3": bad("y has shape (96, 1, 1); wanted (n,), one class for each row", y=Y[:, None, None]),
    "two columns": bad("y has shape (96, 2); wanted (n,), one class for each row, or (n, 3)", y=np.zeros((96, 2))),
    "two ones": bad("y has 1.0, 1.0, 0.0 in row 4; wanted one-hot rows", y=changed(np.eye(3)[Y], 4, [1, 1, 0])),
    "too many classes": bad("y has 4 classes ('a', 'b', 'c', 'd'), the model has 3", y=np.array(list("abcd" * 24))),
    "validation label": bad("validation y has 9 in row 1; wanted classes from 0", validation_data=(X[:2], [0, 9])),
    "no rows": bad("x has no rows (shape (0, 5))", x=X[:0], y=Y[:0]),
    "no columns": bad("x has no columns (shape (96, 0))", x=X[:, :0]),
    "no validation rows": bad("validation x has no rows", validation_data=(X[:0], Y[:0])),
    "one row": bad("x has shape (5,); wanted 2-D, (rows, columns)", x=X[0]),
    "several inputs": bad("x is a list of 2 arrays with as many rows each as y has; wanted one array", x=[X, X]),
    "other lengths": bad("x has 96 rows, y has 95; wanted as many", y=Y[:95]),
    "text": bad("x has dtype <U1; wanted real numbers", TypeError, x=np.full((96, 5), "a")),
    "complex": bad("x has dtype complex128; wanted real numbers", TypeError, x=X + 0j),
    "no x": bad("x is None; wanted an array", TypeError, x=None),
    "no y": bad("fit: y is None; wanted labels or numbers", TypeError, y=None),
    "batch 0": bad("fit: batch_size is 0; wanted 1 or more", batch_size=0),
    "batch 2.5": bad("fit: batch_size is 2.5; wanted a whole number", TypeError, batch_size=2.5),
    "epochs": bad("fit: epochs is -1; wanted 0 or more", epochs=-1),
    "epochs of text": bad("fit: epochs is '3'; wanted a whole number", TypeError, epochs="3"),
    "initial epoch": bad("fit: initial_epoch is -1; wanted 0 or more", initial_epoch=-1),
    "steps": bad("fit: steps_per_epoch is 0; wanted 1 or more", steps_per_epoch=0),
    "split of 1": bad("fit: validation_split is 1; wanted a number in (0, 1)", validation_split=1.0),
    "split below 0": bad("fit: validation_split is -0.1; wanted a number in (0, 1)", validation_split=-0.1),
    "no training rows": bad("leaves no rows of 96 for training", validation_split=0.999),
    "way to split": bad("fit: split is 'tails'; known: random, tail (did you mean 'tail'?)", split="tails"),
    "validation data": bad("fit: validation_data is ndarray; wanted (x, y) or", TypeError, validation_data=X),
    "validation width": bad("validation x has 4 features, the model was built for 5", validation_data=(X[:, 1:], Y)),
    "validation steps": bad("fit: validation_steps is 0", validation_split=0.2, validation_steps=0),
    "validation batch": bad("fit: validation_batch_size is -3", validation_split=0.2, validation_batch_size=-3),
    "validation freq": bad("fit: validation_freq is 0; wanted 1 or more", validation_split=0.2, validation_freq=0),
    "validation freq None": bad("fit: validation_freq is None; wanted a whole", TypeError, validation_freq=None),
    "validation interval": bad("fit: validation_interval is 0", validation_split=0.2, validation_interval=0),
    "interval of nothing": bad("validation_interval is given, but no validation_split", validation_interval=3),
    "max time": bad("fit: max_time is -1; wanted a finite number of at least 0", max_time=-1),
    "resume": bad("fit: resume is 1; wanted True or False", TypeError, resume=1),
    "shuffle": bad("fit: shuffle is 'batch'; wanted True or False", TypeError, shuffle="batch"),
    "verbose": bad("fit: verbose is 3; wanted 0, 1 or 2", verbose=3),
    "unknown class": bad("class_weight names 7, which is none of the classes (0, 1, 2)", class_weight={7: 1.0}),
    "class weight": bad("class_weight[1] is -1.0; wanted a finite number of at least 0", class_weight={1: -1.0}),
    "class weights": bad("class_weight is [1, 2]; wanted a dict", TypeError, class_weight=[1, 2]),
    "weights": bad("sample_weight has shape (5,); wanted (96,)", sample_weight=np.ones(5)),
    "negative weight": bad("sample_weight has -1 in row 6; wanted 0 or more", sample_weight=changed(Y, 6, -1)),
    "weights of 0": bad("the weights of all rows are 0", sample_weight=np.zeros(96)),
    "weight too large": bad("the weight of row 6 is 1e+300, more than float32 can hold",
                            sample_weight=changed(Y, 6, 1e300)),
    "weights of training rows": bad("the weights of all rows to train on are 0", split="tail", validation_split=0.5,
                                    sample_weight=np.arange(96) >= 48),
    "weights of validation rows": bad("the weights of all rows to validate with are 0", split="tail",
                                      validation_split=0.5, sample_weight=np.arange(96) < 48),
    "validation y": bad("validation y is None; wanted labels or numbers", TypeError, validation_data=(X, None)),
    "no callback": bad("callbacks[0] is 3; wanted a Callback", TypeError, callbacks=[3]),
    "class of callback": bad("callbacks is the class EarlyStopping", TypeError, callbacks=fn.EarlyStopping),
    "monitor": bad(f"EarlyStopping: monitor is 'acc'; {MONITOR}", callbacks=[fn.EarlyStopping("acc")]),
    "monitor of nothing": bad(f"monitor is 'val_loss'; {MONITOR}", callbacks=[fn.ReduceLROnPlateau()]),
}


@pytest.mark.parametrize("trained", [True, False])
@pytest.mark.parametrize("name", FIT)
def test_fit_says_what_is_wrong_and_changes_nothing(name, trained):
    message, kind, x, y, options = FIT[name]
    model = full()
    if trained:
        model.fit(X, Y, epochs=2)
    before = unchanged(model)
    if not trained:  # nobody has said how many features there are
        message = message.replace("4 features, the model was built for 5", "4 features")
    with pytest.raises(kind, match=re.escape(message)):
        model.fit(x, y, **options)
    assert unchanged(model) == before
    other = full()
    for one in (model, other):
        if not (trained and one is model):
            one.fit(X, Y, epochs=2)
        one.fit(X, Y, epochs=3, resume=True)
    assert model.history.history == other.history.history
    assert model.memory.params.tobytes() == other.memory.params.tobytes()


def test_a_change_is_seen():
    model = full()
    seen = [unchanged(model)]
    for change in (lambda: model.fit(X, Y), lambda: model.train_on_batch(X, Y), lambda: model.adapt(X[:9]),
                   lambda: setattr(model, "learning_rate", 0.5), lambda: model.fit(X, Y, epochs=0)):
        change()
        seen.append(unchanged(model))
    assert all(one != other for i, one in enumerate(seen) for other in seen[:i])


def test_an_untrained_model_takes_other_features_after_an_error():
    model = full()
    with pytest.raises(ValueError, match="monitor"):
        model.fit(X[:, :3], Y, callbacks=[fn.EarlyStopping("acc")])
    model.fit(X, Y)
    assert model.network.features == 5


@pytest.mark.parametrize("call", ["fit", "evaluate", "train_on_batch", "predict", "predict_classes", "adapt"])
def test_features_of_another_width(call):
    model = full()
    model.fit(X, Y)
    before = unchanged(model)
    rest = () if call in ("predict", "predict_classes", "adapt") else (Y,)
    with pytest.raises(ValueError, match="x has 3 features, the model was built for 5"):
        getattr(model, call)(X[:, :3], *rest)
    assert unchanged(model) == before


class Frame:
    """As much of a pandas frame as is looked at."""

    __module__ = "pandas"

    class Column:
        def __init__(self, values):
            self.values, self.dtype = values, values.dtype

        def to_numpy(self):
            return self.values

    class Places:
        def __init__(self, frame):
            self.frame = frame

        def __getitem__(self, key):
            return Frame.Column(self.frame.values[:, key[1]])

    def __init__(self, values, columns):
        self.values, self.columns = values, columns
        self.dtypes = [values.dtype] * len(columns)

    iloc = property(Places)

    def __len__(self):
        return len(self.values)

    def to_numpy(self):
        return self.values


def test_columns_in_another_order_or_under_other_names():
    model = classifier(dtype="float32")
    model.fit(Frame(X, list("abcde")), Y)
    assert model.feature_names_ == tuple("abcde")
    before = unchanged(model)
    with pytest.raises(ValueError, match="x has its columns in the order b, a, c, d, e; the model was trained on a, b"):
        model.fit(Frame(X, list("bacde")), Y)
    with pytest.raises(ValueError, match="x lacks the column 'c'; the model was trained on a, b, c, d, e"):
        model.predict(Frame(X, list("abxde")))
    with pytest.raises(ValueError, match=r"x has NaN in row 1, column 3 \('d'\)"):
        model.evaluate(Frame(changed(X, (1, 3), np.nan), list("abcde")), Y)
    with pytest.raises(ValueError, match="validation x has its columns in the order"):
        model.fit(Frame(X, list("abcde")), Y, validation_data=(Frame(X, list("abced")), Y))
    assert unchanged(model) == before
    assert (model.predict(X) == model.predict(Frame(X, list("abcde")))).all()


# ---- too early -------------------------------------------------------------------------------------------------------


def test_before_weights_exist(tmp_path):
    model = full()
    for call, *arguments in [
        ("predict", X), ("evaluate", X, Y), ("predict_classes", X), ("predict_on_batch", X), ("plan", "train"),
        ("save", tmp_path / "model"), ("get_weights",), ("count_params",),
    ]:
        with pytest.raises(ValueError, match=r"the model has no weights yet; fit it, build\(features\) it or load it"):
            getattr(model, call)(*arguments)
    assert model.memory is None and not list(tmp_path.iterdir())


def test_before_compile():
    model = fn.Sequential([fn.Dense(3)], seed=0)
    for call in ("fit", "evaluate", "train_on_batch"):
        with pytest.raises(ValueError, match=rf"{call}: the model is not compiled; call compile\(optimizer=..., loss="):
            getattr(model, call)(X, Y)
    with pytest.raises(ValueError, match="learning_rate: the model is not compiled"):
        model.rate_at(0)
    assert model.memory is None and model.history is None and model.optimizer is None


def test_without_layers():
    empty, plain = fn.Sequential(), fn.Sequential([fn.ReLU()])
    for model in (empty, plain):
        model.compile("adam", "mse")
    with pytest.raises(ValueError, match="the model has no layers; wanted at least one"):
        empty.fit(X, Y)
    with pytest.raises(ValueError, match="fit: no layer has weights; there is nothing to train"):
        plain.fit(X, X)
    with pytest.raises(ValueError, match="train_on_batch: no layer has weights; there is nothing to train"):
        plain.train_on_batch(X, X)
    assert plain.memory is None


# ---- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("arguments, kind, message", [
    (("adamm", "mse"), ValueError,
     "optimizer is 'adamm'; known: sgd, adagrad, rmsprop, adam, adamw (did you mean 'adam'?)"),
    (("adam", "msee"), ValueError,
     "loss is 'msee'; known: sparse_categorical_crossentropy, categorical_crossentropy, binary_crossentropy, mse, mae, "
     "huber, poisson, quantile, mean_squared_error, mean_absolute_error, pinball (did"),
    (("adam",), ValueError, "no loss was given; wanted one of sparse_categorical_crossentropy"),
    (("adam", 3), TypeError, "loss is 3; wanted a name"),
    ((3, "mse"), TypeError, "optimizer is 3; wanted a name (sgd, adagrad, rmsprop, adam, adamw) or an object"),
    (("adam", "mse", ["r2"]), ValueError,
     "metric is 'r2'; known: accuracy, acc, sparse_categorical_accuracy, categorical_accuracy, binary_accuracy, mse, "
     "mean_squared_error, mae, mean_absolute_error"),
    (("adam", "mse", ["accuracy"]), ValueError,
     "metric 'accuracy' counts right classes, but the loss mse is of numbers"),
    (("adam", "sparse_categorical_crossentropy", ["mse"]), ValueError,
     "metric 'mse' does not fit the loss sparse_categorical_crossentropy; wanted accuracy"),
    (("adam", "mse", ["mse", "mse"]), ValueError, "metric 'mse' is given twice"),
    (("adam", "mse", 3), TypeError, "metrics is 3; wanted a list of names"),
])
def test_compile_lists_what_it_knows(arguments, kind, message):
    model = full()
    model.fit(X, Y)
    before, loss = unchanged(model), model.loss
    with pytest.raises(kind, match=re.escape("compile: " + message)):
        model.compile(*arguments)
    assert unchanged(model) == before and model.loss is loss


@pytest.mark.parametrize("loss, ends, message", [
    ("binary_crossentropy", [[fn.Dense(3, "softmax")], [fn.Dense(3), fn.Softmax(), fn.Linear(), fn.Dropout(0.1)]],
     "the last layer is a softmax, but the loss binary_crossentropy contains the sigmoid; wanted 'sigmoid' or no"),
    ("categorical_crossentropy", [[fn.Dense(3, "sigmoid")], [fn.Dense(3, "tanh"), fn.Sigmoid()]],
     "the last layer is a sigmoid, but the loss categorical_crossentropy contains the softmax; wanted 'softmax' or no"),
])
def test_probabilities_are_not_taken_for_logits(loss, ends, message):
    y = np.eye(3)[Y]
    for layers in ends:
        model = fn.Sequential([fn.Dense(4, "softmax"), *layers])
        with pytest.raises(ValueError, match=re.escape(message)):
            model.compile("adam", loss)
        assert model.optimizer is None
        model = fn.Sequential()
        model.compile("adam", loss)  # before there are layers
        for layer in layers:
            model.add(layer)
        for call in (model.fit, model.train_on_batch):
            with pytest.raises(ValueError, match=re.escape(message)):
                call(X, y)
        assert model.memory is None
        fn.Sequential([*layers, fn.Dense(3)]).compile("adam", loss)
        fn.Sequential([*layers, fn.BatchNormalization()]).compile("adam", loss)


def test_layers_and_optimizers_refuse_at_once():
    for make, message in [
        (lambda: fn.Adam(-1), "learning_rate is -1; wanted a finite number above 0"),
        (lambda: fn.SGD(learning_rate=float("nan")), "learning_rate is nan; wanted a finite number above 0"),
        (lambda: fn.Dense(3, activation="relo"), "Dense: activation is 'relo'; known: linear, relu, .* mean 'relu'"),
        (lambda: fn.Dense(3, bias_initializer="heh"), "Dense: bias_initializer is 'heh'; known: auto, .* mean 'he'"),
        (lambda: fn.BatchNormalization(beta_initializer="one"), "BatchNormalization: beta_initializer is 'one'; known"),
        (lambda: fn.Dense(0), "Dense: units is 0; wanted 1 or more"),
        (lambda: fn.Sequential([], dtype="float16"), r"dtype is 'float16'; known: float32, float64"),
        (lambda: fn.Sequential([fn.Dense(3)], dtype=None), r"dtype is None; known: float32, float64"),
        (lambda: fn.Normalization(mean=1, variance=-1), "Normalization: variance is -1; wanted a finite number of at"),
        (lambda: fn.Dropout(1), r"Dropout: rate is 1; wanted a number in \[0, 1\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            make()
    for make, message in [
        (lambda: fn.Sequential(None), "Sequential: layers is None; wanted a list of layers"),
        (lambda: fn.Sequential(fn.Dense), "Sequential: layers is .*Dense.*; wanted a list of layers"),
        (lambda: fn.Sequential([], name=5), "Sequential: name is 5; wanted text"),
        (lambda: fn.Normalization(mean="a", variance=1), "Normalization: mean is 'a'; wanted a number"),
        (lambda: fn.Normalization(mean=np.ones((1, 4)), variance=1), "Normalization: mean is array.*; wanted a number"),
        (lambda: fn.Dense(3, kernel_regularizer=np.ones(3)), "Dense: kernel_regularizer is array.*; wanted L1"),
        (lambda: fn.Dense(3, kernel_initializer=None), "Dense: kernel_initializer is None; wanted a name"),
    ]:
        with pytest.raises(TypeError, match=message):
            make()
    assert fn.Normalization(mean=np.array(1.0), variance=np.float32(4)) == fn.Normalization(mean=1, variance=(4,))
    assert fn.Normalization(mean=[np.array(1.0), 2], variance=[1, 4]) == fn.Normalization(mean=(1, 2), variance=(1, 4))


def test_weights_that_are_no_numbers_change_nothing():
    model = full()
    model.fit(X, Y)
    weights, before = model.get_weights(), unchanged(model)
    for wrong in (weights[-1].astype(str), weights[-1] * 1j):
        with pytest.raises(TypeError, match=r"dense_1/bias is of dtype .*; wanted real numbers"):
            model.set_weights([*(array + 1 for array in weights[:-1]), wrong])
    with pytest.raises(TypeError, match="weights is None; wanted a list of arrays"):
        model.set_weights(None)
    assert unchanged(model) == before


def test_the_optimizer_of_a_model_can_be_compiled_with_again():
    model = classifier(fn.SGD(0.1, momentum=0.5))
    model.fit(X, Y)
    model.optimizer.learning_rate = 0.02
    other = classifier("adam")
    for one in (other, model):
        one.compile(model.optimizer, "sparse_categorical_crossentropy")
        assert one.optimizer_spec == fn.SGD(0.1, momentum=0.5) and one.learning_rate == 0.02
    assert model.step > 0 and other.step == 0


def test_what_of_the_optimizer_cannot_be_set_is_refused():
    model = classifier(fn.SGD(0.1, momentum=0.5))
    for name in ("momentum", "momentun", "iterations"):
        with pytest.raises(AttributeError, match=f"optimizer.{name} cannot be set"):
            setattr(model.optimizer, name, 0.3)
    with pytest.raises(AttributeError, match="momentun"):
        model.optimizer.momentun  # noqa: B018
    one = model.optimizer
    for twin in (copy.copy(one), copy.deepcopy(one), pickle.loads(pickle.dumps(one))):
        assert twin.momentum == 0.5 and twin.learning_rate == 0.1


def test_rows_of_numbers_that_are_no_probabilities():
    model = fn.Sequential([fn.Dense(3)], seed=0)
    for loss, wrong in (("binary_crossentropy", (-0.5, 4.5, 1.0001, np.nan)), ("categorical_crossentropy", (np.nan,))):
        model.compile("adam", loss)
        for value in wrong:
            y = np.full((96, 3), 1 / 3)
            y[7, 1] = value
            with pytest.raises(ValueError, match=f"y has {value}.* in row 7, column 1".replace("nan", "NaN")):
                model.fit(X, y)
    for loss in ("categorical_crossentropy", lambda y, z: (z[:, 0], z)):
        model.compile("adam", loss)
        with pytest.raises(ValueError, match=r"^y cannot be made an array"):
            model.fit(X, [[1, 2], [3]])
    assert model.memory is None


def test_probabilities_that_pass_1_by_rounding_are_taken():
    y = np.eye(3, dtype=np.float32)[Y]
    y[0, 0], y[1, 1] = np.nextafter(np.float32(1), np.float32(2)), -1e-7
    for loss in ("binary_crossentropy", "categorical_crossentropy"):
        model = fn.Sequential([fn.Dense(3)], seed=0)
        model.compile("adam", loss)
        model.fit(X, y)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_rows_times_an_advantage_are_the_gradient_of_a_policy(smoothing):
    y = np.eye(3)[Y] * np.linspace(-2, 3, 96)[:, None]  # above 1, below 0
    model = fn.Sequential([fn.Dense(3, "softmax")], seed=0, dtype="float64")
    model.compile(fn.SGD(1.0), fn.losses.CategoricalCrossentropy(smoothing))
    model.build(X.shape[1])
    t, before = (1 - smoothing) * y + smoothing / 3, model.get_weights()
    p = model.predict(X)
    loss = model.train_on_batch(X, y)
    assert np.isclose(loss, -(t * np.log(p)).sum(1).mean())
    gradient = (t.sum(1, keepdims=True) * p - t) / 96
    moved = [a - b for a, b in zip(before, model.get_weights(), strict=True)]
    assert np.allclose(moved[0], X.T @ gradient) and np.allclose(moved[1], gradient.sum(0))


@pytest.mark.parametrize("order", [np.arange(96.0), np.full(96, 2**62), np.arange(95), None, np.full(96, True)])
def test_an_order_that_is_no_permutation(order):
    with pytest.raises(ValueError, match="the order of rows is no permutation of 96"):
        full().fit(X, Y, shuffle=lambda n: order)


def test_evaluate_says_that_it_takes_no_iterables():
    model = full()
    model.fit(X, Y)
    with pytest.raises(TypeError, match=r"evaluate: y is None; .*x is an iterable of batches, which only fit takes"):
        model.evaluate(iter([(X, Y)]))


def test_prepared_data_without_y():
    model = full()
    model.fit(X, Y)
    before = unchanged(model)
    for call in (model.fit, model.evaluate):
        with pytest.raises(TypeError, match="y is None; wanted labels or numbers"):
            call(model.prepare(X))
    with pytest.raises(TypeError, match="fit: validation_data: y is None; wanted labels or numbers"):
        model.fit(X, Y, validation_data=model.prepare(X))
    assert unchanged(model) == before


def test_prepared_data_of_another_model():
    """Kernels find elements by labels and rows, and look no more: what is out of range would be another's memory."""
    model, data = full(), full().prepare(X, Y)
    model.fit(X, Y)
    before = unchanged(model)
    wide = fn.Sequential([fn.Dense(1000, activation="softmax")])
    wide.compile("sgd", "sparse_categorical_crossentropy")
    outside = np.array([0, len(X)])
    for other, message in (
        (wide.prepare(X, Y * 400), r"y of the data has [48]00 in row \d+; wanted classes from 0 to"),
        (replace(data, y=data.y.astype(np.int64)), "labels of dtype int64; wanted int32"),
        (replace(data, y=data.y[:-1]), f"{len(X)} rows of x and {len(X) - 1} of y; wanted as many"),
        (replace(data, weight=np.ones(3, np.float32)), f"{len(X)} rows of x and 3 of weight"),
        (replace(data, train=outside), f"train of the data has rows from 0 to {len(X)}; wanted rows from 0 to"),
        (replace(data, held=-outside), "held of the data has rows from -"),
        (replace(data, train=outside.astype(float)), "train of the data is .* array of int64"),
        (replace(data, held=outside[:0]), "held of the data is .* array of int64"),
    ):
        for call in (model.fit, model.evaluate, lambda given: model.fit(X, Y, validation_data=given)):
            with pytest.raises((ValueError, TypeError), match=message):
                call(other)
    assert unchanged(model) == before


def test_fit_in_a_callback_is_refused():
    model = full()
    again = fn.LambdaCallback(on_epoch_end=lambda epoch, logs: model.fit(X, Y))
    with pytest.raises(RuntimeError, match="fit: the model is being trained; wanted after the end of that"):
        model.fit(X, Y, epochs=3, callbacks=[again])
    assert model.training is None and model.history.epoch == [0]
    assert model.fit(X, Y, epochs=3, resume=True).epoch == [0, 1, 2]


def test_compile_in_a_callback_is_refused():
    model = full()
    again = fn.LambdaCallback(on_epoch_end=lambda epoch, logs: model.compile("sgd", "mse"))
    with pytest.raises(RuntimeError, match="compile: the model is being trained; wanted before or after fit"):
        model.fit(X, Y, epochs=3, callbacks=[again])
    assert model.loss.name == "sparse_categorical_crossentropy"
    assert model.fit(X, Y, epochs=3, resume=True).epoch == [0, 1, 2]
    model.compile("sgd", "mse")


def test_learning_rate_below_0_or_no_number():
    model = full()
    model.fit(X, Y)
    before = unchanged(model)
    with pytest.raises(ValueError, match="learning_rate is -1; wanted a finite number of at least 0"):
        model.optimizer.learning_rate = -1
    with pytest.raises(TypeError, match="learning_rate is 'fast'; wanted a number"):
        model.learning_rate = "fast"
    assert unchanged(model) == before


@pytest.mark.parametrize("give, kind, message", [
    (lambda y, p: 0.0, TypeError, r"returned float; wanted \(loss, gradient\)"),
    (lambda y, p: (0.0, p), ValueError, r"returned loss of shape \(\) and gradient of shape \(32, 3\); wanted \(32,\)"),
    (lambda y, p: (p[:, 0], p[:, :1]), ValueError, r"gradient of shape \(32, 1\); wanted \(32,\) and \(32, 3\)"),
])
def test_a_loss_function_that_gives_something_else(give, kind, message):
    model = fn.Sequential([fn.Dense(3)], seed=0)
    model.compile("sgd", give)
    model.build(5)
    before = model.memory.params.copy()
    with pytest.raises(kind, match=message):
        model.fit(X, np.eye(3)[Y])
    assert (model.memory.params == before).all() and model.step == 0 and model.history.epoch == []


# ---- going on, files -------------------------------------------------------------------------------------------------


def test_resume_with_other_data_or_batches():
    model = full(fn.Adam(0.01, use_ema=True))
    model.fit(X, Y, epochs=2)
    before = unchanged(model)
    left = "the training that was left had rows 96, batch_size 32, steps_per_epoch 3; this one has"
    for x, y, options, message in [
        (X[:50], Y[:50], {}, f"{left} rows 50, batch_size 32, steps_per_epoch 2; wanted the same to resume"),
        (X, Y, {"batch_size": 5}, f"{left} rows 96, batch_size 5, steps_per_epoch 20"),
        (X, Y, {"steps_per_epoch": 7}, f"{left} rows 96, batch_size 32, steps_per_epoch 7"),
        (X, Y, {"validation_split": 0.5}, f"{left} rows 48, batch_size 32, steps_per_epoch 2"),
    ]:
        with pytest.raises(ValueError, match=re.escape(message)):
            model.fit(x, y, epochs=4, resume=True, **options)
        assert unchanged(model) == before
    assert model.fit(X, Y, epochs=4, resume=True).epoch == [0, 1, 2, 3]


@pytest.fixture
def saved(tmp_path):
    """A model and its file."""
    model = full()
    model.fit(X, Y, epochs=2)
    model.save(tmp_path / "model.safetensors", training_state=True)
    return model, tmp_path / "model.safetensors"


def refused(model, path, message):
    before = unchanged(model)
    for read in (fn.load, model.load_training_state):
        with pytest.raises(ValueError, match=message):
            read(path)
    assert unchanged(model) == before


@pytest.mark.parametrize("part", [0, 7, 100, 0.3, 0.9, -1])
def test_a_file_cut_short(saved, part):
    model, path = saved
    data = path.read_bytes()
    path.write_bytes(data[: int(part * len(data)) if 0 < abs(part) < 1 else part])
    refused(model, path, "cut short")


def test_a_file_altered_anywhere(saved):
    model, path = saved
    data = path.read_bytes()
    header = int.from_bytes(data[:8], "little")
    for place in (9, 60, header // 2, 8 + header + 5, len(data) - 1):
        path.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        refused(model, path, "altered|not written by fusednet|not a safetensors file")
    path.write_bytes(b"once upon a time there was a model")
    refused(model, path, "not a safetensors file")


def test_a_file_of_a_newer_version(saved, monkeypatch):
    model, path = saved
    monkeypatch.setattr(io, "FORMAT", io.FORMAT + 1)
    monkeypatch.setattr(io, "__version__", "9.1")
    model.save(path)
    monkeypatch.undo()
    message = rf"was written by fusednet 9\.1, format {io.FORMAT + 1}; this is .*reads up to format {io.FORMAT}"
    refused(model, path, message)


def test_a_file_of_another_network(saved):
    model, path = saved
    other, new = classifier(), classifier()
    other.fit(X, Y)
    before = unchanged(other)
    for one in (other, new):
        with pytest.raises(ValueError, match="holds another network"):
            one.load_training_state(path)
    assert unchanged(other) == before and new.memory is None
    model.save(path)
    with pytest.raises(ValueError, match="holds no training state; save with training_state=True"):
        model.load_training_state(path)


def test_a_full_disk_leaves_the_old_file(saved, monkeypatch):
    model, path = saved
    old, written = path.read_bytes(), []

    def full_after(descriptor, data):
        if written:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        written.append(1)
        return real(descriptor, data[:1000])

    real = os.write
    model.fit(X, Y)
    before = unchanged(model)
    monkeypatch.setattr(os, "write", full_after)
    message = "cannot save: No space left on device; what was there before is untouched"
    with pytest.raises(OSError, match=message) as caught:
        model.save(path)
    monkeypatch.undo()
    assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(path) and written
    assert path.read_bytes() == old and list(path.parent.iterdir()) == [path] and unchanged(model) == before
    assert json.dumps(fn.load(path).left.history["epoch"]) == "[0, 1]"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
def test_the_message_of_a_device_that_is_full(saved):
    model, _ = saved
    with pytest.raises(ValueError, match="'/dev/full' is there already and is not a regular file"):
        model.save("/dev/full")


def test_a_checkpoint_that_cannot_be_written_ends_the_training_at_a_whole_step(tmp_path, monkeypatch):
    model, other = full(), full()
    save, calls = model.save, []

    def fails(path, training_state=False):
        calls.append(path)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "no space", str(path))
        save(path, training_state)

    monkeypatch.setattr(model, "save", fails)
    with pytest.raises(OSError, match="no space"):
        model.fit(X, Y, epochs=5, callbacks=[fn.ModelCheckpoint(tmp_path / "{epoch}", monitor="loss")])
    assert model.step == 9 and model.history.epoch == [0, 1, 2]
    model.fit(X, Y, epochs=5, resume=True)
    other.fit(X, Y, epochs=5)
    assert model.history.history == other.history.history
    assert model.memory.params.tobytes() == other.memory.params.tobytes()
