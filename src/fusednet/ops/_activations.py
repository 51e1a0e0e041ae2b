"""Activations and their derivatives, and softmax.

Reads _door.py for the checks and calls the kernels `activation_fwd`, `activation_bwd`, `softmax_fwd` and `softmax_bwd`.

a) A backward function takes what the forward one left over: its output y, and only where that is not enough (swish,
   gelu) its input x. So a network keeps one array for each activation, not two.
"""

from fusednet.backends import current
from fusednet.backends.table import Activation
from fusednet.ops._door import convert, empty, finish, misfit, outputs, ready1, ready2, real, rows

# plain ints: an enum's member is another type to a compiled table
_LINEAR = int(Activation.LINEAR)
_RELU = int(Activation.RELU)
_LEAKY_RELU = int(Activation.LEAKY_RELU)
_ELU = int(Activation.ELU)
_SELU = int(Activation.SELU)
_SIGMOID = int(Activation.SIGMOID)
_TANH = int(Activation.TANH)
_SWISH = int(Activation.SWISH)
_SOFTPLUS = int(Activation.SOFTPLUS)
_GELU = int(Activation.GELU)
_GELU_TANH = int(Activation.GELU_TANH)


def _forward(function, kind, alpha, x, out, name="x"):
    if out is None:
        table = current()
        y = table.made.activation_fwd(..., x, kind, alpha)
        if y is not None:
            return y
    given = x
    dtype = ready1(x)
    if dtype is None:
        dtype, x = convert(function, True, **{name: x})
    if out is None:
        y = empty(x.shape, dtype)
        current().activation_fwd(y.ravel(), x.ravel(), kind, alpha)
        return y
    users, (y,) = outputs(function, out, {"y": x.shape}, dtype, {name: given}, same=(name,))
    current().activation_fwd(y.ravel(), x.ravel(), kind, alpha)
    return finish(users, (y,))[0]


def _backward(function, kind, alpha, dy, s, s_name, out):
    if out is None:
        table = current()
        dx = table.made.activation_bwd(..., dy, s, kind, alpha)
        if dx is not None:
            return dx
    given = {"dy": dy, s_name: s} if out is not None else None
    dtype = ready2(dy, s)
    if dtype is None:
        dtype, dy, s = convert(function, True, **{"dy": dy, s_name: s})
    if dy.shape != s.shape:
        raise misfit(function, "the same shape", **{"dy": dy, s_name: s})
    if out is None:
        dx = empty(dy.shape, dtype)
        current().activation_bwd(dx.ravel(), dy.ravel(), s.ravel(), kind, alpha)
        return dx
    users, (dx,) = outputs(function, out, {"dx": dy.shape}, dtype, given, same=("dy", s_name))
    current().activation_bwd(dx.ravel(), dy.ravel(), s.ravel(), kind, alpha)
    return finish(users, (dx,))[0]


def linear(x, *, out=None):
    """The identity, ``f(x) = x``, as a copy.

    Parameters
    ----------
    x : array_like
        Of any shape.
    out : ndarray, optional
        Where to write the result; may be `x`.

    Returns
    -------
    y : ndarray, shape of x

    Raises
    ------
    ValueError
        If `out` has another shape, is read-only or overlaps `x` other than element on element.
    TypeError
        If `x` is not numeric or `out` has another dtype than the result.
    """
    return _forward("linear", _LINEAR, 0.0, x, out)


def linear_backward(dy, *, out=None):
    """Gradient of `linear`: a copy of `dy`.

    Parameters
    ----------
    dy : array_like
        Gradient with respect to the output.
    out : ndarray, optional
        Where to write the result; may be `dy`.

    Returns
    -------
    dx : ndarray, shape of dy

    Raises
    ------
    ValueError
        If `out` has another shape, is read-only or overlaps `dy` other than element on element.
    TypeError
        If `dy` is not numeric or `out` has another dtype than the result.
    """
    return _forward("linear_backward", _LINEAR, 0.0, dy, out, "dy")


