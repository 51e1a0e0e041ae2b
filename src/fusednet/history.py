"""What a training left behind: losses and metrics of each epoch, times, learning rates, validations in between.

Reads errors.py and, when a picture is asked for, matplotlib; filled by the trainer through `CallbackList`, handed back
by ``fit``.

a) `History` has the methods of a callback but does not derive from `Callback`: callbacks read this module, not the
   other way round, and `CallbackList` asks for methods, not for a class.
b) A key that an epoch did not have (validation every third epoch) gets no entry, as in Keras; `epochs_of` tells which
   epochs its entries belong to.
c) It holds the model by a weak reference: the model holds its history, and a ring of the two would keep the arrays of
   every ``fit`` alive until the garbage collector comes by.
"""

import os
import time
import weakref

import numpy as np

from fusednet import errors

_COLOURS = {"training": "#0072b2", "validation": "#d55e00"}  # two that readers with any colour vision tell apart
_PER_ROW = 3  # panels


class History:
    """Losses and metrics by epoch; what ``fit`` returns.

    Attributes
    ----------
    history : dict of str to list of float
        A list for each key, ``"loss"``, the metrics, the same with ``val_``, ``"learning_rate"``: an entry for each
        epoch that had the key.
    epoch : list of int
        The epochs that have ended, from 0.
    params : dict
        What ``fit`` was told: ``epochs``, ``steps``, ``metrics``, ...
    time : list of float
        Seconds that each epoch took, validation included.
    steps : list of int
        Optimizer steps made by the end of each epoch, since the model was new.
    learning_rate : dict of str to list of float
        For each layer, its learning rate at the end of each epoch.
    validations : list of dict
        Results of ``validation_interval``: ``step``, ``epoch`` and the ``val_`` keys, in the order they came.
    unfinished : dict of str to float
        Loss and metrics so far of an epoch that was begun when the training was stopped; else empty.
    stopped : str
        Why the training was stopped, if the library had to; else empty.
    """

    def __init__(self):
        self.params: dict = {}
        self._model = None
        self._reset()

    def _reset(self) -> None:
        self.history: dict[str, list[float]] = {}
        self.epoch: list[int] = []
        self.time: list[float] = []
        self.steps: list[int] = []
        self.learning_rate: dict[str, list[float]] = {}
        self.validations: list[dict] = []
        self.unfinished: dict[str, float] = {}
        self.stopped = ""
        self._epochs_of: dict[str, list[int]] = {}
        self._first_step = 0
        self._recording = False  # whether `record_epoch` has begun to take something in
        self._before = 0.0  # seconds that the epoch under way had taken when its state was saved
        self._began = time.perf_counter()

    # ---- what the trainer calls --------------------------------------------------------------------------------------

    @property
    def model(self):
        """The model that is trained, None where it is gone."""
        return self._model() if self._model is not None else None

    def set_model(self, model) -> None:
        """Remember whose history this is."""
        self._model = weakref.ref(model)

    def set_params(self, params: dict) -> None:
        """Remember what ``fit`` was told; ``learning_rate_factors`` in it maps each layer's name to its factor."""
        self.params = dict(params)

    def on_train_begin(self, logs=None) -> None:
        """Start afresh."""
        self._reset()
        self._first_step = getattr(self.model, "step", 0)

    def on_epoch_begin(self, epoch: int, logs=None) -> None:
        """Start the clock."""
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs=None) -> None:
        """Take in what the epoch gave."""
        self.record_epoch(epoch, logs or {}, getattr(self.model, "step", 0))

    def record_epoch(self, epoch: int, logs: dict, step: int, seconds: float | None = None) -> None:
        """Take in what an epoch gave; an interrupt takes in all of it or nothing.

        Parameters
        ----------
        epoch : int
            From 0.
        logs : dict of str to float
        step : int
            Optimizer steps made by its end, as in `steps`.
        seconds : float, optional
            What it took; by default since the last one.
        """
        self._forget_partial()
        logs = {key: float(value) for key, value in logs.items()}
        now = time.perf_counter()
        self._recording = True
        self.time.append(self._before + now - self._began if seconds is None else float(seconds))
        self._before, self._began = 0.0, now
        self.steps.append(int(step))
        for key, value in logs.items():
            self._epochs_of.setdefault(key, []).append(int(epoch))  # first: keys that are not in it are the user's
            self.history.setdefault(key, []).append(value)
        if "learning_rate" in logs:
            for layer, factor in self.params.get("learning_rate_factors", {}).items():
                self.learning_rate.setdefault(layer, []).append(logs["learning_rate"] * factor)
        self.epoch.append(int(epoch))  # from here on the epoch counts
        self._recording = False

    def _forget_partial(self) -> None:
        """Drop entries of an epoch whose `record_epoch` was interrupted."""
        if not self._recording:
            return
        count, last = len(self.epoch), self.epoch[-1] if self.epoch else -1
        for values in (self.time, self.steps, *self.learning_rate.values()):
            del values[count:]
        for key, epochs in list(self._epochs_of.items()):
            while epochs and epochs[-1] > last:
                epochs.pop()
            del self.history.get(key, [])[len(epochs) :]
            if not epochs:
                self.history.pop(key, None)
                del self._epochs_of[key]
        self._recording = False

    def record_validation(self, step: int, epoch: int, results: dict) -> None:
        """Take in a validation inside of an epoch.

        Parameters
        ----------
        step : int
            Optimizer steps made so far, as in `steps`.
        epoch : int
            The epoch under way, from 0.
        results : dict of str to float
            The ``val_`` keys.
        """
        results = {key: float(value) for key, value in results.items()}
        self.validations.append({"step": int(step), "epoch": int(epoch), **results})

    # ---- reading -----------------------------------------------------------------------------------------------------

    def epochs_of(self, key: str) -> list[int]:
        """The epochs, from 0, to which the entries of ``history[key]`` belong.

        Parameters
        ----------
        key : str

        Returns
        -------
        list of int

        Raises
        ------
        ValueError
            If no epoch had the key; lists those there are.
        """
        if key not in self._epochs_of:
            raise errors.unknown("History.epochs_of", "key", key, self.history)
        return list(self._epochs_of[key])

    def __repr__(self) -> str:
        if not self.epoch:
            return "<History: no epoch has ended>"
        count = len(self.epoch)
        text = f"<History: {count} epoch{'s' * (count > 1)} in {sum(self.time):.3g} s"
        for key, values in self.history.items():
            if key != "learning_rate" and len(values):
                first = f"{values[0]:.4g} -> " if len(values) > 1 else ""
                text += f"; {key} {first}{values[-1]:.4g}"
        losses = self.history.get("val_loss", [])
        if len(losses) > 1 and not np.isnan(losses).all():
            best = int(np.nanargmin(losses))
            text += f"; best val_loss {losses[best]:.4g} in epoch {self._epochs_of['val_loss'][best] + 1}"
        if self.stopped:
            text += f"; stopped: {self.stopped}"
        return text + ">"

    # ---- stop and go on ----------------------------------------------------------------------------------------------

    def state_dict(self) -> dict:
        """What each epoch gave, as lists, numbers and strings, inside of an epoch too."""
        self._forget_partial()
        return {
            "history": {key: list(values) for key, values in self.history.items()},
            "epochs_of": {key: list(values) for key, values in self._epochs_of.items()},
            "epoch": list(self.epoch),
            "time": list(self.time),
            "steps": list(self.steps),
            "learning_rate": {layer: list(values) for layer, values in self.learning_rate.items()},
            "validations": [dict(entry) for entry in self.validations],
            "first_step": self._first_step,
            "seconds": self._before + time.perf_counter() - self._began,
        }

    def load_state_dict(self, state: dict) -> None:
        """Go on from what `state_dict` gave; after `on_train_begin`."""
        self.history = {key: list(values) for key, values in state["history"].items()}
        self._epochs_of = {key: list(values) for key, values in state["epochs_of"].items()}
        self.epoch = list(state["epoch"])
        self.time = list(state["time"])
        self.steps = list(state["steps"])
        self.learning_rate = {layer: list(values) for layer, values in state["learning_rate"].items()}
        self.validations = [dict(entry) for entry in state["validations"]]
        self._first_step = state["first_step"]
        self._before, self._began = float(state["seconds"]), time.perf_counter()

    def __getstate__(self) -> dict:
        return {**self.__dict__, "_model": None}  # a weak reference cannot be pickled, and a file is not the model

    # ---- a picture ---------------------------------------------------------------------------------------------------

    def plot(self, path=None):
        """Draw loss and metrics over the epochs, training beside validation; the learning rate where it changed.

        Parameters
        ----------
        path : str or os.PathLike, optional
            Where to save the picture; its ending says as what (``.png``, ``.svg``, ``.pdf``). Without it the figure
            belongs to ``matplotlib.pyplot``, and ``matplotlib.pyplot.show()`` shows it.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ValueError
            If no epoch has ended.
        ImportError
            If matplotlib is not installed; says what to type.
        FileNotFoundError
            If the folder does not exist.
        """
        if not self.history:
            raise ValueError("History.plot: there is nothing to plot; wanted an epoch that has ended")
        try:
            import matplotlib.figure
            from matplotlib.ticker import MaxNLocator
        except ModuleNotFoundError as error:
            raise errors.missing("History.plot", "matplotlib", "plot") from error
        if path is not None:
            path = os.fspath(path)
            if not os.path.isdir(os.path.dirname(path) or "."):
                raise FileNotFoundError(f"History.plot: the folder of {path!r} does not exist")
        panels = self._panels()
        columns = min(len(panels), _PER_ROW)
        rows = -(-len(panels) // columns)
        options = {"figsize": (4.6 * columns, 3.4 * rows), "layout": "constrained"}
        if path is None:
            import matplotlib.pyplot

            figure = matplotlib.pyplot.figure(**options)
        else:
            figure = matplotlib.figure.Figure(**options)  # leaves nothing behind in pyplot, needs no display
        for place, key in enumerate(panels):
            axes = figure.add_subplot(rows, columns, place + 1)
            self._draw(axes, key)
            axes.set(title=key.replace("_", " "), xlabel="epoch")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1))
            if len(self.epoch) == 1:
                axes.set_xlim(self.epoch[0], self.epoch[0] + 2)
            axes.grid(alpha=0.3)
            axes.spines[["top", "right"]].set_visible(False)
        if path is not None:
            figure.savefig(path, dpi=120)
        return figure

    def _panels(self) -> list[str]:
        """A panel for each key and its validation; the learning rate last, and only where it changed."""
        keys = dict.fromkeys(key.removeprefix("val_") for key in self.history if key in self._epochs_of)
        rates = self.history.get("learning_rate", [])
        if len(set(rates)) < 2 and len(keys) > 1:
            keys.pop("learning_rate", None)
        return sorted(keys, key=lambda key: key == "learning_rate")

    def _draw(self, axes, key: str) -> None:
        shown = []
        for kind, name in (("training", key), ("validation", f"val_{key}")):
            if name not in self._epochs_of:  # or somebody's own, of which nobody knows the epochs
                continue
            x = np.array(self._epochs_of[name]) + 1
            y = np.array(self.history[name])
            there = np.isfinite(np.pad(y, 1, constant_values=np.nan))
            alone = there[1:-1] & ~there[:-2] & ~there[2:]  # a line has no place for them
            marked = np.arange(len(x)) if len(x) < 25 else np.flatnonzero(alone)
            axes.plot(x, y, color=_COLOURS[kind], marker="o" if len(marked) else None, markevery=marked, markersize=3.5,
                      linewidth=1.6, label=kind)
            shown.append(y)
        between = [entry for entry in self.validations if f"val_{key}" in entry]
        if between:
            x = self._place([entry["step"] for entry in between])
            y = np.array([entry[f"val_{key}"] for entry in between])
            axes.plot(x, y, ".", color=_COLOURS["validation"], markersize=4, alpha=0.5, label="within epochs")
            shown.append(y)
        values = np.concatenate(shown)
        finite = values[np.isfinite(values)]
        if (key in ("loss", "learning_rate")) and finite.size and finite.min() > 0 and finite.max() > 50 * finite.min():
            axes.set_yscale("log")
        if len(shown) > 1:
            axes.legend(frameon=False, fontsize="small")

    def _place(self, steps) -> np.ndarray:
        """Where on the axis of epochs a step lies: the end of the first epoch is at 1."""
        first = self.epoch[0] if self.epoch else 0
        ends = np.array([self._first_step, *self.steps], float)
        if steps[-1] > ends[-1]:  # in an epoch that has not ended: as long as the last one, if it is not longer already
            length = ends[-1] - ends[-2] if len(ends) > 1 else 0
            ends = np.append(ends, max(ends[-1] + length, steps[-1]))
        return np.interp(steps, ends, np.arange(first, first + len(ends)))
