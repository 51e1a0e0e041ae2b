"""The command's streams and files: pipes that are closed, streams that are not there, outputs that cannot be written.

Needs what the extra ``cli`` brings. In processes of their own, for the streams are those of the process.
"""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

import fusednet as fn
from fusednet.cli import main

pd = pytest.importorskip("pandas")
pytest.importorskip("sklearn")
pytest.importorskip("tqdm")
pytest.importorskip("safetensors")

COMMAND = [sys.executable, "-m", "fusednet"]
TRAIN = ["train", "houses.csv", "-t", "price", "-q", "--epochs", "3"]

posix = pytest.mark.skipif(os.name != "posix", reason="shells, signals and links of POSIX")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder that is the current one, with a table in it."""
    monkeypatch.chdir(tmp_path)
    size = np.random.default_rng(0).normal(50, 10, 400)
    pd.DataFrame({"size": size, "price": 3 * size}).to_csv("houses.csv", index=False)
    return tmp_path


def shell(line: str) -> subprocess.CompletedProcess:
    """What a shell does with a line in which "$F" is the command."""
    return subprocess.run(["sh", "-c", line.replace("$F", f"'{sys.executable}' -m fusednet")], capture_output=True,
                          text=True, timeout=120)  # fmt: skip


def test_a_pipe_that_is_closed_is_no_error(folder):
    assert main(TRAIN) == 0
    pd.concat([pd.read_csv("houses.csv")] * 80).to_csv("many.csv", index=False)
    command = [*COMMAND, "predict", "houses.safetensors", "many.csv"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline().strip() == b"prediction"
        process.stdout.close()
        problems = process.stderr.read()
    assert process.returncode == 0 and b"Traceback" not in problems and b"Broken" not in problems


@pytest.mark.parametrize("quiet", [True, False])
def test_a_training_outlives_the_pipe_that_it_prints_to(folder, quiet):
    command = [*COMMAND, *[word for word in TRAIN if quiet or word != "-q"]]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout.readline().startswith(b"data ")
        process.stdout.close()
        problems = process.stderr.read()
    assert process.returncode == 0 and problems == b""
    assert len(fn.load("houses.safetensors").left.history["epoch"]) == 3


@posix
@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_streams_that_are_not_there_are_silent(folder, closed):
    for line in ("info", " ".join(TRAIN), "predict houses.safetensors houses.csv"):
        ran = shell(f"$F {line} {closed}")
        assert ran.returncode == 0 and ran.stdout == "" and "Traceback" not in ran.stderr
    assert shell(f"$F train none.csv -t x {closed}").returncode == 2
    assert fn.load("houses.safetensors").left.history["epoch"]


@posix
def test_predictions_stay_alone_without_a_stream_for_remarks(folder):
    assert main(TRAIN) == 0
    assert shell("$F predict houses.safetensors houses.csv 2>&-").stdout.count("\n") == 401


@posix
@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="no such device here")
def test_an_output_that_is_a_pipe_may_be_closed(folder):
    assert main(TRAIN) == 0
    pd.concat([pd.read_csv("houses.csv")] * 80).to_csv("many.csv", index=False)
    ran = shell("{ $F predict houses.safetensors many.csv -o /dev/stdout; echo $? >&2; } | head -1")
    assert ran.stdout == "prediction\n" and ran.stderr.endswith("\n0\n") and "roken" not in ran.stderr


@posix
def test_an_output_that_cannot_be_written_leaves_what_was_there(folder):
    resource = pytest.importorskip("resource")
    assert main(TRAIN) == 0
    (folder / "p.csv").write_text("what was there")

    def small_files():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (512, 512))

    before = sorted(os.listdir())
    ran = subprocess.run([*COMMAND, "predict", "houses.safetensors", "houses.csv", "-o", "p.csv"], capture_output=True,
                         text=True, preexec_fn=small_files, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    assert ran.returncode == 2 and ran.stderr == (
        "fusednet predict: error: p.csv: cannot be written: File too large; what was there before is untouched\n"
    )
    assert (folder / "p.csv").read_text() == "what was there" and sorted(os.listdir()) == before


@posix
def test_an_output_is_replaced_where_it_is(folder, capsys):
    """A link keeps pointing, a mode stays, a device is written to, and the ending says how to compress."""
    assert main(TRAIN) == 0
    (folder / "kept").mkdir()
    (folder / "kept" / "p.csv").write_text("old")
    (folder / "kept" / "p.csv").chmod(0o640)
    (folder / "p.csv").symlink_to(folder / "kept" / "p.csv")
    predict = ["predict", "houses.safetensors", "houses.csv", "-o"]
    for output in ("p.csv", "p.csv.gz", os.devnull):
        assert main([*predict, output]) == 0
    assert (folder / "p.csv").is_symlink() and (folder / "kept" / "p.csv").stat().st_mode & 0o777 == 0o640
    assert len(pd.read_csv("p.csv")) == len(pd.read_csv("p.csv.gz", compression="gzip")) == 400
    assert os.listdir(folder / "kept") == ["p.csv"]


def test_letters_that_a_stream_lacks_lose_no_model(folder):
    """The report names the commonest class, before the model is saved."""
    x = np.arange(120)
    pd.DataFrame({"x": x, "town": np.where(x % 3 == 0, "大阪", "東京")}).to_csv("towns.csv", index=False)
    command = [*COMMAND, "train", "towns.csv", "-t", "town", "--epochs", "2"]
    done = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "latin-1"}, timeout=120)
    assert done.returncode == 0 and os.path.exists("towns.safetensors")
    assert b"\\u6771\\u4eac" in done.stdout  # what its reader can look up


def test_several_labels_are_columns_of_predictions(folder, capsys):
    x = np.random.default_rng(0).standard_normal((80, 2)).astype(np.float32)
    model = fn.Sequential([fn.Dense(2, "sigmoid")], seed=0)
    model.compile(fn.Adam(0.1), "binary_crossentropy")
    model.fit(x, (x > 0).astype(np.float32), epochs=20)
    model.save("labels.safetensors")
    pd.DataFrame(x, columns=["a", "b"]).to_csv("rows.csv", index=False)
    assert main(["predict", "labels.safetensors", "rows.csv", "-o", "out.csv"]) == 0
    written = pd.read_csv("out.csv")
    assert list(written) == ["prediction_0", "prediction_1"]
    assert np.array_equal(written.to_numpy(), model.predict_classes(x))


@pytest.mark.parametrize(("data", "model"), [
    ("h.2023.csv", "h.2023"), ("h.2023.csv.gz", "h.2023"), ("a/b.parquet", "b"), ("iris.data", "iris"), (".csv", "csv"),
    (None, "digits"),
])  # fmt: skip
def test_models_are_named_as_their_files(data, model):
    from fusednet.cli import _train

    assert _train._default_output(data) == f"{model}.safetensors"
