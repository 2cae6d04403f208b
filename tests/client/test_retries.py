"""Which calls are made again, how often and when; a server that is killed or ended under load and started again."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from server_process import ServerProcess, SubjectServer

import fastpyro
from fastpyro import errors
from fastpyro.client.method import RemoteMethod
from fastpyro.client.retries import not_begun

PROGRAM = """\
import sys
import fastpyro

class Tokens:
    def __init__(self):
        self.file = open(sys.argv[2], "a", buffering=1)

    @fastpyro.expose
    @fastpyro.idempotent
    def read(self, token):
        return token

    @fastpyro.expose
    def take(self, token):
        self.file.write(token + "\\n")
        return token

fastpyro.serve({Tokens(): "tokens"}, port=int(sys.argv[1]), use_ns=False)
"""

RESTARTS = 3


class Failing:
    """Stands for a proxy: fails as it is told to, then answers."""

    _pyroMaxRetries = 5
    _pyro_repeats_as_pyro = False

    def __init__(self, *failures: Exception, idempotent: set[str] | None = None) -> None:
        self.failures = list(failures)
        self._pyro_idempotent = idempotent

    def _pyroInvoke(self, name: str, args: Any, kwargs: Any) -> str:
        if self.failures:
            raise self.failures.pop(0)
        return "answer"


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    noted: list[float] = []
    monkeypatch.setattr(time, "sleep", noted.append)
    return noted


LOST = errors.ConnectionClosedError, errors.TimeoutError


@pytest.mark.parametrize("kind", LOST)
def test_method_that_may_run_twice_is_called_again(kind: type[Exception], pauses: list[float]) -> None:
    assert RemoteMethod(Failing(kind("lost"), kind("lost"), idempotent={"run"}), "run")() == "answer"
    assert len(pauses) == 1, "the first repetition comes at once"


@pytest.mark.parametrize("kind", LOST)
def test_other_method_of_such_an_object_is_not(kind: type[Exception]) -> None:
    with pytest.raises(kind):
        RemoteMethod(Failing(kind("lost"), idempotent={"other"}), "run")()


@pytest.mark.parametrize("kind", LOST)
def test_object_that_marks_no_method_is_called_as_by_pyro(kind: type[Exception]) -> None:
    assert RemoteMethod(Failing(kind("lost")), "run")() == "answer"


@pytest.mark.parametrize("kind", [errors.CommunicationError, errors.NamingError, errors.ServerOverloadedError, *LOST])
def test_call_that_has_not_begun_is_made_again(kind: Any) -> None:
    assert RemoteMethod(Failing(not_begun(kind("no")), idempotent=set()), "run")() == "answer"


@pytest.mark.parametrize("kind", [errors.SerializeError, errors.MessageTooLargeError, errors.SecurityError])
def test_what_fails_again_in_any_case_is_not_repeated(kind: Any) -> None:
    with pytest.raises(kind):
        RemoteMethod(Failing(not_begun(kind("no"))), "run")()


def test_facades_repeat_as_pyro() -> None:
    proxy = Failing(not_begun(errors.CommunicationError("away")))
    proxy._pyro_repeats_as_pyro = True
    with pytest.raises(errors.CommunicationError):
        RemoteMethod(proxy, "run")()


def test_pauses_grow_and_end(pauses: list[float]) -> None:
    proxy = Failing(*[errors.ConnectionClosedError("lost") for _ in range(9)])
    proxy._pyroMaxRetries = 8
    with pytest.raises(errors.ConnectionClosedError):
        RemoteMethod(proxy, "run")()
    usual = [0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    assert len(pauses) == len(usual)
    assert all(0.79 * one <= pause <= 1.21 * one for pause, one in zip(pauses, usual, strict=True))


def test_nobody_there_is_not_started() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        proxy: Any = fastpyro.Proxy(f"PYRO:x@127.0.0.1:{taken.getsockname()[1]}")
        for attempt in (proxy._pyroBind, lambda: proxy.method):
            with pytest.raises(errors.CommunicationError) as caught:
                attempt()
            assert caught.value.not_started
        proxy._pyroMaxRetries = 2
        began = time.monotonic()
        with pytest.raises(errors.CommunicationError):
            proxy.method()
        assert time.monotonic() - began >= 0.04


def test_what_has_begun_or_may_have_is_not_said_to_have_not() -> None:
    with (
        SubjectServer() as server,
        fastpyro.Proxy(server.uri()) as proxy,
        fastpyro.Proxy(server.uri("controls")) as other,
    ):
        with pytest.raises(ZeroDivisionError):
            proxy.divide(1, 0)
        proxy._pyroTimeout = 0.1
        with pytest.raises(errors.TimeoutError) as late:
            proxy.sleep(1.0)
        assert not late.value.not_started
        with pytest.raises(errors.ConnectionClosedError) as caught:
            other.die()
        assert not caught.value.not_started


def test_value_that_cannot_travel_is_not_started() -> None:
    with SubjectServer() as server, fastpyro.Proxy(server.uri()) as proxy:
        with pytest.raises(errors.SerializeError) as own:
            proxy.echo(threading.Lock())
        assert own.value.not_started
        with pytest.raises(errors.SerializeError) as theirs:
            proxy.unserializable()
        assert not theirs.value.not_started


def test_refused_because_full_is_not_started() -> None:
    settings = ("--set", "THREADPOOL_SIZE=1", "--set", "REQUEST_QUEUE_SIZE=0")
    with SubjectServer(*settings) as server, fastpyro.Proxy(server.uri()) as first:
        first.sleep(0.05)  # it is known to be slow now
        refused: list[errors.ServerOverloadedError] = []

        def call() -> None:
            with fastpyro.Proxy(server.uri()) as proxy:
                try:
                    proxy.sleep(0.5)
                except errors.ServerOverloadedError as error:
                    refused.append(error)

        threads = [threading.Thread(target=call) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert refused
    assert all(error.not_started for error in refused)


def test_error_of_the_servers_own_call_says_nothing_of_this_one() -> None:
    """A method that fails because a call of its own has not begun has begun itself."""

    class Middle:
        @fastpyro.expose
        def run(self) -> None:
            raise not_begun(errors.CommunicationError("somebody else is away"))

    with fastpyro.Daemon("127.0.0.1") as daemon:
        uri = daemon.register(Middle())
        thread = threading.Thread(target=daemon.requestLoop)
        thread.start()
        with fastpyro.Proxy(uri) as proxy:
            with pytest.raises(errors.CommunicationError, match="somebody else") as caught:
                proxy.run()
            assert not caught.value.not_started
            batch = fastpyro.BatchProxy(proxy)
            batch.run()
            with pytest.raises(errors.CommunicationError, match="somebody else") as of_batch:
                list(batch())
            assert not of_batch.value.not_started
        daemon.shutdown()
        thread.join()


class Client(threading.Thread):
    """Calls at full rate, with a token in every call, until it is told to stop."""

    def __init__(self, uri: str, number: int, stop: threading.Event) -> None:
        super().__init__()
        self.uri, self.number, self.stop = uri, number, stop
        self.failed: list[BaseException] = []
        self.uncertain = self.done = 0

    def run(self) -> None:
        with fastpyro.Proxy(self.uri) as proxy:
            proxy._pyroMaxRetries = 20
            while not self.stop.is_set():
                token = f"{self.number}-{self.done}"
                self.done += 1
                try:
                    assert proxy.read(token) == token
                except BaseException as error:
                    self.failed.append(error)
                try:
                    assert proxy.take(token) == token
                except errors.ConnectionClosedError as error:
                    self.uncertain += 1
                    if error.not_started:
                        self.failed.append(error)
                except BaseException as error:
                    self.failed.append(error)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


@contextlib.contextmanager
def started(program: Path, port: int) -> Iterator[ServerProcess]:
    with ServerProcess(program, str(port), program.with_suffix(".tokens")) as process:
        process.wait_for("daemon running")
        yield process


def outlive(program: Path, number: int) -> list[Client]:
    """Have four clients call while the server is ended by a signal and started again, some times."""
    with started(program, 0) as process:
        uri = process.wait_for(r"uri = (PYRO:\S+)")[1]
        port = int(uri.rpartition(":")[2])
        process.process.send_signal(number)
        process.wait_for_end()
    stop = threading.Event()
    clients = [Client(f"PYRO:tokens@localhost:{port}", index, stop) for index in range(4)]
    for client in clients:
        client.start()
    try:
        for _ in range(RESTARTS):
            with started(program, port) as process:
                before = [client.done for client in clients]
                until = time.monotonic() + 20
                while any(client.done < was + 20 for client, was in zip(clients, before, strict=True)):
                    assert time.monotonic() < until
                process.process.send_signal(number)
                process.wait_for_end()
        with started(program, port):
            stop.set()
            for client in clients:
                client.join(60)
    finally:
        stop.set()
    tokens = Counter(program.with_suffix(".tokens").read_text().split())
    assert not [token for token, times in tokens.items() if times > 1], "performed twice"
    assert [client.failed for client in clients] == [[]] * 4
    return clients


def test_killed_server_that_comes_back_is_outlived(program: Path) -> None:
    clients = outlive(program, signal.SIGKILL)
    assert sum(client.uncertain for client in clients) <= 4 * RESTARTS


def test_call_that_could_not_be_sent_is_not_started() -> None:
    with SubjectServer() as server, fastpyro.Proxy(server.uri()) as proxy:
        proxy._pyroOneway.add("add")
        proxy.echo()
        server.kill()
        proxy.add(1, 2)  # the answer to it is that nobody is there
        with pytest.raises(errors.ConnectionClosedError, match="sending") as caught:
            proxy.echo()
        assert caught.value.not_started


def test_terminated_server_that_comes_back_is_outlived(program: Path) -> None:
    outlive(program, signal.SIGTERM)
