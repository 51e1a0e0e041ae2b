"""What both of the book's networks are made of: weights drawn in its order, layers in a row, gradients collected.

Reads layers.py, _gradient.py, gradient.py, _arrays.py; read by multi_layer_net.py and multi_layer_net_extend.py.

a) `params` and `layers` share the arrays: who changes ``params['W1']`` in place changes the layer.
b) The gradient with respect to the network's input, which the book computes and throws away, is not computed.
"""

import operator
from collections import OrderedDict
from numbers import Real

import numpy as np

from fusednet import backends
from fusednet.book._arrays import get_dtype, ready
from fusednet.book._gradient import Gradient, blocks
from fusednet.book._weights import Weights
from fusednet.book.gradient import numerical_gradient
from fusednet.book.layers import (
    Affine,
    BatchNormalization,
    Dropout,
    LeakyRelu,
    Relu,
    Sigmoid,
    SoftmaxWithLoss,
    Softplus,
    Swish,
    Tanh,
)

ACTIVATIONS = {"sigmoid": Sigmoid, "relu": Relu, "tanh": Tanh, "leaky_relu": LeakyRelu, "swish": Swish,
               "softplus": Softplus}
"""By the names that `activation` takes; the book has the first two."""

_SCHEDULES = 2  # numbers of rows for which memory is kept: those of a batch, and of the short one at the end

_HE, _XAVIER = ("relu", "he"), ("sigmoid", "xavier")


