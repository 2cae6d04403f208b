"""Messages that have not arrived whole: what they hold in all, who waits for room, and who is dropped to make some.

Rule 1: while they hold more than MAX_RECEIVED bytes, a connection whose message has more than its share of that is held
        before it is read, but for one, whose turn it is: so one message arrives however big it is.
Rule 2: the turn ends with the message. It passes on when its message comes slowly, or its connection is held by others.
Rule 3: while somebody waits, a client of whom little comes is dropped, the one that has been silent for the longest
        time first, the biggest of those, until there is room.
Rule 4: what has come of those who wait, and the system keeps, is read now and then, within bounds: who has more to send
        sends it, and who only seemed to is silent from then on.
"""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastpyro._lazy_logging import logger
from fastpyro._mutex import Mutex
from fastpyro.config import config
from fastpyro.constants import FLAGS_ONEWAY, MSG_INVOKE
from fastpyro.errors import ServerOverloadedError
from fastpyro.server import replies
from fastpyro.transport._intake import Intake

if TYPE_CHECKING:
    from fastpyro.server.connection import Connection
    from fastpyro.server.interfaces import Server
    from fastpyro.transport.channel import Channel

__all__ = ["UnfinishedMessages"]

log = logger("fastpyro.servers")

SILENT = 1.0
"""Seconds in which a client must send a little while others wait for room."""

LITTLE = 16384
"""Bytes of that; who has less of a message is not looked at."""

STEP = 65536
"""Bytes that are read at least of who is let on."""

FAST = 1 << 20
"""Bytes a second with which a message keeps its turn while others wait."""


ALLOWED = 2
"""The part of MAX_RECEIVED, one of so many, that is read each second of what those have sent who wait."""

MOST_AT_ALL = 2
"""Times MAX_RECEIVED; while more is held, nothing of that is read, and a slow turn ends with its connection."""


class _Seen:
    """The progress of one unfinished message: the bytes that had come, and when they had."""

    __slots__ = ("counted", "since")

    def __init__(self, counted: int, since: float) -> None:
        self.counted = counted
        self.since = since


