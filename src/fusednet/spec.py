"""A network in words: layers, regularizers and their order; frozen, printable, hashable.

Reads errors.py, initializers.py and the list of activations (backends/table.py); read by plan.py, which makes a
schedule of it, and by whatever describes networks (model.py, io.py). Owns no array and no arithmetic.

a) A layer is a dataclass whose fields are what a user may say of it, under Keras's names, checked when it is made.
b) Sizes are not part of a layer: `Network.shapes` derives them from the shape of the input.
c) The same layer object may stand in several places or networks: parameters belong to the model, by place.
"""

import math
import re
from dataclasses import dataclass, field, fields

from fusednet import errors, initializers
from fusednet.backends import table

# ---- regularizers ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class L1L2:
    """Penalty ``l1 sum|w| + l2 sum w^2``, added to the loss; its gradient to the weight's.

    Parameters
    ----------
    l1, l2 : float, default 0
        Factors, 0 or more.
    per_row : bool, default False
        Whether the penalty of a step is divided by the rows of its batch, as scikit-learn's is. It is then no part of
        the loss in validation and evaluation.
    """

    l1: float = 0.0
    l2: float = 0.0
    per_row: bool = False

    def __post_init__(self):
        for name in ("l1", "l2"):
            object.__setattr__(self, name, errors.real(type(self).__name__, name, getattr(self, name), 0))
        object.__setattr__(self, "per_row", errors.boolean(type(self).__name__, "per_row", self.per_row))


@dataclass(frozen=True)
class L1(L1L2):
    """Penalty ``l1 sum|w|``.

    Parameters
    ----------
    l1 : float, default 0.01
        0 or more.
    """

    def __init__(self, l1: float = 0.01):
        super().__init__(l1=l1)


@dataclass(frozen=True)
class L2(L1L2):
    """Penalty ``l2 sum w^2``.

    Parameters
    ----------
    l2 : float, default 0.01
        0 or more.
    """

    def __init__(self, l2: float = 0.01):
        super().__init__(l2=l2)


def _regularizer(where: str, name: str, value) -> L1L2 | None:
    if value is None or isinstance(value, L1L2):
        return value
    if isinstance(value, str) and value in ("l1", "l2"):
        return L1() if value == "l1" else L2()
    if isinstance(value, str):
        raise errors.unknown(where, name, value, ("l1", "l2"))
    raise TypeError(f"{where}: {name} is {value!r}; wanted L1(...), L2(...), L1L2(...), 'l1', 'l2' or None")


# ---- layers ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Layer:
    """What all layers have.

    Parameters
    ----------
    name : str, optional
        By default the class's name in lower case, with a number where there are several.
    """

    name: str | None = field(default=None, kw_only=True)

    def __post_init__(self):
        if self.name is None:
            return
        if not isinstance(self.name, str) or not self.name or "/" in self.name:
            raise ValueError(f"{self._where}: name is {self.name!r}; wanted text without '/'")
        if self.name == "document":
            raise ValueError(f"{self._where}: name is 'document', which model files need; wanted another")

    @property
    def _where(self) -> str:
        return type(self).__name__

    def _set(self, **values) -> None:
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def _check_initializers(self, *names: str) -> None:
        for name in names:
            initializers.resolve(getattr(self, name), where=self._where, name=name)


ACTIVATIONS = (*(a.name.lower() for a in table.Activation), "softmax")
"""Names of the activations: those of the kernel list, and softmax, which takes a whole row."""

_ALIASES = {"silu": "swish", "identity": "linear", "gelu_approximate": "gelu_tanh"}
_ALPHA = {"leaky_relu": 0.2, "elu": 1.0}  # as in fusednet.ops, and Keras's functions of these names


