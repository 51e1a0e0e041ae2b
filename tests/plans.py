"""Networks whose plans are kept as text in tests/golden; read by test_plan.py.

`python tests/plans.py` writes the files anew: look at what has changed before you keep it.
"""

from pathlib import Path

import fusednet as fn
from fusednet.plan import Feed

GOLDEN = Path(__file__).with_name("golden")
THREADS = 2


def _classifier() -> fn.Sequential:
    model = fn.Sequential([
        fn.Normalization(), fn.Dense(256), fn.BatchNormalization(), fn.ReLU(), fn.Dropout(0.2),
        fn.Dense(64, activation="gelu", kernel_regularizer=fn.L2(1e-4)), fn.Dropout(0.1), fn.Dense(10, "softmax"),
    ], seed=0)  # fmt: skip
    model.compile(fn.Adam(1e-3), "sparse_categorical_crossentropy", ["accuracy"])
    model.build(64)
    return model


def _regressor() -> fn.Sequential:
    model = fn.Sequential([
        fn.Dense(32, "tanh", kernel_regularizer=fn.L1(1e-5), learning_rate_factor=0.5), fn.Dropout(0.3), fn.Softmax(),
        fn.Dense(16, "swish"), fn.BatchNormalization(), fn.Dense(3),
    ], seed=0, dtype="float64")  # fmt: skip
    optimizer = fn.SGD(0.1, momentum=0.9, weight_decay=1e-4, global_clipnorm=1.0, clipvalue=0.5, use_ema=True)
    model.compile(optimizer, "huber", ["mae"])
    model.build(5)
    return model


def _logistic() -> fn.Sequential:
    model = fn.Sequential([fn.Dense(1, "sigmoid")], seed=0)
    model.compile(fn.SGD(0.1), "binary_crossentropy", ["accuracy", "mse"])
    model.build(4)
    return model


def _scikit_learns() -> fn.Sequential:
    penalty = fn.L1L2(l2=5e-5, per_row=True)
    layers = [fn.Dense(8, "relu", kernel_regularizer=penalty), fn.Dense(3, "softmax", kernel_regularizer=penalty)]
    model = fn.Sequential(layers, seed=0, dtype="float64")
    model.compile(fn.Adam(1e-3, epsilon=1e-8), fn.CategoricalCrossentropy(most=36.0))
    model.build(4)
    return model


def _small() -> fn.Sequential:
    model = fn.Sequential([fn.Dense(100, "relu"), fn.Dense(10)], seed=0)
    model.compile(fn.Adam(1e-3, global_clipnorm=1.0), "sparse_categorical_crossentropy")
    model.build(20)
    return model


def _large() -> fn.Sequential:
    model = fn.Sequential([fn.Dense(1024, "relu"), fn.Dense(3)], seed=0)
    model.compile(fn.SGD(0.1, momentum=0.9), "mse")
    model.build(1024)
    return model


def dumps() -> dict[str, str]:
    """The plans as text, by the name of their file."""
    classifier, regressor, logistic, scikit_learns = _classifier(), _regressor(), _logistic(), _scikit_learns()
    pixels = Feed("uint8", "labels", weighted=True, ordered=True)
    numbers = Feed("float64", "targets", columns=3)
    yes = Feed("float32", "targets", ordered=True, columns=1)
    plans = {
        "classifier_train": classifier.plan("train", pixels, 128),
        "classifier_evaluate": classifier.plan("evaluate", pixels, 1024),
        "classifier_predict": classifier.plan("predict", Feed("uint8"), 1024),
        "regressor_train": regressor.plan("train", numbers, 20),
        "regressor_predict": regressor.plan("predict", Feed("float64"), 20),
        "logistic_train": logistic.plan("train", yes, 32),
        "logistic_unchecked": logistic.plan("train", yes, 32, check=False),
        "scikit_learns_train": scikit_learns.plan("train", Feed("float64", "labels", ordered=True), 200),
        "small_train": _small().plan("train", Feed("float32", "labels", ordered=True), 256),
        "large_train": _large().plan("train", Feed("float32", "targets", columns=3), 64),
        "scikit_learns_gradient": scikit_learns.plan("gradient", Feed("float64", "labels"), 200),
    }
    return {name: plan.dump(THREADS) for name, plan in plans.items()}


if __name__ == "__main__":
    GOLDEN.mkdir(exist_ok=True)
    for name, text in dumps().items():
        (GOLDEN / f"{name}.txt").write_text(text, encoding="utf-8")
        print("wrote", name)
