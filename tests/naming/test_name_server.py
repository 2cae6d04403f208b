"""The name server's object by itself: what it registers, finds, removes and refuses, with each storage."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from fastpyro.config import config
from fastpyro.errors import NamingError, PyroError
from fastpyro.naming import name_server as module
from fastpyro.naming.name_server import NameServer, type_meta
from fastpyro.naming.origins import LOCAL
from fastpyro.server.exposure import members_of
from fastpyro.uri import URI

X, Y = "PYRO:x@localhost:1", "PYRO:y@localhost:2"


@pytest.fixture(params=["memory", "sql"])
def ns(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[NameServer]:
    server = NameServer("memory" if request.param == "memory" else f"sql:{tmp_path / 'names.sqlite'}")
    yield server
    server._close()


def test_exposes_its_api_and_nothing_else() -> None:
    table = members_of(NameServer)
    assert table.methods == {
        "ping", "count", "lookup", "register", "set_metadata", "remove", "list", "yplookup",
    }  # fmt: skip
    assert not table.attrs


def test_register_and_lookup(ns: NameServer) -> None:
    ns.ping()
    ns.register("x", X)
    ns.register("y", URI(Y), metadata=["tag", "tag"])
    assert ns.count() == 2
    assert ns.lookup("x") == URI(X)
    assert ns.lookup("x", return_metadata=True) == (URI(X), set())
    assert ns.lookup("y", True) == (URI(Y), {"tag"})
    with pytest.raises(NamingError, match="unknown name: nobody"):
        ns.lookup("nobody")


def test_register_replaces_with_its_metadata_unless_safe(ns: NameServer) -> None:
    ns.register("x", X, metadata={"old"})
    with pytest.raises(NamingError, match="name already registered: x"):
        ns.register("x", Y, safe=True)
    assert ns.lookup("x", True) == (URI(X), {"old"})
    ns.register("x", Y)
    assert ns.lookup("x", True) == (URI(Y), set())


def test_names_may_stand_for_names(ns: NameServer) -> None:
    ns.register("alias", "PYRONAME:x")
    assert ns.lookup("alias") == URI("PYRONAME:x")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ((None, X), TypeError),
        ((5, X), TypeError),
        (("x", None), TypeError),
        (("x", 5), TypeError),
        (("x", X, False, "tag"), TypeError),
        (("x", X, False, 5), TypeError),
        (("x", X, False, [5]), TypeError),
        (("x", "no uri"), PyroError),
        (("x", "PYRO:x"), PyroError),
        (("", X), NamingError),
        (("n" * 501, X), NamingError),
        (("\ud800", X), NamingError),
        (("x", "PYRO:" + "x" * 1000 + "@h:1"), NamingError),
        (("x", X, False, [""]), NamingError),
        (("x", X, False, ["t" * 501]), NamingError),
        (("x", X, False, [str(number) for number in range(101)]), NamingError),
    ],
)
def test_register_refuses(ns: NameServer, arguments: tuple[Any, ...], error: type[Exception]) -> None:
    with pytest.raises(error):
        ns.register(*arguments)
    assert ns.count() == 0


def test_number_of_registrations_is_limited(ns: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_REGISTRATIONS", 2)
    ns.register("a", X)
    ns.register("b", X)
    with pytest.raises(NamingError, match="full: it holds 2 names"):
        ns.register("c", X)
    ns.register("a", Y)
    ns.remove("a")
    ns.register("c", X)


def test_set_metadata(ns: NameServer) -> None:
    ns.register("x", X, metadata=["a"])
    ns.set_metadata("x", ["b", "c"])
    assert ns.lookup("x", True) == (URI(X), {"b", "c"})
    ns.set_metadata("x", None)
    assert ns.lookup("x", True) == (URI(X), set())
    with pytest.raises(NamingError, match="unknown name"):
        ns.set_metadata("nobody", ["a"])
    with pytest.raises(TypeError):
        ns.set_metadata("x", "text")


@pytest.fixture
def filled(ns: NameServer) -> NameServer:
    ns._register_self(URI("PYRO:Pyro.NameServer@localhost:9090"))
    ns.register("lab.one", X, metadata=["lab", "one"])
    ns.register("lab.two", Y, metadata=["lab"])
    ns.register("lab_three", X)
    ns.register("other", X, metadata=["one"])
    return ns


def test_list(filled: NameServer) -> None:
    assert len(filled.list()) == 5
    assert filled.list(prefix="lab.") == {"lab.one": X, "lab.two": Y}
    assert filled.list("lab_") == {"lab_three": X}
    assert filled.list(prefix="LAB") == {}
    assert filled.list(regex="lab.t") == {"lab.two": Y, "lab_three": X}
    assert filled.list(regex=r"o|lab\.one$") == {"lab.one": X, "other": X}
    assert filled.list(metadata_all=["lab", "one"]) == {"lab.one": X}
    assert set(filled.list(metadata_any={"lab", "one"})) == {"lab.one", "lab.two", "other"}
    assert filled.list(metadata_any=[]) == {}
    assert len(filled.list(metadata_all=[])) == 5
    assert filled.list(prefix="lab.t", return_metadata=True) == {"lab.two": (Y, {"lab"})}
    assert filled.list("lab.t", None, None, None, True) == {"lab.two": (Y, {"lab"})}


def test_list_called_as_pyro5_does(filled: NameServer) -> None:
    assert filled.list("lab.t", None, True) == {"lab.two": (Y, {"lab"})}
    assert filled.list("lab.t", None, False) == {"lab.two": Y}


def test_one_condition_at_a_time(filled: NameServer) -> None:
    with pytest.raises(ValueError, match="one thing at a time, not on prefix and regex"):
        filled.list(prefix="a", regex="b")
    with pytest.raises(ValueError, match="one thing at a time"):
        filled.list(metadata_all=["a"], metadata_any=["b"])
    with pytest.raises(ValueError, match="one thing at a time"):
        filled.remove(name="a", regex="b")
    with pytest.raises(ValueError, match="one thing at a time"):
        filled.yplookup(["a"], ["b"])


def test_bad_patterns(filled: NameServer) -> None:
    for regex in ("(", "*", r"(a)\1", "x" * 501, "a{9999}"):
        with pytest.raises(NamingError, match=r"invalid regex|a regex has 1 to 500 characters"):
            filled.list(regex=regex)
        with pytest.raises(NamingError):
            filled.remove(regex=regex)
    with pytest.raises(TypeError):
        filled.list(regex=5)  # type: ignore[arg-type]
    assert filled.count() == 5


def test_pattern_of_an_attacker_returns_soon(filled: NameServer) -> None:
    filled.register("a" * 400 + "!", X)
    assert filled.list(regex="(a+)+$") == {}
    assert filled.list(regex="(a|a)*b|(.*a){20}c") == {}


def test_yplookup(filled: NameServer) -> None:
    assert filled.yplookup(["lab", "one"]) == {"lab.one": (X, {"lab", "one"})}
    assert filled.yplookup(meta_all={"lab"}, return_metadata=False) == {"lab.one": X, "lab.two": Y}
    assert set(filled.yplookup(None, ["one", "lab"], False)) == {"lab.one", "lab.two", "other"}
    assert filled.yplookup() == {}
    assert filled.yplookup([]) == {}
    with pytest.raises(TypeError):
        filled.yplookup("lab")
    with pytest.raises(TypeError):
        filled.yplookup(meta_any="lab")


def test_remove(filled: NameServer) -> None:
    assert filled.remove("nobody") == 0
    assert filled.remove() == 0
    assert filled.remove(prefix="") == 0
    assert filled.remove("other") == 1
    assert filled.remove(prefix="lab.") == 2
    assert filled.remove(regex=".*") == 1
    assert list(filled.list()) == ["Pyro.NameServer"]


def test_own_name_stays(filled: NameServer) -> None:
    assert filled.remove("Pyro.NameServer") == 0
    assert filled.remove(prefix="Pyro") == 0
    with pytest.raises(NamingError, match="reserved"):
        filled.register("Pyro.NameServer", X)
    uri, tags = filled.lookup("Pyro.NameServer", True)
    assert str(uri) == "PYRO:Pyro.NameServer@localhost:9090"
    assert tags >= {"class:Pyro4.naming.NameServer", "class:Pyro5.nameserver.NameServer"}
    assert "class:fastpyro.naming.name_server.NameServer" in tags


def test_discard_if_unchanged(filled: NameServer) -> None:
    assert not filled._discard_if_unchanged("other", Y)
    assert filled._discard_if_unchanged("other", X)
    assert not filled._discard_if_unchanged("other", X)


def test_safe_registration_has_one_winner(ns: NameServer) -> None:
    won: list[int] = []
    barrier = threading.Barrier(8)

    def race(number: int) -> None:
        barrier.wait(30)
        try:
            ns.register("x", f"PYRO:x@localhost:{number + 1}", safe=True)
        except NamingError:
            return
        won.append(number)

    threads = [threading.Thread(target=race, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(won) == 1
    assert ns.lookup("x").port == won[0] + 1


def test_removed_names_are_counted_once(ns: NameServer) -> None:
    for number in range(50):
        ns.register(f"n{number}", X)
    counts: list[int] = []
    threads = [threading.Thread(target=lambda: counts.append(ns.remove(prefix="n"))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sum(counts) == 50


class Base:
    pass


class Derived(Base, dict):  # type: ignore[type-arg]
    pass


def test_type_meta() -> None:
    names = {f"class:{__name__}.Base", f"class:{__name__}.Derived"}
    assert type_meta(Derived) == names
    assert type_meta(Derived()) == names
    assert type_meta(Base, prefix="") == {f"{__name__}.Base"}
    assert type_meta(5) == set()


def test_registrations_are_bounded_in_bytes(ns: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "NS_MAX_BYTES", 1_000_000)
    big = ["\U0001f600" * 490 + str(number) for number in range(100)]

    def fill() -> None:
        for number in range(100):
            ns.register(f"big{number}", X, metadata=big)

    with pytest.raises(NamingError, match=r"full: .* NS_MAX_BYTES 1,000,000"):
        fill()
    count = ns.count()
    assert count == 2
    with pytest.raises(NamingError, match="NS_MAX_BYTES"):
        ns.register("x" * 500, X, metadata=big)
    ns.register("big0", X)  # less than before
    ns.register("small", X)
    ns.set_metadata("small", big)
    ns.register("more", X, metadata=big[:40])
    with pytest.raises(NamingError, match="NS_MAX_BYTES"):
        ns.set_metadata("big0", big)
    assert ns.remove(prefix="big") == count
    assert ns.remove("small") + ns.remove("more") == 2
    assert ns._bytes == 0
    ns.register("big", X, metadata=big)


def test_what_a_file_holds_is_counted(tmp_path: Path) -> None:
    first = NameServer(f"sql:{tmp_path / 'names'}")
    first.register("x", X, metadata=["tag"])
    first._close()
    second = NameServer(f"sql:{tmp_path / 'names'}")
    assert second._bytes == first._bytes > 0
    assert second._registrations() == {"x": (X, LOCAL)}
    second.set_metadata("x", [])
    assert second._registrations() == {"x": (X, LOCAL)}
    second._storage.put("x", Y, frozenset())  # another process does
    assert second._registrations() == {"x": (Y, None)}
    second.set_metadata("x", ["tag"])
    second.remove("x")
    second._close()
    third = NameServer(f"sql:{tmp_path / 'names'}")
    assert (third._origins, third._bytes) == ({}, 0)
    third._close()


def test_many_names_are_removed_together(ns: NameServer) -> None:
    for number in range(60):
        ns.register(f"x{number}", X)
    assert ns.remove(regex="x") == 60
    assert (ns.count(), ns._bytes, ns._origins) == (0, 0, {})


def test_answers_are_bounded(filled: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(20):
        filled.register(f"many.{number}", X, metadata=["\U0001f600" * 500, "many"])
    monkeypatch.setattr(config, "NS_MAX_LISTING", 20_000)
    assert len(filled.list(prefix="many.")) == 20
    listings: list[Callable[[], object]] = [
        lambda: filled.list(return_metadata=True),
        lambda: filled.list(prefix="many", return_metadata=True),
        lambda: filled.list(regex="many", return_metadata=True),
        lambda: filled.yplookup(meta_any=["many"]),
    ]
    for listed in listings:
        with pytest.raises(NamingError, match="NS_MAX_LISTING 20,000 bytes; ask for fewer"):
            listed()
    assert len(filled.list(prefix="many.1", return_metadata=False)) == 11


def test_searches_do_not_wait_for_ever(ns: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHANGE_SECONDS", 0.01)
    ns.register("x", X)
    outcome: list[str] = []

    def look() -> None:
        with pytest.raises(NamingError) as caught:
            ns.list(regex="x")
        outcome.append(str(caught.value))
        assert ns.lookup("x") == URI(X)

    with ns._searching():
        thread = threading.Thread(target=look)
        thread.start()
        thread.join(30)
    assert outcome[0].startswith(
        "the name server is busy with other searches: this one waited for 0.01 s; try again later"
    )
    assert ns.list(regex="x") == {"x": X}


def test_changes_do_not_wait_for_ever(ns: NameServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHANGE_SECONDS", 0.01)
    ns.register("x", X)
    outcome: list[object] = []

    def change() -> None:
        try:
            ns.register("y", Y)
        except NamingError as error:
            outcome.append(str(error))
        outcome.append(ns.lookup("x"))

    with ns._changing():
        thread = threading.Thread(target=change)
        thread.start()
        thread.join(30)
    assert outcome == ["the name server's storage is busy: a change waited for 0.01 s; try again later", URI(X)]
