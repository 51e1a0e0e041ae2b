"""Tables of what was measured: as text, as Markdown.

Reads results.py, measure.py, pool.py and floor.py; read by chart.py and cli/_bench.py.

a) A ratio is our best epoch's speed over the best other's, each with its better number of threads.
b) Losses are held against each other: after as many epochs from the same weights, ours must lie where the others' do,
   within what the order of rows makes of it; `loss_verdict` says what that means.
"""

import math
import statistics

from fusednet.bench import pool, text
from fusednet.bench.floor import Floor, Rates, floor
from fusednet.bench.measure import loss_epochs
from fusednet.bench.results import OURS, Results, Timed
from fusednet.bench.workloads import named, ordered

LEAST_NOISE = 0.02
"""Relative difference of losses that the order of rows makes at least."""


def better(threads: dict[str, Timed]) -> tuple[str, Timed] | None:
    """The number of threads at which the library is faster, and what it reached."""
    able = {count: timed for count, timed in threads.items() if timed.seconds and not timed.refusal}
    return min(able.items(), key=lambda pair: pair[1].best) if able else None


def best_other(libraries: dict[str, dict[str, Timed]]) -> tuple[str, str, Timed] | None:
    """Name, threads and figures of the fastest other library."""
    able = {name: better(threads) for name, threads in libraries.items() if not pool.LIBRARIES[name].ours}
    found = [(name, *reached) for name, reached in able.items() if reached]
    return min(found, key=lambda one: one[2].best, default=None)


def ratio(libraries: dict[str, dict[str, Timed]], name: str = OURS) -> float | None:
    """Our speed, or another of our ways', over the best other's."""
    ours, other = better(libraries.get(name, {})), best_other(libraries)
    return other[2].best / ours[1].best if ours and other else None


def geometric_mean(ratios: list[float]) -> float:
    return math.exp(statistics.fmean(math.log(ratio) for ratio in ratios))


def loss_verdict(libraries: dict[str, dict[str, Timed]], own: str = OURS) -> str:
    """"" where our loss is within the noise of the others', else by how much it is not.

    The noise is three standard deviations of our losses in several orders of rows, or of the others', and no less than
    `LEAST_NOISE`; it is the means that are compared.
    """

    def told(name: str) -> list[float]:
        timed = libraries.get(name, {}).values()
        return [loss for t in timed for loss in (t.loss, *t.more_losses) if loss is not None]

    ours = told(own)
    others = [loss for name in libraries if not pool.LIBRARIES[name].ours for loss in told(name) if math.isfinite(loss)]
    if not ours or not others:
        return ""
    if not all(map(math.isfinite, ours)):
        return "not finite"
    mean = statistics.fmean(others)
    noise = max(3 * statistics.pstdev(told(OURS) or ours), 3 * statistics.pstdev(others), LEAST_NOISE * abs(mean))
    far = statistics.fmean(ours) - mean
    return "" if abs(far) <= noise else f"{far / mean:+.0%}"


def names_of(results: Results) -> list[str]:
    """The libraries that trained, fusednet in its usual way the only one of ours."""
    there = {name for libraries in results.training.values() for name in libraries}
    return [name for name, entry in pool.LIBRARIES.items() if name in there and (name == OURS or not entry.ours)]


def _speed(rows: int, threads: dict[str, Timed] | None) -> str:
    found = better(threads or {})
    if not found:
        return "-"
    return f"{text.number(rows / found[1].best)} ({found[0]}, +{found[1].spread:.0%})"


def least(results: Results, job: str, threads: str) -> Floor | None:
    """The job's floor by the rates that were measured."""
    try:
        return floor(named(job), int(threads), Rates(results.rates, rounds=0))
    except KeyError:
        return None


def jobs(results: Results) -> list[list[str]]:
    """What was trained."""
    losses, optimizers = {"ce": "cross entropy", "mse": "squared error"}, {"sgd": "SGD", "adam": "Adam"}
    rows = [["job", "network", "hidden layers", "loss", "optimizer", "batch", "rows"]]
    for name in ordered(results.training):
        job = named(name)
        hidden = [job.activation, *(["batch norm"] if job.batch_norm else []),
                  *([f"dropout {job.dropout:g}"] if job.dropout else [])]
        rows.append([name, job.network, ", ".join(hidden), losses[job.loss],
                     optimizers.get(job.optimizer, job.optimizer), f"{job.batch:,}", f"{job.rows:,}"])
    return rows


def speeds(results: Results) -> list[list[str]]:
    """Rows per second; in brackets the number of threads at which the library is faster, and the spread."""
    names = names_of(results)
    if all(pool.LIBRARIES[name].ours for name in names):
        return []
    rows = [["job", *(pool.LIBRARIES[name].title for name in names), "best other", "ratio"]]
    ratios = []
    for job in ordered(results.training):
        libraries = results.training[job]
        factor, other = ratio(libraries), best_other(libraries)
        ratios += [factor] if factor else []
        rows.append([
            job, *(_speed(named(job).rows, libraries.get(name)) for name in names),
            pool.LIBRARIES[other[0]].title if other else "-", f"{factor:.2f}x" if factor else "-",
        ])
    if ratios:
        rows.append(["geometric mean", *[""] * (len(names) + 1), f"{geometric_mean(ratios):.2f}x"])
    return rows


