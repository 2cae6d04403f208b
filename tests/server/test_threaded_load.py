"""The threaded server under slow, busy and blocked methods: others go on, bounds hold, and it ends when told to."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from server_process import PATIENCE, ServerProcess

import fastpyro
from fastpyro.errors import CommunicationError, ServerOverloadedError

PROGRAM = """
import sys, threading, time
import fastpyro

for setting in sys.argv[1:]:
    name, value = setting.split("=")
    setattr(fastpyro.config, name, value)


@fastpyro.expose
class Worker:
    def __init__(self):
        self.gate = threading.Event()
        self.inside = 0
        self.lock = threading.Lock()

    def null(self):
        return None

    def sleep(self, seconds):
        time.sleep(seconds)
        return seconds

    def compute(self, seconds):
        end = time.perf_counter() + seconds
        count = 0
        while time.perf_counter() < end:
            count += 1
        return count

    def wait(self):
        with self.lock:
            self.inside += 1
            print("inside:", self.inside, flush=True)
        return self.gate.wait(60)

    def waiting(self):
        return self.inside

    def let_go(self):
        self.gate.set()

    def block_on(self, uri):
        with fastpyro.Proxy(uri) as other:
            return other.wait()

    def threads(self):
        return threading.active_count()

    def processor_time(self):
        return time.process_time()


@fastpyro.expose
@fastpyro.behavior(instance_mode="session")
class Session:
    inside = 0

    def step(self, seconds):
        assert self.inside == 0, "called concurrently"
        self.inside += 1
        time.sleep(seconds)
        self.inside -= 1
        return True

    @fastpyro.oneway
    def oneway_step(self, seconds):
        self.step(seconds)


with fastpyro.Daemon(host="127.0.0.1") as daemon:
    daemon.register(Worker(), "worker")
    daemon.register(Session, "session")

    @fastpyro.expose
    class Control:
        def shutdown(self):
            daemon.shutdown()

    daemon.register(Control(), "control")
    print("location =", daemon.locationStr, flush=True)
    daemon.requestLoop()
