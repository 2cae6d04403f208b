"""Making sockets: connecting within a deadline, all addresses of a name, Unix paths, stale socket files."""

from __future__ import annotations

import errno
import os
import re
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from socket_pairs import unix_pair

from fastpyro.config import config
from fastpyro.transport import sockets
from fastpyro.transport.sockets import connect, family_name, host_port_text, listen, remove_socket_file


def check_talk(listener: socket.socket, client: socket.socket) -> socket.socket:
    """Let both ends say something; returns the server's, open."""
    listener.settimeout(20)
    server, _ = listener.accept()
    client.sendall(b"to the server")
    assert server.recv(100) == b"to the server"
    server.sendall(b"to the client")
    assert client.recv(100) == b"to the client"
    return server


def port_of(listener: socket.socket) -> int:
    port: int = listener.getsockname()[1]
    return port


@pytest.mark.parametrize("timeout", [0, 20])
def test_tcp(timeout: float) -> None:
    with listen("127.0.0.1", 0, None) as listener:
        host, port = listener.getsockname()
        with connect(host, port, None, timeout) as client, check_talk(listener, client) as server:
            assert client.getblocking(), "the deadline of connecting does not stay behind"
            assert client.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert client.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            assert family_name(client) == family_name(server) == "IPv4"


def test_accepted_sockets_do_not_delay_on_linux() -> None:
    if not sys.platform.startswith("linux"):
        pytest.skip("elsewhere the option is not inherited, and the server sets it")
    with (
        listen("127.0.0.1", 0, None) as listener,
        connect("127.0.0.1", port_of(listener), None, 20) as client,
        check_talk(listener, client) as server,
    ):
        assert server.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere the system decides")
def test_connections_within_the_machine_have_no_congestion_control_of_weight() -> None:
    with (
        listen("127.0.0.1", 0, None) as listener,
        connect("127.0.0.1", port_of(listener), None, 20) as client,
        check_talk(listener, client) as server,
    ):
        for end in (client, server):
            assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).rstrip(b"\0") == b"reno"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere there is no such option")
@pytest.mark.parametrize(
    ("peer", "within"),
    [
        ("127.0.0.1", True),
        ("127.8.0.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("192.0.2.1", False),
        ("2001:db8::1", False),
        ("::", False),
        ("0.0.0.0", False),
        ("", False),
    ],
)
def test_the_system_decides_about_connections_to_other_machines(peer: str, within: bool) -> None:
    with socket.socket() as sock:
        before = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
        sockets.tune(sock, peer)
        after = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16)
        assert after.rstrip(b"\0") == b"reno" if within else after == before
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_ipv6() -> None:
    try:
        listener = listen("::1", 0, None)
    except OSError as error:
        pytest.skip(f"this machine has no IPv6 loopback: {error}")
    with listener, connect("::1", listener.getsockname()[1], None, 20) as client:
        check_talk(listener, client).close()
        assert family_name(client) == "IPv6"


@pytest.mark.parametrize("timeout", [0, 20])
def test_unix_sockets(tmp_path: Path, timeout: float) -> None:
    path = str(tmp_path / "s")
    with listen("", 0, path) as listener, connect(None, None, path, timeout) as client:
        check_talk(listener, client).close()
        assert family_name(client) == "Unix"
        assert client.getblocking()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has abstract Unix sockets")
def test_abstract_unix_sockets() -> None:
    name = f"\0fastpyro-test-{os.getpid()}"
    with listen("", 0, name) as listener, connect(None, None, name, 20) as client:
        check_talk(listener, client).close()
        remove_socket_file(name)


def test_an_empty_host_listens_everywhere() -> None:
    with listen("", 0, None) as listener:
        host, port = listener.getsockname()
        assert host == "0.0.0.0"
        with connect("127.0.0.1", port, None, 20) as client:
            check_talk(listener, client).close()


# ---- failures --------------------------------------------------------------------------------------------------------


def unused_port() -> int:
    with listen("127.0.0.1", 0, None) as listener:
        return int(listener.getsockname()[1])


def test_nobody_listens() -> None:
    with pytest.raises(ConnectionRefusedError):
        connect("127.0.0.1", unused_port(), None, 20)


def test_no_such_path(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        connect(None, None, str(tmp_path / "absent"), 20)


def test_a_path_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="too long"):
        connect(None, None, str(tmp_path / ("x" * 200)), 20)
    with pytest.raises(OSError, match="too long"):
        listen("", 0, str(tmp_path / ("x" * 200)))


def test_an_address_that_is_taken() -> None:
    with listen("127.0.0.1", 0, None) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(OSError, match=rf"in use: 127\.0\.0\.1:{port}; .* Choose another port, or 0") as caught:
            listen("127.0.0.1", port, None)
    assert caught.value.errno == errno.EADDRINUSE
    with pytest.raises(OSError, match=r"192\.0\.2\.1:0; that is no address of this machine") as caught:
        listen("192.0.2.1", 0, None)
    assert caught.value.errno == errno.EADDRNOTAVAIL


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
@pytest.mark.parametrize("port", [-1, 65536, 70000])
def test_what_is_no_port(host: str, port: int) -> None:
    with pytest.raises(OverflowError, match="port must be 0-65535"):
        sockets.listen(host, port, None)


def test_an_address_of_another_machine() -> None:
    with pytest.raises(OSError, match="assign"):
        listen("192.0.2.1", 0, None)


