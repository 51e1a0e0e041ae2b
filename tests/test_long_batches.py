"""Long batches: columns are summed by slices of the rows and joined, kernels' gradients made by halves; the same bits
in any number of parts, the same numbers as otherwise.

Reads trainings.py and the means of test_walkers.py; slices.py and split_k.py are told that a batch of 8 rows is long.
"""

from dataclasses import replace

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
from trainings import MIXED, TRAININGS, model

import fusednet as fn
from fusednet import bind, blocks, fuse, phases, planner, slices, split_k
from fusednet.objective import Objective
from fusednet.plan import Op, Share, Slice
from fusednet.runner import NotFinite

FEW = ROWS - 5
"""Rows whose last batch has 3: fewer than slices."""
NORMAL = tuple(t for t in TRAININGS if any(isinstance(layer, fn.BatchNormalization) for layer in t.layers))

pytestmark = pytest.mark.usefixtures("native_on_one_thread")


@pytest.fixture
def long(monkeypatch):
    for module, name, value in ((slices, "LONG", 8), (slices, "MOST", 4), (slices, "WEIGHTS", 0),
                                (split_k, "LONG", 8), (split_k, "KERNEL", 1)):
        monkeypatch.setattr(module, name, value)


def ops_of(training, *kernels) -> list[Op]:
    _, plan = planned(model(training), training, True)
    return [op for op in plan.ops if op.kernel in kernels]


# ---- which batches ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("batch", "wanted"), [(1, 0), (511, 0), (512, 8), (4096, 8), (1 << 20, 8)])
def test_columns_of_long_batches_are_summed_by_slices(batch, wanted):
    assert slices.of_columns(batch) == wanted


@pytest.mark.parametrize(("units", "batch", "wanted"), [
    (128, 1024, True), (128, 1023, False), (127, 1024, False), (128, 1 << 20, True),
])  # fmt: skip
def test_large_kernels_of_long_batches_have_halves(units, batch, wanted):
    made = fn.Sequential([fn.Dense(units)])
    made.build(128)
    (stage,) = fuse.chain(made.network, training=True).stages
    assert split_k.halves(stage, batch) is wanted


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 31, 512])
def test_shares_join_all_rows(rows):
    """Each group's share is what it has of those up to it: by it a mean of ones and one of zeros are counted."""
    for index in range(1, 4):
        begin, end = Slice("x", index, 4).of(rows)
        assert Share(index, 4).of(rows) == (end - begin) / end


def test_a_network_of_a_job_has_both():
    made = fn.Sequential([fn.Dense(256), fn.BatchNormalization(), fn.Activation("relu"), fn.Dense(3)])
    made.compile("adam", "sparse_categorical_crossentropy")
    made.build(64)
    for batch, count in ((1024, 8), (512, 8), (511, 1)):
        ops = made.plan("train", batch=batch).ops
        statistics = [op for op in ops if op.kernel in ("batch_norm_stats", "batch_norm_bwd_reduce")]
        assert [op.slice for op in statistics] == [*range(count)] * 2 if count > 1 else [None] * 2
        assert sum(op.kernel == "batch_norm_join" for op in ops) == count - 1
        halves = [op for op in ops if op.kernel == "affine_bwd_dw" and op.is_range]
        assert [op.slice for op in halves] == ([0, 1] if batch >= 1024 else [])
        assert all(op.together for op in halves)
    assert not any(op.slice is not None for op in made.plan("evaluate", batch=4096).ops)


# ---- who does what ---------------------------------------------------------------------------------------------------


def test_more_threads_than_halves_share_them(long):
    halves = [op for op in ops_of(MIXED, "affine_bwd_dw") if op.is_range]
    assert len(halves) == 8
    assert all(op.together and op.most(64) == 64 for op in halves)
    columns = ops_of(MIXED, "batch_norm_stats")
    assert [op.most(64) for op in columns] == [64 if op.together else 4 for op in columns]


