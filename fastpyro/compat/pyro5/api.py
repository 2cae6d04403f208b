"""Pyro5.api: everything that a program needs, in one place."""

from __future__ import annotations

from . import __version__, config
from .callcontext import current_context
from .client import BatchProxy, Proxy, SerializedBlob
from .core import URI, locate_ns, resolve, type_meta
from .nameserver import start_ns, start_ns_loop
from .serializers import (
    SerializerBase,
    register_class_to_dict,
    register_dict_to_class,
    unregister_class_to_dict,
    unregister_dict_to_class,
)
from .server import Daemon, DaemonObject, behavior, callback, expose, oneway, serve

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
]
