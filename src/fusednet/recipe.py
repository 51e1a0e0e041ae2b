"""How the columns of a table become the inputs of a network: learnt from training rows, kept as plain data.

Reads tabular.py, and scikit-learn when a recipe is learnt; read by cli. `Recipe.as_dict` travels in
the model file.

a) scikit-learn's transformers find the numbers (`SimpleImputer`, `StandardScaler`, `OneHotEncoder`); a recipe keeps
   medians, means, scales and categories, and applies them with NumPy. So a model file holds no code, and predicting
   needs no scikit-learn. A test compares the two.
b) Numbers are standardised here and not by a layer, so that the zeros and ones of categories stay zeros and ones: a
   category that one row in a thousand has would else be an input of 30.
c) What a network cannot use (a column without values, with one value, of identifiers) is left out, with the reason.
"""

from dataclasses import dataclass, field

import numpy as np

from fusednet import errors, tabular

MOST_CATEGORIES = 50
"""Inputs that a text column becomes at most; the rarer categories share the last."""


@dataclass(frozen=True)
class Number:
    """A column of numbers: ``(x - mean) / scale``, missing ones filled with the median.

    Attributes
    ----------
    name : str
    median, mean, scale : float
        Of the training rows; mean and scale after filling.
    marks_missing : bool
        Whether a second input is 1 where the value was missing: where training rows lacked some.
    """

    name: str
    median: float
    mean: float
    scale: float
    marks_missing: bool

    @property
    def width(self) -> int:
        return 1 + self.marks_missing

    def write(self, out: np.ndarray, column, path) -> None:
        """Inputs (n, width) of a column."""
        values = _numbers(column, self.name, path)
        missing = np.isnan(values)
        with np.errstate(over="ignore"):
            out[:, 0] = (np.where(missing, self.median, values) - self.mean) / self.scale
        far = ~np.isfinite(out[:, 0])
        if far.any():
            row = int(np.argmax(far))
            raise ValueError(f"the column {self.name!r} of {path} has {values[row]:g} in row {row + 1}; wanted numbers "
                             f"nearer to those that the model was trained on (mean {self.mean:.4g}, spread "
                             f"{self.scale:.4g})")
        if self.marks_missing:
            out[:, 1] = missing


@dataclass(frozen=True)
class Category:
    """A column of text: an input for each category, 1 where the row has it.

    Attributes
    ----------
    name : str
    categories : tuple of str or None
        With an input of their own; None stands for a missing value.
    others : bool
        Whether a last input is 1 for all other categories: where training rows had rare ones. Else they are all zeros.
    """

    name: str
    categories: tuple[str | None, ...]
    others: bool

    @property
    def width(self) -> int:
        return len(self.categories) + self.others

    def write(self, out: np.ndarray, column, path) -> None:
        """Inputs (n, width) of a column."""
        places = {category: place for place, category in enumerate(self.categories)}
        default = len(self.categories) if self.others else -1
        codes = np.array([places.get(value, default) for value in _texts(column)], np.int64)
        rows = np.flatnonzero(codes >= 0)
        out[:] = 0
        out[rows, codes[rows]] = 1


_KINDS = {"number": Number, "category": Category}
_NAMES = {cls: name for name, cls in _KINDS.items()}


