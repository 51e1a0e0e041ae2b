"""Learning-rate schedules against the formulas of their sources, written out one step at a time.

a) The twins below are Keras's and PyTorch's code in plain Python, without arrays; a schedule is compared with its twin
   at every step and beyond the last.
b) A comparison is shown to fail on a rate that is off by one step.
"""

import math

import numpy as np
import pytest

import fusednet as fn
from fusednet import schedules as s


def keras_piecewise(step, boundaries, values):
    for boundary, value in zip(boundaries, values[:-1], strict=True):
        if step <= boundary:
            return value
    return values[-1]


def keras_exponential(step, rate, decay_steps, decay_rate, staircase=False):
    p = step / decay_steps
    return rate * decay_rate ** (math.floor(p) if staircase else p)


def keras_cosine(step, rate, decay_steps, alpha=0.0, warmup_steps=0, warmup_target=None):
    def decay(step, top):
        return top * ((1 - alpha) * 0.5 * (1 + math.cos(math.pi * step / decay_steps)) + alpha)

    if warmup_target is None:
        return decay(min(step, decay_steps), rate)
    step = min(step, decay_steps + warmup_steps)
    if step < warmup_steps:
        return (warmup_target - rate) * (step / warmup_steps) + rate
    return decay(step - warmup_steps, warmup_target)


def torch_step(step, rate, step_size, gamma=0.1):
    for t in range(1, step + 1):
        if t % step_size == 0:
            rate = rate * gamma
    return rate


def torch_one_cycle(step, top, total, pct_start=0.3, div_factor=25.0, final_div_factor=1e4, anneal="cos"):
    def between(start, end, pct):
        if anneal == "linear":
            return (end - start) * pct + start
        return end + (start - end) / 2.0 * (math.cos(math.pi * pct) + 1)

    first = top / div_factor
    phases = [
        (float(pct_start * total) - 1, first, top),
        (total - 1, top, first / final_div_factor),
    ]
    step = min(step, total - 1)  # PyTorch raises on later steps
    start_step = 0
    for i, (end_step, start, end) in enumerate(phases):
        if step <= end_step or i == len(phases) - 1:
            return between(start, end, (step - start_step) / (end_step - start_step))
        start_step = end_step


PAIRS = [
    (s.Constant, lambda step, rate: rate, (0.5,), {}),
    (s.StepDecay, torch_step, (0.3, 4), {}),
    (s.StepDecay, torch_step, (0.3, 1, 0.9), {}),
    (s.PiecewiseConstant, keras_piecewise, ((3, 5, 20), (1.0, 0.5, 0.25, 0.0)), {}),
    (s.PiecewiseConstant, keras_piecewise, ((), (0.1,)), {}),
    (s.ExponentialDecay, keras_exponential, (0.1, 7, 0.9), {}),
    (s.ExponentialDecay, keras_exponential, (0.1, 7, 0.9, True), {}),
    (s.CosineDecay, keras_cosine, (0.1, 20), {}),
    (s.CosineDecay, keras_cosine, (0.1, 20, 0.05), {}),
    (s.CosineDecay, keras_cosine, (0.0, 20), {"warmup_steps": 6, "warmup_target": 0.2}),
    (s.CosineDecay, keras_cosine, (0.01, 20, 0.1), {"warmup_steps": 0, "warmup_target": 0.2}),
    (s.OneCycle, torch_one_cycle, (0.1, 30), {}),
    (s.OneCycle, torch_one_cycle, (0.1, 30), {"anneal": "linear", "pct_start": 0.45}),
    (s.OneCycle, torch_one_cycle, (0.1, 10, 0.0, 10.0, 100.0), {}),
    (s.OneCycle, torch_one_cycle, (0.1, 7, 0.31), {}),
]


@pytest.mark.parametrize("schedule, twin, args, options", PAIRS)
def test_schedule_is_its_source_at_every_step(schedule, twin, args, options):
    steps = np.arange(45)
    rates = schedule(*args, **options)(steps)
    expected = np.array([twin(int(t), *args, **options) for t in steps])
    assert rates.dtype == np.float64
    np.testing.assert_allclose(rates, expected, rtol=1e-12, atol=1e-18)
    if len(set(expected)) > 1:
        with pytest.raises(AssertionError):
            np.testing.assert_allclose(schedule(*args, **options)(steps + 1), expected, rtol=1e-12, atol=1e-18)


@pytest.mark.parametrize("schedule, twin, args, options", PAIRS)
def test_schedule_takes_any_part_of_the_steps(schedule, twin, args, options):
    schedule = schedule(*args, **options)
    whole = schedule(np.arange(40))
    np.testing.assert_array_equal(schedule(np.arange(11, 25)), whole[11:25])
    np.testing.assert_array_equal(schedule(np.arange(12).reshape(3, 4)), whole[:12].reshape(3, 4))
    assert schedule(13).shape == () and schedule(13) == whole[13]
    assert schedule(np.arange(0)).shape == (0,)


def test_one_cycle_at_its_edges():
    assert s.OneCycle(1.0, 10, pct_start=1.0)(np.arange(12))[9:].tolist() == [1.0, 1.0, 1.0]
    peak_first = s.OneCycle(1.0, 10, pct_start=0.1)(np.arange(10))  # PyTorch divides by zero here
    assert peak_first[0] == 1.0 and peak_first[-1] == pytest.approx(1 / 25e4)
    assert np.isfinite(s.OneCycle(1.0, 2)(np.arange(4))).all()


def test_far_steps_stay_finite():
    far = np.array([0, 10**6, 10**12])
    for schedule, _, args, options in PAIRS:
        assert np.isfinite(schedule(*args, **options)(far)).all()


