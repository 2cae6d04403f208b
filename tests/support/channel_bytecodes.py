"""What a channel written in Python must do when something happens between two of its bytecodes: an interrupt, a destructor.

Run by test_channel.py. The native link runs no bytecode of its own; test_link_sharing.py has its interrupts.
"""

from __future__ import annotations

import contextlib
import socket
import threading

import pytest
from conversations import REQUEST, REQUEST_BYTES, ChannelTests, Conversation
from every_bytecode import STRIDE, Destructor, each_number, happening, in_time, interrupt, interrupted
from reference_wire import ReferenceMessage, encode, facts
from socket_pairs import DEADLINE, Peer, receive_exactly

from fastpyro.errors import ConnectionClosedError, LocalProtocolError
from fastpyro.protocol._message import Outgoing

ECHO = ReferenceMessage(*REQUEST)
OTHER = ReferenceMessage(4, 0, 8, 70, b"another")


def echo_all(peer: socket.socket) -> None:
    """Send back all that comes, until the other side is gone."""
    peer.settimeout(DEADLINE)
    with contextlib.suppress(OSError):
        while data := peer.recv(65536):
            peer.sendall(data)


def check_free(talk: Conversation) -> None:
    """The channel is closed, or whole: no lock of it is left behind, and no half conversation."""
    was_closed = talk.channel.closed
    outcome = in_time(lambda: facts(talk.channel.exchange(Outgoing(*REQUEST), timeout=DEADLINE)))
    if was_closed:
        assert isinstance(outcome, ConnectionClosedError)
    else:
        assert outcome == ECHO
    assert in_time(talk.channel.close) is None
    assert talk.channel.fileno() == talk.channel.sock.fileno() == -1


class BytecodeContract(ChannelTests):
    """Nothing hangs, and nothing stays locked. ``step``: how many bytecodes are passed over, where connecting takes long."""

    step = 1

    def test_an_interrupt_anywhere_in_an_exchange(self) -> None:
        def path(number: int) -> happening:
            with self.connect() as talk, Peer(lambda: echo_all(talk.peer)):
                interruption = interrupted(number, lambda: talk.channel.exchange(Outgoing(*REQUEST), timeout=DEADLINE))
                check_free(talk)
            return interruption

        assert each_number(path, self.step) > 100

    def test_an_interrupt_anywhere_in_sending_and_receiving(self) -> None:
        def path(number: int) -> happening:
            with self.connect() as talk, Peer(lambda: echo_all(talk.peer)):

                def use() -> None:
                    talk.channel.send(Outgoing(*REQUEST))
                    talk.channel.receive(DEADLINE)
                    talk.channel.receive_available()

                interruption = interrupted(number, use)
                if interruption.happened:
                    talk.channel.close()  # what comes next may be the answer to what was sent
                check_free(talk)
            return interruption

        assert each_number(path, self.step) > 100

    def test_an_interrupt_anywhere_in_closing(self) -> None:
        def path(number: int) -> happening:
            with self.connect() as talk, Peer(lambda: echo_all(talk.peer)):
                interruption = interrupted(number, talk.channel.close)
                check_free(talk)
            return interruption

        assert each_number(path, self.step) > 10

    def test_an_interrupt_anywhere_while_waiting_for_another_thread(self) -> None:
        def path(number: int) -> happening:
            sent, waits, goes_on = threading.Event(), threading.Event(), threading.Event()

            def answer_when_somebody_waits(talk: Conversation) -> None:
                receive_exactly(talk.peer, len(REQUEST_BYTES))
                sent.set()
                waits.wait(DEADLINE)
                talk.peer.sendall(encode(ECHO))
                echo_all(talk.peer)

            def seen(name: str) -> None:
                if name == "_check_turn":
                    waits.set()
                elif name == "_send_bytes":
                    goes_on.set()

            with self.connect() as talk, Peer(lambda: answer_when_somebody_waits(talk)):
                with Peer(lambda: talk.channel.exchange(Outgoing(*REQUEST), timeout=DEADLINE)):
                    assert sent.wait(DEADLINE)
                    with contextlib.suppress(KeyboardInterrupt), happening(number, interrupt, seen) as interruption:
                        talk.channel.exchange(Outgoing(4, 0, 8, 70, b"another"), timeout=DEADLINE)
                    waits.set()
                check_free(talk)
            interruption.happened &= not goes_on.is_set()  # from there on it is as without another thread
            return interruption

        assert each_number(path, self.step) > 50

    @pytest.mark.parametrize("oneway", [False, True])
    def test_a_destructor_anywhere_in_an_exchange(self, oneway: bool) -> None:
        """Its own call on the channel is served or refused; it never waits for the thread that it runs in."""
        refused = 0

        def path(number: int) -> happening:
            nonlocal refused
            outcome: list[object] = []
            with self.connect() as talk, Peer(lambda: echo_all(talk.peer)):

                def call() -> object:
                    if oneway:
                        return talk.channel.send(Outgoing(4, 0, 8, 70, b"another"))
                    return facts(talk.channel.exchange(Outgoing(4, 0, 8, 70, b"another"), timeout=DEADLINE))

                def exchange() -> tuple[happening, object]:
                    with happening(number, lambda: Destructor(call, outcome)) as collection:
                        return collection, facts(talk.channel.exchange(Outgoing(*REQUEST), timeout=DEADLINE))

                collection: happening
                collection, reply = in_time(exchange)
                result = outcome[0] if outcome else None
                refused += isinstance(result, LocalProtocolError)
                assert isinstance(result, LocalProtocolError) or result in (None, OTHER), result
                assert reply == ECHO or (oneway and result is None and reply == OTHER)
                talk.channel.close()
            return collection

        each_number(path, self.step)
        assert refused > (20 if self.step * STRIDE == 1 else 5)  # a path that is taken in larger steps has fewer places

    def test_a_destructor_that_closes_the_channel(self) -> None:
        def path(number: int) -> happening:
            outcome: list[object] = []
            with self.connect() as talk, Peer(lambda: echo_all(talk.peer)):

                def exchange() -> happening:
                    with (
                        happening(number, lambda: Destructor(talk.channel.close, outcome)) as collection,
                        contextlib.suppress(ConnectionClosedError),
                    ):
                        talk.channel.exchange(Outgoing(*REQUEST), timeout=DEADLINE)
                    return collection

                collection: happening = in_time(exchange)
                assert outcome in ([], [None])
                check_free(talk)
            return collection

        each_number(path, self.step)
