# SPDX-License-Identifier: Apache-2.0
"""Makes the training set of the keyword example: features, word, speaker, held out or not.

    python prepare.py SOURCE -o keywords.npz [--speakers 61] [--boards 0]

SOURCE is Google's Speech Commands archive (speech_commands_v0.01.tar.gz), the folder it unpacks to,
or an .npz of features (arrays x, y, user, take, and meta with classes and users).
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from features import AudioError, mfcc, read_wav
from numpy.typing import NDArray

WORDS = ("bed", "cat", "happy")
SPEAKERS = 61
HELD_OUT = 0.25


class SourceError(ValueError):
    """A source that no training set can be made from; the message says what is missing."""


@dataclass(frozen=True)
class Clip:
    """One spoken word.

    Attributes:
        word: Index into the words.
        speaker: Eight hexadecimal digits, as the data set names its speakers.
        take: How often the speaker had said the word before.
        features: Shape (49, 10), float32.
    """

    word: int
    speaker: str
    take: int
    features: NDArray[np.float32]


def from_folder(folder: Path, words: Sequence[str]) -> list[Clip]:
    """Reads <word>/<speaker>_nohash_<take>.wav below a folder.

    Raises:
        SourceError: When a word has no folder or no clips.
        AudioError: When a file is not such a sound.
    """
    clips = []
    for number, word in enumerate(words):
        paths = sorted((folder / word).glob("*_nohash_*.wav"))
        if not paths:
            raise SourceError(
                f"{folder / word}: no <speaker>_nohash_<take>.wav files; expected the folder that "
                "speech_commands_v0.01.tar.gz unpacks to"
            )
        for path in paths:
            speaker, _, take = path.stem.split("_")
            try:
                features = mfcc(read_wav(path))
            except AudioError as error:
                raise AudioError(f"{path}: {error}") from error
            clips.append(Clip(number, speaker, int(take), features.astype(np.float32)))
    return clips


def from_archive(archive: Path, words: Sequence[str]) -> list[Clip]:
    """Reads the same out of a .tar.gz, of which only the wanted words are unpacked.

    Raises:
        SourceError: When it is not such an archive.
        AudioError: When a file in it is not such a sound.
    """
    with tempfile.TemporaryDirectory() as scratch:
        try:
            with tarfile.open(archive) as tar:
                tar.extractall(scratch, members=_wanted(tar, words), filter="data")
        except (tarfile.TarError, EOFError) as error:
            raise SourceError(f"{archive}: not a readable .tar archive ({error})") from error
        try:
            return from_folder(Path(scratch), words)
        except SourceError as error:
            raise SourceError(
                f"{archive}: no clips of {', '.join(words)}; expected speech_commands_v0.01.tar.gz"
            ) from error


def _wanted(tar: tarfile.TarFile, words: Sequence[str]) -> Iterator[tarfile.TarInfo]:
    for member in tar:
        path = Path(member.name)
        if member.isfile() and path.suffix == ".wav" and path.parent.name in words:
            yield member.replace(name=f"{path.parent.name}/{path.name}")


def from_features(path: Path, words: Sequence[str]) -> list[Clip]:
    """Reads features that are computed already.

    Raises:
        SourceError: When arrays or words are missing.
    """
    with np.load(path, allow_pickle=False) as data:
        missing = sorted({"x", "y", "user", "take", "meta"} - set(data.files))
        if missing:
            raise SourceError(f"{path}: no array {', '.join(missing)}")
        x, y, user, take = (data[name] for name in ("x", "y", "user", "take"))
        meta = json.loads(str(data["meta"]))
    unknown = [word for word in words if word not in meta["classes"]]
    if unknown:
        raise SourceError(f"{path}: knows {', '.join(meta['classes'])}; not {', '.join(unknown)}")
    number = {meta["classes"].index(word): index for index, word in enumerate(words)}
    return [
        Clip(number[int(y[i])], meta["users"][int(user[i])], int(take[i]), x[i].astype(np.float32))
        for i in range(len(x))
        if int(y[i]) in number
    ]


def choose_speakers(clips: Sequence[Clip], count: int, words: int) -> list[str]:
    """The speakers with most clips among those who said every word; ties go by name.

    Raises:
        SourceError: When there are fewer.
    """
    said: dict[str, set[int]] = {}
    for clip in clips:
        said.setdefault(clip.speaker, set()).add(clip.word)
    clips_of = Counter(clip.speaker for clip in clips)
    complete = sorted(
        (speaker for speaker, spoken in said.items() if len(spoken) == words),
        key=lambda speaker: (-clips_of[speaker], speaker),
    )
    if len(complete) < count:
        raise SourceError(
            f"{count} speakers wanted, but only {len(complete)} said all {words} words; "
            f"--speakers {len(complete)} takes them all"
        )
    return complete[:count]


def arrange(
    clips: Sequence[Clip], speakers: Sequence[str], boards: int
) -> dict[str, NDArray[np.generic]]:
    """The arrays of the training set.

    A quarter of a speaker's clips, at least one, is held out; which ones depends on nothing but
    their names, so that every source gives the same split.

    Args:
        clips: Of everybody.
        speakers: Who takes part.
        boards: Deals the speakers to so many boards in turn; 0 gives each speaker a board.

    Returns:
        x float32 (n, 49, 10, 1), y uint8, user (the board: text) and test, each (n,).
    """
    kept = []
    for index, speaker in enumerate(speakers):
        mine = sorted((c for c in clips if c.speaker == speaker), key=_rank)
        held_out = max(1, round(HELD_OUT * len(mine)))
        board = f"board{index % boards:03d}" if boards else speaker
        kept += [(clip, board, place < held_out) for place, clip in enumerate(mine)]
    kept.sort(key=lambda entry: (entry[1], entry[0].speaker, entry[0].word, entry[0].take))
    return {
        "x": np.stack([clip.features for clip, _, _ in kept])[..., np.newaxis],
        "y": np.array([clip.word for clip, _, _ in kept], np.uint8),
        "user": np.array([board for _, board, _ in kept]),
        "test": np.array([test for _, _, test in kept]),
    }


def _rank(clip: Clip) -> bytes:
    return hashlib.sha256(f"{clip.speaker}/{clip.word}/{clip.take}".encode()).digest()


def read_source(source: Path, words: Sequence[str]) -> list[Clip]:
    """Reads any of the three sources.

    Raises:
        SourceError: When there is nothing to read, or not what was expected.
        AudioError: When a clip is not such a sound.
    """
    if source.is_dir():
        return from_folder(source, words)
    if not source.is_file():
        raise SourceError(f"{source}: no such file or folder; README.md says where to get it")
    return from_features(source, words) if source.suffix == ".npz" else from_archive(source, words)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="archive, unpacked folder or .npz of features")
    parser.add_argument("-o", "--output", type=Path, default=Path("keywords.npz"))
    parser.add_argument("--words", nargs="+", default=list(WORDS), help="the classes, in order")
    parser.add_argument("--speakers", type=int, default=SPEAKERS, help="those with most clips")
    parser.add_argument("--boards", type=int, default=0, help="0: one for every speaker")
    given = parser.parse_args()
    try:
        clips = read_source(given.source, given.words)
        speakers = choose_speakers(clips, given.speakers, len(given.words))
    except (SourceError, AudioError) as error:
        print(error, file=sys.stderr)
        return 2
    arrays = arrange(clips, speakers, given.boards)
    meta = {
        "attribution": "P. Warden: Speech Commands v0.01 (2017), Google, CC BY 4.0; MFCC features",
        "classes": given.words,
    }
    scratch = given.output.with_suffix(".partial.npz")
    np.savez_compressed(scratch, **arrays, meta=np.array(json.dumps(meta)))
    scratch.replace(given.output)
    held_out = int(arrays["test"].sum())
    print(
        f"{given.output}: {len(arrays['y']) - held_out} clips to train, {held_out} held out, "
        f"{len(speakers)} speakers on {len(np.unique(arrays['user']))} boards"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
