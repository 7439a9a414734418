# SPDX-License-Identifier: Apache-2.0
"""``manifest.json``: what code generation tells the host, and the digest that names a bundle."""

import hashlib
import json
from collections.abc import Mapping
from math import prod

from fleetgrad_codegen.cost import forward_macs
from fleetgrad_codegen.emit.model import ABI, shadow_bytes
from fleetgrad_codegen.frontend.patch import buffer_location, scale_location
from fleetgrad_codegen.ir import Graph, Tensor
from fleetgrad_codegen.plan import MemoryPlan
from fleetgrad_codegen.program import Loss, Program, Segment, SegmentKind
from fleetgrad_codegen.ranges import biases_of
from fleetgrad_codegen.recompute import recompute_macs

FORMAT = 1
UPDATE_HEADER_BYTES = 22
"""Size of the wire's ``UpdateHeader``; a test compares."""


def build_manifest(
    program: Program, source: Graph, plan: MemoryPlan, original: bytes, model: bytes
) -> dict[str, object]:
    """The manifest without its digest.

    Args:
        program: The timeline that code was generated from.
        source: The whole model, conversions at both ends included.
        plan: Its memory.
        original: The file the user gave.
        model: The file of the bundle: the same, or with a new head or wider scales.

    Returns:
        A tree of JSON values.
    """
    graph, training = program.graph, program.training
    (given,), (taken,) = source.inputs, graph.inputs
    (made,), (wanted,) = graph.outputs, source.outputs
    output = _tensor(graph.tensors[made], source.tensors[wanted])
    last = graph.tensors[made].shape[-1] if graph.tensors[made].shape else 1
    output["classes"] = last if training is None or not training.classes else training.classes
    return {
        "format": FORMAT,
        "abi": ABI,
        "name": source.name,
        "source_sha256": hashlib.sha256(original).hexdigest(),
        "source_bytes": len(original),
        "input": _tensor(graph.tensors[taken], source.tensors[given]),
        "output": output,
        "loss": (Loss.NONE if training is None else training.loss).value,
        "scheme": {"name": "none"} if training is None else dict(training.description),
        "batch": 0 if training is None else training.batch,
        "largest_learning_rate": None if training is None else training.largest_rate,
        "target": _target(program),
        "segments": [_segment(graph, segment, model) for segment in program.segments],
        "adapters": _adapters(program, model),
        "param_bytes": plan.param_bytes,
        "shadow_bytes": shadow_bytes(program),
        "persistent_bytes": plan.persistent_bytes,
        "ranges": _ranges(program, model),
        "initial_params": "params.bin",
        "update": {
            "segments": [segment.name for segment in program.segments],
            "blob_bytes": _update_bytes(program),
        },
        "memory": plan.manifest(),
        "cost": {
            "forward_macs": forward_macs(program),
            "backward_macs": 0 if training is None else training.backward_macs,
            "recompute_macs": recompute_macs(program),
        },
    }


def bundle_digest(manifest: Mapping[str, object], source: str, model: bytes) -> bytes:
    """The identity of a bundle: 32 bytes.

    SHA-256 over the manifest (without ``digest``, as `canonical` writes it), ``model.c`` with zeros
    in its digest field, and ``model.tflite``, each preceded by its length as 8 little-endian bytes.
    """
    state = hashlib.sha256()
    for part in (canonical(manifest), source.encode(), model):
        state.update(len(part).to_bytes(8, "little"))
        state.update(part)
    return state.digest()


def canonical(manifest: Mapping[str, object]) -> bytes:
    """The one way of writing a manifest: sorted keys, two spaces, a newline at the end."""
    return (json.dumps(manifest, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


def _tensor(device: Tensor, model: Tensor) -> dict[str, object]:
    if device.quantization is None:
        raise ValueError(f"{device.name} is not quantised")
    return {
        "shape": list(device.shape),
        "dtype": device.dtype.value,
        "scale": device.quantization.scale[0],
        "zero_point": device.quantization.zero_point[0],
        "source_dtype": model.dtype.value,
    }


def _target(program: Program) -> dict[str, object]:
    training = program.training
    if training is None:
        return {"kind": "label", "bytes": 0}
    if training.target_bytes:
        return {"kind": "vector", "bytes": training.target_bytes}
    return {"kind": "label", "bytes": 1 if training.classes <= 256 else 2}


def _segment(graph: Graph, segment: Segment, model: bytes) -> dict[str, object]:
    if segment.kind in {SegmentKind.DOWN, SegmentKind.UP}:
        return {
            "name": segment.name,
            "kind": segment.kind.value,
            "shape": list(segment.shape),
            "offset": segment.offset,
            "count": segment.count,
            "scale": list(segment.scale),
        }
    offset, nbytes = _location(graph, segment, model)
    shape = graph.tensors[segment.tensor].shape
    itemsize = 4 if segment.kind is SegmentKind.BIAS else 1
    if nbytes != prod(shape) * itemsize or (not segment.places and segment.shape != shape):
        raise ValueError(f"{segment.name} has {nbytes} bytes in the model file")
    made: dict[str, object] = {
        "name": segment.name,
        "kind": segment.kind.value,
        "shape": list(segment.shape),
        "offset": segment.offset,
        "count": segment.count,
        "scale": list(segment.scale),
        "tflite_offset": offset,
        "tflite_bytes": nbytes,
    }
    place = biases_of(graph).get(segment.tensor)
    if place is not None:
        made["range"] = place
    if segment.places:
        made["tflite_shape"] = list(shape)
        made["tflite_places"] = [None if p is None else list(p) for p in segment.places]
    return made


def _location(graph: Graph, segment: Segment, model: bytes) -> tuple[int, int]:
    source = graph.tensors[segment.tensor].source
    if source is None:
        raise ValueError(f"{segment.name} is not a tensor of the model file")
    return buffer_location(model, source)


def _adapters(program: Program, model: bytes) -> list[dict[str, object]]:
    """Where the model file has the weights that adapters are merged into."""
    segments = program.segments
    made: list[dict[str, object]] = []
    for place, segment in enumerate(segments):
        if segment.kind is SegmentKind.DOWN:
            up = segments[place + 1]
            shape = [up.shape[0], segment.shape[1]]
            offset, nbytes = _location(program.graph, segment, model)
            if up.kind is not SegmentKind.UP or nbytes != prod(shape):
                raise ValueError(f"{segment.name} has {nbytes} bytes in the model file")
            made.append({"down": place, "up": place + 1, "shape": shape, "tflite_offset": offset})
    return made


def _ranges(program: Program, model: bytes) -> list[dict[str, object]]:
    """Tensors whose scales grow together, and what that changes in the model file."""
    graph, trained = program.graph, {segment.tensor for segment in program.segments}
    biases = biases_of(graph)
    made: list[dict[str, object]] = []
    for place, found in enumerate(program.ranges):
        read = [index for index, own in biases.items() if own == place]
        scaled = [graph.tensors[index].source for index in (*found.tensors, *read)]
        halved = [graph.tensors[index].source for index in read if index not in trained]
        made.append(
            {
                "name": found.name,
                "values": found.values,
                "tflite_scales": [
                    list(scale_location(model, source)) for source in scaled if source is not None
                ],
                "tflite_biases": [
                    list(buffer_location(model, source)) for source in halved if source is not None
                ],
            }
        )
    return made


def _update_bytes(program: Program) -> int:
    segments = program.segments
    if not segments:
        return 0
    statistics = 2 + 2 * len(segments) + 2 * len(program.ranges)
    deltas = len(segments) + sum(segment.count for segment in segments)
    return UPDATE_HEADER_BYTES + deltas + statistics
