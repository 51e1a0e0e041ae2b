"""`EarlyStopping`.

Read by nobody but the package's `__init__`.

a) The rule is Keras 3's to the letter, its corners included: the first epoch never stops a training, and an epoch that
   beats the best one without beating the baseline uses up patience but does not stop.
b) The best weights are copied into the same arrays each time: memory stays flat however often the best is beaten.
"""

import numpy as np

from fusednet import errors
from fusednet.callbacks._base import say
from fusednet.callbacks._monitor import Monitor


class EarlyStopping(Monitor):
    """Stop when a loss or metric gets no better.

    Parameters
    ----------
    monitor : str, default "val_loss"
        Key of the logs.
    min_delta : float, default 0
        A change counts as better only if it is larger.
    patience : int, default 0
        Stop after this many epochs without a better one.
    verbose : int, default 0
        1: print when it stops and what it restores.
    mode : {"auto", "min", "max"}, default "auto"
        Whether smaller or larger is better; "auto" knows the usual names.
    baseline : float, optional
        A value to be beaten: while it is not, patience is used up.
    restore_best_weights : bool, default False
        At the end give the model the weights of its best epoch, also where every epoch was run.
    start_from_epoch : int, default 0
        Epochs before this one, counted from 0, are not looked at.

    Attributes
    ----------
    best : float or None
        The best value so far.
    best_epoch : int
        Its epoch, from 0.
    best_weights : list of ndarray or None
        The weights then, if they are to be restored.
    wait : int
        Epochs since.
    stopped_epoch : int
        The epoch, from 0, that it stopped at; 0 if it has not.

    Raises
    ------
    ValueError
        If a number is out of its range; if "auto" does not know the name; when the training begins, if there is no such
        key.

    Notes
    -----
    As Keras 3 [1]_. Each training starts with no best value.

    References
    ----------
    .. [1] https://keras.io/api/callbacks/early_stopping
    """

    def __init__(self, monitor="val_loss", min_delta=0, patience=0, verbose=0, mode="auto", baseline=None,
                 restore_best_weights=False, start_from_epoch=0):
        super().__init__(monitor, mode, min_delta)
        self.patience = errors.integer("EarlyStopping", "patience", patience, 0)
        self.verbose = errors.integer("EarlyStopping", "verbose", verbose, 0)
        self.baseline = None if baseline is None else errors.real("EarlyStopping", "baseline", baseline)
        self.restore_best_weights = errors.boolean("EarlyStopping", "restore_best_weights", restore_best_weights)
        self.start_from_epoch = errors.integer("EarlyStopping", "start_from_epoch", start_from_epoch, 0)
        self._forget()

    def _forget(self) -> None:
        self.best = None
        self.best_epoch = 0
        self.best_weights: list[np.ndarray] | None = None
        self.wait = 0
        self.stopped_epoch = 0

    def on_train_check(self, logs=None):
        """Check the key."""
        self.check_monitor()

    def on_train_begin(self, logs=None):
        """Forget the training before."""
        self._forget()

    def on_epoch_end(self, epoch, logs=None):
        """Compare, and stop where patience is used up."""
        current = self.current(logs)
        if current is None or epoch < self.start_from_epoch:
            return
        if self.restore_best_weights and self.best_weights is None:
            self._keep(epoch)  # whatever comes, there is something to restore
        self.wait += 1
        if self.better(current, self.best):
            self.best = current
            self._keep(epoch)
            if self.baseline is None or self.better(current, self.baseline):
                self.wait = 0
        elif self.wait >= self.patience and epoch > 0:
            self.stopped_epoch = epoch
            self.model.stop_training = True

    def _keep(self, epoch: int) -> None:
        self.best_epoch = epoch
        if not self.restore_best_weights:
            return
        weights = self.model.get_weights()
        if self.best_weights is None:
            self.best_weights = [np.array(weight) for weight in weights]
        else:
            for kept, weight in zip(self.best_weights, weights, strict=True):
                np.copyto(kept, weight)

    def on_train_end(self, logs=None):
        """Restore the best weights."""
        if self.stopped_epoch > 0 and self.verbose:
            say(f"Epoch {self.stopped_epoch + 1}: early stopping")
        if self.restore_best_weights and self.best_weights is not None:
            if self.verbose:
                say(f"Restoring model weights from the end of the best epoch: {self.best_epoch + 1}.")
            self.model.set_weights(self.best_weights)

    def state_dict(self):
        """The best value, its epoch and its weights, and how long ago it was."""
        state = {name: getattr(self, name) for name in ("best", "best_epoch", "wait", "stopped_epoch")}
        weights = self.best_weights or []
        return {**state, **{f"best_weights.{place}": weight.copy() for place, weight in enumerate(weights)}}

    def load_state_dict(self, state):
        """Go on from what `state_dict` gave; where it had stopped the training, it does so again."""
        for name in ("best", "best_epoch", "wait", "stopped_epoch"):
            setattr(self, name, state[name])
        count = sum(name.startswith("best_weights.") for name in state)
        self.best_weights = [np.array(state[f"best_weights.{place}"]) for place in range(count)] or None
        if self.stopped_epoch > 0:
            self.model.stop_training = True
