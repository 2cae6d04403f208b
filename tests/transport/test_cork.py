"""Oneway messages in bursts: they leave together, in order, soon, and none is lost."""

from __future__ import annotations

import fcntl
import os
import socket
import subprocess
import sys
import threading
import time

import pytest
from server_process import SubjectServer
from socket_pairs import DEADLINE, Peer, tcp_pair, unix_pair

import fastpyro
from fastpyro.protocol._message import Outgoing
from fastpyro.serializers.registry import native
from fastpyro.transport import _cork
from fastpyro.transport._link import Link
from fastpyro.transport.channel import PlainChannel


def test_the_module_has_no_face_for_python() -> None:
    assert [name for name in vars(_cork) if not name.startswith("__")] == []


@pytest.mark.parametrize("name", ["calculator", "calculator.class"])
def test_a_burst_arrives_whole_and_in_order(name: str) -> None:
    # On a busy machine a quick call may look slow, and those after it would not wait for it, but for those of a session.
    with (
        SubjectServer("--set", "ONEWAY_THREADED=False") as server,
        fastpyro.Proxy(server.uri(name)) as proxy,
    ):
        for number in range(5000):
            proxy.note(number)
        assert proxy.all_notes() == list(range(5000))


def test_a_burst_arrives_without_anything_after_it() -> None:
    with SubjectServer() as server, fastpyro.Proxy(server.uri()) as proxy, fastpyro.Proxy(server.uri()) as other:
        proxy._pyroBind()
        for number in range(50):
            proxy.note(number)
        deadline = time.monotonic() + DEADLINE
        while len(other.all_notes()) < 50:
            assert time.monotonic() < deadline
        assert other.all_notes() == list(range(50))


PROGRAM = """
import sys, os, fastpyro
proxy = fastpyro.Proxy(sys.argv[1])
proxy._pyroBind()
for number in range(100):
    proxy.note(number)
os._exit(0)
"""


def test_a_program_that_ends_at_once_loses_nothing() -> None:
    with SubjectServer() as server, fastpyro.Proxy(server.uri()) as proxy:
        subprocess.run([sys.executable, "-c", PROGRAM, str(server.uri())], check=True, timeout=60)
        deadline = time.monotonic() + DEADLINE
        while len(proxy.all_notes()) < 100:
            assert time.monotonic() < deadline
        assert proxy.all_notes() == list(range(100))


def test_a_closed_connection_is_forgotten() -> None:
    """Its descriptor may be somebody else's a moment later, whose options must stay as they are."""
    with SubjectServer() as server:
        for _ in range(20):
            with fastpyro.Proxy(server.uri()) as proxy:
                for number in range(5):
                    proxy.note(number)
                descriptor = proxy._pyroConnection.fileno()  # type: ignore[union-attr]
            with socket.socket() as sock:
                if sock.fileno() == descriptor:
                    assert not sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_forked_child_has_a_pusher_of_its_own() -> None:
    with SubjectServer() as server, fastpyro.Proxy(server.uri()) as proxy:
        for number in range(10):
            proxy.note(number)
        child = os.fork()
        if child == 0:
            try:
                for number in range(10, 20):
                    proxy.note(number)
                proxy._pyroRelease()
                os._exit(0)
            finally:
                os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        deadline = time.monotonic() + DEADLINE
        while len(proxy.all_notes()) < 20:
            assert time.monotonic() < deadline
        assert sorted(proxy.all_notes()) == list(range(20))


def unsent(sock: socket.socket) -> int:
    """Bytes that the system has not even sent yet (SIOCOUTQNSD of linux/sockios.h)."""
    return int.from_bytes(fcntl.ioctl(sock, 0x894B, bytes(4)), sys.byteorder)


@pytest.mark.skipif(not hasattr(socket, "MSG_MORE"), reason="this system collects nothing")
def test_who_waits_pushes_what_was_submitted() -> None:
    near, far = tcp_pair()
    link = Link(near)
    link.set_background(lambda run: threading.Thread(target=run, daemon=True).start())
    held_back = False
    try:
        for seq in range(2000):  # the thread may be faster now and then, but not each time
            link.submit(Outgoing(4, 0, seq, native.serializer_id, b"x"), lambda message, error: None)
            held_back = held_back or unsent(near) > 0
            if held_back:
                break
        link.push()
        assert unsent(near) == 0
        assert held_back
        link.push()  # nothing is promised any more
    finally:
        link.close()
        far.close()
    link.push()
    assert link.closed


@pytest.mark.parametrize("pair", [tcp_pair, unix_pair])
def test_a_reader_that_does_not_read_holds_a_burst_up_and_loses_nothing(pair: object) -> None:
    near, far = pair()  # type: ignore[operator]
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    sender, receiver = PlainChannel(near), PlainChannel(far)

    def read() -> list[bytes]:
        return [receiver.receive(DEADLINE).payload for _ in range(3000)]

    try:
        with Peer(read) as reader:
            for number in range(3000):
                sender.send(Outgoing(4, 4, number, native.serializer_id, b"%d" % number * 20))
        assert reader.result == [b"%d" % number * 20 for number in range(3000)]
    finally:
        sender.close()
        receiver.close()
