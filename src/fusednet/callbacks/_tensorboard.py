"""`TensorBoard`: curves for the TensorBoard viewer, written by tensorboardX.

Read by nobody but the package's `__init__`. tensorboardX writes TensorBoard's event files without TensorFlow or PyTorch
(https://github.com/lanpa/tensorboardX); it is looked for when a `TensorBoard` is made and imported when one is used.
"""

import importlib.util
import os
import time

from fusednet import errors
from fusednet.callbacks._base import Callback


class TensorBoard(Callback):
    """Write the logs of each epoch, or also of steps, for TensorBoard.

    ``tensorboard --logdir logs`` shows them; the program is in the package ``tensorboard``.

    Parameters
    ----------
    log_dir : str or os.PathLike, default "logs"
        Folder; training goes into ``train`` in it, validation into ``validation``.
    histogram_freq : int, default 0
        Write histograms of the weights every so many epochs; 0: none.
    write_steps_per_second : bool, default False
        Write the speed of each epoch.
    update_freq : "epoch", "batch" or int, default "epoch"
        Write loss and metrics also after each step ("batch", which costs), or after each step whose count the number
        divides.

    Raises
    ------
    ImportError
        If tensorboardX is not installed; says what to type.
    ValueError
        If a number is out of its range.

    Notes
    -----
    Folders and names (``epoch_loss``, ``batch_loss``, ``evaluation_loss_vs_iterations``) are those of Keras 3 [1]_.
    There is no graph, no profile and no picture of weights.

    References
    ----------
    .. [1] https://keras.io/api/callbacks/tensorboard
    """

    def __init__(self, log_dir="logs", histogram_freq=0, write_steps_per_second=False, update_freq="epoch"):
        super().__init__()
        if importlib.util.find_spec("tensorboardX") is None:
            raise errors.missing("TensorBoard", "tensorboardX", "tensorboard")
        name = "TensorBoard"
        self.log_dir = os.fspath(log_dir)
        self.histogram_freq = errors.integer(name, "histogram_freq", histogram_freq, 0)
        self.write_steps_per_second = errors.boolean(name, "write_steps_per_second", write_steps_per_second)
        self.update_freq = update_freq
        if isinstance(update_freq, str):
            if update_freq not in ("epoch", "batch"):
                raise ValueError(f"{name}: update_freq is {update_freq!r}; wanted 'epoch', 'batch' or a step count")
            self._every = 1 if update_freq == "batch" else None
        else:
            self._every = errors.integer(name, "update_freq", update_freq, 1)
        self._writers: dict[str, object] = {}
        self._training = False
        self._began, self._steps = 0.0, 0

    @property
    def interval(self) -> int | None:
        """The number of steps; None where it writes at the end of each epoch."""
        return self._every

    @property
    def writes_to(self) -> str:
        """The folder."""
        return self.log_dir

    def _write(self, place: str, values: dict, step: int) -> None:
        writer = self._writers.get(place)
        if writer is None:
            from tensorboardX import SummaryWriter

            writer = self._writers[place] = SummaryWriter(os.path.join(self.log_dir, place))
        for name, value in values.items():
            writer.add_scalar(name, value, step)

    def _close(self) -> None:
        for writer in self._writers.values():
            writer.close()
        self._writers, self._training = {}, False

    def on_train_begin(self, logs=None):
        """Begin new files."""
        self._close()
        self._training = True
        self.on_epoch_begin(0)  # an epoch that is gone on with does not begin again

    def on_epoch_begin(self, epoch, logs=None):
        """Start the clock."""
        self._began, self._steps = time.perf_counter(), getattr(self.model, "step", 0)

    def on_train_batch_end(self, batch, logs=None):
        """Write loss and metrics so far, where it is the step for it."""
        if self._every is not None and self.model.step % self._every == 0:
            self._write("train", {f"batch_{key}": value for key, value in (logs or {}).items()}, self.model.step)

    def on_epoch_end(self, epoch, logs=None):
        """Write the logs, histograms where they are due."""
        logs = dict(logs or {})
        if self.write_steps_per_second:
            seconds = max(time.perf_counter() - self._began, 1e-9)
            logs["steps_per_second"] = (self.model.step - self._steps) / seconds
        train = {f"epoch_{key}": value for key, value in logs.items() if not key.startswith("val_")}
        validation = {f"epoch_{key[4:]}": value for key, value in logs.items() if key.startswith("val_")}
        self._write("train", train, epoch)
        if validation:
            self._write("validation", validation, epoch)
        if self.histogram_freq and epoch % self.histogram_freq == 0:
            for place, weight in enumerate(self.model.get_weights()):
                self._writers["train"].add_histogram(f"weight_{place}/histogram", weight, epoch)
        for writer in self._writers.values():
            writer.flush()

    def on_test_end(self, logs=None):
        """Write an evaluation over the steps of the training; closes the file where no training is under way."""
        values = {f"evaluation_{key.removeprefix('val_')}_vs_iterations": value for key, value in (logs or {}).items()}
        if values:
            self._write("validation", values, getattr(self.model, "step", 0))
        if not self._training:
            self._close()

    def on_train_end(self, logs=None):
        """Close the files."""
        self._close()

    def on_train_interrupted(self):
        """Close the files."""
        self._close()
