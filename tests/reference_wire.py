"""The oracle of the wire tests: protocol 502 in plain `struct`, slow and obviously right.

It knows whole byte strings only, and shares no code with `fastpyro._wire`. `decode_stream` says which messages a stream
holds and how it ends: in the middle of a message, at a boundary, or in bytes that are no message.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

HEADER = struct.Struct("!4sHBBHHII16sHH")
CHUNK = struct.Struct("!4sI")
TAG, VERSION, MAGIC = b"PYRO", 502, 0x4DC5
FLAG_CORRELATION = 64
MOST_ANNOTATIONS = 65536
PREFIX = struct.pack("!4sH", TAG, VERSION)


@dataclass(frozen=True)
class ReferenceMessage:
    """One message, with the same attributes as `fastpyro._wire.Message`."""

    kind: int
    flags: int
    seq: int
    serializer_id: int
    payload: bytes
    annotations: dict[str, bytes] = field(default_factory=dict)
    correlation_id: bytes | None = None


class NotAMessage(Exception):
    """Annotations that must be a RemoteProtocolError in fastpyro."""


def facts(message: Any) -> ReferenceMessage:
    """Return what a message of either codec says, in a form that can be compared."""
    return ReferenceMessage(
        message.kind,
        message.flags,
        message.seq,
        message.serializer_id,
        message.payload,
        dict(message.annotations),
        message.correlation_id,
    )


def encode_annotations(annotations: Mapping[str, bytes]) -> bytes:
    return b"".join(CHUNK.pack(key.encode("ascii"), len(value)) + value for key, value in annotations.items())


def encode(message: ReferenceMessage) -> bytes:
    """Lay out a message; its flags must agree with its correlation id."""
    chunks = encode_annotations(message.annotations)
    header = HEADER.pack(
        TAG,
        VERSION,
        message.kind,
        message.serializer_id,
        message.flags,
        message.seq,
        len(message.payload),
        len(chunks),
        message.correlation_id or bytes(16),
        0,
        MAGIC,
    )
    return header + chunks + message.payload


def decode_annotations(data: bytes) -> dict[str, bytes]:
    annotations: dict[str, bytes] = {}
    while data:
        if len(data) < CHUNK.size:
            raise NotAMessage("half a chunk")
        key, size = CHUNK.unpack_from(data)
        value = data[CHUNK.size : CHUNK.size + size]
        if len(value) < size or not key.isascii() or key.decode() in annotations:
            raise NotAMessage("a chunk that overruns, or a bad key")
        annotations[key.decode()] = value
        data = data[CHUNK.size + size :]
    if len(annotations) > MOST_ANNOTATIONS:
        raise NotAMessage("too many annotations")
    return annotations


def decode_stream(data: bytes, limit: int = 0xFFFFFFFF) -> tuple[list[ReferenceMessage], str]:
    """Return the messages at the start of a stream, and what comes after them.

    That is "idle" (nothing), "receiving" (part of a message), "too large" or "bad".
    """
    messages: list[ReferenceMessage] = []
    while data:
        if data[:4] != TAG[: len(data)] or (len(data) >= 6 and data[:6] != PREFIX):
            return messages, "bad"
        if len(data) < HEADER.size:
            return messages, "receiving"
        _, _, kind, serializer_id, flags, seq, size, chunks_size, correlation_id, _, magic = HEADER.unpack_from(data)
        if magic != MAGIC:
            return messages, "bad"
        if size + chunks_size > limit:
            return messages, "too large"
        payload_at = HEADER.size + chunks_size
        if len(data) < payload_at:
            return messages, "receiving"
        try:
            annotations = decode_annotations(data[HEADER.size : payload_at])
        except NotAMessage:
            return messages, "bad"
        if len(data) < payload_at + size:
            return messages, "receiving"
        correlated = correlation_id if flags & FLAG_CORRELATION else None
        payload = data[payload_at : payload_at + size]
        messages.append(ReferenceMessage(kind, flags, seq, serializer_id, payload, annotations, correlated))
        data = data[payload_at + size :]
    return messages, "idle"
