# SPDX-License-Identifier: Apache-2.0
"""The scaling that DSP kernels use is exact wherever the exporter says so."""

from __future__ import annotations

import subprocess
from pathlib import Path

from support.native_model import FIRMWARE, STRICT

DRIVER = Path(__file__).with_name("quick_scale.c")


def test_two_multiplications_give_the_outputs_of_exact_scaling(tmp_path: Path, cc: str) -> None:
    program = tmp_path / "quick_scale"
    command = [cc, *STRICT, "-O2", "-DFG_EMULATE_DSP", f"-I{FIRMWARE / 'include'}"]
    subprocess.run([*command, "-o", str(program), str(DRIVER)], check=True)
    done = subprocess.run([program], capture_output=True, text=True, check=True)
    assert done.stdout == "0\n"
