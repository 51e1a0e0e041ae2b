"""How the inputs of a case are drawn: a recipe is a kind of values, by name.

Reads ref_numpy.py (what forward passes save for backward ones); read by harness.py. cases.py names the recipes.

a) Deterministic: the generator is seeded by the case's and the argument's name, so a case is the same on every machine
   and in every table, and changes with no other case.
b) Drawn in double, then rounded to the dtype of the call: both dtypes get nearly the same numbers, and what the exact
   result is computed from is what the kernel gets.
"""

import zlib
from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
from cases import Case

from fusednet.backends import ref_numpy
from fusednet.backends.table import KERNELS, SAVES_Z, Activation

RECIPES: dict[str, Callable[[SimpleNamespace], np.ndarray]] = {}
"""Each draws an array from a namespace of rng, shape, dtype, case, and drawn: the arguments before it in the list."""


def _recipe(function):
    RECIPES[function.__name__.strip("_")] = function
    return function


@_recipe
def normal(d):
    return d.rng.standard_normal(d.shape)


@_recipe
def positive(d):
    return d.rng.uniform(0.1, 2.0, d.shape)


@_recipe
def negative(d):
    return -d.rng.uniform(0.1, 2.0, d.shape)


@_recipe
def zeros(d):
    return np.zeros(d.shape)


@_recipe
def unit(d):
    return d.rng.uniform(0.0, 1.0, d.shape)


@_recipe
def integers(d):
    """Few distinct values: ties for the largest, differences that are exactly 0."""
    return d.rng.integers(-2, 3, d.shape)


@_recipe
def mixed(d):
    """Twelve orders of magnitude."""
    return d.rng.choice([-1.0, 1.0], d.shape) * 10.0 ** d.rng.uniform(-6, 6, d.shape)


@_recipe
def large(d):
    """Products of two are finite, of three are not."""
    return d.rng.standard_normal(d.shape) * float(np.finfo(d.dtype).max) ** 0.4


@_recipe
def huge(d):
    """Squares are finite in double whatever the dtype."""
    return d.rng.standard_normal(d.shape) * (1e25 if d.dtype == np.float32 else 1e100)


@_recipe
def tiny(d):
    """Products of two are normal numbers, of three are not."""
    return d.rng.uniform(0.5, 1.0, d.shape) * float(np.finfo(d.dtype).tiny) ** 0.4


@_recipe
def subnormal(d):
    return d.rng.uniform(-1.0, 1.0, d.shape) * float(np.finfo(d.dtype).tiny)


@_recipe
def saturating(d):
    """On both sides of where e^x under- and overflows."""
    return d.rng.uniform(-1.3, 1.3, d.shape) * np.log(float(np.finfo(d.dtype).max))


@_recipe
def small(d):
    """Where e^x - 1 and tanh x are nearly x."""
    return d.rng.choice([-1.0, 1.0], d.shape) * 10.0 ** d.rng.uniform(-12, -1, d.shape)


@_recipe
def far(d):
    """A mean a thousand times the deviation, other in each column."""
    return d.rng.standard_normal(d.shape) + 1000.0 * (1 + np.arange(d.shape[-1]) % 3)


@_recipe
def constant(d):
    return np.full(d.shape, 0.1)


@_recipe
def some_zero(d):
    """Positive, with zeros among them."""
    return _every(d.rng.uniform(0.1, 2.0, d.shape), 4, 1, 0.0)


@_recipe
def half_zero(d):
    """Normal, but every other number, by chance, 0 or -0."""
    return d.rng.standard_normal(d.shape) * (d.rng.random(d.shape) < 0.5)


