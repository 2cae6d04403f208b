"""What every server does with connections, tried with both kinds of server in processes of their own."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from server_process import SubjectServer

import fastpyro
from fastpyro import errors
from fastpyro.constants import MSG_CONNECTOK
from fastpyro.protocol._message import Outgoing
from fastpyro.server import item_streams
from fastpyro.transport.channel import PlainChannel


@pytest.fixture(scope="module", params=["thread", "multiplex"])
def server(request: pytest.FixtureRequest) -> Iterator[SubjectServer]:
    settings = ("--set", "HANDSHAKE_TIMEOUT=0.5", "--set", "POLLTIMEOUT=0.1", "--set", "MAX_MESSAGE_SIZE=1000000")
    with SubjectServer("--servertype", request.param, *settings) as running:
        yield running


def address(server: SubjectServer) -> tuple[str, int]:
    host, _, port = server.location.rpartition(":")
    return host, int(port)


def wait_until(condition: Any, seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline


def test_idle_connections_hold_no_thread_and_are_all_served(server: SubjectServer) -> None:
    with fastpyro.Proxy(server.uri()) as first:
        threads = first.thread_count()
        proxies: list[Any] = [fastpyro.Proxy(server.uri()) for _ in range(200)]
        for number, proxy in enumerate(proxies):
            assert proxy.add(number, 1) == number + 1
        assert first.thread_count() <= threads + 1
        for proxy in proxies:
            proxy._pyroRelease()


def test_no_descriptor_is_lost(server: SubjectServer) -> None:
    with fastpyro.Proxy(server.uri("controls")) as controls:
        wait_until(lambda: controls.connections() == 1)
        before = controls.descriptors()
        for _ in range(300):
            with fastpyro.Proxy(server.uri()) as proxy:
                assert proxy.add(1, 1) == 2
        wait_until(lambda: controls.connections() == 1)
        assert controls.descriptors() == before


def test_silent_and_dripping_connections_stop_nobody_and_are_dropped(server: SubjectServer) -> None:
    strangers = [socket.create_connection(address(server)) for _ in range(200)]
    for stranger in strangers[:50]:
        stranger.send(b"PYRO\x01\xf6")  # begins a message and never goes on
    with fastpyro.Proxy(server.uri()) as proxy:
        assert proxy.add(1, 1) == 2
    for stranger in strangers:
        stranger.settimeout(10)
        while stranger.recv(1000):
            pass
        stranger.close()


def test_too_large_messages_in_both_directions(server: SubjectServer) -> None:
    with fastpyro.Proxy(server.uri()) as proxy:
        assert len(proxy.echo(b"x" * 900_000)[0][0]) == 900_000
        with pytest.raises(errors.MessageTooLargeError, match="exceeds MAX_MESSAGE_SIZE 1,000,000"):
            proxy.echo_times(b"x" * 1000, 2000)
        assert proxy.add(1, 1) == 2
        with pytest.raises(errors.CommunicationError):
            proxy.echo(b"x" * 2_000_000)  # over the server's limit: it hangs up when it sees the header
        assert proxy.add(1, 1) == 2


def test_small_calls_beside_big_ones(server: SubjectServer) -> None:
    wrong: list[int] = []

    def work(size: int) -> None:
        with fastpyro.Proxy(server.uri()) as proxy:
            wrong.extend(len(proxy.echo(b"x" * size)[0][0]) - size for _ in range(30))

    threads = [threading.Thread(target=work, args=(size,)) for size in (0, 10, 5000, 40_000, 300_000, 800_000)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(wrong) == {0}


def test_instance_modes(server: SubjectServer) -> None:
    with fastpyro.Proxy(server.uri("session")) as session, fastpyro.Proxy(server.uri("percall")) as percall:
        assert [session.count(), session.count()] == [1, 2]
        assert [percall.count(), percall.count()] == [1, 1]
        with fastpyro.Proxy(server.uri("session")) as other:
            assert other.count() == 1
        session._pyroRelease()
        assert session.count() == 1
    with fastpyro.Proxy(server.uri("single")) as first, fastpyro.Proxy(server.uri("single")) as second:
        before = first.count()
        assert second.count() == before + 1


def test_out_of_descriptors_is_survived() -> None:
    with SubjectServer("--descriptors", "40", "--set", "POLLTIMEOUT=0.1") as server:
        with fastpyro.Proxy(server.uri()) as proxy:
            assert proxy.add(1, 1) == 2
            crowd: list[Any] = []
            with contextlib.suppress(errors.CommunicationError):  # admitted ones: strangers would give way
                for _ in range(60):
                    crowd.append(fastpyro.Proxy(server.uri()))
                    crowd[-1]._pyroTimeout = 1
                    crowd[-1]._pyroBind()
                    assert proxy.add(1, 1) == 2  # whoever is idle longest would give way
            waiting = [socket.create_connection(address(server)) for _ in range(5)]
            before = proxy.cpu_seconds()
            threading.Event().wait(0.5)
            assert proxy.cpu_seconds() - before < 0.25  # it does not try again all the time
            assert proxy.add(1, 1) == 2
            for client in crowd:
                client._pyroRelease()
            for stranger in waiting:
                stranger.close()
        with fastpyro.Proxy(server.uri()) as proxy:
            proxy._pyroTimeout = 10
            assert proxy.add(2, 2) == 4


def test_clients_that_hang_up_in_the_middle(server: SubjectServer) -> None:
    for _ in range(50):
        with fastpyro.Proxy(server.uri()) as proxy:
            proxy._pyroBind()
            connection = proxy._pyroConnection
            assert connection is not None
            connection.sock.send(b"PYRO\x01\xf6\x04\x46" + bytes(10))
    with fastpyro.Proxy(server.uri()) as proxy:
        assert proxy.add(1, 1) == 2


@pytest.mark.parametrize("kind", ["thread", "multiplex"])
def test_the_call_that_shuts_the_server_down_is_the_last_one_of_its_connection(kind: str) -> None:
    """Though a server that has just answered looks for the next call."""
    for _ in range(5):
        with SubjectServer("--servertype", kind) as server, fastpyro.Proxy(server.uri("controls")) as controls:
            for _ in range(20):
                assert controls.connections() == 1
            assert controls.shutdown() == "shutting down"
            with pytest.raises(errors.CommunicationError):
                controls.connections()


def test_everybody_in_a_storm_is_served(server: SubjectServer) -> None:
    def work(number: int) -> None:
        with fastpyro.Proxy(server.uri()) as proxy:
            answers.append(proxy.add(number, 1))

    answers: list[int] = []
    threads = [threading.Thread(target=work, args=(number,)) for number in range(300)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(answers) == list(range(1, 301))


@pytest.mark.parametrize("servertype", ["thread", "multiplex"])
def test_a_daemon_whose_listener_is_gone_says_so_and_ends_with_its_last_client(
    servertype: str, caplog: pytest.LogCaptureFixture
) -> None:
    fastpyro.config.SERVERTYPE = servertype
    try:
        with fastpyro.Daemon(host="127.0.0.1") as daemon:
            loop = threading.Thread(target=daemon.requestLoop)
            loop.start()
            with fastpyro.Proxy(f"PYRO:Pyro.Daemon@{daemon.locationStr}") as proxy:
                proxy._pyroTimeout = 20
                proxy.ping()
                daemon.sock.close()
                deadline = time.monotonic() + 20
                while "listening socket" not in caplog.text:
                    assert time.monotonic() < deadline
                    proxy.ping()
                assert loop.is_alive()
            loop.join(20)
            assert not loop.is_alive()
    finally:
        fastpyro.config.reset()


class Counting:
    @fastpyro.expose
    def numbers(self) -> Iterator[int]:
        yield from range(10)


@pytest.mark.parametrize("servertype", ["thread", "multiplex"])
def test_streams_that_are_left_end_in_many_turns_and_soon(servertype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty turns; the server looks at deadlines once a second when nothing is left to do."""
    monkeypatch.setattr(item_streams, "MOST_EXPIRED", 5)
    monkeypatch.setattr(fastpyro.config, "ITER_STREAM_LINGER", 0.0)
    monkeypatch.setattr(fastpyro.config, "SERVERTYPE", servertype)
    with fastpyro.Daemon(host="127.0.0.1") as daemon:
        thread = threading.Thread(target=daemon.requestLoop, daemon=True)
        thread.start()
        with fastpyro.Proxy(daemon.register(Counting())) as proxy:
            streams = [proxy.numbers() for _ in range(200)]
            assert [next(stream) for stream in streams] == [0] * 200
            proxy._pyroRelease()
            wait_until(lambda: not daemon.streams.streams)
        daemon.shutdown()
        thread.join(20)


