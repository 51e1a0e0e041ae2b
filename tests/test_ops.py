"""fusednet.ops against plain NumPy formulas in float64, in every dtype and memory layout that the door takes.

Reads ops_cases.py, one list that most tests walk; optimizer steps, dropout and take_rows have tests of their own.
"""

import doctest
import inspect
import math
import re

import numpy as np
import pytest
from ops_cases import ACTIVATIONS, BACKWARD, OPS, TOLERANCE, as_tuple, batch_norm_backward, derivative

from fusednet import backends, ops
from fusednet.backends.table import KERNELS, TYPES, Table
from fusednet.ops import (
    _activations,
    _affine,
    _dropout,
    _losses,
    _metrics,
    _normalization,
    _optimizers,
    _rows,
)


def checked(kernel, function):
    """A table's function that refuses what the list (kernels.def) does not promise to it."""

    def check(argument, value, dtypes, sizes):
        if not argument.shape:
            assert type(value) is {"real": float, "int": int}[argument.role]
            return
        if value is None:
            assert argument.optional
            return
        assert type(value) is np.ndarray and value.flags.aligned and value.ndim == len(argument.shape)
        if argument.dtype == "T":
            dtypes.add(value.dtype.name)
        else:
            assert value.dtype.name in (TYPES if argument.dtype == "any" else (argument.dtype,))
        assert value.dtype.isnative
        for name, size in zip(argument.shape, value.shape, strict=True):
            assert sizes.setdefault(name, size) == size
        if value.size and value.shape[-1] > 1:
            assert value.strides[-1] == value.itemsize
        if value.size and value.ndim == 2 and value.shape[0] > 1:
            assert value.strides[0] >= value.shape[1] * value.itemsize and value.strides[0] % value.itemsize == 0

    def call(*arguments):
        dtypes, sizes = set(), {}
        for argument, value in zip(kernel.parameters, arguments, strict=True):
            check(argument, value, dtypes, sizes)
        assert dtypes in ({"float32"}, {"float64"}, set())
        function(*arguments)

    return call


@pytest.fixture(autouse=True)
def table_that_checks(table, monkeypatch):
    """Before the NumPy table, which would take anything, stands one that holds the door to the list's promises."""
    if table.backend == "numpy":
        functions = {name: checked(kernel, getattr(table, name)) for name, kernel in KERNELS.items()}
        monkeypatch.setattr(backends, "_current", Table("numpy", functions))


every_op = pytest.mark.parametrize("op", OPS, ids=str)
every_dtype = pytest.mark.parametrize("dtype", ["float32", "float64"])


# ---- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("op", OPS + BACKWARD, ids=str)
@every_dtype
def test_values(op, dtype):
    given = op.arguments(dtype)
    wide = {name: a if name == "labels" else a.astype(np.float64) for name, a in given.items()}
    before = {name: a.copy() for name, a in given.items()}
    got, expected = op.call(given), as_tuple(op.expect(*wide.values()))
    assert len(got) == len(expected)
    tolerance = TOLERANCE[dtype]
    if op in BACKWARD and dtype == "float64":
        tolerance = dict(rtol=1e-9, atol=1e-9)
    for value, wanted in zip(got, expected, strict=True):
        np.testing.assert_allclose(np.asarray(value, np.float64).reshape(np.shape(wanted)), wanted, **tolerance)
        if isinstance(value, np.ndarray):
            assert value.dtype == dtype
    for name, a in given.items():
        np.testing.assert_array_equal(a, before[name])


def test_relu_backward():
    dy = np.array([[1.0, 2.0, 3.0]])
    np.testing.assert_array_equal(ops.relu_backward(dy, [[0.0, 5.0, 0.0]]), [[0, 2, 0]])


def test_linear_backward_is_a_copy():
    dy = np.ones((2, 3))
    dx = ops.linear_backward(dy)
    np.testing.assert_array_equal(dx, dy)
    assert not np.shares_memory(dx, dy)


def test_silu_is_swish():
    assert ops.silu is ops.swish and ops.silu_backward is ops.swish_backward


# ---- layouts and dtypes ----------------------------------------------------------------------------------------------


