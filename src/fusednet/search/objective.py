"""From hyperparameters to trials: networks are built, trained on all cores, scored.

Reads many.py, pool.py, results.py, space.py, errors.py; read by the two searches, which choose the hyperparameters.

a) Data are checked and divided once for the whole search, before anything is trained; every trial sees the same rows.
b) The seed of a network is made from the search's, the trial's number and the fold: a trial can be made again alone.
c) Test rows are refused by name: what is chosen by them cannot be judged by them.
"""

import math
from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from fusednet import errors, many
from fusednet.estimators import is_estimator, takes_validation
from fusednet.many import Division, Shared
from fusednet.pool import Fitted
from fusednet.search.results import Results, Trial
from fusednet.search.space import Choice

_SAMPLES = 8  # of a space, of which one at least is to make a network


class Objective:
    """What trials are trained on and compared by.

    Parameters
    ----------
    build : callable or estimator
        See `RandomSearch.run`.
    shared : Shared
    division : Division
    seed : int
    options : dict
        Of ``fit``.
    monitor : str or None
        None: the first metric of the networks, or their loss, on the validation rows.
    mode : str
    """

    def __init__(self, build, shared: Shared, division: Division, seed: int, options: dict, monitor: str | None,
                 mode: str):
        self._build, self._shared, self._division = build, shared, division
        self._seed, self._options, self._mode = seed, options, mode
        self.monitor = monitor

    def results(self, space: dict, rng: np.random.Generator, on_error: str = "raise") -> Results:
        """Empty results, after everything has been looked at with a sample of the space; where errors are kept, with
        the first of some samples that will do."""
        for left in reversed(range(_SAMPLES if on_error == "keep" else 1)):
            sample = {name: one.sample(rng) for name, one in space.items()}
            try:
                recruit = many.recruit(sample, self._build, 0)
                many.make_jobs([recruit], self._shared, self._division, self._seed, self._options)
                break
            except Exception:
                if not left:
                    raise
        models = [recruit.model]
        if is_estimator(self._build) and isinstance(space.get("solver"), Choice):  # not all tell the same
            models += [many.recruit(sample | {"solver": solver}, self._build, 0).model
                       for solver in space["solver"].values]
        keys = max(map(_keys, models), key=len)
        if self.monitor is None:
            self.monitor = keys[-1] if is_estimator(recruit.model) else keys[:2][-1]
        if self.monitor not in keys:
            raise errors.unknown("search", "monitor", self.monitor, keys)
        mode = "max" if self.monitor == "val_score" and self._mode == "auto" else self._mode
        return Results(self.monitor, mode, space)

    def train(self, chosen: list[tuple[int, dict]], results: Results, *, round: int = 0, watch: Callable | None = None,
              told: Callable[[Trial], None] | None = None, **running) -> None:
        """Train a trial for each number and set of hyperparameters, and put them into `results`.

        Parameters
        ----------
        chosen : list of (number, params)
            Of rising numbers.
        results : Results
        round : int
        watch : callable, optional
            ``watch(number, fold)`` makes a callback for a network.
        told : callable, optional
            ``told(trial)`` is called when a trial is through.
        **running
            Of `many.train`.
        """
        jobs, taken = [], many.taken_by(self._build)
        for number, params in chosen:
            try:
                recruit = many.recruit(params, self._build, number, taken)
                jobs += many.make_jobs([recruit], self._shared, self._division, self._seed, self._options, first=number)
            except Exception as error:
                if running.get("on_error") != "keep":
                    raise
                trial = Trial(number, params, state="failed", round=round, error=_said(error))
                results.add(trial, [])
                if told is not None:
                    told(trial)
        if watch is not None:
            for job in jobs:
                job.callbacks.append(watch(job.index, job.fold or 0))
        waiting: dict[int, list[Fitted]] = {}
        folds = Counter(job.index for job in jobs)
        params_of = dict(chosen)

        def ended(one: Fitted) -> None:
            parts = waiting.setdefault(one.index, [])
            parts.append(one)
            if len(parts) == folds[one.index]:
                parts.sort(key=lambda part: part.fold or 0)
                trial = self._trial(one.index, params_of[one.index], round, parts)
                results.add(trial, [part.model for part in parts])
                if told is not None:
                    told(trial)
                for part in parts:
                    part.model = part.history = None
                waiting[one.index] = []

        many.train(jobs, told=ended, **running)

    def _trial(self, number: int, params: dict, round: int, parts: list[Fitted]) -> Trial:
        trial = Trial(number, params, round=round, seconds=sum(part.seconds for part in parts))
        failed = next((part.error for part in parts if part.error is not None), None)
        if failed is not None:
            trial.state, trial.error = "failed", _said(failed)
            return trial
        histories = [part.history for part in parts]
        trial.curve = _mean_curve(histories, self.monitor)
        trial.training_curve = _mean_curve(histories, self.monitor.removeprefix("val_"))
        trial.scores = {key: _mean([part.scores[key] for part in parts]) for key in parts[0].scores}
        trial.fold_scores = [part.scores.get(self.monitor, math.nan) for part in parts]
        if any(part.history.stopped for part in parts):
            trial.state = "diverged"
        else:
            trial.score = trial.scores.get(self.monitor, math.nan)
        return trial


def _keys(model) -> list[str]:
    """What trials of such networks can be compared by."""
    if not is_estimator(model):
        return [f"val_{key}" for key in ("loss", *(metric.name for metric in model.metrics))]
    return ["val_loss", "val_score"] if takes_validation(model) else ["val_score"]


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _mean_curve(histories: list, key: str) -> list[float]:
    """The mean over folds, as far as all of them go."""
    curves = [_by_epoch(history, key) for history in histories]
    return [_mean(values) for values in zip(*curves, strict=False)]


def _by_epoch(history, key: str) -> list[float]:
    """The values of a key; NaN for epochs without validation."""
    values = history.history.get(key, [])
    if not hasattr(history, "epochs_of") or len(values) in (0, len(history.epoch)):
        return values
    known = dict(zip(history.epochs_of(key), values, strict=True))
    return [known.get(epoch, math.nan) for epoch in range(history.epoch[0], max(known) + 1)]


def _mean(values: Sequence[float]) -> float:
    """Their mean; that of one is itself, and NumPy asked for it would take as long as an epoch's results."""
    return float(np.mean(values)) if len(values) > 1 else values[0]


def prepare(build, x, y, *, seed: int, monitor: str | None, mode: str, validation_split: float, validation_data,
            split: str, folds, sample_weight, options: dict) -> Objective:
    """An objective out of what a user gives to a search.

    Raises
    ------
    ValueError, TypeError
        If something is not valid, a test set among it.
    """
    for name in options:
        if "test" in name.lower():
            raise ValueError(f"search: {name} is given; wanted no test rows in a search: what is chosen by them cannot "
                             "be judged by them. Search with training and validation rows, and evaluate the best model "
                             "with the test rows when the search is over")
    many._check_arguments("raise", None, options)
    if not callable(build) and not is_estimator(build):
        raise TypeError(f"search: build is {type(build).__name__}; wanted a function of the hyperparameters that "
                        "returns a compiled Sequential, or an estimator")
    division = Division(validation_split, split, folds, seed, validation_data is not None)
    if not division.validates:
        raise ValueError("search: there are no validation rows; wanted validation_split, validation_data or folds")
    return Objective(build, Shared(x, y, sample_weight, validation_data), division, seed, dict(options), monitor, mode)
