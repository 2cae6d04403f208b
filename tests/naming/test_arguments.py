"""What clients give the name server is looked at by exact type, and nothing of it runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from fastpyro.errors import NamingError, PyroError
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
from fastpyro.naming.name_server import NameServer
from fastpyro.uri import URI


def explode(*arguments: Any, **keywords: Any) -> Any:
    raise AssertionError("something was done with a foreign value")


class Tripwire:
    """Notices whatever is done with it."""

    __getattribute__ = __iter__ = __len__ = __bool__ = __eq__ = __hash__ = __repr__ = __str__ = explode
    __format__ = __index__ = __contains__ = __getitem__ = __int__ = __float__ = __bytes__ = explode


class Text(str):
    __slots__ = ()
    __iter__ = __len__ = __eq__ = __hash__ = __repr__ = __str__ = __contains__ = __getitem__ = explode


class Tags(list[str]):
    def __iter__(self) -> Iterator[str]:
        raise AssertionError


CALLS: list[Callable[[NameServer, Any], Any]] = [
    lambda ns, wire: ns.register(wire, "PYRO:x@h:1"),
    lambda ns, wire: ns.register("x", wire),
    lambda ns, wire: ns.register("x", "PYRO:x@h:1", wire),
    lambda ns, wire: ns.register("x", "PYRO:x@h:1", False, wire),
    lambda ns, wire: ns.register("x", "PYRO:x@h:1", False, [wire]),
    lambda ns, wire: ns.lookup(wire),
    lambda ns, wire: ns.lookup("there", wire),
    lambda ns, wire: ns.set_metadata(wire, ["a"]),
    lambda ns, wire: ns.set_metadata("there", wire),
    lambda ns, wire: ns.set_metadata("there", [wire]),
    lambda ns, wire: ns.remove(wire),
    lambda ns, wire: ns.remove(None, wire),
    lambda ns, wire: ns.remove(None, None, wire),
    lambda ns, wire: ns.list(wire),
    lambda ns, wire: ns.list(None, wire),
    lambda ns, wire: ns.list(None, None, wire),
    lambda ns, wire: ns.list(None, None, [wire]),
    lambda ns, wire: ns.list(None, None, None, wire),
    lambda ns, wire: ns.list(None, None, None, (wire,)),
    lambda ns, wire: ns.list(None, None, None, None, wire),
    lambda ns, wire: ns.yplookup(wire),
    lambda ns, wire: ns.yplookup([wire]),
    lambda ns, wire: ns.yplookup(None, wire),
    lambda ns, wire: ns.yplookup(["a"], None, wire),
]


@pytest.mark.parametrize("make", [Tripwire, lambda: Text("text"), lambda: Tags(["a"]), lambda: {"a": 1}, lambda: 1j])
@pytest.mark.parametrize("call", CALLS)
def test_wrong_types_are_refused_by_name_and_untouched(
    call: Callable[[NameServer, Any], Any], make: Callable[[], Any]
) -> None:
    ns = NameServer()
    ns.register("there", "PYRO:x@h:1", metadata=["a"])
    with pytest.raises(TypeError, match=r" is a .*, not "):
        call(ns, make())
    assert ns.list(return_metadata=True) == {"there": ("PYRO:x@h:1", {"a"})}


@pytest.mark.parametrize("text", ["a\nb", "a\x1b[2J", "\u202ea", "\0", "a\x9bb"], ids=ascii)
def test_names_and_tags_have_no_control_characters(text: str) -> None:
    for check in (checked_name, lambda text: checked_tags([text]), lambda text: checked_uri(f"PYRO:{text}@h:1")):
        with pytest.raises(PyroError) as caught:
            check(text)
        assert str(caught.value).isprintable()
    check_text("regex", text)  # is shown to nobody


def test_what_is_right_passes() -> None:
    assert checked_name("n" * 500) == "n" * 500
    assert checked_uri(URI("PYRO:x@h:1")) == checked_uri("PYRO:x@h:1") == "PYRO:x@h:1"
    for tags in (["a", "a"], ("a",), {"a"}, frozenset({"a"})):
        assert checked_tags(tags) == {"a"}
    assert checked_tags(None) == frozenset()
    assert [checked_flag("x", each) for each in (True, False, 1, 0.0, None)] == [True, False, True, False, False]
    check_one_of(a=None, b="x")
    with pytest.raises(ValueError, match="not on a and b"):
        check_one_of(a="", b="x")


def test_costs_are_about_those_of_memory() -> None:
    assert cost_of("x", "y", frozenset()) < 1000
    assert sent_size_of("x", "y", ()) < 20
    assert sent_size_of("\U0001f600" * 500, "y", ["t"] * 3) > 2000
    assert cost_of("\U0001f600" * 500, "y" * 1000, frozenset({"\U0001f600" * 500})) > 5000


def test_what_is_told_of_a_name() -> None:
    assert told("é") == "é"
    assert told("a\x1b") == "a\\x1b"
    assert told("x" * 1_000_000) == f"'{'x' * 50}'… of 1,000,000 characters"
    assert is_plain_text("é")
    assert not is_plain_text("\ud800")
    with pytest.raises(NamingError, match="without surrogate"):
        check_text("name", "\ud800")
