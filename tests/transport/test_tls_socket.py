"""A TLS socket whose every step is bounded: data, the end, deadlines, and peers that send records without data."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from socket_pairs import DEADLINE, Peer, make_certificate, receive_exactly, tcp_pair

from fastpyro.errors import ConnectionClosedError, TimeoutError
from fastpyro.transport import tls, tls_socket
from fastpyro.transport.channel import PortableChannel
from fastpyro.transport.tls_socket import MOST_ANSWERS, MOST_EMPTY, PIECE, SMALL_PIECE, TlsSocket

KEY_UPDATES = """
import ctypes, socket, ssl, sys, _ssl
port, certificate, count = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
library = ctypes.CDLL(_ssl.__file__)
library.SSL_key_update.argtypes, library.SSL_do_handshake.argtypes = [ctypes.c_void_p, ctypes.c_int], [ctypes.c_void_p]
raw = socket.create_connection(("127.0.0.1", port), 30)
incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
tls = ssl.create_default_context(cafile=certificate).wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
while True:
    try:
        tls.do_handshake()
        break
    except ssl.SSLWantReadError:
        raw.sendall(outgoing.read())
        incoming.write(raw.recv(65536))
place = id(tls._sslobj) + object.__basicsize__ + ctypes.sizeof(ctypes.c_void_p)
pointer = ctypes.c_void_p.from_address(place).value
for _ in range(count):
    assert library.SSL_key_update(pointer, 0) == 1 and library.SSL_do_handshake(pointer) == 1
tls.write(b"at last")
try:
    raw.sendall(outgoing.read())
    raw.recv(65536), raw.recv(65536)
except OSError:
    pass  # cut off
"""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def pair(certificate: Path) -> Iterator[tuple[TlsSocket, TlsSocket]]:
    """A client and a server that have shaken hands, both TLS sockets of ours."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate)
    client = ssl.create_default_context(cafile=str(certificate))
    plain_near, plain_far = tcp_pair()
    with (
        tls.wrapped(plain_near, client, server_hostname="127.0.0.1") as near,
        tls.wrapped(plain_far, server, server_side=True) as far,
    ):
        with Peer(lambda: far.do_handshake(DEADLINE)):
            near.do_handshake(DEADLINE)
        yield near, far


def record(kind: bytes) -> bytes:
    return b"\x17\x03\x03\x00\x03.." + kind


RECORD_SIZE = len(record(b"d"))


class Records:
    """In the place of OpenSSL: "d" is a record with data, "a" wants an answer, "-" does not; one may be split."""

    def __init__(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
        self.incoming, self.outgoing = incoming, outgoing
        self.most_in_a_step = 0
        self.begun = b""

    def do_handshake(self) -> None:
        pass

    def pending(self) -> int:
        return 0

    def read(self, size: int) -> bytes:
        self.most_in_a_step = max(self.most_in_a_step, self.incoming.pending)
        while True:
            self.begun += self.incoming.read(RECORD_SIZE - len(self.begun))
            if len(self.begun) < RECORD_SIZE:
                raise ssl.SSLWantReadError
            kind, self.begun = self.begun[-1:], b""
            self.outgoing.write(b"answer" if kind == b"a" else b"")
            if kind == b"d":
                return kind


class RecordContext:
    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *rest: object) -> Records:
        self.made = Records(incoming, outgoing)
        return self.made


@pytest.fixture
def records() -> Iterator[tuple[Any, socket.socket, Records]]:
    near, far = socket.socketpair()
    context: Any = RecordContext()
    with far, TlsSocket(near, context) as sock:
        sock.settimeout(DEADLINE)
        far.settimeout(DEADLINE)
        yield sock, far, context.made


def recv(sock: TlsSocket) -> bytes:
    while True:
        try:
            return sock.recv(65536)
        except ssl.SSLWantReadError:
            pass


def test_big_data_both_ways(pair: tuple[TlsSocket, TlsSocket]) -> None:
    data = bytes(range(256)) * 12_000
    for source, target in (pair, pair[::-1]):

        def take(target: TlsSocket = target) -> bytes:
            pieces = bytearray()
            while len(pieces) < len(data):
                pieces += recv(target)
            return bytes(pieces)

        with Peer(take) as peer:
            source.sendall(data)
        assert peer.result == data


def test_a_send_that_would_block_goes_on_with_the_same_bytes(pair: tuple[TlsSocket, TlsSocket]) -> None:
    near, far = pair
    near.settimeout(0)
    view, blocked = memoryview(bytes(1 << 24)), False
    for _ in range(100_000):
        try:
            view = view[near.send(view) :]
        except BlockingIOError:
            blocked = True
            break
    assert blocked
    done, wanted = len(view), 1 << 24
    near.settimeout(DEADLINE)
    with Peer(lambda: near.sendall(view)):
        taken = 0
        while taken < wanted:
            taken += len(recv(far))
    assert taken == wanted > done > 0


def test_the_end_and_a_deadline(pair: tuple[TlsSocket, TlsSocket]) -> None:
    near, far = pair
    channel = PortableChannel(near)
    with pytest.raises(TimeoutError):
        channel.receive(timeout=0.02)
    far.close()
    with pytest.raises(ConnectionClosedError):
        PortableChannel(near).receive(timeout=DEADLINE)


def test_what_it_says_of_itself(pair: tuple[TlsSocket, TlsSocket]) -> None:
    near, far = pair
    assert near.version() == far.version() in {"TLSv1.2", "TLSv1.3"}
    assert near.cipher() == far.cipher()
    assert near.getpeercert()["subject"]
    assert not far.getpeercert()
    assert near.getpeername() == far.getsockname()
    assert near.context.check_hostname


