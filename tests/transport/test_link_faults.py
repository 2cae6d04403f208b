"""Exchanges of many threads when something goes wrong at the wrong moment: signals, halves, closings, no more threads."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from conversations import interrupting
from reference_wire import ReferenceMessage, encode
from socket_pairs import DEADLINE, Peer, receive_exactly, unix_pair

from fastpyro.errors import ConnectionClosedError, LocalProtocolError, MessageTooLargeError, TimeoutError
from fastpyro.protocol._message import Outgoing
from fastpyro.transport._link import Link

INVOKE, RESULT, NATIVE = 4, 5, 70
REQUEST_SIZE = len(encode(ReferenceMessage(INVOKE, 0, 0, NATIVE, b"ask")))


class Ends:
    """A link, and the plain socket of its peer."""

    def __init__(self) -> None:
        near, self.far = unix_pair()
        self.link = Link(near)

    def ask(self, seq: int, timeout: float | None = None) -> bytes:
        return self.link.exchange(Outgoing(INVOKE, 0, seq, NATIVE, b"ask"), timeout=timeout).payload

    def submit(self, seq: int, callback: Callable[[Any, Any], object]) -> None:
        self.link.submit(Outgoing(INVOKE, 0, seq, NATIVE, b"ask"), callback)

    def take_requests(self, count: int = 1) -> None:
        receive_exactly(self.far, count * REQUEST_SIZE)

    def reply(self, *numbers: int) -> None:
        self.far.sendall(b"".join(map(reply_to, numbers)))


def reply_to(seq: int) -> bytes:
    return encode(ReferenceMessage(RESULT, 0, seq, NATIVE, b"reply %d" % seq))


@pytest.fixture
def ends() -> Iterator[Ends]:
    made = Ends()
    with contextlib.closing(made.link), made.far:
        yield made


# ---- signals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [None, DEADLINE])
def test_ctrl_c_hands_the_reading_over(ends: Ends, timeout: float | None) -> None:
    other = Peer(lambda: ends.ask(2))

    def begun() -> None:
        ends.take_requests()  # the main thread reads; now somebody else comes
        other.__enter__()
        ends.take_requests()

    with interrupting(begun):
        ends.ask(1, timeout)
    assert not ends.link.closed
    assert ends.link.free_sequence_number(0) == 3, "1 may still be answered"
    ends.reply(1, 2)  # the late one is dropped
    other.__exit__(None)
    assert other.result == b"reply 2"
    with Peer(lambda: ends.ask(1)) as again:
        ends.take_requests()
        ends.reply(1)
    assert again.result == b"reply 1"


@pytest.mark.parametrize("timeout", [None, DEADLINE])
def test_ctrl_c_while_another_thread_reads(ends: Ends, timeout: float | None) -> None:
    with Peer(lambda: ends.ask(1)) as reader:
        ends.take_requests()
        with interrupting(ends.take_requests):
            ends.ask(2, timeout)
        assert not ends.link.closed
        ends.reply(2, 1)
    assert reader.result == b"reply 1"


# ---- halves ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [1, 39, 41, 46])
def test_a_reader_that_times_out_leaves_half_a_message_to_the_next_one(ends: Ends, cut: int) -> None:
    def impatient() -> None:
        with pytest.raises(TimeoutError):
            ends.ask(1, 0.1)

    data = reply_to(2)
    with Peer(impatient) as first:
        ends.take_requests()
        with Peer(lambda: ends.ask(2)) as second:
            ends.take_requests()
            ends.far.sendall(data[:cut])
            first.thread.join(DEADLINE)
            ends.far.sendall(data[cut:])
    assert second.result == b"reply 2"
    assert not ends.link.closed


def test_who_sent_half_a_message_ends_it_for_all(ends: Ends) -> None:
    """After half a request nothing that is sent could be understood."""

    def wait() -> None:
        with pytest.raises(ConnectionClosedError):
            ends.ask(1)

    with Peer(wait):
        ends.take_requests()
        with pytest.raises(TimeoutError, match="sending"):
            ends.link.exchange(Outgoing(INVOKE, 0, 2, NATIVE, bytes(20 << 20)), timeout=0.1)
    assert ends.link.closed


def test_a_request_that_is_too_big_harms_nobody(ends: Ends) -> None:
    ends.link.set_max_message_size(1000)
    with Peer(lambda: ends.ask(1)) as reader:
        ends.take_requests()
        with pytest.raises(MessageTooLargeError):
            ends.link.exchange(Outgoing(INVOKE, 0, 2, NATIVE, bytes(1001)))
        assert ends.link.free_sequence_number(1) == 2
        ends.reply(1)
    assert reader.result == b"reply 1"


# ---- numbers ---------------------------------------------------------------------------------------------------------


def test_the_number_that_the_reader_waits_for_is_taken(ends: Ends) -> None:
    with Peer(lambda: ends.ask(5)) as reader:
        ends.take_requests()
        assert ends.link.free_sequence_number(4) == 6
        with pytest.raises(LocalProtocolError, match="waited for already"):
            ends.ask(5)
        ends.reply(5)
    assert reader.result == b"reply 5"
    assert ends.link.free_sequence_number(4) == 5


def test_when_all_numbers_are_taken_it_says_so(ends: Ends) -> None:
    ends.link.set_background(lambda run: threading.Thread(target=run, daemon=True).start())
    failures: list[Any] = []
    with Peer(lambda: ends.take_requests(0xFFFF)):
        for seq in range(0xFFFF):
            ends.submit(seq, lambda message, error: failures.append(error))
    with pytest.raises(LocalProtocolError, match="65,535 calls are under way"):
        ends.link.free_sequence_number(7)
    for seq in range(10):
        assert ends.link.withdraw(seq)
    with pytest.raises(LocalProtocolError, match="65,535 calls are under way"):
        ends.link.free_sequence_number(7)
    ends.far.close()
    while len(failures) < 0xFFFF - 10:
        assert not threading.Event().wait(0.001)
    assert all(isinstance(error, ConnectionClosedError) for error in failures)


# ---- closing and threads ---------------------------------------------------------------------------------------------


def test_a_reader_that_comes_too_late_leaves_the_descriptor_alone(ends: Ends) -> None:
    """Between its appointment and its start the link may be closed, and the number be somebody else's."""
    jobs: list[Callable[[], object]] = []
    failures: list[Any] = []
    ends.link.set_background(jobs.append)
    ends.submit(1, lambda message, error: failures.append((message, error)))
    number = ends.link.fileno()
    ends.link.close()
    newcomers = socket.socketpair()
    try:
        assert number in {newcomer.fileno() for newcomer in newcomers}, "nobody else opens descriptors here"
        for newcomer in newcomers:
            newcomer.sendall(reply_to(1))
        (job,) = jobs
        job()
        for newcomer in newcomers:
            assert receive_exactly(newcomer, len(reply_to(1))) == reply_to(1)
    finally:
        for newcomer in newcomers:
            newcomer.close()
    ((message, error),) = failures
    assert message is None
    assert isinstance(error, ConnectionClosedError)


