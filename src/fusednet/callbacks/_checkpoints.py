"""Callbacks that save the model: `ModelCheckpoint` and `BackupAndRestore`.

Read by nobody but the package's `__init__`. The files are the model's own (its ``save`` and ``load_training_state``),
written atomically.

a) "Every n steps" means the steps whose count since the model was new n divides: a rule without a counter of its own,
   so that a training which was stopped and gone on with saves at the same steps.
b) They run after the other callbacks, so that a file holds what those know of the epoch that has just ended.
"""

import contextlib
import os
import string

from fusednet import errors
from fusednet.callbacks._base import Callback, say
from fusednet.callbacks._monitor import Monitor


def _frequency(where: str, save_freq) -> int | None:
    """None for the end of each epoch, else a number of steps."""
    if isinstance(save_freq, str):
        if save_freq != "epoch":
            raise ValueError(f"{where}: save_freq is {save_freq!r}; wanted 'epoch' or a number of steps")
        return None
    return errors.integer(where, "save_freq", save_freq, 1)


class ModelCheckpoint(Monitor):
    """Save the model at the end of each epoch, or every n steps; all or only the best.

    Parameters
    ----------
    filepath : str or os.PathLike
        Where to. ``{epoch}`` (from 1), ``{batch}`` (from 1, with a number of steps) and keys of the logs are filled in,
        ``"{epoch:02d}-{val_loss:.2f}.safetensors"``. A missing folder is made.
    monitor : str, default "val_loss"
        Key of the logs that says which is best; not looked at without ``save_best_only``.
    verbose : int, default 0
        1: print what is saved.
    save_best_only : bool, default False
        Save only if the key is better than ever before.
    save_weights_only : bool, default False
        Leave the state of the training (moments, step, callbacks, history) out of the file.
    mode : {"auto", "min", "max"}, default "auto"
        Whether smaller or larger is better; "auto" knows the usual names.
    save_freq : "epoch" or int, default "epoch"
        When: at the end of each epoch, or after each step whose count (``model.step``) the number divides.
    initial_value_threshold : float, optional
        A value that the first model saved has to beat.

    Attributes
    ----------
    best : float or None
        The best value so far. It stays from one training to the next, so that the file keeps the best of all.

    Raises
    ------
    ValueError
        If an argument is out of its range; when the training begins, if the path or ``monitor`` names a key that there
        will not be.
    TypeError
        When the training begins, if the model cannot be saved: its loss, schedule or an initializer is a function.

    Notes
    -----
    As Keras 3 [1]_, but for an epoch without validation: nothing is saved as best, where Keras saves with a warning.

    References
    ----------
    .. [1] https://keras.io/api/callbacks/model_checkpoint
    """

    def __init__(self, filepath, monitor="val_loss", verbose=0, save_best_only=False, save_weights_only=False,
                 mode="auto", save_freq="epoch", initial_value_threshold=None):
        name = "ModelCheckpoint"
        self.save_best_only = errors.boolean(name, "save_best_only", save_best_only)
        super().__init__(monitor, mode, used=self.save_best_only)
        self.filepath = os.fspath(filepath)
        self._fields = _fields(self.filepath)
        self.verbose = errors.integer(name, "verbose", verbose, 0)
        self.save_weights_only = errors.boolean(name, "save_weights_only", save_weights_only)
        self.save_freq = save_freq
        self._every = _frequency(name, save_freq)
        if initial_value_threshold is not None:
            self.best = errors.real(name, "initial_value_threshold", initial_value_threshold)
        self._epoch = 0

    @property
    def rank(self) -> int:
        """1 where the best value has to be remembered, else 2."""
        return 1 if self.save_best_only else 2

    @property
    def interval(self) -> int | None:
        """The number of steps; None where it saves at the end of each epoch."""
        return self._every

    @property
    def writes_to(self) -> str:
        """The file, or the files."""
        return self.filepath

    def on_train_check(self, logs=None):
        """Check the path, the key, and that the model can be saved."""
        if not self._fields:
            _refuse_folder(self.filepath)
        self.model.content()
        metrics = self.params.get("metrics")
        if metrics is None:
            return
        keys = list(metrics)
        if self._every is not None:
            keys = [key for key in keys if not key.startswith("val_")]  # those are known at the end of an epoch
        if self.save_best_only and self.monitor not in keys:
            when = "; others are not known within epochs, where save_freq is" if self.monitor in metrics else ""
            raise ValueError(f"{self._unknown(keys)}{when}")
        known = ["epoch", *(["batch"] if self._every is not None else []), *keys]
        for field in self._fields:
            if field not in known:
                raise errors.unknown("ModelCheckpoint", f"field of filepath {self.filepath!r}", field, known)
        values = dict.fromkeys(known, 0.5) | {"epoch": 1, "batch": 1}
        try:
            self.filepath.format(**values)
        except (ValueError, LookupError) as error:
            raise ValueError(f"ModelCheckpoint: filepath is {self.filepath!r}, which numbers cannot be filled into: "
                             f"{error}") from None

    def on_epoch_begin(self, epoch, logs=None):
        """Remember which epoch it is."""
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        """Save where it is the step for it."""
        if self._every is not None and self.model.step % self._every == 0:
            self._save(self._epoch, batch, logs or {})

    def on_epoch_end(self, epoch, logs=None):
        """Save, unless steps were asked for."""
        if self._every is None:
            self._save(epoch, None, logs or {})

    def _save(self, epoch: int, batch: int | None, logs: dict) -> None:
        message = "saving model"
        if self.save_best_only:
            value = self.current(logs)
            if value is None:
                return
            best = "nothing" if self.best is None else f"{self.best:.5f}"
            if not self.better(value, self.best):
                if self.verbose:
                    say(f"Epoch {epoch + 1}: {self.monitor} did not improve from {best}")
                return
            message = f"{self.monitor} improved from {best} to {value:.5f}, saving model"
            self.best = value  # before saving: it is part of what is saved
        path = self._path(epoch, batch, logs)
        _refuse_folder(path)
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        if self.verbose:
            say(f"Epoch {epoch + 1}: {message} to {path}")
        self.model.save(path, training_state=not self.save_weights_only)

    def _path(self, epoch: int, batch: int | None, logs: dict) -> str:
        absent = dict.fromkeys(self.params.get("metrics") or (), float("nan"))  # no validation in this epoch
        values = {**absent, **logs, "epoch": epoch + 1}
        if batch is not None:
            values["batch"] = batch + 1
        try:
            return self.filepath.format(**values)
        except KeyError as error:
            what = f"field of filepath {self.filepath!r}"
            raise errors.unknown("ModelCheckpoint", what, error.args[0], values) from None

    def state_dict(self):
        """The best value so far."""
        return {"best": self.best, "epoch": self._epoch}

    def load_state_dict(self, state):
        """Go on from what `state_dict` gave."""
        self.best, self._epoch = state["best"], state["epoch"]


