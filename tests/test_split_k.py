"""Split-K: which products of few rows are made by ranges of their inputs, the same numbers as of many rows, the same
bits in any number of parts, by both walkers and however the rows are given.

Reads split_k.py, which is told that 64 bytes of weights are worth a range, so that small networks have them.
"""

import numpy as np
import pytest

import fusednet as fn
from fusednet import backends, fuse, phases, planner, split_k
from fusednet.backends import interp
from fusednet.bind import Binder
from fusednet.plan import Band, Columns, OneRow, cost

FEATURES = 70
NETWORKS = {
    "relu": (fn.Dense(66, activation="relu"), fn.Dense(50, activation="relu"), fn.Dense(3, activation="softmax")),
    "one layer": (fn.Dense(40),),
    "two of different ranges": (fn.Dense(200, activation="tanh"), fn.Dense(17)),
    "others between": (fn.Normalization(mean=0.5, variance=2.0), fn.Dense(66), fn.BatchNormalization(),
                       fn.Activation("gelu"), fn.Dropout(0.3), fn.Dense(64, use_bias=False, activation="elu"),
                       fn.Dense(64, activation="selu"), fn.Dense(5, activation="sigmoid")),
    "softmax": (fn.Dense(200, activation="softmax"),),  # wider than its inputs
    "smooth": (fn.Dense(64, activation="swish"), fn.Dense(64, activation="softplus"), fn.Dense(1)),
}


@pytest.fixture(autouse=True)
def as_it_was(monkeypatch):
    monkeypatch.setattr(backends, "_current", None)
    monkeypatch.setattr(split_k, "BYTES", 64)
    monkeypatch.setattr(split_k, "LEAST", 16)
    before = fn.get_num_threads()
    fn.set_num_threads(1)
    yield
    fn.set_num_threads(before)


@pytest.fixture
def native():
    table = pytest.importorskip("fusednet.backends.native")
    backends.select("native")
    yield table
    table.force_parts(0)


def network(name, dtype="float32"):
    made = fn.Sequential(NETWORKS[name], seed=0, dtype=dtype)
    made.compile("sgd", "mse")
    made.build(FEATURES)
    rng = np.random.default_rng(0)
    for array in made.memory.parameters.values():
        array[...] = rng.uniform(0.5, 1.5, array.shape) * rng.choice([-1, 1], array.shape) / len(array) ** 0.5
    return made


def rows(n, dtype="float32"):
    return np.random.default_rng(1).uniform(-1, 1, (n, FEATURES)).astype(dtype)


def split(made) -> list:
    """The ops of plans for one row that take a range of a kernel."""
    ops = [op for plan in made._plans.values() if plan.batch == 1 for op in plan.ops]
    return [op for op in ops if any(isinstance(argument, Band) for argument in op.arguments)]


def near(found, wanted) -> bool:
    tolerance = 1e-5 if found.dtype == np.float32 else 1e-13
    return found.shape == wanted.shape and bool(np.abs(found - wanted).max() <= tolerance * np.abs(wanted).max())


# ---- which products --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("widths", "dtype", "wanted"), [
    ((784, 512, 512, 10), "float32", {"dense": [(0, 384), (384, 784)], "dense_1": [(0, 256), (256, 512)]}),
    ((784, 300), "float32", {}),
    ((784, 300), "float64", {"dense": [(0, 384), (384, 784)]}),
    ((1024, 1024), "float32", {"dense": [(begin, begin + 128) for begin in range(0, 1024, 128)]}),
    ((1024, 1024, 1), "float32", {}),  # 4 KB too much
    ((255, 4000), "float32", {}),
    ((280, 3000), "float32", {"dense": [(0, 128), (128, 280)]}),
    ((600, 1000), "float32", {"dense": [(0, 144), (144, 288), (288, 448), (448, 600)]}),
])  # fmt: skip
def test_large_kernels_have_ranges_where_all_weights_may_stay(monkeypatch, widths, dtype, wanted):
    monkeypatch.setattr(split_k, "BYTES", 512 << 10)
    monkeypatch.setattr(split_k, "LEAST", 128)
    inputs, *units = widths
    network = fn.Sequential([fn.Dense(width) for width in units], dtype=dtype)
    network.compile("sgd", "mse")
    network.build(inputs)
    chain = fuse.chain(network.network)
    assert split_k.ranges(chain, 1, dtype) == split_k.ranges(chain, 16, dtype) == wanted
    assert split_k.ranges(chain, 17, dtype) == {}


