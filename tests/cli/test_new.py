# SPDX-License-Identifier: Apache-2.0
"""`fleetgrad new`: what it makes works at once."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from fleetgrad import paths
from fleetgrad.boards import load_board
from fleetgrad.errors import ToolError
from fleetgrad.toolchain import find_compiler
from support.outcome import Run

FILES = {
    ".github/workflows/fleetgrad.yml", ".gitignore", "README.md", "data.py", "firmware/main.c",
    "firmware/sensor.c", "firmware/sensor.h", "fleetgrad.toml", "model.tflite",
}  # fmt: skip


def make_data(folder: Path) -> None:
    subprocess.run([sys.executable, "data.py"], cwd=folder, check=True)


def accuracy(project: Path, fleetgrad: Run, monkeypatch: pytest.MonkeyPatch, *more: str) -> float:
    """Of the version that the plan's rounds end with."""
    monkeypatch.chdir(project)
    make_data(project)
    done = fleetgrad("run", "--json", *more)
    assert done.code == 0, done.err
    assert len(done.json["rounds"]) == 5
    assert done.json["accuracy_after"] > done.json["accuracy_before"]
    return float(done.json["accuracy_after"])


def test_a_project_is_built_emulated_and_run(
    fleetgrad: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = fleetgrad("new", "my-project", "--json")
    assert made.code == 0, made.err
    project = tmp_path / "my-project"
    assert set(made.json["files"]) == FILES
    assert {str(p.relative_to(project)) for p in project.rglob("*") if p.is_file()} == FILES
    board = load_board(
        paths.boards(), tomllib.loads((project / "fleetgrad.toml").read_text())["fleet"]["board"]
    )
    assert board.qemu is not None
    try:
        find_compiler(board.compiler.family)
    except ToolError as error:
        pytest.skip(error.what)
    if shutil.which(board.qemu.program) is None:
        pytest.skip(f"{board.qemu.program} is not installed")
    assert accuracy(project, fleetgrad, monkeypatch) > 0.8
    built = fleetgrad("build", "--firmware", "firmware", "--json")
    assert built.code == 0, built.err
    assert built.json["board"] == board.id
    assert fleetgrad("log").code == 0


def test_a_project_of_another_model_and_board(
    fleetgrad: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = paths.home() / "examples" / "har" / "har.tflite"
    made = fleetgrad("new", tmp_path / "har", "--board", "nucleo_f446re", "--model", model)
    assert made.code == 0, made.err
    project = tmp_path / "har"
    assert (project / "model.tflite").read_bytes() == model.read_bytes()
    assert "fleetgrad flash --board nucleo_f446re" in (project / "README.md").read_text()
    assert (
        "apt-get install -y gcc-arm-none-eabi"
        in (project / ".github" / "workflows" / "fleetgrad.yml").read_text()
    )
    accuracy(project, fleetgrad, monkeypatch)


def test_two_projects_are_byte_for_byte_the_same(fleetgrad: Run, tmp_path: Path) -> None:
    for parent in ("a", "b"):
        assert fleetgrad("new", tmp_path / parent / "same").code == 0
    for name in FILES:
        first, second = ((tmp_path / p / "same" / name).read_bytes() for p in ("a", "b"))
        assert first == second, name


def test_nothing_is_written_over(fleetgrad: Run, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes").write_text("keep")
    refused = fleetgrad("new", tmp_path / "mine")
    assert refused.code == 2
    assert "something already" in refused.err
    assert [p.name for p in tmp_path.iterdir()] == ["mine"]
    assert (tmp_path / "mine" / "notes").read_text() == "keep"
    (tmp_path / "empty").mkdir()
    assert fleetgrad("new", tmp_path / "empty").code == 0


@pytest.mark.parametrize(
    ("arguments", "what"),
    [(("--board", "nucleo_f446"), "did you mean"), (("--model", "none.tflite"), "cannot read")],
)
def test_what_cannot_be_is_named_and_leaves_nothing(
    fleetgrad: Run, tmp_path: Path, arguments: tuple[str, ...], what: str
) -> None:
    refused = fleetgrad("new", tmp_path / "p", *arguments)
    assert refused.code == 2
    assert what in refused.err
    assert not list(tmp_path.iterdir())
