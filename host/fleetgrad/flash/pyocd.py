# SPDX-License-Identifier: Apache-2.0
"""pyOCD: boards with a debug probe, on the board or beside it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from pathlib import Path

from fleetgrad.boards import UploadSpec
from fleetgrad.errors import FleetgradError, LinkError, ToolError
from fleetgrad.flash.payload import Payload

_UDEV = "on Linux the probe needs a udev rule: github.com/pyocd/pyOCD, folder udev"
_PIECE = 256


def flash_with_pyocd(
    payload: Payload, spec: UploadSpec, probe: str, tell: Callable[[str], None]
) -> None:
    """Writes and verifies everything, then resets the board.

    Args:
        payload: What to write.
        spec: pyOCD's name of the chip, and the pack that knows it.
        probe: Unique id of a probe, or a part of it; empty: the only one there is.
        tell: Is given pyOCD's own progress as it comes.

    Raises:
        ToolError: pyOCD is missing, does not know the chip, or fails.
        LinkError: No probe, one that may not be used, one that was lost, or another chip.
    """
    with tempfile.TemporaryDirectory(prefix="fleetgrad-flash-") as folder:
        status, output = _run(_command(payload, spec, probe, Path(folder)), tell)
    if status != 0:
        raise _explained(output, payload, spec)


def _command(payload: Payload, spec: UploadSpec, probe: str, folder: Path) -> list[str]:
    files = [str(payload.elf)]
    if payload.image:
        image = folder / "image.bin"
        image.write_bytes(payload.image)
        files.append(f"{image}@{payload.board.image_address:#x}")
    chosen = ["--uid", probe] if probe else []
    # Without -W it would wait for a probe for ever.
    return [_program(), "load", "-W", "--target", spec.target, *chosen, *files]


def _program() -> str:
    """Beside this Python first: that is where ``pip install`` puts it."""
    beside = shutil.which("pyocd", path=sysconfig.get_path("scripts"))
    found = beside or shutil.which("pyocd")
    if found is None:
        raise ToolError(
            "pyOCD is missing",
            expected="pyocd in PATH",
            hint=f"{sys.executable} -m pip install pyocd",
        )
    return found


def _run(command: list[str], tell: Callable[[str], None]) -> tuple[int, str]:
    """Exit code, and all that was printed."""
    said = b""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        assert process.stdout is not None
        try:
            while piece := process.stdout.read1(_PIECE):  # type: ignore[attr-defined]
                said += piece
                tell(piece.decode("utf-8", "replace"))
        except BaseException:
            process.terminate()
            raise
        return process.wait(), said.decode("utf-8", "replace")


def _explained(output: str, payload: Payload, spec: UploadSpec) -> FleetgradError:
    """The tool's complaint in the user's words."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    said = lines[-1] if lines else "no reason given"
    where = payload.board.id
    lower = output.lower()
    if "no connected debug probes" in lower or "no available debug probes" in lower:
        return LinkError("no debug probe is connected", where, hint=f"plug the board in; {_UDEV}")
    if "not recognized" in lower and spec.pack:
        return ToolError(
            f"pyOCD does not know the chip {spec.target} yet",
            where,
            hint=f"pyocd pack install {spec.pack}",
        )
    if any(word in lower for word in ("permission denied", "access denied", "insufficient perm")):
        return LinkError("the probe may not be used by this user", where, hint=_UDEV)
    if any(word in lower for word in ("unexpected device", "does not match", "wrong target")):
        return LinkError(
            f"another chip is on this probe: {said}", where, expected=spec.target,
            hint="--probe chooses between probes; fleetgrad boards lists boards",
        )  # fmt: skip
    if any(word in lower for word in ("no such device", "disconnected", "timeout", "no ack")):
        return LinkError(
            f"the probe was lost, or the chip does not answer it: {said}",
            where,
            hint="plug the board in again and run the same command: flashing begins anew, and"
            " nothing that is half written is started by it",
        )
    return ToolError(f"pyOCD failed: {said}", where, hint="-v shows all that it said")
