# SPDX-License-Identifier: Apache-2.0
"""A bundle as the host sees it: manifest.json, the initial parameters and the model file.

The manifest is the only thing that code generation tells the host.
"""

import json
import math
from dataclasses import dataclass
from math import log, prod
from pathlib import Path
from typing import Any

from fleetgrad.errors import BundleError

FORMAT = 1
KINDS = ("bias", "weight", "down", "up")
MANIFEST, PARAMS, MODEL = "manifest.json", "params.bin", "model.tflite"

_HINT = "fleetgrad build makes a new bundle"


@dataclass(frozen=True)
class TensorSpec:
    """The model's input or output as the device holds it.

    Attributes:
        shape: Batch dimension included, which is 1.
        dtype: ``int8``.
        scale: Real units per step.
        zero_point: The integer that stands for 0.
        source_dtype: What the model file itself takes or gives: ``float32``, ``int8``, ``uint8``,
            ``int16``, or for outputs ``int32``.
    """

    shape: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int
    source_dtype: str


@dataclass(frozen=True)
class Segment:
    """One trained tensor in the parameter vector, and where it lies in the model file.

    Attributes:
        name: The tensor's name.
        kind: ``bias`` (int32), ``weight`` (int16, 1/256 of the int8 weight's unit), or ``down`` and
            ``up`` (int16), the factors of an adapter.
        offset: Bytes into the parameter vector.
        count: Elements.
        tflite_offset: Bytes into model.tflite of the int32 or int8 data; None where it has none.
        shape: Of what trains: the tensor, or its first channels.
        tflite_shape: Of the tensor in the model file.
        places: Along each dimension, which element of the file's tensor stands where; None where it
            is the first ones in the file's own order. Empty where the segment is the whole tensor.
        range: Of a bias: which range its unit grows with; None where it stays.
        scale: Real units per step of the quantised tensor: one value, or one for each channel;
            empty: not said.
    """

    name: str
    kind: str
    offset: int
    count: int
    tflite_offset: int | None
    shape: tuple[int, ...]
    tflite_shape: tuple[int, ...] = ()
    places: tuple[tuple[int, ...] | None, ...] = ()
    range: int | None = None
    scale: tuple[float, ...] = ()

    @property
    def tflite_count(self) -> int:
        """Elements of the tensor in the model file."""
        return prod(self.tflite_shape) if self.places else self.count

    @property
    def stored(self) -> str:
        """``bias`` or ``weight``: factors of an adapter are stored as weights are."""
        return "bias" if self.kind == "bias" else "weight"

    @property
    def unit(self) -> tuple[float, ...]:
        """What one unit of the parameter vector stands for, by channel as `scale`."""
        parts = 256.0 if self.kind in ("weight", "up") else 1.0
        return tuple(value / parts for value in self.scale)

    @property
    def run(self) -> int:
        """Elements of one channel that follow each other, where there are several scales.

        Channels are the first dimension, or, of a depthwise convolution, the last.
        """
        channels = len(self.scale)
        return self.count // channels if channels == self.shape[0] else 1

    @property
    def item_bytes(self) -> int:
        """Bytes of one element in the parameter vector."""
        return 4 if self.kind == "bias" else 2


@dataclass(frozen=True)
class Adapter:
    """A low-rank difference to a weight tensor of the model file, in two segments.

    Attributes:
        down: Place of the first factor among the segments, [rank, inputs] in 2^-14.
        up: Place of the second, [outputs, rank] in 1/256 of the int8 weight's unit.
        shape: Outputs and inputs.
        tflite_offset: Bytes into model.tflite of the int8 weights.
    """

    down: int
    up: int
    shape: tuple[int, int]
    tflite_offset: int


