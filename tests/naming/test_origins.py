"""To which places a name server may connect, by who registered them."""

from __future__ import annotations

import socket
from typing import Any

import pytest
from socket_pairs import tcp_pair

from fastpyro.naming.origins import LOCAL, SAME_HOST, may_be_at, origin_of
from fastpyro.uri import URI

TCP = URI("PYRO:x@host:1")
UNIX = URI("PYRO:x@./u:/tmp/x")


@pytest.mark.parametrize(
    ("uri", "origin", "addresses", "may"),
    [
        (TCP, LOCAL, {"192.0.2.1"}, True),
        (UNIX, LOCAL, set(), True),
        (TCP, SAME_HOST, {"127.0.0.1"}, True),
        (TCP, SAME_HOST, {"::1", "127.0.0.1"}, True),
        (TCP, SAME_HOST, {"127.0.0.1", "192.0.2.1"}, False),
        (TCP, SAME_HOST, {"192.0.2.1"}, False),
        (UNIX, SAME_HOST, set(), True),
        (TCP, "192.0.2.1", {"192.0.2.1"}, True),
        (TCP, "192.0.2.1", {"::ffff:192.0.2.1"}, True),
        (TCP, "192.0.2.1", {"192.0.2.2"}, False),
        (TCP, "192.0.2.1", {"192.0.2.1", "127.0.0.1"}, False),
        (TCP, "192.0.2.1", {"127.0.0.1"}, False),
        (TCP, "192.0.2.1", set(), False),
        (UNIX, "192.0.2.1", set(), False),
        (TCP, None, {"127.0.0.1"}, False),
        (UNIX, None, set(), False),
        (TCP, "", {"127.0.0.1"}, False),
    ],
)
def test_where_a_name_server_may_connect(uri: URI, origin: str | None, addresses: set[str], may: bool) -> None:
    assert may_be_at(uri, origin, frozenset(addresses)) is may


class Client:
    def __init__(self, sock: Any) -> None:
        self.sock = sock


class FarSocket:
    family = socket.AF_INET

    def getpeername(self) -> tuple[str, int]:
        return "192.0.2.7", 1

    def getsockname(self) -> tuple[str, int]:
        return "192.0.2.1", 2


class GoneSocket(FarSocket):
    def getpeername(self) -> tuple[str, int]:
        raise OSError


def test_where_a_call_comes_from() -> None:
    assert origin_of(None) == LOCAL
    assert origin_of(Client(FarSocket())) == "192.0.2.7"  # type: ignore[arg-type]
    assert origin_of(Client(GoneSocket())) == ""  # type: ignore[arg-type]
    for pair in (socket.socketpair(), tcp_pair()):
        for each in pair:
            with each:
                assert origin_of(Client(each)) == SAME_HOST  # type: ignore[arg-type]
