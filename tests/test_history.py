"""`History`: what it records, that it survives being stopped, pickled and dropped, and the picture it draws."""

import gc
import json
import pickle
import sys
import weakref

import numpy as np
import pytest

from fusednet.history import History

STEPS = 10


class Model:
    step = 0


def fill(history, model, epochs, *, every=1, steps=STEPS):
    """Epochs of which every n-th has a validation, and one validation in the middle of each."""
    for epoch in epochs:
        history.on_epoch_begin(epoch)
        model.step += steps // 2
        history.record_validation(model.step, epoch, {"val_loss": np.float32(2.0 / (epoch + 1))})
        model.step += steps - steps // 2
        logs = {"loss": np.float32(1.0 / (epoch + 1)), "accuracy": 0.5, "learning_rate": 0.5**epoch}
        if (epoch + 1) % every == 0:
            logs["val_loss"] = 1.5 / (epoch + 1)
        history.on_epoch_end(epoch, logs)


@pytest.fixture
def model():
    return Model()


@pytest.fixture
def history(model):
    history = History()
    history.set_model(model)
    history.set_params({"epochs": 6, "steps": STEPS, "learning_rate_factors": {"dense": 1.0, "out": 0.1}})
    history.on_train_begin()
    return history


def test_history_has_a_list_for_each_key(history, model):
    fill(history, model, range(4), every=2)
    assert history.epoch == [0, 1, 2, 3] and history.params["epochs"] == 6 and history.steps == [10, 20, 30, 40]
    assert history.history["loss"] == [1.0, 0.5, float(np.float32(1 / 3)), 0.25]
    assert history.history["val_loss"] == [0.75, 0.375] and history.epochs_of("val_loss") == [1, 3]
    assert all(type(value) is float for values in history.history.values() for value in values)
    assert history.learning_rate == {"dense": [1.0, 0.5, 0.25, 0.125], "out": [0.1, 0.05, 0.025, 0.0125]}
    assert history.validations[1] == {"step": 15, "epoch": 1, "val_loss": 1.0}
    assert len(history.time) == 4 and all(seconds >= 0 for seconds in history.time)
    with pytest.raises(ValueError, match=r"key is 'los'; known: loss, accuracy.*did you mean 'loss'"):
        history.epochs_of("los")


def test_history_starts_afresh_with_each_training(history, model):
    fill(history, model, range(2))
    history.on_train_begin()
    fill(history, model, range(3))
    assert history.epoch == [0, 1, 2] and len(history.history["loss"]) == len(history.time) == 3
    assert np.allclose(history._place([20, 25, 50]), [0, 0.5, 3])  # steps of the training before do not count


@pytest.mark.parametrize("stop", [0, 1, 4])
def test_history_goes_on_from_its_state(history, model, stop):
    whole, other = History(), Model()
    whole.set_model(other)
    whole.set_params(history.params)
    whole.on_train_begin()
    fill(whole, other, range(5))
    fill(history, model, range(stop))
    state = json.loads(json.dumps(history.state_dict()))
    again = History()
    again.set_model(model)
    again.set_params(history.params)
    again.on_train_begin()
    again.load_state_dict(state)
    fill(again, model, range(stop, 5))
    expected, found = whole.state_dict(), again.state_dict()
    for clock in ("time", "seconds"):
        del expected[clock], found[clock]
    assert found == expected
    assert len(again.time) == 5
    found["history"]["loss"][3] += 1e-9
    assert found != expected


def test_history_keeps_the_time_of_an_epoch_that_was_stopped(history, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: now[0])
    history.on_epoch_begin(0)
    now[0] += 3
    state = history.state_dict()
    again = History()
    again.on_train_begin()
    now[0] += 1000  # the process was away
    again.load_state_dict(state)
    now[0] += 4
    again.on_epoch_end(0, {"loss": 1.0})
    again.on_epoch_begin(1)
    now[0] += 5
    again.on_epoch_end(1, {"loss": 1.0})
    assert again.time == [7.0, 5.0]


def test_state_is_a_copy(history, model):
    fill(history, model, range(2))
    state = history.state_dict()
    fill(history, model, range(2, 3))
    assert len(state["history"]["loss"]) == len(state["epochs_of"]["loss"]) == 2 and len(state["validations"]) == 2


def test_history_does_not_keep_its_model_alive():
    gc.disable()
    try:
        history, model = History(), Model()
        model.history = history
        history.set_model(model)
        assert history.model is model
        gone = weakref.ref(model)
        del model
        assert gone() is None and history.model is None
    finally:
        gc.enable()


def test_history_can_be_pickled(history, model):
    fill(history, model, range(2))
    again = pickle.loads(pickle.dumps(history))
    assert again.history == history.history and again.model is None
    again.on_epoch_end(2, {"loss": 1.0})


