"""The two walkers of a plan, and the tables under them: the same bits, or the same numbers, for whole trainings.

Reads trainings.py. The C loop (csrc/engine/run.c) and backends/interp.py are held together on the native table, after
every op of a step and after whole fits; the NumPy and Numba tables are held to the native one by a tolerance.

a) "After every op" is a plan that is cut off there: whatever arrays and arena then hold has to be the same.
b) Memory that nobody has written is 0x00 in one run and 0xff (NaN) in another, anew before each step.
c) Parts are forced (`native.force_parts`) where a network is too small to be divided. On a team of one thread they are
   done one after the other: whatever a part of a phase needs of another part is then not there yet.
"""

import threading
from dataclasses import replace

import numpy as np
import pytest
from trainings import MIXED, OUTPUTS, TRAININGS, Training, data, drawn, model

import fusednet as fn
from fusednet import backends, bind, phases, runner, trainer
from fusednet.backends.table import parts
from fusednet.cursor import EPOCH_STEP, OP, POSITION, STEP, fresh
from fusednet.runner import NotFinite, Runner

ROWS, BATCH = 40, 16
TAIL = 32
"""Where the last batch of a pass begins, which is smaller."""
THREADS = (1, 2, 3, 8)
TABLES = {"float32": 2e-5, "float64": 1e-12}
"""Of the largest element of each array, after nine steps on another table."""


def _custom(y_true, y_pred):
    d = y_pred - y_true
    return (d**4).sum(axis=1), 4 * d**3


_CUSTOM = Training("custom-loss", (fn.Dense(9, activation="tanh"), fn.Dense(OUTPUTS)), fn.Adam(0.01),
                   fn.losses.Custom(_custom), weighted=True)
WALKED = (*TRAININGS, _CUSTOM)
SOME = tuple(t for t in WALKED if t.name in {
    "mixed", "custom-loss", "batch_norm-dropout", "dropout-twice", "normalization-uint8", "regularizer-l1l2", "frozen",
    "loss-binary-weighted", "loss-categorical-soft-weighted", "adam-all", "nesterov-clipnorm", "sgd-ema", "one-layer",
})  # fmt: skip


pytestmark = pytest.mark.usefixtures("native_on_one_thread")


def metrics_of(training: Training) -> tuple[str, ...]:
    return ("mse", "mae") if training.loss.takes == "values" else ("accuracy",)


# ---- op by op --------------------------------------------------------------------------------------------------------


def planned(made, training: Training, shuffled: bool):
    """Data and the plan of a step for them."""
    x, y, weight = data(training, ROWS)
    given = made.prepare(x, y, sample_weight=weight)
    plan = made.plan("train", given.feed(ordered=shuffled), BATCH)
    made.memory.prepare(made.optimizer_spec, gradients=plan.gradients)
    return given, plan


def walk(training: Training, dtype: str, *, count: int | None = None, without: int | None = None, position: int = 0,
         steps: int = 1, pattern: int = 0xff, shuffled: bool = True) -> dict[str, np.ndarray]:
    """All memory after the first `count` ops of a step (None: all), each step begun on an arena of `pattern`."""
    made = model(training, dtype, begun=True, metrics=metrics_of(training))
    given, plan = planned(made, training, shuffled)
    ops = plan.ops[:count]
    commit = min(plan.commit, len(ops))
    if without is not None:
        ops, commit = ops[:without] + ops[without + 1 :], commit - (without < commit)
    cursor = made.left.cursor.copy()
    cursor[POSITION] = position
    walker = Runner(replace(plan, ops=ops, commit=commit), made.memory, given.source(shuffled=shuffled), cursor=cursor,
                    seed=made.seeds["order"], scalars=made.scalars)
    arena = made.memory.arena(plan.arena, plan.mode)
    for _ in range(steps):
        arena.fill(pattern)
        for vector in (made.memory.grads, *made.memory.slices):
            for gradient in made.memory.views(vector).values():
                gradient.view(np.uint8).fill(pattern)
        walker.advance(1, leave=trainer.leave(training.loss))
    numbers = {"cursor": cursor, "sums": walker.sums[1:]}  # without the seconds
    return numbers | made.memory.arrays() | {"arena": arena}


def same_bits(a: dict[str, np.ndarray], b: dict[str, np.ndarray], besides=()) -> None:
    """Raise AssertionError unless the arrays are the same to the bit."""
    assert a.keys() == b.keys()
    for name in a.keys() - set(besides):
        assert a[name].tobytes() == b[name].tobytes(), f"{name} differs"


def op_by_op(training: Training, dtype: str, in_python, shuffled: bool, position: int) -> None:
    made = model(training, dtype, metrics=metrics_of(training))
    _, plan = planned(made, training, shuffled)
    for count in range(1, len(plan.ops) + 1):
        if plan.ops[count - 1].kernel == "leave":
            continue  # done by neither walker, but after it
        results = []
        for python in (False, True):
            in_python(python)
            results.append(walk(training, dtype, count=count, position=position, shuffled=shuffled))
        try:
            same_bits(*results)
        except AssertionError as problem:
            raise AssertionError(f"after op {count - 1}, {plan.ops[count - 1].kernel}: {problem}") from None