class Network:
    """Affine layers with an activation between, and a softmax with cross entropy behind.

    Subclasses say how `predict` and `loss` are called.
    """

    use_batchnorm = False
    use_dropout = False

    def _build(self, input_size, hidden_size_list, output_size, activation, weight_init_std, weight_decay_lambda,
               dropout_ration=0.5):
        where = type(self).__name__
        sizes = {"input_size": [input_size], "hidden_size_list": list(hidden_size_list), "output_size": [output_size]}
        for name, values in sizes.items():
            for value in values:
                if not hasattr(value, "__index__") or operator.index(value) < 1:
                    raise ValueError(f"{where}: {name} is {values if len(values) > 1 else value!r}; wanted whole "
                                     "numbers, 1 or more")
        if activation not in ACTIVATIONS:
            raise ValueError(f"{where}: activation is {activation!r}; known: {', '.join(ACTIVATIONS)}")
        self.input_size = input_size
        self.output_size = output_size
        self.hidden_size_list = hidden_size_list
        self.hidden_layer_num = len(hidden_size_list)
        self.weight_decay_lambda = weight_decay_lambda
        params = self._drawn_weights(weight_init_std)
        if self.use_batchnorm:
            for idx, width in enumerate(hidden_size_list, 1):
                params[f"gamma{idx}"] = np.ones(width, get_dtype())
                params[f"beta{idx}"] = np.zeros(width, get_dtype())
        self.params = Weights.pack(params)
        self.layers = OrderedDict()
        for idx in range(1, self.hidden_layer_num + 1):
            self._add("Affine", idx, Affine(self.params[f"W{idx}"], self.params[f"b{idx}"]))
            if self.use_batchnorm:
                self._add("BatchNorm", idx, BatchNormalization(self.params[f"gamma{idx}"], self.params[f"beta{idx}"]))
            self._add("Activation_function", idx, ACTIVATIONS[activation]())
            if self.use_dropout:
                self._add("Dropout", idx, Dropout(dropout_ration))
        idx = self.hidden_layer_num + 1
        self._add("Affine", idx, Affine(self.params[f"W{idx}"], self.params[f"b{idx}"]))
        self.last_layer = SoftmaxWithLoss()

    def _add(self, kind: str, idx: int, layer) -> None:
        layer.name = f"{kind}{idx}"
        self.layers[layer.name] = layer

    def _drawn_weights(self, weight_init_std) -> dict:
        params = {}
        widths = [self.input_size, *self.hidden_size_list, self.output_size]
        name = str(weight_init_std).lower()
        number = isinstance(weight_init_std, Real) and 0 <= weight_init_std < np.inf
        for idx in range(1, len(widths)):
            scale = weight_init_std
            if name in _HE:
                scale = np.sqrt(2.0 / widths[idx - 1])
            elif name in _XAVIER:
                scale = np.sqrt(1.0 / widths[idx - 1])
            elif not number:
                known = ", ".join(map(repr, _HE + _XAVIER))
                raise ValueError(f"{type(self).__name__}: weight_init_std is {weight_init_std!r}; wanted a number "
                                 f"from 0 on (standard deviation) or one of {known}")
            drawn = scale * np.random.randn(widths[idx - 1], widths[idx])
            params[f"W{idx}"] = drawn.astype(get_dtype(), copy=False)
            params[f"b{idx}"] = np.zeros(widths[idx], get_dtype())
        return params

    def _weight_decay(self) -> float:
        if not self.weight_decay_lambda:
            return 0
        total = 0
        for idx in range(1, self.hidden_layer_num + 2):
            W = self.params[f"W{idx}"].reshape(-1)
            total += 0.5 * self.weight_decay_lambda * float(np.dot(W, W))
        return total

    def _accuracy(self, z, t) -> float:
        labels = np.argmax(z, axis=1)
        t = np.asarray(t)
        if t.ndim == 2 and t.shape[1] == 1 and z.shape[1] > 1:
            t = t[:, 0]  # labels, as the loss takes them
        elif t.ndim != 1:
            t = np.argmax(t, axis=1)
        if len(t) != len(labels):
            raise ValueError(f"{type(self).__name__}: x has {len(labels)} rows, t has {len(t)}; wanted as many")
        return np.sum(labels == t) / float(len(labels))

    def _numerical_gradient(self, loss) -> dict:
        def of_weight(_):
            return loss()

        return {key: numerical_gradient(of_weight, self.params[key]) for key in self._keys()}

    def _keys(self):
        for idx in range(1, self.hidden_layer_num + 2):
            yield from (f"W{idx}", f"b{idx}")
            if self.use_batchnorm and idx != self.hidden_layer_num + 1:
                yield from (f"gamma{idx}", f"beta{idx}")

    def _fused(self, owner, x, t):
        """The gradients at one go, where nothing has been changed since `owner` built this; else None."""
        own = self.__dict__
        if type(self).predict is not owner.predict or "predict" in own or type(x) is not np.ndarray or x.ndim != 2:
            return None
        schedules = own.setdefault("_schedules", {})
        schedule = schedules.get(len(x))
        if schedule is None or not schedule.snapshot.holds(self):
            parts = blocks(self) if len(x) and type(self.params) is Weights and self.params.whole() else None
            if parts is None:
                return None
            schedules.pop(len(x), None)
            if len(schedules) == _SCHEDULES:
                del schedules[next(iter(schedules))]
            schedule = schedules[len(x)] = Gradient(self, parts, len(x), tuple(schedules.values()))
        if x.shape[1] != schedule.blocks[0].inputs:
            return None
        grads = schedule(self, ready(x, schedule.dtype), t)
        return self._decayed(grads) if self.weight_decay_lambda else grads

    def _decayed(self, grads: Weights) -> Weights:
        """Others that have the weight decay's part too; the layers keep theirs without it."""
        result = Weights(grads.layout, grads.vector.copy())
        for idx in range(1, self.hidden_layer_num + 2):
            gradient, W = result[f"W{idx}"].reshape(-1), self.params[f"W{idx}"].reshape(-1)
            backends.current().penalty_gradient(gradient, W, 0.0, self.weight_decay_lambda)
        return result

    def __getstate__(self):
        return {key: value for key, value in self.__dict__.items() if key != "_schedules"}

    def _backward(self) -> None:
        """Through all layers; the first one's input has no use for a gradient."""
        dout = self.last_layer.backward(1)
        first, *others = self.layers.values()
        for layer in reversed(others):
            dout = layer.backward(dout)
        if type(first) is Affine:
            first._weight_gradients(dout)
        else:
            first.backward(dout)

    def _gradients(self, decayed) -> dict:
        """The layers' gradients by the keys of `params`; ``decayed(idx)`` is the weight whose decay is added."""
        grads = {}
        for idx in range(1, self.hidden_layer_num + 2):
            affine = self.layers[f"Affine{idx}"]
            grads[f"W{idx}"] = affine.dW
            if self.weight_decay_lambda:
                grads[f"W{idx}"] = affine.dW + self.weight_decay_lambda * decayed(idx)
            grads[f"b{idx}"] = affine.db
            if self.use_batchnorm and idx != self.hidden_layer_num + 1:
                norm = self.layers[f"BatchNorm{idx}"]
                grads[f"gamma{idx}"] = norm.dgamma
                grads[f"beta{idx}"] = norm.dbeta
        return grads
