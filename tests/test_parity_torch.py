"""The same trainings in PyTorch: a step of the engine, of parity_reference.py and of torch are one and the same.

Reads trainings.py and test_parity.py. Runs where torch is installed; the ordinary suite holds the engine to
parity_reference.py, and this file holds that to torch.

a) torch's own layers, losses and optimizers are used, with gradients by its autograd; what it has no word for is
   written out: decoupled decay where only its AdamW has it, weights of rows, moving averages, Adam's other epsilon.
b) Clipping by norm is written out, because torch's adds 1e-6 to the norm, which is more than the tolerance.
c) torch's running variance is the unbiased one; it is multiplied by (m - 1) / m before it is compared.
"""

import math

import numpy as np
import pytest
from parity_reference import State, rate
from test_parity import TOLERANCE, TWENTY, compare, expected, masks, one_step, wrong
from trainings import BEGUN, MIXED, TRAININGS, Training, data, model

import fusednet as fn
from fusednet.losses import HalfPoissonDeviance, HalfSquaredError, LogLoss

torch = pytest.importorskip("torch")
F = torch.nn.functional

ACTIVATIONS = {
    "linear": lambda z, alpha: z,
    "relu": lambda z, alpha: F.relu(z),
    "leaky_relu": F.leaky_relu,
    "elu": F.elu,
    "selu": lambda z, alpha: F.selu(z),
    "sigmoid": lambda z, alpha: torch.sigmoid(z),
    "tanh": lambda z, alpha: torch.tanh(z),
    "swish": lambda z, alpha: F.silu(z),
    "softplus": lambda z, alpha: F.softplus(z),
    "gelu": lambda z, alpha: F.gelu(z),
    "gelu_tanh": lambda z, alpha: F.gelu(z, approximate="tanh"),
    "softmax": lambda z, alpha: torch.softmax(z, 1),
}


