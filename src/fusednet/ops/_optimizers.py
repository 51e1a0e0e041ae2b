"""Optimizer steps in place on parameters of any shape, and the norm of gradients.

Reads _door.py for the checks and calls the seven `*_step` kernels, `square_sums` and `sum`.

a) All steps take the same options: the gradient is first scaled, then clipped, then the L2 penalty's gradient is added:
   ``h = clip(grad_scale g, -clip_value, clip_value) + l2 p``. Weight decay is decoupled from it (Loshchilov & Hutter
   2019): ``p_new = p (1 - lr weight_decay) + step``, the step having been computed from the p before.
b) State arrays (momenta) start as zeros of the parameters' shape and dtype and belong to the caller.
"""

import math
from collections.abc import Mapping

import numpy as np

from fusednet.backends import current
from fusednet.backends.table import chunks
from fusednet.ops._door import (
    F32,
    F64,
    INF,
    array,
    convert,
    empty,
    in_place,
    integer,
    layout,
    ready1,
    real,
    total,
    write_back,
)


def _common(function, lr, l2, weight_decay, clip_value, grad_scale):
    """(lr, l2, decay, scale, clip) as kernels take them."""
    clip_value = INF if clip_value is None else clip_value
    if not type(lr) is type(l2) is type(weight_decay) is type(clip_value) is type(grad_scale) is float or not (
        0.0 <= lr < INF
        and 0.0 <= l2 < INF
        and 0.0 <= weight_decay < INF
        and clip_value > 0.0
        and -INF < grad_scale < INF
    ):
        lr = real(function, "lr", lr)
        l2 = real(function, "l2", l2)
        weight_decay = real(function, "weight_decay", weight_decay)
        clip_value = real(function, "clip_value", clip_value, "(0, inf]")
        grad_scale = real(function, "grad_scale", grad_scale, "(-inf, inf)")
    return lr, l2, lr * weight_decay, grad_scale, clip_value


def _step(function, kernel, names, arrays, numbers):
    """Check and flatten p, its state and g (the last), and call the kernel of this name."""
    table = current()
    if getattr(table.made, kernel).update(arrays, numbers) is not None:
        return
    kernel = getattr(table, kernel)
    p = arrays[0]
    named = dict(zip(names, arrays, strict=True))
    g = array(function, "g", named.pop("g"))
    works = in_place(function, named, {"g": g})
    if g.shape != p.shape:
        raise ValueError(f"{function}: g has shape {g.shape}; wanted {p.shape}, that of p")
    g = layout(g, F32 if p.dtype == F32 else F64, True).ravel()
    kernel(*works, g, *numbers)
    for user, work in zip(named.values(), works, strict=True):
        write_back(user, work)


def sgd_step(p, g, lr, *, l2=0.0, weight_decay=0.0, clip_value=None, grad_scale=1.0):
    """One step of gradient descent, in place: ``p = p (1 - lr weight_decay) - lr h``.

    In this and the other steps ``h = clip(grad_scale g, -clip_value, clip_value) + l2 p``.

    Parameters
    ----------
    p : ndarray of float32 or float64
        Parameters, of any shape; changed.
    g : array_like, shape of p
        Their gradient; converted to the dtype of `p`. Not changed.
    lr : float
        Learning rate, not negative.
    l2 : float, default 0
        Of the penalty ``l2/2 sum(p^2)``, whose gradient is added to `g`.
    weight_decay : float, default 0
        Decoupled weight decay (Loshchilov & Hutter 2019), times the learning rate as in PyTorch and Keras.
    clip_value : float, optional
        Largest absolute value of an element of the scaled gradient; above 0. By default none.
    grad_scale : float, default 1
        Multiplies `g`: clipping by norm is ``min(1, limit / global_norm(gradients))``.

    Raises
    ------
    ValueError
        If the shapes differ, a number is out of range, or an array that is changed is read-only or overlaps another.
    TypeError
        If an array that is changed is no ndarray of float32 or float64, or `g` is not numeric.
    """
    lr, l2, decay, scale, clip = _common("sgd_step", lr, l2, weight_decay, clip_value, grad_scale)
    _step("sgd_step", "sgd_step", ("p", "g"), (p, g), (lr, l2, decay, scale, clip))


