# SPDX-License-Identifier: Apache-2.0
"""One model, three ways to run it: the specification, C on this machine, C on a board."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fleetgrad import paths
from fleetgrad.boards import Board, load_board
from fleetgrad.errors import BoardError, DataError
from fleetgrad.toolchain import build_image
from fleetgrad.toolchain.bench import bench_forward
from fleetgrad.toolchain.library import Library, NativeModel
from fleetgrad_codegen.bundle import generate
from fleetgrad_codegen.frontend.tflite import read_model
from fleetgrad_codegen.ir import Graph, Op
from fleetgrad_codegen.ops import carried, run_ops
from fleetgrad_codegen.ops.boundary import split_boundary

REFERENCE: Final = "reference"
NATIVE: Final = "native"

Array = npt.NDArray[Any]
Int8 = npt.NDArray[np.int8]


@dataclass(frozen=True)
class Outputs:
    """What a backend gave.

    Attributes:
        values: int8, one row per sample.
        instructions: Of each inference; None where nothing counts them.
    """

    values: Int8
    instructions: tuple[int, ...] | None = None


Forward = Callable[[Int8, Callable[[int], None]], Outputs]


@dataclass(frozen=True)
class Model:
    """A model with its ends: what the host converts, and what the device computes.

    Attributes:
        name: What to call it.
        content: The whole file.
        whole: Everything.
        before: Conversions of the input.
        device: What runs on a device, int8 to int8.
        after: Conversions of the output.
    """

    name: str
    content: bytes
    whole: Graph
    before: tuple[Op, ...]
    device: Graph
    after: tuple[Op, ...]

    @classmethod
    def read(cls, content: bytes, name: str) -> Model:
        """Reads and checks a .tflite.

        Raises:
            CodegenError: It is none, or not one that can run.
        """
        whole = read_model(content, name)
        before, device, after = split_boundary(whole)
        return cls(name, content, whole, before, device, after)

    def check_samples(self, samples: Array, where: str) -> None:
        """Makes sure that samples are what the model takes.

        Raises:
            DataError: Another shape or dtype.
        """
        tensor = self.whole.tensors[self.whole.inputs[0]]
        if samples.shape[1:] != tensor.shape[1:] or samples.dtype != tensor.dtype.numpy:
            raise DataError(
                f"samples of shape {samples.shape[1:]} and type {samples.dtype}",
                where,
                f"shape (n, {', '.join(map(str, tensor.shape[1:]))}) and type {tensor.dtype}",
            )
        if not len(samples):
            raise DataError("there are no samples", where, "at least one")

    def enter(self, samples: Array) -> Int8:
        """Samples as the device takes them: int8, one row each."""
        (source,), (target,) = self.whole.inputs, self.device.inputs
        rows = [run_ops(self.whole, self.before, {source: one[None]})[target] for one in samples]
        return np.concatenate(rows)

    def leave(self, outputs: Int8) -> Array:
        """Device outputs as the model gives them."""
        (source,), (target,) = self.device.outputs, self.whole.outputs
        shape = self.device.tensors[source].shape
        rows = [
            run_ops(self.whole, self.after, {source: one.reshape(shape)})[target] for one in outputs
        ]
        return np.concatenate(rows)


def emulated_board(board_id: str) -> Board:
    """A board that an emulator on this machine can run.

    Raises:
        BoardError: There is no such board, or no emulator for it.
    """
    board = load_board(paths.boards(), board_id)
    if board.qemu is None:
        raise BoardError(
            f"{board_id} has no emulator", expected=f"{REFERENCE}, {NATIVE} or an emulated board"
        )
    return board


@contextmanager
def open_backend(name: str, model: Model) -> Iterator[Forward]:
    """Gets a model ready to run.

    Args:
        name: reference, native, or an emulated board's id.
        model: What to run.

    Yields:
        A function from int8 samples, and one that is told how many are done, to outputs.
    """
    if name == REFERENCE:
        yield lambda samples, done: _reference(model, samples, done)
        return
    board = load_board(paths.boards(), NATIVE) if name == NATIVE else emulated_board(name)
    with tempfile.TemporaryDirectory(prefix="fleetgrad-") as folder:
        bundle = Path(folder, "bundle")
        generate(model.content, model.name).write(bundle)
        app = "library" if name == NATIVE else "bench"
        image = build_image(bundle, board, app, Path(folder, "image"))
        size = model.device.tensors[model.device.outputs[0]].nbytes
        if name == NATIVE:
            native = NativeModel(Library(image.path))
            yield lambda samples, _: Outputs(native.forward(samples))
            return

        def on_board(samples: Int8, done: Callable[[int], None]) -> Outputs:
            del done  # the emulator answers once, at its end
            result = bench_forward(board, image, samples, output_bytes=size)
            return Outputs(result.outputs, result.instructions)

        yield on_board


def _reference(model: Model, samples: Int8, done: Callable[[int], None]) -> Outputs:
    graph = model.device
    (source,), (target,) = graph.inputs, graph.outputs
    shape = graph.tensors[source].shape
    rows, state = [], dict[int, Array]()
    for count, sample in enumerate(samples, 1):
        known = run_ops(graph, graph.ops, {**state, source: sample.reshape(shape)})
        state = carried(graph, known)
        rows.append(known[target].reshape(1, -1))
        done(count)
    return Outputs(np.concatenate(rows))
