"""``fit`` and ``evaluate``: epochs, validation, callbacks, what stops a training and how it goes on.

Reads runner.py, plan.py, cursor.py, feed.py, callbacks, history.py; read by model.py, whose methods it is the body of.

a) The engine runs until the next thing that somebody in Python wants to see: without callbacks and validation that is
   the end of the training, many epochs away.
b) A training is its `Left`: cursor, sums of the epoch that was begun, states of callbacks and history. Together with
   weights and moments it is all that is needed to go on, bit for bit.
c) Whatever ends a training, it ends between two steps.
"""

import math
import sys
import threading
import time
import warnings
from collections.abc import Callable, Collection
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from fusednet import errors, plan
from fusednet.callbacks import CallbackList, ProgressBar
from fusednet.cursor import EPOCH, EPOCH_STEP, OP, PASS, POSITION, STEP, fresh
from fusednet.feed import Data
from fusednet.history import History
from fusednet.losses import Custom
from fusednet.runner import NotFinite, Progress, Runner

EVALUATION_BATCH = 1024
"""Rows at a time where nothing but the sum is wanted."""

STEP_ROWS = 32
"""Rows of a batch where batches are counted and nobody says how large they are."""

TEST_BATCH_METHODS = ("on_test_batch_begin", "on_test_batch_end")
PREDICT_BATCH_METHODS = ("on_predict_batch_begin", "on_predict_batch_end")

_COMPARED = 1 << 14  # numbers at a time


class TrainingWarning(UserWarning):
    """A training ended before its time."""


@contextmanager
def unchanged_by_errors(model):
    """Whatever is raised inside, while a training begins, leaves the model as it was."""
    names = ("memory", "network", "classes_", "feature_names_", "validation_indices_", "left", "training",
             "history", "stop_training")
    before, memory = {name: getattr(model, name) for name in names}, model.memory
    learnt = memory is not None and memory.normalized
    normalization = {name: array.copy() for name, array in memory.normalization.items()} if memory else {}
    try:
        yield
    except BaseException:
        if model.training is not None and model.training.undo is not None:
            model.training.undo()
        vars(model).update(before)
        if memory is not None:
            memory.normalized = learnt
            for name, array in normalization.items():
                memory.normalization[name][:] = array
        raise


@dataclass
class Left:
    """Where a training stands.

    Attributes
    ----------
    cursor : ndarray of int64
        As in csrc/include/run.h.
    sums : ndarray of float64
        Of the epoch that was begun.
    pending : list of ndarray
        Sums of epochs that have ended, of which neither history nor callbacks know.
    validated : dict of int to ndarray
        Sums of the validations after such epochs, by number of epoch.
    callbacks, history : dict
        Their states.
    setting : dict
        Rows, batch size and steps per epoch: what must be the same to go on.
    ended : bool
        Whether what comes after the last step (the average, ``on_train_end``) is done too.
    """

    cursor: np.ndarray = field(default_factory=fresh)
    sums: np.ndarray | None = None
    pending: list = field(default_factory=list)
    validated: dict = field(default_factory=dict)
    callbacks: dict = field(default_factory=dict)
    history: dict = field(default_factory=dict)
    setting: dict = field(default_factory=dict)
    ended: bool = False


@dataclass
class Schedule:
    """What ``fit`` was asked for, checked."""

    batch: int
    epochs: int
    initial_epoch: int
    steps_per_epoch: int | None
    validation_freq: object
    validation_interval: int | None
    max_time: float | None
    shuffle: bool | Callable[[int], np.ndarray]
    verbose: int
    resume: bool


