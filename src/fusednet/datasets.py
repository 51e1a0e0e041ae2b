"""The door for data: what users have becomes arrays that kernels read; rows are split off for validation.

Reads arrays.py (features, targets, finiteness) and labels.py (classes, weights), whose names it gives on; read by
feed.py, many.py and the command (cli/_train.py).

a) Rows are split by index, never copied: training gathers rows by index anyway.
b) A split depends on the seed, the number of rows and, where there are any, the classes; not on the values.
"""

import importlib.resources
import math

import numpy as np

from fusednet import errors
from fusednet.arrays import Features, as_targets, check_finite, features, is_batches, targets
from fusednet.labels import binary, check_codes, class_weights, labels, weights

__all__ = [
    "Features",
    "as_targets",
    "binary",
    "check_codes",
    "check_finite",
    "class_weights",
    "features",
    "is_batches",
    "labels",
    "load_digits",
    "split",
    "targets",
    "weights",
]


def split(n: int, fraction: float, seed=None, how: str = "random", codes=None) -> tuple[np.ndarray, np.ndarray]:
    """Rows for training and rows for validation.

    Parameters
    ----------
    n : int
        Rows.
    fraction : float
        Share of the rows for validation, in (0, 1): ``n - floor(n (1 - fraction))`` rows, as in Keras.
    seed : int, numpy.random.Generator or None
        For ``how="random"``; None is a different split each time.
    how : {"random", "tail"}, default "random"
        Rows at random, or the last ones, as Keras takes them.
    codes : ndarray of int, shape (n,), optional
        The class of each row. A random split then gives each class its share on both sides, to within a row; a class of
        2 rows or more is on both sides where there are enough rows for that, one of a single row is for training.

    Returns
    -------
    train, validation : ndarray of int64
        Rising row numbers; together each of 0 .. n - 1 once.

    Raises
    ------
    ValueError
        If `fraction` is not in (0, 1), one side would be empty, or `how` is unknown.
    TypeError
        If `fraction` is not a number.
    """
    name = "validation_split"
    share = errors.real("fit", name, fraction, 0, 1, open_low=True, open_high=True)
    if how not in ("random", "tail"):
        raise errors.unknown("fit", "split", how, ("random", "tail"))
    training = math.floor(n * (1.0 - share))
    if training == 0 or training == n:
        side = "training" if training == 0 else "validation"
        raise ValueError(f"fit: {name} is {share:g}, which leaves no rows of {n} for {side}")
    chosen = np.zeros(n, bool)
    if how == "tail":
        chosen[training:] = True
    else:
        rows = np.random.default_rng(seed).permutation(n)
        if codes is None:
            chosen[rows[training:]] = True
        else:
            chosen[_stratified(rows, np.asarray(codes), n - training)] = True
    return np.flatnonzero(~chosen), np.flatnonzero(chosen)


def _stratified(rows: np.ndarray, codes: np.ndarray, wanted: int) -> np.ndarray:
    """`wanted` of the shuffled `rows`, of each class its share."""
    _, group, counts = np.unique(codes, return_inverse=True, return_counts=True)
    rows = rows[np.argsort(group[rows], kind="stable")]  # class by class, in shuffled order
    start = np.cumsum(counts) - counts
    place = np.arange(len(rows)) - np.repeat(start, counts)
    return rows[place < np.repeat(_shares(counts, wanted), counts)]


def _shares(counts: np.ndarray, wanted: int) -> np.ndarray:
    """How many rows of each class are chosen: the nearest to proportional (largest remainders) within the bounds."""
    several = counts >= 2
    low, high = several.astype(np.int64), np.where(several, counts - 1, 0)
    if low.sum() > wanted:
        low[:] = 0  # too few rows to have each class in validation
    if high.sum() < wanted:
        high = counts.copy()  # too few rows to have each class in training
    exact = counts * (wanted / counts.sum())
    taken = np.clip(np.floor(exact).astype(np.int64), low, high)
    while (missing := wanted - int(taken.sum())) != 0:
        step = 1 if missing > 0 else -1
        open_ = np.flatnonzero(taken < high if missing > 0 else taken > low)
        worst = open_[np.argsort(step * (taken - exact)[open_], kind="stable")[: abs(missing)]]
        taken[worst] += step
    return taken


def load_digits() -> tuple[np.ndarray, np.ndarray]:
    """Handwritten digits, 8 by 8 pixels, which come with the package.

    Returns
    -------
    x : ndarray of uint8, shape (1797, 64)
        Pixels of an image, row by row, from 0 (white) to 16 (black).
    y : ndarray of int64, shape (1797,)
        The digits, 0 to 9.

    Notes
    -----
    The test set of E. Alpaydin, C. Kaynak (1998), Optical Recognition of Handwritten Digits, UCI Machine Learning
    Repository, https://doi.org/10.24432/C50P49, under CC BY 4.0 (https://creativecommons.org/licenses/by/4.0/); the
    same rows in the same order as in scikit-learn.
    """
    with (importlib.resources.files("fusednet") / "data" / "digits.npz").open("rb") as file, np.load(file) as arrays:
        return arrays["x"], arrays["y"].astype(np.int64)
