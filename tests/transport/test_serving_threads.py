"""A thread that serves a daemon never waits for itself."""

from __future__ import annotations

import gc
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from every_bytecode import in_time
from socket_pairs import DEADLINE

import fastpyro
from fastpyro._mutex import ServingThread
from fastpyro.errors import LocalProtocolError
from fastpyro.transport.serving_threads import begin_to_serve, end_serving, serving_thread


@fastpyro.expose
class Subject:
    """Calls daemons, its own among them."""

    def __init__(self) -> None:
        self.own = ""
        self.proxy: Any = None
        self.outcomes: list[Any] = []

    def echo(self, value: int) -> int:
        return value

    def ask(self, uri: str) -> int:
        with fastpyro.Proxy(uri) as proxy:
            proxy._pyroTimeout = DEADLINE
            return proxy.echo(1) + 1  # type: ignore[no-any-return]

    def ask_connected(self) -> int:
        return self.proxy.echo(1) + 1  # type: ignore[no-any-return]

    def litter(self) -> None:
        cycle: list[Any] = [CallsBack(self)]
        cycle.append(cycle)


class CallsBack:
    """Its destructor calls the daemon that it was made in."""

    def __init__(self, subject: Subject) -> None:
        self.subject = subject

    def __del__(self) -> None:
        if not self.subject.own:
            return  # it is left from a test that has ended, and must not call from the middle of another one
        try:
            self.subject.outcomes.append(self.subject.ask(self.subject.own))
        except BaseException as error:
            self.subject.outcomes.append(error)


class Served:
    """A daemon in a thread, with its subject."""

    def __init__(self, address: dict[str, Any], daemon_class: type[fastpyro.Daemon] = fastpyro.Daemon) -> None:
        self.daemon = daemon_class(**address)
        self.subject = Subject()
        self.subject.own = str(self.daemon.register(self.subject, "subject"))
        self.thread = threading.Thread(target=self.daemon.requestLoop, daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.subject.own = ""
        self.daemon.shutdown()
        self.thread.join(DEADLINE)
        self.daemon.close()


@pytest.fixture(params=["thread", "multiplex"])
def servertype(request: pytest.FixtureRequest) -> Iterator[str]:
    fastpyro.config.SERVERTYPE = request.param
    try:
        yield request.param
    finally:
        fastpyro.config.reset(False)


@pytest.fixture(params=["tcp", "wildcard", "unix", "portable"])
def address(request: pytest.FixtureRequest, tmp_path: Any) -> Iterator[dict[str, Any]]:
    fastpyro.config.PORTABLE = request.param == "portable"
    try:
        if request.param == "unix":
            yield {"unixsocket": str(tmp_path / "s")}
        elif request.param == "wildcard":
            yield {"host": "0.0.0.0", "nathost": "127.0.0.1"}
        else:
            yield {"host": "127.0.0.1"}
    finally:
        fastpyro.config.reset(False)


def test_a_daemon_of_one_thread_is_not_called_by_itself(address: dict[str, Any]) -> None:
    fastpyro.config.SERVERTYPE = "multiplex"
    served, other = Served(address), Served({"host": "127.0.0.1"})
    try:
        with fastpyro.Proxy(served.subject.own) as proxy:
            proxy._pyroTimeout = DEADLINE
            with pytest.raises(LocalProtocolError, match="would wait for itself"):
                proxy.ask(served.subject.own)
            served.subject.proxy = fastpyro.Proxy(served.subject.own)
            assert served.subject.ask_connected() == 2  # this thread connects, and may wait
            with pytest.raises(LocalProtocolError, match="would wait for itself"):
                proxy.ask_connected()
            served.subject.proxy._pyroRelease()
            assert proxy.ask(other.subject.own) == 2
            assert proxy.echo(5) == 5
    finally:
        served.close()
        other.close()


def test_a_daemon_of_many_threads_may_call_itself() -> None:
    served = Served({"host": "127.0.0.1"})
    try:
        with fastpyro.Proxy(served.subject.own) as proxy:
            proxy._pyroTimeout = DEADLINE
            assert proxy.ask(served.subject.own) == 2
    finally:
        served.close()


class Hooked(fastpyro.Daemon):
    """A daemon whose hooks call another one."""

    other = ""
    said: list[Any]

    def validateHandshake(self, conn: Any, data: Any) -> Any:
        self.said.append(Subject().ask(self.other))
        return super().validateHandshake(conn, data)

    def clientDisconnect(self, conn: Any) -> None:
        self.said.append(Subject().ask(self.other))
        gone.set()


gone = threading.Event()


def test_hooks_may_call_other_daemons(servertype: str) -> None:
    other = Served({"host": "127.0.0.1"})
    served = Served({"host": "127.0.0.1"}, Hooked)
    daemon: Any = served.daemon
    daemon.other, daemon.said = other.subject.own, []
    gone.clear()
    try:
        with fastpyro.Proxy(served.subject.own) as proxy:
            assert proxy.echo(3) == 3
        assert gone.wait(DEADLINE)
        assert daemon.said == [2, 2]
    finally:
        served.close()
        other.close()


def test_a_destructor_between_requests_is_refused(servertype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    served = Served({"host": "127.0.0.1"})
    server: Any = served.daemon.transportServer
    drain = server._wakeups.drain
    done = threading.Event()

    def drain_and_destroy() -> None:
        drain()
        CallsBack(served.subject)
        done.set()

    monkeypatch.setattr(server._wakeups, "drain", drain_and_destroy)
    try:
        server.wakeup()
        assert done.wait(DEADLINE)
        outcomes = list(served.subject.outcomes)  # of each time that it was woken up
        assert outcomes
        assert all(isinstance(outcome, LocalProtocolError) for outcome in outcomes), outcomes
        with fastpyro.Proxy(served.subject.own) as proxy:
            assert proxy.echo(4) == 4
    finally:
        served.close()


def test_destructors_anywhere_in_a_server(servertype: str) -> None:
    """Whatever a destructor gets where it happens to run, clients are answered."""
    served = Served({"host": "127.0.0.1"})
    rounds = 200

    def call() -> None:
        threshold = gc.get_threshold()
        gc.set_threshold(1)
        try:
            with fastpyro.Proxy(served.subject.own) as proxy:
                proxy._pyroTimeout = DEADLINE
                for number in range(rounds):
                    proxy.litter()
                    assert proxy.echo(number) == number
        finally:
            gc.set_threshold(*threshold)

    try:
        assert in_time(call, 60) is None
        assert served.subject.outcomes
        for outcome in served.subject.outcomes:
            assert outcome == 2 or isinstance(outcome, LocalProtocolError), outcome
    finally:
        served.close()


def test_only_the_own_address_counts() -> None:
    thread = ServingThread()
    thread.ident = threading.get_ident()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        begin_to_serve(listener, thread)
        try:
            with socket.create_connection(listener.getsockname()) as sock:
                assert serving_thread(sock) is thread
            pair = socket.socketpair()
            with pair[0], pair[1]:
                assert serving_thread(pair[0]) is None
        finally:
            end_serving(thread)
        with socket.create_connection(listener.getsockname()) as sock:
            assert serving_thread(sock) is None
    assert thread.ident == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_forked_child_serves_nothing() -> None:
    thread = ServingThread()
    thread.ident = threading.get_ident()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        begin_to_serve(listener, thread)
        try:
            child = os.fork()
            if child == 0:
                os._exit(thread.ident)
            assert os.waitpid(child, 0)[1] == 0
            assert thread.ident == threading.get_ident()
        finally:
            end_serving(thread)
