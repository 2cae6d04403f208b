"""The server that runs methods in threads, without a thread for each connection.

One thread, the leader, waits for requests, runs the method itself and replies: no hand-over in the fast case. A monitor
looks about every millisecond; when it sees the leader inside the same call twice, that leader is deposed: its connection
leaves the wait set, a standby thread becomes the leader, and the deposed one answers its client when it is done.

Rule 1: only the leader of the current term waits in the poller, accepts and drops idle connections.
Rule 2: a connection is served by one thread at a time; while a deposed leader serves one, it is not in the poller.
        Exception: the connection of a slow oneway call goes on at once (ONEWAY_THREADED), and the deposed leader does
        not touch it again.
Rule 3: `_lock` guards terms and standby threads. Under it nothing runs that can wait, and no user code.
"""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from fastpyro.config import config
from fastpyro.message_kinds import FLAGS_ONEWAY
from fastpyro.servers.connections import LONGEST_WAIT, ConnectionServer

if TYPE_CHECKING:
    from fastpyro._wire import Message
    from fastpyro.connection import Connection
    from fastpyro.daemon import Daemon

__all__ = ["ThreadedServer"]

log = logging.getLogger("fastpyro.servers.threaded")

TICK = 0.001
"""Seconds between two looks of the monitor: a call that is seen twice is slow."""

IDLE_TICKS = 50
"""Looks without a call after which the monitor sleeps until the leader wakes it."""

STANDBY_SECONDS = 10.0
"""How long a standby thread beyond THREADPOOL_SIZE_MIN waits to be needed."""

FAREWELL_SECONDS = 2.0
"""How long the end of the loop waits for the reply to the call that asked for the shutdown."""


class Term:
    """One leader's time in office."""

    __slots__ = ("connection", "deposed", "descriptor", "freed", "oneway", "serial")

    def __init__(self) -> None:
        self.serial = 0  # counts calls; changes when one begins
        self.connection: Connection | None = None  # whose call runs now
        self.descriptor = -1
        self.oneway = False
        self.deposed = False
        self.freed = False  # deposed in a oneway call: the connection is not ours any more


