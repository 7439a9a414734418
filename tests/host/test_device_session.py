# SPDX-License-Identifier: Apache-2.0
"""A session with one device: what it accepts, refuses, repeats and gives up on."""

from __future__ import annotations

import dataclasses
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleetgrad.device import (
    Arrived,
    DeviceEvent,
    DeviceSession,
    Expected,
    Joined,
    Lost,
    Patience,
    Printed,
    Rebooted,
    Refused,
    Shape,
    Spoiled,
    Unable,
    read_update,
)
from fleetgrad.errors import WireError
from fleetgrad.wire.framing import Frame, FrameDecoder, encode_frame, encode_message
from fleetgrad.wire.messages import (
    Abort,
    Ack,
    ErrorCode,
    Phase,
    RoundOpen,
    StatusRequest,
    UpdateHeader,
    Verdict,
    Work,
)
from support.device_model import DeviceModel, Traits
from support.federation import DIGEST, SEGMENTS

TRAITS = Traits(7, DIGEST[:8], SEGMENTS)
BLOB = bytes(60)


def terms(number: int = 1, tag: int = 99) -> RoundOpen:
    work = Work.EVALUATE | Work.TRAIN
    crc = zlib.crc32(BLOB)
    return RoundOpen(number, DIGEST[:8], tag, len(BLOB), crc, 5, 1 << 14, -3, 1, 1, 0, work)


class Bench:
    """A session and a device on a perfect line, one millisecond after the other."""

    def __init__(self, traits: Traits = TRAITS) -> None:
        self.traits = traits
        self.ms = 0
        self.device: DeviceModel | None = DeviceModel(traits)
        expected = Expected(TRAITS.device, TRAITS.model_digest, Shape(SEGMENTS))
        self.session = DeviceSession(expected, 42, 0.0, Patience())
        self.events: list[DeviceEvent] = []
        self.sent: list[Frame] = []
        self._spy = FrameDecoder()

    def run(self, milliseconds: int = 400) -> Bench:
        for _ in range(milliseconds):
            self.ms += 1
            now = self.ms / 1000
            if self.device:
                self.events += self.session.receive(self.device.take(self.ms), now)
            self.events += self.session.tick(now)
            while data := self.session.take(now):
                self.sent += [f for f in self._spy.feed(data) if isinstance(f, Frame)]
                if self.device:
                    self.device.receive(data, self.ms)
        return self

    def of(self, kind: type) -> list[DeviceEvent]:
        return [e for e in self.events if isinstance(e, kind)]

    def open(self, wanted: RoundOpen | None = None) -> Bench:
        self.session.open_round(wanted or terms(), BLOB, self.ms / 1000)
        return self


def test_device_that_fits_joins_once() -> None:
    bench = Bench().run()
    assert bench.of(Joined) == [Joined(7, 20, 10, 0, 1)]
    assert bench.session.ready


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"version": 2}, "version", "wire versions 2 to 2, not 1"),
        ({"schema_hash": 1}, "schema", "schema 00000001"),
        ({"device": 8}, "identity", "says that it is device 8"),
        ({"model_digest": b"otherone"}, "model", "6f746865726f6e65"),
        ({"problem": ErrorCode.BAD_IMAGE}, "problem", "bad_image: its data image is missing"),
        ({"problem": 77}, "problem", "it reports 77"),
    ],
)
def test_device_that_does_not_fit_is_refused_by_name(
    change: dict[str, object], code: str, words: str
) -> None:
    bench = Bench(dataclasses.replace(TRAITS, **change)).run()  # type: ignore[arg-type]
    (refused,) = bench.of(Refused)
    assert isinstance(refused, Refused)
    assert refused.code == code
    assert words in refused.reason
    assert not bench.of(Joined)
    bench.open().run()
    assert not [f for f in bench.sent if f.type == RoundOpen.ID]


def test_round_brings_the_update_that_the_device_made() -> None:
    bench = Bench().run().open().run()
    (arrived,) = bench.of(Arrived)
    assert isinstance(arrived, Arrived)
    assert (arrived.round, arrived.update.samples, arrived.update.version_tag) == (1, 20, 99)
    assert len(arrived.update.deltas) == 27


def test_round_needs_no_more_uplink_frames_than_one_ack_and_the_update() -> None:
    bench = Bench().run()
    before = bench.session.bytes_in
    bench.open().run()
    ack, update = 6 + 16 + 2, 22 + 2 + 27 + 2 + 6 + 16 + 2
    assert bench.session.bytes_in - before == ack + update


def test_damaged_update_is_reported_and_not_delivered() -> None:
    def damage(blob: bytes) -> bytes:
        return blob[:-1] + bytes([blob[-1] ^ 1])

    bench = Bench(dataclasses.replace(TRAITS, spoil=damage)).run().open().run()
    assert not bench.of(Arrived)
    assert [e.reason for e in bench.of(Spoiled)] == ["the update's CRC does not match its bytes"]


