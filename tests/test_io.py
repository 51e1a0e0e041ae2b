"""Model files: what is written is what is read, bit for bit; a file is whole or not there; damage is always seen.

a) Crashes are real ones: a forked child is killed in the middle of a save, or meets the largest file it may write.
b) Every byte of a file is changed in turn, and the file is cut at every place. Files with damage *and* a checksum that
   fits are tried too: they may be read, or refused with a ValueError, and nothing else.
"""

import dataclasses
import errno
import hashlib
import inspect
import json
import math
import os
import re
import signal
import stat
import struct
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from fusednet import __version__, initializers, io, losses, optimizers, schedules, spec

needs_posix = pytest.mark.skipif(os.name != "posix", reason="not a POSIX system")
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
DOCUMENT_PAGE = Path(__file__).resolve().parent.parent / "docs" / "files.md"

# ---- descriptions ----------------------------------------------------------------------------------------------------

SPECS = [
    *(spec.Linear(), spec.ReLU(name="first"), spec.LeakyReLU(0.3), spec.ELU(), spec.SELU(), spec.Sigmoid()),
    *(spec.Tanh(), spec.Swish(), spec.Softplus(), spec.GELU(), spec.Softmax()),
    spec.Activation("elu", 0.1, name="a b, c"),
    *(spec.L1(0.1), spec.L2(1e-300), spec.L1L2(0.1, 1 / 3), spec.L1L2(l2=0.1, per_row=True)),
    spec.Dense(10),
    spec.Dense(
        3,
        spec.LeakyReLU(),
        use_bias=False,
        kernel_initializer=initializers.RandomNormal(0.5),
        bias_initializer=0.25,
        kernel_regularizer=spec.L2(),
        bias_regularizer=spec.L1L2(1, 2),
        learning_rate_factor=np.float32(0.1),
        name="고양이",
    ),
    *(spec.Dropout(0.1), spec.BatchNormalization(momentum=0.9), spec.Flatten()),
    *(spec.Normalization(), spec.Normalization(mean=(1.0, -2.5), variance=np.array([0.0, 5e-324]))),
    spec.Network((spec.Normalization(), spec.Dense(4, "relu"), spec.Dropout(0.5), spec.Dense(2)), 7, "float64"),
    losses.SparseCategoricalCrossentropy(label_smoothing=0.1),
    *(losses.CategoricalCrossentropy(), losses.BinaryCrossentropy(), losses.MeanSquaredError()),
    *(losses.CategoricalCrossentropy(0.1, most=36.0), losses.LogLoss(0.1, most=36.0), losses.HalfSquaredError()),
    *(losses.MeanAbsoluteError(), losses.Huber(0.7), losses.Quantile(0.9), losses.Poisson(),
      losses.HalfPoissonDeviance()),
    *(optimizers.SGD(momentum=0.9, nesterov=True, weight_decay=1e-4), optimizers.AdaGrad(0.1, clipvalue=3)),
    *(optimizers.RMSprop(), optimizers.Adam(epsilon_inside=True, use_ema=True), optimizers.AdamW(global_clipnorm=1.0)),
    optimizers.Adam(schedules.CosineDecay(0.1, 1000, warmup_steps=10, warmup_target=0.2)),
    *(schedules.Constant(0.1), schedules.StepDecay(0.1, 30, 0.5), schedules.ExponentialDecay(0.1, 100, 0.9)),
    *(schedules.PiecewiseConstant([10, 20], [0.1, 0.01, 0.001]), schedules.CosineDecay(0.1, 100)),
    schedules.OneCycle(0.1, 1000),
    *(initializers.RandomNormal(0.1), initializers.RandomUniform(0.2), initializers.Constant(math.pi)),
    initializers.VarianceScaling(2.0, "fan_avg", "uniform"),
]


@pytest.mark.parametrize("value", SPECS, ids=lambda value: type(value).__name__)
def test_a_description_comes_back_equal(value):
    text = json.dumps(io.encode(value), allow_nan=False)
    back = io.decode(json.loads(text))
    assert type(back) is type(value) and back == value and hash(back) == hash(value) and repr(back) == repr(value)
    assert json.dumps(io.encode(back)) == text


