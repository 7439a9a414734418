# SPDX-License-Identifier: Apache-2.0
"""An example's plan at several learning rates: the integer fleet beside FedAvg in float32.

    python compare.py digits/fleetgrad.toml --rates 0.03 0.05 0.07 0.1 --seeds 1 2 3

Both start from the same weights and see the same samples in the same order; the float32 side rounds
nothing to integers, neither activations nor weights nor what is exchanged. The integer side is the
devices' own C code, as a library in this process.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from fleetgrad.cli.fleets import KINDS, prepare_fleet
from fleetgrad.cli.float_fleet import float_fedavg, read_devices
from fleetgrad.config import Config, load
from fleetgrad.errors import FleetgradError
from fleetgrad.run import execute
from fleetgrad_codegen.errors import CodegenError


@dataclass(frozen=True)
class Row:
    """Held-out accuracy at one learning rate, in percent, one value for every seed."""

    rate: float
    integer: tuple[float, ...]
    float32: tuple[float, ...]

    def __str__(self) -> str:
        gap = np.mean(self.integer) - np.mean(self.float32)
        return (
            f"{self.rate:<8g} {np.mean(self.integer):6.2f} {_each(self.integer)}   "
            f"{np.mean(self.float32):6.2f} {_each(self.float32)}   {gap:+.2f}"
        )


def _each(values: Sequence[float]) -> str:
    return "(" + " ".join(f"{value:.1f}" for value in values) + ")"


def compare(config: Config, rates: Sequence[float], seeds: Sequence[int], scratch: Path) -> None:
    """Runs every plan twice and prints a row for each rate, then the best of both sides.

    Args:
        config: The example's plan; its learning rate and seed are replaced.
        rates: Learning rates.
        seeds: Of the sample order and the stochastic rounding.
        scratch: For bundle, library and ledgers.
    """
    config = replace(config, fleet=replace(config.fleet, kind="virtual"))
    made, board, _ = prepare_fleet(config, scratch / "build")
    data = read_devices(config, made.bundle)
    rows = []
    for rate in rates:
        integer, float32 = [], []
        for seed in seeds:
            plan = replace(
                config,
                train=replace(config.train, learning_rate=rate, seed=seed),
                run=replace(config.run, dir=scratch / f"{rate}-{seed}"),
            )
            fleet = KINDS["virtual"].make(board, made.image)
            result = execute(plan, made.folder, fleet)
            if result.accuracy_before is None or result.accuracy_after is None:
                raise SystemExit("the devices hold no sample out: nothing to compare on")
            integer.append(100 * result.accuracy_after)
            float32.append(100 * float_fedavg(plan, made.bundle, data).accuracy[-1])
        rows.append(Row(rate, tuple(integer), tuple(float32)))
        if len(rows) == 1:
            print(f"before: {100 * result.accuracy_before:.2f} %, then {plan.rounds.count} rounds")
            print("rate     fleet, mean and by seed   float32, mean and by seed   gap in points")
        print(rows[-1], flush=True)
    best = max(rows, key=lambda row: np.mean(row.integer))
    ideal = max(rows, key=lambda row: np.mean(row.float32))
    gap = np.mean(best.integer) - np.mean(ideal.float32)
    print(f"each at its best rate: fleet {best.rate:g}, float32 {ideal.rate:g}, gap {gap:+.2f}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("config", type=Path, help="a fleetgrad.toml")
    parser.add_argument("--rates", type=float, nargs="+", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--set", action="append", default=[], metavar="SECTION.KEY=VALUE")
    given = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as scratch:
            config = load(given.config, given.set)
            compare(config, given.rates, given.seeds, Path(scratch))
    except (FleetgradError, CodegenError) as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
