"""The question that comes before every update in place: can a kernel write to these arrays as they are?

Read by backends/table.py: a table has the answer as `flat_in_place`, this one or a faster one of its own.

a) Yes must be true, no may be said too often: who hears it asks again with care, converts or raises.
b) Two arrays whose owners are different arrays cannot overlap. So parameters, moments and gradients may be views of one
   flat vector each, and no address need be looked at.
"""

import numpy as np

_FLOATS = (np.dtype(np.float32), np.dtype(np.float64))
_ndarray = np.ndarray


def flat_in_place(arrays: tuple, others: tuple = ()):
    """The arrays flat, where a kernel can update all of them as they are and they surely overlap nothing; else None.

    They are exactly ndarray, of one floating dtype and one shape, C-contiguous, aligned and writable, and overlap
    neither each other nor `others`.
    """
    first = arrays[0]
    if type(first) is not _ndarray:
        return None
    dtype, shape = first.dtype, first.shape
    if dtype is not _FLOATS[0] and dtype is not _FLOATS[1]:
        return None
    owners = set()
    for a in others:
        if type(a) is not _ndarray:
            return None
        owner = a.base
        if owner is None:
            owner = a
        elif type(owner) is not _ndarray or owner.base is not None:
            return None
        owners.add(id(owner))
    for a in arrays:
        if a is not first and (type(a) is not _ndarray or a.dtype is not dtype or a.shape != shape):
            return None
        if not a.flags.carray:
            return None
        owner = a.base
        if owner is None:
            owner = a
        elif type(owner) is not _ndarray or owner.base is not None:
            return None
        number = id(owner)
        if number in owners:
            return None
        owners.add(number)
    return [a.ravel() for a in arrays]
