"""Tables and chart of what measure.py found: as text, as Markdown, as an SVG.

Reads measure.py and pool.py; read by run.py.

a) A ratio is our best epoch's speed over the best other's, each with its better number of threads.
b) Losses are held against each other: after as many epochs from the same weights, ours must lie where the others' do,
   within what the order of rows makes of it; `loss_verdict` says what that means.
c) The chart is drawn by hand, as text: no plotting library is needed for bars.
"""

import math
import statistics

import pool
from floor import Floor, Rates, floor
from measure import Results, Timed, loss_epochs
from workloads import JOBS

LEAST_NOISE = 0.02
"""Relative difference of losses that the order of rows makes at least."""


def better(threads: dict[str, Timed]) -> tuple[str, Timed] | None:
    """The number of threads at which the library is faster, and what it reached."""
    able = {count: timed for count, timed in threads.items() if timed.seconds and not timed.refusal}
    return min(able.items(), key=lambda pair: pair[1].best) if able else None


def best_other(libraries: dict[str, dict[str, Timed]]) -> tuple[str, str, Timed] | None:
    """Name, threads and figures of the fastest other library."""
    found = [(name, *better(threads)) for name, threads in libraries.items() if name != pool.OURS and better(threads)]
    return min(found, key=lambda one: one[2].best, default=None)


def ratio(libraries: dict[str, dict[str, Timed]]) -> float | None:
    """Our speed over the best other's."""
    ours, other = better(libraries.get(pool.OURS, {})), best_other(libraries)
    return other[2].best / ours[1].best if ours and other else None


def geometric_mean(ratios: list[float]) -> float:
    return math.exp(statistics.fmean(math.log(ratio) for ratio in ratios))


def loss_verdict(libraries: dict[str, dict[str, Timed]]) -> str:
    """"" where our loss is within the noise of the others', else by how much it is not.

    The noise is three standard deviations of our losses in several orders of rows, or of the others', and no less than
    `LEAST_NOISE`; it is the means that are compared.
    """
    found: dict[bool, list[float]] = {True: [], False: []}
    for name, threads in libraries.items():
        for timed in threads.values():
            found[name == pool.OURS] += [*([] if timed.loss is None else [timed.loss]), *timed.more_losses]
    ours, others = found[True], [loss for loss in found[False] if math.isfinite(loss)]
    if not ours or not others:
        return ""
    if not all(map(math.isfinite, ours)):
        return "not finite"
    mean = statistics.fmean(others)
    noise = max(3 * statistics.pstdev(ours), 3 * statistics.pstdev(others), LEAST_NOISE * abs(mean))
    far = statistics.fmean(ours) - mean
    return "" if abs(far) <= noise else f"{far / mean:+.0%}"


def _names(results: Results) -> list[str]:
    there = {name for libraries in results.training.values() for name in libraries}
    return [name for name in pool.LIBRARIES if name in there]


def _speed(rows: int, threads: dict[str, Timed] | None) -> str:
    found = better(threads or {})
    if not found:
        return "-"
    return f"{_number(rows / found[1].best)} ({found[0]}, +{found[1].spread:.0%})"


def _number(value: float) -> str:
    """Three digits."""
    if value >= 1e6:
        return f"{value / 1e6:.3g} M"
    return f"{value / 1e3:.3g} k" if value >= 1e4 else f"{value:,.0f}"


def least(results: Results, job: str, threads: str) -> Floor | None:
    """The job's floor by the rates that were measured."""
    try:
        return floor(JOBS[job], int(threads), Rates(results.rates, rounds=0))
    except KeyError:
        return None


def speeds(results: Results) -> list[list[str]]:
    """Rows per second; in brackets the number of threads at which the library is faster, and the spread."""
    names = _names(results)
    rows = [["job", *(pool.LIBRARIES[name].title for name in names), "best other", "ratio"]]
    ratios = []
    for job in (job for job in JOBS if job in results.training):
        libraries = results.training[job]
        factor, other = ratio(libraries), best_other(libraries)
        ratios += [factor] if factor else []
        rows.append([
            job, *(_speed(JOBS[job].rows, libraries.get(name)) for name in names),
            pool.LIBRARIES[other[0]].title if other else "-", f"{factor:.2f}x" if factor else "-",
        ])
    if ratios:
        rows.append(["geometric mean", *[""] * (len(names) + 1), f"{geometric_mean(ratios):.2f}x"])
    return rows


