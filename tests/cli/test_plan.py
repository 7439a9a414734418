# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from support.outcome import Run


@pytest.fixture
def digits(checkout: Path) -> Path:
    return checkout / "examples" / "digits" / "digits.tflite"


def test_shows_what_training_costs_beside_what_inference_costs(
    fleetgrad: Run, digits: Path
) -> None:
    document = fleetgrad("plan", digits, "--json").json
    training, inference = document["schemes"]
    assert training["scheme"] == document["scheme"] == "last-layer"
    assert inference["scheme"] == "none"
    assert training["lower_bound_bytes"] <= training["arena_bytes"]
    assert training["params_ram_bytes"] > inference["params_ram_bytes"] == 0
    assert training["backward_macs"] > inference["backward_macs"] == 0
    assert document["fits"] is True


def test_draws_the_memory_map(fleetgrad: Run, digits: Path, tmp_path: Path) -> None:
    page = tmp_path / "out" / "plan.html"
    assert fleetgrad("plan", digits, "--html", page).code == 0
    assert "<svg" in page.read_text()


def test_larger_batch_needs_more_memory(fleetgrad: Run, digits: Path) -> None:
    one = fleetgrad("plan", digits, "--json").json
    sixteen = fleetgrad("plan", digits, "--json", "--batch", 16).json
    assert sixteen["arena_bytes"] > one["arena_bytes"]


def test_board_too_small_is_a_failure_that_names_tensors(
    fleetgrad: Run, digits: Path, checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = checkout / "boards" / "riscv_virt"
    small = tmp_path / "boards" / "small"
    small.mkdir(parents=True)
    board = (real / "board.toml").read_text()
    board = board.replace('id = "riscv_virt"', 'id = "small"').replace("0x400000 ", "0x2000 ")
    (small / "board.toml").write_text(board)
    for name in ("link.ld", "board.h"):
        (small / name).write_text((real / name).read_text())
    monkeypatch.setattr("fleetgrad.paths.boards", lambda: small.parent)
    outcome = fleetgrad("plan", digits, "--board", "small", "--json")
    assert outcome.code == 1
    assert outcome.json["fits"] is False
    assert "bytes of RAM more" in outcome.err
    assert "a smaller batch" in outcome.err


def test_unknown_board_names_the_nearest(fleetgrad: Run, digits: Path) -> None:
    outcome = fleetgrad("plan", digits, "--board", "mps2_an368")
    assert outcome.code == 2
    assert "mps2_an386" in outcome.err


def test_unknown_scheme_is_wrong_usage(fleetgrad: Run, digits: Path) -> None:
    outcome = fleetgrad("plan", digits, "--scheme", "lastlayer")
    assert outcome.code == 2
    assert "last-layer" in outcome.err


def test_needs_a_model_or_a_config(
    fleetgrad: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = fleetgrad("plan")
    assert outcome.code == 2
    assert "fleetgrad.toml" in outcome.err


def test_lists_the_boards(fleetgrad: Run) -> None:
    boards = {board["id"]: board for board in fleetgrad("boards", "--json").json["boards"]}
    assert boards["mps2_an386"]["emulators"] == ["qemu"]
    assert {"id", "core", "flash_bytes", "ram_bytes", "verified", "emulators", "uploaders"} <= set(
        boards["native"]
    )


def test_recomputing_is_planned_with_its_price(fleetgrad: Run, shared_data: Path) -> None:
    model = shared_data / "models" / "mlperf_kws_ref_model.tflite"
    kept = fleetgrad("plan", model, "--scheme", "full", "--json").json
    again = fleetgrad("plan", model, "--scheme", "full", "--recompute", "--json").json
    assert again["arena_bytes"] < 0.8 * kept["arena_bytes"]
    assert kept["recompute_macs"] == 0
    assert 0 < again["recompute_macs"] < 0.1 * kept["forward_macs"]
    assert again["backward_macs"] == kept["backward_macs"]


def test_paging_is_planned(fleetgrad: Run, digits: Path) -> None:
    kept = fleetgrad("plan", digits, "--scheme", "full", "--json").json
    paged = fleetgrad("plan", digits, "--scheme", "full", "--page", "--json").json
    assert paged["ram_bytes"] < kept["ram_bytes"]
    assert paged["params_ram_bytes"] < kept["params_ram_bytes"]
