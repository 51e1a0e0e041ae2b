"""`BayesianSearch`: Optuna chooses the hyperparameters; trials that fall behind are given up early.

Reads space.py, objective.py, results.py, many.py, callbacks, and Optuna when a search begins; read by users.

a) Optuna is asked for a batch of trials at a time, which are trained side by side and told in order. So what is chosen
   does not depend on how many are trained at a time, or on which is done first.
b) A trial is pruned by the curve of its first fold, against trials that are complete: of batches before.
c) Everything that results are made of is in Optuna's storage: a search goes on after a crash, and several processes or
   machines work on one study.
"""

import math
import threading
from collections.abc import Callable
from contextlib import contextmanager

import numpy as np

from fusednet import errors, many
from fusednet.callbacks import Callback
from fusednet.search import objective
from fusednet.search.results import Results, Trial
from fusednet.search.space import Choice, Float, checked, same

_PLAIN = (type(None), bool, int, float, str)


class BayesianSearch:
    """Hyperparameters chosen by Optuna from what the trials before have shown.

    Parameters
    ----------
    space : dict
        By name `Float`, `Int`, `Choice` or a list of values. Where a study goes on, the ends of ranges may be others.
    n_trials : int
        Finished trials that the study has in the end, those of earlier runs and other processes included; not those
        that an interrupt or an error kept from being trained. Fewer where the sampler says that all has been tried
        (GridSampler, BruteForceSampler); of several processes each goes on until there are as many, so that in the end
        there may be some more.
    batch : int, default 8
        Trials that are chosen together; at least as many as cores keeps all cores busy, fewer learn more from each.
    storage : str or optuna.storages.BaseStorage, optional
        Where the study is, such as "sqlite:///search.db"; by default in memory. With the same storage and name a search
        goes on where it was, and several processes share it; give each another seed.
    name : str, optional
        Of the study; needed with `storage`.
    sampler : optuna.samplers.BaseSampler, optional
        By default ``TPESampler``, by `seed`.
    pruner : "median", optuna.pruners.BasePruner or None, default "median"
        "median" is Optuna's ``MedianPruner``: a trial whose curve is worse than the median at the same epoch is given
        up. None never gives up. One that looks at trials that are running (SuccessiveHalving, Hyperband) makes results
        depend on their timing.
    monitor : str, optional
        The key that trials are compared by; by default the first metric, or the loss, on the validation rows. A study
        has one.
    mode : {"auto", "min", "max"}, default "auto"
    seed : int, default 0
        Of choices, networks and rows for validation.

    Attributes
    ----------
    results : Results or None
        Also of a search that was interrupted.
    study : optuna.study.Study or None

    Raises
    ------
    ImportError
        By ``run``, if Optuna is not installed; says what to type.
    """

    def __init__(self, space: dict, n_trials: int, *, batch: int = 8, storage=None, name: str | None = None,
                 sampler=None, pruner="median", monitor: str | None = None, mode: str = "auto", seed: int = 0):
        self.space = checked(space)
        self.n_trials = errors.integer("BayesianSearch", "n_trials", n_trials, 1)
        self.batch = errors.integer("BayesianSearch", "batch", batch, 1)
        if storage is not None and name is None:
            raise ValueError("BayesianSearch: storage is given, but no name; wanted the name of the study in it")
        if isinstance(pruner, str) and pruner != "median":
            raise errors.unknown("BayesianSearch", "pruner", pruner, ("median",))
        chosen = None if isinstance(pruner, str) else pruner
        for what, given, method in (("sampler", sampler, "sample_relative"), ("pruner", chosen, "prune")):
            if given is not None and (isinstance(given, type) or not hasattr(given, method)):
                raise TypeError(f"BayesianSearch: {what} is {given!r}; wanted an object of optuna.{what}s, or None")
        self.storage, self.name, self.sampler, self.pruner = storage, name, sampler, pruner
        self.monitor, self.mode = monitor, mode
        self.seed = errors.integer("BayesianSearch", "seed", seed, 0)
        self.results: Results | None = None
        self.study = None

    def run(self, build, x, y, *, validation_split: float = 0.0, validation_data=None, split: str = "random",
            folds=None, sample_weight=None, workers: int | None = None, on_error: str = "raise",
            progress: bool = False, told: Callable[[Trial], None] | None = None, **options) -> Results:
        """Search.

        Parameters
        ----------
        build, x, y, validation_split, validation_data, split, folds, sample_weight, workers, on_error, progress, told
            As for `RandomSearch.run`.
        **options
            Of ``fit``.

        Returns
        -------
        Results
            Of all finished trials of the study.

        Raises
        ------
        ValueError, TypeError
            If something is not valid, a test set among it; before anything is trained.
        ImportError
            If Optuna is not installed; says what to type.
        """
        optuna = _optuna()
        goal = objective.prepare(build, x, y, seed=self.seed, monitor=self.monitor, mode=self.mode,
                                 validation_split=validation_split, validation_data=validation_data, split=split,
                                 folds=folds, sample_weight=sample_weight, options=options)
        many._check_arguments(on_error, workers, {})
        results = goal.results(self.space, np.random.default_rng(self.seed), on_error)
        with _quiet(optuna):
            study = self._study(optuna, results)
            self._add_others(optuna, study, results)
            self._check_space(study)
            self.results, self.study = results, study
            with _ended_by_its_sampler(study) as ended:
                while not ended() and (missing := self.n_trials - _finished(optuna, study)) > 0:
                    self._batch(optuna, goal, min(missing, self.batch), told,
                                {"workers": workers, "on_error": on_error, "progress": progress})
                    self._add_others(optuna, study, results)
        return results

    def _study(self, optuna, results: Results):
        monitor, upwards = results.monitor, results.upwards
        sampler, pruner = self.sampler, self.pruner
        if pruner == "median":
            pruner = optuna.pruners.MedianPruner()
        study = optuna.create_study(storage=self.storage, study_name=self.name, load_if_exists=True,
                                    pruner=pruner or optuna.pruners.NopPruner(),
                                    direction="maximize" if upwards else "minimize")
        if (study.direction == optuna.study.StudyDirection.MAXIMIZE) != upwards:
            raise ValueError(f"BayesianSearch: the study {self.name!r} looks for the "
                             f"{'smallest' if upwards else 'largest'} score; wanted another name, or its monitor")
        known = study.user_attrs.get("monitor", monitor)
        if known != monitor:
            raise ValueError(f"BayesianSearch: monitor is {monitor!r}, the study {self.name!r} compares trials by "
                             f"{known!r}; wanted another name, or its monitor")
        if not _finished(optuna, study):  # studies of before this was noted have scores of nobody knows what
            study.set_user_attr("monitor", monitor)
        # a sampler begun anew with the same seed would choose once more what the study has already
        begun = len(study.get_trials(deepcopy=False))
        study.sampler = sampler or optuna.samplers.TPESampler(seed=many.seed_of(self.seed, begun))
        return study

    def _add_others(self, optuna, study, results: Results) -> None:
        """Take in what the study has from earlier runs and other processes."""
        known = {trial.number for trial in results.trials}
        for old in study.get_trials(deepcopy=False):
            if old.number not in known and (trial := _from_study(optuna, old, self.space)) is not None:
                results.add(trial, [])

    def _check_space(self, study) -> None:
        """Optuna would refuse some changes of a space, but only when a trial is under way."""
        for old in study.get_trials(deepcopy=False):
            for name, one in self.space.items():
                if name in old.distributions and not _goes_on(old.distributions[name], one):
                    raise ValueError(f"BayesianSearch: {name} is {one!r}, the study {self.name!r} has "
                                     f"{old.distributions[name]!r}; wanted another name, or a space that differs in "
                                     "the ends of ranges only")

    def _batch(self, optuna, goal, count: int, told, running: dict) -> None:
        study, results = self.study, self.results
        watched: dict[int, _Watched] = {}
        through: dict[int, Trial] = {}

        def ended(trial: Trial) -> None:
            if watched[trial.number].pruned and trial.state == "complete":
                # how far the other folds had come depends on their timing
                trial.state, trial.score, trial.curve = "pruned", math.nan, watched[trial.number].curve
                trial.training_curve, trial.scores, trial.fold_scores = [], {}, []
            through[trial.number] = trial

        found = Results(goal.monitor, "max" if results.upwards else "min", self.space)
        try:
            chosen = []
            for _ in range(count):
                trial = study.ask()
                watched[trial.number] = _Watched(trial, goal.monitor)
                for name, one in self.space.items():
                    _suggest(trial, name, one)
                chosen.append((trial.number, _values(trial.params, self.space)))
            goal.train(chosen, found, watch=lambda number, fold: watched[number].callback(fold), told=ended, **running)
        finally:  # what was asked for and not trained is not left running for ever
            for number in sorted(watched):
                _tell(optuna, study, watched[number].trial, through.get(number))
        best = found.ranked()[:1]
        for trial in found.trials:
            results.add(trial, found.best_models if trial in best else [])
            if told is not None:
                told(trial)


