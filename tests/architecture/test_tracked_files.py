# SPDX-License-Identifier: Apache-2.0
"""What may not be in any committed file, and what each must have."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BINARY = {".npz", ".tflite", ".png", ".bin"}

# Paths of one machine, scratch folders, unfinished work. Split so that this file does not match.
FORBIDDEN = (
    "/wo" + "rk/", "/tm" + "p/", "/ro" + "ot/", "/ho" + "me/",
    "FIX" + "ME", "TO" + "DO", "XX" + "X", "Not" + "ImplementedError",
)  # fmt: skip


def tracked() -> list[Path]:
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    listing = subprocess.run(
        [git, "-c", f"safe.directory={ROOT}", "ls-files", "-z"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    paths = [ROOT / name for name in listing.split("\0") if name]
    return [path for path in paths if path.exists() and path.suffix not in BINARY]


def test_no_tracked_file_names_a_machine_or_leaves_work_undone() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {word}"
        for path in tracked()
        for number, line in enumerate(path.read_text(errors="replace").splitlines(), 1)
        for word in FORBIDDEN
        if re.search(rf"(?<![\w.]){re.escape(word)}", line)
    ]
    assert not found


def test_every_python_file_names_its_licence() -> None:
    for path in tracked():
        if path.suffix == ".py" and path.stat().st_size:
            head = path.read_text().splitlines()[:2]
            assert "# SPDX-License-Identifier: Apache-2.0" in head, path.relative_to(ROOT)


def test_source_files_stay_readable_in_one_sitting() -> None:
    long = [
        f"{path.relative_to(ROOT)}: {lines} lines"
        for path in tracked()
        if path.suffix in {".py", ".c", ".h"} and "messages" not in path.name
        for lines in [len(path.read_text().splitlines())]
        if lines > 500
    ]
    assert not long


def test_lock_files_name_exact_versions_and_no_index() -> None:
    for lock in sorted(ROOT.glob("requirements*.lock")):
        for line in lock.read_text().splitlines():
            assert line.startswith("#") or re.fullmatch(r"[\w.-]+==[\w.]+", line), (lock.name, line)


def test_lock_files_cover_the_declared_dependencies() -> None:
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = [*project["dependencies"], *project["optional-dependencies"]["test"]]
    locked = "".join(
        (ROOT / name).read_text() for name in ("requirements.lock", "requirements-test.lock")
    ).lower()
    for requirement in declared:
        name = re.split(r"[<>=!~\[ ;]", requirement)[0].lower()
        pattern = "^" + re.sub(r"[-_.]", "[-_.]", name) + "=="
        assert re.search(pattern, locked, re.MULTILINE), f"{name} is not locked"