def test_only_few_rows_that_are_predicted_by_a_walker_that_is_not_python(native):
    made = network("relu")
    for mode in ("train", "gradient", "evaluate"):
        assert not any(op.slice is not None for op in made.plan(mode, batch=1).ops)
    assert not any(op.slice is not None for op in made.plan("predict", batch=17).ops)
    for batch in (1, 2, 16):
        assert any(op.slice is not None for op in made.plan("predict", batch=batch).ops)
    backends.select("numpy")
    assert not any(op.slice is not None for op in made.plan("predict", batch=1).ops)


def test_threads_meet_once_a_layer(native):
    made = network("relu")
    ops = made.plan("predict", batch=1).ops
    first, second, third = map(len, split_k.ranges(fuse.chain(made.network), 1, "float32").values())
    sums = first * second  # each range of the second layer adds up all of the first, and applies relu
    assert [op.end for op in ops[:first]] == [first] * first
    behind = first + sums + second
    assert [op.end for op in ops[first:behind]] == [behind] * (sums + second)
    assert {op.rows for op in ops[:first]} == {first} and {op.rows for op in ops[first:behind]} == {second}
    assert [op.slice for op in ops[first : first + sums]] == [i for i in range(second) for _ in range(first)]
    assert ops[0].most(64) == first and third == 2
    assert not any(op.by_rows for op in ops[:behind])


def test_threads_meet_twice_a_layer_for_several_rows(native):
    ops = network("relu").plan("predict", batch=3).ops
    first, second, third = map(len, split_k.ranges(fuse.chain(network("relu").network), 3, "float32").values())
    ranges = [[op.slice for op in ops if op.is_range and op.of == name] for name in ("dense", "dense_1", "dense_2")]
    assert ranges == [[*range(first)], [*range(second)], [*range(third)]]
    ends = sorted({op.end for op in ops})
    assert len(ends) == 6 and ends[0] == first and ops[0].together and ops[0].most(64) == 64


def test_each_range_is_one_parts_when_it_is_bound(native):
    made = network("relu")
    plan = made.plan("predict", batch=1)
    arrays = {"data.x": rows(1), "data.out": np.empty((1, 3), np.float32)}
    bound = Binder(plan, arrays, made.memory.named(), made.memory.arena(plan.arena, plan.mode), 2).program(1).ops
    ranges = [(op, given) for op, given in zip(bound, plan.ops, strict=True) if given.is_range]
    assert len(ranges) > 8
    for op, given in ranges:
        assert (op.rows, op.slices, op.slice, op.end) == (given.rows, given.rows, given.slice, given.end)


def test_ranges_cost_what_the_product_costs(native):
    made = network("relu")
    one, two, many = (sum(cost(op, plan.tensors, plan.batch) for op in plan.ops if op.kernel == "affine_fwd")
                      for plan in (made.plan("predict", batch=batch) for batch in (1, 2, 17)))
    assert 0.45 < one / two < 0.6 and 8 < many / two < 9


def test_ranges_of_others_wait():
    """A part that reads what another one's range has made begins a phase, and an op without ranges too."""
    made = network("relu")
    b = planner._Builder(made.network, 1)
    b.work("y", "m", 64)
    b.work("z", "m", 64)

    def relu(to, of, begin, end, index):
        places = (OneRow(name, begin, end, flat=True) for name in (to, of))
        return b._op("activation_fwd", (*places, 0, 0.0), "", rows=2 if index is not None else 0, slice=index)

    def ends(*ops):
        return [op.end for op in phases.schedule(ops, b.tensors, 1, len(ops))]

    assert ends(relu("y", "z", 0, 32, 0), relu("y", "z", 32, 64, 1)) == [2, 2]
    assert ends(relu("y", "z", 0, 32, 0), relu("z", "y", 0, 32, 0)) == [2, 2]
    assert ends(relu("y", "z", 0, 32, 0), relu("z", "y", 0, 32, 1)) == [1, 2]
    assert ends(relu("y", "z", 0, 32, 0), relu("z", "y", 32, 64, 1)) == [2, 2]
    assert ends(relu("y", "z", 0, 32, 0), relu("y", "z", 32, 64, None)) == [1, 2]