def layouts(a):
    """`a` again in other memory, by name."""
    yield "fortran", np.asfortranarray(a)
    yield "reversed", np.ascontiguousarray(a[::-1])[::-1]
    twice = np.repeat(a, 2, axis=-1)
    yield "every other", twice[..., ::2]
    if a.ndim == 2:
        wider = np.full((a.shape[0] + 1, a.shape[1] + 3), 77, a.dtype)
        wider[1:, 2:-1] = a
        yield "rows apart", wider[1:, 2:-1]
        yield "transposed", np.ascontiguousarray(a.T).T
    memory = np.zeros(a.nbytes + 1, np.uint8)
    unaligned = memory[1:].view(a.dtype).reshape(a.shape)
    unaligned[...] = a
    yield "unaligned", unaligned
    readonly = a.copy()
    readonly.setflags(write=False)
    yield "read-only", readonly
    yield "swapped bytes", a.astype(a.dtype.newbyteorder())
    yield "subclass", a.view(type("Other", (np.ndarray,), {}))


def assert_same_bits(got, wanted):
    for one, other in zip(got, wanted, strict=True):
        assert type(one) is type(other)
        if isinstance(one, np.ndarray):
            assert one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
        else:
            assert one == other


@every_op
@every_dtype
def test_layouts(op, dtype):
    given = op.arguments(dtype)
    wanted = op.call(given)
    for name in given:
        for layout, a in layouts(given[name]):
            try:
                assert_same_bits(op.call({**given, name: a}), wanted)
            except AssertionError as error:
                raise AssertionError(f"{name}, {layout}") from error


@every_op
def test_lists(op):
    given = op.arguments("float64")
    assert_same_bits(op.call({name: a.tolist() for name, a in given.items()}), op.call(given))


@every_op
def test_mixed_dtypes_give_the_wider(op):
    given = op.arguments("float64")
    wanted = op.call(given)
    floating = [name for name in given if name != "labels"]
    for name in floating:
        others = {other: given[other].astype(np.float32) for other in floating if other != name}
        assert_same_bits(op.call({**given, **others}), wanted)
        assert_same_bits(op.call({**given, **others, name: given[name].astype(np.longdouble)}), wanted)


@every_op
def test_half_precision_gives_single(op):
    given = op.arguments("float32")
    half = {name: a if name == "labels" else a.astype(np.float16) for name, a in given.items()}
    assert_same_bits(op.call(half), op.call(given))


@every_op
@pytest.mark.parametrize("integer", ["int8", "uint8", "int16", "int32", "int64", "bool"])
def test_integer_data_follow_the_parameters(op, integer):
    parameters = ("w", "b", "gamma", "beta", "mean", "var")
    for dtype in ("float32", "float64"):
        given = op.arguments(dtype)
        data = {name: (np.abs(a) > 1).astype(integer) for name, a in given.items() if name not in parameters}
        if "labels" in data:
            data["labels"] = given["labels"]
        rest = {name: a for name, a in given.items() if name in parameters}
        result = dtype if rest else "float64"
        plain = {name: a if name == "labels" else a.astype(result) for name, a in data.items()}
        if "weights" in data:
            data["weights"] = plain["weights"] = np.arange(1, data["weights"].size + 1).reshape(data["weights"].shape)
        assert_same_bits(op.call({**given, **data}), op.call({**given, **plain}))


