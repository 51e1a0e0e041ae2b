"""The docstrings of the two classes: what both have is written once, here.

Reads nothing; read by _classifier.py and _regressor.py.

a) A class's own docstring has its own parameters and attributes, and ``<both>`` where those of both stand.
b) tests/test_sklearn_contract.py holds the names against the signature and the attributes of fitted estimators.
"""

import re
import textwrap

PARAMETERS = """\
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
    Rows of a step; "auto" is ``min(200, n_samples)``. Not for "lbfgs", whose steps see all rows.
learning_rate : {"constant", "invscaling", "adaptive", "cosine"} or Schedule, default "constant"
    "invscaling" (``learning_rate_init / (t_ + 1)^power_t``) and "adaptive" (a fifth where the loss or the score has not
    improved for `n_iter_no_change` epochs) are for "sgd". "cosine" falls from `learning_rate_init` to 0 over `max_iter`
    epochs, in each ``fit`` anew; a schedule of `fusednet.schedules` is followed step by step, also from one ``fit`` to
    the next where `warm_start` goes on.
learning_rate_init : float, default 0.001
    The learning rate of "sgd" and "adam", or what it begins with.
power_t : float, default 0.5
    The exponent of "invscaling".
max_iter : int, default 200
    Most epochs; for "lbfgs" most iterations.
shuffle : bool, default True
    Whether the rows come in another order in each epoch.
random_state : int, RandomState or None, default None
    Of first weights, order of rows, validation rows and dropout. All but the masks of dropout are scikit-learn's for
    the same seed.
tol : float, default 1e-4
    What counts as an improvement of loss or score; for "lbfgs" the largest element of the gradient at which it ends.
verbose : bool or int, default False
    Whether a line is printed for each epoch.
warm_start : bool, default False
    ``fit`` goes on from the weights of the last one, and from the optimizer's moments.
momentum : float, default 0.9
    Of "sgd", in [0, 1).
nesterovs_momentum : bool, default True
    Whether the momentum of "sgd" is Nesterov's.
early_stopping : bool, default False
    Stop when the score of validation rows does not improve, and take the best weights. Validation rows are
    `validation_fraction` of the rows, or `X_val` of ``fit``.
validation_fraction : float, default 0.1
    Share of the rows that `early_stopping` sets aside, in [0, 1).
beta_1 : float, default 0.9
    Decay of the first moment of "adam", in [0, 1).
beta_2 : float, default 0.999
    Decay of the second moment of "adam", in [0, 1).
epsilon : float, default 1e-8
    Is added to the denominator of "adam".
n_iter_no_change : int or inf, default 10
    Epochs without an improvement of `tol` after which training ends.
max_fun : int, default 15000
    Most calls of loss and gradient by "lbfgs".
optimizer : str or Optimizer, optional
    In place of "sgd" and "adam" and their numbers: "adamw", "rmsprop", "adagrad", or an object such as
    ``fusednet.AdamW(1e-3, global_clipnorm=1.0)``.
dropout : float or list of float, default 0
    Share of a hidden layer's outputs that is dropped in training; one for all or one for each hidden layer.
batch_norm : bool or list of bool, default False
    Batch normalisation between a hidden layer and its activation; one for all or one for each hidden layer.
normalize : bool, default False
    Shift and scale each feature by mean and deviation of the training rows.
validation_metric : {"score", "loss"}, default "score"
    What early stopping looks at: accuracy or R2, or the loss, which tells more where validation rows are few;
    `best_validation_score_` is then minus the loss.
restore_best_weights : bool, default True
    Whether early stopping takes the best weights, or leaves the last.
callbacks : list of Callback, optional
    Of `fusednet.callbacks`; they are told of each epoch, or each iteration of "lbfgs", which has no steps. Not
    `BackupAndRestore`, which knows networks only; with `n_estimators` above 1 none that writes a file.
max_time : float, optional
    Seconds after which the training ends; of `n_estimators` networks each has its share of them.
n_threads : int, optional
    Most threads; by default the process's number, inside of joblib's workers what it grants each, else one.
dtype : {"auto", "float32", "float64"}, default "auto"
    Of weights and arithmetic; "auto" is that of X.
n_estimators : int, default 1
    Networks that differ by seed and whose predictions or probabilities are averaged; they are trained side by side.
    `coefs_`, `model_` and the curves are the first's; all are in `estimators_`.
preset : {"strong"}, optional
    Other defaults; see `fusednet.sklearn._presets`. Parameters that differ from their defaults stay.
"""

ATTRIBUTES = """\
model_ : Sequential
    The network.
coefs_ : list of ndarray of shape (inputs, outputs)
    The weight matrix of each layer, a view of the network's; arrays put in its place are taken over.
intercepts_ : list of ndarray of shape (outputs,)
    The biases of each layer, likewise.
estimators_ : list of estimators
    With `n_estimators` above 1, the networks as estimators of their own.
loss_ : float
    Loss of the last epoch, penalty included.
best_loss_ : float or None
    The lowest of `loss_curve_`; None with `early_stopping`. Not with "lbfgs".
loss_curve_ : list of float
    Loss of each epoch, penalty included. Not with "lbfgs".
validation_scores_ : list of float or None
    Score of the validation rows after each epoch; None without such rows. Not with "lbfgs".
best_validation_score_ : float or None
    The best that `early_stopping` has seen; None without it. Not with "lbfgs".
validation_loss_curve_ : list of float or None
    Loss of the validation rows after each epoch, without penalty; None without such rows. Not with "lbfgs".
n_iter_ : int
    Epochs of the last call (1 after ``partial_fit``), or iterations of "lbfgs".
t_ : int
    Rows that training went through, each counted in each epoch.
n_layers_ : int
    Layers, that of the inputs among them.
n_outputs_ : int
    Columns of the network's output.
out_activation_ : str
    Activation of the output.
n_features_in_ : int
    Columns of X.
feature_names_in_ : ndarray of str, (n_features_in_,)
    Names of the columns; only where X has such.
"""


def documented(cls):
    """The class, whose docstring has what both classes have in the places of ``<both>``."""
    if cls.__doc__ is not None:  # python -OO leaves docstrings out, Python 3.13 their indentation
        for text in (PARAMETERS, ATTRIBUTES):
            before, both, after = re.split(r"^( *)<both>\n", cls.__doc__, maxsplit=1, flags=re.MULTILINE)
            cls.__doc__ = before + textwrap.indent(text, both) + after
    return cls
