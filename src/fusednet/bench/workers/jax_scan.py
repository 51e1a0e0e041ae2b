"""JAX: a whole epoch is one call of a compiled function, `jax.lax.scan` over the steps, buffers donated.

Run by worker.py.

a) The order of rows is drawn by NumPy, and the steps gather their rows: JAX's own permutation sorts.
b) Labels become a comparison with the classes, because the gradient of a gather is a scatter, which is slow here.
c) Random bits for dropout come from `unsafe_rbg`, several times as fast as the default generator.
"""

from functools import partial

import adapter
import jax
import numpy as np
from jax import numpy as jnp

jax.config.update("jax_default_prng_impl", "unsafe_rbg")

ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh}


def normalized(x, gamma, beta, running, training: bool):
    """Batch norm, and the running mean and variance after it."""
    if not training:
        return (x - running[0]) * (gamma * jax.lax.rsqrt(running[1] + adapter.EPSILON)) + beta, running
    mean = x.mean(axis=0)
    variance = jnp.square(x - mean).mean(axis=0)
    keep = adapter.MOMENTUM
    running = (keep * running[0] + (1 - keep) * mean, keep * running[1] + (1 - keep) * variance)
    return (x - mean) * (gamma * jax.lax.rsqrt(variance + adapter.EPSILON)) + beta, running


def forward(task, weights, running, x, key, training: bool):
    """Outputs, and the running statistics after them."""
    after = []
    for i, layer in enumerate(weights[:-1]):
        x = x @ layer["w"] + layer["b"]
        if task.batch_norm:
            x, now = normalized(x, layer["gamma"], layer["beta"], running[i], training)
            after.append(now)
        x = ACTIVATIONS[task.activation](x)
        if training and task.dropout:
            kept = jax.random.bernoulli(jax.random.fold_in(key, i), 1 - task.dropout, x.shape)
            x = jnp.where(kept, x / (1 - task.dropout), 0.0)
    return x @ weights[-1]["w"] + weights[-1]["b"], after


def loss(task, weights, running, x, y, key):
    outputs, after = forward(task, weights, running, x, key, True)
    if task.loss == "mse":
        return jnp.square(outputs - y).mean(), after
    mine = jnp.where(y[:, None] == jnp.arange(task.outputs), outputs, 0.0).sum(axis=1)
    return (jax.nn.logsumexp(outputs, axis=1) - mine).mean(), after


def update(task, weights, state, gradients, step):
    """The optimizer's step: weights and state after it."""
    tree = jax.tree.map
    if task.optimizer == "sgd":
        return tree(lambda w, g: w - task.rate * g, weights, gradients), state
    if task.optimizer == "momentum":
        state = tree(lambda v, g: adapter.SGD_MOMENTUM * v - task.rate * g, state, gradients)
        return tree(jnp.add, weights, state), state
    b1, b2, epsilon = adapter.ADAM
    m = tree(lambda m, g: b1 * m + (1 - b1) * g, state[0], gradients)
    v = tree(lambda v, g: b2 * v + (1 - b2) * g * g, state[1], gradients)
    rate = task.rate * jnp.sqrt(1 - b2**step) / (1 - b1**step)
    return tree(lambda w, m, v: w - rate * m / (jnp.sqrt(v) + epsilon), weights, m, v), (m, v)


class Library(adapter.Library):
    package = "jax"

    def prepare(self, task):
        def layer(kernel, hidden):
            units = kernel.shape[1]
            more = {"gamma": jnp.ones(units), "beta": jnp.zeros(units)} if hidden and task.batch_norm else {}
            return {"w": jnp.array(kernel), "b": jnp.zeros(units), **more}

        last = len(task.kernels) - 1
        weights = [layer(kernel, i < last) for i, kernel in enumerate(task.kernels)]
        running = [(jnp.zeros(u), jnp.ones(u)) for u in task.hidden] if task.batch_norm else []
        zeros = jax.tree.map(jnp.zeros_like, weights)
        state = {"sgd": (), "momentum": zeros, "adam": (zeros, jax.tree.map(jnp.zeros_like, weights))}[task.optimizer]
        self.carry = (weights, running, state, jnp.float32(0), jax.random.key(task.seed))
        self.rng = np.random.default_rng(task.seed)
        self.x, self.y = jnp.array(task.x), jnp.array(task.y)
        slope = jax.value_and_grad(partial(loss, task), has_aux=True)

        def step(x, y, carry, rows):
            weights, running, state, count, key = carry
            now = jax.random.fold_in(key, count.astype(jnp.int32)) if task.dropout else key
            (value, running), gradients = slope(weights, running, x[rows], y[rows], now)
            weights, state = update(task, weights, state, gradients, count + 1)
            return (weights, running, state, count + 1, key), value

        @partial(jax.jit, donate_argnums=0)
        def epoch(carry, x, y, order):
            return jax.lax.scan(partial(step, x, y), carry, order)

        @jax.jit
        def predict(weights, running, x):
            return forward(task, weights, running, x, None, False)[0]

        self._epoch, self._predict = epoch, predict

    def epoch(self):
        order = self.rng.permutation(self.task.rows).astype(np.int32).reshape(self.task.steps, self.task.batch)
        self.carry, losses = self._epoch(self.carry, self.x, self.y, order)
        jax.block_until_ready((self.carry, losses))

    def predict(self, x):
        return np.asarray(self._predict(self.carry[0], self.carry[1], x))
