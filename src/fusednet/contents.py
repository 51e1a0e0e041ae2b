"""What a model file holds: told of a model, looked at before anything is made of it, taken over.

Reads io.py (descriptions), params.py (names and shapes of arrays) and the classes that a description may be of; read by
model.py, which makes the model and the file.

a) The checksum of a file guards against accidents, not against people, so a document may say anything. Whatever a model
   takes over is looked at here, in type and in shape; what is not valid is a `ValueError`.
b) Sizes are held against the arrays that are there: no document can ask for memory that its file does not fill.
"""

import os

import numpy as np

from fusednet import io, params
from fusednet.cursor import FIELDS, OP
from fusednet.losses import Loss
from fusednet.optimizers import Optimizer
from fusednet.spec import Network
from fusednet.trainer import Left

_WANTED = ("network", "name", "seed", "normalized", "classes", "feature_names", "left")

_MOST_STEPS = 2**53  # that a float64 counts, as which kernels are told of the step


def of(model, training_state: bool, extra: dict | None) -> tuple[dict[str, np.ndarray], dict]:
    """Arrays by name, the model's own, and a document of plain data, as `fusednet.io.write` takes them.

    Parameters
    ----------
    model : Sequential
        With weights.
    training_state : bool
        Whether with moments and the place of its training.
    extra : dict or None
        The user's own.
    """
    memory = model.memory
    document = {
        "network": io.encode(model.network), "name": model.name, "seed": model.seed, "normalized": memory.normalized,
        "classes": model.classes_, "feature_names": model.feature_names_, "left": None, "extra": extra,
    }
    if model.optimizer_spec is not None:
        document |= {"optimizer": io.encode(model.optimizer_spec), "loss": io.encode(model.loss),
                     "metrics": [metric.name for metric in model.metrics],
                     "matmul_precision": model.matmul_precision}
    tensors = {**memory.parameters, **memory.running, **memory.normalization}
    if training_state:
        left = model.training.state() if model.training is not None else model.left
        document |= {"left": vars(left), "rate": model.rate_by_hand}
        tensors |= {f"state/{name}": array for name, array in memory.state.items()}
        tensors |= {f"trained/{name}": array for name, array in memory.trained.items()}
    return tensors, document


def restore(model, tensors: dict[str, np.ndarray], document: dict) -> None:
    """Put what `network` has looked at into a model of that network, which has weights."""
    memory = model.memory
    own = memory.parameters | memory.running | memory.normalization
    for name, array in own.items():
        array[...] = tensors[name]
    memory.normalized = document["normalized"]
    model.classes_, model.feature_names_ = document["classes"], document["feature_names"]
    model.extra = document.get("extra")
    if document["left"] is None:
        return
    model.rate_by_hand = document.get("rate")
    model.left = Left(**document["left"])
    others = [name for name in tensors if name not in own]  # a layer may be named "state"
    memory.keep(*({name.removeprefix(kind): tensors[name] for name in others if name.startswith(kind)}
                  for kind in ("state/", "trained/")))


def network(tensors: dict[str, np.ndarray], document: dict, path) -> Network:
    """The network of a file, if all that belongs to it is there; `path` is for the message of a `ValueError`."""
    try:
        return checked(tensors, document)
    except ValueError as error:
        raise ValueError(f"{os.fsdecode(path)!r} cannot be loaded: {error}") from error


