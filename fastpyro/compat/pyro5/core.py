"""Pyro5.core: URIs and how they are resolved."""

from __future__ import annotations

from typing import Any

import fastpyro.locate
import fastpyro.uri
from fastpyro import standard_types
from fastpyro.class_dicts import FailedCall as _ExceptionWrapper
from fastpyro.class_registry import register_decoder
from fastpyro.locate import locate_ns
from fastpyro.message_kinds import DAEMON_NAME, NAMESERVER_NAME
from fastpyro.naming import type_meta

__all__ = ["DAEMON_NAME", "NAMESERVER_NAME", "URI", "_ExceptionWrapper", "locate_ns", "resolve", "type_meta"]


class URI(fastpyro.uri.URI):
    """fastpyro's URI under Pyro5's name."""

    __slots__ = ()


def resolve(uri: str | fastpyro.uri.URI, delay_time: float = 0.0) -> URI:
    """Return the PYRO uri that a uri stands for; see fastpyro.resolve."""
    return URI(fastpyro.locate.resolve(uri, delay_time))


def _build(class_name: str, state: Any) -> URI:
    return URI(standard_types._uri(class_name, state))


register_decoder("fastpyro.URI", _build)
