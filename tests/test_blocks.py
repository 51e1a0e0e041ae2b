"""Weight gradients in blocks: the bits of whole gradients, and nothing changed by a step that fails.

Reads trainings.py; blocks.py is told that far smaller kernels are large. test_memory.py counts what it saves.

a) Whole gradients are those of the same training with blocks.py as it is: no network here is large.
b) A product of a few rows may be a sum in another order, so the small trainings of the list are held to a tolerance,
   and `deep`, whose blocks have 33 rows and more, to the bit.
"""

import signal
import warnings
from dataclasses import replace

import numpy as np
import pytest
from trainings import TRAININGS, Training, data, model

import fusednet as fn
from fusednet import backends, bind, blocks, fuse, params, phases, trainer
from fusednet.plan import Columns, Feed
from fusednet.runner import Runner

FEATURES, OUTPUTS, ROWS, BATCH = 110, 20, 75, 32
OPTIMIZERS = {
    "sgd": fn.SGD(0.05), "momentum": fn.SGD(0.05, momentum=0.9), "nesterov": fn.SGD(0.05, momentum=0.9, nesterov=True),
    "adagrad": fn.AdaGrad(0.01), "rmsprop": fn.RMSprop(0.001), "adam": fn.Adam(0.01, use_ema=True),
    "adamw": fn.AdamW(fn.CosineDecay(0.01, 20), weight_decay=0.01),
}  # fmt: skip


pytestmark = pytest.mark.usefixtures("native_on_one_thread")


@pytest.fixture
def small(monkeypatch):
    """``small(rows)``: kernels of twice as many rows are large, and a block has so many; 0: none is."""
    def say(rows: int = 48) -> None:
        for least in ("LARGE", "LARGE_PENALIZED", "WORTH"):
            monkeypatch.setattr(blocks, least, 1 if rows else 1 << 60)
        monkeypatch.setattr(blocks, "BLOCK", 1)
        monkeypatch.setattr(blocks, "ROWS", rows)
        monkeypatch.setattr(blocks, "_LEAST", min(rows, 32))
        monkeypatch.setattr(blocks, "_GRAIN", min(max(rows, 1), 16))
        monkeypatch.setattr(bind, "_LEAST_ROWS", 1)  # divided by rows with every number of threads
    return say


def deep(optimizer=OPTIMIZERS["adam"], dtype: str = "float32", loss="sparse_categorical_crossentropy", **first):
    """A network with what there is between two kernels, penalties and rates of layers."""
    made = fn.Sequential([
        fn.Dense(112, "relu", **first), fn.Dropout(0.2), fn.Dense(100, "gelu", kernel_regularizer=fn.L2(1e-3)),
        fn.Dense(97, use_bias=False, learning_rate_factor=0.5), fn.BatchNormalization(), fn.Tanh(),
        fn.Dense(98, "swish", kernel_regularizer=fn.L1L2(l2=1e-2, per_row=True)), fn.Dense(40, "elu"),
        fn.Dense(OUTPUTS),
    ], seed=3, dtype=dtype)  # fmt: skip
    made.compile(optimizer, loss, ["accuracy"] if isinstance(loss, str) and "cross" in loss else [])
    return made


