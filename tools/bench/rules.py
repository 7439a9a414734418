# SPDX-License-Identifier: Apache-2.0
"""What robust rules cost the host: seconds and memory for a round of so many updates.

    python tools/bench/rules.py [DEVICES PARAMETERS]

Updates are drawn, and read from one array of int8, as a cohort reads them from the ledger.
"""

from __future__ import annotations

import sys
import time
import tracemalloc

import numpy as np

from fleetgrad.federation.strategies import make_strategy
from fleetgrad.federation.strategies.robust import RULES, Rule, Updates

TERMS = {"epochs": 1, "batch": 1, "max_steps": 0}
BIASES = 10


def cohort(devices: int, parameters: int) -> Updates:
    """Updates that resemble each other."""
    rng = np.random.default_rng(1)
    common = rng.integers(-60, 61, parameters, np.int8)
    deltas = common + rng.integers(-60, 61, (devices, parameters), np.int8)
    exponents = [(2, 1)] * devices
    return Updates(
        (BIASES, parameters - BIASES),
        exponents,
        lambda start, stop: deltas[:, start:stop],
        tuple(range(1, devices + 1)),
    )


def main() -> int:
    devices, parameters = (int(text) for text in sys.argv[1:] or ("100", "20000"))
    print(f"{devices} updates of {parameters} parameters ({devices * parameters / 1e6:g} MB)")
    rules = [(kind.name, {"root": 1} if kind.name == "fltrust" else {}) for kind in RULES]
    for name, options in [*rules, ("trimmed-mean", {"mixing": True})]:
        given = {"attackers": devices // 5, **options}
        rule = make_strategy(name, given, TERMS)
        assert isinstance(rule, Rule)
        updates = cohort(devices, parameters)
        began = time.process_time()
        rule(updates)
        seconds = time.process_time() - began
        updates = cohort(devices, parameters)
        tracemalloc.start()
        rule(updates)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        label = name + (" after mixing" if options.get("mixing") else "")
        print(f"{label:28s} {seconds:7.2f} s of CPU  {peak / 1e6:7.1f} MB", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
