"""`fit_many`: many networks trained on the same data, all cores busy.

Reads pool.py (who trains what when), folds.py, feed.py, datasets.py, callbacks, errors.py; read by ensemble.py and the
searches.

a) The data are checked and converted once for all networks that want them alike (`Shared`); folds and bootstrap samples
   are row numbers. So 200 networks take the memory of one copy of the data and of as many networks as there are cores.
b) Everything that can be wrong is looked at before the first network is trained.
c) A network and how it is fitted are what a config becomes (`Recruit`); what kinds of configs there are is said in
   `recruit` alone.
"""

import copy
import inspect
import os
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np

from fusednet import datasets, errors, feed, folds, pool, trainer
from fusednet.callbacks import CallbackList
from fusednet.callbacks._progress import bar_class
from fusednet.estimators import EstimatorJob, Rows, is_estimator, with_params
from fusednet.model import Sequential
from fusednet.pool import Fitted, Job, NetworkJob

OPTIONS = ("batch_size", "epochs", "callbacks", "class_weight", "shuffle", "steps_per_epoch", "max_time",
           "validation_freq", "validation_batch_size", "initial_epoch")
"""What of ``fit`` may differ from network to network."""

_PLANNED = {name: inspect.signature(Sequential.fit).parameters[name].default
            for name in inspect.signature(trainer.planned).parameters}
"""What ``fit`` makes its schedule of, and has by default."""


def fit_many(configs: Iterable, x, y=None, *, build: Callable | None = None, seed: int | None = None,
             validation_split: float = 0.0, validation_data=None, split: str = "random", folds=None,
             sample_weight=None, workers: int | None = None, on_error: str = "raise", keep_models: bool = True,
             progress: bool = False, told: Callable[[Fitted], None] | None = None, **options) -> list[Fitted]:
    """Train many networks over one copy of the data.

    Parameters
    ----------
    configs : iterable
        A network each: a dict of the arguments of `build`; a function without arguments that returns a compiled
        `Sequential`; or a compiled `Sequential` or an estimator, which is then trained itself. Of a dict, what ``fit``
        takes and `build` does not (batch_size, epochs, callbacks, class_weight, ...) goes to ``fit``.
    x, y : array_like
        As for ``Sequential.fit``; arrays, not batches.
    build : callable or estimator, optional
        ``build(**config)`` returns a compiled `Sequential`, or that and a dict of arguments of ``fit``. An estimator
        (of `fusednet.sklearn`, or anything with scikit-learn's methods) is copied and given the config as parameters.
    seed : int, optional
        Network i has a seed made from this one and i (and the fold), unless its config has ``seed``. None leaves to
        each the seed that it was made with.
    validation_split, validation_data, split
        As for ``Sequential.fit``; the rows are set aside once, by `seed` (0 for None), the same for all networks.
    folds : int or iterable of (train, validation), optional
        Each config is trained once for each fold. A number: so many stratified folds, by `seed`.
    sample_weight : array_like, (n,), optional
    workers : int, optional
        How many networks are trained at a time; by default as many as there are cores, with one thread each, or, where
        networks are fewer than cores and large, one on all cores. The results are the same bits for any number.
    on_error : {"raise", "keep"}, default "raise"
        Whether an exception in one network ends all, or is kept as its `Fitted.error`. Its notes name the config.
    keep_models : bool, default True
        False lets a network go when it is trained: only its history and its scores stay.
    progress : bool, default False
        Draw a bar; needs tqdm.
    told : callable, optional
        ``told(fitted)`` is called, in this thread, when a network is trained.
    **options
        Of ``fit``, for all networks. Callbacks are a list, copied for each network, or a function that makes one;
        those that write files need a file for each network.

    Returns
    -------
    list of Fitted
        In the order of the configs; with folds, all folds of the first config first.

    Raises
    ------
    ValueError, TypeError
        If something is not valid; before the first network is trained.
    KeyboardInterrupt
        When every training has stopped, about a step later.

    Examples
    --------
    >>> import fusednet as fn
    >>> x, y = fn.load_digits()
    >>> def build(units, rate):
    ...     model = fn.Sequential([fn.Normalization(), fn.Dense(units, activation="relu"), fn.Dense(10)])
    ...     model.compile(fn.Adam(rate), "sparse_categorical_crossentropy", ["accuracy"])
    ...     return model
    >>> configs = [{"units": units, "rate": rate} for units in (32, 64) for rate in (1e-3, 1e-2)]
    >>> fitted = fn.fit_many(configs, x, y, build=build, seed=0, validation_split=0.2, epochs=3)
    >>> len(fitted), sorted(fitted[0].scores)
    (4, ['val_accuracy', 'val_loss'])
    """
    _check_arguments(on_error, workers, options)
    seed = None if seed is None else errors.integer("fit_many", "seed", seed, 0)
    taken = taken_by(build)
    recruits = [recruit(config, build, i, taken) for i, config in enumerate(configs)]
    if not recruits:
        raise ValueError("fit_many: there are no configs; wanted at least one")
    shared = Shared(x, y, sample_weight, validation_data)
    rows = Division(validation_split, split, folds, 0 if seed is None else seed, validation_data is not None)
    jobs = make_jobs(recruits, shared, rows, seed, options)
    recruits.clear()
    return train(jobs, workers=workers, on_error=on_error, keep_models=keep_models, progress=progress, told=told)


