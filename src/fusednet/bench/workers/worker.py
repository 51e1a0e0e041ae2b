"""A process in which one library runs: reads commands as JSON lines, answers with JSON lines.

`python worker.py MODULE THREADS` is started by pool.py in the library's own environment; MODULE is a file beside this
one with a class `Library` (adapter.py).

a) The number of threads is settled before the library is imported: most of them ask the environment once, at import. A
   worker may also use no more processors than it may have threads.
b) Libraries print; so the answers go to a copy of standard output, and what is printed to standard error.
c) The worker dies with its parent even where it is stopped.
"""

import ctypes
import importlib
import importlib.metadata
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path

import numpy as np
from adapter import Library, Task

PR_SET_PDEATHSIG = 1


def keep_to(threads: int) -> None:
    """Use the last processors, so many of them."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[-threads:])


def die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def task_of(words: dict, threads: int) -> Task:
    folder = Path(words["folder"])
    arrays = np.load(folder / "kernels.npz")
    kernels = [arrays[f"arr_{i}"] for i in range(len(arrays.files))]
    x, y = np.load(folder / "x.npy"), np.load(folder / "y.npy")
    return Task(**words["job"], kernels=kernels, x=x, y=y, threads=threads, seed=words["seed"])


def call_times(function, argument, seconds: float) -> list[float]:
    """Seconds of a call, in batches: one figure for each batch of about a millisecond, or of one call."""
    number, taken, end = 1, [], time.perf_counter() + seconds
    while not taken or time.perf_counter() < end:
        begin = time.perf_counter()
        for _ in range(number):
            function(argument)
        spent = time.perf_counter() - begin
        if spent < 0.001:
            number *= 2
        else:
            taken.append(spent / number)
    return taken


def answer(library: Library, words: dict, threads: int) -> dict:
    """Do what one line says."""
    match words["do"]:
        case "version":
            return {"version": importlib.metadata.version(library.package) if library.package else np.__version__}
        case "prepare":
            task = task_of(words, threads)
            if reason := library.refusal(task):
                return {"refusal": reason}
            library.task = task
            library.prepare(task)
            return {"refusal": ""}
        case "epochs":
            return {"seconds": library.epochs(words["number"])}
        case "loss":
            return {"loss": library.loss()}
        case "predict":
            x = library.task.x[: words["rows"]].copy()
            library.predict(x)
            return {"seconds": call_times(library.predict, x, words["seconds"])}
    raise ValueError(f"worker: the command is {words['do']!r}; wanted version, prepare, epochs, loss or predict")


def main() -> None:
    die_with_parent()
    module, threads = sys.argv[1], int(sys.argv[2])
    keep_to(threads)
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    library = importlib.import_module(module).Library()
    for line in sys.stdin:
        try:
            told = answer(library, json.loads(line), threads)
        except Exception as error:
            traceback.print_exc()
            told = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(told), file=out, flush=True)


if __name__ == "__main__":
    main()
