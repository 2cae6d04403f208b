"""The server that runs methods in threads, without a thread for each connection.

One thread, the leader, waits for requests, runs the method itself and replies: no hand-over in the fast case. A monitor
looks about every millisecond; when it sees the leader inside the same request twice, the lead is handed over: a standby
thread becomes the leader, and the former leader answers its client when it is done. A method that was slow before is not
waited for: its leader steps down before it runs it.

Rule 1: only the leader of the current leadership waits in the poller, accepts, reads and drops idle connections.
Rule 2: requests of one connection may run at once, but for those of session objects: such a connection is held by the
        former leader, out of the poller, until it is done (`ONEWAY_THREADED = False` does the same to oneway requests).
Rule 3: THREADPOOL_SIZE requests are slow at once (`places`). Beyond it the leader queues those whose methods are known to be
        slow, and refuses some when the queue is full. Others run at once; a small reserve is for those that turn out slow.
        When that is used up too, all requests are queued but the urgent ones, and coroutines.
Rule 4: `_lock` guards leaderships, threads and the queue. Under it nothing runs that can wait, and no user code.
"""

from __future__ import annotations

import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from fastpyro._lazy_logging import logger
from fastpyro._mutex import set_leading
from fastpyro.config import config
from fastpyro.constants import FLAGS_ONEWAY, MSG_INVOKE
from fastpyro.errors import ServerOverloadedError
from fastpyro.protocol.peer_batches import BATCH_METHOD
from fastpyro.server import forks, replies
from fastpyro.server._leader import Leadership
from fastpyro.server.big_replies import BigReplies, size_of
from fastpyro.server.complaints import complain
from fastpyro.server.connection_server import ConnectionServer
from fastpyro.server.exposure import members_of
from fastpyro.server.places import Place, Places, Waiting, place_of
from fastpyro.server.turns import TURN
from fastpyro.server.unsent import AMONG_THREADS

if TYPE_CHECKING:
    from fastpyro.protocol._message import Message
    from fastpyro.server.connection import Connection
    from fastpyro.server.service import Service

__all__ = ["ThreadedServer"]

log = logger("fastpyro.servers.threaded")

VACANCY_SECONDS = 0.1
"""How long nobody leads before another thread is called. A destructor may keep the one that was called first."""

STANDBY_SECONDS = 10.0
"""How long a standby thread beyond THREADPOOL_SIZE_MIN waits to be needed."""