class _Watched:
    """A trial of Optuna's under way: its first fold reports each epoch, and all folds end when it is pruned."""

    def __init__(self, trial, monitor: str):
        self.trial, self.monitor, self.pruned = trial, monitor, False
        self.curve: list[float] = []

    def callback(self, fold: int) -> Callback:
        """For the network of a fold."""
        return _Prune(self, fold == 0)


class _Prune(Callback):
    _one_at_a_time = threading.Lock()  # reports of two threads at a time are more than some storages bear

    def __init__(self, watched: _Watched, reports: bool):
        super().__init__()
        self._watched, self._reports = watched, reports
        self._first: int | None = None

    def on_epoch_end(self, epoch, logs=None):
        """Report, and stop where the trial is pruned."""
        self._first = epoch if self._first is None else self._first
        watched, value = self._watched, (logs or {}).get(self._watched.monitor)
        if self._reports and value is not None and not watched.pruned:
            with self._one_at_a_time:
                watched.trial.report(float(value), epoch)
                watched.curve += [math.nan] * (epoch - self._first - len(watched.curve)) + [float(value)]
                watched.pruned = watched.trial.should_prune()
        if watched.pruned:
            self.model.stop_training = True


def _tell(optuna, study, asked, trial: Trial | None) -> None:
    states = optuna.trial.TrialState
    if trial is None:
        study.tell(asked, state=states.FAIL)
        return
    for name in ("curve", "training_curve", "scores", "fold_scores", "seconds", "error", "state"):
        asked.set_user_attr(name, getattr(trial, name))
    if trial.state == "failed" or (trial.state == "complete" and not math.isfinite(trial.score)):
        study.tell(asked, state=states.FAIL)
    elif trial.state == "complete":
        study.tell(asked, trial.score)
    else:  # what it had reached tells the sampler more than a failure would
        study.tell(asked, state=states.PRUNED)


