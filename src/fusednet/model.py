"""`Sequential`: a network that can be trained, evaluated, asked and saved. Words and names are Keras's.

Reads spec.py, plan.py, memory.py, feed.py, trainer.py, io.py, contents.py; is the door through which most users come.
Owns no arithmetic.

a) The network (spec.py) is frozen; weights and all else that training changes are in `memory` and `left`.
b) Features are known with the first data, or from `build`; weights exist from then on.
c) Every method checks all that it is given before it changes anything.
"""

import copy
import threading
from functools import partial

import numpy as np

from fusednet import contents, errors, feed, fuse, io, losses, optimizers, plan, planner, precision, summary, trainer
from fusednet.backends import current
from fusednet.backends.table import PRECISIONS
from fusednet.cursor import STEP
from fusednet.history import History
from fusednet.memory import Memory
from fusednet.metrics import Metric
from fusednet.metrics import resolve_all as resolve_metrics
from fusednet.predictor import LEAST_ROWS, Predictor
from fusednet.runner import NotFinite
from fusednet.spec import BatchNormalization, Dense, Dropout, Layer, Network
from fusednet.stepper import Stepper
from fusednet.streams import StreamRows

_PLANS = 64  # are kept


class Sequential:
    """A network of layers in a row.

    Parameters
    ----------
    layers : sequence of Layer, optional
        May be empty at first; `add` appends.
    seed : int, optional
        Of initial weights, order of rows, dropout and validation split. The same seed gives the same bits, whatever the
        number of threads. None draws one; it is then in `seed`.
    dtype : {"float32", "float64"}, default "float32"
        Of weights and of all arithmetic.
    name : str, optional

    Attributes
    ----------
    layers : tuple of Layer
    seed : int
    memory : Memory or None
        The arrays; None until the number of features is known.
    classes_ : ndarray or None
        The classes by code, where y was text, booleans or the like.
    feature_names_ : tuple of str or None
        Names of the columns that it was trained on.
    extra : dict or None
        Data of the user's that go with the model into its file and come back with `load`.
    validation_indices_ : ndarray of int64 or None
        The rows that the last ``fit`` set aside.
    stop_training : bool
        A callback that sets it ends the training.
    history : History or None
        Of the last ``fit``.

    Examples
    --------
    >>> import fusednet as fn
    >>> x, y = fn.load_digits()
    >>> model = fn.Sequential([fn.Normalization(), fn.Dense(64, activation="relu"), fn.Dense(10)], seed=0)
    >>> model.compile(optimizer=fn.Adam(1e-3), loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    >>> history = model.fit(x, y, batch_size=32, epochs=5, validation_split=0.2)
    >>> model.predict(x[:2]).shape
    (2, 10)
    """

    def __init__(self, layers=(), seed: int | None = None, *, dtype: str = "float32", name: str | None = None):
        if isinstance(layers, (Layer, type)) or not hasattr(layers, "__iter__"):
            given = "one layer" if isinstance(layers, Layer) else repr(layers)
            raise TypeError(f"Sequential: layers is {given}; wanted a list of layers")
        self._given = list(layers)
        self._dtype = dtype if dtype is None or isinstance(dtype, str) else np.dtype(dtype).name
        if self._dtype not in ("float32", "float64"):
            raise errors.unknown("Sequential", "dtype", dtype, ("float32", "float64"))
        if name is not None and not isinstance(name, str):
            raise TypeError(f"Sequential: name is {name!r}; wanted text")
        self.name = name or "sequential"
        self._draw_by(int(np.random.SeedSequence().generate_state(1)[0]) if seed is None else errors.integer(
            "Sequential", "seed", seed, 0))
        self.memory: Memory | None = None
        self.network = Network(tuple(self._given), dtype=self._dtype) if self._given else None
        self.loss = self.optimizer_spec = None
        self.metrics: tuple[Metric, ...] = ()
        self.classes_ = self.feature_names_ = self.validation_indices_ = None
        self.extra: dict | None = None
        self.matmul_precision = precision.get_matmul_precision()
        self.history: History | None = None
        self.stop_training = False
        self.left = trainer.Left()
        self.training: trainer.Fit | None = None
        self.rate_by_hand: float | None = None  # where it was set by hand, in place of the schedule
        self._plans: dict = {}
        self._predictor, self._stepper = Predictor(), Stepper()

    def __getstate__(self) -> dict:
        """What is pickled and copied: all but what is made anew; of a training under way, where it stands."""
        left = self.left if self.training is None else self.training.state()
        anew = {"_plans": {}, "_predictor": None, "_stepper": None, "training": None}
        return vars(self) | anew | {"_given": list(self._given), "left": left}

    def __copy__(self) -> "Sequential":
        """A whole copy: two models with the same weights would train each other's."""
        return copy.deepcopy(self)

    def __setstate__(self, state: dict) -> None:
        vars(self).update(state)
        self._predictor, self._stepper = Predictor(), Stepper()

    def _draw_by(self, seed: int) -> None:
        words = np.random.SeedSequence(seed).generate_state(3, np.uint64)
        self.seed = seed
        self.seeds = {name: int(word >> 1) for name, word in zip(("weights", "order", "masks"), words, strict=True)}

    def __repr__(self) -> str:
        return summary.line(self)

    # ---- what it is made of ------------------------------------------------------------------------------------------

    def add(self, layer: Layer) -> None:
        """Append a layer; not after weights exist."""
        if self.memory is not None:
            raise ValueError("add: the model has weights already; wanted all layers before the first data")
        network = Network((*self._given, layer), dtype=self._dtype)
        self._given.append(layer)
        self.network = network

    @property
    def layers(self) -> tuple[Layer, ...]:
        """The layers, each with its name."""
        return self.network.layers if self.network else ()

    @property
    def dtype(self) -> str:
        """Of weights and of all arithmetic."""
        return self._dtype

    @property
    def optimizer(self) -> optimizers.InUse | None:
        """The optimizer; its ``learning_rate`` is that of the next step and can be set."""
        return optimizers.InUse(self) if self.optimizer_spec is not None else None

    @property
    def trainable(self) -> bool:
        """True; a layer with ``learning_rate_factor=0`` is not trained."""
        return True

    @trainable.setter
    def trainable(self, value: bool) -> None:
        raise AttributeError("Sequential: trainable cannot be set; a layer with learning_rate_factor=0 is not trained")

    @property
    def step(self) -> int:
        """Optimizer steps so far."""
        return int(self.left.cursor[STEP])

    @property
    def learning_rate(self) -> float:
        """The next step's; setting it takes the place of the optimizer's schedule."""
        return self.rate_at(self.step)

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self.rate_by_hand = errors.real("Sequential", "learning_rate", value, 0)

    def rate_at(self, step: int) -> float:
        """The learning rate after `step` steps: the next one's (a function's own: the last one's)."""
        return self.rates_at([step])[0]

    def rates_at(self, steps: list[int]) -> list[float]:
        """The same of several."""
        self._need_compiled("learning_rate")
        if self.rate_by_hand is not None:
            return [self.rate_by_hand] * len(steps)
        return self.optimizer_spec.learning_rate.after(np.array(steps, np.int64)).tolist()

    def rate_factors(self) -> dict[str, float]:
        """By what each layer with weights multiplies the learning rate."""
        layers = [layer for layer in self.layers if hasattr(layer, "learning_rate_factor")]
        return {layer.name: layer.learning_rate_factor for layer in layers}

    def scalars(self, steps: np.ndarray) -> dict[str, np.ndarray]:
        """What changes from step to step, of the steps after `steps` steps."""
        spec = self.optimizer_spec
        rate = spec.learning_rate(steps) if self.rate_by_hand is None else np.full(len(steps), self.rate_by_hand)
        return {"step": steps.astype(np.float64), **spec.scalars(steps + 1, rate)}

    # ---- compile, build ----------------------------------------------------------------------------------------------

    def compile(self, optimizer="adam", loss=None, metrics=(), *, matmul_precision: str | None = None) -> None:
        """Say how it is trained.

        Parameters
        ----------
        optimizer : str or Optimizer, default "adam"
            "sgd", "adagrad", "rmsprop", "adam", "adamw", an object for other numbers than the defaults, or the
            `optimizer` of a model, with the learning rate that was set there. Steps and moments begin anew, unless it
            is this model's own `optimizer`.
        loss : str, Loss or callable
            "sparse_categorical_crossentropy", "categorical_crossentropy", "binary_crossentropy", "mse", "mae", "huber",
            "poisson", "quantile", an object for other numbers than the defaults, or a function ``(y_true, y_pred) ->
            (loss, gradient)`` (see `fusednet.losses.Custom`).
        metrics : list of str, optional
            "accuracy", "binary_accuracy", "mse", "mae" (beside the loss "poisson" of outputs as they are: log rates).
        matmul_precision : {"highest", "high", "medium"}, optional
            How exact products of float32 matrices are; by default what `fusednet.set_matmul_precision` said.

        Raises
        ------
        ValueError, TypeError
            If a name is unknown (the known ones are listed), a number out of range, a metric does not fit the loss, or
            the loss wants logits or probabilities of another kind than the last layer gives.
        RuntimeError
            If a training is under way.
        """
        if trainer.under_way(self):
            raise RuntimeError("compile: the model is being trained; wanted before or after fit, not in a callback")
        used = isinstance(optimizer, optimizers.InUse)
        rate, goes_on = optimizer.rate_by_hand if used else None, used and optimizer.is_of(self)
        before = self.loss, self.metrics
        optimizer = optimizers.resolve(optimizer, self._dtype)
        if loss is None:
            raise ValueError(f"compile: no loss was given; wanted one of {', '.join(losses.LOSSES)}")
        loss = losses.resolve(loss)
        code = precision.code(matmul_precision)
        fuse.check_last(self.layers, loss)
        self.metrics = resolve_metrics(metrics, loss)
        self.matmul_precision = PRECISIONS[code]
        self._predictor.forget()
        alike = (loss, self.metrics) == before
        self.loss, self.optimizer_spec, self.rate_by_hand = loss, optimizer, rate
        if not goes_on:
            self.left = trainer.Left()
            if self.memory is not None:
                self.memory.keep({}, {})
        elif not alike:  # sums of an epoch that was begun are of other things
            self.left = trainer.Left(trainer.begun_anew(self.left.cursor))

    def build(self, features: int, *, kernels: bool = True) -> None:
        """Make the weights, for data of so many columns; ``fit`` does it by itself.

        Parameters
        ----------
        features : int
        kernels : bool, default True
            Whether dense layers' are drawn; else they are 0, for who has others.
        """
        if self.network is None:
            raise ValueError("build: the model has no layers; wanted at least one")
        features = errors.integer("build", "features", features, 1)
        if self.memory is not None:
            if self.network.features != features:
                raise ValueError(f"build: the model was built for {self.network.features} features, not {features}")
            return
        network = self.network.with_features(features)
        memory = Memory(network)
        memory.initialize(self.seeds["weights"], kernels=kernels)
        self.network, self.memory = network, memory

    def adapt(self, x) -> None:
        """Learn mean and variance of the `Normalization` layer from data; ``fit`` does it by itself, once."""
        if self.network is None or self.network.normalization is None:
            raise ValueError("adapt: the model has no Normalization layer")
        data = self.prepare(x)
        self.build(data.x.shape[1])
        self.memory.adapt(data.x, None)

    def plan(self, mode: str, of: plan.Feed | None = None, batch: int = 32, *, check: bool = True) -> plan.Plan:
        """The schedule of a step; ``print(model.plan("train").dump())`` shows it.

        Parameters
        ----------
        mode : {"train", "gradient", "evaluate", "predict"}
            "gradient" is "train" without its update.
        of : Feed, optional
            How data come in; by default float rows, shuffled, with labels or targets as the loss wants.
        batch : int, default 32
        check : bool, default True
            Whether loss and gradient are looked at in each step.

        Returns
        -------
        Plan
        """
        if mode not in ("train", "gradient", "evaluate", "predict"):
            raise errors.unknown("plan", "mode", mode, ("train", "gradient", "evaluate", "predict"))
        self._need_weights("plan")
        kind = ""
        if mode != "predict":
            self._need_compiled("plan")
            kind = "labels" if self.loss.takes == "classes" else "targets"
        if of is None:
            of = plan.Feed(self._dtype, kind, ordered=mode == "train", columns=self.network.outputs)
        code = precision.code(self.matmul_precision)
        optimizer = self.optimizer_spec.without_rate() if mode == "train" else None
        seed = self.seeds["masks"] if any(isinstance(layer, Dropout) for layer in self.layers) else 0
        # all that is read below: models may share their plans
        split = mode == "predict" and current().walker is not None
        key = (mode, self.network, self.loss, optimizer, self.metrics, of, batch, seed, check, code, split)
        made = self._plans.get(key)
        if made is None:
            given, metrics = (self.network, self.loss), self.metrics
            if mode == "train":
                made = planner.train(*given, optimizer, of, batch, metrics=metrics, seed=seed, check=check,
                                     precision=code)
            elif mode == "gradient":
                made = planner.gradient(*given, of, batch, seed=seed, precision=code)
            elif mode == "evaluate":
                made = planner.evaluate(*given, of, batch, metrics=metrics, precision=code)
            else:
                made = planner.predict(self.network, of, batch, precision=code, split=split)
            self._plans[key] = made
            if len(self._plans) > _PLANS:  # batches of ever other sizes
                self._plans.pop(next(iter(self._plans.copy())), None)
        return made

    def _need_compiled(self, what: str) -> None:
        if self.optimizer_spec is None:
            raise ValueError(f"{what}: the model is not compiled; call compile(optimizer=..., loss=...) first")

    def _need_weights(self, what: str) -> None:
        if self.memory is None:
            raise ValueError(f"{what}: the model has no weights yet; fit it, build(features) it or load it first")

    # ---- fit ---------------------------------------------------------------------------------------------------------

    def fit(self, x=None, y=None, batch_size: int | None = 32, epochs: int = 1, verbose: int = 0, callbacks=None,
            validation_split: float = 0.0, validation_data=None, shuffle=True, class_weight=None,
            sample_weight=None, initial_epoch: int = 0, steps_per_epoch: int | None = None,
            validation_steps: int | None = None, validation_batch_size: int | None = None, validation_freq=1, *,
            validation_interval: int | None = None, split: str = "random", max_time: float | None = None,
            resume: bool = False) -> History:
        """Train.

        Parameters
        ----------
        x : array_like, (n, features), or an iterable of batches
            Arrays of any numeric dtype, order and strides, memory maps, pandas and polars frames, DLPack; or an
            iterable of ``(x, y)`` or ``(x, y, sample_weight)``. Or `fusednet.feed.Data` that were prepared for such a
            model: who has them has y and weights in them, and looks at ``History.stopped`` instead of being warned.
        y : array_like
            Labels as integers, text or one-hot rows; or numbers. Not given where x is an iterable of batches.
        batch_size : int or None, default 32
            Rows of a step; the last batch of an epoch may be smaller. None takes all rows at once.
        epochs : int, default 1
            The number of the last epoch: with `initial_epoch` or `resume` fewer are run.
        verbose : {0, 1, 2}, default 0
            1: a progress bar; 2: a line for each epoch.
        callbacks : list of Callback, optional
        validation_split : float, default 0
            Share of the rows that is set aside at random, of each class alike; see `split`.
        validation_data : tuple, optional
            ``(x, y)`` or ``(x, y, sample_weight)``; takes the place of `validation_split`.
        shuffle : bool or callable, default True
            Whether rows come in a new order in each epoch. ``shuffle(n)`` gives the order itself, a permutation of n
            rows, when an epoch begins; such a training cannot be resumed to the bit.
        class_weight : dict or "balanced", optional
            "balanced" is by the classes of these rows, for validation_data too.
        sample_weight : array_like, (n,), optional
            How much rows count, in the gradient and in all means. Validation rows are weighted too.
        initial_epoch : int, default 0
        steps_per_epoch : int, optional
            Steps after which an epoch ends; by default as many as use up the rows. An epoch goes on where the last one
            stopped; when the rows are used up they come again. An iterator of batches goes on too; of what can be
            iterated again each epoch has the first batches.
        validation_steps : int, optional
            Batches of validation, of `batch_size` rows (32 beside batches that come one after the other) unless
            `validation_batch_size` says another number; by default all.
        validation_batch_size : int, optional
        validation_freq : int or collection of int, default 1
            Validate every so many epochs, or at the end of these (counted from 1).
        validation_interval : int, optional
            Besides, validate every so many steps; see `History.validations`.
        split : {"random", "tail"}, default "random"
            "tail" sets the last rows aside, as Keras does.
        max_time : float, optional
            Seconds after which the training ends.
        resume : bool, default False
            Go on with the training that was left (by `max_time`, an interrupt, a smaller `epochs`, or in the file that
            the model was loaded from), to the bit as if it had not been left. Data and arguments must be the same.

        Returns
        -------
        History

        Raises
        ------
        ValueError, TypeError
            If anything is not valid; before anything is changed.
        """
        self._need_compiled("fit")
        schedule = trainer.planned(
            batch_size=batch_size, epochs=epochs, initial_epoch=initial_epoch, steps_per_epoch=steps_per_epoch,
            validation_freq=validation_freq, validation_interval=validation_interval, max_time=max_time,
            shuffle=shuffle, verbose=verbose, resume=resume)
        if feed.is_batches(x):
            fit = self._fit_stream(x, y, schedule, callbacks, sample_weight, class_weight, validation_split,
                                   validation_data, validation_batch_size, validation_steps)
            return fit.run()
        ready = isinstance(x, feed.Data)
        feed.need_y("fit", x.y if ready else y, x)
        data = x.checked("fit", self.network) if ready else self.prepare(x, y, sample_weight=sample_weight,
                                                                         class_weight=class_weight)
        if batch_size is None:
            schedule.batch = len(data.x)
        train, held = self._split(data, validation_split, split, validation_data)
        data.check_weights(train, held)
        extra = self._validation(validation_data, data, class_weight) if validation_data is not None else None
        self._check_trainable("fit")
        limits = trainer.limits(validation_batch_size, validation_steps, schedule.batch)
        if validation_interval is not None and extra is None and held is None:
            raise ValueError("fit: validation_interval is given, but no validation_split or validation_data")
        with trainer.unchanged_by_errors(self):
            self._take(data, train)
            validation = None
            if extra is not None or held is not None:
                validation = trainer.Evaluation(self, extra or data, held, *limits)
            self.validation_indices_ = held
            rows = trainer.ArrayRows(data, train, schedule)
            fit = trainer.Fit(self, rows, validation, schedule, callbacks)
            fit.begin()
        return fit.run(warn=not ready)

    def _fit_stream(self, batches, y, schedule, callbacks, sample_weight, class_weight, validation_split,
                    validation_data, validation_batch_size, validation_steps) -> trainer.Fit:
        """A `fit` that has begun, where x is an iterable of batches."""
        for name, value in (("y", y), ("sample_weight", sample_weight)):
            if value is not None:
                raise ValueError(f"fit: {name} is given, but x is an iterable of batches, which bring their own")
        if validation_split:
            raise ValueError("fit: validation_split needs arrays; x is an iterable of batches (give validation_data)")
        if callable(schedule.shuffle):
            raise ValueError("fit: shuffle is a function, which orders rows; x is an iterable of batches")
        if self.network is not None and self.network.normalization is not None and (
                self.memory is None or not self.memory.normalized):
            raise ValueError("fit: x is an iterable of batches, so the Normalization layer cannot learn from all rows; "
                             "call adapt(x) with an array first")
        limits = trainer.limits(validation_batch_size, validation_steps, trainer.STEP_ROWS)
        rows = StreamRows(self, batches, schedule.steps_per_epoch, class_weight)
        extra = self._validation(validation_data, rows.first, class_weight) if validation_data is not None else None
        if schedule.validation_interval is not None and extra is None:
            raise ValueError("fit: validation_interval is given, but no validation_data")
        feed.need_all_classes("fit", rows.first, self.classes_, self.network.outputs)
        self._check_trainable("fit")
        with trainer.unchanged_by_errors(self):
            self._take(rows.first, None)
            validation = trainer.Evaluation(self, extra, None, *limits) if extra is not None else None
            self.validation_indices_ = None
            fit = trainer.Fit(self, rows, validation, schedule, callbacks)
            fit.begin()
        return fit

    def _check_trainable(self, where: str) -> None:
        if not any(isinstance(layer, (BatchNormalization, Dense)) for layer in self.layers):
            raise ValueError(f"{where}: no layer has weights; there is nothing to train")
        fuse.check_last(self.layers, self.loss)  # layers may have been added

    def prepare(self, x, y=None, **options) -> feed.Data:
        """Data checked and converted for this model; see `fusednet.feed.prepare`."""
        if self.network is None:
            raise ValueError("the model has no layers; wanted at least one")
        if x is None:
            raise TypeError("x is None; wanted an array, a data frame or batches")
        options["dtype"] = self._dtype
        if y is not None:
            outputs = self.network.outputs
            if outputs is None:
                outputs = feed.prepare(x, dtype=self._dtype).x.shape[1]
            options |= {"loss": self.loss, "outputs": outputs, "classes": self.classes_}
        features = self.network.features if self.memory is not None else None
        return feed.prepare(x, y, features=features, names=self.feature_names_, **options)

    def _split(self, data: feed.Data, fraction: float, how: str, validation_data):
        if how not in ("random", "tail"):
            raise errors.unknown("fit", "split", how, ("random", "tail"))
        if fraction == 0 or validation_data is not None or data.train is not None:
            return data.train, data.held
        return feed.split(len(data.x), fraction, self.seed, how, data.codes)

    def _validation(self, given, data: feed.Data, class_weight) -> feed.Data:
        if isinstance(given, feed.Data):
            return given.checked("fit: validation_data", self.network)
        if not isinstance(given, (tuple, list)) or len(given) not in (2, 3):
            raise TypeError(f"fit: validation_data is {type(given).__name__}; wanted (x, y) or (x, y, sample_weight)")
        classes = data.classes if data.classes is not None else self.classes_
        outputs = self.network.outputs or data.x.shape[1]
        class_weight = data.class_weight(class_weight, outputs)
        return feed.prepare(
            given[0], given[1], loss=self.loss, outputs=outputs, dtype=self._dtype,
            features=data.x.shape[1], names=data.names, classes=classes,
            sample_weight=given[2] if len(given) == 3 else None, class_weight=class_weight, prefix="validation ")

    def _take(self, data: feed.Data, train: np.ndarray | None) -> None:
        """Make of the data what is learnt from them before the first step."""
        self.build(data.x.shape[1])
        if not self.memory.normalized:
            self.memory.adapt(data.x, train)
        if data.classes is not None:
            self.classes_ = data.classes
        if data.names is not None:
            self.feature_names_ = data.names

    def train_on_batch(self, x, y, sample_weight=None, class_weight=None, return_dict: bool = False):
        """One step on the given rows.

        Parameters
        ----------
        x, y, sample_weight, class_weight
            As for `fit`, but arrays: no iterables of batches. Of the first ones a `Normalization` learns, if it has
            learnt nothing before (see `adapt`).
        return_dict : bool, default False

        Returns
        -------
        float, list of float or dict
            The loss before the step; with metrics a list; by name with `return_dict`.

        Raises
        ------
        ArithmeticError
            If loss or gradient are not finite; the weights are then those before the step.
        RuntimeError
            If a step or a training is under way in another thread, or a step because the loss is a function that asks
            for one.
        """
        self._need_compiled("train_on_batch")
        training = trainer.under_way(self)
        if training is not None and training.thread is not threading.current_thread():
            raise RuntimeError("train_on_batch: the model is being trained in another thread; wanted after the end of "
                               "that training")
        feed.need_y("train_on_batch", y)
        data = self.prepare(x, y, sample_weight=sample_weight, class_weight=class_weight)
        feed.need_all_classes("train_on_batch", data, self.classes_, self.network.outputs)
        self._check_trainable("train_on_batch")
        self._take(data, None)
        made = self.plan("train", data.feed(ordered=False), len(data.x))
        self.memory.prepare(self.optimizer_spec, gradients=made.gradients)
        step = self.step
        try:
            sums = self._stepper(made, self.memory, data.source(), step, self.scalars, trainer.leave(self.loss))
        except NotFinite as problem:
            raise ArithmeticError(f"train_on_batch: {problem}; the weights are those before it") from None
        self.left.cursor[STEP] = step + 1
        return self._answer(trainer.results(made, sums), return_dict)

    def _answer(self, logs: dict[str, float], return_dict: bool):
        if return_dict:
            return logs
        values = list(logs.values())
        return values if len(values) > 1 else values[0]

    # ---- evaluate, predict -------------------------------------------------------------------------------------------

    def evaluate(self, x=None, y=None, batch_size: int | None = None, verbose: int = 0, sample_weight=None,
                 steps: int | None = None, callbacks=None, return_dict: bool = False):
        """Loss and metrics on data.

        Parameters
        ----------
        x, y, sample_weight
            As for `fit`, but arrays: no iterables of batches.
        batch_size : int, optional
            Rows at a time; does not change the result but for the last digits.
        verbose : {0, 1, 2}, default 0
        steps : int, optional
            Batches (of 32 rows, unless `batch_size` says another number); by default all.
        callbacks : list of Callback, optional
        return_dict : bool, default False

        Returns
        -------
        float, list of float or dict
            The loss; with metrics a list; by name with `return_dict`.
        """
        self._need_compiled("evaluate")
        self._need_weights("evaluate")
        feed.need_y("evaluate", x.y if isinstance(x, feed.Data) else y, x)
        data = x.checked("evaluate", self.network) if isinstance(x, feed.Data) else self.prepare(
            x, y, sample_weight=sample_weight)
        size = None if batch_size is None else errors.integer("evaluate", "batch_size", batch_size, 1)
        steps = None if steps is None else errors.integer("evaluate", "steps", steps, 1)
        logs = trainer.evaluate(self, trainer.Evaluation(self, data, data.held, size, steps), callbacks, verbose)
        return self._answer(logs, return_dict)

    def predict(self, x, batch_size: int | None = None, verbose: int = 0, steps: int | None = None,
                callbacks=None) -> np.ndarray:
        """The network's outputs.

        Parameters
        ----------
        x : array_like, (n, features)
        batch_size : int, optional
            Rows at a time; does not change the result but for the last digits.
        steps : int, optional
            Batches (of 32 rows, unless `batch_size` says another number); by default all.
        verbose : int
            As Keras has it; nothing is printed.
        callbacks : list of Callback, optional
            Their ``on_predict_*`` are called.

        Returns
        -------
        ndarray of the model's dtype, (n, outputs)
            Whatever the last layer gives: probabilities if it is a softmax or sigmoid.

        Notes
        -----
        What the first call with so many rows prepares is kept for those that follow, of the last eight numbers of rows:
        then a call with a contiguous array takes a microsecond beside its work. Several threads may call at once; they
        are served one after the other.
        """
        if batch_size is None and steps is None and callbacks is None:
            known = self._predictor.again(x, self.memory)
            if known is not None:
                return known
        self._need_weights("predict")
        data = self.prepare(x)
        size = None if batch_size is None else errors.integer("predict", "batch_size", batch_size, 1)
        rows = data.x
        if steps is not None:
            size = size or trainer.STEP_ROWS
            rows = rows[: size * errors.integer("predict", "steps", steps, 1)]
        outputs = partial(self._predictor, memory=self.memory, plan_of=partial(self.plan, "predict"), batch=size)
        if callbacks is None:
            return outputs(rows)
        return trainer.predict(self, rows, outputs, size or LEAST_ROWS, callbacks)

    def predict_on_batch(self, x) -> np.ndarray:
        """`predict` for rows of one batch."""
        return self.predict(x)

    def predict_classes(self, x) -> np.ndarray:
        """The likeliest class of each row of x, as y had it.

        Returns
        -------
        ndarray, (n,) or (n, outputs)
            Elements of `classes_`, or codes; with one output, class 1 where its probability is above one half. With
            several outputs and the loss "binary_crossentropy", 0 and 1 for each, since a row may have several labels.
        """
        return self.classes_of(self.predict(x))

    def classes_of(self, out: np.ndarray) -> np.ndarray:
        """The likeliest classes where `out` is what `predict` gave."""
        head = None if self.loss is None else self.loss.head
        last = fuse.chain(self.network).stages[-1].activation.kind
        if head == "softmax" or last == "softmax" or (out.shape[1] > 1 and head != "sigmoid"):
            known = out if self.classes_ is None else out[:, : len(self.classes_)]  # there may be fewer than outputs
            codes = known.argmax(axis=1)
        else:
            codes = (out > (0.5 if last == "sigmoid" else 0)).astype(np.int64)
            if out.shape[1] > 1:
                return codes
            codes = codes[:, 0]
        return codes if self.classes_ is None else self.classes_[codes]

    # ---- weights -----------------------------------------------------------------------------------------------------

    def _weights(self) -> dict[str, np.ndarray]:
        self._need_weights("weights")
        by_layer: dict[str, np.ndarray] = {}
        for layer in self.layers:
            for arrays in (self.memory.parameters, self.memory.running):
                by_layer |= {name: a for name, a in arrays.items() if name.rsplit("/", 1)[0] == layer.name}
        return by_layer

    def get_weights(self) -> list[np.ndarray]:
        """Copies of all weights in the order of the layers: kernel, bias; gamma, beta, running mean and variance."""
        return [array.copy() for array in self._weights().values()]

    def set_weights(self, weights) -> None:
        """Take weights over, in the order of `get_weights`.

        Raises
        ------
        ValueError, TypeError
            If their number or a shape differs, or they are no numbers; before anything is changed.
        """
        own = self._weights()
        if not hasattr(weights, "__iter__"):
            raise TypeError(f"set_weights: weights is {weights!r}; wanted a list of arrays")
        weights = [np.asarray(w) for w in weights]
        if len(weights) != len(own):
            raise ValueError(f"set_weights: {len(weights)} arrays were given; wanted {len(own)}: {', '.join(own)}")
        for (name, array), given in zip(own.items(), weights, strict=True):
            if given.shape != array.shape:
                raise ValueError(f"set_weights: {name} is of shape {given.shape}; wanted {array.shape}")
            if given.dtype.kind not in "biuf":
                raise TypeError(f"set_weights: {name} is of dtype {given.dtype}; wanted real numbers")
            with np.errstate(over="ignore"):
                lost = np.isinf(given.astype(array.dtype)) & np.isfinite(given)
            if lost.any():
                raise ValueError(f"set_weights: {name} has {given[lost][0]:g}; wanted numbers that {self.dtype} can "
                                 "hold")
        for array, given in zip(own.values(), weights, strict=True):
            array[...] = given
        self.memory.let_go()

    def count_params(self) -> int:
        """Number of weights, running statistics counted."""
        return sum(array.size for array in self._weights().values())

    def summary(self, print_fn=print) -> None:
        """Print the layers, the shapes of their outputs and the numbers of their weights, by `print_fn`."""
        print_fn(summary.text(self))

    # ---- files -------------------------------------------------------------------------------------------------------

    def save(self, path, training_state: bool = False, extra: dict | None = None) -> None:
        """Write the model to a file.

        Parameters
        ----------
        path : str or os.PathLike
            By custom ``name.safetensors``. A file that is there stays whole until the new one is.
        training_state : bool, default False
            Whether moments, cursor, history and the callbacks' states are in it, for ``fit(resume=True)`` after `load`.
        extra : dict, optional
            Plain data (numbers, text, lists, dicts, arrays) to be in the file; by default the attribute `extra`.

        Raises
        ------
        ImportError
            If safetensors is not installed; says what to type.
        TypeError
            If a loss, schedule or initializer is a function.
        OSError
            If it cannot be written.
        """
        io.write(path, *self.content(training_state, extra))

    def content(self, training_state: bool = False, extra: dict | None = None) -> tuple[dict, dict]:
        """What `save` writes: arrays by name, and a document of plain data; see `from_content`."""
        self._need_weights("save")
        return contents.of(self, training_state, self.extra if extra is None else extra)

    def load_training_state(self, path) -> None:
        """Take weights, moments and the place of a training over from a file, to go on with it.

        Parameters
        ----------
        path : str or os.PathLike
            Written by ``save(path, training_state=True)`` for a model of the same layers; its seed comes with it.

        Raises
        ------
        ValueError
            If the file is damaged, of other layers, or without the state of a training; while a training begins, if it
            is of another seed.
        RuntimeError
            In a training that has begun.
        """
        training = trainer.under_way(self)
        if training is not None and training.cursor is not None:
            raise RuntimeError("load_training_state: the model is being trained; wanted before or after that")
        tensors, document = io.read(path)
        network = contents.network(tensors, document, path)
        if self.network is None or network != self.network.with_features(self.network.features or network.features):
            raise ValueError(f"load_training_state: {path} holds another network; wanted {self.network}")
        if document["left"] is None:
            raise ValueError(f"load_training_state: {path} holds no training state; save with training_state=True")
        contents.check_optimizer(self, document, path)
        seed = document["seed"]
        if self.training is not None and seed != self.seed:  # its rows are drawn already
            raise ValueError(f"load_training_state: {path} is of a model with the seed {seed}, which draws rows and "
                             f"masks, this one has {self.seed}; wanted Sequential(..., seed={seed})")
        if self.training is not None:  # a fit that is refused after all leaves the model as it was
            before = copy.deepcopy(contents.of(self, True, self.extra))
            self.training.undo = lambda: contents.restore(self, *before)
        self._draw_by(seed)
        self.build(network.features)
        contents.restore(self, tensors, document)
