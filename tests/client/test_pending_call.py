"""Asynchronous calls on one connection: many at once, results to the right call, and what happens when it breaks."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from server_process import SubjectServer

import fastpyro
from fastpyro.client.pending_call import submit
from fastpyro.errors import CommunicationError, ConnectionClosedError, TimeoutError

DEADLINE = 20.0

pytestmark = pytest.mark.skipif(fastpyro.config.PORTABLE, reason="the portable channel has one call at a time")


@pytest.fixture(scope="module")
def server() -> Iterator[SubjectServer]:
    with SubjectServer() as running:
        yield running


@pytest.fixture
def proxy(server: SubjectServer) -> Iterator[fastpyro.Proxy]:
    with fastpyro.Proxy(server.uri()) as made:
        made._pyroBind()
        yield made


def test_results_go_to_their_calls(proxy: fastpyro.Proxy) -> None:
    twin = fastpyro.asyncproxy(proxy)
    connection = proxy._pyroConnection
    results = [twin.add(number, number) for number in range(2000)]
    assert [result.value for result in results] == [2 * number for number in range(2000)]
    assert proxy._pyroConnection is connection


def test_slow_calls_run_at_once_on_one_connection(proxy: fastpyro.Proxy) -> None:
    twin = fastpyro.asyncproxy(proxy)
    before = time.monotonic()
    results = [twin.sleep(0.2) for _ in range(20)]
    quick = twin.add(1, 1)
    assert quick.wait(DEADLINE)
    assert not all(result.ready for result in results)
    assert [result.value for result in results] == [0.2] * 20
    assert time.monotonic() - before < 2


def test_synchronous_calls_go_on_meanwhile(proxy: fastpyro.Proxy) -> None:
    twin = fastpyro.asyncproxy(proxy)
    slow = twin.sleep(0.3)
    for number in range(100):
        assert proxy.add(number, 1) == number + 1
    assert not slow.ready
    assert slow.value == 0.3


def test_a_chain_that_calls_the_same_proxy(proxy: fastpyro.Proxy) -> None:
    twin = fastpyro.asyncproxy(proxy)
    results = [twin.sleep(0.05).then(lambda _, n=n: proxy.add(n, n)) for n in range(10)]
    assert [result.value for result in results] == [2 * n for n in range(10)]


def test_a_chain_that_blocks_delays_no_other_result(proxy: fastpyro.Proxy) -> None:
    twin = fastpyro.asyncproxy(proxy)
    gate = threading.Event()
    blocked = twin.sleep(0.05).then(lambda value: gate.wait(DEADLINE) and value)
    others = [twin.sleep(0.06) for _ in range(5)]
    assert [result.value for result in others] == [0.06] * 5
    assert not blocked.ready
    gate.set()
    assert blocked.value == 0.05


def test_errors_oneway_calls_and_streams(proxy: fastpyro.Proxy) -> None:
    twin = fastpyro.asyncproxy(proxy)
    failed, unknown = twin.divide(1, 0), twin.echo(object())
    with pytest.raises(ZeroDivisionError):
        _ = failed.value
    with pytest.raises(fastpyro.errors.SerializeError):
        _ = unknown.value
    assert twin.note(1).value is None
    assert list(twin.numbers(3).value) == [0, 1, 2]
    assert twin.echo(b"x" * 3_000_000).value == ((b"x" * 3_000_000,), {})


def test_awaiting_a_thousand_calls(proxy: fastpyro.Proxy) -> None:
    twin = fastpyro.asyncproxy(proxy)

    async def all_of_them() -> list[Any]:
        async def one(number: int) -> Any:
            return await twin.add(number, 1)

        return list(await asyncio.gather(*(one(number) for number in range(1000))))

    assert asyncio.run(all_of_them()) == list(range(1, 1001))


def test_a_timeout_ends_its_call_and_no_other(proxy: fastpyro.Proxy) -> None:
    twin = fastpyro.asyncproxy(proxy)
    patient = twin.sleep(0.4)
    proxy._pyroTimeout = 0.1
    impatient = twin.sleep(0.3)
    with pytest.raises(TimeoutError):
        _ = impatient.value
    proxy._pyroTimeout = None
    assert patient.value == 0.4
    assert proxy.add(1, 1) == 2


def test_a_server_that_dies_fails_every_call() -> None:
    with SubjectServer() as server, fastpyro.Proxy(server.uri()) as proxy:
        twin = fastpyro.asyncproxy(proxy)
        results = [twin.sleep(30) for _ in range(10)]
        assert twin.add(1, 1).value == 2
        server.kill()
        for result in results:
            with pytest.raises(ConnectionClosedError):
                _ = result.value
        assert proxy._pyroConnection is None
        after = twin.add(1, 1)
        with pytest.raises(CommunicationError):
            _ = after.value


def test_releasing_the_proxy_fails_what_is_under_way(proxy: fastpyro.Proxy) -> None:
    results = [fastpyro.asyncproxy(proxy).sleep(10) for _ in range(5)]
    proxy._pyroRelease()
    for result in results:
        with pytest.raises(ConnectionClosedError):
            _ = result.value
    assert proxy.add(2, 2) == 4


def test_whom_it_is_not_for(server: SubjectServer, proxy: fastpyro.Proxy) -> None:
    assert submit(fastpyro.Proxy(server.uri()), "add", (1, 1), {}) is None, "not connected"
    proxy._pyroMaxRetries = 2
    assert submit(proxy, "add", (1, 1), {}) is None, "calls are repeated"


def test_threads_share_the_proxy(proxy: fastpyro.Proxy) -> None:
    failures: list[BaseException] = []

    def work(seed: int) -> None:
        twin = fastpyro.asyncproxy(proxy)
        try:
            for number in range(100):
                results = [twin.add(seed, other) for other in range(5)]
                assert proxy.add(number, seed) == number + seed
                assert [result.value for result in results] == [seed + other for other in range(5)]
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert failures == []
