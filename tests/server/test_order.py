"""Whoever is quick goes first, and of those who take long one goes at a time."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from socket_pairs import DEADLINE, unix_pair

from fastpyro.constants import MSG_CONNECT, MSG_INVOKE
from fastpyro.protocol._assembler import Decoder
from fastpyro.protocol._message import pack_message
from fastpyro.serializers.registry import get_serializer
from fastpyro.server._order import in_turn
from fastpyro.server.connection import Connection
from fastpyro.transport.channel import open_channel


class Client:
    """Connects, and sends calls without waiting for the answer to its CONNECT."""

    def __init__(self, location: str, serializer_name: str) -> None:
        host, _, port = location.rpartition(":")
        self.serializer = get_serializer(serializer_name)
        self.sock = socket.create_connection((host, int(port)), DEADLINE)
        self.decoder = Decoder()
        self.send(MSG_CONNECT, self.serializer.dumps({"handshake": "hello", "object": "counter"}))

    def send(self, kind: int, payload: bytes, times: int = 1, seq: int = 1) -> None:
        """Send without waiting for the other side: what is sent fits into the system's buffers."""
        self.sock.sendall(pack_message(kind, 0, seq, self.serializer.serializer_id, payload) * times)

    def call(self, name: str, times: int = 1, seq: int = 1) -> None:
        self.send(MSG_INVOKE, self.serializer.dumps_call("counter", name, (), {}), times, seq)

    def answer(self) -> Any:
        """Return what the next message says."""
        while (message := self.decoder.next_message()) is None:
            data = self.sock.recv(1 << 16)
            assert data
            self.decoder.feed(data)
        return self.serializer.loads(message.payload)


class Ready:
    """Connections that are ready, each with what its turns took so far, in milliseconds; nothing for a stranger."""

    def __init__(self, *took: float | None) -> None:
        self.ends = [unix_pair() for _ in took]
        made = [Connection(open_channel(near, 0), "client") for near, _ in self.ends]
        self.order = [one.fd for one in made]
        self.connections = {one.fd: one for one in made}
        for one, milliseconds in zip(made, took, strict=True):
            if milliseconds is not None:
                one.handshaken = True
                self.serve(one, 0)
            if milliseconds:
                self.serve(one, milliseconds)

    def served(self, newest: bool = False) -> list[int]:
        """Which of them have their turn, by index."""
        return [self.order.index(fd) for fd in in_turn(self.order, self.connections, newest)]

    def charge(self, index: int, milliseconds: float, asleep: bool = False, alone: bool = False) -> bool:
        return self.serve(self.connections[self.order[index]], milliseconds, asleep, alone)

    def cost(self, index: int) -> float:
        return 1e3 * self.connections[self.order[index]].cost

    @staticmethod
    def serve(connection: Connection, milliseconds: float, asleep: bool = False, alone: bool = False) -> bool:
        connection.begin_turn()
        if asleep:
            threading.Event().wait(milliseconds / 1e3)
        else:
            until = time.thread_time() + milliseconds / 1e3
            while time.thread_time() < until:
                pass
        return connection.end_turn(alone)

    def __enter__(self) -> Ready:
        return self

    def __exit__(self, *exception: object) -> None:
        for one in self.connections.values():
            one.close()
        for _, far in self.ends:
            far.close()


TURN_MS = 0.25
QUICK, LONG, NEW, STRANGER = 0.001, 3.0, 0.0, None


def test_who_is_quick_goes_first_and_one_of_each_kind_behind() -> None:
    with Ready(LONG, QUICK, STRANGER, NEW, QUICK, LONG, STRANGER, NEW) as ready:
        assert ready.served() == [1, 4, 2, 3, 0]
        assert in_turn([9999, *ready.order[:2]], ready.connections, False)[:2] == [9999, ready.order[1]]
    with Ready(QUICK, QUICK) as ready:
        assert ready.served() == [0, 1]


def test_those_that_take_long_have_turns_among_themselves() -> None:
    with Ready(LONG, LONG, LONG) as ready:
        assert [ready.served() for _ in range(6)] == [[0], [1], [2], [0], [1], [2]]
        ready.charge(0, LONG)  # served for another reason
        assert ready.served() == [1]


def test_strangers_come_in_the_order_in_which_they_came() -> None:
    """Also one that says a little again and again."""
    with Ready(STRANGER, STRANGER, STRANGER) as ready:
        assert [ready.served() for _ in range(4)] == [[0], [1], [2], [0]]


def test_of_the_new_ones_the_oldest_or_the_newest_comes() -> None:
    with Ready(NEW, NEW, NEW) as ready:
        assert ready.served(newest=True) == [2]
        assert ready.served() == [0]


def test_what_took_long_is_forgotten_bit_by_bit() -> None:
    with Ready(LONG) as ready:
        assert ready.cost(0) >= LONG
        calls = 0
        while ready.cost(0) > TURN_MS:
            ready.charge(0, 0)
            calls += 1
            assert calls < 1000
        assert calls >= 5


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says whether a thread has slept")
def test_only_what_a_thread_does_itself_counts_unless_all_wait_for_it() -> None:
    """Others may have had the processor, or the GIL: a long time proves nothing."""
    with Ready(NEW, NEW) as ready:
        for _ in range(3):
            assert ready.charge(0, LONG, asleep=True)
            assert ready.charge(1, LONG, asleep=True, alone=True)
        assert ready.cost(0) < TURN_MS
        assert ready.cost(1) >= LONG


def test_who_was_quick_is_watched_after_a_long_time_and_slow_after_another() -> None:
    with Ready(QUICK) as ready:
        assert ready.charge(0, LONG)
        assert ready.cost(0) < TURN_MS
        for _ in range(10):
            assert not ready.charge(0, 0) or ready.cost(0) < TURN_MS
        assert ready.charge(0, LONG)
        assert ready.cost(0) >= LONG


SLOW_SERVER = """
import sys
import time
import fastpyro

@fastpyro.expose
class Counter:
    # Long calls of many clients, and quick ones of another, who asks how many long ones came since he last did.
    since = 0

    def long(self):
        until = time.perf_counter() + 0.002
        while time.perf_counter() < until:
            pass
        self.since += 1

    def quick(self):
        since, self.since = self.since, 0
        return since

fastpyro.config.SERVERTYPE = "multiplex"
daemon = fastpyro.Daemon(host="127.0.0.1")
daemon.register(Counter(), "counter")
print(daemon.locationStr, flush=True)
daemon.requestLoop()
"""


def test_long_calls_of_many_clients_come_one_at_a_time_between_quick_ones(tmp_path: Path) -> None:
    """Thirty clients have some of them here all the time, all of them at the same time."""
    script = tmp_path / "counter.py"
    script.write_text(SLOW_SERVER)
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True) as server:
        clients = []
        try:
            assert server.stdout is not None
            location = server.stdout.readline().strip()
            quick = Client(location, "native")
            clients = [Client(location, "native") for _ in range(30)]
            for seq in range(20):
                quick.call("quick", seq=seq)
                quick.answer()
            for client in clients:
                client.answer()
                client.call("long", 20)
            counts = []
            for seq in range(100):
                quick.call("quick", seq=seq)
                counts.append(quick.answer())
            assert max(counts[1:]) > 0
            assert sorted(counts)[50] <= 4, "it was 30"
        finally:
            for client in [*clients, quick]:
                client.sock.close()
            server.kill()
