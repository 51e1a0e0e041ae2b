"""Many trainings at the same time, on threads of Python: `fit` lets Python's lock go while it computes.

Reads feed.py, params.py, threads.py, callbacks; read by many.py, ensemble.py and the searches.

a) One network per core, on one thread, is the best use of the cores: nothing waits for anything. Only large networks
   that are fewer than the cores are trained one after the other, on all cores (`arrange`).
b) A network is trained to the same bits on any number of threads, so results do not depend on the arrangement.
c) Ctrl-C comes to the main thread alone. It tells every training to stop, which takes a step, and waits for them.
"""

import queue
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from fusednet import params, threads
from fusednet.callbacks import Callback
from fusednet.feed import Data

START_SECONDS = 5.0
"""For which a thread whose start was interrupted is given time to begin."""

LARGE_STEP = 1 << 24
"""Multiply-adds of a step (batch times weights), for each core, from which on all cores work well on one network: on
two cores they then train it 1.8 times as fast as one core does."""


@dataclass
class Job(ABC):
    """What is to be trained.

    Attributes
    ----------
    config : object
        What it was made from, for reports.
    index : int
        The place of the config among the configs.
    fold : int or None
    """

    config: object
    index: int = 0
    fold: int | None = None
    REMEDY: ClassVar[str] = ""
    """What to do where callbacks of several jobs write the same file."""

    def callbacks_of_its_own(self) -> list:
        """The user's callbacks that its training tells; none by default."""
        return []

    @property
    @abstractmethod
    def work(self) -> int:
        """Multiply-adds of the forward pass of a step."""

    @abstractmethod
    def train(self, halt: Callback) -> tuple:
        """Train; `halt` is to be among the callbacks.

        Returns
        -------
        model, history, scores
            As in `Fitted`.
        """


@dataclass
class NetworkJob(Job):
    """A network that is to be trained.

    Attributes
    ----------
    model : Sequential
        Compiled.
    data : Data
        With the rows to train on and to validate on.
    options : dict
        What ``fit`` is given besides.
    callbacks : list
        Of its own.
    """

    model: object = None
    data: Data | None = None
    options: dict = field(default_factory=dict)
    callbacks: list = field(default_factory=list)
    REMEDY: ClassVar[str] = "callbacks may be a function, which is called for each network, or stand in the configs"

    def callbacks_of_its_own(self) -> list:
        """Its `callbacks`."""
        return self.callbacks

    @property
    def work(self) -> int:
        """Batch times weights."""
        rows = len(self.data.x) if self.data.train is None else len(self.data.train)
        network = self.model.network.with_features(self.data.x.shape[1])
        return min(self.options.get("batch_size", 32) or rows, rows) * params.layout(network).size

    def train(self, halt: Callback) -> tuple:
        """The model, its history, its scores on the rows for validation."""
        model, other = self.model, self.options.get("validation_data")
        history = model.fit(self.data, callbacks=[halt, *self.callbacks], **self.options)
        if self.data.held is None and other is None:
            return model, history, {key: values[-1] for key, values in history.history.items()}
        if not self.callbacks and not model.memory.trained and "validation_batch_size" not in self.options:
            last = {key: values[-1] for key, values in history.history.items() if key.startswith("val_")}
            if last and history.epochs_of("val_loss")[-1] == history.epoch[-1] and history.steps[-1] == model.step:
                return model, history, last  # nobody has changed the weights since
        logs = model.evaluate(self.data if other is None else other, return_dict=True)
        return model, history, {f"val_{key}": value for key, value in logs.items()}


@dataclass
class Fitted:
    """A network that was trained.

    Attributes
    ----------
    config : object
        What it was made from.
    index : int
        The place of the config among the configs.
    fold : int or None
    model : Sequential or None
        None where models are not kept.
    history : History or None
    scores : dict of str to float
        Loss and metrics on the validation rows (keys with ``val_``), of the weights as they are in the end; without
        validation rows those of the last epoch.
    seconds : float
    error : BaseException or None
        What ended the training, where errors are kept.
    """

    config: object
    index: int
    fold: int | None = None
    model: object = None
    history: object = None
    scores: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0
    error: BaseException | None = None


class _Halt(Callback):
    """Keeps a training from beginning after the others were told to stop."""

    def __init__(self, halted: threading.Event):
        super().__init__()
        self._halted = halted

    def on_train_begin(self, logs=None):
        """Stop at once if all stop."""
        if self._halted.is_set():
            self.stop()

    def stop(self) -> None:
        """Let the training end with its step."""
        if self.model is not None:
            self.model.stop_training = True


