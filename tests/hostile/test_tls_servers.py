"""A hostile server behind TLS, and clients that are interrupted.

Whatever a server does with the records of TLS, the client gets a PyroError within its time limit, and a bounded memory.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hostile import packer
from hostile.battlefield import MIB, Field
from hostile.hostile_server import MODES, PORTABLE, TLS, Conversation, Mode, Victim
from hostile.test_servers import judge, then
from socket_pairs import make_certificate

MODE = Mode(TLS, packer.NEW, "native")
ALERT, HANDSHAKE, DATA = b"\x15", b"\x16", b"\x17"
Attack = Callable[[Conversation], Any]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def victims(
    good_clients: Any, certificate: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str | None], Victim]]:
    """The client's process for each kind; the good daemon is behind a Unix socket, where no TLS is spoken."""
    place = str(tmp_path_factory.mktemp("good") / "s")
    with Field(good_clients, "--unixsocket", place) as field, contextlib.ExitStack() as stack:

        @cache
        def victim(facade: str | None) -> Victim:
            return stack.enter_context(Victim(field.uri, facade, certificate))

        yield victim


class TlsSocket:
    """The server's end of TLS, record by record: what is sealed may be sent, or not, or something else."""

    def __init__(self, raw: socket.socket, certificate: Path) -> None:
        self.raw = raw
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)

    def hello(self) -> bytes:
        """Read the client's first record; returns the answer, which is not sent."""
        self._hear()
        with contextlib.suppress(ssl.SSLWantReadError):
            self._tls.do_handshake()
        return self._out.read()

    def shake(self) -> None:
        """Finish the handshake."""
        self.raw.sendall(self.hello())
        while True:
            try:
                self._tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._hear()
        self.raw.sendall(self._out.read())

    def _hear(self) -> None:
        data = self.raw.recv(65536)
        if not data:
            raise EOFError
        self._in.write(data)

    def recv(self, size: int) -> bytes:
        while True:
            try:
                return self._tls.read(size)
            except ssl.SSLWantReadError:
                self._hear()

    def seal(self, data: bytes) -> bytes:
        self._tls.write(data)
        return self._out.read()

    def seal_the_end(self) -> bytes:
        with contextlib.suppress(ssl.SSLError):
            self._tls.unwrap()
        return self._out.read()

    def sendall(self, data: bytes) -> None:
        for at in range(0, len(data), 16384):
            self.raw.sendall(self.seal(data[at : at + 16384]))


