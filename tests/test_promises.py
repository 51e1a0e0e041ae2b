"""What is promised of a training besides its result: no Python per batch, no allocation, flat memory, Ctrl-C, company.

Reads fits.py. What has to be measured from outside (allocations, memory, signals) runs in processes of its own.

a) No test asserts a speed. Where a time is the promise (Ctrl-C), the bound is far above it and the figure is printed
   (``pytest -s``).
b) Allocations are counted by a library that is compiled here and stands before the C library's own; without a C
   compiler or glibc the test is skipped.
"""

import json
import multiprocessing
import os
import platform
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from fits import blobs, classifier, train_seed

import fusednet as fn
from fusednet import runner

HERE = str(Path(__file__).parent)
WAKE_UPS = 50
"""Native calls per second that are allowed: they come back every 50 ms, and a few are short at the beginning."""


@pytest.fixture
def two_threads():
    before = fn.get_num_threads()
    fn.set_num_threads(2)
    yield
    fn.set_num_threads(before)


@pytest.fixture
def calls(monkeypatch):
    """The numbers of steps that native calls were asked for."""
    counted = []

    class Counting:
        def __init__(self, run):
            self.run = run

        def advance(self, table, seconds):
            counted.append(len(table))
            return self.run.advance(table, seconds)

        def __getattr__(self, name):
            return getattr(self.run, name)

    make = runner.Runner._make

    def counting(self, *arguments):
        make(self, *arguments)
        self._run = Counting(self._run)

    monkeypatch.setattr(runner.Runner, "_make", counting)
    return counted


def tiny():
    """The smallest job on which libraries are compared, and its data: 4 features, 16 units, 3 classes."""
    rng = np.random.default_rng(0)
    model = fn.Sequential([fn.Dense(16, activation="relu"), fn.Dense(3)], seed=0)
    model.compile(fn.SGD(0.01), "sparse_categorical_crossentropy")
    return model, rng.standard_normal((4096, 4), np.float32), rng.integers(0, 3, 4096)


def test_no_python_per_batch(calls):
    model, x, y = tiny()
    began = time.perf_counter()
    model.fit(x, y, batch_size=16, epochs=1000)
    seconds = time.perf_counter() - began
    print(f"\n1,000 epochs of 256 steps: {len(calls)} native calls in {seconds:.2f} s")
    assert model.step == 256_000 and len(model.history.epoch) == 1000
    assert len(calls) < 30 + WAKE_UPS * seconds
    assert sum(calls) >= 256_000


def test_callbacks_say_how_often_python_runs(calls, tmp_path):
    model, x, y = tiny()
    given = dict(batch_size=16, epochs=4)
    model.fit(x, y, callbacks=[fn.EarlyStopping("loss")], **given)
    assert len(calls) < 30
    calls.clear()
    model.fit(x, y, callbacks=[fn.BackupAndRestore(tmp_path / "backup", save_freq=10**6)], **given)
    assert len(calls) < 30
    calls.clear()
    model.fit(x, y, callbacks=[fn.LambdaCallback(on_train_batch_end=lambda batch, logs: None)], **given)
    assert len(calls) == 1024 and set(calls) == {1}


# ---- allocations -----------------------------------------------------------------------------------------------------

COUNTER = r"""
#define _GNU_SOURCE
#include <errno.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>
extern void *__libc_malloc(size_t), *__libc_calloc(size_t, size_t), *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);
static long count;
static void one(void) { __atomic_fetch_add(&count, 1, __ATOMIC_RELAXED); }
long allocations(void) { return __atomic_load_n(&count, __ATOMIC_RELAXED); }
void *malloc(size_t n) { one(); return __libc_malloc(n); }
void *calloc(size_t n, size_t m) { one(); return __libc_calloc(n, m); }
void *realloc(void *p, size_t n) { one(); return __libc_realloc(p, n); }
void *aligned_alloc(size_t a, size_t n) { one(); return __libc_memalign(a, n); }
void *memalign(size_t a, size_t n) { one(); return __libc_memalign(a, n); }
int posix_memalign(void **p, size_t a, size_t n) { one(); *p = __libc_memalign(a, n); return *p ? 0 : ENOMEM; }
void *mmap(void *p, size_t n, int prot, int flags, int fd, off_t at)
{
    one();
    return (void *)syscall(SYS_mmap, p, n, prot, flags, fd, at);
}
"""

