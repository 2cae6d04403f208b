"""Compressed payloads, and those that would fill the memory."""

from __future__ import annotations

import time
import zlib

import pytest

from fastpyro.config import config
from fastpyro.constants import FLAGS_COMPRESSED, MSG_INVOKE
from fastpyro.errors import MessageTooLargeError, RemoteProtocolError, SerializeError
from fastpyro.protocol._assembler import Decoder
from fastpyro.protocol._message import Message, pack_message
from fastpyro.protocol.compression import deflated, payload_of
from fastpyro.serializers.registry import native


def message(payload: bytes, flags: int = FLAGS_COMPRESSED) -> Message:
    decoder = Decoder()
    decoder.feed(pack_message(MSG_INVOKE, flags, 0, 1, payload))
    received = decoder.next_message()
    assert received is not None
    return received


def numbers(size: int) -> bytes:
    """Bytes that shrink as ordinary text does."""
    return (b"".join(b"%d, " % (index * 7919 % 100_003) for index in range(size // 4 + 1)))[:size]


@pytest.mark.parametrize("size", [200, 5000, 1 << 20, (1 << 20) + 1, 3 << 20])
def test_there_and_back(size: int) -> None:
    payload = numbers(size)
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
    with pytest.raises(MessageTooLargeError, match="becomes more than 65,536"):
        payload_of(message(bomb), 65536)
    with pytest.raises(MessageTooLargeError, match=r"becomes more than 3,.*INFLATED_SIZE"):
        payload_of(message(bomb))
    monkeypatch.setattr(config, "INFLATED_SIZE", 20 << 20)
    assert len(payload_of(message(bomb))) == 20 << 20
    monkeypatch.setattr(config, "INFLATED_SIZE", 0)
    monkeypatch.setattr(config, "INFLATED_RATIO", 2000)
    assert len(payload_of(message(bomb))) == 20 << 20


@pytest.mark.parametrize("size", [40_000, 1 << 20, 50 << 20])
def test_whatever_we_compress_is_accepted(size: int) -> None:
    packed, flag = deflated(bytes(size))
    assert len(payload_of(message(packed, flag))) == size
    assert flag == (FLAGS_COMPRESSED if size == 40_000 else 0)


@pytest.mark.parametrize(
    "values",
    [
        [1] * 100_000,
        [{"name": f"sensor {index}", "values": [index, index / 7, None]} for index in range(100_000)],
        [[0, 0, 0, 0]] * 20_000,
        ["the same text, again and again"] * 100_000,
    ],
)
def test_ordinary_values_that_we_compress_are_read(values: list[object]) -> None:
    packed, flag = deflated(native.dumps(values))
    assert native.loads(payload_of(message(packed, flag))) == values


@pytest.mark.parametrize(("count", "held"), [(450_000, False), (2 << 20, False), (10_000, True)])
def test_what_came_compressed_is_charged_as_what_arrived(count: int, held: bool) -> None:
    """A few hundred bytes make no hundred thousand objects."""
    lists = b"\xdd" + count.to_bytes(4, "big") + b"\x90" * count
    received = payload_of(message(zlib.compress(lists)))
    assert bytes(received) == lists
    if held:
        assert len(native.loads(received)) == count
        return
    with pytest.raises(SerializeError, match=r"take more memory .* DECODE_MEMORY is 67,108,864.*compressed"):
        native.loads(received)


def test_stored_blocks_are_inflated_in_one_pass() -> None:
    stored = zlib.compress(bytes(64 << 20), 0)
    began = time.process_time()
    assert len(payload_of(message(stored))) == 64 << 20
    assert time.process_time() - began < 3  # a copy of the rest for each MiB took as long as 2 GiB do


@pytest.mark.parametrize(
    "payload", [b"", b"no zlib stream", zlib.compress(b"x" * 1000)[:-3], zlib.compress(b"x" * 1000) + b"more"]
)
def test_what_is_no_zlib_stream(payload: bytes) -> None:
    with pytest.raises(RemoteProtocolError, match="compressed message"):
        payload_of(message(payload))
