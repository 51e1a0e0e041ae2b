"""The outputs of a network for a few rows, again and again: a plan that stays bound between calls.

Reads runner.py, plan.py, memory.py, threads.py and the choice of a table; read by model.py.

a) To bind a plan takes far longer than to walk it for one row, so the bound plan is kept, with an input and an output
   of its own: rows are copied in and out.
b) It is not for several threads of Python at the same time: who has it, locks.
"""

import numpy as np

from fusednet import backends, threads
from fusednet.memory import Memory
from fusednet.plan import Plan
from fusednet.runner import Runner, Source

FEW_ROWS = 1024
"""Up to as many rows are worth it; they are one batch, whose activations stay in the caches."""


class Predictor:
    """A plan of mode "predict" for a fixed number of rows, bound.

    Parameters
    ----------
    plan : Plan
        Its feed: rows of the network's dtype, in order; its batch: the number of rows.
    memory : Memory
    """

    def __init__(self, plan: Plan, memory: Memory):
        network = plan.network
        self._key = _key(memory, plan.batch)
        self._x = np.empty((plan.batch, network.features), network.dtype)
        self._out = np.empty((plan.batch, network.outputs), network.dtype)
        self._runner = Runner(plan, memory, Source(self._x, out=self._out))

    def fits(self, memory: Memory, rows: int) -> bool:
        """Whether it is for so many rows, these weights, the table and the number of threads in use."""
        return self._key == _key(memory, rows)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """Outputs, (rows, outputs), of x, (rows, features), numbers of any dtype."""
        self._x[:] = x
        self._runner.again()
        return self._out.copy()


def _key(memory: Memory, rows: int) -> tuple:
    return rows, memory, backends.current(), threads.get_num_threads()