def planned(*, batch_size, epochs, initial_epoch, steps_per_epoch, validation_freq, validation_interval, max_time,
            shuffle, verbose, resume) -> Schedule:
    """What ``fit`` was given, checked."""

    def whole(name, value, low):
        return None if value is None else errors.integer("fit", name, value, low)

    if verbose in ("auto", True, False):
        verbose = {"auto": 1, True: 1, False: 0}[verbose]
    if verbose not in (0, 1, 2):
        raise ValueError(f"fit: verbose is {verbose!r}; wanted 0, 1 or 2")
    if isinstance(validation_freq, (int, np.integer)):
        freq = errors.integer("fit", "validation_freq", validation_freq, 1)
    elif not isinstance(validation_freq, Collection) or isinstance(validation_freq, str):
        raise TypeError(f"fit: validation_freq is {validation_freq!r}; wanted a whole number or several")
    else:
        freq = frozenset(errors.integer("fit", "validation_freq", epoch, 1) for epoch in validation_freq)
    return Schedule(
        batch=whole("batch_size", batch_size, 1) or 0,
        epochs=whole("epochs", epochs, 0),
        initial_epoch=whole("initial_epoch", initial_epoch, 0),
        steps_per_epoch=whole("steps_per_epoch", steps_per_epoch, 1),
        validation_freq=freq,
        validation_interval=whole("validation_interval", validation_interval, 1),
        max_time=None if max_time is None else errors.real("fit", "max_time", max_time, 0),
        shuffle=shuffle if callable(shuffle) else errors.boolean("fit", "shuffle", shuffle),
        verbose=verbose,
        resume=errors.boolean("fit", "resume", resume),
    )


def limits(batch_size, steps, rows: int) -> tuple[int | None, int | None]:
    """validation_batch_size and validation_steps, checked; `rows` are those of a batch where batches are counted."""
    given = {"validation_batch_size": rows if batch_size is None and steps is not None else batch_size,
             "validation_steps": steps}
    return tuple(None if value is None else errors.integer("fit", name, value, 1) for name, value in given.items())


