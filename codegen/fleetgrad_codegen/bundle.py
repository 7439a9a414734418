# SPDX-License-Identifier: Apache-2.0
"""From a model file to a bundle: everything that firmware and host need, in memory or on disk."""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fleetgrad_codegen.cost import buffers_of
from fleetgrad_codegen.emit.manifest import build_manifest, bundle_digest, canonical
from fleetgrad_codegen.emit.model import (
    DIGEST_BYTES,
    ModelSource,
    initial_params,
    param_bytes,
    shadow_bytes,
)
from fleetgrad_codegen.errors import CodegenError, UnsupportedError
from fleetgrad_codegen.forward import build_program
from fleetgrad_codegen.frontend.patch import patch_model
from fleetgrad_codegen.frontend.tflite import read_model
from fleetgrad_codegen.ir import Graph
from fleetgrad_codegen.ops.boundary import split_boundary
from fleetgrad_codegen.paging import page_shadow
from fleetgrad_codegen.persistent import persistent_bytes
from fleetgrad_codegen.plan import Budget, MemoryPlan, check_budget, place
from fleetgrad_codegen.program import Loss, Program, SegmentKind, Training
from fleetgrad_codegen.ranges import grown_patches, mark_ranges, ranges_of
from fleetgrad_codegen.recompute import recompute
from fleetgrad_codegen.scheme.site import find_head


class Scheme(Protocol):
    """What trains: adapts the model file, then says what to add to its forward pass."""

    def adapt(self, model: bytes, name: str) -> bytes:
        """The model to deploy: a new head, wider scales, or the same bytes.

        Raises:
            CodegenError: The scheme does not fit the model.
        """

    def prepare(self, graph: Graph, loss: Loss, batch: int) -> Training:
        """What follows the forward pass of the adapted model's device graph.

        Raises:
            CodegenError: The scheme does not fit the graph, the loss or the batch.
        """


@dataclass(frozen=True, slots=True)
class Ranges:
    """What may happen to activation scales.

    Attributes:
        grow: Whether they may grow by themselves: updates of a deployed model may replace them.
        front: How often those of layers before the first whose weights train are doubled at once.
    """

    grow: bool = True
    front: int = 0


