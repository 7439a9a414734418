# SPDX-License-Identifier: Apache-2.0
"""A run over native processes, in a process that a test may kill.

python run_digits.py BUNDLE NODE RUN_DIR ROUNDS
"""

from __future__ import annotations

import sys
from pathlib import Path

from fleetgrad import config as configs
from fleetgrad.fleet import NativeFleet
from fleetgrad.run import execute

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "digits"


def main(bundle: Path, node: Path, run_dir: Path, rounds: int) -> None:
    overrides = [f"run.dir={run_dir}", f"rounds.count={rounds}"]
    config = configs.load(EXAMPLE / "fleetgrad.toml", overrides)
    print(execute(config, bundle, NativeFleet(node)).model_digest)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), int(sys.argv[4]))
