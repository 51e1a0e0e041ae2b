"""A training step in plain NumPy, float64, by the formulas of the literature: what the engine is held to.

Reads the words of a training (layers, loss, optimizer) and no arithmetic of the package; read by test_parity.py, and by
test_parity_torch.py, which holds this file to PyTorch.

a) Every layer goes forward and back on its own: nothing is fused, derivatives are taken from inputs, not from outputs.
b) The loss, too, knows nothing of the layer before it, but for softmax and sigmoid ahead of a cross entropy: the
   gradient through both is ``softmax(z) - t`` and ``sigmoid(z) - t`` (Bishop 2006, sections 4.3.2 and 4.3.4).
c) Masks of dropout are given: they are a choice, not arithmetic.
"""

import copy
import math
from dataclasses import dataclass, field

import numpy as np

import fusednet as fn
from fusednet.losses import HalfPoissonDeviance, HalfSquaredError, LogLoss

_erf = np.vectorize(math.erf, otypes=[float])
_ROOT = math.sqrt(2 / math.pi)
_SELU = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946  # Klambauer et al. 2017


@dataclass
class State:
    """What a training step changes: arrays by name, moments by name and weight array."""

    params: dict[str, np.ndarray]
    running: dict[str, np.ndarray] = field(default_factory=dict)
    moments: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    normalization: dict[str, np.ndarray] = field(default_factory=dict)
    step: int = 0

    @classmethod
    def of(cls, model) -> "State":
        """A copy of a model's, in float64."""
        def wide(arrays):
            return {name: array.astype(np.float64) for name, array in arrays.items()}

        memory = model.memory
        moments = {name: wide(memory.views(vector)) for name, vector in memory.state.items()}
        return cls(wide(memory.parameters), wide(memory.running), moments, wide(memory.normalization), model.step)

    def copy(self) -> "State":
        return copy.deepcopy(self)

    def flat(self) -> dict[str, np.ndarray]:
        """All that changes, by one name each."""
        moments = {f"{kind} of {name}": a for kind, arrays in self.moments.items() for name, a in arrays.items()}
        return {**self.params, **self.running, **moments}


# ---- activations: f(z), f'(z) ----------------------------------------------------------------------------------------


def _sigmoid(z):
    return 1 / (1 + np.exp(-z))


def _elu(z, alpha):
    return np.where(z > 0, z, alpha * (np.exp(z) - 1)), np.where(z > 0, 1, alpha * np.exp(z))


def _gelu(z, alpha):
    normal = 0.5 * (1 + _erf(z / math.sqrt(2)))
    return z * normal, normal + z * np.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def _gelu_tanh(z, alpha):
    inner = np.tanh(_ROOT * (z + 0.044715 * z**3))
    return 0.5 * z * (1 + inner), 0.5 * (1 + inner) + 0.5 * z * (1 - inner**2) * _ROOT * (1 + 3 * 0.044715 * z**2)


ACTIVATIONS = {
    "linear": lambda z, alpha: (z, np.ones_like(z)),
    "relu": lambda z, alpha: (np.maximum(z, 0), (z > 0) * 1.0),
    "leaky_relu": lambda z, alpha: (np.where(z > 0, z, alpha * z), np.where(z > 0, 1, alpha)),
    "elu": _elu,
    "selu": lambda z, alpha: tuple(_SELU[1] * part for part in _elu(z, _SELU[0])),
    "sigmoid": lambda z, alpha: (_sigmoid(z), _sigmoid(z) * (1 - _sigmoid(z))),
    "tanh": lambda z, alpha: (np.tanh(z), 1 - np.tanh(z) ** 2),
    "swish": lambda z, alpha: (z * _sigmoid(z), _sigmoid(z) + z * _sigmoid(z) * (1 - _sigmoid(z))),
    "softplus": lambda z, alpha: (np.log1p(np.exp(z)), _sigmoid(z)),
    "gelu": _gelu,
    "gelu_tanh": _gelu_tanh,
}


def _softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def _activate(kind: str, alpha: float, z):
    """f(z), and what takes a gradient with respect to it to one with respect to z."""
    if kind == "softmax":
        y = _softmax(z)
        return y, lambda dy: np.einsum("mj,mjk->mk", dy, y[:, :, None] * (np.eye(z.shape[1]) - y[:, None, :]))
    y, slope = ACTIVATIONS[kind](z, alpha)
    return y, lambda dy: dy * slope


