"""Messages of protocol 48: Pyro4's bytes, and what they become in the numbers of protocol 502."""

from __future__ import annotations

import hashlib
import hmac
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from peer_strategies import mutated, mutations

from fastpyro.constants import (
    FLAGS_CORR_ID,
    FLAGS_ITEMSTREAMRESULT,
    FLAGS_KEEPSERIALIZED,
    FLAGS_META_ON_CONNECT,
    JSON_ID,
    MARSHAL_ID,
    MSG_CONNECT,
    MSG_INVOKE,
    MSG_PING,
    MSGPACK_ID,
    NATIVE_SERIALIZER_ID,
    SERPENT_ID,
)
from fastpyro.errors import (
    LocalProtocolError,
    MessageAuthenticationError,
    MessageTooLargeError,
    RemoteProtocolError,
    SecurityError,
)
from fastpyro.protocol._assembler import Decoder
from fastpyro.protocol._message import Message, pack_message
from fastpyro.protocol._pyro4_message import FLAGS, SERIALIZERS, pack_pyro4_message

# reference/pyro.md 3.14
PING = bytes.fromhex("5059524f003000060000000000000004002a00000000354d70696e67")
CALL_HEAD = bytes.fromhex("5059524f0030000400000001000000350001000000003554")
CALL = b"# serpent utf-8 python3.2\n('obj','m',(1,'x'),{'k':2})"


def decoded(data: bytes, key: bytes | None = None, limit: int = 0) -> Message:
    decoder = Decoder(limit)
    decoder.set_hmac_key(key)
    decoder.feed(data)
    message = decoder.next_message()
    assert message is not None
    assert decoder.dialect == 48
    return message


def test_vectors() -> None:
    assert pack_pyro4_message(MSG_PING, 0, 0, 42, b"ping") == PING
    message = decoded(PING)
    assert (message.kind, message.seq, message.serializer_id, message.payload) == (MSG_PING, 0, 42, b"ping")
    assert pack_pyro4_message(MSG_INVOKE, 0, 1, SERPENT_ID, CALL) == CALL_HEAD + CALL
    message = decoded(CALL_HEAD + CALL)
    assert (message.kind, message.seq, message.serializer_id, message.payload) == (4, 1, SERPENT_ID, CALL)


def test_the_vector_of_a_signed_message() -> None:
    data = pack_pyro4_message(MSG_CONNECT, 0, 0, SERPENT_ID, b"hello", {"TEST": b"abcde"}, hmac_key=b"secret")
    digest = bytes.fromhex("7356d66255ca0d3086bb16b8cc3dac7ffb8858e0")
    assert data[24:] == b"TEST\0\5abcdeHMAC\0\x14" + digest + b"hello"
    assert digest == hmac.new(b"secret", b"hello" + b"abcde", hashlib.sha1).digest()
    message = decoded(data, b"secret")
    assert message.annotations == {"TEST": b"abcde"}


def test_numbers_are_translated_both_ways() -> None:
    for ours, theirs in FLAGS:
        data = pack_pyro4_message(MSG_INVOKE, ours, 0, SERPENT_ID, b"")
        assert struct.unpack_from("!H", data, 8) == (theirs,)
        assert decoded(data).flags == ours
    for ours, theirs in SERIALIZERS:
        data = pack_pyro4_message(MSG_INVOKE, 0, 0, ours, b"")
        assert struct.unpack_from("!H", data, 16) == (theirs,)
        assert decoded(data).serializer_id == ours
    assert dict(FLAGS)[FLAGS_META_ON_CONNECT] == 16
    assert dict(FLAGS)[FLAGS_ITEMSTREAMRESULT] == 32
    assert dict(FLAGS)[FLAGS_KEEPSERIALIZED] == 64
    numbers = dict(SERIALIZERS)
    assert (numbers[JSON_ID], numbers[MARSHAL_ID], numbers[MSGPACK_ID]) == (2, 3, 6)


def test_an_unknown_serializer_is_one_that_nobody_accepts() -> None:
    data = bytearray(PING)
    struct.pack_into("!H", data, 16, 9)
    struct.pack_into("!H", data, 22, struct.unpack_from("!H", data, 22)[0] - 42 + 9)
    assert decoded(bytes(data)).serializer_id == 255


def test_the_correlation_id_is_an_annotation() -> None:
    identity = bytes(range(16))
    data = pack_pyro4_message(MSG_INVOKE, FLAGS_CORR_ID, 3, SERPENT_ID, b"x", {"ABCD": b"1"}, identity)
    message = decoded(data)
    assert message.correlation_id == identity
    assert message.annotations == {"ABCD": b"1"}
    assert decoded(pack_pyro4_message(MSG_INVOKE, 0, 3, SERPENT_ID, b"x", None, identity)).annotations == {}


@pytest.mark.parametrize("key", [b"secret", None])
@pytest.mark.parametrize("signed", [b"secret", b"other", None])
def test_both_sides_need_the_same_key(key: bytes | None, signed: bytes | None) -> None:
    data = pack_pyro4_message(MSG_INVOKE, 0, 0, SERPENT_ID, b"payload", {"ABCD": b"1"}, hmac_key=signed)
    if key == signed:
        assert decoded(data, key).payload == b"payload"
        return
    with pytest.raises(SecurityError, match="mismatch" if key and signed else "not symmetric"):
        decoded(data, key)


