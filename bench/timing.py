"""Times a job: kernel, ceilings and NumPy in turns, several rounds, the best of each.

Reads jobs.py and fusednet/bench/ceilings.py; read by report.py and conftest.py.

a) In turns, because a shared machine changes its speed from second to second: each round gives all three the same luck.
b) The best, because what disturbs a run only ever makes it slower; the spread (median over best) is told beside it.
c) A kernel that arithmetic may bound is also timed on few data, in turns too: see `Result.floors`.
d) A miss is measured again, and both measurements are joined, before it counts: a bound is missed when no try meets it.
"""

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import repeat

import threadpoolctl
from jobs import Job

import fusednet
from fusednet.backends.table import Table
from fusednet.bench.ceilings import MB, WHATS, Ceilings, level_bytes

STREAM_BYTES = 16 * MB
"""FN_STREAM_BYTES of csrc/kernels/kernels.h: what is larger is written past the caches, by kernels and by probes."""

MEMORY_BYTES = 64 * MB
"""Of the largest array of a job in memory. Where the last cache is far larger, more would be in it, too."""

BLAS_SPINS = 0.1
"""Seconds for which OpenBLAS's threads hold their core waiting for work (2^26 cycles by default), and some."""


def levels(threads: int) -> dict[str, int]:
    """Bytes of a job's data by the level that they lie in."""
    return {"L2": level_bytes("L2") * threads, "memory": MEMORY_BYTES}


def use_threads(threads: int):
    """Give the kernels that many threads, and NumPy's BLAS too until the returned context is left."""
    fusednet.set_num_threads(threads)
    return threadpoolctl.threadpool_limits(threads, user_api="blas")


@dataclass(frozen=True)
class Effort:
    """How long to measure.

    Attributes
    ----------
    rounds : int
    seconds : float
        Of one batch of calls: shorter than what the system gives a process at a time, so that some are undisturbed.
    slow : float
        NumPy calls that take longer are timed in two rounds only.
    again : int
        How many times a miss is measured again.
    """

    rounds: int = 12
    seconds: float = 0.001
    slow: float = 0.03
    again: int = 2


QUICK = Effort(rounds=4, seconds=0.0005, slow=0.01, again=0)


def batch(function: Callable, arguments: tuple, number: int) -> float:
    """Seconds per call over `number` calls."""
    start = time.perf_counter()
    for _ in repeat(None, number):
        function(*arguments)
    return (time.perf_counter() - start) / number


def enough(function: Callable, arguments: tuple, seconds: float) -> int:
    """How many calls take at least so long."""
    number = 1
    while (taken := batch(function, arguments, number) * number) < seconds:
        number = max(2 * number, min(20 * number, int(number * seconds / max(taken, 1e-9)) + 1))
    return number


@dataclass
class Result:
    """The measurement of a job; times in seconds per call."""

    job: Job
    threads: int
    kernel: list[float] = field(default_factory=list)
    numpy: list[float] = field(default_factory=list)
    rates: dict[str, float] = field(default_factory=dict)  # best rate by probe
    cached: list[float] = field(default_factory=list)  # what it would take at its own speed in the cache

    @property
    def time(self) -> float:
        return min(self.kernel)

    @property
    def spread(self) -> float:
        """How far the median is above the best, relative to the best."""
        return statistics.median(self.kernel) / self.time - 1

    @property
    def ratio(self) -> float | None:
        """How many times NumPy's time."""
        return min(self.numpy) / self.time if self.numpy else None

    @property
    def floors(self) -> dict[str, float]:
        """Seconds that the job takes at the measured rates, by what bounds it."""
        floors = {}
        if "fma" in self.rates:
            floors["multiply-adds"] = self.job.flop / self.rates["fma"]
        moved = self.job.bytes()
        if any(what in self.rates for what in WHATS):
            floors["bytes"] = sum(moved[what] / self.rates[what] for what in WHATS if moved[what])
        if self.cached:
            floors["arithmetic"] = min(self.cached)
        return floors

    @property
    def bound(self) -> str:
        """What gives the floor: "multiply-adds", "bytes", "arithmetic", or "" where no ceiling was measured."""
        return max(self.floors, key=self.floors.get, default="")

    @property
    def share(self) -> float | None:
        """Share of the floor that is reached."""
        return max(self.floors.values()) / self.time if self.floors else None

    @property
    def verdict(self) -> str:
        """PASS, MISS, "arithmetic" (bound by what has no ceiling but itself), or "" where nothing is wanted.

        In L2 a call takes a few microseconds, about what a team takes to meet: there nothing is wanted of more threads.
        """
        if self.threads > 1 and self.job.level == "L2":
            return ""
        if self.job.ratio is not None and round(self.ratio, 2) < self.job.ratio:
            return "MISS"
        if self.job.share is not None and round(self.share, 2) < self.job.share:
            return "arithmetic" if self.job.arithmetic and self.job.level != "memory" else "MISS"
        if self.bound == "arithmetic":
            return "arithmetic"
        return "PASS" if self.job.ratio is not None or self.job.share is not None else ""


