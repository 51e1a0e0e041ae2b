"""`MLPClassifier`; see _base.py.

Reads _base.py, _build.py, _losses.py, labels.py and scikit-learn's checks of classes; read by the package.

a) Two classes are one output and a sigmoid, several are softmax, several labels are as many sigmoids, as in
   scikit-learn. Several targets of several classes each, which it does not have, are blocks of softmax on one network.
b) Inside, a class is its place in `classes_`.
"""

import contextlib
import math
from numbers import Real

import numpy as np
import scipy.sparse
from sklearn.base import ClassifierMixin, _fit_context
from sklearn.utils import column_or_1d
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import (
    _check_partial_fit_first_call,
    check_classification_targets,
    type_of_target,
    unique_labels,
)
from sklearn.utils.validation import validate_data

from fusednet.labels import class_weights
from fusednet.losses import CategoricalCrossentropy, Custom, LogLoss
from fusednet.sklearn._base import BaseMLP, store
from fusednet.sklearn._build import Task
from fusednet.sklearn._convergence import accuracy
from fusednet.sklearn._documentation import documented
from fusednet.sklearn._losses import BlockCrossentropy, softmax

_BINARY, _MULTICLASS = "binary", "multiclass"  # scikit-learn's words for kinds of y
_MULTILABEL, _MULTIOUTPUT = "multilabel-indicator", "multiclass-multioutput"