def test_schedules_are_frozen_and_equal_by_value():
    a = s.CosineDecay(0.1, 10)
    assert a == s.CosineDecay(0.1, np.int64(10)) and hash(a) == hash(s.CosineDecay(0.1, 10))
    assert a != s.CosineDecay(0.1, 11)
    with pytest.raises(AttributeError):
        a.alpha = 0.5
    assert s.PiecewiseConstant([1], [0.1, 0.2]) == s.PiecewiseConstant((1,), (0.1, 0.2))
    assert set(s.SCHEDULES) == {type_.__name__ for type_, *_ in PAIRS}


def test_resolve_takes_numbers_schedules_and_functions():
    assert s.resolve(0.1) == s.resolve(np.float64(0.1)) == s.resolve(np.array(0.1)) == s.Constant(0.1)
    assert s.resolve(1) == s.Constant(1.0)
    one = s.OneCycle(0.1, 10)
    assert s.resolve(one) is one
    seen = []

    def halves(step):
        seen.append(step)
        return 0.5**step

    np.testing.assert_array_equal(s.resolve(halves)(np.arange(3)), [1.0, 0.5, 0.25])
    assert seen == [0, 1, 2] and all(type(step) is int for step in seen)


@pytest.mark.parametrize(
    "value, error, message",
    [
        (-0.1, ValueError, r"^SGD: learning_rate is -0.1; wanted a finite number above 0$"),
        (0, ValueError, "learning_rate is 0; wanted"),
        (math.nan, ValueError, "learning_rate is nan; wanted"),
        (math.inf, ValueError, "learning_rate is inf; wanted"),
        ("fast", TypeError, "learning_rate is 'fast'; wanted a number above 0, a schedule .*OneCycle.*, or a function"),
        (None, TypeError, "learning_rate is None; wanted"),
        (True, TypeError, "learning_rate is True; wanted"),
        (s.OneCycle, TypeError, "OneCycle.*; wanted a number"),
    ],
)
def test_resolve_refuses(value, error, message):
    with pytest.raises(error, match=message):
        s.resolve(value, "SGD")


@pytest.mark.parametrize("rate", [-1.0, math.nan, math.inf, "x", None])
def test_what_a_function_gives_is_checked(rate):
    def slow(step):
        return rate if step == 2 else 0.1

    schedule = s.resolve(slow)
    schedule(np.arange(2))
    with pytest.raises((ValueError, TypeError), match=r"learning_rate at step 2: slow\(2\) is"):
        schedule(np.arange(3))


@pytest.mark.parametrize(
    "make, error, message",
    [
        (lambda: s.Constant(-1), ValueError, "Constant: learning_rate is -1"),
        (lambda: s.StepDecay(0.1, 0), ValueError, "StepDecay: step_size is 0; wanted 1 or more"),
        (lambda: s.StepDecay(0.1, 2.5), TypeError, "StepDecay: step_size is 2.5; wanted a whole number"),
        (lambda: s.StepDecay(0.1, 2, -1), ValueError, "StepDecay: gamma is -1"),
        (lambda: s.PiecewiseConstant((5, 5), (1, 2, 3)), ValueError, r"boundaries\[1\] is 5; wanted more than the 5"),
        (lambda: s.PiecewiseConstant((5,), (1,)), ValueError, "1 boundaries and 1 values; wanted one value more"),
        (lambda: s.PiecewiseConstant((5,), (1, math.nan)), ValueError, r"values\[1\] is nan"),
        (lambda: s.PiecewiseConstant(5, (1, 2)), TypeError, "boundaries is 5; wanted a list"),
        (lambda: s.ExponentialDecay(0.1, 0, 0.5), ValueError, "ExponentialDecay: decay_steps is 0"),
        (lambda: s.ExponentialDecay(0.1, 5, math.nan), ValueError, "ExponentialDecay: decay_rate is nan"),
        (lambda: s.ExponentialDecay(0.1, 5, 0.5, 1), TypeError, "ExponentialDecay: staircase is 1"),
        (lambda: s.CosineDecay(0.0, 5), ValueError, "CosineDecay: initial_learning_rate is 0"),
        (lambda: s.CosineDecay(0.1, 5, 1.5), ValueError, r"CosineDecay: alpha is 1.5; wanted a number in \[0, 1\]"),
        (lambda: s.CosineDecay(0.1, 5, warmup_steps=3), ValueError, "warmup_steps is 3, but warmup_target is None"),
        (lambda: s.CosineDecay(0.1, 5, 0, 3, -1.0), ValueError, "CosineDecay: warmup_target is -1"),
        (lambda: s.OneCycle(0.1, 1), ValueError, "OneCycle: total_steps is 1; wanted 2 or more"),
        (lambda: s.OneCycle(0.1, 9, 2), ValueError, "OneCycle: pct_start is 2"),
        (lambda: s.OneCycle(0.1, 9, anneal="cosine"), ValueError, "anneal is 'cosine'; known: cos, linear"),
        (lambda: s.Custom(3), TypeError, "Custom: function is 3"),
    ],
)
def test_bad_schedules_are_refused_when_made(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_a_function_is_asked_for_no_step_that_is_not_made():
    asked = []

    def rate(step):
        asked.append(step)
        return [0.4, 0.3, 0.2, 0.1][step]

    model = fn.Sequential([fn.Dense(1)])
    model.compile(fn.SGD(rate), "mse")
    history = model.fit(np.ones((8, 2)), np.ones(8), batch_size=4, epochs=2)
    assert history.history["learning_rate"] == [0.3, 0.1]
    assert set(asked) == {0, 1, 2, 3}