@pytest.mark.parametrize("integer", ["int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "bool"])
def test_labels_of_any_integer_dtype(integer):
    logits = np.linspace(-1, 1, 12).reshape(6, 2)
    labels = np.array([0, 1, 1, 0, 1, 0])
    wanted = ops.softmax_cross_entropy(logits, labels)
    assert_same_bits(ops.softmax_cross_entropy(logits, labels.astype(integer)), wanted)
    assert_same_bits(ops.softmax_cross_entropy(logits, labels.astype(integer)[::-1][::-1]), wanted)
    assert ops.count_correct(logits, labels.astype(integer)) == 3.0


# ---- out -------------------------------------------------------------------------------------------------------------


def blank(a):
    return np.full_like(a, 99.0, order="C", subok=False)


def writable_layouts(a):
    for layout, other in layouts(blank(a)):
        if layout not in ("swapped bytes", "read-only"):
            yield layout, other


def result_arrays(op, results):
    return [r for r in results if isinstance(r, np.ndarray)][: op.out]


every_op_with_out = pytest.mark.parametrize("op", [op for op in OPS if op.out], ids=str)


@every_op_with_out
@every_dtype
def test_out(op, dtype):
    given = op.arguments(dtype)
    wanted = op.call(given)
    outs = tuple(blank(r) for r in result_arrays(op, wanted))
    results = op.call(given, out=outs if op.out > 1 else outs[0])
    assert_same_bits(results, wanted)
    assert all(any(r is out for r in results) for out in outs)
    only_first = blank(outs[0])
    results = op.call(given, out=only_first)
    assert_same_bits(results, wanted)
    assert any(r is only_first for r in results)


@every_op_with_out
@every_dtype
def test_out_of_any_layout(op, dtype):
    given = op.arguments(dtype)
    wanted = op.call(given)
    arrays = result_arrays(op, wanted)
    for place, wanted_array in enumerate(arrays):
        for layout, out in writable_layouts(wanted_array):
            outs = tuple(out if p == place else None for p in range(op.out))
            results = op.call(given, out=outs if op.out > 1 else out)
            assert any(r is out for r in results), layout
            np.testing.assert_array_equal(np.asarray(out), wanted_array, err_msg=layout)


@pytest.mark.parametrize("op", [op for op in OPS if op.same], ids=str)
@every_dtype
def test_out_may_be_an_input(op, dtype):
    wanted = op.call(op.arguments(dtype))
    for name in op.same:
        for layout in ("plain", "rows apart", "every other"):
            given = op.arguments(dtype)
            if layout != "plain":
                given[name] = dict(layouts(given[name])).get(layout, given[name])
            results = op.call(given, out=given[name])
            assert any(r is given[name] for r in results)
            for got, right in zip(results, wanted, strict=True):
                np.testing.assert_array_equal(got, right)
        given = op.arguments(dtype)
        results = op.call(given, out=given[name].view())  # the same memory through another object
        for got, right in zip(results, wanted, strict=True):
            np.testing.assert_array_equal(got, right)


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name not in ("linear", "gelu_tanh")])
def test_activation_backward_out_may_be_either_input(name):
    function = getattr(ops, f"{name}_backward")
    dy, s = np.linspace(-1, 2, 12).reshape(3, 4), np.linspace(0.1, 0.9, 12).reshape(3, 4)
    wanted = function(dy, s)
    for place in range(2):
        arrays = [dy.copy(), s.copy()]
        assert function(*arrays, out=arrays[place]) is arrays[place]
        np.testing.assert_array_equal(arrays[place], wanted)


def test_out_beside_an_input_in_one_buffer():
    # columns of one matrix: the bounds of both meet, the elements do not
    buffer = np.arange(40.0).reshape(4, 10)
    x, out = buffer[:, :5], buffer[:, 5:]
    wanted = ops.softmax(x.copy())
    assert ops.softmax(x, out=out) is out
    np.testing.assert_array_equal(out, wanted)
    np.testing.assert_array_equal(x, np.arange(40.0).reshape(4, 10)[:, :5])


def test_no_copy_of_rows_that_lie_apart(monkeypatch):
    wider = np.zeros((8, 20), np.float32)
    x, w, out = wider[:, :5], np.zeros((5, 3), np.float32), np.zeros((8, 9), np.float32)[:, :3]
    seen = []

    class Spy:
        @staticmethod
        def affine_fwd(y, z, x, w, b, kind, alpha, precision):
            seen.extend([y, x])

    monkeypatch.setattr(_affine, "current", Spy)
    ops.affine(x, w, out=out)
    assert seen[0] is out and seen[1] is x


# ---- affine ----------------------------------------------------------------------------------------------------------


