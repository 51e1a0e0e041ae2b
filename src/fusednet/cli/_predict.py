"""``fusednet predict``: a saved model and a file, to a table of predictions.

Reads tabular.py, recipe.py, loading.py; read by cli/__init__.py.

a) A row of the result for each row of the file, in its order: the prediction, and for classes their probabilities.
b) A model of `Sequential.save`, without a recipe, takes the file's columns as they are: by name, if it was trained on
   names.
c) Where the file has the target too, the score goes to stderr.
d) The file of ``--output`` is replaced when all is written: an error leaves what was there before.
"""

import contextlib
import math
import os
import stat
import sys
import tempfile

import numpy as np

from fusednet import tabular, threads
from fusednet.cli._text import count, in_classes, in_numbers
from fusednet.loading import load
from fusednet.recipe import Recipe


def run(options) -> int:
    """Predict as the options say; 0."""
    if options.threads is not None:
        threads.set_num_threads(options.threads)
    if options.output is not None:
        _check_output(options)
    model = load(options.model)
    recipe = model.extra.get("recipe") if isinstance(model.extra, dict) else None
    recipe = None if recipe is None else Recipe.from_dict(recipe)
    texts = recipe.texts if recipe else ()
    if recipe and model.classes_ is not None and model.classes_.dtype.kind == "U":
        texts += (recipe.target,)
    frame = tabular.read(options.data, texts, recipe.numbers if recipe else ())
    x = recipe.apply(frame, options.data) if recipe else _plain(model, frame, options)
    outputs = model.predict(x)
    predictions = _table(model, recipe, outputs, x)
    if options.output is None:
        predictions.to_csv(sys.stdout, index=False)
    else:
        _write(predictions, options.output)
        print(f"{count(len(frame), 'prediction')} in {options.output}", file=sys.stderr)
    if recipe is not None and recipe.target in frame.columns:
        _score(recipe, frame, predictions["prediction"].to_numpy(), options.data)
    return 0


def _check_output(options) -> None:
    """Before anything is read: there is a folder to write to, and neither the model nor the data are replaced."""
    output = options.output
    if not os.path.isdir(os.path.dirname(output) or "."):
        raise ValueError(f"--output {output}: there is no folder {os.path.dirname(output)}")
    for what, path in (("model", options.model), ("data", options.data)):
        if os.path.exists(output) and os.path.exists(path) and os.path.samefile(output, path):
            raise ValueError(f"--output {output} is the {what}; wanted another name")


def _plain(model, frame, options) -> np.ndarray:
    """Inputs of a model that was not trained on a table from a file."""
    if model.feature_names_ is not None:
        names = [name.strip() for name in model.feature_names_]  # as those of the file are
        tabular.check_names(options.model, names)
    else:
        names = list(frame.columns)
        if len(names) != model.network.features:
            raise ValueError(f"{options.data} has {count(len(names), 'column')}; {options.model} was trained on "
                             f"{count(model.network.features, 'column')}")
    missing = next((name for name in names if name not in frame.columns), None)
    if missing is not None:
        raise tabular.unknown_column(options.data, missing, frame.columns, ", which the model needs")
    text = next((name for name in names if frame[name].dtype.kind not in "biuf"), None)
    if text is not None:
        raise ValueError(f"the column {text!r} of {options.data} holds no numbers; {options.model} takes numbers only")
    x = frame[names].to_numpy(np.float64)
    wrong = np.argwhere(~np.isfinite(x))
    if len(wrong):
        row, column = wrong[0]
        raise ValueError(f"the column {names[column]!r} of {options.data} has {x[row, column]} in row {row + 1}; "
                         "wanted finite numbers")
    return x


def _table(model, recipe: Recipe | None, outputs: np.ndarray, x: np.ndarray):
    pandas = tabular.pandas()
    if recipe is not None and recipe.task == "regression":
        # in float64, to seven digits of the spread: in float32 a mean of 1.7e9 would leave steps of 128
        digits = 7 - math.floor(math.log10(recipe.scale))
        values = outputs[:, 0].astype(np.float64) * recipe.scale + recipe.mean
        return pandas.DataFrame({"prediction": [round(value, digits) for value in values.tolist()]})
    if recipe is None and (model.loss is None or model.loss.takes == "values"):
        return pandas.DataFrame(_columns(outputs))
    classes = model.predict_classes(x)
    if classes.ndim > 1:
        return pandas.DataFrame(_columns(classes))
    predictions = {"prediction": classes}
    if recipe is not None:
        classes = range(outputs.shape[1]) if model.classes_ is None else model.classes_.tolist()
        predictions |= {f"probability_{name}": p.round(6) for name, p in zip(classes, outputs.T, strict=True)}
    return pandas.DataFrame(predictions)


def _columns(predictions: np.ndarray) -> dict[str, np.ndarray]:
    """The columns of an array by name."""
    count = predictions.shape[1]
    names = ["prediction"] if count == 1 else [f"prediction_{i}" for i in range(count)]
    return dict(zip(names, predictions.T, strict=True))


def _write(predictions, output: str) -> None:
    there = os.path.exists(output)
    device = there and not os.path.isfile(output)  # or a pipe, which cannot be replaced
    path = os.path.realpath(output)  # a link keeps pointing to what it points to
    try:
        if device:
            with contextlib.suppress(BrokenPipeError):  # its reader has seen enough
                predictions.to_csv(output, index=False)
            return
        # a folder, so that the file has its own name: pandas compresses by the ending
        with tempfile.TemporaryDirectory(prefix=".fusednet-", dir=os.path.dirname(path)) as folder:
            written = os.path.join(folder, os.path.basename(output))
            predictions.to_csv(written, index=False)
            if there:
                os.chmod(written, stat.S_IMODE(os.stat(path).st_mode))
            os.replace(written, path)
    except OSError as error:
        if error.errno is None:
            raise
        untouched = "" if device else "; what was there before is untouched"
        what = f"cannot be written: {os.strerror(error.errno)}{untouched}"
        raise OSError(error.errno, what, output) from error


def _score(recipe: Recipe, frame, predicted: np.ndarray, path) -> None:
    try:
        rows, values = tabular.target_values(frame, recipe.target, path)
    except ValueError:
        return  # a target that cannot be compared is nobody's mistake here
    predicted = predicted[rows]
    if recipe.task == "classification":
        score = in_classes(_as_predicted(values, predicted), predicted)
    elif values.dtype.kind in "iuf":
        score = in_numbers(values, predicted)
    else:
        return
    print(f"{score}, on the {count(len(rows), 'row')} of {path} with {recipe.target} (it may have been trained "
          "on some of them)", file=sys.stderr)


def _as_predicted(values: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Values of the target as what was predicted: one of another kind makes pandas read a column otherwise."""
    if predicted.dtype.kind not in "biuf":
        return values.astype(str)
    if values.dtype.kind != "U":
        return values
    # text, because some are neither numbers nor True and False
    words = tabular.pandas().Series(np.char.lower(values)).replace({"true": "1", "false": "0"})
    return tabular.pandas().to_numeric(words, errors="coerce").to_numpy()