COUNTED = """
import ctypes, json, mmap, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
import fusednet as fn
from fusednet import runner
from fits import blobs

count = ctypes.CDLL(None).allocations
count.restype = ctypes.c_long
seen = []

class Counting:
    def __init__(self, run):
        self.run = run
    def advance(self, table, seconds):
        before = count()
        answer = self.run.advance(table, 1e9)
        after = count()
        if extra:
            kept.append(np.empty(100_000))
            after = count()
        seen.append((len(table), after - before))
        return answer
    def __getattr__(self, name):
        return getattr(self.run, name)

def make(self, *arguments, made=runner.Runner._make):
    made(self, *arguments)
    self._run = Counting(self._run)

runner.Runner._make = make
fn.set_num_threads(int(sys.argv[2]))
extra, kept = bool(int(sys.argv[3])), []
x, y = blobs(1000, 64, 8)
layers = [fn.Normalization(), fn.Dense(256), fn.BatchNormalization(), fn.ReLU(), fn.Dropout(0.3),
          fn.Dense(256, activation="gelu", kernel_regularizer=fn.L1L2(1e-5, 1e-5)), fn.Dense(8)]
model = fn.Sequential(layers, seed=0)
model.compile(fn.AdamW(fn.CosineDecay(1e-3, 2000), weight_decay=0.01, global_clipnorm=1.0, use_ema=True),
              "sparse_categorical_crossentropy", ["accuracy"])
model.fit(x, y, batch_size=96, epochs=70, sample_weight=np.linspace(0.5, 2, 1000))
print(json.dumps(seen))
"""


@pytest.fixture(scope="module")
def counter(tmp_path_factory):
    """The library that counts, compiled."""
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if sys.platform != "linux" or platform.libc_ver()[0] != "glibc" or compiler is None:
        pytest.skip("wants a C compiler and glibc")
    folder = tmp_path_factory.mktemp("counter")
    (folder / "count.c").write_text(COUNTER)
    command = [compiler, "-O1", "-w", "-shared", "-fPIC", "-fno-builtin", "-o", "count.so", "count.c"]
    made = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"the compiler here makes no shared library: {made.stderr[:200]}")
    return folder / "count.so"


@pytest.mark.skipif("native" not in fn.backends.available(), reason="of the native engine")
@pytest.mark.parametrize("threads", [1, 2])
def test_no_allocation_in_the_steady_state(counter, threads):
    def counts(extra):
        environment = {**os.environ, "LD_PRELOAD": str(counter), "FUSEDNET_BACKEND": "native"}
        arguments = [sys.executable, "-c", COUNTED, HERE, str(threads), str(extra)]
        done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    first, *rest = counts(0)
    assert [steps for steps, _ in rest][:2] == [128, 256]  # with ends of passes and epochs inside
    assert [allocations for _, allocations in rest] == [0] * len(rest)
    assert first[1] < 20  # scratch of the threads
    assert all(allocations > 0 for _, allocations in counts(1))


# ---- memory ----------------------------------------------------------------------------------------------------------

FLAT = """
import gc, os, sys, tracemalloc
sys.path.insert(0, sys.argv[1])
import fusednet as fn
from fits import blobs, full
x, y = blobs()
times, leak, kept = int(sys.argv[2]), int(sys.argv[3]), []

def once(model, i):
    if i % 4:
        model.fit(x, y, epochs=2)
    else:
        rows = 60 + i % 3
        model.fit(x[:rows], y[:rows], batch_size=16, epochs=2, validation_split=0.2,
                  callbacks=[fn.EarlyStopping(patience=3, restore_best_weights=True)])
        model.predict(x[:rows])
        model.evaluate(x, y)
    kept.append(bytearray(leak))

def resident():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

def growth(measure, times, warm):
    same = full()
    sizes = []
    for i in range(warm + times):
        once(full(seed=i) if i % 8 < 2 else same, i)
        if i + 1 in (warm, warm + times):
            sizes.append(measure())
    return sizes[1] - sizes[0]

def traced():
    gc.collect()
    return tracemalloc.get_traced_memory()[0]

grown = growth(resident, times, 120)
tracemalloc.start()
print(grown, growth(traced, times // 10, 100))
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="reads /proc")
def test_memory_is_flat_over_a_thousand_fits():
    def grown(times, leak):
        arguments = [sys.executable, "-c", FLAT, HERE, str(times), str(leak)]
        done = subprocess.run(arguments, capture_output=True, text=True, check=True)
        return [int(number) for number in done.stdout.split()]

    resident, traced = grown(1000, 0)
    print(f"\n1,000 calls of fit: {resident / 1e6:+.2f} MB resident; 100: {traced / 1e3:+.1f} kB of Python's")
    assert resident < 3_000_000 and traced < 50_000
    resident, traced = grown(120, 50_000)
    assert resident > 3_000_000 and traced > 50_000


# ---- Ctrl-C ----------------------------------------------------------------------------------------------------------

INTERRUPTED = """
import json, sys, time
import numpy as np
import fusednet as fn
widths, batch, rows, options = json.loads(sys.argv[1])
rng = np.random.default_rng(0)
x, y = rng.standard_normal((rows, widths[0]), np.float32), rng.integers(0, widths[-1], rows)

def make():
    layers = [fn.Dense(width, activation="relu") for width in widths[1:-1]]
    model = fn.Sequential([*layers, fn.Dense(widths[-1])], seed=0, **options)
    model.compile("adam", "sparse_categorical_crossentropy")
    return model

model, other = make(), make()
model.build(widths[0])
other.build(widths[0])
said = []
tell = fn.LambdaCallback(on_train_progress=lambda *_: said or said.append(print("begins", flush=True)))
try:
    model.fit(x, y, batch_size=batch, epochs=10**6, callbacks=[tell])
