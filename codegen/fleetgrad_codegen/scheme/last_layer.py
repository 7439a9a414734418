# SPDX-License-Identifier: Apache-2.0
"""The scheme that trains weights and bias of the last layer, or of a new one in its place."""

from dataclasses import dataclass

from fleetgrad_codegen.backward import HeadTraining
from fleetgrad_codegen.errors import SchemeError
from fleetgrad_codegen.frontend.patch import patch_model
from fleetgrad_codegen.frontend.tflite import read_model
from fleetgrad_codegen.ir import Graph
from fleetgrad_codegen.ops.activation import Activation
from fleetgrad_codegen.ops.boundary import split_boundary
from fleetgrad_codegen.program import Loss, Training
from fleetgrad_codegen.scheme.head_patches import replace_head, widen
from fleetgrad_codegen.scheme.site import HeadSite, find_head, quantization_of
from fleetgrad_codegen.training.head import MOST_INPUTS, MOST_ROWS, Head, HeadShape, make_head

LARGEST_HEADROOM = 16.0
MOST_CLASSES = 4095
"""What SOFTMAX can take."""


@dataclass(frozen=True, slots=True)
class LastLayer:
    """Trains the last fully connected layer or 1x1 convolution.

    Attributes:
        headroom: How much larger than now weights can grow: factor on their scale, 1 to 16. A new
            layer, which starts small, gets the range of the old one at 4, and more or less of it in
            proportion.
        classes: Puts a new layer for so many classes in place of the old one; None keeps it.
        seed: Of a new layer's small random weights; None starts from zeros.
    """

    headroom: float = 4.0
    classes: int | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        """Refuses values that no model could use.

        Raises:
            SchemeError: Headroom or number of classes is out of range.
        """
        if not 1.0 <= self.headroom <= LARGEST_HEADROOM:
            raise SchemeError(
                f"a headroom of {self.headroom:g}",
                "scheme.headroom",
                f"1 to {LARGEST_HEADROOM:g}",
                "4 suits most models",
            )
        if self.classes is not None and not 2 <= self.classes <= MOST_CLASSES:
            raise SchemeError(
                f"a new layer for {self.classes} classes",
                "scheme.classes",
                f"2 to {MOST_CLASSES}",
            )

    def adapt(self, model: bytes, name: str) -> bytes:
        """The model to deploy: weights on wider scales, or a new last layer.

        Args:
            model: An int8 ``.tflite`` file.
            name: What to call the model.

        Returns:
            A complete ``.tflite`` file.

        Raises:
            CodegenError: The file is no such model, or its last layer cannot be trained.
        """
        graph = read_model(model, name)
        site = find_head(graph)
        if self.classes is not None and site.logistic:
            raise SchemeError(
                "a new layer for classes in a model that ends in LOGISTIC",
                graph.where(site.op),
                "a model that ends in SOFTMAX or in logits",
                "leave scheme.classes out, and train with binary_cross_entropy",
            )
        if self.classes is not None or site.softmax is not None:
            _check_classes(site)
        if self.classes is None:
            return patch_model(model, widen(site, self.headroom))
        if site.positions > 1 and not site.pooled:
            raise SchemeError(
                f"a new layer for classes where the old one has {site.positions} positions",
                graph.where(site.op),
                "one row of logits",
            )
        return patch_model(model, replace_head(site, self.classes, self.headroom, self.seed))

    def prepare(self, graph: Graph, loss: Loss, batch: int) -> Training:
        """What follows the forward pass of the adapted model.

        Args:
            graph: Its device part.
            loss: What to minimise.
            batch: Most samples of one update.

        Returns:
            The training steps, with the weights of the model as initial parameters.

        Raises:
            SchemeError: Loss, batch or layer do not fit each other.
        """
        site = find_head(graph)
        check_site(site, loss, batch)
        description = {"name": "last-layer", "headroom": self.headroom, "classes": self.classes}
        if self.seed is not None:
            description["seed"] = self.seed
        return HeadTraining(site, head_of(site, loss), batch, description)


