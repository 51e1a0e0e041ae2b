"""What a training takes: every byte of its arrays is accounted for, and nothing large comes and goes beside them.

Reads memory.py, planner.py (the arena) and the door. Bytes are counted, those of NumPy's arrays by tracemalloc, so they
are the same each time; what the process takes is measured by ``fusednet bench --memory``.

a) `WIDE` is the job `wide` at half its size: all its kernels are large, so their gradients are made in blocks.
"""

import gc
import tracemalloc

import numpy as np
import pytest

import fusednet as fn
from fusednet import backends, blocks, fuse, trainer
from fusednet.bench import memory, workloads

WIDE = workloads.Job(1024, (1536, 1536), 1000, "ce", "adam", 0.001, 64, 200)
JOBS = {
    "adam": WIDE,
    "momentum": workloads.Job(512, (1024, 1024), 1000, "ce", "momentum", 0.001, 64, 200),
    "sgd": workloads.Job(1000, (1024, 1024), 512, "mse", "sgd", 0.001, 64, 200),
    "short batch": workloads.Job(512, (1000, 1000), 1000, "ce", "adam", 0.001, 64, 200),
    "no large kernel": workloads.Job(512, (1000, 1000), 1000, "ce", "adam", 0.001, 1024, 2048),
    "large batch": workloads.Job(64, (256, 256, 256, 256), 10, "ce", "adam", 0.001, 2048, 4096),
}
SLACK = 300_000
"""Bytes of everything that is no array: plans, ops, histories."""


NATIVE = pytest.mark.skipif(backends.current().backend != "native", reason="the table in use makes arrays of its own")


def peak(call) -> int:
    """Bytes that NumPy and Python have at most during a call, beyond what they had."""
    gc.collect()
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", JOBS)
def test_a_model_has_parameters_moments_gradients_and_activations(name):
    job = JOBS[name]
    x, y = job.data()
    model = job.model()
    model.fit(x, y, batch_size=job.batch)
    least = memory.least(job)
    chain = fuse.chain(model.network, model.loss, training=True)
    divided = blocks.of(model.memory.layout, model.optimizer_spec, chain, job.batch, "float32")
    assert bool(divided) == (name in ("adam", "momentum", "sgd", "short batch"))
    of_vectors = least["parameters"] + least["moments"] + (0 if divided else least["gradients"])
    vectors = sum(array.nbytes for array in model.memory.arrays().values())
    assert of_vectors <= vectors <= 1.001 * of_vectors
    arena = model.memory.arena(0, "train").nbytes
    # beside the activations the gradients of two neighbours are there, and a block and all gradients without blocks
    most = least["activations"] + 4 * job.batch * (max(job.hidden) + max(job.hidden)) + 4 * 4096
    if divided:
        places = model.memory.layout.places
        most += sum(4 * at.size for weights, at in places.items() if weights not in divided)
        most += max(4 * (end - begin) * places[weights].shape[1] for weights in divided
                    for begin, end in divided[weights])
    assert least["activations"] <= arena <= most


def test_gradients_of_large_kernels_are_never_all_there():
    x, y = WIDE.data()
    model = WIDE.model()
    model.fit(x, y, batch_size=WIDE.batch)
    least = memory.least(WIDE)
    beside = least["parameters"] + least["moments"] + least["activations"]
    assert beside < memory.arrays(model) <= 1.10 * beside
    model.memory.make_gradients()  # the figure can be missed
    assert memory.arrays(model) > 1.25 * beside


@NATIVE
@pytest.mark.parametrize("name", JOBS)
@pytest.mark.parametrize("given", [{}, {"validation_split": 0.2, "verbose": 2}], ids=["", "validated"])
def test_nothing_large_comes_and_goes_beside_them(name, given):
    job = JOBS[name]
    x, y = job.data()
    job.model().fit(x[:64], y[:64])
    made = []

    def train():
        made.append(job.model())
        made[0].fit(x, y, batch_size=job.batch, epochs=2, **given)

    taken = peak(train)
    arrays = memory.arrays(made[0])
    print(f"\n{name}: {taken:,} bytes at most, arrays {arrays:,}")
    assert arrays <= taken <= 1.01 * arrays + SLACK + 16 * len(x)


@NATIVE
def test_a_callback_that_ends_a_training_may_change_the_weights_so_they_are_copied():
    x, y = WIDE.data()
    model = WIDE.model()
    taken = peak(lambda: model.fit(x, y, batch_size=WIDE.batch, callbacks=[fn.EarlyStopping("loss")]))
    assert taken <= 1.01 * memory.arrays(model) + model.memory.params.nbytes + SLACK


def test_what_comes_beside_them_is_seen():
    """The test above can fail: a copy of the weights in a callback is found."""
    x, y = WIDE.data()
    model = WIDE.model()
    hoard = fn.LambdaCallback(on_epoch_end=lambda epoch, logs: np.copy(model.memory.params))
    taken = peak(lambda: model.fit(x, y, batch_size=WIDE.batch, callbacks=[hoard]))
    assert taken > 1.1 * memory.arrays(model)


@NATIVE
def test_a_network_that_only_predicts_has_no_moments():
    model = WIDE.model()
    model.build(WIDE.features)
    x = WIDE.data()[0]
    taken = peak(lambda: model.predict(x))
    assert model.memory.grads is None and not model.memory.state
    assert taken <= 4 * len(x) * (WIDE.outputs + sum(WIDE.hidden)) + SLACK


@NATIVE
def test_weights_that_are_not_finite_are_found_without_a_copy():
    model = WIDE.model()
    model.build(WIDE.features)
    assert peak(lambda: model.memory.finite()) < 10_000 and model.memory.finite()
    for bad in (np.nan, np.inf):
        model.memory.params[-1] = bad
        assert not model.memory.finite()


@pytest.mark.parametrize("size", [1, trainer._COMPARED, 2 * trainer._COMPARED + 5])
def test_vectors_are_compared_to_the_last_number(size):
    a = np.random.default_rng(0).standard_normal(size)
    a[0] = np.nan
    assert trainer._same(a, a.copy())
    for place in {size - 1, size // 2}:
        b = a.copy()
        b[place] = 0.5
        assert not trainer._same(a, b)
