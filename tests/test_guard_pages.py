"""No kernel touches a byte outside of its arrays: every case once more, with arrays between unreadable pages.

Poison (harness.py) shows what is read beyond an array only if it reaches a result, and a user's memory map ends where
its file ends. Here an array ends with its page, and the next page must not be touched; or it begins with its page, and
the one before must not be; inputs lie in pages that must not be written. A kernel that does so anyway crashes, so the
calls run in a child process, which prints the case before it runs it.
"""

import ctypes
import faulthandler
import mmap
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cases import CASES, Case
from harness import inputs, is_output

from fusednet import backends
from fusednet.backends.table import KERNELS, Table

PROT_NONE, PROT_READ, PROT_READ_WRITE = 0, 1, 3
ROOM = 1 << 20  # bytes for one array; larger cases are left to harness.py
LIBC = ctypes.CDLL(None, use_errno=True) if os.name == "posix" else None


class Pages:
    """Memory for one array, with an unreadable page on both sides."""

    def __init__(self):
        self.map = mmap.mmap(-1, ROOM + 2 * mmap.PAGESIZE)
        self.whole = np.frombuffer(self.map, np.uint8)
        self.room = self.whole[mmap.PAGESIZE : mmap.PAGESIZE + ROOM]
        self._protect(-mmap.PAGESIZE, mmap.PAGESIZE, PROT_NONE)
        self._protect(ROOM, mmap.PAGESIZE, PROT_NONE)

    def _protect(self, start: int, size: int, what: int) -> None:
        address = ctypes.c_void_p(self.room.ctypes.data + start)
        if LIBC.mprotect(address, ctypes.c_size_t(size), what):
            raise OSError(ctypes.get_errno(), "mprotect failed")

    def place(self, content: np.ndarray, leading: int, at_end: bool, writable: bool) -> np.ndarray:
        """A copy of the content with rows `leading` elements apart, at the end or the beginning of the room."""
        self._protect(0, ROOM, PROT_READ_WRITE)
        rows = content.shape[0] if content.ndim == 2 else 1
        span = ((rows - 1) * leading + content.shape[-1]) * content.itemsize if content.size else 0
        start = ROOM - span if at_end else 0
        strides = (leading * content.itemsize, content.itemsize)[-content.ndim :]
        array = np.ndarray(content.shape, content.dtype, self.room, start, strides)
        array[...] = content
        if not writable:
            array.setflags(write=False)
            self._protect(0, ROOM, PROT_READ)
        return array


def call(table: Table, case: Case, dtype: str, pages: list[Pages], at_end: bool) -> None:
    signature = KERNELS[case.kernel]
    given = inputs(case, dtype)
    alias = dict([case.alias]) if case.alias else {}
    placed: dict[str, np.ndarray] = {}
    for number, argument in enumerate(signature.parameters):
        name = argument.name
        if argument.shape and name not in case.absent and name not in alias:
            shape = case.shape(argument)
            content = given.get(name, np.zeros(shape, case.dtype(argument, dtype)))
            leading = shape[-1] + (3 + number if "padded" in case.layout else 0)
            writable = is_output(argument) or name in alias.values()
            placed[name] = pages[number].place(content, leading, at_end, writable)
    placed |= {output: placed[source] for output, source in alias.items()}
    arguments = [placed.get(a.name) if a.shape else case.parameters[a.name] for a in signature.parameters]
    getattr(table, case.kernel)(*arguments)


def _fits(case: Case) -> bool:
    largest = max((np.prod(case.shape(a)) for a in KERNELS[case.kernel].parameters if a.shape), default=0)
    return largest * 8 * (3 if "padded" in case.layout else 1) + mmap.PAGESIZE < ROOM


def main(backend: str) -> None:
    faulthandler.enable()
    table = backends.select(backend)
    pages = [Pages() for _ in range(max(len(kernel.parameters) for kernel in KERNELS.values()))]
    count = 0
    for case in filter(_fits, CASES):
        for dtype in ("float32", "float64"):
            for at_end in (True, False):
                print(case, dtype, "at the end" if at_end else "at the beginning", "of a page", flush=True)
                call(table, case, dtype, pages, at_end)
                count += 1
    print(f"{count} calls on {table!r}")


pytestmark = pytest.mark.skipif(os.name != "posix", reason="no mprotect here")


def _child(*arguments: str) -> subprocess.CompletedProcess:
    path = os.pathsep.join([str(Path(backends.__file__).parents[2]), str(Path(__file__).parent)])
    environment = {**os.environ, "PYTHONPATH": path}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=environment)


def test_kernels_stay_inside_their_arrays(backend):
    if backend == "numpy":
        pytest.skip("NumPy looks after its arrays itself")
    child = _child(__file__, backend)
    last = child.stdout.splitlines()[-1:] or ["nothing"]
    assert child.returncode == 0, f"the child ended with {child.returncode} after: {last[0]}\n{child.stderr[-4000:]}"
    assert int(last[0].split()[0]) > 10_000


@pytest.mark.parametrize(
    ("at_end", "offset", "touch", "survives"),
    [
        (True, 23, "ctypes.string_at(address, 1)", True),
        (True, 24, "ctypes.string_at(address, 1)", False),
        (False, 0, "ctypes.string_at(address, 1)", True),
        (False, -1, "ctypes.string_at(address, 1)", False),
        (True, 0, "ctypes.memset(address, 1, 1)", False),
    ],
    ids=["within the end", "behind", "within the beginning", "before", "write to an input"],
)
def test_pages_catch(at_end, offset, touch, survives):
    """The tester tested."""
    child = _child(
        "-c",
        "import ctypes, numpy as np; from test_guard_pages import Pages\n"
        f"array = Pages().place(np.zeros(3), 3, {at_end}, writable=False)\n"
        f"address = array.ctypes.data + {offset}; print('ready', flush=True); {touch}; print('alive')",
    )
    assert "ready" in child.stdout
    assert ("alive" in child.stdout) == survives == (child.returncode == 0)


if __name__ == "__main__":
    main(sys.argv[1])