@dataclass(frozen=True)
class RangeSpec:
    """Activation tensors whose scales grow together, by powers of two.

    Attributes:
        name: Of the first of them.
        values: Outputs per sample that a device looks at when it measures.
        scales: Where the model file says their scales, and those of biases in their unit: offset
            and number of float32 values.
        biases: Where it holds the int32 biases in their unit that do not train: offset and bytes.
    """

    name: str
    values: int
    scales: tuple[tuple[int, int], ...]
    biases: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class Bundle:
    """What the host needs of a bundle.

    Attributes:
        name: The model's name.
        digest: 32 bytes; its first 8 are what devices report in HELLO.
        input: What a sample must become.
        output: What the model gives.
        classes: Outputs, or classes of the head.
        loss: ``softmax_cross_entropy``, ``binary_cross_entropy``, ``squared_error`` or ``none``.
        target_kind: ``label`` or ``vector``.
        target_bytes: Bytes of one target.
        batch: Most rows of one training step.
        segments: Biases first.
        initial_params: The parameter vector that the model was exported with.
        manifest: manifest.json as it is.
        model: model.tflite as it is.
        adapters: Differences that an export merges into the model file's weights.
        ranges: Scales that may grow; their exponents end the parameter vector.
        largest_rate: The learning rate from which on every update saturates.
    """

    name: str
    digest: bytes
    input: TensorSpec
    output: TensorSpec
    classes: int
    loss: str
    target_kind: str
    target_bytes: int
    batch: int
    segments: tuple[Segment, ...]
    initial_params: bytes
    manifest: bytes
    model: bytes
    adapters: tuple[Adapter, ...] = ()
    ranges: tuple[RangeSpec, ...] = ()
    largest_rate: float = math.inf

    @property
    def has_labels(self) -> bool:
        """Whether samples have a class, which is right or wrong."""
        return self.target_kind == "label"

    @property
    def loss_unit(self) -> float:
        """1024 of a device's loss units: a bit in nats, or a squared step in real units."""
        return log(2) if self.loss.endswith("cross_entropy") else self.output.scale**2

    @property
    def reported_loss_unit(self) -> float:
        """The same for the mean losses in an update, which count squared errors in quarters."""
        return self.loss_unit * (256 if self.loss == "squared_error" else 1)

    @property
    def param_bytes(self) -> int:
        """Bytes of the parameter vector."""
        return sum(s.count * s.item_bytes for s in self.segments) + len(self.ranges)

    @property
    def param_count(self) -> int:
        """Elements of the parameter vector."""
        return sum(s.count for s in self.segments)

    @property
    def update_bytes(self) -> int:
        """Bytes of an update after its header: exponents, int8 deltas, statistics."""
        statistics = 2 + 2 * len(self.segments) + 2 * len(self.ranges)
        return len(self.segments) + self.param_count + statistics


def load(directory: Path) -> Bundle:
    """Reads a bundle directory.

    Raises:
        BundleError: When a file is missing, the manifest is not of this format, or sizes disagree.
    """
    files = {}
    for name in (MANIFEST, PARAMS, MODEL):
        try:
            files[name] = (directory / name).read_bytes()
        except OSError as error:
            raise BundleError(
                f"the bundle has no readable {name}: {error.strerror}",
                where=str(directory),
                hint=_HINT,
            ) from error
    return parse(files[MANIFEST], files[PARAMS], files[MODEL], where=str(directory / MANIFEST))


def parse(manifest: bytes, params: bytes, model: bytes, *, where: str = MANIFEST) -> Bundle:
    """The same from bytes in memory.

    Raises:
        BundleError: As :func:`load`.
    """
    try:
        tree = json.loads(manifest)
        if tree["format"] != FORMAT:
            raise BundleError(
                f"manifest format {tree['format']}",
                where=where,
                expected=f"format {FORMAT}",
                hint=_HINT,
            )
        bundle = Bundle(
            name=str(tree["name"]),
            digest=bytes.fromhex(tree["digest"]),
            input=_tensor(tree["input"]),
            output=_tensor(tree["output"]),
            classes=int(tree["output"]["classes"]),
            loss=str(tree["loss"]),
            target_kind=str(tree["target"]["kind"]),
            target_bytes=int(tree["target"]["bytes"]),
            batch=int(tree["batch"]),
            segments=tuple(_segment(s) for s in tree["segments"]),
            initial_params=params,
            manifest=manifest,
            model=model,
            adapters=tuple(_adapter(a) for a in tree.get("adapters", ())),
            ranges=tuple(_range(r) for r in tree.get("ranges", ())),
            largest_rate=float(tree.get("largest_learning_rate") or math.inf),
        )
        declared = int(tree["param_bytes"])
    except (
        KeyError, TypeError, ValueError, AttributeError, OverflowError, RecursionError,
    ) as error:  # fmt: skip
        what = f"the manifest lacks {error}" if isinstance(error, KeyError) else f"{error}"
        raise BundleError(f"not a usable manifest: {what}", where=where, hint=_HINT) from error
    _check(bundle, declared, where)
    return bundle


def _tensor(tree: dict[str, Any]) -> TensorSpec:
    return TensorSpec(
        shape=tuple(int(n) for n in tree["shape"]),
        dtype=str(tree["dtype"]),
        scale=float(tree["scale"]),
        zero_point=int(tree["zero_point"]),
        source_dtype=str(tree["source_dtype"]),
    )


