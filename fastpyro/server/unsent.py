"""Replies that clients have not taken yet: one thread sends them, so that none of those that serve waits for a client.

Rule 1: while replies of a connection wait, it is held: nothing is read from it, and none of its calls begins.
Rule 2: a client that takes nothing for SEND_TIMEOUT is dropped, and so is, while more than MAX_UNSENT bytes wait in
        all, whoever has taken nothing for the longest time; far beyond it, whoever is the slowest. But not a reply that
        waits alone, however big it is.
Rule 3: this thread runs no code of users and drops nobody: it breaks the connection off, and whoever reads it next, in
        the server's own way, meets its end. Only while the server stops it closes what is drained, as others do.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

from fastpyro._lazy_logging import logger
from fastpyro._mutex import Mutex, set_leading
from fastpyro.config import config
from fastpyro.errors import CommunicationError
from fastpyro.transport._output import give_memory_back

if TYPE_CHECKING:
    from fastpyro.server.connection import Connection
    from fastpyro.server.interfaces import Server
    from fastpyro.transport.channel import Channel

__all__ = ["ALONE", "AMONG_THREADS", "Patience", "UnsentReplies"]

log = logger("fastpyro.servers")

TICK = 0.02
"""Seconds between two looks at clocks and sums, while replies wait."""

LINGER = 10.0
"""Seconds that the thread stays when nothing waits any more."""

ROUND = 1 << 20
"""Bytes that one connection may send before the others have their turn."""

LOOK_INTERVAL = 0.25
"""Seconds between two looks at what the system has got rid of, while there is room."""

SHORT_OF_ROOM = 1.0
"""Seconds without progress after which a client may be dropped while more than MAX_UNSENT bytes wait."""

STRAINED = 0.25
"""The same while more than twice as many wait; or four round trips, for a client that is far away."""

STRAINED_AT_FIRST = 0.04
"""The same for who has taken nothing at all since his reply began to wait."""

MOST_AT_ALL = 16
"""Times MAX_UNSENT; beyond it the slowest clients are dropped even though they take their replies."""

RTT_OFFSET = 68
"""Of the smoothed round trip time in Linux's tcp_info, microseconds in 32 bits."""


class Patience(NamedTuple):
    """How long a thread that serves stays with a client that takes its reply slowly.

    Attributes: ``stall``, milliseconds in which the client must take something; ``budget``, milliseconds in all;
    ``rate``, bytes in a millisecond for which it stays longer, 0 for none.
    """

    stall: int
    budget: int
    rate: int


AMONG_THREADS = Patience(stall=2, budget=8, rate=65536)
"""Others serve meanwhile, and sending in many threads uses many processors."""

ALONE = Patience(stall=1, budget=4, rate=0)
"""Everybody waits for the one thread that serves."""


class _Waiting:
    """The replies of one connection that wait; it holds the connection once."""

    __slots__ = ("began", "channel", "connection", "ended", "in_system", "moved", "progress", "taken")

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.channel: Channel = connection.channel
        self.ended = self.moved = False
        self.began = self.progress = time.monotonic()
        self.taken = 0
        self.in_system = _unacknowledged(connection)

    def look(self, now: float) -> None:
        """Take note of what the client has taken from the system since the last look."""
        in_system = _unacknowledged(self.connection)
        if in_system < self.in_system:
            self.progressed(now)
        self.in_system = in_system

    def progressed(self, now: float) -> None:
        self.progress = self.connection.last_used = now
        self.moved = True

    def rate(self, now: float) -> float:
        """Return how many bytes a second the client takes, on average."""
        return self.taken / max(now - self.began, TICK)

    def patience(self, strained: bool) -> float:
        """Return for how many seconds the client may take nothing while there is not enough room."""
        if not strained:
            return SHORT_OF_ROOM
        least = STRAINED if self.moved else STRAINED_AT_FIRST
        return min(max(least, 4 * _round_trip(self.connection.sock)), SHORT_OF_ROOM)


