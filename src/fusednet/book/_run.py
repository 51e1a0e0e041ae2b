"""Whole stretches of a training in the engine: many steps of the book's trainer in one call.

Reads _plan.py, _gradient.py (what a network is made of), optimizer.py, fusednet.runner; read by trainer.py.

a) Weights and moments are used where they lie: the engine works on the arrays in `params` and in the optimizer's
   dictionaries, so a script sees every change, and may change them between two stretches.
b) Batches and masks are drawn ahead, in the order in which single steps would draw them. If a stretch is interrupted,
   the generator is put where the steps that were done would have left it.
"""

import numpy as np

from fusednet.book import _plan
from fusednet.book._draws import draw_kept
from fusednet.book._gradient import Snapshot, blocks
from fusednet.book.functions import TINY
from fusednet.book.optimizer import SGD, AdaGrad, Adam, Momentum, Nesterov, RMSprop
from fusednet.cursor import fresh
from fusednet.params import empty
from fusednet.runner import Progress, Runner, Source

_NUMBERS = {SGD: (), Momentum: ("momentum",), Nesterov: ("momentum",), AdaGrad: (), RMSprop: ("decay_rate",),
            Adam: ("beta1", "beta2")}
_MOST_STEPS = 512          # of a stretch
_MASK_BYTES = 1 << 24      # of a stretch
_PREDICT_ROWS = 250


class _Arrays:
    """What a runner asks of a network's memory."""

    def __init__(self, arrays: dict, params: dict):
        self._arrays, self._params, self._arena = arrays, params, empty(0, np.uint8)

    def arrays(self) -> dict:
        return self._arrays

    def named(self) -> dict:
        return self._params

    def arena(self, nbytes: int, mode: str):
        if self._arena.size < nbytes:
            self._arena = empty(nbytes, np.uint8)
        return self._arena


def labels_of(t, classes: int):
    """Labels as int32, from labels or exact one-hot rows; None for anything else."""
    t = np.asarray(t)
    if t.ndim == 2 and t.shape[1] == classes and classes > 1:
        if not ((t == 0) | (t == 1)).all() or not (t.sum(axis=1) == 1).all():
            return None
        return t.argmax(axis=1).astype(np.int32)
    if t.ndim != 1 or t.dtype.kind not in "iu" or classes < 2:
        return None
    if t.size and (t.min() < 0 or t.max() >= classes):
        return None
    return t.astype(np.int32)


def rows_of(x):
    """x as rows that kernels read; None where it is not a matrix of real numbers."""
    if type(x) is not np.ndarray or x.ndim != 2 or x.dtype.kind not in "fiu" or not x.dtype.isnative:
        return None
    return np.ascontiguousarray(x, None if (x.dtype.itemsize <= 8 and x.dtype.kind != "f") or x.dtype in ("f4", "f8")
                                else np.float64)


