"""A thread that comes to its own link in the middle of a call, from a signal handler, a destructor or a callback.

It is served or refused; it never waits for itself, and nobody else waits for it.
"""

from __future__ import annotations

import contextlib
import gc
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from every_bytecode import Destructor, in_time
from link_askers import INVOKE, NATIVE, Asker, ask, reply
from socket_pairs import DEADLINE, Peer, unix_pair

from fastpyro.errors import ConnectionClosedError, LocalProtocolError
from fastpyro.protocol._message import Outgoing
from fastpyro.transport._link import Link

Ends = tuple[Link, Link]


@pytest.fixture
def ends() -> Iterator[tuple[Link, Link]]:
    near, far = unix_pair()
    link, peer = Link(near), Link(far)
    link.set_background(lambda run: threading.Thread(target=run, daemon=True).start())
    with contextlib.closing(link), contextlib.closing(peer):
        yield link, peer


@contextlib.contextmanager
def handling(handler: Any) -> Iterator[None]:
    previous = signal.signal(signal.SIGUSR1, lambda *_: handler())
    try:
        yield
    finally:
        signal.signal(signal.SIGUSR1, previous)


def send_signal() -> None:
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)


def ask_and_look(link: Any, seq: int) -> None:
    """Ask; a signal that comes while the answer does has its handler run at the next call of a function."""
    ask(link, seq, DEADLINE)
    time.sleep(0)


def try_to(action: Any, outcome: list[Any]) -> None:
    try:
        outcome.append(action())
    except Exception as error:
        outcome.append(error)


@pytest.mark.parametrize("timeout", [None, DEADLINE])
def test_a_handler_cannot_exchange_while_its_thread_reads(ends: Ends, timeout: float | None) -> None:
    link, peer = ends
    outcome: list[Any] = []
    handled = threading.Event()

    def handler() -> None:
        try_to(lambda: ask(link, 8), outcome)
        try_to(lambda: link.receive(1), outcome)
        try_to(lambda: link.send(Outgoing(INVOKE, 1, 9, NATIVE, b"oneway")), outcome)
        handled.set()

    def answer() -> None:
        first = peer.receive(DEADLINE)
        send_signal()
        assert peer.receive(DEADLINE).payload == b"oneway"
        assert handled.wait(DEADLINE)
        reply(peer, first)

    with handling(handler), Peer(answer):
        assert ask(link, 7, timeout) == b"7"
    assert [type(one) for one in outcome] == [LocalProtocolError, LocalProtocolError, type(None)]
    assert "this thread is in the middle of a call" in str(outcome[0])
    with Peer(lambda: reply(peer, peer.receive(DEADLINE))):
        assert ask(link, 10, DEADLINE) == b"10"


def test_a_handler_cannot_send_while_its_thread_sends(ends: Ends) -> None:
    link, peer = ends
    outcome: list[Any] = []
    handled = threading.Event()

    def handler() -> None:
        try_to(lambda: link.send(Outgoing(INVOKE, 1, 9, NATIVE, b"oneway")), outcome)
        try_to(lambda: ask(link, 8), outcome)
        handled.set()

    def answer() -> None:
        while not handled.wait(0.01):
            send_signal()
        big = peer.receive(DEADLINE)
        assert len(big.payload) == 20 << 20
        reply(peer, big)

    with handling(handler), Peer(answer):
        assert len(link.exchange(Outgoing(INVOKE, 0, 7, NATIVE, bytes(20 << 20)), timeout=DEADLINE).payload) == 20 << 20
    assert {type(one) for one in outcome} == {LocalProtocolError}


def test_a_handler_may_exchange_while_another_thread_reads(ends: Ends) -> None:
    link, peer = ends
    outcome: list[Any] = []

    def answer() -> None:
        first, second = peer.receive(DEADLINE), peer.receive(DEADLINE)
        send_signal()
        third = peer.receive(DEADLINE)  # of the handler
        for message in (first, third, second):  # the reader goes, before the handler has its reply
            reply(peer, message)

    reader = Asker(link, 1)
    with handling(lambda: try_to(lambda: ask(link, 3, DEADLINE), outcome)), Peer(answer):
        assert ask(link, 2, DEADLINE) == b"2"
    assert reader.wait().answer == b"1"
    assert outcome == [b"3"]