@pytest.mark.skipif(fastpyro.config.PORTABLE, reason="watches native channels")
@pytest.mark.parametrize("servertype", ["thread", "multiplex"])
def test_a_client_may_send_big_messages_when_it_hears_that_it_is_admitted(
    servertype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not a moment later: another thread may read its first call before the one that admitted it goes on."""
    happened: list[str] = []
    send, limit = PlainChannel.send, PlainChannel.set_max_message_size

    def watched_send(self: PlainChannel, message: Outgoing, timeout: float | None = None) -> None:
        if message.kind == MSG_CONNECTOK:
            happened.append("admitted")
        send(self, message, timeout)

    def watched_limit(self: PlainChannel, size: int) -> None:
        if threading.current_thread() is not threading.main_thread():  # the daemon's side
            happened.append("limit")
        limit(self, size)

    monkeypatch.setattr(fastpyro.config, "SERVERTYPE", servertype)
    monkeypatch.setattr(PlainChannel, "send", watched_send)
    monkeypatch.setattr(PlainChannel, "set_max_message_size", watched_limit)
    with fastpyro.Daemon(host="127.0.0.1") as daemon:
        thread = threading.Thread(target=daemon.requestLoop)
        thread.start()
        try:
            with fastpyro.Proxy(daemon.uriFor("Pyro.Daemon")) as proxy:
                proxy._pyroBind()
        finally:
            daemon.shutdown()
            thread.join()
    assert happened == ["limit", "admitted"]


def test_a_late_thread_leaves_the_descriptors_next_owner_alone() -> None:
    """A connection that was dropped meanwhile says nothing of the one that has its descriptor now."""
    with fastpyro.Daemon(host="127.0.0.1") as daemon:
        server: Any = daemon.transportServer
        ours, theirs = socket.socketpair()
        gone = server.admit(ours, "gone")
        fd = gone.fd
        server.drop(gone)
        theirs.close()
        ours, theirs = socket.socketpair()
        with theirs:
            number = ours.detach()
            if number != fd:
                os.dup2(number, fd)
                os.close(number)
            next_one = server.admit(socket.socket(fileno=fd), "next")
            assert next_one.fd == gone.fd
            server.part(gone, None)
            assert not server._parting
            assert server.turns.next() is None
            theirs.sendall(b"x")
            assert next_one.fd in server.poller.wait(20)
