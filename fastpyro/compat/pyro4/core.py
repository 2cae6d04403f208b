"""Pyro4.core: URIs, proxies and daemons.

Where Pyro4 has rules of its own: a proxy can be made asynchronous in place, and its subclasses may add annotations to
requests and look at those of replies.
"""

from __future__ import annotations

import base64
import copyreg
import functools
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import fastpyro.client.async_proxy
import fastpyro.client.locate
import fastpyro.client.proxy
import fastpyro.server.daemon
import fastpyro.server.service
import fastpyro.uri
import fastpyro.values._standard_builders
from fastpyro._lazy_logging import logger
from fastpyro.callcontext import CallContext as _CallContext
from fastpyro.callcontext import current_context
from fastpyro.client._proxy import install
from fastpyro.client.async_proxy import AsyncMethod as _AsyncRemoteMethod
from fastpyro.client.item_stream import StreamResult as _StreamResultIterator
from fastpyro.client.method import RemoteMethod as _RemoteMethod
from fastpyro.compat.shared.daemons import PeerDaemon
from fastpyro.compat.shared.module_names import also_there
from fastpyro.compat.shared.peer_batches import PeerBatch as _BatchProxyAdapter
from fastpyro.compat.shared.peer_proxies import PeerProxy, know_daemon
from fastpyro.compat.shared.transport_servers import use_them
from fastpyro.config import config
from fastpyro.constants import MSG_CONNECTOK, MSG_RESULT, OLD_PROTOCOL_VERSION
from fastpyro.protocol.blobs import SerializedBlob
from fastpyro.serializers.pickles import is_reading
from fastpyro.server.daemon_object import DaemonObject
from fastpyro.server.exposure import behavior, callback, expose, oneway
from fastpyro.values.class_registry import register_decoder

from .configuration import config as peer_config

__all__ = [
    "URI",
    "Daemon",
    "DaemonObject",
    "Proxy",
    "SerializedBlob",
    "_AsyncRemoteMethod",
    "_BatchProxyAdapter",
    "_CallContext",
    "_RemoteMethod",
    "_StreamResultIterator",
    "_locateNS",
    "_resolve",
    "asyncproxy",
    "batch",
    "behavior",
    "callback",
    "current_context",
    "expose",
    "oneway",
    "pyroObjectToAutoProxy",
]

__getattr__ = also_there(
    __name__,
    "constants errors futures message socketutil util config",
    "inspect logging os random re socket ssl sys threading time uuid warnings serpent",
)

log = logger("Pyro4.core")

KEY_MARK = "b64:"


class URI(fastpyro.uri.URI):
    """fastpyro's URI under Pyro4's name."""

    __slots__ = ()

    def __getstate_for_dict__(self) -> tuple[Any, ...]:
        return self.__getstate__()

    def __setstate_from_dict__(self, state: Any) -> None:
        self.__setstate__(tuple(state))


