"""One proxy in the hands of many threads: no call waits for another's, and nobody gets another's result."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from server_process import SubjectServer

import fastpyro
from fastpyro.errors import CommunicationError


@pytest.fixture(scope="module")
def server() -> Iterator[SubjectServer]:
    with SubjectServer() as running:
        yield running


@pytest.fixture
def proxy(server: SubjectServer) -> Iterator[fastpyro.Proxy]:
    with fastpyro.Proxy(server.uri()) as made:
        yield made


def in_threads(count: int, work: Callable[[int], object]) -> None:
    """Run a function in so many threads; raises what the first one raised that failed."""
    failures: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    if failures:
        raise failures[0]


def test_results_go_to_the_right_caller(proxy: fastpyro.Proxy) -> None:
    def work(seed: int) -> None:
        for number in range(600):
            assert proxy.add(seed * 100_000, number) == seed * 100_000 + number

    in_threads(16, work)


@pytest.mark.skipif(fastpyro.config.PORTABLE, reason="the portable channel has one call at a time")
def test_fast_calls_do_not_wait_for_slow_ones(proxy: fastpyro.Proxy) -> None:
    proxy._pyroBind()
    slow = threading.Thread(target=proxy.wait_for_resume, args=(20,))
    slow.start()
    assert proxy.wait_until_started(10)
    for number in range(200):
        assert proxy.add(number, 1) == number + 1
    assert slow.is_alive()
    proxy.let_resume()
    slow.join(20)
    assert not slow.is_alive()


@pytest.mark.skipif(fastpyro.config.PORTABLE, reason="the portable channel has one call at a time")
def test_sequence_numbers_wrap_around_a_slow_call(proxy: fastpyro.Proxy) -> None:
    proxy._pyroBind()
    proxy._pyroSeq = 0xFFF0
    slow = threading.Thread(target=proxy.wait_for_resume, args=(60,))
    slow.start()
    assert proxy.wait_until_started(10)
    for number in range(66_000):
        assert proxy.add(number, 1) == number + 1
    proxy.let_resume()
    slow.join(20)
    assert not slow.is_alive()


def test_mixed_calls(proxy: fastpyro.Proxy) -> None:
    def work(seed: int) -> None:
        for number in range(60):
            assert proxy.echo(seed, number) == ((seed, number), {})
            if number % 10 == seed % 10:
                batch = fastpyro.batch(proxy)
                for other in range(20):
                    batch.add(seed, other)
                assert list(batch()) == [seed + other for other in range(20)]
                assert proxy.echo(bytes(200_000)) == ((bytes(200_000),), {})
                with pytest.raises(ZeroDivisionError):
                    proxy.divide(seed, 0)
                assert list(proxy.numbers(3)) == [0, 1, 2]

    in_threads(10, work)


def test_a_replaced_pyroinvoke_sees_every_call(server: SubjectServer, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    usual = fastpyro.Proxy._pyroInvoke

    def watched(self: fastpyro.Proxy, methodname: str, *rest: object, **keywords: object) -> object:
        seen.append(methodname)
        return usual(self, methodname, *rest, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(fastpyro.Proxy, "_pyroInvoke", watched)
    with fastpyro.Proxy(server.uri()) as proxy:
        assert proxy.add(1, 2) == 3
        assert fastpyro.asyncproxy(proxy).add(2, 3).value == 5
    assert seen == ["add", "add"]


def test_release_during_calls_of_others(proxy: fastpyro.Proxy) -> None:
    stop = time.monotonic() + 1.0

    def work(seed: int) -> None:
        while time.monotonic() < stop:
            if seed == 0:
                proxy._pyroRelease()
                continue
            with contextlib.suppress(CommunicationError):  # its connection was released under it
                assert proxy.add(seed, 1) == seed + 1

    in_threads(6, work)
    assert proxy.add(1, 1) == 2


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_while_other_threads_call(proxy: fastpyro.Proxy) -> None:
    proxy._pyroBind()
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            assert proxy.add(1, 1) == 2

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(5):
            child = os.fork()
            if child == 0:
                try:
                    os._exit(0 if proxy.add(20, 22) == 42 else 1)
                finally:
                    os._exit(2)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    finally:
        stop.set()
        for thread in threads:
            thread.join(20)
    assert proxy.add(1, 1) == 2
