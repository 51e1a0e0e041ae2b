"""Which tables the tests run on.

a) `--backend` names one; by default every one that is installed. A test that takes `table` runs once on each.
b) A native table is that of the instruction set in use: FUSEDNET_ISA forces one, and the fixture asserts that it runs.
c) Tests marked exhaustive take minutes; pyproject.toml leaves them out where no -m asks for them.
d) What tests of whole trainings force: the native backend on one thread, the walker in Python, parts of every op.
"""

import os

os.environ.setdefault("NUMBA_NUM_THREADS", "8")  # read when Numba is imported; tests go up to 8 threads

import pytest

from fusednet import backends, threads
from fusednet.backends import interp


def pytest_addoption(parser):
    parser.addoption(
        "--backend",
        choices=backends.NAMES,
        help="run kernel tests on this table only (default: every one that is installed)",
    )


def _backends(config) -> tuple[str, ...]:
    wanted = config.getoption("--backend")
    return (wanted,) if wanted else backends.available()


def _described(name: str) -> str:
    if name != "native":
        return name
    from fusednet.backends import native

    return f"native ({native.chosen_isa()})"


def pytest_report_header(config):
    return f"tables under test: {', '.join(map(_described, _backends(config)))}"


def pytest_generate_tests(metafunc):
    if "backend" in metafunc.fixturenames:
        metafunc.parametrize("backend", _backends(metafunc.config))


@pytest.fixture
def table(backend, monkeypatch):
    """The backend's table; it is the one that was asked for, of the instruction set that was asked for."""
    monkeypatch.setattr(backends, "_current", None)  # afterwards the choice is what it was
    table = backends.select(backend)
    assert table.backend == backend
    assert (table.isa is not None) == (backend == "native")
    if backend == "native" and os.environ.get("FUSEDNET_ISA"):
        assert table.isa == os.environ["FUSEDNET_ISA"]
    return table


@pytest.fixture
def native_on_one_thread(monkeypatch):
    """The native backend, whatever is chosen otherwise, on one thread until the test says how many."""
    if "native" not in backends.available():
        pytest.skip("the native backend is not installed")
    monkeypatch.setattr(backends, "_current", None)
    backends.select("native")
    before = threads.get_num_threads()
    threads.set_num_threads(1)
    yield
    threads.set_num_threads(before)


def rows_keep_their_bits(table) -> bool:
    """Whether a row of a float32 product has the same bits among any number of rows: of a native table, unless it takes
    large products by the matrix unit and small ones not."""
    return table.backend == "native" and table.isa != "amx_bf16"


@pytest.fixture
def in_python(monkeypatch):
    """``in_python(True)``: walk with backends/interp.py whatever the table."""
    walker = interp.walker
    return lambda on: monkeypatch.setattr(interp, "walker", interp.Walker if on else walker)


@pytest.fixture
def forced_parts():
    """Parts of every op whatever its size, for as many threads; for one, it goes through part 0 of all ops of a phase,
    then through part 1 of all."""
    from fusednet.backends import native

    def force(count: int, team: int | None = None) -> None:
        threads.set_num_threads(team or count)
        native.force_parts(count)

    yield force
    native.force_parts(0)