@dataclass
class Recipe:
    """All that is between a table and a network.

    Attributes
    ----------
    target, task : str
    columns : tuple of Number or Category
        In the order of their inputs.
    left_out : dict of str to str
        Columns that are not used, and why.
    mean, scale : float
        Of the target, in a regression: the network gives ``(y - mean) / scale``.
    """

    target: str
    task: str
    columns: tuple[Number | Category, ...]
    left_out: dict[str, str] = field(default_factory=dict)
    mean: float = 0.0
    scale: float = 1.0

    @property
    def inputs(self) -> int:
        """Inputs of the network."""
        return sum(column.width for column in self.columns)

    @property
    def texts(self) -> tuple[str, ...]:
        """Columns to be read as text."""
        return tuple(column.name for column in self.columns if isinstance(column, Category))

    @property
    def numbers(self) -> tuple[str, ...]:
        """Columns that hold numbers, the target among them where it does."""
        target = (self.target,) if self.task == "regression" else ()
        return (*(column.name for column in self.columns if isinstance(column, Number)), *target)

    def apply(self, frame, path="the table") -> np.ndarray:
        """The network's inputs.

        Parameters
        ----------
        frame : pandas.DataFrame
            With the columns by name, in any order; others do not count.
        path : str
            Of the file, for messages.

        Returns
        -------
        ndarray of float32, (n, inputs)

        Raises
        ------
        ValueError
            If columns are missing, text is where numbers were, or a number is out of all proportion.
        """
        missing = [column.name for column in self.columns if column.name not in frame.columns]
        if len(missing) == 1:
            raise tabular.unknown_column(path, missing[0], frame.columns, ", which the model needs")
        if missing:
            more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
            raise ValueError(f"{path} has no columns {', '.join(map(repr, missing[:10]))}{more}, which the model needs")
        out = np.empty((len(frame), self.inputs), np.float32)
        begin = 0
        for column in self.columns:
            column.write(out[:, begin : begin + column.width], frame[column.name], path)
            begin += column.width
        return out

    def as_dict(self) -> dict:
        """The recipe as plain data."""
        columns = [{"kind": _NAMES[type(column)], **vars(column)} for column in self.columns]
        return {**vars(self), "columns": columns, "left_out": dict(self.left_out)}

    @classmethod
    def from_dict(cls, data: dict) -> "Recipe":
        """The way back from `as_dict`.

        Raises
        ------
        ValueError
            If the data are not those of a recipe of this version.
        """
        try:
            columns = []
            for entry in data["columns"]:
                entry = dict(entry)
                columns.append(_KINDS[entry.pop("kind")](**entry))
            return cls(**{**data, "columns": tuple(columns)})
        except (TypeError, LookupError, AttributeError) as error:
            raise ValueError(f"the model's recipe for tables is of another version of fusednet ({error!r})") from error


# ---- learning it -----------------------------------------------------------------------------------------------------


def learn(frame, target: tabular.Target, drop: tuple[str, ...] = (), path="the table") -> Recipe:
    """A recipe from training rows.

    Parameters
    ----------
    frame : pandas.DataFrame
        The training rows.
    target : Target
        Its values are those of the training rows.
    drop : tuple of str
        Columns not to be used.
    path : str
        Of the file, for messages.

    Raises
    ------
    ValueError
        If no column is left, one holds neither numbers nor text, or numbers that are too large.
    ImportError
        If scikit-learn is not installed; says what to type.
    """
    numbers, texts, left_out = [], [], {}
    for name in frame.columns:
        if name == target.name:
            continue
        why = "as asked for" if name in drop else _useless(frame[name], name, path)
        if why:
            left_out[name] = why
        else:
            (texts if _is_text(frame[name]) else numbers).append(name)
    if not numbers and not texts:
        reasons = "; ".join(f"{name}: {why}" for name, why in left_out.items())
        raise ValueError(f"{path} has no column to learn from beside {target.name!r} ({reasons or 'no others'})")
    columns = {column.name: column for column in (*_learn_numbers(frame, numbers, path), *_learn_texts(frame, texts))}
    mean, scale = 0.0, 1.0
    if target.task == "regression":
        with np.errstate(over="ignore", invalid="ignore"):
            mean, scale = float(target.values.mean()), float(target.values.std())
        if scale == 0:
            if np.ptp(target.values) > 0:
                raise ValueError(f"the target {target.name!r} of {path} has numbers too small to be standardised")
            scale = 1.0
        if not np.isfinite([mean, scale]).all():
            raise ValueError(f"the target {target.name!r} of {path} has numbers too large to be standardised")
    order = tuple(columns[name] for name in frame.columns if name in columns)
    return Recipe(target.name, target.task, order, left_out, mean, scale)


def _sklearn():
    try:
        import sklearn.impute
        import sklearn.preprocessing
    except ModuleNotFoundError as error:
        raise errors.missing("training on a table", "scikit-learn", "cli") from error
    return sklearn


def _learn_numbers(frame, names: list[str], path) -> list[Number]:
    if not names:
        return []
    sklearn = _sklearn()
    values = np.column_stack([_numbers(frame[name], name, path) for name in names])
    with np.errstate(over="ignore", invalid="ignore"):
        imputer = sklearn.impute.SimpleImputer(strategy="median").fit(values)
        scaler = sklearn.preprocessing.StandardScaler().fit(imputer.transform(values))
        # not `scale_`, which is 1 where numbers are far from 0 beside how far they are from each other
        scale = np.where(np.nanmax(values, axis=0) > np.nanmin(values, axis=0), np.sqrt(scaler.var_), 1.0)
    for name, *each in zip(names, imputer.statistics_, scaler.mean_, scale, strict=True):
        if not np.isfinite(each).all() or each[-1] == 0:
            size = "small" if each[-1] == 0 else "large"
            raise ValueError(f"the column {name!r} of {path} has numbers too {size} to be standardised; --drop {name} "
                             "leaves it out")
    marks = np.isnan(values).any(axis=0)
    arrays = (imputer.statistics_, scaler.mean_, scale, marks)
    return [Number(name, *each) for name, *each in zip(names, *(a.tolist() for a in arrays), strict=True)]


