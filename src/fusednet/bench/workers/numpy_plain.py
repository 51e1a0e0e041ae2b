"""Plain NumPy, float32: the training loop that a careful person writes without any library. Run by worker.py."""

import adapter
import numpy as np


class Library(adapter.Library):
    def prepare(self, task):
        self.rng = np.random.default_rng(task.seed)
        self.weights, last = [], len(task.kernels) - 1
        for i, kernel in enumerate(task.kernels):
            units = kernel.shape[1]
            layer = {"w": kernel.copy(), "b": np.zeros(units, np.float32)}
            if i < last and task.batch_norm:
                layer |= {"gamma": np.ones(units, np.float32), "beta": np.zeros(units, np.float32)}
            self.weights.append(layer)
        self.running = [[np.zeros(u, np.float32), np.ones(u, np.float32)] for u in task.hidden]
        self.state = [
            {name: [np.zeros_like(weight), np.zeros_like(weight)] for name, weight in layer.items()}
            for layer in self.weights
        ]
        self.count = 0

    def forward(self, x, training: bool):
        """Outputs, and for each hidden layer what the way back needs."""
        kept = []
        for layer, running in zip(self.weights[:-1], self.running, strict=True):
            saved = {"x": x}
            x = x @ layer["w"]
            x += layer["b"]
            if self.task.batch_norm:
                x = self.normalize(x, layer, running, saved, training)
            x = np.maximum(x, 0, out=x) if self.task.activation == "relu" else np.tanh(x, out=x)
            saved["active"] = x
            if training and self.task.dropout:
                keep = np.float32(1 - self.task.dropout)
                saved["mask"] = (self.rng.random(x.shape, np.float32) < keep) / keep
                x = x * saved["mask"]
            kept.append(saved)
        return x @ self.weights[-1]["w"] + self.weights[-1]["b"], [*kept, {"x": x}]

    def normalize(self, x, layer, running, saved, training):
        if training:
            mean = x.mean(axis=0)
            x -= mean
            variance = np.square(x).mean(axis=0)
            for own, now in zip(running, (mean, variance), strict=True):
                own *= np.float32(adapter.MOMENTUM)
                own += np.float32(1 - adapter.MOMENTUM) * now
        else:
            mean, variance = running
            x -= mean
        saved["deviation"] = 1 / np.sqrt(variance + np.float32(adapter.EPSILON))
        x *= saved["deviation"]
        saved["normal"] = x
        return x * layer["gamma"] + layer["beta"]

    def backward(self, outputs, y, kept):
        """Gradients, layer by layer."""
        rows = len(outputs)
        if self.task.loss == "mse":
            dy = (outputs - y) * np.float32(2 / outputs.size)
        else:
            dy = np.exp(outputs - outputs.max(axis=1, keepdims=True))
            dy /= dy.sum(axis=1, keepdims=True)
            dy[np.arange(rows), y] -= 1
            dy /= np.float32(rows)
        gradients = []
        for i in reversed(range(len(self.weights))):
            layer, saved, gradient = self.weights[i], kept[i], {}
            if i < len(self.weights) - 1:
                if self.task.dropout:
                    dy *= saved["mask"]
                active = saved["active"]
                dy *= active > 0 if self.task.activation == "relu" else 1 - active * active
                if self.task.batch_norm:
                    normal = saved["normal"]
                    gradient["gamma"], gradient["beta"] = (dy * normal).sum(axis=0), dy.sum(axis=0)
                    dy = dy - gradient["beta"] / rows - normal * (gradient["gamma"] / rows)
                    dy *= layer["gamma"] * saved["deviation"]
            gradient["w"], gradient["b"] = saved["x"].T @ dy, dy.sum(axis=0)
            if i:
                dy = dy @ layer["w"].T
            gradients.append(gradient)
        return gradients[::-1]

    def update(self, gradients):
        self.count += 1
        rate = np.float32(self.task.rate)
        b1, b2, epsilon = (np.float32(number) for number in adapter.ADAM)
        corrected = np.float32(self.task.rate * np.sqrt(1 - float(b2) ** self.count) / (1 - float(b1) ** self.count))
        for layer, states, gradient in zip(self.weights, self.state, gradients, strict=True):
            for name, g in gradient.items():
                m, v = states[name]
                if self.task.optimizer == "sgd":
                    layer[name] -= rate * g
                elif self.task.optimizer == "momentum":
                    m *= np.float32(adapter.SGD_MOMENTUM)
                    m -= rate * g
                    layer[name] += m
                else:
                    m += (1 - b1) * (g - m)
                    v += (1 - b2) * (g * g - v)
                    layer[name] -= corrected * m / (np.sqrt(v) + epsilon)

    def epoch(self):
        order = self.rng.permutation(self.task.rows)
        for first in range(0, self.task.rows, self.task.batch):
            rows = order[first : first + self.task.batch]
            outputs, kept = self.forward(self.task.x[rows], True)
            self.update(self.backward(outputs, self.task.y[rows], kept))

    def predict(self, x):
        return self.forward(x, False)[0]
