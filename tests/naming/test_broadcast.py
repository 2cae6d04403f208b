"""The responder answers one question and nothing else; on loopback only."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator

import pytest

from fastpyro.config import config
from fastpyro.errors import PyroError
from fastpyro.naming import broadcast
from fastpyro.naming.broadcast import BroadcastServer
from fastpyro.server.daemon import Daemon
from fastpyro.uri import URI

URI_TEXT = "PYRO:Pyro.NameServer@127.0.0.1:9090"


@pytest.fixture
def asker() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(30)
        yield sock


def test_answers_in_a_thread(asker: socket.socket) -> None:
    with BroadcastServer(URI_TEXT, "127.0.0.1", 0) as responder:
        thread = responder.runInThread()
        asker.sendto(b"nonsense", ("127.0.0.1", responder.getPort()))
        asker.sendto(b"GET_NSURI but longer", ("127.0.0.1", responder.getPort()))
        asker.sendto(b"", ("127.0.0.1", responder.getPort()))
        asker.sendto(b"GET_NSURI", ("127.0.0.1", responder.getPort()))
        assert asker.recv(1000) == URI_TEXT.encode()
        assert responder.locationStr == f"127.0.0.1:{responder.getPort()}"
    thread.join(30)
    assert not thread.is_alive()
    responder.close()
    asker.setblocking(False)
    with pytest.raises(BlockingIOError):  # one answer, to the one question
        asker.recv(1000)


def test_processes_a_request_in_a_foreign_loop(asker: socket.socket) -> None:
    with BroadcastServer(URI_TEXT, "127.0.0.1", 0) as responder:
        responder.processRequest()  # nothing there: no answer, no waiting
        assert responder.sockets == [responder.sock]
        assert responder.fileno() == responder.sock.fileno()
        asker.sendto(b"GET_NSURI", ("127.0.0.1", responder.getPort()))
        responder.serve_ready([])
        responder.serve_ready([responder.fileno()])
        assert asker.recv(1000) == URI_TEXT.encode()
    assert responder.sockets == []


def test_combines_with_a_multiplexed_daemon(asker: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "SERVERTYPE", "multiplex")
    with BroadcastServer(URI_TEXT, "127.0.0.1", 0) as responder, Daemon("127.0.0.1") as daemon:
        daemon.combine(responder)
        thread = threading.Thread(target=daemon.requestLoop)
        thread.start()
        asker.sendto(b"GET_NSURI", ("127.0.0.1", responder.getPort()))
        assert asker.recv(1000) == URI_TEXT.encode()
        daemon.shutdown()
        thread.join(30)
        assert not thread.is_alive()


def test_address_that_means_all_becomes_one_that_reaches_the_asker(asker: socket.socket) -> None:
    with BroadcastServer("PYRO:Pyro.NameServer@0.0.0.0:9090", "127.0.0.1", 0) as responder:
        asker.sendto(b"GET_NSURI", ("127.0.0.1", responder.getPort()))
        responder.processRequest()
        assert asker.recv(1000) == URI_TEXT.encode()


def test_uri_must_fit_in_an_answer() -> None:
    with pytest.raises(ValueError, match="does not fit in an answer of 100 bytes"):
        BroadcastServer(f"PYRO:Pyro.NameServer@{'h' * 100}:9090", "127.0.0.1", 0)


def test_port_that_is_taken() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        with pytest.raises(OSError, match="in use"):
            BroadcastServer(URI_TEXT, "127.0.0.1", other.getsockname()[1])


def test_an_address_gets_a_few_answers_and_no_more(asker: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with BroadcastServer(URI_TEXT, "127.0.0.1", 0) as responder:
        asker.setblocking(False)

        def answers(questions: int) -> int:
            received = 0
            for _ in range(questions):
                asker.sendto(b"GET_NSURI", ("127.0.0.1", responder.getPort()))
                responder.processRequest()
                with contextlib.suppress(BlockingIOError):
                    received += len(asker.recv(1000))
            return received

        questions = 10 * broadcast.MOST_ANSWERS_TO_ONE
        assert answers(questions) == broadcast.MOST_ANSWERS_TO_ONE * len(URI_TEXT)
        assert broadcast.MOST_ANSWERS_TO_ONE * len(URI_TEXT) < questions * len(b"GET_NSURI")
        now[0] += broadcast.WINDOW_SECONDS
        assert answers(1) == len(URI_TEXT)


@pytest.fixture
def _still_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 1000.0)


@pytest.mark.usefixtures("_still_clock")
def test_answers_to_everybody_are_bounded() -> None:
    budget = broadcast._AnswerBudget()
    hosts = [f"{first}.0.{third}.{last}" for third in range(20) for first in range(3, 9) for last in range(100)]
    assert sum(map(budget.take, hosts)) == broadcast.MOST_ANSWERS
    assert len(budget._to) < 2 * broadcast.MOST_ANSWERS


@pytest.mark.parametrize(
    ("form", "most"),
    [
        ("192.0.2.{0}", 125),
        ("::ffff:192.0.2.{0}", 125),
        ("10.{1}.{0}.1", 250),
        ("10.0.{1}.{0}", 250),
        ("2001:db8::{1}:{0}", 125),
        ("2001:db8:{1}:{0}::1", 250),
        ("fe80::{1}:{0}%eth0", 125),
    ],
)
@pytest.mark.usefixtures("_still_clock")
def test_who_asks_under_the_addresses_of_others_leaves_some(form: str, most: int) -> None:
    budget = broadcast._AnswerBudget()
    hosts = [form.format(low, high) for high in range(40) for low in range(250)]
    assert sum(map(budget.take, hosts)) == most
    for other in ("198.51.100.1", "2001:db9::1"):
        assert budget.take(other)


def test_the_loop_outlives_every_failure(asker: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [MemoryError(), RuntimeError("can't start new thread"), ValueError(), OSError("no descriptor")]
    monkeypatch.setattr(broadcast, "REST_SECONDS", 0.0)
    with BroadcastServer(URI_TEXT, "127.0.0.1", 0) as responder:
        take = responder.processRequest

        def failing() -> None:
            if failures:
                raise failures.pop()
            take()

        monkeypatch.setattr(responder, "processRequest", failing)
        responder.runInThread()
        asker.sendto(b"GET_NSURI", ("127.0.0.1", responder.getPort()))
        assert asker.recv(1000) == URI_TEXT.encode()
    assert not failures


def test_an_address_that_cannot_be_answered_is_no_matter(asker: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(address: object) -> URI:
        raise PyroError("no such thing")

    with BroadcastServer(URI_TEXT, "127.0.0.1", 0) as responder:
        monkeypatch.setattr(responder, "_uri_for", fail)
        asker.sendto(b"GET_NSURI", ("127.0.0.1", responder.getPort()))
        responder.processRequest()
