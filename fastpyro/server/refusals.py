"""The answer to a stranger before his connection is dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastpyro.constants import OLD_PROTOCOL_VERSION
from fastpyro.protocol._message import pack_message
from fastpyro.protocol._pyro4_message import pack_pyro4_message
from fastpyro.server import dispatch

if TYPE_CHECKING:
    from fastpyro.errors import CommunicationError
    from fastpyro.server.connection import Connection

__all__ = ["refuse"]


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
