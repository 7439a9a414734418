# SPDX-License-Identifier: Apache-2.0
"""What a device must be to take part, and what its refusals mean."""

from dataclasses import dataclass

from fleetgrad.device.events import Refused
from fleetgrad.device.sums import Board, Entry
from fleetgrad.device.update import Shape, Update
from fleetgrad.wire.messages import SCHEMA_HASH, WIRE_VERSION, ErrorCode, Hello


@dataclass(frozen=True, slots=True)
class Expected:
    """What must be at the other end.

    Attributes:
        device: Device id.
        model_digest: First 8 bytes of the bundle's digest.
        shape: What its updates consist of.
    """

    device: int
    model_digest: bytes
    shape: Shape


# What a device says of work that it can never do; everything else is repaired by repetition.
UNABLE = {
    ErrorCode.BAD_MESSAGE: "it does not accept the round's terms",
    ErrorCode.WRONG_MODEL: "it runs another model",
    ErrorCode.NO_DATA: "it has no samples for this round's work",
    ErrorCode.BAD_IMAGE: "its data image is missing or damaged",
    ErrorCode.UNSUPPORTED: "its generated model cannot do this round's work",
    ErrorCode.FAILED: "a kernel on it reported an error",
}


def check(hello: Hello, expected: Expected) -> Refused | None:
    """Finds what makes a device useless for this run, each thing in words of its own.

    Args:
        hello: What the device says of itself.
        expected: What it should say.

    Returns:
        The refusal, or None for a device that may take part.
    """

    def refuse(code: str, reason: str) -> Refused:
        return Refused(expected.device, code, reason)

    if not hello.version_min <= WIRE_VERSION <= hello.version_max:
        spoken = f"{hello.version_min} to {hello.version_max}"
        return refuse("version", f"it speaks wire versions {spoken}, not {WIRE_VERSION}")
    if hello.schema_hash != SCHEMA_HASH:
        return refuse(
            "schema",
            f"its messages have the schema {hello.schema_hash:08x}, ours {SCHEMA_HASH:08x}:"
            " rebuild and flash its firmware",
        )
    # A device without a usable image knows neither its id nor its samples: say that first.
    if hello.problem:
        known = hello.problem in [int(code) for code in ErrorCode]
        name = ErrorCode(hello.problem).name.lower() if known else str(hello.problem)
        meaning = UNABLE.get(ErrorCode(hello.problem), "") if known else ""
        return refuse("problem", f"it reports {name}" + (f": {meaning}" if meaning else ""))
    if hello.device_id != expected.device:
        return refuse("identity", f"it says that it is device {hello.device_id}")
    if hello.model_digest != expected.model_digest:
        return refuse(
            "model",
            f"it runs the model {hello.model_digest.hex()}, this run trains"
            f" {expected.model_digest.hex()}: rebuild and flash its firmware",
        )
    return None


def boast(update: Update | Entry, hello: Hello | Board) -> str:
    """Says which samples an update claims that its device does not have; empty when none.

    The claim is the update's weight in the mean, so it must not be larger than the truth.
    """
    for kind, claimed, held in (
        ("training", update.samples, hello.train_samples),
        ("held-out", update.eval_samples, hello.eval_samples),
    ):
        if claimed > held:
            return f"an update from {claimed} {kind} samples of a device that holds {held}"
    return ""
