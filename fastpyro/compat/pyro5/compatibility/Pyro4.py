"""Pyro5.compatibility.Pyro4: Pyro5 under the names of the package Pyro4, as far as Pyro5 has them.

A program that was written for Pyro4 needs none of it here: fastpyro has a facade of Pyro4, too.
"""

from __future__ import annotations

from ipaddress import ip_address
from types import SimpleNamespace
from typing import Any

from fastpyro.constants import DAEMON_NAME, NAMESERVER_NAME, PROTOCOL_VERSION

from .. import api, errors
from .. import socketutil as _socketutil
from ..configure import Configuration

__all__ = [
    "URI",
    "Daemon",
    "Future",
    "Proxy",
    "asyncproxy",
    "batch",
    "behavior",
    "callback",
    "config",
    "current_context",
    "errors",
    "expose",
    "locateNS",
    "oneway",
    "resolve",
]

__version__ = api.__version__

URI = api.URI
Daemon = api.Daemon
batch = BatchProxy = api.BatchProxy
behavior, callback, expose, oneway = api.behavior, api.callback, api.expose, api.oneway
current_context = api.current_context

NO_ASYNC = "Pyro5 has no asynchronous proxies; run the call in a thread of concurrent.futures, or use the package Pyro4"
NO_KEY = "Pyro5 has no HMAC keys; certificates on both sides (SSL) say who somebody is"


class _Elsewhere:
    """Stands for a module of Pyro4 that is not here. Arguments: ``name``."""

    def __init__(self, name: str) -> None:
        self.namespace = name

    def __getattr__(self, name: str) -> Any:
        raise NotImplementedError(f"the module Pyro4.{self.namespace} is not here: use names of the package itself")


naming, core, message = _Elsewhere("naming"), _Elsewhere("core"), _Elsewhere("message")


class CompatConfiguration(Configuration):
    """The configuration, with the name of a method that Pyro4 had."""

    def asDict(self) -> dict[str, Any]:
        """Return all items and their values."""
        return self.as_dict()


config = CompatConfiguration()


class Future:
    """Not there: ``concurrent.futures`` has the like."""

    def __init__(self, *arguments: Any) -> None:
        raise NotImplementedError("Pyro5 has no Future of its own: use concurrent.futures")


class Proxy(api.Proxy):
    """Pyro5's proxy, which says so when it is asked for what Pyro4's had."""

    def _pyroAsync(self, asynchronous: bool = True, **keywords: Any) -> None:
        raise NotImplementedError(NO_ASYNC)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "_pyroHmacKey":
            raise NotImplementedError(NO_KEY)
        super().__setattr__(name, value)


def asyncproxy(*arguments: Any, **keywords: Any) -> None:
    """Not there."""
    raise NotImplementedError(NO_ASYNC)


def locateNS(host: str | None = None, port: int | None = None, broadcast: bool = True, hmac_key: Any = None) -> Any:
    """Return a proxy for the name server."""
    if hmac_key:
        raise NotImplementedError(NO_KEY)
    return api.locate_ns(host, port, broadcast)


def resolve(uri: Any, hmac_key: Any = None) -> Any:
    """Return the PYRO uri that a uri stands for."""
    if hmac_key:
        raise NotImplementedError(NO_KEY)
    return api.resolve(uri)


util = SimpleNamespace(
    SerializerBase=api.SerializerBase,
    excepthook=errors.excepthook,
    formatTraceback=errors.format_traceback,
    getPyroTraceback=errors.get_pyro_traceback,
)
socketutil = SimpleNamespace(
    createBroadcastSocket=_socketutil.create_bc_socket,
    createSocket=_socketutil.create_socket,
    getInterfaceAddress=lambda address: str(_socketutil.get_interface(address).ip),
    getIpAddress=lambda *arguments, **keywords: str(_socketutil.get_ip_address(*arguments, **keywords)),
    getIpVersion=lambda address: ip_address(address).version,
    receiveData=_socketutil.receive_data,
    sendData=_socketutil.send_data,
)
constants = SimpleNamespace(
    DAEMON_NAME=DAEMON_NAME, NAMESERVER_NAME=NAMESERVER_NAME, PROTOCOL_VERSION=PROTOCOL_VERSION, VERSION=__version__
)
