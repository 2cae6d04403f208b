"""Messages over a stream, below the exchanges: big ones in parts, straight from and into their memory."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest
from reference_wire import ReferenceMessage, encode, payload_parts
from socket_pairs import DEADLINE, Peer, tcp_pair, unix_pair

from fastpyro.errors import ConnectionClosedError, LocalProtocolError, MessageTooLargeError
from fastpyro.protocol._message import Outgoing
from fastpyro.transport._intake import Intake
from fastpyro.transport._link import Link
from fastpyro.transport._message_stream import MessageStream

BUFFERS = 0x8000


@pytest.fixture(params=[unix_pair, tcp_pair])
def ends(request: pytest.FixtureRequest) -> Iterator[tuple[MessageStream, MessageStream]]:
    near, far = request.param()
    one, other = MessageStream(near), MessageStream(far)
    with contextlib.closing(one), contextlib.closing(other):
        yield one, other


Ends = tuple[MessageStream, MessageStream]


def test_a_link_is_a_message_stream() -> None:
    assert issubclass(Link, MessageStream)


@pytest.mark.parametrize("size", [0, 1, 4055, 4056, 4057, 65536, 3_000_000])
@pytest.mark.parametrize("annotations", [None, {"ABCD": b"x" * 5000}])
def test_messages_of_all_sizes(ends: Ends, size: int, annotations: dict[str, bytes] | None) -> None:
    one, other = ends
    with Peer(lambda: other.receive(DEADLINE)) as receiver:
        one.send(Outgoing(4, 0, 9, 70, bytes(size), annotations))
    assert receiver.result.payload == bytes(size)
    assert receiver.result.annotations == (annotations or {})


@pytest.mark.parametrize("timeout", [None, DEADLINE])
def test_parts_of_many_sizes_arrive_in_their_places(ends: Ends, timeout: float | None) -> None:
    one, other = ends
    buffers = tuple((number % 2, bytes([number]) * (number * 9000)) for number in range(150))
    wanted = ReferenceMessage(4, BUFFERS, 1, 70, b"proper", buffers=(*buffers, (2, bytes(5_000_000))))
    with Peer(lambda: other.receive(DEADLINE)) as receiver:
        one.send(Outgoing(4, BUFFERS, 1, 70, payload_parts(wanted), {"NOTE": b"beside"}), timeout)
    message = receiver.result
    assert (message.payload, message.annotations) == (b"proper", {"NOTE": b"beside"})
    assert [bytes(buffer) for buffer in message.buffers] == [data for _, data in wanted.buffers or ()]


def test_parts_over_the_limit_are_not_sent(ends: Ends) -> None:
    one, other = ends
    one.set_max_message_size(10_000)
    with pytest.raises(MessageTooLargeError, match="nothing was sent"):
        one.send(Outgoing(4, BUFFERS, 1, 70, [b"x" * 6000, b"y" * 6000]))
    one.send(Outgoing(4, 0, 2, 70, b"still usable"))
    assert other.receive(DEADLINE).payload == b"still usable"


def test_a_part_that_is_no_buffer_is_refused(ends: Ends) -> None:
    one, other = ends
    with pytest.raises(TypeError):
        one.send(Outgoing(4, BUFFERS, 1, 70, [b"x", "text"]))
    one.send(Outgoing(4, 0, 2, 70, b"still usable"))
    assert other.receive(DEADLINE).payload == b"still usable"


def test_one_thread_receives_at_a_time(ends: Ends) -> None:
    one, other = ends
    with Peer(lambda: other.receive(DEADLINE)) as receiver:
        while True:
            try:
                assert other.receive_available() is None
            except LocalProtocolError:
                break
        one.send(Outgoing(4, 0, 1, 70, b"for the first one"))
    assert receiver.result.payload == b"for the first one"


def test_the_end_of_a_stream_is_told_after_the_last_message(ends: Ends) -> None:
    one, other = ends
    one.send(Outgoing(4, 0, 9, 70, b"last words"))
    one.close()
    assert other.receive(DEADLINE).payload == b"last words"
    assert (other.ended, other.closed) == (False, False)
    with pytest.raises(ConnectionClosedError, match="the peer closed the connection"):
        other.receive_available()
    assert other.ended
    assert other.closed


def test_an_end_in_the_middle_of_a_message_is_no_end(ends: Ends) -> None:
    one, other = ends
    one.sock.sendall(encode(ReferenceMessage(4, 0, 9, 70, b"half"))[:-1])
    one.close()
    assert other.receive_available() is None
    with pytest.raises(ConnectionClosedError, match="in the middle of a message"):
        other.receive_available()
    assert not other.ended


def test_what_has_arrived_of_a_message_is_counted_until_it_is_whole_or_forgotten(ends: Ends) -> None:
    one, other = ends
    held: list[object] = []

    def hold(channel: object) -> bool:
        held.append(channel)
        return True

    intake = Intake(20_000, hold, lambda: None)
    other.set_intake(intake)
    data = encode(ReferenceMessage(4, 0, 9, 70, bytes(90_000)))

    one.sock.sendall(data[:30_000])
    deadline = time.monotonic() + DEADLINE
    while other.counted < 29_960:
        assert other.receive_available() is None
        assert time.monotonic() < deadline
    assert (intake.total, intake.messages, other.counted) == (29_960, 1, 29_960)
    assert other.begun is not None
    one.sock.sendall(data[30_000:60_000])
    assert other.receive_available() is None
    assert held == [other], "not a byte was read"
    assert intake.total == 29_960
    other.close()
    after: tuple[object, ...] = intake.total, intake.messages, other.counted, other.begun
    assert after == (0, 0, 0, None)
