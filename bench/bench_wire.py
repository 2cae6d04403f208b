"""Messages and their bytes, without a connection: what a call costs in `_assembler` alone."""

from __future__ import annotations

from typing import Any

import pytest

from fastpyro.constants import MSG_INVOKE, MSG_RESULT, NATIVE_SERIALIZER_ID
from fastpyro.protocol._assembler import Decoder
from fastpyro.protocol._message import Message, pack_message

ECHO_PAYLOAD = b"\x94\xa3obj\xa4echo\x92\xa5hello*\x81\xa3key\x93\x01\x02\x03"
ANNOTATIONS = {"CALL": b"0123456789", "USER": b"somebody"}
CORRELATION_ID = bytes(range(16))
MIB = 1 << 20


def decode(data: bytes) -> list[Message]:
    decoder = Decoder()
    decoder.feed(data)
    return list(iter(decoder.next_message, None))


@pytest.mark.benchmark(group="wire: pack")
def test_pack_an_echo_call(benchmark: Any) -> None:
    data = benchmark(pack_message, MSG_INVOKE, 0, 1, NATIVE_SERIALIZER_ID, ECHO_PAYLOAD)
    assert len(data) == 40 + len(ECHO_PAYLOAD)


@pytest.mark.benchmark(group="wire: pack")
def test_pack_an_echo_call_with_annotations(benchmark: Any) -> None:
    data = benchmark(pack_message, MSG_INVOKE, 0, 1, NATIVE_SERIALIZER_ID, ECHO_PAYLOAD, ANNOTATIONS, CORRELATION_ID)
    assert len(data) == 40 + 34 + len(ECHO_PAYLOAD)


@pytest.mark.benchmark(group="wire: pack")
def test_pack_a_1_mib_upload(benchmark: Any) -> None:
    data = benchmark(pack_message, MSG_INVOKE, 0, 1, NATIVE_SERIALIZER_ID, bytes(MIB))
    assert len(data) == 40 + MIB


@pytest.mark.benchmark(group="wire: decode")
def test_decode_an_echo_result(benchmark: Any) -> None:
    data = pack_message(MSG_RESULT, 0, 1, NATIVE_SERIALIZER_ID, ECHO_PAYLOAD)
    decoder = Decoder()

    def work() -> Message | None:
        decoder.feed(data)
        return decoder.next_message()

    message = benchmark(work)
    assert message.payload == ECHO_PAYLOAD


@pytest.mark.benchmark(group="wire: decode")
def test_decode_an_echo_result_with_annotations(benchmark: Any) -> None:
    data = pack_message(MSG_RESULT, 0, 1, NATIVE_SERIALIZER_ID, ECHO_PAYLOAD, ANNOTATIONS, CORRELATION_ID)
    (message,) = benchmark(decode, data)
    assert (message.annotations, message.correlation_id) == (ANNOTATIONS, CORRELATION_ID)


@pytest.mark.benchmark(group="wire: decode")
def test_decode_100_oneway_calls(benchmark: Any) -> None:
    data = pack_message(MSG_INVOKE, 4, 1, NATIVE_SERIALIZER_ID, ECHO_PAYLOAD) * 100
    messages = benchmark(decode, data)
    assert [message.payload for message in messages] == [ECHO_PAYLOAD] * 100


@pytest.mark.benchmark(group="wire: decode")
def test_decode_a_10_mib_download(benchmark: Any) -> None:
    data = pack_message(MSG_RESULT, 0, 1, NATIVE_SERIALIZER_ID, bytes(10 * MIB))
    pieces = [data[at : at + 65536] for at in range(0, len(data), 65536)]

    def work() -> Message | None:
        decoder = Decoder()
        for piece in pieces:
            decoder.feed(piece)
        return decoder.next_message()

    message = benchmark(work)
    assert len(message.payload) == 10 * MIB
