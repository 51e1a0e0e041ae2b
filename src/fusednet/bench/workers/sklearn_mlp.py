"""scikit-learn: `MLPClassifier`, `MLPRegressor`, an epoch by `partial_fit`. Run by worker.py.

a) It has neither batch norm nor dropout: jobs with them are refused.
b) First weights are put into its arrays, and its optimizer made anew, after a first `partial_fit` has made them.
c) Its squared error is half the sum over outputs: the learning rate of plain gradient descent would have to be another,
   but no job has that.
"""

import adapter
import numpy as np
from sklearn.neural_network import MLPClassifier, MLPRegressor
from threadpoolctl import threadpool_limits


class Library(adapter.Library):
    package = "scikit-learn"

    def refusal(self, task):
        if task.batch_norm or task.dropout:
            return "no batch norm, no dropout"
        return "another scale of the loss" if task.loss == "mse" and task.optimizer != "adam" else ""

    def prepare(self, task):
        threadpool_limits(task.threads)
        b1, b2, epsilon = adapter.ADAM
        kind = MLPRegressor if task.loss == "mse" else MLPClassifier
        self.model = kind(
            hidden_layer_sizes=task.hidden, activation=task.activation, alpha=0.0,
            solver="adam" if task.optimizer == "adam" else "sgd",
            batch_size=task.batch, learning_rate_init=task.rate, beta_1=b1, beta_2=b2, epsilon=epsilon,
            momentum=adapter.SGD_MOMENTUM if task.optimizer == "momentum" else 0.0, nesterovs_momentum=False,
            random_state=task.seed,
        )  # fmt: skip
        self.more = {"classes": np.arange(task.outputs)} if task.loss == "ce" else {}
        first = slice(0, task.batch)
        self.model.partial_fit(task.x[first], task.y[first], **self.more)
        for own, kernel in zip(self.model.coefs_, task.kernels, strict=True):
            own[...] = kernel
        for own in self.model.intercepts_:
            own[...] = 0
        del self.model._optimizer  # its moments have taken a step

    def epoch(self):
        self.model.partial_fit(self.task.x, self.task.y, **self.more)

    def predict(self, x):
        return self.model.predict(x) if self.task.loss == "mse" else self.model.predict_proba(x)

    def loss(self):
        outputs = self.predict(self.task.x)
        return adapter.mean_loss(self.task, outputs if self.task.loss == "mse" else np.log(outputs + 1e-30))
