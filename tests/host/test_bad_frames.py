# SPDX-License-Identifier: Apache-2.0
"""Frames that mean nothing here: passed over with a reason in the log, and nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fleetgrad.cli import main
from fleetgrad.link import SocketLink
from fleetgrad.store import Store
from fleetgrad.wire.framing import DELIMITER, Frame, FrameDecoder, encode_frame, encode_message
from fleetgrad.wire.messages import (
    Abort,
    Chunk,
    Error,
    Hello,
    Receipt,
    RoundOpen,
    Verdict,
)
from support.federation import ModelFleet, project
from support.runs import expected, run

Bad = Callable[[int, int], bytes]


class Intruder:
    """Says more on a device's line than the device: something of every session and round."""

    def __init__(self, link: SocketLink, bad: Bad) -> None:
        self._link = link
        self._bad = bad
        self._decoder = FrameDecoder()
        self._more = b""
        self.fileno, self.close = link.fileno, link.close

    def write(self, data: bytes) -> int:
        count = self._link.write(data)
        for item in self._decoder.feed(data[:count]):
            if isinstance(item, Frame) and item.type == RoundOpen.ID:
                message = item.message()
                assert isinstance(message, RoundOpen)
                self._more += self._bad(item.session, message.round)
        return count

    def read(self) -> bytes:
        data, self._more = self._more, b""
        return DELIMITER + data + DELIMITER + self._link.read()


def story(folder: Path, capfd: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """What `fleetgrad log` tells."""
    capfd.readouterr()
    assert main(["log", "--config", str(folder / "fleetgrad.toml"), "--json"]) == 0
    events = json.loads(capfd.readouterr().out)["events"]
    assert isinstance(events, list)
    return events


def written(folder: Path) -> None:
    (folder / "fleetgrad.toml").write_text('[model]\npath = "model.tflite"\n')


def damaged(frame: bytes, part: bytes) -> bytes:
    """One bit of `part`, which has no zeros and stands there as it is, is another."""
    assert part in frame
    return frame.replace(part, bytes((part[0] ^ 2, *part[1:])))


BAD: dict[str, tuple[Bad, str]] = {
    "a frame of another session": (
        lambda session, number: encode_message(Chunk(number, 0, b"x"), session ^ 1, 0),
        "a session that is not this one",
    ),
    "an update of another round": (
        lambda session, number: encode_message(Chunk(number + 7, 0, b"x" * 9), session, 0),
        "an update of another round",
    ),
    "bytes beyond the update's end": (
        lambda session, number: encode_message(Chunk(number, 60000, b"x" * 9), session, 0),
        "a chunk beyond its update's end",
    ),
    "a frame that is far too long": (
        lambda _, __: b"\xa5" * 5000,
        "a length that does not fit",
    ),
    "a frame whose length lies": (
        lambda session, _: encode_frame(Frame(Chunk.ID, session, 0, b"x" * 1024))[:-200],
        "no valid byte stuffing",
    ),
    "a frame with a flipped bit": (
        lambda session, number: damaged(
            encode_message(Chunk(number, 0, b"abc"), session, 0), b"abc"
        ),
        "a wrong CRC",
    ),
    "a message that is shorter than its kind": (
        lambda session, _: encode_frame(Frame(Hello.ID, session, 0, b"short")),
        "a message that is none",
    ),
    "a kind that nobody knows": (
        lambda session, _: encode_frame(Frame(0x7F, session, 0, b"")),
        "a message that is none",
    ),
    "what only a host says": (
        lambda session, number: encode_message(Receipt(number, Verdict.ACCEPTED), session, 0),
        "a message that is not for a host",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_frame_is_passed_over_and_the_log_says_why(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    bad, reason = BAD[name]
    config = project(tmp_path)
    written(tmp_path)
    result = run(config, ModelFleet(wrap=lambda link: Intruder(link, bad)))
    assert result.model_digest == expected(config)
    assert [r.accepted for r in result.rounds] == [(1, 2, 3, 4)] * 3
    told = [event for event in story(tmp_path, capfd) if event["kind"] == "ignored"]
    assert {event["device"] for event in told} == {1, 2, 3, 4}
    assert all(reason in event["text"] for event in told), told


def test_round_that_a_stranger_aborts_goes_on(tmp_path: Path) -> None:
    """What is said on the line up is never taken for what the host says."""
    config = project(tmp_path)
    fleet = ModelFleet(
        wrap=lambda link: Intruder(
            link,
            lambda session, number: (
                encode_message(Abort(number), session, 0)
                + encode_message(Error(3, Chunk.ID, 0), session ^ 3, 0)
            ),
        )
    )
    assert run(config, fleet).model_digest == expected(config)


@pytest.mark.parametrize(
    ("trait", "value", "words"),
    [
        ("schema_hash", 0x12345678, "its messages have the schema 12345678"),
        ("model_digest", bytes(8), "it runs the model 0000000000000000"),
        ("version", 99, "it speaks wire versions 99"),
    ],
)
def test_device_of_another_fleet_or_schema_is_refused_and_the_log_says_why(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], trait: str, value: object, words: str
) -> None:
    config = project(tmp_path)
    written(tmp_path)
    fleet = ModelFleet(
        bend=lambda traits: replace(traits, **{trait: value}) if traits.device == 2 else traits
    )
    result = run(config, fleet)
    assert all(r.accepted == (1, 3, 4) for r in result.rounds)
    (told,) = [e for e in story(tmp_path, capfd) if e["kind"] == "refused"]
    assert told["device"] == 2
    assert words in told["text"]


class Replayer:
    """Says a round's update again when it has its receipt, and once more in the next round."""

    def __init__(self, link: SocketLink) -> None:
        self._link = link
        self._up, self._down = FrameDecoder(), FrameDecoder()
        self._kept = self._more = b""
        self.fileno, self.close = link.fileno, link.close

    def write(self, data: bytes) -> int:
        count = self._link.write(data)
        for item in self._down.feed(data[:count]):
            if isinstance(item, Frame) and item.type in {Receipt.ID, RoundOpen.ID}:
                self._more += self._kept
        return count

    def read(self) -> bytes:
        data = self._link.read()
        for item in self._up.feed(data):
            if isinstance(item, Frame) and item.type == Chunk.ID:
                self._kept = encode_frame(item)
        more, self._more = self._more, b""
        return data + more


def test_replayed_updates_and_those_of_closed_rounds_count_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = project(tmp_path)
    written(tmp_path)
    assert run(config, ModelFleet(wrap=Replayer)).model_digest == expected(config)
    with Store(config.run.dir, writing=False) as store:
        (row,) = store.ledger.runs()
        held = [(u.round, u.device) for u in store.ledger.updates(row.run_id)]
    assert len(held) == len(set(held)) == 16
    told = [event for event in story(tmp_path, capfd) if event["kind"] == "ignored"]
    assert told
    assert all("an update of another round" in event["text"] for event in told)