def test_affine_activation_names():
    x, w = np.array([[-1.0, 2.0]]), np.eye(2)
    np.testing.assert_array_equal(ops.affine(x, w, None, None), x)
    np.testing.assert_array_equal(ops.affine(x, w, None, "silu"), ops.affine(x, w, None, "swish"))
    np.testing.assert_allclose(ops.affine(x, w, None, "leaky_relu"), [[-0.2, 2.0]], rtol=1e-12)
    np.testing.assert_allclose(ops.affine(x, w, None, "elu"), [[np.expm1(-1), 2.0]], rtol=1e-12)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_affine_backward_through_the_activation_of_its_input(name):
    formula, saved, options = ACTIVATIONS[name]
    rng = np.random.default_rng(3)
    z, w, dy = rng.normal(size=(6, 5)), rng.normal(size=(5, 7)), rng.normal(size=(6, 7))
    x = formula(z)
    more = {"input_saved": z} if saved == "x" else {}
    dx, dw, db = ops.affine_backward(dy, x, w, input_activation=name, **more, **options)
    np.testing.assert_allclose(dx, dy @ w.T * derivative(formula, z), rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(dw, x.T @ dy, rtol=1e-12)
    np.testing.assert_allclose(db, dy.sum(axis=0), rtol=1e-12)


def test_affine_backward_without_dx():
    dy, x, w = np.ones((4, 2)), np.ones((4, 3)), np.ones((3, 2))
    dw = np.empty((3, 2))
    dx, got, db = ops.affine_backward(dy, x, w, need_dx=False, out=(None, dw, None))
    assert dx is None and got is dw
    np.testing.assert_array_equal(dw, np.full((3, 2), 4.0))
    np.testing.assert_array_equal(db, [4.0, 4.0])


@pytest.mark.parametrize("m, k, n", [(0, 3, 2), (4, 0, 2), (4, 3, 0), (0, 0, 0), (1, 1, 1)])
def test_affine_of_nothing(m, k, n):
    x, w, b = np.ones((m, k)), np.ones((k, n)), np.full(n, 0.5)
    np.testing.assert_array_equal(ops.affine(x, w, b), x @ w + b)
    dx, dw, db = ops.affine_backward(np.ones((m, n)), x, w)
    np.testing.assert_array_equal(dx, np.full((m, k), n))
    np.testing.assert_array_equal(dw, np.full((k, n), m))
    np.testing.assert_array_equal(db, np.full(n, m))


def test_a_network_learns_by_these_functions_alone():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(64, 8)).astype(np.float32)
    labels = (x[:, 0] * x[:, 1] > 0).astype(np.uint8)
    w1, b1 = rng.normal(0, 0.5, (8, 32)).astype(np.float32), np.zeros(32, np.float32)
    w2, b2 = rng.normal(0, 0.2, (32, 2)).astype(np.float32), np.zeros(2, np.float32)
    parameters = w1, b1, w2, b2
    moments = [(np.zeros_like(p), np.zeros_like(p)) for p in parameters]
    for step in range(1, 201):
        h = ops.affine(x, w1, b1, "relu")
        loss, dz = ops.softmax_cross_entropy(ops.affine(h, w2, b2), labels)
        dh, dw2, db2 = ops.affine_backward(dz, h, w2, input_activation="relu")
        _, dw1, db1 = ops.affine_backward(dh, x, w1, need_dx=False)
        for p, (m, v), g in zip(parameters, moments, (dw1, db1, dw2, db2), strict=True):
            ops.adam_step(p, m, v, g, step, lr=0.02)
    assert loss < 0.05
    assert ops.accuracy(ops.affine(ops.affine(x, w1, b1, "relu"), w2, b2), labels) == 1.0


# ---- batch norm ------------------------------------------------------------------------------------------------------


@every_dtype
@pytest.mark.parametrize("unbiased", [False, True])
def test_batch_norm_running_statistics(dtype, unbiased):
    rng = np.random.default_rng(1)
    x = rng.normal(size=(8, 3)).astype(dtype)
    mean, var = np.zeros(3, dtype), np.ones(6, dtype)[::2]
    ops.batch_norm(x, np.ones(3, dtype), np.zeros(3, dtype), mean, var, momentum=0.75, unbiased=unbiased)
    wide = x.astype(np.float64)
    np.testing.assert_allclose(mean, 0.25 * wide.mean(axis=0), **TOLERANCE[dtype])
    np.testing.assert_allclose(var, 0.75 + 0.25 * wide.var(axis=0, ddof=int(unbiased)), **TOLERANCE[dtype])


def test_batch_norm_of_no_rows_leaves_running_statistics_alone():
    mean, var = np.full(3, 2.0), np.full(3, 5.0)
    y, batch_mean, _ = ops.batch_norm(np.empty((0, 3)), np.ones(3), np.zeros(3), mean, var)
    assert y.shape == (0, 3) and batch_mean.shape == (3,)
    assert (mean == 2.0).all() and (var == 5.0).all()


@pytest.mark.parametrize("name", ["relu", "tanh", "gelu"])
def test_batch_norm_backward_through_its_activation(name):
    formula, saved, options = ACTIVATIONS[name]
    rng = np.random.default_rng(2)
    x, dy, gamma, beta = rng.normal(size=(7, 4)), rng.normal(size=(7, 4)), rng.normal(size=4), rng.normal(size=4)
    y, mean, var, z = ops.batch_norm(x, gamma, beta, activation=name, return_z=True, **options)
    got = ops.batch_norm_backward(dy, x, gamma, mean, var, activation=name, saved=z if saved == "x" else y, **options)
    expected = batch_norm_backward(dy * derivative(formula, z), x, gamma, mean, var, 1e-3)
    for one, other in zip(got, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-8, atol=1e-8)


