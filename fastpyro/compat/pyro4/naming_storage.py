"""Pyro4.naming_storage: where a name server keeps its names."""

from __future__ import annotations

import dbm
from collections.abc import Callable, Iterable
from typing import Any

from fastpyro._lazy_logging import logger
from fastpyro._mutex import Mutex
from fastpyro.compat.shared.module_names import also_there
from fastpyro.compat.shared.name_storages import AsDict, SqlStorage
from fastpyro.errors import NamingError
from fastpyro.naming.storage import Registration

__all__ = ["DbmStorage", "SqlStorage", "storage_of"]

__getattr__ = also_there(__name__, "", "logging re sqlite3 sys threading")

log = logger("fastpyro.naming")


def storage_of(selector: Any) -> Any:
    """Return what a name server of fastpyro is given for a selector of Pyro4: the same, but for "dbm:<file>"."""
    kind, _, path = selector.partition(":") if isinstance(selector, str) else ("", "", "")
    return DbmStorage(path) if kind == "dbm" else selector


class DbmStorage(AsDict):
    """Keeps names and URIs in a dbm file. Arguments: ``dbmfile``, its path. Raises NamingError when it cannot be used."""

    def __init__(self, dbmfile: str) -> None:
        super().__init__(_DbmNames(dbmfile))
        self.dbmfile = dbmfile


class _DbmNames:
    """Keeps names and URIs in a dbm file; metadata are dropped, with a warning in the log.

    Arguments: ``dbmfile``, its path. Raises NamingError when the file cannot be used; so do all methods.
    """

    def __init__(self, dbmfile: str) -> None:
        self.dbmfile = dbmfile
        self._lock = Mutex(what="the storage", leaf=True)
        self._step(lambda database: None)

    def _step(self, work: Callable[[Any], Any]) -> Any:
        # Opened for each step: some kinds of dbm write to the disk only when they are closed.
        try:
            with self._lock.guard(), dbm.open(self.dbmfile, "c", 0o600) as database:
                return work(database)
        except dbm.error as failure:
            raise NamingError(f"the name server's storage {self.dbmfile!r} failed: {failure}") from failure

    def count(self) -> int:
        """Return the number of names."""
        return len(self.everything())

    def get(self, name: str) -> Registration | None:
        """Return what is registered under a name, or None."""
        uri = self._step(lambda database: database.get(name.encode("utf-8")))
        return None if uri is None else (uri.decode("utf-8"), frozenset())

    def put(self, name: str, uri: str, metadata: frozenset[str]) -> None:
        """Register a name, or replace what is registered under it."""
        if metadata:
            log.warning("a dbm storage keeps no metadata: those of %s are dropped", name)

        def write(database: Any) -> None:
            database[name.encode("utf-8")] = uri.encode("utf-8")

        self._step(write)

    def discard(self, names: Iterable[str]) -> int:
        """Remove names, as far as they are there; return how many were."""

        def remove(database: Any) -> int:
            there = [key for key in {name.encode("utf-8") for name in names} if key in database]
            for key in there:
                del database[key]
            return len(there)

        return int(self._step(remove))

    def everything(self) -> dict[str, Registration]:
        """Return all registrations."""

        def read(database: Any) -> dict[str, Registration]:
            return {key.decode("utf-8"): (database[key].decode("utf-8"), frozenset()) for key in database.keys()}  # noqa: SIM118 - dbm.open gives objects that need not be iterable

        found: dict[str, Registration] = self._step(read)
        return found

    def with_prefix(self, prefix: str) -> dict[str, Registration]:
        """Return the registrations whose names begin with exactly this text."""
        return {name: found for name, found in self.everything().items() if name.startswith(prefix)}

    def with_metadata(self, tags: frozenset[str], every: bool) -> dict[str, Registration]:
        """Raise NamingError: there are no metadata."""
        raise NamingError("a dbm storage keeps no metadata to search by; use sql:<file> instead")

    def close(self) -> None:
        """Release everything: nothing is held between two steps."""
