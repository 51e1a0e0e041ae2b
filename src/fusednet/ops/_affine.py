"""The affine layer: x w + b with an activation behind it, and its gradients.

Reads _door.py for the checks and calls the kernels `affine_fwd`, `affine_bwd_dx` and `affine_bwd_dw`.
"""

from fusednet.backends import current
from fusednet.ops._door import convert, empty, finish, kind_of, misfit, outputs, ready1, ready2, ready3, rows, saved_by


def affine(x, w, b=None, activation="linear", *, alpha=None, return_z=False, out=None):
    """Affine layer with a fused activation: ``f(x @ w + b)``.

    Parameters
    ----------
    x : array_like, shape (..., k)
        Rows of data, at least 2-D; leading axes are kept.
    w : array_like of float, shape (k, n)
        Weights.
    b : array_like of float, shape (n,), optional
        Bias.
    activation : str or None, default "linear"
        One of linear, relu, leaky_relu, elu, selu, sigmoid, tanh, swish (silu), softplus, gelu, gelu_tanh; see the
        functions of these names. None is linear.
    alpha : float, optional
        Of leaky_relu (default 0.2) and elu (default 1).
    return_z : bool, default False
        Also return the input of the activation, which `swish_backward` and `gelu_backward` need.
    out : ndarray, or tuple of ndarray or None, optional
        Where to write y, or y and z. May not overlap an input.

    Returns
    -------
    y : ndarray, shape (..., n)
    z : ndarray, shape (..., n)
        ``x @ w + b``; only if `return_z`.

    Raises
    ------
    ValueError
        If the shapes do not fit, the activation is unknown, or `out` has another shape, is read-only or overlaps.
    TypeError
        If `w` or `b` is of an integer dtype, an argument is not numeric, or `out` has another dtype.

    Examples
    --------
    >>> import numpy as np
    >>> from fusednet import ops
    >>> ops.affine(np.array([[1.0, -2.0]]), np.eye(2), np.array([0.5, 0.5]), "relu")
    array([[1.5, 0. ]])
    """
    kind, alpha = kind_of("affine", activation, alpha)
    table = current()
    if out is None:
        made = table.made.affine_fwd(..., ... if return_z else None, x, w, b, kind, alpha, 0)
        if made is not None:
            return made
    given = None if out is None else {"x": x, "w": w, "b": b}
    dtype = ready2(x, w) if b is None else ready3(x, w, b)
    if dtype is None:
        dtype, x, w, b = convert("affine", False, x=x, w=w, b=b)
    shape = x.shape
    if len(shape) < 2:
        raise misfit("affine", "2 or more axes, (..., k)", x=x)
    if w.ndim != 2 or w.shape[0] != shape[-1]:
        raise misfit("affine", "(..., k) and (k, n)", x=x, w=w)
    n = w.shape[1]
    if b is not None and b.shape != (n,):
        raise misfit("affine", "(k, n) and (n,)", w=w, b=b)
    if len(shape) != 2:
        x = rows(x)
    shape = *shape[:-1], n
    if out is None:
        users, y = None, empty(shape, dtype)
        z = empty(shape, dtype) if return_z else None
    else:
        results = {"y": shape, "z": shape} if return_z else {"y": shape}
        users, targets = outputs("affine", out, results, dtype, given, flat=False)
        y, z = targets if return_z else (*targets, None)
    if len(shape) == 2:
        table.affine_fwd(y, z, x, w, b, kind, alpha, 0)
    else:
        table.affine_fwd(rows(y), rows(z) if return_z else None, x, w, b, kind, alpha, 0)
    if users is not None:
        return finish(users, (y, z)) if return_z else finish(users, (y,))[0]
    return (y, z) if return_z else y


