"""The training jobs that the library is measured on: one job is one dense network, data as wide, a batch size.

Read by training.py, measure.py and floor.py; a job with another batch size is named as "NAME@BATCH". Features are
float32 standard normal numbers in memory; the order of rows is drawn anew in each epoch. The figure is training rows
per second.
"""

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np

import fusednet as fn
from fusednet import errors


@dataclass(frozen=True)
class Job:
    """A training.

    Attributes
    ----------
    features, outputs : int
    hidden : tuple of int
    loss : {"ce", "mse"}
        Softmax cross entropy over integer labels, or mean squared error.
    optimizer : str
    rate : float
        Learning rate.
    batch, rows : int
        Of a step; of an epoch.
    activation : str
    batch_norm : bool
        Between affine and activation of every hidden layer.
    dropout : float
        After every hidden activation.
    """

    features: int
    hidden: tuple[int, ...]
    outputs: int
    loss: str
    optimizer: str
    rate: float
    batch: int
    rows: int
    activation: str = "relu"
    batch_norm: bool = False
    dropout: float = 0.0

    @property
    def network(self) -> str:
        """Its widths; four hidden layers and more of the same width as their number times that."""
        hidden = [str(width) for width in self.hidden]
        if len(hidden) > 3 and len(set(hidden)) == 1:
            hidden = [f"{len(hidden)}x{hidden[0]}"]
        return "-".join([str(self.features), *hidden, str(self.outputs)])

    @property
    def flop(self) -> int:
        """Operations of a row's products: forward, weights' gradient, and gradient of all inputs but the first."""
        widths = (self.features, *self.hidden, self.outputs)
        products = [m * n for m, n in pairwise(widths)]
        return 2 * (3 * sum(products) - products[0])

    def data(self, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Rows and targets; the labels depend on the rows, so that a loss can fall."""
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((self.rows, self.features), dtype=np.float32)
        if self.loss == "mse":
            return x, np.tanh(x[:, : self.outputs]) + rng.normal(0, 0.1, (self.rows, self.outputs)).astype(np.float32)
        weights = rng.standard_normal((self.features, self.outputs), dtype=np.float32)
        return x, (x @ weights).argmax(axis=1).astype(np.int32)

    def model(self, seed: int = 0) -> fn.Sequential:
        """The network, compiled."""
        layers = []
        for units in self.hidden:
            layers.append(fn.Dense(units))
            layers += [fn.BatchNormalization()] if self.batch_norm else []
            layers.append(fn.Activation(self.activation))
            layers += [fn.Dropout(self.dropout)] if self.dropout else []
        model = fn.Sequential([*layers, fn.Dense(self.outputs)], seed=seed)
        optimizer = {
            "sgd": lambda: fn.SGD(self.rate),
            "momentum": lambda: fn.SGD(self.rate, momentum=0.9),
            "adam": lambda: fn.Adam(self.rate),
        }[self.optimizer]()
        model.compile(optimizer, "sparse_categorical_crossentropy" if self.loss == "ce" else "mse")
        return model


JOBS = {
    "tiny": Job(4, (16,), 3, "ce", "sgd", 0.01, 16, 4096),
    "rl": Job(17, (64, 64), 6, "mse", "adam", 0.0003, 64, 8192, activation="tanh"),
    "default": Job(20, (100,), 10, "ce", "adam", 0.001, 200, 20000),
    "tabular": Job(54, (256, 256, 256), 7, "ce", "adam", 0.001, 256, 32768, batch_norm=True, dropout=0.2),
    "book": Job(784, (100,) * 5, 10, "ce", "sgd", 0.01, 100, 10000, batch_norm=True),
    "mnist": Job(784, (512, 512), 10, "ce", "adam", 0.001, 128, 12800, dropout=0.2),
    "deep": Job(128, (128,) * 16, 10, "ce", "momentum", 0.01, 128, 12800, batch_norm=True),
    "wide": Job(1024, (2048, 2048, 2048), 1000, "ce", "adam", 0.001, 512, 4096),
    "bigbatch": Job(256, (512, 512, 512), 1, "mse", "adam", 0.001, 4096, 65536, batch_norm=True),
}


def named(name: str) -> Job:
    """The job of that name; "default@8" is the job "default" in batches of 8, and of a multiple of 8 rows.

    Raises
    ------
    ValueError
        If there is none.
    """
    base, at, size = name.partition("@")
    if base not in JOBS:
        raise errors.unknown("workloads", "job", base, JOBS)
    job = JOBS[base]
    if not at:
        return job
    batch = int(size) if size.isdecimal() else 0
    if not 1 <= batch <= job.rows:
        raise ValueError(f"job is {name!r}; wanted a batch size from 1 to {job.rows:,} behind the @")
    return replace(job, batch=batch, rows=job.rows // batch * batch)


def ordered(names) -> list[str]:
    """Names of jobs in the order of `JOBS`, other batch sizes behind their job."""
    def place(name: str) -> tuple[int, int]:
        base, _, size = name.partition("@")
        return list(JOBS).index(base), int(size or 0)

    return sorted(names, key=place)
