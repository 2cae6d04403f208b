"""One connected peer: send, receive and exchange messages, however the bytes travel.

`PlainChannel` is the native link; `PortableChannel` does the same over any Python socket object (TLS, systems without
the POSIX calls; `config.PORTABLE`). Neither knows what a call is.
"""

from __future__ import annotations

import contextlib
import socket
import sys
import time
from collections import deque
from collections.abc import Callable

from fastpyro._light_typing import TYPE_CHECKING, Protocol
from fastpyro._mutex import Guard, Mutex, ServingThread, check_may_wait, share_thread
from fastpyro.config import LONGEST_SOCKET_TIMEOUT, config
from fastpyro.constants import OLD_PROTOCOL_VERSION
from fastpyro.errors import (
    CommunicationError,
    ConnectionClosedError,
    LocalProtocolError,
    MessageTooLargeError,
    TimeoutError,
)
from fastpyro.protocol._assembler import Decoder
from fastpyro.protocol._message import Message, Outgoing
from fastpyro.protocol._pyro4_message import pyro4_bytes_of
from fastpyro.serializers import _blocks
from fastpyro.transport._intake import Intake
from fastpyro.transport._link import Link

if TYPE_CHECKING:
    from typing import Any, NoReturn

__all__ = ["GEVENT", "Channel", "PlainChannel", "PortableChannel", "in_greenlets", "open_channel"]

RECEIVE_SIZE = 65536
GEVENT = "gevent.monkey"
_TLS_WANTS_MORE = "SSLWantReadError"
_TLS_WOULD_BLOCK = frozenset({_TLS_WANTS_MORE, "SSLWantWriteError"})


class Channel(Protocol):
    """The interface of a connected peer, for proxies and servers; the arguments are those of ``Link``."""

    objectId: str
    features: int
    served_by: ServingThread | None

    @property
    def concurrent(self) -> bool: ...
    @property
    def sock(self) -> socket.socket: ...
    @property
    def closed(self) -> bool: ...
    @property
    def has_buffered(self) -> bool: ...
    @property
    def receiving(self) -> bool: ...
    @property
    def dialect(self) -> int: ...
    def fileno(self) -> int: ...
    def set_dialect(self, dialect: int) -> None: ...
    def set_hmac_key(self, key: bytes | None) -> None: ...
    def set_max_message_size(self, max_message_size: int) -> None: ...
    def set_annotation_room(self, size: int) -> None: ...
    def leave_shared_cpu(self) -> None: ...
    def send(self, message: Outgoing, timeout: float | None = None) -> None: ...
    def has_room_for(self, size: int) -> bool: ...
    def receive(self, timeout: float | None = None) -> Message: ...
    def exchange(self, message: Outgoing, timeout: float | None = None) -> Message: ...
    def receive_available(self) -> Message | None: ...
    @property
    def unsent(self) -> int: ...
    @property
    def unsent_messages(self) -> int: ...
    def set_outlet(self, outlet: Callable[[Any], object], stall: int, budget: int, rate: int) -> None: ...
    def send_unsent(self, most: int) -> int: ...
    @property
    def counted(self) -> int: ...
    @property
    def begun(self) -> Message | None: ...
    def set_intake(self, intake: Intake) -> None: ...
    def break_off(self) -> None: ...
    def close(self) -> None: ...
    def abandon(self) -> None: ...
    def getpeercert(self) -> dict[str, Any] | None: ...


class PlainChannel(Link):
    """A channel over a plain TCP or Unix socket: the native link, unchanged."""

    __slots__ = ("__weakref__", "objectId")

    objectId: str
    """The object that a client connected for; programs written for Pyro ask for it."""

    keep_open = False
    timeout: float | None = None
    """Pyro's names of what is not a connection's business here: `_pyroTimeout` of a proxy, COMMTIMEOUT of a daemon."""

    def getpeercert(self) -> None:
        """Return None: without TLS there is no certificate."""
        return None

    concurrent = True
    """Whether several threads' messages may be under way at once; otherwise they take turns."""


