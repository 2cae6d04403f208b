"""Payloads that travel compressed (zlib). Nobody knows how large one will be before it has been inflated, so that is bounded
while it happens: a few bytes must not fill the memory of whoever receives them.
"""

from __future__ import annotations

from fastpyro._light_typing import TYPE_CHECKING
from fastpyro.config import config
from fastpyro.constants import FLAGS_COMPRESSED
from fastpyro.errors import MessageTooLargeError, RemoteProtocolError
from fastpyro.values._memory_budget import Inflated

if TYPE_CHECKING:
    from typing import Any

    from fastpyro.protocol._message import Message

__all__ = ["deflated", "payload_of"]

SMALLEST = 200
"""Bytes; what is smaller is sent as it is, as Pyro4 does (Pyro5 begins at 100)."""

LEVEL = 4
"""Of 9, as Pyro5 has it: most of the gain for a fraction of the time."""

USUAL_SIZE = 49152
USUAL_RATIO = 16
"""What shrinks to less is sent as it is: its values may take more than those of a compressed message may; see
`values._memory_budget`."""


def deflated(payload: Any) -> tuple[Any, int]:
    """Return what to send for a payload, and the flag that says whether it is compressed: only if that is shorter.

    What is so much shorter that a peer with our configuration might refuse it is sent as it is.
    """
    if type(payload) is list or len(payload) < SMALLEST:
        return payload, 0
    import zlib

    packed = zlib.compress(payload, LEVEL)
    usual = USUAL_SIZE + USUAL_RATIO * len(packed)
    if len(packed) >= len(payload) or len(payload) > min(usual, most_inflated(len(packed))):
        return payload, 0
    return packed, FLAGS_COMPRESSED


def most_inflated(size: int) -> int:
    """Return the bytes that a compressed payload of ``size`` bytes may become.

    Zeros shrink to a thousandth, text and numbers to a tenth at the best: what is beyond both limits was made to be large.
    """
    most: int = config.INFLATED_SIZE + config.INFLATED_RATIO * size
    return most


def payload_of(message: Message, limit: int | None = None) -> bytes:
    """Return a message's payload, inflated when it came compressed; it knows then how many bytes arrived.

    Arguments: ``limit``, the most bytes that it may become (None: MAX_MESSAGE_SIZE). Raises MessageTooLargeError beyond
    it, or beyond what its size makes plausible; RemoteProtocolError for bytes that are no zlib stream.
    """
    if not message.flags & FLAGS_COMPRESSED:
        return message.payload
    import zlib

    packed = message.payload
    most = min(limit or config.MAX_MESSAGE_SIZE or 0xFFFFFFFF, most_inflated(len(packed)))
    inflater = zlib.decompressobj()
    try:
        data = inflater.decompress(packed, most + 1)  # in one pass: what it leaves over is copied once
    except zlib.error as error:
        raise RemoteProtocolError(f"a compressed message is no zlib stream: {error}") from None
    if len(data) > most:
        raise MessageTooLargeError(
            f"a compressed message of {len(packed):,} bytes becomes more than {most:,}; it is refused. MAX_MESSAGE_SIZE, "
            "and INFLATED_SIZE with INFLATED_RATIO, are the limits"
        )
    if not inflater.eof or inflater.unused_data:
        raise RemoteProtocolError("a compressed message ends too early, or goes on after its end")
    inflated = Inflated(data)
    inflated.arrived = len(packed)
    return inflated
