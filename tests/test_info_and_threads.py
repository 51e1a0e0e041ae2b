"""fusednet.info and fusednet.threads: what is said when all is well, and when something is wrong."""

import io
import os
import subprocess
import sys

import numpy as np
import pytest

import fusednet
from fusednet import backends, info, threads


@pytest.fixture(autouse=True)
def nothing_asked_yet(monkeypatch):
    """Each test begins as a fresh process does, and leaves backend and threads as they were."""
    backend = backends.current().backend
    for name in info.ENVIRONMENT[2:]:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(threads, "_threads", None)
    yield
    monkeypatch.undo()
    backends.select(backend)


def test_threads_are_by_default_those_this_process_may_use():
    expected = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert fusednet.get_num_threads() == expected


def test_threads_from_the_environment(monkeypatch):
    monkeypatch.setenv("FUSEDNET_THREADS", "3")
    assert fusednet.get_num_threads() == 3
    monkeypatch.setenv("FUSEDNET_THREADS", "4")
    assert fusednet.get_num_threads() == 3  # read once
    monkeypatch.setattr(threads, "_threads", None)
    monkeypatch.setenv("FUSEDNET_THREADS", "")
    assert fusednet.get_num_threads() >= 1


@pytest.mark.parametrize("text", ["0", "-1", "many", "1.5"])
def test_bad_threads_in_the_environment(monkeypatch, text):
    monkeypatch.setenv("FUSEDNET_THREADS", text)
    with pytest.raises(ValueError, match=f"FUSEDNET_THREADS is '{text}'; wanted a whole number of threads, 1 to 32767"):
        fusednet.get_num_threads()
    assert info.as_dict()["threads"].startswith(f"error: FUSEDNET_THREADS is '{text}'")


def test_set_threads(table):
    fusednet.set_num_threads(1)
    assert fusednet.get_num_threads() == 1
    fusednet.set_num_threads(np.int64(2))
    assert fusednet.get_num_threads() == 2 and type(fusednet.get_num_threads()) is int
    if table.backend == "native":
        from fusednet import _native

        assert _native.get_threads() == 2


@pytest.mark.parametrize(
    "n, error, message",
    [
        (0, ValueError, "n is 0; wanted 1 to 32767"),
        (-2, ValueError, "n is -2; wanted 1 to 32767"),
        (32768, ValueError, "n is 32768; wanted 1 to 32767"),
        (10**30, ValueError, f"n is {10**30}; wanted 1 to 32767"),
        (1.0, TypeError, "n is 1.0; wanted an integer"),
        ("2", TypeError, "n is '2'; wanted an integer"),
        (None, TypeError, "n is None; wanted an integer"),
    ],
)
def test_set_bad_threads(n, error, message):
    fusednet.set_num_threads(2)
    with pytest.raises(error, match=f"set_num_threads: {message}"):
        fusednet.set_num_threads(n)
    assert fusednet.get_num_threads() == 2


@pytest.mark.skipif("native" not in backends.available(), reason="no native table here")
@pytest.mark.parametrize("n", [32768, 10**6, 10**10, 10**30])
def test_more_threads_than_the_native_backend_has(n):
    from fusednet import _native

    before = _native.get_threads()
    with pytest.raises(ValueError, match=f"threads is {n}; wanted 1 to 32767"):
        _native.set_threads(n)
    assert _native.get_threads() == before


def test_threads_that_the_backend_refuses(monkeypatch):
    fusednet.set_num_threads(2)

    def refuse(number):
        raise ValueError("too many")

    monkeypatch.setattr(threads, "_tell", refuse)
    with pytest.raises(ValueError, match="too many"):
        fusednet.set_num_threads(1000)
    assert fusednet.get_num_threads() == 2


def test_info_names_what_is_in_use(table):
    facts = info.as_dict()
    assert facts["backend"] == table.backend and facts["isa"] == table.isa and facts["error"] is None
    assert facts["fusednet"] == fusednet.__version__ and facts["numpy"] == np.__version__
    assert facts["backends"] == list(backends.available())
    assert facts["threads"] == fusednet.get_num_threads()
    assert (facts["build"] is None) == (facts["isas"] is None) == (facts["native"] is not None)
    if table.backend == "native":
        assert facts["isas"][table.isa] is True


def test_show_prints_every_fact(table, capsys, monkeypatch):
    monkeypatch.setenv("FUSEDNET_THREADS", "1")
    info.show()
    printed = capsys.readouterr().out
    for name in info.ENVIRONMENT:
        assert name in printed
    assert "FUSEDNET_THREADS" in printed and "'1'" in printed
    assert f" {table.backend}" in printed and np.__version__ in printed
    file = io.StringIO()
    info.show(file)
    assert file.getvalue() == printed
    assert capsys.readouterr().out == ""


def test_info_comes_out_when_no_backend_does(monkeypatch, capsys):
    def broken():
        raise ImportError("the native backend is installed but cannot be loaded")

    monkeypatch.setattr(backends, "current", broken)
    facts = info.as_dict()
    assert facts["backend"] is None and facts["isa"] is None
    assert facts["error"] == "ImportError: the native backend is installed but cannot be loaded"
    info.show()
    assert "none: ImportError: the native backend" in capsys.readouterr().out


def test_info_says_why_there_is_no_native_backend(monkeypatch):
    monkeypatch.setattr(backends, "available", lambda: ("numpy",))
    assert info.as_dict()["native"] == "not installed: built without a C compiler or Python's headers"


def test_limit_while_the_table_is_chosen_is_not_the_processs_number():
    """A training on one thread, the first use of the kernels, then one that shares its work out."""
    code = """
import numpy as np, fusednet as fn
from fusednet import threads
fn.set_num_threads(2)
model = fn.Sequential([fn.Dense(256), fn.Dense(256)], seed=0)
with threads.limit(1):
    model.build(256)
    one = model.predict(np.ones((500, 256), "float32"))
assert np.array_equal(model.predict(np.ones((500, 256), "float32")), one)
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_all_doors_open_from_the_package_and_a_star_opens_those_without_extras():
    code = ("import sys; import fusednet as fn; star = {}; exec('from fusednet import *', star); "
            "assert 'sklearn' not in sys.modules and 'Sequential' in star and 'book' not in star; "
            "assert fn.book.get_dtype(); assert not hasattr(fn, 'nothing')")
    subprocess.run([sys.executable, "-c", code], check=True)
    pytest.importorskip("sklearn")
    subprocess.run([sys.executable, "-c", "import fusednet as fn; assert fn.sklearn.MLPClassifier"], check=True)
