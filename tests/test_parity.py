"""A training step, and twenty, of every table against the plain NumPy of parity_reference.py.

Reads trainings.py and parity_reference.py; its comparison and its masks are read by test_parity_torch.py.

a) One step from the same weights, moments and running statistics: what comes out is the reference's to 1e-10 in float64
   and 1e-5 in float32, of the largest element of each array.
b) So is the change, but for the rounding of the result: a weight that hardly moves would hide a wrong gradient.
c) For every number and word of every training the reference is run with another one; each of these has to be refused.
"""

from dataclasses import fields, replace

import numpy as np
import parity_reference as reference
import pytest
from parity_reference import State
from trainings import BEGUN, MIXED, TRAININGS, Training, covered, data, drawn, model

import fusednet as fn
from fusednet import ops

TOLERANCE = {"float32": 1e-5, "float64": 1e-10}
TWENTY = {"float32": 2e-5, "float64": 1e-10}
"""Of twenty steps: in float32 the rounding of a step is carried on by those after it."""


def masks(made, step: int):
    """The masks of a model's dropouts at a step, as `parity_reference.gradients` wants them."""
    def mask(rate, op, shape):
        return ops.dropout(np.ones(shape), rate, made.seeds["masks"], step, op)

    return mask


def compare(got: State, wanted: State, before: State, tolerance: float) -> float:
    """Raise AssertionError where an array is not as wanted.

    It may be off by `tolerance` of its largest element; its change by `tolerance` of the largest change, and the
    rounding of the array.

    Returns
    -------
    float
        The largest error.
    """
    largest = 0.0
    first, want = before.flat(), wanted.flat()
    unit = np.finfo(np.float32 if tolerance > 1e-8 else np.float64).eps / 2
    assert got.flat().keys() == want.keys()
    for name, array in got.flat().items():
        error, size = np.abs(array - want[name]).max(), np.abs(want[name]).max()
        change = np.abs(want[name] - first[name]).max()
        assert error <= tolerance * size, f"{name}: off by {error:.3g}, largest {size:.3g}"
        allowed = tolerance * change + 2 * unit * size  # a step is two roundings, of the decayed weight and of the sum
        assert error <= allowed, f"{name}: off by {error:.3g}, largest change {change:.3g}"
        largest = max(largest, error / size if error else 0.0)
    return largest


def one_step(training: Training, dtype: str):
    """The model, its state before and after a step of the engine, and the loss."""
    made = model(training, dtype, begun=True)
    before = State.of(made)
    x, y, weight = data(training)
    loss = made.train_on_batch(x, y, sample_weight=weight)
    return made, before, State.of(made), loss


def expected(made, training: Training, before: State, network=None, weighted=True):
    """The reference's state after the step, and the loss; of another training's numbers if one is given."""
    after = before.copy()
    x, y, weight = data(training)
    loss = reference.step(network or made.network, training.loss, training.optimizer, after, x, y,
                          weight if weighted else None, masks(made, BEGUN))
    return after, sum(loss)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("training", TRAININGS, ids=str)
