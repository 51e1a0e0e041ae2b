"""Phases (fusednet/phases.py): which ops a thread may go through without waiting for the others.

That phases change no bit, walked part by part, is in test_walkers.py; whole plans with theirs are in tests/golden.
"""

from dataclasses import replace

import numpy as np
import pytest

from fusednet import phases
from fusednet.arena import Tensor
from fusednet.backends import ref_numpy
from fusednet.backends.table import KERNELS
from fusednet.plan import Column, Columns, Flat, Loaded, Op, Part, PerRow, Rows, Slice

BATCH, WIDTH = 32, 48
TENSORS = {
    tensor.name: tensor
    for tensor in (
        *(Tensor(name, ("m", WIDTH), "float32", "work") for name in ("a", "b", "c", "d", "e", "f")),
        Tensor("labels", ("m",), "int32", "work"), Tensor("loss", ("m",), "float32", "work"),
        Tensor("scale", (1,), "float64", "work"), Tensor("mean", (WIDTH,), "float32", "work"),
        Tensor("var", (WIDTH,), "float32", "work"), Tensor("data.x", ("rows", WIDTH), "float32", "data"),
        Tensor("data.out", ("rows", WIDTH), "float32", "data"), Tensor("order", ("rows",), "int64", "data"),
        *(Tensor(name, (WIDTH, WIDTH), "float32", "params") for name in ("w", "w2")),
        Tensor("wide", (WIDTH, 10 * WIDTH), "float32", "params"), Tensor("g", ("m", 10 * WIDTH), "float32", "work"),
        Tensor("d w", (WIDTH, WIDTH), "float32", "grads"), Tensor("d w2", (WIDTH, WIDTH), "float32", "grads"),
        Tensor("d w1", (WIDTH, WIDTH), "float32", "grads.1"),
        Tensor("params", (2 * WIDTH * WIDTH,), "float32", "params"), Tensor("v", (9,), "float32", "state"),
        Tensor("grads", (2 * WIDTH * WIDTH,), "float32", "grads"), Tensor("sums", (4,), "float64", "sums"),
    )
}  # fmt: skip


def affine(y, x, w="w"):
    return Op("affine_fwd", (y, None, x, w, None, 1, 0.0, 0), "")


def product(dw, x, dy):
    return Op("affine_bwd_dw", (dw, None, x, dy, 0), "")


def sgd(begin, end):
    return Op("sgd_step", (Part("params", begin, end), Part("grads", begin, end), 0.1, 0.0, 0.0, 1.0, np.inf), "")


GATHER = Op("gather_rows", ("a", "data.x", Rows("order"), None, None), "")
RELU = Op("activation_fwd", (Flat("b"), Flat("b"), 1, 0.0), "")
LOSS = Op("softmax_xent_labels", ("loss", "c", "c", "labels", None, 0.0, PerRow()), "")
SUM = Op("accumulate", (Part("sums", 0, 1), "loss", 1.0), "")
STATS = Op("batch_norm_stats", ("mean", "var", "b"), "")
NORM = Op("batch_norm_fwd", ("c", None, "b", "mean", "var", "v", "v", 1e-3, 1, 0.0), "")
CHECK = Op("check", ("scale",), "")


def ends(*ops, commit=None) -> list[int]:
    return [op.end for op in phases.schedule(ops, TENSORS, BATCH, len(ops) if commit is None else commit)]


