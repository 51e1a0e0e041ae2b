"""Gradients by slices of the batch: which trainings have them, the same bits in any number of parts, the same numbers
as without them.

Reads trainings.py and the means of test_walkers.py; slices.py is told that slices of 4 rows are worth it, so that a
batch of 16 has four of them.
"""

import numpy as np
import pytest
from test_walkers import (
    BATCH,
    ROWS,
    SOME,
    TAIL,
    WALKED,
    close,
    fitted,
    in_any_parts,
    op_by_op,
    planned,
    same_bits,
    walk,
)
from trainings import model

import fusednet as fn
from fusednet import blocks, fuse, phases, planner, slices
from fusednet.objective import Objective
from fusednet.runner import NotFinite

SLICED = tuple(t for t in WALKED if not any(isinstance(layer, fn.BatchNormalization) for layer in t.layers))
SOME_SLICED = tuple(t for t in SOME if t in SLICED)
FEW = ROWS - 5
"""Rows whose last batch has 3: fewer than slices."""

pytestmark = pytest.mark.usefixtures("native_on_one_thread")


@pytest.fixture
def sliced(monkeypatch):
    monkeypatch.setattr(slices, "ROWS", 4)
    monkeypatch.setattr(slices, "CYCLES", 1)


def chain(*layers, features: int = 20) -> fuse.Chain:
    made = fn.Sequential(list(layers))
    made.build(features)
    return fuse.chain(made.network, training=True)


HUNDRED = fn.Dense(100, "relu"), fn.Dense(10)


@pytest.mark.parametrize(("layers", "batch", "wanted"), [
    (HUNDRED, 200, 2), (HUNDRED, 127, 0), (HUNDRED, 128, 2), (HUNDRED, 511, 2), (HUNDRED, 512, 4), (HUNDRED, 1024, 8),
    (HUNDRED, 1 << 20, 8),
    ((fn.Dense(100), fn.BatchNormalization(), fn.Dense(10)), 200, 0),     # threads meet on the way
    ((fn.Dense(100, "relu"), fn.Dropout(0.5), fn.Dense(10)), 200, 2),
    ((fn.Dense(8), fn.Dense(2)), 200, 0),                                 # too little to share
    ((fn.Dense(8), fn.Dense(2)), 8192, 8),
    ((fn.Dense(500), fn.Dense(10)), 200, 0),                              # many weights
    ((fn.Activation("relu"),), 200, 0),
])  # fmt: skip
def test_which_batches_have_slices(layers, batch, wanted):
    assert slices.count(chain(*layers), batch, "float32") == wanted


def test_weights_are_counted_in_bytes():
    layers = fn.Dense(80), fn.Dense(100)  # 38 KB of float32
    assert [slices.count(chain(*layers), 200, dtype) for dtype in ("float32", "float64")] == [2, 0]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("count", [2, 4, 8])
@pytest.mark.parametrize("size", [16, 64, 80, 3136])
@pytest.mark.parametrize(("begin", "end"), [(0, 1.0), (0.2, 0.7), (0.5, 0.5)])
def test_shares_are_the_elements_once_and_cut_at_lines(dtype, count, size, begin, end):
    begin, end = int(begin * size), int(end * size)
    shares = slices.shares(count, size, dtype, begin, end)
    assert [i for _, first, last in shares for i in range(first, last)] == list(range(begin, end))
    assert [index for index, *_ in shares] == sorted({index for index, *_ in shares})
    assert all(first * np.dtype(dtype).itemsize % 64 == 0 for _, first, _ in shares[1:])


def test_without_slices_there_is_one_share():
    assert slices.shares(0, 64, "float32", 3, 50) == [(None, 3, 50)]


# ---- the bits --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("training", SLICED, ids=str)
def test_every_training_here_has_slices(training, sliced):
    _, plan = planned(model(training), training, True)
    assert plan.gradients == 4
    assert {op.slice for op in plan.ops if op.kernel == "affine_bwd_dw"} == {0, 1, 2, 3}


def test_without_a_slice_of_rows_there_is_one_vector_of_gradients():
    _, plan = planned(model(SLICED[0]), SLICED[0], True)
    assert plan.gradients == 1


@pytest.mark.parametrize("training", SOME_SLICED, ids=str)
def test_walkers_agree_after_every_op(training, in_python, sliced):
    op_by_op(training, "float32", in_python, shuffled=True, position=0)


@pytest.mark.parametrize("training", SOME_SLICED, ids=str)
def test_walkers_agree_on_data_where_they_lie(training, in_python, sliced):
    op_by_op(training, "float64", in_python, shuffled=False, position=TAIL)


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("training", SLICED, ids=str)
def test_what_memory_held_before_does_not_matter(training, shuffled, sliced):
    zeros, ones = (walk(training, "float32", steps=4, pattern=p, shuffled=shuffled) for p in (0x00, 0xff))
    same_bits(zeros, ones, besides=["arena"])


