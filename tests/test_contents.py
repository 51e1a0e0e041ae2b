"""Files whose checksum fits and whose contents do not: refused with a `ValueError`, before anything is made of them."""

import numpy as np
import pytest
from fits import blobs, classifier

import fusednet as fn
from fusednet import cursor as places
from fusednet import io
from fusednet.cursor import FIELDS, fresh
from fusednet.ensemble import Ensemble

X, Y = blobs(rows=90)


@pytest.fixture
def saved(tmp_path):
    """A file of a training that was left within an epoch, and its contents."""
    model = classifier()
    model.fit(X, Y, epochs=1, batch_size=16, steps_per_epoch=3)
    path = tmp_path / "model.safetensors"
    model.save(path, training_state=True)
    return path, *io.read(path)


def _cursor(**values):
    cursor = fresh()
    for name, value in values.items():
        cursor[getattr(places, name)] = value
    return cursor


def _units(document, units):
    layers = [{**layer, "units": units} if layer.get("units") else layer for layer in document["network"]["layers"]]
    return {**document["network"], "layers": layers}


DOCUMENTS = {
    "another type of network": (lambda d: {"network": d["loss"]}, "'network'"),
    "no features": (lambda d: {"network": {**d["network"], "features": None}}, "network.features"),
    "more units than there is memory": (lambda d: {"network": _units(d, 10**12)}, "wants numbers of shape"),
    "a seed of text": (lambda d: {"seed": "x"}, "'seed'"),
    "a name of a number": (lambda d: {"name": 5}, "'name'"),
    "normalized": (lambda d: {"normalized": 5}, "'normalized'"),
    "classes": (lambda d: {"classes": 5}, "'classes'"),
    "names": (lambda d: {"feature_names": ("a",)}, "'feature_names'"),
    "an optimizer of a number": (lambda d: {"optimizer": 5}, "'optimizer'"),
    "a loss of text": (lambda d: {"loss": "mse"}, "'loss'"),
    "metrics": (lambda d: {"metrics": 5}, "'metrics'"),
    "left": (lambda d: {"left": 5}, "'left'"),
    "rate": (lambda d: {"rate": "x"}, "'rate'"),
}
LEFT = {
    "a short cursor": {"cursor": np.zeros(1, np.int64)},
    "a cursor of floats": {"cursor": np.zeros(FIELDS)},
    "a cursor below 0": {"cursor": _cursor(POSITION=-16)},
    "a cursor within a step": {"cursor": _cursor(OP=3)},
    "a cursor beyond what can be counted": {"cursor": _cursor(STEP=2**53 + 2)},
    "no cursor": {"cursor": None},
    "sums": {"sums": np.zeros(5, np.float32)},
    "pending": {"pending": [5]},
    "validated": {"validated": {0: "x"}},
    "history": {"history": 5},
    "more": {"more": 5},
}
ARRAYS = {
    "of one element": ("dense/kernel", np.ones((1, 1), np.float32), "shape"),
    "of text": ("dense/kernel", None, "no array 'dense/kernel'"),
    "moments": ("state/m", np.ones(1, np.float32), "shape"),
    "weights of the last step": ("trained/params", np.ones(1, np.float32), "shape"),
    "unknown weights": ("trained/x", np.ones(1, np.float32), "which its network has not"),
}


def _refused(path, tensors, document, words):
    io.write(path, tensors, document)
    model = classifier()
    for read in (fn.load, model.load_training_state):
        with pytest.raises(ValueError, match=words) as error:
            read(path)
        assert "cannot be loaded" in str(error.value)
    assert model.memory is None
    io.write(path, {f"0/{name}": array for name, array in tensors.items()}, {"members": [document]})
    with pytest.raises(ValueError, match=words):
        Ensemble.load(path)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents(saved, name):
    path, tensors, document = saved
    change, words = DOCUMENTS[name]
    _refused(path, tensors, document | change(document), words)


@pytest.mark.parametrize("name", LEFT)
def test_where_a_training_stands(saved, name):
    path, tensors, document = saved
    _refused(path, tensors, document | {"left": document["left"] | LEFT[name]}, "left")


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays(saved, name):
    path, tensors, document = saved
    array, value, words = ARRAYS[name]
    tensors = {key: one for key, one in tensors.items() if key != array} | ({} if value is None else {array: value})
    _refused(path, tensors, document, words)


