"""Random search of hyperparameters, as in the book's chapter 6: learning rate and weight decay on 500 rows.

Reads book_ch06.py. Both are drawn uniformly on a logarithmic scale; the picture has the best 20 trainings by their
accuracy on a fifth of the rows, which is kept for validation.
"""

import book_ch06 as common
import matplotlib.pyplot as plt
import numpy as np

from fusednet.book.multi_layer_net import MultiLayerNet
from fusednet.book.trainer import Trainer
from fusednet.book.util import shuffle_dataset


def train(x, t, x_val, t_val, rate: float, decay: float, epochs: int) -> Trainer:
    network = MultiLayerNet(x.shape[1], [100] * 6, 10, weight_decay_lambda=decay)
    trainer = Trainer(network, x, t, x_val, t_val, epochs=epochs, optimizer="sgd", optimizer_param={"lr": rate},
                      verbose=False)
    trainer.train()
    return trainer


def main() -> None:
    options = common.options(__doc__.splitlines()[0], mnist=True)
    data, trials, epochs = common.digits(options.data), 20 if options.quick else 100, 2 if options.quick else 50
    np.random.seed(0)
    x, t = shuffle_dataset(data.x_train[:500], data.t_train[:500])
    found = []
    for _ in range(trials):
        decay, rate = 10 ** np.random.uniform(-8, -4), 10 ** np.random.uniform(-6, -2)
        found.append((train(x[100:], t[100:], x[:100], t[:100], rate, decay, epochs), rate, decay))
    found.sort(key=lambda trial: trial[0].test_acc_list[-1], reverse=True)
    figure, axes = plt.subplots(4, 5, figsize=(14, 9), sharex=True, sharey=True, layout="constrained")
    for i, (place, (trainer, rate, decay)) in enumerate(zip(axes.flat, found, strict=False), 1):
        place.plot(trainer.test_acc_list, label="validation")
        place.plot(trainer.train_acc_list, "--", label="training")
        place.set(title=f"best {i}: lr {rate:.4f}, decay {decay:.0e}", ylim=(0, 1.02))
        place.title.set_fontsize(8)
        if i <= 5:
            print(f"best {i}: accuracy {trainer.test_acc_list[-1]:.2f}, learning rate {rate:.5f}, decay {decay:.1e}")
    axes[0, 0].legend(loc="lower right", fontsize=8)
    figure.supxlabel("epoch")
    figure.supylabel("accuracy")
    common.save(figure, options.out, "book_ch06_hyperparameters")


if __name__ == "__main__":
    main()
