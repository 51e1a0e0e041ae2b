"""``fusednet train``: from a file to a saved model, with a score on rows that the training has not seen.

Reads tabular.py and recipe.py (the table), datasets.py (splits, the digits), model.py and what describes it; read by
cli/__init__.py.

a) A fifth of the rows is for the test, a fifth of the others for validation, both at random with the seed, of each
   class alike. Medians, means and categories are learnt from the training rows alone.
b) Ctrl-C (and SIGTERM) ask the training to end as a time limit does: between two steps, with the best weights so far,
   a report and a saved model. A second Ctrl-C ends the process.
c) What was asked for and what was learnt of the table is in the model file (`Sequential.extra`), so that ``--resume``
   and ``predict`` need nothing but the file.
"""

import importlib.util
import os
import shlex
import signal
import time
import warnings
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from fusednet import backends, callbacks, datasets, errors, optimizers, spec, tabular, threads
from fusednet.cli._options import DEFAULTS, EPOCHS
from fusednet.cli._text import count, in_classes, in_numbers, say, some
from fusednet.loading import load
from fusednet.model import Sequential
from fusednet.recipe import Recipe, learn
from fusednet.trainer import TrainingWarning

TEST, VALIDATION = 0.2, 0.2
FEWEST = 10
"""Rows that there have to be: with fewer no part of them says anything about another."""


