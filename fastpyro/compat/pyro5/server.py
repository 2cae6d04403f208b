"""Pyro5.server: daemons, and what may be called in them."""

from __future__ import annotations

from typing import Any

import fastpyro.server.daemon
from fastpyro.server.daemon import serve
from fastpyro.server.daemon_object import DaemonObject
from fastpyro.server.exposure import behavior, callback, expose, is_private_attribute, oneway

from . import client as client  # what a daemon makes proxies of
from .core import URI

__all__ = ["Daemon", "DaemonObject", "behavior", "callback", "expose", "is_private_attribute", "oneway", "serve"]


class Daemon(fastpyro.server.daemon.Daemon):
    """fastpyro's daemon under Pyro5's name."""

    def uriFor(self, objectOrId: Any, nat: bool = True) -> URI:
        """Return the URI of a registered object, or of any id; see fastpyro.Daemon."""
        return URI(super().uriFor(objectOrId, nat))
