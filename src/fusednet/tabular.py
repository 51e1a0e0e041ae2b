"""Tables from files: reading CSV and Parquet, the target, and whether it asks for classes or for a number.

Reads pandas when a file is read; read by cli and recipe.py. What becomes of the columns is in recipe.py.

a) What is wrong with a file or a table is a `ValueError` of one line: it is what the command prints.
b) A guess (separator, task) comes with its reason, so that whoever reads it can say otherwise.
"""

import contextlib
import difflib
import os
import re
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fusednet import errors

TASKS = ("classification", "regression")
MOST_CLASSES = 20
"""Whole numbers with more different values than these are taken for quantities, not for classes."""

ENDINGS = (".csv", ".tsv", ".txt", ".gz", ".bz2", ".xz", ".zip", ".parquet", ".pq")
"""Of files with tables, and of what they may be packed in."""
_SEPARATORS = (",", ";", "\t", "|")
_CUT = re.compile(rf'[{"".join(_SEPARATORS)}] *"(?:[^"]|"")*$')
"""A name in which a quote opens, behind another separator, and does not close: it was cut inside quotes."""

_DECIMAL_COMMA = r" *[+-]?(?:\d+(?:,\d*)?|,\d+)(?:[eE][+-]?\d+)? *"
_WHOLE_OR_MISSING = r" *[+-]?\d+ *|\W*|(?i:n/?a|nan|null|none|<na>|#n/a(?: n/a)?|-?1?\.?#(?:ind|qnan|na))"
_EXACT = 2.0**53  # from which on floats do not hold all whole numbers
_COMMA_OF_GROUPS = r" *[+-]?[1-9]\d{0,2}(?:,\d{3})+ *"
"""Such as 1,250, which may be a number of four digits; 0,250 and 1,25 may not."""


def pandas():
    """The package pandas, or an `ImportError` that says what to type."""
    try:
        import pandas
    except ModuleNotFoundError as error:
        raise errors.missing("reading a table", "pandas", "cli") from error
    return pandas


# ---- files -----------------------------------------------------------------------------------------------------------


def read(path: str | os.PathLike, text: tuple[str, ...] = (), numbers: tuple[str, ...] = ()):
    """A table from a file.

    Parameters
    ----------
    path : str or os.PathLike
        CSV, with commas, semicolons, tabs or bars between the columns (of these what gives the first line most columns
        without cutting quoted names) and their names in the first line, compressed or not; or Parquet, known by its
        first bytes, of which named levels of the index are columns too. Where no commas separate columns, numbers may
        have a decimal comma: columns of nothing else are numbers, unless the commas of all may stand between thousands.
    text : tuple of str
        Columns of CSV that are read as text whatever is in them.
    numbers : tuple of str
        Columns that are known to hold numbers: commas in them are decimal ones.

    Returns
    -------
    pandas.DataFrame
        With names as text and rows counted from 0.

    Raises
    ------
    FileNotFoundError, OSError
        If it is not there or cannot be read.
    ValueError
        If it is a pipe, neither CSV nor Parquet, has no rows, rows are longer than the line of names, or two columns
        have the same name.
    ImportError
        If pandas (for Parquet also pyarrow) is not installed; says what to type.
    """
    path = os.fspath(path)
    if os.path.isdir(path):
        raise ValueError(f"{path} is a folder; wanted a CSV or Parquet file")
    if Path(path).is_fifo():
        raise ValueError(f"{path} is a pipe, which can be read only once; wanted a CSV or Parquet file")
    with open(path, "rb") as file:
        start = file.read(4096)
    if not start:
        raise ValueError(f"{path} is empty; wanted a CSV or Parquet file")
    pandas()
    frame = _read_parquet(path) if start[:4] == b"PAR1" else _read_csv(path, start, text, numbers)
    frame.columns = [str(name).strip() for name in frame.columns]
    check_names(path, frame.columns)
    if len(frame) == 0:
        raise ValueError(f"{path} has no rows below the names of its {len(frame.columns)} columns")
    return frame.reset_index(drop=True)


def _read_parquet(path: str):
    try:
        frame = pandas().read_parquet(path)
    except ImportError as error:
        raise errors.missing(f"{path} is Parquet, which", "pyarrow", "cli") from error
    except Exception as error:  # pyarrow's errors have no base that could be named without importing it
        raise ValueError(f"{path} cannot be read as Parquet: {_first_line(error)}") from error
    named = [level for level, name in enumerate(frame.index.names) if name is not None]
    # duplicates, which are then refused with the file's name
    return frame.reset_index(level=named, allow_duplicates=True) if named else frame


# how packed files begin: no text does, be the first column's name "PK" or "BZ"
_PACKED = {rb"\x1f\x8b": "gzip", rb"BZh[1-9](1AY&SY|\x17\x72\x45\x38\x50\x90)": "bz2", rb"PK[\x03\x05]": "zip",
           rb"\xfd7zXZ\x00": "xz"}


