"""The bounded pool of oneway calls: how many run, how many wait, who is refused."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from conversations import until

import fastpyro
from fastpyro.server.oneway_calls import OnewayCalls

DEADLINE = 20.0


class Client:
    def __init__(self, origin: str) -> None:
        self.origin = origin
        self.complaints = None


@pytest.fixture
def calls() -> Iterator[OnewayCalls]:
    fastpyro.config.THREADPOOL_SIZE = 4
    fastpyro.config.REQUEST_QUEUE_SIZE = 16
    yield OnewayCalls()
    fastpyro.config.reset()


def test_a_flood_is_bounded_and_another_client_gets_in(calls: OnewayCalls, caplog: pytest.LogCaptureFixture) -> None:
    go, done = threading.Event(), threading.Semaphore(0)
    flooding: Any = Client("here")
    other: Any = Client("there")

    def job() -> None:
        go.wait(DEADLINE)
        done.release()

    before = threading.active_count()
    with caplog.at_level(logging.WARNING, "fastpyro.servers"):
        taken = sum(calls.run(flooding, job) for _ in range(1000))
    assert taken == 10
    assert "not performed" in caplog.text
    assert threading.active_count() <= before + 4
    assert calls.run(other, job)
    go.set()
    assert all(done.acquire(timeout=DEADLINE) for _ in range(11))


def test_a_call_that_fails_gives_its_place_back(calls: OnewayCalls) -> None:
    client: Any = Client("here")
    ended = threading.Event()

    def job() -> None:
        try:
            raise SystemExit
        finally:
            ended.set()

    for _ in range(100):
        ended.clear()
        assert calls.run(client, job)
        assert ended.wait(DEADLINE)
        for _ in range(1000):
            if not calls._shares.total:
                break
            threading.Event().wait(0.001)
        assert not calls._shares.total


def test_without_a_thread_it_is_run_all_the_same(calls: OnewayCalls, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(job: Any) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(calls._threads, "submit", refuse)
    ran: list[int] = []
    client: Any = Client("here")
    assert calls.run(client, lambda: ran.append(1))
    assert ran == [1]
    assert not calls._shares.total


def test_what_waits_is_bounded_in_bytes(calls: OnewayCalls, caplog: pytest.LogCaptureFixture) -> None:
    go, done = threading.Event(), threading.Semaphore(0)
    client: Any = Client("here")

    def job() -> None:
        go.wait(DEADLINE)
        done.release()

    size = fastpyro.config.MAX_QUEUED // 3
    with caplog.at_level(logging.WARNING, "fastpyro.servers"):
        assert [calls.run(client, job, size) for _ in range(5)] == [True, True, True, False, False]
    assert "MAX_QUEUED" in caplog.text
    go.set()
    assert all(done.acquire(timeout=DEADLINE) for _ in range(3))
    until(lambda: calls._bytes == 0)
    assert calls.run(client, job, 2 * fastpyro.config.MAX_QUEUED), "one alone is what MAX_MESSAGE_SIZE allows"
    assert done.acquire(timeout=DEADLINE)
