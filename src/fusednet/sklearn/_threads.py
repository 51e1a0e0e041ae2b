"""How many threads an estimator may use, so that parallel searches do not ask for more than there are cores.

Reads fusednet.threads and joblib (which scikit-learn needs); read by _base.py.

a) A number that somebody has said is taken: `n_threads`, else FUSEDNET_THREADS.
b) Inside of a worker of joblib all cores are busy already: what joblib grants each worker (it sets OMP_NUM_THREADS in
   the processes it starts), else one.
"""

import contextlib
import os

from joblib.parallel import get_active_backend

from fusednet import threads


def granted(n_threads: int | None) -> int | None:
    """The limit for a training or prediction; None for no limit but the process's own."""
    if n_threads is not None:
        return int(n_threads)
    if os.environ.get(threads.ENVIRONMENT) or not in_worker():
        return None
    text = os.environ.get("OMP_NUM_THREADS", "")
    return int(text) if text.isdecimal() and int(text) > 0 and _in_process() else 1


def in_worker() -> bool:
    """Whether joblib runs this, in a process or a thread of its own."""
    level = getattr(get_active_backend()[0], "nesting_level", None)
    return bool(level) or _in_process()


def _in_process() -> bool:
    return "LOKY_WORKER" in os.environ or _multiprocessing_child()


def _multiprocessing_child() -> bool:
    import multiprocessing

    return multiprocessing.parent_process() is not None


def limited(n_threads: int | None):
    """A context in which no more threads are used than `granted` says."""
    number = granted(n_threads)
    return contextlib.nullcontext() if number is None else threads.limit(number)
