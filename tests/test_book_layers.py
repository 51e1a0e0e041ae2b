"""fusednet.book's layers: values and gradients against plain NumPy and differences, attributes, shapes, bad input.

Reads book_reference.py.
"""

import copy
import pickle

import book_reference as reference
import numpy as np
import pytest

from fusednet import book
from fusednet.book import functions, layers
from fusednet.book.gradient import numerical_gradient, numerical_gradient_2d
from fusednet.book.multi_layer_net import MultiLayerNet
from fusednet.book.multi_layer_net_extend import MultiLayerNetExtend

RNG = np.random.default_rng(5)


def near(a, b, dtype=np.float64):
    bound = 1e-12 if dtype == np.float64 else 2e-5
    np.testing.assert_allclose(a, b, rtol=bound, atol=bound)


ACTIVATIONS = {
    "Relu": lambda x: np.maximum(x, 0), "Sigmoid": lambda x: 1 / (1 + np.exp(-x)), "Tanh": np.tanh,
    "Swish": lambda x: x / (1 + np.exp(-x)), "Softplus": lambda x: np.log1p(np.exp(x)),
    "LeakyRelu": lambda x: np.where(x > 0, x, 0.01 * x),
}


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("shape", [(7,), (5, 3), (4, 2, 3, 3), (0, 3), (1, 1)])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_book_activation_has_its_values_and_derivative(name, shape, dtype):
    layer, f = getattr(layers, name)(), ACTIVATIONS[name]
    x, dout = RNG.standard_normal(shape).astype(dtype), RNG.standard_normal(shape).astype(dtype)
    y = layer.forward(x)
    assert y.dtype == dtype and y is not x
    near(y, f(x.astype(np.float64)), dtype)
    wide, h = x.astype(np.float64), 1e-6
    slope = (f(wide + h) - f(wide - h)) / (2 * h)
    np.testing.assert_allclose(layer.backward(dout.copy()), dout * slope, rtol=1e-4, atol=1e-5)


def test_book_relu_is_the_books():
    layer = layers.Relu()
    assert layer.mask is None
    x = np.array([[-1.0, 0.0, 2.0]])
    y = layer.forward(x)
    assert layer.mask.tolist() == [[True, True, False]] and layer.mask.dtype == bool
    y *= -1  # what is done to the result does not reach the mask
    dout = np.ones((1, 3))
    assert layer.backward(dout) is dout and dout.tolist() == [[0, 0, 1]]
    read_only = np.ones((1, 3))
    read_only.flags.writeable = False
    assert layer.backward(read_only).tolist() == [[0, 0, 1]] and read_only.tolist() == [[1, 1, 1]]
    transposed = np.ones((3, 1)).T
    assert layer.backward(transposed).tolist() == [[0, 0, 1]]


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 1, 1), (3, 2, 3)])
def test_book_affine(shape):
    rows, inputs = shape[0], int(np.prod(shape[1:]))
    W, b = RNG.standard_normal((inputs, 4)), RNG.standard_normal(4)
    layer = layers.Affine(W, b)
    x, dout = RNG.standard_normal(shape), RNG.standard_normal((rows, 4))
    grads = {}
    y, back = reference.affine(x.reshape(rows, inputs), W, b, grads, 1)
    near(layer.forward(x), y)
    near(layer.backward(dout), back(dout).reshape(shape))
    near(layer.dW, grads["W1"])
    near(layer.db, grads["b1"])
    assert layer.original_x_shape == shape and layer.x.shape == (rows, inputs) and layer.W is W and layer.b is b


