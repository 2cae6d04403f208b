"""Why a connection is dropped: what the log is told, and the answer to a stranger."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastpyro._lazy_logging import logger
from fastpyro.constants import OLD_PROTOCOL_VERSION
from fastpyro.protocol._message import pack_message
from fastpyro.protocol._pyro4_message import pack_pyro4_message
from fastpyro.server import dispatch
from fastpyro.server.complaints import say_dropped
from fastpyro.transport.trusted_peers import hmac_key_of

if TYPE_CHECKING:
    from fastpyro.errors import CommunicationError
    from fastpyro.server.connection import Connection
    from fastpyro.server.interfaces import Server

__all__ = ["refuse", "say_why"]

log = logger("fastpyro.servers")

_TLS_ERRORS = frozenset({"SSLError", "SSLCertVerificationError"})
"""By name, because importing ssl is slow, and some Pythons lack it."""


def say_why(server: Server, connection: Connection, error: CommunicationError) -> None:
    """Tell the log, and a stranger, why the connection will be dropped."""
    if isinstance(error, ConnectionError):
        if not connection.handshaken and type(error.__cause__).__name__ in _TLS_ERRORS:
            say_dropped(log, server.drops, connection, ": no SSL handshake, perhaps its SSL is off: %s", str(error))
        else:
            log.debug("%r: %s", connection, error)
        return
    say_dropped(log, server.drops, connection, ": %s", str(error))
    if not connection.handshaken:
        refuse(connection, error, hmac_key_of(server.daemon._pyroHmacKey))


def refuse(connection: Connection, error: CommunicationError, hmac_key: bytes | None) -> None:
    """Tell a stranger what was wrong, as far as he still listens; never wait for him.

    Arguments: ``hmac_key``, the daemon's, with which messages of protocol 48 are signed.
    """
    reply = dispatch.refusal(error, connection)
    fields = (reply.kind, reply.flags, 0, reply.serializer_id, reply.payload)
    if connection.dialect == OLD_PROTOCOL_VERSION:
        data = pack_pyro4_message(*fields, hmac_key=hmac_key)
    else:
        data = pack_message(*fields)
    try:
        connection.sock.setblocking(False)
        connection.sock.send(data)
    except OSError:
        return
