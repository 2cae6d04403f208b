"""The name server's object: names for URIs, with metadata tags to find them by.

An ordinary exposed object: everything that arrives is checked here, for type, length and number, before the storage
sees it. Knows neither sockets nor files. Patterns are matched outside the lock, on a copy, within bounded work.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any, TypeAlias

from fastpyro.errors import NamingError
from fastpyro.exposure import expose
from fastpyro.message_kinds import NAMESERVER_NAME
from fastpyro.naming.patterns import Pattern
from fastpyro.naming.storage import Registration, Storage, open_storage
from fastpyro.uri import URI

__all__ = ["NameServer", "type_meta"]

LONGEST_NAME = 500
LONGEST_URI = 1000
LONGEST_TAG = 500
MOST_TAGS = 100
MOST_REGISTRATIONS = 100_000

PYRO_TAGS = frozenset({"class:Pyro4.naming.NameServer", "class:Pyro5.nameserver.NameServer"})
"""Programs for Pyro find their name server by these."""

Listing: TypeAlias = dict[str, Any]
"""From name to uri text, or to the pair of uri text and set of tags."""


def type_meta(class_or_object: Any, prefix: str = "class:") -> set[str]:
    """Return metadata tags that tell the class, and the base classes, of an object: "class:module.Name".

    Arguments: ``class_or_object``; ``prefix`` of the tags. Builtin classes are left out.
    """
    cls = class_or_object if isinstance(class_or_object, type) else type(class_or_object)
    return {f"{prefix}{base.__module__}.{base.__name__}" for base in cls.__mro__ if base.__module__ != "builtins"}


@expose
class NameServer:
    """Registers URIs under names.

    Arguments: ``storage``, "memory", "sql:<file>" or a storage object. Methods raise NamingError for unknown names and for
    what exceeds the limits, TypeError and ValueError for wrong arguments.
    """

    def __init__(self, storage: str | Storage | None = None) -> None:
        self._storage = open_storage(storage)
        self._lock = threading.RLock()  # between a look and a change that depends on it
        self._own_uri: str | None = None

    def ping(self) -> None:
        """Do nothing; tells that the name server answers."""

    def count(self) -> int:
        """Return the number of registrations."""
        return self._storage.count()

    def lookup(self, name: str, return_metadata: bool = False) -> Any:
        """Return the URI of a name; with ``return_metadata`` the pair of URI and set of tags.

        Raises NamingError when the name is unknown.
        """
        uri, metadata = self._known(name)
        return (URI(uri), set(metadata)) if return_metadata else URI(uri)

    def register(self, name: str, uri: str | URI, safe: bool = False, metadata: Iterable[str] | None = None) -> None:
        """Register a URI under a name.

        Arguments: ``name``; ``uri``, a str or URI; ``safe``: refuse a name that is registered already, with NamingError,
        instead of replacing it and its metadata; ``metadata``, tags to find the name by.
        Raises TypeError for wrong types, PyroError for an invalid URI, NamingError for what exceeds a limit.
        """
        _check_text("name", name, LONGEST_NAME)
        if not isinstance(uri, str | URI):
            raise TypeError(f"a uri is a str or a URI, not {type(uri).__name__}")
        _check_text("uri", str(uri), LONGEST_URI)
        uri_text = str(URI(uri))
        tags = _checked_tags(metadata)
        with self._lock:
            if name == NAMESERVER_NAME and self._own_uri not in (None, uri_text):
                raise NamingError(f"the name {NAMESERVER_NAME} is reserved for the name server itself")
            existing = self._storage.get(name)
            if existing is not None and safe:
                raise NamingError(f"name already registered: {name}")
            if existing is None and self._storage.count() >= MOST_REGISTRATIONS:
                raise NamingError(f"the name server is full: it holds {MOST_REGISTRATIONS:,} names; remove some first")
            self._storage.put(name, uri_text, tags)

    def set_metadata(self, name: str, metadata: Iterable[str] | None) -> None:
        """Replace the tags of a registered name. Raises NamingError when the name is unknown."""
        tags = _checked_tags(metadata)
        with self._lock:
            uri, _ = self._known(name)
            self._storage.put(name, uri, tags)

    def remove(self, name: str | None = None, prefix: str | None = None, regex: str | None = None) -> int:
        """Remove one name, or all that begin with a prefix or match a regex; return how many were removed.

        The name server's own name stays. Raises ValueError when more than one argument is given, NamingError for an
        invalid regex.
        """
        _check_one_of(name=name, prefix=prefix, regex=regex)
        if name:
            names = {name}
        elif prefix or regex:
            names = set(self._find(prefix, regex, None, None))
        else:
            return 0
        with self._lock:
            return self._storage.discard(sorted(names - {NAMESERVER_NAME}))

    def list(
        self,
        prefix: str | None = None,
        regex: str | None = None,
        metadata_all: Iterable[str] | bool | None = None,
        metadata_any: Iterable[str] | None = None,
        return_metadata: bool = False,
    ) -> Listing:
        """Return registrations: all, or those that one condition selects.

        Arguments: ``prefix``, with which names begin; ``regex``, which they match at their beginning; ``metadata_all``,
        tags that they all have; ``metadata_any``, tags of which they have one or more. Returns a dict from name to uri
        text, or with ``return_metadata`` to the pair of uri text and set of tags.
        Raises ValueError for more than one condition, NamingError for an invalid regex.
        """
        if isinstance(metadata_all, bool):  # Pyro5's list has return_metadata in this place
            return self.list(prefix, regex, None, metadata_any, metadata_all)
        _check_one_of(prefix=prefix, regex=regex, metadata_all=metadata_all, metadata_any=metadata_any)
        return _listing(self._find(prefix, regex, metadata_all, metadata_any), return_metadata)

    def yplookup(
        self,
        meta_all: Iterable[str] | None = None,
        meta_any: Iterable[str] | None = None,
        return_metadata: bool = True,
    ) -> Listing:
        """Return the registrations that have all of some tags, or any of them; none when no tags are given.

        Raises ValueError when both are given, TypeError for tags that are one str.
        """
        _check_one_of(meta_all=meta_all, meta_any=meta_any)
        wanted = _checked_tags(meta_any if meta_all is None else meta_all)
        if not wanted:
            return {}
        return _listing(self._storage.with_metadata(wanted, every=meta_all is not None), return_metadata)

    # ---- not for clients ----------------------------------------------------------------------------------------------

    def _register_self(self, uri: URI) -> None:
        self._own_uri = str(uri)
        self.register(NAMESERVER_NAME, uri, metadata=PYRO_TAGS | type_meta(self))

    def _discard_if_unchanged(self, name: str, uri_text: str) -> bool:
        with self._lock:
            existing = self._storage.get(name)
            return existing is not None and existing[0] == uri_text and self._storage.discard([name]) == 1

    def _close(self) -> None:
        self._storage.close()

    def _known(self, name: str) -> Registration:
        if not isinstance(name, str):
            raise TypeError(f"a name is a str, not {type(name).__name__}")
        found = self._storage.get(name) if _is_plain_text(name) else None
        if found is None:
            raise NamingError(f"unknown name: {_shown(name)}")
        return found

    def _find(
        self,
        prefix: str | None,
        regex: str | None,
        metadata_all: Iterable[str] | None,
        metadata_any: Iterable[str] | None,
    ) -> dict[str, Registration]:
        if prefix:
            _check_text("prefix", prefix, LONGEST_NAME)
            return self._storage.with_prefix(prefix)
        if regex:
            _check_text("regex", regex, LONGEST_NAME)
            pattern = Pattern(regex)
            return {name: found for name, found in self._storage.everything().items() if pattern.matches(name)}
        if metadata_any is not None or metadata_all is not None:
            wanted = _checked_tags(metadata_any if metadata_all is None else metadata_all)
            if wanted:
                return self._storage.with_metadata(wanted, every=metadata_all is not None)
            return {} if metadata_all is None else self._storage.everything()
        return self._storage.everything()


def _listing(found: dict[str, Registration], return_metadata: bool) -> Listing:
    if return_metadata:
        return {name: (uri, set(metadata)) for name, (uri, metadata) in found.items()}
    return {name: uri for name, (uri, _) in found.items()}


def _check_one_of(**conditions: object) -> None:
    given = [name for name, value in conditions.items() if value is not None]
    if len(given) > 1:
        raise ValueError(f"you can only filter on one thing at a time, not on {' and '.join(given)}")


def _checked_tags(metadata: Iterable[str] | None) -> frozenset[str]:
    if metadata is None:
        return frozenset()
    if isinstance(metadata, str | bytes) or not isinstance(metadata, Iterable):
        raise TypeError(f"metadata is a collection of str, not one {type(metadata).__name__}")
    tags: set[str] = set()
    for tag in metadata:
        _check_text("metadata tag", tag, LONGEST_TAG)
        tags.add(tag)
        if len(tags) > MOST_TAGS:
            raise NamingError(f"more than {MOST_TAGS} metadata tags for one name")
    return frozenset(tags)


def _check_text(what: str, text: object, longest: int) -> None:
    if not isinstance(text, str):
        raise TypeError(f"a {what} is a str, not {type(text).__name__}")
    if not 0 < len(text) <= longest:
        raise NamingError(f"a {what} has 1 to {longest} characters, not {len(text):,}")
    if not _is_plain_text(text):
        raise NamingError(f"a {what} is text without surrogate characters, not {_shown(text)}")


def _is_plain_text(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _shown(text: str) -> str:
    if len(text) > LONGEST_NAME:
        return f"{text[:50]!r}… of {len(text):,} characters"
    return text if text.isprintable() else repr(text)
