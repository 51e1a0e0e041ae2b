"""Which table runs, and what is said when it cannot; instruction sets; calls from threads and from forked children.

Reads backends/__init__.py, backends/native.py and the list. What needs a fresh process has one.
"""

import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import fusednet
from fusednet import backends
from fusednet.backends import ref_numpy
from fusednet.backends.table import CHUNK, KERNELS, LIST, TYPES, Activation, Table

needs_native = pytest.mark.skipif("native" not in backends.available(), reason="no native table here")
needs_numba = pytest.mark.skipif("numba" not in backends.available(), reason="Numba is not installed here")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")


@pytest.fixture(autouse=True)
def as_before():
    """Tests leave the choice of the table as they found it."""
    before = backends._current
    yield
    backends._current = before


ONLY_THE_PATH = """
import sys
sys.meta_path[:] = [finder for finder in sys.meta_path if "Scikit" not in type(finder).__name__]
"""
"""An editable installation would be found before what is on the path."""


def fresh(program: str, path: Path | None = None, **environment: str) -> subprocess.CompletedProcess:
    """Run a program in a new interpreter, without any FUSEDNET_ variable but the given ones."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("FUSEDNET_")}
    if path is not None:
        kept["PYTHONPATH"] = str(path)
        program = ONLY_THE_PATH + program
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, env=kept | environment, timeout=120, check=False)


def without(*modules: str) -> str:
    """The beginning of a program for which these modules are not installed."""
    return "import sys\n" + "".join(f"sys.modules[{module!r}] = None\n" for module in modules)


CHOICE = "from fusednet import backends; print(backends.select())"

# ---- the choice ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", backends.available())
def test_select_by_argument(name):
    table = backends.select(name)
    assert table.backend == name
    assert backends.current() is table


@pytest.mark.parametrize("name", backends.available())
def test_select_by_environment(name, monkeypatch):
    monkeypatch.setenv("FUSEDNET_BACKEND", name)
    assert backends.select().backend == name
    other = backends.available()[0]
    assert backends.select(other).backend == other  # the argument comes first
    monkeypatch.setattr(backends, "_current", None)
    assert backends.current().backend == name


def test_select_takes_the_fastest(monkeypatch):
    monkeypatch.delenv("FUSEDNET_BACKEND", raising=False)
    assert backends.select().backend == backends.available()[0]
    monkeypatch.setenv("FUSEDNET_BACKEND", "")
    assert backends.select().backend == backends.available()[0]


def test_unknown_name_lists_the_known_ones(monkeypatch):
    before = backends.current()
    with pytest.raises(ValueError, match=r"backend is 'cuda'; known backends: native, numba, numpy"):
        backends.select("cuda")
    monkeypatch.setenv("FUSEDNET_BACKEND", "NumPy")
    with pytest.raises(ValueError, match=r"FUSEDNET_BACKEND is 'NumPy'; known backends: native, numba, numpy"):
        backends.select()
    assert backends._current is before


@needs_numba
def test_absent_native_falls_through_to_numba():
    run = fresh(without("fusednet._native") + CHOICE)
    assert run.returncode == 0 and "<numba table" in run.stdout, run.stderr


@needs_native
def test_absent_numba_does_not_matter():
    run = fresh(without("numba") + CHOICE)
    assert run.returncode == 0 and "<native table" in run.stdout, run.stderr


def test_numpy_is_what_is_left():
    run = fresh(without("fusednet._native", "numba") + CHOICE + "; print(backends.available())")
    assert run.returncode == 0 and "<numpy table" in run.stdout and "('numpy',)" in run.stdout, run.stderr


@pytest.mark.parametrize(("name", "module"), [("native", "fusednet._native"), ("numba", "numba")])
def test_absent_and_asked_for_says_what_to_type(name, module):
    for how in ("argument", "environment"):
        program = without(module) + (CHOICE if how == "environment" else CHOICE.replace("()", f"({name!r})"))
        run = fresh(program, **({"FUSEDNET_BACKEND": name} if how == "environment" else {}))
        assert run.returncode != 0
        assert re.search(rf"ImportError: the {name} backend is not installed.*pip install", run.stderr), run.stderr


@needs_native
def test_broken_native_raises_and_says_what_to_type(tmp_path):
    """A native module that cannot be loaded is an error, not a reason to be slow."""
    from fusednet import _native

    shutil.copytree(Path(fusednet.__file__).parent, tmp_path / "fusednet", ignore=shutil.ignore_patterns("__pycache__"))
    module = tmp_path / "fusednet" / Path(_native.__file__).name
    module.write_bytes(b"not a module")
    run = fresh("import fusednet; print(fusednet.__file__)", tmp_path)
    assert str(tmp_path) in run.stdout, run.stderr  # it is the copy that is imported
    run = fresh(CHOICE, tmp_path)
    assert run.returncode != 0 and "<" not in run.stdout
    for words in ("ImportError", "native backend is installed but cannot be loaded", "pip install", "FUSEDNET_BACKEND"):
        assert words in run.stderr, run.stderr
    run = fresh(CHOICE, tmp_path, FUSEDNET_BACKEND="numpy")
    assert run.returncode == 0 and "<numpy table" in run.stdout, run.stderr


@needs_native
def test_module_of_another_version_raises(tmp_path):
    """A compiled module beside a list that has changed since."""
    shutil.copytree(Path(fusednet.__file__).parent, tmp_path / "fusednet", ignore=shutil.ignore_patterns("__pycache__"))
    from fusednet import _native

    module = Path(_native.__file__)
    shutil.copy(module, tmp_path / "fusednet" / module.name)
    text = Path(LIST).read_text(encoding="utf-8")
    other = text.replace("FN_OUT1(y, n) FN_IN1(x, n) FN_INT(kind)", "FN_OUT1(y, n) FN_INT(kind) FN_IN1(x, n)", 1)
    assert other != text
    (tmp_path / "fusednet" / "backends" / "kernels.def").write_text(other, encoding="utf-8")
    run = fresh(CHOICE, tmp_path)
    assert run.returncode != 0
    assert re.search(r"ImportError.*built from another kernels.def", run.stderr, re.DOTALL), run.stderr


# ---- instruction sets ------------------------------------------------------------------------------------------------


def _supported() -> list[str]:
    if "native" not in backends.available():
        return []
    from fusednet.backends import native

    return [name for name, has in native.isas().items() if has]


@needs_native
@pytest.mark.parametrize("isa", _supported())
def test_forced_instruction_set_is_what_runs(isa):
    # the kernel's name for it comes from the compiled table, not from the variable
    run = fresh(CHOICE + "; print(backends.current().affine_fwd)", FUSEDNET_ISA=isa)
    assert f"<native table {isa}," in run.stdout, run.stderr
    assert f"<native {isa} kernel affine_fwd>" in run.stdout


@needs_native
def test_best_instruction_set_is_the_default(monkeypatch):
    from fusednet.backends import native

    monkeypatch.delenv("FUSEDNET_ISA", raising=False)
    assert native.chosen_isa() == _supported()[0]
    monkeypatch.setattr(native, "isas", lambda: {"avx512": False, "avx2": True, "scalar": True})
    assert native.chosen_isa() == "avx2"


@needs_native
def test_unknown_or_unsupported_instruction_set_lists_those_there_are(monkeypatch):
    from fusednet.backends import native

    monkeypatch.setattr(native, "isas", lambda: {"avx512": False, "avx2": True, "scalar": True})
    monkeypatch.setenv("FUSEDNET_ISA", "sse9")
    with pytest.raises(ValueError, match=r"'sse9'.*avx512, avx2, scalar.*avx2, scalar"):
        native.chosen_isa()
    monkeypatch.setenv("FUSEDNET_ISA", "avx512")
    with pytest.raises(ValueError, match=r"'avx512'.*lacks.*avx2, scalar"):
        native.chosen_isa()
    with pytest.raises(ValueError, match=r"'sse9'.*avx2, scalar"):
        native.table("sse9")


@needs_native
def test_unknown_instruction_set_is_an_error_of_select_too():
    run = fresh(CHOICE, FUSEDNET_ISA="sse9")
    assert run.returncode != 0 and "ValueError: FUSEDNET_ISA is 'sse9'" in run.stderr, run.stderr


# ---- the list --------------------------------------------------------------------------------------------------------


def test_table_with_a_hole_does_not_load():
    functions = {name: print for name in KERNELS}
    assert Table("any", functions).affine_fwd is print
    del functions["affine_fwd"]
    with pytest.raises(LookupError, match=r"the any table does not match kernels.def: missing \['affine_fwd'\]"):
        Table("any", functions)
    with pytest.raises(LookupError, match=r"not in the list \['affine_forward'\]"):
        Table("any", {**functions, "affine_fwd": print, "affine_forward": print})


@pytest.mark.parametrize("name", backends.available())
def test_every_table_has_every_kernel_of_the_list(name):
    table = backends.select(name)
    for kernel in KERNELS:
        assert callable(getattr(table, kernel))


@needs_native
def test_constants_of_the_list_agree_in_c_and_python():
    from fusednet import _native

    assert CHUNK == _native.CHUNK
    assert [kernel.number for kernel in KERNELS.values()] == list(range(len(KERNELS)))


@needs_native
@pytest.mark.parametrize("kind", Activation, ids=lambda kind: kind.name.lower())
def test_activation_codes_agree_in_c_and_python(kind):
    x = np.linspace(-3, 3, 25)
    y, expected = np.empty_like(x), np.empty_like(x)
    backends.select("native").activation_fwd(y, x, int(kind), 0.4)
    ref_numpy.table().activation_fwd(expected, x, int(kind), 0.4)
    assert np.allclose(y, expected, rtol=1e-12)


@needs_native
@pytest.mark.parametrize("type_name", TYPES)
def test_type_codes_agree_in_c_and_python(type_name):
    x = np.arange(6).reshape(2, 3).astype(type_name)
    y = np.empty((2, 3))
    backends.select("native").gather_rows(y, x, None, None, None)
    assert (y == x).all()


# ---- what the border refuses -----------------------------------------------------------------------------------------


def _refused():
    """(id, kernel, arguments, error, what it says)."""
    f, d = np.ones((3, 4), np.float32), np.ones((3, 4))
    frozen, odd = f[0].copy(), bytearray(17)
    frozen.flags.writeable = False
    table = [
        ("too few", "sum", (d[0, :1],), TypeError, r"sum takes 2 arguments \(total, x\), 1 given"),
        ("absent", "sum", (d[0, :1], None), TypeError, "sum: x may not be None"),
        ("integers", "activation_fwd", (np.ones(4, int), f[0], 1, 0.0), TypeError,
         "activation_fwd: y is int64, wanted float32 or float64"),
        ("bytes swapped", "activation_fwd", (np.ones(4, ">f4"), f[0], 1, 0.0), TypeError,
         "y is >f4, wanted float32 or float64"),
        ("two dtypes", "activation_fwd", (f[0].copy(), d[0], 1, 0.0), TypeError, "x is float64, wanted float32"),
        ("two dtypes, double first", "activation_fwd", (d[0].copy(), f[0], 1, 0.0), TypeError,
         "x is float32, wanted float64"),
        ("no number", "find_outside", (np.zeros(1, int), np.zeros(3, "M8[s]").view("V8"), 3), TypeError,
         "index is .*, wanted a native integer or floating dtype"),
        ("read-only", "activation_fwd", (frozen, f[0], 1, 0.0), ValueError, "read-only"),
        ("rank", "activation_fwd", (f.copy(), f, 1, 0.0), ValueError, "y has 2 dimensions, wanted 1"),
        ("every second", "activation_fwd", (np.ones(8, np.float32)[::2], f[0], 1, 0.0), ValueError,
         "wanted rows of contiguous elements"),
        ("unaligned", "activation_fwd", (np.frombuffer(odd, np.float32, 4, 1), f[0], 1, 0.0), ValueError,
         "y is not aligned, wanted elements at multiples of their size"),
        ("unaligned, not NumPy's", "activation_fwd", (memoryview(odd)[1:].cast("f"), f[0], 1, 0.0), ValueError,
         "y is not aligned, wanted elements at multiples of their size"),
        ("columns first", "softmax_fwd", (f.copy(order="F"), f), ValueError, "wanted rows of contiguous elements"),
        ("rows backwards", "softmax_fwd", (f.copy()[::-1], f), ValueError, "wanted rows of contiguous elements"),
        ("sizes", "softmax_fwd", (f.copy(), f[:2]), ValueError, r"y \(3, 4\) and x \(2, 4\) do not fit"),
        ("one element", "sum", (d[0], d[0]), ValueError, "sum writes one element, its output has 4"),
        ("short state", "uniform_above", (d[0].copy(), np.zeros(624, np.int32), 0.5), ValueError,
         "uniform_above draws from a state of 625 words, 624 given"),
        ("rows beyond", "gather_rows", (f.copy(), d[:2], None, None, None), ValueError,
         "gather_rows without an index reads the first 3 rows, there are 2"),
        ("labels beyond", "gather_labels", (np.zeros(3, np.int32), np.arange(2), None), ValueError,
         "gather_labels without an index reads the first 3 rows, there are 2"),
        ("chunks", "square_sums", (d[0], d[0]), ValueError, "square_sums of 4 elements .*, its output has 4"),
    ]
    return [pytest.param(*case, id=name) for name, *case in table]


@needs_native
@pytest.mark.parametrize("kernel, arguments, error, message", _refused())
def test_arrays_that_no_kernel_may_have(kernel, arguments, error, message):
    before = [a.tobytes() for a in arguments if isinstance(a, np.ndarray)]
    with pytest.raises(error, match=message):
        getattr(backends.select("native"), kernel)(*arguments)
    assert [a.tobytes() for a in arguments if isinstance(a, np.ndarray)] == before


# ---- threads and forks -----------------------------------------------------------------------------------------------


class Work:
    """A call that is worth several threads, and its right result."""

    def __init__(self, table: Table, seed: int = 0):
        rng = np.random.default_rng(seed)
        self.table = table
        self.x, self.w = rng.standard_normal((192, 160)), rng.standard_normal((160, 144))
        self.y = np.empty((192, 144))
        self.expected = self.run().copy()
        assert np.allclose(self.expected, self.x @ self.w)

    def run(self) -> np.ndarray:
        self.y[...] = np.nan
        self.table.affine_fwd(self.y, None, self.x, self.w, None, 0, 0.0, 0)
        return self.y

    def right(self) -> bool:
        if self.table.backend == "numpy":  # its BLAS promises no bits
            return np.allclose(self.run(), self.expected, rtol=1e-12)
        return self.run().tobytes() == self.expected.tobytes()


@pytest.fixture
def threads():
    """Three threads for kernels, whatever the machine has."""
    before = fusednet.get_num_threads()
    yield lambda: fusednet.set_num_threads(3)
    fusednet.set_num_threads(before)


def test_calls_from_several_python_threads_at_once(table, threads):
    threads()
    works = [Work(table, seed) for seed in range(6)]
    wrong = []

    def loop(work):
        for _ in range(40):
            if not work.right():
                wrong.append(work)

    running = [threading.Thread(target=loop, args=(work,)) for work in works]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(120)
        assert not thread.is_alive(), "calls from several threads have blocked each other"
    assert not wrong


def _status_of_child(work: Work, seconds: float = 60) -> int | None:
    """What a forked child that runs the work exits with: 0 if it was right, None if it did not come back."""
    child = os.fork()
    if child == 0:
        os._exit(0 if work.right() and work.right() else 1)
    for _ in range(int(seconds * 100)):
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_call_in_a_forked_child(table, threads):
    threads()
    work = Work(table)  # the team is there before the fork
    assert _status_of_child(work) == 0
    assert work.right()  # and in the parent it still is


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_call_in_a_child_that_was_forked_amid_calls(table, threads):
    """Another thread is inside a kernel, and may hold the team, while the process forks."""
    if table.backend == "numpy":
        pytest.skip("a fork while another thread is in OpenBLAS can hang in OpenBLAS")
    threads()
    busy, work = Work(table, 1), Work(table, 2)
    stop, wrong = threading.Event(), []

    def loop():
        while not stop.is_set():
            if not busy.right():
                wrong.append(busy)

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        assert [_status_of_child(work) for _ in range(8)] == [0] * 8
    finally:
        stop.set()
        thread.join(60)
    assert not wrong and not thread.is_alive()


def test_number_of_threads_changes_between_calls(table):
    work = Work(table)
    before = fusednet.get_num_threads()
    try:
        for number in (1, 4, 2, 3, 1, 2):
            fusednet.set_num_threads(number)
            assert work.right()
    finally:
        fusednet.set_num_threads(before)


SIGNAL_IN_A_PREDICTION = """
import os, signal, time
import numpy as np
import fusednet as fn
from fusednet import backends, predictor
backends.select("native")
fn.set_num_threads(3)
predictor.SECONDS = 0.0  # signals are looked for again and again within a call
model = fn.Sequential([fn.Dense(512, activation="relu") for _ in range(4)])
model.build(512)
x = np.ones((4096, 512), np.float32)
right = model.predict(x)
children = []
def answer(number, frame):
    children.append(os.fork())