def test_update_for_another_version_is_reported_and_not_delivered() -> None:
    def retag(blob: bytes) -> bytes:
        header = dataclasses.replace(UpdateHeader.unpack(blob[:22]), version_tag=98, crc=0)
        rest = header.pack()[4:] + blob[22:]
        return zlib.crc32(rest).to_bytes(4, "little") + rest

    bench = Bench(dataclasses.replace(TRAITS, spoil=retag)).run().open().run()
    assert not bench.of(Arrived)
    assert [e.reason for e in bench.of(Spoiled)] == ["an update for version 0x62"]


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (ErrorCode.NO_DATA, "no samples"),
        (ErrorCode.WRONG_MODEL, "another model"),
        (ErrorCode.UNSUPPORTED, "cannot do"),
        (ErrorCode.BAD_MESSAGE, "does not accept"),
    ],
)
def test_device_that_refuses_the_work_is_reported_once(code: ErrorCode, words: str) -> None:
    bench = Bench(dataclasses.replace(TRAITS, refuses=code)).run().open().run()
    (unable,) = bench.of(Unable)
    assert isinstance(unable, Unable)
    assert words in unable.reason


def test_parameters_that_always_arrive_damaged_end_the_round_for_the_device() -> None:
    bench = Bench().run()
    bench.open(dataclasses.replace(terms(), blob_crc=1)).run(3000)
    assert [e.reason for e in bench.of(Unable)] == ["the parameters arrive damaged again and again"]


def test_reboot_in_mid_round_starts_the_round_again() -> None:
    bench = Bench(dataclasses.replace(TRAITS, work_ms=200)).run().open().run(50)
    bench.device = DeviceModel(bench.traits, boots=1)
    bench.run(1000)
    assert bench.of(Rebooted) == [Rebooted(7, 2)]
    assert len(bench.of(Arrived)) == 1


def test_reboot_whose_hello_was_lost_is_noticed_by_its_first_refusal() -> None:
    bench = Bench(dataclasses.replace(TRAITS, work_ms=200)).run().open().run(50)
    bench.device = DeviceModel(bench.traits, boots=1)
    bench.device.take(0)  # its HELLO goes nowhere
    bench.run(8000)
    assert bench.of(Rebooted) == [Rebooted(7, 2)]
    assert len(bench.of(Arrived)) == 1


def test_device_that_never_answers_is_lost_once_and_asked_on() -> None:
    bench = Bench()
    bench.device = None
    bench.run(60_000)
    (lost,) = bench.of(Lost)
    assert isinstance(lost, Lost)
    assert lost.reason == "it never answered for 20 s"
    bench.device = DeviceModel(bench.traits)
    bench.run(6000)
    assert len(bench.of(Joined)) == 1


def test_silent_device_is_asked_whether_it_lives_before_it_is_given_up() -> None:
    bench = Bench(dataclasses.replace(TRAITS, work_ms=10**9)).run().open().run(100)
    assert not [f for f in bench.sent if f.type == StatusRequest.ID]
    bench.run(30_000)
    assert not bench.of(Lost), "it answers, so it lives"
    asked = len([f for f in bench.sent if f.type == StatusRequest.ID])
    assert 4 <= asked <= 7
    bench.device = None
    bench.run(30_000)
    assert len(bench.of(Lost)) == 1


def test_idle_device_is_left_alone() -> None:
    bench = Bench().run()
    sent = len(bench.sent)
    bench.run(60_000)
    assert len(bench.sent) == sent
    assert not bench.of(Lost)


def test_lost_device_that_is_heard_again_goes_on_where_it_was() -> None:
    bench = Bench(dataclasses.replace(TRAITS, work_ms=200)).run().open().run(50)
    kept, bench.device = bench.device, None
    bench.run(25_000)
    assert len(bench.of(Lost)) == 1
    bench.device = kept
    bench.run(10_000)
    assert len(bench.of(Arrived)) == 1
    assert len(bench.of(Joined)) == 2


def idle(device: DeviceModel) -> DeviceModel:
    device.phase = Phase.IDLE
    return device


def rebooted(device: DeviceModel) -> DeviceModel:
    fresh = DeviceModel(device.traits, boots=1)
    fresh.take(0)  # its HELLO goes nowhere
    return fresh


@pytest.mark.parametrize("comes_back", [idle, rebooted])
def test_lost_device_that_came_back_without_a_word_is_found(
    comes_back: Callable[[DeviceModel], DeviceModel],
) -> None:
    bench = Bench(dataclasses.replace(TRAITS, work_ms=200)).run().open().run(50)
    kept, bench.device = bench.device, None
    bench.run(25_000)
    assert len(bench.of(Lost)) == 1
    assert kept
    bench.device = comes_back(kept)
    bench.run(8000)
    assert len(bench.of(Joined)) == 2
    assert len(bench.of(Arrived)) == 1


def test_link_that_ends_loses_the_device_for_good() -> None:
    bench = Bench().run()
    assert bench.session.hang_up("gone") == [Lost(7, "gone")]
    assert bench.session.hang_up("gone") == []


