"""The bytes below the messages: looking before sleeping, and what may happen meanwhile."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from conversations import REPLY, REPLY_BYTES, REQUEST
from reference_wire import facts
from server_process import SubjectServer
from socket_pairs import DEADLINE, Peer, tcp_pair, unix_pair

import fastpyro
from fastpyro.errors import ConnectionClosedError, TimeoutError
from fastpyro.protocol._message import Outgoing
from fastpyro.transport._link import Link
from fastpyro.transport._stream import Stream

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
            assert facts(link.exchange(Outgoing(*REQUEST))) == REPLY


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


@pytest.mark.parametrize("timeout", [None, DEADLINE])
def test_a_signal_that_another_thread_gets_is_not_lost(talk: Talk, timeout: float | None) -> None:
    """It interrupts no system call of the main thread, as one that comes right before the call does not."""
    link, _ = talk

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    def get_one() -> None:
        threading.Event().wait(0.05)  # so that the other thread is asleep, most of the time
        signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)

    usual = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with Peer(get_one), pytest.raises(KeyboardInterrupt):
            link.receive(timeout=timeout)
    finally:
        signal.signal(signal.SIGUSR1, usual)


BIG = bytes(range(256)) * 16384
"""4 MiB, more than a socket takes at once."""


def test_big_messages_arrive_whether_it_looks_for_room_or_sleeps(talk: Talk) -> None:
    link, far = talk

    def answer() -> None:
        for number in range(4):
            received = b""
            while len(received) < 40 + len(BIG):
                if number == 3:
                    time.sleep(0.0005)  # a slow reader: the sender has looked in vain each time
                received += far.recv(1 << 20)
            assert received.endswith(BIG)
            far.sendall(REPLY_BYTES)

    kind, flags, seq, serializer_id = REQUEST[:4]
    with Peer(answer):
        for timeout in (None, DEADLINE, None, None):
            assert facts(link.exchange(Outgoing(kind, flags, seq, serializer_id, BIG), timeout=timeout)) == REPLY


@pytest.mark.parametrize("seconds", [0.001, 0.03])
def test_a_deadline_holds_while_there_is_no_room(talk: Talk, seconds: float) -> None:
    link, _ = talk
    before = time.monotonic()
    with pytest.raises(TimeoutError, match="sending"):
        link.exchange(Outgoing(*REQUEST[:4], bytes(32 << 20)), timeout=seconds)
    assert seconds <= time.monotonic() - before < DEADLINE / 2
    assert link.closed


def test_a_peer_that_goes_while_there_is_no_room_is_noticed(talk: Talk) -> None:
    link, far = talk

    def go() -> None:
        far.recv(1)
        far.close()

    with Peer(go), pytest.raises(ConnectionClosedError):
        link.exchange(Outgoing(*REQUEST[:4], bytes(32 << 20)))
    assert link.closed


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
            link.exchange(Outgoing(*REQUEST))
        used = time.process_time() - before
    assert used < 0.1  # of 0.6 seconds; it looks 5 times for 5 milliseconds


def test_messages_of_threads_do_not_mix() -> None:
    near, far = unix_pair()
    sender, receiver = Link(near), Link(far)
    payloads = [bytes([letter]) * (300_000 + letter) for letter in range(65, 73)]

    def send(payload: bytes) -> None:
        for seq in range(5):
            sender.send(Outgoing(4, 0, seq, 70, payload))

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
            link.send(Outgoing(4, 0, 1, 70, bytes(50_000_000)))

    with contextlib.closing(link), far, Peer(fill):
        assert started.wait(DEADLINE)
        assert far.recv(1, socket.MSG_PEEK)  # the first one is under way, and nobody reads
        with pytest.raises(TimeoutError):
            link.send(Outgoing(4, 0, 2, 70, b"next"), timeout=0.05)
        link.close()


class Crowd:
    """Threads that all wait for answers at the same time, each with a connection of its own."""

    SIZE = 12

    def __init__(self, work: Callable[[Link], Any]) -> None:
        self.pairs = [unix_pair() for _ in range(self.SIZE)]
        self.links = [Link(near) for near, _ in self.pairs]
        self.threads = [Peer(lambda link=link: work(link)) for link in self.links]  # type: ignore[misc]

    def __enter__(self) -> Crowd:
        for thread in self.threads:
            thread.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for link, (_near, far) in zip(self.links, self.pairs, strict=True):
            link.close()
            far.close()

    def failures(self) -> list[type[BaseException]]:
        """Return what the threads have raised, once all have ended."""
        for thread in self.threads:
            thread.thread.join(DEADLINE)
            assert not thread.thread.is_alive()
        return [type(thread.failure) for thread in self.threads if thread.failure is not None]


@pytest.mark.parametrize("timeout", [None, DEADLINE])
def test_each_thread_of_a_crowd_gets_its_own_answers(timeout: float | None) -> None:
    with SubjectServer() as server:

        def work(number: int) -> list[int]:
            with fastpyro.Proxy(server.uri()) as proxy:
                proxy._pyroTimeout = timeout
                return [proxy.add(number, other) - number for other in range(500)]

        with ThreadPoolExecutor(Crowd.SIZE) as threads:
            assert list(threads.map(work, range(Crowd.SIZE))) == [list(range(500))] * Crowd.SIZE


def test_deadlines_hold_in_a_crowd() -> None:
    def work(link: Link) -> float:
        before = time.monotonic()
        with pytest.raises(TimeoutError):
            link.exchange(Outgoing(*REQUEST), timeout=0.05)
        return time.monotonic() - before

    with Crowd(work) as crowd:
        assert crowd.failures() == []
        assert all(0.05 <= thread.result < 0.5 for thread in crowd.threads)


@pytest.mark.parametrize("timeout", [None, DEADLINE])
def test_a_crowd_whose_peers_go_is_told(timeout: float | None) -> None:
    with Crowd(lambda link: link.exchange(Outgoing(*REQUEST), timeout=timeout)) as crowd:
        for _, far in crowd.pairs:
            assert far.recv(65536), "the request: its thread waits for the answer, or is about to"
            far.close()
        assert crowd.failures() == [ConnectionClosedError] * Crowd.SIZE


@pytest.mark.parametrize("timeout", [None, DEADLINE])
def test_a_crowd_can_be_closed_from_outside(timeout: float | None) -> None:
    with Crowd(lambda link: link.exchange(Outgoing(*REQUEST), timeout=timeout)) as crowd:
        for link, (_, far) in zip(crowd.links, crowd.pairs, strict=True):
            assert far.recv(65536)
            link.close()
        assert crowd.failures() == [ConnectionClosedError] * Crowd.SIZE
        assert [link.fileno() for link in crowd.links] == [-1] * Crowd.SIZE


def test_a_crowd_goes_on_beside_a_thread_that_computes() -> None:
    done = threading.Event()

    def compute() -> int:
        count = 0
        while not done.is_set():
            count += 1
        return count

    with SubjectServer() as server, Peer(compute) as computing:

        def work(number: int) -> int:
            with fastpyro.Proxy(server.uri()) as proxy:
                return sum(int(proxy.add(number, 1)) for _ in range(20))

        try:
            with ThreadPoolExecutor(Crowd.SIZE) as threads:
                sums = list(threads.map(work, range(Crowd.SIZE)))
        finally:
            done.set()
    assert sums == [20 * (number + 1) for number in range(Crowd.SIZE)]
    assert computing.result > 0