@dataclass(frozen=True)
class Activation(Layer):
    """An activation function, applied to each element (softmax: to each row).

    Parameters
    ----------
    kind : str, default "linear"
        "linear", "relu", "leaky_relu", "elu", "selu", "sigmoid", "tanh", "swish" ("silu"), "softplus", "gelu",
        "gelu_tanh" or "softmax".
    alpha : float, optional
        Slope of leaky_relu below 0 (default 0.2), scale of elu below 0 (default 1); above 0. None for all others.
    name : str, optional
    """

    kind: str = "linear"
    alpha: float | None = None

    def __post_init__(self):
        super().__post_init__()
        kind = _ALIASES.get(self.kind, self.kind)
        if kind not in ACTIVATIONS:
            raise errors.unknown(self._where, "activation", self.kind, (*ACTIVATIONS, *_ALIASES))
        alpha = self.alpha
        if kind in _ALPHA:
            alpha = _ALPHA[kind] if alpha is None else errors.real(self._where, "alpha", alpha, 0, open_low=True)
        elif alpha is not None:
            raise ValueError(f"{self._where}: alpha is {alpha!r}, but {kind} has none")
        self._set(kind=kind, alpha=alpha)

    @property
    def code(self) -> int:
        """The activation's code in the kernel list; softmax has none."""
        return int(table.Activation[self.kind.upper()])

    @property
    def saves_input(self) -> bool:
        """Whether its derivative is taken from its input (all others': from its output)."""
        return self.kind != "softmax" and self.code in table.SAVES_Z


def _named(kind: str, formula: str, *, alpha: str = ""):
    # The class of one activation: Activation with its kind said.
    def make(cls):
        if alpha:
            def __init__(self, alpha: float = _ALPHA[kind], *, name: str | None = None):
                Activation.__init__(self, kind, alpha, name=name)
        else:
            def __init__(self, *, name: str | None = None):
                Activation.__init__(self, kind, name=name)
        __init__.__qualname__ = f"{cls.__name__}.__init__"
        cls.__init__ = __init__
        said = f"    alpha : float, default {_ALPHA[kind]}\n        {alpha}\n" if alpha else ""
        cls.__doc__ = f"{formula}\n\n    Parameters\n    ----------\n{said}    name : str, optional\n    "
        return cls

    return make


@_named("linear", "``f(x) = x``.")
class Linear(Activation):
    pass


@_named("relu", "Rectified linear unit, ``f(x) = max(x, 0)``.")
class ReLU(Activation):
    pass


@_named("leaky_relu", "``f(x) = x`` where ``x > 0``, else ``alpha x`` (Maas et al. 2013).", alpha="Above 0.")
class LeakyReLU(Activation):
    pass


@_named("elu", "``f(x) = x`` where ``x > 0``, else ``alpha (e^x - 1)`` (Clevert et al. 2016).", alpha="Above 0.")
class ELU(Activation):
    pass


@_named("selu", "`ELU` with the two constants of Klambauer et al. 2017.")
class SELU(Activation):
    pass


@_named("sigmoid", "``f(x) = 1 / (1 + e^-x)``.")
class Sigmoid(Activation):
    pass


@_named("tanh", "Hyperbolic tangent.")
class Tanh(Activation):
    pass


@_named("swish", "``f(x) = x / (1 + e^-x)``, also known as SiLU (Ramachandran et al. 2017).")
class Swish(Activation):
    pass


@_named("softplus", "``f(x) = log(1 + e^x)``.")
class Softplus(Activation):
    pass


@_named("gelu", "``f(x) = x P(X <= x)``, X standard normal (Hendrycks & Gimpel 2016), exact.")
class GELU(Activation):
    pass


@_named("softmax", "``f(x)_j = e^x_j / sum_k e^x_k`` over each row.")
class Softmax(Activation):
    pass


SiLU = Swish


def activation(where: str, value) -> Activation:
    """What a user said of an activation (a name, an `Activation`, None) as an `Activation`."""
    if value is None:
        return Activation("linear")
    if isinstance(value, Activation):
        return value
    if isinstance(value, type) and issubclass(value, Activation):
        return value()
    if isinstance(value, str):
        if _ALIASES.get(value, value) not in ACTIVATIONS:
            raise errors.unknown(where, "activation", value, (*ACTIVATIONS, *_ALIASES))
        return Activation(value)
    names = ", ".join(ACTIVATIONS)
    raise TypeError(f"{where}: activation is {value!r}; wanted one of {names}, a layer like ReLU(), or None")


