"""Batch normalisation, as in the book's chapter 6: training with and without it from 16 scales of initial weights.

Reads book_ch06.py. Five hidden layers of 100, relu, 1000 rows, SGD with a learning rate of 0.01.
"""

import book_ch06 as common
import matplotlib.pyplot as plt
import numpy as np

from fusednet.book.multi_layer_net_extend import MultiLayerNetExtend
from fusednet.book.trainer import Trainer

SCALES = np.logspace(0, -4, num=16)


def accuracies(scale: float, data: common.Digits, epochs: int, norm: bool) -> list[float]:
    """On the rows of the training, epoch by epoch."""
    np.random.seed(0)
    network = MultiLayerNetExtend(data.features, [100] * 5, 10, weight_init_std=scale, use_batchnorm=norm)
    trainer = Trainer(network, data.x_train[:1000], data.t_train[:1000], data.x_test[:1], data.t_test[:1],
                      epochs=epochs, verbose=False)
    trainer.train()
    return trainer.train_acc_list


def main() -> None:
    options = common.options(__doc__.splitlines()[0], mnist=True)
    data, epochs = common.digits(options.data), 2 if options.quick else 20
    figure, axes = plt.subplots(4, 4, figsize=(12, 10), sharex=True, sharey=True, layout="constrained")
    for place, scale in zip(axes.flat, SCALES, strict=True):
        with np.errstate(all="ignore"):  # without it large scales overflow, which is what is shown
            curves = {norm: accuracies(scale, data, epochs, norm) for norm in (True, False)}
        place.plot(curves[True], label="with batch norm")
        place.plot(curves[False], "--", label="without")
        place.set(title=f"W: {scale:.5f}", ylim=(0, 1.02))
        print(f"scale {scale:.5f}: accuracy {curves[True][-1]:.3f} with, {curves[False][-1]:.3f} without")
    axes[0, 0].legend(loc="lower right", fontsize=8)
    figure.supxlabel("epoch")
    figure.supylabel("accuracy on the training rows")
    common.save(figure, options.out, "book_ch06_batch_norm")


if __name__ == "__main__":
    main()
