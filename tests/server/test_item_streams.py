"""The server's open item streams: items one by one, ends, lingering after a lost connection, expiry, threads."""

from __future__ import annotations

import threading
import time
import uuid
import weakref
from collections.abc import Iterator
from typing import Any

import pytest
from every_bytecode import each_number, happening, interrupted
from socket_pairs import DEADLINE, Peer

from fastpyro.config import config
from fastpyro.errors import PyroError, ServerOverloadedError
from fastpyro.server import item_streams
from fastpyro.server.item_streams import StreamTable

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
    monkeypatch.setattr(item_streams, "time", made)
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


def test_no_item_is_made_before_it_is_asked_for() -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    table, connection = StreamTable(), object()
    ids = [table.open(items(), connection) for _ in range(10)]
    assert made == []
    assert [table.next_item(ids[0], connection) for _ in range(3)] == [0, 1, 2]
    assert made == [0, 1, 2]
    table.close_all()


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


def test_a_lost_connection_costs_as_much_as_its_own_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "MAX_STREAMS_PER_CONNECTION", 100_000)
    monkeypatch.setattr(config, "MAX_STREAMS", 1_000_000)

    class Counted:
        looks = 0

        def __hash__(self) -> int:
            Counted.looks += 1
            return 5

    table, hoarder, others = StreamTable(), object(), [Counted() for _ in range(20)]
    for _ in range(20_000):
        table.open(iter(()), hoarder)
    for other in others[:2]:
        table.open(iter(()), other)
    before = Counted.looks
    began = time.perf_counter()
    for other in others:
        table.connection_lost(other)
        table.expire()
    took = time.perf_counter() - began
    assert Counted.looks - before < 100
    assert took < 0.2, "it would be 20 walks over 20,000 streams"
    assert len(table.streams) == 20_002


def test_a_connection_has_its_share_of_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "MAX_STREAMS_PER_CONNECTION", 50)
    table, greedy, other, refused = StreamTable(), object(), object(), Closing()
    ids = [table.open(iter([1]), greedy) for _ in range(50)]
    with pytest.raises(ServerOverloadedError, match="MAX_STREAMS_PER_CONNECTION"):
        table.open(refused, greedy)
    assert refused.closed == 1
    assert table.next_item(table.open(iter([1]), other), other) == 1
    table.close(ids[0])
    table.open(iter([1]), greedy)


def test_nobody_takes_all_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "MAX_STREAMS", 100)
    table, crowd, other = StreamTable(), [object() for _ in range(5)], object()

    def take_all(connection: object) -> None:
        for _ in range(101):
            table.open(iter([1]), connection)

    for one in crowd:
        with pytest.raises(ServerOverloadedError, match="MAX_STREAMS"):
            take_all(one)
    assert len(table.streams) < 100
    assert table.next_item(table.open(iter([1]), other), other) == 1


def test_streams_that_their_client_left_give_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "MAX_STREAMS", 100)
    table, first, iterators = StreamTable(), object(), [Closing() for _ in range(40)]
    for iterator in iterators:
        table.open(iterator, first)
    table.connection_lost(first)
    others = [object() for _ in range(80)]
    for other in others:
        table.open(iter([1]), other)
    assert len(table.streams) == 100
    assert [iterator.closed for iterator in iterators] == [1] * 20 + [0] * 20, "the one that was left first goes first"


def test_only_a_few_wait_for_one_stream() -> None:
    table, connection, entered, go = StreamTable(), object(), threading.Event(), threading.Event()

    def items() -> Iterator[int]:
        entered.set()
        go.wait(DEADLINE)
        yield from range(10)

    stream_id = table.open(items(), connection)
    fetchers = [
        Peer(lambda: table.next_item(stream_id, connection)).__enter__() for _ in range(item_streams.MOST_FETCHING)
    ]
    deadline = time.monotonic() + DEADLINE
    while table.streams[stream_id].fetching < item_streams.MOST_FETCHING:
        assert time.monotonic() < deadline
    with pytest.raises(ServerOverloadedError, match="wait for an item of this stream"):
        table.next_item(stream_id, connection)
    go.set()
    for fetcher in fetchers:
        fetcher.__exit__(None)
    assert sorted(fetcher.result for fetcher in fetchers) == [0, 1, 2, 3]
    assert table.next_item(stream_id, connection) == 4, "the refusal has not ended it"


