"""Measures a job, or a network's predictions, on the libraries in turns.

Reads pool.py, workloads.py, floor.py and results.py; read by peers.py and page.py.

a) Everything is compiled, by an epoch of each, before anything is timed: `ready` is called in between, where a person
   may quiet the machine.
b) Libraries and numbers of threads take turns, round by round; the best epoch counts, the spread (median over best) is
   told. What is far slower than the best other is timed in the first round only.
"""

import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np

from fusednet.bench import ceilings, pool
from fusednet.bench.floor import Rates, floor
from fusednet.bench.results import OURS, Results, Timed
from fusednet.bench.workloads import JOBS, Job, named


def loss_epochs(job: Job) -> int:
    """After how many epochs losses are held against each other; the first of them compiles."""
    return 2 if job.rows * job.flop > 1e11 else 3


MORE_SEEDS = (11, 12, 13)
"""Other orders of rows, in which our loss is taken too."""

SLOW = 1.6
"""Who takes so many times as long as the best other is timed in one round only."""

PREDICTIONS = {
    "784-512-512-10": replace(JOBS["mnist"], dropout=0.0, rows=10_000, batch=100),
    "tiny": replace(JOBS["tiny"], rows=10_000, batch=100),
}
"""Networks that predict; their training is not measured."""

PREDICTION_ROWS = (1, 10_000)


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def stage(job: Job, folder: Path, seed: int = 1) -> None:
    """Put data and first weights, as our network draws them, where workers read them."""
    model = job.model(seed)
    model.build(job.features)
    np.savez(folder / "kernels.npz", *[array for array in model.get_weights() if array.ndim == 2])
    x, y = job.data()
    np.save(folder / "x.npy", x)
    np.save(folder / "y.npy", y)


def prepare(worker: pool.Worker, job: Job, folder: Path, seed: int) -> Timed:
    """Have the job made; a worker that fails is told of, and counts as refusing."""
    try:
        return Timed(refusal=worker.ask("prepare", folder=str(folder), job=asdict(job), seed=seed)["refusal"])
    except pool.WorkerError as error:
        say(f"  {error}")
        return Timed(refusal=str(error).split(":")[1].strip() or "failed")


def rivals(timed: dict[tuple[str, int], Timed]) -> float:
    """The best epoch of all but ours."""
    theirs = (t.best for (name, _), t in timed.items() if not pool.LIBRARIES[name].ours and t.seconds)
    return min(theirs, default=float("inf"))


def measure(name: str, workers: list[pool.Worker], results: Results, rounds: int, seconds: float,
            ready: Callable[[], None]) -> None:
    """A job's training on all workers, into the results."""
    job = named(name)
    timed: dict[tuple[str, int], Timed] = {}

    def ask(worker: pool.Worker, what: str, **more) -> dict:
        """The answer, or nothing where the worker has failed."""
        try:
            return worker.ask(what, **more)
        except pool.WorkerError as error:
            say(f"  {error}")
            timed[worker.name, worker.threads].refusal = "failed"
            return {}

    with tempfile.TemporaryDirectory() as folder:
        stage(job, Path(folder))
        ours = [worker for worker in workers if worker.name == OURS]
        losses = []
        for seed in MORE_SEEDS if ours else ():  # on the last of them, which has the most threads
            if not prepare(ours[-1], job, Path(folder), seed).refusal:
                ours[-1].ask("epochs", number=loss_epochs(job))
                losses.append(ours[-1].ask("loss")["loss"])
        for worker in workers:
            mine = timed[worker.name, worker.threads] = prepare(worker, job, Path(folder), seed=worker.threads)
            if not mine.refusal:
                ask(worker, "epochs", number=1)
    if ours:
        timed[OURS, ours[-1].threads].more_losses = losses
    ready()
    for threads in sorted({worker.threads for worker in workers}) if ceilings.can_probe() else ():
        floor(job, threads, Rates(results.rates))
    for turn in range(rounds):
        best = rivals(timed)
        for worker in workers:
            mine = timed[worker.name, worker.threads]
            if mine.refusal or (turn and not pool.LIBRARIES[worker.name].ours and mine.best > SLOW * best):
                continue
            if not turn:
                mine.seconds += ask(worker, "epochs", number=loss_epochs(job) - 1).get("seconds", [])
                mine.loss = ask(worker, "loss").get("loss")
                if mine.refusal:
                    continue
                say(f"  {worker.name}, {worker.threads}: {job.rows / mine.best:,.0f} rows/s, loss {mine.loss:.5f}")
            left = seconds - (sum(mine.seconds) if not turn else 0)
            if left > mine.best:
                mine.seconds += ask(worker, "epochs", number=min(1000, int(left / mine.best))).get("seconds", [])
            elif turn:
                mine.seconds += ask(worker, "epochs", number=1).get("seconds", [])
    for (library, threads), mine in timed.items():
        results.training.setdefault(name, {}).setdefault(library, {})[str(threads)] = mine


def predict(name: str, workers: list[pool.Worker], results: Results, rounds: int, seconds: float,
            ready: Callable[[], None]) -> None:
    """A network's predictions on all workers, into the results."""
    job = PREDICTIONS[name]
    with tempfile.TemporaryDirectory() as folder:
        stage(job, Path(folder))
        able = []
        for worker in workers:
            if pool.LIBRARIES[worker.name].predicts and not prepare(worker, job, Path(folder), 0).refusal:
                able.append(worker)
                for rows in PREDICTION_ROWS:
                    worker.ask("predict", rows=rows, seconds=0.05)
    ready()
    told = results.prediction.setdefault(name, {str(rows): {} for rows in PREDICTION_ROWS})
    for library in told.values():
        for worker in able:
            library.setdefault(worker.name, {})[str(worker.threads)] = Timed()
    for _ in range(rounds):
        for worker in able:
            for rows in PREDICTION_ROWS:
                mine = told[str(rows)][worker.name][str(worker.threads)]
                mine.seconds += worker.ask("predict", rows=rows, seconds=seconds)["seconds"]
