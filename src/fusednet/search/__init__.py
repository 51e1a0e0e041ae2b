"""`fusednet.search`: hyperparameters chosen by training many networks.

`RandomSearch` samples, scores, narrows the ranges and goes on; `BayesianSearch` lets Optuna choose. Both train through
many.py, all cores busy, on one copy of the data.

a) A space says what is tried (`Float`, `Int`, `Choice`), a function or an estimator says what is made of it.
b) Trials are compared on validation rows. Test rows have no place here: who chooses by them has none left.
"""

from fusednet.search.bayesian import BayesianSearch
from fusednet.search.random import RandomSearch, narrowed
from fusednet.search.results import Results, Trial
from fusednet.search.space import Choice, Float, Int

__all__ = ["BayesianSearch", "Choice", "Float", "Int", "RandomSearch", "Results", "Trial", "narrowed"]
