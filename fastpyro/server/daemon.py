"""The server side's front: the registry of objects that clients may call, and the loop that serves them.

Knows objects and their ids; how requests arrive is the business of `servers`, what happens to one that of `dispatch`.
"""

from __future__ import annotations

import logging
import socket
import uuid
import weakref
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from fastpyro._foreign_text import shown
from fastpyro._lazy_logging import logger
from fastpyro._mutex import Mutex
from fastpyro.config import config
from fastpyro.constants import DAEMON_NAME, PROTOCOL_VERSION
from fastpyro.errors import DaemonError, PyroError
from fastpyro.serializers import registry as serializers
from fastpyro.server import object_ids
from fastpyro.server.coroutines import Coroutines
from fastpyro.server.daemon_object import AUTOMATIC, DaemonObject
from fastpyro.server.exposure import behavior, details_of, members_of, metadata_of, reset_members
from fastpyro.server.instances import InstanceTable
from fastpyro.server.item_streams import StreamTable
from fastpyro.server.servers import ExistingConnectionServer, make_server
from fastpyro.transport import sockets
from fastpyro.transport.trusted_peers import hmac_key_of
from fastpyro.uri import URI
from fastpyro.values import class_registry
from fastpyro.values._memory_budget import HeldMemory
from fastpyro.values.class_registry import StateOf

if TYPE_CHECKING:
    import asyncio
    from typing import Self

    from fastpyro.server.connection import Connection

__all__ = ["Daemon"]

log = logger("fastpyro.daemon")

MOST_ARGUMENT_TEXT = 500

NOT_BOUND = "./u:<<not-bound>>"
"""The location of a daemon on a connected socket, which nobody else can reach."""


