"""`MLPRegressor`; see _base.py.

Reads _base.py, _build.py, _losses.py and scikit-learn's checks; read by the package.

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

LOSSES = ("squared_error", "poisson", "absolute_error", "huber", "quantile")


class MLPRegressor(RegressorMixin, BaseMLP):
    """scikit-learn's ``MLPRegressor`` on this library's engine, with more parameters.

    Parameters
    ----------
    loss : {"squared_error", "poisson", "absolute_error", "huber", "quantile"}, default "squared_error"
        The first two are halved, as in scikit-learn; "poisson" predicts through an exponential.
    hidden_layer_sizes : array-like of int or int, default (100,)
        Units of each hidden layer.
    activation : str, Activation or list of such, default "relu"
        Of the hidden layers: "identity", "logistic", "tanh", "relu", any other name that `fusednet.Activation` knows
        ("gelu", "swish", "selu", ...), or one for each hidden layer.
    solver : {"lbfgs", "sgd", "adam"}, default "adam"
        "lbfgs" is SciPy's optimizer on the engine's loss and gradient, in float64; it takes neither `dropout` nor
        `batch_norm`.
    alpha : float, default 1e-4
        Penalty ``alpha / (2 n) sum W^2`` on weight matrices, n the rows of a batch.
    batch_size : int or "auto", default "auto"
        "auto" is ``min(200, n_samples)``.
    learning_rate : {"constant", "invscaling", "adaptive", "cosine"} or Schedule, default "constant"
        "invscaling" and "adaptive" are for "sgd". "cosine" falls from `learning_rate_init` to 0 over `max_iter` epochs;
        a schedule of `fusednet.schedules` is followed step by step.
    learning_rate_init : float, default 0.001
    power_t : float, default 0.5
    max_iter : int, default 200
        Epochs; for "lbfgs" iterations.
    shuffle : bool, default True
    random_state : int, RandomState or None, default None
        The first weights are the same as scikit-learn's for the same seed; the order of rows is the engine's own.
    tol : float, default 1e-4
    verbose : bool or int, default False
    warm_start : bool, default False
        ``fit`` goes on from the weights of the last one, and from the optimizer's moments.
    momentum : float, default 0.9
        In [0, 1).
    nesterovs_momentum : bool, default True
    early_stopping : bool, default False
        Stop when the score of validation rows does not improve, and take the best weights. Validation rows are
        `validation_fraction` of the rows, or `X_val` of ``fit``.
    validation_fraction : float, default 0.1
    beta_1, beta_2, epsilon : float, default 0.9, 0.999, 1e-8
    n_iter_no_change : int, default 10
    max_fun : int, default 15000
    optimizer : str or Optimizer, optional
        In place of "sgd" and "adam" and their numbers: "adamw", "rmsprop", "adagrad", or an object such as
        ``fusednet.AdamW(1e-3, global_clipnorm=1.0)``.
    dropout : float or list of float, default 0
        Share of a hidden layer's outputs that is dropped in training.
    batch_norm : bool or list of bool, default False
        Batch normalisation between a hidden layer and its activation.
    normalize : bool, default False
        Shift and scale each feature by mean and deviation of the training rows.
    normalize_y : bool, default False
        Train on targets shifted and scaled by their mean and deviation; predictions are scaled back.
    huber_delta : float, default 1
        Beyond which "huber" is linear, in units of the targets that are trained on.
    quantile : float, default 0.5
        That "quantile" predicts; in (0, 1).
    validation_metric : {"score", "loss"}, default "score"
        What early stopping looks at: accuracy or R2, or the loss, which tells more where validation rows are few;
        `best_validation_score_` is then minus the loss.
    restore_best_weights : bool, default True
        Whether early stopping takes the best weights, or leaves the last.
    callbacks : list of Callback, optional
        Of `fusednet.callbacks`.
    max_time : float, optional
        Seconds after which the training ends.
    n_threads : int, optional
        Most threads; by default the process's number, one inside of joblib's workers.
    dtype : {"auto", "float32", "float64"}, default "auto"
        Of weights and arithmetic; "auto" is that of X.
    n_estimators : int, default 1
        Networks that differ by seed and whose outputs are averaged. `coefs_`, `model_` and the curves are the first's;
        all are in `estimators_`.
    preset : {"strong"}, optional
        Other defaults; see `fusednet.sklearn._presets`. Parameters that differ from their defaults stay.

    Attributes
    ----------
    model_ : Sequential
        The network.
    coefs_, intercepts_ : list of ndarray
        Views of its weights; arrays put in their place are taken over.
    loss_, best_loss_ : float
    loss_curve_ : list of float
        Loss of each epoch, penalty included.
    validation_scores_ : list of float or None
    best_validation_score_ : float or None
    validation_loss_curve_ : list of float or None
        Loss of the validation rows, without penalty.
    n_iter_, t_, n_layers_, n_outputs_ : int
    out_activation_ : str
    n_features_in_ : int
    feature_names_in_ : ndarray of str
        Where X has names.

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

    def _validate_input(self, X, y, incremental, reset):
        X, y = validate_data(self, X, y, accept_sparse=["csr", "csc"], multi_output=True, y_numeric=True,
                             dtype=(np.float64, np.float32), reset=reset)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return X, y

    def _target(self, y, parameters, first):
        y = y.reshape(len(y), -1)
        poisson = parameters["loss"] == "poisson"
        if poisson and (y < 0).any():
            raise ValueError("y has values below 0; the loss 'poisson' wants counts or rates of at least 0")
        if first:
            self.n_outputs_ = y.shape[1]
            self.out_activation_ = "exp" if poisson else "identity"
            self._shift, self._scale = np.zeros(y.shape[1]), np.ones(y.shape[1])
            if parameters["normalize_y"] and not poisson:
                deviation = y.std(axis=0)
                self._shift, self._scale = y.mean(axis=0), np.where(deviation > 0, deviation, 1.0)
        if y.shape[1] != self.n_outputs_:
            raise ValueError(f"y has {y.shape[1]} columns; wanted {self.n_outputs_}, as in the fit before")
        return (y - self._shift) / self._scale if parameters["normalize_y"] else y

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
        """Predictions out of the network's outputs."""
        if self.out_activation_ == "exp":
            return np.exp(outputs)
        if self.normalize_y or self.preset is not None:
            return (outputs * self._scale + self._shift).astype(outputs.dtype)
        return outputs

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
        sample_weight : array-like of shape (n_samples,), optional
        X_val, y_val : array-like, optional
            Validation rows; they take the place of `validation_fraction`.
        sample_weight_val : array-like, optional

        Returns
        -------
        self : MLPRegressor
        """
        return self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val))

    @available_if(lambda estimator: estimator._check_solver())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None, X_val=None, y_val=None, sample_weight_val=None):
        """One epoch over the given rows.

        Parameters
        ----------
        X, y, sample_weight, X_val, y_val, sample_weight_val
            As for `fit`. With validation rows their score and loss are recorded, also with `early_stopping`.

        Returns
        -------
        self : MLPRegressor
        """
        return self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val), incremental=True)

    def predict(self, X):
        """Predictions.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
        """
        predicted = self._natural(self._outputs(X))
        return predicted.ravel() if self.n_outputs_ == 1 else predicted
