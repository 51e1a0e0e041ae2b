"""A training that was stopped and gone on with is the training that was never stopped: weights, moments, history.

Reads fits.py. All comparisons are to the bit (`outcome`); only times are left out.

a) Each way to stop (a smaller `epochs`, a callback, the clock, an exception, a signal, SIGKILL) meets each kind of
   state (moments, dropout, batch norm, average, schedules, callbacks with a memory, validations within epochs).
b) Signals come at moments that differ from run to run: the claim is that the moment does not matter.
"""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from fits import blobs, classifier, full, outcome

import fusednet as fn
from fusednet import trainer

X, Y = blobs(100)
Y = np.where(np.arange(len(Y)) % 3 == 0, (Y + 1) % 3, Y)  # so hard to learn that validation turns for the worse
WEIGHT = np.random.default_rng(1).uniform(0.1, 3, len(X))
EPOCHS = 20


def callbacks():
    return [
        fn.EarlyStopping(monitor="val_loss", patience=6, restore_best_weights=True),
        fn.ReduceLROnPlateau(monitor="val_loss", patience=1, min_delta=0.02, factor=0.97),
    ]


KINDS = {
    "sgd": (lambda: classifier(fn.SGD(0.1, momentum=0.9)), dict(batch_size=7), list),
    "dropout and batch norm": (full, dict(batch_size=16), list),
    "average": (lambda: full(fn.Adam(1e-2, use_ema=True)), dict(validation_split=0.2), list),
    "schedule": (lambda: full(fn.AdamW(fn.OneCycle(0.02, 140), weight_decay=0.01)), dict(batch_size=16), list),
    "weights": (full, dict(sample_weight=WEIGHT, class_weight={1: 3.0}, batch_size=48), list),
    "steps": (full, dict(batch_size=16, steps_per_epoch=5), list),
    "callbacks": (
        lambda: full(fn.Adam(0.2)), dict(validation_split=0.3, validation_interval=2, batch_size=16), callbacks),
}
_whole = {}


def whole(kind):
    """What the training gives that is not stopped."""
    if kind not in _whole:
        make, given, listeners = KINDS[kind]
        model = make()
        model.fit(X, Y, epochs=EPOCHS, callbacks=listeners(), **given)
        _whole[kind] = outcome(model)
    return _whole[kind]


class At(fn.Callback):
    """Does something after a step."""

    def __init__(self, step, what):
        super().__init__()
        self.step, self.what = step, what

    def on_train_batch_end(self, batch, logs=None):
        if self.model.step == self.step:
            self.what(self.model)


def stop(model):
    model.stop_training = True


def interrupt(model):
    raise KeyboardInterrupt


@pytest.fixture(params=["in memory", "through a file"])
def carried(request, tmp_path):
    """The model that goes on: itself, or what was saved of it."""

    def carry(model):
        if request.param == "in memory":
            return model
        model.save(tmp_path / "model.safetensors", training_state=True)
        return fn.load(tmp_path / "model.safetensors")

    return carry


def test_the_kinds_are_what_they_are_meant_to_be():
    history = whole("callbacks")["history"]
    assert 7 < len(history["loss"]) < EPOCHS and len(set(history["learning_rate"])) > 2
    assert whole("callbacks")["validations"] and np.argmin(history["val_loss"]) < len(history["loss"]) - 1
    assert "trained/params" in whole("callbacks")["arrays"] and "trained/params" in whole("average")["arrays"]
    assert "trained/params" not in whole("sgd")["arrays"]


