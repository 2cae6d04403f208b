"""Name server storages as dicts, and dicts as storages."""

from __future__ import annotations

from collections.abc import MutableMapping
from pathlib import Path
from typing import Any

import pytest
from compat.programs import output_of

from fastpyro.compat.shared.name_storages import AsDict, MemoryStorage, PeerNameServer, SqlStorage
from fastpyro.naming.storage import MemoryStorage as Inner

URI = "PYRO:x@h:1"


class Mine(dict[str, Any]):
    closed = False

    def close(self) -> None:
        self.closed = True


@pytest.fixture(params=["memory", "sql"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    return MemoryStorage() if request.param == "memory" else SqlStorage(dbfile=str(tmp_path / "names"))


def test_a_storage_is_a_dict(storage: Any) -> None:
    assert issubclass(AsDict, MutableMapping)
    storage["a"], storage["b"] = (URI, None), (URI, {"tag"})
    assert (len(storage), sorted(storage), "a" in storage, "c" in storage, 5 in storage) == (
        2,
        ["a", "b"],
        True,
        False,
        False,
    )
    assert (storage["b"], storage.get("c")) == ((URI, {"tag"}), None)
    assert storage.everything() == {"a": URI, "b": URI}
    assert storage.everything(return_metadata=True) == {"a": (URI, frozenset()), "b": (URI, {"tag"})}
    assert storage.optimized_prefix_list("a") == {"a": URI}
    assert storage.optimized_metadata_search(metadata_any={"tag", "other"}) == {"b": URI}
    assert storage.optimized_metadata_search(metadata_all={"tag", "other"}) == {}
    assert storage.optimized_regex_list(".*") is None
    for missing in (storage.__getitem__, storage.pop, storage.__delitem__):
        with pytest.raises(KeyError):
            missing("c")
    storage.remove_items(["a", "c"])
    storage.clear()
    assert storage == {}
    storage.close()


def test_a_dict_is_a_storage() -> None:
    mine = Mine(old=(URI, None))
    server = PeerNameServer(storageProvider=mine)
    assert server.storage is mine
    server.register("new", URI, metadata={"a", "b"})
    assert mine["new"] == (URI, {"a", "b"})
    assert (server.count(), server.list(prefix="n"), server.list(regex="o.*")) == (2, {"new": URI}, {"old": URI})
    assert list(server.yplookup(meta_all={"a", "b"})) == list(server.yplookup(meta_any={"a", "z"})) == ["new"]
    assert server.remove("new") == 1
    assert list(mine) == ["old"]
    server._close()
    assert mine.closed


def test_what_a_name_server_shows() -> None:
    server = PeerNameServer()
    server.register("a", URI)
    assert dict(server.storage) == {"a": (URI, frozenset())}
    server.storage["b"] = URI, {"tag"}
    assert server.lookup("b", return_metadata=True)[1] == {"tag"}
    server.storage = {"c": (URI, None)}
    assert server.list() == {"c": URI}
    own = Inner()
    assert PeerNameServer(own)._storage is PeerNameServer(AsDict(own))._storage is own
    with pytest.raises(AttributeError, match="nothing"):
        server.nothing  # noqa: B018


@pytest.mark.parametrize("start", ["Pyro5.nameserver.start_ns", "Pyro4.naming.startNS"])
def test_the_daemons_name_server(start: str, tmp_path: Path) -> None:
    program = f"""
import {start.rpartition(".")[0]}
uri, daemon, _ = {start}("localhost", 0)
with daemon:
    print(list(daemon.nameserver.storage), type(daemon.nameserver).__module__)
"""
    assert output_of(start[:5], tmp_path, program) == f"['Pyro.NameServer'] {start.rpartition('.')[0]}\n"


def test_a_file_can_be_used_again_after_it_was_closed(tmp_path: Path) -> None:
    names = SqlStorage(str(tmp_path / "names.sqlite"))
    names["a"] = URI, ()
    for _ in range(2):
        names.close()
    assert names["a"] == (URI, frozenset())
    names.close()
