"""fusednet.book's `gradient` at one go: what it keeps from call to call must not be seen from outside.

Gradients whose arrays and memory come late, layers' attributes that are taken at a look, and whatever a script may
change between two calls, each beside the same network going layer by layer.
"""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest

from fusednet.book._weights import LateWeights, Weights
from fusednet.book.layers import Affine, BatchNormalization, Dropout, Relu, SoftmaxWithLoss
from fusednet.book.multi_layer_net import MultiLayerNet
from fusednet.book.multi_layer_net_extend import MultiLayerNetExtend
from fusednet.book.optimizer import Adam

ATTRIBUTES = ("x", "dW", "db", "mask", "out", "xn", "xc", "std", "dgamma", "dbeta", "running_mean", "running_var",
              "batch_size", "input_shape", "original_x_shape")


def network(**options):
    np.random.seed(0)
    return MultiLayerNetExtend(6, [5, 4], 3, **({"use_batchnorm": True} | options))


def batch(rows=9):
    rng = np.random.default_rng(1)
    return rng.standard_normal((rows, 6)), rng.integers(0, 3, rows)


def near(a, b):
    np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12)


def layer_by_layer(net):
    """A copy that takes the plain road."""
    other = copy.deepcopy(net)
    other._fused = lambda *arguments: None
    return other


def late() -> tuple[LateWeights, dict]:
    """Gradients that nobody has looked at, and a dictionary of what they should hold."""
    net, (x, t) = network(), batch()
    expected = {key: value.copy() for key, value in net.gradient(x, t).items()}
    grads = net.gradient(x, t)
    assert type(grads) is LateWeights
    return grads, expected


def as_keywords(**named):
    return named


@pytest.mark.parametrize("use", [
    dict, list, sorted, len, bool, tuple, set, iter, reversed, repr,
    lambda d: {**d}, lambda d: as_keywords(**d), lambda d: [*d], lambda d: d["W2"], lambda d: "W2" in d,
    lambda d: d.get("W2"), lambda d: d.get("W9", 3), lambda d: d.keys(), lambda d: d.values(), lambda d: d.items(),
    lambda d: d.copy(), lambda d: d | {"a": 1}, lambda d: {"a": 1} | d, lambda d: d.pop("b1"), lambda d: d.popitem(),
    lambda d: d.setdefault("W2", 0), lambda d: d.setdefault("a", 0), lambda d: d.keys() & {"W1", "a"},
    lambda d: ({"a": 1} | {"b": 2}).update(d) or d["W1"], copy.copy, copy.deepcopy,
    lambda d: pickle.loads(pickle.dumps(d)), lambda d: dict(zip(d, d.values(), strict=True)),
], ids=lambda use: getattr(use, "__name__", None))
def test_book_gradients_are_a_dictionary_whatever_is_done_first(use):
    grads, expected = late()
    found, wanted = use(grads), use(expected)
    if isinstance(found, (str, set)):
        assert found == wanted
        return
    for one, other in ((found, wanted), (grads, expected)):
        if isinstance(one, dict):
            assert list(one) == list(other)
        elif not isinstance(one, np.ndarray) and hasattr(one, "__iter__"):
            one, other = list(one), list(other)
        if isinstance(one, dict):
            one, other = list(one.values()), list(other.values())
        for a, b in zip(one, other, strict=True) if isinstance(one, (list, tuple)) else ((one, other),):
            for a_part, b_part in zip(*((a, b) if isinstance(a, tuple) else ((a,), (b,))), strict=True):
                assert np.array_equal(a_part, b_part)


@pytest.mark.parametrize("change", [
    lambda d: d.update(W1=np.zeros((6, 5))), lambda d: d.__setitem__("W1", np.zeros((6, 5))), lambda d: d.pop("W1"),
    lambda d: d.__ior__({"W1": 0}), lambda d: d.clear(), lambda d: d.popitem(), lambda d: d.__delitem__("b1"),
    lambda d: d.setdefault("more", 0),
])
@pytest.mark.parametrize("looked", [False, True])
def test_book_gradients_that_were_changed_are_no_longer_one_vector(change, looked):
    grads, _ = late()
    if looked:
        grads["W1"][0, 0] = 1.0  # in place: nothing of the unity is lost
        grads["W1"] += 1.0
    assert grads.whole()
    change(grads)
    assert type(grads) is Weights and not grads.whole()


