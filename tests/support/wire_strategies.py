"""Hypothesis strategies for the bytes of messages: good ones, good ones with changes, and anything."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st
from reference_wire import HEADER, ReferenceMessage, encode, encode_annotations

LIMIT = 4096
FLAG_CORRELATION = 64
FLAG_BUFFERS = 0x8000

bytes_ = st.one_of(st.binary(max_size=64), st.binary(max_size=600))
keys = st.text(st.characters(max_codepoint=127), min_size=4, max_size=4)
annotation_dicts = st.dictionaries(keys, st.binary(max_size=80), max_size=5)


def _message(*fields: Any) -> ReferenceMessage:
    kind, flags, seq, serializer_id, payload, chunks, correlation_id, buffers = fields
    flags = flags & ~FLAG_CORRELATION if correlation_id is None else flags | FLAG_CORRELATION
    flags = flags & ~FLAG_BUFFERS if buffers is None else flags | FLAG_BUFFERS
    payload = payload or b"x" if buffers is not None else payload
    return ReferenceMessage(kind, flags, seq, serializer_id, payload, chunks, correlation_id, buffers)


octet, short = st.integers(0, 255), st.integers(0, 0xFFFF)
correlation_ids = st.none() | st.binary(min_size=16, max_size=16)
buffer_lists = st.none() | st.lists(st.tuples(st.integers(0, 1), bytes_), min_size=1, max_size=4).map(tuple)
messages = st.builds(_message, octet, short, short, octet, bytes_, annotation_dicts, correlation_ids, buffer_lists)
streams = st.lists(messages, max_size=4).map(lambda some: b"".join(map(encode, some)))


@st.composite
def mutated_streams(draw: Any) -> bytes:
    """Good messages with a few changes: a header's field, a length, a byte, a bit, a cut, a repetition."""
    data = bytearray(b"".join(encode(one) for one in draw(st.lists(messages, min_size=1, max_size=3))))
    for _ in range(draw(st.integers(1, 3))):
        if not data:
            break
        at = draw(st.integers(0, len(data) - 1))
        match draw(st.sampled_from(["bit", "byte", "length", "header", "cut", "repeat", "insert"])):
            case "bit":
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "byte":
                data[at] = draw(octet)
            case "length":  # a header's two sizes, or the length of the first annotation
                offset = draw(st.sampled_from([12, 16, 44]))
                size = draw(st.integers(0, 300) | st.integers(0, 0xFFFFFFFF))
                data[offset : offset + 4] = size.to_bytes(4, "big")
            case "header":
                offset = draw(st.integers(0, HEADER.size - 1))
                if offset < len(data):
                    data[offset] = draw(octet)
            case "cut":
                del data[at : at + draw(st.integers(1, 60))]
            case "repeat":
                data[at:at] = data[at : at + draw(st.integers(1, 60))]
            case "insert":
                data[at:at] = draw(st.binary(max_size=20))
    return bytes(data)


@st.composite
def messages_with_bad_annotations(draw: Any) -> bytes:
    """A message whose header is right and whose annotations were changed."""
    chunks = bytearray(encode_annotations(draw(annotation_dicts)) + draw(st.binary(max_size=12)))
    if chunks:
        chunks[draw(st.integers(0, len(chunks) - 1))] = draw(octet)
    payload: bytes = draw(st.binary(max_size=20))
    head = HEADER.pack(b"PYRO", 502, 1, 0, 0, 0, len(payload), len(chunks), bytes(16), 0, 0x4DC5)
    return head + chunks + payload


any_bytes = st.one_of(
    bytes_,
    streams,
    mutated_streams(),
    messages_with_bad_annotations(),
    st.builds(bytes.__add__, streams, st.binary(max_size=60)),
    st.binary(max_size=34).map(lambda rest: b"PYRO\x01\xf6" + rest),
)


def cut(data: bytes, points: Iterable[int]) -> list[bytes]:
    """Cut data at some points, which need not be in order."""
    edges = [0, *sorted(point % (len(data) + 1) for point in points), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]