def relu(x, *, out=None):
    """Rectified linear unit, ``f(x) = max(x, 0)`` (Nair & Hinton 2010).

    Parameters
    ----------
    x : array_like
        Of any shape.
    out : ndarray, optional
        Where to write the result; may be `x`.

    Returns
    -------
    y : ndarray, shape of x

    Raises
    ------
    ValueError
        If `out` has another shape, is read-only or overlaps `x` other than element on element.
    TypeError
        If `x` is not numeric or `out` has another dtype than the result.
    """
    return _forward("relu", _RELU, 0.0, x, out)


def relu_backward(dy, y, *, out=None):
    """Gradient of `relu`: ``dx = dy`` where ``y > 0``, else 0.

    Parameters
    ----------
    dy : array_like
        Gradient with respect to the output.
    y : array_like, shape of dy
        What `relu` returned.
    out : ndarray, optional
        Where to write the result; may be `dy` or `y`.

    Returns
    -------
    dx : ndarray, shape of dy

    Raises
    ------
    ValueError
        If the shapes differ, or `out` has another shape, is read-only or overlaps other than element on element.
    TypeError
        If an argument is not numeric or `out` has another dtype than the result.
    """
    return _backward("relu_backward", _RELU, 0.0, dy, y, "y", out)


def leaky_relu(x, alpha=0.2, *, out=None):
    """Leaky rectified linear unit, ``f(x) = x`` where ``x > 0``, else ``alpha x`` (Maas et al. 2013).

    Parameters
    ----------
    x : array_like
        Of any shape.
    alpha : float, default 0.2
        Slope below zero, above 0. The default is that of ``keras.activations.leaky_relu``; PyTorch's is 0.01.
    out : ndarray, optional
        Where to write the result; may be `x`.

    Returns
    -------
    y : ndarray, shape of x

    Raises
    ------
    ValueError
        If `alpha` is not above 0, or `out` has another shape, is read-only or overlaps `x` other than element on
        element.
    TypeError
        If `x` is not numeric or `out` has another dtype than the result.
    """
    return _forward("leaky_relu", _LEAKY_RELU, real("leaky_relu", "alpha", alpha, "(0, inf)"), x, out)


def leaky_relu_backward(dy, y, alpha=0.2, *, out=None):
    """Gradient of `leaky_relu`: ``dx = dy`` where ``y > 0``, else ``alpha dy``.

    Parameters
    ----------
    dy : array_like
        Gradient with respect to the output.
    y : array_like, shape of dy
        What `leaky_relu` returned.
    alpha : float, default 0.2
        The same as there.
    out : ndarray, optional
        Where to write the result; may be `dy` or `y`.

    Returns
    -------
    dx : ndarray, shape of dy

    Raises
    ------
    ValueError
        If `alpha` is not above 0, the shapes differ, or `out` has another shape, is read-only or overlaps other than
        element on element.
    TypeError
        If an argument is not numeric or `out` has another dtype than the result.
    """
    alpha = real("leaky_relu_backward", "alpha", alpha, "(0, inf)")
    return _backward("leaky_relu_backward", _LEAKY_RELU, alpha, dy, y, "y", out)


def elu(x, alpha=1.0, *, out=None):
    """Exponential linear unit, ``f(x) = x`` where ``x > 0``, else ``alpha (e^x - 1)`` (Clevert et al. 2016).

    Parameters
    ----------
    x : array_like
        Of any shape.
    alpha : float, default 1
        Above 0; ``-alpha`` is what the function tends to at minus infinity.
    out : ndarray, optional
        Where to write the result; may be `x`.

    Returns
    -------
    y : ndarray, shape of x

    Raises
    ------
    ValueError
        If `alpha` is not above 0, or `out` has another shape, is read-only or overlaps `x` other than element on
        element.
    TypeError
        If `x` is not numeric or `out` has another dtype than the result.
    """
    return _forward("elu", _ELU, real("elu", "alpha", alpha, "(0, inf)"), x, out)


