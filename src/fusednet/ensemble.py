"""`Ensemble`: several networks that answer together.

Reads many.py and pool.py (training), model.py, io.py, fuse.py; read by users alone.

a) Members are of one kind and differ by their seeds, or by the rows they are trained on (bootstrap) too.
b) The mean is taken of what can be averaged: of probabilities, not of logits. What `predict` gives is of the same kind
   as what a member's ``predict`` gives.
c) One file holds all, as data only; it is written whole or not at all, as a model's is.
"""

import functools
from collections.abc import Callable, Sequence

import numpy as np

from fusednet import errors, fuse, io, many, pool
from fusednet.loading import from_content
from fusednet.model import Sequential


class Ensemble:
    """Networks whose predictions are averaged.

    Parameters
    ----------
    member : Sequential or callable
        A compiled network without weights, or a function without arguments that returns one (or that and a dict of
        arguments of ``fit``).
    n : int, default 5
        Members.
    bootstrap : bool, default False
        Whether each member is trained on rows drawn with replacement, as many as there are; the rows it did not draw
        are then its validation rows.
    seed : int, default 0
        Of the members' seeds and rows.

    Attributes
    ----------
    members : tuple of Sequential
        Trained; empty before ``fit``.
    fitted : list of Fitted
        History and scores of each member.

    Examples
    --------
    >>> import fusednet as fn
    >>> x, y = fn.load_digits()
    >>> model = fn.Sequential([fn.Normalization(), fn.Dense(32, activation="relu"), fn.Dense(10)])
    >>> model.compile(fn.Adam(1e-3), "sparse_categorical_crossentropy", ["accuracy"])
    >>> ensemble = fn.Ensemble(model, 3, bootstrap=True)
    >>> fitted = ensemble.fit(x, y, epochs=2)
    >>> ensemble.predict(x).shape
    (1797, 10)
    """

    def __init__(self, member: Sequential | Callable, n: int = 5, *, bootstrap: bool = False, seed: int = 0):
        if not isinstance(member, Sequential) and not callable(member):
            raise TypeError(f"Ensemble: member is {type(member).__name__}; wanted a compiled Sequential or a function")
        self._member = member
        self.n = errors.integer("Ensemble", "n", n, 1)
        self.bootstrap = errors.boolean("Ensemble", "bootstrap", bootstrap)
        self.seed = errors.integer("Ensemble", "seed", seed, 0)
        self.members: tuple[Sequential, ...] = ()
        self.fitted: list[pool.Fitted] = []

    @classmethod
    def of(cls, models: Sequence[Sequential]) -> "Ensemble":
        """An ensemble of networks that are trained already.

        Parameters
        ----------
        models : sequence of Sequential

        Returns
        -------
        Ensemble

        Raises
        ------
        ValueError
            If there are none, or they differ in features, outputs, classes or columns.
        """
        models = tuple(models)
        if not models:
            raise ValueError("Ensemble: there are no models; wanted at least one")
        first = _kind(models[0], 0)
        for i, model in enumerate(models):
            for (what, given), (_, wanted) in zip(_kind(model, i).items(), first.items(), strict=True):
                if given != wanted:
                    raise ValueError(f"Ensemble: {what} of model {i} is {given}, of model 0 {wanted}; wanted the same")
        ensemble = cls(models[0], len(models))
        ensemble.members = models
        return ensemble

    def fit(self, x, y, *, validation_split: float = 0.0, validation_data=None, split: str = "random",
            sample_weight=None, workers: int | None = None, progress: bool = False, **options) -> list[pool.Fitted]:
        """Train all members, all cores busy; what was trained before is given up.

        Parameters
        ----------
        x, y, validation_split, validation_data, split, sample_weight, workers, progress, **options
            As for `fit_many`.

        Returns
        -------
        list of Fitted
            One for each member.

        Raises
        ------
        ValueError, TypeError
            If something is not valid; before anything is trained.
        """
        if self.bootstrap and validation_split:
            raise ValueError("Ensemble.fit: validation_split is given, but with bootstrap=True the rows that a member "
                             "did not draw are its validation rows; wanted one of the two")
        many._check_arguments("raise", workers, options)
        made = [self._recruit(i) for i in range(self.n)]
        division = many.Division(validation_split, split, None, self.seed, validation_data is not None)
        shared = many.Shared(x, y, sample_weight, validation_data)
        jobs = many.make_jobs(made, shared, division, self.seed, options)
        if self.bootstrap:
            for i, job in enumerate(jobs):
                job.data = job.data.divided(*self._drawn(i, job.data, validation_data is not None))
        self.fitted = many.train(jobs, workers=workers, progress=progress)
        self.members = tuple(one.model for one in self.fitted)
        return self.fitted

    def _recruit(self, i: int) -> many.Recruit:
        one = many.recruit(self._member, None, i)
        one.own = False  # a copy of it is trained, with a seed of its own
        one.config = f"member {i}"
        return one

    def _drawn(self, i: int, data, separate: bool) -> tuple[np.ndarray, np.ndarray | None]:
        n = len(data.x)
        drawn = np.random.default_rng([self.seed, i]).integers(0, n, n)
        codes = np.zeros(n, np.int32) if data.codes is None else data.codes
        known, first = np.unique(codes, return_index=True)
        missing = first[~np.isin(known, codes[drawn])]  # a class that was not drawn would never be learnt
        drawn[_spare(codes, drawn)[: len(missing)]] = missing
        if data.weight is not None and not data.weight[drawn].any():
            drawn[_spare(codes, drawn)[0]] = np.argmax(data.weight > 0)
        drawn.sort()
        others = np.setdiff1d(np.arange(n), drawn)
        scored = len(others) if data.weight is None else data.weight[others].any()
        return drawn, others if scored and not separate else None

    # ---- prediction --------------------------------------------------------------------------------------------------

    def predict(self, x, batch_size: int | None = None) -> np.ndarray:
        """The mean of the members' outputs.

        Parameters
        ----------
        x : array_like, (n, features)
        batch_size : int, optional
            Rows at a time; does not change the result but for the last digits.

        Returns
        -------
        ndarray of the members' dtype, (n, outputs)
            Where a member gives logits (its cross entropy contains the softmax or sigmoid), the logits of the mean of
            the members' probabilities; else the mean of the outputs.
        """
        self._need_members("predict")
        data = self.members[0].prepare(x)
        kind = _logits(self.members[0])
        outputs = (model.predict(data.x, batch_size=batch_size).astype(np.float64) for model in self.members)
        if not kind:
            mean = sum(outputs) / len(self.members)
        else:
            logs = functools.reduce(np.logaddexp, (_log_probabilities(out, kind) for out in outputs))
            mean = logs[0] - logs[1] if kind == "sigmoid" else logs - np.log(len(self.members))
        return mean.astype(self.members[0].dtype)

    def predict_classes(self, x) -> np.ndarray:
        """The class of each row that is likeliest on the mean, as y had it.

        Returns
        -------
        ndarray, (n,)
        """
        self._need_members("predict_classes")
        return self.members[0].classes_of(self.predict(x))

    def _need_members(self, what: str) -> None:
        if not self.members:
            raise ValueError(f"{what}: the ensemble has no members yet; fit it or load it first")

    def __len__(self) -> int:
        return len(self.members) or self.n

    # ---- files -------------------------------------------------------------------------------------------------------

    def save(self, path) -> None:
        """Write all members to one file; see ``Sequential.save``.

        Parameters
        ----------
        path : str or os.PathLike
        """
        self._need_members("save")
        tensors, documents = {}, []
        for i, model in enumerate(self.members):
            arrays, document = model.content()
            tensors |= {f"{i}/{name}": array for name, array in arrays.items()}
            documents.append(document)
        io.write(path, tensors, {"members": documents})

    @classmethod
    def load(cls, path) -> "Ensemble":
        """Read what `save` wrote.

        Parameters
        ----------
        path : str or os.PathLike

        Returns
        -------
        Ensemble

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If it is cut off or altered, or holds no ensemble.
        """
        tensors, document = io.read(path)
        if "members" not in document:
            raise ValueError(f"Ensemble.load: {path} holds one model; wanted an ensemble (fusednet.load reads a model)")
        models = []
        members = document["members"]
        if not isinstance(members, list) or not all(isinstance(one, dict) for one in members):
            raise ValueError(f"Ensemble.load: {path} holds no list of models")
        for i, one in enumerate(members):
            begin = f"{i}/"
            models.append(from_content({name.removeprefix(begin): array for name, array in tensors.items()
                                        if name.startswith(begin)}, one, path))
        return cls.of(models)


