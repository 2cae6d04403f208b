"""Pyro5.core: URIs and how they are resolved."""

from __future__ import annotations

from typing import Any

import fastpyro.client.locate
import fastpyro.uri
from fastpyro.client.locate import locate_ns
from fastpyro.compat.shared.module_names import also_there
from fastpyro.constants import DAEMON_NAME, NAMESERVER_NAME
from fastpyro.naming import type_meta
from fastpyro.values import _standard_builders
from fastpyro.values.class_registry import register_decoder
from fastpyro.values.peer_dicts import FailedCall as _ExceptionWrapper

from . import errors as errors
from . import socketutil as socketutil

__all__ = ["DAEMON_NAME", "NAMESERVER_NAME", "URI", "_ExceptionWrapper", "locate_ns", "resolve", "type_meta"]

__getattr__ = also_there(
    __name__,
    "errors serializers socketutil config",
    "contextlib ipaddress logging platform random re socket serpent",
)


class URI(fastpyro.uri.URI):
    """fastpyro's URI under Pyro5's name."""

    __slots__ = ()


def resolve(uri: str | fastpyro.uri.URI, delay_time: float = 0.0) -> URI:
    """Return the PYRO uri that a uri stands for; see fastpyro.resolve."""
    return URI(fastpyro.client.locate.resolve(uri, delay_time))


def _build(class_name: str, state: Any) -> URI:
    return URI(_standard_builders.build_uri(class_name, state))


register_decoder("fastpyro.URI", _build)
