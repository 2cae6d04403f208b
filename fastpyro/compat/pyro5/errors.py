"""Pyro5.errors: the same classes as fastpyro.errors."""

from __future__ import annotations

from fastpyro.compat.shared.module_names import also_there
from fastpyro.errors import (
    CommunicationError,
    ConnectionClosedError,
    DaemonError,
    MessageTooLargeError,
    NamingError,
    ProtocolError,
    PyroError,
    SecurityError,
    SerializeError,
    TimeoutError,
    excepthook,
    get_pyro_traceback,
)
from fastpyro.tracebacks import format_traceback

__all__ = [
    "CommunicationError",
    "ConnectionClosedError",
    "DaemonError",
    "MessageTooLargeError",
    "NamingError",
    "ProtocolError",
    "PyroError",
    "SecurityError",
    "SerializeError",
    "TimeoutError",
    "excepthook",
    "format_traceback",
    "get_pyro_traceback",
]

__getattr__ = also_there(__name__, "config", "linecache sys traceback")
