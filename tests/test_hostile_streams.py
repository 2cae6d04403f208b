"""Streams against who lies or takes too much: daemons whose answers are none, clients that flood; a GiB in little memory."""

from __future__ import annotations

import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from server_process import ServerProcess
from socket_pairs import DEADLINE

import fastpyro
from fastpyro.constants import (
    FLAGS_EXCEPTION,
    FLAGS_ITEMSTREAMRESULT,
    MSG_CONNECT,
    MSG_CONNECTOK,
    MSG_RESULT,
    NATIVE_SERIALIZER_ID,
)
from fastpyro.errors import CommunicationError, ProtocolError, PyroError
from fastpyro.protocol._assembler import Decoder
from fastpyro.protocol._message import pack_message
from fastpyro.serializers.registry import native
from fastpyro.transport import handshake

MIB = 1 << 20

SERVER = """
import resource, threading
import fastpyro

@fastpyro.expose
class Source:
    def __init__(self):
        self.resume = threading.Event()

    def blocks(self, count, size):
        for number in range(count):
            yield number.to_bytes(4, "big") * (size // 4)

    def numbers(self, count):
        yield from range(count)

    def waiting(self):
        self.resume.wait(30)
        yield 1

    def go_on(self):
        self.resume.set()

    def peak(self):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

with fastpyro.Daemon(host="127.0.0.1") as daemon:
    print("uri =", daemon.register(Source()), flush=True)
    daemon.requestLoop()
"""


@pytest.fixture(scope="module")
def uri() -> Iterator[str]:
    with ServerProcess("-c", SERVER) as server:
        yield server.wait_for(r"uri = (\S+)")[1]


@pytest.mark.parametrize("size", [1000, 60_000, 1 << 20])
def test_a_gib_through_a_slow_consumer_takes_little_memory(uri: str, size: int) -> None:
    """Slow: it makes a call between any two MiB."""
    count = (1 << 30) // size if size >= 60_000 else (1 << 27) // size
    with fastpyro.Proxy(uri) as proxy:
        theirs, ours = proxy.peak(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        for number, block in enumerate(proxy.blocks(count, size)):
            assert block[:4] == number.to_bytes(4, "big")
            if number % max(MIB // size, 1) == 0:
                proxy.go_on()
        assert number == count - 1
        assert proxy.peak() - theirs < 48 * MIB
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - ours < 48 * MIB


def test_a_consumer_that_stops_holds_nobody_up(uri: str) -> None:
    with fastpyro.Proxy(uri) as proxy, fastpyro.Proxy(uri) as other:
        streams = [proxy.blocks(1000, 10_000) for _ in range(60)]
        for stream in streams:
            for _ in range(20):
                next(stream)
        for _ in range(100):
            assert other.peak() > 0
        assert proxy.peak() > 0
        for stream in streams:
            stream.close()


def test_a_flood_of_pulls_of_a_waiting_stream_stops_nobody(uri: str) -> None:
    """3,000 are under way at once; others are served meanwhile, and all are answered in the end."""
    with fastpyro.Proxy(uri) as proxy, fastpyro.Proxy(uri) as other:
        daemon = fastpyro.Proxy(f"PYRO:Pyro.Daemon@{proxy._pyroUri.location}")
        stream = proxy.waiting()
        flood = fastpyro.asyncproxy(daemon)
        results = [flood.pull_stream_items(stream.streamId, 2**31, 2**31, 0) for _ in range(3000)]
        for _ in range(100):
            assert list(other.numbers(10)) == list(range(10))
        other.go_on()
        refused = 0
        for result in results:
            try:
                assert result.wait(DEADLINE)
                assert result.value[1] == [1]
            except PyroError:
                refused += 1
        assert refused >= 2900
        daemon._pyroRelease()


class Liar:
    """A daemon that speaks natively, whose method returns a stream, and whose answers to pulls are these."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.pulls = 0

    def reply(self, message: Any) -> bytes:
        def pack(kind: int, flags: int, value: Any, annotations: Any = None) -> bytes:
            payload = native.dumps(value)
            return pack_message(kind, flags, message.seq, NATIVE_SERIALIZER_ID, payload, annotations)

        if message.kind == MSG_CONNECT:
            metadata = {"methods": {"items"}, "attrs": set(), "oneway": set()}
            return pack(MSG_CONNECTOK, 0, {"handshake": "hello", "meta": metadata}, handshake.native_answer())
        if b"pull_stream_items" in message.payload:
            self.pulls += 1
            return pack(MSG_RESULT, 0, self.answers.pop(0) if len(self.answers) > 1 else self.answers[0])
        if b"get_next_stream_item" in message.payload:
            return pack(MSG_RESULT, 0, "first")
        if b"close_stream" in message.payload:
            return b""
        flags = FLAGS_EXCEPTION | FLAGS_ITEMSTREAMRESULT
        return pack(MSG_RESULT, flags, ProtocolError("stream"), {"STRM": b"stream"})

    def serve(self, client: socket.socket) -> None:
        decoder = Decoder()
        with client:
            try:
                while data := client.recv(65536):
                    decoder.feed(data)
                    while (message := decoder.next_message()) is not None:
                        client.sendall(self.reply(message))
            except OSError:
                return


@contextmanager
def lying(liar: Liar) -> Iterator[Any]:
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            while True:
                try:
                    client, _ = listener.accept()
                except OSError:
                    return
                client.settimeout(DEADLINE)
                threading.Thread(target=liar.serve, args=(client,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        with fastpyro.Proxy("PYRO:subject@{}:{}".format(*listener.getsockname())) as proxy:
            yield proxy
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    "answer",
    [
        None,
        "items",
        [],
        [0, [1, 2, 3], None],  # more than the two that were asked for
        [0, [1] * 100_000, None],
        [0, [], None],
        [5, [1], None],
        [0, (1,), None],
        [0, "ab", None],
        [2, [], "no exception"],
        {"items": [1]},
        [0, [1], None, None],
    ],
)
def test_a_daemon_whose_items_are_none_is_left(answer: Any) -> None:
    liar = Liar(answer)
    with lying(liar) as proxy:
        stream = proxy.items()
        assert next(stream) == "first"
        with pytest.raises(CommunicationError):
            next(stream)
        assert liar.pulls == 1
        assert proxy._pyroConnection is None
        with pytest.raises(StopIteration):
            next(stream)


def test_a_daemon_that_never_has_the_items_it_was_asked_for_ahead() -> None:
    """An empty answer to a pull that was sent ahead is right; the next one, for which somebody waits, is not."""
    liar = Liar([0, [1], None], [0, [], None])
    with lying(liar) as proxy:
        stream = proxy.items()
        assert [next(stream), next(stream)] == ["first", 1]
        with pytest.raises(CommunicationError, match="goes on without an item"):
            next(stream)
        assert liar.pulls <= 3


def test_an_endless_stream_is_consumed_window_by_window() -> None:
    liar = Liar([0, [1, 1], None])
    with lying(liar) as proxy:
        stream = proxy.items()
        for _ in range(1001):
            next(stream)
        assert liar.pulls <= 502