def _from_study(optuna, old, space: dict) -> Trial | None:
    """A trial that the study has from before; None if it is not finished, or not from here."""
    if not old.state.is_finished() or "state" not in old.user_attrs or set(old.params) != set(space):
        return None
    known = {name: value for name, value in old.user_attrs.items() if name in Trial.__dataclass_fields__}
    score = old.value if known["state"] == "complete" and old.value is not None else math.nan
    return Trial(old.number, _values(old.params, space), score, **known)


def _finished(optuna, study) -> int:
    """How many trials are through; those that were asked for and never trained are not."""
    failed = optuna.trial.TrialState.FAIL
    return sum(trial.state.is_finished() and (trial.state != failed or "state" in trial.user_attrs)
               for trial in study.get_trials(deepcopy=False))


def _suggest(trial, name: str, one) -> None:
    if isinstance(one, Choice):
        trial.suggest_categorical(name, _labels(one))
    else:
        suggest = trial.suggest_float if isinstance(one, Float) else trial.suggest_int
        suggest(name, one.low, one.high, log=one.log)


def _goes_on(distribution, one) -> bool:
    """Whether a hyperparameter may be this one in a study where its distribution was that one."""
    kind = "Categorical" if isinstance(one, Choice) else "Float" if isinstance(one, Float) else "Int"
    if type(distribution).__name__ != f"{kind}Distribution":
        return False
    if not isinstance(one, Choice):
        return distribution.log == one.log
    labels = _labels(one)
    return len(labels) == len(distribution.choices) and all(map(same, labels, distribution.choices))


def _labels(one: Choice) -> list:
    """What stands for the values in Optuna's storage, which takes plain ones only; places tell apart what would be the
    same there."""
    labels = [value if isinstance(value, _PLAIN) else repr(value) for value in one.values]
    alone = [sum(same(label, other) for other in labels) == 1 for label in labels]
    return [label if alone[i] else f"{label} [{i}]" for i, label in enumerate(labels)]


def _values(params: dict, space: dict) -> dict:
    """Hyperparameters as the space has them, in its order."""
    values = {}
    for name, one in space.items():
        value = params[name]
        if isinstance(one, Choice):
            known = [other for other, label in zip(one.values, _labels(one), strict=True) if same(label, value)]
            if not known:
                raise ValueError(f"BayesianSearch: the study has a trial with {name}={value!r}, which is none of the "
                                 f"values {list(one.values)!r}; wanted the values of before, or another name for the "
                                 "study")
            value = known[0]
        values[name] = value
    return values


def _optuna():
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise errors.missing("BayesianSearch", "optuna", "search") from error
    return optuna


@contextmanager
def _ended_by_its_sampler(study):
    """Gives ``ended()``: whether the sampler has nothing left to try. It says so by ``Study.stop``, which Optuna allows
    in its own loop only; a grid that was through before says so when it is asked."""
    told = []
    study.stop = lambda: told.append(True)
    exhausted = getattr(study.sampler, "is_exhausted", lambda study: False)
    try:
        yield lambda: bool(told) or exhausted(study)
    finally:
        del study.stop


@contextmanager
def _quiet(optuna):
    """Optuna tells of each study and trial; a library prints nothing unless asked."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(before, optuna.logging.WARNING))
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