@pytest.mark.parametrize("training", WALKED, ids=str)
def test_walkers_agree_after_every_op(training, in_python):
    op_by_op(training, "float32", in_python, shuffled=True, position=0)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("training", SOME, ids=str)
def test_walkers_agree_after_every_op_on_data_where_they_lie(training, in_python, dtype):
    op_by_op(training, dtype, in_python, shuffled=False, position=TAIL)


def test_a_missing_op_is_seen():
    made = model(MIXED, metrics=metrics_of(MIXED))
    _, plan = planned(made, MIXED, True)
    whole = walk(MIXED, "float32")
    for i, op in enumerate(plan.ops):
        if op.kernel == "check":
            continue
        with pytest.raises((AssertionError, NotFinite)):
            same_bits(walk(MIXED, "float32", without=i), whole)
            pytest.fail(f"op {i}, {op.kernel}: not seen", pytrace=False)


# ---- memory that nobody has written ----------------------------------------------------------------------------------


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("training", (*WALKED, *map(drawn, range(80))), ids=str)
def test_what_the_arena_held_before_does_not_matter(training, shuffled):
    zeros, ones = (walk(training, "float32", steps=4, pattern=p, shuffled=shuffled) for p in (0x00, 0xff))
    same_bits(zeros, ones, besides=["arena"])


def test_a_gradient_that_is_not_written_is_seen():
    made = model(MIXED, metrics=metrics_of(MIXED))
    _, plan = planned(made, MIXED, True)
    products = [i for i, op in enumerate(plan.ops) if op.kernel == "affine_bwd_dw"]
    assert len(products) == 4
    for i in products:
        walk(MIXED, "float32", without=i, pattern=0x00)
        with pytest.raises(NotFinite):
            walk(MIXED, "float32", without=i, pattern=0xff)


# ---- whole fits ------------------------------------------------------------------------------------------------------


def fitted(training: Training, dtype: str = "float32", *, shuffle: bool = True, split: float = 0.0, rows: int = ROWS):
    """All that lasts after three epochs, and the history."""
    made = model(training, dtype, metrics=metrics_of(training))
    x, y, weight = data(training, rows)
    history = made.fit(x, y, batch_size=BATCH, epochs=3, shuffle=shuffle, validation_split=split, sample_weight=weight)
    assert not history.stopped
    arrays = {name: array for name, array in made.memory.arrays().items() if not name.startswith("grads")}
    return arrays | {name: np.array(values) for name, values in history.history.items()}


def in_any_parts(training: Training, forced_parts, counts, rows: int) -> None:
    """Raise AssertionError unless fits in so many parts, at a time and one by one, give the bits of a whole."""
    whole = fitted(training, rows=rows)
    for count in counts:
        forced_parts(count)
        same_bits(fitted(training, rows=rows), whole)
        forced_parts(count, team=1)  # one part after the other: none may need another
        same_bits(fitted(training, rows=rows), whole)


@pytest.mark.parametrize("training", SOME, ids=str)
@pytest.mark.parametrize(("shuffle", "split"), [(True, 0.0), (False, 0.0), (True, 0.3), (False, 0.3)])
def test_walkers_agree_over_a_fit(training, shuffle, split, in_python):
    results = []
    for python in (False, True):
        in_python(python)
        results.append(fitted(training, shuffle=shuffle, split=split))
    same_bits(*results)


@pytest.mark.parametrize("python", [False, True])
def test_calls_that_end_early_change_nothing(python, in_python, monkeypatch):
    in_python(python)
    whole = fitted(MIXED, rows=400)
    monkeypatch.setattr(runner, "SECONDS", 0.0)
    calls = []
    call = Runner._call
    monkeypatch.setattr(Runner, "_call", lambda self, *arguments: calls.append(1) or call(self, *arguments))
    same_bits(fitted(MIXED, rows=400), whole)
    assert len(calls) > (100 if python else 1)  # the C loop looks at the clock after some work only


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_tables_agree_over_a_fit(backend, dtype):
    for training in TRAININGS:
        backends.select("native")
        native = fitted(training, dtype)
        backends.select(backend)
        close(fitted(training, dtype), native, TABLES[dtype], training.name)


def close(a: dict[str, np.ndarray], b: dict[str, np.ndarray], tolerance: float, name: str) -> None:
    assert a.keys() == b.keys()
    for what, array in b.items():
        error = np.abs(a[what] - array).max() / max(np.abs(array).max(), 1e-30)
        assert error <= tolerance, f"{name}: {what} is off by {error:.3g}"


