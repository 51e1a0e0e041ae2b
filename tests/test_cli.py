"""The command: what it trains, prints, saves, predicts and refuses; and that both READMEs say the same.

Needs what the extra ``cli`` brings. Small tables and few epochs: what is tested is the way from a file to a model.
"""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import fusednet as fn
from fusednet.cli import main

pd = pytest.importorskip("pandas")
pytest.importorskip("sklearn")
pytest.importorskip("tqdm")
pytest.importorskip("safetensors")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder that is the current one, with a table in it."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    size, town = rng.normal(50, 10, 600), rng.choice(["Ulm", "Bern", "Graz"], 600)
    table = pd.DataFrame({"size": size, "town": town, "price": 3 * size + 40 * (town == "Bern")})
    table["large"] = np.where(size > 50, "yes", "no")
    table.loc[::9, "size"] = np.nan
    table.to_csv("houses.csv", index=False)
    return tmp_path


def weights(path):
    return fn.load(path).get_weights()


# ---- train -----------------------------------------------------------------------------------------------------------


def test_train_without_a_file_learns_the_digits(folder, capsys):
    assert main(["train", "--epochs", "30"]) == 0
    out = capsys.readouterr().out
    accuracy = float(re.search(r"^test +accuracy ([\d.]+)%, on 360 rows", out, re.MULTILINE)[1])
    assert accuracy > 90
    assert re.search(r"^speed .* [\d,]+ rows per second", out, re.MULTILINE)
    assert re.search(r"^saved +digits.safetensors$", out, re.MULTILINE)
    x, y = fn.load_digits()
    assert (fn.load("digits.safetensors").predict_classes(x) == y).mean() > 0.9  # takes pixels as they are
    pd.DataFrame(x).to_csv("pixels.csv", index=False)
    assert main(["predict", "digits.safetensors", "pixels.csv", "-o", "p.csv"]) == 0
    assert (pd.read_csv("p.csv")["prediction"] == y).mean() > 0.9


def test_train_says_what_it_runs_on(table, folder, capsys):
    assert main(["train", "houses.csv", "--target", "large", "--epochs", "1", "--hidden", "4", "-q"]) == 0
    on = table.isa or table.backend
    threads = "" if table.backend == "numpy" else r", \d+ threads?"
    assert re.search(rf"^training .* 1 epoch; {on}{threads}$", capsys.readouterr().out, re.MULTILINE)


def test_train_finds_a_regression(folder, capsys):
    assert main(["train", "houses.csv", "--target", "price", "--drop", "large", "--epochs", "60", "-q"]) == 0
    out = capsys.readouterr().out
    assert "price: regression, because it holds numbers with fractions" in out
    assert float(re.search(r"^test +R2 (-?[\d.]+), RMSE [\d.,]+, MAE", out, re.MULTILINE)[1]) > 0.7
    assert float(re.search(r"^baseline +R2 (-?[\d.]+)", out, re.MULTILINE)[1]) <= 0
    assert "left out: large (as asked for)" in out and re.search(r"size: \d+ missing", out)
    assert main(["predict", "houses.safetensors", "houses.csv", "--output", "p.csv"]) == 0
    table, predicted = pd.read_csv("houses.csv"), pd.read_csv("p.csv")["prediction"]
    assert len(predicted) == len(table)
    assert np.corrcoef(table["price"], predicted)[0, 1] > 0.85
    assert re.search(r"R2 0\.\d+.* on the 600 rows", capsys.readouterr().err)


def test_train_finds_classes(folder, capsys):
    assert main(["train", "houses.csv", "-t", "large", "--epochs", "60", "-q", "--output", "l.safetensors"]) == 0
    out = capsys.readouterr().out
    assert "large: classification, 2 classes, because it holds text" in out
    assert float(re.search(r"^test +accuracy ([\d.]+)%", out, re.MULTILINE)[1]) > 85
    assert re.search(r"^baseline +accuracy [45]\d.*, by always saying (yes|no)$", out, re.MULTILINE)
    assert main(["predict", "l.safetensors", "houses.csv"]) == 0
    with open("p.csv", "w") as file:
        file.write(capsys.readouterr().out)
    predicted = pd.read_csv("p.csv")
    assert list(predicted.columns) == ["prediction", "probability_no", "probability_yes"]
    likeliest = np.where(predicted["probability_yes"] > predicted["probability_no"], "yes", "no")
    assert (predicted["prediction"] == likeliest).all()