def test_book_gradients_put_back_are_one_vector_again():
    grads, _ = late()
    kept = grads["W1"]
    grads["W1"] = np.zeros((6, 5))
    assert not grads.whole()
    grads["W1"] = kept
    assert grads.whole()


def held(grads):
    yield grads
    yield grads["W1"]
    yield grads["b2"][1:3]
    yield grads["W1"].T[1:]
    yield memoryview(grads["W2"])
    yield grads.vector
    yield {"deep": [grads["gamma1"].reshape(1, 5)]}


@pytest.mark.parametrize("which", range(7))
def test_book_gradients_that_somebody_has_are_never_written_again(which):
    net, (x, t) = network(), batch()

    def plain(thing):
        if isinstance(thing, dict) and "deep" in thing:
            thing = thing["deep"][0]
        return [np.array(a) for a in thing.values()] if isinstance(thing, dict) else [np.array(thing)]

    things, wanted = [], []
    for k in range(6):
        thing = list(held(net.gradient(x * (k + 1), t)))[which]
        things.append(thing)
        wanted.append(plain(thing))
        del thing
        for each, values in zip(things, wanted, strict=True):
            assert all(map(np.array_equal, plain(each), values))
    assert not np.array_equal(wanted[0][0], wanted[1][0])


def test_book_gradients_that_nobody_has_make_room_for_the_next():
    net, (x, t) = network(), batch()
    places, rule = set(), Adam()
    for _ in range(6):  # as scripts do it: the last ones are still there when the next are made
        grads = net.gradient(x, t)
        rule.update(net.params, grads)
        places.add(grads.vector.__array_interface__["data"][0])
    assert len(places) == 2
    del grads
    again = {net.gradient(x, t).vector.__array_interface__["data"][0] for _ in range(4)}
    assert len(again) == 1 and again < places


def test_book_nothing_of_a_batch_is_kept_by_a_gradient_of_another_kind():
    net, (x, t) = network(), batch()
    net.gradient(x, t)                                          # labels: one call of the engine
    gone = weakref.ref(x)
    other, one_hot = x + 1, np.eye(3)[t] * 0.9 + 0.01           # targets: two calls
    net.gradient(other, one_hot)
    del x
    gc.collect()
    assert gone() is None
    places = {net.gradient(other, one_hot).vector.__array_interface__["data"][0] for _ in range(6)}
    assert len(places) == 1


@pytest.mark.parametrize("options", [{}, {"use_dropout": True, "weight_decay_lambda": 0.1}, {"use_batchnorm": False}])
@pytest.mark.parametrize("looks", ["always", "sometimes", "at the end"])
def test_book_attributes_are_the_same_whenever_they_are_looked_at(options, looks):
    net = network(**options)
    other = layer_by_layer(net)
    for turn, rows in enumerate((9, 9, 4, 9, 4, 4, 7, 9)):
        x, t = batch(rows)
        state = np.random.get_state()
        net.gradient(x * turn, t)
        np.random.set_state(state)
        other.gradient(x * turn, t)
        if (looks == "at the end" and turn < 7) or (looks == "sometimes" and turn % 3):
            continue
        for name, layer in net.layers.items():
            for what in ATTRIBUTES:
                assert hasattr(layer, what) == hasattr(other.layers[name], what)
                if hasattr(layer, what):
                    near(getattr(layer, what), getattr(other.layers[name], what))


def both(net, other, change, rows=9):
    """The two roads from before a change to behind it."""
    x, t = batch(rows)
    for each in (net, other):
        np.random.seed(5)
        each.gradient(x, t)
        change(each)
    for turn in range(2):
        state = np.random.get_state()
        mine = net.gradient(x * (turn + 2), t)
        np.random.set_state(state)
        plain = other.gradient(x * (turn + 2), t)
        for key in plain:
            near(mine[key], plain[key])
    for name, layer in net.layers.items():
        if isinstance(layer, BatchNormalization):
            near(layer.running_mean, other.layers[name].running_mean)
            near(layer.running_var, other.layers[name].running_var)