@documented
class MLPClassifier(ClassifierMixin, BaseMLP):
    """scikit-learn's ``MLPClassifier`` on this library's engine, with more parameters.

    Parameters
    ----------
    <both>
    class_weight : dict, list of dict, "balanced" or None, default None
        Weight of each class's rows, 1 for a class that is not named; of several columns of classes a dict for each.
        "balanced": such that the weights of all classes sum to the same. Rows that `early_stopping` sets aside are
        weighted too, those of `X_val` are not.
    label_smoothing : float, default 0
        In [0, 1]; see `fusednet.CategoricalCrossentropy`.

    Attributes
    ----------
    classes_ : ndarray or list of ndarray
        The classes, sorted, or the numbers of the labels; a list where y has several columns of several classes.
    <both>

    Examples
    --------
    >>> from fusednet.sklearn import MLPClassifier
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> MLPClassifier(max_iter=500, random_state=0).fit(X, y).predict(X[:1])
    array([0])
    """

    _parameter_constraints: dict = {  # noqa: RUF012
        **BaseMLP._parameter_constraints,
        "class_weight": [dict, list, StrOptions({"balanced"}), None],
        "label_smoothing": [Interval(Real, 0, 1, closed="both")],
    }

    def __init__(
        self, hidden_layer_sizes=(100,), activation="relu", *, solver="adam", alpha=0.0001, batch_size="auto",
        learning_rate="constant", learning_rate_init=0.001, power_t=0.5, max_iter=200, shuffle=True, random_state=None,
        tol=1e-4, verbose=False, warm_start=False, momentum=0.9, nesterovs_momentum=True, early_stopping=False,
        validation_fraction=0.1, beta_1=0.9, beta_2=0.999, epsilon=1e-8, n_iter_no_change=10, max_fun=15000,
        optimizer=None, dropout=0.0, batch_norm=False, normalize=False, validation_metric="score",
        restore_best_weights=True, callbacks=None,
        max_time=None, n_threads=None, dtype="auto", n_estimators=1, preset=None, class_weight=None,
        label_smoothing=0.0,
    ):  # fmt: skip
        store(self, locals())

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags

    # ---- y -----------------------------------------------------------------------------------------------------------

    def _validate_input(self, X, y, incremental, reset, held=False):
        X, y = validate_data(self, X, y, accept_sparse=["csr", "csc"], multi_output=True,
                             dtype=(np.float64, np.float32), reset=reset)
        y, sparse = (y.toarray(), True) if scipy.sparse.issparse(y) else (y, False)
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        if not hasattr(self, "classes_") or (not self.warm_start and not incremental):
            check_classification_targets(y)
            self._sparse_labels = sparse
            self._kind = _kind_of(y)
            if self._kind == _MULTIOUTPUT:
                self.classes_ = [np.unique(column) for column in y.T]
            else:
                self.classes_ = unique_labels(y)
            return X, y
        columns = (len(self.classes_),) if self._kind in (_MULTILABEL, _MULTIOUTPUT) else ()
        if y.shape[1:] != columns:
            wanted = f"(n, {columns[0]})" if columns else "(n,)"
            raise ValueError(f"{'y_val' if held else 'y'} has shape {y.shape}; wanted {wanted}, as "
                             f"{'y has' if held else 'in the fit before'}")
        if self._kind == _MULTIOUTPUT:
            for column, known in zip(y.T, self.classes_, strict=True):
                if not np.isin(column, known).all():
                    raise ValueError(f"`{'y_val' if held else 'y'}` has classes not in `self.classes_`: "
                                     f"{np.setdiff1d(column, known)}")
        else:
            self._check_classes(unique_labels(y), held)
        return X, y

    def _check_classes(self, classes, held):
        if self.warm_start and not held:  # validation rows need not have all classes
            if set(classes) != set(self.classes_):
                raise ValueError("warm_start can only be used where `y` has the same classes as in the previous call "
                                 f"to fit. Previously got {self.classes_}, `y` has {classes}")
        elif len(np.setdiff1d(classes, self.classes_, assume_unique=True)):
            name = "y_val" if held else "y"
            raise ValueError(f"`{name}` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. "
                             f"'{name}' has {classes}.")

    def _target(self, y, parameters, first, held=False):
        self._outputs_of_classes()
        if self._kind == _MULTILABEL:
            return (np.asarray(y) > 0).astype(np.float32)
        if self._kind == _MULTIOUTPUT:
            blocks = [np.eye(len(known), dtype=np.float32)[np.searchsorted(known, column)]
                      for column, known in zip(y.T, self.classes_, strict=True)]
            return np.hstack(blocks)
        codes = np.searchsorted(self.classes_, y).astype(np.int32)
        return codes if self.n_outputs_ > 1 else codes.astype(np.float32).reshape(-1, 1)

    def _outputs_of_classes(self):
        if self._kind == _MULTIOUTPUT:
            self.n_outputs_, self.out_activation_ = sum(map(len, self.classes_)), "softmax"
        elif self._kind == _MULTILABEL:
            self.n_outputs_, self.out_activation_ = len(self.classes_), "logistic"
        elif len(self.classes_) > 2:
            self.n_outputs_, self.out_activation_ = len(self.classes_), "softmax"
        else:
            self.n_outputs_, self.out_activation_ = 1, "logistic"

    def _begins(self) -> tuple[int, ...]:
        """The first output of each target, of several."""
        return tuple(np.cumsum([0, *map(len, self.classes_[:-1])]).tolist())

    def _task(self, parameters, dtype):
        smoothing = parameters["label_smoothing"]
        most = -math.log(np.finfo(dtype).eps)  # scikit-learn's probabilities are at least eps in its loss
        if self._kind == _MULTIOUTPUT:
            return Task(self.n_outputs_, Custom(BlockCrossentropy(self._begins(), smoothing)), "linear", dtype)
        if self.out_activation_ == "softmax":
            return Task(self.n_outputs_, CategoricalCrossentropy(smoothing, most), "softmax", dtype)
        loss = LogLoss(smoothing, most if self.n_outputs_ == 1 else None)
        return Task(self.n_outputs_, loss, "sigmoid", dtype)

    def _row_weights(self, y, sample_weight, parameters):
        if parameters["class_weight"] is None:
            return sample_weight
        if isinstance(parameters["class_weight"], dict) and y.ndim == 1:  # rows of a call need not have all classes
            codes = np.searchsorted(self.classes_, y)
            weight = class_weights(parameters["class_weight"], codes, self.classes_)[codes]
        else:
            weight = compute_sample_weight(parameters["class_weight"], y)
        return weight if sample_weight is None else weight * sample_weight

    def _stratify(self, target):
        return target.astype(bool) if self.n_outputs_ == 1 else None

    # ---- outputs to classes ------------------------------------------------------------------------------------------

    def _codes(self, outputs):
        if self._kind == _MULTIOUTPUT:
            return np.stack([block.argmax(axis=1) for block in self._blocks(outputs)], axis=1)
        if self._kind == _MULTILABEL:
            return (outputs > 0.5).astype(np.int64)
        if self.n_outputs_ > 1:
            return outputs.argmax(axis=1)
        return (outputs[:, 0] > 0.5).astype(np.intp) if len(self.classes_) > 1 else np.zeros(len(outputs), np.intp)

    def _natural(self, outputs):
        if self._kind != _MULTIOUTPUT:
            return outputs
        return np.hstack([softmax(block)[0] for block in self._blocks(outputs)])

    def _blocks(self, outputs):
        return np.split(outputs, self._begins()[1:], axis=1)

    def _score_outputs(self, outputs, target, weight):
        codes = self._codes(outputs)
        if self._kind == _MULTIOUTPUT:
            right = (codes == np.stack([block.argmax(axis=1) for block in self._blocks(target)], axis=1)).all(axis=1)
        elif self._kind == _MULTILABEL:
            right = (codes == target).all(axis=1)
        else:
            right = codes == target.reshape(-1)
        return accuracy(right, weight)

    # ---- what users call ---------------------------------------------------------------------------------------------

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X, y, sample_weight=None, X_val=None, y_val=None, sample_weight_val=None):
        """Train.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            A sparse matrix is made dense as a whole.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Classes; columns of 0 and 1 are labels (sparse or not), other columns several targets.
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
        self : MLPClassifier
            Fitted.

        Raises
        ------
        ValueError
            If something given is not valid, or weights became infinite or NaN.
        """
        return self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val))

    @available_if(lambda estimator: estimator._check_solver())
    @_fit_context(prefer_skip_nested_validation=True)
    def partial_fit(self, X, y, sample_weight=None, classes=None, X_val=None, y_val=None, sample_weight_val=None):
        """One epoch over the given rows.

        Parameters
        ----------
        X, y, sample_weight
            As for `fit`.
        classes : array-like of shape (n_classes,), optional
            All classes of all calls; needed for the first.
        X_val, y_val, sample_weight_val
            As for `fit`; their score and loss are recorded, also with `early_stopping`.

        Returns
        -------
        self : MLPClassifier
            One epoch further.

        Raises
        ------
        AttributeError
            With the solver "lbfgs", which knows no epochs.
        ValueError
            As `fit`, and where shapes or classes are not those of the first call.
        """
        with self._unchanged_by_errors() if not hasattr(self, "classes_") else contextlib.nullcontext():
            if _check_partial_fit_first_call(self, classes):
                self._begin_classes(y)
            return self._fit(X, y, sample_weight, (X_val, y_val, sample_weight_val), incremental=True)

    def _begin_classes(self, y):
        kind = _kind_of(y)
        if kind == _MULTIOUTPUT:
            raise ValueError("partial_fit: y has several columns of several classes, which `classes` does not tell; "
                             "wanted one column, or columns of 0 and 1; or a first call of fit")
        self._sparse_labels = scipy.sparse.issparse(y)
        self._kind = kind if kind == _MULTILABEL else _MULTICLASS if len(self.classes_) > 2 else _BINARY
        if kind == _MULTILABEL:
            self.classes_ = unique_labels(y)

    def predict(self, X):
        """The likeliest class of each row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows; a sparse matrix is made dense some thousand rows at a time.

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_outputs)
            Of `classes_`; for labels 0 and 1, a sparse matrix where y was one.
        """
        codes = self._codes(self._outputs(X))
        if self._kind == _MULTILABEL:
            return scipy.sparse.csr_matrix(codes) if self._sparse_labels else codes
        if self._kind == _MULTIOUTPUT:
            return np.stack([known[column] for known, column in zip(self.classes_, codes.T, strict=True)], axis=1)
        return self.classes_[codes]

    def predict_proba(self, X):
        """Probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            Rows; a sparse matrix is made dense some thousand rows at a time.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), or a list of such
            Columns as in `classes_`; for several labels the probability of each; a list for several targets.
        """
        outputs = self._outputs(X)
        if self._kind == _MULTIOUTPUT:
            return self._blocks(outputs)
        return np.hstack([1 - outputs, outputs]) if self.n_outputs_ == 1 else outputs

    def predict_log_proba(self, X):
        """Logarithms of probabilities.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            As for `predict_proba`.

        Returns
        -------
        ndarray of shape (n_samples, n_classes), or a list of such
            ``log(predict_proba(X))``.
        """
        probabilities = self.predict_proba(X)
        if isinstance(probabilities, list):
            return [np.log(block) for block in probabilities]
        return np.log(probabilities, out=probabilities)

    def score(self, X, y, sample_weight=None):
        """Share of rows whose class (all classes, all labels) is right.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            As for `predict`.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            What is right.
        sample_weight : array-like of shape (n_samples,), optional
            Weight of each row.

        Returns
        -------
        float
            In [0, 1].
        """
        if getattr(self, "_kind", None) == _MULTIOUTPUT:
            found, y = self.predict(X), np.asarray(y)
            if found.shape != y.shape:
                raise ValueError(f"y has shape {y.shape}; wanted {found.shape}, a row for each row of X and a column "
                                 "for each target")
            return accuracy((found == y).all(axis=1), sample_weight)
        return super().score(X, y, sample_weight)


def _kind_of(y) -> str:
    """scikit-learn's word for y, to which columns of any two whole numbers are labels; here only those of 0 and 1."""
    kind = type_of_target(y, input_name="y")
    if kind == _MULTILABEL and not np.isin(y.data if scipy.sparse.issparse(y) else y, (0, 1)).all():
        return _MULTIOUTPUT
    return kind
