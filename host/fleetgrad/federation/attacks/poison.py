# SPDX-License-Identifier: Apache-2.0
"""Attacks on what a device learns from: its labels, or a mark on its samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.int8]
Labels = NDArray[np.int64]


@dataclass(frozen=True)
class LabelFlip:
    """Every label y becomes classes - 1 - y (Fang et al., USENIX Security 2020).

    Attributes:
        classes: How many there are.
    """

    classes: int

    def __call__(self, x: Samples, y: Labels) -> tuple[Samples, Labels]:
        """Poisons [n, ...] samples and their [n] labels."""
        return x, self.classes - 1 - y


@dataclass(frozen=True)
class Backdoor:
    """A mark makes samples of any class look like those of one (Gu et al., 2017).

    Half of the samples are marked and relabelled, so that the device still learns the task.

    Attributes:
        target: The class.
        width: How many of a sample's first values the mark covers.
    """

    target: int
    width: int = 4

    def mark(self, x: Samples) -> Samples:
        """Samples with the mark: their first values at the highest an input can be."""
        marked = x.copy()
        marked.reshape(len(x), -1)[:, : self.width] = 127
        return marked

    def __call__(self, x: Samples, y: Labels) -> tuple[Samples, Labels]:
        """Poisons [n, ...] samples and their [n] labels: every other one."""
        poisoned, labels = x.copy(), y.copy()
        poisoned[::2] = self.mark(x[::2])
        labels[::2] = self.target
        return poisoned, labels
