"""A threaded server all of whose places are taken: who is answered meanwhile, whose turn is next, and who is refused.

The server runs in this process, so that a test can hold its methods as long as it likes.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from conversations import until
from socket_pairs import DEADLINE, Peer

import fastpyro
from fastpyro.errors import ServerOverloadedError
from fastpyro.server.call_queue import Place
from fastpyro.server.threaded import ThreadedServer

PLACES = 4
SERIALIZERS = ["native", "serpent", "msgpack", "json"]


in_native_code_only = pytest.mark.skipif(
    fastpyro.config.PORTABLE, reason="a proxy with the portable channel makes one call at a time"
)


@fastpyro.expose
class Machine:
    """Work that waits until somebody lets it go on, and what shall work meanwhile."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.inside = 0
        self.order: list[Any] = []
        self._lock = threading.Lock()

    def work(self, who: Any = None) -> Any:
        with self._lock:
            self.inside += 1
            self.order.append(who)
        self.gate.wait(DEADLINE)
        return who

    def other_work(self) -> bool:
        return self.gate.wait(DEADLINE)

    def null(self) -> None:
        return None

    async def later(self) -> str:
        return "later"

    @property
    def level(self) -> int:
        return 7

    @fastpyro.urgent
    def stop(self, slowly: bool = False) -> str:
        if slowly:
            threading.Event().wait(0.02)  # so that it is known to be slow
        return "stopped"

    @fastpyro.urgent
    def stop_and_wait(self) -> bool:
        with self._lock:
            self.inside += 1
        return self.gate.wait(DEADLINE)


class Scene:
    """A daemon all of whose places are taken."""

    def __init__(self, daemon: fastpyro.Daemon, stack: contextlib.ExitStack) -> None:
        server = daemon.transportServer
        assert isinstance(server, ThreadedServer)
        self.daemon, self.server, self.stack = daemon, server, stack
        self.places = server.places
        self.running = 0
        self.machine: Machine = daemon.objectsById["machine"]

    def connect(self, serializer: str = "native", name: str = "machine") -> Any:
        proxy: Any = fastpyro.Proxy(f"PYRO:{name}@{self.daemon.locationStr}")
        proxy._pyroSerializer = serializer
        proxy._pyroTimeout = DEADLINE
        self.stack.callback(proxy._pyroRelease)
        proxy._pyroBind()
        return proxy

    def begin(self, call: Callable[[], Any]) -> Peer:
        """Begin a call that waits, in a thread of its own."""
        return self.stack.enter_context(Peer(call))

    def fill(self, count: int = PLACES, proxy: Any = None, method: str = "work") -> list[Peer]:
        """Let slow calls run in so many places."""
        peers = []
        for _ in range(count):
            client = proxy or self.connect()
            until(lambda: self.places.busy == self.running)  # what was slow before by accident is over
            self.running += 1
            peers.append(self.begin(getattr(client, method)))
            until(lambda: self.places.busy == self.running == self.machine.inside)  # and no other is slow by accident
        return peers

    def jam(self) -> None:
        """Take the reserve, too, as if methods had turned out slow that nobody knew to be."""
        with self.server._lock:
            while not self.places.jammed:
                self.places.take(Place(self, None, False))  # type: ignore[arg-type]
            self.server._note_places()

    def wait(self, proxy: Any, *args: Any) -> Peer:
        """Begin a call that has to wait in the queue."""
        waiting = self.places.waiting
        peer = self.begin(partial(proxy.work, *args))
        until(lambda: self.places.waiting == waiting + 1)
        return peer


@contextlib.contextmanager
def scene(queue: int = 100, places: int = PLACES) -> Iterator[Scene]:
    before = fastpyro.config.THREADPOOL_SIZE, fastpyro.config.REQUEST_QUEUE_SIZE
    fastpyro.config.THREADPOOL_SIZE, fastpyro.config.REQUEST_QUEUE_SIZE = places, queue
    try:
        daemon = fastpyro.Daemon(host="127.0.0.1")
    finally:
        fastpyro.config.THREADPOOL_SIZE, fastpyro.config.REQUEST_QUEUE_SIZE = before
    machine = Machine()
    daemon.register(machine, "machine")
    with daemon, Peer(daemon.requestLoop):
        try:
            with contextlib.ExitStack() as stack:
                made = Scene(daemon, stack)
                try:
                    yield made
                finally:
                    machine.gate.set()
        finally:
            daemon.shutdown()


@pytest.mark.parametrize("serializer", SERIALIZERS)
def test_quick_calls_of_every_client_are_answered(serializer: str) -> None:
    with scene() as full:
        old = full.connect(serializer)
        full.fill()
        full.wait(full.connect())
        for proxy in (old, full.connect(serializer)):
            assert proxy.null() is None
            assert proxy.level == 7
            assert proxy.later() == "later"
            batch = fastpyro.batch(proxy)
            batch.null()
            batch.stop()
            assert list(batch()) == [None, "stopped"]
        with fastpyro.Proxy(f"PYRO:Pyro.Daemon@{full.daemon.locationStr}") as daemon_object:
            daemon_object._pyroSerializer = serializer
            daemon_object._pyroTimeout = DEADLINE
            daemon_object.ping()
            assert "work" in daemon_object.get_metadata("machine", True)["methods"]
        assert full.places.waiting == 1


