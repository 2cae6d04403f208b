"""Pulls against a daemon: what is sent when, what is lost with a connection, and clients that lie."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Generator, Iterator
from typing import Any

import pytest
from socket_pairs import DEADLINE, Peer

import fastpyro
from fastpyro import errors
from fastpyro.callcontext import current_context
from fastpyro.server import item_pulls, item_streams

SIZE = 65536


@fastpyro.expose
class Source:
    def __init__(self) -> None:
        self.made: list[int] = []
        self.resume = threading.Event()
        self.closed = threading.Event()
        self.threads: set[int] = set()

    def numbers(self, count: int) -> Generator[int, None, str]:
        try:
            for number in range(count):
                self.made.append(number)
                self.threads.add(threading.get_ident())
                yield number
        finally:
            self.closed.set()
        return "the end"

    def waiting(self, quick: int) -> Generator[int, None, str]:
        """Some items, a wait, one more, a wait, the end."""
        yield from range(quick)
        self.resume.wait(DEADLINE)
        self.resume.clear()
        yield quick
        self.resume.wait(DEADLINE)
        return "the end"

    def failing(self, count: int) -> Iterator[int]:
        yield from range(count)
        raise ValueError("no more")

    def unsendable(self) -> Iterator[Any]:
        yield 1
        yield 2
        yield 3
        yield threading.Lock()

    def returning_nonsense(self) -> Generator[int, None, Any]:
        yield 1
        return threading.Lock()

    def frames(self, count: int, size: int) -> Iterator[bytes]:
        for number in range(count):
            yield bytes([number % 256]) * size

    def reused(self) -> Iterator[bytearray]:
        """A generator that writes each frame where the last one was."""
        frame = bytearray(100_000)
        for number in range(1, 20):
            frame[:] = bytes([number]) * 100_000
            yield frame

    def go_on(self) -> None:
        self.resume.set()


@fastpyro.behavior(instance_mode="session")
class Session(Source):
    pass


@pytest.fixture(params=["thread", "multiplex"])
def source(request: pytest.FixtureRequest) -> Iterator[tuple[Source, Any, Any]]:
    fastpyro.config.SERVERTYPE = request.param
    try:
        daemon = fastpyro.Daemon(host="127.0.0.1")
    finally:
        fastpyro.config.SERVERTYPE = "thread"
    with daemon, Peer(daemon.requestLoop):
        made = Source()
        try:
            with fastpyro.Proxy(daemon.register(made)) as proxy:
                proxy._pyroBind()
                yield made, proxy, daemon
        finally:
            made.resume.set()
            daemon.shutdown()


def pull(proxy: Any, stream: Any, most: Any, position: Any, size: Any = SIZE, ahead: Any = False) -> Any:
    arguments = stream.streamId, most, size, position, ahead
    return proxy._pyroInvoke("pull_stream_items", arguments, {}, objectId="Pyro.Daemon")


def collect(stream: Any, got: list[Any]) -> None:
    for item in stream:
        got.append(item)  # noqa: PERF402 - what came before an error shall be there


def returned(stream: Any) -> tuple[list[Any], Any]:
    def outer() -> Iterator[Any]:
        value = yield from stream
        yield ("returned", value)

    *items, last = outer()
    return items, last[1]


def test_items_in_windows_and_the_value_at_the_end(source: Any) -> None:
    _, proxy, daemon = source
    for count in (0, 1, 2, 3, 5, 100, 5000):
        assert returned(proxy.numbers(count)) == (list(range(count)), "the end")
    assert not daemon.streams.streams


def test_the_first_item_makes_the_generator_make_one(source: Any) -> None:
    made, proxy, _ = source
    stream = proxy.numbers(100)
    assert next(stream) == 0
    assert made.made == [0]
    assert next(stream) == 1
    proxy.go_on()  # whatever was asked for ahead has been served
    assert len(made.made) <= 7


def test_without_prefetch_an_item_is_made_when_it_is_asked_for(source: Any) -> None:
    made, proxy, _ = source
    stream = proxy.numbers(100)
    stream.prefetch = 0
    for number in range(100):
        assert next(stream) == number
        assert made.made == list(range(number + 1))


@pytest.mark.parametrize("wrong", [-1, 257, True, 1.0, None, "8"])
def test_prefetch_has_bounds(source: Any, wrong: Any) -> None:
    stream = source[1].numbers(1)
    with pytest.raises(ValueError, match="prefetch is an int from 0 to 256"):
        stream.prefetch = wrong
    assert stream.prefetch == 256


def test_an_item_is_not_kept_waiting_for_the_next_one(source: Any) -> None:
    """Whatever comes before a wait arrives before it ends, at each place in a window; and so does the end."""
    made, proxy, _ = source
    for quick in (1, 2, 3, 4, 5, 6, 8, 20):
        with fastpyro.Proxy(proxy._pyroUri) as mine:
            stream = mine.waiting(quick)
            assert [next(stream) for _ in range(quick)] == list(range(quick))
            made.resume.set()
            assert next(stream) == quick
            made.resume.set()
            with pytest.raises(StopIteration) as end:
                next(stream)
            assert end.value.value == "the end"
            made.resume.clear()


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 10, 300])
def test_an_error_arrives_behind_the_items_before_it(source: Any, count: int) -> None:
    _, proxy, daemon = source
    told: list[BaseException] = []
    daemon.methodcall_error_handler = lambda *arguments: told.append(arguments[-1])
    got: list[Any] = []
    stream = proxy.failing(count)
    with pytest.raises(ValueError, match="no more") as failed:
        collect(stream, got)
    assert got == list(range(count))
    assert "raise ValueError" in "".join(failed.value._pyroTraceback)  # type: ignore[attr-defined]
    with pytest.raises(StopIteration):
        next(stream)
    assert [type(error) for error in told] == [ValueError]


def test_an_item_that_cannot_be_sent_comes_behind_the_others(source: Any) -> None:
    _, proxy, daemon = source
    got: list[Any] = []
    stream = proxy.unsendable()
    with pytest.raises(errors.SerializeError, match="lock"):
        collect(stream, got)
    assert got == [1, 2, 3]
    assert not daemon.streams.streams


def test_a_returned_value_that_cannot_be_sent_is_the_plain_end(source: Any) -> None:
    stream = source[1].returning_nonsense()
    assert next(stream) == 1
    with pytest.raises((StopIteration, errors.SerializeError, errors.PyroError)):
        next(stream)


@pytest.mark.parametrize("size", [0, 100, 20_000, 70_000, 1 << 20])
def test_frames_of_any_size(source: Any, size: int) -> None:
    frames = list(source[1].frames(40, size))
    assert frames == [bytes([number % 256]) * size for number in range(40)]


def test_a_frame_that_is_written_over_arrives_as_it_was(source: Any) -> None:
    assert [set(frame) for frame in source[1].reused()] == [{number} for number in range(1, 20)]


@pytest.mark.parametrize("way", ["close", "with", "forget"])
def test_a_stream_that_is_left_early_closes_its_generator(source: Any, way: str) -> None:
    made, proxy, daemon = source
    stream = proxy.numbers(100_000)
    assert [next(stream) for _ in range(100)] == list(range(100))
    if way == "close":
        stream.close()
    elif way == "with":
        with stream:
            pass
    else:
        del stream
    assert made.closed.wait(DEADLINE)
    assert proxy._pyroInvoke("ping", (), {}, objectId="Pyro.Daemon") is None  # the connection has no reply too many
    assert returned(proxy.numbers(10)) == (list(range(10)), "the end")
    assert not daemon.streams.streams


def test_calls_between_items_do_not_disturb_them(source: Any) -> None:
    _, proxy, _ = source
    for number, item in enumerate(proxy.numbers(2000)):
        assert item == number
        if number % 7 == 0:
            assert proxy.go_on() is None


def test_streams_side_by_side(source: Any) -> None:
    streams = [source[1].numbers(500) for _ in range(5)]
    for number in range(500):
        assert [next(stream) for stream in streams] == [number] * 5


def test_nothing_is_lost_with_a_connection(source: Any) -> None:
    """Wherever it breaks: what was under way is sent again."""
    _, proxy, _ = source
    fastpyro.config.ITER_STREAM_LINGER = 30.0
    for stops in ({1}, {2}, {3}, {4, 5}, {11, 12, 13}, {40, 200, 900}):
        stream = proxy.numbers(1000)
        for number in range(1000):
            if number in stops:
                proxy._pyroReconnect()
            assert next(stream) == number


def test_an_answer_is_sent_again_to_who_has_not_got_it(source: Any) -> None:
    _, proxy, _ = source
    stream = proxy.numbers(100)
    assert pull(proxy, stream, 4, 0) == [0, [0, 1, 2, 3], None]
    assert pull(proxy, stream, 4, 0) == [0, [0, 1, 2, 3], None]
    assert pull(proxy, stream, 4, 4) == [0, [4, 5, 6, 7], None]
    with pytest.raises(errors.PyroError, match="the client has 0 items of this stream, of which 8 were sent"):
        pull(proxy, stream, 4, 0)
    assert pull(proxy, stream, 4, 8)[1] == [8, 9, 10, 11]
    frames = proxy.frames(5, 200_000)
    pull(proxy, frames, 4, 0)
    with pytest.raises(errors.PyroError, match="items 1 to 1 of this stream were lost with a connection"):
        pull(proxy, frames, 4, 0)


@pytest.mark.parametrize("most", [2**31, 2**63 - 1, 2**100])
def test_a_hostile_window_of_2_to_31_is_one_of_256(source: Any, most: int) -> None:
    _, proxy, _ = source
    stream, got = proxy.numbers(5000), 0
    for _ in range(20):
        items = pull(proxy, stream, most, got, 2**62)[1]
        assert 1 <= len(items) <= 256
        got += len(items)


@pytest.mark.parametrize(
    "arguments",
    [
        (0, 0),
        (-1, 0),
        (-(2**31), 0),
        (1, -1),
        (1, 0, 0),
        (1, 0, -5),
        ("1", 0),
        (None, 0),
        (1.0, 0),
        (True, 0),
        ([1], 0),
        (1, "0"),
        (1, None),
        (1, 0, "size"),
    ],
)
def test_hostile_windows_are_refused_and_harm_no_stream(source: Any, arguments: tuple[Any, ...]) -> None:
    made, proxy, _ = source
    stream = proxy.numbers(3)
    with pytest.raises((ValueError, TypeError), match="of a pull is"):
        pull(proxy, stream, *arguments)
    assert made.made == []
    assert list(stream) == [0, 1, 2]


@pytest.mark.parametrize("position", [1, 2**31, 2**100])
def test_hostile_positions_are_refused_and_harm_no_stream(source: Any, position: int) -> None:
    _, proxy, _ = source
    stream = proxy.numbers(3)
    with pytest.raises(errors.PyroError, match="of which 0 were sent"):
        pull(proxy, stream, 1, position)
    assert list(stream) == [0, 1, 2]


class Named:
    def __init__(self, stream_id: Any) -> None:
        self.streamId = stream_id


@pytest.mark.parametrize("stream_id", ["no such stream", "", "x" * 100_000])
def test_hostile_pulls_of_unknown_streams(source: Any, stream_id: str) -> None:
    with pytest.raises(errors.PyroError, match="item stream terminated"):
        pull(source[1], Named(stream_id), 1, 0)


@pytest.mark.parametrize("stream_id", [None, 5, b"bytes", ["list"], {}])
def test_hostile_stream_ids_that_are_no_text(source: Any, stream_id: Any) -> None:
    with pytest.raises((errors.PyroError, TypeError, ValueError)):
        pull(source[1], Named(stream_id), 1, 0)


def test_hostile_pulls_of_others_streams_count_as_ones_own(source: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """An id is what a client has to know; who fetches from it has it among his, whose number is bounded."""
    _, proxy, _ = source
    monkeypatch.setattr(fastpyro.config, "MAX_STREAMS_PER_CONNECTION", 1)
    theirs = proxy.numbers(5)
    with fastpyro.Proxy(proxy._pyroUri) as mine:
        own = mine.numbers(5)
        with pytest.raises(errors.ServerOverloadedError, match="MAX_STREAMS_PER_CONNECTION"):
            pull(mine, theirs, 1, 0)
        assert list(own) == list(range(5))
    assert list(theirs) == list(range(5))


def test_a_flood_of_pulls_takes_few_places() -> None:
    """Of one stream, while its generator waits: all but a few are refused at once."""
    with fastpyro.Daemon(host="127.0.0.1") as daemon, Peer(daemon.requestLoop):
        made = Source()
        try:
            with fastpyro.Proxy(daemon.register(made)) as proxy:
                stream = proxy.waiting(0)
                threads = [
                    threading.Thread(target=quietly, args=(lambda: pull_alone(proxy._pyroUri, stream),))
                    for _ in range(30)
                ]
                for thread in threads:
                    thread.start()
                until = time.monotonic() + DEADLINE
                while sum(thread.is_alive() for thread in threads) > item_streams.MOST_FETCHING:
                    assert time.monotonic() < until
                made.resume.set()
                for thread in threads:
                    thread.join(DEADLINE)
        finally:
            made.resume.set()
            daemon.shutdown()


def pull_alone(uri: Any, stream: Any) -> None:
    with fastpyro.Proxy(uri) as proxy:
        pull(proxy, stream, 256, 0)


def quietly(work: Callable[[], Any]) -> None:
    with contextlib.suppress(errors.PyroError):
        work()


def test_few_streams_have_windows(source: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind them each item is a pull, and nothing is kept."""
    _, proxy, daemon = source
    monkeypatch.setattr(item_streams, "MOST_WINDOWS_OF_ONE", 2)
    streams = [proxy.numbers(100) for _ in range(4)]
    for stream in streams:
        assert len(pull(proxy, stream, 8, 0)[1]) == 1
    kept = [stream for stream in daemon.streams.streams.values() if stream.windowed]
    assert not kept
    for stream in streams[:2]:
        stream.close()
    until = time.monotonic() + DEADLINE
    while len(daemon.streams.streams) > 2:
        assert time.monotonic() < until
    assert len(pull(proxy, streams[2], 8, 1)[1]) > 1
    assert daemon.streams._windowed == 1
    for stream in streams:
        stream.close()
    while daemon.streams.streams:
        assert time.monotonic() < until
    assert daemon.streams._windowed == 0


