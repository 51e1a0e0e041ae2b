"""A dictionary of arrays that lie in one vector: what is done to all of them alike is one call.

Reads fusednet.params (aligned memory); read by the networks (params, gradients) and optimizer.py (moments).

a) To its user it is a dictionary like any other. Who puts another array in an entry's place has ended the unity:
   `whole` says whether all entries are still where they were made.
b) Two such dictionaries fit each other if they were made from the same one: the same places, so the same `layout`.
c) Copied or pickled it is a plain dictionary of arrays of their own.
"""

import copy
import operator

import numpy as np

from fusednet.params import ALIGNMENT, empty


class Weights(dict):
    """Arrays by key, in one vector each 64-byte aligned; what lies between is 0.

    Attributes
    ----------
    vector : ndarray
    layout : tuple
        (key, begin, end, shape) of each array.
    """

    @classmethod
    def pack(cls, arrays: dict) -> "Weights":
        """The arrays, of one dtype, copied into one vector."""
        dtype = next(iter(arrays.values())).dtype
        step, at, layout = ALIGNMENT // dtype.itemsize, 0, []
        for key, array in arrays.items():
            layout.append((key, at, at + array.size, array.shape))
            at += -(-array.size // step) * step
        packed = cls(tuple(layout), empty(at, dtype, 0))
        for key, array in arrays.items():
            packed[key][...] = array
        return packed

    def __init__(self, layout: tuple, vector: np.ndarray):
        super().__init__([(key, vector[begin:end] if len(shape) == 1 else vector[begin:end].reshape(shape))
                          for key, begin, end, shape in layout])
        self.layout, self.vector, self._made = layout, vector, tuple(self.values())

    def like(self, fill: float | None = None) -> "Weights":
        """Others with the same places; `fill` None leaves what arrays hold undefined, but not what is between."""
        vector = empty(len(self.vector), self.vector.dtype, fill)
        if fill is None:
            for (_, _, end, _), (_, begin, _, _) in zip(self.layout, self.layout[1:], strict=False):
                if begin > end:
                    vector[end:begin] = 0
            vector[self.layout[-1][2] :] = 0
        return Weights(self.layout, vector)

    def whole(self) -> bool:
        """Whether every entry is the array that was made for it."""
        return len(self) == len(self._made) and all(map(operator.is_, self.values(), self._made))

    def __reduce__(self):
        return dict, (dict(self),)  # the arrays themselves, so that layers that have them get the same copies

    def __copy__(self):
        return dict(self)

    def __deepcopy__(self, memo):
        return copy.deepcopy(dict(self), memo)
