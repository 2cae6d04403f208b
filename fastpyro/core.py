"""The names of Pyro4's module `core`, for programs that import them from there. Holds no code of its own."""

from __future__ import annotations

from fastpyro.callcontext import current_context
from fastpyro.client.async_proxy import async_, asyncproxy
from fastpyro.client.batch import BatchProxy, batch
from fastpyro.client.locate import locate_ns, locateNS, resolve
from fastpyro.client.proxy import Proxy
from fastpyro.constants import DAEMON_NAME, NAMESERVER_NAME
from fastpyro.futures.future import Future, FutureResult
from fastpyro.naming import type_meta
from fastpyro.server.daemon import Daemon
from fastpyro.server.daemon_object import DaemonObject
from fastpyro.server.exposure import behavior, callback, expose, oneway
from fastpyro.uri import URI

__all__ = [
    "DAEMON_NAME",
    "NAMESERVER_NAME",
    "URI",
    "BatchProxy",
    "Daemon",
    "DaemonObject",
    "Future",
    "FutureResult",
    "Proxy",
    "async_",
    "asyncproxy",
    "batch",
    "behavior",
    "callback",
    "current_context",
    "expose",
    "locateNS",
    "locate_ns",
    "oneway",
    "resolve",
    "type_meta",
]

globals()["async"] = asyncproxy
