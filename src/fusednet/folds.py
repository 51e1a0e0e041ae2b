"""Rows divided into k folds, each of which is the validation data of one training.

Reads errors.py; read by many.py.

a) Folds are row numbers; the data are not copied.
b) Where rows have classes, each fold has its share of each. A fold that lacks one is an error here, not a strange score
   after hours of training.
"""

import numpy as np

from fusednet import errors


def divide(n: int, k: int, seed: int = 0, codes=None, classes=None) -> list[tuple[np.ndarray, np.ndarray]]:
    """k divisions into rows for training and rows for validation; each row is in one validation set.

    Parameters
    ----------
    n : int
        Rows.
    k : int
        2 or more.
    seed : int, default 0
    codes : ndarray of int, shape (n,), optional
        The class of each row; the folds are then stratified.
    classes : ndarray, optional
        The name of each code, for messages.

    Returns
    -------
    list of (train, validation)
        Rising row numbers, int64; sizes of the validation sets differ by one row at most.

    Raises
    ------
    ValueError
        If there are fewer rows than folds, or fewer rows of a class.
    """
    k = errors.integer("folds", "number of folds", k, 2)
    if n < k:
        raise ValueError(f"folds: there are {n} rows; wanted at least one for each of the {k} folds")
    rows = np.random.default_rng(seed).permutation(n)
    if codes is not None:
        codes = np.asarray(codes)
        present, counts = np.unique(codes, return_counts=True)
        rarest = int(counts.argmin())
        if counts[rarest] < k:
            raise ValueError(f"folds: class {_name(present[rarest], classes)} has {counts[rarest]} rows, too few for "
                             f"each of {k} folds to have one; wanted at most {counts[rarest]} folds, or more rows")
        rows = rows[np.argsort(codes[rows], kind="stable")]  # class by class, in shuffled order
    fold = np.empty(n, np.int64)
    fold[rows] = np.arange(n) % k  # dealt out like cards
    return [(np.flatnonzero(fold != i), np.flatnonzero(fold == i)) for i in range(k)]


def check(given, n: int, codes=None, classes=None) -> list[tuple[np.ndarray, np.ndarray]]:
    """Folds of the user's, as int64 arrays.

    Parameters
    ----------
    given : sequence of (train, validation)
        Row numbers.
    n : int
    codes, classes : ndarray, optional

    Raises
    ------
    TypeError
        If they are not pairs of whole numbers.
    ValueError
        If a number is not that of a row, a row is on both sides, a side is empty or lacks a class that the data have.
    """
    checked = []
    for i, pair in enumerate(given):
        if not isinstance(pair, (tuple, list)) or len(pair) != 2:
            raise TypeError(f"folds: fold {i} is {type(pair).__name__}; wanted (rows to train on, rows to validate on)")
        sides = []
        for side, rows in zip(("training", "validation"), pair, strict=True):
            rows = np.asarray(rows)
            if rows.ndim != 1 or rows.dtype.kind not in "iu":
                raise TypeError(f"folds: {side} rows of fold {i} are {rows.dtype} of shape {rows.shape}; wanted a list "
                                "of row numbers")
            if not len(rows) or rows.min() < 0 or rows.max() >= n:
                what = "empty" if not len(rows) else f"from {rows.min()} to {rows.max()}"
                raise ValueError(f"folds: {side} rows of fold {i} are {what}; wanted numbers from 0 to {n - 1}")
            if codes is not None and (lacking := np.setdiff1d(codes, codes[rows])).size:
                raise ValueError(f"folds: {side} rows of fold {i} have none of class {_name(lacking[0], classes)}; "
                                 "wanted rows of each class in each fold")
            sides.append(rows.astype(np.int64))
        both = np.intersect1d(*sides)
        if both.size:
            raise ValueError(f"folds: row {both[0]} is among the training rows and the validation rows of fold {i}")
        checked.append(tuple(sides))
    if not checked:
        raise ValueError("folds: there are none; wanted at least one (training, validation)")
    return checked


def _name(code, classes) -> str:
    return repr(code.item() if classes is None else np.asarray(classes)[code].item())
