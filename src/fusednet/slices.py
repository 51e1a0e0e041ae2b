"""Sums by slices of the batch: into how many its rows are divided, and who adds up which elements.

Reads fuse.py (stages), arena.py (lines); read by planner.py, whose ops then say of which slice they are (`Op.slice`).

a) The gradient of a kernel is a sum over all rows. Divided by its elements, each thread reads all rows of both factors,
   half of them from the other core; divided by rows, it reads what it has written itself, and what goes from core to
   core is a gradient. For a small network and a batch of some length that is the smaller of the two.
b) The slices do not depend on the number of threads, and their gradients are added in one order: nor do the bits.
c) Then the whole way from the rows to their gradients is one phase (phases.py). Each part adds up its share of the
   elements, and steps them: of what a step writes only the gradients of the other slices, once, and the new weights,
   once, are read by another core.
d) What it brings depends on how far the cores are from each other; one thread alone pays for the sums of the slices.
   2026-11, speed over that without slices, 2 and 1 threads, Xeon of 2.5 GHz, Adam: 20-100-10 in batches of 200 1.31 and
   0.97, of 128 1.21 and 0.98, of 1024 1.17 and 1.00; 64-64-64-10 of 200 1.43 and 0.96. Not measured: four cores and
   more, of which as many as there are slices share a batch.
e) Not with 32 rows in a slice (17-64-64-6 in batches of 64: 1.03 and 0.95), nor in four of 64 rows (64-64-64-10 in
   batches of 256: one thread 0.93), nor with 79 KB of weights (20-128-128-10 in batches of 200: 0.92 and 0.97).
f) Of a long batch a batch normalisation's columns are summed by slices, whatever the network: statistics, which are
   joined then, and gradients, which are added. By columns a thread would read all rows, half of them from another core
   or, where they lie in the third level, in pieces. 2026-11, Granite Rapids, over that without, 2 and 1 threads, with
   the halves of split_k.py e) in batches of 1024 and more: `deep` of 1024 1.45 and 1.03, of 512 1.2 and 1.0; `tabular`
   of 1024 1.36 and 1.0, of 512 1.2 and 1.0; `book` of 1024 1.1 and 1.0; `bigbatch` 1.11 and 1.0; 54-40-40-40-7 of 4096
   1.39 and 0.97. With 4 slices 0.92 to 1.0 of that, with 16 0.97 to 1.0. Not of shorter batches: `tabular` of 256 in
   two slices 1.03 and 0.97, `book` of 100 1.01 and 1.0, `deep` of 128 1.0 and 1.0. Not measured: more than two cores.
"""

import numpy as np

from fusednet.arena import ALIGNMENT
from fusednet.fuse import Chain

ROWS = 128
"""Of a slice at least; two slices may have half as many each."""

CYCLES = 20_000
"""Of the products of a slice at least, about: threads that share less gain nothing."""

MOST = 8
"""Slices: each is one more gradient in memory, to be added, or some columns' sums."""

LONG = 512
"""Rows of a batch from which on columns are summed by `MOST` slices."""

WEIGHTS = 48 * 1024
"""Bytes of weights up to which their gradients are made by slices."""


def count(chain: Chain, batch: int, dtype: str) -> int:
    """Into how many slices the batch's rows are divided; 0: into none.

    A batch normalisation needs all rows on the way, so that threads meet there anyway.

    Parameters
    ----------
    chain : Chain
    batch : int
    dtype : str
    """
    weights = sum(stage.inputs * stage.width for stage in chain.stages if stage.kind == "affine")
    normalized = any(stage.kind == "batch_norm" for stage in chain.stages)
    if normalized or weights == 0 or weights * np.dtype(dtype).itemsize > WEIGHTS:
        return 0
    cycles = 3 * batch * weights // 16  # three products, their cost in kernels.def
    most = min(MOST, max(batch // ROWS, min(2, 2 * batch // ROWS)), cycles // CYCLES)
    return 1 << most.bit_length() - 1 if most > 1 else 0


def of_columns(batch: int) -> int:
    """Into how many slices the batch's rows are divided for sums down the columns of a layer; 0: into none.

    Parameters
    ----------
    batch : int
    """
    return MOST if batch >= LONG else 0


def shares(slices: int, size: int, dtype: str, begin: int, end: int) -> list[tuple[int | None, int, int]]:
    """Whose part of a phase does what about elements begin to end of a flat vector of `size` elements.

    Returns
    -------
    list of tuple
        Slice, begin and end; (None, begin, end) where there are no slices. No cache line is in two of them.
    """
    if not slices:
        return [(None, begin, end)]
    line = ALIGNMENT // np.dtype(dtype).itemsize
    each = -(-size // (slices * line)) * line
    bounds = [(index, max(begin, index * each), min(end, (index + 1) * each)) for index in range(slices)]
    return [bound for bound in bounds if bound[1] < bound[2]]
