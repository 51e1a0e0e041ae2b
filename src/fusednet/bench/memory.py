"""How much memory a training takes, beside the least: parameters, moments and the activations of a batch.

Reads workloads.py; read by cli/_bench.py (``fusednet bench --memory``). `python -m fusednet.bench.memory JOB THREADS`,
with the job as JSON, is the process in which one job is measured.

a) The growth is of the memory that is resident (Linux counts it): its peak while the job is trained, less what was
   there when its data were. A small training goes before, so that code and threads do not count; the kernels' scratch
   does.
b) Beside it stands what the arrays take, counted: all that the model has when it is trained.
c) Gradients are as large as the parameters. Those of large kernels are never all there (blocks.py); the others are,
   since a step that fails or is given up has changed nothing.
"""

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import fusednet as fn
from fusednet.bench.floor import MOMENTS, SIZE, weights
from fusednet.bench.workloads import JOBS, Job, named

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
MB = 1e6


@dataclass(frozen=True)
class Footprint:
    """Bytes of a training.

    Attributes
    ----------
    parameters, moments, gradients : int
    activations : int
        Of one batch: its rows, what each layer makes of them, and what a batch normalisation does.
    arrays : int
        What the model has: parameters, moments and, if they are all there, gradients, on their boundaries; and the
        arena with the activations and their gradients.
    growth : int
        Of resident memory.
    """

    parameters: int
    moments: int
    gradients: int
    activations: int
    arrays: int
    growth: int

    @property
    def least(self) -> int:
        return self.parameters + self.moments + self.activations


def least(job: Job) -> dict[str, int]:
    """Bytes of parameters, moments, gradients and activations by name."""
    parameters = SIZE * weights(job)[0]
    widths = (job.features, *job.hidden * (2 if job.batch_norm else 1), job.outputs)
    return {"parameters": parameters, "moments": MOMENTS[job.optimizer] * parameters, "gradients": parameters,
            "activations": SIZE * job.batch * sum(widths)}


def arrays(model: fn.Sequential) -> int:
    """Bytes of the arrays that a trained model has."""
    memory = model.memory
    vectors = memory.arrays().values()
    return sum(array.nbytes for array in vectors) + memory.arena(0, "train").nbytes


def resident(word: str) -> int:
    """Bytes: "VmRSS" of now, "VmHWM" at most so far."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(word))
    return int(line.split()[1]) * 1024


def footprint(job: Job, threads: int) -> Footprint:
    """Train the job once in this process."""
    fn.set_num_threads(threads)
    x, y = JOBS["tiny"].data()
    JOBS["tiny"].model().fit(x, y, batch_size=JOBS["tiny"].batch)
    x, y = job.data()
    before = resident("VmRSS")
    CLEAR.write_text("5")  # the peak is that of now
    model = job.model()
    model.fit(x, y, batch_size=job.batch)
    growth = resident("VmHWM") - before
    return Footprint(**least(job), arrays=arrays(model), growth=growth)


def measure(name: str, threads: int) -> Footprint:
    """A job in a process of its own.

    Raises
    ------
    ValueError
        If this system does not say what is resident.
    """
    if not STATUS.exists() or not CLEAR.exists():
        raise ValueError("--memory reads /proc/self/status and clear_refs, which only Linux has")
    words = [json.dumps(asdict(named(name))), str(threads)]
    done = subprocess.run([sys.executable, "-m", "fusednet.bench.memory", *words], stdout=subprocess.PIPE, text=True,
                          check=True)
    return Footprint(**json.loads(done.stdout))


def table(footprints: dict[str, Footprint]) -> list[list[str]]:
    """Rows of text, the first row the head."""
    names = "parameters", "moments", "activations", "gradients", "arrays", "growth"
    rows = [["job, MB", *names, "of the first three", "of the four"]]
    for job, found in footprints.items():
        shares = found.growth / found.least, found.growth / (found.least + found.gradients)
        rows.append([job, *(f"{getattr(found, name) / MB:.1f}" for name in names), *(f"{one:.2f}x" for one in shares)])
    return rows


if __name__ == "__main__":
    given = json.loads(sys.argv[1])
    given["hidden"] = tuple(given["hidden"])
    print(json.dumps(asdict(footprint(Job(**given), int(sys.argv[2])))))
