"""Optimizer steps over a flat range of parameters, and the sum of squares that clipping by norm needs."""

from jobs import DTYPES, TARGETS, Job, flat

from fusednet.backends.table import CHUNK

RULES = {
    "sgd_step": {},
    "momentum_step": {"momentum": 0.9},
    "nesterov_step": {"momentum": 0.9},
    "adagrad_step": {"epsilon": 1e-7},
    "rmsprop_step": {"rho": 0.9, "epsilon": 1e-7},
    "adam_step": {"beta1": 0.9, "beta2": 0.999, "epsilon": 1e-7, "v_scale": 1.0},
}
COMMON = {"lr": 1e-3, "scale": 1.0, "clip": float("inf")}
ADAM_RATIO = 8.0
"""How many times faster than the NumPy expression Adam has to be."""


def jobs(levels: dict[str, int], threads: int):
    for dtype in DTYPES:
        for level, total in levels.items():
            for kernel, own in RULES.items():
                ratio = ADAM_RATIO if kernel == "adam_step" else None
                yield flat(kernel, level, total, dtype, parameters={**COMMON, **own}, share=TARGETS[level], ratio=ratio)
            n = total // (4 if dtype == "float32" else 8) // CHUNK * CHUNK
            yield Job("square_sums", dtype, {"n": n, "chunks": n // CHUNK}, level=level, share=TARGETS[level])


def bench_optimizers(job, measure):
    measure(job)