def train(jobs: list[Job], *, progress: bool = False, told: Callable[[Fitted], None] | None = None,
          **options) -> list[Fitted]:
    """`pool.run` with a bar; the jobs are let go one by one. One warning for all that the library had to stop."""
    stopped: list[tuple] = []
    with _Bar(len(jobs), progress) as bar:
        def ended(one: Fitted) -> None:
            bar.update()
            if one.history is not None and one.history.stopped:
                stopped.append((one.index, one.fold or 0, one.config, one.history.stopped))
            if told is not None:
                told(one)

        fitted = pool.run(jobs, told=ended, **options)
    if stopped:
        *_, config, why = min(stopped, key=lambda one: one[:2])
        warnings.warn(f"{len(stopped)} of {len(fitted)} trainings were stopped, the first with config {config!r}: "
                      f"{why}", trainer.TrainingWarning, stacklevel=3)
    return fitted


def _check_arguments(on_error, workers, options) -> None:
    if on_error not in ("raise", "keep"):
        raise errors.unknown("fit_many", "on_error", on_error, ("raise", "keep"))
    if workers is not None:
        errors.integer("fit_many", "workers", workers, 1)
    for name in options:
        if name not in OPTIONS:
            raise errors.unknown("fit_many", "argument", name, OPTIONS, TypeError)


# ---- from a config to a network --------------------------------------------------------------------------------------


@dataclass
class Recruit:
    """A network that is not trained yet.

    Attributes
    ----------
    model : Sequential or estimator
        Compiled; not fitted.
    config : object
        What it was made from.
    options : dict
        Of ``fit``, its own.
    own : bool
        Whether it is the user's object, to be trained itself.
    seeded : bool
        Whether its config says its seed.
    """

    model: object
    config: object
    options: dict = field(default_factory=dict)
    own: bool = False
    seeded: bool = False