def test_a_slice_with_several_ops_is_one_parts():
    made = model(MIXED)
    b = planner._Builder(made.network, BATCH)
    for name in ("x", "y", "z"):
        b.work(name, "m", 7)

    def softmax(to, of, index):
        return b._op("softmax_fwd", (Slice(to, index, 2), Slice(of, index, 2)), "", slice=index, slices=2)

    def scheduled(*ops):
        return phases.schedule(ops, b.tensors, BATCH, len(ops))

    assert [op.together for op in scheduled(softmax("y", "x", 0), softmax("y", "x", 1))] == [True] * 2
    chained = scheduled(softmax("y", "x", 0), softmax("y", "x", 1), softmax("z", "y", 0), softmax("z", "y", 1))
    assert [(op.end, op.together, op.most(8)) for op in chained] == [(4, False, 2)] * 4
    large = [replace(op, end=0) for op in scheduled(softmax("y", "x", 0), softmax("y", "x", 1))]
    assert [op.end for op in phases.schedule(large, b.tensors, 1 << 20, 2)] == [2, 2]  # however long they take


# ---- the bits --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("training", NORMAL, ids=str)
def test_every_batch_normalisation_here_has_slices(training, long):
    found = ops_of(training, "batch_norm_stats", "batch_norm_bwd_reduce")
    assert {op.slices for op in found} == {4} and {op.slice for op in found} == {0, 1, 2, 3}
    assert all(op.is_range for op in ops_of(training, "affine_bwd_dw"))


@pytest.mark.parametrize("training", SOME, ids=str)
def test_walkers_agree_after_every_op(training, in_python, long):
    op_by_op(training, "float32", in_python, shuffled=True, position=0)


@pytest.mark.parametrize("training", SOME, ids=str)
def test_walkers_agree_on_data_where_they_lie(training, in_python, long):
    op_by_op(training, "float64", in_python, shuffled=False, position=TAIL)


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("training", WALKED, ids=str)
def test_what_memory_held_before_does_not_matter(training, shuffled, long):
    zeros, ones = (walk(training, "float32", steps=4, pattern=p, shuffled=shuffled) for p in (0x00, 0xff))
    same_bits(zeros, ones, besides=["arena"])


@pytest.mark.parametrize("training", WALKED, ids=str)
def test_any_number_of_parts_gives_the_same_bits(training, forced_parts, long):
    in_any_parts(training, forced_parts, (2, 3, 4, 8), FEW)


@pytest.mark.parametrize("training", NORMAL, ids=str)
def test_a_phase_that_is_too_long_is_seen(training, forced_parts, monkeypatch, long):
    whole = fitted(training)
    monkeypatch.setattr(phases._Access, "overlaps", lambda self, other: False)
    forced_parts(3, team=1)
    with pytest.raises((AssertionError, NotFinite)):
        same_bits(fitted(training), whole)


def test_slices_that_others_wait_for_are_not_shared(forced_parts, monkeypatch, long):
    """Three parts of two slices that would do both together: the first sums rows that the second has yet to make."""
    training = next(t for t in NORMAL if any(not op.together for op in ops_of(t, "batch_norm_stats")))
    monkeypatch.setattr(slices, "MOST", 2)
    whole = fitted(training)
    bound = bind.bound
    monkeypatch.setattr(bind, "bound", lambda *arguments: tuple(
        op._replace(together=op.slice is not None) for op in bound(*arguments)))
    forced_parts(3, team=1)
    with pytest.raises((AssertionError, NotFinite)):
        same_bits(fitted(training), whole)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_any_number_of_threads_gives_the_same_bits(dtype):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((2100, 150)).astype(dtype), rng.integers(0, 10, 2100)
    first = None
    for count in (1, 2, 3, 4, 8):
        fn.set_num_threads(count)
        layers = fn.Dense(140), fn.BatchNormalization(), fn.Activation("relu"), fn.Dropout(0.1), fn.Dense(10)
        made = fn.Sequential(list(layers), seed=1, dtype=dtype)
        made.compile(fn.Adam(1e-3), "sparse_categorical_crossentropy")
        made.fit(x, y, batch_size=1024, epochs=3)  # the last batch has 52 rows
        first = first or made.memory.arrays()
        same_bits(made.memory.arrays(), first)


# ---- the numbers -----------------------------------------------------------------------------------------------------