def test_book_affine_sees_weights_that_change_in_place_and_not_those_put_in_their_place():
    for kind in (MultiLayerNet, MultiLayerNetExtend):
        network = kind(5, [4], 3)
        x, t = RNG.standard_normal((6, 5)), np.arange(6) % 3
        before, grads = network.predict(x), network.gradient(x, t)
        network.params["W2"] *= 2
        network.params["b2"] += 1
        near(network.predict(x), 2 * before + 1)
        assert not np.allclose(network.gradient(x, t)["W1"], grads["W1"])
        changed = network.predict(x)
        network.params["W2"] = np.zeros((4, 3))  # the layer keeps its reference
        near(network.predict(x), changed)
        network.gradient(x, t)
        network.layers["Affine2"].W = network.params["W2"]
        near(network.predict(x), np.tile(network.params["b2"], (6, 1)))


@pytest.mark.parametrize("scalar", [False, True])
@pytest.mark.parametrize("shape", [(6, 4), (6, 2, 1, 2), (1, 3)])
def test_book_batch_normalization(shape, scalar):
    columns = int(np.prod(shape[1:]))
    gamma, beta = (1.5, -0.25) if scalar else (RNG.standard_normal(columns), RNG.standard_normal(columns))
    layer = layers.BatchNormalization(gamma, beta)
    running = np.zeros(columns), np.zeros(columns)
    for _ in range(3):
        x, dout = RNG.standard_normal(shape) * 2 + 1, RNG.standard_normal(shape)
        grads = {}
        y, back, mean, var = reference.batch_norm(x.reshape(-1, columns), gamma, beta, grads, 1)
        held = layer.running_mean
        kept = None if held is None else held.copy()
        near(layer.forward(x, train_flg=True), y.reshape(shape))
        near(layer.backward(dout), back(dout.reshape(-1, columns)).reshape(shape))
        near(layer.dgamma, grads["gamma1"])
        near(layer.dbeta, grads["beta1"])
        running = 0.9 * running[0] + 0.1 * mean, 0.9 * running[1] + 0.1 * var
        near(layer.running_mean, running[0])
        near(layer.running_var, running[1])
        assert held is None or (held == kept).all()  # whoever holds the array of before keeps its values
        near(layer.std, np.sqrt(var + 1e-6))
        near(layer.xc, x.reshape(-1, columns) - mean)
        near(layer.xn, layer.xc / layer.std)
        assert layer.batch_size == shape[0] and layer.input_shape == shape
    expected = gamma * ((x.reshape(-1, columns) - running[0]) / np.sqrt(running[1] + 1e-6)) + beta
    near(layer.forward(x, train_flg=False), expected.reshape(shape))


def test_book_batch_normalization_begins_where_it_is_told():
    mean, var = np.ones(3), np.full(3, 4.0)
    layer = layers.BatchNormalization(np.ones(3), np.zeros(3), momentum=0.5, running_mean=mean, running_var=var)
    x = RNG.standard_normal((8, 3))
    near(layer.forward(x, train_flg=False), (x - 1) / np.sqrt(4 + 1e-6))
    layer.forward(x)
    near(layer.running_mean, 0.5 + 0.5 * x.mean(axis=0))
    assert (mean == 1).all() and (var == 4).all()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_book_dropout(dtype):
    layer, x = layers.Dropout(0.3), RNG.standard_normal((50, 7)).astype(dtype)
    np.random.seed(3)
    mask = np.random.rand(50, 7) > 0.3
    np.random.seed(3)
    near(layer.forward(x), x * mask)
    assert (layer.mask == mask).all() and layer.mask.dtype == bool
    near(layer.backward(x), x * mask)
    near(layer.forward(x, train_flg=False), x * (1 - 0.3), dtype)
    assert (layer.mask == mask).all()


