"""The native link over Unix and TCP sockets: the contract of all channels, and what only it promises."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import tracemalloc
from array import array
from types import MappingProxyType
from typing import Any

import pytest
from channel_contract import ChannelContract
from channel_interruptions import InterruptionContract
from conversations import (
    ANNOTATIONS,
    REPLY,
    REPLY_BYTES,
    REQUEST,
    REQUEST_BYTES,
    Conversation,
    await_available,
    check_any_bytes,
    check_dead,
    pattern,
    promise,
    until,
)
from hypothesis import given
from hypothesis import strategies as st
from reference_wire import ReferenceMessage, encode, facts, payload_parts
from socket_pairs import DEADLINE, Peer, receive_exactly, tcp_pair, unix_pair
from wire_strategies import LIMIT, any_bytes, messages

from fastpyro.errors import ConnectionClosedError, RemoteProtocolError
from fastpyro.protocol._message import Outgoing
from fastpyro.transport._link import Link
from fastpyro.transport.channel import PortableChannel


def link_over_unix_socket(limit: int = 0) -> Conversation:
    near, far = unix_pair()
    return Conversation(Link(near, limit), far)


def link_over_tcp(limit: int = 0) -> Conversation:
    near, far = tcp_pair()
    return Conversation(Link(near, limit), far)


class TestLinkOverUnixSockets(ChannelContract, InterruptionContract):
    def connect(self, limit: int = 0) -> Conversation:
        return link_over_unix_socket(limit)


class TestLinkOverTcp(ChannelContract, InterruptionContract):
    def connect(self, limit: int = 0) -> Conversation:
        return link_over_tcp(limit)


@pytest.mark.parametrize("connect", [link_over_unix_socket, link_over_tcp])
@given(data=any_bytes, points=st.lists(st.integers(0, 1 << 16), max_size=4), wait=st.booleans())
def test_any_bytes_give_what_the_reference_gives(connect: Any, data: bytes, points: list[int], wait: bool) -> None:
    check_any_bytes(connect(LIMIT), data, points, wait)


@given(some=st.lists(messages, min_size=1, max_size=5))
def test_what_one_link_sends_the_other_receives(some: list[ReferenceMessage]) -> None:
    near, far = unix_pair()
    sender, receiver = Link(near), Link(far)
    try:
        for one in some:
            sender.send(
                Outgoing(
                    one.kind,
                    one.flags,
                    one.seq,
                    one.serializer_id,
                    payload_parts(one),
                    one.annotations,
                    one.correlation_id,
                )
            )
        assert [facts(receiver.receive(DEADLINE)) for _ in some] == some
    finally:
        sender.close()
        receiver.close()


def test_a_link_over_ipv6() -> None:
    if not socket.has_ipv6:
        pytest.skip("this Python has no IPv6")
    try:
        near, far = tcp_pair("::1")
    except OSError as error:
        pytest.skip(f"this machine has no IPv6 loopback: {error}")
    with Conversation(Link(near), far) as talk, Peer(talk.echo):
        assert talk.channel.exchange(Outgoing(4, 0, 0, 70, pattern(100_000))).payload == pattern(100_000)


# ---- system calls ----------------------------------------------------------------------------------------------------
# A SOCK_SEQPACKET socket keeps the bounds of each system call: one send is one packet, and what one recv leaves of a
# packet is lost.


def packet_link() -> Conversation:
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return Conversation(Link(near), far)


needs_packets = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux has SOCK_SEQPACKET pairs")


@needs_packets
@pytest.mark.parametrize("size", [0, 10, 4000, 4056, 4057, 50_000])
@pytest.mark.parametrize("annotations", [None, ANNOTATIONS])
def test_a_message_leaves_in_one_system_call(size: int, annotations: dict[str, bytes] | None) -> None:
    with packet_link() as talk:
        talk.channel.send(Outgoing(4, 0, 7, 70, pattern(size), annotations))
        packet = talk.peer.recv(1 << 20)
    assert packet == encode(ReferenceMessage(4, 0, 7, 70, pattern(size), annotations or {}))


@needs_packets
@pytest.mark.parametrize("size", [0, 10, 4000, 32728])
def test_a_message_of_up_to_32_kib_is_received_in_one_system_call(size: int) -> None:
    expected = ReferenceMessage(4, 0, 7, 70, pattern(size))
    for receive in ("receive", "receive_available"):
        with packet_link() as talk:
            talk.peer.send(encode(expected))
            assert facts(getattr(talk.channel, receive)()) == expected


def test_bytes_leave_in_small_portions_when_the_system_is_full() -> None:
    near, far = unix_pair()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
    big = {"BIG_": pattern(300_000)}
    with Conversation(Link(near), far) as talk:
        for annotations, payload in ((big, b""), (big, pattern(70_000)), (None, pattern(400_001)), (None, b"x")):
            with Peer(talk.echo):
                message = talk.channel.exchange(Outgoing(4, 0, 0, 70, payload, annotations), timeout=DEADLINE)
            assert (message.payload, message.annotations) == (payload, annotations or {})


@pytest.mark.parametrize("pair", [unix_pair, tcp_pair])
def test_many_small_messages_to_a_slow_reader(pair: Any) -> None:
    """Small messages meet a full socket, too: of a message's bytes some fit, or none."""
    near, far = pair()
    near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4608)
    far.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    sent = [ReferenceMessage(4, 0, number, 70, pattern(3000 + number)) for number in range(1000)]
    expected = b"".join(map(encode, sent))
    with Conversation(Link(near), far) as talk:
        with Peer(lambda: sip(far, len(expected))) as reader:
            for one in sent:
                talk.channel.send(
                    Outgoing(one.kind, one.flags, one.seq, one.serializer_id, one.payload), timeout=DEADLINE
                )
        assert reader.result == expected


