"""Model files: tensors and a document in one safetensors file, and descriptions of networks as plain data.

Reads the modules whose classes a file may name, and ``fusednet`` for the version; read by what saves and loads models.

a) A file holds data only. A class is named as "module.Class" and looked up in REGISTRY and nowhere else; nothing else
   that a file says is imported or called.
b) The checksum is over every byte of the file but its own 64 digits, so that no change goes unseen, not even one in
   the padding. It guards against accidents: who alters a file on purpose can write a new one.
c) A file is written whole under a temporary name, synced, then renamed: a reader finds the old file or the new one.
d) The document is standard JSON. What JSON lacks is an object with one key that begins with "$" (see `_packed`).
"""

import contextlib
import dataclasses
import errno
import functools
import hashlib
import inspect
import json
import math
import os
import re
import secrets
import stat
from collections.abc import Mapping
from typing import Any

import numpy as np

from fusednet import __version__, errors, initializers, losses, optimizers, schedules, spec

FORMAT = 1

_DTYPES = frozenset(
    ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float16", "float32", "float64")
)
_RESERVED = "document/"  # tensors that belong to places in the document
_MANY = 256  # more floats than these in a list are kept as a tensor: a long history would outgrow the header
_LARGEST_HEADER = 100_000_000  # of safetensors: it writes larger ones, but reads none
_NO_DIGEST = "0" * 64
_PREAMBLE = re.compile(
    rb'"fusednet":"\{\\"format\\":(\d{1,9}),\\"version\\":\\"([\w.+!-]{1,100})\\",\\"sha256\\":\\"([0-9a-f]{64})\\"'
)
"""How our entry in the metadata begins. It is found without parsing the header, which may be damaged; a quote inside of
a JSON string has a backslash before it, so no tensor name or document can look like it."""


# ---- descriptions: frozen dataclasses to plain data and back ---------------------------------------------------------

_LISTED = {
    spec: (
        *("Activation", "Linear", "ReLU", "LeakyReLU", "ELU", "SELU", "Sigmoid", "Tanh", "Swish", "Softplus", "GELU"),
        *("Softmax", "Dense", "BatchNormalization", "Dropout", "Normalization", "Flatten", "Network"),
        *("L1", "L2", "L1L2"),
    ),
    losses: (
        *("SparseCategoricalCrossentropy", "CategoricalCrossentropy", "BinaryCrossentropy"),
        *("LogLoss", "MeanSquaredError", "HalfSquaredError", "MeanAbsoluteError", "Huber"),
        *("Quantile", "Poisson", "HalfPoissonDeviance"),
    ),
    optimizers: ("SGD", "AdaGrad", "RMSprop", "Adam", "AdamW"),
    schedules: ("Constant", "StepDecay", "PiecewiseConstant", "ExponentialDecay", "CosineDecay", "OneCycle"),
    initializers: ("RandomNormal", "RandomUniform", "VarianceScaling", "Constant"),
}
REGISTRY: dict[str, type] = {
    f"{module.__name__.rpartition('.')[2]}.{name}": getattr(module, name)
    for module, names in _LISTED.items()
    for name in names
}
"""The classes that a file may name, by "module.Class". Not in it are those that hold functions of the user's."""
_NAMES = {cls: name for name, cls in REGISTRY.items()}


@functools.cache
def _fields(cls: type) -> tuple[str, ...]:
    """What the constructor takes; it may be less than the fields, as in ReLU(), whose kind is given."""
    return tuple(inspect.signature(cls).parameters)


