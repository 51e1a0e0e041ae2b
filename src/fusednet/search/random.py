"""`RandomSearch`: sample, train, score, narrow the ranges round the best, and again.

Reads space.py, objective.py, results.py, many.py; read by users.

a) The classical steps: a wide range, samples, scores on validation rows, a narrower range. Random samples are better
   than a grid: few hyperparameters matter, and a grid tries few values of each (Bergstra & Bengio 2012).
b) Trial i is the same whatever the number of workers, and in the first round whatever the number of trials.
"""

import math
from collections.abc import Callable

import numpy as np

from fusednet import errors, many
from fusednet.search import objective
from fusednet.search.results import Results, Trial
from fusednet.search.space import Choice, checked, same

_MARGIN = 0.25
"""Of the width of the best trials' range, added at each end; not less than the distance from one trial to the next."""


class RandomSearch:
    """Hyperparameters chosen at random, in rounds that narrow their ranges.

    Parameters
    ----------
    space : dict
        By name `Float`, `Int`, `Choice` or a list of values.
    n_trials : int
        Of all rounds together.
    rounds : int, default 1
        After each round but the last the ranges are narrowed round the best trials so far (`narrowed`).
    best : float, default 0.2
        The share of all trials so far that counts as best there; 3 trials at least.
    monitor : str, optional
        The key that trials are compared by; by default the first metric, or the loss, on the validation rows.
    mode : {"auto", "min", "max"}, default "auto"
        Whether it is better when smaller or larger; "auto" knows the usual names.
    seed : int, default 0
        Of samples, networks and rows for validation.

    Attributes
    ----------
    results : Results or None
        Also of a search that was interrupted.

    Examples
    --------
    >>> import fusednet as fn
    >>> from fusednet.search import Float, Int, RandomSearch
    >>> x, y = fn.load_digits()
    >>> def build(units, rate):
    ...     model = fn.Sequential([fn.Normalization(), fn.Dense(units, activation="relu"), fn.Dense(10)])
    ...     model.compile(fn.Adam(rate), "sparse_categorical_crossentropy", ["accuracy"])
    ...     return model
    >>> space = {"units": Int(16, 64, log=True), "rate": Float(1e-4, 1e-1, log=True), "batch_size": [32, 64]}
    >>> search = RandomSearch(space, n_trials=12, rounds=3)
    >>> results = search.run(build, x, y, validation_split=0.2, epochs=3)
    >>> len(results.trials), sorted(results.best_params)
    (12, ['batch_size', 'rate', 'units'])

    References
    ----------
    J. Bergstra, Y. Bengio (2012), Random search for hyper-parameter optimization, JMLR 13, 281-305.
    """

    def __init__(self, space: dict, n_trials: int, *, rounds: int = 1, best: float = 0.2, monitor: str | None = None,
                 mode: str = "auto", seed: int = 0):
        self.space = checked(space)
        self.n_trials = errors.integer("RandomSearch", "n_trials", n_trials, 1)
        self.rounds = errors.integer("RandomSearch", "rounds", rounds, 1)
        if self.rounds > self.n_trials:
            raise ValueError(f"RandomSearch: rounds is {rounds}, n_trials {n_trials}; wanted a trial in each round")
        self.best = errors.real("RandomSearch", "best", best, 0, 1, open_low=True)
        self.monitor, self.mode = monitor, mode
        self.seed = errors.integer("RandomSearch", "seed", seed, 0)
        self.results: Results | None = None

    def run(self, build, x, y, *, validation_split: float = 0.0, validation_data=None, split: str = "random",
            folds=None, sample_weight=None, workers: int | None = None, on_error: str = "raise",
            progress: bool = False, told: Callable[[Trial], None] | None = None, **options) -> Results:
        """Search.

        Parameters
        ----------
        build : callable or estimator
            ``build(**params)`` returns a compiled `Sequential`, or that and a dict of arguments of ``fit``. What
            ``fit`` takes and `build` does not (batch_size, epochs, class_weight, ...) may be in the space too. An
            estimator is copied and given the parameters, and trials are compared by its score, ``val_score``.
        x, y : array_like
            Training rows, and those for validation where they are set aside of them; no test rows.
        validation_split, validation_data, split, folds, sample_weight, workers, progress, **options
            As for `fit_many`; one of the first two or `folds` is needed.
        on_error : {"raise", "keep"}, default "raise"
            "keep": a trial that fails is kept as failed, also where `build` fails, and the search goes on.
        told : callable, optional
            ``told(trial)`` is called when a trial is through.

        Returns
        -------
        Results

        Raises
        ------
        ValueError, TypeError
            If something is not valid, a test set among it; before anything is trained.
        """
        goal = objective.prepare(build, x, y, seed=self.seed, monitor=self.monitor, mode=self.mode,
                                 validation_split=validation_split, validation_data=validation_data, split=split,
                                 folds=folds, sample_weight=sample_weight, options=options)
        many._check_arguments(on_error, workers, {})
        self.results = results = goal.results(self.space, np.random.default_rng(self.seed), on_error)
        space, number, count = self.space, 0, 0
        for i in range(self.rounds):
            if i:
                space = narrowed(space, self._best_trials(), count)
                results.spaces.append(space)
            count = self.n_trials // self.rounds + (i < self.n_trials % self.rounds)
            chosen = []
            for _ in range(count):
                rng = np.random.default_rng([self.seed, number])
                chosen.append((number, {name: one.sample(rng) for name, one in space.items()}))
                number += 1
            goal.train(chosen, results, round=i, workers=workers, on_error=on_error, progress=progress, told=told)
        return results

    def _best_trials(self) -> list[Trial]:
        ranked = self.results.ranked()
        return ranked[: max(3, math.ceil(self.best * len(self.results.trials)))]


def narrowed(space: dict, trials: list[Trial], tried: int) -> dict:
    """The ranges of a space that the trials lie in, with a margin; of choices those that they took.

    Parameters
    ----------
    space : dict
    trials : list of Trial
        The best ones; without any the space stays as it is.
    tried : int
        How many trials the space was sampled with.

    Returns
    -------
    dict
        Never wider than `space`: from the smallest to the largest value of the trials on the scale, and a quarter of
        that more at each end. At least the distance that `tried` even samples have from each other is added: as far
        from the best one the very best may lie.
    """
    if not trials:
        return space
    made = {}
    for name, one in space.items():
        values = [trial.params[name] for trial in trials]
        if isinstance(one, Choice):
            made[name] = Choice([value for value in one.values if any(same(value, taken) for taken in values)])
            continue
        places = [one.scaled(value) for value in values]
        distance = (one.scaled(one.high) - one.scaled(one.low)) / (tried + 1)
        margin = max(_MARGIN * (max(places) - min(places)), distance)
        made[name] = one.within(min(places) - margin, max(places) + margin)
    return made
