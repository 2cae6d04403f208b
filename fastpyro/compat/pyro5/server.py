"""Pyro5.server: daemons, and what may be called in them."""

from __future__ import annotations

from typing import Any

from fastpyro.callcontext import current_context as current_context
from fastpyro.compat.shared.daemons import PeerDaemon
from fastpyro.compat.shared.module_names import also_there
from fastpyro.compat.shared.peer_proxies import know_daemon
from fastpyro.compat.shared.transport_servers import use_them
from fastpyro.config import config as _config
from fastpyro.server import exposure
from fastpyro.server.daemon import serve
from fastpyro.server.daemon_object import DaemonObject
from fastpyro.server.exposure import behavior, callback, expose, is_private_attribute, oneway
from fastpyro.server.exposure import get_exposed_property as _get_exposed_property_value
from fastpyro.server.exposure import set_exposed_property as _set_exposed_property_value
from fastpyro.server.service import service_of

from . import client as client  # what a daemon makes proxies of
from .core import URI

__all__ = [
    "Daemon",
    "DaemonObject",
    "_get_exposed_property_value",
    "_set_exposed_property_value",
    "behavior",
    "callback",
    "current_context",
    "expose",
    "is_private_attribute",
    "oneway",
    "serve",
]

__getattr__ = also_there(
    __name__,
    "core errors protocol serializers socketutil config",
    "collections inspect ipaddress logging os socket sys threading time uuid warnings weakref serpent",
)


class Daemon(PeerDaemon):
    """fastpyro's daemon under Pyro5's name."""

    _uri_class = URI


def _get_attribute(obj: Any, attr: str) -> Any:
    """Return the method that a client's call means. Raises AttributeError for a private, unknown, or unexposed name."""
    return exposure.resolve_method(obj, attr, _config.REQUIRE_EXPOSE)


def _get_exposed_members(obj: Any, only_exposed: bool = True, use_cache: bool = True) -> dict[str, Any]:
    """Return the names that clients may use of an object or class: sets, under "methods", "oneway" and "attrs"."""
    if not use_cache:
        _reset_exposed_members(obj)
    return dict(exposure.metadata_of(obj, only_exposed))


def _reset_exposed_members(obj: Any, only_exposed: bool = True) -> None:
    """Forget which members an object's class has, after some were added."""
    exposure.reset_members(obj if isinstance(obj, type) else type(obj))


def _pyro_obj_to_auto_proxy(obj: Any) -> Any:
    """Return a proxy for an object that is registered with a daemon, anything else unchanged."""
    service = service_of(obj)
    return obj if service is None else service.proxyFor(obj)


use_them()
know_daemon(Daemon)