def _spare(codes: np.ndarray, drawn: np.ndarray) -> np.ndarray:
    """The places in `drawn` of rows beside which another one of their class is drawn."""
    return np.setdiff1d(np.arange(len(drawn)), np.unique(codes[drawn], return_index=True)[1])


def _kind(model: Sequential, place: int) -> dict:
    """What members of an ensemble have in common."""
    if not isinstance(model, Sequential) or model.memory is None:
        raise ValueError(f"Ensemble: model {place} has no weights; wanted a Sequential that is trained")
    classes = None if model.classes_ is None else tuple(model.classes_.tolist())
    return {"features": model.network.features, "outputs": model.network.outputs, "classes": classes,
            "columns": model.feature_names_, "the kind of outputs": _logits(model)}


def _logits(model: Sequential) -> str:
    """"softmax" or "sigmoid" where outputs are logits of it, "" where they are probabilities or numbers."""
    last = fuse.chain(model.network).stages[-1].activation.kind
    return (model.loss.head or "") if model.loss is not None and last == "linear" else ""


def _log_probabilities(out: np.ndarray, kind: str) -> np.ndarray:
    """Logarithms of the probabilities that logits stand for; of a sigmoid those of yes and of no, both exact."""
    if kind == "sigmoid":
        return np.stack([-np.logaddexp(0, -out), -np.logaddexp(0, out)])
    out = out - out.max(axis=1, keepdims=True)
    return out - np.log(np.exp(out).sum(axis=1, keepdims=True))
