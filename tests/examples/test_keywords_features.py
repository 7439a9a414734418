# SPDX-License-Identifier: Apache-2.0
"""The keyword front end, against features of real clips and against files that are no clips."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from support.wav import write_wav

if TYPE_CHECKING:
    from pathlib import Path
    from types import ModuleType

SCALE, ZERO_POINT = 0.5847029089927673, 83  # input of MLPerf Tiny's kws_ref_model


def rounding_of(stored: np.ndarray) -> np.ndarray:
    """What float16 rounded off, and a little for the float32 that it was computed in."""
    return 0.5 * np.spacing(np.abs(stored)).astype(np.float64) + 2e-5


def test_features_of_real_clips_are_the_reference_s_to_the_last_int8(
    features: ModuleType, shared_data: Path
) -> None:
    audio = np.load(shared_data / "datasets" / "speech_commands_3words_audio.npz")
    reference = np.load(shared_data / "datasets" / "speech_commands_3words_mfcc.npz")
    rows = audio["mfcc_row"]
    made = np.stack([features.mfcc(x[:n]) for x, n in zip(audio["x"], audio["len"], strict=True)])
    stored = reference["x"][rows]
    np.testing.assert_array_less(np.abs(made - stored), rounding_of(stored))
    quantised = features.quantise(made, SCALE, ZERO_POINT)
    assert int((quantised != reference["x_int8"][rows]).sum()) == 0


def test_features_of_all_thirty_words_are_the_reference_s(
    features: ModuleType, shared_data: Path
) -> None:
    data = np.load(shared_data / "datasets" / "speech_commands_30words_audio.npz")
    made = np.stack([features.mfcc(x[:n]) for x, n in zip(data["x"], data["len"], strict=True)])
    stored = data["mfcc"]
    np.testing.assert_array_less(np.abs(made - stored), rounding_of(stored))


def test_loudness_does_not_change_the_features(features: ModuleType) -> None:
    clip = np.random.RandomState(0).randint(-1000, 1000, 16000).astype(np.int16)
    np.testing.assert_allclose(features.mfcc(clip), features.mfcc(4 * clip), atol=1e-6)


def test_a_short_clip_is_followed_by_silence(features: ModuleType) -> None:
    clip = np.random.RandomState(0).randint(-1000, 1000, 9000).astype(np.int16)
    padded = np.pad(clip, (0, 7000))
    np.testing.assert_array_equal(features.mfcc(clip), features.mfcc(padded))
    quiet = features.mfcc(clip)[-1]
    assert quiet[0] == pytest.approx(np.log(1e-6) * np.sqrt(80))
    np.testing.assert_allclose(quiet[1:], 0.0, atol=1e-9)


def test_a_tone_is_loudest_in_the_band_that_holds_it(features: ModuleType) -> None:
    weights = features._mel_weights()
    assert weights.shape == (257, 40)
    assert not weights[0].any()  # the constant part of a sound is no sound
    bands = np.flatnonzero(weights[round(1000 / 31.25)])
    assert len(bands) == 2  # neighbouring triangles overlap by half


def test_quantisation_saturates(features: ModuleType) -> None:
    wide = np.array([-1e4, 0.0, 1e4])
    assert features.quantise(wide, SCALE, ZERO_POINT).tolist() == [-128, 83, 127]


def test_a_wav_file_gives_its_samples(features: ModuleType, tmp_path: Path) -> None:
    samples = np.array([1, -2, 300], np.int16)
    assert features.read_wav(write_wav(tmp_path / "a.wav", samples)).tolist() == [1, -2, 300]


@pytest.mark.parametrize(
    ("form", "said"),
    [
        ({"rate": 8000}, "8000 Hz"),
        ({"channels": 2}, "2 channels"),
        ({"width": 1}, "8 bits"),
    ],
)
def test_a_wav_file_of_another_form_is_refused_by_name(
    features: ModuleType, tmp_path: Path, form: dict[str, int], said: str
) -> None:
    path = write_wav(tmp_path / "a.wav", np.zeros(8, np.int16), **form)
    with pytest.raises(features.AudioError, match=said):
        features.read_wav(path)


@pytest.mark.parametrize("content", [b"", b"RIFF", b"not a sound at all, only text"])
def test_a_file_that_is_no_wav_is_refused(
    features: ModuleType, tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    with pytest.raises(features.AudioError, match=r"not a readable \.wav"):
        features.read_wav(path)


@pytest.mark.parametrize("length", [0, 16001])
def test_a_clip_of_a_wrong_length_is_refused(features: ModuleType, length: int) -> None:
    with pytest.raises(features.AudioError, match="1 to 16000"):
        features.mfcc(np.ones(length, np.int16))


def test_silence_cannot_be_normalised_and_says_so(features: ModuleType) -> None:
    with pytest.raises(features.AudioError, match="loudness"):
        features.mfcc(np.zeros(16000, np.int16))
