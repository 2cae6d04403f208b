"""Pyro5.client: proxies that belong to one thread."""

from __future__ import annotations

import socket
from threading import get_ident
from typing import Any

import fastpyro.client.proxy
from fastpyro.callcontext import current_context as current_context
from fastpyro.client.item_stream import StreamResult as _StreamResultIterator
from fastpyro.client.method import RemoteMethod as _RemoteMethod
from fastpyro.client.proxy import build_proxy
from fastpyro.compat.shared.module_names import also_there
from fastpyro.compat.shared.peer_batches import PeerBatch
from fastpyro.compat.shared.peer_proxies import PeerProxy
from fastpyro.config import config
from fastpyro.errors import PyroError, SerializeError
from fastpyro.protocol.blobs import SerializedBlob
from fastpyro.serializers.registry import IDS
from fastpyro.values.class_registry import register_decoder

from . import callcontext as callcontext  # who imports the client finds these in the package
from . import protocol as protocol
from . import serializers as serializers
from .configure import global_config
from .core import URI

__all__ = ["BatchProxy", "Proxy", "SerializedBlob", "_RemoteMethod", "_StreamResultIterator"]

__getattr__ = also_there(
    __name__,
    "core errors protocol serializers socketutil config",
    "contextlib logging sys time serpent",
)


class Proxy(PeerProxy):
    """A proxy that only the thread that made it may use, until another one claims it (``_pyroClaimOwnership``)."""

    _pyro_uri_class = URI
    _pyro_sends_handshake = True  # as Pyro5's
    _pyro_configuration = global_config

    def __init__(self, uri: str | URI, connected_socket: socket.socket | None = None) -> None:
        if config.SERIALIZER not in IDS:
            raise ValueError("unknown serializer configured")
        super().__init__(uri, connected_socket)
        self._pyro_update(_pyroOwner=get_ident())

    def _pyro_update(self, **values: Any) -> None:
        if "_pyroUri" in values:
            values["_pyroUri"] = URI(values["_pyroUri"])
        super()._pyro_update(**values)

    def __check_owner(self) -> None:
        if self.__dict__.get("_pyroOwner", get_ident()) != get_ident():
            raise PyroError(
                "the calling thread is not the owner of this proxy, create a new proxy in this thread or transfer "
                "ownership."
            )

    def _pyroClaimOwnership(self) -> None:
        """Make the calling thread the owner of this proxy."""
        self._pyro_update(_pyroOwner=get_ident())

    def _pyroInvoke(self, methodname: str, vargs: Any, kwargs: Any, flags: int = 0, objectId: str | None = None) -> Any:
        self.__check_owner()
        if self._pyroConnection is not None:
            self._pyroConnection.set_max_message_size(config.MAX_MESSAGE_SIZE)  # Pyro looks at it for each message
        return super()._pyroInvoke(methodname, vargs, kwargs, flags, objectId)

    def _pyroInvokeBatch(self, calls: Any, oneway: bool = False) -> Any:
        self.__check_owner()
        return super()._pyroInvokeBatch(calls, oneway)

    def _pyroBind(self) -> bool:
        self.__check_owner()
        return super()._pyroBind()

    def _pyroReconnect(self, tries: int = 100000000, pause: float = 2.0) -> None:
        self.__check_owner()
        super()._pyroReconnect(tries, pause)

    def _pyroRelease(self) -> None:
        self.__check_owner()
        super()._pyroRelease()

    def __del__(self) -> None:
        try:
            self._pyro_update(_pyroOwner=get_ident())
        except Exception:  # the interpreter may be half gone
            return
        super().__del__()

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("__") and name not in fastpyro.client.proxy.Proxy._pyro_local_names:
            self.__check_owner()
        return super().__getattr__(name)

    def __copy__(self) -> Proxy:
        copied = super().__copy__()
        copied._pyro_update(_pyroOwner=get_ident())
        return copied

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        super().__setstate__(state)
        self._pyro_update(_pyroOwner=get_ident())

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}; owner {self.__dict__.get('_pyroOwner')}>"


class BatchProxy(PeerBatch):
    """A batch of calls; calling it claims the proxy for the calling thread."""

    def __call__(self, oneway: bool = False) -> Any:  # type: ignore[override]
        proxy: Any = self._proxy
        claim = getattr(type(proxy), "_pyroClaimOwnership", None)
        if claim is not None:
            claim(proxy)
        return super().__call__(oneway)


def _build(class_name: str, state: Any) -> Any:
    try:
        return build_proxy(class_name, state, Proxy)
    except (TypeError, ValueError) as error:
        raise SerializeError(f"no state of a proxy: {error}") from error


register_decoder("fastpyro.Proxy", _build)
