"""All figures in one readable report: kernel by kernel its time, share of the measured ceiling and ratio to NumPy,
against what is wanted.

`python bench/report.py` prints it; `--write docs/performance.md` writes it as Markdown, and every figure in the
documentation comes from there. Reads every bench_*.py and times with timing.py, not with pytest-benchmark, because
kernel, ceiling and NumPy have to take turns.
"""

import argparse
import os
import statistics
import sys
from importlib import import_module
from pathlib import Path

import bench_affine
import bench_overhead
import threadpoolctl
from timing import QUICK, Effort, Result, levels, measure, use_threads

import fusednet
from fusednet import backends
from fusednet.backends import native
from fusednet.bench import ceilings, text

FAMILIES = ("affine", "elementwise", "batch_norm", "optimizers", "rows")
EXTRAS = ("shapes", "overhead", "import")
MOST_WHEEL_BYTES = 3 * 1000 * 1000

LEGEND = """\
- **time**: the best of all rounds, per call through the native table, the Python call included; **spread**: how far the
  median is above it.
- **share**: of the floor, which is the larger of the kernel's multiply-adds at the measured multiply-add rate and its
  bytes at the measured rates of the level of memory they are in; **bound**: which of the two it is. Ceilings are
  measured in the same rounds as the kernel.
- **NumPy**: how many times the kernel's time the plain NumPy expression takes (bench/expressions.py), for products
  NumPy's own BLAS with as many threads.
- **wanted**: the least share, or ratio, that the kernel is held to. *arithmetic*: exp, log and the like on data in a
  cache are bound by their arithmetic, for which there is no ceiling; the share of the bytes' floor is told, not judged.
  In memory, where such a kernel's own speed in the cache is the larger floor, the share is of that, and judged.
- L2: the arrays fill half of each core's second-level cache; told, not judged, with more than one thread, because such
  a call takes no longer than a team takes to meet. memory: the largest array has 64 MB; where the last cache is larger,
  they may be there.
"""


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"


HEAD = ["kernel", "dtype", "size", "threads", "time", "spread", "bound", "share", "NumPy", "wanted", ""]
LEFT = {0, 1, 2, 6}
"""Columns of words."""


def _row(result: Result) -> list[str]:
    job = result.job
    wanted = [words for words in (_percent(job.share), f"{job.ratio:g}x" if job.ratio else "") if words]
    return [
        job.title, job.dtype, job.size, str(result.threads), text.seconds(result.time), _percent(result.spread),
        result.bound, _percent(result.share), f"{result.ratio:.2f}x" if result.ratio else "", ", ".join(wanted),
        result.verdict,
    ]


class Report:
    """Sections of (title, rows, columns of words), printed as they come, and the verdicts counted."""

    def __init__(self):
        self.sections: list[tuple[str, list[list[str]], set[int]]] = []
        self.verdicts: dict[str, list[str]] = {"PASS": [], "MISS": [], "arithmetic": []}

    def add(self, title: str, rows: list[list[str]], left=frozenset({0})) -> None:
        self.sections.append((title, rows, set(left)))
        print(f"\n{title}\n\n{text.plain(rows, frozenset(left))}", end="")

    def judge(self, verdict: str, what: str) -> None:
        if verdict:
            self.verdicts[verdict].append(what)

    def summary(self) -> str:
        passed, missed, told = (len(self.verdicts[v]) for v in ("PASS", "MISS", "arithmetic"))
        return f"{passed} reach what is wanted, {missed} miss it, {told} are bound by arithmetic."


