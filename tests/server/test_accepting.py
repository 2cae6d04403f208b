"""A storm of connections is taken in bit by bit, so that who is here already has his turn in between."""

from __future__ import annotations

import contextlib
import errno
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

import fastpyro
from fastpyro.config import config
from fastpyro.server.accepting import accept_for
from fastpyro.server.connection_server import ConnectionServer
from fastpyro.server.turns import TURN

CLIENTS = 50
STEADY = 5
"""Storms, of whose turns the one in the middle counts: another process may have the processor meanwhile."""


@pytest.fixture
def server() -> Iterator[ConnectionServer]:
    with fastpyro.Daemon(host="127.0.0.1") as daemon:
        assert isinstance(daemon.transportServer, ConnectionServer)
        yield daemon.transportServer


@contextlib.contextmanager
def waiting(server: ConnectionServer, count: int) -> Iterator[None]:
    """Clients who have connected, as far as the system is concerned."""
    clients = [socket.create_connection(server.sock.getsockname()) for _ in range(count)]
    try:
        yield
    finally:
        for client in clients:
            client.close()


def test_one_at_least_and_then_as_long_as_there_is_time(server: ConnectionServer) -> None:
    with waiting(server, CLIENTS):
        for count in range(1, 11):
            assert accept_for(server, 0) is list(server.connections.values())[-1]
            assert len(server.connections) == count
        assert accept_for(server, 60) is not None
        assert len(server.connections) == CLIENTS
        assert accept_for(server, 60) is None


def test_none_once_the_server_stops(server: ConnectionServer) -> None:
    with waiting(server, 1):
        server.stopping = True
        assert accept_for(server, 60) is None
        server.stopping = False


def test_no_room_pauses_the_listener(server: ConnectionServer, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        def accept(self, listener: socket.socket) -> int:
            raise OSError(errno.EMFILE, "too many open files")

    paused: list[OSError] = []
    monkeypatch.setattr(server, "poller", Full())
    monkeypatch.setattr(server, "pause_accepting", paused.append)
    assert accept_for(server, 60) is None
    assert paused[0].errno == errno.EMFILE


@pytest.mark.parametrize("strangers", [0, 400])
def test_no_turn_is_much_longer_than_a_turn(
    server: ConnectionServer, strangers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also while each new one drives another one out, of hundreds."""
    monkeypatch.setattr(config, "HANDSHAKE_TIMEOUT", 600)
    server.most_unadmitted = strangers or 1000
    pairs: list[Any] = []
    try:
        for _ in range(strangers):
            pairs.append(socket.socketpair())
            server.admit(pairs[-1][0], ("127.0.0.1", 1))
        turns: list[float] = []
        for _ in range(STEADY):
            with waiting(server, CLIENTS):
                while server.listener_fd in server.poller.wait(0.0):
                    began = time.thread_time()
                    server.accept_some()
                    turns.append(time.thread_time() - began)
                    assert len(turns) <= STEADY * CLIENTS
        typical = sorted(turns)[len(turns) // 2]
        assert typical < 8 * TURN, f"{typical * 1e3:.2f} ms"
    finally:
        for _, far in pairs:
            far.close()