# ---- the numbers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_row_alone_is_the_row_among_many(native, name, dtype):
    made, x = network(name, dtype), rows(17, dtype)
    among = made.predict(x)
    for i in range(len(x)):
        for given in (x[i : i + 1], x[i : i + 1].astype(np.float64), np.asfortranarray(x)[i : i + 1]):
            for _ in range(2):
                assert near(made.predict(given), among[i : i + 1])
    assert len(split(made)) >= 2


@pytest.mark.parametrize("lost", ["the last inputs", "a range of the next layer", "inputs twice"])
def test_wrong_ranges_are_seen(native, lost, monkeypatch):
    made, x = network("relu"), rows(1)
    among = made.predict(np.repeat(x, 17, axis=0))[:1]
    right = split_k.ranges

    def wrong(chain, batch, dtype):
        found = right(chain, batch, dtype)
        first, second = found["dense"], found["dense_1"]
        if lost == "the last inputs":
            first[-1] = (first[-1][0], first[-1][1] - 1)
        elif lost == "a range of the next layer":
            second.pop()
        else:
            first[1] = (first[1][0] - 1, first[1][1])
        return found

    monkeypatch.setattr(split_k, "ranges", wrong)
    assert not near(made.predict(x), among)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("parts", [0, 2, 3, 7])
def test_any_number_of_threads(native, name, parts):
    wanted = network(name).predict(rows(1))
    native.force_parts(parts)
    for threads in (1, 2, 5):
        fn.set_num_threads(threads)
        made = network(name)
        for _ in range(3):
            assert made.predict(rows(1)).tobytes() == wanted.tobytes()


@pytest.mark.parametrize("name", NETWORKS)
def test_both_walkers_say_the_same(native, name, monkeypatch):
    wanted = network(name).predict(rows(1))
    monkeypatch.setattr(interp, "walker", interp.Walker)
    made = network(name)
    for _ in range(3):
        assert made.predict(rows(1)).tobytes() == wanted.tobytes()
    assert isinstance(made._predictor._kept[1, FEATURES], interp.Forward)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("n", [2, 3, 16])
def test_few_rows_are_those_among_many(native, name, dtype, n, monkeypatch):
    made, x = network(name, dtype), rows(17, dtype)
    among = made.predict(x)
    for _ in range(2):
        assert near(made.predict(x[:n]), among[:n])
    assert near(made.predict(x, batch_size=n), among)  # the last batch has fewer
    wanted = made.predict(x[:n])
    for parts in (2, 3, 4, 7):
        native.force_parts(parts)
        fn.set_num_threads(parts)
        assert network(name, dtype).predict(x[:n]).tobytes() == wanted.tobytes()
    monkeypatch.setattr(interp, "walker", interp.Walker)
    assert network(name, dtype).predict(x[:n]).tobytes() == wanted.tobytes()


def test_rows_one_by_one_go_through_their_array(native):
    made, x = network("relu"), rows(7)
    found = made.predict(x, batch_size=1)
    assert any(isinstance(argument, Columns) for op in split(made) for argument in op.arguments)
    for i in range(len(x)):
        assert found[i].tobytes() == made.predict(x[i : i + 1])[0].tobytes()


def test_what_is_not_finite_comes_out(native):
    made, x = network("relu"), rows(1)
    made.predict(x)
    made.memory.parameters["dense/kernel"][3, 5] = np.inf
    among = made.predict(np.repeat(x, 17, axis=0))[:1]
    assert np.isnan(among).any() and np.array_equal(np.isnan(made.predict(x)), np.isnan(among))
