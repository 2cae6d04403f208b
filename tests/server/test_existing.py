"""A daemon on a socket that is connected already."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator

import pytest

import fastpyro
from fastpyro.errors import DaemonError, PyroError


class Subject:
    """What is called."""

    @fastpyro.expose
    def add(self, a: int, b: int) -> int:
        return a + b

    @fastpyro.expose
    def numbers(self) -> Iterator[int]:
        yield from range(3)


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    near, far = socket.socketpair()
    with near, far:
        yield near, far


@pytest.fixture
def client(ends: tuple[socket.socket, socket.socket]) -> Iterator[socket.socket]:
    near, far = ends
    with fastpyro.Daemon(connected_socket=far) as daemon:
        daemon.register(Subject(), "subject")
        thread = threading.Thread(target=daemon.requestLoop)
        thread.start()
        try:
            yield near
        finally:
            near.close()
            thread.join(10)  # the loop ends when the peer has closed
            assert not thread.is_alive()
    assert far.fileno() != -1  # it is not ours to close


@pytest.mark.parametrize(("serializer", "native"), [(None, True), ("serpent", False), ("json", False)])
def test_calls(client: socket.socket, serializer: str | None, native: bool) -> None:
    with fastpyro.Proxy("subject", connected_socket=client) as proxy:
        proxy._pyroSerializer = serializer
        assert proxy.add(1, 2) == 3
        assert proxy._pyro_session.native is native
        assert list(proxy.numbers()) == [0, 1, 2]
    assert client.fileno() != -1


def test_one_proxy_after_the_other_and_again(client: socket.socket) -> None:
    first = fastpyro.Proxy("subject", connected_socket=client)
    assert first.add(1, 1) == 2
    first._pyroRelease()
    second = fastpyro.Proxy("PYRO:subject@ignored:1", connected_socket=client)
    assert second.add(2, 2) == 4
    second._pyroRelease()
    assert first.add(3, 3) == 6
    del first, second


def test_the_sockets_options_stay_its_owners(ends: tuple[socket.socket, socket.socket]) -> None:
    """A socket that waits for a second, and not for ever, would fail its owner, who goes on with it."""
    near, far = ends
    limit = struct.pack("ll", 7, 0)
    near.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
    with fastpyro.Daemon(connected_socket=far) as daemon:
        daemon.register(Subject(), "subject")
        thread = threading.Thread(target=daemon.requestLoop)
        thread.start()
        with fastpyro.Proxy("subject", connected_socket=near) as proxy:
            assert proxy.add(1, 2) == 3
            assert near.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, len(limit)) == limit
            assert far.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, len(limit)) == bytes(len(limit))
        daemon.shutdown()
        thread.join()


def test_unknown_object(client: socket.socket) -> None:
    proxy = fastpyro.Proxy("nobody", connected_socket=client)
    with pytest.raises(DaemonError, match="unknown object"):
        proxy._pyroBind()
    assert fastpyro.Proxy("subject", connected_socket=client).add(1, 2) == 3


def test_what_such_a_daemon_cannot_do(ends: tuple[socket.socket, socket.socket]) -> None:
    with fastpyro.Daemon(connected_socket=ends[0]) as daemon:
        assert "Existing" in type(daemon.transportServer).__name__
        assert daemon.locationStr == "./u:<<not-bound>>"
        assert daemon.sock is ends[0]
        with pytest.raises(PyroError, match="foreign loop"):
            daemon.events([ends[0]])
        with pytest.raises(PyroError, match="combined"):
            daemon.combine(daemon)


def test_shutdown_from_elsewhere(ends: tuple[socket.socket, socket.socket]) -> None:
    daemon = fastpyro.Daemon(connected_socket=ends[0])
    thread = threading.Thread(target=daemon.requestLoop)
    thread.start()
    daemon.shutdown()
    thread.join(10)
    assert not thread.is_alive()
    daemon.close()