def _read_csv(path: str, start: bytes, text: tuple[str, ...], numbers: tuple[str, ...]):
    packed = next((name for begin, name in _PACKED.items() if re.match(begin, start)), None)
    if packed is None and b"\0" in start:
        ending = os.path.splitext(path)[1].lower()
        known = "" if ending in ENDINGS else f" ({ending or 'no ending'})"
        raise ValueError(f"{path} is not text{known}; wanted a CSV or Parquet file")
    options = {"index_col": False, "skipinitialspace": True, "low_memory": False, "compression": packed or "infer"}
    try:
        heads = {sep: pandas().read_csv(path, sep=sep, header=None, nrows=1, dtype="str", skipinitialspace=True,
                                         keep_default_na=False, compression=packed or "infer").iloc[0]
                 for sep in _SEPARATORS}  # a column may have the name NA
        whole = [sep for sep, names in heads.items() if not any(map(_CUT.search, names))]
        separator = max(whole or heads, key=lambda sep: len(heads[sep]))  # of equal ones the first
        # without index_col=False the first values of rows that are too long would be their names; so separators may end
        # rows, and of other values it warns
        with warnings.catch_warnings():
            warnings.simplefilter("error", pandas().errors.ParserWarning)
            names = pandas().read_csv(path, sep=separator, nrows=0, **options).columns  # as they are: with spaces
            dtype = {name: "str" for name in names if name.strip() in text}
            if len(names) == 1:  # a line without anything is a row whose value is missing, if not before the name
                options["skip_blank_lines"] = packed is not None or start.removeprefix(b"\xef\xbb\xbf")[:1] in b"\r\n"
            frame = pandas().read_csv(path, sep=separator, dtype=dtype, **options)
    except pandas().errors.ParserWarning:
        raise ValueError(f"{path} has rows of more values than its first line has names "
                         f"({len(heads[separator])}); wanted a name for each column") from None
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8 text (byte {error.object[error.start]:#04x}); wanted a CSV file in UTF-8"
        ) from error
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's fault, not the file's
        # ParserError, EmptyDataError and those of the decompressors
        raise ValueError(f"{path} cannot be read as CSV: {_first_line(error)}") from error
    check_names(path, filter(str.strip, heads[separator]))  # pandas has made "a.1" of a second "a"
    if separator != ",":
        _read_decimal_commas(frame, text, numbers)
    _read_exactly(frame, path, {**options, "sep": separator}, text)
    if len(names) == 1:
        last = frame.iloc[:, 0].last_valid_index()
        frame = frame.iloc[: 0 if last is None else last + 1]
    return frame


def _read_exactly(frame, path: str, options: dict, text: tuple[str, ...]) -> None:
    """Make whole numbers of columns that have more digits than floats hold and lack some values: pandas makes floats of
    them, and text, missing values too, of those beyond 63 bits."""
    api = pandas().api.types
    large = [name for name, column in frame.items()
             if (api.is_float_dtype(column.dtype) and column.isna().any() and (column.abs() >= _EXACT).any())
             or (api.is_string_dtype(column.dtype) and str(name).strip() not in text
                 and column.dropna().astype("str").str.fullmatch(_WHOLE_OR_MISSING).all())]
    if not large:
        return
    given = pandas().read_csv(path, usecols=large, dtype="str", **options)
    for name in large:
        with contextlib.suppress(ValueError, TypeError, OverflowError):  # it has others too
            whole = [int(value) if isinstance(value, str) else None for value in given[name]]
            frame[name] = pandas().array(whole, "UInt64" if max(filter(None, whole)) >= 2**63 else "Int64")


def _read_decimal_commas(frame, text: tuple[str, ...], numbers: tuple[str, ...]) -> None:
    """Make numbers of the columns of text that are nothing but numbers with decimal commas."""
    api, decimal, certain = pandas().api.types, [], False
    for name, column in frame.items():
        if str(name).strip() in text or api.is_numeric_dtype(column.dtype) or api.is_bool_dtype(column.dtype):
            continue
        values = column.dropna().astype("str")
        commas = values[values.str.contains(",")]
        if len(commas) and values.str.fullmatch(_DECIMAL_COMMA).all():
            decimal.append(name)
            certain |= str(name).strip() in numbers or not commas.str.fullmatch(_COMMA_OF_GROUPS).all()
    for name in decimal if certain else ():
        frame[name] = frame[name].str.replace(",", ".").astype("float64")


def check_names(path: str, names) -> None:
    """Refuse names that are the same but for the spaces around them.

    Raises
    ------
    ValueError
        If two are.
    """
    seen = set()
    for name in (str(name).strip() for name in names):
        if name in seen:
            raise ValueError(f"{path} has two columns with the name {name!r}; wanted a name for each column")
        seen.add(name)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else type(error).__name__).strip().removeprefix("Error tokenizing data. ")