def test_every_listed_class_is_tried_and_knows_its_fields():
    assert {type(value) for value in SPECS} == set(io.REGISTRY.values())
    for cls in io.REGISTRY.values():
        assert {*inspect.signature(cls).parameters} <= {field.name for field in dataclasses.fields(cls)}


def test_every_public_dataclass_is_listed():
    """A new class is listed in io.py, or here with the reason why no file can hold it."""
    for_code = {losses.Custom, schedules.Custom, initializers.Custom}  # functions of the user's
    bases = {spec.Layer, losses.Loss, optimizers.Optimizer}
    found = {
        member
        for module in (spec, losses, optimizers, schedules, initializers)
        for name, member in vars(module).items()
        if dataclasses.is_dataclass(member) and isinstance(member, type) and not name.startswith("_")
    }
    assert found - for_code - bases == set(io.REGISTRY.values())


def test_every_argument_is_in_the_description():
    """Also those with their default, which may be another one some day."""
    data = io.encode(spec.Dense(3))
    assert data == {
        "type": "spec.Dense", "units": 3, "activation": {"type": "spec.Activation", "kind": "linear", "alpha": None,
        "name": None}, "use_bias": True, "kernel_initializer": "auto", "bias_initializer": "zeros",
        "kernel_regularizer": None, "bias_regularizer": None, "learning_rate_factor": 1.0, "name": None,
    }  # fmt: skip
    del data["use_bias"], data["name"]
    assert io.decode(data) == spec.Dense(3)  # a file from before there was such a field


def test_a_wrong_description_is_not_equal():
    data = io.encode(optimizers.Adam(1e-3))
    assert io.decode(data | {"beta_1": np.nextafter(0.9, 1).item()}) != optimizers.Adam(1e-3)
    assert io.decode(data | {"type": "optimizers.AdamW"}) != optimizers.Adam(1e-3)


@pytest.mark.parametrize("value", [np.float64(0.1), np.float32(0.1), np.int8(3), np.bool_(True), np.str_("a"), -0.0])
def test_scalars_of_numpy_are_numbers_of_python(value):
    back = io.decode(json.loads(json.dumps(io.encode(value))))
    assert type(back) in (float, int, bool, str) and back == value
    assert math.copysign(1, back) == math.copysign(1, value) if isinstance(back, float) else True


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, np.float32("nan"), (1.0, (math.inf, None))])
def test_floats_that_are_not_finite(value):
    text = json.dumps(io.encode(value), allow_nan=False)
    assert repr(io.decode(json.loads(text))) == repr(float(value) if np.isscalar(value) else value)


@dataclasses.dataclass(frozen=True)
class Mine:
    units: int = 3


class MyDense(spec.Dense):
    pass


def my_loss(y_true, y_pred):
    return 0.0, y_pred


@pytest.mark.parametrize(
    "value, message",
    [
        (losses.Custom(my_loss), r"Custom\.function: my_loss is code, and a file holds data only"),
        (optimizers.SGD(lambda step: 0.1), r"SGD\.learning_rate\.function: .*<lambda> is code"),
        (
            spec.Network((spec.Dense(3), spec.Dense(3, kernel_initializer=max))),
            r"Network\.layers\[1\]\.kernel_initializer: max is code",
        ),
        (np.ones((2, 3)), "got ndarray"),
        (Mine(), "Mine is not one of fusednet's own classes"),
        (MyDense(3), "MyDense is not one of fusednet's own classes"),
        (spec.Dense, "Dense is code"),
        (spec.Layer(), "Layer is not one of"),
        ({"a": 1}, "got dict"),
        (b"bytes", "got bytes"),
        (1j, "got complex"),
    ],
    ids=lambda value: "" if isinstance(value, str) else type(value).__name__,
)
def test_what_is_not_data_is_refused(value, message):
    with pytest.raises(TypeError, match=f"cannot save .*{message}"):
        io.encode(value)