@pytest.fixture(autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Torch:
    """A training in torch, from a state of the reference; `step` takes one step."""

    def __init__(self, network, training: Training, before: State, dtype: str):
        def tensors(arrays):
            return {name: torch.tensor(a, dtype=self.dtype) for name, a in arrays.items()}

        self.network, self.training, self.count = network, training, before.step
        self.dtype = getattr(torch, dtype)
        self.params = {name: t.requires_grad_() for name, t in tensors(before.params).items()}
        self.running, self.normalization = tensors(before.running), tensors(before.normalization)
        self.average = tensors(before.moments.get("average", {}))
        self.factors = {layer.name: getattr(layer, "learning_rate_factor", 1.0) for layer in network.layers}
        self.trained = {name: p for name, p in self.params.items() if self.factors[name.split("/")[0]]}
        self.optimizer = self._optimizer(before)
        self.before = before

    # ---- forward -----------------------------------------------------------------------------------------------------

    def _forward(self, x, mask):
        h, op = torch.tensor(np.asarray(x, np.float64), dtype=self.dtype), 0
        layers = self.network.layers
        for layer in layers:
            name = layer.name
            if isinstance(layer, fn.Dense):
                h = F.linear(h, self.params[f"{name}/kernel"].T, self.params.get(f"{name}/bias"))
                h = self._activation(layer, layer.activation, h)
            elif isinstance(layer, fn.Activation):
                h = self._activation(layer, layer, h)
            elif isinstance(layer, fn.Normalization):
                h = (h - self.normalization[f"{name}/mean"]) * self.normalization[f"{name}/scale"]
            elif isinstance(layer, fn.BatchNormalization):
                h = self._batch_norm(layer, h)
            elif isinstance(layer, fn.Dropout):
                h = h * torch.tensor(mask(layer.rate, op, tuple(h.shape)), dtype=self.dtype)
                op += 1
        return h

    def _activation(self, layer, activation, h):
        if layer is self.network.layers[-1] and activation.kind == self.training.loss.head:
            return h  # torch's cross entropies take logits
        return ACTIVATIONS[activation.kind](h, activation.alpha)

    def _batch_norm(self, layer, h):
        names = [f"{layer.name}/running_{what}" for what in ("mean", "var")]
        mean, var = (self.running[name].clone() for name in names)
        old, m = self.running[names[1]], len(h)
        gamma, beta = (self.params[f"{layer.name}/{what}"] for what in ("gamma", "beta"))
        y = F.batch_norm(h, mean, var, gamma, beta, training=True, momentum=1 - layer.momentum, eps=layer.epsilon)
        biased = layer.momentum * old + (var - layer.momentum * old) * ((m - 1) / m)
        self.running.update(zip(names, (mean, biased), strict=True))
        return y

    def _loss(self, z, y, weight):
        loss = self.training.loss
        y = torch.tensor(y)
        if isinstance(loss, fn.CategoricalCrossentropy):
            target = y.long() if y.ndim == 1 else y.to(self.dtype)
            rows = F.cross_entropy(z, target, reduction="none", label_smoothing=loss.label_smoothing)
        elif isinstance(loss, fn.BinaryCrossentropy):
            s = loss.label_smoothing
            target = (1 - s) * y.to(self.dtype) + s / 2
            rows = F.binary_cross_entropy_with_logits(z, target, reduction="none")
            rows = rows.sum(1) if isinstance(loss, LogLoss) else rows.mean(1)
        elif isinstance(loss, HalfSquaredError):
            rows = F.mse_loss(z, y.to(self.dtype), reduction="none").sum(1) / 2
        elif isinstance(loss, fn.Huber):
            rows = F.huber_loss(z, y.to(self.dtype), reduction="none", delta=loss.delta).mean(1)
        elif isinstance(loss, fn.Poisson):
            t = y.to(self.dtype)
            rows = F.poisson_nll_loss(z, t, reduction="none")
            rows = (rows + torch.xlogy(t, t) - t).sum(1) if isinstance(loss, HalfPoissonDeviance) else rows.mean(1)
        elif isinstance(loss, fn.Quantile):
            d = z - y.to(self.dtype)
            rows = torch.maximum((1 - loss.quantile) * d, -loss.quantile * d).mean(1)
        else:
            function = F.mse_loss if isinstance(loss, fn.MeanSquaredError) else F.l1_loss
            rows = function(z, y.to(self.dtype), reduction="none").mean(1)
        if weight is None:
            told = rows if loss.most is None else rows.clamp(max=loss.most)
            self.told = told.mean() - rows.mean()
            return rows.mean()
        self.told = 0.0
        weight = torch.tensor(weight).to(self.dtype)
        return (rows * weight).sum() / weight.sum()

    def _penalty(self, rows: int):
        total = torch.zeros((), dtype=self.dtype)
        for layer in self.network.layers:
            for what in ("kernel", "bias"):
                penalty = getattr(layer, f"{what}_regularizer", None)
                if penalty is not None:
                    w = self.params[f"{layer.name}/{what}"]
                    value = penalty.l1 * w.abs().sum() + penalty.l2 * (w**2).sum()
                    total = total + (value / rows if penalty.per_row else value)
        return total

    # ---- the step ----------------------------------------------------------------------------------------------------

    def _optimizer(self, before: State):
        spec, groups = self.training.optimizer, []
        for name, p in self.trained.items():
            groups.append({"params": [p], "lr": rate(spec, self.count) * self.factors[name.split("/")[0]]})
        decay = spec.weight_decay or 0.0
        if isinstance(spec, fn.Adam):
            options = {"betas": (spec.beta_1, spec.beta_2), "eps": spec.epsilon}
            made = torch.optim.AdamW(groups, weight_decay=decay, **options)
        elif isinstance(spec, fn.RMSprop):
            made = torch.optim.RMSprop(groups, alpha=spec.rho, eps=spec.epsilon)
        elif isinstance(spec, fn.AdaGrad):
            made = torch.optim.Adagrad(groups, eps=spec.epsilon)
        else:
            made = torch.optim.SGD(groups, momentum=spec.momentum, nesterov=spec.nesterov)
        self.decays = 0.0 if isinstance(spec, fn.Adam) else decay  # what the optimizer does not do itself
        for (name, p), group in zip(self.trained.items(), groups, strict=True):
            moments = {kind: torch.tensor(arrays[name], dtype=self.dtype) for kind, arrays in before.moments.items()}
            step = torch.tensor(float(self.count))
            if isinstance(spec, fn.Adam):
                made.state[p] = {"step": step, "exp_avg": moments["m"], "exp_avg_sq": moments["v"]}
            elif isinstance(spec, fn.RMSprop):
                made.state[p] = {"step": step, "square_avg": moments["v"]}
            elif isinstance(spec, fn.AdaGrad):
                made.state[p] = {"step": step, "sum": moments["v"]}
            elif spec.momentum:
                made.state[p] = {"momentum_buffer": -moments["v"] / group["lr"]}
        return made

    def _clip(self):
        spec, grads = self.training.optimizer, [p.grad for p in self.params.values()]
        groups = [[g] for g in grads] if spec.clipnorm is not None else [grads]
        limit = spec.clipnorm or spec.global_clipnorm
        for group in groups if limit is not None else ():
            norm = math.sqrt(sum(float((g.double() ** 2).sum()) for g in group))
            for g in group:
                g.mul_(min(1.0, limit / norm))
        if spec.clipvalue is not None:
            torch.nn.utils.clip_grad_value_(self.params.values(), spec.clipvalue)

    def step(self, x, y, weight, mask) -> float:
        """One training step; the loss before it, penalties counted."""
        spec = self.training.optimizer
        self.optimizer.zero_grad()
        loss = self._loss(self._forward(x, mask), y, weight) + self._penalty(len(x))
        loss.backward()
        self._clip()
        with torch.no_grad():
            for group in self.optimizer.param_groups:
                if isinstance(spec, fn.Adam) and not spec.epsilon_inside:  # epsilon outside of the correction
                    group["eps"] = spec.epsilon / math.sqrt(1 - spec.beta_2 ** (self.count + 1))
                group["params"][0].mul_(1 - group["lr"] * self.decays)
        self.optimizer.step()
        self.count += 1
        for name, average in self.average.items():
            average.lerp_(self.params[name].detach(), 1 - spec.ema_momentum)
        return float((loss + self.told).detach())

    def state(self) -> State:
        """As the reference has it."""
        def wide(arrays):
            return {name: t.detach().double().numpy() for name, t in arrays.items()}

        state = self.before.copy()
        state.params, state.running, state.step = wide(self.params), wide(self.running), self.count
        words = {"m": "exp_avg", "v": "exp_avg_sq" if isinstance(self.training.optimizer, fn.Adam) else "square_avg"}
        for (name, p), group in zip(self.trained.items(), self.optimizer.param_groups, strict=True):
            own = self.optimizer.state[p]
            for kind in self.training.optimizer.state:
                if "momentum_buffer" in own:
                    moment = -own["momentum_buffer"] * group["lr"]
                else:
                    moment = own["sum"] if "sum" in own else own[words[kind]]
                state.moments[kind][name] = moment.double().numpy()
        if self.average:
            state.moments["average"] = wide(self.average)
        return state


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("training", TRAININGS, ids=str)
def test_one_step_is_that_of_torch(table, training, dtype):
    made, before, after, loss = one_step(training, dtype)
    torched = Torch(made.network, training, before, dtype)
    torch_loss = torched.step(*data(training), masks(made, BEGUN))
    assert loss == pytest.approx(torch_loss, rel=TOLERANCE[dtype])
    compare(after, torched.state(), before, TOLERANCE[dtype])


@pytest.mark.parametrize("training", TRAININGS, ids=str)
def test_the_reference_is_torch(training):
    made, before, _, _ = one_step(training, "float64")
    wanted, loss = expected(made, training, before)
    torched = Torch(made.network, training, before, "float64")
    assert torched.step(*data(training), masks(made, BEGUN)) == pytest.approx(loss, rel=1e-12)
    compare(torched.state(), wanted, before, 1e-12)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_twenty_steps_are_those_of_torch(table, dtype):
    made = model(MIXED, dtype)
    before = State.of(made)
    torched = Torch(made.network, MIXED, before, dtype)
    x, y, weight = data(MIXED, 130)
    for number in range(20):
        of = slice(number % 5 * 32, number % 5 * 32 + 32)
        torched.step(x[of], y[of], weight[of], masks(made, number))
    made.fit(x, y, batch_size=32, epochs=4, shuffle=False, sample_weight=weight)
    compare(State.of(made), torched.state(), before, TWENTY[dtype])


@pytest.mark.parametrize("training", TRAININGS, ids=str)
def test_another_number_anywhere_is_refused(training):
    made, before, after, _ = one_step(training, "float32")
    x, y, weight = data(training)
    for what, other, network, weighted in wrong(training, made.network):
        if what in ("epsilon_inside", "nesterov", "momentum"):
            continue  # moments from before the step mean another thing then
        torched = Torch(network, other, before, "float32")
        torched.step(x, y, weight if weighted else None, masks(made, BEGUN))
        with pytest.raises(AssertionError):
            compare(after, torched.state(), before, TOLERANCE["float32"])
            pytest.fail(f"{what}: not refused", pytrace=False)
