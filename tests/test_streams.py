"""The server's open item streams: items one by one, ends, lingering after a lost connection, expiry, threads."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from socket_pairs import DEADLINE, Peer

from fastpyro import streams
from fastpyro.config import config
from fastpyro.errors import PyroError
from fastpyro.streams import StreamTable

TERMINATED = "item stream terminated"


class Clock:
    """A monotonic clock that tests set forward."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(streams, "time", made)
    return made


class Closing:
    """An iterator that notes its end."""

    def __init__(self, error: Exception | None = None) -> None:
        self.closed = 0
        self.error = error

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        return 1

    def close(self) -> None:
        self.closed += 1
        if self.error is not None:
            raise self.error


def test_items_come_one_by_one_and_then_the_end() -> None:
    table, connection = StreamTable(), object()
    stream_id = table.open(iter([1, 2]), connection)
    assert [table.next_item(stream_id, connection) for _ in range(2)] == [1, 2]
    with pytest.raises(StopIteration):
        table.next_item(stream_id, connection)
    with pytest.raises(PyroError, match=TERMINATED):
        table.next_item(stream_id, connection)
    assert table.streams == {}


def test_ids_are_uuids_that_nobody_guesses() -> None:
    table = StreamTable()
    ids = {table.open(iter(()), None) for _ in range(100)}
    assert len(ids) == 100
    assert {uuid.UUID(one).version for one in ids} == {4}


@pytest.mark.parametrize("stream_id", ["", "unknown", None, 5])
def test_unknown_streams(stream_id: Any) -> None:
    table = StreamTable()
    with pytest.raises(PyroError, match=TERMINATED):
        table.next_item(stream_id, None)
    table.close(stream_id)


def test_an_error_in_the_iterator_reaches_the_caller_and_ends_the_stream() -> None:
    def failing() -> Iterator[int]:
        yield 1
        raise LookupError("in the middle")

    table = StreamTable()
    stream_id = table.open(failing(), None)
    assert table.next_item(stream_id, None) == 1
    with pytest.raises(LookupError, match="in the middle"):
        table.next_item(stream_id, None)
    with pytest.raises(PyroError, match=TERMINATED):
        table.next_item(stream_id, None)


def test_closing_a_stream_closes_its_generator() -> None:
    ended = []

    def items() -> Iterator[int]:
        try:
            yield 1
            yield 2
        finally:
            ended.append(True)

    table = StreamTable()
    stream_id = table.open(items(), None)
    table.next_item(stream_id, None)
    table.close(stream_id)
    assert ended == [True]
    with pytest.raises(PyroError, match=TERMINATED):
        table.next_item(stream_id, None)


@pytest.mark.parametrize("error", [None, RuntimeError("cannot be closed")])
def test_close_all_closes_each_once_whatever_they_raise(error: Exception | None) -> None:
    table, iterators = StreamTable(), [Closing(error) for _ in range(5)]
    for iterator in iterators:
        table.open(iterator, None)
    table.close_all()
    table.close_all()
    assert [iterator.closed for iterator in iterators] == [1] * 5
    assert table.streams == {}


def test_iterators_that_cannot_be_closed() -> None:
    table = StreamTable()
    table.close(table.open(iter([1]), None))
    assert table.streams == {}


def test_a_stream_outlives_its_connection_for_a_while(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setattr(config, "ITER_STREAM_LINGER", 30.0)
    table, first, second, iterator = StreamTable(), object(), object(), Closing()
    stream_id = table.open(iterator, first)
    table.connection_lost(first)
    clock.now += 29
    table.expire()
    assert table.next_item(stream_id, second) == 1, "a client that reconnected goes on"
    clock.now += 100
    table.expire()
    assert table.next_item(stream_id, second) == 1, "and has a connection again"
    table.connection_lost(second)
    clock.now += 31
    table.expire()
    assert iterator.closed == 1
    with pytest.raises(PyroError, match=TERMINATED):
        table.next_item(stream_id, second)


def test_only_the_lost_connections_streams_linger(clock: Clock) -> None:
    table, lost, kept = StreamTable(), object(), object()
    table.open(iter([1]), lost)
    stream_id = table.open(iter([1]), kept)
    table.connection_lost(lost)
    clock.now += 1e6
    table.expire()
    assert list(table.streams) == [stream_id]


def test_without_lingering_streams_end_with_their_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "ITER_STREAM_LINGER", 0.0)
    table, connection, iterator = StreamTable(), object(), Closing()
    table.open(iterator, connection)
    table.connection_lost(connection)
    assert iterator.closed == 1
    assert table.streams == {}


def test_a_lifetime_ends_a_stream_that_is_in_use(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setattr(config, "ITER_STREAM_LIFETIME", 10.0)
    table, connection, iterator = StreamTable(), object(), Closing()
    stream_id = table.open(iterator, connection)
    clock.now += 9
    table.expire()
    assert table.next_item(stream_id, connection) == 1
    clock.now += 2
    table.expire()
    assert iterator.closed == 1


def test_without_a_lifetime_streams_live_on(monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setattr(config, "ITER_STREAM_LIFETIME", 0.0)
    table, connection = StreamTable(), object()
    stream_id = table.open(iter([1]), connection)
    clock.now += 1e9
    table.expire()
    assert table.next_item(stream_id, connection) == 1


def test_threads_that_fetch_from_one_stream_get_each_item_once() -> None:
    """A generator refuses to be entered twice, so the table lets one thread in at a time."""
    table, connection = StreamTable(), object()

    def items() -> Iterator[int]:
        for number in range(200):
            time.sleep(0)  # invites another thread in
            yield number

    stream_id = table.open(items(), connection)
    got: list[int] = []

    def fetch() -> None:
        got.extend(table.next_item(stream_id, connection) for _ in range(50))

    peers = [Peer(fetch).__enter__() for _ in range(4)]
    for peer in peers:
        peer.__exit__(None)
    assert sorted(got) == list(range(200))


def test_closing_while_a_thread_fetches_does_not_wait_for_it() -> None:
    table, entered, go = StreamTable(), threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        entered.set()
        go.wait(DEADLINE)
        yield 1

    stream_id = table.open(items(), None)
    with Peer(lambda: table.next_item(stream_id, None)) as fetcher:
        assert entered.wait(DEADLINE)
        table.close(stream_id)
        assert table.streams == {}
        go.set()
    assert fetcher.result == 1
