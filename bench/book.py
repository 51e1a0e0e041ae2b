"""How fast the book's style of training is here, beside plain NumPy: the same steps, the same data, the same threads.

`python bench/book.py` prints a table for one thread and for all; `--only WORD` takes the jobs with it in their names.
Reads tests/book_reference.py, which is plain NumPy and takes the steps that from-scratch code takes.

a) The job is the book's: 784-100x5-10 with batch normalisation, batch 100, rows of numbers in [0, 1).
b) NumPy works in float64, as the book does; so its time stands against ours in float64 and in float32.
c) Both take turns; the best of the turns counts, the spread is told beside it. Threads are limited for both alike.
d) The loss after the steps stands beside the speed of trainings: in float64 it is the same.
"""

import argparse
import gc
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import threadpoolctl

import fusednet as fn
from fusednet import book
from fusednet.book import layers, optimizer
from fusednet.book.multi_layer_net_extend import MultiLayerNetExtend
from fusednet.book.trainer import Trainer

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
import book_reference as reference

SIZES = [784, 100, 100, 100, 100, 100, 10]
BATCH, ROWS, STEPS, TRAINER_STEPS = 100, 5000, 100, 500
PAUSE = 0.05
"""Seconds before a turn: the threads of NumPy's BLAS spin on for some hundredths, on the processors that we need."""
LAYER_BATCHES = (1, 10, 100, 1000)


@dataclass
class Job:
    """Ours and NumPy's way of doing the same; both return a loss or None.

    Attributes
    ----------
    name, dtype : str
    ours, numpy : callable
    wanted : float
        How many times as fast ours has to be.
    number : int
        Calls in a turn.
    """

    name: str
    dtype: str
    ours: Callable
    numpy: Callable
    wanted: float
    number: int = 1


def data(dtype: str):
    rng = np.random.default_rng(0)
    x = rng.random((ROWS, SIZES[0]))
    labels = (x[:, :50] @ rng.standard_normal((50, 10))).argmax(axis=1)
    return x.astype(dtype), labels


def loop(network, rule, x, t):
    """A user's own loop: drawn batch, gradient, update."""

    def steps():
        for _ in range(STEPS):
            rows = np.random.choice(ROWS, BATCH)
            rule.update(network.params, network.gradient(x[rows], t[rows]))
        return network.loss(x[:1000], t[:1000])

    return steps


def ours(dtype: str):
    book.set_dtype(dtype)
    np.random.seed(0)
    network = MultiLayerNetExtend(SIZES[0], SIZES[1:-1], SIZES[-1], use_batchnorm=True)
    book.set_dtype("float64")
    return network


def numpys():
    np.random.seed(0)
    return reference.Network(SIZES, batch_norm=True)


def trainings():
    for dtype, own_loop, trainer, update in (("float64", 4, 6, 6), ("float32", 8, 12, 6)):
        x, t = data(dtype)
        x64 = data("float64")[0]
        network, plain = ours(dtype), numpys()
        rule, plain_rule = optimizer.Adam(), reference.Optimizer("adam")
        yield Job("gradient + update", dtype, loop(network, rule, x, t), loop(plain, plain_rule, x64, t), own_loop)
        fast = Trainer(ours(dtype), x, t, x[:1], t[:1], epochs=TRAINER_STEPS * BATCH / ROWS, mini_batch_size=BATCH,
                       optimizer="adam", optimizer_param={"lr": 0.001}, evaluate_sample_num_per_epoch=1, verbose=False)
        trained, trained_rule = numpys(), reference.Optimizer("adam")

        def ours_whole(fast=fast):
            fast.train()
            return fast.train_loss_list[-1]

        def numpy_whole(network=trained, rule=trained_rule, x=x64, t=t):
            return reference.train(network, rule, x, t, TRAINER_STEPS, BATCH)[-1]

        yield Job("Trainer", dtype, ours_whole, numpy_whole, trainer)
        grads, plain_grads = network.gradient(x[:BATCH], t[:BATCH]), plain.gradient(x64[:BATCH], t[:BATCH])
        yield Job("update (Adam)", dtype, lambda n=network, r=rule, g=grads: r.update(n.params, g),
                  lambda n=plain, r=plain_rule, g=plain_grads: r.update(n.params, g), update, 50)


