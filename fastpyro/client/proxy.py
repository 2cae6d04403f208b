"""The client's stand-in for a remote object.

`Proxy` is an ordinary class that users subclass. Calls go through `_pyroInvoke`, or, where that makes no difference, the
fast path of `_proxy`. Threads may share a proxy: their calls are under way at once on one connection. An exchange that
fails in the middle closes the connection: nobody ever gets another call's answer. Knows nothing of daemons.
"""

from __future__ import annotations

import copyreg
import socket
import time
from collections.abc import Callable

from fastpyro._foreign_text import on_one_line
from fastpyro._lazy_logging import LazyLogger
from fastpyro._light_typing import TYPE_CHECKING
from fastpyro.callcontext import current_context
from fastpyro.client import _proxy, _session, session
from fastpyro.client._proxy import ProxyCore
from fastpyro.client._proxy_state import ProxyBuilder
from fastpyro.client.connecting import connected_callers, open_session
from fastpyro.client.metadata import member_details, names_of, read_idempotent, read_metadata
from fastpyro.client.method import RemoteMethod
from fastpyro.client.oneway_names import OnewayNames
from fastpyro.client.proxy_state import checked_state, state_of_pyro4
from fastpyro.client.retries import not_begun, repeatedly
from fastpyro.client.session import Request, Session
from fastpyro.client.special_methods import SpecialMethods
from fastpyro.config import LONGEST_TIME, config
from fastpyro.constants import DAEMON_NAME, MOST_PULLED_ITEMS
from fastpyro.errors import CommunicationError, ConnectionClosedError, LocalProtocolError, PyroError, SerializeError
from fastpyro.protocol.blobs import SerializedBlob
from fastpyro.serializers import registry as serializers
from fastpyro.transport import trusted_peers
from fastpyro.transport.sockets import family_name
from fastpyro.uri import URI
from fastpyro.values._keys import know_hash
from fastpyro.values.checked import building
from fastpyro.values.class_registry import register_builtin

if TYPE_CHECKING:
    from typing import Any, Self

    from fastpyro.client.batch import BatchProxy
    from fastpyro.protocol._batch import BatchWriter

__all__ = ["CONNECTED", "Proxy", "build_proxy", "plain_invoke"]

log = LazyLogger("fastpyro.proxy")

_DEFAULTS = (
    "_pyroLocalSocket", "_pyro_serializer", "_pyroHandshake", "_pyro_details", "_pyro_metadata_loaded", "_pyro_hmac_key",
    "_pyro_socket", "_pyro_idempotent",
)  # fmt: skip
"""Attributes whose first values are those of the class."""

_INSIDE = ("_pyro_", "__pyx_")
"""What names begin with that `dir` does not show."""

CONNECTED = "<<connected-socket>>:0"
"""The location of an object that is reached through a connected socket."""