def sip(sock: socket.socket, size: int) -> bytes:
    """Read so many bytes in sips of odd sizes."""
    data = bytearray()
    while len(data) < size:
        data += receive_exactly(sock, min(777, size - len(data)))
    return bytes(data)


def test_the_gil_is_free_while_a_link_waits() -> None:
    """The peer is a Python thread, so it can answer only when the waiting thread has let go."""
    with link_over_unix_socket() as talk, Peer(lambda: talk.echo(100)):
        for timeout in (None, DEADLINE):
            for _ in range(50):
                assert talk.channel.exchange(Outgoing(*REQUEST), timeout=timeout).payload == b"request"


# ---- somebody else's hands on the socket -----------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [None, DEADLINE])
def test_a_socket_that_was_made_non_blocking_still_waits(timeout: float | None) -> None:
    with link_over_unix_socket() as talk:
        talk.channel.sock.settimeout(5)  # as a user might, who reaches the socket through the proxy
        with Peer(talk.answer):
            assert facts(talk.channel.exchange(Outgoing(*REQUEST), timeout=timeout)) == REPLY


def test_waiting_on_a_non_blocking_socket_costs_no_processor_time() -> None:
    with link_over_unix_socket() as talk:
        talk.channel.sock.setblocking(False)
        finish = threading.Timer(0.5, lambda: talk.peer.sendall(REPLY_BYTES))
        before = time.thread_time()
        finish.start()
        assert facts(talk.channel.receive()) == REPLY
        assert time.thread_time() - before < 0.2
        finish.join()


def test_a_link_makes_its_socket_blocking() -> None:
    near, far = unix_pair()
    near.setblocking(False)
    with Conversation(Link(near), far) as talk, Peer(talk.answer):
        assert facts(talk.channel.exchange(Outgoing(*REQUEST))) == REPLY


def test_a_descriptor_that_is_gone_is_a_closed_connection() -> None:
    near, far = unix_pair()
    with Conversation(Link(near), far) as talk:
        os.close(near.detach())
        for call in (talk.channel.receive, lambda: talk.channel.exchange(Outgoing(*REQUEST))):
            with pytest.raises(ConnectionClosedError, match=f"{os.strerror(errno.EBADF)}|the connection is closed"):
                call()


class NotingSocket(socket.socket):
    """A socket that notes who closes it."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(fileno=sock.detach())
        self.closers: list[threading.Thread] = []

    def close(self) -> None:
        self.closers.append(threading.current_thread())
        super().close()


@pytest.mark.parametrize("make", [Link, PortableChannel])
def test_the_thread_that_is_inside_closes_the_descriptor(make: Any) -> None:
    """Else a new connection could get the number while a system call with it is under way."""
    near, far = unix_pair()
    noting = NotingSocket(near)

    def wait() -> None:
        with pytest.raises(ConnectionClosedError):
            talk.channel.exchange(Outgoing(*REQUEST))

    with Conversation(make(noting), far) as talk:
        with Peer(wait) as user:
            receive_exactly(far, len(REQUEST_BYTES))
            talk.channel.close()
        assert noting.closers[0] is user.thread


@pytest.mark.parametrize("spin", [0, 50])
def test_a_reset_connection_is_a_closed_connection(spin: int) -> None:
    with link_over_tcp() as talk:
        talk.channel.set_spin(spin)
        talk.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, array("i", [1, 0]).tobytes())
        talk.peer.close()
        with pytest.raises(ConnectionClosedError, match=f"{os.strerror(errno.ECONNRESET)}"):
            talk.channel.receive(DEADLINE)
        check_dead(talk)


def test_what_is_no_socket_is_refused() -> None:
    for wrong in (None, 5, object()):
        with pytest.raises(AttributeError):
            Link(wrong)  # type: ignore[arg-type]
    unready = Link.__new__(Link, None)  # type: ignore[call-arg]
    with pytest.raises(ConnectionClosedError):
        unready.receive()


def test_annotations_may_be_any_mapping() -> None:
    with link_over_unix_socket() as talk, Peer(talk.echo):
        message = talk.channel.exchange(Outgoing(4, 0, 0, 70, b"", MappingProxyType(ANNOTATIONS)))
        assert message.annotations == ANNOTATIONS


def test_empty_buffers_of_all_kinds_are_sent() -> None:
    empties: list[Any] = [b"", bytearray(), memoryview(b""), array("d"), memoryview(b"abc")[3:]]
    with link_over_unix_socket() as talk, Peer(lambda: talk.echo(len(empties))):
        for empty in empties:
            assert talk.channel.exchange(Outgoing(4, 0, 0, 70, empty)).payload == b""


def test_a_payload_cannot_be_resized_while_it_is_sent() -> None:
    payload = bytearray(50 << 20)
    with link_over_unix_socket() as talk:
        with Peer(lambda: talk.channel.send(Outgoing(4, 0, 0, 70, payload))):
            receive_exactly(talk.peer, 1000)
            with pytest.raises(BufferError):
                payload.clear()
            receive_exactly(talk.peer, 40 + len(payload) - 1000)
        payload.clear()


# ---- memory ----------------------------------------------------------------------------------------------------------

BUFFER_SIZE = 32768


def native_memory_of(work: Any) -> int:
    """Return how much memory is held after some work that was not held before; tracemalloc sees PyMem_Raw, too."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        work()
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return after - before