def rows(scale: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return (scale * rng.standard_normal((ROWS, FEATURES))).astype(np.float32), rng.integers(0, OUTPUTS, ROWS)


def fitted(made: fn.Sequential, x, y, **given) -> dict[str, np.ndarray]:
    """All that lasts, and the history."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fn.TrainingWarning)
        history = made.fit(x, y, **{"batch_size": BATCH, "epochs": 2, **given})
    arrays = {name: array for name, array in made.memory.arrays().items() if name != "grads"}
    said = {"stopped": np.array(history.stopped or ""), "step": np.array(made.step)}
    return arrays | said | {name: np.array(values) for name, values in history.history.items()}


def same_bits(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> None:
    assert a.keys() == b.keys()
    for name in a:
        assert a[name].tobytes() == b[name].tobytes(), f"{name} differs"


# ---- the same numbers ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", OPTIMIZERS.values(), ids=OPTIMIZERS)
def test_blocks_give_the_bits_of_whole_gradients(optimizer, dtype, shuffle, small):
    x, y = rows()
    x = x.astype(dtype)  # without an order the columns are those of the user's rows
    whole = fitted(deep(optimizer, dtype), x, y, shuffle=shuffle, validation_split=0.1)
    small()
    made = deep(optimizer, dtype)
    same_bits(fitted(made, x, y, shuffle=shuffle, validation_split=0.1), whole)
    assert made.memory.grads is None and not whole["stopped"]


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_any_number_of_parts_gives_the_same_bits(count, small, forced_parts, monkeypatch):
    x, y = rows()
    whole = fitted(deep(), x, y)
    small()
    for threads in {1, count}:
        forced_parts(count, threads)
        same_bits(fitted(deep(), x, y), whole)
    monkeypatch.setattr(bind, "_LEAST_ROWS", 1000)  # and where each op of a block is shared out by itself
    same_bits(fitted(deep(), x, y), whole)


def test_parts_of_other_rows_are_seen(small, forced_parts, monkeypatch):
    """The test above can fail: blocks of unlike heights in one phase would find rows that are not there yet."""
    x, y = rows()
    whole = fitted(deep(), x, y)
    small()
    monkeypatch.setattr(phases._Access, "overlaps", lambda self, other: False)
    forced_parts(3, team=1)
    with pytest.raises(AssertionError):
        same_bits(fitted(deep(), x, y), whole)


def test_the_python_walker_gives_the_same_bits(small, in_python):
    x, y = rows()
    whole = fitted(deep(), x, y)
    small()
    in_python(True)
    same_bits(fitted(deep(), x, y), whole)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_other_tables_are_close(backend, dtype, small):
    small()
    x, y = rows()
    native = fitted(deep(OPTIMIZERS["momentum"], dtype), x, y)
    backends.select(backend)
    made = deep(OPTIMIZERS["momentum"], dtype)
    close(fitted(made, x, y), native, {"float32": 2e-5, "float64": 1e-12}[dtype])
    assert made.memory.grads is None


def close(a: dict[str, np.ndarray], b: dict[str, np.ndarray], tolerance: float) -> None:
    assert a.keys() == b.keys()
    for name, array in b.items():
        if array.dtype.kind == "f":
            error = np.abs(a[name] - array).max() / max(np.abs(array).max(), 1e-30)
            assert error <= tolerance, f"{name} is off by {error:.3g}"


@pytest.mark.parametrize("training", TRAININGS, ids=str)
def test_every_training_is_close(training, small):
    x, y, weight = data(training)
    whole = fitted(model(training), x, y, batch_size=10, sample_weight=weight)
    small(2)
    close(fitted(model(training), x, y, batch_size=10, sample_weight=weight), whole, 2e-5)


def test_unchecked_trainings_have_blocks_and_no_bound(small):
    x, y = rows()
    given = {"callbacks": [fn.TerminateOnNaN(enabled=False)]}
    whole = fitted(deep(), x, y, **given)
    small()
    made = deep()
    same_bits(fitted(made, x, y, **given), whole)
    plan = made.plan("train", check=False)
    assert made.memory.grads is None and plan.whole is None and not any(op.kernel == "check" for op in plan.ops)


def test_train_on_batch_and_batches_from_outside(small):
    x, y = rows()

    def train():
        made = deep()
        made.train_on_batch(x[:40], y[:40])
        made.fit((x[i : i + 30], y[i : i + 30]) for i in (0, 30))
        made.fit((x[i:], y[i:]) for i in (30, 0))  # of more rows than the first
        return made.memory

    whole = train()
    small()
    divided = train()
    assert divided.grads is None and divided.params.tobytes() == whole.params.tobytes()


# ---- which, and the tests of the tests -------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [512, 513, 767, 1000, 2048, 5121, 100_003])
@pytest.mark.parametrize("row_bytes", [64, 4000, 8192, 1 << 20])
def test_blocks_are_all_rows_once(count, row_bytes):
    divided = blocks._divided(count, row_bytes)
    assert [begin for begin, _ in divided] == [0, *(end for _, end in divided[:-1])] and divided[-1][1] == count
    sizes = [end - begin for begin, end in divided]
    assert min(sizes) >= blocks._LEAST and all(begin % blocks._GRAIN == 0 for begin, _ in divided)
    assert len(set(sizes[:-1])) <= 1  # one tensor for all but the last
    assert max(sizes) * row_bytes <= max(2 * blocks.BLOCK, 2 * blocks.ROWS * row_bytes)


def _divided(network, optimizer, batch: int = BATCH) -> dict:
    chain = fuse.chain(network.network, network.loss, training=True)
    return blocks.of(params.layout(network.network), optimizer, chain, batch, "float32")


def test_what_needs_whole_gradients_has_them(small):
    small()
    network = deep()
    network.build(FEATURES)
    assert len(_divided(network, fn.SGD())) == 5  # all but the last, of 40 rows
    for options in ({"clipnorm": 1.0}, {"global_clipnorm": 1.0}, {"clipvalue": 1.0}):
        assert _divided(network, fn.SGD(**options)) == {}
    penalized = deep(kernel_regularizer=fn.L1(1e-4))
    penalized.build(FEATURES)
    assert _divided(penalized, fn.SGD()) == {}
    assert "grads" in network.plan("gradient").tensors


def test_medium_kernels_are_in_blocks_where_batches_are_short():
    """784-512-512-10: a batch is short where 1,808 numbers of each row are fewer than those of the two kernels."""
    network = fn.Sequential([fn.Dense(512, "relu"), fn.Dense(512, "relu"), fn.Dense(OUTPUTS)], seed=0)
    network.compile("adam", "sparse_categorical_crossentropy")
    network.build(784)
    first, second, last = (f"{layer.name}/kernel" for layer in network.layers)
    longest = (784 * 512 + 512 * 512) // (784 + 512 + 512)
    assert _divided(network, fn.Adam(), longest) == {first: ((0, 400), (400, 784)), second: ((0, 512),)}
    assert _divided(network, fn.Adam(), longest + 1) == {}
    assert last not in _divided(network, fn.Adam(), 1)


def test_medium_kernels_in_blocks_train_to_the_bits_of_whole_gradients(monkeypatch):
    x = np.random.default_rng(0).standard_normal((100, 300), dtype=np.float32)
    y = np.arange(100, dtype=np.int32) % OUTPUTS

    def trained():
        made = fn.Sequential([fn.Dense(500, "relu"), fn.Dropout(0.2), fn.Dense(OUTPUTS)], seed=0)
        made.compile("adam", "sparse_categorical_crossentropy")
        made.fit(x, y, batch_size=32, epochs=2, verbose=0)
        plan = made.plan("train", Feed("float32", "labels", ordered=True), 32)
        return plan.whole is not None, [weights.tobytes() for weights in made.get_weights()]

    in_blocks, weights = trained()
    assert in_blocks
    monkeypatch.setattr(blocks, "WORTH", 1 << 60)
    whole, others = trained()
    assert not whole and weights == others


def test_small_kernels_have_whole_gradients():
    network = deep()
    network.build(FEATURES)
    plan = network.plan("train")
    assert plan.whole is None and "grads" in plan.tensors


def _planned(made):
    made.build(FEATURES)
    return made.plan("train", Feed("float32", "labels"), BATCH)


def _steps(made, plan, x, y, steps: int = 2) -> bytes:
    given = made.prepare(x, y)
    made.memory.prepare(made.optimizer_spec, gradients="grads" in plan.tensors)
    runner = Runner(plan, made.memory, given.source(), scalars=made.scalars)
    arena = made.memory.arena(plan.arena, plan.mode)
    for step in range(steps):
        arena.fill(0xff if step % 2 else 0x00)  # memory that nobody has written does not matter
        runner.advance(1, leave=trainer.leave(made.loss))
    return made.memory.params.tobytes()


def test_a_wrong_plan_is_seen(small):
    x, y = rows()
    made = deep()
    whole = _steps(made, _planned(made), x, y)
    small()
    made = deep()
    plan = _planned(made)
    assert _steps(made, plan, x, y) == whole
    taken = [i for i, op in enumerate(plan.ops) if any(isinstance(a, Columns) for a in op.arguments)]
    assert len(taken) >= 10
    for i in taken:
        product, step = plan.ops[i], plan.ops[i + 1]
        dw, db, x_of, *rest = product.arguments
        begin = 0 if x_of.begin else 16
        columns = replace(x_of, begin=begin, end=begin + x_of.end - x_of.begin)
        other = replace(product, arguments=(dw, db, columns, *rest))
        for wrong in (  # other columns of x; a block that is not stepped; a kernel that is read when it has changed
            (*plan.ops[:i], other, *plan.ops[i + 1 :]),
            (*plan.ops[: i + 1], *(op for op in plan.ops[i + 1 :] if op is not step)),
            None,
        ):
            if wrong is None:
                before = plan.ops[i - 1]
                if before.kernel != "affine_bwd_dx":
                    continue
                wrong = [*plan.ops[: i - 1], *plan.ops[i : i + 2], before, *plan.ops[i + 2 :]]
            made = deep()
            _planned(made)
            alone = tuple(replace(op, end=n + 1, by_rows=False, rows=0) for n, op in enumerate(wrong))
            assert _steps(made, replace(plan, ops=alone), x, y) != whole, f"op {i}: not seen"


# ---- not finite ------------------------------------------------------------------------------------------------------


def diverging(blocked: bool, small, **given) -> dict[str, np.ndarray]:
    small(48 if blocked else 0)
    rng = np.random.default_rng(1)
    x = rng.standard_normal((ROWS, FEATURES)).astype(np.float32)
    made = fn.Sequential([fn.Dense(96, "tanh"), fn.Dense(100, "relu"), fn.Dense(1)], seed=2)
    made.compile(fn.SGD(5.0, momentum=0.5), "mse")
    return fitted(made, x, x[:, :1] * 1e3, epochs=50, **given)


@pytest.mark.parametrize("python", [False, True])
@pytest.mark.parametrize("given", [{}, {"validation_split": 0.2}, {"verbose": 0, "shuffle": False}], ids=str)
def test_a_training_that_diverges_stops_where_it_did(python, given, small, in_python):
    in_python(python)
    whole = diverging(False, small, **given)
    assert "is not finite; the weights are those before it" in str(whole["stopped"]) and whole["step"] > 0
    assert np.isfinite(whole["params"]).all()
    same_bits(diverging(True, small, **given), whole)


def stretched(by: float, small, blocked: bool, **given):
    """A training whose gradient of the first kernel is about 1e21 times `by`, and bounded by 1e25 times `by`."""
    small(48 if blocked else 0)
    x, targets = _far_apart()
    made = fn.Sequential([fn.Dense(100), fn.Dense(OUTPUTS)], seed=0)
    made.compile(fn.SGD(1e-36, momentum=0.9), "mse")
    made.build(FEATURES)
    made.memory.parameters["dense/kernel"][:] = 0
    made.memory.parameters["dense_1/kernel"] *= np.float32(by)
    before = made.memory.params.copy()
    return made, before, fitted(made, x, targets, **given)


def _far_apart() -> tuple[np.ndarray, np.ndarray]:
    x, y = rows(1e7)
    return x, 1e17 * np.eye(OUTPUTS, dtype=np.float32)[y]


@pytest.mark.parametrize("given", [{}, {"validation_split": 0.2}, {"shuffle": lambda n: np.arange(n)[::-1]}], ids=str)
@pytest.mark.parametrize("python", [False, True])
def test_a_large_gradient_that_is_finite_is_no_reason_to_stop(python, given, small, in_python):
    in_python(python)
    _, _, whole = stretched(1e10, small, False, epochs=3, **given)
    made, before, found = stretched(1e10, small, True, epochs=3, **given)
    same_bits(found, whole)
    assert not whole["stopped"] and (whole["params"] != before).any()
    assert made.memory.grads is not None  # the bound said nothing, so they were made
    made, *_ = stretched(1e4, small, True, epochs=3, **given)
    assert made.memory.grads is None


@pytest.mark.parametrize("python", [False, True])
def test_a_product_that_overflows_changes_nothing(python, small, in_python):
    in_python(python)
    made, before, found = stretched(1e19, small, True)
    assert str(found["stopped"]) == "the gradient of step 1 is not finite; the weights are those before it"
    assert made.memory.params.tobytes() == before.tobytes() and not made.memory.state["v"].any() and made.step == 0
    with pytest.raises(ArithmeticError, match="the gradient of step 1 is not finite; the weights are those before it"):
        made.train_on_batch(*_far_apart())
    assert made.memory.params.tobytes() == before.tobytes()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_loss_whose_gradient_is_not_finite_changes_nothing(bad, small):
    small()
    calls = []

    def loss(y_true, y_pred):
        calls.append(1)
        gradient = y_pred - y_true
        if len(calls) > 2:
            gradient[0, 0] = bad
        return (gradient[:, 1:] ** 2).sum(axis=1), gradient

    x, y = rows()
    made = deep(OPTIMIZERS["momentum"], loss=loss)
    found = fitted(made, x, np.eye(OUTPUTS)[y], epochs=5)
    assert str(found["stopped"]) == "the gradient of step 3 is not finite; the weights are those before it"
    calls.clear()
    other = deep(OPTIMIZERS["momentum"], loss=loss)
    fitted(other, x, np.eye(OUTPUTS)[y], epochs=1, steps_per_epoch=2)
    for name in ("params", "v"):
        assert found[name].tobytes() == other.memory.arrays()[name].tobytes()


def test_a_check_that_is_left_out_is_seen(small, monkeypatch):
    """The tests above can fail: without the bound weights are lost."""
    monkeypatch.setattr(blocks, "plan_bound", lambda *_: None)
    made, *_ = stretched(1e19, small, True)
    assert not np.isfinite(made.memory.params).all()


@pytest.mark.parametrize("blocked", [False, True])
def test_the_python_walker_hears_of_ctrl_c_after_the_step(blocked, small, in_python, monkeypatch):
    in_python(True)
    x, y = rows()
    small(48 if blocked else 0)
    made, table, calls = deep(fn.Adam(0.01)), backends.current(), []
    step = table.adam_step

    def interrupting(*arguments):
        calls.append(made.step)
        if len(calls) == 31:
            signal.raise_signal(signal.SIGINT)
        step(*arguments)

    monkeypatch.setattr(table, "adam_step", interrupting)
    with pytest.raises(KeyboardInterrupt):
        made.fit(x, y, batch_size=BATCH, epochs=100)
    assert made.step == calls[30] + 1 == calls[-1] + 1 and len(calls) > 31
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    monkeypatch.setattr(table, "adam_step", step)
    other = deep(fn.Adam(0.01))
    other.fit(x, y, batch_size=BATCH, epochs=1, steps_per_epoch=made.step)
    for name in ("params", "m", "v"):
        assert made.memory.arrays()[name].tobytes() == other.memory.arrays()[name].tobytes(), name


# ---- the bound -------------------------------------------------------------------------------------------------------


def bounds(training: Training, small) -> list[tuple[float, float]]:
    """For each kernel, and each gain of a normalisation, the norm of its gradient and what that is bounded by."""
    x, y, weight = data(training)

    def walked(count: int | None):
        made = model(training, "float64", begun=True)
        given = made.prepare(x, y, sample_weight=weight)
        plan = made.plan("train", given.feed(ordered=False), len(x))
        runner = Runner(replace(plan, ops=plan.ops[: plan.commit if count is None else count]), made.memory,
                        given.source(), scalars=made.scalars)
        runner.advance(1, leave=trainer.leave(training.loss))
        return plan, runner, made.memory

    small(0)
    *_, memory = walked(None)
    gradients = {name: np.linalg.norm(g) for name, g in memory.views(memory.grads).items()}
    small(2)
    found = []
    for i, op in enumerate(walked(0)[0].ops):
        name = op.arguments[0].removesuffix(".x.bound norm") if op.of == "bound" else ""
        for weights in {f"{name}/kernel", f"{name}/gamma"} & gradients.keys():
            _, runner, memory = walked(i)
            tensor = runner.plan.tensors[op.arguments[0]]
            bound = memory.arena(0, "train")[tensor.offset :][:8].view(np.float64)[0]
            found.append((gradients[weights], bound))
    return found


BOUNDED = [t for t in TRAININGS if not (t.optimizer.clipnorm or t.optimizer.global_clipnorm or t.optimizer.clipvalue)]


@pytest.mark.parametrize("training", BOUNDED, ids=str)
def test_the_bound_is_above_the_gradient(training, small, monkeypatch):
    monkeypatch.setitem(blocks._MOST, "float64", np.finfo(np.float64).max)  # bounds are then as they are
    found = bounds(training, small)
    assert all(gradient <= bound < 1e30 for gradient, bound in found)


def test_a_bound_that_is_too_low_is_seen(small, monkeypatch):
    monkeypatch.setitem(blocks._MOST, "float64", np.finfo(np.float64).max)
    monkeypatch.setattr(blocks, "_growth_of_one", lambda stage: 0.05)
    found = [pair for training in BOUNDED for pair in bounds(training, small)]
    assert len(found) > 50 and any(gradient > bound for gradient, bound in found)


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("normalized", [8, 9])
def test_no_blocks_where_the_bound_cannot_hold(normalized, check, small):
    """Each normalisation brings it up by 8000; so many times as 1e32 would overflow it, which NumPy would tell."""
    small()
    layers = [layer for _ in range(normalized) for layer in (fn.Dense(96), fn.BatchNormalization(), fn.ReLU())]
    made = fn.Sequential([*layers, fn.Dense(3)])
    made.compile("adam", "mse")
    made.build(FEATURES)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plan = made.plan("train", batch=BATCH, check=check)
    assert any(op.rows for op in plan.ops) == (normalized == 8 or not check)
    assert (plan.whole is not None) == (normalized == 8 and check)


@pytest.mark.parametrize("penalty, divided", [(None, False), (fn.L2(0.0), False), (fn.L2(1e-4), True)])
def test_kernels_with_a_penalty_are_large_sooner(penalty, divided):
    made = fn.Sequential([fn.Dense(512, "relu", kernel_regularizer=penalty), fn.Dense(3)])
    made.compile("adam", "mse")
    made.build(784)
    assert any(op.rows and not op.is_range for op in made.plan("train", batch=1024).ops) == divided  # no short batch
