"""The first two messages of a connection: the client's CONNECT and the daemon's CONNECTOK or CONNECTFAIL.

CONNECT carries ``{"handshake": data, "object": object id}`` and the annotation FAST, with which a fastpyro client says
that it speaks the native dialect; CONNECTOK carries ``{"handshake": answer, "meta": metadata}`` and the daemon's FAST.
CONNECTFAIL carries the reason as text. Until the handshake is done a message may have 64 KiB and no more.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

from fastpyro import sockets
from fastpyro.channel import Channel, open_channel
from fastpyro.config import config
from fastpyro.errors import CommunicationError, ProtocolError, PyroError, SerializeError
from fastpyro.message_kinds import MSG_CONNECT, MSG_CONNECTFAIL, MSG_CONNECTOK
from fastpyro.serializers import native

if TYPE_CHECKING:
    from fastpyro._message import Message
    from fastpyro.uri import URI

__all__ = ["HANDSHAKE_LIMIT", "NATIVE_ANNOTATION", "connect", "failure_payload", "read_request"]

HANDSHAKE_LIMIT = 65536
NATIVE_ANNOTATION = {"FAST": b"\x01"}
"""The abilities that both ends announce: version 1 of the native dialect."""


def connect(
    uri: URI,
    handshake_data: Any,
    *,
    seq: int,
    timeout: float,
    annotations: dict[str, Any] | None,
    correlation_id: bytes | None,
) -> tuple[Channel, dict[str, Any], dict[str, bytes]]:
    """Connect to the daemon of a ``PYRO:`` uri and shake hands for its object.

    Returns the channel, the answer (keys "handshake" and "meta") and the annotations that came with it.
    Raises CommunicationError when the daemon cannot be reached or refuses, TimeoutError when it does not answer.
    """
    sock = _open_socket(uri, timeout)
    channel = open_channel(sock, config.MAX_MESSAGE_SIZE)
    try:
        payload = native.dumps({"handshake": handshake_data, "object": uri.object})
        if len(payload) > HANDSHAKE_LIMIT:
            raise ProtocolError(f"handshake data of {len(payload):,} bytes exceeds the limit of {HANDSHAKE_LIMIT:,}")
        message = channel.exchange(
            MSG_CONNECT,
            0,
            seq,
            native.serializer_id,
            payload,
            {**(annotations or {}), **NATIVE_ANNOTATION},
            correlation_id,
            timeout,
        )
        return channel, _accepted(uri, message), _without_native(message.annotations)
    except BaseException:
        channel.close()
        raise


def _open_socket(uri: URI, timeout: float) -> socket.socket:
    try:
        return sockets.connect(uri.host, uri.port, uri.sockname, timeout)
    except OSError as error:
        raise CommunicationError(f"cannot connect to {uri.location}: {error}") from error


def _accepted(uri: URI, message: Message) -> dict[str, Any]:
    if message.kind not in (MSG_CONNECTOK, MSG_CONNECTFAIL):
        raise ProtocolError(f"connect: invalid msg type {message.kind} received (expected: 2,3)")
    if message.serializer_id != native.serializer_id:
        raise SerializeError(
            f"connect: the daemon answered with serializer {message.serializer_id}, not the native one"
        )
    answer = native.loads(message.payload)
    if message.kind == MSG_CONNECTFAIL:
        raise CommunicationError(f"connection to {uri.location} rejected: {answer}")
    if not isinstance(answer, dict) or "handshake" not in answer or not isinstance(answer.get("meta"), dict):
        raise ProtocolError("connect: the daemon's answer lacks 'handshake' or 'meta'")
    return answer


def _without_native(annotations: dict[str, bytes]) -> dict[str, bytes]:
    return {key: value for key, value in annotations.items() if key not in NATIVE_ANNOTATION}


def read_request(message: Message) -> tuple[Any, str]:
    """Return the handshake data and the object id of a client's CONNECT.

    Raises PyroError, with a text fit for a CONNECTFAIL, when the message is anything else.
    """
    if message.kind != MSG_CONNECT:
        raise ProtocolError(f"expected a connect message (type {MSG_CONNECT}), got type {message.kind}")
    if message.serializer_id != native.serializer_id:
        raise SerializeError(f"message used serializer that is not accepted: {message.serializer_id}")
    request = native.loads(message.payload)
    if not isinstance(request, dict) or "handshake" not in request:
        raise PyroError("connect: the message lacks the key 'handshake'")
    object_id = request.get("object")
    if not isinstance(object_id, str):
        raise PyroError("connect: the message lacks the key 'object'")
    return request["handshake"], object_id


def failure_payload(reason: object) -> bytes:
    """Return the payload of a CONNECTFAIL that gives the reason."""
    return native.dumps(str(reason))
