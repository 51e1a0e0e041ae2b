"""How a plan is made: from a network, a loss, an optimizer and a way of feeding to the ops of a step.

Reads fuse.py (stages), params.py (places), phases.py, arena.py (memory), blocks.py, slices.py, losses.py,
optimizers.py, metrics.py; makes what plan.py describes.

a) A network is a chain, so its schedule is a list: forward, loss, backward, update. Lifetimes follow from the list, and
   from them the offsets in one arena.
b) There is a rule for each kind of stage on the way forward (`_FORWARD`); the way back is one loop, because what can be
   fused there depends on the neighbour.
c) The gradient with respect to a stage's output lies in one tensor, which the ops of the way back change in place.
d) Gradients of all weights are there at once, and are looked at, before the first step is taken. Where some of them are
   large it is made certain before the way back that they will be finite (blocks.py); the way back is then part of the
   update, and gradients are tensors of the arena.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from fusednet import blocks, fuse, params, slices, split_k
from fusednet.arena import Tensor, place
from fusednet.backends.table import chunks
from fusednet.fuse import Chain, Stage
from fusednet.losses import Custom, Loss
from fusednet.metrics import Metric
from fusednet.optimizers import Optimizer
from fusednet.phases import is_large, schedule
from fusednet.plan import (
    FIRST_SUMS,
    Band,
    Column,
    Columns,
    Feed,
    Flat,
    Loaded,
    OneRow,
    Op,
    Part,
    PerRow,
    Plan,
    Rows,
    Scalar,
    Share,
    Slice,
)
from fusednet.spec import Network


@dataclass
class _Builder:
    """A plan that is being made."""

    network: Network
    batch: int
    precision: int = 0
    ops: list[Op] = field(default_factory=list)
    tensors: dict[str, Tensor] = field(default_factory=dict)
    commit: list[Op] = field(default_factory=list)
    scalars: dict[Scalar, None] = field(default_factory=dict)
    sums: list[str] = field(default_factory=lambda: list(FIRST_SUMS))
    begun: bool = False  # whether what lasts changes from now on
    slices: int = 0  # of the batch, whose gradients are made apart (slices.py)
    ranges: dict[str, list[tuple[int, int]]] = field(default_factory=dict)  # of inputs (split_k.py)

    def ranges_of(self, stage: Stage | None) -> list[tuple[int, int]]:
        """Of the inputs of a stage whose product is made by ranges of them."""
        # a softmax that ends an affine stage has its name
        return self.ranges.get(stage.name, []) if stage is not None and stage.kind == "affine" else []

    def work(self, name: str, *shape, dtype: str = "T") -> str:
        return self.tensor(name, *shape, dtype=dtype, region="work")

    def tensor(self, name: str, *shape, dtype: str = "T", region: str) -> str:
        assert name not in self.tensors, name
        self.tensors[name] = Tensor(name, shape, self.network.dtype if dtype == "T" else dtype, region)
        return name

    def call(self, kernel: str, *arguments, of: str, rows: int = 0, slice: int | None = None, slices: int = 0) -> None:
        self.add(self._op(kernel, arguments, of, rows, slice, slices))

    def add(self, *ops: Op) -> None:
        (self.commit if self.begun else self.ops).extend(ops)

    def later(self, kernel: str, *arguments, of: str, rows: int = 0, slice: int | None = None) -> None:
        """An op of the part that changes what lasts."""
        self.commit.append(self._op(kernel, arguments, of, rows, slice))

    def _op(self, kernel: str, arguments: tuple, of: str, rows: int = 0, slice: int | None = None,
            slices: int = 0) -> Op:
        for argument in arguments:
            if isinstance(argument, Scalar):
                self.scalars[argument] = None
        slices = 0 if slice is None else rows or slices or self.slices
        return Op(kernel, arguments, of, rows=rows, slice=slice, slices=slices)

    def shares(self, layout: params.Layout, begin: int, end: int) -> list[tuple[int | None, int, int]]:
        """Elements begin to end of a vector like "grads", as `slices.shares` divides them."""
        return slices.shares(self.slices, layout.size, self.network.dtype, begin, end)

    def sum(self, name: str) -> Part:
        """A place for the sum `name`."""
        if name not in self.sums:
            self.sums.append(name)
        index = self.sums.index(name)
        return Part("sums", index, index + 1)

    def finish(self, mode: str, chain: Chain) -> Plan:
        self.tensor("sums", len(self.sums), dtype="float64", region="sums")
        ops = schedule([*self.ops, *self.commit], self.tensors, self.batch, len(self.ops))
        tensors, arena = place(self.tensors, ops, self.batch)
        fused = tuple("+".join(stage.layers) for stage in chain.stages)
        return Plan(mode, self.network, self.batch, ops, len(self.ops), tensors, arena, tuple(self.scalars),
                    tuple(self.sums), fused)


# ---- data in ---------------------------------------------------------------------------------------------------------


def _plan_input(b: _Builder, feed: Feed) -> str | Rows:
    """The batch's rows, gathered, converted and normalised; or where they lie."""
    features, network = b.network.features, b.network
    b.tensor("data.x", "rows", features, dtype=feed.x, region="data")
    normalization = network.normalization
    index = None
    if feed.ordered:
        b.tensor("order", "rows", dtype="int64", region="data")
        index = Rows("order")
    if index is None and normalization is None and feed.x == network.dtype:
        return Rows("data.x")
    shift = scale = None
    if normalization is not None:
        shift = b.tensor(f"{normalization.name}/mean", features, region="normalization")
        scale = b.tensor(f"{normalization.name}/scale", features, region="normalization")
    x = b.work("x", "m", features)
    b.call("gather_rows", x, "data.x" if index else Rows("data.x"), index, shift, scale,
           of=normalization.name if normalization else "data")
    return x


