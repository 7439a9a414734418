# SPDX-License-Identifier: Apache-2.0
"""One round with one device: its terms and parameters go down, its update comes up."""

from typing import TypeAlias

from fleetgrad.device.sums import SumBlob, SumShape
from fleetgrad.device.update import Shape, Update
from fleetgrad.errors import FleetgradError
from fleetgrad.wire.errors import TransferError
from fleetgrad.wire.messages import Ack, Chunk, RoundOpen
from fleetgrad.wire.transfer import Receiver, Sender, transfer_id

Outgoing: TypeAlias = RoundOpen | Chunk | Ack

# A device that finds the parameters damaged begins again; more often than this is no accident.
_MAX_RESTARTS = 3


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

    def poll(self, now_ms: int) -> Outgoing | None:
        """The next message to send, or None; ask again until None while the line takes more."""
        if self._finished:
            return None
        if not self._announced:
            self._announced = True
            return self.terms
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
        return self._sender.wait(now_ms) if self._announced and self._held is None else 0

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
        self._held = None
        self._announced = False

    def rejoin(self) -> None:
        """The same round in a new session: a rebooted device has nothing, another may have all."""
        self._receiver = Receiver(self._transfer, self._update_bytes)
        self.resend()

    def finish(self) -> None:
        """Stops sending: the device refused, or its update is here."""
        self._finished = True
        self._receiver = Receiver(self._transfer, self._update_bytes)  # lets go of the bytes

    def acknowledged(self, ack: Ack) -> None:
        """Takes an acknowledgement; one that cannot be of this round is ignored."""
        try:
            self._sender.acknowledge(ack)
        except TransferError:
            return

    def accept(self, chunk: Chunk) -> tuple[Ack | None, bytes | None]:
        """Takes a chunk of the update.

        Returns:
            The acknowledgement to send, if one is due, and the whole blob once it is complete.
        """
        if self._finished:
            # Our last acknowledgement was lost; the device repeats until it hears it.
            ack = Ack(self._transfer, self._update_bytes)
            return (ack if chunk.transfer == self._transfer else None), None
        if not self._sender.done and chunk.transfer == self._transfer:
            # It has everything: only an acknowledgement of ours got lost on its way here.
            self._sender.resume(2**32)
        try:
            received = self._receiver.accept(chunk)
        except TransferError:
            return None, None
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