def device_head(model: bytes, name: str, loss: Loss) -> tuple[HeadSite, Head]:
    """The trained layer of an adapted model, for running the specification on it.

    Args:
        model: A ``.tflite`` file, as from `LastLayer.adapt`.
        name: What to call the model.
        loss: What to minimise.

    Returns:
        Where the layer is in the device's graph, and its constants.
    """
    _, graph, _ = split_boundary(read_model(model, name))
    site = find_head(graph)
    _check_layer(site)
    _check_loss(site, loss)
    return site, head_of(site, loss)


def head_of(site: HeadSite, loss: Loss) -> Head:
    """The constants of a layer for a loss that fits it."""
    source, output = quantization_of(site.source), quantization_of(site.output)
    return make_head(
        HeadShape(
            site.inputs,
            site.outputs,
            site.positions,
            site.activation is Activation.RELU,
            site.pooled,
            site.logistic,
        ),
        loss,
        input_scale=source.scale[0],
        input_zero_point=source.zero_point[0],
        weight_scales=quantization_of(site.weights).scale,
        output_scale=output.scale[0],
        output_zero_point=output.zero_point[0],
        beta=site.softmax.beta if site.softmax else 1.0,
    )


def check_site(site: HeadSite, loss: Loss, batch: int) -> None:
    """Makes sure that the layer can learn by a loss, so many samples at a time.

    Raises:
        SchemeError: It cannot.
    """
    _check_layer(site)
    _check_loss(site, loss)
    _check_batch(site, batch)


def _check_layer(site: HeadSite) -> None:
    where = site.graph.where(site.op)
    if site.activation not in {Activation.NONE, Activation.RELU}:
        raise SchemeError(
            f"the last layer has a fused {site.activation.name}", where, "NONE or RELU"
        )
    if site.inputs > MOST_INPUTS:
        raise SchemeError(
            f"the last layer has {site.inputs} inputs", where, f"at most {MOST_INPUTS}"
        )


def _check_classes(site: HeadSite) -> None:
    """Whatever follows the layer keeps its outputs side by side, in the last dimension."""
    for op in site.after:
        shape = site.graph.tensors[op.outputs[0]].shape
        if shape[-1:] != (site.outputs,):
            raise SchemeError(
                f"the last layer's {site.outputs} outputs become shape {shape}: no row of classes",
                site.graph.where(op),
                f"{site.outputs} in the last dimension",
                "leave that RESHAPE to whoever reads the output",
            )


def _check_loss(site: HeadSite, loss: Loss) -> None:
    where = site.graph.where(site.op)
    if loss is Loss.NONE:
        losses = " or ".join(loss.value for loss in Loss if loss is not Loss.NONE)
        raise SchemeError("training needs a loss", "loss", losses)
    if loss is Loss.BINARY_CROSS_ENTROPY:
        if not site.logistic:
            raise SchemeError(
                "binary cross-entropy on a model that does not end in LOGISTIC",
                where,
                "softmax_cross_entropy for classes, squared_error for values",
            )
        return
    if loss is Loss.SOFTMAX_CROSS_ENTROPY and site.logistic:
        raise SchemeError(
            "softmax cross-entropy on a model that ends in LOGISTIC", where, "binary_cross_entropy"
        )
    if loss is Loss.SQUARED_ERROR:
        if site.softmax is not None:
            raise SchemeError(
                "squared error on a model that ends in SOFTMAX", where, "softmax_cross_entropy"
            )
        return
    _check_classes(site)
    if site.positions > 1 and not site.pooled:
        raise SchemeError(
            f"cross-entropy over {site.positions} positions",
            where,
            "one row of logits: a mean over the positions, or a fully connected layer",
        )
    if site.outputs < 2:
        raise SchemeError(
            "cross-entropy with a single output",
            where,
            "at least 2 classes",
            "set scheme.classes for a new layer, or use squared_error",
        )


def _check_batch(site: HeadSite, batch: int) -> None:
    most = MOST_ROWS // site.positions
    if most < 1:
        raise SchemeError(
            f"the last layer has {site.positions} positions",
            site.graph.where(site.op),
            f"at most {MOST_ROWS}: their sum must fit 32 bits",
        )
    if not 1 <= batch <= most:
        raise SchemeError(
            f"a batch of {batch}",
            "batch",
            f"1 to {most}: the sum over a batch must fit 32 bits",
        )