# ---- dropout ---------------------------------------------------------------------------------------------------------


@every_dtype
def test_dropout(dtype):
    x = np.linspace(1, 2, 20_000).reshape(100, 200).astype(dtype)
    y = ops.dropout(x, 0.3, seed=7, step=5, op=2)
    kept = y != 0
    assert abs(kept.mean() - 0.7) < 0.02
    np.testing.assert_allclose(y[kept], x[kept] / 0.7, rtol=1e-6)
    dx = ops.dropout_backward(np.ones_like(x), 0.3, seed=7, step=5, op=2)
    np.testing.assert_array_equal(dx != 0, kept)
    np.testing.assert_array_equal(ops.dropout(x[::-1][::-1], 0.3, np.int64(7), 5, 2), y)
    np.testing.assert_array_equal(ops.dropout(x, 0.3, 7, 5, 2, scale=1) != 0, kept)
    np.testing.assert_array_equal(ops.dropout(x, 0.3, 7, 5, 2, scale=1)[kept], x[kept])
    for other in ({"seed": 8, "step": 5, "op": 2}, {"seed": 7, "step": 6, "op": 2}, {"seed": 7, "step": 5, "op": 3}):
        assert 0.3 < ((ops.dropout(x, 0.3, **other) != 0) != kept).mean() < 0.54
    assert ops.dropout(x, 0.3, 7, 5, 2, out=x) is x
    np.testing.assert_array_equal(x, y)


def test_dropout_at_its_ends():
    x = np.arange(1.0, 13.0).reshape(3, 4)
    np.testing.assert_array_equal(ops.dropout(x, 0, 1), x)
    np.testing.assert_array_equal(ops.dropout(x, 1, 1), np.zeros_like(x))
    np.testing.assert_array_equal(ops.dropout(x, 0, -(2**63), 2**63 - 1), x)


# ---- losses ----------------------------------------------------------------------------------------------------------

LOSSES = [
    (ops.softmax_cross_entropy, np.array([0, 2, 1, 1])),
    (ops.softmax_cross_entropy, np.eye(3)[[0, 2, 1, 1]]),
    (ops.sigmoid_cross_entropy, np.eye(3)[[0, 2, 1, 1]]),
    (ops.squared_error, np.ones((4, 3))),
    (ops.absolute_error, np.ones((4, 3))),
    (ops.huber, np.ones((4, 3))),
    (ops.pinball_loss, np.ones((4, 3))),
    (ops.poisson_loss, np.ones((4, 3))),
]


@pytest.mark.parametrize("function, target", LOSSES)
@pytest.mark.parametrize("weights", [None, np.array([1.0, 2.0, 0.0, 3.0])])
def test_reductions(function, target, weights):
    z = np.linspace(-2, 2, 12).reshape(4, 3)
    each, slope = function(z, target, weights, reduction="none")
    assert each.shape == (4,)
    divisors = {"sum": 1, "mean": 4 if weights is None else 6, "sum_over_batch_size": 4}
    for reduction, divisor in divisors.items():
        loss, gradient = function(z, target, weights, reduction=reduction)
        assert type(loss) is float
        np.testing.assert_allclose(loss, each.sum() / divisor, rtol=1e-14)
        np.testing.assert_allclose(gradient, slope / divisor, rtol=1e-14)
    loss, nothing = function(z, target, weights, gradient=False)
    assert nothing is None
    assert loss == function(z, target, weights)[0]


@pytest.mark.parametrize("function", [ops.squared_error, ops.absolute_error, ops.huber, ops.pinball_loss,
                                      ops.poisson_loss, ops.sigmoid_cross_entropy])
def test_rows_of_one_and_rows_of_many_axes(function):
    z, t = np.linspace(-2, 2, 24), np.linspace(0, 1, 24)
    flat_loss, flat_gradient = function(z, t)
    assert flat_gradient.shape == (24,)
    for shape in ((24, 1), (4, 6), (2, 3, 4)):
        loss, gradient = function(z.reshape(shape), t.reshape(shape))
        np.testing.assert_allclose(loss, flat_loss, rtol=1e-14)
        np.testing.assert_allclose(gradient.ravel(), flat_gradient, rtol=1e-14)
    assert function(z, t, factor=3)[0] == pytest.approx(3 * flat_loss, rel=1e-14)


