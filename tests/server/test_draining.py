"""What is under way when a server is asked to stop is answered first; what comes later does not begin."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest
from server_process import ServerProcess

import fastpyro
from fastpyro.errors import CommunicationError, ConnectionClosedError, PyroError

DEADLINE = 30.0

PROGRAM = """
import selectors, sys, threading, time
import fastpyro

kind, ending = sys.argv[1:]
fastpyro.config.SERVERTYPE = kind
left, lock = threading.Event(), threading.Lock()
begun = 0

class Subject:
    def _begin(self):
        global begun
        with lock:
            begun += 1

    @fastpyro.expose
    def quick(self):
        self._begin()

    @fastpyro.expose
    def slow(self):
        self._begin()
        time.sleep(0.01)

    @fastpyro.expose
    async def later(self):
        self._begin()

    @fastpyro.expose
    def stop(self):
        self._begin()
        if ending == "method":
            daemon.shutdown()
        left.set()

@fastpyro.behavior(instance_mode="session")
class Session(Subject):
    pass

def serve_in_foreign_loop():
    with selectors.DefaultSelector() as selector:
        while not left.is_set():
            sockets = {sock.fileno(): sock for sock in daemon.sockets if sock.fileno() >= 0}
            for fd in set(selector.get_map()) - set(sockets):
                selector.unregister(fd)
            for fd in set(sockets) - set(selector.get_map()):
                selector.register(fd, selectors.EVENT_READ)
            daemon.events([key.fd for key, _ in selector.select(0.1) if key.fd in sockets])

with fastpyro.Daemon(host="127.0.0.1") as daemon:
    daemon.register(Subject(), "subject")
    daemon.register(Session, "session")
    print("serving at", daemon.locationStr, flush=True)
    loop = threading.Thread(target=daemon.requestLoop)
    if ending == "foreign loop":
        serve_in_foreign_loop()
    else:
        loop.start()
        left.wait(30)
    if ending == "other thread":
        daemon.shutdown()
    if ending in ("method", "other thread"):
        loop.join(30)
        with lock:
            print("begun", begun, flush=True)
if ending == "block":
    loop.join(30)
