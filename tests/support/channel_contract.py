"""What every channel must do, whatever carries its bytes. test_link.py and test_channel.py run it for their classes.

A test talks to one channel; its peer is a plain socket, which the test reads and writes itself.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from conversations import (
    ANNOTATIONS,
    REPLY,
    REPLY_BYTES,
    REQUEST,
    ChannelTests,
    Conversation,
    await_available,
    check_alive,
    check_dead,
    pattern,
    poll,
    promise,
    unread_bytes_of,
    until,
)
from reference_wire import ReferenceMessage, encode, facts
from socket_pairs import DEADLINE, Peer, receive_exactly

from fastpyro.errors import (
    ConnectionClosedError,
    LocalProtocolError,
    MessageTooLargeError,
    RemoteProtocolError,
)
from fastpyro.protocol._message import Outgoing

# Round the sizes at which the native link changes its way: header on the stack, buffer, direct receipt, first room.
EDGES = [0, 1, 4055, 4056, 4057, 16343, 16344, 16345, 32727, 32728, 32729, 65536, (1 << 20) + 1, 10 << 20]


class ChannelContract(ChannelTests):
    """Messages, whole and in pieces; what is refused; what ends a conversation."""

    # ---- messages ----------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("size", EDGES)
    def test_payloads_of_all_sizes(self, talk: Conversation, size: int) -> None:
        payload = pattern(size)
        with Peer(talk.echo):
            message = talk.channel.exchange(Outgoing(4, 0, 1, 70, payload), timeout=DEADLINE)
        assert facts(message) == ReferenceMessage(4, 0, 1, 70, payload)

    def test_room_is_promised_only_while_there_is_some(self, talk: Conversation) -> None:
        assert not talk.channel.has_room_for(1 << 20)
        sent = 0
        while talk.channel.has_room_for(4000) and sent < 100_000:  # nobody reads
            talk.channel.send(Outgoing(4, 0, sent & 0xFFFF, 70, bytes(3900)), timeout=DEADLINE)
            sent += 1
        assert sent < 100_000
        talk.channel.close()
        assert not talk.channel.has_room_for(1)

    @pytest.mark.parametrize("size", [0, 1, 4000, 4047, 4048, 4049, 40000, 3 << 20])
    @pytest.mark.parametrize("payload_size", [0, 1, 5000, 2 << 20])
    def test_annotations_of_all_sizes(self, talk: Conversation, size: int, payload_size: int) -> None:
        annotations, payload = {"BIG_": pattern(size), "LAST": b"x"}, pattern(payload_size)
        with Peer(talk.echo):
            message = talk.channel.exchange(
                Outgoing(4, 0, 1, 70, payload, annotations, bytes(range(16))), timeout=DEADLINE
            )
        assert facts(message) == ReferenceMessage(4, 64, 1, 70, payload, annotations, bytes(range(16)))

    @pytest.mark.parametrize("timeout", [None, 0, DEADLINE, float("inf")])
    def test_many_exchanges_on_one_connection(self, talk: Conversation, timeout: float | None) -> None:
        with Peer(lambda: talk.echo(50)):
            for number in range(50):
                message = talk.channel.exchange(Outgoing(4, 0, number, 70, b"%d" % number), timeout=timeout)
                assert (message.seq, message.payload) == (number, b"%d" % number)

    def test_sending_and_receiving_apart(self, talk: Conversation) -> None:
        with Peer(lambda: talk.echo(3)):
            for number in range(3):
                talk.channel.send(Outgoing(4, 0, number, 70, b"one way", ANNOTATIONS))
            received = [facts(talk.channel.receive(DEADLINE)) for _ in range(3)]
        assert received == [ReferenceMessage(4, 0, number, 70, b"one way", ANNOTATIONS) for number in range(3)]

    def test_a_sent_message_has_the_bytes_of_the_protocol(self, talk: Conversation) -> None:
        talk.channel.send(Outgoing(4, 4, 7, 70, b"payload", ANNOTATIONS, bytes(range(16))))
        expected = encode(ReferenceMessage(4, 68, 7, 70, b"payload", ANNOTATIONS, bytes(range(16))))
        assert receive_exactly(talk.peer, len(expected)) == expected

    @pytest.mark.parametrize("make", [bytearray, memoryview, lambda data: memoryview(b"<" + data + b">")[1:-1]])
    def test_any_contiguous_buffer_is_sent(self, talk: Conversation, make: Callable[[bytes], Any]) -> None:
        with Peer(lambda: talk.echo(2)):
            for size in (10, 100_000):
                message = talk.channel.exchange(Outgoing(4, 0, 0, 70, make(pattern(size)), {"ABCD": make(b"value")}))
                assert (message.payload, message.annotations) == (pattern(size), {"ABCD": b"value"})

    # ---- without waiting ---------------------------------------------------------------------------------------------

    def test_nothing_is_available_from_a_silent_peer(self, talk: Conversation) -> None:
        for _ in range(3):
            assert talk.channel.receive_available() is None
        assert not talk.channel.has_buffered
        assert not talk.channel.receiving

    def test_part_of_a_message_is_not_available_and_is_not_lost(self, talk: Conversation) -> None:
        for part in (REPLY_BYTES[:3], REPLY_BYTES[3:20], REPLY_BYTES[20:42]):
            talk.peer.sendall(part)
            until(lambda: poll(talk) is None and talk.channel.receiving)
        talk.peer.sendall(REPLY_BYTES[42:])
        assert await_available(talk) == REPLY
        assert not talk.channel.receiving

    def test_several_messages_in_one_segment(self, talk: Conversation) -> None:
        talk.peer.sendall(REPLY_BYTES * 3 + REPLY_BYTES[:30])
        assert await_available(talk) == REPLY
        assert talk.channel.has_buffered
        for _ in range(2):
            assert talk.channel.has_buffered
            message = talk.channel.receive_available()
            assert message is not None
            assert facts(message) == REPLY
        assert talk.channel.receive_available() is None
        assert talk.channel.receiving
        assert not talk.channel.has_buffered
        talk.peer.sendall(REPLY_BYTES[30:])
        assert facts(talk.channel.receive(DEADLINE)) == REPLY

    def test_a_large_message_becomes_available_piece_by_piece(self, talk: Conversation) -> None:
        large = ReferenceMessage(5, 0, 1, 70, pattern(3 << 20), {"BIG_": pattern(100_000)})
        with Peer(lambda: talk.peer.sendall(encode(large) + REPLY_BYTES)):
            assert await_available(talk) == large
            assert await_available(talk) == REPLY

    def test_receiving_may_go_on_with_or_without_waiting(self, talk: Conversation) -> None:
        talk.peer.sendall(REPLY_BYTES[:41])
        until(lambda: poll(talk) is None and talk.channel.receiving)
        talk.peer.sendall(REPLY_BYTES[41:] + REPLY_BYTES + REPLY_BYTES[:5])
        assert facts(talk.channel.receive()) == REPLY
        assert facts(talk.channel.receive(DEADLINE)) == REPLY
        talk.peer.sendall(REPLY_BYTES[5:])
        assert await_available(talk) == REPLY

    def test_bad_bytes_behind_a_good_message_end_the_channel_after_it(self, talk: Conversation) -> None:
        bad = REPLY_BYTES.replace(b"PYRO", b"PYRE") + REPLY_BYTES
        talk.peer.sendall(REPLY_BYTES + bad)
        assert await_available(talk) == REPLY
        assert talk.channel.has_buffered, "the bad bytes are buffered, and a server must look at them"
        with pytest.raises(RemoteProtocolError):
            talk.channel.receive_available()
        check_dead(talk)

    def test_a_peer_that_went_away_is_noticed(self, talk: Conversation) -> None:
        talk.peer.close()
        with pytest.raises(ConnectionClosedError, match="the peer closed the connection"):
            until(lambda: talk.channel.receive_available() is not None)
        check_dead(talk)

    # ---- what is refused before anything is sent ---------------------------------------------------------------------

    def test_a_message_over_the_limit_is_not_sent(self) -> None:
        with self.connect(limit=1000) as talk:
            with pytest.raises(MessageTooLargeError, match=r"1,001 bytes exceeds .* 1,000; nothing was sent"):
                talk.channel.exchange(Outgoing(4, 0, 0, 70, bytes(1001)))
            with pytest.raises(MessageTooLargeError, match="nothing was sent"):
                talk.channel.send(Outgoing(4, 0, 0, 70, bytes(900), {"ABCD": bytes(100)}))
            assert unread_bytes_of(talk) == 0
            check_alive(talk)
            talk.channel.send(Outgoing(4, 0, 0, 70, bytes(892), {"ABCD": bytes(100)}))
            assert len(receive_exactly(talk.peer, 1040)) == 1040

    def test_a_message_over_the_limit_is_not_received(self) -> None:
        with self.connect(limit=1000) as talk:
            talk.peer.sendall(promise(1001))
            with pytest.raises(MessageTooLargeError, match=r"received message of 1,001 bytes"):
                talk.channel.receive(DEADLINE)
            check_dead(talk)

    def test_a_new_limit_holds_in_both_directions(self) -> None:
        with self.connect(limit=10) as talk:
            talk.channel.set_max_message_size(1000)
            with Peer(talk.echo):
                assert len(talk.channel.exchange(Outgoing(4, 0, 0, 70, bytes(1000))).payload) == 1000
            with pytest.raises(MessageTooLargeError, match=r"exceeds MAX_MESSAGE_SIZE 1,000"):
                talk.channel.send(Outgoing(4, 0, 0, 70, bytes(1001)))

    @pytest.mark.parametrize(
        "message",
        [
            (256, 0, 0, 0, b""),
            (4, 65536, 0, 0, b""),
            (4, 0, -1, 0, b""),
            (4, 0, 0, 256, b""),
            (4, 0, 0, 0, b"", {"TOOLONG": b""}),
            (4, 0, 0, 0, b"", {"ABCD": "text"}),
            (4, 0, 0, 0, b"", None, b"short"),
        ],
    )
    def test_impossible_messages_are_not_sent(self, talk: Conversation, message: tuple[Any, ...]) -> None:
        with pytest.raises(LocalProtocolError):
            talk.channel.exchange(Outgoing(*message))
        assert unread_bytes_of(talk) == 0
        check_alive(talk)

    @pytest.mark.parametrize("payload", ["text", 5, None, [1], memoryview(bytes(20))[::2]])
    def test_payloads_that_are_no_contiguous_bytes_are_not_sent(self, talk: Conversation, payload: Any) -> None:
        with pytest.raises((TypeError, BufferError)):
            talk.channel.send(Outgoing(4, 0, 0, 0, payload))
        assert unread_bytes_of(talk) == 0
        check_alive(talk)

    # ---- broken conversations ----------------------------------------------------------------------------------------

    @pytest.mark.parametrize("part", [0, 1, 6, 39, 40, 44])
    def test_a_peer_that_closes_in_the_middle_of_a_reply(self, talk: Conversation, part: int) -> None:
        def die() -> None:
            talk.answer(REPLY_BYTES[:part])
            talk.peer.close()

        where = " in the middle of a message$" if part else "$"
        with Peer(die), pytest.raises(ConnectionClosedError, match=f"the peer closed the connection{where}"):
            talk.channel.exchange(Outgoing(*REQUEST), timeout=DEADLINE)
        check_dead(talk)

    def test_a_peer_that_closes_in_the_middle_of_a_large_body(self, talk: Conversation) -> None:
        def die() -> None:
            talk.answer(promise(10 << 20) + bytes(3 << 20))
            talk.peer.close()

        with Peer(die), pytest.raises(ConnectionClosedError, match="in the middle of a message"):
            talk.channel.exchange(Outgoing(*REQUEST))
        check_dead(talk)

    def test_a_peer_that_closes_while_we_send(self, talk: Conversation) -> None:
        def die() -> None:
            receive_exactly(talk.peer, 1000)
            talk.peer.close()

        with Peer(die), pytest.raises(ConnectionClosedError):
            talk.channel.exchange(Outgoing(4, 0, 0, 70, bytes(50 << 20)), timeout=DEADLINE)
        check_dead(talk)

    @pytest.mark.parametrize(
        ("data", "text"),
        [
            (b"HTTP/1.1 400 Bad Request\r\n\r\n", "start with b'HTTP/1'"),
            (b"PYRO\0\x31" + bytes(40), "invalid protocol version: 49"),
            (b"PYRO\0\x30" + bytes(40), "checksum mismatch"),
            (REPLY_BYTES[:38] + b"\0\0reply", "invalid magic number"),
            (promise(0, 5) + b"ABCDE", "annotations end in the middle of a chunk"),
        ],
    )
    def test_replies_that_are_no_messages(self, talk: Conversation, data: bytes, text: str) -> None:
        with Peer(lambda: talk.answer(data)), pytest.raises(RemoteProtocolError, match=text):
            talk.channel.exchange(Outgoing(*REQUEST), timeout=DEADLINE)
        check_dead(talk)

    def test_lying_lengths_take_no_memory(self, talk: Conversation) -> None:
        def lie() -> None:
            talk.answer(promise(0xFFFFFFFF) + b"little")
            talk.peer.close()

        with Peer(lie):
            tracemalloc.start()
            try:
                with pytest.raises(ConnectionClosedError):
                    talk.channel.exchange(Outgoing(*REQUEST), timeout=DEADLINE)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
        assert peak < 3 << 20

    def test_lying_annotation_lengths_take_no_memory(self, talk: Conversation) -> None:
        chunk = b"ABCD\x7f\xff\xff\xff"
        with Peer(lambda: talk.answer(promise(0, len(chunk)) + chunk)):
            tracemalloc.start()
            try:
                with pytest.raises(RemoteProtocolError, match="claims 2,147,483,647 bytes, but 0 are left"):
                    talk.channel.exchange(Outgoing(*REQUEST), timeout=DEADLINE)
                _, peak = tracemalloc.get_traced_memory()
            finally:
                tracemalloc.stop()
        assert peak < 1 << 20