def test_losses_of_no_rows():
    for function, target in LOSSES:
        loss, gradient = function(np.empty((0, 3)), target[:0], reduction="sum")
        assert loss == 0.0 and gradient.shape == (0, 3)
    assert ops.count_correct(np.empty((0, 3)), []) == 0.0


# ---- metrics ---------------------------------------------------------------------------------------------------------


def test_metrics():
    scores = [[0.1, 0.9], [0.8, 0.2], [0.3, 0.7], [0.5, 0.5]]
    assert ops.count_correct(scores, [1, 0, 0, 0]) == 3.0
    assert ops.count_correct(scores, [1, 0, 0, 0], [1, 2, 4, 8]) == 11.0
    assert ops.accuracy(scores, [1, 0, 0, 0]) == 0.75
    assert ops.accuracy(scores, np.eye(2)[[1, 0, 0, 0]]) == 0.75
    assert ops.binary_accuracy([0.2, 0.7, 0.6, 0.4], [0, 1, 0, 0]) == 0.75
    assert ops.binary_accuracy([[0.2, 0.7], [0.6, 0.4]], [[0, 1], [0, 0]], [3, 1]) == 0.875
    assert ops.binary_accuracy([-1.0, 2.0], [0, 1], threshold=0) == 1.0


# ---- optimizer steps -------------------------------------------------------------------------------------------------


def effective(p, g, l2=0.0, clip_value=np.inf, grad_scale=1.0):
    return np.clip(grad_scale * g, -clip_value, clip_value) + l2 * p


def plain_step(name, p, states, g, numbers, options):
    """(p, states) after a step, by the formulas of the docstrings."""
    options = dict(options)
    lr, decay = numbers["lr"], options.pop("weight_decay", 0.0)
    hat = options.pop("epsilon_hat", True)
    h = effective(p, g, **options)
    kept = p * (1 - lr * decay)
    if name == "sgd":
        return kept - lr * h, ()
    (*_, v) = states
    if name in ("momentum", "nesterov"):
        v = numbers["momentum"] * v - lr * h
        return kept + (v if name == "momentum" else numbers["momentum"] * v - lr * h), (v,)
    if name == "adagrad":
        v = v + h**2
        return kept - lr * h / (np.sqrt(v) + numbers["epsilon"]), (v,)
    if name == "rmsprop":
        v = numbers["rho"] * v + (1 - numbers["rho"]) * h**2
        return kept - lr * h / (np.sqrt(v) + numbers["epsilon"]), (v,)
    beta1, beta2, step = numbers["beta1"], numbers["beta2"], numbers["step"]
    m, v = beta1 * states[0] + (1 - beta1) * h, beta2 * v + (1 - beta2) * h**2
    c1, c2 = 1 - beta1**step, 1 - beta2**step
    if hat:
        return kept - lr * math.sqrt(c2) / c1 * m / (np.sqrt(v) + numbers["epsilon"]), (m, v)
    return kept - lr / c1 * m / (np.sqrt(v / c2) + numbers["epsilon"]), (m, v)


ADAM = {"step": 3, "lr": 0.1, "beta1": 0.8, "beta2": 0.95, "epsilon": 0.01}
STEPS = {
    "sgd": (0, {"lr": 0.1}),
    "momentum": (1, {"lr": 0.1, "momentum": 0.75}),
    "nesterov": (1, {"lr": 0.1, "momentum": 0.75}),
    "adagrad": (1, {"lr": 0.1, "epsilon": 0.01}),
    "rmsprop": (1, {"lr": 0.1, "rho": 0.75, "epsilon": 0.01}),
    "adam": (2, ADAM),
    "adamw": (2, ADAM),
}
OPTIONS = [
    {},
    {"l2": 0.5},
    {"weight_decay": 0.25},
    {"clip_value": 0.5, "grad_scale": 0.75},
    {"l2": 0.25, "weight_decay": 0.5, "clip_value": 1, "grad_scale": 2},
]


