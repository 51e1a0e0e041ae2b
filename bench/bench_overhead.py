"""What the door costs: a call through fusednet.ops on 16 x 16 arrays, over the kernels that it calls; and the import.

a) Which kernels an op calls, and with what, is recorded from a call of it, so nothing here repeats it.
b) The difference is what checks, conversions and allocating the results cost.
"""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
from timing import batch, enough

from fusednet import backends, ops
from fusednet.backends.table import NO_MAKERS

MOST_SECONDS = 2e-6
"""Wanted most over the kernels."""
MOST_IMPORT_SECONDS = 0.05
"""Wanted most over `import numpy`."""
SIDE = 16


def _calls() -> dict[str, tuple[tuple, dict]]:
    """For every public op its arguments, all arrays as they should be."""
    rng = np.random.default_rng(0)

    def normal(*shape):
        return rng.standard_normal(shape or (SIDE, SIDE)).astype(np.float32)

    x, dy, w = normal(), normal(), normal()
    saved = np.abs(normal()) % 1
    column, mean = normal(SIDE), normal(SIDE)
    var = np.abs(normal(SIDE)) + 1
    labels = rng.integers(0, SIDE, SIDE).astype(np.int32)
    calls = {
        "affine": ((x, w, column, "relu"), {}),
        "affine_backward": ((dy, x, w), {"input_activation": "relu"}),
        "linear": ((x,), {}),
        "linear_backward": ((dy,), {}),
        "softmax": ((x,), {}),
        "softmax_backward": ((dy, saved), {}),
        "batch_norm": ((x, column, column, mean.copy(), var.copy()), {"activation": "relu"}),
        "batch_norm_inference": ((x, column, column, mean, var), {"activation": "relu"}),
        "batch_norm_backward": ((dy, x, column, mean, var), {"activation": "relu", "saved": saved}),
        "dropout": ((x, 0.3, 1), {}),
        "dropout_backward": ((dy, 0.3, 1), {}),
        "softmax_cross_entropy": ((x, labels), {}),
        "sigmoid_cross_entropy": ((x, saved), {}),
        "squared_error": ((x, dy), {}),
        "absolute_error": ((x, dy), {}),
        "huber": ((x, dy), {}),
        "pinball_loss": ((x, dy), {}),
        "poisson_loss": ((x, saved), {}),
        "count_correct": ((x, labels), {}),
        "accuracy": ((x, labels), {}),
        "binary_accuracy": ((saved, (dy > 0).astype(np.float32)), {}),
        "sum_of_squares": ((x,), {}),
        "global_norm": (([x, dy, w],), {}),
        "take_rows": ((x, labels.astype(np.int64)), {"shift": column, "scale": var}),
    }
    for name in ("relu", "leaky_relu", "elu", "selu", "sigmoid", "tanh", "swish", "silu", "softplus", "gelu"):
        calls[name] = (x,), {}
        calls[f"{name}_backward"] = (dy, saved), {}
    g = normal() * np.float32(1e-3)
    for name, states in (("sgd", 0), ("momentum", 1), ("nesterov", 1), ("adagrad", 1), ("rmsprop", 1)):
        calls[f"{name}_step"] = (normal(), *(np.abs(normal()) for _ in range(states)), g, 1e-3), {}
    for name in ("adam_step", "adamw_step"):
        calls[name] = (normal(), normal(), np.abs(normal()), g, 1), {}
    return calls


class _Recorder:
    """A table that writes down what is called."""

    def __init__(self, table):
        self.table, self.backend, self.isa, self.calls = table, table.backend, table.isa, []
        self.made = SimpleNamespace(**NO_MAKERS)  # the door's; without them it calls the kernels one by one

    def __getattr__(self, name):
        function = getattr(self.table, name)

        def record(*arguments):
            self.calls.append((function, arguments))
            function(*arguments)

        return record


def kernels_of(name: str, arguments: tuple, options: dict) -> list[tuple]:
    """The kernel calls, as (function, arguments), that an op makes."""
    table = backends.current()
    recorder = _Recorder(table)
    backends._current = recorder
    try:
        getattr(ops, name)(*arguments, **options)
    finally:
        backends._current = table
    return recorder.calls


def overheads(rounds: int = 40, seconds: float = 0.0005) -> dict[str, tuple[float, float, int]]:
    """By op: seconds of the op, seconds of its kernels, and how many kernels they are; best of several rounds in turns.

    Raises
    ------
    LookupError
        If a public op is not among those timed.
    """
    calls = _calls()
    missing = set(ops.__all__) ^ set(calls)
    if missing:
        raise LookupError(f"timed here and public are not the same: {sorted(missing)}")
    results = {}
    for name, (arguments, options) in sorted(calls.items()):
        function = getattr(ops, name)
        kernels = kernels_of(name, arguments, options)

        def op(function=function, arguments=arguments, options=options):
            function(*arguments, **options)

        def all_kernels(kernels=kernels):
            for kernel, given in kernels:
                kernel(*given)

        def nothing(kernels=kernels):
            for _kernel, _given in kernels:
                pass

        def empty():
            pass

        timed = (op, all_kernels, nothing, empty)
        numbers = [enough(function, (), seconds) for function in timed]
        best = [min(times) for times in zip(
            *([batch(f, (), n) for f, n in zip(timed, numbers, strict=True)] for _ in range(rounds)), strict=True
        )]
        results[name] = best[0] - best[3], best[1] - best[2], len(kernels)
    return results


def import_seconds(statement: str = "import fusednet", runs: int = 10) -> float:
    """What a statement costs in a fresh interpreter after `import numpy`; the best of several runs."""
    program = f"import time, numpy; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"
    return min(
        float(subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout)
        for _ in range(runs)
    )


def pytest_generate_tests(metafunc):
    metafunc.parametrize("name", sorted(_calls()))


def bench_overhead(benchmark, name):
    """The op itself; `over_kernels_us` of extra_info is what it costs over its kernels."""
    arguments, options = _calls()[name]
    kernels = kernels_of(name, arguments, options)
    benchmark(lambda: getattr(ops, name)(*arguments, **options))
    inner = sum(min(batch(f, given, enough(f, given, 1e-3)) for _ in range(5)) for f, given in kernels)
    if benchmark.stats:
        benchmark.extra_info["over_kernels_us"] = round((benchmark.stats["min"] - inner) * 1e6, 3)
