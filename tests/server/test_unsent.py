"""Clients that read slowly or not at all: what they cost, whom they hold up (nobody), and how they end."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from conversations import pattern
from server_kinds import DEADLINE, Start, connected, resident, until

import fastpyro
from fastpyro.config import config
from fastpyro.constants import MSG_INVOKE
from fastpyro.errors import CommunicationError
from fastpyro.protocol._message import Outgoing
from fastpyro.serializers.registry import native
from fastpyro.server.unsent import UnsentReplies

TWENTY_MEGABYTES = native.dumps_call("calculator", "echo_times", (b"x" * 1000, 20_000), {})
METADATA = native.dumps_call("Pyro.Daemon", "get_metadata", ("Pyro.Daemon",), {})


def send_calls(proxy: Any, *requests: bytes) -> None:
    """Send requests, and do not read the replies."""
    for seq, request in enumerate(requests):
        proxy._pyroConnection.send(Outgoing(MSG_INVOKE, 0, seq, native.serializer_id, request), timeout=DEADLINE)


def next_value(proxy: Any) -> Any:
    """Wait for the reply to the next of those calls."""
    reply = proxy._pyroConnection.receive(DEADLINE)
    return native.loads(reply.payload, reply.buffers)


@pytest.mark.parametrize(("request_", "count"), [(TWENTY_MEGABYTES, 100), (METADATA, 20_000)])
def test_a_client_that_does_not_read_stops_nobody(start: Start, request_: bytes, count: int) -> None:
    with (
        start() as server,
        connected(server) as silent,
        connected(server) as proxy,
        connected(server, "controls") as controls,
    ):
        before = resident(server)
        with contextlib.suppress(CommunicationError):  # it cannot even send all of them: nobody reads them
            for _ in range(count // 100):
                silent._pyroConnection.set_max_message_size(0)
                sender = threading.Thread(target=_send_quietly, args=(silent, [request_] * 100), daemon=True)
                sender.start()
                sender.join(0.5)
                if sender.is_alive():
                    break
        for number in range(100):
            assert proxy.add(number, 1) == number + 1
        assert controls.thread_count() < 20
        assert resident(server) - before < 150_000_000


def _send_quietly(proxy: Any, requests: list[bytes]) -> None:
    with contextlib.suppress(CommunicationError):
        send_calls(proxy, *requests)


def test_memory_stays_bounded_with_many_that_do_not_read(start: Start) -> None:
    with start() as server, connected(server) as proxy, contextlib.ExitStack() as stack:
        before = most = resident(server)
        for _ in range(30):
            silent = stack.enter_context(connected(server))
            send_calls(silent, TWENTY_MEGABYTES, TWENTY_MEGABYTES)
            assert proxy.add(1, 2) == 3
            most = max(most, resident(server))
        server.wait_for(r"dropping .* more than MAX_UNSENT 33554432")
        lines = [line for line in server.output.splitlines() if "dropping" in line]
        assert len(lines) == len(set(lines)) <= 30, "each of them once"
        assert most - before < 600_000_000, "of 1,200,000,000 that were asked for"
        until(lambda: resident(server) - before < 120_000_000)
        assert proxy.echo_times(b"y", 100_000) == b"y" * 100_000


def test_who_takes_nothing_is_dropped(start: Start) -> None:
    with start(SEND_TIMEOUT=0.5) as server, connected(server) as silent, connected(server, "controls") as controls:
        assert controls.connections() == 2
        send_calls(silent, TWENTY_MEGABYTES, TWENTY_MEGABYTES)
        server.wait_for(
            r"dropping <Connection from .*>: it does not take a reply, of which \d+ bytes wait, for SEND_TIMEOUT 0.5 s"
        )
        until(lambda: controls.connections() == 1)
        with pytest.raises(CommunicationError):
            [next_value(silent) for _ in range(3)]  # two were asked for


def test_commtimeout_counts_too(start: Start) -> None:
    with start(COMMTIMEOUT=0.5) as server, connected(server) as silent:
        send_calls(silent, TWENTY_MEGABYTES)
        server.wait_for(r"dropping .*: it does not take a reply, .* for COMMTIMEOUT 0.5 s")


def test_who_reads_slowly_gets_everything(start: Start) -> None:
    values = [pattern(size) for size in (300, 10, 5_000, 700, 2_001)]
    requests = [native.dumps_call("calculator", "echo_times", (value, 1000), {}) for value in values]
    with start(SEND_TIMEOUT=DEADLINE) as server, connected(server) as slow, connected(server) as proxy:
        send_calls(slow, *requests)
        channel = slow._pyroConnection
        deadline = time.monotonic() + DEADLINE
        missing = dict(enumerate(values))
        while missing:  # in any order: threads serve the calls of one connection at once where one takes its time
            while (reply := channel.receive_available()) is None:
                assert proxy.add(len(missing), 1) == len(missing) + 1
                assert time.monotonic() < deadline
            assert native.loads(reply.payload, reply.buffers) == missing.pop(reply.seq) * 1000


def test_its_further_calls_wait_until_it_reads(start: Start) -> None:
    with start() as server, connected(server) as slow, connected(server) as proxy:
        send_calls(slow, TWENTY_MEGABYTES)
        with connected(server, "controls") as controls:
            until(lambda: controls.unsent() > 0)
        send_calls(slow, *[native.dumps_call("calculator", "note_blocking", (number,), {}) for number in range(50)])
        for number in range(100):
            assert proxy.add(number, 1) == number + 1
        assert proxy.all_notes() == []
        assert len(next_value(slow)) == 20_000_000
        for number in range(50):
            assert next_value(slow) == number + 1
        assert proxy.all_notes() == list(range(50))


def test_who_goes_meanwhile_leaves_nothing(start: Start) -> None:
    with start() as server, connected(server, "controls") as controls:
        with connected(server) as first:
            send_calls(first, TWENTY_MEGABYTES)
            until(lambda: controls.unsent() > 0)
        until(lambda: controls.connections() == 1)
        descriptors = controls.descriptors()
        for _ in range(10):
            with connected(server) as leaving:
                send_calls(leaving, TWENTY_MEGABYTES)
        until(lambda: controls.connections() == 1 and not controls.unsent())
        until(lambda: controls.descriptors() <= descriptors)


def test_many_clients_with_big_replies(start: Start) -> None:
    failures: list[BaseException] = []
    with start() as server:

        def work(number: int) -> None:
            try:
                with connected(server) as proxy:
                    value = pattern(1_000_000 + number)
                    for _ in range(3):
                        assert proxy.echo_times(value, 3) == value * 3
                        assert proxy.add(number, 1) == number + 1
            except BaseException as error:
                failures.append(error)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE)
    assert failures == []


def test_the_call_that_ends_the_server_gets_its_big_reply(start: Start) -> None:
    with start() as server, connected(server) as silent, connected(server, "controls") as controls:
        send_calls(silent, TWENTY_MEGABYTES)
        until(lambda: controls.unsent() > 0)
        assert controls.shutdown_saying(20_000_000) == "x" * 20_000_000
        assert server.wait_for_end() == 0


def test_coroutines_of_those_who_do_not_read(start: Start) -> None:
    request = native.dumps_call("waiting", "echo_times", ("x" * 1000, 1_000), {})
    with start() as server, connected(server, "waiting") as silent, connected(server, "waiting") as proxy:
        send_calls(silent, *[request] * 20)
        for number in range(100):
            assert proxy.add(number, 1) == number + 1
        for _ in range(20):
            assert len(next_value(silent)) == 1_000_000


class Subject:
    @fastpyro.expose
    def repeat(self, value: bytes, times: int) -> bytes:
        return value * times


@contextlib.contextmanager
def existing(**items: Any) -> Iterator[tuple[Any, threading.Thread]]:
    """Serve one end of a socket pair; gives a channel at the other end, and the thread."""
    before = config.as_dict()
    for name, value in items.items():
        setattr(config, name, value)
    near, far = socket.socketpair()
    with near, far, fastpyro.Daemon(connected_socket=far) as daemon:
        daemon.register(Subject(), "subject")
        for name, value in before.items():
            setattr(config, name, value)
        thread = threading.Thread(target=daemon.requestLoop, daemon=True)
        thread.start()
        try:
            with fastpyro.Proxy(daemon.uriFor("subject"), connected_socket=near) as proxy:
                yield proxy, thread
        finally:
            daemon.shutdown()
            thread.join(DEADLINE)


@pytest.mark.parametrize("portable", [False, True])
def test_on_a_connected_socket(portable: bool) -> None:
    request = native.dumps_call("subject", "repeat", (b"x" * 1000, 20_000), {})
    with existing(SEND_TIMEOUT=0.3, PORTABLE=portable) as (proxy, thread):
        assert proxy.repeat(b"x", 3_000_000) == b"x" * 3_000_000
        send_calls(proxy, request, request)
        thread.join(DEADLINE)
        assert not thread.is_alive(), "its only client was dropped"


def test_settings_that_end_the_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    with fastpyro.Daemon(host="127.0.0.1") as daemon:
        server = daemon.transportServer

        def timeout(send: float, comm: float) -> tuple[str, float]:
            monkeypatch.setattr(config, "SEND_TIMEOUT", send)
            monkeypatch.setattr(config, "COMMTIMEOUT", comm)
            unsent = UnsentReplies(server, server.patience)
            unsent.close()
            return unsent.timeout_item, unsent.timeout

        assert timeout(30.0, 0.0) == ("SEND_TIMEOUT", 30.0)
        assert timeout(30.0, 2.0) == ("COMMTIMEOUT", 2.0)
        assert timeout(1.0, 2.0) == ("SEND_TIMEOUT", 1.0)
        assert timeout(0.0, 2.0) == ("COMMTIMEOUT", 2.0)
        assert timeout(0.0, 0.0) == ("SEND_TIMEOUT", 0.0)
