"""Plans: what is printed of them, their memory, their cost; and that they do not depend on arrays.

The plans of plans.py are kept as text in tests/golden. A change of the planner shows there as a difference in words.
"""

from itertools import combinations

import numpy as np
import pytest
from plans import GOLDEN, dumps

import fusednet as fn
from fusednet import arena, backends
from fusednet.arena import Tensor
from fusednet.backends import table
from fusednet.bind import Binder, cost
from fusednet.memory import Memory
from fusednet.plan import Feed, Op

DUMPS = dumps()


@pytest.mark.parametrize("name", DUMPS)
def test_plan_is_the_golden_one(name):
    assert DUMPS[name] == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


def test_no_golden_file_is_left_over():
    assert {path.stem for path in GOLDEN.glob("*.txt")} == DUMPS.keys()


def _model(**options) -> fn.Sequential:
    model = fn.Sequential([
        fn.Dense(24, "tanh"), fn.BatchNormalization(), fn.Dropout(0.2), fn.Dense(40, "gelu"), fn.Dense(40, "relu"),
        fn.Dropout(0.1), fn.Dense(5),
    ], seed=1, **options)  # fmt: skip
    model.compile("adam", "categorical_crossentropy", ["accuracy"])
    model.build(12)
    return model


# ---- memory ----------------------------------------------------------------------------------------------------------


def _overlaps(tensors: dict[str, Tensor], m: int) -> list[tuple[str, str]]:
    """Pairs of tensors that live at the same time in the same place."""
    work = [t for t in tensors.values() if t.region == "work"]
    return [
        (a.name, b.name)
        for a, b in combinations(work, 2)
        if a.live[0] <= b.live[1] and b.live[0] <= a.live[1]
        and a.offset < b.offset + b.bytes(m) and b.offset < a.offset + a.bytes(m)
    ]  # fmt: skip


@pytest.mark.parametrize("batch", [1, 7, 64])
@pytest.mark.parametrize("mode", ["train", "evaluate", "predict"])
def test_tensors_that_live_together_lie_apart(mode, batch):
    plan = _model().plan(mode, batch=batch)
    assert _overlaps(plan.tensors, batch) == []
    assert all(t.offset % 64 == 0 and t.offset + t.bytes(batch) <= plan.arena
               for t in plan.tensors.values() if t.region == "work")


def test_an_overlap_is_seen():
    plan = _model().plan("train")
    wrong = dict(plan.tensors)
    name = next(name for name, t in wrong.items() if t.offset)
    first = next(t for t in wrong.values() if t.offset == 0 and t.live[1] > plan.tensors[name].live[0])
    wrong[name] = Tensor(name, plan.tensors[name].shape, plan.tensors[name].dtype, "work", 0, first.live)
    assert _overlaps(wrong, 32)


def test_memory_is_used_again():
    model = fn.Sequential([fn.Dense(256, "relu") for _ in range(6)], seed=1)
    model.compile("sgd", "mse")
    model.build(256)
    plan = model.plan("train", batch=64)
    assert plan.arena < 0.8 * sum(t.bytes(64) for t in plan.tensors.values() if t.region == "work")


def test_what_a_phase_touches_is_there_at_the_same_time():
    tensors = {f"t{i}": Tensor(f"t{i}", ("m", 16), "float32", "work") for i in range(6)}
    ops = [Op("activation_fwd", (f"t{i + 1}", f"t{i}"), "", end=5) for i in range(5)]
    placed, size = arena.place(tensors, ops, 8)
    assert size == 6 * 8 * 16 * 4
    assert {t.live for t in placed.values()} == {(0, 4)}


def test_chain_of_equal_tensors_takes_two_places():
    tensors = {f"t{i}": Tensor(f"t{i}", ("m", 16), "float32", "work") for i in range(6)}
    ops = [Op("activation_fwd", (f"t{i + 1}", f"t{i}"), "", end=i + 1) for i in range(5)]
    assert arena.place(tensors, ops, 8)[1] == 2 * 8 * 16 * 4


def test_prediction_needs_no_gradients_and_little_memory():
    train, predict = (_model().plan(mode, batch=256) for mode in ("train", "predict"))
    assert not any(t.region in ("grads", "state") for t in predict.tensors.values())
    assert predict.arena < train.arena / 2


def test_first_layer_has_no_input_gradient():
    dx = [op for op in _model().plan("train").ops if op.kernel == "affine_bwd_dx"]
    assert len(dx) == 3  # of four dense layers


def test_what_lasts_is_written_after_commit_only():
    plan = _model().plan("train")
    lasting = {name for name, t in plan.tensors.items() if t.region in ("params", "state", "running", "sums")}
    for op in plan.ops[: plan.commit]:
        if op.kernel in table.KERNELS:
            written = [argument for parameter, argument in
                       zip(table.KERNELS[op.kernel].parameters, op.arguments, strict=True)
                       if parameter.role in ("out", "io")]
            assert not lasting & {name for argument in written for name in arena.names(argument)}, op


def test_plans_are_equal_and_kept():
    model, other = _model(), _model()
    assert model.plan("train") == other.plan("train")
    assert model.plan("train") is model.plan("train")
    assert model.plan("train") != model.plan("train", batch=31)


# ---- cost and threads ------------------------------------------------------------------------------------------------


def _bound(plan, rows: int, threads: int = 1):
    model = _model()
    memory = Memory(model.network)
    memory.prepare(model.optimizer_spec)
    arrays = memory.arrays() | {
        "sums": np.zeros(len(plan.sums)), "order": np.arange(rows), "data.out": np.empty((rows, 5), np.float32),
        "data.x": np.zeros((rows, 12), np.float32), "data.y": np.zeros(rows, np.int32),
    }  # fmt: skip
    return Binder(plan, arrays, memory.named(), memory.arena(plan.arena, plan.mode), threads).program(rows)


@pytest.mark.skipif("native" not in backends.available(), reason="no native table")
def test_cost_is_that_of_the_c_list():
    from fusednet.backends import native

    kernels = native.table()
    for mode in ("train", "predict"):
        for op in _bound(_model().plan(mode, batch=50), 50).ops:
            if op.kernel in table.KERNELS:
                arguments = [getattr(argument, "stand_in", argument) for argument in op.arguments]
                assert cost(op.kernel, op.arguments) == getattr(kernels, op.kernel).cost(*arguments), op.kernel


def test_an_op_is_shared_by_as_many_threads_as_have_a_part_worth_it():
    worth = table.CYCLES_PER_PART
    for threads in (1, 2, 3, 8):
        assert [table.parts(cycles, threads) for cycles in (0, 2 * worth - 1, 2 * worth, 3 * worth, 10**9)] == [
            1, 1, min(2, threads), min(3, threads), threads]


def test_dump_and_program_share_out_the_same_parts():
    plan = _model().plan("train", Feed("float32", "labels", ordered=True), 2000)
    shown = [line[4:6].strip() for line in plan.dump(3).splitlines() if line[:3].strip().isdigit()]
    bound = _bound(plan, 2000, 3).ops
    first = [i == 0 or op.end != plan.ops[i - 1].end for i, op in enumerate(plan.ops)]
    assert shown == [(str(op.parts) if op.kernel in table.KERNELS else "-") if begins else ""
                     for op, begins in zip(bound, first, strict=True)]
    assert {"1", "3"} <= set(shown)