def replace(what, value):
    def change(net):
        layer, attribute = what.split(".")
        setattr(net.layers[layer], attribute, value(getattr(net.layers[layer], attribute)))

    return change


def swap_layer(net):
    net.layers["Affine2"] = Affine(net.params["W2"], net.params["b2"])
    net.layers["BatchNorm1"] = BatchNormalization(net.params["gamma1"], net.params["beta1"], momentum=0.5)


def swap_order(net):
    for name in ("BatchNorm2", "Dropout2", "Affine3"):
        net.layers.move_to_end(name)


def own_forward(net):
    layer = net.layers["Activation_function1"]
    layer.forward = lambda x, of=Relu.forward: of(layer, x) * 2


def own_backward(net):
    layer = net.layers["Affine3"]
    layer.backward = lambda dout, of=Affine.backward: of(layer, dout) * 3


def own_loss(net):
    class Twice(SoftmaxWithLoss):
        def backward(self, dout=1):
            return 2 * super().backward(dout)

    net.last_layer = Twice()


def patched_loss(net):
    layer = net.last_layer
    layer.backward = lambda dout=1, of=SoftmaxWithLoss.backward: 2 * of(layer, dout)


@pytest.mark.parametrize("change", [
    replace("BatchNorm1.momentum", lambda _: 0.5), replace("BatchNorm1.running_mean", lambda a: a + 1),
    replace("BatchNorm2.running_mean", lambda a: None),
    replace("BatchNorm2.gamma", lambda a: a * 2), replace("BatchNorm2.beta", lambda a: a - 1),
    replace("Affine1.W", lambda a: a * 2), replace("Affine3.b", lambda a: a + 1),
    replace("Dropout1.dropout_ratio", lambda _: 0.1), lambda net: net.layers["BatchNorm1"].running_mean.fill(3.0),
    lambda net: net.params.update(W1=net.params["W1"] * 3), lambda net: net.params["W2"].__imul__(2),
    lambda net: setattr(net, "params", dict(net.params)), swap_layer, swap_order, own_forward, own_backward, own_loss,
    patched_loss,
    lambda net: setattr(net, "weight_decay_lambda", 0.3), lambda net: net.layers.pop("Dropout1"),
    lambda net: setattr(net.layers["BatchNorm1"], "__class__", type("Mine", (BatchNormalization,), {})),
], ids=range(21))
def test_book_changes_between_two_gradients_are_seen(change):
    net = network(use_dropout=True)
    both(net, layer_by_layer(net), change)


def test_book_a_change_of_one_element_is_seen_by_the_comparison():
    net = network(use_dropout=True)
    other = layer_by_layer(net)
    other.params["b1"][0] += 1e-6
    with pytest.raises(AssertionError):
        both(net, other, lambda net: None)


def test_book_layers_can_be_used_by_themselves_after_a_gradient():
    net, (x, t) = network(use_dropout=True), batch()
    other = layer_by_layer(net)
    for each in (net, other):
        np.random.seed(3)
        each.gradient(x, t)
    dout = np.random.default_rng(2).standard_normal((9, 5))
    for name in ("Dropout1", "Activation_function1", "BatchNorm1", "Affine1"):
        near(net.layers[name].backward(dout.copy()), other.layers[name].backward(dout.copy()))
    near(net.layers["Affine1"].dW, other.layers["Affine1"].dW)
    near(net.predict(x), other.predict(x))


def test_book_attributes_can_be_set_and_deleted_before_they_are_looked_at():
    net, (x, t) = network(), batch()
    net.gradient(x, t)
    layer = net.layers["Affine1"]
    layer.dW = 5
    assert layer.dW == 5 and layer.x is x
    net.gradient(x, t)
    assert layer.dW.shape == (6, 5)
    del layer.dW
    with pytest.raises(AttributeError, match="dW"):
        layer.dW  # noqa: B018
    with pytest.raises(AttributeError, match="dW"):
        del layer.dW
    net.gradient(x, t)
    assert layer.dW.shape == (6, 5)


