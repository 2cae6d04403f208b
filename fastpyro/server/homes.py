"""Home threads: the calls of a connection with an object of its session run in the thread that made that object.

A cursor, `threading.local`, an instrument's handle may be used in one thread only. So the worker in whose thread a
connection's first such object is made becomes the home of that connection, and of no other, until the connection ends.
Rule 1: a connection is read only by a leader who may serve it: its home, or, where it has none, a worker who is no home.
        Nothing but the lead goes from one to another, and no request. So a session alone costs nothing.
Rule 2: a home gives the lead away when somebody else has something to say: it never runs what could block it for others.
Rule 3: the lead is given to a home that rests. A connection whose home is busy is held until it rests again.
Rule 4: what is to be done in a home by others (a call from a queue, the end of the connection) is a job. It runs without
        the lead.
Rule 5: there are as many homes as calls may run and wait (THREADPOOL_SIZE + REQUEST_QUEUE_SIZE), and no address has all.
        Behind them is at least one worker that is no home.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from fastpyro._lazy_logging import logger
from fastpyro._mutex import set_leading
from fastpyro.callcontext import current_context
from fastpyro.config import config
from fastpyro.constants import FLAGS_ONEWAY
from fastpyro.errors import ServerOverloadedError
from fastpyro.server.replies import Postponed
from fastpyro.server.shares import Shares
from fastpyro.server.worker_threads import Sleeper, Worker

if TYPE_CHECKING:
    from fastpyro.server._leader import Leadership
    from fastpyro.server.connection import Connection
    from fastpyro.server.interfaces import HomeServer

__all__ = ["Home", "Homes", "is_apart"]

log = logger("fastpyro.servers.threaded")

NEVER = -1
"""Seconds, as a lock's `acquire` has it: no limit."""

NO_THREAD = "no thread can be started for an object of a session, which keeps one; try again later"

IN_THE_END = 1.0
"""Seconds that a home waits, when the server stops, for what is left to do in it."""


class Home(Sleeper):
    """One worker as the home of one connection. The server's lock guards it.

    Attributes: ``jobs``, what is to be done there; ``resting``, whether it waits for the lead or a job; ``missed``, whether
    its connection is held because it had something to say while nobody rested here; ``ended``, whether it is none any more.
    """

    __slots__ = ("_server", "connection", "ended", "jobs", "missed", "resting", "worker")

    def __init__(self, server: HomeServer, worker: Worker, connection: Connection) -> None:
        super().__init__()
        self._server = server
        self.worker = worker
        self.connection = connection
        self.jobs: deque[Callable[[], object]] = deque()
        self.resting = self.missed = self.ended = False

    def wake(self) -> None:
        """End its rest. Under the server's lock."""
        self.resting = False
        if not self.is_woken:
            super().wake()

    def submit(self, job: Callable[[], object]) -> bool:
        """Have something done in this thread. False when it is no home any more."""
        with self._server._lock.guard():
            if self.ended:
                return False
            self.jobs.append(job)
            rests = self.resting
            if rests:
                self.wake()
        if not rests:
            self._server.wakeup()  # it may be the leader, and wait in the poller
        return True

    def miss(self) -> None:
        """Hold its connection until it rests. Under the server's lock."""
        if not self.missed and not self.ended:
            self.missed = True
            self.connection.read_holds += 1
            self._server.unwatch(self.connection)


