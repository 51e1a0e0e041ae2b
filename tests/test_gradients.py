"""The oracle's own proof: formulas of the NumPy table against independent restatements, gradients against derivatives.

a) Forward formulas are written here once more, in the plainest form that also takes complex arguments. Gradients come
   from the complex step (Squire & Trapp 1998), exact to rounding; for gelu, whose erf takes no complex argument in
   NumPy, from central differences.
b) `same` is the one comparison; `gradient_is` shows for each gradient that a slightly wrong one is refused.
"""

import math

import numpy as np
import pytest

from fusednet.backends import ref_numpy as oracle
from fusednet.backends.table import SAVES_Z, Activation

ALPHA = 0.3
RELATIVE = 1e-7
M, N, K = 6, 5, 4


def _random(*shape, seed=0):
    return np.random.default_rng([len(shape), *shape, seed]).standard_normal(shape)


def same(got, wanted, relative=RELATIVE):
    """Whether all elements agree relative to the largest."""
    assert got.shape == wanted.shape
    return bool(np.abs(got - wanted).max() <= relative * np.abs(wanted).max())


def gradient_is(got, wanted):
    """Assert that a gradient is right, and that the comparison would see it if it were not: one element, all, none."""
    assert same(got, wanted), f"{got}\nis not\n{wanted}"
    size = np.abs(wanted).max()
    assert size > 1e-3
    for place in np.ndindex(*wanted.shape):
        wrong = got.copy()
        wrong[place] += 3 * RELATIVE * size
        assert not same(wrong, wanted)
    assert not same(got * (1 + 3 * RELATIVE), wanted)
    assert not same(np.zeros_like(got), wanted)
    assert not same(got * np.nan, wanted)


def derivative(function, x, analytic=True):
    """The gradient of a scalar function of an array, element by element."""
    gradient = np.empty_like(x)
    for place in np.ndindex(*x.shape):
        if analytic:
            moved = x.astype(complex)
            moved[place] += 1e-30j
            gradient[place] = np.imag(function(moved)) / 1e-30
        else:  # five points: error h^4 f''''' / 30
            values = []
            for steps in (-2, -1, 1, 2):
                moved = x.copy()
                moved[place] += steps * 1e-3
                values.append(function(moved))
            gradient[place] = (values[0] - 8 * values[1] + 8 * values[2] - values[3]) / 12e-3
    return gradient


# ---- activations -----------------------------------------------------------------------------------------------------


def _gelu(z):
    return z * np.vectorize(lambda t: (1 + math.erf(t / math.sqrt(2))) / 2, otypes=[float])(z)


PLAIN = {
    Activation.LINEAR: lambda z: z,
    Activation.RELU: lambda z: np.where(z.real > 0, z, 0),
    Activation.LEAKY_RELU: lambda z: np.where(z.real > 0, z, ALPHA * z),
    Activation.ELU: lambda z: np.where(z.real > 0, z, ALPHA * (np.exp(z) - 1)),
    Activation.SELU: lambda z: np.where(z.real > 0, 1.0507009873554805 * z, 1.7580993408473766 * (np.exp(z) - 1)),
    Activation.SIGMOID: lambda z: 1 / (1 + np.exp(-z)),
    Activation.TANH: lambda z: np.tanh(z),
    Activation.SWISH: lambda z: z / (1 + np.exp(-z)),
    Activation.SOFTPLUS: lambda z: np.log(1 + np.exp(z)),
    Activation.GELU: _gelu,
    Activation.GELU_TANH: lambda z: z / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3))),
}
KINDS = pytest.mark.parametrize("kind", Activation, ids=lambda kind: kind.name.lower())


def _saved(kind, z):
    return z if kind in SAVES_Z else PLAIN[kind](z)


def _analytic(kind):
    return kind != Activation.GELU


