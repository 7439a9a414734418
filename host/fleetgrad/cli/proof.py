# SPDX-License-Identifier: Apache-2.0
"""Checks that the exported model is what the devices evaluated: the same bits, sample by sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from fleetgrad.boards import Board
from fleetgrad.data import DeviceData
from fleetgrad.errors import FleetgradError
from fleetgrad.results import RunResult
from fleetgrad.toolchain import build_image
from fleetgrad.toolchain.bench import bench_forward
from fleetgrad.toolchain.library import Library, NativeModel

from .backends import Model
from .firmware import Build
from .float_fleet import labels_of
from .oracles import run_litert


class ProofError(FleetgradError):
    """The exported model and the devices do not agree: a defect of fleetgrad."""


@dataclass(frozen=True)
class Proof:
    """What was compared.

    Attributes:
        samples: Held-out samples on which LiteRT gave the device code's outputs bit for bit.
        right: How many of them are right, which the devices counted too.
    """

    samples: int
    right: int


def device_outputs(
    made: Build, board: Board, out: Path, samples: npt.NDArray[np.int8], params: bytes
) -> npt.NDArray[np.int8]:
    """What the devices' code gives, with a version's parameters.

    Args:
        made: The run's model.
        board: The board that the devices are, or the native one.
        out: Where the firmware for this goes.
        samples: int8, one row each.
        params: The version's parameter vector.
    """
    if board.hosted:
        model = NativeModel(Library(build_image(made.folder, board, "library", out).path))
        model.params = params
        return model.forward(samples)
    image = build_image(made.folder, board, "bench", out)
    size = math.prod(made.bundle.output.shape)
    return bench_forward(board, image, samples, output_bytes=size, params=params).outputs


def prove(
    exported: Model,
    outputs: npt.NDArray[np.int8],
    devices: Sequence[DeviceData],
    run: RunResult,
) -> Proof:
    """Compares LiteRT's reference kernels with the devices' code and with the devices' counts.

    Args:
        exported: The learned .tflite; it takes the devices' own int8 samples.
        outputs: Of the devices' code on all held-out samples, in the order of the devices.
        devices: The data.
        run: What the devices reported.

    Raises:
        ProofError: They differ; names the first sample or device.
    """
    samples = np.concatenate([device.eval_x for device in devices])
    shape = exported.device.tensors[exported.device.inputs[0]].shape[1:]
    found = run_litert(exported.content, samples.reshape(-1, *shape))
    wanted = exported.leave(outputs).reshape(found.shape)
    differ = np.flatnonzero((found != wanted).reshape(len(found), -1).any(axis=1))
    if len(differ):
        raise ProofError(
            f"the exported model differs from the devices on {len(differ)} samples",
            f"held-out sample {differ[0]}",
            "the same outputs, bit for bit",
            "please report it",
        )
    right = start = 0
    reported = {report.device: report for report in run.devices}
    for device in devices:
        end = start + len(device.eval_x)
        count = int((found[start:end].argmax(axis=-1) == labels_of(device.eval_y)).sum())
        told = reported[device.device].accuracy_after
        if told is not None and round(told * len(device.eval_x)) != count:
            raise ProofError(
                f"the exported model gets {count} of {len(device.eval_x)} samples right",
                f"device {device.name}",
                f"{round(told * len(device.eval_x))}, as the device counted",
                "please report it",
            )
        right += count
        start = end
    return Proof(len(samples), right)
