"""Text that somebody else wrote, made fit to be shown: in logs, on terminals, in errors.

Control characters steer terminals and end lines of a log; characters that change the direction of writing make a text
look like another one. They are escaped wherever a text is shown, and refused in names and URIs. Knows nothing else.
"""

from __future__ import annotations

from functools import cache

from fastpyro._light_typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

__all__ = ["MASKED", "escapes", "has_controls", "is_key_name", "is_secret_name", "on_lines", "on_one_line", "shown"]

SPACES = "\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u202f\u205f\u3000"
"""Spaces of all widths, which Python does not count as printable; they do no harm."""

_LAYOUT = SPACES + "\n\t"

LONGEST_SHOWN = 200
"""Characters of a foreign value in an error or a log line."""

ROOM_FOR_LENGTH = 64
"""Characters beside the value's own, which tell how long it is."""

MOST_SHOWN = 8
"""Items of a list, tuple or dict."""

LARGEST_INTEGER_BITS = 256
"""Integers that are longer are told by their length: writing them out takes quadratic time."""

MASKED = "<hidden>"
"""Stands for a secret."""

_KEY_PARTS = ("hmac", "passw", "passphrase", "secret", "token", "api_key", "apikey")
_SECRET_PARTS = ("hmac", "key", "passw", "passphrase", "pwd", "secret", "token", "handshake", "credential", "cookie")


@cache
def escapes() -> Any:
    """Return the module `_escapes`."""
    from fastpyro import _escapes as module  # which few programs need

    return module


def has_controls(text: str) -> bool:
    """Return whether a text holds control, format, direction or surrogate characters, or characters that do not exist."""
    if text.isprintable():
        return False
    return escapes().has_others(text, SPACES)  # type: ignore[no-any-return]


def on_one_line(text: str) -> str:
    """Return a text with everything escaped that could end a line or steer a terminal: ``\\n``, ``\\x1b``, ``\\u202e``."""
    if text.isprintable():
        return text
    return escapes().escaped(text, SPACES)  # type: ignore[no-any-return]


def on_lines(text: str) -> str:
    """Return a text that may have lines and tabs, with everything else escaped that could steer a terminal."""
    if text.isprintable():
        return text
    return escapes().escaped(text, _LAYOUT)  # type: ignore[no-any-return]


def shown(value: Any, limit: int = LONGEST_SHOWN) -> str:
    """Return what an error or a log says of a foreign value: like ``repr``, on one line, and bounded.

    Arguments: ``limit``, in characters. Nothing of the value is called: whatever is not exactly a built-in value is told
    by the name of its class.
    """
    text = _inert_repr(value, limit, 3)
    return text if len(text) <= limit + ROOM_FOR_LENGTH else text[:limit] + "…"


def _inert_repr(value: Any, limit: int, depth: int) -> str:
    kind = type(value)
    if kind is str or kind is bytes:
        if len(value) > limit:
            return f"{value[:limit]!r}… of {len(value):,} {'characters' if kind is str else 'bytes'}"
        return repr(value)
    if kind is int and value.bit_length() > LARGEST_INTEGER_BITS:
        return f"<int of {value.bit_length():,} bits>"
    if kind in (int, float, complex, bool, type(None)):
        return repr(value)
    if depth and (kind is list or kind is tuple):
        parts = [_inert_repr(each, limit, depth - 1) for each in value[:MOST_SHOWN]]
        inside = ", ".join([*parts, *(["…"] if len(value) > MOST_SHOWN else [])])
        return f"[{inside}]" if kind is list else f"({inside}{',' if len(value) == 1 else ''})"
    return f"<{on_one_line(kind.__qualname__[:limit])}>"


def is_key_name(name: object) -> bool:
    """Return whether what has this name can hardly be anything but a key, a password or a token."""
    return type(name) is str and any(part in name.lower() for part in _KEY_PARTS)


def is_secret_name(name: object) -> bool:
    """Return whether what has this name is likely to be a secret: a key, a password, handshake data."""
    if type(name) is not str:
        return False
    lowered = name.lower()
    return any(part in lowered for part in _SECRET_PARTS)
