"""Pyro5.protocol: numbers of the wire, and messages as objects."""

from __future__ import annotations

from typing import Any

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
from fastpyro.protocol._message import Message as ReceivingMessage
from fastpyro.protocol._message import pack_message
from fastpyro.protocol.compression import deflated

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
]

__getattr__ = also_there(__name__, "errors config", "logging struct uuid zlib")


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
        if config.COMPRESSION:
            payload, flag = deflated(payload)
            flags |= flag
        correlation_id = current_context.correlation_id
        self.type, self.flags, self.seq, self.serializer_id = msgtype, flags, seq, serializer_id
        self.annotations = dict(annotations or {})
        identity = None if correlation_id is None else correlation_id.bytes
        self.data = pack_message(msgtype, flags, seq, serializer_id, payload, self.annotations, identity)

    @staticmethod
    def ping(pyroConnection: Any) -> None:
        """Ask the daemon behind a proxy's ``_pyroConnection`` for a sign of life. Raises CommunicationError."""
        ping(pyroConnection)
