"""The server side's front: a service, the address at which it is reached, and the loop that serves it.

Which objects there are is the business of `service`, how requests arrive that of `servers`.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from fastpyro._lazy_logging import logger
from fastpyro.config import LONGEST_TIME, config
from fastpyro.constants import DAEMON_NAME, PROTOCOL_VERSION
from fastpyro.errors import PyroError
from fastpyro.server import object_ids
from fastpyro.server.announced import Announced
from fastpyro.server.daemon_object import DaemonObject
from fastpyro.server.servers import ExistingConnectionServer, make_server
from fastpyro.server.service import NOT_BOUND, Service
from fastpyro.server.stop_signals import GRACE_SECONDS, StopSignals
from fastpyro.transport import sockets
from fastpyro.transport.addresses import check_published, host_text
from fastpyro.transport.trusted_peers import hmac_key_of

if TYPE_CHECKING:
    import asyncio
    from typing import Self

__all__ = ["Daemon"]

log = logger("fastpyro.daemon")


class Daemon(Service):
    """Makes objects callable from other processes.

    Arguments: ``host`` to listen on (None: ``config.HOST``; empty: all interfaces) and ``port`` (0: the system chooses), or
    ``unixsocket``, a path; ``nathost`` and ``natport``, what published URIs shall say instead, for a daemon behind a
    forwarding router; ``interface``, the class of the daemon's own object, for subclasses of DaemonObject;
    ``connected_socket``: serve this one connected socket, without a handshake, and nobody else; it is not closed.
    Raises OSError when the address cannot be listened on, ValueError for arguments that contradict each other.

    ``register`` objects, then ``requestLoop()``. A daemon is a context manager that closes itself. In a child that is forked
    while it serves, it is of no use, and closing it does nothing to the parent's; one that has not served yet may be
    served by the child.
    """

    __module__ = "fastpyro"

    _closed = True  # and so on: one that comes out of a pickle is of no use
    _protocol_said = PROTOCOL_VERSION
    locationStr = ""
    transportServer: Any = None

    def __init__(
        self,
        host: str | None = None,
        port: int = 0,
        unixsocket: str | None = None,
        nathost: str | None = None,
        natport: int | None = None,
        interface: type[DaemonObject] = DaemonObject,
        connected_socket: socket.socket | None = None,
    ) -> None:
        check_published(unixsocket, nathost, natport)
        server_type = self._server_type()
        super().__init__(threaded=connected_socket is None and server_type == "thread")
        self._host = config.HOST if host is None else host_text(host)
        self._unixsocket = unixsocket
        self._closed = False
        self._announced = Announced()
        if connected_socket is not None:
            self.locationStr, self.natLocationStr = NOT_BOUND, None
            self.transportServer = ExistingConnectionServer(self, connected_socket)
        else:
            listener = sockets.listen(self._host, port, unixsocket)
            self.locationStr, self.natLocationStr = self._locations(listener, nathost, natport)
            try:
                self.transportServer = make_server(server_type, self, listener)
            except BaseException:
                listener.close()
                raise
        own = interface(self)
        own._pyroId = DAEMON_NAME  # type: ignore[attr-defined]
        self.objectsById = {DAEMON_NAME: own}
        kind = sockets.family_name(self.transportServer.sock)
        log.debug("daemon created on %s - %s (pid %d)", self.locationStr, kind, os.getpid())
        log.debug("pyro protocol version: %d", self._protocol_said)

    def _server_type(self) -> str:
        return str(config.SERVERTYPE)

    def _locations(self, listener: socket.socket, nathost: str | None, natport: int | None) -> tuple[str, str | None]:
        if self._unixsocket:
            return f"./u:{self._unixsocket}", None
        port = listener.getsockname()[1]
        location = sockets.host_port_text(self._host or "0.0.0.0", port)
        nathost = nathost or config.NATHOST
        if not nathost:
            return location, None
        return location, sockets.host_port_text(nathost, natport or config.NATPORT or port)

    def requestLoop(self, loopCondition: Callable[[], bool] = lambda: True) -> None:
        """Serve requests until ``shutdown()``, Ctrl-C, or until ``loopCondition()``, asked regularly, is false."""
        self._check_open()
        log.info("daemon %s entering requestloop", self.locationStr)
        try:
            self.transportServer.loop(loopCondition)
        except KeyboardInterrupt:
            log.debug("stopping on break signal")
        log.debug("daemon exits requestloop")

    def events(self, eventsockets: Iterable[Any]) -> None:
        """Serve what a foreign event loop found readable among ``sockets``."""
        self._check_open()
        self.transportServer.events(eventsockets)

    @property
    def event_loop(self) -> asyncio.AbstractEventLoop:
        """The event loop on which coroutines of methods run: one in a thread of its own, started when it is first needed.

        A program with a loop of its own may set that instead, before the first call; the program runs it.
        """
        return self.coroutines.loop

    @event_loop.setter
    def event_loop(self, loop: asyncio.AbstractEventLoop) -> None:
        self.coroutines.loop = loop

    @property
    def sock(self) -> socket.socket:
        """The listening socket."""
        self._check_open()
        return self.transportServer.sock  # type: ignore[no-any-return]

    @property
    def sockets(self) -> list[socket.socket]:
        """The sockets that a foreign event loop must watch, to call ``events`` when one is readable."""
        self._check_open()
        return self.transportServer.sockets  # type: ignore[no-any-return]

    def combine(self, daemon: Any) -> None:
        """Serve another daemon (or a broadcast responder) in this daemon's request loop; both must be multiplexed.

        Raises TypeError when this daemon, or the other one, has threads of its own.
        """
        self._check_open()
        other = getattr(daemon, "transportServer", daemon)
        if not hasattr(self.transportServer, "combine") or not hasattr(other, "serve_ready"):
            raise TypeError("only daemons of SERVERTYPE 'multiplex' can be combined; one with threads needs no help")
        self.transportServer.combine(other)

    def offered_metadata(self, object_id: str) -> dict[str, Any]:
        """Return what a client is told of an object when it connects: the daemon's own object may have its say."""
        own: Any = self.objectsById.get(DAEMON_NAME)
        if getattr(type(own), "get_metadata", None) in (None, DaemonObject.get_metadata):
            return self.metadata(object_id)
        return own.get_metadata(object_id)  # type: ignore[no-any-return]

    def shutdown(self, grace: float | None = None) -> None:
        """Stop serving: nothing new is accepted, what has arrived is answered, every connection closed, and the request
        loop ends. Returns at once; may be called from any thread, also from a method that a client calls, which still gets
        its answer.

        Argument: ``grace``, seconds that calls which run may go on before they are cut off; None: one. A second call can
        only shorten it. With it, names that ``serve`` has registered are removed at once. Raises ValueError for what is no
        number of seconds.
        """
        if grace is not None and not 0 <= grace < float("inf"):
            raise ValueError(f"a grace is a number of seconds, 0 or more, or None, not {grace!r}")
        server = self.transportServer
        if server is not None:
            log.debug("daemon shutting down")
            server.shutdown(None if grace is None else min(grace, LONGEST_TIME))
            if grace is not None:
                self._announced.withdraw_soon()

    def close(self) -> None:
        """Shut down and release the listening socket and everything else. May be called again. A Ctrl-C meanwhile is raised
        when all is released."""
        if self._closed:
            return
        self._closed = True
        log.debug("daemon closing")
        server, self.transportServer = self.transportServer, None
        try:
            self._release(server)
        except KeyboardInterrupt:
            self._release(server)
            raise

    def _release(self, server: Any) -> None:
        server.close()
        if server.forked:
            return  # streams, coroutines and the socket's file are the parent's
        object_ids.forget_daemon(self)
        self.streams.close_all()
        self.coroutines.close()
        sockets.remove_socket_file(self._unixsocket or "")

    def __getstate__(self) -> dict[str, Any]:
        return {}  # so that an object can be copied and pickled that is registered

    def __enter__(self) -> Self:
        self._check_open()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def _pyroHmacKey(self) -> bytes | None:
        """The key with which messages are signed and checked; clients need the same, and speak protocol 48.

        Setting it holds for all connections: clients that have spoken without it are disconnected. Raises ValueError for an
        empty key, TypeError for what is no key.
        """
        return self._hmac_key

    @_pyroHmacKey.setter
    def _pyroHmacKey(self, key: str | bytes | None) -> None:
        checked = hmac_key_of(key)
        if checked != self._hmac_key:
            self._hmac_key = checked
            if self.transportServer is not None:
                self.transportServer.hmac_key_changed()

    @property
    def forked(self) -> bool:
        """Whether this process is a child that was forked from the one that serves this daemon."""
        server = self.transportServer
        return server is not None and server.forked

    def _classes_changed(self) -> None:
        self.transportServer.requests.forget_classes()

    def _check_open(self) -> None:
        if self._closed:
            raise PyroError("cannot reuse this object: the daemon is closed; make a new one")

    def __repr__(self) -> str:
        name = f"{type(self).__module__}.{type(self).__qualname__}"
        if not self.locationStr:  # it came out of a pickle
            return f"<{name} at 0x{id(self):x}; unusable>"
        state = "closed" if self._closed else sockets.family_name(self.transportServer.sock)
        return f"<{name} at 0x{id(self):x}; {self.locationStr} - {state}; {len(self.objectsById)} objects>"


