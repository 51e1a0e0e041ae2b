"""The book's network with batch normalisation, dropout and weight decay: `MultiLayerNetExtend`.

Reads _network.py; read by trainer.py and by users.
"""

from fusednet.book._network import Network


class MultiLayerNetExtend(Network):
    """As `MultiLayerNet`, with dropout behind and batch normalisation before each activation.

    Parameters
    ----------
    input_size, hidden_size_list, output_size, activation, weight_init_std, weight_decay_lambda
        As for `MultiLayerNet`.
    use_dropout : bool, default False
    dropout_ration : float, default 0.5
        Share of elements that are dropped; spelt as in the book.
    use_batchnorm : bool, default False

    Attributes
    ----------
    params : dict of str to ndarray
        "W1", "b1", "gamma1", "beta1", ...
    layers : OrderedDict
        "Affine1", "BatchNorm1", "Activation_function1", "Dropout1", ...
    last_layer : SoftmaxWithLoss
    """

    def __init__(self, input_size, hidden_size_list, output_size, activation="relu", weight_init_std="relu",
                 weight_decay_lambda=0, use_dropout=False, dropout_ration=0.5, use_batchnorm=False):
        self.use_dropout = use_dropout
        self.use_batchnorm = use_batchnorm
        self._build(input_size, hidden_size_list, output_size, activation, weight_init_std, weight_decay_lambda,
                    dropout_ration)

    def predict(self, x, train_flg=False):
        """Scores before the softmax, (rows, outputs)."""
        for name, layer in self.layers.items():
            x = layer.forward(x, train_flg) if "Dropout" in name or "BatchNorm" in name else layer.forward(x)
        return x

    def loss(self, x, t, train_flg=False):
        """Cross entropy and weight decay; t has labels or one-hot rows."""
        return self.last_layer.forward(self.predict(x, train_flg), t) + self._weight_decay()

    def accuracy(self, X, T):
        """Share of rows whose largest score is at their label."""
        return self._accuracy(self.predict(X, train_flg=False), T)

    def numerical_gradient(self, X, T):
        """As `gradient`, by differences: for tests of it."""
        return self._numerical_gradient(lambda: self.loss(X, T, train_flg=True))

    def gradient(self, x, t):
        """Gradients of the loss by the keys of `params`; dropout and batch normalisation as in training."""
        grads = self._fused(MultiLayerNetExtend, x, t)
        if grads is None:
            self.last_layer.forward(self.predict(x, train_flg=True), t)
            self._backward()
            grads = self._gradients(lambda idx: self.params[f"W{idx}"])
        return grads
