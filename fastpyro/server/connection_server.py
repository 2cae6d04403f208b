"""The work with connections that all servers share: accept them, serve a request of one, drop them, let them expire.

Which thread does it, and when, is the business of the subclasses. A connection is served by one thread at a time.
"""

from __future__ import annotations

import socket
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastpyro._lazy_logging import logger
from fastpyro._mutex import Mutex
from fastpyro.callcontext import current_context
from fastpyro.config import config
from fastpyro.errors import CommunicationError, MessageTooLargeError, PyroError
from fastpyro.protocol._message import Message, Outgoing
from fastpyro.serializers.registry import PICKLE_IDS, native
from fastpyro.server import dispatch, forks, live_settings, replies
from fastpyro.server._calls import CallServer
from fastpyro.server._crowds import Crowd, place_of
from fastpyro.server._leader import Leadership
from fastpyro.server._order import in_turn
from fastpyro.server.accepting import accept_for, look_at_listener
from fastpyro.server.complaints import Complaints, say_rest
from fastpyro.server.connection import Connection
from fastpyro.server.coroutine_replies import LateReplies
from fastpyro.server.deadlines import drop_overdue
from fastpyro.server.descriptors import most_descriptors
from fastpyro.server.draining import Draining
from fastpyro.server.hooks import call_hook
from fastpyro.server.idle_connections import drop_stranger, keep_within
from fastpyro.server.refusals import say_why
from fastpyro.server.replies import AnyReply, PendingReply, Postponed, Reply, UnfinishedBatch
from fastpyro.server.turns import TURN, Turns
from fastpyro.server.unfinished import UnfinishedMessages
from fastpyro.server.unfinished_handshakes import UnfinishedHandshakes
from fastpyro.server.unsent import ALONE, Patience, UnsentReplies
from fastpyro.server.wakeups import Wakeups
from fastpyro.transport import sockets, tls
from fastpyro.transport._link import Link, Spinner
from fastpyro.transport.channel import open_channel
from fastpyro.transport.handshake import HANDSHAKE_ANNOTATIONS, HANDSHAKE_LIMIT
from fastpyro.transport.poller import make_poller
from fastpyro.transport.trusted_peers import hmac_key_of, lacks_for_pickles

if TYPE_CHECKING:
    from fastpyro.server._request import Request
    from fastpyro.server.big_replies import BigReplies
    from fastpyro.server.dispatch import MayRun
    from fastpyro.server.interrupted_batches import InterruptedBatches
    from fastpyro.server.service import Service

__all__ = ["ConnectionServer"]

log = logger("fastpyro.servers")

MOST_UNADMITTED = 1000
"""Connections that may be in their handshake at once; the oldest one gives way to a new one beyond it."""

MOST_PARTING = 8
"""Connections that are dropped at once when they end, between two waits for others; more of them have turns."""


