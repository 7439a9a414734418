# SPDX-License-Identifier: Apache-2.0
"""What ByzFL makes of some cohorts: the answers that robust rules and attacks are tested against.

    python tools/oracles/byzfl_answers.py tests/host/byzfl_answers.npz

Needs the package byzfl (0.0.11), which needs PyTorch; where that is installed (pip install
"fleetgrad[oracles-byzfl]"), the tests ask it themselves as well.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

SEGMENTS = (("bias", 5), ("weight", 40))
COHORTS = ((9, 2), (11, 2), (12, 4), (15, 3))  # updates, attackers among them: the last ones


def cohort(size: int, attackers: int) -> tuple[np.ndarray, np.ndarray]:
    """Exponents [n, 2] and int8 deltas [n, 45]; honest ones resemble each other."""
    rng = np.random.default_rng(1000 * size + attackers)
    common = rng.normal(0, 40, 45)
    deltas = np.rint(common + rng.normal(0, 25, (size, 45)))
    exponents = rng.integers(0, 3, (size, 2))
    deltas[size - attackers :] = rng.integers(-127, 128, (attackers, 45))
    exponents[size - attackers :] += rng.integers(0, 4, (attackers, 2))
    return exponents, np.clip(deltas, -127, 127).astype(np.int8)


def rows_of(exponents: np.ndarray, deltas: np.ndarray) -> np.ndarray:
    """What they stand for, float64 [n, d]."""
    shifts = np.repeat(exponents, [count for _, count in SEGMENTS], axis=1)
    return deltas.astype(np.float64) * 2.0**shifts


def answers(size: int, attackers: int) -> dict[str, np.ndarray]:
    """Every rule and attack that ByzFL has as well, by name."""
    import byzfl  # noqa: PLC0415

    rows = rows_of(*cohort(size, attackers))
    honest = rows[: size - attackers]
    return {
        "median": byzfl.Median()(rows),
        "trimmed-mean": byzfl.TrMean(attackers)(rows),
        "krum": byzfl.Krum(attackers)(rows),
        "multi-krum": byzfl.MultiKrum(attackers)(rows),
        "geometric-median": byzfl.GeometricMedian(nu=1.0, T=8)(rows),
        "centred-clipping": byzfl.CenteredClipping(L=3, tau=250.0)(rows),
        "nnm": byzfl.NNM(attackers)(rows),
        "nnm-trimmed-mean": byzfl.TrMean(attackers)(byzfl.NNM(attackers)(rows)),
        "ipm": byzfl.InnerProductManipulation(0.5)(honest),
        "alie": byzfl.ALittleIsEnough(-1.5)(honest),
    }


def main() -> int:
    found = {
        f"{size}/{attackers}/{name}": answer
        for size, attackers in COHORTS
        for name, answer in answers(size, attackers).items()
    }
    np.savez_compressed(Path(sys.argv[1]), **found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