def affine_backward(dy, x, w, *, input_activation="linear", input_saved=None, alpha=None, need_dx=True, out=None):
    """Gradients of ``x @ w + b``, through the activation that made `x` where there was one.

    With ``f`` the activation of the layer before, ``dx = (dy @ w.T) * f'``, ``dw = x.T @ dy`` and
    ``db = dy.sum(axis=0)``, leading axes counted as rows. So a chain of layers needs no pass of its own over the
    activations: each call returns as dx the `dy` of the call before it.

    Parameters
    ----------
    dy : array_like, shape (..., n)
        Gradient with respect to ``x @ w + b``: what `softmax_cross_entropy` returns, for example.
    x : array_like, shape (..., k)
        Input of the layer.
    w : array_like of float, shape (k, n)
        Weights.
    input_activation : str or None, default "linear"
        The activation whose output is `x`; see `affine`. By default dx is the gradient with respect to `x` itself.
    input_saved : array_like, shape (..., k), optional
        Its input, for swish, gelu and gelu_tanh, whose derivative is taken from there. The others' is taken from `x`.
    alpha : float, optional
        That activation's, as in `affine`.
    need_dx : bool, default True
        False for the first layer of a network: dx is then None and costs nothing.
    out : ndarray, or tuple of ndarray or None, optional
        Where to write dx, or dx, dw and db. None may overlap an input.

    Returns
    -------
    dx : ndarray, shape (..., k), or None
    dw : ndarray, shape (k, n)
    db : ndarray, shape (n,)

    Raises
    ------
    ValueError, TypeError
        As `affine`.

    Examples
    --------
    Two layers, forward and backward:

    >>> import numpy as np
    >>> from fusednet import ops
    >>> rng = np.random.default_rng(0)
    >>> x, labels = rng.normal(size=(5, 4)), np.array([0, 1, 2, 1, 0])
    >>> w1, w2 = rng.normal(size=(4, 8)), rng.normal(size=(8, 3))
    >>> h = ops.affine(x, w1, activation="relu")
    >>> loss, dz = ops.softmax_cross_entropy(ops.affine(h, w2), labels)
    >>> dh, dw2, db2 = ops.affine_backward(dz, h, w2, input_activation="relu")
    >>> _, dw1, db1 = ops.affine_backward(dh, x, w1, need_dx=False)
    """
    kind, alpha = kind_of("affine_backward", input_activation, alpha, "input_activation")
    table = current()
    if out is None and need_dx:
        s = saved_by("affine_backward", kind, input_saved, "input_saved", x)
        dx = table.made.affine_bwd_dx(..., dy, w, s, kind, alpha, 1.0, 0)
        made = None if dx is None else table.made.affine_bwd_dw(..., ..., x, dy, 0)
        if made is not None and (s is x or made[0].shape == w.shape):
            return dx, made[0], made[1]
    given = None if out is None else {"dy": dy, "x": x, "w": w, "input_saved": input_saved}
    dtype = ready3(dy, x, w)
    if dtype is None or not (input_saved is None or ready1(input_saved) is dtype):
        dtype, dy, x, w, input_saved = convert("affine_backward", False, dy=dy, x=x, w=w, input_saved=input_saved)
    s = saved_by("affine_backward", kind, input_saved, "input_saved", x)
    shape = x.shape
    if len(shape) < 2:
        raise misfit("affine_backward", "2 or more axes, (..., k)", x=x)
    k = shape[-1]
    if w.ndim != 2 or w.shape[0] != k:
        raise misfit("affine_backward", "(..., k) and (k, n)", x=x, w=w)
    n = w.shape[1]
    if dy.shape != (*shape[:-1], n):
        raise misfit("affine_backward", "(..., n), (..., k) and (k, n)", dy=dy, x=x, w=w)
    if s is not None and s.shape != shape:
        raise misfit("affine_backward", "the same shape", x=x, input_saved=s)
    if len(shape) != 2:
        dy, x = rows(dy), rows(x)
        s = None if s is None else rows(s)
    if out is None:
        dx = empty(shape, dtype) if need_dx else None
        dw = empty((k, n), dtype)
        db = empty(n, dtype)
        users = None
    else:
        results = {"dx": shape if need_dx else None, "dw": (k, n), "db": (n,)}
        users, (dx, dw, db) = outputs("affine_backward", out, results, dtype, given, flat=False)
    if need_dx:
        table.affine_bwd_dx(dx if len(shape) == 2 else rows(dx), dy, w, s, kind, alpha, 1.0, 0)
    table.affine_bwd_dw(dw, db, x, dy, 0)
    return (dx, dw, db) if users is None else finish(users, (dx, dw, db))
