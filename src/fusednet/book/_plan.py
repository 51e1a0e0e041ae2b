"""The schedule of the book's networks: what a gradient, a training step and a prediction are, as ops of a plan.

Reads the networks' layers, fusednet.plan and arena.py (what an op, a tensor, a plan is); read by _gradient.py, which
calls the ops of a gradient one by one, and by _run.py, which gives whole runs to the engine.

a) The arithmetic is the book's, the kernels are everybody's: affine with activation, batch normalisation with
   activation, and the derivative taken at the end of the product that made the gradient.
b) A mask that NumPy drew has 1 and 0: the derivative of relu at it is the mask itself, so the product before takes it
   in.
c) A training step ends with the loss of the same batch under the new weights, as the book's trainer tells it.
"""

from dataclasses import dataclass

import numpy as np

from fusednet import spec
from fusednet.arena import Tensor, place
from fusednet.backends.table import SAVES_Z, Activation, chunks
from fusednet.book.layers import EPSILON
from fusednet.phases import schedule
from fusednet.plan import FIRST_SUMS, Flat, Op, Part, PerRow, Plan, Rows, Scalar

RELU = int(Activation.RELU)
_TINY = 1e-7


@dataclass(frozen=True)
class Block:
    """A hidden layer.

    Attributes
    ----------
    idx : int
        Counted from 1; behind the last hidden layer stands an affine one without anything.
    inputs, width : int
    kind : int
        Code of the activation.
    alpha : float
    momentum : float or None
        Of batch normalisation, where there is one.
    ratio : float or None
        Of dropout.
    """

    idx: int
    inputs: int
    width: int
    kind: int = 0
    alpha: float = 0.0
    momentum: float | None = None
    ratio: float | None = None


