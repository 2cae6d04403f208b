"""The multiplexed server: every method in one thread, daemons combined in one loop."""

from __future__ import annotations

import threading
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
