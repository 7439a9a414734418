# SPDX-License-Identifier: Apache-2.0
"""What changes in a model file before its last layer can train: wider scales, or a new layer."""

import math
from collections.abc import Sequence

import numpy as np

from fleetgrad_codegen.frontend.patch import TensorPatch
from fleetgrad_codegen.ir import ABSENT, Array, Quantization, Tensor
from fleetgrad_codegen.ops.activation import Activation
from fleetgrad_codegen.scheme.site import HeadSite, quantization_of
from fleetgrad_codegen.training.rng import mix32_array
from fleetgrad_codegen.training.update import BIAS_LIMIT

LARGEST_WEIGHT = 127
_LAST = ("SOFTMAX", "LOGISTIC")
_SEEDED_WEIGHT = 4
"""Largest first weight of a seeded new head, in units of the int8 weight."""
_PLAIN_HEADROOM = 4.0
"""Headroom at which a new head has the range of the old one."""
_LEAST_LOGIT = 8.0
"""Logits of a new head reach at least this far."""
_LOGIT_ZERO_POINT = -64
"""Three quarters of the range for positive logits: a clipped loser harms nobody, a clipped winner
ties with the next best."""


def widen(site: HeadSite, headroom: float) -> list[TensorPatch]:
    """Weights and bias on scales that leave room to grow.

    Quantisers put the largest weight at 127, where it cannot grow. With every scale multiplied by
    the headroom, weight w becomes round(w / headroom) and bias b round(b / headroom), ties away
    from zero; real values stay, up to the coarser rounding. Logits that a SOFTMAX follows grow with
    the weights, and get room too.

    Args:
        site: The layer.
        headroom: At least 1, which changes nothing but gives weights and bias data of their own.

    Returns:
        Patches for weights and bias, and for the logits before a SOFTMAX.
    """
    old = quantization_of(site.weights)
    scales = tuple(float(np.float32(s * headroom)) for s in old.scale)
    values, bias = site.weights.data, site.bias.data
    assert values is not None
    assert bias is not None
    by_channel = np.array([new / was for new, was in zip(scales, old.scale, strict=True)])
    ratio = by_channel.reshape(-1, *(1,) * (values.ndim - 1))
    weights = _nearest(values / ratio).clip(-LARGEST_WEIGHT, LARGEST_WEIGHT).astype(np.int8)
    moved = _nearest(bias.reshape(-1) / by_channel).clip(-BIAS_LIMIT, BIAS_LIMIT)
    patches = _layer(site, scales, weights, moved.reshape(bias.shape).astype(np.int32))
    if site.softmax is not None and headroom > 1:
        patches.extend(_behind(site, site.outputs, _logit_quantization(site, headroom)))
    elif site.logistic and headroom > 1:
        logits = quantization_of(site.logits)
        wider = float(np.float32(logits.scale[0] * max(1.0, 0.75 * headroom)))
        patches.extend(_behind(site, site.outputs, Quantization((wider,), logits.zero_point)))
    return patches


def replace_head(
    site: HeadSite, classes: int, headroom: float, seed: int | None
) -> list[TensorPatch]:
    """A new layer for another number of classes, and the shapes of everything behind it.

    Scales follow from the old layer, which was trained on the same features. Its weights had
    reached their size and get room beyond it; those of the new layer start from nothing, and the
    default headroom gives them the old one's range.

    Args:
        site: The layer to replace.
        classes: Outputs of the new layer.
        headroom: At least 1.
        seed: Of small random weights; None for zeros.

    Returns:
        Patches for weights, bias, and all tensors behind the layer.
    """
    old = quantization_of(site.weights)
    room = headroom / _PLAIN_HEADROOM
    scale = float(np.float32(max(old.scale) * room))
    count = classes if old.per_channel else 1
    shape = (classes, *site.weights.shape[1:])
    weights = _first_weights(shape, seed)
    logits = _logit_quantization(site, room, max(_reach(site), _LEAST_LOGIT))
    bias = np.full(classes, _first_bias(site, scale, logits), np.int32)
    patches = _layer(site, (scale,) * count, weights, bias)
    patches.extend(_behind(site, classes, logits))
    return patches


