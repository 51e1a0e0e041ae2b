"""First values of weights: their distributions, their names, and what is refused.

a) Moments of a large draw are held to five standard errors, with the seed fixed; each such check is shown to fail on a
   distribution with a spread that is 2 % off.
b) Keras's formulas are written out in `KERAS`.
"""

import math

import numpy as np
import pytest

from fusednet import initializers as i
from fusednet.backends.table import Activation

SHAPE = (300, 700)
AVERAGE = (SHAPE[0] + SHAPE[1]) / 2

NORMAL = {"normal": 0.01, "xavier": math.sqrt(1 / SHAPE[0]), "he": math.sqrt(2 / SHAPE[0])}
KERAS = {
    "glorot_uniform": math.sqrt(6 / (SHAPE[0] + SHAPE[1])),  # limits
    "he_uniform": math.sqrt(6 / SHAPE[0]),
    "lecun_uniform": math.sqrt(3 / SHAPE[0]),
    "glorot_normal": math.sqrt(2 / (SHAPE[0] + SHAPE[1])) / 0.87962566103423978,  # before truncation
    "he_normal": math.sqrt(2 / SHAPE[0]) / 0.87962566103423978,
    "lecun_normal": math.sqrt(1 / SHAPE[0]) / 0.87962566103423978,
}


def draw(name, shape=SHAPE, seed=1, **options):
    return i.draw(name, shape, np.random.default_rng(seed), dtype=np.float64, **options)


def has_moments(values, variance, kurtosis):
    """Mean 0, this variance, this E x^4 / (E x^2)^2; within five standard errors."""
    n = values.size
    square = np.mean(values**2)
    mean_good = abs(values.mean()) < 5 * math.sqrt(variance / n)
    variance_good = abs(square / variance - 1) < 5 * math.sqrt((kurtosis - 1) / n)
    return mean_good and variance_good and abs(np.mean(values**4) / square**2 - kurtosis) < 0.05


TRUNCATED_KURTOSIS = 2.3655
# E x^4 / (E x^2)^2 of a standard normal variable cut off at 2.


def test_the_constants_of_truncation():
    x = np.linspace(-2, 2, 200_001)
    density = np.exp(-(x**2) / 2)
    density /= density.sum()
    second, fourth = (density * x**2).sum(), (density * x**4).sum()
    assert math.sqrt(second) == pytest.approx(i._TRUNCATED_STD, abs=1e-4)
    assert fourth / second**2 == pytest.approx(TRUNCATED_KURTOSIS, abs=2e-3)


@pytest.mark.parametrize("name", NORMAL)
def test_normal_initializers(name):
    values = draw(name)
    assert has_moments(values, NORMAL[name] ** 2, 3)
    assert not has_moments(1.02 * values, NORMAL[name] ** 2, 3)
    assert not has_moments(draw("glorot_uniform"), NORMAL[name] ** 2, 3)


@pytest.mark.parametrize("name", [name for name in KERAS if "uniform" in name])
def test_uniform_initializers_are_keras(name):
    values, limit = draw(name), KERAS[name]
    assert has_moments(values, limit**2 / 3, 1.8)
    assert 0.9999 * limit < np.abs(values).max() <= limit
    assert not has_moments(1.02 * values, limit**2 / 3, 1.8)


@pytest.mark.parametrize("name", [name for name in KERAS if "normal" in name])
def test_truncated_initializers_are_keras(name):
    values, std = draw(name), KERAS[name]
    assert has_moments(values, (0.87962566103423978 * std) ** 2, TRUNCATED_KURTOSIS)
    assert 1.999 * std < np.abs(values).max() <= 2 * std
    assert not has_moments(1.02 * values, (0.87962566103423978 * std) ** 2, TRUNCATED_KURTOSIS)


def test_every_name_is_tested():
    assert set(NORMAL) | set(KERAS) | {"zeros", "ones"} == set(i.NAMES)


def test_zeros_ones_and_constant():
    assert (draw("zeros") == 0).all() and (draw("ones") == 1).all() and (draw(i.Constant(-2.5)) == -2.5).all()


def test_numbers_and_objects():
    np.testing.assert_array_equal(draw(0.3), draw(i.RandomNormal(0.3)))
    assert has_moments(draw(0.3), 0.09, 3)
    assert has_moments(draw(i.RandomUniform(0.3)), 0.03, 1.8) and np.abs(draw(i.RandomUniform(0.3))).max() <= 0.3
    np.testing.assert_array_equal(draw(i.VarianceScaling(2, "fan_in", "uniform")), draw("he_uniform"))
    assert has_moments(draw(i.VarianceScaling(3, "fan_out", "untruncated_normal")), 3 / SHAPE[1], 3)


@pytest.mark.parametrize("activation", [a.name.lower() for a in Activation])
def test_auto_is_he_before_relu_like_activations(activation):
    relu_like = activation in ("relu", "leaky_relu", "elu", "selu", "swish", "gelu", "gelu_tanh", "softplus")
    np.testing.assert_array_equal(draw("auto", activation=activation), draw("he" if relu_like else "xavier"))


