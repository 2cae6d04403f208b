"""What the parts of a server know of each other, for types only: so those below need not import those above.

`Server` is the loop that serves a `service.Service`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from fastpyro.protocol._message import Message
    from fastpyro.server._calls import OrdinaryRequests
    from fastpyro.server.connection import Connection
    from fastpyro.server.service import Service

__all__ = ["BigCalls", "Server", "WaitingReplies"]


class WaitingReplies(Protocol):
    """Replies that wait for slow clients."""

    def total(self) -> int: ...
    def waits(self, connection: Connection) -> bool: ...


class BigCalls(Protocol):
    """Calls whose replies are big."""

    def end(self, message: Message) -> None: ...
    def look(self) -> None: ...


class Server(Protocol):
    """A server, as its parts see it."""

    stopping: bool

    @property
    def daemon(self) -> Service: ...
    @property
    def requests(self) -> OrdinaryRequests: ...
    @property
    def connections(self) -> Mapping[int, Connection]: ...
    @property
    def unadmitted(self) -> Mapping[int, Connection]: ...
    @property
    def unsent(self) -> WaitingReplies: ...
    @property
    def big_replies(self) -> BigCalls | None: ...
    @property
    def sock(self) -> socket.socket: ...
    def hold(self, connection: Connection) -> None: ...
    def give_back(self, connection: Connection) -> None: ...
    def drop(self, connection: Connection) -> None: ...
    def say_farewell(self, connection: Connection) -> None: ...
    def answer(self, connection: Connection, message: Message) -> None: ...
    def send_reply(self, connection: Connection, message: Message, reply: Any) -> None: ...
    def after_fork(self) -> None: ...