@pytest.mark.parametrize(("ops", "wanted"), [
    ((GATHER, affine("b", "a"), RELU, affine("c", "b"), LOSS), [5] * 5),                 # row after row
    ((affine("b", "a"), STATS, NORM, affine("d", "c")), [1, 2, 4, 4]),                   # statistics need all rows
    ((product("d w", "a", "b"), product("d w2", "c", "d")), [2, 2]),                     # two that share nothing
    ((RELU, product("d w", "a", "b")), [1, 2]),                                          # all rows of what is written
    ((product("d w", "a", "b"), RELU), [1, 2]),                                          # and the other way about
    ((affine("b", "a"), product("d w", "c", "d"), affine("e", "b", "w2")), [3] * 3),     # one in between
    ((affine("b", "a"), affine("g", "b", "wide")), [1, 2]),                              # many weights
    ((LOSS, SUM), [1, 2]),                                                               # a sum of all rows
    ((SUM, Op("accumulate", (Part("sums", 0, 1), "a", 1.0), "")), [2, 2]),               # one thread does both
    ((RELU, CHECK, RELU), [1, 2, 3]),                                                    # what steers
    ((sgd(0, 9), sgd(9, 20)), [2, 2]),                                                   # parts that lie apart
    ((sgd(0, 10), sgd(9, 20)), [1, 2]),
    ((product("d w", "a", "b"), sgd(0, 9)), [1, 2]),                                     # a view of the vector
    ((affine("b", "a"), sgd(0, 9)), [1, 2]),
    ((Op("inverse_sum", ("scale", "a"), ""), Op("sgd_step", ("b", "c", Loaded("scale"), 0.0, 0.0, 1.0, np.inf), "")),
     [1, 2]),                                                                            # a number that is read
    ((Op("inverse_sum", ("scale", "a"), ""), Op("accumulate", (Part("sums", 0, 1), "b", Loaded("scale")), "")), [1, 2]),
    ((affine("b", "a"), Op("activation_fwd", (Rows("data.out", flat=True), Flat("b"), 0, 0.0), "")), [2, 2]),
    ((RELU, Op("gather_rows", ("c", "b", None, None, None), "")), [1, 2]),               # rows, but perhaps others
    ((Op("gather_rows", (Column("loss"), Column("order"), Rows("order"), None, None), ""), SUM), [1, 2]),
    ((), []),
])  # fmt: skip
def test_a_phase_ends_where_a_part_would_need_another(ops, wanted):
    assert ends(*ops) == wanted


def test_a_phase_ends_where_lasting_things_begin_to_change():
    ops = product("d w", "a", "b"), product("d w2", "c", "d")
    assert ends(*ops, commit=1) == [1, 2]


def test_only_in_company_an_op_is_divided_by_rows():
    together = phases.schedule((affine("b", "a"), product("d w", "c", "d"), affine("e", "b")), TENSORS, BATCH, 3)
    assert [op.by_rows for op in together] == [True, False, True]
    (alone,) = phases.schedule((affine("b", "a"),), TENSORS, BATCH, 1)
    assert not alone.by_rows


def block(begin, w="w", rows=BATCH, tensor="a"):
    """A block of weights' gradient, and their step."""
    return (
        Op("affine_bwd_dw", (tensor, None, Columns("c", begin, begin + rows), "d", 0), "", rows=rows),
        Op("sgd_step", (Part("params", begin, begin + rows), Flat(tensor), 0.1, 0.0, 0.0, 1.0, np.inf), "", rows=rows),
    )


def test_blocks_of_one_tensor_are_one_phase():
    one, two, other, less = block(0), block(32), block(64, tensor="b"), block(96, rows=16)
    assert ends(*one, *two) == [4] * 4
    assert ends(*one, *other) == [2, 2, 4, 4]          # both at a time would be memory
    assert ends(*one, *less) == [2, 2, 4, 4]           # a part of it has other rows
    assert ends(RELU, *one, RELU) == [1, 3, 3, 4]
    assert [op.rows for op in phases.schedule((*one, RELU), TENSORS, BATCH, 3)] == [BATCH, BATCH, 0]
    (alone,) = phases.schedule(one[:1], TENSORS, BATCH, 1)
    assert alone.rows == 0


def slices_of(dw, x, dy, count=2):
    places = [dw, *(f"{dw}{index}" for index in range(1, count))]
    return tuple(
        Op("affine_bwd_dw", (place, None, Slice(x, index, count), Slice(dy, index, count), 0), "", slice=index,
           slices=count) for index, place in enumerate(places))  # fmt: skip