def momentum_step(p, v, g, lr, momentum=0.9, *, l2=0.0, weight_decay=0.0, clip_value=None, grad_scale=1.0):
    """One step with momentum (Polyak 1964), in place: ``v = momentum v - lr h``, ``p = p (1 - lr weight_decay) + v``.

    Parameters
    ----------
    p : ndarray of float32 or float64
        Parameters, of any shape; changed.
    v : ndarray, shape and dtype of p
        Velocity, zeros at the start; changed.
    g : array_like, shape of p
        Gradient.
    lr : float
        Learning rate, not negative.
    momentum : float, default 0.9
        In [0, 1].
    l2, weight_decay, clip_value, grad_scale
        See `sgd_step`.

    Raises
    ------
    ValueError, TypeError
        As `sgd_step`.
    """
    lr, l2, decay, scale, clip = _common("momentum_step", lr, l2, weight_decay, clip_value, grad_scale)
    momentum = real("momentum_step", "momentum", momentum, "[0, 1]")
    numbers = lr, momentum, l2, decay, scale, clip
    _step("momentum_step", "momentum_step", ("p", "v", "g"), (p, v, g), numbers)


def nesterov_step(p, v, g, lr, momentum=0.9, *, l2=0.0, weight_decay=0.0, clip_value=None, grad_scale=1.0):
    """One step with Nesterov's momentum, in place, in the form of Bengio et al. 2013.

    ``v = momentum v - lr h``, ``p = p (1 - lr weight_decay) + momentum v - lr h``.

    Parameters
    ----------
    p : ndarray of float32 or float64
        Parameters, of any shape; changed.
    v : ndarray, shape and dtype of p
        Velocity, zeros at the start; changed.
    g : array_like, shape of p
        Gradient.
    lr : float
        Learning rate, not negative.
    momentum : float, default 0.9
        In [0, 1].
    l2, weight_decay, clip_value, grad_scale
        See `sgd_step`.

    Raises
    ------
    ValueError, TypeError
        As `sgd_step`.
    """
    lr, l2, decay, scale, clip = _common("nesterov_step", lr, l2, weight_decay, clip_value, grad_scale)
    momentum = real("nesterov_step", "momentum", momentum, "[0, 1]")
    numbers = lr, momentum, l2, decay, scale, clip
    _step("nesterov_step", "nesterov_step", ("p", "v", "g"), (p, v, g), numbers)


def adagrad_step(p, v, g, lr, epsilon=1e-7, *, l2=0.0, weight_decay=0.0, clip_value=None, grad_scale=1.0):
    """One step of AdaGrad (Duchi et al. 2011), in place.

    ``v = v + h^2``, ``p = p (1 - lr weight_decay) - lr h / (sqrt(v) + epsilon)``.

    Parameters
    ----------
    p : ndarray of float32 or float64
        Parameters, of any shape; changed.
    v : ndarray, shape and dtype of p
        Sum of squares, not negative, zeros at the start (Keras: 0.1); changed.
    g : array_like, shape of p
        Gradient.
    lr : float
        Learning rate, not negative.
    epsilon : float, default 1e-7
        Not negative.
    l2, weight_decay, clip_value, grad_scale
        See `sgd_step`.

    Raises
    ------
    ValueError, TypeError
        As `sgd_step`.
    """
    lr, l2, decay, scale, clip = _common("adagrad_step", lr, l2, weight_decay, clip_value, grad_scale)
    numbers = lr, real("adagrad_step", "epsilon", epsilon), l2, decay, scale, clip
    _step("adagrad_step", "adagrad_step", ("p", "v", "g"), (p, v, g), numbers)


