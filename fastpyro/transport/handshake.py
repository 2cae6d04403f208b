"""The first two messages of a connection: the client's CONNECT and the daemon's CONNECTOK or CONNECTFAIL.

CONNECT carries ``{"handshake": data, "object": object id}`` in a serializer that Pyro5 and Pyro4 read as well, and the
annotation FAST, with which a fastpyro client says that it speaks the native dialect; a fastpyro daemon answers natively
and with its own FAST, anybody else plainly. CONNECTOK carries ``{"handshake": answer, "meta": metadata}``, CONNECTFAIL the
reason as text. Until the handshake is done a message may have 64 KiB and no more; a client's annotations are beside
that, because programs that are written for Pyro have those of their first call here, too. Ours leaves out what does not fit.

A client begins with protocol 502. A daemon that refuses it in protocol 48 is Pyro4's, and is called again in that;
`_dialects` remembers it for the place.
"""

from __future__ import annotations

import socket
import sys
import time

from fastpyro._foreign_text import on_one_line, shown
from fastpyro._lazy_logging import LazyLogger
from fastpyro._light_typing import TYPE_CHECKING, NamedTuple
from fastpyro.config import LONGEST_SOCKET_TIMEOUT, config
from fastpyro.constants import (
    FLAGS_META_ON_CONNECT,
    MARSHAL_ID,
    MSG_CONNECT,
    MSG_CONNECTFAIL,
    MSG_CONNECTOK,
    OLD_PROTOCOL_VERSION,
    PROTOCOL_VERSION,
)
from fastpyro.errors import (
    CommunicationError,
    ConnectionClosedError,
    ProtocolError,
    PyroError,
    RemoteProtocolError,
    SecurityError,
    SerializeError,
    TimeoutError,
)
from fastpyro.protocol._message import Message, Outgoing
from fastpyro.protocol.compression import payload_of
from fastpyro.protocol.features import ANNOUNCED, FEATURES, KNOWN, common
from fastpyro.serializers import registry as serializers
from fastpyro.serializers.registry import PICKLES, Serializer, get_serializer, get_serializer_by_id, native
from fastpyro.transport import sockets, tls, trusted_peers
from fastpyro.transport.attempts import opened, under_way
from fastpyro.transport.channel import GEVENT, Channel, in_greenlets, open_channel
from fastpyro.transport.serving_threads import serving_thread

if TYPE_CHECKING:
    import ssl
    from typing import Any

    from fastpyro.uri import URI

__all__ = [
    "FAST",
    "HANDSHAKE_ANNOTATIONS",
    "HANDSHAKE_LIMIT",
    "Connected",
    "Request",
    "Settings",
    "answer_limit",
    "connect",
    "native_answer",
    "peer_serializer",
    "read_request",
    "require_trust",
]

log = LazyLogger("fastpyro.handshake")

HANDSHAKE_LIMIT = 65536
HANDSHAKE_ANNOTATIONS = 16 << 20
"""Bytes that the annotations of a client's CONNECT may have beside that; what has come of them counts in MAX_RECEIVED."""

LONGEST_REASON = 1000
"""Characters that are shown of a daemon's reason for refusing."""

ANSWER_LIMIT = 16 << 20
"""Bytes of a daemon's answer to CONNECT, which names all members of the object; inflated, if it comes compressed."""

FAST = "FAST"
HEAD = 8
"""Bytes of an annotation beside its own."""

NATIVE_VERSION = b"\x01"
"""First byte of the annotation FAST: version 1 of the native dialect. Behind a client's may stand its handshake data in
the native form, when the peers' serializers would change it; behind a daemon's LOOKS."""

LOOKS = b"\x01"
"""Says that the daemon looks for requests before it sleeps (SPIN)."""

FALLBACK = "serpent"
"""What a proxy whose serializer is the native one speaks with a peer that does not know it."""

MOST_REMEMBERED = 1024
_dialects: dict[str, int] = {}
"""By their places, the dialects of daemons that do not speak ours."""


class Settings(NamedTuple):
    """What a proxy wants of its connection: name of its serializer, handshake data, HMAC key or None, seconds.

    The seconds (0: no limit) are for all steps of connecting together, once ``begun()`` has said when that began.
    """

    serializer: str
    data: Any
    hmac_key: bytes | None
    timeout: float
    until: float = 0.0

    def begun(self) -> Settings:
        """Return the same, beginning now."""
        return self._replace(until=time.monotonic() + self.timeout) if self.timeout and not self.until else self

    def seconds_left(self) -> float:
        """Return how long the next step may take, 0 for no limit. Raises TimeoutError when there is no time left."""
        if not self.until:
            return self.timeout
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError(f"connecting: timeout after {self.timeout:g} s")
        return left


