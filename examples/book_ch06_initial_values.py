"""Initial values, as in the book's chapter 6: activations of five layers as histograms, and the losses that follow.

Reads book_ch06.py. Weights are 0, or normal with deviation 1, 0.01, Xavier's sqrt(1/n) or He's sqrt(2/n).
"""

import book_ch06 as common
import matplotlib.pyplot as plt
import numpy as np

from fusednet.book.layers import Relu, Sigmoid, Tanh
from fusednet.book.multi_layer_net import MultiLayerNet
from fusednet.book.trainer import Trainer
from fusednet.book.util import smooth_curve

LAYERS, WIDTH, ROWS = 5, 100, 1000
DEVIATIONS = {"0": 0.0, "std 1": 1.0, "std 0.01": 0.01, "Xavier": (1 / WIDTH) ** 0.5, "He": (2 / WIDTH) ** 0.5}
ACTIVATIONS = {"sigmoid": (Sigmoid, (0, 1)), "relu": (Relu, (0, 1)), "tanh": (Tanh, (-1, 1))}
STARTS = {"std 0.01": 0.01, "Xavier": "sigmoid", "He": "relu"}


def activations(kind, deviation: float) -> list[np.ndarray]:
    """What each of the layers gives for normal input."""
    np.random.seed(0)
    x, found = np.random.randn(ROWS, WIDTH), []
    for _ in range(LAYERS):
        x = kind().forward(x @ (deviation * np.random.randn(WIDTH, WIDTH)))
        found.append(x)
    return found


def losses(start, data: common.Digits, steps: int) -> list[float]:
    np.random.seed(0)
    network = MultiLayerNet(data.features, [WIDTH] * 4, 10, weight_init_std=start)
    batch = 128
    trainer = Trainer(network, data.x_train, data.t_train, data.x_test, data.t_test, mini_batch_size=batch,
                      epochs=(steps + 0.5) * batch / len(data.x_train), evaluate_sample_num_per_epoch=100,
                      verbose=False)
    trainer.train()
    return trainer.train_loss_list


def main() -> None:
    options = common.options(__doc__.splitlines()[0], mnist=True)
    data, steps = common.digits(options.data), 50 if options.quick else 2000
    figure = plt.figure(figsize=(13, 13), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=(2.8, 1))
    axes = top.subplots(len(ACTIVATIONS) * len(DEVIATIONS), LAYERS)
    for i, (name, (kind, limits)) in enumerate(ACTIVATIONS.items()):
        for j, (start, deviation) in enumerate(DEVIATIONS.items()):
            line = axes[i * len(DEVIATIONS) + j]
            for k, values in enumerate(activations(kind, deviation)):
                line[k].hist(np.clip(values.ravel(), *limits), 30, range=limits, color=f"C{i}")
                line[k].set(yticks=[], xlim=limits, xticks=(*limits, sum(limits) / 2))
                line[k].tick_params(labelsize=7, pad=1, labelbottom=j == len(DEVIATIONS) - 1)
                if i + j == 0:
                    line[k].set_title(f"layer {k + 1}", fontsize=9)
            line[0].set_ylabel(f"{name}\n{start}", rotation=0, ha="right", va="center", fontsize=8)
            print(f"{name:8} {start:9} deviation in layer {LAYERS}: {values.std():.4f}")
    curves = bottom.subplots()
    for name, start in STARTS.items():
        curve = losses(start, data, steps)
        curves.plot(smooth_curve(curve), label=name)
        print(f"relu, {name:9} loss {np.mean(curve[-20:]):.4f} after {len(curve)} steps of SGD")
    curves.set(xlabel="step", ylabel="loss of the batch", ylim=(0, 2.5), title="four hidden layers with relu, SGD")
    curves.legend()
    common.save(figure, options.out, "book_ch06_initial_values")


if __name__ == "__main__":
    main()