def test_auto_before_softmax_is_xavier():
    np.testing.assert_array_equal(draw("auto", activation="softmax"), draw("xavier"))


@pytest.mark.parametrize("name", i.NAMES)
def test_a_seed_gives_the_same_values_in_both_dtypes(name):
    wide = i.draw(name, (5, 4), np.random.default_rng(7), dtype=np.float64)
    narrow = i.draw(name, (5, 4), np.random.default_rng(7), dtype=np.float32)
    assert wide.dtype == np.float64 and narrow.dtype == np.float32 and narrow.flags.c_contiguous
    np.testing.assert_array_equal(wide.astype(np.float32), narrow)
    if name not in ("zeros", "ones"):
        assert (i.draw(name, (5, 4), np.random.default_rng(8)) != narrow).all()


@pytest.mark.parametrize("name", i.NAMES)
@pytest.mark.parametrize("shape", [(7,), (1, 1), (0, 3), (3, 0)])
def test_shapes_of_vectors_and_empty_ones(name, shape):
    values = draw(name, shape)
    assert values.shape == shape and np.isfinite(values).all()


def test_the_fans_of_a_vector_are_its_length():
    assert i.fans((5,)) == (5, 5) and i.fans((3, 4)) == (3, 4) and i.fans(()) == (1, 1)


def test_functions():
    def ramp(shape, rng):
        return np.arange(math.prod(shape)).reshape(shape)

    np.testing.assert_array_equal(draw(ramp, (2, 3)), [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(draw(lambda shape, rng: rng.random(shape)), np.random.default_rng(1).random(SHAPE))


@pytest.mark.parametrize(
    "function, message",
    [
        (lambda shape, rng: np.zeros((3, 2)), r"gave an array of shape \(3, 2\); wanted \(2, 3\)"),
        (lambda shape, rng: np.full(shape, np.nan), "gave NaN or infinity"),
        (lambda shape, rng: np.full(shape, "a"), "gave an array of dtype <U1; wanted numbers"),
    ],
)
def test_what_a_function_gives_is_checked(function, message):
    with pytest.raises((ValueError, TypeError), match=message):
        draw(function, (2, 3))


@pytest.mark.parametrize(
    "value, error, message",
    [
        ("glorot", ValueError, "^Dense: kernel_initializer is 'glorot'; known: auto, zeros, .*lecun_normal"),
        ("He", ValueError, "known: auto"),
        (-0.1, ValueError, "kernel_initializer is -0.1; wanted a finite number of at least 0"),
        (math.nan, ValueError, "kernel_initializer is nan"),
        (True, TypeError, r"kernel_initializer is True; wanted a name \(auto, .*\), a number .* or a function"),
        (None, TypeError, "kernel_initializer is None; wanted"),
        ([0.1], TypeError, "wanted a name"),
        (i.RandomNormal, TypeError, "is the class RandomNormal; wanted an object"),
    ],
)
def test_resolve_refuses(value, error, message):
    with pytest.raises(error, match=message):
        i.resolve(value, where="Dense", name="kernel_initializer")


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: i.RandomNormal(-1), "RandomNormal: stddev is -1"),
        (lambda: i.RandomUniform(math.inf), "RandomUniform: limit is inf"),
        (lambda: i.Constant("a"), "Constant: value is 'a'"),
        (lambda: i.VarianceScaling(0), "VarianceScaling: scale is 0"),
        (lambda: i.VarianceScaling(1, "fan"), "mode is 'fan'; known: fan_in, fan_out, fan_avg"),
        (lambda: i.VarianceScaling(1, "fan_in", "normal"), "distribution is 'normal'; known: truncated_normal"),
        (lambda: i.Custom(1), "Custom: function is 1"),
    ],
)
def test_bad_initializers_are_refused_when_made(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_initializers_are_frozen_and_equal_by_value():
    assert i.resolve("he") == i.VarianceScaling(2.0, "fan_in", "untruncated_normal")
    assert hash(i.RandomNormal(1)) == hash(i.RandomNormal(1.0))
    with pytest.raises(AttributeError):
        i.RandomNormal().stddev = 2.0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("initializer", [*i.NAMES, "auto", 0.3, lambda shape, rng: rng.standard_normal(shape)])
def test_an_array_is_filled_with_what_is_drawn(initializer, dtype):
    for shape in ((300, 700), (5, 3), (7,), (0, 4)):
        one, other = (np.random.default_rng(4) for _ in range(2))
        out = np.full(shape, np.nan, dtype)
        i.fill(out, initializer, one, "relu")
        assert out.tobytes() == i.draw(initializer, shape, other, "relu", dtype).tobytes()
        assert one.random() == other.random()  # as many numbers were taken


def test_fill_refuses_what_it_cannot_write_to():
    for out in (np.zeros((3, 4), order="F"), np.zeros((3, 8))[:, ::2]):
        with pytest.raises(ValueError, match="fill: out is not C-contiguous"):
            i.fill(out, "he_normal", np.random.default_rng(0))
