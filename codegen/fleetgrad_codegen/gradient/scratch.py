# SPDX-License-Identifier: Apache-2.0
"""Scratch memory of the kernels that train layers; mirrors ``firmware/src/train/scratch.h``.

The same for every processor, so that a bundle does not depend on it: portable kernels use less.
"""

from fleetgrad_codegen.ops.window import Axis

_BLOCK_PIXELS, _LEAST_PIXELS = 16, 4
_LEARN_PIXELS = 256
_LEARN_INPUTS = 2560
_LEARN_COLUMNS = 128
_LINE_PIXELS = 128
_PLANES = 8
_KEPT_VECTORS = (2, 4, 7)
_WORD = 4
_LARGEST_SIDE = (1 << 15) - 1


def error_pixels(rows: Axis, columns: Axis, inputs: int, outputs: int, room: int) -> int:
    """How many pixels ``fg_conv2d_error`` computes together.

    The more, the fewer times it spreads weights.

    Args:
        rows: Geometry along the height.
        columns: Geometry along the width.
        inputs: Channels of the input.
        outputs: Channels of the output.
        room: Bytes that the scratch memory should not exceed.
    """
    blocks = range(_BLOCK_PIXELS, _LEAST_PIXELS, -2)
    fits = (
        block
        for block in blocks
        if matrix_error_bytes(rows, columns, inputs, outputs, block) <= room
    )
    return next(fits, _LEAST_PIXELS)


def matrix_error_bytes(rows: Axis, columns: Axis, inputs: int, outputs: int, block: int) -> int:
    """Of ``fg_conv2d_error``: sums of pixels, spread errors and weights, listed channels.

    Args:
        rows: Geometry along the height.
        columns: Geometry along the width.
        inputs: Channels of the input.
        outputs: Channels of the output.
        block: See `error_pixels`.
    """
    width, out_width = columns.size, columns.output
    one_by_one = rows.window == columns.window == rows.stride == columns.stride == 1
    if one_by_one and rows.size * columns.size <= _LARGEST_SIDE:
        width = out_width = rows.size * columns.size
    block = min(width, block)
    pairs = -(-outputs // 2)
    reach = (columns.window - 1) * columns.dilation
    seen = min((block - 1 + reach) // columns.stride + 1, out_width)
    sums = block * -(-inputs // 4) * 4
    return _WORD * (sums + -(-seen // 2) * 2 * pairs + 5 * pairs)


def strip_error_bytes(rows: Axis, columns: Axis, inputs: int) -> int:
    """Of ``fg_depthwise_error``: spread weights of a strip of channels, a ring of their errors.

    With vectors: a plane of errors for each of eight channels, and filters of theirs for each phase
    of the stride, in whole vectors.

    Args:
        rows: Geometry along the height.
        columns: Geometry along the width.
        inputs: Channels of the input: a portable kernel sums those of one pixel.
    """
    ring = min((rows.window - 1) * rows.dilation // rows.stride + 1, rows.output)
    taps = rows.window * columns.window
    words = 2 * taps + 2 * ring * columns.output
    high, reach = (rows.window - 1) // rows.stride + 1, (columns.window - 1) // columns.stride
    wide = (columns.size - 1 + columns.before) // columns.stride + 1 + reach
    down = (rows.size - 1 + rows.before) // rows.stride - rows.before // rows.stride
    vectors = -(-high * (reach + 1) // 8)
    whole = next((kept for kept in _KEPT_VECTORS if vectors <= kept), vectors)
    halves = high * wide + down + rows.stride * columns.stride * 8 * whole
    return _WORD * max(words, _PLANES * halves // 2, inputs)


def learn_bytes(pixels: int, taps: int, inputs: int) -> int:
    """Of ``fg_conv2d_learn``: spread inputs and errors with their sums, or sums of all taps.

    With vectors: sums of a tile of 8 x 8 channels, and their inputs and errors at some pixels.

    Args:
        pixels: Positions of the output.
        taps: Weights of an output channel.
        inputs: Channels of the input.
    """
    pairs = -(-pixels // 2)
    tile = 64 + 4 * min(2 * pairs, _LINE_PIXELS)
    if pixels == 1 or pixels > _LEARN_PIXELS:
        return _WORD * max(taps, tile)
    columns = min(-(-inputs // 4) * 4, _LEARN_INPUTS // pixels // 4 * 4, _LEARN_COLUMNS)
    return _WORD * max(taps, tile, columns * pairs + 2 * pairs + 2 * columns)
