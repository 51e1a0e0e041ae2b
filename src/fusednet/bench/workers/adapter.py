"""What every library's file here gives: a class `Library` that trains a job and predicts, in that library's best way.

Read by the files beside it; worker.py calls it. Needs NumPy alone, because each library lives in an environment of its
own.

a) All libraries begin with the same weights, so that losses after as many epochs can be held against each other: the
   order of rows and the dropout masks are all that differs.
b) The numbers are fusednet's: batch norm with momentum 0.99 and epsilon 1e-3, Adam with epsilon 1e-7.
c) What is timed is an epoch as its user runs it: order of rows, gathering them, and all steps, until the weights exist.
"""

import time
from dataclasses import dataclass

import numpy as np

MOMENTUM, EPSILON = 0.99, 1e-3
"""Of batch norm; `MOMENTUM` is what the running values keep in a step."""

ADAM = (0.9, 0.999, 1e-7)
"""First and second decay, epsilon."""

SGD_MOMENTUM = 0.9


@dataclass(frozen=True)
class Task:
    """A job and its arrays; the fields are those of `workloads.Job`.

    Attributes
    ----------
    kernels : list of ndarray of float32, (inputs, units)
        First weights of each dense layer; biases begin at 0, batch norm at 1 and 0.
    x : ndarray of float32, (rows, features)
    y : ndarray of int32, (rows,), or of float32, (rows, outputs)
    threads : int
    seed : int
        Of the order of rows and of dropout.
    """

    features: int
    hidden: tuple[int, ...]
    outputs: int
    loss: str
    optimizer: str
    rate: float
    batch: int
    rows: int
    activation: str
    batch_norm: bool
    dropout: float
    kernels: list[np.ndarray]
    x: np.ndarray
    y: np.ndarray
    threads: int
    seed: int

    @property
    def steps(self) -> int:
        """Of an epoch; rows are a multiple of the batch in every job."""
        return self.rows // self.batch


class Library:
    """A library at work on a job."""

    package = ""
    """Whose version is told."""

    def refusal(self, task: Task) -> str:
        """Why the library cannot express the job, or ""."""
        return ""

    def prepare(self, task: Task) -> None:
        """Make the network; compiling may wait for the first epoch."""
        raise NotImplementedError

    def epoch(self) -> None:
        """Train one epoch, and wait until it has been done."""
        raise NotImplementedError

    def epochs(self, number: int) -> list[float]:
        """Train; the seconds of each epoch."""
        taken = []
        for _ in range(number):
            begin = time.perf_counter()
            self.epoch()
            taken.append(time.perf_counter() - begin)
        return taken

    def predict(self, x: np.ndarray) -> np.ndarray:
        """The outputs of the network as it is, from NumPy array to NumPy array."""
        raise NotImplementedError

    def loss(self) -> float:
        """Mean loss over the training rows, as prediction sees them: running statistics, no dropout."""
        return mean_loss(self.task, self.predict(self.task.x))

    task: Task


def mean_loss(task: Task, outputs: np.ndarray) -> float:
    """Cross entropy over labels of outputs before the softmax, or the mean squared error; in float64."""
    outputs = np.asarray(outputs, np.float64)
    if task.loss == "mse":
        return float(np.mean((outputs - task.y) ** 2))
    top = outputs.max(axis=1, keepdims=True)
    total = np.log(np.exp(outputs - top).sum(axis=1)) + top[:, 0]
    return float(np.mean(total - outputs[np.arange(len(outputs)), task.y]))
