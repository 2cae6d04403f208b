"""SIGTERM and Ctrl-C: what runs is finished, names are removed, the end is 0 without a traceback; twice is at once."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from server_process import ServerProcess

import fastpyro
from fastpyro.client.locate import locate_ns
from fastpyro.errors import NamingError
from fastpyro.naming.start import start_ns

PROGRAM = """\
import sys, time
import fastpyro
fastpyro.config.SERVERTYPE, ns_port, grace = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
fastpyro.config.NS_PORT = ns_port

class Worker:
    @fastpyro.expose
    def work(self, seconds):
        print("working", flush=True)
        time.sleep(seconds)
        return "done"

if ns_port:
    fastpyro.serve({Worker(): "test.worker"}, grace=grace)
else:
    fastpyro.serve(Worker(), use_ns=False, grace=grace)
print("ended", flush=True)
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.py"
    path.write_text(PROGRAM)
    return path


@pytest.fixture(params=["thread", "multiplex"])
def servertype(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def name_server() -> Iterator[Any]:
    _, daemon, _ = start_ns("127.0.0.1", 0)
    thread = threading.Thread(target=daemon.requestLoop)
    thread.start()
    try:
        with locate_ns("127.0.0.1", daemon.sock.getsockname()[1]) as proxy:
            yield proxy
    finally:
        daemon.shutdown()
        thread.join()
        daemon.close()


def uri_of(process: ServerProcess) -> str:
    uri = process.wait_for(r"uri = (PYRO:\S+)")[1]
    process.wait_for("daemon running")
    return uri


def call_in_background(uri: str, seconds: float) -> tuple[threading.Thread, list[Any]]:
    outcome: list[Any] = []

    def call() -> None:
        with fastpyro.Proxy(uri) as proxy:
            try:
                outcome.append(proxy.work(seconds))
            except BaseException as error:  # the KeyboardInterrupt, if it came into the method
                outcome.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    return thread, outcome


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_call_that_runs_is_finished_and_the_end_is_clean(program: Path, servertype: str, number: int) -> None:
    with ServerProcess(program, servertype, "0", "20") as process:
        thread, outcome = call_in_background(uri_of(process), 1.5)  # longer than a program waits that says nothing
        process.wait_for("^working")
        process.process.send_signal(number)
        assert process.wait_for_end() == 0, process.output
        thread.join()
    assert outcome == ["done"]
    assert process.output.endswith("ended\n")
    assert "Traceback" not in process.output


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_second_signal_ends_at_once(program: Path, servertype: str, first: int, second: int) -> None:
    with ServerProcess(program, servertype, "0", "60") as process:
        uri = uri_of(process)
        thread, outcome = call_in_background(uri, 60.0)
        process.wait_for("^working")
        process.process.send_signal(first)
        while can_connect(uri):  # until the first one has come
            pass
        began = time.monotonic()
        process.process.send_signal(second)
        assert process.wait_for_end() == 0, process.output
        thread.join()
    assert time.monotonic() - began < 10
    assert isinstance(outcome[0], BaseException)
    assert process.output.endswith("ended\n")
    assert "Traceback" not in process.output


def can_connect(uri: str) -> bool:
    try:
        with fastpyro.Proxy(uri) as proxy:
            proxy._pyroTimeout = 0.2
            proxy._pyroBind()
    except fastpyro.errors.TimeoutError:
        return True  # it is busy
    except fastpyro.errors.CommunicationError:
        return False
    return True


def test_grace_is_a_limit(program: Path, servertype: str) -> None:
    if servertype == "multiplex":
        servertype = "thread"  # its only thread cannot be taken from a method
    with ServerProcess(program, servertype, "0", "0.3") as process:
        thread, outcome = call_in_background(uri_of(process), 60.0)
        process.wait_for("^working")
        process.process.terminate()
        assert process.wait_for_end(20) == 0, process.output
        thread.join()
    assert isinstance(outcome[0], fastpyro.errors.ConnectionClosedError)


def test_names_are_removed_while_calls_still_run(program: Path, servertype: str, name_server: Any) -> None:
    with ServerProcess(program, servertype, str(name_server._pyroUri.port), "20") as process:
        thread, outcome = call_in_background(uri_of(process), 1.5)
        process.wait_for("^working")
        assert name_server.lookup("test.worker")
        process.process.terminate()
        while True:
            try:
                name_server.lookup("test.worker")
            except NamingError:
                break
        assert not outcome, "the name goes first"
        assert process.wait_for_end() == 0, process.output
        thread.join()
    assert outcome == ["done"]


def test_name_that_means_somebody_else_by_now_stays(program: Path, name_server: Any) -> None:
    with ServerProcess(program, "thread", str(name_server._pyroUri.port), "20") as process:
        uri_of(process)
        name_server.register("test.worker", "PYRO:other@localhost:1")
        process.interrupt()
        assert process.wait_for_end() == 0, process.output
    assert str(name_server.lookup("test.worker")) == "PYRO:other@localhost:1"


@pytest.mark.parametrize("command", [["ns", "--port", "0"], ["echo"]])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_command_line(command: list[str], number: int) -> None:
    with ServerProcess("-m", "fastpyro", *command) as process:
        process.wait_for("(?i)uri = PYRO:.*\n")
        process.process.send_signal(number)
        process.process.send_signal(number)
        assert process.wait_for_end() == 0, process.output
    assert "Traceback" not in process.output
