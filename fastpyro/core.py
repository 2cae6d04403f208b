"""The names of Pyro4's module `core`, for programs that import them from there. Holds no code of its own."""

from __future__ import annotations

from fastpyro.async_proxy import async_, asyncproxy
from fastpyro.batch_proxy import BatchProxy, batch
from fastpyro.callcontext import current_context
from fastpyro.daemon import Daemon
from fastpyro.daemon_object import DaemonObject
from fastpyro.exposure import behavior, callback, expose, oneway
from fastpyro.futures import Future, FutureResult
from fastpyro.locate import locate_ns, locateNS, resolve
from fastpyro.message_kinds import DAEMON_NAME, NAMESERVER_NAME
from fastpyro.naming import type_meta
from fastpyro.proxy import Proxy
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