def test_the_task_and_the_network_can_be_said(folder, capsys):
    pd.DataFrame({"x": np.arange(300.0), "y": np.arange(300) // 100 * 5}).to_csv("t.csv", index=False)
    arguments = ["--hidden", "7,5", "--no-batch-norm", "--dropout", "0.1", "--optimizer", "sgd", "--learning-rate",
                 "0.05", "--batch-size", "16", "--seed", "3", "--epochs", "2", "-q"]  # fmt: skip
    assert main(["train", "t.csv", "-t", "y", *arguments]) == 0
    model = fn.load("t.safetensors")
    assert [layer.units for layer in model.layers if isinstance(layer, fn.Dense)] == [7, 5, 3]
    assert model.classes_.tolist() == [0, 5, 10] and model.seed == 3
    assert isinstance(model.optimizer_spec, fn.SGD) and model.learning_rate == 0.05
    assert not any(isinstance(layer, fn.BatchNormalization) for layer in model.layers)
    assert main(["train", "t.csv", "-t", "y", "--task", "regression", "--hidden", "none", "--epochs", "2", "-q"]) == 0
    assert "regression, as asked for" in capsys.readouterr().out
    assert [layer.units for layer in fn.load("t.safetensors").layers] == [1]


@pytest.mark.parametrize("name", ["two words", "it's", "$HOME (1)", "a;b", "집"])
def test_the_commands_that_it_prints_can_be_typed(folder, capsys, name):
    Path("houses.csv").rename(f"{name}.csv")
    assert main(["train", f"{name}.csv", "-t", "price", "-q", "--epochs", "1"]) == 0
    out = capsys.readouterr().out
    for label in ("go on", "predict"):
        words = shlex.split(re.search(rf"^{label} +fusednet (.*)$", out, re.MULTILINE)[1])
        assert f"{name}.csv" in words and main(words) == 0


def test_parquet_trains_as_csv(folder):
    pytest.importorskip("pyarrow")
    pd.read_csv("houses.csv").to_parquet("houses.parquet")
    for name in ("csv", "parquet"):
        assert main(["train", f"houses.{name}", "-t", "large", "-q", "--epochs", "3", "-o", f"{name}.safetensors"]) == 0
    assert all(map(np.array_equal, weights("csv.safetensors"), weights("parquet.safetensors")))


def test_resumed_is_as_if_not_stopped(folder, capsys):
    common = ["train", "houses.csv", "-q"]
    assert main([*common, "-t", "price", "--epochs", "12", "--dropout", "0.1", "-o", "whole.safetensors"]) == 0
    assert main([*common, "-t", "price", "--epochs", "5", "--dropout", "0.1", "-o", "parts.safetensors"]) == 0
    assert "--resume --epochs 10 --output parts.safetensors" in capsys.readouterr().out
    assert not all(map(np.array_equal, weights("whole.safetensors"), weights("parts.safetensors")))
    assert main([*common, "--epochs", "12", "--resume", "-o", "parts.safetensors"]) == 0
    assert all(map(np.array_equal, weights("whole.safetensors"), weights("parts.safetensors")))


def test_a_time_limit_ends_the_training(folder, capsys):
    began = time.monotonic()
    assert main(["train", "--time-limit", "0.3", "--epochs", "1000000", "--patience", "1000000", "-q"]) == 0
    assert time.monotonic() - began < 60
    assert "stopped by the time limit" in capsys.readouterr().out


def test_a_training_that_diverges_says_so(folder, capsys):
    assert main(["train", "houses.csv", "-t", "price", "-q", "--learning-rate", "1e30"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"stopped: the \w+ of step \d+ is not finite; .*; a smaller --learning-rate may help", out)
    assert "go on" not in out and len(max(out.splitlines(), key=len)) < 200


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_reports_and_saves(folder, number):
    command = [sys.executable, "-m", "fusednet", "train", "houses.csv", "-t", "price", "--epochs", "100000000",
               "--patience", "100000000"]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("Epoch"):
                break
        process.send_signal(number)
        rest, problems = process.communicate(timeout=60)
    assert process.returncode == 130 and problems == ""
    assert f"stopped by {'Ctrl-C' if number == signal.SIGINT else 'SIGTERM'};" in rest
    for label in ("trained", "test", "baseline", "saved", "go on", "predict"):
        assert re.search(f"^{label} ", rest, re.MULTILINE), rest
    assert fn.load("houses.safetensors").left.history["epoch"]
    assert main(["train", "houses.csv", "--resume", "--time-limit", "0.1", "-q"]) == 0


# ---- what is refused -------------------------------------------------------------------------------------------------

REFUSED = [
    ("train none.csv -t x", "none.csv: No such file or directory"),
    ("train houses.csv", r"--target with one of size, town, price, large"),
    ("train houses.csv -t prize", "houses.csv has no column 'prize'; nearest: price, size"),
    ("train houses.csv -t price --drop twon", "no column 'twon'; nearest: town"),
    ("train houses.csv -t price --drop town,price", "--drop price: it is the target"),
    ("train houses.csv -t town --task regression", "holds text"),
    ("train broken.csv -t a", "broken.csv cannot be read as CSV"),
    ("train one.csv -t y", "the target 'y' is a in all rows"),
    ("train one.csv -t gone", "the target 'gone' has no values"),
    ("train few.csv -t y", "wanted at least 10"),
    ("train -t price", "no file; wanted fusednet train FILE --target COLUMN"),
    ("train --task regression", "--task regression is given, but no file"),
    ("train --drop size,town", "--drop size,town is given, but no file"),
    ("train houses.csv --resume -o digits.safetensors", "digits.safetensors was trained on the digits"),
    ("train houses.csv -t price -o houses.csv", "--output houses.csv is the data"),
    ("train houses.csv -t price -o one.csv", "is there already and is not a model"),
    ("train houses.csv -t price -o no/such/m", "there is no folder no/such"),
    ("train houses.csv --resume -o gone.safetensors", "there is no gone.safetensors"),
    ("train houses.csv --resume -o ended.safetensors", "had come to its end"),
    ("train houses.csv --resume -o stopped.safetensors --hidden 5", "--hidden is 5, .* begun with 4"),
    ("train houses.csv --resume -o stopped.safetensors --epochs 1", "--epochs is 1, .* has done 2; wanted as many or"),
    ("train one.csv --resume -o stopped.safetensors", "one.csv has no column 'price'"),
    ("train half.csv --resume -o stopped.safetensors", "not those that stopped.safetensors was trained on"),
    ("train --resume -o stopped.safetensors", "was trained on a table"),
    ("predict none.safetensors houses.csv", "none.safetensors: No such file"),
    ("predict houses.csv houses.csv", "not a safetensors file"),
    ("predict ended.safetensors one.csv", "no columns 'size', 'town'"),
    ("predict ended.safetensors none.csv", "none.csv: No such file"),
    ("predict ended.safetensors houses.csv -o no/such/p.csv", "there is no folder no/such"),
    ("predict ended.safetensors houses.csv -o ./houses.csv", r"--output ./houses.csv is the data; wanted another name"),
    ("predict ended.safetensors houses.csv -o ended.safetensors", "--output ended.safetensors is the model"),
]


@pytest.fixture(scope="module")
def refusing(tmp_path_factory):
    """A folder with all that the refused commands name."""
    path, here = tmp_path_factory.mktemp("refused"), os.getcwd()
    os.chdir(path)
    try:
        x = np.random.default_rng(0).normal(size=200)
        table = pd.DataFrame({"size": x, "town": np.where(x > 1, "Ulm", "Bern"), "price": 2 * x, "large": x > 0})
        table.to_csv("houses.csv", index=False)
        table[:100].to_csv("half.csv", index=False)
        pd.DataFrame({"x": x, "y": "a", "gone": None}).to_csv("one.csv", index=False)
        pd.DataFrame({"x": x[:5], "y": [1, 2, 1, 2, 1]}).to_csv("few.csv", index=False)
        Path("broken.csv").write_text("a,b\n1,2\n1,2,3\n")
        common = ["train", "houses.csv", "-t", "price", "-q", "--hidden", "4"]
        assert main([*common, "--epochs", "2", "-o", "stopped.safetensors"]) == 0
        assert main(["train", "-q", "--hidden", "4", "--epochs", "1"]) == 0
        ending = ["--patience", "1", "--learning-rate", "10", "--epochs", "500", "--no-batch-norm"]
        assert main([*common, *ending, "-o", "ended.safetensors"]) == 0
    finally:
        os.chdir(here)
    return path


@pytest.mark.parametrize(("command", "message"), REFUSED)
def test_what_does_not_do_is_one_line_and_status_2(refusing, monkeypatch, capsys, command, message):
    monkeypatch.chdir(refusing)
    before = {path.name: path.read_bytes() for path in refusing.iterdir()}
    capsys.readouterr()
    assert main(command.split()) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"fusednet {command.split()[0]}: error: ") and error.count("\n") == 1
    assert re.search(message, error), error
    assert {path.name: path.read_bytes() for path in refusing.iterdir()} == before


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("train --hidden a", "'a' is not sizes of layers"),
        ("train --dropout 1", r"wanted a number in \[0, 1\)"),
        ("train --learning-rate -1", "wanted a finite number above 0"),
        ("train --epochs 1.5", "'1.5' is not a whole number"),
        ("train --batch-size 0", "wanted 1 or more"),
        ("train --optimizer adan", "invalid choice"),
        ("predict", "required: model, data"),
        ("train '' -t x", "data: '' is not the name of a file"),
        ("train -o ''", "--output: '' is not the name of a file"),
        ("predict '' t.csv", "model: '' is not the name of a file"),
        ("predict m ''", "data: '' is not the name of a file"),
        ("predict m t.csv -o ''", "--output: '' is not the name of a file"),
        ("trian", "invalid choice"),
    ],
)
def test_options_that_do_not_do_are_one_line_and_status_2(capsys, command, message):
    with pytest.raises(SystemExit) as end:
        main(shlex.split(command))
    error = capsys.readouterr().err
    assert end.value.code == 2 and error.count("\n") == 1 and re.search(message, error), error


