"""Messages of protocol 48 as objects."""

from __future__ import annotations

import socket
import uuid
from typing import Any

import Pyro4
import pytest
from Pyro4 import errors, message
from Pyro4.message import Message

PING = bytes.fromhex("5059524f003000060000000000000004002a00000000354d70696e67")
SIGNED = bytes.fromhex(
    "5059524f00300001000000000000000500010025000035455445535400056162636465484d414300147356d66255ca0d3086bb16b8cc3dac7f"
    "fb8858e068656c6c6f"
)


class Connection:
    """Bytes to receive. Arguments: ``data``."""

    def __init__(self, data: bytes = b"") -> None:
        self.data = data
        self.closed = False

    def recv(self, size: int) -> bytes:
        part, self.data = self.data[:size], self.data[size:]
        return part

    def send(self, data: bytes) -> None:
        self.data += data

    def close(self) -> None:
        self.closed = True


def test_numbers_are_those_of_protocol_48() -> None:
    assert (message.FLAGS_META_ON_CONNECT, message.FLAGS_ITEMSTREAMRESULT, message.FLAGS_KEEPSERIALIZED) == (16, 32, 64)
    assert message.secure_compare(b"one", b"one")
    assert not message.secure_compare(b"one", b"two")


def test_known_bytes() -> None:
    assert Message(message.MSG_PING, b"ping", 42, 0, 0).to_bytes() == PING
    signed = Message(message.MSG_CONNECT, b"hello", 1, 0, 0, {"TEST": b"abcde"}, b"secret")
    assert signed.annotations["HMAC"].hex() == "7356d66255ca0d3086bb16b8cc3dac7ffb8858e0"
    assert len(signed.to_bytes()) == len(SIGNED) == 24 + signed.annotations_size + signed.data_size
    assert "type=1" in repr(signed)


def test_there_and_back() -> None:
    flags = message.FLAGS_ITEMSTREAMRESULT | message.FLAGS_KEEPSERIALIZED | message.FLAGS_ONEWAY
    connection = Connection()
    Message(message.MSG_RESULT, b"payload", 6, flags, 4711, {"ABCD": b"value"}).send(connection)
    received = Message.recv(connection, [message.MSG_RESULT])
    assert (received.type, received.flags, received.seq, received.serializer_id) == (message.MSG_RESULT, flags, 4711, 6)
    assert (received.data, received.annotations) == (b"payload", {"ABCD": b"value"})


def test_keys() -> None:
    received = Message.recv(Connection(SIGNED), hmac_key=b"secret")
    assert (received.data, received.annotations["TEST"]) == (b"hello", b"abcde")
    assert received.annotations["HMAC"] == received.hmac()
    with pytest.raises(TypeError):
        Message(message.MSG_PING, b"ping", 42, 0, 0).hmac()
    assert Message.recv(Connection(PING)).data == b"ping"
    for data, key in ((SIGNED, b"wrong"), (SIGNED, None), (PING, b"secret")):
        with pytest.raises(errors.SecurityError):
            Message.recv(Connection(data), hmac_key=key)


def test_correlation_travels_as_an_annotation() -> None:
    identity = Pyro4.current_context.correlation_id = uuid.uuid4()
    try:
        data = Message(message.MSG_PING, b"ping", 42, 0, 0).to_bytes()
    finally:
        Pyro4.current_context.correlation_id = None
    assert Message.recv(Connection(data)).annotations == {"CORR": identity.bytes}


@pytest.mark.parametrize(
    "data",
    [b"", PING[:20], b"X" + PING[1:], PING[:22] + b"\0\0" + PING[24:], PING[:4] + b"\x01\xf6" + PING[6:]],
)
def test_what_is_no_message(data: bytes) -> None:
    with pytest.raises(errors.ProtocolError):
        Message.recv(Connection(data))


def test_what_is_not_wanted() -> None:
    with pytest.raises(errors.ProtocolError, match="msg type"):
        Message.recv(Connection(PING), [message.MSG_RESULT])
    with pytest.raises(errors.ProtocolError, match="length 4"):
        Message(message.MSG_PING, b"", 42, 0, 0, {"LONGER": b""})
    with pytest.raises(errors.SerializeError):
        Message(message.MSG_PING, b"", 9, 0, 0).to_bytes()


def test_limit_of_size() -> None:
    data = Message(message.MSG_RESULT, b"a" * 200, 1, 0, 0).to_bytes()
    Pyro4.config.MAX_MESSAGE_SIZE = 100
    try:
        with pytest.raises(errors.MessageTooLargeError):
            Message(message.MSG_RESULT, b"a" * 200, 1, 0, 0)
        connection = Connection(data)
        with pytest.raises(errors.MessageTooLargeError):
            Message.recv(connection)
        assert connection.closed
    finally:
        Pyro4.config.MAX_MESSAGE_SIZE = 0


def test_compression() -> None:
    packed, compressed = Pyro4.util.get_serializer("json").serializeData("a" * 1000, compress=True)
    assert compressed
    received = Message(message.MSG_RESULT, packed, 2, message.FLAGS_COMPRESSED, 1).decompress_if_needed()
    assert received.data == b'"' + b"a" * 1000 + b'"'
    assert (received.flags, received.data_size) == (0, 1002)
    assert received.decompress_if_needed().data_size == 1002
    with pytest.raises(errors.ProtocolError):
        Message(message.MSG_RESULT, b"no zlib", 2, message.FLAGS_COMPRESSED, 1).decompress_if_needed()


@pytest.mark.parametrize("key", [None, b"secret"])
def test_ping(serve: Any, key: bytes | None) -> None:
    class Service:
        @Pyro4.expose
        def method(self) -> str:
            return "result"

    with Pyro4.Proxy(serve(Service(), key=key)) as proxy:
        proxy._pyroHmacKey = key
        proxy._pyroBind()
        Message.ping(proxy._pyroConnection, hmac_key=key)
        assert proxy.method() == "result"


def test_a_daemon_reads_what_is_made_here(serve: Any) -> None:
    class Service:
        @Pyro4.expose
        def method(self) -> str:
            return "result"

    uri = serve(Service())
    serializer = Pyro4.util.get_serializer("serpent")
    connect = serializer.dumps({"handshake": "hello", "object": uri.object})
    call = serializer.dumpsCall(uri.object, "method", (), {})
    with socket.create_connection((uri.host, uri.port)) as sock:
        sock.sendall(Message(message.MSG_CONNECT, connect, 1, message.FLAGS_META_ON_CONNECT, 0).to_bytes())
        connection = Connection()
        connection.recv = lambda size: Pyro4.socketutil.receiveData(sock, size)  # type: ignore[method-assign]
        answer = Message.recv(connection, [message.MSG_CONNECTOK])
        assert serializer.loads(answer.data)["meta"]["methods"] == ["method"]
        sock.sendall(Message(message.MSG_INVOKE, call, 1, 0, 1).to_bytes())
        assert serializer.loads(Message.recv(connection, [message.MSG_RESULT]).data) == "result"