print("ended with", threading.active_count(), "threads", flush=True)
"""


class Server(ServerProcess):
    """The program above, with settings."""

    def __init__(self, *settings: str) -> None:
        super().__init__(
            "-c", PROGRAM, *settings, environment={"PYTHONPATH": str(Path(fastpyro.__file__).parent.parent)}
        )
        self.location = self.wait_for(r"^location = (\S+)$").group(1)

    def proxy(self, name: str = "worker") -> fastpyro.Proxy:
        proxy = fastpyro.Proxy(f"PYRO:{name}@{self.location}")
        proxy._pyroTimeout = PATIENCE
        return proxy


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        yield running


class Background:
    """Threads that each run a function; ``join`` returns what they returned or raised."""

    def __init__(self, count: int, work: Callable[[int], Any]) -> None:
        self.outcomes: list[Any] = []
        self._work = work
        self.threads = [threading.Thread(target=self._run, args=(number,), daemon=True) for number in range(count)]
        for thread in self.threads:
            thread.start()

    def _run(self, number: int) -> None:
        try:
            self.outcomes.append(self._work(number))
        except BaseException as error:
            self.outcomes.append(error)

    def join(self) -> list[Any]:
        for thread in self.threads:
            thread.join(2 * PATIENCE)
            assert not thread.is_alive()
        return self.outcomes


def until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline


def latencies(proxy: fastpyro.Proxy, seconds: float) -> list[float]:
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        before = time.perf_counter()
        proxy.null()
        times.append(time.perf_counter() - before)
    return sorted(times)


@pytest.mark.parametrize("method", ["sleep", "compute"])
def test_slow_methods_do_not_delay_other_connections(server: Server, method: str) -> None:
    with server.proxy() as fast:
        fast.null()
        stop = threading.Event()

        def work(_: int) -> int:
            with server.proxy() as slow:
                while not stop.is_set():
                    getattr(slow, method)(0.05)
            return 1

        slow_ones = Background(3 if method == "sleep" else 1, work)
        times = latencies(fast, 1.0)
        stop.set()
        assert slow_ones.join() == [1] * len(slow_ones.threads)
    # A pure Python method keeps Python's lock for 5 milliseconds at a time; on a loaded machine everything takes longer.
    assert statistics.median(times) < 0.02
    assert times[int(len(times) * 0.9)] < 0.05


def test_methods_that_block_for_ever_on_another_proxy(server: Server) -> None:
    with server.proxy() as fast, Server() as other:
        blocked = Background(10, lambda _: server.proxy().block_on(f"PYRO:worker@{other.location}"))
        with other.proxy() as remote:
            until(lambda: remote.waiting() == 10)
            times = latencies(fast, 0.5)
            remote.let_go()
        assert blocked.join() == [True] * 10
    assert times[int(len(times) * 0.9)] < 0.02


def test_two_hundred_clients_in_slow_calls(server: Server) -> None:
    def work(number: int) -> float:
        with server.proxy() as proxy:
            return proxy.sleep(0.1 + number / 10_000)  # type: ignore[no-any-return]

    before = time.monotonic()
    assert sorted(Background(200, work).join()) == [0.1 + number / 10_000 for number in range(200)]
    assert time.monotonic() - before < 10


def test_session_objects_are_never_called_concurrently(server: Server) -> None:
    with server.proxy("session") as shared:

        def work(number: int) -> bool:
            for step in range(10):
                if (step + number) % 4 == 0:
                    shared.oneway_step(0.002)
                assert shared.step(0.003 if step % 3 else 0.0)
            return True

        assert Background(8, work).join() == [True] * 8


def test_session_calls_that_were_queued_are_not_concurrent_either() -> None:
    with Server("THREADPOOL_SIZE=2") as server, server.proxy("session") as shared:
        shared._pyroBind()  # the first calls of its session object are those in the queue
        blockers = Background(2, lambda _: server.proxy().sleep(0.4))
        steps = Background(6, lambda _: shared.step(0.01))
        assert blockers.join() == [0.4] * 2
        assert steps.join() == [True] * 6


def test_too_many_slow_calls_wait_and_then_are_refused() -> None:
    with Server("THREADPOOL_SIZE=2", "REQUEST_QUEUE_SIZE=3") as server:
        calls = Background(2, lambda _: server.proxy().wait())
        server.wait_for("inside: 2")
        waiting = Background(3, lambda _: server.proxy().wait())
        refused: list[BaseException] = []
        deadline = time.monotonic() + PATIENCE
        while not refused:
            assert time.monotonic() < deadline
            with server.proxy() as late:
                late._pyroTimeout = 1.0
                try:
                    late.wait()
                except ServerOverloadedError as error:
                    refused.append(error)
                except fastpyro.errors.TimeoutError:
                    continue  # it took the place of one of the three
        assert "2 calls are running" in str(refused[0])
        assert "THREADPOOL_SIZE" in str(refused[0])
        # The first two are let go by their own process: no call gets through.
        server.process.send_signal(15)
        outcomes = calls.join() + waiting.join()
        assert all(isinstance(outcome, CommunicationError | ServerOverloadedError) for outcome in outcomes)


def test_requests_that_wait_are_counted_with_what_is_beside_them() -> None:
    with Server("THREADPOOL_SIZE=1", "REQUEST_QUEUE_SIZE=100", "MAX_QUEUED=1000000") as server:
        calls = Background(1, lambda _: server.proxy().wait())
        server.wait_for("inside: 1")
        with server.proxy() as late:
            late._pyroTimeout = PATIENCE
            until(lambda: isinstance(refusal(late, bytes(1_100_000)), ServerOverloadedError))
        with server.proxy() as noted, server.proxy() as tagged:
            noted._pyroTimeout = PATIENCE
            assert "MAX_QUEUED" in str(refusal(noted, [bytes(300_000)] * 4))
            tagged._pyroBind()
            fastpyro.current_context.annotations = {"BULK": bytes(1_100_000)}
            try:
                assert "1,000,000 bytes" in str(refusal(tagged, 1))
            finally:
                fastpyro.current_context.annotations = {}
        server.process.send_signal(15)
        calls.join()


def refusal(proxy: Any, value: Any) -> BaseException | None:
    """Make a slow call with a value; return what that raises."""
    try:
        proxy.wait(value)  # with which it would fail, if it did not have to wait as the slow method that it is
    except Exception as error:
        return error
    return None


def test_queued_calls_run_when_there_is_room() -> None:
    with Server("THREADPOOL_SIZE=2", "REQUEST_QUEUE_SIZE=100") as server:

        def work(number: int) -> int:
            with server.proxy() as proxy:
                for _ in range(3):
                    assert proxy.sleep(0.02) == 0.02
                return number

        assert sorted(Background(20, work).join()) == list(range(20))
        with server.proxy() as proxy:
            # Two slow ones, the leader, the main thread, the monitor; and some on their way from one role to another.
            assert proxy.threads() <= 2 + 3 + 5


def crowd(server: Server, method: str, count: int) -> Background:
    """Clients that each begin a slow call, and take their time to be refused or answered."""

    def work(_: int) -> Any:
        with server.proxy() as own:
            return getattr(own, method)()

    return Background(count, work)


@pytest.mark.parametrize("places", [1, 4])
def test_slow_calls_that_take_all_places_delay_no_quick_ones(places: int) -> None:
    with Server(f"THREADPOOL_SIZE={places}") as server, server.proxy() as old:
        old.null()
        first = crowd(server, "wait", 1)  # from now on it is known to be slow
        until(lambda: old.waiting() == 1)
        slow_ones = crowd(server, "wait", 19)
        until(lambda: old.waiting() >= places)
        with server.proxy() as witness:
            times = latencies(witness, 0.5)
        for _ in range(20):
            old._pyroTimeout = 2.0
            old.null()
            with server.proxy() as new:
                new._pyroTimeout = 2.0
                new.null()
        assert times[int(len(times) * 0.9)] < 0.05
        assert old.waiting() == places
        old.let_go()
        assert first.join() + slow_ones.join() == [True] * 20


def test_methods_that_nobody_knew_to_be_slow_have_a_small_reserve() -> None:
    with Server("THREADPOOL_SIZE=4") as server, server.proxy() as good:
        slow_ones = crowd(server, "wait", 10)
        until(lambda: good.waiting() == 4)
        stranger = Background(5, lambda _: server.proxy().sleep(0.3))  # it becomes known with the first one
        good._pyroTimeout = 2.0
        for _ in range(200):
            good.null()
        assert good.threads() <= 4 + 4 // 4 + 2 + 3 + 5
        good.let_go()
        assert slow_ones.join() == [True] * 10
        assert stranger.join() == [0.3] * 5


def test_one_client_that_pipelines_slow_calls_delays_nobody() -> None:
    with Server("THREADPOOL_SIZE=4") as server, server.proxy() as good, server.proxy() as greedy:
        greedy._pyroBind()
        results = [fastpyro.asyncproxy(greedy).wait() for _ in range(20)]
        until(lambda: good.waiting() == 4)
        good._pyroTimeout = 2.0
        for _ in range(100):
            good.null()
        good.let_go()
        assert [result.value for result in results] == [True] * 20


def test_idle_threads_sleep_while_calls_wait_in_the_queue() -> None:
    with Server("THREADPOOL_SIZE=2") as server, server.proxy() as good:
        assert Background(8, lambda _: server.proxy().sleep(0.02)).join() == [0.02] * 8  # which leaves idle threads
        slow_ones = crowd(server, "wait", 6)
        until(lambda: good.waiting() == 2)
        before = good.processor_time()
        threading.Event().wait(0.5)
        assert good.processor_time() - before < 0.25
        good.let_go()
        assert slow_ones.join() == [True] * 6


def test_a_client_that_goes_during_its_slow_call_harms_nobody(server: Server) -> None:
    with server.proxy() as witness:
        for number in range(1, 21):
            leaving = server.proxy()
            Background(1, lambda _, leaving=leaving: leaving.wait())  # type: ignore[misc]
            until(lambda number=number: witness.waiting() == number)  # type: ignore[misc]
            leaving._pyroRelease()
            with server.proxy() as arriving:  # which may get the descriptor of the one that left
                assert arriving.sleep(0.001) == 0.001
                arriving.null()
        witness.let_go()
        until(lambda: witness.threads() <= 30)
        assert witness.sleep(0.001) == 0.001


def test_shutdown_during_all_of_that() -> None:
    with Server("THREADPOOL_SIZE=20") as server:
        stop = threading.Event()

        def work(number: int) -> int:
            calls = 0
            while not stop.is_set():
                try:
                    with server.proxy("session" if number % 5 == 4 else "worker") as proxy:
                        match number % 5:
                            case 0:
                                proxy.sleep(0.01)
                            case 1:
                                proxy.compute(0.003)
                            case 2:
                                [proxy.null() for _ in range(50)]
                            case 3:
                                proxy.wait()
                            case _:
                                proxy.step(0.002)
                    calls += 1
                except CommunicationError:
                    if stop.is_set() or server.process.poll() is not None:
                        return calls
            return calls

        load = Background(25, work)
        with server.proxy() as witness:
            until(lambda: witness.waiting() >= 5)
        with server.proxy("control") as control:
            before = time.monotonic()
            control.shutdown()
        server.wait_for(r"^ended with")
        assert time.monotonic() - before < 5
        stop.set()
        server.wait_for_end()
        outcomes = load.join()
        assert all(isinstance(outcome, int) for outcome in outcomes), outcomes
