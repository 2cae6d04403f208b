"""The calls of a session's object run in one thread: the one that made it."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from conversations import until
from socket_pairs import DEADLINE, Peer

import fastpyro
from fastpyro.errors import ServerOverloadedError
from fastpyro.server.threaded import ThreadedServer

one_connection = pytest.mark.skipif(
    bool(fastpyro.config.PORTABLE), reason="there an asynchronous call has a connection, and so a session, of its own"
)
met = threading.Barrier(2)
closed_by: list[int] = []
kept: list[Any] = []
events: dict[str, threading.Event] = {}


class Resource:
    def close(self) -> None:
        closed_by.append(threading.get_ident())


@fastpyro.expose
class Session:
    """What may be used in one thread only: sqlite3 says so itself."""

    def __init__(self) -> None:
        self.database = sqlite3.connect(":memory:")
        self.thread = threading.get_ident()
        self.resource = Resource()
        kept.append(self.resource)
        fastpyro.current_context.track_resource(self.resource)

    def __del__(self) -> None:
        self.database.close()  # in another thread that would be an error

    def work(self, seconds: float = 0) -> int:
        self.database.execute("select 1")
        if seconds:
            threading.Event().wait(seconds)
        return self.thread

    def rows(self) -> Iterator[int]:
        for (row,) in self.database.execute("select 1 union select 2 union select 3"):
            yield row

    @property
    def changes(self) -> int:
        return self.database.total_changes

    @fastpyro.oneway
    def wait_for(self, key: str) -> None:
        events[key].wait(DEADLINE)

    def big(self) -> bytes:
        self.database.execute("select 1")
        return bytes(2 << 20)

    def meet(self) -> bool:
        self.database.execute("select 1")
        met.wait(DEADLINE)
        return True


@fastpyro.expose
class Plain:
    def null(self) -> None:
        return None


class Scene:
    def __init__(self, daemon: fastpyro.Daemon) -> None:
        assert isinstance(daemon.transportServer, ThreadedServer)
        self.daemon, self.server = daemon, daemon.transportServer
        daemon.register(Session, "session")
        daemon.register(Plain(), "plain")

    def connect(self, name: str = "session", serializer: str = "native") -> Any:
        proxy = fastpyro.Proxy(self.daemon.uriFor(name))
        proxy._pyroSerializer = serializer
        proxy._pyroTimeout = DEADLINE
        return proxy


@pytest.fixture
def scene() -> Iterator[Scene]:
    daemon = fastpyro.Daemon(host="127.0.0.1")
    made = Scene(daemon)
    with Peer(daemon.requestLoop):
        try:
            yield made
        finally:
            daemon.shutdown()
    daemon.close()


@pytest.mark.parametrize("serializer", ["native", "serpent"])
def test_all_that_uses_a_sessions_object_runs_in_its_thread(scene: Scene, serializer: str) -> None:
    with scene.connect(serializer=serializer) as proxy, scene.connect("plain") as other:
        for seconds in (0.001, 0.02, 0, 0, 0.02, 0):  # slow ones that nobody knew to be, and known ones
            proxy.work(seconds)
            other.null()
        batch = fastpyro.BatchProxy(proxy)
        batch.work()
        batch.work(0.02)
        other.null()
        assert len(list(batch())) == 2
        rows = iter(proxy.rows())
        items = []
        for _ in range(3):
            items.append(next(rows))
            other.null()
            proxy.work(0.003)
        assert items == [1, 2, 3]
        assert next(rows, None) is None
        other.null()
        assert proxy.changes == 0


def test_its_end_does_too(scene: Scene) -> None:
    closed_by.clear()
    kept.clear()
    with scene.connect("plain") as other:
        with scene.connect() as proxy:
            thread = proxy.work(0.02)
            other.null()
        until(lambda: closed_by)
        assert closed_by == [thread]
        until(lambda: not len(scene.server.homes))
        assert scene.server.homes.shares.total == 0
        other.null()


def test_sessions_may_wait_for_each_other(scene: Scene) -> None:
    with scene.connect() as one, scene.connect() as two, scene.connect("plain") as other:
        for proxy in (one, two, one, two):
            proxy.work()
        with Peer(one.meet) as first, Peer(two.meet) as second:
            other.null()
        assert first.result is second.result is True
        assert len(scene.server.homes) == 2


def test_the_lead_goes_home_where_nobody_else_has_anything_to_say(scene: Scene) -> None:
    with scene.connect() as proxy, scene.connect("plain") as other:
        proxy.work()
        for _ in range(3):
            other.null()  # which another thread serves, and leads then

        def is_led_from_home() -> bool:
            proxy.work()
            return scene.server._leadership.home is not None

        until(is_led_from_home)
        other.null()
        until(lambda: scene.server._leadership.home is None)


def test_too_many_sessions_are_refused_by_name(scene: Scene) -> None:
    scene.server.homes.shares.most = scene.server.homes.shares.most_of_one = 1
    with scene.connect() as proxy, scene.connect("plain") as other:
        proxy.work()
        with scene.connect() as late, pytest.raises(ServerOverloadedError, match="THREADPOOL_SIZE"):
            late.work()
        other.null()
        proxy.work()
    until(lambda: scene.server.homes.shares.total == 0)
    with scene.connect() as next_one:
        next_one.work()


def test_homes_end_with_the_server(scene: Scene) -> None:
    proxies = [scene.connect() for _ in range(3)]
    for proxy in proxies:
        proxy.work(0.003)
    assert len(scene.server.homes) == 3
    scene.daemon.shutdown()
    until(lambda: not len(scene.server.homes))
    until(lambda: scene.server.workers.count == 0)
    for proxy in proxies:
        proxy._pyroRelease()


@one_connection
def test_a_crowd_of_sessions_is_served(scene: Scene) -> None:
    """More than one look at the poller shows."""
    proxies = [scene.connect() for _ in range(100)]
    for proxy in proxies:
        proxy.work()
    with scene.connect("plain") as other:
        for _ in range(3):
            results = [fastpyro.asyncproxy(proxy).work() for proxy in proxies for _ in range(3)]
            other.null()
            assert len({result.value for result in results}) == len(proxies)
    for proxy in proxies:
        proxy._pyroRelease()
    until(lambda: not len(scene.server.homes))


@one_connection
def test_slow_sessions_wait_for_places_and_stay_in_their_threads(scene: Scene) -> None:
    places = scene.server.places
    places.size = places.reserve = 2
    proxies = [scene.connect() for _ in range(8)]
    threads = [proxy.work(0.01) for proxy in proxies]
    with scene.connect("plain") as other:
        for _ in range(3):
            results = [fastpyro.asyncproxy(proxy).work(0.01) for proxy in proxies]
            other.null()
            assert [result.value for result in results] == threads
    until(lambda: places.busy == places.waiting == 0)
    for proxy in proxies:
        proxy._pyroRelease()


def test_a_first_call_that_waits_for_room_makes_the_object_in_its_home(scene: Scene) -> None:
    scene.server.big_replies.most = 1  # type: ignore[union-attr]
    with scene.connect() as first:
        first.big()
    proxies = [scene.connect() for _ in range(6)]
    results = [fastpyro.asyncproxy(proxy).big() for proxy in proxies]
    assert [len(result.value) for result in results] == [2 << 20] * 6
    for proxy in proxies:
        proxy.work()
        proxy.work(0.003)
        proxy._pyroRelease()


def test_an_oneway_call_of_pyros_runs_beside_the_others(scene: Scene) -> None:
    events["pyro"] = threading.Event()
    with scene.connect() as proxy, scene.connect("plain") as other:
        proxy.work()
        next(iter(scene.server.homes)).connection.oneway_apart = True  # as if a program of Pyro's had connected
        proxy.wait_for("pyro")
        proxy.work()
        other.null()
        events["pyro"].set()


@one_connection
def test_what_is_slow_holds_the_session_and_nobody_else(scene: Scene) -> None:
    events["own"] = threading.Event()
    with scene.connect() as proxy, scene.connect("plain") as other, scene.connect() as third:
        proxy.work()
        for _ in range(2):  # the second time the method is known to be slow
            events["own"].clear()
            proxy.wait_for("own")
            later = fastpyro.asyncproxy(proxy).work()
            other.null()
            third.work()
            assert not later.ready
            events["own"].set()
            assert later.value == proxy.work()


def test_the_daemon_may_be_shut_down_by_a_session(scene: Scene) -> None:
    @fastpyro.expose
    class Ender:
        def end(self) -> str:
            scene.daemon.shutdown()
            return "ended"

    scene.daemon.register(Ender, "ender")
    with scene.connect("ender") as proxy:
        assert proxy.end() == "ended"
    until(lambda: not len(scene.server.homes))


def test_a_session_without_a_thread_for_it_is_refused(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise RuntimeError("can't start new thread")

    with scene.connect("plain") as other, scene.connect() as proxy:
        other.null()
        until(lambda: scene.server.workers.count == 1)
        monkeypatch.setattr(scene.server.workers, "run", fail)
        with pytest.raises(ServerOverloadedError, match="thread"):
            proxy.work()
        monkeypatch.undo()
        other.null()
        proxy.work()
        assert scene.server.homes.shares.total == 1
