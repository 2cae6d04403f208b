"""Strangers whose handshakes never arrive whole: whom they hold up, and who is dropped."""

from __future__ import annotations

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

import fastpyro
from fastpyro.constants import MSG_CONNECT, MSG_CONNECTFAIL, MSG_CONNECTOK
from fastpyro.protocol._message import pack_message
from fastpyro.serializers.registry import get_serializer

DEADLINE = 30.0
SERPENT = get_serializer("serpent")
MIB = 1 << 20
PART = MIB
"""Bytes that strangers may have together."""


class Subject:
    @fastpyro.expose
    def size(self, value: bytes) -> int:
        return len(value)


def introduction(size: int) -> bytes:
    """Return a handshake with so many bytes of annotations."""
    payload = SERPENT.dumps({"handshake": "x", "object": "subject"})
    return pack_message(MSG_CONNECT, 0, 0, SERPENT.serializer_id, payload, {"BIGG": bytes(size)})


@pytest.fixture(params=["thread", "multiplex", "portable"])
def daemon(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[fastpyro.Daemon]:
    monkeypatch.setattr(fastpyro.config, "SERVERTYPE", "thread" if request.param == "thread" else "multiplex")
    monkeypatch.setattr(fastpyro.config, "PORTABLE", request.param == "portable")
    monkeypatch.setattr(fastpyro.config, "MAX_RECEIVED", 8 * PART)
    with fastpyro.Daemon(host="127.0.0.1") as daemon:
        daemon.register(Subject(), "subject")
        loop = threading.Thread(target=daemon.requestLoop)
        loop.start()
        yield daemon
        daemon.shutdown()
        loop.join(DEADLINE)


class Strangers:
    """Sockets that send a part of a handshake, each when all before has been read."""

    def __init__(self, daemon: fastpyro.Daemon, stack: contextlib.ExitStack) -> None:
        self.server: Any = daemon.transportServer
        self.address = daemon.sock.getsockname()[:2]
        self.stack = stack

    def send(self, data: bytes, source: str = "127.0.0.1") -> socket.socket:
        stranger = socket.create_connection(self.address, DEADLINE, source_address=(source, 0))
        self.stack.enter_context(stranger)
        stranger.sendall(data)
        own = stranger.getsockname()
        until = time.monotonic() + DEADLINE
        while self.counted(own) < len(data) - 100:
            assert time.monotonic() < until
            time.sleep(0.001)
        return stranger

    def counted(self, address: Any) -> int:
        for one in list(self.server.connections.values()):
            if one.peer_address == address:
                return int(one.channel.counted)
        return 0


def answer_of(stranger: socket.socket) -> int:
    """Return the kind of message that a stranger gets."""
    return stranger.recv(65536)[6]


@pytest.mark.skipif(sys.platform != "linux", reason="needs a second address of the loopback interface")
def test_strangers_give_way_to_others_and_pause_no_client(daemon: fastpyro.Daemon) -> None:
    whole, fair = introduction(PART), introduction(PART // 4)
    with contextlib.ExitStack() as stack, fastpyro.Proxy(daemon.uriFor("subject")) as client:
        client._pyroTimeout = DEADLINE
        client._pyroBind()
        strangers = Strangers(daemon, stack)
        elsewhere = strangers.send(fair[: PART // 8], "127.0.0.2")
        many = [strangers.send(whole[: PART // 3]) for _ in range(8)]
        server: Any = daemon.transportServer
        assert client.size(bytes(6 * MIB)) == 6 * MIB, "who is admitted has the rest of the room"
        assert server.unfinished.waiting == 0
        for one in many:  # what they have is more than a share of the room, so each makes room by somebody's end
            with contextlib.suppress(OSError):
                one.sendall(whole[PART // 3 : PART // 3 + 100])
        elsewhere.sendall(fair[PART // 8 :])
        assert answer_of(elsewhere) == MSG_CONNECTOK, "though it came first"
        assert [answer_of(one) for one in many[:4]] == [MSG_CONNECTFAIL] * 4
        many[-1].sendall(whole[PART // 3 + 100 :])
        assert answer_of(many[-1]) == MSG_CONNECTOK
        assert server.handshakes.intake.total <= PART
        assert client.size(bytes(MIB)) == MIB


def test_what_came_with_the_handshake_counts_as_a_clients_from_then_on(daemon: fastpyro.Daemon) -> None:
    """The next request may have begun to arrive."""
    with contextlib.ExitStack() as stack:
        strangers = Strangers(daemon, stack)
        server: Any = daemon.transportServer
        stranger = strangers.send(introduction(3 * PART)[: 2 * PART])
        assert 2 * PART - 200 < server.handshakes.intake.total <= 2 * PART, "one of them arrives however big it is"
        stranger.sendall(introduction(3 * PART)[2 * PART :] + introduction(0)[:60])
        assert answer_of(stranger) == MSG_CONNECTOK
        assert server.handshakes.intake.total == 0
        stranger.close()
        until = time.monotonic() + DEADLINE
        while server.connections or server.unfinished.intake.total:  # it is released a moment after it is dropped
            assert time.monotonic() < until
            time.sleep(0.001)
        assert server.unfinished.intake.messages == 0
        assert server.handshakes.intake.messages == 0