def test_iterators_that_take_long_to_close_hold_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "ITER_STREAM_LINGER", 0.0)
    go, closed = threading.Event(), threading.Semaphore(0)

    class Slow(Closing):
        def close(self) -> None:
            go.wait(DEADLINE)
            closed.release()

    table, connection = StreamTable(threaded=True), object()
    before = threading.active_count()
    for _ in range(30):
        table.open(Slow(), connection)
    table.connection_lost(connection)
    assert not table.streams
    assert threading.active_count() <= before + item_streams.MOST_ENDING
    go.set()
    assert all(closed.acquire(timeout=DEADLINE) for _ in range(30))


class Gone:
    """A connection that is over, for which a call still runs."""

    released = True


@pytest.mark.parametrize("linger", [30.0, 0.0])
def test_a_stream_that_is_opened_for_a_lost_connection_lingers(
    clock: Clock, monkeypatch: pytest.MonkeyPatch, linger: float
) -> None:
    monkeypatch.setattr(config, "ITER_STREAM_LINGER", linger)
    table, iterator = StreamTable(), Closing()
    stream_id = table.open(iterator, Gone())
    clock.now += linger + 0.1
    table.expire()
    assert (iterator.closed, table.streams) == (1, {})
    with pytest.raises(PyroError, match=TERMINATED):
        table.next_item(stream_id, object())


def test_a_stream_that_a_lost_connection_fetches_from_lingers(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "ITER_STREAM_LINGER", 30.0)
    table, iterator, owner = StreamTable(), Closing(), object()
    stream_id = table.open(iterator, owner)
    assert table.next_item(stream_id, Gone()) == 1
    clock.now += 31
    table.expire()
    assert iterator.closed == 1


def test_no_interrupt_leaves_a_place_taken() -> None:
    """As many interrupted fetches as the path has bytecodes, from one stream each: all its places are free again."""

    def path(number: int) -> happening:
        table, connection = StreamTable(), object()
        stream_id = table.open(iter(range(10)), connection)
        stream = table.streams[stream_id]
        interruption = interrupted(number, lambda: table.next_item(stream_id, connection))
        assert stream.fetching == 0
        assert not stream.lock.locked
        return interruption

    assert each_number(path) > 20


@pytest.mark.parametrize("linger", [0.0, 30.0])
def test_thousands_of_streams_end_a_few_at_a_time(linger: float, monkeypatch: pytest.MonkeyPatch, clock: Clock) -> None:
    monkeypatch.setattr(config, "ITER_STREAM_LINGER", linger)
    monkeypatch.setattr(config, "MAX_STREAMS_PER_CONNECTION", 1000)
    table, connection, iterators = StreamTable(), object(), [Closing() for _ in range(1000)]
    for iterator in iterators:
        table.open(iterator, connection)
    table.connection_lost(connection)
    clock.now += 31
    turns, ended = 1, sum(iterator.closed for iterator in iterators)
    more = True
    while more:
        more = table.expire()
        before, ended = ended, sum(iterator.closed for iterator in iterators)
        assert ended - before <= item_streams.MOST_EXPIRED
        turns += 1
    assert ended == 1000
    assert not table.streams
    assert turns >= 1000 // item_streams.MOST_EXPIRED


def test_fetching_from_the_streams_of_another_connection_has_the_same_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "MAX_STREAMS_PER_CONNECTION", 20)
    table, opener, fetcher = StreamTable(), object(), object()
    ids = [table.open(iter([1, 2]), opener) for _ in range(20)]
    assert [table.next_item(stream_id, fetcher) for stream_id in ids] == [1] * 20
    another = table.open(iter([1, 2]), opener)
    with pytest.raises(ServerOverloadedError, match="MAX_STREAMS_PER_CONNECTION"):
        table.next_item(another, fetcher)
    assert table.next_item(another, opener) == 1
    assert table.next_item(ids[0], fetcher) == 2


def test_what_stands_for_memory_lives_as_long_as_its_stream() -> None:
    class Memory:
        pass

    table, memory, connection = StreamTable(), Memory(), object()
    gone = weakref.ref(memory)
    stream_id = table.open(iter([1]), connection, memory)
    del memory
    assert gone() is not None
    table.close(stream_id)
    assert gone() is None
