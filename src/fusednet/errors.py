"""What users are told when a value is not valid: what was given, what was wanted, where.

Reads nothing; read by every module that takes values from users. Each function gives the value back in the type that
the library works with, or raises before anything has changed.
"""

import difflib
import math
import numbers
import operator
from collections.abc import Iterable


def real(where: str, name: str, value, low: float = -math.inf, high: float = math.inf, *, open_low=False,
         open_high=False) -> float:
    """`value` as a float in the range; `where` is the function or class that was called, `name` its argument."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{where}: {name} is {value!r}; wanted a number")
    number = float(value)
    inside = low < number if open_low else low <= number
    inside = inside and (number < high if open_high else number <= high)
    if not inside or not math.isfinite(number):
        raise ValueError(f"{where}: {name} is {number:g}; wanted {_range(low, high, open_low, open_high)}")
    return number


def _range(low: float, high: float, open_low: bool, open_high: bool) -> str:
    if math.isinf(high):
        if math.isinf(low):
            return "a finite number"
        return f"a finite number {'above' if open_low else 'of at least'} {low:g}"
    return f"a number in {'(' if open_low else '['}{low:g}, {high:g}{')' if open_high else ']'}"


def integer(where: str, name: str, value, low: int | None = None) -> int:
    """`value` as an int of at least `low`."""
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{where}: {name} is {value!r}; wanted a whole number") from None
    if low is not None and number < low:
        raise ValueError(f"{where}: {name} is {number}; wanted {low} or more")
    return number


def boolean(where: str, name: str, value) -> bool:
    """`value` as a bool; only True and False (NumPy's too) are."""
    if isinstance(value, bool) or type(value).__name__ in ("bool_", "bool"):
        return bool(value)
    raise TypeError(f"{where}: {name} is {value!r}; wanted True or False")


def nearest(value, known: Iterable[str]) -> str | None:
    """The known name that `value` is most like, if it is like one."""
    near = difflib.get_close_matches(value, known, n=1) if isinstance(value, str) else []
    return near[0] if near else None


def unknown(where: str, name: str, value, known: Iterable[str], kind: type[Exception] = ValueError) -> Exception:
    """The error of class `kind` for a name that is not among the known ones, with the nearest; `where` may be empty."""
    known = list(known)
    near = nearest(value, known)
    hint = f" (did you mean {near!r}?)" if near else ""
    return kind(f"{where}{': ' if where else ''}{name} is {value!r}; known: {', '.join(known)}{hint}")


def missing(use: str, package: str, extra: str, hint: str = "") -> ImportError:
    """The error for a package that is not installed: what it is for, which extra of fusednet brings it, and what else
    to do."""
    return ImportError(f"{use} needs the package {package}, which is not installed: pip install 'fusednet[{extra}]'"
                       f"{hint}")
