"""fusednet.bench beside other libraries: what can be tested without them: turns, tables, the loops in NumPy and here.

The scripts in fusednet/bench/workers are imported by their bare names, as they import each other.
"""

import importlib
import sys
from dataclasses import asdict, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from fusednet.bench import ceilings, chart, floor, measure, page, pool, results, workloads

SCRIPTS = ("adapter", "fusednet_fit", "numpy_plain", "worker")
SETUP = Path(__file__).resolve().parent.parent / "bench" / "peers" / "setup.sh"


@pytest.fixture
def peers(monkeypatch):
    """The modules by name; no script stays imported."""
    monkeypatch.syspath_prepend(str(pool.HERE))
    before = set(sys.modules)
    modules = (ceilings, chart, floor, measure, page, pool, results, workloads)
    own = {module.__name__.rpartition(".")[2]: module for module in modules}
    yield SimpleNamespace(**own, **{name: importlib.import_module(name) for name in SCRIPTS})
    for name in set(sys.modules) - before:
        if name in SCRIPTS:
            del sys.modules[name]


def small(peers, **more):
    return peers.workloads.Job(**{
        "features": 5, "hidden": (7, 6), "outputs": 3, "loss": "ce", "optimizer": "adam", "rate": 0.01, "batch": 16,
        "rows": 96, **more,
    })  # fmt: skip


def task_of(peers, job, tmp_path, seed=3):
    peers.measure.stage(job, tmp_path)
    return peers.worker.task_of({"folder": tmp_path, "job": asdict(job), "seed": seed}, 1)


@pytest.mark.parametrize("more", [
    {"optimizer": "sgd"},
    {"optimizer": "momentum", "batch_norm": True},
    {"optimizer": "sgd", "batch_norm": True, "activation": "tanh"},
    {"optimizer": "momentum", "loss": "mse", "outputs": 2, "batch_norm": True},
    {"loss": "mse", "outputs": 1, "activation": "tanh"},
    {"activation": "relu"},
], ids=str)  # fmt: skip
def test_a_step_in_numpy_is_a_step_of_ours(peers, tmp_path, more):
    """A batch of all rows has no order, so both must end with the same outputs.

    Adam is not beside batch norm here: the gradient of a bias before it is nothing but rounding, and Adam makes whole
    steps of it.
    """
    job = small(peers, rows=32, batch=32, **more)
    task = task_of(peers, job, tmp_path)
    ours, plain = peers.fusednet_fit.Library(), peers.numpy_plain.Library()
    for library in (ours, plain):
        library.task = task
        library.prepare(task)
    start = plain.predict(task.x)
    np.testing.assert_allclose(ours.predict(task.x), start, rtol=1e-4, atol=1e-5)
    for library in (ours, plain):
        library.epochs(4)
    np.testing.assert_allclose(ours.predict(task.x), plain.predict(task.x), rtol=2e-3, atol=2e-4)
    assert np.abs(plain.predict(task.x) - start).max() > 1e-2, "nothing was learnt, so nothing was compared"
    assert ours.loss() == pytest.approx(plain.loss(), rel=1e-3)


def test_dropout_in_numpy_keeps_the_mean(peers, tmp_path):
    task = task_of(peers, small(peers, hidden=(4000,), dropout=0.25), tmp_path)
    library = peers.numpy_plain.Library()
    library.task = task
    library.prepare(task)
    _, kept = library.forward(task.x, True)
    assert (kept[0]["mask"] == 0).mean() == pytest.approx(0.25, abs=0.01)
    assert kept[0]["mask"].mean() == pytest.approx(1, abs=0.01)


def test_workers_take_turns_and_their_losses_agree(peers, tmp_path, monkeypatch):
    monkeypatch.setitem(peers.workloads.JOBS, "tiny", small(peers))
    results = peers.results.Results()
    workers = [peers.pool.Worker(name, 1, tmp_path, tmp_path / "log") for name in ("fusednet", "numpy")]
    called = []
    try:
        peers.measure.measure("tiny", workers, results, 2, 0.01, lambda: called.append(1))
        told = workers[0].ask("predict", rows=2, seconds=0.001)
        with pytest.raises(peers.pool.WorkerError, match="ValueError: worker: the command is 'sing'"):
            workers[0].ask("sing")
    finally:
        for worker in workers:
            worker.close()
    assert called == [1] and told["seconds"]
    libraries = results.training["tiny"]
    assert all(libraries[name]["1"].seconds and libraries[name]["1"].loss > 0 for name in ("fusednet", "numpy"))
    assert peers.page.loss_verdict(libraries) == ""
    results.save(tmp_path / "results.json")
    assert peers.results.Results.load(tmp_path / "results.json") == results
    (tmp_path / "other.json").write_text("[1]")
    with pytest.raises(ValueError, match=r"other\.json holds no results of fusednet bench"):
        peers.results.Results.load(tmp_path / "other.json")


