"""Estimators with scikit-learn's methods as networks to be trained by `fit_many` and the searches.

Reads pool.py and, where an estimator comes, scikit-learn; read by many.py and sklearn/_members.py (`Scored`).

a) An estimator is asked for by its methods (get_params, set_params, fit, score), not by its class: those of
   fusednet.sklearn, pipelines of them and others will do. It trains itself; nothing of it is done over here.
b) Rows of a fold are copied once for all networks, since estimators take arrays and not row numbers.
c) What only fusednet's estimators have is used where it is there: ``X_val``, ``callbacks``, curves by epoch.
"""

import copy
import inspect
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import ClassVar

import numpy as np

from fusednet.callbacks import Callback
from fusednet.pool import Job


def is_estimator(given) -> bool:
    """Whether it is an estimator, not its class."""
    return not isinstance(given, type) and all(hasattr(given, name) for name in ("get_params", "set_params", "fit",
                                                                                 "score"))


def takes_validation(estimator) -> bool:
    """Whether its ``fit`` takes validation rows, and so tells their loss."""
    return "X_val" in inspect.signature(estimator.fit).parameters and getattr(estimator, "solver", None) != "lbfgs"


def with_params(estimator, params: dict, seed: int | None):
    """A copy that is not fitted, with these parameters; a random state that nobody has set is made from the seed."""
    import sklearn.base

    made = sklearn.base.clone(estimator).set_params(**params)
    if seed is not None:
        states = {name: seed for name, value in made.get_params().items()
                  if value is None and name.split("__")[-1] == "random_state"}
        made.set_params(**states)
    return made


class Rows:
    """x and y as estimators take them, with the rows of each fold.

    Parameters
    ----------
    x, y : array_like
    sample_weight : array_like, optional
    validation_data : tuple, optional
    division : Division
    estimator : object
        The first; whether it is a classifier says whether folds are stratified.
    """

    def __init__(self, x, y, sample_weight, validation_data, division, estimator):
        from sklearn.base import is_classifier
        from sklearn.utils import check_consistent_length, indexable

        check_consistent_length(x, y, sample_weight)
        x, y = indexable(x, y)  # of sparse matrices some have no rows to be asked for
        codes = classes = None
        if is_classifier(estimator) and np.shape(y)[1:] in ((), (1,)) and not hasattr(y, "toarray"):
            classes, codes = np.unique(np.ravel(y), return_inverse=True)
        weight = None if sample_weight is None else np.asarray(sample_weight)
        if validation_data is not None:
            self._check_width(x, validation_data)
        data = SimpleNamespace(x=range(np.shape(y)[0]), codes=codes, classes=classes)
        self.parts = [self._part(x, y, weight, validation_data, *rows) for rows in division.of(data)]

    @staticmethod
    def _check_width(x, validation_data) -> None:
        if not isinstance(validation_data, (tuple, list)) or len(validation_data) not in (2, 3):
            raise TypeError("validation_data is not (x, y) or (x, y, sample_weight)")
        widths = [np.shape(one)[1:] for one in (x, validation_data[0])]
        if widths[0] != widths[1]:
            raise ValueError(f"validation x has {widths[1]} columns; wanted {widths[0]}, as x has")

    @staticmethod
    def _part(x, y, weight, validation_data, train, held) -> tuple[tuple, tuple | None]:
        from sklearn.utils import _safe_indexing

        def rows(chosen):
            some = (_safe_indexing(x, chosen), _safe_indexing(y, chosen))
            return (*some, None if weight is None else weight[chosen])

        training = (x, y, weight) if train is None else rows(train)
        if validation_data is not None:
            return training, (*validation_data, None)[:3]
        return training, None if held is None else rows(held)


@dataclass
class EstimatorJob(Job):
    """An estimator that is to be fitted.

    Attributes
    ----------
    estimator : object
    rows : tuple
        X, y and weights to train on.
    held : tuple or None
        The same to validate on.
    callbacks : list
        For an estimator that takes some.
    """

    estimator: object = None
    rows: tuple = ()
    held: tuple | None = None
    callbacks: list = field(default_factory=list)
    REMEDY: ClassVar[str] = "estimators with a callback each, and none that writes where there are folds"

    def callbacks_of_its_own(self) -> list:
        """Those in its parameters, and in those of the estimators in it."""
        found = [value for name, value in self.estimator.get_params().items() if name.split("__")[-1] == "callbacks"]
        return [one for value in found for one in (value if isinstance(value, (list, tuple)) else [value])]

    @property
    def work(self) -> int:
        """Not known before it is fitted."""
        return 0

    def train(self, halt: Callback) -> tuple:
        """The estimator, its curves and its scores."""
        one = self.estimator
        x, y, weight = self.rows
        given = {} if weight is None else {"sample_weight": weight}
        if self.held is not None and takes_validation(one):
            given |= {"X_val": self.held[0], "y_val": self.held[1], "sample_weight_val": self.held[2]}
        params = one.get_params(deep=False)
        if "callbacks" in params:
            own = params["callbacks"]
            own = [] if own is None else list(own) if isinstance(own, (list, tuple)) else [own]
            one.set_params(callbacks=[halt, *copy.deepcopy(own), *(Scored(one, other) for other in self.callbacks)])
        try:
            one.fit(x, y, **given)
        finally:
            if "callbacks" in params:
                one.set_params(callbacks=params["callbacks"])
        curves = {"loss": "loss_curve_", "val_loss": "validation_loss_curve_", "val_score": "validation_scores_"}
        if self.held is not None and not takes_validation(one):  # those are of other rows, that it has set aside itself
            curves = {"loss": "loss_curve_"}
        history = {key: list(getattr(one, name)) for key, name in curves.items() if getattr(one, name, None)}
        scores = {"val_loss": history["val_loss"][_last(one, history)]} if "val_loss" in history else {}
        if self.held is not None:
            x, y, weight = self.held
            scores["val_score"] = float(one.score(x, y, **({} if weight is None else {"sample_weight": weight})))
        elif "loss" in history:
            scores["loss"] = history["loss"][-1]
        return one, SimpleNamespace(history=history, stopped=""), scores


def _last(estimator, history: dict[str, list]) -> int:
    """The epoch whose weights an estimator ends with: the last, or the best where early stopping went back to it."""
    best = getattr(estimator, "best_validation_score_", None)
    if best is not None and estimator.restore_best_weights:
        for i, (score, loss) in enumerate(zip(history["val_score"], history["val_loss"], strict=False)):
            if best in (score, -loss):
                return i
    return -1


class Scored(Callback):
    """Gives a callback the score on the validation rows, which the estimator has and its network does not.

    Of an estimator with several networks it is given the logs of the first alone, whose curves are the estimator's;
    of the others it hears that an epoch has ended.

    Attributes
    ----------
    estimator : object
        That is trained; an estimator with several networks puts each in its place.
    first : bool
        Whether it is the first.
    """

    def __init__(self, estimator, inner: Callback):
        super().__init__()
        self.estimator, self.first, self._inner = estimator, True, inner

    def on_epoch_end(self, epoch, logs=None):
        """Hand the logs on."""
        scores = getattr(self.estimator, "validation_scores_", None)
        self._inner.model = self.model
        known = {**(logs or {}), **({"val_score": scores[-1]} if scores else {})}
        self._inner.on_epoch_end(epoch, known if self.first else {})