def _progress(words: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{words}", end="", file=sys.stderr, flush=True)


def family(report: Report, name: str, table, options, effort: Effort) -> None:
    module = import_module(f"bench_{name}")
    rows = [HEAD]
    for threads in options.threads:
        probes = ceilings.Ceilings(threads, table.isa)
        with use_threads(threads):
            for job in module.jobs(levels(threads), threads):
                if options.quick and job.dtype == "float64":
                    continue
                _progress(str(job))
                result = measure(job, table, probes, threads, effort)
                rows.append(_row(result))
                report.judge(result.verdict, f"{job}, {threads} threads: {', '.join(rows[-1][7:10])}")
    _progress("")
    report.add(module.__doc__.splitlines()[0], rows, LEFT)


def shapes(report: Report, table, options, effort: Effort) -> None:
    """The three products at every shape of the case list, as ratios to NumPy's BLAS."""
    jobs = list(bench_affine.comparisons())
    if options.quick:
        jobs = [job for job in jobs if job.dtype == "float32" and job.flop < 5e8]
    columns: dict[tuple, dict[tuple, Result]] = {}
    for threads in options.threads:
        with use_threads(threads):
            for job in jobs:
                _progress(str(job))
                result = measure(job, table, None, threads, effort)
                shape = tuple(job.sizes[s] for s in "mkn")
                columns.setdefault((job.kernel, job.dtype, threads), {})[shape] = result
                report.judge(result.verdict, f"{job}, {threads} threads: {result.ratio:.2f}x NumPy's BLAS")
    _progress("")
    head = ["product", "dtype", "threads", "shapes", "slower than BLAS", "least", "at m x k x n", "median", "most", ""]
    rows = [head]
    for (kernel, dtype, threads), results in columns.items():
        ratios = {shape: result.ratio for shape, result in results.items()}
        slow = [shape for shape, result in results.items() if result.verdict == "MISS"]
        worst = min(ratios, key=ratios.get)
        rows.append([
            bench_affine.PRODUCTS[kernel], dtype, str(threads), str(len(ratios)), str(len(slow)),
            f"{ratios[worst]:.2f}x", "x".join(map(str, worst)), f"{statistics.median(ratios.values()):.2f}x",
            f"{max(ratios.values()):.2f}x", "MISS" if slow else "PASS",
        ])
    report.add("Products beside NumPy's BLAS, over every shape of the case list", rows, {0, 1})
    names = [f"{bench_affine.PRODUCTS[k]}, {d[0]}{d[5:]}, {t}" for k, d, t in columns]
    all_shapes = list(next(iter(columns.values())))
    rows = [["m x k x n", *names]]
    for shape in all_shapes:
        rows.append(["x".join(map(str, shape)), *(f"{column[shape].ratio:.2f}" for column in columns.values())])
    report.add("The same, shape by shape: NumPy's time over the kernel's (product, dtype, threads)", rows)


def overhead(report: Report, options) -> None:
    fusednet.set_num_threads(1)
    rows = [["op on 16 x 16", "kernels", "call", "kernels alone", "over them", "wanted", ""]]
    rounds = 10 if options.quick else 60
    for name, (call, kernels, count) in bench_overhead.overheads(rounds).items():
        over = call - kernels
        verdict = "PASS" if over < bench_overhead.MOST_SECONDS else "MISS"
        report.judge(verdict, f"ops.{name} costs {over * 1e6:.2f} µs over its kernels")
        times = [f"{seconds * 1e6:.2f} µs" for seconds in (call, kernels, over)]
        rows.append([name, str(count), *times, f"< {bench_overhead.MOST_SECONDS * 1e6:g} µs", verdict])
    report.add(bench_overhead.__doc__.splitlines()[0], rows)


def imports(report: Report, options) -> None:
    rows = [["", "measured", "wanted", ""]]
    runs = 5 if options.quick else 15
    for statement in ("import fusednet", "from fusednet import ops; ops.relu"):
        seconds = bench_overhead.import_seconds(statement, runs)
        verdict = "PASS" if seconds < bench_overhead.MOST_IMPORT_SECONDS else "MISS"
        report.judge(verdict, f"{statement} takes {seconds * 1e3:.1f} ms")
        rows.append([f"{statement}, over import numpy", f"{seconds * 1e3:.1f} ms", "< 50 ms", verdict])
    wheels = sorted(Path("dist").glob("fusednet-*.whl"), key=lambda path: path.stat().st_mtime)
    if wheels:
        size = wheels[-1].stat().st_size
        verdict = "PASS" if size < MOST_WHEEL_BYTES else "MISS"
        report.judge(verdict, f"the wheel has {size / 1e6:.2f} MB")
        rows.append([wheels[-1].name, f"{size / 1e6:.2f} MB", "< 3 MB", verdict])
    else:
        rows.append(["wheel (pip wheel --no-deps -w dist . makes one to be weighed)", "", "< 3 MB", ""])
    report.add("Import and wheel", rows)


def facts() -> list[tuple[str, str]]:
    blas = [info for info in threadpoolctl.threadpool_info() if info["user_api"] == "blas"]
    return [
        *ceilings.facts().items(),
        ("load", ", ".join(f"{x:.1f}" for x in os.getloadavg())),
        ("BLAS", "; ".join(f"{b['internal_api']} {b['version']} ({b.get('architecture', '')})" for b in blas)),
    ]


def write(report: Report, path: Path, table, told: list[tuple[str, str]]) -> None:
    """The report as a Markdown page."""
    parts = [
        "# Performance\n",
        f"Written by `python bench/report.py --write {path.as_posix()}`; not edited by hand.\n",
        "\n".join(f"- {name}: {words}" for name, words in told) + "\n",
        LEGEND,
        report.summary() + "\n",
    ]
    if report.verdicts["MISS"]:
        parts.append("Missed:\n\n" + "\n".join(f"- {what}" for what in report.verdicts["MISS"]) + "\n")
    for title, rows, left in report.sections:
        parts.append(f"## {title.rstrip('.')}\n\n{text.markdown(rows, frozenset(left))}")
    path.write_text("\n".join(parts), encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure all kernels against what is wanted of them.")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, float32 only: a look, not a claim")
    parser.add_argument("--only", nargs="+", choices=[*FAMILIES, *EXTRAS], default=[*FAMILIES, *EXTRAS])
    parser.add_argument("--threads", type=int, nargs="+", default=sorted({1, ceilings.all_threads()}))
    parser.add_argument("--isa", choices=[name for name, has in native.isas().items() if has])
    parser.add_argument("--write", type=Path, metavar="FILE.md")
    options = parser.parse_args()
    if options.isa:
        os.environ["FUSEDNET_ISA"] = options.isa
    table = backends.select("native")
    effort = QUICK if options.quick else Effort()
    report = Report()
    told = facts()
    for name, words in told:
        print(f"{name:<14} {words}")
    if set(options.only) & set(FAMILIES):
        rows = ceilings.table(options.threads, table.isa, rounds=3 if options.quick else 15)
        report.add("Ceilings", rows)
    for name in FAMILIES:
        if name in options.only:
            family(report, name, table, options, effort)
    if "shapes" in options.only:
        shapes(report, table, options, effort)
    if "overhead" in options.only:
        overhead(report, options)
    if "import" in options.only:
        imports(report, options)
    print(f"\n{report.summary()}")
    for what in report.verdicts["MISS"]:
        print(f"  MISS {what}")
    if options.write:
        write(report, options.write, table, told)
    return 1 if report.verdicts["MISS"] else 0


if __name__ == "__main__":
    sys.exit(main())