# ---- losses: value and gradient of each row --------------------------------------------------------------------------


def loss_rows(loss, z, y):
    """l (m,) and dl/dz (m, n); z are logits for cross entropies."""
    n = z.shape[1]
    if isinstance(loss, fn.CategoricalCrossentropy):
        target = np.eye(n)[y] if y.ndim == 1 else y.astype(np.float64)
        target = (1 - loss.label_smoothing) * target + loss.label_smoothing / n
        p = _softmax(z)
        return -(target * np.log(p)).sum(axis=1), p * target.sum(axis=1, keepdims=True) - target
    y = y.astype(np.float64)
    if isinstance(loss, fn.BinaryCrossentropy):
        target = (1 - loss.label_smoothing) * y + loss.label_smoothing / 2
        p, share = _sigmoid(z), 1 if isinstance(loss, LogLoss) else 1 / n
        return -share * (target * np.log(p) + (1 - target) * np.log(1 - p)).sum(axis=1), share * (p - target)
    d = z - y
    if isinstance(loss, HalfSquaredError):
        return (d**2).sum(axis=1) / 2, d
    if isinstance(loss, fn.MeanSquaredError):
        return (d**2).mean(axis=1), 2 * d / n
    if isinstance(loss, fn.MeanAbsoluteError):
        return np.abs(d).mean(axis=1), np.sign(d) / n
    if isinstance(loss, HalfPoissonDeviance):
        return (y * np.log(y) - y - y * z + np.exp(z)).sum(axis=1), np.exp(z) - y
    if isinstance(loss, fn.Poisson):
        return (np.exp(z) - y * z).mean(axis=1), (np.exp(z) - y) / n
    if isinstance(loss, fn.Quantile):
        slope = np.where(d > 0, 1 - loss.quantile, np.where(d < 0, -loss.quantile, 0))
        return (slope * d).mean(axis=1), slope / n
    small = np.abs(d) <= loss.delta
    values = np.where(small, d**2 / 2, loss.delta * (np.abs(d) - loss.delta / 2))
    return values.mean(axis=1), np.where(small, d, loss.delta * np.sign(d)) / n


def _reported(loss, rows, weight):
    # `most` bounds what is told of a loss, not its gradient
    return np.minimum(rows, loss.most) if loss.most is not None and weight is None else rows


# ---- layers ----------------------------------------------------------------------------------------------------------


def _plain(network, loss) -> list[tuple]:
    """Layers as (kind, layer, activation, alpha), without a final activation that the loss contains."""
    parts = []
    for layer in network.layers:
        if isinstance(layer, fn.Activation):
            parts.append(("activation", layer, layer.kind, layer.alpha))
        else:
            parts.append((type(layer).__name__, layer, None, None))
        if isinstance(layer, fn.Dense):
            parts.append(("activation", layer, layer.activation.kind, layer.activation.alpha))
    sigmoid = "sigmoid" if isinstance(loss, fn.BinaryCrossentropy) else None
    head = "softmax" if isinstance(loss, fn.CategoricalCrossentropy) else sigmoid
    while parts[-1][2] == "linear":
        parts.pop()
    if head is not None and parts[-1][2] == head:
        parts.pop()
    return parts


def gradients(network, loss, state: State, x, y, weight, mask):
    """The mean loss of a batch without penalties, and the gradients by name; running statistics in `state` move.

    Parameters
    ----------
    network : fusednet.spec.Network
    loss : fusednet.losses.Loss
    state : State
    x, y, weight
        weight may be None.
    mask : callable
        ``mask(rate, op, shape)`` is 1 / (1 - rate) where dropout `op` of the network keeps an element, else 0.
    """
    h, back, op = np.asarray(x, np.float64), [], 0
    grads: dict[str, np.ndarray] = {}
    for kind, layer, activation, alpha in _plain(network, loss):
        name = layer.name
        if kind == "Normalization":
            h = (h - state.normalization[f"{name}/mean"]) * state.normalization[f"{name}/scale"]
        elif kind == "Dense":
            h, way = _dense(state, grads, name, layer.use_bias, h)
            back.append(way)
        elif kind == "BatchNormalization":
            h, way = _batch_norm(state, grads, layer, h)
            back.append(way)
        elif kind == "Dropout" and layer.rate:
            keep = mask(layer.rate, op, h.shape)
            op += 1
            h = h * keep
            back.append(lambda dy, keep=keep: dy * keep)
        elif kind == "activation":
            h, way = _activate(activation, alpha, h)
            back.append(way)
    rows, dz = loss_rows(loss, h, np.asarray(y))
    rows = _reported(loss, rows, weight)
    weight = np.ones(len(h)) if weight is None else np.asarray(weight, np.float64)
    share = weight / weight.sum()
    d = dz * share[:, None]
    for way in reversed(back):
        d = way(d)
    return float(rows @ share), grads