def test_book_dropout_masks_are_of_their_own_layer():
    layer, x = layers.Dropout(0.3), RNG.standard_normal((50, 7))
    layer.forward(x)
    mask, other = layer.mask, copy.copy(layer)
    layer.forward(x)
    assert (layer.mask != mask).any() and (other.mask == mask).all()
    for again in (x[:20], x.astype(np.float32)):
        near(layer.forward(again), again * layer.mask)


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.int64])
def test_book_softmax_with_loss(kind):
    layer, z, t = layers.SoftmaxWithLoss(), RNG.standard_normal((6, 4)), (np.arange(6) % 4).astype(kind)
    y = reference.softmax(z)
    loss = -np.log(y[np.arange(6), t] + 1e-7).mean()
    for target in (t, np.eye(4)[t], np.eye(4, dtype=int)[t]):
        near(layer.forward(z, target), loss)
        near(layer.backward(), (y - np.eye(4)[t]) / 6)
        near(layer.y, y)
        near(layer.loss, loss)
        assert layer.t is target
    soft = RNG.random((6, 4))
    layer.forward(z, soft)
    near(layer.backward(1), (y - soft) / 6)
    near(layer.forward(z[0], np.array(2)), -np.log(y[0, 2] + 1e-7))


def test_book_losses_of_regression_and_of_two_classes():
    x, t = RNG.standard_normal((5, 2)), (RNG.random((5, 2)) > 0.5).astype(float)
    squared = layers.IdentityWithLoss()
    near(squared.forward(x, t), 0.5 * ((x - t) ** 2).sum() / 5)
    near(squared.backward(), (x - t) / 5)
    binary, p = layers.SigmoidWithLoss(), 1 / (1 + np.exp(-x))
    near(binary.forward(x, t), -(t * np.log(p + 1e-7) + (1 - t) * np.log(1 - p + 1e-7)).sum() / 5)
    near(binary.backward(), (p - t) / 5)
    column = x[:, :1]
    near(squared.forward(column, t[:, 0]), 0.5 * ((column[:, 0] - t[:, 0]) ** 2).sum() / 5)
    assert squared.backward().shape == (5, 1)


@pytest.mark.parametrize("norm, decay", [(False, 0), (True, 0), (True, 0.1), (False, 0.1)])
@pytest.mark.parametrize("activation", ["relu", "sigmoid", "tanh", "swish", "softplus", "leaky_relu"])
def test_book_gradient_is_the_numerical_one(monkeypatch, activation, norm, decay):
    """Without the 1e-7 of the loss, which the book's gradient leaves out: it alone makes differences of about 1e-7."""
    monkeypatch.setattr(layers, "TINY", 0.0)
    monkeypatch.setattr(functions, "TINY", 0.0)
    np.random.seed(1)
    network = MultiLayerNetExtend(6, [5, 4], 3, activation, "xavier", decay, use_batchnorm=norm)
    x, t = np.random.rand(60, 6), np.random.randint(0, 3, 60)
    for parts in (False, True):
        if parts:
            network._fused = lambda *arguments: None
        grads, numerical = network.gradient(x, t), network.numerical_gradient(x, t)
        assert list(grads) and set(grads) == set(numerical) == set(network.params)
        for key in grads:
            assert np.abs(grads[key] - numerical[key]).max() < 1e-7, key
            assert np.abs(1.0001 * grads[key] + 1e-6 - numerical[key]).max() > 1e-7, key  # what is wrong is seen


def test_book_gradient_leaves_the_books_attributes():
    np.random.seed(0)
    network = MultiLayerNetExtend(6, [5, 4], 3, weight_decay_lambda=0.1, use_dropout=True, use_batchnorm=True)
    other = copy.deepcopy(network)
    other._fused = lambda *arguments: None
    x, t = np.random.randn(9, 6), np.random.randint(0, 3, 9)
    for _ in range(2):
        state = np.random.get_state()
        grads = network.gradient(x, t)
        np.random.set_state(state)
        plain = other.gradient(x, t)
        for key in grads:
            near(grads[key], plain[key])
        for name, layer in network.layers.items():
            twin = other.layers[name]
            for what in ("x", "dW", "db", "mask", "out", "xn", "xc", "std", "dgamma", "dbeta", "running_mean",
                         "running_var", "batch_size", "input_shape", "original_x_shape"):
                if hasattr(twin, what):
                    near(getattr(layer, what), getattr(twin, what))
        for what in ("y", "t", "loss"):
            near(getattr(network.last_layer, what), getattr(other.last_layer, what))
    kept = {key: value.copy() for key, value in grads.items()}
    network.gradient(x * 2, t)
    for key in kept:
        assert (grads[key] == kept[key]).all()  # a script may keep gradients


