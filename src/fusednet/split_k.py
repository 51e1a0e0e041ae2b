"""Split-K: products that are made by ranges of what they sum over, those of few rows with a large kernel by ranges of
their inputs, the weight gradient of a long batch by halves of its rows.

Reads fuse.py (stages); read by planner.py, whose ops then say of which range they are (`Op.slice`).

a) What one row costs is that all weights are read. Divided by outputs, a thread reads a piece of each row of the
   kernel, and where these rows are a power of two the pieces fall on half of the sets of its second level of cache,
   which then does not keep them until the next row comes. Divided by inputs, it reads rows one behind the other.
b) Each range makes a sum of its own for all outputs; they are added, in one order, by whoever needs them next: of the
   next layer's inputs a thread adds up those that its own ranges take, so that threads meet once a layer, as otherwise.
   Where the next layer has no ranges, one thread adds them all.
c) The ranges do not depend on the number of threads: nor do the bits. They are other bits than those of the same rows
   among many, which are summed without a break.
d) Only where all weights together may stay in the second levels of some cores: what comes from the third comes faster
   by outputs. 2026-11, Granite Rapids (two cores, 2 MB of second level each), a row from array to array, microseconds
   on two threads without ranges and with them, medians of seven processes: 784-512-512-10 (2.7 MB) 37 and 17,
   1024-512-10 20 and 11, 256-512-512-1 12 and 9; 784-1024-1024-10 (7.4 MB) would take 117 and 134,
   1024-2048-2048-2048-1000 767 and 890. On one thread 0.97 to 1.07 of the speed. With twice as many ranges 17, 12, 10.
   (The rows' kernels have become faster since: with ranges the first three now take 12, 9 and 8.)
   Not measured: more than two cores, and cores with less of a second level.
   Of several rows the sums are added up all at once, so that threads meet twice a layer, and ranges bring the less the
   more rows there are: 784-512-512-10, two threads, 2 rows 48 and 17, 4 51 and 23, 8 63 and 38, 12 84 and 63, 16 105
   and 98, 32 153 and 178; 784-1024-10, 2 rows 80 and 29, 16 139 and 120; one thread 0.92 to 1.1.
e) A weight gradient x^T dy sums over the rows of the batch. Divided by its elements, each thread packs all rows of one
   factor, or more than its share of both. Of a long batch that is more than a second gradient to be written and added:
   so some of the threads make that of the first half of the rows, the others that of the second. There are two halves
   whatever the number of threads. 2026-11, Granite Rapids, over the whole gradient, 2 and 1 threads: `bigbatch`, which
   has batches of 4096 rows, 1.05 and 1.0, "high" 1.08, "medium" 1.11, without matrix unit 1.02 and 1.02, with AVX2 1.0
   and 1.0; of 2048 rows 1.07 and 0.99, of 1024 1.07 and 0.99, of 512 1.02 and 0.97; `tabular` of 1024 1.10 and 1.0, of
   256 1.0 and 0.96.
"""

from itertools import pairwise

import numpy as np

from fusednet.fuse import Chain, Stage

FEW = 16
"""Rows of a batch that are few."""

LARGEST = 4 << 20
"""Bytes of all kernels of a network whose products are made so, at most."""

BYTES = 512 << 10
"""Of a range's weights at least."""

LEAST = 128
"""Inputs of a range: for each a sum of all outputs is written, and read again."""

LONG = 1024
"""Rows of a batch from which on weight gradients are made by halves."""

KERNEL = 16 << 10
"""Elements of a kernel at least."""

_GRAIN = 16  # inputs: a range of them begins at a vector


def ranges(chain: Chain, batch: int, dtype: str) -> dict[str, list[tuple[int, int]]]:
    """Begin and end of the ranges of inputs whose products are made apart, by the names of the stages that have some.

    Their number is a power of two, so that two, four or eight threads have as many each.

    Parameters
    ----------
    chain : Chain
    batch : int
    dtype : str
    """
    itemsize = np.dtype(dtype).itemsize
    affine = [stage for stage in chain.stages if stage.kind == "affine"]
    if batch > FEW or sum(stage.inputs * stage.width for stage in affine) * itemsize > LARGEST:
        return {}
    counts = {stage.name: min(stage.inputs * stage.width * itemsize // BYTES, stage.inputs // LEAST)
              for stage in affine}
    return {stage.name: _divided(stage.inputs, 1 << counts[stage.name].bit_length() - 1)
            for stage in affine if counts[stage.name] >= 2}


def halves(stage: Stage, batch: int) -> bool:
    """Whether the gradient of a stage's kernel is made of each half of the batch apart.

    Parameters
    ----------
    stage : Stage
        An affine one.
    batch : int
    """
    return batch >= LONG and stage.inputs * stage.width >= KERNEL


def _divided(inputs: int, count: int) -> list[tuple[int, int]]:
    bounds = [inputs * i // (count * _GRAIN) * _GRAIN for i in range(count)]
    return list(pairwise((*bounds, inputs)))
