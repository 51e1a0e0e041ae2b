"""``fusednet bench``: what the machine can do, how fast trainings are on it, how large, and beside other libraries.

Reads fusednet.bench and cli/_options.py; read by cli/__init__.py. The scripts bench/training.py and bench/peers/run.py
are this command with some options set.

a) All that was asked for is checked before anything is measured.
b) Tables go to stdout, what happens meanwhile to stderr.
c) Exit status 1 says that what was measured is not as it should be: a loss that is not the others', more threads that
   are slower than fewer.
"""

import shutil
import sys
import tempfile
from pathlib import Path

from fusednet.bench import ceilings, chart, memory, page, peers, pool, text, training
from fusednet.bench.results import Results
from fusednet.bench.workloads import JOBS, named
from fusednet.cli._options import PEERS
from fusednet.errors import unknown

ROUNDS, SECONDS, CEILING_ROUNDS = 5, 0.4, 15


def run(options) -> int:
    """Measure as the options say; the exit status."""
    counts = _counts(options.threads)
    if not options.peers and (given := [name for name in PEERS if getattr(options, name)]):
        raise ValueError(f"--{given[0]} goes with --peers")
    if options.ceilings:
        return _ceilings(options, counts)
    if options.memory:
        return _memory(options, counts)
    if options.peers:
        return _peers(options, counts)
    return _training(options, counts)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _counts(words) -> list[int]:
    """1, "all" -> [1, 2] where there are two processors."""
    most = ceilings.all_threads()
    counts = sorted({most if word == "all" else word for word in words})
    if counts[-1] > most:
        raise ValueError(f"--threads: {counts[-1]} threads cannot be measured, this process may use "
                         f"{most} processor{'' if most == 1 else 's'}")
    return counts


def _jobs(options, more: tuple[str, ...] = ()) -> list[str]:
    """The jobs that were asked for, or all."""
    for name in options.jobs:
        if name.partition("@")[0] not in (*JOBS, *more):
            raise unknown("", "job", name, (*JOBS, *more))
        if name not in more:
            named(name)
    return list(dict.fromkeys(options.jobs)) or [*JOBS, *more]


def _ceilings(options, counts: list[int]) -> int:
    if options.jobs:
        raise ValueError(f"--ceilings measures the machine, not jobs such as {options.jobs[0]!r}")
    if options.seconds:
        raise ValueError("--ceilings finds itself how long a probe runs; --seconds goes with jobs")
    team = ceilings.Ceilings(counts[0])
    sizes = ", ".join(f"{name} {size // ceilings.KB} KB" for name, size in sorted(ceilings.caches().items()))
    _say(f"{ceilings.processor()}, {team.isa}, {sizes}")
    print(text.plain(ceilings.table(counts, rounds=options.rounds or CEILING_ROUNDS)), end="")
    return 0


def _memory(options, counts: list[int]) -> int:
    if given := [name for name in ("rounds", "seconds") if getattr(options, name)]:
        raise ValueError(f"--memory measures bytes, once for each job; --{given[0]} goes with measuring times")
    found = {}
    for name in _jobs(options):
        found[name] = memory.measure(name, counts[-1])
        _say(f"{name}: {found[name].growth / memory.MB:,.1f} MB")
    print(text.plain(memory.table(found)), end="")
    return 0


def _training(options, counts: list[int]) -> int:
    jobs, results = _jobs(options), Results()
    training.run(jobs, results, counts, options.rounds or ROUNDS, options.seconds or SECONDS, _say)
    print(text.plain(page.floors(results, loss=True)), end="")
    wrong = training.wrong(results)
    for line in wrong:
        print(line)
    return bool(wrong)


def _folder(path: Path | None, option: str) -> None:
    if path is not None and not path.parent.is_dir():
        raise ValueError(f"{option} {path}: there is no folder {path.parent}")


def _peers(options, counts: list[int]) -> int:
    jobs = _jobs(options, (peers.PREDICT,)) if options.jobs or not options.tables else []
    environments = Path(options.environments) if options.environments else pool.FOLDER
    kept = Path(options.results) if options.results else None
    written, drawn = options.write and Path(options.write), Path(options.chart or "peers.svg")
    for path, option in ((kept, "--results"), (written, "--write"), (drawn, "--chart")):
        _folder(path, option)
    if options.environments and not environments.is_dir():
        raise ValueError(f"--environments: there is no folder {environments}")
    if options.tables and not (kept and kept.exists()):
        raise ValueError("--tables shows what a file has: name one that exists with --results")
    results = Results.load(kept) if kept else Results()
    if jobs:
        units = ceilings.can_probe() and ceilings.Ceilings(1).units
        libraries = pool.chosen(options.libraries, environments, units)
        logs = Path(tempfile.mkdtemp(prefix="fusednet-bench-"))
        rounds, seconds = options.rounds or ROUNDS, options.seconds or SECONDS
        failed = peers.run(jobs, results, libraries, environments, counts, rounds, seconds, logs, options.wait,
                           lambda: results.save(kept) if kept else None)
        if not failed:
            shutil.rmtree(logs)
    print(page.plain(results), end="")
    if any(page.ratio(libraries) for libraries in results.training.values()):
        drawn.write_text(chart.svg(results), encoding="utf-8")
        _say(f"chart in {drawn}")
    elif options.chart:
        _say("no chart: there is no job that another library was trained on too")
    if written:
        command = f"fusednet bench --peers --write {written.as_posix()} --chart {drawn.as_posix()}"
        beside = drawn.name if drawn.parent.resolve() == written.parent.resolve() and drawn.exists() else ""
        written.write_text(page.markdown(results, command, beside), encoding="utf-8")
        _say(f"page in {written}")
    wrong = [job for job, libraries in results.training.items() if page.loss_verdict(libraries)]
    if wrong:
        print(f"loss not within the noise of the others': {', '.join(wrong)}")
    return bool(wrong)
