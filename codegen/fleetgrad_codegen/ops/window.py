# SPDX-License-Identifier: Apache-2.0
"""Geometry of the sliding windows that convolutions and poolings share."""

from dataclasses import dataclass
from enum import IntEnum

from fleetgrad_codegen.errors import ModelFormatError
from fleetgrad_codegen.ir import Array


class Padding(IntEnum):
    """How a window treats the border; the values are the schema's."""

    SAME = 0
    VALID = 1


def parse_padding(code: int) -> Padding:
    """The padding of a schema code.

    Raises:
        ModelFormatError: An unknown code.
    """
    try:
        return Padding(code)
    except ValueError:
        raise ModelFormatError(
            f"padding {code} does not exist", expected="0 (SAME) or 1 (VALID)"
        ) from None


@dataclass(frozen=True, slots=True)
class Axis:
    """A window along one dimension.

    Attributes:
        size: Elements of the input.
        window: Taps of the window.
        stride: Step between two outputs.
        dilation: Step between two taps.
        padding: SAME or VALID.
        border: Padding besides, before and after; VALID only.
    """

    size: int
    window: int
    stride: int
    dilation: int
    padding: Padding
    border: tuple[int, int] = (0, 0)

    @property
    def reach(self) -> int:
        """Elements from the first tap to the last, both included."""
        return (self.window - 1) * self.dilation + 1

    @property
    def output(self) -> int:
        """Number of positions; not positive where the window does not fit."""
        if self.padding is Padding.SAME:
            return (self.size - 1) // self.stride + 1
        return (self.size + sum(self.border) - self.reach) // self.stride + 1

    @property
    def before(self) -> int:
        """Padding before the first element; after the last comes as much, or one more."""
        if self.padding is Padding.VALID:
            return self.border[0]
        return max(0, (self.output - 1) * self.stride + self.reach - self.size) // 2

    @property
    def after(self) -> int:
        """Padding after the last element that the last position needs."""
        return max(0, (self.output - 1) * self.stride + self.reach - self.size - self.before)

    @property
    def has_border(self) -> bool:
        """Whether any position reaches beyond the input."""
        return self.before > 0 or self.after > 0

    def taps(self, tap: int) -> slice:
        """Which elements of the padded input the given tap reads, one for each position."""
        start = tap * self.dilation
        return slice(start, start + (self.output - 1) * self.stride + 1, self.stride)


def tap_view(padded: Array, rows: Axis, columns: Axis, row: int, column: int) -> Array:
    """What one tap reads at every position of the window.

    Args:
        padded: [rows, columns, channels] with `Axis.before` and `Axis.after` already added.
        rows: Geometry along the height.
        columns: Geometry along the width.
        row: Tap along the height.
        column: Tap along the width.

    Returns:
        A view of shape [rows.output, columns.output, channels].
    """
    view: Array = padded[rows.taps(row), columns.taps(column)]
    return view
