# SPDX-License-Identifier: Apache-2.0
"""A whole federation without hardware: a made-up bundle and data set, device models as a fleet."""

from __future__ import annotations

import json
import selectors
import socket
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fleetgrad import config as configs
from fleetgrad.config import Config
from fleetgrad.errors import LinkClosed
from fleetgrad.fleet import Endpoint, Placement
from fleetgrad.link import SocketLink, socket_pair
from support.device_model import DeviceModel, Traits

CLASSES, FEATURES = 3, 8
SEGMENTS = (("bias", CLASSES), ("weight", CLASSES * FEATURES))
DIGEST = bytes(range(32))


def manifest(**changes: Any) -> dict[str, Any]:
    """manifest.json of a head of 8 inputs and 3 classes."""
    tree: dict[str, Any] = {
        "format": 1,
        "abi": 2,
        "name": "toy",
        "digest": DIGEST.hex(),
        "input": {
            "shape": [1, FEATURES],
            "dtype": "int8",
            "scale": 0.5,
            "zero_point": -3,
            "source_dtype": "float32",
        },
        "output": {
            "shape": [1, CLASSES],
            "dtype": "int8",
            "scale": 0.25,
            "zero_point": 0,
            "source_dtype": "float32",
            "classes": CLASSES,
        },
        "loss": "softmax_cross_entropy",
        "scheme": {"name": "last-layer"},
        "batch": 4,
        "target": {"kind": "label", "bytes": 1},
        "segments": [
            {
                "name": "bias",
                "kind": "bias",
                "shape": [CLASSES],
                "offset": 0,
                "count": CLASSES,
                "tflite_offset": 8,
                "scale": [0.03125],
            },
            {
                "name": "weight",
                "kind": "weight",
                "shape": [CLASSES, FEATURES],
                "offset": 4 * CLASSES,
                "count": CLASSES * FEATURES,
                "tflite_offset": 32,
                "scale": [0.5, 0.25, 0.125],
            },
        ],
        "param_bytes": 4 * CLASSES + 2 * CLASSES * FEATURES,
    }
    return {**tree, **changes}


def write_bundle(directory: Path, **changes: Any) -> Path:
    """A bundle folder; its model file is only as real as exporting needs."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "manifest.json").write_text(json.dumps(manifest(**changes)))
    biases = np.arange(CLASSES, dtype="<i4") * 1000
    masters = np.arange(CLASSES * FEATURES, dtype="<i2") * 512 - 6000
    (directory / "params.bin").write_bytes(biases.tobytes() + masters.tobytes())
    (directory / "model.tflite").write_bytes(bytes(range(64)))
    return directory


def write_data(path: Path, users: int = 4, samples: int = 12, **arrays: Any) -> Path:
    """An .npz of `users` users with `samples` samples each."""
    rng = np.random.default_rng(7)
    count = users * samples
    content = {
        "x": rng.normal(size=(count, FEATURES)).astype(np.float32),
        "y": rng.integers(0, CLASSES, count),
        "user": np.repeat(np.arange(users), samples),
    }
    np.savez(path, **{k: v for k, v in {**content, **arrays}.items() if v is not None})
    return path


def project(directory: Path, *overrides: str, **sections: dict[str, Any]) -> Config:
    """Writes data and bundle into `directory`; returns a config for them."""
    directory.mkdir(parents=True, exist_ok=True)
    if not (directory / "data.npz").exists():
        write_data(directory / "data.npz")
    write_bundle(directory / "bundle")
    tables: dict[str, Any] = {
        "model": {"path": "model.tflite"},
        "data": {"path": "data.npz"},
        "rounds": {"count": 3, "timeout_s": 20.0},
        "fleet": {"kind": "virtual"},
        **sections,
    }
    return configs.from_tables(tables, overrides, base=directory, source="fleetgrad.toml")


class ModelFleet:
    """Device models behind real sockets, all in one thread.

    Args:
        bend: Changes the traits of a device.
        wrap: Changes the link that the host is given.
    """

    kind = "virtual"

    def __init__(
        self,
        bend: Callable[[Traits], Traits] = lambda traits: traits,
        wrap: Callable[[SocketLink], Any] = lambda link: link,
        segments: tuple[tuple[str, int], ...] = SEGMENTS,
    ) -> None:
        self._bend = bend
        self._wrap = wrap
        self._segments = segments
        self._links: list[SocketLink] = []
        self._thread: threading.Thread | None = None
        self._wake: socket.socket | None = None
        self.models: dict[int, DeviceModel] = {}
        self.stopped = 0

    def start(self, placements: Sequence[Placement], directory: Path) -> list[Endpoint]:
        assert directory.is_dir()
        endpoints, ends = [], {}
        for placement in placements:
            near, far = socket_pair(f"model:{placement.device}")
            traits = Traits(
                placement.device,
                DIGEST[:8],
                self._segments,
                train_samples=int.from_bytes(placement.image[32:36], "little"),
                eval_samples=int.from_bytes(placement.image[36:40], "little"),
                boot_base=int.from_bytes(placement.image[16:20], "little"),
            )
            self.models[placement.device] = DeviceModel(self._bend(traits))
            ends[placement.device] = far
            self._links += [near, far]
            endpoints.append(Endpoint(placement.device, self._wrap(near), "model:", None))
        self._wake, theirs = socket.socketpair()
        self._thread = threading.Thread(target=self._serve, args=(ends, theirs), daemon=True)
        self._thread.start()
        return endpoints

    def stop(self) -> None:
        self.stopped += 1
        if self._wake and self._thread:
            self._wake.close()
            self._thread.join()
        for link in self._links:
            link.close()
        self._wake = self._thread = None
        self._links = []

    def _serve(self, ends: dict[int, SocketLink], wake: socket.socket) -> None:
        with selectors.DefaultSelector() as selector, wake:
            selector.register(wake, selectors.EVENT_READ)
            for device, link in ends.items():
                selector.register(link, selectors.EVENT_READ, device)
            while True:
                now = int(time.monotonic() * 1000)
                waits = [w for d in ends if (w := self.models[d].wait(now)) is not None]
                for key, _ in selector.select(min(waits, default=1000) / 1000):
                    if key.data is None:
                        return
                    try:
                        data = ends[key.data].read()
                    except LinkClosed:
                        selector.unregister(ends.pop(key.data))
                        continue
                    self.models[key.data].receive(data, int(time.monotonic() * 1000))
                for device, link in ends.items():
                    data = self.models[device].take(int(time.monotonic() * 1000))
                    while data:
                        data = data[link.write(data) :]