class Daemon:
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
    locationStr = ""
    objectsById: dict[str, Any] = {}  # noqa: RUF012
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
        _check_addresses(unixsocket, nathost, natport)
        self.require_expose = config.REQUIRE_EXPOSE
        self.has_annotations = type(self).annotations is not Daemon.annotations
        self.held_memory = HeldMemory()
        self.streams = StreamTable(threaded=connected_socket is None and config.SERVERTYPE == "thread")
        self.coroutines = Coroutines()
        self.instances = InstanceTable()
        self.accepted_serializers = serializers.accepted_ids(config.SERIALIZERS_ACCEPTED)
        self._hmac_key: bytes | None = None
        self.methodcall_error_handler: Callable[..., None] = _log_error
        self._host = config.HOST if host is None else str(host)
        self._unixsocket = unixsocket
        self._registration = Mutex(reentrant=True)
        self._metadata: dict[tuple[type, bool], dict[str, Any]] = {}
        self._closed = False
        if connected_socket is not None:
            self.locationStr, self.natLocationStr = NOT_BOUND, None
            self.transportServer = ExistingConnectionServer(self, connected_socket)
        else:
            listener = sockets.listen(self._host, port, unixsocket)
            self.locationStr, self.natLocationStr = self._locations(listener, nathost, natport)
            try:
                self.transportServer = make_server(config.SERVERTYPE, self, listener)
            except BaseException:
                listener.close()
                raise
        own = interface(self)
        own._pyroId = DAEMON_NAME  # type: ignore[attr-defined]
        self.objectsById = {DAEMON_NAME: own}
        log.debug("daemon on %s, pyro protocol version %d", self.locationStr, PROTOCOL_VERSION)

    def _locations(self, listener: socket.socket, nathost: str | None, natport: int | None) -> tuple[str, str | None]:
        if self._unixsocket:
            return f"./u:{self._unixsocket}", None
        port = listener.getsockname()[1]
        location = sockets.host_port_text(self._host or "0.0.0.0", port)
        nathost = nathost or config.NATHOST
        if not nathost:
            return location, None
        return location, sockets.host_port_text(nathost, natport or config.NATPORT or port)

    def register(self, obj_or_class: Any, objectId: str | None = None, force: bool = False, weak: bool = False) -> URI:
        """Make an object callable from other processes.

        Arguments: ``obj_or_class``, an instance, or a class whose instances are made as its ``@behavior`` says;
        ``objectId``, its id (None or empty: a random one); ``force``: register again, or under another id; ``weak``: forget
        the object when nothing else refers to it. Returns its URI.
        Raises TypeError for an id that is no str, PyroError for one that cannot be part of a URI, DaemonError
        when object or id are registered already.
        """
        if objectId is None or objectId == "":
            objectId = AUTOMATIC + uuid.uuid4().hex
        elif not isinstance(objectId, str):
            raise TypeError(f"objectId must be a str or None, not {type(objectId).__name__}")
        if weak and isinstance(obj_or_class, type):
            raise TypeError("a class cannot be registered weakly, only an instance")
        uri = self.uriFor(objectId)
        with self._registration.guard():
            if not force:
                self._check_free(obj_or_class, objectId)
            if isinstance(obj_or_class, type) and not hasattr(obj_or_class, "_pyroInstancing"):
                behavior()(obj_or_class)
            cls = obj_or_class if isinstance(obj_or_class, type) else type(obj_or_class)
            object_ids.check_type(cls)
            entry = weakref.ref(obj_or_class, self._forget(objectId, id(obj_or_class))) if weak else obj_or_class
            object_ids.place(obj_or_class, objectId, self)
            class_registry.register_type_replacement(cls, _as_proxy)
            self.objectsById[objectId] = entry
        if not any(members_of(cls, self.require_expose)[:2]):
            log.warning("class %s doesn't expose any methods or attributes; did you forget @expose?", cls.__qualname__)
        return uri

    def _check_free(self, obj_or_class: Any, object_id: str) -> None:
        if isinstance(obj_or_class, type):  # the attributes of a base are not its own
            own_id = vars(obj_or_class).get("_pyroId")
        else:
            own_id, _ = object_ids.place_of(obj_or_class)
        if own_id and self._registered(own_id) is obj_or_class:
            raise DaemonError(f"object or class already has a Pyro id: {own_id}")
        if object_id in self.objectsById:
            raise DaemonError(f"an object or class is already registered with that id: {object_id}")

    def _registered(self, object_id: str) -> Any:
        found = self.objectsById.get(object_id)
        return found() if isinstance(found, weakref.ref) else found

    def _serves(self, obj: Any, object_id: Any) -> bool:
        """Return whether an object, or the class that it is an instance of, is registered here under that id.

        What the object says of itself is not asked: its attributes may have come from anywhere.
        """
        if type(object_id) is not str:
            return False
        found = self._registered(object_id)
        return found is not None and (found is obj or (isinstance(found, type) and found in type(obj).__mro__))

    def _forget(self, object_id: str, identity: int) -> Callable[[Any], None]:
        daemon = weakref.ref(self)

        def forget(reference: Any) -> None:
            object_ids.forget_beside(identity)
            alive = daemon()
            if alive is not None and alive.objectsById.get(object_id) is reference:
                del alive.objectsById[object_id]

        return forget

    def unregister(self, objectOrId: Any) -> None:
        """Make an object unreachable again; calls that run go on. Unknown ids are no error.

        Raises ValueError for None, DaemonError for an object that is not registered here.
        """
        if objectOrId is None:
            raise ValueError("object or objectid argument expected, not None")
        object_id: Any
        if isinstance(objectOrId, str):
            object_id, found = objectOrId, self._registered(objectOrId)
        else:
            (object_id, _), found = object_ids.place_of(objectOrId), objectOrId
            if not object_id or self._registered(object_id) is not objectOrId:
                raise DaemonError("object isn't registered in this daemon")
        if object_id == DAEMON_NAME:
            return
        self.objectsById.pop(object_id, None)
        if found is not None:
            object_ids.forget(found)

    def find_object(self, object_id: str, connection: Connection) -> Any:
        """Return the object that a request means, made now if a class is registered.

        Raises DaemonError for an unknown id, or what the class's constructor raises.
        """
        found = self.objectsById.get(object_id)
        if isinstance(found, weakref.ref):
            found = found()
        if found is None:
            raise DaemonError(f"unknown object: no object with id {shown(object_id)} is registered in this daemon")
        if isinstance(found, type):
            return self.instances.get(found, connection)
        return found

    def registered_as(self, object_id: str) -> Any:
        """Return the object or the class that a request means, and make nothing of it; None for an unknown id."""
        return self._registered(object_id)

    def metadata(self, object_id: str, details: bool = False) -> dict[str, Any]:
        """Return the names that clients may use of an object; with ``details`` also signatures and docstrings.

        Raises DaemonError for an unknown object.
        """
        found = self._registered(object_id)
        if found is None:
            raise DaemonError(f"unknown object: no object with id {shown(object_id)} is registered in this daemon")
        cls = found if isinstance(found, type) else type(found)
        metadata = self._metadata.get((cls, False))
        if metadata is None:
            metadata = self._metadata[(cls, False)] = metadata_of(found, self.require_expose)
        if details:
            return {**metadata, "details": details_of(found, self.require_expose)}
        return metadata

    def resetMetadataCache(self, objectOrId: Any, nat: bool = True) -> None:
        """Look at an object's class anew, after members were added to it; clients see it with their next connection."""
        found = self._registered(objectOrId) if isinstance(objectOrId, str) else objectOrId
        if found is not None:
            cls = found if isinstance(found, type) else type(found)
            self._metadata.pop((cls, False), None)
            reset_members(cls)
            self.transportServer.requests.forget_classes()

    def uriFor(self, objectOrId: Any, nat: bool = True) -> URI:
        """Return the URI of a registered object, or of any id; ``nat=False`` gives the internal address.

        Raises DaemonError for an object that is not registered.
        """
        object_id: Any
        if isinstance(objectOrId, str):
            object_id = objectOrId
        else:
            object_id, _ = object_ids.place_of(objectOrId)
            if not self._serves(objectOrId, object_id):
                raise DaemonError("object isn't registered in this daemon")
        location = (self.natLocationStr if nat else None) or self.locationStr
        return URI(f"PYRO:{object_id}@{location}")

    def proxyFor(self, objectOrId: Any, nat: bool = True) -> Any:
        """Return an unconnected proxy for a registered object. Raises DaemonError when it is not registered."""
        uri = self.uriFor(objectOrId, nat)
        proxy = class_registry.build("fastpyro.Proxy", _proxy_state(uri, self.metadata(uri.object)))
        proxy._pyroUri.is_foreign = False
        return proxy

    def requestLoop(self, loopCondition: Callable[[], bool] = lambda: True) -> None:
        """Serve requests until ``shutdown()``, Ctrl-C, or until ``loopCondition()``, asked regularly, is false."""
        self._check_open()
        log.info("daemon %s entering request loop", self.locationStr)
        try:
            self.transportServer.loop(loopCondition)
        except KeyboardInterrupt:
            log.debug("stopping on break signal")
        log.debug("daemon exits request loop")

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

    def shutdown(self) -> None:
        """Stop serving: end the request loop and close every connection. Returns at once; may be called from any
        thread, also from a method that a client calls, which still gets its answer."""
        server = self.transportServer
        if server is not None:
            server.shutdown()

    def close(self) -> None:
        """Shut down and release the listening socket and everything else. May be called again."""
        if self._closed:
            return
        self._closed = True
        server, self.transportServer = self.transportServer, None
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

    def _check_open(self) -> None:
        if self._closed:
            raise PyroError("cannot reuse this object: the daemon is closed; make a new one")

    def validateHandshake(self, conn: Connection, data: Any) -> Any:
        """Admit a client, whose ``_pyroHandshake`` is ``data``, by returning an answer for it, or raise to refuse it."""
        return "hello"

    def clientDisconnect(self, conn: Connection) -> None:
        """Called after an admitted client has gone."""

    def annotations(self) -> dict[str, bytes]:
        """Return annotations to add to every reply: 4-character keys, bytes values."""
        return {}

    def housekeeping(self) -> None:
        """Called every second or so by the thread that waits for requests."""

    @property
    def streaming_responses(self) -> dict[str, Any]:
        """The open item streams, by id."""
        return self.streams.streams

    def __repr__(self) -> str:
        state = "closed" if self._closed else sockets.family_name(self.transportServer.sock)
        name = f"{type(self).__module__}.{type(self).__qualname__}"
        return f"<{name} at 0x{id(self):x}; {self.locationStr} - {state}; {len(self.objectsById)} objects>"


