"""One list of small trainings: networks, losses and optimizers in words, with data for each.

Reads spec.py, losses.py, optimizers.py; read by test_parity.py, test_parity_torch.py and test_walkers.py.

a) Each says one thing of a training that could be wrong, and is small: what is computed, not how fast.
b) Options are far from their defaults and from 0 (a clip that clips, an epsilon that counts), so that a step without
   them is another step; test_parity.py shows it for every number in the list.
c) Data and first weights are float32 numbers in either dtype, so that both dtypes begin at the same place.
d) There is no bias before a batch normalisation: its gradient is 0 but for rounding, which Adam would blow up.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

import fusednet as fn
from fusednet.cursor import STEP
from fusednet.losses import LOSSES, HalfPoissonDeviance, HalfSquaredError, LogLoss, Loss
from fusednet.optimizers import OPTIMIZERS, Optimizer
from fusednet.spec import ACTIVATIONS, Layer

FEATURES, OUTPUTS, ROWS = 7, 4, 24
BEGUN = 3
"""Steps that a training is said to have behind it: bias corrections and masks are then not those of the first."""


_SGD, _MSE = fn.SGD(0.25), fn.MeanSquaredError()


@dataclass(frozen=True)
class Training:
    """A network and how it is trained.

    Attributes
    ----------
    name : str
    layers : tuple of Layer
    optimizer : Optimizer
    loss : Loss
    weighted : bool
        Whether rows have weights.
    soft : bool
        Whether the targets of a cross entropy are rows of probabilities.
    x : str
        dtype of the data.
    """

    name: str
    layers: tuple[Layer, ...]
    optimizer: Optimizer = _SGD
    loss: Loss = _MSE
    weighted: bool = False
    soft: bool = False
    x: str = "float32"

    def __str__(self):
        return self.name

    @property
    def outputs(self) -> int:
        return next(layer.units for layer in reversed(self.layers) if isinstance(layer, fn.Dense))


def _two(activation="tanh", last=None, **options) -> tuple[Layer, ...]:
    return (fn.Dense(9, activation=activation, **options), fn.Dense(OUTPUTS, activation=last))


def _activations():
    for kind in ACTIVATIONS:
        yield Training(f"dense-{kind}", _two(kind))
        yield Training(f"activation-{kind}", (fn.Dense(9), fn.Dropout(0.25), fn.Activation(kind), fn.Dense(OUTPUTS)))
    yield Training("dense-leaky_relu-alpha", _two(fn.LeakyReLU(0.35)))
    yield Training("dense-elu-alpha", _two(fn.ELU(1.7)))
    yield Training("last-softmax-mse", _two("tanh", "softmax"), fn.SGD(2.0))
    yield Training("last-swish-mse", _two("tanh", "swish"))
    yield Training("one-layer", (fn.Dense(OUTPUTS),))
    yield Training("no-bias", (fn.Dense(9, activation="tanh", use_bias=False), fn.Dense(OUTPUTS, use_bias=False)))


def _layers():
    norm = fn.BatchNormalization(momentum=0.8, epsilon=0.05)
    yield Training("batch_norm-before", (fn.Dense(9, use_bias=False), norm, fn.Tanh(), fn.Dense(OUTPUTS)))
    yield Training("batch_norm-after", (fn.Dense(9, activation="tanh"), norm, fn.Dense(OUTPUTS)))
    yield Training("batch_norm-swish", (fn.Dense(9, use_bias=False), norm, fn.Swish(), fn.Dense(OUTPUTS)))
    yield Training("batch_norm-first", (norm, fn.Dense(9, activation="relu"), fn.Dense(OUTPUTS)))
    yield Training("batch_norm-last", (fn.Dense(9, activation="relu"), fn.Dense(OUTPUTS, use_bias=False), norm))
    yield Training("batch_norm-dropout", (fn.Dense(9, use_bias=False), norm, fn.ReLU(), fn.Dropout(0.4),
                                          fn.Dense(OUTPUTS)))
    for kind in ("relu", "tanh", "gelu"):
        yield Training(f"dropout-{kind}", (fn.Dense(9, activation=kind), fn.Dropout(0.3), fn.Dense(OUTPUTS)))
    yield Training("dropout-twice", (fn.Dropout(0.2), fn.Dense(9, activation="elu"), fn.Dropout(0.5), fn.Dropout(0.1),
                                     fn.Dense(OUTPUTS)))
    yield Training("normalization", (fn.Normalization(mean=tuple(np.arange(7) / 8), variance=(2.25,)), *_two()))
    yield Training("normalization-uint8", (fn.Normalization(mean=(100.0,), variance=(2500.0,)), *_two()), x="uint8")
    for kind, penalty in (("l1", fn.L1(0.03)), ("l2", fn.L2(0.05)), ("l1l2", fn.L1L2(0.02, 0.04)),
                          ("l2-per_row", fn.L1L2(l2=1.0, per_row=True)), ("per_row", fn.L1L2(0.4, 0.8, True))):
        yield Training(f"regularizer-{kind}", _two(kernel_regularizer=penalty, bias_regularizer=penalty))
    yield Training("regularizer-clipped", _two(kernel_regularizer=fn.L2(0.05)), fn.SGD(0.25, clipnorm=0.1))
    yield Training("learning_rate_factor", _two(learning_rate_factor=0.3), fn.SGD(0.25, weight_decay=0.1))
    yield Training("frozen", _two(learning_rate_factor=0.0), fn.Adam(0.05, epsilon=0.05))


def _losses():
    smooth = {"label_smoothing": 0.2}
    categorical, sparse = fn.CategoricalCrossentropy, fn.SparseCategoricalCrossentropy
    for name, loss, last, soft in (
        ("sparse", sparse(), "softmax", False),
        ("sparse-logits", sparse(**smooth), None, False),
        ("sparse-most", sparse(most=1.5), "softmax", False),
        ("categorical", categorical(**smooth), "softmax", False),
        ("categorical-soft", categorical(**smooth), "softmax", True),
        ("binary", fn.BinaryCrossentropy(), "sigmoid", False),
        ("binary-smooth", fn.BinaryCrossentropy(**smooth), None, False),
        ("log_loss", LogLoss(most=2.6), "sigmoid", False),
        ("half", HalfSquaredError(), None, False),
        ("mse", fn.MeanSquaredError(), None, False),
        ("mae", fn.MeanAbsoluteError(), None, False),
        ("huber", fn.Huber(0.6), None, False),
        ("quantile", fn.Quantile(0.3), None, False),
        ("poisson", fn.Poisson(), None, False),
        ("deviance", HalfPoissonDeviance(), None, False),
    ):
        for weighted in (False, True):
            yield Training(f"loss-{name}{'-weighted' if weighted else ''}", _two("tanh", last), loss=loss,
                           weighted=weighted, soft=soft)
    norm = fn.BatchNormalization()
    yield Training("softmax-after-batch_norm", (fn.Dense(OUTPUTS, use_bias=False), norm, fn.Softmax()), loss=sparse())


_OPTIMIZERS = {
    "sgd": fn.SGD(0.25),
    "momentum": fn.SGD(0.25, momentum=0.8),
    "nesterov": fn.SGD(0.25, momentum=0.8, nesterov=True),
    "adagrad": fn.AdaGrad(0.2, epsilon=0.05),
    "rmsprop": fn.RMSprop(0.1, rho=0.7, epsilon=0.05),
    "adam": fn.Adam(0.1, 0.8, 0.9, 0.05),
    "adam-inside": fn.Adam(0.1, 0.8, 0.9, 0.05, epsilon_inside=True),
    "adamw": fn.AdamW(0.1, 0.8, 0.9, 0.05, epsilon_inside=True, weight_decay=0.3),
}
_CLIPS = {"weight_decay": 0.3, "clipnorm": 0.05, "global_clipnorm": 0.1, "clipvalue": 0.01}


def _optimizers():
    for name, optimizer in _OPTIMIZERS.items():
        yield Training(name, _two(), optimizer)
        yield Training(f"{name}-ema", _two(), _with(optimizer, use_ema=True, ema_momentum=0.7))
        for option, value in _CLIPS.items():
            penalized = _two(kernel_regularizer=fn.L2(0.05))
            yield Training(f"{name}-{option}", penalized, _with(optimizer, **{option: value}))
    both = {"global_clipnorm": 0.2, "clipvalue": 0.02, "weight_decay": 0.1}
    yield Training("adam-all", _two(kernel_regularizer=fn.L1L2(0.01, 0.02)), _with(_OPTIMIZERS["adam"], **both))
    yield Training("schedule", _two(), fn.SGD(fn.ExponentialDecay(0.25, 2, 0.5)))


def _with(optimizer: Optimizer, **options) -> Optimizer:
    return type(optimizer)(**{**vars(optimizer), **options})


MIXED = Training(
    "mixed",
    (
        fn.Normalization(mean=(0.5,), variance=(1.5,)),
        fn.Dense(16, activation="gelu", kernel_regularizer=fn.L2(0.01)),
        fn.Dense(12, use_bias=False), fn.BatchNormalization(momentum=0.9), fn.ReLU(), fn.Dropout(0.2),
        fn.Dense(8, activation="tanh", kernel_regularizer=fn.L1(0.01)), fn.BatchNormalization(),
        fn.Dense(OUTPUTS, activation="softmax"),
    ),
    fn.AdamW(0.01, epsilon=0.02, epsilon_inside=True, weight_decay=0.02, global_clipnorm=0.5),
    fn.SparseCategoricalCrossentropy(label_smoothing=0.1),
    weighted=True,
)
"""Many things at once, for trainings of many steps."""

TRAININGS = (*_activations(), *_layers(), *_losses(), *_optimizers(), MIXED)

def drawn(number: int) -> Training:
    """A training drawn at random: neighbours of layers that nobody thought of."""
    rng = np.random.default_rng([13, number])
    layers: list[Layer] = []
    for _ in range(rng.integers(1, 9)):
        kind = rng.choice(["dense", "batch_norm", "dropout", "activation"])
        last = layers[-1] if layers else None
        if kind == "dense":
            activation = rng.choice(["linear", *ACTIVATIONS])
            layers.append(fn.Dense(int(rng.integers(1, 20)), activation=str(activation), use_bias=bool(rng.integers(2)),
                                   kernel_regularizer=fn.L2(0.01) if rng.random() < 0.3 else None))
        elif kind == "dropout":
            layers.append(fn.Dropout(float(rng.choice([0.0, 0.2, 0.5]))))
        elif kind == "activation":
            layers.append(fn.Activation(str(rng.choice(ACTIVATIONS))))
        elif _varies(layers, last):
            layers.append(fn.BatchNormalization(momentum=0.8, epsilon=0.05))
    loss = rng.choice([t.loss for t in TRAININGS])
    optimizer = rng.choice([t.optimizer for t in TRAININGS])
    head = [fn.Activation(loss.head)] if loss.head and rng.integers(2) else []
    layers += [fn.Dense(OUTPUTS, use_bias=bool(rng.integers(2))), *head]
    return Training(f"drawn-{number}", tuple(layers), optimizer, loss, weighted=bool(rng.integers(2)))


def _varies(layers: list[Layer], last: Layer | None) -> bool:
    """Whether a batch normalisation may follow: no parameter before it has a gradient that is 0 but for rounding."""
    if last is None:
        return True
    if isinstance(last, fn.Dense) and last.units > 1:
        return last.activation.kind not in ("linear", "softmax") or not last.use_bias
    return isinstance(last, fn.Activation) and last.kind not in ("linear", "softmax") and len(layers) > 1


# ---- data, models ----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=8)
def data(training: Training, rows: int = ROWS) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Rows, what they should give, and their weights or None; read-only."""
    rng = np.random.default_rng(5)
    if training.x == "uint8":
        x = rng.integers(0, 256, (rows, FEATURES)).astype(np.uint8)
    else:
        x = rng.standard_normal((rows, FEATURES)).astype(np.float32).astype(training.x)
    takes, shape = training.loss.takes, (rows, training.outputs)
    if training.soft:
        y = rng.dirichlet(np.ones(shape[1]), rows).astype(np.float32)
    elif takes == "classes":
        y = rng.integers(0, shape[1], rows).astype(np.int32)
    elif takes == "binary":
        y = rng.integers(0, 2, shape).astype(np.float32)
    else:
        y = rng.standard_normal(shape).astype(np.float32)
        y = np.abs(y) if training.loss.counts else y
    weight = rng.uniform(0.25, 2.0, rows).astype(np.float32) if training.weighted else None
    if weight is not None:
        weight[1] = 0
    for array in (x, y, weight):
        if array is not None:
            array.setflags(write=False)
    return x, y, weight


