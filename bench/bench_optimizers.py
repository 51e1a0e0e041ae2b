"""Optimizer steps over a flat range of parameters, and what surrounds them: penalties, clipping by norm, averages."""

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
AROUND = {"penalty_gradient": {"l1": 1e-5, "l2": 1e-4}, "moving_average": {"momentum": 0.999}}
MOST_CHUNKS = 2048
"""Of eight million parameters."""
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
            for kernel in ("square_sums", "absolute_sums"):
                yield Job(kernel, dtype, {"n": n, "chunks": n // CHUNK}, level=level, share=TARGETS[level])
            for kernel, own in AROUND.items():
                yield flat(kernel, level, total, dtype, parameters=own, share=TARGETS[level])
    for kernel in ("clip_scale", "accumulate_partial"):
        sizes = {"c": MOST_CHUNKS, "one": 1}
        yield Job(kernel, "float64", sizes, {"limit": 1.0, "factor": 1.0})


def bench_optimizers(job, measure):
    measure(job)
