"""Messages over a connection to another process on this machine: what a call costs below the serializers.

The echo process sends each message back. Beside the native link stand the portable channel and, as the floor, plain
`sendall` and `recv` of the same bytes.
"""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fastpyro.constants import MSG_INVOKE, NATIVE_SERIALIZER_ID
from fastpyro.protocol._message import Outgoing
from fastpyro.transport._link import Link
from fastpyro.transport.channel import PortableChannel

MIB = 1 << 20

ECHO_PROCESS = """
import socket, sys
from fastpyro.protocol._message import Outgoing
from fastpyro.transport._link import Link
from fastpyro.errors import ConnectionClosedError
link = Link(socket.socket(fileno=int(sys.argv[1])))
try:
    while True:
        message = link.receive()
        if not message.flags & 4:
            link.send(Outgoing(message.kind, message.flags, message.seq, message.serializer_id, message.payload))
except ConnectionClosedError:
    pass
"""

RAW_ECHO_PROCESS = """
import socket, sys
sock = socket.socket(fileno=int(sys.argv[1]))
while data := sock.recv(65536):
    sock.sendall(data)
"""


def tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        near = socket.create_connection(listener.getsockname())
        far, _ = listener.accept()
    for sock in (near, far):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return near, far


PAIRS: dict[str, Callable[[], tuple[socket.socket, socket.socket]]] = {"unix": socket.socketpair, "tcp": tcp_pair}


def connected_to(program: str, transport: str) -> Iterator[socket.socket]:
    """Yield a socket whose other end is in a process that runs a program."""
    near, far = PAIRS[transport]()
    with far:
        process = subprocess.Popen([sys.executable, "-c", program, str(far.fileno())], pass_fds=[far.fileno()])
    try:
        yield near
    finally:
        near.close()
        process.wait(30)


@pytest.fixture(params=PAIRS)
def echo_socket(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    yield from connected_to(ECHO_PROCESS, request.param)


@pytest.fixture(params=PAIRS)
def raw_socket(request: pytest.FixtureRequest) -> Iterator[socket.socket]:
    yield from connected_to(RAW_ECHO_PROCESS, request.param)


def exchange(channel: Any, payload: bytes, timeout: float | None = None) -> bytes:
    message = channel.exchange(Outgoing(MSG_INVOKE, 0, 1, NATIVE_SERIALIZER_ID, payload), timeout=timeout)
    return bytes(message.payload)


@pytest.mark.benchmark(group="link: echo of 16 bytes")
def test_echo_of_16_bytes(benchmark: Any, echo_socket: socket.socket) -> None:
    assert benchmark(exchange, Link(echo_socket), bytes(16)) == bytes(16)


@pytest.mark.benchmark(group="link: echo of 16 bytes")
def test_echo_of_16_bytes_with_a_timeout(benchmark: Any, echo_socket: socket.socket) -> None:
    assert benchmark(exchange, Link(echo_socket), bytes(16), 30.0) == bytes(16)


@pytest.mark.benchmark(group="link: echo of 16 bytes")
def test_echo_of_16_bytes_over_the_portable_channel(benchmark: Any, echo_socket: socket.socket) -> None:
    assert benchmark(exchange, PortableChannel(echo_socket), bytes(16)) == bytes(16)


@pytest.mark.benchmark(group="link: echo of 16 bytes")
def test_echo_of_16_bytes_over_plain_sockets(benchmark: Any, raw_socket: socket.socket) -> None:
    data = bytes(40 + 16)

    def work() -> bytes:
        raw_socket.sendall(data)
        return raw_socket.recv(65536)

    assert benchmark(work) == data


@pytest.mark.benchmark(group="link: echo of large bodies")
@pytest.mark.parametrize("size", [64 << 10, MIB, 10 * MIB], ids=["64_KiB", "1_MiB", "10_MiB"])
def test_echo_of_a_large_body(benchmark: Any, echo_socket: socket.socket, size: int) -> None:
    assert len(benchmark(exchange, Link(echo_socket), bytes(size))) == size


@pytest.mark.benchmark(group="link: bursts")
def test_100_oneway_calls_and_one_echo(benchmark: Any, echo_socket: socket.socket) -> None:
    link = Link(echo_socket)

    def work() -> bytes:
        for number in range(100):
            link.send(Outgoing(MSG_INVOKE, 4, number, NATIVE_SERIALIZER_ID, b"note"))
        return exchange(link, b"done")

    assert benchmark(work) == b"done"
