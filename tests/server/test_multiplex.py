"""The multiplexed server: every method in one thread, daemons combined in one loop."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from server_process import SubjectServer

import fastpyro


@fastpyro.expose
class Subject:
    def __init__(self, name: str) -> None:
        self._name = name

    def name(self) -> str:
        return self._name

    def thread_name(self) -> str:
        return threading.current_thread().name


@pytest.fixture(autouse=True)
def multiplex() -> Iterator[None]:
    fastpyro.config.SERVERTYPE = "multiplex"
    yield
    fastpyro.config.reset()


def test_all_methods_run_in_the_thread_of_the_loop() -> None:
    with SubjectServer("--servertype", "multiplex") as server:
        names: set[str] = set()

        def work(_: int) -> None:
            with fastpyro.Proxy(server.uri()) as proxy:
                for _ in range(30):
                    names.add(proxy.thread_name())

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert names == {"MainThread"}
        with fastpyro.Proxy(server.uri()) as proxy:
            assert proxy.thread_count() == 1


def test_interrupt_stops_the_server_and_says_so() -> None:
    with SubjectServer("--servertype", "multiplex") as server:
        with fastpyro.Proxy(server.uri()) as proxy:
            assert proxy.add(1, 1) == 2
            server.interrupt()
            assert server.wait_for_end() == 0
        assert "stopped" in server.output
        assert "Traceback" not in server.output


def test_combined_daemons_share_a_loop() -> None:
    with fastpyro.Daemon(host="127.0.0.1") as first, fastpyro.Daemon(host="127.0.0.1") as second:
        first.combine(second)
        first.combine(second)
        uris = [daemon.register(Subject(name)) for daemon, name in ((first, "first"), (second, "second"))]
        assert set(second.sockets) <= set(first.sockets)
        loop = threading.Thread(target=first.requestLoop, name="the loop")
        loop.start()
        for _ in range(5):
            proxies: list[Any] = [fastpyro.Proxy(uri) for uri in uris]
            assert [proxy.name() for proxy in proxies] == ["first", "second"]
            assert {proxy.thread_name() for proxy in proxies} == {"the loop"}
            for proxy in proxies:
                proxy._pyroRelease()
        first.shutdown()
        loop.join(10)
        assert not loop.is_alive()


def test_daemon_with_threads_cannot_be_combined() -> None:
    with fastpyro.Daemon(host="127.0.0.1") as multiplexed:
        fastpyro.config.SERVERTYPE = "thread"
        with fastpyro.Daemon(host="127.0.0.1") as threaded:
            for one, other in ((multiplexed, threaded), (threaded, multiplexed)):
                with pytest.raises(TypeError, match="multiplex"):
                    one.combine(other)


def test_oneway_calls_are_in_order() -> None:
    with (
        SubjectServer("--servertype", "multiplex") as server,
        fastpyro.Proxy(server.uri("calculator.class")) as proxy,
    ):
        for number in range(1000):
            proxy.note(number)
        assert proxy.all_notes() == list(range(1000))


def test_combined_daemons_live_and_end_by_themselves() -> None:
    """Closing one leaves the others served; the limits and the housekeeping of each go on."""
    fastpyro.config.HANDSHAKE_TIMEOUT = 0.3
    kept = threading.Event()

    class Tidy(fastpyro.Daemon):
        def housekeeping(self) -> None:
            kept.set()

    with (
        fastpyro.Daemon(host="127.0.0.1") as first,
        Tidy(host="127.0.0.1") as second,
        fastpyro.Daemon(host="127.0.0.1") as third,
    ):
        uris = [daemon.register(Subject(str(number))) for number, daemon in enumerate((first, second, third))]
        first.combine(second)
        first.combine(third)
        loop = threading.Thread(target=first.requestLoop)
        loop.start()
        try:
            assert kept.wait(10)
            silent = socket.create_connection(second.sock.getsockname())
            silent.settimeout(10)
            assert silent.recv(1) == b"", "a stranger who says nothing is dropped in time"
            silent.close()
            with fastpyro.Proxy(uris[2]) as proxy:
                assert proxy.name() == "2"
            third.close()
            for uri, name in ((uris[0], "0"), (uris[1], "1")):
                with fastpyro.Proxy(uri) as proxy:
                    proxy._pyroTimeout = 10
                    assert proxy.name() == name
            second.shutdown()
            with fastpyro.Proxy(uris[0]) as proxy:
                proxy._pyroTimeout = 10
                assert proxy.name() == "0"
            assert loop.is_alive()
        finally:
            first.shutdown()
            loop.join(10)


@pytest.mark.parametrize("error", [MemoryError, RuntimeError, ValueError])
def test_no_failure_of_a_turn_ends_the_loop(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with fastpyro.Daemon(host="127.0.0.1") as daemon:
        uri = daemon.register(Subject("here"))
        server: Any = daemon.transportServer
        failing = iter(["receive", "receive", "accept", "wait", "answer"])

        def fail_sometimes(where: str, function: Any) -> Any:
            def maybe(*arguments: Any) -> Any:
                if failures and failures[0] == where:
                    del failures[0]
                    raise error("made up")
                return function(*arguments)

            return maybe

        failures = list(failing)
        monkeypatch.setattr(server, "accept_some", fail_sometimes("accept", server.accept_some))
        monkeypatch.setattr(server, "look_at_deadlines", fail_sometimes("wait", server.look_at_deadlines))
        monkeypatch.setattr(server, "send_reply", fail_sometimes("answer", server.send_reply))
        monkeypatch.setattr(server, "next_request", fail_sometimes("receive", server.next_request))
        loop = threading.Thread(target=daemon.requestLoop)
        loop.start()
        deadline = time.monotonic() + 20
        while failures:
            assert time.monotonic() < deadline
            assert loop.is_alive()
            with contextlib.suppress(fastpyro.errors.CommunicationError), fastpyro.Proxy(uri) as proxy:
                proxy._pyroTimeout = 1
                proxy.name()
        with fastpyro.Proxy(uri) as proxy:
            assert proxy.name() == "here"
        daemon.shutdown()
        loop.join(10)
        assert "made up" in caplog.text


def test_a_flood_of_oneway_calls_starts_few_threads() -> None:
    """1,000 of a Pyro5 client started 1,000 threads; where those cannot be had the loop ended."""
    with (
        SubjectServer("--servertype", "multiplex", "--set", "THREADPOOL_SIZE=5") as server,
        fastpyro.Proxy(server.uri()) as proxy,
        fastpyro.Proxy(server.uri()) as flood,
    ):
        flood._pyroSerializer = "serpent"
        for number in range(1000):
            flood.note_when_resumed(number)
        proxy._pyroTimeout = 20
        assert proxy.add(1, 1) == 2
        assert proxy.thread_count() <= 8
        proxy.let_resume()
        deadline = time.monotonic() + 20
        while len(proxy.all_notes()) < 400:
            assert time.monotonic() < deadline
