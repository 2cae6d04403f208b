"""Pyro5.protocol: numbers of the wire, and messages as objects."""

from __future__ import annotations

import struct
import uuid
from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any

from fastpyro._foreign_text import on_one_line
from fastpyro.callcontext import current_context
from fastpyro.compat.shared.module_names import also_there
from fastpyro.compat.shared.pings import ping
from fastpyro.config import config
from fastpyro.constants import (
    FLAGS_BATCH,
    FLAGS_COMPRESSED,
    FLAGS_CORR_ID,
    FLAGS_EXCEPTION,
    FLAGS_ITEMSTREAMRESULT,
    FLAGS_KEEPSERIALIZED,
    FLAGS_ONEWAY,
    MSG_CONNECT,
    MSG_CONNECTFAIL,
    MSG_CONNECTOK,
    MSG_INVOKE,
    MSG_PING,
    MSG_RESULT,
    PROTOCOL_VERSION,
)
from fastpyro.errors import MessageTooLargeError, ProtocolError
from fastpyro.protocol._message import pack_message
from fastpyro.protocol.compression import deflated, payload_of

__all__ = [
    "FLAGS_BATCH",
    "FLAGS_COMPRESSED",
    "FLAGS_CORR_ID",
    "FLAGS_EXCEPTION",
    "FLAGS_ITEMSTREAMRESULT",
    "FLAGS_KEEPSERIALIZED",
    "FLAGS_ONEWAY",
    "MSG_CONNECT",
    "MSG_CONNECTFAIL",
    "MSG_CONNECTOK",
    "MSG_INVOKE",
    "MSG_PING",
    "MSG_RESULT",
    "PROTOCOL_VERSION",
    "ReceivingMessage",
    "SendingMessage",
    "recv_stub",
]

__getattr__ = also_there(__name__, "errors config", "logging struct uuid zlib")

_HEADER = struct.Struct("!4sHBBHHII16sHH")
_header_size = _HEADER.size
_magic_number = 0x4DC5
_CHECKED_FIRST = 6
"""Bytes; they tell a message of this protocol from anything else, so that nobody waits for the rest of a header."""


class SendingMessage:
    """One whole message. Arguments: its fields. Attribute ``data``: its bytes."""

    def __init__(
        self,
        msgtype: int,
        flags: int,
        seq: int,
        serializer_id: int,
        payload: Any,
        annotations: dict[str, Any] | None = None,
    ) -> None:
        flags &= ~FLAGS_COMPRESSED
        if config.COMPRESSION:
            payload, flag = deflated(payload)
            flags |= flag
        correlation_id = current_context.correlation_id
        self.type, self.flags, self.seq, self.serializer_id = msgtype, flags, seq, serializer_id
        self.annotations = dict(annotations or {})
        self.corr_id = correlation_id
        self.payload, self.buffers = payload, None
        self.data_size, self.annotations_size = len(payload), _size_of(self.annotations)
        identity = None if correlation_id is None else correlation_id.bytes
        data = bytearray(pack_message(msgtype, flags, seq, serializer_id, payload, self.annotations, identity))
        data[8:10] = flags.to_bytes(
            2, "big"
        )  # as they are given: a correlation id may be announced that there is none of
        self.data = bytes(data)

    def __repr__(self) -> str:
        return _shown(self, self.data_size)

    @staticmethod
    def ping(pyroConnection: Any) -> None:
        """Ask the daemon behind a proxy's ``_pyroConnection`` for a sign of life. Raises CommunicationError."""
        ping(pyroConnection)


def _size_of(annotations: dict[str, Any]) -> int:
    return sum(8 + len(value) for value in annotations.values())


def _shown(message: Any, size: int) -> str:
    return (
        f"<{type(message).__module__}.{type(message).__name__} at 0x{id(message):x}; type={message.type} "
        f"flags={message.flags} seq={message.seq} size={size} #ann={len(message.annotations)}>"
    )


