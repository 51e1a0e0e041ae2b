"""What a plan is: the schedule of a step as plain data. Which kernels run, in which order, on which memory.

Reads arena.py (tensors) and the kernel list; made by planner.py, read by bind.py, which puts arrays in its tensors'
places.

a) A plan is printable (`Plan.dump`) and comparable, and has no array in it.
b) Every op is a call of a kernel of the list, or one of two words that steer: "check" ends the run if a number is not
   finite, "leave" lets Python do something within the step.
c) Ops before `commit` write only what each step writes anew (arena, gradients): a step can be given up there. From
   `commit` on weights, moments, running statistics and sums change.
d) A plan that changes weights before it has all gradients (blocks.py) has another beside it, which does not, for steps
   of which it is not certain beforehand that nothing overflows: `whole`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from fusednet.arena import Tensor
from fusednet.backends.table import KERNELS, chunks, parts
from fusednet.spec import Network

# ---- what an op's arguments are, beside tensors' names, numbers and None ---------------------------------------------


@dataclass(frozen=True)
class Scalar:
    """A number that changes from step to step, times a constant; computed for many steps at once."""

    name: str
    factor: float = 1.0

    def __str__(self):
        return f"${self.name}" + ("" if self.factor == 1 else f"*{self.factor:g}")


@dataclass(frozen=True)
class PerRow:
    """A number, by default 1, divided by the rows of the batch."""

    number: float = 1.0

    def __str__(self):
        return f"{self.number:g}/rows"


@dataclass(frozen=True)
class Loaded:
    """What a tensor of one float64 holds when the op runs."""

    tensor: str

    def __str__(self):
        return f"[{self.tensor}]"


@dataclass(frozen=True)
class Flat:
    """A tensor as one row of elements."""

    tensor: str

    def __str__(self):
        return f"{self.tensor}.flat"


@dataclass(frozen=True)
class Column:
    """A vector as a matrix of one column."""

    tensor: str

    def __str__(self):
        return f"{self.tensor}.column"


@dataclass(frozen=True)
class Part:
    """Elements begin to end of a flat vector."""

    tensor: str
    begin: int
    end: int

    def __str__(self):
        return f"{self.tensor}[{self.begin}:{self.end}]"


@dataclass(frozen=True)
class Rows:
    """The batch's rows of an array of all rows, where they lie; `flat`: as one row of elements."""

    tensor: str
    flat: bool = False

    def __str__(self):
        return f"{self.tensor}@rows" + (".flat" if self.flat else "")


@dataclass(frozen=True)
class Columns:
    """Columns begin to end of a matrix: of all its rows, or of the batch's rows where they lie (`rows`)."""

    tensor: str
    begin: int
    end: int
    rows: bool = False

    def __str__(self):
        return f"{self.tensor}{'@rows' if self.rows else ''}[:, {self.begin}:{self.end}]"


@dataclass(frozen=True)
class Band:
    """Rows begin to end of a kernel."""

    tensor: str
    begin: int
    end: int

    def __str__(self):
        return f"{self.tensor}[{self.begin}:{self.end}]"


@dataclass(frozen=True)
class OneRow:
    """Elements begin to end of the row of a batch of one; `flat`: as a vector."""

    tensor: str
    begin: int
    end: int
    flat: bool = False

    def __str__(self):
        return f"{self.tensor}[0, {self.begin}:{self.end}]" + (".flat" if self.flat else "")