def test_a_worker_that_dies_is_told(peers, tmp_path):
    worker = peers.pool.Worker("numpy", 1, tmp_path, tmp_path / "log")
    worker.process.kill()
    with pytest.raises(peers.pool.WorkerError, match="its process ended"):
        worker.ask("version")
    worker.close()


def made(peers, ours: float, others: dict[str, tuple[float, float]], losses=(0.5, 0.5)):
    """Results of one job from seconds of an epoch, others' with 1 and 2 threads."""
    timed = peers.results.Timed
    libraries = {"fusednet": {"1": timed([ours, ours * 1.1], losses[0])}}
    for name, (one, two) in others.items():
        libraries[name] = {"1": timed([one], losses[1]), "2": timed([two], losses[1])}
    return libraries


def test_the_ratio_is_to_the_better_thread_count_of_the_best_other(peers):
    libraries = made(peers, 1.0, {"torch": (9.0, 4.0), "jax": (3.0, 5.0)})
    libraries["sklearn"] = {"1": peers.results.Timed(refusal="no batch norm")}
    libraries["fusednet_medium"] = {"1": peers.results.Timed([0.5])}
    assert peers.page.ratio(libraries) == 3.0
    assert peers.page.ratio(libraries, "fusednet_medium") == 6.0
    assert peers.page.best_other(libraries)[:2] == ("jax", "1")
    assert peers.page.geometric_mean([2.0, 8.0]) == pytest.approx(4.0)
    assert peers.page.ratio({"fusednet": libraries["fusednet"]}) is None


def test_a_loss_outside_of_the_noise_is_told(peers):
    others = {"torch": (9.0, 4.0), "jax": (3.0, 5.0)}
    assert peers.page.loss_verdict(made(peers, 1.0, others, (0.505, 0.5))) == ""
    assert peers.page.loss_verdict(made(peers, 1.0, others, (0.55, 0.5))) == "+10%"
    assert peers.page.loss_verdict(made(peers, 1.0, others, (0.0, 0.5))) == "-100%"
    wide = made(peers, 1.0, others, (0.55, 0.5))
    wide["fusednet"]["1"].more_losses = [0.45, 0.5, 0.6]
    assert peers.page.loss_verdict(wide) == ""
    wide["fusednet"]["1"].more_losses = [0.551, 0.55, 0.549]
    assert peers.page.loss_verdict(wide) == "+10%"


def test_a_loss_that_is_no_number_is_told(peers):
    assert peers.page.loss_verdict(made(peers, 1.0, {"jax": (3.0, 5.0)}, (float("nan"), 0.5))) != ""


def test_pages_and_chart_show_every_job(peers):
    results = peers.results.Results(versions={"jax": "1"}, facts={"date": "today", "processor": "A; cores"})
    results.training = {job: made(peers, 1.0, {"jax": (3.0, 5.0)}) for job in peers.workloads.JOBS}
    results.prediction = {"tiny": {"1": made(peers, 1e-6, {"onnx": (1e-5, 2e-5)})}}
    text, page = peers.page.plain(results), peers.page.markdown(results, "a command", "chart.svg")
    chart = peers.chart.svg(results)
    for job in peers.workloads.JOBS:
        assert job in text and f"| {job} |" in page and f">{job}</text>" in chart
    assert "| deep | 128-16x128-10 | relu, batch norm | cross entropy | momentum | 128 | 12,800 |" in page
    assert ">1024-2048-2048-2048-1000</text>" in chart and ">A; today</text>" in chart
    assert "3.00x" in text and "10.00x" in page and "a command" in page and "- date: today" in page
    assert "(chart.svg)" in page
    assert chart.count("3.00x</text>") == len(peers.workloads.JOBS)


