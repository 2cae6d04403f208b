"""The server that runs every method in one thread: the one that calls `loop`, or a foreign loop that calls `events`.

A slow method makes all other clients wait; in exchange methods never run concurrently. A batch lets others have their turn
between two of its calls. The oneway calls of Pyro's own clients are an exception: their programs count on threads for
them (`ONEWAY_THREADED`).
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from fastpyro._lazy_logging import logger
from fastpyro._mutex import ServingThread, set_leading
from fastpyro.config import config
from fastpyro.constants import FLAGS_BATCH, FLAGS_ONEWAY, MSG_INVOKE
from fastpyro.server._leader import Leadership
from fastpyro.server.big_replies import size_of
from fastpyro.server.connection_server import ConnectionServer
from fastpyro.server.interrupted_batches import InterruptedBatches
from fastpyro.server.oneway_calls import OnewayCalls
from fastpyro.server.turns import TURN
from fastpyro.transport._link import Link, Spinner
from fastpyro.transport.serving_threads import begin_to_serve, end_serving

if TYPE_CHECKING:
    from fastpyro.protocol._message import Message
    from fastpyro.server.connection import Connection
    from fastpyro.server.replies import UnfinishedBatch
    from fastpyro.server.service import Service

__all__ = ["MultiplexServer"]

log = logger("fastpyro.servers")

PAUSE = 0.05
"""Seconds after a failure that is nobody's in particular, such as a lack of memory."""


