# SPDX-License-Identifier: Apache-2.0
"""Windows of motion from the HAPT data set: read, turned, and made into the model's input.

A window is 128 readings at 50 Hz of accelerometer (g) and gyroscope (rad/s), x y z each. Windows
overlap by half, and none reaches over a change of activity.
"""

from __future__ import annotations

import json
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

ACTIVITIES = ("walking", "upstairs", "downstairs", "sitting", "standing", "lying")
READINGS = 128
HOP = 64
CHANNELS = 6
GYRO_UNIT = 2.0  # rad/s: both sensors then fill the same range of an int8 input


class SourceError(ValueError):
    """A source that no windows can be made from; the message says what is missing."""


@dataclass(frozen=True)
class Windows:
    """Windows of the six basic activities.

    Attributes:
        x: float32 [n, 128, 6]: acceleration in g, rotation in rad/s.
        y: Activity, uint8 [n].
        person: 1 to 30, uint8 [n].
        recording: Every person made two or three; a number of its own each, uint8 [n].
    """

    x: NDArray[np.float32]
    y: NDArray[np.uint8]
    person: NDArray[np.uint8]
    recording: NDArray[np.uint8]

    def where(self, chosen: NDArray[np.bool_]) -> Windows:
        """Some of the windows."""
        return Windows(*(a[chosen] for a in (self.x, self.y, self.person, self.recording)))


def read_source(source: Path) -> Windows:
    """Reads the data set's archive, the folder it unpacks to, or an .npz of its windows.

    Raises:
        SourceError: There is nothing to read, or not what was expected.
    """
    if source.is_dir():
        return from_folder(source)
    if not source.is_file():
        raise SourceError(f"{source}: no such file or folder; README.md says where to get it")
    if source.suffix == ".npz":
        return from_windows(source)
    with tempfile.TemporaryDirectory() as scratch:
        try:
            with zipfile.ZipFile(source) as archive:
                wanted = [n for n in archive.namelist() if "RawData/" in n and n.endswith(".txt")]
                archive.extractall(scratch, wanted)
        except zipfile.BadZipFile as error:
            raise SourceError(f"{source}: not a readable .zip archive ({error})") from error
        try:
            return from_folder(Path(scratch))
        except SourceError as error:
            raise SourceError(f"{source}: {str(error).replace(f'{scratch}/', '')}") from error


def from_folder(folder: Path) -> Windows:
    """Reads RawData/{acc,gyro}_expNN_userNN.txt and RawData/labels.txt.

    Raises:
        SourceError: A file is missing, or is not such a table.
    """
    found = sorted(folder.glob("**/labels.txt"))
    if not found:
        raise SourceError(f"{folder}: no labels.txt; expected the data set's folder RawData")
    x, y, person, recording = [], [], [], []
    signals: dict[int, NDArray[np.float64]] = {}
    for line in _table(found[0], 5).astype(np.int64):
        number, who, activity, first, last = (int(value) for value in line)
        if activity > len(ACTIVITIES):
            continue  # one of the six short changes of posture
        if number not in signals:
            name = f"exp{number:02d}_user{who:02d}.txt"
            parts = [_table(found[0].parent / f"{kind}_{name}", 3) for kind in ("acc", "gyro")]
            signals[number] = np.hstack([part[: min(map(len, parts))] for part in parts])
        for start in _starts(first - 1, last):  # the labels count readings from 1
            x.append(signals[number][start : start + READINGS])
            y.append(activity - 1)
            person.append(who)
            recording.append(number)
    if not x:
        raise SourceError(f"{folder}: not one window of {READINGS} readings")
    return Windows(
        np.array(x, np.float32),
        np.array(y, np.uint8),
        np.array(person, np.uint8),
        np.array(recording, np.uint8),
    )


def _starts(first: int, end: int) -> Iterator[int]:
    yield from range(first, end - READINGS + 1, HOP)


def _table(path: Path, columns: int) -> NDArray[np.float64]:
    try:
        made = np.loadtxt(path, ndmin=2)
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: {error}") from error
    if made.shape[1] != columns:
        raise SourceError(f"{path}: {made.shape[1]} columns; expected {columns}")
    return made


def from_windows(path: Path) -> Windows:
    """Reads windows that are cut already: arrays x, y, user, exp, and meta with their scale.

    Raises:
        SourceError: Arrays are missing or of another shape.
    """
    with np.load(path, allow_pickle=False) as data:
        missing = sorted({"x", "y", "user", "exp", "meta"} - set(data.files))
        if missing:
            raise SourceError(f"{path}: no array {', '.join(missing)}")
        x, y, person, recording = (data[name] for name in ("x", "y", "user", "exp"))
        scale = json.loads(str(data["meta"]))["scale"]
    if x.shape[1:] != (READINGS, CHANNELS):
        raise SourceError(f"{path}: x is {x.shape}; expected (n, {READINGS}, {CHANNELS})")
    real = (x * np.array(scale)).astype(np.float32)
    return Windows(real, y, person, recording).where(y < len(ACTIVITIES))


def turn(x: NDArray[np.float32], degrees: float) -> NDArray[np.float32]:
    """The same motion seen by a sensor that sits turned about its z axis.

    Args:
        x: [n, 128, 6].
        degrees: Anticlockwise.

    Returns:
        The same shape.
    """
    angle = np.deg2rad(degrees)
    cosine, sine = np.round([np.cos(angle), np.sin(angle)], 12)
    about_z = np.array([[cosine, sine, 0.0], [-sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    both = x.reshape(*x.shape[:-1], 2, 3).astype(np.float64) @ about_z
    return both.reshape(x.shape).astype(np.float32)


def model_input(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Acceleration in g and rotation in 2 rad/s, [n, 128, 1, 6]."""
    unit = np.array([1.0, 1.0, 1.0, GYRO_UNIT, GYRO_UNIT, GYRO_UNIT], np.float32)
    made: NDArray[np.float32] = (x / unit)[:, :, np.newaxis, :]
    return made
