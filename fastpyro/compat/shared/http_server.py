"""A small HTTP server for one WSGI application, which no client can hold up.

A connection is one request. It has a thread, a few seconds to send its request, a bounded head and body, and a bounded time
to take each part of the answer. Of those that have not sent their request the oldest goes when there are too many; when
all places are taken by requests that are being answered, or nearly all by those of its own address, the next one is told
so. A client that hangs up, or says that it sends nothing more, before its answer is there gives its place back: what the
application does for it is ended by what it named under ``WHEN_GONE``. Knows nothing of Pyro.
"""

from __future__ import annotations

import contextlib
import io
import re
import selectors
import socket
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from functools import partial
from socketserver import ThreadingMixIn
from typing import Any
from urllib.parse import unquote_plus
from wsgiref.simple_server import ServerHandler, WSGIRequestHandler, WSGIServer

from fastpyro._foreign_text import on_one_line
from fastpyro._mutex import Mutex
from fastpyro.compat.shared.unsent_answers import UnsentAnswers
from fastpyro.config import config

__all__ = ["WHEN_GONE", "GatewayServer"]

WHEN_GONE = "fastpyro.when_gone"
"""The item of the environment by which an application names an action that ends what it waits for. It is done when the
client has gone, in another thread, perhaps more than once."""

MOST_CONNECTIONS = 128
"""At a time; each has a thread."""

MOST_OF_ONE = MOST_CONNECTIONS - MOST_CONNECTIONS // 10
"""From one address. Others find a place whatever it does."""

LOOK_SECONDS = 0.5
"""Between two looks at who has gone."""

REQUEST_SECONDS = 10.0
"""To send the whole request."""

SEND_SECONDS = 30.0
"""To take the head of an answer, or a mebibyte of its body."""

LARGEST_HEAD = 32768
LARGEST_BODY = 1 << 20
PART = 1 << 20

_PARAMETER = re.compile(r"([^?&=\s]*)=[^&\s]*")
_BUSY = b"HTTP/1.0 503 Service Unavailable\r\nContent-Type: text/plain\r\n\r\nError 503: too many requests\n"

REST_SECONDS = 0.1
"""After a failure to accept."""


class GatewayServer(ThreadingMixIn, WSGIServer):
    """Serves until ``shutdown``. Arguments: ``address``, a pair of host and port; ``app``, the WSGI application."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, address: tuple[str, int], app: Callable[..., Iterable[bytes]]) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        self._places = Mutex(reentrant=True, leaf=True)
        self._sending: dict[socket.socket, float] = {}
        self._answering: dict[socket.socket, list[Callable[[], Any]]] = {}
        self._gone: set[socket.socket] = set()
        self.unsent = UnsentAnswers(config.MAX_UNSENT)
        self._looked = 0.0
        self._taken = 0
        self._taken_by: Counter[Any] = Counter()
        self._origins: dict[socket.socket, Any] = {}
        super().__init__(address, _Handler)
        self.set_app(app)

    def get_request(self) -> Any:
        """Accept a connection. Raises OSError, after a rest: without descriptors the next attempt would follow at once."""
        try:
            return super().get_request()
        except OSError:
            time.sleep(REST_SECONDS)
            raise

    def process_request(self, request: Any, client_address: Any) -> None:
        """Give a connection a thread, unless all places are taken. Never raises."""
        origin = client_address[0]
        with self._places.guard():
            is_admitted = self._has_room(origin) or self._drop_oldest(origin)
            if is_admitted:
                self._taken += 1
                self._taken_by[origin] += 1
                self._sending[request] = time.monotonic() + REQUEST_SECONDS
                self._origins[request] = origin
        if not is_admitted:
            with contextlib.suppress(OSError):
                request.setblocking(False)
                request.send(_BUSY)
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except Exception:  # no thread can be started
            self._leave(request)
            self.shutdown_request(request)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection, in its thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._leave(request)

    def has_sent(self, request: Any) -> bool:
        """Note that the whole request has come; return whether it came in time."""
        with self._places.guard():
            is_in_time = self._sending.pop(request, None) is not None
            if is_in_time:
                self._answering[request] = []
            return is_in_time

    def when_gone(self, request: Any, action: Callable[[], Any]) -> None:
        """Have an action done when the client hangs up before its answer is there."""
        with self._places.guard():
            actions = self._answering.get(request)
            if actions is not None:
                actions.append(action)

    def service_actions(self) -> None:
        """Drop the connections that have not sent their request in time, and notice who has gone; called all the time."""
        now = time.monotonic()
        with self._places.guard():
            if now < self._looked + LOOK_SECONDS:
                return
            self._looked = now
            for request in [each for each, deadline in self._sending.items() if deadline < now]:
                self._drop(request)
            self._gone.update(_hung_up([each for each in self._answering if each not in self._gone]))
            actions = [action for request in self._gone for action in self._answering[request]]
        for action in actions:
            with contextlib.suppress(Exception):  # what an application does about it must not end the server
                action()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Tell of a failure in one line; a client that has gone is none."""
        error = sys.exc_info()[1]
        if not isinstance(error, OSError):
            print(on_one_line(f"request from {client_address!r} failed: {error!r}"), file=sys.stderr)

    def _has_room(self, origin: Any) -> bool:
        return self._taken < MOST_CONNECTIONS and self._taken_by[origin] < MOST_OF_ONE

    def _drop_oldest(self, origin: Any) -> bool:
        # Of its own address, where that has all that it may have.
        is_full = self._taken_by[origin] >= MOST_OF_ONE
        oldest = next((each for each in self._sending if not is_full or self._origins[each] == origin), None)
        if oldest is not None:
            self._drop(oldest)
        return oldest is not None

    def _drop(self, request: socket.socket) -> None:
        # Its thread wakes up, and closes it.
        del self._sending[request]
        with contextlib.suppress(OSError):
            request.shutdown(socket.SHUT_RDWR)

    def _leave(self, request: Any) -> None:
        with self._places.guard():
            self._sending.pop(request, None)
            self._answering.pop(request, None)
            self._gone.discard(request)
            origin = self._origins.pop(request)
            self._taken -= 1
            self._taken_by[origin] -= 1
            if not self._taken_by[origin]:
                del self._taken_by[origin]


