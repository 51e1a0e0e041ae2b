"""What a child of a fork begins anew: locks that another thread of the parent's held would never be given back in it.

Reads nothing; read by predictor.py and stepper.py.
"""

import os
import weakref


class BegunAnew:
    """Calls its `_begin` when it is made, and again in each child of a fork."""

    def __init__(self):
        self._begin()
        _there.add(self)

    def _begin(self) -> None:
        raise NotImplementedError


_there: weakref.WeakSet[BegunAnew] = weakref.WeakSet()


def _begin_all() -> None:
    for one in list(_there):
        one._begin()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_begin_all)