def outputs(network, state: State, x, loss=None):
    """What the network gives outside of training: running statistics, no dropout.

    Parameters
    ----------
    network, state, x
        As for `gradients`.
    loss : fusednet.losses.Loss, optional
        Without a final activation that it contains: logits.
    """
    h = np.asarray(x, np.float64)
    for kind, layer, activation, alpha in _plain(network, loss):
        name, p = layer.name, state.params
        if kind == "Normalization":
            h = (h - state.normalization[f"{name}/mean"]) * state.normalization[f"{name}/scale"]
        elif kind == "Dense":
            h = h @ p[f"{name}/kernel"] + (p[f"{name}/bias"] if layer.use_bias else 0)
        elif kind == "BatchNormalization":
            hat = (h - state.running[f"{name}/running_mean"]) / np.sqrt(
                state.running[f"{name}/running_var"] + layer.epsilon)
            h = p[f"{name}/gamma"] * hat + p[f"{name}/beta"]
        elif kind == "activation":
            h, _ = _activate(activation, alpha, h)
    return h


def scores(network, loss, state: State, x, y, weight) -> dict[str, float]:
    """Mean loss with penalties, and metrics: mse and mae of values, else the share of right answers."""
    z, target = outputs(network, state, x, loss), np.asarray(y)
    found = {"loss": _reported(loss, loss_rows(loss, z, target)[0], weight)}
    weight = np.ones(len(z)) if weight is None else np.asarray(weight, np.float64)
    if loss.takes == "classes":
        found["accuracy"] = z.argmax(axis=1) == (target if target.ndim == 1 else target.argmax(axis=1))
    elif loss.takes == "binary":
        found["accuracy"] = ((z > 0) == (target > 0.5)).mean(axis=1)
    else:
        found["mse"], found["mae"] = ((z - target) ** 2).mean(axis=1), np.abs(z - target).mean(axis=1)
    means = {name: float(rows @ weight / weight.sum()) for name, rows in found.items()}
    means["loss"] += regularize(network, state, {name: np.zeros_like(w) for name, w in state.params.items()})
    return means


def _dense(state, grads, name, use_bias, x):
    w = state.params[f"{name}/kernel"]

    def back(dy):
        grads[f"{name}/kernel"] = x.T @ dy
        if use_bias:
            grads[f"{name}/bias"] = dy.sum(axis=0)
        return dy @ w.T

    return x @ w + (state.params[f"{name}/bias"] if use_bias else 0), back


def _batch_norm(state, grads, layer, x):
    # forward and the chain rule by Ioffe & Szegedy 2015, section 3
    name, m = layer.name, len(x)
    gamma, beta = state.params[f"{name}/gamma"], state.params[f"{name}/beta"]
    mean = x.sum(axis=0) / m
    var = ((x - mean) ** 2).sum(axis=0) / m
    root = np.sqrt(var + layer.epsilon)
    hat = (x - mean) / root
    for what, value in (("running_mean", mean), ("running_var", var)):
        old = state.running[f"{name}/{what}"]
        state.running[f"{name}/{what}"] = layer.momentum * old + (1 - layer.momentum) * value

    def back(dy):
        grads[f"{name}/gamma"], grads[f"{name}/beta"] = (dy * hat).sum(axis=0), dy.sum(axis=0)
        dhat = dy * gamma
        dvar = (dhat * (x - mean)).sum(axis=0) * -0.5 * root**-3
        dmean = -dhat.sum(axis=0) / root + dvar * (-2 * (x - mean)).sum(axis=0) / m
        return dhat / root + dvar * 2 * (x - mean) / m + dmean / m

    return gamma * hat + beta, back