class ThreadedServer(ConnectionServer):
    """A leader, standby threads and a monitor; all are daemon threads, started when the first request may come."""

    patience = AMONG_THREADS

    def __init__(self, daemon: Service, listener: socket.socket) -> None:
        super().__init__(daemon, listener)
        self._leadership = Leadership()
        self._vacant = True  # nobody leads
        self._started = False
        self._threads = 0
        self._standby: deque[threading.Event] = deque()
        self._monitor_wake = threading.Event()
        self._stopped = threading.Event()
        self._current = threading.local()
        self.places = Places(max(config.THREADPOOL_SIZE, 1), config.REQUEST_QUEUE_SIZE, config.MAX_QUEUED)
        self.oneway_threaded = config.ONEWAY_THREADED
        self.big_replies = self.requests.big_replies = BigReplies(self)

    def loop(self, condition: Callable[[], bool]) -> None:
        """Let the server's threads serve until ``condition()`` is false or ``shutdown`` is called."""
        if self.forked:
            self.begin()
        if not condition():
            return
        self.start()
        while not self._stopped.wait(self.longest_wait):
            if not condition():
                return
        self.await_draining()

    def events(self, ready: Iterable[Any]) -> None:
        """Called by a foreign loop when the listener is readable; the server's own threads do the rest."""
        self.start()
        self.wakeup()

    def start(self) -> None:
        """Start the leader and the monitor, once."""
        with self._lock.guard():
            if self._started or self.stopping:
                return
            self.begin()
            self._started = True
        threading.Thread(target=self._watch, name="fastpyro-monitor", daemon=True).start()
        self._elect()

    def shutdown(self) -> None:
        """Stop serving and close all connections; the call that asks for it, if one does, still gets its reply."""
        with self._lock.guard():
            if self.stopping:
                return
            self.stopping = True
            own = self.asking_client()
            if own is not None:
                self._draining.add(own)
            standby, self._standby = self._standby, deque()
            for waiting in self.places.clear():
                waiting.place.connection.calls_running -= 1
        if self.big_replies is not None:
            self.big_replies.stop()
        self.requests.stop()
        self.poller.remove(self.listener_fd)
        self.listener.close()
        for connection in list(self.connections.values()):
            if connection is not own:
                connection.close()  # a thread that serves it notices; the others are dropped here
                if not connection.calls_running:
                    self.drop(connection)
        for event in standby:
            event.set()
        self.wakeup()
        self._monitor_wake.set()
        self._stopped.set()

    # ---- who leads

    def _elect(self, again: bool = False) -> None:
        """Begin a new leadership: wake a standby thread, or start one. ``again``: whoever was on the way has not come."""
        with self._lock.guard():
            if self.stopping or (again and not self._vacant):
                return
            self._vacant = True
            if self._standby:
                self._standby.pop().set()
                return
            if self._threads > self.places.busy + (self.places.size if again else 0):
                return  # one of them is not slow any more, and on its way to look whether it is needed
            self._threads += 1
            number = self._threads
        try:
            threading.Thread(target=self._live, name=f"fastpyro-worker-{number}", daemon=True).start()
        except RuntimeError:
            log.exception("no thread can be started; the first one that gets free takes over")
            with self._lock.guard():
                self._threads -= 1

    def _take_lead(self) -> Leadership | None:
        with self._lock.guard():
            if not self._vacant or self.stopping:
                return None
            self._vacant = False
            self._leadership = Leadership()
            return self._leadership

    def _live(self) -> None:
        set_leading(True)  # but for its requests: others wait for whoever is on the way to lead, too
        while True:
            try:
                self._work()
                return
            except SystemExit as error:
                if self.forked:  # in a method, which may end its own process
                    forks.end_child(error)
                return
            except BaseException:
                if self.forked or self.stopping:
                    raise
                log.exception("a worker failed; it goes on")

    def _work(self) -> None:
        """The life of a worker thread: lead when nobody leads, serve what is queued, else stand by."""
        while not self.stopping:
            leadership = self._take_lead()
            if leadership is not None:
                self._current.leadership = leadership
                try:
                    self._lead(leadership)
                except BaseException:
                    if self.forked:
                        raise
                    if not self.stopping:
                        log.exception("a leader failed; another one takes over")
                        with self._lock.guard():
                            self._vacant = self._vacant or self._leadership is leadership
                finally:
                    set_leading(True)  # the end of a request does not say so when its leader handed over
                    self._current.leadership = None
                    if leadership.handed_over:
                        self._give_place_of(leadership)
                continue
            if not self._serve_queued() and not self._stand_by():
                return
        with self._lock.guard():
            self._threads -= 1

    def _stand_by(self) -> bool:
        """Wait to be needed. False when this thread is one too many and shall end."""
        event = threading.Event()
        with self._lock.guard():
            if self._vacant or self.stopping or self.places.has_next:
                return True
            self._standby.append(event)
        if event.wait(STANDBY_SECONDS):
            return True
        with self._lock.guard():
            if event.is_set() or event not in self._standby:
                return True
            self._standby.remove(event)
            if self._threads <= config.THREADPOOL_SIZE_MIN:
                return True
            self._threads -= 1
            return False

    def _watch(self) -> None:
        """The life of the monitor. It goes on whatever happens: without it, a slow method would stop everybody."""
        set_leading(True)
        while not self.stopping:
            try:
                self._watch_leader()
            except BaseException:
                if self._stopped.is_set():
                    return
                log.exception("the monitor failed; it goes on")
                self._stopped.wait(VACANCY_SECONDS)
                if self._leadership.handed_over:
                    self._elect()

    def _watch_leader(self) -> None:
        serial = self.requests.watch()
        if serial:
            self._hand_over(self._leadership, serial)
            return
        self._monitor_wake.clear()
        if self.requests.park() and not self.stopping:
            while not self._monitor_wake.wait(VACANCY_SECONDS if self._vacant else None):
                self._elect(again=True)

    def wake_monitor(self) -> None:
        self._monitor_wake.set()

    def step_down(self, leadership: Leadership) -> None:
        """Hand over the lead before a request whose method is known to be slow."""
        leading = set_leading(True)  # until somebody else leads
        try:
            self._hand_over(leadership, 0)
        finally:
            set_leading(leading)

    def _hand_over(self, leadership: Leadership, serial: int) -> None:
        """Take the lead from a leader that serves the request of that serial number, or any request (0)."""
        with self._lock.guard():
            if self.stopping or leadership is not self._leadership:
                return
            connection: Any = self.requests.hand_over(leadership, serial, self.oneway_threaded)
            if connection is None:
                return
            # The former leader may be done by now; it waits for this lock where it needs what follows.
            leadership.place = place_of(connection, leadership.urgent)
            self.places.take(leadership.place)
            self._note_places()
            there: Any = self.connections.get(connection.fd)
            if there is not connection:
                pass  # dropped since, and somebody else may have its descriptor
            elif connection.read_holds:
                self.unwatch(connection)  # before the former leader can give it back
            elif connection.channel.has_buffered:
                self.turns.add(connection)
        self._elect()

    def _give_place(self, place: Place) -> None:
        with self._lock.guard():
            self.places.give(place)
            self._note_places()

    def _give_place_of(self, leadership: Leadership) -> None:
        with self._lock.guard():  # first: whoever took the lead from this thread notes its place under the lock
            if leadership.place is not None:
                self.places.give(leadership.place)
            self._note_places()

    def _note_places(self) -> None:
        assert self._lock.owned
        self.requests.full = self.places.full
        self.requests.jammed = self.places.jammed

    # ---- what a leader does

    def _lead(self, leadership: Leadership) -> None:
        wait, listener_fd, wake_fd, connections = self.poller.wait, self.listener_fd, self.wake_fd, self.connections
        serve_ready, turns, timeout = self.requests.serve_ready, self.turns.waiting, self.timeout
        last: Any = None
        while not self.stopping and not leadership.handed_over:  # it may be, by a hook that `look_at_deadlines` called
            if turns:
                waiting = self.turns.next()
                if waiting is not None and not waiting.read_holds and self._serve(leadership, waiting):
                    return
            ready = wait(0.0 if turns else self.longest_wait, last)
            spinner = self.spinner if len(ready) == 1 and not turns else None  # nobody else waits for an answer
            if len(ready) > 1:
                ready = self.in_turn(ready)
            newest, index = None, 0
            while True:
                index, served, message, error = serve_ready(ready, index, connections, leadership, timeout, spinner)
                if index == len(ready):
                    break
                fd = ready[index]
                index += 1
                if served is not None:
                    if self._serve_on(leadership, served, self.requested(served, message, error)):
                        return
                    if served.took > TURN:
                        break  # what the others wait for is looked at anew
                elif fd in connections:
                    if not connections[fd].waits_turn and self._serve(leadership, connections[fd]):
                        return
                elif fd == listener_fd:
                    newest = self.accept_some()
                elif fd == wake_fd:
                    self.drain_wakeups()
                if leadership.handed_over:  # in a hook that was told of a disconnected client
                    return
            speaker = newest or (connections.get(ready[-1]) if ready else None)  # who is likely to speak next
            last = None if speaker is None or speaker.read_holds else speaker.link
            self.look_at_deadlines()

    def _serve(self, leadership: Leadership, connection: Connection) -> bool:
        """Serve what has arrived on one connection. True when this thread has handed over meanwhile."""
        return self._serve_on(leadership, connection, self.next_request(connection, leadership))

    def _serve_on(self, leadership: Leadership, connection: Connection, message: Message | None) -> bool:
        """Go on serving a connection with a message off the fast path, if there is one. As `_serve`."""
        until = time.monotonic() + TURN
        connection.begin_turn()
        try:
            while message is not None and not leadership.handed_over:
                self._run(leadership, connection, message)
                if (
                    leadership.handed_over
                    or not connection.channel.has_buffered
                    or connection.read_holds
                    or connection.channel.closed
                ):
                    break
                if time.monotonic() > until:
                    self.next_turn(connection)
                    break
                message = self.next_request(connection, leadership)
        finally:
            if self.stopping:
                self.close_if_drained(connection)
        if leadership.handed_over:
            if leadership.alone:
                self.give_back(connection)
            return True
        connection.end_turn(alone=False)
        return False

    def _run(self, leadership: Leadership, connection: Connection, message: Message) -> None:
        self.requests.begin_request(leadership, connection, message.flags)
        try:
            is_call = message.kind == MSG_INVOKE
            self.answer(
                connection, message, partial(self._may_run, leadership, connection, message) if is_call else None
            )
        finally:
            self.requests.end_request(leadership)

    def tell_disconnect(self, connection: Connection) -> None:
        """Call the daemon's hook as if it were a request, so that a slow hook costs the leader its lead and no more."""
        leadership = getattr(self._current, "leadership", None)
        if leadership is None or leadership.connection is not None or leadership.handed_over:
            super().tell_disconnect(connection)
            return
        self.requests.begin_request(leadership, connection, 0)
        try:
            super().tell_disconnect(connection)
        finally:
            self.requests.end_request(leadership)

    # ---- the queue, for when as many requests are slow as may be

    def _may_run(
        self, leadership: Leadership, connection: Connection, message: Message, object_id: Any, names: list[Any]
    ) -> bool:
        """Whether a call off the fast path may run now. If not, it is in the queue then, or refused."""
        daemon, requests, places = self.daemon, self.requests, self.places
        found = daemon.registered_as(object_id) if type(object_id) is str else None
        if found is None:
            return True  # what it gets is an error, and quickly
        kind = found if isinstance(found, type) else type(found)
        table = members_of(kind, daemon.require_expose)
        used = {name for name in names if type(name) is str and (name in table.methods or name in table.attrs)}
        if not used:
            return True
        called = used.copy().pop() if len(names) == 1 else BATCH_METHOD
        slow = any(requests.is_slow(kind, name) for name in (called, *used))
        if found is kind and requests.is_slow(kind, "") and not daemon.instances.has(kind, connection):
            slow = True
        urgent = used <= table.urgent
        prompt = len(names) == 1 and used <= table.coroutines
        if places.full and not prompt:
            place, holds = place_of(connection, urgent), self._holds(connection, message, found)
            waiting = Waiting(place, message, size_of(message), slow, holds, False)
            if not self._start_or_wait(leadership, waiting):
                return False
        if not leadership.handed_over:
            requests.note(leadership, kind, called, slow, urgent)
            if slow:
                self.step_down(leadership)
                requests.note(leadership, kind, called, slow, urgent)  # from now on its time counts
        return True

    def _holds(self, connection: Connection, message: Message, found: Any) -> bool:
        """Whether a connection is held while a call of it waits, because its calls are served one by one."""
        ordered = connection.serial_calls
        if isinstance(found, type):
            ordered = ordered or getattr(found, "_pyroInstancing", ("session", None))[0] == "session"
        if message.flags & FLAGS_ONEWAY:
            return not self.oneway_threaded or (ordered and not connection.oneway_apart)
        return ordered or connection.link is None

    def _start_or_wait(self, leadership: Leadership, waiting: Waiting) -> bool:
        """True when a call may begin now; else let it wait, and refuse who has too many there."""
        connection = waiting.place.connection
        with self._lock.guard():
            if self.stopping or self._may_start(leadership, waiting):
                return True
            waiting, refused = self.places.enqueue(waiting)
            if not any(one is waiting for one in refused):
                connection.calls_running += 1  # it is not silent, though it waits for longer than COMMTIMEOUT
                if waiting.holds or waiting.pauses:
                    connection.read_holds += 1  # its further requests wait where they are, in order
                    self.unwatch(connection)
        for one in refused:
            self._refuse_call(one)
            if one is not waiting:  # it has waited
                one.place.connection.end_call()
                if one.holds or one.pauses:
                    self.give_back(one.place.connection)
        return False

    def _may_start(self, leadership: Leadership, waiting: Waiting) -> bool:
        assert self._lock.owned
        own = (
            leadership.place
        )  # of a leader that handed over while it looked at the call: given back if the call has to wait
        if own is not None:
            self.places.give(own)
        try:
            return self.places.may_start(waiting.place, waiting.slow)
        finally:
            if own is not None:
                self.places.take(own)

    def _refuse_call(self, waiting: Waiting) -> None:
        connection, message, places = waiting.place.connection, waiting.message, self.places
        refusal = ServerOverloadedError(
            f"the server is busy: {places.size} calls are running (THREADPOOL_SIZE), and {places.most_waiting} are waiting "
            f"(REQUEST_QUEUE_SIZE) or would hold more than {places.most_bytes:,} bytes (MAX_QUEUED); try again later"
        )
        complain(log, connection, refusal)
        if not message.flags & FLAGS_ONEWAY:
            self.send_reply(connection, message, replies.error_reply(self.daemon, connection, message, refusal))

    def _serve_queued(self) -> bool:
        """Serve one request of the queue. False when there is none, or as many are slow as may be."""
        with self._lock.guard():
            waiting = None if self.stopping else self.places.next()
            self._note_places()
        if waiting is None:
            return False
        connection = waiting.place.connection
        if waiting.pauses:
            self.give_back(connection)
        set_leading(False)
        try:
            self.answer(connection, waiting.message)
        finally:
            set_leading(True)
            connection.end_call()
            self._give_place(waiting.place)
            if self._stopped.is_set():
                self.close_if_drained(connection)
            elif waiting.holds:
                self.give_back(connection)
        return True
