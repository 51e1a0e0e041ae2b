"""Tensors and their places in one arena: memory is used again when nobody reads it any more.

Reads nothing; read by plan.py, planner.py and params.py.

a) A tensor lives from the first op that names it to the last, the other ops of their phases counted. Two that live at
   the same time do not overlap.
b) The largest is placed first, each at the lowest offset where it fits (as in XNNPACK and TensorFlow Lite's planners):
   for a chain this is close to the least possible.
"""

from bisect import insort
from dataclasses import dataclass

import numpy as np

ALIGNMENT = 64
"""Bytes to whose multiples arrays are aligned: a cache line, and the widest vector."""


def aligned(nbytes: int) -> int:
    """`nbytes` rounded up to a boundary."""
    return -(-nbytes // ALIGNMENT) * ALIGNMENT


@dataclass(frozen=True)
class Tensor:
    """Memory with a name.

    Attributes
    ----------
    name : str
    shape : tuple
        Integers; "m" stands for the rows of a batch, "rows" for those of the data.
    dtype : str
    region : {"data", "params", "grads", "state", "running", "normalization", "work", "sums"}
    offset : int or None
        Bytes from the arena's beginning, of tensors in "work".
    live : tuple of int or None
        First and last op of the phases that name it.
    """

    name: str
    shape: tuple
    dtype: str
    region: str
    offset: int | None = None
    live: tuple[int, int] | None = None

    def bytes(self, m: int) -> int:
        elements = 1
        for extent in self.shape:
            elements *= m if extent == "m" else extent
        return elements * np.dtype(self.dtype).itemsize


def names(argument) -> list[str]:
    """Names of the tensors in an op's argument."""
    if isinstance(argument, str):
        return [argument]
    name = getattr(argument, "tensor", None)
    return [] if name is None else [name]


def place(tensors: dict[str, Tensor], ops, m: int) -> tuple[dict[str, Tensor], int]:
    """Give the tensors in "work" their offsets.

    Parameters
    ----------
    tensors : dict of str to Tensor
    ops : sequence of Op
        Each with its `end`.
    m : int
        Rows of the largest batch.

    Returns
    -------
    tensors : dict of str to Tensor
    arena : int
        Bytes.
    """
    live: dict[str, tuple[int, int]] = {}
    begin = 0
    for i, op in enumerate(ops):
        if op.end <= i:
            raise ValueError(f"op {i}, {op.kernel}, stands in no phase: phases.schedule comes before places")
        begin = i if i == 0 or op.end != ops[i - 1].end else begin
        for argument in op.arguments:
            for name in names(argument):
                live[name] = (live.get(name, (begin, 0))[0], op.end - 1)
    work = [t for t in tensors.values() if t.region == "work"]
    placed: list[tuple[int, int, tuple[int, int]]] = []  # begin, end, live; by begin
    offsets = {}
    for name, nbytes in sorted([(t.name, t.bytes(m)) for t in work], key=lambda item: -item[1]):
        first, last = live[name]
        size = aligned(max(nbytes, 1))
        offset = 0
        for begin, end, (other_first, other_last) in placed:
            if other_last < first or other_first > last:
                continue
            if offset + size <= begin:
                break
            offset = max(offset, end)
        offsets[name] = offset
        insort(placed, (offset, offset + size, (first, last)))
    arena = max((end for _, end, _ in placed), default=0)
    return {
        name: Tensor(t.name, t.shape, t.dtype, t.region, offsets.get(name), live.get(name))
        for name, t in tensors.items()
    }, arena