def model(training: Training, dtype: str = "float32", *, begun: bool = False, metrics=()) -> fn.Sequential:
    """A compiled model with weights; `begun`: also with moments, running statistics and steps behind it."""
    made = fn.Sequential(training.layers, seed=11, dtype=dtype)
    made.compile(training.optimizer, training.loss, metrics)
    made.build(FEATURES)
    made.memory.prepare(training.optimizer)
    rng = np.random.default_rng(7)
    for name, array in made.memory.parameters.items():
        noise = rng.standard_normal(array.shape)
        array[...] = (1 + 0.3 * noise if name.endswith("gamma") else 0.4 * noise).astype(np.float32)
    if begun:
        for array in made.memory.running.values():
            array[...] = rng.uniform(0.5, 1.5, array.shape).astype(np.float32)
        for kind, vector in made.memory.state.items():
            for array in made.memory.views(vector).values():
                drawn = 0.05 * rng.standard_normal(array.shape)
                squares = kind == "v" and training.optimizer.name != "sgd"
                array[...] = (np.abs(drawn) + 0.002 if squares else drawn).astype(np.float32)
        made.left.cursor[STEP] = BEGUN
    return made


def covered() -> dict[str, bool]:
    """Whether every activation, layer, loss and optimizer there is has a training."""
    layers = [layer for training in TRAININGS for layer in training.layers]
    kinds = {layer.activation.kind for layer in layers if isinstance(layer, fn.Dense)}
    alone = {layer.kind for layer in layers if isinstance(layer, fn.Activation)}
    others = {fn.Dense, fn.BatchNormalization, fn.Dropout, fn.Normalization}
    return {
        "activations of Dense": kinds == set(ACTIVATIONS),
        "activations alone": alone == set(ACTIVATIONS),
        "layers": others <= {type(layer) for layer in layers},
        "losses": {type(training.loss) for training in TRAININGS} >= {
            *LOSSES.values(), HalfPoissonDeviance, HalfSquaredError, LogLoss},
        "optimizers": {type(training.optimizer) for training in TRAININGS} == set(OPTIMIZERS.values()),
    }