@pytest.mark.parametrize(
    "data, message",
    [
        ({"type": "os.system", "command": "true"}, r"data: unknown type 'os.system'; known are spec.Activation, "),
        ({"type": "builtins.eval"}, "unknown type"),
        ({"type": "spec.math"}, "unknown type"),
        ({"type": "spec.Layer"}, "unknown type"),
        ({"type": "losses.Custom", "function": "print"}, "unknown type"),
        ({"type": "Dense", "units": 3}, "unknown type"),
        ({"type": None}, "unknown type None"),
        ({"type": ["spec.Dense"]}, "unknown type"),
        ({}, "unknown type None"),
        ({"type": "float", "value": "1.0"}, "unknown type"),
        ({"type": "spec.Dense"}, r"spec.Dense: .*units"),
        ({"type": "spec.Dense", "units": 0}, r"spec.Dense: .*units is 0; wanted 1 or more"),
        ({"type": "spec.Dense", "units": "3"}, r"units is '3'"),
        ({"type": "spec.Dense", "units": 3, "groups": 2}, r"spec.Dense has no 'groups'; it has units, "),
        ({"type": "spec.Flatten", "__class__": 1}, r"has no '__class__'; it has name"),
        ({"type": "spec.ReLU", "kind": "tanh"}, r"spec.ReLU has no 'kind'"),
        ({"type": "spec.Network", "layers": [{"type": "x"}]}, r"data\.layers\[0\]: unknown type 'x'"),
        ({"type": "spec.Network", "layers": 3}, "spec.Network: "),
        ({"type": "optimizers.SGD", "learning_rate": -1.0}, "optimizers.SGD: .*learning_rate"),
        ([object()], r"data\[0\]: unknown type"),
    ],
)
def test_what_is_not_a_description_is_refused(data, message):
    with pytest.raises(ValueError, match=message):
        io.decode(data)


def test_a_description_nested_too_deeply_is_refused():
    value: list = []
    for _ in range(100_000):
        value = [value]
    with pytest.raises(ValueError, match="nested too deeply"):
        io.decode(value)
    while value:  # the interpreter's own way to free it is recursive
        value = value.pop()


# ---- round trips of files --------------------------------------------------------------------------------------------


def example() -> tuple[dict, dict]:
    tensors = {"dense/kernel": np.arange(6, dtype=np.float32).reshape(2, 3), "step": np.array(7)}
    return tensors, {"network": io.encode(spec.Dense(3, name="a")), "classes": np.array(["개", "cat"])}


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def same(a, b) -> bool:
    """Equal in type and value, floats and arrays in every bit."""
    if type(a) is not type(b):
        return False
    if isinstance(a, np.ndarray) and a.dtype.kind != "O":
        return same_bits(a, b)
    if isinstance(a, np.ndarray):
        return a.shape == b.shape and b.dtype.kind == "O" and same(a.ravel().tolist(), b.ravel().tolist())
    if isinstance(a, dict):
        return same(list(a), list(b)) and same(list(a.values()), list(b.values()))
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return repr(a) == repr(b)


DTYPES = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(), (0,), (1,), (3, 0, 2), (5, 7), (2, 3, 4, 5)], ids=str)
def test_tensors_come_back_bit_for_bit(tmp_path, dtype, shape):
    rng = np.random.default_rng(1)
    count = math.prod(shape)
    random = np.frombuffer(rng.bytes(count * np.dtype(dtype).itemsize), dtype)  # of floats every kind of NaN too
    array = (random if dtype != "?" else rng.random(count) < 0.5).reshape(shape)
    variants = {
        "plain": array,
        "fortran": np.asfortranarray(array) if shape else array,
        "strided": np.repeat(array, 2, axis=-1)[..., ::2] if shape else array,
        "reversed": array[::-1][::-1] if shape else array,
        "transposed": array.T.copy().T,
        "swapped": array.astype(array.dtype.newbyteorder(">")) if dtype[0] != "f" else array.byteswap().view(
            array.dtype.newbyteorder(">")
        ),
    }  # fmt: skip
    io.write(tmp_path / "a.safetensors", variants, {})
    tensors, document = io.read(tmp_path / "a.safetensors")
    assert document == {} and tensors.keys() == variants.keys()
    for name, back in tensors.items():
        assert same_bits(back, array), name
        assert back.flags.writeable and back.flags.aligned and back.flags.c_contiguous


