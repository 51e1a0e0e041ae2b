"""Where parameters lie: one flat vector, a place in it for each weight array.

Reads spec.py and arena.py (alignment); read by planner.py (the places) and memory.py (the arrays).

a) One vector for all weights makes an optimizer step one call, a copy one copy, a norm one sum.
b) Weight matrices come first, then all others: what is penalised or decayed apart lies together.
c) Every array begins on a 64-byte boundary; what lies between stays 0 in weights, gradients and moments.
"""

import math
import sys
from dataclasses import dataclass

import numpy as np

from fusednet.arena import ALIGNMENT, aligned
from fusednet.spec import L1L2, BatchNormalization, Dense, Layer, Network


def empty(elements: int, dtype, fill: float | None = None) -> np.ndarray:
    """A 1-D array that begins on a 64-byte boundary; `fill` None leaves its content undefined."""
    dtype = np.dtype(dtype)
    if elements * dtype.itemsize > sys.maxsize // 2:  # NumPy would speak of dimensions
        raise MemoryError(f"Unable to allocate {elements:,} numbers of {dtype}: there are not as many addresses")
    raw = np.empty(elements * dtype.itemsize + ALIGNMENT, np.uint8)
    begin = -raw.__array_interface__["data"][0] % ALIGNMENT
    array = raw[begin : begin + elements * dtype.itemsize].view(dtype)
    if fill is not None:
        array.fill(fill)
    return array


def gradient(name: str, index: int = 0) -> str:
    """What plans call a weight array's gradient, of the whole batch or of its slice `index`; no layer's name has a "/",
    so that no weight array is called so."""
    return f"d/{name}.{index}" if index else f"d/{name}"


@dataclass(frozen=True)
class Place:
    """A parameter's place in the flat vector.

    Attributes
    ----------
    name : str
        "layer/kernel", "layer/bias", "layer/gamma" or "layer/beta".
    layer : Layer
    shape : tuple of int
    begin, end : int
        Elements of the vector; `end` is that of the array, not of the gap behind it.
    initializer : object
    regularizer : L1L2 or None
    """

    name: str
    layer: Layer
    shape: tuple[int, ...]
    begin: int
    end: int
    initializer: object
    regularizer: L1L2 | None

    @property
    def size(self) -> int:
        return self.end - self.begin


@dataclass(frozen=True)
class Layout:
    """All places.

    Attributes
    ----------
    places : dict of str to Place
        In the order of the layers (kernel, bias; gamma, beta), which is that of `get_weights`.
    size : int
        Elements of the flat vector.
    running : dict of str to int
        Columns of running statistics, "layer/running_mean" and "layer/running_var".
    """

    places: dict[str, Place]
    size: int
    running: dict[str, int]

    @property
    def count(self) -> int:
        """Number of trainable weights."""
        return sum(place.size for place in self.places.values())


def layout(network: Network) -> Layout:
    """The places of a network's parameters; its `features` are known."""
    wanted, running = [], {}
    width = network.features
    for layer, out in zip(network.layers, network.widths, strict=True):
        if isinstance(layer, Dense):
            kernel, bias = f"{layer.name}/kernel", f"{layer.name}/bias"
            wanted.append((kernel, layer, (width, out), layer.kernel_initializer, layer.kernel_regularizer))
            if layer.use_bias:
                wanted.append((bias, layer, (out,), layer.bias_initializer, layer.bias_regularizer))
        elif isinstance(layer, BatchNormalization):
            wanted.append((f"{layer.name}/gamma", layer, (out,), layer.gamma_initializer, None))
            wanted.append((f"{layer.name}/beta", layer, (out,), layer.beta_initializer, None))
            running[f"{layer.name}/running_mean"] = out
            running[f"{layer.name}/running_var"] = out
        width = out
    itemsize = np.dtype(network.dtype).itemsize
    places, offset = {}, 0
    for matrices in (True, False):
        for name, layer, shape, initializer, regularizer in wanted:
            if (len(shape) == 2) is matrices:
                size = math.prod(shape)
                places[name] = Place(name, layer, shape, offset, offset + size, initializer, regularizer)
                offset += aligned(size * itemsize) // itemsize
    return Layout({name: places[name] for name, *_ in wanted}, offset, running)
