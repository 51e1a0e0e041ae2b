"""``fusednet bench``: what it prints, writes and refuses. What is measured beside other libraries is test_peers.py's.

Jobs are small ones that take the place of the real ones; no test looks at a speed.
"""

import importlib
import re
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import fusednet as fn
from fusednet.backends import available, current, select
from fusednet.bench import ceilings, memory, pool, training, workloads
from fusednet.bench.results import Results, Timed
from fusednet.cli import _bench, main

NATIVE = pytest.mark.skipif("native" not in available(), reason="no native table, so no probes")
SCRIPTS = Path(__file__).resolve().parent.parent / "bench"
SHORT = ["--rounds", "1", "--seconds", "0.001", "--threads", "1"]


@pytest.fixture(autouse=True)
def small(monkeypatch, tmp_path):
    """Small jobs under the names of real ones, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    job = workloads.Job(5, (7, 6), 3, "ce", "adam", 0.01, 16, 96)
    monkeypatch.setattr(workloads, "JOBS", {"tiny": job, "rl": replace(job, batch=8, batch_norm=True)})
    monkeypatch.setattr(_bench, "JOBS", workloads.JOBS)


def rows_of(out: str) -> list[list[str]]:
    return [re.split(r" {2,}", line.strip()) for line in out.splitlines()]


def test_alone_it_prints_every_job(capsys):
    before = fn.get_num_threads()
    assert main(["bench", *SHORT]) == 0
    told = capsys.readouterr()
    head, *rows = rows_of(told.out)
    assert head == ["job", "threads", "rows/s", "spread", "GFLOP/s", "of the floor", "bound", "speed-up", "loss"]
    assert [row[0] for row in rows] == ["tiny", "rl"]
    for row in rows:
        assert float(row[-1]) > 0 and (re.fullmatch(r"\d+%", row[5]) or "native" not in available())
    assert re.search(r"^tiny: [\d,]+ rows/s with 1$", told.err, re.MULTILINE)
    assert fn.get_num_threads() == before


def test_jobs_and_batch_sizes_are_chosen(capsys):
    assert main(["bench", "rl", "tiny@1", *SHORT]) == 0
    assert [row[0] for row in rows_of(capsys.readouterr().out)[1:]] == ["tiny@1", "rl"]


@NATIVE
def test_ceilings_have_every_level_and_units(capsys):
    assert main(["bench", "--ceilings", "--rounds", "1", "--threads", "1"]) == 0
    rows = rows_of(capsys.readouterr().out)
    names = [row[0] for row in rows]
    assert names[0] == "1 thread" and "multiply-adds, float64" in names
    for level in ("L1", "L2", "L3", "memory"):
        for what in ("read", "write", "update"):
            assert sum(name.startswith(f"{what}, {level} ") for name in names) == 1
    units = ceilings.Ceilings(1).units
    assert ("multiply-adds, bfloat16 with float32 sums" in names) == units
    for row in rows[1:]:
        rate, unit = row[1].split()
        assert float(rate) > 0 and unit == ("GFLOP/s" if "adds" in row[0] else "GB/s")


@NATIVE
def test_a_probe_that_is_not_there_is_refused():
    from fusednet.backends import native

    with pytest.raises(ValueError, match="scalar multiplies no bfloat16 numbers"):
        native.probe("dot", "float32", None, 1, "scalar")
    with pytest.raises(ValueError, match="multiplies no bfloat16 numbers in float64"):
        native.probe("dot", "float64", None, 1)
    if ceilings.Ceilings(1).units:
        once = native.probe("dot", "float32", None, 1)
        assert native.probe("dot", "float32", None, 3) == 3 * once >= 3 * native.probe("fma", "float32", None, 1)


def test_a_chart_that_cannot_be_drawn_is_told_of(capsys, tmp_path):
    assert main(["bench", "tiny", "--peers", "--chart", "c.svg", "--libraries", "fusednet", *SHORT]) == 0
    assert "no chart: there is no job that another library was trained on too" in capsys.readouterr().err
    assert not (tmp_path / "c.svg").exists()


def test_beside_numpy_it_writes_page_and_chart(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    arguments = ["--peers", "--results", "r.json", "--write", "p.md", "--chart", "c.svg"]
    assert main(["bench", "tiny", *arguments, "--libraries", "fusednet,numpy", *SHORT]) in (0, 1)  # of 9 steps the loss
    told = capsys.readouterr()
    assert "Training, rows per second" in told.out and "page in p.md" in told.err and "chart in c.svg" in told.err
    page = (tmp_path / "p.md").read_text(encoding="utf-8")
    command = "fusednet bench --peers --write p.md --chart c.svg"
    for words in (command, "(c.svg)", "| tiny |", "## Training, loss", "- date: "):
        assert words in page
    assert "numpy" in Results.load(tmp_path / "r.json").training["tiny"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c.svg", "p.md", "r.json"], "something was left behind"
    (tmp_path / "p.md").unlink()
    assert main(["bench", "--tables", *arguments]) in (0, 1)
    assert (tmp_path / "p.md").read_text(encoding="utf-8") == page


@pytest.mark.parametrize(("arguments", "said"), [
    (["tinny"], "job is 'tinny'; known: tiny, rl (did you mean 'tiny'?)"),
    (["predict"], "job is 'predict'; known: tiny, rl"),
    (["tiny@97"], "job is 'tiny@97'; wanted a batch size from 1 to 96"),
    (["--threads", "100000"], "100000 threads cannot be measured, this process may use"),
    (["--threads", "0"], "'0' is not numbers of threads; wanted such as 1,all"),
    (["--rounds", "0"], "0; wanted 1 or more"),
    (["--ceilings", "tiny"], "--ceilings measures the machine, not jobs such as 'tiny'"),
    (["--ceilings", "--peers"], "not allowed with argument"),
    (["--memory", "--peers"], "not allowed with argument"),
    (["--ceilings", "--seconds", "1"], "--ceilings finds itself how long a probe runs"),
    (["--memory", "--rounds", "3"], "--memory measures bytes"),
    (["--memory", "--seconds", "1"], "--memory measures bytes"),
    (["--memory", "tinny"], "job is 'tinny'; known: tiny, rl (did you mean 'tiny'?)"),
    (["--write", "p.md"], "--write goes with --peers"),
    (["--peers"], "no other library is installed here, and none in"),
    (["--peers", "--libraries", "torch"], "PyTorch is installed neither here nor in"),
    (["--peers", "--libraries", "trch"], "did you mean 'torch'?"),
    (["--peers", "--environments", "nowhere"], "--environments: there is no folder nowhere"),
    (["--peers", "--write", "nowhere/p.md"], "--write nowhere/p.md: there is no folder nowhere"),
    (["--peers", "--tables"], "name one that exists with --results"),
], ids=lambda given: " ".join(given) if isinstance(given, list) else "")  # fmt: skip
def test_what_does_not_do_is_one_line_and_status_2(capsys, monkeypatch, tmp_path, arguments, said):
    monkeypatch.setattr(pool, "FOLDER", tmp_path / "none")
    monkeypatch.setattr(pool, "LIBRARIES", {
        name: replace(entry, needs=("no_such_module",)) if entry.environment else entry
        for name, entry in pool.LIBRARIES.items()
    })
    try:
        status = main(["bench", *arguments])
    except SystemExit as left:
        status = left.code
    told = capsys.readouterr()
    assert status == 2 and not told.out and told.err.count("\n") == 1
    assert told.err.startswith("fusednet bench: error: ") and said in told.err
    assert not list(tmp_path.iterdir())


def test_without_native_code_there_are_no_ceilings(capsys, monkeypatch):
    monkeypatch.setattr(ceilings, "can_probe", lambda: False)
    assert main(["bench", "--ceilings"]) == 2
    assert "fusednet was built without it" in capsys.readouterr().err
    assert main(["bench", "tiny", *SHORT]) == 0
    assert rows_of(capsys.readouterr().out)[1][5:7] == ["-", "-"]


@NATIVE
def test_the_backend_that_was_asked_for_is_the_one_that_is_measured(capsys, monkeypatch):
    """Beside the floor, whose rates are of native code."""
    monkeypatch.setenv("FUSEDNET_BACKEND", "numpy")
    before, used = current().backend, []
    fit = fn.Sequential.fit
    monkeypatch.setattr(fn.Sequential, "fit", lambda *a, **b: used.append(current().backend) or fit(*a, **b))
    select()
    try:
        assert main(["bench", "tiny", *SHORT]) == 0
    finally:
        select(before)
    assert set(used) == {"numpy"} and rows_of(capsys.readouterr().out)[1][5] != "-"


@pytest.mark.skipif(not memory.STATUS.exists(), reason="no /proc here")
def test_memory_is_counted_and_measured(capsys):
    assert main(["bench", "--memory", "rl", "tiny@32", "--threads", "1"]) == 0
    head, *rows = rows_of(capsys.readouterr().out)
    assert head[0] == "job, MB" and [row[0] for row in rows] == ["rl", "tiny@32"]
    found = memory.measure("rl", 1)
    numbers = 4 * (5 * 7 + 7 + 14 + 7 * 6 + 6 + 12 + 6 * 3 + 3)
    assert (found.parameters, found.moments, found.gradients) == (numbers, 2 * numbers, numbers)
    assert found.activations == 4 * 8 * (5 + 2 * 7 + 2 * 6 + 3)
    assert found.arrays > found.least + found.gradients and found.growth >= 0


def test_memory_is_refused_where_the_system_does_not_say(capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "STATUS", tmp_path / "none")
    assert main(["bench", "--memory", "tiny"]) == 2
    assert "which only Linux has" in capsys.readouterr().err


def test_a_loss_that_depends_on_threads_and_a_cliff_are_told():
    def told(one: Timed, two: Timed) -> list[str]:
        return training.wrong(Results(training={"tiny": {"fusednet": {"1": one, "2": two}}}))

    assert told(Timed([1.0], 0.5), Timed([1.04], 0.5)) == []
    assert told(Timed([1.0], 0.5), Timed([1.0], 0.5000001)) == ["tiny: the loss depends on the number of threads"]
    assert told(Timed([1.0], 0.5), Timed([1.1], 0.5)) == ["tiny: 2 threads reach 0.91 times the speed of 1"]


def test_the_package_does_not_read_its_benchmark():
    code = "import sys, fusednet, fusednet.model; print([name for name in sys.modules if 'bench' in name])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


# ---- bench/precision.py ----------------------------------------------------------------------------------------------


@pytest.fixture
def precision(monkeypatch):
    """The script as a module."""
    if not SCRIPTS.is_dir():
        pytest.skip("no source tree here")
    monkeypatch.syspath_prepend(str(SCRIPTS))
    before = set(sys.modules)
    yield importlib.import_module("precision")
    for name in set(sys.modules) - before:
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(str(SCRIPTS)):
            del sys.modules[name]


def test_errors_of_products_are_seen(precision):
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((40, 40)).astype(np.float32) for _ in range(2))
    exact = a.astype(np.float64) @ b
    assert precision.error(exact, a, b) == 0 and 0 < precision.error(a @ b, a, b) < 1e-6
    wrong = exact.copy()
    wrong[7, 3] += 0.01 * (np.abs(a[7]) @ np.abs(b[:, 3]))
    assert precision.error(wrong, a, b) == pytest.approx(0.01)
    assert precision.error(np.zeros_like(exact), a, b) > 0.1
    assert precision.error(np.ones((2, 2)), np.zeros((2, 2), np.float32), np.zeros((2, 2), np.float32)) == np.inf


def test_errors_are_of_every_value_range_and_product(precision):
    ranges = precision.value_ranges()
    assert set(ranges) >= {"normal", "positive", "negative", "mixed", "large", "tiny", "zeros", "subnormal"}
    for name, listed in ranges.items():
        assert name == "negative" or {case.kernel for case in listed} == set(precision.MATRICES)
        assert any(min(case.sizes.values()) == precision.LARGE for case in listed)
    for case in (ranges["normal"][1], ranges["mixed"][-1]):
        a, b = precision.factors(case)
        assert precision.error(precision.multiplied(precision.backends.current(), case, 0), a, b) < 1e-6
