"""Scores of the estimators beside scikit-learn's, on tables that come with it and on the housing data: mean of seeds.

`python bench/sklearn_scores.py [--seeds 10] [--housing FILE] [--only NAME ...]` prints a table for docs/sklearn.md.
Needs scikit-learn; the housing data need pandas.

a) A seed splits a quarter of the rows off for the test and is the estimators' `random_state`: all see the same rows.
b) "scaled" is scikit-learn's default on standardised inputs (and targets), because half of what a preset gains is that.
c) "same" is the default of ours against theirs: the difference of the means in standard errors of the difference.
"""

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
from sklearn import datasets
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fusednet.sklearn as ours

SETS = {
    "digits": (datasets.load_digits, True),
    "breast cancer": (datasets.load_breast_cancer, True),
    "wine": (datasets.load_wine, True),
    "iris": (datasets.load_iris, True),
    "diabetes": (datasets.load_diabetes, False),
}
COLUMNS = ("scikit-learn", "fusednet", "scaled", "strong")


def housing(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """California housing, text as one-hot columns, missing numbers as medians, prices in 100,000 dollars."""
    import pandas

    frame = pandas.read_csv(path)
    y = frame.pop("median_house_value").to_numpy() / 1e5
    frame = pandas.get_dummies(frame, dtype=float)
    return frame.fillna(frame.median()).to_numpy(), y


def estimators(classes: bool, seed: int) -> dict:
    theirs = MLPClassifier if classes else MLPRegressor
    own = ours.MLPClassifier if classes else ours.MLPRegressor
    scaled = make_pipeline(StandardScaler(), theirs(random_state=seed))
    return {
        "scikit-learn": theirs(random_state=seed),
        "fusednet": own(random_state=seed),
        "scaled": scaled if classes else TransformedTargetRegressor(scaled, transformer=StandardScaler()),
        "strong": own(preset="strong", random_state=seed),
    }


def scores(x, y, classes: bool, seeds: int, columns) -> tuple[dict, dict]:
    """Scores by seed, and seconds of all fits."""
    found, seconds = {name: [] for name in columns}, dict.fromkeys(columns, 0.0)
    for seed in range(seeds):
        x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.25, random_state=seed,
                                                            stratify=y if classes else None)
        for name, estimator in estimators(classes, seed).items():
            if name in columns:
                begin = time.perf_counter()
                estimator.fit(x_train, y_train)
                seconds[name] += time.perf_counter() - begin
                found[name].append(estimator.score(x_test, y_test))
    return {name: np.array(values) for name, values in found.items()}, seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--housing", type=Path)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--columns", nargs="*", default=COLUMNS, choices=COLUMNS)
    given = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    sets = {name: (load(return_X_y=True), classes) for name, (load, classes) in SETS.items()}
    if given.housing:
        sets["housing"] = housing(given.housing), False
    print(f"| data | {' | '.join(given.columns)} | same |\n|---|{'---|' * (len(given.columns) + 1)}")
    means, total = [], dict.fromkeys(given.columns, 0.0)
    for name, ((x, y), classes) in sets.items():
        if given.only and name not in given.only:
            continue
        found, seconds = scores(x, y, classes, given.seeds, given.columns)
        means.append([values.mean() for values in found.values()])
        total = {column: total[column] + seconds[column] for column in total}
        words = [f"{values.mean():.4f} ± {values.std(ddof=1) / np.sqrt(len(values)):.4f}" for values in found.values()]
        same = ""
        if {"scikit-learn", "fusednet"} <= found.keys():
            difference = found["fusednet"] - found["scikit-learn"]
            error = difference.std(ddof=1) / np.sqrt(len(difference))
            same = f"{difference.mean() / error:+.1f}" if error else "equal"
        print(f"| {name} | {' | '.join(words)} | {same} |", flush=True)
    print(f"| mean | {' | '.join(f'{value:.4f}' for value in np.mean(means, axis=0))} | |")
    print(f"| seconds of fits | {' | '.join(f'{total[column]:.1f}' for column in given.columns)} | |")


if __name__ == "__main__":
    main()
