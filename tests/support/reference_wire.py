"""The oracle of the wire tests: protocol 502 in plain `struct`, slow and obviously right.

It knows whole byte strings only, and shares no code with `protocol._assembler`. `decode_stream` says which messages a stream
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
FLAG_BUFFERS = 0x8000
MOST_BUFFERS, SMALLEST_BLOCK = 65535, 16384
ENTRY = struct.Struct("!BI")
KINDS = {"bytes": 0, "bytearray": 1, "Block": 2}
MOST_ANNOTATIONS = 4096
PREFIX = struct.pack("!4sH", TAG, VERSION)


@dataclass(frozen=True)
class ReferenceMessage:
    """One message, with the same attributes as `fastpyro.protocol._assembler.Message`."""

    kind: int
    flags: int
    seq: int
    serializer_id: int
    payload: bytes
    annotations: dict[str, bytes] = field(default_factory=dict)
    correlation_id: bytes | None = None
    buffers: tuple[tuple[int, bytes], ...] | None = None
    """Kind (0 bytes, 1 bytearray, 2 block) and contents of the buffers behind the payload proper."""


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
        None if message.buffers is None else tuple((KINDS[type(one).__name__], bytes(one)) for one in message.buffers),
    )


def encode_annotations(annotations: Mapping[str, bytes]) -> bytes:
    return b"".join(CHUNK.pack(key.encode("ascii"), len(value)) + value for key, value in annotations.items())


def payload_parts(message: ReferenceMessage) -> list[bytes]:
    """Return what the payload consists of on the wire."""
    if message.buffers is None:
        return [message.payload]
    table = b"".join(ENTRY.pack(kind, len(data)) for kind, data in message.buffers)
    head = struct.pack("!I", len(message.buffers)) + table + message.payload
    return [head, *(data for _, data in message.buffers)]


def encode(message: ReferenceMessage) -> bytes:
    """Lay out a message; its flags must agree with its correlation id."""
    chunks = encode_annotations(message.annotations)
    payload = b"".join(payload_parts(message))
    header = HEADER.pack(
        TAG,
        VERSION,
        message.kind,
        message.serializer_id,
        message.flags,
        message.seq,
        len(payload),
        len(chunks),
        message.correlation_id or bytes(16),
        0,
        MAGIC,
    )
    return header + chunks + payload


def split_buffers(data: bytes, size: int) -> tuple[bytes, tuple[tuple[int, bytes], ...]] | None:
    """Take apart as much of a payload with buffers as is there; None when it is not all there.

    Raises NotAMessage as soon as what is there cannot be the beginning of one of that size.
    """
    if size < 4:
        raise NotAMessage("no room for the count")
    if len(data) < 4:
        return None
    (count,) = struct.unpack_from("!I", data)
    proper_at = 4 + count * ENTRY.size
    if not 0 < count <= MOST_BUFFERS or proper_at > size:
        raise NotAMessage("a bad count")
    if len(data) < proper_at:
        return None
    entries = list(ENTRY.iter_unpack(data[4:proper_at]))
    for kind, length in entries:
        if kind > 2 or (kind == 2 and length < SMALLEST_BLOCK):
            raise NotAMessage("a bad kind")
    at = size - sum(length for _, length in entries)
    if at <= proper_at:
        raise NotAMessage("no room for the payload proper")
    if len(data) < size:
        return None
    proper, buffers = data[proper_at:at], []
    for kind, length in entries:
        buffers.append((kind, data[at : at + length]))
        at += length
    return proper, tuple(buffers)


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
        payload, buffers = data[payload_at : payload_at + size], None
        if flags & FLAG_BUFFERS:
            try:
                parts = split_buffers(payload, size)
            except NotAMessage:
                return messages, "bad"
            if parts is None:
                return messages, "receiving"
            payload, buffers = parts
        elif len(payload) < size:
            return messages, "receiving"
        correlated = correlation_id if flags & FLAG_CORRELATION else None
        messages.append(ReferenceMessage(kind, flags, seq, serializer_id, payload, annotations, correlated, buffers))
        data = data[payload_at + size :]
    return messages, "idle"