def test_book_networks_can_be_pickled_and_copied():
    network = MultiLayerNetExtend(6, [5], 3, use_batchnorm=True)
    x, t = RNG.standard_normal((9, 6)), np.arange(9) % 3
    network.gradient(x, t)
    for make in (lambda network: pickle.loads(pickle.dumps(network)), copy.deepcopy):
        twin = make(network)
        near(twin.predict(x), network.predict(x))
        assert twin.layers["Affine1"].W is twin.params["W1"]
        assert not np.shares_memory(twin.params["W1"], network.params["W1"])
        near(twin.gradient(x, t)["W1"], network.gradient(x, t)["W1"])


def test_book_functions():
    x = RNG.standard_normal((3, 4))
    near(functions.softmax(x).sum(axis=1), np.ones(3))
    near(functions.softmax(x[0]), functions.softmax(x)[0])
    assert functions.step_function(np.array([-1.0, 0.0, 2.0])).tolist() == [0, 0, 1]
    assert functions.relu_grad(np.array([-1.0, 0.0, 2.0])).tolist() == [0, 1, 1]
    near(functions.sigmoid_grad(x), functions.sigmoid(x) * (1 - functions.sigmoid(x)))
    y, t = functions.softmax(x), np.array([0, 3, 1])
    near(functions.cross_entropy_error(y, t), -np.log(y[np.arange(3), t] + 1e-7).mean())
    near(functions.cross_entropy_error(y, np.eye(4)[t]), functions.cross_entropy_error(y, t))
    near(functions.cross_entropy_error(y[0], np.array(0)), -np.log(y[0, 0] + 1e-7))
    near(functions.softmax_loss(x, t), functions.cross_entropy_error(y, t))
    near(functions.squared_error(x, 0), (x**2).sum() / 2)
    near(functions.mean_squared_error(x, 0), (x**2).sum() / 3)
    np.testing.assert_allclose(numerical_gradient(lambda x: (x**2).sum(), x), 2 * x, atol=1e-9)


AFFINE = (np.zeros((4, 3)), np.zeros(3))


