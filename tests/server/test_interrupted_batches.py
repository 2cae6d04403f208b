"""A server of one thread interrupts a batch while others wait; nobody who sends one notices."""

from __future__ import annotations

import contextlib
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hostile import packer
from socket_pairs import DEADLINE

import fastpyro
from fastpyro.config import config
from fastpyro.protocol._call_context import CallState
from fastpyro.server.interrupted_batches import InterruptedBatches
from fastpyro.server.replies import UnfinishedBatch

SERVER = """
import sys
import time
import fastpyro

def work(seconds):
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass

@fastpyro.expose
class Subject:
    def __init__(self):
        self.reset()

    def reset(self):
        self.between = 0
        self.order = []

    def work(self, number, seconds=0.001):
        # Counts the calls of batches that come without another client's in between.
        self.between += 1
        self.order.append((fastpyro.current_context.client.peer_address, number))
        work(seconds)
        fastpyro.current_context.response_annotations["LAST"] = str(number).encode()
        return number

    def fail(self):
        raise ValueError("failed")

    def quick(self):
        between, self.between = self.between, 0
        return between

    def seen(self):
        return self.order

    def correlation(self):
        work(0.001)
        return str(fastpyro.current_context.correlation_id)

    @fastpyro.oneway
    def stop(self):
        daemon.shutdown()

fastpyro.config.SERVERTYPE = sys.argv[1]
daemon = fastpyro.Daemon(host="127.0.0.1")
uri = daemon.register(Subject(), "subject")
print(uri, flush=True)
daemon.requestLoop()
print("ended", flush=True)
"""


