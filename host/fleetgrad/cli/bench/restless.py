# SPDX-License-Identifier: Apache-2.0
"""Native boards that are killed at every stage of a round, and started again on what they kept.

Between host and board lies a cable that outlives the board's process, as the one to a real board
does. It watches the frames that pass, which tell what the board is doing.
"""

from __future__ import annotations

import random
import selectors
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from fleetgrad.errors import FleetError, LinkClosed
from fleetgrad.fleet import Endpoint, Placement
from fleetgrad.link import SocketLink, socket_pair
from fleetgrad.link.tcp import Listener
from fleetgrad.wire.errors import MessageError
from fleetgrad.wire.framing import FrameDecoder, Noise
from fleetgrad.wire.messages import Ack, Chunk, Message, Receipt, RoundOpen

STAGES: Final = ("download", "training", "upload", "receipt", "settled")
"""While parameters come; once they are there; while the update leaves; before its receipt has
reached the board; after it has."""

_KILLS_A_ROUND: Final = 3  # of one board: then it may finish
_DIAL_IN_S: Final = 60.0
_MOST_CHUNKS: Final = 12


class Judge:
    """Says when a board dies.

    Args:
        seed: Of stages and moments.
        wanted: Kills in all.
        tell: Is told how many there were.
    """

    def __init__(self, seed: int, wanted: int, tell: Callable[[int], None]) -> None:
        self._dice = random.Random(seed)
        self._wanted = wanted
        self._tell = tell
        self.by_stage = Counter(dict.fromkeys(STAGES, 0))

    @property
    def kills(self) -> int:
        """So far."""
        return sum(self.by_stage.values())

    def sentence(self) -> tuple[str, int, float]:
        """The next stage to die in, after how many chunks, and seconds later."""
        stage = self._dice.choice(STAGES)
        return stage, self._dice.randint(1, _MOST_CHUNKS), self._dice.uniform(0.0, 0.02)

    def carried_out(self, stage: str) -> None:
        """A board was killed."""
        self.by_stage[stage] += 1
        self._tell(self.kills)

    @property
    def satisfied(self) -> bool:
        """No more kills are wanted."""
        return self.kills >= self._wanted


