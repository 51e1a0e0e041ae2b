"""What was measured, as data: seconds of epochs and calls, losses, rates of the machine; and the file that keeps it.

Reads nothing; read by training.py and measure.py, which fill it, and by page.py and chart.py, which show it.

a) A file of results grows job by job and library by library, so that a table can be put together from several short
   runs on one machine. Ratios that are claimed come from runs in which all took turns.
"""

import json
import statistics
from dataclasses import asdict, dataclass, field
from pathlib import Path

OURS = "fusednet"
"""Our name among the libraries."""


@dataclass
class Timed:
    """What one library reached on one job with so many threads; seconds of epochs, or of calls.

    `more_losses` are of other orders of rows, from the same weights: what they differ by is noise.
    """

    seconds: list[float] = field(default_factory=list)
    loss: float | None = None
    more_losses: list[float] = field(default_factory=list)
    refusal: str = ""

    @property
    def best(self) -> float:
        return min(self.seconds)

    @property
    def spread(self) -> float:
        """How far the median is above the best, relative to the best."""
        return statistics.median(self.seconds) / self.best - 1


@dataclass
class Results:
    """All that was measured, as it is in the file.

    Attributes
    ----------
    training : dict
        job -> library -> threads (text) -> `Timed`.
    rates : dict
        The machine's, as `floor.Rates` keeps them.
    prediction : dict
        network -> rows (text) -> library -> threads (text) -> `Timed`.
    versions : dict
        library -> its version.
    facts : dict
        On what it was measured, as `ceilings.facts` says it; of the last run.
    """

    training: dict = field(default_factory=dict)
    rates: dict = field(default_factory=dict)
    prediction: dict = field(default_factory=dict)
    versions: dict = field(default_factory=dict)
    facts: dict = field(default_factory=dict)

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> "Results":
        """Those of the file, or none where there is no file.

        Raises
        ------
        ValueError
            If the file holds something else.
        """
        if not path.exists():
            return cls()

        def timed(words: dict, depth: int):
            return Timed(**words) if not depth else {key: timed(value, depth - 1) for key, value in words.items()}

        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            told["training"], told["prediction"] = timed(told["training"], 3), timed(told["prediction"], 4)
            return cls(**told)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path} holds no results of fusednet bench ({type(error).__name__}: {error})") from None