@KINDS
def test_activation(kind):
    z, dy = _random(24, seed=1) * 2, _random(24, seed=2)
    y, dx = np.empty_like(z), np.empty_like(z)
    oracle.activation_fwd(y, z, int(kind), ALPHA)
    assert same(y, PLAIN[kind](z), 1e-14)
    oracle.activation_bwd(dx, dy, _saved(kind, z), int(kind), ALPHA)
    gradient_is(dx, derivative(lambda z: (dy * PLAIN[kind](z)).sum(), z, _analytic(kind)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_gelu_far_out(dtype):
    """Mills' ratio: for z far below 0, Phi(z) lies between phi(z)/|z| (1 - 1/z^2) and phi(z)/|z|."""
    z = np.linspace(-13, -5, 50).astype(dtype)
    y = np.empty_like(z)
    oracle.activation_fwd(y, z, int(Activation.GELU), 0.0)
    wide = z.astype(np.float64)
    density = np.exp(-wide * wide / 2) / math.sqrt(2 * math.pi)
    assert (-y > density * (1 - 1 / wide**2) * (1 - 1e-6)).all() and (-y < density * (1 + 1e-6)).all()


@pytest.mark.parametrize("kind", [Activation.ELU, Activation.SELU, Activation.TANH, Activation.SOFTPLUS])
def test_activation_keeps_all_digits_near_0_and_far_below(kind):
    """Series: e^z - 1 = z + z^2/2, tanh z = z - z^3/3, log(1 + e^z) = e^z - e^2z/2."""
    z = -(10.0 ** np.linspace(-300, -6, 50))
    scale = {Activation.ELU: ALPHA, Activation.SELU: 1.7580993408473766, Activation.TANH: 1.0}
    if kind == Activation.SOFTPLUS:
        z = np.linspace(-700, -20, 50)
        wanted = np.exp(z) - np.exp(2 * z) / 2
    else:
        wanted = scale[kind] * (z + (0 if kind == Activation.TANH else z * z / 2))
    y = np.empty_like(z)
    oracle.activation_fwd(y, z, int(kind), ALPHA)
    assert (np.abs(y - wanted) <= 1e-11 * np.abs(wanted)).all()


# ---- affine layer ----------------------------------------------------------------------------------------------------


@KINDS
def test_affine_forward(kind):
    x, w, b = _random(M, K), _random(K, N), _random(N)
    y, z = np.empty((M, N)), np.empty((M, N))
    oracle.affine_fwd(y, z, x, w, b, int(kind), ALPHA, 0)
    loops = [[sum(x[i, q] * w[q, j] for q in range(K)) + b[j] for j in range(N)] for i in range(M)]
    assert same(z, np.array(loops), 1e-14)
    assert same(y, PLAIN[kind](z), 1e-14)
    oracle.affine_fwd(y, None, x, w, None, int(kind), ALPHA, 0)
    assert same(y, PLAIN[kind](z - b), 1e-13)


def test_affine_backward():
    x, w, b, dy = _random(M, K), _random(K, N), _random(N), _random(M, N)
    dx, dw, db = np.empty_like(x), np.empty_like(w), np.empty_like(b)
    oracle.affine_bwd_dx(dx, dy, w, None, 0, 0.0, 1.0, 0)
    oracle.affine_bwd_dw(dw, db, x, dy, 0)
    gradient_is(dx, derivative(lambda x: (dy * (x @ w + b)).sum(), x))
    gradient_is(dw, derivative(lambda w: (dy * (x @ w + b)).sum(), w))
    gradient_is(db, derivative(lambda b: (dy * (x @ w + b)).sum(), b))


@KINDS
def test_affine_backward_through_the_activation_before_it(kind):
    """dx with s is the gradient by the z of which the layer's input is the activation."""
    z, w, dy = _random(M, K, seed=3), _random(K, N), _random(M, N)
    dz = np.empty_like(z)
    oracle.affine_bwd_dx(dz, dy, w, _saved(kind, z), int(kind), ALPHA, 1.0, 0)
    gradient_is(dz, derivative(lambda z: (dy * (PLAIN[kind](z) @ w)).sum(), z, _analytic(kind)))


# ---- softmax and losses ----------------------------------------------------------------------------------------------


def _softmax(x):
    power = np.exp(x)
    return power / power.sum(axis=1, keepdims=True)


def test_softmax():
    x, dy = _random(M, N), _random(M, N, seed=4)
    y, dx = np.empty_like(x), np.empty_like(x)
    oracle.softmax_fwd(y, x)
    assert same(y, _softmax(x), 1e-14)
    oracle.softmax_bwd(dx, dy, y)
    gradient_is(dx, derivative(lambda x: (dy * _softmax(x)).sum(), x))


def test_softmax_of_large_and_masked_inputs():
    x = np.array([[1e6, 1e6 + 1, -1e6], [-np.inf, 0.0, 1.0], [-1e300, -1e300, 1e300]])
    y = np.empty_like(x)
    oracle.softmax_fwd(y, x)
    e = math.e
    assert same(y, np.array([[1 / (1 + e), e / (1 + e), 0], [0, 1 / (1 + e), e / (1 + e)], [0, 0, 1]]), 1e-14)


LABEL = np.array([0, 4, 2, 1, 1, 3], np.int32)
WEIGHT = np.array([1.0, 0.5, 0.0, 2.0, 0.3, 1.5])
TARGET = np.abs(_random(M, N, seed=5))
FACTOR, SCALE, DELTA = 0.7, 0.4, 0.8


def _cross_entropy(z, t):
    return -(t * np.log(_softmax(z))).sum(axis=1)


def _binary_cross_entropy(z, t):
    p = 1 / (1 + np.exp(-z))
    return -FACTOR * (t * np.log(p) + (1 - t) * np.log(1 - p)).sum(axis=1)


def _absolute(d):
    return np.where(d.real < 0, -d, d)


def _huber(d):
    return np.where(_absolute(d).real <= DELTA, d * d / 2, DELTA * (_absolute(d) - DELTA / 2))


def _pinball(d, quantile):
    return np.where(d.real < 0, -quantile * d, (1 - quantile) * d)


def _poisson(z, t, constant):
    return np.exp(z) - t * z + constant * (t * np.log(t) - t)


def _one_hot():
    return np.eye(N)[LABEL]


def _losses(smoothing):
    """Kernel, its arguments between z and weight, its parameters before scale, the plain value of a row."""
    soft = (1 - smoothing) * _one_hot() + smoothing / N
    softer = (1 - smoothing) * TARGET + smoothing / N
    pulled = (1 - smoothing) * TARGET + smoothing / 2
    return {
        "softmax_xent_labels": (LABEL, (smoothing,), lambda z: _cross_entropy(z, soft)),
        "softmax_xent_targets": (TARGET, (smoothing,), lambda z: _cross_entropy(z, softer)),
        "sigmoid_xent": (TARGET, (smoothing, FACTOR), lambda z: _binary_cross_entropy(z, pulled)),
        "squared_error": (TARGET, (FACTOR,), lambda z: FACTOR * ((z - TARGET) ** 2).sum(axis=1)),
        "absolute_error": (TARGET, (FACTOR,), lambda z: FACTOR * _absolute(z - TARGET).sum(axis=1)),
        "huber_error": (TARGET, (DELTA, FACTOR), lambda z: FACTOR * _huber(z - TARGET).sum(axis=1)),
        "pinball_loss": (TARGET, (0.3, FACTOR), lambda z: FACTOR * _pinball(z - TARGET, 0.3).sum(axis=1)),
        "poisson_loss": (TARGET, (smoothing, FACTOR), lambda z: FACTOR * _poisson(z, TARGET, smoothing).sum(axis=1)),
    }


@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["equal", "weighted"])
@pytest.mark.parametrize("smoothing", [0.0, 0.15])
@pytest.mark.parametrize("kernel", _losses(0.0))
def test_loss(kernel, smoothing, weight):
    target, parameters, plain = _losses(smoothing)[kernel]
    z = _random(M, N, seed=6)
    loss, dz = np.empty(M), np.empty_like(z)
    getattr(oracle, kernel)(loss, dz, z, target, weight, *parameters, SCALE)
    row = np.ones(M) if weight is None else weight
    assert same(loss, row * plain(z), 1e-14)
    gradient_is(dz, derivative(lambda z: SCALE * (row * plain(z)).sum(), z))
    value_only = np.empty(M)
    getattr(oracle, kernel)(value_only, None, z, target, weight, *parameters, SCALE)
    assert (value_only == loss).all()
    if weight is not None:
        assert (loss[weight == 0] == 0).all() and (dz[weight == 0] == 0).all()


def test_losses_of_confident_predictions_do_not_overflow():
    z = np.array([[800.0, -800.0], [-800.0, 800.0]])
    loss, dz = np.empty(2), np.empty((2, 2))
    oracle.softmax_xent_labels(loss, dz, z, np.array([0, 0], np.int32), None, 0.0, 1.0)
    assert loss.tolist() == [0.0, 1600.0] and dz.tolist() == [[0.0, 0.0], [-1.0, 1.0]]
    oracle.sigmoid_xent(loss, dz, z, np.array([[1.0, 0.0], [1.0, 1.0]]), None, 0.0, 1.0, 1.0)
    assert loss.tolist() == [0.0, 800.0] and dz.tolist() == [[0.0, 0.0], [-1.0, 0.0]]


# ---- batch normalisation ---------------------------------------------------------------------------------------------

EPSILON = 1e-3


def _batch_norm(x, gamma, beta):
    mean = x.sum(axis=0) / M
    var = ((x - mean) ** 2).sum(axis=0) / M
    return gamma * (x - mean) / np.sqrt(var + EPSILON) + beta


@KINDS
def test_batch_norm_with_activation(kind):
    """The statistics are functions of x too, so dx is the full derivative."""
    x, gamma, beta, dy = _random(M, N), _random(N), _random(N, seed=7), _random(M, N, seed=8)
    mean, var, dgamma, dbeta = (np.empty(N) for _ in range(4))
    y, z, dx = (np.empty_like(x) for _ in range(3))
    oracle.batch_norm_stats(mean, var, x)
    assert same(mean, x.mean(axis=0), 1e-14) and same(var, x.var(axis=0), 1e-14)
    oracle.batch_norm_fwd(y, z, x, mean, var, gamma, beta, EPSILON, int(kind), ALPHA)
    assert same(z, _batch_norm(x, gamma, beta), 1e-13) and same(y, PLAIN[kind](z), 1e-14)

    s = _saved(kind, z)
    oracle.batch_norm_bwd_reduce(dgamma, dbeta, dy, x, s, mean, var, EPSILON, int(kind), ALPHA)
    oracle.batch_norm_bwd_dx(dx, dy, x, s, mean, var, gamma, dgamma, dbeta, EPSILON, int(kind), ALPHA)

    def value(x, gamma, beta):
        return (dy * PLAIN[kind](_batch_norm(x, gamma, beta))).sum()

    gradient_is(dgamma, derivative(lambda gamma: value(x, gamma, beta), gamma, _analytic(kind)))
    gradient_is(dbeta, derivative(lambda beta: value(x, gamma, beta), beta, _analytic(kind)))
    gradient_is(dx, derivative(lambda x: value(x, gamma, beta), x, _analytic(kind)))


def test_batch_norm_without_activation():
    x, gamma, beta, dy = _random(M, N), _random(N), _random(N, seed=7), _random(M, N, seed=8)
    mean, var, dgamma, dbeta = x.mean(axis=0), x.var(axis=0), np.empty(N), np.empty(N)
    dx = np.empty_like(x)
    oracle.batch_norm_bwd_reduce(dgamma, dbeta, dy, x, None, mean, var, EPSILON, 0, 0.0)
    oracle.batch_norm_bwd_dx(dx, dy, x, None, mean, var, gamma, dgamma, dbeta, EPSILON, 0, 0.0)
    gradient_is(dx, derivative(lambda x: (dy * _batch_norm(x, gamma, beta)).sum(), x))


@pytest.mark.parametrize("groups", [(9,), (1, 1), (5, 4), (3, 3, 3, 2), (4, 4, 1, 0)])
def test_batch_norm_join(groups):
    x = _random(sum(groups), N)
    mean, var = np.empty(N), np.empty(N)
    oracle.batch_norm_stats(mean, var, x[: groups[0]])
    end = groups[0]
    for rows in groups[1:]:
        other_mean, other_var = np.empty(N), np.empty(N)
        oracle.batch_norm_stats(other_mean, other_var, x[end : end + rows])
        end += rows
        oracle.batch_norm_join(mean, var, other_mean, other_var, rows / end)
    assert same(mean, x.mean(axis=0), 1e-14) and same(var, x.var(axis=0), 1e-14)


def test_batch_norm_running():
    batches = _random(4, 9, N)
    mean, var = np.zeros(N), np.ones(N)
    for batch in batches:
        oracle.batch_norm_running(mean, var, batch.mean(axis=0), batch.var(axis=0), 0.9, 9 / 8)
    wanted = sum(0.1 * 0.9**age * batch.mean(axis=0) for age, batch in enumerate(batches[::-1]))
    assert same(mean, wanted, 1e-14)
    wanted = 0.9**4 + sum(0.1 * 0.9**age * batch.var(axis=0, ddof=1) for age, batch in enumerate(batches[::-1]))
    assert same(var, wanted, 1e-14)


def test_dropout_backward_is_dropout():
    """y is linear in x with the mask as its matrix, which is its own transpose."""
    x, dy = _random(300), _random(300, seed=9)
    y, dx = np.empty_like(x), np.empty_like(x)
    oracle.dropout(y, x, 0.4, 1 / 0.6, 1, 2, 3)
    oracle.dropout(dx, dy, 0.4, 1 / 0.6, 1, 2, 3)
    assert math.isclose(dy @ y, dx @ x, rel_tol=1e-13)
    gradient_is(dx, np.where(y != 0, dy / 0.6, 0))


# ---- optimizer steps -------------------------------------------------------------------------------------------------
# Each as its paper or its best-known implementation writes it, one number at a time, over some steps.

STEPS = 5
GRADIENTS = _random(STEPS, 7, seed=10)
START = _random(7, seed=11)
PLAIN_STEP = {"l2": 0.0, "decay": 0.0, "scale": 1.0, "clip": np.inf}


def _run(kernel, states, *parameters, others=PLAIN_STEP):
    """The parameters after all steps; parameters may depend on the step, counted from 1."""
    p, state = START.copy(), [np.zeros(7) for _ in range(states)]
    for step, g in enumerate(GRADIENTS, 1):
        given = [value(step) if callable(value) else value for value in parameters]
        getattr(oracle, kernel)(p, *state, g, *given, *others.values())
    return p


def _each(function):
    """function(p, gradients) for each parameter."""
    return np.array([function(float(START[i]), [float(g) for g in GRADIENTS[:, i]]) for i in range(7)])


def _optimizer_is(got, wanted):
    assert same(got, wanted, 1e-13)
    assert not same(got + 1e-6 * (got - START), wanted, 1e-13)


def test_sgd():
    _optimizer_is(_run("sgd_step", 0, 0.1), _each(lambda p, gs: p - 0.1 * math.fsum(gs)))


def test_momentum():
    def polyak(p, gradients):
        before = p
        for g in gradients:
            p, before = p - 0.1 * g + 0.9 * (p - before), p
        return p

    _optimizer_is(_run("momentum_step", 1, 0.1, 0.9), _each(polyak))


def test_nesterov():
    """Nesterov's gradient is taken at theta + momentum v; p is that point (Sutskever et al. 2013, equation 3 and 4)."""
    curvature = np.linspace(0.5, 3.0, 7)
    theta, v = START.copy(), np.zeros(7)
    p, state = START.copy(), np.zeros(7)
    for _ in range(STEPS):
        oracle.nesterov_step(p, state, curvature * p, 0.1, 0.9, *PLAIN_STEP.values())
        v = 0.9 * v - 0.1 * curvature * (theta + 0.9 * v)
        theta = theta + v
        assert same(state, v, 1e-13) and same(p, theta + 0.9 * v, 1e-13)
    assert not same(p, theta, 1e-3)


def test_adagrad():
    def duchi(p, gradients):
        for t, g in enumerate(gradients, 1):
            p -= 0.1 * g / (math.sqrt(math.fsum(h * h for h in gradients[:t])) + 1e-7)
        return p

    _optimizer_is(_run("adagrad_step", 1, 0.1, 1e-7), _each(duchi))


def test_rmsprop():
    def hinton(p, gradients):
        for t, g in enumerate(gradients, 1):
            average = math.fsum(0.1 * 0.9 ** (t - 1 - i) * gradients[i] ** 2 for i in range(t))
            p -= 0.1 * g / (math.sqrt(average) + 1e-7)
        return p

    _optimizer_is(_run("rmsprop_step", 1, 0.1, 0.9, 1e-7), _each(hinton))


def _kingma_ba(p, gradients, decay=0.0):
    m = v = 0.0
    for t, g in enumerate(gradients, 1):
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g * g
        p = p - 0.1 * decay * p - 0.1 * (m / (1 - 0.9**t)) / (math.sqrt(v / (1 - 0.999**t)) + 1e-8)
    return p


ADAM = (lambda t: 0.1 / (1 - 0.9**t), 0.9, 0.999, 1e-8, lambda t: 1 / math.sqrt(1 - 0.999**t))


def test_adam():
    _optimizer_is(_run("adam_step", 2, *ADAM), _each(_kingma_ba))


def test_adamw():
    """Loshchilov & Hutter 2019, algorithm 2, with the learning rate times the decay."""
    others = PLAIN_STEP | {"decay": 0.1 * 0.05}
    _optimizer_is(_run("adam_step", 2, *ADAM, others=others), _each(lambda p, gs: _kingma_ba(p, gs, 0.05)))


@pytest.mark.parametrize(
    ("kernel", "states", "own"),
    [
        ("sgd_step", 0, (0.1,)),
        ("momentum_step", 1, (0.1, 0.9)),
        ("nesterov_step", 1, (0.1, 0.9)),
        ("adagrad_step", 1, (0.1, 1e-7)),
        ("rmsprop_step", 1, (0.1, 0.9, 1e-7)),
        ("adam_step", 2, (0.1, 0.9, 0.999, 1e-7, 1.0)),
    ],
)
def test_penalty_decay_scale_and_clip(kernel, states, own):
    """What all steps share, against the plain step on the gradient prepared by hand."""
    g = GRADIENTS[0]
    p, state = START.copy(), [np.full(7, 0.5) for _ in range(states)]
    getattr(oracle, kernel)(p, *state, g, *own, 0.3, 0.02, 2.0, 0.7)
    wanted, wanted_state = START.copy(), [np.full(7, 0.5) for _ in range(states)]
    prepared = np.minimum(np.maximum(2.0 * g, -0.7), 0.7) + 0.3 * START
    getattr(oracle, kernel)(wanted, *wanted_state, prepared, *own, *PLAIN_STEP.values())
    _optimizer_is(p, wanted - 0.02 * START)
    for got_state, want_state in zip(state, wanted_state, strict=True):
        assert same(got_state, want_state, 1e-14)
    assert (np.abs(2.0 * g) > 0.7).any() and (np.abs(2.0 * g) < 0.7).any()


# ---- rows, sums and counts -------------------------------------------------------------------------------------------


def test_gather_rows():
    x = np.array([[200, 3], [7, 250], [0, 1]], np.uint8)
    y = np.empty((4, 2))
    oracle.gather_rows(y, x, np.array([2, 0, 0, 1]), np.array([100.0, 0.5]), np.array([0.1, 2.0]))
    assert same(y, np.array([[-10.0, 1.0], [10.0, 5.0], [10.0, 5.0], [-9.3, 499.0]]), 1e-15)
    oracle.gather_rows(y[:2], x, None, None, None)
    assert y[:2].tolist() == [[200.0, 3.0], [7.0, 250.0]]


@pytest.mark.parametrize(
    ("index", "limit", "first"),
    [
        ([0, 1, 2], 3, -1),
        ([0, 3, 2], 3, 1),
        ([0, 1, -1, 5], 3, 2),
        ([], 3, -1),
        ([0], 0, 0),
        ([2**62, 0], 2**63 - 1, -1),
    ],
)
def test_find_outside(index, limit, first):
    found = np.empty(1, np.int64)
    oracle.find_outside(found, np.array(index, np.int64), limit)
    assert found[0] == first


@pytest.mark.parametrize(
    ("x", "first"),
    [
        ([[1.0, 2.0], [3.0, np.nan]], 3),
        ([[1.0, -np.inf], [np.inf, np.nan]], 1),
        ([[1e308, 1e308]], -1),
        ([[]], -1),
        ([[1, 2**62]], -1),
    ],
)
def test_find_nonfinite(x, first):
    found = np.empty(1, np.int64)
    oracle.find_nonfinite(found, np.array(x))
    assert found[0] == first


def test_uniform_above_draws_as_rand_does():
    np.random.seed(3)
    _, words, place, *_ = np.random.get_state()
    state = np.append(words, np.uint32(place)).view(np.int32)
    y = np.empty(1000)
    oracle.uniform_above(y, state, 0.3)
    np.testing.assert_array_equal(y, np.random.rand(1000) > 0.3)
    _, words, place, *_ = np.random.get_state()
    np.testing.assert_array_equal(state, np.append(words, np.uint32(place)).view(np.int32))


def test_gather_labels():
    label = np.empty(3, np.int32)
    oracle.gather_labels(label, np.array([7, -5, 2**31 - 1, 9]), np.array([2, 0, 0]))
    assert label.tolist() == [2**31 - 1, 7, 7]
    oracle.gather_labels(label, np.array([7, 6, 5, 4], np.uint8), None)
    assert label.tolist() == [7, 6, 5]


def test_penalty_gradient():
    p, before = _random(N, K), _random(N, K, seed=1)
    g = before.copy()
    oracle.penalty_gradient(g.reshape(-1), p.reshape(-1), 0.3, 0.7)
    gradient_is(g - before, derivative(lambda p: 0.35 * (p * p).sum() + 0.3 * _absolute(p).sum(), p))
    g = np.array([1.0, 2.0])
    oracle.penalty_gradient(g, np.array([0.0, -0.0]), 0.3, 0.7)
    assert g.tolist() == [1.0, 2.0]


@pytest.mark.parametrize(
    ("partial", "limit", "factor", "norm", "scale"),
    [
        ([9.0, 16.0], 10.0, 1.0, 5.0, 1.0),
        ([9.0, 16.0], 1.0, 1.0, 5.0, 0.2),
        ([9.0, 16.0], 1.0, 0.5, 2.5, 0.2),
        ([9.0, 16.0], 5.0, 1.0, 5.0, 1.0),
        ([9.0, 16.0], np.inf, 0.5, 2.5, 0.5),
        ([0.0], 0.0, 1.0, 0.0, 1.0),
        ([np.inf], 1.0, 1.0, np.inf, 0.0),
        ([np.nan], np.inf, 1.0, np.nan, np.nan),
    ],
)
def test_clip_scale(partial, limit, factor, norm, scale):
    got = np.empty(1), np.empty(1)
    oracle.clip_scale(*got, np.array(partial), limit, factor)
    np.testing.assert_allclose(np.concatenate(got), [scale, norm], rtol=1e-15)


def test_moving_average():
    average, x = _random(N), _random(N, seed=1)
    wanted = x + 0.9 * (average - x)
    oracle.moving_average(average, x, 0.9)
    assert same(average, wanted, 1e-15)


def test_sums():
    x = _random(10_000)
    partial, total = np.empty(3), np.empty(1)
    oracle.absolute_sums(partial, x)
    assert math.isclose(partial.sum(), math.fsum(np.abs(x)), rel_tol=1e-13)
    oracle.square_sums(partial, x)
    assert math.isclose(partial.sum(), math.fsum(x * x), rel_tol=1e-13)
    oracle.sum(total, x)
    assert math.isclose(total[0], math.fsum(x), rel_tol=1e-11)
    total[0] = 3.0
    oracle.accumulate(total, x, 0.5)
    assert math.isclose(total[0], 3 + 0.5 * math.fsum(x), rel_tol=1e-11)
    oracle.accumulate_partial(total, np.array([1.0, 2.5]), -2.0)
    assert math.isclose(total[0], 0.5 * math.fsum(x) - 4, rel_tol=1e-11)
    oracle.inverse_sum(total, np.array([1.0, 0.5, 0.0]))
    assert total[0] == 1 / 1.5
    oracle.inverse_sum(total, np.array([1.0, -1.0]))
    assert total[0] == 0


def test_counts():
    z = np.array([[0.1, 0.9, 0.9], [2.0, 1.0, 2.0], [0.0, 0.0, 0.0], [3.0, 1.0, 2.0]])
    correct = np.empty(4)
    oracle.correct_labels(correct, z, np.array([1, 2, 0, 0], np.int32), np.array([0.5, 1.0, 1.0, 0.0]))
    assert correct.tolist() == [0.5, 0.0, 1.0, 0.0]
    target = np.array([[0.0, 0.6, 0.4], [0.0, 0.0, 1.0], [1.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    oracle.correct_targets(correct, z, target, None)
    assert correct.tolist() == [1.0, 0.0, 1.0, 0.0]
    oracle.correct_binary(correct, z, target, np.array([3.0, 3.0, 3.0, 6.0]), 0.5)
    assert correct.tolist() == [2.0, 1.0, 1.0, 2.0]