def test_tensors_are_writable_also_where_safetensors_gives_others(tmp_path, monkeypatch):
    import safetensors.numpy

    load = safetensors.numpy.load
    odd = np.frombuffer(b"x" + np.arange(3.0).tobytes(), np.uint8)[1:].view(np.float64)
    assert not odd.flags.writeable and not odd.flags.aligned
    monkeypatch.setattr(safetensors.numpy, "load", lambda data: {name: odd for name in load(data)})
    io.write(tmp_path / "a", {"w": np.zeros(3)}, {})
    back = io.read(tmp_path / "a")[0]["w"]
    assert back.flags.writeable and back.flags.aligned and same_bits(back, np.arange(3.0))


DOCUMENTS = {
    "empty": {},
    "plain": {"a": None, "b": [True, False, 0, -1, 2**200], "": {}, "type": {"type": 1}},
    "texts": {"a": ["", "고양이", 'q"\\\n\0', "\ud800"]},
    "floats": {"a": [0.1, -0.0, 5e-324, 1.7976931348623157e308, 1 / 3, math.nan, math.inf, -math.inf]},
    "tuples": {"a": (1, (2, [3, ()]), {"b": ((),)})},
    "keys": {"a": {0: 1.0, 1: 2.0}, "b": {(1, None): {True: {"$float": "nan", "$x": 1}}}, "c": {"$items": []}},
    "strings": {"classes": np.array([["a", "개"], ["", "long one"]]), "none": np.array([], dtype="<U1")},
    "byte strings": {"classes": np.array([[b"a", b"\xff\0x"]]), "none": np.array([], dtype="S1")},
    "objects": {"classes": np.array(["a", 1, None, 2.5, (1, 2), True], dtype=object).reshape(2, 3)},
    "arrays": {"best": [np.arange(3.0), {"x": np.float32([[1, math.nan]])}], "n": np.array(3)},
    "no rows": {"a": np.zeros((0, 2)), "b": np.zeros(0, np.uint8)},
    "long": {"loss": [1 / (i + 1) for i in range(300)] + [math.nan, -0.0], "mixed": [1.0] * 300 + [1]},
    "rng": np.random.default_rng(5).bit_generator.state,
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_a_document_comes_back_as_it_was(tmp_path, name):
    tensors, document = {"w": np.ones(2)}, DOCUMENTS[name]
    io.write(tmp_path / "a", tensors, document)
    tensors_back, back = io.read(tmp_path / "a")
    assert same(back, document) and same(tensors_back, tensors)


def test_the_comparison_sees_what_differs():
    for a, b in [
        (0.0, -0.0), ((1,), [1]), (1, 1.0), (True, 1), (math.nan, 0.0), ({1: 2}, {"1": 2}), ([1], [1, 1]),
        ({}, {"a": 1}), (np.zeros(2), np.zeros(2, np.float32)), (np.zeros((1, 2)), np.zeros(2)),
        (np.zeros(1), -np.zeros(1)),
        (np.array(["a"], object), np.array(["b"], object)), (np.array(["a"]), np.array(["a"], object)),
    ]:  # fmt: skip
        assert not same(a, b) and not same(b, a) and same(a, a) and same(b, b)


def test_scalars_and_subclasses_in_a_document_become_plain(tmp_path):
    class Name(str):
        __slots__ = ()

        def __str__(self):
            return "something else"

    given = {Name("a"): Name("b"), "c": [np.float32(0.1), np.int64(3), np.bool_(False), np.str_("s"), signal.SIGINT]}
    io.write(tmp_path / "a", {}, given)
    assert same(io.read(tmp_path / "a")[1], {"a": "b", "c": [float(np.float32(0.1)), 3, False, "s", 2]})


def test_equal_contents_are_equal_files(tmp_path):
    tensors, document = example()
    io.write(tmp_path / "a", tensors, document)
    io.write(tmp_path / "b", dict(reversed(tensors.items())), document)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    io.write(tmp_path / "b", tensors, document | {"x": 1})
    assert (tmp_path / "a").read_bytes() != (tmp_path / "b").read_bytes()


def test_what_was_given_is_not_changed(tmp_path):
    tensors, document = example()
    io.write(tmp_path / "a", tensors, document)
    assert same((tensors, document), example())


def test_names_of_files(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a.safetensors", Path("b"), tmp_path / "고양이 1.safetensors", b"bytes", "x" * 255):
        io.write(name, *example())
        assert same(io.read(name), example())
    with pytest.raises(TypeError):
        io.write(3, *example())


def test_a_reader_without_fusednet(tmp_path):
    """The format is what docs/files.md says: its code reads a file, with NumPy alone and with safetensors."""
    if not DOCUMENT_PAGE.is_file():
        pytest.skip("no documentation here")
    io.write(tmp_path / "model.safetensors", *example())
    programs = re.findall(r"```python\n(.*?)```", DOCUMENT_PAGE.read_text(encoding="utf-8"), re.DOTALL)
    programs = [program for program in programs if "model.safetensors" in program]
    assert len(programs) == 2
    for program in programs:
        assert "fusednet." not in program and "import fusednet" not in program
        names: dict = {}
        exec(program.replace('"model.safetensors"', repr(str(tmp_path / "model.safetensors"))), names)
        assert names["entry"]["version"] == __version__ and names["entry"]["format"] == io.FORMAT
        assert names["entry"]["document"]["network"]["units"] == 3
        assert same({name: np.array(names["tensors"][name]) for name in example()[0]}, example()[0])
        assert len(names["tensors"]) == len(example()[0])


# ---- what cannot be written ------------------------------------------------------------------------------------------

LOOP: list = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    "tensors, document, error, message",
    [
        ({1: np.ones(2)}, {}, TypeError, "a tensor's name is 1; wanted a string"),
        ({"document/0": np.ones(2)}, {}, ValueError, "'document/0', which is reserved"),
        ({"__metadata__": np.ones(2)}, {}, ValueError, "'__metadata__', which is reserved"),
        ({"a": np.array(["x"])}, {}, TypeError, "tensor 'a': an array of <U1"),
        ({"a": np.array([None])}, {}, TypeError, "tensor 'a': an array of object"),
        ({"a": np.zeros(2, complex)}, {}, TypeError, "tensor 'a': an array of complex128"),
        ({"a": np.zeros(2, "M8[s]")}, {}, TypeError, r"tensor 'a': an array of datetime64\[s\]"),
        ({"a": np.zeros(2, "f4,i4")}, {}, TypeError, "tensor 'a': an array of"),
        ({}, [], TypeError, "document is a list; wanted a dict"),
        ({}, {"a": [{"b": max}]}, TypeError, r"document\['a'\]\[0\]\['b'\]: .* got builtin_function_or_method"),
        ({}, {"a": {1, 2}}, TypeError, r"document\['a'\]: .* got set"),
        ({}, {"a": b""}, TypeError, "got bytes"),
        ({}, {"a": spec.Dense(3)}, TypeError, "got Dense"),
        ({}, {"a": np.datetime64("2020")}, TypeError, "got date"),
        ({}, {"a": np.zeros(2, complex)}, TypeError, r"document\['a'\]: an array of complex128"),
        ({}, {"a": np.array([max], object)}, TypeError, r"document\['a'\]\.flat\[0\]: "),
        ({}, {("a", max): 1}, TypeError, "a key of document"),
        ({}, {"a": LOOP}, ValueError, "nested too deeply, or contains itself"),
    ],
)
def test_what_cannot_be_written_leaves_the_old_file(tmp_path, tensors, document, error, message):
    path = tmp_path / "a"
    path.write_bytes(b"old")
    with pytest.raises(error, match=message):
        io.write(path, tensors, document)
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a"]


def test_a_document_too_large_for_the_format(tmp_path, monkeypatch):
    monkeypatch.setattr(io, "_LARGEST_HEADER", 1000)
    io.write(tmp_path / "a", {}, {"a": "x" * 700})
    with pytest.raises(ValueError, match=r"take 1[0-9]{3} bytes; at most 1000 fit"):
        io.write(tmp_path / "a", {}, {"a": "x" * 1000})
    assert io.read(tmp_path / "a")[1] == {"a": "x" * 700}
    io.write(tmp_path / "a", {}, {"loss": [0.1] * 100_000})  # long lists of floats are tensors


def test_places_that_cannot_be_written_to(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such folder, make it first: .*missing") as caught:
        io.write(tmp_path / "missing" / "a", *example())
    assert caught.value.filename == str(tmp_path / "missing")
    with pytest.raises(ValueError, match="is there already and is not a regular file"):
        io.write(tmp_path, *example())
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        io.write(tmp_path / "file" / "a", *example())
    assert os.listdir(tmp_path) == ["file"]


@needs_posix
@pytest.mark.parametrize("device", ["/dev/null", "/dev/full"])
def test_devices_are_not_replaced(device):
    if not os.path.exists(device):
        pytest.skip(f"no {device}")
    with pytest.raises(ValueError, match="is not a regular file"):
        io.write(device, *example())
    assert stat.S_ISCHR(os.stat(device).st_mode)


@needs_posix
def test_permissions_and_links_are_kept(tmp_path):
    before = os.umask(0o027)
    try:
        io.write(tmp_path / "new", *example())
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(tmp_path / "new").st_mode) == 0o640
    os.chmod(tmp_path / "new", 0o604)
    (tmp_path / "folder").mkdir()
    os.symlink(tmp_path / "new", tmp_path / "folder" / "link")
    io.write(tmp_path / "folder" / "link", {}, {"x": 1})
    assert os.path.islink(tmp_path / "folder" / "link") and os.listdir(tmp_path / "folder") == ["link"]
    assert io.read(tmp_path / "new")[1] == {"x": 1} and stat.S_IMODE(os.stat(tmp_path / "new").st_mode) == 0o604


@pytest.mark.parametrize("name", ["safetensors", "safetensors.numpy"])
def test_without_safetensors_the_error_says_what_to_type(tmp_path, monkeypatch, name):
    monkeypatch.setitem(sys.modules, name, None)
    for call in (lambda: io.write(tmp_path / "a", *example()), lambda: io.read(tmp_path / "a")):
        with pytest.raises(ImportError, match=r"pip install 'fusednet\[files\]'"):
            call()


# ---- a file is whole or not there ------------------------------------------------------------------------------------


def test_the_order_of_events(tmp_path, monkeypatch):
    """Written, synced, renamed, and the folder synced; never the file's own name before that."""
    events = []
    path = tmp_path / "a"

    def recorded(name, describe):
        call = getattr(os, name)

        def record(*arguments):
            events.append((name, describe(*arguments)))
            return call(*arguments)

        monkeypatch.setattr(os, name, record)

    def kind(descriptor):
        return "folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file"

    recorded("write", lambda descriptor, data: path.exists())
    recorded("fsync", kind)
    recorded("replace", lambda old, new: (os.path.dirname(old) == str(tmp_path), new == str(path)))
    io.write(path, *example())
    assert events[0] == ("write", False)
    events = [event for event in events if event[0] != "write"]
    assert events == [("fsync", "file"), ("replace", (True, True)), *[("fsync", "folder")] * (os.name == "posix")]


@pytest.mark.parametrize("call", ["write", "fsync", "replace"])
@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()], ids=["full", "interrupt"])
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, call, error):
    path = tmp_path / "a"
    io.write(path, {}, {"old": True})

    def fail(*arguments):
        raise error

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(type(error)) as caught:
        io.write(path, *example())
    monkeypatch.undo()
    if isinstance(error, OSError):
        assert caught.value.errno == errno.ENOSPC and caught.value.filename == str(path)
        assert "cannot save: No space left on device; what was there before is untouched" in str(caught.value)
    assert io.read(path)[1] == {"old": True} and os.listdir(tmp_path) == ["a"]


