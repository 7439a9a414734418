# SPDX-License-Identifier: Apache-2.0
"""`fleetgrad flash`: what it asks of pyOCD, what it makes of its answers, and the board's own word.

pyOCD is a script here that keeps what it is told and says what pyOCD 0.46 says.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleetgrad import paths
from fleetgrad.boards import load_board
from fleetgrad.errors import ToolError
from fleetgrad.toolchain import find_compiler
from fleetgrad.toolchain.elf import Elf
from support.outcome import Run
from support.serial_boards import SerialBoard, idle_port

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "digits"
MODEL, DATA = EXAMPLE / "digits.tflite", EXAMPLE / "digits.npz"
BOARD = "nucleo_f446re"

SCRIPT = """#!{python}
import json, pathlib, shutil, sys
folder = pathlib.Path({folder!r})
folder.joinpath("told.json").write_text(json.dumps(sys.argv[1:]))
for number, name in enumerate(a.split("@")[0] for a in sys.argv[1:] if "/" in a):
    shutil.copy(name, folder / f"file{{number}}")
print({says!r})
sys.exit({status})
"""

Fake = Callable[[str, int], Path]


@pytest.fixture
def pyocd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fake:
    """Call with what it says and its exit code; gives the folder with what it was told."""
    try:
        find_compiler(load_board(paths.boards(), BOARD).compiler.family)
    except ToolError as error:
        pytest.skip(error.what)
    if shutil.which("pyocd", path=os.path.dirname(sys.executable)):  # noqa: PTH120
        pytest.skip("a real pyocd is installed beside this Python: it would be asked first")
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")

    def make(says: str, status: int) -> Path:
        script = folder / "pyocd"
        script.write_text(
            SCRIPT.format(python=sys.executable, folder=str(folder), says=says, status=status)
        )
        script.chmod(0o755)
        return folder

    return make


@pytest.fixture
def ports(tmp_path: Path) -> Path:
    folder = tmp_path / "dev"
    folder.mkdir()
    return folder


@pytest.fixture
def plugged(fleetgrad: Run, ports: Path, tmp_path: Path) -> Iterator[SerialBoard]:
    """A process that has the same bundle in its firmware, as if it had been flashed just now."""
    built = fleetgrad("build", MODEL, "--board", "native", "--json")
    assert built.code == 0, built.err
    board = SerialBoard(Path(json.loads(built.out)["image"]), b"", ports, tmp_path / "board")
    yield board
    board.unplug()


def test_a_board_is_flashed_with_its_samples_and_answers(
    fleetgrad: Run, pyocd: Fake, plugged: SerialBoard, tmp_path: Path
) -> None:
    told = pyocd("[====================] 100%", 0)
    first = fleetgrad(
        "flash", MODEL, "--board", BOARD, "--set", f"data.path={DATA}", "--user", "3",
        "--device", "77", "--no-check", "--probe", "0669FF", "--json",
    )  # fmt: skip
    assert first.code == 0, first.err
    assert json.loads(first.out)["port"] is None

    arguments = json.loads((told / "told.json").read_text())
    assert arguments[:6] == ["load", "-W", "--target", "stm32f446retx", "--uid", "0669FF"]
    board = load_board(paths.boards(), BOARD)
    assert arguments[7].endswith(f"@{board.image_address:#x}")
    written = Elf(told / "file0").loads
    assert min(address for address, _ in written) == 0x08000000
    assert sum(len(data) for _, data in written) <= board.flash_bytes

    (tmp_path / "board" / "image").write_bytes((told / "file1").read_bytes())
    plugged.plug("ttyACM0")
    second = fleetgrad("flash", MODEL, "--board", BOARD, "--port", plugged.port, "--json")
    assert second.code == 0, second.err
    document = json.loads(second.out)
    assert document["device"] == f"{77:016x}"
    assert document["port"] == plugged.port
    assert not any("@" in a for a in json.loads((told / "told.json").read_text())), (
        "its own samples"
    )


def test_a_board_that_does_not_answer_is_no_success(
    fleetgrad: Run, pyocd: Fake, ports: Path
) -> None:
    pyocd("", 0)
    with idle_port(ports, "ttyACM0", b"Hello from another firmware\r\n") as port:
        done = fleetgrad("flash", MODEL, "--board", BOARD, "--port", port, "--wait", "1.5")
    assert done.code == 1
    assert "no board with this model says HELLO" in done.err
    assert "another firmware" in done.err


@pytest.mark.parametrize(
    ("says", "what", "hint"),
    [
        ("No connected debug probes", "no debug probe is connected", "udev"),
        ("0000842 E Target type stm32f446retx not recognized.", "does not know the chip",
         "pyocd pack install stm32f446re"),
        ("[Errno 13] Access denied (insufficient permissions)", "may not be used", "udev"),
        ("E Memory transfer fault: no ACK received", "was lost", "same command"),
        ("E flash program page failure", "pyOCD failed: E flash program page failure", "-v"),
    ],
)  # fmt: skip
def test_pyocds_complaints_come_in_the_users_words(
    fleetgrad: Run, pyocd: Fake, says: str, what: str, hint: str
) -> None:
    pyocd(says, 1)
    done = fleetgrad("flash", MODEL, "--board", BOARD)
    assert done.code == 1
    assert what in done.err
    assert hint in done.err


def test_what_cannot_be_flashed_is_named_before_anything_is_built(fleetgrad: Run) -> None:
    emulated = fleetgrad("flash", MODEL, "--board", "mps2_an386")
    assert emulated.code == 2
    assert "[[upload]]" in emulated.err
    wrong = fleetgrad("flash", MODEL, "--board", BOARD, "--uploader", "uf2")
    assert wrong.code == 2
    assert "pyocd" in wrong.err
    lost = fleetgrad("flash", MODEL, "--board", BOARD, "--device", "5")
    assert lost.code == 2
    assert "--user" in lost.err
    assert not Path("build").exists()


def test_without_pyocd_the_way_to_get_it_is_told(
    fleetgrad: Run, pyocd: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = pyocd("", 0)
    (folder / "pyocd").unlink()
    done = fleetgrad("flash", MODEL, "--board", BOARD)
    assert done.code == 1
    assert "pip install pyocd" in done.err