def _plan_targets(b: _Builder, feed: Feed) -> tuple[str | Rows | None, str | Rows | None]:
    """The batch's labels or targets, and weights."""
    y = weight = None
    index = Rows("order") if feed.ordered else None
    if feed.y == "labels":
        b.tensor("data.y", "rows", dtype="int32", region="data")
        y = Rows("data.y")
        if index:
            y = b.work("y", "m", dtype="int32")
            b.call("gather_labels", y, "data.y", index, of="data")
    elif feed.y == "targets":
        b.tensor("data.y", "rows", feed.columns, region="data")
        y = Rows("data.y")
        if index:
            y = b.work("y", "m", feed.columns)
            b.call("gather_rows", y, "data.y", index, None, None, of="data")
    if feed.weighted:
        b.tensor("data.weight", "rows", region="data")
        weight = Rows("data.weight")
        if index:
            weight = b.work("weight", "m")
            b.call("gather_rows", Column(weight), Column("data.weight"), index, None, None, of="data")
    return y, weight


# ---- forward ---------------------------------------------------------------------------------------------------------


@dataclass
class _Done:
    """A stage that has been computed."""

    stage: Stage
    x: str | Rows
    y: str
    saved: str | None = None  # from which the activation's derivative is taken
    mean: str | None = None
    var: str | None = None
    op: int = 0               # the dropout's number
    after: Stage | None = None


def _activation(stage: Stage) -> tuple[int, float]:
    return stage.activation.code, stage.activation.alpha or 0.0


def _parameters(b: _Builder, chain: Chain, layout: params.Layout) -> None:
    names = {stage.name for stage in chain.stages}
    for name, at in layout.places.items():
        if at.layer.name in names:
            b.tensor(name, *at.shape, region="params")
    for name, columns in layout.running.items():
        if name.split("/")[0] in names:
            b.tensor(name, columns, region="running")


def _plan_forward(b: _Builder, chain: Chain, x: str | Rows, *, training: bool, seed: int = 0, out=None) -> list[_Done]:
    done: list[_Done] = []
    dropouts = 0
    for i, stage in enumerate(chain.stages):
        last = out is not None and i == len(chain.stages) - 1
        entry = _Done(stage, x, "", after=chain.stages[i + 1] if i + 1 < len(chain.stages) else None)
        kept = training or not isinstance(x, str)  # the input has to stay as it is
        in_place = not kept or (stage.kind == "dropout" and isinstance(x, str) and _may_drop_in_place(done))
        if last:
            y = out
        elif in_place and stage.kind != "affine":
            y = x
        else:
            y = b.work(f"{stage.name}.y" if f"{stage.name}.y" not in b.tensors else f"{stage.name}.f", "m", stage.width)
        entry.y = y
        if stage.activation.kind not in ("linear", "softmax"):
            entry.saved = y
        z = None
        if training and stage.activation.saves_input:
            if stage.kind == "activation":
                entry.saved = x
            else:
                entry.saved = z = b.work(f"{stage.name}.z", "m", stage.width)
        if stage.kind == "dropout":
            entry.op = dropouts
            dropouts += 1
        _FORWARD[stage.kind](b, entry, y, z, training, seed)
        done.append(entry)
        x = y
    return done


def _may_drop_in_place(done: list[_Done]) -> bool:
    """Whether the last stage's way back can do with its output as dropout leaves it: where it is not dropped its sign
    is the same, where it is dropped the gradient is 0."""
    kind = done[-1].stage.activation.kind if done else "linear"
    return kind in ("linear", "relu", "leaky_relu") or (kind != "softmax" and done[-1].saved != done[-1].y)


