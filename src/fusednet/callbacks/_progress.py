"""`ProgressBar`: what ``verbose=1`` and ``verbose=2`` print.

Read by the trainer through the package's `__init__`.

a) One bar for the whole training, so that its end is foretold, and above it a line for each epoch, as Keras's line. Of
   epochs that take milliseconds not every line is printed, or printing would take longer than training.
b) The bar is moved when the engine comes back by itself (`Callback.on_train_progress`), never per batch.
c) Not on a terminal (a file, a pipe) there is no bar, only the lines: a log has no use for carriage returns.
"""

import math
import sys
import time

from fusednet import errors
from fusednet.callbacks._base import Callback

_SECONDS_PER_LINE = 0.2
_FORMAT = "{desc} {percentage:3.0f}%|{bar}| {remaining} left{postfix}, {rate_fmt}"  # what is less wanted is cut first
_FORMAT_WITHOUT_TOTAL = "{desc} {elapsed}, {n_fmt}{unit}{postfix}, {rate_fmt}"


def _number(value: float) -> str:
    if value == 0 or 1e-3 <= abs(value) < 1e4:
        return f"{value:.4f}"
    return f"{value:.4g}"


def _values(logs: dict | None) -> str:
    return " - ".join(f"{key}: {_number(value)}" for key, value in (logs or {}).items())


def _duration(seconds: float) -> str:
    if seconds < 0.9995:
        return f"{seconds * 1000:.{int(seconds < 0.01)}f}ms"
    if seconds < 59.95:
        return f"{seconds:.1f}s"
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def bar_class(use: str, extra: str, hint: str = ""):
    """The class of tqdm's bars, or an `ImportError` that says what is wanted for `use`."""
    try:
        import tqdm
    except ModuleNotFoundError as error:
        raise errors.missing(use, "tqdm", extra, hint) from error

    class Bar(tqdm.tqdm):
        monitor_interval = 0  # tqdm's own would start a thread that lives on

    return Bar


class ProgressBar(Callback):
    """Print how far the training is, with loss and metrics.

    Parameters
    ----------
    verbose : int, default 1
        0: nothing. 1: a bar, and a line for each epoch, at most five in a second; only the lines where ``file`` is not
        a terminal. 2: a line for each epoch, however many.
    file : text file, optional
        Where to. By default the bar and its lines go to ``sys.stderr``, lines without a bar to ``sys.stdout``.

    Raises
    ------
    ImportError
        If verbose is 1 and tqdm is not installed; says what to type.
    ValueError
        If verbose is not 0, 1 or 2.
    """

    def __init__(self, verbose=1, file=None):
        super().__init__()
        verbose = 1 if verbose == "auto" or verbose is True else 0 if verbose is False else verbose
        self.verbose = errors.integer("ProgressBar", "verbose", verbose, 0)
        if self.verbose > 2:
            raise ValueError(f"ProgressBar: verbose is {verbose}; wanted 0, 1 or 2")
        self._bar_class = None
        if self.verbose == 1:
            self._bar_class = bar_class("ProgressBar: a bar (verbose=1)", "cli",
                                        "; verbose=2 prints a line for each epoch without it")
        self._file = file
        self._bar = None
        self._training = self._begun = False  # training: whether it is under way; begun: whether an epoch has begun
        self._epochs = 1
        self._steps: int | None = None
        self._before = 0  # where the bar stood when the epoch began
        self._began = self._last_line = 0.0
        self._unprinted = ""
        self._rate: float | None = None  # the learning rate of the first epoch

    def _draws(self) -> bool:
        file = self._file or sys.stderr
        return self.verbose == 1 and (getattr(file, "isatty", lambda: False)() or "ipykernel" in sys.modules)

    def _print(self, line: str) -> None:
        if self._bar is not None:
            self._bar.write(line, file=self._file or sys.stderr)
        else:
            print(line, file=self._file or sys.stdout, flush=True)

    def _name(self, epoch: int) -> str:
        return f"Epoch {epoch + 1:>{len(str(self._epochs))}}/{self._epochs}"

    def on_train_begin(self, logs=None):
        """Take note of what is to be done."""
        self._close()
        self._training, self._begun = True, False
        self._began = time.perf_counter()  # an epoch that is gone on with does not begin again
        self._unprinted, self._last_line, self._rate = "", -_SECONDS_PER_LINE, None
        self._epochs, self._steps = int(self.params.get("epochs") or 1), self.params.get("steps")

    def on_epoch_begin(self, epoch, logs=None):
        """Put up the bar before the first epoch."""
        self._began = time.perf_counter()
        if not self._begun:
            self._begun, self._before = True, 0
            if self._draws():
                self._bar = self._bar_class(
                    desc=self._name(epoch), total=self._steps * (self._epochs - epoch) if self._steps else None,
                    unit=" steps", leave=False,
                    file=self._file or sys.stderr, dynamic_ncols=True, mininterval=0.1,
                    bar_format=_FORMAT if self._steps else _FORMAT_WITHOUT_TOTAL,
                )  # fmt: skip
        if self._bar is not None:
            self._before = self._bar.n
            self._bar.set_description_str(self._name(epoch), refresh=False)

    def on_train_progress(self, batch, logs=None):
        """Move the bar."""
        if self._bar is not None:
            if logs and "loss" in logs:
                self._bar.set_postfix_str(_values({"loss": logs["loss"]}), refresh=False)
            self._bar.update(self._before + batch - self._bar.n)

    def on_epoch_end(self, epoch, logs=None):
        """Move the bar, print the line."""
        if not self.verbose:
            return
        now = time.perf_counter()
        if self._steps:
            self.on_train_progress(self._steps, logs)
        line = f"{self._name(epoch)} - {_duration(now - self._began)} - {_values(self._worth_printing(logs))}"
        if self.verbose == 1 and now - self._last_line < _SECONDS_PER_LINE:
            self._unprinted = line
            return
        self._print(line)
        self._unprinted, self._last_line = "", now

    def _worth_printing(self, logs: dict | None) -> dict:
        """The logs, without a learning rate that has not changed: lines are long as it is."""
        shown = dict(logs or {})
        if self._rate is None:
            self._rate = shown.get("learning_rate")
        if shown.get("learning_rate") == self._rate:
            shown.pop("learning_rate", None)
        elif "learning_rate" in shown:
            self._rate = math.nan  # it changes: from now on it is in every line
        return shown

    def on_train_end(self, logs=None):
        """Print the last line, if it has not been; take the bar away."""
        if self._unprinted:
            self._print(self._unprinted)
        self._close()

    def on_train_interrupted(self):
        """The same."""
        self.on_train_end()

    def on_test_begin(self, logs=None):
        """Start the clock of an evaluation."""
        if not self._training:
            self._began = time.perf_counter()

    def on_test_end(self, logs=None):
        """Print the result of an evaluation; a validation's is in the line of its epoch."""
        if self.verbose and not self._training:
            self._print(f"{_duration(time.perf_counter() - self._began)} - {_values(logs)}")

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.close()
        self._bar, self._training, self._unprinted = None, False, ""
