"""Payloads that travel compressed (zlib). Nobody knows how large one will be before it has been inflated, so that is bounded
while it happens: a few bytes must not fill the memory of whoever receives them.
"""

from __future__ import annotations

from fastpyro.config import config
from fastpyro.errors import MessageTooLargeError, RemoteProtocolError
from fastpyro.light_typing import TYPE_CHECKING
from fastpyro.message_kinds import FLAGS_COMPRESSED

if TYPE_CHECKING:
    from typing import Any

    from fastpyro._message import Message

__all__ = ["deflated", "payload_of"]

SMALLEST = 200
"""Bytes; what is smaller is sent as it is, as Pyro4 does (Pyro5 begins at 100)."""

LEVEL = 4
"""Of 9, as Pyro5 has it: most of the gain for a fraction of the time."""

MOST_AT_ANY_RATIO = 64 << 20
"""Bytes that any payload may become."""

MOST_RATIO = 200
"""How many times its own size a payload may become beyond that; zlib's format could reach 1030."""

STEP = 1 << 20


def deflated(payload: Any) -> tuple[Any, int]:
    """Return what to send for a payload, and the flag that says whether it is compressed: only if that is shorter."""
    if type(payload) is list or len(payload) < SMALLEST:
        return payload, 0
    import zlib

    packed = zlib.compress(payload, LEVEL)
    return (packed, FLAGS_COMPRESSED) if len(packed) < len(payload) else (payload, 0)


def payload_of(message: Message, limit: int | None = None) -> bytes:
    """Return a message's payload, inflated when it came compressed.

    Arguments: ``limit``, the most bytes that it may become (None: MAX_MESSAGE_SIZE). Raises MessageTooLargeError beyond
    it, or beyond what its size makes plausible; RemoteProtocolError for bytes that are no zlib stream.
    """
    if not message.flags & FLAGS_COMPRESSED:
        return message.payload
    import zlib

    packed = message.payload
    most = min(limit or config.MAX_MESSAGE_SIZE or 0xFFFFFFFF, max(MOST_AT_ANY_RATIO, MOST_RATIO * len(packed)))
    inflater = zlib.decompressobj()
    parts = []
    size = 0
    try:
        while True:
            part = inflater.decompress(packed, STEP)
            size += len(part)
            if size > most:
                raise MessageTooLargeError(
                    f"a compressed message of {len(message.payload):,} bytes becomes more than {most:,}; it is refused"
                )
            parts.append(part)
            packed = inflater.unconsumed_tail
            if inflater.eof or (not packed and len(part) < STEP):
                break
    except zlib.error as error:
        raise RemoteProtocolError(f"a compressed message is no zlib stream: {error}") from None
    if not inflater.eof or inflater.unused_data:
        raise RemoteProtocolError("a compressed message ends too early, or goes on after its end")
    return b"".join(parts)