def test_every_change_of_a_signed_message_is_noticed() -> None:
    data = pack_pyro4_message(MSG_INVOKE, 0, 0, SERPENT_ID, b"payload", {"ABCD": b"1"}, hmac_key=b"secret")
    for place in [*range(30, 31), *range(len(data) - 27, len(data))]:  # values and payload; the header is not signed
        changed = bytearray(data)
        changed[place] ^= 1
        with pytest.raises(MessageAuthenticationError):
            decoded(bytes(changed), b"secret")


def test_with_a_key_protocol_502_is_refused() -> None:
    decoder = Decoder()
    decoder.set_hmac_key(b"secret")
    decoder.feed(pack_message(MSG_PING, 0, 0, 42, b"ping"))
    with pytest.raises(MessageAuthenticationError, match="not symmetric"):
        decoder.next_message()


def test_the_first_message_decides() -> None:
    for first, second in (
        (PING, pack_message(MSG_PING, 0, 0, 42, b"ping")),
        (pack_message(MSG_PING, 0, 0, 42, b""), PING),
    ):
        decoder = Decoder()
        decoder.feed(first + second)
        assert decoder.next_message() is not None
        with pytest.raises(RemoteProtocolError, match=r"protocol \d+ in a conversation of protocol \d+"):
            decoder.next_message()


def test_byte_by_byte() -> None:
    data = pack_pyro4_message(MSG_INVOKE, 4, 9, SERPENT_ID, CALL, {"ABCD": b"1", "EFGH": b""})
    decoder = Decoder()
    for _ in range(3):
        for byte in data[:-1]:
            decoder.feed(bytes([byte]))
            assert decoder.next_message() is None
        decoder.feed(data[-1:])
        message = decoder.next_message()
        assert message is not None
        assert (message.payload, message.annotations) == (CALL, {"ABCD": b"1", "EFGH": b""})


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ((22, "!H", 0), "checksum mismatch"),
        ((6, "!H", 999), "checksum mismatch"),
    ],
)
def test_wrong_headers(change: Any, text: str) -> None:
    data = bytearray(PING)
    struct.pack_into(change[1], data, change[0], change[2])
    with pytest.raises(RemoteProtocolError, match=text):
        decoded(bytes(data))


def resummed(data: bytearray) -> bytes:
    """Return a message whose checksum suits its header."""
    fields = struct.unpack_from("!HHHIHH", data, 6)
    struct.pack_into("!H", data, 22, (sum(fields) + 48 + 0x34E9) & 0xFFFF)
    return bytes(data)


@pytest.mark.parametrize(
    ("place", "form", "value", "error", "text"),
    [
        (6, "!H", 999, RemoteProtocolError, "no message kind"),
        (12, "!I", 0x80000000, RemoteProtocolError, "invalid message size"),
        (12, "!I", 0x7FFFFFFF, MessageTooLargeError, "exceeds MAX_MESSAGE_SIZE"),
        (18, "!H", 3, RemoteProtocolError, "middle of a chunk"),
    ],
)
def test_wrong_fields(place: int, form: str, value: int, error: type[Exception], text: str) -> None:
    data = bytearray(PING)
    struct.pack_into(form, data, place, value)
    with pytest.raises(error, match=text):
        decoded(resummed(data), limit=1000)


@pytest.mark.parametrize("chunks", [b"ABCD\0\5abc", b"ABCD\0\1xABCD\0\1y", b"\xff\xff\xff\xff\0\0", b"ABC"])
def test_wrong_annotations(chunks: bytes) -> None:
    data = bytearray(PING[:24] + chunks + b"ping")
    struct.pack_into("!H", data, 18, len(chunks))
    with pytest.raises(RemoteProtocolError):
        decoded(resummed(data))


def test_what_cannot_be_said() -> None:
    for arguments in ((MSG_INVOKE, 0, 0, NATIVE_SERIALIZER_ID, b""), (300, 0, 0, 1, b""), (4, 0, 70000, 1, b"")):
        with pytest.raises(LocalProtocolError, match="no form in protocol 48"):
            pack_pyro4_message(*arguments)
    for chunks in ({"TOOLONG": b""}, {"ABCD": "text"}):
        with pytest.raises(LocalProtocolError):
            pack_pyro4_message(MSG_INVOKE, 0, 0, 1, b"", chunks)  # type: ignore[arg-type]
    with pytest.raises(MessageTooLargeError, match="65,535"):
        pack_pyro4_message(MSG_INVOKE, 0, 0, 1, b"", {"ABCD": bytes(65530)})
    with pytest.raises(MessageTooLargeError, match="MAX_MESSAGE_SIZE 100"):
        pack_pyro4_message(MSG_INVOKE, 0, 0, 1, bytes(101), max_message_size=100)


@given(st.binary(max_size=50), mutations, st.integers(0, 40), st.sampled_from([None, b"secret"]))
def test_any_change_is_a_message_or_an_error(
    payload: bytes, changes: list[tuple[int, int]], cut: int, key: bytes | None
) -> None:
    data = pack_pyro4_message(MSG_INVOKE, 0, 5, SERPENT_ID, payload, {"ABCD": b"12"}, bytes(16), key)
    decoder = Decoder(1000)
    decoder.set_hmac_key(key)
    decoder.feed(mutated(data, changes, cut))
    try:
        decoder.next_message()
    except (RemoteProtocolError, MessageTooLargeError):
        return
