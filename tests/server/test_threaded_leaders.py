"""Who leads, who waits, and who is refused: the rules of the threaded server's leaderships, each at its weak moment.

The server runs in this process, so that a test can hold its methods and hooks at any point.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from conversations import until
from socket_pairs import DEADLINE, Peer

import fastpyro
from fastpyro.constants import MSG_CONNECT, MSG_CONNECTOK, MSG_INVOKE, MSG_RESULT
from fastpyro.errors import ServerOverloadedError
from fastpyro.protocol._assembler import Decoder
from fastpyro.protocol._message import pack_message
from fastpyro.serializers.registry import native
from fastpyro.server import threaded
from fastpyro.server.call_queue import place_of
from fastpyro.server.threaded import ThreadedServer


class Gate:
    """Where methods wait: ``wait_for`` returns when so many are inside, ``open`` lets all of them go on."""

    def __init__(self) -> None:
        self._arrived = threading.Semaphore(0)
        self._open = threading.Event()

    def pass_through(self) -> bool:
        self._arrived.release()
        return self._open.wait(DEADLINE)

    def wait_for(self, count: int) -> None:
        for _ in range(count):
            assert self._arrived.acquire(timeout=DEADLINE)

    def open(self) -> None:
        self._open.set()


class Worker:
    def __init__(self, gate: Gate) -> None:
        self.gate = gate
        self.noted: list[Any] = []

    @fastpyro.expose
    def wait(self) -> bool:
        return self.gate.pass_through()

    @fastpyro.expose
    def null(self) -> None:
        return None

    @fastpyro.expose
    @fastpyro.oneway
    def note(self, value: Any) -> None:
        self.noted.append(value)


class Overlap:
    """Notes how many are inside at once."""

    def __init__(self) -> None:
        self.inside = self.most = self.made = 0
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        try:
            yield
        finally:
            with self._lock:
                self.inside -= 1


@contextlib.contextmanager
def serving(daemon: fastpyro.Daemon) -> Iterator[ThreadedServer]:
    server = daemon.transportServer
    assert isinstance(server, ThreadedServer)
    with Peer(daemon.requestLoop):
        try:
            yield server
        finally:
            daemon.shutdown()
    daemon.close()


@contextlib.contextmanager
def settings(**values: Any) -> Iterator[None]:
    before = {name: getattr(fastpyro.config, name) for name in values}
    try:
        for name, value in values.items():
            setattr(fastpyro.config, name, value)
        yield
    finally:
        for name, value in before.items():
            setattr(fastpyro.config, name, value)


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.open()


def connect(daemon: fastpyro.Daemon, name: str) -> fastpyro.Proxy:
    proxy = fastpyro.Proxy(f"PYRO:{name}@{daemon.locationStr}")
    proxy._pyroTimeout = DEADLINE
    proxy._pyroBind()
    return proxy


def send_at_once(proxy: fastpyro.Proxy, name: str, *methods: str) -> None:
    """Send several requests in one piece, so that all but the first wait in the server's buffer."""
    requests = [native.dumps_call(name, method, (), {}) for method in methods]
    data = [
        pack_message(MSG_INVOKE, 0, seq, native.serializer_id, payload) for seq, payload in enumerate(requests, 1000)
    ]
    channel: Any = proxy._pyroConnection
    channel.sock.sendall(b"".join(data))


def replies(proxy: fastpyro.Proxy, count: int) -> list[Any]:
    channel: Any = proxy._pyroConnection
    return [native.loads(channel.receive(DEADLINE).payload) for _ in range(count)]


def leaders() -> int:
    """Return how many threads lead."""
    count = 0
    for frame in list(sys._current_frames().values()):
        step: Any = frame
        while step is not None:
            count += step.f_code is ThreadedServer._lead.__code__
            step = step.f_back
    return count


def pretend_silence(server: ThreadedServer) -> None:
    """Let all connections have been silent for longer than COMMTIMEOUT, and the leader look at that."""
    for connection in list(server.connections.values()):
        connection.last_used -= 1000
    server.timeout = 500.0
    server._next_look = 0.0
    server.wakeup()