def _affine_forward(b, entry, y, z, training, seed):
    stage = entry.stage
    bias = f"{stage.name}/bias" if stage.layer.use_bias else None
    ranges = b.ranges_of(stage)
    if ranges:
        _plan_by_ranges(b, entry, y, bias, ranges)
        return
    b.call("affine_fwd", y, z, entry.x, f"{stage.name}/kernel", bias, *_activation(stage), b.precision,
           of="+".join(stage.layers))


def _plan_by_ranges(b: _Builder, entry: _Done, y: str | Rows, bias: str | None, ranges: list[tuple[int, int]]) -> None:
    """The product of few rows, the inputs of each range apart; then the sum of all, of one row, whose columns are
    elements of a vector, by the ranges of the next stage."""
    stage, x, of = entry.stage, entry.x, "+".join(entry.stage.layers)
    sums = [b.work(f"{stage.name}.y.{index}", "m", stage.width) for index in range(len(ranges))]
    for index, (begin, end) in enumerate(ranges):
        part = (Columns(x.tensor, begin, end, rows=True) if isinstance(x, Rows) else
                OneRow(x, begin, end) if b.batch == 1 else Columns(x, begin, end))
        b.call("affine_fwd", sums[index], None, part, Band(f"{stage.name}/kernel", begin, end), None if index else bias,
               0, 0.0, b.precision, of=of, rows=len(ranges), slice=index)
    after = b.ranges_of(entry.after) if b.batch == 1 else []
    for index, (begin, end) in enumerate(after):
        total, *others, out = [OneRow(name, begin, end, flat=True) for name in (*sums, y)]
        _plan_sum_of_ranges(b, stage, out, total, others, of=of, rows=len(after), slice=index)
    if not after:
        _plan_sum_of_ranges(b, stage, _flat(y), Flat(sums[0]), map(Flat, sums[1:]), of=of)


def _plan_sum_of_ranges(b: _Builder, stage: Stage, out, total, others, **op) -> None:
    """The stage's output of the sums over its ranges."""
    for other in others:
        _plan_sum(b, total, other, **op)
    b.call("activation_fwd", out, total, *_activation(stage), **op)


def _batch_norm_forward(b, entry, y, z, training, seed):
    stage, of = entry.stage, "+".join(entry.stage.layers)
    running = f"{stage.name}/running_mean", f"{stage.name}/running_var"
    mean, var = running
    if training:
        mean, var = b.work(f"{stage.name}.mean", stage.width), b.work(f"{stage.name}.var", stage.width)
        groups = _sum_columns(b, "batch_norm_stats", (mean, var), (entry.x,), width=stage.width, of=stage.name)
        for index, group in enumerate(groups, 1):
            b.call("batch_norm_join", mean, var, *group, Share(index, len(groups) + 1), of=stage.name)
        b.later("batch_norm_running", *running, mean, var, stage.layer.momentum, 1.0, of=stage.name)
    entry.mean, entry.var = mean, var
    b.call("batch_norm_fwd", y, z, entry.x, mean, var, f"{stage.name}/gamma", f"{stage.name}/beta", stage.layer.epsilon,
           *_activation(stage), of=of)


def _sum_columns(b: _Builder, kernel: str, names: tuple[str, str], matrices: tuple, *others, width: int,
                 of: str) -> list[tuple[str, str]]:
    """Sums down the columns of matrices, in vectors of these names. Of a long batch they are those of the first slice
    of its rows; the names of the other slices' are returned."""
    count = slices.of_columns(b.batch)
    if not count:
        b.call(kernel, *names, *matrices, *others, of=of)
        return []
    groups = [names, *((b.work(f"{names[0]}.{i}", width), b.work(f"{names[1]}.{i}", width)) for i in range(1, count))]
    for index, group in enumerate(groups):
        b.call(kernel, *group, *_slices(matrices, index, count), *others, of=of, slice=index, slices=count)
    return groups[1:]


def _activation_forward(b, entry, y, z, training, seed):
    b.call("activation_fwd", _flat(y), _flat(entry.x), *_activation(entry.stage), of=entry.stage.name)


def _softmax_forward(b, entry, y, z, training, seed):
    b.call("softmax_fwd", y, entry.x, of=entry.stage.name)


def _dropout_forward(b, entry, y, z, training, seed):
    _drop(b, y, entry.x, entry, seed)


def _drop(b, y, x, entry, seed):
    b.call("dropout", _flat(y), _flat(x), entry.stage.layer.rate, _kept_by(entry), seed, Scalar("step"), entry.op,
           of=entry.stage.name)


def _kept_by(entry: _Done) -> float:
    """What a dropout multiplies by where it keeps."""
    return 1 / (1 - entry.stage.layer.rate)


