"""A training that is none, for tests of callbacks: a script says what each epoch's logs are.

Read by test_callbacks.py and test_callbacks_shown.py.

a) `Model` has what a callback sees of a model; its weights tell the step they are of.
b) `train` calls `CallbackList` as a trainer does, and can stop after any step; a new call goes on from a backup.
"""

import json
import os

import numpy as np

from fusednet.callbacks import CallbackList
from fusednet.history import History

METRICS = ("loss", "accuracy", "val_loss", "val_accuracy", "learning_rate")
STEPS = 4


class Model:
    """What a callback sees of a model; weights are the number of the step."""

    def __init__(self):
        self.stop_training = False
        self.learning_rate = 0.1
        self.step = 0
        self.weights = [np.zeros((2, 3)), np.zeros(3)]
        self.saved = []
        self.callbacks = None
        self.history = History()
        self.epoch = 0  # epochs that have ended

    def get_weights(self):
        return self.weights

    def set_weights(self, weights):
        self.weights = [np.array(weight) for weight in weights]

    def content(self):
        return {}, {}

    def save(self, path, training_state=False):
        self.saved.append(os.path.basename(path))
        state = self.callbacks.state_dict() if training_state and self.callbacks else None
        document = {"step": self.step, "rate": self.learning_rate, "epoch": self.epoch, "callbacks": state}
        with open(path, "w") as file:
            json.dump(document, file, default=lambda array: {"array": array.tolist()})

    def load_training_state(self, path):
        with open(path) as file:
            found = json.load(file, object_hook=lambda entry: np.array(entry["array"]) if "array" in entry else entry)
        self.step, self.learning_rate, self.epoch = found["step"], found["rate"], found["epoch"]
        self.callbacks.load_state_dict(found["callbacks"])


def train(given, epochs, *, model=None, stop_after=None, params=None):
    """Run callbacks over epochs (a list of logs) of STEPS steps; `stop_after` a step raises KeyboardInterrupt."""
    model = model or Model()
    every = CallbackList(given, model, {"epochs": len(epochs), "steps": STEPS, "metrics": METRICS, **(params or {})})
    model.callbacks = every
    try:
        every.on_train_begin()
        while model.epoch < len(epochs) and not model.stop_training:
            logs = epochs[model.epoch]
            if model.step == model.epoch * STEPS:
                every.on_epoch_begin(model.epoch)
            while model.step < (model.epoch + 1) * STEPS:
                batch = model.step % STEPS
                model.step += 1
                model.weights[0][:], model.weights[1][:] = model.step, -model.step
                within = {key: value for key, value in logs.items() if not key.startswith("val_")}
                if every.interval and model.step % every.interval == 0:
                    every.on_train_batch_end(batch, within)
                every.on_train_progress(batch + 1, within)
                if model.step == stop_after:
                    raise KeyboardInterrupt
            model.epoch += 1
            model.history.on_epoch_end(model.epoch - 1, logs)
            every.on_epoch_end(model.epoch - 1, {**logs, "learning_rate": model.learning_rate})
    except KeyboardInterrupt:
        every.on_train_interrupted()
    else:
        every.on_train_end()
    return model


def epochs_of(values, key="val_loss"):
    return [{"loss": 1.0 / (epoch + 1), "accuracy": 0.5, key: value} for epoch, value in enumerate(values)]