def plain(training, dtype="float32"):
    """The same training without slices and halves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(slices, "LONG", 1 << 30)
        patch.setattr(split_k, "LONG", 1 << 30)
        return fitted(training, dtype, rows=FEW)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("training", WALKED, ids=str)
def test_a_training_is_the_one_without(training, dtype, long):
    tolerance = {"float32": 5e-5, "float64": 1e-12}[dtype]
    close(fitted(training, dtype, rows=FEW), plain(training, dtype), tolerance, training.name)


def test_the_gradient_for_other_optimizers_is_the_one_without(monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((1100, 150)), rng.integers(0, 10, 1100)
    found = []
    for long in (1024, 1 << 30):
        monkeypatch.setattr(split_k, "LONG", long)
        made = fn.Sequential([fn.Dense(140, "tanh"), fn.Dense(10)], seed=1, dtype="float64")
        made.compile("sgd", "sparse_categorical_crossentropy")
        goal = Objective(made, x, y)
        found.append(goal(goal.weights))
    (loss, gradient), (other, wanted) = found
    assert loss == pytest.approx(other, rel=1e-14)
    assert gradient.tobytes() != wanted.tobytes()
    assert np.abs(gradient - wanted).max() <= 1e-13 * np.abs(wanted).max()


def without(kernel: str, index: int):
    """A planner that leaves out the op of `kernel` that has that number."""
    call = planner._Builder.call

    def fewer(b, name, *arguments, **others):
        if name == kernel:
            b.left_out = getattr(b, "left_out", -1) + 1
            if b.left_out == index:
                return
        call(b, name, *arguments, **others)

    return fewer


@pytest.mark.parametrize(("kernel", "index"), [("batch_norm_join", i) for i in range(3)] +
                         [("sgd_step", i) for i in range(6)])
def test_a_slice_that_does_not_count_is_seen(kernel, index, monkeypatch, long):
    training = next(t for t in NORMAL if t.name == "batch_norm-dropout")
    whole = plain(training)
    monkeypatch.setattr(planner._Builder, "call", without(kernel, index))
    with pytest.raises(AssertionError, match="is off by"):
        close(fitted(training, rows=FEW), whole, 5e-5, "less")


@pytest.mark.parametrize("of", [lambda self, rows: 1 / (self.index + 1), lambda self, rows: self.index / rows])
def test_a_wrong_share_is_seen(of, monkeypatch, long):
    training = next(t for t in NORMAL if t.name == "batch_norm-dropout")
    whole = plain(training)
    monkeypatch.setattr(Share, "of", of)
    with pytest.raises(AssertionError, match="is off by"):
        close(fitted(training, rows=FEW), whole, 5e-5, "less")  # the last batch has slices of 1, 1, 1 and 0 rows


def test_gradients_in_blocks_have_no_halves(monkeypatch, long):
    for name, value in (("LARGE", 1), ("BLOCK", 1), ("ROWS", 2)):
        monkeypatch.setattr(blocks, name, value)
    training = next(t for t in WALKED if planned(model(t), t, True)[1].whole is not None)
    _, plan = planned(model(training), training, True)
    assert not any(op.is_range for op in plan.ops)
    assert any(op.is_range for op in plan.whole.ops)


@pytest.mark.parametrize("level", [1e3, 1e6])
def test_columns_far_from_zero_keep_their_variance(level, monkeypatch):
    """The rounding of a slice's mean is squared, or meets the distance of two means: far below what rounding the mean
    does to what is normalised."""
    rng = np.random.default_rng(0)
    x = (level + rng.standard_normal((4096, 33))).astype(np.float32)
    y = rng.standard_normal((4096, 1)).astype(np.float32)
    variances = []
    for long in (512, 1 << 30):
        monkeypatch.setattr(slices, "LONG", long)
        made = fn.Sequential([fn.BatchNormalization(momentum=0.0), fn.Dense(1)], seed=0)
        made.compile(fn.SGD(1e-9), "mse")
        made.fit(x, y, batch_size=4096, shuffle=False)
        variances.append(made.memory.arrays()["batch_normalization/running_var"])
    exact = x.astype(np.float64).var(axis=0)
    assert np.abs(variances[1] - exact).max() <= 1e-6 * exact.max()
    assert np.abs(variances[0] - exact).max() <= max(1e-6, level * 2**-24) * exact.max()