class UnsentReplies:
    """The replies of one server's connections that wait. Arguments: ``server``; ``patience``."""

    def __init__(self, server: Server, patience: Patience) -> None:
        self.server = server
        self.patience = patience
        self.most = config.MAX_UNSENT
        self.timeout_item = "SEND_TIMEOUT"
        self.timeout = config.SEND_TIMEOUT
        if config.COMMTIMEOUT and not 0 < self.timeout <= config.COMMTIMEOUT:
            self.timeout_item, self.timeout = "COMMTIMEOUT", config.COMMTIMEOUT
        self._waiting: dict[int, _Waiting] = {}
        self._lock = Mutex(reentrant=True, leaf=True)
        self._selector = selectors.DefaultSelector()
        self._arrived = threading.Event()
        self._running = self._closed = False
        self._trims = False
        self._next_look = 0.0

    def watch(self, connection: Connection) -> None:
        """Let the replies of a connection wait here."""
        connection.channel.set_outlet(self.begin, *self.patience)

    def begin(self, channel: Channel) -> None:
        """Take over what waits in a channel; called by the thread that has served."""
        fd = channel.fileno()
        connection = self.server.connections.get(fd)
        if connection is None or connection.channel is not channel:
            channel.break_off()  # it has been dropped meanwhile
            return
        self.server.hold(connection)
        waiting = _Waiting(connection)
        try:
            with self._lock.guard():
                self._register(fd, waiting)
                self._have_thread()
        except (OSError, RuntimeError, ValueError) as error:
            log.warning("dropping %r: it does not take its reply, and nobody can send the rest: %s", connection, error)
            self._lose(waiting)
        self._keep_within(strained=True)

    def total(self) -> int:
        """Return how many bytes wait in all."""
        return sum(one.channel.unsent for one in list(self._waiting.values()))

    def waits(self, connection: Connection) -> bool:
        """Return whether replies of a connection wait."""
        waiting = self._waiting.get(connection.fd)
        return waiting is not None and waiting.connection is connection

    def forget(self, connection: Connection) -> None:
        """The connection is dropped."""
        if not self._waiting:
            return
        with self._lock.guard():
            waiting = self._waiting.get(connection.fd)
            if waiting is not None and waiting.connection is connection:
                self._remove(waiting)
        self._look_at_big()

    def _look_at_big(self) -> None:
        if self.server.big_replies is not None:
            self.server.big_replies.look()

    def after_fork(self) -> None:
        """This is a forked child now, where neither the thread nor what waits is: begin anew."""
        self._selector.close()  # the child's copy
        self._waiting = {}
        self._lock = Mutex(reentrant=True, leaf=True)
        self._selector = selectors.DefaultSelector()
        self._arrived = threading.Event()
        self._running = False

    def close(self) -> None:
        """End the thread. May be called again."""
        with self._lock.guard():
            self._closed = True
            if not self._running:
                self._selector.close()
        self._arrived.set()

    def _register(self, fd: int, waiting: _Waiting) -> None:
        assert self._lock.owned
        if self._closed:
            raise ValueError("the server is closed")
        if fd in self._waiting:  # just sent, but not ended yet; or closed by somebody who has not dropped it
            self._selector.unregister(fd)
        self._selector.register(fd, selectors.EVENT_WRITE, waiting)
        self._waiting[fd] = waiting

    def _have_thread(self) -> None:
        assert self._lock.owned
        if not self._running:
            threading.Thread(target=self._run, name="fastpyro-sender", daemon=True).start()
            self._running = True
        self._arrived.set()

    def _remove(self, waiting: _Waiting) -> None:
        assert self._lock.owned
        waiting.ended = True
        fd = waiting.connection.fd
        if self._waiting.get(fd) is waiting:
            del self._waiting[fd]
            with contextlib.suppress(KeyError, OSError, ValueError):
                self._selector.unregister(fd)

    # ---- the thread

    def _run(self) -> None:
        set_leading(True)
        while True:
            try:
                while not self._closed and (self._waiting or self._stay()):
                    self._send_and_look()
                return
            except Exception:  # no memory, for instance: the next round may have some
                log.exception("sending replies failed; going on")
                time.sleep(TICK)
            finally:
                self._end_if_closed()

    def _end_if_closed(self) -> None:
        with self._lock.guard():
            if self._closed and self._running:
                self._running = False
                self._selector.close()

    def _stay(self) -> bool:
        """Wait for work. False when there was none for long."""
        self._arrived.clear()
        if self._waiting or self._closed or self._arrived.wait(LINGER):
            return True
        with self._lock.guard():
            self._running = bool(self._waiting) or self._closed
            return self._running

    def _send_and_look(self) -> None:
        for key, _ in self._selector.select(TICK):
            self._send(key.data)
        if time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + LOOK_INTERVAL
            self._drop_silent()
        self._keep_within(strained=False)
        self._look_at_big()
        if self._trims:
            self._trims = False
            give_memory_back()

    def _send(self, waiting: _Waiting) -> None:
        try:
            sent = waiting.channel.send_unsent(ROUND)
        except CommunicationError as error:
            log.debug("%r: %s", waiting.connection, error)
            self._lose(waiting)
            return
        if sent:
            waiting.taken += sent
            waiting.progressed(time.monotonic())
        if not waiting.channel.unsent:
            self._end(waiting)

    def _drop_silent(self) -> None:
        now = time.monotonic()
        for one in list(self._waiting.values()):
            one.look(now)
            if self.timeout and now - one.progress > self.timeout:
                self._drop(one, f"for {self.timeout_item} {self.timeout:g} s")

    def _keep_within(self, strained: bool) -> None:
        """Drop those that have taken nothing for the longest time until no more waits than may, or, `strained`, than
        twice as much. By any thread.
        """
        most = 2 * self.most if strained else self.most
        waiting = list(self._waiting.values())
        unsent = sum(one.channel.unsent for one in waiting)
        if unsent <= most or (len(waiting) == 1 and waiting[0].channel.unsent_messages == 1):
            return
        now = time.monotonic()
        for one in waiting:
            one.look(now)
        for one in sorted(waiting, key=lambda one: one.progress):
            if unsent > most and now - one.progress > one.patience(unsent > 2 * self.most):
                unsent -= self._drop(one, f"and {unsent} bytes wait in all, more than MAX_UNSENT {self.most}")
        for one in sorted(waiting, key=lambda one: one.rate(now)):
            if unsent > MOST_AT_ALL * self.most:
                unsent -= self._drop(
                    one, f"too slowly: {unsent} bytes wait in all, far more than MAX_UNSENT {self.most}"
                )

    def _drop(self, waiting: _Waiting, why: str) -> int:
        """Break a connection off, once. Returns how many bytes do not wait any more."""
        size = waiting.channel.unsent
        with self._lock.guard():
            if waiting.ended:
                return 0
            self._remove(waiting)
        log.warning("dropping %r: it does not take a reply, of which %d bytes wait, %s", waiting.connection, size, why)
        self._trims = True
        waiting.channel.break_off()
        self._let_go(waiting.connection)
        return size

    def _lose(self, waiting: _Waiting) -> None:
        """The connection is lost."""
        waiting.channel.break_off()
        self._end(waiting)

    def _end(self, waiting: _Waiting) -> None:
        """All has been sent, or never will be: let the connection go on."""
        with self._lock.guard():
            if waiting.ended:
                return
            self._remove(waiting)
        self._let_go(waiting.connection)

    def _let_go(self, connection: Connection) -> None:
        self.server.request_done(connection)


def _unacknowledged(connection: Connection) -> int:
    """Return how many bytes the system keeps for a client, as far as it tells."""
    if _queue_size is None:
        return 0
    try:
        return _queue_size(connection.fd)
    except OSError:
        return 0


def _round_trip(sock: socket.socket) -> float:
    """Return how long a round trip to the client takes, in seconds; 0 where nobody knows."""
    if sys.platform != "linux" or sock.family == socket.AF_UNIX:
        return 0.0
    try:
        information = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, RTT_OFFSET + 4)
        return float(struct.unpack_from("=I", information, RTT_OFFSET)[0]) * 1e-6
    except (OSError, struct.error):
        return 0.0


def _make_queue_size() -> Callable[[int], int] | None:
    if sys.platform != "linux":
        return None
    import fcntl
    import termios

    def queue_size(fd: int) -> int:
        answer: Any = fcntl.ioctl(fd, termios.TIOCOUTQ, b"\0\0\0\0")
        return int.from_bytes(answer, sys.byteorder)

    return queue_size


_queue_size = _make_queue_size()
