# SPDX-License-Identifier: Apache-2.0
"""Virtual fleets for tests: bundles, libraries, samples, and what the specification says."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fleetgrad import bundle as bundles
from fleetgrad import paths
from fleetgrad.boards import load_board
from fleetgrad.bundle import Bundle
from fleetgrad.device import Update
from fleetgrad.federation.model import Layout
from fleetgrad.simulate.native import FleetLibrary
from fleetgrad.simulate.samples import Drawn, FleetSamples, Part, nothing
from fleetgrad.store import layout_of
from fleetgrad.toolchain import build_image
from fleetgrad.toolchain.library import Library
from fleetgrad.wire.messages import RoundOpen, Work
from fleetgrad_codegen.bundle import Ranges, generate
from fleetgrad_codegen.program import Loss
from support.fake_model import mix32, round_key

MODELS = paths.firmware().parent / "tools" / "bench"
HEAD, LAYERS = MODELS / "head_64x10.tflite", MODELS / "mlp_64_32_10.tflite"
MASK64 = (1 << 64) - 1


@dataclass(frozen=True)
class Built:
    """One model as a fleet's library, as a single device's, and what it is."""

    bundle: Bundle
    layout: Layout
    fleet: FleetLibrary
    device: Library

    @property
    def vector(self) -> bytes:
        return self.bundle.initial_params


def built(folder: Path, model: Path, scheme: Any, *, batch: int = 1, ranges: bool = False) -> Built:
    """Generates and builds; the device's library has portable kernels, the fleet's wide ones."""
    generate(
        model.read_bytes(), model.stem, scheme=scheme, loss=Loss.SOFTMAX_CROSS_ENTROPY,
        batch=batch, ranges=Ranges(grow=True, front=0) if ranges else None,
    ).write(folder / "bundle")  # fmt: skip
    bundle = bundles.load(folder / "bundle")
    board = load_board(paths.boards(), "native")
    images = {
        app: build_image(folder / "bundle", board, app, folder) for app in ("library", "fleet")
    }
    layout = layout_of(bundle)
    return Built(
        bundle,
        layout,
        FleetLibrary(images["fleet"].path, layout.shape),
        Library(images["library"].path),
    )


def terms(
    made: Built, vector: bytes, *, number: int = 1, batch: int = 1, epochs: int = 1,
    max_steps: int = 0, work: int = Work.EVALUATE | Work.TRAIN, seed: int = 3,
) -> RoundOpen:  # fmt: skip
    return RoundOpen(
        round=number, model_digest=made.bundle.digest[:8], version_tag=0x55667788,
        blob_bytes=len(vector), blob_crc=zlib.crc32(vector), seed=seed, lr_mantissa=26214,
        lr_exponent=-4, epochs=epochs, batch=batch, max_steps=max_steps, work=int(work),
    )  # fmt: skip


def drawn_fleet(
    devices: int, *, classes: int = 10, inputs: int = 64, first_id: int = 1, seed: int = 7,
    least: int = 3, most: int = 9, held: int = 2, own: int = 128, noise: int = 60,
) -> FleetSamples:  # fmt: skip
    centres = np.random.default_rng(seed).integers(-100, 101, (classes, inputs)).astype(np.int8)
    pool = Part(centres, np.zeros((0, 1), np.uint8), np.zeros(0, np.uint64))
    drawn = Drawn(seed, classes, least, most, held, own, noise)
    return FleetSamples(devices, 1, 1, pool, nothing(inputs, 1), drawn, first_id)


def drawn_by_definition(
    fleet: FleetSamples, device: int, *, held_out: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Written from the specification, one number at a time."""
    drawn = fleet.drawn
    assert drawn is not None
    key = round_key(drawn.seed, 0xFFFFFFFF, fleet.first_id + device)
    own = mix32(key + 1) % drawn.classes
    spread = drawn.train_most - drawn.train_least + 1
    count = drawn.train_least + mix32(key + 2) % spread
    if held_out:
        count, key = drawn.eval_count, mix32(key ^ 0xA5A5A5A5)
    xs, ys = [], []
    for number in range(count):
        sample = mix32(key ^ (((number + 1) * 0x9E3779B9) & 0xFFFFFFFF))
        choice = mix32(sample)
        label = own if choice % 256 < drawn.own else (choice >> 8) % drawn.classes
        x = []
        for i, centre in enumerate(fleet.train.inputs[label].tolist()):
            word = mix32((sample ^ 0x85EBCA6B) + i // 4)
            byte = (word >> (8 * (i % 4))) & 255
            x.append(max(-128, min(127, centre + (drawn.noise * (byte - 128) >> 7))))
        xs.append(x)
        ys.append([label])
    inputs = fleet.train.inputs.shape[1]
    return np.array(xs, np.int8).reshape(count, inputs), np.array(ys, np.uint8).reshape(count, 1)


def digest_by_definition(device: int, update: Update, counts: list[int]) -> int:
    """What one update adds to the digest of a shard."""
    key = round_key(update.version_tag, update.round, device)
    key = mix32(key ^ (update.samples | update.train_loss << 16))
    key = mix32(key ^ (update.eval_samples | update.eval_correct << 16))
    key = mix32(key ^ update.eval_loss)
    total, place = key, 0
    for count, exponent in zip(counts, update.exponents, strict=True):
        own = mix32(key + exponent)
        for q in update.deltas[place : place + count].tolist():
            total += mix32(own ^ ((place << 8) & 0xFFFFFFFF | q & 255))
            place += 1
    return total & MASK64