def pause(seconds: float = 0.01) -> None:
    """Be a slow method: so long that the lead is handed over."""
    threading.Event().wait(seconds)


def test_requests_in_buffers_outlive_their_leader(gate: Gate) -> None:
    """Several connections come back with requests in their buffers; the first one's request costs the leader its lead."""

    @fastpyro.behavior(instance_mode="session")
    class Session:
        @fastpyro.expose
        def wait(self) -> str:
            gate.pass_through()
            return "waited"

        @fastpyro.expose
        def slow(self) -> str:
            pause()
            return "slow"

    daemon = fastpyro.Daemon(host="127.0.0.1")
    daemon.register(Session, "session")
    with serving(daemon), contextlib.ExitStack() as stack:
        proxies = [stack.enter_context(connect(daemon, "session")) for _ in range(8)]
        for proxy in proxies:
            send_at_once(proxy, "session", "wait", "slow", "slow", "slow")
        gate.wait_for(len(proxies))
        gate.open()
        for proxy in proxies:
            assert replies(proxy, 4) == ["waited", "slow", "slow", "slow"]


@pytest.mark.parametrize("oneway", [False, True])
def test_a_session_object_is_made_once_and_called_by_one_thread(oneway: bool) -> None:
    """Even when its constructor is slow, and its calls come from many threads at once."""
    overlap = Overlap()

    @fastpyro.behavior(instance_mode="session")
    class Session:
        def __init__(self) -> None:
            overlap.made += 1
            with overlap():
                pause()

        @fastpyro.expose
        def work(self) -> None:
            with overlap():
                pause(0.005)

        @fastpyro.expose
        @fastpyro.oneway
        def work_unawaited(self) -> None:
            self.work()

    daemon = fastpyro.Daemon(host="127.0.0.1")
    daemon.register(Session, "session")
    with serving(daemon), connect(daemon, "session") as proxy:
        start = threading.Barrier(6)

        def call() -> None:
            start.wait(DEADLINE)
            for _ in range(3):
                if oneway:
                    proxy.work_unawaited()
                proxy.work()

        with contextlib.ExitStack() as stack:
            for _ in range(6):
                stack.enter_context(Peer(call))
    assert (overlap.made, overlap.most) == (1, 1)


def test_a_slow_hook_costs_the_leader_the_lead_for_good(gate: Gate) -> None:
    """A client is dropped for its silence, and the hook that is told of it takes long."""

    class Daemon(fastpyro.Daemon):
        def clientDisconnect(self, conn: Any) -> None:
            gate.pass_through()

    daemon = Daemon(host="127.0.0.1")
    daemon.register(Worker(gate), "worker")
    with serving(daemon) as server:
        silent = connect(daemon, "worker")
        pretend_silence(server)
        gate.wait_for(1)
        witness = connect(daemon, "worker")  # somebody else leads
        witness.null()
        until(lambda: leaders() == 2)  # the one in the hook has not returned yet
        gate.open()
        until(lambda: leaders() == leaders() == 1)
        silent._pyroRelease()
        witness._pyroRelease()


def test_nothing_that_a_result_does_ends_the_leader(gate: Gate) -> None:
    class Odd:
        pass

    class Giver(Worker):
        @fastpyro.expose
        def give(self) -> Any:
            return Odd()

        @fastpyro.expose
        def give_with_annotations(self) -> Any:
            fastpyro.current_context.response_annotations = {"MORE": b"x"}
            return Odd()

    def convert(_: Any) -> Any:
        raise SystemExit("not the server")

    fastpyro.register_class_to_dict(Odd, convert)
    daemon = fastpyro.Daemon(host="127.0.0.1")
    daemon.register(Giver(gate), "giver")
    try:
        with serving(daemon), connect(daemon, "giver") as proxy:
            proxy._pyroTimeout = 5
            for give in (proxy.give, proxy.give_with_annotations):
                with pytest.raises(Exception, match="not the server"):
                    give()
                assert proxy.null() is None
    finally:
        fastpyro.unregister_class_to_dict(Odd)