def recruit(config, build: Callable | None, place: int, taken: Callable[..., bool] | None = None) -> Recruit:
    """What a config stands for; `taken` is `taken_by` of `build`, for who has asked for it already."""
    where = f"config {place}"
    if isinstance(config, Sequential):
        return Recruit(_compiled(config, where), config.name, own=True)
    if is_estimator(config):
        return Recruit(config, repr(config), own=True)
    if isinstance(config, dict):
        if build is None:
            raise TypeError(f"{where} is a dict; wanted the argument build, a function that makes a network of it")
        if is_estimator(build):
            return Recruit(with_params(build, config, None), config)
        taken = taken or taken_by(build)
        options = {name: value for name, value in config.items() if name in OPTIONS and not taken(name, False)}
        arguments = {name: value for name, value in config.items() if name not in options}
        seed = None if taken("seed") else arguments.pop("seed", None)
        made = _call(build, arguments, f"{where}, {config!r}")
        one = _recruit_of(made, config, f"build of {where}, {config!r},")
        one.options = options | one.options
        one.seeded = config.get("seed") is not None
        if seed is not None:
            one.model = anew(one.model, seed)
        return one
    if callable(config):
        return _recruit_of(_call(config, {}, where), getattr(config, "__name__", repr(config)), where)
    raise TypeError(f"{where} is {type(config).__name__}; wanted a dict, a function or a compiled Sequential")