@pytest.fixture(params=["native", "serpent"])
def serializer(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@contextlib.contextmanager
def serving(folder: Path) -> Iterator[str]:
    script = folder / "subject.py"
    script.write_text(SERVER)
    with subprocess.Popen([sys.executable, script, "multiplex"], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        try:
            yield server.stdout.readline().strip()
        finally:
            server.kill()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("multiplex")) as uri:
        yield uri


@pytest.fixture
def uri(shared: str) -> str:
    with connected(shared) as proxy:
        proxy.reset()
    return shared


def connected(uri: str, serializer: str = "native") -> Any:
    proxy = fastpyro.Proxy(uri)
    proxy._pyroSerializer = serializer
    proxy._pyroTimeout = DEADLINE
    proxy._pyroBind()
    return proxy


@contextlib.contextmanager
def another(uri: str, errors: bool = False) -> Iterator[list[int]]:
    """Another client asks again and again how many calls of batches came since it did so last; till the daemon has gone."""
    counts: list[int] = []
    over = threading.Event()
    begun = threading.Event()

    def ask() -> None:
        allowed = [fastpyro.errors.CommunicationError] if errors else []
        with contextlib.suppress(*allowed), connected(uri) as proxy:
            while not over.is_set() and len(counts) < 100_000:
                counts.append(proxy.quick())
                begun.set()

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        assert begun.wait(DEADLINE)
        yield counts
    finally:
        over.set()
        thread.join(DEADLINE)
        assert not thread.is_alive()


def test_others_have_their_turn_between_its_calls(uri: str, serializer: str) -> None:
    with connected(uri, serializer) as proxy, another(uri) as counts:
        batch = fastpyro.BatchProxy(proxy)
        for number in range(200):
            batch.work(number)
        assert list(batch()) == list(range(200))
        assert proxy.quick() >= 0
        assert [number for _, number in proxy.seen()] == list(range(200))
        assert bytes(fastpyro.current_context.response_annotations.get("LAST", b"")) == b""
    assert len(counts) > 20
    assert max(counts) < 100, "it was 200"


def test_many_batches_at_once_are_each_in_order(uri: str, serializer: str) -> None:
    """And what a client sends behind its batch comes behind it."""
    proxies = [connected(uri, serializer) for _ in range(4)]
    try:
        results: list[Any] = []

        def run(proxy: Any, first: int) -> None:
            batch = fastpyro.BatchProxy(proxy)
            for number in range(first, first + 50):
                batch.work(number)
            got = list(batch())
            results.append((got == list(range(first, first + 50)), proxy.quick() >= 0))

        threads = [threading.Thread(target=run, args=(proxy, 100 * n)) for n, proxy in enumerate(proxies)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE)
        assert results == [(True, True)] * 4
        with connected(uri) as proxy:
            order = proxy.seen()
            assert len(order) == 200
            for n in range(4):
                assert [number for _, number in order if number // 100 == n] == list(range(100 * n, 100 * n + 50))
    finally:
        for proxy in proxies:
            proxy._pyroRelease()


def test_an_error_ends_it_where_it_is(uri: str, serializer: str) -> None:
    with connected(uri, serializer) as proxy, another(uri):
        batch = fastpyro.BatchProxy(proxy)
        for number in range(30):
            batch.work(number)
        batch.fail()
        batch.work(99)
        results = iter(batch())
        assert [next(results) for _ in range(30)] == list(range(30))
        with pytest.raises(ValueError, match="failed"):
            next(results)
        assert len(proxy.seen()) == 30


def test_the_context_of_its_calls_goes_on(uri: str) -> None:
    with connected(uri) as proxy, another(uri):
        batch = fastpyro.BatchProxy(proxy)
        for _ in range(30):
            batch.correlation()
        batch.work(7)
        results = list(batch())
        assert len(set(results[:30])) == 1
        assert bytes(fastpyro.current_context.response_annotations["LAST"]) == b"7"


def test_a_oneway_batch_is_performed_to_its_end(uri: str, serializer: str) -> None:
    with connected(uri, serializer) as proxy, another(uri):
        batch = fastpyro.BatchProxy(proxy)
        for number in range(50):
            batch.work(number)
        batch(oneway=True)
        assert [number for _, number in proxy.seen()] == list(range(50))


def test_a_client_that_goes_meanwhile_ends_nothing(uri: str) -> None:
    with another(uri) as counts, connected(uri) as after:
        with connected(uri) as proxy:
            batch = fastpyro.BatchProxy(proxy)
            for number in range(100):
                batch.work(number)
            batch(oneway=True)
        for _ in range(10_000):
            if len(after.seen()) == 100:
                break
        assert [number for _, number in after.seen()] == list(range(100))
    assert counts


def test_one_that_shuts_the_daemon_down_is_answered(tmp_path: Path) -> None:
    """And so is another one that has begun, to its last call."""
    with serving(tmp_path) as uri, connected(uri) as proxy, connected(uri) as other, another(uri, errors=True):
        batch, long = fastpyro.BatchProxy(proxy), fastpyro.BatchProxy(other)
        for number in range(200):
            long.work(1000 + number)
        results: list[Any] = []
        thread = threading.Thread(target=lambda: results.extend(long()))
        thread.start()
        for number in range(30):
            batch.work(number)
        batch.stop()
        batch.work(30)
        assert [one for one in batch() if one is not None] == list(range(31))
        thread.join(DEADLINE)
        assert results == list(range(1000, 1200))


def test_a_batch_that_an_interrupt_ends_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """A foreign loop that is interrupted goes on; the other batch is performed to its end, though the daemon is closed."""
    monkeypatch.setattr(config, "SERVERTYPE", "multiplex")
    seen: list[str] = []

    @fastpyro.expose
    class Subject:
        def one(self, name: str, interrupt: bool = False) -> None:
            until = time.perf_counter() + 0.0005
            while time.perf_counter() < until:
                pass
            seen.append(name)
            if interrupt:
                raise KeyboardInterrupt

    with fastpyro.Daemon(host="127.0.0.1") as daemon:
        uri = daemon.register(Subject())
        answers: list[socket.socket] = []
        hello = packer.connect(object_id=str(uri.object))
        calls = [["one", ["b"], None]] * 20
        for batch in ([["one", ["a"], None], ["one", ["a", True], None]], calls):
            client = socket.create_connection(("127.0.0.1", uri.port), timeout=DEADLINE)
            client.sendall(hello + packer.batch(batch, object_id=str(uri.object)))
            answers.append(client)

        def turns(until: Callable[[], bool]) -> None:
            for _ in range(1000):
                if until():
                    break
                ready, _, _ = select.select(daemon.sockets, [], [], DEADLINE)
                assert ready
                daemon.events(ready)

        with pytest.raises(KeyboardInterrupt):
            turns(lambda: False)
        turns(lambda: "b" in seen)
        assert 0 < seen.count("b") < 20
    assert seen.count("b") == 20
    for client in answers:
        assert packer.read_message(client).kind == packer.CONNECTOK
        assert packer.read_message(client).kind == packer.RESULT
        client.close()


class Idle:
    """Stands for a connection."""

    def begin_call(self) -> None:
        pass

    def end_call(self) -> None:
        pass


class Quiet:
    """Stands for a server."""

    draining = SimpleNamespace(begun=False)

    def __init__(self) -> None:
        self.daemon = SimpleNamespace(held_memory=SimpleNamespace(held=0))

    def hold(self, connection: Any) -> None:
        pass

    request_done = hold

    def wakeup(self) -> None:
        pass


def waiting(batches: Any, size: int, results: int | None = 0) -> Any:
    """Add a batch whose message has that many bytes, and its results that many, None when it has not begun."""
    connection = Idle()
    message: Any = SimpleNamespace(payload=bytes(size), buffers=None, has_annotations=False)
    batches.add(connection, message, None if results is None else UnfinishedBatch(lambda: None, CallState(), results))
    return connection, message


def served(batches: Any) -> Any:
    one = batches.next()
    assert one is not None
    batches.done(one.connection)
    return one.connection


def test_they_take_turns_until_they_hold_much(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "MAX_QUEUED", 1000)
    batches = InterruptedBatches(cast(Any, Quiet()), lambda: True)
    first, _ = waiting(batches, 100)
    second, message = waiting(batches, 100, 300)
    assert batches.interrupts(message)
    assert not batches.keeps_waiting(message)
    assert [served(batches), served(batches)] == [first, second]
    first, _ = waiting(batches, 100, 300)
    second, _ = waiting(batches, 100, 501)
    assert batches.is_full
    assert batches.keeps_waiting(message)
    third, _ = waiting(batches, 100, None)
    assert batches.begun() == {first, second}
    assert served(batches) is second, "it goes on to its end"
    second, _ = waiting(batches, 100, 800)
    assert served(batches) is second
    assert {served(batches), served(batches)} == {first, third}
    assert batches.next() is None
    assert len(batches) == 0


def test_arguments_that_take_much_memory_let_no_other_begin(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Quiet()
    batches = InterruptedBatches(cast(Any, server), lambda: True)
    server.daemon.held_memory.held = config.DECODE_MEMORY + 1
    assert not batches.is_full, "somebody else has it"
    _, message = waiting(batches, 100)
    assert batches.keeps_waiting(message)


def test_what_has_arrived_of_those_that_wait_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "MAX_QUEUED", 1000)
    batches = InterruptedBatches(cast(Any, Quiet()), lambda: True)
    _, message = waiting(batches, 501)
    assert not batches.interrupts(message), "it is performed as a whole"
    assert not batches.keeps_waiting(message)
    served(batches)
    assert batches.interrupts(message)
    batches.finishing = True
    assert not batches.interrupts(message)
