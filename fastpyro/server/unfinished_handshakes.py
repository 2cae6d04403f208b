"""What has arrived of strangers' handshakes: it has room of its own, so that no client who is admitted waits.

Rule 1: while it is full, somebody is dropped before one who has more than his share reads on: of the place from which most
        has come the one who came first. So who comes from elsewhere gets through.
Rule 2: one handshake arrives however small the part is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastpyro.config import config
from fastpyro.errors import CommunicationError
from fastpyro.server._crowds import place_of
from fastpyro.transport._intake import Intake

if TYPE_CHECKING:
    from fastpyro.server.connection import Connection
    from fastpyro.server.interfaces import Server
    from fastpyro.transport.channel import Channel

__all__ = ["UnfinishedHandshakes"]

PART = 8
"""The part of MAX_RECEIVED, one of so many, that all of them have together."""


class UnfinishedHandshakes:
    """The unfinished handshakes of one server's strangers. Attribute: ``intake``, which counts them."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.intake = Intake(config.MAX_RECEIVED // PART, self._make_room, lambda: None)

    def _make_room(self, channel: Channel) -> bool:
        """Drop strangers until there is room for one to read on. Raises CommunicationError when he is one of them."""
        intake = self.intake
        while intake.total > intake.most and intake.messages > 1:
            dropped = self._first_of_largest()
            if dropped is None:
                break
            error = CommunicationError(
                f"the server is busy: the handshakes that are coming hold {intake.total} bytes in all, more than "
                f"MAX_RECEIVED / {PART} = {intake.most}, and this one {dropped.channel.counted}; send it without "
                "annotations, or try again later"
            )
            if dropped.channel is channel:
                raise error
            self.server.give_up(dropped, error)
        return False

    def _first_of_largest(self) -> Connection | None:
        sizes: dict[Any, int] = {}
        first: dict[Any, Connection] = {}
        for connection in self.server.unadmitted.values():
            if size := connection.channel.counted:
                place = place_of(connection)
                sizes[place] = sizes.get(place, 0) + size
                first.setdefault(place, connection)
        return first[max(sizes, key=sizes.__getitem__)] if sizes else None