class ReceivingMessage:
    """One message that was received. Arguments: ``header``, its bytes; ``payload``, annotations and data that follow it.

    Attribute ``data``: None without a payload, else bytes or a memory of them, inflated if they were compressed. Raises
    ProtocolError for what is no such message, TypeError for anything but bytes.
    """

    data: Any = None
    buffers = None

    def __init__(self, header: Any, payload: Any = None) -> None:
        self.validate(header)
        if len(header) != _HEADER.size:
            raise ProtocolError(f"a header has {_HEADER.size} bytes, not {len(header)}")
        fields = _HEADER.unpack(header)
        _, _, self.type, self.serializer_id, self.flags, self.seq, self.data_size, self.annotations_size = fields[:8]
        self.corr_id = uuid.UUID(bytes=fields[8]) if self.flags & FLAGS_CORR_ID else None
        self.annotations: dict[str, Any] = {}
        if payload is not None:
            self.add_payload(payload)

    def __repr__(self) -> str:
        return _shown(self, self.data_size)

    @staticmethod
    def validate(data: Any) -> None:
        """Check what there is of a message: its tag, and of a whole header the protocol version and the magic number.

        Raises ValueError for fewer than 4 bytes, ProtocolError for another protocol, TypeError for anything but bytes.
        """
        if not isinstance(data, bytes | bytearray | memoryview):
            raise TypeError(f"a message is bytes, not {type(data).__name__}")
        if len(data) < 4:
            raise ValueError("the first 4 bytes of a message are needed to see what it is")
        if data[:4] != b"PYRO":
            raise ProtocolError("this is no message of Pyro: it begins with something else")
        if len(data) > 4 and int.from_bytes(data[4:6], "big") != PROTOCOL_VERSION:
            raise ProtocolError(f"protocol version: only {PROTOCOL_VERSION} is understood")
        if len(data) >= _HEADER.size and int.from_bytes(data[38:40], "big") != _magic_number:
            raise ProtocolError("wrong magic number at the end of a header")

    def add_payload(self, payload: Any) -> None:
        """Take annotations and data, the bytes that follow the header. Raises ProtocolError when they are not."""
        if len(payload) != self.annotations_size + self.data_size:
            raise ProtocolError(
                f"{self.annotations_size + self.data_size} bytes are announced, here are {len(payload)}"
            )
        memory = memoryview(payload)
        end = self.annotations_size
        at = 0
        while at < end:
            if end - at < 8:
                raise ProtocolError("an annotation ends too early")
            size = int.from_bytes(memory[at + 4 : at + 8], "big")
            if size > end - at - 8:
                raise ProtocolError("an annotation is longer than all annotations")
            self.annotations[bytes(memory[at : at + 4]).decode("latin-1")] = bytes(memory[at + 8 : at + 8 + size])
            at += 8 + size
        self.data = memory[end:]
        if self.flags & FLAGS_COMPRESSED:
            packed: Any = SimpleNamespace(flags=FLAGS_COMPRESSED, payload=bytes(self.data))
            self.data = b"".join((payload_of(packed),))
            self.flags &= ~FLAGS_COMPRESSED
            self.data_size = len(self.data)

    @property
    def payload(self) -> bytes:
        """The data as bytes."""
        return bytes(self.data or b"")


def recv_stub(connection: Any, accepted_msgtypes: Iterable[int] | None = None) -> ReceivingMessage:
    """Receive a message over a connection with a method ``recv(size)``, such as ``socketutil.SocketConnection``.

    Arguments: ``accepted_msgtypes``, those that are expected (None: all). Raises ProtocolError for another one and for what
    is no message; for one that refuses a connection it says why; MessageTooLargeError.
    """
    header = connection.recv(_CHECKED_FIRST)
    ReceivingMessage.validate(header)
    header += connection.recv(_HEADER.size - _CHECKED_FIRST)
    message = ReceivingMessage(header)
    size = message.annotations_size + message.data_size
    if 0 < config.MAX_MESSAGE_SIZE < size:
        raise MessageTooLargeError(f"a message of {size:,} bytes; MAX_MESSAGE_SIZE is {config.MAX_MESSAGE_SIZE:,}")
    message.add_payload(connection.recv(size))
    if accepted_msgtypes is not None and message.type not in accepted_msgtypes:
        text = f"invalid msg type {message.type} received"
        if message.type == MSG_CONNECTFAIL:
            text += f", which says: {on_one_line(message.payload.decode('utf-8', 'replace'))}"
        raise ProtocolError(text)
    return message