def test_short_writes_are_continued(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:100]))
    io.write(tmp_path / "a", *example())
    assert same(io.read(tmp_path / "a"), example())


def test_readers_and_writers_at_the_same_time(tmp_path):
    """Each reader finds a whole file, and the last rename wins."""
    path = tmp_path / "a"

    def save(i):
        io.write(path, {"w": np.full(1000, i)}, {"i": i})

    def look(_):
        tensors, document = io.read(path)
        return bool((tensors["w"] == document["i"]).all())

    save(0)
    with ThreadPoolExecutor(4) as pool:
        written = [pool.submit(save, i) for i in range(40)]
        seen = list(pool.map(look, range(200)))
    assert all(future.result() is None for future in written) and all(seen) and len(seen) == 200
    assert os.listdir(tmp_path) == ["a"]


def in_child(work) -> int:
    """How a forked child that does the work ends: its exit status, or minus the signal."""
    child = os.fork()
    if child == 0:
        status = 99
        try:
            status = work()
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("room", [0, 1, 100, 4096, 100_000])
def test_a_full_disk(tmp_path, room):
    """The system refuses to write more than so many bytes into a file."""
    import resource

    path = tmp_path / "a"
    io.write(path, {}, {"old": True})

    def work():
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        try:
            io.write(path, {"w": np.ones(50_000)}, {})
        except OSError as error:
            return 7 if error.errno == errno.EFBIG and "what was there before is untouched" in str(error) else 8
        return 9

    assert in_child(work) == 7
    assert io.read(path)[1] == {"old": True} and os.listdir(tmp_path) == ["a"]


