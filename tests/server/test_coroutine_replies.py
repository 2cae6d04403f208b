"""Methods that are coroutines: answered when they are done, without a thread each, on both kinds of servers."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from server_process import SubjectServer

import fastpyro
from fastpyro import errors
from fastpyro.constants import MSG_INVOKE
from fastpyro.protocol._message import Outgoing
from fastpyro.serializers.registry import native

DEADLINE = 20.0


@pytest.fixture(scope="module", params=["thread", "multiplex"])
def server(request: pytest.FixtureRequest) -> Iterator[SubjectServer]:
    with SubjectServer("--servertype", request.param) as running:
        yield running


@pytest.fixture(params=["native", "serpent", "msgpack"])
def proxy(server: SubjectServer, request: pytest.FixtureRequest) -> Iterator[Any]:
    with fastpyro.Proxy(server.uri("waiting")) as connected:
        connected._pyroSerializer = request.param
        connected._pyroTimeout = DEADLINE
        yield connected


def in_threads(count: int, work: Any) -> list[threading.Thread]:
    threads = [threading.Thread(target=work, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    return threads


def test_the_callers_get_the_values(proxy: Any) -> None:
    assert [proxy.add(number, 1) for number in range(50)] == list(range(1, 51))
    assert proxy.add(left=1) == 11
    assert proxy.size("x" * 300_000) == 300_000
    assert proxy.echo_times("ab", 200_000) == "ab" * 200_000


def test_all_run_in_the_thread_of_one_loop(server: SubjectServer, proxy: Any) -> None:
    with fastpyro.Proxy(server.uri("waiting.session")) as other:
        assert {proxy.thread_name(), other.thread_name()} == {"fastpyro-event-loop"}


def test_what_they_raise_is_raised(proxy: Any) -> None:
    with pytest.raises(ValueError, match="no nuts") as caught:
        proxy.fail("no nuts")
    trace = "".join(caught.value._pyroTraceback)  # type: ignore[attr-defined]
    assert "raise ValueError(text)" in trace
    assert "coroutines.py" not in trace
    with pytest.raises(errors.RemoteError, match="not for the server"):
        proxy.exit()
    with pytest.raises(errors.PyroError, match="the call was cancelled"):
        proxy.give_up()
    with pytest.raises((errors.SerializeError, TypeError)):
        proxy.unserializable()
    with pytest.raises(TypeError, match="left"):
        proxy.add()
    assert proxy.add(1, 1) == 2


@pytest.mark.parametrize("server_type", ["thread", "multiplex"])
def test_hundreds_of_clients_wait_at_a_time(server_type: str) -> None:
    """More than there may be slow calls: they need no threads."""
    with SubjectServer("--servertype", server_type, "--set", "THREADPOOL_SIZE=4") as small:
        met: list[int] = []

        def work(_: int) -> None:
            with fastpyro.Proxy(small.uri("waiting")) as own:
                met.append(own.meet(200))

        for thread in in_threads(200, work):
            thread.join(DEADLINE)
        assert met == [200] * 200
        with fastpyro.Proxy(small.uri()) as calculator:  # over the portable channel others send, in threads
            assert calculator.thread_count() < (250 if fastpyro.config.PORTABLE else 40)


@pytest.mark.parametrize("server_type", ["thread", "multiplex"])
def test_many_wait_on_one_connection(server_type: str) -> None:
    with SubjectServer("--servertype", server_type) as fresh, fastpyro.Proxy(fresh.uri("waiting")) as proxy:
        proxy._pyroBind()
        results = [fastpyro.asyncproxy(proxy).meet(100) for _ in range(100)]
        assert [result.value for result in results] == [100] * 100


@pytest.mark.parametrize("serializer", ["native", "serpent"])
def test_calls_of_a_session_run_one_by_one_and_in_order(server: SubjectServer, serializer: str) -> None:
    with fastpyro.Proxy(server.uri("waiting.session")) as proxy:
        proxy._pyroSerializer = serializer
        proxy._pyroBind()
        twin = fastpyro.asyncproxy(proxy)
        results = [twin.pass_through(number) for number in range(300)]
        assert [result.value for result in results] == list(range(300))
        if (
            serializer == "native" and not fastpyro.config.PORTABLE
        ):  # otherwise each asynchronous call has a connection, and so a session, of its own
            assert proxy.seen() in ((1, list(range(300))), [1, list(range(300))])


def test_oneway_calls_return_at_once_and_run(server: SubjectServer, proxy: Any) -> None:
    with fastpyro.Proxy(server.uri("waiting.session")) as own:
        own._pyroSerializer = proxy._pyroSerializer
        for number in range(20):
            assert own.note(number) is None
        deadline = time.monotonic() + DEADLINE
        while len(own.seen()[1]) < 20:
            assert time.monotonic() < deadline
        assert sorted(own.seen()[1]) == list(range(20))
        if proxy._pyroSerializer == "native":
            assert own.seen()[1] == list(range(20))


def test_batches_wait_for_each(proxy: Any) -> None:
    batch = fastpyro.BatchProxy(proxy)
    for number in range(10):
        batch.add(number, number)
    batch.fail("no bolts")
    batch.add(1, 1)
    results = batch()
    assert [next(results) for _ in range(10)] == [2 * number for number in range(10)]
    with pytest.raises(ValueError, match="no bolts"):
        next(results)


def test_asynchronous_generators_are_streams(proxy: Any) -> None:
    assert list(proxy.numbers(20)) == list(range(20))
    items = proxy.failing_numbers()
    assert next(items) == 1
    with pytest.raises(ValueError, match="no second number"):
        next(items)
    half = proxy.numbers(5)
    assert next(half) == 0
    half.close()
    assert proxy.add(1, 1) == 2


def test_the_context_is_that_of_the_call() -> None:
    with SubjectServer() as fresh:
        seen: dict[str, Any] = {}

        def work(number: int) -> None:
            with fastpyro.Proxy(fresh.uri("waiting")) as own:
                own._pyroBind()
                fastpyro.current_context.annotations = {"NUMB": b"%d" % number}
                address, annotations = own.context(20)
                assert annotations == {"NUMB": b"%d" % number}
                assert bytes(fastpyro.current_context.response_annotations["RESP"]).decode() == address
                assert address == str(own._pyroLocalSocket)
                seen[address] = number

        for thread in in_threads(20, work):
            thread.join(DEADLINE)
        assert sorted(seen.values()) == list(range(20))


def test_beyond_the_bound_callers_get_a_named_error() -> None:
    def stay(_: int) -> None:
        with fastpyro.Proxy(small.uri("waiting")) as own:
            answers.append(own.stay())

    answers: list[bool] = []
    with (
        SubjectServer("--set", "THREADPOOL_SIZE=2", "--set", "REQUEST_QUEUE_SIZE=3") as small,
        fastpyro.Proxy(small.uri("waiting")) as proxy,
        fastpyro.Proxy(small.uri("controls")) as controls,
    ):
        threads = in_threads(5, stay)
        deadline = time.monotonic() + DEADLINE
        while controls.coroutines_under_way() < 5:
            assert time.monotonic() < deadline
        with pytest.raises(errors.ServerOverloadedError, match="5 calls of coroutines"):
            proxy.stay()
        batch = fastpyro.BatchProxy(proxy)  # whose coroutines are not counted: the batch waits for them
        batch.open_gate()
        list(batch())
        for thread in threads:
            thread.join(DEADLINE)
        assert answers == [True] * 5
        assert proxy.add(1, 1) == 2


@pytest.mark.parametrize("server_type", ["thread", "multiplex"])
def test_one_connection_cannot_take_all_places(server_type: str) -> None:
    settings = "--set", "THREADPOOL_SIZE=4", "--set", "REQUEST_QUEUE_SIZE=16"
    with SubjectServer("--servertype", server_type, *settings) as small, fastpyro.Proxy(small.uri("waiting")) as greedy:
        greedy._pyroBind()
        request = native.dumps_call("waiting", "stay", (), {})
        for seq in range(30):
            greedy._pyroConnection.send(Outgoing(MSG_INVOKE, 0, seq, native.serializer_id, request))  # type: ignore[union-attr]
        if not fastpyro.config.PORTABLE:
            refused = [greedy._pyroConnection.receive().seq for _ in range(20)]  # type: ignore[union-attr]
            assert refused == list(range(10, 30))
        with fastpyro.Proxy(small.uri("waiting")) as good, fastpyro.Proxy(small.uri("controls")) as controls:
            good._pyroTimeout = DEADLINE
            assert good.add(1, 1) == 2
            staying = [fastpyro.asyncproxy(good).stay() for _ in range(3)]
            assert good.add(1, 2) == 3
            if not fastpyro.config.PORTABLE:
                assert controls.coroutines_under_way() == 13
            batch = fastpyro.BatchProxy(good)
            batch.open_gate()
            list(batch())
            assert [result.value for result in staying] == [True] * 3
            greedy._pyroRelease()
            deadline = time.monotonic() + DEADLINE
            while controls.coroutines_under_way():
                assert time.monotonic() < deadline


@pytest.mark.parametrize("server_type", ["thread", "multiplex"])
def test_clients_that_do_not_read_cost_no_thread_and_others_nothing(server_type: str) -> None:
    with SubjectServer("--servertype", server_type) as fresh:
        silent = [fastpyro.Proxy(fresh.uri("waiting")) for _ in range(5)]
        request = native.dumps_call("waiting", "echo_times", ("x" * 100, 20_000), {})
        with fastpyro.Proxy(fresh.uri("waiting")) as proxy, fastpyro.Proxy(fresh.uri("controls")) as controls:
            for client in silent:
                client._pyroBind()
                for seq in range(20):
                    client._pyroConnection.send(Outgoing(MSG_INVOKE, 0, seq, native.serializer_id, request))  # type: ignore[union-attr]
            proxy._pyroTimeout = DEADLINE
            for number in range(200):
                assert proxy.add(number, 1) == number + 1
                assert len(proxy.echo_times("y", 50_000)) == 50_000
            assert controls.thread_count() < 20
            for client in silent:
                client._pyroRelease()
            deadline = time.monotonic() + DEADLINE
            while controls.coroutines_under_way():
                assert time.monotonic() < deadline


def test_the_server_dies_meanwhile() -> None:
    with SubjectServer() as fresh, fastpyro.Proxy(fresh.uri("waiting")) as proxy:
        proxy._pyroBind()
        staying = [fastpyro.asyncproxy(proxy).stay() for _ in range(10)]
        assert proxy.add(1, 1) == 2
        fresh.kill()
        for result in staying:
            with pytest.raises(errors.CommunicationError):
                assert result.value


def test_clients_that_go_meanwhile_leave_nothing(server: SubjectServer) -> None:
    for _ in range(30):
        with fastpyro.Proxy(server.uri("waiting")) as proxy:
            proxy._pyroBind()
            fastpyro.asyncproxy(proxy).pass_through(bytes(100_000))
    with fastpyro.Proxy(server.uri("controls")) as controls:
        deadline = time.monotonic() + DEADLINE
        while controls.connections() > 1:
            assert time.monotonic() < deadline
            gc.collect()  # proxies of other tests


@pytest.mark.skipif(fastpyro.config.PORTABLE, reason="a connection with one call at a time is not watched meanwhile")
def test_a_coroutine_may_end_with_its_client(server: SubjectServer) -> None:
    with fastpyro.Proxy(server.uri("controls")) as controls:
        with fastpyro.Proxy(server.uri("waiting")) as proxy:
            proxy._pyroTimeout = 0.2
            with pytest.raises(errors.TimeoutError):
                proxy.stay_for_the_client()
        deadline = time.monotonic() + DEADLINE
        while controls.coroutines_under_way():
            assert time.monotonic() < deadline


@pytest.mark.parametrize("server_type", ["thread", "multiplex"])
def test_a_coroutine_may_shut_the_daemon_down(server_type: str) -> None:
    with SubjectServer("--servertype", server_type) as fresh:
        with fastpyro.Proxy(fresh.uri("waiting")) as other, fastpyro.Proxy(fresh.uri("waiting")) as proxy:
            other._pyroBind()
            staying = fastpyro.asyncproxy(other).stay()
            assert proxy.shutdown() == "shutting down"
            assert fresh.wait_for_end() == 0
            with pytest.raises(errors.CommunicationError):
                assert staying.value
        assert "stopped" in fresh.output
        assert "Traceback" not in fresh.output
        assert "never awaited" not in fresh.output


def test_a_hook_that_fails_costs_its_client_the_connection(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(fastpyro.Daemon):
        failing = True

        def annotations(self) -> dict[str, bytes]:
            if self.failing:
                raise SystemExit("a hook")
            return {}

    @fastpyro.expose
    class Subject:
        async def add(self, left: int, right: int) -> int:
            Failing.failing = right > 1
            return left + right

    Failing.failing = False
    with Failing(host="127.0.0.1") as daemon:
        uri = daemon.register(Subject())
        serving = threading.Thread(target=daemon.requestLoop)
        serving.start()
        try:
            with fastpyro.Proxy(uri) as proxy, pytest.raises(errors.ConnectionClosedError):
                proxy.add(1, 2)
            Failing.failing = False
            with fastpyro.Proxy(uri) as proxy:
                assert proxy.add(1, 1) == 2
            deadline = time.monotonic() + DEADLINE
            while daemon.transportServer.late_replies.under_way.total:
                assert time.monotonic() < deadline
        finally:
            daemon.shutdown()
            serving.join()
    assert "the daemon failed to answer it" in caplog.text


@pytest.mark.parametrize("server_type", ["thread", "multiplex"])
def test_the_loop_may_be_the_programs_own(server_type: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastpyro.config, "SERVERTYPE", server_type)

    @fastpyro.expose
    class Subject:
        async def loop_is(self) -> bool:
            await asyncio.sleep(0)
            return asyncio.get_running_loop() is loop

    async def main() -> bool:
        with fastpyro.Daemon(host="127.0.0.1") as daemon:
            daemon.event_loop = loop
            serving = threading.Thread(target=daemon.requestLoop)
            serving.start()
            try:
                with fastpyro.Proxy(daemon.register(Subject())) as proxy:
                    return bool(await asyncio.to_thread(proxy.loop_is))
            finally:
                daemon.shutdown()
                serving.join()

    loop = asyncio.new_event_loop()
    try:
        assert loop.run_until_complete(main())
    finally:
        loop.close()


def test_a_foreign_loop_in_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """asyncio serves a multiplexed daemon, and runs its coroutines: nothing else runs anything."""
    monkeypatch.setattr(fastpyro.config, "SERVERTYPE", "multiplex")

    @fastpyro.expose
    class Subject:
        async def thread(self) -> int:
            await asyncio.sleep(0)
            return threading.get_ident()

        async def both(self) -> int:
            return 1

    async def main() -> None:
        with fastpyro.Daemon(host="127.0.0.1") as daemon:
            loop = daemon.event_loop = asyncio.get_running_loop()
            watched: dict[int, Any] = {}

            def serve(sock: Any) -> None:
                daemon.events([sock])
                look()

            def look() -> None:
                sockets = {sock.fileno(): sock for sock in daemon.sockets if sock.fileno() >= 0}
                for fd in set(watched) - set(sockets):
                    loop.remove_reader(watched.pop(fd))
                for fd in set(sockets) - set(watched):
                    watched[fd] = fd
                    loop.add_reader(fd, serve, sockets[fd])

            look()
            uri = daemon.register(Subject())

            def client() -> None:
                with fastpyro.Proxy(uri) as proxy:
                    assert proxy.thread() == threading.main_thread().ident
                    batch = fastpyro.BatchProxy(proxy)
                    batch.both()
                    with pytest.raises(errors.PyroError, match="its own event loop"):
                        next(batch())

            await asyncio.wait_for(asyncio.to_thread(client), DEADLINE)
            for fd in watched.values():
                loop.remove_reader(fd)

    asyncio.run(main())