def elu_backward(dy, y, alpha=1.0, *, out=None):
    """Gradient of `elu`: ``dx = dy`` where ``y > 0``, else ``dy (y + alpha)``.

    Parameters
    ----------
    dy : array_like
        Gradient with respect to the output.
    y : array_like, shape of dy
        What `elu` returned.
    alpha : float, default 1.0
        The same as there.
    out : ndarray, optional
        Where to write the result; may be `dy` or `y`.

    Returns
    -------
    dx : ndarray, shape of dy

    Raises
    ------
    ValueError
        If `alpha` is not above 0, the shapes differ, or `out` has another shape, is read-only or overlaps other than
        element on element.
    TypeError
        If an argument is not numeric or `out` has another dtype than the result.
    """
    return _backward("elu_backward", _ELU, real("elu_backward", "alpha", alpha, "(0, inf)"), dy, y, "y", out)


def selu(x, *, out=None):
    """Scaled exponential linear unit, ``f(x) = scale elu(x, alpha)`` (Klambauer et al. 2017).

    The paper's constants, ``alpha = 1.67326...`` and ``scale = 1.05070...``, keep mean 0 and variance 1 from layer to
    layer.

    Parameters
    ----------
    x : array_like
        Of any shape.
    out : ndarray, optional
        Where to write the result; may be `x`.

    Returns
    -------
    y : ndarray, shape of x

    Raises
    ------
    ValueError
        If `out` has another shape, is read-only or overlaps `x` other than element on element.
    TypeError
        If `x` is not numeric or `out` has another dtype than the result.
    """
    return _forward("selu", _SELU, 0.0, x, out)


def selu_backward(dy, y, *, out=None):
    """Gradient of `selu`: ``dx = scale dy`` where ``y > 0``, else ``dy (y + scale alpha)``.

    Parameters
    ----------
    dy : array_like
        Gradient with respect to the output.
    y : array_like, shape of dy
        What `selu` returned.
    out : ndarray, optional
        Where to write the result; may be `dy` or `y`.

    Returns
    -------
    dx : ndarray, shape of dy

    Raises
    ------
    ValueError
        If the shapes differ, or `out` has another shape, is read-only or overlaps other than element on element.
    TypeError
        If an argument is not numeric or `out` has another dtype than the result.
    """
    return _backward("selu_backward", _SELU, 0.0, dy, y, "y", out)


def sigmoid(x, *, out=None):
    """Logistic function, ``f(x) = 1 / (1 + e^-x)``.

    Parameters
    ----------
    x : array_like
        Of any shape.
    out : ndarray, optional
        Where to write the result; may be `x`.

    Returns
    -------
    y : ndarray, shape of x

    Raises
    ------
    ValueError
        If `out` has another shape, is read-only or overlaps `x` other than element on element.
    TypeError
        If `x` is not numeric or `out` has another dtype than the result.
    """
    return _forward("sigmoid", _SIGMOID, 0.0, x, out)


def sigmoid_backward(dy, y, *, out=None):
    """Gradient of `sigmoid`: ``dx = dy y (1 - y)``.

    Parameters
    ----------
    dy : array_like
        Gradient with respect to the output.
    y : array_like, shape of dy
        What `sigmoid` returned.
    out : ndarray, optional
        Where to write the result; may be `dy` or `y`.

    Returns
    -------
    dx : ndarray, shape of dy

    Raises
    ------
    ValueError
        If the shapes differ, or `out` has another shape, is read-only or overlaps other than element on element.
    TypeError
        If an argument is not numeric or `out` has another dtype than the result.
    """
    return _backward("sigmoid_backward", _SIGMOID, 0.0, dy, y, "y", out)


def tanh(x, *, out=None):
    """Hyperbolic tangent, ``f(x) = (e^x - e^-x) / (e^x + e^-x)``.

    Parameters
    ----------
    x : array_like
        Of any shape.
    out : ndarray, optional
        Where to write the result; may be `x`.

    Returns
    -------
    y : ndarray, shape of x

    Raises
    ------
    ValueError
        If `out` has another shape, is read-only or overlaps `x` other than element on element.
    TypeError
        If `x` is not numeric or `out` has another dtype than the result.
    """
    return _forward("tanh", _TANH, 0.0, x, out)