def _drops_behind_relu(done: list[_Done]) -> bool:
    """Whether the last stage drops what relu has made: its output is above 0 where relu's input is and was not dropped,
    which is all that both need on the way back."""
    return len(done) > 1 and done[-1].stage.kind == "dropout" and done[-2].stage.activation.kind == "relu"


def _flat(x: str | Rows):
    return Rows(x.tensor, flat=True) if isinstance(x, Rows) else Flat(x)


_FORWARD = {
    "affine": _affine_forward,
    "batch_norm": _batch_norm_forward,
    "activation": _activation_forward,
    "softmax": _softmax_forward,
    "dropout": _dropout_forward,
}


# ---- loss and metrics ------------------------------------------------------------------------------------------------


def _plan_metrics(b: _Builder, loss: Loss, chain: Chain, metrics: tuple[Metric, ...], z, y, weight, feed: Feed) -> None:
    """Values per row of each metric, added to its sum. They come before the loss, which may write over z."""
    predicted = None
    for metric in metrics:
        source = z
        if metric.needs_output and chain.head is not None:
            if predicted is None:
                predicted = b.work("predicted", "m", chain.outputs)
                if chain.head.kind == "softmax":
                    b.call("softmax_fwd", predicted, z, of="metrics")
                else:
                    b.call("activation_fwd", _flat(predicted), _flat(z), chain.head.code, 0.0, of="metrics")
            source = predicted
        rows = b.work(f"{metric.name}.rows", "m")
        kernel, options = metric.call(feed.y, chain.outputs, loss.head is not None)
        nothing = (None,) if metric.has_gradient else ()
        scale = (1.0,) if metric.has_gradient else ()
        b.call(kernel, rows, *nothing, source, y, weight, *options, *scale, of=metric.name)
        b.later("accumulate", b.sum(metric.name), rows, 1.0, of=metric.name)


def _plan_loss(b: _Builder, loss: Loss, chain: Chain, z, dz, y, weight, feed: Feed) -> str:
    """Values per row, whose name is returned, and the gradient where `dz` is given."""
    rows = b.work("loss.rows", "m")
    scale: object = PerRow()
    if weight is not None and dz is not None:
        scale = Loaded(b.work("loss.scale", 1, dtype="float64"))
        b.call("inverse_sum", scale.tensor, weight, of="loss")
    if isinstance(loss, Custom):
        b.call("leave", z, dz, y, weight, rows, scale, of="loss")
    else:
        kernel = loss.labels_kernel if feed.y == "labels" else loss.kernel
        scale = scale if dz is not None else 1.0
        b.call(kernel, rows, dz, z, y, weight, *loss.options(chain.outputs), scale, of="loss")
    return rows


def _plan_total(b: _Builder, loss: Loss, rows: str, weight, check: bool) -> None:
    """The sum of the loss over the batch, added to the epoch's; with `check` the run ends where it is not finite."""
    total = b.work("loss.total", 1, dtype="float64")
    b.call("sum", total, rows, of="loss")
    if check:
        b.call("check", total, of="loss")
    if loss.most is not None and weight is None:
        cut = b.work("loss.cut", "m")  # min(rows, most): a step along rows makes 0 of them, one along cut rows those
        b.call("activation_fwd", Flat(cut), Flat(rows), 0, 0.0, of="loss")
        b.call("sgd_step", cut, rows, 1.0, 0.0, 0.0, 1.0, np.inf, of="loss")
        b.call("sgd_step", cut, rows, -1.0, 0.0, 0.0, 1.0, loss.most, of="loss")
        b.later("accumulate", b.sum("loss"), cut, 1.0, of="loss")
    else:
        b.later("accumulate_partial", b.sum("loss"), total, 1.0, of="loss")
    if weight is not None:
        b.later("accumulate", b.sum("weight"), weight, 1.0, of="loss")


# ---- backward --------------------------------------------------------------------------------------------------------


def _gradient(b: _Builder, name: str, layout: params.Layout, index: int = 0) -> str:
    """`index`: of that slice of the batch."""
    gradient, region = params.gradient(name, index), f"grads.{index}" if index else "grads"
    if gradient not in b.tensors:
        b.tensor(gradient, *layout.places[name].shape, region="work" if b.begun else region)
    return gradient


