"""Pairs of connected sockets on this machine: Unix, TCP and TLS, and a thread for the peer's side of a test."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastpyro.transport import tls

DEADLINE = 30.0
"""Seconds after which a test has failed; none of them waits so long when all is well."""


def unix_pair() -> tuple[socket.socket, socket.socket]:
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)


def tcp_pair(host: str = "127.0.0.1") -> tuple[socket.socket, socket.socket]:
    """Connect two TCP sockets over the loopback interface."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.bind((host, 0))
        listener.listen(1)
        near = socket.create_connection(listener.getsockname()[:2], timeout=DEADLINE)
        far, _ = listener.accept()
    near.settimeout(None)
    return near, far


def make_certificate(folder: Path) -> Path:
    """Let the openssl command make a key and a certificate of its own for 127.0.0.1, in one file."""
    key, certificate, both = folder / "key.pem", folder / "certificate.pem", folder / "both.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True, timeout=60)
    both.write_bytes(key.read_bytes() + certificate.read_bytes())
    return both


def tls_pair(certificate: Path) -> tuple[socket.socket, socket.socket]:
    """Connect two TLS sockets over the loopback interface; the near one has checked the certificate."""
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context(cafile=str(certificate))
    server.load_cert_chain(certificate)
    near, far = tcp_pair()
    with Peer(lambda: server.wrap_socket(far, server_side=True)) as peer:
        near = tls.wrapped(near, client, server_hostname="127.0.0.1")
        near.do_handshake(DEADLINE)
        near.settimeout(None)
    far = peer.result
    return near, far


class Peer:
    """The other side of a conversation, in a thread; leaving the block waits for it and raises what it raised."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self.work = work
        self.result: Any = None
        self.failure: BaseException | None = None
        self.thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            self.result = self.work()
        except BaseException as error:
            self.failure = error

    def __enter__(self) -> Peer:
        self.thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self.thread.join(DEADLINE)
        if kind is None:
            assert not self.thread.is_alive(), "the peer did not come to an end"
            if self.failure is not None:
                raise self.failure


def receive_exactly(sock: socket.socket, size: int) -> bytes:
    """Read so many bytes from a blocking socket."""
    sock.settimeout(DEADLINE)
    pieces = bytearray()
    while len(pieces) < size:
        piece = sock.recv(min(size - len(pieces), 1 << 20))
        assert piece, f"the connection ended after {len(pieces)} of {size} bytes"
        pieces += piece
    return bytes(pieces)


def receive_until_end(sock: socket.socket) -> bytes:
    """Read all that comes until the other side closes."""
    sock.settimeout(DEADLINE)
    pieces = bytearray()
    try:
        while piece := sock.recv(1 << 20):
            pieces += piece
    except (ConnectionResetError, BrokenPipeError, ssl.SSLEOFError):
        pass  # also an end; OpenSSL 3.6 answers a peer's alert, and finds nobody there
    return bytes(pieces)


def unread_bytes(sock: socket.socket) -> int:
    """Return how many bytes wait at a socket, 100 at the most, without taking them."""
    sock.setblocking(False)
    try:
        return len(sock.recv(100, socket.MSG_PEEK))
    except BlockingIOError:
        return 0
    finally:
        sock.setblocking(True)