class PortableChannel:
    """A channel over any Python socket object, with the same behaviour as the native link.

    Arguments: ``sock``, a connected socket or TLS socket, which the channel owns from then on;
    ``max_message_size`` in bytes (0: the format's 4 GiB).

    Threads take turns (`_turn`). A sender or receiver sets `_unfinished` and clears it when it is done: when nobody
    has the turn and it is set, an exception came in between, wherever that was, and the channel is closed.
    """

    concurrent = False
    objectId = ""
    keep_open = False
    timeout: float | None = None

    def __init__(self, sock: socket.socket, max_message_size: int = 0) -> None:
        self.sock = sock
        self._decoder = Decoder(max_message_size)
        self._limit = max_message_size
        self._hmac_key: bytes | None = None
        self._turn = Mutex(what="the connection")
        self.served_by: ServingThread | None = None
        self.features = self.unsent_messages = self.counted = 0
        self._closing = self._broken = self._unfinished = False
        self._outlet: Callable[[Any], object] | None = None
        self._patience = 0.0, 0.0, 0.0
        self._queue: deque[memoryview] = deque()
        self._intake: Intake | None = None

    @property
    def closed(self) -> bool:
        return self._closing or self._broken or (self._unfinished and not self._turn.locked)

    def leave_shared_cpu(self) -> None:
        """Nothing: this channel never looks before it sleeps."""

    @property
    def has_buffered(self) -> bool:
        return self._decoder.has_message or self._has_pending()

    @property
    def receiving(self) -> bool:
        return self._decoder.receiving

    @property
    def dialect(self) -> int:
        return self._decoder.dialect

    def set_dialect(self, dialect: int) -> None:
        self._decoder.set_dialect(dialect)

    def set_hmac_key(self, key: bytes | None) -> None:
        self._hmac_key = key
        self._decoder.set_hmac_key(key)

    def fileno(self) -> int:
        return -1 if self._closing else self.sock.fileno()

    def set_max_message_size(self, max_message_size: int) -> None:
        self._limit = max_message_size
        self._decoder.set_max_message_size(max_message_size)

    def set_annotation_room(self, size: int) -> None:
        self._decoder.set_annotation_room(size)

    def send(self, message: Outgoing, timeout: float | None = None) -> None:
        deadline = _deadline_of(timeout)
        self._check_open()
        data = self._pack(message)
        tells = False
        try:
            with self._take_turn(deadline):
                self._unfinished = True
                if self._outlet is None:
                    self._send_bytes(data, deadline)
                else:
                    tells = self._send_or_queue(data)
                self._unfinished = False
        finally:
            self._close_if_asked()
        if tells and self._outlet is not None:
            self._outlet(self)

    def set_outlet(self, outlet: Callable[[Any], object], stall: int, budget: int, rate: int) -> None:
        """Let bytes that the peer does not take wait in a queue; arguments as for the native link."""
        self._outlet = outlet
        self._patience = stall / 1000, budget / 1000, rate * 1000.0

    @property
    def unsent(self) -> int:
        """How many bytes the queue keeps: a message counts until all of it is sent."""
        return sum(memoryview(view.obj).nbytes for view in self._queue)

    def send_unsent(self, most: int) -> int:
        """Send of what waits as much as the system takes now. Returns how many bytes it took; 0 while others send.

        Raises ConnectionClosedError when the connection is lost.
        """
        try:
            turn = self._take_turn_now()
        except LocalProtocolError:
            return 0
        try:
            with turn:
                self._unfinished = True
                sent = self._send_queued(most, 0.0)
                self._unfinished = False
                return sent
        finally:
            self._close_if_asked()

    def _send_or_queue(self, data: bytes) -> bool:
        """Send what the peer takes quickly and let the rest wait. True when the outlet is to be told of that."""
        queue = self._queue
        queue.append(memoryview(data))
        self.unsent_messages += 1
        if len(queue) > 1:
            return False
        stall, budget, rate = self._patience
        began, sent = time.monotonic(), 0
        while queue and time.monotonic() - began <= budget + (sent / rate if rate else 0.0):
            count = self._send_queued(RECEIVE_SIZE, stall)
            if not count:
                break
            sent += count
        return bool(queue)

    def _send_queued(self, most: int, stall: float) -> int:
        """Send of the queue about so many bytes, waiting for each step at the most ``stall`` seconds."""
        sent, queue = 0, self._queue
        try:
            self.sock.settimeout(stall)
            while queue and sent < most:
                view = queue[0]
                count = self.sock.send(view)
                if not count:
                    break  # records of TLS are on their way
                sent += count
                if count == len(view):
                    queue.popleft()
                else:
                    queue[0] = view[count:]
        except OSError as error:
            # TLS that wants to read first renegotiates, which is not done here: waiting for room would not help it.
            wants_read = type(error).__name__ == _TLS_WANTS_MORE
            if wants_read or not (_would_block(error) or isinstance(error, socket.timeout)):
                self._broken_by(error, "sending")
        if not queue:
            self.unsent_messages = 0
        return sent

    def break_off(self) -> None:
        """End the conversation, forget what waits, and let whoever uses the connection hear of it. From any thread."""
        self._broken = True
        self._queue = deque()
        self._shut_down()

    @property
    def begun(self) -> Message | None:
        return self._decoder.begun

    def set_intake(self, intake: Intake) -> None:
        """Count what has arrived of messages that are not whole; while they are too big, read only as that allows."""
        if self.counted and self._intake is not None:
            self._intake.change(self.counted, 0)
            intake.change(0, self.counted)
        self._intake = intake

    def _count_unfinished(self) -> None:
        if self._intake is not None:
            before, self.counted = self.counted, self._decoder.held
            if self.counted != before:
                self._intake.change(before, self.counted)

    def has_room_for(self, size: int) -> bool:
        """Return whether a message surely leaves without waiting: nobody knows, here."""
        return False

    def receive(self, timeout: float | None = None) -> Message:
        deadline = _deadline_of(timeout)
        try:
            with self._take_turn_now():
                self._unfinished = True
                message = self._receive_message(deadline)
                self._unfinished = False
                return message
        finally:
            self._close_if_asked()

    def exchange(self, message: Outgoing, timeout: float | None = None) -> Message:
        deadline, sent = _deadline_of(timeout), False
        try:
            self._check_open()
            check_may_wait(self.served_by)
            data = self._pack(message)
            with self._take_turn(deadline):
                self._unfinished = True
                sent = type(self.sock) is not socket.socket  # of TLS nobody knows what has left before an error
                self._send_bytes(data, deadline)
                sent = True
                reply = self._receive_message(deadline)
                self._unfinished = False
                return reply
        except CommunicationError as error:
            error.not_started = not sent
            raise
        finally:
            self._close_if_asked()

    def receive_available(self) -> Message | None:
        try:
            with self._take_turn_now():
                self._unfinished = True
                message = self._take_available()
                self._count_unfinished()
                self._unfinished = False
                return message
        finally:
            self._close_if_asked()

    def _take_available(self) -> Message | None:
        try:
            message = self._decoder.next_message()
            if message is not None:
                return message
            if self.counted and self._intake is not None and self._intake.refuses(self, self.counted):
                return None
            self.sock.setblocking(False)
            self._receive_some()
            while (message := self._decoder.next_message()) is None and self._has_pending():
                self._receive_some()
            return message
        except OSError as error:
            if _would_block(error):
                return None
            self._broken_by(error, "receiving")

    def close(self) -> None:
        self._closing = True  # a second call finishes what an interrupted one has left
        self._queue = deque()
        self._shut_down()
        if not self._turn.locked:
            self._close_socket()

    def _close_socket(self) -> None:
        self.sock.close()
        self._decoder.forget()
        self._count_unfinished()

    def _shut_down(self) -> None:
        with contextlib.suppress(OSError):  # not connected any more
            # Not SSLSocket.shutdown: that drops TLS first, and a sender in another thread would go on in plain text.
            shutdown = socket.socket.shutdown if isinstance(self.sock, socket.socket) else type(self.sock).shutdown
            shutdown(self.sock, socket.SHUT_RDWR)

    def abandon(self) -> None:
        """Give up this process's share of the connection (after a fork) without ending the conversation.

        A thread that is sending what waited closes it when it is done.
        """
        self._closing = True
        self._queue = deque()
        if self._outlet is None or not self._turn.locked:
            self._close_socket()

    def _pack(self, message: Outgoing) -> bytes:
        if self._decoder.dialect == OLD_PROTOCOL_VERSION:
            return pyro4_bytes_of(message, self._hmac_key, self._limit)
        data = message.to_bytes()
        if 0 < self._limit < len(data) - 40:
            raise MessageTooLargeError(
                f"message of {len(data) - 40:,} bytes exceeds MAX_MESSAGE_SIZE {self._limit:,}; nothing was sent"
            )
        return data

    def _send_bytes(self, data: bytes, deadline: float) -> None:
        view = memoryview(data)
        try:
            while view:
                self.sock.settimeout(_time_left(deadline, "sending"))
                view = view[self.sock.send(view) :]
        except OSError as error:
            self._broken_by(error, "sending")

    def _receive_message(self, deadline: float) -> Message:
        try:
            while (message := self._decoder.next_message()) is None:
                self.sock.settimeout(_time_left(deadline, "receiving"))
                self._receive_some()
        except OSError as error:
            self._broken_by(error, "receiving")
        return message

    def _receive_some(self) -> None:
        try:
            data = self.sock.recv(RECEIVE_SIZE)
        except OSError as error:
            if type(error).__name__ == _TLS_WANTS_MORE:
                return  # of TLS a piece has come, which held no data: whoever waits looks at his deadline
            raise
        if not data:
            where = " in the middle of a message" if self._decoder.receiving else ""
            raise ConnectionClosedError(f"receiving: the peer closed the connection{where}")
        self._decoder.feed(data)

    def _broken_by(self, error: OSError, doing: str) -> NoReturn:
        if isinstance(error, ConnectionClosedError | TimeoutError):
            try:
                raise error
            finally:
                del error  # its traceback holds this frame, which would hold it
        if isinstance(error, socket.timeout) and error.errno is None:  # else the kernel says that the peer is gone
            raise TimeoutError(f"{doing}: timeout") from None  # as the native link does: there is no OSError behind it
        raise ConnectionClosedError(f"{doing}: connection lost: {error}") from error

    def _has_pending(self) -> bool:
        # TLS has read more than it gave us; no poller will say so.
        return not self._closing and hasattr(self.sock, "pending") and self.sock.pending() > 0

    def getpeercert(self) -> dict[str, Any] | None:
        """Return the certificate that the peer has shown, as ssl gives it; None without one."""
        return self.sock.getpeercert() or None if hasattr(self.sock, "getpeercert") else None

    def _check_open(self) -> None:
        """Raise when the channel is closed. Called by who has not got the turn."""
        if self.closed:
            raise ConnectionClosedError("the connection is closed")

    def _check_turn(self) -> None:
        """As `_check_open`, for who waits for the turn or has just got it."""
        if self._closing or self._broken or (self._unfinished and self._turn.owned):
            raise ConnectionClosedError("the connection is closed")

    def _take_turn(self, deadline: float) -> Guard:
        return self._turn.guard(deadline, self._check_turn)

    def _take_turn_now(self) -> Guard:
        self._check_open()
        return self._turn.guard_now(self._check_turn) or _refuse_second_user()

    def _close_if_asked(self) -> None:
        if self._closing:
            self._close_socket()


