"""What every channel must do when something interferes: deadlines, other threads, signals, the end.

Run by test_link.py and test_channel.py, as channel_contract.py is.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import ssl
import struct
import threading
import time

import pytest
from conversations import (
    REPLY,
    REPLY_BYTES,
    REQUEST,
    REQUEST_BYTES,
    SHORT,
    ChannelTests,
    Conversation,
    check_alive,
    check_closed_once,
    check_dead,
    drip_fast,
    interrupting,
    open_descriptors,
    pattern,
    promise,
    send_signal,
    try_to_send,
    unread_bytes_of,
    until,
)
from reference_wire import facts
from socket_pairs import DEADLINE, Peer, receive_exactly, receive_until_end

from fastpyro.errors import (
    ConnectionClosedError,
    LocalProtocolError,
    RemoteProtocolError,
    TimeoutError,
)
from fastpyro.protocol._message import Outgoing


class InterruptionContract(ChannelTests):
    """Deadlines, threads, signals, ends."""

    # ---- time --------------------------------------------------------------------------------------------------------

    def test_a_reply_that_never_comes(self, talk: Conversation) -> None:
        before = time.monotonic()
        with pytest.raises(TimeoutError, match="receiving: timeout"):
            talk.channel.exchange(Outgoing(*REQUEST), timeout=SHORT)
        assert SHORT <= time.monotonic() - before < SHORT + 2
        check_dead(talk)

    def test_receiving_times_out(self, talk: Conversation) -> None:
        with pytest.raises(TimeoutError, match="receiving: timeout"):
            talk.channel.receive(SHORT)
        check_dead(talk)

    def test_a_peer_that_does_not_read(self, talk: Conversation) -> None:
        before = time.monotonic()
        with pytest.raises(TimeoutError, match="sending: timeout"):
            talk.channel.send(Outgoing(4, 0, 0, 70, bytes(20 << 20)), timeout=SHORT)
        assert SHORT <= time.monotonic() - before < SHORT + 2
        check_dead(talk)

    @pytest.mark.parametrize("pause", [0, 0.01])
    def test_a_peer_that_drips_does_not_stretch_the_deadline(self, talk: Conversation, pause: float) -> None:
        stop = threading.Event()

        def drip() -> None:
            receive_exactly(talk.peer, len(REQUEST_BYTES))
            talk.peer.sendall(promise(1 << 30))
            until(lambda: try_to_send(talk.peer, b"x") or stop.wait(pause) if pause else drip_fast(talk.peer, stop))

        with Peer(drip):
            before = time.monotonic()
            with pytest.raises(TimeoutError):
                talk.channel.exchange(Outgoing(*REQUEST), timeout=SHORT)
            took = time.monotonic() - before
            stop.set()
            talk.channel.close()
        assert SHORT <= took < SHORT + 2

    def test_a_reader_that_sips_does_not_stretch_the_deadline(self, talk: Conversation) -> None:
        stop = threading.Event()

        def sip() -> None:
            talk.peer.settimeout(DEADLINE)
            with contextlib.suppress(
                ConnectionError
            ):  # also an end; OpenSSL 3.6 answers an alert, and finds nobody there
                until(lambda: not talk.peer.recv(2000) or stop.wait(0.005))

        with Peer(sip):
            before = time.monotonic()
            with pytest.raises(TimeoutError, match="sending: timeout"):
                talk.channel.exchange(Outgoing(4, 0, 0, 70, bytes(50 << 20)), timeout=SHORT)
            took = time.monotonic() - before
            stop.set()
            talk.channel.close()
        assert SHORT <= took < SHORT + 2

    def test_the_deadline_spans_sending_and_receiving(self, talk: Conversation) -> None:
        """The peer lets the request through only after most of the time: less than that is left for the reply."""
        go = threading.Event()

        def late() -> None:
            go.wait(0.8)
            receive_until_end(talk.peer)

        with Peer(late):
            before = time.monotonic()
            with pytest.raises(TimeoutError, match="timeout"):
                talk.channel.exchange(Outgoing(4, 0, 0, 70, bytes(20 << 20)), timeout=1.2)
            took = time.monotonic() - before
            talk.channel.close()
        assert 1.2 <= took < 1.95, "with a limit for each step it would be 2"

    @pytest.mark.parametrize("timeout", [-1, -0.001, float("nan"), float("-inf")])
    def test_impossible_timeouts_are_refused_and_harm_nothing(self, talk: Conversation, timeout: float) -> None:
        for call in (talk.channel.receive, lambda timeout: talk.channel.exchange(Outgoing(*REQUEST), timeout=timeout)):
            with pytest.raises(ValueError, match="a timeout is a number of seconds"):
                call(timeout)
        assert unread_bytes_of(talk) == 0
        check_alive(talk)

    @pytest.mark.parametrize("timeout", [1e9, 1e300])
    def test_huge_timeouts_are_no_error(self, talk: Conversation, timeout: float) -> None:
        with Peer(talk.answer):
            assert facts(talk.channel.exchange(Outgoing(*REQUEST), timeout=timeout)) == REPLY

    # ---- threads -----------------------------------------------------------------------------------------------------

    def test_a_second_receiver_is_refused_and_the_first_is_not_disturbed(self, talk: Conversation) -> None:
        with Peer(lambda: talk.channel.exchange(Outgoing(*REQUEST), timeout=DEADLINE)) as user:
            receive_exactly(talk.peer, len(REQUEST_BYTES))  # from here on the user waits for the reply
            for call in (talk.channel.receive, talk.channel.receive_available):
                with pytest.raises(LocalProtocolError, match="in use by another thread"):
                    call()
            talk.peer.sendall(REPLY_BYTES)
        assert facts(user.result) == REPLY
        assert unread_bytes_of(talk) == 0

    @pytest.mark.parametrize("timeout", [None, DEADLINE])
    def test_closing_wakes_who_waits(self, talk: Conversation, timeout: float | None) -> None:
        def wait() -> None:
            with pytest.raises(ConnectionClosedError):
                talk.channel.exchange(Outgoing(*REQUEST), timeout=timeout)

        fd = talk.channel.fileno()
        with Peer(wait):
            receive_exactly(talk.peer, len(REQUEST_BYTES))
            talk.channel.close()
        check_closed_once(talk, fd)

    @pytest.mark.parametrize("timeout", [None, DEADLINE])
    def test_closing_wakes_who_sends(self, talk: Conversation, timeout: float | None) -> None:
        def send() -> None:
            with pytest.raises(ConnectionClosedError):
                talk.channel.send(Outgoing(4, 0, 0, 70, bytes(50 << 20)), timeout=timeout)

        fd = talk.channel.fileno()
        with Peer(send):
            receive_exactly(talk.peer, 1000)
            talk.channel.close()
        check_closed_once(talk, fd)

    def test_many_threads_close_at_once(self) -> None:
        for _ in range(20):
            with self.connect() as talk:
                fd, start = talk.channel.fileno(), threading.Barrier(8)

                def close(talk: Conversation = talk, start: threading.Barrier = start) -> None:
                    start.wait(DEADLINE)
                    talk.channel.close()

                peers = [Peer(close) for _ in range(8)]
                for peer in peers:
                    peer.__enter__()
                for peer in peers:
                    peer.__exit__(None)
                check_closed_once(talk, fd)

    # ---- signals -----------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("timeout", [None, DEADLINE])
    def test_ctrl_c_while_waiting_for_the_reply(self, talk: Conversation, timeout: float | None) -> None:
        with interrupting(lambda: receive_exactly(talk.peer, len(REQUEST_BYTES))):
            talk.channel.exchange(Outgoing(*REQUEST), timeout=timeout)
        check_dead(talk)

    @pytest.mark.parametrize("timeout", [None, DEADLINE])
    def test_ctrl_c_while_sending(self, talk: Conversation, timeout: float | None) -> None:
        with interrupting(lambda: receive_exactly(talk.peer, 1000)):
            talk.channel.exchange(Outgoing(4, 0, 0, 70, bytes(50 << 20)), timeout=timeout)
        check_dead(talk)

    @pytest.mark.parametrize("timeout", [None, DEADLINE])
    def test_harmless_signals_do_not_disturb(self, talk: Conversation, timeout: float | None) -> None:
        seen: list[int] = []

        def answer_after_signals() -> None:
            head = receive_exactly(talk.peer, 40)
            until(lambda: send_signal(signal.SIGUSR1) or len(seen) >= 5)
            size = struct.unpack_from("!I", head, 12)[0]
            body = receive_exactly(talk.peer, size)
            until(lambda: send_signal(signal.SIGUSR1) or len(seen) >= 10)
            talk.peer.sendall(head + body)

        previous = signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))
        try:
            with Peer(answer_after_signals):
                message = talk.channel.exchange(Outgoing(4, 0, 0, 70, pattern(20 << 20)), timeout=timeout)
        finally:
            signal.signal(signal.SIGUSR1, previous)
        assert message.payload == pattern(20 << 20)

    def test_signals_do_not_stretch_the_deadline(self, talk: Conversation) -> None:
        previous = signal.signal(signal.SIGALRM, lambda *_: None)
        signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
        try:
            before = time.monotonic()
            with pytest.raises(TimeoutError):
                talk.channel.exchange(Outgoing(*REQUEST), timeout=SHORT)
            took = time.monotonic() - before
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, previous)
        assert SHORT <= took < SHORT + 2

    # ---- ends --------------------------------------------------------------------------------------------------------

    def test_a_closed_channel_is_closed(self, talk: Conversation) -> None:
        fd = talk.channel.fileno()
        assert fd == talk.channel.sock.fileno() >= 0
        assert not talk.channel.closed
        talk.channel.close()
        check_closed_once(talk, fd)
        assert receive_until_end(talk.peer) == b""

    def test_an_abandoned_channel_does_not_end_the_conversation(self, talk: Conversation) -> None:
        other = os.dup(talk.channel.fileno())  # as after a fork: another process has the descriptor, too
        talk.channel.abandon()
        assert talk.channel.closed
        assert talk.channel.fileno() == -1
        with pytest.raises(ConnectionClosedError):
            talk.channel.send(Outgoing(*REQUEST))
        try:
            talk.peer.setblocking(False)
            with pytest.raises((BlockingIOError, ssl.SSLWantReadError)):  # and not the end, as after a shutdown
                talk.peer.recv(1)
        finally:
            os.close(other)

    def test_a_thousand_channels_leak_nothing(self) -> None:
        def use(timeout: float | None) -> None:
            with self.connect() as talk:
                talk.peer.sendall(REPLY_BYTES)
                talk.channel.exchange(Outgoing(*REQUEST), timeout=timeout)
                talk.peer.sendall(b"bad")
                with pytest.raises(RemoteProtocolError):
                    talk.channel.receive()

        use(None)
        gc.collect()
        before = open_descriptors()
        for number in range(self.leak_rounds):
            use(DEADLINE if number % 2 else None)
        gc.collect()
        assert open_descriptors() <= before

    leak_rounds = 1000