def test_parts_that_are_missing(saved):
    path, tensors, document = saved
    for part in ("network", "name", "seed", "normalized", "classes", "feature_names", "left", "loss", "metrics"):
        _refused(path, tensors, {name: value for name, value in document.items() if name != part}, part)
    io.write(path, {}, {})
    with pytest.raises(ValueError, match="it is no model of fusednet"):
        fn.load(path)
    io.write(path, {}, {"members": 5})
    with pytest.raises(ValueError, match="no list of models"):
        Ensemble.load(path)


@pytest.mark.parametrize(
    "place", [{"POSITION": 90}, {"POSITION": 10**9}, {"POSITION": 7, "EPOCH_STEP": 1}, {"EPOCH_STEP": 4}]
)
def test_a_place_that_these_rows_do_not_have_is_not_gone_to(saved, place):
    path, tensors, document = saved
    io.write(path, tensors, document | {"left": document["left"] | {"cursor": _cursor(**place)}})
    model = fn.load(path)
    weights = model.get_weights()
    with pytest.raises(ValueError, match=r"the training that was left stands at row \d+ and step \d+"):
        model.fit(X, Y, epochs=3, batch_size=16, steps_per_epoch=3, resume=True)
    assert all((a == b).all() for a, b in zip(weights, model.get_weights(), strict=True))
    if "EPOCH_STEP" in place and place["EPOCH_STEP"] > 3:
        with pytest.raises(ValueError, match="the training that was left"):
            model.fit(iter([(X, Y)] * 9), epochs=3, steps_per_epoch=3, resume=True)


def test_layers_may_have_the_names_of_states(tmp_path):
    path = tmp_path / "model.safetensors"

    def trained(**options):
        model = fn.Sequential([fn.Dense(4, name="state"), fn.BatchNormalization(name="trained"), fn.Dense(3)], seed=0)
        model.compile("adam", "sparse_categorical_crossentropy")
        model.fit(X, Y, **options)
        return model

    trained(epochs=1).save(path, training_state=True)
    model = fn.load(path)
    model.fit(X, Y, epochs=2, resume=True)
    wanted = trained(epochs=2).get_weights()
    assert all((a == b).all() for a, b in zip(wanted, model.get_weights(), strict=True))
    with pytest.raises(ValueError, match="name is 'document', which model files need"):
        fn.Dense(4, name="document")


@pytest.mark.parametrize("words", [["b", "a"], [b"b", b"a"]])
def test_fewer_classes_than_outputs(tmp_path, words):
    model = fn.Sequential([fn.Dense(3)], seed=0)
    model.compile("adam", "sparse_categorical_crossentropy")
    y = np.array(words)[Y % 2]
    model.fit(X, y)
    model.set_weights([np.zeros((5, 3)), [0.0, 0.5, 1.0]])  # the third is no class
    assert (model.predict_classes(X) == words[0]).all()
    model.save(tmp_path / "m")
    back = fn.load(tmp_path / "m")
    assert (back.predict_classes(X) == words[0]).all() and back.classes_.dtype == model.classes_.dtype


def test_a_training_goes_on_by_the_seed_that_it_began_with(tmp_path):
    path = tmp_path / "backup.safetensors"
    options = {"batch_size": 16, "validation_split": 0.25}

    def model(seed):
        layers = [fn.Dense(8, "relu"), fn.Dropout(0.3), fn.Dense(3)]
        made = fn.Sequential(layers, seed=seed)
        made.compile("adam", "sparse_categorical_crossentropy")
        return made

    whole, half, other = model(1), model(1), model(2)
    whole.fit(X, Y, epochs=4, **options)
    half.fit(X, Y, epochs=2, **options)
    half.save(path, training_state=True)
    other.load_training_state(path)
    assert other.seed == 1
    other.fit(X, Y, epochs=4, resume=True, **options)
    assert all((a == b).all() for a, b in zip(whole.get_weights(), other.get_weights(), strict=True))
    assert (other.validation_indices_ == whole.validation_indices_).all()
    with pytest.raises(ValueError, match=r"with the seed 1, .* this one has 2; wanted Sequential\(..., seed=1\)"):
        model(2).fit(X, Y, epochs=4, callbacks=[fn.BackupAndRestore(tmp_path, delete_checkpoint=False)], **options)
