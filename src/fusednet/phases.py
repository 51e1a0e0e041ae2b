"""Which ops of a plan stand in one phase: a thread goes through its parts of all of them and waits for nobody.

Reads plan.py (ops), arena.py (tensors) and the kernel list; read by planner.py and book/_plan.py before they place
tensors. csrc/engine/run.c walks phases; backends/interp.py, on one thread, has no use for them.

a) Threads meet at the end of a phase. That costs them a microsecond or so, as long as the ops of a small network take.
b) Most ops work row by row. In a phase of several all of these are divided by the same rows, so that what a part reads
   of the op before it has written itself: a layer's product, its activation and the next layer's product need no
   meeting in between. Any other op joins a phase if it touches nothing that others of the phase write.
c) By rows, each part reads all weights of a layer. Where they do not stay in a core's first cache it is better to meet,
   and to let the kernel divide the product as it likes.
   A phase also ends after an op that takes long, so that large activations can lie where others lay.
   Blocks of weights (blocks.py), too, are divided by rows, which are their own: a part makes some rows of a gradient,
   steps those weights, and goes on to the same rows of the next block.
   A gradient by slices of the rows (slices.py) is an op for each slice, which the part that has these rows does alone.
   With ops of slices in it a phase is divided between slices only. Ops of the same slice never wait for each other.
   Where a phase is nothing but one op for each slice, more threads than slices may share them (`Op.together`).
   So it is with the ranges by which some products are made (split_k.py): each is one part's.
d) Phases divided by columns, which would take in a product and its batch normalisation, are no gain (2026-11, job
   `deep` 0.98): its time goes into what the threads read of each other.
e) Nor are phases by rows in tiles, each taken through all ops of the phase while it sits in the first cache: job
   `default`, 1 thread, 200 rows in tiles of 100, 67, 50 and 25: 0.94, 0.91, 0.85, 0.70 (2026-11, Zen 5).
f) What the ops of a phase read or write is all there at the same time: arena.py is told so by `Op.end`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from fusednet.arena import Tensor, names
from fusednet.backends.table import KERNELS, Kernel
from fusednet.plan import Loaded, OneRow, Op, Part, cost

_WEIGHTS = 48 * 1024
"""Bytes of weights up to which an op is divided by rows. 2026-11, 2 threads, rows per second over those without phases:
64 KB of weights (job `deep`) 0.95, 40 KB (`book`) 1.04, 17 KB (`rl`) 1.3."""

_LARGE = 1 << 16
"""Cycles of an op after which a meeting of the threads does not count."""


def is_large(op: Op, tensors: dict[str, Tensor], batch: int) -> bool:
    """Whether an op takes so long that a meeting of the threads after it does not count."""
    return cost(op, tensors, batch) > _LARGE


def schedule(ops: Sequence[Op], tensors: dict[str, Tensor], batch: int, commit: int) -> tuple[Op, ...]:
    """The ops, each with its `end` and `by_rows`.

    Parameters
    ----------
    ops : sequence of Op
    tensors : dict of str to Tensor
        All that the ops name.
    batch : int
        Rows of a full batch, by which it is judged what is large.
    commit : int
        The first op that changes what lasts; a phase ends there.
    """
    phases: list[list[_Looked]] = []
    for i, op in enumerate(ops):
        looked = _Looked(op, tensors)
        begins = not phases or i == commit or _begins(op, ops[i - 1], tensors, batch)
        if begins or not all(looked.joins(other) for other in phases[-1]):
            phases.append([])
        phases[-1].append(looked)
    scheduled: list[Op] = []
    for phase in phases:
        end = len(scheduled) + len(phase)
        several = len(phase) > 1
        slices = max(one.op.slices for one in phase) if several else 0
        together = batch > 1 and [one.op.slice for one in phase] == list(range(slices))  # of one row: split_k.py a)
        scheduled += [replace(one.op, end=end, by_rows=several and one.rows == "m", rows=one.op.rows if several else 0,
                              slice=one.op.slice if several else None, slices=slices, together=together)
                      for one in phase]
    return tuple(scheduled)


def _begins(op: Op, before: Op, tensors: dict[str, Tensor], batch: int) -> bool:
    """Whether a phase begins with `op`, whatever both touch."""
    if op.is_range or before.is_range:
        return not (op.is_range and before.is_range)
    if op.rows or before.rows:
        return not _same_block(op, before, tensors)
    if op.slice is not None and before.slice is not None and op.slice != before.slice:
        return False  # side by side, however long
    return before.kernel in KERNELS and is_large(before, tensors, batch)


def _same_block(op: Op, before: Op, tensors: dict[str, Tensor]) -> bool:
    """Whether both make, or step weights by, blocks of one tensor."""
    one, other = ({name for argument in each.arguments for name in names(argument)} for each in (op, before))
    return op.rows == before.rows and any(tensors[name].region == "work" for name in one & other)


@dataclass(slots=True)
class _Access:
    """What an op does to a tensor: all of it, or elements begin to end of a flat one or of one row; `rows`: each part
    to its share of the batch's rows ("m") or of so many."""

    tensor: Tensor
    begin: int
    end: float
    writes: bool
    rows: str | int | None

    def overlaps(self, other: "_Access") -> bool:
        """Whether both touch the same memory."""
        one, two = self.tensor, other.tensor
        if one.name == two.name:
            return self.begin < other.end and other.begin < self.end
        return one.region == two.region and one.region in (one.name, two.name)  # a flat vector and a view of it


