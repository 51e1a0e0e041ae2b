"""Callbacks that show a training: `ProgressBar` and `TensorBoard`, with their packages and without.

tqdm and tensorboardX are optional: what needs them is skipped where they are not, what happens without them is tested
everywhere.
"""

import io
import os
import re
import sys
import threading

import pytest
from fake_training import Model, epochs_of, train

from fusednet.callbacks import CallbackList, LearningRateScheduler, ProgressBar, TensorBoard
from fusednet.callbacks._progress import _duration


@pytest.mark.parametrize(
    ("package", "make", "command"),
    [("tqdm", lambda: ProgressBar(1), "fusednet[cli]"), ("tensorboardX", TensorBoard, "fusednet[tensorboard]")],
)
def test_a_missing_package_says_what_to_type(monkeypatch, package, make, command):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ImportError, match=f"needs the package {package}, which is not installed: ") as caught:
        make()
    assert f"pip install '{command}'" in str(caught.value)
    ProgressBar(2)


def test_progress_lines_need_nothing(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    train(ProgressBar(2), epochs_of([0.5] * 10))
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert len(lines) == 10 and err == ""
    assert lines[0].startswith("Epoch  1/10 - ")
    assert lines[0].endswith("s - loss: 1.0000 - accuracy: 0.5000 - val_loss: 0.5000")
    train(ProgressBar(0), epochs_of([0.5]))
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0004, "0.4ms"), (0.0099, "9.9ms"), (0.012, "12ms"), (0.9, "900ms"), (2.34, "2.3s"), (75, "1:15")],
)
def test_durations_have_digits_that_say_something(seconds, text):
    assert _duration(seconds) == text


def test_progress_of_an_epoch_that_is_gone_on_with(capsys):
    model = Model()
    model.step = 2
    train(ProgressBar(2), epochs_of([0.5]), model=model)
    assert re.match(r"Epoch 1/1 - [\d.]+m?s - loss", capsys.readouterr().out)  # not the hours since the machine's start


def test_progress_prints_a_learning_rate_that_changes(capsys):
    train([LearningRateScheduler(lambda epoch: 10.0**-epoch), ProgressBar(2)], epochs_of([0.5] * 5))
    assert ["learning_rate" in line for line in capsys.readouterr().out.splitlines()] == [False] + [True] * 4


def test_progress_prints_a_learning_rate_that_is_the_first_one_again(capsys):
    rates = [0.1, 0.1, 0.01, 0.1]
    train([LearningRateScheduler(lambda epoch: rates[epoch]), ProgressBar(2)], epochs_of([0.5] * 4))
    assert ["learning_rate" in line for line in capsys.readouterr().out.splitlines()] == [False, False, True, True]


def test_progress_prints_an_evaluation(capsys):
    every = CallbackList(ProgressBar(2), Model(), {})
    every.on_test_begin()
    every.on_test_end({"loss": 0.00001, "accuracy": 0.0})
    assert capsys.readouterr().out.endswith("s - loss: 1e-05 - accuracy: 0.0000\n")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_bar_is_drawn_on_a_terminal_alone(capsys):
    pytest.importorskip("tqdm")
    for file in (Terminal(), io.StringIO()):
        train(ProgressBar(1, file=file), epochs_of([0.5] * 50))
        text = file.getvalue()
        assert ("\r" in text) == file.isatty()
        lines = [line for line in text.replace("\r", "\n").splitlines() if " - loss" in line]
        assert lines[0].startswith("Epoch  1/50 - ") and lines[-1].startswith("Epoch 50/50 - ")
    train(ProgressBar(1), epochs_of([0.5]))
    assert "\r" not in capsys.readouterr().out


def test_progress_bar_leaves_nothing_behind():
    tqdm = pytest.importorskip("tqdm")
    before = set(tqdm.tqdm._instances) if hasattr(tqdm.tqdm, "_instances") else set()
    bar = ProgressBar(1, file=Terminal())
    train(bar, epochs_of([0.5] * 5), stop_after=7)
    assert bar._bar is None and set(getattr(tqdm.tqdm, "_instances", ())) == before
    assert "TMonitor" not in {type(thread).__name__ for thread in threading.enumerate()}


def test_progress_bar_without_a_known_number_of_steps():
    pytest.importorskip("tqdm")
    file = Terminal()
    train(ProgressBar(1, file=file), epochs_of([0.5] * 3), params={"steps": None})
    assert "Epoch 3/3 - " in file.getvalue() and "%" not in file.getvalue()


def events(folder):
    """Scalars in TensorBoard's files: records of length, checksum, event, checksum."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for name in sorted(os.listdir(folder)):
        data = (folder / name).read_bytes()
        while data:
            size = int.from_bytes(data[:8], "little")
            event = Event.FromString(data[12 : 12 + size])
            found += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
            data = data[12 + size + 4 :]
    return found


def test_tensorboard_writes_keras_names(tmp_path):
    pytest.importorskip("tensorboardX")
    board = TensorBoard(tmp_path, histogram_freq=1, write_steps_per_second=True, update_freq=4)
    assert board.interval == 4 and TensorBoard(tmp_path).interval is None
    train(board, epochs_of([0.5, 0.25]))
    training, validation = events(tmp_path / "train"), events(tmp_path / "validation")
    assert validation == [("epoch_loss", 0, 0.5), ("epoch_loss", 1, 0.25)]
    assert {("epoch_loss", 1, 0.5), ("batch_loss", 8, 0.5), ("batch_loss", 4, 1.0)} <= set(training)
    assert {"epoch_steps_per_second", "epoch_learning_rate", "weight_1/histogram"} <= {tag for tag, _, _ in training}
    assert board._writers == {}


def test_tensorboard_has_one_file_of_validations(tmp_path):
    pytest.importorskip("tensorboardX")
    board = TensorBoard(tmp_path)
    every = CallbackList(board, Model(), {})
    every.on_train_begin()
    for epoch in range(2):
        every.on_epoch_begin(epoch)
        every.on_test_end({"loss": 0.5})
        assert "validation" in board._writers
        every.on_epoch_end(epoch, {"loss": 1.0, "val_loss": 0.5})
    every.on_train_end()
    every.on_test_end({"loss": 0.5})
    assert not board._writers


def test_tensorboard_refuses_an_unknown_frequency(tmp_path):
    pytest.importorskip("tensorboardX")
    with pytest.raises(ValueError, match="update_freq is 'step'; wanted 'epoch', 'batch' or a step count"):
        TensorBoard(tmp_path, update_freq="step")