@pytest.mark.parametrize("count", [1, 2, 5])
def test_an_idle_link_keeps_no_buffer(count: int) -> None:
    """A server with 10,000 silent clients must not hold 32 KiB for each."""
    with link_over_unix_socket() as talk:

        def work() -> None:
            talk.peer.sendall(REPLY_BYTES * count)
            for _ in range(count):
                assert await_available(talk) == REPLY

        work()  # one buffer is kept for all links
        assert native_memory_of(work) < BUFFER_SIZE // 2


def test_a_link_that_waits_for_the_rest_of_a_message_keeps_no_buffer() -> None:
    with link_over_unix_socket() as talk:

        def work() -> None:
            talk.peer.sendall(promise(100) + b"part")
            until(lambda: talk.channel.receive_available() is None and talk.channel.receiving)

        assert native_memory_of(work) < BUFFER_SIZE // 2


def test_buffers_go_with_their_links() -> None:
    def work() -> None:
        for _ in range(100):
            with link_over_unix_socket() as talk:
                talk.peer.sendall(REPLY_BYTES)
                talk.channel.receive()  # which keeps its buffer for the next one
                talk.peer.sendall(b"bad")
                with pytest.raises(RemoteProtocolError):
                    talk.channel.receive()

    work()
    assert native_memory_of(work) < 10 * BUFFER_SIZE


MANY_PROMISES = """
import resource, socket, struct
from fastpyro.transport._link import Link
from fastpyro.protocol._message import pack_message
ping = pack_message(6, 0, 0, 42, b"ping")
header = ping[:12] + struct.pack("!II", 0x7FFFFFFF, 0x7FFFFFFF) + ping[20:40]
pairs = [socket.socketpair() for _ in range(300)]
links = [Link(near) for near, _ in pairs]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for link, (_, far) in zip(links, pairs):
    far.sendall(header + b"x" * 100)
    assert link.receive_available() is None
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ru_maxrss counts KiB on Linux only")
def test_hundreds_of_promises_of_4_gib_take_little_memory() -> None:
    done = subprocess.run([sys.executable, "-c", MANY_PROMISES], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 50_000, "KiB: pages that nobody wrote are not taken"


# ---- signals from outside --------------------------------------------------------------------------------------------

INTERRUPTED = """
import signal, socket, sys
from fastpyro.protocol._message import Outgoing
from fastpyro.transport._link import Link
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs are born ignoring it
timeout = eval(sys.argv[2])
link = Link(socket.socket(fileno=int(sys.argv[1])))
try:
    link.exchange(Outgoing(4, 0, 7, 70, b"request"), timeout=timeout)
except KeyboardInterrupt:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print("interrupted", link.closed)
"""


@pytest.mark.parametrize("timeout", ["None", "60"])
def test_ctrl_c_ends_a_program_that_waits(timeout: str) -> None:
    near, far = unix_pair()
    with far:
        command = [sys.executable, "-c", INTERRUPTED, str(near.fileno()), timeout]
        with near:
            program = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, pass_fds=[near.fileno()])
        with program:
            try:
                receive_exactly(far, len(REQUEST_BYTES))
                end = time.monotonic() + DEADLINE
                while program.poll() is None and time.monotonic() < end:
                    program.send_signal(signal.SIGINT)  # again, should it come in just before the system call
                    try:
                        program.wait(1)
                    except subprocess.TimeoutExpired:
                        continue
                assert program.stdout is not None
                assert program.stdout.read() == "interrupted True\n"
                assert program.returncode == 0
            finally:
                program.kill()


def test_what_a_function_requires_is_asserted_in_a_debug_build_only() -> None:
    """`make debug` and `make sanitize` build with FASTPYRO_DEBUG=1, and run the tests with it."""
    near, far = unix_pair()
    with far:
        link = Link(near)
        if os.environ.get("FASTPYRO_DEBUG") == "1":
            with pytest.raises(AssertionError, match="for who has been appointed"):
                link.read_for_others()
        else:
            link.read_for_others()
        assert not link.closed
        link.close()
