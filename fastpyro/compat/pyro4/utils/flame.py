"""Pyro4.utils.flame: remote access to all modules of a server. It is not offered: every name here refuses when it is used.

Flame runs whatever a client sends, by design.
"""

from __future__ import annotations

from typing import Any, NoReturn

from ..errors import SecurityError

__all__ = ["Flame", "connect", "createModule", "start"]


def _refuse() -> NoReturn:
    raise SecurityError(
        "Flame is disabled: it would run whatever a client sends. Register objects that do what clients may ask for"
    )


def start(daemon: Any) -> NoReturn:
    """Refuse to give a daemon the flame object. Raises SecurityError."""
    _refuse()


def connect(location: str, hmac_key: bytes | None = None) -> NoReturn:
    """Refuse to connect to a flame object. Raises SecurityError."""
    _refuse()


def createModule(name: str, source: str, filename: str = "<dynamic-module>", namespace: Any = None) -> NoReturn:
    """Refuse to make a module of source text. Raises SecurityError."""
    _refuse()


class Flame:
    """Refuses to be made. Raises SecurityError."""

    def __init__(self) -> None:
        _refuse()
