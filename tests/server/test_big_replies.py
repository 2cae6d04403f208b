"""Calls with big replies: few of them run while nobody takes the replies, and all of them are answered in the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from conversations import pattern
from server_process import SubjectServer

import fastpyro
from fastpyro.constants import MSG_INVOKE
from fastpyro.errors import MessageTooLargeError
from fastpyro.protocol._message import Outgoing
from fastpyro.serializers.registry import native
from fastpyro.server import big_replies
from fastpyro.server.big_replies import BigReplies, size_of
from fastpyro.server.replies import Postponed

DEADLINE = 30.0
MIB = 1 << 20


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


class Server:
    """What the calls of a server need of it."""

    def __init__(self) -> None:
        self.big: dict[tuple[type, str], int] = {}
        self.requests = SimpleNamespace(big=self.big, note_big=self.note_big)
        self.unsent_bytes = 0
        self.unsent = SimpleNamespace(total=lambda: self.unsent_bytes)
        self.connections: dict[int, Any] = {}
        self.answered: list[Any] = []
        self.refused: list[Any] = []
        self.held = 0
        self.daemon = None
        self.calls = BigReplies(self)  # type: ignore[arg-type]

    def note_big(self, kind: type, name: str, size: int, late: bool) -> None:
        self.big[kind, name] = -size if late else size

    def hold(self, connection: Any) -> None:
        self.held += 1

    def request_done(self, connection: Any) -> None:
        self.held -= 1

    def answer(self, connection: Any, message: Any) -> None:
        self.calls.begin(message, int, ["big"])  # as decoding does
        self.answered.append(message)

    def connect(self) -> Any:
        connection = SimpleNamespace(
            home=None, fd=len(self.connections), channel=SimpleNamespace(closed=False), calls_running=0
        )
        connection.begin_call = lambda: setattr(connection, "calls_running", connection.calls_running + 1)
        connection.end_call = lambda: setattr(connection, "calls_running", connection.calls_running - 1)
        self.connections[connection.fd] = connection
        return connection


class Request:
    """A message, as far as these calls look at it."""

    def __init__(self, size: int = 10) -> None:
        self.payload = bytes(size)
        self.buffers: list[Any] | None = None
        self.has_annotations = False
        self.annotations: dict[str, bytes] = {}


@pytest.fixture
def server() -> Server:
    return Server()


def test_calls_run_while_there_is_room_and_wait_in_order(server: Server) -> None:
    calls, size = server.calls, server.calls.most // 2
    server.big[int, "big"] = size
    running = [Request(), Request()]
    for request in running:
        calls.begin(request, int, ["small", "big"])  # type: ignore[arg-type]
    waiting = [Request() for _ in range(3)]
    for request in waiting:
        with pytest.raises(Postponed):
            calls.begin(request, int, ["big"])  # type: ignore[arg-type]
        calls.wait(server.connect(), request, size)  # type: ignore[arg-type]
    calls.begin(Request(), int, ["small"])  # type: ignore[arg-type]
    assert calls.waiting == server.held == 3
    calls.end(running[0])  # type: ignore[arg-type]
    until(lambda: server.answered == waiting[:1])
    assert calls.waiting == 2
    calls.end(running[1])  # type: ignore[arg-type]
    until(lambda: server.answered == waiting[:2])
    calls.end(waiting[0])  # type: ignore[arg-type]
    until(lambda: server.answered == waiting and server.held == 0)


def test_one_runs_however_big_it_is(server: Server) -> None:
    calls = server.calls
    assert calls.reserve(100 * calls.most)
    assert not calls.reserve(1)
    calls.release(100 * calls.most)
    server.unsent_bytes = 2 * calls.most
    assert calls.reserve(1)
    calls.release(1)
    server.unsent_bytes += 1
    assert not calls.reserve(1), "too much waits to be taken"


def test_a_call_that_waits_for_long_begins_though_much_waits(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = server.calls
    server.unsent_bytes = 3 * calls.most
    request = Request()
    calls.wait(server.connect(), request, MIB)  # type: ignore[arg-type]
    assert calls.waiting == 1
    monkeypatch.setattr(big_replies, "LONG", -1.0)
    calls.look()
    until(lambda: server.answered == [request])


def test_a_call_whose_client_has_gone_does_not_begin(server: Server) -> None:
    calls = server.calls
    assert calls.reserve(calls.most)
    gone, closed, there = (server.connect() for _ in range(3))
    requests = [Request() for _ in range(3)]
    for connection, request in zip((gone, closed, there), requests, strict=True):
        calls.wait(connection, request, MIB)  # type: ignore[arg-type]
    del server.connections[gone.fd]
    closed.channel.closed = True
    calls.release(calls.most)
    until(lambda: server.answered == requests[2:])
    until(lambda: server.held == 0)
    assert gone.calls_running == closed.calls_running == there.calls_running == 0


def test_what_waits_when_the_server_stops_is_forgotten(server: Server) -> None:
    assert server.calls.reserve(server.calls.most)
    connection = server.connect()
    server.calls.wait(connection, Request(), MIB)  # type: ignore[arg-type]
    server.calls.stop()
    assert (server.calls.waiting, connection.calls_running) == (0, 0)


def test_a_batch_ends_when_there_is_no_room_for_its_results(server: Server) -> None:
    calls = server.calls
    grown = calls.watcher(Request(), int, "<batch>")  # type: ignore[arg-type]
    grown(calls.most, 1)
    assert server.big[int, "<batch>"] == calls.most
    assert not calls.reserve(MIB)
    grown(8 * calls.most, 2)  # it is alone
    other = Request()
    with pytest.raises(MessageTooLargeError, match=r"result of call 7 .*MAX_UNSENT"):
        calls.watcher(other, int, "<batch>")(MIB, 7)  # type: ignore[arg-type]
    calls.end(other)  # type: ignore[arg-type]
    assert not calls.reserve(MIB), "the first one goes on"


def test_buffers_are_counted_in_bytes(server: Server) -> None:
    request = Request(7)
    request.buffers = [memoryview(bytes(800)).cast("d"), b"12345"]
    assert size_of(request) == 812  # type: ignore[arg-type]
    request.has_annotations, request.annotations = True, {"ABCD": b"xy", "EFGH": b""}
    assert size_of(request) == 812 + 2 + 2 * 200  # type: ignore[arg-type]
    server.calls.note(int, "parts", [memoryview(bytes(2 * MIB)).cast("d")], True)
    server.calls.note(int, "small", bytes(MIB - 1), False)
    server.calls.note(int, "text", bytes(MIB), False)
    assert server.big == {(int, "parts"): -2 * MIB, (int, "text"): 2 * MIB}


# With a daemon.


@pytest.fixture(scope="module", params=[[], ["--set", "PORTABLE=True"]], ids=["native", "portable"])
def subject(request: pytest.FixtureRequest) -> Any:
    with SubjectServer("--servertype", "thread", *request.param, "--set", "MAX_UNSENT=3_000_000") as running:
        yield running


@pytest.mark.parametrize("serializer", ["native", "serpent", "msgpack"])
def test_many_clients_get_all_their_big_replies(subject: SubjectServer, serializer: str) -> None:
    failures: list[Any] = []

    def ask(number: int) -> None:
        try:
            with fastpyro.Proxy(subject.uri()) as proxy:
                proxy._pyroSerializer = serializer
                proxy._pyroTimeout = DEADLINE
                for size in (1000, 5, 900 + number):
                    assert proxy.echo_times("ab", size * 1000) == "ab" * (size * 1000)
                    assert proxy.add(number, 1) == number + 1
                batch = fastpyro.BatchProxy(proxy)
                for _ in range(3):
                    batch.echo_times("x", 600_000)
                assert [len(text) for text in batch()] == [600_000] * 3
        except BaseException as error:
            failures.append(error)
            raise

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_pipelined_big_replies_arrive_whole(subject: SubjectServer) -> None:
    values = [pattern(size) for size in (3000, 1500, 20, 4000)]
    with fastpyro.Proxy(subject.uri()) as proxy:
        proxy._pyroTimeout = DEADLINE
        proxy._pyroBind()
        channel = proxy._pyroConnection
        assert channel is not None
        for seq, value in enumerate(values):
            payload = native.dumps_call("calculator", "echo_times", (value, 1000), {})
            channel.send(Outgoing(MSG_INVOKE, 0, seq, native.serializer_id, payload))
        got = {}
        for _ in values:
            reply = channel.receive(DEADLINE)
            got[reply.seq] = native.loads(reply.payload, reply.buffers)
        assert got == {seq: value * 1000 for seq, value in enumerate(values)}