class UnfinishedMessages:
    """The unfinished messages of one server's connections."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.after_fork()

    def after_fork(self) -> None:
        """This is a forked child now, with no connections of its own: begin anew."""
        self.intake = Intake(config.MAX_RECEIVED, self._hold, self._look_for_room)
        self.enough = config.MAX_RECEIVED * 7 // 8  # not at once as much as there may be, or all would come and go
        self._lock = Mutex(reentrant=True, leaf=True)  # a destructor may end a connection at any moment
        self._waiting: dict[Connection, None] = {}  # in the order in which they came
        self._turn: Connection | None = None
        self._turn_began = 0.0
        self._turn_counted = 0
        self._seen: dict[Connection, _Seen] = {}
        self._allowed: dict[Connection, int] = {}  # up to how many bytes of their message they may read
        self._looked = 0.0

    @property
    def waiting(self) -> int:
        """How many connections wait for room."""
        return len(self._waiting)

    def waits(self, connection: Connection) -> bool:
        """Return whether a connection waits for room."""
        return connection in self._waiting

    def watch(self, connection: Connection) -> None:
        """Count what arrives on a connection from now on."""
        connection.channel.set_intake(self.intake)

    def forget(self, connection: Connection) -> None:
        """The connection is dropped."""
        if not self._waiting and self._turn is None:
            return
        with self._lock.guard():
            self._waiting.pop(connection, None)
            self._seen.pop(connection, None)
            self._allowed.pop(connection, None)
            if self._turn is connection:
                self._set_turn(None)
        self._look_for_room()

    # ---- who reads on

    def _hold(self, channel: Channel) -> bool:
        """Hold the connection of a channel, unless its turn has come. By the thread that wants to read it."""
        connection = self.server.connections.get(channel.fileno())
        if connection is None or connection.channel is not channel:
            return False  # it is being dropped
        with self._lock.guard():
            if self._turn is None and not self._waiting:
                self._set_turn(connection)
            if self._turn is connection or channel.counted < self._allowed.get(connection, 0):
                return False
            self._allowed.pop(connection, None)
            if connection not in self._waiting:
                self._waiting[connection] = None
                self.server.hold(connection)
        log.info(
            "%r waits with a message of which %d bytes have come: the unfinished messages hold %d bytes in all, more than "
            "MAX_RECEIVED %d",
            connection, channel.counted, self.intake.total, self.intake.most,
        )  # fmt: skip
        return True

    def _set_turn(self, connection: Connection | None) -> None:
        self._turn = connection
        self._turn_began = time.monotonic()
        self._turn_counted = 0 if connection is None else connection.channel.counted
        self.intake.turn = None if connection is None else connection.channel
        self.intake.watched = connection is not None or bool(self._waiting)

    def _look_for_room(self) -> None:
        """Let those go on who waited, as far as there is room. By any thread."""
        with self._lock.guard():
            turn = self._turn
            if turn is not None and (turn.channel.closed or not turn.channel.counted):
                turn = None
            going: list[Connection] = []
            if self.intake.total <= self.enough:
                going = list(self._waiting)
                self._waiting.clear()
                turn = None
            elif turn is None and self._waiting:
                turn = next(iter(self._waiting))
                del self._waiting[turn]
                going = [turn]
            if turn is not self._turn:
                self._set_turn(turn)
            if not self._waiting:
                self._seen.clear()
                self._allowed.clear()
        for connection in going:
            self.server.give_back(connection)

    # ---- who is dropped

    def look(self) -> None:
        """While somebody waits, drop those of whom little comes, and pass the turn on. Now and then, by who serves."""
        if not self._waiting:
            return
        now = time.monotonic()
        with self._lock.guard():
            for connection in self._waiting:
                connection.last_used = now  # it is we who do not read
        silent = self._find_silent(now)
        for connection in silent:
            if self._waiting and (self.intake.total > self.enough or connection is self._turn):
                self._drop(connection, f"less than {LITTLE} bytes of it in the last {SILENT:g} s")
        self._judge_turn(now)
        self._let_some_on(now)

    def _find_silent(self, now: float) -> list[Connection]:
        """Return those of whom too little has come, who has been silent for the longest time first."""
        silent: list[tuple[float, int, Connection]] = []
        seen: dict[Connection, _Seen] = {}
        for connection in list(self.server.connections.values()):
            counted = connection.channel.counted
            if counted <= LITTLE or connection.fd in self.server.unadmitted:
                continue  # a stranger's bytes are not counted here
            one = self._seen.get(connection)
            if one is None or connection in self._waiting or not one.counted <= counted < one.counted + LITTLE:
                one = _Seen(counted, now)
            seen[connection] = one
            if now - one.since >= SILENT:
                silent.append((one.since, -counted, connection))
        self._seen = seen
        return [connection for _, _, connection in sorted(silent, key=lambda one: one[:2])]

    def _judge_turn(self, now: float) -> None:
        turn = self._turn
        if turn is None or not self._waiting or now - self._turn_began < SILENT:
            return
        came = turn.channel.counted - self._turn_counted
        if came >= FAST * (now - self._turn_began):
            self._set_turn(turn)  # from here on
        elif self.intake.total > MOST_AT_ALL * self.intake.most:
            self._drop(turn, f"{came} bytes of it in {now - self._turn_began:.1f} s")
        else:
            with self._lock.guard():
                self._set_turn(None)
            self._look_for_room()

    def _let_some_on(self, now: float) -> None:
        """Have some of those read on who wait: what the system keeps of them, in the order in which they came."""
        room = int(min(now - self._looked, 1.0) * self.intake.most / ALLOWED)
        self._looked = now
        going: list[Connection] = []
        with self._lock.guard():
            if self.intake.total > MOST_AT_ALL * self.intake.most:
                return
            for connection in list(self._waiting):
                size = max(unread(connection), STEP)
                room -= size
                if room < 0:
                    break
                del self._waiting[connection]
                self._allowed[connection] = connection.channel.counted + size
                going.append(connection)
        for connection in going:
            self.server.give_back(connection)

    def _drop(self, connection: Connection, what_came: str) -> None:
        counted = connection.channel.counted
        reason = (
            f"{counted} bytes of a message have come, {what_came}, and the unfinished messages hold {self.intake.total} "
            f"bytes in all, more than MAX_RECEIVED {self.intake.most}, so that others wait"
        )
        log.warning("dropping %r: %s", connection, reason)
        self._tell(connection, ServerOverloadedError(f"the server is busy: {reason}; try again later"))
        self.server.drop(connection)

    def _tell(self, connection: Connection, error: ServerOverloadedError) -> None:
        """Answer the call that has not arrived, as far as the client listens."""
        message = connection.channel.begun
        if message is None or message.kind != MSG_INVOKE or message.flags & FLAGS_ONEWAY:
            return
        try:
            self.server.send_reply(
                connection, message, replies.refusal_reply(self.server.daemon, connection, message, error)
            )
        except Exception:  # the daemon's annotations() may raise anything
            log.exception("%r could not be told why", connection)


def _make_unread() -> Callable[[int], int] | None:
    if sys.platform == "win32":
        return None
    import fcntl
    import termios

    def unread(fd: int) -> int:
        answer: Any = fcntl.ioctl(fd, termios.FIONREAD, b"\0\0\0\0")
        return int.from_bytes(answer, sys.byteorder)

    return unread


_unread = _make_unread()


def unread(connection: Connection) -> int:
    """Return how many bytes of a client the system keeps; 0 when it does not tell."""
    sock: socket.socket = connection.sock
    try:
        return 0 if _unread is None else _unread(sock.fileno())
    except (OSError, ValueError):
        return 0
