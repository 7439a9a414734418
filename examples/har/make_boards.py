# SPDX-License-Identifier: Apache-2.0
"""Makes the data set of the boards: one person, one board, the sensor mounted turned.

    python make_boards.py SOURCE -o har.npz [--people 11-30] [--turn 90]

SOURCE is the HAPT archive, the folder it unpacks to, or an .npz of windows (arrays x, y, user, exp,
and meta with their scale).
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from windows import ACTIVITIES, SourceError, Windows, model_input, read_source, turn


def arrange(windows: Windows, people: range, degrees: float) -> dict[str, NDArray[np.generic]]:
    """The arrays of the data set.

    A person's last recording is held out whole: windows of one recording overlap and resemble each
    other, and what a board learns should serve on another day.

    Args:
        windows: Of everybody.
        people: Who has a board.
        degrees: How the boards are turned.

    Returns:
        x float32 (n, 128, 1, 6), y uint8, user uint8 and test, each (n,).

    Raises:
        SourceError: One of the people is missing, or has one recording only.
    """
    held_out = np.zeros(len(windows.y), np.bool_)
    for person in people:
        made = np.unique(windows.recording[windows.person == person])
        if len(made) < 2:
            raise SourceError(f"person {person} has {len(made)} recordings; expected 2 or more")
        held_out |= windows.recording == made[-1]
    chosen = np.isin(windows.person, people)
    mine = windows.where(chosen)
    return {
        "x": model_input(turn(mine.x, degrees)),
        "y": mine.y,
        "user": mine.person,
        "test": held_out[chosen],
    }


def people(text: str) -> range:
    """The argument of --people: a number, or first-last."""
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="archive, unpacked folder or .npz of windows")
    parser.add_argument("-o", "--output", type=Path, default=Path("har.npz"))
    parser.add_argument("--people", type=people, default=range(11, 31), help="first-last")
    parser.add_argument("--turn", type=float, default=90.0, help="degrees about the z axis")
    given = parser.parse_args()
    try:
        arrays = arrange(read_source(given.source), given.people, given.turn)
    except SourceError as error:
        print(error, file=sys.stderr)
        return 2
    meta = {
        "attribution": "J.-L. Reyes-Ortiz et al.: HAPT data set, UCI repository",
        "classes": ACTIVITIES,
    }
    scratch = given.output.with_suffix(".partial.npz")
    np.savez_compressed(scratch, **arrays, meta=np.array(json.dumps(meta)))
    scratch.replace(given.output)
    held_out = int(arrays["test"].sum())
    print(
        f"{given.output}: {len(arrays['y']) - held_out} windows to train, {held_out} held out, "
        f"{len(given.people)} people, turned by {given.turn:g} degrees"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
