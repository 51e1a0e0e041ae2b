"""scikit-learn's own callbacks (1.9 and newer): each epoch is a task of ``fit`` that they are told of.

Reads fusednet.callbacks and, where it is there, sklearn.callback; read by _base.py.

a) The protocol is scikit-learn's and may change there; all that knows it is in this file.
b) An estimator without such callbacks pays nothing: no task is made.
"""

import copy
from contextlib import contextmanager

from fusednet.callbacks import Callback

try:
    from sklearn.callback import CallbackSupportMixin
except ImportError:  # before 1.9

    class CallbackSupportMixin:
        """Nothing: this scikit-learn has no callbacks."""


class Tasks(Callback):
    """Tells scikit-learn's callbacks of each epoch; their "stop" ends the training.

    Parameters
    ----------
    estimator : MLPClassifier or MLPRegressor
    context : sklearn.callback.CallbackContext
        Of ``fit``.
    rows : dict
        X, y and metadata, as ``fit`` was given them.
    """

    def __init__(self, estimator, context, rows: dict):
        super().__init__()
        self._estimator, self._context, self._rows = estimator, context, rows

    def on_epoch_begin(self, epoch, logs=None) -> None:
        self._task = self._context.subcontext(task_name=f"epoch {epoch}")
        self._task.call_on_fit_task_begin(estimator=self._estimator, **self._rows)

    def on_epoch_end(self, epoch, logs=None) -> None:
        stop = self._task.call_on_fit_task_end(estimator=self._estimator, reconstruction_attributes=self._now,
                                               **self._rows)
        if stop:
            self.model.stop_training = True

    def _now(self) -> dict:
        """What makes a copy of the estimator predict as it would now, whatever the training does next."""
        names = ("model_", "coefs_", "intercepts_")
        return {name: copy.deepcopy(getattr(self._estimator, name)) for name in names}


@contextmanager
def told(estimator, epochs: int, rows: dict):
    """The root task of ``fit``; gives the callback for its epochs, or None."""
    if not (getattr(estimator, "_skl_callbacks", None) or hasattr(estimator, "_parent_callback_ctx")):
        yield None
        return
    context = estimator._init_callback_context(max_subtasks=epochs)
    context.call_on_fit_task_begin(estimator=estimator, **rows)
    yield Tasks(estimator, context, rows)
    context.call_on_fit_task_end(estimator=estimator, reconstruction_attributes={}, **rows)
