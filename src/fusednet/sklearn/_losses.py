"""Losses that the engine has no kernel for, as functions of ``(y_true, y_pred)``; see `fusednet.losses.Custom`.

Reads nothing; read by _classifier.py. Objects, not closures, so that estimators can be pickled.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class BlockCrossentropy:
    """Sum of the cross entropies of several targets, whose classes are blocks of columns; y is one-hot in each block.

    Attributes
    ----------
    begins : tuple of int
        First column of each block.
    label_smoothing : float
    """

    begins: tuple[int, ...]
    label_smoothing: float = 0.0
    __name__ = "block_crossentropy"

    def __call__(self, y, z):
        loss, gradient = np.zeros(len(z)), np.empty_like(z)
        for begin, end in zip(self.begins, (*self.begins[1:], z.shape[1]), strict=True):
            t = y[:, begin:end]
            if self.label_smoothing:
                t = (1 - self.label_smoothing) * t + self.label_smoothing / (end - begin)
            p, log_p = softmax(z[:, begin:end])
            loss -= (t * log_p).sum(axis=1)
            gradient[:, begin:end] = p - t
        return loss, gradient


def softmax(z):
    """Softmax of rows, and its logarithm."""
    shifted = z - z.max(axis=1, keepdims=True)
    log_p = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return np.exp(log_p), log_p
