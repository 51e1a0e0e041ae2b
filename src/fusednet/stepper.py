"""A step on rows that are given, again and again: the bound plan of the last one is kept.

Reads runner.py, plan.py, memory.py, threads.py, fork.py and the choice of a table; read by model.py.

a) To bind a plan takes several times as long as a step of a small network. A step like the last one copies its rows to
   where those of the last one were.
b) Nothing is kept while a step is under way, which may be left by an error or Ctrl-C with its sums half made.
c) A child of a fork begins with nothing kept (fork.py).
"""

import threading
from collections.abc import Callable

import numpy as np

from fusednet import backends, threads
from fusednet.cursor import STEP
from fusednet.fork import BegunAnew
from fusednet.memory import Memory
from fusednet.plan import Plan
from fusednet.runner import Runner, Source

_COPIED_BYTES = 1 << 20
"""Of the rows at most: beside a step on more it takes nothing to bind a plan."""


class Stepper(BegunAnew):
    """What ``train_on_batch`` steps with."""

    def _begin(self) -> None:
        self._kept: tuple[list, Runner] | None = None  # what the runner was made for
        self._alone = threading.Lock()

    def __call__(self, made: Plan, memory: Memory, rows: Source, step: int, scalars: Callable,
                 leave: Callable | None) -> np.ndarray:
        """One step on all rows.

        Parameters
        ----------
        made : Plan
            Of mode "train", for as many rows.
        memory : Memory
            Prepared for the plan.
        rows : Source
            In their order.
        step : int
            Steps before this one.
        scalars, leave : callable
            As `Runner` and `Runner.advance` have them.

        Returns
        -------
        ndarray of float64
            The sums, by `Plan.sums`.

        Raises
        ------
        NotFinite
            If a check failed; the step has not been.
        RuntimeError
            If a step is under way, in another thread or because the loss is a function that asks for one.
        """
        if not self._alone.acquire(blocking=False):
            raise RuntimeError("train_on_batch: a step of this model is under way; wanted one after the other")
        try:
            return self._step(made, memory, rows, step, scalars, leave)
        finally:
            self._alone.release()

    def _step(self, made: Plan, memory: Memory, rows: Source, step: int, scalars: Callable,
              leave: Callable | None) -> np.ndarray:
        wanted = [made, backends.current(), threads.get_num_threads(), memory.arena(made.arena, made.mode),
                  *memory.arrays().values()]
        kept, self._kept = self._kept, None
        if kept is not None and _same(kept[0], wanted):
            runner = kept[1]
            runner.source.fill(rows)
        else:
            small = sum(array.nbytes for array in (rows.x, rows.y, rows.weight) if array is not None) <= _COPIED_BYTES
            runner = Runner(made, memory, _copied(rows) if small else rows)
            kept = (wanted, runner) if small else None
        runner.cursor[STEP] = step
        runner.scalars = scalars  # not for longer: they may be the owner's, who would then never be freed at once
        try:
            sums = runner.advance(1, leave=leave).epochs[0]
        finally:
            runner.scalars = None
        self._kept = kept
        return sums


def _same(some: list, others: list) -> bool:
    """Whether both have the same objects and equal numbers."""
    pairs = zip(some, others, strict=False)
    return len(some) == len(others) and all(a is b or (isinstance(a, int) and a == b) for a, b in pairs)


def _copied(rows: Source) -> Source:
    return Source(*(None if array is None else np.array(array, order="C") for array in (rows.x, rows.y, rows.weight)))