def test_one_step_is_the_references(table, training, dtype):
    made, before, after, loss = one_step(training, dtype)
    wanted, wanted_loss = expected(made, training, before)
    assert loss == pytest.approx(wanted_loss, rel=TOLERANCE[dtype])
    compare(after, wanted, before, TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("number", range(80))
def test_networks_drawn_at_random_are_the_references(number, dtype):
    training = drawn(number)
    made, before, after, loss = one_step(training, dtype)
    wanted, wanted_loss = expected(made, training, before)
    assert loss == pytest.approx(wanted_loss, rel=TOLERANCE[dtype]), training
    compare(after, wanted, before, TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_twenty_steps_are_the_references(table, dtype):
    made = model(MIXED, dtype)
    before = State.of(made)
    wanted = before.copy()
    x, y, weight = data(MIXED, 130)
    total = weight.sum(dtype=np.float64)
    batches = [slice(begin, begin + 32) for begin in range(0, 130, 32)]  # the last has two rows
    losses, penalties = [], []
    for number in range(20):
        of = batches[number % 5]
        loss, penalty = reference.step(made.network, MIXED.loss, MIXED.optimizer, wanted, x[of], y[of], weight[of],
                                       masks(made, number))
        losses.append(loss * weight[of].sum(dtype=np.float64) / total)
        penalties.append(penalty / 5)
    history = made.fit(x, y, batch_size=32, epochs=4, shuffle=False, sample_weight=weight)
    assert made.step == 20
    compare(State.of(made), wanted, before, TWENTY[dtype])
    epochs = np.add(losses, penalties).reshape(4, 5).sum(axis=1)
    np.testing.assert_allclose(history.history["loss"], epochs, rtol=TWENTY[dtype])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("training", TRAININGS, ids=str)
def test_scores_and_predictions_are_the_references(table, training, dtype):
    names = ("mse", "mae") if training.loss.takes == "values" else ("accuracy",)
    made = model(training, dtype, begun=True, metrics=names)
    x, y, weight = data(training)
    state = State.of(made)
    wanted = reference.scores(made.network, training.loss, state, x, y, weight)
    for size in (None, 7):
        scores = made.evaluate(x, y, batch_size=size, sample_weight=weight, return_dict=True)
        assert scores == pytest.approx(wanted, rel=TOLERANCE[dtype])
        outputs = reference.outputs(made.network, state, x)
        error = np.abs(made.predict(x, batch_size=size) - outputs).max()
        assert error <= TOLERANCE[dtype] * np.abs(outputs).max()
    for name in (*state.params, *state.running):  # an array that is a little wrong is seen
        off = state.copy()
        {**off.params, **off.running}[name][...] *= 1.01
        error = np.abs(made.predict(x) - reference.outputs(made.network, off, x)).max()
        assert error > TOLERANCE[dtype] * np.abs(outputs).max(), name


# ---- the comparison refuses what is wrong ----------------------------------------------------------------------------


def _optimizers(optimizer):
    rate = optimizer.learning_rate
    name = fields(rate)[0].name
    yield "learning rate", replace(optimizer, learning_rate=replace(rate, **{name: getattr(rate, name) * 1.001}))
    for f in fields(optimizer):
        value = getattr(optimizer, f.name)
        if f.name == "learning_rate" or (f.name == "initial_accumulator_value"):
            continue
        if f.name == "ema_momentum" and not optimizer.use_ema:
            continue
        if isinstance(value, bool):
            if f.name in ("epsilon_inside", "nesterov") and getattr(optimizer, "momentum", 1):
                yield f.name, replace(optimizer, **{f.name: not value})
        elif value:
            yield f.name, replace(optimizer, **{f.name: value * 0.99})
            if f.name in ("weight_decay", "clipnorm", "global_clipnorm", "clipvalue"):
                yield f"no {f.name}", replace(optimizer, **{f.name: None})


def _layers(layer):
    kind = layer.kind if isinstance(layer, fn.Activation) else getattr(getattr(layer, "activation", None), "kind", "")
    other = {"linear": "tanh", "gelu": "gelu_tanh", "gelu_tanh": "gelu", "relu": "leaky_relu", "elu": "selu"}
    if isinstance(layer, fn.Activation):
        yield "activation", fn.Activation(other.get(kind, "linear"), name=layer.name)
        if layer.alpha:
            yield "alpha", replace(fn.Activation(kind, name=layer.name), alpha=layer.alpha * 1.01)
    elif isinstance(layer, fn.Dense):
        if layer.learning_rate_factor:
            yield "activation", replace(layer, activation=other.get(kind, "linear"))
            yield "factor", replace(layer, learning_rate_factor=layer.learning_rate_factor * 1.01)
        for name in ("kernel_regularizer", "bias_regularizer"):
            if (penalty := getattr(layer, name)) is not None:
                yield name, replace(layer, **{name: fn.L1L2(penalty.l1 * 1.01, penalty.l2 * 1.01, penalty.per_row)})
                yield f"no {name}", replace(layer, **{name: None})
    elif isinstance(layer, fn.BatchNormalization):
        yield "epsilon", replace(layer, epsilon=layer.epsilon * 1.01)
        yield "momentum", replace(layer, momentum=layer.momentum * 0.999)
    elif isinstance(layer, fn.Dropout):
        yield "rate", replace(layer, rate=layer.rate * 1.1)


def wrong(training: Training, network):
    """Trainings that are wrong in one thing: what, the training, the network, whether rows are weighted."""
    for what, optimizer in _optimizers(training.optimizer):
        yield what, replace(training, optimizer=optimizer), network, True
    for f in fields(training.loss):
        value = getattr(training.loss, f.name)
        if f.name == "most":
            continue  # moves nothing but the loss that is told
        yield f.name, replace(training, loss=replace(training.loss, **{f.name: value * 1.01 if value else 0.01})), \
            network, True
    if training.weighted:
        yield "weights", training, network, False
    head = getattr(training.loss, "head", None)
    for i, layer in enumerate(network.layers):
        last = i == len(network.layers) - 1
        for what, changed in _layers(layer):
            if last and what == "activation" and head is not None:
                continue  # softmax or none: the same logits
            layers = (*network.layers[:i], changed, *network.layers[i + 1 :])
            yield f"{what} of {layer.name}", training, replace(network, layers=layers), True


@pytest.mark.parametrize("training", TRAININGS, ids=str)
def test_another_number_anywhere_is_refused(training):
    made, before, after, _ = one_step(training, "float32")
    seen = []
    for what, other, network, weighted in wrong(training, made.network):
        wanted, _ = expected(made, other, before, network, weighted)
        with pytest.raises(AssertionError):
            compare(after, wanted, before, TOLERANCE["float32"])
            pytest.fail(f"{what}: not refused", pytrace=False)
        seen.append(what)
    assert "learning rate" in seen


def test_other_masks_and_a_step_too_few_are_refused():
    made, before, after, _ = one_step(MIXED, "float32")
    x, y, weight = data(MIXED)
    for step, count in ((BEGUN + 1, BEGUN), (BEGUN, BEGUN - 1)):
        wanted = before.copy()
        wanted.step = count
        reference.step(made.network, MIXED.loss, MIXED.optimizer, wanted, x, y, weight, masks(made, step))
        with pytest.raises(AssertionError):
            compare(after, wanted, before, TOLERANCE["float32"])


@pytest.mark.parametrize("training", [t for t in TRAININGS if t.loss.most is not None and not t.weighted], ids=str)
def test_another_bound_of_the_loss_is_refused(training):
    made, before, _, loss = one_step(training, "float32")
    for most in (None, training.loss.most * 1.01):
        _, other = expected(made, replace(training, loss=replace(training.loss, most=most)), before)
        assert loss != pytest.approx(other, rel=TOLERANCE["float32"])


def test_everything_there_is_has_a_training():
    assert all(covered().values()), covered()