def drawn_step(name, shape, dtype):
    rng = np.random.default_rng(4)
    p, g = (np.asarray(rng.normal(size=shape), dtype) for _ in range(2))
    return p, [np.asarray(np.abs(rng.normal(size=shape)), dtype) for _ in range(STEPS[name][0])], g


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("shape", [(), (1,), (37,), (5, 9), (2, 3, 4), (0,), (3, 0)])
@every_dtype
def test_steps(name, options, shape, dtype):
    if name == "adamw":
        options = {key: value for key, value in options.items() if key != "l2"}
        options.setdefault("weight_decay", 0.004)
    function = getattr(ops, f"{name}_step")
    numbers = STEPS[name][1]
    p, states, g = drawn_step(name, shape, dtype)
    wide = [a.astype(np.float64) for a in (p, *states, g)]
    gradient = g.copy()
    expected, after = plain_step(name, wide[0], wide[1:-1], wide[-1], numbers, options)
    assert function(p, *states, g, **numbers, **options) is None
    np.testing.assert_allclose(p, expected, **TOLERANCE[dtype])
    for state, wanted in zip(states, after, strict=True):
        np.testing.assert_allclose(state, wanted, **TOLERANCE[dtype])
    np.testing.assert_array_equal(g, gradient)


@pytest.mark.parametrize("name", ["adam", "adamw"])
def test_adam_with_epsilon_inside_of_the_bias_correction(name):
    p, states, g = drawn_step(name, (40,), "float64")
    options = {"weight_decay": 0.01, "epsilon_hat": False}
    expected, _ = plain_step(name, p, states, g, ADAM, options)
    getattr(ops, f"{name}_step")(p, *states, g, **ADAM, **options)
    np.testing.assert_allclose(p, expected, rtol=1e-12)


@pytest.mark.parametrize("name", STEPS)
@every_dtype
def test_steps_in_any_layout(name, dtype):
    function, numbers = getattr(ops, f"{name}_step"), STEPS[name][1]
    p, states, g = drawn_step(name, (6, 8), dtype)
    wanted = [a.copy() for a in (p, *states)]
    function(*wanted, g, **numbers)
    for place in range(len(wanted) + 1):
        for layout in ("fortran", "reversed", "every other", "rows apart", "unaligned", "read-only", "swapped bytes"):
            arrays = [a.copy() for a in (p, *states, g)]
            if place < len(wanted) and layout in ("read-only", "swapped bytes"):
                continue
            arrays[place] = dict(layouts(arrays[place]))[layout]
            function(*arrays, **numbers)
            for got, right in zip(arrays, wanted, strict=False):
                np.testing.assert_array_equal(got, right, err_msg=f"{layout} at {place}")


@pytest.mark.parametrize("name", STEPS)
def test_steps_on_views_of_flat_vectors(name):
    # parameters, states and gradients each in one vector of their own, as the engine keeps them
    function, numbers = getattr(ops, f"{name}_step"), STEPS[name][1]
    p, states, g = drawn_step(name, (6, 8), "float32")
    wanted = [a.copy() for a in (p, *states)]
    function(*wanted, g, **numbers)
    flats = [np.concatenate([[7], a.ravel(), [7]]).astype(np.float32) for a in (p, *states, g)]
    function(*[f[1:-1].reshape(6, 8) for f in flats], **numbers)
    for got, right in zip(flats, wanted, strict=False):
        np.testing.assert_array_equal(got[1:-1].reshape(6, 8), right)
        assert got[0] == got[-1] == 7
    # and all in one vector
    together = np.concatenate([a.ravel() for a in (p, *states, g)])
    function(*np.split(together, len(flats)), **numbers)
    np.testing.assert_array_equal(together[:48], wanted[0].ravel())


def test_gradients_of_other_dtypes_are_converted():
    p = np.ones(4, np.float32)
    ops.sgd_step(p, [1, 2, 3, 4], 0.5)
    np.testing.assert_array_equal(p, [0.5, 0, -0.5, -1])
    ops.sgd_step(p, np.ones(4), 0.5)
    np.testing.assert_array_equal(p, [0, -0.5, -1, -1.5])
    ops.sgd_step(p, np.ones(4, np.float16), np.float32(0.5), l2=np.int64(0))
    np.testing.assert_array_equal(p, [-0.5, -1, -1.5, -2])


@every_dtype
def test_norms(dtype):
    rng = np.random.default_rng(5)
    arrays = [rng.normal(size=shape).astype(dtype) for shape in ((), (3,), (70, 90), (0, 2), (10_000,))]
    sums = [float((a.astype(np.float64) ** 2).sum()) for a in arrays]
    for a, wanted in zip(arrays, sums, strict=True):
        assert ops.sum_of_squares(a) == pytest.approx(wanted, rel=1e-6 if dtype == "float32" else 1e-13)
    assert ops.global_norm(arrays) == pytest.approx(math.sqrt(sum(sums)), rel=1e-6)
    assert ops.global_norm(iter(arrays)) == ops.global_norm(arrays)
    assert ops.global_norm(arrays[2]) == pytest.approx(math.sqrt(sums[2]), rel=1e-6)
    assert ops.global_norm([]) == 0.0


