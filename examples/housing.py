"""House prices: from a CSV file with a column of text and missing values to dollars, with csv and NumPy alone.

    python examples/housing.py
    python examples/housing.py --data somewhere/housing.csv --seeds 5 --epochs 60

The file is the California housing data of 1990: a header, 20,640 rows, the target median_house_value, the text
ocean_proximity, some total_bedrooms missing. bench/peers_score.py trains the same network in other libraries; it reads
`load` and `build`.
"""

import argparse
import csv
import sys
import time
from pathlib import Path

import numpy as np

import fusednet as fn

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "housing.csv"
TARGET = "median_house_value"
EPOCHS, BATCH = 30, 128


def load(path: Path):
    """x_train, y_train, x_test, y_test: a fifth of the rows, drawn at random, is for the test; prices in dollars."""
    if not path.is_file():
        sys.exit(f"{path} is not there. Wanted: a CSV file of the California housing data with a header and the "
                 f"columns {TARGET} and ocean_proximity; say where it is with --data")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    test = np.zeros(len(rows), bool)
    test[np.random.default_rng(0).permutation(len(rows))[: len(rows) // 5]] = True

    columns = []
    for name in rows[0]:
        text = [row[name] for row in rows]
        if name == "ocean_proximity":
            kinds = sorted(set(text))
            columns += [np.array([value == kind for value in text], float) for kind in kinds]
        elif name != TARGET:
            column = np.array([float(value) if value else np.nan for value in text])
            column[np.isnan(column)] = np.nanmedian(column[~test])
            columns.append(column)
    x, y = np.stack(columns, axis=1).astype(np.float32), np.array([float(row[TARGET]) for row in rows])
    return x[~test], y[~test], x[test], y[test]


def build(seed: int) -> fn.Sequential:
    """The network, ready to be trained."""
    model = fn.Sequential([
        fn.Normalization(),  # mean and variance of the training rows, learnt in fit
        fn.Dense(64, activation="relu"),
        fn.Dense(64, activation="relu"),
        fn.Dense(1),
    ], seed=seed)
    model.compile(optimizer=fn.Adam(1e-3), loss="mse")
    return model


def scores(y: np.ndarray, predicted: np.ndarray) -> tuple[float, float, float]:
    """Root mean squared error, mean absolute error, and R2, the share of the variance that is explained."""
    error = predicted - y
    return float(np.sqrt((error**2).mean())), float(np.abs(error).mean()), float(1 - (error**2).mean() / y.var())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA, help="housing.csv (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=1, help="how many trainings, each with a seed of its own")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    given = parser.parse_args()

    x_train, y_train, x_test, y_test = load(given.data)
    mean, deviation = y_train.mean(), y_train.std()
    found = []
    for seed in range(given.seeds):
        model = build(seed)
        begin = time.perf_counter()
        model.fit(x_train, (y_train - mean) / deviation, batch_size=BATCH, epochs=given.epochs)
        seconds = time.perf_counter() - begin
        rmse, mae, r2 = scores(y_test, model.predict(x_test)[:, 0] * deviation + mean)
        found.append((rmse, mae, r2))
        print(f"seed {seed}: {given.epochs} epochs in {seconds:.2f} s, test RMSE ${rmse:,.0f}, MAE ${mae:,.0f}, "
              f"R2 {r2:.4f}")
    if len(found) > 1:
        (rmse, mae, r2), spread = np.mean(found, axis=0), np.std(found, axis=0, ddof=1)
        print(f"over {len(found)} seeds: RMSE ${rmse:,.0f} +- {spread[0]:,.0f}, MAE ${mae:,.0f} +- {spread[1]:,.0f}, "
              f"R2 {r2:.4f} +- {spread[2]:.4f}")


if __name__ == "__main__":
    main()
