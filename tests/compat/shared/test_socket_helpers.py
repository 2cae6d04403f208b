"""Socket functions for programs that use Pyro's."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path

import pytest

from fastpyro.compat.shared import socket_helpers as helpers
from fastpyro.errors import ConnectionClosedError, TimeoutError


def test_listening_and_connecting(tmp_path: Path) -> None:
    for place in (("127.0.0.1", 0), str(tmp_path / "socket")):
        with (
            helpers.create_socket(bind=place, reuseaddr=True, noinherit=True) as listener,
            helpers.create_socket(connect=listener.getsockname(), timeout=5.0) as client,
            listener.accept()[0] as server,
        ):
            assert client.gettimeout() == 5.0
            helpers.send_data(client, b"hello")
            assert helpers.receive_data(server, 5) == b"hello"
    with pytest.raises(ValueError, match="both"):
        helpers.create_socket(bind=("", 0), connect=("", 1))


def test_what_goes_wrong_while_receiving() -> None:
    near, far = socket.socketpair()
    with near, far:
        far.sendall(b"abc")
        near.settimeout(0.01)
        with pytest.raises(TimeoutError):
            helpers.receive_data(near, 5)
        far.sendall(b"de")
        far.shutdown(socket.SHUT_WR)
        near.settimeout(5)
        with pytest.raises(ConnectionClosedError, match="not enough data") as caught:
            helpers.receive_data(near, 5)
        assert caught.value.partialData == b"de"  # type: ignore[attr-defined]
    with pytest.raises(ConnectionClosedError, match="connection lost"):
        helpers.receive_data(near, 1)
    with pytest.raises(ConnectionClosedError, match="connection lost"):
        helpers.send_data(near, b"x")


def test_addresses() -> None:
    assert helpers.get_ip_address("127.0.0.1") == ipaddress.ip_address("127.0.0.1")
    assert helpers.get_ip_address("localhost", version=4).version == 4
    assert helpers.get_interface("127.0.0.1").ip == ipaddress.ip_address("127.0.0.1")
    with pytest.raises(OSError, match=r"\w"):
        helpers.get_ip_address("no.such.host.invalid")


def test_ports_and_broadcast_sockets() -> None:
    assert 0 < helpers.find_probably_unused_port() < 65536
    with helpers.create_bc_socket(("127.0.0.1", 0), reuseaddr=True, timeout=1.0) as sock:
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        helpers.interrupt_socket(listener.getsockname())
        with listener.accept()[0] as client:
            assert client.recv(100) == b"!" * 16


def test_options_never_raise() -> None:
    for setter in (helpers.set_keepalive, helpers.set_nodelay, helpers.set_noinherit, helpers.set_reuseaddr):
        setter(None)
