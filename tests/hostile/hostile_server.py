"""A server that says what an attack wants to those who connect, and the client in a process of its own that it attacks.

An attack is a function of a ``Conversation``, called for each connection; it speaks the mode of the conversation: dialect
and format. ``HostileServer`` runs it in threads here, ``Victim`` tells the client's process what to do.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from hostile import packer

HERE = Path(__file__).parent


PORTABLE = "portable"
TLS = "tls"


class Mode(NamedTuple):
    """What client and server speak: facade, PORTABLE (the channel in Python that TLS has), TLS or None; dialect; format."""

    facade: str | None
    dialect: int
    name: str

    def __str__(self) -> str:
        return f"{self.facade or 'fastpyro'}-{self.dialect}-{self.name}"


MODES = [
    Mode(None, packer.NEW, "native"),
    *(Mode(None, *each) for each in packer.DIALECTS),
    Mode(PORTABLE, packer.NEW, "native"),
    Mode("Pyro5", packer.NEW, "serpent"),
    Mode("Pyro4", packer.OLD, "serpent"),
]


class Conversation:
    """One connection of a client. Counts what is sent."""

    def __init__(self, sock: socket.socket, mode: Mode, server: HostileServer) -> None:
        self.sock = sock
        self.mode = mode
        self.server = server
        self.seq = 0

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)
        self.server.sent += len(data)

    def flood(self, data: bytes, most: int = 1 << 30) -> None:
        """Send the same until the client hangs up, or that many bytes have been sent."""
        while self.server.sent < most and not self.server.over:
            self.send(data)

    def hear(self) -> packer.Answer:
        """Read what the client says."""
        message = packer.read_message(self.sock)
        self.seq = message.seq
        return message

    def hold(self) -> None:
        """Say nothing more, and read nothing, until the client hangs up or the attack is over."""
        self.server.ended.wait(30)

    def message(self, kind: int, payload: bytes, **more: Any) -> bytes:
        more = {"dialect": self.mode.dialect, "serializer": self.serializer, "seq": self.seq, **more}
        return packer.message(kind, payload, **more)

    @property
    def serializer(self) -> int:
        return packer.IDS[self.mode.dialect][self.mode.name]

    def body(self, value: Any) -> bytes:
        return packer.body(self.mode.name, value)

    def answer(self, value: Any, kind: int = packer.CONNECTOK, **more: Any) -> bytes:
        """An answer to CONNECT."""
        if self.mode.name == "native":
            more.setdefault("annotations", {"FAST": b"\x01"})
        return self.message(kind, value if isinstance(value, bytes) else self.body(value), **more)

    def welcome(self, meta: Any = None) -> None:
        """Read CONNECT and accept it."""
        self.hear()
        meta = {"methods": ["null"], "oneway": [], "attrs": ["level"]} if meta is None else meta
        self.send(self.answer({"handshake": "hello", "meta": meta}))

    def reply(self, value: Any, **more: Any) -> None:
        """Answer a request; bytes are sent as they are."""
        self.hear()
        self.send(self.message(packer.RESULT, value if isinstance(value, bytes) else self.body(value), **more))


Attack = Callable[[Conversation], Any]


class HostileServer:
    """Runs an attack on each who connects. A context manager."""

    def __init__(self, attack: Attack, mode: Mode) -> None:
        self.sent = 0
        self.connections = 0
        self.over = False
        self.ended = threading.Event()
        self._attack = attack
        self._mode = mode
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.uri = f"PYRO:x@127.0.0.1:{self.port}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            thread = threading.Thread(target=self._converse, args=(sock,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _converse(self, sock: socket.socket) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(30)
        with sock, contextlib.suppress(OSError, EOFError):
            self._attack(Conversation(sock, self._mode, self))

    def __enter__(self) -> HostileServer:
        return self

    def __exit__(self, *exception: object) -> None:
        self.over = True
        self.ended.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)


class Victim:
    """The client's process. A context manager.

    Arguments: the good daemon's URI; what the mode says; with TLS the file of the authority that the client trusts.
    """

    def __init__(self, good: str, facade: str | None, authority: Path | None = None) -> None:
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        self._reader = reader
        command: list[str | Path] = [
            sys.executable,
            HERE / "subject_client.py",
            "--report",
            str(writer),
            "--good",
            good,
        ]
        command += ["--facade", facade] if facade not in (None, PORTABLE, TLS) else []
        path = os.pathsep.join([str(HERE), *filter(None, sys.path)])
        environment = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        environment |= {"FASTPYRO_PORTABLE": "1"} if facade == PORTABLE else {}
        environment |= {"FASTPYRO_SSL": "1", "FASTPYRO_SSL_CACERTS": str(authority)} if facade == TLS else {}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, pass_fds=(writer,), env=environment
        )
        os.close(writer)
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def __enter__(self) -> Victim:
        return self

    def __exit__(self, *exception: object) -> None:
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe is not None
            pipe.close()
        os.close(self._reader)

    def events(self) -> list[str]:
        """What happened in the client that its user did not ask for."""
        with contextlib.suppress(BlockingIOError):
            return os.read(self._reader, 65536).decode().splitlines()
        return []

    def do(
        self, what: str, server: HostileServer, mode: Mode, timeout: float = 20.0, kind: str = "PYRO"
    ) -> dict[str, Any]:
        """Have the client do something with a proxy for the server. AssertionError when its process is gone.

        Argument: ``kind``, of the proxy's URI: with PYRONAME or PYROMETA the server is a name server.
        """
        command = {
            "do": what,
            "uri": server.uri.replace("PYRO", kind, 1),
            "ports": [server.port],
            "timeout": timeout,
            "protocol": mode.dialect,
            "serializer": None if mode.name == "native" else mode.name,
        }
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(command) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the client is gone, with status {self.process.wait(10)}"
        answer: dict[str, Any] = json.loads(line)
        return answer
