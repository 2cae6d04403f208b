"""Bytes that wait in a stream's queue, and not in its sender: order, copies, and every way in which it can end."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from conversations import pattern
from reference_wire import decode_stream
from socket_pairs import DEADLINE, Peer, receive_exactly, tcp_pair, unix_pair

from fastpyro.errors import CommunicationError, ConnectionClosedError, MessageTooLargeError
from fastpyro.protocol._message import Outgoing
from fastpyro.transport._link import Link
from fastpyro.transport._output import OutputStream

BIG = pattern(12_000_000)
"""More than the buffers of two sockets hold."""

PATIENT = 10_000, 10_000, 0
"""A stall, a budget and a rate with which the sender stays in any case."""

IMPATIENT = 1, 1, 0


class Outlet:
    """Counts how often it is told."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def __call__(self, stream: Any) -> None:
        self.told.append(stream)


@pytest.fixture(params=[unix_pair, tcp_pair])
def talk(request: pytest.FixtureRequest) -> Iterator[tuple[Link, socket.socket, Outlet]]:
    near, far = request.param()
    link, outlet = Link(near), Outlet()
    link.set_outlet(outlet, *IMPATIENT)
    with contextlib.closing(link), far:
        yield link, far, outlet


Talk = tuple[Link, socket.socket, Outlet]


def send_all_unsent(link: Link) -> None:
    while link.unsent:
        link.send_unsent(100_000)


def test_a_link_is_an_output_stream(talk: Talk) -> None:
    link, _, outlet = talk
    assert isinstance(link, OutputStream)
    assert (link.unsent, link.unsent_messages, outlet.told) == (0, 0, [])
    assert link.send_unsent(1000) == 0


def test_what_fits_leaves_at_once(talk: Talk) -> None:
    link, far, outlet = talk
    link.send(Outgoing(4, 0, 1, 70, b"small"))
    assert (link.unsent, outlet.told) == (0, [])
    assert receive_exactly(far, 45)[40:] == b"small"


@pytest.mark.parametrize("parts", [1, 3, 200])
@pytest.mark.parametrize("annotations", [None, {"ABCD": bytes(5000)}])
def test_the_rest_waits_and_arrives_in_order(talk: Talk, parts: int, annotations: Any) -> None:
    link, far, outlet = talk
    size = -(-len(BIG) // parts)
    payload = BIG if parts == 1 else [BIG[at : at + size] for at in range(0, len(BIG), size)]
    link.send(Outgoing(4, 0, 1, 70, payload, annotations))
    assert outlet.told == [link]
    assert 0 < link.unsent < len(BIG)
    link.send(Outgoing(4, 0, 2, 70, b"a small one, behind it"))
    link.send(Outgoing(4, 0, 3, 70, BIG[:300_000]))
    assert outlet.told == [link], "once, until all has been sent"
    assert link.unsent_messages == 3
    total = 3 * 40 + len(BIG) + 22 + 300_000 + (5008 if annotations else 0)
    with Peer(lambda: send_all_unsent(link)):
        messages, error = decode_stream(receive_exactly(far, total), 1 << 30)
    assert error == "idle"
    assert [message.payload for message in messages] == [BIG, b"a small one, behind it", BIG[:300_000]]
    assert (link.unsent, link.unsent_messages) == (0, 0)
    link.send(Outgoing(4, 0, 4, 70, b"at once again"))
    assert receive_exactly(far, 53)[40:] == b"at once again"
    assert outlet.told == [link]


def test_it_can_wait_again(talk: Talk) -> None:
    link, far, outlet = talk
    link.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65_536)  # or the system lets it grow, and all of it fits
    far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    for count in (1, 2, 3):
        link.send(Outgoing(4, 0, count, 70, BIG))
        assert len(outlet.told) == count
        with Peer(lambda: send_all_unsent(link)):
            assert receive_exactly(far, 40 + len(BIG))[40:] == BIG


def test_who_reads_quickly_needs_no_queue(talk: Talk) -> None:
    link, far, outlet = talk
    link.set_outlet(outlet, *PATIENT)
    with Peer(lambda: receive_exactly(far, 40 + len(BIG))) as reader:
        link.send(Outgoing(4, 0, 1, 70, BIG))
        reader.thread.join(DEADLINE)
        assert reader.result[40:] == BIG
    assert outlet.told == []


def test_the_queue_has_copies(talk: Talk) -> None:
    link, far, _ = talk

    class Bytes(bytearray):
        pass

    payload = Bytes(BIG)
    reference = weakref.ref(payload)
    link.send(Outgoing(4, 0, 1, 70, payload))
    payload[:] = b"overwritten, and of another length"
    del payload
    assert reference() is None
    with Peer(lambda: send_all_unsent(link)):
        assert receive_exactly(far, 40 + len(BIG))[40:] == BIG


