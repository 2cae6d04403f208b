"""Where registrations are kept: in memory, or in an SQLite file that survives the process.

A storage holds names, each with a uri text and a set of metadata tags. It is safe to use from several threads, each
method is one atomic step, and a step that has returned is not lost with the process. Knows no rules about names.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from fastpyro._mutex import Guard, Mutex
from fastpyro.errors import NamingError, TimeoutError

if TYPE_CHECKING:
    import sqlite3

__all__ = ["MemoryStorage", "Registration", "SqlStorage", "Storage", "open_storage"]

Registration: TypeAlias = tuple[str, frozenset[str]]
"""The uri text and the metadata tags of one name."""

BUSY_SECONDS = 5.0
"""How long a change waits while another process writes to the same file."""

HURRIED_SECONDS = 0.25
"""How long it does where everybody else waits meanwhile, because one thread serves all."""

READ_BUSY_SECONDS = 1.0
"""How long a look-up does, where the file system has no write-ahead log: with one it never waits."""

READERS = 3
"""Connections for reading one name, or counting them."""

LISTERS = 2
"""Connections for reading many names: whoever lists everything keeps one of them for long, and no look-up waits for it."""


class Storage(Protocol):
    """What the name server needs of its memory."""

    def count(self) -> int:
        """Return the number of names."""

    def get(self, name: str) -> Registration | None:
        """Return what is registered under a name, or None."""

    def put(self, name: str, uri: str, metadata: frozenset[str]) -> None:
        """Register a name, or replace what is registered under it."""

    def discard(self, names: Iterable[str]) -> int:
        """Remove names, as far as they are there; return how many were."""

    def everything(self) -> dict[str, Registration]:
        """Return all registrations."""

    def with_prefix(self, prefix: str) -> dict[str, Registration]:
        """Return the registrations whose names begin with exactly this text."""

    def with_metadata(self, tags: frozenset[str], every: bool) -> dict[str, Registration]:
        """Return the registrations that have every one of the tags, or any of them."""

    def close(self) -> None:
        """Release everything; the storage cannot be used any more."""


def open_storage(selector: str | Storage | None) -> Storage:
    """Return the storage that a selector means: "memory" (or None), or "sql:<file>"; a storage object is returned as it is.

    Raises ValueError for any other text, NamingError when the file cannot be used.
    """
    if selector is None or selector == "memory":
        return MemoryStorage()
    if not isinstance(selector, str):
        return selector
    kind, _, path = selector.partition(":")
    if kind == "sql":
        return SqlStorage(path)
    raise ValueError(f"invalid storage type '{selector}': expected 'memory' or 'sql:<file>'")


class MemoryStorage:
    """Keeps registrations in this process; they end with it."""

    def __init__(self) -> None:
        self._registrations: dict[str, Registration] = {}
        self._lock = Mutex(reentrant=True, leaf=True)

    def count(self) -> int:
        return len(self._registrations)

    def get(self, name: str) -> Registration | None:
        return self._registrations.get(name)

    def put(self, name: str, uri: str, metadata: frozenset[str]) -> None:
        with self._lock.guard():
            self._registrations[name] = (uri, frozenset(metadata))

    def discard(self, names: Iterable[str]) -> int:
        wanted = list(names)
        with self._lock.guard():
            return sum(self._registrations.pop(name, None) is not None for name in wanted)

    def everything(self) -> dict[str, Registration]:
        with self._lock.guard():
            return dict(self._registrations)

    def with_prefix(self, prefix: str) -> dict[str, Registration]:
        return {name: found for name, found in self.everything().items() if name.startswith(prefix)}

    def with_metadata(self, tags: frozenset[str], every: bool) -> dict[str, Registration]:
        matches: Callable[[frozenset[str]], bool] = tags.issubset if every else lambda own: not tags.isdisjoint(own)
        return {name: found for name, found in self.everything().items() if matches(found[1])}

    def close(self) -> None:
        with self._lock.guard():
            self._registrations.clear()


class _Seat:
    """A connection to an SQLite file, which one thread uses at a time: who has its turn."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self.database = database
        self.turn = Mutex(what="the storage of the name server")


