"""The plan's walker in Python: any table's kernels called one by one, in the order and under the rules of the C loop.

Reads cursor.py and ref_numpy.py (its generator); read by runner.py. The C twin is csrc/engine/run.c, whose header says
what a run is; a test holds the two together op by op.

a) Python may be interrupted between any two of its instructions. A step that has begun to change what lasts is finished
   first (`_uninterrupted`), as in the C loop, which cannot be interrupted at all.
"""

import math
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np

from fusednet.backends.ref_numpy import random_words
from fusednet.cursor import EPOCH, EPOCH_STEP, OP, PASS, POSITION, STEP

_SHUFFLE_OP = 0xFFFF


def shuffle(order: np.ndarray, chosen: np.ndarray | None, seed: int, number: int) -> None:
    """Write the order of pass `number` into `order` (int64); see fn_shuffle in csrc/include/run.h."""
    n = len(order)
    rows = (np.arange(n) if chosen is None else chosen).tolist()
    words = random_words(n, seed, number, _SHUFFLE_OP)
    partners = ((words * np.arange(1, n + 1, dtype=np.uint64)) >> np.uint64(32)).tolist()
    for i in range(n - 1, 0, -1):
        j = partners[i]
        rows[i], rows[j] = rows[j], rows[i]
    order[:] = rows


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Ctrl-C is heard when this is left."""
    answer = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(answer):
        yield  # no thread but the first hears of signals
        return
    heard: list[tuple] = []
    signal.signal(signal.SIGINT, lambda *what: heard.append(what))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, answer)
        if heard:
            answer(*heard[-1])


class Run:
    """What `advance` walks; arguments as for `_native.Run`, programs are `fusednet.bind.BoundProgram`."""

    def __init__(self, table, full, tail, rows, batch, steps_per_epoch, order, chosen, seed, cursor, sums, records):
        self.table, self.programs = table, (full, tail)
        self.rows, self.batch, self.steps_per_epoch = rows, batch, steps_per_epoch
        self.order, self.chosen, self.seed = order, chosen, seed
        self.cursor, self.sums, self.records = cursor, sums, records
        self.following, self.every, self.owes, self.followed = None, 1, False, 0

    def follow(self, following: "Run", every: int) -> None:
        """See `_native.Run.follow`."""
        self.following, self.every = following, every

    def advance(self, scalars: np.ndarray, seconds: float) -> tuple[str, int, int]:
        """One call of the loop; see `_native.Run.advance`."""
        if self.following is None:
            return self._advance(scalars, seconds, self.records)
        end, after = time.perf_counter() + seconds, self.following
        done = epochs = self.followed = 0
        while True:
            if self.owes:
                if self.followed == len(after.records):
                    return "done", done, epochs
                left = np.empty((after.steps_per_epoch - int(after.cursor[EPOCH_STEP]), 0))
                status, _, ended = after._advance(left, end - time.perf_counter(), after.records[self.followed :])
                if ended:  # perhaps when time was over too
                    self.followed += 1
                    self.owes = False
                if status != "done":
                    return status, done, epochs
            if done == len(scalars) or epochs == len(self.records):
                return "done", done, epochs
            status, some, ended = self._advance(scalars[done:], end - time.perf_counter(), self.records[epochs:][:1])
            done, epochs = done + some, epochs + ended
            if ended and self.cursor[EPOCH] % self.every == 0:
                after.cursor[:] = after.sums[:] = 0
                self.owes = True
            if status != "done":
                return status, done, epochs

    def _advance(self, scalars: np.ndarray, seconds: float, records: np.ndarray) -> tuple[str, int, int]:
        begin = since = time.perf_counter()
        cursor, done, epochs, status = self.cursor, 0, 0, "done"
        while done < len(scalars) and status == "done":
            rows = min(self.rows - int(cursor[POSITION]), self.batch)
            program = self.programs[rows < self.batch]
            status = self._walk(program, program.commit, scalars[done], begin + seconds)
            if status != "done" and cursor[OP] < len(program.ops):
                break
            with _uninterrupted():
                self._walk(program, len(program.ops), scalars[done], math.inf)
                done += 1
                if self._finish_step(rows):
                    now = time.perf_counter()
                    self.sums[0] += now - since
                    since = now
                    records[epochs] = self.sums
                    self.sums[:] = 0
                    epochs += 1
                    if epochs == len(records):
                        break
            if time.perf_counter() - begin > seconds and status == "done":
                status = "time"
        self.sums[0] += time.perf_counter() - since
        return status, done, epochs

    def _walk(self, program, until: int, scalars: np.ndarray, end: float) -> str:
        """Do the ops up to `until`; the status."""
        cursor = self.cursor
        while cursor[OP] < until:
            op = program.ops[cursor[OP]]
            if op.kernel == "check":
                if not math.isfinite(op.arguments[0][0]):
                    return "check"
            elif op.kernel != "leave":
                self._call(op, scalars)
            cursor[OP] += 1
            if op.kernel == "leave":
                return "left"
            if time.perf_counter() > end:
                return "time"
        return "done"

    def _call(self, op, scalars: np.ndarray) -> None:
        position = int(self.cursor[POSITION])
        arguments = [resolve(argument, scalars, position) for argument in op.arguments]
        getattr(self.table, op.kernel)(*arguments)

    def _finish_step(self, rows: int) -> bool:
        """Move the cursor on; whether an epoch has ended."""
        cursor = self.cursor
        cursor[OP] = 0
        cursor[STEP] += 1
        self.sums[1] += rows
        cursor[POSITION] += rows
        if cursor[POSITION] == self.rows:
            cursor[POSITION] = 0
            cursor[PASS] += 1
            if self.order is not None:
                shuffle(self.order, self.chosen, self.seed, int(cursor[PASS]))
        cursor[EPOCH_STEP] += 1
        if cursor[EPOCH_STEP] < self.steps_per_epoch:
            return False
        cursor[EPOCH] += 1
        cursor[EPOCH_STEP] = 0
        return True


def resolve(argument, scalars: np.ndarray, position: int):
    """An argument of a bound op as the kernel takes it, at the step with these numbers and this position."""
    kind = getattr(argument, "patch", None)
    if kind == "scalar":
        value = float(scalars[argument.column])
        return int(value) if argument.whole else value
    if kind == "load":
        return float(argument.array[0])
    if kind == "cell":
        return argument.stand_in
    return argument.at(position) if kind == "rows" else argument


class Forward:
    """What a run gives for other rows; arguments and answers as of `_native.Forward`."""

    def __init__(self, run: Run, x: np.ndarray, out: np.ndarray):
        names = {id(x): "x", id(out): "out"}
        self._run = run
        self._programs = [_exchanged(program, lambda array: names[id(array)]) for program in run.programs]
        self._rows, self._outputs = (x.shape, x.dtype), (out.shape, out.dtype)
        run.programs = None

    def __call__(self, x) -> np.ndarray | None:
        run, first = self._run, np.empty(1, np.int64)
        if type(x) is not np.ndarray or (x.shape, x.dtype) != self._rows or not (
                x.flags.c_contiguous and x.flags.aligned):
            return None
        run.table.find_nonfinite(first, x)
        if first[0] >= 0 or _any_beyond(x, self._outputs[1]):
            return None
        arrays = {"x": x, "out": np.empty(*self._outputs)}
        run.programs = [_exchanged(program, lambda name: arrays[name]) for program in self._programs]
        run.cursor[:] = 0
        run.advance(np.empty((run.steps_per_epoch, 0)), math.inf)
        run.programs = None
        return arrays["out"]


def _any_beyond(x: np.ndarray, dtype) -> bool:
    """Whether a number of x is beyond what `dtype` holds."""
    if x.dtype.kind != "f" or x.itemsize <= dtype.itemsize or not x.size:
        return False
    most = np.finfo(dtype).max
    return bool(x.max() > most or x.min() < -most)


def _exchanged(program, other):
    """A program with ``other(array)`` for each array whose rows the cursor goes through."""
    def argument(given):
        return replace(given, array=other(given.array)) if getattr(given, "patch", None) == "rows" else given

    return program and replace(program, ops=tuple(
        op._replace(arguments=tuple(argument(given) for given in op.arguments)) for op in program.ops))


class Walker:
    """Walks a table's kernels from Python; `fusednet.backends.native.Walker` is its twin."""

    shuffle = staticmethod(shuffle)

    def __init__(self, table):
        self._table = table

    def run(self, *arguments):
        """See `native.Walker.run`; Python's numbers know their dtype, and subnormal ones stay as they are."""
        *arguments, _dtype, _flush = arguments
        return Run(self._table, *arguments)

    def forward(self, run, x, out, seconds):
        """See `native.Walker.forward`; Python itself hears of interrupts."""
        return Forward(run, x, out)


def walker(table):
    """The table's own walker, or this one."""
    return Walker(table) if table.walker is None else table.walker
