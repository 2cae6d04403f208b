"""Calls that nobody waits for any more: coroutines, threads, the queue, clients that go; and who lies about it."""

from __future__ import annotations

import random
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
from fastpyro.callcontext import current_context
from fastpyro.constants import MSG_CANCEL
from fastpyro.protocol._message import Outgoing, pack_message

PROGRAM = Path(__file__).parent.parent / "support" / "timed_server.py"
NATIVE = {"FASTPYRO_PORTABLE": "0"}
"""Over the portable channel calls take turns, and the server reads nothing while one runs."""


@pytest.fixture(autouse=True)
def native_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastpyro.config, "PORTABLE", False)


@pytest.fixture(scope="module")
def uri() -> Iterator[str]:
    with ServerProcess(PROGRAM, "thread", "4", environment=NATIVE) as server:
        yield server.wait_for(r"^uri = (\S+)")[1]


@pytest.fixture(scope="module", params=["thread", "multiplex"])
def either(request: pytest.FixtureRequest) -> Iterator[str]:
    with ServerProcess(PROGRAM, request.param, environment=NATIVE) as server:
        yield server.wait_for(r"^uri = (\S+)")[1]


@pytest.fixture
def observer(uri: str) -> Iterator[Any]:
    with fastpyro.Proxy(uri) as connected:
        yield connected


def connected(uri: str) -> Any:
    proxy: Any = fastpyro.Proxy(uri)
    proxy._pyroBind()
    return proxy


