"""fusednet.book's networks, optimizers and trainer against plain NumPy, on both roads: 200 steps from the same seed.

Reads book_reference.py. Every option stands beside every optimizer; depths and initial values take turns.
"""

import itertools

import book_reference as reference
import numpy as np
import pytest

from fusednet import load_digits
from fusednet.book import set_dtype, trainer
from fusednet.book._run import Stretches
from fusednet.book.multi_layer_net import MultiLayerNet
from fusednet.book.multi_layer_net_extend import MultiLayerNetExtend
from fusednet.book.trainer import Trainer

STEPS, BATCH, ROWS, TEST_ROWS, WIDTH = 200, 20, 500, 100, 16
RATES = {"sgd": 0.01, "momentum": 0.005, "nesterov": 0.005, "adagrad": 0.01, "rmsprop": 0.001, "adam": 0.001}
INITS = ("relu", "he", "sigmoid", "xavier", 0.1, 0.01)
DECAY, DROPOUT = 0.05, 0.3
BOUND = 1e-9


def data():
    x, t = load_digits()
    x = np.asarray(x, np.float64) / 16
    return x[:ROWS], np.asarray(t[:ROWS]), x[ROWS : ROWS + TEST_ROWS], np.asarray(t[ROWS : ROWS + TEST_ROWS])