class MultiplexServer(ConnectionServer):
    """One loop in one thread; may serve other daemons' servers as well (`combine`)."""

    interrupted_batches: InterruptedBatches

    def __init__(self, daemon: Service, listener: socket.socket) -> None:
        super().__init__(daemon, listener)
        self.combined: list[Any] = []
        self._serving: Connection | None = None
        self._last: Connection | None = None
        self._leadership = Leadership()
        self._thread = ServingThread()
        self.oneway_calls = OnewayCalls()
        self.interrupted_batches = InterruptedBatches(self, self._others_wait)
        self._turn_of_batch = False  # it was one's
        self._finishes = False  # the server stops, and a thread sees to what is under way
        self._broken_off = False  # the loop, by an interrupt: what has begun is not performed to its end
        self._among_others = False  # this thread serves others, too, of whom this server knows nothing

    @property
    def sockets(self) -> list[socket.socket]:
        """Listener and connections of this server and of those combined with it."""
        if self.stopping:
            return []
        served = [connection.sock for connection in list(self.connections.values()) if not connection.read_holds]
        own = [self.listener, self._wakeups.receiver, *served]
        own = [sock for sock in own if sock.fileno() >= 0]
        return own + [sock for other in self.others() for sock in other.sockets]

    def loop(self, condition: Callable[[], bool]) -> None:
        """Serve in this thread until ``condition()`` is false or ``shutdown`` is called."""
        self.begin()
        for other in self._combined_servers():
            other.begin()
        self._broken_off = True
        try:
            while not self.draining.begun and condition():  # which may call other daemons
                if self.combined:
                    self._turn_of_all()
                else:
                    self.turn(self.longest_wait)
            for server in (*self._combined_servers(), self):
                server.finish_batches()
            self._broken_off = False
        finally:
            self._serve_no_more(waits=not self._broken_off)

    def begin(self) -> None:
        """As any server, and remember whose thread this is from now on."""
        super().begin()
        begin_to_serve(self.listener, self._thread)

    def turn(self, wait: float) -> None:
        """Wait for requests and serve them, once. Whatever fails costs the connection that it is about, or a moment."""
        leading = self._lead()
        try:
            last = self._last.channel if self._last is not None and not self.turns.waiting else None
            ready = self.poller.wait(wait, last if isinstance(last, Link) else None)
            self.serve_ready(ready, self.spinner if len(ready) == 1 and wait else None)
            self.look_at_deadlines()
        except Exception:
            if not self.stopping:
                log.exception("a turn of the request loop failed; it goes on")
                time.sleep(PAUSE)
        finally:
            set_leading(leading)

    def _lead(self) -> bool:
        """Note that this is the thread that clients wait for; `set_leading` must follow with what this returns."""
        self._thread.ident = threading.get_ident()
        return set_leading(True)

    def _turn_of_all(self) -> None:
        """As `turn`, for this server and those that are combined with it, each with its own poller and limits."""
        for server in self._combined_servers():
            if server.draining.begun:
                server._finish(waits=False)
        try:
            ready = self._wait_for_all()
        except Exception:
            log.exception("waiting for combined daemons failed; the request loop goes on")
            time.sleep(PAUSE)
            ready = []
        for server in (self, *self.others()):
            if isinstance(server, MultiplexServer):
                server.turn(0.0)
                continue
            try:
                server.serve_ready(ready)
            except Exception:
                log.exception("%r failed; the request loop goes on", server)

    def _wait_for_all(self) -> list[int]:
        import selectors

        with selectors.DefaultSelector() as selector:
            for server in (self, *self.others()):
                for pollable in server.pollables() if isinstance(server, MultiplexServer) else server.sockets:
                    with contextlib.suppress(OSError, ValueError):  # it is closed this very moment
                        selector.register(pollable, selectors.EVENT_READ)
            return [key.fd for key, _ in selector.select(self.longest_wait)]

    def _serve_no_more(self, waits: bool) -> None:
        """The thread that has served this server, and those combined with it, does something else from now on."""
        for server in (*self._combined_servers(), self):
            server._thread.ident = 0  # first: who asks it to stop from now on sees that nobody serves
            if server.draining.begun:
                server._finish(waits and server is self)

    def _combined_servers(self) -> list[MultiplexServer]:
        return [other for other in self.combined if isinstance(other, MultiplexServer)]

    def pollables(self) -> list[Any]:
        """What is readable when this server has something to do: its poller, or its sockets where that cannot be asked."""
        fd = self.poller.fileno()
        return [fd] if fd >= 0 else self.sockets

    def others(self) -> list[Any]:
        """The servers that are combined with this one, without those that have been closed."""
        self.combined = [other for other in self.combined if not _is_closed(other)]
        return self.combined

    def next_turn(self, connection: Connection) -> None:
        """As any server, and come back to it also where a foreign loop waits."""
        super().next_turn(connection)
        self.wakeup()

    def give_back(self, connection: Connection) -> None:
        """As any server, and have a foreign loop watch the connection again."""
        super().give_back(connection)
        self.wakeup()

    def events(self, ready: Iterable[Any]) -> None:
        """Serve what a foreign loop found readable: sockets or descriptors."""
        self.begin()
        self._among_others = True
        descriptors = [item if isinstance(item, int) else item.fileno() for item in ready]
        leading = self._lead()
        try:
            self.serve_ready(descriptors)
            self.look_at_deadlines()
            for other in self.others():
                other.serve_ready(descriptors)
                if isinstance(other, MultiplexServer):
                    other.look_at_deadlines()
        finally:
            set_leading(leading)
            self._serve_no_more(waits=False)

    def combine(self, other: Any) -> None:
        """Serve another multiplexed daemon, or a broadcast responder, in this loop, until that one is closed."""
        if other is self or other in self.combined:
            return
        self._among_others = True
        if isinstance(other, MultiplexServer):
            other._among_others = True
            if self.serving:
                other.begin()
        self.combined.append(other)
        self.wakeup()

    def serve_ready(self, descriptors: Iterable[int], spinner: Spinner | None = None) -> None:
        """Serve those of the descriptors that are this server's, and whose turn it is."""
        ready = list(descriptors)
        if len(ready) > 1:
            ready = self.in_turn(ready)
        for fd in ready:
            if self.draining.begun:
                return  # `draining` has the rest served
            connection = self.connections.get(fd)
            if connection is not None:
                if not (connection.read_holds or connection.waits_turn) and self._serve(connection, spinner):
                    return  # what the others wait for is looked at anew
            elif fd == self.listener_fd:
                self._last = self.accept_some()
            elif fd == self.wake_fd:
                self._wakeups.drain()
                self._serve_next()

    def _serve_next(self) -> None:
        """Give one of those a turn who wait for theirs: a connection and a batch by turns, where both wait."""
        self._turn_of_batch = bool(self.interrupted_batches) and not (self._turn_of_batch and self.turns.waiting)
        if self._turn_of_batch:
            self._go_on_with_batch()
        else:
            connection = self.turns.next()
            is_there = connection is not None and self.connections.get(connection.fd) is connection
            if connection is not None and is_there and not connection.read_holds:
                self._serve(connection, None)
        if self.turns.waiting or self.interrupted_batches:
            self.wakeup()  # for the others, once the poller has named who else has something to say

    def _go_on_with_batch(self) -> bool:
        """Let the batch go on whose turn it is. False when there is none."""
        one = self.interrupted_batches.next()
        if one is None:
            return False
        self._serving = one.connection
        one.connection.begin_turn()
        try:
            self._answer(one.connection, one.message, one.rest)
        finally:
            self._serving = None
            one.connection.end_turn(alone=True)
            self.interrupted_batches.done(one.connection)
        return True

    def finish_batches(self) -> None:
        """Perform those batches to their end that have begun. By the thread that serves, when it does so no more."""
        self.interrupted_batches.finishing = True
        try:
            while self._go_on_with_batch():
                pass
        finally:
            self.interrupted_batches.finishing = False

    def _others_wait(self) -> bool:
        """Return whether somebody has something to say whose call is not running."""
        if self._among_others or self.turns.waiting or self.interrupted_batches:
            return True
        own = self._serving.fd if self._serving is not None else -1
        try:
            return any(fd != own for fd in self.poller.wait(0.0))
        except (OSError, ValueError):  # another thread has closed it
            return False

    def _serve(self, connection: Connection, spinner: Spinner | None) -> bool:
        """Serve what has arrived on one connection. Returns whether that took long."""
        if spinner is None:
            connection.begin_turn()
        self._serving = connection
        try:
            self._serve_on(connection, self.next_request(connection, self._leadership, spinner))
        finally:
            self._serving = None
            self._last = None if connection.channel.closed or connection.read_holds else connection
            self.request_done(connection, held=False)
        return spinner is None and connection.end_turn(alone=True)

    def _serve_on(self, connection: Connection, message: Message | None) -> None:
        until = connection.last_used + TURN
        while message is not None:
            if connection.oneway_apart and config.ONEWAY_THREADED and _is_oneway_call(message):
                self._answer_apart(connection, message)
            elif message.flags & FLAGS_BATCH and self.interrupted_batches.keeps_waiting(message):
                self.interrupted_batches.add(connection, message, None)
            else:
                self._answer(connection, message)
            more = connection.channel.has_buffered and not connection.channel.closed
            more = more and not connection.read_holds and not self.stopping
            if more and time.monotonic() > until:
                self.next_turn(connection)
                break
            message = self.next_request(connection, self._leadership) if more else None

    def _answer(self, connection: Connection, message: Message, rest: UnfinishedBatch | None = None) -> None:
        connection.begin_call()
        leading = set_leading(False)
        try:
            self.answer(connection, message, None, rest)
        finally:
            set_leading(leading)
            connection.end_call()

    def _answer_apart(self, connection: Connection, message: Message) -> None:
        connection.begin_call()

        def job() -> None:
            try:
                self.answer(connection, message)
            finally:
                connection.end_call()
                self.request_done(connection, held=False)

        if not self.oneway_calls.run(connection, job, size_of(message)):
            connection.end_call()

    def begin_to_stop(self) -> None:
        """As any server: the thread that serves does it, or this one if none does."""
        if self._thread.ident:
            self.wakeup()
        else:
            self._finish(waits=False, reads=False)

    def _finish(self, waits: bool, reads: bool = True) -> None:
        """Serve what is under way, then stop, once. Arguments: as for `Draining.serve`."""
        with self._lock.guard():
            if self._finishes:
                return
            self._finishes = True
        leading = self._lead()
        try:
            if self._broken_off:
                self.interrupted_batches.clear()
            else:
                self.finish_batches()
                self.draining.serve(self._leadership, lambda one: self._serve(one, None), waits, reads)
        finally:
            set_leading(leading)
            self._thread.ident = 0
            if waits or self._broken_off or not self.draining.is_left_to_others():
                self.stop()
        if waits:
            self.draining.await_asking()
        if self.stopping:
            self.draining.ended.set()

    def is_serving_thread(self) -> bool:
        """As any server: also while it serves a request, since all of them are served there."""
        return self._thread.ident == threading.get_ident()

    def stop(self) -> None:
        """As any server, and forget whose thread it was."""
        if self._serving is not None:
            self.draining.keep(self._serving)
        super().stop()
        end_serving(self._thread)

    def after_fork(self) -> None:
        """As any server, without the batches that the parent performs."""
        super().after_fork()
        self.interrupted_batches.clear()


def _is_closed(server: Any) -> bool:
    if isinstance(server, MultiplexServer):
        return server.stopping
    return any(sock.fileno() < 0 for sock in server.sockets)


def _is_oneway_call(message: Message) -> bool:
    return message.kind == MSG_INVOKE and message.flags & (FLAGS_ONEWAY | FLAGS_BATCH) == FLAGS_ONEWAY
