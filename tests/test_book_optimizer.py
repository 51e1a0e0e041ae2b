"""fusednet.book's optimizers against the formulas: dictionaries of arrays of any shape, numbers, bad input.

Reads book_reference.py.
"""

import copy

import book_reference as reference
import numpy as np
import pytest

from fusednet.book.multi_layer_net import MultiLayerNet
from fusednet.book.optimizer import SGD, AdaGrad, Adam, Momentum, Nesterov, RMSprop

RULES = {"sgd": SGD, "momentum": Momentum, "nesterov": Nesterov, "adagrad": AdaGrad, "rmsprop": RMSprop, "adam": Adam}
STATE = {"sgd": "", "momentum": "v", "nesterov": "v", "adagrad": "h", "rmsprop": "h", "adam": "mv"}


def arrays(rng, dtype=np.float64):
    shapes = {"a": (3, 4), 7: (5,), ("x", 1): (2, 3, 4), "empty": (0,), "one": ()}
    return {key: np.array(rng.standard_normal(shape), dtype) for key, shape in shapes.items()}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("name", RULES)
def test_book_optimizer_follows_its_formula(name, dtype):
    rng = np.random.default_rng(0)
    params = arrays(rng, dtype)
    expected = {key: np.atleast_1d(value.astype(np.float64)) for key, value in params.items()}
    held = dict(params)
    mine, rule = RULES[name](lr=0.05), reference.Optimizer(name, lr=0.05)
    for _ in range(20):
        grads = arrays(rng, dtype)
        mine.update(params, grads | {"another": None})
        rule.update(expected, {key: np.atleast_1d(value.astype(np.float64)) for key, value in grads.items()})
    bound = 1e-12 if dtype == np.float64 else 1e-5
    for key, value in params.items():
        assert value is held[key] and value.dtype == dtype  # in place
        np.testing.assert_allclose(np.atleast_1d(value), expected[key], rtol=bound, atol=bound)
        for place, what in enumerate(STATE[name]):
            state = getattr(mine, what)[key]
            assert np.shape(state) == value.shape
            np.testing.assert_allclose(np.atleast_1d(state), rule.state[key][place], rtol=bound, atol=bound)
    if name == "adam":
        assert mine.iter == 20


@pytest.mark.parametrize("name", RULES)
def test_book_optimizer_takes_numbers(name):
    """The path of the two-dimensional toy problem, x^2 / 20 + y^2."""
    params, expected = {"x": -7.0, "y": 2.0}, {"x": np.array([-7.0]), "y": np.array([2.0])}
    mine, rule = RULES[name](lr=0.1), reference.Optimizer(name, lr=0.1)
    for _ in range(30):
        mine.update(params, {"x": params["x"] / 10, "y": 2 * params["y"]})
        rule.update(expected, {"x": expected["x"] / 10, "y": 2 * expected["y"]})
    for key in params:
        assert isinstance(params[key], float) and params[key] == pytest.approx(expected[key][0], rel=1e-12)


@pytest.mark.parametrize("name", RULES)
def test_book_optimizer_takes_any_layout(name):
    rng = np.random.default_rng(1)
    base = rng.standard_normal((6, 8))
    whole = {"a": base[::2, ::2].copy(), "b": base.T.copy()}
    apart = {"a": base.copy()[::2, ::2], "b": base.copy().T}
    one, other = RULES[name](lr=0.1), RULES[name](lr=0.1)
    for _ in range(3):
        grads = {"a": rng.standard_normal((3, 4)), "b": rng.standard_normal((8, 6))}
        one.update(whole, grads)
        other.update(apart, {"a": grads["a"].T.copy().T, "b": grads["b"][::-1].copy()[::-1]})
    for key in whole:
        np.testing.assert_allclose(apart[key], whole[key], rtol=1e-14)