def rmsprop_step(p, v, g, lr, rho=0.9, epsilon=1e-7, *, l2=0.0, weight_decay=0.0, clip_value=None, grad_scale=1.0):
    """One step of RMSprop (Tieleman & Hinton 2012), in place.

    ``v = rho v + (1 - rho) h^2``, ``p = p (1 - lr weight_decay) - lr h / (sqrt(v) + epsilon)``.

    Parameters
    ----------
    p : ndarray of float32 or float64
        Parameters, of any shape; changed.
    v : ndarray, shape and dtype of p
        Mean of squares, not negative, zeros at the start; changed.
    g : array_like, shape of p
        Gradient.
    lr : float
        Learning rate, not negative.
    rho : float, default 0.9
        In [0, 1]; how much of the mean stays.
    epsilon : float, default 1e-7
        Not negative.
    l2, weight_decay, clip_value, grad_scale
        See `sgd_step`.

    Raises
    ------
    ValueError, TypeError
        As `sgd_step`.
    """
    lr, l2, decay, scale, clip = _common("rmsprop_step", lr, l2, weight_decay, clip_value, grad_scale)
    rho = real("rmsprop_step", "rho", rho, "[0, 1]")
    numbers = lr, rho, real("rmsprop_step", "epsilon", epsilon), l2, decay, scale, clip
    _step("rmsprop_step", "rmsprop_step", ("p", "v", "g"), (p, v, g), numbers)


def _adam(function, p, m, v, g, step, lr, beta1, beta2, epsilon, epsilon_hat, l2, weight_decay, clip_value, grad_scale):
    lr, l2, decay, scale, clip = _common(function, lr, l2, weight_decay, clip_value, grad_scale)
    if type(step) is not int or not 0 < step < 2**63:
        step = integer(function, "step", step, 1)
    if not type(beta1) is type(beta2) is type(epsilon) is float or not (
        0.0 <= beta1 < 1.0 and 0.0 <= beta2 < 1.0 and 0.0 <= epsilon < INF
    ):
        beta1 = real(function, "beta1", beta1, "[0, 1)")
        beta2 = real(function, "beta2", beta2, "[0, 1)")
        epsilon = real(function, "epsilon", epsilon)
    correction = math.sqrt(1.0 - beta2**step)
    rate = lr / (1.0 - beta1**step)
    if epsilon_hat:
        rate, v_scale = rate * correction, 1.0
    else:
        v_scale = 1.0 / correction
    numbers = rate, beta1, beta2, epsilon, v_scale, l2, decay, scale, clip
    _step(function, "adam_step", ("p", "m", "v", "g"), (p, m, v, g), numbers)


