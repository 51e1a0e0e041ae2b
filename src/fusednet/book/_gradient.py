"""`gradient` of an unmodified network of the book: the ops of its schedule, on kept memory, in one call of the engine.

Reads _plan.py (the schedule), _weights.py, layers.py, fusednet.bind and the walkers; read by _network.py.

a) Arrays are bound once for a number of rows; a call changes only where the input and the gradients are, which are new
   each time: a script may keep them. With labels all ops are one program; with targets Python takes the loss between
   forward and backward.
b) Afterwards the layers' attributes are what the book's would be: layers are told who has them (`Left`), and take them
   from there when they are looked at. Their arrays are used again by the next call.
c) Running statistics are brought up to date by ops, in memory of ours; a layer takes copies of them. A layer that has
   taken them may have changed them, so ours are then made from its own.
"""

import math
import operator

import numpy as np

from fusednet import backends, threads
from fusednet.backends import interp
from fusednet.backends.table import SAVES_Z
from fusednet.bind import BoundProgram, Cell, FromCell, bound
from fusednet.book import _plan
from fusednet.book._draws import draw_kept
from fusednet.book._weights import LateWeights, Pool, Weights
from fusednet.book.layers import Affine, BatchNormalization, Dropout, SoftmaxWithLoss, _Elementwise
from fusednet.cursor import fresh
from fusednet.phases import schedule
from fusednet.plan import FIRST_SUMS, Flat

_ONE_STEP = np.empty((1, 0))
"""The numbers of a step that has none."""


def blocks(network) -> tuple | None:
    """What `network` is made of; None where it is not as it was built."""
    found, depth = [], network.hidden_layer_num + 1
    layers = iter(network.layers.items())
    dtype, inputs = None, None
    if type(network.last_layer) is not SoftmaxWithLoss or not _unmodified(network.last_layer):
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
                options |= {"kind": layer._kind, "alpha": layer._alpha}
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
        self._last, self._decay, params = network.last_layer, network.weight_decay_lambda, network.params
        self._arrays = list(params.values())
        self._whole = params if type(params) is Weights and params.whole() else None
        self.layers = list(network.layers.values())
        self._affines = [(layer, layer.W, layer.b) for layer in self.layers if type(layer) is Affine]
        self._norms = [(layer, layer.gamma, layer.beta, layer.momentum) for layer in self.layers
                       if type(layer) is BatchNormalization]
        self._dropouts = [(layer, layer.dropout_ratio) for layer in self.layers if type(layer) is Dropout]

    def holds(self, network) -> bool:
        """Whether nothing has been changed but what arrays hold."""
        if not (self._table is backends.current() and self._threads == threads.get_num_threads()
                and network.last_layer is self._last and network.weight_decay_lambda == self._decay
                and list(network.layers.values()) == self.layers and self._has_arrays(network.params)):
            return False
        for layer in (*self.layers, self._last):
            own = layer.__dict__
            if "forward" in own or "backward" in own:
                return False
        for layer, W, b in self._affines:
            if layer.W is not W or layer.b is not b:
                return False
        for layer, gamma, beta, momentum in self._norms:
            if layer.gamma is not gamma or layer.beta is not beta or layer.momentum != momentum:
                return False
        return all(layer.dropout_ratio == ratio for layer, ratio in self._dropouts)

    def _has_arrays(self, params) -> bool:
        if params is self._whole and params.whole():
            return True
        return len(params) == len(self._arrays) and all(map(operator.is_, params.values(), self._arrays))


def _unmodified(layer) -> bool:
    return layer is not None and "forward" not in layer.__dict__ and "backward" not in layer.__dict__


def _plain(array, rank: int, dtype=None, size: int | None = None) -> bool:
    if type(array) is not np.ndarray or array.ndim != rank or not array.flags.carray:
        return False
    if dtype is None:
        return array.dtype in (np.float64, np.float32)
    return array.dtype == dtype and array.size == size


class Left:
    """What a schedule's last call left, for the layers' attributes. It has no layers: they have it.

    Attributes
    ----------
    names : dict of int to str
        The layers' names by their `id`.
    arrays : dict of str to ndarray
        By tensor.
    running : dict of str to tuple
        Mean and variance by the name of the batch normalisation.
    x : ndarray
    grads : Weights or None
        None before the first call, and where a call was interrupted.
    """

    def __init__(self, network, made_of, running: dict):
        self.names = {id(layer): name for name, layer in network.layers.items()}
        self.arrays, self.running, self.x, self.grads = {}, running, None, None
        self._blocks = made_of

    def of(self, layer) -> dict:
        """The attributes of the book's layer by name."""
        name, arrays = self.names[id(layer)], self.arrays
        kind = name.rstrip("0123456789")
        k = int(name[len(kind) :])
        block, below = self._blocks[k - 1], self._blocks[k - 2]
        grads = {} if self.grads is None else self.grads
        if kind == "Affine":
            x = self.x if k == 1 else arrays[f"{'y' if below.ratio is None else 'd'}{k - 1}"]
            return {"x": x, "original_x_shape": x.shape, "dW": grads.get(f"W{k}"), "db": grads.get(f"b{k}")}
        if kind == "Dropout":
            return {"_drawn": arrays[f"drawn{k}"]}
        if kind == "BatchNorm":
            mean, var = (array.copy() for array in self.running[name])
            u = arrays[f"u{k}"]
            return {"running_mean": mean, "running_var": var, "_x": u, "_mean": arrays[f"mean{k}"],
                    "_var": arrays[f"var{k}"], "batch_size": len(u), "input_shape": u.shape,
                    "dgamma": grads.get(f"gamma{k}"), "dbeta": grads.get(f"beta{k}")}
        return {"_saved": arrays[f"z{k}" if block.kind in SAVES_Z else f"y{k}"]}


