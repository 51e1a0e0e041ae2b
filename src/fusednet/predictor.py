"""The outputs of a network, again and again: bound plans that are kept between calls.

Reads runner.py, plan.py, memory.py, threads.py, fork.py and the choice of a table; read by model.py.

a) To bind a plan takes far longer than to walk it for a few rows, so a bound plan is kept for each of the last numbers
   of rows. Only where rows and outputs lie is new at each call; nothing is copied.
b) Who asks for what was asked for before gets it in one native call, which also looks for NaN. Everything else, and all
   that is wrong, goes the long way first.
c) Arena and bound plans are one thread's of Python at a time: whoever uses them, locks. A child of a fork begins with
   nothing kept (fork.py).
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from fusednet import backends, threads
from fusednet.fork import BegunAnew
from fusednet.memory import Memory
from fusednet.plan import Feed, Plan
from fusednet.runner import SECONDS, Runner, Source

LEAST_ROWS = 1024
"""Of a step of a long prediction: fewer would make the products slower."""

_MOST_ROWS = 1 << 16
_ARENA_BYTES = 1 << 20
"""What the activations of a step may take: they stay in the second level of cache, or in that of several threads."""

_KEPT = 8
"""Bound plans."""

_COPIED_BYTES = 1 << 20
"""Rows that do not lie one behind the other are copied up to here, so that a bound plan can be kept for them."""


class Predictor(BegunAnew):
    """What a model predicts with."""

    def _begin(self) -> None:
        self._lock = threading.RLock()          # a signal handler on the thread that has it must not wait for it
        self._busy = False                      # what a second one on that thread finds
        self._kept: dict[tuple, Callable] = {}  # by the shape of the rows, the last one used last
        self._key: tuple | None = None          # of what is kept
        self._arena: np.ndarray | None = None

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with self._lock:
            if self._busy:
                raise RuntimeError("predict: called within a prediction of the same model, by a signal handler "
                                   "perhaps; wanted after its end")
            self._busy = True
            try:
                yield
            finally:
                self._busy = False

    def again(self, x, memory: Memory | None) -> np.ndarray | None:
        """Outputs of x if it is such an array as one before: of the same shape and dtype, contiguous and finite, and
        weights, table and number of threads are the same; else None.

        Parameters
        ----------
        x : object
        memory : Memory or None
        """
        if type(x) is not np.ndarray:
            return None
        with self._lock:  # not `_locked`: this is all there is to do for a row
            if self._busy:
                return None
            self._busy = True
            try:
                forward = self._kept.get(x.shape)
                return forward(x) if forward is not None and self._key == _key(memory) else None
            finally:
                self._busy = False

    def __call__(self, x: np.ndarray, memory: Memory, plan_of: Callable[[Feed, int], Plan],
                 batch: int | None = None) -> np.ndarray:
        """Outputs of rows.

        Parameters
        ----------
        x : ndarray, (rows, features)
            Checked: readable by kernels, and finite.
        memory : Memory
        plan_of : callable
            ``plan_of(feed, batch)`` makes a plan of mode "predict".
        batch : int, optional
            Rows of a step; by default as many as is fast.

        Returns
        -------
        ndarray of the network's dtype, (rows, outputs)
        """
        if batch is None:
            if x.nbytes <= _COPIED_BYTES:
                x = np.ascontiguousarray(x)
            found = self.again(x, memory)
            if found is not None:
                return found
        rows, feed = len(x), Feed(str(x.dtype))
        made = plan_of(feed, min(rows, batch or LEAST_ROWS))
        if batch is None and rows > LEAST_ROWS:
            made = plan_of(feed, min(rows, LEAST_ROWS * max(1, _ARENA_BYTES // max(1, made.arena)), _MOST_ROWS))
        out = np.empty((rows, made.network.outputs), made.network.dtype)
        with self._locked():
            runner = Runner(made, memory, Source(x, out=out))
            runner.advance(runner.steps_per_epoch)
            if batch is None and x.flags.c_contiguous:
                self._keep(runner, x.shape, memory, made)
        return out

    def forget(self) -> None:
        """Keep nothing: plans of such a model are others from now on."""
        with self._locked():
            self._kept.clear()

    def _keep(self, runner: Runner, shape: tuple, memory: Memory, made: Plan) -> None:
        arena = memory.arena(made.arena, made.mode)
        if self._key != _key(memory) or self._arena is not arena:  # not one arena for each
            self._kept.clear()
        self._key, self._arena = _key(memory), arena
        self._kept.pop(shape, None)
        self._kept[shape] = runner.forward(SECONDS)
        if len(self._kept) > _KEPT:
            self._kept.pop(next(iter(self._kept)))


def _key(memory: Memory | None) -> tuple:
    return memory, backends.current(), threads.get_num_threads()
