# SPDX-License-Identifier: Apache-2.0
"""Whole runs over real sockets and a real ledger, with devices that misbehave."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fleetgrad.errors import ConfigError, FleetError, LinkClosed, RoundError, StoreError, UsageError
from fleetgrad.link import SocketLink
from fleetgrad.results import RunStarted
from fleetgrad.run import summarise
from fleetgrad.run.prepare import gather
from fleetgrad.store import Store
from fleetgrad.wire.messages import ErrorCode, UpdateHeader
from support.federation import (
    ModelFleet,
    project,
    write_bundle,
    write_data,
)
from support.runs import Diary, StopError, events, expected, run, stopping

EVEN = np.arange(48) % 2 == 0


# --- Runs that go well ---------------------------------------------------------------------------


def test_run_ends_with_the_model_that_the_definition_gives(tmp_path: Path) -> None:
    config = project(tmp_path)
    result = run(config)
    assert result.model_digest == expected(config)
    assert [r.accepted for r in result.rounds] == [(1, 2, 3, 4)] * 3


def test_result_has_the_promised_keys(tmp_path: Path) -> None:
    document = json.loads(json.dumps(run(project(tmp_path)).to_json()))
    assert sorted(document) == [
        "accuracy_after", "accuracy_before", "fleet", "model_digest", "rounds", "run_id",
    ]  # fmt: skip
    assert sorted(document["rounds"][0]) == [
        "accepted", "accuracy", "bytes_down", "bytes_up", "clipped", "dropped", "loss", "round",
        "saturated", "seconds", "selected",
    ]  # fmt: skip


def test_accuracy_of_a_round_is_what_the_next_one_measures(tmp_path: Path) -> None:
    result = run(project(tmp_path))
    starts = [r.accuracy_at_start for r in result.rounds]
    assert result.accuracy_before == starts[0]
    assert [r.accuracy for r in result.rounds] == [*starts[1:], result.accuracy_after]


def test_observer_is_told_in_order(tmp_path: Path) -> None:
    diary = Diary()
    result = run(project(tmp_path), diary=diary)
    assert diary.started == RunStarted(result.run_id, "virtual", 4, 3, 1, resumed=False)
    assert sorted(diary.ready) == [1, 2, 3, 4]
    assert diary.opened == [(1, False), (2, False), (3, False), (4, True)]
    assert [r.round for r in diary.closed] == [1, 2, 3]
    assert len(diary.accepted) == 16
    closed = [replace(r, accuracy=None) for r in result.rounds]
    assert [replace(r, accuracy=None) for r in diary.closed] == closed


def test_same_run_again_is_a_new_run_with_the_same_model(tmp_path: Path) -> None:
    config = project(tmp_path)
    first, second = run(config), run(config)
    assert first.model_digest == second.model_digest
    assert (first.run_id[-2:], second.run_id[-2:]) == ("-1", "-2")
    assert not second.resumed


def test_run_can_start_from_the_current_version(tmp_path: Path) -> None:
    config = project(tmp_path)
    first = run(config)
    second = run(project(tmp_path, "run.start=current"))
    assert second.accuracy_before == first.accuracy_after
    assert second.model_digest != first.model_digest


def test_only_a_drawn_share_is_asked(tmp_path: Path) -> None:
    result = run(project(tmp_path, "rounds.fraction=0.5"))
    assert [len(r.selected) for r in result.rounds] == [2, 2, 2]
    assert {d.rounds for d in result.devices} != {3}


def test_log_of_a_finished_run_can_be_read_later(tmp_path: Path) -> None:
    config = project(tmp_path)
    result = run(config)
    with Store(config.run.dir, writing=False) as store:
        assert summarise(store, result.run_id) == result


def test_empty_device_is_reported_and_left_out(tmp_path: Path) -> None:
    write_data(tmp_path / "data.npz", test=np.repeat([True, False, False, False], 12))
    diary = Diary()
    config = project(tmp_path)
    result = run(config, diary=diary)
    assert "left out" in diary.notices[0]
    assert result.devices[0].left_out == "it has no samples to train on"
    assert result.rounds[0].selected == (2, 3, 4)
    assert ("empty", 1) in events(config, result.run_id)


# --- Devices that misbehave ----------------------------------------------------------------------


class Muted:
    """A link from which nothing ever comes."""

    def __init__(self, link: SocketLink) -> None:
        self._link = link

    def fileno(self) -> int:
        return self._link.fileno()

    def read(self) -> bytes:
        self._link.read()
        return b""

    def write(self, data: bytes) -> int:
        return self._link.write(data)

    def close(self) -> None:
        self._link.close()


class Cut(Muted):
    """A link that ends after so many reads."""

    def __init__(self, link: SocketLink, reads: int) -> None:
        super().__init__(link)
        self._reads = reads

    def read(self) -> bytes:
        self._reads -= 1
        if self._reads < 0:
            raise LinkClosed("the link was closed at the other end")
        return self._link.read()


class Noisy(Muted):
    """A link on which a boot log comes again and again, between the frames."""

    def read(self) -> bytes:
        return b"ets Jun  8 2016, rst cause 2\r\n\0" * 100 + self._link.read()


def only(device: int, **changes: Any) -> Any:
    return lambda traits: replace(traits, **changes) if traits.device == device else traits


def third(wrap: Any) -> Any:
    """Wraps the third link only."""
    seen = []

    def maybe(link: SocketLink) -> Any:
        seen.append(link)
        return wrap(link) if len(seen) == 3 else link

    return maybe


def test_board_that_never_answers_is_dropped_and_named(tmp_path: Path) -> None:
    config = project(tmp_path, "rounds.timeout_s=1")
    result = run(config, ModelFleet(wrap=third(Muted)))
    assert [r.accepted for r in result.rounds] == [(1, 2, 4)] * 3
    assert "never answered" in result.rounds[0].dropped[0].reason
    assert ("lost", 3) in events(config, result.run_id)


def test_boot_logs_between_frames_disturb_nothing_and_are_told_with_measure(tmp_path: Path) -> None:
    config = project(tmp_path)
    diary = Diary()
    assert run(config, ModelFleet(wrap=third(Noisy)), diary=diary).model_digest == expected(config)
    assert diary.notices[0] == "device 3 printed: ets Jun  8 2016, rst cause 2"
    assert diary.notices[-1] == "device 3 prints on; the rest is not shown"
    assert len(diary.notices) == 33


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"model_digest": b"otherone"}, "runs the model"),
        ({"schema_hash": 3}, "schema"),
        ({"version": 9}, "wire versions"),
        ({"problem": int(ErrorCode.BAD_IMAGE)}, "bad_image"),
    ],
)
def test_device_that_does_not_fit_is_left_out_with_the_reason(
    tmp_path: Path, changes: dict[str, Any], words: str
) -> None:
    config = project(tmp_path)
    result = run(config, ModelFleet(bend=only(3, **changes)))
    assert [r.accepted for r in result.rounds] == [(1, 2, 4)] * 3
    assert words in result.devices[2].left_out
    assert ("refused", 3) in events(config, result.run_id)


def test_device_refused_by_an_interrupted_run_is_told_and_has_another_chance(
    tmp_path: Path,
) -> None:
    config = project(tmp_path)
    with pytest.raises(StopError):
        run(config, services=stopping(4, after=True))
    with pytest.raises(StopError):
        run(config, ModelFleet(bend=only(3, schema_hash=3)), stopping(4, after=True))
    with Store(config.run.dir, writing=False) as store:
        (row,) = store.ledger.runs()
        assert "schema" in store.ledger.devices(row.run_id)[2].left_out
    assert run(config).devices[2].left_out == ""


def test_users_without_held_out_samples_are_not_asked_to_evaluate(tmp_path: Path) -> None:
    write_data(tmp_path / "data.npz", test=np.repeat([False, False, True, False], 12) & EVEN)
    diary = Diary()
    result = run(project(tmp_path), diary=diary)
    assert diary.notices == []
    assert [r.accepted for r in result.rounds] == [(1, 2, 3, 4)] * 3
    assert result.accuracy_after is not None
    write_data(tmp_path / "data.npz", test=np.zeros(48, bool))
    result = run(project(tmp_path), diary=diary)
    assert diary.notices == []
    assert result.accuracy_after is None
    assert len(result.model_digest) == 64


def test_update_that_claims_more_samples_than_there_are_never_counts(tmp_path: Path) -> None:
    def boast(blob: bytes) -> bytes:
        header = replace(UpdateHeader.unpack(blob[: UpdateHeader.BYTES]), samples=65535)
        rest = header.pack()[4:] + blob[UpdateHeader.BYTES :]
        return zlib.crc32(rest).to_bytes(4, "little") + rest

    result = run(project(tmp_path), ModelFleet(bend=only(2, spoil=boast)))
    assert [r.accepted for r in result.rounds] == [(1, 3, 4)] * 3
    reason = result.rounds[0].dropped[0].reason
    assert reason == "an update from 65535 training samples of a device that holds 9"


def test_spoilt_update_never_counts(tmp_path: Path) -> None:
    def spoil(blob: bytes) -> bytes:
        return blob[:-1] + bytes([blob[-1] ^ 1])

    result = run(project(tmp_path), ModelFleet(bend=only(2, spoil=spoil)))
    assert [r.accepted for r in result.rounds] == [(1, 3, 4)] * 3
    assert result.rounds[0].dropped[0].reason == "the update's CRC does not match its bytes"


def test_device_whose_process_ends_is_dropped(tmp_path: Path) -> None:
    config = project(tmp_path)
    result = run(config, ModelFleet(wrap=third(lambda link: Cut(link, 4))))
    assert all(3 not in r.accepted for r in result.rounds[1:])
    assert "closed at the other end" in result.rounds[1].dropped[0].reason


def test_too_few_updates_fail_by_name_and_the_next_run_goes_on(tmp_path: Path) -> None:
    config = project(tmp_path, "rounds.min_updates=4", "rounds.timeout_s=0.6", "rounds.retries=0")
    refuse = ModelFleet(bend=only(2, refuses=ErrorCode.FAILED))
    with pytest.raises(
        RoundError, match=r"round 1 has 3 of the 4(?s:.)*device 2: a kernel"
    ) as caught:
        run(config, refuse)
    assert caught.value.exit_code == 1
    assert refuse.stopped == 1
    diary = Diary()
    result = run(config, diary=diary)
    assert result.resumed
    assert [device for number, device in diary.accepted if number == 1] == [2], "three were kept"
    assert result.model_digest == expected(config)


def test_repetition_is_told(tmp_path: Path) -> None:
    config = project(tmp_path, "rounds.min_updates=4", "rounds.timeout_s=0.4", "rounds.retries=2")
    with pytest.raises(RoundError):
        run(config, ModelFleet(bend=only(2, refuses=ErrorCode.FAILED)))
    with Store(config.run.dir, writing=False) as store:
        story = store.ledger.events()
        assert [e.kind for e in story].count("repeated") == 2
        assert store.ledger.rounds(store.ledger.runs()[0].run_id)[0].attempt == 2


def test_traffic_of_a_repeated_round_is_all_counted(tmp_path: Path) -> None:
    config = project(tmp_path, "rounds.min_updates=4")
    fleet = ModelFleet(bend=only(2, refuses=ErrorCode.FAILED))

    class Healer(Diary):
        def notice(self, text: str) -> None:
            if "it is repeated" in text:
                fleet.models[2].traits = replace(fleet.models[2].traits, refuses=None)

    first, second, _ = run(config, fleet, diary=Healer()).rounds
    assert first.accepted == (1, 2, 3, 4)
    assert first.bytes_up >= second.bytes_up
    assert first.bytes_down >= second.bytes_down


def test_no_device_at_all_is_a_named_failure(tmp_path: Path) -> None:
    config = project(tmp_path, "rounds.timeout_s=1")
    with pytest.raises(FleetError, match=r"no device answers(?s:.)*never answered"):
        run(config, ModelFleet(wrap=Muted))


# --- Inputs that do not fit ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("override", "changes", "error", "words"),
    [
        ("train.batch=5", {}, ConfigError, "more than the firmware collects"),
        ("rounds.min_updates=5", {}, ConfigError, "can never be reached"),
        ("train.batch=1", {"loss": "none"}, UsageError, "can only infer"),
    ],
)
def test_inputs_that_do_not_fit_change_nothing(
    tmp_path: Path, override: str, changes: dict[str, Any], error: type, words: str
) -> None:
    config = project(tmp_path, override)
    write_bundle(tmp_path / "bundle", **changes)
    with pytest.raises(error, match=words) as caught:
        run(config)
    assert caught.value.exit_code == 2
    assert not config.run.dir.exists()


def test_data_set_that_is_not_named_is(tmp_path: Path) -> None:
    config = project(tmp_path)
    config = replace(config, data=replace(config.data, path=Path()))
    with pytest.raises(ConfigError, match="no data set is named"):
        gather(config, tmp_path / "bundle")


def test_run_directory_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(StoreError, match="File exists while making the run directory"):
        run(project(tmp_path))
