"""When things go wrong: timeouts, daemons that are away, die, or answer nonsense; forks and interrupts."""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from server_process import SubjectServer

import fastpyro
from fastpyro import errors
from fastpyro.constants import MSG_RESULT
from fastpyro.protocol._message import pack_message
from fastpyro.serializers.registry import native


@pytest.fixture(scope="module", params=["thread", "multiplex"])
def server(request: pytest.FixtureRequest) -> Iterator[SubjectServer]:
    with SubjectServer("--servertype", request.param) as running:
        yield running


@pytest.fixture
def proxy(server: SubjectServer) -> Iterator[Any]:
    with fastpyro.Proxy(server.uri()) as connected:
        yield connected


def test_timeout_closes_the_connection_and_the_next_call_is_right(server: SubjectServer) -> None:
    with fastpyro.Proxy(server.uri()) as proxy:
        assert proxy._pyroTimeout is None
        proxy._pyroTimeout = 0.15
        before = time.monotonic()
        with pytest.raises(errors.TimeoutError) as caught:
            proxy.sleep(0.6)
        assert isinstance(caught.value, TimeoutError)
        assert time.monotonic() - before < 0.55
        assert proxy._pyroConnection is None
        proxy._pyroTimeout = 10
        assert proxy.add(20, 22) == 42
        proxy._pyroTimeout = None
        assert proxy._pyroTimeout is None
    with pytest.raises(ValueError, match="timeout"):
        proxy._pyroTimeout = -1


def test_global_timeout(server: SubjectServer) -> None:
    fastpyro.config.COMMTIMEOUT = 0.15
    try:
        with fastpyro.Proxy(server.uri()) as proxy:
            assert proxy._pyroTimeout == 0.15
            with pytest.raises(errors.TimeoutError):
                proxy.sleep(0.6)
    finally:
        fastpyro.config.COMMTIMEOUT = 0


def test_daemon_that_is_away() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    proxy = fastpyro.Proxy(f"PYRO:x@127.0.0.1:{port}")
    with pytest.raises(errors.CommunicationError, match="cannot connect to 127") as caught:
        proxy._pyroBind()
    assert isinstance(caught.value.__cause__, ConnectionRefusedError)
    with pytest.raises(errors.ConnectionClosedError, match=r"in 2 tries: cannot connect to .*refused") as failed:
        proxy._pyroReconnect(tries=2, pause=0.01)
    assert isinstance(failed.value.__cause__, errors.CommunicationError)


def test_unknown_object_and_refused_handshake(server: SubjectServer) -> None:
    with pytest.raises(errors.CommunicationError, match="rejected: unknown object"):
        fastpyro.Proxy(server.uri("nobody"))._pyroBind()
    proxy = fastpyro.Proxy(server.uri())
    proxy._pyroHandshake = "refuse me"
    with pytest.raises(errors.CommunicationError, match="you asked for it"):
        proxy._pyroBind()
    assert proxy._pyroConnection is None


def test_client_may_refuse_the_daemon(server: SubjectServer) -> None:
    class Choosy(fastpyro.Proxy):
        def _pyroValidateHandshake(self, response: Any) -> None:
            assert response == {"you said": "hello"}
            raise ValueError("not this one")

    proxy = Choosy(server.uri())
    with pytest.raises(ValueError, match="not this one"):
        proxy.add(1, 1)
    assert proxy._pyroConnection is None


def test_server_that_dies_in_the_middle_of_a_call() -> None:
    with SubjectServer() as server, fastpyro.Proxy(server.uri("controls")) as proxy:
        with pytest.raises(errors.ConnectionClosedError):
            proxy.die()
        assert server.wait_for_end() == 1
        with pytest.raises(errors.CommunicationError, match="cannot connect"):
            proxy.connections()


def test_reconnect_after_the_server_was_started_again() -> None:
    with SubjectServer() as server:
        port = server.location.rpartition(":")[2]
        uri = server.uri()
        proxy: Any = fastpyro.Proxy(uri)
        assert proxy.add(1, 1) == 2
        server.kill()
        with pytest.raises(errors.CommunicationError):
            proxy.add(1, 1)
        with SubjectServer("--port", port):
            proxy._pyroReconnect(tries=100, pause=0.05)
            assert proxy.add(2, 2) == 4
            proxy._pyroRelease()


def test_retries_after_a_lost_connection() -> None:
    with SubjectServer() as server:
        port = server.location.rpartition(":")[2]
        proxy: Any = fastpyro.Proxy(server.uri())
        proxy._pyroMaxRetries = 2
        assert proxy.add(1, 1) == 2
        server.kill()
        with SubjectServer("--port", port):
            assert proxy.add(1, 2) == 3
            proxy._pyroRelease()


def test_unix_socket(tmp_path: Any) -> None:
    path = str(tmp_path / "daemon.sock")
    with SubjectServer("--unixsocket", path) as server:
        assert server.location == f"./u:{path}"
        with fastpyro.Proxy(server.uri()) as proxy:
            assert proxy.add(1, 2) == 3
            assert "Unix" in repr(proxy)
            server.interrupt()
            assert server.wait_for_end() == 0
    assert not os.path.exists(path)


