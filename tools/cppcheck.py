# SPDX-License-Identifier: Apache-2.0
"""Runs cppcheck over the firmware, or says that it is missing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SUPPRESSED = (
    "missingIncludeSystem",
    "unusedFunction",  # a library: its callers are generated, or another project
    "unmatchedSuppression",
    "shiftTooManyBitsSigned",  # GCC and Clang shift the sign in, which all kernels count on
)


def main() -> int:
    """0 when cppcheck finds nothing or is not installed."""
    cppcheck = shutil.which("cppcheck")
    if cppcheck is None:
        print("cppcheck: not installed, left out (apt install cppcheck)")
        return 0
    command = [
        cppcheck,
        "--std=c11",
        "--enable=warning,performance,portability",
        "--inline-suppr",
        "--error-exitcode=1",
        "--quiet",
        "-I",
        "firmware/include",
        *(f"--suppress={name}" for name in SUPPRESSED),
        "firmware/host",
        "firmware/src",
        "firmware/app",
        "firmware/port",
    ]
    present = [
        part for part in command if not part.startswith("firmware/") or (ROOT / part).exists()
    ]
    print("cppcheck firmware", flush=True)
    return subprocess.run(present, cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