# ---- rows ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "source",
    ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32", "float64"],
)
@every_dtype
def test_take_rows(source, dtype):
    x = np.arange(40).reshape(10, 4).astype(source)
    index = np.array([3, 0, 9, 3])
    shift, scale = np.array([1, 2, 3, 4.0]), np.array([0.5, 0.25, 2, 1])
    wanted = (x[index].astype(np.float64) - shift) * scale
    result = np.dtype(dtype)
    for _, layout in layouts(x):
        for given in (index, index.astype(np.uint8), index.tolist(), np.repeat(index, 2)[::2]):
            y = ops.take_rows(layout, given, shift=shift, scale=scale, dtype=dtype)
            assert y.dtype == result
            np.testing.assert_array_equal(y, wanted)
    np.testing.assert_array_equal(ops.take_rows(x, dtype=dtype), x.astype(dtype))
    np.testing.assert_array_equal(ops.take_rows(x, index, shift=2, scale=np.float64(0.5)), (x[index] - 2.0) * 0.5)
    out = np.full((4, 4), 99, dtype)
    assert ops.take_rows(x, index, shift=shift, scale=scale, dtype=dtype, out=out) is out
    np.testing.assert_array_equal(out, wanted)


def test_take_rows_dtype():
    narrow, wide, whole = np.ones((2, 2), np.float32), np.ones((2, 2)), np.ones((2, 2), np.uint8)
    assert ops.take_rows(narrow).dtype == np.float32
    assert ops.take_rows(narrow, scale=0.5).dtype == np.float32
    assert ops.take_rows(narrow, scale=wide[0]).dtype == np.float64
    assert ops.take_rows(wide).dtype == np.float64
    assert ops.take_rows(whole).dtype == np.float64
    assert ops.take_rows(whole, shift=narrow[0]).dtype == np.float32
    assert ops.take_rows(wide, dtype=np.float32).dtype == np.float32


def test_take_rows_of_more_and_fewer_axes():
    images = np.arange(48).reshape(4, 2, 3, 2)
    np.testing.assert_array_equal(ops.take_rows(images, [2, 1]), images[[2, 1]])
    np.testing.assert_array_equal(ops.take_rows(images.transpose(0, 2, 1, 3), [2]), images.transpose(0, 2, 1, 3)[[2]])
    np.testing.assert_array_equal(ops.take_rows([5, 6, 7], [2, 0]), [7, 5])
    assert ops.take_rows(images, []).shape == (0, 2, 3, 2)


def test_take_rows_of_a_memory_map(tmp_path):
    x = np.arange(60, dtype=np.float32).reshape(20, 3)
    path = tmp_path / "x.npy"
    np.save(path, x)
    mapped = np.load(path, mmap_mode="r")
    np.testing.assert_array_equal(ops.take_rows(mapped, [19, 4]), x[[19, 4]])
    np.testing.assert_array_equal(ops.relu(mapped), x)


# ---- the module ------------------------------------------------------------------------------------------------------


def test_docstrings_have_every_argument_and_their_examples_run():
    for name in ops.__all__:
        function = getattr(ops, name)
        documentation = inspect.getdoc(function)
        assert "Parameters\n----------" in documentation and "Raises\n------" in documentation, name
        section = re.split(r"\n\n(?:Returns|Raises)\n", documentation.split("Parameters\n----------\n")[1])[0]
        listed = [
            part for line in section.splitlines() if not line.startswith(" ") for part in line.split(":")[0].split(",")
        ]
        assert [part.strip() for part in listed] == list(inspect.signature(function).parameters), name
    for module in (_activations, _affine, _dropout, _losses, _metrics, _normalization, _optimizers, _rows):
        assert doctest.testmod(module).failed == 0, module


def test_all_is_what_there_is():
    functions = {name for name, value in vars(ops).items() if callable(value) and not name.startswith("_")}
    assert functions == set(ops.__all__)
    assert sorted(ops.__all__) == ops.__all__


def test_the_first_nan_is_the_largest(table):
    """As in NumPy's argmax, in every table."""
    z = np.array([[np.nan, 1, 2], [0, np.nan, np.nan], [3, 1, 2]])
    assert [ops.accuracy(z, labels) for labels in ([0, 1, 0], [2, 2, 2])] == [1, 0]
