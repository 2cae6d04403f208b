"""What one connection sends at once is served in turns: whoever asks meanwhile is answered in between."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from socket_pairs import DEADLINE

from fastpyro.constants import MSG_CONNECT, MSG_CONNECTOK, MSG_INVOKE
from fastpyro.protocol._assembler import Decoder
from fastpyro.protocol._message import Message, pack_message
from fastpyro.serializers.registry import get_serializer
from fastpyro.server.turns import Turns

CALLS = 3000
MOST_IN_A_TURN = 150
"""Of 5 us and more. What the system hands over at once would be 366 or 594."""

SERVER = """
import socket
import sys
import time
import fastpyro
from fastpyro.constants import MSG_CONNECT, MSG_INVOKE
from fastpyro.protocol._message import pack_message
from fastpyro.serializers.registry import get_serializer

@fastpyro.expose
class Counter:
    # Counts how many calls of one client come without another in between. While the first ones run there may be no other
    # that is admitted, and the last ones have nobody to wait for them.


    def __init__(self):
        self.client = None
        self.runs = []
        self.sender = None
        self.calls = 0
        self.asked = self.answered = None

    def add(self):
        client = fastpyro.current_context.client
        if client is not self.client:
            self.client = client
            self.runs.append(0)
        self.runs[-1] += 1
        self.calls += 1
        if self.calls == ASK_AFTER and self.sender is not None:
            self.asked = len(self.runs)
            self.sender.sendall(pack_message(MSG_INVOKE, 0, 1, 1, serpent.dumps_call("counter", "ask", (), {})))
        until = time.perf_counter() + 5e-6
        while time.perf_counter() < until:
            pass

    def look(self):
        return max(self.runs[2:-1])

    def ask(self):
        if self.asked is not None and self.answered is None:
            self.answered = len(self.runs)

    def waited(self):
        return self.answered - self.asked

ASK_AFTER = 4000
serpent = get_serializer("serpent")
counter = Counter()
fastpyro.config.SERVERTYPE = sys.argv[1]
daemon = fastpyro.Daemon(host="127.0.0.1")
daemon.register(counter, "counter")
if sys.argv[2:]:
    counter.sender = socket.create_connection(daemon.sock.getsockname())
    hello = serpent.dumps({"handshake": "hello", "object": "counter"})
    counter.sender.sendall(pack_message(MSG_CONNECT, 0, 1, 1, hello))
print(daemon.locationStr, flush=True)
sys.stdin.readline()
daemon.requestLoop()
"""


class Client:
    """Connects, and sends calls without waiting for the answer to its CONNECT."""

    def __init__(self, location: str, serializer_name: str) -> None:
        host, _, port = location.rpartition(":")
        self.serializer = get_serializer(serializer_name)
        self.sock = socket.create_connection((host, int(port)), DEADLINE)
        self.send(MSG_CONNECT, self.serializer.dumps({"handshake": "hello", "object": "counter"}))

    def send(self, kind: int, payload: bytes, times: int = 1, seq: int = 1) -> None:
        """Send without waiting for the other side: what is sent fits into the system's buffers."""
        self.sock.sendall(pack_message(kind, 0, seq, self.serializer.serializer_id, payload) * times)

    def call(self, name: str, times: int = 1, seq: int = 1) -> None:
        self.send(MSG_INVOKE, self.serializer.dumps_call("counter", name, (), {}), times, seq)

    def replies(self, count: int) -> list[Message]:
        decoder = Decoder()
        replies: list[Message] = []
        while len(replies) < count:
            data = self.sock.recv(1 << 16)
            assert data, replies
            decoder.feed(data)
            while (message := decoder.next_message()) is not None:
                replies.append(message)
        return replies

    def last_result(self) -> int:
        replies = self.replies(CALLS + 2)
        assert replies[0].kind == MSG_CONNECTOK
        result = next(
            self.serializer.loads(reply.payload) for reply in replies if reply.seq == 2
        )  # another may be later
        assert type(result) is int
        return result


@pytest.mark.parametrize("serializer", ["native", "serpent"])
@pytest.mark.parametrize("servertype", ["thread", "multiplex"])
def test_a_burst_of_calls_lets_others_have_their_turn(servertype: str, serializer: str, tmp_path: Path) -> None:
    """All calls are there before the server begins. The one who is done first says how they came."""
    script = tmp_path / "counter.py"
    script.write_text(SERVER)
    command: list[str | Path] = [sys.executable, script, servertype]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdin is not None
            assert server.stdout is not None
            location = server.stdout.readline().strip()
            clients = [Client(location, serializer) for _ in range(2)]
            with clients[0].sock, clients[1].sock:
                for client in clients:
                    client.call("add", CALLS)
                    client.call("look", seq=2)
                server.stdin.write("begin\n")
                server.stdin.flush()
                longest = min(client.last_result() for client in clients)
                assert 0 < longest < MOST_IN_A_TURN
        finally:
            server.kill()


@pytest.mark.parametrize("servertype", ["thread", "multiplex"])
def test_who_asks_for_a_single_thing_waits_for_one_turn_of_many(servertype: str, tmp_path: Path) -> None:
    """Ten clients have sent a lot; in the middle of it another one asks once: a process of its own could not say when."""
    script = tmp_path / "counter.py"
    script.write_text(SERVER)
    command: list[str | Path] = [sys.executable, script, servertype, "ask"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdin is not None
            assert server.stdout is not None
            location = server.stdout.readline().strip()
            clients = [Client(location, "native") for _ in range(10)]
            for client in clients:
                client.call("add", 600)
            server.stdin.write("begin\n")
            server.stdin.flush()
            for client in clients:
                client.replies(601)
            clients[0].call("waited")
            (reply,) = clients[0].replies(1)
            for client in clients:
                client.sock.close()
            turns = clients[0].serializer.loads(reply.payload)
            assert 0 <= turns <= 2, "the rest of the turn in which it was asked, and one more"
        finally:
            server.kill()


class Waiting:
    """What `Turns` needs of a connection."""

    waits_turn = False


def test_turns_are_taken_in_order_and_nobody_waits_twice() -> None:
    turns = Turns()
    first: Any = Waiting()
    second: Any = Waiting()
    for one in (first, second, first):
        turns.add(one)
    assert len(turns.waiting) == 2
    came: list[Any] = [turns.next()]
    assert came == [first]
    assert [first.waits_turn, second.waits_turn] == [False, True]
    turns.add(first)
    came += [turns.next(), turns.next(), turns.next()]
    assert came == [first, second, first, None]
    assert not second.waits_turn