class Proxy(SpecialMethods, ProxyCore):
    """Stands for a remote object: its methods and attributes are used as if they were local.

    Arguments: ``uri``, a str or URI (``PYRO:``, ``PYRONAME:`` or ``PYROMETA:``). Nothing is connected until the first
    use, ``_pyroBind()``, or ``_pyroReconnect()``. ``connected_socket``, a connected socket whose other end a daemon serves
    (``uri`` may be the bare object id then): it is used without a handshake, is not closed, and there is no other.

    A call returns what the remote method returns, or raises what it raises (``_pyroTraceback`` on the exception holds the
    remote traceback). Besides, any use may raise CommunicationError and its subclasses, and NamingError when a name
    cannot be resolved. May be shared among threads, whose calls do not wait for each other.
    """

    __module__ = "fastpyro"

    _pyro_local_names = frozenset({
        "_pyroUri", "_pyroConnection", "_pyroMethods", "_pyroAttrs", "_pyroOneway", "_pyroSeq", "_pyroTimeout",
        "_pyroMaxRetries", "_pyroSerializer", "_pyroHandshake", "_pyroRawWireResponse", "_pyroLocalSocket",
        "_pyro_timeout", "_pyro_lock", "_pyro_session", "_pyro_details", "_pyro_metadata_loaded", "_pyroHmacKey",
        "_pyro_hmac_key", "_pyro_socket", "_pyro_connecting", "_pyro_idempotent",
    })  # fmt: skip

    _pyro_sends_handshake = False
    """Whether ``_pyroHandshake`` travels with the proxies of a class even without ``config.SEND_HANDSHAKE``."""

    _pyro_prefetch = MOST_PULLED_ITEMS
    """How many items of a stream its results fetch at once; see ``StreamResult.prefetch``."""

    def __init__(self, uri: str | URI, connected_socket: socket.socket | None = None) -> None:
        if not isinstance(uri, str | URI):
            raise TypeError(f"expected Pyro URI, a str or URI object, not {type(uri).__name__}")
        if connected_socket is not None and isinstance(uri, str) and ":" not in uri:
            uri = f"PYRO:{uri}@{CONNECTED}"
        serializers.check_name(config.SERIALIZER)
        self._pyro_start(self._pyro_uri_class(uri))
        if connected_socket is not None:
            self._pyro_update(_pyro_socket=connected_socket)

    def _pyro_start(self, uri: URI) -> None:
        # Without a connection, and with the settings of ``config``. The URI becomes the proxy's own.
        plain = type(self)._pyroInvoke is plain_invoke and not config.COMPRESSION
        if self._pyro_begin(plain, uri, config.MAX_RETRIES, config.COMMTIMEOUT):
            for name in _DEFAULTS:  # a constructor that is called again
                self.__dict__.pop(name, None)

    def _pyro_choose_path(self) -> None:
        """Have the next call take the fast path, unless something has changed for which there is the other one."""
        self._pyro_use_fast_path(type(self)._pyroInvoke is plain_invoke and not config.COMPRESSION)

    # Those of the class hold until an object has its own: a message may hold a hundred thousand proxies.
    _pyro_uri_class = URI
    _pyroLocalSocket: Any = None
    _pyro_serializer: str | None = None
    _pyroHandshake: Any = "hello"
    _pyro_plain_invoke: Callable[..., Any]
    _pyro_details: dict[str, dict[str, Any]] | None = None
    _pyro_metadata_loaded: bool = False
    _pyro_hmac_key: bytes | None = None
    _pyro_socket: socket.socket | None = None
    _pyro_idempotent: set[str] | None = None

    _pyro_repeats_as_pyro = False
    """Whether calls are repeated as Pyro does it: at once, and only after a connection was lost or a timeout."""

    @property
    def _pyroTimeout(self) -> float | None:
        """Seconds that one call may take, and that connecting for it may take before; None or 0: no limit."""
        return self._pyro_timeout or None

    @_pyroTimeout.setter
    def _pyroTimeout(self, seconds: float | None) -> None:
        if seconds is not None and not 0 <= seconds < float("inf"):
            raise ValueError(f"a timeout is a number of seconds, 0 or more, or None, not {seconds!r}")
        object.__setattr__(self, "_pyro_timeout", float(min(seconds or 0.0, LONGEST_TIME)))

    @property
    def _pyroHmacKey(self) -> bytes | None:
        """The key with which messages are signed and checked, the daemon's (None: none). Pyro4's protocol is spoken then.

        Setting it ends a connection that was made without it. Raises ValueError for an empty key, TypeError for no key.
        """
        return self._pyro_hmac_key

    @_pyroHmacKey.setter
    def _pyroHmacKey(self, key: str | bytes | None) -> None:
        checked = trusted_peers.hmac_key_of(key)
        if checked != self._pyro_hmac_key:
            self._pyro_update(_pyro_hmac_key=checked)
            session = self._pyro_session
            if session is not None:  # never a word without the key
                self._pyro_update(_pyro_session=None)
                self._pyro_let_go(session)

    @property
    def _pyroSerializer(self) -> str | None:
        """The name of the serializer for the next calls, None for ``config.SERIALIZER``."""
        return self._pyro_serializer

    @_pyroSerializer.setter
    def _pyroSerializer(self, name: str | None) -> None:
        self._pyro_update(_pyro_serializer=name)
        self._pyro_choose_format()

    def _pyro_choose_format(self) -> None:
        """Have the next call use the serializer that is set now. Where the connection cannot, another one is made for it."""
        session, name = self._pyro_session, self._pyro_serializer or config.SERIALIZER
        if session is None or name == session.asked_for:
            return
        other = session.in_format(name)
        self._pyro_update(_pyro_session=other)
        if other is None:
            self._pyro_let_go(session)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._pyroRelease()

    def __eq__(self, other: object) -> bool:
        return issubclass(type(other), Proxy) and other._pyroUri == self._pyroUri  # type: ignore[attr-defined]

    def __hash__(self) -> int:
        return hash(self._pyroUri)

    def __bool__(self) -> bool:
        return True

    def __copy__(self) -> Self:
        """Return an unconnected proxy of the same class with the same settings."""
        copied = type(self).__new__(type(self))
        Proxy.__init__(copied, self._pyroUri)
        copied._pyro_update(
            _pyroMethods=set(self._pyroMethods),
            _pyroAttrs=set(self._pyroAttrs),
            _pyroOneway=OnewayNames.copy_of(self._pyroOneway),
            _pyroMaxRetries=self._pyroMaxRetries,
            _pyro_serializer=self._pyro_serializer,
            _pyroHandshake=self._pyroHandshake,
            _pyroRawWireResponse=self._pyroRawWireResponse,
            _pyro_timeout=self._pyro_timeout,
            _pyro_metadata_loaded=self._pyro_metadata_loaded,
            _pyro_hmac_key=self._pyro_hmac_key,
        )
        return copied

    def __deepcopy__(self, memo: dict[int, Any]) -> Proxy:
        return self.__copy__()

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return copyreg.__newobj__, (type(self),), self.__getstate__()  # type: ignore[attr-defined]

    def __getstate__(self) -> tuple[Any, ...]:
        return (
            str(self._pyroUri),
            tuple(self._pyroOneway),
            tuple(self._pyroMethods),
            tuple(self._pyroAttrs),
            self._pyroHandshake if self._pyro_sends_handshake or config.SEND_HANDSHAKE else "hello",
            self._pyroSerializer,
        )

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        # The writer of the state says where the proxy leads, and nothing about whom to trust: no key, no pickles.
        uri, oneway, methods, attributes, handshake_data, serializer = (
            state[:6] if len(state) == 6 else state_of_pyro4(state)
        )
        self._pyro_start(self._pyro_uri_class.from_peer(uri))
        settings: dict[str, Any] = {}
        if oneway:
            settings["_pyroOneway"] = OnewayNames.from_peer(oneway)
        if methods or attributes:
            settings["_pyroMethods"] = names_of(methods, "methods of a proxy")
            settings["_pyroAttrs"] = names_of(attributes, "attributes of a proxy")
            settings["_pyro_metadata_loaded"] = True
        if serializer is not None:
            settings["_pyro_serializer"] = serializers.safe_name(serializer)
        if type(handshake_data) is not str or handshake_data != "hello":
            settings["_pyroHandshake"] = handshake_data
        if settings:
            self._pyro_update(**settings)

    def __repr__(self) -> str:
        connection = self._pyroConnection
        state = "not connected" if connection is None else f"connected {family_name(connection.sock)}"
        uri = on_one_line(str(self._pyroUri))
        return f"<{type(self).__module__}.{type(self).__qualname__} at 0x{id(self):x}; {state}; for {uri}>"

    def __dir__(self) -> list[str]:
        own = {name for name in (*dir(type(self)), *self.__dict__) if not name.startswith(_INSIDE)}
        return sorted({*own, *self._pyroMethods, *self._pyroAttrs})

    def __getattr__(self, name: str) -> Any:
        if name in Proxy._pyro_local_names:
            raise AttributeError(name)
        if name in self._pyroMethods:
            return RemoteMethod(self, name)
        if not config.METADATA:
            return RemoteMethod(self, name)
        if not self._pyro_metadata_loaded:
            if name in getattr(self._pyroOneway, "remembered", ()):
                return RemoteMethod(self, name)
            repeatedly(self, name, self._pyroGetMetadata)
        if name in self._pyroMethods or name in getattr(self._pyroOneway, "remembered_early", ()):
            return RemoteMethod(self, name)
        if name in self._pyroAttrs:
            return self._pyroInvoke("__getattr__", (name,), None)
        raise AttributeError(f"remote object '{self._pyroUri}' has no exposed attribute or method '{name}'")

    def __setattr__(self, name: str, value: Any) -> None:
        if name in Proxy._pyro_local_names or not config.METADATA:
            object.__setattr__(self, name, value)
            return
        if not self._pyro_metadata_loaded:
            self._pyroGetMetadata()
        if name not in self._pyroAttrs:
            raise AttributeError(f"remote object '{self._pyroUri}' has no exposed attribute '{name}'")
        self._pyroInvoke("__setattr__", (name, value), None)

    def __delattr__(self, name: str) -> None:
        if name in Proxy._pyro_local_names or not config.METADATA or name in self.__dict__:
            object.__delattr__(self, name)
            return
        if not self._pyro_metadata_loaded:
            self._pyroGetMetadata()
        if name not in self._pyroAttrs:
            raise AttributeError(f"remote object '{self._pyroUri}' has no exposed attribute '{name}'")
        self._pyroInvoke("__delattr__", (name,), None)

    def _pyroInvoke(
        self, methodname: str, vargs: Any, kwargs: dict[str, Any] | None, flags: int = 0, objectId: str | None = None
    ) -> Any:
        """Perform one remote call; every method call and attribute access comes through here, so subclasses may override.

        Arguments: ``methodname``; ``vargs``, positional arguments; ``kwargs``, keyword arguments or None; ``flags`` of the
        message; ``objectId`` of another object in the same daemon. Returns the result, or None for a oneway call.
        """
        return session.invoke(self, Request(methodname, vargs, kwargs, flags, objectId))

    def _pyroInvokeBatch(self, calls: BatchWriter, oneway: bool = False) -> tuple[list[Any], BaseException | None]:
        """Perform the queued calls in one message; returns the results and the error that ended the batch, if any."""
        return session.invoke_batch(self, calls, oneway)

    def _pyro_open_session(self) -> Session:
        """Return the session, with a connection that is open so far; connects if there is none."""
        session = self._pyro_session
        if session is None or session.channel.closed:
            self._pyro_connect_if_needed()
            session = self._pyro_session
            if session is None:
                raise not_begun(ConnectionClosedError("the proxy was released by another thread"))
        return session  # type: ignore[no-any-return]

    def _pyro_drop(self, session: Session) -> None:
        """End a session in which something went wrong; another one stays."""
        session.channel.close()
        current = self._pyro_session
        if current is not None and current.channel is session.channel:
            self._pyro_update(_pyro_session=None)

    def _pyroBind(self) -> bool:
        """Connect now. Returns True when a new connection was made, False when there was one already.

        A proxy that was given a name stands for what the name means now from then on: ``_pyroUri`` becomes that address.
        """
        with self._pyro_turn():
            if not self._pyro_connect_if_needed():
                return False
            session = self._pyro_session
            if session is not None:
                self._pyro_update(_pyroUri=session.uri)
            return True

    def _pyro_connect_if_needed(self) -> bool:
        with self._pyro_turn():
            session = self._pyro_session
            if session is not None and not session.channel.closed:
                return False
            with self._pyro_connecting.guard():  # a destructor that comes in between gets no second connection
                if session is not None:
                    self._pyroRelease()
                try:
                    self._pyro_connect()
                except PyroError as error:
                    raise not_begun(error)  # noqa: B904 - it is the same error
            return True

    def _pyroRelease(self) -> None:
        """Close the connection; the next use makes a new one. May be called at any time, from any thread."""
        if (session := self._pyro_session) is not None:
            self._pyro_update(_pyro_session=None)
            self._pyro_let_go(session)

    def _pyro_let_go(self, session: Session) -> None:
        if self._pyro_socket is None:
            session.channel.close()
        else:
            session.channel.abandon()  # the socket is its owner's, who may use it again

    def _pyroReconnect(self, tries: int = 100000000, pause: float = 2.0) -> None:
        """Close the connection and make a new one, trying again while the daemon (or the name server) is away.

        Arguments: ``tries``, the most attempts; ``pause``, seconds between two of them.
        Raises ConnectionClosedError when all attempts have failed.
        """
        self._pyroRelease()
        failure: Exception | None = None
        for attempt in range(tries):
            if attempt:
                time.sleep(min(pause, LONGEST_TIME))
            try:
                self._pyro_connect_if_needed()
                return
            except (CommunicationError, LookupError) as error:
                if type(error) is LocalProtocolError:
                    raise  # this thread is connecting already
                failure = error
        try:
            why = "" if failure is None else f": {failure}"
            raise ConnectionClosedError(f"failed to reconnect to {self._pyroUri} in {tries:,} tries{why}") from failure
        finally:
            del failure  # its traceback holds this frame, which would hold it

    def _pyroValidateHandshake(self, response: Any) -> None:
        """Check the daemon's answer to the handshake; override and raise to refuse the daemon. Accepts all by default."""

    def _pyro_connect(self) -> None:
        # Precondition: the lock is held and there is no usable connection.
        assert self._pyro_lock.owned
        if building.depth and self._pyroUri.is_foreign:
            raise SerializeError(f"a proxy came in a message that is still being read; {self._pyroUri} is not dialled")
        given = self._pyroHmacKey
        key = None if given is None else trusted_peers.hmac_key_of(given)
        session, answer, response_annotations = open_session(self, key)
        try:
            # As `_pyro_choose_path`, without a frame for each connection.
            self._pyro_use_fast_path(type(self)._pyroInvoke is plain_invoke and not config.COMPRESSION)
            self._pyro_update(_pyro_session=session, _pyroLocalSocket=session.channel.sock.getsockname())
            connected_callers[id(self)] = self
            if self._pyroHmacKey != given:
                raise ConnectionClosedError("the HMAC key was changed while the connection was made with another one")
            if response_annotations:
                current_context.response_annotations = response_annotations
            self._pyroValidateHandshake(answer["handshake"])
            self._pyro_take_metadata(answer["meta"])
        except BaseException:
            self._pyroRelease()
            raise
        log.debug("connected to %s", session.uri)

    def _pyroGetMetadata(self, objectId: str | None = None, known_metadata: dict[str, Any] | None = None) -> None:
        """Load the names of the remote object's methods and attributes, connecting if needed."""
        with self._pyro_turn():
            if known_metadata is not None:
                self._pyro_take_metadata(known_metadata)
            elif not self._pyro_connect_if_needed():
                object_id = objectId or self._pyro_open_session().object_id
                self._pyro_take_metadata(self._pyroInvoke("get_metadata", (object_id,), {}, objectId=DAEMON_NAME))

    def _pyro_take_metadata(self, metadata: Any) -> None:
        methods, attributes, oneway_methods = read_metadata(metadata)
        idempotent = read_idempotent(metadata) if "idempotent" in metadata else None
        if not methods and not attributes and config.METADATA:
            raise PyroError(
                f"remote object '{self._pyroUri}' doesn't expose any methods or attributes. "
                "Did you forget setting @expose on them?"
            )
        oneway = OnewayNames.copy_of(self._pyroOneway)
        oneway.take_from_peer(oneway_methods, first=not self._pyro_metadata_loaded)
        self._pyro_update(_pyroMethods=methods, _pyroAttrs=attributes, _pyroOneway=oneway)
        self._pyro_update(_pyro_metadata_loaded=True, _pyro_details=None)
        if idempotent != self._pyro_idempotent:
            self._pyro_update(_pyro_idempotent=idempotent)

    def _pyro_member_details(self, name: str) -> dict[str, Any]:
        """Return signature and docstring of a remote method, asked for once a connection."""
        details = self._pyro_details
        if details is None:
            session = self._pyro_open_session()
            details = {}  # Pyro's daemons have none
            if session.native:
                arguments = (session.object_id,), {"details": True}
                details = member_details(self._pyroInvoke("get_metadata", *arguments, objectId=DAEMON_NAME))
            self._pyro_update(_pyro_details=details)
        return details.get(name, {})

    def _pyroBatch(self) -> BatchProxy:
        """Return a batch: calls on it are queued, and performed together when the batch itself is called."""
        from fastpyro.client.batch import BatchProxy

        return BatchProxy(self)

    def _pyroAsync(self, asynchronous: bool = True, **keywords: Any) -> Any:
        """Return an asynchronous twin of this proxy, whose calls return a FutureResult at once; this one stays as it is."""
        from fastpyro.client.async_proxy import asyncproxy

        return asyncproxy(self, asynchronous, **keywords)


def build_proxy(_class_name: str, state: Any, cls: type[Proxy] = Proxy) -> Proxy:
    """Return a proxy of a class, from the state that it travelled as. Raises SerializeError for what is no such state."""
    proxy = cls.__new__(cls)
    proxy.__setstate__(checked_state(state))
    return proxy


plain_invoke = Proxy._pyroInvoke  # a class whose method is another one has replaced it, for Proxy itself too
Proxy._pyro_plain_invoke = staticmethod(plain_invoke)
_proxy.install(Proxy, RemoteMethod)
_session.install(SerializedBlob, OnewayNames)
_builder: Any = ProxyBuilder(
    Proxy,
    URI,
    OnewayNames,
    config,
    names_of=names_of,
    safe_name=serializers.safe_name,
    otherwise=build_proxy,
)
register_builtin(Proxy, "fastpyro.Proxy", Proxy.__getstate__, _builder)
know_hash(Proxy, "proxy", ())
