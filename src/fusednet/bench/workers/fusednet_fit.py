"""fusednet itself, as its users call it: `fit` on arrays. Run by worker.py, in the environment of fusednet bench."""

import adapter
import numpy as np

import fusednet as fn


class Library(adapter.Library):
    package = "fusednet"
    precision = "highest"

    def prepare(self, task):
        fn.set_num_threads(task.threads)
        layers = []
        for units in task.hidden:
            layers.append(fn.Dense(units))
            if task.batch_norm:
                layers.append(fn.BatchNormalization(momentum=adapter.MOMENTUM, epsilon=adapter.EPSILON))
            layers.append(fn.Activation(task.activation))
            if task.dropout:
                layers.append(fn.Dropout(task.dropout))
        self.model = fn.Sequential([*layers, fn.Dense(task.outputs)], seed=task.seed)
        b1, b2, epsilon = adapter.ADAM
        optimizer = {
            "sgd": lambda: fn.SGD(task.rate),
            "momentum": lambda: fn.SGD(task.rate, momentum=adapter.SGD_MOMENTUM),
            "adam": lambda: fn.Adam(task.rate, beta_1=b1, beta_2=b2, epsilon=epsilon),
        }[task.optimizer]()
        loss = "sparse_categorical_crossentropy" if task.loss == "ce" else "mse"
        self.model.compile(optimizer, loss, matmul_precision=self.precision)
        self.model.build(task.features)
        kernels = iter(task.kernels)
        weights = self.model.get_weights()
        self.model.set_weights([next(kernels) if array.ndim == 2 else array for array in weights])

    def epochs(self, number):
        return self.model.fit(self.task.x, self.task.y, batch_size=self.task.batch, epochs=number).time

    def predict(self, x):
        return np.asarray(self.model.predict(x))