class ThreadedServer(ConnectionServer):
    """A leader, standby threads and a monitor; all are daemon threads, started when the first request may come."""

    def __init__(self, daemon: Daemon, listener: socket.socket) -> None:
        super().__init__(daemon, listener)
        self._lock = threading.Lock()
        self._term = Term()
        self._vacant = True  # nobody leads
        self._started = False
        self._threads = 0
        self._standby: deque[threading.Event] = deque()
        self._pending: deque[int] = deque()
        self._monitor_parked = False
        self._monitor_wake = threading.Event()
        self._stopped = threading.Event()
        self._farewells: set[int] = set()
        self._farewell_said = threading.Event()
        self._current = threading.local()
        self.most_threads = max(config.THREADPOOL_SIZE, 1)
        self.oneway_threaded = config.ONEWAY_THREADED

    def loop(self, condition: Callable[[], bool]) -> None:
        """Let the server's threads serve until ``condition()`` is false or ``shutdown`` is called."""
        if not condition():
            return
        self.start()
        while not self._stopped.wait(max(min(config.POLLTIMEOUT, LONGEST_WAIT), 0.001)):
            if not condition():
                return
        deadline = time.monotonic() + FAREWELL_SECONDS
        while self._farewells and self._farewell_said.wait(max(deadline - time.monotonic(), 0.0)):
            self._farewell_said.clear()

    def events(self, ready: Iterable[Any]) -> None:
        """Called by a foreign loop when the listener is readable; the server's own threads do the rest."""
        self.start()
        self.wakeup()

    def start(self) -> None:
        """Start the leader and the monitor, once."""
        with self._lock:
            if self._started or self.stopping:
                return
            self._started = True
        threading.Thread(target=self._watch, name="fastpyro-monitor", daemon=True).start()
        self._elect()

    def shutdown(self) -> None:
        """Stop serving and close all connections; the call that asks for it, if one does, still gets its reply."""
        with self._lock:
            if self.stopping:
                return
            self.stopping = True
            own = getattr(self._current, "descriptor", -1)
            if own in self.connections:
                self._farewells.add(own)
            standby, self._standby = self._standby, deque()
        self.poller.remove(self.listener_fd)
        self.listener.close()
        for fd, connection in list(self.connections.items()):
            if fd != own:
                connection.close()  # a thread that serves it notices; the others are dropped here
                if not connection.in_call:
                    self.drop(fd)
        for event in standby:
            event.set()
        self.wakeup()
        self._monitor_wake.set()
        self._stopped.set()

    def _elect(self) -> None:
        """Begin a new term: wake a standby thread, or start one; without either the office stays vacant."""
        with self._lock:
            if self.stopping:
                return
            self._vacant = True
            if self._standby:
                self._standby.pop().set()
                return
            if self._threads >= self.most_threads:
                return  # the first thread that gets free takes the office
            self._threads += 1
            number = self._threads
        threading.Thread(target=self._work, name=f"fastpyro-worker-{number}", daemon=True).start()

    def tell_disconnect(self, connection: Connection) -> None:
        """Call the daemon's hook as if it were a call, so that a slow hook costs the leader its office and nothing else."""
        term = getattr(self._current, "term", None)
        if term is None or term.connection is not None or term.deposed:
            super().tell_disconnect(connection)
            return
        term.serial += 1
        term.descriptor = -1
        term.oneway = False
        term.connection = connection
        if self._monitor_parked:
            self._monitor_wake.set()
        try:
            super().tell_disconnect(connection)
        finally:
            with self._lock:
                term.connection = None

    def _take_office(self) -> Term | None:
        with self._lock:
            if not self._vacant or self.stopping:
                return None
            self._vacant = False
            self._term = Term()
            return self._term

    def _work(self) -> None:
        """The life of a worker thread: lead when the office is vacant, else stand by."""
        while not self.stopping:
            term = self._take_office()
            if term is not None:
                self._current.term = term
                try:
                    self._lead(term)
                except Exception:
                    if not self.stopping:
                        log.exception("a leader failed; another one takes over")
                        with self._lock:
                            self._vacant = self._vacant or self._term is term
                finally:
                    self._current.term = None
                continue
            if not self._stand_by():
                return
        with self._lock:
            self._threads -= 1

    def _stand_by(self) -> bool:
        """Wait to be needed. False when this thread is one too many and shall end."""
        event = threading.Event()
        with self._lock:
            if self._vacant or self.stopping:
                return True
            self._standby.append(event)
        if event.wait(STANDBY_SECONDS):
            return True
        with self._lock:
            if event.is_set() or event not in self._standby:
                return True
            if self._threads <= config.THREADPOOL_SIZE_MIN:
                self._standby.remove(event)
                return True
            self._standby.remove(event)
            self._threads -= 1
            return False

    def _lead(self, term: Term) -> None:
        while not self.stopping:
            pending = self._take_pending()
            for fd in (*pending, *self.poller.wait(0.0 if pending else LONGEST_WAIT)):
                if fd == self.listener_fd:
                    self.accept_all()
                elif fd == self.wake_fd:
                    self.drain_wakeups()
                else:
                    connection = self.connections.get(fd)
                    if connection is not None and not connection.in_call and self._serve(term, fd, connection):
                        return
                if term.deposed:  # in a hook that was told of a disconnected client
                    return
            self.look_at_deadlines()

    def _take_pending(self) -> list[int]:
        # One by one: another thread may be just about to append, to this very deque.
        taken = []
        while self._pending:
            taken.append(self._pending.popleft())
        return taken

    def _serve(self, term: Term, fd: int, connection: Connection) -> bool:
        """Serve what has arrived on one connection. True when this thread was deposed meanwhile."""
        message = self.next_request(fd, connection)
        while message is not None:
            deposed, freed = self._call(term, fd, connection, message)
            if deposed:
                if not freed:
                    self._give_back(fd, connection)
                return True
            if not connection.channel.has_buffered or self.connections.get(fd) is not connection:
                return False
            message = self.next_request(fd, connection)
        return False

    def _call(self, term: Term, fd: int, connection: Connection, message: Message) -> tuple[bool, bool]:
        current = self._current
        current.descriptor = fd
        connection.in_call = True
        term.serial += 1
        term.descriptor = fd
        term.oneway = bool(message.flags & FLAGS_ONEWAY)
        term.connection = connection
        if self._monitor_parked:
            self._monitor_wake.set()
        try:
            self.answer(fd, connection, message)
        finally:
            current.descriptor = -1
            with self._lock:
                term.connection = None
                deposed, freed = term.deposed, term.freed
            if not freed:
                connection.in_call = False
            if self.stopping:
                self._say_farewell(fd)
        return deposed, freed

    def _say_farewell(self, fd: int) -> None:
        self.drop(fd)
        self._farewells.discard(fd)
        self._farewell_said.set()

    def _give_back(self, fd: int, connection: Connection) -> None:
        """A slow call is over: its connection may be waited for again."""
        if self.stopping or self.connections.get(fd) is not connection:
            return
        try:
            self.poller.add(fd)
        except (OSError, ValueError):
            return  # the server is closed
        if connection.channel.has_buffered:
            self._pending.append(fd)
            self.wakeup()

    def _watch(self) -> None:
        idle, seen_term, seen_serial = 0, self._term, -1
        while not self.stopping:
            if idle >= IDLE_TICKS:
                self._monitor_wake.clear()
                self._monitor_parked = True
                if self._term.connection is None:
                    self._monitor_wake.wait()
                self._monitor_parked = False
                idle = 0
            self._stopped.wait(TICK)
            term = self._term
            if term.connection is None:
                idle += 1
                seen_serial = -1
                continue
            idle = 0
            if term is seen_term and term.serial == seen_serial:
                self._depose(term, seen_serial)
            seen_term, seen_serial = term, term.serial

    def _depose(self, term: Term, serial: int) -> None:
        with self._lock:
            connection = term.connection
            if term.deposed or connection is None or term.serial != serial or self.stopping:
                return
            term.deposed = True
            fd = term.descriptor
            term.freed = term.oneway and self.oneway_threaded
            if term.freed:
                connection.in_call = False
                if connection.channel.has_buffered:
                    self._pending.append(fd)
            else:
                self.poller.remove(fd)  # before the deposed thread can give it back
        self._elect()