def serve(
    objects: Any,
    host: str | None = None,
    port: int = 0,
    daemon: Daemon | None = None,
    use_ns: bool = True,
    verbose: bool = True,
    grace: float = GRACE_SECONDS,
) -> None:
    """Register objects, announce them and serve until stopped.

    Arguments: ``objects``, a dict from objects or classes to names (None: a generated one), or one object or class, which
    needs no name server; ``host`` and ``port`` for a new daemon, or an existing ``daemon``; ``use_ns``: register the names
    in the name server, otherwise they become the objects' ids; ``verbose``: print what is served. Ends at a Ctrl-C or
    SIGTERM: what runs has ``grace`` seconds to finish, the names are removed, and the daemon is closed. A second signal ends
    it at once.
    """
    named = objects.items() if isinstance(objects, dict) else [(objects, None)]
    with contextlib.ExitStack() as cleanup:
        running = daemon or Daemon(host, port)
        signals = cleanup.enter_context(StopSignals(running, grace))
        cleanup.callback(_close_quietly, running)
        name_server = None
        if use_ns and isinstance(objects, dict):
            from fastpyro.client.locate import locate_ns

            name_server = locate_ns()
        for obj, name in named:
            uri = running.register(obj, None if use_ns else name)
            if name_server is not None and name:
                name_server.register(name, uri)
                running._announced.add(name_server, name, uri)
            if verbose:
                print(f"Object {obj!r}:\n    uri = {uri}" + (f"\n    name = {name}" if name and use_ns else ""))
        if name_server is not None:
            name_server._pyroRelease()
        if verbose:
            print("Pyro daemon running.", flush=True)
        signals.run(running.requestLoop)


def _close_quietly(daemon: Daemon) -> None:
    try:
        if daemon._announced.due:
            daemon._announced.withdraw()
    except KeyboardInterrupt:
        pass  # somebody is impatient
    finally:
        with contextlib.suppress(KeyboardInterrupt):
            daemon.close()


def serve_simple(
    objects: dict[Any, str | None],
    host: str | None = None,
    port: int = 0,
    daemon: Daemon | None = None,
    ns: bool = True,
    verbose: bool = True,
) -> None:
    """Pyro4's spelling of ``serve``: the same with ``ns`` for ``use_ns``."""
    serve(objects, host, port, daemon, ns, verbose)


Daemon.serveSimple = staticmethod(serve_simple)  # type: ignore[attr-defined]