def tanh_backward(dy, y, *, out=None):
    """Gradient of `tanh`: ``dx = dy (1 - y^2)``.

    Parameters
    ----------
    dy : array_like
        Gradient with respect to the output.
    y : array_like, shape of dy
        What `tanh` returned.
    out : ndarray, optional
        Where to write the result; may be `dy` or `y`.

    Returns
    -------
    dx : ndarray, shape of dy

    Raises
    ------
    ValueError
        If the shapes differ, or `out` has another shape, is read-only or overlaps other than element on element.
    TypeError
        If an argument is not numeric or `out` has another dtype than the result.
    """
    return _backward("tanh_backward", _TANH, 0.0, dy, y, "y", out)


def swish(x, *, out=None):
    """Swish, also called SiLU, ``f(x) = x sigmoid(x)`` (Elfwing et al. 2018).

    `silu` is another name of it.

    Parameters
    ----------
    x : array_like
        Of any shape.
    out : ndarray, optional
        Where to write the result; may be `x`.

    Returns
    -------
    y : ndarray, shape of x

    Raises
    ------
    ValueError
        If `out` has another shape, is read-only or overlaps `x` other than element on element.
    TypeError
        If `x` is not numeric or `out` has another dtype than the result.
    """
    return _forward("swish", _SWISH, 0.0, x, out)


def swish_backward(dy, x, *, out=None):
    """Gradient of `swish`: ``dx = dy s (1 + x (1 - s))`` with ``s = sigmoid(x)``.

    Parameters
    ----------
    dy : array_like
        Gradient with respect to the output.
    x : array_like, shape of dy
        What `swish` was given; its output does not determine the derivative.
    out : ndarray, optional
        Where to write the result; may be `dy` or `x`.

    Returns
    -------
    dx : ndarray, shape of dy

    Raises
    ------
    ValueError
        If the shapes differ, or `out` has another shape, is read-only or overlaps other than element on element.
    TypeError
        If an argument is not numeric or `out` has another dtype than the result.
    """
    return _backward("swish_backward", _SWISH, 0.0, dy, x, "x", out)


silu = swish
silu_backward = swish_backward


def softplus(x, *, out=None):
    """Softplus, ``f(x) = log(1 + e^x)``, a smooth `relu` (Dugas et al. 2001).

    Parameters
    ----------
    x : array_like
        Of any shape.
    out : ndarray, optional
        Where to write the result; may be `x`.

    Returns
    -------
    y : ndarray, shape of x

    Raises
    ------
    ValueError
        If `out` has another shape, is read-only or overlaps `x` other than element on element.
    TypeError
        If `x` is not numeric or `out` has another dtype than the result.
    """
    return _forward("softplus", _SOFTPLUS, 0.0, x, out)


def softplus_backward(dy, y, *, out=None):
    """Gradient of `softplus`: ``dx = dy (1 - e^-y)``, which is ``dy sigmoid(x)``.

    Parameters
    ----------
    dy : array_like
        Gradient with respect to the output.
    y : array_like, shape of dy
        What `softplus` returned.
    out : ndarray, optional
        Where to write the result; may be `dy` or `y`.

    Returns
    -------
    dx : ndarray, shape of dy

    Raises
    ------
    ValueError
        If the shapes differ, or `out` has another shape, is read-only or overlaps other than element on element.
    TypeError
        If an argument is not numeric or `out` has another dtype than the result.
    """
    return _backward("softplus_backward", _SOFTPLUS, 0.0, dy, y, "y", out)


def _gelu_kind(function, approximate):
    if approximate is False or approximate == "none":
        return _GELU
    if approximate is True or approximate == "tanh":
        return _GELU_TANH
    raise ValueError(f"{function}: approximate is {approximate!r}; wanted False, True, 'none' or 'tanh'")


def gelu(x, approximate=False, *, out=None):
    """Gaussian error linear unit, ``f(x) = x Phi(x)`` (Hendrycks & Gimpel 2016).

    Parameters
    ----------
    x : array_like
        Of any shape.
    approximate : bool or {"none", "tanh"}, default False
        True or "tanh": ``x/2 (1 + tanh(sqrt(2/pi) (x + 0.044715 x^3)))``; False or "none": with the distribution
        function Phi of the normal distribution itself. The words are Keras's and PyTorch's.
    out : ndarray, optional
        Where to write the result; may be `x`.

    Returns
    -------
    y : ndarray, shape of x

    Raises
    ------
    ValueError
        If `approximate` is none of these, or `out` has another shape, is read-only or overlaps `x` other than element
        on element.
    TypeError
        If `x` is not numeric or `out` has another dtype than the result.
    """
    return _forward("gelu", _gelu_kind("gelu", approximate), 0.0, x, out)