def _check_addresses(unixsocket: str | None, nathost: str | None, natport: int | None) -> None:
    if unixsocket and nathost:
        raise ValueError("cannot use nathost together with unixsocket: a Unix socket is not reached over a network")
    if natport is not None and nathost is None:
        raise ValueError("must provide natport with nathost")


def _proxy_state(uri: URI, metadata: dict[str, Any]) -> tuple[Any, ...]:
    return (
        str(uri),
        tuple(metadata["oneway"]),
        tuple(metadata["methods"]),
        tuple(metadata["attrs"]),
        "hello",
        None,
    )


def daemon_of(obj: Any) -> Daemon | None:
    """Return the daemon of this process in whose registry an object is, or None; what else it carries does not count."""
    found = _served(obj)
    return None if found is None else found[1]


def _served(obj: Any) -> tuple[str, Daemon] | None:
    object_id, daemon = object_ids.place_of(obj)
    is_real = issubclass(type(daemon), Daemon) and daemon._serves(obj, object_id)
    return (object_id, daemon) if is_real else None


def _as_proxy(obj: Any) -> Any:
    """What goes over the wire for an object whose type is registered: a proxy, unless it is not registered any more."""
    found = _served(obj) if config.AUTOPROXY else None
    if found is None:
        return obj
    object_id, daemon = found
    return StateOf("fastpyro.Proxy", _proxy_state(daemon.uriFor(object_id), daemon.metadata(object_id)))


