"""Handwritten digits: train a small network on 8,000 images of MNIST, and score it on 2,000 others.

    python examples/mnist10k.py
    python examples/mnist10k.py --data somewhere/mnist10k.npz --seeds 5 --epochs 20

The file holds x_train (8000, 784) and x_test (2000, 784), uint8 pixels, y_train and y_test, labels 0 to 9.
bench/peers_score.py trains the same network in other libraries; it reads `load` and `build`.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np

import fusednet as fn

DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "mnist10k.npz"
EPOCHS, BATCH = 15, 128


def load(path: Path):
    """x_train, y_train, x_test, y_test."""
    if not path.is_file():
        sys.exit(f"{path} is not there. Wanted: an .npz file with x_train and x_test (rows of 784 uint8 pixels), "
                 "y_train and y_test (labels 0 to 9); say where it is with --data")
    with np.load(path) as file:
        return file["x_train"], file["y_train"], file["x_test"], file["y_test"]


def build(seed: int) -> fn.Sequential:
    """The network, ready to be trained."""
    model = fn.Sequential([
        fn.Normalization(mean=(0.0,), variance=(255.0**2,)),  # pixels to [0, 1]
        fn.Dense(256), fn.BatchNormalization(), fn.ReLU(), fn.Dropout(0.3),
        fn.Dense(128), fn.BatchNormalization(), fn.ReLU(), fn.Dropout(0.3),
        fn.Dense(10, activation="softmax"),
    ], seed=seed)
    model.compile(optimizer=fn.Adam(1e-3), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, default=DATA, help="mnist10k.npz (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=1, help="how many trainings, each with a seed of its own")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    given = parser.parse_args()

    x_train, y_train, x_test, y_test = load(given.data)
    scores = []
    for seed in range(given.seeds):
        model = build(seed)
        begin = time.perf_counter()
        history = model.fit(x_train, y_train, batch_size=BATCH, epochs=given.epochs)
        seconds = time.perf_counter() - begin
        loss, accuracy = model.evaluate(x_test, y_test)
        scores.append(accuracy)
        final = history.history["loss"][-1]
        print(f"seed {seed}: {given.epochs} epochs in {seconds:.2f} s, training loss {final:.4f}, "
              f"test loss {loss:.4f}, test accuracy {accuracy:.2%}")
    if len(scores) > 1:
        print(f"test accuracy over {len(scores)} seeds: {np.mean(scores):.2%} +- {np.std(scores, ddof=1):.2%}")


if __name__ == "__main__":
    main()
