"""The book's layers on the table's kernels: `forward`, `backward`, and the attributes that its scripts look at.

Reads _arrays.py, _draws.py, functions.py, the kernels (fusednet.backends); read by the networks and by users' loops.

a) A layer keeps references to the arrays that it was given, as the book does: who changes ``params['W1']`` in place
   changes the layer.
b) What only a look asks for (`Relu.mask`, `BatchNormalization.xn`, ...) is computed when it is looked at, from the
   input of the last `forward`, which must not have been changed meanwhile.
c) A contiguous array goes to a flat kernel as `ravel`, which is the same memory and half the price of `reshape`.
d) Every check comes before the first write, and says which layer, what came and what was wanted.
e) A network's `gradient` computes all layers at one go (_gradient.py). A layer takes its attributes from there when the
   first of them is looked at: `_Late`.
"""

import numpy as np

from fusednet import backends
from fusednet.backends.table import Activation
from fusednet.book._arrays import natural, ready
from fusednet.book._draws import draw_kept
from fusednet.book.functions import TINY, cross_entropy_error, softmax

_empty, _empty_like = np.empty, np.empty_like
_I64 = np.dtype(np.int64)


def _shape(x) -> tuple:
    return tuple(np.shape(x))


class _Late:
    """An attribute that is still in what a network's `gradient` left, until it is looked at or set."""

    def __set_name__(self, owner, name):
        self._name = name

    def __get__(self, layer, owner=None):
        if layer is None:
            return self
        try:
            return layer._own()[self._name]
        except KeyError:
            raise AttributeError(f"{type(layer).__name__!r} object has no attribute {self._name!r}") from None

    def __set__(self, layer, value):
        layer._own()[self._name] = value

    def __delete__(self, layer):
        if layer._own().pop(self._name, self) is self:
            raise AttributeError(self._name)


class _Layer:
    """What all layers have: a name for messages, which a network sets; attributes that may come late."""

    name = None
    _left = None  # what knows the attributes better than the layer: ``of(layer)`` has them by name

    def _own(self) -> dict:
        """The attributes, all of them up to date."""
        own = self.__dict__
        left = self._left
        if left is not None:
            self._left = None
            own.update(left.of(self))
        return own

    def __getstate__(self):
        return {key: value for key, value in self._own().items() if key != "_left"}

    def _where(self) -> str:
        kind = type(self).__name__
        return f"{self.name} ({kind})" if self.name else kind

    def _no_forward(self) -> RuntimeError:
        return RuntimeError(f"{self._where()}: backward came before forward; wanted a forward first")

    def _check_gradient(self, dout, shape) -> None:
        if dout.shape != shape:
            raise ValueError(f"{self._where()}: dout has shape {dout.shape}; wanted {shape}, as forward's result")


# ---- activations -----------------------------------------------------------------------------------------------------


class _Elementwise(_Layer):
    """An activation: `_saved` is what its kernel takes the derivative from."""

    _kind = int(Activation.LINEAR)
    _alpha = 0.0
    _saves_input = False
    _saved = _Late()

    def __init__(self):
        self._saved = None

    def forward(self, x):
        """f(x), x of any shape; a new array."""
        x = natural(x)
        y = _empty_like(x)
        backends.current().activation_fwd(y.ravel(), x.ravel(), self._kind, self._alpha)
        self._own()["_saved"] = x if self._saves_input else y
        return y

    def backward(self, dout):
        """``dout * f'(x)``; a new array."""
        saved = self._own()["_saved"]
        if saved is None:
            raise self._no_forward()
        dout = ready(dout, saved.dtype)
        if dout.shape != saved.shape:
            self._check_gradient(dout, saved.shape)
        dx = _empty_like(dout)
        backends.current().activation_bwd(dx.ravel(), dout.ravel(), saved.ravel(), self._kind, self._alpha)
        return dx


