"""Hyperparameters of a network for handwritten digits: random search in rounds, then an ensemble of the best.

`python examples/search_digits.py [PICTURE]` takes some seconds; with a name such as search.png it draws the search.

a) Test rows are set aside first and looked at once, at the very end.
b) 60 trials in three rounds, each of which narrows the ranges round the best trials; all cores are busy.
"""

import sys

import numpy as np

import fusednet as fn
from fusednet.search import Float, Int, RandomSearch

SPACE = {
    "units": Int(16, 128, log=True),
    "layers": [1, 2, 3],
    "dropout": Float(0.0, 0.5),
    "rate": Float(1e-5, 1e-1, log=True),
    "batch_size": [16, 32, 64, 128],
}


def build(units: int, layers: int, dropout: float, rate: float) -> fn.Sequential:
    """A network of these hyperparameters, compiled; ``batch_size`` goes to ``fit``."""
    hidden = [layer for _ in range(layers) for layer in (fn.Dense(units, activation="relu"), fn.Dropout(dropout))]
    model = fn.Sequential([fn.Normalization(), *hidden, fn.Dense(10)])
    model.compile(fn.Adam(rate), "sparse_categorical_crossentropy", ["accuracy"])
    return model


def main() -> None:
    x, y = fn.load_digits()
    rest, test = fn.datasets.split(len(x), 0.2, seed=1, codes=y)

    search = RandomSearch(SPACE, n_trials=60, rounds=3, seed=0)
    results = search.run(build, x[rest], y[rest], validation_split=0.25, epochs=30)
    print(results)
    if len(sys.argv) > 1:
        results.plot(sys.argv[1])

    params = results.best_params
    batch_size = params.pop("batch_size")
    ensemble = fn.Ensemble(lambda: build(**params), n=5)
    ensemble.fit(x[rest], y[rest], batch_size=batch_size, epochs=30)

    alone = np.mean([model.predict_classes(x[test]) == y[test] for model in ensemble.members])
    print(f"accuracy on {len(test)} test rows: {alone:.4f} a member on the mean, "
          f"{np.mean(ensemble.predict_classes(x[test]) == y[test]):.4f} five together")


if __name__ == "__main__":
    main()
