# SPDX-License-Identifier: Apache-2.0
"""Schemes that train more than the last layer: biases, shares of channels, everything."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from fleetgrad_codegen.errors import SchemeError
from fleetgrad_codegen.forward import short_name
from fleetgrad_codegen.frontend.patch import TensorPatch, patch_model
from fleetgrad_codegen.frontend.tflite import read_model
from fleetgrad_codegen.gradient import RULES, WeightedRule
from fleetgrad_codegen.gradient.arrange import arrange
from fleetgrad_codegen.gradient.tape import weighted_rule
from fleetgrad_codegen.gradient.training import DeepTraining
from fleetgrad_codegen.ir import Graph
from fleetgrad_codegen.ops.boundary import split_boundary
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.scheme.last_layer import LastLayer, check_site, head_of
from fleetgrad_codegen.scheme.site import HeadSite, find_head

MOST_SEGMENTS = 128
"""Trained tensors that devices take; mirrors ``FG_NODE_SEGMENTS_MAX``."""
BIASES_ONLY = 0.0
WHOLE = 1.0


@dataclass(frozen=True, slots=True)
class DeepScheme(ABC):
    """A scheme that names layers, and what share of their output channels trains.

    Attributes:
        last: How the last layer is adapted: headroom, or another number of classes.
    """

    last: LastLayer = field(default_factory=LastLayer)

    @property
    @abstractmethod
    def name(self) -> str:
        """What the manifest calls it."""

    @abstractmethod
    def ratios(self, site: HeadSite) -> Mapping[int, float]:
        """Share of output channels whose weights train, by position of the layer.

        Biases of all these layers train; 0 trains nothing else.

        Raises:
            SchemeError: The model has no such layers.
        """

    def ranks(self, site: HeadSite) -> Mapping[int, int]:  # noqa: ARG002
        """Of low-rank adapters, by position of layers with a ratio of 1; none by default."""
        return {}

    def adapt(self, model: bytes, name: str) -> bytes:
        """The model to deploy: a head with room to grow, trained tensors with data of their own.

        Args:
            model: An int8 ``.tflite`` file.
            name: What to call the model.

        Raises:
            CodegenError: The file is no such model, or the scheme does not fit it.
        """
        site = find_head(read_model(model, name))
        ratios = self.ratios(site)
        _check_ratios(site, ratios)
        trains = ratios.get(site.position) == WHOLE
        if self.last.classes is not None and not trains:
            raise SchemeError(
                "a new last layer that does not train",
                site.graph.where(site.op),
                "a ratio of 1 for the last layer, or no scheme.classes",
            )
        if trains:
            model = self.last.adapt(model, name)
        graph = read_model(model, name)
        patches = []
        for position, ratio in ratios.items():
            weighted_rule(graph, position).check_trainable(graph, graph.ops[position])
            for index in graph.ops[position].inputs[1 if ratio else 2 : 3]:
                tensor = graph.tensors[index]
                assert tensor.source is not None
                patches.append(TensorPatch(tensor.source, data=tensor.data))
        return patch_model(model, patches)

    def prepare(self, graph: Graph, loss: Loss, batch: int) -> DeepTraining:
        """What follows the forward pass of the adapted model.

        Args:
            graph: Its device part.
            loss: What to minimise.
            batch: 1.

        Raises:
            SchemeError: Loss, batch or layers do not fit each other.
        """
        if batch != 1:
            raise SchemeError(
                f"a batch of {batch} with the scheme {self.name}",
                "batch",
                "1: gradients are consumed as they come, and not collected",
                "batch 1 with a smaller learning rate, or the scheme last-layer",
            )
        site = find_head(graph)
        check_site(site, loss, batch)
        ratios = self.ratios(site)
        _check_ratios(site, ratios)
        chosen = {place: _channels(graph, place, ratio) for place, ratio in ratios.items()}
        _check_segments(site, chosen, self.ranks(site))
        arranged = arrange(graph, chosen)
        site = find_head(arranged.graph)
        return DeepTraining(
            site,
            head_of(site, loss),
            chosen,
            self._description(graph, chosen, self.ranks(site)),
            ranks=self.ranks(site),
            places=arranged.places,
            hint=lambda position: _hint(site, position),
        )

    def _description(
        self, graph: Graph, chosen: Mapping[int, int], ranks: Mapping[int, int]
    ) -> dict[str, object]:
        layers: list[dict[str, object]] = [
            {
                "op": graph.ops[position].index,
                "name": short_name(graph, graph.ops[position].outputs[0]),
                "channels": channels,
                "of": weighted_rule(graph, position).channels(graph, graph.ops[position]),
            }
            for position, channels in chosen.items()
        ]
        for position, layer in zip(chosen, layers, strict=True):
            if position in ranks:
                layer["rank"] = ranks[position]
        described: dict[str, object] = {
            "name": self.name,
            "headroom": self.last.headroom,
            "classes": self.last.classes,
            "layers": layers,
        }
        if self.last.seed is not None:
            described["seed"] = self.last.seed
        return described


def deep_training(scheme: DeepScheme, model: bytes, name: str, loss: Loss) -> DeepTraining:
    """The training of an adapted model, for running the specification on it.

    Args:
        scheme: What trains.
        model: A ``.tflite`` file, as from `DeepScheme.adapt`.
        name: What to call the model.
        loss: What to minimise.
    """
    _, graph, _ = split_boundary(read_model(model, name))
    return scheme.prepare(graph, loss, 1)


def layers_of(site: HeadSite) -> tuple[int, ...]:
    """Positions of the layers with weights that the last layer depends on, itself included."""
    graph = site.graph
    needed, found = set(site.op.inputs), [site.position]
    for position in range(site.position - 1, -1, -1):
        op = graph.ops[position]
        if needed.intersection(op.outputs):
            needed.update(op.inputs)
            if isinstance(RULES.get(op.kind), WeightedRule):
                found.append(position)
    return tuple(reversed(found))


def last_layers(site: HeadSite, count: int) -> tuple[int, ...]:
    """The last ``count`` of `layers_of`; all of them for 0.

    Raises:
        SchemeError: There are not so many.
    """
    found = layers_of(site)
    if not 0 <= count <= len(found):
        raise SchemeError(
            f"{count} layers are to train",
            "scheme.layers",
            f"1 to {len(found)}, or 0 for all that the model has",
        )
    return found[-count:] if count else found


def _channels(graph: Graph, position: int, ratio: float) -> int:
    """A share of a layer's output channels: to nearest, at least one."""
    channels = weighted_rule(graph, position).channels(graph, graph.ops[position])
    return max(1, int(ratio * channels + 0.5)) if ratio else 0


