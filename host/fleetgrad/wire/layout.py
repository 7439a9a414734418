# SPDX-License-Identifier: Apache-2.0
"""The packed layout of one message: what the generated classes share."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from typing import Any

from fleetgrad.wire.errors import MessageError


class Layout:
    """Packs and unpacks the fields of one kind of message.

    Args:
        name: the message, for error texts.
        code: `struct` format of the fixed fields, little-endian, without padding.
        names: all fields in order.
        tail: the last field is bytes and takes the rest of the payload.
    """

    def __init__(self, name: str, code: str, names: Sequence[str], tail: bool = False) -> None:
        self._name = name
        self._struct = struct.Struct(code)
        self._names = tuple(names)
        self._tail = tail
        # `struct` pads and cuts "8s" silently, so the lengths are checked here.
        codes = re.findall(r"\d*[a-zA-Z]", code)
        self._lengths = tuple(
            (index, int(item[:-1])) for index, item in enumerate(codes) if item.endswith("s")
        )

    def pack(self, *values: Any) -> bytes:
        """Returns the payload.

        Raises:
            MessageError: a value is out of its field's range or of the wrong length.
        """
        fixed, tail = (values[:-1], bytes(values[-1])) if self._tail else (values, b"")
        for index, length in self._lengths:
            if len(fixed[index]) != length:
                raise MessageError(
                    f"{len(fixed[index])} bytes in a field of {length}",
                    where=f"message {self._name}, field {self._names[index]}",
                    expected=f"exactly {length} bytes",
                )
        try:
            return self._struct.pack(*fixed) + tail
        except struct.error as error:
            raise MessageError(
                f"a value does not fit its field: {error}",
                where=f"message {self._name}",
                expected=", ".join(
                    f"{name}={value!r} within the field's range"
                    for name, value in zip(self._names, fixed, strict=False)
                ),
            ) from error

    def unpack(self, payload: bytes) -> tuple[Any, ...]:
        """Returns the values in the order of the fields.

        Raises:
            MessageError: the payload is shorter or longer than the message.
        """
        size = self._struct.size
        if len(payload) < size or (len(payload) > size and not self._tail):
            raise MessageError(
                f"a payload of {len(payload)} bytes",
                where=f"message {self._name}",
                expected=f"{'at least' if self._tail else 'exactly'} {size} bytes",
                hint="host and device may be of different versions; compare their schema hashes",
            )
        if self._tail:
            return (*self._struct.unpack_from(payload), bytes(payload[size:]))
        return self._struct.unpack(payload)
