"""A storm of clients at a fastpyro server: how fast it takes them in, and what a client notices that is there already.

All the storm's connections are begun at once, and each sends its CONNECT as soon as it is connected.
"""

from __future__ import annotations

import select
import socket
import statistics
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import report
from idle_connections import latency, program, server

CLIENTS, ROUNDS = 1000, 5
CALM = "fastpyro, before the storm"


def storm(address: tuple[str, int], clients: int) -> float:
    """Let so many clients come at once. Returns the seconds until all of them were admitted; asserts that they were."""
    from fastpyro.constants import MSG_CONNECT, MSG_CONNECTOK, PROTOCOL_VERSION
    from fastpyro.protocol._assembler import Decoder
    from fastpyro.protocol._message import pack_message
    from fastpyro.serializers.registry import get_serializer

    serializer = get_serializer("serpent", PROTOCOL_VERSION)
    payload = serializer.dumps({"handshake": "hello", "object": "subject"})
    request = pack_message(MSG_CONNECT, 0, 0, serializer.serializer_id, payload)
    began = time.perf_counter()
    waiting: dict[int, tuple[socket.socket, Decoder]] = {}
    poller = select.epoll()
    for _ in range(clients):
        sock = socket.socket()
        sock.setblocking(False)
        sock.connect_ex(address)
        waiting[sock.fileno()] = sock, Decoder()
        poller.register(sock.fileno(), select.EPOLLOUT)
    done = []
    while waiting:
        for fd, event in poller.poll(30):
            sock, decoder = waiting[fd]
            if event & select.EPOLLOUT:
                assert sock.send(request) == len(request)
                poller.modify(fd, select.EPOLLIN)
                continue
            decoder.feed(sock.recv(65536))
            answer = decoder.next_message()
            if answer is not None:
                assert answer.kind == MSG_CONNECTOK, answer
                done.append(waiting.pop(fd)[0])
                poller.unregister(fd)
    seconds = time.perf_counter() - began
    poller.close()
    for sock in done:
        sock.close()
    return seconds


def rows() -> list[report.Row]:
    """Return rows for the rate of a storm, and for a null call before and during it."""
    import fastpyro

    seconds: list[float] = []
    calm: list[float] = []
    during: list[float] = []
    with server() as (_, uri), fastpyro.Proxy(uri) as proxy:
        host, port = uri.rpartition("@")[2].split(":")
        _calls_until(proxy, time.perf_counter() + 0.1)
        for _ in range(ROUNDS):
            calm += _calls_until(proxy, time.perf_counter() + 0.1)
            command = [sys.executable, str(Path(__file__)), host, port]
            with program(command, stdin=subprocess.PIPE) as clients:
                assert clients.stdout is not None
                assert clients.stdin is not None
                assert clients.stdout.readline() == "ready\n"
                ended = threading.Event()
                said: list[str] = []

                def read(output: Any = clients.stdout, said: list[str] = said, ended: threading.Event = ended) -> None:
                    said.append(output.readline())
                    ended.set()

                reader = threading.Thread(target=read)
                reader.start()
                clients.stdin.write("go\n")
                clients.stdin.flush()
                while not ended.is_set():
                    during += _calls_until(proxy, time.perf_counter())
                reader.join()
                seconds.append(float(said[0]))
    nan = float("nan")
    title, called = f"storm of {CLIENTS:,} clients", f"null call in a storm of {CLIENTS:,} clients"
    rate = CLIENTS / statistics.median(seconds)
    return [
        report.Row(title, "tcp", "fastpyro", nan, nan, None, rate, "connections/s"),
        report.Row(called, "tcp", "fastpyro", *latency(during), None, None, ""),
        report.Row(called, "tcp", CALM, *latency(calm), None, None, ""),
    ]


def _calls_until(proxy: Any, end: float) -> list[float]:
    null, times = proxy.null, []
    while True:
        before = time.perf_counter()
        null()
        after = time.perf_counter()
        times.append(after - before)
        if after >= end:
            return times


def main() -> None:
    address = sys.argv[1], int(sys.argv[2])
    storm(address, 1)  # so that everything is imported
    print("ready", flush=True)
    sys.stdin.readline()
    print(storm(address, CLIENTS), flush=True)


if __name__ == "__main__":
    main()
