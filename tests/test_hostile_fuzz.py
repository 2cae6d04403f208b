"""Any bytes, whole or cut, sent to a live daemon: it answers with messages or hangs up, and goes on serving."""

from __future__ import annotations

import errno
import itertools
import socket
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from server_process import SubjectServer

import fastpyro
from fastpyro.constants import MSG_CONNECT, MSG_CONNECTFAIL, MSG_CONNECTOK, MSG_INVOKE, MSG_PING, MSG_RESULT
from fastpyro.protocol._assembler import Decoder
from fastpyro.protocol._message import pack_message
from fastpyro.serializers.registry import get_serializer_by_id, native

ID = native.serializer_id
HELLO = pack_message(MSG_CONNECT, 0, 0, ID, native.dumps({"handshake": "hello", "object": "calculator"}))
CALL = pack_message(MSG_INVOKE, 0, 1, ID, native.dumps_call("calculator", "add", (1, 2), {}))
KINDS = {MSG_CONNECTOK, MSG_CONNECTFAIL, MSG_RESULT, MSG_PING}

ARGUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10) | st.binary(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
HARMLESS = [
    "add",
    "echo",
    "level",
    "__getattr__",
    "__setattr__",
    "<batch>",
    "_private",
    "__class__",
    "nothing",
    "numbers",
]


@pytest.fixture(scope="module")
def server() -> Iterator[SubjectServer]:
    with SubjectServer("--set", "MAX_MESSAGE_SIZE=1000000", "--set", "HANDSHAKE_TIMEOUT=2") as running:
        yield running


def converse(server: SubjectServer, pieces: list[bytes]) -> None:
    """Send pieces, end the sending side, and read: valid messages of the daemon's kinds, then the end."""
    host, _, port = server.location.rpartition(":")
    decoder = Decoder()
    with socket.create_connection((host, int(port))) as sock:
        sock.settimeout(20)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # or each piece waits 40 ms for the one before
        try:
            for piece in pieces:
                sock.sendall(piece)
            sock.shutdown(socket.SHUT_WR)
            while data := sock.recv(65536):
                decoder.feed(data)
        except ConnectionError:
            pass  # it hung up while we were talking
        except OSError as error:
            if error.errno != errno.ENOTCONN:  # the same, seen by shutdown
                raise
    while (message := decoder.next_message()) is not None:
        assert message.kind in KINDS
        if message.kind == MSG_RESULT:
            get_serializer_by_id(message.serializer_id).loads(message.payload)


def still_serving(server: SubjectServer) -> None:
    with fastpyro.Proxy(server.uri()) as proxy:
        proxy._pyroTimeout = 20
        assert proxy.add(20, 22) == 42


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[low:high] for low, high in itertools.pairwise(edges)]


CUTS = st.lists(st.integers(0, 10_000), max_size=4)
SETTINGS = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@SETTINGS
@given(st.binary(max_size=300), st.booleans(), CUTS)
def test_any_bytes(server: SubjectServer, data: bytes, admitted: bool, places: list[int]) -> None:
    converse(server, cut(HELLO + data if admitted else data, places))
    still_serving(server)


@SETTINGS
@given(st.integers(0, len(CALL) * 8 - 1), st.integers(0, len(HELLO) * 8 - 1), CUTS)
def test_flipped_bits(server: SubjectServer, calls_running: int, in_hello: int, places: list[int]) -> None:
    call, hello = bytearray(CALL), bytearray(HELLO)
    call[calls_running // 8] ^= 1 << calls_running % 8
    hello[in_hello // 8] ^= 1 << in_hello % 8
    converse(server, cut(HELLO + call, places))
    converse(server, cut(bytes(hello) + CALL, places))
    still_serving(server)


@SETTINGS
@given(st.sampled_from(HARMLESS), st.lists(ARGUMENTS, max_size=4), st.integers(0, 0xFFFF), st.integers(0, 0xFFFF))
def test_any_arguments_and_flags(
    server: SubjectServer, method: str, arguments: list[object], flags: int, seq: int
) -> None:
    payload = native.dumps_call("calculator", method, tuple(arguments), {})
    converse(server, [HELLO, pack_message(MSG_INVOKE, flags, seq, ID, payload), CALL])
    still_serving(server)


@SETTINGS
@given(st.binary(max_size=200), st.sampled_from([0, 4, 8, 12]))
def test_any_payload(server: SubjectServer, payload: bytes, flags: int) -> None:
    converse(server, [HELLO, pack_message(MSG_INVOKE, flags, 1, ID, payload), CALL])
    still_serving(server)
