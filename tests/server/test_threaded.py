"""The threaded server: slow calls delay nobody, threads are bounded, order is kept where it is promised."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from server_process import SubjectServer

import fastpyro


@pytest.fixture(scope="module")
def server() -> Iterator[SubjectServer]:
    with SubjectServer("--set", "THREADPOOL_SIZE=30") as running:
        yield running


def in_threads(count: int, work: Any) -> list[threading.Thread]:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    return threads


def test_fast_calls_are_run_by_the_thread_that_waits(server: SubjectServer) -> None:
    with fastpyro.Proxy(server.uri()) as proxy:
        names = {proxy.thread_name() for _ in range(200)}
    assert all(name.startswith("fastpyro-worker") for name in names)


def test_slow_calls_delay_nobody(server: SubjectServer) -> None:
    with fastpyro.Proxy(server.uri()) as slow, fastpyro.Proxy(server.uri()) as fast:
        fast._pyroTimeout = 5
        threads = in_threads(1, lambda _: slow.wait_for_resume(20))
        assert fast.wait_until_started(10)
        for number in range(100):
            assert fast.add(number, number) == 2 * number
        fast.let_resume()
        threads[0].join(10)
        assert not threads[0].is_alive()


def test_slow_calls_run_at_the_same_time(server: SubjectServer) -> None:
    answers: list[float] = []

    def work(_: int) -> None:
        with fastpyro.Proxy(server.uri()) as proxy:
            answers.append(proxy.sleep(0.3))

    before = time.monotonic()
    for thread in in_threads(20, work):
        thread.join()
    assert len(answers) == 20
    assert time.monotonic() - before < 3


def test_more_slow_calls_than_threads_all_end() -> None:
    with SubjectServer("--set", "THREADPOOL_SIZE=3", "--set", "THREADPOOL_SIZE_MIN=1") as server:
        answers: list[float] = []

        def work(_: int) -> None:
            with fastpyro.Proxy(server.uri()) as proxy:
                answers.append(proxy.sleep(0.05))

        for thread in in_threads(20, work):
            thread.join(30)
        assert len(answers) == 20
        with fastpyro.Proxy(server.uri()) as proxy:
            # Three slow ones, the leader, the main thread, the monitor; and some on their way from one role to another.
            assert proxy.thread_count() <= 3 + 3 + 5


def test_slow_oneway_call_does_not_delay_the_next_call() -> None:
    with SubjectServer() as server, fastpyro.Proxy(server.uri()) as proxy:
        proxy._pyroTimeout = 10
        proxy.note_when_resumed("slow")
        assert proxy.wait_until_started(10)
        assert proxy.add(1, 1) == 2
        assert proxy.all_notes() == []
        proxy.let_resume()
        deadline = time.monotonic() + 10
        while proxy.all_notes() != ["slow"]:
            assert time.monotonic() < deadline


def test_without_oneway_threads_the_next_call_waits() -> None:
    with SubjectServer("--set", "ONEWAY_THREADED=False") as server, fastpyro.Proxy(server.uri()) as proxy:
        proxy._pyroOneway.add("sleep")
        proxy.sleep(0.2)
        before = time.monotonic()
        assert proxy.add(1, 1) == 2
        assert time.monotonic() - before > 0.1


def test_oneway_calls_keep_their_order(server: SubjectServer) -> None:
    with fastpyro.Proxy(server.uri("calculator.class")) as proxy:
        for number in range(2000):
            proxy.note(number)
        assert proxy.all_notes() == list(range(2000))


def test_calls_of_a_session_never_overlap(server: SubjectServer) -> None:
    """One connection's calls run one at a time, whichever thread runs them."""
    with fastpyro.Proxy(server.uri("calculator.class")) as proxy:
        for number in range(20):
            assert proxy.sleep(0.003) == 0.003  # slow enough to change the leader
            assert proxy.note_blocking(number) == number + 1
        assert proxy.all_notes() == list(range(20))


def test_interrupt_stops_the_server_and_says_so() -> None:
    with SubjectServer() as server:
        with fastpyro.Proxy(server.uri()) as proxy:
            assert proxy.add(1, 1) == 2
            server.interrupt()
            assert server.wait_for_end() == 0
        assert "stopped" in server.output
        assert "Traceback" not in server.output


def test_many_clients_at_once(server: SubjectServer) -> None:
    right: list[bool] = []

    def work(number: int) -> None:
        with fastpyro.Proxy(server.uri()) as proxy:
            right.extend(proxy.echo(number, index) == ((number, index), {}) for index in range(50))

    for thread in in_threads(16, work):
        thread.join()
    assert right == [True] * 800


def test_monitor_rests_when_nothing_happens(server: SubjectServer) -> None:
    with fastpyro.Proxy(server.uri()) as proxy:
        before = proxy.cpu_seconds()
        threading.Event().wait(1.0)
        assert proxy.cpu_seconds() - before < 0.1