class Homes:
    """Which worker is whose home, in one server."""

    def __init__(self, server: HomeServer) -> None:
        self.server = server
        self.shares = Shares(config.THREADPOOL_SIZE + config.REQUEST_QUEUE_SIZE)
        self._this = threading.local()
        self._all: set[Home] = set()
        self._left = threading.Event()
        self.heir: Home | None = None  # who alone may lead next, when nobody leads; None: any worker that is no home

    def __len__(self) -> int:
        return len(self._all)

    def __iter__(self) -> Iterator[Home]:
        return iter(list(self._all))

    def enter(self, worker: Worker) -> None:
        """This thread is that worker."""
        self._this.worker = worker

    def is_here(self, home: Home) -> bool:
        """Whether this thread is that home."""
        worker: Worker | None = getattr(self._this, "worker", None)
        return worker is not None and worker.home is home

    def settle(self, connection: Connection, is_made: bool) -> None:
        """See to it that a call in this thread may use an object of its connection's session, or make it.

        Raises Postponed when another thread has to run it, which then knows of it when it comes again, and
        ServerOverloadedError when there are too many homes.
        """
        if current_context.client is not connection or not self.server.serving:
            return  # no call of it, but something of the program's own
        home: Home | None = connection.home
        if home is None:
            home = self._found(connection)
        if home is None or home.ended or self.is_here(home):
            return
        if not (is_made and is_apart(connection, current_context.msg_flags)):
            raise Postponed(0)

    def _found(self, connection: Connection) -> Home | None:
        """Make this thread a connection's home, or a new one if this one cannot be. None when the connection has gone."""
        if not self.shares.take(connection):
            raise ServerOverloadedError(
                f"{self.shares.total} clients have objects of their sessions here, each of which keeps a thread "
                f"({self.shares.of_origin(connection)} of them from this address; there may be {self.shares.most}, "
                f"THREADPOOL_SIZE + REQUEST_QUEUE_SIZE, {self.shares.most_of_one} of them from one address); try again later"
            )
        server, workers = self.server, self.server.workers
        here: Worker | None = getattr(self._this, "worker", None)
        new = Worker() if here is None or here.home is not None else None
        number = 0
        with server._lock.guard():
            home: Home | None = connection.home
            there = home is None and not server.stopping and server.connections.get(connection.fd) is connection
            if there:
                home = self._begin(connection, new or here)
                workers.count -= new is None
                number = 0 if workers.count else workers.next_number()
        if not there:
            self.shares.give(connection)
        elif (new or number) and not self._start_threads(home, new, number):
            raise ServerOverloadedError(NO_THREAD)
        return home

    def _begin(self, connection: Connection, worker: Any) -> Home:
        home = Home(self.server, worker, connection)
        worker.home = connection.home = home
        self._all.add(home)
        if self.is_here(home):
            self._lead_for(home)
        return home

    def _start_threads(self, home: Any, new: Worker | None, number: int) -> bool:
        """Start the thread of a home, if it has none yet, and one that is no home, if it is to be counted as this number."""
        server, is_run = self.server, new is None
        try:
            if new is not None:
                server.workers.run(new, "fastpyro-home")
                is_run = True
            if number:
                server.workers.start(number)
            return True
        except RuntimeError:
            log.exception("no thread can be started for a session")
        with server._lock.guard():
            server.workers.count -= (not is_run) + (number > 0)
            home.connection.home = None
        self.leave(home)
        return False

    def _lead_for(self, home: Home | None) -> None:
        """This thread has become a home, or ceased to be one: if it leads, it serves whom it may serve."""
        leadership = getattr(self.server._current, "leadership", None)
        if leadership is not None:
            leadership.home = home

    def leave(self, home: Home) -> None:
        """A connection has ended: its home is a worker as any other."""
        with self.server._lock.guard():
            if home.ended:
                return
            home.ended, home.worker.home = True, None
            self._all.discard(home)
            self.server.workers.count += 1
            if getattr(self._this, "worker", None) is home.worker:
                self._lead_for(None)
        self.shares.give(home.connection)
        self._left.set()

    def take_leave(self, connection: Connection) -> bool:
        """Do what is left to do for a connection that has gone, in its home. True: it is seen to."""
        home: Home = connection.home

        def done() -> None:
            try:
                self.server.drop(connection, True)
            finally:
                self.leave(home)

        if self.is_here(home) or not home.submit(done):
            done()
        elif connection.calls_running:
            connection.close()  # at once: the rest waits for a call that may notice it
        return True

    def await_leave(self) -> None:
        """Wait, within bounds, until homes have done what is left to do for connections that have gone. At the end."""
        until = time.monotonic() + IN_THE_END
        while True:
            self._left.clear()
            seconds = until - time.monotonic()
            if seconds <= 0 or not any(map(self._is_leaving, list(self._all))):
                return
            self._left.wait(seconds)

    def _is_leaving(self, home: Home) -> bool:
        connection = home.connection
        gone = self.server.connections.get(connection.fd) is not connection
        return gone and not connection.calls_running and not self.is_here(home)

    # ---- who leads

    def pass_lead(self, leadership: Leadership, other: Connection | None) -> bool:
        """Give up the lead between two requests: to who may serve a connection, or (None) to a worker that is no home.

        False when nobody is to have it: the connection has gone, or waits because its home is busy.
        """
        server = self.server
        with server._lock.guard():
            if server.stopping or leadership is not server._leadership or leadership.handed_over:
                return False
            heir: Home | None = None if other is None else other.home
            if other is not None and (other.read_holds or server.connections.get(other.fd) is not other):
                return False
            if heir is not None:
                if not heir.resting:
                    heir.miss()
                    return False
                heir.wake()
            server._vacant, self.heir = True, heir
        if heir is None:
            server._elect()
        server.wake_monitor()  # it looks whether somebody comes
        return True

    def miss_heir(self) -> None:
        """Whoever was to lead has not come: another one may. Under the server's lock."""
        if self.heir is not None:
            self.heir.miss()
            self.heir = None

    # ---- the life of a home

    def do_jobs(self, worker: Worker) -> None:
        """Do what is to be done in this thread, if it is a home."""
        while worker.home is not None and worker.home.jobs:
            job = worker.home.jobs.popleft()
            set_leading(False)
            try:
                job()
            finally:
                set_leading(True)

    def rest(self, worker: Worker) -> None:
        """Wait, in a home, for something to do. In the end, when the server stops, it ceases to be one."""
        home: Home | None = worker.home
        if home is None:
            return
        with self.server._lock.guard():
            missed, home.missed = home.missed, False
        if missed:
            self.server.request_done(home.connection)
        with self.server._lock.guard():
            if home.ended or home.missed or home.jobs or (self.server._vacant and self.heir is home):
                return
            home.resting = True
        self.server.see_to_queue()
        stopping = self.server.stopping
        if home.wait(IN_THE_END if stopping else NEVER) or not stopping:
            return
        with self.server._lock.guard():
            home.resting = False
            if not home.jobs:
                self.leave(home)

    def wake_all(self) -> None:
        """The server stops. Under its lock."""
        for home in self._all:
            home.wake()


def is_apart(connection: Connection, flags: int) -> bool:
    """Whether a request is a oneway call that runs beside its connection's others, in any thread: Pyro's rule."""
    return bool(flags & FLAGS_ONEWAY) and connection.oneway_apart
