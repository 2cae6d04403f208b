"""How much the log hears of requests that are refused."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from fastpyro._lazy_logging import logger
from fastpyro.server.complaints import AT_FIRST, SECONDS, Complaints, complain, say_dropped, say_rest

log = logger("fastpyro.servers")


class Client:
    complaints = None

    def __repr__(self) -> str:
        return "<client>"


class Reason:
    """Counts how often its text is made."""

    made = 0

    def __str__(self) -> str:
        Reason.made += 1
        return "too much"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr("fastpyro.server.complaints.time.monotonic", lambda: now[0])
    return now


def test_a_flood_of_refusals_is_a_few_lines(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    client: Any = Client()
    Reason.made = 0
    with caplog.at_level(logging.WARNING, "fastpyro"):
        for _ in range(1000):
            complain(log, client, Reason())
        assert len(caplog.records) == AT_FIRST
        assert caplog.records[0].getMessage() == "<client>: too much"
        assert Reason.made < 100, "what is not told has no text"
        clock[0] += SECONDS
        complain(log, client, Reason())
        complain(log, client, Reason())
    assert len(caplog.records) == AT_FIRST + 1
    assert f"{1000 - AT_FIRST} more" in caplog.records[-1].getMessage()


def test_another_connection_is_heard(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    flooding: Any = Client()
    other: Any = Client()
    with caplog.at_level(logging.WARNING, "fastpyro"):
        for _ in range(100):
            complain(log, flooding, "flood")
        complain(log, other, "once")
    assert caplog.records[-1].getMessage() == "<client>: once"


def test_thousands_that_are_dropped_are_a_few_lines(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    drops = Complaints()
    with caplog.at_level(logging.WARNING, "fastpyro"):
        for _ in range(1000):
            say_dropped(log, drops, Client(), ", idle for %g s: %s", 1.5, "no room")
        assert [record.getMessage() for record in caplog.records] == [
            "dropping <client>, idle for 1.5 s: no room"
        ] * AT_FIRST
        clock[0] += SECONDS
        say_dropped(log, drops, Client(), ": gone")
    assert caplog.records[-1].getMessage().startswith(f"dropping <client>: gone (and {1000 - AT_FIRST} others since")


def test_the_end_of_a_connection_tells_the_rest(clock: list[float], caplog: pytest.LogCaptureFixture) -> None:
    client: Any = Client()
    with caplog.at_level(logging.WARNING, "fastpyro"):
        say_rest(log, client)
        assert not caplog.records
        for _ in range(AT_FIRST):
            complain(log, client, "flood")
        say_rest(log, client)
        assert len(caplog.records) == AT_FIRST
        for _ in range(7):
            complain(log, client, "flood")
        say_rest(log, client)
        say_rest(log, client)
    assert "7 more requests were refused" in caplog.records[-1].getMessage()
    assert len(caplog.records) == AT_FIRST + 1