def gelu_backward(dy, x, approximate=False, *, out=None):
    """Gradient of `gelu`: ``dx = dy (Phi(x) + x phi(x))``, or that of the approximation.

    Parameters
    ----------
    dy : array_like
        Gradient with respect to the output.
    x : array_like, shape of dy
        What `gelu` was given; its output does not determine the derivative.
    approximate : bool or {"none", "tanh"}, default False
        The same as there.
    out : ndarray, optional
        Where to write the result; may be `dy` or `x`.

    Returns
    -------
    dx : ndarray, shape of dy

    Raises
    ------
    ValueError
        If `approximate` is none of these, the shapes differ, or `out` has another shape, is read-only or overlaps other
        than element on element.
    TypeError
        If an argument is not numeric or `out` has another dtype than the result.
    """
    return _backward("gelu_backward", _gelu_kind("gelu_backward", approximate), 0.0, dy, x, "x", out)


def softmax(x, *, out=None):
    """Softmax over the last axis: ``y = e^(x - max) / sum(e^(x - max))``.

    Parameters
    ----------
    x : array_like, shape (..., n)
        At least 1-D.
    out : ndarray, optional
        Where to write the result; may be `x`.

    Returns
    -------
    y : ndarray, shape (..., n)
        Along the last axis its elements are positive and sum to 1.

    Raises
    ------
    ValueError
        If `x` has no axis, or `out` has another shape, is read-only or overlaps `x` other than element on element.
    TypeError
        If `x` is not numeric or `out` has another dtype than the result.
    """
    table = current()
    if out is None:
        y = table.made.softmax_fwd(..., x)
        if y is not None:
            return y
    given = x
    dtype = ready1(x)
    if dtype is None:
        dtype, x = convert("softmax", False, x=x)
    shape = x.shape
    if not shape:
        raise misfit("softmax", "1 or more axes, (..., n)", x=x)
    if out is None:
        users, y = None, empty(shape, dtype)
    else:
        users, (y,) = outputs("softmax", out, {"y": shape}, dtype, {"x": given}, same=("x",), flat=False)
    table.softmax_fwd(rows(y), rows(x))
    return y if users is None else finish(users, (y,))[0]


def softmax_backward(dy, y, *, out=None):
    """Gradient of `softmax`: ``dx = y (dy - sum(dy y))``, the sum over the last axis.

    Before a cross entropy there is no need for it: `softmax_cross_entropy` returns the gradient with respect to the
    logits.

    Parameters
    ----------
    dy : array_like, shape (..., n)
        Gradient with respect to the output.
    y : array_like, shape (..., n)
        What `softmax` returned.
    out : ndarray, optional
        Where to write the result; may be `dy`.

    Returns
    -------
    dx : ndarray, shape (..., n)

    Raises
    ------
    ValueError, TypeError
        As `softmax`, and if the shapes differ.
    """
    table = current()
    if out is None:
        dx = table.made.softmax_bwd(..., dy, y)
        if dx is not None:
            return dx
    given = {"dy": dy, "y": y}
    dtype = ready2(dy, y)
    if dtype is None:
        dtype, dy, y = convert("softmax_backward", False, dy=dy, y=y)
    shape = dy.shape
    if not shape or y.shape != shape:
        raise misfit("softmax_backward", "the same shape (..., n)", dy=dy, y=y)
    if out is None:
        users, dx = None, empty(shape, dtype)
    else:
        users, (dx,) = outputs("softmax_backward", out, {"dx": shape}, dtype, given, same=("dy",), flat=False)
    table.softmax_bwd(rows(dx), rows(dy), rows(y))
    return dx if users is None else finish(users, (dx,))[0]
