"""Small models and data for tests of `fit`, and a training by hand that knows nothing of plans.

Read by test_fit.py, test_fit_errors.py, test_resume.py and test_promises.py.

a) `by_hand` is the textbook: one hidden layer of tanh, softmax or squared error, gradient descent, NumPy in float64.
   All that it shares with the library are the first weights, the order of rows (`interp.shuffle`) and the words.
b) A model is compared by all that a training leaves: `same` takes weights, moments and history to the bit.
"""

import numpy as np

import fusednet as fn
from fusednet.backends import interp

UNTIMED = ("history", "epoch", "steps", "learning_rate", "validations", "unfinished", "stopped")
"""What of a history does not depend on the clock."""


def blobs(rows=96, features=5, classes=3, seed=0):
    """Overlapping clouds of points, and which cloud each is of."""
    rng = np.random.default_rng(seed)
    y = rng.integers(0, classes, rows)
    return rng.standard_normal((classes, features))[y] + rng.standard_normal((rows, features)), y


def classifier(optimizer="sgd", hidden=(6,), classes=3, seed=4, dtype="float64", metrics=("accuracy",), **options):
    """A compiled model of tanh layers; `options` are of each dense layer."""
    layers = [fn.Dense(units, activation="tanh", **options) for units in hidden]
    model = fn.Sequential([*layers, fn.Dense(classes, **options)], seed=seed, dtype=dtype)
    model.compile(optimizer=optimizer, loss="sparse_categorical_crossentropy", metrics=list(metrics))
    return model


def full(optimizer=None, seed=4, rate=0.2):
    """A compiled model with all that has a state: normalisation, batch norm, dropout, moments."""
    model = fn.Sequential(
        [fn.Normalization(), fn.Dense(12), fn.BatchNormalization(), fn.ReLU(), fn.Dropout(rate), fn.Dense(3)], seed=seed
    )
    model.compile(optimizer=optimizer or fn.Adam(1e-2), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def arrays(model) -> dict:
    """All that is learnt, by name, as bytes; nothing before there are weights."""
    memory = model.memory
    if memory is None:
        return {}
    kept = {f"trained/{name}": array for name, array in memory.trained.items()}
    found = {"params": memory.params, **memory.running, **memory.normalization, **memory.state, **kept}
    return {name: array.tobytes() for name, array in found.items()}


def outcome(model) -> dict:
    """All that a training leaves, but for times."""
    left = {name: getattr(model.history, name) for name in UNTIMED}
    return {"step": model.step, "arrays": arrays(model), **left}


def unchanged(model) -> dict:
    """All of a model that a call which fails must not touch."""
    return {
        "arrays": arrays(model),
        "history": model.history, "epochs": None if model.history is None else dict(model.history.history),
        "left": model.left.cursor.tolist(), "setting": model.left.setting, "training": model.training,
        "classes": model.classes_, "names": model.feature_names_, "indices": model.validation_indices_,
        "features": model.network.features, "rate": model.learning_rate,
        "normalized": model.memory and model.memory.normalized,
    }


def order(model, rows, number, chosen=None):
    """The order of rows in pass `number`."""
    at = np.empty(len(chosen) if chosen is not None else rows, np.int64)
    interp.shuffle(at, chosen, model.seeds["order"], number)
    return at


def softmax_loss(z, y):
    """Cross entropy of each row, and its gradient with respect to the logits."""
    shifted = z - z.max(axis=1, keepdims=True)
    p = np.exp(shifted) / np.exp(shifted).sum(axis=1, keepdims=True)
    picked = np.arange(len(y)), y
    loss = np.log(np.exp(shifted).sum(axis=1)) - shifted[picked]
    p[picked] -= 1
    return loss, p


def squared_loss(z, y):
    """Mean squared error of each row, and its gradient with respect to the outputs."""
    return ((z - y) ** 2).mean(axis=1), 2 * (z - y) / y.shape[1]


def forward(weights, x):
    """Activations of every layer; the last one's are logits or values."""
    values = [x]
    for i in range(0, len(weights), 2):
        z = values[-1] @ weights[i] + weights[i + 1]
        values.append(np.tanh(z) if i + 2 < len(weights) else z)
    return values


def by_hand(model, x, y, *, steps, batch, epoch_steps, rate=lambda step: 0.01, weight=None, chosen=None, shuffle=True,
            loss=softmax_loss, factors=None, l1=0.0, l2=0.0, ema=None):
    """Gradient descent from the weights that the model has now.

    Returns weights, and for each epoch loss and accuracy as they are defined: weighted means over the rows of the
    epoch, the regularizers' part a mean over its steps. `factors` multiply the rate of each array; `l1` and `l2` are of
    kernels.
    """
    weights = [w.astype(np.float64) for w in model.get_weights()]
    average = [w.copy() for w in weights]
    weight = np.ones(len(x)) if weight is None else weight
    count = len(x) if chosen is None else len(chosen)
    position = number = 0
    epochs, sums = [], np.zeros(4)
    for step in range(steps):
        at = order(model, len(x), number, chosen) if shuffle else (np.arange(len(x)) if chosen is None else chosen)
        rows = at[position : position + batch]
        position += len(rows)
        if position == count:
            position, number = 0, number + 1
        values, w = forward(weights, x[rows]), weight[rows]
        value, gradient = loss(values[-1], y[rows])
        right = values[-1].argmax(axis=1) == y[rows] if y.ndim == 1 else 0 * w
        penalty = sum(l1 * np.abs(a).sum() + l2 * (a * a).sum() for a in weights[::2])
        sums += (value * w).sum(), (right * w).sum(), w.sum(), penalty
        d = gradient * (w / w.sum() if w.any() else w)[:, None]
        for i in range(len(weights) - 2, -1, -2):
            dw, db = values[i // 2].T @ d, d.sum(axis=0)
            if i:
                d = (d @ weights[i].T) * (1 - values[i // 2] ** 2)
            dw = dw + 2 * l2 * weights[i] + l1 * np.sign(weights[i])
            for j, g in ((i, dw), (i + 1, db)):
                weights[j] = weights[j] - rate(step) * (factors[j] if factors else 1) * g
        if ema is not None:
            average = [ema * a + (1 - ema) * w for a, w in zip(average, weights, strict=True)]
        if (step + 1) % epoch_steps == 0:
            epochs.append((sums[0] / sums[2] + sums[3] / epoch_steps, sums[1] / sums[2]))
            sums[:] = 0
    return (average if ema is not None else weights), np.array(epochs)


def close(model, history, hand) -> bool:
    """Whether weights and history are those of a training by hand."""
    weights, epochs = hand
    got = np.array([history.history["loss"], history.history.get("accuracy", epochs[:, 1])]).T
    near = [np.allclose(a, b, rtol=1e-9, atol=1e-12) for a, b in zip(model.get_weights(), weights, strict=True)]
    return all(near) and got.shape == epochs.shape and np.allclose(got, epochs, rtol=1e-9, atol=1e-12)


def train_seed(seed: int) -> bytes:
    """The weights of a small training, large enough for threads to share it; what worker processes call."""
    x, y = blobs(1024, 64, 8)
    model = fn.Sequential(
        [fn.Dense(256), fn.BatchNormalization(), fn.ReLU(), fn.Dropout(0.2), fn.Dense(256), fn.ReLU(), fn.Dense(8)],
        seed=seed,
    )
    model.compile(fn.Adam(1e-3), "sparse_categorical_crossentropy")
    model.fit(x, y, batch_size=256, epochs=4, validation_split=0.1)
    return model.memory.params.tobytes()