def _plain_number(value: Any) -> Any:
    """A Python bool, int or float; anything else comes back as it is."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, float):
        return float(value)
    return value if isinstance(value, bool) or not isinstance(value, int) else int(value)


def encode(spec: Any) -> Any:
    """Describe layers, a network, an optimizer, a loss, a schedule or an initializer as plain data.

    Parameters
    ----------
    spec : dataclass instance of fusednet, or None, bool, int, float, str, or list or tuple of such

    Returns
    -------
    dict, or what stands for the other types in JSON
        ``{"type": "spec.Dense", "units": 10, ...}`` with every field, so that a later change of a default does not
        change what a file means. NaN and infinities are ``{"type": "float", "value": "nan"}``; NumPy scalars are
        numbers, tuples are lists. `decode` is the way back.

    Raises
    ------
    TypeError
        If something in it is not data: a function, a class of the user's, an array. The message says where.
    """
    return _encoded(spec, type(spec).__name__)


def _encoded(value: Any, where: str) -> Any:
    value = _plain_number(value)
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"type": "float", "value": str(value)}
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, (list, tuple)):
        return [_encoded(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        content = {name: _encoded(getattr(value, name), f"{where}.{name}") for name in _fields(type(value))}
        if type(value) not in _NAMES:
            raise TypeError(
                f"cannot save {where}: {type(value).__qualname__} is not one of fusednet's own classes, and a file can "
                "name no others"
            )
        return {"type": _NAMES[type(value)]} | content
    if callable(value):
        name = getattr(value, "__qualname__", type(value).__qualname__)
        raise TypeError(
            f"cannot save {where}: {name} is code, and a file holds data only; use one of fusednet's own, or save what "
            "get_weights() gives and build the model again in code"
        )
    raise TypeError(
        f"cannot save {where}: wanted None, a bool, a number, a string, a tuple or a class of fusednet, "
        f"got {type(value).__qualname__}"
    )


def decode(data: Any) -> Any:
    """Make again what `encode` described.

    Parameters
    ----------
    data : what `encode` returned, or what JSON made of it

    Returns
    -------
    dataclass instance, or None, bool, int, float, str, tuple
        Lists are tuples. A field that the data lacks has its default.

    Raises
    ------
    ValueError
        If it names a class or a field that this version of fusednet does not have, lacks a field without a default,
        or a value is not allowed there. The message says where.
    """
    try:
        return _decoded(data, "data")
    except RecursionError:
        raise ValueError("the description is nested too deeply") from None


def _decoded(data: Any, where: str) -> Any:
    if data is None or isinstance(data, (bool, int, float, str)):
        return data
    if isinstance(data, (list, tuple)):
        return tuple(_decoded(item, f"{where}[{i}]") for i, item in enumerate(data))
    name = data.get("type") if isinstance(data, dict) else None
    if name == "float" and data.keys() == {"type", "value"} and data["value"] in ("nan", "inf", "-inf"):
        return float(data["value"])
    cls = REGISTRY.get(name) if isinstance(name, str) else None
    if cls is None:
        raise ValueError(f"{where}: unknown type {name!r}; known are {', '.join(REGISTRY)}")
    known = _fields(cls)
    unknown = sorted(data.keys() - set(known) - {"type"}, key=str)
    if unknown:
        raise ValueError(
            f"{where}: {name} has no {', '.join(map(repr, unknown))}; it has {', '.join(known) or 'no fields'}"
        )
    values = {field: _decoded(value, f"{where}.{field}") for field, value in data.items() if field != "type"}
    try:
        return cls(**values)
    except (TypeError, ValueError, ArithmeticError, AttributeError, LookupError) as error:
        raise ValueError(f"{where}: {name}: {error}") from error


# ---- the document: Python values as standard JSON and back -----------------------------------------------------------


def _packed(value: Any, where: str, arrays: dict[str, np.ndarray]) -> Any:
    """Standard JSON for a value; numeric arrays go to `arrays`.

    ==================================  ==================================================================
    {"$float": "nan"}                   nan, inf, -inf
    {"$tuple": [...]}                   a tuple
    {"$items": [[key, value], ...]}     a dict with keys that are not strings, or one that begins with "$"
    {"$tensor": "document/0"}           an array of numbers
    {"$floats": "document/0"}           a long list of floats
    {"$strings": [...], "shape": [2]}   an array of strings
    {"$bytes": [...], "shape": [2]}     an array of byte strings, in hexadecimal digits
    {"$objects": [...], "shape": [2]}   an array of Python values
    ==================================  ==================================================================
    """
    value = _plain_number(value)
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": str(value)}
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, tuple):
        return {"$tuple": [_packed(item, f"{where}[{i}]", arrays) for i, item in enumerate(value)]}
    if isinstance(value, list):
        if len(value) > _MANY and all(type(item) is float for item in value):
            return {"$floats": _set_aside(np.array(value), arrays)}
        return [_packed(item, f"{where}[{i}]", arrays) for i, item in enumerate(value)]
    if isinstance(value, dict):
        if all(isinstance(key, str) and not key.startswith("$") for key in value):
            return {str.__str__(key): _packed(item, f"{where}[{key!r}]", arrays) for key, item in value.items()}
        where_key = f"a key of {where}"
        items = [(_packed(k, where_key, arrays), _packed(v, f"{where}[{k!r}]", arrays)) for k, v in value.items()]
        return {"$items": [list(item) for item in items]}
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "UT":
            return {"$strings": [str(item) for item in value.ravel().tolist()], "shape": list(value.shape)}
        if value.dtype.kind == "S":
            return {"$bytes": [item.hex() for item in value.ravel().tolist()], "shape": list(value.shape)}
        if value.dtype.kind == "O":
            items = value.ravel().tolist()
            packed = [_packed(item, f"{where}.flat[{i}]", arrays) for i, item in enumerate(items)]
            return {"$objects": packed, "shape": list(value.shape)}
        return {"$tensor": _set_aside(_ready(value, where), arrays)}
    raise TypeError(
        f"cannot save {where}: wanted None, a bool, a number, a string, a list, tuple or dict of such, or an array, "
        f"got {type(value).__qualname__}"
    )


def _set_aside(array: np.ndarray, arrays: dict[str, np.ndarray]) -> str:
    name = f"{_RESERVED}{len(arrays)}"
    arrays[name] = array
    return name


def _unpacked(value: Any, tensors: dict[str, np.ndarray]) -> Any:
    """The way back from `_packed`; takes its arrays out of tensors."""
    if isinstance(value, list):
        return [_unpacked(item, tensors) for item in value]
    if not isinstance(value, dict):
        return value
    tag = next((key for key in value if key.startswith("$")), None)
    if tag is None:
        return {key: _unpacked(item, tensors) for key, item in value.items()}
    content = value[tag]
    if tag == "$float":
        return float(content)
    if tag == "$tuple":
        return tuple(_unpacked(content, tensors))
    if tag == "$items":
        return {_unpacked(key, tensors): _unpacked(item, tensors) for key, item in content}
    if tag == "$tensor":
        return tensors.pop(content)
    if tag == "$floats":
        return tensors.pop(content).tolist()
    if tag == "$strings":
        return np.array(content, dtype=str).reshape(value["shape"])
    if tag == "$bytes":
        return np.array([bytes.fromhex(item) for item in content], dtype=np.bytes_).reshape(value["shape"])
    if tag == "$objects":
        array = np.empty(len(content), dtype=object)
        for i, item in enumerate(content):
            array[i] = _unpacked(item, tensors)
        return array.reshape(value["shape"])
    raise ValueError(f"unknown {tag!r} in the document")


# ---- files -----------------------------------------------------------------------------------------------------------


def _safetensors():
    try:
        import safetensors.numpy
    except ImportError as error:
        raise errors.missing("a model file", "safetensors", "files") from error
    return safetensors


def _ready(array: Any, what: str) -> np.ndarray:
    """The array as safetensors takes it: in C order, of a type that it has; bytes it swaps itself."""
    array = np.asarray(array)
    if array.dtype.name not in _DTYPES:
        raise TypeError(f"cannot save {what}: an array of {array.dtype} has no place in a file; numbers and bools have")
    return np.asarray(array, order="C")


def write(path: str | os.PathLike, tensors: Mapping[str, np.ndarray], document: dict) -> None:
    """Write tensors and a document to a file, whole or not at all.

    The same contents give the same bytes. A file of this name is replaced, and is untouched if anything fails; its
    permissions are kept, and a symbolic link is followed.

    Parameters
    ----------
    path : str or os.PathLike
        By custom with the ending .safetensors.
    tensors : mapping of str to ndarray
        Any shape, any strides and byte order; bool, integers, float16, float32 or float64. Names do not begin with
        "document/".
    document : dict
        None, bools, numbers, strings, lists, tuples, dicts, arrays; `read` gives it back as it is, but NumPy scalars
        as Python's. Floats keep every bit.

    Raises
    ------
    TypeError
        If something is not data, or of another type. The message says where.
    ValueError
        If a name is reserved, path is there and not a regular file, or the document is over 100 MB.
    FileNotFoundError
        If the folder does not exist.
    OSError
        If it cannot be written: disk full, no permission. The file of before is untouched.
    ImportError
        If safetensors is not installed; says what to type.
    """
    library = _safetensors()
    path = os.fsdecode(path)
    if not isinstance(document, dict):
        raise TypeError(f"document is a {type(document).__name__}; wanted a dict")
    ready = {}
    for name, tensor in tensors.items():
        if not isinstance(name, str):
            raise TypeError(f"a tensor's name is {name!r}; wanted a string")
        if name.startswith(_RESERVED) or name == "__metadata__":
            raise ValueError(f"a tensor's name is {name!r}, which is reserved")
        ready[name] = _ready(tensor, f"tensor {name!r}")
    arrays: dict[str, np.ndarray] = {}
    try:
        content = _packed(document, "document", arrays)
        entry = {"format": FORMAT, "version": __version__, "sha256": _NO_DIGEST, "document": content}
        text = json.dumps(entry, separators=(",", ":"), allow_nan=False)
    except RecursionError:
        raise ValueError("the document is nested too deeply, or contains itself") from None
    data = library.numpy.save(ready | arrays, {"fusednet": text})
    header = int.from_bytes(data[:8], "little")
    if header > _LARGEST_HEADER:
        raise ValueError(
            f"the document and the list of tensors take {header} bytes; at most {_LARGEST_HEADER} fit in a file"
        )
    start = _PREAMBLE.search(data, 8, 8 + header).start(3)
    digest = hashlib.sha256(data).hexdigest().encode()  # its place is still zeros
    view = memoryview(data)
    _replace(path, (view[:start], digest, view[start + len(digest) :]))


def _replace(path: str, parts: tuple) -> None:
    """Put a new file in the place of path, atomically and durably."""
    path = os.path.realpath(path)  # a link keeps pointing to what it points to
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        raise FileNotFoundError(errno.ENOENT, "cannot save: there is no such folder, make it first", folder)
    mode = None
    with contextlib.suppress(FileNotFoundError):
        mode = os.stat(path).st_mode
    if mode is not None and not stat.S_ISREG(mode):
        raise ValueError(f"cannot save: {path!r} is there already and is not a regular file")
    temporary = os.path.join(folder, f".fusednet-{secrets.token_hex(8)}.tmp")
    try:
        _write_synced(temporary, parts, mode)
        os.replace(temporary, path)
    except BaseException as error:  # Ctrl-C too leaves nothing behind
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, OSError) and error.errno is not None:
            what = f"cannot save: {os.strerror(error.errno)}; what was there before is untouched"
            raise OSError(error.errno, what, path) from error
        raise
    if os.name == "posix":
        _sync_folder(folder)


def _write_synced(path: str, parts: tuple, mode: int | None) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    descriptor = os.open(path, flags, 0o666)
    try:
        if mode is not None and hasattr(os, "fchmod"):
            os.fchmod(descriptor, stat.S_IMODE(mode))
        for part in parts:
            rest = memoryview(part)
            while rest:
                rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: str) -> None:
    """Make the rename last through a power failure; file systems that cannot sync a folder say EINVAL."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)


