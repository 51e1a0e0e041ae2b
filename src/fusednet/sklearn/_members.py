"""The networks of an estimator with `n_estimators`: estimators of their own, trained side by side by pool.py.

Reads pool.py, estimators.py, threads.py, _build.py, _threads.py; read by _base.py.

a) The rows are checked and converted once, by the estimator; its members are given the same arrays.
b) Seeds are drawn before anything is trained: the members are the same for any number of threads.
c) Callbacks of the user's see one training after the other, in order.
"""

from dataclasses import dataclass
from itertools import pairwise

from fusednet import pool, threads
from fusednet.callbacks import Callback
from fusednet.estimators import Scored
from fusednet.sklearn import _build
from fusednet.sklearn._threads import limited


@dataclass
class MemberJob(pool.Job):
    """A member that is to be fitted.

    Attributes
    ----------
    member : estimator
    rows : tuple
        X, y, weights and validation rows, as its ``_fit`` takes them.
    work : int
        Multiply-adds of the hidden layers in the forward pass of a step.
    """

    member: object = None
    rows: tuple = ()
    work: int = 0

    def train(self, halt: Callback) -> tuple:
        """The member, fitted, where other jobs tell a model; nobody asks for history and scores."""
        own = self.member.callbacks
        self.member.callbacks = [halt, *([] if own is None else own if isinstance(own, (list, tuple)) else [own])]
        for one in self.member.callbacks:
            if isinstance(one, Scored):
                one.estimator, one.first = self.member, self.index == 0
        try:
            self.member._fit(*self.rows)
        finally:
            self.member.callbacks = own
        return self.member, None, {}


def fit(members: list, rows: tuple, parameters: dict) -> None:
    """Fit all members.

    Parameters
    ----------
    members : list of estimator
        Not fitted; their `n_threads` and `max_time` are set to what each is given.
    rows : tuple
        X as an array, y, weights or None, validation rows as a triple.
    parameters : dict
        The estimator's.

    Raises
    ------
    Exception
        What the first member that fails raises; the others are stopped.
    KeyboardInterrupt
        When all trainings have stopped, about a step later.
    """
    work = _work(rows[0].shape, parameters)
    with limited(parameters["n_threads"]):
        cores = threads.get_num_threads()
    at_once, each = pool.arrange([work] * len(members), cores)
    if parameters["callbacks"] is not None:
        at_once, each = 1, cores
    rounds = -(-len(members) // at_once)  # one after the other has its share of the time
    for member in members:
        member.n_threads = each
        if member.max_time is not None:
            member.max_time = parameters["max_time"] / rounds
    pool.run([MemberJob(f"member {i}", i, None, member, rows, work) for i, member in enumerate(members)],
             workers=at_once)


def _work(shape: tuple[int, int], parameters: dict) -> int:
    rows = shape[0] if parameters["solver"] == "lbfgs" else _build.batch_size(parameters, shape[0])
    units = [shape[1], *_build.hidden(parameters)]
    return rows * sum(a * b for a, b in pairwise(units))
