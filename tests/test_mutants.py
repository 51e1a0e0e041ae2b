"""Wrong kernels that look right: the case list and its tolerances must refuse each of them.

Each mutant is the oracle's kernel with one mistake that people make: a formula that cancels, a constant rounded too
early, a value lost at an edge. A mutant that passes means that a case is missing or that a tolerance is too wide.
"""

from types import SimpleNamespace

import numpy as np
import pytest
from cases import CASES
from harness import check

from fusednet.backends import ref_numpy as oracle
from fusednet.backends.table import Activation

MUTANTS = []


def _mutant(kernel, dtypes=("float32", "float64")):
    def enter(function):
        MUTANTS.extend(
            pytest.param(kernel, np.errstate(all="ignore")(function), dtype, id=f"{function.__name__[1:]}-{dtype}")
            for dtype in dtypes
        )
        return function

    return enter


@_mutant("batch_norm_stats")
def _variance_from_squares(mean, var, x):
    oracle.batch_norm_stats(mean, var, x)
    if len(x):
        var[...] = np.maximum((x * x).sum(axis=0) / len(x) - mean * mean, 0)


@_mutant("batch_norm_stats")
def _unbiased_variance(mean, var, x):
    oracle.batch_norm_stats(mean, var, x)
    var[...] *= len(x) / max(len(x) - 1, 1)


@_mutant("batch_norm_fwd")
def _epsilon_after_the_root(y, z, x, mean, var, gamma, beta, epsilon, kind, alpha):
    oracle.batch_norm_fwd(y, z, x, mean, (np.sqrt(var) + epsilon) ** 2, gamma, beta, 0.0, kind, alpha)


@_mutant("batch_norm_join")
def _without_what_is_between_the_means(mean, var, other_mean, other_var, share):
    mean += share * (other_mean - mean)
    var[...] = (1 - share) * var + share * other_var


@_mutant("batch_norm_join", ["float32"])
def _share_rounded_before_its_complement(mean, var, other_mean, other_var, share):
    oracle.batch_norm_join(mean, var, other_mean, other_var, float(np.float16(share)))


@_mutant("batch_norm_running", ["float32"])
def _momentum_rounded_before_its_complement(running_mean, running_var, mean, var, momentum, var_factor):
    kept = np.float32(momentum)
    running_mean[...] = kept * running_mean + (np.float32(1) - kept) * mean
    running_var[...] = kept * running_var + (np.float32(1) - kept) * (var * np.float32(var_factor))


@_mutant("adam_step", ["float32"])
def _beta_rounded_before_its_complement(p, m, v, g, lr, beta1, beta2, *others):
    rounded = float(np.float32(1) - np.float32(beta2))
    h = g.copy()
    old = v.copy()
    oracle.adam_step(p, m, v, g, lr, beta1, beta2, *others)
    if others[2:] == (0.0, 0.0, 1.0, np.inf):
        v[...] = beta2 * old + rounded * h * h


@_mutant("adam_step")
def _epsilon_within_the_root(p, m, v, g, lr, beta1, beta2, epsilon, v_scale, *others):
    before = p.copy()
    oracle.adam_step(p, m, v, g, lr, beta1, beta2, epsilon, v_scale, *others)
    p[...] = before * (1 - others[1]) - lr * m / np.sqrt(v_scale**2 * v + epsilon)


@_mutant("adam_step")
def _penalty_from_the_parameter_after_decay(p, m, v, g, lr, beta1, beta2, epsilon, v_scale, l2, decay, scale, clip):
    p[...] = p * (1 - decay)
    oracle.adam_step(p, m, v, g, lr, beta1, beta2, epsilon, v_scale, l2, 0.0, scale, clip)


@_mutant("sgd_step")
def _clip_of_the_penalty_too(p, g, lr, l2, decay, scale, clip):
    h = np.clip(scale * g + l2 * p, -clip, clip)
    p[...] = p * (1 - decay) - lr * h


@_mutant("sgd_step")
def _nan_gradient_clamped_away(p, g, lr, l2, decay, scale, clip):
    oracle.sgd_step(p, np.nan_to_num(g, nan=min(clip, 1.0)), lr, l2, decay, scale, clip)


@_mutant("softmax_fwd")
def _largest_not_taken_out(y, x):
    power = np.exp(x)
    y[...] = power / power.sum(axis=1, keepdims=True)


@_mutant("activation_fwd")
def _elu_as_exp_minus_one(y, x, kind, alpha):
    if kind == Activation.ELU:
        y[...] = np.where(x > 0, x, alpha * (np.exp(np.minimum(x, 0)) - 1))
    else:
        oracle.activation_fwd(y, x, kind, alpha)


