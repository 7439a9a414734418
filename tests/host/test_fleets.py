# SPDX-License-Identifier: Apache-2.0
"""Real firmware on every kind of fleet: one truth, and no process that outlives its host."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from fleetgrad import bundle as bundles
from fleetgrad import paths
from fleetgrad.boards import Board, load_board
from fleetgrad.config import Config
from fleetgrad.data import partition, read
from fleetgrad.errors import FleetError, ToolError
from fleetgrad.fleet import Endpoint, NativeFleet, Placement, QemuFleet, VirtualFleet
from fleetgrad.results import SilentObserver
from fleetgrad.run import execute
from fleetgrad.store import Store
from fleetgrad.toolchain import build_image
from fleetgrad_codegen.frontend.tflite import read_model
from fleetgrad_codegen.ops import interpret
from fleetgrad_codegen.ops.boundary import split_boundary
from support.emulated import EMULATED, usable
from support.ledgers import begun

SCRIPT = Path(__file__).resolve().parents[1] / "support" / "run_digits.py"


def at(config: Config, place: Path) -> Config:
    return replace(config, run=replace(config.run, dir=place))


def children(pid: int) -> list[int]:
    """Devices whose parent is `pid`; other tests may keep an interpreter there."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
                command = (entry / "cmdline").read_bytes().split(b"\0")[0]
            except OSError:
                continue
            is_device = b"python" not in command and fields[0] != "Z"
            if int(fields[1]) == pid and is_device:
                found.append(int(entry.name))
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_until(condition: object, seconds: float = 10.0) -> None:
    assert callable(condition)
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


# --- One truth -----------------------------------------------------------------------------------


def test_processes_and_threads_end_with_the_same_model(
    digits: Config, digits_bundle: Path, node: Path, library: Path, tmp_path: Path
) -> None:
    native = execute(at(digits, tmp_path / "n"), digits_bundle, NativeFleet(node))
    virtual = execute(at(digits, tmp_path / "v"), digits_bundle, VirtualFleet(library))
    alone = execute(at(digits, tmp_path / "1"), digits_bundle, VirtualFleet(library, workers=1))
    assert native.model_digest == virtual.model_digest == alone.model_digest
    assert [r.loss for r in native.rounds] == [r.loss for r in virtual.rounds]
    assert native.accuracy_after == virtual.accuracy_after
    assert native.accuracy_after is not None
    assert native.accuracy_before is not None
    assert native.accuracy_after > native.accuracy_before


@pytest.mark.emulated
@pytest.mark.parametrize("board_id", EMULATED)
def test_emulated_boards_end_with_the_model_of_the_others(
    digits: Config, digits_bundle: Path, library: Path, tmp_path: Path, board_id: str
) -> None:
    board = usable(board_id)
    image = build_image(digits_bundle, board, "node", tmp_path / "image")
    emulated = execute(at(digits, tmp_path / "q"), digits_bundle, QemuFleet(board, image.path))
    virtual = execute(at(digits, tmp_path / "v"), digits_bundle, VirtualFleet(library))
    assert emulated.model_digest == virtual.model_digest
    assert emulated.accuracy_after == virtual.accuracy_after
    assert children(os.getpid()) == []


def test_interrupted_run_goes_on_over_another_kind_of_fleet(
    digits: Config, digits_bundle: Path, node: Path, library: Path, tmp_path: Path
) -> None:
    class Leaving(SilentObserver):
        def update_accepted(self, number: int, device: int) -> None:
            if number == 2:
                raise KeyboardInterrupt

    undisturbed = execute(at(digits, tmp_path / "u"), digits_bundle, VirtualFleet(library))
    with pytest.raises(KeyboardInterrupt):
        execute(digits, digits_bundle, NativeFleet(node), Leaving())
    assert children(os.getpid()) == []
    resumed = execute(digits, digits_bundle, VirtualFleet(library))
    assert resumed.resumed
    assert resumed.model_digest == undisturbed.model_digest


def test_exported_model_computes_what_the_devices_evaluated(
    digits: Config, digits_bundle: Path, library: Path
) -> None:
    result = execute(digits, digits_bundle, VirtualFleet(library))
    with Store(digits.run.dir, writing=False) as store:
        learned = store.export(result.version)
        counted = {u.device: u for u in store.ledger.updates(result.run_id, 3)}
    _, graph, _ = split_boundary(read_model(learned, "learned"))
    bundle = bundles.load(digits_bundle)
    for part in partition(read(digits.data.path), digits.data, bundle, devices=3):
        right = 0
        for sample, label in zip(part.eval_x, part.eval_y, strict=True):
            (output,) = interpret(graph, [sample.reshape(bundle.input.shape)])
            right += int(output.argmax()) == label[0]
        row = counted[part.device]
        assert (row.eval_correct, row.eval_samples) == (right, len(part.eval_x))


# --- Processes -----------------------------------------------------------------------------------


def start(bundle: Path, node: Path, run_dir: Path, rounds: int) -> subprocess.Popen[str]:
    command = [sys.executable, SCRIPT, bundle, node, run_dir, rounds]
    return subprocess.Popen([str(w) for w in command], stdout=subprocess.PIPE, text=True)


def accepted(run_dir: Path) -> set[tuple[int, int]]:
    if not begun(run_dir):
        return set()
    with Store(run_dir, writing=False) as store:
        runs = store.ledger.runs()
        return {(u.round, u.device) for run in runs for u in store.ledger.updates(run.run_id)}


def reported(run_dir: Path) -> bool:
    """The run is over: what was killed then was only on its way out."""
    if not begun(run_dir):
        return False
    with Store(run_dir, writing=False) as store:
        return any(run.state == "reported" for run in store.ledger.runs())


