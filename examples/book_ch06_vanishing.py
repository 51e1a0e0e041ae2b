"""Vanishing gradients: the norm of each weight matrix's gradient in networks of 5 to 30 layers.

Reads book_ch06.py. Sigmoid and relu, each with its own initial values, without and with batch normalisation; a batch of
200 rows, no training.
"""

import book_ch06 as common
import matplotlib.pyplot as plt
import numpy as np

from fusednet.book.multi_layer_net_extend import MultiLayerNetExtend

DEPTHS = (5, 10, 20, 30)
KINDS = {"sigmoid": ("sigmoid", False), "relu": ("relu", False), "sigmoid + batch norm": ("sigmoid", True),
         "relu + batch norm": ("relu", True)}


def norms(data: common.Digits, depth: int, activation: str, norm: bool) -> list[float]:
    """Of dW, layer by layer, divided by that of W."""
    np.random.seed(0)
    network = MultiLayerNetExtend(data.features, [100] * (depth - 1), 10, activation, activation, use_batchnorm=norm)
    grads = network.gradient(data.x_train[:200], data.t_train[:200])
    return [float(np.linalg.norm(grads[f"W{k}"]) / np.linalg.norm(network.params[f"W{k}"]))
            for k in range(1, depth + 1)]


def main() -> None:
    options = common.options(__doc__.splitlines()[0])
    data = common.digits(options.data)
    figure, axes = plt.subplots(1, 4, figsize=(14, 4), sharey=True, layout="constrained")
    for place, (name, kind) in zip(axes, KINDS.items(), strict=True):
        for depth in DEPTHS[:2] if options.quick else DEPTHS:
            found = norms(data, depth, *kind)
            place.plot(range(1, depth + 1), found, "o-", markersize=3, label=f"{depth} layers")
            print(f"{name:21} {depth:2} layers: first {found[0]:.1e}, last {found[-1]:.1e}")
        place.set(title=name, xlabel="layer", yscale="log")
    axes[0].set_ylabel("norm of dW over norm of W")
    axes[0].legend()
    common.save(figure, options.out, "book_ch06_vanishing")


if __name__ == "__main__":
    main()