def _log_error(daemon: Daemon, client: Any, method: Any, args: Any, kwargs: Any, exception: BaseException) -> None:
    if log.isEnabledFor(logging.DEBUG):
        # Not by their repr, which a client may make long and slow.
        values = f"{shown(args)} {shown(list(kwargs.items()))}"
        called = f"{getattr(method, '__qualname__', method)} {values}"[:MOST_ARGUMENT_TEXT]
        log.debug("error in call of %s from %s: %r", called, shown(client), exception)


def serve(
    objects: dict[Any, str | None],
    host: str | None = None,
    port: int = 0,
    daemon: Daemon | None = None,
    use_ns: bool = True,
    verbose: bool = True,
) -> None:
    """Register objects, announce them and serve until stopped.

    Arguments: ``objects``, a dict from objects or classes to names (None: a generated one); ``host`` and ``port`` for a new
    daemon, or an existing ``daemon``; ``use_ns``: register the names in the name server, otherwise they become the
    objects' ids; ``verbose``: print what is served.
    """
    with daemon or Daemon(host, port) as running:
        name_server = None
        if use_ns:
            from fastpyro.client.locate import locate_ns

            name_server = locate_ns()
        for obj, name in objects.items():
            uri = running.register(obj, None if use_ns else name)
            if name_server is not None and name:
                name_server.register(name, uri)
            if verbose:
                print(f"Object {obj!r}:\n    uri = {uri}" + (f"\n    name = {name}" if name and use_ns else ""))
        if name_server is not None:
            name_server._pyroRelease()
        if verbose:
            print("Pyro daemon running.", flush=True)
        running.requestLoop()


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
