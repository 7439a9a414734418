# SPDX-License-Identifier: Apache-2.0
"""The data image: one device's private samples as its flash holds them (SPEC.md, "Data image")."""

import struct
import zlib

from fleetgrad.data.partition import DeviceData

MAGIC = 0x49444746  # "FGDI"
VERSION = 1
HEADER_BYTES = 64

# magic, version, header_bytes, device_id, boot_base, sample_bytes, target_bytes, target_kind,
# train_count, eval_count, model input tag, payload_crc; header_crc follows.
_HEADER = struct.Struct("<IHHQIIIB3xII8sI8x")


def write_image(data: DeviceData, *, boot_base: int = 0, input_tag: bytes = bytes(8)) -> bytes:
    """One device's samples with the header that the firmware checks.

    Args:
        data: Quantised samples and targets.
        boot_base: What the device adds its own restarts to, so that a board without memory of its
            own never counts backwards.
        input_tag: 8 bytes that name the model input the samples were quantised for; zeros for any.

    Returns:
        The image: header, training samples, training targets, held-out samples, held-out targets.
    """
    payload = b"".join(
        part.tobytes() for part in (data.train_x, data.train_y, data.eval_x, data.eval_y)
    )
    head = _HEADER.pack(
        MAGIC,
        VERSION,
        HEADER_BYTES,
        data.device,
        boot_base,
        data.train_x.shape[1],
        data.train_y.shape[1],
        data.target_kind,
        len(data.train_x),
        len(data.eval_x),
        input_tag,
        zlib.crc32(payload),
    )
    return head + struct.pack("<I", zlib.crc32(head)) + payload


def boot_base(image: bytes) -> int:
    """What a device with this image adds its own restarts to."""
    return int(_HEADER.unpack_from(image)[4])
