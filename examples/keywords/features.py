# SPDX-License-Identifier: Apache-2.0
"""The keyword front end of MLPerf Tiny in NumPy: one second of sound becomes 49 x 10 numbers.

The reference computes it with tf.signal: frames of 30 ms every 20 ms, magnitude spectrum, 40 mel
bands from 20 to 4000 Hz, logarithm, and the first ten cepstral coefficients.
"""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE = 16000  # samples per second, and samples per clip
FRAME = 480
HOP = 320
FFT = 512
FRAMES = 1 + (RATE - FRAME) // HOP
MEL_BANDS = 40
MEL_LOW, MEL_HIGH = 20.0, 4000.0  # Hz
COEFFICIENTS = 10
LOG_FLOOR = 1e-6


class AudioError(ValueError):
    """A sound file or array that the front end cannot take; the message says what and where."""


def read_wav(path: Path) -> NDArray[np.int16]:
    """Reads a clip.

    Args:
        path: A .wav file: 16 kHz, one channel, 16 bits, at most one second.

    Returns:
        Shape (n,), n <= 16000.

    Raises:
        AudioError: When the file is something else.
    """
    try:
        with wave.open(str(path), "rb") as file:
            form = (file.getframerate(), file.getnchannels(), 8 * file.getsampwidth())
            data = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise AudioError(f"not a readable .wav file: {error or 'it ends too early'}") from error
    if form != (RATE, 1, 16):
        raise AudioError(
            f"{form[0]} Hz, {form[1]} channels, {form[2]} bits; "
            f"expected {RATE} Hz, 1 channel, 16 bits"
        )
    return np.frombuffer(data, dtype="<i2").astype(np.int16)


def mfcc(clip: NDArray[np.int16]) -> NDArray[np.float64]:
    """The features of one clip.

    Args:
        clip: Shape (n,), n <= 16000; silence is added behind a shorter one.

    Returns:
        Shape (49, 10): frames by cepstral coefficients.

    Raises:
        AudioError: When the clip is empty, too long, or never positive, so that its loudness
            cannot be normalised.
    """
    if clip.ndim != 1 or not 0 < len(clip) <= RATE:
        raise AudioError(f"a clip of shape {clip.shape}; expected 1 to {RATE} samples")
    loudest = float(clip.max())  # the reference divides by the maximum, not by the magnitude's
    if loudest <= 0.0:
        raise AudioError("a clip without a positive sample has no loudness to normalise by")
    sound = np.zeros(RATE)
    sound[: len(clip)] = clip / loudest
    starts = HOP * np.arange(FRAMES)[:, np.newaxis]
    frames = sound[starts + np.arange(FRAME)] * _hann()
    spectrum = np.abs(np.fft.rfft(frames, FFT))
    return np.asarray(np.log(spectrum @ _mel_weights() + LOG_FLOOR) @ _dct())


def quantise(features: NDArray[np.floating], scale: float, zero_point: int) -> NDArray[np.int8]:
    """Features as the int8 input of a model.

    Args:
        features: Any shape.
        scale: Of the model's input.
        zero_point: Of the model's input.

    Returns:
        The same shape.
    """
    levels = np.rint(np.asarray(features, np.float64) / scale + zero_point)
    return np.asarray(np.clip(levels, -128, 127), np.int8)


def _hann() -> NDArray[np.float64]:
    """The periodic window of tf.signal, not NumPy's symmetric one. Shape (FRAME,)."""
    return 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(FRAME) / FRAME)


def _mel(hertz: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(1127.0 * np.log1p(hertz / 700.0))


def _mel_weights() -> NDArray[np.float64]:
    """Triangles that are linear in mel; the constant bin takes no part. Shape (257, 40)."""
    bins = _mel(np.linspace(0.0, RATE / 2, FFT // 2 + 1))[1:, np.newaxis]
    low, high = _mel(np.array([MEL_LOW, MEL_HIGH]))
    edges = np.linspace(low, high, MEL_BANDS + 2)
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    rising = (bins - left) / (centre - left)
    falling = (right - bins) / (right - centre)
    return np.pad(np.maximum(0.0, np.minimum(rising, falling)), ((1, 0), (0, 0)))


def _dct() -> NDArray[np.float64]:
    """DCT-II of the bands with tf.signal's scale, sqrt(2 / bands) throughout. Shape (40, 10)."""
    band = np.arange(MEL_BANDS)[:, np.newaxis] + 0.5
    angles = np.pi / MEL_BANDS * band * np.arange(COEFFICIENTS)
    return np.asarray(np.sqrt(2.0 / MEL_BANDS) * np.cos(angles))