class Connected(NamedTuple):
    """A connection: channel, serializer, the daemon's answer (keys "handshake" and "meta") and its annotations."""

    channel: Channel
    serializer: Serializer
    answer: dict[str, Any]
    annotations: dict[str, bytes]


class Request(NamedTuple):
    """The contents of a client's CONNECT."""

    data: Any
    object_id: str | None
    wants_metadata: bool
    speaks_native: bool


class _Beside(NamedTuple):
    """The fields beside the payload of a CONNECT: its number, the context's annotations and correlation id."""

    seq: int
    annotations: dict[str, Any] | None
    correlation_id: bytes | None


class _OtherDialectError(CommunicationError):
    """The daemon answered in the other dialect."""


def connect(
    uri: URI, settings: Settings, *, seq: int, annotations: dict[str, Any] | None, correlation_id: bytes | None
) -> Connected:
    """Connect to the daemon of a ``PYRO:`` uri and shake hands for its object, in a dialect that the daemon speaks.

    Raises CommunicationError when the daemon cannot be reached or refuses, TimeoutError when it does not answer,
    SecurityError when only one side has an HMAC key, or the serializer needs a peer that has shown who it is.
    """
    settings = settings.begun()
    beside = _Beside(seq, annotations, correlation_id)
    dialect: int = config.PROTOCOL
    if settings.hmac_key is not None or settings.serializer in PICKLES:
        dialect = OLD_PROTOCOL_VERSION
    if not dialect:
        return _connect_in_either(uri, settings, beside)
    try:
        return _connect(uri, settings, dialect, beside)
    except _OtherDialectError:
        reason = f"it speaks protocol {OLD_PROTOCOL_VERSION}, and config.PROTOCOL does not"
        if dialect == OLD_PROTOCOL_VERSION:
            needed_by = f"HMAC keys, the pickles and config.PROTOCOL = {dialect}"
            reason = f"it does not speak protocol {dialect}, which {needed_by} need"
        raise CommunicationError(f"connection to {uri.location} rejected: {reason}") from None


def _connect_in_either(uri: URI, settings: Settings, beside: _Beside) -> Connected:
    """Connect in the dialect that the daemon at this place spoke last, or else find out which one it speaks."""
    if _dialects and _dialects.get(place := uri.location or ""):
        try:
            return _connect(uri, settings, OLD_PROTOCOL_VERSION, beside)
        except (RemoteProtocolError, ConnectionClosedError, _OtherDialectError):
            _dialects.pop(place, None)  # another daemon listens there now, perhaps
    try:
        return _connect(uri, settings, PROTOCOL_VERSION, beside)
    except _OtherDialectError:
        log.debug("%s speaks protocol %d", uri.location, OLD_PROTOCOL_VERSION)
    connected = _connect(uri, settings, OLD_PROTOCOL_VERSION, beside)
    if len(_dialects) >= MOST_REMEMBERED:
        _dialects.clear()
    _dialects[uri.location or ""] = OLD_PROTOCOL_VERSION
    return connected


def _connect(uri: URI, settings: Settings, dialect: int, beside: _Beside) -> Connected:
    wants_native = settings.serializer == native.name
    serializer = get_serializer(FALLBACK if wants_native else settings.serializer, dialect)
    channel = open_channel(_open_socket(uri, settings), answer_limit())
    try:
        if under_way:
            opened(channel.sock)
        channel.served_by = serving_thread(channel.sock)
        flags = 0
        extra: dict[str, Any] = {}
        payload = _request(serializer, settings.data, uri.object, extra if wants_native else None)
        if dialect == OLD_PROTOCOL_VERSION:
            channel.set_hmac_key(settings.hmac_key)
            channel.set_dialect(dialect)
            flags = FLAGS_META_ON_CONNECT
            extra.clear()
        if beside.annotations:
            room = HANDSHAKE_LIMIT - len(payload) - sum(map(len, extra.values())) - HEAD * len(extra)
            extra = {**_small(beside.annotations, room), **extra}
        fields = MSG_CONNECT, flags, beside.seq, serializer.serializer_id, payload, extra, beside.correlation_id
        message = _first_answer(channel, Outgoing(*fields), settings, may_be_tls=not (config.SSL or uri.sockname))
        if channel.dialect != dialect and message.kind == MSG_CONNECTFAIL:
            raise _OtherDialectError(f"connection to {uri.location} rejected: it answers in another protocol")
        received = dict(message.annotations)
        fast, theirs = received.pop(FAST, b""), received.pop(FEATURES, b"")
        speaks_native = fast.startswith(NATIVE_VERSION) and dialect == PROTOCOL_VERSION
        if speaks_native and fast.startswith(LOOKS, len(NATIVE_VERSION)):
            channel.leave_shared_cpu()
        if speaks_native and wants_native:
            channel.features = KNOWN if theirs == ANNOUNCED else common(theirs)
        answer = _accepted(uri, message, serializer, dialect, speaks_native)
        channel.set_max_message_size(config.MAX_MESSAGE_SIZE)
        return Connected(channel, native if wants_native and speaks_native else serializer, answer, received)
    except BaseException:
        channel.close()
        raise


