"""A name server's names in a dbm file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from Pyro4.errors import NamingError
from Pyro4.naming_storage import DbmStorage, storage_of

URI = "PYRO:x@localhost:1"


@pytest.fixture
def storage(tmp_path: Path) -> Any:
    return DbmStorage(str(tmp_path / "names"))


def test_names_are_kept(storage: Any) -> None:
    storage.put("one", URI, frozenset())
    storage.put("two", "PYRO:y@localhost:2", frozenset())
    storage.put("one", "PYRO:z@localhost:3", frozenset())
    again = DbmStorage(storage.dbmfile)
    assert again.count() == 2
    assert again.get("one") == ("PYRO:z@localhost:3", frozenset())
    assert again.get("three") is None
    assert again.with_prefix("t") == {"two": ("PYRO:y@localhost:2", frozenset())}
    assert again.discard(["one", "one", "three"]) == 1
    assert list(again.everything()) == ["two"]
    again.close()


def test_names_are_any_text(storage: Any) -> None:
    storage.put("ünïcode name", URI, frozenset())
    assert list(storage.everything()) == ["ünïcode name"]
    assert storage.discard(["ünïcode name"]) == 1


def test_metadata_are_dropped(storage: Any) -> None:
    storage.put("one", URI, frozenset({"tag"}))
    assert storage.get("one") == (URI, frozenset())
    with pytest.raises(NamingError, match="sql"):
        storage.with_metadata(frozenset({"tag"}), every=True)


def test_a_file_that_cannot_be_used(tmp_path: Path) -> None:
    with pytest.raises(NamingError, match="failed"):
        DbmStorage(str(tmp_path / "no such folder" / "names"))
    (tmp_path / "text").write_text("no database", encoding="utf-8")
    with pytest.raises(NamingError, match="failed"):
        DbmStorage(str(tmp_path / "text"))


def test_selectors(tmp_path: Path) -> None:
    assert isinstance(storage_of(f"dbm:{tmp_path / 'names'}"), DbmStorage)
    assert [storage_of(selector) for selector in (None, "memory", "sql:file")] == [None, "memory", "sql:file"]