class ConnectionServer(ABC):
    """A listening socket and its connections; subclasses add the loop.

    Arguments: ``daemon``, asked for hooks and objects; ``listener``, a listening socket, owned from then on.
    """

    patience: Patience = ALONE  # how long a thread that serves stays with a client that takes its reply slowly
    big_replies: BigReplies | None = None  # who has such calls wait; a server of one thread makes one at a time
    homes: Any = None  # `Homes`, whose threads serve sessions, in a server of several
    longest_wait: float
    interrupted_batches: InterruptedBatches | None = None  # who lets others have their turn, in a server of one thread

    def __init__(self, daemon: Service, listener: socket.socket) -> None:
        self.tls = tls.server_contexts()
        hmac_key_of(daemon._pyroHmacKey)  # a class may have one of its own
        self.daemon = daemon
        self.listener = listener
        self.stopping = False
        self.serving = False  # it has begun
        self.forked = False  # this is a child, whose parent serves
        self.connections: dict[int, Connection] = {}
        self._lock = Mutex(reentrant=True, leaf=True)
        self.crowd, self.unadmitted = Crowd(), Crowd()  # all of them; those in their handshake
        self.poller = make_poller()
        self.spinner = self.poller if isinstance(self.poller, Spinner) else None
        self.timeout = config.COMMTIMEOUT
        self.late_replies = LateReplies(self)
        self.unsent = UnsentReplies(self, self.patience)
        self.unfinished, self.handshakes = UnfinishedMessages(self), UnfinishedHandshakes(self)
        self.turns, self.drops = Turns(), Complaints()
        self._parting: dict[Connection, CommunicationError | None] = {}  # who will be dropped in its turn
        self._parted = 0
        self._newest = False
        self.draining = Draining(self)
        self.most_unadmitted = min(MOST_UNADMITTED, most_descriptors() // 2)
        self.requests = CallServer(self, daemon, native.codec)
        live_settings.follow(self)
        self._next_look = 0.0
        self._streams_due = False
        self.accepting = True
        listener.setblocking(False)
        self.listener_fd = listener.fileno()
        self.kind_of_socket = int(listener.family), int(listener.type), listener.proto
        self.inherited = sockets.tunes_accepted(listener)
        self._watch_listener()
        forks.remember(self)

    def _watch_listener(self) -> None:
        self._wakeups = Wakeups()
        self.wake_fd = self._wakeups.fd
        self.poller.add(self.listener_fd)
        self.poller.add(self.wake_fd)

    def after_fork(self) -> None:
        """This is a forked child now: let go of a server that the parent runs; one that has not begun may be used."""
        self._lock = Mutex(reentrant=True, leaf=True)  # somebody may have it
        # A thread that leads still looks at the first one.
        self.draining.begun, self.draining = self.serving, Draining(self)
        self.unsent.after_fork()
        self.unfinished.after_fork()
        self.handshakes = UnfinishedHandshakes(self)
        if self.big_replies is not None:
            self.big_replies.after_fork()
        self.poller.close()
        self._wakeups.close()
        if self.serving:
            self.forked = self.stopping = self.draining.begun = True
            self.requests.stop()
            self.listener.close()
            for connection in list(self.connections.values()):
                connection.channel.abandon()
            self.connections.clear()
            self.unadmitted.clear()
            return
        self.poller = make_poller()
        self.spinner = self.poller if isinstance(self.poller, Spinner) else None
        self._watch_listener()

    @property
    def sock(self) -> socket.socket:
        return self.listener

    @property
    def sockets(self) -> list[socket.socket]:
        """The sockets that a foreign event loop must watch for this server."""
        return [self.listener]

    @abstractmethod
    def loop(self, condition: Callable[[], bool]) -> None:
        """Serve until ``condition()`` is false or ``shutdown`` is called."""

    def begin(self) -> None:
        """Note that requests are served from now on. Raises PyroError in a forked child of who serves them."""
        if self.forked:
            raise PyroError("this process was forked from the one that serves this daemon: make a new daemon here")
        self.serving = True

    def wakeup(self) -> None:
        """Make the thread that waits in the poller look round."""
        self._wakeups.wake()

    def accept_some(self) -> Connection | None:
        """Accept connections that wait, for a turn. Returns the last one of them, which will say something soon."""
        return accept_for(self, TURN)

    def pause_accepting(self, error: OSError) -> None:
        """Take nobody in for a moment, because the system has no room."""
        if self.listener.fileno() < 0:
            return  # `look_at_deadlines` says so
        # Out of descriptors or memory: the listener stays readable, so asking at once again would only burn the CPU.
        log.warning("accepting connections failed, trying again in %g s: %s", live_settings.LONGEST_WAIT, error)
        self.poller.remove(self.listener_fd)
        self.accepting = False

    def admit(self, sock: socket.socket, address: object) -> Connection | None:
        """Take a connected socket in; its first message must be a CONNECT. Returns None for one that cannot be TLS."""
        is_local = not isinstance(address, tuple)
        if isinstance(address, tuple) and not self.inherited:
            sockets.tune_accepted(sock, address[0])
        if self.tls is not None and not is_local:
            try:
                sock = tls.wrapped(sock, self.tls.current(), server_side=True)
            except OSError as error:  # it has gone already, or the certificates cannot be read any more
                log.error("a connection from %r cannot be TLS: %s", address, error)
                sock.close()
                return None
        keep_within(self)
        connection = Connection(open_channel(sock, HANDSHAKE_LIMIT), address)
        fd, place = connection.fd, place_of(connection)
        self.connections[fd] = connection
        self.crowd.add(connection, place)
        self.unadmitted.add(connection, place)
        connection.channel.set_annotation_room(HANDSHAKE_ANNOTATIONS)
        connection.channel.set_intake(self.handshakes.intake)
        self._trust_as_shown(connection)  # once it is listed, so that a key that is set just now does not miss it
        self.unsent.watch(connection)
        connection.big_replies, connection.homes = self.big_replies, self.homes
        if len(self.unadmitted.by_fd) > self.most_unadmitted:
            drop_stranger(self, f"over {self.most_unadmitted} connections are in their handshake")
        self.poller.add(fd)
        if self.stopping:
            self.drop(connection)
        return connection

    def _trust_as_shown(self, connection: Connection) -> None:
        """Demand the daemon's key of a connection, and let it use pickles only if it has shown who it is."""
        key = self.daemon._pyroHmacKey
        key = None if key is None else hmac_key_of(key)
        connection.channel.set_hmac_key(key)
        accepted = self.daemon.accepted_serializers
        if accepted & PICKLE_IDS:
            connection.lacks = lacks_for_pickles(connection.sock, key)
            if connection.lacks:
                accepted -= PICKLE_IDS
        connection.accepted = accepted

    def hmac_key_changed(self) -> None:
        """The daemon has another key: it holds for the connections that are there, but for those that have spoken."""
        for connection in list(self.connections.values()):
            self._trust_as_shown(connection)  # first, or it may begin to speak just now
            if connection.channel.dialect:
                log.info("dropping %r: the daemon has another HMAC key now", connection)
                self.drop(connection)

    def drop(self, connection: Connection, at_home: bool = False) -> None:
        """Close a connection and tell the daemon. By any thread, and again. ``at_home``: only what is left for its home."""
        fd = connection.fd
        if not at_home:
            with self._lock.guard():  # who holds a connection, or gives it back, must not see a half of this
                if self.connections.get(fd) is not connection:
                    return  # dropped already; the descriptor may be somebody else's by now
                # First: after an interrupt it can be dropped again, and its number is watched no more.
                self.poller.remove(fd)
                self._parting.pop(connection, None)
                self.unadmitted.remove(fd)
                self.crowd.remove(fd)
                del self.connections[fd]
            for part in (self.unsent, self.unfinished, self.daemon.cancelling)[: 3 if connection.calls_running else 2]:
                part.forget(connection)
            if connection.home is not None and connection.homes.take_leave(connection):
                return
        try:
            if connection.handshaken:
                self.tell_disconnect(connection)  # which may want to know whom it was connected to, and what it held
        finally:
            connection.release()
            say_rest(log, connection)
            self.daemon.streams.connection_lost(connection)
            self.draining.changed()

    def tell_disconnect(self, connection: Connection) -> None:
        """Call the daemon's hook for a client that has gone."""
        call_hook(self.daemon.clientDisconnect, connection)

    def unwatch(self, connection: Connection) -> bool:
        """Expect nothing more of a connection. False when it was dropped: its descriptor may be somebody else's by now."""
        assert self._lock.owned
        is_there = self.connections.get(connection.fd) is connection
        if is_there:
            self.poller.remove(connection.fd)
        return is_there

    def hold(self, connection: Connection) -> None:
        """Let a connection's further requests wait where they are, in order, until ``give_back``."""
        with self._lock.guard():
            connection.read_holds += 1
            self.unwatch(connection)

    def give_back(self, connection: Connection) -> None:
        """A request is done that held its connection: when it was the last such one, the next request may come."""
        with self._lock.guard():  # the monitor has taken it out of the poller when it lets go of the lock
            connection.read_holds -= 1
            if connection.read_holds or self.stopping or self.connections.get(connection.fd) is not connection:
                return
            try:
                self.poller.add(connection.fd)
            except (OSError, ValueError):
                return  # the server is closed
            if not connection.channel.has_buffered:
                return
            self.turns.add(connection)
        self.wakeup()

    def in_turn(self, ready: list[int], leadership: Leadership | None = None) -> list[int]:
        """Return those of some ready descriptors that are to be served now, the quick ones first."""
        self._newest = not self._newest
        return in_turn(ready, self.connections, self._newest, leadership)

    def next_turn(self, connection: Connection) -> None:
        """Go on with a connection, which has more requests here, when others have had their turn. By who serves it."""
        self.turns.add(connection)

    def asking_client(self) -> Connection | None:
        """Return the connection whose call this thread is in, if it is one of this server's."""
        client = current_context.client
        return client if client is not None and self.connections.get(client.fd) is client else None

    def request_done(self, connection: Connection, held: bool = True) -> None:
        """A request is done, or part of it, by any thread. Argument: ``held``, whether it held its connection."""
        if held:
            self.give_back(connection)
        if self.draining.begun:
            self.draining.look(connection)

    def next_request(
        self, connection: Connection, leadership: Leadership, spinner: Spinner | None = None
    ) -> Message | None:
        """Serve requests on the fast path whose bytes are here, then return the first other one, if there is one.

        With a spinner also those that come soon. Drops a connection that is gone or breaks the protocol.
        """
        message: Message | None = None
        if self._parting and connection in self._parting:
            self.give_up(connection, self._parting.pop(connection, None))
            return None
        try:
            if isinstance(connection.channel, Link):
                message = self.requests.serve(connection, leadership, self.timeout, spinner)
            else:
                message = connection.channel.receive_available()
        except Exception as error:
            return self.requested(connection, None, error)
        return self.requested(connection, message, None)

    def requested(self, connection: Connection, message: Message | None, error: Exception | None) -> Message | None:
        """Take note of what came of serving a connection on the fast path: a message, an error, its end, or nothing.

        Returns the message. Drops a connection that is gone or breaks the protocol.
        """
        if isinstance(error, CommunicationError):
            self.part(connection, error)
        elif error is not None:  # such as a MemoryError: it costs the one who caused it, and nobody else
            self.drop_after_bug(connection, error)
        elif message is not None:
            connection.last_used = time.monotonic()
        elif connection.link is not None and connection.link.ended:  # without an error, which costs as much as a call
            self.part(connection, None)
        return message

    def part(self, connection: Connection, error: CommunicationError | None) -> None:
        """Drop a connection that is gone or breaks the protocol: when its turn comes, if many do so at the same time."""
        if self._parted < MOST_PARTING:
            self._parted += 1
            self.give_up(connection, error)
            return
        with self._lock.guard():
            if self.unwatch(connection):  # a thread that has handed over may be late: somebody else has dropped it
                self._parting[connection] = error
                self.turns.add(connection)
        self.wakeup()  # the leader may be another thread

    def answer(
        self,
        connection: Connection,
        message: Message,
        may_run: MayRun | None = None,
        begun: Request | UnfinishedBatch | None = None,
    ) -> None:
        """Serve one request and reply. ``begun``: its call, read already, or the rest of its batch. A KeyboardInterrupt in
        the main thread then goes on."""
        reply, big_replies = None, self.big_replies
        try:
            reply = dispatch.handle(self.requests, connection, message, may_run, begun)
        except Postponed as error:
            assert big_replies is not None
            big_replies.wait(connection, message, error.size)
            big_replies = None  # another thread may serve it now
        except CommunicationError as error:
            self.give_up(connection, error)
        except KeyboardInterrupt as error:
            self.interrupted(connection, message, error)
        except Exception as error:
            # A hook of the daemon's subclass can get here, such as annotations(), or a lack of memory.
            self.drop_after_bug(connection, error)
        else:
            if reply is not None:
                try:
                    self.send_reply(connection, message, reply)
                except Exception as error:
                    self.drop_after_bug(connection, error)
        finally:
            if big_replies is not None and not isinstance(reply, PendingReply):
                big_replies.end(message)

    def drop_after_bug(self, connection: Connection, error: Exception) -> None:
        """Drop a connection because the server failed to serve it: that must not end what others are served by."""
        log.error("dropping %r: the daemon failed to answer it", connection, exc_info=error)
        self.drop(connection)

    def interrupted(self, connection: Connection, message: Message, error: KeyboardInterrupt) -> None:
        """Answer a call that was interrupted; in the main thread, the interrupt goes on."""
        self.send_reply(connection, message, replies.error_reply(self.daemon, connection, message, error))
        if threading.current_thread() is threading.main_thread():
            raise error

    def send_reply(self, connection: Connection, message: Message, reply: AnyReply) -> None:
        """Send the reply to a request, or see to what will have one. Drops who does not take it or is not admitted."""
        if isinstance(reply, PendingReply):
            self.late_replies.begin(connection, message, reply)
            return
        if isinstance(reply, UnfinishedBatch):
            assert self.interrupted_batches is not None
            self.interrupted_batches.add(connection, message, reply)
            return
        admits = connection.handshaken and connection.fd in self.unadmitted.by_fd
        if admits:  # before the client hears of it: another thread may read its first call while this one goes on
            connection.channel.set_max_message_size(config.MAX_MESSAGE_SIZE)
            self.unfinished.watch(connection)
        try:
            try:
                self._send(connection, message, reply)
            except MessageTooLargeError as error:
                self._send(connection, message, replies.error_reply(self.daemon, connection, message, error))
        except CommunicationError as error:
            self.give_up(connection, error)
            return
        if connection.fd in self.unadmitted.by_fd:
            if admits:
                self.unadmitted.remove(connection.fd)
            else:
                self.drop(connection)

    def give_up(self, connection: Connection, error: CommunicationError | None) -> None:
        """Drop a connection for a reason that the log is told, and a stranger; None: it has gone."""
        if error is not None:
            say_why(self, connection, error)
        self.drop(connection)

    def wake_monitor(self) -> None:  # noqa: B027 - a hook that not every server needs
        """Called when a request begins and the monitor is parked."""

    def _send(self, connection: Connection, message: Message, reply: Reply) -> None:
        fields = reply.kind, reply.flags, message.seq, reply.serializer_id, reply.payload
        connection.channel.send(Outgoing(*fields, reply.annotations, message.correlation_id), self.timeout)

    def look_at_deadlines(self) -> None:
        """Drop connections whose handshake, or whose silence, lasts too long; let streams and the daemon do the same."""
        self._parted = 0
        now = time.monotonic()
        if now < self._next_look:
            if self._streams_due:
                self._expire_streams()
            return
        self._next_look = now + self.longest_wait
        if not self.draining.begun:
            look_at_listener(self)
        if not drop_overdue(self, now, TURN):
            self._next_look = now
            self.wakeup()
            return
        self.unfinished.look()
        self._expire_streams()
        call_hook(self.daemon.housekeeping)

    def _expire_streams(self) -> None:
        self._streams_due = self.daemon.streams.expire()
        if self._streams_due:
            self.wakeup()  # for the rest, once others have had their turn

    def shutdown(self, grace: float | None = None) -> None:
        """Ask the server to stop: it answers what is under way, for ``grace`` seconds (`draining`). Returns at once."""
        if not self.stopping and self.draining.begin(grace):
            self.poller.remove(self.listener_fd)
            self.listener.close()
            self.begin_to_stop()

    @abstractmethod
    def begin_to_stop(self) -> None:
        """Have the thread that reads requests serve what is under way and `stop` then; `stop` if there is none."""

    @abstractmethod
    def is_serving_thread(self) -> bool:
        """Whether requests are read by this thread, which so cannot wait until they have been."""

    def stop(self) -> None:
        """Serve nobody any more: close every connection, but for those whose calls ask for it. May be called again."""
        with self._lock.guard():
            self.stopping = True
        self.requests.stop()
        if self.big_replies is not None:
            self.big_replies.stop()
        self.draining.cut_off()
        self.wakeup()

    def close(self) -> None:
        """Stop and release everything, once what is under way is answered. May be called again."""
        if self.forked:
            return
        self.shutdown()
        self.draining.await_end()
        self.unsent.close()
        self.poller.close()
        self._wakeups.close()
