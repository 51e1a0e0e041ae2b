"""Batches that come one after the other: generators and iterables as the rows of a training.

Reads feed.py, plan.py, runner.py; read by model.py, which hands `StreamRows` to the trainer in place of arrays.

a) Each batch is copied into a buffer of the network's dtype and is a run of one step; buffers and their programs are
   kept by the number of rows.
b) What can be iterated again is, for each epoch. An iterator goes on where it is, and `steps_per_epoch` says
   how much of it is an epoch.
"""

import time
from collections.abc import Iterator

import numpy as np

from fusednet.backends import interp
from fusednet.feed import Data
from fusednet.plan import Feed, Plan
from fusednet.runner import SECONDS, Progress, Runner, Source

_ENDLESS = 1 << 62  # steps of the engine's epochs: a stream ends its epochs itself


class StreamRows:
    """Batches of an iterable, as `fusednet.trainer.Fit` asks for rows.

    Parameters
    ----------
    model : Sequential
    batches : iterable of (x, y) or (x, y, sample_weight)
    steps_per_epoch : int, optional
        By default ``len(batches)``, or as many as come until the iterable ends.
    class_weight : optional
        As for ``fit``.

    Attributes
    ----------
    first : Data
        The first batch.
    ended : int
        Steps of the epoch that ended last, 0 before one has; fewer than `steps_per_epoch` where the batches came to
        their end.
    """

    def __init__(self, model, batches, steps_per_epoch: int | None, class_weight):
        if isinstance(class_weight, str):
            raise ValueError(f"fit: class_weight is {class_weight!r}, but x is an iterable of batches, whose classes "
                             "nobody has counted; wanted a dict from class to weight")
        self._model, self._batches, self._class_weight = model, batches, class_weight
        self._again = not hasattr(batches, "__next__")
        self._iterator: Iterator = iter(batches)
        self._count = 0
        self.steps_per_epoch = steps_per_epoch or (len(batches) if hasattr(batches, "__len__") else None)
        self.ended = 0
        self.first = self._next()
        if self.first is None:
            raise ValueError("fit: x gave no batch")
        self._waiting: Data | None = self.first
        columns = self.first.y.shape[1] if self.first.kind == "targets" else 0
        self.feed = Feed(model.dtype, self.first.kind, self.first.weight is not None, False, columns)
        self.batch = len(self.first.x)
        self.setting = {"steps_per_epoch": self.steps_per_epoch}

    def _next(self) -> Data | None:
        """The next batch, checked; None where there is none."""
        batch = next(self._iterator, None)
        if batch is None:
            return None
        if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
            raise TypeError(f"fit: batch {self._count} of x is {type(batch).__name__}; wanted (x, y) or "
                            "(x, y, sample_weight)")
        if batch[1] is None:
            raise TypeError(f"fit: batch {self._count} of x has None as its y; wanted labels or numbers")
        weight = batch[2] if len(batch) == 3 else None
        self._count += 1
        return self._model.prepare(batch[0], batch[1], sample_weight=weight, class_weight=self._class_weight,
                                   prefix=f"batch {self._count - 1} of x: ")

    def take(self) -> Data | None:
        """The next batch of this epoch."""
        if self._waiting is not None:
            batch, self._waiting = self._waiting, None
            return batch
        batch = self._next()
        if batch is None:
            return None
        for what in ("kind", "weight"):
            had, has = (getattr(data, what) for data in (self.first, batch))
            if (had is None) != (has is None) or (what == "kind" and had != has):
                raise ValueError(f"fit: batch {self._count - 1} of x has other targets or weights than the first: "
                                 "wanted weights with all batches or with none, and labels with all or with none")
        if batch.y.shape[1:] != self.first.y.shape[1:]:
            raise ValueError(f"fit: batch {self._count - 1} of x has y of shape {batch.y.shape}; wanted as many "
                             f"columns as the first, {self.first.y.shape}")
        return batch

    def rewind(self) -> None:
        """Begin again, for the next epoch."""
        if self._again:
            self._iterator = iter(self._batches)

    def has(self, cursor: np.ndarray) -> bool:
        """Whether a training on these batches comes to this place."""
        steps = self.steps_per_epoch
        return not cursor[interp.POSITION] and (steps is None or cursor[interp.EPOCH_STEP] < steps)

    def runner(self, model, made: Plan, cursor: np.ndarray, sums: np.ndarray) -> "StreamRunner":
        """What walks the plan over the batches."""
        if self._again:
            for _ in range(int(cursor[interp.EPOCH_STEP])):
                self.take()
        return StreamRunner(self, model, made, cursor, sums)


class StreamRunner:
    """A `Runner` whose rows come from outside."""

    def __init__(self, rows: StreamRows, model, made: Plan, cursor: np.ndarray, sums: np.ndarray):
        self._rows, self._model, self._plan = rows, model, made
        self.cursor, self.sums = cursor, sums
        self._runners: dict[int, tuple[Runner, Source]] = {}

    def _runner(self, rows: int) -> tuple[Runner, Source]:
        if rows not in self._runners:
            first, dtype = self._rows.first, self._model.dtype
            source = Source(
                np.empty((rows, first.x.shape[1]), dtype),
                np.empty((rows, *first.y.shape[1:]), first.y.dtype),
                None if first.weight is None else np.empty(rows, dtype),
            )
            made = self._plan
            if rows > made.batch:
                made = self._model.plan("train", self._rows.feed, rows)
            self._runners[rows] = Runner(made, self._model.memory, source, steps_per_epoch=_ENDLESS, cursor=self.cursor,
                                         sums=self.sums, scalars=self._model.scalars), source
        return self._runners[rows]

    def advance(self, steps: int, progress: Progress | None = None, *, leave=None, turn=None) -> Progress:
        """As `Runner.advance`; ends with the epoch."""
        progress = Progress() if progress is None else progress
        looked = time.monotonic()
        for _ in range(steps):
            batch = self._rows.take()
            if batch is None:
                self._end_epoch(progress)
                return progress
            runner, source = self._runner(len(batch.x))
            source.fill(batch)
            runner.advance(1, leave=leave)
            progress.steps += 1
            if self.cursor[interp.EPOCH_STEP] == self._rows.steps_per_epoch:
                self._end_epoch(progress)
                return progress
            if turn is not None and time.monotonic() - looked > SECONDS:
                looked = time.monotonic()
                if turn():
                    break
        return progress

    def _end_epoch(self, progress: Progress) -> None:
        steps = int(self.cursor[interp.EPOCH_STEP])
        if steps == 0:
            raise ValueError(f"fit: x ended after {int(self.cursor[interp.EPOCH])} epochs; it can be iterated only "
                             "once, so steps_per_epoch says how many of its batches are an epoch")
        self._rows.ended = steps
        if self._rows.steps_per_epoch is None:
            self._rows.steps_per_epoch = steps
        progress.epochs.append(self.sums.copy())
        self.sums[:] = 0
        self.cursor[interp.EPOCH] += 1
        self.cursor[interp.EPOCH_STEP] = 0
        self._rows.rewind()
