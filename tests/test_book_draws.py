"""fusednet.book's masks: the numbers of np.random.rand, from NumPy's own state, whatever else is drawn."""

import os
import threading
from functools import partial

import numpy as np
import pytest

from fusednet.backends import ref_numpy
from fusednet.book import _draws
from fusednet.book._draws import draw_kept

SHAPES = [(), (0,), (1,), (7, 3), (100, 100)]


@pytest.fixture
def generator():
    """np.random's bit generator, put back afterwards."""
    before = np.random.get_bit_generator()
    yield before
    np.random.set_bit_generator(before)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("between", [int, np.random.randn, partial(np.random.choice, 9), partial(np.random.seed, 8)])
def test_masks_are_those_of_rand_and_so_is_what_follows(dtype, between):
    np.random.seed(3)
    masks = []
    for shape in SHAPES:
        masks.append(draw_kept(np.full(shape, np.nan, dtype), 0.3))
        between()
    after = np.random.rand(3)
    np.random.seed(3)
    for shape, mask in zip(SHAPES, masks, strict=True):
        assert mask.dtype == dtype and mask.shape == shape
        np.testing.assert_array_equal(mask, np.random.rand(*shape) > 0.3)
        between()
    np.testing.assert_array_equal(after, np.random.rand(3))


def test_masks_follow_a_state_that_is_set():
    np.random.seed(1)
    state = np.random.get_state()
    first = draw_kept(np.empty(1000), 0.5)
    assert (draw_kept(np.empty(1000), 0.5) != first).any()
    np.random.set_state(state)
    np.testing.assert_array_equal(draw_kept(np.empty(1000), 0.5), first)


@pytest.mark.parametrize("other", [np.random.MT19937(5), np.random.PCG64(5)], ids=["the same kind", "another kind"])
def test_masks_are_of_the_generator_that_is_set(other, generator):
    np.random.set_bit_generator(other)
    before = other.state
    mask = draw_kept(np.empty(1000), 0.5)
    other.state = before
    np.testing.assert_array_equal(mask, np.random.rand(1000) > 0.5)


def test_a_state_that_lies_otherwise_is_left_to_numpy(monkeypatch):
    class Elsewhere:
        """A generator whose state is not where it says."""

        def __init__(self):
            self.words = np.zeros(625, np.int32)
            self.ctypes = type("", (), {"state_address": self.words.ctypes.data})
            self.state = {"state": np.random.MT19937(1).state["state"]}

    made = Elsewhere()
    monkeypatch.setattr(np.random, "MT19937", Elsewhere)
    assert _draws._State(made).words is None
    made.words[:] = np.append(made.state["state"]["key"], np.uint32(made.state["state"]["pos"])).view(np.int32)
    assert _draws._State(made).words is not None


def test_no_number_is_drawn_twice_by_threads():
    np.random.seed(4)
    drawn = [[] for _ in range(4)]

    def draw(mine):
        for _ in range(50):
            mine.append(draw_kept(np.empty(624), 0.5))

    threads = [threading.Thread(target=draw, args=(mine,)) for mine in drawn]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    np.random.seed(4)
    expected = sorted((np.random.rand(624) > 0.5).tobytes() for _ in range(200))
    assert sorted((mask != 0).tobytes() for mine in drawn for mask in mine) == expected


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_draws_on_from_where_its_parent_was():
    np.random.seed(6)
    draw_kept(np.empty(10), 0.5)
    child = os.fork()
    if child == 0:
        mask = draw_kept(np.empty(1000), 0.5)
        np.random.seed(6)
        np.random.rand(10)
        os._exit(int((mask != (np.random.rand(1000) > 0.5)).any()))
    assert os.waitpid(child, 0)[1] == 0


def test_the_numpy_table_draws_the_same(monkeypatch):
    np.random.seed(2)
    mask = draw_kept(np.empty(99), 0.4)
    monkeypatch.setattr(_draws.backends, "current", ref_numpy.table)
    np.random.seed(2)
    np.testing.assert_array_equal(draw_kept(np.empty(99), 0.4), mask)
