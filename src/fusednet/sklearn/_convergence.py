"""When a training has converged, as scikit-learn decides it: a callback that reads the loss of each epoch.

Reads fusednet.callbacks; read by _base.py, whose estimators carry what it counts.

a) What it counts are the estimator's attributes, so that a warm start goes on with them.
b) Scores of validation rows are the estimator's own (accuracy, R2) on its own predictions.
"""

import math

import numpy as np

from fusednet.callbacks import Callback

SMALLEST_RATE = 1e-6
"""At which "adaptive" gives up."""


class Convergence(Callback):
    """Counts epochs without improvement, sets the learning rate between epochs, ends the training.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
    parameters : dict
        Its parameters, with those of the preset.
    rows : int
        Rows of an epoch.
    score : callable, optional
        ``score() -> float`` of the validation rows.
    shown_loss : callable
        ``shown_loss(logs) -> float``: the loss as scikit-learn counts it.
    incremental : bool
        Whether this is one step of ``partial_fit``.
    """

    def __init__(self, estimator, parameters: dict, rows: int, score, shown_loss, incremental: bool):
        super().__init__()
        self._e, self._p, self._rows = estimator, parameters, rows
        self._score, self._loss, self._incremental = score, shown_loss, incremental
        self.converged = False
        sgd = parameters["solver"] == "sgd" and parameters["optimizer"] is None
        self._rule = parameters["learning_rate"] if sgd else "constant"

    def on_epoch_end(self, epoch, logs=None) -> None:
        e, p = self._e, self._p
        e.n_iter_ += 1
        e.loss_ = self._loss(logs)
        e.t_ += self._rows
        e.loss_curve_.append(e.loss_)
        if "val_loss" in logs:
            named = {name.removeprefix("val_"): value for name, value in logs.items() if name.startswith("val_")}
            e.validation_loss_curve_.append(self._loss(named))
        if p["verbose"]:
            print(f"Iteration {e.n_iter_}, loss = {e.loss_:.8f}")
        self._count(logs)
        if self._rule == "invscaling":
            self.model.learning_rate = p["learning_rate_init"] / math.pow(e.t_ + 1, p["power_t"])
        if e._no_improvement_count > p["n_iter_no_change"]:
            self._not_improving()

    def _count(self, logs) -> None:
        e, p = self._e, self._p
        if self._score is not None:
            value = self._score()
            e.validation_scores_.append(value)
            if p["verbose"]:
                print(f"Validation score: {value:f}")
        if p["early_stopping"]:
            if p["validation_metric"] == "loss":
                value = -e.validation_loss_curve_[-1]
            worse = value < e.best_validation_score_ + p["tol"]
            if value > e.best_validation_score_:
                e.best_validation_score_ = value
                e._best_weights = e.model_.memory.remember()
        else:
            worse = e.loss_ > e.best_loss_ - p["tol"]
            e.best_loss_ = min(e.best_loss_, e.loss_)
        e._no_improvement_count = e._no_improvement_count + 1 if worse else 0

    def _not_improving(self) -> None:
        e, p = self._e, self._p
        what = "Validation score" if p["early_stopping"] else "Training loss"
        message = f"{what} did not improve more than tol={p['tol']:f} for {p['n_iter_no_change']} consecutive epochs."
        rate = self.model.learning_rate
        if self._rule == "adaptive" and rate > SMALLEST_RATE:
            self.model.learning_rate = rate / 5.0
            e._no_improvement_count = 0
            message += f" Setting learning rate to {rate / 5.0:f}"
        else:
            self.model.stop_training = self.converged = True
            message += " Learning rate too small. Stopping." if self._rule == "adaptive" else " Stopping."
        if p["verbose"]:
            print(message)

    def not_finite(self) -> None:
        """The training was stopped by a loss that is not finite."""
        if self._score is not None:
            self._e.validation_scores_.append(math.nan)


def accuracy(right: np.ndarray, weight: np.ndarray | None) -> float:
    """Share of rows that are right."""
    return float(np.average(right, weights=weight))


def r2(y: np.ndarray, predicted: np.ndarray, weight: np.ndarray | None) -> float:
    """Coefficient of determination, mean over columns; NaN where the prediction is not finite.

    A column that does not vary scores 1 if it is met, else 0, as in scikit-learn.
    """
    if not np.isfinite(predicted).all():
        return math.nan
    w = np.ones((len(y), 1)) if weight is None else np.asarray(weight, np.float64).reshape(-1, 1)
    y, predicted = y.astype(np.float64), predicted.astype(np.float64)
    left = (w * (y - predicted) ** 2).sum(axis=0)
    total = (w * (y - np.average(y, axis=0, weights=w[:, 0])) ** 2).sum(axis=0)
    scores = np.where(total > 0, 1 - left / np.where(total > 0, total, 1), np.where(left == 0, 1.0, 0.0))
    return float(scores.mean())