def _behind(site: HeadSite, outputs: int, logits: Quantization) -> list[TensorPatch]:
    """The layer's output and everything behind it, for so many outputs quantised like this."""
    patches = []
    requantise = True
    for op in (site.op, *site.after):
        tensor = site.graph.tensors[op.outputs[0]]
        requantise = requantise and op.kind not in _LAST and tensor.quantization is not None
        shape = (*tensor.shape[:-1], outputs)
        patches.append(_patch(tensor, shape, logits if requantise else None))
        if op.kind == "RESHAPE" and len(op.inputs) > 1 and op.inputs[1] != ABSENT:
            patches.extend(_reshape_constant(site.graph.tensors[op.inputs[1]], outputs))
    return patches


def _nearest(values: Array) -> Array:
    rounded: Array = np.sign(values) * np.floor(np.abs(values) + 0.5)
    return rounded


def _layer(
    site: HeadSite, scales: Sequence[float], weights: Array, bias: Array
) -> list[TensorPatch]:
    """Patches for weights and bias; both always get data of their own."""
    source = quantization_of(site.source).scale[0]
    zeros = (0,) * len(scales)
    bias_scales = tuple(float(np.float32(source * s)) for s in scales)
    axis = quantization_of(site.weights).axis
    quantization = Quantization(tuple(scales), zeros, axis)
    return [
        _patch(site.weights, weights.shape, quantization, weights),
        _patch(site.bias, bias.shape, Quantization(bias_scales, zeros), bias),
    ]


def _patch(
    tensor: Tensor,
    shape: tuple[int, ...] | None,
    quantization: Quantization | None = None,
    data: Array | None = None,
) -> TensorPatch:
    if tensor.source is None:
        raise ValueError(f"{tensor.name} is not a tensor of the model file")
    return TensorPatch(tensor.source, shape, quantization, data)


def _first_weights(shape: tuple[int, ...], seed: int | None) -> Array:
    """Zeros, or integers within ``+-_SEEDED_WEIGHT`` from a hash of seed and place."""
    if seed is None:
        return np.zeros(shape, np.int8)
    places = np.arange(math.prod(shape), dtype=np.uint32)
    words = mix32_array(mix32_array(places + np.uint32(1)) ^ np.uint32(seed & 0xFFFFFFFF))
    span = 2 * _SEEDED_WEIGHT + 1
    values = (words % np.uint32(span)).astype(np.int64) - _SEEDED_WEIGHT
    return values.astype(np.int8).reshape(shape)


def _first_bias(site: HeadSite, scale: float, logits: Quantization) -> int:
    """Zero; under a RELU the middle of the logits' range, since at zero no gradient passes."""
    if site.activation is not Activation.RELU:
        return 0
    middle = (127 - logits.zero_point[0]) / 2 * logits.scale[0]
    return min(round(middle / (quantization_of(site.source).scale[0] * scale)), BIAS_LIMIT)


def _reach(site: HeadSite) -> float:
    """The largest logit that the model as it is can tell from larger ones."""
    old = quantization_of(site.logits)
    return (127 - old.zero_point[0]) * old.scale[0]


def _logit_quantization(
    site: HeadSite, headroom: float, reach: float | None = None
) -> Quantization:
    """Room for positive logits to grow to 3/4 of the headroom times what they reach now."""
    zero = -128 if site.activation is Activation.RELU else _LOGIT_ZERO_POINT
    largest = (_reach(site) if reach is None else reach) * max(1.0, 0.75 * headroom)
    return Quantization((float(np.float32(largest / (127 - zero))),), (zero,))


def _reshape_constant(tensor: Tensor, classes: int) -> list[TensorPatch]:
    if tensor.data is None or tensor.data.reshape(-1)[-1] == -1:
        return []
    dimensions = tensor.data.copy()
    dimensions.reshape(-1)[-1] = classes
    return [_patch(tensor, None, None, dimensions)]