@pytest.mark.parametrize("training", SLICED, ids=str)
def test_any_number_of_parts_gives_the_same_bits(training, forced_parts, sliced):
    in_any_parts(training, forced_parts, (2, 3, 8), FEW)


@pytest.mark.parametrize("training", SOME_SLICED, ids=str)
def test_a_phase_that_is_too_long_is_seen(training, forced_parts, monkeypatch, sliced):
    whole = fitted(training)
    monkeypatch.setattr(phases._Access, "overlaps", lambda self, other: False)
    forced_parts(3, team=1)
    with pytest.raises((AssertionError, NotFinite)):
        same_bits(fitted(training), whole)


def test_any_number_of_threads_gives_the_same_bits():
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2100, 20)).astype(np.float32), rng.integers(0, 10, 2100)
    first = None
    for count in (1, 2, 3, 8):
        fn.set_num_threads(count)
        made = fn.Sequential([*HUNDRED], seed=1)
        made.compile(fn.Adam(1e-3), "sparse_categorical_crossentropy")
        made.fit(x, y, batch_size=1024, epochs=5)  # 8 slices; the last batch has 52 rows
        assert len(made.memory.slices) == 7
        first = first or made.memory.arrays()
        same_bits(made.memory.arrays(), first)


# ---- the numbers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("training", SLICED, ids=str)
def test_a_training_is_the_one_without_slices(training, dtype, monkeypatch):
    whole = fitted(training, dtype, rows=FEW)
    monkeypatch.setattr(slices, "ROWS", 4)
    monkeypatch.setattr(slices, "CYCLES", 1)
    close(fitted(training, dtype, rows=FEW), whole, {"float32": 3e-5, "float64": 1e-12}[dtype], training.name)


@pytest.mark.parametrize("index", [1, 2, 3])
def test_a_slice_that_is_not_added_is_seen(monkeypatch, sliced, index):
    whole = fitted(SLICED[0])
    add = planner._plan_sum_of_slices

    def add_others(b, layout):
        add(b, layout)
        b.ops = [op for op in b.ops if not (op.of == "gradient" and op.arguments[1].tensor == f"grads.{index}")]

    monkeypatch.setattr(planner, "_plan_sum_of_slices", add_others)
    with pytest.raises(AssertionError, match="is off by"):
        close(fitted(SLICED[0]), whole, 3e-5, "less")


def test_gradients_in_blocks_have_no_slices(monkeypatch, sliced):
    for name, value in (("LARGE", 1), ("BLOCK", 1), ("ROWS", 2)):
        monkeypatch.setattr(blocks, name, value)
    training = next(t for t in SLICED if planned(model(t), t, True)[1].whole is not None)
    _, plan = planned(model(training), training, True)
    assert plan.gradients == 0 and all(op.slice is None for op in plan.ops)
    assert plan.whole.gradients == 1 and all(op.slice is None for op in plan.whole.ops)


def test_the_gradient_for_other_optimizers_is_the_one_without_slices(monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((300, 20)), rng.integers(0, 10, 300)
    made = fn.Sequential([fn.Dense(30, "tanh"), fn.Dense(10)], seed=1, dtype="float64")
    made.compile("sgd", "sparse_categorical_crossentropy")
    goal = Objective(made, x, y)
    assert len(made.memory.slices) == 1
    loss, gradient = goal(goal.weights)
    monkeypatch.setattr(slices, "ROWS", BATCH * 100)
    plain = Objective(made, x, y)
    other, wanted = plain(plain.weights)
    assert loss == pytest.approx(other, rel=1e-14)
    assert np.abs(gradient - wanted).max() <= 1e-13 * np.abs(wanted).max()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("batch", "tail"), [(1024, 1), (1024, 3), (1024, 9), (512, 1), (128, 1)])
def test_slices_without_rows_add_nothing(dtype, batch, tail):
    """Of layers so large that their products go by packed blocks: what such a slice held before was added once."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((batch + tail, 140)).astype(dtype)
    y = rng.integers(0, 3, len(x))
    trained = []
    for count in (slices.MOST, 1):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(slices, "MOST", count)
            one = fn.Sequential([fn.Dense(40, "tanh"), fn.Dense(3)], seed=1, dtype=dtype)
            one.compile(fn.SGD(0.1), "sparse_categorical_crossentropy")
            one.fit(x, y, batch_size=batch, epochs=2, shuffle=False)
            trained.append(one)
    assert trained[0].memory.slices and not trained[1].memory.slices
    for a, b in zip(trained[0].get_weights(), trained[1].get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol={"float32": 2e-6, "float64": 1e-14}[dtype])
