"""The names of Pyro5's module `api`, for programs that import them from there. Holds no code of its own."""

from __future__ import annotations

from fastpyro._version import __version__
from fastpyro.callcontext import current_context
from fastpyro.client.batch import BatchProxy
from fastpyro.client.locate import locate_ns, resolve
from fastpyro.client.proxy import Proxy
from fastpyro.config import config
from fastpyro.naming import start_ns, start_ns_loop, type_meta
from fastpyro.protocol.blobs import SerializedBlob
from fastpyro.server.daemon import Daemon, serve
from fastpyro.server.daemon_object import DaemonObject
from fastpyro.server.exposure import behavior, callback, expose, idempotent, oneway, urgent
from fastpyro.uri import URI
from fastpyro.values.registration import (
    SerializerBase,
    register_class_to_dict,
    register_dict_to_class,
    unregister_class_to_dict,
    unregister_dict_to_class,
)

__all__ = [
    "URI",
    "BatchProxy",
    "Daemon",
    "DaemonObject",
    "Proxy",
    "SerializedBlob",
    "SerializerBase",
    "__version__",
    "behavior",
    "callback",
    "config",
    "current_context",
    "expose",
    "idempotent",
    "locate_ns",
    "oneway",
    "register_class_to_dict",
    "register_dict_to_class",
    "resolve",
    "serve",
    "start_ns",
    "start_ns_loop",
    "type_meta",
    "unregister_class_to_dict",
    "unregister_dict_to_class",
    "urgent",
]
