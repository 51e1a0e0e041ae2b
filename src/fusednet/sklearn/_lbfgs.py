"""What happens between the iterations of "lbfgs": callbacks are told, a training that is to stop is stopped.

Reads fusednet.callbacks; read by _base.py, which hands `Steps` to SciPy as the function to be minimised.

a) SciPy knows nothing of callbacks: what ends a training is an exception, which no version of it catches.
b) SciPy tells of an iteration after it has asked for loss and gradient there: the last loss is that of the iteration.
"""

import math
import time

import numpy as np

from fusednet.callbacks import CallbackList


class Stopped(Exception):
    """A callback, Ctrl-C in another thread or `max_time` ended the training."""


class Steps:
    """Loss and gradient for SciPy, counted by iteration.

    Parameters
    ----------
    objective : Objective
    model : Sequential
        Of the objective.
    parameters : dict
        The estimator's.

    Attributes
    ----------
    number : int
        Iterations that have ended.
    reached : tuple of (float, ndarray)
        Loss and weights of the last one.
    listeners : CallbackList
    """

    def __init__(self, objective, model, parameters: dict):
        self._objective, self._model = objective, model
        limit = parameters["max_time"]
        self._end = math.inf if limit is None else time.monotonic() + limit
        self.number, self._loss, self.reached = 0, math.nan, (math.nan, objective.weights)
        told = {"verbose": 0, "epochs": parameters["max_iter"], "steps": None, "metrics": ["loss"]}
        self.listeners = CallbackList(parameters["callbacks"], model, told)
        model.stop_training = False
        self._begun = False
        self.listeners.on_train_begin()

    def __call__(self, weights: np.ndarray) -> tuple[float, np.ndarray]:
        """Loss and gradient."""
        if self._model.stop_training:
            raise Stopped
        if not self._begun:
            self.listeners.on_epoch_begin(self.number, {})
            self._begun = True
        self._loss, gradient = self._objective(weights)
        return self._loss, gradient

    def ended(self, weights: np.ndarray) -> None:
        """An iteration has ended here."""
        self.number, self.reached, self._begun = self.number + 1, (self._loss, weights.copy()), False
        self.listeners.on_epoch_end(self.number - 1, {"loss": self._loss})
        if self._model.stop_training or time.monotonic() >= self._end:
            raise Stopped