def _first_answer(channel: Channel, request: Outgoing, settings: Settings, may_be_tls: bool) -> Message:
    try:
        return channel.exchange(request, settings.seconds_left())
    except ConnectionClosedError as error:
        if not may_be_tls or type(error) is not ConnectionClosedError:
            raise
        hint = "before it answered the handshake; perhaps the other end uses SSL: config.SSL is off here"
        raise ConnectionClosedError(f"{error} {hint}") from error.__cause__


def _request(serializer: Serializer, data: Any, object_id: str, annotations: dict[str, Any] | None) -> bytes:
    """Return the payload of CONNECT; adds FAST to the annotations, if there are any to add to."""
    if annotations is not None:
        annotations[FAST], annotations[FEATURES] = NATIVE_VERSION, ANNOUNCED
        if type(data) is not str:
            annotations[FAST] += native.dumps(data)
    try:
        payload = serializer.dumps({"handshake": data, "object": object_id})
    except SerializeError:
        if annotations is None:
            raise
        payload = serializer.dumps({"handshake": None, "object": object_id})
    size = len(payload) + (len(annotations[FAST]) if annotations is not None else 0)
    if size > HANDSHAKE_LIMIT - 256:  # of room for the annotations' heads
        raise ProtocolError(f"handshake data of {size:,} bytes exceeds the limit of {HANDSHAKE_LIMIT:,}")
    return payload


def _small(annotations: dict[str, Any], room: int) -> dict[str, Any]:
    """Return the annotations of the call that connects, if they fit beside the rest of CONNECT; the call has them anyway."""
    sizes = (
        memoryview(data).nbytes for data in annotations.values() if isinstance(data, bytes | bytearray | memoryview)
    )
    return annotations if sum(sizes) + HEAD * (len(annotations) + 1) <= room else {}


def _open_socket(uri: URI, settings: Settings) -> socket.socket:
    """Return a connected socket, whose other end may be spoken to with these settings."""
    try:
        sock = sockets.connect(uri.host, uri.port, uri.sockname, settings.seconds_left())
        context = tls.client_context() if config.SSL and not uri.sockname else None
        if context is not None:
            sock = _wrapped(sock, context, uri, settings)
    except OSError as error:
        hint = ""
        if getattr(error, "reason", "") == "WRONG_VERSION_NUMBER":  # of an ssl.SSLError
            hint = ". The other end seems not to use SSL: its SSL is off, or this program's should be"
        raise CommunicationError(f"cannot connect to {uri.location}: {error}{hint}") from error
    try:
        if settings.serializer in PICKLES:
            require_trust(sock, settings, uri)
        if uri.sockname and config.SSL and uri.is_foreign and not trusted_peers.is_same_user(sock):
            raise SecurityError(
                f"refused to speak plainly to {uri.location!r}: SSL is on, somebody else chose this Unix socket, and its "
                "other end is not this user's. Make a proxy of your own for the address if it is right"
            )
    except BaseException:
        sock.close()
        raise
    return sock


def require_trust(sock: socket.socket, settings: Settings, uri: URI) -> None:
    """Raise SecurityError if a connected socket's other end may not be spoken to with these settings, TimeoutError if it
    does not accept the connection, before which nobody knows."""
    if settings.serializer in PICKLES:
        name, key = settings.serializer, settings.hmac_key
        trusted_peers.require_trust(name, sock, key, uri.location, settings.seconds_left())


def _wrapped(sock: socket.socket, context: ssl.SSLContext, uri: URI, settings: Settings) -> socket.socket:
    try:
        wrapped = tls.wrapped(sock, context, server_hostname=uri.host)
    except BaseException:
        sock.close()
        raise
    try:
        if under_way:
            opened(wrapped)
        wrapped.do_handshake(min(settings.seconds_left(), LONGEST_SOCKET_TIMEOUT))
        wrapped.settimeout(None)
    except BaseException:
        wrapped.close()
        raise
    return wrapped