@pytest.mark.parametrize("serializer", SERIALIZERS)
@pytest.mark.parametrize("slowly", [False, True])
def test_urgent_calls_are_answered_whatever_is_full(serializer: str, slowly: bool) -> None:
    """All places and the reserve are taken, the queue is full; the method may be known to be slow itself."""
    with scene(queue=3) as full:
        proxy = full.connect(serializer)
        assert proxy.stop(slowly) == "stopped"
        full.fill()
        full.jam()
        for _ in range(3):
            full.wait(full.connect())
        batch = fastpyro.batch(proxy)
        batch.stop()
        batch.stop(slowly)
        for client in (proxy, full.connect(serializer)):
            assert client.stop(slowly) == "stopped"
        assert list(batch()) == ["stopped"] * 2


def test_a_jammed_server_answers_coroutines_and_pings_still() -> None:
    with scene() as full:
        native, peer = full.connect(), full.connect("serpent")
        full.fill()
        full.jam()
        for proxy in (native, peer):
            assert proxy.later() == "later"
            proxy._pyroReconnect()
        assert full.places.waiting == 0
        late = full.begin(peer.null)  # which might turn out slow
        until(lambda: full.places.waiting == 1)
        assert late.thread.is_alive()
        with full.server._lock:
            full.places.give(Place(full, None, False))  # type: ignore[arg-type]
        full.machine.gate.set()


def test_urgent_calls_that_are_slow_have_their_own_bound_and_come_first() -> None:
    with scene() as full:
        full.fill()
        calls = full.fill(full.places.reserve, method="stop_and_wait")
        assert (full.places.slow, full.places.urgent) == (PLACES, full.places.reserve)
        calls.append(full.begin(full.connect().stop_and_wait))
        until(lambda: full.places.waiting == 1)
        assert full.connect().null() is None
        full.machine.gate.set()
        for call in calls:
            call.thread.join(DEADLINE)
            assert call.result is True
        until(lambda: full.places.busy == 0)


def test_a_call_of_a_slow_method_waits_also_where_its_lead_was_handed_over_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a busy machine the monitor may find a request slow which nobody has begun."""
    with scene() as full:
        full.fill()
        server = full.server
        holds = server.slow_calls._holds

        def handed_over_meanwhile(*args: Any) -> bool:
            server._hand_over(server._leadership, 0)
            return holds(*args)

        monkeypatch.setattr(server.slow_calls, "_holds", handed_over_meanwhile)
        call = full.wait(full.connect(), "late")
        until(lambda: full.places.busy == PLACES)
        assert full.machine.inside == PLACES
        full.machine.gate.set()
        call.thread.join(DEADLINE)
        assert call.result == "late"


def test_an_urgent_class_and_an_urgent_property() -> None:
    @fastpyro.expose
    @fastpyro.urgent
    class Switch:
        @property
        def state(self) -> str:
            return "on"

        def off(self) -> str:
            return "off"

    with scene() as full:
        full.daemon.register(Switch(), "switch")
        proxies = [full.connect(serializer, "switch") for serializer in SERIALIZERS]
        full.fill()
        full.jam()
        assert [(proxy.state, proxy.off()) for proxy in proxies] == [("on", "off")] * len(SERIALIZERS)


@in_native_code_only
def test_a_connection_whose_call_waits_is_read_on() -> None:
    """Also by threads that share a proxy."""
    with scene() as full:
        full.fill()
        proxy = full.connect()
        call = full.wait(proxy, "mine")
        assert proxy.null() is None
        assert proxy.stop() == "stopped"
        full.machine.gate.set()
        call.thread.join(DEADLINE)
        assert call.result == "mine"


@in_native_code_only
def test_what_one_client_has_begun_does_not_delay_the_others() -> None:
    """It has all places and a long queue; a newcomer gets a place from the reserve."""
    with scene() as full:
        greedy = full.connect()
        full.fill(PLACES, greedy)
        for _ in range(5):
            full.wait(greedy, "greedy")
        newcomer = full.begin(partial(full.connect().work, "newcomer"))
        until(lambda: "newcomer" in full.machine.order)
        assert full.places.waiting == 5
        full.wait(full.connect("serpent"), "second")
        full.machine.gate.set()
        newcomer.thread.join(DEADLINE)
        until(lambda: full.places.busy == full.places.waiting == 0)
        assert full.machine.order[PLACES] == "newcomer"


@in_native_code_only
def test_a_full_queue_refuses_who_fills_it_and_not_the_newcomer() -> None:
    with scene(queue=40) as full:
        full.fill()
        pushy = [full.connect() for _ in range(20)]
        futures = [fastpyro.asyncproxy(proxy).work("pushy") for proxy in pushy for _ in range(2)]
        until(lambda: full.places.waiting == 40)
        good = full.begin(partial(full.connect().work, "good"))
        until(lambda: any(future.ready for future in futures))
        refused = [future for future in futures if future.ready]
        assert len(refused) == 1
        with pytest.raises(ServerOverloadedError, match="REQUEST_QUEUE_SIZE"):
            _ = refused[0].value
        assert full.places.waiting == 40
        full.machine.gate.set()
        good.thread.join(DEADLINE)
        assert good.result == "good"
        assert [future.value for future in futures if future is not refused[0]] == ["pushy"] * 39


@in_native_code_only
def test_who_pipelines_is_not_refused_but_read_later() -> None:
    with scene(queue=32) as full:
        full.fill()
        greedy = full.connect()
        futures = [fastpyro.asyncproxy(greedy).work(number) for number in range(60)]
        until(lambda: full.places.waiting >= 2)
        assert full.places.waiting <= 3
        full.machine.gate.set()
        assert [future.value for future in futures] == list(range(60))
        until(lambda: full.places.busy == 0)
        until(lambda: not any(one.read_holds or one.calls_running for one in full.server.connections.values()))
