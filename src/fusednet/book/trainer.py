"""The book's trainer: mini-batches drawn with replacement, losses and accuracies in lists, lines printed as they are.

Reads the networks, optimizer.py, _run.py; read by users.

a) Two roads with the same numbers. Where the network and the optimizer are this package's and nothing of them or of the
   trainer has been replaced, stretches of steps are the engine's (_run.py); else `train_step` does one after the other.
b) On the engine's road lines are printed behind each stretch of steps, and the layers' attributes stay as they were.
c) Mended: "rmsprop" is known, beside the book's "rmsprpo".
"""

import numpy as np

from fusednet.book._gradient import blocks
from fusednet.book._run import Scores, Stretches, rows_of
from fusednet.book.multi_layer_net import MultiLayerNet
from fusednet.book.multi_layer_net_extend import MultiLayerNetExtend
from fusednet.book.optimizer import SGD, AdaGrad, Adam, Momentum, Nesterov, RMSprop

OPTIMIZERS = {"sgd": SGD, "momentum": Momentum, "nesterov": Nesterov, "adagrad": AdaGrad, "rmsprop": RMSprop,
              "rmsprpo": RMSprop, "adam": Adam}
"""By the names that `Trainer` takes."""


class Trainer:
    """Trains a network.

    Parameters
    ----------
    network : object
        With `params`, `gradient`, `loss` and `accuracy`, such as `MultiLayerNetExtend`.
    x_train, t_train, x_test, t_test : ndarray
        Rows, and labels or one-hot rows.
    epochs : int, default 20
    mini_batch_size : int, default 100
    optimizer : str, default "SGD"
        A name of `OPTIMIZERS`, in upper or lower case.
    optimizer_param : dict, default {"lr": 0.01}
        Its arguments.
    evaluate_sample_num_per_epoch : int, optional
        Only so many first rows are looked at for accuracies.
    verbose : bool, default True
        Print a line for each step and each epoch.

    Attributes
    ----------
    train_loss_list : list of float
        The loss of each step's batch after the step, without dropout.
    train_acc_list, test_acc_list : list of float
        At each epoch's first step.
    optimizer, iter_per_epoch, max_iter, current_iter, current_epoch
    """

    def __init__(self, network, x_train, t_train, x_test, t_test, epochs=20, mini_batch_size=100, optimizer="SGD",
                 optimizer_param={"lr": 0.01}, evaluate_sample_num_per_epoch=None, verbose=True):  # noqa: B006
        self.network = network
        self.verbose = verbose
        self.x_train = x_train
        self.t_train = t_train
        self.x_test = x_test
        self.t_test = t_test
        self.epochs = epochs
        self.batch_size = mini_batch_size
        self.evaluate_sample_num_per_epoch = evaluate_sample_num_per_epoch
        for what in ("train", "test"):
            x, t = getattr(self, f"x_{what}"), getattr(self, f"t_{what}")
            if len(x) != len(t):
                raise ValueError(f"Trainer: x_{what} has {len(x)} rows, t_{what} has {len(t)}; wanted as many")
            if not len(x):
                raise ValueError(f"Trainer: x_{what} has no rows")
        if not hasattr(mini_batch_size, "__index__") or mini_batch_size < 1:
            raise ValueError(f"Trainer: mini_batch_size is {mini_batch_size!r}; wanted a whole number, 1 or more")
        if not isinstance(optimizer, str) or optimizer.lower() not in OPTIMIZERS:
            raise ValueError(f"Trainer: optimizer is {optimizer!r}; known: {', '.join(OPTIMIZERS)}")
        self.optimizer = OPTIMIZERS[optimizer.lower()](**optimizer_param)
        self.train_size = x_train.shape[0]
        self.iter_per_epoch = max(self.train_size / mini_batch_size, 1)
        self.max_iter = int(epochs * self.iter_per_epoch)
        self.current_iter = 0
        self.current_epoch = 0
        self.train_loss_list = []
        self.train_acc_list = []
        self.test_acc_list = []

    def train_step(self):
        """One step, and at an epoch's first step the accuracies."""
        rows = np.random.choice(self.train_size, self.batch_size)
        x_batch, t_batch = self.x_train[rows], self.t_train[rows]
        grads = self.network.gradient(x_batch, t_batch)
        self.optimizer.update(self.network.params, grads)
        self._tell_loss(self.network.loss(x_batch, t_batch))
        if self.current_iter % self.iter_per_epoch == 0:
            self._tell_accuracies(self.network.accuracy)
        self.current_iter += 1

    def train(self):
        """All steps, then the accuracy of all test rows."""
        end = self.current_iter + self.max_iter
        fast = self._stretches()
        if fast is None:
            for _ in range(self.max_iter):
                self.train_step()
            accuracy = self.network.accuracy
        else:
            accuracy = _Accuracy(self.network)
            self._train_fast(fast, end, accuracy)
        test_acc = accuracy(self.x_test, self.t_test)
        if self.verbose:
            print("=============== Final Test Accuracy ===============")
            print("test acc:" + str(test_acc))

    def _tell_loss(self, loss) -> None:
        self.train_loss_list.append(loss)
        if self.verbose:
            print("train loss:" + str(loss))

    def _tell_accuracies(self, accuracy) -> None:
        self.current_epoch += 1
        t = self.evaluate_sample_num_per_epoch
        train_acc = accuracy(self.x_train[:t], self.t_train[:t])
        test_acc = accuracy(self.x_test[:t], self.t_test[:t])
        self.train_acc_list.append(train_acc)
        self.test_acc_list.append(test_acc)
        if self.verbose:
            print(f"=== epoch:{self.current_epoch}, train acc:{train_acc}, test acc:{test_acc} ===")

    def _stretches(self) -> Stretches | None:
        """The engine's road, where it is open."""
        kind = type(self.network)
        owner = {MultiLayerNet: MultiLayerNet, MultiLayerNetExtend: MultiLayerNetExtend}.get(kind)
        if owner is None or type(self).train_step is not Trainer.train_step or "train_step" in self.__dict__:
            return None
        if self.train_size != len(self.x_train) or self.train_size != len(self.t_train):
            return None
        return Stretches.make(self.network, owner, self.optimizer, self.x_train, self.t_train, self.batch_size)

    def _train_fast(self, fast: Stretches | None, end: int, accuracy) -> None:
        while self.current_iter < end:
            if fast is None or not fast.fits():
                fast = self._stretches()
            if fast is None:
                self.train_step()
                continue
            steps = self._until_evaluation(min(fast.most, end - self.current_iter))
            try:
                fast.run(steps)
            finally:  # an interrupt too leaves what is done in the lists
                losses = fast.losses()
                for loss in losses:
                    self._tell_loss(loss)
                self.current_iter += len(losses)
            if (self.current_iter - 1) % self.iter_per_epoch == 0:
                self._tell_accuracies(accuracy)

    def _until_evaluation(self, most: int) -> int:
        """Steps up to and with the next one that tells accuracies."""
        for steps in range(1, most):
            if (self.current_iter + steps - 1) % self.iter_per_epoch == 0:
                return steps
        return most


class _Accuracy:
    """`network.accuracy` for the same few arrays again and again."""

    def __init__(self, network):
        self.network = network
        self._known: dict = {}

    def __call__(self, x, t):
        network, scores = self.network, None
        if type(x) is np.ndarray:
            key = (x.__array_interface__["data"][0], x.shape, x.strides, x.dtype.str)
            known = self._known.get(key)
            if known is None or not known.fits(network):
                known = self._known[key] = self._make(x)
            scores = known and known(network)
        return network.accuracy(x, t) if scores is None else network._accuracy(scores, t)

    def _make(self, x) -> Scores | None:
        parts, rows = blocks(self.network), rows_of(x)
        if parts is None or rows is None or not len(rows) or rows.shape[1] != parts[0].inputs:
            return None
        return Scores(self.network, parts, rows)
