"""The estimators beside scikit-learn's: seconds of ``fit`` and ``predict``, in turns, in the same run.

`python bench/sklearn_fit.py [--rounds 3] [--threads N]` prints two tables. Needs scikit-learn and threadpoolctl.

a) Both have the same parameters, data, dtype and number of threads: BLAS and OpenMP are limited by threadpoolctl, the
   engine by `set_num_threads`.
b) They take turns, round by round, with a pause in which the other's threads go to sleep; the fastest round of each
   counts, as the least disturbed.
c) The loss after the last epoch stands beside the time. In float64 it has to be the same to nine digits, or the table
   says so: a wrong training would be fast too.
"""

import argparse
import time
import warnings

import numpy as np
import sklearn.neural_network as theirs
from sklearn.exceptions import ConvergenceWarning
from threadpoolctl import threadpool_limits
from timing import BLAS_SPINS

import fusednet as fn
import fusednet.sklearn as ours

SHAPES = {
    "1,000 x 20, 100": (1_000, 20, (100,), 40),
    "20,000 x 20, 100": (20_000, 20, (100,), 5),
    "10,000 x 784, 512-512": (10_000, 784, (512, 512), 1),
    "50,000 x 54, 256-256-256": (50_000, 54, (256, 256, 256), 1),
}
"""Rows, features, hidden layers, epochs."""

CLASSES = 7
CALLS = {1: 300, 100: 100, 100_000: 1}
"""Rows of ``predict``, and calls of it in a round."""


def data(rows: int, features: int, dtype: str) -> tuple[np.ndarray, np.ndarray]:
    """Classes that a network can learn."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((rows, features))
    y = (x @ rng.standard_normal((features, CLASSES))).argmax(axis=1)
    return x.astype(dtype), y


def fit_seconds(module, x, y, hidden, epochs: int):
    estimator = module.MLPClassifier(hidden, max_iter=epochs, n_iter_no_change=10_000, random_state=0)
    begin = time.perf_counter()
    estimator.fit(x, y)
    return time.perf_counter() - begin, estimator


def call_seconds(call, number: int) -> float:
    begin = time.perf_counter()
    for _ in range(number):
        call()
    return (time.perf_counter() - begin) / number


def in_turns(measures: dict, rounds: int) -> dict:
    """The fastest of each."""
    best = dict.fromkeys(measures, float("inf"))
    for _ in range(rounds):
        for name, measure in measures.items():
            time.sleep(BLAS_SPINS)
            best[name] = min(best[name], measure())
    return best


def fits(dtype: str, rounds: int) -> None:
    print(f"\nfit, {dtype}: seconds for an epoch\n{'rows x features, hidden':28}{'scikit-learn':>13}{'fusednet':>11}"
          f"{'times':>8}  loss")
    for name, (rows, features, hidden, epochs) in SHAPES.items():
        x, y = data(rows, features, dtype)
        losses = {}

        def measure(module, x=x, y=y, hidden=hidden, epochs=epochs, losses=losses):
            seconds, estimator = fit_seconds(module, x, y, hidden, epochs)
            losses[module] = estimator.loss_
            return seconds / epochs

        best = in_turns({module: lambda m=module: measure(m) for module in (theirs, ours)}, rounds)
        same = np.isclose(losses[theirs], losses[ours], rtol=1e-9 if dtype == "float64" else 1e-3)
        words = f"{losses[ours]:.6f}" if same else f"{losses[ours]:.9f}, NOT {losses[theirs]:.9f}"
        print(f"{name:28}{best[theirs]:13.4f}{best[ours]:11.4f}{best[theirs] / best[ours]:8.1f}  {words}", flush=True)


def predictions(dtype: str, rounds: int) -> None:
    print(f"\npredict, {dtype}, network of 20 features and 100 units: microseconds for a call\n{'rows':28}"
          f"{'scikit-learn':>13}{'fusednet':>11}{'times':>8}")
    x, y = data(max(CALLS), 20, dtype)
    estimators = [fit_seconds(module, x[:1000], y[:1000], (100,), 1)[1] for module in (theirs, ours)]
    for rows, number in CALLS.items():
        part = x[:rows]
        best = in_turns({e: lambda e=e, p=part, n=number: call_seconds(lambda: e.predict(p), n) for e in estimators},
                        3 * rounds)
        a, b = (best[estimator] * 1e6 for estimator in estimators)
        print(f"{rows:<28,}{a:13.1f}{b:11.1f}{a / b:8.1f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=fn.get_num_threads())
    parser.add_argument("--dtype", choices=("float32", "float64"), action="append")
    parser.add_argument("--only", choices=("fit", "predict"))
    given = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    fn.set_num_threads(given.threads)
    with threadpool_limits(given.threads):
        print(f"threads: {given.threads}")
        for dtype in given.dtype or ("float64", "float32"):
            if given.only != "predict":
                fits(dtype, given.rounds)
            if given.only != "fit":
                predictions(dtype, given.rounds)


if __name__ == "__main__":
    main()
