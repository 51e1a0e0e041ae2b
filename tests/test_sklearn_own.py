"""scikit-learn's own tests of its estimators, run against ours: the installed file, loaded with two names replaced.

a) The file is that of the scikit-learn that is installed, whichever that is.
b) Tests that look inside of scikit-learn's classes are left out; `LEFT_OUT` says why. A name there that is no test is
   an error.
"""

import importlib.util
import os

import pytest

pytest.importorskip("sklearn")

from sklearn import neural_network

from fusednet.sklearn import MLPClassifier, MLPRegressor

LEFT_OUT = {
    "test_gradient": "calls _loss_grad_lbfgs; our gradient is held against differences in test_sklearn_training.py",
}


@pytest.fixture
def global_random_seed():
    """scikit-learn's own conftest has it."""
    return 0


def _load() -> dict:
    path = os.path.join(os.path.dirname(neural_network.__file__), "tests", "test_mlp.py")
    spec = importlib.util.spec_from_file_location("sklearn_test_mlp", path)
    module = importlib.util.module_from_spec(spec)
    theirs = neural_network.MLPClassifier, neural_network.MLPRegressor
    neural_network.MLPClassifier, neural_network.MLPRegressor = MLPClassifier, MLPRegressor
    try:
        spec.loader.exec_module(module)
    finally:
        neural_network.MLPClassifier, neural_network.MLPRegressor = theirs
    return {name: value for name, value in vars(module).items() if name.startswith("test_")}


_TESTS = _load()
globals().update({name: test for name, test in _TESTS.items() if name not in LEFT_OUT})


def test_left_out_tests_are_there():
    assert LEFT_OUT.keys() <= _TESTS.keys()
    assert len(_TESTS) > 30