def _check_segments(site: HeadSite, chosen: Mapping[int, int], ranks: Mapping[int, int]) -> None:
    """A layer has a segment for its bias, one for weights that train, two for an adapter."""
    sizes = {place: 1 + (chosen[place] > 0) + (place in ranks) for place in chosen}
    segments = sum(sizes.values())
    if segments <= MOST_SEGMENTS:
        return
    room, fitting = MOST_SEGMENTS, 0
    for place in sorted(chosen, reverse=True):
        room -= sizes[place]
        fitting += room >= 0
    raise SchemeError(
        f"{segments} tensors are to train",
        site.graph.name,
        f"at most {MOST_SEGMENTS}",
        f"scheme.layers = {fitting}, or the scheme bias, which has one tensor per layer",
    )


def _check_ratios(site: HeadSite, ratios: Mapping[int, float]) -> None:
    graph = site.graph
    for position, ratio in ratios.items():
        op = graph.ops[position]
        if not 0.0 <= ratio <= 1.0:
            raise SchemeError(f"a ratio of {ratio:g}", graph.where(op), "0 (biases only) to 1")
        if position == site.position and ratio not in (BIASES_ONLY, WHOLE):
            raise SchemeError(
                f"a ratio of {ratio:g} for the last layer, whose channels are the model's outputs",
                graph.where(op),
                "0 (biases only) or 1",
            )


def _hint(site: HeadSite, position: int) -> str:
    """The nearest scheme that works where errors cannot pass an operator."""
    behind = sum(place > position for place in layers_of(site))
    if behind <= 1:
        return "the scheme last-layer"
    return f"scheme.layers = {behind}: the layers behind it"
