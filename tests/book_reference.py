"""The book's networks in plain NumPy, written from the formulas: what fusednet.book is compared with.

Reads nothing of the package; read by test_book_networks.py, test_book_trainer.py and bench/book.py.

a) A layer is a function that gives its result and its way back; nothing is shared with the code that is tested,
   neither kernels nor layers.
b) Random numbers are drawn by the global generator in the book's order: weights, then for each step the batch and the
   masks, layer by layer.
c) It takes the steps that from-scratch code takes (the gradient with respect to the input and the loss at every
   gradient included), because speeds are compared with it too.
"""

import numpy as np

EPSILON = 10e-7
TINY = 1e-7


def relu(x):
    negative = x <= 0
    y = x.copy()
    y[negative] = 0

    def backward(dy):
        dy[negative] = 0
        return dy

    return y, backward


def sigmoid(x):
    y = 1 / (1 + np.exp(-x))
    return y, lambda dy: dy * (1 - y) * y


def affine(x, w, b, grads, k):
    def backward(dy):
        grads[f"W{k}"] = np.dot(x.T, dy)
        grads[f"b{k}"] = np.sum(dy, axis=0)
        return np.dot(dy, w.T)

    return np.dot(x, w) + b, backward


def batch_norm(x, gamma, beta, grads, k):
    """Also the batch's mean and variance."""
    mean = x.mean(axis=0)
    centred = x - mean
    var = np.mean(centred**2, axis=0)
    deviation = np.sqrt(var + EPSILON)
    normal = centred / deviation

    def backward(dy):
        # d/dx of gamma normal + beta by the chain rule, mean and deviation depending on x
        grads[f"beta{k}"] = dy.sum(axis=0)
        grads[f"gamma{k}"] = np.sum(normal * dy, axis=0)
        d_normal = gamma * dy
        d_deviation = -np.sum(d_normal * centred / deviation**2, axis=0)
        d_centred = d_normal / deviation + centred * d_deviation / deviation / len(dy)
        return d_centred - np.sum(d_centred, axis=0) / len(dy)

    return gamma * normal + beta, backward, mean, var


def dropout(x, rate):
    keep = np.random.rand(*x.shape) > rate
    return x * keep, lambda dy: dy * keep


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