def _settle(kernel: Callable, arguments: tuple) -> None:
    """Call the kernel until the BLAS's threads, which go on spinning after a product, have left the cores to it."""
    end = time.perf_counter() + BLAS_SPINS
    while time.perf_counter() < end:
        kernel(*arguments)


def measure(job: Job, table: Table, ceilings: Ceilings | None, threads: int, effort: Effort) -> Result:
    """Time a job; `threads` must have been set for the table and for NumPy's BLAS.

    Parameters
    ----------
    job : Job
    table : Table
    ceilings : Ceilings or None
        Of that many threads. None: no ceiling, no share.
    threads : int
    effort : Effort
    """
    result = Result(job, threads)
    arguments = job.arguments()
    kernel, numpy = job.function(table), job.numpy()
    probes = []
    if ceilings is not None:
        # as many bytes as the job has, so that they are in the same caches; beyond them, enough to go past them
        total = max(job.footprint, 2 * STREAM_BYTES * threads) if job.level == "memory" else job.footprint
        probes = [what for what, size in job.bytes().items() if size]
        if job.flop:
            probes.append("fma")
    small, small_arguments = None, ()
    if ceilings is not None and job.arithmetic and job.level == "memory":
        small = job.shrunk(level_bytes("L2") * threads)
        small_arguments = small.arguments()
        small_number = enough(kernel, small_arguments, effort.seconds)
    numbers = {}

    def time_numpy(i: int, attempt: int) -> None:
        if numpy and ((i < 2 and not attempt) or min(result.numpy) < effort.slow):
            numpy(*arguments)
            result.numpy.append(batch(numpy, arguments, numbers[numpy]))

    enabled = gc.isenabled()
    gc.disable()
    try:
        kernel(*arguments)
        for function in filter(None, (kernel, numpy)):  # NumPy's first call is among those that `enough` makes
            numbers[function] = enough(function, arguments, effort.seconds)
        for attempt in range(1 + effort.again):
            if threads > 1:
                _settle(kernel, arguments)
            for i in range(effort.rounds):
                for what in probes:
                    rate = ceilings.rate(what, job.dtype, total)
                    result.rates[what] = max(rate, result.rates.get(what, 0.0))
                if small:
                    seconds = batch(kernel, small_arguments, small_number)
                    result.cached.append(seconds * job.elements / small.elements)
                kernel(*arguments)  # its data are back in the caches that they fit in
                result.kernel.append(batch(kernel, arguments, numbers[kernel]))
                if threads == 1:
                    time_numpy(i, attempt)
            for i in range(effort.rounds if threads > 1 else 0):  # apart: its threads would hold the kernel's cores
                time_numpy(i, attempt)
            if result.verdict != "MISS":
                break
    finally:
        if enabled:
            gc.enable()
    return result
