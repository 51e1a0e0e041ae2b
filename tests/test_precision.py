"""matmul_precision: what the words do, who remembers them, and that the fast products are what is claimed."""

import numpy as np
import pytest
from tolerance import _bfloat16

import fusednet as fn
from fusednet import backends, precision
from fusednet.backends.table import PRECISIONS

MEDIUM = PRECISIONS.index("medium")


@pytest.fixture(autouse=True)
def _default(monkeypatch):
    monkeypatch.setattr(precision, "_default", "highest")


def _model(word=None, dtype="float32"):
    model = fn.Sequential([fn.Dense(96, "relu"), fn.Dense(64)], seed=3, dtype=dtype)
    model.compile(fn.SGD(0.01), "mse", matmul_precision=word)
    return model


def _data(dtype=np.float32):
    rng = np.random.default_rng(5)
    return rng.standard_normal((256, 80)).astype(dtype), rng.standard_normal((256, 64)).astype(dtype)


def _has_units() -> bool:
    table = backends.current()
    return table.backend == "native" and table.isa.endswith("bf16")


def test_default_is_highest_and_can_be_set():
    assert fn.get_matmul_precision() == "highest"
    fn.set_matmul_precision("medium")
    assert fn.get_matmul_precision() == "medium"
    assert _model().matmul_precision == "medium"
    assert _model("highest").matmul_precision == "highest"


@pytest.mark.parametrize("call", [fn.set_matmul_precision, _model], ids=["set", "compile"])
def test_unknown_word_lists_the_known(call):
    known = r"matmul_precision is 'hihg'; known: highest, high, medium \(did you mean 'high'"
    with pytest.raises(ValueError, match=known):
        call("hihg")
    assert fn.get_matmul_precision() == "highest"


def test_plan_carries_the_code():
    for code, word in enumerate(PRECISIONS):
        model = _model(word)
        model.build(80)
        for mode in ("train", "evaluate", "predict"):
            products = [op for op in model.plan(mode).ops if op.kernel.startswith("affine")]
            assert products and all(f"precision={code}" in model.plan(mode).dump() for op in products)


def test_file_keeps_the_word(tmp_path):
    pytest.importorskip("safetensors")
    model = _model("medium")
    model.build(80)
    model.save(tmp_path / "m.safetensors")
    assert fn.load(tmp_path / "m.safetensors").matmul_precision == "medium"


def test_medium_rounds_the_factors_once_where_there_are_units():
    rng = np.random.default_rng(1)
    x, w = (rng.standard_normal(shape).astype(np.float32) for shape in ((90, 200), (200, 110)))
    exact, rounded = x.astype(np.float64) @ w, _bfloat16(x) @ _bfloat16(w)
    results = []
    for code in (0, MEDIUM):
        y = np.empty((90, 110), np.float32)
        backends.current().affine_fwd(y, None, x, w, None, 0, 0.0, code)
        results.append(y)
    assert np.abs(results[0] - exact).max() < 1e-4 < np.abs(rounded - exact).max()
    wanted = rounded if _has_units() else exact
    assert np.abs(results[1] - wanted).max() < 1e-4


def test_no_word_makes_float64_less_exact():
    x, y = _data("float64")
    losses = [_model(word, "float64").fit(x, y, epochs=3).history for word in PRECISIONS]
    assert losses[0] == losses[1] == losses[2]


def test_high_is_nearly_as_exact_as_highest():
    """Two parts of each factor on the matrix unit, where there is one; else float32."""
    x, y = _data()
    losses = [_model(word).fit(x, y, batch_size=128, epochs=20).history["loss"] for word in ("highest", "high")]
    np.testing.assert_allclose(losses[1], losses[0], rtol=2e-6)
    assert (losses[1] != losses[0]) == (backends.current().isa == "amx_bf16")


def test_medium_trains_alike():
    x, y = _data()
    losses = [_model(word).fit(x, y, batch_size=128, epochs=20).history["loss"] for word in ("highest", "medium")]
    np.testing.assert_allclose(losses[1], losses[0], rtol=2e-3)
    assert (losses[1] != losses[0]) == _has_units()


def test_same_bits_for_any_number_of_threads():
    x, y = _data()
    before, weights = fn.get_num_threads(), []
    try:
        for threads in (1, 2, 3, 8):
            fn.set_num_threads(threads)
            model = _model("medium")
            model.fit(x, y, batch_size=128, epochs=3)
            weights.append(model.get_weights())
    finally:
        fn.set_num_threads(before)
    for other in weights[1:]:
        assert all((a == b).all() for a, b in zip(weights[0], other, strict=True))


@pytest.mark.skipif("native" not in backends.available(), reason="no native table")
def test_units_that_compute_wrong_are_not_used(monkeypatch):
    from fusednet.backends import native

    def wrong(y, z, x, w, *others):
        y[...] = x @ w + 1

    built = {name: number for number, name in enumerate(native.isas())}
    assert all(native._proved(name, built[name]) for name, has in native.isas().items() if has)
    monkeypatch.setattr(native._native, "kernels", lambda number, signatures: {"affine_fwd": wrong})
    assert not any(native._proved(name, built[name]) for name in built if name.endswith("bf16"))
