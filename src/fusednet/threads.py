"""How many threads the kernels may use.

Reads ``FUSEDNET_THREADS`` once and nothing else; fusednet.backends gives `follow` the setter of the table that it has
chosen.

a) The number is the process's, not a table's: it stays when another backend is selected.
b) Results do not depend on it, only the time they take: a kernel divides its outputs, never a sum.
c) `limit` holds in the thread of Python that says it: many small trainings run beside each other, one thread each.
"""

import operator
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

ENVIRONMENT = "FUSEDNET_THREADS"
MOST = 32767  # that the native table has places for (FN_MAX_PARTS in csrc/base/team.h)

_threads: int | None = None  # None: nobody has asked yet
_tell: Callable[[int], None] | None = None  # how the table in use takes the number


class _Local(threading.local):
    """What holds in one thread of Python; `limit` as the function of that name says it."""

    limit: int | None = None  # on the class: to look for what is not there takes half a microsecond


_local = _Local()


def _default() -> int:
    text = os.environ.get(ENVIRONMENT)
    if text:
        if not text.strip().isdecimal() or not 1 <= int(text) <= MOST:
            raise ValueError(f"{ENVIRONMENT} is {text!r}; wanted a whole number of threads, 1 to {MOST}")
        return int(text)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))  # a container or taskset may grant fewer than the machine has
    return os.cpu_count() or 1


def get_num_threads() -> int:
    """Number of threads that a kernel may use.

    Returns
    -------
    int
        What `set_num_threads` set; before that ``FUSEDNET_THREADS``, or the number of processors this process may use.
        Inside of `limit` at most what it says.

    Raises
    ------
    ValueError
        If ``FUSEDNET_THREADS`` is not a whole number of 1 to 32767.
    """
    global _threads
    if _threads is None:
        _threads = _default()
    limit = _local.limit
    return _threads if limit is None or limit > _threads else limit


@contextmanager
def limit(n: int) -> Iterator[None]:
    """Let the trainings that this thread of Python begins use at most `n` threads.

    Single calls (`fusednet.ops`) share their work out by `set_num_threads` all the same.

    Parameters
    ----------
    n : int
        1 or more.
    """
    before = _local.limit
    _local.limit = n if before is None else min(n, before)
    try:
        yield
    finally:
        _local.limit = before


def set_num_threads(n: int) -> None:
    """Let kernels use up to n threads from now on; small calls use fewer.

    The results are the same bits for any number. The NumPy backend has no threads of its own and takes no notice.

    Parameters
    ----------
    n : int
        1 to 32767.

    Raises
    ------
    ValueError
        If n is outside of that.
    TypeError
        If n is not an integer.
    """
    global _threads
    try:
        number = operator.index(n)
    except TypeError:
        raise TypeError(f"set_num_threads: n is {n!r}; wanted an integer") from None
    if not 1 <= number <= MOST:
        raise ValueError(f"set_num_threads: n is {number}; wanted 1 to {MOST}")
    get_num_threads()  # a wrong FUSEDNET_THREADS is told of now
    before, _threads = _threads, number
    try:
        if _tell is not None:
            _tell(number)
    except Exception:
        _threads = before
        raise


def follow(tell: Callable[[int], None]) -> None:
    """Tell a table the number, now and whenever it changes; for `fusednet.backends.select`."""
    global _tell
    get_num_threads()  # the process's number is known from here on
    tell(_threads)  # and not that of a `limit`, which is this thread's alone
    _tell = tell
