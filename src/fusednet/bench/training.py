"""How fast whole trainings are here: each job on so many threads, in turns, in this process.

Reads workloads.py, floor.py and results.py; read by cli/_bench.py (``fusednet bench``). page.py makes the tables.

a) Numbers of threads take turns, round by round; the best epoch of each counts, the spread is told beside it.
b) The loss after the last epoch stands beside the speed: it is the same for any number of threads, or it says so.
"""

from collections.abc import Callable

import fusednet as fn
from fusednet.bench import ceilings
from fusednet.bench.floor import Rates, floor
from fusednet.bench.results import OURS, Results, Timed
from fusednet.bench.workloads import Job, named

CLIFF = 0.95
"""More threads may cost this share of the speed of one, and no more."""


def measure(job: Job, counts: list[int], rounds: int, seconds: float) -> dict[str, Timed]:
    """Epochs and the last loss, by number of threads.

    Parameters
    ----------
    job : Job
    counts : list of int
        Numbers of threads.
    rounds : int
    seconds : float
        Of one turn, of at least one epoch.
    """
    x, y = job.data()
    before = fn.get_num_threads()
    models = {threads: job.model() for threads in counts}
    timed = {threads: Timed() for threads in counts}
    epochs = 1
    try:
        for turn in range(rounds + 1):  # the first is not counted: it settles buffers, and how many epochs a turn has
            for threads in counts:
                fn.set_num_threads(threads)
                taken = models[threads].fit(x, y, batch_size=job.batch, epochs=epochs).time
                timed[threads].seconds += taken if turn else []
            if not turn:
                epochs = max(1, min(1000, int(seconds / taken[0])))
        for threads in counts:
            timed[threads].loss = models[threads].evaluate(x, y)
    finally:
        fn.set_num_threads(before)
    return {str(threads): timed[threads] for threads in counts}


def run(names: list[str], results: Results, counts: list[int], rounds: int, seconds: float,
        say: Callable[[str], None]) -> None:
    """Measure the jobs, and the rates that their floors need, into the results; `say` is told of each."""
    results.versions[OURS], results.facts = fn.__version__, ceilings.facts()
    for name in names:
        job = named(name)
        if ceilings.can_probe():
            for threads in counts:
                floor(job, threads, Rates(results.rates))
        mine = measure(job, counts, rounds, seconds)
        results.training.setdefault(name, {})[OURS] = mine
        told = (f"{job.rows / timed.best:,.0f} rows/s with {threads}" for threads, timed in mine.items())
        say(f"{name}: {', '.join(told)}")


def wrong(results: Results) -> list[str]:
    """What is not as it should be, in words: losses that depend on the threads, threads that slow a job down."""
    told = []
    for name, libraries in results.training.items():
        mine = libraries[OURS]
        if len({timed.loss for timed in mine.values()}) > 1:
            told.append(f"{name}: the loss depends on the number of threads")
        one, most = (mine[count] for count in (min(mine, key=int), max(mine, key=int)))
        if one.best < CLIFF * most.best:
            told.append(f"{name}: {max(mine, key=int)} threads reach {one.best / most.best:.2f} times the speed of "
                        f"{min(mine, key=int)}")
    return told