@needs_fork
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.parametrize("call, new", [("write", False), ("fsync", False), ("replace", False), ("replace", True)])
def test_a_kill_in_the_middle(tmp_path, call, new):
    """SIGKILL before the rename: the old file. After it: the new one."""
    path = tmp_path / "a"
    io.write(path, {}, {"old": True})

    def work():
        original = getattr(os, call)

        def killed(*arguments):
            if call == "write":
                original(arguments[0], arguments[1][:50])
            elif new:
                original(*arguments)
            os.kill(os.getpid(), signal.SIGKILL)

        setattr(os, call, killed)
        io.write(path, *example())
        return 0

    assert in_child(work) == -signal.SIGKILL
    assert same(io.read(path), example() if new else ({}, {"old": True}))
    left = set(os.listdir(tmp_path)) - {"a"}
    assert all(re.fullmatch(r"\.fusednet-[0-9a-f]{16}\.tmp", name) for name in left) and len(left) == (not new)
    io.write(path, *example())  # what was left disturbs nobody
    assert same(io.read(path), example())


# ---- damage ----------------------------------------------------------------------------------------------------------


def put(path: Path, data: bytes) -> None:
    """Write the data as a new file; to cut an old one short first takes milliseconds on some file systems."""
    path.unlink(missing_ok=True)
    path.write_bytes(data)


