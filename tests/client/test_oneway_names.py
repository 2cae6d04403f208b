"""The set of oneway names: what the client asked for lasts, what the server declares comes and goes."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from fastpyro.client.oneway_names import OnewayNames


def test_it_is_a_set() -> None:
    names = OnewayNames()
    assert names == set()
    names.add("first")
    names.update(["second"], {"third"})
    assert names == {"first", "second", "third"}
    assert "second" in names
    assert len(names) == 3
    assert sorted(names) == ["first", "second", "third"]
    assert isinstance(names, set)
    assert repr(OnewayNames(["first"])) == str(OnewayNames(["first"])) == "{'first'}"
    assert repr(OnewayNames()) == "set()"


def test_names_from_before_the_connection_last() -> None:
    names = OnewayNames()
    names.add("mine")
    names.take_from_peer(["theirs"], first=True)
    assert names == {"mine", "theirs"}
    assert names.remembered == {"mine"}
    assert names.remembered_early == {"mine"}


def test_names_from_after_the_connection_last_but_are_not_early() -> None:
    names = OnewayNames()
    names.take_from_peer(["theirs"], first=True)
    names.add("mine")
    names.take_from_peer(["changed"], first=False)
    assert names == {"mine", "changed"}
    assert names.remembered == {"mine"}
    assert names.remembered_early == set()


def test_what_the_peer_declared_goes_when_it_declares_something_else() -> None:
    names = OnewayNames()
    names.take_from_peer(["old", "kept"], first=True)
    names.take_from_peer(["kept", "new"], first=False)
    assert names == {"kept", "new"}
    assert names.remembered == set()


def test_a_name_that_both_want_outlasts_the_peers_wish() -> None:
    names = OnewayNames()
    names.take_from_peer(["both"], first=True)
    names.add("both")
    names.take_from_peer([], first=False)
    assert names == {"both"}


@pytest.mark.parametrize("names", [{"some"}, ["some"], ("some",), OnewayNames.from_peer(["some"]), iter(["some"])])
def test_names_from_a_peer_are_not_remembered(names: Any) -> None:
    made = OnewayNames.from_peer(names)
    assert made == {"some"}
    assert made.remembered == made.remembered_early == set()


def test_a_copy_is_independent_and_remembers() -> None:
    names = OnewayNames()
    names.add("early")
    names.take_from_peer(["theirs"], first=True)
    copied = OnewayNames.copy_of(names)
    copied.add("only in the copy")
    copied.discard("early")
    assert names == {"early", "theirs"}
    assert names.remembered == names.remembered_early == {"early"}
    assert copied.remembered == {"only in the copy"}
    assert copied.remembered_early == set()


def test_a_copy_of_a_plain_set_remembers_nothing() -> None:
    assert OnewayNames.copy_of({"plain"}).remembered == set()


def test_updating_with_itself() -> None:
    names = OnewayNames.from_peer(["theirs"])
    names.update(names)
    names |= names
    assert names.remembered == {"theirs"}


def test_removing_what_is_not_there() -> None:
    names = OnewayNames()
    names.discard("absent")
    with pytest.raises(KeyError):
        names.remove("absent")
    with pytest.raises(KeyError):
        names.pop()


@pytest.mark.parametrize(
    "remove",
    [
        lambda names: names.discard("mine"),
        lambda names: names.remove("mine"),
        lambda names: names.clear(),
        lambda names: [names.pop() for _ in range(2)],
        lambda names: names.difference_update(["mine"], []),
        lambda names: names.__isub__({"mine"}),
        lambda names: names.intersection_update({"theirs"}),
        lambda names: names.__iand__({"theirs"}),
        lambda names: names.symmetric_difference_update({"mine"}),
        lambda names: names.__ixor__({"mine"}),
    ],
)
def test_a_name_that_was_removed_does_not_come_back(remove: Any) -> None:
    names = OnewayNames()
    names.add("mine")
    names.take_from_peer(["theirs"], first=True)
    remove(names)
    names.take_from_peer(["theirs"], first=False)
    assert names == {"theirs"}
    assert names.remembered == names.remembered_early == set()


def test_symmetric_difference_adds_what_was_missing() -> None:
    names = OnewayNames.from_peer(["theirs"])
    names ^= {"mine", "theirs"}
    assert names == {"mine"}
    assert names.remembered == {"mine"}


@pytest.mark.parametrize(
    "make",
    [
        lambda names: names | {"more"},
        lambda names: names & {"mine"},
        lambda names: names - {"absent"},
        lambda names: names ^ {"more"},
        lambda names: names.copy(),
        lambda names: names.union(["more"]),
    ],
)
def test_sets_that_operators_make_are_whole(make: Any) -> None:
    names = OnewayNames()
    names.add("mine")
    made = OnewayNames.copy_of(make(names))
    made.add("later")
    made.discard("mine")
    assert "later" in made
    assert names == {"mine"}
    assert names.remembered == {"mine"}


@pytest.mark.parametrize("clone", [copy.copy, copy.deepcopy, lambda names: pickle.loads(pickle.dumps(names))])
def test_clones_are_whole_and_remember(clone: Any) -> None:
    names = OnewayNames()
    names.add("mine")
    names.take_from_peer(["theirs"], first=True)
    cloned = clone(names)
    assert type(cloned) is OnewayNames
    assert cloned == {"mine", "theirs"}
    assert cloned.remembered == cloned.remembered_early == {"mine"}
    cloned.add("more")
    assert names == {"mine", "theirs"}


some_names = st.sets(st.sampled_from("abcdef"))
one_name = st.sampled_from("abcdef")


class AgainstTwoSets(RuleBasedStateMachine):
    """The model: one set of the server's names and one of the client's."""

    def __init__(self) -> None:
        super().__init__()
        self.names, self.theirs, self.mine = OnewayNames(), set[str](), set[str]()

    @rule(names=some_names)
    def connect(self, names: set[str]) -> None:
        self.names.take_from_peer(names, first=False)
        self.theirs = set(names)

    @rule(name=one_name)
    def add(self, name: str) -> None:
        self.names.add(name)
        self.mine.add(name)

    @rule(names=some_names)
    def or_equals(self, names: set[str]) -> None:
        self.names |= names
        self.mine |= names

    @rule(name=one_name)
    def discard(self, name: str) -> None:
        self.names.discard(name)
        self.mine.discard(name)
        self.theirs.discard(name)

    @rule(names=some_names)
    def keep_only(self, names: set[str]) -> None:
        self.names &= names
        self.mine &= names
        self.theirs &= names

    @rule()
    def clear(self) -> None:
        self.names.clear()
        self.mine.clear()
        self.theirs.clear()

    @invariant()
    def both_agree(self) -> None:
        assert self.names == self.mine | self.theirs
        assert self.names.remembered == self.mine


TestAgainstTwoSets = AgainstTwoSets.TestCase