def adam_step(
    p,
    m,
    v,
    g,
    step,
    lr=1e-3,
    beta1=0.9,
    beta2=0.999,
    epsilon=1e-7,
    *,
    epsilon_hat=True,
    l2=0.0,
    weight_decay=0.0,
    clip_value=None,
    grad_scale=1.0,
):
    """One step of Adam (Kingma & Ba 2015, algorithm 1), in place.

    ``m = beta1 m + (1 - beta1) h``, ``v = beta2 v + (1 - beta2) h^2``, and with the bias corrections
    ``c1 = 1 - beta1^step``, ``c2 = 1 - beta2^step``: ``p = p (1 - lr weight_decay) - lr sqrt(c2)/c1 m / (sqrt(v) +
    epsilon)``, or without `epsilon_hat` ``- lr/c1 m / (sqrt(v/c2) + epsilon)``.

    Parameters
    ----------
    p : ndarray of float32 or float64
        Parameters, of any shape; changed.
    m, v : ndarray, shape and dtype of p
        Means of the gradient and of its square, zeros at the start; changed.
    g : array_like, shape of p
        Gradient.
    step : int
        Number of this step, counted from 1.
    lr : float, default 1e-3
        Learning rate, not negative.
    beta1, beta2 : float, default 0.9 and 0.999
        In [0, 1); how much of the means stays.
    epsilon : float, default 1e-7
        Not negative. PyTorch's default is 1e-8.
    epsilon_hat : bool, default True
        Where epsilon is added. True: outside of the bias correction, as Keras and the book do ("epsilon hat", the
        paper's last formula before section 2.1). False: inside, as PyTorch and algorithm 1 do.
    l2, weight_decay, clip_value, grad_scale
        See `sgd_step`.

    Raises
    ------
    ValueError, TypeError
        As `sgd_step`.

    Examples
    --------
    >>> import numpy as np
    >>> from fusednet import ops
    >>> p, g = np.ones(3), np.array([1.0, -1.0, 0.0])
    >>> m, v = np.zeros(3), np.zeros(3)
    >>> ops.adam_step(p, m, v, g, 1, lr=0.1)
    >>> p.round(6)
    array([0.9, 1.1, 1. ])
    """
    _adam(
        "adam_step",
        p,
        m,
        v,
        g,
        step,
        lr,
        beta1,
        beta2,
        epsilon,
        epsilon_hat,
        l2,
        weight_decay,
        clip_value,
        grad_scale,
    )


def adamw_step(
    p,
    m,
    v,
    g,
    step,
    lr=1e-3,
    beta1=0.9,
    beta2=0.999,
    epsilon=1e-7,
    *,
    epsilon_hat=True,
    weight_decay=0.004,
    clip_value=None,
    grad_scale=1.0,
):
    """One step of AdamW (Loshchilov & Hutter 2019, algorithm 2), in place: `adam_step` with decoupled weight decay.

    Parameters
    ----------
    p, m, v, g, step, lr, beta1, beta2, epsilon, epsilon_hat
        See `adam_step`.
    weight_decay : float, default 0.004
        Not negative. The default is Keras's; PyTorch's is 0.01.
    clip_value, grad_scale
        See `sgd_step`.

    Raises
    ------
    ValueError, TypeError
        As `sgd_step`.
    """
    _adam(
        "adamw_step",
        p,
        m,
        v,
        g,
        step,
        lr,
        beta1,
        beta2,
        epsilon,
        epsilon_hat,
        0.0,
        weight_decay,
        clip_value,
        grad_scale,
    )


def sum_of_squares(x):
    """Sum of the squares of all elements, in double precision and fixed order.

    Parameters
    ----------
    x : array_like
        Of any shape.

    Returns
    -------
    float

    Raises
    ------
    TypeError
        If `x` is not numeric.
    """
    table = current()
    squares = table.made.square_sums.summed(..., x)
    if squares is None:
        if ready1(x) is None:
            _, x = convert("sum_of_squares", True, x=x)
        partial = empty(chunks(x.size), F64)
        table.square_sums(partial, x.ravel())
        squares = partial.item() if partial.size == 1 else total(partial)
    return squares


def global_norm(arrays):
    """Euclidean norm of all elements of all arrays, as if they were one vector.

    Parameters
    ----------
    arrays : ndarray, or iterable of array_like
        A gradient, or all gradients of a network.

    Returns
    -------
    float

    Raises
    ------
    TypeError
        If an array is not numeric.

    Examples
    --------
    Clipping by norm (Pascanu et al. 2013):

    >>> import numpy as np
    >>> from fusednet import ops
    >>> gradients = [np.array([3.0, 0.0]), np.array([[4.0]])]
    >>> norm = ops.global_norm(gradients)
    >>> norm, min(1.0, 1.0 / norm)
    (5.0, 0.2)
    """
    if isinstance(arrays, np.ndarray):
        return math.sqrt(sum_of_squares(arrays))
    if isinstance(arrays, Mapping):
        raise TypeError("global_norm: arrays is a dict; wanted its values")
    return math.sqrt(sum([sum_of_squares(a) for a in arrays]))