def _plan_backward(b: _Builder, done: list[_Done], dy: str, layout: params.Layout, seed: int,
                   take: dict[str, Callable] | None = None) -> None:
    """Gradients of all weights from that of the last stage's output.

    Weights' gradients need all rows, so threads have to meet before them. They wait, therefore, for the next place
    where threads meet anyway (a batch normalisation, the end); but not large ones, whose `dy` would take memory, nor
    those of slices of the rows.
    ``take[name](x, dy)`` does instead what is to be done about the kernel `name`, and the bias beside it, when nobody
    reads the kernel any more.
    """
    take = take or {}
    waiting: list[Op] = []
    first = next(i for i, entry in enumerate(done) if entry.stage.has_parameters)
    before_activation = False  # whether dy is with respect to what the stage's activation was given
    for i in range(len(done) - 1, first - 1, -1):
        entry, stage = done[i], done[i].stage
        if stage.kind == "dropout":
            if not before_activation:  # else the product behind it has gone back through both
                _drop(b, dy, dy, entry, seed)
            continue
        previous = done[i - 1] if i > first else None
        of = "+".join(stage.layers)
        active = stage.activation.kind not in ("linear", "softmax") and not before_activation
        if active and stage.kind in ("affine", "activation"):
            b.call("activation_bwd", Flat(dy), Flat(dy), _flat(entry.saved), *_activation(stage), of=of)
        before_activation = False
        if stage.kind == "affine":
            kernel, of_y = f"{stage.name}/kernel", dy
            if b.slices:
                _plan_by_slices(b, layout, stage, entry.x, dy)
            elif kernel not in take and split_k.halves(stage, b.batch):
                _plan_by_halves(b, layout, stage, entry.x, dy)
            elif kernel not in take:
                db = _gradient(b, f"{stage.name}/bias", layout) if stage.layer.use_bias else None
                op = Op("affine_bwd_dw", (_gradient(b, kernel, layout), db, entry.x, dy, b.precision), stage.name)
                if is_large(op, b.tensors, b.batch):
                    b.add(op)
                else:
                    waiting.append(op)
            if previous is not None:
                dx = b.work(f"{stage.name}.dx", "m", stage.inputs)
                saved, scale, through = previous.saved, 1.0, previous.stage
                if _drops_behind_relu(done[:i]):
                    saved, scale, through = previous.y, _kept_by(previous), done[i - 2].stage
                kind = _activation(through) if saved is not None else (0, 0.0)
                b.call("affine_bwd_dx", dx, dy, kernel, saved, *kind, scale, b.precision,
                       of=stage.name if saved is None else f"{stage.name}, {'+'.join(through.layers)}")
                before_activation = saved is not None
                dy = dx
            if kernel in take:
                take[kernel](entry.x, of_y)
        elif stage.kind == "batch_norm":
            dgamma, dbeta = (_gradient(b, f"{stage.name}/{name}", layout) for name in ("gamma", "beta"))
            saved = entry.saved if active else None
            kind = _activation(stage) if active else (0, 0.0)
            tail = (stage.layer.epsilon, *kind)
            groups = _sum_columns(b, "batch_norm_bwd_reduce", (dgamma, dbeta), (dy, entry.x, saved), entry.mean,
                                  entry.var, *tail, width=stage.width, of=of)
            b.add(*waiting)
            waiting.clear()
            for group in groups:
                for total, other in zip((dgamma, dbeta), group, strict=True):
                    _plan_sum(b, total, other, of=of)
            if previous is not None:
                gamma = f"{stage.name}/gamma"
                b.call("batch_norm_bwd_dx", dy, dy, entry.x, saved, entry.mean, entry.var, gamma, dgamma, dbeta, *tail,
                       of=of)
        elif stage.kind == "softmax":
            b.call("softmax_bwd", dy, dy, entry.y, of=of)
    b.add(*waiting)


def _plan_by_slices(b: _Builder, layout: params.Layout, stage: Stage, x: str | Rows, dy: str) -> None:
    """Gradients of an affine stage's weights, of each slice of the batch apart."""
    for index in range(b.slices):
        dw, db = (name and _gradient(b, name, layout, index) for name in _weights(stage))
        of_x, of_dy = _slices((x, dy), index, b.slices)
        b.call("affine_bwd_dw", dw, db, of_x, of_dy, b.precision, of=stage.name, slice=index)


def _plan_by_halves(b: _Builder, layout: params.Layout, stage: Stage, x: str | Rows, dy: str) -> None:
    """The same of the halves of a long batch, each of which some of the threads take; then their sum."""
    totals = [_gradient(b, name, layout) for name in _weights(stage) if name]
    others = [b.work(f"{total}.half", *b.tensors[total].shape) for total in totals]
    for index, (dw, *db) in enumerate((totals, others)):
        of_x, of_dy = _slices((x, dy), index, 2)
        b.call("affine_bwd_dw", dw, db[0] if db else None, of_x, of_dy, b.precision, of=stage.name, rows=2, slice=index)
    for total, other in zip(totals, others, strict=True):
        _plan_sum(b, Flat(total), Flat(other), of=stage.name)


def _weights(stage: Stage) -> tuple[str, str | None]:
    return f"{stage.name}/kernel", f"{stage.name}/bias" if stage.layer.use_bias else None