def floors(results: Results, loss: bool = False) -> list[list[str]]:
    """Our figures, a row for each number of threads, and the share of the floor; on request the loss."""
    rows = [["job", "threads", "rows/s", "spread", "GFLOP/s", "of the floor", "bound", "speed-up", *["loss"] * loss]]
    for name in ordered(name for name in results.training if OURS in results.training[name]):
        job, timed = named(name), results.training[name][OURS]
        able = sorted((count for count in timed if timed[count].seconds), key=int)
        for count in able:
            mine, bound = timed[count], least(results, name, count)
            speed = job.rows / mine.best
            rows.append([
                name if count == able[0] else "", count, text.number(speed), f"+{mine.spread:.0%}",
                f"{speed * job.flop / 1e9:.1f}",
                *([f"{bound.seconds / mine.best:.0%}", bound.bound] if bound else ["-", "-"]),
                "" if count == able[0] else f"{timed[able[0]].best / mine.best:.2f}x", *[f"{mine.loss:.4g}"] * loss,
            ])
    return rows


def precisions(results: Results) -> list[list[str]]:
    """Our figures with faster and less exact products, and what the losses then are."""
    there = {name for libraries in results.training.values() for name in libraries}
    names = [name for name, entry in pool.LIBRARIES.items() if entry.ours and name in there]
    if len(names) < 2:
        return []
    rows = [["job"]]
    for name in names:
        rows[0] += [pool.LIBRARIES[name].title, "ratio", "loss"]
    for job in ordered(results.training):
        libraries, row = results.training[job], [job]
        for name in names:
            factor = ratio(libraries, name)
            mine = [f"{timed.loss:.4g}" for timed in libraries.get(name, {}).values() if timed.loss is not None]
            verdict = loss_verdict(libraries, name)
            row += [_speed(named(job).rows, libraries.get(name)), f"{factor:.2f}x" if factor else "-"]
            row += [f"{', '.join(dict.fromkeys(mine))}{f' ({verdict})' if verdict else ''}" if mine else "-"]
        rows.append(row)
    return rows


def losses(results: Results) -> list[list[str]]:
    """Loss over the training rows after `loss_epochs` epochs; one figure for each number of threads."""
    names = names_of(results)
    rows = [["job", "epochs", *(pool.LIBRARIES[name].title for name in names), ""]]
    for job in ordered(results.training):
        libraries, row = results.training[job], [job, str(loss_epochs(named(job)))]
        for name in names:
            timed = [t for t in libraries.get(name, {}).values() if t.loss is not None]
            told = {f"{loss:.4g}": None for t in timed for loss in (t.loss, *t.more_losses)}
            row.append(", ".join(told) or "-")
        rows.append([*row, loss_verdict(libraries) or "within noise"])
    return rows


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
                if not found:
                    row.append("-")
                    continue
                best = found[1].best
                told = text.seconds(best) if count == "1" else text.number(int(count) / best)
                row.append(f"{told} ({found[0]}, +{found[1].spread:.0%})")
            factor = ratio(libraries)
            rows.append([*row, f"{factor:.2f}x" if factor else "-"])
    return rows


TABLES = (
    ("The jobs", jobs,
     "Features are float32 standard normal numbers in memory; the order of rows is drawn anew in each epoch. Networks "
     "are told by widths, from features to outputs. A dash in the tables below: the library has no such layer."),
    ("Training, rows per second", speeds,
     "Best epoch; in brackets the number of threads, of those measured, at which the library is faster, and how far "
     "its median epoch is above its best. The ratio is fusednet over the best other."),
    ("Training, the floor", floors,
     "The floor is the larger of the products' operations over the measured multiply-add rate and the bytes that must "
     "be moved over the measured rates of the memory levels that they live in (`src/fusednet/bench/floor.py`). "
     "Operations count whether a factor is 0 or not, here and in GFLOP/s; large products leave zeros out, as there are "
     "behind relu and dropout, or run on a matrix unit, so a share may be above 100 %. Spread is how far the median "
     "epoch is above the best."),
    ("Training, other precisions", precisions,
     "`matmul_precision` lets products of float32 matrices be less exact and faster; all others' are float32. Ratios "
     "are to the best other as above; a loss that is not within the noise has its distance in brackets."),
    ("Training, loss", losses,
     "Over the training rows, after so many epochs from the same weights. The order of rows and the dropout masks "
     "differ; so the mean of fusednet's must lie within three standard deviations (of its own losses in five orders of "
     "rows, or of the others') or 2 % of the others' mean."),
    ("Prediction", predictions,
     "From NumPy array to NumPy array: latency of one row, rows per second at 10,000. In brackets the number of "
     "threads at which the library is faster, and the spread. The ratio is fusednet over the best other."),
)  # fmt: skip


def shown(results: Results) -> list[tuple[str, list[list[str]], str]]:
    """Title, rows and legend of each table that has something in it."""
    made = ((title, table(results), legend) for title, table, legend in TABLES)
    return [(title, rows, legend) for title, rows, legend in made if len(rows) > 1]


def plain(results: Results) -> str:
    """For a terminal."""
    return "\n".join(f"{title}\n\n{text.plain(rows)}" for title, rows, _ in shown(results))


def markdown(results: Results, command: str, picture: str = "") -> str:
    """The page, with what it was measured on."""
    versions = (f"{pool.LIBRARIES[name].title} {version}" for name, version in results.versions.items()
                if not pool.LIBRARIES[name].ours)
    facts = {**results.facts, "libraries": ", ".join(versions)}
    parts = [
        "# Beside other libraries\n",
        f"Written by `{command}`; not edited by hand.\n",
        "\n".join(f"- {name}: {told}" for name, told in facts.items()) + "\n",
        *([f"![Training speed beside the best other library]({picture})\n"] if picture else []),
        *(f"## {title}\n\n{legend}\n\n{text.markdown(rows)}" for title, rows, legend in shown(results)),
    ]
    return "\n".join(parts)
