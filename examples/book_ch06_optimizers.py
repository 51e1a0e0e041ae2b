"""Optimizers compared, as in the book's chapter 6: paths to a minimum in two dimensions, and losses on digits.

Reads book_ch06.py. The function is x^2 / 20 + y^2, a long valley; the network has four hidden layers of 100.
"""

import book_ch06 as common
import matplotlib.pyplot as plt
import numpy as np

from fusednet.book.multi_layer_net import MultiLayerNet
from fusednet.book.optimizer import SGD, AdaGrad, Adam, Momentum, Nesterov, RMSprop
from fusednet.book.util import smooth_curve

PATHS = {"SGD": SGD(0.95), "Momentum": Momentum(0.1), "Nesterov": Nesterov(0.05), "AdaGrad": AdaGrad(1.5),
         "RMSprop": RMSprop(0.3, 0.9), "Adam": Adam(0.3)}
RULES = {"SGD": SGD(), "Momentum": Momentum(), "AdaGrad": AdaGrad(), "RMSprop": RMSprop(0.001), "Adam": Adam()}


def path(rule, steps: int = 30) -> np.ndarray:
    """Places from (-7, 2) on."""
    place = {"x": -7.0, "y": 2.0}
    places = []
    for _ in range(steps):
        places.append((place["x"], place["y"]))
        rule.update(place, {"x": place["x"] / 10, "y": 2 * place["y"]})
    return np.array(places)


def losses(rule, data: common.Digits, steps: int) -> list[float]:
    """The loss of each step's batch, of the same network and the same batches for every rule."""
    np.random.seed(0)
    network = MultiLayerNet(data.features, [100] * 4, 10)
    found = []
    for _ in range(steps):
        rows = np.random.choice(len(data.x_train), 128)
        x, t = data.x_train[rows], data.t_train[rows]
        rule.update(network.params, network.gradient(x, t))
        found.append(network.loss(x, t))
    return found


def main() -> None:
    options = common.options(__doc__.splitlines()[0], mnist=True)
    data, steps = common.digits(options.data), 50 if options.quick else 2000
    figure = plt.figure(figsize=(13, 6.5), layout="constrained")
    left, right = figure.subfigures(1, 2)
    xs, ys = np.meshgrid(np.linspace(-10, 10, 200), np.linspace(-5, 5, 200))
    for axes, (name, rule) in zip(left.subplots(3, 2, sharex=True, sharey=True).flat, PATHS.items(), strict=True):
        places = path(rule)
        axes.contour(xs, ys, xs**2 / 20 + ys**2, levels=np.geomspace(0.05, 20, 10), colors="0.75", linewidths=0.7)
        axes.plot(*places.T, "o-", color="tab:red", markersize=3, linewidth=1)
        axes.plot(0, 0, "+", color="black")
        axes.set(title=name, xlim=(-10, 10), ylim=(-4, 4))
    left.supxlabel("x")
    left.supylabel("y")
    axes = right.subplots()
    for name, rule in RULES.items():
        curve = losses(rule, data, steps)
        axes.plot(smooth_curve(curve), label=name, linewidth=1)
        print(f"{name:10} loss {np.mean(curve[-20:]):.4f} at the end")
    axes.set(xlabel="step", ylabel="loss of the batch", title="a network of five layers", yscale="log")
    axes.legend()
    common.save(figure, options.out, "book_ch06_optimizers")


if __name__ == "__main__":
    main()
