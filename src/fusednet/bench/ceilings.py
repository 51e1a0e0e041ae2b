"""What this machine can do at best: multiply-adds per second, and bytes per second of each memory level.

Calls the probes of the instruction set in use (csrc/kernels/probe_impl.h) through fusednet.backends.native; read by
floor.py, by cli/_bench.py (``fusednet bench --ceilings``) and by the scripts in bench/.

a) Rates are of so-and-so many threads at once: a probe runs on the library's own team, as kernels do.
b) A rate is the best of several runs, and each run takes a millisecond: on a shared machine the best is what is there.
c) Cache sizes come from /sys, because sysconf gives the sum over caches that one core cannot use.
"""

import datetime
import os
import platform
import time
from functools import cache
from pathlib import Path

import numpy as np

import fusednet
from fusednet import backends
from fusednet.bench import text

KB, MB = 1024, 1024 * 1024
WHATS = ("read", "write", "update")
LEVELS = ("L1", "L2", "L3", "memory")
LEAST_SECONDS = 0.001
"""How long a probe runs at least."""


def _size(text: str) -> int:
    units = {"K": KB, "M": MB, "G": 1024 * MB}
    return int(text[:-1]) * units[text[-1]] if text[-1] in units else int(text)


@cache
def caches() -> dict[str, int]:
    """Bytes of the data caches that one core sees: {"L1": ..., "L2": ..., "L3": ...}."""
    sizes = {"L1": 32 * KB, "L2": 512 * KB, "L3": 8 * MB}  # where the system does not say
    for index in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        if (index / "type").read_text().strip() != "Instruction":
            sizes["L" + (index / "level").read_text().strip()] = _size((index / "size").read_text().strip())
    return sizes


def level_bytes(level: str) -> int:
    """How many bytes a core works on to be in that level: half of a cache, and memory well beyond the last, or 256 MB
    where that is larger: then it is shared with many other cores, and may hold some of them."""
    if level == "memory":
        return max(64 * MB, min(2 * caches()["L3"], 256 * MB))
    if level == "L3":
        return 2 * caches()["L2"] + caches()["L3"] // 8  # other cores use it too
    return caches()[level] // 2


def processor() -> str:
    """The processor by name, as far as the system says it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.machine()


def all_threads() -> int:
    """How many threads this process may run at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _written(size: int) -> np.ndarray:
    """So many bytes on a 64-byte boundary, as float64. Written: pages that never were are one page in a cache."""
    block = np.empty(size + 64, np.uint8)
    start = -block.ctypes.data % 64
    array = block[start : start + size].view(np.float64)
    array[...] = 1
    return array


def facts() -> dict[str, str]:
    """The machine and this library, in words: what figures were measured on."""
    sizes = ", ".join(f"{name} {size // KB} KB" for name, size in sorted(caches().items()))
    table = backends.current()
    parts = [fusednet.__version__, table.backend, table.isa]
    if table.backend == "native":
        from fusednet.backends import native

        parts.append(native.build_info()["compiler"])
    return {
        "date": datetime.date.today().isoformat(),
        "processor": f"{processor()}, {all_threads()} cores for this process; {sizes}",
        "system": f"{platform.system()} {platform.release()}",
        "fusednet": ", ".join(part for part in parts if part),
        "Python, NumPy": f"{platform.python_version()}, {np.__version__}",
    }


def can_probe() -> bool:
    """Whether there are probes: they are native code."""
    return "native" in backends.available()


class Ceilings:
    """The probes of one instruction set on a number of threads.

    Parameters
    ----------
    threads : int
        Probes run on so many at once.
    isa : str, optional
        By default the one in use.

    Raises
    ------
    ValueError
        If the native backend is not installed.
    """

    def __init__(self, threads: int, isa: str | None = None):
        if not can_probe():
            raise ValueError("the rates of the machine are measured by native code, and fusednet was built without it")
        from fusednet.backends import native

        self._probe = native.probe
        self.threads = threads
        self.isa = isa or native.chosen_isa()
        self._memory = _written(MB)
        self._repeats: dict[tuple, int] = {}

    def _array(self, dtype: str, total: int) -> np.ndarray:
        """About `total` bytes, to be shared by all threads."""
        grain = 1024 * np.dtype(dtype).itemsize * self.threads
        size = max(1, round(total / grain)) * grain
        if self._memory.nbytes < size:
            self._memory = _written(size)
        return self._memory[: size // 8].view(dtype)

    def _run(self, what: str, dtype: str, array: np.ndarray | None, repeat: int) -> tuple[float, int]:
        start = time.perf_counter()
        amount = self._probe(what, dtype, array, repeat, self.isa)
        return time.perf_counter() - start, amount

    @property
    def units(self) -> bool:
        """Whether the instruction set multiplies bfloat16 numbers."""
        return self.isa.endswith("bf16")

    def rate(self, what: str, dtype: str, total: int = 0) -> float:
        """One run of a probe: floating-point operations per second for "fma" and "dot", else bytes per second.

        Parameters
        ----------
        what : {"fma", "dot", "read", "write", "update"}
            "dot": multiply-adds of bfloat16 numbers, summed in float32; where there are `units`.
        dtype : {"float32", "float64"}
        total : int
            Bytes that all threads together go over, again and again.
        """
        before, in_use = fusednet.get_num_threads(), backends.current().backend
        backends.select("native")  # the team is the native table's
        fusednet.set_num_threads(self.threads)
        array = None if what in ("fma", "dot") else self._array(dtype, total)
        key = what, dtype, total
        if key not in self._repeats:
            repeat = 1
            while True:
                seconds, _ = self._run(what, dtype, array, repeat)
                if seconds >= LEAST_SECONDS:
                    break
                repeat = max(2 * repeat, min(100 * repeat, int(repeat * LEAST_SECONDS / max(seconds, 1e-9)) + 1))
            self._repeats[key] = repeat
        seconds, amount = self._run(what, dtype, array, self._repeats[key])
        fusednet.set_num_threads(before)
        backends.select(in_use)  # what is measured next may be another's
        return amount / seconds

    def best(self, what: str, dtype: str, total: int = 0, rounds: int = 7) -> float:
        """The best of several runs."""
        return max(self.rate(what, dtype, total) for _ in range(rounds))


def table(counts: list[int], isa: str | None = None, rounds: int = 7) -> list[list[str]]:
    """The measured ceilings as rows of text, the first row the head."""
    teams = [Ceilings(n, isa) for n in counts]
    products = [("fma", "float32"), ("fma", "float64"), *([("dot", "float32")] if teams[0].units else [])]
    rows = [[""]]
    rows += [[f"multiply-adds, {dtype if what == 'fma' else 'bfloat16 with float32 sums'}"] for what, dtype in products]
    for level in LEVELS:
        total = level_bytes(level)
        size = f"{total / MB:g} MB" if total >= MB else f"{total / KB:g} KB"
        rows += [[f"{what}, {level} ({size} a thread)"] for what in WHATS]
    for n, team in zip(counts, teams, strict=True):  # one by one: a new team first has to be spread over the processors
        team.best("fma", "float32", rounds=100)
        rates = [f"{team.best(what, dtype, rounds=rounds) / 1e9:.1f} GFLOP/s" for what, dtype in products]
        for level in LEVELS:
            bytes_ = level_bytes(level) * n
            rates += [f"{team.best(what, 'float32', bytes_, rounds) / 1e9:.1f} GB/s" for what in WHATS]
        for row, cell in zip(rows, [text.threads(n), *rates], strict=True):
            row.append(cell)
    return rows