def _slices(matrices, index: int, count: int) -> list[Slice | None]:
    """Slice `index` of `count` of the batch's rows of each matrix; of None None."""
    return [name and Slice(name.tensor if isinstance(name, Rows) else name, index, count, isinstance(name, Rows))
            for name in matrices]


def _plan_sum(b: _Builder, total: Part | Flat | str, other: Part | Flat | str, **op) -> None:
    """Adds `other` to `total`: a step of rate -1 along it."""
    b.call("sgd_step", total, other, -1.0, 0.0, 0.0, 1.0, np.inf, **op)


def _plan_sum_of_slices(b: _Builder, layout: params.Layout) -> None:
    """Adds the other slices' gradients to the first one's."""
    for index in range(1, b.slices):
        b.tensor(f"grads.{index}", layout.size, region=f"grads.{index}")
        for part, begin, end in b.shares(layout, 0, layout.size):
            _plan_sum(b, Part("grads", begin, end), Part(f"grads.{index}", begin, end), of="gradient", slice=part)


# ---- update ----------------------------------------------------------------------------------------------------------


def _plan_vectors(b: _Builder, optimizer: Optimizer, layout: params.Layout, *regions: str) -> None:
    vectors = {region: region for region in regions} | {name: "state" for name in optimizer.state}
    for name, region in vectors.items():
        b.tensor(name, layout.size, region=region)


def _plan_update(b: _Builder, optimizer: Optimizer, layout: params.Layout, check: bool) -> None:
    _plan_vectors(b, optimizer, layout, "params", "grads")
    clips = optimizer.clipnorm is not None or optimizer.global_clipnorm is not None or optimizer.clipvalue is not None
    _plan_sum_of_slices(b, layout)
    l2 = _plan_penalties(b, layout, in_gradient=clips)
    scales = _plan_clipping(b, optimizer, layout, check)
    clip = optimizer.clipvalue if optimizer.clipvalue is not None else np.inf
    for run_begin, run_end, decay_l2, factor, scale in _ranges(layout, l2, scales):
        for part, begin, end in b.shares(layout, run_begin, run_end):
            _plan_step(b, optimizer, begin, end, Part("grads", begin, end), decay_l2, factor, scale, clip, slice=part)
    _plan_average(b, optimizer, layout)


def _plan_step(b: _Builder, optimizer: Optimizer, begin: int, end: int, gradient: Part | Flat, l2, factor: float,
               scale: object = 1.0, clip: float = np.inf, rows: int = 0, slice: int | None = None) -> None:
    """The step of elements begin to end of the weights; `rows`: that they are; `slice`: whose part takes it."""
    if factor == 0:
        return
    arguments = [
        Scalar(argument, factor if argument == "lr" else 1.0) if isinstance(argument, str) else argument
        for argument in optimizer.arguments()
    ]
    decay = Scalar("decay", factor) if optimizer.weight_decay else 0.0
    pieces = [Part(name, begin, end) for name in ("params", *optimizer.state)]
    b.later(optimizer.kernel, *pieces, gradient, *arguments, l2, decay, scale, clip, of="optimizer", rows=rows,
            slice=slice)


def _plan_average(b: _Builder, optimizer: Optimizer, layout: params.Layout) -> None:
    if optimizer.use_ema:
        average = b.tensor("average", layout.size, region="state")
        b.later("moving_average", average, "params", optimizer.ema_momentum, of="optimizer")


def _plan_penalties(b: _Builder, layout: params.Layout, *, in_gradient: bool) -> dict[str, object]:
    """What regularizers add to the loss and, with `in_gradient`, to gradients; else the factors by which the optimizer
    adds weights to their gradients, by name."""
    l2 = {}
    for name, at in layout.places.items():
        penalty = at.regularizer
        if penalty is None or (penalty.l1 == 0 and penalty.l2 == 0):
            continue
        where = Part("params", at.begin, at.end)
        factors = penalty.l1, 2 * penalty.l2
        if penalty.per_row:
            factors = tuple(PerRow(factor) for factor in factors)
        if in_gradient or penalty.l1:
            b.call("penalty_gradient", Part("grads", at.begin, at.end), where, *factors, of=name)
        else:
            l2[name] = factors[1]
        total = "row_penalty" if penalty.per_row else "penalty"
        for kernel, factor in (("absolute_sums", penalty.l1), ("square_sums", penalty.l2)):
            if factor:
                partial = b.work(f"{name}.{kernel}", chunks(at.size), dtype="float64")
                b.call(kernel, partial, where, of=name)
                b.later("accumulate_partial", b.sum(total), partial, factor, of=name)
    return l2


