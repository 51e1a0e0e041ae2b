"""Makers: what a kernel makes of arrays that need no care (`fusednet._native.Maker`), beside the kernel's own call.

Reads cases.py and recipes.py for arguments. That makers are right is said by the kernels' tests, with whose calls they
are compared bit by bit; that fusednet.ops says the same with and without them is shown here.
"""

import numpy as np
import pytest
from cases import CASES
from recipes import values

from fusednet import backends, ops
from fusednet.backends.table import KERNELS, NO_MAKERS, TYPES

pytestmark = pytest.mark.skipif("native" not in backends.available(), reason="makers are native")

PER_KERNEL = 20


def _chosen():
    """Of each kernel some cases, from its smallest to its largest; arrays as users have them."""
    for kernel in KERNELS:
        plain = [case for case in CASES if case.kernel == kernel and case.alias is None and not case.big]
        yield from plain[:: max(1, len(plain) // PER_KERNEL)]


def _arguments(case, dtype: str):
    """(arguments for the kernel, arguments for its maker): arrays of their own, outputs as ``...`` in the second."""
    given = values(case, dtype)
    for_kernel, for_maker = [], []
    for argument in KERNELS[case.kernel].parameters:
        if not argument.shape:
            for_kernel.append(case.parameters[argument.name])
            for_maker.append(case.parameters[argument.name])
        elif argument.name in case.absent:
            for_kernel.append(None)
            for_maker.append(None)
        elif argument.role == "out":
            for_kernel.append(np.full(case.shape(argument), 77, case.dtype(argument, dtype)))
            for_maker.append(...)
        else:
            array = np.array(given[argument.name], case.dtype(argument, dtype), order="C")
            for_kernel.append(array)
            for_maker.append(array.copy())
    return for_kernel, for_maker


def _untold(case) -> bool:
    """Whether the arrays that come in leave open how large an output is, or of which dtype."""
    inputs = [a for a in KERNELS[case.kernel].parameters if a.role in ("in", "io", "any") and a.name not in case.absent]
    outputs = [a for a in KERNELS[case.kernel].parameters if a.role == "out" and a.name not in case.absent]
    sizes = {size for a in inputs for size in a.shape} | {"one", "chunks"}
    floats = {"float32", "float64"}
    typed = any(a.dtype == "T" or case.types.get(a.name) in floats for a in inputs)
    return any(not sizes.issuperset(a.shape) or (a.dtype == "T" and not typed) for a in outputs)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", list(_chosen()), ids=str)
def test_makes_what_the_kernel_writes(case, dtype):
    table = backends.select("native")
    for_kernel, for_maker = _arguments(case, dtype)
    made = getattr(table.made, case.kernel)(*for_maker)
    if _untold(case):
        assert made is None
        return
    if case.kernel == "gather_rows" and case.types["x"] in {"float32", "float64"} - {dtype}:
        assert made is None or made.dtype == case.types["x"]  # of another floating dtype than the table that is asked
        return
    getattr(table, case.kernel)(*for_kernel)
    parameters = KERNELS[case.kernel].parameters
    written = [a for a, p in zip(for_kernel, parameters, strict=True) if p.role == "out" and a is not None]
    results = made if isinstance(made, tuple) else (made,)
    assert len(results) == len(written)
    for result, expected in zip(results, written, strict=True):
        if isinstance(result, np.ndarray):
            assert result.dtype == expected.dtype and result.shape == expected.shape and result.flags.carray
            assert result.tobytes() == expected.tobytes()
        else:
            assert np.array_equal(result, expected[0], equal_nan=True) and type(result) in (int, float)
    for changed, expected, parameter in zip(for_maker, for_kernel, parameters, strict=True):
        if parameter.role != "out" and parameter.shape and changed is not None:
            assert changed.tobytes() == expected.tobytes()  # updated in place, or left alone


@pytest.mark.parametrize("shape", [(), (7,), (3, 5), (2, 3, 4), (0, 4), (4, 0, 2)])
def test_elements_in_order_may_have_any_shape(shape):
    table = backends.select("native")
    x = np.linspace(-2, 2, int(np.prod(shape))).astype(np.float32).reshape(shape)
    y = table.made.activation_fwd(..., x, 1, 0.0)
    assert y.shape == shape and (y == np.maximum(x, 0)).all()
    v, before = np.zeros(shape, np.float32), x.copy()
    assert table.made.momentum_step(x, v, before, 0.5, 0.9, 0.0, 0.0, 1.0, np.inf) == ()
    assert (x == before * np.float32(0.5)).all() and (v == before * np.float32(-0.5)).all()
    assert table.made.sum(..., x) == pytest.approx(float(x.sum()), abs=1e-5)


def test_the_sum_in_place_of_the_first_output():
    table = backends.select("native")
    rng = np.random.default_rng(0)
    z, labels = rng.standard_normal((300, 7)), rng.integers(0, 7, 300).astype(np.int32)
    loss, dz = table.made.softmax_xent_labels(..., ..., z, labels, None, 0.1, 0.5)
    total, again = table.made.softmax_xent_labels.summed(..., ..., z, labels, None, 0.1, 0.5)
    assert total == table.made.sum(..., loss) and type(total) is float and (again == dz).all()
    assert table.made.softmax_xent_labels.summed(..., None, z, labels, None, 0.1, 0.5) == total


class Sub(np.ndarray):
    """Not exactly an ndarray."""


def _refused():
    """(id, kernel, arguments) of which a maker says None."""
    f, d = np.ones((4, 4), np.float32), np.ones((4, 4))
    frozen = f.copy()
    frozen.flags.writeable = False
    odd = np.frombuffer(bytearray(65), np.float32, 16, 1)
    flat = np.ones(8, np.float32)
    step = (0.1, 0.0, 0.0, 1.0, np.inf)
    rest = (None, 0, 0.0, 0)
    return [
        ("a list", "activation_fwd", (..., [1.0], 1, 0.0)),
        ("a subclass", "activation_fwd", (..., f.view(Sub), 1, 0.0)),
        ("integers", "activation_fwd", (..., np.ones(3, int), 1, 0.0)),
        ("halves", "activation_fwd", (..., f.astype(np.float16), 1, 0.0)),
        ("bytes swapped", "activation_fwd", (..., f.astype(">f4"), 1, 0.0)),
        ("dates", "activation_fwd", (..., np.zeros(3, "M8[s]"), 1, 0.0)),
        ("unaligned", "activation_fwd", (..., odd, 1, 0.0)),
        ("every second", "activation_fwd", (..., f[:, ::2], 1, 0.0)),
        ("columns first", "activation_fwd", (..., np.ones((3, 4), np.float32, "F"), 1, 0.0)),
        ("absent", "activation_fwd", (..., None, 1, 0.0)),
        ("an array for an output", "activation_fwd", (f.copy(), f, 1, 0.0)),
        ("an input to be made", "activation_fwd", (..., ..., 1, 0.0)),
        ("two dtypes", "activation_bwd", (..., f, d, 1, 0.0)),
        ("as many elements of another shape", "activation_bwd", (..., f, f.reshape(2, 8), 1, 0.0)),
        ("rank", "affine_fwd", (..., None, f[0], f, *rest)),
        ("three axes", "affine_fwd", (..., None, f[None], f, *rest)),
        ("sizes", "affine_fwd", (..., None, f, f[:3], *rest)),
        ("a bias too long", "affine_fwd", (..., None, f, f[:, :3].copy(), f[0], 0, 0.0, 0)),
        ("rows backwards", "affine_fwd", (..., None, f[::-1], f, *rest)),
        ("two floats", "gather_rows", (..., d, np.arange(2), f[0], f[0])),
        ("integers of no float", "gather_rows", (..., np.ones((4, 4), int), np.arange(2), None, None)),
        ("short labels", "softmax_xent_labels", (..., ..., f, np.zeros(3, np.int32), None, 0.0, 1.0)),
        ("long labels", "softmax_xent_labels", (..., ..., f, np.zeros(4, np.int64), None, 0.0, 1.0)),
        ("read-only", "sgd_step", (frozen, f, *step)),
        ("the gradient is the parameters", "sgd_step", (f, f, *step)),
        ("half of it is", "sgd_step", (flat[:6], flat[2:], *step)),
        ("and the other way", "sgd_step", (flat[2:], flat[:6], *step)),
        ("two states in one", "adam_step", (f.copy(), flat[:4], flat[3:7], f[0], *(0.1,) * 9)),
    ]


@pytest.mark.parametrize("kernel, arguments", [pytest.param(k, a, id=name) for name, k, a in _refused()])
def test_says_none_and_changes_nothing(kernel, arguments):
    before = [a.tobytes() for a in arguments if isinstance(a, np.ndarray)]
    assert getattr(backends.select("native").made, kernel)(*arguments) is None
    assert [a.tobytes() for a in arguments if isinstance(a, np.ndarray)] == before


def _beside():
    """(id, arrays beside those of a step, whether the step is done)."""
    long = np.arange(64, dtype=np.float32)
    p = long[8:20].reshape(3, 4)
    return [
        ("nothing", p, (), True),
        ("arrays of their own", p, (long.copy()[::-2], np.ones((4, 3)).T), True),
        ("the rest of the memory", p, (long[:8], long[20:]), True),
        ("the parameters", p, (p,), False),
        ("the last of them", p, (long[19:],), False),
        ("backwards over them", p, (long[63::-60],), False),
        ("in steps over them", p, (long[4:60:40],), False),
        ("a list", p, ([1.0],), False),
        ("dates", p, (np.zeros(3, "M8[s]"),), False),
        ("more than there is room for", p, tuple(np.ones(1) for _ in range(30)), False),
    ]


@pytest.mark.parametrize("p, others, done", [pytest.param(*case, id=name) for name, *case in _beside()])
def test_an_update_keeps_clear_of_other_arrays(p, others, done):
    before, g = p.copy(), np.ones((3, 4), np.float32)
    answer = backends.select("native").made.sgd_step.update((p, g), (0.5, 0.0, 0.0, 1.0, np.inf), others)
    assert (answer == ()) if done else (answer is None)
    assert (p == (before - 0.5 if done else before)).all()
    p[...] = before


def test_read_only_inputs_are_read():
    x = np.linspace(-1, 1, 12, dtype=np.float32).reshape(3, 4)
    x.flags.writeable = False
    assert (backends.select("native").made.activation_fwd(..., x, 1, 0.0) == np.maximum(x, 0)).all()


def test_a_number_is_asked_for_in_words():
    made = backends.select("native").made
    with pytest.raises(TypeError, match=r"sum takes 2 arguments \(total, x\), 1 given"):
        made.sum(...)
    with pytest.raises(TypeError):
        made.activation_fwd(..., np.ones(3), "relu", 0.0)


# ---- the door, with and without --------------------------------------------------------------------------------------


def _calls():
    """(name, arguments, options) of ops, most of them such that a maker can answer."""
    rng = np.random.default_rng(1)
    for dtype in (np.float32, np.float64):
        x, dy, w = (rng.standard_normal((9, 9)).astype(dtype) for _ in range(3))
        c, s, p = x[0].copy(), np.abs(x), np.abs(dy)
        labels = rng.integers(0, 9, 9)
        yield "relu", (x,), {}
        yield "gelu_backward", (dy, x), {}
        yield "softmax", (x,), {}
        yield "softmax_backward", (dy, s), {}
        yield "dropout", (x, 0.4, 3), {}
        yield "affine", (x, w, c, "tanh"), {}
        yield "affine", (x, w, None, "swish"), {"return_z": True}
        yield "affine_backward", (dy, x, w), {}
        yield "affine_backward", (dy, x, w), {"input_activation": "relu"}
        yield "affine_backward", (dy, x, w), {"input_activation": "swish", "input_saved": s}
        yield "affine_backward", (dy, x, w), {"need_dx": False}
        yield "batch_norm", (x, c, c), {"activation": "relu"}
        yield "batch_norm", (x, c, c), {"activation": "swish", "return_z": True}
        yield "batch_norm", (x, c, c, np.zeros(9, dtype), np.ones(9, dtype)), {"unbiased": True}
        yield "batch_norm_inference", (x, c, c, c, s[0]), {}
        yield "batch_norm_backward", (dy, x, c, c, s[0]), {"activation": "relu", "saved": s}
        for kind in (np.int32, np.int64, np.uint8):
            yield "softmax_cross_entropy", (x, labels.astype(kind)), {"label_smoothing": 0.1}
            yield "count_correct", (x, labels.astype(kind)), {}
        yield "softmax_cross_entropy", (x, s), {"gradient": False}
        yield "accuracy", (x, s), {}
        yield "binary_accuracy", (s, p), {}
        yield "sigmoid_cross_entropy", (x, s), {"factor": 2}
        yield "squared_error", (x, dy), {}
        yield "huber", (x, dy), {"delta": 0.5, "gradient": False}
        yield "poisson_loss", (x, s), {"deviance": True}
        yield "sum_of_squares", (x,), {}
        yield "sum_of_squares", (rng.standard_normal((70, 131)).astype(dtype),), {}
        yield "global_norm", ([x, dy, c],), {}
        yield "take_rows", (x, labels), {"shift": c, "scale": s[0]}
        yield "take_rows", (x, labels), {}
        yield "take_rows", (x.astype(np.int16), labels), {"shift": c, "scale": c}
        yield "sgd_step", (x.copy(), dy, 0.1), {}
        yield "adam_step", (x.copy(), dy.copy(), s.copy(), w, 2), {"weight_decay": 0.1}


def _bits(value):
    if isinstance(value, tuple):
        return tuple(map(_bits, value))
    return (value.dtype.name, value.shape, value.tobytes()) if isinstance(value, np.ndarray) else (type(value), value)


@pytest.mark.parametrize("name, arguments, options", list(_calls()))
def test_ops_say_the_same_with_and_without(name, arguments, options, monkeypatch):
    def run():
        own = tuple(a.copy() if isinstance(a, np.ndarray) else a for a in arguments)
        return _bits(getattr(ops, name)(*own, **options)), [_bits(a) for a in own if isinstance(a, np.ndarray)]

    table = backends.select("native")
    monkeypatch.setattr(backends, "_current", table)
    fast = run()
    monkeypatch.setattr(table, "made", type(table.made)(**NO_MAKERS))
    assert run() == fast


@pytest.mark.parametrize("name", ["softmax_cross_entropy", "count_correct", "take_rows"])
def test_numbers_are_checked_once_where_a_maker_says_none(name, monkeypatch):
    table, calls = backends.select("native"), []
    find_outside = table.find_outside
    monkeypatch.setattr(backends, "_current", table)
    monkeypatch.setattr(table, "made", type(table.made)(**NO_MAKERS))
    monkeypatch.setattr(table, "find_outside", lambda *given: (calls.append(given), find_outside(*given)))
    getattr(ops, name)(np.eye(4), np.array([3, 0, 1, 2]))
    assert len(calls) == 1


def test_types_that_any_array_may_have():
    """Integers of every width are read by a maker where floats say what the result is of."""
    table = backends.select("native")
    for name in TYPES:
        x = np.arange(6).reshape(2, 3).astype(name)
        shift = np.ones(3, name if x.dtype.kind == "f" else np.float32)
        y = table.made.gather_rows(..., x, np.array([1, 0]), shift, shift)
        assert y.dtype == shift.dtype and (y == x[::-1] - 1.0).all()
