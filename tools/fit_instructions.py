#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Measures what kernels cost on an emulated board, and prints the board's [instructions] table.

Trains a few steps of several schemes of every model on the board, counts their instructions, and
fits two figures per kind of kernel: for a multiply-accumulate, and for a value made.

    tools/fit_instructions.py mps2_an386 examples/digits/digits.tflite MORE.tflite
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fleetgrad import paths
from fleetgrad.boards import Board, load_board
from fleetgrad.bundle import load
from fleetgrad.errors import FleetgradError
from fleetgrad.toolchain import build_image
from fleetgrad.toolchain.bench import TrainingJob, bench_training
from fleetgrad_codegen.bundle import generate
from fleetgrad_codegen.errors import CodegenError
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.scheme import LastLayer
from fleetgrad_codegen.search import KERNELS, Choice, Space, search_space, work_of

STEPS = 4
CLASSES = 4
BACKWARD = ("errors", "update")


@dataclass(frozen=True)
class Measured:
    """One scheme of one model on the board: multiply-accumulates and values by kind of kernel."""

    name: str
    work: dict[str, tuple[int, int]]
    forward: float
    backward: float


def choices(space: Space) -> Iterator[Choice]:
    """Schemes that tell kernels apart: few layers, many, each kind's weights, everything."""
    count = len(space.layers)
    every = space.biases(count)
    found = [space.biases(1), space.biases(-(-count // 2)), every, space.whole()]
    for kind in dict.fromkeys(layer.kind for layer in space.layers):
        chosen = every
        for layer in space.layers:
            if layer.kind == kind and not layer.always:
                chosen = chosen.with_ratio(layer.op, layer.ratios[len(layer.ratios) // 2])
        found.append(chosen)
    yield from dict.fromkeys(found)


def measure(board: Board, space: Space, choice: Choice) -> Measured:
    """Counts the instructions of some steps on random samples."""
    scheme = space.scheme(choice)
    bundle = generate(space.model, space.name, scheme=scheme, loss=space.loss)
    rng = np.random.default_rng(1)
    with tempfile.TemporaryDirectory(prefix="fleetgrad-") as name:
        folder = Path(name)
        bundle.write(folder / "bundle")
        image = build_image(folder / "bundle", board, "bench", folder / "image")
        samples = int(np.prod(load(folder / "bundle").input.shape))
        result = bench_training(
            board,
            image,
            rng.integers(-128, 128, (STEPS, samples), np.int8),
            rng.integers(0, CLASSES, STEPS).astype(np.uint32),
            TrainingJob(STEPS, 1, 1 << 14, -7, 1),
        )
    work = {kernel: (done.macs, done.values) for kernel, done in work_of(bundle.program).items()}
    return Measured(
        f"{space.name} {' '.join(f'{op}:{ratio:g}' for op, ratio in choice.ratios)}",
        work,
        sum(result.accumulate_instructions) / STEPS,
        sum(result.apply_instructions) / STEPS,
    )


def fit(
    rows: Sequence[dict[str, tuple[int, int]]], counts: Sequence[float], kernels: Sequence[str]
) -> dict[str, tuple[float, float]]:
    """Least squares of relative errors over figures that are 0 or more, by coordinate descent."""
    table = np.array([[figure for kernel in kernels for figure in row[kernel]] for row in rows])
    scaled: npt.NDArray[np.float64] = table / np.array(counts)[:, None]
    squares = (scaled**2).sum(axis=0)
    found = np.zeros(scaled.shape[1])
    left = np.ones(len(rows))
    for _ in range(20_000):
        for column in np.flatnonzero(squares):
            step = scaled[:, column] @ left / squares[column]
            moved = max(0.0, found[column] + step)
            left -= scaled[:, column] * (moved - found[column])
            found[column] = moved
    pairs = found.reshape(-1, 2)
    return {kernel: (float(a), float(b)) for kernel, (a, b) in zip(kernels, pairs, strict=True)}


def said(row: dict[str, tuple[int, int]], rates: dict[str, tuple[float, float]]) -> float:
    """What the figures make of a row."""
    return sum(
        rates[kernel][0] * row[kernel][0] + rates[kernel][1] * row[kernel][1] for kernel in rates
    )


def main(arguments: Sequence[str]) -> int:
    """Prints the table, and on stderr how well it does."""
    if len(arguments) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    board = load_board(paths.boards(), arguments[0])
    done: list[Measured] = []
    for path in map(Path, arguments[1:]):
        try:
            space = search_space(
                path.read_bytes(),
                path.stem,
                loss=Loss.SOFTMAX_CROSS_ENTROPY,
                last=LastLayer(classes=CLASSES),
            )
            for choice in choices(space):
                done.append(measure(board, space, choice))
                print(f"measured {done[-1].name}", file=sys.stderr, flush=True)
        except (FleetgradError, CodegenError) as error:
            print(error, file=sys.stderr)
            return error.exit_code
    backward = [kernel for kernel in KERNELS if kernel.endswith(BACKWARD)]
    forward = [kernel for kernel in KERNELS if kernel not in backward]
    rows = [one.work for one in done]
    rates = {
        **fit(rows, [one.forward for one in done], forward),
        **fit(rows, [one.backward for one in done], backward),
    }
    print("[instructions]  # for a multiply-accumulate, for a value made")
    for kernel, (per_mac, per_value) in rates.items():
        if per_mac or per_value:
            print(f"{kernel} = [{per_mac:.3g}, {per_value:.3g}]")
    for one in done:
        total = one.forward + one.backward
        print(
            f"{said(one.work, rates) / total:6.3f} of {total:12,.0f}  {one.name}", file=sys.stderr
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