def test_another_training_is_not_close():
    native = fitted(MIXED, "float64")
    other = replace(MIXED, optimizer=replace(MIXED.optimizer, beta_1=0.9 + 1e-8))
    with pytest.raises(AssertionError):
        close(fitted(other, "float64"), native, TABLES["float64"], "mixed")
    other = replace(MIXED, optimizer=replace(MIXED.optimizer, learning_rate=0.0101))
    with pytest.raises(AssertionError):
        close(fitted(other), fitted(MIXED), TABLES["float32"], "mixed")


# ---- threads ---------------------------------------------------------------------------------------------------------


def _large() -> fn.Sequential:
    layers = [fn.Dense(256, use_bias=False), fn.BatchNormalization(), fn.ReLU(), fn.Dropout(0.3),
              fn.Dense(256, activation="gelu"), fn.BatchNormalization(), fn.Dropout(0.2), fn.Dense(10)]
    made = fn.Sequential(layers, seed=3)
    made.compile(fn.Adam(1e-3, global_clipnorm=1.0), "sparse_categorical_crossentropy", ["accuracy"])
    return made


def test_any_number_of_threads_gives_the_same_bits(monkeypatch):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((600, 128)).astype(np.float32), rng.integers(0, 10, 600)
    seen: set[int] = set()
    monkeypatch.setattr(bind, "parts", lambda cost, n: seen.add(parts(cost, n)) or parts(cost, n))
    first = None
    for count in THREADS:
        seen.clear()
        fn.set_num_threads(count)
        made = _large()
        history = made.fit(x, y, batch_size=256, epochs=3, validation_split=0.1)
        assert max(seen) == count  # the work is divided
        arrays = made.memory.arrays() | {name: np.array(values) for name, values in history.history.items()}
        arrays["predicted"] = made.predict(x)
        first = first or arrays
        same_bits(arrays, first)


@pytest.mark.parametrize("training", WALKED, ids=str)
def test_any_number_of_parts_gives_the_same_bits(training, forced_parts):
    whole = fitted(training, split=0.3)
    for count in (2, 3, 8):
        forced_parts(count)
        same_bits(fitted(training, split=0.3), whole)


@pytest.mark.parametrize("training", WALKED, ids=str)
def test_no_part_waits_for_another_within_a_phase(training, forced_parts):
    whole = fitted(training, split=0.3)
    for count in (2, 3, 8):
        forced_parts(count, team=1)
        same_bits(fitted(training, split=0.3), whole)


@pytest.mark.parametrize("training", SOME, ids=str)
def test_a_phase_that_is_too_long_is_seen(training, forced_parts, monkeypatch):
    whole = fitted(training)
    monkeypatch.setattr(phases._Access, "overlaps", lambda self, other: False)
    forced_parts(3, team=1)
    with pytest.raises((AssertionError, NotFinite)):
        same_bits(fitted(training), whole)


@pytest.mark.parametrize("training", SOME, ids=str)
def test_any_number_of_parts_gives_the_same_bits_in_python(training, in_python, forced_parts):
    in_python(True)
    whole = fitted(training)
    for count in (2, 3, 8):
        forced_parts(count)
        same_bits(fitted(training), whole)


# ---- what the C loop does not go into --------------------------------------------------------------------------------


def _native_run(steps: int | None = None):
    """A runner of the C loop, 40 rows in batches of 16, and its cursor."""
    training = next(t for t in TRAININGS if t.name == "one-layer")
    made = model(training, "float32", begun=True)
    given, plan = planned(made, training, True)
    cursor = fresh()
    source = given.source(shuffled=True)
    return Runner(plan, made.memory, source, cursor=cursor, scalars=made.scalars, steps_per_epoch=steps), cursor


@pytest.mark.parametrize(("place", "value"), [
    (POSITION, -BATCH), (POSITION, 1), (POSITION, ROWS), (POSITION, 1 << 40),
    (EPOCH_STEP, -1), (EPOCH_STEP, 3), (OP, -1), (OP, 1000)])
def test_a_cursor_where_no_run_is_is_refused(place, value):
    walker, cursor = _native_run()
    walker.advance(1)
    before = cursor.copy()
    cursor[place] = value
    with pytest.raises(ValueError, match=r"the cursor is at row .*, which a run of 40 rows in batches of 16, 3 steps"):
        walker._run.advance(walker.numbers(1), 1.0)
    cursor[:] = before
    walker.advance(1)


def test_numbers_that_are_missing_are_refused():
    walker, _ = _native_run()
    with pytest.raises(ValueError, match="scalars has 0 columns, the programs take"):
        walker._run.advance(np.empty((1, 0)), 1.0)


def test_a_run_is_walked_by_one_thread():
    walker, cursor = _native_run(1 << 40)  # and no end of an epoch at which the call would come back
    numbers, ended = walker.numbers(1 << 20), []  # more steps than there is time for
    first = threading.Thread(target=lambda: ended.append(walker._run.advance(numbers, 0.5)))
    first.start()
    while not cursor[STEP]:
        pass
    with pytest.raises(RuntimeError, match="under way in another thread"):
        walker._run.advance(numbers[:1], 1.0)
    first.join()
    assert ended[0][1] == cursor[STEP]
    walker.advance(1)