def test_an_interrupt_while_another_thread_reads_is_no_matter_to_it(ends: Ends) -> None:
    link, peer = ends

    def interrupt() -> None:
        raise KeyboardInterrupt

    def answer() -> None:
        first, second = peer.receive(DEADLINE), peer.receive(DEADLINE)
        send_signal()
        third = peer.receive(DEADLINE)
        for message in (second, third, first):
            reply(peer, message)

    reader = Asker(link, 1)
    with handling(interrupt), Peer(answer):
        with pytest.raises(KeyboardInterrupt):
            ask_and_look(link, 2)
        assert ask(link, 3, DEADLINE) == b"3"
    assert reader.wait().answer == b"1"


def test_an_interrupted_reader_hands_over(ends: Ends) -> None:
    link, peer = ends
    others: list[Asker] = []

    def interrupt() -> None:
        raise KeyboardInterrupt

    def answer() -> None:
        messages = [peer.receive(DEADLINE)]
        others.extend(Asker(link, seq) for seq in range(2, 6))
        messages += [peer.receive(DEADLINE) for _ in others]
        send_signal()
        for message in messages:
            reply(peer, message)

    with handling(interrupt), Peer(answer), pytest.raises(KeyboardInterrupt):
        ask_and_look(link, 1)
    for seq, other in enumerate(others, 2):
        assert other.wait().answer == b"%d" % seq


def test_destructors_in_the_reader(ends: Ends) -> None:
    """The collector may run at any allocation of the native code: whatever a destructor gets there, nobody hangs."""
    link, peer = ends
    outcome: list[Any] = []
    rounds = 300
    answering = threading.Event()
    answerer = 0

    def ask_again(seq: int) -> Any:
        # CPython may collect in any thread. The one that stands for the peer cannot ask itself and answer.
        return b"" if threading.get_ident() == answerer else ask(link, seq, DEADLINE)

    def answer_all() -> None:
        nonlocal answerer
        answerer = threading.get_ident()
        answering.set()
        with contextlib.suppress(ConnectionClosedError):
            while True:
                message = peer.receive(DEADLINE)
                if not message.flags & 1:
                    reply(peer, message)

    def call_and_collect() -> None:
        threshold = gc.get_threshold()
        gc.set_threshold(1)
        try:
            for number in range(rounds):
                cycle: list[Any] = [Destructor(lambda n=number: ask_again(1000 + n), outcome)]  # type: ignore[misc]
                cycle.append(cycle)
                del cycle
                message = link.exchange(Outgoing(INVOKE, 0, number, NATIVE, b"x", {"ABCD": b"1"}), timeout=DEADLINE)
                assert message.payload == b"x"
        finally:
            gc.set_threshold(*threshold)

    with Peer(answer_all):
        assert answering.wait(DEADLINE)
        assert in_time(call_and_collect, 60) is None
        link.close()
    for one in outcome:
        assert isinstance(one, bytes | LocalProtocolError), one
    assert outcome


class Interrupted:
    """A callback that is interrupted the first time that it is called."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, Any]] = []

    def __call__(self, message: Any, error: BaseException | None) -> None:
        self.calls.append((message, error))
        if len(self.calls) == 1:
            raise KeyboardInterrupt


def test_an_interrupted_callback_hears_again_and_so_do_the_others(ends: Ends) -> None:
    link, peer = ends
    callbacks = [Interrupted() for _ in range(3)]
    for seq, callback in enumerate(callbacks):
        link.submit(Outgoing(INVOKE, 0, seq, NATIVE, b""), callback)
    messages = [peer.receive(DEADLINE) for _ in callbacks]
    reply(peer, messages[1])
    finished = threading.Event()

    def wait() -> None:
        while not all(len(callback.calls) == 2 for callback in callbacks):
            if finished.wait(0.01):
                return

    assert in_time(wait) is None
    finished.set()
    assert link.closed
    assert isinstance(callbacks[1].calls[1][1], KeyboardInterrupt)
    for callback in (callbacks[0], callbacks[2]):
        assert isinstance(callback.calls[0][1], ConnectionClosedError)


@pytest.mark.parametrize("started", [False, True])
def test_an_interrupt_while_a_callback_is_handed_over(started: bool) -> None:
    near, far = unix_pair()
    link, peer = Link(near), Link(far)
    calls: list[Any] = []

    def background(run: Any) -> None:
        if started:
            run()
        raise KeyboardInterrupt

    link.set_background(background)
    with contextlib.closing(link), contextlib.closing(peer):
        reading = Asker(link, 1)
        first = peer.receive(DEADLINE)
        link.submit(Outgoing(INVOKE, 0, 2, NATIVE, b"2"), lambda *arguments: calls.append(arguments))
        reply(peer, peer.receive(DEADLINE))
        reply(peer, first)
        assert isinstance(reading.wait().failure, KeyboardInterrupt)
    assert [message.payload for message, _ in calls] == [b"2"]
