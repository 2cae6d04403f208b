"""Who leads: a request ends while its leader leads, or its lead is handed over; and what the monitor sees."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
from socket_pairs import unix_pair

from fastpyro.constants import FLAGS_ONEWAY
from fastpyro.serializers.registry import accepted_ids
from fastpyro.server._leader import Leadership, LeaderWatch
from fastpyro.server.connection import Connection
from fastpyro.server.service import Service
from fastpyro.transport.channel import PlainChannel


class Server:
    """As much of a server as its watch asks for."""

    def __init__(self) -> None:
        self.woken = 0

    def wake_monitor(self) -> None:
        self.woken += 1


@pytest.fixture
def server() -> Server:
    return Server()


@pytest.fixture
def watch(server: Server) -> LeaderWatch:
    return LeaderWatch(server, Service())


@pytest.fixture
def connection() -> Iterator[Connection]:
    near, far = unix_pair()
    made = Connection(PlainChannel(far), "peer", accepted_ids(["native"]))
    made.handshaken = True
    with near, contextlib.closing(made):
        yield made


def test_a_lead_is_handed_over_once_and_only_while_it_serves(watch: LeaderWatch, connection: Connection) -> None:
    leadership = Leadership()
    assert not watch.hand_over(leadership, 0, True)
    watch.begin_request(leadership, connection, 0)
    assert connection.calls_running == 1
    assert not watch.hand_over(leadership, 2**40, True), "another request by now"
    assert watch.hand_over(leadership, 0, True) is connection
    assert not watch.hand_over(leadership, 0, True)
    assert leadership.handed_over
    watch.end_request(leadership)
    assert connection.calls_running == 0
    assert not watch.hand_over(Leadership(), 0, True)


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
    watch: LeaderWatch, connection: Connection, *, flags: int, free_oneway: bool, session: bool, alone: bool
) -> None:
    connection.serial_calls = session
    leadership = Leadership()
    watch.begin_request(leadership, connection, flags)
    assert watch.hand_over(leadership, 0, free_oneway)
    assert (leadership.alone, connection.read_holds) == (alone, alone)
    watch.end_request(leadership)


def test_the_monitor_sees_a_slow_request_and_sleeps_without_one(
    watch: LeaderWatch, server: Server, connection: Connection
) -> None:
    assert watch.watch() == 0
    assert watch.park()
    leadership = Leadership()
    watch.begin_request(leadership, connection, 0)
    assert server.woken == 1
    assert not watch.park()
    serial = watch.watch()
    assert serial > 0
    assert watch.hand_over(leadership, serial, True)
    watch.end_request(leadership)
    watch.stop()
    assert watch.watch() == 0


def test_a_method_that_was_noted_and_handed_over_is_slow_until_it_is_quick(
    watch: LeaderWatch, connection: Connection
) -> None:
    leadership: Any = Leadership()
    watch.begin_request(leadership, connection, 0)
    watch.note(leadership, Server, "method", False, False)
    serial = watch.watch()
    watch.hand_over(leadership, serial, True)
    watch.end_request(leadership)
    assert watch.is_slow(Server, "method")
    assert not watch.is_slow(Server, "other")
    leadership = Leadership()
    watch.begin_request(leadership, connection, 0)
    watch.note(leadership, Server, "method", True, False)
    watch.end_request(leadership)
    assert not watch.is_slow(Server, "method")