except KeyboardInterrupt:
    stopped = time.monotonic()
began, steps = time.perf_counter(), model.step
if steps:
    other.fit(x, y, batch_size=batch, epochs=1, steps_per_epoch=steps)
step = (time.perf_counter() - began) / max(1, steps)
per_epoch, history = -(-rows // batch), model.history
consistent = len(history.epoch) == len(history.history.get("loss", [])) == steps // per_epoch
print(json.dumps([stopped, steps, step, consistent and bool(history.unfinished) == (steps % per_epoch > 0),
                  model.memory.params.tobytes() == other.memory.params.tobytes()]))
"""


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
@pytest.mark.parametrize("delay", [0.3, 0.71])
@pytest.mark.parametrize("job", ["small", "wide"])
def test_ctrl_c_stops_soon_and_after_a_whole_step(job, delay):
    arguments = {"small": ((4, 16, 3), 16, 4096, {}), "wide": ((1024, 2048, 2048, 2048, 1000), 512, 1536, {})}[job]
    command = [sys.executable, "-c", INTERRUPTED, json.dumps(arguments)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "begins\n"
    time.sleep(delay)
    sent = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    stopped, steps, step, consistent, same = json.loads(out)
    print(f"\n{job}: stopped after {1e3 * (stopped - sent):.0f} ms, {steps} steps of {1e3 * step:.3g} ms")
    assert stopped - sent < 2 and consistent and same


# ---- company ---------------------------------------------------------------------------------------------------------


def test_two_python_threads_train_as_one_alone(two_threads):
    alone, together = {seed: train_seed(seed) for seed in range(3)}, {}
    workers = [threading.Thread(target=lambda s=seed: together.update({s: train_seed(s)})) for seed in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert together == alone and len(set(alone.values())) == 3


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_trains_too(two_threads):
    wanted = train_seed(0)  # the team is there when the process forks
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if train_seed(0) == wanted else 3
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert train_seed(0) == wanted


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_forked_while_another_thread_trains(two_threads):
    wanted, stop = train_seed(0), []
    model, x, y = tiny()
    ask = fn.LambdaCallback(on_epoch_end=lambda epoch, logs: setattr(model, "stop_training", bool(stop)))
    worker = threading.Thread(target=lambda: model.fit(x, y, epochs=10**6, callbacks=[ask]))
    worker.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            code = 1
            try:
                code = 0 if train_seed(0) == wanted else 3
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        stop.append(1)
        worker.join()


@pytest.mark.parametrize("start", ["spawn", "forkserver"])
def test_worker_processes_train_as_one_alone(start):
    if start not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {start} here")
    with multiprocessing.get_context(start).Pool(2) as pool:
        assert pool.map(train_seed, range(3)) == [train_seed(seed) for seed in range(3)]


def test_batches_of_ever_other_sizes_are_not_all_remembered():
    model, (x, y) = classifier(), blobs(300)
    for rows in range(1, 300):
        model.train_on_batch(x[:rows], y[:rows])
        model.predict(x[:rows])
    assert len(model._plans) <= 64


def test_two_models_take_turns():
    x, y = blobs()
    one, two, alone = classifier(), classifier(seed=9), classifier()
    for epoch in range(1, 4):
        one.fit(x, y, epochs=epoch, resume=True)
        two.fit(x, y, epochs=epoch, resume=True)
    alone.fit(x, y, epochs=3)
    assert one.memory.params.tobytes() == alone.memory.params.tobytes()


# ---- the number of threads changed while a training runs ------------------------------------------------------------


def _layered(callbacks=()):
    x = np.random.default_rng(0).standard_normal((1024, 256)).astype(np.float32)
    model = fn.Sequential([fn.Dense(256, "relu"), fn.Dense(4)], seed=0)
    model.compile("sgd", "mse")
    model.fit(x, x[:, :4], batch_size=512, epochs=30, callbacks=list(callbacks))
    return model.get_weights()


def test_threads_changed_within_a_training_change_no_bit():
    before = fn.get_num_threads()
    try:
        fn.set_num_threads(2)
        expected = _layered()
        change = fn.LambdaCallback(on_epoch_end=lambda epoch, logs: fn.set_num_threads(1 + epoch % 3))
        found = _layered([change])
    finally:
        fn.set_num_threads(before)
    assert all((a == b).all() for a, b in zip(expected, found, strict=True))


def test_threads_changed_by_another_thread_of_python_change_no_bit():
    before, over = fn.get_num_threads(), threading.Event()
    expected = _layered()

    def change():
        number = 0
        while not over.is_set():
            number += 1
            fn.set_num_threads(1 + number % 3)

    other = threading.Thread(target=change)
    other.start()
    try:
        found = _layered()
    finally:
        over.set()
        other.join()
        fn.set_num_threads(before)
    assert all((a == b).all() for a, b in zip(expected, found, strict=True))
