"""`CSVLogger`: a line for each epoch in a text file.

Read by nobody but the package's `__init__`.

a) The file is opened for each line: nothing is left open when a training breaks off, and what was written is there.
b) A training that was stopped and gone on with cuts the file back to where it was when its state was saved, so that
   epochs which are run again do not appear twice.
"""

import csv
import os

from fusednet import errors
from fusednet.callbacks._base import Callback


class CSVLogger(Callback):
    """Write a line for each epoch.

    Parameters
    ----------
    filename : str or os.PathLike
        The file; its folder must exist.
    separator : str, default ","
        One character.
    append : bool, default False
        True: write on below what is there, whose columns must be the same. False: begin a new file.

    Raises
    ------
    ValueError
        If the separator is not one character; if append is True and the file has other columns.
    FileNotFoundError, IsADirectoryError
        When the training begins, if the folder does not exist, or the name is that of one.

    Notes
    -----
    The first column is ``epoch``, counted from 0, then come the keys of the logs in alphabetical order; a key that an
    epoch does not have is ``NA``. As Keras 3 [1]_, but that columns are those the training has: Keras adds ``val_``
    columns where there is no validation.

    References
    ----------
    .. [1] https://keras.io/api/callbacks/csv_logger
    """

    def __init__(self, filename, separator=",", append=False):
        super().__init__()
        self.filename = os.fspath(filename)
        if not isinstance(separator, str) or len(separator) != 1 or separator in '\r\n"':
            raise ValueError(f"CSVLogger: separator is {separator!r}; wanted one character, no quote or line end")
        self.separator = separator
        self.append = errors.boolean("CSVLogger", "append", append)
        self._columns: list[str] | None = None
        self._fresh = True  # the next line begins the file anew

    @property
    def writes_to(self) -> str:
        """The file."""
        return self.filename

    def on_train_check(self, logs=None):
        """See whether the file can be written and, to append, whether its columns fit."""
        folder = os.path.dirname(self.filename) or "."
        if not os.path.isdir(folder):
            raise FileNotFoundError(f"CSVLogger: the folder {folder!r} of {self.filename!r} does not exist")
        if os.path.isdir(self.filename):
            raise IsADirectoryError(f"CSVLogger: filename {self.filename!r} is a folder; wanted the name of a file")
        if not os.access(self.filename if os.path.exists(self.filename) else folder, os.W_OK):
            raise PermissionError(f"CSVLogger: {self.filename!r} cannot be written")
        columns = self._columns_there()
        missing = [key for key in ("epoch", *(self.params.get("metrics") or ())) if key not in columns]
        if columns and missing:
            raise ValueError(
                f"CSVLogger: {self.filename!r} has the columns {self.separator.join(columns)}, but not "
                f"{', '.join(missing)}; wanted a file with the columns of this training, or append=False"
            )

    def on_train_begin(self, logs=None):
        """Forget the training before."""
        self._columns, self._fresh = self._columns_there() or None, not self.append

    def _columns_there(self) -> list[str]:
        """The columns of the file that is appended to; none where there is none, or nothing in it."""
        if not self.append or not os.path.exists(self.filename):
            return []
        with open(self.filename, newline="", encoding="utf-8") as file:
            return next(csv.reader(file, delimiter=self.separator), [])

    def on_epoch_end(self, epoch, logs=None):
        """Write the line."""
        logs = logs or {}
        header = self._columns is None
        if header:
            self._columns = ["epoch", *sorted({*logs, *(self.params.get("metrics") or ())})]
        unfinished = not self._fresh and self._unfinished()
        with open(self.filename, "w" if self._fresh else "a", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, delimiter=self.separator)
            if unfinished:
                writer.writerow([])
            if header:
                writer.writerow(self._columns)
            writer.writerow([epoch if key == "epoch" else logs.get(key, "NA") for key in self._columns])
        self._fresh = False

    def on_train_end(self, logs=None):
        """Begin the file where no epoch has: what an earlier training wrote is not of this one."""
        if self._fresh:
            with open(self.filename, "w", encoding="utf-8"):
                self._fresh = False

    def on_train_interrupted(self):
        """The same."""
        self.on_train_end()

    def _unfinished(self) -> bool:
        """Whether the file's last line has no end: editors and processes that were killed leave such."""
        if not os.path.exists(self.filename) or not os.path.getsize(self.filename):
            return False
        with open(self.filename, "rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) not in (b"\n", b"\r")

    def state_dict(self):
        """How long the file is, and its columns."""
        size = 0 if self._fresh or not os.path.exists(self.filename) else os.path.getsize(self.filename)
        return {"size": size, "columns": self._columns}

    def load_state_dict(self, state):
        """Cut the file back to where it was; one that is gone or shorter begins anew."""
        size = os.path.getsize(self.filename) if os.path.exists(self.filename) else -1
        if 0 < state["size"] <= size:
            os.truncate(self.filename, state["size"])
            self._columns, self._fresh = state["columns"], False