def fake_daemon(answers: list[bytes]) -> tuple[str, threading.Thread]:
    """A server that shakes hands properly and then answers whatever it was told to, one for each request."""
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> socket.socket:
        while True:  # a stranger that looks for somebody else at this port, who used it before, is not served
            client = listener.accept()[0]
            client.settimeout(10)
            with contextlib.suppress(ConnectionError):
                if b"fake" in client.recv(65536):
                    return client
            client.close()

    def serve() -> None:
        with listener, accept() as client:
            metadata = {"methods": ["add"], "attrs": [], "oneway": []}
            payload = native.dumps({"handshake": "hello", "meta": metadata})
            client.sendall(pack_message(2, 0, 0, native.serializer_id, payload, {"FAST": b"\x01"}))
            for answer in answers:
                client.recv(65536)
                client.sendall(answer)

    thread = threading.Thread(target=serve)
    thread.start()
    return "PYRO:fake@{}:{}".format(*listener.getsockname()), thread


RESULT = native.dumps(3)
GOOD = pack_message(MSG_RESULT, 0, 1, native.serializer_id, RESULT)


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        (GOOD[:-1], errors.ConnectionClosedError, "middle of a message"),
        (GOOD[:20], errors.ConnectionClosedError, "middle of a message"),
        (b"", errors.ConnectionClosedError, "closed the connection"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", errors.RemoteProtocolError, "not a message"),
        (GOOD[:4] + b"\x00\x30" + GOOD[6:], errors.RemoteProtocolError, "protocol 48"),
        (GOOD[:38] + b"\x00\x00" + GOOD[40:], errors.RemoteProtocolError, "magic"),
        (GOOD[:12] + b"\xff\xff\xff\xff" + GOOD[16:], errors.MessageTooLargeError, "exceeds"),
        (pack_message(MSG_RESULT, 0, 2, 70, RESULT), errors.ProtocolError, "out of sync, got 2 expected 1"),
        (pack_message(6, 0, 1, 70, RESULT), errors.ProtocolError, "invalid msg type 6"),
        (pack_message(MSG_RESULT, 0, 1, 1, RESULT), errors.SerializeError, "invalid serializer in response: 1"),
        (pack_message(MSG_RESULT, 1, 1, 70, native.dumps("no exception")), errors.ProtocolError, "not an exception"),
        (pack_message(MSG_RESULT, 16, 1, 70, RESULT), errors.ProtocolError, "not configured to allow streaming"),
    ],
)
def test_wrong_answers_are_errors_and_never_anothers_result(answer: bytes, error: type[Exception], text: str) -> None:
    uri, thread = fake_daemon([answer])
    with fastpyro.Proxy(uri) as proxy:
        with pytest.raises(error, match=text):
            proxy.add(1, 2)
        thread.join()


def test_undecodable_result_is_an_error() -> None:
    uri, thread = fake_daemon([pack_message(MSG_RESULT, 0, 1, 70, b"\xc1"), pack_message(MSG_RESULT, 0, 2, 70, RESULT)])
    with fastpyro.Proxy(uri) as proxy:
        with pytest.raises(errors.SerializeError):
            proxy.add(1, 2)
        assert proxy.add(1, 2) == 3
        thread.join()


def test_interrupted_call_closes_the_connection(proxy: Any) -> None:
    proxy.add(1, 1)
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        proxy.sleep(0.8)
    timer.join()
    assert proxy._pyroConnection is None
    assert proxy.add(1, 1) == 2


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # other tests may have left threads behind
def test_forked_child_uses_a_connection_of_its_own(proxy: Any) -> None:
    assert proxy.add(1, 1) == 2
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            result = b"right" if proxy.add(2, 2) == 4 and proxy._pyroConnection is not None else b"wrong"
            os.write(writer, result)
        finally:
            os._exit(0)
    os.close(writer)
    assert os.read(reader, 100) == b"right"
    os.close(reader)
    os.waitpid(child, 0)
    for number in range(10):
        assert proxy.add(number, number) == 2 * number


def connections_become(controls: Any, count: int) -> bool:
    """Whether the server comes to have so many connections: it sees late that a client is gone."""
    deadline = time.monotonic() + 10
    while (now := controls.connections()) != count and time.monotonic() < deadline:
        pass
    return bool(now == count)


def test_forgotten_proxy_closes_its_connection(server: SubjectServer) -> None:
    with fastpyro.Proxy(server.uri("controls")) as controls:
        assert connections_become(controls, 1)  # those of other tests are gone
        proxies: list[Any] = [fastpyro.Proxy(server.uri()) for _ in range(5)]
        for proxy in proxies:
            proxy.add(1, 1)
        assert controls.connections() == 6
        del proxies, proxy
        gc.collect()
        assert connections_become(controls, 1)


def test_metadata_switched_off(server: SubjectServer) -> None:
    fastpyro.config.METADATA = False
    try:
        with fastpyro.Proxy(server.uri()) as proxy:
            assert proxy.add(1, 2) == 3
            with pytest.raises(AttributeError):
                proxy.nothing()  # the server says so
    finally:
        fastpyro.config.METADATA = True


def test_sequence_number_wraps(proxy: Any) -> None:
    proxy.add(1, 1)
    proxy._pyroSeq = 0xFFFE
    for number in range(4):
        assert proxy.add(number, 0) == number
    assert proxy._pyroSeq == 2