def _plan_clipping(b: _Builder, optimizer: Optimizer, layout: params.Layout, check: bool) -> dict[str, object]:
    """What each weight array's gradient is multiplied by; the run's end where the gradient is not finite."""
    scales: dict[str, object] = dict.fromkeys(layout.places, 1.0)
    if optimizer.clipnorm is not None:
        for name, at in layout.places.items():
            scales[name] = _norm(b, layout, name, at.begin, at.end, optimizer.clipnorm, check)
    elif optimizer.global_clipnorm is not None or check:
        limit = optimizer.global_clipnorm if optimizer.global_clipnorm is not None else np.inf
        scale = _norm(b, layout, "gradient", 0, layout.size, limit, check)
        if optimizer.global_clipnorm is not None:
            scales = dict.fromkeys(layout.places, scale)
    return scales


def _norm(b: _Builder, layout: params.Layout, name: str, begin: int, end: int, limit: float, check: bool) -> Loaded:
    """Of the gradient's elements begin to end."""
    shares = b.shares(layout, begin, end)
    partial = b.work(f"{name}.squares", sum(chunks(last - first) for _, first, last in shares), dtype="float64")
    scale, norm = (b.work(f"{name}.{what}", 1, dtype="float64") for what in ("scale", "norm"))
    done = 0
    for part, first, last in shares:
        sums = Part(partial, done, done + chunks(last - first))
        b.call("square_sums", sums, Part("grads", first, last), of=name, slice=part)
        done = sums.end
    b.call("clip_scale", scale, norm, partial, limit, 1.0, of=name)
    if check:
        b.call("check", norm, of=name)
    return Loaded(scale)


def _ranges(layout: params.Layout, l2: dict[str, object], scales: dict[str, object]):
    """Runs of the flat vector whose steps are taken with the same numbers: (begin, end, l2, rate factor, scale)."""
    places = sorted(layout.places.items(), key=lambda item: item[1].begin)
    runs: list[list] = []
    for name, at in places:
        key = [l2.get(name, 0.0), at.layer.learning_rate_factor, scales[name]]
        if runs and runs[-1][2:] == key:
            runs[-1][1] = at.end
        else:
            runs.append([at.begin, at.end, *key])
    return [tuple(run) for run in runs]


def _plan_backward_in_blocks(b: _Builder, done: list[_Done], dy: str, optimizer: Optimizer, layout: params.Layout,
                             seed: int, divided: dict, check: bool) -> None:
    """Backward and update in one: the kernels in `divided` are stepped block by block where their gradients are made,
    all other weights at the end."""
    _plan_vectors(b, optimizer, layout, "params")
    l2 = _plan_penalties(b, layout, in_gradient=False)
    if check:
        blocks.plan_bound(b, done, dy, layout)
    b.begun = True

    def step(name: str, begin: int, end: int, gradient: str, rows: int = 0) -> None:
        at = layout.places[name]
        _plan_step(b, optimizer, at.begin + begin, at.begin + end, Flat(gradient), l2.get(name, 0.0),
                   at.layer.learning_rate_factor, rows=rows)

    def taking(name: str) -> Callable:
        at = layout.places[name]

        def take(x: str | Rows, dy: str) -> None:
            db = _gradient(b, f"{at.layer.name}/bias", layout) if at.layer.use_bias else None
            for begin, end in divided[name]:
                columns = Columns(x.tensor if isinstance(x, Rows) else x, begin, end, isinstance(x, Rows))
                rows = end - begin  # of one tensor, whose rows keep their parts, if there are as many
                block = f"{params.gradient(name)}[{rows}]"
                if block not in b.tensors:
                    b.work(block, rows, at.shape[1])
                b.later("affine_bwd_dw", block, db if begin == 0 else None, columns, dy, b.precision, of=at.layer.name,
                        rows=rows)
                step(name, begin * at.shape[1], end * at.shape[1], block, rows)

        return take

    _plan_backward(b, done, dy, layout, seed, {name: taking(name) for name in divided})
    for name, at in layout.places.items():
        if name not in divided:
            step(name, 0, at.size, params.gradient(name))
    _plan_average(b, optimizer, layout)


# ---- whole plans -----------------------------------------------------------------------------------------------------