def cases():
    options = list(itertools.product((False, True), (None, DROPOUT), (0, DECAY)))
    for i, ((norm, dropout, decay), rule) in enumerate(itertools.product(options, RATES)):
        depth, init, activation = 1 + (i + i // 6) % 6, INITS[(i + i // 8) % 6], ("relu", "sigmoid")[i // 3 % 2]
        words = [rule, f"{depth}-hidden", activation, str(init)]
        words += ["norm"] * norm + ["dropout"] * (dropout is not None) + ["decay"] * bool(decay)
        yield pytest.param(depth, norm, dropout, decay, rule, init, activation, id="-".join(words))


def referred(depth, norm, dropout, decay, rule, init, activation):
    """Losses, the accuracy of the test rows, and the next random number, of plain NumPy."""
    x, t, x_test, t_test = data()
    np.random.seed(0)
    network = reference.Network([64] + [WIDTH] * depth + [10], activation, init, decay, norm, dropout)
    losses = reference.train(network, reference.Optimizer(rule, lr=RATES[rule]), x, t, STEPS, BATCH)
    return np.array(losses), network.accuracy(x_test, t_test), np.random.rand()


def trained(depth, norm, dropout, decay, rule, init, activation, *, fast, one_hot=False):
    x, t, x_test, t_test = data()
    if one_hot:
        t = np.eye(10)[t]
    np.random.seed(0)
    network = MultiLayerNetExtend(64, [WIDTH] * depth, 10, activation, init, decay, dropout is not None,
                                  0.5 if dropout is None else dropout, norm)
    training = Trainer(network, x, t, x_test, t_test, epochs=STEPS * BATCH / ROWS, mini_batch_size=BATCH,
                       optimizer=rule, optimizer_param={"lr": RATES[rule]}, verbose=False)
    assert training._stretches() is not None
    if not fast:
        training._stretches = lambda: None
    training.train()
    return np.array(training.train_loss_list), network.accuracy(x_test, t_test), np.random.rand(), training


def distance(a, b) -> float:
    return float(np.max(np.abs(a - b) / np.abs(b)))


@pytest.mark.parametrize("case", [pytest.param(p.values, id=p.id) for p in cases()])
def test_book_losses_are_the_references(case):
    losses, accuracy, number = referred(*case)
    for fast in (True, False):
        mine, my_accuracy, my_number, _ = trained(*case, fast=fast)
        assert len(mine) == STEPS and distance(mine, losses) < BOUND, ("plain", "engine")[fast]
        assert my_accuracy == accuracy
        assert my_number == number  # as many random numbers were drawn


USUAL = (2, True, DROPOUT, DECAY, "adam", "he", "relu")


@pytest.mark.parametrize("name, value", [("EPSILON", 1.01e-6), ("TINY", 1.01e-7), ("DECAY", None), ("RATE", None)])
def test_book_comparison_sees_a_small_difference(monkeypatch, name, value):
    if value is not None:
        monkeypatch.setattr(reference, name, value)
        case = USUAL
    elif name == "DECAY":
        case = (*USUAL[:3], DECAY * 1.0001, *USUAL[4:])
    else:
        monkeypatch.setitem(RATES, "adam", 0.001 * (1 + 1e-6))
        losses = referred(*USUAL)[0]
        monkeypatch.undo()
        assert distance(trained(*USUAL, fast=True)[0], losses) > BOUND
        return
    assert distance(trained(*USUAL, fast=True)[0], referred(*case)[0]) > BOUND


def test_book_one_hot_rows_are_labels():
    for fast in (True, False):
        mine = trained(*USUAL, fast=fast)[0]
        other = trained(*USUAL, fast=fast, one_hot=True)[0]
        assert distance(other, mine) < 1e-12


def test_book_roads_leave_the_same_behind():
    *_, fast = trained(*USUAL, fast=True)
    *_, plain = trained(*USUAL, fast=False)
    assert fast.test_acc_list == plain.test_acc_list and fast.train_acc_list == plain.train_acc_list
    assert (fast.current_iter, fast.current_epoch) == (plain.current_iter, plain.current_epoch) == (STEPS, 8)
    assert fast.optimizer.iter == plain.optimizer.iter == STEPS
    for key in fast.network.params:
        for mine, other in ((fast.network.params, plain.network.params), (fast.optimizer.m, plain.optimizer.m),
                            (fast.optimizer.v, plain.optimizer.v)):
            # of the gradient of a bias before a batch normalisation, which is 0, rounding is all that is left
            np.testing.assert_allclose(mine[key], other[key], rtol=1e-9, atol=1e-10)
    for what in ("running_mean", "running_var"):
        np.testing.assert_allclose(getattr(fast.network.layers["BatchNorm2"], what),
                                   getattr(plain.network.layers["BatchNorm2"], what), rtol=1e-9)


def test_book_prints_what_the_book_prints(capsys):
    x, t, x_test, t_test = data()
    texts = []
    for fast in (True, False):
        np.random.seed(0)
        training = Trainer(MultiLayerNet(64, [8], 10), x, t, x_test, t_test, epochs=2, mini_batch_size=250)
        if not fast:
            training._stretches = lambda: None
        training.train()
        texts.append(capsys.readouterr().out)
    lines = texts[0].splitlines()
    assert [line.split(":")[0] for line in lines] == [
        *("train loss", "=== epoch", "train loss", "train loss", "=== epoch", "train loss"),
        *("=============== Final Test Accuracy ===============", "test acc"),
    ]
    assert lines[1].startswith("=== epoch:1, train acc:0.") and lines[1].endswith(" ===")
    assert [line[:20] for line in lines] == [line[:20] for line in texts[1].splitlines()]


def test_book_interrupted_training_stands_between_steps(monkeypatch):
    x, t, x_test, t_test = data()

    def make():
        np.random.seed(0)
        network = MultiLayerNetExtend(64, [WIDTH] * 2, 10, use_dropout=True, use_batchnorm=True)
        return Trainer(network, x, t, x_test, t_test, epochs=4, mini_batch_size=BATCH, verbose=False)

    whole = make()
    whole.train()
    broken = make()
    advance = Stretches.run

    def run(self, steps):
        inner = self.runner.advance

        def some(number, progress):
            inner(7, progress)
            raise KeyboardInterrupt

        monkeypatch.setattr(self.runner, "advance", some)
        try:
            advance(self, steps)
        finally:
            monkeypatch.setattr(self.runner, "advance", inner)

    broken.train_step()
    monkeypatch.setattr(Stretches, "run", run)
    with pytest.raises(KeyboardInterrupt):
        broken.train()
    monkeypatch.undo()
    assert broken.current_iter == len(broken.train_loss_list) == 8
    for _ in range(whole.max_iter - 8):
        broken.train_step()
    assert distance(np.array(broken.train_loss_list), np.array(whole.train_loss_list)) < 1e-10


def test_book_changed_parts_go_the_plain_road():
    x, t, x_test, t_test = data()

    def road(change, network=None):
        network = network or MultiLayerNetExtend(64, [8, 8], 10, use_batchnorm=True)
        training = Trainer(network, x, t, x_test, t_test, verbose=False)
        change(training)
        return training._stretches() is not None

    class Mine(MultiLayerNet):
        def predict(self, x):
            return super().predict(x) * 2

    assert road(lambda training: None)
    assert not road(lambda training: None, Mine(64, [8], 10))
    assert not road(lambda training: setattr(training.network.layers["Affine1"], "forward", None))
    assert not road(lambda training: training.network.params.update(W1=np.zeros((64, 8))))
    assert not road(lambda training: training.network.layers.pop("BatchNorm1"))
    assert not road(lambda training: setattr(training.network, "loss", lambda x, t: 0.0))
    assert not road(lambda training: setattr(training, "train_step", lambda: None))
    assert not road(lambda training: setattr(training, "t_train", np.eye(10)[t] * 0.9))
    assert not road(lambda training: setattr(training, "optimizer", object()))


def test_book_what_is_changed_between_stretches_counts():
    """Weights, state and options may be changed while the trainer prints; both roads take notice."""
    x, t, x_test, t_test = data()
    results = []
    for fast in (True, False):
        np.random.seed(0)
        network = MultiLayerNetExtend(64, [8], 10, use_batchnorm=True, use_dropout=True)
        training = Trainer(network, x, t, x_test, t_test, epochs=6, optimizer="momentum", verbose=False)
        tell = training._tell_accuracies

        def change(accuracy, training=training, tell=tell):
            tell(accuracy)
            epoch, network = training.current_epoch, training.network
            if epoch == 2:
                network.params["W1"] *= 0.5
                training.optimizer.lr = 0.05
            elif epoch == 3:
                network.layers["BatchNorm1"].running_mean = np.ones(8)
                training.optimizer.v["b1"] = np.ones(8)
            elif epoch == 4:
                network.layers["Dropout1"].dropout_ratio = 0.1
                network.layers["BatchNorm1"].momentum = 0.5
                training.optimizer.momentum = 0.5
            elif epoch == 5:
                training.optimizer.v = None

        training._tell_accuracies = change
        if not fast:
            training._stretches = lambda: None
        training.train()
        results.append(np.array(training.train_loss_list))
    assert distance(*results) < 1e-10


def test_book_weights_of_own_making_are_trained():
    """A subclass's gradient is used, and the numbers are those of its own arithmetic."""
    x, t, x_test, t_test = data()

    class Half(MultiLayerNet):
        def gradient(self, x, t):
            return {key: 0.5 * value for key, value in super().gradient(x, t).items()}

    results = []
    for kind, rate in ((Half, 0.1), (MultiLayerNet, 0.05)):
        np.random.seed(0)
        training = Trainer(kind(64, [8], 10), x, t, x_test, t_test, epochs=2, optimizer_param={"lr": rate},
                           verbose=False)
        training.train()
        results.append(np.array(training.train_loss_list))
    assert distance(*results) < 1e-12


def test_book_float32_is_near_float64():
    x, t, x_test, t_test = data()
    losses = []
    for dtype in ("float64", "float32"):
        set_dtype(dtype)
        try:
            np.random.seed(0)
            network = MultiLayerNetExtend(64, [WIDTH], 10, use_batchnorm=True)
        finally:
            set_dtype("float64")
        training = Trainer(network, x, t, x_test, t_test, epochs=2, verbose=False)
        training.train()
        assert network.params["W1"].dtype == dtype
        losses.append(np.array(training.train_loss_list, np.float64))
    assert 0 < distance(*losses) < 1e-4


def test_book_bytes_are_trained_as_they_are():
    """Rows of any dtype: no copy of the data is made, batches are converted."""
    x, t, x_test, t_test = data()
    losses = []
    for kind in (np.float64, np.uint8, np.float32):
        np.random.seed(0)
        training = Trainer(MultiLayerNet(64, [8], 10), (x * 16).astype(kind), t, x_test, t_test, epochs=1,
                           verbose=False)
        assert training._stretches() is not None
        training.train()
        losses.append(np.array(training.train_loss_list))
    assert distance(losses[1], losses[0]) == distance(losses[2], losses[0]) == 0


@pytest.mark.parametrize("options, message", [
    ({"optimizer": "sdg"}, r"Trainer: optimizer is 'sdg'; known: sgd"),
    ({"mini_batch_size": 0}, r"mini_batch_size is 0; wanted a whole number, 1 or more"),
    ({"mini_batch_size": 2.5}, r"mini_batch_size is 2.5; wanted a whole number, 1 or more"),
    ({"x_train": np.zeros((0, 64)), "t_train": np.zeros(0, int)}, r"Trainer: x_train has no rows"),
    ({"t_train": np.zeros(3, int)}, r"x_train has 500 rows, t_train has 3"),
])
def test_book_trainer_refuses(options, message):
    x, t, x_test, t_test = data()
    arguments = {"x_train": x, "t_train": t, "x_test": x_test, "t_test": t_test} | options
    with pytest.raises(ValueError, match=message):
        Trainer(MultiLayerNet(64, [8], 10), **arguments)


def test_book_label_out_of_range_is_refused_before_anything_changes():
    x, t, x_test, t_test = data()
    t = t.copy()
    t[:] = 10
    training = Trainer(MultiLayerNet(64, [8], 10), x, t, x_test, t_test, verbose=False)
    before = training.network.params["W1"].copy()
    with pytest.raises(ValueError, match=r"SoftmaxWithLoss: t\[0\] is 10; wanted labels of 0 to 9"):
        training.train()
    assert (training.network.params["W1"] == before).all()


def test_book_names_of_optimizers():
    x, t, x_test, t_test = data()
    for name in ("rmsprpo", "RMSprop", "rmsprop"):
        training = Trainer(MultiLayerNet(64, [8], 10), x, t, x_test, t_test, optimizer=name, optimizer_param={})
        assert type(training.optimizer) is trainer.RMSprop