def test_what_a_full_server_does(gate: Gate) -> None:
    """Two run, three wait and get their results; the sixth is refused at once; quick calls are served."""
    with settings(THREADPOOL_SIZE=2, REQUEST_QUEUE_SIZE=3):
        daemon = fastpyro.Daemon(host="127.0.0.1")
    worker = Worker(gate)
    daemon.register(worker, "worker")
    with serving(daemon) as server, contextlib.ExitStack() as stack:
        proxies = [stack.enter_context(connect(daemon, "worker")) for _ in range(6)]
        callers: list[Peer] = []

        def call(proxy: fastpyro.Proxy, reached: Callable[[], object]) -> None:
            callers.append(stack.enter_context(Peer(proxy.wait)))
            until(reached)

        for count, proxy in enumerate(proxies[:2], 1):
            call(proxy, partial(lambda count: server.places.busy == count, count))
        gate.wait_for(2)
        for count, proxy in enumerate(proxies[2:5], 1):
            call(proxy, partial(lambda count: server.places.waiting == count, count))
        before = time.monotonic()
        for _ in range(2):
            with pytest.raises(ServerOverloadedError, match="REQUEST_QUEUE_SIZE"):
                proxies[5].wait()
        proxies[5].note("quick")
        proxies[5].null()
        assert time.monotonic() - before < 1
        gate.open()
        for caller in callers:
            caller.thread.join(DEADLINE)
        assert [caller.result for caller in callers] == [True] * 5
        until(lambda: server.places.busy == 0)
        assert proxies[5].wait() is True
        assert worker.noted == ["quick"]
        assert (server.places.waiting, server.places.waiting_bytes) == (0, 0)


def test_who_waits_in_the_queue_is_not_silent(gate: Gate) -> None:
    with settings(THREADPOOL_SIZE=1):
        daemon = fastpyro.Daemon(host="127.0.0.1")
    daemon.register(Worker(gate), "worker")
    with serving(daemon) as server, contextlib.ExitStack() as stack:
        silent, *proxies = [stack.enter_context(connect(daemon, "worker")) for _ in range(3)]
        callers = []
        for count, proxy in enumerate(proxies, 1):
            callers.append(stack.enter_context(Peer(proxy.wait)))
            until(partial(lambda count: server.places.busy + server.places.waiting == count, count))
        assert len(server.connections) == 3
        pretend_silence(server)
        until(lambda: len(server.connections) == 2)
        with pytest.raises(fastpyro.errors.ConnectionClosedError):
            silent.null()
        gate.open()
        for caller in callers:
            caller.thread.join(DEADLINE)
        assert [caller.result for caller in callers] == [True, True]
        until(lambda: not any(connection.calls_running for connection in server.connections.values()))


def test_waiting_requests_end_with_the_server(gate: Gate) -> None:
    with settings(THREADPOOL_SIZE=1, REQUEST_QUEUE_SIZE=3):
        daemon = fastpyro.Daemon(host="127.0.0.1")
    daemon.register(Worker(gate), "worker")
    with contextlib.ExitStack() as stack:
        with serving(daemon) as server:
            for count in range(4):
                proxy = stack.enter_context(connect(daemon, "worker"))

                def call(proxy: fastpyro.Proxy = proxy) -> None:
                    with pytest.raises(fastpyro.errors.CommunicationError):
                        proxy.wait()

                stack.enter_context(Peer(call))
                until(partial(lambda count: server.places.busy + server.places.waiting == count + 1, count))
            before = time.monotonic()
        assert time.monotonic() - before < 4
        gate.open()  # only now the method that runs can end