def test_every_change_of_a_byte_is_seen(tmp_path):
    path = tmp_path / "a"
    io.write(path, *example())
    data = path.read_bytes()
    target = tmp_path / "b"
    for i in range(len(data)):
        for bit in range(8):
            changed = bytearray(data)
            changed[i] ^= 1 << bit
            put(target, changed)
            with pytest.raises(ValueError, match=r"'.*b' "):
                io.read(target)
    put(target, data)
    assert same(io.read(target), example())


def test_every_cut_and_every_addition_is_seen(tmp_path):
    path = tmp_path / "a"
    io.write(path, *example())
    data = path.read_bytes()
    for length in range(len(data)):
        put(path, data[:length])
        with pytest.raises(ValueError, match="is cut short"):
            io.read(path)
        put(path, data[length + 1 :])
        with pytest.raises(ValueError):
            io.read(path)
    for more in (b"\0", b"{", b"x" * 1000, data):
        put(path, data + more)
        with pytest.raises(ValueError, match="altered"):
            io.read(path)
    put(path, data)
    assert same(io.read(path), example())


def sealed(data: bytes) -> bytes:
    """The data with a checksum that fits, where there is a place for one."""
    found = re.search(rb'\\"sha256\\":\\"([0-9a-f]{64})', data)
    if not found:
        return data
    start, end = found.span(1)
    blank = data[:start] + b"0" * 64 + data[end:]
    return data[:start] + hashlib.sha256(blank).hexdigest().encode() + data[end:]


