# SPDX-License-Identifier: Apache-2.0
"""What batches would bring beyond the last layer, where they would cost an accumulator per weight.

    python tools/bench/batches.py

Trains the digits model in float32 on 300 samples, twice, by schemes that update after every sample
today, and by the mean gradient of 4 and 16; each at the best of several learning rates.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fleetgrad_codegen.gradient.float_network import FloatNetwork, FloatState
from fleetgrad_codegen.program import Loss
from fleetgrad_codegen.scheme import Bias, DeepScheme, Full, deep_training
from fleetgrad_codegen.training.fixed_point import LearningRate
from fleetgrad_codegen.training.local import LocalPlan, batches

DIGITS = Path(__file__).resolve().parents[2] / "examples/digits"
SAMPLES, EPOCHS, SEEDS = 300, 2, (1, 2, 3)
RATES = {
    1: (0.0025, 0.005, 0.01, 0.02, 0.04),
    4: (0.01, 0.02, 0.04, 0.08, 0.16),
    16: (0.02, 0.04, 0.08, 0.16, 0.32),
}
ACCUMULATOR_BYTES = 4


def train(network: FloatNetwork, x: np.ndarray, y: np.ndarray, plan: LocalPlan) -> FloatState:
    """Steps along the mean gradient of each batch."""
    state = network.initial()
    for indices, _ in batches(plan, 1, len(x)):
        found = [network.gradients(state, x[i], y[i]) for i in indices]
        mean = {
            position: (
                np.mean([one[position][0] for one in found], axis=0),
                np.mean([one[position][1] for one in found], axis=0),
            )
            for position in state
        }
        state = network.stepped(state, mean, plan.rate.real)
    return state


def measure(scheme: DeepScheme, size: int) -> tuple[float, float, int]:
    """Best mean accuracy in percent, its learning rate, and how many numbers train."""
    data = np.load(DIGITS / "digits.npz", allow_pickle=False)
    x, y, held = data["x"], data["y"].astype(np.int64), data["test"]
    model = scheme.adapt((DIGITS / "digits.tflite").read_bytes(), "digits")
    training = deep_training(scheme, model, "digits", Loss.SOFTMAX_CROSS_ENTROPY)
    network, best = training.float_network, (0.0, 0.0)
    for rate in RATES[size]:
        found = []
        for seed in SEEDS:
            order = np.random.default_rng(seed).permutation(int((~held).sum()))
            chosen = np.flatnonzero(~held)[order[:SAMPLES]]
            plan = LocalPlan(LearningRate.of(rate), EPOCHS, size, seed)
            state = train(network, x[chosen], y[chosen], plan)
            found.append(100 * network.accuracy(state, x[held], y[held]))
        best = max(best, (float(np.mean(found)), rate))
    return *best, sum(segment.count for segment in training.segments)


def main() -> None:
    """Prints a row per scheme and batch."""
    for scheme in (Full(), Bias()):
        for size in RATES:
            accuracy, rate, count = measure(scheme, size)
            cost = ACCUMULATOR_BYTES * count if size > 1 else 0
            print(f"{scheme.name:5} batch {size:2}: {accuracy:.2f} % at {rate:g}, {cost:,} bytes")


if __name__ == "__main__":
    main()