def test_update_is_repeated_to_a_host_that_lost_its_own_acknowledgement() -> None:
    bench = Bench().run().open().run()
    assert bench.device
    assert bench.device.sender
    bench.device.sender.resume(0)
    bench.device.phase = bench.device.phase.__class__.SENDING
    acks = len([f for f in bench.sent if f.type == Ack.ID])
    bench.run(100)
    assert len([f for f in bench.sent if f.type == Ack.ID]) == acks + 1
    assert len(bench.of(Arrived)) == 1


def test_receipt_frees_the_device() -> None:
    bench = Bench().run().open().run()
    bench.session.receipt(1, Verdict.ACCEPTED)
    bench.run(5)
    assert bench.device
    assert bench.device.phase == 0


def test_abandoned_round_is_aborted_on_the_device() -> None:
    bench = Bench(dataclasses.replace(TRAITS, work_ms=10**9)).run().open().run(50)
    bench.session.abandon_round()
    bench.run(5)
    assert [f.type for f in bench.sent][-1] == Abort.ID
    assert bench.device
    assert bench.device.phase == 0


def test_frames_of_other_sessions_and_unknown_messages_are_passed_over() -> None:
    bench = Bench().run().open()
    stray = encode_message(Ack(1, 60), session=41, seq=0)
    unknown = encode_frame(Frame(0x7F, 42, 0, b"?"))
    short = encode_frame(Frame(Ack.ID, 42, 0, b"?"))
    foreign = encode_message(Ack(9, 10**6), session=42, seq=0)
    assert bench.session.receive(stray + unknown + short + foreign, 1.0) == []
    assert bench.session.passed_over() == (
        "3 frames passed over: a message that is none (2), a session that is not this one (1)"
    )
    assert bench.session.passed_over() == ""
    assert len(bench.run().of(Arrived)) == 1


@settings(deadline=None)
@given(st.binary(max_size=300))
def test_garbage_never_harms(data: bytes) -> None:
    bench = Bench().run().open()
    bench.session.receive(data, 0.4)
    bench.session.receive(b"\x00", 0.4)
    assert len(bench.run(3000).of(Arrived)) == 1


def test_text_on_the_line_is_passed_on_and_noise_is_not() -> None:
    bench = Bench().run()
    events = bench.session.receive(b"panic: stack overflow\r\n\x00\xff\xfe\xfd\x80\x00", 1.0)
    assert events == [Printed(7, "panic: stack overflow")]


# --- Updates -------------------------------------------------------------------------------------


def blob(body: bytes, **header: int) -> bytes:
    fields = {
        "crc": 0,
        "round": 1,
        "version_tag": 2,
        "samples": 3,
        "eval_samples": 4,
        "eval_correct": 4,
        "eval_loss": 0,
        "train_loss": 0,
        **header,
    }
    rest = UpdateHeader(**fields).pack()[4:] + body
    return zlib.crc32(rest).to_bytes(4, "little") + rest


GOOD = bytes([25, 9]) + bytes(27) + bytes([0, 255])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (blob(GOOD)[:-1], "an update of 52 bytes"),
        (blob(GOOD + b"x"), "an update of 54 bytes"),
        (blob(b"\x1a" + GOOD[1:]), "bias delta with the exponent 26"),
        (blob(b"\x19\x0a" + GOOD[2:]), "weight delta with the exponent 10"),
        (blob(GOOD[:-3] + b"\x80" + GOOD[-2:]), "a delta of -128"),
        (blob(GOOD, samples=0), "trained on no samples"),
        (blob(GOOD, eval_correct=5), "5 of 4 held-out samples"),
        (b"\x00" + blob(GOOD)[1:], "CRC"),
    ],
)
def test_update_that_no_device_makes_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(WireError, match=words):
        read_update(data, Shape(SEGMENTS), Work.TRAIN)


def test_statistics_follow_the_deltas() -> None:
    shape = Shape(SEGMENTS, ranges=2)
    numbers = bytes([3, 0, 9, 1, 255, 255])
    update = read_update(blob(GOOD[:-2] + numbers + GOOD[-2:]), shape, Work.TRAIN)
    assert (update.measured, update.clipped, update.saturated) == (3, (265, 65535), (0, 255))
    assert len(update.deltas) == 27
    update = read_update(blob(numbers), shape, Work.MEASURE)
    assert (update.measured, update.clipped, update.saturated) == (3, (265, 65535), ())
    assert len(update.deltas) == 0
    update = read_update(blob(GOOD), Shape(SEGMENTS), Work.TRAIN)
    assert (update.measured, update.clipped, update.saturated) == (0, (), (0, 255))


def test_evaluation_is_the_header_alone() -> None:
    update = read_update(blob(b"", samples=0), Shape(SEGMENTS), Work.EVALUATE)
    assert (update.eval_correct, update.exponents, len(update.deltas)) == (4, (), 0)