def test_a_package_that_is_not_installed_is_named(folder, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    assert main(["train", "houses.csv", "-t", "price"]) == 2
    assert "pip install 'fusednet[cli]'" in capsys.readouterr().err


@pytest.mark.parametrize("package", ["safetensors", "tqdm"])
def test_what_a_training_needs_at_its_end_is_looked_for_at_its_beginning(folder, capsys, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    assert main(["train", "--epochs", "1", *["-q"] * (package == "safetensors")]) == 2
    told = capsys.readouterr()
    assert told.out == "" and f"needs the package {package}," in told.err and "fusednet[cli]" in told.err
    assert ("--quiet does without it" in told.err) == (package == "tqdm")
    if package == "tqdm":
        assert main(["train", "--epochs", "1", "-q"]) == 0


# ---- the rest --------------------------------------------------------------------------------------------------------


def test_models_from_python_predict_too(folder, capsys):
    table = pd.DataFrame({"a": np.arange(40.0), "b": np.arange(40.0)[::-1]})
    model = fn.Sequential([fn.Dense(1)], seed=0)
    model.compile(loss="mse")
    model.fit(table, table["a"].to_numpy())
    model.save("own.safetensors")
    table[["b", "a"]].to_csv("own.csv", index=False)
    assert main(["predict", "own.safetensors", "own.csv", "-o", "p.csv"]) == 0
    np.testing.assert_allclose(pd.read_csv("p.csv")["prediction"], model.predict(table)[:, 0], rtol=1e-5)
    table.rename(columns={"a": "c"}).to_csv("own.csv", index=False)
    assert main(["predict", "own.safetensors", "own.csv"]) == 2
    assert "no column 'a', which the model needs" in capsys.readouterr().err


def test_names_with_spaces_around_them_are_found(folder, capsys):
    for names, status in ((("a ", " b"), 0), (("a ", "a"), 2)):
        table = pd.DataFrame(np.random.default_rng(0).normal(size=(40, 2)), columns=names)
        model = fn.Sequential([fn.Dense(1)], seed=0)
        model.compile(loss="mse")
        model.fit(table, table["a "].to_numpy())
        model.save("own.safetensors")
        table.columns = ["a", "b"]
        table.to_csv("own.csv", index=False)
        assert main(["predict", "own.safetensors", "own.csv", "-o", "p.csv"]) == status
        if status == 0:
            wanted = model.predict(table.to_numpy())[:, 0]
            np.testing.assert_allclose(pd.read_csv("p.csv")["prediction"], wanted, rtol=1e-5)
    assert "own.safetensors has two columns with the name 'a'" in capsys.readouterr().err


def test_text_is_read_as_in_training_whatever_spaces_its_name_has(folder, capsys):
    lines = [f"{('01', 'B')[row % 2]},{row % 7},{row % 2}" for row in range(300)]
    for name, some in (("t", lines), ("new", lines[::2])):  # with 01 alone
        Path(f"{name}.csv").write_text("\n".join(["code ,z,y", *some]) + "\n")
    assert main(["train", "t.csv", "-t", "y", "-q", "--epochs", "30"]) == 0
    assert main(["predict", "t.safetensors", "t.csv", "-o", "whole.csv"]) == 0
    assert main(["predict", "t.safetensors", "new.csv", "-o", "part.csv"]) == 0
    whole, part = pd.read_csv("whole.csv"), pd.read_csv("part.csv")
    np.testing.assert_allclose(part.to_numpy(), whole[::2].to_numpy(), atol=2e-6)


@pytest.mark.parametrize(
    ("classes", "new", "accuracy"),
    [
        ("true false unknown", "true false", "100.00%"),
        ("true false", "true false unknown", "66.67%"),
        ("True False", "TRUE FALSE unknown", "66.67%"),
        ("001 A02", "001", "100.00%"),
        ("1.0 1.5", "1.0", "100.00%"),
        ("1.0 1.5", "1 1.5 neither", "66.67%"),
        ("1 2", "1.0 2.0 2.5", "66.67%"),
        ("1e20 2e20", "1e20", "100.00%"),
    ],
)
def test_the_score_compares_classes_as_they_were_in_training(folder, capsys, classes, new, accuracy):
    """pandas guesses a column's kind from all that it holds: in the new file it may be another."""
    for name, kinds in (("t", classes), ("new", new)):
        lines = [f"{kind},{place}" for place, kind in enumerate(kinds.split()) for _ in range(60)]
        Path(f"{name}.csv").write_text("\n".join(["y,x", *lines]) + "\n")
    arguments = ["--task", "classification", "--epochs", "60", "--learning-rate", "0.02", "-q"]
    assert main(["train", "t.csv", "-t", "y", *arguments]) == 0
    capsys.readouterr()
    assert main(["predict", "t.safetensors", "new.csv", "-o", "p.csv"]) == 0
    assert f"accuracy {accuracy}, on the {60 * len(new.split())} rows" in capsys.readouterr().err


def test_a_file_with_the_target_has_a_score_however_few_rows_it_has(folder, capsys):
    table = pd.read_csv("houses.csv")
    for name, target, score in (("c", "large", "accuracy"), ("r", "price", "RMSE")):
        assert main(["train", "houses.csv", "-t", target, "-q", "--epochs", "1", "-o", f"{name}.safetensors"]) == 0
        for rows in (table[:1], table[table["large"] == "yes"][:3]):
            rows.to_csv("few.csv", index=False)
            capsys.readouterr()
            assert main(["predict", f"{name}.safetensors", "few.csv"]) == 0
            assert score in capsys.readouterr().err
    table.assign(price="x").to_csv("few.csv", index=False)
    assert main(["predict", "r.safetensors", "few.csv", "-o", "p.csv"]) == 0
    assert "RMSE" not in capsys.readouterr().err


@pytest.mark.parametrize(("mean", "scale"), [(1.7e9, 10.0), (0.0, 1e100), (0.0, 1e-100)])
def test_predictions_have_the_digits_that_the_target_has(folder, capsys, mean, scale):
    """float32 has steps of 128 at 1.7e9, and ends at 3e38."""
    x = np.random.default_rng(0).normal(size=300)
    pd.DataFrame({"x": x, "y": mean + scale * x}).to_csv("far.csv", index=False)
    assert main(["train", "far.csv", "-t", "y", "-q", "--epochs", "60"]) == 0
    assert main(["predict", "far.safetensors", "far.csv", "-o", "p.csv"]) == 0
    assert np.corrcoef((pd.read_csv("p.csv")["prediction"] - mean) / scale, x)[0, 1] > 0.97


def test_models_with_an_extra_of_the_users(folder, capsys):
    model = fn.Sequential([fn.Dense(1)], seed=0)
    model.build(2)
    (folder / "two.csv").write_text("a,b\n1,2\n")
    for extra in ([1, 2], 5, {"words": "a"}):
        model.save("own.safetensors", extra=extra)
        assert main(["predict", "own.safetensors", "two.csv"]) == 0
        capsys.readouterr()
        assert main(["train", "two.csv", "--resume", "-o", "own.safetensors"]) == 2
        assert "own.safetensors was not written by fusednet train" in capsys.readouterr().err


@pytest.mark.parametrize("units", ["99999999999", "99999999999999999999"])
def test_a_network_too_large_for_memory_is_one_line(folder, capsys, units):
    assert main(["train", "houses.csv", "-t", "price", "-q", "--hidden", units]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "error: there is not enough memory" in error


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no device that is full")
def test_an_output_that_is_full_is_named(folder, capsys):
    assert main(["train", "houses.csv", "-t", "price", "-q", "--epochs", "1", "-o", "m.safetensors"]) == 0
    assert main(["predict", "m.safetensors", "houses.csv", "-o", "/dev/full"]) == 2
    assert capsys.readouterr().err == "fusednet predict: error: /dev/full: cannot be written: No space left on device\n"
    command = [sys.executable, "-m", "fusednet", "predict", "m.safetensors", "houses.csv"]
    with open("/dev/full", "w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 2
    assert done.stderr == "fusednet predict: error: the output cannot be written: No space left on device\n"


def test_extra_travels_with_a_model(tmp_path):
    model = fn.Sequential([fn.Dense(1)], seed=0)
    model.build(3)
    model.save(tmp_path / "m", extra={"words": ["a", None], "number": 0.1})
    assert model.extra is None
    back = fn.load(tmp_path / "m")
    assert back.extra == {"words": ["a", None], "number": 0.1}
    back.save(tmp_path / "n")
    assert fn.load(tmp_path / "n").extra == back.extra


def test_info_help_and_version(capsys):
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    assert all(word in out for word in (fn.__version__, "backend", "threads", "native", "FUSEDNET_ISA"))
    assert main([]) == 2
    assert "usage: fusednet" in capsys.readouterr().err
    for arguments in (["--help"], ["train", "--help"], ["predict", "--help"], ["--version"]):
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert end.value.code == 0


def test_the_command_is_cheap_to_start():
    """``fusednet --version`` loads none of what the subcommands need."""
    program = "import sys; from fusednet import cli; print(*{'pandas', 'sklearn', 'tqdm'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


def code_blocks(text: str) -> list[tuple[str, str]]:
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


@pytest.mark.skipif(not (ROOT / "README.md").exists(), reason="no source tree here")
def test_both_readmes_have_the_same_code():
    english, korean = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.ko.md"))
    blocks = code_blocks(english)
    assert len(blocks) >= 4 and blocks == code_blocks(korean)
    assert blocks != code_blocks(korean.replace("fusednet train", "fusednet trian", 1))
    assert [line.count("|") for line in english.splitlines() if line.startswith("|")] == [
        line.count("|") for line in korean.splitlines() if line.startswith("|")
    ]
    assert re.findall(r"\]\((.*?)\)", english)[1:] == re.findall(r"\]\((.*?)\)", korean)[1:]  # but to each other


@pytest.mark.skipif(not (ROOT / "README.md").exists(), reason="no source tree here")
def test_the_readme_names_only_options_there_are(capsys):
    """The commands of README and docs/cli.md, up to their files."""
    text = "".join((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/cli.md"))
    helped = "--help"
    for command in ("train", "predict", "bench"):
        with pytest.raises(SystemExit):
            main([command, "--help"])
        helped += capsys.readouterr().out
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) - set(re.findall(r"--[a-z-]+", helped)) == set()


def test_a_row_is_predicted_as_among_many_whatever_its_commas(folder, capsys):
    rng = np.random.default_rng(0)
    lines = [f"{price:.3f};{i};{2 * price:.3f}".replace(".", ",") for i, price in enumerate(rng.uniform(1, 9, 60))]
    Path("t.csv").write_text("\n".join(["price;x;y", "1,5;0;3,0", *lines]))
    assert main(["train", "t.csv", "-t", "y", "-q", "--epochs", "2"]) == 0
    for line in lines[:8]:
        Path("one.csv").write_text(f"price;x;y\n{line}\n")
        assert main(["predict", "t.safetensors", "one.csv"]) == 0, capsys.readouterr().err


def test_missing_numbers_are_named_by_column_and_row(folder, capsys):
    model = fn.Sequential([fn.Dense(1)], seed=0)
    model.compile("sgd", "mse")
    model.fit(np.zeros((4, 2)), np.zeros(4))
    model.save("plain.safetensors")
    Path("new.csv").write_text("a,b\n1,2\n3,\n")
    assert main(["predict", "plain.safetensors", "new.csv"]) == 2
    assert "the column 'b' of new.csv has nan in row 2; wanted finite numbers" in capsys.readouterr().err


def test_a_switch_that_differs_is_named_as_it_was_given(folder, capsys):
    assert main(["train", "-q", "--epochs", "1"]) == 0
    assert main(["train", "--resume", "--no-batch-norm", "--epochs", "2"]) == 2
    assert "--no-batch-norm is given, the training was begun without it; leave --no-batch-norm out" in (
        capsys.readouterr().err)
