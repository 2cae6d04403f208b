"""What is under way when a server is asked to stop: it is answered first, within a bounded time.

Under way is a request that has arrived: it runs, in whichever thread, it waits for its turn or for a place, it is in its
connection's buffer, or its reply has not left. What a client sends later is not read any more, so it has not begun.

Rule 1: who reads requests gives each connection that is free one last look, then nothing but what its buffer holds. So
        requests without end keep no server from stopping.
Rule 2: a connection is dropped when there is nothing more to read for it and nothing of it is under way. Whoever ends the
        last request of it does so, unless it has a last look still to come.
Rule 3: after OTHERS_SECONDS, or the grace that was asked for, what still runs is cut off, but for the call that asks
        for the end: its client has DRAIN_SECONDS to take the reply before the request loop returns, and keeps the
        connection even then.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastpyro.server._leader import Leadership
    from fastpyro.server.connection import Connection
    from fastpyro.server.interfaces import StoppingServer

__all__ = ["Draining"]

OTHERS_SECONDS = 1.0
"""How long requests that are under way may go on once the server has been asked to stop."""

DRAIN_SECONDS = 2.0
"""The same for the one that asks for it."""

MOST_DISCARDED = 1 << 20
"""Bytes of requests that are not served any more that are read away, so that the end is clean."""


class Draining:
    """The end of one server. Argument: ``server``.

    Attributes: ``begun``, whether it has been asked to stop; ``ended``, set when it has.
    """

    def __init__(self, server: StoppingServer) -> None:
        self.server = server
        self.begun = False
        self.ended = threading.Event()
        self._looks = False  # which connections have a last look to come is known
        self._unread: dict[Connection, None] = {}  # these
        self._reading: Connection | None = None  # whose last look is just taken by who reads requests
        self._unattended = False  # nobody waits for the end
        self._asking: set[Connection] = set()  # whose calls ask for the end
        self._not_awaited: set[Connection] = set()  # whose calls wait for the end themselves
        self._changed = threading.Event()
        self._others_until = self._until = 0.0

    def begin(self, grace: float | None = None) -> bool:
        """Note that the server is asked to stop. False when it has been before: a shorter time counts then.

        Argument: ``grace``, seconds for what is under way; None: what a program waits for that says nothing.
        """
        others = OTHERS_SECONDS if grace is None else grace
        with self.server._lock.guard():
            if self.begun:
                if grace is not None:
                    self._shorten(time.monotonic() + grace)
                return False
            asking = self.server.asking_client()
            if asking is not None:
                self._asking.add(asking)
            now = time.monotonic()
            self._others_until = now + others
            self._until = now + max(DRAIN_SECONDS, others + DRAIN_SECONDS - OTHERS_SECONDS)
            self.begun = self.server.requests.ending = True
            return True

    def _shorten(self, until: float) -> None:
        self._others_until = min(self._others_until, until)
        self._until = min(self._until, until + DRAIN_SECONDS - OTHERS_SECONDS)
        self._changed.set()

    def give_up_waiting(self) -> None:
        """Wait for nobody from now on. Takes no lock, so that a signal's handler may do it; who waits is not told."""
        self._others_until = self._until = 0.0

    # ---- what has arrived

    def serve(
        self, leadership: Leadership, serve: Callable[[Connection], bool], waits: bool, reads: bool = True
    ) -> None:
        """Have what has arrived served, and drop whoever needs nothing more. By the thread that reads requests.

        Arguments: ``leadership`` of this thread: another one goes on once that is handed over; ``serve``, which serves
        what has arrived on a connection; ``waits``, whether to wait for what others do until nothing is under way;
        ``reads``: give each connection its last look, instead of only serving what is in its buffer. Returns also when
        only another thread may serve what is left (`homes`): the leadership's ``other`` then.
        """
        if not self._looks:
            self._begin_looks(reads)
        self._reading = None  # whoever read before has handed over, with a call of it that runs
        for connection in list(self.server.connections.values()):
            self.look(connection)
        while not (leadership.handed_over or self.server.stopping):
            self._changed.clear()  # first: what happens from here on is looked at, or wakes
            if self._is_over():
                return
            ready = self._ready()
            own = [one for one in ready if one.home is leadership.home]
            if ready and not own:
                leadership.other = ready[0]
                return
            for connection in own:
                self._reading = connection  # first: it is not to be dropped while it is read
                self._unread.pop(connection, None)
                serve(connection)
                if leadership.handed_over:
                    return
                self._has_read(connection)
            if not ready:
                if not waits:
                    return
                self._changed.wait(max(self._others_until - time.monotonic(), 0.0))

    def _begin_looks(self, reads: bool) -> None:
        for connection in list(self.server.connections.values()):
            buffered = connection.channel.has_buffered or connection.waits_turn
            if buffered or (reads and not connection.read_holds and connection not in self._asking):
                self._unread[connection] = None
        self._looks = True  # last: whose request ends meanwhile is looked at by who called this

    def _ready(self) -> list[Connection]:
        """Return the connections that may be read now."""
        while (connection := self.server.turns.next()) is not None:
            self._unread[connection] = None
        return [one for one in list(self._unread) if self._is_there(one) and not one.read_holds]

    def _is_there(self, connection: Connection) -> bool:
        if self.server.connections.get(connection.fd) is connection:
            return True
        self._unread.pop(connection, None)
        return False

    def _has_read(self, connection: Connection) -> None:
        self._reading = None
        if connection.waits_turn or (connection.read_holds and connection.channel.has_buffered):
            self._unread[connection] = None
        else:
            self.look(connection)

    def look(self, connection: Connection) -> None:
        """A request is done while the server stops: drop its connection if that is not needed any more. By any thread."""
        if not self._looks:
            return
        if connection in self._unread or connection.waits_turn or connection is self._reading:
            self._changed.set()
        elif not (connection.calls_running or self.server.unsent.waits(connection)):
            if not self.server.stopping:
                _end_cleanly(connection)
            self.server.drop(connection)

    def changed(self) -> None:
        """A connection has been dropped."""
        if self.begun:
            self._changed.set()
            if self._unattended and self._is_over():
                self.ended.set()

    def _is_over(self) -> bool:
        """Whether nothing is under way for which others are waited for, or the time is up."""
        if time.monotonic() >= self._others_until:
            return True
        left = list(self.server.connections.values())
        return all(one in self._asking or one in self._not_awaited for one in left) and not self._unread

    # ---- the end

    def is_left_to_others(self) -> bool:
        """Whether something goes on in other threads that nobody here waits for: the end has come when it has ended."""
        self._unattended = not self._is_over()
        if self._unattended and self._is_over():  # meanwhile
            self._unattended = False
        return self._unattended

    def keep(self, connection: Connection) -> None:
        """Leave a connection to the call of it that runs, also when the server stops."""
        self._asking.add(connection)

    def cut_off(self) -> None:
        """Close every connection, whatever is under way, but for those that are kept."""
        self._looks = True
        self._unread.clear()
        for connection in list(self.server.connections.values()):
            if connection in self._asking:
                self.look(connection)
                continue
            connection.close()  # a thread that serves it notices, and drops it
            if not connection.calls_running:
                self.server.drop(connection)

    def await_asking(self) -> None:
        """Wait, within bounds, for the reply to the call that asked for the end; then it has come."""
        while True:
            self._changed.clear()
            awaited = self._asking - self._not_awaited
            left = any(one in awaited for one in list(self.server.connections.values()))
            seconds = self._until - time.monotonic()
            if not left or seconds <= 0:
                break
            self._changed.wait(seconds)
        self.ended.set()

    def await_end(self) -> None:
        """Wait, within bounds, until the server has stopped; else it is stopped here. By anybody, also by a method."""
        own = self.server.asking_client()
        if own is not None:
            self._not_awaited.add(own)
            self.keep(own)
            self._changed.set()
        try:
            if not self.server.is_serving_thread():
                until = self._others_until if self._unattended else self._until
                self.ended.wait(max(until - time.monotonic(), 0.0))
        except KeyboardInterrupt:  # somebody is impatient
            self.give_up_waiting()
            raise
        self.server.stop()
        self.ended.set()


def _end_cleanly(connection: Connection) -> None:
    """Let a client read its last reply and then the end: requests that nobody reads would make it an error."""
    sock = connection.sock
    if connection.attached or type(sock) is not socket.socket:
        return  # the socket is its owner's; TLS has an end of its own
    try:
        sock.shutdown(socket.SHUT_WR)
        sock.setblocking(False)
        left = MOST_DISCARDED
        while left > 0 and (discarded := sock.recv(65536)):
            left -= len(discarded)
    except (OSError, ValueError):
        return
