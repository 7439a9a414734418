# SPDX-License-Identifier: Apache-2.0
"""A head that nobody computes: for benches of what moves and keeps updates."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from fleetgrad.wire.messages import UpdateHeader


@dataclass(frozen=True)
class Head:
    """A dense layer.

    Attributes:
        inputs: Of each output.
        outputs: How many.
    """

    inputs: int
    outputs: int

    @property
    def segments(self) -> tuple[tuple[str, int], tuple[str, int]]:
        """Kind and element count of what trains."""
        return ("bias", self.outputs), ("weight", self.outputs * self.inputs)

    @property
    def update_bytes(self) -> int:
        """Length of an update."""
        return UpdateHeader.BYTES + sum(2 + count for _, count in self.segments)

    @property
    def digest(self) -> bytes:
        """32 bytes that no other head's bundle has."""
        return hashlib.sha256(f"{self.outputs}x{self.inputs}".encode()).digest()

    def write(self, directory: Path) -> Path:
        """A bundle folder; its model file is only as real as exporting needs."""
        directory.mkdir(parents=True, exist_ok=True)
        biases, weights = (count for _, count in self.segments)
        (directory / "manifest.json").write_text(json.dumps(self._manifest()))
        draws = np.random.default_rng(0)
        bias = draws.integers(-1 << 24, 1 << 24, biases).astype("<i4")
        masters = draws.integers(-127 * 256, 127 * 256, weights).astype("<i2")
        (directory / "params.bin").write_bytes(bias.tobytes() + masters.tobytes())
        (directory / "model.tflite").write_bytes(bytes(8 + 4 * biases + weights))
        return directory

    def _manifest(self) -> dict[str, object]:
        biases, weights = (count for _, count in self.segments)
        common = {"dtype": "int8", "scale": 0.5, "zero_point": 0, "source_dtype": "float32"}
        source, made = {"shape": [1, self.inputs]}, {"shape": [1, self.outputs]}
        return {
            "format": 1,
            "abi": 2,
            "name": "made-up",
            "digest": self.digest.hex(),
            "input": {**common, **source},
            "output": {**common, **made, "classes": self.outputs},
            "loss": "softmax_cross_entropy",
            "scheme": {"name": "last-layer"},
            "batch": 4,
            "target": {"kind": "label", "bytes": 1},
            "segments": [
                {
                    "name": "bias",
                    "kind": "bias",
                    "shape": [biases],
                    "offset": 0,
                    "count": biases,
                    "tflite_offset": 8,
                },
                {
                    "name": "weight",
                    "kind": "weight",
                    "shape": [self.outputs, self.inputs],
                    "offset": 4 * biases,
                    "count": weights,
                    "tflite_offset": 8 + 4 * biases,
                },
            ],
            "param_bytes": 4 * biases + 2 * weights,
        }