def arrange(work: Sequence[int], cores: int) -> tuple[int, int]:
    """How many networks are trained at a time, and on how many threads each.

    Parameters
    ----------
    work : sequence of int
        Of each network, `Job.work`.
    cores : int

    Returns
    -------
    workers, threads : int
        As many workers as cores, one thread each, where the networks are as many or their steps are small: cores that
        share a step have to wait for each other. Else one worker, all threads.
    """
    if len(work) >= cores or max(work, default=0) < LARGE_STEP * cores:
        return max(1, min(len(work), cores)), 1 if len(work) > 1 or cores == 1 else cores
    return 1, cores


def run(jobs: list[Job], *, workers: int | None = None, on_error: str = "raise", keep_models: bool = True,
        told: Callable[[Fitted], None] | None = None) -> list[Fitted]:
    """Train all.

    Parameters
    ----------
    jobs : list of Job
        Emptied: a job is let go when it is done.
    workers : int, optional
        How many are trained at a time; by default as `arrange` says.
    on_error : {"raise", "keep"}
        Whether an exception in one ends all, or is kept in its place.
    keep_models : bool
        False: a model is let go when it has been trained.
    told : callable, optional
        ``told(fitted)`` is called in this thread for each, in the order in which they end.

    Returns
    -------
    list of Fitted
        In the order of the jobs.
    """
    cores = threads.get_num_threads()
    at_once, each = arrange([job.work for job in jobs], cores)
    if workers is not None:
        at_once, each = min(workers, len(jobs)), max(1, cores // workers)
    count = len(jobs)
    pool = _Pool(jobs, each, keep_models)
    results: list[Fitted | None] = [None] * count
    try:
        pool.start(at_once)
        for _ in range(count):
            place, fitted = pool.next()
            results[place] = fitted
            if fitted.error is not None and (on_error == "raise" or not isinstance(fitted.error, Exception)):
                raise fitted.error
            if told is not None:
                told(fitted)
    finally:  # after an exception or Ctrl-C: nobody goes on behind the caller's back
        pool.halt()
    return results


def _begins(thread: threading.Thread) -> bool:
    """Whether it runs. One whose start was interrupted may be about to: that is waited for."""
    end = time.monotonic() + START_SECONDS
    while not thread.is_alive() and thread in threading.enumerate() and time.monotonic() < end:
        time.sleep(0.001)
    return thread.is_alive()


class _Pool:
    def __init__(self, jobs: list[Job], threads_each: int, keep_models: bool):
        self._jobs, self._each, self._keep = list(reversed(jobs)), threads_each, keep_models
        self._last = len(jobs) - 1
        jobs.clear()
        self._lock, self._halted, self._ended = threading.Lock(), threading.Event(), queue.SimpleQueue()
        self._running: dict[int, _Halt] = {}
        self._threads: list[threading.Thread] = []

    def start(self, workers: int) -> None:
        for i in range(workers):
            thread = threading.Thread(target=self._work, name=f"fusednet-{i}", daemon=True)
            self._threads.append(thread)
            thread.start()

    def next(self) -> tuple[int, Fitted]:
        while True:
            try:
                return self._ended.get(timeout=0.2)  # Windows looks for Ctrl-C in between only
            except queue.Empty:
                continue

    def halt(self) -> None:
        self._halted.set()
        with self._lock:
            for halt in self._running.values():
                halt.stop()
        for thread in self._threads:
            if _begins(thread):
                thread.join()

    def _work(self) -> None:
        while not self._halted.is_set():
            with self._lock:
                if not self._jobs:
                    return
                job = self._jobs.pop()
                place = self._last - len(self._jobs)
                halt = self._running[place] = _Halt(self._halted)
            fitted = self._train(job, halt)
            with self._lock:
                del self._running[place]
            del job, halt
            self._ended.put((place, fitted))
            del fitted

    def _train(self, job: Job, halt: _Halt) -> Fitted:
        begin = time.perf_counter()
        fitted = Fitted(job.config, job.index, job.fold)
        try:
            with threads.limit(self._each):
                model, fitted.history, fitted.scores = job.train(halt)
            fitted.model = model if self._keep else None
        except BaseException as error:  # what is not an Exception is raised in any case, by `run`
            which = f" (fold {job.fold})" if job.fold is not None else ""
            error.add_note(f"while training network {job.index}{which}, config {job.config!r}")
            fitted.error = error
        fitted.seconds = time.perf_counter() - begin
        return fitted