class Stretches:
    """A network, an optimizer and data, bound once; `make` says whether it can be.

    Parameters
    ----------
    network, optimizer
    parts : tuple of Block
    x : ndarray, (rows, inputs)
    labels : ndarray of int32
    batch : int
    """

    @classmethod
    def make(cls, network, owner, optimizer, x, t, batch):
        """The stretches, or None where network, optimizer or data are not what the engine knows."""
        if type(network) is not owner or type(optimizer) not in _NUMBERS or batch < 1:
            return None
        own = (*network.__dict__, *optimizer.__dict__)
        if any(name in own for name in ("predict", "loss", "gradient", "accuracy", "update")):
            return None
        parts = blocks(network)
        rows = rows_of(x)
        if parts is None or rows is None or rows.shape[1] != parts[0].inputs:
            return None
        labels = labels_of(t, parts[-1].width)
        if labels is None or len(labels) != len(rows) or not len(rows):
            return None
        if not _states_fit(optimizer, network.params):
            return None
        return cls(network, optimizer, parts, rows, labels, batch)

    def __init__(self, network, optimizer, parts, x, labels, batch):
        self.network, self.optimizer, self.blocks = network, optimizer, parts
        self.labels, self.batch = labels, batch
        self.dtype = network.params["W1"].dtype
        masks = sum(block.width for block in parts if block.ratio is not None) * batch * self.dtype.itemsize
        self.most = max(1, min(_MOST_STEPS, _MASK_BYTES // masks if masks else _MOST_STEPS))
        self._snapshot, self._key = Snapshot(network), self._state_key()
        decay = float(network.weight_decay_lambda)
        name = type(optimizer).__name__
        numbers = tuple(float(getattr(optimizer, what)) for what in _NUMBERS[type(optimizer)])
        plan = _plan.train(parts, str(self.dtype), batch, name, numbers, decay)
        rows = self.most * batch
        self.order = np.zeros(rows, np.int64)
        self.out = np.empty((rows, parts[-1].width), self.dtype)
        arrays = {"images": x, "labels": labels}
        named = dict(network.params)
        for key in list(named):
            named[f"d {key}"] = np.zeros_like(named[key])
            for state in _plan.STATES[name]:
                arrays[f"{state} {key}"] = getattr(optimizer, state)[key]
        self.masks, self.running = {}, {}
        for block in parts:
            k = block.idx
            if block.momentum is not None:
                layer = network.layers[f"BatchNorm{k}"]
                self.running[k] = [array.copy() for array in layer._running(block.width, self.dtype)]
                arrays[f"running_mean{k}"], arrays[f"running_var{k}"] = self.running[k]
            if block.ratio is not None:
                arrays |= _scales(block, self.dtype)
                self.masks[k] = arrays[f"drawn{k}"] = np.empty((rows, block.width), self.dtype)
        self.progress = Progress()
        self.cursor = fresh()
        self.runner = Runner(plan, _Arrays(arrays, named), Source(self.order, out=self.out), steps_per_epoch=1,
                             cursor=self.cursor, scalars=self._rates)
        self.penalty = plan.sums.index("penalty")

    def _state_key(self) -> list:
        """What must be as it was for the bound arrays to be the right ones."""
        network, optimizer = self.network, self.optimizer
        found = [list(network.params), *(getattr(optimizer, what) for what in _NUMBERS[type(optimizer)])]
        for state in _plan.STATES[type(optimizer).__name__]:
            arrays = getattr(optimizer, state) or {}
            found += (list(arrays), *map(id, arrays.values()))
        return found

    def fits(self) -> bool:
        """Whether network and optimizer are still what is bound."""
        return self._snapshot.holds(self.network) and self._state_key() == self._key

    def _rates(self, steps: np.ndarray) -> dict:
        """The learning rates of steps counted from the beginning of the stretch."""
        optimizer = self.optimizer
        if type(optimizer) is not Adam:
            return {"lr": np.full(len(steps), float(optimizer.lr))}
        t = (self._iter + 1 + steps).astype(np.float64)
        return {"lr": optimizer.lr * np.sqrt(1.0 - optimizer.beta2**t) / (1.0 - optimizer.beta1**t)}

    def run(self, steps: int) -> None:
        """Do `steps` steps, at most `most`: weights, moments, running statistics are changed; `losses` tells more."""
        before = np.random.get_state()
        self._draw(steps)
        for k, running in self.running.items():
            layer = self.network.layers[f"BatchNorm{k}"]
            for mine, theirs in zip(running, layer._running(len(running[0]), self.dtype), strict=True):
                mine[:] = theirs
        self._iter = getattr(self.optimizer, "iter", 0)
        self.cursor[:] = 0
        self.progress = Progress()
        try:
            self.runner.advance(steps, self.progress)
        finally:
            done = self.progress.steps
            if done < steps:
                np.random.set_state(before)
                self._draw(done)
            if hasattr(self.optimizer, "iter"):
                self.optimizer.iter += done
            for k, running in self.running.items():
                layer = self.network.layers[f"BatchNorm{k}"]
                layer.running_mean, layer.running_var = (array.copy() for array in running)

    def _draw(self, steps: int) -> None:
        """Batches and masks of so many steps, in the book's order."""
        size, batch, chosen = len(self.labels), self.batch, np.random.choice
        if not self.masks:  # one call draws what a call for each step would
            self.order[: steps * batch] = chosen(size, steps * batch)
            return
        for i in range(steps):
            begin, end = i * batch, (i + 1) * batch
            self.order[begin:end] = chosen(size, batch)
            for block in self.blocks:
                if block.ratio is not None:
                    draw_kept(self.masks[block.idx][begin:end], block.ratio)

    def losses(self) -> list:
        """The loss after each step that the last `run` did."""
        steps, batch = self.progress.steps, self.batch
        rows = np.arange(steps * batch)
        right = self.out[rows, self.labels[self.order[: steps * batch]]]
        errors = -(np.log(right + TINY).reshape(steps, batch).sum(axis=1) / batch)
        if self.network.weight_decay_lambda:
            errors = errors + np.array([sums[self.penalty] for sums in self.progress.epochs])
        return list(errors)


class Scores:
    """The scores of the rows of one array, again and again, as the network's weights change."""

    def __init__(self, network, parts, x):
        self.blocks, self.dtype = parts, network.params["W1"].dtype
        self._snapshot, self.running = Snapshot(network), {}
        arrays = {}
        for block in parts:
            if block.momentum is not None:
                running = [np.empty(block.width, self.dtype) for _ in range(2)]
                self.running[block.idx] = running
                arrays[f"running_mean{block.idx}"], arrays[f"running_var{block.idx}"] = running
            if block.ratio is not None:
                arrays |= _scales(block, self.dtype)
        batch = min(_PREDICT_ROWS, len(x))
        self.out = np.empty((len(x), parts[-1].width), self.dtype)
        self.steps = -(-len(x) // batch)
        plan = _plan.predict(parts, str(self.dtype), x.dtype, batch)
        self.runner = Runner(plan, _Arrays(arrays, dict(network.params)), Source(x, out=self.out))

    def fits(self, network) -> bool:
        """Whether the network is still what is bound."""
        return self._snapshot.holds(network)

    def __call__(self, network) -> np.ndarray:
        for k, running in self.running.items():
            layer = network.layers[f"BatchNorm{k}"]
            for mine, theirs in zip(running, layer._running(len(running[0]), self.dtype), strict=True):
                mine[:] = theirs
        self.runner.advance(self.steps)
        return self.out


def _scales(block, dtype) -> dict:
    """What scales the output of a dropout outside of training, column by column."""
    return {f"zeros{block.idx}": np.zeros(block.width, dtype),
            f"keep{block.idx}": np.full(block.width, 1.0 - block.ratio, dtype)}


def _states_fit(optimizer, params) -> bool:
    """Whether the optimizer's state is made for `params`; makes it where there is none yet."""
    for name in _plan.STATES[type(optimizer).__name__]:
        state = getattr(optimizer, name)
        if state is None:
            state = {key: np.zeros_like(value) for key, value in params.items()}
            setattr(optimizer, name, state)
        if list(state) != list(params):
            return False
        for key, value in params.items():
            array = state[key]
            if type(array) is not np.ndarray or array.shape != value.shape or array.dtype != value.dtype or \
                    not array.flags.carray:
                return False
    return True