def _accepted(uri: URI, message: Message, serializer: Serializer, dialect: int, speaks_native: bool) -> dict[str, Any]:
    if message.kind not in (MSG_CONNECTOK, MSG_CONNECTFAIL):
        raise ProtocolError(f"connect: invalid msg type {message.kind} received (expected: 2,3)")
    expected = {serializer.serializer_id}
    if speaks_native:
        expected.add(native.serializer_id)
    if message.kind == MSG_CONNECTFAIL:
        expected |= {MARSHAL_ID, native.serializer_id}
    if message.serializer_id not in expected:
        raise SerializeError(f"connect: invalid serializer in response: {message.serializer_id}")
    payload = payload_of(message, ANSWER_LIMIT)
    reader = (
        native
        if message.serializer_id == native.serializer_id
        else get_serializer_by_id(message.serializer_id, dialect)
    )
    answer = reader.loads(payload, message.buffers)
    if message.kind == MSG_CONNECTFAIL:
        reason = on_one_line(answer[:LONGEST_REASON]) if type(answer) is str else shown(answer)
        raise CommunicationError(f"connection to {uri.location} rejected: {reason}")
    if type(answer) is not dict or "handshake" not in answer or type(answer.get("meta")) is not dict:
        raise ProtocolError("connect: the daemon's answer lacks 'handshake' or 'meta'")
    return answer


def answer_limit() -> int:
    """Return the bytes that a daemon's first answer may have."""
    return min(config.MAX_MESSAGE_SIZE or ANSWER_LIMIT, ANSWER_LIMIT)


def native_answer() -> dict[str, bytes]:
    """Return the annotations FAST and FEAT of a daemon that agrees to the native dialect."""
    looks = config.SPIN and not ((GEVENT in sys.modules and in_greenlets()) or config.PORTABLE)
    return {FAST: NATIVE_VERSION + LOOKS if looks else NATIVE_VERSION, FEATURES: ANNOUNCED}


def read_request(message: Message, dialect: int, accepted: frozenset[int], lacks: str = "") -> Request:
    """Return what a client's CONNECT asks for; arguments as for `peer_serializer`.

    Raises PyroError, with a text fit for a CONNECTFAIL, when the message is anything else.
    """
    if message.kind != MSG_CONNECT:
        raise ProtocolError(f"expected a connect message (type {MSG_CONNECT}), got type {message.kind}")
    serializer = peer_serializer(message.serializer_id, dialect, accepted, lacks)
    request = serializer.loads(payload_of(message, HANDSHAKE_LIMIT), message.buffers)
    if type(request) is not dict or "handshake" not in request:
        raise PyroError("connect: the message lacks the key 'handshake'")
    wants_metadata = dialect == PROTOCOL_VERSION or bool(message.flags & FLAGS_META_ON_CONNECT)
    object_id = request.get("object")
    if type(object_id) is not str and (wants_metadata or object_id is not None):
        raise PyroError("connect: the message lacks the key 'object'")
    fast = message.annotations.get(FAST, b"") if dialect == PROTOCOL_VERSION else b""
    if len(fast) > HANDSHAKE_LIMIT:
        raise ProtocolError(f"handshake data of {len(fast):,} bytes exceeds the limit of {HANDSHAKE_LIMIT:,}")
    speaks_native = fast.startswith(NATIVE_VERSION) and native.serializer_id in accepted
    for key in request:
        if type(key) is not str:
            raise PyroError("connect: the keys of the message are texts")
    data = request["handshake"]
    if speaks_native and len(fast) > len(NATIVE_VERSION):
        data = native.loads(fast[len(NATIVE_VERSION) :])
    return Request(data, object_id, wants_metadata, speaks_native)


def peer_serializer(serializer_id: int, dialect: int, accepted: frozenset[int], lacks: str = "") -> Serializer:
    """Return the serializer of a client's message. Raises SerializeError for one that the daemon does not accept.

    Arguments: ``accepted``, the ids of those that this client may use; ``lacks``, why the pickles are not among them
    although the daemon accepts them.
    """
    if serializer_id not in accepted:
        name = serializers.NAMES.get(serializer_id)
        reason = f" ({name}); the daemon's SERIALIZERS_ACCEPTED decides" if name else ""
        if lacks and name in PICKLES:
            reason = (
                f" ({name}): the pickles need a client that has shown who it is, and for the daemon {lacks}, "
                "or choose another serializer"
            )
        raise SerializeError(f"message used serializer that is not accepted: {serializer_id}{reason}")
    return get_serializer_by_id(serializer_id, dialect)