@pytest.fixture(scope="module")
def attacks(certificate: Path) -> dict[str, tuple[str, Attack]]:
    """What the client does, and what the server does to it, by name."""

    def instead(data: bytes, hold: bool = False) -> Attack:
        """Answer the client's hello with this."""

        def run(talk: Conversation) -> None:
            talk.sock.recv(65536)
            talk.send(data)
            if hold:
                talk.hold()

        return run

    def half(talk: Conversation) -> None:
        hello = TlsSocket(talk.sock, certificate).hello()
        talk.send(hello[: len(hello) // 2])

    def drip_hello(talk: Conversation) -> None:
        for byte in TlsSocket(talk.sock, certificate).hello():
            talk.send(bytes([byte]))
            if talk.server.ended.wait(0.02):
                return

    def half_a_record(talk: Conversation, tls: TlsSocket, reply: bytes) -> None:
        talk.send(tls.seal(reply)[:-20])
        talk.hold()

    def shaken(step: Callable[[Conversation, TlsSocket, bytes], Any]) -> Attack:
        """Shake hands, admit the client, hear its call; then something else happens to the reply."""

        def run(talk: Conversation) -> None:
            tls = TlsSocket(talk.sock, certificate)
            tls.shake()
            talk.sock = tls  # type: ignore[assignment]
            talk.welcome()
            talk.hear()
            reply = talk.message(packer.RESULT, talk.body("x" * 1000))
            talk.sock = tls.raw
            step(talk, tls, reply)

        return run

    def flipped(data: bytes) -> bytes:
        return data[:-5] + bytes([data[-5] ^ 1]) + data[-4:]

    def tiny_records(talk: Conversation, tls: TlsSocket, reply: bytes) -> None:
        """A byte in each record, of a reply that has no end."""
        talk.send(tls.seal(packer.header(packer.RESULT, 1 << 26, dialect=packer.NEW, serializer=70, seq=talk.seq)))
        while not talk.server.ended.is_set() and talk.server.sent < 16 * MIB:
            talk.send(b"".join(tls.seal(b"x") for _ in range(500)))

    def drip_record(talk: Conversation, tls: TlsSocket, reply: bytes) -> None:
        for byte in tls.seal(reply):
            talk.send(bytes([byte]))
            if talk.server.ended.wait(0.02):
                return

    def twice(talk: Conversation, tls: TlsSocket, reply: bytes) -> None:
        record = tls.seal(reply[:-10])
        talk.send(record + record)

    return {
        "silence": ("bind", Conversation.hold),
        "silence after the hello": ("bind", instead(b"", hold=True)),
        "hanging up": ("bind", lambda talk: talk.sock.recv(65536)),
        "garbage": ("bind", instead(b"\xff" * 5000)),
        "plain words": ("bind", instead(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
        "a plain welcome": ("bind", instead(packer.message(packer.CONNECTOK, b"\xc0", serializer=70))),
        "alerts": ("bind", instead((ALERT + b"\x03\x03\x00\x02\x01\x00") * 1000)),
        "a fatal alert": ("bind", instead(ALERT + b"\x03\x03\x00\x02\x02\x28")),
        "empty records": ("bind", instead((HANDSHAKE + b"\x03\x03\x00\x00") * 10000, hold=True)),
        "a record too long": ("bind", instead(HANDSHAKE + b"\x03\x03\xff\xff" + bytes(70000))),
        "a hello too long": ("bind", instead((HANDSHAKE + b"\x03\x03\x40\x00\x02\xff\xff\xff" + bytes(16380)) * 300)),
        "half a hello": ("bind", half),
        "half a hello, and silence": ("bind", then(half, Conversation.hold)),
        "a dripping hello": ("bind", drip_hello),
        "garbage instead of a reply": ("call", shaken(lambda talk, tls, reply: talk.send(b"\xff" * 5000))),
        "a plain reply": ("call", shaken(lambda talk, tls, reply: talk.send(reply))),
        "half a record": ("call", shaken(lambda talk, tls, reply: talk.send(tls.seal(reply)[:-20]))),
        "half a record, and silence": (
            "call",
            shaken(half_a_record),
        ),
        "a record that was changed": ("call", shaken(lambda talk, tls, reply: talk.send(flipped(tls.seal(reply))))),
        "a record that comes twice": ("call", shaken(twice)),
        "a forged record": (
            "call",
            shaken(lambda talk, tls, reply: talk.send(DATA + b"\x03\x03\x01\x00" + bytes(256))),
        ),
        "the end in the middle of a reply": (
            "call",
            shaken(lambda talk, tls, reply: talk.send(tls.seal(reply[:-10]) + tls.seal_the_end())),
        ),
        "another hello": (
            "call",
            shaken(lambda talk, tls, reply: talk.send(HANDSHAKE + b"\x03\x03\x00\x04\x00\x00\x00\x00")),
        ),
        "a dripping record": ("call", shaken(drip_record)),
        "tiny records without end": ("call", shaken(tiny_records)),
        "nothing is read": ("send much", shaken_and_deaf(certificate)),
    }


def shaken_and_deaf(certificate: Path) -> Attack:
    def run(talk: Conversation) -> None:
        tls = TlsSocket(talk.sock, certificate)
        tls.shake()
        talk.sock = tls  # type: ignore[assignment]
        talk.welcome()
        talk.sock = tls.raw
        talk.hold()

    return run


def test_whatever_happens_to_the_records(
    victims: Callable[[str | None], Victim], attacks: dict[str, tuple[str, Attack]]
) -> None:
    for title, (what, attack) in attacks.items():
        done = judge(victims(TLS), MODE, (what, title, attack), timeout=0.4)
        assert done["error"], f"{title}: taken for an answer"


def test_a_server_of_another_authority(victims: Callable[[str | None], Victim], tmp_path: Path) -> None:
    stranger = make_certificate(tmp_path)
    done = judge(victims(TLS), MODE, ("bind", "a certificate of its own", shaken_and_deaf(stranger)), timeout=5.0)
    assert done["error"]


@pytest.mark.parametrize("mode", [MODES[0], Mode(PORTABLE, packer.NEW, "native")], ids=str)
def test_records_to_a_client_without_tls(victims: Callable[[str | None], Victim], mode: Mode) -> None:
    for data in (ALERT + b"\x03\x03\x00\x02\x02\x28", (HANDSHAKE + b"\x03\x03\x40\x00" + bytes(16384)) * 100):

        def attack(talk: Conversation, data: bytes = data) -> None:
            talk.hear()
            talk.send(data)
            talk.hold()

        assert judge(victims(mode.facade), mode, ("bind", "records", attack), timeout=0.4)["error"]


@pytest.mark.parametrize("command", ["R", "K"], ids=["negotiation", "keys"])
def test_new_keys_again_and_again(victims: Callable[[str | None], Victim], certificate: Path, command: str) -> None:
    """The openssl command's own server begins anew, or changes its keys, whenever it is told to; it never replies."""
    version = "-tls1_2" if command == "R" else "-tls1_3"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    server: list[str | Path] = [
        "openssl",
        "s_server",
        "-accept",
        str(port),
        "-cert",
        certificate,
        version,
        "-naccept",
        "1",
    ]

    def relay(talk: Conversation) -> None:
        """What comes goes on to that server; after the client's first words it is told so ten times."""
        with socket.create_connection(("127.0.0.1", port), timeout=30) as other:
            talk.sock.settimeout(0.05)
            other.settimeout(0.05)
            heard = 0
            while not talk.server.ended.is_set():
                for source, target in ((talk.sock, other), (other, talk.sock)):
                    with contextlib.suppress(TimeoutError):
                        data = source.recv(65536)
                        if not data:
                            return
                        target.sendall(data)
                        talk.server.sent += len(data)
                heard += 1
                if heard > 3 and process.stdin is not None:
                    process.stdin.write(command + "\n")
                    process.stdin.flush()

    with subprocess.Popen(server, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            while "ACCEPT" not in process.stdout.readline():
                assert process.poll() is None
            done = judge(victims(TLS), MODE, ("bind", f"openssl {command}", relay), timeout=0.8)
            assert done["error"]
        finally:
            process.kill()


@pytest.mark.parametrize("mode", [MODES[0], Mode(PORTABLE, packer.NEW, "native"), MODE], ids=str)
def test_d09_interrupts_leave_nobody_waiting(
    victims: Callable[[str | None], Victim], certificate: Path, mode: Mode
) -> None:
    """Signals, at any moment of a call; then another thread calls, through the same proxy."""

    def attack(talk: Conversation) -> None:
        if mode.facade == TLS:
            tls = TlsSocket(talk.sock, certificate)
            tls.shake()
            talk.sock = tls  # type: ignore[assignment]
        talk.welcome()
        while True:
            talk.reply(None)

    done = judge(victims(mode.facade), mode, ("interrupted", "signals", attack), most_connections=1000)
    assert done["error"] is None, done
