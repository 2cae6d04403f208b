"""A storm of connections is taken in bit by bit, so that who is here already has his turn in between."""

from __future__ import annotations

import contextlib
import errno
import itertools
import select
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from socket_pairs import DEADLINE

import fastpyro
from fastpyro.config import config
from fastpyro.constants import MSG_CONNECT, MSG_INVOKE
from fastpyro.protocol._assembler import Decoder
from fastpyro.protocol._message import pack_message
from fastpyro.serializers.registry import native
from fastpyro.server.accepting import MOST_AT_ONCE, accept_for
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
        assert len(server.connections) == 10 + MOST_AT_ONCE
        while accept_for(server, 60) is not None:
            assert len(server.connections) <= CLIENTS
        assert len(server.connections) == CLIENTS


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


def test_who_is_here_is_served_between_those_who_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fifty wait at the listener; a client asks again and again how many are here."""
    monkeypatch.setattr(config, "SERVERTYPE", "multiplex")

    @fastpyro.expose
    class Counter:
        def count(self) -> int:
            return len(server.connections)

    with fastpyro.Daemon(host="127.0.0.1") as daemon:
        server = daemon.transportServer
        daemon.register(Counter(), "counter")
        with socket.create_connection(server.sock.getsockname()) as client:
            client.settimeout(DEADLINE)

            def ask(kind: int, payload: bytes) -> Any:
                client.sendall(pack_message(kind, 0, 1, native.serializer_id, payload))
                while not select.select([client], [], [], 0)[0]:
                    server.events(server.poller.wait(1.0))
                decoder.feed(client.recv(65536))
                answer = decoder.next_message()
                assert answer is not None
                return native.loads(answer.payload)

            decoder = Decoder()
            ask(MSG_CONNECT, native.dumps({"handshake": "hello", "object": "counter"}))
            call = native.dumps_call("counter", "count", (), {})
            counts = [ask(MSG_INVOKE, call), ask(MSG_INVOKE, call)]
            with waiting(server, CLIENTS):
                while counts[-1] < CLIENTS + 1:
                    counts.append(ask(MSG_INVOKE, call))
    steps = [after - before for before, after in itertools.pairwise(counts)]
    assert max(steps) <= 3 * MOST_AT_ONCE, steps
    assert sorted(steps)[len(steps) // 2] <= MOST_AT_ONCE


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
