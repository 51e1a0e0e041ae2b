"""A dictionary of arrays that lie in one vector: what is done to all of them alike is one call.

Reads fusednet.params (aligned memory); read by the networks (params, gradients) and optimizer.py (moments).

a) To its user it is a dictionary like any other. Who puts another array in an entry's place has ended the unity:
   `whole` says whether all entries are still where they were made. Every step asks, so entries are compared only after
   something has been done to the dictionary.
b) Two such dictionaries fit each other if they were made from the same one: the same places, so the same `layout`.
c) Copied or pickled it is a plain dictionary of arrays of their own.
d) Twenty arrays and new memory for them would take a tenth of a small network's gradient. So both are made late: arrays
   when somebody looks for one (`LateWeights`), memory when all that there is is in use (`Pool`).
"""

import copy
import operator
import sys

import numpy as np

from fusednet.params import ALIGNMENT, empty

_POOLED = 2  # a script often still has the gradients of before when it asks for the next ones


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
        self.layout, self.vector = layout, vector
        self._fill()

    def _fill(self) -> None:
        vector = self.vector
        made = [vector[begin:end] if len(shape) == 1 else vector[begin:end].reshape(shape)
                for _, begin, end, shape in self.layout]
        dict.update(self, zip((key for key, *_ in self.layout), made, strict=True))
        self._made, self._touched, self._whole = made, False, True

    def like(self, fill: float | None = None) -> "Weights":
        """Others with the same places; `fill` None leaves what arrays hold undefined, but not what is between."""
        return Weights(self.layout, self.vector_like(fill))

    def vector_like(self, fill: float | None = None) -> np.ndarray:
        """The vector of `like`."""
        vector = empty(len(self.vector), self.vector.dtype, fill)
        if fill is None:
            for (_, _, end, _), (_, begin, _, _) in zip(self.layout, self.layout[1:], strict=False):
                if begin > end:
                    vector[end:begin] = 0
            vector[self.layout[-1][2] :] = 0
        return vector

    def whole(self) -> bool:
        """Whether every entry is the array that was made for it."""
        if self._touched:
            self._touched = False
            self._whole = len(self) == len(self._made) and all(map(operator.is_, self.values(), self._made))
        return self._whole

    def __reduce__(self):
        return dict, (dict(self),)  # the arrays themselves, so that layers that have them get the same copies

    def __copy__(self):
        return dict(self)

    def __deepcopy__(self, memo):
        return copy.deepcopy(dict(self), memo)


class LateWeights(Weights):
    """`Weights` that has its arrays made when somebody looks for one or changes an entry; then it is of that class."""

    def __init__(self, layout: tuple, vector: np.ndarray):
        self.layout, self.vector = layout, vector

    def _become(self) -> None:
        self._fill()
        self.__class__ = Weights

    def whole(self) -> bool:
        """True: what nobody has looked at nobody has changed."""
        return True


def _noting(name: str):
    """dict's method, which may change entries, for `Weights`."""
    method = getattr(dict, name)

    def noted(self, *arguments, **named):
        self._touched = True
        return method(self, *arguments, **named)

    return noted


def _becoming(name: str):
    """The method of `Weights`, for `LateWeights`."""
    method = getattr(Weights, name)

    def become(self, *arguments, **named):
        if type(self) is LateWeights:
            self._become()
        return method(self, *arguments, **named)

    return become


_CHANGE = ("__setitem__", "__delitem__", "__ior__", "clear", "pop", "popitem", "setdefault", "update")
_LOOK = ("__getitem__", "__contains__", "__iter__", "__reversed__", "__len__", "__eq__", "__ne__", "__or__", "__ror__",
         "__repr__", "__sizeof__", "get", "keys", "values", "items", "copy")
for _name in _CHANGE:
    setattr(Weights, _name, _noting(_name))
for _name in _CHANGE + _LOOK:
    setattr(LateWeights, _name, _becoming(_name))


class Pool:
    """Dictionaries with the places of one, their arrays undefined, in memory that is used again as soon as it can be.

    It can be when no array is left of those that were made in it, nor anything that was made of such an array: each of
    them refers to the memory, whose count of references is then what it was at first.
    """

    def __init__(self, weights: Weights):
        self._weights = weights
        self._kept: list[list] = []  # [vector, references to it and to its memory while nobody has any, address]

    def take(self) -> tuple[LateWeights, int]:
        """Another one, and where its vector begins."""
        for entry in self._kept:
            if _references(entry) == entry[1]:
                break
        else:
            entry = [self._weights.vector_like(), None, 0]
            entry[2] = entry[0].__array_interface__["data"][0]
            if len(self._kept) < _POOLED:
                entry[1] = _references(entry)
                self._kept.append(entry)
        return LateWeights(self._weights.layout, entry[0]), entry[2]


def _references(entry: list) -> tuple[int, int]:
    vector = entry[0]
    return sys.getrefcount(vector), sys.getrefcount(vector.base)