@dataclass(frozen=True)
class Slice:
    """Slice `index` of `count` of the batch's rows of a matrix, or, with `rows`, of those rows where they lie: as many
    rows in each, but in the last ones what is left."""

    tensor: str
    index: int
    count: int
    rows: bool = False

    def of(self, rows: int) -> tuple[int, int]:
        """Begin and end, of so many rows."""
        each = -(-rows // self.count)
        return min(self.index * each, rows), min((self.index + 1) * each, rows)

    def __str__(self):
        return f"{self.tensor}{'@rows' if self.rows else ''}[{self.index + 1}/{self.count} of rows]"


@dataclass(frozen=True)
class Share:
    """The rows of slice `index` of `count`, divided by those of the slices up to it."""

    index: int
    count: int

    def of(self, rows: int) -> float:
        """Of so many rows of the batch."""
        begin, end = Slice("", self.index, self.count).of(rows)
        return (end - begin) / end

    def __str__(self):
        return f"rows[{self.index + 1}/{self.count}]/rows[:{self.index + 1}/{self.count}]"


@dataclass(frozen=True)
class Chunks:
    """Of a vector as many elements as `square_sums` writes for `columns` numbers in each of the batch's rows."""

    tensor: str
    columns: int

    def of(self, rows: int) -> int:
        return chunks(rows * self.columns)

    def __str__(self):
        return f"{self.tensor}[:chunks of rows x {self.columns}]"


@dataclass(frozen=True)
class Op:
    """One call: a kernel of the list, "check" or "leave"; `of` names the layers it works for.

    `end` is the op behind the last of its phase, and `by_rows` whether it is divided there by the rows of the batch:
    phases.py decides on both. `rows`: those of a block of weights, by which it may be divided instead. `slice`: the
    number of the slice of the batch's rows that it takes (`Slice`), which one part of its phase does as a whole;
    `slices`: how many there are, between which alone the phase is divided. With `rows` a slice is a range of what a
    product sums over (split_k.py), and there are `rows` of them. `together`: no other op of the phase is of this slice,
    so that several parts may do it together.
    """

    kernel: str
    arguments: tuple
    of: str
    end: int = 0
    by_rows: bool = False
    rows: int = 0
    slice: int | None = None
    slices: int = 0
    together: bool = False

    @property
    def is_range(self) -> bool:
        """Whether it works for a range of what a product sums over."""
        return self.slice is not None and self.rows > 0

    def most(self, threads: int) -> int:
        """Between how many of so many threads its phase can be divided."""
        return min(threads, self.slices) if self.slices and not self.together else threads


@dataclass(frozen=True)
class Feed:
    """How data come in.

    Attributes
    ----------
    x : str
        dtype of the rows.
    y : {"", "labels", "targets"}
        int32 labels, or rows of the network's dtype.
    weighted, ordered : bool
        Whether rows have weights; whether an order of rows is given.
    columns : int
        Of the targets.
    """

    x: str
    y: str = ""
    weighted: bool = False
    ordered: bool = False
    columns: int = 0


FIRST_SUMS = ("seconds", "rows", "loss", "weight")
"""What the first sums of an epoch are; metrics follow, and the penalty of the regularizers."""


@dataclass(frozen=True)
class Plan:
    """A schedule and its memory.

    Attributes
    ----------
    mode : {"train", "gradient", "evaluate", "predict"}
    network : Network
    batch : int
        Rows for which the arena is laid out; a program may be bound to fewer.
    ops : tuple of Op
    commit : int
        The first op that changes what lasts.
    tensors : dict of str to Tensor
    arena : int
        Bytes of the tensors in "work".
    scalars : tuple of Scalar
        The numbers that `Scalar` arguments name, in the order of the columns that they are given in.
    sums : tuple of str
    fused : tuple of str
        The stages, as names of layers joined by "+".
    make_whole : callable or None
        Makes `whole`, which most trainings never need.
    """

    mode: str
    network: Network
    batch: int
    ops: tuple[Op, ...]
    commit: int
    tensors: dict[str, Tensor]
    arena: int
    scalars: tuple[Scalar, ...]
    sums: tuple[str, ...]
    fused: tuple[str, ...]
    make_whole: "Callable[[], Plan] | None" = None

    @cached_property
    def whole(self) -> "Plan | None":
        """The plan of the same step that is walked instead once a check "bound" has failed."""
        return self.make_whole and self.make_whole()

    @cached_property
    def gradients(self) -> int:
        """How many vectors of all weights' gradients the plan writes: one for each slice of the batch, or none."""
        return sum(tensor.region == name and name.split(".")[0] == "grads" for name, tensor in self.tensors.items())

    def dump(self, threads: int = 1) -> str:
        """The plan as text: stages, ops in order, at the first of each phase the parts in which
        `threads` threads would share it, tensors.

        Parameters
        ----------
        threads : int, default 1

        Returns
        -------
        str
        """
        return _text(self, threads)


# ---- as text ---------------------------------------------------------------------------------------------------------


def _text(plan: Plan, threads: int) -> str:
    lines = [
        f"{plan.mode}: batch {plan.batch}, {plan.network.dtype}, arena {plan.arena:,} bytes, {len(plan.ops)} ops",
        f"stages: {', '.join(plan.fused)}",
        f"sums: {', '.join(plan.sums)}",
        f"numbers of a step: {', '.join(map(str, plan.scalars)) or 'none'}",
        "",
    ]
    width = max(len(op.kernel) for op in plan.ops)
    rows = []
    end = 0
    for i, op in enumerate(plan.ops):
        if i == plan.commit:
            rows.append(("", "", "---- what lasts changes from here on", ""))
        shared = ""
        if i == end:
            end = op.end
            work = sum(cost(each, plan.tensors, plan.batch) for each in plan.ops[i:end] if each.kernel in KERNELS)
            shared = str(parts(work, op.most(threads))) if op.kernel in KERNELS else "-"
        rows.append((f"{i:3}", shared, f"{op.kernel:{width}}  {_arguments(op)}", op.of))
    for number, shared, call, of in rows:
        lines.append(f"{number:3} {shared:>2} {call}{f'   ({of})' if of else ''}".rstrip())
    lines += ["", "tensors:"]
    size = max((len(name) for name in plan.tensors), default=0)
    for tensor in sorted(plan.tensors.values(), key=lambda t: (t.region != "work", t.region, t.offset or 0, t.name)):
        shape = "x".join(map(str, tensor.shape))
        where = f"arena {tensor.offset:>10,}" if tensor.offset is not None else f"{tensor.region:16}"
        live = f"ops {tensor.live[0]}-{tensor.live[1]}" if tensor.live and tensor.offset is not None else ""
        lines.append(f"  {tensor.name:{size}}  {shape:>12}  {tensor.dtype:8} {where} {live}".rstrip())
    return "\n".join(lines) + "\n"


def _arguments(op) -> str:
    if op.kernel not in KERNELS:
        return ", ".join(_word(argument) for argument in op.arguments)
    names = KERNELS[op.kernel].parameters
    return ", ".join(f"{p.name}={_word(a)}" for p, a in zip(names, op.arguments, strict=True) if a is not None)


def _word(argument) -> str:
    return f"{argument:.6g}" if isinstance(argument, float) else str(argument)


# ---- what ops cost ---------------------------------------------------------------------------------------------------


def cost(op: Op, tensors: dict[str, Tensor], batch: int) -> int:
    """Cycles of a kernel's call for a full batch, as the list says it."""
    values = {}
    for parameter, argument in zip(KERNELS[op.kernel].parameters, op.arguments, strict=True):
        if parameter.role == "int" and isinstance(argument, int):
            values[parameter.name] = argument
        if parameter.shape:
            values |= dict(zip(parameter.shape, _extents(argument, tensors, batch), strict=False))
    return KERNELS[op.kernel].cost(values)


def _extents(argument, tensors: dict[str, Tensor], batch: int) -> tuple:
    """The shape of an op's argument for a full batch."""
    if isinstance(argument, Part):
        return (argument.end - argument.begin,)
    name = argument if isinstance(argument, str) else getattr(argument, "tensor", None)
    if name is None:
        return ()
    if isinstance(argument, Columns):
        return batch, argument.end - argument.begin
    if isinstance(argument, Band):
        return argument.end - argument.begin, tensors[name].shape[1]
    if isinstance(argument, OneRow):
        columns = argument.end - argument.begin
        return (columns,) if argument.flat else (1, columns)
    if isinstance(argument, Chunks):
        return (argument.of(batch),)
    if isinstance(argument, Slice):
        begin, end = argument.of(batch)
        return end - begin, tensors[name].shape[1]
    shape = tensors[name].shape
    if "m" in shape or "rows" in shape:
        shape = tuple(extent if isinstance(extent, int) else batch for extent in shape)
    if isinstance(argument, Flat) or (isinstance(argument, Rows) and argument.flat):
        size = 1
        for extent in shape:
            size *= extent
        return (size,)
    return (*shape, 1) if isinstance(argument, Column) else shape
