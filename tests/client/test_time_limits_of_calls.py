"""What `fastpyro.timeout` bounds: every way to call, on this side and on the other one."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from server_process import ServerProcess

import fastpyro
from fastpyro import errors
from fastpyro.protocol.features import CANCELS, DEADLINES

PROGRAM = Path(__file__).parent.parent / "support" / "timed_server.py"
SHORT = 0.15
LONG = 5.0


@pytest.fixture(scope="module", params=["thread", "multiplex"])
def uri(request: pytest.FixtureRequest) -> Iterator[str]:
    with ServerProcess(PROGRAM, request.param) as server:
        yield server.wait_for(r"^uri = (\S+)")[1]


@pytest.fixture(scope="module")
def threads() -> Iterator[str]:
    with ServerProcess(PROGRAM, "thread", "2") as server:
        yield server.wait_for(r"^uri = (\S+)")[1]


@pytest.fixture
def proxy(uri: str) -> Iterator[Any]:
    with fastpyro.Proxy(uri) as connected:
        connected._pyroBind()
        yield connected


def batch_of(proxy: Any) -> list[Any]:
    batch = fastpyro.batch(proxy)
    batch.nap(0.4)
    return list(batch())


@pytest.mark.parametrize(
    "call",
    [
        lambda proxy: proxy.nap(0.4),
        lambda proxy: proxy._pyroInvoke("nap", (0.4,), {}),
        lambda proxy: proxy._pyroAsync().nap(0.4).value,
        batch_of,
        lambda proxy: fastpyro.Proxy(proxy._pyroUri).nap(0.4),
    ],
    ids=["call", "invoke", "future", "batch", "first call"],
)
def test_each_way_to_call_ends_in_time(proxy: Any, call: Callable[[Any], Any]) -> None:
    before = time.monotonic()
    with (
        pytest.raises(errors.TimeoutError, match=r"fastpyro\.timeout|time that its caller has"),
        fastpyro.timeout(SHORT),
    ):
        call(proxy)
    assert time.monotonic() - before < 0.39
    proxy._pyroTimeout = LONG
    assert proxy.echo("next") == "next"


def test_what_is_late_already_is_not_sent(proxy: Any) -> None:
    with fastpyro.timeout(0):
        for call in (proxy.echo, proxy._pyroAsync().echo(1).get_value, fastpyro.Proxy(proxy._pyroUri)._pyroBind):
            with pytest.raises(errors.TimeoutError, match=r"timeout"):
                call() if call is not proxy.echo else call(1)
    assert proxy._pyroConnection is not None
    assert proxy.echo(2) == 2


def test_the_shorter_limit_is_named(proxy: Any) -> None:
    proxy._pyroTimeout = SHORT
    with (
        pytest.raises(errors.TimeoutError, match=r"after 0.15 s: nap of .*is _pyroTimeout"),
        fastpyro.timeout(LONG),
    ):
        proxy.nap(0.4)
    proxy._pyroTimeout = LONG
    assert proxy.echo("connected") == "connected"
    with pytest.raises(errors.TimeoutError, match=r"after 0.15 s: nap of .*fastpyro\.timeout"), fastpyro.timeout(SHORT):
        proxy.nap(0.4)


def test_connecting_to_who_never_answers_ends_in_time() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        silent = fastpyro.Proxy(f"PYRO:anything@127.0.0.1:{listener.getsockname()[1]}")
        before = time.monotonic()
        with pytest.raises(errors.TimeoutError), fastpyro.timeout(SHORT):
            silent.anything()
        assert time.monotonic() - before < LONG


def test_who_waits_for_another_thread_that_connects_ends_in_time() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        silent: Any = fastpyro.Proxy(f"PYRO:anything@127.0.0.1:{listener.getsockname()[1]}")
        silent._pyroTimeout = 2.0

        def connect() -> None:
            with pytest.raises(errors.CommunicationError):
                silent._pyroBind()

        thread = threading.Thread(target=connect)
        thread.start()
        connection, _ = listener.accept()  # it connects now
        before = time.monotonic()
        with connection, pytest.raises(TimeoutError), fastpyro.timeout(SHORT):
            silent._pyroBind()
        assert time.monotonic() - before < 1.5
        thread.join()


def test_looking_up_a_name_ends_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        before = time.monotonic()
        with pytest.raises(errors.PyroError), fastpyro.timeout(SHORT):
            fastpyro.Proxy(f"PYRONAME:anything@127.0.0.1:{listener.getsockname()[1]}")._pyroBind()
        assert time.monotonic() - before < LONG


def test_waiting_for_a_result_of_before_ends_in_time(proxy: Any) -> None:
    result = proxy._pyroAsync().nap(0.4, "kept")
    with fastpyro.timeout(SHORT):
        assert not result.wait()
        with pytest.raises(errors.TimeoutError, match="waiting for a result"):
            _ = result.value
    assert result.value == "kept"  # it was not bounded itself


def test_the_time_left_is_known_there(proxy: Any) -> None:
    assert proxy.time_left() is None
    with fastpyro.timeout(LONG):
        for seconds in (proxy.time_left(), proxy.time_left_in_a_coroutine(), proxy._pyroInvoke("time_left", (), {})):
            assert LONG - 2 < seconds <= LONG + 0.1
        batch = fastpyro.batch(proxy)
        batch.time_left()
        assert LONG - 2 < next(batch()) <= LONG + 0.1
        assert LONG - 2 < proxy._pyroAsync().time_left().value <= LONG + 0.1
    assert proxy.time_left() is None


def test_a_timeout_of_the_proxy_does_not_travel(proxy: Any) -> None:
    proxy._pyroTimeout = LONG
    assert proxy.time_left() is None


def test_what_a_method_calls_inherits_it(proxy: Any, threads: str) -> None:
    assert proxy.ask(threads, "time_left") is None
    with fastpyro.timeout(LONG):
        assert LONG - 2 < proxy.ask(threads, "time_left") <= LONG + 0.1
        assert LONG - 2 < proxy.ask_in_a_coroutine(threads, "time_left") <= LONG + 0.1
    with fastpyro.Proxy(threads) as there:
        before = time.monotonic()
        with pytest.raises(errors.TimeoutError), fastpyro.timeout(SHORT):
            there.ask(threads, "nap", 2.0, "nested")
        assert time.monotonic() - before < 1.5


def test_who_did_not_agree_is_told_nothing(proxy: Any) -> None:
    proxy._pyroConnection.features &= ~DEADLINES
    with fastpyro.timeout(LONG):
        assert proxy.time_left() is None
    with pytest.raises(errors.TimeoutError), fastpyro.timeout(SHORT):
        proxy.nap(0.4)


def test_another_format_is_bounded_here(uri: str) -> None:
    with fastpyro.Proxy(uri) as proxy:
        proxy._pyroSerializer = "json"
        with fastpyro.timeout(LONG):
            assert proxy.time_left() is None
        with pytest.raises(errors.TimeoutError), fastpyro.timeout(SHORT):
            proxy.nap(0.4)


def test_tasks_have_limits_of_their_own(threads: str) -> None:
    async def nap(proxy: Any, limit: float) -> str:
        with fastpyro.timeout(limit):
            try:
                return str(await proxy.nap(0.4, "done"))
            except errors.TimeoutError:
                return "late"

    async def main(proxy: Any) -> list[str]:
        return list(await asyncio.gather(nap(proxy, SHORT), nap(proxy, LONG), nap(proxy, SHORT)))

    with fastpyro.Proxy(threads) as proxy:
        proxy._pyroBind()
        assert asyncio.run(main(proxy._pyroAsync())) == ["late", "done", "late"]


def test_what_is_late_in_the_queue_does_not_begin(threads: str) -> None:
    with fastpyro.Proxy(threads) as proxy:
        proxy._pyroBind()
        assert proxy._pyroConnection is not None
        proxy._pyroConnection.features &= ~CANCELS  # the daemon has to notice it
        proxy.close_gate()
        proxy.nap(0.3, "slow from now on")
        waiting = [proxy._pyroAsync().wait_at_gate("first") for _ in range(8)]  # more than there are places
        late_before = proxy.late_calls()
        with fastpyro.timeout(SHORT):
            late = [proxy._pyroAsync().nap(0.02, "late") for _ in range(5)]
        for one in late:
            with pytest.raises(errors.TimeoutError):
                _ = one.value
        proxy.open_gate()
        assert [one.value for one in waiting] == ["first"] * 8
        assert proxy.nap(0.02, "last") == "last"  # behind them
        begun, _ = proxy.seen()
        assert "late" not in begun
        assert proxy.late_calls() - late_before == 5
