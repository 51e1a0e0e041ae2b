"""exp, expm1, log1p and the normal distribution in arithmetic that LLVM turns into vectors; libm's functions would be
called number by number.

Uses base.py; read by activation.py and loss.py. The methods are those of csrc/kernels/math_impl.h.
"""

import math
from fractions import Fraction

import numpy as np
from numba import types
from numba.extending import overload

from fusednet.backends.jit_numba.base import OPTIONS, muladd, number_helper, real_of, word_of

_LOG_2 = Fraction("0.693147180559945309417232121458176568075500134360255254120680009493393")

# e^(a^2/2) Phi(-a) = p(a) / q(a) for 0 <= a <= end, from where on Phi(-a) is 0; lowest power first. The fits of
# csrc/kernels/math_coef.h.
_TAIL_32 = (
    14.5,
    (0.5, 0.438295871, 0.183235824, 0.0406334661, 0.00411634613),
    (1.0, 1.67447662, 1.20250607, 0.469472438, 0.101859435, 0.0103180306),
)
_TAIL_64 = (
    39.0,
    (
        0.5, 0.8279481368890477, 0.6796464912196065, 0.3573745086645321, 0.13206104142371913, 0.03567295849163803,
        0.007124150407209198, 0.001039939707779404, 0.00010659991521405747, 6.978057940299432e-06,
        2.2426203747995267e-07,
    ),
    (
        1.0, 2.453780834580961, 2.8171268259453237, 2.0015621205516747, 0.9801854645186293, 0.34835673872038947,
        0.09199060616785236, 0.01812367891282698, 0.002624233672970701, 0.0002677685031097336, 1.7491397335197746e-05,
        5.621415640734782e-07,
    ),
)  # fmt: skip


@number_helper
def _polynomial(terms, x):
    """Highest power first."""
    value = terms[0]
    for term in terms[1:]:
        value = muladd(value, x, term)
    return value


def _powers(real, word, mantissa, terms, lowest, highest, tail):
    """e^x, e^x - 1 for x <= 40, log(1 + e) for 0 <= e <= 1, and (Phi(x), phi(x)), for one dtype.

    e^x = 2^n e^r with n = round(x / log 2), |r| <= log(2) / 2; log 2 is taken off in two parts, the first with so few
    bits that its product with n is exact (Cody & Waite 1980). e^r - 1 and log(1 + e) = 2 artanh(e / (2 + e)) are their
    Taylor series. Errors: exp below 1 ULP, the next two below 2. Below `lowest` the first factor of 2^n is 0, which
    costs less than a product that underflows. Phi's tail is e^(-a^2/2) times a rational function, with a^2 in two parts
    because the power would magnify a rounding of it.
    """
    bias = 2 ** (8 * np.dtype(real).itemsize - mantissa - 2) - 1
    magic = real(1.5 * 2.0**mantissa)  # x + magic has round(x) in its lowest bits
    magic_bits = np.array(magic).view(word)[()]
    grid = real(1.5 * 2.0 ** (mantissa - (8 if real is np.float32 else 20)))  # so coarse that squares of it are exact
    coarse = 2 ** (mantissa - 10)
    high = Fraction(round(_LOG_2 * coarse), coarse)
    minus_high, minus_low, per_log_2 = real(-float(high)), real(float(high - _LOG_2)), real(float(1 / _LOG_2))
    exp_terms = tuple(real(1 / math.factorial(i)) for i in range(terms, 1, -1))
    log_terms = tuple(real(1 / (2 * i + 1)) for i in range(terms * 4 // 3, 0, -1))
    end, over, under = real(tail[0]), *(tuple(real(term) for term in reversed(terms)) for terms in tail[1:])
    lowest, highest, least, most = real(lowest), real(highest), real(-40), real(40)
    zero, half, one, two, density_scale = (real(x) for x in (0, 0.5, 1, 2, 1 / math.sqrt(2 * math.pi)))
    shift, bias_word, twice_bias, one_bit = word(mantissa), word(bias), word(2 * bias), word(1)

    @number_helper
    def reduced(x, rest):
        """n as a word, and e^(x + rest) / 2^n - 1; rest is small."""
        shifted = muladd(x, per_log_2, magic)
        n = shifted - magic
        r = muladd(n, minus_low, muladd(n, minus_high, x)) + rest
        return word(word_of(shifted) - magic_bits), muladd(r * r, _polynomial(exp_terms, r), r)

    @number_helper
    def exp_sum(x, rest):
        x = lowest if x < lowest else x
        x = highest if x > highest else x
        n, power = reduced(x, rest)
        # 2^n by two factors, each a normal number or 0: only the last product rounds
        n = word(n + twice_bias)
        first = word(n >> one_bit)
        return (one + power) * real_of(word(first << shift)) * real_of(word(word(n - first) << shift))

    @number_helper
    def exp(x):
        return exp_sum(x, zero)

    @number_helper
    def expm1(x):
        x = least if x < least else x
        x = most if x > most else x
        n, power = reduced(x, zero)
        scale = real_of(word(word(n + bias_word) << shift))
        return muladd(scale, power, scale - one)

    @number_helper
    def log1p(e):
        u = e / (two + e)
        square = u * u
        return two * muladd(u * square, _polynomial(log_terms, square), u)

    @number_helper
    def normal(x):
        a = abs(x)
        a = end if a > end else a
        head = (a + grid) - grid
        e = exp_sum(-half * head * head, -half * (a - head) * (a + head))
        beyond = e * _polynomial(over, a) / _polynomial(under, a)
        return (one - beyond if x > zero else beyond), e * density_scale

    return exp, expm1, log1p, normal


_POWERS = {
    types.float32: _powers(np.float32, np.uint32, 23, 8, -176, 89, _TAIL_32),
    types.float64: _powers(np.float64, np.uint64, 52, 13, -1418, 710, _TAIL_64),
}


def _by_dtype(number):
    def function(x):
        raise NotImplementedError("only for compiled code")

    @overload(function, jit_options={**OPTIONS, "forceinline": True})
    def choose(x):
        chosen = _POWERS[x][number]
        return lambda x: chosen(x)

    return function


exp, expm1, log1p, normal = (_by_dtype(number) for number in range(4))
