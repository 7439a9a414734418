# SPDX-License-Identifier: Apache-2.0
"""Data sets of `fleetgrad bench finetune`: who pre-trained, who trains, who decides, who tests."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from fleetgrad import paths
from fleetgrad.data.dataset import read
from fleetgrad.errors import DataError

MOST_TRAIN: Final = 1000
MOST_VALIDATION: Final = 800
MOST_TEST: Final = 2400

Arrays = dict[str, npt.NDArray[Any]]
Chosen = npt.NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Part:
    """Samples of one purpose.

    Attributes:
        x: In real units, or int8 in the model's own; [n, ...].
        y: Labels [n].
    """

    x: npt.NDArray[Any]
    y: npt.NDArray[np.int64]

    def at_most(self, count: int) -> Part:
        """Evenly spaced ones, where there are more."""
        kept = np.linspace(0, len(self.y) - 1, min(count, len(self.y))).round().astype(np.int64)
        return Part(self.x[kept], self.y[kept])


@dataclass(frozen=True, eq=False)
class Splits:
    """A data set by purpose; no sample has two.

    Attributes:
        pretrain: What the model had been made from; empty where that was somebody else's data.
        train: What it learns from.
        validation: What learning rates are chosen on.
        test: What is reported.
    """

    pretrain: Part
    train: Part
    validation: Part
    test: Part


@dataclass(frozen=True)
class Task:
    """Something to learn.

    Attributes:
        name: For tables and --only.
        what: In a few words.
        source: The data set's file name.
        model: The model's file, by the folder of the data.
        classes: Of a new last layer; None keeps the model's own.
        splits: Deals the data set's arrays.
    """

    name: str
    what: str
    source: str
    model: Callable[[Path], Path]
    classes: int | None
    splits: Callable[[Arrays], Splits]

    def read(self, folder: Path) -> Splits:
        """Reads and deals the data set.

        Args:
            folder: Has the data set in ``datasets`` or directly.

        Raises:
            DataError: It is not there, or has other arrays.
        """
        path = folder / "datasets" / self.source
        if not path.is_file():
            path = folder / self.source
        read(path)  # tells what is wrong with the file
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        try:
            found = self.splits(arrays)
        except KeyError as error:
            raise DataError(f"the data set has no array {error}", str(path)) from error
        return Splits(
            found.pretrain,
            found.train.at_most(MOST_TRAIN),
            found.validation.at_most(MOST_VALIDATION),
            found.test.at_most(MOST_TEST),
        )


def _part(x: npt.NDArray[Any], y: npt.NDArray[Any], chosen: Chosen) -> Part:
    return Part(x[chosen], y[chosen].astype(np.int64))


def _hapt(data: Arrays) -> Splits:
    """Ten people learn the quarter turn for ten others, as in examples/har."""
    x = data["x"] * np.array(json.loads(str(data["meta"]))["scale"])
    turned = x[..., [1, 0, 2, 4, 3, 5]] * np.array([-1, 1, 1, -1, 1, 1])
    turned[..., 3:] /= 2.0
    samples = turned.astype(np.float32)[:, :, np.newaxis]
    y, user = data["y"], data["user"]
    basic = y < 6
    return Splits(
        _part(samples, y, basic & (user > 30)),
        _part(samples, y, basic & (user > 10) & (user <= 20)),
        _part(samples, y, basic & (user > 20) & (user <= 24)),
        _part(samples, y, basic & (user > 24)),
    )


def _kws(data: Arrays) -> Splits:
    """Three words that the model answers "unknown" to, by speaker."""
    samples, y, user = data["x_int8"][..., np.newaxis], data["y"], data["user"]
    return Splits(
        _part(samples, y, user > user.max()),
        _part(samples, y, user % 5 > 1).at_most(200),
        _part(samples, y, user % 5 == 1).at_most(300),
        _part(samples, y, user % 5 == 0).at_most(600),
    )


def _emg(data: Arrays) -> Splits:
    """Gestures of a forearm's muscles; nine people made the model, thirteen others train it."""
    rectified = np.abs(data["x"].astype(np.float32)).reshape(-1, 64, 4, 8).mean(axis=2)
    samples = (rectified / np.float32(32.0))[:, :, np.newaxis]
    y, user = data["y"], data["user"]
    return Splits(
        _part(samples, y, user <= 9),
        _part(samples, y, (user > 9) & (user <= 23)),
        _part(samples, y, (user > 23) & (user <= 27)),
        _part(samples, y, user > 27),
    )


def _mitbih(data: Arrays) -> Splits:
    """Heartbeats: each patient's first ten minutes train, the next five decide, the rest tests."""
    meta = json.loads(str(data["meta"]))
    y, user, minute = data["y"], data["user"], data["sample"] / (60 * meta["fs_hz"])
    millivolts = (data["x"].astype(np.float32)[:, ::2] - 1024) / 200
    millivolts -= np.median(millivolts, axis=1, keepdims=True)
    beside = [(data[key] / meta["fs_hz"]).clip(0.0, 2.0) for key in ("rr_prev", "rr_next")]
    spread = [np.repeat(one.astype(np.float32)[:, None], 128, axis=1) for one in beside]
    samples = np.stack([millivolts, *spread], axis=2)[:, :, np.newaxis]
    usable = (y < 3) & ~np.isin(user, meta["paced_records"])
    first = np.isin(user, meta["de_chazal_DS1"])
    second = usable & ~first
    return Splits(
        _part(samples, y, usable & first),
        _part(samples, y, second & (minute < 10)),
        _part(samples, y, second & (minute >= 10) & (minute < 15)),
        _part(samples, y, second & (minute >= 15)),
    )


def _own(name: str) -> Callable[[Path], Path]:
    return lambda folder: paths.home() / "tools" / "bench" / name  # noqa: ARG005


TASKS: Final = (
    Task("hapt", "activity, sensor turned by 90 degrees, by person", "uci_hapt_windows.npz",
         lambda folder: paths.home() / "examples" / "har" / "har.tflite",  # noqa: ARG005
         None, _hapt),
    Task("kws", "MLPerf's keyword model, three new words, by speaker",
         "speech_commands_3words_mfcc.npz",
         lambda folder: folder / "models" / "mlperf_kws_ref_model.tflite", 3, _kws),
    Task("emg", "gestures, by person", "emg_gestures_windows.npz", _own("emg.tflite"),
         None, _emg),
    Task("mitbih", "heartbeats, by patient", "mitbih_beats.npz", _own("mitbih.tflite"),
         None, _mitbih),
)  # fmt: skip
