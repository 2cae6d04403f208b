"""Pings over a proxy's connection."""

from __future__ import annotations

from typing import Any

from fastpyro.constants import MSG_PING, PING_SERIALIZER_ID
from fastpyro.errors import ProtocolError
from fastpyro.protocol._message import Outgoing

__all__ = ["ping"]


def ping(connection: Any) -> None:
    """Ask the daemon at the other end of a proxy's ``_pyroConnection`` for a sign of life.

    Raises ProtocolError when it answers something else, CommunicationError when it does not answer.
    """
    reply = connection.exchange(Outgoing(MSG_PING, 0, 0, PING_SERIALIZER_ID, b"ping"))
    if reply.kind != MSG_PING or reply.payload != b"pong":
        raise ProtocolError(f"ping: the daemon answered with a message of type {reply.kind}")
