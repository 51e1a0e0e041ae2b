"""Loss and gradient of a model on all rows of a data set, as a function of its weights: for optimizers of others.

Reads trainer.py, runner.py, and the model that it is given; read by fusednet.sklearn, whose solver "lbfgs" is SciPy's.

a) One batch holds all rows, so the function is smooth and the same at each call: a line search needs that. The memory
   of the activations grows with the rows.
b) Weights are one vector, `Memory.params`; what lies between its arrays has gradient 0 and stays as it is.
"""

import numpy as np

from fusednet import trainer
from fusednet.runner import Runner
from fusednet.spec import BatchNormalization, Dropout


class Objective:
    """Loss and gradient as a function of the vector of weights.

    Parameters
    ----------
    model : Sequential
        Compiled; its weights are those of the last call.
    x, y, sample_weight
        As for ``Sequential.fit``.

    Raises
    ------
    ValueError
        If the network has dropout, which makes the loss random, or batch normalisation, whose running statistics only
        steps on batches make.
    """

    def __init__(self, model, x, y, sample_weight=None):
        for layer in model.layers:
            if isinstance(layer, (Dropout, BatchNormalization)):
                raise ValueError(f"Objective: the network has {layer.name}; wanted layers whose output is a fixed "
                                 "function of their input and weights")
        data = model.prepare(x, y, sample_weight=sample_weight)
        model.build(data.x.shape[1])
        self._memory = model.memory
        if not self._memory.normalized:
            self._memory.adapt(data.x, None)
        self._plan = model.plan("gradient", data.feed(ordered=False), len(data.x))
        self._memory.prepare(model.optimizer_spec, gradients=self._plan.gradients)
        self._runner = Runner(self._plan, model.memory, data.source())
        self._leave = trainer.leave(model.loss)

    @property
    def weights(self) -> np.ndarray:
        """A copy of the vector as it is, in float64."""
        return self._memory.params.astype(np.float64)

    def __call__(self, weights: np.ndarray) -> tuple[float, np.ndarray]:
        """Loss, penalties included, and its gradient.

        Parameters
        ----------
        weights : ndarray of float64, (`Memory.layout.size`,)

        Returns
        -------
        loss : float
        gradient : ndarray of float64, like `weights`
        """
        self._memory.params[:] = weights
        self._runner.cursor[:] = 0
        self._runner.sums[:] = 0
        progress = self._runner.advance(1, leave=self._leave)
        loss = trainer.results(self._plan, progress.epochs[0])["loss"]
        return loss, self._memory.grads.astype(np.float64)