@pytest.mark.parametrize("call, message", [
    (lambda: layers.Affine(*AFFINE).forward(np.zeros((2, 5))),
     r"Affine: x has shape \(2, 5\), rows of 5; wanted rows of 4, as W is \(4, 3\)"),
    (lambda: layers.Affine(np.zeros(4), np.zeros(3)).forward(np.zeros((2, 4))), r"Affine: W has shape \(4,\); wanted"),
    (lambda: layers.Affine(AFFINE[0], np.zeros(2)).forward(np.zeros((2, 4))), r"Affine: b has shape \(2,\); wanted"),
    (lambda: MultiLayerNet(4, [3], 2).predict(np.zeros((2, 5))), r"Affine1 \(Affine\): x has shape \(2, 5\)"),
    (lambda: MultiLayerNet(4, [3], 2).gradient(np.zeros((2, 5)), np.zeros(2, int)), r"Affine1 \(Affine\): x has"),
    (lambda: layers.BatchNormalization(np.ones(3), 0).forward(np.zeros((2, 4))),
     r"BatchNormalization: gamma has shape \(3,\), x has 4 columns; wanted \(4,\) or one number"),
    (lambda: layers.BatchNormalization(1, 0).forward(np.zeros(4)), r"x has shape \(4,\); wanted \(rows, columns\)"),
    (lambda: layers.BatchNormalization(1, 0).forward(np.zeros((0, 4))), r"wanted at least one row"),
    (lambda: layers.SoftmaxWithLoss().forward(np.zeros((2, 3)), np.array([0, 3])),
     r"SoftmaxWithLoss: t\[1\] is 3; wanted labels of 0 to 2, as x is \(2, 3\)"),
    (lambda: layers.SoftmaxWithLoss().forward(np.zeros((2, 3)), np.array([0, -1])), r"t\[1\] is -1; wanted labels"),
    (lambda: layers.SoftmaxWithLoss().forward(np.zeros((2, 3)), np.array([0, 1, 2])), r"t has shape \(3,\); wanted"),
    (lambda: layers.SoftmaxWithLoss().forward(np.zeros((2, 3)), np.array([0.0, 1.0])), r"t has dtype float64; wanted"),
    (lambda: layers.IdentityWithLoss().forward(np.zeros((2, 3)), np.zeros(2)), r"x has shape \(2, 3\), t has"),
    (lambda: layers.Dropout(1.5), r"dropout_ratio is 1.5; wanted a number from 0 to 1"),
    (lambda: layers.LeakyRelu(0), r"alpha is 0; wanted a number above 0"),
    (lambda: MultiLayerNet(4, [3], 2, activation="rellu"), r"activation is 'rellu'; known: sigmoid, relu"),
    (lambda: MultiLayerNet(4, [3, 0], 2), r"MultiLayerNet: hidden_size_list is \[3, 0\]; wanted whole numbers"),
    (lambda: MultiLayerNet(4, [3], 2, weight_init_std="hee"), r"weight_init_std is 'hee'; wanted a number"),
    (lambda: MultiLayerNet(4, [3], 2, weight_init_std=None), r"weight_init_std is None; wanted a number from 0 on"),
    (lambda: MultiLayerNet(4, [3], 2, weight_init_std=float("nan")), r"weight_init_std is nan; wanted a number"),
    (lambda: MultiLayerNet(4, [3], 2).accuracy(np.zeros((2, 4)), np.zeros(3)), r"x has 2 rows, t has 3"),
    (lambda: book.set_dtype("int8"), r"set_dtype: dtype is 'int8'; wanted 'float64' or 'float32'"),
    (lambda: book.set_dtype(None), r"set_dtype: dtype is None; wanted 'float64' or 'float32'"),
])
def test_book_says_what_does_not_fit(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("layer", [layers.Relu(), layers.LeakyRelu(0.1), layers.Sigmoid(), layers.Tanh()])
def test_book_activations_of_a_number_are_numbers(layer):
    row = type(layer)(0.1) if isinstance(layer, layers.LeakyRelu) else type(layer)()
    for x in (0.5, -0.5):
        forward, backward = layer.forward(x), layer.backward(2.0)
        assert forward.shape == backward.shape == ()
        assert [forward] == row.forward(np.array([x])) and [backward] == row.backward(np.array([2.0]))


@pytest.mark.parametrize("layer", [layers.Relu(), layers.Affine(*AFFINE), layers.Dropout(),
                                   layers.BatchNormalization(1, 0), layers.SoftmaxWithLoss(), layers.Tanh()])
def test_book_backward_before_forward_is_refused(layer):
    with pytest.raises(RuntimeError, match="backward came before forward"):
        layer.backward(np.zeros((2, 3)))


def test_book_gradient_of_the_wrong_shape_is_refused():
    for layer in (layers.Relu(), layers.Tanh(), layers.Affine(np.zeros((3, 3)), np.zeros(3)), layers.Dropout(),
                  layers.BatchNormalization(1, 0)):
        layer.forward(np.ones((2, 3)))
        with pytest.raises(ValueError, match=r"dout has shape \(3, 3\); wanted \(2, 3\)"):
            layer.backward(np.ones((3, 3)))


def test_book_gradient_for_changing_numbers_of_rows():
    network = MultiLayerNetExtend(6, [5, 4], 3, use_batchnorm=True)
    x, t = RNG.standard_normal((40, 6)), np.arange(40) % 3
    for rows in (20, 7, 20, 7, 40, 1, 20, 7):
        other = copy.deepcopy(network)
        other._fused = lambda *arguments: None
        grads, plain = network.gradient(x[:rows], t[:rows]), other.gradient(x[:rows], t[:rows])
        for key in grads:
            near(grads[key], plain[key])
    assert len(network._schedules) == 2


def test_book_networks_take_rows_of_any_dtype_and_layout():
    network = MultiLayerNet(6, [5], 3)
    x, t = RNG.integers(0, 9, (10, 6)), np.arange(10) % 3
    wanted = network.gradient(x.astype(np.float64), t)["W1"]
    for rows in (x, x.astype(np.uint8), x.astype(np.float32), np.asfortranarray(x, np.float64),
                 np.repeat(x, 2, axis=0)[::2].astype(float)):
        near(network.gradient(rows, t)["W1"], wanted)
        near(network.gradient(rows, np.eye(3)[t])["W1"], wanted)


def test_book_numerical_gradient_2d_calls_its_function_with_a_row_at_a_time():
    def squares(x):  # as in the book's ch04/gradient_2d.py
        return np.sum(x**2) if x.ndim == 1 else np.sum(x**2, axis=1)

    x = np.array([[1.0, 2.0], [3.0, 4.0]])
    for given in (x, x[0]):
        before = given.copy()
        np.testing.assert_allclose(numerical_gradient_2d(squares, given), 2 * given, atol=1e-9)
        assert (given == before).all()
    with pytest.raises(TypeError, match="numerical_gradient_2d: X is an array of int64; wanted a NumPy array of float"):
        numerical_gradient_2d(squares, np.ones((2, 2), np.int64))


@pytest.mark.parametrize("dtype", [">i4", ">u2", ">i8", "<i4", "<i8"])
def test_book_labels_may_have_any_order_of_bytes(dtype):
    x, t = RNG.standard_normal((4, 3)), np.array([0, 2, 1, 1])
    layer, other = layers.SoftmaxWithLoss(), layers.SoftmaxWithLoss()
    assert layer.forward(x, t.astype(dtype)) == other.forward(x, t)
    near(layer.backward(), other.backward())
    network = MultiLayerNet(3, [5], 3)
    near(network.gradient(x, t.astype(dtype))["W1"], network.gradient(x, t)["W1"])
    with pytest.raises(ValueError, match=r"t\[1\] is 3; wanted labels of 0 to 2"):
        layer.forward(x, np.array([0, 3, 1, 1], dtype))


def test_book_labels_in_a_column_are_scored_as_labels():
    net = MultiLayerNet(4, [5], 3)
    x, t = RNG.standard_normal((20, 4)), np.arange(20) % 3
    assert net.loss(x, t[:, None]) == net.loss(x, t)
    assert net.accuracy(x, t[:, None]) == net.accuracy(x, t) == net.accuracy(x, np.eye(3)[t])
    one = MultiLayerNet(4, [5], 1)
    assert one.accuracy(x, np.ones((20, 1))) == 1.0  # one-hot rows of one class


@pytest.mark.parametrize("dtype", ["f2", "g", ">f8", ">f4"])
def test_book_batch_norm_takes_any_gamma(dtype):
    x = RNG.standard_normal((6, 2))
    layer, plain = (layers.BatchNormalization(np.ones(2, of), np.zeros(2, of)) for of in (dtype, "f8"))
    near(layer.forward(x), plain.forward(x), np.float32)


def test_book_batch_norm_gives_back_the_shape_of_its_input():
    x = RNG.standard_normal((6, 2, 3, 2))
    layer = layers.BatchNormalization(np.ones(12), np.zeros(12))
    layer.forward(x)
    assert layer.backward(np.ones((6, 12))).shape == x.shape
    layer.forward(x[:3], False)
    assert layer.backward(np.ones(x.shape)).shape == x.shape


def test_running_means_without_variances_are_refused():
    layer = layers.BatchNormalization(np.ones(2), np.zeros(2), running_mean=np.ones(2))
    for training in (True, False):
        with pytest.raises(ValueError, match="running_var is None, running_mean is not; wanted both or neither"):
            layer.forward(np.ones((3, 2)), training)
