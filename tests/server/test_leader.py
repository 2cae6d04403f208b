"""Who leads: a request ends in office, or its leader is deposed; and what the monitor sees."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from socket_pairs import unix_pair

from fastpyro.constants import FLAGS_ONEWAY
from fastpyro.serializers.registry import accepted_ids
from fastpyro.server._leader import Leadership, Term
from fastpyro.server.connection import Connection
from fastpyro.server.service import Service
from fastpyro.transport.channel import PlainChannel


class Server:
    """As much of a server as its leadership asks for."""

    def __init__(self) -> None:
        self.woken = 0

    def wake_monitor(self) -> None:
        self.woken += 1


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def leadership(server: Server) -> Leadership:
    return Leadership(server, Service())


@pytest.fixture
def connection() -> Iterator[Connection]:
    near, far = unix_pair()
    made = Connection(PlainChannel(far), "peer", accepted_ids(["native"]))
    made.handshaken = True
    with near, contextlib.closing(made):
        yield made


def test_a_term_is_deposed_once_and_only_while_it_serves(leadership: Leadership, connection: Connection) -> None:
    term = Term()
    assert not leadership.depose(term, 0, True)
    leadership.begin_request(term, connection, 0)
    assert connection.in_call == 1
    assert not leadership.depose(term, 2**40, True), "another request by now"
    assert leadership.depose(term, 0, True) is connection
    assert not leadership.depose(term, 0, True)
    assert term.deposed
    leadership.end_request(term)
    assert connection.in_call == 0
    assert not leadership.depose(Term(), 0, True)


@pytest.mark.parametrize(
    ("flags", "free_oneway", "session", "alone"),
    [
        (0, True, False, False),
        (0, True, True, True),
        (FLAGS_ONEWAY, True, False, False),
        (FLAGS_ONEWAY, False, False, True),
        (FLAGS_ONEWAY, True, True, True),
    ],
)
def test_who_keeps_the_connection(
    leadership: Leadership, connection: Connection, *, flags: int, free_oneway: bool, session: bool, alone: bool
) -> None:
    connection.ordered = session
    term = Term()
    leadership.begin_request(term, connection, flags)
    assert leadership.depose(term, 0, free_oneway)
    assert (term.alone, connection.held) == (alone, alone)
    leadership.end_request(term)


def test_the_monitor_sees_a_slow_request_and_sleeps_without_one(
    leadership: Leadership, server: Server, connection: Connection
) -> None:
    assert leadership.watch() == 0
    assert leadership.park()
    term = Term()
    leadership.begin_request(term, connection, 0)
    assert server.woken == 1
    assert not leadership.park()
    serial = leadership.watch()
    assert serial > 0
    assert leadership.depose(term, serial, True)
    leadership.end_request(term)
    leadership.stop()
    assert leadership.watch() == 0


def test_a_method_that_was_noted_and_deposed_is_slow_until_it_is_quick(
    leadership: Leadership, connection: Connection
) -> None:
    term: Any = Term()
    leadership.begin_request(term, connection, 0)
    leadership.note(term, Server, "method", False, False)
    serial = leadership.watch()
    leadership.depose(term, serial, True)
    leadership.end_request(term)
    assert leadership.is_slow(Server, "method")
    assert not leadership.is_slow(Server, "other")
    term = Term()
    leadership.begin_request(term, connection, 0)
    leadership.note(term, Server, "method", True, False)
    leadership.end_request(term)
    assert not leadership.is_slow(Server, "method")