def taken_by(function: Callable | None) -> Callable[..., bool]:
    """Whether a function has an argument of a name; of what is none, it may."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # of a builtin
        return lambda name, anything=True: anything
    names = {parameter.name for parameter in parameters if parameter.kind in (
        inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)}
    everything = any(parameter.kind == inspect.Parameter.VAR_KEYWORD for parameter in parameters)
    return lambda name, anything=True: name in names or (anything and everything)


def _call(function: Callable, arguments: dict, where: str):
    try:
        return function(**arguments)
    except Exception as error:
        error.add_note(f"while building the network of {where}")
        raise


def _recruit_of(made, config, where: str) -> Recruit:
    options = {}
    if isinstance(made, tuple) and len(made) == 2 and isinstance(made[1], dict):
        made, options = made
        for name in options:
            if name not in OPTIONS:
                raise errors.unknown(f"{where}: fit", "argument", name, OPTIONS, TypeError)
    if not isinstance(made, Sequential):
        raise TypeError(f"{where} gave {type(made).__name__}; wanted a compiled Sequential")
    return Recruit(_compiled(made, where), config, dict(options))


def _compiled(model: Sequential, where: str) -> Sequential:
    if model.optimizer_spec is None:
        raise ValueError(f"{where}: the model is not compiled; wanted compile(optimizer=..., loss=...) first")
    return model


def anew(model: Sequential, seed: int) -> Sequential:
    """The same network, compiled alike, without weights, with another seed.

    Raises
    ------
    ValueError
        If the model has weights: they would be lost.
    """
    if model.memory is not None:
        raise ValueError("the model has weights already; wanted one that is only compiled, since it is made anew with "
                         "other seeds")
    other = Sequential((), seed, dtype=model.dtype, name=model.name)
    other._given, other.network = list(model._given), model.network  # its names too
    other.compile(model.optimizer_spec, model.loss, model.metrics, matmul_precision=model.matmul_precision)
    return other


def seed_of(seed: int, *places: int) -> int:
    """A seed made from another and numbers: far from all others."""
    return int(np.random.SeedSequence([seed, *places]).generate_state(1)[0])


# ---- data ------------------------------------------------------------------------------------------------------------


class Shared:
    """x and y, checked and converted once for all networks that want them alike.

    Parameters
    ----------
    x, y, sample_weight, validation_data
        As for `fit_many`.
    """

    def __init__(self, x, y, sample_weight=None, validation_data=None):
        if feed.is_batches(x):
            raise TypeError("fit_many: x is an iterable of batches; wanted arrays, which all networks can share")
        if y is None:
            raise TypeError("fit_many: y is None; wanted labels or numbers")
        self._given, self._weight, self._validation = (x, y), sample_weight, validation_data
        self._found: dict = {}
        self._rows: feed.Data | None = None
        self._parts: list[tuple] | None = None
        self.plans: dict = {}  # of the networks; trials differ in few of them

    def rows_of(self, division: "Division", estimator) -> list[tuple]:
        """Rows for training and validation of each fold, as arrays that estimators take."""
        if self._parts is None:
            self._parts = Rows(*self._given, self._weight, self._validation, division, estimator).parts
        return self._parts

    def of(self, model: Sequential, class_weight=None) -> tuple[feed.Data, feed.Data | None]:
        """Training and validation data for a network; the latter None where there are none of their own."""
        if model.memory is not None:  # it knows columns and classes, and may refuse the data
            return self._make(model, class_weight)
        key = (model.loss, model.network and model.network.outputs, model.dtype, repr(class_weight))
        if key not in self._found:
            self._found[key] = self._make(model, class_weight)
        return self._found[key]

    def _make(self, model: Sequential, class_weight) -> tuple[feed.Data, feed.Data | None]:
        if model.network is None:
            raise ValueError("fit_many: a model has no layers; wanted at least one")
        if self._rows is None:
            self._rows = feed.prepare(self._given[0], dtype="float64")  # what a model's own can hold, it says
        rows = self._rows
        feed.check_names(rows.names, model.feature_names_, "x")
        data = model.prepare(rows.x, self._given[1], sample_weight=self._weight, class_weight=class_weight)
        data.names = rows.names
        other = model._validation(self._validation, data, class_weight) if self._validation is not None else None
        return data, other


@dataclass
class Division:
    """Which rows are for training and which for validation; the same for all networks.

    Attributes
    ----------
    fraction : float
        As ``validation_split``.
    how : str
    folds : int, list of (train, validation), or None
    seed : int
    separate : bool
        Whether validation data are given by themselves.
    """

    fraction: float = 0.0
    how: str = "random"
    folds: object = None
    seed: int = 0
    separate: bool = False

    def __post_init__(self):
        self._found: list[tuple[feed.Data, list]] = []
        ways = [name for name, used in (("validation_split", self.fraction), ("folds", self.folds is not None),
                                        ("validation_data", self.separate)) if used]
        if len(ways) > 1:
            raise ValueError(f"{' and '.join(ways)} are given; wanted one way to validate")
        if self.folds is not None and not isinstance(self.folds, (int, np.integer)):
            if not isinstance(self.folds, Iterable):
                raise TypeError(f"folds is {self.folds!r}; wanted a number of folds, or a list of (rows to train on, "
                                "rows to validate on), such as KFold(5).split(x) gives")
            self.folds = list(self.folds)  # an iterator gives them once, and they may be looked at again

    @property
    def validates(self) -> bool:
        """Whether any rows are for validation."""
        return bool(self.fraction) or self.folds is not None or self.separate

    def of(self, data: feed.Data) -> list[tuple[np.ndarray | None, np.ndarray | None]]:
        """Rows for training and for validation, for each fold; None are all, and none."""
        for known, rows in self._found:
            if known is data:
                return rows
        self._found.append((data, self._divide(data)))
        return self._found[-1][1]

    def _divide(self, data: feed.Data) -> list[tuple[np.ndarray | None, np.ndarray | None]]:
        n = len(data.x)
        if self.folds is None:
            if not self.fraction:
                return [(None, None)]
            return [datasets.split(n, self.fraction, self.seed, self.how, data.codes)]
        if isinstance(self.folds, (int, np.integer)):
            return folds.divide(n, self.folds, self.seed, data.codes, data.classes)
        return folds.check(self.folds, n, data.codes, data.classes)


# ---- jobs ------------------------------------------------------------------------------------------------------------


def make_jobs(recruits: list[Recruit], shared: Shared, division: Division, seed: int | None, options: dict,
              first: int = 0) -> list[Job]:
    """A job for each network and fold; all that can be wrong is found here.

    Parameters
    ----------
    recruits : list of Recruit
    shared : Shared
    division : Division
    seed : int or None
    options : dict
        Of ``fit``, for all.
    first : int, default 0
        The place of the first network among all, of which its seed is made.
    """
    # models that are not made anew would be trained by two threads at the same time
    alone = [id(one.model) for one in recruits if (one.own and not is_estimator(one.model))
             or (division.folds is None and (one.own or seed is None or one.seeded))]
    if len(alone) > len(set(alone)):
        raise ValueError("fit_many: a model is given twice; wanted each once, or a function that builds a new one at "
                         "each call")
    if any(is_estimator(one.model) for one in recruits):
        return _estimator_jobs(recruits, shared, division, seed, options, first)
    jobs: list[Job] = []
    for i, one in enumerate(recruits, first):
        given = options | one.options
        callbacks = given.pop("callbacks", None)
        data, other = shared.of(one.model, given.pop("class_weight", None))
        one.model._check_trainable("fit_many")
        if other is not None:
            given["validation_data"] = other
        trainer.planned(**(_PLANNED | {name: value for name, value in given.items() if name in _PLANNED}))
        several = division.folds is not None
        for fold, (train, held) in enumerate(division.of(data)):
            data.check_weights(train, held)
            model = one.model
            if several:
                model = anew(model, model.seed if seed is None or one.seeded else seed_of(seed, i, fold))
            elif seed is not None and not one.own and not one.seeded:
                model = anew(model, seed_of(seed, i))
            model._plans = shared.plans
            own = callbacks_of(callbacks)
            CallbackList(own)  # refuses what is none
            jobs.append(NetworkJob(one.config, i, fold if several else None, model, data.divided(train, held), given,
                                   own))
    _check_outputs(jobs)
    return jobs


def _estimator_jobs(recruits: list[Recruit], shared: Shared, division: Division, seed: int | None, options: dict,
                    first: int) -> list[Job]:
    if options:
        raise TypeError(f"fit_many: {next(iter(options))} is given, but an estimator has parameters of its own for "
                        "what fit takes (max_iter, batch_size, callbacks, ...); wanted it there")
    if not all(is_estimator(one.model) for one in recruits):
        raise TypeError("fit_many: some configs are estimators, others are not; wanted all of one kind")
    parts, several, jobs = shared.rows_of(division, recruits[0].model), division.folds is not None, []
    for i, one in enumerate(recruits, first):
        for fold, (rows, held) in enumerate(parts):
            own = None if seed is None else seed_of(seed, i, fold) if several else seed_of(seed, i)
            model = one.model if one.own and not several else with_params(one.model, {}, own)
            jobs.append(EstimatorJob(one.config, i, fold if several else None, model, rows, held))
    _check_outputs(jobs)
    return jobs


def _check_outputs(jobs: list[Job]) -> None:
    """Refuse callbacks of several networks that write the same file: what is in it would be any one's."""
    writers: dict[str, str] = {}
    for job in jobs:
        network = f"network {job.index}" + ("" if job.fold is None else f", fold {job.fold}")
        for callback in job.callbacks_of_its_own():
            path = getattr(callback, "writes_to", None)
            if path is None:
                continue
            other = writers.setdefault(os.path.abspath(path), network)
            if other != network:
                raise ValueError(f"fit_many: {type(callback).__name__} writes {path!r} for {other} and "
                                 f"for {network}; wanted a file for each: {job.REMEDY}")


def callbacks_of(given) -> list:
    """Callbacks of one network: a copy of those given, or what a function makes."""
    if given is None:
        return []
    if isinstance(given, (list, tuple)):
        return copy.deepcopy(list(given))
    if inspect.isfunction(given) or inspect.ismethod(given) or hasattr(given, "func"):
        given = given()
        return list(given) if isinstance(given, Iterable) else [given]
    return [copy.deepcopy(given)]


class _Bar:
    """A bar of tqdm, or nothing."""

    def __init__(self, total: int, wanted: bool):
        self._bar = None
        if wanted:
            self._bar = bar_class("fit_many: progress=True", "search")(total=total, unit=" networks")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._bar is not None:
            self._bar.close()

    def update(self) -> None:
        """One more is done."""
        if self._bar is not None:
            self._bar.update()


