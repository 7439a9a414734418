# SPDX-License-Identifier: Apache-2.0
"""Builds digits.npz and factory.npz: the optical digits data set, dealt to a factory and a fleet.

Needs scikit-learn, which carries the data set; nothing else in the project does. The committed
files were made by exactly this; every random draw comes from a stream that NumPy has frozen.

    python make_data.py [--output-dir DIR]
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

SEED = 1
FACTORY_SAMPLES = 397  # what the model is pre-trained on; the other 1400 go to the devices
HELD_OUT = 0.25  # of each device's samples: evaluated, never trained on
SKEW = 0.8  # concentration of the Dirichlet distribution that deals each digit to the devices
DEVICE_SAMPLES = (120, 230)  # fewest and most; a deal outside is dealt again
ATTRIBUTION = (
    "E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits (1998), "
    "UCI Machine Learning Repository, doi:10.24432/C50P49, CC BY 4.0; changed as README.md tells"
)


@dataclass(frozen=True)
class Sensor:
    """How one device's camera differs from the scanner that the factory data came from.

    Attributes:
        rotation: Of the mounting, in degrees counter-clockwise.
        blur: Standard deviation of the defocus, in pixels.
        gamma: Exponent of the response curve; above 1 loses the faint parts of a stroke.
        gain: Contrast of the ink; 1 spans the whole range.
        offset: Stray light that is added everywhere, as a fraction of the range.
        noise: Standard deviation of the read-out noise, as a fraction of the range.
    """

    rotation: float = 0.0
    blur: float = 0.0
    gamma: float = 1.0
    gain: float = 1.0
    offset: float = 0.0
    noise: float = 0.0


# The product's housing tilts every camera by about 25 degrees, which the factory's scanner never
# saw; the rest differs from board to board.
SENSORS = (
    Sensor(rotation=25, gain=0.80, offset=0.05, noise=0.02),  # a good board
    Sensor(rotation=20, gain=0.90, offset=0.00, noise=0.02),  # less tilt
    Sensor(rotation=30, blur=0.5, gain=0.75, offset=0.20, noise=0.03),  # out of focus
    Sensor(rotation=23, gamma=1.8, gain=0.60, offset=0.00, noise=0.03),  # faint strokes drown
    Sensor(rotation=33, gain=1.00, offset=0.00, noise=0.02),  # more tilt
    Sensor(rotation=17, gamma=0.6, gain=0.70, offset=0.25, noise=0.02),  # fat strokes, stray light
    Sensor(rotation=27, blur=0.5, gain=0.60, offset=0.10, noise=0.02),  # dim and out of focus
    Sensor(rotation=29, gain=0.50, offset=0.30, noise=0.03),  # half the contrast
)


def rotate(images: np.ndarray, degrees: float) -> np.ndarray:
    """Turns images about their centre, bilinearly; what comes from outside is blank.

    Args:
        images: Shape (n, 8, 8), any float range.
        degrees: Counter-clockwise.

    Returns:
        Shape (n, 8, 8).
    """
    if degrees == 0.0:
        return images
    n, height, width = images.shape
    angle = np.deg2rad(degrees)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    dy, dx = rows - (height - 1) / 2, columns - (width - 1) / 2
    source_y = np.cos(angle) * dy + np.sin(angle) * dx + (height - 1) / 2
    source_x = -np.sin(angle) * dy + np.cos(angle) * dx + (width - 1) / 2
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2)))
    y0, x0 = np.floor(source_y).astype(int), np.floor(source_x).astype(int)
    fy, fx = source_y - y0, source_x - x0
    result = np.zeros((n, height, width))
    for step_y, weight_y in ((0, 1 - fy), (1, fy)):
        for step_x, weight_x in ((0, 1 - fx), (1, fx)):
            y = np.clip(y0 + step_y + 2, 0, height + 3)
            x = np.clip(x0 + step_x + 2, 0, width + 3)
            result += weight_y * weight_x * padded[:, y, x]
    return result


def blur(images: np.ndarray, sigma: float) -> np.ndarray:
    """Convolves images with a Gaussian of five taps each way; outside is blank.

    Args:
        images: Shape (n, 8, 8).
        sigma: Standard deviation in pixels.

    Returns:
        Shape (n, 8, 8).
    """
    if sigma == 0.0:
        return images
    taps = np.exp(-0.5 * (np.arange(-2, 3) / sigma) ** 2)
    taps /= taps.sum()
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2)))
    height, width = images.shape[1:]
    down = sum(t * padded[:, k : k + height, :] for k, t in enumerate(taps))
    return np.asarray(sum(t * down[:, :, k : k + width] for k, t in enumerate(taps)))


def capture(ink: np.ndarray, sensor: Sensor, rng: np.random.RandomState) -> np.ndarray:
    """What a device's 8-bit camera makes of a page, in the input quantisation of the model.

    Args:
        ink: Shape (n, 8, 8), 0 (blank) to 1 (black).
        sensor: The camera.
        rng: Of the read-out noise.

    Returns:
        Shape (n, 8, 8, 1), int8: the camera's 0..255 minus 128.
    """
    seen = blur(rotate(ink, sensor.rotation), sensor.blur)
    level = sensor.offset + sensor.gain * np.clip(seen, 0.0, 1.0) ** sensor.gamma
    level = level + sensor.noise * rng.standard_normal(level.shape)
    return (np.clip(np.rint(255.0 * level), 0, 255) - 128).astype(np.int8)[..., np.newaxis]


def deal(y: np.ndarray, devices: int, rng: np.random.RandomState) -> np.ndarray:
    """Deals samples to devices with skewed labels: each digit by a draw of Dirichlet shares.

    Deals again until every device's share lies within DEVICE_SAMPLES.

    Args:
        y: Shape (n,), the digits.
        devices: How many devices.
        rng: Of the shares and the order.

    Returns:
        Shape (n,), the device of each sample.
    """
    fewest, most = DEVICE_SAMPLES
    while True:
        owner = np.empty(len(y), np.int64)
        for digit in range(10):
            members = rng.permutation(np.flatnonzero(y == digit))
            shares = rng.dirichlet(np.full(devices, SKEW))
            cuts = np.rint(np.cumsum(shares)[:-1] * len(members)).astype(int)
            for device, part in enumerate(np.split(members, cuts)):
                owner[part] = device
        sizes = np.bincount(owner, minlength=devices)
        if sizes.min() >= fewest and sizes.max() <= most:
            return owner


def factory_rows(y: np.ndarray, count: int, rng: np.random.RandomState) -> np.ndarray:
    """Chooses the rows for pre-training, about equally many of each digit.

    Args:
        y: Shape (n,), the digits.
        count: How many rows.
        rng: Of the choice.

    Returns:
        Shape (count,), sorted row numbers.
    """
    order = rng.permutation(len(y))
    rank = np.empty(len(y), np.int64)
    for digit in range(10):
        members = order[y[order] == digit]
        rank[members] = np.arange(len(members))
    return np.sort(np.lexsort((y, rank))[:count])


def build(
    images: np.ndarray, labels: np.ndarray
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Makes the arrays of both files.

    Args:
        images: Shape (1797, 8, 8), 0..16 as in the original.
        labels: Shape (1797,).

    Returns:
        The fleet's arrays: x int8 (n, 8, 8, 1), y, user (the device), test (held out) and
        source_row (in the original), each (n,), and meta (JSON); and the factory's: x, y,
        source_row and meta.
    """
    rng = np.random.RandomState(SEED)  # the legacy stream: frozen for ever, unlike default_rng's
    ink = images.astype(np.float64) / 16.0
    factory = factory_rows(labels, FACTORY_SAMPLES, rng)
    rest = np.setdiff1d(np.arange(len(labels)), factory)
    owner = deal(labels[rest], len(SENSORS), rng)
    parts = []
    for device, sensor in enumerate(SENSORS):
        rows = rng.permutation(rest[owner == device])
        test = np.zeros(len(rows), bool)
        test[: round(HELD_OUT * len(rows))] = True
        user = np.full(len(rows), device, np.uint8)
        parts.append((capture(ink[rows], sensor, rng), labels[rows], user, test, rows))
    x, y, user, test, rows = (np.concatenate(column) for column in zip(*parts, strict=True))
    meta = {"attribution": ATTRIBUTION, "classes": [str(digit) for digit in range(10)]}
    fleet = {
        "x": x,
        "y": y.astype(np.uint8),
        "user": user,
        "test": test,
        "source_row": rows.astype(np.uint16),
        "meta": as_json(meta | {"sensors": [asdict(sensor) for sensor in SENSORS]}),
    }
    return fleet, {
        "x": capture(ink[factory], Sensor(), rng),
        "y": labels[factory].astype(np.uint8),
        "source_row": factory.astype(np.uint16),
        "meta": as_json(meta),
    }


def as_json(value: Mapping[str, object]) -> np.ndarray:
    return np.array(json.dumps(value, sort_keys=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output-dir", type=Path, default=Path(__file__).parent)
    directory = parser.parse_args().output_dir

    from sklearn.datasets import load_digits  # noqa: PLC0415 - only for making the files

    original = load_digits()
    fleet, factory = build(original.images, original.target)
    for name, arrays in (("digits.npz", fleet), ("factory.npz", factory)):
        np.savez_compressed(directory / name, **arrays)
        print(f"{name}: {(directory / name).stat().st_size} bytes, {len(arrays['y'])} samples")
    for device in range(len(SENSORS)):
        mine = fleet["user"] == device
        held_out = int(fleet["test"][mine].sum())
        train = int(mine.sum()) - held_out
        digits = np.bincount(fleet["y"][mine], minlength=10)
        print(f"device {device}: {train} to train, {held_out} held out, digits 0-9: {digits}")


if __name__ == "__main__":
    main()
