# SPDX-License-Identifier: Apache-2.0
"""What a search chooses from: how many of the last layers, and what share of each one's weights.

A choice trains the biases of the last k layers and, of each of these, the weights of a share of its
output channels.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from fleetgrad_codegen.bundle import Ranges, prepare
from fleetgrad_codegen.errors import SchemeError
from fleetgrad_codegen.forward import build_program, short_name
from fleetgrad_codegen.frontend.tflite import read_model
from fleetgrad_codegen.gradient.tape import weighted_rule
from fleetgrad_codegen.gradient.training import DeepTraining
from fleetgrad_codegen.ir import Graph
from fleetgrad_codegen.ops.boundary import split_boundary
from fleetgrad_codegen.program import Loss, Program
from fleetgrad_codegen.scheme.deep import BIASES_ONLY, WHOLE, layers_of
from fleetgrad_codegen.scheme.file import FileLayer, SchemeFile
from fleetgrad_codegen.scheme.last_layer import LastLayer
from fleetgrad_codegen.scheme.site import HeadSite, find_head

RATIOS: Final = (0.125, 0.25, 0.5, 1.0)


@dataclass(frozen=True, slots=True)
class SpaceLayer:
    """A layer that may train.

    Attributes:
        op: Its number in the model file.
        name: Of its output.
        kind: Of its operator.
        channels: Output channels; of a new last layer, its classes.
        weights: Elements of its weight tensor.
        ratios: Shares of channels to choose from, ascending, besides none; the last one is all. No
            two of them come to the same number of channels.
        always: Whether its weights train whenever it trains at all: a new last layer.
    """

    op: int
    name: str
    kind: str
    channels: int
    weights: int
    ratios: tuple[float, ...]
    always: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """One scheme of the space.

    Attributes:
        ratios: Operator number and share of channels whose weights train, in the model's order; 0
            for the bias alone. The last entry is the model's last layer.
    """

    ratios: tuple[tuple[int, float], ...]

    @property
    def layers(self) -> int:
        """How many of the last layers train."""
        return len(self.ratios)

    def ratio(self, op: int) -> float | None:
        """Of one layer; None where it does not train."""
        return dict(self.ratios).get(op)

    def with_ratio(self, op: int, ratio: float) -> "Choice":
        """The same with another share of one layer that trains."""
        return Choice(tuple((own, ratio if own == op else old) for own, old in self.ratios))


@dataclass(frozen=True, slots=True)
class Deployment:
    """How a choice would be generated; see `fleetgrad_codegen.bundle.generate`.

    Attributes:
        recomputing: Whether cheap activations are computed again.
        paging: Whether int8 weights of one trained layer at a time are made.
        ranges: What may happen to activation scales.
    """

    recomputing: bool = False
    paging: bool = False
    ranges: Ranges | None = None


@dataclass(frozen=True, slots=True)
class Space:
    """All schemes that a search may find.

    Attributes:
        model: The ``.tflite`` file as given.
        name: What to call it.
        loss: What is minimised.
        last: How the last layer is adapted.
        graph: The device's part of the model, with its last layer as it will train.
        layers: In the model's order; the last one is the model's last layer.
        deployment: How a choice would be generated.
    """

    model: bytes
    name: str
    loss: Loss
    last: LastLayer
    graph: Graph
    layers: tuple[SpaceLayer, ...]
    deployment: Deployment = Deployment()

    def biases(self, count: int) -> Choice:
        """Biases of the last layers; a new last layer trains whole."""
        chosen = self.layers[len(self.layers) - count :]
        return Choice(tuple((layer.op, WHOLE if layer.always else BIASES_ONLY) for layer in chosen))

    def whole(self) -> Choice:
        """Everything."""
        return Choice(tuple((layer.op, layer.ratios[-1]) for layer in self.layers))

    def scheme(self, choice: Choice) -> SchemeFile:
        """What generates code for a choice."""
        return _scheme(self.model, self.last, choice)

    def training(self, choice: Choice) -> DeepTraining:
        """The training steps of a choice."""
        return self.scheme(choice).prepare(self.graph, self.loss, 1)

    def deployed(self, choice: Choice) -> Program:
        """The timeline of a choice as it would be deployed."""
        return prepare(
            self.model,
            self.name,
            scheme=self.scheme(choice),
            loss=self.loss,
            recomputing=self.deployment.recomputing,
            paging=self.deployment.paging,
            ranges=self.deployment.ranges,
        )[2]

    def program(self, choice: Choice) -> Program:
        """The same from what is at hand, in milliseconds: for estimates."""
        training = self.training(choice)
        return build_program(training.graph, training)


def search_space(
    model: bytes,
    name: str,
    *,
    loss: Loss,
    last: LastLayer,
    ratios: Sequence[float] = RATIOS,
    deployment: Deployment | None = None,
) -> Space:
    """What can train of a model.

    Counts backwards from the last layer, and stops where errors cannot pass or a layer cannot
    train.

    Args:
        model: An int8 ``.tflite`` file.
        name: What to call it.
        loss: What is minimised.
        last: How the last layer is adapted.
        ratios: Shares of channels to choose from.
        deployment: How choices would be generated; None for the plainest way.

    Raises:
        CodegenError: The file is no such model, or not even its last layer can train.
    """
    op = find_head(read_model(model, name)).op
    deployed = _scheme(model, last, Choice(((op.index, WHOLE),))).adapt(model, name)
    _, graph, _ = split_boundary(read_model(deployed, name))
    site = find_head(graph)
    layers = tuple(_layer(site, position, ratios, last) for position in layers_of(site))
    plan = deployment or Deployment()
    for count in range(len(layers), 0, -1):
        space = Space(model, name, loss, last, graph, layers[-count:], plan)
        try:
            space.training(space.whole())
        except SchemeError:
            if count == 1:
                raise
        else:
            return space
    raise AssertionError("a model has a last layer")


def _scheme(model: bytes, last: LastLayer, choice: Choice) -> SchemeFile:
    return SchemeFile(
        last=last,
        source="the search",
        model_sha256=hashlib.sha256(model).hexdigest(),
        file_layers=tuple(
            FileLayer(label=f"op {op}", name="", op=op, ratio=ratio) for op, ratio in choice.ratios
        ),
    )


def _layer(site: HeadSite, position: int, ratios: Sequence[float], last: LastLayer) -> SpaceLayer:
    graph = site.graph
    op = graph.ops[position]
    channels = weighted_rule(graph, position).channels(graph, op)
    whole_only = position == site.position or op.kind == "DEPTHWISE_CONV_2D"
    by_count: Mapping[int, float] = {
        max(1, int(ratio * channels + 0.5)): ratio
        for ratio in ((WHOLE,) if whole_only else sorted({*ratios, WHOLE}))
    }
    return SpaceLayer(
        op=op.index,
        name=short_name(graph, op.outputs[0]),
        kind=op.kind,
        channels=channels,
        weights=graph.tensors[op.inputs[1]].size,
        ratios=tuple(sorted(by_count.values())),
        always=position == site.position and last.classes is not None,
    )