@dataclass
class Job:
    """What is trained on.

    Attributes
    ----------
    name : str
        Of the data, for the output's name.
    x, y : ndarray
        Inputs, and classes or standardised numbers.
    classes : ndarray or None
    parts : dict of str to ndarray of int64
        Rows for "training", "validation" and "test".
    recipe : Recipe or None
        None for the digits, which are arrays already.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    classes: np.ndarray | None
    parts: dict[str, np.ndarray]
    recipe: Recipe | None


def run(options) -> int:
    """Train as the options say; whether it was interrupted."""
    if options.threads is not None:
        threads.set_num_threads(options.threads)
    for name in ("target", "task", "drop"):
        if options.data is None and getattr(options, name):
            raise ValueError(f"--{name} {_word(getattr(options, name))} is given, but no file; "
                             "wanted fusednet train FILE --target COLUMN")
    _check_packages(options.quiet)
    output = options.output or _default_output(options.data)
    _check_output(output, options.data)
    model = None
    if options.resume:
        model = _load(output)
    kept = _kept(options, model)
    if kept["data"] == "digits":
        if options.data is not None:
            raise ValueError(f"{output} was trained on the digits; wanted fusednet train --resume, without a file")
        job = _digits(kept)
    else:
        if options.data is None:
            raise ValueError(f"{output} was trained on a table; wanted fusednet train FILE --resume")
        job = _table(options.data, kept)
    if model is None:
        model = _model(job, kept)
    else:
        _check_same(model, job, output)
    model.extra = {"command": kept, "recipe": job.recipe.as_dict() if job.recipe else None}
    return _fit(model, job, kept, options, output)


# ---- what is asked for -----------------------------------------------------------------------------------------------


def _default_output(data: str | None) -> str:
    if data is None:
        return "digits.safetensors"
    name = os.path.splitext(os.path.basename(data))[0]
    while os.path.splitext(name)[1].lower() in tabular.ENDINGS:  # of h.2023.csv.gz two: there may be an h.2024.csv.gz
        name = os.path.splitext(name)[0]
    return f"{name.lstrip('.') or 'model'}.safetensors"


def _check_packages(quiet: bool) -> None:
    """Before anything is trained: the model can be saved, and the bar drawn."""
    for name, use, hint in (("safetensors", "saving the model", ""),
                            ("tqdm", "the progress bar", "; --quiet does without it")):
        if importlib.util.find_spec(name) is None and not (quiet and hint):
            raise errors.missing(use, name, "cli", hint)


def _check_output(output: str, data: str | None) -> None:
    """Before anything is trained: the model can be saved, and replaces nothing but a model."""
    folder = os.path.dirname(output) or "."
    if not os.path.isdir(folder):
        raise ValueError(f"--output {output}: there is no folder {folder}")
    if not os.access(folder, os.W_OK):
        raise ValueError(f"--output {output}: nothing can be written to the folder {folder}")
    if os.path.exists(output):
        if data and os.path.exists(data) and os.path.samefile(output, data):
            raise ValueError(f"--output {output} is the data; wanted another name")
        if not _looks_like_a_model(output):
            raise ValueError(f"--output {output} is there already and is not a model; wanted another name")


def _looks_like_a_model(path: str) -> bool:
    if not os.path.isfile(path):
        return False
    with open(path, "rb") as file:
        start = file.read(9)
    return not start or start[8:] == b"{"  # safetensors: the length of a JSON object, and the object


def _load(output: str) -> Sequential:
    if not os.path.exists(output):
        raise ValueError(f"--resume: there is no {output}; --output names the model to go on with")
    model = load(output)
    if not isinstance(model.extra, dict) or "command" not in model.extra:
        raise ValueError(f"--resume: {output} was not written by fusednet train")
    if model.left.sums is None:
        raise ValueError(f"--resume: the training of {output} had come to its end; without --resume it begins anew")
    return model


def _kept(options, model: Sequential | None) -> dict:
    """The options that a training keeps: as given, else as the file to resume has them, else the defaults."""
    names = ("target", *DEFAULTS)
    given = {name: getattr(options, name) for name in names if getattr(options, name) is not None}
    epochs = {} if options.epochs is None else {"epochs": options.epochs}  # the one that may change, but not undo
    if model is None:
        return {"data": "table" if options.data else "digits", "target": None, "epochs": EPOCHS, **DEFAULTS, **given,
                **epochs}
    done = len(model.left.history["epoch"])
    if epochs and options.epochs < done:
        raise ValueError(f"--resume: --epochs is {options.epochs}, the training has done {done:,}; wanted as many or "
                         "more")
    kept = model.extra["command"] | epochs
    for name, value in given.items():
        if kept[name] != value:
            word = name.replace("_", "-")
            here, there = f"--{word} is {_word(value)}", f"with {_word(kept[name])}"
            if isinstance(value, bool):
                word = word if value else f"no-{word}"
                here, there = f"--{word} is given", "without it"
            raise ValueError(f"--resume: {here}, the training was begun {there}; leave --{word} out")
    return kept


def _word(value) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value)) or "none"
    return "the default" if value is None else str(value)


# ---- data ------------------------------------------------------------------------------------------------------------


def _digits(kept: dict) -> Job:
    x, y = datasets.load_digits()
    say("data", f"handwritten digits, {count(len(x), 'image')} of 8 x 8 pixels (they come with fusednet)")
    say("target", "the digit: classification, 10 classes")
    parts = _parts(len(x), y, kept["seed"])
    _say_parts(parts)
    return Job("digits", x, y, np.arange(10), parts, None)


def _table(path: str, kept: dict) -> Job:
    if kept["target"] is None:
        columns = tabular.read(path).columns
        raise ValueError(f"which column is to be predicted? wanted --target with one of {some(columns, 20)}")
    frame = tabular.read(path)
    unknown = next((name for name in kept["drop"] if name not in frame.columns), None)
    if unknown is not None:
        raise tabular.unknown_column(path, unknown, frame.columns)
    if kept["target"] in kept["drop"]:
        raise ValueError(f"--drop {kept['target']}: it is the target; wanted columns beside it")
    target = tabular.target(frame, kept["target"], kept["task"], path)
    if len(target.rows) < FEWEST:
        raise ValueError(f"{path} has {count(len(target.rows), 'row')} with a target; wanted at least {FEWEST}")
    say("data", f"{path}: {count(len(frame), 'row')}, {count(len(frame.columns), 'column')}")
    classes = f", {len(target.classes):,} classes" if target.classes is not None else ""
    say("target", f"{target.name}: {target.task}{classes}, {target.why}")
    if len(target.rows) < len(frame):
        say("", f"{count(len(frame) - len(target.rows), 'row')} without it left out")
    frame = frame.iloc[target.rows]
    codes = None if target.classes is None else np.searchsorted(target.classes, target.values)
    parts = _parts(len(frame), codes, kept["seed"])
    rows = parts["training"]
    if target.classes is not None and len(np.unique(codes[rows])) < 2:
        raise ValueError(f"the target {target.name!r} has one class only in the {len(rows)} training rows; wanted more "
                         "rows of the others")
    learnt = tabular.Target(target.name, target.task, target.why, target.values[rows], target.classes, rows)
    recipe = learn(frame.iloc[rows], learnt, kept["drop"], path)
    x = recipe.apply(frame, path)
    _say_columns(recipe, frame)
    _say_parts(parts)
    y = target.values
    if target.task == "regression":
        y = ((y - recipe.mean) / recipe.scale).astype(np.float32)
    return Job(recipe.target, x, y, target.classes, parts, recipe)


def _parts(n: int, codes: np.ndarray | None, seed: int) -> dict[str, np.ndarray]:
    rest, test = datasets.split(n, TEST, seed, codes=codes)
    train, held = datasets.split(len(rest), VALIDATION, seed, codes=None if codes is None else codes[rest])
    return {"training": rest[train], "validation": rest[held], "test": test}


def _say_parts(parts: dict[str, np.ndarray]) -> None:
    say("rows", ", ".join(f"{len(rows):,} for {name}" for name, rows in parts.items()))


def _say_columns(recipe: Recipe, frame) -> None:
    kinds = []
    for kind, noun in (("median", "number"), ("categories", "text")):
        names = [column.name for column in recipe.columns if hasattr(column, kind)]
        if names:
            gaps = [f"{name}: {int(gap):,} missing" for name in names if (gap := frame[name].isna().sum())]
            kinds.append(count(len(names), noun) + (f" ({some(gaps)})" if gaps else ""))
    say("columns", f"{', '.join(kinds)}: {count(recipe.inputs, 'input')} of the network")
    if recipe.left_out:
        say("", "left out: " + some([f"{name} ({why})" for name, why in recipe.left_out.items()], 8))


# ---- the network -----------------------------------------------------------------------------------------------------


def _model(job: Job, kept: dict) -> Sequential:
    layers = [spec.Normalization()] if job.recipe is None else []
    for size in kept["hidden"]:
        # a bias before batch normalisation has no effect
        layers.append(spec.Dense(size, use_bias=not kept["batch_norm"]))
        layers += [spec.BatchNormalization()] * kept["batch_norm"] + [spec.ReLU()]
        layers += [spec.Dropout(kept["dropout"])] * (kept["dropout"] > 0)
    if job.classes is None:
        layers.append(spec.Dense(1))
        loss, metrics = "mse", []
    else:
        layers.append(spec.Dense(len(job.classes), "softmax"))
        loss, metrics = "sparse_categorical_crossentropy", ["accuracy"]
    model = Sequential(layers, kept["seed"], name=job.name)
    optimizer = optimizers.resolve(kept["optimizer"])
    if kept["learning_rate"] is not None:
        optimizer = type(optimizer)(learning_rate=kept["learning_rate"])
    model.compile(optimizer, loss, metrics)
    if job.classes is not None and not np.array_equal(job.classes, np.arange(len(job.classes))):
        model.classes_ = job.classes
    model.build(job.x.shape[1])
    return model


def _check_same(model: Sequential, job: Job, output: str) -> None:
    recipe = model.extra["recipe"]
    same = recipe == (job.recipe.as_dict() if job.recipe else None)
    if not same or model.left.setting.get("rows") != len(job.parts["training"]):
        raise ValueError(f"--resume: the data are not those that {output} was trained on")


@contextmanager
def _asked_to_stop(model: Sequential):
    """A list that is empty until Ctrl-C or SIGTERM has asked the training to stop."""
    asked = []

    def ask(signum, frame):
        if asked or model.training is None:
            raise KeyboardInterrupt
        asked.append(signum)
        model.stop_training = True

    before = {one: signal.signal(one, ask) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield asked
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _fit(model: Sequential, job: Job, kept: dict, options, output: str) -> int:
    x, y, parts = job.x, job.y, job.parts
    chain = " -> ".join(str(size) for size in (x.shape[1], *kept["hidden"], model.network.outputs))
    also = ", batch norm" * kept["batch_norm"] + f", dropout {kept['dropout']:g}" * (kept["dropout"] > 0)
    say("network", f"{chain}, {count(model.count_params(), 'weight')}{also if kept['hidden'] else ''}")
    in_use = backends.current()
    on = in_use.isa or in_use.backend
    if in_use.backend != "numpy":  # which has no threads of its own
        on += f", {count(threads.get_num_threads(), 'thread')}"
    say("training", f"{kept['optimizer']}, learning rate {model.learning_rate:g}, batches of {kept['batch_size']}, at "
                    f"most {count(kept['epochs'], 'epoch')}; {on}")
    early = callbacks.EarlyStopping("val_loss", patience=kept["patience"], restore_best_weights=True)
    steps, began = model.step, time.perf_counter()
    rows, held = parts["training"], parts["validation"]
    with _asked_to_stop(model) as asked, warnings.catch_warnings():
        warnings.simplefilter("ignore", TrainingWarning)  # `History.stopped` says the same
        history = model.fit(
            x[rows], y[rows], batch_size=kept["batch_size"], epochs=kept["epochs"], verbose=0 if options.quiet else 1,
            callbacks=[early], validation_data=(x[held], y[held]), max_time=options.time_limit, resume=options.resume,
        )  # fmt: skip
    seconds = time.perf_counter() - began
    ended = early.stopped_epoch > 0 or bool(history.stopped)
    why = (f"stopped: {history.stopped}; a smaller --learning-rate may help" if history.stopped else
           f"stopped early, because {count(kept['patience'], 'epoch')} brought nothing better" if ended else
           f"stopped by {'Ctrl-C' if asked[0] == signal.SIGINT else 'SIGTERM'}" if asked else
           "stopped by the time limit" if len(history.epoch) < kept["epochs"] else "as many as asked for")
    per_epoch = -(-len(rows) // min(kept["batch_size"], len(rows)))
    made = (model.step - steps) / per_epoch
    best = f"; the best was epoch {early.best_epoch + 1}" if early.best is not None else ""
    say("trained", f"{count(len(history.epoch), 'epoch')}, {why}{best}")
    say("speed", f"{seconds:.2f} s, {made * len(rows) / seconds:,.0f} rows per second, validation counted in the time")
    _score(model, job)
    replaced = " (replaced)" if os.path.exists(output) else ""
    model.save(output, training_state=not ended)
    say("saved", output + replaced, fold=False)
    arguments = [] if options.data is None else [options.data]
    if not ended:
        more = ["--epochs", str(2 * kept["epochs"])] if not asked and len(history.epoch) >= kept["epochs"] else []
        named = ["--output", output] if options.output else []
        say("go on", _command("train", *arguments, "--resume", *more, *named), fold=False)
    if arguments:
        say("predict", _command("predict", output, *arguments), fold=False)
    return len(asked)


def _command(*words: str) -> str:
    return shlex.join(["fusednet", *words])


# ---- the score -------------------------------------------------------------------------------------------------------


def _score(model: Sequential, job: Job) -> None:
    train, test = (job.parts[name] for name in ("training", "test"))
    rows = count(len(test), "row")
    if job.classes is None:
        mean = np.full(len(test), job.y[train].mean())
        score = in_numbers(job.y[test], model.predict(job.x[test])[:, 0], job.recipe.scale)
        trivial = f"{in_numbers(job.y[test], mean, job.recipe.scale)}, by always saying the mean"
    else:
        values, counts = np.unique(job.y[train], return_counts=True)
        commonest = values[counts.argmax()]
        score = in_classes(job.y[test], model.predict_classes(job.x[test]))
        trivial = f"{in_classes(job.y[test], commonest)}, by always saying {commonest!s:.30}"
    say("test", f"{score}, on {rows} that the training has not seen")
    say("baseline", trivial)