class Builder:
    """Ops and tensors that are being made; rows are "m", arrays of the network are tensors under their keys."""

    def __init__(self, blocks: tuple[Block, ...], dtype: str):
        self.blocks, self.dtype = blocks, dtype
        self.ops: list[Op] = []
        self.tensors: dict[str, Tensor] = {}
        self.drawn: dict[int, str | Rows] = {}
        for block in blocks:
            k = block.idx
            self.tensor(f"W{k}", block.inputs, block.width, region="params")
            self.tensor(f"b{k}", block.width, region="params")
            if block.momentum is not None:
                for name in ("gamma", "beta"):
                    self.tensor(f"{name}{k}", block.width, region="params")
                for name in ("running_mean", "running_var"):
                    self.tensor(f"{name}{k}", block.width, region="running")

    @property
    def keys(self) -> list[str]:
        return [name for name, tensor in self.tensors.items() if tensor.region == "params"]

    def tensor(self, name: str, *shape, dtype: str | None = None, region: str = "work") -> str:
        self.tensors[name] = Tensor(name, shape, dtype or self.dtype, region)
        return name

    def call(self, kernel: str, *arguments, of: str = "") -> None:
        self.ops.append(Op(kernel, arguments, of))

    # ---- forward

    def forward(self, x: str, masks: str = "work") -> str:
        """As in training; `masks` is the region of what was drawn. The name of the scores."""
        for block in self.blocks:
            x = self._forward(block, x, masks)
        return x

    def _forward(self, block: Block, x: str, masks: str) -> str:
        k, shape = block.idx, ("m", block.width)
        y = self.tensor(f"y{k}", *shape)
        z = self.tensor(f"z{k}", *shape) if block.kind in SAVES_Z else None
        act = block.kind, block.alpha
        if block.momentum is None:
            self.call("affine_fwd", y, z, x, f"W{k}", f"b{k}", *act, 0, of=f"Affine{k}")
        else:
            u, mean, var = self.tensor(f"u{k}", *shape), *(self.tensor(f"{n}{k}", block.width) for n in ("mean", "var"))
            self.call("affine_fwd", u, None, x, f"W{k}", f"b{k}", 0, 0.0, 0, of=f"Affine{k}")
            self.call("batch_norm_stats", mean, var, u, of=f"BatchNorm{k}")
            self.call("batch_norm_fwd", y, z, u, mean, var, f"gamma{k}", f"beta{k}", EPSILON, *act, of=f"BatchNorm{k}")
        if block.ratio is None:
            return y
        out = self.tensor(f"d{k}", *shape)
        if masks == "work":
            self.drawn[k] = self.tensor(f"drawn{k}", *shape)
            flat = Flat(f"drawn{k}")
        else:
            self.drawn[k] = Rows(self.tensor(f"drawn{k}", "rows", block.width, region=masks))
            flat = Rows(f"drawn{k}", flat=True)
        self.call("activation_bwd", Flat(out), Flat(y), flat, RELU, 0.0, of=f"Dropout{k}")
        return out

    def running(self) -> None:
        for block in self.blocks:
            if block.momentum is not None:
                k = block.idx
                self.call("batch_norm_running", f"running_mean{k}", f"running_var{k}", f"mean{k}", f"var{k}",
                          block.momentum, 1.0, of=f"BatchNorm{k}")

    def predict(self, x: str, prefix: str = "e.") -> str:
        """As outside of training; the name of the scores."""
        for block in self.blocks:
            k, shape = block.idx, ("m", block.width)
            y = self.tensor(f"{prefix}y{k}", *shape)
            act = block.kind, block.alpha
            if block.momentum is None:
                self.call("affine_fwd", y, None, x, f"W{k}", f"b{k}", *act, 0, of=f"Affine{k}")
            else:
                self.call("affine_fwd", y, None, x, f"W{k}", f"b{k}", 0, 0.0, 0, of=f"Affine{k}")
                self.call("batch_norm_fwd", y, None, y, f"running_mean{k}", f"running_var{k}", f"gamma{k}", f"beta{k}",
                          EPSILON, *act, of=f"BatchNorm{k}")
            if block.ratio is not None:
                for name in ("zeros", "keep"):
                    self.tensor(f"{name}{k}", block.width, region="data")
                scaled = self.tensor(f"{prefix}d{k}", *shape)
                self.call("gather_rows", scaled, y, None, f"zeros{k}", f"keep{k}", of=f"Dropout{k}")
                y = scaled
            x = y
        return x

    # ---- backward

    def backward(self, x: str, dy: str) -> None:
        """From the gradient of the scores, `dy`, to those of all weights, "d W1" and so on.

        Weights' gradients wait for the next place where threads meet anyway (fusednet/phases.py).
        """
        waiting: list[Op] = []
        for key in self.keys:
            self.tensor(f"d {key}", *self.tensors[key].shape, region="grads")
        for block in reversed(self.blocks):
            k = block.idx
            if block.momentum is not None:
                saved, kind = self._pending(block)
                tail = (f"mean{k}", f"var{k}")
                self.call("batch_norm_bwd_reduce", f"d gamma{k}", f"d beta{k}", dy, f"u{k}", saved, *tail, EPSILON,
                          *kind, of=f"BatchNorm{k}")
                self._emit(waiting)
                self.call("batch_norm_bwd_dx", dy, dy, f"u{k}", saved, *tail, f"gamma{k}", f"d gamma{k}", f"d beta{k}",
                          EPSILON, *kind, of=f"BatchNorm{k}")
            elif block.ratio is not None and block.kind:
                self.call("activation_bwd", Flat(dy), Flat(dy), Flat(self._saved(block)), block.kind, block.alpha,
                          of=f"Activation_function{k}")
            below = self.blocks[k - 2] if k > 1 else None
            source = x if below is None else self._output(below)
            waiting.append(Op("affine_bwd_dw", (f"d W{k}", f"d b{k}", source, dy, 0), f"Affine{k}"))
            if below is not None:
                dx = self.tensor(f"dx{k}", "m", block.inputs)
                if below.ratio is not None:
                    end = (self.drawn[k - 1], RELU, 0.0)
                else:
                    end = (self._saved(below), below.kind, below.alpha)
                self.call("affine_bwd_dx", dx, dy, f"W{k}", *end, 1.0, 0, of=f"Affine{k}")
                dy = dx
        self._emit(waiting)

    def _emit(self, waiting: list[Op]) -> None:
        self.ops += waiting
        waiting.clear()

    def _saved(self, block: Block) -> str:
        return f"{'z' if block.kind in SAVES_Z else 'y'}{block.idx}"

    def _output(self, block: Block) -> str:
        return f"{'y' if block.ratio is None else 'd'}{block.idx}"

    def _pending(self, block: Block) -> tuple:
        """What batch normalisation's kernels have to do of the activation: with dropout the product did the mask."""
        if block.ratio is None or not block.kind:
            return None, (0, 0.0)
        return self._saved(block), (block.kind, block.alpha)

    # ---- update

    def update(self, optimizer: str, numbers: tuple, decay: float) -> None:
        """A step of all weights; `numbers` are what the rule takes after "lr"."""
        for key in self.keys:
            l2 = decay if key.startswith("W") else 0.0
            p, g = Flat(key), Flat(f"d {key}")
            state = [Flat(self.tensor(f"{name} {key}", *self.tensors[key].shape, region="state"))
                     for name in STATES[optimizer]]
            end = (0.0, 1.0, np.inf)
            if optimizer == "Nesterov":
                (momentum,) = numbers
                if l2:
                    self.call("penalty_gradient", g, p, 0.0, l2, of=key)
                self.call("sgd_step", state[0], g, Scalar("lr"), 0.0, 1.0 - momentum, 1.0, np.inf, of=key)
                self.call("sgd_step", p, state[0], -momentum * momentum, 0.0, *end, of=key)
                self.call("sgd_step", p, g, Scalar("lr", 1.0 + momentum), 0.0, *end, of=key)
            else:
                kernel, last = _STEPS[optimizer]
                self.call(kernel, p, *state, g, Scalar("lr"), *numbers, *last, l2, *end, of=key)


