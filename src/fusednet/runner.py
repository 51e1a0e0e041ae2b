"""A plan being walked: data and cursor beside it, the numbers of each step, the way out when somebody interrupts.

Reads bind.py, plan.py, memory.py, cursor.py, the tables (backends) and both walkers; read by feed.py, trainer.py,
predictor.py and model.py.

a) `Runner.advance` does many steps, in calls of about 50 ms, between which Python gets its turn (Ctrl-C, progress).
b) A step that was begun and not finished leaves no trace: `cursor` stands between steps whenever `advance` is left.
c) The native table is walked by the C loop, the others by backends/interp.py; the results are the same.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from fusednet import backends, threads
from fusednet.backends import interp
from fusednet.bind import Binder, BoundProgram
from fusednet.cursor import EPOCH, OP, PASS, POSITION, STEP, fresh
from fusednet.memory import Memory
from fusednet.plan import Plan

SECONDS = 0.05
"""How long a call may take before Python gets its turn."""

_MOST_STEPS = 1 << 15  # of one call: bounds the memory that their numbers take
_MOST_EPOCHS = 4096    # of one call: the same of their sums


class NotFinite(ArithmeticError):
    """Loss or gradient of a step are not finite; the step was not taken.

    Attributes
    ----------
    step : int
        Its number, counted from 1.
    what : str
    """

    def __init__(self, step: int, what: str):
        super().__init__(f"the {what} of step {step} is not finite")
        self.step, self.what = step, what


@dataclass
class Source:
    """The rows that a run goes through.

    Attributes
    ----------
    x, y, weight : ndarray
        As the plan's `Feed` says; y and weight may be None.
    chosen : ndarray of int64, optional
        Which rows of x; all by default.
    shuffled : bool
        Whether the order is drawn anew for each pass.
    """

    x: np.ndarray
    y: np.ndarray | None = None
    weight: np.ndarray | None = None
    chosen: np.ndarray | None = None
    shuffled: bool = False
    out: np.ndarray | None = None

    @property
    def rows(self) -> int:
        return len(self.x) if self.chosen is None else len(self.chosen)

    def first(self, rows: int) -> "Source":
        """So many rows of these, where they lie."""
        return Source(self.x[:rows], self.y[:rows], None if self.weight is None else self.weight[:rows])

    def fill(self, other) -> None:
        """Copy x, y and weight of `other`, of as many rows, to where these lie."""
        for name in ("x", "y", "weight"):
            if getattr(self, name) is not None:
                np.copyto(getattr(self, name), getattr(other, name), casting="unsafe")


@dataclass
class Progress:
    """What `advance` did.

    Attributes
    ----------
    steps : int
    epochs : list of ndarray
        The sums of the epochs that ended, by `Plan.sums`.
    followed : dict of int to ndarray
        By number of epoch, counted from 0, the sums of the run that followed it; see `Runner.follow`.
    """

    steps: int = 0
    epochs: list[np.ndarray] = field(default_factory=list)
    followed: dict[int, np.ndarray] = field(default_factory=dict)


class Runner:
    """A plan, its memory and its data, and where it stands.

    Where a check "bound" of the plan fails it is the plan's `whole` from then on.

    Parameters
    ----------
    plan : Plan
    memory : Memory
    source : Source
    steps_per_epoch : int, optional
        By default as many as use up the rows.
    seed : int
        Of the order of rows.
    cursor : ndarray of int64, optional
        Where to begin; changed in place.
    sums : ndarray of float64, optional
        The sums of the epoch that was begun; changed in place.
    scalars : callable, optional
        ``scalars(steps) -> {name: ndarray}`` for an array of numbers of steps, counted from 0.
    """

    def __init__(self, plan: Plan, memory: Memory, source: Source, *, steps_per_epoch: int | None = None, seed: int = 0,
                 cursor: np.ndarray | None = None, sums: np.ndarray | None = None,
                 scalars: Callable[[np.ndarray], dict[str, np.ndarray]] | None = None):
        self.plan, self.source = plan, source
        self.cursor = fresh() if cursor is None else cursor
        self.sums = np.zeros(len(plan.sums)) if sums is None else sums
        self.batch = min(plan.batch, source.rows)
        self.steps_per_epoch = steps_per_epoch or -(-source.rows // self.batch)
        self.scalars = scalars
        self._steps = 64  # of the next call; grows to what SECONDS allow
        self._records = np.empty((min(_MOST_EPOCHS, max(1, _MOST_STEPS // self.steps_per_epoch)), len(plan.sums)))
        self._follows: tuple[Runner, int] | None = None  # what `follow` said
        self._order = None
        if source.shuffled or source.chosen is not None:
            self._order = np.empty(source.rows, np.int64)
        self._memory, self._seed = memory, seed % 2**64
        self._make()

    def _make(self) -> None:
        self._table, source = backends.current(), self.source
        if self._order is not None:
            if source.shuffled:
                walker = interp.walker(self._table)
                walker.shuffle(self._order, source.chosen, self._seed, int(self.cursor[PASS]))
            else:
                self._order[:] = source.chosen
        self._bind()

    def _bind(self) -> None:
        """Make what walks the plan."""
        source, plan, memory = self.source, self.plan, self._memory
        arrays = memory.arrays() | {
            name: array
            for name, array in (("data.x", source.x), ("data.y", source.y), ("data.weight", source.weight),
                                ("data.out", source.out), ("order", self._order), ("sums", self.sums))
            if array is not None
        }
        binder = Binder(plan, arrays, memory.named(), memory.arena(plan.arena, plan.mode), threads.get_num_threads())
        full = binder.program(self.batch)
        left = source.rows % self.batch
        tail = binder.program(left) if left else None
        self._programs: tuple[BoundProgram, BoundProgram | None] = (full, tail)
        renewed = self._order if source.shuffled else None
        self._run = interp.walker(self._table).run(
            full, tail, source.rows, self.batch, self.steps_per_epoch, renewed, source.chosen, self._seed, self.cursor,
            self.sums, self._records, plan.network.dtype, plan.mode == "train")

    @property
    def rows_left(self) -> int:
        """Rows of the batch that is begun or comes next."""
        return min(self.source.rows - int(self.cursor[POSITION]), self.batch)

    def numbers(self, steps: int) -> np.ndarray:
        """What changes from step to step, of the next `steps` steps, by the columns of the plan."""
        table = np.empty((steps, len(self.plan.scalars)))
        if self.plan.scalars:
            at = np.arange(int(self.cursor[STEP]), int(self.cursor[STEP]) + steps)
            values = self.scalars(at)
            for column, scalar in enumerate(self.plan.scalars):
                np.multiply(values[scalar.name], scalar.factor, out=table[:, column])
        return table

    def advance(self, steps: int, progress: Progress | None = None, *, leave: Callable | None = None,
                turn: Callable[[], bool | None] | None = None) -> Progress:
        """Do `steps` steps.

        Parameters
        ----------
        steps : int
        progress : Progress, optional
            Is added to; what is done before an exception is in it.
        leave : callable, optional
            ``leave(*arguments)`` does an op "leave", given its arguments as arrays and numbers.
        turn : callable, optional
            Is called between steps, about every 50 ms. If it returns True, the run ends.

        Returns
        -------
        Progress

        Raises
        ------
        NotFinite
            If a check failed; the cursor stands before the step.
        """
        progress = Progress() if progress is None else progress
        end = progress.steps + steps
        ending = False
        self._told = int(self.cursor[EPOCH]) - len(progress.epochs)
        with self._whole_steps(progress):
            while (progress.steps < end or self._run.owes) and not ending:
                begun = self.cursor[OP] > 0  # then no further than its end, where `turn` is due
                wanted = 1 if begun else min(self._steps, end - progress.steps)
                try:
                    table = self.numbers(wanted)
                except Exception:  # a schedule that fails at a later step: those before it are made
                    if wanted == 1:
                        raise
                    self._steps = wanted // 2
                    continue
                status, done = self._call(table, progress)
                if status == "check":
                    op = self.plan.ops[int(self.cursor[OP])]
                    if op.of == "bound":
                        self._take_whole_gradients()
                        continue
                    raise NotFinite(int(self.cursor[STEP]) + 1, "loss" if op.of == "loss" else "gradient")
                if status == "left":
                    self._leave(leave, table[done])
                if status == "done" and done == wanted and not begun:
                    self._steps = min(2 * self._steps, _MOST_STEPS)
                elif status == "time" and done:
                    self._steps = max(1, done + done // 4)
                if turn is not None and self.cursor[OP] == 0:
                    ending = bool(turn())
        return progress

    def follow(self, other: "Runner", every: int) -> None:
        """Let `other`, whose plan has no numbers, go through its rows once after each epoch whose count `every`
        divides, within the call that ends the epoch; its sums are then in `Progress.followed`."""
        self._run.follow(other._run, every)
        self._follows = other, every

    def _take_whole_gradients(self) -> None:
        """Go on, from the beginning of the step, with the plan that looks at all gradients."""
        self.plan = self.plan.whole
        self._memory.make_gradients()
        self.cursor[OP] = 0
        self._bind()
        if self._follows is not None:
            self.follow(*self._follows)

    def reorder(self, order: np.ndarray) -> None:
        """Let the rows of `Source.chosen` come in this order, a permutation, from the next pass on."""
        order = np.asarray(order)
        rows = len(self._order)
        if (order.shape != self._order.shape or order.dtype.kind not in "iu" or order.min() < 0 or order.max() >= rows
                or (np.bincount(order.astype(np.int64)) != 1).any()):
            raise ValueError(f"the order of rows is no permutation of {rows} rows")
        np.take(self.source.chosen, order.astype(np.int64), out=self._order)

    def forward(self, seconds: float) -> Callable[[np.ndarray], np.ndarray | None]:
        """Give up this runner, of a plan of mode "predict", for a function of other rows of the same number.

        Parameters
        ----------
        seconds : float
            After how long of a call somebody who interrupts is heard.

        Returns
        -------
        callable
            ``forward(x)`` is the outputs of x, or None where x is no contiguous array of the shape and dtype of
            `Source.x` with finite numbers.
        """
        return interp.walker(self._table).forward(self._run, self.source.x, self.source.out, seconds)

    @contextmanager
    def _whole_steps(self, progress: Progress) -> Iterator[None]:
        try:
            yield
        finally:
            self.cursor[OP] = 0
            self._tell(progress)

    def _tell(self, progress: Progress) -> None:
        """Put the epochs of the last call into `progress`; a second time changes nothing."""
        ended = int(self.cursor[EPOCH]) - self._told - len(progress.epochs)
        progress.epochs += list(self._records[:ended].copy())
        if self._follows is not None:
            every, count = self._follows[1], self._run.followed
            followed = int(self.cursor[EPOCH]) // every - self._run.owes
            for i, sums in enumerate(self._run.following.records[:count].copy()):
                progress.followed[(followed - count + 1 + i) * every - 1] = sums

    def _call(self, table: np.ndarray, progress: Progress) -> tuple[str, int]:
        step = int(self.cursor[STEP])
        try:
            status, done, _ = self._run.advance(table, SECONDS)
        finally:  # also when an interrupt comes here: what is done is told
            progress.steps += int(self.cursor[STEP]) - step
            self._tell(progress)
        return status, done

    def _leave(self, leave: Callable, numbers: np.ndarray) -> None:
        program = self._programs[self.rows_left < self.batch]
        op = program.ops[int(self.cursor[OP]) - 1]
        position = int(self.cursor[POSITION])
        with self._memory.within_step():
            leave(*(interp.resolve(argument, numbers, position) for argument in op.arguments))
