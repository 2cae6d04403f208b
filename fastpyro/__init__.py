"""fastpyro: call the methods of Python objects in other processes as if they were local, fast.

    import fastpyro

    @fastpyro.expose
    class Greeter:
        def hello(self, name):
            return f"Hello, {name}!"

    with fastpyro.Daemon() as daemon:
        print(daemon.register(Greeter))      # PYRO:obj_…@localhost:…
        daemon.requestLoop()

and in another process ``fastpyro.Proxy("PYRO:obj_…@localhost:…").hello("world")``.
"""

from __future__ import annotations

import sys

try:
    from fastpyro.protocol import _assembler as _assembler
except ImportError as _error:
    raise ImportError(
        "fastpyro's native modules are not built for this Python: run `make build`, or install a wheel"
    ) from _error

if hasattr(sys, "_is_gil_enabled") and not sys._is_gil_enabled():  # CPython 3.13 and newer
    raise ImportError(
        "fastpyro relies on Python's global lock, and this process runs without it: replies could reach the wrong caller. "
        "Start Python without PYTHON_GIL=0 and -X gil=0; a free-threaded build then turns the lock on by itself"
    )

from fastpyro import _old_names, errors
from fastpyro._light_typing import TYPE_CHECKING
from fastpyro._version import __version__
from fastpyro.callcontext import current_context
from fastpyro.client.proxy import Proxy
from fastpyro.config import config
from fastpyro.protocol.time_limits import timeout
from fastpyro.server.exposure import behavior, callback, expose, idempotent, oneway, urgent
from fastpyro.uri import URI
from fastpyro.values.registration import (
    SerializerBase,
    register_class,
    register_class_to_dict,
    register_dict_to_class,
    register_exception,
    unregister_class_to_dict,
    unregister_dict_to_class,
)

if TYPE_CHECKING:
    from typing import Any

    from fastpyro.client.async_proxy import AsyncProxy, async_, asyncproxy
    from fastpyro.client.batch import BatchProxy, batch
    from fastpyro.client.locate import locate_ns, locateNS, resolve
    from fastpyro.futures.future import Future, FutureResult
    from fastpyro.naming import start_ns, start_ns_loop, type_meta
    from fastpyro.protocol.blobs import SerializedBlob
    from fastpyro.server.daemon import Daemon, serve
    from fastpyro.server.daemon_object import DaemonObject

__all__ = [
    "URI",
    "AsyncProxy",
    "BatchProxy",
    "Daemon",
    "DaemonObject",
    "Future",
    "FutureResult",
    "Proxy",
    "SerializedBlob",
    "SerializerBase",
    "__version__",
    "async_",
    "asyncproxy",
    "batch",
    "behavior",
    "callback",
    "config",
    "current_context",
    "errors",
    "expose",
    "idempotent",
    "locateNS",
    "locate_ns",
    "oneway",
    "register_class",
    "register_class_to_dict",
    "register_dict_to_class",
    "register_exception",
    "resolve",
    "serve",
    "start_ns",
    "start_ns_loop",
    "timeout",
    "type_meta",
    "unregister_class_to_dict",
    "unregister_dict_to_class",
    "urgent",
]

sys.meta_path.append(_old_names.OldNames)

# A client need not import the server, nor the other way round: these names are imported when they are first used.
_LATER = {
    "AsyncProxy": "fastpyro.client.async_proxy",
    "async": "fastpyro.client.async_proxy",
    "async_": "fastpyro.client.async_proxy",
    "asyncproxy": "fastpyro.client.async_proxy",
    "BatchProxy": "fastpyro.client.batch",
    "batch": "fastpyro.client.batch",
    "SerializedBlob": "fastpyro.protocol.blobs",
    "Daemon": "fastpyro.server.daemon",
    "DaemonObject": "fastpyro.server.daemon_object",
    "serve": "fastpyro.server.daemon",
    "Future": "fastpyro.futures.future",
    "FutureResult": "fastpyro.futures.result",
    "locate_ns": "fastpyro.client.locate",
    "locateNS": "fastpyro.client.locate",
    "resolve": "fastpyro.client.locate",
    "start_ns": "fastpyro.naming",
    "start_ns_loop": "fastpyro.naming",
    "type_meta": "fastpyro.naming",
}

_MODULES = frozenset({"api", "client", "constants", "core", "futures", "naming", "server"})
"""Pyro's documented submodules: ``import fastpyro`` is enough to use ``fastpyro.core.Proxy``."""


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _MODULES:
        return import_module(f"fastpyro.{name}")
    module_name = _LATER.get(name)
    if module_name is None:
        raise AttributeError(f"module 'fastpyro' has no attribute {name!r}")
    value = getattr(import_module(module_name), "asyncproxy" if name == "async" else name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_LATER, *_MODULES})