def floors(results: Results) -> list[list[str]]:
    """Our figures by number of threads, and the share of the floor."""
    ours = [libraries.get(pool.OURS, {}) for libraries in results.training.values()]
    counts = sorted({threads for own in ours for threads in own}, key=int)
    rows = [["job"]]
    for threads in counts:
        word = "thread" if threads == "1" else "threads"
        rows[0] += [f"rows/s, {threads} {word}", "GFLOP/s", "of the floor", "bound"]
    rows[0] += ["speed-up"] if len(counts) > 1 else []
    for job in (job for job in JOBS if pool.OURS in results.training.get(job, {})):
        row, ours = [job], results.training[job][pool.OURS]
        for threads in counts:
            bound = least(results, job, threads)
            if bound is None or threads not in ours or not ours[threads].seconds:
                row += ["-"] * 4
                continue
            speed, part = JOBS[job].rows / ours[threads].best, bound.seconds / ours[threads].best
            row += [_number(speed), f"{speed * JOBS[job].flop / 1e9:.1f}", f"{part:.0%}", bound.bound]
        if len(counts) > 1:
            both = [ours[threads].best for threads in (counts[0], counts[-1]) if row.count("-") == 0]
            row.append(f"{both[0] / both[1]:.2f}" if len(both) == 2 else "-")
        rows.append(row)
    return rows


def losses(results: Results) -> list[list[str]]:
    """Loss over the training rows after `loss_epochs` epochs; one figure for each number of threads."""
    names = _names(results)
    rows = [["job", "epochs", *(pool.LIBRARIES[name].title for name in names), ""]]
    for job in (job for job in JOBS if job in results.training):
        libraries, row = results.training[job], [job, str(loss_epochs(JOBS[job]))]
        for name in names:
            timed = [t for t in libraries.get(name, {}).values() if t.loss is not None]
            told = {f"{loss:.4g}": None for t in timed for loss in (t.loss, *t.more_losses)}
            row.append(", ".join(told) or "-")
        rows.append([*row, loss_verdict(libraries) or "within noise"])
    return rows


def _time(seconds: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def predictions(results: Results) -> list[list[str]]:
    """One row's latency, and rows per second at 10,000 rows, from NumPy array to NumPy array."""
    there = {name for by in results.prediction.values() for libraries in by.values() for name in libraries}
    names = [name for name in pool.LIBRARIES if name in there]
    rows = [["network", "", *(pool.LIBRARIES[name].title for name in names), "ratio"]]
    for network, by in results.prediction.items():
        for count, libraries in by.items():
            row = [network, "one row" if count == "1" else f"{int(count):,} rows, rows/s"]
            for name in names:
                found = better(libraries.get(name, {}))
                told = "-" if not found else _time(found[1].best) if count == "1" else _number(
                    int(count) / found[1].best)
                row.append(f"{told} ({found[0]})" if found else told)
            factor = ratio(libraries)
            rows.append([*row, f"{factor:.2f}x" if factor else "-"])
    return rows


TABLES = (
    ("Training, rows per second", speeds,
     "Best epoch; in brackets the number of threads, of those measured, at which the library is faster, and how far "
     "its median epoch is above its best. The ratio is fusednet over the best other."),
    ("Training, the floor", floors,
     "The floor is the larger of the products' operations over the measured multiply-add rate and the bytes that must "
     "be moved over the measured rates of the memory levels that they live in (`bench/floor.py`)."),
    ("Training, loss", losses,
     "Over the training rows, after so many epochs from the same weights. The order of rows and the dropout masks "
     "differ; so the mean of fusednet's must lie within three standard deviations (of its own losses in five orders of "
     "rows, or of the others') or 2 % of the others' mean."),
    ("Prediction", predictions,
     "From NumPy array to NumPy array. The ratio is fusednet over the best other."),
)  # fmt: skip


def text(results: Results) -> str:
    """For a terminal."""
    parts = []
    for title, table, _ in TABLES:
        rows = table(results)
        if len(rows) == 1:
            continue
        widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
        lines = []
        for row in rows:
            cells = zip(row[1:], widths[1:], strict=True)
            lines.append("  ".join([f"{row[0]:<{widths[0]}}", *(f"{cell:>{width}}" for cell, width in cells)]))
        parts.append("\n".join([title, "", *(line.rstrip() for line in lines), ""]))
    return "\n".join(parts)


def markdown(results: Results, command: str, facts: list[tuple[str, str]]) -> str:
    """The page, with what it was measured on."""
    parts = [
        "# Beside other libraries\n",
        f"Written by `{command}`; not edited by hand.\n",
        "\n".join(f"- {name}: {told}" for name, told in facts) + "\n",
    ]
    for title, table, legend in TABLES:
        rows = table(results)
        if len(rows) > 1:
            marks = ["---"] + ["---:"] * (len(rows[0]) - 1)
            lines = "\n".join("| " + " | ".join(row) + " |" for row in [rows[0], marks, *rows[1:]])
            parts.append(f"## {title}\n\n{legend}\n\n{lines}\n")
    return "\n".join(parts)