def test_a_listener_that_accepts_nobody_costs_no_more_than_the_timeout() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting: list[socket.socket] = []
        try:
            before = time.monotonic()
            with pytest.raises(TimeoutError):
                waiting.extend(connect("127.0.0.1", port_of(full), None, 0.2) for _ in range(10))
            assert time.monotonic() - before < 10
        finally:
            for one in waiting:
                one.close()


# ---- names with several addresses ------------------------------------------------------------------------------------


def addresses(*found: tuple[socket.AddressFamily, str, int]) -> Any:
    """Return a getaddrinfo that knows these."""

    def getaddrinfo(*_: Any) -> list[Any]:
        return [(family, socket.SOCK_STREAM, 6, "", (host, port)) for family, host, port in found]

    return getaddrinfo


def test_the_next_address_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    with listen("127.0.0.1", 0, None) as listener:
        port, closed = listener.getsockname()[1], unused_port()
        entries = [(socket.AF_INET, "127.0.0.1", closed), (socket.AF_INET, "127.0.0.1", port)]
        monkeypatch.setattr(socket, "getaddrinfo", addresses(*entries))
        with connect("name", port, None, 20) as client:
            assert client.getpeername() == ("127.0.0.1", port)


def test_the_last_failure_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [(socket.AF_INET, "127.0.0.1", unused_port())] * 3
    monkeypatch.setattr(socket, "getaddrinfo", addresses(*entries))
    with pytest.raises(ConnectionRefusedError):
        connect("name", 1, None, 20)


def test_a_name_without_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", addresses())
    with pytest.raises(OSError, match="no address found for 'name'"):
        connect("name", 1, None, 20)


@pytest.mark.parametrize(
    ("preferred", "order"),
    [
        (4, [socket.AF_INET, socket.AF_INET, socket.AF_INET6]),
        (6, [socket.AF_INET6, socket.AF_INET, socket.AF_INET]),
        (0, [socket.AF_INET, socket.AF_INET6, socket.AF_INET]),
    ],
)
def test_the_preferred_kind_of_address_comes_first(
    monkeypatch: pytest.MonkeyPatch, preferred: int, order: list[socket.AddressFamily]
) -> None:
    monkeypatch.setattr(config, "PREFER_IP_VERSION", preferred)
    entries = [(socket.AF_INET, "192.0.2.1", 1), (socket.AF_INET6, "2001:db8::1", 1), (socket.AF_INET, "192.0.2.2", 1)]
    monkeypatch.setattr(socket, "getaddrinfo", addresses(*entries))
    assert [entry[0] for entry in sockets._addresses("name", 1)] == order


# ---- socket files ----------------------------------------------------------------------------------------------------


def test_a_stale_socket_file_is_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    listen("", 0, path).close()
    assert os.path.exists(path)
    with listen("", 0, path) as listener, connect(None, None, path, 20) as client:
        check_talk(listener, client).close()


def test_a_socket_file_in_use_is_not_replaced(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with listen("", 0, path) as listener:
        with pytest.raises(OSError, match=f"in use: {re.escape(path)}; .*another path"):
            listen("", 0, path)
        listener.settimeout(20)
        listener.accept()[0].close()  # the look whether somebody is there
        with connect(None, None, path, 20) as client:
            check_talk(listener, client).close()


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_is_no_socket_is_not_replaced(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "s"
    if kind == "file":
        path.write_text("precious", encoding="utf-8")
    else:
        path.mkdir()
    with pytest.raises(OSError, match="in use"):
        listen("", 0, str(path))
    assert path.exists()


def test_removing_a_socket_file(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    listen("", 0, path).close()
    for _ in range(2):
        remove_socket_file(path)
        assert not os.path.exists(path)
    remove_socket_file("")


def test_failures_leak_no_descriptors(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    closed = unused_port()

    def fail() -> None:
        works: list[Callable[[], object]] = [
            lambda: connect("127.0.0.1", closed, None, 20),
            lambda: connect(None, None, str(tmp_path / "absent"), 20),
            lambda: listen("192.0.2.1", 0, None),
            lambda: listen("", 0, str(tmp_path / "file")),
        ]
        for work in works:
            with pytest.raises(OSError, match=r"."):
                work()

    fail()
    before = len(os.listdir("/dev/fd"))
    for _ in range(50):
        fail()
    assert len(os.listdir("/dev/fd")) <= before


# ---- texts -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "text"),
    [
        ("127.0.0.1", "127.0.0.1:90"),
        ("example.org", "example.org:90"),
        ("::1", "[::1]:90"),
        ("fe80::1%lo", "[fe80::1%lo]:90"),
    ],
)
def test_a_location_has_brackets_round_ipv6(host: str, text: str) -> None:
    assert host_port_text(host, 90) == text


def test_what_has_arrived() -> None:
    sock, peer = socket.socketpair()
    with sock, peer:
        assert not sockets.has_arrived(sock)
        peer.send(b"x")
        assert sockets.has_arrived(sock)
        sock.recv(1)
        assert not sockets.has_arrived(sock)
        peer.close()
        assert sockets.has_arrived(sock)
    assert not sockets.has_arrived(sock)


def test_the_family_of_what_is_none() -> None:
    near, far = unix_pair()
    with near, far:
        assert family_name(near) == "Unix"

    class Odd:
        family = 9999

    assert family_name(Odd()) == "???"  # type: ignore[arg-type]
