"""The examples run from the command line, on small files made here in the form of the real ones.

Reads examples/, not the installed package's files; without the tree (tests of an installed wheel alone) it is skipped.
"""

import csv
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fusednet as fn

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"

pytestmark = pytest.mark.skipif(not EXAMPLES.is_dir(), reason="no source tree here")


def run(script: str, *arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, str(EXAMPLES / script), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def digits(path: Path) -> Path:
    """The small digits, each pixel in the middle of a 28 x 28 image."""
    x, y = fn.load_digits()
    images = np.zeros((len(x), 28, 28), np.uint8)
    images[:, 10:18, 10:18] = (x.reshape(-1, 8, 8) * 15).astype(np.uint8)
    images = images.reshape(len(x), -1)
    np.savez(path, x_train=images[:1500], y_train=y[:1500].astype(np.uint8), x_test=images[1500:],
             y_test=y[1500:].astype(np.uint8))
    return path


def houses(path: Path) -> Path:
    """Prices that follow from income and place, with a value missing here and there."""
    rng = np.random.default_rng(0)
    names = ("longitude", "latitude", "housing_median_age", "total_rooms", "total_bedrooms", "population", "households",
             "median_income", "median_house_value", "ocean_proximity")
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for i in range(1000):
            *numbers, income = rng.uniform(1, 10, 8).round(3)
            kind = ("INLAND", "NEAR BAY", "ISLAND")[i % 3]
            numbers[4] = "" if i % 50 == 0 else numbers[4]
            writer.writerow([*numbers, income, round(30000 * income + 40000 * (i % 3)), kind])
    return path


def test_mnist10k_prints_the_accuracy(tmp_path):
    done = run("mnist10k.py", "--data", digits(tmp_path / "digits.npz"), "--epochs", 30, "--seeds", 2)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert all(float(re.search(r"test accuracy ([\d.]+)%", line)[1]) > 85 for line in lines[:2])
    assert lines[2].startswith("test accuracy over 2 seeds")


def test_housing_prints_the_errors(tmp_path):
    done = run("housing.py", "--data", houses(tmp_path / "houses.csv"), "--epochs", 40, "--seeds", 2)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == 3
    assert all(float(re.search(r"R2 ([\d.]+)", line)[1]) > 0.9 for line in lines)


@pytest.mark.parametrize("script", ["mnist10k.py", "housing.py"])
def test_a_missing_file_is_said(script, tmp_path):
    done = run(script, "--data", tmp_path / "nothing")
    assert done.returncode == 1
    assert "nothing is not there. Wanted: " in done.stderr
    assert "Traceback" not in done.stderr