# ---- the step --------------------------------------------------------------------------------------------------------


def regularize(network, state: State, grads: dict, rows: int | None = None) -> float:
    """Add the penalties' gradients; their value. `rows` of the batch: None outside of training."""
    total = 0.0
    for layer in network.layers:
        for what in ("kernel", "bias"):
            penalty = getattr(layer, f"{what}_regularizer", None)
            name = f"{layer.name}/{what}"
            if penalty is None or name not in grads or (penalty.per_row and rows is None):
                continue
            w, share = state.params[name], 1 / rows if penalty.per_row else 1
            total += share * (penalty.l1 * np.abs(w).sum() + penalty.l2 * (w**2).sum())
            grads[name] = grads[name] + share * (penalty.l1 * np.sign(w) + 2 * penalty.l2 * w)
    return total


def clip(optimizer, grads: dict) -> dict:
    """The gradients, clipped by norm, then by value."""
    if optimizer.clipnorm is not None:
        limit = optimizer.clipnorm
        grads = {name: g * limit / max(limit, math.sqrt((g**2).sum())) for name, g in grads.items()}
    if optimizer.global_clipnorm is not None:
        norm = math.sqrt(sum((g**2).sum() for g in grads.values()))
        limit = optimizer.global_clipnorm
        grads = {name: g * limit / max(limit, norm) for name, g in grads.items()}
    if optimizer.clipvalue is not None:
        grads = {name: np.clip(g, -optimizer.clipvalue, optimizer.clipvalue) for name, g in grads.items()}
    return grads


def _sgd(o, lr, t, g, moments):
    if not o.momentum:
        return -lr * g
    moments["v"] = o.momentum * moments["v"] - lr * g
    return o.momentum * moments["v"] - lr * g if o.nesterov else moments["v"]


def _adagrad(o, lr, t, g, moments):
    moments["v"] = moments["v"] + g * g
    return -lr * g / (np.sqrt(moments["v"]) + o.epsilon)


def _rmsprop(o, lr, t, g, moments):
    moments["v"] = o.rho * moments["v"] + (1 - o.rho) * g * g
    return -lr * g / (np.sqrt(moments["v"]) + o.epsilon)


def _adam(o, lr, t, g, moments):
    moments["m"] = o.beta_1 * moments["m"] + (1 - o.beta_1) * g
    moments["v"] = o.beta_2 * moments["v"] + (1 - o.beta_2) * g * g
    first, second = 1 - o.beta_1**t, 1 - o.beta_2**t
    if o.epsilon_inside:
        return -lr * (moments["m"] / first) / (np.sqrt(moments["v"] / second) + o.epsilon)
    return -lr * math.sqrt(second) / first * moments["m"] / (np.sqrt(moments["v"]) + o.epsilon)


STEPS = {"sgd": _sgd, "adagrad": _adagrad, "rmsprop": _rmsprop, "adam": _adam, "adamw": _adam}


def rate(optimizer, step: int) -> float:
    """The learning rate after `step` steps."""
    return float(optimizer.learning_rate(np.array([step]))[0])


def step(network, loss, optimizer, state: State, x, y, weight, mask) -> tuple[float, float]:
    """One training step on `state`; the mean loss of the rows before it, and the penalty."""
    value, grads = gradients(network, loss, state, x, y, weight, mask)
    penalty = regularize(network, state, grads, len(x))
    grads = clip(optimizer, grads)
    lr = rate(optimizer, state.step)
    state.step += 1
    factors = {layer.name: getattr(layer, "learning_rate_factor", 1.0) for layer in network.layers}
    for name, w in state.params.items():
        own = lr * factors[name.split("/")[0]]
        if own == 0:
            continue
        moments = {kind: state.moments[kind][name] for kind in optimizer.state}
        change = STEPS[optimizer.name](optimizer, own, state.step, grads[name], moments)
        for kind, array in moments.items():
            state.moments[kind][name] = array
        state.params[name] = w - own * (optimizer.weight_decay or 0) * w + change
    if optimizer.use_ema:
        m = optimizer.ema_momentum
        for name, average in state.moments["average"].items():
            state.moments["average"][name] = m * average + (1 - m) * state.params[name]
    return value, penalty