@pytest.mark.parametrize("name", ["recv_into", "recvfrom", "recvmsg", "sendto", "sendmsg", "sendfile", "dup"])
def test_nothing_goes_past_tls(pair: tuple[TlsSocket, TlsSocket], name: str) -> None:
    with pytest.raises(NotImplementedError, match="past it"):
        getattr(pair[0], name)(b"secret")


def test_a_handshake_has_a_deadline(certificate: Path) -> None:
    plain, far = tcp_pair()
    with far, tls.wrapped(plain, ssl.create_default_context(), server_hostname="127.0.0.1") as near:
        began = time.monotonic()
        with pytest.raises(OSError, match="timed out"):
            near.do_handshake(0.05)
        assert time.monotonic() - began < DEADLINE
        assert receive_exactly(far, 1) == b"\x16"


def test_a_step_takes_a_small_piece_of_records_without_data(records: tuple[Any, socket.socket, Records]) -> None:
    sock, far, tls_records = records
    far.sendall(record(b"-") * MOST_EMPTY + record(b"d"))
    assert recv(sock) == b"d"
    assert 0 < tls_records.most_in_a_step <= SMALL_PIECE


def test_data_makes_the_pieces_great_and_emptiness_small(records: tuple[Any, socket.socket, Records]) -> None:
    sock, far, tls_records = records
    count = 2 * PIECE // RECORD_SIZE
    far.sendall(record(b"d") * count)
    assert [recv(sock) for _ in range(count)] == [b"d"] * count
    assert tls_records.most_in_a_step == PIECE
    tls_records.most_in_a_step = 0
    far.sendall(record(b"-") * 10 + record(b"d"))
    assert recv(sock) == b"d"
    far.sendall(record(b"d") * (count // 2))
    assert recv(sock) == b"d"
    assert tls_records.most_in_a_step <= SMALL_PIECE


@pytest.mark.parametrize(
    ("records_of_a_round", "passes"),
    [(b"-", False), (b"-d", False), (b"-" + b"d" * 10, False), (b"-" + b"d" * 70, True), (b"d", True)],
    ids=["nothing", "half", "a tenth", "a 70th", "tiny data"],
)
def test_records_without_end_and_without_data_end_the_connection(
    records: tuple[Any, socket.socket, Records], records_of_a_round: bytes, passes: bool
) -> None:
    sock, far, _ = records
    round_of_records = b"".join(record(bytes([kind])) for kind in records_of_a_round)

    def hear_all() -> None:
        for _ in range(3000 if passes else 3 * MOST_EMPTY):
            far.sendall(round_of_records)
            with contextlib.suppress(ssl.SSLWantReadError):
                while True:
                    sock.recv(65536)
                    if not sock.pending():
                        break

    if passes:
        hear_all()
    else:
        with pytest.raises(ssl.SSLError, match="without data"):
            hear_all()


def test_answers_that_nobody_takes_are_bounded(records: tuple[Any, socket.socket, Records], monkeypatch: Any) -> None:
    monkeypatch.setattr(tls_socket, "MOST_EMPTY", 1 << 40)
    sock, far, tls_records = records
    sock.settimeout(0)
    waiting = []

    def hear_all() -> None:
        for _ in range(10_000):
            far.sendall(record(b"a") * 100)
            with contextlib.suppress(ssl.SSLWantReadError):
                sock.recv(65536)
            waiting.append(tls_records.outgoing.pending)

    with pytest.raises(ssl.SSLError, match="does not take"):
        hear_all()
    assert 0 < max(waiting) <= MOST_ANSWERS


def test_a_deadline_holds_between_the_pieces(records: tuple[Any, socket.socket, Records], monkeypatch: Any) -> None:
    monkeypatch.setattr(tls_socket, "MOST_EMPTY", 1 << 40)
    sock, far, _ = records

    def flood() -> int:
        sent = 0
        try:
            while True:
                sent += far.send(record(b"-") * 8192)
        except OSError:
            return sent

    with Peer(flood) as peer:
        with pytest.raises(TimeoutError):
            PortableChannel(sock).receive(timeout=0.1)
        sock.shutdown(socket.SHUT_RDWR)
        sock.close()
    assert peer.result > 0


def updated(certificate: Path, count: int) -> bytes:
    """Return what a TLS socket hears of a client that changes its keys so often and then says something."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(DEADLINE)
        command = [sys.executable, "-c", KEY_UPDATES, str(listener.getsockname()[1]), str(certificate), str(count)]
        with (
            subprocess.Popen(command, stderr=subprocess.PIPE) as client,
            tls.wrapped(listener.accept()[0], context, server_side=True) as sock,
        ):
            sock.settimeout(DEADLINE)
            try:
                data = recv(sock)
            finally:
                sock.close()
                _, complaints = client.communicate(timeout=DEADLINE)
    if not data and (client.returncode < 0 or b"Error" in complaints):
        pytest.skip("this Python's ssl module does not show its OpenSSL")
    return data


@pytest.mark.skipif(sys.platform != "linux" or not ssl.HAS_TLSv1_3, reason="the client looks into the ssl module")
def test_a_few_key_updates_pass_and_a_flood_of_them_does_not(certificate: Path) -> None:
    assert updated(certificate, 1000) == b"at last"
    with pytest.raises(ssl.SSLError, match="without data"):
        updated(certificate, 4000)
