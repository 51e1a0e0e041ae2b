"""The native exp and tanh, and the activations made of them, over all float32 numbers and very many float64 ones.

Reads native.math and native.ULP_BOUNDS; runs the instruction set in use (FUSEDNET_ISA forces one). Asked for with
`pytest -m exhaustive -s`, which prints the largest errors found; half a minute or less for each function.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from harness import compare
from tolerance import RULES

from fusednet import backends
from fusednet.backends import ref_numpy
from fusednet.backends.table import Activation

pytestmark = pytest.mark.exhaustive

CHUNK = 1 << 19  # its arrays fit in the cache
EXACT = {"exp": np.exp, "tanh": np.tanh}


@pytest.fixture(scope="module")
def native():
    if "native" not in backends.available():
        pytest.skip("no native table here")
    from fusednet.backends import native

    return native


def ulp_error(got, exact):
    """The largest error of `got` in units in the last place of its dtype; infinite where NaN or a sign is wrong.

    `exact` is of a wider dtype. Infinity counts as the first power of two that does not fit.
    """
    info = np.finfo(got.dtype)
    beyond = exact.dtype.type(info.max) * (1 + exact.dtype.type(info.eps) / 2)
    with np.errstate(over="ignore", invalid="ignore"):
        size = np.minimum(np.abs(exact), np.nextafter(info.max, 0 * info.max))  # the largest has no spacing
        below = size.astype(got.dtype)
        below = np.where(below > size, np.nextafter(below, got.dtype.type(0)), below)
        error = np.abs(np.clip(got.astype(exact.dtype), -beyond, beyond) - np.clip(exact, -beyond, beyond))
        error = error / np.spacing(below).astype(exact.dtype)
    wrong = (np.isnan(got) != np.isnan(exact)) | (np.signbit(got) != np.signbit(exact)) & ~np.isnan(exact)
    if wrong.any():
        return np.inf
    return float(error.max(initial=0, where=~np.isnan(exact)))


def ulp_error_or_half(got, exact):
    """`ulp_error`, 0.5 where it is less: of numbers that are as near as can be, which most are, none is computed."""
    bits = f"u{got.dtype.itemsize}"
    others = got.view(bits) != exact.astype(got.dtype).view(bits)
    return max(0.5, ulp_error(got[others], exact[others]))


def _float32_from(start, stop, step=1):
    """The float32 numbers whose bits count from start to stop."""
    return np.arange(start, stop, step, dtype=np.uint32).view(np.float32)


def _over_chunks(function, chunks):
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(function, chunks))


@pytest.mark.parametrize("name", EXACT)
def test_float32_function_keeps_its_bound_everywhere(native, name):
    def worst(chunk):
        with np.errstate(all="ignore"):
            x = _float32_from(chunk * CHUNK, (chunk + 1) * CHUNK)
            y = np.empty_like(x)
            native.math(name, y, x)
            return ulp_error_or_half(y, EXACT[name](x.astype(np.float64)))

    errors = _over_chunks(worst, range(2**32 // CHUNK))
    where = int(np.argmax(errors)) * CHUNK
    print(f"\n{name} float32: largest error {max(errors):.4f} ULP, in the {CHUNK} numbers from bits {where:#x} on")
    assert max(errors) <= native.ULP_BOUNDS[name, "float32"] < 4


def _float64_numbers(rng, name):
    """Of all magnitudes, dense where the function does something, and close to where its pieces meet."""
    yield rng.integers(0, 2**64, CHUNK, dtype=np.uint64).view(np.float64)
    yield from (rng.uniform(-limit, limit, CHUNK) for limit in (1e-3, 0.35, 1, 2, 20, 750))
    yield rng.choice([-1.0, 1.0], CHUNK) * 10.0 ** rng.uniform(-320, 3, CHUNK)
    steps = rng.integers(-2200, 2200, CHUNK) * (np.log(2) / 2)
    yield steps + np.spacing(np.abs(steps)) * rng.integers(-8, 9, CHUNK)
    yield rng.uniform(-746, -707, CHUNK)
    yield rng.uniform(709, 710, CHUNK)
    tiny = np.finfo(np.float64).tiny
    special = np.array([0.0, np.inf, np.nan, 1.0, tiny, 5e-324, np.finfo(np.float64).max, 709.782712893384, 745.2])
    yield np.concatenate([special, -special])


@pytest.mark.parametrize("name", EXACT)
def test_float64_function_keeps_its_bound(native, name):
    if np.finfo(np.longdouble).eps == np.finfo(np.float64).eps:
        pytest.skip("long double is no wider than double here")

    def worst(seed):
        with np.errstate(all="ignore"):
            error = 0.0
            for x in _float64_numbers(np.random.default_rng(seed), name):
                y = np.empty_like(x)
                native.math(name, y, x)
                error = max(error, ulp_error_or_half(y, EXACT[name](x.astype(np.longdouble))))
            return error

    error = max(_over_chunks(worst, range(16)))
    print(f"\n{name} float64: largest error {error:.4f} ULP")
    assert error <= native.ULP_BOUNDS[name, "float64"] < 4


@pytest.mark.parametrize("kind", [k for k in Activation if k > Activation.LEAKY_RELU], ids=lambda k: k.name.lower())
def test_float32_activation_keeps_its_tolerance_over_all_magnitudes(native, kind):
    """Every so-manieth number, by a prime; the exact gelu takes long."""
    table = native.table()
    step = 1009 if kind == Activation.GELU else 61
    a = SimpleNamespace(kind=int(kind), alpha=0.7)
    info = np.finfo(np.float32)
    t = SimpleNamespace(u=float(info.eps) / 2, tiny=float(info.tiny), least=float(info.smallest_subnormal) * 1.01)

    def check(chunk):
        with np.errstate(all="ignore"):
            x = _float32_from(chunk * CHUNK * step, min((chunk + 1) * CHUNK * step, 2**32), step)
            x = x[np.isfinite(x)]
            y, exact = np.empty_like(x), np.empty(x.shape)
            table.activation_fwd(y, x, a.kind, a.alpha)
            a_here = SimpleNamespace(**vars(a), x=x.astype(np.float64))
            ref_numpy.activation_fwd(exact, a_here.x, a.kind, a.alpha)
            compare(y, exact, RULES["activation_fwd"](t, a_here, SimpleNamespace(y=exact))["y"], kind.name.lower())

    _over_chunks(check, range(-(-(2**32) // (CHUNK * step))))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ulp_error_sees_one_more(dtype):
    """The measure itself: exact is 0, one step is 1, a half step is a half; signs and NaN count."""
    exact = np.array([1.0, -3.5, 1e-3, np.inf, np.nan, 0.0, float(np.finfo(dtype).smallest_subnormal)], np.longdouble)
    got = exact.astype(dtype)
    assert ulp_error(got, got.astype(np.longdouble)) == 0
    for i in (0, 1, 2, 6):
        moved = got.copy()
        moved[i] = np.nextafter(moved[i], dtype(np.inf))
        assert ulp_error(moved, got.astype(np.longdouble)) == 1
    half = np.longdouble(np.finfo(dtype).eps) / 2
    assert ulp_error(np.array([1.0], dtype), np.array([1 + half])) == 0.5
    assert ulp_error(np.array([1.0], dtype), np.array([1 - half])) == 1  # below 1 they are twice as dense
    largest = np.finfo(dtype).max
    assert 0 < ulp_error(np.array([largest]), np.longdouble([np.inf])) <= 1
    for wrong in ([np.nan, 1.0], [1.0, -0.0], [0.0, -0.0], [np.inf, np.nan], [-1.0, 1.0]):
        assert ulp_error(np.array(wrong[:1], dtype), np.longdouble(wrong[1:])) == np.inf
        assert ulp_error_or_half(np.array(wrong[:1], dtype), np.longdouble(wrong[1:])) == np.inf


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_ulp_error_or_half(dtype):
    rng = np.random.default_rng(0)
    exact = rng.standard_normal(1000).astype(np.longdouble)
    for steps in (0, 1, 5):
        got = exact.astype(dtype)
        for _ in range(steps):
            got[500] = np.nextafter(got[500], dtype(np.inf))
        assert ulp_error_or_half(got, exact) == max(0.5, ulp_error(got, exact))
