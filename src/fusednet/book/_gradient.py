"""`gradient` of an unmodified network of the book: the ops of its schedule, on kept memory, in one call of the engine.

Reads _plan.py (the schedule), _weights.py, layers.py, fusednet.bind and the walkers; read by _network.py.

a) Arrays are bound once for a number of rows; a call changes only where the input and the gradients are, which are new
   each time: a script may keep them. With labels all ops are one program; with targets Python takes the loss between
   forward and backward.
b) Afterwards the layers' attributes are what the book's would be. Their arrays are used again by the next call.
"""

import math

import numpy as np

from fusednet import backends, threads
from fusednet.backends import interp
from fusednet.backends.table import parts
from fusednet.bind import BoundOp, BoundProgram, Cell, FromCell, cost
from fusednet.book import _plan
from fusednet.book._weights import Weights
from fusednet.book.layers import Affine, BatchNormalization, Dropout, SoftmaxWithLoss, _Elementwise
from fusednet.plan import FIRST_SUMS, Flat

_ONE_STEP = np.empty((1, 0))
"""The numbers of a step that has none."""


def blocks(network) -> tuple | None:
    """What `network` is made of; None where it is not as it was built."""
    found, depth = [], network.hidden_layer_num + 1
    layers = iter(network.layers.items())
    dtype, inputs = None, None
    if type(network.last_layer) is not SoftmaxWithLoss or "forward" in network.last_layer.__dict__:
        return None
    for k in range(1, depth + 1):
        wanted = [f"Affine{k}"]
        if k < depth:
            wanted += [f"BatchNorm{k}"] * bool(network.use_batchnorm) + [f"Activation_function{k}"]
            wanted += [f"Dropout{k}"] * bool(network.use_dropout)
        options = {}
        for name in wanted:
            key, layer = next(layers, (None, None))
            if key != name or not _unmodified(layer):
                return None
            if name.startswith("Affine"):
                W, b = network.params.get(f"W{k}"), network.params.get(f"b{k}")
                if type(layer) is not Affine or layer.W is not W or layer.b is not b or not _plain(W, 2):
                    return None
                dtype, inputs = dtype or W.dtype, inputs or W.shape[0]
                if W.shape[0] != inputs or not _plain(b, 1, dtype, W.shape[1]) or W.dtype != dtype:
                    return None
                sizes = W.shape
            elif name.startswith("BatchNorm"):
                if type(layer) is not BatchNormalization:
                    return None
                for what in ("gamma", "beta"):
                    array = network.params.get(f"{what}{k}")
                    if getattr(layer, what) is not array or not _plain(array, 1, dtype, sizes[1]):
                        return None
                options["momentum"] = layer.momentum
            elif name.startswith("Dropout"):
                if type(layer) is not Dropout:
                    return None
                options["ratio"] = layer.dropout_ratio
            elif isinstance(layer, _Elementwise) and type(layer).__module__ == _Elementwise.__module__:
                options |= {"kind": int(layer._kind), "alpha": layer._alpha}
            else:
                return None
        found.append(_plan.Block(k, *sizes, **options))
        inputs = sizes[1]
    if next(layers, None) is not None:
        return None
    return tuple(found)


class Snapshot:
    """Which layers, arrays and options a network has: whether what was bound to them can be used again."""

    def __init__(self, network):
        self._table, self._threads = backends.current(), threads.get_num_threads()
        self._layers = list(network.layers.values())
        self._references = self._found(network)

    @staticmethod
    def _found(network) -> list:
        # arrays by their addresses as objects: whoever keeps a snapshot keeps the arrays too
        found = [network.last_layer, network.weight_decay_lambda, *map(id, network.params.values())]
        for layer in network.layers.values():
            kind = type(layer)
            if kind is Affine:
                found += (id(layer.W), id(layer.b))
            elif kind is BatchNormalization:
                found += (id(layer.gamma), id(layer.beta), layer.momentum)
            elif kind is Dropout:
                found.append(layer.dropout_ratio)
        return found

    def holds(self, network) -> bool:
        """Whether nothing has been changed but what arrays hold."""
        layers = list(network.layers.values())
        return (
            self._table is backends.current()
            and self._threads == threads.get_num_threads()
            and layers == self._layers
            and self._found(network) == self._references
            and not any("forward" in layer.__dict__ or "backward" in layer.__dict__ for layer in layers)
        )


def _unmodified(layer) -> bool:
    return layer is not None and "forward" not in layer.__dict__ and "backward" not in layer.__dict__


def _plain(array, rank: int, dtype=None, size: int | None = None) -> bool:
    if type(array) is not np.ndarray or array.ndim != rank or not array.flags.carray:
        return False
    if dtype is None:
        return array.dtype in (np.float64, np.float32)
    return array.dtype == dtype and array.size == size