class _Looked:
    """An op, and what it does to which tensors."""

    def __init__(self, op: Op, tensors: dict[str, Tensor]):
        self.op = op
        self.kernel: Kernel | None = KERNELS.get(op.kernel)
        self.rows: str | int | None = None if op.is_range else op.rows or None
        self.accesses: list[_Access] = []
        self.touched: set[str] = set()
        self.written: set[str] = set()
        if self.kernel is None:
            return
        named = [
            (parameter, argument, tensors[name])
            for parameter, argument in zip(self.kernel.parameters, op.arguments, strict=True)
            for name in names(argument)
        ]
        if (
            self.rows is None
            and op.slice is None
            and self.kernel.rows is not None
            and all(tensor.shape[0] in ("m", "rows") for parameter, _, tensor in named if parameter.written)
            and sum(tensor.bytes(0) for _, _, tensor in named if tensor.region == "params") <= _WEIGHTS
        ):
            self.rows = "m"
        size = next(parameter.shape[0] for parameter in self.kernel.parameters if parameter.written)
        if op.slice is not None and not op.is_range:
            self.rows, size = "m", "m"
        for parameter, argument, tensor in named:
            part = (argument.begin, argument.end) if isinstance(argument, (OneRow, Part)) else (0, float("inf"))
            rows = self.rows if parameter.shape[:1] == (size,) else None
            self.accesses.append(_Access(tensor, *part, parameter.written, rows))
            memory = tensor.name if tensor.region == "work" else tensor.region  # what overlaps lies in the same
            self.touched.add(memory)
            if parameter.written:
                self.written.add(memory)

    def joins(self, other: "_Looked") -> bool:
        """Whether this op can stand in one phase with an earlier one."""
        if self.kernel is None or other.kernel is None:
            return False
        if self.written.isdisjoint(other.touched) and other.written.isdisjoint(self.touched):
            return True
        loads = any(isinstance(argument, Loaded) for argument in self.op.arguments)  # before its phase begins
        if not self.kernel.split and not other.kernel.split and self.op.slice == other.op.slice and not loads:
            return True  # the same thread does both, in order
        if self.op.slice is not None and self.op.slice == other.op.slice:
            return True  # the same part does both, in order
        return not any(
            (mine.writes or its.writes) and not (mine.rows and mine.rows == its.rows) and mine.overlaps(its)
            for mine in self.accesses
            for its in other.accesses
        )
