"""Trains jobs on fusednet and on the other libraries that are installed, in turns: starts them, asks them, ends them.

Reads measure.py and pool.py; read by cli/_bench.py (``fusednet bench --peers``).
"""

import sys
from collections.abc import Callable
from pathlib import Path

from fusednet.bench import ceilings, measure, pool
from fusednet.bench.results import Results

PREDICT = "predict"
"""The name, among those of jobs, of the predictions of `measure.PREDICTIONS`."""


def _wait(name: str) -> None:
    measure.say(f"ready to time {name}")
    sys.stdin.readline()


def run(jobs: list[str], results: Results, libraries: list[str], environments: Path, counts: list[int], rounds: int,
        seconds: float, logs: Path, wait: bool, keep: Callable[[], None]) -> bool:
    """Measure the jobs into the results.

    Parameters
    ----------
    jobs : list of str
        Names as `workloads.named` knows them, or `PREDICT`.
    results : Results
    libraries : list of str
        Names of `pool.LIBRARIES`.
    environments : Path
        The folder with their environments.
    counts : list of int
        Numbers of threads.
    rounds : int
        How many turns each library has on a job.
    seconds : float
        Of a turn.
    logs : Path
        A folder that takes what the libraries print.
    wait : bool
        When all is compiled, say so and wait for a line of standard input before a job is timed.
    keep : callable
        Called after each job, to save what there is.

    Returns
    -------
    bool
        Whether a library failed at something; `logs` then says more.
    """
    results.facts = ceilings.facts()
    workers, failed = [], False
    try:
        for name in libraries:
            workers += [pool.Worker(name, n, environments, logs / f"{name}-{n}.log") for n in counts]
        for worker in list(workers):
            try:
                results.versions[worker.name] = worker.ask("version")["version"]
            except pool.WorkerError as error:  # installed, and does not start
                measure.say(f"left out: {error}")
                worker.close()
                workers.remove(worker)
                failed = True
        for job in jobs:
            measure.say(job)

            def ready(job=job):
                if wait:
                    _wait(job)

            if job == PREDICT:
                for network in measure.PREDICTIONS:
                    measure.predict(network, workers, results, rounds, seconds / 4, ready)
            else:
                training = [worker for worker in workers if pool.LIBRARIES[worker.name].trains]
                measure.measure(job, training, results, rounds, seconds, ready)
            keep()
            measure.say(f"{job} is done")
        return failed or any(worker.failed for worker in workers)
    finally:
        for worker in workers:
            worker.close()
