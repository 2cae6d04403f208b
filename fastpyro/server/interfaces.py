"""What the parts of a server know of each other, for types only: so those below need not import those above.

`Server` is the loop that serves a `service.Service`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import socket
    import threading
    from collections.abc import Mapping

    from fastpyro._mutex import Mutex
    from fastpyro.errors import CommunicationError
    from fastpyro.protocol._message import Message
    from fastpyro.server._calls import CallServer
    from fastpyro.server._crowds import Crowd
    from fastpyro.server._leader import Leadership
    from fastpyro.server.complaints import Complaints
    from fastpyro.server.connection import Connection
    from fastpyro.server.places import Places
    from fastpyro.server.service import Service
    from fastpyro.server.turns import Turns
    from fastpyro.server.worker_threads import WorkerThreads
    from fastpyro.transport.poller import Poller

__all__ = [
    "BigCalls",
    "HomeServer",
    "PassingServer",
    "Server",
    "Stopping",
    "StoppingServer",
    "WaitingMessages",
    "WaitingReplies",
]


class WaitingReplies(Protocol):
    """Replies that wait for slow clients."""

    def total(self) -> int: ...
    def waits(self, connection: Connection) -> bool: ...


class WaitingMessages(Protocol):
    """Messages that have not arrived whole."""

    def waits(self, connection: Connection) -> bool: ...


class BigCalls(Protocol):
    """Calls whose replies are big."""

    def end(self, message: Message) -> object: ...
    def look(self) -> None: ...


class Stopping(Protocol):
    """The end of a server."""

    begun: bool


class Server(Protocol):
    """A server, as its parts see it."""

    stopping: bool
    accepting: bool
    listener_fd: int
    timeout: float
    longest_wait: float
    drops: Complaints
    poller: Poller
    listener: socket.socket
    kind_of_socket: tuple[int, int, int]

    @property
    def draining(self) -> Stopping: ...
    @property
    def daemon(self) -> Service: ...
    @property
    def requests(self) -> CallServer: ...
    @property
    def connections(self) -> Mapping[int, Connection]: ...
    @property
    def unadmitted(self) -> Crowd: ...
    @property
    def crowd(self) -> Crowd: ...
    @property
    def unsent(self) -> WaitingReplies: ...
    @property
    def big_replies(self) -> BigCalls | None: ...
    @property
    def sock(self) -> socket.socket: ...
    def wakeup(self) -> None: ...
    def shutdown(self, grace: float | None = None) -> None: ...
    def admit(self, sock: socket.socket, address: object) -> Connection | None: ...
    def pause_accepting(self, error: OSError) -> None: ...
    def hold(self, connection: Connection) -> None: ...
    def give_back(self, connection: Connection) -> None: ...
    def drop(self, connection: Connection, at_home: bool = False) -> None: ...
    def give_up(self, connection: Connection, error: CommunicationError | None) -> None: ...
    def request_done(self, connection: Connection, held: bool = True) -> None: ...
    def answer(self, connection: Connection, message: Message) -> None: ...
    def send_reply(self, connection: Connection, message: Message, reply: Any) -> None: ...
    def after_fork(self) -> None: ...


class StoppingServer(Server, Protocol):
    """A server that is asked to stop."""

    _lock: Mutex
    turns: Turns

    @property
    def unfinished(self) -> WaitingMessages: ...
    def asking_client(self) -> Connection | None: ...
    def is_serving_thread(self) -> bool: ...
    def stop(self) -> None: ...


class PassingServer(Server, Protocol):
    """A server of several threads, as who passes calls from one to another sees it."""

    _lock: Mutex

    @property
    def places(self) -> Places: ...
    @property
    def workers(self) -> WorkerThreads: ...
    def next_turn(self, connection: Connection) -> None: ...
    def unwatch(self, connection: Connection) -> bool: ...
    def _note_places(self) -> None: ...
    def _hand_over(self, leadership: Leadership, serial: int) -> None: ...


class HomeServer(PassingServer, Protocol):
    """A server of several threads, some of which are homes, as these see it."""

    serving: bool
    _vacant: bool
    _leadership: Leadership
    _current: threading.local

    def see_to_queue(self) -> None: ...
    def wake_monitor(self) -> None: ...
    def _elect(self) -> None: ...
