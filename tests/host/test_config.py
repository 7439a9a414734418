# SPDX-License-Identifier: Apache-2.0
"""fleetgrad.toml: what is read, what is refused, and in which words."""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetgrad import config as configs
from fleetgrad.config import Config
from fleetgrad.errors import ConfigError

MINIMAL = """
[model]
path = "m.tflite"
[data]
path = "sets/d.npz"
"""


def write(folder: Path, text: str = MINIMAL) -> Path:
    path = folder / "fleetgrad.toml"
    path.write_text(text)
    return path


def load(folder: Path, text: str = MINIMAL, *overrides: str) -> Config:
    return configs.load(write(folder, text), overrides)


def test_file_is_found_in_a_folder_above(tmp_path: Path) -> None:
    write(tmp_path)
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    assert configs.find(below) == (tmp_path / "fleetgrad.toml").resolve()


def test_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no fleetgrad\.toml(?s:.)*--config"):
        configs.find(tmp_path)


def test_paths_are_relative_to_the_file(tmp_path: Path) -> None:
    config = load(tmp_path)
    assert config.data.path == (tmp_path / "sets/d.npz").resolve()
    assert config.run.dir == (tmp_path / "runs").resolve()
    assert config.model_name == "m"


def test_every_default_is_visible(tmp_path: Path) -> None:
    tree = load(tmp_path).to_dict()
    assert tree["rounds"] == {
        "count": 10,
        "min_updates": 1,
        "fraction": 1.0,
        "timeout_s": 120.0,
        "retries": 1,
    }
    assert sorted(tree) == [
        "data", "fleet", "model", "ranges", "rounds", "run", "scheme", "search", "selection",
        "simulate", "strategy", "train",
    ]  # fmt: skip


def test_overrides_win_and_need_no_quotes(tmp_path: Path) -> None:
    config = load(
        tmp_path, MINIMAL, "train.learning_rate=0.25", "fleet.kind=native", "data.users=[3, 7]"
    )
    assert (config.train.learning_rate, config.fleet.kind) == (0.25, "native")
    assert config.data.users == ("3", "7")


@pytest.mark.parametrize(
    ("text", "override", "message"),
    [
        ("[trian]\n", None, r"unknown section trian(?s:.)*did you mean train\?"),
        ("[train]\nlearning_rat = 1\n", None, r"train\.learning_rat(?s:.)*train\.learning_rate\?"),
        ("[train]\nepochs = '2'\n", None, r"train\.epochs is '2'(?s:.)*an integer"),
        ("[train]\nepochs = true\n", None, r"train\.epochs is True"),
        ("[train]\nepochs = 0\n", None, r"train\.epochs is 0(?s:.)*1 to 65535"),
        ("[train]\nlearning_rate = nan\n", None, r"train\.learning_rate is nan"),
        ("", "data.holdout=1.5", r"data\.holdout is 1\.5(?s:.)*0 to 0\.9"),
        ("[fleet]\nkind = 'quemu'\n", None, r"fleet\.kind is 'quemu'(?s:.)*qemu, native, virtual"),
        ("[rounds]\nmin_updates = 9\n[fleet]\ndevices = 8\n", None, r"can never be reached"),
        ("train = 3\n", None, r"train is a section"),
        ("[train\n", None, r"not valid TOML"),
        ("", "train.epochs=0", r"--set train\.epochs=0"),
        ("", "train.epoch=1", r"unknown key train\.epoch(?s:.)*train\.epochs\?"),
        ("", "epochs=1", r"cannot read --set epochs=1"),
    ],
)
def test_invalid_config_names_the_key(
    tmp_path: Path, text: str, override: str | None, message: str
) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load(tmp_path, text + MINIMAL, *([override] if override else []))
    assert caught.value.exit_code == 2


def test_required_paths_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"model\.path is missing"):
        load(tmp_path, "")


def test_fingerprint_ignores_places_and_follows_decisions(tmp_path: Path) -> None:
    base = load(tmp_path).fingerprint()
    for same in ("fleet.kind=native", "run.dir=/else", "rounds.timeout_s=1", "model.name=z"):
        assert load(tmp_path, MINIMAL, same).fingerprint() == base, same
    for other in ("train.seed=1", "rounds.count=3", "data.holdout=0.5", "fleet.devices=2"):
        assert load(tmp_path, MINIMAL, other).fingerprint() != base, other


@settings(deadline=None)
@given(st.floats(min_value=2.0**-30, max_value=1024.0))
def test_learning_rate_keeps_fifteen_bits(rate: float) -> None:
    mantissa, exponent = configs.learning_rate(rate)
    assert 1 << 14 <= mantissa < 1 << 15
    value = Fraction(mantissa) * Fraction(2) ** (exponent - 15)
    assert abs(value / Fraction(rate) - 1) <= Fraction(1, 1 << 15)


@settings(deadline=None)
@given(st.integers(1 << 14, (1 << 15) - 1), st.integers(-20, 10))
def test_learning_rate_of_fifteen_bits_is_exact(mantissa: int, exponent: int) -> None:
    assert configs.learning_rate(math.ldexp(mantissa, exponent - 15)) == (mantissa, exponent)


@pytest.mark.parametrize("rate", [0.0, -1.0, math.inf, math.nan])
def test_learning_rate_must_be_positive_and_finite(rate: float) -> None:
    with pytest.raises(ConfigError, match="no rate"):
        configs.learning_rate(rate)


@pytest.mark.parametrize("path", ["~nobody-of-this-name/d.npz", "a\\u0000b"])
def test_path_that_is_none_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(ConfigError, match=r"data\.path is no path"):
        load(tmp_path, f'[model]\npath = "m.tflite"\n[data]\npath = "{path}"')


@pytest.mark.parametrize("name", ["../x", "a/b", ".."])
def test_name_may_not_lead_elsewhere(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"model\.name(?s:.)*without a slash"):
        load(tmp_path, MINIMAL, f"model.name={name}")
