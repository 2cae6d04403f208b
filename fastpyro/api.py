"""The names of Pyro5's module `api`, for programs that import them from there. Holds no code of its own."""

from __future__ import annotations

from fastpyro._version import __version__
from fastpyro.batch_proxy import BatchProxy
from fastpyro.blobs import SerializedBlob
from fastpyro.callcontext import current_context
from fastpyro.config import config
from fastpyro.daemon import Daemon, serve
from fastpyro.daemon_object import DaemonObject
from fastpyro.exposure import behavior, callback, expose, oneway, urgent
from fastpyro.locate import locate_ns, resolve
from fastpyro.naming import start_ns, start_ns_loop, type_meta
from fastpyro.proxy import Proxy
from fastpyro.registration import (
    SerializerBase,
    register_class_to_dict,
    register_dict_to_class,
    unregister_class_to_dict,
    unregister_dict_to_class,
)
from fastpyro.uri import URI

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
