"""A client that holds all descriptors keeps nobody out, and loses what it does not use."""

from __future__ import annotations

import contextlib
import time
from typing import Any

import pytest
from server_process import SubjectServer

import fastpyro
from fastpyro.server._crowds import Crowd, place_of
from fastpyro.server.complaints import Complaints
from fastpyro.server.idle_connections import HANDSHAKE_SECONDS, MOST_LOOKED_AT, MOST_NEW, make_room


class Connection:
    """A double. Arguments: its address, for how many seconds it has been silent, and what else is so."""

    fd = 0

    def __init__(self, address: str, silent: float, **more: Any) -> None:
        self.address = address
        self.last_used = time.monotonic() - silent
        self.handshaken, self.calls_running, self.read_holds, self.unsent = True, 0, 0, False
        vars(self).update(more)


class Server:
    """A double, which knows whom it dropped."""

    def __init__(self, *connections: Connection) -> None:
        self.connections = dict(enumerate(connections))
        self.crowd, self.unadmitted = Crowd(), Crowd()
        for number, one in self.connections.items():
            one.fd = number
            self.crowd.add(one, place_of(one))  # type: ignore[arg-type]
            if not one.handshaken:
                self.unadmitted.add(one, place_of(one))  # type: ignore[arg-type]
        self.unsent = self
        self.drops = Complaints()
        self.dropped: list[Connection] = []

    def waits(self, connection: Connection) -> bool:
        return bool(connection.unsent)

    def drop(self, connection: Connection) -> None:
        self.dropped.append(connection)


def room(*connections: Connection) -> list[Connection]:
    """Return who is dropped to make room."""
    server = Server(*connections)
    assert make_room(server, "a test needs room") == bool(server.dropped)  # type: ignore[arg-type]
    return server.dropped


def test_whoever_is_idle_longest_of_the_address_with_most() -> None:
    alone, new, old = Connection("192.0.2.1", 99), Connection("192.0.2.2", 1), Connection("192.0.2.2", 5)
    assert room(alone, new, old) == [old]
    assert room(alone, new) == []
    assert room() == []


@pytest.mark.parametrize(
    "busy", [{"calls_running": 1}, {"read_holds": 1}, {"unsent": True}], ids=lambda busy: next(iter(busy))
)
def test_nobody_who_is_served(busy: dict[str, Any]) -> None:
    ours = [Connection("192.0.2.2", 5, **busy), Connection("192.0.2.2", 1)]
    assert room(*ours) == ours[1:]
    assert room(ours[0], Connection("192.0.2.2", 9, **busy)) == []


def test_strangers_have_a_moment() -> None:
    idle = [Connection("192.0.2.2", 5), Connection("192.0.2.2", 1)]
    late = Connection("192.0.2.3", HANDSHAKE_SECONDS + 1, handshaken=False)
    fresh = [Connection("192.0.2.3", 0, handshaken=False) for _ in range(MOST_NEW + 1)]
    assert room(*idle, late) == [late]
    assert room(*idle, fresh[0]) == idle[:1]
    assert room(*idle, *fresh) == fresh[:1]
    assert room(idle[0], fresh[0]) == [fresh[0]]


def test_a_network_of_ipv6_is_one_place() -> None:
    spread = [Connection(f"2001:db8::{number}", 1 + number) for number in range(3)]
    others = [Connection("2001:db8:0:1::1", 9), Connection("::ffff:192.0.2.1", 9), Connection("fe80::1%eth0", 9)]
    assert room(*spread, *others) == [spread[2]]


def test_of_many_connections_some_are_looked_at_and_others_next_time() -> None:
    server = Server(*(Connection("192.0.2.2", number) for number in range(3 * MOST_LOOKED_AT)))
    for times in (1, 2, 3):
        assert make_room(server, "a test needs room")  # type: ignore[arg-type]
        assert server.dropped[-1].last_used == min(
            one.last_used for one in list(server.connections.values())[: times * MOST_LOOKED_AT]
        )


def test_an_address_whose_clients_are_busy_is_passed_over() -> None:
    busy = [Connection("192.0.2.2", 9, calls_running=1) for _ in range(3 * MOST_LOOKED_AT)]
    alone, idle = Connection("192.0.2.3", 9), [Connection("192.0.2.4", number) for number in range(2)]
    assert room(*busy, alone, *idle) == [idle[1]]
    assert room(*busy, alone) == []


@pytest.mark.parametrize("servertype", ["thread", "multiplex"])
def test_admitted_clients_that_hold_everything_keep_nobody_out(servertype: str) -> None:
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(SubjectServer("--servertype", servertype, "--descriptors", "128"))
        held = [stack.enter_context(fastpyro.Proxy(server.uri())) for _ in range(150)]
        for proxy in held:
            proxy._pyroTimeout = 20
            proxy._pyroBind()
        for _ in range(5):
            with fastpyro.Proxy(server.uri()) as new:
                new._pyroTimeout = 20
                assert new.add(1, 1) == 2
        server.wait_for("dropping .*, idle for .* connections from there")
        assert held[-1].add(1, 1) == 2
