"""From layers to stages: what is computed together.

Reads spec.py and losses.py; read by planner.py and what it asks, by model.py and ensemble.py.

a) A stage is what one kernel call does on the way forward: an affine layer or a batch normalisation with the activation
   that follows it, an activation on its own, a softmax, a dropout.
b) A final softmax or sigmoid that the loss contains is left out in training and evaluation (`Chain.head`).
"""

from dataclasses import dataclass, replace

from fusednet.losses import Loss
from fusednet.spec import (
    Activation,
    BatchNormalization,
    Dense,
    Dropout,
    Flatten,
    Layer,
    Network,
    Normalization,
)

LINEAR = Activation("linear")


@dataclass(frozen=True)
class Stage:
    """One step of the way forward.

    Attributes
    ----------
    kind : {"affine", "batch_norm", "activation", "softmax", "dropout"}
    layer : Layer
        Whose parameters it has; its name is the stage's.
    inputs, width : int
        Columns of its input and output.
    activation : Activation
        What ends it; linear for none.
    layers : tuple of str
        Names of all layers in it.
    """

    kind: str
    layer: Layer
    inputs: int
    width: int
    activation: Activation = LINEAR
    layers: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return self.layer.name

    @property
    def has_parameters(self) -> bool:
        return self.kind in ("affine", "batch_norm")


@dataclass(frozen=True)
class Chain:
    """A network as stages.

    Attributes
    ----------
    features : int
    stages : tuple of Stage
    head : Activation or None
        A final activation that is not among the stages, because the loss contains it.
    """

    features: int
    stages: tuple[Stage, ...]
    head: Activation | None = None

    @property
    def outputs(self) -> int:
        return self.stages[-1].width if self.stages else self.features


def _stages(network: Network, training: bool) -> list[Stage]:
    stages: list[Stage] = []
    width = network.features
    for layer in network.layers:
        if isinstance(layer, (Flatten, Normalization)):
            continue
        if isinstance(layer, Dropout) and not (training and layer.rate):
            continue
        if isinstance(layer, Dense):
            stages.append(Stage("affine", layer, width, layer.units, layers=(layer.name,)))
            width = layer.units
            _activate(stages, layer.activation, layer, width)
        elif isinstance(layer, BatchNormalization):
            stages.append(Stage("batch_norm", layer, width, width, layers=(layer.name,)))
        elif isinstance(layer, Dropout):
            stages.append(Stage("dropout", layer, width, width, layers=(layer.name,)))
        else:
            _activate(stages, layer, layer, width)
    return stages


def _activate(stages: list[Stage], activation: Activation, layer: Layer, width: int) -> None:
    """Append `activation`, said by `layer`, to the last stage, or as a stage of its own."""
    if activation.kind == "linear":
        return
    if activation.kind == "softmax":
        stages.append(Stage("softmax", layer, width, width, activation, (layer.name,)))
        return
    last = stages[-1] if stages else None
    if last is not None and last.has_parameters and last.activation.kind == "linear":
        names = last.layers if layer.name in last.layers else (*last.layers, layer.name)
        stages[-1] = replace(last, activation=activation, layers=names)
    else:
        stages.append(Stage("activation", layer, width, width, activation, (layer.name,)))


def chain(network: Network, loss: Loss | None = None, *, training: bool = False) -> Chain:
    """The network's stages.

    Parameters
    ----------
    network : Network
        Its `features` are known.
    loss : Loss, optional
        Takes the final activation that it contains from the stages.
    training : bool, default False
        Whether dropout is there.
    """
    stages = _stages(network, training)
    head = None
    if loss is not None and loss.head is not None and stages and stages[-1].activation.kind == loss.head:
        last, head = stages[-1], stages[-1].activation
        if last.has_parameters:
            stages[-1] = replace(last, activation=LINEAR)
        else:
            stages.pop()
    return Chain(network.features, tuple(stages), head)


def check_last(layers: tuple[Layer, ...], loss: Loss) -> None:
    """Refuse a last layer whose outputs are probabilities of one kind for a loss that contains the other, which would
    take them for logits.

    Raises
    ------
    ValueError
        If it is a softmax and the loss contains the sigmoid, or the other way round.
    """
    last = ""
    for layer in reversed(layers):
        if isinstance(layer, Dense):
            last = layer.activation.kind
            break
        if isinstance(layer, Activation) and layer.kind != "linear":
            last = layer.kind
            break
        if isinstance(layer, BatchNormalization):
            break
    if {last, loss.head} == {"softmax", "sigmoid"}:
        raise ValueError(f"compile: the last layer is a {last}, but the loss {loss.name} contains the {loss.head}; "
                         f"wanted {loss.head!r} or no activation in the last layer, or another loss")
