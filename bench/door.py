"""What a call costs beside its work: predictions from array to array, and trainings that are over at once.

`python bench/door.py [--threads N] [--seconds S]` prints a table. Reads fusednet.bench.

a) What a call is held against takes turns with it: for predictions plain NumPy, and for one row of a large network the
   time in which its weights can be read, at the rate that is measured of the level of memory that holds them.
b) A figure is of a millisecond of calls; the fastest counts, and how far the median is above it stands beside it.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

import fusednet as fn
from fusednet.bench import ceilings, text
from fusednet.bench.floor import level

TINY, LARGE = (4, 16, 3), (784, 512, 512, 10)
ROUND = 0.001


def network(widths: tuple[int, ...]) -> fn.Sequential:
    """ReLU layers and a softmax."""
    hidden = [fn.Dense(units, activation="relu") for units in widths[1:-1]]
    model = fn.Sequential([*hidden, fn.Dense(widths[-1], activation="softmax")], seed=0)
    model.compile(fn.SGD(0.01), "sparse_categorical_crossentropy")
    model.build(widths[0])
    return model


def plain(model: fn.Sequential, x: np.ndarray) -> Callable[[], np.ndarray]:
    """The same outputs by NumPy."""
    weights = model.get_weights()
    *hidden, (last, bias) = list(zip(weights[::2], weights[1::2], strict=True))

    def call():
        a = x
        for w, b in hidden:
            a = np.maximum(a @ w + b, 0)
        z = a @ last + bias
        z = np.exp(z - z.max(axis=1, keepdims=True))
        return z / z.sum(axis=1, keepdims=True)

    return call


def timed(call: Callable, number: int) -> float:
    begin = time.perf_counter()
    for _ in range(number):
        call()
    return (time.perf_counter() - begin) / number


def in_turns(calls: dict[str, Callable[[], float]], seconds: float) -> dict[str, list[float]]:
    """What each says, round by round."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(next(iter(found.values()))) < 3:
        for name, call in calls.items():
            found[name].append(call())
    return found


def rounds_of(call: Callable) -> Callable[[], float]:
    """Times of so many calls as take a millisecond."""
    call()
    number = max(1, int(ROUND / min(timed(call, 3) for _ in range(3))))

    def measured():
        timed(call, number // 10 + 1)  # the caches are its own again
        return timed(call, number)

    return measured


def weights_read(model: fn.Sequential, threads: int) -> tuple[str, Callable[[], float]]:
    """The level of memory that holds the weights, and what gives the seconds in which they are read."""
    nbytes = model.memory.params.nbytes
    at, probe = level(nbytes, threads), ceilings.Ceilings(threads)
    return at, lambda: nbytes / probe.rate("read", "float32", ceilings.level_bytes(at) * threads)


def predictions(threads: int, seconds: float) -> list[list[str]]:
    table = [["predict", "time", "median", "NumPy", "times", "weights read", "of it"]]
    for widths, rows in ((TINY, 1), (TINY, 10_000), (LARGE, 1), (LARGE, 10_000)):
        model = network(widths)
        x = np.random.default_rng(0).standard_normal((rows, widths[0]), np.float32)
        call, same = lambda model=model, x=x: model.predict(x), plain(model, x)
        np.testing.assert_allclose(call(), same(), rtol=1e-3, atol=1e-6)
        calls = {"ours": rounds_of(call), "NumPy": rounds_of(same)}
        if rows == 1 and widths == LARGE and ceilings.can_probe():
            at, calls["read"] = weights_read(model, threads)
        found = in_turns(calls, seconds)
        ours, numpy = min(found["ours"]), min(found["NumPy"])
        row = [f"{'-'.join(map(str, widths))}, {rows:,}", text.seconds(ours),
               f"+{statistics.median(found['ours']) / ours - 1:.0%}", text.seconds(numpy), f"{numpy / ours:.2f}x"]
        read = min(found.get("read", [0.0]))
        table.append(row + ([f"{text.seconds(read)} ({at})", f"{ours / read:.2f}x"] if read else ["", ""]))
    return table


def trainings(seconds: float) -> list[list[str]]:
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((4096, TINY[0]), np.float32), rng.integers(0, TINY[-1], 4096)
    model, kept, changing = (network(TINY) for _ in range(3))

    def first():
        network(TINY).fit(x[:256], y[:256], batch_size=16)

    def changed():
        for rows in (16, 15):
            changing.train_on_batch(x[:rows], y[:rows])

    calls = {
        "fit, no epochs": lambda: model.fit(x, y, batch_size=16, epochs=0),
        "fit again, 16 steps": lambda: model.fit(x[:256], y[:256], batch_size=16),
        "a new model and its first fit, 16 steps": first,
        "train_on_batch, 16 rows": lambda: kept.train_on_batch(x[:16], y[:16]),
        "train_on_batch twice, 16 and 15 rows": changed,
    }
    found = in_turns({name: rounds_of(call) for name, call in calls.items()}, seconds)
    return [["training, 4-16-3", "time", "median"],
            *([name, text.seconds(min(times)), f"+{statistics.median(times) / min(times) - 1:.0%}"]
              for name, times in found.items())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=fn.get_num_threads())
    parser.add_argument("--seconds", type=float, default=1.0, help="of a row")
    given = parser.parse_args()
    fn.set_num_threads(given.threads)
    print(text.threads(given.threads))
    print(text.plain(predictions(given.threads, given.seconds)))
    print(text.plain(trainings(given.seconds)), end="")


if __name__ == "__main__":
    main()
