"""What classes declare, and what a state may leave out."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import pytest

from fastpyro.values.declared_fields import OPTIONAL, REQUIRED, declared_fields, is_generated


@dataclasses.dataclass
class Account:
    owner: str
    balance: int = 0
    tags: list[str] = dataclasses.field(default_factory=list)
    rank: int = dataclasses.field(init=False)
    kind: ClassVar[str] = "account"


def test_fields_of_a_dataclass() -> None:
    fields = declared_fields(Account)
    assert fields is not None
    assert list(fields) == ["owner", "balance", "tags", "rank"]
    assert fields["owner"] is REQUIRED
    assert fields["rank"] is OPTIONAL
    assert (fields["balance"](), fields["tags"]()) == (0, [])


def test_a_subclass_that_is_not_decorated_declares_nothing() -> None:
    class Plain(Account):
        pass

    assert declared_fields(Plain) is None
    assert declared_fields(int) is None


def test_fields_of_an_attrs_class() -> None:
    attrs: Any = pytest.importorskip("attrs")
    field = attrs.field
    parts = {"a": field(), "b": field(default=1), "c": field(factory=list), "d": field(init=False)}
    made = attrs.make_class("Made", parts, slots=True)
    fields = declared_fields(made)
    assert fields is not None
    assert fields["a"] is REQUIRED
    assert fields["d"] is OPTIONAL
    assert (fields["b"](), fields["c"]()) == (1, [])
    assert is_generated(getattr(made, "__setstate__", None))


def test_generated_states_are_known() -> None:
    frozen: Any = dataclasses.make_dataclass("Frozen", ["a"], frozen=True, slots=True)
    assert is_generated(frozen.__setstate__)
    assert not is_generated(object.__init__)
    assert not is_generated(test_generated_states_are_known)
