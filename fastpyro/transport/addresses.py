"""What may be listened at and published: hosts, ports, paths of Unix sockets.

Each refusal says the fact, the limit and the way out. The classes of the errors are
those that the system's own functions raise for the same mistake.
"""

from __future__ import annotations

import operator
import os
import socket

from fastpyro._foreign_text import has_controls, shown
from fastpyro._light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

__all__ = [
    "LARGEST_PORT",
    "LONGEST_UNIX_PATH",
    "check_published",
    "check_unix_path",
    "host_text",
    "look_up",
    "port_number",
]

LARGEST_PORT = 65535
LONGEST_UNIX_PATH = 107
"""Bytes, as Linux and the BSDs have it, but for three of the latter: 103. What they refuse is refused when it is bound."""

_A_HOST = "expected a name or an address, without spaces and port, such as localhost, 192.0.2.7 or ::1"

_ZERO = "0 leaves the choice to the system, and publishes the port that it has chosen"


def port_number(port: Any, what: str = "port") -> int:
    """Return a port as an int. Raises TypeError for what is no whole number, OverflowError for one that is no port."""
    try:
        number = operator.index(port)
    except TypeError:
        raise TypeError(
            f"{what}: expected an int from 0 to {LARGEST_PORT}, not {shown(port)} ({type(port).__name__}); {_ZERO}"
        ) from None
    if not 0 <= number <= LARGEST_PORT:
        raise OverflowError(f"{what} must be 0-{LARGEST_PORT}, not {shown(number)}; {_ZERO}")
    return number


def host_text(host: Any, what: str = "host") -> str:
    """Return a host as text: a str, or an address of `ipaddress`.

    Raises TypeError for what is neither, and socket.gaierror for text that can be no host.
    """
    text = str(host) if hasattr(host, "packed") else host
    if not isinstance(text, str):
        raise TypeError(f"{what}: {_A_HOST}, not {shown(host)} ({type(host).__name__})")
    if has_controls(text) or any(map(str.isspace, text)):
        raise socket.gaierror(socket.EAI_NONAME, f"Name or service not known: {what} {shown(text)}; {_A_HOST}")
    return text


def look_up(host: str | None, port: int | None, family: int) -> list[Any]:
    """Return what `socket.getaddrinfo` says of a host, for streams. Raises socket.gaierror when it has no address."""
    try:
        return socket.getaddrinfo(host, port, family, socket.SOCK_STREAM)
    except UnicodeError as error:  # IDNA has labels of 1 to 63 characters
        raise socket.gaierror(socket.EAI_NONAME, f"Name or service not known: {shown(host)}; {error}") from None


def check_unix_path(path: Any) -> None:
    """Look whether a path can be a Unix socket's, and stand in a URI.

    Raises TypeError for what is no str, OSError for one that is too long, ValueError for one that no URI can hold.
    """
    if not isinstance(path, str):
        raise TypeError(f"unixsocket: expected a path as str, not {shown(path)} ({type(path).__name__})")
    size = len(os.fsencode(path))
    if size > LONGEST_UNIX_PATH + path.startswith("\0"):  # which ends with its length, not with a NUL
        raise OSError(
            f"AF_UNIX path too long: {shown(path)} has {size} bytes, and the system takes {LONGEST_UNIX_PATH}; "
            "choose a shorter one, such as a file in /tmp, or one relative to the working directory"
        )
    if ":" in path or has_controls(path[1:] if path.startswith("\0") else path):
        raise ValueError(
            f"unixsocket: {shown(path)} cannot stand in a URI; choose a path without colons and control characters"
        )


def check_published(unixsocket: Any, nathost: Any, natport: Any) -> None:
    """Look whether URIs can name a daemon as its user wants.

    Raises ValueError for arguments that exclude each other, or else what the functions above do.
    """
    if unixsocket and nathost:
        raise ValueError("cannot use nathost together with unixsocket: a Unix socket is not reached over a network")
    if natport is not None and nathost is None:
        raise ValueError("must provide natport with nathost")
    if nathost is not None:
        host_text(nathost, "nathost")
    if natport is not None:
        port_number(natport, "natport")
