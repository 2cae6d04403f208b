"""What a daemon serves: the objects that clients may call, by which rules, and what their calls share. No sockets.

Knows objects and their ids. How requests arrive is the business of those that serve it, what happens to one that of
`dispatch`; which addresses it says, `Daemon` sets.
"""

from __future__ import annotations

import logging
import uuid
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from fastpyro._foreign_text import shown
from fastpyro._lazy_logging import logger
from fastpyro._mutex import Mutex
from fastpyro.config import config
from fastpyro.constants import DAEMON_NAME
from fastpyro.errors import DaemonError
from fastpyro.serializers import registry as serializers
from fastpyro.server import object_ids
from fastpyro.server.cancelling import Cancelling
from fastpyro.server.coroutines import Coroutines
from fastpyro.server.dropped_calls import DroppedCalls
from fastpyro.server.exposure import behavior, details_of, idempotent_of, members_of, metadata_of, reset_members
from fastpyro.server.instances import InstanceTable
from fastpyro.server.item_streams import StreamTable
from fastpyro.uri import URI
from fastpyro.values import class_registry
from fastpyro.values._memory_budget import HeldMemory
from fastpyro.values.class_registry import StateOf

if TYPE_CHECKING:
    from fastpyro.server.connection import Connection

__all__ = ["NOT_BOUND", "Service", "service_of"]

log = logger("fastpyro.daemon")

MOST_ARGUMENT_TEXT = 500

NOT_BOUND = "./u:<<not-bound>>"
"""The location of what nobody reaches by an address: a service by itself, a daemon on a connected socket."""


