"""The floor of a training: the least time per epoch, by measured rates, if nothing is left out.

Reads workloads.py and ceilings.py; read by training.py, measure.py and page.py.

a) The floor is the larger of the products' operations over the multiply-add rate, and of the bytes that must be moved
   over the rates of the memory levels that they must come from.
b) Bytes that must be moved: a row's features and target, once; in each step weights are read on the way forward (and
   once more on the way back, but the first layer's), and weights and moments are changed in place. Gradients and
   activations may stay in registers and caches, so they count nothing; neither does other arithmetic (exp, dropout).
c) Weights and moments live in the smallest level that holds them, for the whole run; so do the rows.
d) Multiply-adds by the zeros behind relu and dropout count. Large products leave them out (gemm_sparse_impl.h), so the
   share of the floor may be more than 1: how many zeros there are is known only while a network learns.
"""

from dataclasses import dataclass
from itertools import pairwise

from fusednet.bench import ceilings
from fusednet.bench.workloads import Job

SIZE = 4
"""Bytes of a float32."""

MOMENTS = {"sgd": 0, "momentum": 1, "adam": 2}


@dataclass(frozen=True)
class Floor:
    """Seconds of an epoch at least, by what bounds it."""

    arithmetic: float
    bytes: float

    @property
    def seconds(self) -> float:
        return max(self.arithmetic, self.bytes)

    @property
    def bound(self) -> str:
        return "multiply-adds" if self.arithmetic >= self.bytes else "bytes"


def weights(job: Job) -> tuple[int, int]:
    """Numbers that are trained, and those of them that the way back reads."""
    widths = (job.features, *job.hidden, job.outputs)
    products = [m * n for m, n in pairwise(widths)]
    vectors = sum(widths[1:]) + (2 * sum(job.hidden) if job.batch_norm else 0)
    return sum(products) + vectors, sum(products[1:])


def level(total: int, threads: int) -> str:
    """The smallest level of memory that holds so many bytes; each thread has an L1 and an L2."""
    sizes = ceilings.caches()
    for name in ("L1", "L2", "L3"):
        if total <= sizes[name] * (threads if name != "L3" else 1):
            return name
    return "memory"


class Rates:
    """Measured rates by number of threads and what is done; each is measured when it is first asked for.

    Parameters
    ----------
    known : dict, optional
        Rates measured before on this machine; a key's better rate counts, and is written into it.
    rounds : int
        The best of so many runs of a probe counts. 0: nothing is measured, all is known.
    """

    def __init__(self, known: dict[str, float] | None = None, rounds: int = 15):
        self.known = {} if known is None else known
        self._rounds = rounds
        self._seen: set[str] = set()

    def __call__(self, what: str, threads: int, at: str = "") -> float:
        """Operations per second ("fma") or bytes per second ("read", "write", "update") of a level."""
        key = f"{what} {at} {threads}"
        if key not in self._seen and self._rounds:
            self._seen.add(key)
            probes = ceilings.Ceilings(threads)
            probes.best("fma", "float32", rounds=20)  # a new team first has to be spread over the processors
            total = ceilings.level_bytes(at) * threads if at else 0
            self.known[key] = max(probes.best(what, "float32", total, self._rounds), self.known.get(key, 0.0))
        return self.known[key]


def floor(job: Job, threads: int, rates) -> Floor:
    """The floor of an epoch.

    Parameters
    ----------
    job : Job
    threads : int
    rates : callable
        As `Rates`: ``rates(what, threads, level)``.
    """
    trained, again = weights(job)
    copies = 1 + MOMENTS[job.optimizer]
    home = level(trained * SIZE * copies, threads)
    target = SIZE * (job.outputs if job.loss == "mse" else 1)
    rows = job.rows * (job.features * SIZE + target)
    step = (trained + again) * SIZE / rates("read", threads, home)
    step += trained * SIZE * copies / rates("update", threads, home)
    moved = rows / rates("read", threads, level(rows, threads)) + step * job.rows / job.batch
    return Floor(job.rows * job.flop / rates("fma", threads), moved)
