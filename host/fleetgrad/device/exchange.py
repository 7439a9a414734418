# SPDX-License-Identifier: Apache-2.0
"""One round with one device: its terms and parameters go down, its update comes up."""

from typing import TypeAlias

from fleetgrad.device.sums import SumBlob, SumShape
from fleetgrad.device.update import Shape, Update
from fleetgrad.errors import FleetgradError
from fleetgrad.wire.errors import TransferError
from fleetgrad.wire.messages import Ack, Chunk, Hello, RoundOpen
from fleetgrad.wire.transfer import TIMEOUT_MS, Receiver, Sender, transfer_id

Outgoing: TypeAlias = RoundOpen | Chunk | Ack

# A device that finds the parameters damaged begins again; more often than this is no accident.
_MAX_RESTARTS = 3

_CRC_BYTES = 4  # an update begins with the CRC of all the rest: its name, as it were


class Exchange:
    """The host's side of a round on one device; sans-I/O, driven by the session.

    Args:
        terms: The round's terms.
        blob: The parameter vector.
        shape: What the answer consists of.
        max_payload: Largest payload both sides take.
    """

    def __init__(
        self, terms: RoundOpen, blob: bytes, shape: Shape | SumShape, max_payload: int
    ) -> None:
        self.terms = terms
        self._shape = shape
        self._update_bytes = total = shape.update_bytes(terms.work)
        self._transfer = transfer_id(terms.round)
        self._sender = Sender(blob, self._transfer, max_payload)
        self._receiver = Receiver(self._transfer, total)
        self._announced = False  # the terms are on their way for the present position
        self._held: Chunk | None = None
        self._asked_ms: int | None = None  # when terms went out whose answer says where to go on
        self._asks = False
        self._tells = False  # where its update is to go on
        self._timeouts = 0
        self._restarts = 0
        self._finished = False

    @property
    def finished(self) -> bool:
        """The whole update has arrived, or the device will not send one."""
        return self._finished

    @property
    def delivered(self) -> bool:
        """The device has the whole parameter vector."""
        return self._sender.done

    @property
    def uploading(self) -> int:
        """Bytes of an answer that has begun to come and is not here yet; 0 when none has."""
        begun = not self._finished and self._receiver.next_offset > 0
        return self._update_bytes if begun else 0

    @property
    def may_upload(self) -> bool:
        """Whether the next bytes may be the first of the answer."""
        return not self._finished and self._sender.done and self._receiver.next_offset == 0

    def poll(self, now_ms: int) -> Outgoing | None:
        """The next message to send, or None; ask again until None while the line takes more."""
        if self._finished:
            return None
        if not self._announced:
            self._announced = True
            self._asked_ms = now_ms if self._asks else None
            return self.terms
        if self._tells:
            self._tells = False
            return self._receiver.ack()
        if self._is_asking(now_ms):
            return None
        if self._held is not None:
            held, self._held = self._held, None
            return held
        chunk = self._sender.poll(now_ms)
        repeated = self._sender.timeouts > self._timeouts
        self._timeouts = self._sender.timeouts
        if not repeated:
            return chunk
        # Silence: the terms themselves may be what was lost, and without them chunks mean nothing.
        self._held = chunk
        return self.terms

    def wait(self, now_ms: int) -> int | None:
        """Milliseconds until :meth:`poll` has something; None when only the device can act."""
        if self._finished:
            return None
        if not self._announced or self._tells:
            return 0
        if self._asked_ms is not None:
            return max(0, self._asked_ms + TIMEOUT_MS - now_ms)
        return self._sender.wait(now_ms) if self._held is None else 0

    def announce(self) -> None:
        """Sends the terms once more; the device answers how far it is, or sends its update."""
        self._announced = False

    def restart(self) -> bool:
        """Sends terms and parameters from the beginning; False when that happened too often."""
        self._restarts += 1
        self.resend()
        return self._restarts <= _MAX_RESTARTS

    def resend(self) -> None:
        """The device does not know of this round: sends terms and parameters again."""
        self._sender.resume(0)
        self._held = self._asked_ms = None
        self._asks = self._tells = False
        self._announced = False

    def anew(self) -> None:
        """The device has nothing of this round, and nothing of its update can be relied on."""
        self._receiver = Receiver(self._transfer, self._update_bytes)
        self.resend()

    def rejoin(self, hello: Hello) -> None:
        """The same round in a new session: what the device holds need not be sent again.

        Args:
            hello: What it says that it holds.
        """
        terms = self.terms
        known = (hello.round, hello.version_tag) == (terms.round, terms.version_tag)
        here = self._receiver.data[:_CRC_BYTES]
        same = known and here == hello.update_crc.to_bytes(_CRC_BYTES, "little")
        if same:
            self.resend()
        else:
            self.anew()
        self._asks, self._tells = known, same

    def _is_asking(self, now_ms: int) -> bool:
        """Whether the device is still to say how much of the parameters it has."""
        if self._asked_ms is not None and now_ms - self._asked_ms >= TIMEOUT_MS:
            self._asked_ms = None  # the terms may be lost: everything is sent again
            self._asks = False
        return self._asked_ms is not None

    def finish(self) -> None:
        """Stops sending: the device refused, or its update is here."""
        self._finished = True
        self._receiver = Receiver(self._transfer, self._update_bytes)  # lets go of the bytes

    def acknowledged(self, ack: Ack) -> None:
        """Takes an acknowledgement; one that cannot be of this round is ignored."""
        if ack.transfer == self._transfer:
            self._asked_ms = None
            self._asks = False
        try:
            self._sender.acknowledge(ack)
        except TransferError:
            return

    def accept(self, chunk: Chunk) -> tuple[Ack | None, bytes | None]:
        """Takes a chunk of the update.

        Returns:
            The acknowledgement to send, if one is due, and the whole blob once it is complete.

        Raises:
            TransferError: It is of another round, or beyond the update's end.
        """
        if self._finished and chunk.transfer == self._transfer:
            # Our last acknowledgement was lost; the device repeats until it hears it.
            return Ack(self._transfer, self._update_bytes), None
        if chunk.transfer == self._transfer:
            self._asked_ms = None
        if not self._sender.done and chunk.transfer == self._transfer:
            # It has everything: only an acknowledgement of ours got lost on its way here.
            self._sender.resume(2**32)
        received = self._receiver.accept(chunk)
        return received.ack, self._receiver.data if received.complete else None

    def read(self, blob: bytes) -> Update | SumBlob:
        """Checks a complete blob against the round.

        Raises:
            FleetgradError: When the update is damaged or not of this round and version.
        """
        update = self._shape.read(blob, self.terms.work)
        for name, given, wanted in (
            ("round", update.round, self.terms.round),
            ("version", update.version_tag, self.terms.version_tag),
        ):
            if given != wanted:
                raise FleetgradError(f"an update for {name} {given:#x}", expected=f"{wanted:#x}")
        return update