def unknown_column(path, name: str, columns, why: str = "") -> ValueError:
    """The error for a column that a table does not have, with the nearest ones."""
    columns = [str(column) for column in columns]
    lower = {column.lower(): column for column in columns}
    near = [lower[word] for word in difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.5)]
    near += [column for column in columns if name and name.lower() in column.lower() and column not in near]
    shown = near[:5] or columns[:10]
    rest = "" if near or len(columns) <= 10 else f", ... ({len(columns)} columns)"
    which = "nearest" if near else "it has"
    return ValueError(f"{path} has no column {name!r}{why}; {which}: {', '.join(shown)}{rest}")


# ---- the target ------------------------------------------------------------------------------------------------------


@dataclass
class Target:
    """What is to be predicted.

    Attributes
    ----------
    name : str
    task : {"classification", "regression"}
    why : str
        How the task was found.
    values : ndarray, (n,)
        Classes as they are (text, whole numbers, bools), or float64.
    classes : ndarray or None
        The different values, sorted.
    rows : ndarray of int64, (n,)
        The rows of the table that have a value.
    """

    name: str
    task: str
    why: str
    values: np.ndarray
    classes: np.ndarray | None
    rows: np.ndarray


def target(frame, name: str, task: str | None = None, path="the table") -> Target:
    """The target column of a table.

    Parameters
    ----------
    frame : pandas.DataFrame
    name : str
        Its name.
    task : {"classification", "regression"}, optional
        By default it is found: text, bools and a few different whole numbers are classes, other numbers are quantities.
    path : str
        Of the file, for messages.

    Raises
    ------
    ValueError
        If there is no such column, it has no values or a single one, or does not fit the task.
    """
    rows, values = target_values(frame, name, path)
    found = np.unique(values)
    if len(found) == 1:
        missing = len(frame) - len(values)
        without = f" that have one, {missing} are without it" if missing else ""
        raise ValueError(f"the target {name!r} is {found[0]!s} in all rows{without}; there is nothing to learn")
    kind, why = _task(values, found)
    if task is not None:
        why = "as asked for"
    if task == "regression" and values.dtype.kind not in "iuf":
        raise ValueError(f"the target {name!r} holds {_words(values)} ({found[0]!s}, ...), which has no regression; "
                         "wanted numbers, or --task classification")
    task = task or kind
    if task == "regression":
        return Target(name, task, why, values.astype(np.float64), None, rows)
    if len(found) > max(2, len(values) // 2):
        raise ValueError(f"the target {name!r} has {len(found)} different values in {len(values)} rows; wanted classes "
                         "with several rows each")
    return Target(name, task, why, as_classes(values), as_classes(found), rows)


def target_values(frame, name: str, path="the table") -> tuple[np.ndarray, np.ndarray]:
    """The rows of a table that have a value in the target column, and the values.

    Raises
    ------
    ValueError
        If there is no such column, or it has no values.
    """
    if name not in frame.columns:
        raise unknown_column(path, name, frame.columns)
    column = frame[name]
    has = column.notna().to_numpy(bool)
    if not has.any():
        raise ValueError(f"the target {name!r} has no values: all {len(frame)} rows of {path} are missing it")
    rows = np.flatnonzero(has)
    values = _plain(column[has])
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        keep = np.isfinite(values)
        rows, values = rows[keep], values[keep]
        if not len(rows):
            raise ValueError(f"the target {name!r} has no finite values in {path}")
    return rows, values


def as_classes(values: np.ndarray) -> np.ndarray:
    """Whole numbers as integers, if these can hold them: they are floats where the column lacks one."""
    if values.dtype.kind == "f" and (values == np.rint(values)).all() and (np.abs(values) < 2.0**63).all():
        return values.astype(np.int64)
    return values


def _plain(column) -> np.ndarray:
    """Values of a column without missing ones: bools, whole numbers, floats, or text for all the rest."""
    types = pandas().api.types
    if types.is_bool_dtype(column.dtype) or types.infer_dtype(column, skipna=False) == "boolean":
        return column.to_numpy(bool)  # they are objects where the column lacks one
    if types.is_integer_dtype(column.dtype):
        return column.to_numpy(np.uint64 if column.max() > np.iinfo(np.int64).max else np.int64)
    if types.is_float_dtype(column.dtype):
        return column.to_numpy(np.float64)
    if types.infer_dtype(column, skipna=False) in ("decimal", "floating", "mixed-integer-float"):
        return np.array([float(value) for value in column.tolist()])
    return np.array([str(value) for value in column.tolist()])


def _words(values: np.ndarray) -> str:
    return {"b": "True and False", "U": "text"}.get(values.dtype.kind, "numbers")


def _task(values: np.ndarray, found: np.ndarray) -> tuple[str, str]:
    count = f"{len(found):,}"
    if values.dtype.kind in "Ub":
        return "classification", f"because it holds {_words(values)} ({count} different)"
    if (found != np.rint(found)).any():
        return "regression", f"because it holds numbers with fractions ({count} different)"
    if len(found) <= max(2, min(MOST_CLASSES, len(values) // 10)):
        return "classification", f"because it holds whole numbers ({count} different)"
    return "regression", f"because it holds whole numbers ({count} different)"