def test_pulls_need_the_handshake(source: Any) -> None:
    with pytest.raises(errors.PyroError, match="not agreed upon"):
        source[2].objectsById["Pyro.Daemon"].pull_stream_items("x", 1, 1, 0)
    proxy = source[1]
    proxy._pyroSerializer = "serpent"
    assert returned(proxy.numbers(5)) == (list(range(5)), "the end")


def test_pulls_in_batches_and_oneway_harm_nobody(source: Any) -> None:
    _, proxy, _ = source
    stream = proxy.numbers(100)
    arguments = stream.streamId, 8, SIZE, 0
    proxy._pyroInvoke("pull_stream_items", arguments, {}, flags=4, objectId="Pyro.Daemon")
    with fastpyro.Proxy(f"PYRO:Pyro.Daemon@{proxy._pyroUri.location}") as daemon_proxy:
        batch = fastpyro.batch(daemon_proxy)
        batch.pull_stream_items(*arguments)
        with pytest.raises(errors.PyroError):
            list(batch())
    assert proxy._pyroInvoke("ping", (), {}, objectId="Pyro.Daemon") is None


def test_the_items_of_a_session_object_are_made_in_one_thread() -> None:
    with fastpyro.Daemon(host="127.0.0.1") as daemon, Peer(daemon.requestLoop):
        try:
            uri = daemon.register(Session)
            with fastpyro.Proxy(uri) as proxy, fastpyro.Proxy(uri) as other:
                first, second = proxy.numbers(2000), other.numbers(2000)
                for number in range(2000):
                    assert next(first) == next(second) == number
                instances = [c.instances[Session] for c in list(daemon.transportServer.connections.values())]
                assert [len(instance.threads) for instance in instances] == [1, 1]
        finally:
            daemon.shutdown()


def test_nobody_looks_while_nothing_is_pulled(source: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(item_pulls, "PARKED", 0.01)
    _, proxy, daemon = source
    list(proxy.numbers(100))
    early = daemon.objectsById["Pyro.Daemon"]._item_pulls._early
    until = time.monotonic() + DEADLINE
    while early._runs:
        assert time.monotonic() < until
    assert not early._open
    assert list(proxy.numbers(100)) == list(range(100))
    assert current_context.client is None
