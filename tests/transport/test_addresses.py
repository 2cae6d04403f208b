"""Tests for fastpyro/transport/addresses.py: what can be listened at and published."""

from __future__ import annotations

import ipaddress
import socket
from pathlib import Path
from typing import Any

import pytest

import fastpyro
from fastpyro.naming.broadcast import BroadcastServer
from fastpyro.transport.addresses import LONGEST_UNIX_PATH, host_text, look_up, port_number


@pytest.mark.parametrize("port", [-1, 65536, 99999, 10**30])
@pytest.mark.parametrize("name", ["port", "natport"])
def test_what_is_no_port_is_refused_with_the_limit(name: str, port: int) -> None:
    arguments: dict[str, Any] = {name: port} if name == "port" else {name: port, "nathost": "example.org"}
    with pytest.raises(OverflowError, match=rf"^{name} must be 0-65535, not {port}; 0 leaves the choice"):
        fastpyro.Daemon(**arguments)


@pytest.mark.parametrize("port", ["80", 1.5, b"80", [80], None])
def test_what_is_no_number_is_refused_with_its_type(port: Any) -> None:
    with pytest.raises(TypeError, match=rf"^port: expected an int from 0 to 65535, not .*{type(port).__name__}"):
        fastpyro.Daemon(port=port)


def test_numbers_of_other_types_are_ports() -> None:
    class Number:
        def __index__(self) -> int:
            return 80

    assert port_number(Number()) == 80


@pytest.mark.parametrize("host", ["a b", " localhost", "localhost ", "local\nhost", "x\x1b"])
@pytest.mark.parametrize("name", ["host", "nathost"])
def test_what_is_no_host_is_refused_with_its_text(name: str, host: str) -> None:
    with pytest.raises(
        socket.gaierror, match=rf"Name or service not known: {name} '.*'; expected a name or an address"
    ):
        fastpyro.Daemon(**{name: host})  # type: ignore[arg-type]


@pytest.mark.parametrize("host", [b"localhost", 5, True])
def test_a_host_is_text(host: Any) -> None:
    with pytest.raises(TypeError, match=r"^host: expected a name or an address"):
        fastpyro.Daemon(host)
    with pytest.raises(TypeError, match=r"^nathost: expected a name or an address"):
        fastpyro.Daemon(nathost=host)


def test_an_address_of_ipaddress_is_a_host() -> None:
    assert host_text(ipaddress.ip_address("::1")) == "::1"
    with fastpyro.Daemon(ipaddress.ip_address("127.0.0.1")) as daemon:  # type: ignore[arg-type]
        assert daemon.locationStr.startswith("127.0.0.1:")


@pytest.mark.parametrize("host", ["[::1]", "host:80", "a" * 64, "a..b"])
def test_a_host_without_address_is_named(host: str) -> None:
    with pytest.raises(socket.gaierror) as caught:
        fastpyro.Daemon(host)
    assert host in str(caught.value)


@pytest.mark.parametrize("host", ["a" * 64, "\N{LATIN SMALL LETTER E WITH ACUTE}..b"])
def test_a_client_is_told_of_a_host_that_is_no_name(host: str) -> None:
    with pytest.raises(socket.gaierror):
        look_up(host, 80, socket.AF_UNSPEC)
    with fastpyro.Proxy(f"PYRO:x@{host}:80") as proxy, pytest.raises(fastpyro.errors.CommunicationError, match="label"):
        proxy._pyroBind()


def test_a_unix_path_has_a_longest_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with fastpyro.Daemon(unixsocket="x" * LONGEST_UNIX_PATH) as daemon:
        assert daemon.locationStr.endswith("x" * LONGEST_UNIX_PATH)
    for path in ("x" * (LONGEST_UNIX_PATH + 1), "\N{LATIN SMALL LETTER E WITH ACUTE}" * 54):
        with pytest.raises(OSError, match=r"path too long: .* has 108 bytes, and the system takes 107; choose"):
            fastpyro.Daemon(unixsocket=path)
        told = pytest.raises(fastpyro.errors.CommunicationError, match="has 108 bytes, and the system takes 107")
        with fastpyro.Proxy(f"PYRO:x@./u:{path}") as proxy, told:
            proxy._pyroBind()


@pytest.mark.parametrize("path", ["a:b", "a\nb", "a\x1bb"])
def test_a_unix_path_that_no_uri_holds_is_refused_at_once(tmp_path: Path, path: str) -> None:
    with pytest.raises(ValueError, match="cannot stand in a URI; choose a path without colons"):
        fastpyro.Daemon(unixsocket=str(tmp_path / path))


@pytest.mark.parametrize("path", [5, b"a", Path("a")])
def test_a_unix_path_is_text(path: Any) -> None:
    with pytest.raises(TypeError, match=r"^unixsocket: expected a path as str"):
        fastpyro.Daemon(unixsocket=path)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    path = str(tmp_path / "none" / "socket")
    with pytest.raises(FileNotFoundError, match=path):
        fastpyro.Daemon(unixsocket=path)


def test_broadcasts_are_held_to_the_same() -> None:
    with pytest.raises(OverflowError, match="bcport must be 0-65535, not 99999"):
        BroadcastServer("PYRO:x@localhost:1", "127.0.0.1", 99999)
    with pytest.raises(socket.gaierror, match="bchost 'a b'"):
        BroadcastServer("PYRO:x@localhost:1", "a b", 0)