class Relu(_Elementwise):
    """``max(x, 0)``.

    Attributes
    ----------
    mask : ndarray of bool or None
        Where ``x <= 0``.
    """

    _kind = int(Activation.RELU)
    _saves_input = True

    @property
    def mask(self):
        return None if self._saved is None else self._saved <= 0

    def backward(self, dout):
        """``dout`` with 0 where the mask is; as in the book it is `dout` itself that is changed, if it can be."""
        saved = self._own()["_saved"]
        if saved is None:
            raise self._no_forward()
        dx = ready(dout, saved.dtype)
        if dx.shape != saved.shape:
            self._check_gradient(dx, saved.shape)
        if not dx.flags.writeable:
            dx = dx.copy()
        flat = dx.ravel()
        backends.current().activation_bwd(flat, flat, saved.ravel(), self._kind, 0.0)
        return dx


class Sigmoid(_Elementwise):
    """``1 / (1 + e^-x)``.

    Attributes
    ----------
    out : ndarray or None
        The result of `forward`.
    """

    _kind = int(Activation.SIGMOID)

    @property
    def out(self):
        return self._saved


class Tanh(_Elementwise):
    """Hyperbolic tangent; `out` is the result of `forward`."""

    _kind = int(Activation.TANH)

    @property
    def out(self):
        return self._saved


class Softplus(_Elementwise):
    """``log(1 + e^x)``; `out` is the result of `forward`."""

    _kind = int(Activation.SOFTPLUS)

    @property
    def out(self):
        return self._saved


class Swish(_Elementwise):
    """``x / (1 + e^-x)``; `x` is the input of `forward`."""

    _kind = int(Activation.SWISH)
    _saves_input = True

    @property
    def x(self):
        return self._saved


class LeakyRelu(_Elementwise):
    """``x`` where ``x > 0``, else ``alpha x``.

    Parameters
    ----------
    alpha : float, default 0.01
        Above 0.

    Attributes
    ----------
    mask : ndarray of bool or None
        Where ``x <= 0``.
    """

    _kind = int(Activation.LEAKY_RELU)
    _saves_input = True

    def __init__(self, alpha=0.01):
        super().__init__()
        if not alpha > 0:
            raise ValueError(f"LeakyRelu: alpha is {alpha!r}; wanted a number above 0")
        self._alpha = self.alpha = float(alpha)

    mask = Relu.mask


# ---- affine ----------------------------------------------------------------------------------------------------------