def wait_until(condition: Callable[[], Any], seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        threading.Event().wait(0.01)


def begun(observer: Any, token: str) -> None:
    wait_until(lambda: token in observer.seen()[0])


def ended(observer: Any, *what: Any) -> None:
    wait_until(lambda: what in observer.seen()[1] or list(what) in observer.seen()[1])


def cancel(proxy: Any, seq: int) -> None:
    proxy._pyroConnection.send(Outgoing(MSG_CANCEL, 0, seq, 70, b""))


def quiet(observer: Any) -> None:
    wait_until(lambda: observer.counters() == [0, 0, 0, 0])


# ---- who is cancelled


def test_a_coroutine_is_cancelled_with_its_result(either: str) -> None:
    with connected(either) as proxy, connected(either) as observer:
        result = proxy._pyroAsync().stay("coroutine")
        begun(observer, "coroutine")
        assert result.cancel()
        ended(observer, "coroutine", "cancelled")
        assert proxy.echo("the connection goes on") == "the connection goes on"
        quiet(observer)


def test_a_coroutine_may_refuse(either: str) -> None:
    with connected(either) as proxy, connected(either) as observer:
        result = proxy._pyroAsync().refuse_to_end("refusing")
        begun(observer, "refusing")
        result.cancel()
        ended(observer, "refusing", "refused")
        assert proxy.echo(1) == 1


@pytest.mark.parametrize("method", ["wait_for_cancel", "poll_for_cancel"])
def test_a_thread_sees_it(uri: str, observer: Any, method: str) -> None:
    with connected(uri) as proxy:
        result = getattr(proxy._pyroAsync(), method)(method)
        begun(observer, method)
        result.cancel()
        wait_until(lambda: any(one[0] == method and one[1] for one in observer.seen()[1] if isinstance(one, tuple)))
        assert proxy.echo(1) == 1


def test_a_timeout_of_an_asynchronous_call_cancels(uri: str, observer: Any) -> None:
    with connected(uri) as proxy:
        proxy._pyroTimeout = 0.2
        with pytest.raises(errors.TimeoutError):
            _ = proxy._pyroAsync().stay("late").value
        ended(observer, "late", "cancelled")
        with pytest.raises(errors.TimeoutError), fastpyro.timeout(0.1):
            _ = proxy._pyroAsync().stay("later").value
        ended(observer, "later", "cancelled")


def test_a_timeout_among_other_calls_cancels_and_they_go_on(uri: str, observer: Any) -> None:
    with connected(uri) as proxy:
        other = proxy._pyroAsync().work("other", 0.6)
        with pytest.raises(errors.TimeoutError), fastpyro.timeout(0.2):
            proxy.stay("among others")
        ended(observer, "among others", "cancelled")
        assert other.value == "other"


def test_a_call_in_the_queue_does_not_begin(uri: str, observer: Any) -> None:
    with connected(uri) as proxy:
        before = observer.cancelled_calls()
        observer.close_gate()
        observer.nap(0.3, "known as slow")
        full = [proxy._pyroAsync().wait_at_gate("full") for _ in range(10)]
        queued = [proxy._pyroAsync().nap(0.01, "never") for _ in range(5)]
        wait_until(lambda: observer.counters()[1] >= 5)
        for one in queued:
            one.cancel()
        wait_until(lambda: observer.cancelled_calls() - before == 5)
        observer.open_gate()
        assert [one.value for one in full] == ["full"] * 10
        assert "never" not in observer.seen()[0]
        quiet(observer)


def test_a_client_that_goes_cancels_its_coroutine(uri: str, observer: Any) -> None:
    proxy = connected(uri)
    proxy._pyroAsync().stay("gone")
    begun(observer, "gone")
    proxy._pyroRelease()
    ended(observer, "gone", "cancelled")
    quiet(observer)


def test_a_client_that_goes_marks_its_thread(uri: str, observer: Any) -> None:
    proxy = connected(uri)
    proxy._pyroAsync().wait_for_cancel("gone, too")
    begun(observer, "gone, too")
    proxy._pyroRelease()
    ended(observer, "gone, too", True, True)
    quiet(observer)


def test_a_blocking_timeout_ends_what_it_asked_for(uri: str, observer: Any) -> None:
    with connected(uri) as proxy:
        with pytest.raises(errors.TimeoutError), fastpyro.timeout(0.2):
            proxy.stay("blocking")
        ended(observer, "blocking", "cancelled")
        assert proxy.echo("next") == "next"


def test_a_batch_of_coroutines_of_a_gone_client_ends(uri: str, observer: Any) -> None:
    proxy = connected(uri)
    batch = fastpyro.batch(proxy)
    for index in range(5):
        batch.stay(f"batch {index}")
    batch(asynchronous=True)
    begun(observer, "batch 0")
    proxy._pyroRelease()
    ended(observer, "batch 0", "cancelled")
    quiet(observer)
    assert "batch 1" not in observer.seen()[0]


def test_a_oneway_call_outlives_its_client(uri: str, observer: Any) -> None:
    proxy = connected(uri)
    proxy.wait_unasked("oneway")
    begun(observer, "oneway")
    proxy._pyroRelease()
    ended(observer, "oneway", False)


def test_a_result_that_is_there_is_not_cancelled(uri: str) -> None:
    with connected(uri) as proxy:
        result = proxy._pyroAsync().echo(1)
        assert result.value == 1
        assert not result.cancel()
        assert proxy.echo(2) == 2


def test_outside_a_call_nothing_is_cancelled() -> None:
    assert current_context.cancelled is False
    assert current_context.wait_cancelled(0) is False


# ---- who lies


def test_cancel_with_unknown_numbers_changes_nothing(either: str) -> None:
    with connected(either) as proxy:
        for seq in (0, 1, 77, 0xFFFF):
            cancel(proxy, seq)
        assert proxy.echo("alive") == "alive"


def test_cancel_does_not_reach_the_calls_of_others(uri: str, observer: Any) -> None:
    with connected(uri) as proxy, connected(uri) as attacker:
        result = proxy._pyroAsync().work("mine", 0.5)
        thread = proxy._pyroAsync().wait_for_cancel("thread of another", 0.5)
        begun(observer, "thread of another")
        for seq in range(0x10000):
            cancel(attacker, seq)
        assert attacker.echo(1) == 1
        assert result.value == "mine"
        assert thread.value is False


def test_cancel_twice_and_after_the_reply(uri: str, observer: Any) -> None:
    with connected(uri) as proxy:
        result = proxy._pyroAsync().stay("twice")
        begun(observer, "twice")
        seq = proxy._pyroSeq
        cancel(proxy, seq)
        cancel(proxy, seq)
        with pytest.raises(errors.PyroError, match="cancelled"):
            _ = result.value
        cancel(proxy, seq)
        assert [proxy.echo(number) for number in range(50)] == list(range(50))


def test_cancel_before_the_request(uri: str) -> None:
    with connected(uri) as proxy:
        for ahead in range(1, 20):
            cancel(proxy, proxy._pyroSeq + ahead)
        assert [proxy.echo(number) for number in range(20)] == list(range(20))


def test_cancel_before_the_handshake_ends_the_connection(either: str) -> None:
    host, port = either.split("@")[1].split(":")
    with socket.create_connection((host, int(port)), timeout=10) as stranger:
        stranger.sendall(pack_message(MSG_CANCEL, 0, 1, 70, b""))
        assert stranger.recv(65536)[6:7] in (b"", b"\x03")  # refused, or not even that
        with connected(either) as proxy:
            assert proxy.echo(1) == 1


def test_cancel_of_who_did_not_agree_ends_the_connection(uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastpyro.transport.handshake.ANNOUNCED", (0).to_bytes(4, "big"))
    proxy = connected(uri)
    connection = proxy._pyroConnection
    cancel(proxy, 1)
    with pytest.raises(errors.ConnectionClosedError):
        connection.receive(10)


def test_a_flood_of_cancels_is_served_and_holds_no_memory(uri: str, observer: Any) -> None:
    with connected(uri) as proxy:
        flood = pack_message(MSG_CANCEL, 0, 5, 70, b"") * 1000
        for _ in range(100):
            proxy._pyroConnection.sock.sendall(flood)
        assert observer.echo("served") == "served"
        assert proxy.echo("last") == "last"
        quiet(observer)


# ---- all at once


def test_no_reply_reaches_another_call_among_20000_cancels_and_timeouts(uri: str, observer: Any) -> None:
    failures: list[str] = []

    def client(number: int) -> None:
        chance = random.Random(number)
        with connected(uri) as proxy:
            for turn in range(100):
                calls = []
                for index in range(50):
                    token = f"{number}:{turn}:{index}"
                    method = chance.choice(("echo", "work"))
                    arguments = (token,) if method == "echo" else (token, chance.choice((0.0, 0.001, 0.005)))
                    calls.append((token, getattr(proxy._pyroAsync(), method)(*arguments)))
                    if chance.random() < 0.4:
                        chance.choice(calls)[1].cancel()
                for token, result in calls:
                    try:
                        with fastpyro.timeout(chance.choice((0.0005, 5, 5))):
                            value = result.value
                    except (RuntimeError, errors.TimeoutError):
                        result.cancel()
                        continue
                    except errors.ServerOverloadedError:
                        continue
                    if value != token:
                        failures.append(f"{token} got {value}")

    threads = [threading.Thread(target=client, args=(number,)) for number in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join(120)
    assert not failures
    quiet(observer)