STATES = {"SGD": (), "Momentum": ("v",), "Nesterov": ("v",), "AdaGrad": ("h",), "RMSprop": ("h",), "Adam": ("m", "v")}
"""Attributes of the book's optimizers that have an array for each weight array."""

_STEPS = {"SGD": ("sgd_step", ()), "Momentum": ("momentum_step", ()), "AdaGrad": ("adagrad_step", (_TINY,)),
          "RMSprop": ("rmsprop_step", (_TINY,)), "Adam": ("adam_step", (_TINY, 1.0))}


def train(blocks: tuple[Block, ...], dtype: str, batch: int, optimizer: str, numbers: tuple, decay: float) -> Plan:
    """The plan of a step of the book's trainer.

    "data.x" has the numbers of the rows of "images" and "labels" that the steps take; "data.out" gets the probabilities
    after each step, the sum "penalty" the weight decay's part of the loss.
    """
    b = Builder(blocks, dtype)
    b.tensor("data.x", "rows", dtype="int64", region="data")
    b.tensor("images", "all", blocks[0].inputs, region="data")
    b.tensor("labels", "all", dtype="int32", region="data")
    x, y = b.tensor("x", "m", blocks[0].inputs), b.tensor("y", "m", dtype="int32")
    b.call("gather_rows", x, "images", Rows("data.x"), None, None, of="data")
    b.call("gather_labels", y, "labels", Rows("data.x"), of="data")
    z = b.forward(x, "data")
    b.call("softmax_xent_labels", b.tensor("loss", "m"), z, z, y, None, 0.0, PerRow(), of="SoftmaxWithLoss")
    b.backward(x, z)
    commit = len(b.ops)
    b.running()
    b.update(optimizer, numbers, decay)
    z = b.predict(x)
    b.tensor("data.out", "rows", blocks[-1].width, region="data")
    b.call("softmax_fwd", Rows("data.out"), z, of="SoftmaxWithLoss")
    sums = (*FIRST_SUMS, "penalty")
    b.tensor("sums", len(sums), dtype="float64", region="sums")
    if decay:
        for block in blocks:
            size = block.inputs * block.width
            partial = b.tensor(f"squares{block.idx}", chunks(size), dtype="float64")
            b.call("square_sums", partial, Flat(f"W{block.idx}"), of="weight decay")
            b.call("accumulate_partial", Part("sums", len(FIRST_SUMS), len(sums)), partial, 0.5 * decay,
                   of="weight decay")
    scalars = tuple(dict.fromkeys(a for op in b.ops for a in op.arguments if isinstance(a, Scalar)))
    return _finish(b, "train", batch, commit, scalars, sums)


def predict(blocks: tuple[Block, ...], dtype: str, source, batch: int) -> Plan:
    """The plan of the scores of rows of "data.x", which are of dtype `source`, in "data.out"."""
    b = Builder(blocks, dtype)
    b.tensor("data.x", "rows", blocks[0].inputs, dtype=str(source), region="data")
    b.tensor("data.out", "rows", blocks[-1].width, region="data")
    b.tensor("sums", len(FIRST_SUMS), dtype="float64", region="sums")
    x = b.tensor("x", "m", blocks[0].inputs)
    b.call("gather_rows", x, Rows("data.x"), None, None, None, of="data")
    z = b.predict(x)
    b.call("activation_fwd", Rows("data.out", flat=True), Flat(z), 0, 0.0, of="data")
    return _finish(b, "predict", batch, len(b.ops), (), FIRST_SUMS)


def _finish(b: Builder, mode: str, batch: int, commit: int, scalars: tuple, sums: tuple) -> Plan:
    ops = schedule(b.ops, b.tensors, batch, commit)
    tensors, arena = place(b.tensors, ops, batch)
    layers = tuple(spec.Dense(block.width) for block in b.blocks)
    network = spec.Network(layers, b.blocks[0].inputs, b.dtype)
    fused = tuple(dict.fromkeys(op.of for op in b.ops))
    return Plan(mode, network, batch, ops, commit, tensors, arena, scalars, sums, fused)