def _fields(path: str) -> list[str]:
    """Names in braces; checks that each can be filled with a number."""
    try:
        fields = [field for _, field, _, _ in string.Formatter().parse(path) if field is not None]
    except ValueError as error:
        raise ValueError(f"ModelCheckpoint: filepath is {path!r}: {error}") from None
    for field in fields:
        if not field.isidentifier():
            raise ValueError(
                f"ModelCheckpoint: filepath is {path!r}; wanted a name such as {{epoch}} in braces, not {{{field}}}"
            )
    return fields


def _refuse_folder(path: str) -> None:
    if os.path.isdir(path):
        raise IsADirectoryError(f"ModelCheckpoint: filepath {path!r} is a folder; wanted the name of a file")


class BackupAndRestore(Callback):
    """Save the whole training now and then, and go on from there when ``fit`` is called again after a crash.

    Parameters
    ----------
    backup_dir : str or os.PathLike
        Folder of the backup, made if it is not there. One for each training.
    save_freq : "epoch" or int, default "epoch"
        When: at the end of each epoch, or after each step whose count (``model.step``) the number divides.
    delete_checkpoint : bool, default True
        Delete the backup when the training has made its epochs or was told to stop; not when its time was up, nor when
        an exception or Ctrl-C ended it.

    Raises
    ------
    ValueError
        If an argument is out of its range; when the training begins, if the backup is damaged, or of a model with other
        layers or another seed: the seed draws the validation rows, the order of rows and the masks.

    Notes
    -----
    As Keras 3 [1]_, but that the result is bit for bit that of a training which was never stopped, inside of an epoch
    too, and that only the backup itself is deleted, and the folder if nothing else is in it.

    References
    ----------
    .. [1] https://keras.io/api/callbacks/backup_and_restore
    """

    rank = 3

    def __init__(self, backup_dir, save_freq="epoch", delete_checkpoint=True):
        super().__init__()
        self.backup_dir = os.fspath(backup_dir)
        if not self.backup_dir:
            raise ValueError("BackupAndRestore: backup_dir is empty; wanted the name of a folder")
        self.save_freq = save_freq
        self._every = _frequency("BackupAndRestore", save_freq)
        self.delete_checkpoint = errors.boolean("BackupAndRestore", "delete_checkpoint", delete_checkpoint)

    @property
    def writes_to(self) -> str:
        """The folder."""
        return self.backup_dir

    @property
    def path(self) -> str:
        """The file of the backup."""
        return os.path.join(self.backup_dir, "backup.safetensors")

    @property
    def interval(self) -> int | None:
        """The number of steps; None where it saves at the end of each epoch."""
        return self._every

    def on_train_check(self, logs=None):
        """Check that there can be such a folder, and that the model can be saved."""
        self.model.content()
        if os.path.exists(self.backup_dir) and not os.path.isdir(self.backup_dir):
            raise NotADirectoryError(f"BackupAndRestore: backup_dir {self.backup_dir!r} is a file; wanted the name of "
                                     "a folder")

    def on_train_begin(self, logs=None):
        """Go on from the backup, if there is one."""
        os.makedirs(self.backup_dir, exist_ok=True)
        if os.path.exists(self.path):
            self.model.load_training_state(self.path)

    def on_train_batch_end(self, batch, logs=None):
        """Save where it is the step for it."""
        if self._every is not None and self.model.step % self._every == 0:
            self._save()

    def on_epoch_end(self, epoch, logs=None):
        """Save, unless steps were asked for."""
        if self._every is None:
            self._save()

    def _save(self) -> None:
        os.makedirs(self.backup_dir, exist_ok=True)
        self.model.save(self.path, training_state=True)

    def on_train_end(self, logs=None):
        """Delete the backup, unless epochs are left that nobody said to leave out."""
        if self.delete_checkpoint and self._finished():
            with contextlib.suppress(FileNotFoundError):
                os.remove(self.path)
            with contextlib.suppress(OSError):  # something else is in it
                os.rmdir(self.backup_dir)

    def _finished(self) -> bool:
        made = self.model.history.epoch
        return self.model.stop_training or (bool(made) and made[-1] + 1 >= self.params["epochs"])