def test_the_floor_counts_operations_and_bytes(peers):
    job = small(peers, hidden=(7,), optimizer="sgd")
    floor = peers.floor
    assert floor.weights(job) == (5 * 7 + 7 * 3 + 7 + 3, 7 * 3)
    rates = {"fma": 1e9, "read": 1e6, "update": 1e5}
    least = floor.floor(job, 1, lambda what, threads, level="": rates[what])
    assert least.arithmetic == pytest.approx(96 * 2 * (3 * (35 + 21) - 35) / 1e9)
    step = 4 * (66 + 21) / 1e6 + 4 * 66 / 1e5
    assert least.bytes == pytest.approx(96 * (5 + 1) * 4 / 1e6 + 6 * step)
    assert least.bound == "bytes" and least.seconds == least.bytes
    fast = floor.floor(job, 1, lambda what, threads, level="": 1e3 if what == "fma" else 1e12)
    assert fast.bound == "multiply-adds" and fast.seconds == fast.arithmetic


def test_levels_are_the_smallest_that_hold_the_bytes(peers, monkeypatch):
    monkeypatch.setattr(peers.ceilings, "caches", lambda: {"L1": 10, "L2": 100, "L3": 1000})
    sizes = {10: "L1", 11: "L2", 100: "L2", 1000: "L3", 1001: "memory"}
    assert {total: peers.floor.level(total, 1) for total in sizes} == sizes
    assert peers.floor.level(200, 2) == "L2" and peers.floor.level(1001, 2) == "memory"


def test_a_job_is_named_with_its_batch_size(peers):
    named = peers.workloads.named
    assert named("default") is peers.workloads.JOBS["default"]
    assert (named("default@128").batch, named("default@128").rows) == (128, 20000 // 128 * 128)
    assert peers.workloads.ordered(["rl", "default@8", "tiny", "default"]) == ["tiny", "rl", "default", "default@8"]
    for name in ("defautl", "default@", "default@0", "default@20001", "default@x"):
        with pytest.raises(ValueError, match=r"did you mean 'default'|wanted a batch size from 1 to 20,000"):
            named(name)


def test_other_precisions_stand_beside_the_usual_one(peers):
    results = peers.results.Results()
    results.training = {"wide": made(peers, 1.0, {"jax": (3.0, 5.0)})}
    assert peers.page.precisions(results) == []
    results.training["wide"]["fusednet_medium"] = {"2": peers.results.Timed([0.5, 0.6], 0.6)}
    head, row = peers.page.precisions(results)
    assert head == ["job", "fusednet", "ratio", "loss", 'fusednet, "medium"', "ratio", "loss"]
    assert row[4:] == ["8,192 (2, +10%)", "6.00x", "0.6 (+20%)"]
    assert "medium" not in str(peers.page.speeds(results)) and "medium" not in peers.chart.svg(results)


def test_libraries_are_chosen_from_what_is_installed(peers, monkeypatch, tmp_path):
    pool = peers.pool
    monkeypatch.setattr(pool, "LIBRARIES", {
        name: entry if not entry.environment else replace(entry, needs=("no_such_module",))
        for name, entry in pool.LIBRARIES.items()
    })
    with pytest.raises(ValueError, match="no other library is installed here"):
        pool.chosen(None, tmp_path, True)
    with pytest.raises(ValueError, match="PyTorch is installed neither here nor in"):
        pool.chosen(["torch"], tmp_path, True)
    with pytest.raises(ValueError, match=r"library is 'trch'.*did you mean 'torch'"):
        pool.chosen(["trch"], tmp_path, True)
    assert pool.chosen(["numpy", "numpy"], tmp_path, True) == ["numpy"]
    python = pool.python_of(pool.LIBRARIES["jax"], tmp_path)
    assert python is None
    (tmp_path / "jax" / "bin").mkdir(parents=True)
    (tmp_path / "jax" / "bin" / "python").touch()
    assert pool.chosen(None, tmp_path, False) == ["fusednet", "jax", "numpy"]
    assert pool.chosen(None, tmp_path, True) == ["fusednet", "fusednet_high", "fusednet_medium", "jax", "numpy"]


def test_workers_elsewhere_see_no_packages_of_here(peers, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    entry = peers.pool.LIBRARIES["torch"]
    assert "PYTHONPATH" not in peers.pool.variables_of(entry, 1, True)
    assert peers.pool.variables_of(entry, 2, False)["PYTHONPATH"] == "/somewhere"


def test_every_library_has_its_file(peers):
    for entry in peers.pool.LIBRARIES.values():
        assert (peers.pool.HERE / f"{entry.module}.py").is_file()


@pytest.mark.skipif(not SETUP.is_file(), reason="no source tree here")
def test_every_library_has_its_environment(peers):
    script = SETUP.read_text(encoding="utf-8")
    for entry in peers.pool.LIBRARIES.values():
        assert not entry.environment or f"    {entry.environment}) packages=" in script
