"""How a proxy comes to a session, and what becomes of it in a forked process.

Connects to PYRO uris; a name is looked up first. Over a connected socket, where nobody shakes hands, the first call asks
for the metadata. Knows proxies only by their attributes.
"""

from __future__ import annotations

import os
import weakref

from fastpyro._light_typing import TYPE_CHECKING, NamedTuple
from fastpyro.callcontext import current_context
from fastpyro.client._session import time_for
from fastpyro.client.session import Request, Session
from fastpyro.config import config, on_change
from fastpyro.constants import DAEMON_NAME, FLAGS_EXCEPTION, MSG_RESULT, OLD_PROTOCOL_VERSION, PROTOCOL_VERSION
from fastpyro.errors import ProtocolError
from fastpyro.protocol.compression import payload_of
from fastpyro.protocol.features import ANNOUNCED, FEATURES, common
from fastpyro.serializers.registry import PICKLES, get_serializer, native
from fastpyro.transport import handshake
from fastpyro.transport.channel import open_channel
from fastpyro.transport.sockets import receive_limit_kept
from fastpyro.values.checked import is_kind

if TYPE_CHECKING:
    import socket
    from typing import Any

    from fastpyro.client.interfaces import Caller
    from fastpyro.protocol._message import Message
    from fastpyro.serializers.registry import Serializer
    from fastpyro.transport.channel import Channel
    from fastpyro.uri import URI

__all__ = ["Opened", "attach", "connected_callers", "open_session"]

connected_callers: weakref.WeakValueDictionary[int, Caller] = weakref.WeakValueDictionary()
"""Proxies that have, or had, a session."""


class Opened(NamedTuple):
    """A session that has just begun, with the daemon's answer (keys "handshake" and "meta") and its annotations."""

    session: Session
    answer: dict[str, Any]
    annotations: dict[str, bytes]


def open_session(caller: Caller, key: bytes | None) -> Opened:
    """Begin a session for a proxy, with the daemon of its uri or over the socket that it was given.

    Arguments: ``key``, the HMAC key or None. Raises as ``handshake.connect`` and ``attach``, and NamingError.
    """
    uri = caller._pyroUri
    name = caller._pyroSerializer or config.SERIALIZER
    settings = handshake.Settings(name, caller._pyroHandshake, key, time_for(caller))
    if uri.protocol != "PYRO":
        from fastpyro.client.resolver import resolve

        settings = settings.begun()
        uri = resolve(uri, timeout=settings.seconds_left() or None, hmac_key=key)
    annotations, correlation_id = current_context.request_annotations()
    rest: dict[str, Any] = {"annotations": annotations, "correlation_id": correlation_id}
    if caller._pyro_socket is None:
        connected = handshake.connect(uri, settings, seq=caller._pyroSeq, **rest)
    else:
        connected = attach(caller._pyro_socket, uri, settings, seq=caller._pyro_next_seq(), **rest)
    channel, serializer, answer, response_annotations = connected
    channel.objectId = uri.object
    return Opened(Session(channel, serializer, uri, name, serializer is native), answer, response_annotations)


def attach(
    sock: socket.socket,
    uri: URI,
    settings: handshake.Settings,
    *,
    seq: int,
    annotations: dict[str, Any] | None,
    correlation_id: bytes | None,
) -> handshake.Connected:
    """Begin a conversation over a connected socket, where nobody shakes hands: the first call asks for the metadata.

    The socket is not closed; what is used is a copy. Which protocol is spoken cannot be found out here:
    ``config.PROTOCOL`` says it, and otherwise it is 502. Raises like a call, and SecurityError like ``connect``.
    """
    handshake.require_trust(sock, settings, uri)
    dialect = config.PROTOCOL or PROTOCOL_VERSION
    if settings.hmac_key is not None or settings.serializer in PICKLES:
        dialect = OLD_PROTOCOL_VERSION
    wants_native = settings.serializer == native.name and dialect == PROTOCOL_VERSION
    serializer = get_serializer(
        handshake.FALLBACK if settings.serializer == native.name else settings.serializer, dialect
    )
    channel = _open_on_copy(sock)
    try:
        channel.set_hmac_key(settings.hmac_key)
        channel.set_dialect(dialect)
        request = Session(channel, serializer, uri).encode(
            Request("get_metadata", (uri.object,), {}, object_id=DAEMON_NAME)
        )
        request.seq = seq
        request.correlation_id = correlation_id
        request.annotations = dict(annotations or {})
        if wants_native:
            request.annotations.update({handshake.FAST: handshake.NATIVE_VERSION, FEATURES: ANNOUNCED})
        message = channel.exchange(request, settings.timeout)
        metadata = _metadata_in(message, serializer)
        channel.set_max_message_size(config.MAX_MESSAGE_SIZE)
        received = dict(message.annotations)
        speaks_native = received.pop(handshake.FAST, b"").startswith(handshake.NATIVE_VERSION) and wants_native
        channel.features = common(received.pop(FEATURES, b"")) if speaks_native else 0
        serializer = native if speaks_native else serializer
        return handshake.Connected(channel, serializer, {"handshake": "hello", "meta": metadata}, received)
    except BaseException:
        channel.abandon()
        raise


def _open_on_copy(sock: socket.socket) -> Channel:
    with receive_limit_kept(sock):
        return open_channel(sock.dup(), handshake.answer_limit())


def _metadata_in(message: Message, serializer: Serializer) -> dict[str, Any]:
    """Return the metadata that a daemon answered with. Raises the error that it answered with, and ProtocolError."""
    if message.kind != MSG_RESULT or message.serializer_id != serializer.serializer_id:
        raise ProtocolError(f"connect: invalid msg type {message.kind} received (expected: {MSG_RESULT})")
    metadata = serializer.loads(payload_of(message, handshake.ANSWER_LIMIT), message.buffers)
    if message.flags & FLAGS_EXCEPTION and is_kind(metadata, BaseException):
        raise metadata
    if type(metadata) is not dict:
        raise ProtocolError("connect: the daemon's metadata is no dict")
    return metadata


def _abandon_after_fork() -> None:
    # The child shares its parent's sockets: it lets go of them, and each proxy connects anew when it is used.
    for caller in list(connected_callers.values()):
        session = caller._pyro_session
        caller._pyro_update(_pyro_session=None)
        caller._pyro_new_locks()
        if session is not None:
            session.channel.abandon()


os.register_at_fork(after_in_child=_abandon_after_fork)


def _serializer_changed() -> None:
    for caller in list(connected_callers.values()):
        caller._pyro_choose_format()


def _compression_changed() -> None:
    for caller in list(connected_callers.values()):
        caller._pyro_choose_path()


on_change("SERIALIZER", _serializer_changed)
on_change("COMPRESSION", _compression_changed)
