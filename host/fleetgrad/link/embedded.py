# SPDX-License-Identifier: Apache-2.0
"""A broker in this process, for devices of this machine: where no other one is configured."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from typing import Any

from fleetgrad.errors import ConfigError, LinkError, ToolError

HOST = "127.0.0.1"
PORT = 1883
_NAME = "embedded"
_PATIENCE_S = 20.0


def embedded_port(text: str) -> int | None:
    """The port of ``embedded[:PORT]``, or of an empty text; None where it names another broker.

    Raises:
        ConfigError: The port is none.
    """
    name, colon, port = text.partition(":")
    if text and name != _NAME:
        return None
    if not colon:
        return PORT
    if not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise ConfigError(f"{text!r} names no port", "fleet.broker", "embedded:PORT")
    return int(port)


class EmbeddedBroker:
    """A broker with a thread of its own; what it remembers ends with it.

    Args:
        port: On the loopback interface: no other machine reaches it, so it asks nobody who he is.

    Raises:
        ToolError: The broker is not installed.
        LinkError: Its port is not free.
    """

    def __init__(self, port: int) -> None:
        try:
            from amqtt.broker import Broker  # noqa: PLC0415 - not needed where a broker is configured
        except ImportError:
            raise ToolError(
                "no broker is configured, and the embedded one is not installed",
                "fleet.broker",
                hint="fleet.broker = mqtt://HOST, or pip install 'fleetgrad[broker]'",
            ) from None
        logging.getLogger("amqtt").setLevel(logging.CRITICAL)
        logging.getLogger("transitions").setLevel(logging.CRITICAL)
        self._port = port
        self._started = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._ending = asyncio.Event()
        self._failure: BaseException | None = None
        self._refuse_if_taken()
        self._thread = threading.Thread(target=self._run, args=(Broker,), daemon=True)
        self._thread.start()
        self._started.wait(_PATIENCE_S)
        if self._failure is not None or not self._started.is_set():
            raise LinkError(
                f"the embedded broker does not start: {self._failure}", where=self.address
            )

    @property
    def address(self) -> str:
        """Its URL."""
        return f"mqtt://{HOST}:{self._port}"

    def close(self) -> None:
        """Ends it; harmless when it has ended."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._ending.set)
            self._thread.join(_PATIENCE_S)

    def _refuse_if_taken(self) -> None:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((HOST, self._port))
            except OSError as error:
                raise LinkError(
                    f"the embedded broker cannot listen: {error.strerror}",
                    where=self.address,
                    hint=f"is a broker there already? then fleet.broker = {self.address};"
                    " or fleet.broker = embedded:PORT",
                ) from error

    def _run(self, kind: Any) -> None:
        asyncio.set_event_loop(self._loop)
        with contextlib.closing(self._loop):
            self._loop.run_until_complete(self._serve(kind))

    async def _serve(self, kind: Any) -> None:
        config = {
            "listeners": {"default": {"type": "tcp", "bind": f"{HOST}:{self._port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {}},
        }
        try:
            broker = kind(config)
            await broker.start()
        except Exception as error:
            self._failure = error
            self._started.set()
            return
        self._started.set()
        await self._ending.wait()
        await broker.shutdown()
