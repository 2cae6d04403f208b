"""Pyro4.constants: names and numbers."""

from __future__ import annotations

from fastpyro.constants import DAEMON_NAME, NAMESERVER_NAME
from fastpyro.constants import OLD_PROTOCOL_VERSION as PROTOCOL_VERSION

VERSION = "4.82"
"""The version of Pyro4 whose programs run here."""

FLAME_NAME = "Pyro.Flame"

__all__ = ["DAEMON_NAME", "FLAME_NAME", "NAMESERVER_NAME", "PROTOCOL_VERSION", "VERSION"]
