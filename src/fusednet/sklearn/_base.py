"""What both estimators are: checks, training, warm starts, weights as attributes, outputs.

Reads the modules of this package, model.py's `Sequential`, objective.py, callbacks; read by _classifier.py and
_regressor.py.

a) The order of events, the messages and the random draws of the first weights are scikit-learn's, so that its own tests
   of its estimators hold for these.
b) `coefs_` and `intercepts_` are views of the network's weights. Others that a user puts in their place are taken over
   before the next use.
c) scikit-learn's functions for authors of estimators are used where they have been since 1.6.
"""

import contextlib
import copy
import math
import warnings
from abc import ABC, abstractmethod
from numbers import Integral, Real

import numpy as np
import scipy.optimize
import scipy.sparse
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, Options, StrOptions
from sklearn.utils.optimize import _check_optimize_result
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from fusednet.callbacks import BackupAndRestore, CallbackList
from fusednet.model import Sequential
from fusednet.objective import Objective
from fusednet.optimizers import OPTIMIZERS, Optimizer
from fusednet.predictor import LEAST_ROWS
from fusednet.schedules import Schedule
from fusednet.sklearn import _build, _members
from fusednet.sklearn._build import Task
from fusednet.sklearn._convergence import Convergence
from fusednet.sklearn._lbfgs import Steps, Stopped
from fusednet.sklearn._presets import PRESETS, resolve
from fusednet.sklearn._tasks import CallbackSupportMixin, told
from fusednet.sklearn._threads import limited
from fusednet.spec import ACTIVATIONS, Activation

_SPARSE_ROWS = 4096  # of a sparse matrix that are made dense together when outputs are asked for
_NO_WORK = 16  # rows that no second thread is worth: who asks costs more
_CURVES = ("loss_curve_", "best_loss_", "validation_scores_", "best_validation_score_", "validation_loss_curve_")
_AS_IT_IS = contextlib.nullcontext()
_NOT_FINITE = ("Solver produced non-finite parameter weights. The input data may contain large values and need to be "
               "preprocessed.")


def store(estimator, arguments: dict) -> None:
    """Keep the arguments of ``__init__`` as attributes, as scikit-learn wants it."""
    for name, value in arguments.items():
        if name not in ("self", "__class__"):
            setattr(estimator, name, value)


def _check_callbacks(parameters: dict) -> None:
    """Refuse what is no callback, and those that cannot do for an estimator what they do for a network."""
    for callback in CallbackList(parameters["callbacks"]).callbacks:
        if isinstance(callback, BackupAndRestore):
            raise ValueError("callbacks: BackupAndRestore puts back a network, but not what the estimator knows of its "
                             "training (n_iter_, loss_curve_, the order of rows, the best weights); wanted callbacks "
                             "without it: partial_fit or warm_start go on from an estimator that was pickled")
        path = getattr(callback, "writes_to", None)
        if path is not None and parameters["n_estimators"] > 1:
            raise ValueError(f"callbacks: {type(callback).__name__} writes {path!r}, and each of "
                             f"n_estimators={parameters['n_estimators']} networks would write it anew; wanted "
                             "n_estimators=1, or callbacks that write no file")


