# SPDX-License-Identifier: Apache-2.0
"""Building firmware: sizes, the stack bound, reproducibility, and what failure looks like."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from fleetgrad import paths
from fleetgrad.boards import FAMILIES, Board, load_board
from fleetgrad.errors import BoardError, BundleError, ToolError
from fleetgrad.toolchain import build_image, find_compiler
from fleetgrad.toolchain.sources import headers_of, needed_sources
from support.fake_model import FAKE_BUNDLE

WEIGHTS_OF_FAKE = range(1320, 1500)  # initial parameters, segments, descriptor


@pytest.fixture(scope="session")
def chip() -> Board:
    board = load_board(paths.boards(), "mps2_an386")
    try:
        find_compiler(board.compiler.family)
    except ToolError as error:
        pytest.skip(error.what)
    return board


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(FAKE_BUNDLE, tmp_path / "bundle"))


@pytest.mark.parametrize("app", ["node", "bench"])
def test_sizes_tell_code_from_model(chip: Board, tmp_path: Path, app: str) -> None:
    image = build_image(FAKE_BUNDLE, chip, app, tmp_path)
    assert image.weights_bytes in WEIGHTS_OF_FAKE
    assert 0 < image.stack_bytes <= chip.stack_bytes
    assert 0 <= image.stack_reserved_bytes - image.stack_bytes < 16
    assert image.stack_path[0] == "Reset_Handler"
    assert image.stack_path[-1] == "forward", "reached through the model's descriptor alone"
    assert image.ram_bytes == image.data_bytes + image.bss_bytes + image.stack_reserved_bytes


def test_a_node_is_small(chip: Board, tmp_path: Path) -> None:
    image = build_image(FAKE_BUNDLE, chip, "node", tmp_path)
    assert image.text_bytes < 10_000
    model = 2 * 1320 + 640 + 128
    assert image.ram_bytes - model <= 4_200


def test_two_builds_are_the_same_byte_for_byte(
    chip: Board, bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = []
    for index, folder in enumerate((FAKE_BUNDLE, bundle)):
        monkeypatch.setenv("FLEETGRAD_CACHE", str(tmp_path / f"cache{index}"))
        images.append(build_image(folder, chip, "node", tmp_path / f"out{index}"))
    assert images[0].path.read_bytes() == images[1].path.read_bytes()
    assert images[0].digest == images[1].digest
    assert images[0].firmware_hash == images[1].firmware_hash


def test_a_native_build_is_reproducible_too(
    native_board: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = []
    for index in range(2):
        monkeypatch.setenv("FLEETGRAD_CACHE", str(tmp_path / f"cache{index}"))
        images.append(build_image(FAKE_BUNDLE, native_board, "node", tmp_path / f"out{index}"))
    assert images[0].path.read_bytes() == images[1].path.read_bytes()


def test_the_firmware_hash_follows_the_sources(chip: Board, bundle: Path, tmp_path: Path) -> None:
    before = build_image(bundle, chip, "node", tmp_path / "out").firmware_hash
    header = bundle / "model.h"
    header.write_text(header.read_text() + "/* changed */\n")
    assert build_image(bundle, chip, "node", tmp_path / "out").firmware_hash != before


def test_a_second_build_compiles_nothing(
    chip: Board, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLEETGRAD_CACHE", str(tmp_path / "cache"))
    build_image(FAKE_BUNDLE, chip, "node", tmp_path)
    objects = {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("*")}
    build_image(FAKE_BUNDLE, chip, "node", tmp_path)
    assert {p: p.stat().st_mtime_ns for p in (tmp_path / "cache").rglob("*")} == objects


def test_a_stack_that_is_too_small_fails_the_build(chip: Board, tmp_path: Path) -> None:
    small = replace(chip, stack_bytes=256)
    with pytest.raises(ToolError) as caught:
        build_image(FAKE_BUNDLE, small, "node", tmp_path)
    assert "bytes of stack" in caught.value.what
    assert "fg_app_run" in caught.value.where
    assert not list(tmp_path.glob("*.elf"))


def test_recursion_fails_the_build(chip: Board, bundle: Path, tmp_path: Path) -> None:
    model = bundle / "model.c"
    model.write_text(
        model.read_text().replace(
            "static fg_status refresh(const fg_model_state *state) {",
            "static fg_status refresh(const fg_model_state *state) {\n"
            "    if (state->params[0]++ < 9) {\n"
            "        state->params[1] += (uint8_t)fg_generated_model.refresh(state);\n"
            "    }",
        )
    )
    with pytest.raises(ToolError, match="recurses"):
        build_image(bundle, chip, "node", tmp_path / "out")


def test_a_variable_length_array_fails_the_build(chip: Board, bundle: Path, tmp_path: Path) -> None:
    model = bundle / "model.c"
    model.write_text(
        model.read_text().replace(
            "static fg_status refresh(const fg_model_state *state) {",
            "static fg_status refresh(const fg_model_state *state) {\n"
            "    volatile uint8_t room[state->params[0] + 1];\n"
            "    room[0] = 1;\n"
            "    state->params[0] = room[0];",
        )
    )
    with pytest.raises(ToolError, match="no fixed size"):
        build_image(bundle, chip, "node", tmp_path / "out")


def test_a_model_larger_than_the_memory_says_by_how_much(
    chip: Board, bundle: Path, tmp_path: Path
) -> None:
    small = replace(chip, ram_bytes=4096, regions=())
    with pytest.raises(BoardError, match=r"\d+ bytes larger than the ram of mps2_an386"):
        build_image(bundle, small, "node", tmp_path / "out")


def test_code_that_does_not_compile_is_quoted(chip: Board, bundle: Path, tmp_path: Path) -> None:
    (bundle / "model.c").write_text("int broken(void) { return missing; }\n")
    with pytest.raises(ToolError) as caught:
        build_image(bundle, chip, "node", tmp_path / "out")
    assert "model.c does not compile" in caught.value.what
    assert "missing" in caught.value.what
    assert not (tmp_path / "out").exists()


def test_an_empty_folder_is_no_bundle(chip: Board, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"no model\.c"):
        build_image(tmp_path, chip, "node", tmp_path / "out")


@pytest.mark.parametrize(
    ("board_id", "app"), [("mps2_an386", "library"), ("native", "bench"), ("native", "nod")]
)
def test_an_app_that_a_board_cannot_run_is_refused(board_id: str, app: str, tmp_path: Path) -> None:
    with pytest.raises(BoardError):
        build_image(FAKE_BUNDLE, load_board(paths.boards(), board_id), app, tmp_path)


def test_missing_compilers_come_with_a_way_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for family in FAMILIES:
        with pytest.raises(ToolError) as caught:
            find_compiler(family)
        assert "apt install" in caught.value.hint
    monkeypatch.setenv("CC", "nocc")
    with pytest.raises(ToolError, match="CC names 'nocc'"):
        find_compiler("host")


def test_only_what_is_used_is_compiled(tmp_path: Path) -> None:
    (tmp_path / "root.c").write_text("int main(void) { return fg_one(); }\n")
    (tmp_path / "one.c").write_text("int fg_one(void) {\n    return fg_table[0];\n}\n")
    (tmp_path / "table.c").write_text("const int fg_table[1] = {0};\n")
    (tmp_path / "two.c").write_text("int fg_two(void);\nint fg_two(void) {\n    return 2;\n}\n")
    library = [tmp_path / name for name in ("one.c", "table.c", "two.c")]
    needed = needed_sources([tmp_path / "root.c"], library)
    assert [path.name for path in needed] == ["root.c", "one.c", "table.c"]


def test_headers_are_followed_and_missing_ones_named(tmp_path: Path) -> None:
    (tmp_path / "a.c").write_text('#include "b.h"\n#include <stdint.h>\n')
    (tmp_path / "b.h").write_text('#include "c.h"\n')
    with pytest.raises(ToolError, match=r"c\.h"):
        headers_of(tmp_path / "a.c", [tmp_path])
    (tmp_path / "c.h").write_text("")
    assert [path.name for path in headers_of(tmp_path / "a.c", [tmp_path])] == ["b.h", "c.h"]