def test_without_threads_the_reader_calls_back_itself(ends: Ends) -> None:
    """A reply for a callback must not be lost, nor fail the exchange of the thread that happens to read it."""
    arrived: list[Any] = []

    def refuse(run: object) -> None:
        raise RuntimeError("can't start new thread")

    def take(message: Any, error: Any) -> None:
        arrived.append((message.payload, error))
        arrived.append(ends.ask(3))

    ends.link.set_background(refuse)
    with Peer(lambda: ends.ask(1)) as reader:
        ends.take_requests()
        ends.submit(2, take)
        ends.take_requests()
        ends.reply(2)
        ends.take_requests()
        ends.reply(3, 1)
    assert arrived == [(b"reply 2", None), b"reply 3"]
    assert reader.result == b"reply 1"
    assert not ends.link.closed


FORK = """
import os, socket, threading, time
from fastpyro.transport._link import Link
from fastpyro.errors import TimeoutError

def looks():
    near, far = socket.socketpair()
    link = Link(near)
    link.set_spin(1_000_000)
    before = time.thread_time()
    try:
        link.receive(0.3)
    except TimeoutError:
        return time.thread_time() - before > 0.01  # who sleeps takes no time of the processor

pairs = [socket.socketpair() for _ in range(4)]  # as many as may look: a fifth sleeps at once
waiters = [threading.Thread(target=Link(near).receive, daemon=True) for near, far in pairs]
for waiter in waiters:
    waiter.start()
def state(thread):  # behind the thread's name, which may have spaces and brackets in it
    return open(f"/proc/self/task/{thread.native_id}/stat").read().rpartition(")")[2].split()[0]

while any(state(waiter) != "S" for waiter in waiters):
    pass
print("parent looks:", looks(), flush=True)
if os.fork() == 0:
    print("child looks:", looks(), flush=True)
    os._exit(0)
os.wait()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks /proc whether a thread sleeps")
def test_a_forked_child_does_not_count_its_parents_threads() -> None:
    """Who waits in the parent keeps others from looking before they sleep, but not those of the child."""
    command = [sys.executable, "-W", "ignore", "-c", FORK]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "parent looks: False\nchild looks: True\n"