def checked(tensors: dict[str, np.ndarray], document: dict) -> Network:
    """The network of a file, if all that belongs to it is there.

    Parameters
    ----------
    tensors, document
        As `fusednet.io.read` gives them.

    Returns
    -------
    Network
        Its `features` are known.

    Raises
    ------
    ValueError
        If the file is not a model's; says what is wrong.
    """
    for name in _WANTED:
        if name not in document:
            raise ValueError(f"it is no model of fusednet: it has no {name!r}")
    network = _decoded(document, "network", Network)
    _whole("network.features", network.features, 1)
    _whole("seed", document["seed"], 0)
    _is("name", document["name"], str)
    _is("normalized", document["normalized"], bool)
    classes, names = document["classes"], document["feature_names"]
    if classes is not None and (not isinstance(classes, np.ndarray) or classes.ndim != 1):
        raise _wrong("classes", classes)
    if names is not None and not (isinstance(names, tuple) and len(names) == network.features
                                  and all(isinstance(name, str) for name in names)):
        raise _wrong("feature_names", names)
    if "optimizer" in document:
        _decoded(document, "optimizer", Optimizer)
        _decoded(document, "loss", Loss)
        _is("metrics", document.get("metrics"), list)
    layout = params.layout(network)
    shapes = {name: at.shape for name, at in layout.places.items()}
    shapes |= {name: (columns,) for name, columns in layout.running.items()}
    if network.normalization is not None:
        shapes |= {f"{network.normalization.name}/{part}": (network.features,) for part in ("mean", "scale")}
    for name, shape in shapes.items():
        _fits(tensors, name, shape)
    if document["left"] is not None:
        _check_left(document)
        trained = {"params": (layout.size,)} | {name: (columns,) for name, columns in layout.running.items()}
        for name in tensors:
            kind, _, rest = name.partition("/")
            if kind == "state" and name not in shapes:
                _fits(tensors, name, (layout.size,))
            elif kind == "trained" and name not in shapes:
                if rest not in trained:
                    raise ValueError(f"it has an array {name!r}, which its network has not")
                _fits(tensors, name, trained[rest])
    return network


def _check_left(document: dict) -> None:
    """Where the training stands: a wrong place would be read as one in the user's rows."""
    left = document["left"]
    _is("left", left, dict)
    cursor, sums = left.get("cursor"), left.get("sums")
    if not (_array(cursor, np.int64) and cursor.shape == (FIELDS,) and (cursor >= 0).all()
            and (cursor <= _MOST_STEPS).all() and cursor[OP] == 0):
        raise _wrong("left.cursor", cursor)
    if sums is not None and not _array(sums, np.float64):
        raise _wrong("left.sums", sums)
    kinds = {"pending": list, "validated": dict, "callbacks": dict, "history": dict, "setting": dict,
             "ended": bool}
    for name in left.keys() - {"cursor", "sums"}:
        if name not in kinds:
            raise ValueError(f"it has a part 'left.{name}', which this version of fusednet does not know")
        _is(f"left.{name}", left[name], kinds[name])
    every = [*left.get("pending", ()), *left.get("validated", {}).values()]
    if not all(_array(one, np.float64) for one in every):
        raise _wrong("left.pending", every)
    rate = document.get("rate")
    if rate is not None and not isinstance(rate, float):
        raise _wrong("rate", rate)


def _array(value, dtype) -> bool:
    return isinstance(value, np.ndarray) and value.ndim == 1 and value.dtype == dtype


def _decoded(document: dict, name: str, kind: type):
    value = io.decode(document.get(name))
    _is(name, value, kind)
    return value


def _whole(name: str, value, low: int) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise _wrong(name, value)


def _is(name: str, value, kind: type) -> None:
    if not isinstance(value, kind):
        raise _wrong(name, value)


def _wrong(name: str, value) -> ValueError:
    return ValueError(f"its part {name!r} is {str(value)[:60]!r}, which no model has there")


def _fits(tensors: dict[str, np.ndarray], name: str, shape: tuple[int, ...]) -> None:
    array = tensors.get(name)
    if array is None:
        raise ValueError(f"it has no array {name!r}; its network wants one of shape {shape}")
    if array.shape != shape or array.dtype.kind != "f":
        raise ValueError(f"its array {name!r} is of shape {array.shape} and dtype {array.dtype}; its network wants "
                         f"numbers of shape {shape}")


def check_optimizer(model, document: dict, path) -> None:
    """Raise where the moments in a file are of another optimizer: those of one name mean something else there."""
    if model.optimizer_spec is None or "optimizer" not in document:
        return
    theirs, own = io.decode(document["optimizer"]), model.optimizer_spec
    if type(theirs) is not type(own):
        raise ValueError(f"load_training_state: {path} is of a training by {type(theirs).__name__}, this model is "
                         f"compiled with {type(own).__name__}; wanted the same optimizer")
