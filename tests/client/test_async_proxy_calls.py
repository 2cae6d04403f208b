"""Asynchronous proxies against a daemon in another process."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

import fastpyro
from fastpyro.client.async_proxy import asyncproxy
from fastpyro.client.proxy import Proxy
from fastpyro.errors import CommunicationError

DEADLINE = 20.0


def wait_until(condition: Callable[[], bool]) -> None:
    """Wait for something that a background thread does a moment after its result is ready."""
    deadline, never = time.monotonic() + DEADLINE, threading.Event()
    while not condition():
        assert time.monotonic() < deadline, "gave up waiting"
        never.wait(0.002)


# With a daemon in another process

SERVER = """
import threading
import fastpyro

@fastpyro.expose
@fastpyro.behavior(instance_mode="single")
class Thing:
    def __init__(self):
        self.meeting = threading.Barrier(10)
        self.gate = threading.Event()
        self.told = []

    def divide(self, number, by):
        return number // by

    def multiply(self, number, by):
        return number * by

    def add(self, number, increase):
        return number + increase

    def meet(self):
        return self.meeting.wait(20)

    def wait_for_gate(self):
        return self.gate.wait(20)

    def open_gate(self):
        self.gate.set()

    @fastpyro.oneway
    def tell(self, what):
        self.told.append(what)
        self.gate.set()

    def kind(self, what):
        return type(what).__name__

    def heard(self):
        return self.told

    def count(self, number):
        yield from range(number)

    def annotation(self):
        return bytes(fastpyro.current_context.annotations["ABCD"])

    @property
    def colour(self):
        return "red"

with fastpyro.Daemon(host="127.0.0.1") as daemon:
    print(daemon.register(Thing()), flush=True)
    daemon.requestLoop()
"""


@pytest.fixture
def server() -> Iterator[str]:
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def test_both_proxies_can_be_used_in_turn(server: str) -> None:
    with Proxy(server) as proxy:
        twin = asyncproxy(proxy)
        for number in range(20):
            result = twin.multiply(number, 2)
            assert proxy.multiply(number, 3) == number * 3
            assert result.value == number * 2


def test_calls_run_in_parallel_in_the_daemon(server: str) -> None:
    with asyncproxy(Proxy(server)) as twin:
        results = [twin.meet() for _ in range(10)]
        assert sorted(result.value for result in results) == list(range(10))


def test_call_chains_with_remote_calls(server: str) -> None:
    with Proxy(server) as proxy:
        result = asyncproxy(proxy).divide(100, 5)
        result.then(proxy.add, increase=1).then(proxy.multiply, by=2).then(lambda value: f"={value}")
        assert result.value == "=42"
        errors: list[Exception] = []
        result = asyncproxy(proxy).divide(100, 0).then(proxy.add, increase=1).iferror(errors.append)
        with pytest.raises(ZeroDivisionError):
            _ = result.value
        assert [type(error) for error in errors] == [ZeroDivisionError]


def test_a_result_waits_and_becomes_ready(server: str) -> None:
    with Proxy(server) as proxy:
        result = proxy._pyroAsync().wait_for_gate()
        assert not result.ready
        assert result.wait(0.01) is False
        proxy.open_gate()
        assert result.value is True
        assert result.ready


def test_a_cancelled_result_does_not_wait(server: str) -> None:
    with Proxy(server) as proxy:
        result = asyncproxy(proxy).wait_for_gate()
        assert result.cancel()
        with pytest.raises(RuntimeError, match="future has been cancelled"):
            _ = result.value
        proxy.open_gate()
        assert proxy.add(1, 2) == 3


def test_hundreds_of_calls(server: str) -> None:
    with asyncproxy(Proxy(server)) as twin:
        results = [twin.add(number, 1) for number in range(600)]
        assert [result.value for result in results] == list(range(1, 601))


def test_a_oneway_method_gives_none(server: str) -> None:
    with Proxy(server) as proxy:
        twin = asyncproxy(proxy)
        assert twin.tell("news").value is None
        assert proxy.wait_for_gate() is True
        assert proxy.heard() == ["news"]


def test_streams_and_calls_share_the_connection(server: str) -> None:
    with asyncproxy(Proxy(server)) as twin:
        streams = [twin.count(5).value for _ in range(3)]
        assert twin.add(1, 1).value == 2
        assert [list(stream) for stream in streams] == [[0, 1, 2, 3, 4]] * 3


def test_an_attribute_of_a_remote_object(server: str) -> None:
    with asyncproxy(Proxy(server)) as twin:
        assert twin.colour == "red"


def test_a_twin_as_an_argument_arrives_as_a_proxy(server: str) -> None:
    with asyncproxy(Proxy(server)) as twin:
        assert twin.kind(twin).value == "Proxy"
        assert twin._proxy.kind(twin) == "Proxy"


def test_annotations_go_along(server: str) -> None:
    with asyncproxy(Proxy(server)) as twin:
        fastpyro.current_context.annotations = {"ABCD": b"mine"}
        try:
            result = twin.annotation()
        finally:
            fastpyro.current_context.annotations = {}
        assert result.value == b"mine"


def test_an_asynchronous_batch(server: str) -> None:
    with Proxy(server) as proxy:
        batch = proxy._pyroBatch()
        batch.add(1, 2)
        batch.divide(1, 0)
        batch.add(3, 4)
        results = batch(asynchronous=True).value
        assert next(results) == 3
        with pytest.raises(ZeroDivisionError):
            next(results)
        batch.add(5, 6)
        assert batch(**{"async": True}).then(list).value == [11]


def test_awaiting_remote_calls(server: str) -> None:
    async def main() -> list[int]:
        twin = asyncproxy(Proxy(server))
        return list(await asyncio.wait_for(asyncio.gather(*(twin.meet() for _ in range(10))), DEADLINE))

    assert sorted(asyncio.run(main())) == list(range(10))


def test_a_server_that_is_away() -> None:
    twin = asyncproxy(Proxy("PYRO:thing@127.0.0.1:1"))
    with pytest.raises(CommunicationError):
        _ = twin.method().value


def test_a_server_that_dies_during_a_call() -> None:
    with subprocess.Popen([sys.executable, "-c", SERVER], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        with Proxy(process.stdout.readline().strip()) as proxy:
            result = asyncproxy(proxy).wait_for_gate()
            assert asyncproxy(proxy).add(1, 2).value == 3
            process.kill()
            with pytest.raises(CommunicationError):
                _ = result.value


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_parent_and_forked_child_both_go_on(server: str) -> None:
    program = f"""
import os, fastpyro
twin = fastpyro.asyncproxy(fastpyro.Proxy({server!r}))
assert [twin.add(number, 1).value for number in range(20)] == list(range(1, 21))
pid = os.fork()
right = [twin.add(number, 2).value for number in range(20)] == list(range(2, 22))
if pid == 0:
    os._exit(0 if right else 3)
print(right, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
"""
    # From Python 3.12 on a fork beside other threads is warned of.
    command = [sys.executable, "-W", "ignore:This process:DeprecationWarning", "-c", program]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (ended.stdout, ended.stderr) == ("True 0\n", "")


def test_the_program_ends_while_calls_are_under_way(server: str) -> None:
    program = f"""
import fastpyro
twin = fastpyro.asyncproxy(fastpyro.Proxy({server!r}))
results = [twin.wait_for_gate() for _ in range(20)]
assert twin.add(1, 2).value == 3
print("end")
"""
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (ended.stdout, ended.stderr, ended.returncode) == ("end\n", "", 0)
