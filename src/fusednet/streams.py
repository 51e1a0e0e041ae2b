"""Batches that come one after the other: generators and iterables as the rows of a training.

Reads feed.py, plan.py, runner.py; read by model.py, which hands `StreamRows` to the trainer in place of arrays.

a) Each batch is copied into a buffer of the network's dtype and is a run of one step; programs are kept by the number
   of rows.
b) What can be iterated again is, for each epoch. An iterator goes on where it is, and `steps_per_epoch` says
   how much of it is an epoch.
"""

import time
from collections.abc import Iterator

import numpy as np

from fusednet.cursor import EPOCH, EPOCH_STEP, POSITION
from fusednet.feed import Data
from fusednet.plan import Feed, Plan
from fusednet.runner import SECONDS, Progress, Runner, Source

_ENDLESS = 1 << 62  # steps of the engine's epochs: a stream ends its epochs itself
_RUNNERS = 64  # kept, for batches of as many sizes
_NO_MORE = object()


def _length(batches) -> int | None:
    """How many batches there are, where that is known; loaders of unknown length raise, or say 0."""
    try:
        return len(batches) or None
    except TypeError:
        return None


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
        self.steps_per_epoch = steps_per_epoch or _length(batches)
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
        batch = next(self._iterator, _NO_MORE)
        if batch is _NO_MORE:
            return None
        if not isinstance(batch, (tuple, list)) or len(batch) not in (2, 3):
            raise TypeError(f"fit: batch {self._count} of x is {type(batch).__name__}; wanted (x, y) or "
                            "(x, y, sample_weight)")
        if batch[1] is None:
            raise TypeError(f"fit: batch {self._count} of x has None as its y; wanted labels or numbers")
        weight = batch[2] if len(batch) == 3 else None
        self._count += 1
        return self._model.prepare(batch[0], batch[1], sample_weight=weight, class_weight=self._class_weight,
                                   prefix=f"batch {self._count - 1} of x: ", one_of_many=True)

    def take(self) -> Data | None:
        """The next batch of this epoch."""
        if self._waiting is not None:
            batch, self._waiting = self._waiting, None
            return batch
        batch = self._next()
        if batch is None:
            return None
        if (batch.weight is None) != (self.first.weight is None):
            has = "no weights" if batch.weight is None else "weights"
            raise ValueError(f"fit: batch {self._count - 1} of x has {has}, unlike the first; wanted them with all "
                             "batches or with none")
        if batch.kind != self.first.kind:
            has = {"labels": "labels", "targets": "rows of numbers"}
            raise ValueError(f"fit: batch {self._count - 1} of x has {has[batch.kind]} as its y, the first has "
                             f"{has[self.first.kind]}; wanted the same with all batches")
        if batch.y.shape[1:] != self.first.y.shape[1:]:
            raise ValueError(f"fit: batch {self._count - 1} of x has y of shape {batch.y.shape}; wanted as many "
                             f"columns as the first, {self.first.y.shape}")
        return batch

    def are_over(self) -> bool:
        """Whether an epoch of unknown length has come to its end. One batch is taken ahead to know it; what can be
        iterated only once may be gone on with elsewhere, and is not."""
        if self.steps_per_epoch is not None or not self._again:
            return False
        if self._waiting is None:
            self._waiting = self.take()
        return self._waiting is None

    def rewind(self) -> None:
        """Begin again, for the next epoch."""
        if self._again:
            self._iterator = iter(self._batches)

    def has(self, cursor: np.ndarray) -> bool:
        """Whether a training on these batches comes to this place."""
        steps = self.steps_per_epoch
        return not cursor[POSITION] and (steps is None or cursor[EPOCH_STEP] < steps)

    def runner(self, model, made: Plan, cursor: np.ndarray, sums: np.ndarray, check: bool) -> "StreamRunner":
        """What walks the plan over the batches; `check` is what the plan was made with."""
        if self._again:
            for _ in range(int(cursor[EPOCH_STEP])):
                self.take()
        return StreamRunner(self, model, made, cursor, sums, check)


class StreamRunner:
    """A `Runner` whose rows come from outside."""

    def __init__(self, rows: StreamRows, model, made: Plan, cursor: np.ndarray, sums: np.ndarray, check: bool):
        self._rows, self._model, self._plan, self._check = rows, model, made, check
        self.cursor, self.sums = cursor, sums
        self._buffer = self._room(rows.batch)
        self._runners: dict[int, Runner] = {}

    def _room(self, rows: int) -> Source:
        """Where batches of up to so many rows are copied to."""
        first, dtype = self._rows.first, self._model.dtype
        return Source(
            np.empty((rows, first.x.shape[1]), dtype),
            np.empty((rows, *first.y.shape[1:]), first.y.dtype),
            None if first.weight is None else np.empty(rows, dtype),
        )

    def _runner(self, rows: int) -> Runner:
        """What does a step on the first so many rows of the buffer."""
        if rows in self._runners:
            return self._runners[rows]
        if rows > self._buffer.rows:
            self._buffer = self._room(max(rows, 2 * self._buffer.rows))  # for batches that grow and grow
            self._runners.clear()
        if len(self._runners) == _RUNNERS:
            del self._runners[next(iter(self._runners))]
        made, memory = self._plan, self._model.memory
        if rows > made.batch:
            made = self._model.plan("train", self._rows.feed, rows, check=self._check)
            memory.make_gradients(made.gradients)
        self._runners[rows] = Runner(made, memory, self._buffer.first(rows), steps_per_epoch=_ENDLESS,
                                     cursor=self.cursor, sums=self.sums, scalars=self._model.scalars)
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
            runner = self._runner(len(batch.x))
            runner.source.fill(batch)
            runner.advance(1, leave=leave)
            progress.steps += 1
            if self.cursor[EPOCH_STEP] == self._rows.steps_per_epoch or self._rows.are_over():
                self._end_epoch(progress)
                return progress
            if turn is not None and time.monotonic() - looked > SECONDS:
                looked = time.monotonic()
                if turn():
                    break
        return progress

    def _end_epoch(self, progress: Progress) -> None:
        steps = int(self.cursor[EPOCH_STEP])
        if steps == 0:
            raise ValueError(f"fit: x ended after {int(self.cursor[EPOCH])} epochs; it can be iterated only "
                             "once, so steps_per_epoch says how many of its batches are an epoch")
        self._rows.ended = steps
        progress.epochs.append(self.sums.copy())
        self.sums[:] = 0
        self.cursor[EPOCH] += 1
        self.cursor[EPOCH_STEP] = 0
        self._rows.rewind()
