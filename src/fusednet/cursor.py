"""Where a run is: the places in its cursor, an array of int64 that the walkers move on and files keep.

Reads nothing. The C twin is `fn_cursor` in csrc/include/run.h, which says what each place counts; a test holds the two
walkers together.
"""

import numpy as np

STEP, EPOCH, EPOCH_STEP, PASS, POSITION, OP = range(6)

FIELDS = 6


def fresh() -> np.ndarray:
    """The cursor of a run that has not begun, int64 of shape (FIELDS,)."""
    return np.zeros(FIELDS, np.int64)
