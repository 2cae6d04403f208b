"""The message format against any bytes: always messages or a protocol error, the same however the bytes are cut.

Every answer is compared with that of the plain codec in `reference_wire.py`.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from reference_wire import ReferenceMessage, decode_stream, encode, facts, payload_parts
from wire_strategies import LIMIT, any_bytes, cut, messages, mutated_streams

from fastpyro.errors import MessageTooLargeError, RemoteProtocolError
from fastpyro.protocol._assembler import Decoder
from fastpyro.protocol._message import pack_message


def decoder_answer(pieces: Iterable[Any], limit: int = LIMIT) -> tuple[list[ReferenceMessage], str]:
    """Feed the pieces and say what came out, as `decode_stream` does."""
    decoder, found = Decoder(limit), []
    try:
        for piece in pieces:
            decoder.feed(piece)
            while (message := decoder.next_message()) is not None:
                found.append(facts(message))
    except MessageTooLargeError:
        return found, "too large"
    except RemoteProtocolError:
        return found, "bad"
    assert decoder.idle is not decoder.receiving
    return found, "idle" if decoder.idle else "receiving"


# ---- any bytes -------------------------------------------------------------------------------------------------------


OLD_PREFIX = b"PYRO\0\x30"
"""Of protocol 48, which the reference does not know; tests/protocol/test_pyro4_message.py does."""


@given(any_bytes)
@example(b"")
@example(b"PYRE")
@example(b"PYRO\0")
@example(b"PYRO\0\0")
def test_any_bytes_give_what_the_reference_gives(data: bytes) -> None:
    assume(OLD_PREFIX not in data)
    assert decoder_answer([data]) == decode_stream(data, LIMIT)


@given(any_bytes, st.lists(st.integers(0, 1 << 16), max_size=6))
def test_split_at_drawn_points_gives_the_same(data: bytes, points: list[int]) -> None:
    assume(OLD_PREFIX not in data)
    assert decoder_answer(cut(data, points)) == decode_stream(data, LIMIT)


@given(any_bytes)
def test_byte_by_byte_gives_the_same(data: bytes) -> None:
    assume(OLD_PREFIX not in data)
    assert decoder_answer([data[at : at + 1] for at in range(len(data))]) == decode_stream(data, LIMIT)


@given(mutated_streams(), st.integers(0, 1000))
def test_any_limit_gives_what_the_reference_gives(data: bytes, limit: int) -> None:
    assume(OLD_PREFIX not in data)
    assert decoder_answer([data], limit) == decode_stream(data, limit or 0xFFFFFFFF)


BUFFERS: list[Callable[[bytes], Any]] = [
    bytes,
    bytearray,
    memoryview,
    lambda data: memoryview(bytearray(b"<<" + data + b">"))[2:-1],
    lambda data: memoryview(data).toreadonly(),
]


@given(any_bytes, st.lists(st.integers(0, 1 << 16), max_size=3), st.sampled_from(BUFFERS))
def test_every_kind_of_buffer_gives_the_same(data: bytes, points: list[int], make: Callable[[bytes], Any]) -> None:
    assert decoder_answer(map(make, cut(data, points))) == decode_stream(data, LIMIT)


@given(st.binary(min_size=2, max_size=200), st.integers(2, 5))
def test_buffers_with_gaps_are_refused_and_change_nothing(data: bytes, step: int) -> None:
    decoder = Decoder(LIMIT)
    with_gaps = memoryview(data)[::step]
    if with_gaps.contiguous:
        return
    with pytest.raises(BufferError):
        decoder.feed(with_gaps)
    assert decoder.idle


@given(any_bytes)
def test_memory_is_bounded(data: bytes) -> None:
    tracemalloc.start()
    try:
        decoder_answer([data], 0)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < (2 << 20) + 400 * len(data), "one room of 1 MiB, and objects for what arrived"


# ---- good messages ---------------------------------------------------------------------------------------------------


@given(messages)
def test_packing_gives_the_bytes_of_the_reference_and_decoding_gives_the_message_back(one: ReferenceMessage) -> None:
    data = pack_message(
        one.kind, one.flags, one.seq, one.serializer_id, payload_parts(one), one.annotations or None, one.correlation_id
    )
    assert data == encode(one)
    assert decoder_answer([data], 0) == ([one], "idle")


@given(messages)
def test_every_prefix_waits_for_more(one: ReferenceMessage) -> None:
    data = encode(one)
    for end in range(len(data)):
        assert decoder_answer([data[:end]], 0) == ([], "receiving" if end else "idle")


BIT_FLIPPED = encode(ReferenceMessage(4, 64, 3, 70, b"payload", {"ABCD": b"abc", "EFGH": b""}, bytes(range(16))))


def test_every_bit_flip_gives_what_the_reference_gives() -> None:
    for position in range(len(BIT_FLIPPED) * 8):
        data = bytearray(BIT_FLIPPED)
        data[position // 8] ^= 1 << position % 8
        data += BIT_FLIPPED
        expected = decode_stream(bytes(data), LIMIT)
        assert decoder_answer([data]) == expected, position
        assert decoder_answer([data[at : at + 1] for at in range(len(data))]) == expected, position


def test_every_byte_value_at_every_place_gives_what_the_reference_gives() -> None:
    for place in range(len(BIT_FLIPPED)):
        for value in range(256):
            data = BIT_FLIPPED[:place] + bytes([value]) + BIT_FLIPPED[place + 1 :]
            assert decoder_answer([data]) == decode_stream(data, LIMIT), (place, value)


# ---- two peers -------------------------------------------------------------------------------------------------------


class End:
    """One peer: its decoder, the bytes on their way to it, and what it received."""

    def __init__(self) -> None:
        self.decoder = Decoder(LIMIT)
        self.pipe = bytearray()
        self.fed = bytearray()
        self.received: list[ReferenceMessage] = []
        self.dead = self.closed = False

    def take(self) -> None:
        try:
            while (message := self.decoder.next_message()) is not None:
                self.received.append(facts(message))
        except (RemoteProtocolError, MessageTooLargeError):
            self.dead = True


class TwoPeers(RuleBasedStateMachine):
    """Two peers over an in-memory pipe that delivers in drawn pieces, loses bytes, and ends."""

    sides = st.sampled_from([0, 1])

    @initialize()
    def connect(self) -> None:
        self.ends = (End(), End())

    @rule(to=sides, one=messages)
    def send(self, to: int, one: ReferenceMessage) -> None:
        if not self.ends[to].closed:
            self.ends[to].pipe += pack_message(
                one.kind, one.flags, one.seq, one.serializer_id, payload_parts(one), one.annotations, one.correlation_id
            )

    @rule(to=sides, size=st.integers(1, 200))
    def deliver(self, to: int, size: int) -> None:
        end = self.ends[to]
        piece = bytes(end.pipe[:size])
        del end.pipe[:size]
        end.decoder.feed(piece)
        end.fed += piece
        end.take()

    @rule(to=sides)
    def deliver_all(self, to: int) -> None:
        self.deliver(to, max(len(self.ends[to].pipe), 1))

    @rule(to=sides, at=st.integers(0, 500), size=st.integers(1, 50))
    def lose_bytes(self, to: int, at: int, size: int) -> None:
        del self.ends[to].pipe[at : at + size]

    @rule(to=sides, junk=st.binary(min_size=1, max_size=50))
    def babble(self, to: int, junk: bytes) -> None:
        if not self.ends[to].closed:
            self.ends[to].pipe += junk

    @precondition(lambda self: any(not end.closed for end in self.ends))
    @rule(to=sides, keep=st.integers(0, 100))
    def close(self, to: int, keep: int) -> None:
        del self.ends[to].pipe[keep:]
        self.ends[to].closed = True

    @rule(to=sides)
    def reconnect(self, to: int) -> None:
        if self.ends[to].closed or self.ends[to].dead:
            ends = list(self.ends)
            ends[to] = End()
            self.ends = (ends[0], ends[1])

    @invariant()
    def each_end_has_what_the_reference_finds_in_its_bytes(self) -> None:
        for end in getattr(self, "ends", ()):
            found, state = decode_stream(bytes(end.fed), LIMIT)
            assert end.received == found
            assert end.dead is (state in {"bad", "too large"})
            if not end.dead:
                assert end.decoder.receiving is (state == "receiving")
                assert not end.decoder.has_message


TestTwoPeers = TwoPeers.TestCase
