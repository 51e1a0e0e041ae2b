"""Rows in and counts out: rows and labels by index with conversion, checks of data, sums, correct predictions.

Nothing is wanted of most but to be told: a gather jumps from row to row, and the counts are of narrow rows. The check
for numbers that are not finite reads whole data sets, at memory speed.
"""

import numpy as np
from jobs import DTYPES, TARGETS, Job, flat, matrix

COLUMNS = 784


def _gather(source, dtype, level, total):
    sizes = np.dtype(source).itemsize, np.dtype(dtype).itemsize
    m = total // COLUMNS // (max(sizes) if level == "memory" else sum(sizes))
    return Job(
        "gather_rows", dtype, {"m": m, "n": COLUMNS, "r": m}, name=f"from {source}", level=level, types={"x": source}
    )


def jobs(levels: dict[str, int], threads: int):
    for dtype in DTYPES:
        for level, total in levels.items():
            for source in ("uint8", "int64", dtype):
                yield _gather(source, dtype, level, total)
            for kernel in ("sum", "accumulate", "inverse_sum"):
                yield flat(kernel, level, total, dtype, parameters={"factor": 1.0} if kernel == "accumulate" else {})
            m = total // COLUMNS // np.dtype(dtype).itemsize
            sizes = {"m": m, "n": COLUMNS, "one": 1}
            yield Job("find_nonfinite", dtype, sizes, level=level, types={"x": dtype}, share=TARGETS[level])
            for kernel in ("correct_labels", "correct_targets"):
                yield matrix(kernel, level, total, dtype, 10, absent=frozenset({"weight"}))
            threshold = {"threshold": 0.5}
            yield matrix("correct_binary", level, total, dtype, 16, parameters=threshold, absent=frozenset({"weight"}))
    for level, total in levels.items():
        m = total // 4
        sizes = {"m": m, "one": 1}
        yield Job("find_outside", "float32", sizes, {"limit": 100}, level=level, types={"index": "int32"})
        m = total // 16
        yield Job("gather_labels", "float32", {"m": m, "r": m}, level=level, types={"y": "int64"})


def bench_rows(job, measure):
    measure(job)
