# SPDX-License-Identifier: Apache-2.0
"""Device processes: started with a log of their own, ended by id, never outliving us."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from fleetgrad.errors import FleetError

_GRACE_S = 2.0
_PR_SET_PDEATHSIG = 1


class Processes:
    """The processes of one fleet."""

    def __init__(self) -> None:
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, command: Sequence[str | Path], log: Path) -> subprocess.Popen[bytes]:
        """Starts one process.

        Args:
            command: Program and arguments.
            log: What it prints goes here.

        Raises:
            FleetError: When the program cannot be run.
        """
        try:
            with log.open("wb") as output:
                process = subprocess.Popen(
                    [str(word) for word in command],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,  # Ctrl-C is ours alone; we end them in order
                    preexec_fn=_leash(),  # noqa: PLW1509 - no threads run before the fork
                )
        except OSError as error:
            raise FleetError(
                f"cannot start a device: {error.strerror}",
                where=str(command[0]),
                hint="fleetgrad doctor; fleetgrad build",
            ) from error
        self._running.append(process)
        return process

    def stop(self) -> None:
        """Ends all of them: asks first, then insists."""
        for process in self._running:
            with contextlib.suppress(OSError):
                process.terminate()
        deadline = time.monotonic() + _GRACE_S
        for process in self._running:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()


def log_tail(log: Path, lines: int = 3) -> str:
    """The last words of a process, for an error message."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
    return " / ".join(line.strip() for line in text.splitlines()[-lines:] if line.strip())


def _leash() -> Callable[[], None] | None:
    """Makes the kernel end the child when we are killed without a chance to do so ourselves."""
    if not sys.platform.startswith("linux"):
        return None  # a native node ends with its link; emulators elsewhere are ended by stop()
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def tie() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # we were killed before the call
            os._exit(1)

    return tie
