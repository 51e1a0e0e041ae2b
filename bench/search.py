"""Random search over a 64-64 network on digits: trials per minute, memory, best score, beside scikit-learn's.

`python bench/search.py [--trials N] [--peer-trials N]` prints tables. Reads fusednet and scikit-learn.

a) The same hyperparameters, rows, epochs and validation rows for both; scikit-learn's `RandomizedSearchCV` trains its
   `MLPClassifier` with ``n_jobs=-1``. It gets fewer trials, the first of ours; rates are compared.
b) Both take turns, and the best turn of each counts; the other is told beside it.
c) The ratio depends on the batch: small batches are overhead, large ones are arithmetic, of which the peak is told.
d) Both score a trial once, after its last epoch.
e) Scores are of the trials that both have: best and mean, and the standard error of a score of so many rows.
f) Memory is that of the process (resident), after each trial.
"""

import argparse
import os
import time
import warnings

import numpy as np

import fusednet as fn
from fusednet.backends import native
from fusednet.search import Float, RandomSearch

EPOCHS = 30
SPACE = {"rate": Float(1e-4, 1e-1, log=True), "batch_size": [16, 32, 64, 128, 256], "activation": ["relu", "tanh"]}


def resident() -> float:
    """Memory of the process, MiB."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def build(rate: float, activation: str) -> fn.Sequential:
    """The network of a trial."""
    drawn = {"kernel_initializer": "glorot_uniform"}  # as scikit-learn draws them
    hidden = [fn.Dense(64, activation=activation, **drawn) for _ in range(2)]
    model = fn.Sequential([*hidden, fn.Dense(10, **drawn)], seed=0)
    model.compile(fn.Adam(rate, epsilon=1e-8), "sparse_categorical_crossentropy", ["accuracy"])
    return model


def ours(x, y, rows, trials: int) -> tuple[float, list, list[float]]:
    """Seconds, trials, and memory after each."""
    memory: list[float] = []
    search = RandomSearch(SPACE, trials)
    begin = time.perf_counter()
    results = search.run(build, x, y, folds=[rows], epochs=EPOCHS, validation_freq=EPOCHS,
                         told=lambda _: memory.append(resident()))
    return time.perf_counter() - begin, results.trials, memory


def theirs(x, y, rows, trials: list) -> tuple[float, np.ndarray, np.ndarray]:
    """Seconds, scores, and seconds of each trial, of scikit-learn's search over the hyperparameters of `trials`."""
    from sklearn.model_selection import RandomizedSearchCV
    from sklearn.neural_network import MLPClassifier

    grid = [{"learning_rate_init": [trial.params["rate"]], "batch_size": [trial.params["batch_size"]],
             "activation": [trial.params["activation"]], "random_state": [trial.number]} for trial in trials]
    estimator = MLPClassifier((64, 64), alpha=0.0, max_iter=EPOCHS, n_iter_no_change=EPOCHS + 1)
    search = RandomizedSearchCV(estimator, grid, n_iter=len(trials), n_jobs=-1, cv=[rows], refit=False, random_state=0)
    begin = time.perf_counter()
    search.fit(x, y)
    taken, found = time.perf_counter() - begin, search.cv_results_
    return taken, found["mean_test_score"], found["mean_fit_time"] + found["mean_score_time"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--peer-trials", type=int, default=20)
    options = parser.parse_args()
    os.environ["PYTHONWARNINGS"] = "ignore"  # of its workers, about trainings that have not converged
    warnings.simplefilter("ignore")
    x, y = fn.load_digits()
    x = (x / 16).astype(np.float32)
    rows = fn.datasets.split(len(x), 0.2, 0, codes=y)
    ours(x, y, rows, 4)
    seconds, trials, memory = ours(x, y, rows, options.trials)
    compared = trials[: options.peer_trials]
    theirs(x, y, rows, compared[:2])  # starts its processes
    peers = [theirs(x, y, rows, compared)]
    again, same, _ = ours(x, y, rows, options.trials)
    peers.append(theirs(x, y, rows, compared))
    assert [trial.score for trial in same] == [trial.score for trial in trials], "not the same a second time"
    rates = sorted(options.trials / each * 60 for each in (seconds, again))
    peer_rates = sorted(len(compared) / each * 60 for each, _, _ in peers)
    scores, peer_scores = np.array([trial.score for trial in compared]), peers[0][1]
    error = np.sqrt(scores.max() * (1 - scores.max()) / len(rows[1]))
    print(f"{fn.get_num_threads()} cores, {EPOCHS} epochs of {len(rows[0])} rows, {len(rows[1])} rows for validation")
    print(f"{'':14}{'trials':>7}{'per minute':>12}{'other turn':>12}{'best score':>12}{'mean':>8}  "
          f"of the first {len(compared)}")
    for name, count, turns, found in (("fusednet", options.trials, rates, scores),
                                      ("scikit-learn", len(compared), peer_rates, peer_scores)):
        print(f"{name:14}{count:7}{turns[1]:12,.0f}{turns[0]:12,.0f}{found.max():12.4f}{found.mean():8.4f}")
    print(f"ratio {rates[1] / peer_rates[1]:.1f}; standard error of a score {error:.4f}; best of all {options.trials}: "
          f"{max(trial.score for trial in trials):.4f}")
    print("ms of a trial by batch (the faster turn of each):")
    own = np.minimum([t.seconds for t in trials], [t.seconds for t in same])[: len(compared)]
    peer = np.minimum(peers[0][2], peers[1][2])
    sizes = np.array([trial.params["batch_size"] for trial in compared])
    for size in np.unique(sizes):
        mine, other = (np.median(each[sizes == size]) * 1e3 for each in (own, peer))
        print(f"{size:6}: {mine:7.1f} {other:7.1f}  ratio {other / mine:.1f}")
    print(f"memory after trial 10: {memory[min(9, len(memory) - 1)]:.1f} MiB, after trial {len(memory)}: "
          f"{memory[-1]:.1f} MiB, most {max(memory):.1f} MiB")
    weights = 2 * 64 * 64 + 640
    flop = EPOCHS * len(rows[0]) * 2 * (3 * weights - 64 * 64) + len(rows[1]) * 2 * weights
    begin = time.process_time()
    peak = sum(native.probe("fma", "float32", None, 200_000) for _ in range(20)) / (time.process_time() - begin)
    print(f"a trial's products alone take {flop / peak * 1e3:.1f} ms at the core's peak ({peak / 1e9:.0f} GFLOP/s)")


if __name__ == "__main__":
    main()