def await_updates(run_dir: Path, process: subprocess.Popen[str], count: int) -> None:
    """Returns once so many updates are in the ledger, or the process has ended."""
    wait_until(lambda: len(accepted(run_dir)) >= count or process.poll() is not None)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_devices_end_with_their_host(
    digits_bundle: Path, node: Path, tmp_path: Path, number: signal.Signals
) -> None:
    process = start(digits_bundle, node, tmp_path, 2000)
    wait_until(lambda: len(children(process.pid)) == 8)
    devices = children(process.pid)
    process.send_signal(number)
    process.communicate(timeout=20)
    wait_until(lambda: not any(alive(device) for device in devices))


def test_killed_over_native_devices_it_ends_with_the_model_of_an_undisturbed_run(
    digits_bundle: Path, node: Path, tmp_path: Path
) -> None:
    rounds = 12
    undisturbed, _ = start(digits_bundle, node, tmp_path / "u", rounds).communicate(timeout=60)
    dice = random.Random(4)
    run_dir = tmp_path / "k"
    kills = 0
    for _ in range(40):
        before = accepted(run_dir)
        process = start(digits_bundle, node, run_dir, rounds)
        await_updates(run_dir, process, len(before) + dice.randint(1, 40))
        process.kill()
        process.communicate(timeout=60)
        assert before <= accepted(run_dir), "an accepted update was lost"
        kills += process.returncode != 0
        if reported(run_dir):
            break
    assert kills >= 1
    with Store(run_dir, writing=False) as store:
        newest = store.newest()
        assert newest
        assert newest.digest == undisturbed.strip()
        (run,) = store.ledger.runs()
        assert run.starts <= kills + 1  # a kill may come before the start
        assert len(store.ledger.updates(run.run_id)) == 8 * (rounds + 1)


# --- Failures ------------------------------------------------------------------------------------


def placement(image: bytes = bytes(64)) -> list[Placement]:
    return [Placement(1, "one", image)]


def test_missing_program_is_named(tmp_path: Path) -> None:
    with pytest.raises(FleetError, match=r"cannot start a device(?s:.)*no-such-node"):
        NativeFleet(tmp_path / "no-such-node").start(placement(), tmp_path)


def test_missing_emulator_is_named_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match="no emulator for mps2_an386") as caught:
        QemuFleet(load_board(paths.boards(), "mps2_an386"), tmp_path / "node.elf")
    assert "--fleet native" in caught.value.hint


def test_program_that_ends_at_once_is_told_with_its_last_words(tmp_path: Path) -> None:
    script = tmp_path / "node"
    script.write_text("#!/bin/sh\necho the image is unreadable\nexit 3\n")
    script.chmod(0o755)
    with pytest.raises(FleetError, match=r"ended with exit code 3(?s:.)*the image is unreadable"):
        NativeFleet(script).start(placement(), tmp_path)


def test_devices_started_before_a_failure_are_stopped(node: Path, tmp_path: Path) -> None:
    (tmp_path / "device-2").write_text("in the way")
    both = [*placement(), Placement(2, "two", bytes(64))]
    with pytest.raises(FleetError, match="cannot write the data image of device 2"):
        NativeFleet(node).start(both, tmp_path)
    assert children(os.getpid()) == []


def test_library_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.so").write_bytes(b"not a library")
    with pytest.raises(ToolError, match="does not load"):
        VirtualFleet(tmp_path / "x.so").start(placement(), tmp_path)


def test_samples_beyond_the_flash_of_a_board_are_named(
    mps2: tuple[Board, Path], tmp_path: Path
) -> None:
    large = placement(bytes(mps2[0].image_bytes + 1))
    with pytest.raises(FleetError, match=r"device 1 \(one\) do not fit(?s:.)*data\.limit"):
        QemuFleet(*mps2).start(large, tmp_path)


def test_firmware_of_another_model_is_refused_by_every_device(
    digits: Config, digits_bundle: Path, library: Path, tmp_path: Path
) -> None:
    other = tmp_path / "bundle"
    other.mkdir()
    for file in digits_bundle.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    manifest = (other / "manifest.json").read_text()
    with (other / "manifest.json").open("w") as file:
        start_of_digest = manifest.index('"digest": "') + len('"digest": "')
        file.write(manifest[:start_of_digest] + "00000000" + manifest[start_of_digest + 8 :])
    with pytest.raises(FleetError, match=r"no device can take part(?s:.)*it runs the model"):
        execute(digits, other, VirtualFleet(library))


def test_damaged_data_image_is_reported_by_the_device_itself(
    digits: Config, digits_bundle: Path, library: Path
) -> None:
    class Damaging(VirtualFleet):
        def start(self, placements: Sequence[Placement], directory: Path) -> list[Endpoint]:
            first, *rest = placements
            spoilt = first.image[:-1] + bytes([first.image[-1] ^ 1])
            return super().start([replace(first, image=spoilt), *rest], directory)

    config = replace(digits, rounds=replace(digits.rounds, min_updates=2))
    result = execute(config, digits_bundle, Damaging(library))
    assert [r.accepted for r in result.rounds] == [(2, 3)] * 2
    assert "bad_image" in result.devices[0].left_out


def test_boot_counter_never_goes_back(
    digits: Config, digits_bundle: Path, node: Path, library: Path
) -> None:
    def boots() -> dict[int, int]:
        folders = (digits.run.dir / "devices").iterdir()
        return {int(f.name[7:]): int((f / "boots").read_text()) for f in folders}

    execute(digits, digits_bundle, NativeFleet(node))
    first = boots()
    execute(digits, digits_bundle, NativeFleet(node))
    second = boots()
    assert all(second[device] > first[device] for device in first)
