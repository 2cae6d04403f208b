"""Pyro5.core: URIs and how they are resolved."""

from __future__ import annotations

from fastpyro.class_dicts import FailedCall as _ExceptionWrapper
from fastpyro.locate import locate_ns, resolve
from fastpyro.message_kinds import DAEMON_NAME, NAMESERVER_NAME
from fastpyro.naming import type_meta
from fastpyro.uri import URI

__all__ = ["DAEMON_NAME", "NAMESERVER_NAME", "URI", "_ExceptionWrapper", "locate_ns", "resolve", "type_meta"]
