"""Compressed payloads, and those that would fill the memory."""

from __future__ import annotations

import zlib

import pytest

from fastpyro import compression
from fastpyro._message import Message, pack_message
from fastpyro._wire import Decoder
from fastpyro.compression import deflated, payload_of
from fastpyro.errors import MessageTooLargeError, RemoteProtocolError
from fastpyro.message_kinds import FLAGS_COMPRESSED, MSG_INVOKE


def message(payload: bytes, flags: int = FLAGS_COMPRESSED) -> Message:
    decoder = Decoder()
    decoder.feed(pack_message(MSG_INVOKE, flags, 0, 1, payload))
    received = decoder.next_message()
    assert received is not None
    return received


@pytest.mark.parametrize("size", [200, 5000, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_there_and_back(size: int) -> None:
    payload = b"0123456789" * (size // 10) + bytes(size % 10)
    packed, flag = deflated(payload)
    assert flag == FLAGS_COMPRESSED
    assert len(packed) < len(payload)
    assert payload_of(message(packed)) == payload


def test_what_is_small_or_would_grow_stays_as_it_is() -> None:
    assert deflated(bytes(199)) == (bytes(199), 0)
    noise = bytes((index * 7919 + index**3) % 256 for index in range(300))
    incompressible = zlib.compress(noise * 3, 9)
    assert deflated(incompressible + noise[:200])[1] in (0, FLAGS_COMPRESSED)
    parts = [b"part", b"part"]
    assert deflated(parts) == (parts, 0)
    assert payload_of(message(b"plain", 0)) == b"plain"


def test_a_bomb_is_refused_while_it_is_inflated(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = zlib.compress(bytes(20 << 20), 9)
    assert len(bomb) < 25_000
    assert len(payload_of(message(bomb))) == 20 << 20
    with pytest.raises(MessageTooLargeError, match="becomes more than 65,536"):
        payload_of(message(bomb), 65536)
    monkeypatch.setattr(compression, "MOST_AT_ANY_RATIO", 1 << 20)
    with pytest.raises(MessageTooLargeError, match="becomes more than"):
        payload_of(message(bomb))


@pytest.mark.parametrize(
    "payload", [b"", b"no zlib stream", zlib.compress(b"x" * 1000)[:-3], zlib.compress(b"x" * 1000) + b"more"]
)
def test_what_is_no_zlib_stream(payload: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="compressed message"):
        payload_of(message(payload))