class Service:
    """The objects that clients may call, and what calls need beside them.

    Argument: ``threaded``, whether calls may run in several threads at once.

    Attributes: ``objectsById``; ``locationStr`` and ``natLocationStr``, the addresses that URIs get; ``instances`` of
    registered classes; open item ``streams``; ``coroutines`` of methods; ``held_memory``, of the arguments of all calls;
    ``dropped_calls``, how many did not begin because nobody waited any more; ``cancelling``, who tells the others;
    ``require_expose`` and ``accepted_serializers``, as configured when it was made; ``methodcall_error_handler``, called
    with the service, the client's address, method, arguments, keywords and the error of a call that failed.
    """

    locationStr = NOT_BOUND
    natLocationStr: str | None = None
    objectsById: dict[str, Any] = {}  # noqa: RUF012
    _hmac_key: bytes | None = None

    def __init__(self, threaded: bool = True) -> None:
        self.require_expose = config.REQUIRE_EXPOSE
        self.has_annotations = type(self).annotations is not Service.annotations
        self.held_memory = HeldMemory()
        self.streams = StreamTable(threaded=threaded)
        self.coroutines = Coroutines()
        self.instances = InstanceTable()
        self.dropped_calls = DroppedCalls()
        self.cancelling = Cancelling(self.dropped_calls)
        self.accepted_serializers = serializers.accepted_ids(config.SERIALIZERS_ACCEPTED)
        self.methodcall_error_handler: Callable[..., None] = _log_error
        self.objectsById = {}
        self._registration = Mutex(reentrant=True)
        self._metadata: dict[type, dict[str, Any]] = {}
        self._idempotent: dict[type, set[str]] = {}
        self._details: dict[tuple[type, bool], dict[str, Any]] = {}

    def register(self, obj_or_class: Any, objectId: str | None = None, force: bool = False, weak: bool = False) -> URI:
        """Make an object callable from other processes.

        Arguments: ``obj_or_class``, an instance, or a class whose instances are made as its ``@behavior`` says;
        ``objectId``, its id (None or empty: a random one); ``force``: register again, or under another id; ``weak``: forget
        the object when nothing else refers to it. Returns its URI.
        Raises TypeError for an id that is no str, PyroError for one that cannot be part of a URI, DaemonError
        when object or id are registered already.
        """
        if objectId is None or objectId == "":
            objectId = object_ids.AUTOMATIC + uuid.uuid4().hex
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
        service = weakref.ref(self)

        def forget(reference: Any) -> None:
            object_ids.forget_beside(identity)
            alive = service()
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
        metadata = self._metadata.get(cls)
        if metadata is None:
            metadata = self._metadata[cls] = metadata_of(found, self.require_expose)
        if details:
            return {**metadata, "details": self._details_of(found, cls)}
        return metadata

    def idempotent_methods(self, object_id: str) -> set[str]:
        """Return the names of a registered object's methods that may run twice."""
        found = self._registered(object_id)
        cls = found if isinstance(found, type) else type(found)
        names = self._idempotent.get(cls)
        if names is None:
            names = self._idempotent[cls] = idempotent_of(cls, self.require_expose)
        return names

    def _details_of(self, found: Any, cls: type) -> dict[str, Any]:
        """Return what help() shows of an object; made once for each class, because it takes as long as hundreds of calls."""
        key = cls, found is not cls
        own = getattr(found, "__dict__", {}) if found is not cls else {}
        if not members_of(cls, self.require_expose).methods.isdisjoint(own):
            return details_of(found, self.require_expose)  # the instance has a method of its own
        details = self._details.get(key)
        if details is None:
            details = self._details[key] = details_of(found, self.require_expose)
        return details

    def offered_metadata(self, object_id: str) -> dict[str, Any]:
        """Return what a client is told of an object when it connects."""
        return self.metadata(object_id)

    def resetMetadataCache(self, objectOrId: Any, nat: bool = True) -> None:
        """Look at an object's class anew, after members were added to it; clients see it with their next connection."""
        found = self._registered(objectOrId) if isinstance(objectOrId, str) else objectOrId
        if found is not None:
            cls = found if isinstance(found, type) else type(found)
            self._metadata.pop(cls, None)
            self._idempotent.pop(cls, None)
            for is_instance in (False, True):
                self._details.pop((cls, is_instance), None)
            reset_members(cls)
            self._classes_changed()

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

    @property
    def _pyroHmacKey(self) -> bytes | None:
        """The key with which messages are signed and checked."""
        return self._hmac_key

    @property
    def forked(self) -> bool:
        """Whether this process is a child that was forked from the one that serves."""
        return False

    def shutdown(self, grace: float | None = None) -> None:
        """Have whoever serves this stop; a service by itself is not served."""

    def _classes_changed(self) -> None:
        """Classes are to be looked at anew: whoever remembers what they expose must forget it."""

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


def _proxy_state(uri: URI, metadata: dict[str, Any]) -> tuple[Any, ...]:
    return (
        str(uri),
        tuple(metadata["oneway"]),
        tuple(metadata["methods"]),
        tuple(metadata["attrs"]),
        "hello",
        None,
    )


def service_of(obj: Any) -> Service | None:
    """Return the service of this process in whose registry an object is, or None; what else it carries does not count."""
    found = _served(obj)
    return None if found is None else found[1]


def _served(obj: Any) -> tuple[str, Service] | None:
    object_id, service = object_ids.place_of(obj)
    is_real = issubclass(type(service), Service) and service._serves(obj, object_id)
    return (object_id, service) if is_real else None


def _as_proxy(obj: Any) -> Any:
    """What goes over the wire for an object whose type is registered: a proxy, unless it is not registered any more."""
    found = _served(obj) if config.AUTOPROXY else None
    if found is None:
        return obj
    object_id, service = found
    return StateOf("fastpyro.Proxy", _proxy_state(service.uriFor(object_id), service.metadata(object_id)))


def _log_error(service: Service, client: Any, method: Any, args: Any, kwargs: Any, exception: BaseException) -> None:
    if log.isEnabledFor(logging.DEBUG):
        # Not by their repr, which a client may make long and slow.
        values = f"{shown(args)} {shown(list(kwargs.items()))}"
        called = f"{getattr(method, '__qualname__', method)} {values}"[:MOST_ARGUMENT_TEXT]
        log.debug("error in call of %s from %s: %r", called, shown(client), exception)