@_recipe
def one_not_a_number(d):
    """Normal, but for one NaN."""
    return _every(d.rng.standard_normal(d.shape), np.prod(d.shape) // 2 + 1, np.prod(d.shape) // 2, np.nan)


@_recipe
def not_a_number(d):
    """Normal, with NaN in some places."""
    return _every(d.rng.standard_normal(d.shape), 7, 3, np.nan)


@_recipe
def infinite(d):
    """Normal, with -infinity and +infinity in some places."""
    return _every(_every(d.rng.standard_normal(d.shape), 5, 2, np.inf), 5, 4, -np.inf)


@_recipe
def signed_zero(d):
    return d.rng.choice([-0.0, 0.0], d.shape)


@_recipe
def masked(d):
    """Normal, with -infinity in some columns but the first."""
    z = d.rng.standard_normal(d.shape)
    z[:, 1:][d.rng.uniform(size=z[:, 1:].shape) < 0.3] = -np.inf
    return z


@_recipe
def unmasked_labels(d):
    return np.zeros(d.shape)


@_recipe
def broken_rows(d):
    """Normal, but NaN or infinity in the rows to which `some_zero` gives weight 0."""
    z = d.rng.standard_normal(d.shape)
    z[1::8] = np.nan
    z[5::8] = np.inf
    return z


@_recipe
def probabilities(d):
    power = np.exp(d.rng.standard_normal(d.shape) * 2)
    return power / power.sum(axis=-1, keepdims=True)


@_recipe
def saved(d):
    """What forward leaves for backward, of activations on both sides of 0."""
    z = d.rng.standard_normal(d.shape) * 2
    kind = d.case.parameters["kind"]
    if Activation(kind) not in SAVES_Z:
        ref_numpy.activation_fwd(z, z, kind, d.case.parameters["alpha"])
    return z


@_recipe
def saved_saturated(d):
    z = saturating(d)
    kind = d.case.parameters["kind"]
    if Activation(kind) not in SAVES_Z:
        ref_numpy.activation_fwd(z, z, kind, d.case.parameters["alpha"])
    return z


@_recipe
def near(d):
    """Targets close to z: on both sides of Huber's delta, equal in some places."""
    return _every(d.drawn["z"] + d.rng.standard_normal(d.shape) * 1.5, 6, 2, 0.0)


@_recipe
def counts(d):
    return d.rng.poisson(1.5, d.shape)


@_recipe
def equal(d):
    return d.drawn["z"]


@_recipe
def labels(d):
    return d.rng.integers(0, max(d.case.sizes["n"], 1), d.shape)


@_recipe
def winning_labels(d):
    """By turns the first largest, the last largest, any."""
    z = d.drawn["z"]
    n = z.shape[1]
    chosen = labels(d)
    if n:
        chosen[0::3] = z.argmax(axis=1)[0::3]
        chosen[1::3] = (n - 1 - z[:, ::-1].argmax(axis=1))[1::3]
    return chosen


@_recipe
def winning_targets(d):
    """By turns as z, its columns reversed, any; with ties."""
    z = d.drawn["z"]
    target = d.rng.integers(0, 3, d.shape).astype(z.dtype)
    target[0::3] = z[0::3]
    target[1::3] = z[1::3, ::-1]
    return target


@_recipe
def binary(d):
    return d.rng.choice([0.0, 0.5, 1.0], d.shape)


@_recipe
def rows(d):
    return d.rng.integers(0, max(d.case.sizes["r"], 1), d.shape)


@_recipe
def any_number(d):
    """The whole range of an integer dtype."""
    if d.dtype.kind == "f":
        return d.rng.standard_normal(d.shape) * 100
    info = np.iinfo(d.dtype)
    return d.rng.integers(info.min, info.max, d.shape, dtype=d.dtype, endpoint=True)


@_recipe
def inside(d):
    limit = int(min(d.case.parameters["limit"], np.iinfo(d.dtype).max))
    return d.rng.integers(0, max(limit, 1), d.shape)


def _outside_at(place: str, value: str):
    def draw(d):
        limit = int(d.case.parameters["limit"])
        index = inside(d).astype(d.dtype)
        info = np.iinfo(d.dtype)
        outside = {"limit": limit, "least": info.min, "most": info.max, "below": -1}[value]
        where = {"first": 0, "middle": len(index) // 2, "last": len(index) - 1}[place]
        index[where] = outside
        index[where + 1 :: 3] = outside  # more of them behind: the lowest counts
        return index

    return draw


for _place in ("first", "middle", "last"):
    for _value in ("limit", "least", "most", "below"):
        RECIPES[f"{_value}_{_place}"] = _outside_at(_place, _value)


def _not_finite_at(place: str, value: float):
    def draw(d):
        x = d.rng.standard_normal(d.shape)
        where = {"first": 0, "middle": x.size // 2, "last": x.size - 1}[place]
        x.reshape(-1)[where] = value
        return _every(x, 3, where + 1, value)  # more of them behind: the first counts

    return draw


for _place in ("first", "middle", "last"):
    for _value in (np.nan, np.inf, -np.inf):
        RECIPES[f"{_value}_{_place}"] = _not_finite_at(_place, _value)


def _twister_at(place: int | None):
    def draw(d):
        """Words and place of a Mersenne Twister."""
        words = d.rng.integers(0, 2**32, 625, dtype=np.uint32)
        words[624] = (d.rng.integers(0, 625) if place is None else place) % 2**32
        return words.view(np.int32)

    return draw


RECIPES["twister"] = _twister_at(None)
for _at in (0, 1, 226, 227, 228, 396, 397, 622, 623, 624, 625, 1000, 2**31 - 1, -1, -(2**31)):
    RECIPES[f"twister_at_{_at}"] = _twister_at(_at)


@_recipe
def twister_of_seed_0(d):
    _, words, place, *_ = np.random.RandomState(0).get_state()
    return np.append(words, np.uint32(place)).view(np.int32)


@_recipe
def greatest(d):
    """Finite, but no two can be added."""
    return d.rng.choice([-1.0, 1.0], d.shape) * float(np.finfo(d.dtype).max)


@_recipe
def int32_number(d):
    """What both the integer dtype and an int32 hold."""
    info, label = np.iinfo(d.dtype), np.iinfo(np.int32)
    return d.rng.integers(max(info.min, label.min), min(info.max, label.max), d.shape, endpoint=True)


def _every(array: np.ndarray, step: int, start: int, value: float) -> np.ndarray:
    array.reshape(-1)[start::step] = value
    return array


DEFAULTS: dict[str | tuple[str, str], str] = {
    "var": "positive",
    "other_var": "positive",
    "running_var": "positive",
    "weight": "some_zero",
    "label": "labels",
    "index": "rows",
    "s": "saved",
    ("softmax_bwd", "y"): "probabilities",
    ("softmax_xent_targets", "target"): "probabilities",
    ("sigmoid_xent", "target"): "unit",
    ("squared_error", "target"): "near",
    ("absolute_error", "target"): "near",
    ("huber_error", "target"): "near",
    ("pinball_loss", "target"): "near",
    ("poisson_loss", "target"): "positive",
    ("adagrad_step", "v"): "positive",
    ("rmsprop_step", "v"): "positive",
    ("adam_step", "v"): "positive",
    ("correct_labels", "label"): "winning_labels",
    ("correct_targets", "target"): "winning_targets",
    ("correct_binary", "target"): "binary",
    ("gather_rows", "x"): "any_number",
    ("gather_labels", "y"): "int32_number",
    ("find_nonfinite", "x"): "any_number",
    ("inverse_sum", "x"): "some_zero",
    "partial": "positive",
}


def values(case: Case, dtype) -> dict[str, np.ndarray]:
    """The inputs of a case (role in, io or any), by name, as plain arrays of the dtypes that a call takes."""
    drawn: dict[str, np.ndarray] = {}
    for argument in KERNELS[case.kernel].parameters:
        name = argument.name
        if argument.role not in ("in", "io", "any") or name in case.absent:
            continue
        default = DEFAULTS.get((case.kernel, name), DEFAULTS.get(name, "normal"))
        rng = np.random.default_rng(zlib.crc32(f"{case}/{name}".encode()))
        of = case.dtype(argument, dtype)
        d = SimpleNamespace(rng=rng, shape=case.shape(argument), dtype=of, case=case, drawn=drawn)
        with np.errstate(over="ignore"):
            drawn[name] = np.ascontiguousarray(RECIPES[case.values.get(name, default)](d)).astype(of)
    return drawn