@pytest.mark.parametrize("kind", KINDS)
def test_after_an_epoch(kind, carried):
    make, given, listeners = KINDS[kind]
    model = make()
    model.fit(X, Y, epochs=7, callbacks=listeners(), **given)
    model = carried(model)
    model.fit(X, Y, epochs=EPOCHS, callbacks=listeners(), resume=True, **given)
    assert outcome(model) == whole(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_again_and_again(kind, carried):
    make, given, listeners = KINDS[kind]
    model = make()
    for epochs in (1, 2, 2, 11, EPOCHS, EPOCHS):
        model.fit(X, Y, epochs=epochs, callbacks=listeners(), resume=True, **given)
        model = carried(model)
    model.fit(X, Y, epochs=EPOCHS, callbacks=listeners(), resume=True, **given)
    assert outcome(model) == whole(kind)


@pytest.mark.parametrize("step", [1, 16, 33])
@pytest.mark.parametrize("how", [stop, interrupt])
@pytest.mark.parametrize("kind", KINDS)
def test_within_an_epoch(kind, how, step, carried):
    make, given, listeners = KINDS[kind]
    model = make()
    try:
        model.fit(X, Y, epochs=EPOCHS, callbacks=[*listeners(), At(step, how)], **given)
    except KeyboardInterrupt:
        assert how is interrupt
    assert model.step == step
    model = carried(model)
    model.fit(X, Y, epochs=EPOCHS, callbacks=listeners(), resume=True, **given)
    assert outcome(model) == whole(kind)


@pytest.mark.parametrize("kind", ["sgd", "callbacks"])
def test_by_the_clock(kind, carried):
    make, given, listeners = KINDS[kind]
    model, times = make(), 0
    wait = fn.LambdaCallback(on_train_batch_end=lambda batch, logs: time.sleep(1e-4))
    while model.history is None or len(model.history.epoch) < len(whole(kind)["epoch"]):
        seconds = 0.004 * (1 + times / 10)  # on a machine that is busy, it may take a while to begin
        model.fit(X, Y, epochs=EPOCHS, callbacks=[*listeners(), wait], resume=True, max_time=seconds, **given)
        model, times = carried(model), times + 1
        if model.history is None:  # of the file's training; a fit shows it
            model.fit(X, Y, epochs=0, callbacks=listeners(), resume=True, **given)
    model.fit(X, Y, epochs=EPOCHS, callbacks=listeners(), resume=True, **given)
    assert outcome(model) == whole(kind) and times > 1


@pytest.mark.parametrize("number", [1, 2, 3, 4, 9])
def test_in_a_validation(number, monkeypatch):
    make, given, listeners = KINDS["callbacks"]
    wanted, model, calls = whole("callbacks"), make(), []
    inner = trainer.Evaluation.__call__

    def evaluate(self, prefix="", listeners=None):
        calls.append(prefix)
        if len(calls) == number:
            raise KeyboardInterrupt
        return inner(self, prefix, listeners)

    monkeypatch.setattr(trainer.Evaluation, "__call__", evaluate)
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, Y, epochs=EPOCHS, callbacks=listeners(), **given)
    model.fit(X, Y, epochs=EPOCHS, callbacks=listeners(), resume=True, **given)
    assert outcome(model) == wanted


