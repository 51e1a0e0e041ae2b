"""Keras 3: `model.fit` on arrays, with `jit_compile`, on the back end that the environment names.

Read by keras_jax.py and keras_tf.py, which run in worker.py.

a) Epochs are timed between the ends of epochs within one `fit`, so that what `fit` does once does not count.
b) `steps_per_execution` is what the back end gains by: with TensorFlow several steps are one compiled loop.
"""

import time

import adapter
import keras
import numpy as np


class Ends(keras.callbacks.Callback):
    """When epochs began and ended."""

    def __init__(self):
        super().__init__()
        self.times: list[float] = []

    def on_epoch_begin(self, epoch, logs=None):
        if not self.times:
            self.times.append(time.perf_counter())

    def on_epoch_end(self, epoch, logs=None):
        self.times.append(time.perf_counter())


def network(task: adapter.Task) -> keras.Model:
    layers = [keras.Input((task.features,))]
    for units in task.hidden:
        layers.append(keras.layers.Dense(units))
        if task.batch_norm:
            layers.append(keras.layers.BatchNormalization(momentum=adapter.MOMENTUM, epsilon=adapter.EPSILON))
        layers.append(keras.layers.Activation(task.activation))
        if task.dropout:
            layers.append(keras.layers.Dropout(task.dropout))
    model = keras.Sequential([*layers, keras.layers.Dense(task.outputs)])
    dense = [layer for layer in model.layers if isinstance(layer, keras.layers.Dense)]
    for layer, kernel in zip(dense, task.kernels, strict=True):
        layer.set_weights([kernel, np.zeros(kernel.shape[1], np.float32)])
    return model


def optimizer(task: adapter.Task) -> keras.optimizers.Optimizer:
    if task.optimizer == "adam":
        b1, b2, epsilon = adapter.ADAM
        return keras.optimizers.Adam(task.rate, b1, b2, epsilon)
    return keras.optimizers.SGD(task.rate, adapter.SGD_MOMENTUM if task.optimizer == "momentum" else 0.0)


class KerasLibrary(adapter.Library):
    package = "keras"
    steps_per_execution = 1

    def prepare(self, task):
        keras.backend.clear_session()
        keras.utils.set_random_seed(task.seed)
        self.model = network(task)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True) if task.loss == "ce" else "mse"
        steps = min(task.steps, self.steps_per_execution)
        self.model.compile(optimizer(task), loss, jit_compile=True, steps_per_execution=steps)

    def epochs(self, number):
        ends = Ends()
        self.model.fit(self.task.x, self.task.y, batch_size=self.task.batch, epochs=number, verbose=0, callbacks=[ends])
        return np.diff(ends.times).tolist()

    def predict(self, x):
        return self.model.predict(x, batch_size=1024, verbose=0)