def train(network: Network, loss: Loss, optimizer: Optimizer, feed: Feed, batch: int, *,
          metrics: tuple[Metric, ...] = (), seed: int = 0, check: bool = True, precision: int = 0) -> Plan:
    """The plan of a training step.

    Parameters
    ----------
    network : Network
        Its `features` are known, and it has weights.
    loss : Loss
    optimizer : Optimizer
    feed : Feed
    batch : int
        Most rows of a step.
    metrics : tuple of Metric
    seed : int
        Of the dropout masks.
    check : bool, default True
        Whether loss and gradient are looked at before each update, and the run ends where they are not finite.
    precision : int, default 0
        Code of `table.PRECISIONS`: how exact products are.
    """
    layout = params.layout(network)
    chain = fuse.chain(network, loss, training=True)
    in_blocks = blocks.of(layout, optimizer, chain, batch, network.dtype)
    if check and not blocks.bounded(chain, network.dtype):
        in_blocks = {}

    def made(divided: dict) -> Plan:
        b, done, dz, rows, weight = _plan_to_loss(network, chain, loss, feed, batch, layout, metrics, seed, precision)
        if divided:
            _plan_total(b, loss, rows, weight, check)
            _plan_backward_in_blocks(b, done, dz, optimizer, layout, seed, divided, check)
        else:
            if not in_blocks:  # beside a plan in blocks stands one to the same bits
                b.slices = slices.count(chain, batch, network.dtype)
            _plan_backward(b, done, dz, layout, seed)
            _plan_total(b, loss, rows, weight, check)
            _plan_update(b, optimizer, layout, check)
        return b.finish("train", chain)

    return replace(made(in_blocks), make_whole=partial(made, {}) if in_blocks and check else None)


def gradient(network: Network, loss: Loss, feed: Feed, batch: int, *, seed: int = 0, precision: int = 0) -> Plan:
    """The plan of a training step without its update: loss and penalties added to the sums, their gradient left in
    "grads", for optimizers of others; arguments as for `train`."""
    layout = params.layout(network)
    chain = fuse.chain(network, loss, training=True)
    b, done, dz, rows, weight = _plan_to_loss(network, chain, loss, feed, batch, layout, (), seed, precision)
    b.slices = slices.count(chain, batch, network.dtype)
    _plan_backward(b, done, dz, layout, seed)
    _plan_sum_of_slices(b, layout)
    _plan_total(b, loss, rows, weight, check=False)
    for name in ("params", "grads"):
        b.tensor(name, layout.size, region=name)
    _plan_penalties(b, layout, in_gradient=True)
    return b.finish("gradient", chain)


def _plan_to_loss(network, chain, loss, feed, batch, layout, metrics, seed, precision):
    """A plan begun: from the rows to the loss and its gradient with respect to the last stage's output.

    Returns the builder, the chain's stages as they were done, and the names of that gradient, of the rows' losses, of
    their weights.
    """
    b = _Builder(network, batch, precision)
    x = _plan_input(b, feed)
    y, weight = _plan_targets(b, feed)
    _parameters(b, chain, layout)
    done = _plan_forward(b, chain, x, training=True, seed=seed)
    last = done[-1]
    z = last.y
    _plan_metrics(b, loss, chain, metrics, z, y, weight, feed)
    overwritten = last.stage.activation.kind == "linear" and last.stage.kind in ("affine", "batch_norm")
    dz = z if overwritten and not isinstance(loss, Custom) else b.work("loss.dz", "m", chain.outputs)
    return b, done, dz, _plan_loss(b, loss, chain, z, dz, y, weight, feed), weight


def evaluate(network: Network, loss: Loss, feed: Feed, batch: int, *, metrics: tuple[Metric, ...] = (),
             precision: int = 0) -> Plan:
    """The plan of the loss and metrics of a batch, added to the sums; arguments as for `train`."""
    chain = fuse.chain(network, loss)
    b = _Builder(network, batch, precision)
    x = _plan_input(b, feed)
    y, weight = _plan_targets(b, feed)
    _parameters(b, chain, params.layout(network))
    done = _plan_forward(b, chain, x, training=False)
    z = done[-1].y if done else x
    _plan_metrics(b, loss, chain, metrics, z, y, weight, feed)
    _plan_total(b, loss, _plan_loss(b, loss, chain, z, None, y, weight, feed), weight, check=False)
    return b.finish("evaluate", chain)


def predict(network: Network, feed: Feed, batch: int, *, precision: int = 0, split: bool = False) -> Plan:
    """The plan of a batch's outputs, written to their rows of "data.out"; arguments as for `train`.

    `split`: whether products of few rows with large kernels are made by ranges of their inputs. It takes more ops,
    which a walker in Python spends more time on than it saves.
    """
    chain = fuse.chain(network)
    b = _Builder(network, batch, precision, ranges=split_k.ranges(chain, batch, network.dtype) if split else {})
    x = _plan_input(b, feed)
    out = Rows(b.tensor("data.out", "rows", chain.outputs, region="data"))
    _parameters(b, chain, params.layout(network))
    if chain.stages:
        _plan_forward(b, chain, x, training=False, out=out)
    else:
        b.call("activation_fwd", _flat(out), _flat(x), 0, 0.0, of="data")
    return b.finish("predict", chain)