@dataclass(frozen=True)
class Dense(Layer):
    """An affine layer and its activation, ``y = f(x W + b)``.

    Parameters
    ----------
    units : int
        Columns of y; 1 or more.
    activation : str or Activation, optional
        By default none (linear).
    use_bias : bool, default True
        Whether there is a b.
    kernel_initializer, bias_initializer
        First values of W and b: a name, a number (standard deviation), an object or a function; see
        `fusednet.initializers`. "auto" is He's before ReLU-like activations and Xavier's before others.
    kernel_regularizer, bias_regularizer : L1, L2, L1L2, "l1" or "l2", optional
        Penalty on W, on b.
    learning_rate_factor : float, default 1
        The optimizer's learning rate is multiplied by this for this layer; 0 keeps its weights as they are. (Its
        gradient still counts where norms of all gradients are taken.)
    name : str, optional
    """

    units: int
    activation: Activation | str | None = None
    use_bias: bool = True
    kernel_initializer: object = "auto"
    bias_initializer: object = "zeros"
    kernel_regularizer: L1L2 | None = None
    bias_regularizer: L1L2 | None = None
    learning_rate_factor: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        where = self._where
        self._set(
            units=errors.integer(where, "units", self.units, 1),
            activation=activation(where, self.activation),
            use_bias=errors.boolean(where, "use_bias", self.use_bias),
            kernel_regularizer=_regularizer(where, "kernel_regularizer", self.kernel_regularizer),
            bias_regularizer=_regularizer(where, "bias_regularizer", self.bias_regularizer),
            learning_rate_factor=errors.real(where, "learning_rate_factor", self.learning_rate_factor, 0),
        )
        self._check_initializers("kernel_initializer", "bias_initializer")


@dataclass(frozen=True)
class BatchNormalization(Layer):
    """Batch normalisation per column (Ioffe & Szegedy 2015), ``y = gamma (x - mean) / sqrt(var + epsilon) + beta``.

    In training mean and var are the batch's, var biased (divided by the number of rows); outside of it they are running
    ones, ``running = momentum running + (1 - momentum) batch``, which begin at 0 and 1.

    Parameters
    ----------
    momentum : float, default 0.99
        In [0, 1].
    epsilon : float, default 1e-3
        Above 0.
    gamma_initializer, beta_initializer
        First values; as for `Dense`.
    learning_rate_factor : float, default 1
        As for `Dense`; 0 keeps gamma and beta. The running statistics follow the batches all the same.
    name : str, optional
    """

    momentum: float = 0.99
    epsilon: float = 1e-3
    gamma_initializer: object = "ones"
    beta_initializer: object = "zeros"
    learning_rate_factor: float = 1.0

    def __post_init__(self):
        super().__post_init__()
        where = self._where
        self._set(
            momentum=errors.real(where, "momentum", self.momentum, 0, 1),
            epsilon=errors.real(where, "epsilon", self.epsilon, 0, open_low=True),
            learning_rate_factor=errors.real(where, "learning_rate_factor", self.learning_rate_factor, 0),
        )
        self._check_initializers("gamma_initializer", "beta_initializer")


@dataclass(frozen=True)
class Dropout(Layer):
    """In training each element is 0 with probability `rate`, else divided by ``1 - rate`` (Srivastava et al. 2014).

    Which elements is a function of the model's seed, the step, the layer and the place alone.

    Parameters
    ----------
    rate : float
        In [0, 1).
    name : str, optional
    """

    rate: float

    def __post_init__(self):
        super().__post_init__()
        self._set(rate=errors.real(self._where, "rate", self.rate, 0, 1, open_high=True))


@dataclass(frozen=True)
class Normalization(Layer):
    """``y = (x - mean) / sqrt(variance)`` by column, mean and variance of the training rows, learnt in ``fit``.

    The layer comes before all others but `Flatten`. A column that does not vary is only shifted. Mean and variance are
    found in float64; the rows themselves are converted to the network's dtype before they are shifted, so of float32 a
    column should not lie further from 0 than some 10^5 times its deviation (as seconds since 1970 do).

    Parameters
    ----------
    mean, variance : tuple of float, optional
        Given values, one for each feature or one for all; nothing is then learnt.
    name : str, optional
    """

    mean: tuple[float, ...] | None = None
    variance: tuple[float, ...] | None = None

    def __post_init__(self):
        super().__post_init__()
        if (self.mean is None) != (self.variance is None):
            raise ValueError(f"{self._where}: one of mean and variance is given; wanted both or none")
        for name, low in (("mean", -math.inf), ("variance", 0)):
            value = getattr(self, name)
            if value is not None:
                one = isinstance(value, str) or not hasattr(value, "__iter__") or getattr(value, "ndim", 1) == 0
                values = [v.item() if getattr(v, "ndim", 1) == 0 else v for v in ([value] if one else value)]
                self._set(**{name: tuple(errors.real(self._where, name, v, low) for v in values)})


