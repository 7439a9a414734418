# SPDX-License-Identifier: Apache-2.0
"""What `fleetgrad gateway` refuses before it connects to anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetgrad.cli import main

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--shard", "1/2"], "name it with --below"),
        (["--below", "barn", "--shard", "2/2"], "'2/2' is no part of a fleet"),
        (["--below", "barn", "--shard", "one"], "'one' is no part of a fleet"),
        (["--below", "barn", "--shard", "0/257"], "0 <= I < N <= 256"),
        (["--below", "fleet"], "between the fleet 'fleet' and itself"),
        (["--aggregate", "--set", "strategy.name=median"], "median compares updates"),
        (["--set", "strategy.name=mean"], "no strategy 'mean'"),
    ],
)
def test_wrong_use_is_named(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = ROOT / "examples" / "digits" / "fleetgrad.toml"
    line = ["gateway", "--config", str(config), "--broker", "mqtt://127.0.0.1:1"]
    code = main([*line, "--set", f"run.dir={tmp_path / 'runs'}", *words])
    assert code == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()
