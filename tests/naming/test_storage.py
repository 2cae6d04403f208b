"""Both storages keep registrations alike; the SQLite one keeps them over crashes, and opens Pyro's files."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from server_process import ServerProcess

from fastpyro.errors import NamingError
from fastpyro.naming.storage import MemoryStorage, SqlStorage, Storage, _text_after, open_storage

A, B, AB = frozenset({"a"}), frozenset({"b"}), frozenset({"a", "b"})


@pytest.fixture(params=["memory", "sql"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    opened = open_storage("memory" if request.param == "memory" else f"sql:{tmp_path / 'names.sqlite'}")
    yield opened
    opened.close()


def test_put_get_discard(storage: Storage) -> None:
    assert storage.get("x") is None
    assert storage.count() == 0
    storage.put("x", "PYRO:x@h:1", AB)
    storage.put("y", "PYRO:y@h:1", frozenset())
    assert storage.get("x") == ("PYRO:x@h:1", AB)
    assert storage.count() == 2
    storage.put("x", "PYRO:z@h:1", B)
    assert storage.everything() == {"x": ("PYRO:z@h:1", B), "y": ("PYRO:y@h:1", frozenset())}
    assert storage.discard(["x", "nothing", "x"]) == 1
    assert storage.get("x") is None
    assert storage.count() == 1


def test_metadata_search(storage: Storage) -> None:
    for name, tags in (("none", frozenset[str]()), ("a", A), ("b", B), ("ab", AB)):
        storage.put(name, "PYRO:x@h:1", tags)
    assert set(storage.with_metadata(A, every=True)) == {"a", "ab"}
    assert set(storage.with_metadata(AB, every=True)) == {"ab"}
    assert set(storage.with_metadata(AB, every=False)) == {"a", "b", "ab"}
    assert storage.with_metadata(frozenset({"c"}), every=False) == {}
    assert storage.with_metadata(AB, every=True)["ab"] == ("PYRO:x@h:1", AB)


def test_prefix_is_literal(storage: Storage) -> None:
    names = ["a%b", "a_b", "axb", "A%b", "a", "", "b", "a\U0010ffff", "a\ud7ff", "a\ue000", "é", "e"]
    for name in names:
        storage.put(name, "PYRO:x@h:1", frozenset())
    for prefix in [*names, "a%", "a_", "A", "\U0010ffff"]:
        assert set(storage.with_prefix(prefix)) == {name for name in names if name.startswith(prefix)}


@given(
    st.lists(st.text(alphabet="ab%_\0Aé\ud7ff\ue000\U0010ffff", max_size=4), max_size=8),
    st.text("a%_A\ud7ff\U0010ffff", max_size=3),
)
def test_prefixes_agree_with_startswith(names: list[str], prefix: str) -> None:
    after = _text_after(prefix)
    for name in names:
        encoded = name.encode()
        is_inside = encoded >= prefix.encode() and (after is None or encoded < after.encode())
        assert is_inside is name.startswith(prefix)


def test_many_threads(storage: Storage) -> None:
    failures: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for index in range(20):
                storage.put(f"{number}.{index}", "PYRO:x@h:1", A)
                storage.with_prefix(f"{number}.")
                storage.with_metadata(A, every=True)
                if index % 2:
                    assert storage.discard([f"{number}.{index}"]) == 1
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    assert storage.count() == 60


def test_selectors(tmp_path: Path) -> None:
    assert isinstance(open_storage(None), MemoryStorage)
    own = MemoryStorage()
    assert open_storage(own) is own
    for selector in ("disk", "sql:", "sql::memory:", "dbm:x", ""):
        with pytest.raises(ValueError, match="invalid storage"):
            open_storage(selector)


def test_names_survive_kill_right_after_register(tmp_path: Path) -> None:
    path = tmp_path / "names.sqlite"
    program = tmp_path / "writer.py"
    program.write_text(
        "import os, signal, sys\n"
        "from fastpyro.naming.storage import SqlStorage\n"
        "storage = SqlStorage(sys.argv[1])\n"
        "storage.put('x', 'PYRO:x@h:1', frozenset({'tag'}))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    root = Path(__file__).parent.parent.parent
    with ServerProcess(program, path, environment={"PYTHONPATH": str(root)}) as process:
        assert process.wait_for_end() == -9, process.output
    storage = SqlStorage(str(path))
    assert storage.everything() == {"x": ("PYRO:x@h:1", frozenset({"tag"}))}
    storage.close()


def test_file_has_pyros_tables(tmp_path: Path) -> None:
    path = tmp_path / "names.sqlite"
    storage = SqlStorage(str(path))
    storage.put("x", "PYRO:x@h:1", AB)
    storage.close()
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT name, uri FROM pyro_names").fetchall() == [("x", "PYRO:x@h:1")]
        (row,) = database.execute("SELECT id FROM pyro_names").fetchone()
        assert set(database.execute("SELECT object, metadata FROM pyro_metadata")) == {(row, "a"), (row, "b")}
    database.close()


def test_file_of_pyro_without_metadata_is_migrated(tmp_path: Path) -> None:
    path = tmp_path / "old.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE pyro_names (name nvarchar PRIMARY KEY NOT NULL, uri nvarchar NOT NULL)")
        database.execute("INSERT INTO pyro_names VALUES ('old', 'PYRO:old@h:1')")
    database.close()
    storage = SqlStorage(str(path))
    assert storage.get("old") == ("PYRO:old@h:1", frozenset())
    storage.put("old", "PYRO:old@h:2", A)
    assert storage.with_metadata(A, every=True) == {"old": ("PYRO:old@h:2", A)}
    storage.close()


def test_two_processes_share_a_file(tmp_path: Path) -> None:
    path = str(tmp_path / "names.sqlite")
    one, other = SqlStorage(path), SqlStorage(path)
    one.put("x", "PYRO:x@h:1", A)
    assert other.get("x") == ("PYRO:x@h:1", A)
    other.discard(["x"])
    assert one.get("x") is None
    one.close()
    other.close()


@pytest.mark.parametrize("content", [b"this is no database at all, but long enough to be looked at" * 20, None])
def test_unusable_file_is_a_naming_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "names.sqlite"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    with pytest.raises(NamingError, match="cannot use") as caught:
        SqlStorage(str(path))
    assert isinstance(caught.value.__cause__, sqlite3.Error)


def test_tables_of_somebody_else_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "names.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE pyro_names (something integer)")
        database.execute("CREATE TABLE pyro_metadata (something integer)")
    database.close()
    with pytest.raises(NamingError, match="cannot use"):
        SqlStorage(str(path))


def test_closed_storage_says_so(tmp_path: Path) -> None:
    storage = SqlStorage(str(tmp_path / "names.sqlite"))
    storage.close()
    storage.close()
    with pytest.raises(NamingError, match="closed"):
        storage.count()


def test_failing_step_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "names.sqlite"
    storage = SqlStorage(str(path))
    storage.put("x", "PYRO:x@h:1", A)
    with sqlite3.connect(path) as database:
        database.execute("DROP TABLE pyro_metadata")
    database.close()
    with pytest.raises(NamingError, match="failed"):
        storage.put("x", "PYRO:x@h:2", A)
    with sqlite3.connect(path) as database:
        assert database.execute("SELECT uri FROM pyro_names").fetchall() == [("PYRO:x@h:1",)]
    database.close()
    storage.close()


def test_files_are_for_their_owner_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        storage = SqlStorage(str(tmp_path / "names.sqlite"))
        storage.put("x", "PYRO:x@h:1", A)
        modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
        storage.close()
    finally:
        os.umask(before)
    assert modes == {"names.sqlite": 0o600, "names.sqlite-wal": 0o600, "names.sqlite-shm": 0o600}


def test_reading_waits_for_no_change(tmp_path: Path) -> None:
    path = str(tmp_path / "names.sqlite")
    storage = SqlStorage(path)
    storage.put("x", "PYRO:x@h:1", A)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")  # another process writes, and does not end
    failures: list[BaseException] = []

    def write() -> None:
        try:
            storage.put("y", "PYRO:y@h:1", A)
        except NamingError as error:
            failures.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    begun = time.monotonic()
    while writer.is_alive() and time.monotonic() - begun < 1.0:
        assert storage.get("x") == ("PYRO:x@h:1", A)
        assert storage.count() == 1
        assert set(storage.everything()) == {"x"}
    assert writer.is_alive(), "the change waits, and the readers have read a whole second long"
    other.execute("ROLLBACK")
    other.close()
    writer.join(30)
    assert not failures
    assert storage.get("y") == ("PYRO:y@h:1", A)
    storage.close()
