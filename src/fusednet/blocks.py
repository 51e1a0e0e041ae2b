"""Weight gradients in blocks: which kernels' gradients are made some rows at a time, each taken into the weights before
the next is made, and the bound that allows it.

Reads plan.py (arguments), params.py (places), fuse.py (stages), optimizers.py, the kernel list; read by planner.py.

a) The gradient of a large kernel is as much memory as the kernel, and is written, looked at and read. In blocks it
   stays in the caches, and no more of it is there than one block. That saves memory where kernels are large, and time
   where batches are short: what is looked at instead of gradients grows with the batch, a gradient does not.
b) A step that fails has changed nothing, so before the first weight changes it must be certain that no number of the
   way back overflows. That is bounded from above: by Cauchy and Schwarz no element of x^T dy, nor any sum on the way to
   it, is above |x| |dy|, and |dy W^T| is at most |dy| |W| (norms of all elements). The sums of squares that this takes
   are those of weights, inputs and one gradient: about what looking at the gradients took.
c) Where the bound is too large nothing is known: a gradient may be finite. `Plan.whole` is walked then, which makes all
   gradients and looks at them, and does so for the rest of the training. A training whose numbers are far below 1e32
   never comes there; one that diverges does, a step or a few before it fails; one of a network so deep that the bound,
   a product over its layers, says nothing, at its first step. Where activations and normalisations alone bring it to
   1e32 (nine batch normalisations with an epsilon of 0.001 do) there are no blocks.
d) A block is a range of rows of the kernel: its place in the flat vector is one range, and its elements' sums are those
   of the whole product, so the bits are the same, but for the sign of a zero all of whose terms underflow.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from fusednet import params
from fusednet.backends.table import chunks
from fusednet.fuse import Chain, Stage
from fusednet.optimizers import Optimizer
from fusednet.plan import Chunks, Flat, Loaded, Part, Rows

LARGE = 4 << 20
"""Bytes of a gradient from which on it is made in blocks."""

WORTH = 512 << 10
"""The same where batches are short: where the bound squares fewer numbers of a batch than there are in such gradients.
2026-11, Granite Rapids, network of job `mnist` (kernels of 1.6 and 1 MB), speed over that with whole gradients, 1 and
2 threads: batches of 32 1.14 and 1.23, of 128 1.03 and 1.06 ("medium": 1.05 and 1.10), of 256 0.97 and 1.04; of 512,
which are not short, 1.00 and 1.01. With kernels of 256 KB, too, `tabular` has 0.98 and 0.98, `book` 1.01 and 0.97."""

LARGE_PENALIZED = 1 << 20
"""The same where a penalty sums the squares of the weights anyway."""

BLOCK = 1 << 20
"""Bytes of a block at least."""

ROWS = 256
"""Of a block at least, unless a kernel is one: each packs dy once more, which takes more than is saved by not writing
gradients. 2026-11, Zen 5, speed of job `wide` over that with whole gradients, 1 thread: 128 rows 0.98, 256 and 384 rows
0.97, 512 rows 0.98, 1024 rows 1.03, all within 0.03. Granite Rapids, over 256 rows, 1 and 2 threads: 384 rows 1.00 and
1.02, 512 rows 0.98 and 1.05. With 256 rows it takes 1.09 times parameters, moments and activations, with 384 and 512
rows 1.10 and more."""

_LEAST = 64  # rows of the last block: products of a few may take another form
_GRAIN = 16  # rows: columns of x then begin at a vector
_MOST = {"float32": 1e32, "float64": 1e300}  # of a bound: what is left below overflow is for rounding, and sums of rows


def of(layout: params.Layout, optimizer: Optimizer, chain: Chain, batch: int,
       dtype: str) -> dict[str, tuple[tuple[int, int], ...]]:
    """The blocks, begin and end in rows, of each kernel that is worth it; none where something needs whole gradients.

    Parameters
    ----------
    layout : Layout
    optimizer : Optimizer
    chain : Chain
    batch : int
    dtype : str

    Returns
    -------
    dict of str to tuple of (int, int)
    """
    if optimizer.clipnorm is not None or optimizer.global_clipnorm is not None or optimizer.clipvalue is not None:
        return {}
    if any(at.regularizer is not None and at.regularizer.l1 for at in layout.places.values()):
        return {}
    itemsize = np.dtype(dtype).itemsize
    kernels = {
        name: at
        for name, at in layout.places.items()
        if len(at.shape) == 2 and (at.size * itemsize <= BLOCK or at.shape[0] >= 2 * ROWS)
    }
    squared = batch * sum(stage.inputs for stage in chain.stages if stage.has_parameters)
    short = squared <= sum(at.size for at in kernels.values() if at.size * itemsize >= WORTH)
    return {
        name: _divided(at.shape[0], at.shape[1] * itemsize)
        for name, at in kernels.items()
        if at.size * itemsize >= _least(at, short)
    }


def _least(at: params.Place, short: bool) -> int:
    """Bytes of a gradient from which on it is made in blocks."""
    if short:
        return WORTH
    return LARGE_PENALIZED if at.regularizer is not None and at.regularizer.l2 else LARGE


def _divided(rows: int, row_bytes: int) -> tuple[tuple[int, int], ...]:
    count = max(1, min(-(-rows * row_bytes // BLOCK), rows // ROWS))
    each = -(-rows // (count * _GRAIN)) * _GRAIN
    begins = [begin for begin in range(0, rows, each) if begin == 0 or rows - begin >= _LEAST]
    return tuple(pairwise((*begins, rows)))


def bounded(chain: Chain, dtype: str) -> bool:
    """Whether `plan_bound` can succeed.

    Parameters
    ----------
    chain : Chain
    dtype : str
    """
    return _growth(chain.stages) < _MOST[dtype]


def plan_bound(b, done: list, dy: str, layout: params.Layout) -> None:
    """Checks "bound" that fail unless all that the way back makes of `dy` is finite.

    Parameters
    ----------
    b : planner._Builder
    done : list of planner._Done
        The stages; from the first with parameters on they are gone back through.
    dy : str
        The gradient with respect to the last stage's output.
    layout : Layout
    """
    # the bound is kept so many times larger that doubles overflow where it is too large
    scale = np.finfo(np.float64).max / _MOST[b.network.dtype]
    growth = _growth([entry.stage for entry in done])
    norms = [_Norm("dy", Flat(dy), _of_rows(b, "dy", b.tensors[dy].shape[1]), goes_on=True)]
    first = next(i for i, entry in enumerate(done) if entry.stage.has_parameters)
    for i in range(len(done) - 1, first - 1, -1):
        entry, stage = done[i], done[i].stage
        if not stage.has_parameters:
            continue
        x = Rows(entry.x.tensor, flat=True) if isinstance(entry.x, Rows) else Flat(entry.x)
        norms.append(_Norm(f"{stage.name}.x", x, _of_rows(b, f"{stage.name}.x", stage.inputs)))
        if i > first:
            name = f"{stage.name}/kernel" if stage.kind == "affine" else f"{stage.name}/gamma"
            partial = f"{name}.square_sums"
            at = layout.places[name]
            known = partial in b.tensors  # a penalty has them too
            if not known:
                b.work(partial, chunks(at.size), dtype="float64")
            norms.append(_Norm(name, None if known else Part("params", at.begin, at.end), partial, goes_on=True))
    for norm in norms:  # all of them side by side: threads meet once
        if norm.x is not None:
            b.call("square_sums", norm.partial, norm.x, of=norm.of)
    bound: float | Loaded = scale * growth
    for norm in norms:
        product = _times_norm(b, norm, bound)
        bound = product if norm.goes_on else bound


class _Norm(NamedTuple):
    """A factor of the bound, and whether those after it are bounded by it too; x None: its sums of squares, in
    `partial`, are made elsewhere."""

    of: str
    x: Flat | Part | Rows | None
    partial: str | Chunks
    goes_on: bool = False


def _of_rows(b, name: str, columns: int) -> Chunks:
    return Chunks(b.work(f"{name}.square_sums", chunks(b.batch * columns), dtype="float64"), columns)


def _times_norm(b, norm: _Norm, bound: float | Loaded) -> Loaded:
    """`bound` times the norm, checked."""
    scale, product = (b.work(f"{norm.of}.bound {what}", 1, dtype="float64") for what in ("scale", "norm"))
    b.call("clip_scale", scale, product, norm.partial, np.inf, bound, of=norm.of)
    b.call("check", product, of="bound")
    return Loaded(product)


def _growth(stages: Sequence[Stage]) -> float:
    """By how much at most stages make a gradient larger that goes back through them, weights apart; 1 at least."""
    return math.prod(map(_growth_of_one, stages))


def _growth_of_one(stage: Stage) -> float:
    """The same of one stage.

    No activation's slope is above 2, or above its alpha. A softmax adds to a gradient at most another of its size. A
    batch normalisation multiplies by gamma / sqrt(var + epsilon), takes away the share of mean and x, and multiplies by
    that root once more on the way to it.
    """
    alpha = stage.activation.alpha or 0.0
    slope = 1.0 if stage.activation.kind == "linear" else max(2.0, alpha)
    if stage.kind == "dropout":
        return slope / (1 - stage.layer.rate)
    if stage.kind == "softmax":
        return 2 * slope
    if stage.kind == "batch_norm":
        return slope * 4 * max(1.0, 1 / stage.layer.epsilon)
    return slope
