"""Trains the jobs on fusednet and on the other libraries that are installed, in turns, and prints who is how fast.

`bench/peers/setup.sh` makes the environments, `python bench/peers/run.py [JOB ...]` measures; bench/README.md explains.
Reads measure.py, page.py and chart.py, and bench/'s workloads.py, floor.py and ceilings.py.
"""

import argparse
import datetime
import os
import platform
import sys
import tempfile
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parent.parent))

import ceilings
import chart
import measure
import page
import pool
from workloads import JOBS

import fusednet
from fusednet.backends import native


def facts(results: measure.Results) -> list[tuple[str, str]]:
    """What the figures were measured on."""
    sizes = ", ".join(f"{name} {size // 1024} KB" for name, size in sorted(ceilings.caches().items()))
    versions = (f"{pool.LIBRARIES[name].title} {version}" for name, version in results.versions.items())
    return [
        ("date", datetime.date.today().isoformat()),
        ("processor", f"{ceilings.processor()}, {ceilings.all_threads()} cores for this process; {sizes}"),
        ("system", f"{platform.system()} {platform.release()}"),
        ("fusednet", f"{fusednet.__version__}, {native.chosen_isa()}, {native.build_info()['compiler']}"),
        ("libraries", ", ".join(versions)),
    ]


def counts_of(text: str) -> list[int]:
    """1,all -> [1, 2] where there are two processors."""
    return sorted({ceilings.all_threads() if word == "all" else int(word) for word in text.split(",")})


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("jobs", nargs="*", metavar="JOB",
                        help=f"of {', '.join(JOBS)}, or predict; by default all, none with --tables")
    parser.add_argument("--libraries", help=f"of {','.join(pool.LIBRARIES)}; default those that are installed")
    parser.add_argument("--environments", type=Path, default=pool.FOLDER, help="default %(default)s")
    parser.add_argument("--threads", default="1,all", help="default %(default)s")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.4, help="of one library's turn")
    parser.add_argument("--results", type=Path, help="a file that takes the figures, and keeps those of other jobs")
    parser.add_argument("--tables", action="store_true", help="measure nothing more: tables of what --results has")
    parser.add_argument("--wait", action="store_true", help="when all is compiled, wait for a line before timing a job")
    parser.add_argument("--write", type=Path, metavar="FILE.md", help="the tables as a page")
    parser.add_argument("--chart", type=Path, metavar="FILE.svg")
    options = parser.parse_args()
    options.jobs = options.jobs or ([] if options.tables else [*JOBS, "predict"])
    if unknown := set(options.jobs) - {*JOBS, "predict"}:
        parser.error(f"unknown jobs {', '.join(sorted(unknown))}; there are {', '.join(JOBS)}, predict")
    there = pool.installed(options.environments)
    options.libraries = options.libraries.split(",") if options.libraries else there
    if absent := [name for name in options.libraries if name not in there]:
        parser.error(f"not in {options.environments}: {', '.join(absent)} (see setup.sh)")
    options.threads = counts_of(options.threads)
    return options


def wait(name: str) -> None:
    measure.say(f"ready to time {name}")
    sys.stdin.readline()


def run(options: argparse.Namespace, results: measure.Results, logs: Path) -> None:
    """Measure the jobs; the results are kept after each."""
    workers = []
    try:
        for name in options.libraries:
            workers += [pool.Worker(name, n, options.environments, logs / f"{name}-{n}.log") for n in options.threads]
        for worker in workers:
            results.versions[worker.name] = worker.ask("version")["version"]
        for job in options.jobs:
            measure.say(job)

            def ready(job=job):
                if options.wait:
                    wait(job)

            if job == "predict":
                for network in measure.PREDICTIONS:
                    measure.predict(network, workers, results, options.rounds, options.seconds / 4, ready)
            else:
                training = [worker for worker in workers if pool.LIBRARIES[worker.name].trains]
                measure.measure(job, training, results, options.rounds, options.seconds, ready)
            if options.results:
                results.save(options.results)
            measure.say(f"{job} is done")
    finally:
        for worker in workers:
            worker.close()


def main() -> int:
    options = arguments()
    results = measure.Results.load(options.results) if options.results else measure.Results()
    if options.jobs:
        run(options, results, Path(tempfile.mkdtemp(prefix="peers-")))
    print(page.text(results))
    if options.write:
        command = f"python bench/peers/run.py --write {options.write.as_posix()}"
        options.write.write_text(page.markdown(results, command, facts(results)), encoding="utf-8")
    if options.chart:
        options.chart.write_text(chart.svg(results), encoding="utf-8")
    wrong = [job for job, libraries in results.training.items() if page.loss_verdict(libraries)]
    if wrong:
        print(f"loss not within the noise of the others': {', '.join(wrong)}")
    return bool(wrong)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    sys.exit(main())
