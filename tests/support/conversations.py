"""A channel and the plain socket at its other end, and the questions that tests of channels ask about them."""

from __future__ import annotations

import os
import random
import signal
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from reference_wire import ReferenceMessage, decode_stream, encode, facts
from socket_pairs import DEADLINE, Peer, receive_exactly, unread_bytes
from wire_strategies import LIMIT, cut

from fastpyro.errors import (
    CommunicationError,
    ConnectionClosedError,
    MessageTooLargeError,
    RemoteProtocolError,
)
from fastpyro.protocol._message import Outgoing

REPLY = ReferenceMessage(5, 0, 7, 70, b"reply")
REPLY_BYTES = encode(REPLY)
REQUEST = (4, 0, 7, 70, b"request")
REQUEST_BYTES = encode(ReferenceMessage(*REQUEST))
ANNOTATIONS = {"ABCD": b"first", "EFGH": b""}
SHORT = 0.15
"""Seconds: a timeout that has to pass."""


def pattern(size: int) -> bytes:
    """Return bytes whose order shows when some are lost or moved: their period is a prime number."""
    block = random.Random(size).randbytes(min(size, 65537))
    return (block * (size // max(len(block), 1) + 1))[:size]


def promise(size: int, annotations_size: int = 0) -> bytes:
    """Return a header that promises so much."""
    return REPLY_BYTES[:12] + struct.pack("!II", size, annotations_size) + REPLY_BYTES[20:40]


class Conversation:
    """A channel and the socket at the other end."""

    def __init__(self, channel: Any, peer: socket.socket) -> None:
        self.channel = channel
        self.peer = peer

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()
        self.peer.close()

    def echo(self, count: int = 1) -> None:
        """Send back so many messages as they came."""
        for _ in range(count):
            head = receive_exactly(self.peer, 40)
            size, annotations_size = struct.unpack_from("!II", head, 12)
            self.peer.sendall(head + receive_exactly(self.peer, size + annotations_size))

    def answer(self, data: bytes = REPLY_BYTES) -> None:
        """Read one request and send something."""
        receive_exactly(self.peer, len(REQUEST_BYTES))
        self.peer.sendall(data)


class ChannelTests:
    """The root of the contracts. A subclass says how to `connect`, with a limit for messages."""

    def connect(self, limit: int = 0) -> Conversation:
        raise AssertionError("a subclass connects")

    @pytest.fixture
    def talk(self) -> Iterator[Conversation]:
        with self.connect() as conversation:
            yield conversation


def poll(talk: Conversation) -> Any:
    message = talk.channel.receive_available()
    return None if message is None else facts(message)


def await_available(talk: Conversation) -> ReferenceMessage:
    """Ask until a message is there; the time is the kernel's, which delivers over loopback soon."""
    found: list[ReferenceMessage] = []

    def look() -> bool:
        message = poll(talk)
        if message is not None:
            found.append(message)
        return bool(found)

    until(look)
    return found[0]


def check_alive(talk: Conversation) -> None:
    assert not talk.channel.closed
    with Peer(talk.answer):
        assert facts(talk.channel.exchange(Outgoing(*REQUEST), timeout=DEADLINE)) == REPLY


def check_dead(talk: Conversation) -> None:
    """After a failure nobody can read another call's answer."""
    assert talk.channel.closed
    calls = (talk.channel.receive, talk.channel.receive_available, lambda: talk.channel.exchange(Outgoing(*REQUEST)))
    for call in calls:
        with pytest.raises(ConnectionClosedError, match="the connection is closed"):
            call()


def check_closed_once(talk: Conversation, fd: int) -> None:
    assert talk.channel.closed
    assert talk.channel.fileno() == -1
    assert talk.channel.sock.fileno() == -1
    newcomers: list[int] = []

    def took_the_number() -> bool:
        newcomers.append(os.dup(talk.peer.fileno()))
        return newcomers[-1] >= fd

    try:
        until(took_the_number)
        talk.channel.close()  # must not touch the number, which may belong to somebody else now
        for newcomer in newcomers:
            os.fstat(newcomer)
    finally:
        for newcomer in newcomers:
            os.close(newcomer)
    check_dead(talk)


def receive_all(channel: Any, wait: bool, received: list[ReferenceMessage]) -> None:
    """Collect messages, waiting or asking for them, until an error ends it."""
    while True:
        message = channel.receive(DEADLINE) if wait else channel.receive_available()
        if message is not None:
            received.append(facts(message))


def check_any_bytes(talk: Conversation, data: bytes, points: list[int], wait: bool) -> None:
    """Send bytes in pieces to a channel with LIMIT: messages come out, then an error, as the reference has it."""
    received: list[ReferenceMessage] = []
    with talk, Peer(lambda: send_pieces(talk.peer, cut(data, points))):
        with pytest.raises(CommunicationError) as caught:
            receive_all(talk.channel, wait, received)
        assert talk.channel.closed
    expected, end = decode_stream(data, LIMIT)
    errors = {"bad": RemoteProtocolError, "too large": MessageTooLargeError}
    assert received == expected
    assert caught.type is errors.get(end, ConnectionClosedError)
    if end == "receiving":
        assert "in the middle of a message" in str(caught.value)


def until(condition: Callable[[], Any]) -> None:
    """Repeat until something is true, for as long as a test may take."""
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"


def send_pieces(sock: socket.socket, pieces: list[bytes]) -> None:
    """Send one piece after another, then close; a peer that closes first is no error."""
    try:
        for piece in pieces:
            sock.sendall(piece)
    except OSError:
        return
    finally:
        sock.close()


def try_to_send(sock: socket.socket, data: bytes) -> bool:
    """Send; True when the other side has gone."""
    try:
        sock.sendall(data)
    except OSError:
        return True
    return False


def drip_fast(sock: socket.socket, stop: threading.Event) -> bool:
    """Send single bytes as fast as they go, for a while; True when it is over."""
    return any(try_to_send(sock, b"x") for _ in range(1000)) or stop.is_set()


def unread_bytes_of(talk: Conversation) -> int:
    """Return how many bytes wait at the peer; TLS cannot look without taking."""
    if not hasattr(talk.peer, "getpeercert"):
        return unread_bytes(talk.peer)
    talk.peer.setblocking(False)
    try:
        return len(talk.peer.recv(100))
    except ssl.SSLWantReadError:
        return 0
    finally:
        talk.peer.setblocking(True)


def open_descriptors() -> int:
    return len(os.listdir("/dev/fd"))


def send_signal(number: int) -> bool:
    """Send a signal to the main thread, and let it have some time; always False."""
    signal.pthread_kill(threading.main_thread().ident or 0, number)
    return threading.Event().wait(0.002)


class interrupting:
    """Expect a KeyboardInterrupt in the block, from Ctrl-C; `begun` returns when the block is inside its native call.

    From then on the main thread runs no Python code, so the interrupt can come from nowhere else.
    """

    def __init__(self, begun: Callable[[], Any]) -> None:
        self.begun = begun
        self.raised = False

    def handle(self, *_: object) -> None:
        if not self.raised:
            self.raised = True
            raise KeyboardInterrupt

    def interrupt(self) -> None:
        self.begun()
        until(lambda: send_signal(signal.SIGINT) or self.raised)

    def __enter__(self) -> None:
        self.previous = signal.signal(signal.SIGINT, self.handle)
        self.peer = Peer(self.interrupt).__enter__()

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> bool:
        self.peer.__exit__(None)
        signal.signal(signal.SIGINT, self.previous)
        assert kind is KeyboardInterrupt, f"expected a KeyboardInterrupt, not {kind}"
        return True