@pytest.mark.skipif(os.name != "posix", reason="sends itself a signal")
@pytest.mark.parametrize("watched", [False, True])
def test_by_ctrl_c_at_any_moment(watched):
    given = dict(batch_size=16, epochs=2000)
    plain = full()
    plain.fit(X, Y, **given)
    wanted, chance = outcome(plain), random.Random(0)
    model = full()
    listeners = [fn.LambdaCallback(on_epoch_end=lambda epoch, logs: None)] if watched else []
    for _ in range(12):
        alarm = threading.Timer(chance.uniform(0, 0.03), os.kill, (os.getpid(), signal.SIGINT))
        try:
            alarm.start()
            model.fit(X, Y, resume=True, callbacks=listeners, **given)
            alarm.join()
            time.sleep(0.01)  # the signal finds its way here at the latest
        except KeyboardInterrupt:
            pass
        if model.history is not None and model.history.epoch:
            history = model.history
            assert history.epoch == list(range(len(history.epoch))) == list(range(model.step // 7))
            assert all(len(values) == len(history.epoch) for values in history.history.values())
            assert history.history["loss"] == plain.history.history["loss"][: len(history.epoch)]
            assert bool(history.unfinished) == bool(model.step % 7)
    model.fit(X, Y, resume=True, **given)
    assert outcome(model) == wanted


def test_an_entry_of_the_history_that_was_interrupted_is_forgotten():
    class Interrupt(dict):
        def items(self):
            raise KeyboardInterrupt

    history = fn.History()
    history.on_epoch_end(0, {"loss": 3.0, "learning_rate": 0.1})
    history.history["mine"] = [7]
    history.set_params({"learning_rate_factors": Interrupt()})
    with pytest.raises(KeyboardInterrupt):
        history.on_epoch_end(1, {"loss": 2.0, "accuracy": 0.5, "learning_rate": 0.1})
    history.set_params({})
    assert history.state_dict()["history"] == {"loss": [3.0], "learning_rate": [0.1], "mine": [7]}
    history.on_epoch_end(1, {"loss": 2.0})
    assert history.history["loss"] == [3.0, 2.0] and history.epoch == [0, 1] == history.epochs_of("loss")
    assert len(history.time) == len(history.steps) == 2


def test_other_training_in_between_is_seen():
    model = full()
    model.fit(X, Y, epochs=7)
    model.fit(X, Y, epochs=20, resume=True)
    other = full()
    other.fit(X, Y, epochs=7)
    other.train_on_batch(X, Y)
    other.fit(X, Y, epochs=20, resume=True)
    assert outcome(other) != outcome(model)


def test_average_comes_back_where_nothing_is_left_to_do():
    model = full(fn.Adam(1e-2, use_ema=True))
    model.fit(X, Y, epochs=3)
    before = outcome(model)
    model.fit(X, Y, epochs=3, resume=True)
    assert outcome(model) == before


def test_weights_that_were_set_are_gone_on_from():
    model = full(fn.Adam(1e-2, use_ema=True))
    model.fit(X, Y, epochs=3)
    zeros = [np.zeros_like(w) for w in model.get_weights()]
    model.set_weights(zeros)
    model.fit(X, Y, epochs=3, resume=True)
    assert not any(w.any() for w in model.get_weights())


# ---- backups ---------------------------------------------------------------------------------------------------------

SCRIPT = """
import hashlib, json, sys
sys.path.insert(0, sys.argv[1])
from fits import blobs, full, outcome
import fusednet as fn
x, y = blobs(100)
every = sys.argv[3]
backup = fn.BackupAndRestore(sys.argv[2], save_freq=every if every == "epoch" else int(every)) if every else None
listeners = [fn.EarlyStopping(patience=25, restore_best_weights=True), fn.ReduceLROnPlateau(patience=2, factor=0.9)]
model = full(fn.Adam(3e-2, use_ema=True))
model.fit(x, y, batch_size=16, epochs=40, validation_split=0.2, validation_interval=2,
          callbacks=[*listeners, *([backup] if backup else [])])
result = outcome(model)
result["arrays"] = {name: hashlib.sha256(data).hexdigest() for name, data in result["arrays"].items()}
print(json.dumps(result))
"""


def run(folder, every, kill=None):
    """The script in a process of its own; `kill` says when, in seconds after a new backup. None where it was killed."""
    here = str(Path(__file__).parent)
    arguments = [sys.executable, "-c", SCRIPT, here, str(folder), str(every)]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
    if kill is not None:
        path = Path(folder) / "backup.safetensors"

        def stamp():
            return path.stat().st_mtime_ns if path.exists() else 0

        before = stamp()
        while process.poll() is None and stamp() == before:
            time.sleep(5e-4)
        time.sleep(kill)
        process.kill()
    out, _ = process.communicate(timeout=60)
    return json.loads(out) if process.returncode == 0 else None


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    return run(tmp_path_factory.mktemp("none"), "")


@pytest.mark.skipif(os.name != "posix", reason="SIGKILL")
@pytest.mark.parametrize("every", ["epoch", 1, 3, 5, 7])
def test_killed_at_any_moment_and_run_again(every, undisturbed, tmp_path):
    """An epoch is of 5 steps: 5 saves at the last one of each, 3 and 7 there and elsewhere."""
    chance, killed = random.Random(every), 0
    for _ in range(3):
        killed += run(tmp_path / "backup", every, kill=chance.uniform(0, 0.02)) is None
    assert killed
    assert run(tmp_path / "backup", every) == undisturbed
    left = list(tmp_path.glob("backup/*"))
    assert all(path.suffix == ".tmp" for path in left), left  # was being written when the process was killed


# ---- what comes at the end -------------------------------------------------------------------------------------------


def averaged():
    return full(fn.Adam(1e-2, use_ema=True))


def test_an_average_is_taken_though_all_steps_were_done(tmp_path):
    """The training broke off between its last step and its end."""
    path, folder = tmp_path / "model.safetensors", tmp_path / "kept"
    model = averaged()
    kept = fn.BackupAndRestore(folder, delete_checkpoint=False)
    model.fit(X, Y, epochs=3, callbacks=[kept, fn.ModelCheckpoint(path)])
    again, loaded = averaged(), fn.load(path)
    again.fit(X, Y, epochs=3, callbacks=[fn.BackupAndRestore(folder)])
    loaded.fit(X, Y, epochs=3, resume=True)
    assert outcome(again)["arrays"] == outcome(loaded)["arrays"] == outcome(model)["arrays"]
    loaded.fit(X, Y, epochs=3, resume=True)  # once more is the same
    assert outcome(loaded)["arrays"] == outcome(model)["arrays"]


class Saved(fn.callbacks.Callback):
    """Saves the model when the training has ended."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def on_train_end(self, logs=None):
        self.model.save(self.path, training_state=True)


@pytest.mark.parametrize("kind", ["average", "best"])
def test_what_is_saved_at_the_end_goes_on_from_the_last_step(tmp_path, kind):
    path = tmp_path / "model.safetensors"
    make = averaged if kind == "average" else full
    best = [fn.EarlyStopping("loss", patience=99, mode="max", restore_best_weights=True)] if kind == "best" else []
    whole, model = make(), make()
    whole.fit(X, Y, epochs=6)
    model.fit(X, Y, epochs=3, callbacks=[*best, Saved(path)])
    loaded = fn.load(path)
    assert loaded.memory.params.tobytes() == model.memory.params.tobytes()
    loaded.fit(X, Y, epochs=6, resume=True)
    assert outcome(loaded)["arrays"] == outcome(whole)["arrays"]


# ---- within a training -----------------------------------------------------------------------------------------------


def test_a_state_is_not_loaded_into_a_training_under_way(tmp_path):
    path = tmp_path / "model.safetensors"

    class Back(fn.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 0:
                self.model.save(path, training_state=True)
            with pytest.raises(RuntimeError, match="the model is being trained; wanted before or after that"):
                self.model.load_training_state(path)

    model, plain = full(), full()
    model.fit(X, Y, epochs=3, callbacks=[Back()])
    plain.fit(X, Y, epochs=3)
    assert outcome(model)["arrays"] == outcome(plain)["arrays"]


def test_all_callbacks_hear_of_an_epoch_that_one_of_them_was_interrupted_in(tmp_path):
    class Slow(fn.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 1 and interrupts:
                interrupts.pop()
                raise KeyboardInterrupt

    def train(model, path, **given):
        listeners = [Slow(), fn.CSVLogger(path), fn.ReduceLROnPlateau("loss", factor=0.5, patience=1, min_delta=10)]
        model.fit(X, Y, epochs=4, callbacks=listeners, **given)

    interrupts = []
    whole, model = full(), full()
    train(whole, tmp_path / "whole.csv")
    interrupts.append(1)
    with pytest.raises(KeyboardInterrupt):
        train(model, tmp_path / "log.csv")
    train(model, tmp_path / "log.csv", resume=True)
    assert outcome(model) == outcome(whole)
    assert (tmp_path / "log.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_a_rate_is_scheduled_once_for_an_epoch_that_was_left_before_its_first_step():
    def rate(epoch, before):
        if epoch == 2 and interrupts:
            model.stop_training = True  # seen before the first step
            interrupts.pop()
        return before / 2

    interrupts = [1]
    model = full(fn.SGD(0.01))
    model.fit(X, Y, epochs=4, callbacks=[fn.LearningRateScheduler(rate)])
    assert len(model.history.epoch) == 2
    model.fit(X, Y, epochs=4, callbacks=[fn.LearningRateScheduler(rate)], resume=True)
    assert model.history.history["learning_rate"] == [0.005, 0.0025, 0.00125, 0.000625]