class Network:
    """Affine layers, batch normalisation, activation, dropout; softmax with cross entropy and weight decay."""

    def __init__(self, sizes, activation="relu", init="relu", decay=0.0, batch_norm=False, dropout=None,
                 dtype=np.float64):
        self.depth, self.decay, self.batch_norm, self.dropout = len(sizes) - 1, decay, batch_norm, dropout
        self.activation = {"relu": relu, "sigmoid": sigmoid}[activation]
        self.params, self.running = {}, {}
        for k in range(1, len(sizes)):
            fan_in = sizes[k - 1]
            std = {"relu": (2 / fan_in) ** 0.5, "he": (2 / fan_in) ** 0.5, "sigmoid": (1 / fan_in) ** 0.5,
                   "xavier": (1 / fan_in) ** 0.5}.get(init, init)
            self.params[f"W{k}"] = (std * np.random.randn(fan_in, sizes[k])).astype(dtype)
            self.params[f"b{k}"] = np.zeros(sizes[k], dtype)
        if batch_norm:
            for k in range(1, self.depth):
                self.params[f"gamma{k}"] = np.ones(sizes[k], dtype)
                self.params[f"beta{k}"] = np.zeros(sizes[k], dtype)
                self.running[k] = np.zeros(sizes[k], dtype), np.zeros(sizes[k], dtype)

    def forward(self, x, train):
        """Scores, the gradients that the ways back fill, the ways back in the order of the layers."""
        p, grads, ways = self.params, {}, []

        def passed(y, way):
            ways.append(way)
            return y

        for k in range(1, self.depth):
            x = passed(*affine(x, p[f"W{k}"], p[f"b{k}"], grads, k))
            if self.batch_norm and train:
                y, way, *batch = batch_norm(x, p[f"gamma{k}"], p[f"beta{k}"], grads, k)
                x = passed(y, way)
                self.running[k] = tuple(0.9 * a + (1 - 0.9) * b for a, b in zip(self.running[k], batch, strict=True))
            elif self.batch_norm:
                mean, var = self.running[k]
                x = p[f"gamma{k}"] * ((x - mean) / np.sqrt(var + EPSILON)) + p[f"beta{k}"]
            x = passed(*self.activation(x))
            if self.dropout is not None:
                x = passed(*dropout(x, self.dropout)) if train else x * (1.0 - self.dropout)
        return passed(*affine(x, p[f"W{self.depth}"], p[f"b{self.depth}"], grads, self.depth)), grads, ways

    def loss(self, x, t, train=False):
        y = softmax(self.forward(x, train)[0])
        return self._error(y, t) + self._penalty()

    def _error(self, y, t):
        labels = t if t.ndim == 1 else t.argmax(axis=1)
        return -np.sum(np.log(y[np.arange(len(y)), labels] + TINY)) / len(y)

    def _penalty(self):
        return sum(0.5 * self.decay * np.sum(self.params[f"W{k}"] ** 2) for k in range(1, self.depth + 1))

    def accuracy(self, x, t):
        labels = t if t.ndim == 1 else t.argmax(axis=1)
        return np.mean(self.forward(x, False)[0].argmax(axis=1) == labels)

    def gradient(self, x, t):
        z, grads, ways = self.forward(x, True)
        y = softmax(z)
        self._error(y, t)
        self._penalty()
        d = y.copy()
        if t.ndim == 1:
            d[np.arange(len(y)), t] -= 1
        else:
            d -= t
        d /= len(y)
        for way in reversed(ways):
            d = way(d)
        for k in range(1, self.depth + 1):
            grads[f"W{k}"] = grads[f"W{k}"] + self.decay * self.params[f"W{k}"]
        return grads


class Optimizer:
    """One of the six rules; `state` has an array for each weight array and moment."""

    def __init__(self, name, **options):
        self.rule, self.options, self.state, self.steps = _RULES[name], options, {}, 0

    def update(self, params, grads):
        self.steps += 1
        for key, g in grads.items():
            state = self.state.setdefault(key, [np.zeros_like(g), np.zeros_like(g)])
            params[key] += self.rule(state, g, self.steps, **self.options)


def _sgd(state, g, step, lr=0.01):
    return -lr * g


def _momentum(state, g, step, lr=0.01, momentum=0.9):
    state[0] = momentum * state[0] - lr * g
    return state[0]


def _nesterov(state, g, step, lr=0.01, momentum=0.9):
    state[0] = momentum * state[0] - lr * g
    return momentum * momentum * state[0] - (1 + momentum) * lr * g


def _adagrad(state, g, step, lr=0.01):
    state[0] = state[0] + g * g
    return -lr * g / (np.sqrt(state[0]) + TINY)


def _rmsprop(state, g, step, lr=0.01, decay_rate=0.99):
    state[0] = decay_rate * state[0] + (1 - decay_rate) * g * g
    return -lr * g / (np.sqrt(state[0]) + TINY)


def _adam(state, g, step, lr=0.001, beta1=0.9, beta2=0.999):
    state[0] = beta1 * state[0] + (1 - beta1) * g
    state[1] = beta2 * state[1] + (1 - beta2) * g * g
    rate = lr * np.sqrt(1 - beta2**step) / (1 - beta1**step)
    return -rate * state[0] / (np.sqrt(state[1]) + TINY)


_RULES = {"sgd": _sgd, "momentum": _momentum, "nesterov": _nesterov, "adagrad": _adagrad, "rmsprop": _rmsprop,
          "adam": _adam}


def train(network, optimizer, x, t, steps, batch):
    """Losses after each step, on its batch, without dropout."""
    losses = []
    for _ in range(steps):
        rows = np.random.choice(len(x), batch)
        optimizer.update(network.params, network.gradient(x[rows], t[rows]))
        losses.append(network.loss(x[rows], t[rows]))
    return losses
