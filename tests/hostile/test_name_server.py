"""A name server in a process of its own, and a stranger who fills it, asks for everything, and borrows its answers."""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostile.battlefield import MEMORY, MEMORY_FACTOR
from server_process import ServerProcess

import fastpyro
from fastpyro.errors import NamingError, PyroError

PATIENCE = 20.0


class NameServer(ServerProcess):
    """The name server that is attacked; names may take 8 MB in it."""

    def __init__(self) -> None:
        command = ("ns", "-n", "127.0.0.1", "-p", "0", "-b", "--bchost", "127.0.0.1", "--bcport", "0")
        super().__init__("-m", "fastpyro", *command, environment={"FASTPYRO_NS_MAX_BYTES": "8000000"})
        self.place = self.wait_for(r"PYRO:Pyro.NameServer@(\S+)")[1]
        match = re.search(r"Broadcast server running on \S+:(\d+)", self.output)
        assert match is not None
        self.broadcast_port = int(match[1])

    def peak(self) -> int:
        text = Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("VmHWM:")) * 1024

    def client(self) -> fastpyro.Proxy:
        proxy = fastpyro.Proxy(f"PYRO:Pyro.NameServer@{self.place}")
        proxy._pyroTimeout = PATIENCE
        return proxy


@pytest.fixture
def names() -> Iterator[NameServer]:
    with NameServer() as server:
        yield server
        with server.client() as good:  # it serves on
            assert good.lookup("good").object == "x"
            good.ping()
        assert server.process.poll() is None


def test_d14_names_are_bounded_in_all(names: NameServer) -> None:
    """Names as long, and with as many tags, as they may be: refused in time, and nobody lists them all."""
    sent = 0
    with names.client() as stranger:
        stranger.register("good", "PYRO:x@localhost:1")
        refused: list[str] = []
        for number in range(400):
            tags = [f"{number}.{tag}." + "t" * 480 for tag in range(100)]
            sent += 50_000
            try:
                stranger.register(f"{number}." + "n" * 480, f"PYRO:{'o' * 400}@localhost:1", metadata=tags)
            except NamingError as error:
                refused.append(str(error))
        assert 0 < len(refused) < 400
        assert all("NS_MAX_BYTES" in text for text in refused)
        for question in ({"return_metadata": True}, {"regex": ".*"}, {"prefix": ""}):
            with contextlib.suppress(PyroError):
                stranger.list(**question)
        with pytest.raises(NamingError):
            stranger.register("one more", "PYRO:x@localhost:1", metadata=["t" * 490 + str(tag) for tag in range(100)])
        assert stranger.remove(prefix="1") > 0
        stranger.register("one more", "PYRO:x@localhost:1")
    assert names.peak() < MEMORY + MEMORY_FACTOR * sent


def test_d14_the_responder_is_no_amplifier(names: NameServer) -> None:
    """What comes back to an address is bounded, however often it asks, and whatever else is sent is not answered."""
    with names.client() as good:
        good.register("good", "PYRO:x@localhost:1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(0.5)
        sent = received = 0
        began = time.monotonic()
        for number in range(2000):
            data = (b"GET_NSURI", b"", b"GET_NSURI\n", b"x" * 1400)[0 if number % 8 else number // 8 % 4]
            sock.sendto(data, ("127.0.0.1", names.broadcast_port))
            sent += len(data)
            if number % 50 == 0:
                time.sleep(0.001)
        with contextlib.suppress(TimeoutError):
            while True:
                received += len(sock.recv(65536))
        windows = 1 + (time.monotonic() - began) // 10
    assert 0 < received < 30 * 200 * windows
    assert received < sent
