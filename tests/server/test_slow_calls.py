"""Calls of methods that are known to be slow: a worker runs them, and the leader goes on leading."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from conversations import until
from socket_pairs import DEADLINE, Peer

import fastpyro
from fastpyro.server import _leader
from fastpyro.server.threaded import ThreadedServer


class Machine:
    """Says which thread runs it. It is slow when and as long as the test says."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.threads: list[str] = []

    @fastpyro.expose
    def work(self, waits: bool = False) -> str:
        if waits:
            self.gate.wait(DEADLINE)
        self.threads.append(threading.current_thread().name)
        return self.threads[-1]

    @fastpyro.expose
    @fastpyro.oneway
    def work_unawaited(self) -> None:
        self.work(True)

    @fastpyro.expose
    async def later(self) -> str:
        return "later"


class Scene:
    """A daemon in this process whose leader nobody relieves: no method looks slow unless the test says so."""

    def __init__(self, daemon: fastpyro.Daemon) -> None:
        assert isinstance(daemon.transportServer, ThreadedServer)
        self.daemon, self.server = daemon, daemon.transportServer
        self.machine = Machine()
        daemon.register(self.machine, "machine")

    def connect(self, serializer: str = "native") -> Any:
        proxy = fastpyro.Proxy(self.daemon.uriFor("machine"))
        proxy._pyroSerializer = serializer
        proxy._pyroTimeout = DEADLINE
        return proxy

    def begin_slowly(self, name: str = "work") -> None:
        """Let a method be found slow, as the monitor would."""
        with self.connect() as proxy, Peer(lambda: getattr(proxy, name)(True)):
            until(lambda: self.server.requests.is_slow(Machine, name))
            self.machine.gate.set()
        until(lambda: self.server.places.busy == 0)
        self.machine.gate.clear()
        self.machine.threads.clear()
        assert self.server.requests.is_slow(Machine, name)


@pytest.fixture
def scene() -> Iterator[Scene]:
    daemon = fastpyro.Daemon(host="127.0.0.1")
    made = Scene(daemon)
    with Peer(daemon.requestLoop):
        try:
            yield made
        finally:
            made.machine.gate.set()
            daemon.shutdown()
    daemon.close()


@pytest.mark.parametrize("serializer", ["native", "serpent"])
@pytest.mark.parametrize("how", ["call", "batch"])
def test_a_slow_call_does_not_cost_the_lead(scene: Scene, serializer: str, how: str) -> None:
    scene.begin_slowly()
    with scene.connect(serializer) as proxy, scene.connect() as other:

        def call() -> list[Any]:
            if how == "call":
                return [proxy.work(True)]
            batch = fastpyro.BatchProxy(proxy)
            batch.work(True)
            return list(batch())

        def is_led_as_before() -> bool:
            scene.machine.gate.clear()
            scene.machine.threads.clear()
            assert other.later() == "later"
            before = scene.server._leadership
            with Peer(call) as slow:
                until(lambda: scene.server.places.busy == 1)
                assert other.later() == "later"
                after = scene.server._leadership
                scene.machine.gate.set()
            assert slow.result == scene.machine.threads
            until(lambda: scene.server.places.busy == 0)
            return after is before

        until(is_led_as_before)  # at once; on a busy machine the leader may have lost the lead for another reason


def test_a_quick_call_makes_its_method_quick_again(scene: Scene) -> None:
    scene.begin_slowly()

    def once() -> bool:
        with contextlib.suppress(AttributeError):
            scene.connect().work()
        return not scene.server.requests.is_slow(Machine, "work")

    until(once)  # on a busy machine any call may look slow now and then


def test_a_coroutine_is_never_passed(scene: Scene) -> None:
    with scene.connect() as proxy:
        assert proxy.later() == "later"
        leadership = _leader.Leadership()
        connection = next(iter(scene.server.connections.values()))
        until(lambda: not connection.calls_running)  # the reply comes before the end of its request
        scene.server.requests.begin_request(leadership, connection, 0)
        scene.server.requests.note(leadership, Machine, "later", False, False)
        scene.server.requests.hand_over(leadership, scene.server.requests.watch(), True)
        assert scene.server.requests.is_slow(Machine, "later")
        scene.server.requests.end_request(leadership)
        if leadership.alone:  # over a channel that takes one message at a time
            scene.server.give_back(connection)
        assert proxy.later() == "later"
        until(lambda: not scene.server.requests.is_slow(Machine, "later"))
        assert scene.server.places.busy == 0


@pytest.mark.parametrize("handed_over", [False, True])
def test_no_call_is_lost_when_no_thread_can_be_started(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, handed_over: bool
) -> None:
    """The leader runs it, and who does not lead any more, too."""
    scene.begin_slowly()
    server = scene.server
    failed: list[bool] = []

    def refuse(*_: Any) -> None:
        if handed_over and not failed:
            server._hand_over(server._leadership, 0)
        failed.append(True)
        raise RuntimeError("can't start new thread")

    with server._lock.guard():
        monkeypatch.setattr(server.workers, "start", refuse)
    scene.machine.gate.set()
    with scene.connect() as proxy:
        until(lambda: server.workers.count == len(server.workers.standing_by) + 1)
        with server._lock.guard():
            asleep, server.workers.standing_by = server.workers.standing_by, []
        assert proxy.work() in scene.machine.threads
        assert failed
        with server._lock.guard():
            server.workers.standing_by += asleep
        assert proxy.work() in scene.machine.threads
    until(lambda: server.places.busy == 0)