def test_gradients_by_slices_stand_among_ops_by_rows():
    ops = affine("b", "a"), *slices_of("d w", "a", "b"), affine("c", "b"), LOSS
    scheduled = phases.schedule(ops, TENSORS, BATCH, len(ops))
    assert [op.end for op in scheduled] == [5] * 5
    assert [op.slice for op in scheduled] == [None, 0, 1, None, None]
    assert all(op.by_rows for op in scheduled)
    assert {op.slices for op in scheduled} == {2} and scheduled[0].most(8) == 2
    assert ends(affine("b", "a"), *slices_of("d w", "a", "b"), product("d w2", "a", "b")) == [3, 3, 3, 4]  # all rows


def test_an_op_of_a_slice_by_itself_is_divided_like_any_other():
    (alone,) = phases.schedule(slices_of("d w", "a", "b")[:1], TENSORS, BATCH, 1)
    assert alone.slice is None and alone.slices == 0 and alone.most(8) == 8


def test_of_one_slice_ops_follow_each_other_of_others_they_wait():
    def add(begin, end, index):
        return replace(sgd(begin, end), slice=index, slices=2)

    assert ends(add(0, 9, 0), add(9, 20, 1), add(0, 5, 0), add(10, 12, 1)) == [4] * 4
    assert ends(add(0, 9, 0), add(9, 20, 1), add(0, 5, 1)) == [2, 2, 3]
    assert ends(*slices_of("d w", "a", "b"), add(0, 9, 0)) == [3] * 3      # the same part has made these
    assert ends(*slices_of("d w", "a", "b"), add(0, 9, 1)) == [2, 2, 3]    # another has


# ---- kernels that work row by row ------------------------------------------------------------------------------------

NOT_BY_ROWS = {"affine_bwd_dw", "batch_norm_stats", "batch_norm_bwd_reduce", "square_sums", "absolute_sums"}


def test_which_kernels_work_row_by_row():
    assert {kernel.name for kernel in KERNELS.values() if kernel.split and kernel.rows is None} == NOT_BY_ROWS


def call(kernel, changed: str = "", row: int = 0) -> list[np.ndarray]:
    """The outputs of a call; with one row of the input `changed` other than without."""
    sizes = {name: 4 + i for i, name in enumerate(kernel.sizes)}
    sizes |= {"r": sizes.get("m", 0)}
    outputs, arguments = [], []
    for parameter in kernel.parameters:
        shape = tuple(sizes[name] for name in parameter.shape)
        if parameter.role in ("int", "real"):
            known = {"kind": 1, "op": 0, "precision": 0}
            arguments.append(known.get(parameter.name, 0.5 if parameter.role == "real" else 1))
            continue
        dtype = "float64" if parameter.dtype in ("T", "any") else parameter.dtype
        integers = np.arange(shape[0]).reshape(shape) if parameter.dtype in ("int32", "int64") else None
        array = (np.random.default_rng(0).uniform(1, 50, shape) if integers is None else integers).astype(dtype)
        if parameter.name == changed and integers is not None:
            array[row] = array[row + 1]
        elif parameter.name == changed:
            array[row] = np.roll(array[row], 1) + 1
        arguments.append(array)
        if parameter.written:
            outputs.append(array)
    getattr(ref_numpy, kernel.name)(*arguments)
    return outputs


@pytest.mark.parametrize("name", [kernel.name for kernel in KERNELS.values() if kernel.rows])
def test_a_row_depends_on_that_row_alone(name):
    kernel = KERNELS[name]
    before, seen = call(kernel), False
    for parameter in kernel.parameters:
        if parameter.role == "out" or parameter.shape[:1] != (kernel.rows,):
            continue
        for a, b in zip(before, call(kernel, parameter.name, row=2), strict=True):
            others = np.arange(len(a)) != 2
            assert np.array_equal(a[others], b[others]), parameter.name
            seen = seen or not np.array_equal(a[2], b[2])
    assert seen


@pytest.mark.parametrize("name", sorted(NOT_BY_ROWS - {"square_sums", "absolute_sums"}))
def test_a_column_of_sums_is_no_row(name):
    inputs = {"affine_bwd_dw": "dy", "batch_norm_stats": "x", "batch_norm_bwd_reduce": "dy"}
    kernel = KERNELS[name]
    for a, b in zip(call(kernel), call(kernel, inputs[name], row=2), strict=True):
        assert (a != b).all()