class BaseMLP(CallbackSupportMixin, BaseEstimator, ABC):
    """See `MLPClassifier` and `MLPRegressor`."""

    _parameter_constraints: dict = {  # noqa: RUF012
        "hidden_layer_sizes": ["array-like", Interval(Integral, 1, None, closed="left")],
        "activation": [StrOptions({*ACTIVATIONS, *_build.ACTIVATIONS, "silu"}), Activation, list, tuple],
        "solver": [StrOptions({"lbfgs", "sgd", "adam"})],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [StrOptions({"auto"}), Interval(Integral, 1, None, closed="left")],
        "learning_rate": [StrOptions({"constant", "invscaling", "adaptive", "cosine"}), Schedule],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="left")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [Interval(Integral, 1, None, closed="left"), Options(Real, {np.inf})],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "optimizer": [None, StrOptions(set(OPTIMIZERS)), Optimizer],
        "dropout": [Interval(Real, 0, 1, closed="left"), list, tuple],
        "batch_norm": ["boolean", list, tuple],
        "normalize": ["boolean"],
        "validation_metric": [StrOptions({"score", "loss"})],
        "restore_best_weights": ["boolean"],
        "callbacks": [None, object],
        "max_time": [None, Interval(Real, 0, None, closed="left")],
        "n_threads": [None, Interval(Integral, 1, None, closed="left")],
        "dtype": [StrOptions({"auto", "float32", "float64"})],
        "n_estimators": [Interval(Integral, 1, None, closed="left")],
        "preset": [None, StrOptions(set(PRESETS))],
    }

    # ---- what an estimator says of itself ----------------------------------------------------------------------------

    @abstractmethod
    def _validate_input(self, X, y, incremental, reset, held=False):
        """X and y, checked; `held` are validation rows."""

    def _dense_input(self, X, y, incremental, reset, held=False):
        """The same, X without what a sparse matrix leaves out."""
        X, y = self._validate_input(X, y, incremental, reset, held)
        return X.toarray() if scipy.sparse.issparse(X) else X, y

    @abstractmethod
    def _target(self, y, parameters, first, held=False):
        """y as the network takes it; `n_outputs_` and what else it says of the outputs are set if `first`. `held` are
        validation rows."""

    @abstractmethod
    def _task(self, parameters, dtype) -> Task:
        """What is learnt."""

    @abstractmethod
    def _score_outputs(self, outputs, target, weight) -> float:
        """The score of a network's outputs."""

    def _shown_loss(self, logs) -> float:
        return logs["loss"]

    def _row_weights(self, y, sample_weight, parameters):
        return sample_weight

    def _stratify(self, target):
        return None

    def _metrics(self, parameters) -> tuple:
        return ()

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags

    def _check_solver(self):
        if self.solver == "lbfgs":
            raise AttributeError("partial_fit is only available for stochastic optimizers. lbfgs is not stochastic.")
        return True

    @property
    def _optimizer(self):
        return self.model_.optimizer

    # ---- training ----------------------------------------------------------------------------------------------------

    def _fit(self, X, y, sample_weight, validation, incremental=False):
        parameters = resolve(self)
        _build.hidden(parameters)
        _check_callbacks(parameters)
        if parameters["n_estimators"] > 1:
            with self._unchanged_by_errors():
                return self._fit_members(X, y, sample_weight, validation, incremental, parameters)
        with limited(parameters["n_threads"]), self._unchanged_by_errors() as learnt:
            rows, data, held, rng = self._begin(X, y, sample_weight, validation, incremental, parameters)
            objective = Objective(self.model_, *data) if parameters["solver"] == "lbfgs" else None
            history = self.model_.history  # another one as soon as a training has begun
            learnt.append(lambda: objective is not None or self.model_.history is not history)
            with told(self, parameters["max_iter"], rows) as tasks:
                if objective is not None:
                    self._fit_lbfgs(objective, parameters)
                else:
                    self._fit_stochastic(*data, held, parameters, incremental, rng, tasks)
        self._show_weights()
        if not np.isfinite(self.model_.memory.params).all():
            raise ValueError(_NOT_FINITE)
        return self

    def _begin(self, X, y, sample_weight, validation, incremental, parameters):
        """What was given, checked, and a network for it: rows as given, rows to train on and to validate on."""
        first = not hasattr(self, "coefs_") or (not self.warm_start and not incremental)
        X, y = self._dense_input(X, y, incremental, reset=first)
        sample_weight = _weights(sample_weight, X, "sample_weight")
        weight = self._row_weights(y, sample_weight, parameters)
        if weight is not None and not weight.any():
            raise ValueError("the weights of all rows are 0; wanted some above 0")
        rows = {"X": X, "y": y, "metadata": {} if sample_weight is None else {"sample_weight": sample_weight}}
        target = self._target(y, parameters, first)
        held = self._validation(validation, parameters)
        if parameters["early_stopping"] and incremental and held is None:
            raise ValueError("partial_fit does not support early_stopping=True without validation data (X_val, y_val)")
        rng = check_random_state(self.random_state)
        units = [X.shape[1], *_build.hidden(parameters), self.n_outputs_]
        if first:
            self._initialize(parameters, units, rng)
        elif [X.shape[1], *(len(b) for b in self.intercepts_)] != units:
            raise ValueError(f"the fit before had layers of {[X.shape[1], *(len(b) for b in self.intercepts_)]} units; "
                             f"wanted the same, not {units}, to go on")
        if parameters["early_stopping"] and held is None and parameters["solver"] != "lbfgs":
            X, target, weight, held = self._split(X, target, weight, parameters, rng)
        for rows_of, given in (("train on", weight), ("validate with", held and held[2])):
            if given is not None and not given.any():
                raise ValueError(f"the weights of all rows to {rows_of} are 0; wanted some above 0")
        vars(self).pop("estimators_", None)  # who goes on from several, goes on from the first
        if parameters["solver"] != "lbfgs":
            self._begin_curves(parameters)
        self._make_model(X, weight, parameters, rng, incremental)
        return rows, (X, target, weight), held, rng

    @contextlib.contextmanager
    def _unchanged_by_errors(self):
        """What the estimator has learnt stays where something given is not valid. Gives a list for functions that say
        whether there is something learnt since: what then goes wrong leaves it."""
        before, learnt = dict(vars(self)), []
        try:
            yield learnt
        except BaseException:
            if not any(since() for since in learnt):
                vars(self).clear()
                vars(self).update(before)
            raise

    def _fit_members(self, X, y, sample_weight, validation, incremental, parameters):
        """Train `n_estimators` networks that differ by seed, beside each other, on the same arrays."""
        if incremental or self.warm_start:
            what = f"n_estimators is {parameters['n_estimators']}; wanted 1"
            if self.n_estimators == 1:
                what = (f"the preset {self.preset!r} trains {parameters['n_estimators']} networks, which the default "
                        "of 1 does not change; wanted no preset")
            raise ValueError(f"{what} with {'partial_fit' if incremental else 'warm_start'}")
        _build.layers(parameters, Task(1, None, "linear", "float32"))  # refuses what all members would
        X, y = self._dense_input(X, y, False, reset=True)
        if validation[0] is not None and validation[1] is not None:
            validation = (*self._validate_input(*validation[:2], True, reset=False, held=True), validation[2])
        named = {name: value for name, value in vars(self).items() if name in ("feature_names_in_", "_sparse_labels")}
        rng = check_random_state(self.random_state)
        own = parameters | {"n_estimators": 1, "preset": None}
        members = [type(self)(**own | {"random_state": int(rng.randint(2**31 - 1))})
                   for _ in range(parameters["n_estimators"])]
        _members.fit(members, (X, y, sample_weight, validation), parameters)
        learnt = {name: value for name, value in vars(members[0]).items() if name not in own}
        for name in _CURVES:  # of a training before
            vars(self).pop(name, None)
        vars(self).update(learnt | named | {"estimators_": members})
        return self

    def _initialize(self, parameters, units, rng) -> None:
        self.n_iter_ = self.t_ = 0
        self.n_layers_ = len(units)
        self.coefs_, self.intercepts_ = _build.draw_weights(parameters, units, rng)
        self._no_improvement_count = 0
        for name in ("model_", "loss_", "_best_weights", *_CURVES):
            vars(self).pop(name, None)

    def _begin_curves(self, parameters) -> None:
        """What a training writes on; where it goes on, as far as the one before has left it."""
        early, known = parameters["early_stopping"], vars(self)
        if known.get("_scored_by") != parameters["validation_metric"]:  # the best of one kind is none of another
            known.pop("best_validation_score_", None)
        self._scored_by = parameters["validation_metric"]
        loss, score = known.get("best_loss_"), known.get("best_validation_score_")
        if score is None:
            known.pop("_best_weights", None)
        self.loss_curve_ = known.get("loss_curve_", [])
        self.best_loss_ = None if early else math.inf if loss is None else loss
        self.best_validation_score_ = None if not early else -math.inf if score is None else score
        self.validation_scores_ = known.get("validation_scores_", [] if early else None)
        self.validation_loss_curve_ = known.get("validation_loss_curve_")

    def _validation(self, given, parameters):
        """Validation rows of the user's own: (X, target, weight), or None."""
        X, y, weight = given
        if X is None and y is None:
            if weight is not None:
                raise ValueError("sample_weight_val is given, but no X_val and y_val; wanted all three, or none")
            return None
        if X is None or y is None:
            raise ValueError(f"{'X_val' if X is None else 'y_val'} is None; wanted both X_val and y_val, or neither")
        if parameters["solver"] == "lbfgs":
            raise ValueError("X_val is given, but the solver 'lbfgs' looks at no validation data; wanted 'adam' or "
                             "'sgd'")
        X, y = self._dense_input(X, y, True, reset=False, held=True)
        weight = _weights(weight, X, "sample_weight_val")
        return X, self._target(y, parameters, False, held=True), weight

    def _split(self, X, target, weight, parameters, rng):
        arrays = [X, target] if weight is None else [X, target, weight]
        parts = train_test_split(*arrays, random_state=rng, test_size=parameters["validation_fraction"],
                                 stratify=self._stratify(target))
        held = (*parts[1::2], None)[:3]
        if len(held[0]) < 2:
            raise ValueError("The validation set is too small. Increase 'validation_fraction' or the size of your "
                             "dataset.")
        train = (*parts[0::2], None)[:3]
        return *train, held

    def _make_model(self, X, weight, parameters, rng, incremental) -> None:
        """A network for these parameters; what the one before had learnt goes over into it."""
        before: Sequential | None = vars(self).get("model_")
        dtype = parameters["dtype"]
        if dtype == "auto":  # who goes on, goes on with the digits begun with
            dtype = X.dtype.name if before is None else before.dtype
        if parameters["solver"] == "lbfgs":
            dtype = "float64"  # a line search needs more digits than float32 has
        seed = before.seed if before is not None else int(copy.deepcopy(rng).randint(2**31 - 1))
        goes_on = before is not None and type(before.optimizer_spec) is type(_build.optimizer(parameters, 1))
        begin = before.step if goes_on and not incremental else 0
        made, self._arguments = _build.build(
            parameters, self._task(parameters, dtype), len(X), seed=seed, metrics=self._metrics(parameters),
            begin=begin, mean_weight=1.0 if weight is None else float(np.mean(weight)))
        if before is not None:
            self._take_weights()
            same = made.layers == before.layers and made.loss == before.loss and made.dtype == before.dtype
            if same and made.optimizer_spec == before.optimizer_spec:
                if not incremental:  # the learning rate begins anew
                    before.compile(before.optimizer, made.loss, made.metrics)
                    before.rate_by_hand = None
                return
            made.build(X.shape[1], kernels=False)
            _carry_over(before, made)
            if "_best_weights" in vars(self):
                self._best_weights["params"] = _moved(self._best_weights["params"], before, made, made.memory.params)
        else:
            made.build(X.shape[1], kernels=False)
        self.model_ = made
        self._take_weights()

    def _fit_stochastic(self, X, target, weight, held, parameters, incremental, rng, tasks) -> None:
        model, score = self.model_, None
        self.n_iter_ = 0
        size = parameters["batch_size"]
        if size != "auto" and size > len(X):
            warnings.warn("Got `batch_size` less than 1 or larger than sample size. It is going to be clipped",
                          stacklevel=5)
        if held is not None:
            x_val, y_val, w_val = held
            self.validation_scores_ = self.validation_scores_ or []
            self.validation_loss_curve_ = self.validation_loss_curve_ or []

            def score() -> float:
                return self._score_outputs(model.predict(x_val), y_val, w_val)

        convergence = Convergence(self, parameters, len(X), score, self._shown_loss, incremental)
        listeners = [one for one in (convergence, tasks, parameters["callbacks"]) if one is not None]
        arguments = dict(self._arguments)
        if incremental:
            arguments["epochs"] = 1
        if arguments["shuffle"]:
            arguments["shuffle"] = _Order(len(X), rng)
        try:
            model.fit(X, target, sample_weight=weight, callbacks=listeners,
                      validation_data=held and held[: 2 if held[2] is None else 3], **arguments)
        except KeyboardInterrupt:
            warnings.warn("Training interrupted by user.", stacklevel=5)
        if model.history is not None and model.history.stopped:
            if not parameters["early_stopping"] or incremental:  # no better weights to go back to
                raise ValueError(_NOT_FINITE)
            convergence.not_finite()
        elif (self.n_iter_ == parameters["max_iter"] and not incremental and not convergence.converged
              and parameters["learning_rate"] != "cosine"):
            warnings.warn(f"Stochastic Optimizer: Maximum iterations ({parameters['max_iter']}) reached and the "
                          "optimization hasn't converged yet.", ConvergenceWarning, stacklevel=5)
        if "loss_" not in vars(self):  # the time was over before the first epoch was
            self.loss_ = self._shown_loss(model.evaluate(X, target, sample_weight=weight, return_dict=True))
        best = vars(self).get("_best_weights")
        if parameters["early_stopping"] and parameters["restore_best_weights"] and best and not incremental:
            memory = model.memory
            memory.params[:] = best["params"]
            for name, array in memory.running.items():
                array[:] = best.get(name, array)

    def _fit_lbfgs(self, objective, parameters) -> None:
        steps = Steps(objective, self.model_, parameters)
        try:
            result = scipy.optimize.minimize(
                steps, objective.weights, method="L-BFGS-B", jac=True, callback=steps.ended,
                options={name: parameters[own] for name, own in
                         (("maxfun", "max_fun"), ("maxiter", "max_iter"), ("gtol", "tol"))})
            self.n_iter_ = _check_optimize_result("lbfgs", result, parameters["max_iter"])
            self.loss_, self.model_.memory.params[:] = result.fun, result.x
        except Stopped:
            self.n_iter_, self.loss_, self.model_.memory.params[:] = steps.number, *steps.reached
        except BaseException:
            steps.listeners.on_train_interrupted()
            raise
        steps.listeners.on_train_end({"loss": self.loss_})
        if parameters["verbose"]:
            print(f"L-BFGS: {self.n_iter_} iterations, loss = {self.loss_:.8f}")

    # ---- weights -----------------------------------------------------------------------------------------------------

    def _kernels(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Weights and biases of the network."""
        places = self.model_.memory.parameters
        names = [name.removesuffix("/kernel") for name in places if name.endswith("/kernel")]
        return [(places[f"{name}/kernel"], places[f"{name}/bias"]) for name in names]

    def _show_weights(self) -> None:
        pairs = self._kernels()
        self.coefs_, self.intercepts_ = [w for w, _ in pairs], [b for _, b in pairs]

    def _take_weights(self) -> None:
        """Let the network have the arrays in `coefs_` and `intercepts_`, where they are not its own."""
        kernels = self._kernels()
        coefs, intercepts = self.coefs_, self.intercepts_
        if not len(coefs) == len(intercepts) == len(kernels):
            name, given = ("coefs_", coefs) if len(coefs) != len(kernels) else ("intercepts_", intercepts)
            raise ValueError(f"{name} has {len(given)} arrays; wanted {len(kernels)}, one for each layer")
        taken = []
        for (w, b), coef, intercept in zip(kernels, coefs, intercepts, strict=True):
            for own, given, name in ((w, coef, "coefs_"), (b, intercept, "intercepts_")):
                if own is not given:
                    if np.shape(given) != own.shape:
                        raise ValueError(f"{name} has an array of shape {np.shape(given)}; wanted {own.shape}")
                    taken.append((own, np.array(given, own.dtype)))  # a copy: it may be a view of another layer
        for own, given in taken:
            own[...] = given
        if taken:
            self._show_weights()

    # ---- outputs -----------------------------------------------------------------------------------------------------

    def _natural(self, outputs) -> np.ndarray:
        """A network's outputs in the units that can be averaged: predictions or probabilities."""
        return outputs

    def _outputs(self, X) -> np.ndarray:
        """Predictions or probabilities; the mean of several networks'."""
        known = vars(self)
        if "model_" not in known:
            check_is_fitted(self, "model_")
        models = [self.model_]
        if "estimators_" in known:
            models = [member.model_ for member in self.estimators_]
            for member in self.estimators_:
                member._take_weights()
        self._take_weights()  # after those of the first member, whose network it is too
        if (type(X) is np.ndarray and X.ndim == 2 and 0 < len(X) <= LEAST_ROWS and X.shape[1] == self.n_features_in_
                and X.dtype.char in "fd" and "feature_names_in_" not in known and math.isfinite(X.sum())):
            with limited(self.n_threads) if len(X) > _NO_WORK else _AS_IT_IS:
                found = [model.predict(X) for model in models]
        else:
            checks = {"accept_sparse": ("csr", "csc"), "dtype": (np.float64, np.float32), "reset": False}
            X = validate_data(self, X, ensure_all_finite=False, **checks)  # the model looks for NaN
            try:
                with limited(self.n_threads):
                    found = [_predict(model, X) for model in models]
            except ValueError:
                validate_data(self, X, **checks)  # scikit-learn's message
                raise
        if len(found) == 1:
            return self._natural(found[0])
        return np.mean([self._natural(outputs) for outputs in found], axis=0)


def _weights(weight, X, name: str):
    """Weights of rows, checked; None where there are none."""
    if weight is None:
        return None
    weight = _check_sample_weight(weight, X)
    if (weight < 0).any():
        row = int(np.argmax(weight < 0))
        raise ValueError(f"{name} has {weight[row]:g} in row {row}; wanted 0 or more")
    return weight


def _predict(model: Sequential, X) -> np.ndarray:
    if not scipy.sparse.issparse(X):
        return model.predict(X)
    X = X.tocsr()
    blocks = [model.predict(X[i : i + _SPARSE_ROWS].toarray()) for i in range(0, X.shape[0], _SPARSE_ROWS)]
    return np.concatenate(blocks)


class _Order:
    """Orders of rows, drawn as scikit-learn draws them: each is the one before, shuffled."""

    def __init__(self, rows: int, rng: np.random.RandomState):
        self._order, self._rng = np.arange(rows), rng

    def __call__(self, rows: int) -> np.ndarray:
        drawn = np.arange(rows)
        self._rng.shuffle(drawn)
        self._order = self._order[drawn]
        return self._order


def _carry_over(before: Sequential, after: Sequential) -> None:
    """What one network has learnt, for another of the same shapes: weights, statistics, and what the optimizer knows
    where it is of the same kind."""
    old, new = before.memory, after.memory
    new.params[:] = _moved(old.params, before, after, new.params)
    for name in ("running", "normalization"):
        for key, array in getattr(new, name).items():
            if key in getattr(old, name):
                array[:] = getattr(old, name)[key]
    new.normalized = new.normalized or (old.normalized and bool(old.normalization))  # a layer that is new has to learn
    if type(before.optimizer_spec) is type(after.optimizer_spec):
        none = np.zeros_like(new.params)
        new.keep({name: _moved(array, before, after, none) for name, array in old.state.items()}, {})
        after.left = before.left


def _moved(vector: np.ndarray, before: Sequential, after: Sequential, rest: np.ndarray) -> np.ndarray:
    """A vector like the weights of one network as one of another, of which `rest` is what the first has not: where
    arrays lie in it depends on the dtype."""
    moved = rest.copy()
    views = before.memory.views(vector)
    for name, view in after.memory.views(moved).items():
        if name in views:
            view[...] = views[name]
    return moved
