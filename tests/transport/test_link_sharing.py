"""Many exchanges at a time on one link: every reply to its own request, whoever reads, whatever fails."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from link_askers import INVOKE, NATIVE, RESULT, Asker, ask, reply
from socket_pairs import DEADLINE, Peer, unix_pair

from fastpyro.errors import CommunicationError, ConnectionClosedError, LocalProtocolError, TimeoutError
from fastpyro.protocol._message import Message, Outgoing
from fastpyro.transport._link import Link


@pytest.fixture
def ends() -> Iterator[tuple[Link, Link]]:
    near, far = unix_pair()
    link, peer = Link(near), Link(far)
    link.set_background(lambda run: threading.Thread(target=run, daemon=True).start())
    with contextlib.closing(link), contextlib.closing(peer):
        yield link, peer


Ends = tuple[Link, Link]


def test_replies_in_any_order_go_to_their_threads(ends: Ends) -> None:
    link, peer = ends
    choose = random.Random(7)
    for round_number in range(30):
        askers = [Asker(link, round_number * 8 + number) for number in range(8)]
        requests = [peer.receive(DEADLINE) for _ in askers]
        choose.shuffle(requests)
        for request in requests:
            reply(peer, request)
        for number, asker in enumerate(askers):
            assert asker.wait().answer == b"%d" % (round_number * 8 + number)


def test_the_reader_leaves_first_and_another_one_reads_on(ends: Ends) -> None:
    link, peer = ends
    reader = Asker(link, 1)
    first = peer.receive(DEADLINE)
    others = [Asker(link, seq) for seq in range(2, 6)]
    rest = [peer.receive(DEADLINE) for _ in others]
    reply(peer, first)
    assert reader.wait().answer == b"1"
    for request in rest:
        reply(peer, request)
    assert [asker.wait().answer for asker in others] == [b"2", b"3", b"4", b"5"]


@pytest.mark.parametrize("impatient_first", [True, False])
def test_a_timeout_disturbs_nobody_else(ends: Ends, impatient_first: bool) -> None:
    link, peer = ends
    timeouts = [0.1, None] if impatient_first else [None, 0.1]
    askers = []
    for seq, timeout in enumerate(timeouts, 1):
        askers.append(Asker(link, seq, timeout))
        peer.receive(DEADLINE)
    impatient, patient = askers if impatient_first else reversed(askers)
    assert isinstance(impatient.wait().failure, TimeoutError)
    assert not link.closed
    late, wanted = (1, 2) if impatient_first else (2, 1)
    peer.send(Outgoing(RESULT, 0, late, NATIVE, b"too late"))
    peer.send(Outgoing(RESULT, 0, wanted, NATIVE, b"in time"))
    assert patient.wait().answer == b"in time"
    assert link.free_sequence_number(late - 1) == late, "its late reply has come, so the number is free again"


def test_the_number_of_a_reply_that_is_still_out_is_not_free(ends: Ends) -> None:
    link, peer = ends
    patient = Asker(link, 1)
    request = peer.receive(DEADLINE)
    with pytest.raises(TimeoutError):
        ask(link, 2, 0.05)
    assert link.free_sequence_number(0xFFFF) == 0
    assert link.free_sequence_number(0) == 3
    with pytest.raises(LocalProtocolError, match="waited for already"):
        ask(link, 1)
    reply(peer, request)
    assert patient.wait().answer == b"1"


def test_a_timeout_of_the_only_one_closes_the_link(ends: Ends) -> None:
    link, _ = ends
    with pytest.raises(TimeoutError):
        ask(link, 1, 0.05)
    assert link.closed


@pytest.mark.parametrize("end", ["close", "babble", "unknown number", "our own close"])
def test_when_it_breaks_every_thread_hears_of_it(ends: Ends, end: str) -> None:
    link, peer = ends
    askers = [Asker(link, seq) for seq in range(6)]
    for _ in askers:
        peer.receive(DEADLINE)
    if end == "close":
        peer.close()
    elif end == "babble":
        peer.sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + bytes(100))
    elif end == "unknown number":
        peer.send(Outgoing(RESULT, 0, 77, NATIVE, b"for nobody"))
    else:
        link.close()
    for asker in askers:
        assert isinstance(asker.wait().failure, CommunicationError)
    assert link.closed
    with pytest.raises(ConnectionClosedError):
        ask(link, 9)


def test_big_messages_of_threads_both_ways(ends: Ends) -> None:
    link, peer = ends

    def echo() -> None:
        for _ in range(12):
            reply(peer, peer.receive(DEADLINE))

    def work(seq: int) -> None:
        payload = bytes([seq]) * 2_000_000
        assert link.exchange(Outgoing(INVOKE, 0, seq, NATIVE, payload)).payload == payload

    with Peer(echo):
        workers = [Peer(partial(work, seq)) for seq in range(12)]
        with contextlib.ExitStack() as stack:
            for worker in workers:
                stack.enter_context(worker)


Callback = Callable[[Message | None, BaseException | None], object]


def submit(link: Link, seq: int, callback: Callback) -> None:
    link.submit(Outgoing(INVOKE, 0, seq, NATIVE, b"%d" % seq), callback)


def test_callbacks_get_their_replies(ends: Ends) -> None:
    link, peer = ends
    arrived: dict[int, bytes] = {}
    done = threading.Event()

    def take(message: Message | None, error: BaseException | None) -> None:
        assert message is not None
        assert error is None
        arrived[message.seq] = message.payload
        if len(arrived) == 50:
            done.set()

    for seq in range(50):
        submit(link, seq, take)
    requests = [peer.receive(DEADLINE) for _ in range(50)]
    random.Random(1).shuffle(requests)
    for request in requests:
        reply(peer, request)
    assert done.wait(DEADLINE)
    assert arrived == {seq: b"%d" % seq for seq in range(50)}


def test_an_exchange_inside_a_callback(ends: Ends) -> None:
    link, peer = ends
    inner: list[bytes] = []
    done = threading.Event()

    def take(message: Message | None, error: BaseException | None) -> None:
        inner.append(ask(link, 100))
        done.set()

    submit(link, 1, take)
    submit(link, 2, lambda message, error: None)
    for _ in range(3):
        reply(peer, peer.receive(DEADLINE))
    assert done.wait(DEADLINE)
    assert inner == [b"100"]


def test_a_callback_is_withdrawn_once(ends: Ends) -> None:
    link, peer = ends
    called: list[int] = []
    submit(link, 1, lambda message, error: called.append(1))
    submit(link, 2, lambda message, error: called.append(2))
    assert link.withdraw(1)
    assert not link.withdraw(1)
    for _ in range(2):
        reply(peer, peer.receive(DEADLINE))
    answers = Asker(link, 3)
    reply(peer, peer.receive(DEADLINE))
    assert answers.wait().answer == b"3"
    assert called == [2]


def test_callbacks_are_told_when_it_breaks(ends: Ends) -> None:
    link, peer = ends
    failures: list[BaseException | None] = []
    done = threading.Event()

    def take(message: Message | None, error: BaseException | None) -> None:
        assert message is None
        failures.append(error)
        if len(failures) == 5:
            done.set()

    for seq in range(5):
        submit(link, seq, take)
    peer.close()
    assert done.wait(DEADLINE)
    assert all(isinstance(error, ConnectionClosedError) for error in failures)


def test_no_thread_to_be_had_is_an_error_for_the_callback(ends: Ends) -> None:
    link, _ = ends
    failures: list[Any] = []

    def refuse(run: object) -> None:
        raise RuntimeError("can't start new thread")

    link.set_background(refuse)
    submit(link, 1, lambda message, error: failures.append(error))
    assert isinstance(failures[0], ConnectionClosedError)
    assert link.closed


def test_submitting_needs_a_background() -> None:
    near, far = unix_pair()
    with contextlib.closing(Link(near)) as link, far, pytest.raises(LocalProtocolError, match="set_background"):
        submit(link, 1, lambda message, error: None)


def test_a_thousand_requests_in_flight_do_not_stall_both_ends(ends: Ends) -> None:
    """A peer that answers each request before it reads the next stops reading when nobody takes its answers."""
    link, peer = ends
    for sock in (link.sock, peer.sock):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    arrived: list[int] = []
    done = threading.Event()

    def take(message: Message | None, error: BaseException | None) -> None:
        assert message is not None
        arrived.append(message.seq)
        if len(arrived) == 1000:
            done.set()

    def echo() -> None:
        for _ in range(1000):
            reply(peer, peer.receive(DEADLINE))

    with Peer(echo):
        for seq in range(1000):
            link.submit(Outgoing(INVOKE, 0, seq, NATIVE, bytes(500)), take)
        assert done.wait(DEADLINE)
    assert sorted(arrived) == list(range(1000))
