"""A small HTTP server that no client holds up."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest
from conversations import until

from fastpyro.compat.shared import http_server
from fastpyro.compat.shared.http_server import GatewayServer

PATIENCE = 30.0


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    body = environ["wsgi.input"].read()
    if environ["PATH_INFO"] == "/big":
        body = b"x" * (3 * http_server.PART + 1)
    if environ["PATH_INFO"] == "/fail":
        raise ValueError("no\x1b[2J\ngood")
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [environ["REQUEST_METHOD"].encode() + b" " + environ["PATH_INFO"].encode() + b" " + body]


@contextlib.contextmanager
def running() -> Iterator[GatewayServer]:
    with GatewayServer(("127.0.0.1", 0), application) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join(PATIENCE)
            assert not thread.is_alive()


@pytest.fixture
def server() -> Iterator[GatewayServer]:
    with running() as server:
        yield server


def connect(server: GatewayServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.server_port), PATIENCE)


def ask(server: GatewayServer, request: bytes) -> bytes:
    """Return all that comes as an answer to some bytes."""
    answer = bytearray()
    with connect(server) as sock:
        with contextlib.suppress(OSError):  # it may refuse, and go, before all has been sent
            sock.sendall(request)
            sock.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError):
            while part := sock.recv(65536):
                answer += part
    return bytes(answer)


def get(server: GatewayServer, path: str = "/x", data: bytes | None = None) -> bytes:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}{path}", data, PATIENCE) as answer:
        return answer.read()  # type: ignore[no-any-return]


def test_requests(server: GatewayServer) -> None:
    assert get(server) == b"GET /x "
    assert get(server, data=b"form") == b"POST /x form"
    assert len(get(server, "/big")) == 3 * http_server.PART + 1 + len(b"GET /big ")


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"Content-Length: -1", b"400"),
        (b"Content-Length: x", b"400"),
        (b"Content-Length: 5\r\nContent-Length: 6", b"400"),
        (b"Content-Length: +5", b"400"),
        (b"Content-Length: 1048577", b"413"),
        (b"Content-Length: " + b"9" * 1000, b"413"),
        (b"Transfer-Encoding: chunked", b"411"),
        (b"X: " + b"x" * 40000, b"431"),
        (b"X: x\r\n" * 20000 + b"Y: y", b"431"),
    ],
    ids=str,
)
def test_bad_requests_are_refused(server: GatewayServer, head: bytes, status: bytes) -> None:
    answer = ask(server, b"POST /x HTTP/1.0\r\n" + head + b"\r\n\r\n")
    assert answer == b"" or answer.split()[1] == status  # a client that still sends may miss it
    assert get(server) == b"GET /x "


def test_half_a_body_is_no_request(server: GatewayServer) -> None:
    assert ask(server, b"POST /x HTTP/1.0\r\nContent-Length: 5\r\n\r\nabc") == b""
    assert ask(server, b"") == b""


def test_idle_connections_hold_nobody_up(server: GatewayServer) -> None:
    with contextlib.ExitStack() as stack:
        idle = [stack.enter_context(connect(server)) for _ in range(3 * http_server.MOST_CONNECTIONS)]
        for _ in range(5):
            assert get(server) == b"GET /x "
        assert server._taken <= http_server.MOST_CONNECTIONS + 20
        assert idle[0].recv(1) == b"", "the oldest has gone"


def test_who_dawdles_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "REQUEST_SECONDS", 0.2)
    with running() as server, connect(server) as slow:
        ended = threading.Event()

        def drip() -> None:
            with contextlib.suppress(OSError):
                while not ended.wait(0.02):
                    slow.sendall(b"G")

        thread = threading.Thread(target=drip)
        thread.start()
        try:
            assert slow.recv(1) == b""
        except ConnectionError:
            pass
        finally:
            ended.set()
            thread.join(PATIENCE)


def test_too_many_at_work_are_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "MOST_CONNECTIONS", 2)
    gate, busy = threading.Event(), threading.Semaphore(0)

    def waiting(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        busy.release()
        gate.wait(PATIENCE)
        return application(environ, start_response)

    with running() as server:
        server.set_app(waiting)
        with connect(server) as one, connect(server) as other:
            for sock in (one, other):
                sock.sendall(b"GET /x HTTP/1.0\r\n\r\n")
                assert busy.acquire(timeout=PATIENCE)
            with connect(server) as third:
                assert third.recv(1000).startswith(b"HTTP/1.0 503")
            gate.set()
            for sock in (one, other):
                assert sock.recv(1000).startswith(b"HTTP/1.0 200")


def test_one_address_leaves_places_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "MOST_OF_ONE", 2)
    gate, busy = threading.Event(), threading.Semaphore(0)

    def waiting(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/slow":
            busy.release()
            gate.wait(PATIENCE)
        return application(environ, start_response)

    with running() as server, contextlib.ExitStack() as stack:
        server.set_app(waiting)
        for _ in range(2):
            stack.enter_context(connect(server)).sendall(b"GET /slow HTTP/1.0\r\n\r\n")
            assert busy.acquire(timeout=PATIENCE)
        with connect(server) as third:
            assert third.recv(1000).startswith(b"HTTP/1.0 503")
        elsewhere = ("127.0.0.2", 0)
        with socket.create_connection(("127.0.0.1", server.server_port), PATIENCE, elsewhere) as other:
            other.sendall(b"GET /x HTTP/1.0\r\n\r\n")
            assert other.recv(1000).startswith(b"HTTP/1.0 200")
        gate.set()
        until(lambda: not server._taken_by)


def test_who_hangs_up_gives_the_place_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "LOOK_SECONDS", 0.05)
    busy, ended = threading.Semaphore(0), threading.Semaphore(0)

    def waiting(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        gone = threading.Event()
        environ[http_server.WHEN_GONE](gone.set)
        environ[http_server.WHEN_GONE](lambda: 1 / 0)  # what an action raises is no matter
        busy.release()
        assert gone.wait(PATIENCE)
        ended.release()
        return application(environ, start_response)

    with running() as server:
        server.set_app(waiting)
        with connect(server) as client, connect(server) as aborting:
            for sock in (client, aborting):
                sock.sendall(b"GET /x HTTP/1.0\r\n\r\n")
                assert busy.acquire(timeout=PATIENCE)
            assert not ended.acquire(timeout=0.2), "both are still there"
            aborting.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            aborting.close()
            assert ended.acquire(timeout=PATIENCE)
        assert ended.acquire(timeout=PATIENCE)
        server.set_app(application)
        assert get(server) == b"GET /x "


def test_threads_that_cannot_be_started(server: GatewayServer, monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start
    failures = [RuntimeError("can't start new thread"), MemoryError()]

    def failing(thread: threading.Thread) -> None:
        if "process_request" in thread.name and failures:
            raise failures.pop()
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", failing)
    assert ask(server, b"GET /x HTTP/1.0\r\n\r\n") == b""
    assert ask(server, b"GET /x HTTP/1.0\r\n\r\n") == b""
    assert ask(server, b"GET /x HTTP/1.0\r\n\r\n").endswith(b"GET /x ")


def test_what_it_prints_is_harmless(server: GatewayServer, capfd: pytest.CaptureFixture[str]) -> None:
    ask(server, b"GET /x?$key=hidden_key&a=1\x1b[2J HTTP/1.0\r\n\r\n")
    ask(server, b"GET /fail?%24key=hidden_key HTTP/1.0\r\n\r\n")
    ask(server, b"GET /x?b=2&%24%6bey=hidden_key&%24KEY=hidden_key HTTP/1.0\r\n\r\n")
    printed = capfd.readouterr().err
    assert "\x1b" not in printed
    assert "hidden_key" not in printed
    assert "$key=<hidden>&a=1" in printed
    assert r"no\x1b[2J\ngood" in printed.replace("\\\\", "\\")
