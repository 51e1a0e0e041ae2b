"""`MLPRegressor`; see _base.py.

Reads _base.py, _build.py, losses.py and scikit-learn's checks; read by the package.

a) "squared_error" and "poisson" are scikit-learn's, half of what their names say; the other losses are the engine's.
b) For several outputs scikit-learn's gradient is that of the sum over them and its loss their mean: the sum is what is
   minimised here, the mean is what `loss_curve_` shows and `tol` is held against.
"""

from numbers import Real

import numpy as np
from sklearn.base import RegressorMixin, _fit_context
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import validate_data

from fusednet.losses import HalfPoissonDeviance, HalfSquaredError, Huber, MeanAbsoluteError, Quantile
from fusednet.sklearn._base import BaseMLP, store
from fusednet.sklearn._build import Task
from fusednet.sklearn._convergence import r2
from fusednet.sklearn._documentation import documented

LOSSES = ("squared_error", "poisson", "absolute_error", "huber", "quantile")


@documented
class MLPRegressor(RegressorMixin, BaseMLP):
    """scikit-learn's ``MLPRegressor`` on this library's engine, with more parameters.

    Parameters
    ----------
    loss : {"squared_error", "poisson", "absolute_error", "huber", "quantile"}, default "squared_error"
        The first two are halved, as in scikit-learn; "poisson" predicts through an exponential.
    <both>
    normalize_y : bool, default False
        Train on targets shifted and scaled by their mean and deviation; predictions are scaled back.
    huber_delta : float, default 1
        Beyond which "huber" is linear, in units of the targets that are trained on.
    quantile : float, default 0.5
        That "quantile" predicts; in (0, 1).

    Attributes
    ----------
    <both>

    Examples
    --------
    >>> from fusednet.sklearn import MLPRegressor
    >>> from sklearn.datasets import load_diabetes
    >>> X, y = load_diabetes(return_X_y=True)
    >>> MLPRegressor(preset="strong", random_state=0).fit(X, y).score(X, y) > 0.4
    True
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        **BaseMLP._parameter_constraints,
        "loss": [StrOptions(set(LOSSES))],
        "normalize_y": ["boolean"],
        "huber_delta": [Interval(Real, 0, None, closed="neither")],
        "quantile": [Interval(Real, 0, 1, closed="neither")],
    }

    def __init__(
        self, loss="squared_error", hidden_layer_sizes=(100,), activation="relu", *, solver="adam", alpha=0.0001,
        batch_size="auto",
        learning_rate="constant", learning_rate_init=0.001, power_t=0.5, max_iter=200, shuffle=True, random_state=None,
        tol=1e-4, verbose=False, warm_start=False, momentum=0.9, nesterovs_momentum=True, early_stopping=False,
        validation_fraction=0.1, beta_1=0.9, beta_2=0.999, epsilon=1e-8, n_iter_no_change=10, max_fun=15000,
        optimizer=None, dropout=0.0, batch_norm=False, normalize=False, validation_metric="score",
        restore_best_weights=True, callbacks=None,
        max_time=None, n_threads=None, dtype="auto", n_estimators=1, preset=None, normalize_y=False,
        huber_delta=1.0, quantile=0.5,
    ):  # fmt: skip
        store(self, locals())

    # ---- y -----------------------------------------------------------------------------------------------------------

    def _validate_input(self, X, y, incremental, reset, held=False):
        X, y = validate_data(self, X, y, accept_sparse=["csr", "csc"], multi_output=True, y_numeric=True,
                             dtype=(np.float64, np.float32), reset=reset)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return X, y

    def _target(self, y, parameters, first, held=False):
        y = y.reshape(len(y), -1)
        poisson = parameters["loss"] == "poisson"
        if poisson and (y < 0).any():
            raise ValueError(f"{'y_val' if held else 'y'} has values below 0; the loss 'poisson' wants counts or rates "
                             "of at least 0")
        link = "exp" if poisson else "identity"
        if first:
            self.n_outputs_ = y.shape[1]
            self.out_activation_ = link
            self._units = None  # that outputs are shifted and scaled by, whatever is set after the fit
            if parameters["normalize_y"] and not poisson:
                deviation = y.std(axis=0, dtype=np.float64)  # sums of many float32 numbers have few digits
                self._units = y.mean(axis=0, dtype=np.float64), np.where(deviation > 0, deviation, 1.0)
        elif link != self.out_activation_:
            raise ValueError(f"the loss is {parameters['loss']!r}, whose outputs are "
                             f"{'logarithms of y' if poisson else 'y itself'}; in the fit before they were "
                             f"{'y itself' if poisson else 'logarithms of y'}; wanted a loss of the same kind to go "
                             "on, or a new fit (warm_start=False)")
        if y.shape[1] != self.n_outputs_:
            raise ValueError(f"{'y_val' if held else 'y'} has {y.shape[1]} columns; wanted {self.n_outputs_}, as "
                             f"{'y has' if held else 'in the fit before'}")
        if self._units is None:
            return y
        shift, scale = self._units
        return (y - shift) / scale

    def _task(self, parameters, dtype):
        loss = {
            "squared_error": HalfSquaredError(),
            "poisson": HalfPoissonDeviance(),
            "absolute_error": MeanAbsoluteError(),
            "huber": Huber(parameters["huber_delta"]),
            "quantile": Quantile(parameters["quantile"]),
        }[parameters["loss"]]
        return Task(self.n_outputs_, loss, "linear", dtype)

    def _metrics(self, parameters):
        return ("mse",) if self.n_outputs_ > 1 and parameters["loss"] == "squared_error" else ()

    def _shown_loss(self, logs):
        return logs["loss"] - 0.5 * (self.n_outputs_ - 1) * logs.get("mse", 0.0)

    def _natural(self, outputs):
        """Predictions out of a network's outputs."""
        if self.out_activation_ == "exp":
            return np.exp(outputs)
        if self._units is None:
            return outputs
        shift, scale = self._units
        return (outputs * scale + shift).astype(outputs.dtype)

    def _score_outputs(self, outputs, target, weight):
        return r2(target, np.exp(outputs) if self.out_activation_ == "exp" else outputs, weight)

    # ---- what users call ---------------------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, X_val=None, y_val=None, sample_weight_val=None):
        """Train.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            A sparse matrix is made dense as a whole.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Numbers; for "poisson" not below 0.
        sample_weight : array-like of shape (n_samples,), optional
            Weight of each row in the loss; 1 by default.
        X_val : {array-like, sparse matrix} of shape (n_validation, n_features), optional
            Validation rows; they take the place of `validation_fraction`.
        y_val : array-like of shape (n_validation,) or (n_validation, n_outputs), optional
            As y, of the validation rows.
        sample_weight_val : array-like of shape (n_validation,), optional
            Weight of each validation row in their loss and score.

        Returns
        -------
        self : MLPRegressor
            Fitted.

        Raises
        ------
        ValueError
            If something given is not valid, or weights became infinite or NaN.
        """
        return self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val))

    @available_if(lambda estimator: estimator._check_solver())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None, X_val=None, y_val=None, sample_weight_val=None):
        """One epoch over the given rows.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.
        X_val, y_val, sample_weight_val
            As for `fit`; their score and loss are recorded, also with `early_stopping`.

        Returns
        -------
        self : MLPRegressor
            One epoch further.

        Raises
        ------
        AttributeError
            With the solver "lbfgs", which knows no epochs.
        ValueError
            As `fit`, and where shapes or classes are not those of the first call.
        """
        return self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val), incremental=True)

    def predict(self, X):
        """Predictions.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows; a sparse matrix is made dense some thousand rows at a time.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
            In the units of y.
        """
        predicted = self._outputs(X)
        return predicted.ravel() if self.n_outputs_ == 1 else predicted