@pytest.mark.parametrize("name", RULES)
def test_book_optimizer_takes_all_arrays_of_a_network_at_once_with_the_same_result(name):
    """Weights in one vector or each for itself, whichever entry has been replaced."""
    np.random.seed(0)
    network = MultiLayerNet(6, [5, 4], 3)
    x, t = np.random.randn(20, 6), np.random.randint(0, 3, 20)
    other = copy.deepcopy(network)
    one, each = RULES[name](lr=0.1), RULES[name](lr=0.1)
    for step in range(6):
        grads, plain = network.gradient(x, t), dict(other.gradient(x, t))
        if step == 2:
            grads["W1"] = np.clip(grads["W1"], -0.01, 0.01)  # as scripts that clip do
            plain["W1"] = np.clip(plain["W1"], -0.01, 0.01)
        one.update(network.params, grads)
        each.update(other.params, plain)
        if step == 3 and STATE[name]:
            for rule in (one, each):
                getattr(rule, STATE[name][0])["b1"] = np.ones(5)
    for key in network.params:
        np.testing.assert_allclose(network.params[key], other.params[key], rtol=1e-13, atol=1e-15)


@pytest.mark.parametrize("params, grads, error, message", [
    ({"a": np.zeros(3)}, {}, KeyError, "params has 'a', grads has not"),
    ({"a": np.zeros(3)}, {"a": np.zeros(4)}, ValueError, r"grads\['a'\] has shape \(4,\); wanted \(3,\)"),
    ({"a": np.zeros(3, int)}, {"a": np.zeros(3)}, TypeError, r"params\['a'\] has dtype int64; wanted floats"),
    ({"b": np.ones(2), "a": np.zeros((3, 1))}, {"b": np.ones(2), "a": np.zeros(3)}, ValueError, "wanted"),
    ({"b": np.ones(2), "a": np.zeros(1)}, {"b": np.ones(2), "a": ["x"]}, TypeError, r"grads\['a'\] is .*; wanted num"),
    ({"b": np.ones(2), "a": np.zeros(())}, {"b": np.ones(2), "a": None}, TypeError, r"grads\['a'\] is None; wanted"),
])
@pytest.mark.parametrize("name", RULES)
def test_book_optimizer_refuses_before_it_changes_anything(name, params, grads, error, message):
    before = {key: value.copy() for key, value in params.items()}
    with pytest.raises(error, match=message):
        RULES[name]().update(params, grads)
    assert all((params[key] == before[key]).all() for key in params)


@pytest.mark.parametrize("name", RULES)
def test_book_optimizer_refuses_what_is_neither_array_nor_number(name):
    for value, gradient, error, message in (
        ([1.0, 2.0], [1.0, 2.0], TypeError, r"params\['a'\] is \[1.0, 2.0\]; wanted an array of floats or a number"),
        (None, 1.0, TypeError, r"params\['a'\] is None"),
        (1.0, [1.0, 2.0], ValueError, r"grads\['a'\] has shape \(2,\); wanted a number"),
    ):
        params = {"b": np.ones(2), "a": value}
        with pytest.raises(error, match=message):
            RULES[name]().update(params, {"b": np.ones(2), "a": gradient})
        assert (params["b"] == 1).all() and params["a"] is value


@pytest.mark.parametrize("name", [name for name in RULES if STATE[name]])
def test_book_optimizer_refuses_parameters_that_it_did_not_begin_with(name):
    for later, error, message in (({"c": np.ones(2)}, KeyError, "params has 'c', which the first update had not"),
                                  ({"b": np.ones(3)}, ValueError, r"params\['b'\] has shape \(3,\), at the first")):
        rule, params = RULES[name](), {"a": np.ones(2), "b": np.ones(2)}
        rule.update(params, params)
        params |= later
        before = {key: value.copy() for key, value in params.items()}
        with pytest.raises(error, match=message):
            rule.update(params, {key: np.ones_like(value) for key, value in params.items()})
        assert all((params[key] == before[key]).all() for key in params)