@_mutant("activation_fwd")
def _softplus_as_log_of_exp(y, x, kind, alpha):
    if kind == Activation.SOFTPLUS:
        y[...] = np.maximum(x, 0) + np.log(1 + np.exp(-np.abs(x)))
    else:
        oracle.activation_fwd(y, x, kind, alpha)


@_mutant("activation_fwd")
def _gelu_as_one_plus_erf(y, x, kind, alpha):
    if kind == Activation.GELU:
        upper = np.empty_like(x)
        oracle.activation_fwd(upper, np.abs(x), kind, alpha)
        y[...] = np.where(x < 0, x + upper, upper)
    else:
        oracle.activation_fwd(y, x, kind, alpha)


@_mutant("activation_fwd")
def _gelu_for_gelu_tanh(y, x, kind, alpha):
    oracle.activation_fwd(y, x, Activation.GELU if kind == Activation.GELU_TANH else kind, alpha)


@_mutant("activation_fwd")
def _relu_of_nan_is_0(y, x, kind, alpha):
    oracle.activation_fwd(y, x, kind, alpha)
    if kind == Activation.RELU:
        y[...] = np.fmax(y, 0)


@_mutant("activation_fwd")
def _sigmoid_through_tanh(y, x, kind, alpha):
    oracle.activation_fwd(y, x, kind, alpha)
    if kind == Activation.SIGMOID:
        y[...] = 0.5 + 0.5 * np.tanh(x / 2)


@_mutant("activation_bwd")
def _swish_from_its_output(dx, dy, s, kind, alpha):
    if kind == Activation.SWISH:
        y = np.empty_like(s)
        oracle.activation_fwd(y, s, kind, alpha)
        s = y
    oracle.activation_bwd(dx, dy, s, kind, alpha)


@_mutant("activation_bwd")
def _relu_passes_at_0(dx, dy, s, kind, alpha):
    passed = s >= 0
    oracle.activation_bwd(dx, dy, s, kind, alpha)
    if kind == Activation.RELU:
        dx[...] = np.where(passed, dy, 0)