class Gradient:
    """The schedule of one network for batches of `rows` rows.

    Parameters
    ----------
    network : Network
    made_of : tuple of Block
        What `blocks` found.
    rows : int
    """

    def __init__(self, network, made_of, rows: int):
        self.blocks, self.rows = made_of, rows
        self.dtype = dtype = network.params["W1"].dtype
        self.snapshot, self._params = Snapshot(network), list(network.params.values())
        b = _plan.Builder(made_of, str(dtype))
        b.tensor("x", "m", made_of[0].inputs)
        z = b.forward("x")
        turn = len(b.ops)
        dz = b.tensor("dz", "m", made_of[-1].width)
        b.backward("x", dz)
        self.arrays = {}
        for name, tensor in b.tensors.items():
            if tensor.region == "params":
                self.arrays[name] = network.params[name]
            elif tensor.region == "work" and name != "x":
                shape = tuple(rows if extent == "m" else extent for extent in tensor.shape)
                self.arrays[name] = np.zeros(shape, tensor.dtype)
        self.z, self.dz = self.arrays[z], self.arrays[dz]
        self.labels, self.loss = np.zeros(rows, np.int32), np.empty(rows, dtype)
        self.weights = network.params
        self.x, self.grads = Cell(np.empty((rows, made_of[0].inputs), dtype)), Cell(network.params.vector)
        self.cells = {"x": FromCell(self.x, self.x.array.shape)}
        for key, begin, _, shape in network.params.layout:
            self.cells[f"d {key}"] = FromCell(self.grads, shape, begin)
        ops = [self._bound(op.kernel, tuple(map(self._argument, op.arguments))) for op in b.ops]
        loss = self._bound("softmax_xent_labels", (self.loss, self.dz, self.z, self.labels, None, 0.0, 1 / rows))
        self._ops = {"forward": ops[:turn], "backward": ops[turn:], "all": [*ops[:turn], loss, *ops[turn:]]}
        self._runs: dict = {}
        self.masks = [(network.layers[f"Dropout{p.idx}"], self.arrays[f"drawn{p.idx}"]) for p in made_of
                      if p.ratio is not None]
        self.norms = [(network.layers[f"BatchNorm{p.idx}"], self.arrays[f"mean{p.idx}"], self.arrays[f"var{p.idx}"],
                       self.arrays[f"u{p.idx}"]) for p in made_of if p.momentum is not None]

    def _argument(self, argument):
        if isinstance(argument, Flat):
            return self.arrays[argument.tensor].reshape(-1)
        if not isinstance(argument, str):
            return argument
        return self.cells[argument] if argument in self.cells else self.arrays[argument]

    @staticmethod
    def _bound(kernel: str, arguments: tuple) -> BoundOp:
        return BoundOp(kernel, arguments, parts(cost(kernel, arguments), threads.get_num_threads()))

    def _walk(self, ops: str) -> None:
        """Do "forward", "backward" or "all"."""
        if ops not in self._runs:
            program = BoundProgram(tuple(self._ops[ops]), len(self._ops[ops]), self.rows)
            self._runs[ops] = interp.walker(backends.current()).run(
                program, None, self.rows, self.rows, 1, None, None, 0, np.zeros(interp.CURSOR_FIELDS, np.int64),
                np.zeros(len(FIRST_SUMS)), np.zeros((1, len(FIRST_SUMS))), str(self.dtype))
        self._runs[ops].advance(_ONE_STEP, math.inf)

    def __call__(self, network, x, t) -> Weights:
        """The gradients by the keys of params.

        Parameters
        ----------
        network : Network
        x : ndarray, (rows, inputs)
            Contiguous, of the network's dtype.
        t : ndarray
            As `SoftmaxWithLoss` takes it.
        """
        labels = network.last_layer._look(self.z, t)
        grads = self.weights.like()
        self.x.put(x)
        self.grads.put(grads.vector)
        for layer, drawn in self.masks:
            np.greater(np.random.rand(*drawn.shape), layer.dropout_ratio, out=drawn)
        if labels is None:
            self._walk("forward")
            self.dz[:] = network.last_layer.backward()
            self._walk("backward")
        else:
            self.labels[:] = labels
            self._walk("all")
        self._tell(network, x, grads)
        return grads

    def _tell(self, network, x, grads) -> None:
        """Give the layers what the book's would have now."""
        arrays, layers = self.arrays, network.layers
        for layer, mean, var, u in self.norms:
            layer._follow(u, mean, var)
        for layer, drawn in self.masks:
            layer._drawn = drawn
        for block in self.blocks:
            k = block.idx
            affine = layers[f"Affine{k}"]
            affine.x, affine.original_x_shape = x, x.shape
            affine.dW, affine.db = grads[f"W{k}"], grads[f"b{k}"]
            if block.momentum is not None:
                norm = layers[f"BatchNorm{k}"]
                norm.dgamma, norm.dbeta = grads[f"gamma{k}"], grads[f"beta{k}"]
            if k < len(self.blocks):
                layers[f"Activation_function{k}"]._saved = arrays[f"z{k}" if f"z{k}" in arrays else f"y{k}"]
                x = arrays[f"y{k}" if block.ratio is None else f"d{k}"]
