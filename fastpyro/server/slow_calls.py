"""Calls that the leader does not run itself: those whose methods are known to be slow.

A worker runs them, and the leader goes on: it gives away the call and not the lead, which nobody would have until another
thread is awake. A call waits in the queue while all places are taken (`places`).
Rule 1: the stage of decoding asks, before anything of the call is used; a fast one is asked for by its names alone.
Rule 2: a call that a worker begins at once is not decoded again. One in the queue is: its arguments would hold more than its
        message.
Rule 3: a connection whose call was passed has had its turn: the worker takes of the others' time, too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastpyro._lazy_logging import logger
from fastpyro.config import config
from fastpyro.constants import FLAGS_ONEWAY
from fastpyro.errors import PyroError, ServerOverloadedError
from fastpyro.protocol.peer_batches import BATCH_METHOD
from fastpyro.server import replies
from fastpyro.server.big_replies import size_of
from fastpyro.server.call_queue import Waiting, place_of
from fastpyro.server.complaints import complain
from fastpyro.server.exposure import members_of
from fastpyro.server.homes import is_apart

if TYPE_CHECKING:
    from typing import Any

    from fastpyro.protocol._message import Message
    from fastpyro.server._leader import Leadership
    from fastpyro.server._request import Request
    from fastpyro.server.connection import Connection
    from fastpyro.server.interfaces import PassingServer

__all__ = ["SlowCalls"]

log = logger("fastpyro.servers.threaded")


class SlowCalls:
    """Says of each call off the fast path of one server who runs it, and passes it on."""

    def __init__(self, server: PassingServer) -> None:
        self.server = server
        server.daemon.cancelling.queue = self
        places = server.places
        self._busy = (
            f"the server is busy: {places.size} calls are running (THREADPOOL_SIZE), and {places.most_waiting} are waiting "
            f"(REQUEST_QUEUE_SIZE) or would hold more than {places.most_bytes:,} bytes (MAX_QUEUED); try again later"
        )

    def pass_on(self, connection: Connection, message: Message, object_id: str, name: str) -> bool:
        """Pass a call on the fast path, whose method is known to be slow. False when the leader shall run it."""
        daemon = self.server.daemon
        found = daemon.registered_as(object_id)
        kind = found if isinstance(found, type) else type(found)
        table = members_of(kind, daemon.require_expose)
        if name in table.coroutines:
            self.server.requests.forget_slow(kind, name)  # it returns at once; by accident it may have looked slow
            return False
        if connection.home is not None:
            return False  # this thread, once the request is read as a message (`may_run`)
        place = place_of(connection, name in table.urgent)
        holds = self._holds(connection, message, found)
        return self._pass(Waiting(place, message, size_of(message), True, holds, False, None, (kind, name)))

    def may_run(self, leadership: Leadership, request: Request, names: list[Any]) -> bool:
        """Whether a call may be run by who asks. If not, a worker has it then, or the queue, or it is refused.

        Arguments: ``names``, of the members of the object that it uses.
        """
        daemon, requests, connection = self.server.daemon, self.server.requests, request.connection
        found = daemon.registered_as(request.object_id) if type(request.object_id) is str else None
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
        if len(names) == 1 and used <= table.coroutines:
            slow = False
            requests.forget_slow(kind, called)
        elif slow or self.server.places.jammed:
            holds = self._holds(connection, request.message, found)
            place, size = place_of(connection, urgent), size_of(request.message)
            call = Waiting(place, request.message, size, slow, holds, False, request, (kind, called))
            if connection.home is not None:
                return self._may_run_at_home(leadership, call)
            if self._pass(call):
                return False
        if not leadership.handed_over:
            requests.note(leadership, kind, called, slow, urgent)
        return True

    def _may_run_at_home(self, leadership: Leadership, call: Waiting) -> bool:
        """Whether a call that no other thread may run can begin; then this one gives up the lead if it is slow."""
        assert call.called is not None
        requests, places = self.server.requests, self.server.places
        if not leadership.handed_over and not self.server.stopping:
            with self.server._lock.guard():
                starts = places.may_start(call.place, call.slow)
                refused = [] if starts else self._wait(call)
            if not starts:
                self._refuse_all(refused, call)
                return False
            if call.slow:
                requests.note(leadership, *call.called, True, call.place.urgent)
                self.server._hand_over(leadership, 0)
        requests.note(leadership, *call.called, call.slow, call.place.urgent)  # from now on its time counts
        return True

    def pass_late(self, connection: Connection, message: Message) -> bool:
        """Pass a request that was read by who does not lead any more. False when he shall run it."""
        holds = (connection.serial_calls or connection.link is None) and not is_apart(connection, message.flags)
        return self._pass(Waiting(place_of(connection), message, size_of(message), False, holds, False), late=True)

    def cancel(self, connection: Connection, seq: int = -1) -> int:
        """Drop the call of a connection with that number from the queue, and answer it; or all of one that has gone.

        Returns how many.
        """
        with self.server._lock.guard():
            found = self.server.places.withdraw(connection, seq)
        for call in found:
            if seq >= 0 and not call.message.flags & FLAGS_ONEWAY:
                error = PyroError("the call was cancelled before it began: it has not been performed")
                reply = replies.error_reply(self.server.daemon, connection, call.message, error)
                self.server.send_reply(connection, call.message, reply)
            self._let_go(call)
        return len(found)

    def _holds(self, connection: Connection, message: Message, found: Any) -> bool:
        """Whether a connection is held until a call of it is done, because its calls are served one by one."""
        ordered = connection.serial_calls
        if isinstance(found, type):
            ordered = ordered or getattr(found, "_pyroInstancing", ("session", None))[0] == "session"
        if message.flags & FLAGS_ONEWAY:
            return not config.ONEWAY_THREADED or (ordered and not connection.oneway_apart)
        return ordered or connection.link is None

    def _pass(self, call: Waiting, late: bool = False) -> bool:
        """Give a call to a worker, or let it wait, and refuse who has too many there. False when who asks shall run it."""
        server, places, number = self.server, self.server.places, 0
        refused: list[Waiting] = []
        with server._lock.guard():
            if server.stopping:
                return False
            starts = places.may_start(call.place, call.slow)
            if starts and not (call.slow or late):
                return False
            if starts:
                places.take(call.place)
                server._note_places()
                self._begin(call)
                number = 0 if server.workers.take(call) is not None else server.workers.next_number()
            else:
                refused = self._wait(call)
        if number and not self._start_thread(number, call):
            return False
        self._refuse_all(refused, call)
        if call.place.connection.channel.has_buffered and not call.holds:
            server.next_turn(call.place.connection)  # what a worker takes of the others' time is not in this turn
        return True

    def _refuse_all(self, refused: list[Waiting], newest: Waiting) -> None:
        for one in refused:
            self._refuse(one)
            if one.message is not newest.message:  # it has waited
                self._let_go(one)

    def _wait(self, call: Waiting) -> list[Waiting]:
        """Put a call into the queue. Returns those that are refused because of it, perhaps itself."""
        waiting, refused = self.server.places.enqueue(call._replace(request=None))
        if not any(one is waiting for one in refused):
            self._begin(waiting)
        return refused

    def _begin(self, call: Waiting) -> None:
        """A call is somebody else's from now on. Under the lock."""
        connection = call.place.connection
        connection.calls_running += 1  # it is not silent, though it waits for longer than COMMTIMEOUT
        if call.holds or call.pauses:
            connection.read_holds += 1  # its further requests wait where they are, in order
            self.server.unwatch(connection)

    def _let_go(self, call: Waiting) -> None:
        """A call is done, or never will be."""
        call.place.connection.end_call()
        self.server.request_done(call.place.connection, call.holds or call.pauses)

    def _start_thread(self, number: int, call: Waiting) -> bool:
        try:
            self.server.workers.start(number, call)
            return True
        except RuntimeError:
            log.exception("no thread can be started for a slow call: the one that read it runs it")
        with self.server._lock.guard():
            self.server.workers.count -= 1
            self.server.places.give(call.place)
            self.server._note_places()
        self._let_go(call)
        return False

    def _refuse(self, call: Waiting) -> None:
        connection, message = call.place.connection, call.message
        refusal = ServerOverloadedError(self._busy)
        complain(log, connection, refusal)
        if not message.flags & FLAGS_ONEWAY:
            reply = replies.refusal_reply(self.server.daemon, connection, message, refusal)
            self.server.send_reply(connection, message, reply)