def _passes(layer, *inputs):
    """Forward and backward of one of our layers."""

    def run():
        y = layer.forward(*inputs)
        layer.backward(y if isinstance(y, np.ndarray) else 1)

    return run


def _back(function, *inputs):
    """Forward and backward of one of NumPy's."""
    y, way, *_ = function(*inputs)
    way(y)


def _softmax_with_loss(z, t):
    y = reference.softmax(z)
    loss = -np.sum(np.log(y[np.arange(len(y)), t] + 1e-7)) / len(y)
    d = y.copy()
    d[np.arange(len(y)), t] -= 1
    return loss, d / len(y)


def single_layers():
    rng = np.random.default_rng(0)
    for batch in LAYER_BATCHES:
        number = max(10, 20000 // batch // 10)
        x, w, b = rng.standard_normal((batch, 100)), rng.standard_normal((100, 100)) / 10, np.zeros(100)
        gamma, beta = np.ones(100), np.zeros(100)
        t = rng.integers(0, 100, batch)

        pairs = {
            "Affine": (layers.Affine(w, b), partial(_back, reference.affine, x, w, b, {}, 1)),
            "Relu": (layers.Relu(), partial(_back, reference.relu, x)),
            "Sigmoid": (layers.Sigmoid(), partial(_back, reference.sigmoid, x)),
            "Dropout": (layers.Dropout(), partial(_back, reference.dropout, x, 0.5)),
            "BatchNormalization": (layers.BatchNormalization(gamma, beta),
                                   partial(_back, reference.batch_norm, x, gamma, beta, {}, 1)),
        }
        for name, (layer, numpy) in pairs.items():
            yield Job(f"{name} @{batch}", "float64", _passes(layer, x), numpy, 1, number)
        yield Job(f"SoftmaxWithLoss @{batch}", "float64", _passes(layers.SoftmaxWithLoss(), x, t),
                  lambda x=x, t=t: _softmax_with_loss(x, t), 1, number)


def measure(job: Job, rounds: int) -> tuple[list[float], list[float], tuple]:
    """Seconds of a call of ours and of NumPy's, in turns, and the losses after the last."""
    taken, losses = ([], []), [None, None]
    gc.disable()
    for turn in range(rounds + 1):
        for which, run in enumerate((job.ours, job.numpy)):
            np.random.seed(turn)
            time.sleep(PAUSE)
            run()
            begin = time.perf_counter()
            for _ in range(job.number):
                losses[which] = run()
            if turn:
                taken[which].append((time.perf_counter() - begin) / job.number)
    gc.enable()
    return *taken, tuple(losses)


def line(job: Job, rounds: int) -> tuple[str, bool]:
    """A line of the table, and whether what is wanted is reached."""
    mine, numpy, losses = measure(job, rounds)
    ratio = min(numpy) / min(mine)
    per = {"gradient + update": STEPS, "Trainer": TRAINER_STEPS}.get(job.name, 1)
    spread = statistics.median(mine) / min(mine) - 1
    words = [f"{job.name:24} {job.dtype:8}", f"{min(mine) / per * 1e6:9.1f} us +{spread:4.0%}",
             f"{min(numpy) / per * 1e6:9.1f} us", f"{ratio:6.2f}x", f"wanted {job.wanted:g}x"]
    good = round(ratio, 2) >= job.wanted
    words.append("PASS" if good else "MISS")
    if isinstance(losses[0], float):
        words.append(f"loss {losses[0]:.9f} / {losses[1]:.9f}")
    return "  ".join(words), good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=None, help="only so many; default 1 and all processors")
    options = parser.parse_args()
    counts = [options.threads] if options.threads else sorted({1, fn.get_num_threads()})
    missed = 0
    for threads in counts:
        fn.set_num_threads(threads)
        with threadpoolctl.threadpool_limits(threads):
            print(f"---- {threads} thread{'s' * (threads > 1)}: ours, NumPy")
            for job in (*trainings(), *single_layers()):
                if options.only in job.name:
                    text, good = line(job, options.rounds)
                    missed += not good
                    print(text, flush=True)
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
