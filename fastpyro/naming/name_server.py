"""The name server's object: names for URIs, with metadata tags to find them by.

An ordinary exposed object: `arguments` checks everything that arrives before the storage sees it. What is registered is
bounded in number and in bytes, and so is what one call lists. Knows neither sockets nor files. Looking up waits for no
change; patterns are matched outside the lock, on a copy, within bounded work.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Any, TypeAlias

from fastpyro._mutex import Guard, Mutex
from fastpyro.callcontext import current_context
from fastpyro.config import config
from fastpyro.constants import NAMESERVER_NAME
from fastpyro.errors import NamingError, TimeoutError
from fastpyro.naming.arguments import (
    check_one_of,
    check_text,
    checked_flag,
    checked_name,
    checked_tags,
    checked_uri,
    cost_of,
    is_plain_text,
    sent_size_of,
    told,
)
from fastpyro.naming.origins import origin_of
from fastpyro.naming.patterns import Pattern
from fastpyro.naming.storage import Registration, SqlStorage, Storage, open_storage
from fastpyro.server.exposure import expose
from fastpyro.uri import URI
from fastpyro.values.checked import type_name

__all__ = ["NameServer", "type_meta"]

MOST_REGISTRATIONS = 100_000

MANY = 50
"""Names that are cheaper to find among all than one by one."""

PART = 500
"""Registrations of a listing that are looked at between two pauses, in which look-ups are answered."""

PAUSE = 1e-5
"""Seconds of such a pause: long enough for another thread to wake up."""

CHANGE_SECONDS = 6.0
"""How long a change waits for those before it, when the storage is slow or locked by another process."""

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
        self._lock = Mutex(reentrant=True)  # between a look and a change that depends on it
        self._searches = Mutex()  # one at a time
        self._own_uri: str | None = None
        self._origins = self._storage.origins() if isinstance(self._storage, SqlStorage) else {}
        self._bytes = sum(cost_of(name, *found) for name, found in self._storage.everything().items())

    def ping(self) -> None:
        """Do nothing; tells that the name server answers."""

    def count(self) -> int:
        """Return the number of registrations."""
        return self._storage.count()

    def lookup(self, name: str, return_metadata: bool = False) -> Any:
        """Return the URI of a name; with ``return_metadata`` the pair of URI and set of tags.

        Raises NamingError when the name is unknown.
        """
        with_metadata = checked_flag("return_metadata", return_metadata)
        uri, metadata = self._known(name)
        return (URI(uri), set(metadata)) if with_metadata else URI(uri)

    def register(self, name: str, uri: str | URI, safe: bool = False, metadata: Iterable[str] | None = None) -> None:
        """Register a URI under a name.

        Arguments: ``name``; ``uri``, a str or URI; ``safe``: refuse a name that is registered already, with NamingError,
        instead of replacing it and its metadata; ``metadata``, tags to find the name by.
        Raises TypeError for wrong types, PyroError for an invalid URI, NamingError for what exceeds a limit.
        """
        checked_name(name)
        uri_text = checked_uri(uri)
        is_safe = checked_flag("safe", safe)
        tags = checked_tags(metadata)
        origin = origin_of(current_context.client)
        with self._changing():
            if name == NAMESERVER_NAME and self._own_uri not in (None, uri_text):
                raise NamingError(f"the name {NAMESERVER_NAME} is reserved for the name server itself")
            existing = self._storage.get(name)
            if existing is not None and is_safe:
                raise NamingError(f"name already registered: {name}")
            if existing is None and self._storage.count() >= MOST_REGISTRATIONS:
                raise NamingError(f"the name server is full: it holds {MOST_REGISTRATIONS:,} names; remove some first")
            self._put(name, existing, uri_text, tags, origin)

    def set_metadata(self, name: str, metadata: Iterable[str] | None) -> None:
        """Replace the tags of a registered name. Raises NamingError when the name is unknown."""
        tags = checked_tags(metadata)
        with self._changing():
            existing = self._known(name)
            known = self._origins.get(name)
            origin = known[1] if known is not None and known[0] == existing[0] else None
            self._put(name, existing, existing[0], tags, origin)

    def remove(self, name: str | None = None, prefix: str | None = None, regex: str | None = None) -> int:
        """Remove one name, or all that begin with a prefix or match a regex; return how many were removed.

        The name server's own name stays. Raises ValueError when more than one argument is given, NamingError for an
        invalid regex.
        """
        check_one_of(name=name, prefix=prefix, regex=regex)
        conditions = [each for each in (name, prefix, regex) if each is not None and not _is_empty(each)]
        if not conditions:
            return 0
        if name is None:
            with self._searching():
                names = set(self._find(prefix, regex, None, None))
        elif type(name) is str:
            names = {name} if is_plain_text(name) else set()
        else:
            raise TypeError(f"a name is a str, not {type_name(name)}")
        with self._changing():
            return self._discard(sorted(names - {NAMESERVER_NAME}))

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
        Raises ValueError for more than one condition, NamingError for an invalid regex, and for more registrations than
        fit in one answer (``config.NS_MAX_LISTING``).
        """
        if type(metadata_all) is bool:  # Pyro5's list has return_metadata in this place
            return self.list(prefix, regex, None, metadata_any, metadata_all)
        check_one_of(prefix=prefix, regex=regex, metadata_all=metadata_all, metadata_any=metadata_any)
        with_metadata = checked_flag("return_metadata", return_metadata)
        with self._searching():
            return _listing(self._find(prefix, regex, metadata_all, metadata_any), with_metadata)

    def yplookup(
        self,
        meta_all: Iterable[str] | None = None,
        meta_any: Iterable[str] | None = None,
        return_metadata: bool = True,
    ) -> Listing:
        """Return the registrations that have all of some tags, or any of them; none when no tags are given.

        Raises ValueError when both are given, TypeError for tags that are one str.
        """
        check_one_of(meta_all=meta_all, meta_any=meta_any)
        wanted = checked_tags(meta_any if meta_all is None else meta_all)
        with_metadata = checked_flag("return_metadata", return_metadata)
        if not wanted:
            return {}
        with self._searching():
            return _listing(self._storage.with_metadata(wanted, every=meta_all is not None), with_metadata)

    # ---- not for clients ----------------------------------------------------------------------------------------------

    def _register_self(self, uri: URI) -> None:
        self._own_uri = str(uri)
        self.register(NAMESERVER_NAME, uri, metadata=PYRO_TAGS | type_meta(self))

    def _discard_if_unchanged(self, name: str, uri_text: str) -> bool:
        with self._changing():
            existing = self._storage.get(name)
            return existing is not None and existing[0] == uri_text and self._discard([name]) == 1

    def _registrations(self) -> dict[str, tuple[str, str | None]]:
        """Return uri text and origin of all names; the origin is None where it is not known."""
        origins = dict(self._origins)
        found: dict[str, tuple[str, str | None]] = {}
        for name, (uri, _) in self._storage.everything().items():
            known = origins.get(name)
            found[name] = (uri, known[1] if known is not None and known[0] == uri else None)
        return found

    def _changing(self) -> Guard:
        # Not for ever: behind a storage that is locked by another process, changes must not pile up in all threads.
        return _guard(self._lock, "the name server's storage is busy: a change", "")

    def _searching(self) -> Guard:
        # One search at a time, as it takes megabytes and a processor: looking up a name needs neither, and goes on.
        return _guard(self._searches, "the name server is busy with other searches: this one", ", or look up a name")

    def _put(
        self, name: str, existing: Registration | None, uri: str, tags: frozenset[str], origin: str | None
    ) -> None:
        more = cost_of(name, uri, tags) - (0 if existing is None else cost_of(name, *existing))
        limit = config.NS_MAX_BYTES
        if limit and more > 0 and self._bytes + more > limit and name != NAMESERVER_NAME:
            raise NamingError(
                f"the name server is full: with this name its registrations would take {self._bytes + more:,} bytes, more "
                f"than NS_MAX_BYTES {limit:,}; remove some first, or let it have more"
            )
        if isinstance(self._storage, SqlStorage):
            self._storage.put(name, uri, tags, origin)
        else:
            self._storage.put(name, uri, tags)
        self._bytes += more
        if origin is None:
            self._origins.pop(name, None)
        else:
            self._origins[name] = (uri, origin)

    def _discard(self, names: Iterable[str]) -> int:
        wanted = list(names)
        get = self._storage.get if len(wanted) < MANY else self._storage.everything().get
        there = {name: found for name in wanted if (found := get(name)) is not None}
        removed = self._storage.discard(sorted(there))
        # Not below nothing: another process may have put into the same file what is removed here.
        self._bytes = max(0, self._bytes - sum(cost_of(name, *found) for name, found in there.items()))
        for name in there:
            self._origins.pop(name, None)
        return removed

    def _hurry(self) -> None:
        hurry = getattr(self._storage, "hurry", None)  # a storage of the user's own need not have it
        if hurry is not None:
            hurry()

    def _close(self) -> None:
        self._storage.close()

    def _known(self, name: str) -> Registration:
        if type(name) is not str:
            raise TypeError(f"a name is a str, not {type_name(name)}")
        found = self._storage.get(name) if is_plain_text(name) else None
        if found is None:
            raise NamingError(f"unknown name: {told(name)}")
        return found

    def _find(
        self,
        prefix: str | None,
        regex: str | None,
        metadata_all: Iterable[str] | None,
        metadata_any: Iterable[str] | None,
    ) -> dict[str, Registration]:
        if prefix is not None and not _is_empty(prefix):
            check_text("prefix", prefix)
            return self._storage.with_prefix(prefix)
        if regex is not None and not _is_empty(regex):
            check_text("regex", regex)
            pattern = Pattern(regex)
            return {name: found for name, found in self._storage.everything().items() if pattern.matches(name)}
        if metadata_any is not None or metadata_all is not None:
            wanted = checked_tags(metadata_any if metadata_all is None else metadata_all)
            if wanted:
                return self._storage.with_metadata(wanted, every=metadata_all is not None)
            return {} if metadata_all is None else self._storage.everything()
        return self._storage.everything()


def _guard(lock: Mutex, who: str, way_out: str) -> Guard:
    """Wait for a lock, not for ever. Arguments: ``who`` waited and ``way_out``, parts of the error's text."""
    try:
        return lock.guard(time.monotonic() + CHANGE_SECONDS)
    except TimeoutError:
        raise NamingError(f"{who} waited for {CHANGE_SECONDS:g} s; try again later{way_out}") from None


def _listing(found: dict[str, Registration], return_metadata: bool) -> Listing:
    limit = config.NS_MAX_LISTING
    size = 0
    for number, (name, (uri, metadata)) in enumerate(found.items()):
        if number % PART == PART - 1:
            time.sleep(PAUSE)
        size += sent_size_of(name, uri, metadata if return_metadata else ())
        if limit and size > limit:
            raise NamingError(
                f"{len(found):,} registrations are too many for one answer: they take more than NS_MAX_LISTING {limit:,} "
                "bytes; ask for fewer, with a longer prefix, a narrower regex or other tags, or without metadata"
            )
    if return_metadata:
        return {name: (uri, set(metadata)) for name, (uri, metadata) in found.items()}
    return {name: uri for name, (uri, _) in found.items()}


def _is_empty(text: object) -> bool:
    return type(text) is str and not text
