# SPDX-License-Identifier: Apache-2.0
"""Frames become records: whole, in order, whatever the pieces, whenever the client takes none."""

from __future__ import annotations

import ctypes
import itertools
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetgrad.wire import topics
from fleetgrad.wire.framing import Frame, encode_frame

ROOT = Path(__file__).resolve().parents[2]
DEVICE = 0xFEDCBA9876543210
PUBLISH = ctypes.CFUNCTYPE(
    ctypes.c_bool,
    ctypes.c_void_p,
    ctypes.c_char_p,
    ctypes.POINTER(ctypes.c_uint8),
    ctypes.c_size_t,
    ctypes.c_bool,
)
SUBSCRIBE = ctypes.CFUNCTYPE(ctypes.c_bool, ctypes.c_void_p, ctypes.c_char_p)


class ClientStruct(ctypes.Structure):
    _fields_ = (("context", ctypes.c_void_p), ("publish", PUBLISH), ("subscribe", SUBSCRIBE))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    out = tmp_path_factory.mktemp("mqtt") / "mqtt.so"
    flags = ["-std=c11", "-Wall", "-Wextra", "-Werror", "-Wconversion", "-g", "-shared", "-fPIC"]
    trap = ["-fsanitize=undefined", "-fsanitize-undefined-trap-on-error"]
    source = ROOT / "firmware/src/device/mqtt.c"
    subprocess.run(
        ["gcc", *flags, *trap, f"-I{ROOT}/firmware/include", source, "-o", out], check=True
    )
    made = ctypes.CDLL(str(out))
    made.fg_mqtt_write.restype = ctypes.c_size_t
    made.fg_mqtt_connected.restype = ctypes.c_bool
    return made


class Node:
    """The C side, and what it published: (topic, record, retained)."""

    def __init__(
        self, library: ctypes.CDLL, takes: Callable[[], bool] = lambda: True, fleet: bytes = b"barn"
    ) -> None:
        self.published: list[tuple[str, bytes, bool]] = []
        self.subscribed: list[str] = []

        def publish(_: int, topic: bytes, data: object, count: int, retain: int) -> bool:
            if not takes():
                return False
            record = ctypes.string_at(data, count)  # type: ignore[arg-type]
            self.published.append((topic.decode(), record, bool(retain)))
            return True

        def subscribe(_: int, topic: bytes) -> bool:
            self.subscribed.append(topic.decode())
            return True

        self._library = library
        self._client = ClientStruct(None, PUBLISH(publish), SUBSCRIBE(subscribe))
        self._state = ctypes.create_string_buffer(2048)
        self.status = library.fg_mqtt_init(
            self._state, ctypes.byref(self._client), fleet, ctypes.c_uint64(DEVICE)
        )

    def connected(self) -> bool:
        return bool(self._library.fg_mqtt_connected(self._state))

    def write(self, data: bytes) -> int:
        return int(self._library.fg_mqtt_write(self._state, data, ctypes.c_size_t(len(data))))

    @property
    def records(self) -> list[bytes]:
        up = topics.topic("barn", DEVICE, "up")
        return [record for topic, record, _ in self.published if topic == up]


FRAME = st.binary(min_size=1, max_size=300).map(lambda raw: raw.replace(b"\0", b"\1") + b"\0")


@settings(deadline=None)
@given(
    frames=st.lists(FRAME, min_size=1, max_size=8),
    pieces=st.lists(st.integers(1, 90), min_size=1),
    takes=st.lists(st.booleans(), min_size=1),
)
def test_records_are_the_frames(
    library: ctypes.CDLL, frames: list[bytes], pieces: list[int], takes: list[bool]
) -> None:
    stream = b"\0" + b"".join(frames)
    answers = iter(takes)
    node = Node(library, lambda: next(answers, True))
    sent, turn = 0, 0
    while sent < len(stream) or turn < 10_000:
        size = pieces[turn % len(pieces)]
        sent += node.write(stream[sent : sent + size])
        turn += 1
        if sent == len(stream) and node.write(b"") == 0 and next(answers, None) is None:
            break
    node.write(b"")
    assert node.records == [frame for frame in frames if len(frame) <= topics.RECORD_BYTES]


def test_first_frame_is_also_the_presence_and_comes_back_with_the_connection(
    library: ctypes.CDLL,
) -> None:
    node = Node(library)
    node.write(b"\0hello\0more\0")
    presence = (topics.topic("barn", DEVICE, "presence"), b"hello\0", True)
    assert node.published[0] == presence
    assert node.published.count(presence) == 1
    assert node.connected()
    assert node.published.count(presence) == 2
    assert node.subscribed == [topics.topic("barn", DEVICE, "dn")]


@pytest.mark.parametrize("fleet", [b"", b"a/b", b"+", b"x#", b"n" * 65])
def test_name_that_no_topic_can_have_is_refused(library: ctypes.CDLL, fleet: bytes) -> None:
    assert Node(library, fleet=fleet).status == -1


def test_longest_name_fits(library: ctypes.CDLL) -> None:
    node = Node(library, fleet=b"n" * 64)
    assert node.status == 0
    assert node.connected()
    assert node.subscribed == [topics.topic("n" * 64, DEVICE, "dn")]


@given(st.integers(0, 2**64 - 1), st.sampled_from(["up", "dn", "presence"]))
def test_topics_name_their_device(device: int, leaf: str) -> None:
    assert topics.device_of(topics.topic("barn", device, leaf)) == (device, leaf)


@pytest.mark.parametrize(
    "name",
    [
        "fg/1/barn/10/fedcba9876543210",
        "fg/2/barn/10/fedcba9876543210/up",
        "fg/1/barn/11/fedcba9876543210/up",
        "fg/1/barn/10/0xfedcba98765432/up",
        "fg/1/barn/10/FEDCBA9876543210/up",
    ],
)
def test_other_topics_name_nobody(name: str) -> None:
    assert topics.device_of(name) is None


@given(st.lists(FRAME, max_size=5), st.binary(max_size=20).map(lambda b: b.replace(b"\0", b"")))
def test_streams_are_cut_at_frames(frames: list[bytes], rest: bytes) -> None:
    found, left = topics.records(b"\0" + b"".join(frames) + rest)
    assert (b"".join(found), left) == (b"".join(frames), rest)
    assert all(record in frames or len(record) <= topics.RECORD_BYTES for record in found)
    assert all(
        len(one) + len(next_one.split(b"\0")[0]) + 1 > topics.RECORD_BYTES
        for one, next_one in itertools.pairwise(found)
    ), "a frame is gathered into the record before it where it fits"


@pytest.mark.parametrize("record", [256, 300, 512, 1056, 2000])
def test_every_frame_with_the_offered_payload_fits_a_record(record: int) -> None:
    payload = topics.payload_of(record)
    for data in (bytes(payload), b"\1" * payload, bytes(range(256)) * (payload // 256 + 1)):
        frame = encode_frame(Frame(1, 0xFFFFFFFF, 0xFFFF, data[:payload]))
        assert len(frame) <= record
    assert payload >= min(record - 32, 1024) // 32 * 32