@dataclass(frozen=True)
class Flatten(Layer):
    """Makes one row of features of each example, whatever its shape; stands first.

    Parameters
    ----------
    name : str, optional
    """


# ---- the network -----------------------------------------------------------------------------------------------------


def _snake(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


@dataclass(frozen=True)
class Network:
    """Layers in order, and the dtype of all that is computed.

    Parameters
    ----------
    layers : sequence of Layer
        At least one.
    features : int, optional
        Columns of the input; known from the first data on.
    dtype : {"float32", "float64"}
    """

    layers: tuple[Layer, ...]
    features: int | None = None
    dtype: str = "float32"

    def __post_init__(self):
        layers = tuple(self.layers)
        for i, layer in enumerate(layers):
            if not isinstance(layer, Layer):
                hint = f"; did you mean {layer.__name__}(...)?" if isinstance(layer, type) else ""
                raise TypeError(f"Sequential: layer {i} is {layer!r}; wanted a layer such as Dense(10){hint}")
        if not layers:
            raise ValueError("Sequential: no layers were given; wanted at least one")
        if self.dtype not in ("float32", "float64"):
            raise errors.unknown("Sequential", "dtype", self.dtype, ("float32", "float64"))
        seen: dict[str, int] = {}
        taken = {layer.name for layer in layers if layer.name}
        named = []
        for layer in layers:
            name = layer.name
            if name is None:
                base = layer.kind if isinstance(layer, Activation) else _snake(type(layer).__name__)
                while True:
                    number = seen.get(base, 0)
                    seen[base] = number + 1
                    name = f"{base}_{number}" if number else base
                    if name not in taken:
                        break
            elif name in {other.name for other in named}:
                raise ValueError(f"Sequential: two layers are named {name!r}; wanted a name of its own for each")
            named.append(replace_name(layer, name))
        object.__setattr__(self, "layers", tuple(named))
        self._check_order()

    def _check_order(self) -> None:
        computed = False
        for layer in self.layers:
            if isinstance(layer, (Flatten, Normalization)) and computed:
                raise ValueError(
                    f"Sequential: {layer.name} comes after a layer that computes; {type(layer).__name__} stands at the "
                    "beginning (between hidden layers take BatchNormalization)"
                )
            computed = computed or not isinstance(layer, (Flatten, Normalization))
        if sum(isinstance(layer, Normalization) for layer in self.layers) > 1:
            raise ValueError("Sequential: there are several Normalization layers; wanted one")

    @property
    def outputs(self) -> int | None:
        """Columns of the output; None where no layer says it and the input is not known."""
        units = [layer.units for layer in self.layers if isinstance(layer, Dense)]
        return units[-1] if units else self.features

    @property
    def widths(self) -> tuple[int, ...]:
        """Columns of each layer's output; `features` must be known."""
        width, widths = self.features, []
        for layer in self.layers:
            width = layer.units if isinstance(layer, Dense) else width
            widths.append(width)
        return tuple(widths)

    @property
    def normalization(self) -> Normalization | None:
        return next((layer for layer in self.layers if isinstance(layer, Normalization)), None)

    def with_features(self, features: int) -> "Network":
        """The same network for data of so many columns; one object, however often it is asked for."""
        if features == self.features:
            return self
        known = self.__dict__.get("_with_features")
        if known is None or known.features != features:
            known = object.__new__(type(self))  # the layers have been named and checked
            known.__dict__.update({each.name: getattr(self, each.name) for each in fields(self)}, features=features)
            object.__setattr__(self, "_with_features", known)
        return known


def replace_name(layer: Layer, name: str) -> Layer:
    """The layer under another name; the class stays."""
    copy = object.__new__(type(layer))
    copy.__dict__.update(layer.__dict__)
    object.__setattr__(copy, "name", name)
    return copy