def _segment(tree: dict[str, Any]) -> Segment:
    offset = tree.get("tflite_offset")
    return Segment(
        name=str(tree["name"]),
        kind=str(tree["kind"]),
        offset=int(tree["offset"]),
        count=int(tree["count"]),
        tflite_offset=None if offset is None else int(offset),
        shape=tuple(int(n) for n in tree["shape"]),
        tflite_shape=tuple(int(n) for n in tree.get("tflite_shape", ())),
        places=tuple(
            None if place is None else tuple(int(n) for n in place)
            for place in tree.get("tflite_places", ())
        ),
        range=None if tree.get("range") is None else int(tree["range"]),
        scale=tuple(float(value) for value in tree.get("scale", ())),
    )


def _range(tree: dict[str, Any]) -> RangeSpec:
    return RangeSpec(
        name=str(tree["name"]),
        values=int(tree["values"]),
        scales=tuple((int(offset), int(count)) for offset, count in tree["tflite_scales"]),
        biases=tuple((int(offset), int(nbytes)) for offset, nbytes in tree["tflite_biases"]),
    )


def _adapter(tree: dict[str, Any]) -> Adapter:
    outputs, inputs = (int(n) for n in tree["shape"])
    return Adapter(
        down=int(tree["down"]),
        up=int(tree["up"]),
        shape=(outputs, inputs),
        tflite_offset=int(tree["tflite_offset"]),
    )


def _mismatched(bundle: Bundle, adapter: Adapter) -> bool:
    """Whether an adapter's factors do not fit each other, or lie outside the model file."""
    places = (adapter.down, adapter.up)
    if not all(0 <= place < len(bundle.segments) for place in places):
        return True
    down, up = (bundle.segments[place] for place in places)
    outputs, inputs = adapter.shape
    fits = down.shape[1:] == (inputs,) and up.shape == (outputs, *down.shape[:1])
    inside = 0 <= adapter.tflite_offset <= len(bundle.model) - outputs * inputs
    return not (fits and inside and (down.kind, up.kind) == ("down", "up"))


def _misplaced(segment: Segment) -> bool:
    """Whether the places of a segment do not fit its shape, or lie outside the file's tensor."""
    if not segment.places:
        return False
    if not len(segment.places) == len(segment.shape) == len(segment.tflite_shape):
        return True
    return any(
        size > most
        or (
            place is not None
            and (len(set(place)) != size or not 0 <= min(place) <= max(place) < most)
        )
        for place, size, most in zip(
            segment.places, segment.shape, segment.tflite_shape, strict=True
        )
    )


def _check(bundle: Bundle, declared: int, where: str) -> None:
    """Everything the rest of the host relies on without looking again."""
    problem = ""
    position = 0
    for segment in bundle.segments:
        if segment.kind not in KINDS:
            problem = f"segment {segment.name} is of the unknown kind {segment.kind!r}"
        elif segment.offset != position:
            problem = f"segment {segment.name} starts at {segment.offset}, not at {position}"
        if _misplaced(segment):
            problem = f"segment {segment.name} names elements that its tensor does not have"
        size = segment.tflite_count * (4 if segment.kind == "bias" else 1)
        start = segment.tflite_offset
        if start is not None and not 0 <= start <= len(bundle.model) - size:
            problem = f"segment {segment.name} lies outside model.tflite"
        if segment.range is not None and not 0 <= segment.range < len(bundle.ranges):
            problem = f"segment {segment.name} belongs to a range that does not exist"
        position += segment.count * segment.item_bytes
    if any(_mismatched(bundle, adapter) for adapter in bundle.adapters):
        problem = "an adapter's factors do not fit each other or their tensor"
    for found in bundle.ranges:
        spans = [(at, 4 * count) for at, count in found.scales] + list(found.biases)
        if found.values < 1 or any(
            not 0 <= at <= len(bundle.model) - size or size % 4 for at, size in spans
        ):
            problem = f"the range of {found.name} lies outside model.tflite"
    position += len(bundle.ranges)
    if len(bundle.digest) != 32:
        problem = f"a digest of {len(bundle.digest)} bytes instead of 32"
    elif declared != position:
        problem = f"param_bytes is {declared}, the segments have {position}"
    elif len(bundle.initial_params) != position:
        problem = f"{PARAMS} has {len(bundle.initial_params)} bytes, the segments have {position}"
    elif bundle.input.dtype != "int8":
        problem = f"the device's input is {bundle.input.dtype}, not int8"
    if problem:
        raise BundleError(problem, where=where, hint=_HINT)
