"""Overfitting, as in the book's chapter 6: 300 rows, a large network; nothing, weight decay or dropout against it.

Reads book_ch06.py. Six hidden layers of 100, relu, SGD; weight decay 0.1, dropout 0.2.
"""

import book_ch06 as common
import matplotlib.pyplot as plt
import numpy as np

from fusednet.book.multi_layer_net_extend import MultiLayerNetExtend
from fusednet.book.trainer import Trainer

WAYS = {"nothing": {}, "weight decay 0.1": {"weight_decay_lambda": 0.1},
        "dropout 0.2": {"use_dropout": True, "dropout_ration": 0.2}}


def train(data: common.Digits, epochs: int, **ways) -> Trainer:
    np.random.seed(0)
    network = MultiLayerNetExtend(data.features, [100] * 6, 10, **ways)
    trainer = Trainer(network, data.x_train[:300], data.t_train[:300], data.x_test, data.t_test, epochs=epochs,
                      optimizer_param={"lr": 0.01}, verbose=False)
    trainer.train()
    return trainer


def main() -> None:
    options = common.options(__doc__.splitlines()[0], mnist=True)
    data, epochs = common.digits(options.data), 5 if options.quick else 301
    figure, axes = plt.subplots(1, 3, figsize=(13, 4), sharey=True, layout="constrained")
    for place, (name, ways) in zip(axes, WAYS.items(), strict=True):
        trainer = train(data, epochs, **ways)
        place.plot(trainer.train_acc_list, label="training rows")
        place.plot(trainer.test_acc_list, label="test rows")
        place.set(title=name, xlabel="epoch", ylim=(0, 1.02))
        gap = trainer.train_acc_list[-1] - trainer.test_acc_list[-1]
        print(f"{name:17} accuracy {trainer.train_acc_list[-1]:.3f} in training, {trainer.test_acc_list[-1]:.3f} in "
              f"the test, {gap:.3f} between")
    axes[0].set_ylabel("accuracy")
    axes[0].legend(loc="lower right")
    common.save(figure, options.out, "book_ch06_overfitting")


if __name__ == "__main__":
    main()
