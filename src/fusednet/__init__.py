"""fusednet: dense neural networks, trained fast on CPUs.

Names are imported when they are first used, so that ``import fusednet`` costs little more than ``import numpy``.
"""

import importlib

__version__ = "0.1.0.dev0"

_MODULES = frozenset({
    "backends", "callbacks", "datasets", "info", "initializers", "losses", "ops", "optimizers", "schedules",
    "search",
})

_ON_REQUEST = frozenset({"book", "sklearn"})
"""Modules that ``from fusednet import *`` leaves alone: scikit-learn need not be installed."""

_MEMBERS = {
    name: module
    for module, names in {
        "threads": "get_num_threads set_num_threads",
        "precision": "get_matmul_precision set_matmul_precision",
        "model": "Sequential",
        "loading": "load",
        "spec": "Activation BatchNormalization Dense Dropout ELU Flatten GELU L1 L1L2 L2 LeakyReLU Linear "
                "Normalization ReLU SELU Sigmoid SiLU Softmax Softplus Swish Tanh",
        "losses": "BinaryCrossentropy CategoricalCrossentropy Huber MeanAbsoluteError MeanSquaredError "
                  "Poisson Quantile SparseCategoricalCrossentropy",
        "optimizers": "AdaGrad Adam AdamW RMSprop SGD",
        "schedules": "Constant CosineDecay ExponentialDecay OneCycle PiecewiseConstant StepDecay",
        "callbacks": "BackupAndRestore Callback CSVLogger EarlyStopping LambdaCallback LearningRateScheduler "
                     "ModelCheckpoint ProgressBar ReduceLROnPlateau TensorBoard TerminateOnNaN",
        "history": "History",
        "trainer": "TrainingWarning",
        "many": "fit_many",
        "ensemble": "Ensemble",
        "datasets": "load_digits",
    }.items()
    for name in names.split()
}
"""Public names by the module that has them."""

__all__ = ["__version__", *sorted(_MODULES), *sorted(_MEMBERS)]


def __getattr__(name: str):
    if name in _MODULES or name in _ON_REQUEST:
        return importlib.import_module(f"fusednet.{name}")
    if name in _MEMBERS:
        value = getattr(importlib.import_module(f"fusednet.{_MEMBERS[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'fusednet' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
