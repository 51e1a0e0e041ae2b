"""`Callback`, the base of all, and the two callbacks that are little more than it.

Read by every file of the package.

a) Methods that do nothing stand here under Keras's names; `overrides` tells whether a callback has its own, so that
   nothing is called for nothing.
b) Three methods Keras does not have: `Callback.on_train_check`, where a training is refused before anything changes,
   `Callback.on_train_progress`, which the trainer calls when the native engine comes back (about every 50 ms), and
   `Callback.on_train_interrupted`, in place of ``on_train_end`` after an exception.
"""

import sys

from fusednet import errors


class Callback:
    """Base of all callbacks: override the methods that you want to be called.

    Attributes
    ----------
    model : Sequential or None
        The model that is trained.
    params : dict
        What ``fit`` was told: ``verbose``, ``epochs``, ``steps`` (per epoch, None where unknown) and ``metrics``, the
        keys that the logs of an epoch will have.

    Notes
    -----
    ``logs`` maps names to floats: ``loss`` and the metrics, at the end of an epoch with validation the same with
    ``val_``, and ``learning_rate``; of a validation or an evaluation the names are without ``val_``, and a batch of
    a prediction has ``outputs``, its rows. ``epoch`` and ``batch`` count from 0. A method of a batch costs: the engine
    comes back to Python after every step (see `interval`).
    """

    rank = 0
    """Callbacks of a lower rank are called before it. What saves the others' state has one above 0; of those, what has
    most to be remembered comes first: 1 saves the best model, 2 every model, 3 is the backup."""

    def __init__(self):
        self.model = None
        self.params: dict = {}

    def set_model(self, model) -> None:
        """Called with the model before the training begins."""
        self.model = model

    def set_params(self, params: dict) -> None:
        """Called with what ``fit`` was told before the training begins."""
        self.params = params

    @property
    def interval(self) -> int | None:
        """After how many optimizer steps ``on_train_batch_end`` is wanted.

        1, each step, where a method of a training batch is overridden, else None. With n above 1 it is called at least
        after the steps whose count (``model.step``) n divides, and ``on_train_batch_begin`` need not be called.
        """
        return 1 if any(overrides(self, name) for name in BATCH_METHODS) else None

    @property
    def writes_to(self) -> str | None:
        """The file or folder that it writes, of which every training that goes on beside others needs its own; None if
        there is none."""
        return None

    def state_dict(self) -> dict:
        """What the callback knows about the training under way; values are JSON-able or NumPy arrays."""
        return {}

    def load_state_dict(self, state: dict) -> None:
        """Go on from what `state_dict` gave. Called after ``on_train_begin``, which forgets."""

    def on_train_check(self, logs=None) -> None:
        """Before ``on_train_begin`` of any callback: raise what speaks against this training, and change nothing."""

    def on_train_begin(self, logs=None) -> None:
        """Before the first epoch."""

    def on_train_end(self, logs=None) -> None:
        """After the last epoch."""

    def on_train_interrupted(self) -> None:
        """In place of ``on_train_end`` where an exception or Ctrl-C ended the training: close what is open."""

    def on_epoch_begin(self, epoch, logs=None) -> None:
        """Before an epoch."""

    def on_epoch_end(self, epoch, logs=None) -> None:
        """After an epoch and its validation."""

    def on_train_progress(self, batch, logs=None) -> None:
        """About every 50 ms during an epoch, between steps; ``batch`` steps of the epoch are made."""

    def on_batch_begin(self, batch, logs=None) -> None:
        """Another name of ``on_train_batch_begin``."""

    def on_batch_end(self, batch, logs=None) -> None:
        """Another name of ``on_train_batch_end``."""

    def on_train_batch_begin(self, batch, logs=None) -> None:
        """Before a step of the training."""
        self.on_batch_begin(batch, logs)

    def on_train_batch_end(self, batch, logs=None) -> None:
        """After a step of the training; ``logs`` are means over the epoch so far."""
        self.on_batch_end(batch, logs)

    def on_test_begin(self, logs=None) -> None:
        """Before a validation or an evaluation."""

    def on_test_end(self, logs=None) -> None:
        """After a validation or an evaluation."""

    def on_test_batch_begin(self, batch, logs=None) -> None:
        """Before a batch of a validation or an evaluation."""

    def on_test_batch_end(self, batch, logs=None) -> None:
        """After a batch of a validation or an evaluation; ``logs`` are means over the batches so far."""

    def on_predict_begin(self, logs=None) -> None:
        """Before a prediction."""

    def on_predict_end(self, logs=None) -> None:
        """After a prediction."""

    def on_predict_batch_begin(self, batch, logs=None) -> None:
        """Before a batch of a prediction."""

    def on_predict_batch_end(self, batch, logs=None) -> None:
        """After a batch of a prediction."""


METHODS = tuple(name for name in vars(Callback) if name.startswith("on_"))
BATCH_METHODS = ("on_train_batch_begin", "on_train_batch_end", "on_batch_begin", "on_batch_end")


def overrides(callback, name: str) -> bool:
    """Whether a callback has a method of its own under the name, in its class or in itself."""
    method = getattr(callback, name, None)
    return method is not None and getattr(method, "__func__", method) is not getattr(Callback, name)


def say(message: str) -> None:
    """Print a line that a callback was asked for, above a progress bar if one is being drawn."""
    tqdm = sys.modules.get("tqdm")
    if tqdm is not None:
        tqdm.tqdm.write(message)
    else:
        print(message)


class LambdaCallback(Callback):
    """A callback from functions, each given under the name of the method that it becomes.

    Parameters
    ----------
    on_epoch_begin, on_epoch_end : callable, optional
        Called as ``f(epoch, logs)``.
    on_train_begin, on_train_end : callable, optional
        Called as ``f(logs)``.
    on_train_batch_begin, on_train_batch_end : callable, optional
        Called as ``f(batch, logs)``; costs at every step.
    **others : callable
        Any other method of `Callback` whose name begins with ``on_``.

    Raises
    ------
    TypeError
        If a name is not that of a method, or a value cannot be called.
    """

    def __init__(self, on_epoch_begin=None, on_epoch_end=None, on_train_begin=None, on_train_end=None,
                 on_train_batch_begin=None, on_train_batch_end=None, **others):
        super().__init__()
        given = dict(on_epoch_begin=on_epoch_begin, on_epoch_end=on_epoch_end, on_train_begin=on_train_begin,
                     on_train_end=on_train_end, on_train_batch_begin=on_train_batch_begin,
                     on_train_batch_end=on_train_batch_end, **others)
        for name, function in given.items():
            if name not in METHODS:
                raise errors.unknown("LambdaCallback", "argument", name, METHODS, TypeError)
            if function is None:
                continue
            if not callable(function):
                raise TypeError(f"LambdaCallback: {name} is {function!r}; wanted a function")
            setattr(self, name, function)


class TerminateOnNaN(Callback):
    """Stop when the loss is NaN or infinite.

    The engine looks at the loss of each step by itself, so this is on without being asked for; the class is there for
    code written for Keras, and to switch it off.

    Parameters
    ----------
    enabled : bool, default True
        False: train on, whatever the loss.
    """

    def __init__(self, enabled: bool = True):
        super().__init__()
        self.enabled = errors.boolean("TerminateOnNaN", "enabled", enabled)
