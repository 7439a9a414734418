# SPDX-License-Identifier: Apache-2.0
"""Making the keyword training set: the same from every source, and refusals that help."""

from __future__ import annotations

import json
import tarfile
from typing import TYPE_CHECKING

import numpy as np
import pytest

from support.wav import write_wav

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

WORDS = ("bed", "cat", "happy")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four speakers: 00.. and 11.. say each word twice, 22.. once, 33.. leaves one out."""
    root = tmp_path_factory.mktemp("speech")
    noise = np.random.RandomState(0)
    takes = {
        "00000000": (2, 2, 2),
        "11111111": (2, 2, 2),
        "22222222": (1, 1, 1),
        "3333333f": (3, 3),
    }
    for speaker, counts in takes.items():
        for word, count in zip(WORDS, counts, strict=False):
            (root / word).mkdir(exist_ok=True)
            for take in range(count):
                samples = noise.randint(-3000, 3000, 8000).astype(np.int16)
                write_wav(root / word / f"{speaker}_nohash_{take}.wav", samples)
    write_wav(root / "bed" / "other_recording.wav", np.ones(9, np.int16))
    return root


@pytest.fixture(scope="module")
def archive(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "speech.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(folder, arcname=".")
    return path


@pytest.fixture
def run(prepare: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    def command(*arguments: object) -> int:
        monkeypatch.setattr("sys.argv", ["prepare.py", *map(str, arguments)])
        return int(prepare.main())

    return command


def test_folder_and_archive_give_the_same_clips(
    prepare: ModuleType, folder: Path, archive: Path
) -> None:
    for first, second in zip(
        prepare.read_source(folder, WORDS), prepare.read_source(archive, WORDS), strict=True
    ):
        assert (first.word, first.speaker, first.take) == (second.word, second.speaker, second.take)
        np.testing.assert_array_equal(first.features, second.features)


def test_stored_features_give_the_same_split(
    prepare: ModuleType, folder: Path, tmp_path: Path
) -> None:
    clips = prepare.read_source(folder, WORDS)
    users = sorted({clip.speaker for clip in clips})
    np.savez(
        tmp_path / "features.npz",
        x=np.stack([clip.features for clip in clips]),
        y=np.array([clip.word for clip in clips]),
        user=np.array([users.index(clip.speaker) for clip in clips]),
        take=np.array([clip.take for clip in clips]),
        meta=np.array(json.dumps({"classes": WORDS, "users": users})),
    )
    stored = prepare.read_source(tmp_path / "features.npz", WORDS)
    speakers = prepare.choose_speakers(clips, 3, 3)
    first, second = (prepare.arrange(c, speakers, 0) for c in (clips, stored[::-1]))
    for name in ("x", "y", "user", "test"):
        np.testing.assert_array_equal(first[name], second[name])


def test_speakers_with_most_clips_come_first_and_only_those_who_said_every_word(
    prepare: ModuleType, folder: Path
) -> None:
    clips = prepare.read_source(folder, WORDS)
    assert prepare.choose_speakers(clips, 3, 3) == ["00000000", "11111111", "22222222"]
    with pytest.raises(prepare.SourceError, match="only 3 said all 3 words"):
        prepare.choose_speakers(clips, 4, 3)


def test_every_speaker_is_a_board_and_holds_something_out(
    prepare: ModuleType, folder: Path
) -> None:
    clips = prepare.read_source(folder, WORDS)
    arrays = prepare.arrange(clips, ["00000000", "11111111", "22222222"], 0)
    assert arrays["x"].shape == (15, 49, 10, 1)
    assert arrays["x"].dtype == np.float32
    held_out = [int(arrays["test"][arrays["user"] == u].sum()) for u in np.unique(arrays["user"])]
    assert held_out == [2, 2, 1]


def test_fewer_boards_than_speakers_share_them(prepare: ModuleType, folder: Path) -> None:
    clips = prepare.read_source(folder, WORDS)
    arrays = prepare.arrange(clips, ["00000000", "11111111", "22222222"], 2)
    boards, counts = np.unique(arrays["user"], return_counts=True)
    assert boards.tolist() == ["board000", "board001"]
    assert counts.tolist() == [9, 6]


def test_the_command_writes_one_file_and_says_what_is_in_it(
    run: Callable[..., int],
    folder: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "keywords.npz"
    assert run(folder, "-o", output, "--speakers", 2) == 0
    assert "8 clips to train, 4 held out, 2 speakers on 2 boards" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["keywords.npz"]
    with np.load(output, allow_pickle=False) as data:
        assert json.loads(str(data["meta"]))["classes"] == list(WORDS)


@pytest.mark.parametrize(
    "case",
    [
        ("missing.tar.gz", None, "no such file"),
        ("text.tar.gz", b"not an archive", "not a readable"),
        ("empty.tar.gz", b"", "not a readable"),
    ],
)
def test_a_source_that_is_none_is_refused_without_output(
    run: Callable[..., int],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    case: tuple[str, bytes | None, str],
) -> None:
    name, content, said = case
    source = tmp_path / name
    if content is not None:
        source.write_bytes(content)
    output = tmp_path / "keywords.npz"
    assert run(source, "-o", output) == 2
    assert said in capsys.readouterr().err
    assert not output.exists()


def test_a_folder_without_a_word_names_it(prepare: ModuleType, folder: Path) -> None:
    with pytest.raises(prepare.SourceError, match="dog"):
        prepare.read_source(folder, ("bed", "dog"))


def test_an_npz_without_features_names_what_is_missing(prepare: ModuleType, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((1, 49, 10)))
    with pytest.raises(prepare.SourceError, match="meta, take, user, y"):
        prepare.read_source(tmp_path / "a.npz", WORDS)


def test_a_damaged_clip_is_named_once(prepare: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "bed").mkdir()
    (tmp_path / "bed" / "00000000_nohash_0.wav").write_bytes(b"RIFF")
    with pytest.raises(prepare.AudioError) as caught:
        prepare.read_source(tmp_path, ("bed",))
    assert str(caught.value).count("00000000_nohash_0.wav") == 1


def test_the_shared_features_make_the_example_s_set(prepare: ModuleType, shared_data: Path) -> None:
    source = shared_data / "datasets" / "speech_commands_3words_mfcc.npz"
    clips = prepare.read_source(source, WORDS)
    arrays = prepare.arrange(clips, prepare.choose_speakers(clips, 61, 3), 0)
    assert len(np.unique(arrays["user"])) == 61
    assert int(arrays["test"].sum()) == 122
    assert len(arrays["y"]) == 416
