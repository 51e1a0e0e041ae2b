"""Split-K: into which ranges of its inputs the product of one row with a large kernel is divided.

Reads fuse.py (stages); read by planner.py, whose ops then say of which range they are (`Op.slice`).

a) What one row costs is that all weights are read. Divided by outputs, a thread reads a piece of each row of the
   kernel, and where these rows are a power of two the pieces fall on half of the sets of its second level of cache,
   which then does not keep them until the next row comes. Divided by inputs, it reads rows one behind the other.
b) Each range makes a sum of its own for all outputs; they are added, in one order, by whoever needs them next: of the
   next layer's inputs a thread adds up those that its own ranges take, so that threads meet once a layer, as otherwise.
c) The ranges do not depend on the number of threads: nor do the bits. They are other bits than those of the same row
   among many, which are summed without a break.
d) 2026-11, Granite Rapids (two cores, 2 MB of second level each), a row of 784-512-512-10 from array to array, on two
   threads: 33 to 41 us without ranges; two for each kernel 16, four 17 to 18, eight 20; on one thread, which reads all
   from the third level, 71 and 72. 784-1024-1024-10, of which half does not stay either: 150; 115, 132, 134.
"""

import numpy as np

from fusednet.fuse import Stage

BYTES = 256 << 10
"""Of a range's weights at least."""

MOST = 8
"""Ranges, which is how many threads have some: a power of two, so that two, four or eight have as many each."""

_GRAIN = 16  # inputs: a range of them begins at a vector


def ranges(stage: Stage, batch: int, dtype: str) -> list[tuple[int, int]]:
    """Begin and end of the ranges of inputs whose products are made apart; empty where all are made together.

    Parameters
    ----------
    stage : Stage
    batch : int
    dtype : str
    """
    if batch != 1 or stage.kind != "affine":
        return []
    count = min(MOST, stage.inputs * stage.width * np.dtype(dtype).itemsize // BYTES, stage.inputs // _GRAIN)
    if count < 2:
        return []
    count = 1 << count.bit_length() - 1
    each = -(-stage.inputs // (count * _GRAIN)) * _GRAIN
    return [(begin, min(begin + each, stage.inputs)) for begin in range(0, stage.inputs, each)]