class Affine(_Layer):
    """``x W + b``, x of any rank: all axes but the first are one row.

    Parameters
    ----------
    W : ndarray, (inputs, outputs)
        float64 or float32; the layer computes in its dtype.
    b : ndarray, (outputs,)

    Attributes
    ----------
    W, b : ndarray
        The arrays themselves, not copies.
    x : ndarray, (rows, inputs)
        Of the last `forward`.
    original_x_shape : tuple
    dW, db : ndarray
        Gradients of the last `backward`; new arrays each time.
    """

    x, original_x_shape, dW, db = _Late(), _Late(), _Late(), _Late()

    def __init__(self, W, b):
        self.W = W
        self.b = b
        self.x = None
        self.original_x_shape = None
        self.dW = None
        self.db = None

    def _weights(self):
        W, b = natural(self.W), self.b
        if W.ndim != 2:
            raise ValueError(f"{self._where()}: W has shape {W.shape}; wanted (inputs, outputs)")
        b = ready(b, W.dtype)
        if b.shape != W.shape[1:]:
            if b.size != W.shape[1]:
                raise ValueError(f"{self._where()}: b has shape {b.shape}; wanted ({W.shape[1]},), as W is {W.shape}")
            b = b.reshape(-1)
        return W, b

    def forward(self, x):
        """``x W + b``.

        Parameters
        ----------
        x : ndarray, (rows, ...)
            As many elements in a row as W has rows.

        Returns
        -------
        ndarray, (rows, outputs)

        Raises
        ------
        ValueError
            If the shapes do not fit.
        """
        W, b = self._weights()
        shape = x.shape
        rows = ready(x, W.dtype)
        if len(shape) != 2:
            if not shape:
                raise ValueError(f"{self._where()}: x is a single number; wanted rows of {W.shape[0]}")
            rows = rows.reshape(shape[0], rows.size // shape[0] if shape[0] else W.shape[0])
        if rows.shape[1] != W.shape[0]:
            raise ValueError(
                f"{self._where()}: x has shape {shape}, rows of {rows.shape[1]}; wanted rows of {W.shape[0]}, as W is "
                f"{W.shape}"
            )
        own = self._own()
        own["original_x_shape"] = shape
        own["x"] = rows
        out = _empty((shape[0], W.shape[1]), W.dtype)
        backends.current().affine_fwd(out, None, rows, W, b, 0, 0.0, 0)
        return out

    def _weight_gradients(self, dout):
        """dW and db alone, for who has no use for dx; `dout` as the kernels want it."""
        own = self._own()
        rows = own["x"]
        if rows is None:
            raise self._no_forward()
        W, _ = self._weights()
        dout = ready(dout, W.dtype)
        self._check_gradient(dout, (rows.shape[0], W.shape[1]))
        own["dW"], own["db"] = dW, db = _empty(W.shape, W.dtype), _empty(W.shape[1], W.dtype)
        backends.current().affine_bwd_dw(dW, db, rows, dout, 0)
        return W, dout

    def backward(self, dout):
        """dx, in the shape of x; dW and db become attributes.

        Parameters
        ----------
        dout : ndarray, (rows, outputs)
        """
        W, dout = self._weight_gradients(dout)
        own = self._own()
        dx, shape = _empty(own["x"].shape, W.dtype), own["original_x_shape"]
        backends.current().affine_bwd_dx(dx, dout, W, None, 0, 0.0, 1.0, 0)
        return dx if len(shape) == 2 else dx.reshape(shape)


# ---- losses ----------------------------------------------------------------------------------------------------------


class SoftmaxWithLoss(_Layer):
    """Softmax, and the mean over rows of ``-log(y[label] + 1e-7)``.

    Attributes
    ----------
    loss : float
    y : ndarray, (rows, classes)
        Probabilities.
    t : ndarray
        Labels, (rows,), or rows of targets such as one-hot ones, (rows, classes); of their rows the loss sees the place
        of the largest element, the gradient all.
    """

    def __init__(self):
        self.t = None
        self._scores = self._labels = self._loss = self._y = None

    @property
    def y(self):
        if self._y is None and self._scores is not None:
            scores = self._scores
            if scores.ndim == 1:
                self._y = softmax(scores)
            else:
                self._y = _empty(scores.shape, scores.dtype)
                backends.current().softmax_fwd(self._y, scores)
        return self._y

    @property
    def loss(self):
        if self._loss is None and self._scores is not None:
            y, labels = self.y, self._labels
            if labels is None:
                self._loss = cross_entropy_error(y, self.t)
            else:
                rows = len(labels)
                self._loss = -(np.log(y[np.arange(rows), labels] + TINY).sum() / rows)
        return self._loss

    def forward(self, x, t):
        """The loss.

        Raises
        ------
        ValueError
            If t fits neither as labels nor as rows of targets, or a label is not 0 .. classes - 1.
        """
        self._look(natural(x), t)
        return self.loss

    def _look(self, x, t):
        """Take scores and targets; what follows is computed when it is asked for. The labels, if t is such."""
        if type(t) is not np.ndarray:
            t = np.asarray(t)
        labels = None
        if x.ndim == 2:
            if t.size != x.size:
                labels = self._checked(t, x)
            elif t.shape != x.shape:
                t = t.reshape(x.shape)
        elif x.ndim == 1:
            if t.size not in (1, x.size):
                raise self._misfit(t, x)
            if t.size != x.size:
                self._checked(t.reshape(1), x.reshape(1, -1))
        else:
            raise ValueError(f"{self._where()}: x has shape {x.shape}; wanted (rows, classes)")
        self._scores, self.t, self._labels = x, t, labels
        self._y = self._loss = None
        return labels

    def _misfit(self, t, x) -> ValueError:
        return ValueError(
            f"{self._where()}: t has shape {t.shape}; wanted labels, {x.shape[:-1]}, or rows of targets, {x.shape}"
        )

    def _checked(self, t, x):
        """t as flat labels; raises where they are not of x."""
        if t.size != x.shape[0] or t.dtype.kind not in "iub":
            if t.size == x.shape[0]:
                raise ValueError(f"{self._where()}: t has dtype {t.dtype}; wanted integer labels or rows of targets")
            raise self._misfit(t, x)
        labels = t.reshape(-1)
        if labels.dtype.kind == "b" or not labels.dtype.isnative or not labels.flags.c_contiguous:
            labels = labels.astype(_I64)
        first = _empty(1, _I64)
        backends.current().find_outside(first, labels, x.shape[1])
        at = first.item()
        if at >= 0:
            raise ValueError(
                f"{self._where()}: t[{at}] is {labels[at]}; wanted labels of 0 to {x.shape[1] - 1}, as x is {x.shape}"
            )
        return labels

    def backward(self, dout=1):
        """``(y - t) / rows``; `dout` is not used, as in the book."""
        y, t, labels = self.y, self.t, self._labels
        if y is None:
            raise self._no_forward()
        if labels is None and t.size != y.size:  # one example of rank 1
            labels, y = t.reshape(1), y.reshape(1, -1)
        if labels is None:
            rows = t.shape[0]
            dx = y - t
            dx /= rows
            return dx if dx.dtype is y.dtype else dx.astype(y.dtype)
        rows = len(labels)
        dx = y.copy()
        dx[np.arange(rows), labels] -= 1
        dx /= rows
        return dx.reshape(self.y.shape)


class _RowsWithLoss(_Layer):
    """A loss of outputs and targets of one shape."""

    def __init__(self):
        self.loss = None
        self.y = None
        self.t = None
        self._dx = None

    def _targets(self, x, t):
        x = natural(x)
        if x.ndim == 1:
            x = x.reshape(-1, 1)
        t = ready(t, x.dtype)
        if t.shape != x.shape:
            if t.size != x.size:
                raise ValueError(f"{self._where()}: x has shape {x.shape}, t has shape {t.shape}; wanted one shape")
            t = t.reshape(x.shape)
        return x, t

    def backward(self, dout=1):
        """``(y - t) / rows``; `dout` is not used, as in the book's losses."""
        if self.y is None:
            raise self._no_forward()
        dx = self.y - self.t
        dx /= dx.shape[0]
        return dx.reshape(self._given)


class IdentityWithLoss(_RowsWithLoss):
    """Squared error, ``sum((y - t)^2) / 2`` divided by the number of rows; y is x itself.

    Attributes
    ----------
    loss, y, t
    """

    def forward(self, x, t):
        """The loss."""
        self._given = _shape(x)
        self.y, self.t = self._targets(x, t)
        difference = (self.y - self.t).reshape(-1)
        self.loss = 0.5 * np.dot(difference, difference) / self.y.shape[0]
        return self.loss


class SigmoidWithLoss(_RowsWithLoss):
    """Sigmoid, and ``-sum(t log(y + 1e-7) + (1 - t) log(1 - y + 1e-7))`` divided by the number of rows.

    Attributes
    ----------
    loss, y, t
    """

    def forward(self, x, t):
        """The loss; t has numbers from 0 to 1."""
        self._given = _shape(x)
        x, self.t = self._targets(x, t)
        self.y = y = _empty(x.shape, x.dtype)
        backends.current().activation_fwd(y.reshape(-1), x.reshape(-1), Activation.SIGMOID, 0.0)
        terms = self.t * np.log(y + TINY) + (1 - self.t) * np.log(1 - y + TINY)
        self.loss = -terms.sum() / y.shape[0]
        return self.loss


# ---- dropout and batch normalisation ---------------------------------------------------------------------------------


class Dropout(_Layer):
    """Dropout as in the book: ``x * mask`` in training, ``x * (1 - ratio)`` otherwise.

    Parameters
    ----------
    dropout_ratio : float, default 0.5

    Attributes
    ----------
    mask : ndarray of bool or None
        ``np.random.rand(*x.shape) > dropout_ratio`` of the last training `forward`.
    """

    _drawn = _Late()  # above 0 where the element is kept

    def __init__(self, dropout_ratio=0.5):
        if not 0 <= dropout_ratio <= 1:
            raise ValueError(f"Dropout: dropout_ratio is {dropout_ratio!r}; wanted a number from 0 to 1")
        self.dropout_ratio = dropout_ratio
        self._drawn = None

    def __getstate__(self):
        state = super().__getstate__()
        return state if self._drawn is None else state | {"_drawn": self._drawn.copy()}

    @property
    def mask(self):
        return None if self._drawn is None else self._drawn > 0

    def forward(self, x, train_flg=True):
        """x with a part of its elements 0, or all scaled; a new array."""
        x = natural(x)
        if not train_flg:
            return x * x.dtype.type(1.0 - self.dropout_ratio)
        kept = self._drawn
        if kept is None or kept.shape != x.shape or kept.dtype is not x.dtype:
            kept = _empty_like(x)  # else the memory of the last mask, which nobody else has: new pages are dear
        self._drawn = draw_kept(kept, self.dropout_ratio)
        return x * kept

    def backward(self, dout):
        """``dout * mask``; a new array."""
        drawn = self._drawn
        if drawn is None:
            raise self._no_forward()
        if dout.shape != drawn.shape:
            self._check_gradient(dout, drawn.shape)
        return dout * drawn


EPSILON = 10e-7
"""Added to the variance before its root is taken, as the book writes it."""


class BatchNormalization(_Layer):
    """Batch normalisation per column, ``gamma (x - mean) / sqrt(var + 10e-7) + beta`` (Ioffe & Szegedy 2015).

    Parameters
    ----------
    gamma, beta : ndarray, (columns,), or number
    momentum : float, default 0.9
        Of the running statistics, ``momentum * running + (1 - momentum) * batch``, which begin at 0.
    running_mean, running_var : ndarray, (columns,), optional

    Attributes
    ----------
    running_mean, running_var : ndarray or None
    dgamma, dbeta : ndarray, (columns,)
        Gradients of the last `backward`.
    input_shape, batch_size
        Of the last `forward`, of the last training one.
    xc, std, xn : ndarray
        x without its mean, its deviation, and their quotient, of the last training `forward`.
    """

    running_mean, running_var, dgamma, dbeta = _Late(), _Late(), _Late(), _Late()
    input_shape, batch_size, _x, _mean, _var = _Late(), _Late(), _Late(), _Late(), _Late()

    def __init__(self, gamma, beta, momentum=0.9, running_mean=None, running_var=None):
        self.gamma = gamma
        self.beta = beta
        self.momentum = momentum
        self.input_shape = None
        self.running_mean = running_mean
        self.running_var = running_var
        self.batch_size = None
        self.dgamma = None
        self.dbeta = None
        self._x = None
        self._mean = None
        self._var = None

    @property
    def xc(self):
        return None if self._x is None else self._x - self._mean

    @property
    def std(self):
        return None if self._x is None else np.sqrt(self._var + EPSILON)

    @property
    def xn(self):
        return None if self._x is None else self.xc / self.std

    def _column(self, what: str, value, columns: int, dtype):
        """gamma, beta or a running statistic as one value for each column."""
        array = ready(value, dtype)
        if array.shape == (columns,):
            return array
        if array.size not in (1, columns):
            raise ValueError(
                f"{self._where()}: {what} has shape {array.shape}, x has {columns} columns; wanted ({columns},) or one "
                "number"
            )
        return np.array(np.broadcast_to(array.reshape(-1), columns))

    def _rows(self, x, dtype=None):
        x = natural(x) if dtype is None else ready(x, dtype)
        if x.ndim == 2:
            return x
        if x.ndim < 2:
            raise ValueError(f"{self._where()}: x has shape {x.shape}; wanted (rows, columns), or images of rank 4")
        return x.reshape(x.shape[0], x.size // x.shape[0] if x.shape[0] else 0)

    def _running(self, n: int, dtype):
        own = self._own()
        if own["running_mean"] is None:  # as the book: then the variances begin anew too
            return np.zeros(n, dtype), np.zeros(n, dtype)
        if own["running_var"] is None:
            raise ValueError(f"{self._where()}: running_var is None, running_mean is not; wanted both or neither")
        return (self._column("running_mean", own["running_mean"], n, dtype),
                self._column("running_var", own["running_var"], n, dtype))

    def _follow(self, rows, mean, var) -> None:
        """What a training `forward` leaves: its rows and their statistics; the running ones go along."""
        # new arrays each time: whoever holds those of before keeps their values
        running_mean, running_var = self._running(len(mean), mean.dtype)
        running_mean, running_var = running_mean.copy(), running_var.copy()
        backends.current().batch_norm_running(running_mean, running_var, mean, var, self.momentum, 1.0)
        self._own().update(running_mean=running_mean, running_var=running_var, _x=rows, _mean=mean, _var=var,
                           batch_size=len(rows), input_shape=rows.shape)

    def forward(self, x, train_flg=True):
        """x normalised, in its shape; a new array.

        Parameters
        ----------
        x : ndarray, (rows, columns) or (rows, channels, height, width)
            Of rank 4: each of the channels * height * width places is a column.
        train_flg : bool, default True
            Whether by the batch's statistics, and the running ones go along; else by the running ones.
        """
        gamma = self.gamma
        is_float = type(gamma) is np.ndarray and gamma.dtype.kind == "f"
        rows = self._rows(x, natural(gamma).dtype if is_float else None)
        (m, n), dtype = rows.shape, rows.dtype
        gamma, beta = self._column("gamma", gamma, n, dtype), self._column("beta", self.beta, n, dtype)
        table = backends.current()
        if train_flg:
            if m == 0:
                raise ValueError(f"{self._where()}: x has shape {rows.shape}; wanted at least one row")
            mean, var = _empty(n, dtype), _empty(n, dtype)
            table.batch_norm_stats(mean, var, rows)
            self._follow(rows, mean, var)
        else:
            mean, var = self._running(n, dtype)
            self._own().update(running_mean=mean, running_var=var)
        self._own()["input_shape"] = x.shape
        y = _empty(rows.shape, dtype)
        table.batch_norm_fwd(y, None, rows, mean, var, gamma, beta, EPSILON, 0, 0.0)
        return y if rows.shape == x.shape else y.reshape(x.shape)

    def backward(self, dout):
        """dx, in the shape of x; dgamma and dbeta become attributes."""
        own = self._own()
        x = own["_x"]
        if x is None:
            raise self._no_forward()
        dout = self._rows(dout, x.dtype)
        self._check_gradient(dout, x.shape)
        n, dtype = x.shape[1], x.dtype
        gamma, mean, var = self._column("gamma", self.gamma, n, dtype), own["_mean"], own["_var"]
        own["dgamma"], own["dbeta"] = dgamma, dbeta = _empty(n, dtype), _empty(n, dtype)
        dx = _empty(x.shape, dtype)
        table = backends.current()
        table.batch_norm_bwd_reduce(dgamma, dbeta, dout, x, None, mean, var, EPSILON, 0, 0.0)
        table.batch_norm_bwd_dx(dx, dout, x, None, mean, var, gamma, dgamma, dbeta, EPSILON, 0, 0.0)
        return dx.reshape((len(x), *own["input_shape"][1:]))