def _hung_up(sockets: list[socket.socket]) -> list[socket.socket]:
    """Return those of the sockets whose other end sends nothing more, without waiting."""
    gone: list[socket.socket] = []
    with getattr(selectors, "PollSelector", selectors.SelectSelector)() as selector:
        for each in sockets:
            with contextlib.suppress(ValueError, KeyError):  # closed meanwhile
                selector.register(each, selectors.EVENT_READ)
        for key, _ in selector.select(0) if sockets else ():
            sock: Any = key.fileobj
            try:
                if sock.recv(1, socket.MSG_PEEK) == b"":
                    gone.append(sock)
            except OSError:
                gone.append(sock)
    return gone


class _Answering(ServerHandler):
    request_handler: _Handler

    def _write(self, data: bytes) -> None:
        # A timeout of a socket holds for one call: with parts it says how slow a client may be, not how big an answer.
        unsent, client = self.request_handler.server.unsent, self.request_handler.connection
        unsent.begin(client, len(data))
        try:
            for at in range(0, len(data), PART):
                self.stdout.write(data[at : at + PART])
                unsent.took(client, len(data[at : at + PART]))
        finally:
            unsent.end(client)

    def log_exception(self, exc_info: Any) -> None:
        error = exc_info[1]
        if not isinstance(error, OSError):
            print(on_one_line(f"the gateway failed: {error!r}"), file=sys.stderr)


class _Handler(WSGIRequestHandler):
    timeout = REQUEST_SECONDS
    server: GatewayServer

    def handle(self) -> None:
        """Read one request, and answer it."""
        self.connection.settimeout(REQUEST_SECONDS)
        self.rfile = _Head(self.rfile, LARGEST_HEAD)  # type: ignore[assignment]
        try:
            self.raw_requestline = self.rfile.readline(LARGEST_HEAD)
            if not self.raw_requestline or not self.parse_request():
                return
            body = self._body()
        except _TooLargeError:
            self._refuse(431, "request header fields too large")
            return
        except OSError:
            return  # gone, or too slow
        if body is None or not self.server.has_sent(self.request):
            return
        self.connection.settimeout(SEND_SECONDS)
        environ = self.get_environ()
        environ.pop("HTTP_PROXY", None)
        environ["CONTENT_LENGTH"] = str(len(body))
        environ[WHEN_GONE] = partial(self.server.when_gone, self.request)
        answer: Any = self.wfile
        handler = _Answering(io.BytesIO(body), answer, self.get_stderr(), environ, multithread=True)
        handler.request_handler = self  # for its log
        app = self.server.get_app()
        assert app is not None
        handler.run(app)

    def _body(self) -> bytes | None:
        """Return the request's body; None after a refusal."""
        if self.headers.get("Transfer-Encoding") is not None:
            self._refuse(411, "length required")
            return None
        given = self.headers.get_all("Content-Length") or ["0"]
        text = given[0].strip()
        if len(given) > 1 or not (text.isascii() and text.isdigit()):
            self._refuse(400, "invalid content length")
            return None
        if len(text) > 12 or int(text) > LARGEST_BODY:
            self._refuse(413, f"more than {LARGEST_BODY:,} bytes")
            return None
        body = self.rfile.read(int(text))
        return body if len(body) == int(text) else None

    def _refuse(self, code: int, why: str) -> None:
        with contextlib.suppress(OSError):
            self.send_error(code, why)

    def log_message(self, format: str, *args: Any) -> None:
        """Print a line about a request; keys are left out."""
        text = _PARAMETER.sub(_without_key, on_one_line(format % args))
        with contextlib.suppress(OSError, ValueError):  # a terminal that has gone is no matter
            print(f"{self.client_address[0]} - - [{self.log_date_time_string()}] {text[:500]}", file=sys.stderr)


def _without_key(parameter: re.Match[str]) -> str:
    # As an application reads it: any of the name's characters may be written as %xx.
    return f"{parameter[1]}=<hidden>" if unquote_plus(parameter[1]).lower() == "$key" else parameter[0]


class _TooLargeError(Exception):
    """A head beyond the limit."""


class _Head:
    """A stream of which only so many bytes may be read as lines."""

    def __init__(self, stream: Any, most: int) -> None:
        self._stream = stream
        self._left = most

    def readline(self, limit: int = -1) -> bytes:
        line: bytes = self._stream.readline(self._left + 1)
        self._left -= len(line)
        if self._left < 0:
            raise _TooLargeError
        return line

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