class Evaluation:
    """A data set, ready to be evaluated again and again.

    Parameters
    ----------
    model : Sequential
        Compiled and built.
    data : Data
    chosen : ndarray of int64, optional
        Which rows.
    batch : int, optional
    steps : int, optional
        Batches; by default all.
    """

    def __init__(self, model, data: Data, chosen: np.ndarray | None = None, batch: int | None = None,
                 steps: int | None = None):
        source = data.source(chosen)
        batch = min(batch or (EVALUATION_BATCH if steps is None else STEP_ROWS), source.rows)
        self._model, self._source = model, source
        self.plan = model.plan("evaluate", data.feed(ordered=chosen is not None), batch)
        most = -(-source.rows // batch)
        self._steps = most if steps is None else min(steps, most)

    @cached_property
    def runner(self) -> Runner:
        """What walks the plan over the rows."""
        return Runner(self.plan, self._model.memory, self._source, steps_per_epoch=self._steps)

    @property
    def native(self) -> bool:
        """Whether all of it is the engine's: no loss that is Python, no penalty of the weights."""
        return not isinstance(self._model.loss, Custom) and not _penalized(self._model)

    def __call__(self, prefix: str = "", listeners: CallbackList | None = None) -> dict[str, float]:
        """Loss and metrics by name, with callbacks told; they get the names without `prefix`."""
        listeners = CallbackList() if listeners is None else listeners
        listeners.on_test_begin({})
        self.runner.cursor[:] = 0
        self.runner.sums[:] = 0
        progress, function = Progress(), leave(self._model.loss)
        if listeners.wants(*TEST_BATCH_METHODS):
            for batch in range(self._steps):
                listeners.on_test_batch_begin(batch, {})
                self.runner.advance(1, progress, leave=function)
                so_far = progress.epochs[0] if progress.epochs else self.runner.sums
                listeners.on_test_batch_end(batch, self.logs(so_far))
        else:
            self.runner.advance(self._steps, progress, leave=function)
        logs = self.logs(progress.epochs[0])
        listeners.on_test_end(dict(logs))
        return {prefix + name: value for name, value in logs.items()}

    def logs(self, sums: np.ndarray, prefix: str = "") -> dict[str, float]:
        """Loss and metrics by name, out of the sums of all steps, with the weights as they are."""
        logs = results(self.plan, sums)
        logs["loss"] += penalty(self._model)
        return {prefix + name: value for name, value in logs.items()}


def results(of: plan.Plan, sums: np.ndarray, steps: int = 1) -> dict[str, float]:
    """Loss and metrics by name, out of the sums of `steps` steps."""
    values = dict(zip(of.sums, sums.tolist(), strict=True))
    rows = values.pop("rows")
    total = values.pop("weight") if "data.weight" in of.tensors else rows
    values.pop("weight", None)
    values.pop("seconds")
    extra, per_row = values.pop("penalty", 0.0), values.pop("row_penalty", 0.0)
    logs = {name: value / total if total else math.nan for name, value in values.items()}
    if steps:
        logs["loss"] += extra / steps + (per_row / rows if rows else 0.0)
    return logs


def evaluate(model, evaluation: Evaluation, callbacks, verbose: int) -> dict[str, float]:
    """Loss and metrics by name, with callbacks told."""
    bars = [ProgressBar(verbose)] if verbose else []
    return evaluation(listeners=CallbackList([*bars, *CallbackList(callbacks).callbacks], model, {"verbose": verbose}))


def predict(model, x: np.ndarray, outputs: Callable[[np.ndarray], np.ndarray], size: int, callbacks) -> np.ndarray:
    """Outputs of the rows of x, with callbacks told; in batches of `size` rows, where they want to hear of those."""
    listeners = CallbackList(callbacks, model, {})
    listeners.on_predict_begin({})
    if listeners.wants(*PREDICT_BATCH_METHODS):
        parts = []
        for batch, begin in enumerate(range(0, len(x), size)):
            listeners.on_predict_batch_begin(batch, {})
            parts.append(outputs(x[begin : begin + size]))
            listeners.on_predict_batch_end(batch, {"outputs": parts[-1]})
        out = np.concatenate(parts)
    else:
        out = outputs(x)
    listeners.on_predict_end({})
    return out


def penalty(model) -> float:
    """What the regularizers add to the loss, with the weights as they are."""
    total = 0.0
    for name, regularizer in _penalized(model).items():
        w = model.memory.parameters[name].astype(np.float64).ravel()
        total += regularizer.l1 * float(np.abs(w).sum()) + regularizer.l2 * float(w @ w)
    return total


def _penalized(model) -> dict:
    """The regularizers whose penalty is part of an evaluation's loss, by the names of their weights."""
    places = model.memory.layout.places.items()
    return {name: at.regularizer for name, at in places if at.regularizer is not None and not at.regularizer.per_row}


def _read_only(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view


def leave(loss):
    """What a custom loss does in the middle of a step; None for all others."""
    if not isinstance(loss, Custom):
        return None

    def call(z, dz, y, weight, rows, scale):
        given = loss.function(_read_only(y), _read_only(z))
        if not isinstance(given, tuple) or len(given) != 2:
            raise TypeError(f"loss function {loss.name} returned {type(given).__name__}; wanted (loss, gradient)")
        value, gradient = (np.asarray(one) for one in given)
        if value.shape != (len(z),) or gradient.shape != z.shape:
            raise ValueError(f"loss function {loss.name} returned loss of shape {value.shape} and gradient of shape "
                             f"{gradient.shape}; wanted ({len(z)},) and {z.shape}")
        rows[:] = value if weight is None else value * weight
        if dz is not None:
            factor = scale if weight is None else scale * weight[:, None]
            np.multiply(gradient, factor, out=dz, casting="same_kind" if gradient.dtype != np.int64 else "unsafe")

    return call


class ArrayRows:
    """Rows of arrays, as `Fit` asks for them.

    Parameters
    ----------
    data : Data
    train : ndarray of int64 or None
        Which rows; None for all.
    schedule : Schedule
    """

    def __init__(self, data: Data, train: np.ndarray | None, schedule: Schedule):
        rows = len(data.x) if train is None else len(train)
        self.batch = min(schedule.batch, rows)
        self.steps_per_epoch = schedule.steps_per_epoch or -(-rows // self.batch)
        self.feed = data.feed(ordered=bool(schedule.shuffle) or train is not None)
        self.setting = {"rows": rows, "batch_size": self.batch, "steps_per_epoch": self.steps_per_epoch}
        if callable(schedule.shuffle):
            if schedule.steps_per_epoch is not None:
                raise ValueError("fit: shuffle is a function and steps_per_epoch is given; wanted epochs of all rows")
            train = np.arange(rows) if train is None else train
        self._source = data.source(train, shuffled=schedule.shuffle is True)

    @property
    def ended(self) -> int:
        """Steps of the epoch that ended last."""
        return self.steps_per_epoch

    def has(self, cursor: np.ndarray) -> bool:
        """Whether a training on these rows comes to this place: a batch may begin there, in an epoch under way."""
        position = cursor[POSITION]
        return cursor[EPOCH_STEP] < self.steps_per_epoch and (
            not position or (position < self.setting["rows"] and not position % self.batch))

    def runner(self, model, made: plan.Plan, cursor: np.ndarray, sums: np.ndarray, check: bool) -> Runner:
        """What walks the plan over the rows; `check` is what the plan was made with."""
        return Runner(made, model.memory, self._source, steps_per_epoch=self.steps_per_epoch, seed=model.seeds["order"],
                      cursor=cursor, sums=sums, scalars=model.scalars)


class Fit:
    """One call of ``fit``.

    Parameters
    ----------
    model : Sequential
    rows : ArrayRows or StreamRows
    validation : Evaluation or None
    schedule : Schedule
    callbacks : list of Callback
    """

    def __init__(self, model, rows, validation: Evaluation | None, schedule: Schedule, callbacks: list):
        self.model, self.schedule, self.validation = model, schedule, validation
        self.history = History()
        bars, given = [ProgressBar(schedule.verbose)] if schedule.verbose else [], CallbackList(callbacks)
        self.callbacks = CallbackList([*bars, *given.callbacks]) if bars else given
        self.callbacks.set_model(model)
        self._given, self._may_change = given, given.wants("on_train_end")  # the weights, when all steps are done
        self._rows = rows
        self._plan = model.plan("train", rows.feed, rows.batch, check=self.callbacks.terminate_on_nan)
        self._progress = Progress()
        self._known = 0  # epochs that the history had when the training began
        self._logs: dict[str, float] = {}
        self.cursor: np.ndarray | None = None  # until it has begun
        self._first = 0  # step of the model then
        self.thread: threading.Thread | None = None  # where it runs
        self.undo: Callable[[], None] | None = None  # until then: puts back what a backup took the place of

    # ---- the whole ---------------------------------------------------------------------------------------------------

    def run(self, *, warn: bool = True) -> History:
        """Train; after `begin`. `warn`: of a training that the library had to stop."""
        model, first = self.model, self._first
        try:
            self._train()
            model.left = self.state()
        except BaseException:
            model.left = self.state()
            self._collect(told=False)
            self.callbacks.on_train_interrupted()
            raise
        finally:
            self.history.unfinished = self._running_logs() if self.cursor[EPOCH_STEP] else {}
            model.training = None
        if model.step > first and self.callbacks.terminate_on_nan and not self.history.stopped:
            self._look_for_overflow()
        self._end(changed=self._gone_on or model.step > first)
        if self.history.stopped and warn:
            warnings.warn(f"training stopped: {self.history.stopped}. A smaller learning rate or clipping "
                          "(global_clipnorm) may help.", TrainingWarning, stacklevel=3)
        return self.history

    def _end(self, *, changed: bool) -> None:
        """Let the average and callbacks change the weights; those of the last step are kept to go on from."""
        memory, callbacks = self.model.memory, self.callbacks
        averaged = changed and self.model.optimizer_spec.use_ema
        trained = memory.trained = memory.remember() if averaged or self._may_change else {}
        memory.ending = True
        try:
            if averaged:
                memory.average_weights()
            callbacks.on_train_end(self._logs)
            self.model.left.ended = True
        finally:
            memory.ending = False
            now = {"params": memory.params, **memory.running}
            changed = not all(_same(array, now[name]) for name, array in trained.items())
            memory.trained = trained if changed else {}

    def begin(self) -> None:
        """All that can fail before the first step; callbacks are told that the training begins."""
        if under_way(self.model):  # its cursor would be moved by two
            raise RuntimeError("fit: the model is being trained; wanted after the end of that training")
        self.model.training, self.thread = self, threading.current_thread()
        model, schedule, keys = self.model, self.schedule, ["loss", *(metric.name for metric in self.model.metrics)]
        validated = [f"val_{key}" for key in keys] if self.validation is not None else []
        params = {"verbose": schedule.verbose, "epochs": schedule.epochs, "steps": self.steps_per_epoch,
                  "metrics": [*keys, *validated, "learning_rate"], "learning_rate_factors": model.rate_factors()}
        resumes = schedule.resume and bool(model.left.cursor.any())  # else there is nothing to go on with
        left = model.left if resumes else Left(self._fresh_cursor())
        for listener in (self.callbacks, self.history):
            listener.set_model(model)
            listener.set_params(params)
        model.stop_training = False
        model.left, model.history = left, self.history
        self.history.on_train_begin()
        self.callbacks.on_train_begin({})  # a backup may bring another `left`
        left = model.left
        self.cursor, self._first = left.cursor, int(left.cursor[STEP])
        if left.sums is None or len(left.sums) != len(self._plan.sums):
            left.sums = np.zeros(len(self._plan.sums))
        self.sums = left.sums
        if left.setting and left.setting != self._rows.setting and (self.cursor[POSITION] or schedule.resume):
            raise ValueError(f"fit: the training that was left had {_words(left.setting)}; this one has "
                             f"{_words(self._rows.setting)}; wanted the same to resume")
        if not self._rows.has(self.cursor):
            raise ValueError(f"fit: the training that was left stands at row {self.cursor[POSITION]} and step "
                             f"{self.cursor[EPOCH_STEP]} of an epoch, where one with "
                             f"{_words(self._rows.setting)} never is")
        if left.history:
            try:
                self.history.load_state_dict(left.history)
                self.callbacks.load_state_dict(left.callbacks)
            except (KeyError, TypeError, AttributeError, IndexError) as error:
                raise ValueError("fit: the training that was left has a history or callbacks of another form "
                                 f"({type(error).__name__}: {error}); it cannot be resumed") from error
        taken_back = schedule.resume and bool(model.memory.trained)
        if taken_back:
            model.memory.trained_weights()
        self._gone_on = taken_back or bool(left.setting and not left.ended)
        model.memory.prepare(model.optimizer_spec, gradients=self._plan.gradients)
        self._known = len(self.history.epoch)
        self._progress.epochs, self._progress.followed = list(left.pending), dict(left.validated)
        self._followed = self._may_be_followed()
        self._runner = self._walking() if self.epoch < schedule.epochs else None
        self._ends = None if schedule.max_time is None else time.monotonic() + schedule.max_time
        self._leave = leave(model.loss)
        self.undo = None

    def _walking(self):
        """What walks the plan over the rows; it validates too where it can."""
        if self.validation is not None:  # in the same arena, for they take turns
            self.model.memory.arena(max(self._plan.arena, self.validation.plan.arena), "train")
        runner = self._rows.runner(self.model, self._plan, self.cursor, self.sums, self.callbacks.terminate_on_nan)
        if self._followed:
            runner.follow(self.validation.runner, self.schedule.validation_freq)
        return runner

    def _may_be_followed(self) -> bool:
        """Whether the engine can validate by itself, before Python comes to see the end of the epoch."""
        return (self.validation is not None and self.validation.native and isinstance(self._rows, ArrayRows)
                and isinstance(self.schedule.validation_freq, int) and self.callbacks.interval is None
                and not self._given.wants("on_test_begin", "on_test_end", *TEST_BATCH_METHODS))

    def _fresh_cursor(self) -> np.ndarray:
        """A new training: epochs are counted anew, steps and passes over the data go on."""
        return begun_anew(self.model.left.cursor, self.schedule.initial_epoch)

    def state(self) -> Left:
        """Where the training stands now."""
        if self.cursor is None:
            return self.model.left
        pending = self._progress.epochs[self._seen :]
        unseen = self.epoch - len(pending)
        validated = {epoch: sums for epoch, sums in self._progress.followed.items() if epoch >= unseen}
        return Left(self.cursor.copy(), self.sums.copy(), pending, validated, self.callbacks.state_dict(),
                    self.history.state_dict(), self._rows.setting)

    @property
    def _seen(self) -> int:
        """Epochs of `_progress` that are in the history."""
        return len(self.history.epoch) - self._known

    # ---- epochs ------------------------------------------------------------------------------------------------------

    @property
    def epoch(self) -> int:
        """Epochs that have ended."""
        return int(self.cursor[EPOCH])

    @property
    def steps_per_epoch(self) -> int | None:
        """None while nobody knows: batches that come one after the other, in the first epoch."""
        return self._rows.steps_per_epoch

    def _train(self) -> None:
        schedule, callbacks = self.schedule, self.callbacks
        watched = (callable(schedule.shuffle) or (self.validation is not None and not self._followed)
                   or schedule.validation_interval is not None or callbacks.interval is not None
                   or self.steps_per_epoch is None or callbacks.wants("on_epoch_begin")
                   or callbacks.wants("on_epoch_end"))
        self._collect()
        while self.epoch < schedule.epochs and not self._stopped():
            if watched:
                self._epoch()
            else:
                left = (schedule.epochs - self.epoch) * self.steps_per_epoch - int(self.cursor[EPOCH_STEP])
                self._advance(left)
                self._collect()

    def _epoch(self) -> None:
        epoch = self.epoch
        if self.cursor[EPOCH_STEP] == 0:
            self.callbacks.on_epoch_begin(epoch, {})
            self.history.on_epoch_begin(epoch)
            if callable(self.schedule.shuffle):
                self._runner.reorder(self.schedule.shuffle(self._rows.setting["rows"]))
        self._validate_at_interval()  # where it was interrupted
        while self.epoch == epoch and not self._stopped():
            done = int(self.cursor[EPOCH_STEP])
            steps = (self.steps_per_epoch or sys.maxsize) - done
            for every in (self.callbacks.interval, self.schedule.validation_interval):
                if every:
                    steps = min(steps, every - int(self.cursor[STEP]) % every)
            if self.callbacks.interval is not None:
                self.callbacks.on_train_batch_begin(done, {})
            before = int(self.cursor[STEP])
            self._advance(steps)
            if int(self.cursor[STEP]) == before:
                break
            ended = self.epoch > epoch
            self._validate_at_interval()
            if self.callbacks.interval is not None and (ended or self._at(self.callbacks.interval)):
                rate = self.model.learning_rate
                logs = self._epoch_logs(self._progress.epochs[-1], rate) if ended else self._running_logs()
                batch = self._rows.ended if ended else int(self.cursor[EPOCH_STEP])
                self.callbacks.on_train_batch_end(batch - 1, logs)
        if self.epoch > epoch:
            self._collect()

    def _validate_at_interval(self) -> None:
        every, made = self.schedule.validation_interval, self.history.validations
        if not every or not self._at(every) or (made and made[-1]["step"] == self.model.step):
            return
        epoch = self.epoch
        if not self.cursor[EPOCH_STEP]:  # at the end of one, which may be validated by itself
            epoch -= 1
            if self._validates(epoch) or not (self._progress.epochs or self.history.epoch):
                return
        self.history.record_validation(self.model.step, epoch, self.validation("val_", self.callbacks))

    def _at(self, every: int) -> bool:
        return int(self.cursor[STEP]) % every == 0

    def _stopped(self) -> bool:
        return self.model.stop_training or (self._ends is not None and time.monotonic() >= self._ends)

    def _advance(self, steps: int) -> None:
        try:
            self._runner.advance(steps, self._progress, leave=self._leave, turn=self._turn)
        except NotFinite as problem:
            self.model.stop_training = True
            self.history.stopped = f"{problem}; the weights are those before it"
            self._look_for_overflow()

    def _look_for_overflow(self) -> None:
        """A finite gradient times an absurd learning rate passes the checks, and is seen only in the weights."""
        if self.model.memory.finite():
            return
        self.history.stopped = f"the update of step {self.model.step} or one before it overflowed the weights"
        if self.model.step == self._first:
            self.history.stopped = "the weights were not finite when the training began"

    def _turn(self) -> bool:
        if self.callbacks.wants("on_train_progress") and self.cursor[EPOCH_STEP]:
            self.callbacks.on_train_progress(int(self.cursor[EPOCH_STEP]), self._running_logs())
        return self._stopped()

    # ---- what came out -----------------------------------------------------------------------------------------------

    def _running_logs(self) -> dict[str, float]:
        logs = results(self._plan, self.sums, int(self.cursor[EPOCH_STEP]))
        return logs | {"learning_rate": self.model.learning_rate}

    def _epoch_logs(self, sums: np.ndarray, rate: float) -> dict[str, float]:
        """Of an epoch that ended with this learning rate."""
        return results(self._plan, sums, self._rows.ended or self._left_steps()) | {"learning_rate": rate}

    def _left_steps(self) -> int:
        """Steps of an epoch of batches that had ended when the training was left, and is not in the history."""
        known = self.history.state_dict()
        return self.model.step - (known["steps"][-1] if known["steps"] else known["first_step"])

    def _collect(self, *, told: bool = True) -> None:
        """Put the epochs that have ended into the history, and tell the callbacks."""
        ended = self._progress.epochs[self._seen :]
        if not ended:
            return
        first, last = self.epoch - len(ended), self.model.step - int(self.cursor[EPOCH_STEP])
        each = self.steps_per_epoch or 0  # not known of batches, whose epochs come here one by one
        steps = [last - (len(ended) - 1 - i) * each for i in range(len(ended))]
        asked = told and self.callbacks.wants("on_epoch_end")  # by which another rate may be set
        rates = [] if asked else self.model.rates_at(steps)
        for i, (sums, step) in enumerate(zip(ended, steps, strict=True)):
            epoch = first + i
            logs = self._epoch_logs(sums, self.model.rate_at(step) if asked else rates[i])
            seconds, validated = float(sums[0]), self._progress.followed.get(epoch)
            if validated is not None:
                logs |= self.validation.logs(validated, "val_")
                seconds += float(validated[0])
            elif told and self._validates(epoch):
                logs |= self.validation("val_", self.callbacks)
            # of several epochs the clock of the history has seen the last end only
            self.history.record_epoch(epoch, logs, step, seconds if len(ended) > 1 else None)
            self._logs = logs
            if told:
                self.callbacks.on_epoch_end(epoch, logs)

    def _validates(self, epoch: int) -> bool:
        if self.validation is None:
            return False
        freq = self.schedule.validation_freq
        return (epoch + 1) % freq == 0 if isinstance(freq, int) else epoch + 1 in freq


def under_way(model) -> "Fit | None":
    """The model's training; None in a child of a fork, which has none of the parent's other threads."""
    training = model.training
    return training if training is not None and training.thread.is_alive() else None


def begun_anew(cursor: np.ndarray, epoch: int = 0) -> np.ndarray:
    """The cursor of a new training, whose steps and passes over the data go on."""
    cursor = cursor.copy()
    begun = cursor[POSITION] or cursor[EPOCH_STEP]
    cursor[PASS] += bool(begun)
    cursor[POSITION] = cursor[EPOCH_STEP] = cursor[OP] = 0
    cursor[EPOCH] = epoch
    return cursor


def _same(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two vectors are equal; block by block, because NumPy's answer takes several times their memory."""
    blocks = (slice(begin, begin + _COMPARED) for begin in range(0, len(a), _COMPARED))
    return all(np.array_equal(a[block], b[block], equal_nan=True) for block in blocks)


def _words(setting: dict) -> str:
    return ", ".join(f"{name} {value}" for name, value in setting.items())
