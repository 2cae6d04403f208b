"""The bytes below the messages: looking before sleeping, and what may happen meanwhile."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from conversations import REPLY, REPLY_BYTES, REQUEST
from reference_wire import facts
from socket_pairs import DEADLINE, Peer, tcp_pair, unix_pair

from fastpyro._link import Link
from fastpyro._stream import Stream
from fastpyro.errors import ConnectionClosedError, TimeoutError

LONG_SPIN = 100_000
"""Microseconds: whatever happens in a test happens while it looks."""


@pytest.fixture(params=[0, 50, LONG_SPIN])
def spin(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture(params=[unix_pair, tcp_pair])
def talk(request: pytest.FixtureRequest, spin: int) -> Iterator[tuple[Link, socket.socket]]:
    near, far = request.param()
    link = Link(near)
    link.set_spin(spin)
    with contextlib.closing(link), far:
        yield link, far


Talk = tuple[Link, socket.socket]


def test_a_link_is_a_stream(talk: Talk) -> None:
    link, _ = talk
    assert isinstance(link, Stream)
    assert link.fileno() == link.sock.fileno()
    assert (link.closed, link.has_buffered) == (False, False)


def test_replies_arrive_whether_it_looks_or_sleeps(talk: Talk) -> None:
    link, far = talk

    def answer() -> None:
        for _ in range(200):
            assert far.recv(65536)
            far.sendall(REPLY_BYTES)

    with Peer(answer):
        for _ in range(200):
            assert facts(link.exchange(*REQUEST)) == REPLY


@pytest.mark.parametrize("seconds", [0.001, 0.03])
def test_a_deadline_holds(talk: Talk, seconds: float) -> None:
    link, _ = talk
    before = time.monotonic()
    with pytest.raises(TimeoutError):
        link.receive(seconds)
    assert seconds <= time.monotonic() - before < seconds + 0.09, "less than LONG_SPIN: the deadline ends the looking"


def test_a_peer_that_goes_while_it_looks_is_noticed(talk: Talk) -> None:
    link, far = talk
    with Peer(lambda: link.receive()) as reader:
        far.close()
        reader.thread.join(DEADLINE)
        assert isinstance(reader.failure, ConnectionClosedError)
        reader.failure = None


def test_closing_from_another_thread_ends_the_looking(talk: Talk) -> None:
    link, _ = talk
    entered = threading.Event()

    def wait() -> None:
        entered.set()
        link.receive()

    with Peer(wait) as reader:
        assert entered.wait(DEADLINE)
        link.close()
        reader.thread.join(DEADLINE)
        assert isinstance(reader.failure, ConnectionClosedError)
        reader.failure = None
    assert link.fileno() == -1


@pytest.mark.parametrize("delay", [0.005, 0.02, 0.2])
def test_a_signal_is_not_lost(talk: Talk, delay: float) -> None:
    link, _ = talk

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = time.monotonic()
    usual = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, delay)
        with pytest.raises(KeyboardInterrupt):
            link.receive()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, usual)
    assert time.monotonic() - before < 5


def test_looking_is_given_up_while_it_does_not_pay() -> None:
    near, far = unix_pair()
    link = Link(near)
    link.set_spin(5000)

    def answer() -> None:
        never = threading.Event()
        for _ in range(30):
            assert far.recv(65536)
            never.wait(0.02)
            far.sendall(REPLY_BYTES)

    with contextlib.closing(link), far, Peer(answer):
        before = time.process_time()
        for _ in range(30):
            link.exchange(*REQUEST)
        used = time.process_time() - before
    assert used < 0.1  # of 0.6 seconds; it looks 5 times for 5 milliseconds


def test_messages_of_threads_do_not_mix() -> None:
    near, far = unix_pair()
    sender, receiver = Link(near), Link(far)
    payloads = [bytes([letter]) * (300_000 + letter) for letter in range(65, 73)]

    def send(payload: bytes) -> None:
        for seq in range(5):
            sender.send(4, 0, seq, 70, payload)

    threads = [threading.Thread(target=send, args=(payload,)) for payload in payloads]
    with contextlib.closing(sender), contextlib.closing(receiver):
        for thread in threads:
            thread.start()
        received = [receiver.receive(DEADLINE).payload for _ in range(5 * len(payloads))]
        for thread in threads:
            thread.join(DEADLINE)
    assert sorted(received) == sorted(payloads * 5)


def test_a_sender_whose_turn_does_not_come_times_out() -> None:
    near, far = unix_pair()
    link = Link(near)
    started = threading.Event()

    def fill() -> None:
        started.set()
        with contextlib.suppress(ConnectionClosedError):
            link.send(4, 0, 1, 70, bytes(50_000_000))

    with contextlib.closing(link), far, Peer(fill):
        assert started.wait(DEADLINE)
        assert far.recv(1, socket.MSG_PEEK)  # the first one is under way, and nobody reads
        with pytest.raises(TimeoutError):
            link.send(4, 0, 2, 70, b"next", timeout=0.05)
        link.close()
