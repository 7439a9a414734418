# SPDX-License-Identifier: Apache-2.0
"""A client of an MQTT broker, 5 or 3.1.1: topics and bytes, at least once (QoS 1)."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from fleetgrad.errors import LinkClosed, LinkError
from fleetgrad.link.access import PASSWORD_VARIABLE, BrokerAddress, Certificates, tls_context
from fleetgrad.link.batched import BatchedSocket
from fleetgrad.link.pair import socket_pair

_ANSWER_S = 10.0
_KEEPALIVE_S = 30
_SESSION_S = 24 * 3600  # what comes while this side is away is kept so long
_GOODBYE_S = 2.0  # of waiting for the broker to acknowledge, at most
_GLANCE_S = 0.005
_UNACKNOWLEDGED = 1000  # records under way at a time, each way
_RETRY_S = 1.0  # until the next attempt to come back; doubles ...
_RETRY_MAX_S = 10.0  # ... up to this
_LOOK_S = 1.0
_QOS_1 = 0x02  # in the first byte of a PUBLISH
_UNSUPPORTED_VERSION = 132  # MQTT 5, table 2-6


@dataclass(frozen=True, slots=True)
class _Word:
    """Left for the thread: a record to publish, or without bytes a topic to subscribe to."""

    topic: str
    data: bytes | None = None
    retain: bool = False
    lasting: bool = False


class _Paho(paho.Client):
    """paho's client, whose socket is read and written in large pieces.

    Attributes:
        take: Takes topic and bytes of a record.
    """

    take: Callable[[str, bytes], None]

    def _create_socket(self) -> Any:
        return BatchedSocket(cast("socket.socket", super()._create_socket()))

    def _handle_publish(self) -> Any:
        """Nearly all records are alike: QoS 1, no properties. The others take the long way."""
        body = self._in_packet["packet"]
        end = 2 + int.from_bytes(body[:2], "big")
        plain = self.protocol == MQTTProtocolVersion.MQTTv5 and body[end + 2 : end + 3] == b"\0"
        if not plain or self._in_packet["command"] & 0x06 != _QOS_1:
            return super()._handle_publish()
        try:
            topic = bytes(body[2:end]).decode()
        except UnicodeDecodeError:
            return super()._handle_publish()
        self.take(topic, bytes(body[end + 3 :]))
        return self._send_puback(int.from_bytes(body[end : end + 2], "big"))


class MqttClient:
    """One connection, which comes back by itself when it is lost.

    A thread of its own does all that the client library does; the other methods only leave word.

    Args:
        address: Where.
        certificates: For TLS.
        client_id: Who; the broker keeps a session for it.
        receive: Takes topic and bytes of every record, in a thread of this client.
        tell: Is told of connections that come and go, likewise.
        settled: Is told that the broker has acknowledged something, likewise.
        modern: Whether to try MQTT 5 first; 3.1.1 where that does not work.

    Raises:
        LinkError: The broker cannot be reached or does not let us in.
    """

    def __init__(
        self,
        address: BrokerAddress,
        certificates: Certificates,
        client_id: str,
        receive: Callable[[str, bytes], None],
        tell: Callable[[str], None] = lambda _: None,
        *,
        settled: Callable[[], None] = lambda: None,
        modern: bool = True,
    ) -> None:
        self._address = address
        self._tell = tell
        self._settled = settled
        self._receive = receive
        self._topics: list[str] = []
        self._said: deque[paho.MQTTMessageInfo] = deque()
        self._words: deque[_Word] = deque()
        self._bell, self._door = socket_pair("the client of the broker")
        self._rung = False
        self._answered = threading.Event()
        self._ending = threading.Event()
        self._refusal: ReasonCode | None = None
        self._welcome = False
        self._thread: threading.Thread | None = None
        version = MQTTProtocolVersion.MQTTv5 if modern else MQTTProtocolVersion.MQTTv311
        self._client = self._connect(certificates, client_id, version)
        if not self._welcome and self._perhaps_older:
            self._client = self._connect(certificates, client_id, MQTTProtocolVersion.MQTTv311)
        if not self._welcome:
            self.close()
            raise self._refused()

    @property
    def _perhaps_older(self) -> bool:
        """Whether a broker of MQTT 3.1.1 may have behaved like this."""
        return self._refusal is None or self._refusal.value == _UNSUPPORTED_VERSION

    def subscribe(self, topic: str) -> None:
        """Wants the records of a topic, wildcards included, from now on."""
        self._leave(_Word(topic))

    @property
    def connected(self) -> bool:
        """Whether the broker is there now."""
        return self._client.is_connected()

    @property
    def room(self) -> int:
        """How many more records had better be under way to the broker now."""
        return max(0, _UNACKNOWLEDGED - len(self._said) - len(self._words))

    def publish(self, topic: str, data: bytes, *, retain: bool = False) -> None:
        """Says something that must be known: kept until the broker has it, whenever that is."""
        self._leave(_Word(topic, data, retain=retain, lasting=True))

    def send(self, records: Iterable[tuple[str, bytes]]) -> None:
        """Sends records of conversations; lost while the broker is away, and then said again."""
        if self.connected:
            self._leave(*(_Word(topic, data) for topic, data in records))

    def close(self) -> None:
        """Says goodbye, once the broker has what was said; harmless when that was said.

        A connection that is closed while something from the broker is unread takes back what has
        not arrived there yet.
        """
        self.settle()
        self._end()
        self._bell.close()
        self._door.close()

    def settle(self) -> None:
        """Waits until the broker has what was said, for a moment at most."""
        until = time.monotonic() + _GOODBYE_S
        while self.connected and (self._words or self._said) and time.monotonic() < until:
            time.sleep(_GLANCE_S)

    def _leave(self, *words: _Word) -> None:
        self._words.extend(words)
        self._ring()

    def _ring(self) -> None:
        if not self._rung:
            self._rung = True
            with contextlib.suppress(LinkClosed):
                self._bell.write(b"!")

    def _end(self) -> None:
        if self._thread is not None:
            self._ending.set()
            self._ring()
            self._thread.join()
            self._thread = None
            self._ending.clear()

    def _connect(
        self, certificates: Certificates, client_id: str, version: MQTTProtocolVersion
    ) -> paho.Client:
        self._end()
        address = self._address
        self._answered.clear()
        self._refusal = None
        modern = version == MQTTProtocolVersion.MQTTv5
        client = _Paho(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            clean_session=None if modern else False,
            protocol=version,
        )
        client.max_inflight_messages_set(0)  # no bound: `crowded` is ours, and costs no search
        if address.user:
            client.username_pw_set(address.user, address.password or None)
        if address.tls:
            client.tls_set_context(tls_context(certificates))
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.take = self._receive
        options: dict[str, Any] = {}
        if modern:
            wishes = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            wishes.SessionExpiryInterval = _SESSION_S
            wishes.ReceiveMaximum = _UNACKNOWLEDGED
            options = {"clean_start": False, "properties": wishes}
        try:
            client.connect(address.host, address.port, _KEEPALIVE_S, **options)
        except ssl.SSLCertVerificationError as error:
            raise LinkError(
                f"the broker's certificate does not verify: {error.verify_message}",
                where=str(address),
                hint="set fleet.ca to the certificate of whoever issued it",
            ) from error
        except ssl.SSLError as error:
            raise LinkError(
                f"TLS with the broker fails: {error.reason or error}",
                where=str(address),
                hint="check fleet.cert and fleet.key, and that the port is the one with TLS; one"
                " that asks for a pre-shared key is for devices: Python's TLS has none before 3.13",
            ) from error
        except OSError as error:
            raise LinkError(
                f"the broker cannot be reached: {error.strerror or error}",
                where=str(address),
                hint="check fleet.broker, and that the broker runs",
            ) from error
        self._thread = threading.Thread(target=self._serve, args=(client,), daemon=True)
        self._thread.start()
        self._answered.wait(_ANSWER_S)
        return client

    def _serve(self, client: paho.Client) -> None:
        """The thread: words go out, records come in, a lost connection comes back."""
        pause = _RETRY_S
        while not self._ending.is_set():
            line: object = client.socket()
            if isinstance(line, BatchedSocket):
                pause = _RETRY_S if client.is_connected() else pause
                self._turn(client, line)
                continue
            if not self._welcome:  # it never let us in: there is nothing to come back to
                self._answered.set()
                return
            self._ending.wait(pause)
            pause = min(2 * pause, _RETRY_MAX_S)
            with contextlib.suppress(OSError):  # also TLS's errors: it may be on its way up
                client.reconnect()
        client.disconnect()

    def _turn(self, client: paho.Client, line: BatchedSocket) -> None:
        wait = 0.0 if line.waiting or line.pending() else _LOOK_S
        poll = select.poll()  # descriptors may have any number
        poll.register(line, select.POLLIN | (select.POLLOUT if line.unsent else 0))
        poll.register(self._door, select.POLLIN)
        ready = {number for number, mask in poll.poll(1000 * wait) if mask & ~select.POLLOUT}
        if self._rung:
            self._rung = False  # first: a word that is left now rings again
            self._door.read()
        for _ in range(len(self._words)):
            self._say(client, self._words.popleft())
        if line.fileno() in ready or not wait:
            client.loop_read()
            while line.waiting and _is(client.socket(), line):
                client.loop_read()
        if _is(client.socket(), line):
            client.loop_write()
            with contextlib.suppress(OSError):  # what is wrong shows in reading
                line.flush()
            client.loop_misc()
        while self._said and self._said[0].is_published():
            self._said.popleft()
        self._settled()

    def _say(self, client: paho.Client, word: _Word) -> None:
        if word.data is None:
            self._topics.append(word.topic)
            client.subscribe(word.topic, qos=1)
        elif word.lasting or client.is_connected():
            said = client.publish(word.topic, word.data, qos=1, retain=word.retain)
            if said.rc == paho.MQTT_ERR_SUCCESS:  # else it waits for the connection to come back
                self._said.append(said)

    def _refused(self) -> LinkError:
        if self._refusal is None:
            silent = not self._answered.is_set()
            return LinkError(
                f"the broker does not answer for {_ANSWER_S:.0f} s"
                if silent
                else "the broker hangs up on us without an answer",
                where=str(self._address),
                hint="is it a broker, does it speak TLS or not as the URL says, and does it want a"
                " certificate (fleet.cert and fleet.key)?",
            )
        return LinkError(
            f"the broker refuses us: {str(self._refusal).lower()}",
            where=str(self._address),
            hint=f"check the user in fleet.broker, and {PASSWORD_VARIABLE}",
        )

    def _on_connect(
        self, client: paho.Client, _: object, __: object, code: ReasonCode, ___: object
    ) -> None:
        if code.is_failure:
            self._refusal = code
        else:
            back, self._welcome = self._welcome, True
            for topic in self._topics:  # a broker that lost its memory lost our wishes too
                client.subscribe(topic, qos=1)
            if back:
                self._tell("the broker is back")
        self._answered.set()

    def _on_disconnect(
        self, _: paho.Client, __: object, ___: object, code: ReasonCode, ____: object
    ) -> None:
        if code.is_failure and self._welcome:
            self._tell(f"the broker is away: {str(code).lower()}")

    def _on_message(self, _: paho.Client, __: object, message: paho.MQTTMessage) -> None:
        self._receive(message.topic, bytes(message.payload))


def _is(one: object, other: object) -> bool:
    """Whether a client still has the same socket."""
    return one is other
