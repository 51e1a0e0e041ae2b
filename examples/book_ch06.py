"""What the experiments of the book's chapter 6 share: the command line, digits, pictures without a screen.

Read by the examples/book_ch06_*.py. Each of them is a script, `python examples/book_ch06_optimizers.py [--out FOLDER]`,
which prints what it finds and writes its picture; --quick makes it short, --data takes MNIST's digits (a file like
shared/data/mnist10k.npz) in place of the small ones that come with the package.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

import fusednet as fn

MNIST = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "mnist10k.npz"


@dataclass
class Digits:
    """Rows of pixels from 0 to 1, and labels."""

    x_train: np.ndarray
    t_train: np.ndarray
    x_test: np.ndarray
    t_test: np.ndarray

    @property
    def features(self) -> int:
        return self.x_train.shape[1]


def options(description: str, *, mnist: bool = False) -> argparse.Namespace:
    """The command line; `mnist`: MNIST's digits are the default where they are."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--out", type=Path, default=Path("."), help="folder for the picture (default: this one)")
    parser.add_argument("--data", type=Path, default=MNIST if mnist and MNIST.is_file() else None,
                        help="an .npz file with x_train, y_train, x_test, y_test; default the digits of the package"
                             + (", or shared/data/mnist10k.npz where it is" if mnist else ""))
    parser.add_argument("--quick", action="store_true", help="a few steps only")
    return parser.parse_args()


def digits(path: Path | None) -> Digits:
    """MNIST's digits from a file, or the small ones, four fifths for training."""
    if path is not None:
        with np.load(path) as file:
            return Digits(file["x_train"] / 255, file["y_train"].astype(int), file["x_test"] / 255,
                          file["y_test"].astype(int))
    x, t = fn.load_digits()
    x = x / 16
    order = np.random.RandomState(0).permutation(len(x))
    x, t = x[order], t[order]
    return Digits(x[:1440], t[:1440], x[1440:], t[1440:])


def save(figure, out: Path, name: str) -> None:
    """Write the picture and say where."""
    out.mkdir(parents=True, exist_ok=True)
    path = out / f"{name}.png"
    figure.savefig(path, dpi=110)
    plt.close(figure)
    print(f"picture: {path}")