def test_damage_with_a_checksum_that_fits_is_refused_or_read(tmp_path):
    path = tmp_path / "a"
    documents = [*DOCUMENTS.values(), example()[1]]
    rng = np.random.default_rng(11)
    pieces = [b"", b"0", b"-1", b"9" * 20, b"null", b"[]", b"{}", b'\\"', b"}", b"]", b"$", b"NaN", b"\xff"]
    refused = 0
    for turn in range(4000):
        if turn % 200 == 0:
            io.write(path, {"w": np.ones((2, 3), np.float32)}, documents[turn // 200 % len(documents)])
            data = path.read_bytes()
            assert sealed(data) == data
        header = int.from_bytes(data[:8], "little")
        start = int(rng.integers(8, 8 + header))
        stop = min(start + int(rng.integers(0, 8)), 8 + header)
        middle = data[8:start] + pieces[rng.integers(len(pieces))] + data[stop : 8 + header]
        put(path, sealed(struct.pack("<Q", len(middle)) + middle + data[8 + header :]))
        try:
            tensors, document = io.read(path)
        except ValueError:
            refused += 1
        else:
            assert isinstance(tensors, dict) and isinstance(document, dict)
    assert 1000 < refused < 4000


def test_a_header_nested_too_deeply(tmp_path):
    io.write(tmp_path / "a", {}, {"x": 12345})
    data = (tmp_path / "a").read_bytes()
    header = data[8:].replace(b"12345", b"[" * 200_000 + b"]" * 200_000)
    (tmp_path / "a").write_bytes(sealed(struct.pack("<Q", len(header)) + header))
    with pytest.raises(ValueError, match="is not as fusednet writes files"):
        io.read(tmp_path / "a")


def test_a_file_from_a_newer_version(tmp_path, monkeypatch):
    monkeypatch.setattr(io, "FORMAT", 2)
    monkeypatch.setattr(io, "__version__", "9.1.0rc1")
    io.write(tmp_path / "a", *example())
    monkeypatch.undo()
    message = rf"written by fusednet 9\.1\.0rc1, format 2; this is fusednet {__version__}, which reads up to format 1"
    with pytest.raises(ValueError, match=message):
        io.read(tmp_path / "a")


def test_files_of_others(tmp_path):
    import safetensors.numpy

    path = tmp_path / "a"
    for metadata in (None, {"format": "pt"}, {"fusednet": "{}"}, {"fusednet": "[]"}):
        safetensors.numpy.save_file({"w": np.ones(3)}, path, metadata)
        with pytest.raises(ValueError, match="was not written by fusednet"):
            io.read(path)
    disguise = '"fusednet":"{\\"format\\":1,\\"version\\":\\"1\\",\\"sha256\\":\\"' + "0" * 64 + '\\"'
    safetensors.numpy.save_file({disguise: np.ones(3)}, path, {"x": disguise})
    with pytest.raises(ValueError, match="was not written by fusednet"):
        io.read(path)
    for data in (b"PK\3\4" + b"x" * 500, b"\x89HDF\r\n\x1a\n" + b"\0" * 500, b"\x80\x05" + b"x" * 500, b"x,y\n" * 9):
        put(path, data)
        with pytest.raises(ValueError, match="is not a safetensors file"):
            io.read(path)


def test_what_is_not_a_file(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"):
        io.read(tmp_path / "missing")
    with pytest.raises(OSError):
        io.read(tmp_path)
    if os.path.exists("/dev/zero"):
        with pytest.raises(ValueError, match="'/dev/zero' is not a regular file"):
            io.read("/dev/zero")
