"""The package Pyro4, on fastpyro. `fastpyro.compat.install` makes this folder known under that name."""

from __future__ import annotations

from fastpyro.client.async_proxy import async_ as _async
from fastpyro.compat.shared.logs import configure as _configure_logging
from fastpyro.tracebacks import say_as_peer as _say_as_peer

_configure_logging(
    __name__,
    "pyro.log",
    {
        "fastpyro": "Pyro4",
        "fastpyro.proxy": "Pyro4.core",
        "fastpyro.handshake": "Pyro4.core",
        "fastpyro.daemon": "Pyro4.core",
        "fastpyro.dispatch": "Pyro4.core",
        "fastpyro.locate": "Pyro4.core",
        "fastpyro.futures": "Pyro4.futures",
        "fastpyro.naming": "Pyro4.naming",
        "fastpyro.servers": "Pyro4.threadpoolserver",
        "fastpyro.servers.threaded": "Pyro4.threadpoolserver",
    },
)

_say_as_peer(" +--- This exception occured remotely (Pyro) - Remote traceback:")  # as Pyro4 writes it

from . import configuration as _configuration  # noqa: E402 - logging first, as Pyro4 does it
from . import (  # noqa: E402 - `import Pyro4` is enough to use these
    constants,
    core,
    errors,
    futures,
    message,
    socketutil,
    util,
)
from .core import URI, Daemon, Proxy, asyncproxy, batch, behavior, callback, current_context, expose, oneway  # noqa: E402
from .core import _locateNS as locateNS  # noqa: E402
from .core import _resolve as resolve  # noqa: E402
from .futures import Future  # noqa: E402

__version__ = constants.VERSION
config = _configuration.config

__all__ = [
    "URI",
    "Daemon",
    "Future",
    "Proxy",
    "__version__",
    "asyncproxy",
    "batch",
    "behavior",
    "callback",
    "config",
    "constants",
    "core",
    "current_context",
    "errors",
    "expose",
    "futures",
    "locateNS",
    "message",
    "oneway",
    "resolve",
    "socketutil",
    "util",
]

# Pyro4's first name for asynchronous proxies: the proxy stays as it is, and a twin of it is returned.
globals()["async"] = _async
