"""Pyro4.message: numbers of protocol 48, and its messages as objects.

What fastpyro itself sends and receives is native code (`protocol._pyro4_message`); these objects are for programs that
look at messages, or make some of their own.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Iterable
from hmac import compare_digest as secure_compare
from types import SimpleNamespace
from typing import Any

from fastpyro import errors
from fastpyro.callcontext import current_context
from fastpyro.compat.shared.module_names import also_there
from fastpyro.compat.shared.pings import ping
from fastpyro.config import config
from fastpyro.constants import (
    FLAGS_BATCH,
    FLAGS_COMPRESSED,
    FLAGS_EXCEPTION,
    FLAGS_ONEWAY,
    MSG_CONNECT,
    MSG_CONNECTFAIL,
    MSG_CONNECTOK,
    MSG_INVOKE,
    MSG_PING,
    MSG_RESULT,
    OLD_PROTOCOL_VERSION,
)
from fastpyro.protocol._assembler import Decoder
from fastpyro.protocol._pyro4_message import FLAGS, SERIALIZERS, pack_pyro4_message
from fastpyro.protocol.compression import payload_of

__all__ = [
    "FLAGS_BATCH",
    "FLAGS_COMPRESSED",
    "FLAGS_EXCEPTION",
    "FLAGS_ITEMSTREAMRESULT",
    "FLAGS_KEEPSERIALIZED",
    "FLAGS_META_ON_CONNECT",
    "FLAGS_ONEWAY",
    "MSG_CONNECT",
    "MSG_CONNECTFAIL",
    "MSG_CONNECTOK",
    "MSG_INVOKE",
    "MSG_PING",
    "MSG_RESULT",
    "Message",
    "secure_compare",
]

__getattr__ = also_there(__name__, "constants errors config", "hashlib hmac logging struct sys zlib")

# Those that protocol 502 numbers differently.
FLAGS_META_ON_CONNECT = 16
FLAGS_ITEMSTREAMRESULT = 32
FLAGS_KEEPSERIALIZED = 64

_OURS = {theirs: ours for ours, theirs in SERIALIZERS}
_HEADER = struct.Struct("!4sHHHHiHHHH")
_CHECKSUM_SEED = 0x34E9


class Message:
    """One message of protocol 48.

    Arguments: ``msgType``; ``databytes``, the payload; ``serializer_id``, ``flags`` and ``seq``, in the numbers of the
    protocol; ``annotations``, a dict from 4 characters to bytes; ``hmac_key``, with which it is signed. Raises
    ProtocolError for annotations that cannot be sent.
    """

    __slots__ = (
        "annotations", "annotations_size", "data", "data_size", "flags", "hmac_key", "seq", "serializer_id", "type",
    )  # fmt: skip

    header_size = _HEADER.size

    def __init__(
        self,
        msgType: int,
        databytes: Any,
        serializer_id: int,
        flags: int,
        seq: int,
        annotations: dict[str, bytes] | None = None,
        hmac_key: bytes | None = None,
    ) -> None:
        self.type = msgType
        self.flags = flags
        self.seq = seq
        self.serializer_id = serializer_id
        self.data = bytes(databytes)
        self.annotations = dict(annotations or {})
        self.hmac_key = hmac_key
        if current_context.correlation_id is not None:
            self.annotations["CORR"] = current_context.correlation_id.bytes
        if hmac_key:
            self.annotations["HMAC"] = self.hmac()
        self.data_size = len(self.data)
        self.annotations_size = sum(6 + len(value) for value in self.annotations.values())
        limit = config.MAX_MESSAGE_SIZE
        if 0 < limit < self.data_size + self.annotations_size:
            raise errors.MessageTooLargeError(
                f"max message size exceeded ({self.data_size + self.annotations_size} where max={limit})"
            )
        if any(len(key) != 4 for key in self.annotations):
            raise errors.ProtocolError("annotation key must be of length 4")

    buffers = None

    @property
    def payload(self) -> bytes:
        """The data."""
        return self.data

    def __repr__(self) -> str:
        return (
            f"<{type(self).__module__}.{type(self).__name__} at {id(self):x}; type={self.type} flags={self.flags} "
            f"seq={self.seq} datasize={self.data_size} #ann={len(self.annotations)}>"
        )

    def hmac(self) -> bytes:
        """Return the signature of payload and annotations. Raises TypeError when there is no key."""
        key: Any = self.hmac_key
        signature = hmac.new(key, self.data, hashlib.sha1)
        for key in sorted(self.annotations):
            if key != "HMAC":
                signature.update(self.annotations[key])
        return signature.digest()

    def to_bytes(self) -> bytes:
        """Return the whole message."""
        flags = sum(ours for ours, theirs in FLAGS if self.flags & theirs)
        annotations = {key: value for key, value in self.annotations.items() if key != "HMAC"}
        serializer_id = _OURS.get(self.serializer_id)
        if serializer_id is None:
            raise errors.SerializeError(f"there is no serializer with id {self.serializer_id}")
        return pack_pyro4_message(
            self.type, flags, self.seq, serializer_id, self.data, annotations, None, self.hmac_key or None
        )

    def send(self, connection: Any) -> None:
        """Send the whole message over a connection with a method ``send``."""
        connection.send(self.to_bytes())

    @classmethod
    def from_header(cls, headerData: bytes) -> Message:
        """Return a message without payload from the bytes of its header. Raises ProtocolError when they are none."""
        if len(headerData) != _HEADER.size:
            raise errors.ProtocolError("header data size mismatch")
        tag, version, kind, flags, seq, data_size, serializer_id, annotations_size, _, checksum = _HEADER.unpack(
            headerData
        )
        if tag != b"PYRO" or version != OLD_PROTOCOL_VERSION or data_size < 0:
            raise errors.ProtocolError("invalid data or unsupported protocol version")
        total = kind + version + data_size + annotations_size + serializer_id + flags + seq + _CHECKSUM_SEED
        if checksum != total & 0xFFFF:
            raise errors.ProtocolError("header checksum mismatch")
        message = cls.__new__(cls)
        message.type, message.flags, message.seq, message.serializer_id = kind, flags, seq, serializer_id
        message.data, message.annotations, message.hmac_key = b"", {}, None
        message.data_size, message.annotations_size = data_size, annotations_size
        return message

    @classmethod
    def recv(
        cls, connection: Any, requiredMsgTypes: Iterable[int] | None = None, hmac_key: bytes | None = None
    ) -> Message:
        """Receive a message over a connection with methods ``recv(size)`` and ``close()``.

        Arguments: ``requiredMsgTypes``, those that are expected; ``hmac_key``, with which it must be signed.
        Raises ProtocolError for what is no such message, SecurityError for a wrong signature.
        """
        header = connection.recv(_HEADER.size)
        message = cls.from_header(header)
        size = message.data_size + message.annotations_size
        if 0 < config.MAX_MESSAGE_SIZE < size:
            connection.close()
            raise errors.MessageTooLargeError(f"max message size exceeded ({size} where max={config.MAX_MESSAGE_SIZE})")
        if requiredMsgTypes is not None and message.type not in requiredMsgTypes:
            raise errors.ProtocolError(f"invalid msg type {message.type} received")
        message._take_body(header, connection.recv(size), hmac_key or None)
        return message

    def _take_body(self, header: bytes, body: bytes, key: bytes | None) -> None:
        decoder = Decoder()
        decoder.set_dialect(OLD_PROTOCOL_VERSION)
        decoder.set_hmac_key(key)
        decoder.feed(header)
        decoder.feed(body)
        received = decoder.next_message()
        assert received is not None
        self.data, self.annotations, self.hmac_key = received.payload, dict(received.annotations), key
        if received.correlation_id is not None:
            self.annotations["CORR"] = received.correlation_id
        if key:
            self.annotations["HMAC"] = self.hmac()  # the decoder has compared them

    def decompress_if_needed(self) -> Message:
        """Undo the compression of the payload, if there is any; returns this message. Raises ProtocolError."""
        if self.flags & FLAGS_COMPRESSED:
            packed: Any = SimpleNamespace(flags=FLAGS_COMPRESSED, payload=self.data)
            self.data = payload_of(packed)
            self.flags &= ~FLAGS_COMPRESSED
            self.data_size = len(self.data)
        return self

    @staticmethod
    def ping(pyroConnection: Any, annotations: dict[str, bytes] | None = None, hmac_key: bytes | None = None) -> None:
        """Ask the daemon behind a proxy's ``_pyroConnection`` for a sign of life. Raises CommunicationError.

        The connection signs its messages itself, if it has a key, and a ping carries no annotations: both arguments are
        there for Pyro4's sake.
        """
        ping(pyroConnection)