print("ended with", begun, flush=True)
"""


class Clients:
    """Threads that call without pause until their connection is closed. Attribute: ``answered``, calls that were."""

    def __init__(self, location: str) -> None:
        self.location = location
        self.answered = 0
        self.failures: list[BaseException] = []
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []

    def start(self, name: str, method: str) -> None:
        def work() -> None:
            try:
                with fastpyro.Proxy(f"PYRO:{name}@{self.location}") as proxy:
                    proxy._pyroTimeout = DEADLINE
                    call = getattr(proxy, method)
                    while True:
                        call()
                        with self._lock:
                            self.answered += 1
            except ConnectionClosedError:
                return
            except BaseException as error:
                self.failures.append(error)

        thread = threading.Thread(target=work)
        self._threads.append(thread)
        thread.start()

    def call(self, name: str, method: str) -> None:
        with fastpyro.Proxy(f"PYRO:{name}@{self.location}") as proxy:
            proxy._pyroTimeout = DEADLINE
            getattr(proxy, method)()
            with self._lock:
                self.answered += 1

    def join(self) -> None:
        for thread in self._threads:
            thread.join(DEADLINE)
            assert not thread.is_alive()


def until(condition: Callable[[], object]) -> None:
    event = threading.Event()
    for _ in range(int(DEADLINE / 0.005)):
        if condition():
            return
        event.wait(0.005)
    raise AssertionError("it does not happen")


@pytest.mark.parametrize(
    ("kind", "ending"),
    [
        *[(kind, ending) for kind in ("thread", "multiplex") for ending in ("method", "other thread", "block")],
        ("multiplex", "foreign loop"),
    ],
)
def test_each_call_is_answered_or_has_not_begun(kind: str, ending: str) -> None:
    with ServerProcess("-c", PROGRAM, kind, ending) as server:
        clients = Clients(server.wait_for(r"serving at (\S+)").group(1))
        for name, method in [
            ("subject", "quick"), ("subject", "quick"), ("subject", "slow"), ("subject", "slow"),
            ("session", "quick"), ("session", "slow"), ("subject", "later"), ("session", "later"),
        ]:  # fmt: skip
            clients.start(name, method)
        until(lambda: clients.answered > 200)
        clients.call("subject", "stop")
        clients.join()
        assert clients.failures == []
        begun = int(server.wait_for(r"ended with (\d+)").group(1))
        assert begun == clients.answered
        if ending in ("method", "other thread"):
            assert int(server.wait_for(r"begun (\d+)").group(1)) == begun, "the request loop ends after them"
        assert server.wait_for_end() == 0


@pytest.mark.parametrize(("kind", "name"), [("thread", "session"), ("multiplex", "subject")])
def test_requests_in_a_row(kind: str, name: str) -> None:
    """Those that have arrived are answered, and those behind them do not begin."""
    with ServerProcess("-c", PROGRAM, kind, "method") as server:
        location = server.wait_for(r"serving at (\S+)").group(1)
        with fastpyro.Proxy(f"PYRO:{name}@{location}") as proxy:
            proxy._pyroBind()
            proxy._pyroTimeout = DEADLINE
            calls: Any = fastpyro.asyncproxy(proxy)
            results = [calls.slow() for _ in range(20)]
            Clients(location).call("subject", "stop")
            answered = 1
            for result in results:
                try:
                    answered += result.value is None
                except CommunicationError:
                    continue
        assert int(server.wait_for(r"ended with (\d+)").group(1)) == answered
        assert server.wait_for_end() == 0


def test_a_call_that_goes_on_for_long_is_cut_off() -> None:
    entered, release = threading.Event(), threading.Event()

    class Subject:
        @fastpyro.expose
        def wait(self) -> bool:
            entered.set()
            return release.wait(DEADLINE)

    failed: list[BaseException] = []

    def call() -> None:
        try:
            with fastpyro.Proxy(uri) as proxy:
                proxy.wait()
        except PyroError as error:
            failed.append(error)

    with fastpyro.Daemon(host="127.0.0.1") as daemon:
        uri = daemon.register(Subject())
        loop = threading.Thread(target=daemon.requestLoop)
        client = threading.Thread(target=call)
        loop.start()
        client.start()
        assert entered.wait(DEADLINE)
    client.join(DEADLINE)
    loop.join(DEADLINE)
    release.set()
    assert [type(error) for error in failed] == [ConnectionClosedError]
    assert not loop.is_alive()


@pytest.mark.parametrize("kind", ["thread", "multiplex"])
def test_a_grace_lets_a_call_go_on_until_a_shorter_one_is_given(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastpyro.config, "SERVERTYPE", kind)
    entered, release = threading.Event(), threading.Event()

    class Subject:
        @fastpyro.expose
        def wait(self) -> bool:
            entered.set()
            return release.wait(DEADLINE)

    answers: list[bool] = []

    def call() -> None:
        with fastpyro.Proxy(uri) as proxy:
            answers.append(proxy.wait())

    with fastpyro.Daemon(host="127.0.0.1") as daemon:
        uri = daemon.register(Subject())
        loop, client = threading.Thread(target=daemon.requestLoop), threading.Thread(target=call)
        loop.start()
        client.start()
        assert entered.wait(DEADLINE)
        with pytest.raises(ValueError, match="number of seconds"):
            daemon.shutdown(grace=-1)
        daemon.shutdown(grace=DEADLINE)
        with pytest.raises(CommunicationError, match="cannot connect"), fastpyro.Proxy(uri) as late:
            late._pyroBind()
        draining = daemon.transportServer.draining
        assert not draining.ended.wait(1.5)
        daemon.shutdown(grace=2 * DEADLINE)  # which changes nothing
        release.set()
        client.join(DEADLINE)
        loop.join(DEADLINE)
        assert answers == [True]
        assert not loop.is_alive()
