"""Activations, softmax, dropout and losses, in the second-level cache and in memory."""

import numpy as np
from jobs import DTYPES, TARGETS, Job, flat, matrix

from fusednet.backends.table import Activation

CHEAP = {Activation.LINEAR, Activation.RELU, Activation.LEAKY_RELU}
CHEAP_BACKWARD = set(Activation) - {Activation.SWISH, Activation.SOFTPLUS, Activation.GELU, Activation.GELU_TANH}
ALPHA = {Activation.LEAKY_RELU: 0.2, Activation.ELU: 1.0}


def _activations(level, total, dtype):
    for kind in Activation:
        parameters = {"kind": int(kind), "alpha": ALPHA.get(kind, 0.0)}
        for kernel, cheap in (("activation_fwd", CHEAP), ("activation_bwd", CHEAP_BACKWARD)):
            if kernel == "activation_bwd" and kind == Activation.LINEAR:
                continue  # a copy, as forward is: s is not read, though its bytes would be counted
            yield flat(
                kernel, level, total, dtype, parameters=parameters, name=kind.name.lower(), share=TARGETS[level],
                arithmetic=kind not in cheap,
            )


def _rows(level, total, dtype):
    wanted = {"share": TARGETS[level], "arithmetic": True}
    for n in (10, 128):
        yield matrix("softmax_fwd", level, total, dtype, n, **wanted)
        yield matrix("softmax_bwd", level, total, dtype, n, share=TARGETS[level], arithmetic=n < 64)
        for kernel in ("softmax_xent_labels", "softmax_xent_targets"):
            yield matrix(
                kernel, level, total, dtype, n, parameters={"scale": 1e-3}, absent=frozenset({"weight"}), **wanted
            )
    factor = {"factor": 1.0, "scale": 1e-3, "delta": 1.0, "quantile": 0.9, "constant": 0.0}
    for kernel in ("sigmoid_xent", "squared_error", "absolute_error", "huber_error", "pinball_loss", "poisson_loss"):
        yield matrix(
            kernel, level, total, dtype, 64, parameters=factor, absent=frozenset({"weight"}), share=TARGETS[level],
            arithmetic=kernel in ("sigmoid_xent", "poisson_loss"),
        )


def jobs(levels: dict[str, int], threads: int):
    for dtype in DTYPES:
        for level, total in levels.items():
            yield from _activations(level, total, dtype)
            yield flat(
                "dropout", level, total, dtype, parameters={"rate": 0.3, "scale": 1 / 0.7, "seed": 1},
                share=TARGETS[level], arithmetic=True,
            )
            sizes = {"n": total // np.dtype(dtype).itemsize, "words": 625}
            yield Job("uniform_above", dtype, sizes, {"limit": 0.5}, level=level)
            yield from _rows(level, total, dtype)


def bench_elementwise(job, measure):
    measure(job)