def in_greenlets() -> bool:
    """Return whether gevent has made sockets cooperative (``monkey.patch_all()``): then nothing waits but through them."""
    monkey: Any = sys.modules.get(GEVENT)  # imported by the program, never by us
    if monkey is None or not monkey.is_module_patched("socket"):
        return False
    if monkey.is_module_patched("threading"):
        share_thread(time.sleep)
    return True


def open_channel(sock: socket.socket, max_message_size: int = 0) -> Channel:
    """Return the channel that fits a connected socket: native where possible, portable for TLS or when configured."""
    if (GEVENT in sys.modules and in_greenlets()) or config.PORTABLE or hasattr(sock, "getpeercert"):
        return PortableChannel(sock, max_message_size)
    _blocks.set_limit(config.BLOCK_POOL_SIZE)
    channel = PlainChannel(sock, max_message_size)
    channel.set_spin(config.SPIN)
    return channel


def _refuse_second_user() -> NoReturn:
    raise LocalProtocolError("the connection is in use by another thread; give each thread its own, or a lock")


def _would_block(error: OSError) -> bool:
    # TLS has its own errors for it, here by name: importing ssl is slow, and some Pythons lack it.
    return isinstance(error, BlockingIOError | InterruptedError) or type(error).__name__ in _TLS_WOULD_BLOCK


def _deadline_of(timeout: float | None) -> float:
    if timeout is None:
        return 0.0
    if not timeout >= 0:
        raise ValueError(f"a timeout is a number of seconds, 0 or more, or None, not {timeout!r}")
    return time.monotonic() + min(timeout, LONGEST_SOCKET_TIMEOUT) if timeout else 0.0


def _time_left(deadline: float, doing: str) -> float | None:
    if not deadline:
        return None
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError(f"{doing}: timeout")
    return left
