"""How fast whole trainings are: rows per second of each job, on one thread and on all, in turns.

`python bench/training.py [JOB ...]` prints a table. Reads workloads.py and the probes (ceilings.py has more of them).

a) One thread and all take turns, round by round; the best epoch of each counts, the spread is told beside it.
b) `of peak` is the products' operations over the measured multiply-add rate of as many threads, in the same run.
c) `threads` is the speed with all threads over that with one: below 0.95 the job has fallen over the thread cliff.
d) The loss after the last epoch stands beside the speed: it is the same for any number of threads, or it says so.
"""

import argparse
import statistics
import sys
import time
from dataclasses import replace

import numpy as np
from workloads import JOBS, Job

import fusednet as fn
from fusednet import backends
from fusednet.backends import native

CLIFF = 0.95


def peak(threads: int) -> float:
    """Multiply-add operations per second in float32."""
    backends.select("native")  # and with it the number of threads
    fn.set_num_threads(threads)
    best = 0.0
    for _ in range(8):
        begin = time.perf_counter()
        flop = native.probe("fma", "float32", None, 200_000)
        best = max(best, flop / (time.perf_counter() - begin))
    return best


def measure(job: Job, counts: tuple[int, ...], rounds: int, seconds: float) -> dict[int, tuple[list[float], float]]:
    """Seconds of epochs, and the last loss, by number of threads."""
    x, y = job.data()
    models = {threads: job.model() for threads in counts}
    taken: dict[int, list[float]] = {threads: [] for threads in counts}
    epochs = 1
    for turn in range(rounds + 1):
        for threads in counts:
            fn.set_num_threads(threads)
            history = models[threads].fit(x, y, batch_size=job.batch, epochs=epochs)
            if turn:
                taken[threads] += history.time
        if not turn:
            epochs = max(1, min(1000, int(seconds / history.time[0])))
    losses = {threads: models[threads].evaluate(x, y) for threads in counts}
    return {threads: (taken[threads], losses[threads]) for threads in counts}


def row(name: str, job: Job, measured: dict, peaks: dict[int, float]) -> tuple[str, bool]:
    """A line of the table, and whether more threads were slower."""
    words = [f"{name:14}"]
    rates = {}
    for threads, (taken, _) in measured.items():
        best = min(taken)
        rates[threads] = job.rows / best
        spread = statistics.median(taken) / best - 1
        share = rates[threads] * job.flop / peaks[threads]
        flop = rates[threads] * job.flop / 1e9
        words.append(f"{rates[threads]:12,.0f} +{spread:4.0%} {flop:7.1f} {share:5.0%}")
    one, most = rates[min(rates)], rates[max(rates)]
    losses = {loss for _, loss in measured.values()}
    words.append(f"{most / one:6.2f}  {min(losses):.4f}{'' if len(losses) == 1 else ' (differs!)'}")
    return "  ".join(words), most < CLIFF * one


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("jobs", nargs="*", help=f"of {', '.join(JOBS)}; default all, `default` at other batches too")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5, help="of one turn")
    parser.add_argument("--threads", type=int, default=None, help="most threads; default all processors")
    options = parser.parse_args()
    jobs = {name: JOBS[name] for name in options.jobs or JOBS}
    if not options.jobs:
        jobs |= {f"default @{batch}": replace(JOBS["default"], batch=batch) for batch in (1, 8, 32, 128, 1024)}
    most = options.threads or fn.get_num_threads()
    counts = (1, most) if most > 1 else (1,)
    peaks = {threads: peak(threads) for threads in counts}
    print("peak:", ", ".join(f"{rate / 1e9:.0f} GFLOP/s with {threads}" for threads, rate in peaks.items()))
    head = "".join(f"{f'rows/s, {threads} threads':>20} GFLOP/s of peak" for threads in counts)
    print(f"{'job':12}{head}   threads  loss")
    fallen = []
    for name, job in jobs.items():
        line, slower = row(name, job, measure(job, counts, options.rounds, options.seconds), peaks)
        fallen += [name] * slower
        print(line, flush=True)
    print(f"slower with {most} threads by more than {1 - CLIFF:.0%}: {', '.join(fallen) or 'none'}")
    return bool(fallen)


if __name__ == "__main__":
    np.seterr(all="ignore")
    sys.exit(main())