signal.signal(signal.SIGALRM, answer)
while not children:
    signal.setitimer(signal.ITIMER_REAL, 0.003)
    out = model.predict(x)
    signal.setitimer(signal.ITIMER_REAL, 0)
assert (out == right).all()
if children[0] == 0:
    fn.set_num_threads(2)
    assert (model.predict(x) == right).all()
    fn.set_num_threads(1)  # which ends the other threads, because nobody is at work
    for _ in range(1000):  # a thread that was joined is listed until the kernel has put it away
        if len(os.listdir("/proc/self/task")) == 1:
            os._exit(0)
        time.sleep(0.01)
    os._exit(1)
status = os.waitstatus_to_exitcode(os.waitpid(children[0], 0)[1])
assert status == 0, status
"""


@needs_native
@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="the threads of a process are not to be seen here")
def test_a_fork_by_a_signal_handler_in_a_prediction():
    for _ in range(3):  # the signal may have come before the prediction or after it
        done = fresh("import warnings; warnings.simplefilter('ignore')" + SIGNAL_IN_A_PREDICTION)
        assert done.returncode == 0, done.stderr


SIGNAL_TO_THE_PROCESS = """
import os, signal
import numpy as np
from fusednet import _native, backends
table = backends.select("native")
_native.set_threads(3)
_native.force_parts(3)
before = len(os.listdir("/proc/self/task"))
table.softmax_fwd(np.empty((64, 8)), np.zeros((64, 8)))
assert len(os.listdir("/proc/self/task")) == before + 2
assert not signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})  # what the caller had blocked is as before
for _ in range(20):
    os.kill(os.getpid(), signal.SIGUSR1)
    assert signal.sigtimedwait({signal.SIGUSR1}, 60).si_signo == signal.SIGUSR1
"""


@needs_native
@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="the threads of a process are not to be seen here")
def test_signals_are_not_for_the_team():
    """A program may block one everywhere, as it thinks, and wait for it in one place."""
    done = fresh(SIGNAL_TO_THE_PROCESS, OPENBLAS_NUM_THREADS="1", FUSEDNET_BACKEND="native")
    assert done.returncode == 0, (done.returncode, done.stderr)


NO_KEYS = """
import ctypes, hashlib
import numpy as np
from fusednet import _native, backends
library, key = ctypes.CDLL(None), ctypes.c_uint()
while library.pthread_key_create(ctypes.byref(key), None) == 0:
    pass
try:
    backends.select("native").softmax_fwd(np.empty((2, 2)), np.zeros((2, 2)))
except MemoryError as error:
    print(error)
"""


@needs_native
@pytest.mark.skipif(sys.platform != "linux", reason="how many keys there are is the system's")
def test_without_a_key_for_scratch():
    """The scratch of a thread would be in the place of what another library keeps there."""
    done = fresh(NO_KEYS, FUSEDNET_BACKEND="native")
    assert done.returncode == 0 and "no memory for a kernel's scratch" in done.stdout, done.stderr
