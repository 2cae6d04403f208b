"""Bad input against a live daemon: it costs the one who sent it, and nobody else.

Each test sends something wrong over a plain socket; then the daemon must still serve a good client.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest
from server_process import SubjectServer

import fastpyro
from fastpyro.constants import (
    FLAGS_BATCH,
    FLAGS_EXCEPTION,
    MARSHAL_ID,
    MSG_CONNECT,
    MSG_CONNECTFAIL,
    MSG_INVOKE,
    MSG_PING,
    MSG_RESULT,
    SERPENT_ID,
)
from fastpyro.protocol._assembler import Decoder
from fastpyro.protocol._message import Message, pack_message
from fastpyro.serializers.registry import NAMES, PICKLE_IDS, get_serializer, get_serializer_by_id, native

ID = native.serializer_id
HELLO = pack_message(MSG_CONNECT, 0, 0, ID, native.dumps({"handshake": "hello", "object": "calculator"}))
CALL = pack_message(MSG_INVOKE, 0, 1, ID, native.dumps_call("calculator", "add", (1, 2), {}))


@pytest.fixture(scope="module", params=["thread", "multiplex"])
def server(request: pytest.FixtureRequest) -> Iterator[SubjectServer]:
    settings = ("--set", "MAX_MESSAGE_SIZE=10000000", "--set", "HANDSHAKE_TIMEOUT=5")
    with SubjectServer("--servertype", request.param, *settings) as running:
        yield running


@pytest.fixture(autouse=True)
def still_serving(server: SubjectServer) -> Iterator[None]:
    yield
    with fastpyro.Proxy(server.uri()) as proxy:
        proxy._pyroTimeout = 10
        assert proxy.add(20, 22) == 42


class RawClient:
    """A socket that sends what it likes. ``answers()``: all messages until the daemon closes, or says no more."""

    def __init__(self, server: SubjectServer, *, admitted: bool = False) -> None:
        host, _, port = server.location.rpartition(":")
        self.sock = socket.create_connection((host, int(port)))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.settimeout(10)
        self.decoder = Decoder()
        if admitted:
            self.sock.sendall(HELLO)
            assert self.answer() is not None

    def __enter__(self) -> RawClient:
        return self

    def __exit__(self, *exception: object) -> None:
        self.sock.close()

    def answer(self) -> Message | None:
        """The next message, or None when the daemon has closed."""
        while (message := self.decoder.next_message()) is None:
            try:
                data = self.sock.recv(65536)
            except ConnectionError:
                return None
            if not data:
                return None
            self.decoder.feed(data)
        return message

    def is_hung_up_on(self) -> bool:
        """Whether the daemon closes, after a refusal at the most."""
        message = self.answer()
        while message is not None:
            assert message.kind == MSG_CONNECTFAIL
            message = self.answer()
        return True


def changed(data: bytes, offset: int, layout: str, value: int | bytes) -> bytes:
    result = bytearray(data)
    struct.pack_into(layout, result, offset, value)
    return bytes(result)


WRONG_MESSAGES = {
    "wrong tag": changed(CALL, 0, ">4s", b"HTTP"),
    "wrong version": changed(CALL, 4, ">H", 48),
    "wrong magic": changed(CALL, 38, ">H", 0),
    "oversized payload": changed(CALL, 12, ">I", 0xFFFFFFFF),
    "payload just over the limit": changed(CALL, 12, ">I", 10_000_001),
    "oversized annotations": changed(CALL, 16, ">I", 0xFFFFFFFF),
    "annotation that overruns": pack_message(MSG_INVOKE, 0, 1, ID, b"x", {"ABCD": b"1234"}).replace(
        b"ABCD\0\0\0\4", b"ABCD\0\0\0\5"
    ),
    "annotation cut short": changed(pack_message(MSG_INVOKE, 0, 1, ID, b"1234", {"ABCD": b""}), 16, ">I", 4),
    "annotation key that is no ASCII": pack_message(MSG_INVOKE, 0, 1, ID, b"", {"ABCD": b""}).replace(
        b"ABCD", b"\xff" * 4
    ),
    "the same annotation twice": pack_message(MSG_INVOKE, 0, 1, ID, b"", {"ABCD": b"", "ABCE": b""}).replace(
        b"ABCE", b"ABCD"
    ),
    "unknown kind": changed(CALL, 6, ">B", 99),
    "a result": changed(CALL, 6, ">B", MSG_RESULT),
    "a second connect": HELLO,
}


@pytest.mark.parametrize("name", WRONG_MESSAGES)
def test_wrong_message_of_an_admitted_client_ends_its_connection(server: SubjectServer, name: str) -> None:
    with RawClient(server, admitted=True) as client:
        client.sock.sendall(WRONG_MESSAGES[name])
        assert client.is_hung_up_on()


@pytest.mark.parametrize("name", [name for name in WRONG_MESSAGES if name != "a second connect"])
def test_wrong_first_message_is_refused(server: SubjectServer, name: str) -> None:
    with RawClient(server) as client:
        client.sock.sendall(WRONG_MESSAGES[name])
        assert client.is_hung_up_on()


def reason(refusal: Message) -> str:
    """Return the text of a CONNECTFAIL, which is in the serializer that every peer reads."""
    assert refusal.serializer_id == MARSHAL_ID
    return str(get_serializer("marshal").loads(refusal.payload))


def test_call_before_the_handshake(server: SubjectServer) -> None:
    with RawClient(server) as client:
        client.sock.sendall(CALL)
        refusal = client.answer()
        assert refusal is not None
        assert refusal.kind == MSG_CONNECTFAIL
        assert "out of turn" in reason(refusal)
        assert client.answer() is None


def test_too_large_handshake(server: SubjectServer) -> None:
    with RawClient(server) as client:
        client.sock.sendall(pack_message(MSG_CONNECT, 0, 0, ID, bytes(70_000))[:1000])
        refusal = client.answer()
        assert refusal is not None
        assert "exceeds MAX_MESSAGE_SIZE 65,536" in reason(refusal)


def test_every_prefix_of_a_call_and_then_silence(server: SubjectServer) -> None:
    for size in range(len(CALL)):
        with RawClient(server, admitted=True) as client:
            client.sock.sendall(CALL[:size])
            client.sock.shutdown(socket.SHUT_WR)
            assert client.is_hung_up_on()


def test_every_bit_flip_of_a_call(server: SubjectServer) -> None:
    client = RawClient(server, admitted=True)
    try:
        for bit in range(len(CALL) * 8):
            if not 96 <= bit < 160:  # the two sizes are tried elsewhere: a longer message is waited for
                data = bytearray(CALL)
                data[bit // 8] ^= 1 << bit % 8
                client.sock.sendall(data)
                oneway = bit == 8 * 9 + 2  # the flag that says so
                answer = None if oneway else client.answer()
                if answer is None and not oneway:
                    client.sock.close()
                    client = RawClient(server, admitted=True)
                elif answer is not None:
                    assert answer.kind in (MSG_RESULT, MSG_PING)
    finally:
        client.sock.close()


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1",
        b"\x91" * 10_000,
        b"\xdd\x7f\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\x94\xa1a\xa1b\xdd\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x05",
        b"\xc7\x01\x63x",
        native.dumps_call("calculator", "add", (1, 2), {})[:-1],
        native.dumps_call("calculator", "add", (1, 2), {}) + b"\xc0",
        native.dumps(("calculator", "add", [1], {})),
        native.dumps(["calculator", "add", [1], {1: 2}]),
        native.dumps([1, 2, 3, 4]),
        native.dumps("calculator"),
    ],
)
@pytest.mark.parametrize("flags", [0, FLAGS_BATCH])
def test_payload_that_is_no_call_is_an_error_reply(server: SubjectServer, payload: bytes, flags: int) -> None:
    with RawClient(server, admitted=True) as client:
        client.sock.sendall(pack_message(MSG_INVOKE, flags, 1, ID, payload) + CALL)
        answer = client.answer()
        assert answer is not None
        assert answer.flags & FLAGS_EXCEPTION
        assert isinstance(native.loads(answer.payload), fastpyro.errors.SerializeError)
        answer = client.answer()  # the connection is still good
        assert answer is not None
        assert native.loads(answer.payload) == 3


@pytest.mark.parametrize("serializer", [0, 2, 5, 42, 84, 87, 255])
def test_serializers_that_are_not_accepted(server: SubjectServer, serializer: int) -> None:
    with RawClient(server, admitted=True) as client:
        client.sock.sendall(pack_message(MSG_INVOKE, 0, 1, serializer, b"anything"))
        answer = client.answer()
        assert answer is not None
        expected = serializer if serializer in NAMES.keys() - PICKLE_IDS else SERPENT_ID
        assert answer.serializer_id == expected
        assert "not accepted" in str(get_serializer_by_id(expected).loads(answer.payload))


@pytest.mark.parametrize("serializer", [1, 3, 4])
def test_payloads_that_are_no_values_of_their_serializer(server: SubjectServer, serializer: int) -> None:
    with RawClient(server, admitted=True) as client:
        client.sock.sendall(pack_message(MSG_INVOKE, 0, 1, serializer, b"\xc1anything"))
        answer = client.answer()
        assert answer is not None
        assert answer.serializer_id == serializer
        assert isinstance(get_serializer_by_id(serializer).loads(answer.payload), fastpyro.errors.SerializeError)


def test_many_calls_in_one_segment(server: SubjectServer) -> None:
    with RawClient(server, admitted=True) as client:
        client.sock.sendall(CALL * 500)
        for _ in range(500):
            answer = client.answer()
            assert answer is not None
            assert native.loads(answer.payload) == 3


def test_call_byte_by_byte(server: SubjectServer) -> None:
    with RawClient(server, admitted=True) as client:
        for byte in CALL:
            client.sock.sendall(bytes([byte]))
        answer = client.answer()
        assert answer is not None
        assert native.loads(answer.payload) == 3


def test_client_that_never_reads_its_answers_stops_nobody(server: SubjectServer) -> None:
    big = pack_message(MSG_INVOKE, 0, 1, ID, native.dumps_call("calculator", "echo_times", (b"x" * 1000, 5000), {}))
    with RawClient(server, admitted=True) as client:
        client.sock.sendall(big * 4)  # 20 MB of answers, more than the sockets' buffers hold
        for _ in range(5):
            with fastpyro.Proxy(server.uri()) as proxy:
                proxy._pyroTimeout = 10
                assert proxy.add(1, 1) == 2


def test_lying_lengths_take_no_memory(server: SubjectServer) -> None:
    def resident() -> int:
        with open(f"/proc/{server.pid}/statm") as statistics:
            return int(statistics.read().split()[1]) * 4096

    lying = changed(CALL, 12, ">I", 9_999_999)
    before = resident()
    clients = [RawClient(server, admitted=True) for _ in range(50)]
    for client in clients:
        client.sock.sendall(lying)
    with fastpyro.Proxy(server.uri()) as proxy:
        assert proxy.add(1, 1) == 2
    assert resident() - before < 100_000_000  # 500 MB were promised
    for client in clients:
        client.sock.close()
