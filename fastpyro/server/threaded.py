"""The server that runs methods in threads, without a thread for each connection.

One thread, the leader, waits for requests, runs the method itself and replies: no hand-over in the fast case. A monitor
looks about every millisecond; when it sees the leader inside the same request twice, the lead is handed over: a standby
thread becomes the leader, and the former leader answers its client when it is done. A call of a method that was slow
before is passed to another thread, and the leader goes on (`slow_calls`).

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
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

from fastpyro._lazy_logging import logger
from fastpyro._mutex import set_leading
from fastpyro.config import config
from fastpyro.constants import MSG_INVOKE
from fastpyro.server import forks
from fastpyro.server._leader import Leadership
from fastpyro.server.big_replies import BigReplies
from fastpyro.server.call_queue import Waiting, place_of
from fastpyro.server.connection_server import ConnectionServer
from fastpyro.server.homes import Homes, is_apart
from fastpyro.server.hooks import call_hook
from fastpyro.server.places import Places
from fastpyro.server.slow_calls import SlowCalls
from fastpyro.server.turns import TURN
from fastpyro.server.unsent import AMONG_THREADS
from fastpyro.server.worker_threads import Worker, WorkerThreads

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
        self.workers = WorkerThreads(self._live)
        self._monitor_wake = threading.Event()
        self._current = threading.local()
        self.places = Places(max(config.THREADPOOL_SIZE, 1), config.REQUEST_QUEUE_SIZE, config.MAX_QUEUED)
        self.slow_calls = SlowCalls(self)
        self.homes: Homes = Homes(self)
        self.big_replies = self.requests.big_replies = BigReplies(self)

    def loop(self, condition: Callable[[], bool]) -> None:
        """Let the server's threads serve until ``condition()`` is false or ``shutdown`` is called."""
        if self.forked:
            self.begin()
        if not condition():
            return
        self.start()
        while not self.draining.ended.wait(self.longest_wait):
            if self.draining.begun:
                self.draining.await_end()
            elif not condition():
                return

    def events(self, ready: Iterable[Any]) -> None:
        """Called by a foreign loop when the listener is readable; the server's own threads do the rest."""
        self.start()
        self.wakeup()

    def start(self) -> None:
        """Start the leader and the monitor, once."""
        with self._lock.guard():
            if self._started or self.draining.begun:
                return
            self.begin()
            self._started = True
        threading.Thread(target=self._watch, name="fastpyro-monitor", daemon=True).start()
        self._elect()

    def begin_to_stop(self) -> None:
        """As any server: the leader does it."""
        with self._lock.guard():
            started = self._started
        if started:
            self.wakeup()
        else:
            self.stop()
            self.draining.await_asking()

    def is_serving_thread(self) -> bool:
        """As any server: the leader while it serves no request, for which another one would take over."""
        leadership = getattr(self._current, "leadership", None)
        return leadership is not None and not leadership.handed_over and leadership.connection is None

    def stop(self) -> None:
        """As any server: calls that wait for a place are forgotten, threads end with what they do."""
        with self._lock.guard():
            self.stopping = True
            self.workers.wake_all()
            self.homes.wake_all()
            for waiting in self.places.clear():
                waiting.place.connection.calls_running -= 1
        super().stop()
        self._monitor_wake.set()
        self.homes.await_leave()

    # ---- who leads

    def _elect(self, again: bool = False) -> None:
        """Begin a new leadership: wake a standby thread, or start one. ``again``: whoever was on the way has not come."""
        with self._lock.guard():
            if self.stopping or (again and not self._vacant):
                return
            self._vacant = True
            self.homes.miss_heir()
            if self.workers.take() is not None:
                return
            if self.workers.count > self.places.busy + (self.places.size if again else 0):
                return  # one of them is not slow any more, and on its way to look whether it is needed
            number = self.workers.next_number()
        self._start_worker(number)

    def _start_worker(self, number: int) -> None:
        try:
            self.workers.start(number)
        except RuntimeError:
            log.exception("no thread can be started; the first one that gets free takes over")
            with self._lock.guard():
                self.workers.count -= 1

    def _take_lead(self, worker: Worker) -> Leadership | None:
        if not self._vacant:  # who misses it here finds it before it stands by
            return None
        with self._lock.guard():
            if not self._vacant or self.stopping or self.homes.heir is not worker.home:
                return None
            self._vacant, self.homes.heir = False, None
            self._leadership = Leadership()
            self._leadership.home = worker.home
            return self._leadership

    def _live(self, worker: Worker) -> None:
        set_leading(True)  # but for its requests: others wait for whoever is on the way to lead, too
        while True:
            try:
                self._work(worker)
                return
            except SystemExit as error:
                if self.forked:  # in a method, which may end its own process
                    forks.end_child(error)
                return
            except BaseException:
                if self.forked or self.stopping:
                    raise
                log.exception("a worker failed; it goes on")

    def _work(self, worker: Worker) -> None:
        """The life of a worker thread: serve the call that it has, lead when nobody leads, else stand by."""
        self.homes.enter(worker)
        while not self.stopping or worker.call is not None or (worker.home is not None and not self.forked):
            leadership = self._take_lead(worker) if worker.call is None else None
            if leadership is not None:
                self._current.leadership = leadership
                try:
                    if leadership.home is None or not self._serve_own(leadership):
                        self._lead(leadership)
                    if self.draining.begun and self._leads(leadership) and not self.forked:
                        self._finish(leadership)
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
            if worker.home is not None and worker.call is None:
                self.homes.do_jobs(worker)
                self.homes.rest(worker)
            elif not self._serve_calls(worker) and not self._stand_by(worker):
                return
        with self._lock.guard():
            self.workers.count -= 1

    def _stand_by(self, worker: Worker) -> bool:
        """Wait to be needed. False when this thread is one too many and shall end."""
        with self._lock.guard():
            if (self._vacant and self.homes.heir is None) or self.stopping or self.places.has_next:
                return True
            self.workers.standing_by.append(worker)
        if worker.wait(STANDBY_SECONDS):
            return True
        with self._lock.guard():
            if worker not in self.workers.standing_by:
                return worker.wait(STANDBY_SECONDS)  # it has been woken meanwhile
            self.workers.standing_by.remove(worker)
            if self.workers.count <= config.THREADPOOL_SIZE_MIN:
                return True
            self.workers.count -= 1
            return False

    def _watch(self) -> None:
        """The life of the monitor. It goes on whatever happens: without it, a slow method would stop everybody."""
        set_leading(True)
        while not self.stopping:
            try:
                self._watch_leader()
            except BaseException:
                if self.draining.ended.is_set():
                    return
                log.exception("the monitor failed; it goes on")
                self.draining.ended.wait(VACANCY_SECONDS)
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
        if not self._monitor_wake.is_set():
            self._monitor_wake.set()

    def _hand_over(self, leadership: Leadership, serial: int) -> None:
        """Take the lead from a leader that serves the request of that serial number, or any request (0)."""
        with self._lock.guard():
            if self.stopping or leadership is not self._leadership:
                return
            connection: Any = self.requests.hand_over(leadership, serial, config.ONEWAY_THREADED)
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

    def _finish(self, leadership: Leadership) -> None:
        """Serve what is under way, then stop. A home serves what is its own and leaves the rest to others."""
        while self._leads(leadership) and not self.stopping:
            waits = leadership.home is None  # it ceases to be a home when its own connection is done with
            self.draining.serve(leadership, partial(self._serve, leadership), waits)
            other, leadership.other = leadership.other, None
            if other is not None and self.homes.pass_lead(leadership, other):
                return
            if leadership.home is not None and self.homes.pass_lead(leadership, None):
                return
            if waits and other is None:
                break
        if self._leads(leadership):
            self.stop()
            self.draining.await_asking()

    def _leads(self, leadership: Leadership) -> bool:
        """Whether a leadership goes on: nobody has taken it over, nor was it given away."""
        return self._leadership is leadership and not self._vacant and not leadership.handed_over

    def _lead(self, leadership: Leadership) -> None:
        wait, listener_fd, wake_fd, connections = self.poller.wait, self.listener_fd, self.wake_fd, self.connections
        serve_ready, turns, timeout = self.requests.serve_ready, self.turns.waiting, self.timeout
        draining, last = self.draining, None
        while not draining.begun and not leadership.handed_over:  # it may be, by a hook that `look_at_deadlines` called
            if turns and self._serve_turn(leadership):
                return
            ready = wait(0.0 if turns else self.longest_wait, last)
            spinner = self.spinner if len(ready) == 1 and not turns else None  # nobody else waits for an answer
            if len(ready) > 1:
                ready = self.in_turn(ready, leadership)
            newest, index, strangers = None, 0, False
            while True:
                index, served, message, error = serve_ready(ready, index, connections, leadership, timeout, spinner)
                if index == len(ready):
                    break
                fd, index = ready[index], index + 1
                if served is not None:
                    if self._serve_on(leadership, served, self.requested(served, message, error)):
                        return
                    if served.took > TURN:
                        break  # what the others wait for is looked at anew
                elif fd in connections:
                    if not connections[fd].waits_turn and self._serve(leadership, connections[fd]):
                        return
                elif fd == listener_fd and leadership.home is not None:
                    strangers = True
                elif fd == listener_fd:
                    newest = self.accept_some()
                elif fd == wake_fd:
                    self._wakeups.drain()
                if leadership.handed_over:  # in a hook that was told of a disconnected client
                    return
            speaker = newest or (connections.get(ready[-1]) if ready else None)  # who is likely to speak next
            last = None if speaker is None or speaker.read_holds else speaker.link
            if leadership.home is None:
                self.look_at_deadlines()
            if (leadership.home or leadership.other) is not None and self._give_to_others(leadership, strangers):
                return

    def _serve_own(self, leadership: Leadership) -> bool:
        """Serve, in a home that has been given the lead, its connection before all others. As `_serve`."""
        own: Connection = leadership.home.connection
        if self.draining.begun or own.read_holds or own.waits_turn or self.connections.get(own.fd) is not own:
            return False
        return self._serve(leadership, own)

    def _give_to_others(self, leadership: Leadership, strangers: bool) -> bool:
        """Give the lead to who may serve what this thread may not, if there is anything: jobs and deadlines count, too."""
        home, other, leadership.other = leadership.home, leadership.other, None
        if home is not None and (strangers or home.jobs or time.monotonic() > self._next_look):
            return self.homes.pass_lead(leadership, None)
        return other is not None and self.homes.pass_lead(leadership, other)

    def _serve_turn(self, leadership: Leadership) -> bool:
        """Serve whoever has waited longest for a turn, if this thread may; else note who it is. As `_serve`."""
        first = self.turns.waiting[0]
        is_there = self.connections.get(first.fd) is first
        if is_there and not first.read_holds and first.home is not leadership.home:
            leadership.other = first
            return False
        waiting = self.turns.next()
        return is_there and waiting is not None and not waiting.read_holds and self._serve(leadership, waiting)

    def _serve(self, leadership: Leadership, connection: Connection) -> bool:
        """Serve what has arrived on one connection. True when this thread has handed over meanwhile."""
        return self._serve_on(leadership, connection, self.next_request(connection, leadership))

    def _serve_on(self, leadership: Leadership, connection: Connection, message: Message | None) -> bool:
        """Go on serving a connection with a message off the fast path, if there is one. As `_serve`."""
        until = time.monotonic() + TURN
        connection.begin_turn()
        try:
            while message is not None:
                if leadership.handed_over:  # while this looked at the request, which the one who leads does not know of
                    if connection.home is not None or not self.slow_calls.pass_late(connection, message):
                        self._run_late(connection, message)
                    break
                apart = connection.home is not None and is_apart(connection, message.flags)
                if apart and self.slow_calls.pass_late(connection, message):
                    break
                self._run(leadership, connection, message)
                if (
                    leadership.handed_over
                    or not connection.channel.has_buffered
                    or connection.read_holds
                    or connection.waits_turn
                    or connection.channel.closed
                ):
                    break
                if time.monotonic() > until:
                    self.next_turn(connection)
                    break
                message = self.next_request(connection, leadership)
        finally:
            if leadership.handed_over or self.draining.begun:
                self.request_done(connection, leadership.handed_over and leadership.alone)
        if leadership.handed_over:
            return True
        connection.end_turn(alone=False)
        return False

    def _run(self, leadership: Leadership, connection: Connection, message: Message) -> None:
        self.requests.begin_request(leadership, connection, message.flags)
        try:
            is_call = message.kind == MSG_INVOKE
            self.answer(connection, message, partial(self.slow_calls.may_run, leadership) if is_call else None)
        finally:
            self.requests.end_request(leadership)

    def _run_late(self, connection: Connection, message: Message) -> None:
        leading = set_leading(False)
        connection.begin_call()
        try:
            self.answer(connection, message)
        finally:
            connection.end_call()
            set_leading(leading)

    def pass_on(self, connection: Connection, message: Message, object_id: str, name: str) -> bool:
        """Have another thread serve a call on the fast path that is known to be slow; False where there is none."""
        return self.slow_calls.pass_on(connection, message, object_id, name)

    def tell_disconnect(self, connection: Connection) -> None:
        """Call the daemon's hook as if it were a request, so that a slow hook costs the leader its lead and no more."""
        leadership = getattr(self._current, "leadership", None)
        if leadership is None or leadership.connection is not None or leadership.handed_over:
            call_hook(self.daemon.clientDisconnect, connection)
            return
        self.requests.begin_request(leadership, connection, 0)
        try:
            call_hook(self.daemon.clientDisconnect, connection)
        finally:
            self.requests.end_request(leadership)

    # ---- what a worker does

    def _serve_calls(self, worker: Worker) -> bool:
        """Serve the call that a worker was given, or the next one of the queue, and those after it. False without one."""
        if worker.call is None and not self._next_call(worker, None):
            return False
        while worker.call is not None:
            call, worker.call = worker.call, None
            self._serve_call(worker, call)
        return True

    def _next_call(self, worker: Worker, done: Waiting | None) -> bool:
        """Take the next call out of the queue, unless there is none, somebody has to lead, or as many are slow as may be."""
        with self._lock.guard():
            if done is not None:
                self.places.give(done.place)
            if not ((self._vacant and self.homes.heir is None) or self.stopping or worker.home is not None):
                worker.call = self.places.next()
            self._note_places()
        return worker.call is not None

    def see_to_queue(self) -> None:
        """Call a worker for the next call of the queue, if it may begin: a home that is done with one takes no other."""
        if not self.places.waiting:
            return
        with self._lock.guard():
            if self.stopping or not self.places.has_next or self.workers.take() is not None:
                return
            number = self.workers.next_number()
        self._start_worker(number)

    def _serve_call(self, worker: Worker, call: Waiting) -> None:
        connection = call.place.connection
        home = connection.home
        elsewhere = home is not None and home is not worker.home and not is_apart(connection, call.message.flags)
        if elsewhere and home.submit(partial(self._serve_call, home.worker, call)):
            self._next_call(worker, None)
            return
        if call.pauses:
            self.give_back(connection)
        began = time.monotonic()
        set_leading(False)
        try:
            if not self.stopping:
                self.answer(connection, call.message, None, call.request)
        finally:
            set_leading(True)
            if call.slow and call.called is not None:
                self.requests.note_time(call.called, time.monotonic() - began)
            connection.end_call()
            self._next_call(worker, call)
            self.request_done(connection, call.holds)
