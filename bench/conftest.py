"""pytest-benchmark runs of the jobs in bench_*.py: options, and what is noted beside each time.

`extra_info` of each benchmark has `share` (of the measured floor), `bound` (by what), `ratio` (NumPy's time over the
kernel's) and the rates they come from.
"""

import pytest
from timing import QUICK, levels, measure, use_threads

from fusednet import backends
from fusednet.bench.ceilings import Ceilings, all_threads


def pytest_addoption(parser):
    group = parser.getgroup("fusednet")
    group.addoption("--threads", type=int, default=1, help=f"threads of a call (default 1; here are {all_threads()})")


def pytest_generate_tests(metafunc):
    if "job" in metafunc.fixturenames:
        threads = metafunc.config.getoption("threads")
        jobs = list(metafunc.module.jobs(levels(threads), threads))
        metafunc.parametrize("job", jobs, ids=str)


def pytest_report_header(config):
    return f"threads: {config.getoption('threads')}; table: {backends.select()}"


@pytest.fixture(scope="session")
def ceilings(request):
    return Ceilings(request.config.getoption("threads"))


@pytest.fixture(name="measure")
def measure_fixture(request, benchmark, ceilings):
    """A function that benchmarks a job, and notes its share and its ratio beside the time."""

    def run(job):
        threads = request.config.getoption("threads")
        table = backends.select("native")
        benchmark.group = f"{job.dtype}, {job.level or 'products'}"
        with use_threads(threads):
            benchmark(job.function(table), *job.arguments())
            result = measure(job, table, ceilings, threads, QUICK)
        benchmark.extra_info["threads"] = threads
        benchmark.extra_info["bound"] = result.bound
        benchmark.extra_info["share"] = round(result.share, 3)
        benchmark.extra_info["ratio"] = result.ratio and round(result.ratio, 2)
        benchmark.extra_info["rates"] = {what: round(rate / 1e9, 1) for what, rate in result.rates.items()}

    return run
