"""The book's network of affine layers: `MultiLayerNet`.

Reads _network.py; read by trainer.py and by users. Mended: `accuracy` with one-hot rows, which only failed.
"""

from fusednet.book._network import Network


class MultiLayerNet(Network):
    """Affine layers with an activation between, softmax with cross entropy, weight decay.

    Parameters
    ----------
    input_size : int
        784 for MNIST.
    hidden_size_list : list of int
        Widths of the hidden layers.
    output_size : int
    activation : {"relu", "sigmoid"}, default "relu"
        Besides "tanh", "leaky_relu", "swish", "softplus".
    weight_init_std : float or str, default "relu"
        Standard deviation of the first weights; "relu" and "he" are sqrt(2 / inputs), "sigmoid" and "xavier"
        sqrt(1 / inputs). They are drawn by ``np.random.randn`` layer by layer.
    weight_decay_lambda : float, default 0
        The loss has ``lambda / 2 sum(W^2)`` more, of weights only.

    Attributes
    ----------
    params : dict of str to ndarray
        "W1", "b1", ...
    layers : OrderedDict
        "Affine1", "Activation_function1", ...
    last_layer : SoftmaxWithLoss
    """

    def __init__(self, input_size, hidden_size_list, output_size, activation="relu", weight_init_std="relu",
                 weight_decay_lambda=0):
        self._build(input_size, hidden_size_list, output_size, activation, weight_init_std, weight_decay_lambda)

    def predict(self, x):
        """Scores before the softmax, (rows, outputs)."""
        for layer in self.layers.values():
            x = layer.forward(x)
        return x

    def loss(self, x, t):
        """Cross entropy and weight decay; t has labels or one-hot rows."""
        return self.last_layer.forward(self.predict(x), t) + self._weight_decay()

    def accuracy(self, x, t):
        """Share of rows whose largest score is at their label."""
        return self._accuracy(self.predict(x), t)

    def numerical_gradient(self, x, t):
        """As `gradient`, by differences: for tests of it."""
        return self._numerical_gradient(lambda: self.loss(x, t))

    def gradient(self, x, t):
        """Gradients of the loss by the keys of `params`."""
        grads = self._fused(MultiLayerNet, x, t)
        if grads is None:
            self.last_layer.forward(self.predict(x), t)
            self._backward()
            grads = self._gradients(lambda idx: self.layers[f"Affine{idx}"].W)
        return grads
