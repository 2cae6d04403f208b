"""Name server storages as Pyro has them: dicts from names to pairs of URI text and tags, with some methods more.

`AsDict` shows a storage of fastpyro as such a dict; `AsStorage` lets a name server of fastpyro use such a dict, which a
program wrote for Pyro.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, MutableMapping
from typing import Any, TypeAlias

from fastpyro._mutex import Mutex
from fastpyro.naming import storage as naming_storage
from fastpyro.naming.name_server import NameServer
from fastpyro.naming.start import NameServerDaemon
from fastpyro.naming.storage import Registration, Storage, open_storage
from fastpyro.server.exposure import expose

__all__ = ["AsDict", "AsStorage", "MemoryStorage", "PeerNameServer", "SqlStorage", "use_them"]

Entry: TypeAlias = tuple[str, Iterable[str]]


class AsDict(MutableMapping[str, Entry]):
    """A storage of fastpyro as a dict. Arguments: ``inner``, the storage; its other methods are there, too."""

    def __init__(self, inner: Storage) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        if name == "inner":  # of one that is being copied
            raise AttributeError(name)
        return getattr(self.inner, name)

    def __getitem__(self, name: str) -> Entry:
        found = self.inner.get(name)
        if found is None:
            raise KeyError(name)
        return found

    def __setitem__(self, name: str, entry: Entry) -> None:
        uri, metadata = entry
        self.inner.put(name, str(uri), frozenset(metadata or ()))

    def __delitem__(self, name: str) -> None:
        if not self.inner.discard([name]):
            raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self.inner.everything())

    def __len__(self) -> int:
        return self.inner.count()

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.inner.get(name) is not None

    def clear(self) -> None:
        """Remove all names."""
        self.inner.discard(list(self))

    def optimized_prefix_list(self, prefix: str, return_metadata: bool = False) -> dict[str, Any]:
        """Return the names that begin with a text, with URIs, or with pairs of URI and tags."""
        return _listing(self.inner.with_prefix(prefix), return_metadata)

    def optimized_regex_list(self, regex: str, return_metadata: bool = False) -> None:
        """Return None: there is no quicker way than looking at all."""

    def optimized_metadata_search(
        self, metadata_all: Any = None, metadata_any: Any = None, return_metadata: bool = False
    ) -> dict[str, Any]:
        """Return the names that have all of some tags, or any of them."""
        wanted = metadata_any if metadata_all is None else metadata_all
        return _listing(self.inner.with_metadata(frozenset(wanted), metadata_all is not None), return_metadata)

    def everything(self, return_metadata: bool = False) -> dict[str, Any]:
        """Return all names with their URIs, or with pairs of URI and tags."""
        return _listing(self.inner.everything(), return_metadata)

    def remove_items(self, items: Iterable[str]) -> None:
        """Remove names, as far as they are there."""
        self.inner.discard(items)

    def close(self) -> None:
        """Release everything."""
        self.inner.close()


def _listing(found: dict[str, Registration], return_metadata: bool) -> dict[str, Any]:
    return dict(found) if return_metadata else {name: uri for name, (uri, _) in found.items()}


class MemoryStorage(AsDict):
    """Keeps names in this process. Arguments: names with their entries."""

    def __init__(self, **entries: Entry) -> None:
        super().__init__(naming_storage.MemoryStorage())
        self.update(entries)


class SqlStorage(AsDict):
    """Keeps names in an SQLite file. Arguments: ``dbfile``, its path.

    It may be used again after ``close``. Raises ValueError for a path that names no file, NamingError when the file cannot
    be used.
    """

    def __init__(self, dbfile: str) -> None:
        super().__init__(_ReopenedSql(dbfile))
        self.dbfile = dbfile


class _ReopenedSql:
    """An SQLite storage that may be closed and used again, as Pyro's may. Arguments: ``path``."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._lock = Mutex()
        self._open: naming_storage.SqlStorage | None = naming_storage.SqlStorage(path)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        with self._lock.guard():
            if self._open is None:
                self._open = naming_storage.SqlStorage(self._path)
            return getattr(self._open, name)

    def close(self) -> None:
        with self._lock.guard():
            closed, self._open = self._open, None
        if closed is not None:
            closed.close()


class AsStorage:
    """Lets a name server keep its names in a dict as Pyro's. Arguments: ``entries``, the dict.

    Which of Pyro's further methods it has does not matter, but for ``close``.
    """

    def __init__(self, entries: Any) -> None:
        self.entries = entries

    def count(self) -> int:
        return len(self.entries)

    def get(self, name: str) -> Registration | None:
        try:
            return _registration(self.entries[name])
        except KeyError:
            return None

    def put(self, name: str, uri: str, metadata: frozenset[str]) -> None:
        self.entries[name] = uri, metadata

    def discard(self, names: Iterable[str]) -> int:
        there = [name for name in names if name in self.entries]
        for name in there:
            del self.entries[name]
        return len(there)

    def everything(self) -> dict[str, Registration]:
        return {name: _registration(self.entries[name]) for name in list(self.entries)}

    def with_prefix(self, prefix: str) -> dict[str, Registration]:
        return self._those(lambda name, _: name.startswith(prefix))

    def with_metadata(self, tags: frozenset[str], every: bool) -> dict[str, Registration]:
        return self._those(lambda _, own: tags <= own if every else bool(tags & own))

    def _those(self, fits: Callable[[str, frozenset[str]], bool]) -> dict[str, Registration]:
        return {name: found for name, found in self.everything().items() if fits(name, found[1])}

    def close(self) -> None:
        getattr(self.entries, "close", lambda: None)()


def _registration(entry: Any) -> Registration:
    uri, metadata = entry
    return str(uri), frozenset(metadata or ())


@expose
class PeerNameServer(NameServer):
    """For the ``NameServer`` of a peer. Arguments: ``storageProvider``, a storage of fastpyro's, or a dict as Pyro's.

    Attribute ``storage``: where the names are; another one may be set.
    """

    def __init__(self, storageProvider: Any = None) -> None:
        super().__init__(_inner(storageProvider))
        self._shown = storageProvider

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "storage":
            own_uri = self._own_uri  # whose name stays reserved
            PeerNameServer.__init__(self, value)
            self._own_uri = own_uri
        else:
            super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        if name != "storage":
            raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")
        if self._shown is None or isinstance(self._shown, str):
            self._shown = AsDict(self._storage)
        return self._shown


def _inner(provider: Any) -> Storage:
    if isinstance(provider, AsDict):
        return provider.inner
    if provider is None or isinstance(provider, str) or hasattr(provider, "put"):
        return open_storage(provider)
    return AsStorage(provider)


def use_them(name_server: type[PeerNameServer]) -> None:
    """Let the name servers of this process be of that class from now on."""
    NameServerDaemon.name_server_class = name_server