@_mutant("affine_fwd")
def _bias_added_in_each_block(y, z, x, w, b, kind, alpha, precision):
    blocks = max(-(-x.shape[1] // 256), 1)
    oracle.affine_fwd(y, z, x, w, None if b is None else b * blocks, kind, alpha, precision)


@_mutant("affine_fwd")
def _activation_in_each_block(y, z, x, w, b, kind, alpha, precision):
    oracle.affine_fwd(y, z, x, w, b, kind, alpha, precision)
    if x.shape[1] > 256:
        oracle.affine_fwd(y, None, x[:, :256], w[:256], b, kind, alpha, precision)
        rest = np.empty_like(y)
        oracle.affine_fwd(rest, None, x[:, 256:], w[256:], None, 0, 0.0, precision)
        oracle.activation_fwd(y, y + rest, kind, alpha)


@_mutant("affine_fwd")
def _last_term_of_the_sum_lost(y, z, x, w, b, kind, alpha, precision):
    oracle.affine_fwd(y, z, x[:, : max(x.shape[1] - 1, 0)], w[: max(len(w) - 1, 0)], b, kind, alpha, precision)


@_mutant("affine_fwd", ["float64"])
def _summed_in_single_precision(y, z, x, w, b, kind, alpha, precision):
    single = [None if a is None else a.astype(np.float32) for a in (x, w, b)]
    oracle.affine_fwd(y, z, *single, kind, alpha, precision)


@_mutant("affine_bwd_dx")
def _derivative_of_the_other_side(dx, dy, w, s, kind, alpha, scale, precision):
    oracle.affine_bwd_dx(dx, dy, w, None if s is None else -s, kind, alpha, scale, precision)


@_mutant("affine_bwd_dx")
def _not_scaled(dx, dy, w, s, kind, alpha, scale, precision):
    oracle.affine_bwd_dx(dx, dy, w, s, kind, alpha, 1.0, precision)


@_mutant("affine_bwd_dw")
def _output_not_written_where_nothing_is_summed(dw, db, x, dy, precision):
    if len(x):
        oracle.affine_bwd_dw(dw, db, x, dy, precision)


@_mutant("dropout")
def _words_in_the_order_of_blocks(y, x, rate, scale, seed, step, op):
    n = len(x)
    words = oracle.random_words(-(-n // 64) * 64, seed, step, op).reshape(-1, 4, 16).swapaxes(1, 2).reshape(-1)[:n]
    y[...] = np.where(words >= np.uint64(min(round(rate * 2**32), 2**32)), scale * x, 0)


@_mutant("dropout")
def _step_of_32_bits(y, x, rate, scale, seed, step, op):
    oracle.dropout(y, x, rate, scale, seed, step & 0xFFFFFFFF, op)


@_mutant("dropout")
def _masked_by_a_product(y, x, rate, scale, seed, step, op):
    mask = np.empty_like(x)
    oracle.dropout(mask, np.ones_like(x), rate, scale, seed, step, op)
    y[...] = mask * x


def _drawn(state, n):
    """So many pairs of words, as u is made of; the state goes on."""
    twister = np.random.RandomState()
    twister.set_state(("MT19937", state[:624].view(np.uint32), state[624]))
    pairs = twister.randint(0, 2**32, (n, 2), np.uint32).astype(np.float64)
    _, words, state[624], *_ = twister.get_state()
    state[:624] = words.view(np.int32)
    return pairs[:, 0] // 32, pairs[:, 1] // 64


@_mutant("uniform_above")
def _at_least(y, state, limit):
    oracle.uniform_above(y, state, float(np.nextafter(limit, -1)))


@_mutant("uniform_above")
def _of_one_word(y, state, limit):
    high, _ = _drawn(state, len(y))
    y[...] = high / 2**27 > limit


@_mutant("uniform_above")
def _words_the_other_way_round(y, state, limit):
    high, low = _drawn(state, len(y))
    y[...] = (low * 2**26 + high) / 2**53 > limit


@_mutant("uniform_above")
def _state_left_as_it_was(y, state, limit):
    oracle.uniform_above(y, state.copy(), limit)


@_mutant("softmax_xent_labels")
def _silent_row_by_a_product(loss, dz, z, label, weight, smoothing, scale):
    oracle.softmax_xent_labels(loss, dz, z, label, None, smoothing, scale)
    if weight is not None:
        loss *= weight
        if dz is not None:
            dz *= weight[:, None]


@_mutant("softmax_xent_targets")
def _targets_taken_to_sum_to_1(loss, dz, z, target, weight, smoothing, scale):
    total = np.where(target.sum(axis=1, keepdims=True) == 0, 1, target.sum(axis=1, keepdims=True))
    oracle.softmax_xent_targets(loss, dz, z, target / total, weight, smoothing, scale)


@_mutant("sigmoid_xent")
def _smoothing_towards_0(loss, dz, z, target, weight, smoothing, factor, scale):
    oracle.sigmoid_xent(loss, dz, z, (1 - smoothing) * target, weight, 0.0, factor, scale)


@_mutant("absolute_error")
def _sign_of_0_is_1(loss, dz, z, target, weight, factor, scale):
    shifted = np.where(z == target, z + 1, z)
    exact = np.empty_like(loss)
    oracle.absolute_error(exact, None, z, target, weight, factor, scale)
    oracle.absolute_error(loss, dz, shifted, target, weight, factor, scale)
    loss[...] = exact


@_mutant("square_sums", ["float32"])
def _squares_in_single_precision(partial, x):
    oracle.square_sums(partial, np.square(x) ** 0.5)


@_mutant("sum", ["float32"])
def _sum_in_single_precision(total, x):
    total[0] = x.sum()


@_mutant("absolute_sums")
def _size_of_the_sum(partial, x):
    for c in range(len(partial)):
        partial[c] = abs(x[c * oracle.CHUNK : (c + 1) * oracle.CHUNK].sum(dtype=np.float64))


@_mutant("absolute_sums", ["float32"])
def _sizes_in_single_precision(partial, x):
    oracle.absolute_sums(partial, x)
    partial[...] = partial.astype(np.float32)


@_mutant("accumulate")
def _total_overwritten(total, x, factor):
    total[0] = 0
    oracle.accumulate(total, x, factor)


@_mutant("accumulate", ["float32"])
def _accumulated_in_single_precision(total, x, factor):
    total[0] += factor * x.sum()


@_mutant("accumulate")
def _total_scaled_too(total, x, factor):
    total[0] *= factor
    oracle.accumulate(total, x, factor)


@_mutant("accumulate_partial")
def _last_partial_lost(total, partial, factor):
    oracle.accumulate_partial(total, partial[:-1], factor)


@_mutant("accumulate_partial")
def _partial_total_overwritten(total, partial, factor):
    total[0] = 0
    oracle.accumulate_partial(total, partial, factor)


@_mutant("inverse_sum")
def _inverse_of_0_is_infinite(scale, x):
    scale[0] = 1 / x.sum(dtype=np.float64)


@_mutant("inverse_sum", ["float32"])
def _inverse_in_single_precision(scale, x):
    oracle.inverse_sum(scale, x)
    scale[0] = np.float32(scale[0])


@_mutant("correct_labels")
def _last_largest(correct, z, label, weight):
    oracle.correct_labels(correct, z[:, ::-1], z.shape[1] - 1 - label, weight)


@_mutant("correct_binary")
def _threshold_counts_as_above(correct, z, target, weight, threshold):
    oracle.correct_binary(correct, z, target, weight, float(np.nextafter(z.dtype.type(threshold), -np.inf)))


@_mutant("find_outside")
def _any_outside(first, index, limit):
    oracle.find_outside(first, index, limit)
    if first[0] >= 0:
        first[0] = np.flatnonzero((index < 0) | (index >= limit))[-1]


@_mutant("find_outside")
def _limit_in_the_dtype_of_the_index(first, index, limit):
    oracle.find_outside(first, index, np.asarray(limit).astype(index.dtype))


@_mutant("gather_labels")
def _labels_through_float32(label, y, index):
    oracle.gather_labels(label, y.astype(np.float32).astype(np.float64).clip(-(2**31), 2**31 - 1), index)


@_mutant("gather_labels")
def _labels_in_order(label, y, index):
    oracle.gather_labels(label, y, None)


@_mutant("find_nonfinite")
def _any_nonfinite(first, x):
    oracle.find_nonfinite(first, x)
    if first[0] >= 0:
        first[0] = np.flatnonzero(~np.isfinite(x))[-1]


@_mutant("find_nonfinite")
def _infinity_not_seen(first, x):
    oracle.find_nonfinite(first, np.where(np.isinf(x), 0, x))


@_mutant("find_nonfinite")
def _nan_not_seen(first, x):
    oracle.find_nonfinite(first, np.where(np.isnan(x), 0, x))


@_mutant("find_nonfinite")
def _sum_that_overflows_is_not_finite(first, x):
    oracle.find_nonfinite(first, x)
    if not np.isfinite(x.sum(dtype=x.dtype)) and first[0] < 0:
        first[0] = 0


@_mutant("find_nonfinite")
def _place_with_the_padding(first, x):
    oracle.find_nonfinite(first, x)
    if first[0] >= 0 and len(x) > 1:
        row, column = divmod(int(first[0]), x.shape[1])
        first[0] = row * (x.strides[0] // x.itemsize) + column


@_mutant("penalty_gradient")
def _penalty_sign_of_0_is_1(g, p, l1, l2):
    oracle.penalty_gradient(g, p, 0.0, l2)
    g[...] += np.where(p >= 0, l1, -l1).astype(g.dtype)


@_mutant("penalty_gradient")
def _penalty_instead_of_the_gradient(g, p, l1, l2):
    g[...] = 0
    oracle.penalty_gradient(g, p, l1, l2)


@_mutant("penalty_gradient")
def _nan_parameter_not_punished(g, p, l1, l2):
    oracle.penalty_gradient(g, np.nan_to_num(p), l1, l2)


@_mutant("clip_scale")
def _nan_norm_passes(scale, norm, partial, limit, factor):
    oracle.clip_scale(scale, norm, partial, limit, factor)
    if np.isnan(norm[0]):
        scale[0] = factor


@_mutant("clip_scale")
def _norm_before_the_factor(scale, norm, partial, limit, factor):
    oracle.clip_scale(scale, norm, partial, limit / factor, 1.0)
    scale[0] *= factor


@_mutant("clip_scale")
def _limit_without_the_factor(scale, norm, partial, limit, factor):
    oracle.clip_scale(scale, norm, partial, limit, factor)
    if norm[0] > limit:
        scale[0] = limit / norm[0]


@_mutant("clip_scale")
def _limit_itself_is_clipped(scale, norm, partial, limit, factor):
    oracle.clip_scale(scale, norm, partial, limit, factor)
    if norm[0] >= limit:
        scale[0] = factor * limit / norm[0]


@_mutant("moving_average", ["float32"])
def _average_with_a_rounded_complement(average, x, momentum):
    kept = np.float32(momentum)
    average[...] = kept * average + (np.float32(1) - kept) * x


@_mutant("moving_average")
def _average_the_other_way_round(average, x, momentum):
    oracle.moving_average(average, x, 1 - momentum)


@_mutant("gather_rows")
def _shift_in_the_dtype_of_the_source(y, x, index, shift, scale):
    if shift is not None and x.dtype.kind != "f":
        shift = np.trunc(shift)
    oracle.gather_rows(y, x, index, shift, scale)


@pytest.mark.parametrize(("kernel", "mutant", "dtype"), MUTANTS)
def test_mutant_is_refused(kernel, mutant, dtype):
    table = SimpleNamespace(**{kernel: mutant})
    for case in CASES:
        if case.kernel == kernel:
            try:
                check(table, case, dtype)
            except AssertionError:
                return
    pytest.fail(f"{mutant.__name__} passes all cases of {kernel}")
