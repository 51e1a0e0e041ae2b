"""The libraries that are compared, and the processes they run in, of which one runs at a time.

Reads results.py; read by peers.py, measure.py, page.py and chart.py. Starts workers/worker.py, in the environments that
bench/peers/setup.sh makes, or in the present one where the library is installed in it.

a) A process for each library and number of threads, alive for all jobs: imports are long, and threads settled in it.
b) A worker whose turn it is not is stopped by a signal: no pool of threads of one library spins while another is timed,
   and yet each has the waiting policy that its makers chose. (Without such signals it waits for its next command.)
"""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from fusednet.bench.results import OURS
from fusednet.errors import unknown

HERE = Path(__file__).resolve().parent / "workers"
FOLDER = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "fusednet" / "peers"
"""Where setup.sh puts the environments, unless told otherwise."""


@dataclass(frozen=True)
class Entry:
    """A library.

    Attributes
    ----------
    title : str
        As tables name it.
    module : str
        The file in workers/, without its ending.
    environment : str
        Folder of its environment; "" is the present one alone.
    needs : tuple of str
        Modules that an environment has in which it is installed.
    trains, predicts : bool
        What it is measured at.
    variables : dict of str
        For its process, besides the number of threads.
    color : str
        In the chart.
    ours : bool
        fusednet in one of its ways; all others are what it is compared with.
    """

    title: str
    module: str
    environment: str = ""
    needs: tuple[str, ...] = ("numpy",)
    trains: bool = True
    predicts: bool = True
    variables: dict[str, str] = field(default_factory=dict)
    color: str = "#888888"
    ours: bool = False


_KERAS = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "1", "JAX_PLATFORMS": "cpu"}

LIBRARIES = {
    OURS: Entry("fusednet", "fusednet_fit", ours=True, color="#c0392b"),
    "fusednet_high": Entry('fusednet, "high"', "fusednet_high", ours=True, predicts=False),
    "fusednet_medium": Entry('fusednet, "medium"', "fusednet_medium", ours=True, predicts=False),
    "torch": Entry("PyTorch", "torch_eager", "torch", ("torch",), color="#e67e22"),
    "torch_compile": Entry("torch.compile", "torch_compile", "torch", ("torch",), color="#f1b555"),
    "jax": Entry("JAX scan", "jax_scan", "jax", ("jax",), variables={"JAX_PLATFORMS": "cpu"}, color="#2471a3"),
    "keras_jax": Entry("Keras on JAX", "keras_jax", "keras_jax", ("keras", "jax"), predicts=False,
                       variables={"KERAS_BACKEND": "jax", **_KERAS}, color="#85c1e9"),
    "keras_tf": Entry("Keras on TF", "keras_tf", "keras_tf", ("keras", "tensorflow"), predicts=False,
                      variables={"KERAS_BACKEND": "tensorflow", **_KERAS}, color="#27ae60"),
    "sklearn": Entry("scikit-learn", "sklearn_mlp", "sklearn", ("sklearn", "threadpoolctl"), color="#8e44ad"),
    "numpy": Entry("NumPy", "numpy_plain", color="#7f8c8d"),
    "onnx": Entry("ONNX Runtime", "onnx_run", "onnx", ("onnxruntime", "onnx"), trains=False, color="#16a085"),
}  # fmt: skip


def python_of(entry: Entry, folder: Path) -> Path | None:
    """The interpreter that runs it: of its own environment, or else of the present one; None: it is in neither."""
    own = folder / entry.environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    if entry.environment and own.exists():
        return own
    return Path(sys.executable) if all(importlib.util.find_spec(name) for name in entry.needs) else None


def installed(folder: Path) -> list[str]:
    """Names of the libraries that are there."""
    return [name for name, entry in LIBRARIES.items() if python_of(entry, folder)]


def chosen(names: list[str] | None, folder: Path, units: bool) -> list[str]:
    """The libraries to be compared.

    Parameters
    ----------
    names : list of str or None
        None: fusednet and all that are installed.
    folder : Path
        Of the environments.
    units : bool
        Whether products of bfloat16 numbers are faster here: without them fusednet's other precisions are left out.

    Raises
    ------
    ValueError
        If one of the names is unknown, or is not installed, or there is nothing to compare with.
    """
    there = installed(folder)
    if names is None:
        if not any(LIBRARIES[name].environment for name in there):
            raise ValueError(f"no other library is installed here, and none in {folder}; pip install torch, jax, "
                             "keras, scikit-learn or onnxruntime, or name a folder that has them with --environments")
        return [name for name in there if units or name == OURS or not LIBRARIES[name].ours]
    for name in names:
        if name not in LIBRARIES:
            raise unknown("--libraries", "library", name, LIBRARIES)
        if name not in there:
            raise ValueError(f"{LIBRARIES[name].title} is installed neither here nor in "
                             f"{folder / LIBRARIES[name].environment}")
    return list(dict.fromkeys(names))


def variables_of(entry: Entry, threads: int, own: bool) -> dict[str, str]:
    """The variables of a worker's process; one in an environment of its own sees none of this one's packages."""
    names = ("OMP_NUM", "OPENBLAS_NUM", "MKL_NUM", "VECLIB_MAXIMUM", "TF_NUM_INTRAOP")
    told = {f"{name}_THREADS": str(threads) for name in names}
    told |= {"TF_NUM_INTEROP_THREADS": "1", "NPROC": str(threads)}
    if threads == 1:
        told["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    inherited = {name: value for name, value in os.environ.items() if not (own and name.startswith("PYTHON"))}
    return {**inherited, **told, **entry.variables}


class WorkerError(RuntimeError):
    """A library could not do what it was asked."""


class Worker:
    """A library's process.

    Parameters
    ----------
    name : str
        Of `LIBRARIES`.
    threads : int
    folder : Path
        Of the environments.
    log : Path
        Takes what the library prints.
    """

    def __init__(self, name: str, threads: int, folder: Path, log: Path):
        self.name, self.threads, self.log, self.failed = name, threads, log, False
        entry = LIBRARIES[name]
        python = python_of(entry, folder)
        command = [str(python), str(HERE / "worker.py"), entry.module, str(threads)]
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=HERE,
                env=variables_of(entry, threads, python != Path(sys.executable)),
            )  # fmt: skip

    def _signal(self, name: str) -> None:
        if hasattr(signal, name) and self.process.poll() is None:
            self.process.send_signal(getattr(signal, name))

    def ask(self, what: str, **more) -> dict:
        """Let it run until it has answered."""
        self._signal("SIGCONT")
        try:
            print(json.dumps({"do": what, **more}), file=self.process.stdin, flush=True)
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        self._signal("SIGSTOP")
        told = json.loads(line) if line else {"error": f"its process ended with status {self.process.wait()}"}
        if "error" in told:
            self.failed = True
            raise WorkerError(f"{LIBRARIES[self.name].title}, {self.threads} threads: {told['error']} (see {self.log})")
        return told

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(BrokenPipeError):  # what was not read before it died
                pipe.close()