class SqlStorage:
    """Keeps registrations in an SQLite file, in tables of the shape that Pyro's name server uses.

    Arguments: ``path`` of the file, made if it is not there. Raises ValueError for a path that names no file,
    NamingError when the file cannot be opened or is no such database; so do all methods when SQLite reports an error.
    """

    def __init__(self, path: str) -> None:
        if not path or path.startswith(":memory:"):
            raise ValueError(f"invalid storage file {path!r}: name a file, or use the storage 'memory'")
        import sqlite3

        self.path = path
        self._error = sqlite3.Error
        self._closed = False
        self._numbers = itertools.count()
        # Readers have seats of their own, because in a write-ahead log they see the state before a change for as long as it
        # lasts, and wait for nothing.
        self._writers: list[_Seat] = []
        self._readers: list[_Seat] = []
        self._listers: list[_Seat] = []
        self._connections: list[sqlite3.Connection] = []
        try:
            _create_private(path)
            writer = self._open(BUSY_SECONDS)
            self._prepare(writer)
            self._writers.append(_Seat(writer))
            for seats in READERS * [self._readers] + LISTERS * [self._listers]:
                reader = self._open(READ_BUSY_SECONDS)
                reader.execute("PRAGMA query_only=ON")
                seats.append(_Seat(reader))
        except (sqlite3.Error, OSError) as error:
            for connection in self._connections:
                connection.close()
            raise NamingError(f"cannot use {path!r} as storage of the name server: {error}") from error

    def hurry(self) -> None:
        """Let changes wait for other processes for a moment only: the caller's one thread has others to serve."""
        (writer,) = self._writers
        with writer.turn.guard():
            writer.database.execute(f"PRAGMA busy_timeout={int(HURRIED_SECONDS * 1000)}")

    def _open(self, busy_seconds: float) -> sqlite3.Connection:
        import sqlite3

        connection = sqlite3.connect(self.path, timeout=busy_seconds, isolation_level=None, check_same_thread=False)
        self._connections.append(connection)
        return connection

    def _prepare(self, database: sqlite3.Connection) -> None:
        # With a write-ahead log one registration costs one flush to the disk. FULL: each commit is flushed, so that not
        # even a power failure takes back what a client was told.
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=FULL")
        database.execute("PRAGMA foreign_keys=OFF")  # they would stand in the way of the migration
        database.execute("BEGIN IMMEDIATE")
        try:
            tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            _make_tables(database, tables)
            database.execute("COMMIT")
        except BaseException:
            database.execute("ROLLBACK")
            raise

    def _turn(self, seats: list[_Seat]) -> Guard:
        """Wait for the turn at one of the connections. Raises NamingError when that takes too long."""
        chosen = seats[next(self._numbers) % len(seats)]
        if chosen.turn.locked:
            chosen = next((seat for seat in seats if not seat.turn.locked), chosen)
        try:
            return chosen.turn.guard(time.monotonic() + 2 * BUSY_SECONDS)
        except TimeoutError:
            raise NamingError(f"the storage {self.path!r} is busy; try again later") from None

    def _step(self, seats: list[_Seat], begin: str, work: Callable[[sqlite3.Connection], Any]) -> Any:
        """Run ``work`` as one transaction; what it wrote is on the disk when this returns."""
        if self._closed:
            raise NamingError(f"the storage {self.path!r} is closed")
        try:
            with self._turn(seats):
                database = next(seat.database for seat in seats if seat.turn.owned)
                try:
                    database.execute(begin)
                    result = work(database)
                    database.execute("COMMIT")
                except BaseException:
                    if database.in_transaction:
                        database.execute("ROLLBACK")
                    raise
        except self._error as error:
            raise NamingError(f"the name server's storage {self.path!r} failed: {error}") from error
        finally:
            self._close_unused()
        return result

    def _read(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        return self._step(self._readers, "BEGIN", work)

    def _list(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        return self._step(self._listers, "BEGIN", work)

    def _write(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        return self._step(self._writers, "BEGIN IMMEDIATE", work)

    def count(self) -> int:
        return int(self._read(lambda database: database.execute("SELECT COUNT(*) FROM pyro_names").fetchone()[0]))

    def get(self, name: str) -> Registration | None:
        found: dict[str, Registration] = self._read(partial(_select, "WHERE name = ?", (name,)))
        return found.get(name)

    def put(self, name: str, uri: str, metadata: frozenset[str], origin: str | None = None) -> None:
        """Register a name; ``origin`` tells from where it was registered, and is kept with it."""

        def write(database: sqlite3.Connection) -> None:
            _delete(database, name)
            row = database.execute("INSERT INTO pyro_names(name, uri) VALUES (?, ?)", (name, uri)).lastrowid
            database.executemany(
                "INSERT INTO pyro_metadata(object, metadata) VALUES (?, ?)", [(row, tag) for tag in sorted(metadata)]
            )
            if origin is not None:
                database.execute(
                    "INSERT INTO fastpyro_origins(name, uri, origin) VALUES (?, ?, ?)", (name, uri, origin)
                )

        self._write(write)

    def origins(self) -> dict[str, tuple[str, str]]:
        """Return, by name, the uri that was registered and from where, as far as that is known."""
        found: dict[str, tuple[str, str]] = self._list(
            lambda database: {
                name: (uri, origin)
                for name, uri, origin in database.execute("SELECT name, uri, origin FROM fastpyro_origins")
            }
        )
        return found

    def discard(self, names: Iterable[str]) -> int:
        wanted = list(names)
        return int(self._write(lambda database: sum(_delete(database, name) for name in wanted)))

    def everything(self) -> dict[str, Registration]:
        return self._select("", ())

    def with_prefix(self, prefix: str) -> dict[str, Registration]:
        # A range instead of LIKE: the name's index serves it, and % and _ and capitals are ordinary characters.
        after = _text_after(prefix)
        if after is None:
            return self._select("WHERE name >= ?", (prefix,))
        return self._select("WHERE name >= ? AND name < ?", (prefix, after))

    def with_metadata(self, tags: frozenset[str], every: bool) -> dict[str, Registration]:
        marks = ",".join("?" * len(tags))
        condition = (
            f"WHERE id IN (SELECT object FROM pyro_metadata WHERE metadata IN ({marks})"
            " GROUP BY object HAVING COUNT(DISTINCT metadata) >= ?)"
        )
        return self._select(condition, (*sorted(tags), len(tags) if every else 1))

    def _select(self, condition: str, parameters: tuple[Any, ...]) -> dict[str, Registration]:
        found: dict[str, Registration] = self._list(partial(_select, condition, parameters))
        return found

    def close(self) -> None:
        self._closed = True  # what is in use is closed by who uses it
        self._close_unused()

    def _close_unused(self) -> None:
        if not self._closed:
            return
        for seat in (*self._writers, *self._readers, *self._listers):
            if not seat.turn.locked:
                with seat.turn.guard():
                    seat.database.close()


def _select(condition: str, parameters: tuple[Any, ...], database: sqlite3.Connection) -> dict[str, Registration]:
    tags: dict[int, set[str]] = {}
    chosen = f"SELECT id FROM pyro_names {condition}"
    for row, tag in database.execute(
        f"SELECT object, metadata FROM pyro_metadata WHERE object IN ({chosen})", parameters
    ):
        tags.setdefault(row, set()).add(tag)
    return {
        name: (uri, frozenset(tags.get(row, ())))
        for row, name, uri in database.execute(f"SELECT id, name, uri FROM pyro_names {condition}", parameters)
    }


def _create_private(path: str) -> None:
    """Make a new file that nobody else may read; SQLite gives its helper files the rights of this one."""
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC, 0o600))


def _make_tables(database: sqlite3.Connection, tables: set[str]) -> None:
    old = "pyro_names" in tables and "pyro_metadata" not in tables
    if old:  # from before there was metadata: its table need not have the columns of today
        database.execute("ALTER TABLE pyro_names RENAME TO pyro_names_before_metadata")
    database.execute(
        "CREATE TABLE IF NOT EXISTS pyro_names"
        " (id INTEGER PRIMARY KEY, name NVARCHAR NOT NULL UNIQUE, uri NVARCHAR NOT NULL)"
    )
    database.execute(
        "CREATE TABLE IF NOT EXISTS pyro_metadata"
        " (object INTEGER NOT NULL, metadata NVARCHAR NOT NULL, FOREIGN KEY (object) REFERENCES pyro_names (id))"
    )
    database.execute(
        "CREATE TABLE IF NOT EXISTS fastpyro_origins"
        " (name NVARCHAR PRIMARY KEY NOT NULL, uri NVARCHAR NOT NULL, origin NVARCHAR NOT NULL)"
    )
    database.execute("CREATE INDEX IF NOT EXISTS fastpyro_metadata_object ON pyro_metadata (object)")
    database.execute("CREATE INDEX IF NOT EXISTS fastpyro_metadata_tag ON pyro_metadata (metadata)")
    if old:
        database.execute("INSERT INTO pyro_names(name, uri) SELECT name, uri FROM pyro_names_before_metadata")
        database.execute("DROP TABLE pyro_names_before_metadata")
    database.execute("SELECT id, name, uri FROM pyro_names LIMIT 1")  # an error for tables of somebody else


def _delete(database: sqlite3.Connection, name: str) -> int:
    database.execute("DELETE FROM pyro_metadata WHERE object IN (SELECT id FROM pyro_names WHERE name = ?)", (name,))
    database.execute("DELETE FROM fastpyro_origins WHERE name = ?", (name,))
    return database.execute("DELETE FROM pyro_names WHERE name = ?", (name,)).rowcount


def _text_after(prefix: str) -> str | None:
    """Return the least text that sorts after all that begin with ``prefix``; None when there is none."""
    head = prefix.rstrip("\U0010ffff")
    if not head:
        return None
    last = ord(head[-1]) + 1
    return head[:-1] + chr(0xE000 if 0xD800 <= last <= 0xDFFF else last)
