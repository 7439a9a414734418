# SPDX-License-Identifier: Apache-2.0
"""Arena memory that training the last layer takes."""

from fleetgrad_codegen.plan import Region
from fleetgrad_codegen.training.head import Head


class HeadMemory:
    """Arena memory of the head's training.

    Args:
        head: The layer.
        batch: Most samples of one update.

    Attributes:
        centred: int16 inputs of one sample.
        acc: int32 accumulators of one sample.
        gradient: int16 gradient of one sample.
        rows: What the update reads, of all samples: inputs and gradients. With a batch of 1 that is
            ``centred`` and ``gradient``; otherwise copies that survive from sample to sample.
        coefficients: Scratch of the update.
    """

    def __init__(self, head: Head, batch: int) -> None:
        inputs, outputs = head.positions * head.inputs, head.positions * head.outputs
        self.centred = Region("head inputs", 2 * inputs)
        self.acc = Region("head accumulators", 4 * outputs)
        self.gradient = Region("head gradient", 2 * outputs)
        self.coefficients = Region("head coefficients", 4 * batch * head.positions)
        self.rows = (self.centred, self.gradient)
        if batch > 1:
            self.rows = (
                Region("batch inputs", 2 * batch * inputs, kept=True),
                Region("batch gradients", 2 * batch * outputs, kept=True),
            )