class BundleWriteError(CodegenError):
    """The bundle's directory cannot be written."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """The files of a generated model.

    Attributes:
        files: Contents by name: model.c, model.h, manifest.json, model.tflite, params.bin.
        manifest: manifest.json as a tree.
        digest: 32 bytes that name the bundle.
        program: The timeline that it was generated from.
        memory: What it costs.
    """

    files: Mapping[str, bytes]
    manifest: Mapping[str, object]
    digest: bytes
    program: Program
    memory: MemoryPlan

    def write(self, directory: Path) -> None:
        """Writes all files, or none: into a new directory that then takes the name.

        A bundle that is there already is replaced; any other directory is left alone.

        Args:
            directory: Where to; its parents are made.

        Raises:
            BundleWriteError: It is not a bundle, or the file system refuses.
        """
        try:
            _replace_directory(directory, self.files)
        except OSError as error:
            raise BundleWriteError(
                f"cannot write the bundle: {error.strerror}", where=str(error.filename or directory)
            ) from error


def generate(
    model: bytes,
    name: str,
    *,
    scheme: Scheme | None = None,
    loss: Loss = Loss.NONE,
    batch: int = 1,
    recomputing: bool = False,
    paging: bool = False,
    board_budget: Budget | None = None,
    ranges: Ranges | None = None,
) -> Bundle:
    """Generates everything for one model.

    Args:
        model: An int8 ``.tflite`` file.
        name: What to call the model.
        scheme: What trains; None for inference only.
        loss: What training minimises; ``Loss.NONE`` without a scheme.
        batch: Most samples between two updates.
        recomputing: Whether cheap activations are computed again where that lowers the peak.
        paging: Whether trained weights become int8 only while they are needed, where that takes
            less RAM.
        board_budget: Memory that the board has left for the model; None for no limit.
        ranges: What may happen to activation scales; None: they stay as exported.

    Returns:
        The bundle; the same bytes for the same arguments.

    Raises:
        CodegenError: The model, the scheme or the budget does not allow it.
    """
    deployed, source, program = prepare(
        model,
        name,
        scheme=scheme,
        loss=loss,
        batch=batch,
        recomputing=recomputing,
        paging=paging,
        ranges=ranges,
    )
    plan, text = plan_program(program)
    if board_budget is not None:
        check_budget(plan, board_budget)

    tree = build_manifest(program, source, plan, model, deployed)
    digest = bundle_digest(tree, text.source(bytes(DIGEST_BYTES)), deployed)
    manifest = {**tree, "digest": digest.hex()}
    files = {
        "model.c": text.source(digest[:DIGEST_BYTES]).encode(),
        "model.h": text.header().encode(),
        "manifest.json": canonical(manifest),
        "model.tflite": deployed,
        "params.bin": initial_params(program),
    }
    return Bundle(files, manifest, digest, program, plan)


def prepare(
    model: bytes,
    name: str,
    *,
    scheme: Scheme | None = None,
    loss: Loss = Loss.NONE,
    batch: int = 1,
    ranges: Ranges | None = None,
    recomputing: bool = False,
    paging: bool = False,
) -> tuple[bytes, Graph, Program]:
    """The first half of `generate`: what is to be done, before memory is planned.

    Returns:
        The model to deploy, its graph with conversions at both ends, and the timeline.

    Raises:
        CodegenError: The model or the scheme does not allow it.
    """
    deployed = model if scheme is None else scheme.adapt(model, name)
    if scheme is not None and ranges is not None:
        deployed = _ready_to_grow(deployed, name, ranges, lambda g: scheme.prepare(g, loss, batch))
    source = read_model(deployed, name)
    if scheme is not None and ranges is not None and ranges.grow:
        source = mark_ranges(source, find_head(source).op.outputs)
    _, graph, _ = split_boundary(source)
    _check_ends(graph)
    training = None if scheme is None else scheme.prepare(graph, loss, batch)
    program = build_program(graph if training is None else training.graph, training)
    if recomputing:
        program = recompute(program)
    return deployed, source, page_shadow(program) if paging else program


def _ready_to_grow(
    deployed: bytes, name: str, ranges: Ranges, prepare: Callable[[Graph], Training]
) -> bytes:
    """The model file with front layers widened, and nothing shared between tensors that grow."""
    source = read_model(deployed, name)
    source = mark_ranges(source, find_head(source).op.outputs)
    _, graph, _ = split_boundary(source)
    exponents = [0] * len(ranges_of(graph))
    if ranges.front:
        segments = prepare(graph).segments
        weights = {s.tensor for s in segments if s.kind is SegmentKind.WEIGHT}
        trained = weights or {s.tensor for s in segments}
        first = next(i for i, op in enumerate(graph.ops) if trained.intersection(op.inputs))
        for op in graph.ops[:first]:
            place = graph.tensors[op.outputs[0]].range
            if place is not None:
                exponents[place] = ranges.front
    return patch_model(deployed, grown_patches(source, exponents))


def plan_program(program: Program) -> tuple[MemoryPlan, ModelSource]:
    """Places a program's memory, and gets its C ready.

    Returns:
        What it costs, and the source text.
    """
    layout = place(buffers_of(program))
    source = ModelSource(program, layout)
    plan = MemoryPlan(
        layout=layout,
        steps=tuple(step.name for step in program.steps),
        param_bytes=param_bytes(program),
        shadow_bytes=shadow_bytes(program),
        weights_flash_bytes=source.flash_bytes,
        persistent_bytes=persistent_bytes(program.variables, len(program.ranges)),
    )
    return plan, source


def _check_ends(graph: Graph) -> None:
    for indices, what in ((graph.inputs, "inputs"), (graph.outputs, "outputs")):
        if len(indices) != 1:
            names = ", ".join(graph.tensors[index].name for index in indices)
            raise UnsupportedError(f"the model has {len(indices)} {what}: {names}", expected="one")
    if not any(graph.inputs[0] in op.inputs for op in graph.ops):
        name = graph.tensors[graph.inputs[0]].name
        raise UnsupportedError(f'nothing reads input "{name}"', expected="a model of its input")


def _replace_directory(directory: Path, files: Mapping[str, bytes]) -> None:
    is_bundle = (directory / "manifest.json").is_file()
    is_empty = directory.is_dir() and not any(directory.iterdir())
    if directory.exists() and not is_bundle and not is_empty:
        raise BundleWriteError(
            "something other than a bundle is in the way",
            where=str(directory),
            expected="a bundle, an empty directory, or nothing",
            hint="choose another directory",
        )
    directory.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{directory.name}.", dir=directory.parent))
    try:
        made.chmod(0o755)
        for name, content in files.items():
            (made / name).write_bytes(content)
        _exchange(made, directory)
    finally:
        shutil.rmtree(made, ignore_errors=True)


def _exchange(made: Path, directory: Path) -> None:
    """Gives a new directory the name of an old one, which is removed, or put back on failure."""
    old = made.with_name(f"{made.name}.old")
    replacing = directory.exists()
    if replacing:
        directory.rename(old)
    try:
        made.rename(directory)
    except OSError:
        if replacing:
            old.rename(directory)
        raise
    shutil.rmtree(old, ignore_errors=True)
