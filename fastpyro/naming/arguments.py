"""What clients give the name server: exact type, length and number are checked before anything is done with it.

Anybody may call a name server, with objects of every class that is registered in its process: nothing is iterated,
compared or converted before its type is known. Knows neither storages nor what is registered.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from fastpyro._foreign_text import has_controls, on_one_line, shown
from fastpyro.errors import NamingError
from fastpyro.uri import URI
from fastpyro.values.checked import is_kind, type_name

__all__ = [
    "check_one_of",
    "check_text",
    "checked_flag",
    "checked_name",
    "checked_tags",
    "checked_uri",
    "cost_of",
    "told",
]

LONGEST_NAME = 500
LONGEST_URI = 1000
LONGEST_TAG = 500
MOST_TAGS = 100

_OF_ONE_NAME, _OF_ONE_TAG, _OF_ONE_TEXT = 300, 70, 60
"""Bytes of memory beside the characters, roughly."""
_MOST_OF_ONE_CHARACTER = 8
"""Bytes: its own four, and four of UTF-8, which Python keeps once it was asked for."""


def check_text(what: str, text: Any, longest: int = LONGEST_NAME) -> None:
    """Raise TypeError for what is no str, NamingError for one that is empty, too long, or has surrogate characters."""
    if type(text) is not str:
        raise TypeError(f"a {what} is a str, not {type_name(text)}")
    if not 0 < len(text) <= longest:
        raise NamingError(f"a {what} has 1 to {longest} characters, not {len(text):,}")
    if not is_plain_text(text):
        raise NamingError(f"a {what} is text without surrogate characters, not {told(text)}")


def checked_name(name: Any, what: str = "name", longest: int = LONGEST_NAME) -> str:
    """Return a text that others will see: it has no control characters. Raises like ``check_text``."""
    check_text(what, name, longest)
    if has_controls(name):
        raise NamingError(f"a {what} has no control characters: {told(name)} has")
    return name  # type: ignore[no-any-return]


def checked_uri(uri: Any) -> str:
    """Return a valid URI's text. Raises TypeError for another type, PyroError for a bad one, NamingError for a long one."""
    if type(uri) is not str:
        if not is_kind(uri, URI):
            raise TypeError(f"a uri is a str or a URI, not {type_name(uri)}")
        uri = URI.__str__(uri)
    check_text("uri", uri, LONGEST_URI)
    return str(URI(uri))


def checked_tags(metadata: Any) -> frozenset[str]:
    """Return metadata tags, given as a collection of str or None. Raises TypeError, NamingError for too many."""
    if metadata is None:
        return frozenset()
    if type(metadata) not in (list, tuple, set, frozenset):
        raise TypeError(f"metadata is a list, tuple or set of str, not one {type_name(metadata)}")
    tags: set[str] = set()
    for tag in metadata:
        tags.add(checked_name(tag, "metadata tag", LONGEST_TAG))
        if len(tags) > MOST_TAGS:
            raise NamingError(f"more than {MOST_TAGS} metadata tags for one name")
    return frozenset(tags)


def checked_flag(what: str, value: Any) -> bool:
    """Return whether something is asked for. Raises TypeError for what is no bool, number or None.

    A number, because Pyro5's clients send their ``delay_time`` where ``return_metadata`` belongs.
    """
    if type(value) not in (bool, int, float, type(None)):
        raise TypeError(f"{what} is a bool, not {type_name(value)}")
    return bool(value)


def check_one_of(**conditions: object) -> None:
    """Raise ValueError when more than one condition is given."""
    given = [name for name, value in conditions.items() if value is not None]
    if len(given) > 1:
        raise ValueError(f"you can only filter on one thing at a time, not on {' and '.join(given)}")


def cost_of(name: str, uri: str, tags: frozenset[str]) -> int:
    """Return how many bytes of memory a registration takes, at the most."""
    # Without looking at each character: a list has a hundred thousand texts.
    return (
        _OF_ONE_NAME
        + len(tags) * _OF_ONE_TAG
        + sum(
            _OF_ONE_TEXT + (len(text) if text.isascii() else _MOST_OF_ONE_CHARACTER * len(text))
            for text in (name, uri, *tags)
        )
    )


def sent_size_of(name: str, uri: str, tags: Iterable[str]) -> int:
    """Return how many bytes of an answer a registration takes, at the most."""
    return sum(5 + (len(text) if text.isascii() else 4 * len(text)) for text in (name, uri, *tags))


def is_plain_text(text: str) -> bool:
    """Return whether a text can be written as UTF-8."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def told(text: str) -> str:
    """Return a name for an error's text."""
    if len(text) > LONGEST_NAME:
        return shown(text, 50)
    return on_one_line(text)
