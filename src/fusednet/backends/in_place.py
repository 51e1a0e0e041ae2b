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
    if any(type(a) is not _ndarray or a.dtype is not dtype or a.shape != shape or not a.flags.carray for a in arrays):
        return None
    owners = {_owner(a) for a in others}
    for a in arrays:
        owner = _owner(a)
        if owner in owners:
            return None
        owners.add(owner)
    return None if None in owners else [a.ravel() for a in arrays]


def _owner(a) -> int | None:
    """The array whose memory it is, by its `id`; None where it is not a plain array's."""
    if type(a) is not _ndarray:
        return None
    owner = a if a.base is None else a.base
    return id(owner) if type(owner) is _ndarray and owner.base is None else None