def read(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict]:
    """Read what `write` wrote.

    Parameters
    ----------
    path : str or os.PathLike

    Returns
    -------
    tensors : dict of str to ndarray
        In the order of their names; writable, of their own.
    document : dict

    Raises
    ------
    FileNotFoundError, OSError
        If there is no such file, or it cannot be read.
    ValueError
        If the file is cut short, altered, not written by fusednet, or of a newer format.
    ImportError
        If safetensors is not installed; says what to type.
    """
    library = _safetensors()
    path = os.fsdecode(path)
    with open(path, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError(f"{path!r} is not a regular file")
        data = file.read()
    header = _checked(path, data)
    try:
        entry = json.loads(json.loads(data[8 : 8 + header])["__metadata__"]["fusednet"])
        tensors = {name: np.require(array, None, "AW") for name, array in sorted(library.numpy.load(data).items())}
        document = _unpacked(entry["document"], tensors)
        if not isinstance(document, dict):
            raise TypeError("its document is not a dict")
    except (library.SafetensorError, ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
        raise ValueError(f"{path!r} is not as fusednet writes files: {error!r}") from error
    return tensors, document


def _checked(path: str, data: bytes) -> int:
    """Length of the header of a file that is whole, unaltered and of a format that can be read."""
    if len(data) < 9:
        raise ValueError(f"{path!r} is cut short, or not a model file: it has {len(data)} bytes")
    header = int.from_bytes(data[:8], "little")
    if data[8:9] != b"{" or header > _LARGEST_HEADER:
        raise ValueError(f"{path!r} is not a safetensors file, or it was altered")
    if 8 + header > len(data):
        raise ValueError(f"{path!r} is cut short: {len(data)} bytes are there, its header alone has {8 + header}")
    found = _PREAMBLE.search(data, 8, 8 + header)
    if found is None:
        raise ValueError(f"{path!r} was not written by fusednet, or was altered: its metadata has no such entry")
    if int(found[1]) > FORMAT:
        raise ValueError(
            f"{path!r} was written by fusednet {found[2].decode()}, format {int(found[1])}; this is fusednet "
            f"{__version__}, which reads up to format {FORMAT}"
        )
    digest = hashlib.sha256(data[: found.start(3)])
    digest.update(_NO_DIGEST.encode())
    digest.update(memoryview(data)[found.end(3) :])
    if digest.hexdigest().encode() != found[3]:
        wanted = _stated_size(data, header)
        if wanted is not None and len(data) < wanted:
            raise ValueError(f"{path!r} is cut short: {len(data)} of {wanted} bytes are there")
        raise ValueError(f"{path!r} was altered or damaged after it was written: its checksum does not fit")
    return header


def _stated_size(data: bytes, header: int) -> int | None:
    """Size of the whole file as its header has it, if that can be read."""
    try:
        entries = json.loads(data[8 : 8 + header])
        ends = [int(entry["data_offsets"][1]) for name, entry in entries.items() if name != "__metadata__"]
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, OverflowError):
        return None
    return 8 + header + max(ends, default=0)
