"""The arrays of one network: weights, gradients, moments, running statistics, the arena.

Reads params.py, spec.py, initializers.py; read by model.py, runner.py, predictor.py, stepper.py.

a) All arrays are NumPy's, on 64-byte boundaries; the engine only borrows them.
b) `parameters` are views of the flat vector `params`: who writes into one changes the network.
c) Gradients, moments and the arena are made when training begins; a network that only predicts has none. A large one's
   gradients are in its arena, in blocks (blocks.py), unless something asks for all of them.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from fusednet import initializers, params
from fusednet.backends import current
from fusednet.optimizers import Optimizer
from fusednet.spec import Activation, BatchNormalization, Dense, Network

_BLOCK = 4096  # rows that are looked at together when the normalisation is learnt


class _OfThread(threading.local):
    """The arenas of a thread, by how many steps it has left for Python (`Memory.within_step`)."""

    def __init__(self):
        self.arenas: dict[int, np.ndarray] = {}
        self.within = 0


class Memory:
    """The arrays of `network`, whose `features` are known.

    Attributes
    ----------
    layout : params.Layout
    params : ndarray, (layout.size,)
    parameters : dict of str to ndarray
        Views of `params` by name.
    running : dict of str to ndarray
        Running means and variances of the batch normalisations.
    normalization : dict of str to ndarray
        "layer/mean" and "layer/scale" of the normalisation, (features,).
    grads : ndarray or None
    slices : list of ndarray
        Gradients of the slices of a batch but the first, where a plan makes them by slices, each like `params`; the
        first slice's are made in `grads`, to which these are added.
    state : dict of str to ndarray
        The optimizer's moments and average, each like `params`.
    trained : dict of str to ndarray
        `params` and `running` as the last step left them, where the end of a training put others in their place
        (an average, those of the best epoch); else empty.
    ending : bool
        Whether that is being done.
    """

    def __init__(self, network: Network):
        self.network = network
        self.layout = params.layout(network)
        self.params = params.empty(self.layout.size, network.dtype, 0)
        self.parameters = self.views(self.params)
        self.running = {
            name: params.empty(columns, network.dtype, 1 if name.endswith("var") else 0)
            for name, columns in self.layout.running.items()
        }
        self.normalization: dict[str, np.ndarray] = {}
        layer = network.normalization
        if layer is not None:
            for name, fill in (("mean", 0), ("scale", 1)):
                self.normalization[f"{layer.name}/{name}"] = params.empty(network.features, network.dtype, fill)
        self.normalized = layer is None
        if layer is not None and layer.mean is not None:
            self.set_normalization(np.asarray(layer.mean), np.asarray(layer.variance))
        self.grads: np.ndarray | None = None
        self.slices: list[np.ndarray] = []
        self.state: dict[str, np.ndarray] = {}
        self.trained: dict[str, np.ndarray] = {}
        self.ending = False
        self._predictions: dict[int, np.ndarray] = {}
        self._of_thread = _OfThread()

    def views(self, vector: np.ndarray) -> dict[str, np.ndarray]:
        """The weight arrays as views of a flat vector, in the order of the layers."""
        return {name: vector[at.begin : at.end].reshape(at.shape) for name, at in self.layout.places.items()}

    def __getstate__(self) -> dict:
        """What is pickled and copied; views and alignment are made anew."""
        names = ("network", "params", "running", "normalization", "normalized", "state", "trained")
        return {name: getattr(self, name) for name in names}

    def __setstate__(self, state: dict) -> None:
        self.__init__(state["network"])
        self.params[:] = state["params"]
        for name in ("running", "normalization"):
            for key, array in state[name].items():
                getattr(self, name)[key][:] = array
        self.normalized = state["normalized"]
        self.keep(state["state"], state["trained"])

    def initialize(self, seed: int, *, kernels: bool = True) -> None:
        """Draw all weights anew, without `kernels` all but those of dense layers; running statistics begin again."""
        following = _activations(self.network)
        bits = np.random.Philox(key=[seed % 2**64, 0])
        rng, state = np.random.Generator(bits), bits.state
        for i, (name, at) in enumerate(self.layout.places.items()):
            if not kernels and name.endswith("/kernel"):
                continue
            state["state"]["key"][1] = i  # Philox(key=[seed, i]), without the system being asked for a seed
            bits.state = state
            kind = following.get(at.layer.name, "linear")
            initializers.fill(self.parameters[name], at.initializer, rng, kind)
        for name, array in self.running.items():
            array.fill(1 if name.endswith("var") else 0)

    def set_normalization(self, mean: np.ndarray, variance: np.ndarray) -> None:
        """Let the normalisation shift by `mean` and divide by the root of `variance`.

        By 1 where it is 0, and where it is so small that numbers of the network's dtype do not vary.
        """
        layer = self.network.normalization
        for name, values in (("mean", mean), ("variance", variance)):
            if values.size not in (1, self.network.features):
                raise ValueError(f"{layer.name}: {name} has {values.size} values, the data have "
                                 f"{self.network.features} features; wanted one for each, or one for all")
        deviation, info = np.sqrt(variance), np.finfo(self.network.dtype)
        if (deviation > 1 / info.tiny).any():
            column = int(np.argmax(deviation > 1 / info.tiny))
            raise ValueError(f"{layer.name}: column {column} of x has a standard deviation of "
                             f"{deviation.flat[column]:.3g}, too large for a network of {info.dtype}; wanted another "
                             "unit, or dtype='float64'")
        self.normalization[f"{layer.name}/mean"][:] = mean
        self.normalization[f"{layer.name}/scale"][:] = 1 / np.where(deviation > 1 / info.max, deviation, 1)
        self.normalized = True

    def prepare(self, optimizer: Optimizer, *, gradients: int = 1) -> None:
        """Make what training needs, so many vectors of all weights' `gradients` (`Plan.gradients`); moments that are
        there stay, `trained` is let go."""
        self.trained = {}
        self.make_gradients(gradients)
        wanted = list(optimizer.state) + (["average"] if optimizer.use_ema else [])
        for name in wanted:
            if name not in self.state:
                self.state[name] = params.empty(self.layout.size, self.network.dtype, 0)
                if name == "average":
                    self.state[name][:] = self.params
                else:
                    for view in self.views(self.state[name]).values():
                        view.fill(optimizer.initial(name))
        for name in set(self.state) - set(wanted):
            del self.state[name]

    def make_gradients(self, count: int = 1) -> None:
        """Make `count` vectors of all gradients, those that are not there."""
        if count and self.grads is None:
            self.grads = params.empty(self.layout.size, self.network.dtype, 0)
        while len(self.slices) < count - 1:
            self.slices.append(params.empty(self.layout.size, self.network.dtype, 0))

    def keep(self, state: dict[str, np.ndarray], trained: dict[str, np.ndarray]) -> None:
        """Take `state` and `trained` over from a file, in place of what is there."""
        self.trained = dict(trained)
        self.state.clear()
        for name, array in state.items():
            self.state[name] = params.empty(self.layout.size, self.network.dtype)
            self.state[name][:] = array

    def adapt(self, x: np.ndarray, chosen: np.ndarray | None) -> None:
        """Learn the normalisation from the rows `chosen` of x (None: all), in one pass over them."""
        table, features = current(), self.network.features
        count, mean, squares = 0, np.zeros(features), np.zeros(features)
        rows = len(x) if chosen is None else len(chosen)
        # squares of what float32 can hold pass float32
        block = np.empty((min(rows, _BLOCK), features))
        some_mean, some_var = (np.empty(features) for _ in range(2))
        for begin in range(0, rows, _BLOCK):
            part = block[: min(_BLOCK, rows - begin)]
            index = None if chosen is None else chosen[begin : begin + len(part)]
            table.gather_rows(part, x[begin:] if index is None else x, index, None, None)
            table.batch_norm_stats(some_mean, some_var, part)
            # mean and squares about it of two sets joined (Chan, Golub & LeVeque 1983)
            delta, total = some_mean - mean, count + len(part)
            mean += delta * (len(part) / total)
            squares += some_var * len(part) + delta**2 * (count * len(part) / total)
            count = total
        self.set_normalization(mean, squares / count)

    def finite(self) -> bool:
        """Whether all weights are finite numbers."""
        first = np.empty(1, np.int64)
        current().find_nonfinite(first, self.params.reshape(1, -1))
        return bool(first[0] < 0)

    def average_weights(self) -> None:
        """Put the moving average in the weights' place."""
        self.params[:] = self.state["average"]

    def remember(self) -> dict[str, np.ndarray]:
        """Copies for `trained`."""
        return {name: array.copy() for name, array in (("params", self.params), *self.running.items())}

    def let_go(self) -> None:
        """Other weights are there by hand, to be gone on from; what a callback sets as a training ends are none."""
        if not self.ending:
            self.trained = {}

    def trained_weights(self) -> None:
        """Take the weights in `trained` back, so that training goes on as if it had not stopped."""
        for name, array in self.trained.items():
            (self.params if name == "params" else self.running[name])[:] = array
        self.trained = {}

    def arena(self, nbytes: int, mode: str) -> np.ndarray:
        """At least `nbytes` bytes; the same memory as long as it is large enough.

        Predictions have an arena of their own, and so has each thread: a model may be evaluated while another thread
        trains it. In a thread trainings and evaluations take turns, between steps; who asks within a step has another
        (`within_step`).
        """
        own = self._of_thread
        arenas, level = (self._predictions, 0) if mode == "predict" else (own.arenas, own.within)
        if level not in arenas or arenas[level].size < nbytes:
            arenas[level] = params.empty(nbytes, np.uint8)
        return arenas[level]

    @contextmanager
    def within_step(self) -> Iterator[None]:
        """While Python does something within a step, a loss of the user's say, what the step has in the arena stays,
        though the user may evaluate the model there."""
        self._of_thread.within += 1
        try:
            yield
        finally:
            self._of_thread.within -= 1

    def arrays(self) -> dict[str, np.ndarray]:
        """All but the arena, by the names that plans give them."""
        arrays = {"params": self.params, **self.state, **self.running, **self.normalization}
        if self.grads is not None:
            arrays["grads"] = self.grads
        return arrays | {f"grads.{i}": vector for i, vector in enumerate(self.slices, 1)}

    def named(self) -> dict[str, np.ndarray]:
        """Weights and their gradients by the names that plans give them (`params.gradient`)."""
        names = dict(self.parameters)
        if self.grads is not None:
            names |= {params.gradient(name): view for name, view in self.views(self.grads).items()}
        for i, vector in enumerate(self.slices, 1):
            names |= {params.gradient(name, i): view for name, view in self.views(vector).items()}
        return names


def _activations(network: Network) -> dict[str, str]:
    """The activation that each dense layer's output comes to, past batch normalisation and dropout, by layer name."""
    kinds = {}
    for i, layer in enumerate(network.layers):
        if not isinstance(layer, Dense):
            continue
        kind = layer.activation.kind
        for after in network.layers[i + 1 :]:
            if kind != "linear" or isinstance(after, Dense):
                break
            if isinstance(after, Activation):
                kind = after.kind
            elif isinstance(after, BatchNormalization):
                continue
        kinds[layer.name] = kind
    return kinds
