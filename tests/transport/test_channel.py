"""The portable channel over Unix, TCP and TLS sockets, and which channel a socket gets."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from channel_bytecodes import BytecodeContract
from channel_contract import ChannelContract
from channel_interruptions import InterruptionContract
from conversations import REPLY, REPLY_BYTES, REQUEST, Conversation, check_any_bytes, check_dead, pattern
from hypothesis import given
from hypothesis import strategies as st
from reference_wire import facts
from socket_pairs import DEADLINE, Peer, make_certificate, tcp_pair, tls_pair, unix_pair
from wire_strategies import LIMIT, any_bytes

from fastpyro.config import config
from fastpyro.errors import ConnectionClosedError
from fastpyro.protocol._message import Outgoing
from fastpyro.transport._link import Link
from fastpyro.transport.channel import Channel, PlainChannel, PortableChannel, open_channel


def portable_over_unix_socket(limit: int = 0) -> Conversation:
    near, far = unix_pair()
    return Conversation(PortableChannel(near, limit), far)


def portable_over_tcp(limit: int = 0) -> Conversation:
    near, far = tcp_pair()
    return Conversation(PortableChannel(near, limit), far)


class TestPortableOverUnixSockets(ChannelContract, InterruptionContract, BytecodeContract):
    def connect(self, limit: int = 0) -> Conversation:
        return portable_over_unix_socket(limit)


class TestPortableOverTcp(ChannelContract, InterruptionContract, BytecodeContract):
    def connect(self, limit: int = 0) -> Conversation:
        return portable_over_tcp(limit)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.mark.skipif(shutil.which("openssl") is None, reason="the openssl command makes the certificate")
class TestPortableOverTls(ChannelContract, InterruptionContract, BytecodeContract):
    leak_rounds = 30  # a handshake takes a millisecond or two
    step = 7

    @pytest.fixture(autouse=True)
    def take_certificate(self, certificate: Path) -> None:
        self.certificate = certificate

    def connect(self, limit: int = 0) -> Conversation:
        near, far = tls_pair(self.certificate)
        return Conversation(PortableChannel(near, limit), far)

    def test_it_is_encrypted(self, talk: Conversation) -> None:
        assert talk.channel.sock.version() in {"TLSv1.2", "TLSv1.3"}

    def test_a_tls_socket_gets_the_portable_channel(self, talk: Conversation) -> None:
        assert type(open_channel(talk.channel.sock)) is PortableChannel


@pytest.mark.parametrize("connect", [portable_over_unix_socket, portable_over_tcp])
@given(data=any_bytes, points=st.lists(st.integers(0, 1 << 16), max_size=4), wait=st.booleans())
def test_any_bytes_give_what_the_reference_gives(connect: Any, data: bytes, points: list[int], wait: bool) -> None:
    check_any_bytes(connect(LIMIT), data, points, wait)


# ---- which channel ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("portable", [False, True])
def test_plain_sockets_get_the_native_link_unless_configured(monkeypatch: pytest.MonkeyPatch, portable: bool) -> None:
    monkeypatch.setattr(config, "PORTABLE", portable)
    near, far = unix_pair()
    with Conversation(open_channel(near, 1000), far) as talk, Peer(talk.answer):
        assert type(talk.channel) is (PortableChannel if portable else PlainChannel)
        assert isinstance(talk.channel, Link) is not portable
        assert facts(talk.channel.exchange(Outgoing(*REQUEST), timeout=DEADLINE)) == REPLY


def test_every_channel_has_the_whole_interface() -> None:
    names = {name for name in vars(Channel) if not name.startswith("_")}
    assert {"send", "receive", "exchange", "receive_available", "close", "sock", "closed"} <= names
    kinds: list[Any] = [PlainChannel, PortableChannel]
    for kind in kinds:
        near, far = unix_pair()
        with Conversation(kind(near), far) as talk:
            assert {name for name in names if not hasattr(talk.channel, name)} == set()


def test_a_plain_channel_talks_to_a_portable_one() -> None:
    near, far = tcp_pair()
    plain, portable = PlainChannel(near), PortableChannel(far)

    def echo() -> None:
        for _ in range(20):
            message = portable.receive(DEADLINE)
            portable.send(Outgoing(message.kind, message.flags, message.seq, 70, message.payload, message.annotations))

    try:
        with Peer(echo):
            for number in range(20):
                payload = pattern(number**5)
                message = plain.exchange(
                    Outgoing(4, 0, number, 70, payload, {"ABCD": b"%d" % number}), timeout=DEADLINE
                )
                assert (message.payload, message.annotations) == (payload, {"ABCD": b"%d" % number})
    finally:
        plain.close()
        portable.close()


class ForeignSocket:
    """A socket object that is no `socket.socket`, as some TLS libraries have."""

    def __init__(self, sock: Any) -> None:
        self.inner = sock

    def shutdown(self, how: int) -> None:
        self.inner.shutdown(how)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def test_any_socket_object_will_do() -> None:
    near, far = unix_pair()
    with Conversation(PortableChannel(ForeignSocket(near)), far) as talk:  # type: ignore[arg-type]
        with Peer(talk.answer):
            assert facts(talk.channel.exchange(Outgoing(*REQUEST), timeout=DEADLINE)) == REPLY
        talk.channel.close()
        with pytest.raises(ConnectionClosedError):
            talk.channel.receive()
        assert near.fileno() == -1


def test_an_interrupt_between_sending_and_receiving_ends_the_channel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else the next call would read this one's answer."""

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    with portable_over_unix_socket() as talk:
        monkeypatch.setattr(talk.channel, "_receive_message", interrupt)
        with pytest.raises(KeyboardInterrupt):
            talk.channel.exchange(Outgoing(*REQUEST))
        monkeypatch.undo()
        check_dead(talk)


def test_importing_channels_does_not_import_ssl() -> None:
    program = "import sys, fastpyro.transport.channel; sys.exit('ssl' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], timeout=60).returncode == 0


def test_messages_of_a_segment_stay_in_order_when_ways_of_receiving_change() -> None:
    with portable_over_unix_socket() as talk:
        talk.peer.sendall(REPLY_BYTES * 4)
        assert facts(talk.channel.receive(DEADLINE)) == REPLY
        assert talk.channel.receive_available() is not None
        assert facts(talk.channel.receive()) == REPLY
        with Peer(talk.answer):
            assert facts(talk.channel.exchange(Outgoing(*REQUEST))) == REPLY
        assert facts(talk.channel.receive(DEADLINE)) == REPLY
