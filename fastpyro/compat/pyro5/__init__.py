"""The package Pyro5, on fastpyro. `fastpyro.compat.install` makes this folder known under that name."""

from __future__ import annotations

from fastpyro.compat.shared.logs import configure as _configure_logging
from fastpyro.tracebacks import say_as_peer as _say_as_peer

_configure_logging(
    __name__,
    "pyro5.log",
    {
        "fastpyro": "Pyro5",
        "fastpyro.proxy": "Pyro5.client",
        "fastpyro.handshake": "Pyro5.client",
        "fastpyro.daemon": "Pyro5.server",
        "fastpyro.dispatch": "Pyro5.server",
        "fastpyro.servers": "Pyro5.server",
        "fastpyro.servers.threaded": "Pyro5.threadpoolserver",
        "fastpyro.locate": "Pyro5.core",
        "fastpyro.naming": "Pyro5.naming",
    },
)

_say_as_peer(" +--- This exception occurred remotely (Pyro) - Remote traceback:")

from .configure import VERSION as __version__  # noqa: E402 - logging first, as Pyro5 does it
from .configure import global_config as config  # noqa: E402

__author__ = "fastpyro"

__all__ = ["__version__", "config"]