def test_history_reads_well(history, model):
    assert repr(history) == "<History: no epoch has ended>"
    fill(history, model, range(1))
    history.time = [0.5]
    assert repr(history) == "<History: 1 epoch in 0.5 s; loss 1; accuracy 0.5; val_loss 1.5>"
    fill(history, model, range(1, 3))
    history.time, history.history["val_loss"][2] = [0.5, 1.0, 1.0], float("nan")
    assert repr(history) == (
        "<History: 3 epochs in 2.5 s; loss 1 -> 0.3333; accuracy 0.5 -> 0.5; val_loss 1.5 -> nan; "
        "best val_loss 0.75 in epoch 2>"
    )
    history.stopped = "the loss was NaN"
    assert repr(history).endswith("in epoch 2; stopped: the loss was NaN>")
    history.on_train_begin()
    assert history.stopped == "" and history.unfinished == {}


# ---- the picture -----------------------------------------------------------------------------------------------------


def test_plot_without_matplotlib_says_what_to_type(history, model, monkeypatch):
    fill(history, model, range(1))
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"needs the package matplotlib, .* pip install 'fusednet\[plot\]'"):
        history.plot()


def test_plot_refuses_what_cannot_be_drawn(history, model, tmp_path):
    with pytest.raises(ValueError, match="there is nothing to plot; wanted an epoch that has ended"):
        history.plot()
    pytest.importorskip("matplotlib")
    fill(history, model, range(1))
    with pytest.raises(FileNotFoundError, match=r"the folder of .* does not exist"):
        history.plot(tmp_path / "no" / "a.png")


def test_plot_draws_what_was_recorded(history, model, tmp_path):
    pytest.importorskip("matplotlib")
    fill(history, model, range(6), every=2)
    pyplot = sys.modules.get("matplotlib.pyplot")
    figure = history.plot(tmp_path / "history.png")
    assert sys.modules.get("matplotlib.pyplot") is pyplot  # a file needs nothing of pyplot
    assert (tmp_path / "history.png").read_bytes().startswith(b"\x89PNG")
    assert [axes.get_title() for axes in figure.axes] == ["loss", "accuracy", "learning rate"]
    training, validation, between = figure.axes[0].get_lines()
    assert training.get_xdata().tolist() == [1, 2, 3, 4, 5, 6]
    assert training.get_ydata().tolist() == history.history["loss"]
    assert validation.get_xdata().tolist() == [2, 4, 6]
    assert validation.get_ydata().tolist() == history.history["val_loss"]
    assert np.allclose(between.get_xdata(), [0.5, 1.5, 2.5, 3.5, 4.5, 5.5])
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == [
        "training", "validation", "within epochs",
    ]  # fmt: skip
    assert figure.axes[2].get_yscale() == "linear"


def test_plot_leaves_out_a_constant_learning_rate(history, tmp_path):
    pytest.importorskip("matplotlib")
    for epoch in range(2):
        history.on_epoch_end(epoch, {"loss": 10.0 ** (-2 * epoch), "learning_rate": 0.1})
    figure = history.plot(tmp_path / "history.svg")
    assert [axes.get_title() for axes in figure.axes] == ["loss"] and figure.axes[0].get_yscale() == "log"


def test_plot_has_a_place_for_an_epoch_that_has_not_ended(history, model, tmp_path):
    pytest.importorskip("matplotlib")
    fill(history, model, range(2))
    for _ in range(4):
        model.step += 2
        history.record_validation(model.step, 2, {"val_loss": 1.0})
    *_, between = history.plot(tmp_path / "history.png").axes[0].get_lines()
    assert np.allclose(between.get_xdata(), [0.5, 1.5, 2.2, 2.4, 2.6, 2.8])


def test_plot_shows_what_has_nothing_beside_it(history, model, tmp_path):
    pytest.importorskip("matplotlib")
    for epoch in range(30):
        model.step += STEPS
        history.on_epoch_end(epoch, {"loss": 1.0, "f1": np.nan if epoch % 2 else 0.5})
    loss, f1 = history.plot(tmp_path / "history.png").axes
    assert loss.get_lines()[0].get_marker() == "None"
    assert list(f1.get_lines()[0].get_markevery()) == list(range(0, 30, 2))


def test_keys_of_the_users_are_left_alone(tmp_path):
    history = History()
    history.on_train_begin()
    history.on_epoch_end(0, {"loss": 1.0})
    history.history |= {"test_accuracy": [0.1, 0.2], "note": []}
    assert "loss 1" in repr(history)
    pytest.importorskip("matplotlib")
    assert len(history.plot(tmp_path / "h.png").axes) == 1
