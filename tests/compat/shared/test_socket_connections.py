"""Connections over sockets of a program's own."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

import fastpyro
from fastpyro.compat.shared.socket_connections import SocketConnection
from fastpyro.errors import CommunicationError


class Resource:
    closed = False

    def close(self) -> None:
        self.closed = True


def test_bytes_go_both_ways() -> None:
    one, other = map(SocketConnection, socket.socketpair())
    one.send(b"abc")
    assert other.recv(3) == b"abc"
    assert (one.objectId, one.keep_open, one.timeout, one.getpeercert(), one.family()) == (
        None,
        False,
        None,
        None,
        "Unix",
    )
    one.timeout = 3
    assert (one.gettimeout(), one.getTimeout(), one.fileno()) == (3, 3, one.sock.fileno())
    resource = Resource()
    one.tracked_resources.add(resource)
    one.close()
    assert resource.closed
    with pytest.raises(CommunicationError):
        other.recv(1)
    other.close()


def test_keep_open() -> None:
    one, other = socket.socketpair()
    with one, other:
        SocketConnection(one, "id", keep_open=True).close()
        one.sendall(b"x")
        assert other.recv(1) == b"x"


class Attributes:
    @fastpyro.expose
    def of_client(self) -> list[object]:
        client: Any = fastpyro.current_context.client
        return [isinstance(client, SocketConnection), client.objectId, client.keep_open, client.timeout]


def test_connections_of_fastpyro_are_such() -> None:
    with fastpyro.Daemon() as daemon:
        uri = daemon.register(Attributes())
        thread = threading.Thread(target=daemon.requestLoop)
        thread.start()
        try:
            with fastpyro.Proxy(uri) as proxy:
                assert proxy.of_client() == [True, None, False, None]
                connection: Any = proxy._pyroConnection
                assert isinstance(connection, SocketConnection)
                assert (connection.keep_open, connection.timeout, connection.objectId) == (False, None, uri.object)
            assert not isinstance(proxy, SocketConnection)
        finally:
            daemon.shutdown()
            thread.join(10)
