"""What came out of a search: trials, the best, a table.

Reads errors.py, callbacks (what better means), plot.py when a picture is asked for; filled by the searches.

a) A trial without a score (it failed, or was stopped because its numbers were not finite) is last.
b) Of models only the best trial's stay; a trial is numbers, whatever the number of trials.
"""

import math
from bisect import insort
from dataclasses import dataclass, field

from fusednet import errors
from fusednet.callbacks._monitor import Monitor
from fusednet.search import plot
from fusednet.search.space import COLUMNS


@dataclass
class Trial:
    """One set of hyperparameters, tried.

    Attributes
    ----------
    number : int
        From 0, in the order in which they were chosen.
    params : dict
    score : float
        Of the monitored key on the validation rows, the mean over folds; NaN if there is none.
    state : {"complete", "pruned", "diverged", "failed"}
        "pruned": given up before its end; "diverged": stopped because its numbers were not finite.
    round : int
        Of a search that narrows its ranges.
    curve : list of float
        The monitored key by epoch, the mean over folds; NaN for an epoch without validation.
    training_curve : list of float
        The same on the training rows.
    scores : dict of str to float
        All keys in the end, means over folds.
    fold_scores : list of float
        The score of each fold.
    seconds : float
        Of training, added over folds.
    error : str
        Of a trial that failed.
    """

    number: int
    params: dict
    score: float = math.nan
    state: str = "complete"
    round: int = 0
    curve: list[float] = field(default_factory=list)
    training_curve: list[float] = field(default_factory=list)
    scores: dict[str, float] = field(default_factory=dict)
    fold_scores: list[float] = field(default_factory=list)
    seconds: float = 0.0
    error: str = ""


def _has_score(trial: Trial) -> bool:
    return trial.state == "complete" and math.isfinite(trial.score)


class Results:
    """The trials of a search.

    Parameters
    ----------
    monitor : str
        The key that trials are compared by.
    mode : {"auto", "min", "max"}
        Whether it is better when smaller or when larger.
    space : dict
        What was searched.

    Attributes
    ----------
    trials : list of Trial
        In the order of their numbers.
    spaces : list of dict
        The space of each round.
    best_models : list of Sequential
        The networks of the best trial, one for each fold; empty where it was trained in another process.
    """

    def __init__(self, monitor: str, mode: str, space: dict):
        self._better = Monitor(monitor, mode).better
        self.monitor, self.upwards = monitor, self._better(1.0, 0.0)
        self.space, self.spaces = space, [space]
        self.trials: list[Trial] = []
        self.best_models: list = []
        self._leader: Trial | None = None  # the best so far: a search of many trials does not sort them after each

    def better(self, score: float, other: float) -> bool:
        """Whether a score is better than another; NaN is not, and any number is better than it."""
        return self._better(score, None if math.isnan(other) else other)

    def add(self, trial: Trial, models: list) -> None:
        """Take a trial in; its models stay if it is the best."""
        insort(self.trials, trial, key=lambda one: one.number)
        if _has_score(trial) and (self._leader is None or self._rank(trial) < self._rank(self._leader)):
            self._leader, self.best_models = trial, models

    def _rank(self, trial: Trial) -> tuple:
        return -trial.score if self.upwards else trial.score, trial.number

    def ranked(self) -> list[Trial]:
        """Trials that have been completed with a score, the best first; of equal ones the earlier."""
        return sorted(filter(_has_score, self.trials), key=self._rank)

    @property
    def best(self) -> Trial:
        """The best trial."""
        ranked = self.ranked()
        if not ranked:
            states = ", ".join(sorted({trial.state for trial in self.trials})) or "none there"
            raise ValueError(f"search: no trial has a score (trials: {states})")
        return ranked[0]

    @property
    def best_params(self) -> dict:
        """The hyperparameters of the best trial."""
        return dict(self.best.params)

    @property
    def best_score(self) -> float:
        """The score of the best trial, on validation rows: of many trials the luckiest is a little flattered."""
        return self.best.score

    @property
    def best_model(self):
        """The network of the best trial; with folds that of the first fold. None where another process has it."""
        return self.best_models[0] if self.best_models else None

    def rows(self) -> list[dict]:
        """A dict for each trial, the best first: its number, score, state, seconds, and its hyperparameters."""
        ranked = self.ranked()
        others = [trial for trial in self.trials if all(trial is not one for one in ranked)]
        return [{name: getattr(trial, name) for name in COLUMNS} | trial.params for trial in (*ranked, *others)]

    def to_pandas(self):
        """`rows` as a ``pandas.DataFrame``.

        Returns
        -------
        pandas.DataFrame

        Raises
        ------
        ImportError
            If pandas is not installed; says what to type.
        """
        try:
            import pandas
        except ModuleNotFoundError as error:
            raise ImportError("Results.to_pandas needs the package pandas, which is not installed: pip install pandas "
                              "(Results.rows gives the same as dicts)") from error
        return pandas.DataFrame(self.rows())

    def __str__(self) -> str:
        rows = self.rows()
        if not rows:
            return "<Results: no trials>"
        heads = list(dict.fromkeys(name for row in rows for name in row))
        cells = [[_text(row.get(name, "")) for name in heads] for row in rows[:10]]
        widths = [max(len(text) for text in column) for column in zip(heads, *cells, strict=True)]
        lines = ["  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True))
                 for line in (heads, *cells)]
        more = [f"... and {len(rows) - 10} more"] if len(rows) > 10 else []
        return "\n".join((f"{len(rows)} trials, by {self.monitor}", *lines, *more))

    def plot(self, path=None, best: int = 20):
        """Draw the learning curves of the best trials, and the score against each hyperparameter.

        Parameters
        ----------
        path : str or os.PathLike, optional
            Where to save the picture; its ending says as what (``.png``, ``.svg``, ``.pdf``). Without it the figure
            belongs to ``matplotlib.pyplot``.
        best : int, default 20
            How many learning curves.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ValueError
            If no trial has a score.
        ImportError
            If matplotlib is not installed; says what to type.
        FileNotFoundError
            If the folder does not exist.
        """
        return plot.draw(self, path, errors.integer("plot", "best", best, 1))


def _text(value) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