class Gradient:
    """The schedule of one network for batches of `rows` rows.

    Parameters
    ----------
    network : Network
    made_of : tuple of Block
        What `blocks` found.
    rows : int
    others : iterable of Gradient
        The same network's, for other numbers of rows.
    """

    def __init__(self, network, made_of, rows: int, others=()):
        self.blocks, self.rows = made_of, rows
        self.dtype = dtype = network.params["W1"].dtype
        self.snapshot = Snapshot(network)
        self._layers = self.snapshot.layers
        self.left = Left(network, made_of, self._statistics(network, others))
        b = _plan.Builder(made_of, str(dtype))
        b.tensor("x", "m", made_of[0].inputs)
        b.tensor("labels", "m", dtype="int32")
        z = b.forward("x")
        turn = len(b.ops)
        dz = b.tensor("dz", "m", made_of[-1].width)
        b.call("softmax_xent_labels", b.tensor("loss", "m"), dz, z, "labels", None, 0.0, 1 / rows)
        b.backward("x", dz)
        b.running()
        self.arrays = self.left.arrays
        for name, tensor in b.tensors.items():
            if tensor.region == "params":
                self.arrays[name] = network.params[name]
            elif tensor.region == "work" and name != "x":
                shape = tuple(rows if extent == "m" else extent for extent in tensor.shape)
                self.arrays[name] = np.zeros(shape, tensor.dtype)
        self._norms = [(network.layers[name], *statistics) for name, statistics in self.left.running.items()]
        for name, (mean, var) in self.left.running.items():
            k = name.removeprefix("BatchNorm")
            self.arrays[f"running_mean{k}"], self.arrays[f"running_var{k}"] = mean, var
        self.z, self.dz = self.arrays[z], self.arrays[dz]
        self.labels = self.arrays["labels"]
        self._pool = Pool(network.params)
        self.x, self.grads = Cell(np.empty((rows, made_of[0].inputs), dtype)), Cell(network.params.vector)
        self.cells = {"x": FromCell(self.x, self.x.array.shape)}
        for key, begin, _, shape in network.params.layout:
            self.cells[f"d {key}"] = FromCell(self.grads, shape, begin)
        parts = {"forward": b.ops[:turn], "backward": b.ops[turn + 1 :], "all": b.ops}
        self._ops = {name: schedule(ops, b.tensors, rows, len(ops)) for name, ops in parts.items()}
        self._runs: dict = {}
        self.masks = [(network.layers[f"Dropout{p.idx}"], self.arrays[f"drawn{p.idx}"]) for p in made_of
                      if p.ratio is not None]

    def _statistics(self, network, others) -> dict:
        """Running means and variances, in memory that all schedules of these layers have in common."""
        sizes = {name: layer.gamma.size for name, layer in network.layers.items() if type(layer) is BatchNormalization}
        for other in others:
            if other.dtype == self.dtype and other.snapshot.layers == self.snapshot.layers and \
                    sizes == {name: mean.size for name, (mean, _) in other.left.running.items()}:
                return other.left.running
        return {name: (np.zeros(size, self.dtype), np.zeros(size, self.dtype)) for name, size in sizes.items()}

    def _argument(self, argument):
        if isinstance(argument, Flat):
            return self.arrays[argument.tensor].reshape(-1)
        if not isinstance(argument, str):
            return argument
        return self.cells[argument] if argument in self.cells else self.arrays[argument]

    def _run(self, ops: str):
        """What walks "forward", "backward" or "all". It keeps what is in the cells when it is made."""
        if ops not in self._runs:
            calls = bound(self._ops[ops], self._argument, self.rows, threads.get_num_threads())
            program = BoundProgram(calls, len(calls), self.rows)
            self._runs[ops] = interp.walker(backends.current()).run(
                program, None, self.rows, self.rows, 1, None, None, 0, fresh(),
                np.zeros(len(FIRST_SUMS)), np.zeros((1, len(FIRST_SUMS))), str(self.dtype), False)
        return self._runs[ops]

    def __call__(self, network, x, t) -> LateWeights:
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
        left = self.left
        runs = [self._run(ops) for ops in (("forward", "backward") if labels is None else ("all",))]
        left.grads = self.grads.array = None  # the pool counts who has gradients of before
        grads, address = self._pool.take()
        self.x.put(x)
        self.grads.array, self.grads.address[0] = grads.vector, address
        for layer, drawn in self.masks:
            draw_kept(drawn, layer.dropout_ratio)
        for layer, mean, var in self._norms:
            if layer._left is None or layer._left.running is not left.running:
                mean[:], var[:] = layer._running(len(mean), self.dtype)
        if labels is not None:
            self.labels[:] = labels
        for run in runs:
            run.advance(_ONE_STEP, math.inf)
            if labels is None and run is runs[0]:
                self.dz[:] = network.last_layer.backward()
        left.x, left.grads = x, grads
        for layer in self._layers:
            layer._left = left
        return grads