def test_book_a_layer_taken_out_of_its_network_keeps_its_attributes():
    net, (x, t) = network(), batch()
    other = layer_by_layer(net)
    kept = []
    for each in (net, other):
        each.gradient(x, t)
        kept.append(each.layers["BatchNorm1"])
        each.layers["BatchNorm1"] = BatchNormalization(each.params["gamma1"], each.params["beta1"])
        each.gradient(x * 2, t)
    for what in ("running_mean", "running_var", "dgamma", "xn"):
        near(getattr(kept[0], what), getattr(kept[1], what))


@pytest.mark.parametrize("make", [copy.deepcopy, lambda thing: pickle.loads(pickle.dumps(thing))])
def test_book_copies_of_layers_have_their_attributes(make):
    net, (x, t) = network(use_dropout=True), batch()
    net.gradient(x, t)
    for layer in map(make, list(net.layers.values())):
        twin = net.layers[layer.name]
        assert "_left" not in vars(layer)
        for what in ATTRIBUTES:
            if hasattr(twin, what):
                near(getattr(layer, what), getattr(twin, what))


def test_book_networks_are_freed_without_the_garbage_collector():
    net, (x, t) = network(use_dropout=True), batch()
    net.gradient(x, t)
    seen = [weakref.ref(layer) for layer in net.layers.values()]
    gc.disable()
    try:
        del net
        assert not any(reference() is not None for reference in seen)
    finally:
        gc.enable()


def test_book_a_refused_batch_leaves_everything_as_it_was():
    net, (x, t) = network(), batch()
    grads = net.gradient(x, t)
    kept, mean = grads["W1"].copy(), net.layers["BatchNorm1"].running_mean.copy()
    net.gradient(x, t)
    expected = net.layers["BatchNorm1"].running_mean.copy()
    net.gradient(x, t)
    with pytest.raises(ValueError, match=r"t\[2\] is 7"):
        net.gradient(x * 2, np.where(np.arange(9) == 2, 7, t))
    near(net.layers["Affine1"].dW, kept)
    assert not np.array_equal(expected, mean) and net.layers["Affine1"].x is x


def test_book_an_interrupted_gradient_leaves_layers_that_can_go_on(monkeypatch):
    net, (x, t) = network(), batch()
    wanted = net.gradient(x, t)["W1"].copy()
    schedule = net._schedules[9]

    class Interrupted:
        def advance(self, scalars, seconds):
            raise KeyboardInterrupt

    monkeypatch.setattr(schedule, "_run", lambda ops: Interrupted())
    with pytest.raises(KeyboardInterrupt):
        net.gradient(x, t)
    monkeypatch.undo()
    assert net.layers["Affine1"].dW is None  # as before a first gradient
    near(net.gradient(x, t)["W1"], wanted)
    near(net.layers["Affine1"].dW, wanted)


def test_book_schedules_of_several_numbers_of_rows_have_running_statistics_in_common():
    net = MultiLayerNet(6, [5], 3)
    x, t = batch()
    assert net.gradient(x, t)["W1"].shape == (6, 5)  # without any
    both(network(), layer_by_layer(network()), lambda net: net.gradient(*batch(4)))


def test_book_dropout_alone_draws_as_the_book_does():
    net = network(use_dropout=True, use_batchnorm=False)
    both(net, layer_by_layer(net), lambda net: setattr(net.layers["Dropout2"], "_drawn", None))
    assert isinstance(net.layers["Dropout2"], Dropout) and net.layers["Dropout2"].mask.shape == (9, 4)


def test_book_running_statistics_that_somebody_has_stay_as_they_are():
    net, (x, t) = network(), batch()
    net.gradient(x, t)
    held = [getattr(net.layers["BatchNorm1"], what) for what in ("running_mean", "running_var")]
    kept = [array.copy() for array in held]
    for _ in range(2):
        net.gradient(x, t)
    assert all(map(np.array_equal, held, kept))
    assert not np.array_equal(net.layers["BatchNorm1"].running_mean, kept[0])