@pytest.mark.parametrize("slow_first", [True, False])
def test_a_method_is_taken_for_slow_as_long_as_it_is(slow_first: bool, gate: Gate) -> None:
    """One call that took long makes its method step down the next time; a quick one makes it a quick method again."""
    names: list[str] = []

    class Moody(Worker):
        @fastpyro.expose
        def work(self, seconds: float) -> None:
            names.append(threading.current_thread().name)
            if seconds:
                pause(seconds)

    daemon = fastpyro.Daemon(host="127.0.0.1")
    daemon.register(Moody(gate), "moody")
    with serving(daemon) as server, connect(daemon, "moody") as proxy:
        if slow_first:
            proxy.work(0.02)
        for _ in range(50):
            proxy.work(0)

        def led_by_one() -> bool:
            until(lambda: server.places.busy == 0)
            names.clear()
            for _ in range(50):
                proxy.work(0)
            return max(names.count(name) for name in names) >= 40

        until(led_by_one)  # soon; on a loaded machine any call may look slow now and then


def test_nothing_overtakes_a_slow_handshake(gate: Gate) -> None:
    """The client sends its first call behind its CONNECT; whoever takes over leaves it until that is answered."""

    class Careful(fastpyro.Daemon):
        def validateHandshake(self, conn: Any, data: Any) -> Any:
            return gate.pass_through() if data == "slow" else "hello"

    daemon = Careful(host="127.0.0.1")
    daemon.register(Worker(gate), "worker")
    connect_message = native.dumps({"handshake": "slow", "object": "worker"})
    call = native.dumps_call("worker", "null", (), {})
    with serving(daemon) as server, connect(daemon, "worker") as proxy:
        host, _, port = daemon.locationStr.rpartition(":")
        with socket.create_connection((host, int(port)), DEADLINE) as client:
            client.sendall(
                pack_message(MSG_CONNECT, 0, 0, native.serializer_id, connect_message)
                + pack_message(MSG_INVOKE, 0, 1, native.serializer_id, call)
            )
            gate.wait_for(1)
            until(lambda: server.places.busy == 1)
            for _ in range(3):
                proxy.null()
            gate.open()
            kinds: list[int] = []
            decoder = Decoder()
            while len(kinds) < 2:
                data = client.recv(4096)
                assert data, kinds
                decoder.feed(data)
                while (message := decoder.next_message()) is not None:
                    kinds.append(message.kind)
        assert kinds == [MSG_CONNECTOK, MSG_RESULT]


@pytest.mark.parametrize("instance_mode", ["single", "session"])
def test_a_request_may_end_while_its_lead_is_handed_over(
    gate: Gate, monkeypatch: pytest.MonkeyPatch, instance_mode: Any
) -> None:
    """The former leader is done before the other one has noted which place it takes."""
    ended: list[bool] = []

    @fastpyro.behavior(instance_mode=instance_mode)
    class Waiting(Worker):
        def __init__(self) -> None:
            super().__init__(gate)

    daemon = fastpyro.Daemon(host="127.0.0.1")
    daemon.register(Waiting, "worker")
    with serving(daemon) as server, connect(daemon, "worker") as proxy:
        proxy.null()

        def place_of_late(*args: Any) -> Any:
            leadership = server._leadership
            if gate._arrived._value and not ended:
                gate.open()
                until(lambda: leadership.connection is None)
                ended.append(True)
            return place_of(*args)

        monkeypatch.setattr(threaded, "place_of", place_of_late)
        assert proxy.wait() is True
        until(lambda: ended)
        assert [proxy.null() for _ in range(10)] == [None] * 10
        with connect(daemon, "worker") as other:
            other.null()
        until(lambda: server.places.busy == 0)


def test_neither_the_monitor_nor_a_worker_ends_by_an_error(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever fails while a lead is handed over, others go on to be served."""
    failed: list[bool] = []

    def fail_once(*args: Any) -> Any:
        if not failed:
            failed.append(True)
            raise MemoryError
        return place_of(*args)

    daemon = fastpyro.Daemon(host="127.0.0.1")
    daemon.register(Worker(gate), "worker")
    with serving(daemon) as server, connect(daemon, "worker") as proxy, connect(daemon, "worker") as other:
        other.null()
        monkeypatch.setattr(threaded, "place_of", fail_once)
        with Peer(proxy.wait):
            gate.wait_for(1)
            until(lambda: failed)
            assert [other.null() for _ in range(10)] == [None] * 10
            gate.open()
        until(lambda: server.places.busy == 0)
        assert [other.null() for _ in range(10)] == [None] * 10