class Proxy(PeerProxy):
    """Stands for a remote object; see fastpyro.Proxy. Threads may share it."""

    __dir__ = fastpyro.client.proxy.Proxy.__dir__  # programs replace it in this class
    _pyro_uri_class = URI
    _pyro_sends_handshake = True  # as Pyro4's
    _pyro_configuration = peer_config

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        overridden = (
            cls._pyroAnnotations is not Proxy._pyroAnnotations
            or cls._pyroResponseAnnotations is not Proxy._pyroResponseAnnotations
        )
        asked = any(hasattr(vars(base).get("_pyroInvoke"), "_pyro_asks_hooks") for base in cls.__mro__)
        if overridden and not asked:
            # Only then: a proxy whose calls are replaced cannot go the fast path of an ordinary call.
            cls._pyroInvoke = _asking_hooks(cls._pyroInvoke, MSG_RESULT)  # type: ignore[method-assign]
            cls._pyroInvokeBatch = _asking_hooks(cls._pyroInvokeBatch, MSG_RESULT)  # type: ignore[method-assign]
            cls._pyro_connect = _asking_hooks(cls._pyro_connect, MSG_CONNECTOK)  # type: ignore[method-assign]

    def _pyro_update(self, **values: Any) -> None:
        if "_pyroUri" in values:
            values["_pyroUri"] = URI(values["_pyroUri"])
        super()._pyro_update(**values)

    def _pyro_take_metadata(self, metadata: dict[str, Any]) -> None:
        if config.METADATA:
            super()._pyro_take_metadata(metadata)

    def _pyroAnnotations(self) -> dict[str, bytes]:
        """Return annotations to add to every request; override it in a subclass."""
        return {}

    def _pyroResponseAnnotations(self, annotations: dict[str, bytes], msgtype: int) -> None:
        """Called with the annotations of a reply, if it has any, and its message type; override it in a subclass."""

    def _pyroBatch(self) -> _BatchProxyAdapter:
        """Return a batch of calls on this proxy; see ``batch``."""
        return _BatchProxyAdapter(self)

    def _pyroAsync(self, asynchronous: bool = True, **keywords: Any) -> None:
        """Make the method calls of this proxy return a FutureResult at once, or with False wait for the result again."""
        asynchronous = keywords.pop("async", asynchronous)
        if keywords:
            raise TypeError(f"_pyroAsync() got an unexpected keyword argument '{next(iter(keywords))}'")
        cls = _synchronous(type(self))
        object.__setattr__(self, "__class__", _asynchronous(cls) if asynchronous else cls)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return _made_anew, (_synchronous(type(self)),), self.__getstate__()

    def __getstate__(self) -> tuple[Any, ...]:
        """Return what a pickle of the proxy has. It includes the HMAC key: keep it where you keep the key."""
        uri, oneway_names, methods, attributes, handshake, serializer = super().__getstate__()
        key = self._pyroHmacKey
        text = None if key is None else KEY_MARK + base64.b64encode(key).decode("ascii")
        timeout, retries = self._pyro_timeout, self._pyroMaxRetries
        return uri, oneway_names, methods, attributes, timeout, text, handshake, retries, serializer

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if len(state) == 6:  # as fastpyro sends it
            super().__setstate__(state)
            return
        # Timeout and retries are the business of whoever uses the proxy here.
        uri, oneway_names, methods, attributes, _timeout, key, handshake, *rest = state
        serializer = rest[1] if len(rest) == 2 else None
        super().__setstate__((str(uri), oneway_names, methods, attributes, handshake, serializer))
        if isinstance(key, str) and key.startswith(KEY_MARK):
            key = base64.b64decode(key[len(KEY_MARK) :])
        # One that a peer sent does not count; one in a pickle of the program's own does.
        self._pyroHmacKey = None if is_reading() else key or None

    __getstate_for_dict__ = __getstate__
    __setstate_from_dict__ = __setstate__


def _made_anew(cls: type[Proxy]) -> Proxy:
    return cls.__new__(cls)


class _AsynchronousCalls:
    """Mixed into the class of a proxy that was made asynchronous in place."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        value = super().__getattr__(name)  # type: ignore[misc]
        if isinstance(value, _RemoteMethod):
            return fastpyro.client.async_proxy.AsyncMethod(self, name, value)
        return value

    def _pyroRelease(self) -> None:
        fastpyro.client.async_proxy.release_copies(self)
        super()._pyroRelease()  # type: ignore[misc]


_asynchronous_classes: dict[type, type] = {}
"""By class of proxy: the same with asynchronous calls. A proxy changes its mode by changing its class, so that the calls
of all others stay as fast as they are."""


def _asynchronous(cls: type) -> type:
    found = _asynchronous_classes.get(cls)
    if found is None:
        names = {"__module__": cls.__module__, "__qualname__": cls.__qualname__, "__slots__": ()}
        made = type(cls)(cls.__name__, (_AsynchronousCalls, cls), names)
        found = _asynchronous_classes.setdefault(cls, made)
    return found


def _synchronous(cls: type) -> type:
    return cls.__mro__[2] if cls.__mro__[1] is _AsynchronousCalls else cls


def batch(proxy: Any) -> _BatchProxyAdapter:
    """Return a batch for the proxy, which queues calls and performs them together; see fastpyro.BatchProxy."""
    return _BatchProxyAdapter(proxy)


def asyncproxy(proxy: Proxy, asynchronous: bool = True, **keywords: Any) -> None:
    """Make a proxy asynchronous in place, or with False synchronous again; see ``Proxy._pyroAsync``."""
    proxy._pyroAsync(asynchronous, **keywords)


def _asking_hooks(method: Callable[..., Any], kind: int) -> Callable[..., Any]:
    """Return a method that adds the proxy's own annotations to a request, and shows it those of the reply."""

    @functools.wraps(method)
    def ask(self: Any, *arguments: Any, **keywords: Any) -> Any:
        current_context.response_annotations = {}
        try:
            with _also_sending(self._pyroAnnotations()):
                return method(self, *arguments, **keywords)
        finally:
            received = dict(current_context.response_annotations)
            if current_context.correlation_id is not None:
                received["CORR"] = current_context.correlation_id.bytes
            if received:
                self._pyroResponseAnnotations(received, kind)

    ask._pyro_asks_hooks = True  # type: ignore[attr-defined]
    return ask


