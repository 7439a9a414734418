# SPDX-License-Identifier: Apache-2.0
"""One fleet device in this process, driven step by step on a clock that the test keeps."""

from __future__ import annotations

import ctypes

from fleetgrad.toolchain.library import Library


class NativeNode:
    """One fleet device in process: the firmware's session and rounds, in memory of its own.

    Args:
        library: The firmware library.
        image: Its data image; None for a device without one.
        boot_count: What it reports; the caller counts.
        firmware_hash: What it reports; of the image the library was built into.
        flash: What outlives it: pairs of KiB; None for nothing.
    """

    def __init__(
        self,
        library: Library,
        image: bytes | None,
        *,
        boot_count: int = 1,
        firmware_hash: int = 0,
        flash: ctypes.Array[ctypes.c_uint8] | None = None,
    ) -> None:
        self._raw = library.raw
        self._memory = library.memory()
        self._image = image  # the device reads it in place
        self._out = ctypes.create_string_buffer(4096)
        self._more = ctypes.c_int32()
        self._flash = flash
        self.status = int(
            self._raw.fg_virtual_init_with_flash(
                self._memory,
                ctypes.c_size_t(ctypes.sizeof(self._memory)),
                image,
                ctypes.c_size_t(len(image) if image else 0),
                ctypes.c_uint32(boot_count),
                ctypes.c_uint32(firmware_hash),
                flash,
                ctypes.c_uint32(len(flash) if flash is not None else 0),
            )
        )

    def receive(self, data: bytes) -> None:
        """Takes bytes from the line."""
        self._raw.fg_virtual_receive(self._memory, data, ctypes.c_size_t(len(data)))

    def run(self, now_ms: int, pieces: int = 1 << 20) -> tuple[bytes, bool]:
        """Works, at most ``pieces`` pieces (samples, frames); other threads run meanwhile.

        Args:
            now_ms: The device's clock.
            pieces: How much to do before returning.

        Returns:
            Bytes for the line, and whether to call again without waiting.
        """
        used = self._raw.fg_virtual_run(
            self._memory,
            ctypes.c_uint32(now_ms & 0xFFFFFFFF),
            ctypes.c_uint32(pieces),
            self._out,
            ctypes.c_size_t(len(self._out)),
            ctypes.byref(self._more),
        )
        return self._out.raw[:used], bool(self._more.value)

    def poll(self, now_ms: int) -> bool:
        """One piece of work; whether more waits."""
        return bool(self._raw.fg_virtual_poll(self._memory, ctypes.c_uint32(now_ms & 0xFFFFFFFF)))

    def transmit(self, capacity: int = 4096) -> bytes:
        """Up to ``capacity`` (at most 4096) bytes for the line."""
        size = ctypes.c_size_t(min(capacity, len(self._out)))
        used = self._raw.fg_virtual_transmit(self._memory, self._out, size)
        return self._out.raw[:used]

    def wait_ms(self, now_ms: int) -> int | None:
        """Milliseconds until :meth:`run` has something to do by itself; None: never."""
        now = ctypes.c_uint32(now_ms & 0xFFFFFFFF)
        wait = int(self._raw.fg_virtual_wait_ms(self._memory, now))
        return None if wait == 0xFFFFFFFF else wait