class _Board:
    """One board, its cable, and the next time that it dies."""

    def __init__(self, command: list[str | Path], listener: Listener, far: SocketLink) -> None:
        self._command = command
        self._listener = listener
        self._spies = FrameDecoder(), FrameDecoder()
        self.far = far
        self.near: SocketLink | None = None
        self.process: subprocess.Popen[bytes] | None = None
        self.round = 0
        self.killed_in_round = 0
        self.blob_bytes = 0
        self.passed = Counter(dict.fromkeys(STAGES, 0))
        self.doom: tuple[str, int, float] | None = None
        self.dies_at: float | None = None

    def start(self) -> None:
        """Powers it up; returns when it has dialled in.

        Raises:
            FleetError: It does not.
        """
        self.process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL)
        self._spies = FrameDecoder(), FrameDecoder()
        self.dies_at = None
        until = time.monotonic() + _DIAL_IN_S
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            while time.monotonic() < until and self.process.poll() is None:
                selector.select(0.2)
                self.near = self._listener.accept()
                if self.near is not None:
                    return
        raise FleetError("a board that was killed does not come back", where=str(self._command))

    def kill(self) -> None:
        """Ends the process as a loss of power would; harmless when there is none."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        if self.near is not None:
            self.near.close()
        self.process = self.near = None

    def stop(self) -> None:
        """For good."""
        self.kill()
        self._listener.close()
        self.far.close()

    def watch(self, data: bytes, *, up: bool) -> str | None:
        """Counts what passes; the stage that it is of when its moment to die has come."""
        found = None
        for item in self._spies[up].feed(data):
            if isinstance(item, Noise):
                continue
            try:
                found = self._count(item.message(), up) or found
            except MessageError:
                continue
        return found

    def _count(self, message: Message, up: bool) -> str | None:
        stage = ""
        match message:
            case RoundOpen() if message.round != self.round:
                self.round, self.blob_bytes = message.round, message.blob_bytes
                self.killed_in_round = 0
                self.passed.clear()
            case Chunk():
                stage = "upload" if up else "download"
            case Ack() if up and message.next_offset == self.blob_bytes:
                stage = "training"
            case Receipt():
                stage = "receipt"
        if not stage:
            return None
        self.passed[stage] += 1
        self.passed["settled"] = self.passed["receipt"]
        if self.doom is None or self.killed_in_round >= _KILLS_A_ROUND:
            return None
        wanted, count, _ = self.doom
        here = wanted == stage or (wanted == "settled" and stage == "receipt")
        enough = self.passed[stage] >= count or stage in {"receipt", "training"}
        return wanted if here and enough else None


class RestlessFleet:
    """A fleet of native boards that are killed again and again.

    Args:
        executable: The node as the native build makes it.
        judge: Says when.
        max_payload: The longest payload of the cables: the shorter, the more there is to interrupt.
    """

    kind = "native"

    def __init__(self, executable: Path, judge: Judge, max_payload: int = 64) -> None:
        self._executable = executable
        self._judge = judge
        self._max_payload = max_payload
        self._boards: list[_Board] = []
        self._near: list[SocketLink] = []
        self._thread: threading.Thread | None = None
        self._ended = threading.Event()
        self.error: FleetError | None = None

    def start(self, placements: Sequence[Placement], directory: Path) -> list[Endpoint]:
        """See :class:`fleetgrad.fleet.Fleet`."""
        endpoints = []
        self._ended.clear()
        for placement in placements:
            own = directory / f"device-{placement.device}"
            own.mkdir(parents=True, exist_ok=True)
            (own / "image").write_bytes(placement.image)
            listener = Listener()
            url = f"cable:{placement.device}"
            near, far = socket_pair(url)
            command: list[str | Path] = [self._executable, "--connect", listener.address]
            for name in ("image", "boots", "flash"):
                command += [f"--{name}", own / name]
            board = _Board(command, listener, far)
            self._boards.append(board)
            self._near.append(near)
            board.start()
            board.doom = self._judge.sentence()
            endpoints.append(
                Endpoint(placement.device, near, url, None, max_payload=self._max_payload)
            )
        self._thread = threading.Thread(target=self._run, name="cables", daemon=True)
        self._thread.start()
        return endpoints

    def stop(self) -> None:
        """See :class:`fleetgrad.fleet.Fleet`."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        for board in self._boards:
            board.stop()
        for near in self._near:
            near.close()
        self._boards.clear()
        self._near.clear()

    def _run(self) -> None:
        try:
            while not self._ended.is_set():
                for board in self._boards:
                    if board.dies_at is not None and time.monotonic() >= board.dies_at:
                        self._kill(board)
                self._pass_on()
        except FleetError as error:
            self.error = error

    def _pass_on(self) -> None:
        """Bytes from one end of each cable to the other."""
        with selectors.DefaultSelector() as selector:
            for board in self._boards:
                selector.register(board.far, selectors.EVENT_READ, (board, False))
                if board.near is not None:
                    selector.register(board.near, selectors.EVENT_READ, (board, True))
            ready = [key.data for key, _ in selector.select(0.005)]
        for board, up in ready:
            source, target = (board.near, board.far) if up else (board.far, board.near)
            if source is None:
                continue
            try:
                data = source.read()
            except LinkClosed:
                if up:
                    continue  # it was killed just now
                self._ended.set()
                return
            stage = board.watch(data, up=up)
            if stage == "receipt":  # which does not reach it any more
                self._kill(board)
                continue
            if target is not None:
                _write(target, data)
            if stage is not None and board.doom is not None and board.dies_at is None:
                board.dies_at = time.monotonic() + board.doom[2]

    def _kill(self, board: _Board) -> None:
        assert board.doom is not None
        board.kill()
        board.killed_in_round += 1
        self._judge.carried_out(board.doom[0])
        board.doom = None if self._judge.satisfied else self._judge.sentence()
        board.start()


def _write(link: SocketLink, data: bytes) -> None:
    """All of it; what a board that is gone does not take is lost, as on a cable."""
    try:
        while data:
            data = data[link.write(data) :]
    except LinkClosed:
        return
