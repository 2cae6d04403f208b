"""Who is silent for too long goes, and many of them go bit by bit."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from fastpyro.config import config
from fastpyro.server._crowds import Crowd, place_of
from fastpyro.server.complaints import Complaints
from fastpyro.server.deadlines import drop_overdue


class Connection:
    """A double."""

    calls_running = 0
    address = "192.0.2.1"
    sock: socket.socket

    def __init__(self, fd: int, last_used: float) -> None:
        self.fd, self.last_used = fd, last_used


class Server:
    """A double whose connections were used last at those times; ``strangers`` of them are in their handshake."""

    def __init__(self, *used: float, strangers: int = 0) -> None:
        self.timeout = 10.0
        self.drops = Complaints()
        self.unsent = self
        self.connections: dict[int, Any] = {fd: Connection(fd, at) for fd, at in enumerate(used)}
        self.unadmitted = Crowd()
        for fd in range(strangers):
            self.unadmitted.add(self.connections[fd], place_of(self.connections[fd]))
        self.waiting: list[int] = []

    def waits(self, connection: Any) -> bool:
        return connection.fd in self.waiting

    def drop(self, connection: Any) -> None:
        del self.connections[connection.fd]
        self.unadmitted.remove(connection.fd)


@pytest.fixture(autouse=True)
def _silent_clients(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(config, "HANDSHAKE_TIMEOUT", 5.0)
    sock, client = socket.socketpair()
    with sock, client:
        monkeypatch.setattr(Connection, "sock", sock, raising=False)
        yield


def left(server: Server, now: float) -> list[int]:
    assert drop_overdue(server, now, 60)  # type: ignore[arg-type]
    return list(server.connections)


def test_strangers_and_silent_clients_go() -> None:
    server = Server(100, 108, 100, 108, strangers=2)
    assert left(server, 104) == [0, 1, 2, 3]
    assert left(server, 106) == [1, 2, 3]
    assert left(server, 111) == [1, 3]
    assert left(server, 130) == []


def test_nobody_who_is_in_a_call_or_whose_reply_waits() -> None:
    server = Server(100, 100, 100, strangers=1)
    server.connections[0].calls_running = server.connections[1].calls_running = 1
    server.waiting = [2]
    assert left(server, 200) == [0, 1, 2]
    server.timeout = 0.0
    server.connections[1].calls_running, server.waiting = 0, []
    assert left(server, 200) == [0, 1, 2]


@pytest.mark.parametrize("strangers", [0, 2])
def test_who_has_sent_what_nobody_has_read_yet_is_not_silent(strangers: int) -> None:
    """A method may have kept the server busy meanwhile. Who goes on like that goes, in the end."""
    sock, client = socket.socketpair()
    with sock, client:
        server = Server(100, 100, strangers=strangers)
        server.connections[0].sock = sock
        client.send(b"x")
        limit = 5 if strangers else 10
        assert left(server, 101 + limit) == [0]
        assert left(server, 99 + 10 * limit) == [0]
        assert left(server, 101 + 10 * limit) == []


@pytest.mark.parametrize("strangers", [0, 500])
def test_many_go_bit_by_bit(strangers: int) -> None:
    """So that others have their turn in between."""
    server = Server(*[100.0] * 500, strangers=strangers)
    rounds = 1
    while not drop_overdue(server, 200.0, 0):  # type: ignore[arg-type]
        rounds += 1
        assert len(server.connections) == 501 - rounds
        assert rounds < 1000
        time.sleep(0)  # the clock goes on
    assert rounds == 501
    assert not server.connections
