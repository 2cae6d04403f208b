"""Where two ends run that look instead of sleeping: apart if they may, and nowhere else than before if they may not."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from server_process import SubjectServer

import fastpyro
from fastpyro.config import config

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux says where threads run"),
    pytest.mark.skipif(config.PORTABLE, reason="the portable channel never looks before it sleeps"),
]
PATIENCE = 20.0
"""Seconds; the machine may be busy with something else for a while, and then nobody steps aside."""


@pytest.fixture
def allowed() -> Iterator[set[int]]:
    before = os.sched_getaffinity(0)
    if len(before) < 2:
        pytest.skip("one processor: there is nowhere to step to")
    yield before
    os.sched_setaffinity(0, before)


def bind(pid: int, processors: set[int]) -> None:
    """Bind all threads of a process to processors."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(thread), processors)


def others_run(allowed: set[int]) -> bool:
    """Whether other programs leave no processor idle, at most times."""
    counts = []
    for _ in range(20):
        time.sleep(0.01)  # not to wait for something, but to look at different times; our server sleeps meanwhile
        counts.append(int(Path("/proc/loadavg").read_text().split()[3].split("/")[0]))
    return sorted(counts)[len(counts) // 2] >= len(allowed)


@pytest.fixture(params=["tcp", "unix"])
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SubjectServer]:
    arguments = ["--unixsocket", str(tmp_path / "socket")] if request.param == "unix" else []
    with SubjectServer(*arguments) as started:
        yield started


def steps_of(proxy: Any) -> int:
    """Return how often the proxy's native channel has stepped aside."""
    steps: int = proxy._pyroConnection.steps_aside
    return steps


def calls_on_one_processor(proxy: Any, server: SubjectServer, allowed: set[int]) -> int:
    """Put both ends on one processor, allow them all again, call for a while; returns how often the client stepped aside."""
    one = {min(allowed)}
    bind(server.pid, one)
    os.sched_setaffinity(0, one)
    for number in range(50):
        assert proxy.add(number, 1) == number + 1
    before = steps_of(proxy)
    bind(server.pid, allowed)
    os.sched_setaffinity(0, allowed)
    for number in range(200):
        assert proxy.add(number, 1) == number + 1
    return steps_of(proxy) - before


def steps_in_big_calls(proxy: Any, server: SubjectServer, allowed: set[int], way: str) -> int:
    """The same for calls that carry 8 MiB to the server, or from it, and nothing the other way."""
    one = {min(allowed)}
    bind(server.pid, one)
    os.sched_setaffinity(0, one)
    size = 8 << 20
    data = bytes(size)
    before = steps_of(proxy)
    bind(server.pid, allowed)
    os.sched_setaffinity(0, allowed)
    for _ in range(10):
        if way == "up":
            assert proxy.size(data) == size
        else:
            assert len(proxy.echo_times(b"x", size)) == size
    return steps_of(proxy) - before


def test_a_client_leaves_the_processor_that_it_shares_with_its_server(server: SubjectServer, allowed: set[int]) -> None:
    deadline = time.monotonic() + PATIENCE
    with fastpyro.Proxy(server.uri()) as proxy:
        proxy.add(1, 2)
        while not calls_on_one_processor(proxy, server, allowed):
            if time.monotonic() > deadline:
                assert others_run(allowed), "it never stepped aside"
                pytest.skip("other programs use the processors, so that there is nowhere to step to")
            proxy._pyroReconnect()  # one whose every step was in vain waits for longer and longer
    assert os.sched_getaffinity(0) == allowed, "and it may run everywhere again"


def test_a_client_that_connects_for_each_call_leaves_it_as_well(server: SubjectServer, allowed: set[int]) -> None:
    deadline, uri, steps = time.monotonic() + PATIENCE, server.uri(), 0
    while not steps:
        one = {min(allowed)}
        bind(server.pid, one)
        os.sched_setaffinity(0, one)
        with fastpyro.Proxy(uri) as proxy:
            proxy.add(1, 2)
        bind(server.pid, allowed)
        os.sched_setaffinity(0, allowed)
        for number in range(50):
            with fastpyro.Proxy(uri) as proxy:
                assert proxy.add(number, 1) == number + 1
                steps += steps_of(proxy)
        if time.monotonic() > deadline:
            assert others_run(allowed), "it never stepped aside"
            pytest.skip("other programs use the processors, so that there is nowhere to step to")
    assert os.sched_getaffinity(0) == allowed, "and it may run everywhere again"


@pytest.mark.parametrize("way", ["up", "down"])
def test_what_is_big_is_not_moved_on_one_processor(tmp_path: Path, allowed: set[int], way: str) -> None:
    # Over a Unix socket: TCP has room for so much that a sender seldom waits.
    deadline = time.monotonic() + PATIENCE
    with (
        SubjectServer("--unixsocket", str(tmp_path / "socket")) as server,
        fastpyro.Proxy(server.uri()) as proxy,
    ):
        proxy.add(1, 2)
        while not steps_in_big_calls(proxy, server, allowed, way):
            if time.monotonic() > deadline:
                assert others_run(allowed), "it never stepped aside"
                pytest.skip("other programs use the processors, so that there is nowhere to step to")
    assert os.sched_getaffinity(0) == allowed, "and it may run everywhere again"


def test_a_client_that_is_bound_to_one_processor_stays_there(server: SubjectServer, allowed: set[int]) -> None:
    one = {min(allowed)}
    bind(server.pid, one)
    os.sched_setaffinity(0, one)
    with fastpyro.Proxy(server.uri()) as proxy:
        for number in range(2000):
            assert proxy.add(number, 1) == number + 1
        assert steps_of(proxy) == 0
    assert os.sched_getaffinity(0) == one


def test_nobody_steps_aside_for_a_server_that_sleeps_at_once(tmp_path: Path, allowed: set[int]) -> None:
    with (
        SubjectServer("--unixsocket", str(tmp_path / "socket"), environment={"FASTPYRO_SPIN": "0"}) as server,
        fastpyro.Proxy(server.uri()) as proxy,
    ):
        proxy.add(1, 2)
        assert sum(calls_on_one_processor(proxy, server, allowed) for _ in range(3)) == 0


def test_threads_that_wait_at_once_are_left_where_they_are(server: SubjectServer, allowed: set[int]) -> None:
    proxies = [fastpyro.Proxy(server.uri()) for _ in range(4)]

    def work(proxy: Any) -> None:
        for number in range(300):
            assert proxy.add(number, 1) == number + 1

    threads = [threading.Thread(target=work, args=(proxy,)) for proxy in proxies]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert all(os.sched_getaffinity(int(task)) == allowed for task in os.listdir("/proc/self/task"))
    for proxy in proxies:
        proxy._pyroRelease()
