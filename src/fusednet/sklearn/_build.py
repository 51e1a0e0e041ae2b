"""From an estimator's parameters to a compiled `Sequential` and the arguments of its ``fit``.

Reads model.py and the words that networks are made of; read by _base.py and by whatever trains many estimators.

a) The one place where scikit-learn's words are translated; everything is data, nothing is trained here.
b) Penalty: alpha / n on weight matrices, n the rows of the batch (with weights of rows, their sum on average).
"""

import math
from dataclasses import dataclass
from numbers import Integral

import numpy as np

from fusednet import optimizers, schedules, spec
from fusednet.losses import Loss
from fusednet.model import Sequential

ACTIVATIONS = {"identity": "linear", "logistic": "sigmoid"}
"""scikit-learn's names of activations that have another name here."""


@dataclass(frozen=True)
class Task:
    """What is learnt.

    Attributes
    ----------
    outputs : int
        Columns of the network's output.
    loss : Loss
    head : str
        The output's activation.
    dtype : str
    """

    outputs: int
    loss: Loss
    head: str
    dtype: str


def per_layer(value, layers: int, name: str) -> list:
    """A parameter for each hidden layer: the same for all, or one of a list."""
    if not isinstance(value, (list, tuple)):
        return [value] * layers
    if len(value) != layers:
        raise ValueError(f"{name} has {len(value)} entries, hidden_layer_sizes has {layers}; wanted one for each "
                         "hidden layer, or one for all")
    return list(value)


def hidden(parameters: dict) -> list[int]:
    """hidden_layer_sizes as a list."""
    sizes = parameters["hidden_layer_sizes"]
    sizes = list(sizes) if hasattr(sizes, "__iter__") else [sizes]
    if not all(isinstance(size, Integral) for size in sizes):
        raise TypeError(f"hidden_layer_sizes is {parameters['hidden_layer_sizes']!r}; wanted whole numbers of units")
    if any(size <= 0 for size in sizes):
        raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
    return [int(size) for size in sizes]


def activation(value):
    """An activation in the words of spec.py."""
    return ACTIVATIONS.get(value, value) if isinstance(value, str) else value


def batch_size(parameters: dict, rows: int) -> int:
    """Rows of a step."""
    size = parameters["batch_size"]
    return min(200, rows) if size == "auto" else min(int(size), rows)


def optimizer(parameters: dict, steps: int, begin: int = 0) -> optimizers.Optimizer:
    """The optimizer; a cosine falls over `steps`, those of the whole training, from step `begin` on."""
    if parameters["optimizer"] is not None:
        return optimizers.resolve(parameters["optimizer"])
    rate = parameters["learning_rate_init"]
    if isinstance(parameters["learning_rate"], schedules.Schedule):
        rate = parameters["learning_rate"]
    elif parameters["learning_rate"] == "cosine":
        rate = schedules.CosineDecay(rate, steps, warmup_steps=begin, warmup_target=rate if begin else None)
    if parameters["solver"] == "sgd":
        momentum = parameters["momentum"]
        return optimizers.SGD(rate, momentum=momentum, nesterov=bool(parameters["nesterovs_momentum"] and momentum))
    return optimizers.Adam(rate, beta_1=parameters["beta_1"], beta_2=parameters["beta_2"],
                           epsilon=parameters["epsilon"])


def layers(parameters: dict, task: Task, mean_weight: float = 1.0) -> list[spec.Layer]:
    """The layers."""
    sizes, alpha = hidden(parameters), parameters["alpha"]
    penalty = spec.L1L2(l2=alpha / 2 / mean_weight, per_row=True) if alpha else None
    kinds = per_layer(parameters["activation"], len(sizes), "activation")
    rates = per_layer(parameters["dropout"], len(sizes), "dropout")
    norms = per_layer(parameters["batch_norm"], len(sizes), "batch_norm")
    if not all(isinstance(norm, (bool, np.bool_)) for norm in norms):
        raise TypeError(f"batch_norm is {parameters['batch_norm']!r}; wanted True or False for each hidden layer")
    found: list[spec.Layer] = [spec.Normalization()] if parameters["normalize"] else []
    for size, kind, rate, norm in zip(sizes, kinds, rates, norms, strict=True):
        named = spec.activation("hidden layers", activation(kind))
        found.append(spec.Dense(size, None if norm else named, kernel_regularizer=penalty))
        if norm:
            found += [spec.BatchNormalization(), named]
        if rate:
            found.append(spec.Dropout(rate))
    found.append(spec.Dense(task.outputs, task.head, kernel_regularizer=penalty))
    return found


def draw_weights(parameters: dict, units: list[int], rng: np.random.RandomState) -> tuple[list, list]:
    """First weights and biases, drawn as scikit-learn draws them (Glorot & Bengio 2010): the same for the same seed.

    Returns
    -------
    coefs, intercepts : list of ndarray of float64
    """
    kinds = [activation(kind) for kind in per_layer(parameters["activation"], len(units) - 2, "activation")]
    given = parameters["activation"]
    kinds.append(kinds[-1] if kinds else activation(given) if isinstance(given, str) else "linear")
    # scikit-learn's output layer is drawn as the hidden ones, even where there are none
    coefs, intercepts = [], []
    for fan_in, fan_out, kind in zip(units[:-1], units[1:], kinds, strict=True):
        bound = math.sqrt((2.0 if kind == "sigmoid" else 6.0) / (fan_in + fan_out))
        coefs.append(rng.uniform(-bound, bound, (fan_in, fan_out)))
        intercepts.append(rng.uniform(-bound, bound, fan_out))
    return coefs, intercepts


def build(parameters: dict, task: Task, rows: int, *, seed: int, begin: int = 0, mean_weight: float = 1.0,
          metrics=()) -> tuple[Sequential, dict]:
    """A network, compiled, and how it is trained.

    Parameters
    ----------
    parameters : dict
        All of an estimator's, as `fusednet.sklearn._presets.resolve` gives them.
    task : Task
    rows : int
        That it is trained on.
    seed : int
        Of the order of rows and of dropout.
    begin : int, default 0
        The step that the training begins with, where it goes on.
    mean_weight : float, default 1
        Mean of the rows' weights.
    metrics : sequence of str

    Returns
    -------
    model : Sequential
    arguments : dict
        Of ``model.fit``, beside the data, validation data and callbacks.
    """
    batch = batch_size(parameters, rows)
    model = Sequential(layers(parameters, task, mean_weight), seed, dtype=task.dtype)
    steps = parameters["max_iter"] * -(-rows // batch)
    model.compile(optimizer(parameters, steps, begin), task.loss, metrics)
    arguments = {"batch_size": batch, "epochs": int(parameters["max_iter"]), "shuffle": bool(parameters["shuffle"]),
                 "max_time": parameters["max_time"]}
    return model, arguments