@pytest.mark.parametrize("end", ["close", "break_off", "abandon"])
def test_an_end_forgets_what_waits(talk: Talk, end: str) -> None:
    link, far, _ = talk
    link.send(Outgoing(4, 0, 1, 70, BIG))
    assert link.unsent
    getattr(link, end)()
    assert link.unsent == 0
    assert link.closed
    with pytest.raises(ConnectionClosedError):
        link.send_unsent(1000)
    with pytest.raises(ConnectionClosedError):
        link.send(Outgoing(4, 0, 2, 70, b"too late"))
    far.settimeout(DEADLINE)
    while far.recv(1 << 20):
        pass


def test_a_peer_that_goes_is_noticed(talk: Talk) -> None:
    link, far, _ = talk
    link.send(Outgoing(4, 0, 1, 70, BIG))
    far.close()
    with pytest.raises(ConnectionClosedError):
        send_all_unsent(link)
    assert link.unsent == 0


def test_a_message_that_is_refused_does_not_wait(talk: Talk) -> None:
    link, _, _ = talk
    link.set_max_message_size(len(BIG))
    link.send(Outgoing(4, 0, 1, 70, BIG))
    before = link.unsent
    with pytest.raises(MessageTooLargeError):
        link.send(Outgoing(4, 0, 2, 70, BIG + b"!"))
    assert link.unsent == before


def test_senders_in_many_threads(talk: Talk) -> None:
    link, far, _ = talk
    payloads = [pattern(size) for size in (50, 5_000, 70_000, 900_000)] * 8
    total = sum(40 + len(payload) for payload in payloads)
    told, done = threading.Semaphore(0), threading.Event()
    link.set_outlet(lambda stream: told.release(), *IMPATIENT)

    def empty() -> None:
        while not done.is_set():
            if told.acquire(timeout=0.01):
                send_all_unsent(link)

    def send(part: int) -> None:
        for seq in range(part, len(payloads), 8):
            link.send(Outgoing(4, 0, seq, 70, payloads[seq]))

    with Peer(empty), contextlib.ExitStack() as senders:
        for part in range(8):
            senders.enter_context(Peer(lambda part=part: send(part)))  # type: ignore[misc]
        messages, error = decode_stream(receive_exactly(far, total), 1 << 30)
        done.set()
    assert error == "idle"
    assert sorted(message.seq for message in messages) == list(range(len(payloads)))
    assert all(message.payload == payloads[message.seq] for message in messages)


def test_ends_from_other_threads_while_it_is_sent() -> None:
    for number in range(20):
        near, far = unix_pair()
        link = Link(near)
        link.set_outlet(lambda stream: None, *IMPATIENT)
        link.send(Outgoing(4, 0, 1, 70, BIG))

        def send(link: Link = link) -> None:
            with contextlib.suppress(CommunicationError):
                while True:
                    link.send_unsent(1 << 20)

        with far, Peer(send):
            receive_exactly(far, 1_000_000 + number * 100_000)
            (link.close, link.break_off, link.abandon)[number % 3]()
        link.close()
        assert link.unsent == 0


def test_what_cannot_change_waits_without_a_copy(talk: Talk) -> None:
    link, far, _ = talk
    first, changing, second = pattern(9_000_000), bytearray(pattern(9_000_001)), pattern(9_000_002)
    expected = first + changing + second[:2_000_000] + second
    before = sys.getrefcount(second)
    few = memoryview(second)[:2_000_000]  # copied: keeping them would keep all of it
    link.send(Outgoing(4, 0, 1, 70, [memoryview(first), changing, few, second]))
    few.release()
    assert sys.getrefcount(second) == before + 1
    changing[:] = b""  # nothing refers to its memory any more
    with Peer(lambda: send_all_unsent(link)):
        assert receive_exactly(far, 40 + len(expected))[40:] == expected
    assert sys.getrefcount(second) == before


def test_a_chunk_counts_until_all_of_it_is_sent(talk: Talk) -> None:
    link, far, _ = talk
    link.send(Outgoing(4, 0, 1, 70, [BIG]))
    unsent = link.unsent
    received = bytearray(far.recv(4_000_000))
    while not (sent := link.send_unsent(1000)):
        received += far.recv(4_000_000)
    assert 0 < sent < len(BIG)
    assert link.unsent == unsent, "it is kept as a whole"
    with Peer(lambda: send_all_unsent(link)):
        received += receive_exactly(far, 40 + len(BIG) - len(received))
    assert received[40:] == BIG
    assert link.unsent == 0
