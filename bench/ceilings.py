"""What this machine can do at best: multiply-adds per second, and bytes per second of each memory level.

Calls the probes of the instruction set in use (csrc/kernels/probe_impl.h) through fusednet.backends.native; read by
timing.py. `python bench/ceilings.py` prints the table.

a) Rates are of so-and-so many threads at once: a probe runs on the library's own team, as kernels do.
b) A rate is the best of several runs, and each run takes a millisecond: on a shared machine the best is what is there.
c) Cache sizes come from /sys, because sysconf gives the sum over caches that one core cannot use.
"""

import argparse
import os
import platform
import time
from functools import cache
from pathlib import Path

import numpy as np

import fusednet
from fusednet import backends
from fusednet.backends import native

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
    """How many bytes a core works on to be in that level: half of a cache, and memory well beyond the last."""
    if level == "memory":
        return max(64 * MB, 2 * caches()["L3"])
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


class Ceilings:
    """The probes of one instruction set on a number of threads.

    Parameters
    ----------
    threads : int
        Probes run on so many at once.
    isa : str, optional
        By default the one in use.
    """

    def __init__(self, threads: int, isa: str | None = None):
        backends.select("native")  # the team is the native table's
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
        amount = native.probe(what, dtype, array, repeat, self.isa)
        return time.perf_counter() - start, amount

    def rate(self, what: str, dtype: str, total: int = 0) -> float:
        """One run of a probe: floating-point operations per second for "fma", else bytes per second.

        Parameters
        ----------
        what : {"fma", "read", "write", "update"}
        dtype : {"float32", "float64"}
        total : int
            Bytes that all threads together go over, again and again.
        """
        before = fusednet.get_num_threads()
        fusednet.set_num_threads(self.threads)
        array = None if what == "fma" else self._array(dtype, total)
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
        return amount / seconds

    def best(self, what: str, dtype: str, total: int = 0, rounds: int = 7) -> float:
        """The best of several runs."""
        return max(self.rate(what, dtype, total) for _ in range(rounds))


def table(threads: list[int], isa: str | None = None, rounds: int = 7) -> list[list[str]]:
    """The measured ceilings as rows of text, the first row the head."""
    rows = [[""]]
    rows += [[f"multiply-adds, {dtype}"] for dtype in ("float32", "float64")]
    for level in LEVELS:
        total = level_bytes(level)
        size = f"{total / MB:g} MB" if total >= MB else f"{total / KB:g} KB"
        rows += [[f"{what}, {level} ({size} a thread)"] for what in WHATS]
    for n in threads:  # one team after the other: a new one first has to be spread over the processors
        ceilings = Ceilings(n, isa)
        ceilings.best("fma", "float32", rounds=100)
        rates = [f"{ceilings.best('fma', dtype, rounds=rounds) / 1e9:.1f} GFLOP/s" for dtype in ("float32", "float64")]
        for level in LEVELS:
            bytes_ = level_bytes(level) * n
            rates += [f"{ceilings.best(what, 'float32', bytes_, rounds) / 1e9:.1f} GB/s" for what in WHATS]
        for row, cell in zip(rows, [f"{n} thread{'s' if n > 1 else ''}", *rates], strict=True):
            row.append(cell)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the ceilings of this machine.")
    parser.add_argument("--threads", type=int, nargs="+", default=sorted({1, all_threads()}))
    parser.add_argument("--isa", choices=[name for name, has in native.isas().items() if has])
    options = parser.parse_args()
    print(f"{processor()}, {options.isa or native.chosen_isa()}, caches {caches()}")
    rows = table(options.threads, options.isa)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = enumerate(zip(row, widths, strict=True))
        print("  ".join(f"{cell:<{width}}" if i == 0 else f"{cell:>{width}}" for i, (cell, width) in cells))


if __name__ == "__main__":
    main()
