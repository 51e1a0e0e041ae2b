"""How finely a run shares out its ops (csrc/engine/share.c): the grain that is fastest wins, and is found again.

What steps take is made up here, so that no test depends on a time. That parts change no bit is in test_walkers.py.
"""

import numpy as np
import pytest

import fusednet as fn
from fusednet import backends, runner, threads

if "native" not in backends.available():
    pytest.skip("no native table", allow_module_level=True)

from fusednet._native import sharing

SMALL = [1_000, 8_000, 8_000, 8_000, 30_000, 150_000, 600_000]
"""Cycles of ops that every grain divides differently."""
TRIAL, BEFORE = 16 * 5, 16
"""Steps of a trial, and before the first one."""


def _handover(cycles: float):
    """A step in which an op takes its cycles over its parts, and `cycles` more where it is shared."""
    return lambda step, parts: 1e-9 * sum(c / p + cycles * (p > 1) for c, p in zip(SMALL, parts, strict=True))


def _parts_in_use(taken) -> list:
    return [parts for parts, measured in taken if not measured]


@pytest.mark.parametrize(("handover", "parts"), [
    (500, [1, 2, 2, 2, 2, 2, 2]), (10_000, [1, 1, 1, 1, 2, 2, 2]), (50_000, [1, 1, 1, 1, 1, 2, 2]),
    (200_000, [1, 1, 1, 1, 1, 1, 2]),
    (10**9, [1, 1, 1, 1, 1, 1, 1])])
def test_the_fastest_grain_is_used(handover, parts):
    taken = sharing(SMALL, 2, BEFORE + 1_000, _handover(handover))
    used = _parts_in_use(taken[BEFORE:])
    assert len(used) >= 600 and all(p == parts for p in used)


def test_a_trial_is_short_and_comes_again():
    taken = sharing(SMALL, 2, 20_000, _handover(500))
    measured = [i for i, (_, m) in enumerate(taken) if m]
    assert measured[0] == BEFORE and max(measured) > 5_000
    assert len(measured) < 0.05 * len(taken)
    trials = [i for i in measured if i - 1 not in measured]
    pauses = np.diff(trials)
    assert all(pauses[1:] >= pauses[:-1]) and pauses[4] > 8 * pauses[0] and pauses[0] <= 2 * TRIAL


def test_what_became_slow_is_left():
    def seconds(step, parts):
        return _handover(500 if step < 1_000 else 10**9)(step, parts)

    taken = sharing(SMALL, 2, 30_000, seconds)
    assert taken[900][0] == [1, 2, 2, 2, 2, 2, 2] and taken[-1][0] == [1, 1, 1, 1, 1, 1, 1]


def test_trials_come_again_where_the_clock_sees_no_time():
    taken = sharing(SMALL, 2, 20_000, lambda step, parts: 0.0)
    assert sum(measured for _, measured in taken) > 4 * TRIAL


def test_some_long_steps_do_not_decide():
    def seconds(step, parts):
        return _handover(500)(step, parts) + 1.0 * (step % 3 == 0)

    assert set(map(tuple, _parts_in_use(sharing(SMALL, 2, BEFORE + 400, seconds)[BEFORE:]))) == {(1, 2, 2, 2, 2, 2, 2)}


def test_a_hopeless_grain_is_given_up_early():
    taken = sharing(SMALL, 2, BEFORE + 4 * 16 + 4, _handover(10**9))
    best, others = [1] * 7, [parts for parts, measured in taken if measured]
    assert sum(parts != best for parts in others) == 3 * 16 + 4 and others.count(best) == 16


@pytest.mark.parametrize("costs", [[100, 200], [10**7], [10**7, 10**7, 5_000], []], ids=str)
def test_nothing_is_measured_where_no_choice_matters(costs):
    taken = sharing(costs, 4, 50, lambda step, parts: pytest.fail("measured"))
    assert taken == 50 * [([4 if cost > 10**6 else 1 for cost in costs], False)]


def test_a_new_run_begins_with_what_the_last_one_found():
    for handover, parts in ((10**9, [1, 1, 1, 1, 1, 1, 1]), (500, [1, 2, 2, 2, 2, 2, 2])):
        sharing(SMALL, 2, BEFORE + 400, _handover(handover))
        assert sharing(SMALL, 2, 1, None) == [(parts, False)]


def test_no_more_parts_than_threads_and_none_without_work():
    for parts, _ in sharing([0, 10**4, 10**5, 10**8], 8, 200, lambda step, parts: 1e-6):
        assert parts[0] == 1 and max(parts) <= 8 and parts[3] == 8


def test_a_trial_ends_where_steps_take_several_calls(monkeypatch):
    monkeypatch.setattr(backends, "_current", None)
    monkeypatch.setattr(runner, "SECONDS", 0.0)  # a call ends as soon as it looks at the clock, within steps too
    calls, runs = [], []
    call = runner.Runner._call
    monkeypatch.setattr(runner.Runner, "_call", lambda self, *given: calls.append(1) or runs.append(self._run)
                        or call(self, *given))
    backends.select("native")
    before = threads.get_num_threads()
    fn.set_num_threads(2)
    try:
        model = fn.Sequential([fn.Dense(256, "relu"), fn.Dense(64, "relu"), fn.Dense(8)], seed=0)
        model.compile("sgd", "mse")
        x = np.random.default_rng(0).standard_normal((256, 128)).astype(np.float32)
        steps = BEFORE + TRIAL + 10
        model.fit(x, x[:, :8], batch_size=256, epochs=steps, verbose=0)
    finally:
        fn.set_num_threads(before)
    ways, done = runs[-1].trial
    assert len(calls) > 2 * steps and ways > 1
    assert done == -1
