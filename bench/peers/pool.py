"""The libraries that are compared, and the processes they run in, of which one runs at a time.

Read by run.py and measure.py; starts worker.py in the environments that setup.sh makes.

a) A process for each library and number of threads, alive for all jobs: imports are long, and threads settled in it.
b) A worker whose turn it is not is stopped by a signal: no pool of threads of one library spins while another is timed,
   and yet each has the waiting policy that its makers chose. (Without such signals it waits for its next command.)
"""

import json
import os
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
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
        The file beside this one, without its ending.
    environment : str
        Folder of its environment; "" is that of run.py itself.
    trains, predicts : bool
        What it is measured at.
    variables : dict of str
        For its process, besides the number of threads.
    color : str
        In the chart.
    """

    title: str
    module: str
    environment: str
    trains: bool = True
    predicts: bool = True
    variables: dict[str, str] = field(default_factory=dict)
    color: str = "#888888"


_KERAS = {"TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "1", "JAX_PLATFORMS": "cpu"}

LIBRARIES = {
    "fusednet": Entry("fusednet", "fusednet_fit", "", color="#c0392b"),
    "torch": Entry("PyTorch", "torch_eager", "torch", color="#e67e22"),
    "torch_compile": Entry("torch.compile", "torch_compile", "torch", color="#f1b555"),
    "jax": Entry("JAX scan", "jax_scan", "jax", variables={"JAX_PLATFORMS": "cpu"}, color="#2471a3"),
    "keras_jax": Entry("Keras on JAX", "keras_jax", "keras_jax", predicts=False,
                       variables={"KERAS_BACKEND": "jax", **_KERAS}, color="#85c1e9"),
    "keras_tf": Entry("Keras on TF", "keras_tf", "keras_tf", predicts=False,
                      variables={"KERAS_BACKEND": "tensorflow", **_KERAS}, color="#27ae60"),
    "sklearn": Entry("scikit-learn", "sklearn_mlp", "sklearn", color="#8e44ad"),
    "numpy": Entry("NumPy", "numpy_plain", "", color="#7f8c8d"),
    "onnx": Entry("ONNX Runtime", "onnx_run", "onnx", trains=False, color="#16a085"),
}  # fmt: skip
OURS = "fusednet"


def python_of(entry: Entry, folder: Path) -> Path:
    """The interpreter of its environment."""
    if not entry.environment:
        return Path(sys.executable)
    return folder / entry.environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def installed(folder: Path) -> list[str]:
    """Names of the libraries that are there."""
    return [name for name, entry in LIBRARIES.items() if python_of(entry, folder).exists()]


def variables_of(entry: Entry, threads: int) -> dict[str, str]:
    """The environment of a worker's process."""
    names = ("OMP_NUM", "OPENBLAS_NUM", "MKL_NUM", "VECLIB_MAXIMUM", "TF_NUM_INTRAOP")
    told = {f"{name}_THREADS": str(threads) for name in names}
    told |= {"TF_NUM_INTEROP_THREADS": "1", "NPROC": str(threads)}
    if threads == 1:
        told["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false"
    return {**os.environ, **told, **entry.variables}


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
        self.name, self.threads, self.log = name, threads, log
        entry = LIBRARIES[name]
        command = [str(python_of(entry, folder)), str(HERE / "worker.py"), entry.module, str(threads)]
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, cwd=HERE,
                env=variables_of(entry, threads),
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
            raise WorkerError(f"{LIBRARIES[self.name].title}, {self.threads} threads: {told['error']} (see {self.log})")
        return told

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            with suppress(BrokenPipeError):  # what was not read before it died
                pipe.close()
