"""Messages that never arrive whole: what they hold, whom they hold up, who is dropped, and who is not."""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from server_kinds import DEADLINE, Start, connected, resident, until
from socket_pairs import tcp_pair

import fastpyro
from fastpyro.constants import MSG_INVOKE
from fastpyro.errors import CommunicationError, ServerOverloadedError
from fastpyro.protocol._message import pack_message
from fastpyro.serializers.registry import native
from fastpyro.server import unfinished
from fastpyro.server.connection import Connection
from fastpyro.transport.channel import open_channel

MEGABYTE = 1_000_000


def call_of(size: int) -> bytes:
    """Return a whole request whose argument has so many bytes."""
    return pack_message(
        MSG_INVOKE, 0, 9, native.serializer_id, native.dumps_call("calculator", "size", ("x" * size,), {})
    )


def begin(proxy: Any, message: bytes, size: int) -> None:
    """Send so many bytes of a message."""
    proxy._pyroConnection.sock.settimeout(DEADLINE)
    proxy._pyroConnection.sock.sendall(message[:size])


@pytest.mark.parametrize("start", ["thread", "portable multiplex", "tls thread"], indirect=True)
def test_who_falls_silent_in_the_middle_makes_room_for_others(start: Start) -> None:
    message = call_of(2 * MEGABYTE)
    with (
        start(MAX_RECEIVED=5 * MEGABYTE, POLLTIMEOUT=0.1) as server,
        connected(server, "controls") as controls,
        connected(server) as proxy,
        contextlib.ExitStack() as stack,
    ):
        before = resident(server)
        silent = [stack.enter_context(connected(server)) for _ in range(12)]
        for one in silent:
            with contextlib.suppress(OSError):  # the system keeps less than that of who is not read
                one._pyroConnection.sock.settimeout(0.1)
                one._pyroConnection.sock.sendall(message[:MEGABYTE])
            assert proxy.add(1, 2) == 3
            assert controls.received()[0] < 13 * MEGABYTE, "twice as much, and a little of each"
        assert proxy.size("x" * 3 * MEGABYTE) == 3 * MEGABYTE
        line = server.wait_for(r"dropping (<Connection.*>): (\d+) bytes of a message have come, less than 16384 .*")[0]
        assert "more than MAX_RECEIVED 5000000, so that others wait" in line
        assert resident(server) - before < 40 * MEGABYTE
        errors = [reply for one in silent if (reply := answer(one)) is not None]
        assert all(type(error) is ServerOverloadedError and "MAX_RECEIVED" in str(error) for error in errors)


def answer(proxy: Any) -> BaseException | None:
    """Return the error that came without having been asked for, or None."""
    channel = proxy._pyroConnection
    channel.sock.setblocking(False)
    try:
        reply = channel.receive_available()
    except CommunicationError:
        return None
    return None if reply is None else native.loads(reply.payload, reply.buffers)


