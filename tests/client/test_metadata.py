"""What a daemon says about its objects cannot touch what belongs to the proxy."""

from __future__ import annotations

import contextlib
import gc
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastpyro
from fastpyro.client import metadata
from fastpyro.client.metadata import LONGEST_NAME, member_details, names_of, read_metadata
from fastpyro.errors import ProtocolError, PyroError, SerializeError

OWN = sorted(fastpyro.Proxy._pyro_local_names | {"_pyroRelease", "_pyro_anything", "__class__", "__dict__", "__del__"})


class Hostile:
    """Runs when anybody touches it."""

    def __getattribute__(self, name: str) -> Any:
        raise AssertionError(f"{name} was touched")

    def __iter__(self) -> Any:
        raise AssertionError("iterated")

    def __hash__(self) -> int:
        raise AssertionError("hashed")

    def __eq__(self, other: object) -> bool:
        raise AssertionError("compared")


def test_plain_metadata() -> None:
    told = {"methods": ["add", "__len__"], "attrs": {"limit"}, "oneway": ("add",)}
    assert read_metadata(told) == ({"add", "__len__"}, {"limit"}, {"add"})
    assert read_metadata({}) == (set(), set(), set())
    assert read_metadata({"methods": ["add"], "oneway": ["add", "get_metadata"]}).oneway == {"add"}


@pytest.mark.parametrize("key", ["methods", "attrs", "oneway"])
def test_names_of_the_proxy_itself_are_left_out(key: str) -> None:
    told = {"methods": ["add"], "attrs": [], "oneway": [], key: ["add", *OWN, "_hidden", "", "a\x1b[2J", "x" * 2000]}
    assert set().union(*read_metadata(told)) == {"add"}


WRONG = [None, 5, "methods", b"methods", Hostile(), {"a": 1}, [1], [None], [["a"]], ["a", Hostile()], [Hostile()]]


@pytest.mark.parametrize("number", range(len(WRONG)))
@pytest.mark.parametrize("key", ["methods", "attrs", "oneway"])
def test_what_is_no_metadata_is_a_protocol_error(key: str, number: int) -> None:
    with pytest.raises(ProtocolError, match="metadata"):
        read_metadata({"methods": ["a"], key: WRONG[number]})


def test_what_is_no_table_is_a_protocol_error() -> None:
    wrong: list[Any] = [None, 5, [], "text", Hostile(), {1: 2}, {b"methods": []}]
    for value in wrong:
        for read in (read_metadata, member_details):
            with pytest.raises(ProtocolError, match="metadata"):
                read(value)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_anything_else(value: Any) -> None:
    for read in (read_metadata, member_details, lambda names: read_metadata({"methods": names})):
        with contextlib.suppress(PyroError):
            read(value)


def test_too_many_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "MOST_NAMES", 3)
    with pytest.raises(SerializeError, match="more than 3"):
        names_of(["a", "b", "c", "d"], "methods")
    assert names_of(["a" * LONGEST_NAME, "b" * (LONGEST_NAME + 1)], "methods") == {"a" * LONGEST_NAME}


def test_details() -> None:
    told = {"details": {"members": {"add": {"doc": "Adds.", "signature": "(a, b)", "other": Hostile()}}}}
    assert member_details(told) == {"add": {"doc": "Adds.", "signature": "(a, b)"}}
    assert member_details({}) == member_details({"details": None}) == {}
    for wrong in (5, {"members": 5}, {"members": {"add": None}}, {"members": {"add": Hostile()}}):
        with pytest.raises(ProtocolError, match="metadata"):
            member_details({"details": wrong})


def test_a_proxy_keeps_what_is_its_own() -> None:
    proxy = fastpyro.Proxy("PYRO:object@127.0.0.1:1")
    own = {
        name: object.__getattribute__(proxy, name) for name in OWN if hasattr(type(proxy), name) or name in vars(proxy)
    }
    names = {*OWN, "add"}
    proxy._pyroGetMetadata(known_metadata={"methods": names, "attrs": names, "oneway": names})
    assert proxy._pyroMethods == {"add"}
    proxy._pyro_update(_pyroMethods=names)  # even if something else brought them in
    for name, value in own.items():
        if name not in ("_pyroMethods", "_pyroAttrs", "_pyroOneway", "_pyro_metadata_loaded", "__dict__"):
            assert getattr(proxy, name) is value or getattr(proxy, name) == value, name
    assert isinstance(proxy._pyro_lock, type(own["_pyro_lock"]))
    with pytest.raises(AttributeError):
        _ = proxy._pyroLocalSockets


def test_what_a_subclass_keeps_comes_before_what_the_object_has() -> None:
    class Kept(fastpyro.Proxy):
        def __init__(self) -> None:
            super().__init__("PYRO:object@127.0.0.1:1")
            object.__setattr__(self, "cache", {"a": 1})

    proxy = Kept()
    proxy._pyroGetMetadata(known_metadata={"methods": ["cache", "add"], "attrs": [], "oneway": []})
    assert proxy.cache == {"a": 1}
    assert callable(proxy.add)


def test_a_proxy_that_is_half_made_goes_in_silence() -> None:
    for half in (fastpyro.Proxy.__new__(fastpyro.Proxy), threading.local()):
        del half
    gc.collect()  # pytest reports what a destructor raises
    half = fastpyro.Proxy.__new__(fastpyro.Proxy)
    with pytest.raises(AttributeError):
        _ = half._pyroUri


def test_the_quick_look_at_names_and_the_thorough_one_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    names = [
        "a",
        "add_2",
        "_a",
        "__iter__",
        "__init__",
        "",
        "é",
        "a b",
        "a.b",
        "1",
        "x" * 1000,
        "x" * 1001,
        "a\n",
        "a\u200d",
    ]
    values = [names, set(names), *[(name,) for name in names], *[[name, "a"] for name in names], (), [], set()]
    quick = [names_of(value, "names") for value in values]
    monkeypatch.setattr(metadata, "ordinary_names", lambda *_: None)
    assert [names_of(value, "names") for value in values] == quick


def test_names_that_are_found_later_are_no_others() -> None:
    proxy = fastpyro.Proxy("PYRO:object@127.0.0.1:1")
    names: set[object] = {"add"}
    proxy._pyro_update(_pyroMethods=names, _pyro_metadata_loaded=True)
    names.update([5, None, "late", "_pyroBind"])  # before it is looked for any of them
    assert type(proxy.add) is type(proxy.late) is fastpyro.client.method.RemoteMethod
    assert callable(proxy._pyroBind)
    assert type(proxy._pyroBind) is not type(proxy.add)