@contextmanager
def _also_sending(annotations: dict[str, bytes]) -> Iterator[None]:
    before = current_context.annotations
    current_context.annotations = {**before, **annotations}
    try:
        yield
    finally:
        current_context.annotations = before


class Daemon(PeerDaemon):
    """fastpyro's daemon under Pyro4's name."""

    _uri_class = URI
    _protocol_said = OLD_PROTOCOL_VERSION

    def register(self, obj_or_class: Any, *arguments: Any, **keywords: Any) -> URI:
        """Make an object callable from other processes; see fastpyro.Daemon. Copies and pickles of it are proxies."""
        uri = super().register(obj_or_class, *arguments, **keywords)
        copyreg.pickle(obj_or_class if isinstance(obj_or_class, type) else type(obj_or_class), _reduce_to_proxy)
        return URI(uri)

    def __getstate_for_dict__(self) -> tuple[()]:
        return ()

    def __setstate_from_dict__(self, state: Any) -> None:
        """Take what another daemon is sent as: nothing."""

    @staticmethod
    def serveSimple(
        objects: dict[Any, str | None],
        host: str | None = None,
        port: int = 0,
        daemon: fastpyro.server.daemon.Daemon | None = None,
        ns: bool = True,
        verbose: bool = True,
    ) -> None:
        """Register objects, announce them and serve until stopped.

        Arguments: ``objects``, a dict from objects or classes to names (None: a generated one); ``host`` and ``port`` for a
        new daemon, or an existing ``daemon``; ``ns``: register the names in the name server, otherwise they become the
        objects' ids; ``verbose``: print what is served. Raises NamingError when there is no name server.
        """
        fastpyro.server.daemon.serve(objects, host, port, daemon or Daemon(host, port), ns, verbose)


def _reduce_to_proxy(obj: Any) -> Any:
    """What `copy` and `pickle` make of an object whose class has registered ones."""
    stands_for = pyroObjectToAutoProxy(obj) if config.AUTOPROXY else obj
    return stands_for.__reduce_ex__(pickle.DEFAULT_PROTOCOL)


def pyroObjectToAutoProxy(obj: Any) -> Any:
    """Return a proxy for an object that is registered with a daemon, anything else unchanged."""
    service = fastpyro.server.service.service_of(obj)
    return obj if service is None else service.proxyFor(obj)


def _resolve(uri: str | fastpyro.uri.URI, hmac_key: str | bytes | None = None) -> URI:
    """Return the PYRO uri that a uri stands for; see fastpyro.resolve. Argument ``hmac_key``: the name server's."""
    return URI(fastpyro.client.locate.resolve(uri, hmac_key=hmac_key))


def _locateNS(
    host: str | None = None, port: int | None = None, broadcast: bool = True, hmac_key: str | bytes | None = None
) -> Proxy:
    """Return a connected proxy for the name server; see fastpyro.locate_ns. Argument ``hmac_key``: the name server's."""
    return fastpyro.client.locate.locateNS(host, port, broadcast, hmac_key)  # type: ignore[return-value]


def _build_uri(class_name: str, state: Any) -> URI:
    return URI(fastpyro.values._standard_builders.build_uri(class_name, state))


def _build_proxy(class_name: str, state: Any) -> Any:
    return fastpyro.client.proxy.build_proxy(class_name, state, Proxy)


install(Proxy, _RemoteMethod)
know_daemon(Daemon)
register_decoder("fastpyro.URI", _build_uri)
register_decoder("fastpyro.Proxy", _build_proxy)  # what arrives, and what locating a name server makes
use_them()