def test_all_arrive_whose_clients_go_on(start: Start) -> None:
    failures: list[BaseException] = []
    with start(MAX_RECEIVED=MEGABYTE) as server, connected(server, "controls") as controls:

        def send() -> None:
            try:
                with connected(server) as proxy:
                    for _ in range(2):
                        assert proxy.size("x" * 3 * MEGABYTE) == 3 * MEGABYTE
                        assert proxy.size(b"x" * 3 * MEGABYTE) == 3 * MEGABYTE
            except BaseException as error:
                failures.append(error)

        senders = [threading.Thread(target=send) for _ in range(4)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join(DEADLINE)
        assert not failures
        assert controls.received() == (0, 0, 0)
        assert "dropping" not in server.output


def test_one_message_arrives_however_slowly(start: Start) -> None:
    message = call_of(MEGABYTE)
    with start(MAX_RECEIVED=1000, POLLTIMEOUT=0.05) as server, connected(server) as slow, connected(server) as proxy:
        for at in range(0, len(message), 250_000):
            begin(slow, message[at:], 250_000)
            for number in range(100):
                assert proxy.add(number, 1) == number + 1
        reply = slow._pyroConnection.receive(DEADLINE)
        assert native.loads(reply.payload, reply.buffers) == MEGABYTE


def test_who_goes_in_the_middle_leaves_nothing(start: Start) -> None:
    message = call_of(2 * MEGABYTE)
    with start(MAX_RECEIVED=MEGABYTE) as server, connected(server, "controls") as controls:
        for _ in range(3):
            with connected(server) as one, connected(server) as other:
                begin(one, message, MEGABYTE)
                until(lambda: controls.received()[1] == 1)
                begin(other, message, 100_000)
                until(lambda: controls.received()[1] == 2)
            until(lambda: controls.received() == (0, 0, 0))
        assert controls.connections() == 1
        with connected(server) as proxy:
            assert proxy.size("x" * 3 * MEGABYTE) == 3 * MEGABYTE


# The rules, with a server that only takes note.


class Server:
    """Connections over pairs of sockets; nobody reads them."""

    def __init__(self) -> None:
        self.connections: dict[int, Connection] = {}
        self.held: list[Connection] = []
        self.gone: list[Connection] = []
        self.far: dict[Connection, socket.socket] = {}
        self.unadmitted: dict[int, Connection] = {}
        self.daemon = SimpleNamespace(has_annotations=False)
        self.replies: list[Any] = []
        self.unfinished = unfinished.UnfinishedMessages(self)  # type: ignore[arg-type]

    def connect(self) -> Connection:
        near, far = tcp_pair()
        connection = Connection(open_channel(near), None, frozenset({native.serializer_id}))
        connection.handshaken = True
        self.connections[connection.fd] = connection
        self.far[connection] = far
        self.unfinished.watch(connection)
        return connection

    def hold(self, connection: Connection) -> None:
        self.held.append(connection)

    def give_back(self, connection: Connection) -> None:
        self.held.remove(connection)

    def send_reply(self, connection: Connection, message: Any, reply: Any) -> None:
        self.replies.append((message.seq, reply.payload))
        if len(self.replies) > 1:
            raise RuntimeError("what a hook of the daemon might raise")

    def drop(self, connection: Connection) -> None:
        del self.connections[connection.fd]
        self.gone.append(connection)
        self.unfinished.forget(connection)
        connection.close()

    def close(self) -> None:
        for connection, far in self.far.items():
            connection.close()
            far.close()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(fastpyro.config, "MAX_RECEIVED", MEGABYTE)
    made = Server()
    with contextlib.closing(made):
        yield made


def pour(server: Server, connection: Connection, size: int, message: bytes = b"") -> int:
    """Send the beginning of a message, or more of one, and read it. Returns how much came before the connection was held."""
    channel = connection.channel
    data = message or bytes(size)
    for at in range(0, size, 50_000):
        piece = data[at : min(at + 50_000, size)]
        server.far[connection].sendall(piece)
        until(partial(read, server, connection, channel.counted))
        if connection in server.held:
            return at
    return size


def read(server: Server, connection: Connection, before: int) -> bool:
    """Read what has come. Whether that was something, or the connection is held."""
    message = connection.channel.receive_available()
    return message is not None or connection.channel.counted > before or connection in server.held


def test_the_one_whose_turn_it_is_goes_on_and_the_others_follow(server: Server) -> None:
    message = call_of(2 * MEGABYTE)
    one, other, third = server.connect(), server.connect(), server.connect()
    assert pour(server, one, 1_200_000, message) == 1_200_000
    assert pour(server, other, 800_000, message) < 500_000
    assert pour(server, third, 800_000, message) < 500_000
    assert server.unfinished.intake.messages == 3
    assert pour(server, one, 500_000) == 500_000
    assert server.held == [other, third]
    until(lambda: pour(server, one, 50_000) and not one.channel.counted)
    assert server.held == []
    assert server.unfinished.waiting == 0


def test_who_has_little_need_not_wait(server: Server) -> None:
    one, other = server.connect(), server.connect()
    pour(server, one, 1_900_000, call_of(2 * MEGABYTE))
    assert pour(server, other, 200_000, call_of(2 * MEGABYTE)) == 200_000
    assert pour(server, other, 300_000) < 300_000
    assert server.held == [other]


def test_who_is_silent_is_dropped_the_longest_first(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    first, second, third, fourth = (server.connect() for _ in range(4))
    message = call_of(2 * MEGABYTE)
    with caplog.at_level(logging.INFO, logger="fastpyro"):
        for one in (first, second, third):
            assert pour(server, one, 300_000, message) == 300_000
        look(server)
        assert not server.unfinished._seen, "nobody waits"
        pour(server, third, 400_000)
        pour(server, fourth, 800_000, message)
        assert server.held == [fourth]
        assert "waits with a message of which" in caplog.text
        look(server)
        assert server.gone == []
        server.unfinished._seen[first].since -= 1.2
        server.unfinished._seen[second].since -= 1.1
        look(server)
    assert server.gone == [first, second]
    assert server.held == []
    assert "the unfinished messages hold" in caplog.text
    assert "could not be told why" in caplog.text
    seq, payload = server.replies[0]
    error = native.loads(payload)
    assert seq == 9
    assert type(error) is ServerOverloadedError
    assert "MAX_RECEIVED" in str(error)


def look(server: Server) -> None:
    """Look, as if right after another look: nothing is read of those who wait."""
    server.unfinished._looked = time.monotonic()
    server.unfinished.look()


def age(server: Server, seconds: float) -> None:
    """Let time pass."""
    for seen in server.unfinished._seen.values():
        seen.since -= seconds
    server.unfinished._turn_began -= seconds


def test_a_turn_that_is_not_used_passes_on(server: Server) -> None:
    one, other = server.connect(), server.connect()
    message = call_of(4 * MEGABYTE)
    pour(server, one, 1_100_000, message)
    pour(server, other, 800_000, message)
    assert server.held == [other]
    look(server)
    age(server, 2.0)
    pour(server, one, 20_000)
    look(server)
    assert server.held == []
    assert server.gone == []
    pour(server, other, 200_000)
    pour(server, one, 50_000)
    assert server.held == [one]
    assert pour(server, other, 1_500_000) == 1_500_000
    look(server)
    age(server, 2.0)
    pour(server, other, 50_000)
    look(server)
    assert server.gone == [other], "there is more than twice as much as there may be"
    assert server.held == []


def test_what_has_come_of_those_who_wait_is_read_now_and_then(server: Server) -> None:
    one, other, third = (server.connect() for _ in range(3))
    message = call_of(4 * MEGABYTE)
    pour(server, one, 1_100_000, message)
    came = pour(server, other, 800_000, message)
    pour(server, third, 800_000, message)
    assert server.held == [other, third]
    server.far[other].sendall(bytes(150_000))
    server.far[third].sendall(bytes(120_000))  # for which there is no room beside them
    until(lambda: unfinished.unread(other) >= 150_000 and unfinished.unread(third) >= 120_000)
    look(server)
    assert server.held == [other, third]
    server.unfinished._looked -= 0.5
    server.unfinished.look()
    assert server.held == [third]
    until(partial(read, server, other, came + 150_000 - 100))
    pour(server, other, 200_000)
    assert server.held == [third, other]


def test_a_turn_is_kept_as_long_as_much_comes(server: Server) -> None:
    one, other = server.connect(), server.connect()
    message = call_of(4 * MEGABYTE)
    pour(server, one, 1_100_000, message)
    pour(server, other, 800_000, message)
    age(server, 1.2)
    pour(server, one, 2_000_000)
    look(server)
    assert server.held == [other]
    assert server.gone == []


def test_a_forked_child_counts_anew(server: Server) -> None:
    pour(server, server.connect(), 300_000, call_of(MEGABYTE))
    assert server.unfinished.intake.total >= 300_000 - 40
    server.unfinished.after_fork()
    assert server.unfinished.intake.total == 0
