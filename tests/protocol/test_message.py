"""The message format by itself; what streams of messages do is tested with `_assembler`, against the reference."""

from __future__ import annotations

import pytest
from reference_wire import ReferenceMessage, encode, payload_parts

from fastpyro.errors import LocalProtocolError, MessageTooLargeError, RemoteProtocolError
from fastpyro.protocol._assembler import Decoder
from fastpyro.protocol._message import Message, pack_message

BUFFERS = 0x8000


def decode(data: bytes, limit: int = 0) -> Message:
    decoder = Decoder(limit)
    decoder.feed(data)
    message = decoder.next_message()
    assert message is not None
    return message


def test_messages_come_from_decoders_only() -> None:
    with pytest.raises(TypeError, match="come from a Decoder or a Link"):
        Message()


def test_a_payload_may_be_in_parts() -> None:
    whole = pack_message(4, 0, 1, 70, b"onetwothree")
    assert pack_message(4, 0, 1, 70, [b"one", bytearray(b"two"), memoryview(b"three")]) == whole


@pytest.mark.parametrize(("field", "value"), [(0, 256), (1, 65536), (2, -1), (3, 256)])
def test_fields_out_of_range_are_refused(field: int, value: int) -> None:
    fields = [4, 0, 1, 70]
    fields[field] = value
    with pytest.raises(LocalProtocolError, match="out of range"):
        pack_message(*fields, b"")  # type: ignore[call-arg, arg-type]


def test_buffers_arrive_as_what_they_were() -> None:
    buffers = ((0, b"bytes" * 1000), (1, b"bytearray"), (2, bytes(20_000)), (0, b""), (1, b""))
    one = ReferenceMessage(4, BUFFERS, 1, 70, b"proper", buffers=buffers)
    message = decode(pack_message(4, BUFFERS, 1, 70, payload_parts(one)))
    assert message.payload == b"proper"
    assert message.buffers is not None
    assert [type(buffer).__name__ for buffer in message.buffers] == [
        "bytes",
        "bytearray",
        "Block",
        "bytes",
        "bytearray",
    ]
    assert [bytes(buffer) for buffer in message.buffers] == [data for _, data in buffers]
    memoryview(message.buffers[2])[:3] = b"own"
    assert decode(encode(one)).payload == b"proper"


def test_messages_without_buffers_have_none() -> None:
    assert decode(pack_message(4, 0, 1, 70, b"x")).buffers is None


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\0\0\0",
        b"\0\0\0\0x",
        b"\0\0\0\1",
        b"\xff\xff\xff\xff" + bytes(100),
        b"\0\1\0\0" + bytes(5 * 65536) + b"x",
        b"\0\0\0\1\3\0\0\0\0x",
        b"\0\0\0\1\2\0\0\0\1xy",
        b"\0\0\0\1\0\0\0\0\1x",
        b"\0\0\0\1\0\xff\xff\xff\xffxyz",
    ],
)
def test_tables_of_buffers_that_lie_are_refused(payload: bytes) -> None:
    decoder = Decoder()
    decoder.feed(pack_message(4, BUFFERS, 1, 70, payload))
    with pytest.raises(RemoteProtocolError):
        decoder.next_message()


def test_buffers_count_for_the_limit() -> None:
    data = pack_message(
        4, BUFFERS, 1, 70, payload_parts(ReferenceMessage(4, 0, 1, 70, b"x", buffers=((0, bytes(999)),)))
    )
    assert decode(data, 1009).payload == b"x"
    decoder = Decoder(1008)
    decoder.feed(data)
    with pytest.raises(MessageTooLargeError):
        decoder.next_message()


def test_many_empty_buffers_are_no_deep_recursion() -> None:
    one = ReferenceMessage(4, BUFFERS, 1, 70, b"x", buffers=((0, b""),) * 65535)
    message = decode(encode(one))
    assert message.buffers == [b""] * 65535