def _learn_texts(frame, names: list[str]) -> list[Category]:
    if not names:
        return []
    values = np.empty((len(frame), len(names)), object)
    for i, name in enumerate(names):
        values[:, i] = _texts(frame[name])
    encoder = _sklearn().preprocessing.OneHotEncoder(
        handle_unknown="infrequent_if_exist", max_categories=MOST_CATEGORIES, sparse_output=False
    ).fit(values)
    learnt = []
    for name, known, rare in zip(names, encoder.categories_, encoder.infrequent_categories_, strict=True):
        rare = [] if rare is None else list(rare)
        learnt.append(Category(name, tuple(value for value in known if value not in rare), bool(rare)))
    return learnt


def _useless(column, name: str, path) -> str:
    """Why a column is left out; nothing if it is not."""
    has = column.notna()
    if not has.any():
        return "no values"
    if not _is_text(column):
        values = _numbers(column, name, path)
        values = values[~np.isnan(values)]
        if not len(values):
            return "no finite values"
        with np.errstate(over="ignore"):
            differ = np.ptp(values) > 0 or len(values) < len(column)
        if not differ and column[has].nunique() > 1:
            return "whole numbers that differ by less than floats can tell"
        return "" if differ else "the same value in all rows"
    different = len(set(_texts(column)))
    if different == 1:
        return "the same value in all rows"
    if different > max(MOST_CATEGORIES, len(column) // 2):
        return f"{different:,} different texts in {len(column):,} rows"
    return ""


# ---- columns ---------------------------------------------------------------------------------------------------------

_NOT_TEXT = ("decimal", "integer", "floating", "mixed-integer-float", "boolean", "date")
"""What pandas finds in columns of Python objects that are numbers to us: bools are objects where some are missing, and
days of Parquet, which have no time, always."""


def _is_text(column) -> bool:
    """Whether a column is of categories; bools are numbers, dates are days."""
    types = tabular.pandas().api.types
    dtype = column.dtype
    if isinstance(dtype, tabular.pandas().CategoricalDtype):
        return True
    if types.is_numeric_dtype(dtype) or types.is_datetime64_any_dtype(dtype) or types.is_timedelta64_dtype(dtype):
        return False
    return types.infer_dtype(column, skipna=True) not in _NOT_TEXT


_TRUTH = {"true": 1.0, "false": 0.0}


def _numbers(column, name: str, path) -> np.ndarray:
    """A column as float64: dates and times in days, infinite values as missing ones."""
    pandas = tabular.pandas()
    types = pandas.api.types
    if column.dtype == object and types.infer_dtype(column, skipna=True) == "date":
        column = column.astype("datetime64[s]")
    if types.is_datetime64_any_dtype(column.dtype):
        # not Timestamp(0), which counts nanoseconds and so ends in 2262
        column = pandas.to_datetime(column, utc=True) - pandas.Timestamp("1970-01-01", tz="UTC")
    if types.is_timedelta64_dtype(column.dtype):
        return (column / pandas.Timedelta(days=1)).to_numpy(np.float64, na_value=np.nan)
    if types.is_complex_dtype(column.dtype):
        raise ValueError(f"the column {name!r} of {path} holds complex numbers; wanted real ones, or --drop {name}")
    if not types.is_numeric_dtype(column.dtype):
        given = column  # words beside which another one stands have stayed words
        column = column.astype(object).map(lambda value: _TRUTH.get(str(value).strip().lower(), value))
        column = pandas.to_numeric(column, errors="coerce")
        wrong = (column.isna() & given.notna()).to_numpy(bool)
    else:
        given, wrong = column, np.zeros(len(column), bool)
    values = column.to_numpy(np.float64, na_value=np.nan)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(f"the column {name!r} of {path} has {str(given.iloc[row])[:40]!r} in row {row + 1}; wanted a "
                         "number, as the model was trained on")
    return np.where(np.isfinite(values), values, np.nan)


def _texts(column) -> list:
    """Values as text, missing ones as None; whole numbers alike whether they lie as floats (beside missing ones) or
    not."""
    return [_text(value) if has else None for value, has in zip(column.tolist(), column.notna(), strict=True)]


def _text(value) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
