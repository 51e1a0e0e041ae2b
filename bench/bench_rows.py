"""Rows in and counts out: gather of rows by index with conversion, the check of labels, sums, correct predictions.

Nothing is wanted of these but to be told: a gather jumps from row to row, and the counts are of narrow rows.
"""

import numpy as np
from jobs import DTYPES, Job, flat, matrix

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
            yield flat("sum", level, total, dtype)
            for kernel in ("correct_labels", "correct_targets"):
                yield matrix(kernel, level, total, dtype, 10, absent=frozenset({"weight"}))
            threshold = {"threshold": 0.5}
            yield matrix("correct_binary", level, total, dtype, 16, parameters=threshold, absent=frozenset({"weight"}))
    for level, total in levels.items():
        m = total // 4
        sizes = {"m": m, "one": 1}
        yield Job("find_outside", "float32", sizes, {"limit": 100}, level=level, types={"index": "int32"})


def bench_rows(job, measure):
    measure(job)
