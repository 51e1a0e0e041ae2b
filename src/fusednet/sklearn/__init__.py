"""`MLPClassifier` and `MLPRegressor`: scikit-learn's estimators of these names on this library's engine, and more.

Reads nothing of fusednet but what its modules read; needs scikit-learn (``pip install fusednet[sklearn]``).

a) Parameters, attributes and methods of scikit-learn's classes keep their names and meaning: changing the import is
   enough. What is beyond them is a keyword whose default changes nothing.
b) The estimators own no arithmetic of training: they put parameters into a `Sequential` and read from it.
"""

try:
    import sklearn.base  # noqa: F401
except ImportError as error:
    raise ImportError("fusednet.sklearn needs scikit-learn 1.6 or newer: pip install 'fusednet[sklearn]'") from error

from fusednet.sklearn._classifier import MLPClassifier
from fusednet.sklearn._regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
