"""What the command prints: labelled lines that fit the terminal, numbers and lists in words, and where to.

Reads nothing; read by cli/__init__.py and the subcommands.
"""

import os
import shutil
import sys
import textwrap

import numpy as np

_LABEL = 12


class Outlet:
    """A text stream that drops what it cannot print because the reader of the pipe has seen enough.

    What is computed is not for the reader alone: the model of ``fusednet train | head`` is saved all the same.
    """

    def __init__(self, stream):
        self._stream = stream

    def __getattr__(self, name):
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        try:
            return self._stream.write(text)
        except UnicodeEncodeError:  # names of classes and files in a terminal without their letters
            encoding = self._stream.encoding
            return self._stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        except BrokenPipeError:
            self._drop()
            return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except BrokenPipeError:
            self._drop()

    def _drop(self) -> None:
        null = os.open(os.devnull, os.O_WRONLY)  # which takes what the stream still holds, too
        os.dup2(null, self._stream.fileno())
        os.close(null)


def say(label: str, text: str, *, fold: bool = True) -> None:
    """Print a label and, beside it, text; folded to the width of a terminal, one line everywhere else.

    `fold` is False for what people copy: a command, the name of a file.
    """
    if not fold or not sys.stdout.isatty():
        print(f"{label:<{_LABEL}}{text}", flush=True)
        return
    width = shutil.get_terminal_size().columns
    first, others = (f"{label:<{_LABEL}}", " " * _LABEL) if width >= 50 else (f"{label}: ", "  ")
    lines = textwrap.wrap(text, max(width - 1, 20), initial_indent=first, subsequent_indent=others,
                          break_on_hyphens=False)
    print("\n".join(lines), flush=True)


def count(number: int, noun: str) -> str:
    """As in "1 row", "2,000 rows"."""
    return f"{number:,} {noun}{'' if number == 1 else 'es' if noun.endswith('ss') else 's'}"


def number(value: float) -> str:
    """Four digits that count, all of those before the point."""
    size = abs(value)
    if not size < 1e9:
        return f"{value:.4g}"
    if size >= 1000:
        return f"{value:,.0f}"
    return f"{value:.4g}" if size < 1e-3 else f"{value:.{3 if size < 10 else 2 if size < 100 else 1}f}"


def some(names, most: int = 5) -> str:
    """A list of names, the rest counted."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def in_classes(y: np.ndarray, predicted) -> str:
    """The score of predicted classes in words."""
    return f"accuracy {np.mean(predicted == y):.2%}"


def in_numbers(y: np.ndarray, predicted: np.ndarray, scale: float = 1.0) -> str:
    """The score of predicted numbers in words; `scale` is of one unit."""
    y, predicted = y.astype(np.float64), predicted.astype(np.float64)
    errors = (predicted - y) * scale
    spread = np.square((y - y.mean()) * scale).sum()
    r2 = 1 - np.square(errors).sum() / spread if spread > 0 else np.nan  # of one row, or of equal ones, there is none
    rmse, mae = np.sqrt(np.square(errors).mean()), np.abs(errors).mean()
    return f"R2 {r2:{'.4f' if abs(r2) < 1e4 else '.4g'}}, RMSE {number(rmse)}, MAE {number(mae)}"
